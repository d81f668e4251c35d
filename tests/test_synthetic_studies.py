"""The synthetic studies at sizes smaller than tiny: the truth scores best, and rows are complete and comparable."""

from types import SimpleNamespace

import numpy as np
import pytest

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm_network
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.generators import CWGAN_SETTINGS, ConditionalWGAN
from qrgmm.models.metamodel import QRGMM
from qrgmm.simulators.fm_location_scale import FMLocationScale
from qrgmm.studies.synthetic import (
    GENERATORS,
    OWN,
    PEERS,
    STUDIES,
    TAUS,
    Marginal,
    Truth,
    compare_models,
    draw_data,
    fit_copy,
    risk_errors,
    sensitivity,
)

SMALL = {"n_rows": 1650, "n_train": 1500, "n_points": 3, "n_members": 2}  # so many rows know the sellers of both points
SIMULATOR = FMLocationScale()
ERRORS = ("pd_error", "el_error", "lgd_error", "squared_error")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 2)


def table(study, *arguments, seed=0, **setting):
    rows = study(*arguments, np.random.default_rng(seed), **setting)
    found = {(model, test, metric, None if np.isnan(x) else x): value for model, test, metric, x, value in rows}
    assert len(found) == len(rows), "no row comes twice"
    assert np.isfinite(list(found.values())).all()
    return found


def test_every_study_has_its_sizes():
    assert all(set(study.sizes) == {"tiny", "paper"} for study in STUDIES.values())


def test_no_two_models_have_one_label():
    labels = [*OWN, *GENERATORS, *PEERS]
    assert len(set(labels)) == len(labels) and not {"truth", "marginal"} & set(labels)
    assert GENERATORS["cwgan"].get_params() == ConditionalWGAN(**CWGAN_SETTINGS["tuned"]).get_params()


def test_models_are_compared_with_the_truth_in_every_measure():
    setting = SMALL | {"n_draws": 400, "n_loans": 4}
    found = table(compare_models, {"qrgmm_deepfm": OWN["qrgmm_deepfm"]}, **setting)
    models = ("truth", "marginal", "qrgmm_deepfm")
    for test in ("risk, 3 rows", "risk, first point", "risk, second point"):
        for metric in ERRORS:
            values = [found[model, test, metric, None] for model in models]
            assert values[0] == 0 and min(values[1:]) > 0 and max(values) <= 1
    for metric in ("ks", "wd", "crps"):
        truth, marginal, model = (found[model, "test rows", metric, None] for model in ("truth", *models[1:]))
        assert truth < model < marginal
    assert found["truth", "test rows", "ks", None] < 0.004
    for model in models:
        shares = [found[model, "test rows", "coverage", tau] for tau in TAUS]
        assert (np.diff(shares) >= 0).all() and 0 <= min(shares) and max(shares) <= 1
        for metric in ("pd", "el", "squared"):
            for test in ("risk, first point", "risk, second point"):
                values = [found[model, test, metric, share] for share in (0.25, 0.5, 0.75, 1.0)]
                assert (np.diff(values) >= 0).all() and min(values) >= 0
    # Loans go to the 99.9th percentile of true sales.
    assert found["truth", "risk, first point", "pd", 1.0] == pytest.approx(0.999, abs=2e-4)
    # Draws of the truth at a point differ from its other draws as two samples do.
    assert found["truth", "first point", "ks", None] < 1.95 * np.sqrt(2 / 400)
    assert found["marginal", "first point", "ks", None] > 0.3
    other = table(compare_models, {}, seed=1, **setting)
    assert {key for key in found if key[0] == "truth"} == {key for key in other if key[0] == "truth"}


def test_studies_of_other_models_share_the_data_of_a_replication():
    setting = SMALL | {"n_draws": 100, "n_loans": 2}
    first, second = table(compare_models, {}, **setting), table(compare_models, {"qrgmm": QRGMM(levels=4)}, **setting)
    for key, value in first.items():
        assert second[key] == value, key


