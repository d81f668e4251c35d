r"""One replication of each experiment of the QRGMM paper, and of the coverage of bootstrap bands.

`STUDIES` names them; `qrgmm.studies.runner` runs, records and compares them. Chapters 3, 5 and 6 read them.
"""

from copy import copy
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures

from qrgmm.curve import ROUNDING, QuantileCurve, crossing_rate
from qrgmm.metrics import joint_wasserstein_distance, ks_statistic
from qrgmm.models.metamodel import QRGMM, QRGMMChain
from qrgmm.models.resampling import bootstrap_curves
from qrgmm.risk import default_probability, expected_loss, largest_loan
from qrgmm.simulators.bank_queue import BankQueue
from qrgmm.simulators.cancer import CancerSimulator
from qrgmm.simulators.problems import TestProblem1, TestProblem2
from qrgmm.simulators.simulator import LocationScale
from qrgmm.studies.study import Study, compare_samples, score_rows

PROBLEMS = {"test_problem_1": TestProblem1(), "test_problem_2": TestProblem2()}
TREATMENTS = {"aspirin": CancerSimulator("aspirin"), "statin": CancerSimulator("statin")}


def accuracy(problem, rng, n_rows, n_test, m, n_draws, n_points):
    """Study a test problem: a test set, one point, and the mean over many points (tables 1, 3, EC.1, figures 3, 4)."""
    problem = PROBLEMS[problem]
    model = _fitted(problem, n_rows, m, rng)
    with_tails = copy(model).set_params(tails="exponential")
    X = problem.draw_covariates(n_test, rng)
    truth, again = problem.draw(X, rng), problem.draw(X, rng)
    rows = score_rows("truth", "unconditional", compare_samples(truth, again))
    for name, variant in {"qrgmm": model, "qrgmm_tails": with_tails}.items():
        generated = variant.sample(problem.basis(X), 1, rng)[:, 0]
        rows += score_rows(name, "unconditional", compare_samples(generated, truth))

    x = np.atleast_2d(problem.conditional_point)
    truth, again = (problem.draw(np.repeat(x, n_draws, axis=0), rng) for _ in range(2))
    raw, curve = _raw_quantiles(model, problem, x), model.predict_curve(problem.basis(x))
    u = rng.random(n_draws)
    rows += score_rows("qrgmm", "conditional", compare_samples(curve.ppf(u)[0], truth))
    rows += score_rows("qrgmm_unsorted", "conditional", compare_samples(np.interp(u, model.levels_, raw), truth))
    rows += score_rows("truth", "conditional", compare_samples(truth, again))
    rows += score_rows("qrgmm", "conditional", {"misplaced": misplaced_rate(raw), "crossing": crossing_rate(raw)})

    for name, variant in {"qrgmm": model, "qrgmm_tails": with_tails}.items():
        curve = variant.predict_curve(problem.basis(x))
        exact = {"mean": curve.mean()[0], "sd": curve.std()[0], **exact_distances(curve, problem, x, n_draws)}
        rows += score_rows(name, "conditional, exact", exact)
        curve = variant.predict_curve(problem.basis(X[:n_points]))
        rows += score_rows(name, "conditional, many points", exact_distances(curve, problem, X[:n_points], 2000))
    return rows


def crossing(rng, factors, roots):
    r"""Study crossing quantiles on test problem 1 with :math:`m = c \sqrt n` (figure 2)."""
    problem, rows = PROBLEMS["test_problem_1"], []
    x = np.atleast_2d(problem.convergence_point)
    for root in roots:
        X = problem.draw_covariates(root**2, rng)
        y = problem.draw(X, rng)
        for factor in factors:
            raw = _raw_quantiles(QRGMM(levels=factor * root).fit(problem.basis(X), y), problem, x)
            test = f"m = {factor} sqrt n" if factor > 1 else "m = sqrt n"
            scores = {"misplaced": misplaced_rate(raw), "crossing": crossing_rate(raw)}
            rows += score_rows("qrgmm", test, scores, root**2)
    return rows


