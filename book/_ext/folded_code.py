"""Sphinx extension: which code of a chapter a page folds, and which of its outputs is Python. The one place of the rule.

Folded are, until the reader opens one or all of them (book.js):

- imports: a cell that begins with one, is imports for the most part, and shows nothing;
- figures: a cell whose last line is plt.show(), unless it asserts something;
- sources: an output of print(source(...)) of more lines than LONG. Long or not, it is coloured as Python.

The parameters cell stays open, and so does all that derives, shows or agrees. A solution is folded as a whole. The
chapters themselves, and the notebooks that a reader downloads, are as they were.
"""

import ast

import nbformat
from docutils import nodes

LONG = 25
SOURCE = "package-source"  # a tag for this page only


def parse(cell):
    """Return the statements of a cell, none where it is more than Python."""
    try:
        return ast.parse(cell.source).body
    except SyntaxError:
        return []


def is_imports(cell, statements):
    kinds = [isinstance(each, ast.Import | ast.ImportFrom) for each in statements]
    return bool(kinds) and kinds[0] and 2 * sum(kinds) > len(kinds) and not cell.outputs


def is_figure(cell):
    return cell.source.rstrip().endswith("plt.show()") and "assert" not in cell.source


def is_call(node, name):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def is_source(statements):
    """Say whether all that a cell does is print(source(...)), with one source or several."""
    calls = [getattr(each, "value", None) for each in statements if not isinstance(each, ast.Import | ast.ImportFrom)]
    return bool(calls) and all(
        is_call(call, "print") and call.args and all(is_call(argument, "source") for argument in call.args)
        for call in calls
    )


def hide(cell, what, words):
    cell.metadata["tags"].append(f"hide-{what}")
    cell.metadata.setdefault("mystnb", {}).update(code_prompt_show=words, code_prompt_hide=words)


def mark(cell):
    """Give a code cell the tags that MyST-NB folds by."""
    tags, statements = cell.metadata.setdefault("tags", []), parse(cell)
    if is_source(statements):
        tags.append(SOURCE)
        n_lines = sum(output.get("text", "").count("\n") for output in cell.outputs)
        if n_lines > LONG:
            hide(cell, "output", f"The source, {n_lines} lines")
    elif "parameters" in tags or "solution" in tags:
        return
    elif is_imports(cell, statements):
        hide(cell, "input", "Imports")
    elif is_figure(cell):
        hide(cell, "input", "The code of this figure")


def mark_chapter(app, docname, source):
    if app.env.doc2path(docname).endswith(".ipynb"):
        notebook = nbformat.reads(source[0], as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                mark(cell)
        source[0] = nbformat.writes(notebook)


def colour_sources(app, doctree):
    for cell in doctree.findall(nodes.container):
        if f"tag_{SOURCE}" in cell["classes"]:
            for output in cell.children[-1].findall(nodes.literal_block):
                output["language"] = "python"


def setup(app):
    app.connect("source-read", mark_chapter)
    app.connect("doctree-read", colour_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
