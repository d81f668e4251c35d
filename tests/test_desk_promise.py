"""What the desk promises: sales left out, cautious loans, concentration, what a seller can change."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from qrgmm import desk
from qrgmm.backtest import clustered_error
from qrgmm.curve import QuantileCurve
from qrgmm.desk.card import hash_model
from qrgmm.desk.decisions import _check_first_level
from qrgmm.desk.promise import describe_promise, observe_defaults
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import left_out_laws, left_out_levels
from qrgmm.models.two_part import TwoPart
from qrgmm.recalibration import level_for_all_rows, recalibrated_level
from qrgmm.risk import largest_loan
from qrgmm.studies.promise import draw_well_specified

GRID = np.r_[1:10, 10:40:5] / 100
LIMIT = {"max_default_probability": 0.1}
N_SAMPLES = 25


@pytest.fixture(scope="module")
def past():
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"ads": rng.uniform(0, 4, 120), "kind": rng.choice(["kiosk", "shop"], 120)})
    return X, 20 + 10 * X["ads"] + 15 * (X["kind"] == "shop") + rng.gamma(3, 4, 120)


@pytest.fixture(scope="module")
def sellers():
    return pd.DataFrame({"ads": [1.0, 3.9, 2.0], "kind": ["kiosk", "shop", "shop"]}, ["Ada", "Ben", "Cy"])


@pytest.fixture(scope="module")
def model(past):
    return QRGMM(GRID, FieldEncoder()).fit(*past)


# The promise.


def test_a_promise_is_that_of_refits_by_hand(past):
    X, sales = past
    found = desk.promise_left_out(QRGMM(GRID, FieldEncoder()), X, sales, 0.1, 5, rng=3)
    levels = left_out_levels(QRGMM(GRID, FieldEncoder()), X, sales, 5, rng=3)
    np.testing.assert_allclose(found.outcome_levels, levels, atol=1e-12)
    assert found.level == min(level_for_all_rows(levels, 0.1, 5), 0.1)
    # By loans and sales instead of levels: sized in each refit, at the promise and at the level of the other folds.
    at_promise, cautious = np.zeros(120, dtype=bool), np.zeros(120, dtype=bool)
    for rows, law in left_out_laws(QRGMM(GRID, FieldEncoder()), X, sales, 5, rng=3):
        others = recalibrated_level(np.delete(levels, rows), 0.1)
        for level, hits in ((0.1, at_promise), (min(others, 0.1), cautious)):
            hits[rows] = sales.iloc[rows] < largest_loan(law, max_default_probability=level) * (1 - 1e-12)
    for kind, hits in (("plug-in", at_promise), ("cautious", cautious)):
        seen = found.kept.loc[kind]
        assert seen["n"] == 120 and seen["observed"] == pytest.approx(hits.mean())
        assert seen["error"] == pytest.approx(clustered_error(hits)[0])


def test_sellers_are_left_out_whole_and_errors_clustered(past):
    X, sales = past
    groups = np.repeat(np.arange(30), 4)
    found = desk.promise_left_out(QRGMM(GRID, FieldEncoder()), X, sales, 0.1, 6, groups, rng=0)
    levels = left_out_levels(QRGMM(GRID, FieldEncoder()), X, sales, 6, groups, rng=0)
    np.testing.assert_allclose(found.outcome_levels, levels, atol=1e-12)
    assert found.kept.loc["plug-in", "error"] == pytest.approx(clustered_error(levels < 0.1, groups)[0])
    assert "of 30 sellers" in found.basis


def test_cautious_loans_keep_a_promise_that_others_break():
    """The true probability of default, averaged over samples: the law is linear, and fitted to a hundred rows."""
    rng, shares = np.random.default_rng(8), []
    for _ in range(N_SAMPLES):
        sales = draw_well_specified(100, rng)
        X, new = (pd.DataFrame(each).add_prefix("x") for each in (sales.X, sales.X_new[:100]))
        model = QRGMM(np.r_[1:10, 10:20:5] / 100)
        promise = desk.promise_left_out(model, X, sales.y, 0.1, rng=rng)
        curve = model.fit(X, sales.y).predict_curve(new)
        loans = [largest_loan(curve, max_default_probability=0.1), desk.cautious_loans(curve, promise.level)]
        shares.append([sales.defaults(np.resize(each, 500))[:100].mean() for each in loans])
    (plug_in, cautious), errors = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(N_SAMPLES)
    assert plug_in > 0.1 + 2 * errors[0] and cautious < 0.1 + 2 * errors[1]


def test_too_few_sales_promise_nothing(past):
    X, sales = past
    found = desk.promise_left_out(QRGMM([0.1, 0.5]), X[["ads"]][:8], sales[:8], 0.1)
    assert found.level == 0 and found.kept["observed"].isna().all()
    assert "8 past sales are too few to promise 10%, which takes at least 9" in describe_promise(found)[0]
    curve = QuantileCurve([0.1, 0.5], [[10.0, 20.0]])
    assert desk.cautious_loans(curve, found.level, **LIMIT).tolist() == [0.0]
    # With one more a promise can be made, by leaving out row by row.
    nine = desk.promise_left_out(QRGMM([0.1, 0.5]), X[["ads"]][:9], sales[:9], 0.1)
    assert len(nine.outcome_levels) == 9


def test_a_level_below_the_grid_sizes_at_the_lowest_quantile_and_says_so():
    curve = QuantileCurve([0.1, 0.5], [[10.0, 20.0]])
    np.testing.assert_array_equal(desk.cautious_loans(curve, 0.04, 3.0, **LIMIT), [30.0])
    kept = pd.DataFrame({"n": 50, "observed": [0.2, 0.1], "error": 0.05}, ["plug-in", "cautious"])
    promise = desk.Promise(0.1, 0.04, np.full(50, 0.3), kept, "50 past sales")
    assert "below the first level of the forecasts, 10%" in describe_promise(promise, 0.1)[-1]
    assert len(describe_promise(promise, 0.02)) == 2


def test_who_would_have_had_no_loan_has_not_defaulted():
    at, stops = np.array([0.05, 0.3, 0.02, 0.5]), np.array([0.0, 0.3, 0.0, 0.1])
    seen = observe_defaults(at, stops, np.full(4, 0.2), np.arange(4))
    assert seen["n"] == 3 and seen["observed"] == pytest.approx(2 / 3)
    assert observe_defaults(at, stops, np.zeros(4), np.arange(4))["n"] == 0


@settings(max_examples=40)
@given(st.floats(0, 1), st.floats(0.01, 0.9), st.lists(st.floats(0, 50), min_size=4, max_size=4).map(sorted))
def test_a_cautious_loan_is_never_above_the_other_one(level, limit, values):
    curve = QuantileCurve([0.1, 0.3, 0.4, 0.8], values)
    limits = {"max_default_probability": limit, "max_expected_loss_rate": 0.2, "cap": 30.0}
    assert desk.cautious_loans(curve, level, 2.0, **limits) <= largest_loan(curve, unit_revenue=2.0, **limits)


def test_decisions_lend_the_cautious_amount_and_follow_it(model, past, sellers):
    found = desk.decide(model, *past, sellers, LIMIT, 2.0, n_refits=0, rng=0)
    table, promise = found.table, found.promise
    exact = largest_loan(found.curve, max_default_probability=promise.level, unit_revenue=2.0)
    assert 0 < promise.level < 0.1
    np.testing.assert_allclose(table["cautious_loan"], exact)
    np.testing.assert_allclose(table["amount"], exact)
    np.testing.assert_allclose(table["default_probability"], 0.1)
    place = desk.place_in_portfolio(found.curve, exact, 0.3, 200_000, 1, unit_revenue=2.0)
    np.testing.assert_allclose(table["cvar_alone"], place["cvar_alone"])
    np.testing.assert_allclose(table["cvar_part"].sum(), place["cvar_part"].sum(), rtol=0.1)
    rows = np.asarray(past[1])[found.comparables]
    np.testing.assert_allclose(table["comparable_share_at_amount"], (2.0 * rows < exact[:, None] - 1e-9).mean(axis=1))
    without = desk.decide(model, *past, sellers, LIMIT, 2.0, n_refits=0, n_folds=0, rng=0)
    assert "cautious_loan" not in without.table and without.promise is None
    np.testing.assert_allclose(without.table["amount"], table["loan"])
    nothing = desk.decide(model, *past, sellers, {"cap": 9.0}, 2.0, n_refits=0, rng=0)
    assert nothing.promise is None and (nothing.table["amount"] == 9.0).all()


def test_refits_draw_whole_sellers(model, past, sellers):
    groups = np.repeat(np.arange(12), 10)
    found = desk.decide(model, *past, sellers, LIMIT, n_refits=3, n_folds=0, rng=5, groups=groups)
    rng = np.random.default_rng(5)
    for refit in found.refits:
        again = desk.decisions.bootstrap_curves(model, *past, sellers, 1, rng, groups)[0]
        np.testing.assert_allclose(refit.values, again.values)


@pytest.mark.parametrize("kind", ["two_part", "deepfm"])
def test_other_models_decide_as_well(past, sellers, kind):
    X, sales = past
    sales = sales.where(np.random.default_rng(2).random(len(sales)) > 0.05, 0.0)
    encoder = FieldEncoder()
    model = {
        "two_part": TwoPart(QRGMM(GRID, encoder), encoder=encoder),
        "deepfm": DeepFMQRGMM(levels=GRID, n_members=2, kinds="stiff", encoder=encoder),
    }[kind].fit(X, sales)
    found = desk.decide(model, X, sales, sellers, LIMIT, n_refits=2, n_folds=3, n_comparable=20, rng=0, reach=["kind"])
    exact = largest_loan(model.predict_curve(sellers).clip(lower=0.0), **LIMIT)
    np.testing.assert_allclose(found.table["loan"], exact)
    assert found.table["amount"].between(0, exact).all() and found.promise.kept["n"].iloc[0] == 120
    with pytest.raises(ValueError, match="column 'kind' has 'stall', which no past seller has"):
        desk.decide(model, X, sales, sellers.assign(kind="stall"), LIMIT, n_refits=0, n_folds=0)


def test_an_atom_on_zero_is_no_first_level():
    law = QuantileCurve([0.02, 0.5], [[5.0, 9.0]] * 2)
    curve = law.zero_inflate([0.7, 1.0])
    assert _check_first_level(curve, {"max_default_probability": 0.05}) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="max_default_probability 0.01 lies below the first level"):
        _check_first_level(curve, {"max_default_probability": 0.01})


# Concentration.

amounts = st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12)


@given(amounts, st.floats(0.05, 1))
def test_no_value_holds_more_than_its_share_and_nothing_more_is_given_up(rows, share):
    loans, first, _ = (np.array(column, dtype=float) for column in zip(*rows))
    limited = desk.limit_shares(loans, pd.DataFrame({"kind": first}), {"kind": share})
    held, total = pd.Series(limited).groupby(first).sum(), limited.sum()
    assert (limited <= loans * (1 + 1e-12)).all() and (held <= share * total * (1 + 1e-9)).all()
    # The largest total of all loans by value that keep the limit, by a linear programme.
    each = pd.Series(loans).groupby(first).sum().to_numpy()
    scale = max(each.max(), 1e-300)
    rules = np.eye(len(each)) - share
    best = linprog(-np.ones(len(each)), rules, np.zeros(len(each)), bounds=[(0, top / scale) for top in each])
    assert total / scale == pytest.approx(-best.fun, abs=1e-6)
    if (each <= share * each.sum()).all():
        np.testing.assert_allclose(limited, loans)


@settings(max_examples=50)
@given(amounts, st.floats(0.3, 1), st.floats(0.4, 1))
def test_two_limits_hold_together(rows, one, two):
    loans, first, second = (np.array(column, dtype=float) for column in zip(*rows))
    frame = pd.DataFrame({"kind": first, "town": second})
    limited = desk.limit_shares(loans, frame, {"kind": one, "town": two})
    for name, share in (("kind", one), ("town", two)):
        assert (pd.Series(limited).groupby(frame[name]).sum() <= share * limited.sum() * (1 + 1e-6)).all()
    assert (limited <= loans * (1 + 1e-12)).all()


def test_shares_in_closed_form():
    kinds = pd.DataFrame({"kind": list("aabc")})
    # 80, 15 and 10: of two above a third each third is 10.
    np.testing.assert_allclose(desk.limit_shares([60, 20, 15, 10], kinds, {"kind": 1 / 3}), [7.5, 2.5, 10, 10])
    np.testing.assert_allclose(desk.limit_shares([60, 20, 15, 10], kinds, {"kind": 0.5}), [18.75, 6.25, 15, 10])
    assert desk.limit_shares([60, 20, 0, 0], kinds, {"kind": 0.5}).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "loans, shares, message",
    [
        ([1, 2], {"kind": 0.5}, "one for each of 4 sellers, got 2"),
        ([1, 2, 3, -4], {"kind": 0.5}, "loans must be at least 0"),
        ([1, 2, 3, 4], {"town": 0.5}, "max_shares must name columns of sellers without missing values, got 'town'"),
        ([1, 2, 3, 4], {"kind": 0.0}, r"max_shares must lie in \(0, 1\], got 0.0 for 'kind'"),
    ],
)
def test_shares_that_cannot_be_meant_are_refused(loans, shares, message):
    with pytest.raises(ValueError, match=message):
        desk.limit_shares(loans, pd.DataFrame({"kind": list("aabc")}), shares)


def test_decisions_keep_shares_and_say_so(model, past, sellers):
    found = desk.decide(model, *past, sellers, LIMIT, n_refits=0, n_folds=0, rng=0, max_shares={"kind": 0.6})
    shop, kiosk = found.table["amount"][["Ben", "Cy"]].sum(), found.table["amount"]["Ada"]
    assert shop / (shop + kiosk) == pytest.approx(0.6) and kiosk == found.table["loan"]["Ada"]
    assert "No value of kind holds more than 60% of what is lent: shop holds the most, 60%." in found.notes
    assert "Loans scaled down for that: 2, from" in found.notes[-1]


# What a seller can change.


def test_the_least_change_of_a_number_is_the_root_of_a_line():
    """A loan that is a line in the number: the change is known."""
    history = pd.DataFrame({"ads": np.linspace(0, 10, 201), "price": 1.0})
    sellers = pd.DataFrame({"ads": [1.0, 5.0, 9.45, -3.0, 20.0], "price": 1.0})
    found = desk.least_changes(None, sellers, history, ["ads"], lambda rows, which: (40 + 10 * rows["ads"]).to_numpy())
    expected = np.array([1.5, 5.9, np.nan, 0.5, np.nan])  # from 50, 90, 134.5, 10 and 240 to a tenth more
    np.testing.assert_allclose(found["reach_ads"], expected, rtol=1e-9)
    np.testing.assert_allclose(found["reach_ads_loan"], 40 + 10 * expected, rtol=1e-9)


def test_the_least_change_may_go_down_and_to_a_loan_from_none():
    history, sellers = pd.DataFrame({"price": np.linspace(0, 10, 201)}), pd.DataFrame({"price": [8.0, 9.0]})
    found = desk.least_changes(
        None, sellers, history, ["price"], lambda rows, which: (85 - 10 * rows["price"]).clip(0).to_numpy()
    )
    np.testing.assert_allclose(found["reach_price"], [7.95, 8.5], rtol=1e-9)  # from 5 to 5.5, and from nothing


def test_changes_agree_with_a_fine_search(model, past, sellers):
    X, sales = past
    found = desk.decide(model, X, sales, sellers, LIMIT, 3.0, n_refits=0, rng=0, reach=["ads", "kind"])
    low, high = X["ads"].quantile([0.05, 0.95])
    places = np.linspace(low, high, 20_001)

    def lend(rows):
        return desk.cautious_loans(model.predict_curve(rows), found.promise.level, 3.0, **LIMIT)

    for name, row in sellers.iterrows():
        loans = lend(pd.DataFrame({"ads": places, "kind": row["kind"]}))
        enough = places[loans >= 1.1 * found.table.loc[name, "amount"]]
        nearest = enough[np.argmin(np.abs(enough - row["ads"]))] if len(enough) else np.nan
        assert found.table.loc[name, "reach_ads"] == pytest.approx(nearest, abs=2e-4, nan_ok=True)
    as_shop = lend(sellers.assign(kind="shop"))
    assert found.table["reach_kind"]["Ada"] == "shop" and found.table["reach_kind"][["Ben", "Cy"]].isna().all()
    assert found.table.loc["Ada", "reach_kind_loan"] == pytest.approx(as_shop[0])
    with pytest.raises(ValueError, match="reach must name covariates, .*got \\['town'\\]"):
        desk.decide(model, X, sales, sellers, LIMIT, n_refits=0, n_folds=0, reach=["town"])


def test_revenue_moves_with_the_price_that_it_is(past):
    X = past[0].rename(columns={"ads": "price"}).assign(price=lambda t: t["price"] + 1)
    model = QRGMM(GRID, FieldEncoder()).fit(X, past[1])
    new = X.head(3)
    found = desk.decide(model, X, past[1], new, LIMIT, "price", n_refits=0, n_folds=0, reach=["price"])
    moved = new.assign(price=found.table["reach_price"])
    known = moved["price"].notna()
    loans = largest_loan(model.predict_curve(moved[known]), unit_revenue=moved["price"][known], **LIMIT)
    np.testing.assert_allclose(loans, found.table["reach_price_loan"][known])
    np.testing.assert_allclose(loans, 1.1 * found.table["loan"][known], rtol=1e-6)


# Hashes.


def test_a_hash_follows_what_was_learned(model, past, tmp_path):
    X, sales = past
    model.save(tmp_path / "model")
    assert hash_model(QRGMM.load(tmp_path / "model")) == hash_model(model) != hash_model(QRGMM(GRID).fit(X, sales + 1))
    network = DeepFMQRGMM(levels=[0.1, 0.5], n_members=2, kinds="stiff").fit(X, sales)
    network.save(tmp_path / "network")
    assert hash_model(DeepFMQRGMM.load(tmp_path / "network")) == hash_model(network)
    parts = TwoPart(QRGMM(GRID)).fit(X, sales * (X["ads"] > 0.5))
    other = TwoPart(QRGMM(GRID)).fit(X, sales * (X["ads"] > 0.6))
    assert hash_model(parts) != hash_model(other)
