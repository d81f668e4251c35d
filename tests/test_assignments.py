"""The assignments: right answers pass the hidden checks, planted errors don't, and another seed has other answers."""

import ast
import importlib.util
import os
import re
import subprocess
import sys

import answers
import assignments
import jupytext
import lender
import nbformat
import numpy as np
import pandas as pd
import pytest

SOURCES = assignments.list_assignments()
NAMES = [path.stem for path in SOURCES]
each_assignment = pytest.mark.parametrize("path", SOURCES, ids=NAMES)
SEED, OTHER = 20261, 20262


def solve(path, folder, changes=()):
    """Run the solutions of an assignment in a folder of tables and return their names, errors planted by `changes`."""
    cells = [cell for cell in jupytext.read(path, fmt="md:myst").cells if cell.cell_type == "code"]
    code = "\n".join(cell.source for cell in cells)
    for old, new in changes:
        assert old in code, f"{old!r} isn't in {path.stem}"
        code = code.replace(old, new)
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


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Tables of two classes, by seed."""
    folders = {seed: tmp_path_factory.mktemp(str(seed)) for seed in (SEED, OTHER)}
    for seed, folder in folders.items():
        lender.write_tables(folder, seed)
    return folders


def fails(path, name, values, seed):
    """Say whether a value is refused by the hidden check of a class."""
    right = compute(path.stem, seed)
    try:
        answers.compare(name, values[name], right[name])
    except AssertionError:
        return True
    return False


def compute(assignment, seed):
    return answers.ASSIGNMENTS[assignment](lender.draw_lender(seed))


@each_assignment
def test_solutions_pass(path, classes):
    values = solve(path, classes[SEED])
    assert not [name for name in list_checks(path) if fails(path, name, values, SEED)]
