"""A table of one's own: read strictly, so that what no model could learn from is refused with column and row."""

from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from qrgmm.datasets.reading import (
    GROUPS,
    LIKE_DATE,
    LIKE_NUMBER,
    name_few,
    parse_numbers,
    read_cells,
    refuse,
    suggest_form,
)

DAY = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"
# What thousands dots look like, and days as eight digits.
DOTTED, EIGHT_DIGITS = r"[+-]?[1-9]\d{0,2}\.\d{3}", r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"


def load_sales_csv(
    path: str | PathLike,
    target: str | None,
    categorical: list[str] | None = None,
    continuous: list[str] | None = None,
    *,
    separator: str = ",",
    decimal: Literal[".", ","] | None = None,
    thousands: Literal[".", ",", "'", " "] | None = None,
    encoding: str = "utf-8",
    dates: list[str] | None = None,
) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return the covariates and the sales of a table of one's own, for `FieldEncoder` and every model.

    Nothing is guessed, filled or skipped: a cell that is missing or not what it should be is refused, with its row as a
    spreadsheet counts it (the header is row 1). Other columns than those used may hold anything.

    Parameters
    ----------
    path : path
        A CSV file: a header, then one sale a row. Blank rows, columns without a name, such as a row number, and the row
        ``sep=,`` of Excel are left out.
    target : str or None
        The column of sales: numbers of at least 0. None for sellers who have not sold yet.
    categorical, continuous : list of str, optional
        The columns of covariates. By default those of text and those of numbers, as in `FieldEncoder`. What could be
        either must be named: numbers with leading zeros, from 2^53 on (which floats no longer tell apart) or that read
        as days (20240131), all of them rather codes; cells that look like dates; and cells that look like numbers in
        another form, such as "5,0", "$9.50" or "9.5%".
    separator : str
        Between cells; Europe's spreadsheets write ";".
    decimal : {".", ","}, optional
        By default a point, or a comma where `thousands` is a point.
    thousands : {".", ",", "'", " "}, optional
        The sign between groups of three digits. Where neither it nor `decimal` is given, a column whose points all
        stand before exactly three digits and after one to three, the first no 0, while other cells have no point, could
        be meant both ways ("1.065" beside "283") and is refused; so is a column of sales in which every cell is of this
        kind. Prices such as "9.5" and "10.99", and columns all with three decimals, are read as written.
    encoding : str
        Of the text; "cp1252" for what older Excel writes in Western Europe.
    dates : list of str, optional
        Columns of days such as 2024-01-31, with or without a time. No model takes them: use them to split rows in time,
        and drop them before a fit.

    Returns
    -------
    X : pandas.DataFrame
        The covariates in the order of the file: text, with leading zeros as they are, floats, and datetimes for
        `dates`. ``attrs["source"]`` is the name of the file.
    sales : pandas.Series of float, or None without a target

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, in another encoding, is no CSV, or has rows of unequal length; if a column is missing,
        there twice or asked for twice; if a cell that is used is empty, a continuous covariate is not a finite number,
        sales are not finite numbers of at least 0, a date is none, or a column that is not named holds both numbers and
        text or what could be either; or if an option is none. The message says which option may help.

    Notes
    -----
    Chapter 12 runs on such a table in place of its stand-in.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.csv"
    ...     _ = path.write_text("store,brand,price,units\\n007,a,9.5,120\\n012,b,20,0\\n", encoding="utf-8")
    ...     X, sales = load_sales_csv(path, "units", categorical=["store", "brand"])
    >>> X
      store brand  price
    0   007     a    9.5
    1   012     b   20.0
    >>> sales.tolist()
    [120.0, 0.0]
    """
    if decimal not in (None, ".", ",") or thousands not in GROUPS:
        signs = f"got {decimal!r} and {thousands!r}"
        raise ValueError(f"decimal must be '.' or ',', and thousands one of . , ' and a blank or None, {signs}")
    point = decimal or ("," if thousands == "." else ".")
    if point == thousands:
        raise ValueError(f"decimal and thousands must differ, got {point!r} for both")
    for argument, names in (("categorical", categorical), ("continuous", continuous), ("dates", dates)):
        if isinstance(names, str):
            raise ValueError(f"{argument} must be a list of column names, got {names!r}")
    table, form = read_cells(path, separator, encoding), (point, thousands)
    targets, dates = [] if target is None else [target], list(dates or [])
    categorical, continuous = _choose_columns(path, table, form, targets, categorical, continuous, dates)
    used = [name for name in table if name in {*targets, *categorical, *continuous, *dates}]
    for name in used:
        refuse(path, table[name], table[name] == "", "no empty cells")
    frame = table[used].copy()
    for name in [*targets, *continuous]:
        frame[name] = parse_numbers(table[name], *form)
        bad, hint = ~np.isfinite(frame[name]), "" if name in targets else "; a column of text is categorical"
        if bad.any() and _look_like_numbers(table[name]).all():
            hint = f"; {suggest_form(table[name])}"
        refuse(path, table[name], bad, "finite numbers", hint)
        if decimal is None and thousands is None:
            _refuse_dots(path, table[name], name in targets)
    for name in targets:
        refuse(path, table[name], frame[name] < 0, "sales of at least 0")
    for name in dates:
        days = table[name].where(table[name].str.fullmatch(DAY))
        frame[name] = pd.to_datetime(days, format="ISO8601", errors="coerce")
        refuse(path, table[name], frame[name].isna(), "days such as 2024-01-31")
    frame = frame.reset_index(drop=True)
    frame.attrs["source"] = Path(path).name
    return frame.drop(columns=targets), frame[target] if targets else None


def _choose_columns(path, table, form, targets, categorical, continuous, dates):
    named = [*targets, *(categorical or []), *(continuous or []), *dates]
    for where, names in ((f"{path} must have each column", list(table)), ("each column must be named", named)):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f"{where} once, got {name_few(twice)} more than once")
    absent = [name for name in named if name not in table]
    if absent:
        raise ValueError(f"{path} has no columns {name_few(absent)}; it has {name_few(list(table))}")
    chosen = {"text": categorical, "numbers": continuous}
    found = {"text": [], "numbers": []}
    for name in table.columns.drop(named) if None in chosen.values() else []:
        numbers = parse_numbers(table[name], *form)
        kind = "numbers" if _are_numbers(path, table[name], numbers) else "text"
        if chosen[kind] is None:
            _refuse_codes(path, table[name], numbers) if kind == "numbers" else _refuse_days(path, table[name])
        found[kind].append(name)
    categorical, continuous = (found[kind] if names is None else list(names) for kind, names in chosen.items())
    if not categorical and not continuous:
        beside = "".join(f" beside the target {name!r}" for name in targets)
        raise ValueError(f"{path} must have covariates{beside}, got {name_few(list(table))} and none chosen")
    return categorical, continuous


def _look_like_numbers(cells):
    return pd.Series([bool(LIKE_NUMBER.fullmatch(cell)) for cell in cells.tolist()], index=cells.index)


def _are_numbers(path, cells, numbers):
    """Say whether a column that is not named holds numbers, and refuse one that could be both."""
    number, written = numbers.notna(), cells != ""
    if number.all():
        return True
    foreign = ~number & _look_like_numbers(cells)
    if foreign.any():
        hint = f"; {suggest_form(cells[number | foreign])}, or name the column in categorical"
        refuse(path, cells, foreign, "either text or plain numbers", hint)
    if number.any():
        refuse(path, cells, ~number & written, "either numbers or text", "; name the column in categorical, or mend it")
    return not (~number & written).any()


def _refuse_codes(path, cells, numbers):
    hint = "; name the column in categorical for codes, in continuous for numbers"
    refuse(path, cells, cells.str.match(r"[+-]?0[0-9]"), "numbers without leading zeros", hint)
    refuse(path, cells, numbers.abs() >= 2**53, "numbers below 2^53, which floats can tell apart", hint)
    if cells.str.fullmatch(EIGHT_DIGITS).all():
        refuse(path, cells, cells != "", "numbers that do not read as days", hint)


def _refuse_days(path, cells):
    days = pd.Series([bool(LIKE_DATE.fullmatch(cell)) for cell in cells.tolist()], index=cells.index)
    refuse(path, cells, days, "text that does not read as a date", "; name the column in dates, or in categorical")


def _refuse_dots(path, cells, is_target):
    """Refuse a column that would be another with thousands dots, see `load_sales_csv`."""
    dotted = cells.str.contains(".", regex=False)
    if dotted.any() and cells[dotted].str.fullmatch(DOTTED).all() and (is_target or not dotted.all()):
        hint = "; decimal='.' reads them as written, thousands='.' as thousands"
        refuse(path, cells, dotted, "numbers that can be read in one way only", hint)
