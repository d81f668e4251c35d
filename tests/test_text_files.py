"""Text is read and written as UTF-8 on every machine, whatever its locale is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "conftest.py"]
for folder in ("qrgmm", "notebooks", "book", "benchmarks", "tests"):
    FILES += sorted((ROOT / folder).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]
each_file = pytest.mark.parametrize("name", NAMES)
FILE_MODE = re.compile("[rwax][+t]*")


def uses_the_locale(call):
    """Say whether a call reads or writes text in the encoding of the machine."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given:
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) <= (name == "write_text")
    if name == "open":
        at = 1 if isinstance(call.func, ast.Name) else 0  # the builtin function, or the method of a path
        mode = given.get("mode", call.args[at] if len(call.args) > at else ast.Constant("r"))
        return isinstance(mode, ast.Constant) and bool(FILE_MODE.fullmatch(str(mode.value)))
    return getattr(given.get("text"), "value", None) is True  # of a process


@each_file
def test_text_files_name_their_encoding(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and uses_the_locale(node)]
    assert not [f"{name}:{call.lineno}" for call in calls]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(name)", True),
        ("open(name, 'rb')", False),
        ("path.open('w')", True),
        ("path.open(mode='wb')", False),
        ("tab.open(page, width, scheme)", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command)", False),
    ],
)
def test_calls_that_use_the_locale_are_found(code, expected):
    assert uses_the_locale(ast.parse(code).body[0].value) is expected
