"""The vintage report: numbers against hand computation, lights against their stated rates, bad files."""

import os
import re
import runpy
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr, ndtri

from qrgmm import desk
from qrgmm.backtest import hosmer_lemeshow_test, traffic_light
from qrgmm.portfolio import vintage_share
from qrgmm.recalibration import recalibrated_level
from qrgmm.risk import default_probability, expected_loss

LEVELS = {"q01": 0.01, "q05": 0.05, "q10": 0.1, "q20": 0.2, "q50": 0.5}


def decided(n, vintage="May", loan=50.0, promised=0.05, expected=0.5):
    table = {"seller": [f"s{i}" for i in range(n)], "vintage": vintage, "loan": loan, "default_probability": promised}
    return pd.DataFrame(table | {"expected_loss": expected})


def came(n, n_defaults, **columns):
    revenue = np.where(np.arange(n) < n_defaults, 40.0, 90.0)
    return pd.DataFrame({"seller": [f"s{i}" for i in range(n)], "revenue": revenue} | columns)


def report(decisions, outcomes, promise=None, **options):
    return desk.report_vintages(desk.settle_loans(decisions, outcomes, promise), **options)


def simulate(rng, n, share, loading=0.0, n_vintages=1):
    """Loans of several vintages of which a share defaults, and whose normal scores load on a factor of the vintage."""
    factor = np.repeat(rng.normal(size=n_vintages), n)
    scores = loading * factor + np.sqrt(1 - loading**2) * rng.normal(size=n * n_vintages)
    vintages = np.repeat([f"v{k}" for k in range(n_vintages)], n)
    decisions = decided(n * n_vintages, vintages)
    return decisions, came(n * n_vintages, 0).assign(revenue=np.where(scores < ndtri(share), 40.0, 90.0))


# Numbers.


def test_numbers_are_those_of_hand_computation():
    found = report(decided(200, loan=50.0), came(200, 16))
    row = found.vintages.loc["May"]
    assert row[["n", "n_judged", "lent", "defaults", "waiting"]].tolist() == [200, 200, 10_000.0, 16, 0]
    np.testing.assert_allclose(
        row[["promised", "observed", "expected_loss", "loss", "lost_in_all"]].astype(float),
        [0.05, 0.08, 100.0, 160.0, 160.0],
    )
    assert row["error"] == pytest.approx(np.sqrt(0.05 * 0.95 / 200))
    assert row["p_value"] == pytest.approx(stats.binom.sf(15, 200, 0.05))
    assert row["light"] == traffic_light(16, 200, 0.05).item() == "yellow" and row["light_together"] == "green"
    assert found.verdict == "in doubt"
    # 16 loans lose 10 each, where 0.5 is expected of all: the mean of 200 such differences.
    assert row["loss_error"] == pytest.approx(200 * np.std(np.r_[[9.5] * 16, [-0.5] * 184], ddof=1) / np.sqrt(200))


@pytest.mark.parametrize("probability, loading, n", [(0.05, 0.3, 300), (0.2, 0.15, 40), (0.01, 0.0, 500)])
def test_the_law_of_defaults_is_that_of_the_portfolio_room_and_of_draws(probability, loading, n):
    law = desk.default_count_law(probability, loading, n)
    assert law.sum() == pytest.approx(1) and law @ np.arange(n + 1) == pytest.approx(n * probability)
    levels = [0.05, 0.5, 0.95]
    mine = np.searchsorted(np.cumsum(law), levels) / n
    np.testing.assert_allclose(mine, vintage_share(probability, loading, levels, n), atol=1.5 / n)
    if loading == 0:
        np.testing.assert_allclose(law, stats.binom.pmf(np.arange(n + 1), n, probability), atol=1e-12)
    rng = np.random.default_rng(0)
    given_factor = ndtr((ndtri(probability) + loading * rng.normal(size=100_000)) / np.sqrt(1 - loading**2))
    counts = rng.binomial(n, given_factor)
    k = int(n * probability * 1.5)
    assert law[k:].sum() == pytest.approx((counts >= k).mean(), abs=4 * np.sqrt(0.25 / 100_000))


