"""Backtests agree with well-kept libraries and closed forms, reject good models as often as they say, and let no
outcome be learnt from before it is known."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multivariate import test_mvmean as compare_means

from qrgmm.backtest import (
    binomial_test,
    christoffersen_test,
    clustered_error,
    compare_promises,
    cost_of_error,
    hosmer_lemeshow_test,
    kupiec_test,
    population_stability_index,
    probability_transform,
    require_purged,
    split_vintages,
    traffic_light,
    uniformity_test,
)
from qrgmm.curve import QuantileCurve
from qrgmm.datasets import seller_panel
from qrgmm.simulators import Marketplace

MONTHS = pd.date_range("2017-04-01", "2018-06-01", freq="MS")
N_RUNS = 600


def share_of_rejections(p_values):
    """How many of good models a 5 % test rejects, and four standard errors of a 5 % share."""
    p_values = np.asarray(p_values)
    assert not np.isnan(p_values).any()
    return (p_values < 0.05).mean(), 4 * np.sqrt(0.05 * 0.95 / len(p_values))


# Vintages.


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=40), st.integers(1, 120), st.none() | st.integers(1, 400),
    st.integers(1, 3), st.integers(0, 40),
)  # fmt: skip
def test_vintages_learn_from_what_was_known_and_nothing_else(days, horizon, window, min_origins, delay):
    origins = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    spans = {"horizon": f"{horizon}D", "window": None if window is None else f"{window}D", "delay": f"{delay}D"}
    expected = []
    for origin in sorted(set(days)):
        train = [
            i for i, day in enumerate(days)
            if day + horizon + delay <= origin and (window is None or day >= origin - window)
        ]  # fmt: skip
        if len({days[i] for i in train}) >= min_origins:
            expected.append((origin, train, [i for i, day in enumerate(days) if day == origin]))
    if not expected:
        with pytest.raises(ValueError, match=f"origins must reach {min_origins} beyond a horizon of {horizon}D, got"):
            split_vintages(origins, min_origins=min_origins, **spans)
        return
    vintages = split_vintages(origins, min_origins=min_origins, **spans)
    assert [
        ((v.origin - pd.Timestamp("2020-01-01")).days, v.train.tolist(), v.test.tolist()) for v in vintages
    ] == expected
    for vintage in vintages:
        require_purged(origins[vintage.train], origins[vintage.test], spans["horizon"])


def test_a_random_split_of_a_panel_overlaps_and_is_caught():
    panel = seller_panel(Marketplace(60).draw(rng=0), MONTHS)
    test = np.random.default_rng(0).random(len(panel)) < 0.2
    with pytest.raises(
        ValueError, match="outcomes to learn from must end by 2017-04-01, got .* the last on 2018-08-30"
    ):
        require_purged(panel["origin"][~test], panel["origin"][test])
    unpurged = panel["origin"] < "2018-06-01"
    with pytest.raises(ValueError, match="must end by 2018-06-01, got .* that end later, the last on 2018-07-30"):
        require_purged(panel["origin"][unpurged], panel["origin"][~unpurged])


def test_no_vintage_learns_from_an_incomplete_outcome():
    panel = seller_panel(Marketplace(60).draw(rng=0), MONTHS)
    for vintage in split_vintages(panel["origin"])[::4]:
        then = seller_panel(Marketplace(60).draw(rng=0), MONTHS[MONTHS < vintage.origin], until=vintage.origin)
        known = then[then["complete"]]
        pd.testing.assert_frame_equal(panel.iloc[vintage.train], known, check_like=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"origins": []}, "origins must be days, none of them missing, got 0 of 0"),
        ({"origins": [None, "2020-01-01"]}, "origins must be days, none of them missing, got 1 of 2"),
        ({"horizon": 90}, "horizon must be a positive span of time such as '90D', got 90"),
        ({"window": "0D"}, "window must be a positive span"),
        ({"delay": "-1D"}, "delay must be a positive span"),
        ({"min_origins": 0}, "min_origins must be a whole number of at least 1"),
        ({"min_origins": 13}, "origins must reach 13 beyond a horizon of 90D, got 15 from 2017-04-01 to 2018-06-01"),
    ],
)
def test_vintages_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        split_vintages(**{"origins": MONTHS} | options)


# Clustered errors.


def draw_clusters(rng, n=300, n_sellers=40, n_origins=15):
    clusters = pd.DataFrame({"seller": rng.integers(n_sellers, size=n), "origin": rng.integers(n_origins, size=n)})
    effects = rng.normal(size=n_sellers), rng.normal(size=n_origins)
    return effects[0][clusters["seller"]] + effects[1][clusters["origin"]] + rng.normal(size=n), clusters


@pytest.mark.parametrize("kinds", [["seller"], ["origin"], ["seller", "origin"]])
def test_clustered_errors_are_those_of_statsmodels(kinds):
    values, clusters = draw_clusters(np.random.default_rng(3))
    groups = clusters[kinds].to_numpy()
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups[:, 0] if len(kinds) == 1 else groups}
    )
    error, degrees = clustered_error(values, clusters[kinds])
    assert error == pytest.approx(fit.bse[0], rel=1e-10)
    assert degrees == min(clusters[kind].nunique() for kind in kinds) - 1


def test_without_clusters_the_error_is_that_of_independent_values():
    values = np.random.default_rng(0).normal(size=50)
    assert clustered_error(values)[0] == pytest.approx(stats.sem(values))
    assert clustered_error(values, np.arange(50))[0] == pytest.approx(stats.sem(values))
    assert np.isnan(clustered_error(values, np.zeros(50))[0])


def test_an_error_by_two_ways_is_never_below_either():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, clusters = draw_clusters(rng, n=12, n_sellers=4, n_origins=3)
        both, single = (
            clustered_error(values, clusters)[0],
            [clustered_error(values, clusters[name])[0] for name in clusters],
        )
        assert both >= max(single) * (1 - 1e-12)


@pytest.mark.parametrize("clusters", [[1, 2], [1, None, 3], np.ones((3, 3))], ids=["too few", "missing", "three kinds"])
def test_clusters_that_are_none_are_refused(clusters):
    with pytest.raises(ValueError, match="clusters must be one or two labels of each of 3 rows"):
        clustered_error([1.0, 2.0, 3.0], clusters)


# Promised against observed.


def test_promises_are_compared_in_all_and_by_group():
    rng = np.random.default_rng(0)
    panel = pd.DataFrame(
        {"pd": rng.uniform(0, 0.5, 400), "state": rng.choice(list("ab"), 400), "seller": np.arange(400) // 4}
    )
    observed = rng.random(400) < panel["pd"]
    table = compare_promises(panel["pd"], observed, panel["state"], panel["seller"])
    assert table.index.tolist() == ["a", "b"] and table["n"].sum() == 400
    for state, row in table.iterrows():
        here = panel["state"] == state
        difference = (observed - panel["pd"])[here]
        error, degrees = clustered_error(difference, panel.loc[here, "seller"])
        p_value = 2 * stats.t.sf(abs(difference.mean() / error), degrees)
        means = [panel["pd"][here].mean(), observed[here].mean(), difference.mean()]
        np.testing.assert_allclose(row, [here.sum(), *means, error, p_value])
    whole = compare_promises(panel["pd"], observed).loc["all"]
    assert whole["p_value"] == pytest.approx(stats.ttest_1samp(observed - panel["pd"], 0).pvalue)


def test_groups_keep_the_order_of_their_categories():
    by = pd.qcut(pd.Series([30.0, 1.0, 2.0, 20.0]), 2, labels=["small", "large"])
    assert compare_promises(0.5, [1, 0, 1, 0], by).index.tolist() == ["small", "large"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"promised": [0.1, 0.2]}, "promised must have a value for each of 3 rows, got 2"),
        ({"promised": [0.1, 0.2, np.nan]}, "promised must be finite"),
        ({"observed": []}, r"observed must have shape \(n,\) and not be empty"),
        ({"by": ["a", None, "b"]}, "by must have a group for each of 3 rows, got 2"),
    ],
)
def test_promises_that_cannot_be_compared_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        compare_promises(**{"promised": 0.1, "observed": [0, 1, 0]} | change)


# Tests of a risk department against libraries.


@settings(max_examples=50)
@given(st.integers(1, 300), st.floats(0, 1), st.floats(0.005, 0.6))
def test_binomial_and_kupiec_are_those_of_scipy(n, share, probability):
    k = round(share * n)
    expected = stats.binomtest(k, n, probability, alternative="greater").pvalue
    assert binomial_test(k, n, probability) == pytest.approx(expected, rel=1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = stats.power_divergence([k, n - k], [n * probability, n * (1 - probability)], lambda_="log-likelihood")
    result = kupiec_test(np.arange(n) < k, probability)
    assert result.statistic == pytest.approx(ratio.statistic, rel=1e-6, abs=1e-9)
    assert result.p_value == pytest.approx(stats.chi2.sf(max(ratio.statistic, 0), 1), rel=1e-6, abs=1e-6)  # rounding


def test_zones_are_those_of_the_basel_committee():
    """Its table 2: 250 days, a value at risk of 99 %."""
    zones = traffic_light(np.arange(12), 250, 0.01)
    assert zones.tolist() == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 2


@pytest.mark.parametrize("seed", range(5))
def test_christoffersen_is_a_likelihood_ratio_test_of_the_table_of_steps(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random(400) < np.where(np.arange(400) % 7 < 3, 0.4, 0.1)
    steps = pd.crosstab(hits[:-1], hits[1:]).to_numpy()
    expected = stats.chi2_contingency(steps, correction=False, lambda_="log-likelihood")
    independence, coverage = christoffersen_test(hits, 0.2)
    assert independence == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert coverage.statistic == pytest.approx(independence.statistic + kupiec_test(hits[1:], 0.2).statistic, rel=1e-9)
    assert coverage.p_value == pytest.approx(stats.chi2.sf(coverage.statistic, 2))


def test_steps_are_counted_within_a_series():
    first, second = [0, 1, 1, 0, 0], [1, 0, 0, 1, 1, 1]
    series = ["a"] * 5 + ["b"] * 6
    order = np.argsort(np.random.default_rng(0).random(11), kind="stable")
    order = np.array(sorted(range(11), key=lambda i: (i % 5, series[i])))  # of time, mixed over series
    found = christoffersen_test(np.array(first + second)[order], 0.3, np.array(series)[order])
    steps = pd.crosstab(np.array([*first[:-1], *second[:-1]]), np.array([*first[1:], *second[1:]])).to_numpy()
    expected = stats.chi2_contingency(steps, correction=False, lambda_="log-likelihood")
    assert found[0].statistic == pytest.approx(expected.statistic)


@pytest.mark.parametrize("hits", [[0] * 50, [1] * 50])
def test_hits_that_never_change_have_no_dependence(hits):
    independence, coverage = christoffersen_test(hits, 0.5)
    assert independence == (0.0, 1.0) and coverage.p_value < 1e-6


def test_uniformity_is_pearsons_without_clusters_and_hotellings_with():
    rng = np.random.default_rng(0)
    levels, clusters = rng.beta(1.1, 1, 300), np.arange(300) // 5
    counts = np.histogram(levels, bins=4, range=(0, 1))[0]
    assert uniformity_test(levels, 4) == pytest.approx(tuple(stats.chisquare(counts)))
    bins = np.minimum((levels * 4).astype(int), 3)
    excess = pd.get_dummies(bins, dtype=float).groupby(clusters).sum().to_numpy() - 5 / 4
    expected = compare_means(excess[:, :3], np.zeros(3))
    found = uniformity_test(levels, 4, clusters)
    assert found.statistic == pytest.approx(expected.t2) and found.p_value == pytest.approx(expected.pvalue)


def test_hosmer_lemeshow_is_what_its_sum_says():
    rng = np.random.default_rng(0)
    promised = rng.uniform(0.02, 0.4, 500)
    defaulted = rng.random(500) < promised
    order = np.argsort(promised)
    statistic = 0.0
    for grade in np.array_split(order, 10):
        p = promised[grade]
        statistic += (defaulted[grade].sum() - p.sum()) ** 2 / (p * (1 - p)).sum()
    found = hosmer_lemeshow_test(promised, defaulted)
    assert found == pytest.approx((statistic, stats.chi2.sf(statistic, 10)))
    grades = np.empty(500, dtype=object)
    for name, grade in zip("ABCDEFGHIJ", np.array_split(order, 10)):
        grades[grade] = name
    assert hosmer_lemeshow_test(promised, defaulted, grades) == pytest.approx(tuple(found))


def test_the_stability_index_is_what_its_sum_says():
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=1000), rng.normal(0.5, 1, size=700)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    index = 0.0
    for low, high in zip([-np.inf, *edges], [*edges, np.inf]):
        r, c = (
            (((values > low) & (values <= high)).sum() + 0.5) / (len(values) + 5) for values in (reference, current)
        )
        index += (c - r) * np.log(c / r)
    assert population_stability_index(reference, current) == pytest.approx(index)
    assert population_stability_index(reference, reference) == 0
    # Of two normal laws the index is the square of their distance, in fine bins.
    many = rng.normal(size=200_000), rng.normal(0.5, 1, size=200_000)
    assert population_stability_index(*many, n_bins=200) == pytest.approx(0.25, rel=0.05)


def test_a_label_that_is_new_counts():
    assert population_stability_index(["a"] * 100, ["a"] * 50 + ["b"] * 50) > 1


def test_the_level_of_an_observation_is_uniform_also_at_an_atom():
    rng = np.random.default_rng(0)
    values = np.where(np.arange(99) < 30, 0.0, np.linspace(1, 10, 99))
    curve = QuantileCurve(np.arange(1, 100) / 100, np.tile(values, (20_000, 1)))
    levels = probability_transform(curve.sample(1, rng)[:, 0], curve, rng)
    assert stats.kstest(levels, "uniform").pvalue > 0.01
    at_zero = probability_transform(np.zeros(20_000), curve, rng)
    assert (
        at_zero.max() <= curve.cdf(np.zeros(1))[0, 0] + 1e-12
        and stats.kstest(at_zero / at_zero.max(), "uniform").pvalue > 0.01
    )


@settings(max_examples=50)
@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0.01, 0.99))
def test_the_cost_is_what_the_best_loan_would_have_earned_more(loan, revenue, margin):
    def earn(lent):
        return margin * lent - max(lent - revenue, 0.0)

    row = cost_of_error([loan], [revenue], margin).iloc[0]
    best = max(earn(lent) for lent in (0.0, revenue, 2 * revenue, loan))
    assert row["cost"] == pytest.approx(best - earn(loan), abs=1e-8) and row["cost"] >= 0
    assert row["forgone"] + row["lost"] == row["cost"] and min(row["forgone"], row["lost"]) == 0


def test_the_quantile_at_the_margin_is_the_cheapest_loan():
    revenue = np.random.default_rng(0).gamma(2.0, 100.0, 20_001)
    loans = np.quantile(revenue, np.arange(1, 100) / 100)
    costs = [cost_of_error(np.full(len(revenue), loan), revenue, 0.2)["cost"].mean() for loan in loans]
    assert np.argmin(costs) == 19


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            lambda: binomial_test(3, 2, 0.1),
            "n_defaults must lie in 0 to n_loans and probability inside .* got 3 of 2 at 0.1",
        ),
        (lambda: traffic_light(1, 2, 1.0), "probability inside"),
        (lambda: kupiec_test([0, 2], 0.1), "hits must be true or false, got 2"),
        (lambda: kupiec_test([0, 1], 1.5), "probability must lie inside"),
        (lambda: christoffersen_test([0, 1], 0.1, ["a", "b"]), "hits must follow on each other in some series, got 2"),
        (lambda: uniformity_test([0.5, 1.1]), r"levels must lie in \[0, 1\], got 0.5 to 1.1"),
        (lambda: uniformity_test([0.5, 0.1], 2, ["a", "b"]), "clusters must be more than the 2 bins, got 2"),
        (
            lambda: hosmer_lemeshow_test([0.0, 0.5], [0, 1], ["a", "b"]),
            "promised must lie inside .0, 1. for some loan of",
        ),
        (lambda: population_stability_index([], [1.0]), "reference must have values and no missing ones, got 0 of 0"),
        (lambda: population_stability_index([1.0], [None]), "current must have values and no missing ones, got 0 of 1"),
        (lambda: cost_of_error([-1.0], [1.0], 0.1), "loans must be at least 0, got -1"),
        (lambda: cost_of_error([1.0], [1.0], 1), "margin must lie inside"),
        (
            lambda: probability_transform([1.0, 2.0], QuantileCurve.from_draws([[1.0, 2.0]])),
            "curve must have one law for",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(test, message):
    with pytest.raises(ValueError, match=message):
        test()


# Sizes: a 5 % test rejects 5 % of good models.


@pytest.mark.parametrize(("n", "probability"), [(500, 0.1), (250, 0.05), (2000, 0.01)])
def test_the_binomial_tests_reject_as_many_good_models_as_they_say(n, probability):
    """Exactly, by adding up the law of the number of defaults."""
    k = np.arange(n + 1)
    law = stats.binom.pmf(k, n, probability)
    size = law[binomial_test(k, n, probability) < 0.05].sum()
    assert 0.02 < size <= 0.05
    likely = k[law > 1e-12]
    two_sided = law[likely][[kupiec_test(np.arange(n) < each, probability).p_value < 0.05 for each in likely]].sum()
    assert 0.03 < two_sided < 0.07
    zones = traffic_light(k, n, probability)
    for zone, least in (("yellow", 0.95), ("red", 0.9999)):  # the first of a zone lies across its border
        beyond = law[k >= k[zones == zone].min()]
        assert 1 - least - 1e-12 < beyond.sum() < 1 - least + beyond[0]


def test_christoffersen_rejects_as_many_good_models_as_it_says():
    rng = np.random.default_rng(0)
    results = [christoffersen_test(rng.random(1000) < 0.2, 0.2) for _ in range(N_RUNS)]
    for kind in range(2):
        share, error = share_of_rejections([result[kind].p_value for result in results])
        assert abs(share - 0.05) < error


def test_hosmer_lemeshow_and_uniformity_reject_as_many_good_models_as_they_say():
    rng, p_values = np.random.default_rng(0), []
    for _ in range(N_RUNS):
        promised = rng.uniform(0.05, 0.4, 800)
        graded = hosmer_lemeshow_test(promised, rng.random(800) < promised).p_value
        p_values.append([graded, uniformity_test(rng.random(800)).p_value])
    for kind in np.transpose(p_values):
        share, error = share_of_rejections(kind)
        assert abs(share - 0.05) < error


def draw_defaults(rng, n_sellers=50, n_origins=30, on_seller=0.5, on_origin=0.0, promised=0.2):
    """Defaults of sellers who come again at each origin, by a probit with a factor of each and the promised share."""
    factor = on_seller * rng.normal(size=(n_sellers, 1)) + on_origin * rng.normal(size=(1, n_origins))
    noise = np.sqrt(1 - on_seller**2 - on_origin**2) * rng.normal(size=(n_sellers, n_origins))
    levels = stats.norm.cdf(factor + noise).ravel()
    seller, origin = np.divmod(np.arange(levels.size), n_origins)
    return levels, pd.DataFrame({"seller": seller, "origin": origin})


@pytest.mark.parametrize("case", ["sellers repeat", "origins share a shock", "both"])
def test_clustered_tests_reject_as_many_good_models_as_they_say_and_naive_ones_more(case):
    shocks = {"sellers repeat": (0.6, 0.0), "origins share a shock": (0.0, 0.3), "both": (0.5, 0.3)}[case]
    kinds = {"sellers repeat": ["seller"], "origins share a shock": ["origin"], "both": ["seller", "origin"]}[case]
    rng, p_values = np.random.default_rng(0), []
    for _ in range(N_RUNS):
        levels, clusters = draw_defaults(rng, on_seller=shocks[0], on_origin=shocks[1])
        defaulted = levels < 0.2
        naive, clustered = (compare_promises(0.2, defaulted, clusters=by) for by in (None, clusters[kinds]))
        p_values.append([naive["p_value"].iloc[0], clustered["p_value"].iloc[0]])
    naive, clustered = np.transpose(p_values)
    share, error = share_of_rejections(clustered)
    assert abs(share - 0.05) < error
    assert share_of_rejections(naive)[0] > 0.2


def test_the_clustered_test_of_uniformity_rejects_as_many_good_models_as_it_says():
    rng, p_values = np.random.default_rng(0), []
    for _ in range(N_RUNS):
        levels, clusters = draw_defaults(rng, n_sellers=120, n_origins=15, on_seller=0.6)
        p_values.append([uniformity_test(levels, 5).p_value, uniformity_test(levels, 5, clusters["seller"]).p_value])
    naive, clustered = np.transpose(p_values)
    share, error = share_of_rejections(clustered)
    assert abs(share - 0.05) < error
    assert share_of_rejections(naive)[0] > 0.3


def test_a_promise_that_is_broken_is_seen():
    levels, clusters = draw_defaults(np.random.default_rng(0), on_origin=0.2)
    table = compare_promises(0.1, levels < 0.2, clusters=clusters)
    assert table.loc["all", "difference"] > 0.07 and table.loc["all", "p_value"] < 0.01


@pytest.mark.parametrize(
    ("loading", "share", "power"),
    [(0.0, 0.22, 0.87), (0.0, 0.25, 1.0), (0.15, 0.22, 0.16), (0.15, 0.25, 0.74), (0.3, 0.22, 0.06), (0.3, 0.25, 0.22)],
)
def test_the_power_is_what_is_stated(loading, share, power):
    rng, seen = np.random.default_rng(0), 0
    origin = np.repeat(np.arange(9), 600)
    for _ in range(N_RUNS // 3):
        factor, noise = rng.normal(size=9)[origin], rng.normal(size=origin.size)
        defaulted = loading * factor + np.sqrt(1 - loading**2) * noise < stats.norm.ppf(share)
        seen += compare_promises(0.2, defaulted, clusters=origin)["p_value"].iloc[0] < 0.05
    assert abs(seen / (N_RUNS // 3) - power) < 3 * np.sqrt(0.75 / N_RUNS)


def test_the_true_law_given_the_shocks_keeps_its_promise_in_every_vintage():
    """Who sells at most so many items: promised by the law of the simulated marketplace, counted in its sales."""
    market, horizon, promises = Marketplace(250), 90, []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        sellers, shocks = market.draw_sellers(rng), market.draw_shocks(rng)
        sellers = sellers[sellers["entry"] < "2017-12-01"].assign(exit_probability=0.0)
        items = market.draw(rng, sellers, shocks)
        few = np.ceil(0.8 * horizon * sellers["rate"].to_numpy())[:, None]
        for origin in pd.DatetimeIndex(["2017-12-01", "2018-03-01", "2018-05-30"]):
            sold = items[(items["date"] >= origin) & (items["date"] < origin + pd.Timedelta(days=horizon))]
            units = sold["seller"].value_counts().reindex(sellers["seller"], fill_value=0).to_numpy()
            promised = market.cdf(sellers, origin, horizon, few, shocks)[:, 0]
            promises.append(pd.DataFrame({"origin": origin, "promised": promised, "defaulted": units <= few[:, 0]}))
    table = pd.concat(promises)
    by_origin = compare_promises(table["promised"], table["defaulted"], table["origin"])
    assert (by_origin["difference"].abs() < 4 * by_origin["error"]).all()
    assert by_origin["promised"].nunique() == 3 and by_origin["n"].min() > 400
