"""The extensions of the book's pages, one rule at a time; test_book.py looks at the pages that come of them."""

import chapter_numbers
import folded_code
import number_columns
import published
import pytest
import unbroken
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_output

SOURCE = "def f(\n    x,\n) -> int:\n    y = x\n\n    return y\n"


@pytest.mark.parametrize(
    ("code", "tags", "words"),
    [
        ("import numpy as np", [], "Imports"),
        ("import numpy as np\nimport a\na.use_style()", [], "Imports"),
        ("from a import (\n    b,\n    c,\n)\n\nb.use_style()\nred, blue = c.COLORS", [], "Imports"),
        ("import a\nx = a.f()\ny = a.g(x)", [], None),
        ("x = 1\nimport a\nimport b", [], None),
        ("ax.plot(x)\nplt.show()\n", [], "The code of this figure"),
        ("assert x\nax.plot(x)\nplt.show()", [], None),
        ("x = f()\nmoving.loan_figure(\n    x, still='fig-a'\n)", [], "The code that moves it"),
        ("figure = moving.loan_figure(x)", [], None),
        ("ax.plot(x)\nplt.show()", ["solution"], None),
        ("import a", ["parameters"], None),
        ("x = 1", [], None),
        ("%matplotlib inline", [], None),
    ],
)
def test_imports_and_figures_are_folded(code, tags, words):
    cell = new_code_cell(code, metadata={"tags": tags})
    folded_code.mark(cell)
    assert cell.metadata.get("mystnb", {}).get("code_prompt_show") == words
    assert ("hide-input" in cell.metadata["tags"]) == bool(words)


def test_imports_that_show_something_stay():
    cell = new_code_cell("import a", outputs=[new_output("stream", text="a stand-in\n")])
    folded_code.mark(cell)
    assert cell.metadata["tags"] == []


@pytest.mark.parametrize("before", ["", "44 levels\n"])
@pytest.mark.parametrize("after", ["", "\nbelow: 0.1\n"])
def test_a_source_gets_an_output_of_its_own(before, after):
    cell = new_code_cell("print(source(f))", outputs=[new_output("stream", text=before + SOURCE + after)])
    folded_code.mark(cell)
    texts = [output.text for output in cell.outputs]
    assert texts == [text.lstrip("\n") for text in (before, SOURCE, after) if text]


@pytest.mark.parametrize(
    ("before", "begins"),
    [
        ("", True),
        ("It ends. ", True),
        ("Does it? (", True),
        ("He said “so.” ", True),
        ("as in ", False),
        ("is seen here (", False),
        ("one thing: ", False),
        ("about 0.5 of ", False),
    ],
)
def test_the_beginning_of_a_sentence_is_seen(before, begins):
    assert bool(chapter_numbers.SENTENCE_BEGINS.search(before)) is begins


def test_text_before_a_reference_is_that_of_its_paragraph():
    here = nodes.inline("", "here")
    nodes.paragraph("", "", nodes.Text("One. "), nodes.emphasis("", "", nodes.Text("Two "), here))
    assert chapter_numbers.find_text_before(here) == "One. Two "


def test_columns_of_numbers_are_marked_with_their_heads():
    rows = [
        "<th></th><th>loan</th><th>what</th>",
        "<th>a</th><td>1,200</td><td>x 1</td>",
        "<th>b</th><td>nan</td><td>y</td>",
    ]
    html = f'<table border="1" class="dataframe">{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'
    table = BeautifulSoup(number_columns.TABLE.sub(number_columns.align, html), "html.parser")
    assert [cell.get_text() for cell in table.select(".number")] == ["loan", "1,200", "–"]


@pytest.mark.parametrize(
    "shown", ["1640.0 1,640.0", "-27161 -27,161", "999.25 999.25", "0.12345 0.12345", "1e4000 1e4000"]
)
def test_thousands_are_set_apart_in_columns_of_numbers_alone(shown):
    before, after = shown.split()
    html = f'<table class="dataframe"><tr><th>2011</th><td>{before}</td></tr></table>'
    table = BeautifulSoup(number_columns.TABLE.sub(number_columns.align, html), "html.parser")
    assert [cell.get_text() for cell in table.find_all(["th", "td"])] == ["2011", after]


@pytest.mark.parametrize(
    "number",
    ["0.5", "-1", "−0.031 ± 0.004", "5 %", "1e-9", "(0.14; 0.70)", "2017-03", "≤ 3", "1,000", "7.5\N{NO-BREAK SPACE}s"],
)
def test_numbers_are_seen(number):
    assert number_columns.NUMBER.fullmatch(number)


@pytest.mark.parametrize("words", ["QRGMM", "a 5", "", "e", "n = 5"])
def test_words_are_no_numbers(words):
    assert not number_columns.NUMBER.fullmatch(words)


def test_source_links_lead_to_what_can_be_edited():
    def links(pagename, suffix):
        buttons = [
            {"label": "source-edit-button", "url": f"https://example.org/edit/main/{pagename}{suffix}"},
            {"label": "source-issues-button", "url": "https://example.org/issues/new"},
        ]
        context = {"header_buttons": [{"label": "source-buttons", "buttons": buttons}]}
        published.mend_edit_links(None, pagename, "page.html", context, None)
        return [button["url"] for button in context["header_buttons"][0]["buttons"]]

    issue = "https://example.org/issues/new"
    assert links("notebooks/01_loss", ".ipynb") == ["https://example.org/edit/main/notebooks/01_loss.md", issue]
    assert links("book/glossary", ".md") == ["https://example.org/edit/main/book/glossary.md", issue]
    assert links("book/ledger", ".md") == [issue]


def test_a_percent_sign_stays_with_its_number_but_not_in_code():
    document = new_document("page")
    words, code = nodes.paragraph("", "of 5 % and 95 %, per cent % by"), nodes.literal_block("", "5 % 3")
    document += [words, code]
    unbroken.KeepPercentSigns(document).apply()
    assert words.astext() == "of 5\N{NO-BREAK SPACE}% and 95\N{NO-BREAK SPACE}%, per cent % by"
    assert code.astext() == "5 % 3"
