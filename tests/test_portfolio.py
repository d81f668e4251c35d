"""Portfolios against closed forms, single loans, linear programming and brute force; budgets out of sample."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from laws import curves
from scipy import stats
from scipy.optimize import linprog

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.models.metamodel import QRGMM
from qrgmm.portfolio.copula import ClaytonCopula, EllipticalCopula, fit_copula
from qrgmm.portfolio.loans import (
    allocate_cvar,
    largest_portfolio,
    loss_measures,
    portfolio_loss,
    revenue_scenarios,
    stress,
    tail_weights,
)
from qrgmm.risk import conditional_value_at_risk, expected_loss, largest_loan, shortfall_moment, value_at_risk
from qrgmm.studies import systems as system_studies

LEVELS = quantile_levels(10_000)


def make_curve(n_sellers, seed=0):
    rng = np.random.default_rng(seed)
    median, spread = rng.uniform(50, 150, (n_sellers, 1)), rng.uniform(0.1, 0.6, (n_sellers, 1))
    return QuantileCurve(LEVELS, median * np.exp(spread * stats.norm.ppf(LEVELS)))


CURVE = make_curve(6)
LOANS = CURVE.ppf([0.3])
PRICE = np.array([1.0, 2.0, 0.5, 3.0, 1.5, 1.0])
TOGETHER, APART = (EllipticalCopula(loadings=np.full(6, loading)) for loading in (1.0, 0.0))
TIED = EllipticalCopula(loadings=np.full(6, 0.6), df=4)


# Distribution.


def test_with_independence_means_and_variances_add_up():
    losses = portfolio_loss(CURVE, LOANS * PRICE[:, None], APART, 200_000, 0, PRICE)
    mean = expected_loss(CURVE, LOANS * PRICE[:, None], unit_revenue=PRICE)[:, 0]
    variance = shortfall_moment(CURVE, LOANS * PRICE[:, None], order=2, unit_revenue=PRICE)[:, 0] - mean**2
    assert abs(losses.mean() - mean.sum()) < 4 * losses.std() / np.sqrt(len(losses))
    # The standard error of a variance from the fourth moment.
    error = np.std((losses - losses.mean()) ** 2) / np.sqrt(len(losses))
    assert abs(losses.var() - variance.sum()) < 4 * error


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_comonotone_loans_have_the_sum_of_vars_and_cvars(level):
    losses = portfolio_loss(CURVE, LOANS, TOGETHER, 100_000, 1)
    # VaR of a sample is a quantile at a random level; the sums at the ends of its confidence band.
    reach = 4 * np.sqrt(level * (1 - level) / len(losses))
    low, high = (value_at_risk(CURVE, LOANS, level=level + sign * reach).sum() for sign in (-1, 1))
    measures = loss_measures(losses, level)
    assert low <= measures["value_at_risk"] <= high
    exact = conditional_value_at_risk(CURVE, LOANS, level=level).sum()
    np.testing.assert_allclose(measures["conditional_value_at_risk"], exact, rtol=0.02)


def test_comonotone_sums_are_exact_on_an_even_grid_of_scenarios():
    class Grid:
        n_dims = 6

        def sample(self, n_scenarios, rng):
            return np.repeat((np.arange(n_scenarios)[:, None] + 0.5) / n_scenarios, 6, axis=1)

    losses = portfolio_loss(CURVE, LOANS, Grid(), 20_000)
    level = 0.95 - 0.5 / 20_000  # a level of the grid
    exact = value_at_risk(CURVE, LOANS, level=level).sum()
    np.testing.assert_allclose(loss_measures(losses, level)["value_at_risk"], exact, rtol=1e-9)


def test_every_margin_is_kept_whatever_the_copula():
    for copula in (TIED, ClaytonCopula(2.0, 6)):
        revenue = revenue_scenarios(CURVE, copula, 20_000, 0, PRICE)
        for i in range(6):
            u = CURVE[i].cdf(revenue[i] / PRICE[i])[0]
            assert stats.kstest(u[(u > 0.01) & (u < 0.99)], stats.uniform(0.01, 0.98).cdf).pvalue > 1e-3


def test_chunks_are_the_same_scenarios_for_every_use(monkeypatch):
    monkeypatch.setattr("qrgmm.portfolio.loans.CELLS", 600)  # 100 scenarios at a time
    monkeypatch.setattr("qrgmm.portfolio.loans.SELLERS", 4)
    losses = portfolio_loss(CURVE, LOANS, TIED, 250, 3)
    revenue = revenue_scenarios(CURVE, TIED, 250, 3)
    np.testing.assert_allclose(losses, (LOANS - revenue).clip(0).sum(axis=0), rtol=1e-12)
    parts = allocate_cvar(CURVE, LOANS, TIED, 250, 3, level=0.9)
    cvar = loss_measures(losses, 0.9)["conditional_value_at_risk"]
    np.testing.assert_allclose(parts.sum(), cvar, rtol=1e-12)


def test_measures_of_losses_are_those_of_sorting():
    losses = np.random.default_rng(0).gamma(2.0, size=1000)
    measures, ordered = loss_measures(losses, 0.95), np.sort(losses)
    np.testing.assert_allclose(measures["expected_loss"], losses.mean(), rtol=1e-12)
    np.testing.assert_allclose(measures["conditional_value_at_risk"], ordered[-50:].mean(), rtol=1e-12)
    assert ordered[949] <= measures["value_at_risk"] <= ordered[950]


def test_measures_at_a_level_of_the_scenarios_are_whole_order_statistics():
    assert tail_weights([1.0, 2.0, 3.0], 2 / 3).tolist() == [0, 0, 1]
    for n in range(2, 60):
        losses = np.random.default_rng(n).permutation(n) + 1.0
        for k in range(1, n):
            measures, weights = loss_measures(losses, k / n), tail_weights(losses, k / n)
            assert measures["value_at_risk"] == k == np.quantile(losses, (k - 1e-9) / n, method="inverted_cdf")
            assert set(losses[weights > 0]) == set(range(k + 1, n + 1))
            np.testing.assert_allclose(measures["conditional_value_at_risk"], (k + 1 + n) / 2, rtol=1e-12)
            np.testing.assert_allclose(weights @ losses, (k + 1 + n) / 2, rtol=1e-12)


@pytest.mark.parametrize("level", [1 - 1e-9, 1 - 1e-12, 1 - 1e-16 * 1.2])
def test_a_level_next_to_one_asks_for_the_worst_scenario(level):
    losses = [1.0, 3.0, 2.0]
    assert tail_weights(losses, level).tolist() == [0, 1, 0]
    np.testing.assert_allclose(list(loss_measures(losses, level).values())[2:], 3, rtol=1e-12)


# Allocation.


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_tail_weights_are_a_law_with_a_ceiling_and_give_the_cvar(losses, level):
    weights = tail_weights(losses, level)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-9)
    assert (weights >= 0).all() and (weights <= 1 / ((1 - level) * len(losses)) * (1 + 1e-6)).all()
    cvar = loss_measures(losses, level)["conditional_value_at_risk"]
    np.testing.assert_allclose(weights @ losses, cvar, rtol=1e-6, atol=1e-9)


@given(curves(values=st.floats(0, 100), max_rows=4), st.floats(0.5, 0.99))
def test_contributions_sum_to_the_cvar(curve, level):
    copula = EllipticalCopula(loadings=np.full(len(curve), 0.5))
    loans = np.linspace(10, 80, len(curve))[:, None]
    parts = allocate_cvar(curve, loans, copula, 300, 0, level)
    cvar = loss_measures(portfolio_loss(curve, loans, copula, 300, 0), level)["conditional_value_at_risk"]
    np.testing.assert_allclose(parts.sum(), cvar, rtol=1e-9, atol=1e-9)
    assert (parts >= 0).all()


def test_contributions_are_the_slopes_of_the_cvar():
    # Euler: the derivative when the share held in a loan grows, at fixed loans; here one loan is held 1.001 times.
    revenue = revenue_scenarios(CURVE, TIED, 4000, 0)
    losses = (LOANS - revenue).clip(0)
    parts = allocate_cvar(CURVE, LOANS, TIED, 4000, 0)
    for i in range(6):
        up, down = (
            tail_weights(losses.sum(axis=0) + h * losses[i]) @ (losses.sum(axis=0) + h * losses[i])
            for h in (1e-3, -1e-3)
        )
        np.testing.assert_allclose(parts[i], (up - down) / 2e-3, rtol=0.01)


def test_comonotone_contributions_are_the_cvars_of_the_loans_alone():
    parts = allocate_cvar(CURVE, LOANS, TOGETHER, 100_000, 0)
    alone = conditional_value_at_risk(CURVE, LOANS, level=0.95)[:, 0]
    np.testing.assert_allclose(parts, alone, rtol=0.03)


def test_a_generator_gives_one_set_of_scenarios_to_both_passes():
    rng = np.random.default_rng(5)
    parts = allocate_cvar(CURVE, LOANS, TIED, 500, rng)
    cvar = loss_measures(portfolio_loss(CURVE, LOANS, TIED, 500, 5))["conditional_value_at_risk"]
    np.testing.assert_allclose(parts.sum(), cvar, rtol=1e-12)


# Stress.


def test_a_common_drop_is_a_lower_price_on_the_same_scenarios():
    both = stress(CURVE, LOANS, TIED, 2000, 0, drop=0.2)
    assert both["as fitted"] == loss_measures(portfolio_loss(CURVE, LOANS, TIED, 2000, 0))
    assert both["stressed"] == loss_measures(portfolio_loss(CURVE, LOANS, TIED, 2000, 0, 0.8))


def test_stress_and_allocation_count_at_each_sellers_price_and_at_the_level_asked_for():
    factor, setting = EllipticalCopula(loadings=np.full(6, 0.7)), (2000, 0)
    both = stress(CURVE, LOANS, factor, *setting, level=0.8, unit_revenue=PRICE, drop=0.1, factor=-1.0)
    assert both["as fitted"] == loss_measures(portfolio_loss(CURVE, LOANS, factor, *setting, PRICE), 0.8)
    stressed = portfolio_loss(CURVE, LOANS, factor, *setting, 0.9 * PRICE, factor=-1.0)
    np.testing.assert_allclose(list(both["stressed"].values()), list(loss_measures(stressed, 0.8).values()), rtol=1e-12)
    parts = allocate_cvar(CURVE, LOANS, factor, *setting, level=0.8, unit_revenue=PRICE)
    np.testing.assert_allclose(parts.sum(), both["as fitted"]["conditional_value_at_risk"], rtol=1e-12)


def test_a_factor_held_where_it_usually_is_changes_little_and_held_low_costs():
    factor = EllipticalCopula(loadings=np.full(6, 0.7))
    expected = [stress(CURVE, LOANS, factor, 5000, 0, factor=f)["stressed"]["expected_loss"] for f in (1.0, 0.0, -2.0)]
    assert expected[0] < expected[1] < expected[2]
    # Averaged over the factor, the stressed means are the mean.
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    means = [portfolio_loss(CURVE, LOANS, factor, 5000, 0, factor=f).mean() for f in nodes]
    exact = expected_loss(CURVE, LOANS).sum()
    np.testing.assert_allclose(weights @ means / weights.sum(), exact, rtol=0.03)


# The largest portfolio.


def solve_by_highs(revenue, budget, level, cap=None, groups=(), group_caps=()):
    """Rockafellar and Uryasev's linear programme: loans, VaR, excess per scenario, loss per seller and scenario."""
    n, s = revenue.shape
    excess = sp.hstack(
        [
            sp.csr_array((s, n)),
            -np.ones((s, 1)),
            -sp.eye_array(s),
            sp.kron(np.ones((1, n)), sp.eye_array(s)),
        ]
    )
    loss = sp.hstack(
        [
            sp.kron(sp.eye_array(n), np.ones((s, 1))),
            sp.csr_array((n * s, 1 + s)),
            -sp.eye_array(n * s),
        ]
    )
    cvar = np.concatenate([np.zeros(n), [1.0], np.full(s, 1 / ((1 - level) * s)), np.zeros(n * s)])
    limited = sp.csr_array((len(groups), n + 1 + s + n * s))
    if groups:
        members = np.array([np.isin(np.arange(n), group) for group in groups], dtype=float)
        limited = sp.hstack([members, sp.csr_array((len(groups), 1 + s + n * s))])
    rows = sp.vstack([excess, loss, sp.csr_array(cvar[None]), limited]).tocsr()
    right = np.concatenate([np.zeros(s), revenue.ravel(), [budget], group_caps])
    cost = np.concatenate([-np.ones(n), np.zeros(1 + s + n * s)])
    bounds = [(0, cap)] * n + [(None, None)] + [(0, None)] * (s + n * s)
    return -linprog(cost, rows, right, bounds=bounds, method="highs").fun


