"""Sphinx extension: columns of numbers get the class "number", heads included; book.css sets them to the right.

A style sheet can't tell a number from a word, so the cells of all tables are read here: Markdown's and data frames'.
Data frames set no thousands apart and call what is undefined NaN; a page does the one and shows a dash for the other.
Long names in the head of a table may break after an underscore, so that a wide one fits its page.
"""

import re

from bs4 import BeautifulSoup

TABLE = re.compile(r'<table [^>]*class="[^"]*\b(?:table|dataframe)\b[^"]*".*?</table>', re.DOTALL)
PART = r"[\d\s.,:;%()\[\]±+\-−–×*/<>≤≥e]*"  # of a number with its sign, error, unit or stars
NUMBER = re.compile(rf"{PART}\d{PART}(?:\s(?:ms|s|GiB))?")
LARGE = re.compile(r"([-−+]?)(\d{4,})(\.\d+)?")
UNDEFINED = {"nan", "NaN", "None", "<NA>"}
EMPTY = {"", "-", "–", "—"} | UNDEFINED


def align(match):
    """Mark the columns of one table most of whose cells are numbers."""
    table = BeautifulSoup(match[0], "html.parser")
    # From the right, since cells that name a row may span several of them.
    rows = [row.find_all(["td", "th"], recursive=False)[::-1] for row in table.find_all("tr")]
    n_columns = min((sum(cell.name == "td" for cell in row) for row in rows if row and row[0].name == "td"), default=0)
    for i in range(n_columns):
        cells = [row[i] for row in rows if len(row) > i and not any(cell.has_attr("colspan") for cell in row[: i + 1])]
        words = [text for cell in cells if cell.name == "td" and (text := cell.get_text().strip()) not in EMPTY]
        if 2 * sum(bool(NUMBER.fullmatch(text)) for text in words) > len(words):
            for cell in cells:
                cell["class"] = [*cell.get("class", []), "number"]
                if cell.name == "td" and cell.string:
                    cell.string = write_number(cell.string.strip())
    for name in table.select("thead th"):
        if name.string and "_" in name.string:
            *parts, last = re.split("(?<=_)", name.string)
            name.clear()
            for part in parts:
                name.extend([part, table.new_tag("wbr")])
            name.append(last)
    return str(table)


def write_number(text):
    large = LARGE.fullmatch(text)
    if large:
        sign, whole, decimals = large.groups(default="")
        return f"{sign}{int(whole):,}{decimals}"
    return "–" if text in UNDEFINED else text


def align_tables(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = TABLE.sub(align, context["body"])


def setup(app):
    app.connect("html-page-context", align_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
