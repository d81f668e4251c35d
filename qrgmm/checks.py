"""What every room refuses: counts, levels, tables, points, loans and revenue that are not what they should be.

Each function returns its argument in the one form that the callers compute with, or raises a ValueError that names the
argument, what was expected and what came.
"""

import math
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

Rng = np.random.Generator | int | None  # what `numpy.random.default_rng` makes a generator of


def check_count(name: str, count: float, least: int = 1) -> int:
    """Return a number of things as an int.

    Parameters
    ----------
    name : str
        Of the argument, for the message; likewise below.
    count : int
        Or a float that is whole.
    least : int
        The fewest that make sense.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `count` is not a whole number of at least `least`.

    Examples
    --------
    >>> check_count("n_draws", 1e3)
    1000
    """
    whole = isinstance(count, Real) and math.isfinite(count) and count == int(count)
    if not (whole and count >= least):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {count!r}")
    return int(count)


def check_span(name: str, span: str | pd.Timedelta, or_zero: bool = False) -> pd.Timedelta:
    """Return a span of time as pandas counts it.

    Parameters
    ----------
    name : str
    span : str or pandas.Timedelta
        "90D" for example.
    or_zero : bool
        Whether a span of zero is one as well.

    Returns
    -------
    pandas.Timedelta

    Raises
    ------
    ValueError
        If `span` is no span of time, a number without a unit for example, or not positive.

    Examples
    --------
    >>> check_span("horizon", "90D").days
    90
    """
    try:
        length = pd.NaT if isinstance(span, Real) else pd.Timedelta(span)  # of a number, nanoseconds
    except (TypeError, ValueError):
        length = pd.NaT
    if not (length > pd.Timedelta(0) or (or_zero and length == pd.Timedelta(0))):  # also if it is no time at all
        raise ValueError(f"{name} must be a positive span of time such as '90D', got {span!r}")
    return length


def check_level(name: str, level: float) -> float:
    """Return one level as a float.

    Parameters
    ----------
    name : str
    level : float

    Returns
    -------
    float, in (0, 1)

    Raises
    ------
    ValueError
        If `level` is no number or lies outside (0, 1).

    Examples
    --------
    >>> check_level("level", 0.95)
    0.95
    """
    if not (np.isscalar(level) and isinstance(level, Real) and 0 < level < 1):
        raise ValueError(f"{name} must lie inside (0, 1), got {level!r}")
    return float(level)


def check_levels(levels: ArrayLike) -> np.ndarray:
    """Return a grid of levels, copied.

    Parameters
    ----------
    levels : array of shape (n_levels,)

    Returns
    -------
    array of shape (n_levels,)

    Raises
    ------
    ValueError
        If `levels` is empty, has another shape, is not strictly increasing or has numbers outside (0, 1).

    Examples
    --------
    >>> check_levels([0.25, 0.5, 0.75])
    array([0.25, 0.5 , 0.75])
    """
    levels = np.array(levels, dtype=float)
    if levels.ndim != 1 or len(levels) == 0:
        raise ValueError(f"levels must be a non-empty array of shape (n_levels,), got shape {levels.shape}")
    if not (np.isfinite(levels).all() and (levels > 0).all() and (levels < 1).all()):
        raise ValueError(f"levels must lie inside (0, 1), got {levels.min():g} to {levels.max():g}")
    if (np.diff(levels) <= 0).any():
        first = int(np.argmax(np.diff(levels) <= 0))
        raise ValueError(f"levels must be strictly increasing, got {levels[first + 1]:g} after {levels[first]:g}")
    return levels


def check_table(name: str, values: ArrayLike, columns: str = "n_columns") -> np.ndarray:
    """Return finite numbers as an array of two dimensions.

    Parameters
    ----------
    name : str
    values : array of shape (n_rows, n_columns), or (n_columns,) for one row
    columns : str
        What the columns are, for the message.

    Returns
    -------
    array of shape (n_rows, n_columns)

    Raises
    ------
    ValueError
        If there are none, the shape is another one, or values are NaN or infinite.

    Examples
    --------
    >>> check_table("draws", [1, 2])
    array([[1., 2.]])
    """
    values = np.asarray(values, dtype=float)
    values = values[None] if values.ndim == 1 else values
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must be non-empty with shape (n_rows, {columns}), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return values


