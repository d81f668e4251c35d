"""What every model of sales can do once it predicts laws: quantiles, draws and means."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng
from qrgmm.curve import QuantileCurve


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