def convergence(rng, roots, n_draws):
    r"""Study the KS distance to the truth against n, with :math:`m = \sqrt n` (figure 5)."""
    rows = []
    for name, problem in PROBLEMS.items():
        x, ks = np.atleast_2d(problem.convergence_point), []
        for root in roots:
            curve = _fitted(problem, root**2, root, rng).predict_curve(problem.basis(x))
            ks.append(_ks_to_truth(curve.sample(n_draws, rng)[0], problem, x))
            exact = exact_distances(curve, problem, x, n_draws)
            rows += score_rows("qrgmm", name, {"ks": ks[-1], "ks_exact": exact["ks"]}, root**2)
            truth = problem.draw(np.repeat(x, n_draws, axis=0), rng)
            rows += score_rows("truth", name, {"ks": _ks_to_truth(truth, problem, x)}, root**2)
        slope = np.polyfit(np.log10(np.square(roots)), np.log10(ks), 1)[0]
        rows += score_rows("qrgmm", name, {"slope": slope})
    return rows


def levels(rng, n_rows, steps, n_draws):
    """Study the KS distance to the truth against m on one training set of test problem 1 (figure 6)."""
    problem = PROBLEMS["test_problem_1"]
    x = np.atleast_2d(problem.convergence_point)
    X = problem.draw_covariates(n_rows, rng)
    y = problem.draw(X, rng)
    rows = []
    for m in steps:
        curve = QRGMM(levels=m).fit(problem.basis(X), y).predict_curve(problem.basis(x))
        ks = _ks_to_truth(curve.sample(n_draws, rng)[0], problem, x)
        exact = exact_distances(curve, problem, x, n_draws)
        scores = {"ks": ks, "ks_exact": exact["ks"], "wd_exact": exact["wd"], "sd": curve.std()[0]}
        rows += score_rows("qrgmm", "test_problem_1", scores, m)
        truth = problem.draw(np.repeat(x, n_draws, axis=0), rng)
        rows += score_rows("truth", "test_problem_1", {"ks": _ks_to_truth(truth, problem, x)}, m)
    return rows


def cancer(rng, n_rows, n_test, m, n_draws):
    """Study two treatments, learned apart: effects for one patient, and a test set (tables 2, 3, EC.3, figure EC.4)."""
    rows, effects = [], {model: [] for model in ("truth", "qrgmm", "linear_regression")}
    X, X_test = (TREATMENTS["aspirin"].draw_covariates(n, rng) for n in (n_rows, n_test))
    for name, simulator in TREATMENTS.items():
        basis, y = simulator.basis(X), simulator.draw(X, rng)
        model = QRGMM(levels=m).fit(basis, y)
        truth, again = simulator.draw(X_test, rng), simulator.draw(X_test, rng)
        generated = model.sample(simulator.basis(X_test), 1, rng)[:, 0]
        for label, scores in (("qrgmm", compare_samples(generated, truth)), ("truth", compare_samples(truth, again))):
            rows += score_rows(label, "unconditional", {f"{metric}_{name}": value for metric, value in scores.items()})

        x = np.atleast_2d(simulator.conditional_point)
        truth, again = (simulator.draw(np.repeat(x, n_draws, axis=0), rng) for _ in range(2))
        generated = model.sample(simulator.basis(x), n_draws, rng)[0]
        for label, scores in (("qrgmm", compare_samples(generated, truth)), ("truth", compare_samples(truth, again))):
            rows += score_rows(label, "conditional", {f"{metric}_{name}": value for metric, value in scores.items()})
            effects[label].append(scores["mean"])
        linear = LinearRegression().fit(basis, y).predict(simulator.basis(x))[0]
        effects["linear_regression"].append(linear)
        rows += score_rows("linear_regression", "conditional", {f"mean_{name}": linear})
        rows += score_rows("truth", "conditional", {f"exact_mean_{name}": simulator.mean(x)[0]})
    for label, (aspirin, statin) in effects.items():
        rows += score_rows(label, "conditional", {"statin_better": float(statin > aspirin)})
    return rows