def check_sample(name: str, values: ArrayLike) -> np.ndarray:
    """Return finite numbers as an array of one dimension.

    Parameters
    ----------
    name : str
    values : array of shape (n,)

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    ValueError
        If there are none, the shape is another one, or values are NaN or infinite.

    Examples
    --------
    >>> check_sample("losses", [1, 2])
    array([1., 2.])
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} must have shape (n,) and not be empty, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return values


def check_points(
    name: str,
    points: ArrayLike,
    n_rows: int,
    low: float = -np.inf,
    high: float = np.inf,
    finite: bool = True,
    columns: str = "n_points",
) -> np.ndarray:
    """Return points that are shared by all rows, or given row by row, as an array that goes with the rows.

    Parameters
    ----------
    name : str
    points : float or array of shape (n_points,) or (n_rows, n_points)
    n_rows : int
    low, high : float
        The range that points must lie in.
    finite : bool
        Whether infinite points are refused.
    columns : str
        What the columns are, for the message.

    Returns
    -------
    array of shape (1, n_points) or (n_rows, n_points)

    Raises
    ------
    ValueError
        If there are none, the shape is another one, or points are NaN, infinite or out of range.

    Examples
    --------
    >>> check_points("u", 0.5, n_rows=3, low=0, high=1)
    array([[0.5]])
    """
    given = np.asarray(points, dtype=float)
    points = np.atleast_2d(given)
    if points.ndim > 2 or points.size == 0 or len(points) not in (1, n_rows):
        raise ValueError(f"{name} must be a number, ({columns},) or ({n_rows}, {columns}), got shape {given.shape}")
    if np.isnan(points).any() or (finite and np.isinf(points).any()):
        raise ValueError(f"{name} must be {'finite' if finite else 'numbers'}, got NaN or infinity")
    if points.min() < low or points.max() > high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {points.min():g} to {points.max():g}")
    return points


def check_loans(loans: ArrayLike, n_rows: int) -> np.ndarray:
    """Return loans, shared by all rows or row by row, refusing what could mean both.

    Parameters
    ----------
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    n_rows : int

    Returns
    -------
    array of shape (1, n_loans) or (n_rows, n_loans)

    Raises
    ------
    ValueError
        As `check_points`, and for a list of as many loans as there are rows, if these are more than one.

    Examples
    --------
    >>> check_loans([[5.0], [7.0]], n_rows=2)
    array([[5.],
           [7.]])
    """
    if n_rows > 1 and np.shape(loans) == (n_rows,):
        raise ValueError(
            f"loans of shape ({n_rows},) for {n_rows} rows can be read in two ways: pass shape ({n_rows}, 1), "
            f"loans[:, None], for one loan per row, or (1, {n_rows}), loans[None, :], for {n_rows} loans in every row"
        )
    return check_points("loans", loans, n_rows, columns="n_loans")


def check_per_row(
    name: str, values: ArrayLike, n_rows: int, positive: bool = False, finite: bool = True
) -> np.ndarray:
    """Return a number for every row, given as one for all or one by one.

    Parameters
    ----------
    name : str
    values : float or array of shape (n_rows,)
    n_rows : int
    positive : bool
        Whether numbers of 0 or below are refused.
    finite : bool
        Whether infinite numbers are refused; NaN always is.

    Returns
    -------
    array of shape (n_rows,)

    Raises
    ------
    ValueError
        If the shape is another one, or numbers are what they must not be.

    Examples
    --------
    >>> check_per_row("unit_revenue", 2, n_rows=3, positive=True)
    array([2., 2., 2.])
    """
    values = np.asarray(values, dtype=float)
    if values.shape not in ((), (n_rows,)):
        raise ValueError(f"{name} must be a number or have shape ({n_rows},), got shape {values.shape}")
    bad = np.isnan(values) | (finite & np.isinf(values)) | (positive & (values <= 0))
    if bad.any():
        wanted = " and ".join(["positive"] * positive + ["finite"] * finite) or "a number"
        raise ValueError(f"{name} must be {wanted}, got {values[bad].ravel()[0]:g}")
    return np.broadcast_to(values, (n_rows,))


def check_flags(name: str, values: ArrayLike) -> np.ndarray:
    """Return answers as booleans, refusing what only looks like one, such as the text "False", which counts as true.

    Parameters
    ----------
    name : str
    values : array of bool, or of 0 and 1

    Returns
    -------
    array of bool

    Raises
    ------
    ValueError
        If a value is none of these.

    Examples
    --------
    >>> check_flags("defaulted", [True, 0])
    array([ True, False])
    """
    given = np.asarray(values)
    bad = [value for value in given.ravel().tolist() if not (isinstance(value, Real) and value in (0, 1))]
    if bad:
        raise ValueError(f"{name} must be true or false, got {bad[0]!r}")
    return given.astype(bool)


def check_options(crossing: str, tails: str) -> None:
    """Refuse what are no options of `QuantileCurve`.

    Parameters
    ----------
    crossing, tails : str
        As in `QuantileCurve`.

    Raises
    ------
    ValueError
        If one of them is unknown.

    Examples
    --------
    >>> check_options("sort", "clamp")
    """
    if crossing not in ("sort", "raise"):
        raise ValueError(f"crossing must be 'sort' or 'raise', got {crossing!r}")
    if tails not in ("clamp", "exponential"):
        raise ValueError(f"tails must be 'clamp' or 'exponential', got {tails!r}")
