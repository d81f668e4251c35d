"""Write the reference of the package from its docstrings: the table of rooms in README.md -> Markdown for autodoc."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTRODUCTION = """# Reference

Every public name of the package `qrgmm`, from its docstrings: what goes in with shapes and units, what comes out, which
errors are raised, the equation and its source, and an example that is run by the tests. Rooms and files stand in their
reading order: each imports only files before it.

"""


def read_rooms():
    """Return {room: [files]} as README.md lists them; the first room, the law, has the name ""."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `qrgmm/(\w*)/?` \| [^|]+ \| (`[^|]+`) \|$", readme, re.MULTILINE)
    return {room: re.findall(r"`(\w+)`", files) for room, files in rows}


def list_modules():
    """Return the dotted names of all modules below `qrgmm`, in reading order."""
    return [name_module(room, file) for room, files in read_rooms().items() for file in files]


def name_module(room, file):
    return f"{room}.{file}".lstrip(".")


def write_pages(folder):
    """Write `api.md`, the list of modules with their ideas, and one page below `api/` per room."""
    lines = ["| module | idea |", "|---|---|"]
    (folder / "api").mkdir()
    for room, files in read_rooms().items():
        modules = [name_module(room, file) for file in files]
        text = f"# {name_room(room)}\n\n{read_idea(room)}\n\n" + "\n".join(map(describe_module, modules))
        (folder / page_of(room)).write_text(text, encoding="utf-8")
        lines += [f"| {{ref}}`{module} <api-{slug(module)}>` | {read_idea(module)} |" for module in modules]
    (folder / "api.md").write_text(INTRODUCTION + "\n".join(lines) + "\n", encoding="utf-8")


def name_room(room):
    return f"qrgmm.{room}" if room else "qrgmm"


def page_of(room):
    return f"api/{slug(room or 'law')}.md"


def describe_module(module):
    heading = f"(api-{slug(module)})=\n## {module}\n\n"
    return heading + f"```{{eval-rst}}\n.. automodule:: qrgmm.{module}\n   :members:\n```\n"


def read_idea(module):
    """Return the first line of the docstring of a module or a room."""
    path = ROOT / "qrgmm" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


def slug(name):
    return re.sub(r"\W+", "-", name.replace("_", "-").lower())