def ranking(rng, n_rows, m, n_points, n_first, n_kn_points, zone=1 / 6, alpha=0.05, h=1.6972):
    r"""Study the probability of a correct selection at patients that all replications share (table 4).

    A choice counts as correct if it costs the patient less than the indifference zone, by the exact means.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows, m : int
        Training rows and steps of QRGMM, which chooses by the exact means of its curves.
    n_points, n_kn_points : int
        Patients, and how many of them the sequential procedure KN treats.
    n_first : int
        First stage of KN and TS.
    zone : float
        Indifference zone, in years.
    alpha : float
        One minus the probability of correct selection that is asked for.
    h : float
        Constant of the second stage of TS for 16 design points; the authors' value, which they found by simulation.

    Returns
    -------
    list of tuple
        Rows, see the top of this file.
    """
    patients = TREATMENTS["aspirin"].draw_covariates(n_points, np.random.default_rng(0))
    true_means = np.column_stack([simulator.mean(patients) for simulator in TREATMENTS.values()])
    X = TREATMENTS["aspirin"].draw_covariates(n_rows, rng)
    estimates, design = [], np.array(np.meshgrid([61, 74], [0.025, 0.075], [0.25, 0.75], [0.25, 0.75])).reshape(4, -1).T
    for simulator in TREATMENTS.values():
        model = QRGMM(levels=m).fit(simulator.basis(X), simulator.draw(X, rng))
        estimates.append(model.predict(simulator.basis(patients)))
    two_stage = [_two_stage_means(simulator, design, rng, n_first, h / zone) for simulator in TREATMENTS.values()]
    linear = [LinearRegression().fit(design, means).predict(patients) for means, _ in two_stage]
    picks = [select_by_kn(patient, rng, zone, alpha, n_first) for patient in patients[:n_kn_points]]
    choices = {"qrgmm": np.argmax(estimates, axis=0), "ts": np.argmax(linear, axis=0)}
    choices["kn"] = np.array([best for best, _ in picks])
    rows = []
    for model, choice in choices.items():
        means = true_means[: len(choice)]
        lost = means.max(axis=1) - means[np.arange(len(choice)), choice]
        rows += score_rows(model, f"{n_points} points", {"pcs": np.mean(lost < zone), "best": np.mean(lost == 0)})
    rows += score_rows("ts", f"{n_points} points", {"patients": sum(n for _, n in two_stage)})
    rows += score_rows("kn", f"{n_points} points", {"patients": np.mean([n for _, n in picks])})
    return rows


def bank(rng, n_rows, n_test, m, n_joint, n_draws):
    """Study five outputs learned in a chain: margins, joint distance, one day's covariates (tables EC.2, EC.3)."""
    simulator = BankQueue()
    X, X_test = (simulator.draw_covariates(n, rng) for n in (n_rows, n_test))
    chain = QRGMMChain(levels=m, basis=PolynomialFeatures(2, include_bias=False).fit_transform).fit(
        X, simulator.draw(X, rng)
    )
    x = np.repeat(np.atleast_2d(simulator.conditional_point), n_draws, axis=0)
    rows = []
    for test, points in (("unconditional", X_test), ("conditional", x)):
        truth, again = simulator.draw(points, rng), simulator.draw(points, rng)
        generated = chain.sample(points, 1, rng)[:, 0]
        for label, sample, reference in (("qrgmm", generated, truth), ("truth", truth, again)):
            for j, output in enumerate(simulator.outputs):
                scores = compare_samples(sample[:, j], reference[:, j])
                rows += score_rows(label, test, {f"{metric}_{output}": value for metric, value in scores.items()})
            joint = joint_wasserstein_distance(sample[:n_joint], reference[:n_joint])
            rows += score_rows(label, f"{test}, {n_joint} rows", {"joint_wd": joint})
    return rows


def bootstrap(rng, n_rows, m, n_boot, n_loans, level=0.9, max_default_probability=0.1):
    """Study how often bootstrap bands hold the true risk curve and the true largest loan on test problem 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows, m, n_boot : int
        Training rows, steps of QRGMM and refits.
    n_loans : int
        Loans, at evenly spaced true quantiles; `x` of the rows is the level of that quantile.
    level : float
        Of the bands.
    max_default_probability : float
        Limit that the largest loan keeps.

    Returns
    -------
    list of tuple
        Rows, see the top of this file: 1 if the interval holds the truth and 0 if not, and the interval's width; of
        QRGMM with clamped ends and, from the same refits, with exponential tails.
    """
    problem = PROBLEMS["test_problem_1"]
    x = np.atleast_2d(problem.conditional_point)
    X = problem.draw_covariates(n_rows, rng)
    y, basis = problem.draw(X, rng), problem.basis(X)
    taus = np.arange(1, n_loans + 1) / (n_loans + 1)
    loans = problem.ppf(x, taus)[0]
    model = QRGMM(levels=m).fit(basis, y)
    refits = bootstrap_curves(model, basis, y, problem.basis(x), n_boot, rng)
    fitted_curve = model.predict_curve(problem.basis(x))
    true_curve = QuantileCurve.from_draws(problem.ppf(x, (np.arange(100_000) + 0.5) / 100_000))
    rows = []
    for label, tails in {"qrgmm": "clamp", "qrgmm_tails": "exponential"}.items():
        fitted, *curves = (QuantileCurve(c.levels, c.values, tails=tails) for c in (fitted_curve, *refits))
        for name, risk in (("pd", default_probability), ("el", expected_loss)):
            truth, estimate = risk(true_curve, loans)[0], risk(fitted, loans)[0]
            sample = np.concatenate([risk(curve, loans) for curve in curves])
            low, high = _percentiles(sample, level)
            for tau, inside, width in zip(taus, (low <= truth) & (truth <= high), high - low):
                rows += score_rows(label, "pointwise", {f"covers_{name}": float(inside), f"width_{name}": width}, tau)
            # One band for all loans: the quantile of the largest deviation, in standard errors.
            error = sample.std(axis=0, ddof=1)
            reach = np.quantile(np.max(np.abs(sample - estimate) / error, axis=1), level)
            inside = (np.abs(truth - estimate) <= reach * error).all()
            rows += score_rows(label, "simultaneous", {f"covers_{name}": float(inside)})
        truth = problem.ppf(x, max_default_probability)[0, 0]
        sizes = [largest_loan(curve, max_default_probability=max_default_probability)[0] for curve in curves]
        low, high = _percentiles(np.array(sizes), level)
        rows += score_rows(label, "largest loan", {"covers": float(low <= truth <= high), "width": high - low})
    return rows


