"""What the studies of dated sellers record is what a lender would count."""

import numpy as np
import pandas as pd
import pytest

from qrgmm.backtest import require_purged, transform_outcomes, uniformity_test
from qrgmm.curve import QuantileCurve
from qrgmm.datasets.panel import seller_panel
from qrgmm.simulators.marketplace import Marketplace
from qrgmm.studies import marketplace
from qrgmm.studies.marketplace import HORIZON, LEVELS, MODELS, PROMISES, backtest_models, compare_splits, score_promises

COLUMNS = ["model", "test", "metric", "x", "value"]


@pytest.fixture(scope="module")
def panel():
    origins = pd.date_range("2017-06-01", "2018-04-01", freq="MS")
    return seller_panel(Marketplace(150).draw(rng=1), origins, HORIZON)


def test_promises_are_among_the_levels():
    assert set(PROMISES) <= set(LEVELS) and (np.diff(LEVELS) > 0).all()


def test_scores_are_counted_by_hand():
    rng = np.random.default_rng(0)
    law = QuantileCurve(np.arange(1, 100) / 100, np.sort(rng.exponential(size=(40, 99))))
    outcome = pd.DataFrame(
        {"seller": np.arange(40) // 2, "revenue": rng.uniform(1, 9, 40), "ratio": law.sample(1, 1)[:, 0]}
    )
    found = pd.DataFrame(score_promises(law, outcome, rng), columns=["metric", "x", "value"]).set_index(["metric", "x"])
    loans = law.ppf(0.2)[:, 0]
    revenue, ratio = outcome["revenue"].to_numpy(), outcome["ratio"].to_numpy()
    by_hand = {
        "promised": 0.2,
        "defaulted": (ratio < loans).mean(),
        "lent": (loans * revenue).sum() / revenue.sum(),
        "lost": ((loans - ratio).clip(0) * revenue).sum() / revenue.sum(),
    }
    for metric, value in by_hand.items():
        assert found.loc[(metric, 0.2), "value"] == pytest.approx(value)
    assert found.loc["crps", "value"].item() == pytest.approx(law.crps(ratio).mean())


def test_places_in_laws_with_atoms_are_uniform():
    rng = np.random.default_rng(5)
    law = QuantileCurve(np.arange(1, 20) / 20, np.tile(np.linspace(1, 5, 19), (4000, 1))).zero_inflate(rng.random(4000))
    places = transform_outcomes(law, law.sample(1, rng)[:, 0], rng)
    assert uniformity_test(places).p_value > 0.01
    with pytest.raises(ValueError, match="y must have a value for each"):
        transform_outcomes(law, [1.0])


def test_no_model_sees_an_outcome_before_it_is_known(panel, monkeypatch):
    seen = []

    def look(name, train, *_):
        seen.append(train)
        return lambda rows: (
            require_purged(train["origin"], rows["origin"], HORIZON) or QuantileCurve([0.5], np.ones((len(rows), 1)))
        )

    monkeypatch.setattr(marketplace, "fit_to_sellers", look)
    rows = pd.DataFrame(backtest_models(lambda: panel, np.random.default_rng(0)), columns=COLUMNS)
    assert len(seen) == len(MODELS) * rows["test"].nunique() and all(train["complete"].all() for train in seen)
    # A random split does what a lender can't: it is caught.
    with pytest.raises(ValueError, match="outcomes to learn from must end by"):
        compare_splits(lambda: panel, np.random.default_rng(0))


def test_new_sellers_are_new(panel, monkeypatch):
    pairs = []

    def look(name, train, *_):
        def law(rows):
            pairs.append((set(train["seller"]), set(rows["seller"])))
            return QuantileCurve([0.5], np.ones((len(rows), 1)))

        return law

    monkeypatch.setattr(marketplace, "fit_to_sellers", look)
    compare_splits(lambda: panel, np.random.default_rng(0), n_sellers=60)
    half = len(pairs) // 2
    assert all(train & test for train, test in pairs[:half]) and not any(train & test for train, test in pairs[half:])
    assert all(len(train | test) == 60 for train, test in pairs)


def test_models_know_covariates_and_only_two_the_seller(panel):
    for name in ("own_past", "two_part"):
        law = marketplace.fit_to_sellers(name, panel, 0, 2)
        other = panel.assign(seller="somebody else", outcome=7.0, ratio=7.0)
        moved = (law(other).ppf(LEVELS) != law(panel).ppf(LEVELS)).any()
        assert moved == (name in marketplace.KNOWS_SELLER)
