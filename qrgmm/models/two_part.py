r"""A law in two parts: does the seller sell anything at all, and how much if so.

A tenth of real sellers stop within a quarter. A law that is smooth in its level can't say so; this one has an atom on
zero whose mass is predicted row by row, and any other model of the book for the rest. Chapter 15.
"""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.law_model import LawModel
from qrgmm.models.libraries import as_frame, prepare
from qrgmm.models.metamodel import QRGMM


class TwoPart(LawModel, RegressorMixin, BaseEstimator):
    r"""Whether anything is sold by logistic regression, how much by another model, fitted to those who sold.

    .. math:: F(y \mid x) = 1 - p(x) + p(x)\, F_+(y \mid x), \qquad p(x) = P(Y > 0 \mid x)

    Parameters
    ----------
    model : estimator, optional
        Of :math:`F_+`; any with `predict_curve`. By default ``QRGMM(encoder=encoder)``. Its laws are cut at 0.
    penalty : float
        Of the squares of the logistic coefficients of standardised columns, at least 0.
    encoder : FieldEncoder, optional
        Of the covariates of :math:`p`; by default ``FieldEncoder()``.

    Attributes
    ----------
    model_ : estimator
    classifier_ : sklearn.pipeline.Pipeline
        None if everybody sold.
    encoder_ : FieldEncoder

    Notes
    -----
    Cragg (1971), "Some statistical models for limited dependent variables"; chapter 15.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"days_since_sale": rng.uniform(0, 60, 2000)})
    >>> sells = rng.random(2000) > X["days_since_sale"] / 100
    >>> model = TwoPart(QRGMM(levels=20)).fit(X, sells * rng.uniform(10, 20, 2000))
    >>> model.predict_curve(pd.DataFrame({"days_since_sale": [5.0, 50.0]})).cdf(0.0).round(1)
    array([[0.1],
           [0.5]])
    """

    lower = 0.0  # nobody sells less than nothing

    def __init__(
        self, model: LawModel | None = None, penalty: float = 20.0, encoder: FieldEncoder | None = None
    ) -> None:
        self.model, self.penalty, self.encoder = model, penalty, encoder

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit both parts.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        y : array of shape (n_rows,)
            Sales, at least 0, in any unit; the laws come in the same one.

        Returns
        -------
        TwoPart

        Raises
        ------
        ValueError
            If sales are negative, nobody sold anything, the penalty is negative, or one of the parts refuses the rows.
        """
        X, sales = prepare(self, X, y)
        if not self.penalty >= 0:
            raise ValueError(f"penalty must be at least 0, got {self.penalty!r}")
        if (sales < 0).any():
            raise ValueError(f"y must be at least 0, got {sales.min():g}")
        sold = sales > 0
        if not sold.any():
            raise ValueError("y must be above 0 in some row, got only zeros")
        self.classifier_ = None
        if not sold.all():
            logistic = LogisticRegression(C=1 / self.penalty if self.penalty else np.inf, max_iter=1000, tol=1e-10)
            self.classifier_ = make_pipeline(StandardScaler(), logistic).fit(self.encoder_.transform(X), sold)
        self.model_ = QRGMM(encoder=self.encoder) if self.model is None else clone(self.model)
        self.model_.fit(X[sold], sales[sold])
        return self

    def predict_selling(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the probability that anything is sold, (n_rows,)."""
        check_is_fitted(self)
        X = as_frame(self, X)
        if self.classifier_ is None:
            return np.ones(len(X))
        return self.classifier_.predict_proba(self.encoder_.transform(X))[:, 1]

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the law of sales of every row, a QuantileCurve with n_rows rows and an atom on 0."""
        selling = self.predict_selling(X)
        return self.model_.predict_curve(as_frame(self, X)).clip(lower=0.0).zero_inflate(selling)
