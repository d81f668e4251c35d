"""Sphinx extension: the book on paper (make pdf), where nothing unfolds or moves. Its look is paper.tex.

- The text before the parts is a chapter, "About this book"; LaTeX numbers the parts; appendices have no numbers.
- The code that a page of the browser folds is left out, except long sources, which are what a chapter shows.
- Solutions, and answers of the quiz, are one appendix, and exercises and questions say on which page.
- Data frames are tables (paper_tables.py), and a table of many words has columns as wide as these need.
"""

import re
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from paper_tables import set_frame
from sphinx.addnodes import number_reference, start_of_file, tabular_col_spec, toctree
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.latex import LaTeXTranslator
from sphinx_exercise.nodes import exercise_enumerable_node, solution_node
from sphinx_proof.nodes import NODE_TYPES, proof_node

import qrgmm

LOOK = Path(__file__).with_suffix(".tex")
NOTE = (
    "So it is in a browser. On paper the code of imports and figures is left out, figures that can be moved stand "
    "still, and solutions are gathered in an appendix; the notebooks have all of it."
)
STATEMENTS = {exercise_enumerable_node: "exercise"} | {kind: name for name, kind in NODE_TYPES.items()}
LINE, SHORT = 90, 16  # characters of a table that fit beside each other; those of a column that is not to be broken


def define_macros(macros):
    """Return what MathJax is told of macros, {name: LaTeX}, as definitions; names that LaTeX has are taken over."""
    return "".join(f"\\def\\{name}{{{tex}}}\n" for name, tex in macros.items())


def set_look(app, config):
    words = {
        "bookversion": qrgmm.__version__,
        "bookabout": config.html_context["description"],
        "booklicence": re.sub("<[^>]*>", "", config.html_theme_options["extra_footer"]),
    }
    macros = define_macros(words | config.mathjax3_config["tex"]["macros"])
    # unicode-math gives symbols their names when the document begins, before this.
    look = LOOK.read_text(encoding="utf-8") + f"\\AtBeginDocument{{\n{macros}}}\n"
    config.latex_elements = config.latex_elements | {"preamble": look}


def raw(tex):
    return nodes.raw("", tex, format="latex")


def find_page(node):
    """Return the name of the page, or chapter, that a node of the whole book comes from."""
    while "docname" not in node:
        node = node.parent
    return node["docname"]


def is_answer(node):
    return isinstance(node, solution_node) or (
        isinstance(node, nodes.container) and node.get("design_component") == "dropdown"
    )


