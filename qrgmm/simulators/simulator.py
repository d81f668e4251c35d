"""What all simulators share: covariates from a box, draws in blocks of rows, and a law of location and scale.

Every simulator has `draw_covariates(n_rows, rng)` and `draw(X, rng)`, one independent output per row of `X`. Those of
the QRGMM paper have `basis(X)`, the regressors that it uses, without the intercept. Where the truth is known it is
there as well: `ppf` and `cdf`, or the exact `mean`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.preprocessing import PolynomialFeatures

from qrgmm.checks import Rng, check_points

# Rows that are simulated together: large enough for NumPy, small enough for the processor's cache.
BLOCK = 2500


class Simulator:
    """What all simulators share: the box that covariates are drawn from, the basis, and draws in blocks of rows."""

    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    degree = 1
    _draw: Callable[..., np.ndarray]

    def draw_covariates(self, n_rows: int, rng: Rng = None) -> np.ndarray:
        """Return independent covariates, uniform between `lows` and `highs`.

        Parameters
        ----------
        n_rows : int
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_rows, n_features)
        """
        return np.random.default_rng(rng).uniform(self.lows, self.highs, (n_rows, len(self.lows)))

    def basis(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the regressors of QRGMM, (n_rows, n_regressors): all monomials up to `degree`, no intercept."""
        return PolynomialFeatures(self.degree, include_bias=False).fit_transform(self._checked(X))

    def draw(self, X: pd.DataFrame | ArrayLike, rng: Rng = None) -> np.ndarray:
        """Return one independent output per row.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            One row may be given as (n_features,).
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_rows,), or (n_rows, n_outputs) for several outputs

        Raises
        ------
        ValueError
            If the shape of `X` is wrong or values are not finite or outside what the simulator allows.
        """
        X, rng = self._checked(X), np.random.default_rng(rng)
        return np.concatenate([self._draw(X[i : i + BLOCK], rng) for i in range(0, len(X), BLOCK)])

    def _checked(self, X):
        X = np.atleast_2d(np.asarray(X, dtype=float))
        if X.ndim != 2 or X.shape[1] != len(self.lows) or len(X) == 0:
            raise ValueError(f"X must have shape (n_rows, {len(self.lows)}) with at least one row, got {X.shape}")
        if not np.isfinite(X).all():
            raise ValueError("X must be finite, got NaN or infinity")
        return X


class LocationScale(Simulator):
    """A law ``location(x) + scale(x) * noise``, with `noise` a standard law of scipy."""

    noise: Any = None
    _location_and_scale: Callable[..., tuple[np.ndarray, np.ndarray]]

    def ppf(self, X: pd.DataFrame | ArrayLike, levels: ArrayLike) -> np.ndarray:
        """Return the true conditional quantiles.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
        levels : float or array of shape (n_levels,) or (n_rows, n_levels)
            In [0, 1].

        Returns
        -------
        array of shape (n_rows, n_levels)
        """
        location, scale = self._location_and_scale(X)
        return location + scale * self.noise.ppf(check_points("levels", levels, len(location), 0, 1))

    def cdf(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return the true conditional distribution function.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
        y : float or array of shape (n_points,) or (n_rows, n_points)
            For one point per row pass ``y[:, None]``.

        Returns
        -------
        array of shape (n_rows, n_points)
        """
        location, scale = self._location_and_scale(X)
        distance = check_points("y", y, len(location), finite=False) - location
        at_location = np.where(distance < 0, -np.inf, np.inf)  # where the scale is zero
        return self.noise.cdf(np.divide(distance, scale, out=at_location, where=scale > 0))

    def _draw(self, X, rng):
        location, scale = self._location_and_scale(X)
        return (location + scale * self.noise.rvs(size=location.shape, random_state=rng))[:, 0]


def check_fields(X: pd.DataFrame, fields: dict[str, pd.Index], numbers: Iterable[str]) -> None:
    """Refuse covariates that lack a column or have an unknown level.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n_rows, n_columns)
    fields : dict of str to pandas.Index
        Categorical columns -> their levels, sorted.
    numbers : iterable of str
        Other columns that have to be there.

    Raises
    ------
    ValueError
        If `X` is no data frame with rows and these columns, or a field has another level.

    Examples
    --------
    >>> check_fields(pd.DataFrame({"store": ["b"], "price": [9.5]}), {"store": pd.Index(["a", "b"])}, ["price"])
    """
    columns = [*fields, *numbers]
    absent = [name for name in columns if name not in X.columns] if isinstance(X, pd.DataFrame) else columns
    if absent or len(X) == 0:
        raise ValueError(f"X must be a data frame with rows and the columns {columns}, lacking {absent}")
    for name, known in fields.items():
        unknown = X[name][~X[name].isin(known)].unique().tolist()
        if unknown:
            raise ValueError(f"column {name!r} of X must be from {known[0]} to {known[-1]}, got {unknown[:5]}")
