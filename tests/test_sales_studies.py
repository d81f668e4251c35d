"""The studies of real sales at small sizes: rows are complete and comparable, measures tell good from bad."""

import numpy as np
import pandas as pd
import pytest

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm_network
from qrgmm.models.metamodel import QRGMM
from qrgmm.studies import sales as sales_studies
from qrgmm.studies.results import load_results
from qrgmm.studies.sales import (
    BEST,
    CANDIDATES,
    SHARES,
    STUDIES,
    TAUS,
    OfPrice,
    candidate,
    compare_new_products,
    compare_on_split,
    cross_border_table,
    own_models,
    tune,
)

RNG = np.random.default_rng(5)
N_ROWS = 1500


def simulated_table():
    """Sales that are a price times a gamma variable, so that the law is known, with one small store."""
    rng = np.random.default_rng(1)
    price = rng.uniform(10, 50, N_ROWS)
    store = rng.choice(["a", "b", "c"], N_ROWS, p=[0.6, 0.3, 0.1])
    sales = price * rng.gamma(4.0, np.select([store == "a", store == "b"], [1.0, 2.0], 0.2))
    X = pd.DataFrame({"store": store, "Item_MRP": price})
    groups = {"store": pd.Series(store).astype("category").cat.codes, "price band": pd.qcut(price, 4, labels=False)}
    return X, sales, groups | {"price band": pd.Series(groups["price band"])}, None


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 2)


@pytest.fixture(scope="module")
def found():
    models = {"qrgmm": QRGMM(), "qrgmm_units": OfPrice(QRGMM())}
    return as_table(compare_on_split(lambda: models, simulated_table, np.random.default_rng(0)))


def as_table(rows):
    found = {(model, test, metric, None if np.isnan(x) else x): value for model, test, metric, x, value in rows}
    assert len(found) == len(rows), "no row comes twice"
    assert np.isfinite(list(found.values())).all()
    return found


def test_every_study_has_its_sizes():
    assert all(set(study.sizes) == {"tiny", "paper"} for study in STUDIES.values())


def test_every_rival_has_as_many_settings_and_the_best_recorded_one_is_used():
    assert len({len(settings) for _, settings in CANDIDATES.values()}) == 1
    for table, chosen in BEST.items():
        scores = load_results(f"{table}_tuning").groupby(["model", "x"])["value"].mean().unstack()
        assert chosen == scores.idxmin(axis=1).astype(int).to_dict()


def test_a_candidate_has_its_settings_and_knows_what_to_do_with_new_stores():
    for name, (model, settings) in CANDIDATES.items():
        for number, setting in enumerate(settings):
            found = candidate(name, number)
            assert isinstance(found, model) and found.get_params().items() >= setting.items()
            assert found.encoder.unseen == "other"


def test_own_models_leave_those_of_other_studies_alone():
    assert all(model.encoder.unseen == "other" for model in own_models().values())
    assert all(model.encoder is None for model in sales_studies.OWN.values())


def test_a_split_scores_every_model_in_every_measure(found):
    for model in ("marginal", "qrgmm", "qrgmm_units"):
        for metric in ("crps", "pinball_05", "coverage_error", "realised_default", "loan", "loss_rate"):
            assert found[model, "test rows", metric, None] > 0
        assert (np.diff([found[model, "test rows", "coverage", tau] for tau in TAUS]) >= 0).all()
        for metric in ("pd", "el", "squared"):
            assert (np.diff([found[model, "risk", metric, share] for share in SHARES]) >= 0).all()
    assert found["qrgmm", "test rows", "crps", None] < found["marginal", "test rows", "crps", None]
    assert found["truth", "risk, all loans", "pd_error", None] < 0.1


def test_laws_of_units_fit_sales_that_are_units_times_a_price(found):
    crps = {model: found[model, "test rows", "crps", None] for model in ("qrgmm", "qrgmm_units")}
    assert crps["qrgmm_units"] < crps["qrgmm"]
    assert abs(found["qrgmm_units", "test rows", "realised_default", None] - 0.05) < 0.03


def test_an_average_that_is_right_can_hide_a_store_that_is_wrong(found):
    marginal = found["marginal", "test rows", "realised_default", None]
    assert abs(marginal - 0.05) < 0.03
    assert found["marginal", "store", "realised_default", 2] > 0.3
    assert found["marginal", "store", "default_error", None] > 3 * found["qrgmm_units", "store", "default_error", None]


