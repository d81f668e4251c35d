"""What is written from the chapters for teachers: hand-outs without solutions, and the page of goals and exercises."""

import re

import execute
import goals_page
import handouts
import nbformat
import pytest

CHAPTERS = execute.find_chapters()

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])


def find_exercises(text):
    """Return {label: statement} of a chapter's exercises."""
    return dict(re.findall(r"^```\{exercise\} [^\n]+\n:label: (\S+)\n\n(.+?)\n```$", text, re.M | re.S))


def find_headings(notebook):
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^#+ .+$", text, re.M)


@each_chapter
def test_handout_has_every_exercise_and_no_solution(path):
    chapter = execute.read_chapter(path)
    handout = handouts.remove_solutions(chapter)
    nbformat.validate(handout)
    text = "\n\n".join(cell.source for cell in handout.cells)
    exercises = find_exercises(path.read_text(encoding="utf-8"))
    assert len(exercises) >= 4
    for label, statement in exercises.items():
        assert statement in text
        assert text.count(f"# Your answer to {label}.") == 1
    assert "solution" not in re.findall(r"\{([a-z-]+)", text)
    assert not [cell for cell in handout.cells if "solution" in cell.metadata.get("tags", [])]
    solutions = [cell.source for cell in chapter.cells if "solution" in cell.metadata.get("tags", [])]
    assert solutions and not [source for source in solutions if source in text]
    assert not [cell for cell in handout.cells if cell.get("outputs")]


@each_chapter
def test_handout_keeps_everything_else(path):
    chapter, handout = execute.read_chapter(path), handouts.remove_solutions(execute.read_chapter(path))
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    kept = [cell for cell in handout.cells if cell.cell_type == "code"]
    expected = [cell.source for cell in code if "solution" not in cell.metadata.get("tags", [])]
    assert [cell.source for cell in kept if not cell.source.startswith("# Your answer to")] == expected
    assert find_headings(handout) == find_headings(chapter)


@each_chapter
def test_a_teacher_keeps_every_exercise_with_its_executed_solution(path):
    executed = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    kept = handouts.keep_solutions(executed)
    nbformat.validate(kept)
    text = "\n\n".join(cell.source for cell in kept.cells if cell.cell_type == "markdown")
    exercises = find_exercises(path.read_text(encoding="utf-8"))
    assert [label for label in re.findall(r"^:label: (\S+)$", text, re.M)] == list(exercises)
    assert all(statement in text for statement in exercises.values()) and "solution-" not in text
    tagged = [cell for cell in executed.cells if "solution" in cell.metadata.get("tags", [])]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [(cell.source, cell.outputs) for cell in code] == [(cell.source, cell.outputs) for cell in tagged]
    prose = handouts.START.split("\n\n".join(cell.source for cell in executed.cells if cell.cell_type == "markdown"))
    for answer in prose[2::2]:
        words = handouts.OPTIONS.sub("", handouts.END.split(answer)[0]).split()
        assert " ".join(words) in " ".join(text.split())


def test_a_solution_without_an_end_is_refused():
    text = "```{solution-start} ex-a\n:class: dropdown\n```\n\nAn answer."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    with pytest.raises(ValueError, match="solution of ex-a"):
        handouts.remove_solutions(notebook)


def test_words_of_a_solution_are_left_out():
    text = "Before.\n\n```{solution-start} ex-a\n```\n\nForty-two.\n\n```{solution-end}\n```\n\nAfter."
    cells = [nbformat.v4.new_markdown_cell(text)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "P"}})
    handout = handouts.remove_solutions(notebook)
    assert [cell.source for cell in handout.cells] == ["Before.", "# Your answer to ex-a.", "After."]


def test_page_of_goals_has_every_chapter_and_exercise():
    page = goals_page.make_page()
    for path in CHAPTERS:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^\((ch-\S+)\)=", text, re.M)[1] in page
        assert all(f"<{label}>`" in page for label in find_exercises(text))
        goals = text.partition("## After this chapter you can\n")[2].partition("```")[0].strip()
        assert goals in page
