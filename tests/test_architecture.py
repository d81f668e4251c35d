"""The package stays thin and readable: one direction of imports, short files, documented names, examples."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import api_pages
import pytest

import qrgmm

FOLDER = Path(__file__).resolve().parents[1] / "qrgmm"
ROOMS = api_pages.read_rooms()  # of README.md, in reading order; the law has no name
# What a room may import beside the law; those that are not named here, every room before them.
MAY_IMPORT = {
    "quantile_regression": [],
    "models": ["quantile_regression"],
    "simulators": [],
    "datasets": ["models.encoding", "simulators.marketplace"],
    "portfolio": [],
}
ORDER = api_pages.list_modules()
TREES = {name: ast.parse((FOLDER / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")) for name in ORDER}
each_module = pytest.mark.parametrize("name", ORDER)
each_room = pytest.mark.parametrize("room", ROOMS)


def count_code_lines(name):
    """Lines that run: without docstrings, which a public name cannot do without, blank lines and comments."""
    lines = (FOLDER / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines()
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
    found = [path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.py")]
    assert sorted(ORDER) == sorted(".".join(path.parts) for path in found if not path.name.startswith("__"))


def find_own_imports(tree):
    """Names of the package's modules that a file imports, wherever in the file, "models.metamodel" for example."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "qrgmm":
            module = node.module.partition(".")[2]
            yield from [module] if module in ORDER else [f"{module}.{a.name}".lstrip(".") for a in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "qrgmm")


@each_module
def test_a_file_imports_only_files_before_it(name):
    allowed = ORDER[: ORDER.index(name)]
    room = name.rpartition(".")[0]
    if room in MAY_IMPORT:
        roots = (f"{room}.", *MAY_IMPORT[room])
        allowed = [other for other in allowed if other in ROOMS[""] or other.startswith(roots)]
    if name == "curve":
        allowed.append("plots")  # in a method, for whoever wants to look at a curve at once
    assert set(find_own_imports(TREES[name])) <= set(allowed)


@each_room
def test_a_room_says_its_sentence_and_its_public_names(room):
    module = importlib.import_module(api_pages.name_room(room))
    assert module.__doc__.splitlines()[0].endswith(".")
    assert module.__all__ and all(getattr(module, name) is not None for name in module.__all__)


@pytest.mark.parametrize("statement", ["import qrgmm", "from qrgmm.studies.results import load_results"])
def test_what_is_imported_first_is_quick_to_import(statement):
    slow = {"torch", "xgboost", "mesa", "highspy", "lightgbm", "matplotlib"}
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8")
    assert not slow & set(run.stdout.split())


def test_the_version_is_stated_once():
    citation = (FOLDER.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r'^version: "?([^"\n]+)', citation, re.MULTILINE)[1] == qrgmm.__version__


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