def misplaced_rate(values: ArrayLike) -> float:
    """Return the share of quantiles that do not stand where sorting would put them: the QRGMM paper's crossing rate.

    Parameters
    ----------
    values : array of shape (n_levels,)

    Returns
    -------
    float

    Examples
    --------
    >>> misplaced_rate([1.0, 3.0, 2.0, 4.0])
    0.5
    """
    return float(np.mean(np.abs(np.subtract(values, np.sort(values))) > ROUNDING * np.abs(values).max()))


def select_by_kn(
    patient: ArrayLike,
    rng: np.random.Generator,
    zone: float,
    alpha: float,
    n_first: int,
    block: int = 1000,
) -> tuple[int, int]:
    r"""Choose between the two treatments of one patient by the sequential procedure of Kim and Nelson (2001).

    Pairs of simulated patients are added until the sum of their differences leaves the triangle
    :math:`|\sum_{i \le r} d_i| < \eta (n_0 - 1) S^2 / \delta - r \delta / 2`.

    Parameters
    ----------
    patient : array of shape (4,)
    rng : numpy.random.Generator
    zone : float
        Indifference zone :math:`\delta`, in years.
    alpha : float
        Accepted probability of a wrong choice.
    n_first : int
        Pairs of the first stage, :math:`n_0`.
    block : int
        Pairs that are simulated at a time.

    Returns
    -------
    tuple of int
        0 for the first treatment or 1 for the second, and the number of simulated patients that it took.

    Examples
    --------
    >>> select_by_kn(TREATMENTS["aspirin"].conditional_point, np.random.default_rng(0), 0.5, 0.05, 100)[0]
    1
    """
    eta = ((2 * alpha) ** (-2 / (n_first - 1)) - 1) / 2
    differences = _differences(patient, n_first, rng)
    width = eta * (n_first - 1) * differences.var(ddof=1) / zone
    while True:
        path, r = np.cumsum(differences), np.arange(1, len(differences) + 1)
        decided = (np.abs(path) >= width - r * zone / 2) & (r >= n_first)
        if decided.any():
            stop = decided.argmax()
            return int(path[stop] > 0), 2 * int(stop + 1)
        differences = np.append(differences, _differences(patient, block, rng))


def _differences(patient, n, rng):
    first, second = (simulator.draw(np.tile(patient, (n, 1)), rng) for simulator in TREATMENTS.values())
    return second - first


def _two_stage_means(simulator, design, rng, n_first, precision):
    """Mean output at each design point and the patients used: as many as the first stage's variance asks for."""
    means, total = [], 0
    for point in design:
        y = simulator.draw(np.tile(point, (n_first, 1)), rng)
        n = max(n_first, int(np.ceil(precision**2 * y.var(ddof=1))))
        if n > n_first:
            y = np.append(y, simulator.draw(np.tile(point, (n - n_first, 1)), rng))
        means.append(y.mean())
        total += n
    return means, total


def _fitted(problem, n_rows, m, rng):
    X = problem.draw_covariates(n_rows, rng)
    return QRGMM(levels=m).fit(problem.basis(X), problem.draw(X, rng))


