"""Risk as a function of the loan against definitions, quadrature and sorted losses, and the loan as its inverse."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import curves, exact_moments, expectation, sales, stocked_laws
from scipy import integrate, stats

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.risk import (
    conditional_value_at_risk,
    default_probability,
    distortion_risk,
    exceedance_probability,
    excess_loss,
    expected_loss,
    generalized_risk,
    largest_loan,
    loss_given_default,
    proportional_hazard,
    risk_profile,
    shortfall_moment,
    value_at_risk,
    wang_transform,
)

UNEVEN = QuantileCurve([0.07, 0.2, 0.35, 0.8, 0.91], [[-3.0, 1.5, 1.5, 4.0, 20.0], [0.0, 0.25, 7.0, 7.5, 7.75]])
EVEN = QuantileCurve(quantile_levels(1, 20), np.sort(np.random.default_rng(0).gamma(2.0, 50.0, size=(4, 19))))
DRAWS = np.random.default_rng(1).gamma(2.0, 50.0, size=(3, 40)).round()
EMPIRICAL = QuantileCurve.from_draws(DRAWS)
BIG = QuantileCurve(quantile_levels(2000), np.random.default_rng(2).gamma(2.0, 50.0, size=(10_000, 44)))
LOANS = np.array([-5.0, 0.0, 0.1, 1.5, 3.0, 7.2, 20.0, 60.0, 111.0, 400.0])
MEASURES = [
    default_probability,
    expected_loss,
    shortfall_moment,
    value_at_risk,
    conditional_value_at_risk,
    lambda curve, loans, unit_revenue: shortfall_moment(curve, loans, order=1.5, unit_revenue=unit_revenue),
    lambda curve, loans, unit_revenue: loss_given_default(curve, loans, unit_revenue=unit_revenue),
    lambda curve, loans, unit_revenue: exceedance_probability(curve, loans, threshold=2.5, unit_revenue=unit_revenue),
    lambda curve, loans, unit_revenue: excess_loss(curve, loans, threshold=2.5, unit_revenue=unit_revenue),
    lambda curve, loans, unit_revenue: distortion_risk(
        curve, loans, distortion=wang_transform(0.4), unit_revenue=unit_revenue
    ),
    lambda curve, loans, unit_revenue: risk_profile(curve, loans, unit_revenue=unit_revenue)["squared_loss"],
]
NAMES = ["PD", "EL", "squared", "VaR", "CVaR", "power 1.5", "LGD", "exceedance", "excess", "Wang", "profile"]
each_measure = pytest.mark.parametrize("measure", MEASURES, ids=NAMES)

revenues = st.sampled_from([1.0, 0.25, 3.0, 17.3])
loan_lists = st.lists(sales, min_size=1, max_size=8)
loan_rows = loan_lists.map(lambda loans: np.array(loans)[None])  # shared by all rows, however many there are


# The measures.


@given(curves(), loan_rows, revenues)
def test_moments_of_the_loss_equal_exact_arithmetic(curve, loans, revenue):
    units = loans / revenue
    for order, measure in enumerate([default_probability, expected_loss, shortfall_moment]):
        exact = revenue**order * exact_moments(curve, units, order)
        np.testing.assert_allclose(measure(curve, loans, unit_revenue=revenue), exact, rtol=1e-12, atol=1e-250)
    for order in (0, 3, 0.5):
        exact = revenue**order * exact_moments(curve, units, order)
        np.testing.assert_allclose(
            shortfall_moment(curve, loans, order=order, unit_revenue=revenue), exact, rtol=1e-10, atol=1e-250
        )


@pytest.mark.parametrize("revenue", [1.0, 3.7])
def test_measures_of_draws_equal_means_over_the_losses(revenue):
    loans = np.array([0.0, 30.0, DRAWS[0, 0] * revenue, 95.5, 300.0, 2000.0])
    loss = (loans[:, None] - revenue * DRAWS[:, None, :]).clip(0)  # (n_rows, n_loans, n_draws)
    default = revenue * DRAWS[:, None, :] < loans[:, None]
    pd = default_probability(EMPIRICAL, loans, unit_revenue=revenue)
    np.testing.assert_allclose(pd, default.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(expected_loss(EMPIRICAL, loans, unit_revenue=revenue), loss.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(
        shortfall_moment(EMPIRICAL, loans, order=2, unit_revenue=revenue), (loss**2).mean(axis=-1), rtol=1e-12
    )
    beyond = (loss - 20.0).clip(0)
    np.testing.assert_allclose(
        excess_loss(EMPIRICAL, loans, threshold=20.0, unit_revenue=revenue), beyond.mean(axis=-1), rtol=1e-12
    )
    exceeding = (loss > 20.0).mean(axis=-1)
    np.testing.assert_allclose(
        exceedance_probability(EMPIRICAL, loans, threshold=20.0, unit_revenue=revenue), exceeding, rtol=1e-12
    )
    given_default = np.divide(loss.sum(axis=-1), default.sum(axis=-1), out=np.full(pd.shape, np.nan), where=pd > 0)
    np.testing.assert_allclose(loss_given_default(EMPIRICAL, loans, unit_revenue=revenue), given_default, rtol=1e-12)


@pytest.mark.parametrize("revenue", [1.0, np.array([0.5, 4.0, 3.3, 1.0])], ids=["shared", "per row"])
def test_the_profile_holds_what_the_four_functions_return(revenue):
    profile = risk_profile(EVEN, LOANS, unit_revenue=revenue)
    four = {
        "default_probability": default_probability,
        "expected_loss": expected_loss,
        "loss_given_default": loss_given_default,
        "squared_loss": shortfall_moment,
    }
    assert profile.keys() == four.keys()
    for name, measure in four.items():
        np.testing.assert_array_equal(profile[name], measure(EVEN, LOANS, unit_revenue=revenue))


@given(curves(), loan_rows)
def test_loss_given_default_is_undefined_exactly_where_no_default_can_happen(curve, loans):
    pd, el = default_probability(curve, loans), expected_loss(curve, loans)
    lgd = loss_given_default(curve, loans)
    np.testing.assert_array_equal(np.isnan(lgd), pd == 0)
    np.testing.assert_allclose(lgd[pd > 0] * pd[pd > 0], el[pd > 0], rtol=1e-12)


def test_loss_given_default_as_a_fraction_is_a_share_of_the_loan():
    loans = np.array([2.0, 7.2, 100.0])
    amount, share = (
        loss_given_default(UNEVEN, loans, unit_revenue=2.0, as_fraction=fraction) for fraction in (False, True)
    )
    np.testing.assert_allclose(share, amount / loans, rtol=1e-15)
    assert np.isnan(loss_given_default(EVEN, 0.0, as_fraction=True)).all()
    assert 0 < loss_given_default(EVEN, 1e6, as_fraction=True)[0, 0] < 1


@given(curves(), loan_lists.map(sorted))
def test_default_probability_never_falls_and_expected_loss_is_convex_and_rises_by_at_most_the_loan(curve, loans):
    loans = np.sort([*loans, *curve.values.ravel()])
    pd, el = default_probability(curve, loans), expected_loss(curve, loans)
    step, rounding = np.diff(loans), 1e-12 * (1 + np.abs(el).max())
    assert (np.diff(pd) >= 0).all()
    # The mean value theorem of a convex function whose left derivative is PD.
    assert (np.diff(el) >= pd[:, :-1] * step - rounding).all()
    assert (np.diff(el) <= pd[:, 1:] * step + rounding).all()
    assert (np.diff(el) <= step + rounding).all()


@given(curves(values=st.integers(-20, 20).map(float)), st.integers(-60, 60), revenues)
def test_slope_of_expected_loss_is_the_default_probability_away_from_atoms(curve, third, revenue):
    loan, step = revenue * (third + 0.5) / 3, revenue / 16  # all knots are whole numbers, so no atom is within the step
    el = expected_loss(curve, [[loan - step, loan + step]], unit_revenue=revenue)
    pd = default_probability(curve, loan, unit_revenue=revenue)[:, 0]
    # EL is quadratic between knots, for which the central difference is exact.
    np.testing.assert_allclose((el[:, 1] - el[:, 0]) / (2 * step), pd, rtol=1e-11, atol=1e-11)


def test_an_atom_at_the_break_even_sales_is_no_default():
    law = QuantileCurve([0.25, 0.75], [10.0, 20.0])
    loans = [10.0, np.nextafter(10, 11), 20.0, 20.1]
    np.testing.assert_allclose(default_probability(law, loans), [[0, 0.25, 0.75, 1]], rtol=1e-12)


@each_measure
def test_loans_of_zero_and_below_cost_nothing_when_sales_are_positive(measure):
    values = measure(EVEN, [0.0, -10.0], unit_revenue=2.0)
    assert (np.isnan(values) | (values == 0)).all()


def test_loans_beyond_the_top_lose_the_loan_less_mean_revenue():
    loan = 1e4
    assert (default_probability(EVEN, loan) == 1).all()
    np.testing.assert_allclose(expected_loss(EVEN, loan, unit_revenue=2.0)[:, 0], loan - 2 * EVEN.mean(), rtol=1e-12)
    second = (loan - EVEN.mean()) ** 2 + EVEN.std() ** 2
    np.testing.assert_allclose(shortfall_moment(EVEN, loan)[:, 0], second, rtol=1e-12)


def test_negative_sales_make_a_loan_of_zero_risky():
    law = QuantileCurve.from_draws([-4.0, 10.0])
    assert default_probability(law, [0.0, -4.0, -5.0]).tolist() == [[0.5, 0, 0]]
    assert expected_loss(law, [0.0, -2.0]).tolist() == [[2.0, 1.0]]


POWERS = {"PD": 0, "EL": 1, "squared": 2, "VaR": 1, "CVaR": 1, "power 1.5": 1.5, "LGD": 1, "Wang": 1}


@pytest.mark.parametrize("name", POWERS)
def test_currency_scales_with_the_unit_revenue(name):
    measure, revenue = MEASURES[NAMES.index(name)], np.array([0.5, 4.0, 3.3, 1.0])
    loans = np.linspace(-2, 300, 23)
    per_row = measure(EVEN, loans, unit_revenue=revenue)
    for i, r in enumerate(revenue):
        alone = measure(EVEN[i], loans, unit_revenue=r)
        np.testing.assert_allclose(per_row[i], alone[0], rtol=1e-12)
        np.testing.assert_allclose(alone, r ** POWERS[name] * measure(EVEN[i], loans / r, unit_revenue=1.0), rtol=1e-12)


def test_a_threshold_of_zero_counts_the_last_bit_of_a_loan_as_default_does():
    law, loan = QuantileCurve([0.25, 0.75], [10.0, 20.0]), np.nextafter(10, 11)
    assert default_probability(law, loan)[0, 0] == pytest.approx(0.25, rel=1e-12)
    assert exceedance_probability(law, loan, threshold=0.0) == default_probability(law, loan)


@pytest.mark.parametrize(("measure", "power"), [(exceedance_probability, 0), (excess_loss, 1)])
def test_thresholds_scale_with_the_unit_revenue(measure, power):
    loans, threshold = np.array([10.0, 80.0, 200.0]), np.array([0.0, 5.0, 60.0])
    stretched = measure(EVEN, loans * 4, threshold=threshold * 4, unit_revenue=4.0)
    np.testing.assert_allclose(stretched, 4**power * measure(EVEN, loans, threshold=threshold), rtol=1e-12)
    assert measure(EVEN, 80.0, threshold=threshold).shape == (4, 3)
    at_zero = [default_probability, expected_loss][power](EVEN, loans)
    np.testing.assert_array_equal(measure(EVEN, loans, threshold=0.0), at_zero)


@each_measure
def test_loans_may_be_a_number_a_shared_array_or_one_row_each(measure):
    own = np.random.default_rng(3).uniform(0, 200, size=(4, 5))
    each_alone = np.concatenate([measure(EVEN[i], own[i], unit_revenue=1.5) for i in range(4)])
    np.testing.assert_allclose(measure(EVEN, own, unit_revenue=1.5), each_alone, rtol=1e-13)
    shared = measure(EVEN, own[0], unit_revenue=1.5)
    assert shared.shape == (4, 5) and measure(EVEN, 50.0, unit_revenue=1.5).shape == (4, 1)
    np.testing.assert_array_equal(shared, measure(EVEN, np.tile(own[0], (4, 1)), unit_revenue=1.5))
    np.testing.assert_array_equal(measure(EVEN, 50, unit_revenue=1.5), measure(EVEN, [50.0], unit_revenue=1.5))
    # As many loans as rows have to say which they are; where there is one row, there is nothing to say.
    assert measure(EVEN, own[:, :1], unit_revenue=1.5).shape == (4, 1)
    assert measure(EVEN, own[:, 0][None], unit_revenue=1.5).shape == (4, 4)
    assert measure(EVEN[0], [50.0], unit_revenue=1.5).shape == (1, 1)


@each_measure
def test_ten_thousand_rows_give_what_each_row_gives_alone(measure):
    loans = np.array([0.0, 40.0, 150.0])
    result = measure(BIG, loans, unit_revenue=1.0)
    assert result.shape == (10_000, 3)
    for i in (0, 5000, 9999):
        np.testing.assert_allclose(result[i], measure(BIG[i], loans, unit_revenue=1.0)[0], rtol=1e-12)


# The general measure.


@given(curves(), loan_rows, revenues)
def test_general_measure_has_the_others_as_special_cases(curve, loans, revenue):
    def break_even(loan):
        return loan / revenue

    at_most = generalized_risk(curve, loans, h=lambda loan, sales: np.ones_like(sales), tau=break_even)
    np.testing.assert_allclose(at_most, curve.cdf(loans / revenue), rtol=1e-12)
    scale = 1 + np.abs(loans).max() + revenue * np.abs(curve.values).max()
    for order in (1, 2, 3):
        general = generalized_risk(curve, loans, h=lambda loan, d, k=order: (loan - revenue * d) ** k, tau=break_even)
        moment = shortfall_moment(curve, loans, order=order, unit_revenue=revenue)
        np.testing.assert_allclose(general, moment, rtol=1e-10, atol=1e-12 * scale**order)


@given(curves(), st.lists(st.floats(-2, 2), min_size=1, max_size=6), sales)
def test_general_measure_of_a_polynomial_equals_quadrature(curve, coefficients, threshold):
    scale = 1 + np.abs(curve.values).max()

    def severity(loan, d):
        return np.polyval(coefficients, d / scale) + loan

    value = generalized_risk(curve, 2.0, h=severity, tau=lambda loan: 0 * loan + threshold)
    for i in range(len(curve)):
        expected = expectation(curve, i, lambda d: severity(2.0, d) * (d <= threshold), kinks=[threshold])
        assert value[i, 0] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("curve", [UNEVEN[1], EVEN[0]], ids=["uneven", "even"])
def test_general_measure_with_revenue_that_grows_with_sales_equals_scipy_quadrature(curve):
    def revenue(d):
        return 2.5 * np.maximum(d, 0) ** 0.9

    loans = np.array([1.0, 10.0, 100.0, 700.0])
    value = generalized_risk(
        curve, loans, h=lambda loan, d: loan - revenue(d), tau=lambda loan: (loan / 2.5) ** (1 / 0.9)
    )
    levels, knots = [0.0, *curve.levels, 1.0], curve.values[0, [0, *range(len(curve.levels)), -1]]
    for loan, found in zip(loans, value[0]):
        kink = np.interp((loan / 2.5) ** (1 / 0.9), curve.values[0], curve.levels)
        cuts = sorted({*levels, kink})
        total = sum(
            integrate.quad(lambda u, x=loan: max(x - revenue(np.interp(u, levels, knots)), 0), *cell, epsabs=1e-13)[0]
            for cell in zip(cuts, cuts[1:])
        )
        # Sales of exactly 0, where the power 0.9 has no slope, are a knot of the uneven curve: fewer digits there.
        assert found == pytest.approx(total, rel=1e-10 if curve.values[0, 0] > 0 else 1e-5)


def test_general_measure_counts_every_sale_at_the_threshold():
    law = QuantileCurve([0.25, 0.5, 0.75], [1.0, 1.0, 2.0])  # a quarter in the atom, a quarter between two equal knots
    share = generalized_risk(law, 1.0, h=lambda loan, d: np.ones_like(d), tau=lambda loan: loan)
    assert share[0, 0] == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("n_points", [1, 2, 4])
def test_general_measure_is_exact_up_to_a_degree_of_twice_the_points_less_one(n_points):
    def measure(degree):
        h, tau = (lambda loan, d: (loan - d) ** degree), (lambda loan: loan)
        return generalized_risk(UNEVEN, 9.0, h=h, tau=tau, n_points=n_points)

    exact = [shortfall_moment(UNEVEN, 9.0, order=degree) for degree in (2 * n_points - 1, 2 * n_points)]
    np.testing.assert_allclose(measure(2 * n_points - 1), exact[0], rtol=1e-12)
    assert (np.abs(measure(2 * n_points) / exact[1] - 1) > 1e-9).all()


def test_general_measure_never_asks_for_severity_above_the_threshold():
    def severity(loan, d):
        assert (d <= loan).all()
        return np.sqrt(loan - d)

    loans = np.array([25.0, 75.0, 1000.0])
    value = generalized_risk(EVEN, loans, h=severity, tau=lambda loan: loan)
    np.testing.assert_allclose(value, shortfall_moment(EVEN, loans, order=0.5), rtol=1e-2)


# Distortion, value at risk.


@given(curves(), loan_rows, revenues)
def test_identity_and_neutral_distortions_give_the_expected_loss(curve, loans, revenue):
    el = expected_loss(curve, loans, unit_revenue=revenue)
    for distortion, rtol in [(lambda u: u, 1e-12), (wang_transform(0.0), 1e-9), (proportional_hazard(1.0), 1e-12)]:
        np.testing.assert_allclose(
            distortion_risk(curve, loans, distortion=distortion, unit_revenue=revenue), el, rtol=rtol, atol=1e-250
        )


@pytest.mark.parametrize(
    "distortion", [wang_transform(0.5), wang_transform(-0.3), proportional_hazard(2.0), proportional_hazard(0.7)]
)
@pytest.mark.parametrize("revenue", [1.0, 2.5])
def test_distortions_equal_quadrature_over_the_distorted_probability_of_losses(distortion, revenue):
    def height(x, law, loan):  # g(P(L > x))
        return distortion(np.float64(exceedance_probability(law, loan, threshold=x, unit_revenue=revenue)[0, 0]))

    law = EVEN[1]
    for loan in (60.0, 133.0, 900.0):
        cuts = np.unique((loan - revenue * law.values).clip(0))
        total = sum(
            integrate.quad(height, *cell, args=(law, loan), epsabs=1e-13, epsrel=1e-12)[0]
            for cell in zip([0.0, *cuts], cuts)
        )
        assert distortion_risk(law, loan, distortion=distortion, unit_revenue=revenue)[0, 0] == pytest.approx(
            total, rel=1e-9
        )


@pytest.mark.parametrize("revenue", [1.0, 2.5])
def test_conditional_value_at_risk_is_a_distortion_with_a_kink_on_a_level(revenue):
    p = 1 - 0.75
    distorted = distortion_risk(EVEN, LOANS, distortion=lambda u: np.minimum(u / p, 1), unit_revenue=revenue)
    np.testing.assert_allclose(
        conditional_value_at_risk(EVEN, LOANS, level=0.75, unit_revenue=revenue), distorted, rtol=1e-12, atol=1e-13
    )


def test_a_dearer_price_of_risk_never_lowers_the_measure():
    shifts = [distortion_risk(EVEN, LOANS, distortion=wang_transform(shift)) for shift in (-1.0, 0.0, 0.3, 2.0)]
    assert (np.diff(shifts, axis=0) >= -1e-12).all()
    hazards = [distortion_risk(EVEN, LOANS, distortion=proportional_hazard(rho)) for rho in (0.5, 1.0, 3.0)]
    assert (np.diff(hazards, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("level", [0.05, 0.3, 0.5, 0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("n", [1, 10, 20, 37, 100])
def test_value_at_risk_of_draws_is_the_smallest_loss_that_is_not_exceeded_too_often(level, n):
    draws = np.arange(1.0, n + 1)
    loss = np.sort((0.7 * n - draws).clip(0))
    expected = loss[np.flatnonzero(np.arange(1, n + 1) / n >= level)[0]]
    assert value_at_risk(QuantileCurve.from_draws(draws), 0.7 * n, level=level)[0, 0] == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_conditional_value_at_risk_of_draws_is_the_mean_of_the_worst_losses(level):
    loans = np.array([10.0, 60.0, 150.0, 600.0])
    worst = round((1 - level) * DRAWS.shape[1])
    loss = -np.sort(-(loans[:, None] - 3 * DRAWS[:, None, :]).clip(0), axis=-1)[..., :worst]
    np.testing.assert_allclose(
        conditional_value_at_risk(EMPIRICAL, loans, level=level, unit_revenue=3.0), loss.mean(axis=-1), rtol=1e-9
    )


@given(curves(), loan_rows, st.floats(0.01, 0.99), revenues)
def test_value_at_risk_obeys_its_definition(curve, loans, level, revenue):
    loss = value_at_risk(curve, loans, level=level, unit_revenue=revenue)
    rounding = 1e-11 * (1 + np.abs(loans).max() + revenue * np.abs(curve.values).max())
    for i, row in enumerate(loss):
        for loan, var in zip(loans[0], row):
            assert (
                exceedance_probability(curve[i], loan, threshold=var + rounding, unit_revenue=revenue)
                <= 1 - level + 1e-12
            )
            if var > rounding:
                assert (
                    exceedance_probability(curve[i], loan, threshold=var - rounding, unit_revenue=revenue)
                    >= 1 - level - 1e-12
                )


@given(curves(), loan_rows, st.floats(0.01, 0.99), revenues)
def test_conditional_value_at_risk_equals_integration_of_the_quantile_function(curve, loans, level, revenue):
    loss = conditional_value_at_risk(curve, loans, level=level, unit_revenue=revenue)
    p = 1 - level
    for i, row in enumerate(loss):
        for loan, cvar in zip(loans[0], row):
            even = np.interp(loan / revenue, curve.values[i], curve.levels)
            cuts = np.unique(np.minimum([0.0, *curve.levels, even, 1.0], p))
            middle, width = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)  # linear within every cell
            total = ((loan - revenue * np.interp(middle, curve.levels, curve.values[i])).clip(0) @ width) / p
            scale = 1 + abs(loan) + revenue * np.abs(curve.values[i]).max()
            assert cvar == pytest.approx(total, rel=1e-10, abs=1e-12 * scale)


@given(curves(), loan_rows, st.floats(0.01, 0.99))
def test_conditional_value_at_risk_lies_above_value_at_risk_and_expected_loss(curve, loans, level):
    cvar = conditional_value_at_risk(curve, loans, level=level)
    rounding = 1e-11 * (1 + np.abs(loans).max() + np.abs(curve.values).max())
    assert (cvar >= value_at_risk(curve, loans, level=level) - rounding).all()
    assert (cvar >= expected_loss(curve, loans) - rounding).all()


# The largest loan.

shares = st.floats(0.001, 0.999)
amounts = st.floats(0.001, 1000)


def scale_of(curve, revenue, limit=0.0):
    return 1 + np.max(limit) + revenue * np.abs(curve.values).max()


@given(curves(), st.lists(shares, min_size=3, max_size=3), revenues)
def test_largest_loan_under_a_default_probability_is_its_supremum(curve, limits, revenue):
    limits = np.array(limits[: len(curve)])
    loan = largest_loan(curve, max_default_probability=limits, unit_revenue=revenue)[:, None]
    step = 1e-9 * scale_of(curve, revenue)
    below = default_probability(curve, loan - step, unit_revenue=revenue)[:, 0]
    above = default_probability(curve, loan + step, unit_revenue=revenue)[:, 0]
    assert ((loan[:, 0] == 0) | (below <= limits)).all()
    assert (above >= limits).all()


@given(curves(), st.lists(amounts, min_size=3, max_size=3), revenues)
def test_largest_loan_under_an_expected_loss_gives_that_loss(curve, limits, revenue):
    limits = np.array(limits[: len(curve)])
    loan = largest_loan(curve, max_expected_loss=limits, unit_revenue=revenue)
    loss = expected_loss(curve, loan[:, None], unit_revenue=revenue)[:, 0]
    scale = scale_of(curve, revenue, limits)
    np.testing.assert_allclose(loss[loan > 0], limits[loan > 0], rtol=1e-9, atol=1e-12 * scale)
    assert (loss >= limits - 1e-12 * scale).all()  # where the loan is 0, even that one loses more


@given(curves(), st.lists(amounts, min_size=3, max_size=3), st.floats(0.01, 0.99), revenues)
def test_largest_loan_under_a_conditional_value_at_risk_gives_that_value(curve, limits, level, revenue):
    limits = np.array(limits[: len(curve)])
    loan = largest_loan(curve, max_conditional_value_at_risk=limits, level=level, unit_revenue=revenue)
    loss = conditional_value_at_risk(curve, loan[:, None], level=level, unit_revenue=revenue)[:, 0]
    scale = scale_of(curve, revenue, limits)
    np.testing.assert_allclose(loss[loan > 0], limits[loan > 0], rtol=1e-9, atol=1e-12 * scale / (1 - level))
    assert (loss >= limits - 1e-12 * scale / (1 - level)).all()  # where the loan is 0, even that one loses more


@given(curves(), st.lists(shares, min_size=3, max_size=3), revenues)
def test_largest_loan_under_a_loss_rate_is_its_supremum(curve, limits, revenue):
    limits = np.array(limits[: len(curve)])
    loan = largest_loan(curve, max_expected_loss_rate=limits, unit_revenue=revenue)
    scale = scale_of(curve, revenue)
    excess = expected_loss(curve, loan[:, None], unit_revenue=revenue)[:, 0] - limits * loan
    assert (np.abs(excess[loan > 0]) <= 1e-9 * (scale + loan[loan > 0])).all()
    # No larger loan keeps the limit: looked for at every knot, where the excess is smallest, and far above.
    for i, x in enumerate(loan):
        trial = np.array([*(revenue * curve.values[i]), revenue * curve.ppf(limits[i])[i, 0], 2 * x + 1, 9 * scale + x])
        trial = trial[trial > x + 1e-9 * (scale + x)]
        if trial.size:
            assert (
                expected_loss(curve[i], trial, unit_revenue=revenue)[0] >= limits[i] * trial - 1e-9 * (scale + trial)
            ).all()


LIMITS = ["default_probability", "expected_loss", "expected_loss_rate", "conditional_value_at_risk"]
LIMITS = [*(f"max_{name}" for name in LIMITS), "cap"]


@given(curves(), st.tuples(shares, amounts, shares, amounts, st.floats(0, 2e4)), revenues)
def test_several_limits_give_the_smallest_loan(curve, limits, revenue):
    limits = dict(zip(LIMITS, limits))
    alone = [largest_loan(curve, **{name: limit}, unit_revenue=revenue) for name, limit in limits.items()]
    np.testing.assert_array_equal(largest_loan(curve, **limits, unit_revenue=revenue), np.min(alone, axis=0))


@pytest.mark.parametrize("revenue", [1.0, 2.0])
def test_limits_of_zero_allow_the_smallest_revenue_that_can_happen(revenue):
    for name in LIMITS[:-1]:
        loan = largest_loan(EVEN, **{name: 0.0}, unit_revenue=revenue)
        np.testing.assert_array_equal(loan, revenue * EVEN.values[:, 0])
        assert largest_loan(QuantileCurve.from_draws([-4.0, 10.0]), **{name: 0.0}).tolist() == [0]
    assert largest_loan(EVEN, cap=0.0).tolist() == [0, 0, 0, 0]


def test_no_loan_exceeds_its_cap_whatever_the_unit_revenue():
    revenue = np.random.default_rng(7).uniform(0.1, 20, size=10_000)
    cap = np.random.default_rng(8).uniform(1, 100, size=10_000)
    loan = largest_loan(BIG, cap=cap, unit_revenue=revenue)
    np.testing.assert_allclose(loan, cap, rtol=1e-12)
    assert (loan <= cap).all()


def test_limits_that_never_bind_leave_an_infinite_loan():
    for limits in (
        {"max_default_probability": 1.0},
        {"max_expected_loss_rate": 1.0},
        {"max_expected_loss_rate": 1.5},
        {"max_expected_loss_rate": 2.0},
        {"max_expected_loss": np.inf},
        {"max_conditional_value_at_risk": np.inf},
        {"cap": np.inf},
    ):
        assert (largest_loan(UNEVEN, **limits) == np.inf).all(), limits
    assert largest_loan(UNEVEN, max_default_probability=1.0, cap=[3.0, 4.0]).tolist() == [3, 4]


@pytest.mark.parametrize(("limit", "expected"), [(0.0, 10), (0.1, 10), (0.25, 10), (0.5, 15), (0.75, 20), (0.99, 20)])
def test_a_default_probability_within_an_atom_stops_at_the_atom(limit, expected):
    law = QuantileCurve([0.25, 0.75], [10.0, 20.0])
    assert largest_loan(law, max_default_probability=limit)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("revenue", [1.0, 0.1, 3.0, 7.77])
def test_the_loan_itself_keeps_a_default_probability_on_an_atom(revenue):
    curve = QuantileCurve.from_draws(np.random.default_rng(4).uniform(0, 100, size=(200, 4)))
    loan = largest_loan(curve, max_default_probability=0.25, unit_revenue=revenue)
    np.testing.assert_allclose(loan, revenue * curve.values[:, 1], rtol=1e-12)
    assert (default_probability(curve, loan[:, None], unit_revenue=revenue) <= 0.25).all()


@pytest.mark.parametrize(("limit", "below"), [(5.0, True), (200.0, False)])
def test_a_conditional_value_at_risk_limit_may_bind_below_and_above_the_tail_quantile(limit, below):
    loan = largest_loan(EVEN, max_conditional_value_at_risk=limit, level=0.8)
    assert ((loan < EVEN.ppf(1 - 0.8)[:, 0]) == below).all()
    cvar = conditional_value_at_risk(EVEN, loan[:, None], level=0.8)
    np.testing.assert_allclose(cvar[:, 0], limit, rtol=1e-9)


def test_a_loss_rate_with_negative_sales_may_allow_a_loan_or_none():
    # Rare returns make small loans lose more than 20% of themselves, larger ones less; after the first row, all more.
    curve = QuantileCurve.from_draws([[-2.0, *[50.0] * 9], [-60.0, *[50.0] * 9], [-5.0] * 10])
    loan = largest_loan(curve, max_expected_loss_rate=0.2)
    # 0.1 (l + 2) + 0.9 (l - 50) = 0.2 l
    np.testing.assert_allclose(loan, [44.8 / 0.8, 0, 0], rtol=1e-12)
    assert expected_loss(curve[0], 0.1)[0, 0] / 0.1 > 0.2


def test_a_loss_rate_of_one_allows_every_loan_unless_sales_are_below_zero_on_average():
    curve = QuantileCurve.from_draws([[-4.0, 1.0], [-1.0, 1.0], [0.0, 0.0], [-1.0, 4.0]])
    assert largest_loan(curve, max_expected_loss_rate=1.0).tolist() == [0, np.inf, np.inf, np.inf]
    assert (expected_loss(curve[0], [1.0, 100.0, 1e6]) > [1.0, 100.0, 1e6]).all()
    assert (largest_loan(curve, max_expected_loss_rate=1.01) == np.inf).all()


def test_a_flat_excess_at_the_limit_stops_at_the_end_of_the_gap():
    # With sales -d and d the excess over half of the loan is 0 on the whole gap above d, up to rounding.
    rng = np.random.default_rng(5)
    for d, e, f in np.sort(rng.uniform(0, 1, size=(500, 3)), axis=1):
        loan = largest_loan(QuantileCurve.from_draws([-d, d, e, f]), max_expected_loss_rate=0.5)[0]
        assert loan == pytest.approx(e, abs=1e-9)


def test_a_flat_excess_at_the_limit_is_kept_whatever_rounding_says():
    # Sales that sum to 0 over the worst three of ten: the excess over 0.3 of the loan is 0 up to the fourth.
    sales = np.sort(np.random.default_rng(5).uniform(0, 1, size=(2000, 9)), axis=1)
    curve = QuantileCurve.from_draws(np.column_stack([-sales[:, 0] - sales[:, 1], sales]))
    loan = largest_loan(curve, max_expected_loss_rate=0.3)
    np.testing.assert_allclose(loan, sales[:, 2], atol=1e-9)


def test_limits_and_revenues_per_row_give_what_each_row_gives_alone():
    rng = np.random.default_rng(6)
    revenue, pd, el, cvar = rng.uniform(0.5, 3, 4), rng.uniform(0, 1, 4), rng.uniform(0, 50, 4), rng.uniform(0, 99, 4)
    limits = {"max_default_probability": pd, "max_expected_loss": el, "max_conditional_value_at_risk": cvar}
    for name, limit in limits.items():
        together = largest_loan(EVEN, **{name: limit}, unit_revenue=revenue)
        alone = [largest_loan(EVEN[i], **{name: limit[i]}, unit_revenue=revenue[i])[0] for i in range(4)]
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_ten_thousand_loans_are_sized_at_once():
    loan = largest_loan(BIG, max_expected_loss=4.0, max_default_probability=0.2, unit_revenue=2.0)
    assert loan.shape == (10_000,)
    assert (expected_loss(BIG, loan[:, None], unit_revenue=2.0) <= 4.0 * (1 + 1e-9)).all()
    assert (default_probability(BIG, loan[:, None], unit_revenue=2.0) <= 0.2 + 1e-9).all()


def test_uniform_law_has_its_closed_form_loan():
    law = QuantileCurve([1e-4, 1 - 1e-4], [1e-4, 1 - 1e-4])
    a, limit = 1e-4, 0.08
    # EL(l) = a (l - a) + (l - a)**2 / 2 = (l**2 - a**2) / 2
    assert largest_loan(law, max_expected_loss=limit)[0] == pytest.approx(np.sqrt(2 * limit + a**2), rel=1e-12)


def test_largest_loans_of_a_normal_law_come_near_its_closed_form():
    levels = quantile_levels(1, 2000)
    law = QuantileCurve(levels, stats.norm(100, 20).ppf(levels))
    assert largest_loan(law, max_default_probability=0.1)[0] == pytest.approx(stats.norm(100, 20).ppf(0.1), rel=1e-6)


# Exact break-evens.

prices = st.integers(1, 9_999).map(lambda cents: Decimal(cents) / 100)
WAYS_TO_WRITE_A_LOAN = {
    "product": lambda price, units: float(price) * units,
    "decimal": lambda price, units: float(price * units),
    "sum": lambda price, units: sum([float(price)] * units),
    "discount": lambda price, units: 0.9 * units * (float(price) / 0.9),
}


@settings(max_examples=500)
@given(stocked_laws(), prices, st.integers(0, 60), st.sampled_from(["product", "decimal"]))
def test_an_atom_that_pays_its_loan_exactly_is_no_default_whatever_the_last_bits(curve, price, units, way):
    r, loan = float(price), WAYS_TO_WRITE_A_LOAN[way](price, units)
    pd, lgd = default_probability(curve, units), loss_given_default(curve, units)  # at a price of 1 nothing rounds
    profile = risk_profile(curve, loan, unit_revenue=r)
    for found in (
        default_probability(curve, loan, unit_revenue=r),
        profile["default_probability"],
        shortfall_moment(curve, loan, order=0, unit_revenue=r),
        default_probability(curve, np.full((len(curve), 2), loan), unit_revenue=np.full(len(curve), r))[:, :1],
    ):
        np.testing.assert_allclose(found, pd, rtol=1e-13)
    for found in (loss_given_default(curve, loan, unit_revenue=r), profile["loss_given_default"]):
        np.testing.assert_array_equal(np.isnan(found), pd == 0)
        np.testing.assert_allclose(found, r * lgd, rtol=1e-12)
    for order in (1, 2, 0.5):
        expected = r**order * shortfall_moment(curve, units, order=order)
        np.testing.assert_allclose(
            shortfall_moment(curve, loan, order=order, unit_revenue=r), expected, rtol=1e-12
        )
    distorted = distortion_risk(curve, loan, distortion=np.square, unit_revenue=r)
    np.testing.assert_allclose(distorted, r * distortion_risk(curve, units, distortion=np.square), rtol=1e-12)
    at_most = generalized_risk(curve, loan, h=lambda loan, sold: np.ones_like(sold), tau=lambda loan: loan / r)
    np.testing.assert_allclose(at_most, curve.cdf(units), rtol=1e-12)
    assert ((default_probability(curve, loan + r / 1000, unit_revenue=r) > 0) == (curve.values[:, :1] <= units)).all()


@settings(max_examples=200)
@given(stocked_laws(), prices, st.integers(0, 60), st.integers(0, 60), st.sampled_from(["product", "decimal"]))
def test_a_loss_that_meets_its_threshold_exactly_does_not_exceed_it(curve, price, units, borne, way):
    loan, threshold = (WAYS_TO_WRITE_A_LOAN[way](price, n) for n in (units + borne, borne))
    r = float(price)
    exceeding = exceedance_probability(curve, loan, threshold=threshold, unit_revenue=r)
    np.testing.assert_allclose(exceeding, default_probability(curve, units), rtol=1e-13)
    excess = excess_loss(curve, loan, threshold=threshold, unit_revenue=r)
    np.testing.assert_allclose(excess, r * expected_loss(curve, units), rtol=1e-12)


@pytest.mark.parametrize("way", WAYS_TO_WRITE_A_LOAN)
@pytest.mark.parametrize("price", ["0.1", "0.7", "9.99", "4.99", "19.95", "3"])
def test_break_evens_of_known_prices(price, way):
    units, price = np.arange(1, 60), Decimal(price)
    law = QuantileCurve.from_draws(units)
    loans = [WAYS_TO_WRITE_A_LOAN[way](price, int(n)) for n in units[:15]]
    found = default_probability(law, loans, unit_revenue=float(price))
    np.testing.assert_allclose(found[0], np.arange(15) / 59, rtol=1e-12)
    ends = QuantileCurve([0.25, 0.5, 0.75], units[:3] + 4.0)
    loan = WAYS_TO_WRITE_A_LOAN[way](price, 5)
    assert default_probability(ends, loan, unit_revenue=float(price)) == 0
    assert np.isnan(loss_given_default(ends, loan, unit_revenue=float(price))).all()


@settings(max_examples=300)
@given(curves() | stocked_laws(), shares | st.just(0.0), prices.map(float) | revenues)
def test_the_default_probability_of_the_largest_loan_keeps_its_limit_to_the_last_bit(curve, limit, revenue):
    loan = largest_loan(curve, max_default_probability=limit, unit_revenue=revenue)[:, None]
    kept = default_probability(curve, loan, unit_revenue=revenue) <= limit
    assert (kept | (loan == 0)).all()
    at_limit = (revenue * curve.upper_quantile(limit)[:, 0]).clip(0)
    np.testing.assert_allclose(loan[:, 0], at_limit, rtol=1e-12, atol=1e-12 * scale_of(curve, revenue))


@pytest.mark.parametrize("limit", [0.2, 0.3, 0.37])
@pytest.mark.parametrize("revenue", [1.0, 3.0, 0.1, 7.77])
def test_so_it_does_where_levels_and_sales_have_all_digits_and_no_seller_pays_for_the_size_of_another(limit, revenue):
    rng = np.random.default_rng(9)
    sizes = 10.0 ** rng.integers(-6, 7, size=(2000, 1))
    curve = QuantileCurve(np.sort(rng.uniform(0, 1, 9)), sizes * rng.gamma(2.0, 50.0, size=(2000, 9)))
    loan = largest_loan(curve, max_default_probability=limit, unit_revenue=revenue)
    assert (default_probability(curve, loan[:, None], unit_revenue=revenue) <= limit).all()
    np.testing.assert_allclose(loan, revenue * curve.upper_quantile(limit)[:, 0], rtol=1e-13)


def test_value_at_risk_at_a_level_of_the_draws_is_that_order_statistic():
    assert value_at_risk(QuantileCurve.from_draws([10.0, 20.0, 30.0]), 35.0, level=2 / 3) == 15
    for n in range(2, 60):
        law, losses = QuantileCurve.from_draws(np.arange(1.0, n + 1)), n + 5.0 - np.arange(n, 0, -1)
        both = QuantileCurve.from_draws(np.vstack([law.values, 2 * law.values])).clip(upper=1.5 * n)
        for k in range(1, n):
            assert value_at_risk(law, n + 5.0, level=k / n) == losses[k - 1]
            assert value_at_risk(both, n + 5.0, level=k / n)[0] == losses[k - 1]
            np.testing.assert_allclose(
                conditional_value_at_risk(law, n + 5.0, level=k / n), [[losses[k:].mean()]], rtol=1e-12
            )


def test_a_level_next_to_one_is_not_taken_for_a_neighbouring_level_of_the_curve():
    law = QuantileCurve([0.5e-6, 1.8e-6, 0.5], [0.0, 13.0, 20.0])
    var, cvar = (measure(law, 20.0, level=1 - 1e-6) for measure in (value_at_risk, conditional_value_at_risk))
    np.testing.assert_allclose(var, 20 - 13 * (1 - 0.5) / (1.8 - 0.5), rtol=1e-9)
    np.testing.assert_allclose(cvar, 20 - 0.5 * 5 / 2, rtol=1e-9)  # half of those cases sell 0, the others up to 5


# What must not change anything: units, an offset, a bound.

whole_laws = curves(values=st.integers(-50, 50).map(float)) | stocked_laws()


@given(whole_laws, st.integers(-120, 120), st.sampled_from([1e-12, 1e-3, 0.1, 3.0, 1e6, 1e12]))
def test_sales_counted_in_another_unit_leave_every_measure_as_it_is(curve, half, scale):
    loan, counted = np.array([half / 2]), curve.map(lambda sold: scale * sold)
    size = scale_of(curve, 1.0) + abs(half)
    for name, measure in zip(NAMES, MEASURES):
        found, expected = (measure(law, loan, unit_revenue=r) for law, r in ((counted, 1 / scale), (curve, 1.0)))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * size**2, err_msg=name)
    limits = {"max_default_probability": 0.3, "max_expected_loss": 1.5, "max_expected_loss_rate": 0.2}
    for name, limit in (limits | {"max_conditional_value_at_risk": 4.0}).items():
        found, expected = (
            largest_loan(law, **{name: limit}, unit_revenue=r) for law, r in ((counted, 1 / scale), (curve, 1.0))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * size, err_msg=name)


@given(whole_laws, st.integers(-120, 120), st.integers(-10**12, 10**12), st.sampled_from([1.0, 0.5, 4.0]))
def test_sales_and_loan_raised_together_leave_every_loss_as_it_is(curve, half, offset, revenue):
    loan, raised = np.array([half / 2]), curve.map(lambda sold: sold + offset)
    rounding = 1e-15 * (abs(offset) + scale_of(curve, 1.0))  # of the quantile in VaR and CVaR
    for name, measure in zip(NAMES, MEASURES):
        found, expected = (
            measure(law, loan + gift, unit_revenue=revenue) for law, gift in ((raised, revenue * offset), (curve, 0.0))
        )
        atol = 20 * rounding * (revenue if name in ("VaR", "CVaR") else 1e-3)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=atol, err_msg=name)
    y = np.full(len(curve), half / 2)
    np.testing.assert_allclose(raised.crps(y + offset), curve.crps(y), rtol=1e-12)
    if offset > 100:
        above_zero = curve.map(lambda sold: sold + 50)
        found, expected = (largest_loan(law, max_default_probability=0.3) for law in (raised, above_zero))
        np.testing.assert_allclose(found - offset, expected - 50, rtol=0, atol=20 * rounding)


@given(whole_laws, st.integers(-50, 50).map(float), st.integers(0, 60).map(float), st.integers(-120, 120))
def test_a_bound_below_takes_what_losses_it_spares_and_one_above_takes_nothing_from_a_loan_within_it(
    curve, bound, room, half
):
    loan = half / 2
    clipped = curve.clip(lower=bound)
    spared, more = max(loan - bound, 0) > 0, expected_loss(curve, [[loan, bound]])
    expected = more[:, :1] - more[:, 1:] if spared else np.zeros((len(curve), 1))
    np.testing.assert_allclose(expected_loss(clipped, loan), expected, rtol=1e-11, atol=1e-11 * scale_of(curve, 1.0))
    pd = default_probability(curve, loan) if spared else np.zeros((len(curve), 1))
    np.testing.assert_allclose(default_probability(clipped, loan), pd, rtol=1e-12)
    low, var = curve.clip(upper=loan + room), value_at_risk(curve, loan)
    for measure in (default_probability, expected_loss, shortfall_moment, conditional_value_at_risk):
        np.testing.assert_allclose(measure(low, loan), measure(curve, loan), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(value_at_risk(clipped, loan), np.minimum(var, max(loan - bound, 0)), atol=1e-11)


@settings(max_examples=300)
@given(stocked_laws(top=6), st.floats(0.01, 50), st.floats(0.01, 0.9999), prices.map(float))
def test_no_loss_exceeds_the_loan_when_nobody_sells_less_than_nothing(curve, loan, level, revenue):
    if curve.levels.size < 2:
        return
    law = QuantileCurve(curve.levels, curve.values, tails="exponential").clip(lower=0)
    for loss in (
        value_at_risk(law, loan, level=level, unit_revenue=revenue),
        conditional_value_at_risk(law, loan, level=level, unit_revenue=revenue),
    ):
        assert (loss <= loan).all()
    assert (expected_loss(law, loan, unit_revenue=revenue) <= loan * (1 + 1e-12)).all()


# Bad input.


@each_measure
@pytest.mark.parametrize(
    ("loans", "message"),
    [
        (np.nan, "loans must be finite, got NaN or infinity"),
        ([1.0, np.inf], "loans must be finite, got NaN or infinity"),
        ([], r"loans must be a number, \(n_loans,\) or \(4, n_loans\), got shape \(.*0,?\)"),
        (np.ones((3, 2)), r"loans must be a number, \(n_loans,\) or \(4, n_loans\), got shape \(3, 2\)"),
        (np.ones((4, 1, 2)), r"got shape \(4, 1, 2\)"),
        (np.ones(4), r"loans of shape \(4,\) for 4 rows can be read in two ways: pass shape \(4, 1\)"),
    ],
)
def test_bad_loans_are_refused(measure, loans, message):
    with pytest.raises(ValueError, match=message):
        measure(EVEN, loans, unit_revenue=1.0)


def largest_loan_of_a_cap(curve, loans, unit_revenue):
    return largest_loan(curve, cap=loans, unit_revenue=unit_revenue)


every_function = pytest.mark.parametrize("measure", [*MEASURES, largest_loan_of_a_cap], ids=[*NAMES, "largest loan"])


@every_function
@pytest.mark.parametrize(
    ("revenue", "message"),
    [
        (0.0, "unit_revenue must be positive and finite, got 0"),
        (-1.0, "unit_revenue must be positive and finite, got -1"),
        (np.nan, "unit_revenue must be positive and finite, got nan"),
        ([1.0, 1.0, 1.0, np.inf], "unit_revenue must be positive and finite"),
        ([1.0, 2.0], r"unit_revenue must be a number or have shape \(4,\), got shape \(2,\)"),
        (np.ones((4, 1)), r"unit_revenue must be a number or have shape \(4,\), got shape \(4, 1\)"),
    ],
)
def test_bad_unit_revenues_are_refused(measure, revenue, message):
    with pytest.raises(ValueError, match=message):
        measure(EVEN, 5.0, unit_revenue=revenue)


@every_function
def test_draws_that_are_not_yet_a_curve_are_refused(measure):
    message = r"curve must be a QuantileCurve \(see QuantileCurve.from_draws for draws\), got ndarray"
    with pytest.raises(ValueError, match=message):
        measure(DRAWS, 5.0, unit_revenue=1.0)


def test_draws_are_refused_by_the_general_measure():
    with pytest.raises(ValueError, match="curve must be a QuantileCurve"):
        generalized_risk(DRAWS, 5.0, h=lambda loan, d: d, tau=lambda loan: loan)


@pytest.mark.parametrize("measure", [exceedance_probability, excess_loss])
@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (-1.0, "threshold must be finite and not negative, got -1"),
        (np.nan, "threshold must be finite and not negative, got nan"),
        ([0.0, np.inf], "threshold must be finite and not negative"),
        ([1.0, 2.0, 3.0], "threshold .*shape"),
    ],
)
def test_bad_thresholds_are_refused(measure, threshold, message):
    with pytest.raises(ValueError, match=message):
        measure(EVEN, [5.0, 6.0], threshold=threshold)


@pytest.mark.parametrize("order", [-1, np.nan, np.inf, None])
def test_bad_orders_are_refused(order):
    with pytest.raises(ValueError, match="order must be a finite number of at least 0, got"):
        shortfall_moment(EVEN, 5.0, order=order)


@pytest.mark.parametrize("tau", [lambda loan: np.inf * loan, lambda loan: np.nan])
def test_a_threshold_of_no_finite_sales_is_refused(tau):
    with pytest.raises(ValueError, match="tau must return finite sales, got NaN or infinity"):
        generalized_risk(EVEN, 5.0, h=lambda loan, d: d, tau=tau)


BAD_DISTORTIONS = [lambda u: u + 0.1, lambda u: u / 2, wang_transform(np.nan), lambda u: u * (1 - 1e-9)]


@pytest.mark.parametrize("distortion", BAD_DISTORTIONS)
def test_distortions_that_do_not_end_at_0_and_1_are_refused(distortion):
    with pytest.raises(ValueError, match=r"distortion must map 0 to 0 and 1 to 1, got \["):
        distortion_risk(EVEN, 5.0, distortion=distortion)


@pytest.mark.parametrize("exponent", [0.0, -1.0, np.nan])
def test_bad_exponents_are_refused(exponent):
    with pytest.raises(ValueError, match="exponent must be positive, got"):
        proportional_hazard(exponent)


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, np.nan, [0.9]])
@pytest.mark.parametrize("measure", [value_at_risk, conditional_value_at_risk])
def test_bad_confidence_levels_are_refused(measure, level):
    with pytest.raises(ValueError, match=r"level must lie inside \(0, 1\), got"):
        measure(EVEN, 5.0, level=level)


def test_a_largest_loan_needs_a_limit():
    with pytest.raises(ValueError, match="give at least one limit or a cap"):
        largest_loan(EVEN)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (-0.1, "must not be negative or NaN, got -0.1"),
        (np.nan, "must be a number, got nan"),
        ([0.1, 0.2], r"must be a number or have shape \(4,\), got shape \(2,\)"),
    ],
)
def test_bad_limits_are_refused(name, limit, message):
    with pytest.raises(ValueError, match=f"{name} {message}"):
        largest_loan(EVEN, **{name: limit})


def test_a_default_probability_above_one_is_refused():
    with pytest.raises(ValueError, match=r"max_default_probability must lie in \[0, 1\], got 1.2"):
        largest_loan(EVEN, max_default_probability=1.2)


@pytest.mark.parametrize("level", [0, 1, np.nan])
def test_a_bad_confidence_level_of_a_limit_is_refused(level):
    with pytest.raises(ValueError, match=r"level must lie inside \(0, 1\), got"):
        largest_loan(EVEN, max_conditional_value_at_risk=1.0, level=level)
