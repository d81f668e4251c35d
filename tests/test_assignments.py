"""The assignments: right answers pass the hidden checks, planted errors don't, and another seed has other answers."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache

import answers
import assignments
import jupytext
import lender
import nbformat
import pandas as pd
import pytest

SOURCES = assignments.list_assignments()
NAMES = [path.stem for path in SOURCES]
each_assignment = pytest.mark.parametrize("path", SOURCES, ids=NAMES)
SEED, OTHER = 20261, 20262


def plant(code, changes):
    for old, new in changes:
        assert old in code, f"no {old!r} to spoil"
        code = code.replace(old, new)
    return code


def solve(path, folder, changes=()):
    """Run the solutions of an assignment in a folder of tables and return their names, errors planted by `changes`."""
    cells = [cell for cell in jupytext.read(path, fmt="md:myst").cells if cell.cell_type == "code"]
    # The checks that students see would stop a wrong one; the hidden ones have to find it without them.
    code = plant("\n".join(cell.source for cell in cells if not cell.source.startswith("assert ")), changes)
    names, before = {}, os.getcwd()
    os.chdir(folder)
    try:
        exec(compile(code, path.stem, "exec"), names)
    finally:
        os.chdir(before)
    return names


def list_checks(path):
    cells = jupytext.read(path, fmt="md:myst").cells
    return [name for cell in cells for name in cell.metadata.get("checks", [])]


# What students get wrong: {assignment: (solution, error)}; together they spoil every answer that is checked.
ERRORS = {
    "01_loss": [
        ('applicant["past_units"] * ratio', 'applicant["past_units"] * ratio / 2'),  # 13 weeks for 26
        ('/ (pd_asked * applicant["asked"])', '/ applicant["asked"]'),
        ("int(0.05 * len(sales))", "int(0.05 * len(sales)) + 3"),
        (".mean() / 10", ".mean()"),
    ],
    "02_look_alikes": [
        ("values, 0.05", "values, 0.95"),
        (") / spread", ")"),
        ("[:, 5]", "[:, 50]"),
        ('inverted_cdf").std()', 'inverted_cdf").std() / 10'),
    ],
    "03_grid": [
        ("levels, levels - 1)", "levels - 1, levels)"),
        ("(errors < -1e-8).mean", "(errors > 1e-8).mean"),
        (".sum(axis=0)", ".mean(axis=0)"),
        ("coef = fit_quantile_grid(design(past), sold, levels).coef", "coef = np.zeros((19, 6))"),
        ("(np.diff(quantiles) < 0)", "(np.diff(quantiles) > 0)"),
        ("[:, 4] - quantiles", "[:, 5] - quantiles"),
    ],
    "04_qrgmm": [
        ("[0.05, 0.5]", "[0.1, 0.6]"),
        ("unit_revenue=carries", "unit_revenue=0.8 * carries"),
        ("max_default_probability=0.05", "max_default_probability=0.1"),
        ("curve.sample(1000, rng=0)", "curve.sample(1000, rng=0).mean(axis=1, keepdims=True)"),
        ("(1 - pd_asked) / 1000)", "(1 - pd_asked))"),
    ],
    "05_promise": [
        ("ravel() - 1e-8", "ravel() * 1.2"),
        ("levels < 0.1", "levels > 0.1"),
        ("(sums**2).sum()", "sums.sum() ** 2 + 1"),
        ("(deviations**2).sum()", "deviations.sum() ** 2 + 1"),
        (") - 1]", ") + 20]"),
        ("max_default_probability=0.1,", "max_default_probability=0.5,"),
    ],
    "06_fields": [
        ('~applicants["category"].isin(seen', 'applicants["category"].isin(seen'),
        ('seen["category"].nunique() - 1', 'seen["category"].nunique()'),
        ("one_hot[~applicants[field].isin(shares.index)] = shares.to_numpy()", "pass"),
        ("curve.ppf(0.05)", "curve.ppf(0.5)"),
        ("* category[:, 1:]", "+ category[:, 1:]"),
    ],
    "07_scores": [
        (".mean() / 2 for", ".mean() for"),
        ("curve.crps(y)", "np.abs(y - curve.ppf(0.5).ravel())"),
        ("(sums**2).sum()", "values.var()"),
        ("0.05, -0.95", "0.95, -0.05"),
    ],
    "08_vintages": [
        ('past["day"] + tenor <= start', 'past["day"] < start'),
        ('past["day"] < start).sum()', 'past["day"] < start).sum() + 1'),
        ("ppf(0.1)", "ppf(0.2)"),
        ("(default - default.mean())", "default"),
        ('known["sold"], rng=0) < 0.1', 'known["sold"], rng=0) < 0.2'),
        ("0.1) < 0.05", "0.1) > 0.05"),
    ],
    "09_one_loan": [
        ("[:, None] * remitted", "[:, None] * remitted / 2"),
        ('past["loss"].sum() / past', 'past["loss"].mean() / past'),
    ],
    "10_committee": [
        ("max_default_probability=0.05", "max_default_probability=0.2"),
        ("[-1000:]", "[-20000:]"),
        ("by_platform / by_platform.sum()", "by_platform.rank() / 6"),
        ("0.8 * carries).sum()", "1.25 * carries).sum() + el"),
    ],
}
# Answers that two classes may share.
SHARED = {"slope", "on_plane", "n_columns", "n_rare", "n_crossed"}


GRADER = importlib.util.find_spec("otter")
needs_grader = pytest.mark.skipif(GRADER is None, reason="no otter-grader is installed; make assignments brings it")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Folders with the tables of two classes, by seed."""
    folders = {seed: tmp_path_factory.mktemp(str(seed)) for seed in (SEED, OTHER)}
    for seed, folder in folders.items():
        lender.write_tables(folder, seed)
    return folders


