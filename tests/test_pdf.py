"""The book on paper, piece by piece and without TeX: make pdf sets it and reads the log of that."""

import build
import paper
import paper_tables
import pdf
import pytest
import yaml
from docutils import nodes

SETTINGS = yaml.safe_load((build.ROOT / "book" / "_config.yml").read_text(encoding="utf-8"))


def test_formulas_on_paper_have_the_macros_of_the_pages():
    macros = SETTINGS["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    defined = paper.define_macros(macros).splitlines()
    assert defined == [f"\\def\\{name}{{{tex}}}" for name, tex in macros.items()]
    assert "\\def\\PD{\\operatorname{PD}}" in defined
    assert not [name for name in macros if f"\\{name}" in paper.LOOK.read_text(encoding="utf-8")]


def test_the_file_has_the_name_of_the_book_as_one_file():
    assert SETTINGS["latex"]["latex_documents"]["targetname"] == f"{build.OFFLINE}.tex"


def test_a_machine_without_tex_is_told_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit) as stopped:
        pdf.find_programs()
    assert pdf.PACKAGES in stopped.value.code and "xelatex" in stopped.value.code


def test_readme_names_the_same_packages():
    assert pdf.PACKAGES in " ".join((build.ROOT / "README.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "line",
    [
        "! Undefined control sequence.",
        "LaTeX Warning: Reference `notebooks/01_loss:eq-pd' on page 7 undefined on input line 9.",
        "LaTeX Warning: Hyper reference `notebooks/01_loss:ch-loss' on page 7 undefined on input line 9.",
        "LaTeX Warning: Citation `hong' on page 7 undefined on input line 9.",
        "LaTeX Warning: Label `notebooks/01_loss:a' multiply defined.",
        'Missing character: There is no † ("2020) in font cmr10!',
        "Overfull \\hbox (36.8055pt too wide) in paragraph at lines 29--30",
    ],
)
def test_what_is_lost_on_paper_is_found_in_the_log(line):
    assert pdf.find_losses(f"This is XeTeX\n{line}\n[7]\n{line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "Overfull \\hbox (9.8055pt too wide) in paragraph at lines 29--30",
        "Underfull \\hbox (badness 10000) in paragraph at lines 29--30",
        "LaTeX Warning: Label(s) may have changed. Rerun to get cross-references right.",
        "Package: hyperref 2022-09-22 v6.20 Hypertext links for LaTeX",
    ],
)
def test_what_no_reader_sees_is_not_lost(line):
    assert pdf.find_losses(line) == []


FRAME = """<table border="1" class="dataframe"><thead>
<tr><th></th><th colspan="2">loss of 5 %</th></tr>
<tr><th>model</th><th>mean</th><th>words</th></tr></thead><tbody>
<tr><th rowspan="2">a_b</th><td>0.10</td><td>x</td></tr>
<tr><td>12</td><td>y</td></tr></tbody></table>"""


def test_a_data_frame_becomes_a_table_with_numbers_to_the_right():
    lines = paper_tables.set_frame(f"<div>{FRAME}</div>").splitlines()
    assert lines == [
        r"\begin{bookframe}{lrl}",
        r"\toprule",
        r" & \multicolumn{2}{l}{\textbf{loss of 5 \%}} \\",
        r"\textbf{model} & \textbf{mean} & \textbf{words} \\",
        r"\midrule",
        r"a\_b & 0.10 & x \\",
        r" & 12 & y \\",
        r"\bottomrule",
        r"\end{bookframe}",
    ]


def make_table(*rows):
    body = nodes.tbody("", *(nodes.row("", *(nodes.entry("", nodes.paragraph("", x)) for x in row)) for row in rows))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), body)
    return nodes.section("", nodes.table("", group))


def test_a_short_table_is_left_as_it_is():
    section = make_table(["a", "b"])
    paper.fit_columns(section[0])
    assert len(section) == 1


def test_long_words_share_what_short_ones_leave():
    section = make_table(["verdict", "same"], ["not done", "w " * 200])
    paper.fit_columns(section[0])
    widths, table = section
    short = len("not done") + 2
    assert rf"\X{{{short}}}{{{paper.LINE}}}" in widths["spec"]
    assert rf"\X{{{paper.LINE - short}}}{{{paper.LINE}}}" in widths["spec"]
    assert table["classes"] == ["longtable"]
