"""Write the reference of the package from its docstrings: the reading order in README.md -> Markdown for autodoc."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first module of each part, in reading order.
PARTS = {
    "source": "Quantile regression",
    "curve": "Curves and risk",
    "encoding": "Models of sales",
    "cross_border": "Simulators and data",
    "delayed_payment": "Payments, warnings, portfolios",
    "memo": "The lender's desk",
    "studies": "Studies and figures",
}
INTRODUCTION = """# Reference

Every public name of the package `qrgmm`, from its docstrings: what goes in with shapes and units, what comes out, which
errors are raised, the equation and its source, and an example that is run by the tests. Modules stand in their reading
order: each imports only modules before it.

"""


def read_order():
    """Return the names of the modules in the order in which README.md lists them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listing = re.search(r"meant to be read, in this order:\n(.+?);", readme, re.DOTALL)[1]
    return re.findall(r"`(\w+)`", listing)


def group_modules():
    """Return the modules of each part, by its title."""
    groups = {}
    for module in read_order():
        if module in PARTS:
            part = groups.setdefault(PARTS[module], [])
        part.append(module)
    return groups


def write_pages(folder):
    """Write `api.md`, the list of modules with their ideas, and one page below `api/` per part."""
    lines = ["| module | idea |", "|---|---|"]
    (folder / "api").mkdir()
    for title, modules in group_modules().items():
        page = f"api/{slug(title)}.md"
        text = f"# {title}\n\n" + "\n".join(describe_module(module) for module in modules)
        (folder / page).write_text(text, encoding="utf-8")
        lines += [f"| {{ref}}`{module} <api-{slug(module)}>` | {read_idea(module)} |" for module in modules]
    (folder / "api.md").write_text(INTRODUCTION + "\n".join(lines) + "\n", encoding="utf-8")


def describe_module(module):
    heading = f"(api-{slug(module)})=\n## {module}\n\n"
    return heading + f"```{{eval-rst}}\n.. automodule:: qrgmm.{module}\n   :members:\n```\n"


def read_idea(module):
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "qrgmm" / f"{module}.py").read_text(encoding="utf-8")))
    return text.splitlines()[0]


def slug(name):
    return re.sub(r"\W+", "-", name.replace("'", "").replace("_", "-").lower())