@pytest.mark.parametrize(("n_sellers", "n_scenarios", "cap"), [(2, 300, None), (8, 300, None), (8, 300, 70.0)])
def test_the_largest_portfolio_is_that_of_linear_programming(n_sellers, n_scenarios, cap):
    copula = EllipticalCopula(loadings=np.full(n_sellers, 0.5), df=4)
    revenue = revenue_scenarios(make_curve(n_sellers), copula, n_scenarios, 0)
    budget = 8.0 * n_sellers
    best = solve_by_highs(revenue, budget, 0.9, cap)
    ours = largest_portfolio(revenue, budget, 0.9, cap=np.inf if cap is None else cap)
    assert best * (1 - 1e-3) <= ours.loans.sum() <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= ours.bound <= best * (1 + 1e-3)
    assert ours.conditional_value_at_risk <= budget * (1 + 1e-9)
    losses = (ours.loans[:, None] - revenue).clip(0).sum(axis=0)
    np.testing.assert_allclose(
        loss_measures(losses, 0.9)["conditional_value_at_risk"], ours.conditional_value_at_risk, rtol=1e-9
    )


@pytest.mark.parametrize(
    "caps", [{"A": 90.0}, {"A": 150.0, "B": 120.0}, {"A": 1.0, "C": 200.0}, {"A": 60.0, "B": 60.0, "C": 60.0}]
)
def test_with_caps_on_groups_too(caps):
    revenue = revenue_scenarios(make_curve(8), EllipticalCopula(loadings=np.full(8, 0.5), df=4), 300, 0)
    groups = np.array(list("ABCABCAA"))
    best = solve_by_highs(
        revenue, 64.0, 0.9, 150.0, [np.flatnonzero(groups == name) for name in caps], list(caps.values())
    )
    ours = largest_portfolio(revenue, 64.0, 0.9, cap=150.0, groups=groups, group_cap=caps)
    assert best * (1 - 1e-3) <= ours.loans.sum() <= best * (1 + 1e-7)
    assert best * (1 - 1e-7) <= ours.bound <= best * (1 + 1e-3)
    for name, limit in caps.items():
        assert ours.loans[groups == name].sum() <= limit * (1 + 1e-9)
    assert ours.loans.sum() < largest_portfolio(revenue, 64.0, 0.9, cap=150.0).loans.sum()


