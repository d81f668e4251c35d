r"""A law from the seller's own past alone: what it sold before, shrunken to what all sell.

Whoever lends without covariates does this by hand. It is the least that a model has to beat. Chapter 15.
"""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.law_model import LawModel, row_index


class OwnPast(LawModel, RegressorMixin, BaseEstimator):
    r"""Logarithms of sales vary around a mean of the seller's, which is shrunken to that of all.

    .. math:: \log(1 + y_{ij}) = \mu + a_i + e_{ij}, \qquad
        \hat a_i = \frac{n_i \sigma_a^2}{n_i \sigma_a^2 + \sigma_e^2}\, (\bar z_i - \mu)

    with :math:`\bar z_i` the mean logarithm of the :math:`n_i` outcomes of seller `i`. The quantiles of
    :math:`z_{ij} - \mu - \hat a_i` over all rows are the law; a seller without a past has :math:`\hat a_i = 0`.

    Parameters
    ----------
    seller : str
        The column of names; no other is looked at.
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`.

    Attributes
    ----------
    levels_ : array of shape (n_levels,)
    mean_ : float
    effects_ : pandas.Series
        :math:`\hat a_i` by seller.
    noise_ : array of shape (n_levels,)
        Quantiles of what is left.

    Notes
    -----
    Robinson (1991), "That BLUP is a good thing"; the variances are those of the analysis of variance. Chapter 15.

    Examples
    --------
    >>> X = pd.DataFrame({"seller": ["large", "large", "small", "small"]})
    >>> model = OwnPast(levels=2).fit(X, [9.0, 10.0, 1.0, 1.2])
    >>> model.predict_quantiles(pd.DataFrame({"seller": ["large", "new", "small"]}), 0.5).round(1)
    array([[9.5],
           [3.7],
           [1.1]])
    """

    def __init__(self, seller: str = "seller", levels: int | ArrayLike | None = None) -> None:
        self.seller, self.levels = seller, levels

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit to a data frame with the column of names and sales (n_rows,) of at least 0."""
        sales = np.asarray(y, dtype=float)
        if sales.shape != (len(X),) or not (sales >= 0).all() or not np.isfinite(sales).all():
            raise ValueError(f"y must be finite and at least 0 in each of {len(X)} rows, got shape {sales.shape}")
        z = pd.Series(np.log1p(sales), pd.Index(X[self.seller]))
        self.levels_, self.mean_ = choose_levels(self.levels, len(z)), float(z.mean())
        sellers = (z - self.mean_).groupby(level=0).agg(["mean", "size"])
        n, n_sellers = sellers["size"], len(sellers)
        within = float(((z - self.mean_) ** 2).sum() - (n * sellers["mean"] ** 2).sum()) / max(len(z) - n_sellers, 1)
        between = float((n * sellers["mean"] ** 2).sum()) / max(n_sellers - 1, 1) - within
        usual = (len(z) - (n**2).sum() / len(z)) / max(n_sellers - 1, 1)  # rows of a seller
        variance = max(between / usual, 0.0) if usual else 0.0
        self.effects_ = sellers["mean"] * (n * variance / (n * variance + within) if variance else 0.0)
        left = z - self.mean_ - self.effects_.loc[z.index].to_numpy()
        self.noise_ = np.quantile(left, self.levels_)
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        effects = self.effects_.reindex(X[self.seller]).fillna(0.0).to_numpy()
        values = self.mean_ + effects[:, None] + self.noise_
        return QuantileCurve(self.levels_, values, index=row_index(X)).map(np.expm1).clip(lower=0.0)
