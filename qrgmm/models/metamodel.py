r"""QRGMM: a generative model of sales by linear quantile regression on a grid of levels.

Offline, one linear quantile regression per level; online, a straight line between neighbouring quantiles. That is
Algorithm 1 of the SCF paper, and the second half of it is the `QuantileCurve`. Several outputs make a chain.
"""

from collections.abc import Callable
from os import PathLike
from typing import Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qrgmm.checks import Rng, check_options
from qrgmm.curve import BLOCK, QuantileCurve, choose_levels
from qrgmm.models.encoding import FieldEncoder, check_unitless, fit_design
from qrgmm.models.law_model import LawModel, check_lower, row_index
from qrgmm.models.saving import read_model, write_model
from qrgmm.quantile_regression.grid import fit_quantile_grid

FITTED_ARRAYS = ("levels_", "coef_", "intercept_", "gap_")


class QRGMM(LawModel, RegressorMixin, BaseEstimator):
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
    tails : {"clamp", "exponential"}
        What a predicted curve does beyond the first and the last level, see `QuantileCurve`.
    lower : float, optional
        The least that can be sold, in the unit of sales: what a law has below it becomes an atom on it, exactly.

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

    def __init__(
        self,
        levels: int | ArrayLike | None = None,
        encoder: FieldEncoder | None = None,
        crossing: Literal["sort", "raise"] = "sort",
        tails: Literal["clamp", "exponential"] = "clamp",
        lower: float | None = None,
    ):
        self.levels = levels
        self.encoder = encoder
        self.crossing = crossing
        self.tails = tails
        self.lower = lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit one linear quantile regression per level.

        Parameters
        ----------
        X : data frame, array or sparse array of shape (n_rows, n_columns)
        y : array of shape (n_rows,)
            Sales, in any unit; the laws come in the same one.
        sample_weight : array of shape (n_rows,), optional
            A row counts so many times, also for the rule of thumb of `levels`; rows of weight 0 are left out.

        Returns
        -------
        QRGMM

        Raises
        ------
        ValueError
            If shapes do not match, values are not finite, durations or dates, weights are negative, or there are
            fewer rows than coefficients.
        """
        check_options(self.crossing, self.tails)
        check_lower(self.lower)
        check_unitless("y", y)
        self.encoder_, encoded = fit_design(self.encoder, X, may_be_sparse=True)
        inputs, sales = validate_data(self, encoded, y, y_numeric=True, dtype=float, accept_sparse="csr")
        weights = None
        n_counted = inputs.shape[0]
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, inputs, dtype=float, ensure_non_negative=True)
            inputs, sales, weights = (each[weights > 0] for each in (inputs, sales, weights))
            n_counted = weights.sum()
        n_rows, n_columns = inputs.shape[0], inputs.shape[1] + 1
        if n_rows < n_columns:
            message = f"X needs at least {n_columns} rows, one per coefficient, got n_samples = {n_rows}"
            raise ValueError(message + _name_widest_field(self.encoder_))
        ones = np.ones((n_rows, 1))
        design = sp.hstack([ones, inputs], format="csr") if sp.issparse(inputs) else np.hstack([ones, inputs])
        grid = fit_quantile_grid(design, sales, choose_levels(self.levels, n_counted), weights)
        self.levels_, self.gap_ = grid.levels, grid.gap
        self.intercept_, self.coef_ = grid.coef[:, 0], grid.coef[:, 1:]
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the law of sales of every row.

        Parameters
        ----------
        X : data frame, array or sparse array of shape (n_rows, n_columns)

        Returns
        -------
        QuantileCurve
            With n_rows rows.
        """
        check_is_fitted(self)
        index = row_index(X)
        if self.encoder_ is None:
            check_unitless("X", X)
            X = validate_data(self, X, reset=False, dtype=float, accept_sparse="csr")
            values = self.intercept_ + X @ self.coef_.T
        else:
            values = self.intercept_ + self.encoder_.multiply(X, self.coef_.T)
        curve = QuantileCurve(self.levels_, values, self.crossing, self.tails, index)
        return curve.clip(self.lower)

    def save(self, path: str | PathLike) -> None:
        """Write the fitted model to one file, see `qrgmm.models.saving`.

        Parameters
        ----------
        path : path
            Such as ``model.safetensors``.

        Raises
        ------
        ValueError
            If levels of a categorical field are neither strings nor numbers.
        """
        check_is_fitted(self)
        write_model(self, path, {name: getattr(self, name) for name in FITTED_ARRAYS})

    @classmethod
    def load(cls, path: str | PathLike) -> Self:
        """Return the fitted model that `save` wrote; it predicts the same to the last bit.

        Parameters
        ----------
        path : path

        Returns
        -------
        QRGMM

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        model, arrays, _ = read_model(cls, path)
        for name in FITTED_ARRAYS:
            setattr(model, name, arrays[name])
        return model

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: designs may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _name_widest_field(encoder):
    """Say which column has so many levels that there are too few rows."""
    sizes = {} if encoder is None else {name: len(levels) for name, levels in encoder.categories_.items()}
    widest = max(sizes, key=lambda name: sizes[name], default=None)
    if widest is None or sizes[widest] <= 2:
        return ""
    return f"; column {widest!r} alone has {sizes[widest]} levels: is it a name or a number? leave it out or group it"


class QRGMMChain(BaseEstimator):
    r"""QRGMM for several outputs, one after the other: each is modelled given the covariates and the outputs before it.

    .. math:: \hat Q_d(\tau \mid x, y_1, \dots, y_{d-1}), \qquad d = 1, \dots, D

    Draws are made in the same order. Draws of the first output come from sorted curves. For a later output every draw
    has covariates of its own, and needs no more than the two levels around its :math:`u`: two rows of coefficients
    are gathered per draw and nothing else is predicted. Two raw quantiles can't be sorted as a whole curve can, so
    that where quantiles cross, a later output is interpolated between them as they are.

    Parameters
    ----------
    levels : int or array of shape (n_levels,), optional
        The grid of every output, as in `QRGMM`.
    basis : callable, optional
        ``basis(Z)`` -> array (n_rows, n_regressors), applied to the inputs of every output, which are the covariates
        and the outputs before; by default the inputs themselves.

    Attributes
    ----------
    models_ : list of QRGMM
        One per output.
    levels_ : array of shape (n_levels,)
    n_outputs_ : int

    Notes
    -----
    Hong, Hou, Zhang and Zhang, "Learning to simulate", e-companion on several outputs; chapter 6.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(500, 1))
    >>> first = x[:, 0] + rng.normal(size=500)
    >>> chain = QRGMMChain(levels=20).fit(x, np.column_stack([first, 2 * first]))
    >>> draws = chain.sample([[0.5]], 1000, rng=1)
    >>> draws.shape, bool(np.allclose(draws[..., 1], 2 * draws[..., 0]))
    ((1, 1000, 2), True)
    """

    def __init__(self, levels: int | ArrayLike | None = None, basis: Callable[..., np.ndarray] | None = None):
        self.levels = levels
        self.basis = basis

    def fit(self, X: pd.DataFrame | ArrayLike, Y: ArrayLike) -> Self:
        """Fit one `QRGMM` per output.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
            Numeric.
        Y : array of shape (n_rows, n_outputs)
            In the order in which outputs are drawn; (n_rows,) is one output.

        Returns
        -------
        QRGMMChain

        Raises
        ------
        ValueError
            If shapes do not match, values are not finite or not numeric, or there are fewer rows than coefficients.
        """
        check_unitless("X", X)
        check_unitless("Y", Y)
        X, Y = validate_data(self, X, Y, multi_output=True, y_numeric=True, dtype=float)
        inputs = np.column_stack([X, Y])
        self.n_outputs_ = inputs.shape[1] - X.shape[1]
        self.models_ = []
        for column in range(X.shape[1], inputs.shape[1]):
            regressors = self._regressors(inputs[:, :column])
            self.models_.append(QRGMM(levels=self.levels).fit(regressors, inputs[:, column]))
        self.levels_ = self.models_[0].levels_
        return self

    def sample(
        self, X: pd.DataFrame | ArrayLike, n_draws: int, rng: Rng = None
    ) -> np.ndarray:
        """Return independent draws of all outputs for every row.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        n_draws : int
        rng : numpy.random.Generator, int or None
            One uniform number is used per draw and output, output by output.

        Returns
        -------
        array of shape (n_rows, n_draws, n_outputs)

        Raises
        ------
        ValueError
            If `X` does not have the columns of `fit`, values are not finite, or `n_draws` is not a whole number.
        """
        check_is_fitted(self)
        X, rng = (
            validate_data(self, X, reset=False, dtype=float),
            np.random.default_rng(rng),
        )
        first, *later = self.models_
        draws = first.sample(self._regressors(X), n_draws, rng)
        inputs = np.column_stack([np.repeat(X, draws.shape[1], axis=0), draws.ravel()])
        for model in later:
            u = rng.random(len(inputs))
            output = np.empty(len(inputs))
            for i in range(0, len(inputs), BLOCK):
                block = slice(i, i + BLOCK)
                output[block] = _quantile_per_row(
                    model, self._regressors(inputs[block]), u[block]
                )
            inputs = np.column_stack([inputs, output])
        return inputs[:, X.shape[1] :].reshape(*draws.shape, self.n_outputs_)

    def _regressors(self, inputs):
        return inputs if self.basis is None else self.basis(inputs)


def _quantile_per_row(model, X, u):
    """Return the quantile at level u[i] given row X[i], (n_rows,), from the two levels next to u[i]."""
    # The position of u on the grid, constant beyond its ends: 2.25 is a quarter of the way from level 2 to level 3.
    position = np.interp(u, model.levels_, np.arange(len(model.levels_)))
    low, high = np.floor(position).astype(int), np.ceil(position).astype(int)
    share = position - low
    lower = model.intercept_[low] + np.einsum("ij,ij->i", X, model.coef_[low])
    upper = model.intercept_[high] + np.einsum("ij,ij->i", X, model.coef_[high])
    return lower + share * (upper - lower)