def test_caps_that_bind_no_group_change_nothing_and_one_on_all_is_a_cap_on_the_sum():
    revenue, groups = revenue_scenarios(CURVE, TIED, 2000, 0), [0, 0, 0, 1, 1, 1]
    free = largest_portfolio(revenue, 60.0)
    loose = largest_portfolio(revenue, 60.0, groups=groups, group_cap=free.loans.sum())
    np.testing.assert_allclose(loose.loans, free.loans, rtol=1e-9)
    half = largest_portfolio(revenue, 60.0, group_cap=free.loans.sum() / 2)
    np.testing.assert_allclose([half.loans.sum(), half.bound], free.loans.sum() / 2, rtol=1e-9)
    # More than all can repay: what is left over goes to the group without a cap.
    rich = largest_portfolio(revenue, 1e6, groups=groups, group_cap={0: 50.0})
    np.testing.assert_allclose([rich.loans[:3].sum(), rich.conditional_value_at_risk], [50.0, 1e6], rtol=1e-3)


def test_least_loans_are_kept_in_a_group_at_its_cap():
    revenue, groups = revenue_scenarios(CURVE, TIED, 2000, 0), list("AAABBB")
    least = largest_portfolio(revenue, 60.0).loans * [0.5, 0.5, 0.5, 0, 0, 0]
    held = largest_portfolio(revenue, 60.0, least=least, groups=groups, group_cap={"A": least.sum() + 1.0})
    assert (held.loans >= least - 1e-9).all()
    np.testing.assert_allclose(held.loans[:3].sum(), least.sum() + 1.0, rtol=1e-3)


