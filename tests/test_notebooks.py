"""A chapter's text and its executed notebook agree, and a chapter has the parts that a reader relies on."""

import re
from pathlib import Path
from statistics import median

import execute
import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = execute.find_chapters()
FIRST_PARTS = ["The question", "After this chapter you can"]
LAST_PARTS = ["What can go wrong", "Summary", "Exercises", "In the paper", "Next"]
MAX_LINES, MAX_MEDIAN_LINES, MAX_COLUMNS = 30, 8, 88

GENERATED = {"book/api", "book/benchmarks", "book/goals", "book/ledger"}  # written by book/build.py

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])


def read_executed(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def find_code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def count_lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


@each_chapter
def test_text_and_notebook_agree_cell_by_cell(path):
    text, notebook = execute.read_chapter(path), read_executed(path)
    message = f"{path.stem}.ipynb is not what {path.name} describes: run make notebooks CHAPTERS={path.stem}"
    assert text.metadata.get("qrgmm") == notebook.metadata.get("qrgmm"), f"{message} (front matter)"
    assert len(text.cells) == len(notebook.cells), message
    for written, executed in zip(text.cells, notebook.cells, strict=True):
        for key in ("id", "cell_type", "source", "metadata"):
            assert written[key] == executed[key], f"{message} (cell {executed.id})"


@each_chapter
def test_notebook_was_executed_in_order(path):
    cells = find_code_cells(read_executed(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)


@each_chapter
def test_outputs_can_be_repeated(path):
    """Warnings and progress bars name paths, times and speeds of one run; an error has a traceback of one machine."""
    for cell in find_code_cells(read_executed(path)):
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"{cell.id} writes to stderr: {output.text}"
            assert output.output_type != "error", f"{cell.id} raises {output.ename}; catch it and print it"
        assert "<object at 0x" not in str(cell.outputs), f"{cell.id} shows an address in memory"


@each_chapter
def test_cells_are_short(path):
    cells = find_code_cells(execute.read_chapter(path))
    too_long = {cell.id: count_lines(cell) for cell in cells if count_lines(cell) > MAX_LINES}
    assert not too_long
    assert median(count_lines(cell) for cell in cells) <= MAX_MEDIAN_LINES


@each_chapter
def test_chapter_has_its_parts_in_order(path):
    notebook = execute.read_chapter(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.search(r"\A\(ch-[a-z0-9-]+\)=\n# \S", prose), "a chapter starts with its label, (ch-...)=, and its title"
    headings = re.findall(r"^## (.+)$", prose, re.MULTILINE)
    assert headings[:2] == FIRST_PARTS
    assert headings[-5:] == LAST_PARTS
    assert len(headings) >= len(FIRST_PARTS + LAST_PARTS) + 2, "two steps or more, each with a heading"


@each_chapter
def test_chapter_opens_with_parameters_then_imports(path):
    cells = find_code_cells(execute.read_chapter(path))
    assert "parameters" in cells[0].metadata.get("tags", [])
    assert re.search(r"^(import|from) ", cells[1].source, re.MULTILINE)
    hiding = {"hide-input", "hide-cell", "remove-input", "remove-cell", "remove-output"}
    assert not [cell.id for cell in cells if hiding & set(cell.metadata.get("tags", []))]


@each_chapter
def test_a_picture_of_the_chapter_comes_before_its_first_code(path):
    cells = execute.read_chapter(path).cells
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in cells[:first])
    (name,) = re.findall(r"^```\{opening\} (fig-\S+)$", prose, re.MULTILINE)
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells if cell.cell_type == "code"]
    assert name in [figure.get("name") for figure in figures]


@each_chapter
def test_every_exercise_has_a_solution_and_every_figure_its_words(path):
    notebook = execute.read_chapter(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = re.findall(r"^`{3,}\{exercise\}.*\n:label: (\S+)", prose, re.MULTILINE)
    solutions = re.findall(r"^`{3,}\{solution-start\} (\S+)", prose, re.MULTILINE)
    assert 4 <= len(exercises) <= 6 and exercises == solutions
    for cell in find_code_cells(read_executed(path)):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            mystnb = cell.metadata.get("mystnb", {})
            assert mystnb.get("figure", {}).get("name", "").startswith("fig-"), f"{cell.id}: a figure needs a name"
            caption, alt = mystnb["figure"].get("caption"), mystnb.get("image", {}).get("alt")
            assert caption and alt and alt not in caption and caption not in alt, f"{cell.id}: caption and alt"


def test_table_of_contents_lists_every_chapter():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [Path(file).stem for file in files if file.startswith("notebooks/")] == [path.stem for path in CHAPTERS]
    pages = [toc["root"], *(file for file in files if file.startswith("book/"))]
    written = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")} | GENERATED
    assert sorted(pages) == sorted(written)


def test_every_executed_notebook_has_a_text():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {path.stem for path in CHAPTERS}


@each_chapter
def test_no_line_of_code_is_wider_than_the_page(path):
    """Neither in a cell nor in a source that a cell shows."""
    for cell in find_code_cells(read_executed(path)):
        shown = [output.text for output in cell.outputs if output.get("name") == "stdout" and "source(" in cell.source]
        wide = [line for text in [cell.source, *shown] for line in text.splitlines() if len(line) > MAX_COLUMNS]
        assert not wide, f"{cell.id}: {wide}"
