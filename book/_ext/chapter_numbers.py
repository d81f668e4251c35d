"""Sphinx extension: {ref}`ch-loss` reads "chapter 1", {ref}`sec-loss-loan` "section 1.6"; the title shows on hovering.

A reference that is given its words keeps them: {ref}`the lender's desk <ch-desk>`. One that is a heading shows number
and title, and one to a page without number the title, as everywhere in Sphinx.
"""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

KINDS = {"ch-": "chapter", "sec-": "section"}  # how labels begin
# Nothing, or the end of a sentence with a quote or bracket around it, and perhaps an opening bracket.
SENTENCE_BEGINS = re.compile(r"""(?:^|[.?!][”"’')\]]*\s)\s*[(\[“"]?$""")


def find_text_before(node):
    """Return what stands before a node in its paragraph, heading or cell."""
    text = ""
    while True:
        siblings = node.parent.children
        text = "".join(each.astext() for each in siblings[: siblings.index(node)]) + text
        node = node.parent
        if not isinstance(node, nodes.Inline):
            return text


class NumberReferences(SphinxPostTransform):
    default_priority = 5  # before Sphinx resolves references, at 10

    def run(self, **kwargs):
        for node in list(self.document.findall(pending_xref)):
            kind = next((kind for start, kind in KINDS.items() if node["reftarget"].startswith(start)), None)
            label = self.env.domains["std"].labels.get(node["reftarget"])
            if node["reftype"] == "ref" and not node["refexplicit"] and kind and label:
                self.resolve(node, kind, *label)

    def resolve(self, node, kind, docname, anchor, title):
        number = self.find_number(kind, docname, anchor)
        if number is None:
            return
        text = f"{kind}\N{NO-BREAK SPACE}{number}"
        before = find_text_before(node)
        if SENTENCE_BEGINS.search(before):
            text = text.capitalize()
        if isinstance(node.parent, nodes.title):
            text = f"{number}. {title}"
        words = nodes.inline(text, text, classes=["std", "std-ref"])
        node.replace_self(make_refnode(self.app.builder, node["refdoc"], docname, anchor, words, title))

    def find_number(self, kind, docname, anchor):
        """Return "4" or "4.2"; of a part of a section without number, that of the section; None on other pages."""
        numbers = self.env.toc_secnumbers.get(docname, {})
        section = None if kind == "chapter" else self.env.get_doctree(docname).ids.get(anchor)
        while isinstance(section, nodes.section):
            if number := numbers.get(f"#{section['ids'][0]}"):
                return ".".join(map(str, number))
            section = section.parent
        return ".".join(map(str, numbers[""])) if numbers.get("") else None


def title_headings(app, env):
    """Let the contents of a page show the titles of headings that are references: Sphinx leaves their labels there."""
    labels = env.domains["std"].labels
    for toc in env.tocs.values():
        for node in list(toc.findall(nodes.inline)):
            if "std-ref" in node["classes"] and node.astext() in labels:
                _, _, title = labels[node.astext()]
                node.parent.replace(node, nodes.Text(title))


def setup(app):
    app.connect("env-updated", title_headings)
    app.add_post_transform(NumberReferences)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
