r"""The network of QRGMM-dagger: a factorization machine and a deep part on shared embeddings, one output layer.

Every field of a row, categorical or continuous, becomes a vector: that of its category, or a piecewise linear curve of
its value. The factorization machine adds the products of all pairs of vectors, the deep part sends them through hidden
layers, and the output layer turns both into one quantile per level. All arrays carry a leading dimension of members,
networks that train side by side in one program: folds, restarts, replications. All are in double precision: training
multiplies rounding errors, and only from 1e-16 do they stay out of sight. Chapter 7 derives each piece.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import embedding, softplus
from tqdm import trange

BATCH = 256
MIN_BATCHES = 31  # a small data set gets smaller batches, so that an epoch still has so many steps
LEVELS_PER_STEP = 30  # a step looks at about so many levels, evenly spaced, the next step at their neighbours
EVERY = 5  # steps between two additions to the mean of the weights
BLOCK = 500  # rows that are predicted together


@dataclass(frozen=True)
class Network:
    """What has to be known of a network besides its parameters: its shape, and how it is trained.

    Attributes
    ----------
    parts : {"fm+deep", "fm", "deep"}
        What reaches the output layer: both parts, or one of them.
    head : {"location-scale", "increments", "free"}
        How outputs become quantiles, see `to_quantiles`.
    n_knots : int
        Knots of the curve that the vector of a continuous field follows; 0 for a straight line, value times vector.
    rank : (int, int)
        Elements of each vector whose products enter the location at first, and the scale.
    hidden : tuple of int
        Widths of the hidden layers.
    spread : float
        Standard deviation of the vectors to start from.
    rate, n_epochs : float, int
        Learning rate of AdamW, constant, and passes over the data.
    average : bool
        Take the mean of the weights over the second half of training, not the last.
    decay_embedding, decay_curve, decay_first, decay_deep : float
        Weight decay of the vectors of categories, of those of continuous fields, of the first-order weights and of
        the layers.
    """

    parts: Literal["fm+deep", "fm", "deep"] = "fm+deep"
    head: Literal["location-scale", "increments", "free"] = "location-scale"
    n_knots: int = 6
    rank: tuple[int, int] = (4, 2)
    hidden: tuple[int, ...] = (64, 64)
    spread: float = 0.1
    rate: float = 0.01
    n_epochs: int = 12
    average: bool = True
    decay_embedding: float = 1.0
    decay_curve: float = 4.0
    decay_first: float = 0.1
    decay_deep: float = 0.02

    def decay(self, name: str) -> float:
        """Return the weight decay of a parameter."""
        group = name.partition("_")[0]
        decays = {"embedding": self.decay_embedding, "curve": self.decay_curve, "first": self.decay_first}
        return 0.0 if group in ("bias", "steps") else decays.get(group, self.decay_deep)


FLEXIBLE = Network()
# Fewer freedoms and larger steps: better where sales do follow a factorization machine.
STIFF = replace(FLEXIBLE, parts="fm", n_knots=0, spread=0.3, rate=0.04, n_epochs=8, decay_embedding=0.3, decay_curve=1)


def pair_sums(vectors: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    r"""Return the sum of the elementwise products of all pairs of fields, in linear time.

    .. math:: \sum_{i<j} v_i v_j = \tfrac12 \Bigl[\bigl(\textstyle\sum_i v_i\bigr)^2 - \sum_i v_i^2\Bigr]

    Parameters
    ----------
    vectors : array or tensor of shape (..., n_fields, k)
        Vectors times values.

    Returns
    -------
    array or tensor of shape (..., k)
        Their sum over `k` is the pair term of the factorization machine.

    Notes
    -----
    Rendle (2010); SCF paper, section 5.1; chapter 7.

    Examples
    --------
    >>> pair_sums(np.array([[1.0], [2.0], [3.0]]))
    array([11.])
    """
    return 0.5 * (vectors.sum(-2) ** 2 - (vectors**2).sum(-2))


def field_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return what the vector of a continuous field is linear in: its value, and hats between its quantiles.

    Parameters
    ----------
    x : array of shape (n_rows, n_continuous)
    knots : array of shape (n_knots, n_continuous)
        Quantiles of each field at levels evenly spaced from 0 to 1; without rows there are no hats.

    Returns
    -------
    array of shape (n_rows, n_continuous, 1 + n_knots)

    Notes
    -----
    Chapter 7.

    Examples
    --------
    >>> field_basis(np.array([[0.5]]), np.array([[-1.0], [0.0], [1.0]])).tolist()
    [[[0.5, 0.0, 0.5, 0.5]]]
    """
    basis = np.zeros((*x.shape, 1 + len(knots)))
    basis[..., 0] = x
    for i in range(x.shape[1] if len(knots) else 0):
        position = np.interp(x[:, i], knots[:, i], np.arange(len(knots)))
        basis[:, i, 1:] = np.maximum(1 - np.abs(position[:, None] - np.arange(len(knots))), 0)
    return basis


