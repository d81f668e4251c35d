"""The studies of generators on the QRGMM paper's problems: rows are complete, known models get known scores."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from qrgmm.curve import QuantileCurve
from qrgmm.models.generators import CWGAN_SETTINGS
from qrgmm.models.paths import DIFFUSION_SETTINGS, FLOW_SETTINGS
from qrgmm.studies import generators as generator_studies
from qrgmm.studies.generators import (
    PUBLISHED,
    STUDIES,
    TUNED,
    compare_on_lives,
    compare_on_problem,
)
from qrgmm.studies.qrgmm_paper import PROBLEMS, TREATMENTS, accuracy

SMALL = {"n_rows": 300, "n_test": 300, "m": 10, "n_draws": 200, "n_points": 10, "n_law": 20}
NETWORKS = [*PUBLISHED, *TUNED]


def table(rows):
    found = {(model, test, metric): value for model, test, metric, _, value in rows}
    assert len(found) == len(rows), "no row comes twice"
    assert np.isfinite(list(found.values())).all()
    return found


class Known(BaseEstimator):
    """What stands in for a generator: the law of test problem 1, or the number 0, as the truth that is passed says."""

    def __init__(self, truth=None, n_draws=1, n_epochs=1, random_state=0):
        self.truth, self.n_draws, self.n_epochs, self.random_state = truth, n_draws, n_epochs, random_state

    def fit(self, X, y):
        return self

    def sample(self, X, n_draws, rng):
        if self.truth is None:
            return np.zeros((len(X), n_draws))
        return self.truth.draw(np.repeat(X, n_draws, axis=0), rng).reshape(len(X), n_draws)

    def predict_curve(self, X):
        levels = np.arange(1, 500) / 500
        return QuantileCurve(levels, self.truth.ppf(X, levels))

    def predict(self, X):
        return np.zeros(len(X))


@pytest.fixture
def only(monkeypatch):
    """Let a study compare QRGMM with one model alone."""

    def replace(model):
        monkeypatch.setattr(generator_studies, "PUBLISHED", {})
        monkeypatch.setattr(generator_studies, "TUNED", {"known": model})

    return replace


def test_networks_are_trained_in_full_at_the_paper_size():
    for study in STUDIES.values():
        assert set(study.sizes) == {"tiny", "paper"} and "n_epochs" not in study.sizes["paper"]


def test_generators_have_the_published_settings_and_the_tuned_ones():
    published = {"cwgan": CWGAN_SETTINGS, "diffusion": DIFFUSION_SETTINGS, "rectified_flow": FLOW_SETTINGS}
    for name, settings in published.items():
        found = PUBLISHED[f"{name}_paper"].get_params()
        assert {key: found[key] for key in settings["paper"]} == settings["paper"]
        assert TUNED[name].get_params() == type(PUBLISHED[f"{name}_paper"])(**settings["tuned"]).get_params()
    assert PUBLISHED["cwgan_paper"].batch_size == 4096 and PUBLISHED["cwgan_paper"].n_epochs == 1000


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_model_has_every_row_on_the_data_of_the_test_problem(problem):
    setting = SMALL | {"n_epochs": 1}
    found = table(compare_on_problem(problem, np.random.default_rng(0), **setting))
    moments, distances = ("mean", "sd", "wd", "ks"), ("wd", "ks")
    tests = {"unconditional": moments, "conditional": moments, "conditional, many points": distances}
    assert found.keys() == {
        (model, test, metric)
        for test, metrics in tests.items()
        for metric in metrics
        for model in ["qrgmm", *NETWORKS, *(["truth"] if len(metrics) == 4 else [])]
    }
    rest = {key: value for key, value in SMALL.items() if key != "n_law"}
    recorded = table(accuracy(problem, np.random.default_rng(0), **rest))
    for metric in moments:
        assert found["truth", "unconditional", metric] == recorded["truth", "unconditional", metric]


def test_the_true_law_in_the_place_of_a_generator_has_no_distance_but_noise(only):
    only(Known(PROBLEMS["test_problem_1"]))
    found = table(compare_on_problem("test_problem_1", np.random.default_rng(1), **SMALL))
    assert found["known", "conditional, many points", "ks"] < 0.003 < found["qrgmm", "conditional, many points", "ks"]
    assert found["known", "conditional, many points", "wd"] < 0.01 < found["qrgmm", "conditional, many points", "wd"]
    for test in ("unconditional", "conditional"):
        floor = 1.63 * (2 / 200) ** 0.5  # of two samples of 200, at a level of 1 %
        assert found["known", test, "ks"] < floor and found["truth", test, "ks"] < floor


def test_who_always_says_0_ranks_like_a_coin_that_falls_on_aspirin(only):
    only(Known())
    found = table(compare_on_lives(np.random.default_rng(0), **SMALL, zone=0.1))
    patients = TREATMENTS["aspirin"].draw_covariates(10, np.random.default_rng(0))
    aspirin, statin = (TREATMENTS[drug].mean(patients) for drug in ("aspirin", "statin"))
    assert found["known", "10 points", "pcs"] == np.mean(statin - aspirin < 0.1) < 1
    np.testing.assert_allclose(found["known", "10 points", "mean_error"], (aspirin + statin).mean() / 2)
    assert found["truth", "10 points", "pcs"] == 1 and found["truth", "10 points", "mean_error"] == 0
    assert found["known", "conditional", "statin_better"] == 0 and found["known", "conditional", "sd_statin"] == 0


def test_every_model_has_every_row_on_lives():
    found = table(compare_on_lives(np.random.default_rng(0), **SMALL, n_epochs=1))
    scores = {f"{metric}_{drug}" for metric in ("mean", "sd", "wd", "ks") for drug in TREATMENTS}
    tests = {"unconditional": scores, "conditional": scores | {"statin_better"}, "10 points": {"pcs", "mean_error"}}
    models = ["truth", "qrgmm", *NETWORKS]
    assert found.keys() == {(model, test, metric) for test in tests for metric in tests[test] for model in models}
    for model in models:
        effects = [found[model, "conditional", f"mean_{drug}"] for drug in TREATMENTS]
        assert found[model, "conditional", "statin_better"] == (effects[1] > effects[0])