def test_the_tail_of_the_law_reaches_to_red():
    """Of many loans the law is Vasicek's, also where one vintage in ten thousand lies."""
    up_to = np.cumsum(desk.default_count_law(0.05, 0.3, 4000))
    for level in (0.001, 0.999, 0.9999):
        exact = vintage_share(0.05, 0.3, [level])[0]
        assert np.searchsorted(up_to, level) / 4000 == pytest.approx(exact, abs=0.006)


def test_several_vintages_add_up_and_are_independent():
    decisions = pd.concat([decided(100, "a"), decided(60, "b", promised=0.1)], ignore_index=True)
    outcomes = pd.concat([came(100, 7).assign(vintage="a"), came(60, 3).assign(vintage="b")])
    found = report(decisions, outcomes)
    assert found.vintages.index.tolist() == ["a", "b", "all"]
    assert found.vintages["defaults"].tolist() == [7, 3, 10] and found.vintages["n"].tolist() == [100, 60, 160]
    row = found.vintages.loc["all"]
    assert row["promised"] == pytest.approx((5 + 6) / 160)
    variances = (found.vintages["error_together"] * found.vintages["n_judged"]) ** 2
    assert variances["all"] == pytest.approx(variances["a"] + variances["b"])
    rng = np.random.default_rng(1)
    given_factor = [ndtr((ndtri(p) + 0.3 * rng.normal(size=200_000)) / np.sqrt(0.91)) for p in (0.05, 0.1)]
    total = rng.binomial(100, given_factor[0]) + rng.binomial(60, given_factor[1])
    assert row["p_together"] == pytest.approx((total >= 10).mean(), abs=0.005)
    assert found.clustered["difference"] == pytest.approx(10 / 160 - 11 / 160)
    # Two vintages, clustered: the deviations of their sums from those of the mean.
    sums = np.array([7 - 5, 3 - 6]) - np.array([100, 60]) * found.clustered["difference"]
    assert found.clustered["error"] >= np.sqrt(2 * (sums @ sums)) / 160 - 1e-12


def test_grades_are_those_of_hosmer_and_lemeshow():
    decisions = decided(300, promised=np.repeat([0.02, 0.05, 0.2], 100))
    outcomes = came(300, 0).assign(revenue=np.where(np.arange(300) % 100 < np.repeat([2, 9, 20], 100), 40.0, 90.0))
    found = report(decisions, outcomes)
    assert found.grades.index.tolist() == ["2.00%", "5.00%", "20.00%"]
    np.testing.assert_allclose(found.grades["observed"], [0.02, 0.09, 0.2])
    assert found.grade_test.statistic == pytest.approx(16 / (100 * 0.05 * 0.95))
    spread = decided(300, promised=np.linspace(0.01, 0.3, 300))
    many = report(spread, outcomes, n_grades=4)
    assert many.grades["n"].tolist() == [75] * 4
    expected = hosmer_lemeshow_test(spread["default_probability"], outcomes["revenue"] < 50, 4)
    assert many.grade_test == pytest.approx(expected)
    assert report(decided(50), came(50, 3)).grade_test is None


def test_the_cost_against_hindsight_is_that_of_the_backtest():
    row = report(decided(10), came(10, 2), promise=0.2, margin=0.1).vintages.loc["May"]
    assert row["lost_beyond"] == pytest.approx(2 * 0.9 * 10) and row["forgone"] == pytest.approx(8 * 0.1 * 40)
    assert row["cost"] == pytest.approx(18 + 32)


def test_a_loan_that_is_met_exactly_up_to_the_last_digit_is_repaid():
    decisions, outcomes = decided(3, loan=66.666667), came(3, 0).assign(revenue=[200 / 3, 66.6666, 66.67])
    settled = desk.settle_loans(decisions, outcomes)
    assert settled.loans["defaulted"].tolist() == [False, True, False]


# Lights.


@pytest.mark.parametrize("loading", [0.0, 0.3])
def test_a_kept_promise_is_green_at_the_stated_rate(loading):
    rng, green, shared, rate = np.random.default_rng(2), 0, 0, 0.0
    for _ in range(200):
        row = report(*simulate(rng, 150, 0.05, loading)).vintages.iloc[-1]
        green, shared = green + (row["light"] == "green"), shared + (row["light_together"] == "green")
        rate = row["green_rate_shared" if loading else "green_rate"]
    assert abs(green / 200 - rate) < 3 * np.sqrt(rate * (1 - rate) / 200)
    assert shared / 200 > 0.9  # at a rate of some 95 % where the loading is right


