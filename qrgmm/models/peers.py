r"""What a user would reach for instead: four conditional models of well-kept libraries, with one interface.

Engression, a quantile forest, boosted trees level by level and a spline flow become estimators with `predict_curve`,
so that one study compares them all (chapter 9). The libraries do the work; they are imported when a model is fitted.
Defaults are the settings with the best score on held-out rows, of six or more each, that the study uses.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted

from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.encoding import FieldEncoder, choose_encoder
from qrgmm.models.law_model import LawModel, row_index
from qrgmm.models.training import Trainer, one_thread, split_rows, train

# Levels at which a boosted model is fitted: every one costs a model, and 13 levels were no better than 7.
BOOSTED_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


@contextmanager
def _seeded(random_state, dtype=torch.float32):
    """Give torch's global generator, which these libraries draw from, a seed, and new layers a precision.

    What the user had set is put back afterwards.
    """
    seed, precision = int(np.random.default_rng(random_state).integers(2**63)), torch.get_default_dtype()
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.set_default_dtype(precision)


def _fit_frame(model, X, y):
    """Check the data of `fit`, and fit the encoder; the peers take data frames only."""
    y = np.asarray(y, dtype=float)
    model.encoder_ = (choose_encoder(model.encoder, X) or FieldEncoder()).fit(X)
    if y.shape != (len(X),) or not np.isfinite(y).all():
        raise ValueError(f"y must be finite, with shape ({len(X)},), got shape {y.shape}")
    return y


class Engression(LawModel, RegressorMixin, BaseEstimator):
    """Engression: a network with noise among its inputs, trained by the energy score.

    Parameters
    ----------
    hidden_dim, num_layer, noise_dim, num_epochs, batch_size : int
        As in the library; `num_layer` counts linear layers.
    lr : float
    validation_share : float
        Share of the rows held out, on which the library scores the network to keep its best weights.
    n_draws : int
        Draws per row of which `predict_curve` makes a law.
    encoder : FieldEncoder, optional
    random_state : int

    Notes
    -----
    Shen and Meinshausen, "Engression", 2024; covariates are the design matrix of `FieldEncoder`.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = Engression(num_epochs=2).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], [0.25, 0.5, 0.75]).shape
    (3, 3)
    """

    def __init__(
        self,
        hidden_dim: int = 64,
        num_layer: int = 2,
        noise_dim: int = 16,
        num_epochs: int = 20,
        batch_size: int = 256,
        lr: float = 3e-3,
        validation_share: float = 0.1,
        n_draws: int = 200,
        encoder: FieldEncoder | None = None,
        random_state: int = 0,
    ):
        self.hidden_dim, self.num_layer, self.noise_dim = hidden_dim, num_layer, noise_dim
        self.num_epochs, self.batch_size, self.lr = num_epochs, batch_size, lr
        self.validation_share, self.n_draws = validation_share, n_draws
        self.encoder, self.random_state = encoder, random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit to a data frame (n_rows, n_columns) and sales (n_rows,)."""
        from engression import engression

        sales = _fit_frame(self, X, y)
        design, target = self._design(X), torch.as_tensor(sales[:, None], dtype=torch.float32)
        kept, held_out = split_rows(len(sales), self.validation_share, self.random_state)
        with _seeded(self.random_state):
            self.model_ = engression(
                design[kept], target[kept], num_layer=self.num_layer, hidden_dim=self.hidden_dim,
                noise_dim=self.noise_dim, lr=self.lr, num_epochs=self.num_epochs, batch_size=self.batch_size,
                verbose=False, x_val=design[held_out] if len(held_out) else None,
                y_val=target[held_out] if len(held_out) else None,
            )
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` of `n_draws` draws."""
        check_is_fitted(self)
        with _seeded(self.random_state):
            blocks = self._design(X).split(100)
            draws = [self.model_.sample(block, self.n_draws)[:, 0].reshape(len(block), -1) for block in blocks]
        return QuantileCurve.from_draws(torch.cat(draws).double().numpy(), row_index(X))

    def _design(self, X):
        return torch.as_tensor(self.encoder_.transform(X), dtype=torch.float32)


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
    random_state : int

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
        random_state: int = 0,
    ):
        self.levels, self.n_estimators, self.min_samples_leaf = levels, n_estimators, min_samples_leaf
        self.max_samples_leaf, self.max_features = max_samples_leaf, max_features
        self.encoder, self.random_state = encoder, random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit to a data frame (n_rows, n_columns) and sales (n_rows,)."""
        from quantile_forest import RandomForestQuantileRegressor

        sales = _fit_frame(self, X, y)
        self.levels_ = choose_levels(self.levels, len(sales))
        # A row's categories are encoded by folds that it is not in, so that its own sales do not tell on it.
        encoder = TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=self.random_state))
        categorical = list(range(len(self.encoder_.categorical_)))
        self.pipeline_ = make_pipeline(
            make_column_transformer((encoder, categorical), remainder="passthrough"),
            RandomForestQuantileRegressor(
                self.n_estimators, min_samples_leaf=self.min_samples_leaf, max_samples_leaf=self.max_samples_leaf,
                max_features=self.max_features, random_state=self.random_state,
            ),
        ).fit(np.hstack(self.encoder_.transform_fields(X)), sales)
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        fields = np.hstack(self.encoder_.transform_fields(X))
        values = self.pipeline_.predict(fields, quantiles=list(self.levels_))
        return QuantileCurve(self.levels_, values, index=row_index(X))


class BoostedQuantiles(LawModel, RegressorMixin, BaseEstimator):
    """Gradient-boosted trees of LightGBM, one model per level, with its own treatment of categories.

    Parameters
    ----------
    levels : array of shape (n_levels,)
    n_rounds : int
        Trees per level.
    options : dict, optional
        Parameters of LightGBM, such as num_leaves, learning_rate or min_data_in_leaf. `feature_fraction` is 0.5 unless
        given here.
    tails : {"clamp", "exponential"}
        As in `QuantileCurve`.
    encoder : FieldEncoder, optional
    random_state : int

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
        levels: Sequence[float] | np.ndarray = BOOSTED_LEVELS,
        n_rounds: int = 400,
        options: dict[str, Any] | None = None,
        tails: Literal["clamp", "exponential"] = "exponential",
        encoder: FieldEncoder | None = None,
        random_state: int = 0,
    ):
        self.levels, self.n_rounds, self.options = levels, n_rounds, options
        self.tails, self.encoder, self.random_state = tails, encoder, random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit to a data frame (n_rows, n_columns) and sales (n_rows,)."""
        import lightgbm

        sales = _fit_frame(self, X, y)
        fixed = {"objective": "quantile", "feature_fraction": 0.5, "seed": self.random_state, "verbose": -1}
        fixed |= {"num_threads": 1, "deterministic": True, "force_row_wise": True} | (self.options or {})
        data = lightgbm.Dataset(self._native(X), sales, categorical_feature=self.encoder_.categorical_, params=fixed)
        self.models_ = [lightgbm.train(fixed | {"alpha": level}, data, self.n_rounds) for level in self.levels]
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels`."""
        check_is_fitted(self)
        values = np.column_stack([model.predict(self._native(X)) for model in self.models_])
        return QuantileCurve(self.levels, values, tails=self.tails, index=row_index(X))

    def _native(self, X):
        codes, continuous = self.encoder_.transform_fields(X)
        names = [*self.encoder_.categorical_, *self.encoder_.continuous_]
        frame = pd.DataFrame(np.hstack([codes, continuous]), columns=names)
        return frame.astype(dict.fromkeys(self.encoder_.categorical_, int))


class SplineFlow(LawModel, RegressorMixin, BaseEstimator):
    r"""Neural spline flow in one dimension: a monotone rational-quadratic spline whose knots a network chooses.

    The spline carries sales to a standard normal variable, so that its inverse at normal scores is the quantile
    function, :math:`Q(\tau \mid x) = s_x^{-1}(\Phi^{-1}(\tau))`. It is trained by maximum likelihood, with the loop and
    the held-out rows of the generators.

    Parameters
    ----------
    bins : int
        Pieces of the spline.
    hidden : tuple of int
    n_epochs, batch_size : int
    learning_rate, weight_decay, averaging : float
        The decay acts on the weights of the covariates.
    validation_share : float
    check_every, patience : int
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`.
    progress : bool
    encoder : FieldEncoder, optional
    random_state : int

    Notes
    -----
    Durkan et al., "Neural spline flows", 2019; the library is zuko.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = SplineFlow(levels=4, n_epochs=2).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        bins: int = 4,
        hidden: tuple[int, ...] = (64, 64),
        n_epochs: int = 40,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        weight_decay: float = 3.0,
        averaging: float = 0.99,
        validation_share: float = 0.1,
        check_every: int = 2,
        patience: int | None = 5,
        levels: int | ArrayLike | None = None,
        progress: bool = False,
        encoder: FieldEncoder | None = None,
        random_state: int = 0,
    ):
        self.bins, self.hidden, self.n_epochs, self.batch_size = bins, hidden, n_epochs, batch_size
        self.learning_rate, self.weight_decay, self.averaging = learning_rate, weight_decay, averaging
        self.validation_share, self.check_every, self.patience = validation_share, check_every, patience
        self.levels, self.progress = levels, progress
        self.encoder, self.random_state = encoder, random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit to a data frame (n_rows, n_columns) and sales (n_rows,)."""
        from zuko.flows import NSF

        sales = _fit_frame(self, X, y)
        self.levels_ = choose_levels(self.levels, len(sales))
        kept, held_out = split_rows(len(sales), self.validation_share, self.random_state)
        self.location_, self.scale_ = sales[kept].mean(), sales[kept].std() or 1.0
        design = self._design(X)
        X_kept, y_kept = design[kept], torch.as_tensor((sales[kept, None] - self.location_) / self.scale_)
        # First weights drawn in single precision differ between processors in their last bit.
        with _seeded(self.random_state, torch.float64) as generator:
            flow = NSF(1, design.shape[1], bins=self.bins, transforms=1, hidden_features=self.hidden)
            first = flow.get_parameter("transform.transforms.0.hyper.0.weight")
            trainer = Trainer(
                flow, [first], self.learning_rate, weight_decay=self.weight_decay, averaging=self.averaging
            )

            def step(rows):
                loss = -flow(X_kept[rows]).log_prob(y_kept[rows]).mean()
                trainer.update(loss)
                return loss

            def score(network):
                curve = self._curve(network, design[held_out])
                return curve.crps(sales[held_out]).mean(), curve.std().mean()

            self.history_ = train(trainer, step, score if len(held_out) else None, len(kept), self, generator)
        self.flow_ = trainer.averaged.requires_grad_(False)
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        with one_thread():
            return self._curve(self.flow_, self._design(X), row_index(X))

    def _curve(self, flow, design, index=None):
        scores = torch.as_tensor(stats.norm.ppf(self.levels_))
        with torch.inference_mode():
            values = flow(design).transform.inv(scores[:, None, None].expand(-1, len(design), 1))
        return QuantileCurve(self.levels_, self.location_ + self.scale_ * values[..., 0].T.numpy(), index=index)

    def _design(self, X):
        return torch.as_tensor(self.encoder_.transform(X), dtype=torch.float64)
