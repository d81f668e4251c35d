r"""QRGMM-dagger: QRGMM with DeepFM networks in the place of linear quantile regression, and its ablations.

Two kinds of network share the work: a flexible one, with curved embeddings and a deep part, and a stiff one. Each kind
is trained ten times, every time without another tenth of the rows; on the rows left out the kinds get their weights,
and the law its calibration. What comes out is a `QuantileCurve` like that of every other model. Chapter 7.
"""

import json
from dataclasses import asdict, replace
from numbers import Integral

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data
from torch.nn.functional import pad

from qrgmm.curve import QuantileCurve, check_options, choose_levels
from qrgmm.deepfm_network import FLEXIBLE, STIFF, Network, field_basis, predict_members, start_parameters, train
from qrgmm.encoding import FieldEncoder
from qrgmm.loss import pinball_loss
from qrgmm.quantile_regression import fit_quantile_grid

PARTS, HEADS = ("fm+deep", "fm", "deep"), ("location-scale", "increments", "free")
FITTED_ARRAYS = ("levels_", "weights_", "recalibrated_levels_", "centre_", "scale_")


class DeepFMQRGMM(RegressorMixin, BaseEstimator):
    r"""QRGMM with a DeepFM: quantiles of all levels from a factorization machine and a deep part on shared embeddings.

    Parameters
    ----------
    parts : {"fm+deep", "fm", "deep"}
        Which parts reach the output layer: QRGMM-dagger, and its ablations QRGMM-F and QRGMM-D.
    levels : int or array of shape (n_levels,), optional
        The grid, or the number :math:`m` of equal steps; by default :math:`m = \sqrt n` for `n` fitted rows.
    head : {"location-scale", "increments", "free"}
        How the output layer gives quantiles, see `qrgmm.deepfm_network.to_quantiles`. Only the last can cross.
    n_members : int
        Networks of each kind; their quantiles are averaged.
    stack : bool
        Also train stiff networks, and weight the two kinds by the pinball loss on the rows that members leave out.
    recalibrate : bool
        Map the levels so that on the rows left out the law is calibrated (probability integral transform).
    average : bool
        Average each network's weights over the second half of training.
    early_stopping : bool
        Give each network the weights of the epoch that was best on the rows it left out.
    linear_start : bool
        Start from the linear median regression instead of from zero; the location of a factorization machine only.
    encoder : FieldEncoder, optional
        Fitted with the model; by default ``FieldEncoder()``. The columns of an array are continuous fields.
    crossing, tails : str
        What a predicted curve does with crossing quantiles and beyond the grid, see `QuantileCurve`.
    random_state : int, numpy.random.Generator or None
    device : str
        Where torch trains and predicts: "cpu", "cuda".
    progress : bool
        Show the epochs.

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
        parts="fm+deep",
        levels=None,
        head="location-scale",
        n_members=10,
        stack=True,
        recalibrate=True,
        average=True,
        early_stopping=False,
        linear_start=False,
        encoder=None,
        crossing="sort",
        tails="clamp",
        random_state=None,
        device="cpu",
        progress=False,
    ):
        self.parts = parts
        self.levels = levels
        self.head = head
        self.n_members = n_members
        self.stack = stack
        self.recalibrate = recalibrate
        self.average = average
        self.early_stopping = early_stopping
        self.linear_start = linear_start
        self.encoder = encoder
        self.crossing = crossing
        self.tails = tails
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def fit(self, X, y):
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
        _fit_together([self], *([each] for each in self._prepare(X, y)))
        return self

    def predict_curve(self, X):
        """Return the law of sales of every row, a QuantileCurve with n_rows rows."""
        check_is_fitted(self)
        if not isinstance(X, pd.DataFrame):  # the encoder finds the columns of a data frame by name
            X = validate_data(self, X, reset=False, dtype=float)
        codes, x = self._encode(_to_frame(X))
        values = np.zeros((len(codes), len(self.levels_)))
        codes = torch.tensor(codes, device=self.device)[None]
        for weight, network, knots, parameters in zip(self.weights_, self.networks_, self.knots_, self.parameters_):
            basis = torch.tensor(field_basis(x, knots), device=self.device)[None]
            values += weight * predict_members(network, parameters, codes, basis).mean(dim=0).cpu().numpy()
        curve = QuantileCurve(self.levels_, values, crossing=self.crossing)
        values = self.centre_ + self.scale_ * curve.ppf(self.recalibrated_levels_)
        return QuantileCurve(self.levels_, values, tails=self.tails)

    def predict_quantiles(self, X, levels):
        """Return quantiles at any levels, (n_rows, n_levels)."""
        return self.predict_curve(X).ppf(levels)

    def sample(self, X, n_draws, rng=None):
        """Return `n_draws` independent draws of sales for every row, (n_rows, n_draws)."""
        return self.predict_curve(X).sample(n_draws, rng)

    def predict(self, X):
        """Return the mean of the predicted law of every row, (n_rows,)."""
        return self.predict_curve(X).mean()

    def save(self, path):
        """Write the fitted model to one file: tensors by safetensors, everything else as JSON in its header.

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
        tensors = {name: torch.tensor(getattr(self, name)) for name in FITTED_ARRAYS}
        for i, (knots, parameters) in enumerate(zip(self.knots_, self.parameters_, strict=True)):
            tensors[f"{i}.knots"] = torch.tensor(knots)
            tensors |= {f"{i}.{name}": value for name, value in parameters.items()}
        header = {
            # Seed, encoder and grid of the settings have done their work.
            "settings": self.get_params(deep=False) | {"random_state": None, "encoder": None, "levels": None},
            "networks": [asdict(network) for network in self.networks_],
            "encoder": self.encoder_.to_dict(),
            "names": list(getattr(self, "feature_names_in_", [])),
        }
        tensors = {name: value.contiguous().cpu() for name, value in tensors.items()}
        save_file(tensors, path, metadata={"qrgmm": json.dumps(header, default=np.generic.item)})

    @classmethod
    def load(cls, path, device="cpu"):
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
        try:
            with safe_open(path, framework="pt", device=device) as file:
                header = json.loads(file.metadata()["qrgmm"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, KeyError, TypeError) as error:  # a file without metadata has None
            raise ValueError(f"path must be a saved DeepFMQRGMM with an entry 'qrgmm', got {path}: {error}") from error
        model = cls(**header["settings"] | {"device": device})
        for name in FITTED_ARRAYS:
            setattr(model, name, tensors.pop(name).cpu().numpy())
        model.networks_ = [
            Network(**each | {name: tuple(each[name]) for name in ("rank", "hidden")}) for each in header["networks"]
        ]
        model.parameters_ = [{} for _ in model.networks_]
        for name, value in tensors.items():
            kind, _, name = name.partition(".")
            model.parameters_[int(kind)][name] = value
        model.knots_ = [parameters.pop("knots").cpu().numpy() for parameters in model.parameters_]
        model.encoder_ = FieldEncoder.from_dict(header["encoder"])
        model.n_features_in_ = model.encoder_.n_features_in_
        if header["names"]:
            model.feature_names_in_ = np.array(header["names"], dtype=object)
        return model

    def _prepare(self, X, y):
        """Check a training set, fit the encoder, settle the grid; return the frame, codes, values and scaled sales."""
        check_options(self.crossing, self.tails)
        for name, known in (("parts", PARTS), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        fewest = 2 if self._leaves_out() else 1
        if not (isinstance(self.n_members, Integral) and self.n_members >= fewest):
            expected = f"a whole number of at least {fewest} with these options"
            raise ValueError(f"n_members must be {expected}, got {self.n_members!r}")
        if self.linear_start and (self.parts == "deep" or self.head != "location-scale"):
            expected = "needs a factorization machine and the head 'location-scale'"
            raise ValueError(f"linear_start {expected}, got parts={self.parts!r} and head={self.head!r}")
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True)
            _, y = check_X_y(np.zeros((len(X), 1)), y, y_numeric=True, estimator=self)
        else:
            X, y = validate_data(self, X, y, y_numeric=True, dtype=float)
        y = y.astype(float)
        if len(y) < max(2, self.n_members):
            raise ValueError(f"X needs at least {max(2, self.n_members)} rows, got n_samples = {len(y)}")
        frame = _to_frame(X)
        self.encoder_ = (FieldEncoder() if self.encoder is None else clone(self.encoder)).fit(frame)
        self.levels_ = choose_levels(self.levels, len(y))
        self.centre_, self.scale_ = y.mean(), y.std()
        return frame, *self._encode(frame), (y - self.centre_) / (self.scale_ or 1.0)

    def _encode(self, frame):
        """Codes counted through all fields, of which each has one code more for what was never seen, and values."""
        codes, x = self.encoder_.transform_fields(frame)
        return codes + np.cumsum([0, *_sizes(self.encoder_)], dtype=int)[:-1], x

    def _kinds(self):
        """The networks to train; the stiff one has no deep part, unless that is all there is."""
        flexible = replace(FLEXIBLE, parts=self.parts, head=self.head, average=self.average)
        if not self.stack:
            return [flexible]
        stiff = STIFF if "fm" in self.parts else replace(flexible, n_knots=0)
        return [flexible, replace(stiff, head=self.head, average=self.average)]

    def _leaves_out(self):
        return self.stack or self.recalibrate or self.early_stopping


def stacking_weights(quantiles, y, levels):
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
    Breiman (1996); chapter 7.

    Examples
    --------
    >>> y, levels = np.array([1.0, 2.0, 3.0]), np.array([0.5])
    >>> stacking_weights([y[:, None] + 1, y[:, None] - 1], y, levels).round(3)
    array([0.5, 0.5])
    """
    if len(quantiles) == 1:
        return np.ones(1)
    first, second = quantiles

    def loss(weight):
        return pinball_loss(y[:, None], weight * first + (1 - weight) * second, levels).mean()

    weight = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-4}).x
    return np.array([weight, 1 - weight])


def calibrated_levels(curve, y):
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


def fit_replications(model, data):
    """Fit a model to many data sets of one size in one batched program.

    Parameters
    ----------
    model : DeepFMQRGMM
        Only its settings are used.
    data : list of (X, y)
        With equal numbers of rows and the same columns.

    Returns
    -------
    list of DeepFMQRGMM
        One per data set; each equals the model fitted to that set alone, up to rounding.

    Raises
    ------
    ValueError
        As `DeepFMQRGMM.fit` does, and if the sets differ in their numbers of rows or fields.

    Notes
    -----
    Chapter 9.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data = [(X, X[:, 0]) for X in rng.normal(size=(3, 50, 1))]
    >>> len(fit_replications(DeepFMQRGMM(n_members=2, random_state=0), data))
    3
    """
    if not data:
        raise ValueError("data must hold at least one data set, got none")
    models = [clone(model) for _ in data]
    frames, codes, values, sales = zip(*(model._prepare(X, y) for model, (X, y) in zip(models, data, strict=True)))
    _fit_together(models, frames, codes, values, sales)
    return models


def _fit_together(models, frames, codes, values, sales):
    shapes = {(code.shape, value.shape) for code, value in zip(codes, values)}
    if len(shapes) > 1:
        raise ValueError(f"data must hold sets of one size, got rows and fields {sorted(shapes)}")
    first, device = models[0], models[0].device
    n_members, n_rows = first.n_members, len(sales[0])
    rngs = [np.random.default_rng(model.random_state) for model in models]
    # Member k leaves out the k-th of the parts that a permutation of the rows is cut into.
    n_out = n_rows // n_members if first._leaves_out() else 0
    orders = np.concatenate([np.stack(n_members * [rng.permutation(n_rows)]) for rng in rngs])
    orders = np.stack([np.roll(order, -n_out * (k % n_members)) for k, order in enumerate(orders)])
    held_out, rows = (torch.tensor(part, device=device) for part in (orders[:, :n_out], orders[:, n_out:]))
    left_out = torch.arange(len(orders), device=device)[:, None] // n_members, held_out
    codes = torch.tensor(np.stack(codes), device=device)
    y = torch.tensor(np.stack(sales), dtype=torch.float64, device=device)
    levels = torch.tensor(first.levels_, dtype=torch.float64, device=device)
    members = [slice(i * n_members, (i + 1) * n_members) for i in range(len(models))]
    predicted = []
    for model in models:
        model.networks_, model.knots_, model.parameters_ = first._kinds(), [], []
    for network in first._kinds():
        knots = [np.quantile(value, np.linspace(0, 1, network.n_knots), axis=0) for value in values]
        basis = torch.tensor(np.stack([field_basis(*each) for each in zip(values, knots)]), device=device)
        seeds = [seed for rng in rngs for seed in rng.integers(2**62, size=n_members)]
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        parameters = _start(network, models, frames, sales, values[0].shape[1], generators)
        stop_at = held_out if first.early_stopping else None
        data = codes, basis, y, rows, levels
        parameters = train(network, parameters, *data, generators, stop_at, first.progress)
        predicted.append(predict_members(network, parameters, codes[left_out], basis[left_out]))
        for i, model in enumerate(models):
            model.knots_.append(knots[i])
            model.parameters_.append({name: value[members[i]].clone() for name, value in parameters.items()})
    for i, model in enumerate(models):
        quantiles = [each[members[i]].flatten(0, 1).cpu().numpy() for each in predicted]
        unseen = y[left_out][members[i]].flatten().cpu().numpy()
        model.weights_ = stacking_weights(quantiles, unseen, model.levels_)
        model.recalibrated_levels_ = model.levels_
        if model.recalibrate:
            mixture = QuantileCurve(model.levels_, np.tensordot(model.weights_, quantiles, 1))
            model.recalibrated_levels_ = calibrated_levels(mixture, unseen)


def _start(network, models, frames, sales, n_continuous, generators):
    """Parameters to start from: random, zero for what was never seen, linear where asked for."""
    n_members, n_codes = models[0].n_members, [sum(_sizes(model.encoder_)) for model in models]
    starts = []
    for i, model in enumerate(models):
        sizes = _sizes(model.encoder_)
        marginal = np.tile(np.quantile(sales[i], model.levels_), (n_members, 1))
        own = generators[i * n_members : (i + 1) * n_members]
        parameters = start_parameters(network, n_codes[i], (len(sizes), n_continuous), marginal, own)
        if model.linear_start and "first" in parameters:
            _start_linear(network, parameters, model.encoder_, frames[i], sales[i])
        for name in {"embedding", "first"} & parameters.keys():
            parameters[name][:, np.cumsum(sizes, dtype=int) - 1] = 0
            parameters[name] = pad(parameters[name], (0, 0, 0, max(n_codes) - n_codes[i]))  # data sets differ in codes
        starts.append(parameters)
    return {name: torch.cat([start[name] for start in starts]).to(models[0].device) for name in starts[0]}


def _start_linear(network, parameters, encoder, frame, y):
    """Let the location start from the linear median regression."""
    design = np.column_stack([np.ones(len(y)), encoder.transform(frame)])
    n_continuous = len(encoder.continuous_)
    sizes = [1, design.shape[1] - 1 - n_continuous, n_continuous]
    coef = torch.tensor(fit_quantile_grid(design, y, [0.5]).coef[0])
    intercept, of_categories, slopes = coef.split(sizes)
    # The design has no column for the first level of a field, nor for what was never seen.
    ends = np.cumsum(_sizes(encoder), dtype=int)
    others = np.setdiff1d(np.arange(sum(_sizes(encoder))), [*(ends - _sizes(encoder)), *(ends - 1)])
    parameters["bias"][:, 0, 0] = intercept
    parameters["first"][:, others, 0] = of_categories
    parameters["first_curve"][:, :: 1 + network.n_knots, 0] = slopes


def _sizes(encoder):
    """Codes of each categorical field, the one for what was never seen included."""
    return [len(levels) + 1 for levels in encoder.categories_.values()]


def _to_frame(X):
    return X if isinstance(X, pd.DataFrame) else pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
