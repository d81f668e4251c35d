r"""Small networks and the loop that trains them, in double precision, on one thread, without torch's global seed.

A network is trained on mini-batches and scored, every few epochs, on rows held out; the weights with the best score are
kept. Two functions say what is trained, `step` and `score`, so that a critic, a flow and a spline share the loop.
Chapter 8.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from qrgmm.checks import Rng

# Frequencies that tell a network the time, from a quarter of a wave to sixteen.
FREQUENCIES = 2 * np.pi * np.geomspace(0.25, 16, 8)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small networks are no faster on several, and much slower on a busy machine.

    Examples
    --------
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def split_rows(n_rows: int, validation_share: float, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows that are trained on, and of those that are held out, both in random order.

    Parameters
    ----------
    n_rows : int
    validation_share : float
        Share of the rows held out, at least 0 and below 1.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    kept, held_out : arrays of int

    Raises
    ------
    ValueError
        If the share is out of range.

    Examples
    --------
    >>> kept, held_out = split_rows(10, 0.2, rng=0)
    >>> len(kept), len(held_out), len({*kept, *held_out})
    (8, 2, 10)
    """
    if not 0 <= validation_share < 1:
        raise ValueError(f"validation_share must be at least 0 and below 1, got {validation_share}")
    order, n_held_out = np.random.default_rng(rng).permutation(n_rows), int(validation_share * n_rows)
    return order[n_held_out:], order[:n_held_out]


