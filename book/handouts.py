"""Write every chapter as a hand-out, with its exercises and without their solutions: build/handouts/NN_topic.ipynb.

A hand-out isn't executed. It has an empty code cell where a solution stood, and belongs into a copy of `notebooks/`,
from where its paths start. What a teacher keeps is the other half: the exercises with their executed solutions.
"""

import re
import shutil
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parents[1]
HANDOUTS = ROOT / "build" / "handouts"
START = re.compile(r"^```\{solution-start\} (\S+)$", re.MULTILINE)
END = re.compile(r"^```\{solution-end\}\n```$", re.MULTILINE)
OPTIONS = re.compile(r"\A\n?(?::.*\n)*```\n?")  # what follows the label of a solution
EXERCISE = re.compile(r"^(`{3,})\{exercise\} .*?^\1$", re.MULTILINE | re.DOTALL)


def remove_solutions(notebook):
    """Return a copy of a chapter's notebook with an empty code cell in the place of every solution."""
    cells, label = [], None  # the exercise whose solution we are in
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if label is None:
                cells.append(nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata))
            continue
        text = cell.source
        while text:
            if label is None:
                before, *rest = START.split(text, maxsplit=1)
                if before.strip():
                    cells.append(nbformat.v4.new_markdown_cell(before.strip()))
                label, text = rest or (None, "")
            else:
                _, *rest = END.split(text, maxsplit=1)
                text = rest[0] if rest else ""
                if rest:
                    cells.append(nbformat.v4.new_code_cell(f"# Your answer to {label}."))
                    label = None
    if label is not None:
        raise ValueError(f"the solution of {label} has to end with solution-end, and the chapter ends first")
    for i, cell in enumerate(cells):
        cell["id"] = f"handout-{i:03d}"
    metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def keep_solutions(notebook):
    """Return a copy of a chapter's executed notebook with its title, its exercises and their solutions alone."""
    title = re.search(r"^# .+$", "\n".join(cell.source for cell in notebook.cells), re.MULTILINE)[0]
    cells, inside = [nbformat.v4.new_markdown_cell(title)], False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cells += [cell] if inside else []
            continue
        text = cell.source
        while text:
            part, *rest = (END if inside else START).split(text, maxsplit=1)
            part = OPTIONS.sub("", part) if inside else "\n\n".join(found[0] for found in EXERCISE.finditer(part))
            if part.strip():
                cells.append(nbformat.v4.new_markdown_cell(part.strip()))
            inside, text = inside != bool(rest), rest[-1] if rest else ""
    for i, cell in enumerate(cells):
        cell["id"] = f"solutions-{i:03d}"
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def write_solutions(folder):
    """Write the exercises of all chapters with their solutions into a new folder and return their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = []
    for chapter in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        paths.append(folder / chapter.name)
        nbformat.write(keep_solutions(nbformat.read(chapter, as_version=4)), paths[-1])
    return paths


def write_handouts(folder):
    """Write the hand-outs of all chapters into a new folder and return their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = []
    for chapter in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.md")):
        paths.append(folder / f"{chapter.stem}.ipynb")
        nbformat.write(remove_solutions(jupytext.read(chapter, fmt="md:myst")), paths[-1])
    return paths


if __name__ == "__main__":
    print(f"{len(write_handouts(HANDOUTS))} hand-outs in {HANDOUTS.relative_to(ROOT)}/")
