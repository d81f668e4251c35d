r"""What a user would reach for instead: conditional models of well-kept libraries, with one interface.

Engression, a spline flow, a Bayesian factorization machine and linear quantile regression with a penalty become
estimators with `predict_curve`, as trees do in `qrgmm.models.trees`, so that one study compares them all (chapter 9).
The libraries do the work; they are imported when a model is fitted. Defaults are the settings with the best score on
held-out rows, of six or more each (the penalised model, which is slow, three), that the study uses.
"""

import warnings
from contextlib import redirect_stderr
from io import StringIO
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import stats
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import QuantileRegressor
from sklearn.model_selection import KFold
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from qrgmm.checks import Rng, check_options
from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.encoding import FieldEncoder, check_varies
from qrgmm.models.law_model import LawModel, mean_scores, row_index, standardise
from qrgmm.models.libraries import N_FOLDS, as_frame, prepare, seeded, to_library_units
from qrgmm.models.training import Trainer, one_thread, split_rows, train
from qrgmm.models.trees import BOOSTED_LEVELS

SMALLEST = 1e-3  # residual, in standard deviations of sales, whose logarithm is still told from others


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
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

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
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.hidden_dim, self.num_layer, self.noise_dim = hidden_dim, num_layer, noise_dim
        self.num_epochs, self.batch_size, self.lr = num_epochs, batch_size, lr
        self.validation_share, self.n_draws = validation_share, n_draws
        self.encoder, self.random_state, self.lower = encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        from engression import engression

        X, sales = prepare(self, X, y)
        check_varies(self.encoder_)
        labels = to_library_units(self, sales)
        # The library scales by the standard deviation once more, which one mistyped sale must not rule.
        standardised, location, scale = standardise(sales)
        gross = np.abs(standardised) < np.abs(sales - location) / (scale or 1.0)
        labels[gross] = (location + scale * standardised[gross] - self.shift_) / (self.unit_ or 1.0)
        design, target = self._design(X), torch.as_tensor(labels[:, None], dtype=torch.float32)
        kept, held_out = split_rows(len(sales), self.validation_share, self.seed_)
        with seeded(self.seed_):
            self.model_ = engression(
                design[kept], target[kept], num_layer=self.num_layer, hidden_dim=self.hidden_dim,
                noise_dim=self.noise_dim, lr=self.lr, num_epochs=self.num_epochs, batch_size=self.batch_size,
                verbose=False, x_val=design[held_out] if len(held_out) else None,
                y_val=target[held_out] if len(held_out) else None,
            )
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` of `n_draws` draws."""
        check_is_fitted(self)
        with seeded(self.seed_):
            blocks = self._design(as_frame(self, X)).split(100)
            draws = [self.model_.sample(block, self.n_draws)[:, 0].reshape(len(block), -1) for block in blocks]
        draws = self.shift_ + self.unit_ * torch.cat(draws).double().numpy()
        return QuantileCurve.from_draws(draws, row_index(X)).clip(self.lower)

    def _design(self, X):
        return torch.as_tensor(self.encoder_.transform(X), dtype=torch.float32)


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
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

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
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.bins, self.hidden, self.n_epochs, self.batch_size = bins, hidden, n_epochs, batch_size
        self.learning_rate, self.weight_decay, self.averaging = learning_rate, weight_decay, averaging
        self.validation_share, self.check_every, self.patience = validation_share, check_every, patience
        self.levels, self.progress = levels, progress
        self.encoder, self.random_state, self.lower = encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        from zuko.flows import NSF

        X, sales = prepare(self, X, y)
        check_varies(self.encoder_)
        self.levels_ = choose_levels(self.levels, len(sales))
        kept, held_out = split_rows(len(sales), self.validation_share, self.seed_)
        standardised, self.location_, self.scale_ = standardise(sales[kept])
        design = self._design(X)
        X_kept, y_kept = design[kept], torch.as_tensor(standardised[:, None])
        # First weights drawn in single precision differ between processors in their last bit.
        with seeded(self.seed_, torch.float64) as generator:
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
                return mean_scores(self._curve(network, design[held_out]), sales[held_out])

            self.history_ = train(trainer, step, score if len(held_out) else None, len(kept), self, generator)
        self.flow_ = trainer.averaged.requires_grad_(False)
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        with one_thread():
            return self._curve(self.flow_, self._design(as_frame(self, X)), row_index(X)).clip(self.lower)

    def _curve(self, flow, design, index=None):
        scores = torch.as_tensor(stats.norm.ppf(self.levels_))
        with torch.inference_mode():
            values = flow(design).transform.inv(scores[:, None, None].expand(-1, len(design), 1))
        return QuantileCurve(self.levels_, self.location_ + self.scale_ * values[..., 0].T.numpy(), index=index)

    def _design(self, X):
        return torch.as_tensor(self.encoder_.transform(X), dtype=torch.float64)


class BayesianFM(LawModel, RegressorMixin, BaseEstimator):
    r"""Location and scale by two Bayesian factorization machines, and one law of the residuals for all rows.

    .. math:: \hat Q(\tau \mid x) = z_1(x) + e^{z_2(x)}\, q_\tau

    :math:`z_1` is fitted to sales, :math:`z_2` to the logarithm of the absolute residuals of machines that did not
    see the row, and :math:`q_\tau` are quantiles of these residuals over their scale.

    Parameters
    ----------
    rank, n_iter : int
        Length of the vectors, and rounds of the Gibbs sampler, of which the first quarter is thrown away.
    levels : int or array of shape (n_levels,), optional
        As in `QRGMM`.
    encoder : FieldEncoder, optional
    random_state : int, numpy.random.Generator or None
    lower : float, optional
        As in `QRGMM`.

    Notes
    -----
    Freudenthaler, Schmidt-Thieme and Rendle, "Bayesian factorization machines", 2011; the library is myfm. All products
    of pairs have plus signs, as Rendle (2010) writes them.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = BayesianFM(n_iter=8, levels=4).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        rank: int = 6,
        n_iter: int = 200,
        levels: int | ArrayLike | None = None,
        encoder: FieldEncoder | None = None,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.rank, self.n_iter, self.levels = rank, n_iter, levels
        self.encoder, self.random_state, self.lower = encoder, random_state, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        X, sales = prepare(self, X, y, least=N_FOLDS)
        self.levels_ = choose_levels(self.levels, len(sales))
        standardised, self.location_, self.scale_ = standardise(sales)
        fields = np.hstack(self.encoder_.transform_fields(X))
        categorical = list(range(len(self.encoder_.categorical_)))
        one_hot = OneHotEncoder(handle_unknown="ignore"), categorical
        self.design_ = make_column_transformer(one_hot, remainder="passthrough", sparse_threshold=1.0).fit(fields)
        self.machines_, residuals = [], standardised
        for _ in range(2):
            machine, unseen = self._fit_machine(fields, residuals)
            self.machines_.append(machine)
            residuals = np.log(np.maximum(np.abs(standardised - unseen), SMALLEST))
            if len(self.machines_) == 1:
                location = unseen
        self.noise_ = np.quantile((standardised - location) / np.exp(unseen), self.levels_)
        return self

    def _fit_machine(self, fields, target):
        """A machine fitted to all rows, and what machines fitted to the other folds predict for each row."""
        with warnings.catch_warnings(action="ignore"):  # on Python 3.11 it imports what setuptools deprecates
            from myfm import MyFMRegressor

        design = csr_matrix(self.design_.transform(fields))
        # Each categorical field has a prior of its own, and so have the continuous ones together.
        seen = getattr(self.design_.named_transformers_["onehotencoder"], "categories_", ())
        shapes = [len(codes) for codes in seen]
        shapes = [n for n in (*shapes, design.shape[1] - sum(shapes)) if n]

        def fit(rows):
            machine = MyFMRegressor(self.rank, random_seed=self.seed_ % 2**31)
            with redirect_stderr(StringIO()):  # its progress
                return machine.fit(
                    design[rows], target[rows], n_iter=self.n_iter, n_kept_samples=self.n_iter * 3 // 4,
                    group_shapes=shapes,
                )

        unseen = np.empty(len(target))
        for kept, left_out in KFold(N_FOLDS, shuffle=True, random_state=self.seed_).split(target):
            unseen[left_out] = fit(kept).predict(design[left_out])
        return fit(np.arange(len(target))), unseen

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        X = as_frame(self, X)
        design = csr_matrix(self.design_.transform(np.hstack(self.encoder_.transform_fields(X))))
        location, scale = (machine.predict(design)[:, None] for machine in self.machines_)
        values = self.location_ + self.scale_ * (location + np.exp(scale) * self.noise_)
        return QuantileCurve(self.levels_, values, index=row_index(X)).clip(self.lower)


class PenalisedQuantiles(LawModel, RegressorMixin, BaseEstimator):
    r"""Linear quantile regression with an absolute penalty on all coefficients but the intercept, level by level.

    .. math:: \min_{a, b}\; \frac1n \sum_i \rho_\tau(y_i - a - b'x_i) + \alpha \lVert b \rVert_1

    Parameters
    ----------
    alpha : float
        For sales in standard deviations.
    levels : int or array of shape (n_levels,), optional
        As in `BoostedQuantiles`.
    tails : {"clamp", "exponential"}
        As in `QuantileCurve`.
    encoder : FieldEncoder, optional
    lower : float, optional
        As in `QRGMM`.

    Notes
    -----
    Belloni and Chernozhukov, "l1-penalized quantile regression in high-dimensional sparse models", 2011; the library is
    scikit-learn.

    Examples
    --------
    >>> X = pd.DataFrame({"store": ["a", "b"] * 50, "price": np.linspace(1, 2, 100)})
    >>> model = PenalisedQuantiles(levels=4).fit(X, np.linspace(10, 20, 100))
    >>> model.predict_quantiles(X[:3], 0.5).shape
    (3, 1)
    """

    def __init__(
        self,
        alpha: float = 1e-4,
        levels: int | ArrayLike | None = BOOSTED_LEVELS,
        tails: Literal["clamp", "exponential"] = "exponential",
        encoder: FieldEncoder | None = None,
        lower: float | None = None,
    ):
        self.alpha, self.levels, self.tails, self.encoder, self.lower = alpha, levels, tails, encoder, lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit to a data frame or array (n_rows, n_columns) and sales (n_rows,)."""
        X, sales = prepare(self, X, y)
        check_options("sort", self.tails)
        self.levels_ = choose_levels(self.levels, len(sales))
        standardised, self.location_, self.scale_ = standardise(sales)
        design = csr_matrix(self.encoder_.transform(X))
        self.models_ = [
            QuantileRegressor(quantile=level, alpha=self.alpha).fit(design, standardised) for level in self.levels_
        ]
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the laws, one per row, as a `QuantileCurve` on `levels_`."""
        check_is_fitted(self)
        X = as_frame(self, X)
        design = self.encoder_.transform(X)
        values = self.location_ + self.scale_ * np.column_stack([model.predict(design) for model in self.models_])
        return QuantileCurve(self.levels_, values, tails=self.tails, index=row_index(X)).clip(self.lower)
