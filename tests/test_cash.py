"""The cash of one loan: every unit of it goes somewhere, what is exact on the curve is the mean over scenarios, and
without platform, fee and cost of funds it is the loan of chapter 1."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import curves, expectation, stocked_laws
from scipy import stats

from qrgmm.cash import (
    LoanTerms,
    PlatformTerms,
    break_even_fee,
    expected_profit,
    expected_repayments,
    internal_rate_of_return,
    net_remittances,
    outcomes,
    outstanding_probability,
    profit,
    repay,
    unit_remittances,
)
from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.risk import default_probability, expected_loss

PLATFORM = PlatformTerms(
    referral_fee=0.15, fulfilment_fee=3.0, advertising=0.08, returns=0.1, tax=0.2, reserve=0.2, reserve_weeks=2
)
TERMS = LoanTerms(due=6, tenor=9, fee=0.12, hold_back=0.3)
PROFILE = np.array([3, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0]) / 12
CURVE = QuantileCurve(quantile_levels(1, 20), np.sort(np.random.default_rng(0).gamma(2.0, 50.0, size=(3, 19))))
LOANS = np.array([0.0, 40.0, 150.0, 400.0])

shares = st.floats(0, 0.25)
platforms = st.builds(
    PlatformTerms, shares, st.floats(0, 1), shares, shares, shares, shares, st.integers(1, 9)
)  # which leave something of a price of 10
money = st.floats(0, 500) | st.integers(0, 50).map(float)


@st.composite
def loan_terms(draw, n_weeks):
    tenor = draw(st.integers(1, n_weeks))
    due, fee = draw(st.integers(1, tenor)), draw(st.sampled_from([0.0, 0.1]) | st.floats(0, 1))
    return LoanTerms(due, tenor, fee, draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.01, 1)))


@st.composite
def paths(draw, values=money, max_rows=4):
    n_weeks = draw(st.integers(1, 8))
    row = st.lists(values, min_size=n_weeks, max_size=n_weeks)
    return np.array(draw(st.lists(row, min_size=1, max_size=max_rows)))


@st.composite
def waterfalls(draw):
    remitted = draw(paths())
    loans = draw(st.lists(money, min_size=len(remitted), max_size=len(remitted)))
    return remitted, np.array(loans), draw(loan_terms(remitted.shape[1]))


@st.composite
def sized_laws(draw):
    """A law of sales, what a unit brings week by week, terms, and loans."""
    curve = draw(stocked_laws() | curves(st.floats(0, 1e3) | st.integers(0, 60).map(float)))
    weekly = draw(paths(st.floats(0, 2) | st.sampled_from([0.0, 0.1, 0.25]), max_rows=1))[0]
    return curve, weekly, draw(loan_terms(len(weekly))), np.array([draw(st.lists(money, min_size=1, max_size=4))])


# From the price to the remittance.


@given(paths(st.integers(0, 60).map(float)), platforms)
def test_every_unit_of_the_price_goes_somewhere(units, terms):
    cash = net_remittances(units, 10.0, terms)
    assert all((amounts >= 0).all() for amounts in cash.values())
    taken = sum(cash[name] for name in ("returns", "tax", "referral", "fulfilment", "advertising"))
    np.testing.assert_allclose(taken + cash["reserved"] - cash["released"] + cash["remitted"], cash["gross"], atol=1e-9)
    assert (cash["released"].cumsum(axis=1) <= cash["reserved"].cumsum(axis=1) + 1e-9).all()


@given(paths(st.integers(0, 60).map(float)), platforms)
def test_a_reserve_only_delays(units, terms):
    late = np.pad(units, [(0, 0), (0, terms.reserve_weeks)])
    with_reserve, without = (net_remittances(late, 10.0, t) for t in (terms, replace(terms, reserve=0.0)))
    np.testing.assert_allclose(with_reserve["remitted"].sum(axis=1), without["remitted"].sum(axis=1), atol=1e-9)
    first = np.s_[:, : terms.reserve_weeks]
    np.testing.assert_allclose(with_reserve["remitted"][first], (1 - terms.reserve) * without["remitted"][first])


def test_a_unit_by_hand():
    """120 with a tax of 20 in it, of which a tenth of the units comes back."""
    cash = net_remittances([10.0], 120.0, replace(PLATFORM, reserve=0.0))
    found = {name: amounts.item() for name, amounts in cash.items()}
    assert found == pytest.approx(
        {
            "gross": 1200.0,
            "returns": 120.0,
            "tax": 180.0,
            "referral": 162.0,
            "fulfilment": 30.0,
            "advertising": 96.0,
            "reserved": 0.0,
            "released": 0.0,
            "remitted": 612.0,
        }
    )


def test_a_unit_of_all_sales_brings_its_share_of_each_week():
    sales, prices = np.array([80.0, 130.0]), np.array([20.0, 35.0])
    weekly = unit_remittances(prices, PROFILE, PLATFORM)
    cash = net_remittances(sales[:, None] * PROFILE, prices, PLATFORM)
    np.testing.assert_allclose(sales[:, None] * weekly, cash["remitted"])
    assert unit_remittances(20.0, PROFILE, PLATFORM).shape == (1, len(PROFILE))
    assert unit_remittances(20.0, [PROFILE, PROFILE[::-1]], PLATFORM).shape == (2, len(PROFILE))
    # The last week of sales is released in time, so that all is remitted.
    plain = unit_remittances(prices, [1.0], replace(PLATFORM, reserve=0.0))
    np.testing.assert_allclose(weekly.sum(axis=1), plain[:, 0])


# The waterfall.


@given(waterfalls())
def test_every_unit_of_a_remittance_goes_somewhere(case):
    remitted, loans, terms = case
    cash = repay(remitted, loans, terms)
    collected = cash["fee"] + cash["principal"]
    np.testing.assert_allclose(collected + cash["seller"], remitted, rtol=1e-14)
    assert all((amounts >= 0).all() for amounts in cash.values())
    debt = ((1 + terms.fee) * loans)[:, None]
    np.testing.assert_allclose(collected.cumsum(axis=1) + cash["balance"] - debt, 0.0, atol=1e-9)
    assert (collected <= terms.hold_back * remitted + 1e-12).all() and not collected[:, terms.tenor :].any()


@given(waterfalls())
def test_the_fee_comes_first_and_nothing_goes_to_the_seller_of_what_is_owed(case):
    remitted, loans, terms = case
    cash = repay(remitted, loans, terms)
    fee_owed = (terms.fee * loans)[:, None] - cash["fee"].cumsum(axis=1)
    assert ((fee_owed <= 1e-9) | (cash["principal"] == 0)).all()
    owed = cash["balance"][:, : terms.tenor] > 0
    for_seller = cash["seller"][:, : terms.tenor] - (1 - terms.hold_back) * remitted[:, : terms.tenor]
    assert (for_seller[owed] <= 1e-9).all()


@given(waterfalls())
def test_the_balance_is_a_shortfall_week_by_week(case):
    remitted, loans, terms = case
    balance = repay(remitted, loans, terms)["balance"]
    for t in range(remitted.shape[1]):
        brought = terms.hold_back * remitted[:, : min(t + 1, terms.tenor)].sum(axis=1)
        np.testing.assert_allclose(balance[:, t], ((1 + terms.fee) * loans - brought).clip(0), atol=1e-9)
    table = outcomes(balance, terms)
    assert (table["loss"] == balance[:, -1]).all()
    assert ((table["outcome"] == "default") == (table["loss"] > 0)).all()
    for row, week in enumerate(table["week"]):
        before = balance[row, : terms.tenor if np.isnan(week) else int(week) - 1]
        assert (before > 0).all() and table["outcome"][row] == (
            "default" if np.isnan(week) else "in time" if week <= terms.due else "late"
        )


@given(waterfalls(), st.floats(0, 1))
def test_a_larger_share_held_back_never_leaves_more_owed(case, share):
    remitted, loans, terms = case
    less = repay(remitted, loans, replace(terms, hold_back=share * terms.hold_back))["balance"]
    assert (repay(remitted, loans, terms)["balance"] <= less + 1e-9).all()


def test_ten_payments_of_a_tenth_repay_one_whatever_their_sum_is():
    payments, terms = np.full(10, 0.1), LoanTerms(due=10, tenor=10)
    assert payments.cumsum()[-1] < 1
    assert outcomes(repay(payments, 1.0, terms)["balance"], terms)["outcome"].item() == "in time"
    options = {"unit_remittances": payments, "terms": terms}
    assert outstanding_probability(QuantileCurve.from_draws([0.5, 1.0]), 1.0, **options)[0, 0, -1] == 0.5
    assert outstanding_probability(QuantileCurve.from_draws([0.5, 1 - 1e-9]), 1.0, **options)[0, 0, -1] == 1


# Exact on the curve.


@given(sized_laws())
def test_with_all_held_back_and_no_fee_it_is_the_loan_of_chapter_1(case):
    curve, weekly, terms, loans = case
    assume(weekly.sum() > 0)
    terms, revenue = LoanTerms(terms.due, len(weekly)), weekly.sum()
    outstanding = outstanding_probability(curve, loans, unit_remittances=weekly, terms=terms)[..., -1]
    # An atom may lie within rounding of a loan, on either side.
    near = default_probability(curve, loans * (1 + 2e-12), unit_revenue=revenue)
    assert (outstanding <= near).all()
    assert (outstanding >= default_probability(curve, loans * (1 - 2e-12), unit_revenue=revenue)).all()
    parts = expected_profit(curve, loans, unit_remittances=weekly, terms=terms)
    loss = expected_loss(curve, loans, unit_revenue=revenue)
    np.testing.assert_allclose(parts["loss"], loss, atol=1e-9)
    np.testing.assert_allclose(parts["profit"], -loss, atol=1e-9)
    assert not parts["fee"].any() and not parts["cost_of_funds"].any()


def scenarios(curve, row, loan, weekly, terms):
    """The atoms of an empirical law as scenarios of one loan."""
    return repay(curve.values[row][:, None] * weekly, loan, terms)


@given(sized_laws(), st.floats(0, 0.05))
def test_what_is_exact_is_the_mean_over_the_scenarios(case, cost):
    curve, weekly, terms, loans = case
    curve = QuantileCurve.from_draws(curve.values)
    options = {"unit_remittances": weekly, "terms": terms}
    collected, outstanding = (f(curve, loans, **options) for f in (expected_repayments, outstanding_probability))
    parts = expected_profit(curve, loans, **options, cost_of_funds=cost)
    for row in range(len(curve)):
        for i, loan in enumerate(loans[0]):
            cash = scenarios(curve, row, loan, weekly, terms)
            each = cash["fee"] + cash["principal"]
            np.testing.assert_allclose(collected[row, i], each.mean(axis=0), atol=1e-9)
            np.testing.assert_allclose(outstanding[row, i], (cash["balance"] > 0).mean(axis=0), atol=1e-12)
            for name, amounts in profit(each, loan, terms, cost).items():
                assert parts[name][row, i] == pytest.approx(amounts.mean(), abs=1e-9)


@pytest.mark.parametrize("row", range(3))
def test_between_the_knots_it_is_the_integral_over_all_sales(row):
    weekly = unit_remittances(20.0, PROFILE, PLATFORM)[0]
    parts = expected_profit(CURVE, 150.0, unit_remittances=weekly, terms=TERMS, cost_of_funds=0.01)
    brought = TERMS.hold_back * weekly.cumsum()[: TERMS.tenor]

    def earn(name):
        def of(sales):
            cash = repay(sales[:, None] * weekly, 150.0, TERMS)
            return profit(cash["fee"] + cash["principal"], 150.0, TERMS, 0.01)[name]

        return of

    for name, amounts in parts.items():
        exact = expectation(CURVE, row, earn(name), kinks=1.12 * 150.0 / brought)
        assert amounts[row, 0] == pytest.approx(exact, rel=1e-9)


def test_drawn_scenarios_agree_within_their_error():
    curve, rng, price = CURVE[0], np.random.default_rng(5), 20.0
    sales = curve.sample(20_000, rng)[0]
    cash = repay(net_remittances(sales[:, None] * PROFILE, price, PLATFORM)["remitted"], 150.0, TERMS)
    options = {"unit_remittances": unit_remittances(price, PROFILE, PLATFORM), "terms": TERMS}
    drawn = profit(cash["fee"] + cash["principal"], 150.0, TERMS, 0.01)["profit"]
    exact = expected_profit(curve, 150.0, **options, cost_of_funds=0.01)["profit"].item()
    assert abs(drawn.mean() - exact) < 4 * stats.sem(drawn)
    ends = outcomes(cash["balance"], TERMS)["outcome"]
    still = outstanding_probability(curve, 150.0, **options)[0, 0]
    promised = {"default": still[-1], "late": still[TERMS.due - 1] - still[-1], "in time": 1 - still[TERMS.due - 1]}
    assert min(promised.values()) > 0.02
    for name, probability in promised.items():
        share = (ends == name).mean()
        assert abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / len(sales))


def test_rows_may_have_remittances_and_loans_of_their_own():
    weekly = unit_remittances([15.0, 20.0, 60.0], PROFILE, PLATFORM)
    together = expected_profit(CURVE, LOANS, unit_remittances=weekly, terms=TERMS, cost_of_funds=0.01)
    for row in range(3):
        alone = expected_profit(CURVE[row], LOANS, unit_remittances=weekly[row], terms=TERMS, cost_of_funds=0.01)
        for name, amounts in alone.items():
            assert together[name].shape == (3, 4)
            np.testing.assert_allclose(together[name][row], amounts[0])


def test_a_law_that_was_cut_at_zero_has_cash():
    curve = QuantileCurve([0.25, 0.75], [-10.0, 30.0]).clip(lower=0.0)
    weekly, terms = [0.5, 0.5], LoanTerms(due=2, tenor=2)
    collected = expected_repayments(curve, 15.0, unit_remittances=weekly, terms=terms)
    assert collected.sum() == pytest.approx(15.0 - expected_loss(curve, 15.0).item())


# The fee that breaks even.


@given(sized_laws(), st.sampled_from([0.0, 0.01]) | st.floats(0, 0.05))
def test_at_the_break_even_fee_the_lender_earns_nothing_and_never_without(case, cost):
    curve, weekly, terms, loans = case
    assume(loans.all())
    options = {"unit_remittances": weekly, "cost_of_funds": cost}
    fees = break_even_fee(curve, loans, terms=terms, **options)
    assert fees.shape == (len(curve), loans.shape[1])
    for row in range(len(curve)):
        for i, loan in enumerate(loans[0]):

            def earn(fee, row=row, loan=loan):
                parts = expected_profit(curve[row], loan, terms=replace(terms, fee=fee), **options)
                return parts["profit"].item()

            if np.isfinite(fees[row, i]):
                assert fees[row, i] >= 0 and earn(fees[row, i]) == pytest.approx(0.0, abs=1e-9 * max(loan, 1.0))
                assert earn(0.9 * fees[row, i]) <= 1e-9
            else:
                assert earn(1e9) <= 1e-9 * loan  # more than any sales bring


def test_without_risk_the_fee_pays_the_funds():
    """One payment after four weeks: i = (1 + c)^4 - 1, whatever the terms said."""
    curve, terms = QuantileCurve.from_draws([1000.0]), replace(TERMS, fee=0.7, hold_back=1.0)
    fee = break_even_fee(curve, 100.0, unit_remittances=[0, 0, 0, 1, 0, 0, 0, 0, 0], terms=terms, cost_of_funds=0.01)
    assert fee.item() == pytest.approx(1.01**4 - 1, rel=1e-12)
    all_cash = {"unit_remittances": np.full(10, 0.1), "terms": LoanTerms(due=10, tenor=10)}
    assert break_even_fee(curve, [1000.0, 1000.1], **all_cash).tolist() == [[0.0, np.inf]]


def test_expected_repayments_at_the_break_even_fee_return_the_cost_of_funds():
    weekly = unit_remittances(20.0, PROFILE, PLATFORM)[0]
    fee = break_even_fee(CURVE, 100.0, unit_remittances=weekly, terms=TERMS, cost_of_funds=0.004)
    for row in range(3):
        terms = replace(TERMS, fee=fee[row, 0])
        collected = expected_repayments(CURVE[row], 100.0, unit_remittances=weekly, terms=terms)[0, 0]
        assert internal_rate_of_return([-100.0, *collected]).item() == pytest.approx(0.004, rel=1e-9)


def test_newton_takes_few_steps(monkeypatch):
    options = {"unit_remittances": np.ones(9), "terms": TERMS, "cost_of_funds": 0.05}
    fees = break_even_fee(CURVE, LOANS[None, 1:], **options)
    monkeypatch.setattr("qrgmm.cash.MAX_STEPS", 12)
    assert np.isfinite(fees[:, :2]).all()
    np.testing.assert_array_equal(break_even_fee(CURVE, LOANS[None, 1:], **options), fees)


def test_a_fee_for_no_loan_is_none():
    fees = break_even_fee(CURVE, LOANS, unit_remittances=[1.0, 1.0], terms=LoanTerms(due=2, tenor=2))
    assert np.isnan(fees[:, 0]).all() and not np.isnan(fees[:, 1:]).any()
    assert (np.diff(fees[:, 1:]) >= 0).all(), "a larger loan costs more"


# The internal rate of return.


@given(st.floats(1, 1e4), st.lists(st.floats(0.01, 1e3) | st.just(0.0), min_size=1, max_size=30))
def test_at_the_internal_rate_the_value_is_zero(outlay, receipts):
    rate = internal_rate_of_return([-outlay, *receipts]).item()
    if not any(receipts):
        assert rate == -1
        return
    worth = np.array(receipts) @ (1 + rate) ** -np.arange(1.0, len(receipts) + 1)
    assert worth == pytest.approx(outlay, rel=1e-9)
    assert (rate >= -1e-12) if sum(receipts) >= outlay else (rate <= 1e-12)


def test_internal_rates_are_those_of_numpy_financial():
    peer = pytest.importorskip("numpy_financial")
    rng = np.random.default_rng(0)
    flows = np.column_stack([np.full(40, -100.0), rng.gamma(1.0, 9.0, size=(40, 13)) * (rng.random((40, 13)) < 0.8)])
    expected = [peer.irr(row) for row in flows]
    assert min(expected) < 0 < max(expected)
    np.testing.assert_allclose(internal_rate_of_return(flows), expected, rtol=1e-8)


@pytest.mark.parametrize("n_periods", [1, 4, 52, 520])
def test_an_annuity_returns_its_rate(n_periods):
    for rate in (0.003, 0.2, -0.01):
        payment = 100.0 * rate / (1 - (1 + rate) ** -n_periods)
        assert internal_rate_of_return([-100.0, *[payment] * n_periods]).item() == pytest.approx(rate, rel=1e-9)


# What can't be is refused.


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("referral_fee", 1.5, r"referral_fee must lie in \[0, 1\], got 1.5"),
        ("fulfilment_fee", -1.0, r"fulfilment_fee must lie in \[0, inf\], got -1"),
        ("advertising", np.nan, "advertising must be finite, got NaN or infinity"),
        ("returns", [0.1, 0.2], r"returns must be a number, got shape \(2,\)"),
        ("tax", np.inf, "tax must be finite"),
        ("reserve", -0.1, "reserve must lie in"),
        ("reserve_weeks", 0, "reserve_weeks must be a whole number of at least 1, got 0"),
    ],
)
def test_terms_of_a_platform_that_cannot_be_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        PlatformTerms(**{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"due": 0}, "due must be a whole number of at least 1, got 0"),
        ({"tenor": 5}, "tenor must be a whole number of at least 6, got 5"),
        ({"tenor": 9.5}, "tenor must be a whole number"),
        ({"fee": -0.1}, r"fee must lie in \[0, inf\], got -0.1"),
        ({"hold_back": 1.1}, r"hold_back must lie in \[0, 1\], got 1.1"),
    ],
)
def test_terms_of_a_loan_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TERMS, **change)


OPTIONS = {"unit_remittances": np.ones(9), "terms": TERMS}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: net_remittances([-1.0], 20.0, PLATFORM), "units must be at least 0, got -1"),
        (lambda: net_remittances([], 20.0, PLATFORM), r"units must be non-empty with shape \(n_rows, n_weeks\)"),
        (lambda: net_remittances([1.0], 0.0, PLATFORM), "price must be positive and finite, got 0"),
        (lambda: net_remittances([1.0], [20.0, 30.0], PLATFORM), r"price must be a number or have shape \(1,\)"),
        (
            lambda: net_remittances([[0.0, 3.0], [2.0, 0.0]], [20.0, 4.0], PLATFORM),
            "terms must not take more than the price, got terms that take 9.72 of 8",
        ),
        (lambda: unit_remittances(20.0, [0.5, 0.4], PLATFORM), "profile must have shares that sum to 1, got 0.9"),
        (lambda: unit_remittances(20.0, [1.5, -0.5], PLATFORM), "profile must be at least 0, got -0.5"),
        (lambda: repay(-np.ones(9), 10.0, TERMS), "remitted must be at least 0, got -1"),
        (lambda: repay(np.ones(9), -10.0, TERMS), "loans must be at least 0, got -10"),
        (lambda: repay(np.ones(9), [1.0, 2.0], TERMS), r"loans must be a number or have shape \(1,\)"),
        (lambda: repay(np.ones(8), 10.0, TERMS), "tenor must be no longer than the weeks there are, got 9 of 8"),
        (lambda: outcomes(np.ones(8), TERMS), "tenor must be no longer than the weeks there are"),
        (lambda: outcomes(-np.ones(9), TERMS), "balance must be at least 0"),
        (lambda: profit([np.nan], 1.0, TERMS), "collected and loans must be finite"),
        (lambda: profit([1.0], 1.0, TERMS, -0.1), r"cost_of_funds must lie in \[0, inf\], got -0.1"),
        (lambda: expected_profit(CURVE, LOANS, **OPTIONS, cost_of_funds=-1), "cost_of_funds must lie in"),
        (lambda: expected_repayments(CURVE, -1.0, **OPTIONS), "loans must be at least 0, got -1"),
        (lambda: expected_repayments(CURVE, [1.0, 2.0, 3.0], **OPTIONS), "loans of shape .* can be read in two ways"),
        (lambda: expected_repayments(CURVE, 1.0, unit_remittances=[1.0], terms=TERMS), "tenor must be no longer"),
        (
            lambda: outstanding_probability(CURVE, 1.0, unit_remittances=np.ones((2, 9)), terms=TERMS),
            r"unit_remittances must be a number, \(n_weeks,\) or \(3, n_weeks\)",
        ),
        (
            lambda: break_even_fee(QuantileCurve([0.5], [-1.0]), 1.0, **OPTIONS),
            "curve must have no sales below 0, see QuantileCurve.clip, got -1",
        ),
        (lambda: internal_rate_of_return([-1.0]), "cash_flows must be an outlay below 0 and then receipts"),
        (lambda: internal_rate_of_return([0.0, 1.0]), "cash_flows must be an outlay below 0"),
        (lambda: internal_rate_of_return([[-1.0, 2.0], [-1.0, -2.0]]), r"receipts of at least 0, got \[-1.0, -2.0\]"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