@cache
def compute(assignment, seed):
    return answers.ASSIGNMENTS[assignment](lender.draw_lender(seed))


def list_wrong(path, values, seed):
    """Return the names of the values that the hidden checks of a class refuse."""
    wrong, right = [], compute(path.stem, seed)
    for name in list_checks(path):
        try:
            answers.compare(name, values[name], right[name])
        except AssertionError:
            wrong.append(name)
    return wrong


@each_assignment
def test_solutions_pass_and_planted_errors_fail(path, classes):
    assert list_wrong(path, solve(path, classes[SEED]), SEED) == []
    assert list_wrong(path, solve(path, classes[SEED], ERRORS[path.stem]), SEED) == list_checks(path)


@each_assignment
def test_another_seed_has_other_answers(path, classes):
    mine = compute(path.stem, SEED)
    mine = {name: value.value if isinstance(value, answers.Within) else value for name, value in mine.items()}
    same = set(list_checks(path)) - set(list_wrong(path, mine, OTHER))
    assert same <= SHARED
    assert list_wrong(path, solve(path, classes[OTHER]), OTHER) == []


def test_another_seed_has_other_tables(classes):
    for name in ("past", "applicants", "weeks", "weights"):
        mine, other = (pd.read_csv(folder / f"{name}.csv") for folder in classes.values())
        assert not mine.equals(other)


def test_students_get_no_outcome_of_an_applicant(classes):
    table = pd.read_csv(classes[SEED] / "applicants.csv")
    assert not {"outcome", "loss", "tenor_units", "week", "quality", "level"} & set(table.columns)
    assert not (classes[SEED] / "truth.csv").exists()


@each_assignment
def test_an_assignment_is_short_and_opens_with_a_decision(path):
    cells = jupytext.read(path, fmt="md:myst").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown" and "points" not in cell.metadata)
    assert len(text.split()) < 700
    assert 3 <= len(assignments.list_questions(path)) <= 6
    assert set(list_checks(path)) == set(compute(path.stem, SEED))
    # Every solution is followed by a check of its shape or range, which students see.
    for cell, after in zip(cells, cells[1:]):
        if "checks" in cell.metadata:
            assert after.source.startswith("assert "), cell.source
    assert "points" in cells[-1].metadata and "*Rubric" in cells[-1].source