def test_three_sellers_by_brute_force_and_out_of_sample():
    curve, copula, budget = make_curve(3, seed=4), EllipticalCopula(loadings=[0.8, 0.5, 0.2]), 20.0
    revenue = revenue_scenarios(curve, copula, 2000, 0)
    ours = largest_portfolio(revenue, budget)
    # A grid of the first two loans; the third is the largest that the budget leaves, by bisection.
    axes = [np.linspace(0.85, 1.15, 31) * loan for loan in ours.loans[:2]]
    first, second = (axis.ravel() for axis in np.meshgrid(*axes))
    given_two = (first[:, None] - revenue[0]).clip(0) + (second[:, None] - revenue[1]).clip(0)
    low, high, n_worst = np.zeros(len(first)), np.full(len(first), 400.0), 100
    for _ in range(25):
        third = (low + high) / 2
        losses = given_two + (third[:, None] - revenue[2]).clip(0)
        cvar = -np.partition(-losses, n_worst - 1, axis=1)[:, :n_worst].mean(axis=1)
        low, high = np.where(cvar <= budget, third, low), np.where(cvar <= budget, high, third)
    brute = (first + second + low)[low > 0].max()
    assert brute * (1 - 1e-3) <= ours.loans.sum() and brute <= ours.bound * (1 + 1e-9)
    np.testing.assert_allclose(ours.loans.sum(), brute, rtol=2e-3)
    fresh = portfolio_loss(curve, ours.loans[:, None], copula, 200_000, 1)
    np.testing.assert_allclose(loss_measures(fresh)["conditional_value_at_risk"], budget, rtol=0.08)


