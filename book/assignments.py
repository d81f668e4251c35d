"""Build the assignments of one class from its seed, and grade what comes back: build/assignments/.

    python book/assignments.py build --seed SEED
    python book/assignments.py grade FOLDER

The sources are assignments/NN_topic.md. A code cell with `points` is a solution: students get a placeholder, and each
name in its `checks` is compared with assignments/answers.py, which only the teacher has. A Markdown cell with `points`
is a model answer and its rubric, for a person to grade by. Otter-Grader makes the notebooks and runs the checks.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import handouts
import jupytext
import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "book" / "assignments"
OUTPUT = ROOT / "build" / "assignments"
CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\nconfig_file: config.yml\nfiles: {tables}"
QUESTION = "# BEGIN QUESTION\nname: {name}\npoints: {points}\nmanual: {manual}\ncheck_cell: false"
# A submission runs beside the checks, and could ask them; no solution has a reason to.
ASKS = re.compile(r"(?:import|from)[\W_]{1,4}(?:answers|lender)\b|seed\.txt|LenderBook")
TEST = """def test_{name}({name}):
    from answers import check
    check("{assignment}", "{name}", {name})
"""


def list_assignments():
    """Return the paths of the sources, in order."""
    return sorted(SOURCES.glob("[0-9][0-9]_*.md"))


def mark_questions(path):
    """Return an assignment as a notebook with the marks that Otter-Grader reads."""
    text = path.read_text(encoding="utf-8")
    tables = sorted(set(re.findall(r'"(\w+\.csv)"', text)))  # that students read
    cells, number = [new_raw_cell(CONFIG.format(name=path.stem, tables=tables))], 0
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        points = cell.metadata.pop("points", None)
        if points is None:
            cells.append(cell)
            continue
        number += 1
        question = {"name": f"q{number}", "points": points, "manual": cell.cell_type == "markdown"}
        block = [new_raw_cell(QUESTION.format(**question)), cells.pop()]
        block += [new_raw_cell("# BEGIN SOLUTION"), cell, new_raw_cell("# END SOLUTION")]
        names = cell.metadata.pop("checks", [])
        if names:
            tests = [new_code_cell("# HIDDEN\n" + TEST.format(assignment=path.stem, name=name)) for name in names]
            block += [new_raw_cell("# BEGIN TESTS"), *tests, new_raw_cell("# END TESTS")]
        cells += [*block, new_raw_cell("# END QUESTION")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def build(seed, output, chosen=None):
    """Write the folders of a class: the student's and the teacher's, with its tables, and the chapters' solutions."""
    from otter.assign import main as assign

    sys.path.insert(0, str(SOURCES))
    from lender import write_tables

    work = output / "work"
    for folder in (work, output / "student", output / "teacher"):
        shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)
    write_tables(work, seed)
    (work / "seed.txt").write_text(f"{seed}\n", encoding="utf-8")
    for name in ("lender.py", "answers.py", "config.yml"):
        shutil.copy(SOURCES / name, work)
    for path in list_assignments():
        if chosen and path.stem not in chosen:
            continue
        nbformat.write(mark_questions(path), work / f"{path.stem}.ipynb")
        assign(str(work / f"{path.stem}.ipynb"), str(work / path.stem))  # the solutions are graded, too
        for made, kept in (("student", "student"), ("autograder", "teacher")):
            shutil.move(work / path.stem / made, output / kept / path.stem)
        shutil.rmtree(output / "student" / path.stem / "tests")  # all checks are hidden, so that it says nothing
    shutil.rmtree(work)
    handouts.write_solutions(output / "chapters")


def grade(submissions, output):
    """Grade submissions/STUDENT/NN_topic.ipynb and return a table, a row per question; texts have no points yet."""
    from otter.api import grade_submission

    rows, paths = [], sorted(submissions.glob("*/*.ipynb"))
    archives = {folder.name: next(folder.glob("*.zip")) for folder in (output / "teacher").glob("*")}
    strange = [str(path) for path in paths if path.stem not in archives]
    if strange or not paths:
        raise ValueError(f"{submissions} must hold STUDENT/NAME.ipynb, NAME of {sorted(archives)}, got {strange[:5]}")
    for path in paths:
        note = "asks for the answers" if ASKS.search(path.read_text(encoding="utf-8", errors="replace")) else ""
        try:
            results = grade_submission(str(path), str(archives[path.stem]), quiet=True).results
        except Exception as error:  # one broken file must not keep a class from its grades
            results, note = {}, f"not graded: {error!r}"
        for question, points, by_hand in list_questions(SOURCES / f"{path.stem}.md"):
            got = results[question].score if question in results else 0.0
            rows.append((path.parent.name, path.stem, question, None if by_hand else got, points, note))
    return pd.DataFrame(rows, columns=["student", "assignment", "question", "points", "of", "note"])


def list_questions(path):
    """Return (name, points, whether a person grades it) of each question of an assignment."""
    cells = [cell for cell in jupytext.read(path, fmt="md:myst").cells if "points" in cell.metadata]
    return [(f"q{i}", cell.metadata["points"], cell.cell_type == "markdown") for i, cell in enumerate(cells, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="make a class's assignments")
    command.add_argument("--seed", type=int, required=True, help="a whole number that nobody guesses")
    command.add_argument("--only", nargs="*", help="of these assignments, 01_loss for example")
    commands.add_parser("grade", help="grade FOLDER/STUDENT/NN_topic.ipynb").add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "build":
        build(options.seed, options.output, options.only)
        print(f"Hand out {options.output / 'student'}, keep the other folders of {options.output}")
        return
    table = grade(options.folder, options.output)
    table.to_csv(options.output / "grades.csv", index=False)
    by_machine = table.dropna(subset="points")
    sums = by_machine.groupby(["student", "assignment"]).agg({"points": "sum", "of": "sum", "note": "first"})
    print(sums.to_string())
    print(f"{len(table) - len(by_machine)} texts to be read; points by question in {options.output / 'grades.csv'}")


if __name__ == "__main__":
    main()
