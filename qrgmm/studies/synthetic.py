r"""One replication of each synthetic study of the SCF paper: every model against the true law of sales.

All with the parameters of the book, so that the two points of the paper stay what they are; `contest` draws fresh ones.
The studies share data: replication `r` draws the same covariates, sales and truth in `synthetic`,
`synthetic_generators` and `synthetic_peers`, so that rows of all three stand in one table and differences are paired.
Chapters 8 to 10 read them.
"""

from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from qrgmm.checks import Rng
from qrgmm.curve import QuantileCurve
from qrgmm.metrics import coverage, ks_statistic
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.generators import CWGAN_SETTINGS, ConditionalWGAN
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.paths import DIFFUSION_SETTINGS, FLOW_SETTINGS, ConditionalDiffusion, RectifiedFlow
from qrgmm.models.peers import Engression, SplineFlow
from qrgmm.models.trees import BoostedQuantiles, QuantileForest
from qrgmm.risk import risk_profile
from qrgmm.simulators.fm_location_scale import FMLocationScale
from qrgmm.simulators.simulator import LocationScale
from qrgmm.studies.study import Study, compare_samples, score_rows

OWN = {
    "qrgmm_deepfm": DeepFMQRGMM(),
    "qrgmm": QRGMM(),
    "qrgmm_deep": DeepFMQRGMM(parts="deep"),
    "qrgmm_fm": DeepFMQRGMM(parts="fm"),
}
GENERATORS = {
    "cwgan": ConditionalWGAN(**CWGAN_SETTINGS["tuned"]),
    "diffusion": ConditionalDiffusion(**DIFFUSION_SETTINGS["tuned"]),
    "rectified_flow": RectifiedFlow(**FLOW_SETTINGS["tuned"]),
}
PEERS = {
    "engression": Engression(),
    "quantile_forest": QuantileForest(),
    "lightgbm": BoostedQuantiles(),
    "spline_flow": SplineFlow(),
}
TAUS = np.arange(1, 10) / 10  # at which coverage is recorded
EVEN = (np.arange(200) + 0.5) / 200  # levels at which a law is compared with the true one


class Truth:
    """The simulator itself, in the shape of a model."""

    def __init__(self, simulator: LocationScale):
        self.simulator = simulator

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Self:
        """Learn nothing: it is known."""
        return self

    def predict_curve(self, X: pd.DataFrame, n_points: int = 400) -> QuantileCurve:
        """Return the true law of every row, on evenly spaced levels."""
        return QuantileCurve.from_draws(self.simulator.ppf(X, (np.arange(n_points) + 0.5) / n_points))

    def sample(self, X: pd.DataFrame, n_draws: int, rng: Rng = None) -> np.ndarray:
        """Return draws, (n_rows, n_draws)."""
        return self.simulator.draw(X.loc[X.index.repeat(n_draws)], rng).reshape(len(X), n_draws)


class Marginal:
    """The law of all sales, whatever the covariates: what a model that ignores them knows.

    Examples
    --------
    >>> Marginal().fit(None, np.arange(16.0)).predict_curve([["a"], ["b"]]).values
    array([[0., 8.],
           [0., 8.]])
    """

    def fit(self, X: pd.DataFrame | None, y: np.ndarray) -> Self:
        """Keep every eighth of the sorted sales."""
        self.sales = np.sort(y)[::8]
        return self

    def predict_curve(self, X: pd.DataFrame) -> QuantileCurve:
        """Return the same law for every row."""
        return QuantileCurve.from_draws(
            np.broadcast_to(self.sales, (len(X), len(self.sales)))
        )

    def sample(self, X: pd.DataFrame, n_draws: int, rng: Rng = None) -> np.ndarray:
        """Return draws, (n_rows, n_draws)."""
        return self.predict_curve(X).sample(n_draws, rng)