def test_one_seller_gets_the_largest_loan_of_chapter_one():
    draws = CURVE.ppf((np.arange(2000) + 0.5) / 2000)
    for i, level in ((0, 0.95), (1, 0.8)):
        law = QuantileCurve.from_draws(draws[i])
        for budget in (0.5, 10.0, 1000.0):
            alone = largest_loan(law, max_conditional_value_at_risk=budget, level=level)[0]
            ours = largest_portfolio(draws[i : i + 1], budget, level, tolerance=1e-7)
            np.testing.assert_allclose([ours.loans[0], ours.bound], alone, rtol=2e-7)


def test_one_seller_of_many_scenarios_gets_the_exact_loan_of_its_curve():
    exact = largest_loan(CURVE[0], max_conditional_value_at_risk=10.0)[0]
    revenue = revenue_scenarios(CURVE[0], EllipticalCopula(loadings=[0.5]), 200_000, 0)
    np.testing.assert_allclose(largest_portfolio(revenue, 10.0).loans[0], exact, rtol=0.01)


def test_together_more_can_be_lent_than_alone():
    budgets = np.full(6, 5.0)
    alone = largest_loan(CURVE, max_conditional_value_at_risk=budgets)
    revenue = revenue_scenarios(CURVE, APART, 5000, 0)
    ours = largest_portfolio(revenue, budgets.sum())
    assert ours.loans.sum() > 1.02 * alone.sum()
    # Comonotone sellers have nothing to diversify, but the budget can go where it buys most.
    revenue = revenue_scenarios(CURVE, TOGETHER, 5000, 0)
    assert largest_portfolio(revenue, budgets.sum()).loans.sum() > 0.99 * alone.sum()


def test_least_loans_and_caps_are_kept():
    revenue = revenue_scenarios(CURVE, TIED, 2000, 0)
    free = largest_portfolio(revenue, 60.0)
    least, cap = free.loans * [1.1, 0, 0, 0, 0, 0], np.append(free.loans[:5] * 2, free.loans[5] * 0.5)
    held = largest_portfolio(revenue, 60.0, least=least, cap=cap)
    assert (held.loans >= least - 1e-9).all() and (held.loans <= cap + 1e-9).all()
    assert held.conditional_value_at_risk <= 60 * (1 + 1e-9) and held.loans.sum() < free.loans.sum()
    loose = largest_portfolio(revenue, 1e9, cap=cap)
    np.testing.assert_allclose(loose.loans, cap, rtol=1e-12)


def test_a_budget_beyond_all_revenue_is_lent_out():
    revenue = np.array([[10.0, 20.0], [5.0, 1.0]])
    ours = largest_portfolio(revenue, 100.0, level=0.5)
    np.testing.assert_allclose([ours.loans.sum(), ours.bound], [115.0, 115.0], rtol=1e-3)


@pytest.mark.parametrize(("n_sellers", "seed"), [(8, 1), (5, 2), (12, 3)])
def test_the_weights_of_later_rounds_count_for_more_so_that_few_rounds_are_enough(n_sellers, seed):
    copula = EllipticalCopula(loadings=np.full(n_sellers, 0.5), df=4)
    revenue = revenue_scenarios(make_curve(n_sellers, seed), copula, 400, seed)
    # Plain means of the weights take about 50 rounds, and the last two rounds alone may never get there.
    assert largest_portfolio(revenue, 8.0 * n_sellers, 0.9).n_rounds <= 25