def _raw_quantiles(model, problem, x):
    """Predicted quantiles at one point before sorting."""
    return model.intercept_ + model.coef_ @ problem.basis(x)[0]


def _ks_to_truth(sample, problem, x):
    return ks_statistic(sample, lambda y: problem.cdf(x, y)[0])


def exact_distances(
    curve: QuantileCurve,
    problem: LocationScale,
    X: pd.DataFrame | ArrayLike,
    n_points: int,
) -> dict[str, float]:
    """KS and Wasserstein distance of curves from the true laws, no draws: on a fine grid of u, mean over rows."""
    u = (np.arange(n_points) + 0.5) / n_points
    truth = problem.ppf(X, u)
    return {"ks": np.abs(curve.cdf(truth) - u).max(axis=1).mean(), "wd": np.abs(curve.ppf(u) - truth).mean()}


def _percentiles(sample, level):
    return np.quantile(sample, [(1 - level) / 2, (1 + level) / 2], axis=0)


_ACCURACY = {
    "tiny": {"n_rows": 400, "n_test": 400, "m": 20, "n_draws": 2000, "n_points": 20},
    "paper": {"n_rows": 10_000, "n_test": 10_000, "m": 300, "n_draws": 100_000, "n_points": 100},
}
_EXACT, _OWN = "quantile regressions are exact", "draws and test sets are our own"
STUDIES = {
    "test_problem_1": Study(partial(accuracy, "test_problem_1"), _ACCURACY, f"{_EXACT}; {_OWN}"),
    "test_problem_2": Study(
        partial(accuracy, "test_problem_2"), _ACCURACY, f"{_EXACT}, theirs approximate (ADMM); {_OWN}"
    ),
    "convergence": Study(
        convergence,
        {
            "tiny": {"roots": [10, 20, 30], "n_draws": 2000},
            "paper": {"roots": list(range(20, 161, 10)), "n_draws": 100_000},
        },
        f"{_EXACT}, theirs for test problem 2 approximate (ADMM)",
    ),
    "levels": Study(
        levels,
        {
            "tiny": {"n_rows": 400, "steps": [5, 10, 20, 40], "n_draws": 2000},
            "paper": {
                "n_rows": 10_000,
                "steps": [10, 18, 32, 56, 100, 178, 316, 562, 1000, 1778, 3162, 5623, 10_000],
                "n_draws": 100_000,
            },
        },
        "every replication has a training set of its own, theirs is one training set",
    ),
    "crossing": Study(
        crossing,
        {
            "tiny": {"factors": [1, 5, 10], "roots": [10, 13]},
            "paper": {"factors": [1, 5, 10], "roots": [10, 13, 17, 22, 28, 36, 46, 60, 77, 100]},
        },
        "100 replications, theirs 10",
    ),
    "cancer": Study(
        cancer,
        {
            "tiny": {"n_rows": 400, "n_test": 400, "m": 20, "n_draws": 2000},
            "paper": {"n_rows": 10_000, "n_test": 10_000, "m": 300, "n_draws": 100_000},
        },
        f"{_EXACT}, theirs approximate (ADMM); the truth also exactly, by recursion",
    ),
    "bootstrap": Study(
        bootstrap,
        {
            "tiny": {"n_rows": 400, "m": 10, "n_boot": 20, "n_loans": 4},
            "paper": {"n_rows": 1000, "m": 32, "n_boot": 200, "n_loans": 19},
        },
        "not in the paper",
    ),
    "ranking": Study(
        ranking,
        {
            "tiny": {"n_rows": 2000, "m": 20, "n_points": 20, "n_first": 20, "n_kn_points": 2, "zone": 0.5},
            "paper": {"n_rows": 100_000, "m": 320, "n_points": 100, "n_first": 100, "n_kn_points": 100},
        },
        "the truth is exact, theirs simulated on a grid and interpolated; QRGMM chooses by the exact means of its "
        "curves, theirs by 100,000 draws; TS uses their constant h; the patients are our own",
    ),
    "bank": Study(
        bank,
        {
            "tiny": {"n_rows": 300, "n_test": 200, "m": 10, "n_joint": 200, "n_draws": 200},
            "paper": {"n_rows": 10_000, "n_test": 10_000, "m": 100, "n_joint": 2000, "n_draws": 2000},
        },
        "a chain of linear quantile regressions on all monomials to degree 2, theirs of neural networks; joint "
        "distances on the first 2,000 rows, theirs on all 10,000",
    ),
}
