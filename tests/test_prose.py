"""No number in prose without a source, no term of the glossary without a use, no reference without a link.

The source of a number is a cell of the same chapter that prints or sets it; else it is exempt for a reason. Numbers in
words are not looked at; nor are formulas, code, dates, and numbers that are names, as in "figure 6".
"""

import re
from pathlib import Path

import execute
import nbformat
import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = [path for path in execute.find_chapters() if path.with_suffix(".ipynb").exists()]
PAGES = [*sorted((ROOT / "book").glob("*.md")), ROOT / "README.md"]
# (page, number as written): where it comes from, if not from a cell of that page.
EXEMPT = {
    ("04_qrgmm", "95"): "the band is 1.96 standard errors wide on either side, in the line of code below",
    ("07_deepfm", "0.54"): "the constant 0.5413 of the code, to two digits",
    ("09_synthetic", "300"): "definition of the simulator",
    ("contributing", "30"): "limit set by test_notebooks.py",
    ("contributing", "8"): "limit set by test_notebooks.py",
    ("contributing", "88"): "width of a page, a rule of style",
    ("glossary", "0"): "definition",
    ("glossary", "1"): "definition",
    ("index", "5"): "limit chosen in cover.py, which draws the figure",
    ("notation", "1"): "definition",
    ("README", "5"): "limit chosen in cover.py, which draws the figure",
}
# References for which no identifier was found beside their title.
WITHOUT_LINK = {
    "gutenbrunner1993tests", "tasche1999risk", "vasicek2002distribution", "yi2023financial", "zhang2016simulation",
}
NAMED = (
    "agents?|algorithms?|appendix|arXiv|assumptions?|chapters?|CC BY|eqs?|equations?|examples?|exercises?|figs?"
    "|figures?|lemmas?|parts?|problems?|propositions?|Python|remarks?|sections?|steps?|tables?|theorems?"
)
ONE = r"\(?(?:EC\.)?[A-Z]?\d+(?:\.\d+)*\)?"
NOT_PROSE = [
    r"^---\n[\s\S]*?^---$",  # front matter
    r"^```(?:python|yaml)?\n[\s\S]*?^```$",  # code that is shown and not run
    r"^`{3,}.*$",
    r"^:[a-z-]+:.*$",
    r"^\([a-z0-9-]+\)=$",
    r"\$\$[\s\S]*?\$\$",
    r"\$[^$]+\$",
    r"\{math\}`[^`]+`",
    r"``[^`]+``|`[^`]+`",
    r"\]\([^)]*\)|<[^>]+>",  # where links lead
    rf"(?i)\b(?:{NAMED})\.?[ :]\s*{ONE}(?:(?:,|,? and|,? or| to)\s+{ONE})*",
    r"^\s*\d+\.\s|^\*\*\d+\.\*\*|^\| \d+ \||\[\d\d ",  # items of lists and tables, chapters by their number
    r"\b\d?\d:\d\d\b|\b(?:\d?\d [A-Z][a-z]+ )?(?:19|20)\d\d\b",  # times and dates
    r"\b[A-Za-z]+\d+\b|\b\d[A-Z]+\b",  # F1, 3PL
]
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\d)")


def to_value(number):
    return float(number.rstrip(",").replace(",", ""))


def find_numbers(text):
    """Return [(number as written, the values that would be its source)] of a text."""
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE)
    found = []
    for match in NUMBER.finditer(text):
        value = to_value(match[0])
        percent = re.match(r"\s?%", text[match.end() :])
        found.append((match[0].rstrip(","), {value, round(value / 100, 12)} if percent else {value}))
    return found


def find_values(notebook):
    """Return the values that the code cells of a notebook set or print."""
    values = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = [cell.source.replace("_", ""), *(output.get("text", "") for output in cell.outputs)]
            data = [output.get("data", {}) for output in cell.outputs]
            texts += [text for each in data for kind, text in each.items() if kind.startswith("text/")]
            values |= {to_value(number) for text in texts for number in NUMBER.findall(text)}
    return values


def find_prose(notebook):
    """Return the prose of a notebook: its text, and the captions and alternative texts of its figures."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
        elif "mystnb" in cell.metadata:
            figure = cell.metadata["mystnb"]
            yield figure.get("figure", {}).get("caption", "") + "\n\n" + figure.get("image", {}).get("alt", "")


def find_unsourced(notebook):
    values = find_values(notebook)
    return {number for text in find_prose(notebook) for number, sources in find_numbers(text) if not sources & values}


def find_unsourced_of_page(path):
    if path in CHAPTERS:
        return find_unsourced(nbformat.read(path.with_suffix(".ipynb"), as_version=4))
    return {number for number, _ in find_numbers(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("path", [*CHAPTERS, *PAGES], ids=lambda path: path.stem)
def test_every_number_in_prose_has_a_source(path):
    exempt = {number for page, number in EXEMPT if page == path.stem}
    assert find_unsourced_of_page(path) == exempt, "print it, say it in words, or exempt it with a reason"


def test_exemptions_are_of_pages_that_exist():
    assert {page for page, _ in EXEMPT} <= {path.stem for path in [*CHAPTERS, *PAGES]}


def test_every_term_of_the_glossary_is_linked_from_a_chapter():
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"((?:^\w.*\n)+)(?=^  \S)", glossary.partition("```{glossary}\n")[2], re.MULTILINE)
    roles = [role for path in CHAPTERS for role in re.findall(r"\{term\}`([^`]+)`", path.read_text(encoding="utf-8"))]
    linked = {" ".join(re.sub(r".*<(.+)>", r"\1", role, flags=re.DOTALL).split()).lower() for role in roles}
    assert len(entries) > 30
    assert not [entry for entry in entries if not linked & {term.lower() for term in entry.splitlines()}]


def test_every_reference_has_a_link():
    bibliography = parse_file(str(ROOT / "book" / "references.bib"), "bibtex")
    without = {key for key, entry in bibliography.entries.items() if not {"doi", "eprint", "url"} & {*entry.fields}}
    assert without == WITHOUT_LINK


def test_a_number_without_a_source_is_found():
    prose = "# A title\n\nOf 1,234 rows 5 % are late; see table 7, section 6.2 and $x = 99$, since 2017."
    cells = [
        nbformat.v4.new_markdown_cell(prose),
        nbformat.v4.new_code_cell("share = 0.05", outputs=[nbformat.v4.new_output("stream", text="rows 1,234")]),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert find_unsourced(notebook) == set()
    notebook.cells[1].outputs[0].text = "rows 1,235"
    assert find_unsourced(notebook) == {"1,234"}
    notebook.cells[1].source = "share = 0.06"
    assert find_unsourced(notebook) == {"1,234", "5"}