def test_a_gap_that_stays_open_is_told():
    revenue = revenue_scenarios(CURVE, TIED, 200, 0)
    with pytest.warns(RuntimeWarning, match="stopped after 1 rounds with a gap of") as caught:
        ours = largest_portfolio(revenue, 60.0, tolerance=1e-12, max_rounds=1)
    assert ours.n_rounds == 1 and ours.loans.sum() < ours.bound
    assert str(caught[0].message).endswith(f"a gap of {1 - ours.loans.sum() / ours.bound:.2g}")


def test_sellers_in_blocks_get_the_same_loans(monkeypatch):
    revenue = revenue_scenarios(CURVE, TIED, 300, 0)
    expected = largest_portfolio(revenue, 60.0)
    monkeypatch.setattr("qrgmm.portfolio.loans.SELLERS", 4)
    np.testing.assert_allclose(revenue_scenarios(CURVE, TIED, 300, 0), revenue, rtol=1e-15)
    found = largest_portfolio(revenue, 60.0)
    np.testing.assert_allclose(found.loans, expected.loans, rtol=1e-9)
    np.testing.assert_allclose(found.conditional_value_at_risk, expected.conditional_value_at_risk, rtol=1e-9)


def test_no_loan_exceeds_its_cap_where_its_group_has_room_to_spare():
    revenue, cap = np.array([[10.0, 20.0], [5.0, 1.0]]), np.array([22.0, 6.0])
    ours = largest_portfolio(revenue, 100.0, level=0.5, cap=cap, groups=["A", "B"], group_cap={"A": 100.0})
    np.testing.assert_allclose(ours.loans, cap, rtol=1e-9)


