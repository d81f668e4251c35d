"""Strict reading of CSV files: every cell as text, and refusals that name the column and the row.

Rows are counted as a spreadsheet counts them: the header is row 1.
"""

import csv
import difflib
import io
import re
from os import PathLike
from pathlib import Path

import pandas as pd

SPACES = " \u00a0\u202f"  # a plain blank, and those that do not break a line
GROUPS = {None: "", ".": r"\.", ",": ",", "'": "['\u2019]", " ": f"[{SPACES}]"}  # thousands signs as patterns
# What people read as a number, in whatever form: signs, currencies, percent, and a formula that Excel keeps as text.
_CURRENCY = (
    r"(?:[A-Za-z]{0,3}[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd]|EUR|USD|GBP|CHF|JPY|CNY|RMB|INR|KRW|CAD|AUD|NZD|SEK|NOK|DKK"
    r"|PLN|CZK|HUF|BRL|MXN|RUB|TRY|ZAR|HKD|SGD|Rs\.?|kr\.?|z\u0142)"
)
_DIGITS = (
    rf"(?:(?:\d{{1,3}}(?:[.,'\u2019{SPACES}]\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}|\d+)(?:[.,]\d*)?|[.,]\d+)"
    r"(?:[eE][+-]?\d+)?"
)
LIKE_NUMBER = re.compile(
    rf"(?:=?\"|=|')?\(?[+\-\u2212\u2013]?\s*(?:{_CURRENCY}\s*)?[+\-\u2212\u2013]?{_DIGITS}"
    rf"\s*(?:{_CURRENCY}|[%\u2030])?\s*-?\)?\"?"
)
_YEAR, _DAY, _MONTH = r"(?:1[89]|20)\d\d", r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_NAME = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
LIKE_DATE = re.compile(
    rf"(?:{_YEAR}[-/.]{_MONTH}(?:[-/.]{_DAY})?|{_DAY}[-/.]{_DAY}[-/.](?:{_YEAR}|\d\d)|{_MONTH}[-/.]{_YEAR}"
    rf"|{_DAY}[- .]*{_NAME}(?:[- .,]*(?:{_YEAR}|\d\d))?|{_NAME}[- ,]+{_DAY}?[- ,]*(?:{_YEAR}|\d\d))"
    r"(?:[ T,]+\d{1,2}:\d\d.*)?",
    re.IGNORECASE,
)


def read_cells(
    path: str | PathLike, separator: str = ",", encoding: str = "utf-8", least_columns: int = 2
) -> pd.DataFrame:
    """Return all cells of a CSV file as text.

    Parameters
    ----------
    path : path
        Blank rows, columns without a name, such as a row number, byte order marks, and the row `sep=,` that Excel
        neither shows nor counts are left out.
    separator : str
        Of cells, one character.
    encoding : str
    least_columns : int
        With 1, a list of names is a table, too; else it looks like one with another separator.

    Returns
    -------
    pandas.DataFrame of str
        Without blanks around the cells; the index counts rows as a spreadsheet does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, not in this encoding or no CSV, has a column twice, or has rows of unequal length; or if
        separator or encoding are none.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.csv"
    ...     _ = path.write_text("store,units\\n007, 12\\n", encoding="utf-8")
    ...     read_cells(path)
      store units
    2   007    12
    """
    if not (isinstance(separator, str) and len(separator) == 1 and separator not in '"\r\n'):
        raise ValueError(f"separator must be one character between cells, got {separator!r}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"path must name a CSV file, got {str(path)!r}")
    text = _read_text(path, encoding)
    declared = re.match(r'"?sep=(.)"?[ \t,;]*(?:\r\n?|\n|$)', text, re.IGNORECASE)
    if declared and declared[1] != separator:
        raise ValueError(f"{path}: its first row says that the separator is {declared[1]!r}, expected {separator!r}")
    rows = _split_rows(path, text[declared.end() :] if declared else text, separator)
    rows = {i: row for i, row in rows.items() if any(row)}
    if len(rows) < 2:
        raise ValueError(f"{path}: expected a header and at least one row, got {len(rows)} rows")
    header = rows.pop(min(rows))
    if len(header) < least_columns:
        hint = _guess_separator(header[0], separator)
        signs = "commas" if separator == "," else repr(separator)
        raise ValueError(f"{path}: expected columns separated by {signs}, got one column, {cut(header[0])!r}{hint}")
    for i, row in rows.items():
        if len(row) != len(header):
            last = cut(header[min(len(row), len(header)) - 1])
            raise ValueError(f"{path}: row {i} has {len(row)} cells, expected {len(header)}; the last fits {last!r}")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=str)
    return table.loc[:, table.columns != ""]


def _read_text(path, encoding):
    data = Path(path).read_bytes()
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise ValueError(f"encoding must be one that Python knows, got {encoding!r}") from error
    except UnicodeDecodeError as error:
        number, found = data[: error.start].count(b"\n") + 1, f"byte {data[error.start]:#04x}"
    else:
        if "\0" not in text:
            return text.replace("\ufeff", "")  # it has no width: a mark that is left over would hide in a name
        number, found = text[: text.index("\0")].count("\n") + 1, "a NUL character"
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]
    hint = " (it looks like UTF-16)" if wide else ""
    wanted = f"expected text in {encoding.upper()}, got {found} in row {number}{hint}"
    raise ValueError(f"{path}: {wanted}; save the file as 'CSV UTF-8'")


