"""A data frame on paper: its table in HTML -> LaTeX, with columns of numbers to the right."""

from bs4 import BeautifulSoup
from number_columns import TABLE, align
from sphinx.util import texescape

texescape.init()  # or it escapes nothing


def set_frame(html):
    """Return the table in `html` as LaTeX."""
    table = BeautifulSoup(TABLE.sub(align, html), "html.parser").table
    rows = lay_out(table.find_all("tr"))
    n_head = len(table.thead.find_all("tr")) if table.thead else 0
    body = rows[n_head:] or rows
    columns = "".join("r" if is_number(body, i) else "l" for i in range(count_columns(rows[0])))
    lines = [" & ".join(map(set_cell, row)) + r" \\" for row in rows]
    head, rest = "\n".join(lines[:n_head]), "\n".join(lines[n_head:])
    return f"\\begin{{bookframe}}{{{columns}}}\n\\toprule\n{head}\n\\midrule\n{rest}\n\\bottomrule\n\\end{{bookframe}}"


def lay_out(rows):
    """Return [(cell, n_columns)] per row; in the place of what a cell of an earlier row covers stands None."""
    covered, laid_out = {}, []  # covered: {column: rows that are still under a cell}
    for row in rows:
        cells, line = iter(row.find_all(["td", "th"], recursive=False)), []
        cell = next(cells, None)
        while cell is not None or covered.get(count_columns(line), 0):
            i = count_columns(line)
            if covered.get(i, 0):
                covered[i] -= 1
                line.append((None, 1))
                continue
            n_columns = int(cell.get("colspan", 1))
            covered |= dict.fromkeys(range(i, i + n_columns), int(cell.get("rowspan", 1)) - 1)
            line.append((cell, n_columns))
            cell = next(cells, None)
        laid_out.append(line)
    return laid_out


def count_columns(line):
    return sum(n_columns for _, n_columns in line)


def is_number(rows, i):
    """Say whether number_columns.py has found numbers in a column, most of whose cells it has marked then."""
    return any(row_at(row, i) is not None and "number" in row_at(row, i).get("class", []) for row in rows)


def row_at(row, i):
    """Return the cell of a row that begins at column `i`, or None."""
    starts = {count_columns(row[:k]): cell for k, (cell, _) in enumerate(row)}
    return starts.get(i)


def set_cell(placed):
    cell, n_columns = placed
    text = texescape.escape(" ".join(cell.get_text().split()), "xelatex") if cell is not None else ""
    if cell is not None and cell.name == "th" and cell.find_parent("thead"):
        text = f"\\textbf{{{text}}}" if text else ""
    return text if n_columns == 1 else f"\\multicolumn{{{n_columns}}}{{l}}{{{text}}}"