REVENUE = np.array([[10.0, 20.0, 30.0], [5.0, 10.0, 15.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: portfolio_loss(CURVE, LOANS, ClaytonCopula(1.0, 5), 10), "copula must have 6 dimensions, one per"),
        (lambda: portfolio_loss(CURVE, LOANS[:5], TIED, 10), r"loans must be a number, .* got shape \(5, 1\)"),
        (lambda: portfolio_loss(CURVE, LOANS.T, TIED, 10), r"loans must be one per seller, .* shape \(6, 1\), got"),
        (lambda: portfolio_loss(CURVE, LOANS[:, 0], TIED, 10), r"loans of shape \(6,\) for 6 rows can be read in two"),
        (lambda: allocate_cvar(CURVE, LOANS[:, 0], TIED, 10), r"loans of shape \(6,\) for 6 rows can be read in two"),
        (lambda: stress(CURVE, LOANS[:, 0], TIED, 10), r"loans of shape \(6,\) for 6 rows can be read in two ways"),
        (lambda: portfolio_loss(CURVE, np.nan, TIED, 10), "loans must be finite"),
        (
            lambda: portfolio_loss(CURVE, LOANS, TIED, 10, unit_revenue=-1),
            "unit_revenue must be positive and finite, got -1",
        ),
        (lambda: portfolio_loss(CURVE, LOANS, TIED, 0), "n_scenarios must be a whole number of at least 1, got 0"),
        (lambda: revenue_scenarios(CURVE, TIED, np.inf), "n_scenarios must be a whole number of at least 1, got inf"),
        (lambda: portfolio_loss(CURVE, LOANS, TIED, 10, drop=1.0), r"drop must lie in \[0, 1\), got 1.0"),
        (lambda: portfolio_loss(LOANS, LOANS, TIED, 10), "curve must be a QuantileCurve, got ndarray"),
        (lambda: loss_measures(REVENUE), r"losses must have shape \(n,\) and not be empty, got shape \(2, 3\)"),
        (lambda: loss_measures([1.0, np.nan]), "losses must be finite, got NaN or infinity"),
        (lambda: tail_weights(REVENUE), r"losses must have shape \(n,\) and not be empty, got shape \(2, 3\)"),
        (lambda: tail_weights([np.inf]), "losses must be finite, got NaN or infinity"),
        (lambda: tail_weights([]), r"losses must have shape \(n,\) and not be empty, got shape \(0,\)"),
        (lambda: allocate_cvar(CURVE, LOANS, TIED, 10, level=1.0), r"level must lie inside \(0, 1\), got 1.0"),
        (lambda: largest_portfolio(REVENUE, -1.0), "at least 0, which the least loans already reach, got -1"),
        (lambda: largest_portfolio(REVENUE, 3.0, least=12.0), "at least 9, which the least loans .* reach, got 3"),
        (lambda: largest_portfolio(REVENUE, np.inf), "must be finite and at least 0, .* got inf"),
        (lambda: largest_portfolio(REVENUE, np.nan), "must be finite and at least 0, .* got nan"),
        (lambda: largest_portfolio(REVENUE[0], 3.0), r"revenue must be finite with shape \(n_sellers, n_scenarios\)"),
        (lambda: largest_portfolio(REVENUE, 3.0, cap=[1.0]), r"cap must be a number or have shape \(2,\), got"),
        (lambda: largest_portfolio(REVENUE, 3.0, least=5.0, cap=4.0), "not above cap, got 5 and 4"),
        (lambda: largest_portfolio(REVENUE, 3.0, groups=["A"]), r"groups must be 2 labels, none .* shape \(1,\)"),
        (lambda: largest_portfolio(REVENUE, 3.0, groups=["A", None]), "groups must be 2 labels, none missing"),
        (lambda: largest_portfolio(REVENUE, 3.0, groups=[0, 1], group_cap={2: 1.0}), r"group_cap must be of .* \[2\]"),
        (lambda: largest_portfolio(REVENUE, 3.0, group_cap=-1.0), r"group_cap must be at least \[0.0\], which"),
        (lambda: largest_portfolio(REVENUE, 3.0, group_cap=np.nan), r"group_cap must be at least \[0.0\], which"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# From data to a copula.


def test_residual_ranks_of_a_sales_model_show_the_dependence_that_made_the_sales():
    rng = np.random.default_rng(0)
    n_months, n_sellers = 400, 4
    truth = EllipticalCopula(loadings=np.full(n_sellers, 0.8))
    X = rng.uniform(size=(n_months, n_sellers))
    sales = 10 + 5 * X + (1 + X) * stats.norm.ppf(truth.sample(n_months, rng))
    model = QRGMM(levels=20, tails="exponential").fit(X.reshape(-1, 1), sales.ravel())
    residual = model.predict_curve(X.reshape(-1, 1)).cdf(sales.reshape(-1, 1)).reshape(n_months, n_sellers)
    fitted = fit_copula(residual)
    np.testing.assert_allclose(fitted.correlation[np.triu_indices(4, 1)], 0.64, atol=0.08)


# The study.


def test_a_portfolio_study_finds_that_a_wrong_copula_breaks_the_budget():
    setting = {"n_sellers": 8, "n_months": 200, "n_scenarios": 3000, "families": ["independence", "t"], "budget": 0.05}
    rows = system_studies.portfolio(np.random.default_rng(0), **setting)
    value = {(model, metric): value for model, _, metric, _, value in rows}
    assert value["independence", "cvar"] < 0.7 * value["truth", "cvar"]
    assert value["independence", "cvar_to_budget"] > 1.4 > 1.2 > value["t", "cvar_to_budget"]
    assert value["alone", "cvar_to_budget"] < 1 and value["alone", "lent"] < 1


@pytest.mark.filterwarnings("ignore:largest_portfolio stopped after")
@pytest.mark.parametrize(("n_sellers", "n_scenarios", "seed"), [(3, 200, 5), (5, 400, 18), (12, 1000, 6)])
def test_the_last_bit_of_revenue_does_not_choose_the_loans(n_sellers, n_scenarios, seed):
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal(n_scenarios), rng.standard_normal((n_sellers, n_scenarios))
    median, spread = rng.uniform(50, 150, (n_sellers, 1)), rng.uniform(0.1, 0.6, (n_sellers, 1))
    revenue = median * np.exp(spread * (0.6 * common + 0.8 * own))
    loans = largest_portfolio(revenue, 5.0 * n_sellers, 0.95).loans
    for _ in range(3):
        noisy = revenue * (1 + rng.uniform(-4e-16, 4e-16, revenue.shape))
        np.testing.assert_allclose(largest_portfolio(noisy, 5.0 * n_sellers, 0.95).loans, loans, rtol=1e-6)