def test_a_broken_promise_is_red_and_a_recalibrated_one_is_not():
    rng = np.random.default_rng(3)
    found = report(*simulate(rng, 300, 0.25))
    assert found.vintages["light"].item() == "red" and found.verdict == "broken"
    found = report(*simulate(rng, 200, 0.15, 0.3, n_vintages=8))
    assert found.vintages.loc["all", "light"] == "red" and found.verdict == "broken"
    assert report(*simulate(rng, 300, 0.05)).verdict == "kept"


def test_too_few_loans_tell_nothing():
    for n_defaults in (0, 1):
        found = report(decided(3), came(3, n_defaults))
        assert found.verdict == "too few" and found.vintages["light"].item() == "too few"


def test_no_more_defaults_than_promised_are_green_whatever_the_loading():
    found = report(decided(100, promised=0.01), came(100, 0), loading=0.99)
    assert found.vintages["light_together"].item() == "green" and found.verdict == "kept"


# What can't be said, and what was lent instead.


def test_missing_outcomes_are_counted_and_sellers_in_one_file_are_named():
    outcomes = pd.concat([came(40, 3).iloc[2:], pd.DataFrame({"seller": ["Zoe"], "revenue": [7.0]})])
    outcomes.loc[outcomes["seller"].isin(["s4", "s5"]), "revenue"] = np.nan
    found = report(decided(40), outcomes, promise=0.1)
    row = found.vintages.loc["May"]
    assert row["n"] == 36 and row["waiting"] == 2 and row["defaults"] == 1
    assert row["promised"] == pytest.approx(0.1)
    assert found.settled.only_decided == ["s0", "s1"] and found.settled.only_settled == ["Zoe"]
    text = " ".join(desk.count_sellers(found))
    assert "2 loans are not over" in text and "'s0', 's1'" in text and "'Zoe'" in text


def test_overrides_are_judged_against_the_desks_own_amounts():
    decisions = decided(6, loan=[50.0, 50.0, 50.0, 0.0, 50.0, 0.0], promised=[0.1, 0.1, 0.1, np.nan, 0.1, np.nan])
    outcomes = came(6, 0).assign(revenue=[60.0, 60.0, 45.0, 5.0, 40.0, 9.0], granted=[50.2, 80.0, 30.0, 20.0, 0.0, 0.0])
    settled = desk.settle_loans(decisions, outcomes)
    as_said, more, less, none, refused = (desk.settled.GROUPS[i] for i in (0, 2, 3, 4, 5))
    assert settled.loans["group"].tolist() == [as_said, more, less, none, refused] and settled.refused == 1
    table = desk.report_vintages(settled, n_grades=1).overrides
    assert table.loc[more, ["defaults", "loss", "desk_defaults", "desk_loss"]].tolist() == [1, 20.0, 0, 0.0]
    assert table.loc[less, ["defaults", "loss", "desk_defaults", "desk_loss"]].tolist() == [0, 0.0, 1, 5.0]
    assert table.loc[none, ["defaults", "loss", "desk_lends"]].tolist() == [1, 15.0, 0.0]
    assert table.loc[refused, ["lent", "desk_defaults", "desk_loss"]].tolist() == [0.0, 1, 10.0]
    assert table.loc["all", ["n", "lent", "desk_lends"]].tolist() == [5, 180.2, 200.0]
    # Nothing was promised for the amounts that the desk did not say.
    assert settled.loans["promised"].notna().tolist() == [True, False, False, False, False]
    flagged = came(6, 1, override=[True] * 3 + [False] * 3)
    assert (desk.settle_loans(decided(6), flagged).loans["group"] == desk.settled.GROUPS[1]).sum() == 3
    assert report(decided(30), came(30, 2)).overrides.empty


def test_cautious_loans_are_the_desks_amounts():
    found = report(decided(30).assign(cautious_loan=35.0), came(30, 2), promise=0.1)
    row = found.vintages.loc["May"]
    assert row["lent"] == 30 * 35 and row["defaults"] == 0 and np.isnan(row["expected_loss"])


# Laws.