def to_quantiles(
    outputs: torch.Tensor,
    steps: torch.Tensor | None,
    head: Literal["location-scale", "increments", "free"],
    levels: slice = slice(None),
) -> torch.Tensor:
    r"""Return quantiles from the outputs of the last layer.

    .. math::
        \text{location-scale:}\quad & Q(\tau) = o_1 + \log(1 + e^{0.54 + o_2})\, z(\tau) \\
        \text{increments:}\quad & Q(\tau_{j+1}) = Q(\tau_j) + \log(1 + e^{o_{j+1}}), \quad Q(0.5) = o_{m/2} \\
        \text{free:}\quad & Q(\tau_j) = o_j

    where :math:`z` is one increasing curve for all rows. The first two never cross.

    Parameters
    ----------
    outputs : tensor of shape (n_members, n_rows, 2), or (n_members, n_rows, n_levels) for the other heads
    steps : tensor of shape (n_members, 1, n_levels)
        Of :math:`z`, before their softplus; the one in the middle is not used.
    head : {"location-scale", "increments", "free"}
    levels : slice
        Of the levels to return.

    Returns
    -------
    tensor of shape (n_members, n_rows, n_levels)

    Notes
    -----
    Cannon (2011) for the free head; chapter 7.

    Examples
    --------
    >>> to_quantiles(torch.tensor([[[0.0, 5.0, 0.0]]], dtype=torch.float64), None, "increments").numpy().round(3)
    array([[[4.307, 5.   , 5.693]]])
    """
    if head == "location-scale":
        steps = _accumulate(torch.zeros_like(steps), steps)[..., levels]
        return outputs[..., :1] + softplus(0.5413 + outputs[..., 1:]) * steps
    quantiles = _accumulate(outputs, outputs) if head == "increments" else outputs
    return quantiles[..., levels]


def _accumulate(centre, steps):
    """Curves that pass through `centre` in the middle and leave it in both directions by positive steps."""
    middle = steps.shape[-1] // 2
    down, up = softplus(steps[..., :middle]), softplus(steps[..., middle + 1 :])
    centre = centre[..., middle : middle + 1]
    return torch.cat([centre - down.flip(-1).cumsum(-1).flip(-1), centre, centre + up.cumsum(-1)], -1)


