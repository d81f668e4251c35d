"""The lender's book: its tables agree with each other, know nothing too early, and follow the law beside them."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom
from statsmodels.api import OLS

from qrgmm import simulators
from qrgmm.cash import net_remittances, outcomes, repay
from qrgmm.simulators.lender_book import (
    CATEGORIES,
    CAUTION,
    FIRST,
    FIRST_DAY,
    LATER,
    PLATFORMS,
    STATE,
    TENOR,
    LenderBook,
    LenderTables,
)
from qrgmm.simulators.negative_binomial import NegativeBinomialMixture

BOOK = LenderBook(n_sellers=150)
FLOWS = ["units", "returned", "gross", "refunded", "taken", "reserved", "released", "remitted", "collected", "balance"]
OUTCOMES = ["week", "outcome", "loss", "tenor_units"]


@pytest.fixture(scope="module")
def tables():
    return BOOK.draw(rng=4)


def weeks_from_first(days):
    return ((days - FIRST_DAY).dt.days // 7).to_numpy()


def paths_of(tables, names):
    """{application: array of shape (n_weeks, len(names))} of all advances."""
    values, first = tables.weeks[names].to_numpy(dtype=float), np.flatnonzero(tables.weeks["week"] == 1)
    return dict(zip(tables.weeks["application"].iloc[first], np.split(values, first[1:])))


def terms_of(row):
    return LATER if row.n_advances else FIRST


# The tables.


def test_a_seed_makes_the_whole_book_and_another_seed_another_one(tables):
    assert simulators.LenderBook is LenderBook and isinstance(tables, simulators.LenderTables)
    for table, same, other in zip(tables, BOOK.draw(np.random.default_rng(4)), BOOK.draw(5)):
        pd.testing.assert_frame_equal(table, same)
        assert not table.equals(other)


@pytest.mark.parametrize("name", LenderTables._fields)
def test_every_column_is_described_and_no_other(tables, name):
    section = re.search(rf"\n{name} : pandas.DataFrame\n(.*?)(?=\n\w+ : |\Z)", inspect.getdoc(LenderTables), re.S)[1]
    assert set(re.findall(r"(?<!`)`(\w+)`(?!`)", section)) == set(getattr(tables, name))


def test_the_default_book_has_the_sizes_and_rates_that_it_states():
    """Means of four books; a single one has a default rate within 1.6 percentage points of the stated mean."""
    rates = []
    for seed in range(4):
        advances, weeks, _ = LenderBook().draw(seed)
        over = advances[advances["funded"] & advances["complete"]]
        suspended = weeks.groupby("application")["suspended"].any()[over["application"]]
        ended = [(over["outcome"] == outcome).mean() for outcome in ("default", "late")]
        lost = over["loss"].sum() / over["amount"].sum()
        refused, overridden = advances[["refusal", "override"]].notna().mean()
        rates.append([*ended, suspended.mean(), lost, refused, overridden, advances["funded"].sum() / 2095])
    stated = np.array([0.059, 0.122, 0.030, 0.015, 0.165, 0.082, 1.0])
    assert (np.abs(np.mean(rates, axis=0) - stated) < [0.016, 0.02, 0.011, 0.009, 0.033, 0.011, 0.08]).all()


def test_advances_are_in_order_of_time_and_weeks_are_those_of_funded_ones_up_to_the_last_day(tables):
    advances, weeks, truth = tables
    assert advances["day"].is_monotonic_increasing and advances["application"].is_unique
    assert (advances["day"].dt.day_of_week == 0).all() and advances["day"].min() >= FIRST_DAY
    assert (
        advances[["application", "seller", "day", "category"]] == truth[["application", "seller", "day", "category"]]
    ).all(axis=None)
    seen = np.minimum(BOOK.n_weeks - weeks_from_first(advances["day"]), TENOR)
    counts = weeks["application"].value_counts().reindex(advances["application"], fill_value=0)
    np.testing.assert_array_equal(counts, np.where(advances["funded"], seen, 0))
    np.testing.assert_array_equal(advances["complete"], seen == TENOR)
    assert weeks.groupby("application")["week"].apply(lambda week: week.tolist() == [*range(1, len(week) + 1)]).all()


def test_the_cash_of_every_week_goes_somewhere(tables):
    weeks = tables.weeks
    spent = weeks[["refunded", "taken", "reserved", "remitted"]].sum(axis=1) - weeks["released"]
    np.testing.assert_allclose(weeks["gross"], spent, rtol=1e-12, atol=1e-9)
    assert (weeks["returned"] <= weeks["units"]).all() and (weeks[FLOWS] >= 0).all(axis=None)
    price = tables.advances.set_index("application")["price"][weeks["application"]].to_numpy()
    np.testing.assert_allclose(
        weeks[["gross", "refunded"]], weeks[["units", "returned"]].mul(price, axis=0), rtol=1e-12
    )


def test_cash_and_outcomes_are_those_of_the_waterfall_once_they_are_known(tables):
    flows, n_known = paths_of(tables, FLOWS), 0
    funded = tables.advances[tables.advances["funded"]]
    for row in funded.itertuples():
        path, terms = dict(zip(FLOWS, flows[row.application].T)), terms_of(row)
        cash = net_remittances(path["units"] - path["returned"], row.price, PLATFORMS[row.platform][0])
        for name in ("reserved", "released", "remitted"):
            np.testing.assert_allclose(path[name], cash[name][0], rtol=1e-12, atol=1e-9)
        assert (row.fee, row.hold_back, row.due, row.tenor) == (terms.fee, terms.hold_back, terms.due, terms.tenor)
        held = row.hold_back * path["remitted"].cumsum()
        debt = (1 + row.fee) * row.amount
        np.testing.assert_allclose(path["balance"], (debt - held).clip(0), rtol=0, atol=1e-9 * debt)
        np.testing.assert_allclose(path["collected"].cumsum(), debt - path["balance"], rtol=1e-12)
        if row.complete:
            end = outcomes(repay(path["remitted"], row.amount, terms)["balance"], terms).iloc[0]
            assert row.tenor_units == path["units"].sum()
        elif path["balance"][-1] == 0:
            paid = int((path["balance"] > 0).sum()) + 1
            end = pd.Series({"week": paid, "outcome": "in time" if paid <= row.due else "late", "loss": 0.0})
            assert np.isnan(row.tenor_units)
        else:
            assert pd.isna([row.week, row.outcome, row.loss, row.tenor_units]).all()
            continue
        n_known += 1
        np.testing.assert_array_equal([row.week, row.loss], end[["week", "loss"]].to_numpy(dtype=float))
        assert row.outcome == end["outcome"]
    assert 0 < n_known < len(funded)


def test_who_is_not_funded_has_no_outcome_and_the_truth_has_all(tables):
    advances, _, truth = tables
    refused = ~advances["funded"]
    assert advances.loc[refused, ["amount", *OUTCOMES]].isna().all(axis=None)
    assert truth.drop(columns="would_be").notna().all(axis=None)
    np.testing.assert_array_equal(truth["would_be"].isna(), advances["limit"] == 0)
    as_ruled = advances["complete"] & advances["refusal"].isna() & advances["override"].isna()
    assert (truth["would_be"] == advances["outcome"])[as_ruled].all() and as_ruled.sum() > 100
    known = advances["tenor_units"].notna()
    assert (truth["tenor_units"] == advances["tenor_units"])[known].all()


def test_the_rule_of_the_lender_and_its_overrides_are_the_stated_ones(tables):
    a = tables.advances
    later = a["n_advances"] > 0
    share = CAUTION * a["hold_back"] * a["due"] / 13 / (1 + a["fee"])
    kept = (a["past_units"] * (1 - a["return_share"])).round()
    exact = share * kept * a["unit_revenue"]
    assert ((a["limit"] <= exact + 1e-6) & (a["limit"] > exact - 10 - 1e-6)).all()
    np.testing.assert_array_equal(a["fee"], np.where(later, LATER.fee, FIRST.fee))
    reasons = [
        (a["last_outcome"] == "default", "defaulted"), (a["tenure"] < 26, "tenure"), (a["past_units"] < 52, "sales"),
        (a["rating"] < 4, "rating"), (a["return_share"] > 0.25, "returns"),
    ]  # fmt: skip
    expected = np.select([when for when, _ in reasons], [name for _, name in reasons], "none")
    np.testing.assert_array_equal(a["refusal"].fillna("none"), expected)
    assert set(a["refusal"].dropna()) == {name for _, name in reasons}
    np.testing.assert_array_equal(a["offer"], np.where(expected == "none", a["limit"], 0))
    acts = {act: a[a["override"] == act] for act in ("veto", "raise", "grant")}
    plain = a[a["override"].isna()]
    assert all(len(rows) for rows in acts.values())
    assert not acts["veto"]["funded"].any() and acts["veto"]["refusal"].isna().all()
    assert (
        (acts["raise"]["amount"] > acts["raise"]["offer"]) & (acts["raise"]["amount"] <= 1.25 * acts["raise"]["offer"])
    ).all()
    assert (acts["grant"]["refusal"].notna() & (acts["grant"]["amount"] <= acts["grant"]["limit"] / 2)).all()
    np.testing.assert_array_equal(plain["amount"].fillna(0), plain[["asked", "offer"]].min(axis=1))
    np.testing.assert_array_equal(a["reason"].isna(), a["override"].isna())
    assert (a.loc[a["funded"], "amount"] <= a.loc[a["funded"], "asked"]).all()


def test_a_seller_has_one_advance_at_a_time_and_its_history_is_counted(tables):
    advances = tables.advances
    again = 0
    for _, rows in advances.groupby("seller"):
        n_advances, last, free = 0, "none", FIRST_DAY
        for row in rows.itertuples():
            assert row.n_advances == n_advances and row.last_outcome == last and row.day >= free
            if row.funded:
                again += n_advances > 0
                lasted = TENOR if pd.isna(row.week) else int(row.week)
                n_advances, last, free = n_advances + 1, row.outcome, row.day + pd.Timedelta(weeks=lasted)
    assert again > 100


# Nothing is known too early.


def test_covariates_are_those_of_the_weeks_before_the_day(tables):
    """Recomputed from the weeks of the advance before, where these reach from 13 weeks before the day to the day."""
    flows, found = paths_of(tables, ["units", "returned"]), 0
    for _, rows in tables.advances.groupby("seller"):
        for before, row in zip(rows.itertuples(), rows.iloc[1:].itertuples()):
            gap = (row.day - before.day).days // 7
            if before.funded and 13 <= gap <= TENOR:
                units, returned = flows[before.application][gap - 13 : gap].T
                found += 1
                assert row.past_units == units.sum()
                assert row.recent_share == pytest.approx(units[-4:].sum() / units.sum())
                assert row.return_share == pytest.approx(returned.sum() / units.sum())
    assert found > 100


@pytest.mark.parametrize("cut", [40, 90])
def test_what_is_known_or_decided_on_a_day_does_not_move_with_what_follows(tables, monkeypatch, cut):
    """From week `cut` on all sales, returns and suspensions become others."""
    draw = BOOK._draw_paths

    def altered(sellers, rng):
        paths, other = draw(sellers, rng), np.random.default_rng(0)
        later = slice(cut + 26, None)
        paths["units"][:, later] = other.poisson(30, paths["units"][:, later].shape)
        paths["returned"][:, later] = other.binomial(paths["units"][:, later], 0.5)
        stops = paths["stop"] >= cut
        paths["stop"][stops] = cut + other.integers(80, size=stops.sum())
        return paths

    monkeypatch.setattr(BOOK, "_draw_paths", altered)
    changed = BOOK.draw(rng=4)
    until = [
        table[table["day"] <= FIRST_DAY + pd.Timedelta(weeks=cut)] for table in (tables.advances, changed.advances)
    ]
    known = [name for name in tables.advances if name not in (*OUTCOMES, "complete")]
    assert len(until[0]) > 80
    pd.testing.assert_frame_equal(until[0][known], until[1][known])
    state = ["quality", "return_rate", *STATE]
    pd.testing.assert_frame_equal(tables.truth.loc[until[0].index, state], changed.truth.loc[until[0].index, state])
    assert not until[0]["tenor_units"].equals(until[1]["tenor_units"])


# The law.


def state(day=60, category="toys", level=20.0, shock=0.1, growth=0.03, hazard=0.01, scatter=4.0):
    """One row of the truth, in a week of the book."""
    row = {"day": FIRST_DAY + pd.Timedelta(weeks=day), "category": category, "level": level, "shock": shock}
    return pd.DataFrame([row | {"growth": growth, "hazard": hazard, "scatter": scatter}])


def draw_futures(book, row, n_weeks, n, rng):
    """Units sold in the first weeks, quarter by quarter and week by week as the class describes them, (n,)."""
    first = (row["day"] - FIRST_DAY).days // 7
    level, shock = np.full(n, row["level"]), np.full(n, row["shock"])
    alive, total = np.ones(n, dtype=bool), np.zeros(n)
    for week in range(first, first + n_weeks):
        if week % 13 == 0 and week > first:
            level = level * np.exp(row["growth"] + book.wander * rng.normal(size=n))
            shock = np.full(n, book.loading) * rng.normal(size=n) - book.loading**2 / 2
        alive &= rng.random(n) >= row["hazard"]
        peak = CATEGORIES[row["category"]][2]
        mean = level * np.exp(shock) * (1 + book.season * np.cos(2 * np.pi * (week - peak) / 52)) * alive
        total += rng.poisson(rng.gamma(mean / row["scatter"], row["scatter"]))
    return total


@pytest.mark.parametrize(
    ("setting", "row", "n_weeks"),
    [
        ({}, state(), 26),
        ({}, state(day=64, hazard=0.001), 20),
        ({"wander": 0.3, "loading": 0.3}, state(day=65, category="garden", level=300.0, scatter=45.0), 26),
        ({"wander": 0.0}, state(day=77, level=2.0, scatter=0.3, hazard=0.05), 13),
        ({"season": 1.0, "loading": 0.0}, state(day=12, category="fashion", growth=-0.2), 15),
        ({}, state(day=129), 1),
    ],
)
def test_the_law_is_that_of_simulated_futures(setting, row, n_weeks):
    """At five points, 20,000 futures: within four standard errors of at most 0.0036."""
    book, n = LenderBook(**setting), 20_000
    futures = draw_futures(book, row.iloc[0], n_weeks, n, np.random.default_rng(1))
    points = np.quantile(futures, [0.02, 0.1, 0.4, 0.7, 0.97])
    law = book.cdf(row, points, n_weeks)[0]
    error = np.sqrt(law * (1 - law) / n)
    assert (error < 0.0036).all()
    assert (np.abs((futures[:, None] <= points).mean(axis=0) - law) < 4 * error).all()


def test_what_is_drawn_follows_the_law():
    """Ranks in their laws of what all applicants sell, refused or not: uniform, with errors clustered by book."""
    book, rng, ranks = LenderBook(n_sellers=40, n_weeks=60), np.random.default_rng(0), []
    for seed in range(20):
        truth = book.draw(seed).truth[::3]
        sold = truth["tenor_units"].to_numpy(dtype=float)[:, None]
        below, up_to = book.cdf(truth, np.hstack([sold - 1, sold])).T
        rank = below + (up_to - below) * rng.random(len(truth))
        ranks.append([rank.mean(), *((rank < level).mean() for level in (0.02, 0.1, 0.5, 0.9))])
    error = np.std(ranks, axis=0, ddof=1) / np.sqrt(len(ranks))
    assert (error < 0.025).all()
    assert (np.abs(np.mean(ranks, axis=0) - [0.5, 0.02, 0.1, 0.5, 0.9]) < 3.5 * error).all()


@settings(max_examples=25)
@given(
    day=st.integers(0, 200),
    category=st.sampled_from(list(CATEGORIES)),
    level=st.floats(1, 300),
    hazard=st.floats(0, 0.2),
    n_weeks=st.integers(1, TENOR),
)
def test_without_shocks_the_law_is_a_sum_over_the_weeks_before_a_suspension(day, category, level, hazard, n_weeks):
    book, scatter = LenderBook(wander=0, loading=0), 0.2 * level
    row = state(day, category, level, 0.1, 0.05, hazard, scatter)
    week = np.arange(day, day + n_weeks)
    factor = np.exp(np.where(week // 13 == day // 13, 0.1, 0.05 * (week // 13 - day // 13)))
    means = level * factor * (1 + 0.3 * np.cos(2 * np.pi * (week - CATEGORIES[category][2]) / 52))
    points = means.sum() * np.array([0.0, 0.3, 0.8, 1.0, 1.3])
    expected = hazard + 0.0 * points
    for k in range(1, n_weeks + 1):
        probability = (1 - hazard) ** k * (hazard if k < n_weeks else 1.0)
        expected += probability * nbinom.cdf(np.floor(points), means[:k].sum() / scatter, 1 / (1 + scatter))
    np.testing.assert_allclose(book.cdf(row, points, n_weeks)[0], expected, rtol=0, atol=1e-4)


def test_a_law_is_a_law_and_falls_with_the_weeks(tables):
    truth = tables.truth.iloc[::40]
    points = np.append([-1.0, 0.0], np.geomspace(1, 5000, 20))
    laws = np.array([BOOK.cdf(truth, points, n_weeks) for n_weeks in (1, 5, 13, 26)])
    assert laws.shape == (4, len(truth), len(points)) and (laws[..., 0] == 0).all()
    assert (np.diff(laws, axis=2) >= -1e-9).all() and (np.diff(laws, axis=0) <= 1e-9).all()
    assert (BOOK.cdf(truth, np.inf) == pytest.approx(1, abs=1e-9)) and (laws <= 1).all()
    np.testing.assert_array_equal(BOOK.cdf(truth, 50.7), BOOK.cdf(truth, 50))
    own = np.linspace(10, 500, len(truth))[:, None]
    np.testing.assert_allclose(BOOK.cdf(truth, own)[:, 0], np.diagonal(BOOK.cdf(truth, own[:, 0])), rtol=1e-12)


def test_quantiles_are_the_least_units_that_reach_their_level(tables):
    truth, levels = tables.truth.iloc[5:11], np.array([0.001, 0.05, 0.5, 0.99])
    curve = BOOK.law(truth, 20, levels)
    np.testing.assert_array_equal(curve.levels, levels)
    np.testing.assert_array_equal(curve.index, truth.index)
    below, at = BOOK.cdf(truth, curve.values - 1, 20), BOOK.cdf(truth, curve.values, 20)
    assert ((below < levels) & (levels <= at)).all()
    np.testing.assert_array_equal(BOOK.law(truth[:1], levels=4).levels, [0.25, 0.5, 0.75])
    # Who is suspended in the first week sells nothing.
    assert BOOK.law(truth.assign(hazard=0.2), levels=[0.19, 0.21]).values[:, 0].max() == 0


def test_the_law_of_rows_that_went_through_a_file_is_the_same(tables, tmp_path):
    tables.truth[:5].to_csv(tmp_path / "truth.csv", index=False)
    np.testing.assert_allclose(BOOK.cdf(pd.read_csv(tmp_path / "truth.csv"), 100), BOOK.cdf(tables.truth[:5], 100))


# Selection.


def veto_effect(insight):
    """How much more of the vetoed would have defaulted than of others alike in covariates, and the error, by seller."""
    advances, _, truth = LenderBook(n_sellers=8000, insight=insight).draw(0)
    rows = advances["refusal"].isna()
    a, defaults = advances[rows], (truth.loc[rows, "would_be"] == "default").astype(float)
    lent = a[["limit", "asked"]].min(axis=1) / a["limit"]
    numbers = a[["recent_share", "return_share", "tenure", "rating"]].assign(units=np.log(a["past_units"]), lent=lent)
    labels = pd.get_dummies(a[["platform", "category", "last_outcome"]], drop_first=True)
    seen = pd.concat([(a["override"] == "veto").rename("veto"), numbers, labels], axis=1).astype(float)
    fit = OLS(defaults, seen.assign(one=1.0)).fit(cov_type="cluster", cov_kwds={"groups": pd.factorize(a["seller"])[0]})
    return fit.params["veto"], fit.bse["veto"]


def test_officers_refuse_sellers_who_are_worse_than_their_covariates():
    effect, error = veto_effect(insight=0.9)
    assert error < 0.015 and effect > 2.5 * error
    effect, error = veto_effect(insight=0.0)
    assert error < 0.015 and abs(effect) < 2.5 * error


def test_overrides_follow_the_quality_that_only_officers_see(tables):
    quality = tables.truth["quality"].groupby(tables.advances["override"].fillna("none")).mean()
    assert quality["veto"] < -0.8 < quality["none"] < 0.6 < quality["grant"]
    assert quality["raise"] > 0.8


# What can and can't be.


@settings(max_examples=25)
@given(
    n_sellers=st.integers(1, 25),
    n_weeks=st.integers(1, 70),
    season=st.floats(0, 1),
    loading=st.floats(0, 0.3),
    wander=st.floats(0, 0.3),
    scatter=st.floats(0.1, 5),
    suspension=st.sampled_from([0.0, 0.1]) | st.floats(0, 0.1),
    insight=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_books_of_all_parameters_are_books(tables, seed, **setting):
    book = LenderBook(**setting)
    drawn = book.draw(seed)
    for table, usual in zip(drawn, tables):
        assert list(table) == list(usual)
        if len(table):
            kinds = [name for name in usual if usual[name].dtype != table[name].dtype]
            assert not kinds
    advances, weeks, truth = drawn
    covariates = advances[advances.attrs["covariates"]]
    assert covariates.notna().all(axis=None) and len(truth) == len(advances)
    assert covariates["rating"].between(1, 5).all() and covariates["recent_share"].between(0, 1).all()
    assert (covariates["unit_revenue"] > 0).all() and (advances["asked"] >= 100).all()
    assert set(weeks["application"]) == set(advances.loc[advances["funded"], "application"])
    if len(truth):
        law = book.cdf(truth[:3], truth["tenor_units"].to_numpy(dtype=float)[:3, None])
        assert ((law >= 0) & (law <= 1)).all()
    if setting["suspension"] == 0:
        assert not weeks["suspended"].any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_sellers": 0}, "n_sellers must be"),
        ({"n_weeks": 2.5}, "n_weeks must be"),
        ({"season": 1.1}, r"season must be in \[0, 1\], got 1.1"),
        ({"loading": -0.1}, "loading must be in"),
        ({"wander": np.nan}, "wander must be in"),
        ({"scatter": 0.0}, r"scatter must be in \[0.1, 5\], got 0.0"),
        ({"suspension": 0.2}, "suspension must be in"),
        ({"insight": 1.01}, "insight must be in"),
    ],
)
def test_a_book_that_cannot_be_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        LenderBook(**setting)


@pytest.mark.parametrize(
    ("truth", "options", "message"),
    [
        (state().drop(columns="level"), {}, r"truth must have rows and the columns .*, lacking \['level'\]"),
        (state()[:0], {}, "truth must have rows"),
        (state(category="books"), {}, r"column 'category' of truth must be one of .*, got \['books'\]"),
        (state(growth=np.nan), {}, "truth must be finite"),
        (state(level=-1.0), {}, "truth must have a level of at least 0"),
        (state(hazard=1.5), {}, r"a hazard in \[0, 1\]"),
        (state(scatter=0.0), {}, "a positive scatter"),
        (state(), {"n_weeks": 27}, "n_weeks must be at most 26, got 27"),
        (state(), {"n_weeks": 0}, "n_weeks must be a whole number"),
        (state(), {"units": [[1.0], [2.0]]}, "units must be a number"),
        (state(), {"units": np.nan}, "units must be numbers"),
    ],
)
def test_a_law_of_what_cannot_be_is_refused(truth, options, message):
    with pytest.raises(ValueError, match=message):
        BOOK.cdf(truth, **{"units": 10} | options)


def test_levels_of_a_law_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="levels must lie inside"):
        BOOK.law(state(), levels=[0.5, 1.0])


# Mixtures of negative binomial laws.


@given(
    means=st.lists(st.floats(0.05, 5000), min_size=1, max_size=6),
    scatter=st.floats(0.01, 10),
    y=st.integers(0, 6000),
)
def test_a_mixture_is_the_sum_of_its_laws_and_keeps_mean_and_variance(means, scatter, y):
    weights = np.arange(1.0, len(means) + 1) / np.arange(1.0, len(means) + 1).sum()
    mixture = NegativeBinomialMixture(means, weights, scatter)
    exact = nbinom.cdf(y, np.array(means) / scatter, 1 / (1 + scatter)) @ weights
    assert mixture.cdf(y)[0] == pytest.approx(exact, abs=1e-3)
    assert mixture.weights.sum() == pytest.approx(1, rel=1e-9)
    assert mixture.weights @ mixture.means == pytest.approx(weights @ means, rel=1e-7, abs=1e-7)


def test_of_means_that_are_spread_out_a_mixture_is_right_to_five_digits():
    means = np.exp(5 + 0.3 * np.random.default_rng(0).normal(size=4000))
    points = np.arange(20, 500, 20)
    for scatter in (0.1, 3.0, 40.0):
        mixture = NegativeBinomialMixture(means, np.full(4000, 1 / 4000), scatter)
        exact = nbinom.cdf(points[:, None], means / scatter, 1 / (1 + scatter)).mean(axis=1)
        np.testing.assert_allclose(mixture.cdf(points), exact, rtol=0, atol=1e-5)
        assert len(mixture.means) < 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, -1.0], [0.5, 0.5], 1.0), "means and weights must be at least 0"),
        (([1.0, 2.0], [1.0], 1.0), "as many of one as of the other"),
        (([1.0, 2.0], [0.5, 0.4], 1.0), "weights sum to 1"),
        (([1.0, np.nan], [0.5, 0.5], 1.0), "means must be finite"),
        (([1.0], [1.0], 0.0), "scatter must be positive and finite, got 0.0"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NegativeBinomialMixture(*arguments)