@pytest.fixture(scope="module")
def with_laws():
    """Revenue is exponential about a scale; the laws think it a half larger than it is."""
    rng, scale = np.random.default_rng(4), np.random.default_rng(5).uniform(50, 150, 400)
    laws = pd.DataFrame({name: stats.expon.ppf(level, scale=1.5 * scale) for name, level in LEVELS.items()})
    decisions = pd.concat([decided(400, np.repeat(["a", "b"], 200), laws["q10"], 0.1), laws], axis=1)
    return decisions, came(400, 0).assign(revenue=rng.exponential(scale)), scale


def test_with_laws_the_level_is_where_revenue_fell(with_laws):
    decisions, outcomes, scale = with_laws
    found = report(decisions, outcomes)
    level = found.recalibration
    assert level.by_laws and level.n == 400 and level.promise == pytest.approx(0.1)
    assert level.level == recalibrated_level(found.settled.loans["level"], 0.1)
    # In the laws, 10 % of revenue lies below the level 1 - exp(-q / 1.5), q the quantile of the standard law.
    exact = 1 - np.exp(-stats.expon.ppf(0.1) / 1.5)
    assert level.low < exact < level.high and abs(level.level - exact) < 0.02
    assert found.places["promised"].tolist() == pytest.approx([0.01, 0.04, 0.05, 0.1, 0.3, 0.5])
    assert found.places["n"].sum() == 400 and found.places["observed"].iloc[:3].sum() > 0.1
    edges = np.column_stack([np.full(400, -1.0), decisions[list(LEVELS)], np.full(400, np.inf)])
    inside = (outcomes["revenue"].to_numpy()[:, None] >= edges[:, :-1]) & (
        outcomes["revenue"].to_numpy()[:, None] < edges[:, 1:]
    )
    assert found.places["n"].tolist() == inside.sum(axis=0).tolist()


def test_with_laws_another_amount_has_a_promise_of_its_own(with_laws):
    decisions, outcomes, _ = with_laws
    granted = decisions["q10"].to_numpy() * np.resize([1.0, 1.5, 30.0], 400)
    loans = desk.settle_loans(decisions, outcomes.assign(granted=granted)).loans
    assert loans["promised"].isna().tolist() == (granted >= decisions["q50"]).tolist()
    curve = desk.settled.QuantileCurve(list(LEVELS.values()), decisions[list(LEVELS)].to_numpy())
    here = np.arange(400) % 3 == 1
    amounts = granted[here][:, None]
    np.testing.assert_allclose(loans["promised"][here], default_probability(curve[here], amounts)[:, 0])
    np.testing.assert_allclose(loans["expected_loss"][here], expected_loss(curve[here], amounts)[:, 0])


@settings(max_examples=30)
@given(st.floats(0.02, 0.3), st.integers(0, 60))
def test_without_laws_the_level_turns_the_observed_share_back_into_the_promise(promise, n_defaults):
    found = report(decided(60, promised=promise), came(60, n_defaults)).recalibration
    assert not found.by_laws and found.low <= found.level <= found.high
    share = np.clip(n_defaults / 60, 0.5 / 60, 1 - 0.5 / 60)
    moved = ndtri(promise) - ndtri(share)  # by which all scores are higher
    assert ndtr(ndtri(found.level) - moved) == pytest.approx(promise, rel=1e-9)


def test_columns_that_moved_are_seen_and_others_are_chance():
    rng = np.random.default_rng(6)
    before = pd.DataFrame({"price": rng.normal(size=800), "ads": rng.normal(size=800), "kind": ["a", "b"] * 400})
    now = pd.DataFrame({"price": rng.normal(1.0, size=200), "ads": rng.normal(size=200), "kind": "a"})
    now.loc[:9, "kind"] = "b"
    options = {"applicants": {"May": now.assign(other=1.0)}, "reference": before}
    drift = report(decided(50), came(50, 2), **options).drift.set_index("column")
    assert drift.index.tolist() == ["price", "ads", "kind"]
    assert drift["size"].tolist() == ["large", "chance", "large"]
    now, before = (pd.DataFrame(rng.normal(size=(n, 200))) for n in (100, 300))
    found = report(decided(50), came(50, 2), applicants={"May": now}, reference=before).drift["size"]
    assert (found == "chance").mean() > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