def start_parameters(
    network: Network,
    n_codes: int,
    n_fields: tuple[int, int],
    marginal: np.ndarray,
    generators: list[torch.Generator],
) -> dict[str, torch.Tensor]:
    """Return the parameters that training starts from.

    Parameters
    ----------
    network : Network
    n_codes : int
        Categories of all fields together, with one more per field that stands for those never seen.
    n_fields : (int, int)
        Categorical and continuous fields.
    marginal : array of shape (n_members, n_levels)
        Quantiles of the sales themselves, standardised.
    generators : list of torch.Generator
        One per member.

    Returns
    -------
    dict of str to tensor, each (n_members, ...)
    """
    k, n_basis = sum(network.rank), 1 + network.n_knots

    def normal(spread, *shape):
        draws = [torch.randn(shape, generator=generator, dtype=torch.float64) for generator in generators]
        return spread * torch.stack(draws)

    parameters = {"embedding": normal(network.spread, n_codes, k), "curve": normal(1, n_fields[1], n_basis, k)}
    parameters["curve"] *= network.spread * torch.tensor([1.0] + network.n_knots * [0.2], dtype=torch.float64)[:, None]
    features = []
    if "fm" in network.parts:
        parameters["first"] = normal(0.01, n_codes, 2)
        parameters["first_curve"] = normal(0.01, n_fields[1] * n_basis, 2)
        features = [2, k]
    if "deep" in network.parts:
        widths = [sum(n_fields) * k, *network.hidden]
        for i, (fan_in, width) in enumerate(zip(widths, widths[1:])):
            parameters[f"deep_{i}"] = normal((2 / max(fan_in, 1)) ** 0.5, fan_in, width)
            parameters[f"bias_{i}"] = torch.zeros(len(generators), 1, width, dtype=torch.float64)
        features.append(widths[-1])
    quantiles = torch.tensor(marginal, dtype=torch.float64)[:, None]
    steps = quantiles.diff(dim=-1).clamp(min=1e-4)
    steps = torch.log(torch.expm1(steps if network.head == "increments" else steps / 2))
    middle = quantiles.shape[-1] // 2
    steps = torch.cat([steps[..., :middle], quantiles[..., middle : middle + 1], steps[..., middle:]], -1)
    if network.head == "location-scale":
        parameters["steps"], parameters["bias"] = steps, torch.zeros(len(generators), 1, 2, dtype=torch.float64)
    else:
        parameters["bias"] = steps if network.head == "increments" else quantiles
    n_outputs = parameters["bias"].shape[-1]
    parameters["output"] = normal(0.3 * sum(features) ** -0.5, sum(features), n_outputs)
    if network.head == "location-scale" and "fm" in network.parts:
        # To start with, location and scale are sums of a factorization machine of their own, with products of both
        # signs: a weight that starts with the wrong one would have to cross zero, where its vectors do not learn.
        start = torch.zeros(2 + k, 2, dtype=torch.float64)
        start[[0, 1], [0, 1]] = 1
        of_location, of_scale = range(2, 2 + network.rank[0]), range(2 + network.rank[0], 2 + k)
        for output, elements in enumerate((of_location, of_scale)):
            start[elements, output] = (-1.0) ** torch.arange(len(elements), dtype=torch.float64)
        parameters["output"][:, : 2 + k] = start
    return parameters


def network_outputs(
    parameters: dict[str, torch.Tensor],
    network: Network,
    codes: torch.Tensor,
    basis: torch.Tensor,
) -> torch.Tensor:
    """Return the outputs of the last layer.

    Parameters
    ----------
    parameters : dict of str to tensor
    network : Network
    codes : tensor of shape (n_members, n_rows, n_categorical)
        Counted through all fields.
    basis : tensor of shape (n_members, n_rows, n_continuous, 1 + n_knots)
        See `field_basis`.

    Returns
    -------
    tensor of shape (n_members, n_rows, n_outputs)
    """
    table = parameters["embedding"]
    flat = (
        codes
        + (torch.arange(len(table), device=table.device) * table.shape[1])[
            :, None, None
        ]
    )
    categories = embedding(flat, table.flatten(0, 1))
    vectors = torch.cat(
        [categories, torch.einsum("gbcj,gcjk->gbck", basis, parameters["curve"])], 2
    )
    features = []
    if "fm" in network.parts:
        first = embedding(flat, parameters["first"].flatten(0, 1)).sum(2)
        features += [
            first + basis.flatten(2) @ parameters["first_curve"],
            pair_sums(vectors),
        ]
    if "deep" in network.parts:
        hidden = vectors.flatten(2)
        for i in range(len(network.hidden)):
            hidden = torch.relu(
                hidden @ parameters[f"deep_{i}"] + parameters[f"bias_{i}"]
            )
        features.append(hidden)
    return torch.cat(features, 2) @ parameters["output"] + parameters["bias"]


