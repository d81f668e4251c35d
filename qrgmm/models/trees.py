r"""Ensembles of trees of well-kept libraries, with one interface: a quantile forest and two kinds of boosted trees.

Like the models of `qrgmm.models.peers` they are estimators with `predict_curve`. They tell categories apart as their
libraries do: by mean sales, by sets of them, or by the sales of earlier rows. The libraries are imported when a model
is fitted. Chapter 9.
"""

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted

from qrgmm.checks import Rng, check_options
from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.encoding import FieldEncoder, to_frame
from qrgmm.models.law_model import LawModel, row_index
from qrgmm.models.libraries import N_FOLDS, as_frame, prepare, to_library_units

# Levels at which a boosted model is fitted: every one costs a model, and 13 levels were no better than 7.
BOOSTED_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


class QuantileForest(LawModel, RegressorMixin, BaseEstimator):
    """Quantile regression forest on categories encoded by the mean sales of other folds.

    Parameters
    ----------
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`.
    n_estimators, min_samples_leaf, max_samples_leaf : int
    max_features : float
        As in the library.
    encoder : FieldEncoder, optional
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

    Notes
    -----
    Meinshausen, "Quantile regression forests", 2006.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = QuantileForest(levels=4, n_estimators=5).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        levels: int | ArrayLike | None = None,
        n_estimators: int = 100,
        min_samples_leaf: int = 10,
        max_samples_leaf: int | None = None,
        max_features: float = 0.5,
        encoder: FieldEncoder | None = None,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.levels, self.n_estimators, self.min_samples_leaf = levels, n_estimators, min_samples_leaf
        self.max_samples_leaf, self.max_features = max_samples_leaf, max_features
        self.encoder, self.random_state, self.lower = encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        from quantile_forest import RandomForestQuantileRegressor

        X, sales = prepare(self, X, y, least=N_FOLDS)
        self.levels_ = choose_levels(self.levels, len(sales))
        # A row's categories are encoded by folds that it is not in, so that its own sales do not tell on it.
        encoder = TargetEncoder(target_type="continuous", cv=KFold(N_FOLDS, shuffle=True, random_state=self.seed_))
        categorical = list(range(len(self.encoder_.categorical_)))
        self.pipeline_ = make_pipeline(
            make_column_transformer((encoder, categorical), remainder="passthrough"),
            RandomForestQuantileRegressor(
                self.n_estimators, min_samples_leaf=self.min_samples_leaf, max_samples_leaf=self.max_samples_leaf,
                max_features=self.max_features, random_state=self.seed_,
            ),
        ).fit(np.hstack(self.encoder_.transform_fields(X)), to_library_units(self, sales))
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        fields = np.hstack(self.encoder_.transform_fields(as_frame(self, X)))
        values = self.pipeline_.predict(fields, quantiles=list(self.levels_))
        curve = QuantileCurve(self.levels_, self.shift_ + self.unit_ * values, index=row_index(X))
        return curve.clip(self.lower)


class BoostedQuantiles(LawModel, RegressorMixin, BaseEstimator):
    """Gradient-boosted trees of LightGBM, one model per level, with its own treatment of categories.

    Parameters
    ----------
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`, but for the default: every level costs a model.
    n_rounds : int
        Trees per level.
    options : dict, optional
        Parameters of LightGBM, such as num_leaves, learning_rate or min_data_in_leaf. `feature_fraction` is 0.5 unless
        given here.
    tails : {"clamp", "exponential"}
        As in `QuantileCurve`.
    encoder : FieldEncoder, optional
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

    Notes
    -----
    Between levels the curve is linear; crossing quantiles are sorted.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = BoostedQuantiles(levels=(0.25, 0.5, 0.75), n_rounds=5).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        levels: int | ArrayLike | None = BOOSTED_LEVELS,
        n_rounds: int = 400,
        options: dict[str, Any] | None = None,
        tails: Literal["clamp", "exponential"] = "exponential",
        encoder: FieldEncoder | None = None,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.levels, self.n_rounds, self.options = levels, n_rounds, options
        self.tails, self.encoder, self.random_state, self.lower = tails, encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        import lightgbm

        X, sales = prepare(self, X, y)
        check_options("sort", self.tails)
        self.levels_ = choose_levels(self.levels, len(sales))
        fixed = {"objective": "quantile", "feature_fraction": 0.5, "seed": self.seed_, "verbose": -1}
        fixed |= {"num_threads": 1, "deterministic": True, "force_row_wise": True} | (self.options or {})
        categorical = list(range(len(self.encoder_.categorical_)))
        labels = to_library_units(self, sales)
        data = lightgbm.Dataset(native_fields(self.encoder_, X), labels, categorical_feature=categorical, params=fixed)
        levels = self.levels_.tolist()
        self.models_ = [lightgbm.train(fixed | {"alpha": level}, data, self.n_rounds) for level in levels]
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        native = native_fields(self.encoder_, as_frame(self, X))
        values = self.shift_ + self.unit_ * np.column_stack([model.predict(native) for model in self.models_])
        return QuantileCurve(self.levels_, values, tails=self.tails, index=row_index(X)).clip(self.lower)


class CatBoostQuantiles(LawModel, RegressorMixin, BaseEstimator):
    """Gradient-boosted symmetric trees of CatBoost, one model for all levels, with its own treatment of categories.

    Parameters
    ----------
    levels : int or array of shape (n_levels,), optional
        As in `BoostedQuantiles`.
    n_rounds, depth : int
        Trees, and how often each divides the rows.
    learning_rate : float
    options : dict, optional
        Other parameters of CatBoost, such as l2_leaf_reg.
    tails : {"clamp", "exponential"}
        As in `QuantileCurve`.
    encoder : FieldEncoder, optional
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

    Notes
    -----
    Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", 2018. Crossing quantiles are sorted.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = CatBoostQuantiles(levels=(0.25, 0.5, 0.75), n_rounds=5).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        levels: int | ArrayLike | None = BOOSTED_LEVELS,
        n_rounds: int = 400,
        depth: int = 6,
        learning_rate: float = 0.05,
        options: dict[str, Any] | None = None,
        tails: Literal["clamp", "exponential"] = "exponential",
        encoder: FieldEncoder | None = None,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.levels, self.n_rounds, self.depth, self.learning_rate = levels, n_rounds, depth, learning_rate
        self.options, self.tails = options, tails
        self.encoder, self.random_state, self.lower = encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        from catboost import CatBoostRegressor

        X, sales = prepare(self, X, y)
        check_options("sort", self.tails)
        self.levels_ = choose_levels(self.levels, len(sales))
        levels = ",".join(map(repr, self.levels_.tolist()))
        self.model_ = CatBoostRegressor(
            loss_function=f"MultiQuantile:alpha={levels}", iterations=self.n_rounds, depth=self.depth,
            learning_rate=self.learning_rate, random_seed=self.seed_ % 2**31, thread_count=1, verbose=False,
            allow_writing_files=False, cat_features=list(range(len(self.encoder_.categorical_))),
            **(self.options or {}),
        )
        labels = to_library_units(self, sales)
        if self.unit_:  # the library refuses sales that never vary
            self.model_.fit(native_fields(self.encoder_, X), labels)
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        native = native_fields(self.encoder_, as_frame(self, X))
        values = np.zeros((len(native), len(self.levels_)))
        if self.unit_:
            values += self.model_.predict(native).reshape(values.shape)
        values = self.shift_ + self.unit_ * values
        return QuantileCurve(self.levels_, values, tails=self.tails, index=row_index(X)).clip(self.lower)


def native_fields(encoder: FieldEncoder, X: pd.DataFrame) -> pd.DataFrame:
    """Return fields as libraries of trees take them: categories as whole numbers, then the continuous columns.

    Parameters
    ----------
    encoder : FieldEncoder
        Fitted.
    X : data frame of shape (n_rows, n_columns)

    Returns
    -------
    pandas.DataFrame
        With names of its own: the libraries refuse many a name of a column.
    """
    codes, continuous = encoder.transform_fields(X)
    frame = to_frame(np.hstack([codes, continuous]))
    return frame.astype(dict.fromkeys(frame.columns[: codes.shape[1]], int))
