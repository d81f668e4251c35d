r"""QRGMM: a generative model of sales by linear quantile regression on a grid of levels.

Offline, one linear quantile regression per level; online, a straight line between neighbouring quantiles. That is
Algorithm 1 of the SCF paper, and the second half of it is the `QuantileCurve`.
"""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.encoding import FieldEncoder
from qrgmm.quantile_regression import fit_quantile_grid


class QRGMM(RegressorMixin, BaseEstimator):
    r"""Quantile-regression-based generative metamodel, linear in the covariates.

    .. math:: \hat Q(\tau_j \mid x) = \hat\beta_0(\tau_j) + x'\hat\beta(\tau_j), \qquad j = 1, \dots, m - 1

    Parameters
    ----------
    levels : int or array of shape (n_levels,), optional
        The grid, or the number :math:`m` of equal steps; by default :math:`m = \sqrt n` for `n` fitted rows.
    encoder : FieldEncoder, optional
        Fitted with the model and applied to every data frame. By default a data frame with non-numeric columns gets a
        ``FieldEncoder()`` and anything else is used as it is.
    crossing : {"sort", "raise"}
        What a predicted curve does with crossing quantiles, see `QuantileCurve`.

    Attributes
    ----------
    levels_ : array of shape (n_levels,)
    coef_ : array of shape (n_levels, n_features)
    intercept_ : array of shape (n_levels,)
    gap_ : array of shape (n_levels,)
        Relative duality gap of each level, see `fit_quantile_grid`.
    encoder_ : FieldEncoder or None

    Notes
    -----
    Hong, Hou, Zhang and Zhang, "Learning to simulate"; SCF paper, section 3; chapter 4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> price = rng.uniform(1, 2, size=(500, 1))
    >>> sales = 10 * price[:, 0] + rng.exponential(size=500)
    >>> model = QRGMM(levels=20).fit(price, sales)
    >>> model.predict_quantiles([[1.5]], [0.25, 0.5, 0.75]).round(1)
    array([[15.3, 15.7, 16.3]])
    """

    def __init__(self, levels=None, encoder=None, crossing="sort"):
        self.levels = levels
        self.encoder = encoder
        self.crossing = crossing

    def fit(self, X, y):
        """Fit one linear quantile regression per level.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        y : array of shape (n_rows,)
            Sales, in any unit; the laws come in the same one.

        Returns
        -------
        QRGMM

        Raises
        ------
        ValueError
            If shapes do not match, values are not finite, or there are fewer rows than coefficients.
        """
        self.encoder_ = self._choose_encoder(X)
        X = X if self.encoder_ is None else self.encoder_.fit_transform(X)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=float)
        design = np.column_stack([np.ones(len(X)), X])
        n_rows, n_columns = design.shape
        if n_rows < n_columns:
            raise ValueError(f"X needs at least {n_columns} rows, one per coefficient, got n_samples = {n_rows}")
        levels = self.levels
        if levels is None or np.ndim(levels) == 0:
            levels = quantile_levels(n_rows, levels)
        grid = fit_quantile_grid(design, y, levels)
        self.levels_, self.gap_ = grid.levels, grid.gap
        self.intercept_, self.coef_ = grid.coef[:, 0], grid.coef[:, 1:]
        return self

    def predict_curve(self, X):
        """Return the law of sales of every row.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)

        Returns
        -------
        QuantileCurve
            With n_rows rows.
        """
        check_is_fitted(self)
        X = X if self.encoder_ is None else self.encoder_.transform(X)
        X = validate_data(self, X, reset=False, dtype=float)
        return QuantileCurve(self.levels_, self.intercept_ + X @ self.coef_.T, crossing=self.crossing)

    def predict_quantiles(self, X, levels):
        """Return quantiles at any levels, (n_rows, n_levels)."""
        return self.predict_curve(X).ppf(levels)

    def sample(self, X, n_draws, rng=None):
        """Return `n_draws` independent draws of sales for every row, (n_rows, n_draws)."""
        return self.predict_curve(X).sample(n_draws, rng)

    def predict(self, X):
        """Return the mean of the predicted law of every row, (n_rows,)."""
        return self.predict_curve(X).mean()

    def _choose_encoder(self, X):
        if self.encoder is not None:
            return clone(self.encoder)
        if isinstance(X, pd.DataFrame) and len(X.columns) > len(X.select_dtypes("number").columns):
            return FieldEncoder()
        return None
