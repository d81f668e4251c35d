"""Standard errors, intervals and tests of quantile planes against statsmodels, theory, order statistics and counts."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import linprog

from qrgmm.quantile_regression import (
    plane_covariance,
    rank_score_interval,
    rank_score_test,
    rank_scores,
    sandwich_interval,
)

TAU = 0.2
X_NEW = np.array([1.0, 0.7])


def draw(n, rng, n_groups=None):
    """Rows of a law with linear quantiles and a spread that grows; of sellers who share their luck if asked for."""
    x = rng.uniform(size=n)
    luck = rng.normal(size=n)
    if n_groups:
        groups = rng.integers(n_groups, size=n)
        x = rng.uniform(size=n_groups)[groups]
        luck = np.sqrt(0.6) * rng.normal(size=n_groups)[groups] + np.sqrt(0.4) * luck
        return np.column_stack([np.ones(n), x]), 3 + 2 * x + (1 + x) * luck, groups
    return np.column_stack([np.ones(n), x]), 3 + 2 * x + (1 + x) * luck


def true_quantile(x=X_NEW, tau=TAU):
    return 3 + 2 * x[1] + (1 + x[1]) * stats.norm.ppf(tau)


# What they are made of.


@pytest.mark.parametrize("tau", [0.05, 0.37, 0.9])
def test_rank_scores_are_the_solution_of_the_dual_programme(tau):
    X, y = draw(120, np.random.default_rng(0))
    coef, scores = rank_scores(X, y, tau)
    dual = linprog(-y, A_eq=X.T, b_eq=(1 - tau) * X.sum(axis=0), bounds=(0, 1)).x
    np.testing.assert_allclose(scores, dual - (1 - tau), atol=1e-9)
    residual = y - X @ coef
    off = np.abs(residual) > 1e-9
    np.testing.assert_allclose(scores[off], np.where(residual > 0, tau, tau - 1)[off])


def test_rank_scores_of_tied_sales_are_those_of_an_optimum():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(300), rng.integers(0, 3, 300)])
    y = rng.poisson(2.0, 300).astype(float)
    coef, scores = rank_scores(X, y, 0.3)
    np.testing.assert_allclose(X.T @ scores, 0, atol=1e-8)
    residual = y - X @ coef
    assert y @ scores == pytest.approx(np.where(residual > 0, 0.3, -0.7) @ residual)


def test_errors_are_those_of_statsmodels_where_all_rows_spread_alike():
    rng = np.random.default_rng(2)
    X = sm.add_constant(rng.normal(size=(20_000, 2)))
    y = X @ [1.0, 2.0, -1.0] + rng.normal(size=len(X))
    for tau in (0.1, 0.5):
        peer = sm.QuantReg(y, X).fit(tau, kernel="gau")
        coef, covariance = plane_covariance(X, y, tau)
        np.testing.assert_allclose(coef, peer.params, atol=1e-3)
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), peer.bse, rtol=0.04)


@pytest.mark.parametrize("tau", [0.05, 0.2, 0.5])
def test_errors_are_those_of_the_limit_law_where_rows_spread_differently(tau):
    X, y = draw(30_000, np.random.default_rng(3))
    scale = X.sum(axis=1)
    J = X.T @ (stats.norm.pdf(stats.norm.ppf(tau)) / scale[:, None] * X)
    expected = np.linalg.solve(J, np.linalg.solve(J, tau * (1 - tau) * X.T @ X).T)
    np.testing.assert_allclose(plane_covariance(X, y, tau)[1], expected, rtol=0.1)


def test_without_covariates_ends_are_order_statistics():
    y = np.random.default_rng(4).exponential(size=400)
    low, high = rank_score_interval(np.ones((400, 1)), y, 0.25, [1.0])
    # As many lie below an end as a binomial count may, in its standard errors; one row is a ninth of one.
    for end, side in ((low, -1), (high, 1)):
        reached = side * (np.mean(y < end) - 0.25) / np.sqrt(0.25 * 0.75 / 400)
        assert abs(reached - stats.norm.ppf(0.95)) < 0.13


# What they promise.


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, found = np.random.default_rng(5), []
    for run in range(250):
        X, y = draw(200, rng)
        low, high = sandwich_interval(X, y, TAU, X_NEW)
        ends = [(low[0], high[0])]
        if run < 60:
            ends.append(rank_score_interval(X, y, TAU, X_NEW))
        found.append([a <= true_quantile() <= b for a, b in ends])
    sandwich, by_ranks = np.array([row[0] for row in found]), np.array([row[1] for row in found[:60]])
    for hits in (sandwich, by_ranks):
        assert abs(hits.mean() - 0.9) < 3 * np.sqrt(0.09 / len(hits)) < 0.12


def test_intervals_of_sellers_with_many_rows_hold_only_if_rows_are_grouped():
    rng, found = np.random.default_rng(6), []
    for _ in range(200):
        X, y, groups = draw(600, rng, n_groups=60)
        intervals = [sandwich_interval(X, y, TAU, X_NEW, groups=each) for each in (None, groups)]
        found.append([(low <= true_quantile() <= high)[0] for low, high in intervals])
    alone, grouped = np.mean(found, axis=0)
    assert abs(grouped - 0.9) < 0.03 + 2 * np.sqrt(0.09 / 200)  # sixty sellers are few for a limit
    assert alone < 0.75


@pytest.mark.parametrize("n_groups", [None, 80])
def test_a_true_plane_is_refused_as_often_as_allowed_and_a_wrong_one_nearly_always(n_groups):
    rng, p_values, wrong = np.random.default_rng(7), [], []
    for run in range(300):
        X, y, *groups = draw(400, rng, n_groups)
        added = X[:, 1:] ** 2
        p_values.append(rank_score_test(X, y, TAU, added, *groups)[1])
        if run < 40:
            wrong.append(rank_score_test(X, y + 20 * (X[:, 1] - 0.5) ** 2, TAU, added, *groups)[1])
    error = np.sqrt(0.09 / 300)
    assert -4 * error < np.mean(np.array(p_values) < 0.1) - 0.1 < 3 * error
    assert np.mean(np.array(wrong) < 0.01) > 0.9


def test_shared_luck_is_taken_for_a_bend_unless_rows_are_grouped():
    rng, p_values = np.random.default_rng(8), []
    for _ in range(60):
        X, y, groups = draw(400, rng, 50)
        p_values.append(rank_score_test(X, y, TAU, X[:, 1:] ** 2)[1])
    assert np.mean(np.array(p_values) < 0.1) > 0.3


# What they must not depend on.


def test_rows_that_are_their_own_groups_change_nothing():
    X, y = draw(200, np.random.default_rng(9))
    own = [f"seller {i}" for i in range(200)]
    np.testing.assert_array_equal(plane_covariance(X, y, TAU)[1], plane_covariance(X, y, TAU, own)[1])
    np.testing.assert_array_equal(sandwich_interval(X, y, TAU, X), sandwich_interval(X, y, TAU, X, groups=own))
    assert rank_score_interval(X, y, TAU, X_NEW) == rank_score_interval(X, y, TAU, X_NEW, groups=own)
    assert rank_score_test(X, y, TAU, X[:, 1:] ** 2) == rank_score_test(X, y, TAU, X[:, 1:] ** 2, own)


def test_twice_the_same_rows_say_no_more_if_they_are_grouped():
    X, y = draw(200, np.random.default_rng(10))
    twice = np.tile(np.arange(200), 2)
    once = plane_covariance(X, y, 0.23)[1]
    assert np.allclose(plane_covariance(np.tile(X, (2, 1)), np.tile(y, 2), 0.23, twice)[1], once, rtol=0.25)


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_few_groups_are_few_degrees_of_freedom(confidence):
    X, y, groups = draw(300, np.random.default_rng(14), n_groups=4)
    coef, covariance = plane_covariance(X, y, TAU, groups)
    reach = stats.t.ppf((1 + confidence) / 2, 3) * np.sqrt(X_NEW @ covariance @ X_NEW)
    found = np.ravel(sandwich_interval(X, y, TAU, X_NEW, confidence, groups))
    np.testing.assert_allclose(found, X_NEW @ coef + reach * np.array([-1, 1]), rtol=1e-12)


@settings(max_examples=15)
@given(
    st.floats(0.05, 0.95), st.sampled_from([1e-4, 1.0, 1e5]), st.floats(-1e3, 1e3), st.sampled_from([1e-3, 7.0, 1e4])
)
def test_units_and_a_shift_along_the_plane_change_nothing_else(tau, unit, shift, column_unit):
    X, y = draw(150, np.random.default_rng(11))
    groups, added = np.repeat(np.arange(50), 3), X[:, 1:] ** 2
    other = X * [1.0, column_unit]
    y_other = unit * (y + shift + shift * X[:, 1])
    expected = np.ravel(sandwich_interval(X, y, tau, X_NEW, groups=groups))
    found = np.ravel(sandwich_interval(other, y_other, tau, X_NEW * [1.0, column_unit], groups=groups))
    np.testing.assert_allclose(found / unit - 1.7 * shift, expected, atol=1e-6)
    np.testing.assert_allclose(
        rank_score_test(other, y_other, tau, added, groups), rank_score_test(X, y, tau, added, groups), rtol=1e-5
    )


@pytest.mark.parametrize("unit", [1e-14, 1e14])
def test_a_column_in_a_far_smaller_or_larger_unit_is_as_independent_as_before(unit):
    X, y = draw(150, np.random.default_rng(15))
    expected = rank_scores(X, y, TAU)
    found = rank_scores(X * [1, unit], y, TAU)
    np.testing.assert_allclose(found[0] * [1, unit], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-9)


def test_a_coefficient_is_a_row_with_a_single_one_and_loses_nothing_to_other_units():
    X, y = draw(200, np.random.default_rng(12))
    low, high = rank_score_interval(X, y, TAU, [0.0, 1.0])
    tens = rank_score_interval(X * [1, 10], y, TAU, [0.0, 1.0])
    np.testing.assert_allclose(tens, (low / 10, high / 10), rtol=1e-3)
    coef, covariance = plane_covariance(X, y, TAU)
    assert low < coef[1] < high and 0.5 < (high - low) / (2 * 1.645 * np.sqrt(covariance[1, 1])) < 2
    assert rank_score_interval(X[:12], y[:12], 0.05, X_NEW)[0] == -np.inf  # twelve rows know no lower end


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda X, y: plane_covariance(X, y[:5], TAU), r"y must have shape \(40,\)"),
        (lambda X, y: plane_covariance(X, y * np.nan, TAU), "y must be finite"),
        (lambda X, y: plane_covariance(X[:, [0, 1, 1]], y, TAU), "2 independent columns of 3"),
        (lambda X, y: plane_covariance(X * [1, 0], y, TAU), "1 independent columns of 2"),
        (lambda X, y: plane_covariance(X[:, :0], y, TAU), r"X must be non-empty with shape \(n_rows, n_features\)"),
        (lambda X, y: plane_covariance(X[:2], y[:2], TAU), "more rows than columns"),
        (lambda X, y: plane_covariance(X, y, 1.0), "tau must lie inside"),
        (lambda X, y: plane_covariance(X, y, TAU, ["a"] * 40), "groups must have .* at least two"),
        (lambda X, y: plane_covariance(X, y, TAU, [None] * 40), "none missing"),
        (lambda X, y: plane_covariance(X, y, TAU, ["a", "b"]), r"shape \(40,\), .* \(2,\)"),
        (lambda X, y: plane_covariance(X, np.ones(40), TAU), "y must vary around its plane"),
        (lambda X, y: sandwich_interval(X, y, TAU, [1.0]), "x_new must have 2 columns"),
        (lambda X, y: sandwich_interval(X, y, TAU, X_NEW, 1.5), "confidence must lie inside"),
        (lambda X, y: rank_score_interval(X, y, TAU, [0.0, 0.0]), "x must have a number"),
        (lambda X, y: rank_score_test(X, y, TAU, X[:, 1:]), "none of them depending on X"),
        (lambda X, y: rank_score_test(X, y, TAU, X[:5, 1:]), "added must have 40 rows"),
        (lambda X, y: rank_score_test(X, y, TAU, X[:, 1:] * np.nan), "^added must be finite"),
        (lambda X, y: rank_score_test(X, y, TAU, X[:, 1:] ** [2, 3], [0, 1] * 20), "fewer than the groups"),
    ],
)
def test_what_cannot_be_inferred_is_refused(call, message):
    X, y = draw(40, np.random.default_rng(13))
    with pytest.raises(ValueError, match=message):
        call(X, y)
