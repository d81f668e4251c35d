r"""Conditional generators that learn from noise: what they share, and a Wasserstein GAN.

Each turns noise :math:`z` and covariates :math:`x` into a draw of sales, :math:`Y = g(z, x)`, where QRGMM turns a
uniform number into one. Their draws become laws through `QuantileCurve.from_draws`, so that everything said of a curve
can be said of them. The network and the loop that trains it are those of `qrgmm.models.training`; diffusion and
rectified flow, which move noise in small steps, are in `qrgmm.models.paths`. Chapter 8.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from qrgmm.checks import Rng, check_count
from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder, check_unitless, fit_design
from qrgmm.models.law_model import LawModel, check_lower, fix_seed, mean_scores, row_index, standardise
from qrgmm.models.training import Network, Trainer, one_thread, split_rows, train

# Draws that go through a network together (more fall out of the cache), and draws per held-out row while it is trained.
BLOCK, N_HELD_OUT_DRAWS = 4096, 64
# Named settings, to be passed as keyword arguments: `ConditionalWGAN(**CWGAN_SETTINGS["package"])`. Those of the papers
# train for a fixed number of epochs; the tuned ones, which are the defaults, were chosen by the score on held-out rows
# (chapter 8).
_OF_PACKAGE: dict[str, Any] = {
    "hidden": (128, 128, 128), "film": False, "noise_dim": 1, "n_epochs": 1000, "critic_steps": 14, "weight_decay": 0.0,
    "betas": (0.9, 0.999), "penalty": "one-sided", "penalty_factor": 5.0, "dropout": 0.1, "averaging": 0.0,
}
CWGAN_SETTINGS: dict[str, dict[str, Any]] = {
    "paper": _OF_PACKAGE | {"batch_size": 4096, "learning_rate": 1e-3, "validation_share": 0.0},
    "package": _OF_PACKAGE | {"batch_size": 32, "learning_rate": 1e-4, "check_every": 2, "patience": 10},
    "tuned": {},
}


def dropout_of(rate: float, generator: torch.Generator) -> Callable | None:
    """Return dropout that draws from a generator of its own, or None for a rate of 0.

    Parameters
    ----------
    rate : float
    generator : torch.Generator

    Returns
    -------
    callable or None
    """
    if not rate:
        return None
    return lambda h: h * (torch.rand(h.shape, generator=generator, dtype=h.dtype) >= rate) / (1 - rate)


class Generator(LawModel, RegressorMixin, BaseEstimator):
    """What the three generators share: `fit` around a `_start` of their own, and draws from their `_transform`."""

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Train on mini-batches, and keep the weights that score best on rows held out.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        y : array of shape (n_rows,)
            Sales, in any unit; the laws come in the same one.

        Returns
        -------
        The model itself.

        Raises
        ------
        ValueError
            If shapes do not match, values are not finite, durations or dates, `validation_share` leaves no rows, or
            training diverges.
        """
        self._check_options()
        check_lower(self.lower)
        self.encoder_, X = fit_design(self.encoder, X)
        X, sales = validate_data(self, X, check_unitless("y", y), y_numeric=True, dtype=float)
        self.scaler_ = StandardScaler().fit(X) if self.encoder_ is None else None
        self.seed_ = fix_seed(self.random_state)
        rng = np.random.default_rng(self.seed_)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        kept, held_out = split_rows(len(X), self.validation_share, rng)
        standardised, self.location_, self.scale_ = standardise(sales[kept])
        X = self._tensor(X)

        def score(network):
            return mean_scores(self._curve(network, X[held_out], N_HELD_OUT_DRAWS), sales[held_out])

        with one_thread():
            trainer, step = self._start(X[kept], torch.as_tensor(standardised), generator)
            self.history_ = train(trainer, step, score if len(held_out) else None, len(kept), self, generator)
        self.network_, self.n_updates_ = trainer.averaged.requires_grad_(False), trainer.n_updates
        return self

    def sample(self, X: pd.DataFrame | ArrayLike, n_draws: int, rng: Rng = None) -> np.ndarray:
        """Return `n_draws` independent draws of sales for every row.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        n_draws : int
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_rows, n_draws)

        Raises
        ------
        ValueError
            If `X` does not have the columns of `fit`, or `n_draws` is not a whole number of at least 1.
        """
        rng, X = np.random.default_rng(rng), self._checked(X)

        def fresh(rows, draws):
            sizes = (part.stop - part.start for part in (rows, draws))
            return torch.as_tensor(rng.standard_normal((*sizes, self._noise_dim)))

        return np.maximum(self._draws(self.network_, X, n_draws, fresh), -np.inf if self.lower is None else self.lower)

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the law of `n_draws` draws for every row, made of the same noise in all rows.

        The noise is a Latin hypercube: its coordinates are spread evenly, so that the law is that of more draws.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)

        Returns
        -------
        QuantileCurve
            With n_rows rows.
        """
        X, index = self._checked(X), row_index(X)
        return self._curve(self.network_, X, self.n_draws, index).clip(self.lower)

    def _curve(self, network, X, n_draws, index=None):
        rng = np.random.default_rng(self.seed_)
        hypercube = stats.qmc.LatinHypercube(self._noise_dim, rng=rng).random(n_draws)
        noise = torch.as_tensor(stats.norm.ppf(hypercube))[None]
        draws = self._draws(network, X, n_draws, lambda rows, draws: noise[:, draws])
        return QuantileCurve.from_draws(draws, index)

    def _draws(self, network, X, n_draws, noise):
        n_draws = check_count("n_draws", n_draws)
        result = np.empty((len(X), n_draws))
        n_rows = max(1, BLOCK // n_draws)
        with one_thread(), torch.inference_mode():
            for i in range(0, len(X), n_rows):
                rows = slice(i, min(i + n_rows, len(X)))
                context = network.context(X[rows])
                for k in range(0, n_draws, BLOCK):
                    draws = slice(k, min(k + BLOCK, n_draws))
                    result[rows, draws] = self._transform(network, context, noise(rows, draws)).numpy()
        return self.location_ + self.scale_ * result

    def _checked(self, X):
        check_is_fitted(self)
        X = check_unitless("X", X) if self.encoder_ is None else self.encoder_.transform(X)
        return self._tensor(validate_data(self, X, reset=False, dtype=float))

    def _tensor(self, X):
        return torch.as_tensor(X if self.scaler_ is None else self.scaler_.transform(X), dtype=torch.float64)


class ConditionalWGAN(Generator):
    r"""Conditional Wasserstein GAN with a gradient penalty (CWGAN-GP).

    A critic :math:`f(x, y)`, kept near a slope of at most one in :math:`y`, measures how far the generator's draws lie
    from the data; the generator :math:`g(x, z)` moves them closer.

    .. math:: \min_g \max_f\; E f(x, y) - E f(x, g(x, z)) - \lambda\, E\,p(|\partial_y f(x, \tilde y)|)

    with :math:`\tilde y` uniform between a draw and the data, and the penalty :math:`p(s) = (s - 1)^+` (one-sided) or
    :math:`(s - 1)^2` (two-sided). Sales have one dimension, where a slope of +1 turns into -1 only through zero: a
    strong two-sided penalty holds the critic on the wrong side, and the generator runs away.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers of both networks.
    film : bool
        Covariates multiply the first layer as well as shift it.
    noise_dim : int
    n_epochs, batch_size : int
        Passes over the data, and rows in a mini-batch. Mini-batches are counted through all epochs.
    critic_steps : int
        Mini-batches on which the critic learns before one on which the generator does.
    learning_rate : float
    betas : tuple of float
        Of the optimiser AdamW.
    penalty : {"one-sided", "two-sided"}
    penalty_factor : float
        :math:`\lambda`.
    weight_decay : float
        Of the weights of the covariates, in both networks.
    dropout : float
        In the hidden layers of the generator while it is trained.
    averaging : float
        The generator that draws is the running average of its weights, which keeps this share per update; 0 is none.
    validation_share : float
        Share of the rows held out, to be scored by CRPS while training; the best weights are kept. 0 keeps the last.
    check_every : int
        Epochs between two scores.
    patience : int, optional
        Scores without a better one after which training stops; by default never.
    n_draws : int
        Draws per row of which `predict_curve` makes a law.
    encoder : FieldEncoder, optional
        As in `QRGMM`. Columns of an array are standardised.
    progress : bool
    random_state : int, numpy.random.Generator or None
        Of the initial weights, the held-out rows, the mini-batches and the noise of `predict_curve`, which is the same
        in every call.
    lower : float, optional
        As in `QRGMM`, for draws as well.

    Attributes
    ----------
    n_updates_ : int
        How often the generator learned, over all epochs that were run.
    history_ : pandas.DataFrame
        One row per score: epoch, n_updates, loss (mean estimate of the distance :math:`E f(x, y) - E f(x, g)`),
        heldout_crps and heldout_spread (mean standard deviation of the laws), in units sold.
    encoder_ : FieldEncoder or None

    Notes
    -----
    Gulrajani et al., "Improved training of Wasserstein GANs", 2017; Athey, Imbens, Metzger and Munro, 2024, whose
    package has the one-sided penalty on outputs alone, and leaves dropout on when it draws, which this does not.
    SCF paper, section 6.1; chapter 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> price = rng.uniform(1, 2, size=(500, 1))
    >>> sales = 10 * price[:, 0] + rng.exponential(size=500)
    >>> model = ConditionalWGAN(n_epochs=20).fit(price, sales)
    >>> model.sample([[1.5]], 4, rng=0).shape
    (1, 4)
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 64),
        film: bool = True,
        noise_dim: int = 4,
        n_epochs: int = 150,
        batch_size: int = 256,
        critic_steps: int = 3,
        learning_rate: float = 2e-3,
        betas: tuple[float, float] = (0.5, 0.9),
        penalty: Literal["one-sided", "two-sided"] = "one-sided",
        penalty_factor: float = 1.0,
        weight_decay: float = 2.0,
        dropout: float = 0.0,
        averaging: float = 0.98,
        validation_share: float = 0.1,
        check_every: int = 5,
        patience: int | None = 8,
        n_draws: int = 1000,
        encoder: FieldEncoder | None = None,
        progress: bool = False,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.hidden, self.film, self.noise_dim = hidden, film, noise_dim
        self.n_epochs, self.batch_size, self.critic_steps, self.betas = n_epochs, batch_size, critic_steps, betas
        self.learning_rate, self.penalty, self.penalty_factor = learning_rate, penalty, penalty_factor
        self.weight_decay, self.dropout, self.averaging, self.n_draws = weight_decay, dropout, averaging, n_draws
        self.validation_share, self.check_every, self.patience = validation_share, check_every, patience
        self.encoder, self.progress, self.random_state, self.lower = encoder, progress, random_state, lower

    @property
    def _noise_dim(self):
        return self.noise_dim

    def _check_options(self):
        if self.penalty not in ("one-sided", "two-sided"):
            raise ValueError(f"penalty must be 'one-sided' or 'two-sided', got {self.penalty!r}")

    def _start(self, X, y, generator):
        network = Network(X.shape[1], self.noise_dim, self.hidden, self.film, generator)
        critic = Network(X.shape[1], 1, self.hidden, self.film, generator)
        options = {
            "learning_rate": self.learning_rate,
            "betas": self.betas,
            "weight_decay": self.weight_decay,
        }
        trainer = Trainer(
            network, [network.covariates.weight], averaging=self.averaging, **options
        )
        critic_trainer = Trainer(critic, [critic.covariates.weight], **options)
        drop = dropout_of(self.dropout, generator)
        batches = count(1)

        def generate(X):
            noise = torch.randn(
                len(X), 1, self.noise_dim, generator=generator, dtype=torch.float64
            )
            return network(network.context(X), noise, drop=drop)

        def step(rows):
            x = X.index_select(0, rows)
            context = critic.context(x)
            if next(batches) % (self.critic_steps + 1) == 0:
                trainer.update(-critic(context, generate(x)[..., None]).mean())
                return None
            with torch.no_grad():
                real, fake = y[rows, None], generate(x)
            real_score, fake_score = critic(
                context, torch.stack([real, fake], dim=1)
            ).mean(dim=0)
            share = torch.rand(real.shape, generator=generator, dtype=torch.float64)
            excess = (
                critic.slope(
                    context, (share * real + (1 - share) * fake)[..., None]
                ).abs()
                - 1
            )
            penalty = torch.relu(excess) if self.penalty == "one-sided" else excess**2
            critic_trainer.update(
                fake_score - real_score + self.penalty_factor * penalty.mean()
            )
            return real_score - fake_score

        return trainer, step

    def _transform(self, network, context, noise):
        return network(context, noise)
