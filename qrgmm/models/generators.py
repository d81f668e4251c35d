r"""Conditional generators that learn from noise: a Wasserstein GAN, a diffusion model and a rectified flow.

Each turns noise :math:`z` and covariates :math:`x` into a draw of sales, :math:`Y = g(z, x)`, where QRGMM turns a
uniform number into one. Their draws become laws through `QuantileCurve.from_draws`, so that everything said of a curve
can be said of them. The network and the loop that trains it are those of `qrgmm.models.training`.
"""

from itertools import count
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data
from torch.nn import functional as F

from qrgmm.checks import Rng, check_count
from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder, check_unitless, fit_design
from qrgmm.models.law_model import LawModel, check_lower, fix_seed, mean_scores, row_index, standardise
from qrgmm.models.training import Network, Trainer, one_thread, split_rows, train

# Draws that go through a network together (more fall out of the cache), and draws per held-out row while it is trained.
BLOCK, N_HELD_OUT_DRAWS = 4096, 64
# Steps of noise that a diffusion model is trained on, and what is left of the sales at each, as a share of the
# variance: noise enters along a sigmoid, 1e-4 to 0.02.
N_STEPS = 1000
SIGNAL = np.cumprod(1 - 1e-4 - (0.02 - 1e-4) * expit(np.linspace(-6, 6, N_STEPS)))
# Named settings, to be passed as keyword arguments: `ConditionalWGAN(**CWGAN_SETTINGS["package"])`. Those of the papers
# train for a fixed number of epochs; the tuned ones, which are the defaults, were chosen by the score on held-out rows
# (chapter 8).
_OF_PACKAGE: dict[str, Any] = {
    "hidden": (128, 128, 128), "film": False, "noise_dim": 1, "n_epochs": 1000, "critic_steps": 14, "weight_decay": 0.0,
    "betas": (0.9, 0.999), "penalty": "one-sided", "penalty_factor": 5.0, "dropout": 0.1, "averaging": 0.0,
}
_OF_PAPER: dict[str, Any] = {
    "hidden": (128, 128, 128), "film": True, "n_epochs": 1000, "batch_size": 1000, "lr_decay": 0.9, "n_steps": 100,
    "loss": "l1", "learning_rate": 1e-3, "n_times": 1, "weight_decay": 0.0, "averaging": 0.0, "validation_share": 0.0,
}
CWGAN_SETTINGS: dict[str, dict[str, Any]] = {
    "paper": _OF_PACKAGE | {"batch_size": 4096, "learning_rate": 1e-3, "validation_share": 0.0},
    "package": _OF_PACKAGE | {"batch_size": 32, "learning_rate": 1e-4, "check_every": 2, "patience": 10},
    "tuned": {},
}
DIFFUSION_SETTINGS: dict[str, dict[str, Any]] = {"paper": _OF_PAPER | {"eta": 0.5, "target": "noise"}, "tuned": {}}
FLOW_SETTINGS: dict[str, dict[str, Any]] = {"paper": _OF_PAPER | {"solver": "euler"}, "tuned": {}}


def _dropout(rate, generator):
    """Return dropout that draws from a generator of its own, or None for a rate of 0."""
    if not rate:
        return None
    return lambda h: h * (torch.rand(h.shape, generator=generator, dtype=h.dtype) >= rate) / (1 - rate)


class _Generator(LawModel, RegressorMixin, BaseEstimator):
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
        return QuantileCurve.from_draws(self._draws(network, X, n_draws, lambda rows, draws: noise[:, draws]), index)

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


class ConditionalWGAN(_Generator):
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
        drop = _dropout(self.dropout, generator)
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


class _Path(_Generator):
    """A generator that moves noise to sales in small steps: its network learns what to do at any point of the way."""

    def _check_options(self):
        if self.loss not in ("l1", "l2"):
            raise ValueError(f"loss must be 'l1' or 'l2', got {self.loss!r}")

    def _start(self, X, y, generator):
        network = Network(X.shape[1], 1, self.hidden, self.film, generator)
        options = {"weight_decay": self.weight_decay, "lr_decay": self.lr_decay, "averaging": self.averaging}
        trainer = Trainer(network, [network.covariates.weight], self.learning_rate, **options)
        drop = _dropout(self.dropout, generator)
        distance = F.l1_loss if self.loss == "l1" else F.mse_loss

        def step(rows):
            shape = (len(rows), self.n_times, 1)
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            time = torch.rand(shape, generator=generator, dtype=torch.float64)
            point, time, target = self._path(y[rows, None, None], noise, time)
            loss = distance(network(network.context(X.index_select(0, rows)), point, time, drop), target[..., 0])
            trainer.update(loss)
            return loss

        return trainer, step