def train(
    network: Network,
    parameters: dict[str, torch.Tensor],
    codes: torch.Tensor,
    basis: torch.Tensor,
    y: torch.Tensor,
    rows: torch.Tensor,
    levels: torch.Tensor,
    generators: list[torch.Generator],
    progress: bool = False,
) -> dict[str, torch.Tensor]:
    r"""Minimise the mean pinball loss over levels and rows by AdamW and return the trained parameters.

    .. math:: \sum_j \sum_i \rho_{\tau_j}\bigl(y_i - Q(\tau_j \mid x_i)\bigr)

    Parameters
    ----------
    network : Network
    parameters : dict of str to tensor
        To start from, see `start_parameters`.
    codes, basis, y : tensors of shape (n_rows, ...)
    rows : int tensor of shape (n_members, n_train)
        Each member's rows.
    levels : tensor of shape (n_levels,)
    generators : list of torch.Generator
        One per member, for the order of its rows.
    progress : bool

    Returns
    -------
    dict of str to tensor

    Notes
    -----
    Cannon (2011) for the loss; Izmailov et al. (2018) for the mean of the weights; chapter 7.
    """
    n_train = rows.shape[1]
    batch = max(1, min(BATCH, n_train // MIN_BATCHES))
    n_batches, stride = n_train // batch, max(1, len(levels) // LEVELS_PER_STEP)
    parameters = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    groups = [
        {"params": [value for name, value in parameters.items() if network.decay(name) == decay], "weight_decay": decay}
        for decay in sorted({network.decay(name) for name in parameters})
    ]
    optimizer = torch.optim.AdamW(groups, lr=network.rate, betas=(0.9, 0.99), foreach=True)
    total, n_added = {name: torch.zeros_like(value) for name, value in parameters.items()}, 0
    for epoch in trange(network.n_epochs, desc="epochs", leave=False, disable=not progress):
        order = torch.stack([torch.randperm(n_train, generator=generator) for generator in generators])
        order = rows.gather(1, order.to(rows.device))
        for i in range(n_batches):
            chosen = order[:, i * batch : (i + 1) * batch]
            outputs = network_outputs(parameters, network, codes[chosen], basis[chosen])
            some = slice((epoch + i) % stride, None, stride)
            quantiles = to_quantiles(outputs, parameters.get("steps"), network.head, some)
            # The gradient of the pinball loss in the quantile itself needs no graph.
            slope = (y[chosen][..., None] < quantiles).double() - levels[some]
            optimizer.zero_grad()
            quantiles.backward(slope / slope[0].numel())
            optimizer.step()
            if network.average and epoch >= network.n_epochs // 2 and i % EVERY == 0:
                n_added += 1
                total = {name: total[name] + value.detach() for name, value in parameters.items()}
    if n_added:
        return {name: value / n_added for name, value in total.items()}
    return {name: value.detach() for name, value in parameters.items()}


@torch.no_grad()
def predict_members(
    network: Network,
    parameters: dict[str, torch.Tensor],
    codes: torch.Tensor,
    basis: torch.Tensor,
) -> torch.Tensor:
    """Return the quantiles that every member predicts for its rows.

    Parameters
    ----------
    network : Network
    parameters : dict of str to tensor, each (n_members, ...)
    codes : tensor of shape (n_members or 1, n_rows, n_categorical)
    basis : tensor of shape (n_members or 1, n_rows, n_continuous, 1 + n_knots)

    Returns
    -------
    tensor of shape (n_members, n_rows, n_levels)
    """
    n_members = len(parameters["bias"])
    blocks = []
    for i in range(0, max(codes.shape[1], 1), BLOCK):  # no rows give one empty block
        block = codes[:, i : i + BLOCK].expand(n_members, -1, -1), basis[:, i : i + BLOCK].expand(n_members, -1, -1, -1)
        outputs = network_outputs(parameters, network, *block)
        blocks.append(to_quantiles(outputs, parameters.get("steps"), network.head))
    return torch.cat(blocks, 1)