# Files.


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, month in (("decisions_2026-01.csv", "a"), ("decisions_2026-02.csv", "b")):
        frame = decided(40, loan=50.0).drop(columns="vintage").assign(warnings="")
        frame.assign(seller=[f"{month}{i}" for i in range(40)]).to_csv(name, index=False)
    outcomes = pd.concat([came(40, 3).assign(seller=[f"{month}{i}" for i in range(40)]) for month in "ab"])
    outcomes = outcomes.assign(sales=outcomes["revenue"] / 4, unit_revenue=4.0, granted=50.0)
    outcomes.drop(columns="revenue").to_csv("outcomes.csv", index=False)
    return ["decisions_2026-01.csv", "decisions_2026-02.csv", "outcomes.csv"]


def read_report(folder="desk"):
    with open(f"{folder}/vintage_report.html", encoding="utf-8") as file:
        text = file.read()
    return pd.read_csv(f"{folder}/vintage_report.csv"), text


def read_value(table, part, row, measure):
    found = table[(table["part"] == part) & (table["row"] == row) & (table["measure"] == measure)]["value"]
    return found.item()


def test_several_files_are_vintages_and_drift_is_measured_from_the_first(files, capsys):
    desk.monitor(files)
    table, text = read_report()
    assert read_value(table, "vintage", "2026-01", "defaults") == "3"
    assert read_value(table, "vintage", "all", "n") == "80"
    assert read_value(table, "drift", "2026-02: loan", "size") == "chance"
    assert "6 of 80 loans defaulted, 7.5 % where 5.0 % were promised" in text and "written: " in capsys.readouterr().out
    assert not re.search(r"""(?:src|href)=|https?://|@import""", text.replace("xmlns", ""))
    assert text.count("<table tabindex=") == text.count("<table") and "viewport" in text
    assert "nan" not in re.sub(r"<style.*?</style>", "", text, flags=re.S).lower()


def test_a_column_of_vintages_and_other_names_and_forms(files):
    pd.concat([pd.read_csv(name).assign(vintage=name[10:17]) for name in files[:2]]).to_csv("all.csv", index=False)
    outcomes = pd.read_csv("outcomes.csv").rename(columns={"seller": "who", "sales": "sold", "unit_revenue": "per"})
    outcomes.to_csv("european.csv", index=False, sep=";", decimal=",")
    options = ["--seller", "who", "--sales", "sold", "--unit-revenue", "per", "--separator", ";", "--decimal", ","]
    desk.monitor(["all.csv", "european.csv", *options, "--output", "one"])
    desk.monitor([*files, "--output", "two"])
    first, second = (read_report(folder)[0] for folder in ("one", "two"))
    same = first["part"].isin(["vintage", "grade", "override", "recalibration"])
    pd.testing.assert_frame_equal(first[same], second[second["part"].isin(first["part"][same])])


