"""Strict reading of CSV files: every cell as text, and refusals that name the column and the row.

Rows are counted as a spreadsheet counts them: the header is row 1.
"""

import csv
import difflib
from os import PathLike
from pathlib import Path

import pandas as pd


def read_cells(path: str | PathLike) -> pd.DataFrame:
    """Return all cells of a CSV file as text.

    Parameters
    ----------
    path : path
        In UTF-8, separated by commas. Blank rows and columns without a name, such as a row number, are left out.

    Returns
    -------
    pandas.DataFrame of str
        Without blanks around the cells; the index counts rows as a spreadsheet does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, not UTF-8 or no CSV, has a column twice, or has rows of unequal length.

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
    if not Path(path).is_file():
        raise FileNotFoundError(f"path must name a CSV file, got {str(path)!r}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = {i: [cell.strip() for cell in row] for i, row in enumerate(csv.reader(file, strict=True), 1)}
    except UnicodeDecodeError as error:
        number = Path(path).read_bytes()[: error.start].count(b"\n") + 1
        found = f"byte {error.object[error.start]:#04x} in row {number}"
        raise ValueError(f"{path}: expected text in UTF-8, got {found}; save the file as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise ValueError(f"{path}: expected a CSV file, but {error}: was it cut off?") from error
    rows = {i: row for i, row in rows.items() if any(row)}
    if len(rows) < 2:
        raise ValueError(f"{path}: expected a header and at least one row, got {len(rows)} rows")
    header = rows.pop(min(rows))
    if len(header) == 1:
        raise ValueError(f"{path}: expected columns separated by commas, got one column, {header[0]!r}")
    for i, row in rows.items():
        if len(row) != len(header):
            last = header[min(len(row), len(header)) - 1]
            raise ValueError(f"{path}: row {i} has {len(row)} cells, expected {len(header)}; the last fits {last!r}")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=str)
    return table.loc[:, table.columns != ""]


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
        raise ValueError(f"{path} must have each column once, got {twice} more than once")
    absent = [name for name in wanted if name not in columns]
    if absent:
        similar = difflib.get_close_matches(absent[0], [name for name in columns if name not in wanted], 1, 0.6)
        hint = f"was {absent[0]!r} renamed to {similar[0]!r}?" if similar else f"it has {columns}"
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise ValueError(f"{path} has no columns {absent[:3]}{more}; {hint}")


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
        found = f"got {cells[rows[0]]!r} in row {rows[0]}{others if len(rows) > 1 else ''}"
        raise ValueError(f"{path}: column {cells.name!r} must hold {expected}, {found}{hint}")
