"""Sphinx extension: which code of a chapter its page folds, and what it colours as Python. The one place of the rule.

Folded are, until the reader opens one or all of them (book.js):

- imports: a cell that begins with one, is imports in most of its lines, and shows nothing;
- figures: a cell whose last line is plt.show(), unless it asserts something, and a cell that lets one move;
- sources: what print(source(...)) shows, where it has more lines than LONG. Long or not, it is coloured.

The parameters cell stays open, and so does all that derives, shows or agrees. A solution is folded as a whole. The
chapters themselves, and the notebooks that a reader downloads, are as they were.
"""

import ast
import re

import nbformat
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode

LONG = 25
SHOWS_SOURCE = "shows-source"  # a tag of this page only
DEFINITION = r"(?:@|def |class )"
SOURCE = re.compile(rf"^{DEFINITION}.*(?:\n(?:{DEFINITION}|[ \t)]).*|\n)*", re.MULTILINE)


def parse(cell):
    """Return the statements of a cell, none where it is more than Python."""
    try:
        return ast.parse(cell.source).body
    except SyntaxError:
        return []


def is_imports(cell, statements):
    imports = [each for each in statements if isinstance(each, ast.Import | ast.ImportFrom)]
    n_lines, n_imported = (sum(s.end_lineno - s.lineno + 1 for s in some) for some in (statements, imports))
    return bool(imports) and imports[0] is statements[0] and 2 * n_imported > n_lines and not cell.outputs


def is_figure(cell):
    return cell.source.rstrip().endswith("plt.show()") and "assert" not in cell.source


def is_moving(statements):
    """Say whether a cell ends with a figure of qrgmm.moving, which takes the place of the still one above."""
    last = statements[-1] if statements else None
    return isinstance(last, ast.Expr) and ast.unparse(last).startswith("moving.")


def hide_input(cell, words):
    cell.metadata["tags"].append("hide-input")
    cell.metadata.setdefault("mystnb", {}).update(code_prompt_show=words, code_prompt_hide=words)


def split_source(output):
    """Return what was printed as three outputs: before the source, the source, and after it."""
    found = SOURCE.search(output.get("text", ""))
    if not found:
        return [output]
    texts = output.text[: found.start()], found[0], output.text[found.end() :]
    return [type(output)(output, text=text.strip("\n") + "\n") for text in texts if text.strip()]


def mark(cell):
    """Give a code cell the tags that MyST-NB folds by, and a source an output of its own."""
    tags = cell.metadata.setdefault("tags", [])
    if "print(source(" in cell.source:
        tags.append(SHOWS_SOURCE)
        cell.outputs = [part for output in cell.outputs for part in split_source(output)]
    elif "parameters" in tags or "solution" in tags:
        return
    elif is_imports(cell, parse(cell)):
        hide_input(cell, "Imports")
    elif is_figure(cell):
        hide_input(cell, "The code of this figure")
    elif is_moving(parse(cell)):
        hide_input(cell, "The code that moves it")


def mark_chapter(app, docname, source):
    if app.env.doc2path(docname).endswith(".ipynb"):
        notebook = nbformat.reads(source[0], as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                mark(cell)
        source[0] = nbformat.writes(notebook)


def colour_sources(app, doctree):
    cells = [node for node in doctree.findall(nodes.container) if f"tag_{SHOWS_SOURCE}" in node["classes"]]
    outputs = [block for cell in cells for block in cell.findall(nodes.literal_block) if "output" in block["classes"]]
    for block in outputs:
        if SOURCE.match(block.astext()):
            block["language"] = "python"
            n_lines = len(block.astext().splitlines())
            if n_lines > LONG:
                words = f"The source, {n_lines} lines"
                fold = HideCodeCellNode(prompt_show=words, prompt_hide=words, classes=["below-input"])
                block.parent.replace(block, fold)
                fold.append(block)


def setup(app):
    app.connect("source-read", mark_chapter)
    app.connect("doctree-read", colour_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