def test_vintages_may_be_told_by_the_outcomes(files):
    outcomes = pd.read_csv("outcomes.csv").iloc[:40].assign(vintage=["x"] * 10 + ["y"] * 30)
    outcomes.to_csv("outcomes.csv", index=False)
    desk.monitor([files[0], "outcomes.csv"])
    table, _ = read_report()
    assert read_value(table, "vintage", "x", "n") == "10" and read_value(table, "vintage", "y", "n") == "30"


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda t: t.drop(columns="unit_revenue"), [], "--unit-revenue must be a number, or a column of outcomes.csv"),
        (lambda t: t.assign(unit_revenue=0), [], "'unit_revenue' must hold a positive number where sales are known"),
        (lambda t: t.drop(columns="sales"), [], "no columns ['revenue']"),
        (lambda t: t.drop(columns="seller"), [], "no columns ['seller']"),
        (lambda t: t.assign(sales="a lot"), [], "'sales' must hold numbers of at least 0, got 'a lot' in row 2"),
        (lambda t: t.assign(sales=-1), [], "'sales' must hold numbers of at least 0"),
        (lambda t: t.assign(sales="1,065"), [], "--thousands ',' or --decimal ','"),
        (lambda t: t.assign(sales=""), [], "some loan must have ended"),
        (lambda t: t.assign(granted=""), [], "granted must be a number, 0 for no loan"),
        (lambda t: t.assign(seller="a1"), [], "outcomes must have every seller once, got a1 more than once"),
        (lambda t: t.assign(officer_override="perhaps"), [], "'officer_override' must hold yes or no"),
        (lambda t: t, ["--promise", "5"], "--promise must lie inside (0, 1)"),
        (lambda t: t, ["--margin", "0"], "--margin must lie inside (0, 1)"),
        (lambda t: t, ["--loading", "1"], "--loading must lie in [0, 1)"),
        (lambda t: t, ["--grades", "0"], "--grades must be at least 1"),
        (lambda t: t, ["--granted", "lent"], "no columns ['lent']"),
        (lambda t: t, ["--unit-revenue", "nan"], "--unit-revenue must be positive and finite"),
        (lambda t: t, ["--thousands", "."], None),
        (lambda t: t, ["--decimal", ",", "--thousands", ","], "--decimal and --thousands must differ"),
        (lambda t: t, ["--applicants", "outcomes.csv"], "--applicants needs --reference"),
        (lambda t: t, ["--reference", "absent.csv"], "path must name a CSV file, got 'absent.csv'"),
        (lambda t: t, ["--output", "outcomes.csv"], "outcomes.csv"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line_and_nothing_is_written(files, change, options, message, capsys):
    change(pd.read_csv("outcomes.csv")).to_csv("outcomes.csv", index=False)
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as stopped:
        desk.monitor([*files, *options])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1 and (message or "") in error
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop(columns="loan"), "no columns ['loan']"),
        (lambda t: t.assign(loan="much"), "'loan' must hold numbers, got 'much' in row 2"),
        (lambda t: t.assign(default_probability=5.0), "'default_probability' of decisions must be in [0, 1], got 5"),
        (lambda t: t.assign(default_probability=0.0), "--promise, or promise=..., says what was promised"),
        (lambda t: t.assign(loan=-1.0), "'loan' of decisions must be finite numbers of at least 0, got -1"),
        (lambda t: t.assign(vintage="all"), "vintage must not be called 'all'"),
        (lambda t: t.assign(q05=9.0, q10=8.0), "values must not decrease along a row"),
    ],
)
def test_decisions_that_cannot_be_meant_are_refused(files, change, message, capsys):
    for name in files[:2]:
        change(pd.read_csv(name)).to_csv(name, index=False)
    with pytest.raises(SystemExit) as stopped:
        desk.monitor(files)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1 and not os.path.exists("desk")


def test_a_seller_of_two_vintages_needs_them_in_the_outcomes(files, capsys):
    pd.read_csv(files[0]).to_csv(files[1], index=False)
    with pytest.raises(SystemExit):
        desk.monitor(files)
    assert "a seller of several vintages needs a column vintage in outcomes" in capsys.readouterr().err


def test_the_report_follows_the_desk_from_end_to_end(tmp_path, monkeypatch, capsys):
    """A desk that thinks sales twice what they come out as promises too much; one that knows them keeps its promise."""
    monkeypatch.chdir(tmp_path)
    rng, names = np.random.default_rng(7), [f"={i}" for i in range(150)]
    price, future = rng.uniform(5, 15, 600).round(2), rng.uniform(5, 15, 150).round(2)
    sales = 100 - 4 * price + rng.gamma(4, 10, 600)
    pd.DataFrame({"price": price, "units": sales}).to_csv("history.csv", index=False)
    pd.DataFrame({"seller": names, "price": future}).to_csv("sellers.csv", index=False)
    options = ["--target", "units", "--unit-revenue", "price", "--name", "seller", "--refits", "0"]
    options += ["--max-default-probability", "0.1"]
    desk.main(["sellers.csv", "--history", "history.csv", *options])
    sold = 100 - 4 * future + rng.gamma(4, 10, 150)
    for share, verdict in ((1.0, "kept"), (0.5, "broken")):
        came_of_it = pd.DataFrame({"seller": names, "sales": share * sold, "unit_revenue": future})
        came_of_it.to_csv("outcomes.csv", index=False)
        monkeypatch.setattr(sys, "argv", ["desk", "monitor", "desk/decisions.csv", "outcomes.csv",
                                          "--reference", "history.csv", "--applicants", "sellers.csv"])  # fmt: skip
        runpy.run_module("qrgmm.desk", run_name="__main__")
        table, text = read_report()
        assert read_value(table, "verdict", "all", "verdict") == verdict, text
        decisions = pd.read_csv("desk/decisions.csv")
        defaults = (share * sold * future < decisions["loan"] - 1e-6).sum()
        assert read_value(table, "vintage", "decisions", "defaults") == str(defaults)
        assert read_value(table, "drift", "sellers: price", "size") == "chance"
    assert "The promise was broken" in capsys.readouterr().out