class Paper(SphinxPostTransform):
    default_priority = 15  # after references are resolved, before what only other builders can use
    formats = ("latex",)

    def run(self, **kwargs):
        self.drop_folded_code()
        self.set_tables()
        self.box_statements()
        self.number_links()
        self.arrange(self.gather_answers())

    def find(self, kind):
        return list(self.document.findall(kind))

    def drop_folded_code(self):
        for cell in self.find(nodes.container):
            if "tag_hide-input" in cell["classes"]:
                cell.pop(0)
        for fold in self.find(HideCodeCellNode):
            fold.replace_self(fold.children)

    def set_tables(self):
        for html in self.find(nodes.raw):
            if "<table" in html.astext():
                html.replace_self(raw(set_frame(html.astext())))
            elif html.astext() == "<br>":
                html.replace_self(raw(r"\newline "))
        for table in self.find(nodes.table):
            fit_columns(table)

    def box_statements(self):
        """Put theorems and exercises into boxes that begin with kind, number and name; mark where a proof ends."""
        for node in self.find(lambda node: type(node) in STATEMENTS):
            kind = STATEMENTS[type(node)]
            number = self.find_number(find_page(node), kind, node["ids"][0])
            title = nodes.title("", f"{kind.title()} {number}", *name_statement(node))
            box = nodes.admonition("", title, *node[1].children)
            node.replace_self([nodes.target("", "", ids=node["ids"]), box])
        for node in self.find(proof_node):
            proof = node[0].children
            (proof[-1] if isinstance(proof[-1], nodes.paragraph) else proof).append(raw(r"\bookqed"))
            node.replace_self(proof)

    def find_number(self, page, kind, name):
        return ".".join(map(str, self.env.toc_fignumbers[page][kind][name]))

    def number_links(self):
        """Let links to exercises say their number; LaTeX doesn't count them."""
        for link in self.find(number_reference):
            name = link.get("refid") or link["refuri"].rpartition("#")[2]
            if exercise := self.env.sphinx_exercise_registry.get(name):
                number = self.find_number(exercise["docname"], "exercise", name)
                link.replace_self(link_to(exercise["docname"], name, nodes.Text(f"Exercise {number}")))

    def gather_answers(self):
        """Take solutions and answers out of their pages and return them as an appendix."""
        sections = {}
        for node in self.find(is_answer):
            page, section = find_page(node), node.parent
            title = self.name_page(page)
            if isinstance(node, solution_node):
                name, answer, exercise = node["ids"][0], node[1].children, node["target_label"]
                number = self.find_number(page, "exercise", exercise)
                named = name_statement(self.env.sphinx_exercise_registry[exercise]["node"])
                question = link_to(page, exercise, nodes.Text(f"Exercise {number}"), *named)
            else:
                name, answer = f"answer-{section['ids'][0]}-{section.index(node)}", node[1:]
                question = section[section.index(node) - 1][0].deepcopy()
                title += [nodes.Text(": "), *section[0].deepcopy().children]
            section = nodes.section("", nodes.title("", "", *title))
            section = sections.setdefault(section.astext(), section)
            heading = nodes.paragraph("", "", raw(r"\needspace{3\baselineskip}"), nodes.strong("", "", question))
            section += start_of_file("", nodes.target("", "", ids=[name]), heading, *answer, docname=page)
            node.replace_self(raw(rf"\answerpage{{{LaTeXTranslator.idescape(None, f'{page}:{name}')}}}"))
        return nodes.section("", nodes.title("", "Solutions and answers"), *sections.values(), ids=["solutions"])

    def name_page(self, page):
        number = self.env.toc_secnumbers.get(page, {}).get("")
        return [nodes.Text(f"{number[0]}. " if number else ""), *self.env.titles[page].deepcopy().children]

    def arrange(self, answers):
        """Make a chapter of the first page, put a heading before each part, and the answers before other appendices."""
        book = self.document.next_node(nodes.section)
        captions = [tree["caption"] for tree in self.env.get_doctree(self.app.config.root_doc).findall(toctree)]
        parts = [node for node in self.find(nodes.compound) if find_page(node) == self.document["docname"]]
        for part in parts:
            part.parent.remove(part)
        about = nodes.section(
            "", nodes.title("", "About this book"), *book[1:], nodes.paragraph("", NOTE), ids=["about"]
        )
        book[1:] = [raw(r"\unnumbered"), about]
        for part, caption in zip(parts, captions, strict=True):
            numeral, name = re.fullmatch(r"([IVX]+ )?(.+)", caption).groups()
            book += [raw((r"\numbered" if numeral else r"\unnumbered") + rf"\part{{{name}}}"), part]
        parts[-1].insert(0, [raw(r"\addtocontents{toc}{\setcounter{tocdepth}{0}}"), answers])
        for page in self.find(start_of_file):
            if page["docname"] == "book/api":
                page.insert(0, raw(r"\footnotesize"))
                page.append(raw(r"\normalsize"))


def link_to(page, name, *words):
    return nodes.reference("", "", *words, internal=True, refuri=f"%{page}#{name}")


def name_statement(node):
    """Return the name of a theorem or exercise in brackets, as nodes, or nothing."""
    title = node[0]
    if isinstance(node, exercise_enumerable_node):
        return [nodes.Text(" ("), *title[1].deepcopy().children, nodes.Text(")")] if len(title) > 1 else []
    return title.deepcopy().children


def fit_columns(table):
    """Where lines of a table don't fit, give short columns what they need, and let the others share the rest."""
    rows = [[len(cell.astext()) for cell in row] for row in table.findall(nodes.row)]
    longest = [max(column) + 2 for column in zip(*rows, strict=True)]
    if sum(longest) > LINE:
        shares = [n if n <= SHORT else 0 for n in longest]
        long = [min(n, 3 * SHORT) if n > SHORT else 0 for n in longest]
        widths = [share or (LINE - sum(shares)) * n // sum(long) for share, n in zip(shares, long, strict=True)]
        spec = "".join(rf">{{\raggedright\arraybackslash}}\X{{{width}}}{{{sum(widths)}}}" for width in widths)
        table.parent.insert(table.parent.index(table), tabular_col_spec(spec=spec))
        table["classes"] = ["longtable"]


def setup(app):
    app.connect("config-inited", set_look)
    app.add_post_transform(Paper)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
