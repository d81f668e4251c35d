"""Calibrations keep what they promise where their assumptions hold: exchangeable outcomes, any outcomes, one factor."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtr, ndtri

from qrgmm.curve import QuantileCurve
from qrgmm.portfolio import EllipticalCopula, cautious_level, common_loading, pair_correlation, vintage_share
from qrgmm.recalibration import adaptive_levels, level_for_all_rows, recalibrated_level, shifted_level
from qrgmm.risk import largest_loan

N_RUNS = 2000


@pytest.mark.parametrize("promise", [0.1, 0.2, 0.37])
def test_loans_keep_the_promise_exactly_if_outcomes_are_exchangeable_whatever_the_law_is(promise):
    rng, n = np.random.default_rng(1), 29
    law = QuantileCurve(np.arange(1, 100) / 100, np.arange(1, 100) / 100)  # uniform; outcomes are not
    outcomes = 0.01 + 0.98 * rng.beta(0.7, 1.6, (N_RUNS, n + 1))
    levels = [recalibrated_level(law.cdf(known)[0], promise) for known in outcomes[:, :n]]
    loans = np.array([largest_loan(law, max_default_probability=level)[0] for level in levels])
    expected = np.floor(promise * (n + 1)) / (n + 1)
    assert abs((outcomes[:, n] < loans).mean() - expected) < 4 * np.sqrt(expected / N_RUNS)
    assert expected <= promise


def test_a_level_is_that_of_the_weighted_share_and_weights_of_zero_forget():
    u = np.random.default_rng(2).random(400)
    weights = np.repeat([1.0, 0.0], 200)
    assert recalibrated_level(u, 0.3, weights) == recalibrated_level(u[:200], 0.3) == np.sort(u[:200])[59]
    assert recalibrated_level(u[::-1], 0.3, 0.5) == recalibrated_level(u, 0.3, np.full(400, 0.5))
    # Few effective observations are cautious: with weights of 1/100 the 1 weighs as much as a hundred.
    assert recalibrated_level(u, 0.3, 0.01) < recalibrated_level(u, 0.3) and recalibrated_level(u[:2], 0.3) == 0


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_an_excess_that_falls_with_the_rows_is_made_up_for_at_the_number_that_a_law_is_fitted_to(n_folds):
    """Outcomes of refits lie below level u with probability u + b / rows of the refit; found is the root for all."""
    n, b, promise = 400, 8.0, 0.1
    below = (np.arange(199_999) + 1) / 200_000
    left_out = (below - b / (n * (1 - 1 / n_folds))).clip(0)
    assert level_for_all_rows(left_out, promise, n_folds) == pytest.approx(promise - b / n, abs=1e-5)
    assert recalibrated_level(left_out, promise) < promise - b / n - 1e-3
    # Loans that are too small are not the work of estimation; rows of which nothing is known count for nothing.
    np.testing.assert_allclose(level_for_all_rows(np.append(below**0.5, np.nan), promise, n_folds), 0.1**0.5, rtol=1e-4)
    assert level_for_all_rows(left_out[:8], promise, n_folds) == 0


def test_a_shift_of_normal_scores_is_undone():
    rng = np.random.default_rng(3)
    u = ndtr(rng.normal(-0.3, 1, 100_000))
    assert (u < 0.2).mean() > 0.28
    assert abs((u < shifted_level(0.2, ndtri(u).mean())).mean() - 0.2) < 0.006
    np.testing.assert_array_equal(shifted_level([0.0, 0.5, 1.0], 0.0), [0.0, 0.5, 1.0])


@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("step", [0.05, 0.5])
def test_adaptive_levels_keep_the_promise_on_average_against_whatever_comes(delay, step):
    rng, n, promise = np.random.default_rng(4), 800, 0.2
    means = 0.8 * np.sin(np.arange(n) / 30) + rng.normal(0, 0.3, n)  # a drift, shocks, and a turn for the worse
    means[n // 2 :] -= 1

    def default_share(t, level):
        return float(ndtr(ndtri(level) - means[t]))

    known = [range(max(0, t - delay + 1)) for t in range(n)]
    levels = adaptive_levels(default_share, known, promise, step)
    shares = [default_share(t, level) for t, level in enumerate(levels)]
    bound = (1 + step * delay) / (step * n) + delay / n
    assert abs(np.mean(shares) - promise) <= bound
    assert ndtr(ndtri(promise) - means).mean() > promise + bound or step == 0.05  # without it, the promise is broken
    for t in (0, 5, 300):  # by hand
        told = promise + step * sum(promise - shares[s] for s in known[t])
        assert levels[t] == pytest.approx(np.clip(told, 0, 1), abs=1e-12)


def test_a_default_share_is_asked_for_once_and_only_when_it_is_known():
    asked = []
    adaptive_levels(lambda t, level: asked.append(t) or 0.2, [[], [], [0], [0, 1]], 0.2, 0.1)
    assert asked == [0, 1]


def draw_scores(rng, loading, dates, n_rows, horizon=90):
    """Scores of vintages whose factor is a sum of daily shocks over the horizon, which overlap."""
    days = rng.normal(size=(dates[-1] - dates[0]).days + horizon)
    factor = np.array([days[(day - dates[0]).days :][:horizon].sum() for day in dates]) / np.sqrt(horizon)
    noise = rng.normal(size=(len(dates), n_rows))
    return (loading * factor[:, None] + np.sqrt(1 - loading**2) * noise).ravel()


@pytest.mark.parametrize("loading", [0.15, 0.4])
def test_the_band_of_a_loading_covers_it_as_often_as_it_says_however_horizons_overlap(loading):
    rng, dates, n_runs, n_rows = np.random.default_rng(5), pd.date_range("2017-07-01", periods=12, freq="MS"), 200, 300
    origins = np.repeat(dates, n_rows)
    found = [
        common_loading(draw_scores(rng, loading, dates, n_rows), origins, n_draws=2000, rng=0) for _ in range(n_runs)
    ]
    covered = np.mean([each.low <= loading <= each.high for each in found])
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 / n_runs)
    squares = np.array([each.loading**2 for each in found])  # the square is right on average
    assert abs(squares.mean() - loading**2) < 4 * squares.std() / np.sqrt(n_runs) + 0.05 * loading**2


def test_without_a_factor_the_loading_is_next_to_nothing():
    rng, origins = np.random.default_rng(6), np.repeat(pd.date_range("2020-01-01", periods=12, freq="QS"), 500)
    found = common_loading(rng.normal(size=6000), origins)
    assert found.low == 0 and found.loading < 0.04 and found.high < 0.06


def test_without_overlap_the_square_of_a_loading_is_the_variance_of_means_less_that_of_independent_rows():
    sizes = np.array([30, 400, 60, 90, 200])
    scores = 5 + np.random.default_rng(11).normal(size=sizes.sum()) + np.repeat([0.9, 0.8, -0.3, -0.2, 0.1], sizes)
    found = common_loading(scores, np.repeat(pd.date_range("2015-01-01", periods=5, freq="YS"), sizes), "30D")
    of_origin = np.split((scores - scores.mean()) / scores.std(), np.cumsum(sizes)[:-1])
    noise = np.mean([each.var(ddof=1) / len(each) for each in of_origin])
    spread = np.var([each.mean() for each in of_origin], ddof=1)
    assert found.loading**2 == pytest.approx(spread - noise, rel=1e-9)
    ends = 4 * spread / stats.chi2(4).ppf([0.95, 0.05]) - noise
    np.testing.assert_allclose([found.low, found.high], np.sqrt(ends.clip(0, 1)), rtol=0.03)


def test_scores_that_are_nothing_but_the_factor_have_a_loading_of_at_most_one():
    origins = np.repeat(pd.date_range("2020-01-01", periods=6, freq="QS"), 40)
    found = common_loading(np.repeat([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0], 40), origins)
    assert 0.5 < found.low < found.loading <= found.high == 1


def test_pairs_of_a_group_are_correlated_as_the_copula_says_and_substitutes_below_zero():
    n_origins, n_groups, size = 60, 20, 5
    copula = EllipticalCopula(loadings=np.full(size, np.sqrt(0.3)))
    scores = ndtri(copula.sample(n_origins * n_groups, rng=7)).ravel()
    groups = np.tile(np.repeat(np.arange(n_groups), size), n_origins)
    origins = np.repeat(np.arange(n_origins), n_groups * size)
    found, error = pair_correlation(scores, groups, origins)
    assert abs(found - 0.3) < 4 * error < 0.1
    shared = pd.Series(scores).groupby([origins, groups]).transform("mean").to_numpy()
    assert pair_correlation(scores - shared, groups, origins)[0] == pytest.approx(-1 / (size - 1))
    by_hand = [a * b for t in range(2) for g in range(2) for i, a in enumerate(block(scores, t, g, n_groups, size))
               for j, b in enumerate(block(scores, t, g, n_groups, size)) if i != j]  # fmt: skip
    few = (origins < 2) & (groups < 2)
    expected = np.mean(by_hand) / scores[few].var()
    assert pair_correlation(scores[few], groups[few], origins[few])[0] == pytest.approx(expected)


def test_the_error_of_a_pair_correlation_is_that_of_the_mean_over_clusters():
    scores = np.random.default_rng(9).normal(size=(7, 4, 3))
    scores += np.random.default_rng(10).normal(size=(7, 4, 1))
    of_cluster = ((scores.sum(axis=2) ** 2 - (scores**2).sum(axis=2)) / 6).mean(axis=1)
    groups, clusters = np.tile(np.repeat(np.arange(4), 3), 7), np.repeat(np.arange(7), 12)
    expected = np.array([of_cluster.mean(), of_cluster.std(ddof=1) / np.sqrt(7)]) / scores.var()
    np.testing.assert_allclose(pair_correlation(scores.ravel(), groups, clusters), expected, rtol=1e-12)


def block(scores, origin, group, n_groups, size):
    start = (origin * n_groups + group) * size
    return scores[start : start + size]


@pytest.mark.parametrize("n_loans", [None, 40])
def test_a_band_of_one_vintage_covers_default_shares_of_the_one_factor_copula(n_loans):
    loading, probability = 0.3, 0.2
    low, high = vintage_share(probability, loading, [0.05, 0.95], n_loans)
    copula = EllipticalCopula(loadings=np.full(n_loans or 2000, loading))
    shares = (copula.sample(2000, rng=8) < probability).mean(axis=1)
    assert abs((shares < low).mean() - 0.05) < 0.02 + 0.02 * bool(n_loans)  # shares of few loans are lumpy
    assert abs((shares > high).mean() - 0.05) < 0.02 + 0.02 * bool(n_loans)
    if n_loans:
        assert (shares <= high).mean() >= 0.94


def test_a_cautious_level_is_the_band_read_backwards():
    for loading in (0.0, 0.15, 0.5):
        level = cautious_level(0.2, loading, 0.9)
        assert vintage_share(level, loading, [0.9])[0] == pytest.approx(0.2)
        assert (level < 0.2 - 1e-9) == (loading > 0)
    many = vintage_share(0.2, 0.3, [0.1, 0.9])
    np.testing.assert_allclose(vintage_share(0.2, 0.3, [0.1, 0.9], 5000), many, atol=4e-3)
    np.testing.assert_allclose(vintage_share(0.2, 0.0, [0.5], 1000), 0.2)


DAYS = pd.date_range("2020-01-01", periods=3, freq="QS")
SCORES = np.arange(6.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recalibrated_level([0.5, 1.2], 0.2), "outcome_levels must lie in"),
        (lambda: recalibrated_level([0.5], 0.2, 2.0), "weights must lie in"),
        (lambda: recalibrated_level([0.5], 0.2, [1, 1]), "weights must be a number or have shape"),
        (lambda: recalibrated_level([0.5], 1.0), "promise must"),
        (lambda: level_for_all_rows([0.5], 0.2, 1), "n_folds must be"),
        (lambda: level_for_all_rows([np.nan], 0.2), "outcome_levels must .* not be empty"),
        (lambda: shifted_level(1.2, 0.0), "level must lie in"),
        (lambda: shifted_level(0.2, np.nan), "score must be finite"),
        (lambda: adaptive_levels(lambda t, level: 0.2, [[0]], 0.2, 0.1), "known must name earlier vintages"),
        (lambda: adaptive_levels(lambda t, level: 0.2, [[]], 0.2, 0.0), "step must be positive"),
        (lambda: adaptive_levels(lambda t, level: np.nan, [[], [0]], 0.2, 0.1), "default_share must lie"),
        (lambda: common_loading([1.0, 2.0], DAYS), "origins must be a day for each"),
        (lambda: common_loading([1.0, 2.0, 3.0], DAYS), "origins must be three or more"),
        (lambda: common_loading([1.0, 1.0, 1.0], DAYS), "scores must vary"),
        (lambda: common_loading(SCORES, np.repeat(DAYS, 2), 90), "horizon must be"),
        (lambda: common_loading(SCORES, np.repeat(DAYS, 2), confidence=1.0), "confidence must lie"),
        (lambda: common_loading(SCORES, np.repeat(DAYS, 2), n_draws=0), "n_draws must be"),
        (lambda: common_loading(SCORES, [*DAYS, *DAYS[:2], None]), "origins must be a day for each of 6 scores, got 5"),
        (lambda: pair_correlation([1.0, 2.0], [0], [0, 1]), "All arrays|groups"),
        (lambda: pair_correlation([1.0, 2.0], [0, 0], [0, 1]), "groups must hold pairs"),
        (lambda: pair_correlation([1.0, 2.0], [0, 0, 0], [0, 1, 1]), "a label for each of 2 scores, got 3"),
        (lambda: pair_correlation([1.0, 2.0], [None, "a"], [0, 1]), "a label for each of 2 scores"),
        (lambda: vintage_share(0.2, 1.0, [0.5]), "loading must be in"),
        (lambda: vintage_share(0.2, 0.1, [1.0]), "levels must lie inside"),
        (lambda: vintage_share(0.2, 0.1, [0.0]), "levels must lie inside"),
        (lambda: vintage_share(1.2, 0.1, [0.5]), "probability must lie inside"),
        (lambda: vintage_share(0.2, 0.1, [0.5], 0), "n_loans must be"),
        (lambda: cautious_level(1.0, 0.1, 0.9), "promise must lie inside"),
        (lambda: cautious_level(0.2, 0.1, 1.0), "confidence must lie inside"),
        (lambda: cautious_level(0.2, -0.1, 0.9), "loading must be in"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