class RectifiedFlow(_Path):
    r"""Rectified flow: noise travels to sales along a velocity that a network has learned.

    .. math:: \min_v E\left(v(x, t, y_t) - (y - z)\right)^2, \quad y_t = t y + (1 - t) z; \qquad
              \frac{d y_t}{dt} = v(x, t, y_t),\; y_0 = z

    In one dimension paths can't cross, so that the way from noise to sales is increasing: it is
    :math:`y_1 = Q(\Phi(z) \mid x)`, a quantile function.

    Parameters
    ----------
    hidden, film, n_epochs, batch_size, learning_rate, weight_decay, averaging
        As in `ConditionalWGAN`.
    n_times : int
        Points of the way, each with noise of its own, at which a row is used in a mini-batch.
    n_steps : int
        From noise to sales.
    solver : {"heun", "euler"}
        Heun's steps look up the velocity twice.
    loss : {"l2", "l1"}
        With "l1", which the QRGMM paper takes, a velocity is a conditional median and no longer a mean, and the law
        that is learned is not that of the data.
    lr_decay : float
        Factor of the learning rate every 1000 updates.
    dropout : float
        In the hidden layers, while the network is trained.
    validation_share, check_every, patience, n_draws, encoder, progress, random_state, lower
        As in `ConditionalWGAN`.

    Attributes
    ----------
    n_updates_ : int
    history_ : pandas.DataFrame
        As in `ConditionalWGAN`, with the mean of the loss that is minimised.
    encoder_ : FieldEncoder or None

    Notes
    -----
    Liu, Gong and Liu, "Flow straight and fast", 2023; QRGMM paper, where both this and the diffusion model have
    100 steps; chapter 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> price = rng.uniform(1, 2, size=(500, 1))
    >>> sales = 10 * price[:, 0] + rng.exponential(size=500)
    >>> model = RectifiedFlow(n_epochs=40, n_draws=100).fit(price, sales)
    >>> model.predict_quantiles([[1.5]], [0.25, 0.5, 0.75]).shape
    (1, 3)
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 64),
        film: bool = True,
        n_epochs: int = 100,
        batch_size: int = 256,
        n_times: int = 4,
        n_steps: int = 10,
        solver: Literal["heun", "euler"] = "heun",
        loss: Literal["l2", "l1"] = "l2",
        learning_rate: float = 3e-3,
        lr_decay: float = 1.0,
        weight_decay: float = 3.0,
        dropout: float = 0.0,
        averaging: float = 0.99,
        validation_share: float = 0.1,
        check_every: int = 4,
        patience: int | None = 3,
        n_draws: int = 200,
        encoder: FieldEncoder | None = None,
        progress: bool = False,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.hidden, self.film, self.n_epochs, self.batch_size = hidden, film, n_epochs, batch_size
        self.n_times, self.n_steps, self.solver, self.loss = n_times, n_steps, solver, loss
        self.learning_rate, self.lr_decay, self.weight_decay = learning_rate, lr_decay, weight_decay
        self.dropout, self.averaging, self.n_draws = dropout, averaging, n_draws
        self.validation_share, self.check_every, self.patience = validation_share, check_every, patience
        self.encoder, self.progress, self.random_state, self.lower = encoder, progress, random_state, lower

    _noise_dim = 1

    def _check_options(self):
        super()._check_options()
        if self.solver not in ("heun", "euler"):
            raise ValueError(f"solver must be 'heun' or 'euler', got {self.solver!r}")

    def _path(self, y, noise, time):
        return time * y + (1 - time) * noise, time, y - noise

    def _transform(self, network, context, noise):
        point, width = noise, 1 / self.n_steps
        times = torch.arange(self.n_steps + 1, dtype=torch.float64)[:, None] * width
        for now, then in zip(times[:-1], times[1:]):
            velocity = network(context, point, now)[..., None]
            if self.solver == "heun":
                ahead = network(context, point + width * velocity, then)[..., None]
                velocity = (velocity + ahead) / 2
            point = point + width * velocity
        return point[..., 0]


class ConditionalDiffusion(_Path):
    r"""Denoising diffusion: noise becomes sales by removing, step by step, the noise that a network sees in it.

    .. math:: y_t = \sqrt{a_t}\, y + \sqrt{1 - a_t}\, z, \qquad \min_v E\left(v(x, t, y_t) - v_t\right)^2, \quad
              v_t = \sqrt{a_t}\, z - \sqrt{1 - a_t}\, y

    with 1000 steps :math:`t` and :math:`a_t` falling from 1 to almost 0.

    Parameters
    ----------
    hidden, film, n_epochs, batch_size, learning_rate, weight_decay, averaging
        As in `ConditionalWGAN`.
    n_times, loss, lr_decay, dropout
        As in `RectifiedFlow`.
    n_steps : int
        Of the 1000, how many a draw goes through.
    eta : float
        Fresh noise in each of these steps: 0 is none, so that the way is a function of the first noise (DDIM), 1 is as
        much as in training (DDPM).
    target : {"velocity", "noise"}
        What the network predicts: :math:`v_t`, or :math:`z` as in the QRGMM paper. In the first steps, where almost
        all is noise, an error in :math:`z` is one 160 times as large in sales.
    validation_share, check_every, patience, n_draws, encoder, progress, random_state, lower
        As in `ConditionalWGAN`.

    Attributes
    ----------
    n_updates_ : int
    history_ : pandas.DataFrame
        As in `ConditionalWGAN`, with the mean of the loss that is minimised.
    encoder_ : FieldEncoder or None

    Notes
    -----
    Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020; Song, Meng and Ermon, "Denoising diffusion
    implicit models", 2021; Salimans and Ho, "Progressive distillation", 2022, for the velocity; QRGMM paper; chapter 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> price = rng.uniform(1, 2, size=(500, 1))
    >>> sales = 10 * price[:, 0] + rng.exponential(size=500)
    >>> model = ConditionalDiffusion(n_epochs=40, n_draws=100).fit(price, sales)
    >>> model.predict_quantiles([[1.5]], [0.25, 0.5, 0.75]).shape
    (1, 3)
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 64),
        film: bool = True,
        n_epochs: int = 100,
        batch_size: int = 256,
        n_times: int = 4,
        n_steps: int = 20,
        eta: float = 0.0,
        loss: Literal["l2", "l1"] = "l2",
        target: Literal["velocity", "noise"] = "velocity",
        learning_rate: float = 3e-3,
        lr_decay: float = 1.0,
        weight_decay: float = 3.0,
        dropout: float = 0.0,
        averaging: float = 0.99,
        validation_share: float = 0.1,
        check_every: int = 4,
        patience: int | None = 3,
        n_draws: int = 200,
        encoder: FieldEncoder | None = None,
        progress: bool = False,
        random_state: Rng = 0,
        lower: float | None = None,
    ):
        self.hidden, self.film, self.n_epochs, self.batch_size = hidden, film, n_epochs, batch_size
        self.n_times, self.n_steps, self.eta, self.loss, self.target = n_times, n_steps, eta, loss, target
        self.learning_rate, self.lr_decay, self.weight_decay = learning_rate, lr_decay, weight_decay
        self.dropout, self.averaging, self.n_draws = dropout, averaging, n_draws
        self.validation_share, self.check_every, self.patience = validation_share, check_every, patience
        self.encoder, self.progress, self.random_state, self.lower = encoder, progress, random_state, lower

    @property
    def _noise_dim(self):
        return 1 + self.n_steps if self.eta else 1

    def _check_options(self):
        super()._check_options()
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be in [0, 1], got {self.eta!r}")
        if self.target not in ("velocity", "noise"):
            raise ValueError(f"target must be 'velocity' or 'noise', got {self.target!r}")

    def _path(self, y, noise, time):
        step = (time * N_STEPS).long().clamp(max=N_STEPS - 1)
        signal = torch.as_tensor(SIGNAL)[step]
        a, b = signal.sqrt(), (1 - signal).sqrt()
        return a * y + b * noise, step.double() / N_STEPS, noise if self.target == "noise" else a * noise - b * y

    def _transform(self, network, context, noise):
        point = noise[..., :1]
        steps = np.linspace(N_STEPS - 1, 0, self.n_steps).round().astype(int)
        for i, step in enumerate(steps):
            signal, after = SIGNAL[step], SIGNAL[steps[i + 1]] if i + 1 < len(steps) else 1.0
            a, b = signal**0.5, (1 - signal) ** 0.5
            seen = network(context, point, torch.tensor([step / N_STEPS], dtype=torch.float64))[..., None]
            if self.target == "velocity":
                sales, rest = a * point - b * seen, b * point + a * seen
            else:
                sales, rest = (point - b * seen) / a, seen
            fresh = self.eta * ((1 - after) / (1 - signal) * (1 - signal / after)) ** 0.5
            point = after**0.5 * sales + (1 - after - fresh**2) ** 0.5 * rest
            if self.eta:
                point = point + fresh * noise[..., i + 1 : i + 2]
        return point[..., 0]
