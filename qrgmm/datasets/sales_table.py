"""A table of one's own: read strictly, so that what no model could learn from is refused with column and row."""

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.datasets.reading import read_cells, refuse


def load_sales_csv(
    path: str | PathLike,
    target: str | None,
    categorical: list[str] | None = None,
    continuous: list[str] | None = None,
) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return the covariates and the sales of a table of one's own, for `FieldEncoder` and every model.

    Nothing is guessed, filled or skipped: a cell that is missing or not what it should be is refused, with its row as a
    spreadsheet counts it (the header is row 1). Other columns than those used may hold anything.

    Parameters
    ----------
    path : path
        A CSV file in UTF-8: a header, then one sale a row; decimal points, no thousands separators. Blank rows and
        columns without a name, such as a row number, are left out.
    target : str or None
        The column of sales: numbers of at least 0. None for sellers who have not sold yet.
    categorical, continuous : list of str, optional
        The columns of covariates. By default those of text and those of numbers, as in `FieldEncoder`; a code written
        in digits, such as a postcode, is a number unless it is named here as categorical.

    Returns
    -------
    X : pandas.DataFrame
        The covariates in the order of the file: text, with leading zeros as they are, and floats. ``attrs["source"]``
        is the name of the file.
    sales : pandas.Series of float, or None without a target

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, is no CSV, or has rows of unequal length; if a column is missing, there twice or asked for
        twice; if a cell that is used is empty, a continuous covariate is not a finite number, sales are not finite
        numbers of at least 0, or a column that is not named holds both numbers and text.

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
    table, targets = read_cells(path), [] if target is None else [target]
    categorical, continuous = _choose_columns(path, table, targets, categorical, continuous)
    used = [name for name in table if name in {*targets, *categorical, *continuous}]
    for name in used:
        refuse(path, table[name], table[name] == "", "no empty cells")
    frame = table[used].copy()
    for name in [*targets, *continuous]:
        frame[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
        hint = "" if name in targets else "; a column of text is categorical"
        refuse(path, table[name], ~np.isfinite(frame[name]), "finite numbers", hint)
    for name in targets:
        refuse(path, table[name], frame[name] < 0, "sales of at least 0")
    frame = frame.reset_index(drop=True)
    frame.attrs["source"] = Path(path).name
    return frame.drop(columns=targets), frame[target] if targets else None


def _choose_columns(path, table, targets, categorical, continuous):
    for argument, names in (("categorical", categorical), ("continuous", continuous)):
        if isinstance(names, str):
            raise ValueError(f"{argument} must be a list of column names, got {names!r}")
    named = [*targets, *(categorical or []), *(continuous or [])]
    for where, names in ((f"{path} must have each column", list(table)), ("each column must be named", named)):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f"{where} once, got {twice} more than once")
    absent = [name for name in named if name not in table]
    if absent:
        raise ValueError(f"{path} has no columns {absent}; it has {list(table)}")
    chosen = {"text": categorical, "numbers": continuous}
    found = {"text": [], "numbers": []}
    for name in table.columns.drop(named) if None in chosen.values() else []:
        number = pd.to_numeric(table[name], errors="coerce").notna()
        text = ~number & (table[name] != "")
        if number.any():
            hint = "; name the column in categorical, or mend it"
            refuse(path, table[name], text, "either numbers or text", hint)
        found["text" if text.any() else "numbers"].append(name)
    categorical, continuous = (found[kind] if names is None else list(names) for kind, names in chosen.items())
    if not categorical and not continuous:
        beside = "".join(f" beside the target {name!r}" for name in targets)
        raise ValueError(f"{path} must have covariates{beside}, got {list(table)} and none chosen")
    return categorical, continuous
