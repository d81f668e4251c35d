r"""One replication of what the QRGMM paper compares: generators and QRGMM, learned from the same simulated rows.

The generators have the settings that the paper gives them, and those chosen in chapter 8. Rows are those of
`qrgmm_paper`; every model of a replication learns from the same rows, so that differences are paired. Chapter 8
reads them.
"""

from functools import partial

import numpy as np
from sklearn.base import clone

from qrgmm.models.generators import CWGAN_SETTINGS, ConditionalWGAN
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.paths import DIFFUSION_SETTINGS, FLOW_SETTINGS, ConditionalDiffusion, RectifiedFlow
from qrgmm.studies.qrgmm_paper import PROBLEMS, TREATMENTS, exact_distances
from qrgmm.studies.study import Study, compare_samples, score_rows
from qrgmm.studies.synthetic import GENERATORS as TUNED

PUBLISHED = {
    "cwgan_paper": ConditionalWGAN(**CWGAN_SETTINGS["paper"]),
    "diffusion_paper": ConditionalDiffusion(**DIFFUSION_SETTINGS["paper"]),
    "rectified_flow_paper": RectifiedFlow(**FLOW_SETTINGS["paper"]),
}


def compare_on_problem(problem, rng, n_rows, n_test, m, n_draws, n_points, n_law, n_epochs=None):
    """Study generators on a test problem: a test set, one point, and many points (tables 1 and 3, figures 3, 4).

    Parameters
    ----------
    problem : str
        A key of `qrgmm.studies.qrgmm_paper.PROBLEMS`.
    rng : numpy.random.Generator
    n_rows, n_test : int
        Training and test rows.
    m : int
        Steps of QRGMM.
    n_draws : int
        Draws at the conditional point.
    n_points, n_law : int
        Test rows whose laws are compared with the true ones, and draws of a generator that make such a law.
    n_epochs : int, optional
        Of the generators; by default as many as their settings say.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value).

    Examples
    --------
    >>> size = STUDIES["test_problem_1_generators"].sizes["tiny"]
    >>> rows = compare_on_problem("test_problem_1", np.random.default_rng(0), **size)
    >>> sorted({metric for model, test, metric, x, value in rows if test == "conditional, many points"})
    ['ks', 'wd']
    """
    problem = PROBLEMS[problem]
    X = problem.draw_covariates(n_rows, rng)
    y, X_test = problem.draw(X, rng), problem.draw_covariates(n_test, rng)
    truth, again = problem.draw(X_test, rng), problem.draw(X_test, rng)
    rows = score_rows("truth", "unconditional", compare_samples(truth, again))
    x = np.atleast_2d(problem.conditional_point)
    at_point, again = (problem.draw(np.repeat(x, n_draws, axis=0), rng) for _ in range(2))
    rows += score_rows("truth", "conditional", compare_samples(at_point, again))
    for name, model, features in _unfitted(problem, rng, m, n_law, n_epochs):
        model.fit(features(X), y)
        sample = model.sample(features(X_test), 1, rng)[:, 0]
        rows += score_rows(name, "unconditional", compare_samples(sample, truth))
        sample = model.sample(features(x), n_draws, rng)[0]
        rows += score_rows(name, "conditional", compare_samples(sample, at_point))
        curve = model.predict_curve(features(X_test[:n_points]))
        distances = exact_distances(curve, problem, X_test[:n_points], 2000)
        rows += score_rows(name, "conditional, many points", distances)
    return rows