def run(*arguments):
    program = [sys.executable, assignments.ROOT / "book" / "assignments.py", *arguments]
    return subprocess.run(program, check=True, capture_output=True, encoding="utf-8").stdout


def submit(built, folder, student, path, changes=()):
    """Write a student's notebook: the solution, spoilt by changes, without the checks that students see."""
    notebook = nbformat.read(built / "teacher" / path.stem / f"{path.stem}.ipynb", as_version=4)
    rest = list(changes)
    for cell in notebook.cells:
        for old, new in changes:
            if cell.cell_type == "code" and old in cell.source:
                cell.source = cell.source.replace(old, new)
                rest = [change for change in rest if change != (old, new)]
    assert not rest
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("assert ")]
    (folder / student).mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / student / f"{path.stem}.ipynb")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """All assignments of a class; Otter-Grader has given their solutions full marks, or the build would have failed."""
    folder = tmp_path_factory.mktemp("built")
    run("--output", folder, "build", "--seed", str(SEED))
    return folder


@needs_grader
def test_from_hand_out_to_grade(built, tmp_path):
    for path in SOURCES:
        submit(built, tmp_path, "right", path)
        submit(built, tmp_path, "wrong", path, ERRORS[path.stem])
    name = f"{NAMES[0]}.ipynb"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / name).write_bytes((built / "student" / NAMES[0] / name).read_bytes())
    run("--output", built, "grade", tmp_path)
    table = pd.read_csv(built / "grades.csv")
    assert table["note"].isna().all()
    by_hand = table["points"].isna()
    texts = {(path.stem, name) for path in SOURCES for name, _, text in assignments.list_questions(path) if text}
    assert set(zip(table["assignment"][by_hand], table["question"][by_hand])) == texts
    sums = table[~by_hand].groupby(["student", "assignment"])[["points", "of"]].sum()
    assert (sums.loc["right", "points"] == sums.loc["right", "of"]).all() and list(sums.loc["right"].index) == NAMES
    assert (sums.loc["wrong", "points"] == 0).all() and list(sums.loc["wrong"].index) == NAMES
    assert (sums.loc["empty", "points"] == 0).all()


@needs_grader
def test_students_get_no_answer_and_who_asks_for_one_is_noted(built, tmp_path):
    path = SOURCES[0]
    handed_out = sorted(file.name for file in (built / "student" / path.stem).rglob("*"))
    assert handed_out == [f"{path.stem}.ipynb", "applicants.csv", "past.csv"]
    text = (built / "student" / path.stem / f"{path.stem}.ipynb").read_text(encoding="utf-8")
    assert not re.search(f"{SEED}|lender import|answers|Rubric|good answer|SOLUTION|hidden", text, re.IGNORECASE)
    assert text.count("...") >= len(list_checks(path)) and "Type your answer here" in text
    cheat = [("(r * sales < applicant", "__import__('answers') and (r * sales < applicant")]
    submit(built, tmp_path, "sly", path, cheat)
    submit(built, tmp_path, "bold", path, [("sales = applicant", "import answers; sales = applicant")])
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / f"{path.stem}.ipynb").write_text('{"cells": [', encoding="utf-8")
    run("--output", built, "grade", tmp_path)
    notes = pd.read_csv(built / "grades.csv").groupby("student")["note"].first()
    assert notes[["bold", "sly"]].eq("asks for the answers").all() and notes["torn"].startswith("not graded")


@needs_grader
@pytest.mark.parametrize("names", [[], ["someone/essay.ipynb"]])
def test_a_folder_of_something_else_is_refused(names, built, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold STUDENT"):
        assignments.grade(tmp_path, built)