def test_sensitivity_has_every_number_of_steps_and_every_size():
    setting = {"steps": [4, 20], "sizes": [1200, 1500], "n_draws": 300, "n_members": 2}
    found = table(sensitivity, **setting)
    expected = {
        ("qrgmm_deepfm", f"n = {size}, {where}", "ks", m)
        for size in (1200, 1500)
        for where in ("point", "test rows")
        for m in (4, 20)
    }
    assert expected | {("truth", f"n = {size}, point", "ks", None) for size in (1200, 1500)} == set(found)
    assert all(found[key[0], key[1], "ks", None] < 1.95 / np.sqrt(300) for key in found if key[0] == "truth")
    assert all(0 < value < 1 for value in found.values())


def test_the_curve_of_the_truth_is_the_law_and_its_draws_follow_it():
    X = SIMULATOR.draw_covariates(5, rng=1)
    curve = Truth(SIMULATOR).predict_curve(X, 1000)
    u = (np.arange(100) + 0.5) / 100
    np.testing.assert_allclose(SIMULATOR.cdf(X, curve.ppf(u)), np.tile(u, (5, 1)), atol=1e-3)
    draws = Truth(SIMULATOR).sample(X, 2000, rng=2)
    levels = np.sort(np.stack([SIMULATOR.cdf(X.iloc[[i]], row)[0] for i, row in enumerate(draws)]), axis=1)
    assert np.abs(levels - (np.arange(2000) + 0.5) / 2000).max() < 1.95 / np.sqrt(2000)


def test_the_law_of_all_sales_is_the_same_in_every_row():
    y = np.random.default_rng(0).gamma(4, size=4000)
    model = Marginal().fit(None, y)
    np.testing.assert_allclose(model.predict_curve(np.zeros((2, 3))).ppf(0.5)[:, 0], np.median(y), rtol=0.01)
    assert model.sample(np.zeros((2, 3)), 7, rng=0).shape == (2, 7)


def test_test_rows_have_known_sellers_and_categories_and_follow_the_law():
    X, y, X_test, y_test = draw_data(SIMULATOR, 4000, 300, np.random.default_rng(3), n_known=200)
    assert len(X) == len(y) == 300 and 0 < len(X_test) == len(y_test) < 3700
    assert not set(X_test.index) & set(X.index)
    for field in ("category", "seller"):
        assert set(X_test[field]) <= set(X[field][:200])
    levels = np.sort(SIMULATOR.cdf(X_test, y_test[:, None])[:, 0])
    n = len(levels)
    assert np.abs(levels - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)


def test_a_copy_is_fitted_with_its_own_seed_and_members():
    model = DeepFMQRGMM(levels=4)
    X = SIMULATOR.draw_covariates(60, rng=4)
    y = SIMULATOR.draw(X, rng=5)
    first, second = (fit_copy(model, X, y, np.random.default_rng(seed), n_members=2) for seed in (0, 1))
    assert not hasattr(model, "levels_") and first.n_members == 2 and model.n_members == 10
    assert first.random_state != second.random_state
    assert isinstance(fit_copy(QRGMM(levels=2), X[["x01"]], y, np.random.default_rng(0)), QRGMM)


def test_errors_of_lgd_count_where_more_than_one_loan_in_a_hundred_defaults():
    """Five sales in a hundred are 50 in truth and 10 in the model: losses differ by 40 for loans above 50."""

    def predicting(worst):
        law = QuantileCurve.from_draws([worst] * 5 + [100.0] * 95)
        return SimpleNamespace(predict_curve=lambda X: law)

    truth = predicting(50.0)
    truth.simulator = SimpleNamespace(ppf=lambda X, level: np.array([[100.0]]))
    rows = {metric: value for _, _, metric, _, value in risk_errors("m", "t", predicting(10.0), truth, None)}
    assert rows["lgd_error"] == pytest.approx(40 / 51) and rows["el_error"] == pytest.approx(0.05 * 40 / 50)
