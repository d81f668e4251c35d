"""The lender's desk: loans against their limits, drivers against moved rows, distances against scipy, the command."""

import re

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
from qrgmm.desk.command import DESK_LEVELS
from qrgmm.desk.decisions import CHAIN_COLUMNS
from qrgmm.desk.memo import write_memo
from qrgmm.desk.panel import panel
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM, bootstrap_curves
from qrgmm.portfolio.copula import EllipticalCopula
from qrgmm.portfolio.loans import loss_measures, portfolio_loss
from qrgmm.risk import default_probability, expected_loss
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
        assert distances[i, rows].max() <= left.min() and (np.diff(distances[i, rows]) >= 0).all()
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
        assert f"Lend up to {row['loan']:,.0f} (over refits {row['loan_low']:,.0f} to" in text, name
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
    return ["sellers.csv", "--history", "history.csv", "--target", "units", "--unit-revenue", "price"]


def test_the_command_writes_what_the_functions_return(files, found, model, past, sellers, capsys, tmp_path):
    desk.main([*files, "--name", "seller", "--max-expected-loss-rate", "0.01", "--refits", "4", "--output", "out"])
    written = pd.read_csv(tmp_path / "out" / "decisions.csv", index_col="seller")
    assert written.index.tolist() == ["Ada", "Ben", "<Cy>"]
    expected = desk.decide(model, *past, sellers, LIMITS, "price", n_refits=4, rng=0).table
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
    desk.main(["sellers.csv", "--refits", "0"])
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
