r"""Conformalised quantile regression: each quantile of a model moved so that it fits rows that the model has not seen.

Whatever the model, a level then has the share of new sales below it that it says, over all rows together; row by row
it can be as wrong as before. Chapter 9.
"""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from qrgmm.checks import Rng
from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.law_model import LawModel, fix_seed, row_index
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import take_rows
from qrgmm.models.training import split_rows


class Conformalised(LawModel, RegressorMixin, BaseEstimator):
    r"""Another model's laws, with one shift per level, learned from rows held out.

    .. math:: \hat Q(\tau \mid x) + c_\tau, \qquad c_\tau = \text{the } \tau (n + 1) \text{-th smallest of }
        y_i - \hat Q(\tau \mid x_i)

    over the :math:`n` rows held out, between two ranks linearly. A new row that is exchangeable with them lies below
    the moved quantile with probability :math:`\tau`.

    Parameters
    ----------
    model : estimator, optional
        Any with `predict_curve`; by default ``QRGMM()``.
    calibration_share : float
        Share of the rows that are held out, above 0 and below 1.
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`.
    random_state : int, numpy.random.Generator or None
        Of the rows that are held out.

    Attributes
    ----------
    model_ : estimator
        Fitted to the other rows.
    levels_, shifts_ : arrays of shape (n_levels,)
        In units sold.

    Raises
    ------
    ValueError
        In `fit`, if `calibration_share` leaves no row on either side, or the model refuses the rows.

    Notes
    -----
    Romano, Patterson and Candes, "Conformalized quantile regression", 2019, for one side and for every level of a
    grid; chapter 9.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, noise = rng.uniform(size=(400, 1)), rng.exponential(size=400)
    >>> model = Conformalised(QRGMM(levels=10)).fit(X, 10 * X[:, 0] ** 2 + noise)
    >>> model.predict_quantiles([[0.5]], 0.5).shape
    (1, 1)
    """

    def __init__(
        self,
        model: LawModel | None = None,
        calibration_share: float = 0.2,
        levels: int | ArrayLike | None = None,
        random_state: Rng = 0,
    ):
        self.model, self.calibration_share = model, calibration_share
        self.levels, self.random_state = levels, random_state

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit the model to most rows (n_rows, n_columns) and sales (n_rows,), and the shifts to the others."""
        check_consistent_length(X, y)
        y = np.asarray(y)
        n_rows = len(y)
        self.levels_ = choose_levels(self.levels, n_rows)
        if not 1 / n_rows <= self.calibration_share < 1:
            got = f"got {self.calibration_share!r} of {n_rows}"
            raise ValueError(f"calibration_share must leave rows on both sides, {got}")
        kept, held_out = split_rows(n_rows, self.calibration_share, fix_seed(self.random_state))
        model = QRGMM() if self.model is None else clone(self.model)
        self.model_ = model.fit(take_rows(X, kept), y[kept])
        values = self.model_.predict_quantiles(take_rows(X, held_out), self.levels_)
        residuals = y[held_out, None].astype(float) - values
        shifts = [np.quantile(column, level, method="weibull") for column, level in zip(residuals.T, self.levels_)]
        self.shifts_ = np.array(shifts)
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`, not below the model's `lower`."""
        check_is_fitted(self)
        values = self.model_.predict_quantiles(X, self.levels_) + self.shifts_
        return QuantileCurve(self.levels_, values, index=row_index(X)).clip(getattr(self.model_, "lower", None))
