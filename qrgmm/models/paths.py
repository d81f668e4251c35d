r"""Conditional generators that move noise to sales in small steps: a rectified flow and a diffusion model.

Chapter 8.
"""

from typing import Any, Literal

import numpy as np
import torch
from scipy.special import expit
from torch.nn import functional as F

from qrgmm.checks import Rng
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.generators import Generator, dropout_of
from qrgmm.models.training import Network, Trainer

# Steps of noise that a diffusion model is trained on, and what is left of the sales at each, as a share of the
# variance: noise enters along a sigmoid, 1e-4 to 0.02.
N_STEPS = 1000
SIGNAL = np.cumprod(1 - 1e-4 - (0.02 - 1e-4) * expit(np.linspace(-6, 6, N_STEPS)))
# Named settings, as in `qrgmm.models.generators`.
_OF_PAPER: dict[str, Any] = {
    "hidden": (128, 128, 128), "film": True, "n_epochs": 1000, "batch_size": 1000, "lr_decay": 0.9, "n_steps": 100,
    "loss": "l1", "learning_rate": 1e-3, "n_times": 1, "weight_decay": 0.0, "averaging": 0.0, "validation_share": 0.0,
}
DIFFUSION_SETTINGS: dict[str, dict[str, Any]] = {"paper": _OF_PAPER | {"eta": 0.5, "target": "noise"}, "tuned": {}}
FLOW_SETTINGS: dict[str, dict[str, Any]] = {"paper": _OF_PAPER | {"solver": "euler"}, "tuned": {}}


class _Path(Generator):
    """A generator that moves noise to sales in small steps: its network learns what to do at any point of the way."""

    def _check_options(self):
        if self.loss not in ("l1", "l2"):
            raise ValueError(f"loss must be 'l1' or 'l2', got {self.loss!r}")

    def _start(self, X, y, generator):
        network = Network(X.shape[1], 1, self.hidden, self.film, generator)
        options = {"weight_decay": self.weight_decay, "lr_decay": self.lr_decay, "averaging": self.averaging}
        trainer = Trainer(network, [network.covariates.weight], self.learning_rate, **options)
        drop = dropout_of(self.dropout, generator)
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
        learning_rate: float = 1e-2,
        lr_decay: float = 1.0,
        weight_decay: float = 1.0,
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
        n_steps: int = 100,
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
