"""The package stays thin and readable: one direction of imports, short files, documented names, examples."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import api_pages
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "qrgmm"
ORDER = api_pages.read_order()  # of README.md: a file imports only files before it
TREES = {name: ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")) for name in ORDER}
each_module = pytest.mark.parametrize("name", ORDER)


def count_code_lines(name):
    """Lines that run: without docstrings, which a public name cannot do without, blank lines and comments."""
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            for i in range(node.body[0].lineno - 1, node.body[0].end_lineno):
                lines[i] = ""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def imported_names(tree):
    """Dotted names of everything that a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public_members(name):
    """(dotted name, object) of the public functions, classes and methods that a module defines."""
    module = importlib.import_module(f"qrgmm.{name}")
    for key, member in vars(module).items():
        if key.startswith("_") or not callable(member) or getattr(member, "__module__", None) != module.__name__:
            continue
        yield key, member
        if inspect.isclass(member):
            for method, function in vars(member).items():
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{key}.{method}", function


MEMBERS = [(f"{name}.{key}", member) for name in ORDER for key, member in public_members(name)]
each_member = pytest.mark.parametrize("member", [m for _, m in MEMBERS], ids=[key for key, _ in MEMBERS])


def test_the_reading_order_names_every_file_once():
    assert sorted([*ORDER, "__init__"]) == sorted(path.stem for path in FOLDER.glob("*.py"))


@each_module
def test_a_file_imports_only_files_before_it(name):
    own = {found.split(".")[1] for found in imported_names(TREES[name]) if found.startswith("qrgmm.")}
    assert own <= set(ORDER[: ORDER.index(name)])


@each_module
def test_a_file_has_no_star_import_and_no_relative_one(name):
    imports = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in imports if node.level or node.names[0].name == "*"]


@each_module
def test_a_file_says_its_idea_and_can_be_read_in_one_sitting(name):
    assert ast.get_docstring(TREES[name])
    assert count_code_lines(name) <= 300


@pytest.mark.parametrize("name", [name for name in ORDER if name != "plots"])  # the chapters are the example of figures
def test_a_file_shows_an_example(name):
    assert any(">>>" in (inspect.getdoc(member) or "") for _, member in public_members(name))


@each_member
def test_a_public_name_says_what_it_does_and_takes(member):
    text = inspect.getdoc(member)
    assert text and text.splitlines()[0].endswith("."), "the first line is one sentence"
    parameters = {key for key in inspect.signature(member).parameters if key not in ("self", "cls")}
    # A docstring of one line is enough where the class says the rest; the attributes of a record are its parameters.
    if parameters and len(text.splitlines()) > 1:
        section = re.search(r"^(?:Parameters|Attributes)\n-+\n(.*?)(?:\n\n\w+\n-{3}|\Z)", text, re.S | re.M)
        assert section, "no section of parameters"
        entries = re.findall(r"^([\w*, ]+?)(?: : |$)", section[1], re.M)
        assert parameters <= {entry.strip("* ") for line in entries for entry in line.split(",")}