def test_mean_risk_of_rows_is_the_risk_of_their_mixture():
    draws = RNG.gamma(2.0, 10.0, (30, 40))
    loans = np.array([5.0, 20.0, 60.0])
    rows = sales_studies.mean_risk(QuantileCurve.from_draws(draws), loans)
    mixture = sales_studies.mean_risk(QuantileCurve.from_draws(draws.reshape(1, -1)), loans)
    for name in rows:
        np.testing.assert_allclose(rows[name], mixture[name], rtol=1e-10)


def test_the_loss_of_lending_is_counted_in_money():
    curve = QuantileCurve.from_draws(np.tile(np.arange(1.0, 101), (2, 1)))
    outcome = sales_studies.lend(curve, np.array([1.0, 50.0]))
    loan = outcome["loan"]
    assert outcome["realised_default"] == 0.5 and 4 <= loan <= 6
    np.testing.assert_allclose(outcome["loss_rate"], (loan - 1) / (2 * loan))


def test_a_law_of_sales_by_units_is_that_of_units_times_the_price():
    X, sales, _, _ = simulated_table()
    by_hand = QRGMM(levels=10).fit(X, sales / X["Item_MRP"]).predict_curve(X[:5])
    curve = OfPrice(QRGMM(levels=10)).fit(X, sales).predict_curve(X[:5])
    np.testing.assert_allclose(curve.values, by_hand.values * X["Item_MRP"].to_numpy()[:5, None])


def test_new_products_are_really_new(monkeypatch):
    X, sales, groups, _ = simulated_table()
    products = pd.Series([f"item {i // 5}" for i in range(N_ROWS)], name="Item_Identifier")
    monkeypatch.setattr(sales_studies, "big_mart_table", lambda: (X, sales, groups, None))
    monkeypatch.setattr(sales_studies, "load_big_mart", lambda: pd.DataFrame({"Item_Identifier": products}))
    in_training, also_in_test = [], []

    def fit(model, rows, y, rng, n_members):
        in_training.append(set(products[rows.index]))
        return QRGMM(levels=4).fit(rows[["Item_MRP"]], y)

    def predict(model, rows):
        also_in_test.append(in_training[-1] & set(products[rows.index]))
        return model.predict_curve(rows[["Item_MRP"]])

    monkeypatch.setattr(sales_studies, "fit_copy", fit)
    monkeypatch.setattr(sales_studies, "predict_quietly", predict)
    found = as_table(compare_new_products(np.random.default_rng(0), n_members=2))
    assert len(found) == 2 * 2 * 2 * 4
    assert all(also_in_test[:4]) and not any(also_in_test[4:])


class Spy(QRGMM):
    """QRGMM that writes down which rows it is fitted to and asked about."""

    fitted, asked = [], []

    def fit(self, X, y):
        self.fitted.append(set(X.index))
        return super().fit(X[["Item_MRP"]], y)

    def predict_curve(self, X):
        self.asked.append(set(X.index))
        return super().predict_curve(X[["Item_MRP"]])


def test_tuning_never_sees_the_test_rows_of_the_split(monkeypatch):
    monkeypatch.setattr(Spy, "fitted", [])
    monkeypatch.setattr(Spy, "asked", [])
    monkeypatch.setattr(sales_studies, "CANDIDATES", {"spy": (Spy, [{"levels": 4}, {"levels": 20}])})
    monkeypatch.setattr(sales_studies, "candidate", lambda name, number: Spy(levels=[4, 20][number]))
    found = as_table(tune(["spy"], simulated_table, np.random.default_rng(0)))
    assert set(found) == {("spy", "held-out rows", "crps", number) for number in (0, 1)}
    compare_on_split(lambda: {"spy": Spy(levels=4)}, simulated_table, np.random.default_rng(0))
    (*tuned, train), (*held_out, test) = Spy.fitted, Spy.asked
    assert train | test == set(range(N_ROWS)) and not train & test
    for rows, others in zip(tuned, held_out):
        assert rows | others == train and not rows & others


def test_the_stand_in_has_the_published_dimensions_and_one_draw_of_its_law():
    X, sales, groups, simulator = cross_border_table()
    assert X.shape == (3495, 11) and sales.shape == (3495,) and (sales >= 0).all()
    u = simulator.cdf(X, sales[:, None])[:, 0]
    assert abs(u.mean() - 0.5) < 0.02 and len(groups["selection team"]) == 3495