def compare_models(models, rng, n_rows, n_train, n_draws, n_points, n_loans, n_members=10, n_epochs=1000):
    """Study models against the truth (tables 1 and 4, figures 6 to 12 and 24 to 27 of the SCF paper).

    Parameters
    ----------
    models : dict of str to model
        By label; each has `fit`, `predict_curve` and `sample`.
    rng : numpy.random.Generator
    n_rows, n_train : int
        Rows, and how many of them train; the others are the test set.
    n_draws : int
        Draws at each of two points.
    n_points : int
        Test rows whose risk curves are compared.
    n_loans : int
        Loans whose risk at the two points is recorded, evenly spaced to the 99.9th percentile of true sales; may be 0.
    n_members, n_epochs : int
        Of `DeepFMQRGMM`, and of networks that are trained by epochs; at most.

    Returns
    -------
    list of tuple
        Rows, see the top of this file.
    """
    simulator = FMLocationScale()
    data_rng, truth_rng, model_rng = rng.spawn(3)
    X, y, X_test, y_test = draw_data(simulator, n_rows, n_train, data_rng)
    points = simulator.draw_covariates(2, np.random.default_rng(0))  # the same in all replications
    references = Truth(simulator).sample(points, n_draws, truth_rng)
    truth = Truth(simulator)
    rows = []
    for name, model in ({"truth": truth, "marginal": Marginal()} | models).items():
        draws_rng = np.random.default_rng(model_rng.integers(2**31))
        model = fit_copy(model, X, y, draws_rng, n_members, n_epochs)
        rows += score_rows(name, "unconditional", compare_samples(model.sample(X_test, 1, draws_rng)[:, 0], y_test))
        curve = model.predict_curve(X_test)
        rows += score_rows(name, "test rows", scores_given_x(curve, simulator, X_test, y_test))
        rows += risk_errors(name, f"risk, {n_points} rows", model, truth, X_test[:n_points])
        for tau, share in zip(TAUS, coverage(y_test, curve.ppf(TAUS))):
            rows += score_rows(name, "test rows", {"coverage": share}, tau)
        for i, point in enumerate(("first point", "second point")):
            x = points.iloc[[i]]
            sample = model.sample(x, n_draws, draws_rng)[0]
            rows += score_rows(name, point, compare_samples(sample, references[i]))
            if n_loans:
                law = truth.predict_curve(x, 4000) if model is truth else model.predict_curve(x)
                rows += _risk_curves(name, f"risk, {point}", law, simulator.ppf(x, 0.999)[0, 0], n_loans)
            rows += risk_errors(name, f"risk, {point}", model, truth, x)
    return rows


def sensitivity(rng, steps, sizes, n_draws, n_members):
    """Study the KS distance of QRGMM-dagger at a point, and over test rows, against m (figure 23 of the SCF paper)."""
    simulator, rows = FMLocationScale(), []
    x = simulator.draw_covariates(2, np.random.default_rng(0)).iloc[[0]]
    data_rng, model_rng = rng.spawn(2)
    X, y, X_test, _ = draw_data(simulator, max(sizes) + 500, max(sizes), data_rng, min(sizes))
    u = (np.arange(n_draws) + 0.5) / n_draws
    for size in sizes:
        for m in steps:
            model = fit_copy(DeepFMQRGMM(levels=m), X[:size], y[:size], model_rng, n_members)
            sample = model.sample(x, n_draws, model_rng)[0]
            at_point = ks_statistic(sample, lambda sales: simulator.cdf(x, sales)[0])
            on_rows = distances_to_truth(model.predict_curve(X_test), simulator.ppf(X_test, EVEN))["ks"]
            rows += score_rows("qrgmm_deepfm", f"n = {size}, point", {"ks": at_point}, m)
            rows += score_rows("qrgmm_deepfm", f"n = {size}, test rows", {"ks": on_rows}, m)
        truth = simulator.ppf(x, data_rng.random(n_draws))[0]
        rows += score_rows("truth", f"n = {size}, point", {"ks": ks_statistic(truth, simulator.ppf(x, u)[0])})
    return rows


