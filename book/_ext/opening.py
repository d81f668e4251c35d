"""Sphinx extension: {opening} shows a figure of the chapter at its start, before the first line of code.

    ```{opening} fig-loss-limit
    The answer, {numref}`fig-loss-limit`: what each limit allows.
    ```

The picture and its description are those of the figure; the words are the caption. On paper, where the figure itself
is a few pages away, there is none.
"""

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


class opening_picture(nodes.Element):
    """Stands for the picture until the figures of the page are known."""


class Opening(SphinxDirective):
    required_arguments = 1
    has_content = True

    def run(self):
        words, _ = self.parse_inline(" ".join(self.content), lineno=self.lineno)
        return [opening_picture("", nodes.caption("", "", *words), figure=self.arguments[0])]


class ShowOpening(SphinxPostTransform):
    default_priority = 5  # before references in the caption are resolved

    def run(self, **kwargs):
        for node in list(self.document.findall(opening_picture)):
            if self.app.builder.format != "html":
                node.parent.remove(node)
                continue
            figures = [figure for figure in self.document.findall(nodes.figure) if node["figure"] in figure["ids"]]
            pictures = [image for figure in figures for image in figure.findall(nodes.image)]
            if not pictures:
                raise ExtensionError(f"{self.env.docname} opens with {node['figure']}, which is no figure of its own")
            picture = pictures[0].deepcopy()
            node.replace_self(nodes.figure("", picture, *node.children, ids=["opening"], classes=["opening"]))


def setup(app):
    app.add_node(opening_picture)
    app.add_directive("opening", Opening)
    app.add_post_transform(ShowOpening)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
