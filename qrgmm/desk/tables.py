"""Tables that the desk reads: CSV files, cell by cell, and Parquet files, whose columns know what they are.

A Parquet file is refused for what a CSV file is refused for: columns that are missing, cells that are empty, numbers
that are not finite, sales below 0. Chapter 19.
"""

import importlib.util
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qrgmm.datasets.reading import name_few, read_cells, require_columns
from qrgmm.datasets.sales_table import load_sales_csv


def load_table(
    path: str | PathLike,
    target: str | None,
    categorical: list[str] | None = None,
    continuous: list[str] | None = None,
    dates: list[str] | None = None,
    **form: Any,
) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return the covariates and the sales of a table, whichever kind of file it is.

    Parameters
    ----------
    path, target, categorical, continuous, dates
        As in `load_sales_csv`. In a Parquet file a column is by default what it is stored as; numbers that are named as
        categorical are codes, and become text.
    **form
        Options of `load_sales_csv` that say how numbers are written in a CSV file.

    Returns
    -------
    X : pandas.DataFrame
    sales : pandas.Series of float, or None without a target

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        As `load_sales_csv`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.parquet"
    ...     pd.DataFrame({"store": ["007", "012"], "price": [9.5, 20.0], "units": [120, 0]}).to_parquet(path)
    ...     X, sales = load_table(path, "units")
    >>> X
      store  price
    0   007    9.5
    1   012   20.0
    >>> sales.tolist()
    [120.0, 0.0]
    """
    if not is_parquet(path):
        return load_sales_csv(path, target, categorical, continuous, dates=dates, **form)
    table, targets, dates = _read_parquet(path), [] if target is None else [target], dates or []
    named = [*targets, *(categorical or []), *(continuous or []), *dates]
    require_columns(path, table, named)
    others = [name for name in table if name not in named]
    numeric = [name for name in others if pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool]
    days = [name for name in others if pd.api.types.is_datetime64_any_dtype(table[name])]
    if continuous is None:
        continuous = numeric
    if categorical is None:
        categorical = [name for name in others if name not in [*numeric, *days]]
    if not categorical and not continuous:
        raise ValueError(f"{path} must have covariates, got {name_few(list(table))} and none chosen")
    frame = table[[name for name in table if name in {*targets, *categorical, *continuous, *dates}]].copy()
    for name in frame:
        _refuse(path, frame[name], frame[name].isna() | (frame[name].eq("") if name in categorical else False),
                "no empty cells")  # fmt: skip
    for name in categorical:
        frame[name] = frame[name].astype(str)
    for name in [*targets, *continuous]:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise ValueError(f"{path}: column {name!r} must hold numbers, got {frame[name].dtype}")
        frame[name] = frame[name].astype(float)
        _refuse(path, frame[name], ~np.isfinite(frame[name]), "finite numbers")
    for name in targets:
        _refuse(path, frame[name], frame[name] < 0, "sales of at least 0")
    for name in dates:
        frame[name] = pd.to_datetime(frame[name])
    frame = frame.reset_index(drop=True)
    frame.attrs["source"] = Path(path).name
    return frame.drop(columns=targets), frame[target] if targets else None


def name_columns(path: str | PathLike, separator: str = ",", encoding: str = "utf-8") -> list[str]:
    """Return the names of the columns of a table.

    Parameters
    ----------
    path : path
        Of a CSV or a Parquet file.
    separator, encoding : str
        Of a CSV file.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.parquet"
    ...     pd.DataFrame({"price": [9.5]}).to_parquet(path)
    ...     name_columns(path)
    ['price']
    """
    return list(list_cells(path, separator, encoding))


def list_cells(path: str | PathLike, separator: str = ",", encoding: str = "utf-8") -> pd.DataFrame:
    """Return all cells of a table as text; of a list of names, too.

    Parameters
    ----------
    path, separator, encoding
        As in `name_columns`.

    Returns
    -------
    pandas.DataFrame of str

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "names.csv"
    ...     _ = path.write_text("seller\\nAda\\n")
    ...     list_cells(path)["seller"].tolist()
    ['Ada']
    """
    if is_parquet(path):
        return _read_parquet(path).astype(str)
    return read_cells(path, separator, encoding, least_columns=1)


def is_parquet(path: str | PathLike) -> bool:
    """Return whether a file is read as Parquet, by its name.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_parquet("sales.parquet"), is_parquet("sales.csv")
    (True, False)
    """
    return Path(path).suffix.lower() == ".parquet"


def _read_parquet(path):
    if importlib.util.find_spec("pyarrow") is None:
        raise ValueError(f"{path} needs the package pyarrow, which is not installed")
    if not Path(path).is_file():
        raise FileNotFoundError(f"path must name a Parquet file, got {str(path)!r}")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow has errors of its own for every kind of damage
        raise ValueError(f"{path}: expected a Parquet file, but {error}") from error


def _refuse(path, cells, bad, expected):
    """Refuse a column of a table where some rows, from 1 on, are bad."""
    rows = np.flatnonzero(bad)
    if len(rows):
        more = f" (and in {len(rows) - 1:,} more)" if len(rows) > 1 else ""
        found = f"got {cells.iloc[[rows[0]]].tolist()[0]!r} in row {rows[0] + 1}{more}"
        raise ValueError(f"{path}: column {cells.name!r} must hold {expected}, {found}")