def draw_data(
    simulator: FMLocationScale, n_rows: int, n_train: int, rng: np.random.Generator, n_known: int | None = None
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return training rows and test rows.

    Parameters
    ----------
    simulator : FMLocationScale
    n_rows, n_train : int
        Rows, and how many of them train; the others are the test set.
    rng : numpy.random.Generator
    n_known : int, optional
        Test rows are those of the sellers and categories that so many of the first training rows have; by default all.

    Returns
    -------
    X, y, X_test, y_test : data frames and arrays
    """
    X = simulator.draw_covariates(n_rows, rng)
    y = simulator.draw(X, rng)
    known = np.arange(n_rows) >= n_train
    for field in ("category", "seller"):
        known &= X[field].isin(X[field][: n_known or n_train]).to_numpy()
    return X[:n_train], y[:n_train], X[known], y[known]


def fit_copy(
    model: Any,
    X: pd.DataFrame,
    y: np.ndarray,
    rng: np.random.Generator,
    n_members: int = 10,
    n_epochs: int = 1000,
) -> Any:
    """Fit a fresh copy of the model, with its seed and at most so many members and epochs where it takes them."""
    seed = int(rng.integers(2**31))
    if hasattr(model, "get_params"):
        model, most = clone(model), {"n_members": n_members, "n_epochs": n_epochs}
        for name, value in model.get_params().items():
            own = name.rpartition("__")[2]  # or that of a model within
            if own == "random_state":
                model.set_params(**{name: seed})
            elif own in most:
                model.set_params(**{name: min(value, most[own])})
    return model.fit(X, y)


def distances_to_truth(curve: QuantileCurve, truth: np.ndarray) -> dict[str, float]:
    """Return KS and Wasserstein distance (in standard deviations) to true quantiles at `EVEN`, means over rows."""
    far = np.abs(curve.ppf(EVEN) - truth).mean(axis=1) / truth.std(axis=1)
    return {"ks": np.abs(curve.cdf(truth) - EVEN).max(axis=1).mean(), "wd": far.mean()}


def scores_given_x(curve: QuantileCurve, simulator: LocationScale, X: pd.DataFrame, y: np.ndarray) -> dict[str, float]:
    """Return what tells models apart: distances to the true law of each row, CRPS, largest error of coverage."""
    levels = np.arange(1, 90) / 90
    error = np.abs(coverage(y, curve.ppf(levels)) - levels)
    scores = {"crps": curve.crps(y).mean(), "coverage_error": error.max()}
    return {**distances_to_truth(curve, simulator.ppf(X, EVEN)), **scores}


def risk_measures(curve: QuantileCurve, loans: np.ndarray) -> dict[str, np.ndarray]:
    """Return the four risk curves of the SCF paper by metric, each (n_rows, n_loans); LGD as a share of the loan."""
    risk = risk_profile(curve, loans)
    return {
        "pd": risk["default_probability"],
        "el": risk["expected_loss"],
        "lgd": risk["loss_given_default"] / loans,
        "squared": risk["squared_loss"],
    }


def _risk_curves(name, test, curve, largest, n_loans):
    """Rows of the four curves; `x` is the loan as a share of the largest."""
    shares = np.arange(1, n_loans + 1) / n_loans
    rows = []
    for metric, values in risk_measures(curve, largest * shares[None]).items():
        for share, value in zip(shares, values[0]):
            rows += score_rows(name, test, {metric: value} if np.isfinite(value) else {}, share)
    return rows


def risk_errors(name: str, test: str, model: Any, truth: Truth, X: pd.DataFrame) -> list[tuple]:
    """Return rows: largest errors of the risk curves over 100 loans, means over rows; losses as a share of the loan."""
    largest = truth.simulator.ppf(X, 0.999)
    loans = largest * np.arange(1, 101) / 100
    found, true = (risk_measures(each.predict_curve(X), loans) for each in (model, truth))
    errors = {
        "pd_error": found["pd"] - true["pd"],
        "el_error": (found["el"] - true["el"]) / loans,
        "lgd_error": np.where(true["pd"] > 0.01, np.nan_to_num(found["lgd"]) - np.nan_to_num(true["lgd"]), 0),
        "squared_error": (found["squared"] - true["squared"]) / loans**2,
    }
    return score_rows(name, test, {metric: np.abs(error).max(axis=1).mean() for metric, error in errors.items()})


_DESIGN = "the parameters of the simulator are ours, the paper's are not published"
_COMPARE = {
    "tiny": {
        "n_rows": 2200, "n_train": 2000, "n_draws": 500, "n_points": 5, "n_loans": 4, "n_members": 2, "n_epochs": 12
    },
    "paper": {"n_rows": 10_000, "n_train": 8000, "n_draws": 10_000, "n_points": 50, "n_loans": 8},
}
STUDIES = {
    "synthetic": Study(partial(compare_models, OWN), _COMPARE, _DESIGN),
    "synthetic_generators": Study(
        partial(compare_models, GENERATORS),
        _COMPARE,
        f"{_DESIGN}; each generator with the settings chosen on held-out rows",
        20,  # of more than a minute of a core each
    ),
    "synthetic_peers": Study(  # whose risk curves nobody draws
        partial(compare_models, PEERS),
        {size: setting | {"n_loans": 0} for size, setting in _COMPARE.items()},
        "not in the paper",
    ),
    "synthetic_levels": Study(
        sensitivity,
        {
            "tiny": {"steps": [5, 10], "sizes": [1500, 2000], "n_draws": 500, "n_members": 2},
            "paper": {"steps": [10, 30, 90, 270], "sizes": [2800, 8000], "n_draws": 10_000, "n_members": 3},
        },
        f"{_DESIGN}; three members of each kind instead of ten; m from 10 to 270",
        n_replications=50,  # the paper's number
    ),
}
