r"""QRGMM-dagger: QRGMM with DeepFM networks in the place of linear quantile regression, and its ablations.

Two kinds of network share the work: a flexible one, with curved embeddings and a deep part, and a stiff one. Each kind
is trained ten times, every time without another tenth of the rows; on the rows left out the kinds get their weights,
and the law its calibration. What comes out is a `QuantileCurve` like that of every other model. Chapter 7.
"""

from dataclasses import asdict, replace
from numbers import Integral
from os import PathLike
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data

from qrgmm.checks import Rng, check_options
from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.models.deepfm_network import FLEXIBLE, STIFF, Network, field_basis, predict_members, start_parameters, train
from qrgmm.models.encoding import FieldEncoder, check_unitless, to_frame
from qrgmm.models.law_model import LawModel, check_lower, location_and_scale, row_index
from qrgmm.models.saving import read_model, write_model

PARTS, HEADS = ("fm+deep", "fm", "deep"), ("location-scale", "increments", "free")
KINDS = ("both", "flexible", "stiff")
FITTED_ARRAYS = ("levels_", "weights_", "recalibrated_levels_", "centre_", "scale_")


class DeepFMQRGMM(LawModel, RegressorMixin, BaseEstimator):
    r"""QRGMM with a DeepFM: quantiles of all levels from a factorization machine and a deep part on shared embeddings.

    Parameters
    ----------
    parts : {"fm+deep", "fm", "deep"}
        Which parts reach the output layer: QRGMM-dagger, and its ablations QRGMM-F and QRGMM-D.
    levels : int or array of shape (n_levels,), optional
        The grid, or the number :math:`m` of equal steps; by default :math:`m = \sqrt n` for `n` fitted rows.
    head : {"location-scale", "increments", "free"}
        How the output layer gives quantiles, see `qrgmm.models.deepfm_network.to_quantiles`. Only the last can cross.
    n_members : int
        Networks of each kind; their quantiles are averaged.
    kinds : {"both", "flexible", "stiff"}
        Which networks are trained; both are weighted by the pinball loss on the rows that members leave out.
    recalibrate : bool
        Map the levels so that on the rows left out the law is calibrated (probability integral transform).
    average : bool
        Average each network's weights over the second half of training.
    curved : bool
        Let the vector of a continuous field bend between its quantiles; otherwise it is a multiple of the value.
    encoder : FieldEncoder, optional
        Fitted with the model; by default ``FieldEncoder()``. The columns of an array are continuous fields.
    crossing, tails : str
        What a predicted curve does with crossing quantiles and beyond the grid, see `QuantileCurve`.
    random_state : int, numpy.random.Generator or None
    device : str
        Where torch trains and predicts: "cpu", "cuda".
    progress : bool
        Show the epochs.
    lower : float, optional
        As in `QRGMM`.

    Attributes
    ----------
    levels_ : array of shape (n_levels,)
    networks_ : list of Network
        The kinds.
    parameters_ : list of dict of str to tensor
        Of each kind, with a leading dimension of members.
    weights_ : array
        Of the kinds, positive, with sum 1.
    recalibrated_levels_ : array of shape (n_levels,)
        Where the network's law is read for each level of the grid.
    encoder_ : FieldEncoder

    Notes
    -----
    SCF paper, section 5, whose network is ``head="free"`` without the options above; Guo et al. (2017) for DeepFM.
    Chapter 7 measures what each option gains. Everything is in double precision: the same seed
    gives the same model to about ten digits on every processor.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"store": rng.choice(["a", "b"], 400), "price": rng.uniform(1, 2, 400)})
    >>> sales = 10 * X["price"] * (1 + (X["store"] == "b")) + rng.exponential(size=400)
    >>> model = DeepFMQRGMM(levels=20, n_members=2, random_state=0).fit(X, sales)
    >>> new = pd.DataFrame({"store": ["a", "b"], "price": [1.5, 1.5]})
    >>> model.predict_quantiles(new, [0.5]).round(0)
    array([[16.],
           [31.]])
    """

    def __init__(
        self,
        parts: Literal["fm+deep", "fm", "deep"] = "fm+deep",
        levels: int | ArrayLike | None = None,
        head: Literal["location-scale", "increments", "free"] = "location-scale",
        n_members: int = 10,
        kinds: Literal["both", "flexible", "stiff"] = "both",
        recalibrate: bool = True,
        average: bool = True,
        curved: bool = True,
        encoder: FieldEncoder | None = None,
        crossing: Literal["sort", "raise"] = "sort",
        tails: Literal["clamp", "exponential"] = "clamp",
        random_state: Rng = 0,
        device: str = "cpu",
        progress: bool = False,
        lower: float | None = None,
    ):
        self.parts = parts
        self.levels = levels
        self.head = head
        self.n_members = n_members
        self.kinds = kinds
        self.recalibrate = recalibrate
        self.average = average
        self.curved = curved
        self.encoder = encoder
        self.crossing = crossing
        self.tails = tails
        self.random_state = random_state
        self.device = device
        self.progress = progress
        self.lower = lower

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
        y : array of shape (n_rows,)
            Sales, in any unit; the laws come in the same one.

        Returns
        -------
        DeepFMQRGMM

        Raises
        ------
        ValueError
            If options are unknown or do not go together, shapes do not match, values are not finite, or there are
            fewer rows than members.
        """
        codes, values, sales = self._prepare(X, y)
        rng, device, n_rows = np.random.default_rng(self.random_state), self.device, len(sales)
        # Member k leaves out the k-th of the parts that a permutation of the rows is cut into.
        n_out = n_rows // self.n_members if self._leaves_out() else 0
        order = rng.permutation(n_rows)
        orders = np.stack([np.roll(order, -n_out * k) for k in range(self.n_members)])
        held_out, rows = (torch.tensor(part, device=device) for part in (orders[:, :n_out], orders[:, n_out:]))
        codes, target = torch.tensor(codes, device=device), torch.tensor(sales, device=device)
        levels = torch.tensor(self.levels_, device=device)
        self.networks_, self.knots_, self.parameters_, predicted = self._kinds(), [], [], []
        for network in self.networks_:
            knots = np.quantile(values, np.linspace(0, 1, network.n_knots), axis=0)
            basis = torch.tensor(field_basis(values, knots), device=device)
            seeds = rng.integers(2**62, size=self.n_members)
            generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
            parameters = self._start(network, sales, generators)
            data = codes, basis, target, rows, levels
            parameters = train(network, parameters, *data, generators, self.progress)
            predicted.append(predict_members(network, parameters, codes[held_out], basis[held_out]))
            self.knots_.append(knots)
            self.parameters_.append(parameters)
        quantiles = [each.flatten(0, 1).cpu().numpy() for each in predicted]
        unseen = target[held_out].flatten().cpu().numpy()
        self.weights_ = stacking_weights(quantiles, unseen, self.levels_)
        self.recalibrated_levels_ = self.levels_
        if self.recalibrate:
            mixture = QuantileCurve(self.levels_, np.tensordot(self.weights_, quantiles, 1))
            self.recalibrated_levels_ = calibrated_levels(mixture, unseen)
        return self

    def predict_curve(self, X: pd.DataFrame | ArrayLike) -> QuantileCurve:
        """Return the law of sales of every row, a QuantileCurve with n_rows rows."""
        check_is_fitted(self)
        index = row_index(X)
        if not isinstance(X, pd.DataFrame):  # the encoder finds the columns of a data frame by name
            X = validate_data(self, check_unitless("X", X), reset=False, dtype=float)
        codes, x = self._encode(to_frame(X))
        values = np.zeros((len(codes), len(self.levels_)))
        codes = torch.tensor(codes, device=self.device)[None]
        for weight, network, knots, parameters in zip(self.weights_, self.networks_, self.knots_, self.parameters_):
            basis = torch.tensor(field_basis(x, knots), device=self.device)[None]
            values += weight * predict_members(network, parameters, codes, basis).mean(dim=0).cpu().numpy()
        curve = QuantileCurve(self.levels_, values, crossing=self.crossing)
        values = self.centre_ + self.scale_ * curve.ppf(self.recalibrated_levels_)
        return QuantileCurve(self.levels_, values, tails=self.tails, index=index).clip(self.lower)

    def save(self, path: str | PathLike) -> None:
        """Write the fitted model to one file, see `qrgmm.models.saving`.

        Parameters
        ----------
        path : path
            Such as ``model.safetensors``.

        Raises
        ------
        ValueError
            If levels of a categorical field are neither strings nor numbers.
        """
        check_is_fitted(self)
        arrays = {name: getattr(self, name) for name in FITTED_ARRAYS}
        for i, (knots, parameters) in enumerate(zip(self.knots_, self.parameters_, strict=True)):
            arrays[f"{i}.knots"] = knots
            arrays |= {f"{i}.{name}": value.cpu().numpy() for name, value in parameters.items()}
        write_model(self, path, arrays, networks=[asdict(network) for network in self.networks_])

    @classmethod
    def load(cls, path: str | PathLike, device: str = "cpu") -> Self:
        """Return the fitted model that `save` wrote; it predicts the same to the last bit.

        Parameters
        ----------
        path : path
        device : str

        Returns
        -------
        DeepFMQRGMM

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        model, arrays, header = read_model(cls, path, device=device)
        for name in FITTED_ARRAYS:
            setattr(model, name, arrays.pop(name))
        model.networks_ = [
            Network(**each | {name: tuple(each[name]) for name in ("rank", "hidden")}) for each in header["networks"]
        ]
        model.knots_ = [arrays.pop(f"{i}.knots") for i in range(len(model.networks_))]
        model.parameters_ = [{} for _ in model.networks_]
        for name, value in arrays.items():
            kind, _, name = name.partition(".")
            model.parameters_[int(kind)][name] = torch.tensor(value, device=device)
        return model

    def _prepare(self, X, y):
        """Check a training set, fit the encoder, settle the grid; return codes, values and scaled sales."""
        check_options(self.crossing, self.tails)
        check_lower(self.lower)
        check_unitless("y", y)
        for name, known in (("parts", PARTS), ("head", HEADS), ("kinds", KINDS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        fewest = 2 if self._leaves_out() else 1
        if not (isinstance(self.n_members, Integral) and self.n_members >= fewest):
            expected = f"a whole number of at least {fewest} with these options"
            raise ValueError(f"n_members must be {expected}, got {self.n_members!r}")
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True)
            _, y = check_X_y(np.zeros((len(X), 1)), y, y_numeric=True, estimator=self)
        else:
            X, y = validate_data(self, check_unitless("X", X), y, y_numeric=True, dtype=float)
        y = y.astype(float)
        if len(y) < max(2, self.n_members):
            raise ValueError(f"X needs at least {max(2, self.n_members)} rows, got n_samples = {len(y)}")
        frame = to_frame(X)
        self.encoder_ = (FieldEncoder() if self.encoder is None else clone(self.encoder)).fit(frame)
        self.levels_ = choose_levels(self.levels, len(y))
        self.centre_, self.scale_ = location_and_scale(y)
        return *self._encode(frame), (y - self.centre_) / (self.scale_ or 1.0)

    def _encode(self, frame):
        """Codes counted through all fields, of which each has one code more for what was never seen, and values."""
        codes, x = self.encoder_.transform_fields(frame)
        return codes + np.cumsum([0, *_sizes(self.encoder_)], dtype=int)[:-1], x

    def _start(self, network, sales, generators):
        """Parameters to start from: random, zero for what was never seen."""
        sizes, n_continuous = _sizes(self.encoder_), len(self.encoder_.continuous_)
        marginal = np.tile(np.quantile(sales, self.levels_), (self.n_members, 1))
        parameters = start_parameters(network, sum(sizes), (len(sizes), n_continuous), marginal, generators)
        for name in {"embedding", "first"} & parameters.keys():
            parameters[name][:, np.cumsum(sizes, dtype=int) - 1] = 0
        return {name: value.to(self.device) for name, value in parameters.items()}

    def _kinds(self):
        """The networks to train; the stiff one has no deep part, unless that is all there is."""
        n_knots = FLEXIBLE.n_knots if self.curved else 0
        flexible = replace(FLEXIBLE, parts=self.parts, head=self.head, average=self.average, n_knots=n_knots)
        stiff = STIFF if "fm" in self.parts else replace(flexible, n_knots=0)
        stiff = replace(stiff, head=self.head, average=self.average)
        return {"both": [flexible, stiff], "flexible": [flexible], "stiff": [stiff]}[self.kinds]

    def _leaves_out(self):
        return self.kinds == "both" or self.recalibrate


def stacking_weights(quantiles: list[np.ndarray], y: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the weights of one or two models whose mixture of quantiles has the least pinball loss.

    Parameters
    ----------
    quantiles : list of arrays of shape (n_rows, n_levels)
        Predicted for rows that the models did not see.
    y : array of shape (n_rows,)
    levels : array of shape (n_levels,)

    Returns
    -------
    array of shape (n_models,)
        In [0, 1], with sum 1.

    Notes
    -----
    Breiman (1996). With two models the loss is piecewise linear and convex in the weight, so that the best one is a
    weighted quantile of the weights with which one quantile of one row would fit. Chapter 7.

    Examples
    --------
    >>> y, levels = np.array([1.0, 2.0, 3.0]), np.array([0.5])
    >>> stacking_weights([y[:, None] + 1, y[:, None] - 1], y, levels).round(3)
    array([0.5, 0.5])
    """
    if len(quantiles) == 1:
        return np.ones(1)
    first, second = quantiles
    slope = first - second
    size, sides = np.abs(slope), np.where(slope > 0, levels, 1 - levels)
    moves = size > 0
    if not moves.any():
        return np.full(2, 0.5)
    ratios, size = ((y[:, None] - second)[moves] / slope[moves]), size[moves]
    level = (sides[moves] * size).sum() / size.sum()
    weight = np.quantile(ratios, level, weights=size, method="inverted_cdf").clip(0, 1)
    return np.array([weight, 1 - weight])


def calibrated_levels(curve: QuantileCurve, y: np.ndarray) -> np.ndarray:
    r"""Return where to read a law so that its quantiles are calibrated.

    .. math:: G^{-1}(\tau_j), \qquad G(u) = \frac1n \#\{i : F(y_i \mid x_i) \le u\}

    Parameters
    ----------
    curve : QuantileCurve
        With n_rows rows, predicted for rows that the model did not see.
    y : array of shape (n_rows,)

    Returns
    -------
    array of shape (n_levels,)
        Increasing, between the first and the last level of the curve.

    Notes
    -----
    Kuleshov, Fenner and Ermon (2018); chapter 7.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[1.0, 2.0, 3.0]] * 5)
    >>> calibrated_levels(curve, np.array([1.5, 1.8, 2.0, 2.2, 2.5]))
    array([0.45, 0.5 , 0.55])
    """
    levels = curve.levels
    return np.clip(np.quantile(curve.cdf(y[:, None])[:, 0], levels), levels[0], levels[-1])


def _sizes(encoder):
    """Codes of each categorical field, the one for what was never seen included."""
    return [len(levels) + 1 for levels in encoder.categories_.values()]