class Network(nn.Module):
    r"""A function of covariates, an inner input (noise or sales) and the time.

    The first layer is :math:`h = b(x) + w(x) \odot e(z) + c(t)`, with linear :math:`b, w, e, c`, and :math:`w = 1`
    without `film`; the others are rectified linear. Covariates meet the rest in one place, so that they are multiplied
    once per row however many draws the row has.

    Parameters
    ----------
    n_covariates, n_inner : int
    hidden : tuple of int
        Widths of the hidden layers.
    film : bool
        Covariates multiply the inner input as well as shift it (feature-wise linear modulation).
    generator : torch.Generator
        Of the initial weights.

    Notes
    -----
    The networks of the QRGMM paper have this first layer with `film`, that of the CWGAN package without; chapter 8.

    Examples
    --------
    >>> network = Network(3, 1, (8, 8), True, torch.Generator().manual_seed(0))
    >>> context = network.context(torch.ones(5, 3, dtype=torch.float64))
    >>> network(context, torch.zeros(1, 7, 1, dtype=torch.float64)).shape
    torch.Size([5, 7])
    """

    def __init__(
        self, n_covariates: int, n_inner: int, hidden: tuple[int, ...], film: bool, generator: torch.Generator
    ):
        super().__init__()
        self.film = film
        self.covariates = _linear(n_covariates, hidden[0] * (2 if film else 1), generator)
        self.inner = _linear(n_inner, hidden[0], generator, bias=False)
        self.time = _linear(2 * len(FREQUENCIES), hidden[0], generator, bias=False)
        sizes = [*hidden, 1]
        self.layers = nn.ModuleList(_linear(a, b, generator) for a, b in zip(sizes[:-1], sizes[1:]))

    def context(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        """Return b(x) and w(x), each (n_rows, 1, n_hidden), or 1."""
        context = self.covariates(X)[:, None]
        return context.chunk(2, dim=-1) if self.film else (context, 1.0)

    def forward(
        self,
        context: tuple[torch.Tensor, torch.Tensor | float],
        inner: torch.Tensor,
        time: torch.Tensor | None = None,
        drop: Callable[..., torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return (n_rows, n_draws) for inner (n_rows or 1, n_draws, n_inner); `drop` acts on every hidden layer."""
        h = self._first(context, inner)
        if time is not None:
            angle = time * torch.as_tensor(FREQUENCIES)
            h = h + self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        for layer in self.layers:
            h = torch.relu(h)
            h = layer(h if drop is None else drop(h))
        return h[..., 0]

    def slope(self, context: tuple[torch.Tensor, torch.Tensor | float], y: torch.Tensor) -> torch.Tensor:
        """Return the derivative in the only inner input, (n_rows, n_draws), carried along with the values."""
        h, slope = self._first(context, y), context[1] * self.inner.weight[:, 0]
        for layer in self.layers:
            slope = F.linear(slope * (h > 0), layer.weight)
            h = layer(torch.relu(h))
        return slope[..., 0]

    def _first(self, context, inner):
        shift, scale = context
        return shift + scale * self.inner(inner)


def _linear(n_inputs, n_outputs, generator, bias=True):
    """Return torch's linear layer with its usual initial weights, drawn without torch's global seed."""
    layer = nn.utils.skip_init(nn.Linear, n_inputs, n_outputs, bias=bias, dtype=torch.float64)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(n_inputs**-0.5), n_inputs**-0.5, generator=generator)
    return layer


class Trainer:
    """AdamW on one network, with decay of some of its weights and a running average of all of them.

    Parameters
    ----------
    network : torch.nn.Module
    decayed : list of torch.nn.Parameter
        Weights that `weight_decay` acts on.
    learning_rate : float
    betas : tuple of float
    weight_decay : float
    lr_decay : float
        Factor of the learning rate every 1000 updates.
    averaging : float
        Share of the average that is kept per update; 0 is no average.

    Attributes
    ----------
    averaged : torch.nn.Module
        The average, or `network` itself without one.
    n_updates : int
    """

    def __init__(
        self,
        network: nn.Module,
        decayed: list[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        lr_decay: float = 1.0,
        averaging: float = 0.0,
    ):
        named = {id(weight) for weight in decayed}
        rest = [weight for weight in network.parameters() if id(weight) not in named]
        groups = [{"params": list(decayed), "weight_decay": weight_decay}, {"params": rest}]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, weight_decay=0.0, fused=True)
        self.lr_decay, self.averaging, self.n_updates = lr_decay, averaging, 0
        self.network, self.averaged = network, copy.deepcopy(network) if averaging else network

    def update(self, loss: torch.Tensor) -> None:
        """Take one step down the gradient of `loss`."""
        weights = [weight for group in self.optimiser.param_groups for weight in group["params"]]
        # Gradients of these weights alone: a generator's loss runs through the critic, too.
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True)):
            weight.grad = gradient
        self.optimiser.step()
        self.n_updates += 1
        if self.n_updates % 1000 == 0:
            for group in self.optimiser.param_groups:
                group["lr"] *= self.lr_decay
        if self.averaging:
            # The average of a start is an average of few: the share of the newest weights falls from 1.
            share = max(1 - self.averaging, 1 / self.n_updates)
            with torch.no_grad():
                for average, weight in zip(self.averaged.parameters(), self.network.parameters()):
                    average.lerp_(weight, share)


def train(
    trainer: Trainer,
    step: Callable[..., torch.Tensor | None],
    score: Callable[..., tuple[float, float]] | None,
    n_rows: int,
    options: Any,
    generator: torch.Generator,
) -> pd.DataFrame:
    """Run `step` on mini-batches, and leave in `trainer.averaged` the weights with the best score.

    Parameters
    ----------
    trainer : Trainer
    step : callable
        ``step(rows)`` updates what is trained, and returns the loss on these rows or None.
    score : callable or None
        ``score(network)`` -> (CRPS, spread) on rows held out; with None the last weights are kept.
    n_rows : int
    options : object
        With the attributes n_epochs, batch_size, check_every (epochs between scores), patience (scores without a
        better one after which to stop, or None) and progress, as `qrgmm.models.generators.ConditionalWGAN` has them.
    generator : torch.Generator
        Of the mini-batches.

    Returns
    -------
    pandas.DataFrame
        One row per score: epoch, n_updates, loss (mean since the last score), heldout_crps, heldout_spread.

    Raises
    ------
    ValueError
        If the network's weights become NaN or infinite.
    """
    network, history, losses = trainer.averaged, [], []
    best, best_weights, n_worse = np.inf, None, 0
    for epoch in tqdm(range(1, options.n_epochs + 1), disable=not options.progress, unit="epoch"):
        for rows in torch.randperm(n_rows, generator=generator).split(options.batch_size):
            loss = step(rows)
            if loss is not None:
                losses.append(loss.item())
        _refuse_diverged(network, epoch)
        if score is None or (epoch % options.check_every and epoch < options.n_epochs):
            continue
        crps, spread = score(network)
        history.append((epoch, trainer.n_updates, np.mean(losses) if losses else np.nan, crps, spread))
        losses.clear()
        if crps < best:
            best, best_weights, n_worse = crps, copy.deepcopy(network.state_dict()), 0
        else:
            n_worse += 1
            if options.patience is not None and n_worse >= options.patience:
                break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return pd.DataFrame(history, columns=["epoch", "n_updates", "loss", "heldout_crps", "heldout_spread"])


def _refuse_diverged(network, epoch):
    if not all(weight.isfinite().all() for weight in network.state_dict().values()):
        advice = "a smaller learning_rate may help, or fewer sales and covariates far from all others"
        raise ValueError(f"training diverged in epoch {epoch}: weights became NaN or infinite; {advice}")
