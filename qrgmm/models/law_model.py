"""What every model of sales can do once it predicts laws: quantiles, draws and means."""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng
from qrgmm.curve import QuantileCurve

# Share of sales at each end that the scale of the others is measured without, and how many times as large the scale of
# all may be: 1.1 times in a normal law, less than 2 times in a lognormal one with a sigma of 1.
TRIMMED, GROSS = 0.02, 5.0
FURTHEST = 20.0  # where a sale counts that lies further out, in such a scale: a likelihood would see nothing else


class LawModel:
    """A model with `predict_curve`; scikit-learn's tools find its mean under `predict`.

    Notes
    -----
    Chapter 4.

    Examples
    --------
    >>> from qrgmm.models.metamodel import QRGMM
    >>> QRGMM(levels=4).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0]).predict([[1.5]]).round(9)
    array([2.5])
    """

    predict_curve: Callable[..., QuantileCurve]

    def predict_quantiles(self, X: pd.DataFrame | ArrayLike, levels: ArrayLike) -> np.ndarray:
        """Return quantiles at any levels, (n_rows, n_levels)."""
        return self.predict_curve(X).ppf(levels)

    def sample(self, X: pd.DataFrame | ArrayLike, n_draws: int, rng: Rng = None) -> np.ndarray:
        """Return `n_draws` independent draws of sales for every row, (n_rows, n_draws)."""
        return self.predict_curve(X).sample(n_draws, rng)

    def predict(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the mean of the predicted law of every row, (n_rows,)."""
        return self.predict_curve(X).mean()


def check_lower(lower: float | None) -> None:
    """Refuse what is no lower bound of sales.

    Parameters
    ----------
    lower : float or None
        In the unit of sales.

    Raises
    ------
    ValueError
        If it is neither None nor a finite number.

    Examples
    --------
    >>> check_lower(0.0)
    """
    if not (lower is None or (isinstance(lower, Real) and np.isfinite(lower))):
        raise ValueError(f"lower must be None or a finite number, got {lower!r}")


def fix_seed(random_state: Rng) -> int:
    """Return the number that a model is seeded with, so that it predicts the same however often it is asked.

    Parameters
    ----------
    random_state : int, numpy.random.Generator or None
        A number is returned as it is; a generator is advanced by one draw.

    Returns
    -------
    int

    Examples
    --------
    >>> fix_seed(7), fix_seed(np.random.default_rng(0))
    (7, 1826701615)
    """
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(np.random.default_rng(random_state).integers(2**31))


def location_and_scale(sales: np.ndarray) -> tuple[float, float]:
    """Return what a network's sales are centred and scaled by.

    Parameters
    ----------
    sales : array of shape (n_rows,)

    Returns
    -------
    location, scale : float
        Mean and standard deviation. Where the 2 % of rows at each end make the standard deviation more than `GROSS`
        times that of the others, as one mistyped sale can, they are those of the others. Sales that do not vary have
        scale 0.

    Notes
    -----
    Chapter 8.

    Examples
    --------
    >>> location_and_scale(np.array([1.0, 3.0])), location_and_scale(np.array([0.1] * 3))
    ((2.0, 1.0), (0.1, 0.0))
    >>> location_and_scale(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9]))[0]
    4.0
    """
    low, high = float(sales.min()), float(sales.max())
    if low == high:
        return low, 0.0
    with np.errstate(over="ignore", under="ignore"):
        location, scale = float(sales.mean()), float(sales.std())
    if not (np.isfinite([location, scale]).all() and scale > 0):  # squares of numbers too large or too small
        size = float(np.abs(sales).max())
        location, scale = (size * each for each in location_and_scale(sales / size))
        return location, scale
    n_out = int(np.ceil(TRIMMED * len(sales)))
    others = np.sort(sales)[n_out : len(sales) - n_out]
    if len(others) and others[0] < others[-1] and scale > GROSS * others.std():
        return float(others.mean()), float(others.std())
    return location, scale


def standardise(sales: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return sales as a network takes them, and the location and scale that take its draws back.

    Parameters
    ----------
    sales : array of shape (n_rows,)

    Returns
    -------
    standardised : array of shape (n_rows,)
        Where a few sales are so far out that `location_and_scale` leaves them aside, they count as `FURTHEST`.
    location, scale : float
        As in `location_and_scale`; draws times a scale of 0 are a point.

    Examples
    --------
    >>> standardise(np.array([1.0, 3.0]))
    (array([-1.,  1.]), 2.0, 1.0)
    """
    location, scale = location_and_scale(sales)
    standardised = (sales - location) / (scale or 1.0)
    if GROSS * scale < np.std(sales / (scale or 1.0)) * scale:
        standardised = np.clip(standardised, -FURTHEST, FURTHEST)
    return standardised, location, scale


def mean_scores(curve: QuantileCurve, sales: np.ndarray) -> tuple[float, float]:
    """Return what a network is scored by while it is trained: mean CRPS and mean standard deviation of its laws.

    Parameters
    ----------
    curve : QuantileCurve
    sales : array of shape (n_rows,)

    Returns
    -------
    crps, spread : float
        In units sold.

    Examples
    --------
    >>> mean_scores(QuantileCurve([0.5], [[1.0], [3.0]]), np.array([1.0, 4.0]))
    (0.5, 0.0)
    """
    return float(curve.crps(sales).mean()), float(curve.std().mean())


def row_index(X: pd.DataFrame | ArrayLike) -> pd.Index | None:
    """Return the names of the rows of a data frame, or None for an array.

    Parameters
    ----------
    X : data frame or array of shape (n_rows, n_columns)

    Returns
    -------
    pandas.Index or None

    Examples
    --------
    >>> row_index(pd.DataFrame({"price": [2.0]}, index=["shop"]))
    Index(['shop'], dtype='str')
    """
    return X.index if isinstance(X, pd.DataFrame) else None
