"""Sphinx extension: no line ends between a number and its percent sign."""

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform

BREAK = re.compile(r"(?<=\d) (?=%)")


class KeepPercentSigns(SphinxTransform):
    default_priority = 800

    def apply(self, **kwargs):
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, nodes.FixedTextElement | nodes.literal | nodes.math) and BREAK.search(text):
                text.parent.replace(text, nodes.Text(BREAK.sub("\N{NO-BREAK SPACE}", text)))


def setup(app):
    app.add_transform(KeepPercentSigns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