def _split_rows(path, text, separator):
    rows = {}
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            rows[len(rows) + 1] = [cell.strip() for cell in row]
    except csv.Error as error:
        number, limit = len(rows) + 1, csv.field_size_limit()
        if "field larger" in str(error):
            problem = f"row {number} has a cell of more than {limit:,} characters: is a quotation mark never closed?"
            raise ValueError(f"{path}: {problem}") from error
        hint = ": was it cut off?"
        if "expected after" in str(error):
            guess = _guess_separator(text[: text.find("\n")], separator)
            hint = f" in row {number}{guess or '; a quotation mark inside a cell is written twice'}"
        raise ValueError(f"{path}: expected a CSV file, but {error}{hint}") from error
    return rows


def _guess_separator(line, separator):
    others = [sign for sign in ";\t|," if sign != separator and sign in line]
    return f"; is the separator {max(others, key=line.count)!r}?" if others else ""


def parse_numbers(cells: pd.Series, decimal: str = ".", thousands: str | None = None) -> pd.Series:
    """Return cells as numbers, NaN where they are none in the given form.

    Parameters
    ----------
    cells : pandas.Series of str
    decimal : {".", ","}
    thousands : {".", ",", "'", " "} or None
        The sign between groups of three digits; numbers without it are read, too.

    Returns
    -------
    pandas.Series of float

    Examples
    --------
    >>> parse_numbers(pd.Series(["1.065,5", "283", "12%"]), ",", ".").tolist()
    [1065.5, 283.0, nan]
    """
    group, point = GROUPS[thousands], re.escape(decimal)
    whole = rf"(?:[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    form = re.compile(rf"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?")

    def to_number(cell):
        plain = re.sub(group, "", cell) if thousands else cell
        return float(plain.replace(decimal, ".")) if form.fullmatch(cell) else float("nan")

    return pd.Series([to_number(cell) for cell in cells.tolist()], index=cells.index, name=cells.name, dtype=float)


def suggest_form(cells: pd.Series) -> str:
    """Return which options would read cells that look like numbers, or what to do where none would, for a message.

    Parameters
    ----------
    cells : pandas.Series of str

    Returns
    -------
    str

    Examples
    --------
    >>> suggest_form(pd.Series(["1,065", "283"]))
    "thousands=',' or decimal=',' reads them"
    """
    written = "".join(cells).replace("\u2019", "'").translate(dict.fromkeys(map(ord, SPACES), " "))
    forms = [
        f"decimal={decimal!r}" if thousands is None else f"thousands={thousands!r}" + extra
        for decimal, thousands, extra in [
            (".", ",", ""), (",", ".", ""), (".", " ", ""), (".", "'", ""), (",", None, ""),
            (",", " ", " with decimal=','"), (",", "'", " with decimal=','"),
        ]
        if (thousands or decimal) in written and not (extra and decimal not in written)
        and parse_numbers(cells[cells != ""], decimal, thousands).notna().all()
    ]  # fmt: skip
    return f"{' or '.join(forms)} reads them" if forms else "write them without signs, units and quotation marks"


def cut(text: str, n_letters: int = 60) -> str:
    """Return a text, cut if it is long.

    Parameters
    ----------
    text : str
    n_letters : int

    Returns
    -------
    str

    Examples
    --------
    >>> cut("a long story", 6)
    'a long...'
    """
    return text if len(text) <= n_letters else text[:n_letters] + "..."


def name_few(names: list[str], n_names: int = 6) -> str:
    """Return a list of names as text: a few, and how many more there are.

    Parameters
    ----------
    names : list of str
    n_names : int

    Returns
    -------
    str

    Examples
    --------
    >>> name_few(["store", "brand", "price"], 2)
    "['store', 'brand'] and 1 more"
    """
    more = f" and {len(names) - n_names} more" if len(names) > n_names else ""
    return f"{[cut(str(name)) for name in names[:n_names]]}{more}"


def require_columns(path: str | PathLike, table: pd.DataFrame, wanted: list[str]) -> None:
    """Refuse a table that lacks a column or has it twice.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    table : pandas.DataFrame
    wanted : list of str

    Raises
    ------
    ValueError
        The message says what a missing column may have been renamed to.

    Examples
    --------
    >>> require_columns("sales.csv", pd.DataFrame({"store": ["a"]}), ["store"])
    """
    columns = list(table)
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise ValueError(f"{path} must have each column once, got {name_few(twice)} more than once")
    absent = [name for name in wanted if name not in columns]
    if absent:
        similar = difflib.get_close_matches(absent[0], [name for name in columns if name not in wanted], 1, 0.6)
        hint = f"was {absent[0]!r} renamed to {similar[0]!r}?" if similar else f"it has {name_few(columns)}"
        raise ValueError(f"{path}: it has no columns {name_few(absent, 3)}; {hint}")


def refuse(path: str | PathLike, cells: pd.Series, bad: pd.Series, expected: str, hint: str = "") -> None:
    """Refuse a file where some cells are bad.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    cells : pandas.Series of str
        A column, with the index of `read_cells`.
    bad : Series of bool
    expected : str
        What the column must hold.
    hint : str
        What may help.

    Raises
    ------
    ValueError
        If any cell is bad.

    Examples
    --------
    >>> cells = pd.Series(["12", "a dozen"], index=[2, 3], name="units")
    >>> try:
    ...     refuse("sales.csv", cells, ~cells.str.isdecimal(), "whole numbers")
    ... except ValueError as error:
    ...     print(error)
    sales.csv: column 'units' must hold whole numbers, got 'a dozen' in row 3
    """
    rows = cells.index[bad].tolist()
    if rows:
        others = f" (and in {len(rows) - 1} more: {', '.join(map(str, rows[1:5]))}{', ...' * (len(rows) > 5)})"
        found = f"got {cut(cells[rows[0]])!r} in row {rows[0]}{others if len(rows) > 1 else ''}"
        raise ValueError(f"{path}: column {cut(str(cells.name))!r} must hold {expected}, {found}{hint}")