def compare_on_lives(rng, n_rows, n_test, m, n_draws, n_points, n_law, n_epochs=None, zone=1 / 6):
    """Study generators of life years under two treatments (tables 2, 3, EC.3, figure EC.4, and a smaller table 4).

    A choice for a patient counts as correct if it costs less than the indifference zone, as in `ranking`, whose
    patients these are; models choose by their means.

    Parameters
    ----------
    rng, n_rows, n_test, m, n_draws, n_epochs
        As in `compare_on_problem`.
    n_points, n_law : int
        Patients for whom models choose, and draws of a generator that make a law.
    zone : float
        Indifference zone, in years.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value).
    """
    aspirin = TREATMENTS["aspirin"]
    patients = aspirin.draw_covariates(n_points, np.random.default_rng(0))
    x = np.atleast_2d(aspirin.conditional_point)
    X, X_test = (aspirin.draw_covariates(n, rng) for n in (n_rows, n_test))
    rows, effects, means = [], {}, {}
    for drug, simulator in TREATMENTS.items():
        y = simulator.draw(X, rng)
        truth, again = simulator.draw(X_test, rng), simulator.draw(X_test, rng)
        at_point, another = (simulator.draw(np.repeat(x, n_draws, axis=0), rng) for _ in range(2))
        scores = {("truth", "unconditional"): compare_samples(truth, again)}
        scores["truth", "conditional"] = compare_samples(at_point, another)
        means.setdefault("truth", []).append(simulator.mean(patients))
        for name, model, features in _unfitted(simulator, rng, m, n_law, n_epochs):
            model.fit(features(X), y)
            sample = model.sample(features(X_test), 1, rng)[:, 0]
            scores[name, "unconditional"] = compare_samples(sample, truth)
            sample = model.sample(features(x), n_draws, rng)[0]
            scores[name, "conditional"] = compare_samples(sample, at_point)
            means.setdefault(name, []).append(model.predict(features(patients)))
        for (name, test), each in scores.items():
            rows += score_rows(name, test, {f"{metric}_{drug}": value for metric, value in each.items()})
            if test == "conditional":
                effects.setdefault(name, []).append(each["mean"])
    for name, (first, second) in effects.items():
        rows += score_rows(name, "conditional", {"statin_better": second > first})
    for name, values in means.items():
        lost = np.max(means["truth"], axis=0) - np.choose(np.argmax(values, axis=0), means["truth"])
        error = np.abs(np.subtract(values, means["truth"])).mean()
        rows += score_rows(name, f"{n_points} points", {"pcs": np.mean(lost < zone), "mean_error": error})
    return rows


def _unfitted(simulator, rng, m, n_law, n_epochs):
    """Yield name, unfitted model and the function of the covariates that it learns from; QRGMM has the basis."""
    yield "qrgmm", QRGMM(levels=m), simulator.basis
    for name, model in (PUBLISHED | TUNED).items():
        settings = {"n_draws": n_law, "n_epochs": n_epochs or model.n_epochs, "random_state": int(rng.integers(2**31))}
        yield name, clone(model).set_params(**settings), np.asarray


_TINY = {"n_rows": 400, "n_test": 400, "m": 20, "n_draws": 500, "n_points": 5, "n_law": 50, "n_epochs": 3}
_PROBLEM = {
    "tiny": _TINY,
    "paper": {"n_rows": 10_000, "n_test": 10_000, "m": 300, "n_draws": 10_000, "n_points": 50, "n_law": 1000},
}
_LIVES = {
    "tiny": _TINY,
    "paper": {"n_rows": 10_000, "n_test": 10_000, "m": 300, "n_draws": 10_000, "n_points": 100, "n_law": 500},
}


def _study(replicate, sizes, n_replications):
    """The published GAN takes minutes a fit, hence few replications."""
    note = (
        f"{n_replications} replications, theirs 100; 10,000 draws at the conditional point, theirs 100,000; networks "
        "of our own, with their settings and with those chosen in chapter 8"
    )
    return Study(replicate, sizes, note, n_replications)


STUDIES = {
    "test_problem_1_generators": _study(partial(compare_on_problem, "test_problem_1"), _PROBLEM, 5),
    "test_problem_2_generators": _study(partial(compare_on_problem, "test_problem_2"), _PROBLEM, 5),
    "cancer_generators": _study(compare_on_lives, _LIVES, 2),
}
