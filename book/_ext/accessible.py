"""Sphinx extension: mend what the theme and other extensions put in the way of readers who listen to a page."""

from docutils import nodes

# Given to every proof, exercise and solution, so that an address names several places of a page.
REPEATED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}


def drop_repeated_ids(app, doctree, docname):
    for node in doctree.findall(nodes.Element):
        if REPEATED_IDS.intersection(node["ids"]):
            node["ids"] = [name for name in node["ids"] if name not in REPEATED_IDS]


def mend_words(app, pagename, templatename, context, doctree):
    """Make the entries of the list of references items of a list; let what is folded be called what it is."""
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')  # the old role was withdrawn
        context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")


def setup(app):
    app.connect("doctree-resolved", drop_repeated_ids)
    app.connect("html-page-context", mend_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
