"""The quantile curve against closed forms, exact arithmetic, quadrature and the empirical law."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import curves, curves_and_points, exact_moments, expectation, pieces, sales, stocked_laws
from scipy import integrate, stats

from qrgmm.checks import check_count
from qrgmm.curve import QuantileCurve, crossing_rate, quantile_levels
from qrgmm.plots import plot_quantile_curve

UNEVEN = QuantileCurve([0.07, 0.2, 0.35, 0.8, 0.91], [[-3.0, 1.5, 1.5, 4.0, 20.0], [0.0, 0.25, 7.0, 7.5, 7.75]])
ONE_LEVEL = QuantileCurve([0.3], [[5.0], [-1.0]])
BIG = QuantileCurve(quantile_levels(2000), np.random.default_rng(0).gamma(2.0, 50.0, size=(10_000, 44)))
FIXED = [UNEVEN, ONE_LEVEL, UNEVEN[0]]


def points_around(curve):
    """Points below, on, between and above the knots of every row."""
    knots = np.unique(curve.values)
    return np.concatenate([knots[:1] - 3, knots, (knots[1:] + knots[:-1]) / 2, knots[:1] + 1 / 3, knots[-1:] + 100])


# A uniform law is piecewise linear itself, so the curve is that law with its ends clamped: min(max(U, 1/m), 1 - 1/m).


@pytest.mark.parametrize("m", [2, 3, 10, 101])
def test_uniform_law_has_its_closed_forms(m):
    curve = QuantileCurve(quantile_levels(1, m), quantile_levels(1, m))
    a, b = curve.values[0, [0, -1]]
    y = np.concatenate([[-1.0, a, b, 2.0], np.linspace(0, 1, 41) ** 2])

    def powers(k):  # E[((y - Y)+)^k] = atom below + integral between + atom above
        low, high = (y - a).clip(0), (y - b).clip(0)
        return a * low**k + (low ** (k + 1) - high ** (k + 1)) / (k + 1) + a * high**k

    for order in (1, 2, 3, 0.5, 1.5):
        np.testing.assert_allclose(curve.lower_partial_moment(y, order)[0], powers(order), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(curve.lower_partial_moment(y, 0)[0], np.select([y <= a, y <= b], [0, y], 1), rtol=1e-12)
    np.testing.assert_allclose(curve.cdf(y)[0], np.select([y < a, y < b], [0, y], 1), rtol=1e-12)
    np.testing.assert_allclose(curve.pdf(y)[0], (y >= a) & (y < b), rtol=1e-12)
    u = np.linspace(0, 1, 57)
    np.testing.assert_allclose(curve.ppf(u)[0], u.clip(a, b), rtol=1e-12)
    assert curve.mean()[0] == pytest.approx(0.5, rel=1e-12)
    variance = 2 * a * (0.5 - a) ** 2 + 2 * (0.5 - a) ** 3 / 3
    assert curve.std()[0] == pytest.approx(np.sqrt(variance), rel=1e-12, abs=1e-15)
    for z in (a, 0.5, b, 3.0, -1.0):
        inside = min(max(z, a), b)
        score = (inside**3 - a**3 + (1 - inside) ** 3 - (1 - b) ** 3) / 3 + abs(z - inside)
        assert curve.crps([z])[0] == pytest.approx(score, rel=1e-12)
    distorted = (y.clip(a, b) ** 3 - a**3) / 3 + (y - b).clip(0)
    np.testing.assert_allclose(curve.distorted_shortfall(y, np.square)[0], distorted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("law", [stats.expon(), stats.norm(5, 2), stats.uniform(1, 3)], ids=["exp", "norm", "uniform"])
@pytest.mark.parametrize("m", [10, 100])
def test_curve_of_a_law_is_as_close_as_interpolation_allows(law, m):
    levels = quantile_levels(1, m)
    curve = QuantileCurve(levels, law.ppf(levels))
    np.testing.assert_allclose(curve.cdf(law.ppf(levels))[0, :-1], levels[:-1], rtol=1e-12)
    # Moments of order 1 differ by at most the integral of |Q_m - Q|, the Wasserstein distance of the two laws.
    cells = zip([1e-14, *levels], [*levels, 1 - 1e-14])
    gaps = [integrate.quad(lambda u: abs(curve.ppf(u)[0, 0] - law.ppf(u)), *cell, epsrel=1e-6)[0] for cell in cells]
    distance = 1.001 * sum(gaps) + 1e-12
    assert distance < 4 * law.std() * np.log(m) / m
    c = law.ppf(np.linspace(0.001, 0.999, 25))
    expected = c * law.cdf(c) - [law.expect(lambda y: y, ub=x, epsabs=1e-12) for x in c]
    assert np.abs(curve.lower_partial_moment(c)[0] - expected).max() <= distance
    assert abs(curve.mean()[0] - law.mean()) <= distance
    assert np.abs(curve.cdf(c)[0] - law.cdf(c)).max() <= 1 / m + 1e-12


def test_interpolation_error_on_the_main_region_is_that_of_the_second_derivative():
    levels = quantile_levels(1, 200)
    curve = QuantileCurve(levels, stats.expon.ppf(levels))
    u = np.linspace(levels[0], 0.9, 5001)
    error = curve.ppf(u)[0] - stats.expon.ppf(u)
    assert 0 <= error.max() + 1e-15 and error.min() > -1e-15  # a chord of a convex function lies above it
    assert error.max() <= (1 / 200) ** 2 / 8 / (1 - 0.9) ** 2


# Arbitrary curves.


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
@given(curves_and_points())
def test_moments_of_whole_order_equal_exact_arithmetic(order, law):
    curve, y = law
    expected = exact_moments(curve, y, order)
    np.testing.assert_allclose(curve.lower_partial_moment(y, order), expected, rtol=1e-12, atol=1e-250)


@given(curves_and_points())
def test_moments_of_all_orders_at_once_equal_each_alone(law):
    curve, y = law
    together = curve.lower_partial_moments(y, 4)
    assert len(together) == 5
    for order, moment in enumerate(together):
        np.testing.assert_array_equal(moment, curve.lower_partial_moment(y, order))


@pytest.mark.parametrize("order", [0.5, 1.5, 2.25])
@given(curves_and_points())
def test_moments_of_fractional_order_equal_exact_arithmetic(order, law):
    curve, y = law
    expected = exact_moments(curve, y, order)
    np.testing.assert_allclose(curve.lower_partial_moment(y, order), expected, rtol=1e-10, atol=1e-250)


def test_fractional_moments_far_above_narrow_steps_lose_no_digits():
    curve = QuantileCurve([0.2, 0.4, 0.6, 0.8], [0.0, 1e-6, 2e-6, 3e-6])
    y = np.array([1e-6, 1.0, 1e3, 1e6])
    np.testing.assert_allclose(curve.lower_partial_moment(y, 1.5), exact_moments(curve, y, 1.5), rtol=1e-12)


@pytest.mark.parametrize("order", [0, 0.5, 1, 1.5, 2, 3])
@pytest.mark.parametrize("curve", FIXED, ids=repr)
def test_moments_equal_quadrature(curve, order):
    y = points_around(curve)
    levels = [0.0, *curve.levels, 1.0]
    for i in range(len(curve)):
        knots = np.concatenate([curve.values[i, :1], curve.values[i], curve.values[i, -1:]])

        def shortfall(u, level, knots=knots):
            depth = level - np.interp(u, levels, knots)
            return depth**order if depth > 0 else 0.0

        for value, level in zip(curve[i].lower_partial_moment(y, order)[0], y):
            kinks = np.interp(level, knots[1:-1], levels[1:-1]) if len(curve.levels) > 1 else 0.3
            kinks = sorted({*levels[1:-1], kinks})
            cells = zip([0.0, *kinks], [*kinks, 1.0])
            total = sum(integrate.quad(shortfall, a, b, args=(level,), epsabs=1e-13, limit=200)[0] for a, b in cells)
            assert value == pytest.approx(total, rel=1e-10, abs=1e-10)


@given(curves_and_points())
def test_cdf_equals_exact_arithmetic(law):
    curve, y = law
    # P(Y <= y) = 1 - P(-Y < -y), and the mirrored law has the mirrored levels.
    mirrored = QuantileCurve(1 - curve.levels[::-1], -curve.values)
    np.testing.assert_allclose(curve.cdf(y), 1 - exact_moments(mirrored, -y, 0), rtol=0, atol=1e-12)


@given(curves())
def test_mean_and_std_equal_quadrature(curve):
    scale = 1 + np.abs(curve.values).max()
    for i in range(len(curve)):
        mean = expectation(curve, i, lambda y: y)
        assert curve.mean()[i] == pytest.approx(mean, rel=1e-12, abs=1e-12 * scale)
        variance = expectation(curve, i, lambda y, mean=mean: (y - mean) ** 2)
        assert curve.std()[i] == pytest.approx(np.sqrt(variance), rel=1e-10, abs=1e-10 * scale)


@given(curves(), sales)
def test_crps_equals_exact_integration_of_its_definition(curve, y):
    nodes, weights = np.polynomial.legendre.leggauss(3)  # the integrand is piecewise quadratic
    for i in range(len(curve)):
        cuts = np.unique([*curve.values[i], y])
        width = np.diff(cuts)
        z = cuts[:-1, None] + width[:, None] * (nodes + 1) / 2
        square = (curve[i].cdf(z.reshape(1, -1)).reshape(z.shape) - (z >= y)) ** 2 if len(width) else np.zeros(z.shape)
        assert curve[i].crps([y])[0] == pytest.approx(width @ (square @ weights) / 2, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("curve", FIXED, ids=repr)
def test_crps_equals_a_dense_midpoint_rule(curve):
    y = np.array([2.2, 7.6])[: len(curve)]
    z, step = np.linspace(-10, 30, 400_001, retstep=True)
    z = z[:-1] + step / 2
    expected = ((curve.cdf(z) - (y[:, None] <= z)) ** 2).sum(axis=1) * step
    np.testing.assert_allclose(curve.crps(y), expected, atol=2 * step)


@given(curves_and_points())
def test_density_integrates_to_the_mass_between_knots_and_is_the_slope_of_the_cdf(law):
    curve, y = law
    width = np.diff(curve.values)
    middle = curve.values[:, :-1] + width / 2
    if middle.size:
        mass = np.where(width > 0, np.diff(curve.levels), 0)
        np.testing.assert_allclose(curve.pdf(middle) * width, mass, rtol=1e-12)
    outside = np.column_stack([curve.values[:, 0] - 1, curve.values[:, -1]])
    np.testing.assert_array_equal(curve.pdf(outside), 0)


@pytest.mark.parametrize("curve", FIXED, ids=repr)
@pytest.mark.parametrize("power", [1, 2, 5])
def test_distorted_shortfall_of_a_power_equals_integration_of_the_power_of_the_cdf(curve, power):
    def height(z, law):
        return law.cdf(z)[0, 0] ** power

    for law in (curve[i] for i in range(len(curve))):
        for y in points_around(curve):
            cuts = np.unique([*law.values[0], y])
            cells = [cell for cell in zip(cuts, cuts[1:]) if cell[1] <= y]
            total = sum(integrate.quad(height, *cell, args=(law,))[0] for cell in cells)
            value = law.distorted_shortfall(y, lambda u: u**power)[0, 0]
            assert value == pytest.approx(total, rel=1e-10, abs=1e-10)


@given(curves_and_points())
def test_undistorted_shortfall_is_the_first_moment(law):
    curve, y = law
    shortfall = curve.distorted_shortfall(y, lambda u: u)
    np.testing.assert_allclose(shortfall, curve.lower_partial_moment(y), rtol=1e-12, atol=1e-250)


# Quantiles and distribution function as each other's inverse.


@given(curves())
def test_quantiles_at_the_levels_are_the_values_to_the_last_bit(curve):
    np.testing.assert_array_equal(curve.ppf(curve.levels), curve.values)


@given(curves(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_ppf_is_linear_interpolation_with_flat_ends(curve, u):
    for i in range(len(curve)):
        expected = np.interp(u, curve.levels, curve.values[i])
        scale = 1 + np.abs(curve.values[i]).max()
        np.testing.assert_allclose(curve.ppf(u)[i], expected, rtol=1e-12, atol=1e-12 * scale)


@given(curves_and_points(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_ppf_and_cdf_obey_the_galois_inequalities(law, u):
    curve, y = law
    rounding = 4 * np.spacing(1 + np.abs(curve.values).max())
    u = np.array([*u, *curve.levels])
    assert (curve.cdf(curve.ppf(u) + rounding) >= u - 1e-12).all()
    assert (curve.lower_partial_moment(curve.ppf(u) - rounding, 0) <= u + 1e-12).all()
    # Where the density is small, a rounding of the level is a long way in sales.
    lower, upper = (curve.cdf(y) - 1e-12).clip(0), (curve.lower_partial_moment(y, 0) + 1e-12).clip(max=1)
    inside = y >= curve.values[:, :1]
    assert (curve.ppf(lower) <= y + rounding)[inside].all()
    assert (curve.upper_quantile(upper) >= np.minimum(y, curve.values[:, -1:]) - rounding).all()


@given(curves(), st.lists(st.floats(0, 1), min_size=2, max_size=20).map(sorted))
def test_ppf_is_monotone(curve, u):
    steps = np.diff(curve.ppf(sorted([*u, *curve.levels])))
    assert (steps >= -4 * np.spacing(np.abs(curve.values).max())).all()


@given(curves(), st.lists(sales, min_size=1, max_size=20))
def test_cdf_and_strict_probability_are_monotone_probabilities_in_order(curve, y):
    y = np.concatenate([y, *curve.values, *np.nextafter(curve.values, np.inf), *np.nextafter(curve.values, -np.inf)])
    y = np.sort(y)
    at_most, less = curve.cdf(y), curve.lower_partial_moment(y, 0)
    for probability in (at_most, less):
        assert (np.diff(probability) >= 0).all()
        assert (probability >= 0).all() and (probability <= 1).all()
    assert (less <= at_most).all()


def test_rounding_lifts_no_probability_over_that_of_the_next_knot():
    for low, high in np.sort(np.random.default_rng(11).uniform(0, 1, size=(2000, 2))):
        curve = QuantileCurve([low, high, 0.5 + high / 2], [0.0, 1.0, 2.0])
        assert curve.lower_partial_moment(1.0, 0) <= curve.cdf(1.0)


@given(curves(), st.lists(sales, min_size=3, max_size=12, unique=True))
def test_first_moment_is_convex_and_rises_by_at_most_one_per_unit(curve, y):
    y = np.sort([*y, *(np.array(y) + 0.5)])
    moment = curve.lower_partial_moment(y)
    rounding = 1e-12 * (1 + np.abs(moment).max())
    step = np.diff(y)
    rise = np.diff(moment)
    assert (rise >= -rounding).all() and (rise <= step + rounding).all()
    chord = moment[:, :-2] * step[1:] + moment[:, 2:] * step[:-1] - moment[:, 1:-1] * (step[1:] + step[:-1])
    assert (chord >= -rounding * (step[1:] + step[:-1])).all()


@given(curves(max_rows=1).filter(lambda curve: len(np.unique(curve.values)) == curve.values.size > 1))
def test_clamped_ends_are_atoms(curve):
    lowest, highest = curve.values[0, 0], curve.values[0, -1]
    assert curve.lower_partial_moment(lowest, 0) == 0
    assert curve.cdf(lowest) == curve.levels[0]
    assert curve.lower_partial_moment(highest, 0) == pytest.approx(curve.levels[-1], rel=1e-12)
    assert curve.cdf(highest) == 1
    assert curve.cdf(np.nextafter(lowest, -np.inf)) == 0


def test_a_single_level_is_one_atom():
    assert ONE_LEVEL.ppf([0, 0.2, 0.9, 1]).tolist() == [[5.0] * 4, [-1.0] * 4]
    assert ONE_LEVEL.cdf([-1.0, 5.0]).tolist() == [[0, 1], [1, 1]]
    assert ONE_LEVEL.mean().tolist() == [5, -1] and ONE_LEVEL.std().tolist() == [0, 0]
    assert ONE_LEVEL.crps([4.0, 4.0]).tolist() == [1, 5]


def test_masses_sum_to_one_and_match_the_pieces():
    atoms, spread = UNEVEN.masses()
    assert atoms.sum() + spread.sum() == pytest.approx(1, rel=1e-15)
    law = [float(mass) for mass, *_ in pieces(UNEVEN, 0)]
    np.testing.assert_allclose([atoms[0], atoms[-1], *spread], law, rtol=1e-15)


# The empirical law.

draw_lists = st.lists(sales, min_size=1, max_size=12)


@given(draw_lists, draw_lists)
def test_from_draws_is_the_empirical_law(draws, y):
    curve, y = QuantileCurve.from_draws(draws), np.array([*y, *draws])
    scale = 1 + np.abs([*draws, *y]).max()
    draws = np.array(draws)
    np.testing.assert_array_equal(curve.cdf(y)[0], (draws <= y[:, None]).mean(axis=1))
    np.testing.assert_array_equal(curve.lower_partial_moment(y, 0)[0], (draws < y[:, None]).mean(axis=1))
    for order in (1, 2, 3, 1.5):
        expected = ((y[:, None] - draws).clip(0) ** order).mean(axis=1)
        np.testing.assert_allclose(curve.lower_partial_moment(y, order)[0], expected, rtol=1e-11)
    assert curve.mean()[0] == pytest.approx(draws.mean(), rel=1e-12, abs=1e-12 * scale)
    assert curve.std()[0] == pytest.approx(draws.std(), rel=1e-10, abs=1e-10 * scale)
    score = np.abs(draws - y[0]).mean() - np.abs(draws[:, None] - draws).mean() / 2
    assert curve.crps(y[:1])[0] == pytest.approx(score, rel=1e-10, abs=1e-11 * scale)
    np.testing.assert_array_equal(curve.pdf(y), 0)


def test_from_draws_agrees_with_scipy_ecdf_and_numpy_quantiles():
    draws = np.random.default_rng(1).poisson(4.0, size=250).astype(float)
    curve = QuantileCurve.from_draws(draws)
    ecdf = stats.ecdf(draws).cdf
    y = np.linspace(-1, 15, 65)
    np.testing.assert_allclose(curve.cdf(y)[0], ecdf.evaluate(y), rtol=1e-12, atol=1e-15)
    u = np.linspace(0, 1, 1001)
    np.testing.assert_array_equal(curve.ppf(u)[0], np.quantile(draws, u, method="inverted_cdf"))


def test_upper_quantile_is_the_far_end_of_a_gap_and_ppf_the_near_one():
    law = QuantileCurve.from_draws([1.0, 2.0, 5.0, 9.0])
    u = [0, 0.25, 0.3, 0.5, 0.75, 1]
    assert law.ppf(u).tolist() == [[1, 1, 2, 2, 5, 9]]
    assert law.upper_quantile(u).tolist() == [[1, 2, 2, 5, 9, 9]]


@given(curves(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_upper_quantile_equals_ppf_where_there_is_no_gap(curve, u):
    u = [*u, *curve.levels]
    scale = 1 + np.abs(curve.values).max()
    np.testing.assert_allclose(curve.upper_quantile(u), curve.ppf(u), rtol=1e-12, atol=1e-12 * scale)


# Draws.


def strict_and_weak_distance(draws, law):
    """sup |F_n - F| of one law with atoms, from both sides of every point where either jumps."""
    y = np.unique([*draws, *law.values[0]])
    ordered = np.sort(draws)
    at_most = np.searchsorted(ordered, y, side="right") / len(draws) - law.cdf(y)[0]
    less = np.searchsorted(ordered, y, side="left") / len(draws) - law.lower_partial_moment(y, 0)[0]
    return max(np.abs(at_most).max(), np.abs(less).max())


@pytest.mark.parametrize("levels", [quantile_levels(1, 10), [0.05, 0.3, 0.31, 0.9]], ids=["even", "uneven"])
def test_draws_follow_the_curve(levels):
    values = np.random.default_rng(2).gamma(2.0, size=(3, len(levels)))
    curve = QuantileCurve(levels, values)
    draws = curve.sample(40_000, rng=3)
    for i in range(3):
        # A distance above 1.95 / sqrt(n) has a probability below 0.001; the seed is fixed.
        assert strict_and_weak_distance(draws[i], curve[i]) < 1.95 / np.sqrt(40_000)
    assert abs(np.corrcoef(draws)[np.triu_indices(3, 1)]).max() < 0.02


def test_draws_of_an_empirical_law_are_its_draws():
    draws = np.array([[3.0, 1.0, 2.0, 2.0]])
    sample = QuantileCurve.from_draws(draws).sample(40_000, rng=4)
    np.testing.assert_allclose([(sample == y).mean() for y in (1, 2, 3)], [0.25, 0.5, 0.25], atol=0.01)
    assert set(np.unique(sample)) == {1, 2, 3}


SHAPES = [(1, 1), (1, 100_000), (5, 16_384), (3, 16_385), (2_000, 1), (700, 37), (40, 1_000)]


@pytest.mark.parametrize(("n_rows", "n_draws"), SHAPES)
@pytest.mark.parametrize("even", [True, False])
def test_draws_are_quantiles_of_one_uniform_each_row_by_row(n_rows, n_draws, even):
    levels = quantile_levels(1, 20) if even else np.arange(1, 20) / 20.5
    curve = QuantileCurve(levels, 5 + np.random.default_rng(5).normal(size=(n_rows, 19)))
    draws = curve.sample(n_draws, np.random.default_rng(6))
    assert draws.shape == (n_rows, n_draws)
    expected = curve.ppf(np.random.default_rng(6).random((n_rows, n_draws)))
    np.testing.assert_allclose(draws, expected, rtol=1e-9)


@given(curves(), st.integers(0, 10))
def test_draws_stay_within_the_knots(curve, seed):
    draws = curve.sample(50, seed)
    rounding = 1e-12 * (1 + np.abs(curve.values).max())
    assert (draws >= curve.values[:, :1] - rounding).all() and (draws <= curve.values[:, -1:] + rounding).all()


def test_a_seed_is_its_generator_and_repeats():
    first, again = UNEVEN.sample(100, rng=7), UNEVEN.sample(100, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(first, again)
    assert (first != UNEVEN.sample(100, rng=8)).any()
    assert (UNEVEN.sample(100) != UNEVEN.sample(100)).any()


def test_a_generator_moves_on_between_calls():
    rng = np.random.default_rng(9)
    assert (UNEVEN.sample(20, rng) != UNEVEN.sample(20, rng)).any()


def test_no_global_random_state_is_touched():
    before = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
    UNEVEN.sample(100, rng=1)
    UNEVEN.sample(100)
    after = np.random.get_state()  # noqa: NPY002
    assert before[2:] == after[2:] and (before[1] == after[1]).all()


# Bounds: nobody sells less than nothing, or more than the stock.


@st.composite
def clipped_curves(draw):
    """A curve, bounds for each row, some on its knots, and the clipped curve; a bound may be missing."""
    curve = draw(curves())
    bounds = np.empty((2, len(curve)))
    for i, row in enumerate(curve.values):
        bounds[:, i] = sorted(draw(st.tuples(*[sales | st.sampled_from(list(row))] * 2)))
    lower, upper = draw(st.sampled_from([bounds, (bounds[0], None), (None, bounds[1])]))
    return curve, lower, upper, curve.clip(lower, upper)


def columns(lower, upper):
    """Bounds as columns, infinite where there is none."""
    return [np.array([[end]]) if b is None else b[:, None] for b, end in ((lower, -np.inf), (upper, np.inf))]


def size_of(curve, lower=None, upper=None):
    return 1 + max(np.abs(x).max() for x in (curve.values, lower, upper) if x is not None)


def points_of(curve, lower, upper, y):
    """Points for each row: on its bounds and knots, next to them, and anywhere."""
    knots = np.column_stack([curve.values, *(b for b in (lower, upper) if b is not None)])
    anywhere = np.broadcast_to(y, (len(curve), len(y)))
    return np.column_stack([knots, np.nextafter(knots, -np.inf), np.nextafter(knots, np.inf), anywhere])


some_points = st.lists(sales, min_size=1, max_size=4)


@given(clipped_curves(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_quantiles_of_a_clipped_law_are_the_clipped_quantiles(law, u):
    curve, lower, upper, clipped = law
    a, b = columns(lower, upper)
    u = np.array([*np.linspace(0, 1, 301), *u, *curve.levels, *np.ravel(clipped.levels)])
    for quantile in ("ppf", "upper_quantile"):
        expected = np.clip(getattr(curve, quantile)(u), a, b)
        found = getattr(clipped, quantile)(u)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * size_of(curve, lower, upper))
    assert (curve.clip(lower=0.0).ppf(u) >= 0).all(), "not even rounding sells less than nothing"


@given(clipped_curves(), some_points)
def test_a_clipped_law_has_atoms_on_its_bounds_and_is_the_old_one_between_them(law, y):
    curve, lower, upper, clipped = law
    a, b = columns(lower, upper)
    y = points_of(curve, lower, upper, y)
    at_most = np.select([y < a, y < b], [0.0, curve.cdf(y)], 1.0)
    less = np.select([y <= a, y <= b], [0.0, curve.lower_partial_moment(y, 0)], 1.0)
    np.testing.assert_allclose(clipped.cdf(y), at_most, rtol=0, atol=1e-12)
    np.testing.assert_allclose(clipped.lower_partial_moment(y, 0), less, rtol=0, atol=1e-12)
    outside = (y < a) | (y >= b)
    np.testing.assert_array_equal(clipped.cdf(y)[outside], at_most[outside])
    np.testing.assert_allclose(sum(part.sum(axis=-1) for part in clipped.masses()), 1, rtol=1e-14)


@given(clipped_curves())
def test_mean_and_std_of_a_clipped_law_are_those_of_the_clipped_sales(law):
    curve, lower, upper, clipped = law
    a, b = (np.broadcast_to(bound[:, 0], len(curve)) for bound in columns(lower, upper))
    scale = size_of(curve, lower, upper)
    for i in range(len(curve)):
        mean = expectation(curve, i, lambda y, i=i: y.clip(a[i], b[i]), kinks=[a[i], b[i]])
        assert clipped.mean()[i] == pytest.approx(mean, rel=1e-12, abs=1e-12 * scale)
        variance = expectation(curve, i, lambda y, i=i, m=mean: (y.clip(a[i], b[i]) - m) ** 2, kinks=[a[i], b[i]])
        assert clipped.std()[i] ** 2 == pytest.approx(variance, rel=1e-10, abs=1e-12 * scale**2)


@pytest.mark.parametrize(("order", "rtol"), [(1, 1e-12), (2, 1e-12), (1.5, 1e-6)])
@given(law=clipped_curves(), y=some_points)
def test_moments_of_a_clipped_law_are_those_of_the_clipped_sales(order, rtol, law, y):
    curve, lower, upper, clipped = law
    a, b = (np.broadcast_to(bound[:, 0], len(curve)) for bound in columns(lower, upper))
    bounds = [bound for bound in (lower, upper) if bound is not None]
    y = np.column_stack([curve.values[:, -1], *bounds, np.broadcast_to(y, (len(curve), len(y)))])
    moments, scale = clipped.lower_partial_moment(y, order), 1 + np.abs(y).max()
    for i in range(len(curve)):
        for point, moment in zip(y[i], moments[i]):
            expected = expectation(
                curve,
                i,
                lambda sold, i=i, point=point: (point - sold.clip(a[i], b[i])).clip(0) ** order,
                kinks=[a[i], b[i], point],
            )
            assert moment == pytest.approx(expected, rel=rtol, abs=1e-12 * scale**order)


@given(clipped_curves(), sales)
def test_crps_of_a_clipped_law_is_that_of_many_clipped_quantiles(law, y):
    curve, lower, upper, clipped = law
    n = 2000
    draws = np.clip(curve.ppf((np.arange(n) + 0.5) / n), *columns(lower, upper))
    y = np.full(len(curve), y)
    # The two laws differ by at most their range over n, as Wasserstein's distance measures it.
    atol = 2 * np.ptp(draws, axis=1).max() / n + 1e-12 * size_of(curve, lower, upper)
    np.testing.assert_allclose(clipped.crps(y), QuantileCurve.from_draws(draws).crps(y), rtol=0, atol=atol)


@given(clipped_curves(), some_points)
def test_rows_of_a_clipped_law_are_the_rows_clipped_alone(law, y):
    curve, lower, upper, clipped = law
    y = points_of(curve, lower, upper, y)
    for i in range(len(curve)):
        alone = curve[i].clip(*(None if bound is None else bound[i] for bound in (lower, upper)))
        assert len(clipped[i]) == len(alone) == 1
        for law in (clipped[i], alone):
            np.testing.assert_array_equal(law.cdf(y[i]), clipped.cdf(y)[[i]])
            moments, expected = [law.mean(), law.std()], [clipped.mean()[[i]], clipped.std()[[i]]]
            np.testing.assert_allclose(moments, expected, rtol=1e-12, atol=1e-12 * size_of(curve, lower, upper))
            np.testing.assert_array_equal(law.ppf([0, 0.3, 1]), clipped.ppf([0, 0.3, 1])[[i]])
    np.testing.assert_array_equal(clipped[::-1].cdf(y[::-1]), clipped.cdf(y)[::-1])


@given(clipped_curves(), st.lists(sales, min_size=2, max_size=2).map(sorted), st.lists(st.floats(0, 1), min_size=1))
def test_a_clipped_law_can_be_clipped_again(law, bounds, u):
    curve, lower, upper, clipped = law
    again, u = clipped.clip(*bounds), np.array([*np.linspace(0, 1, 101), *u])
    expected = np.clip(np.clip(curve.ppf(u), *columns(lower, upper)), *bounds)
    scale = size_of(curve, lower, upper) + np.abs(bounds).max()
    np.testing.assert_allclose(again.ppf(u), expected, rtol=0, atol=1e-11 * scale)
    same = clipped.clip(lower, upper)
    np.testing.assert_array_equal(same.ppf(u), clipped.ppf(u))
    assert same.levels.shape == clipped.levels.shape, "a bound that is kept already needs no knot"


@given(clipped_curves(), st.integers(0, 10))
def test_draws_of_a_clipped_law_are_the_clipped_draws(law, seed):
    curve, lower, upper, clipped = law
    expected = np.clip(curve.sample(40, seed), *columns(lower, upper))
    np.testing.assert_allclose(clipped.sample(40, seed), expected, rtol=0, atol=1e-9 * size_of(curve, lower, upper))


@given(draw_lists, st.lists(sales, min_size=2, max_size=2).map(sorted))
def test_a_clipped_empirical_law_is_that_of_the_clipped_draws(draws, bounds):
    clipped, expected = QuantileCurve.from_draws(draws).clip(*bounds), QuantileCurve.from_draws(np.clip(draws, *bounds))
    y = np.array([*draws, *bounds, *np.nextafter(bounds, np.inf), bounds[0] - 1])
    np.testing.assert_array_equal(clipped.cdf(y), expected.cdf(y))
    for order in (0, 1, 2, 1.5):
        moments = [law.lower_partial_moment(y, order) for law in (clipped, expected)]
        np.testing.assert_allclose(*moments, rtol=1e-11, atol=1e-250)
    u = np.arange(len(draws) + 1) / len(draws)
    np.testing.assert_array_equal(clipped.ppf(u), expected.ppf(u))
    np.testing.assert_array_equal(clipped.upper_quantile(u), expected.upper_quantile(u))


def test_bounds_may_be_numbers_or_one_for_each_row_and_a_law_within_them_stays_as_it_is():
    levels = np.linspace(0, 1, 33)
    both = UNEVEN.clip([0.0, 0.5], 7.25)
    np.testing.assert_array_equal(both.ppf(levels), UNEVEN.clip([0.0, 0.5], [7.25, 7.25]).ppf(levels))
    np.testing.assert_array_equal(both.ppf(levels), UNEVEN.clip(lower=[0.0, 0.5]).clip(upper=7.25).ppf(levels))
    np.testing.assert_array_equal(UNEVEN.clip(0.0).ppf(levels), UNEVEN.clip(lower=np.zeros(2)).ppf(levels))
    assert both.values.min(axis=1).tolist() == [0, 0.5] and both.values.max(axis=1).tolist() == [7.25, 7.25]
    for same in (UNEVEN.clip(), UNEVEN.clip(-3.0, 20.0), UNEVEN.clip(upper=np.array([20.0, 99.0]))):
        np.testing.assert_array_equal(same.values, UNEVEN.values)
        np.testing.assert_array_equal(same.levels, UNEVEN.levels)
    point = UNEVEN.clip(2.0, 2.0)
    assert point.cdf([1.9, 2.0]).tolist() == [[0, 1]] * 2 and point.std().tolist() == [0, 0]
    assert ONE_LEVEL.clip(0.0, 3.0).mean().tolist() == [3, 0]
    assert UNEVEN.values[0, 0] == -3 and not both.values.flags.writeable


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"lower": np.nan}, "lower must be finite, got nan"),
        ({"upper": np.inf}, "upper must be finite, got inf"),
        ({"lower": [0.0, -np.inf]}, "lower must be finite, got -inf"),
        ({"upper": [1.0, 2.0, 3.0]}, r"upper must be a number or have shape \(2,\), got shape \(3,\)"),
        ({"lower": [[0.0], [0.0]]}, r"lower must be a number or have shape \(2,\), got shape \(2, 1\)"),
        ({"lower": 2.0, "upper": 1.0}, "lower must not be above upper, got 2.0 and 1.0"),
        ({"lower": [0.0, 2.0], "upper": 1.0}, r"lower must not be above upper, got \[0.0, 2.0\] and 1.0"),
        ({"lower": np.array([0.0, 2.0]), "upper": np.array([1.0, 1.0])}, "lower must not be above upper, got"),
    ],
)
def test_bad_bounds_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        UNEVEN.clip(**bounds)


# Prices, names, tables, figures.


@given(curves(), st.floats(0.01, 100), sales)
def test_a_law_times_a_price_is_that_of_the_revenue(curve, price, fee):
    revenue = curve.map(lambda sold: price * sold - fee)
    u, scale = np.linspace(0, 1, 101), 1 + abs(fee) + price * np.abs(curve.values).max()
    np.testing.assert_allclose(revenue.ppf(u), price * curve.ppf(u) - fee, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(revenue.mean(), price * curve.mean() - fee, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(revenue.std(), price * curve.std(), rtol=0, atol=1e-7 * scale)


def test_a_map_moves_knots_and_keeps_what_they_weigh():
    squared = QuantileCurve([0.25, 0.5, 0.75], [[1.0, 2.0, 4.0], [3.0, 5.0, 6.0]], index=["a", "b"]).map(np.square)
    assert squared.values.tolist() == [[1, 4, 16], [9, 25, 36]] and squared.index.tolist() == ["a", "b"]
    assert squared.cdf([10.0]).tolist() == [[0.625], [0.265625]]  # mass is spread evenly between the moved knots
    draws = np.random.default_rng(12).gamma(2.0, size=(2, 30))
    logs, again = QuantileCurve.from_draws(draws).map(np.log), QuantileCurve.from_draws(np.log(draws))
    np.testing.assert_array_equal(logs.cdf([-1.0, 0.0, 1.0]), again.cdf([-1.0, 0.0, 1.0]))
    clipped = UNEVEN.clip(lower=0.0).map(lambda sold: 2 * sold)
    np.testing.assert_allclose(clipped.ppf([0.1, 0.5, 0.9]), 2 * UNEVEN.ppf([0.1, 0.5, 0.9]).clip(0), rtol=1e-12)


def test_a_map_to_whole_numbers_computes_like_any_other():
    counted, expected = UNEVEN.map(lambda sold: (100 * sold).astype(int)), UNEVEN.map(lambda sold: 100 * sold)
    assert counted.values.dtype == float
    np.testing.assert_array_equal(counted.lower_partial_moment(2500.0, 8), expected.lower_partial_moment(2500.0, 8))


@pytest.mark.parametrize(
    "increasing",
    [np.negative, lambda sold: sold[:, :1], lambda sold: sold.mean(), lambda sold: sold * np.nan, lambda _: np.inf],
)
def test_a_map_that_does_not_rise_is_refused(increasing):
    with pytest.raises(
        ValueError, match=r"increasing must return finite values of shape \(2, 5\) that rise along a row"
    ):
        UNEVEN.map(increasing)


SHOPS = pd.DataFrame({"price": [2.0, 3.0, 4.0]}, index=pd.Index(["north", "south", "east"], name="shop"))
NAMED = QuantileCurve([0.25, 0.5, 0.75], np.arange(9.0).reshape(3, 3), index=SHOPS.index)


def test_a_table_of_quantiles_has_the_names_of_the_rows():
    expected = pd.DataFrame(np.arange(9.0).reshape(3, 3), SHOPS.index, [0.25, 0.5, 0.75])
    pd.testing.assert_frame_equal(NAMED.to_frame(), expected)
    pd.testing.assert_frame_equal(NAMED.to_frame([0.1, 0.5]), expected[[0.25, 0.5]].set_axis([0.1, 0.5], axis=1))
    assert NAMED.to_frame(0.5).columns.tolist() == [0.5]
    pd.testing.assert_frame_equal(NAMED[1:].to_frame(), expected.loc[["south", "east"]])
    assert SHOPS.join(NAMED.to_frame())[0.5].tolist() == [1, 4, 7]
    clipped = NAMED.clip(lower=3.5)
    assert clipped.to_frame([0.5]).to_dict("index") == {"north": {0.5: 3.5}, "south": {0.5: 4.0}, "east": {0.5: 7.0}}
    with pytest.raises(ValueError, match="levels must be given for a curve that was clipped"):
        clipped.to_frame()
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 0.5 to 1.5"):
        NAMED.to_frame([0.5, 1.5])
    table = NAMED.to_frame()
    table.iloc[0, 0] = 99.0
    assert NAMED.values[0, 0] == 0, "the table is a copy"


@pytest.mark.parametrize("rows", [1, -1, slice(1, None), [2, 0], np.array([True, False, True])])
def test_rows_keep_their_names(rows):
    expected = SHOPS.index[np.atleast_1d(np.arange(3)[rows])]
    for curve in (NAMED, NAMED.clip(lower=3.5), NAMED.map(np.sqrt)):
        assert curve[rows].index.equals(expected) and curve[rows].index.name == "shop"
    assert QuantileCurve.from_draws([[1.0], [2.0], [3.0]], index=SHOPS.index)[rows].index.equals(expected)
    assert UNEVEN[1].index.tolist() == [1], "rows without names are numbered, and keep their number"


@pytest.mark.parametrize(
    "make",
    [
        lambda index: QuantileCurve([0.5], [[1.0], [2.0]], index=index),
        lambda index: QuantileCurve.from_draws([[1.0], [2.0]], index=index),
    ],
)
def test_too_few_names_are_refused(make):
    with pytest.raises(ValueError, match="index must have 2 labels, one per row, got 1"):
        make(["alone"])


@pytest.mark.parametrize("curve", [NAMED, UNEVEN.clip(0.0, 7.0)], ids=["plain", "clipped"])
def test_a_curve_draws_the_figure_of_its_quantiles(curve):
    plt.switch_backend("agg")
    axes = plt.subplots(1, 2)[1]
    assert curve.plot(row=1, ax=axes[0], color="red") is axes[0]
    plot_quantile_curve(curve, 1, axes[1], color="red")
    (line,), (expected,) = axes[0].lines, axes[1].lines
    np.testing.assert_array_equal(line.get_xydata(), expected.get_xydata())
    assert line.get_color() == expected.get_color() == "red" and axes[0].get_xlabel() == axes[1].get_xlabel() != ""
    np.testing.assert_allclose(curve[1].ppf(line.get_xdata())[0], line.get_ydata(), rtol=1e-12)
    assert curve.plot(ax=axes[0]).lines[1].get_ydata()[0] == curve.values[0, 0]
    assert curve.plot() is plt.gca()
    plt.close("all")


# Construction, rows, shapes.


def test_crossing_quantiles_are_sorted_or_refused():
    crossed = [[1.0, 3.0, 2.0], [1.0, 2.0, 3.0]]
    assert QuantileCurve([0.2, 0.5, 0.8], crossed).values.tolist() == [[1, 2, 3], [1, 2, 3]]
    with pytest.raises(ValueError, match="values must not decrease along a row, but do in 1 of 2 rows"):
        QuantileCurve([0.2, 0.5, 0.8], crossed, crossing="raise")
    with pytest.raises(ValueError, match="but do in 2 of 3 rows"):
        QuantileCurve([0.2, 0.5, 0.8], [[3.0, 2.0, 1.0], [1.0, 1.0, 1.5], [1.0, 3.0, 2.0]], crossing="raise")
    assert QuantileCurve([0.2, 0.5, 0.8], [1.0, 1.0, 2.0], crossing="raise").values.tolist() == [[1, 1, 2]]


@pytest.mark.parametrize(
    ("values", "rate"), [([[1, 2, 3]], 0), ([[3, 2, 1], [1, 1, 1]], 0.5), ([[1.0]], 0), ([[1, 3, 2], [2, 1, 3]], 0.5)]
)
def test_crossing_rate_is_the_share_of_neighbours_in_the_wrong_order(values, rate):
    assert crossing_rate(values) == rate


def test_levels_that_differ_by_rounding_do_not_cross():
    values = np.array([[2.0, 20.0, 20.0 - 4e-15, 30.0]])
    assert crossing_rate(values) == 0.0
    assert QuantileCurve([0.2, 0.4, 0.6, 0.8], values, crossing="raise").values.tolist() == np.sort(values).tolist()
    assert crossing_rate(values - [[0.0, 0.0, 1e-9, 0.0]]) == 1 / 3


def test_crossings_of_counts_are_seen_though_their_differences_are_not_negative():
    assert crossing_rate(np.array([[3, 2, 4]], dtype=np.uint8)) == 0.5


@pytest.mark.parametrize(("n", "m", "expected"), [(16, None, 4), (1, None, 2), (8523, None, 92), (5, 10, 10)])
def test_levels_are_whole_multiples_of_one_over_m(n, m, expected):
    assert quantile_levels(n, m).tolist() == [j / expected for j in range(1, expected)]


@pytest.mark.parametrize("rows", [0, -1, slice(1, 3), [2, 0], np.array([True, False, True, False]), np.array([1, 1])])
def test_rows_of_a_curve_are_curves(rows):
    curve = QuantileCurve([0.25, 0.5, 0.75], np.arange(12.0).reshape(4, 3))
    part = curve[rows]
    assert isinstance(part, QuantileCurve) and len(part) == len(np.atleast_2d(curve.values[rows]))
    np.testing.assert_array_equal(part.cdf(4.2), np.atleast_2d(curve.cdf(4.2)[rows]))
    np.testing.assert_array_equal(part.mean(), np.atleast_1d(curve.mean()[rows]))
    assert not part.values.flags.writeable


def test_rows_of_an_empirical_law_keep_its_atoms():
    curve = QuantileCurve.from_draws([[1.0, 2.0], [3.0, 9.0]])
    assert curve[1].cdf([2.9, 3.0, 9.0]).tolist() == [[0, 0.5, 1]]


def test_arrays_of_a_curve_are_read_only_and_independent_of_the_callers():
    levels, values = np.array([0.25, 0.75]), np.array([[1.0, 2.0]])
    curve = QuantileCurve(levels, values)
    for array in (curve.levels, curve.values, curve.below, curve.up_to):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    levels[0], values[0, 0] = 0.1, -9.0
    assert curve.levels[0] == 0.25 and curve.values[0, 0] == 1


def test_the_representation_says_the_size():
    assert repr(UNEVEN) == "QuantileCurve(n_rows=2, n_levels=5)" and len(UNEVEN) == 2


METHODS = ["cdf", "ppf", "upper_quantile", "pdf", "lower_partial_moment"]


@pytest.mark.parametrize("method", METHODS)
def test_points_may_be_a_number_a_shared_array_or_one_row_each(method):
    evaluate = getattr(UNEVEN, method)
    shared = np.array([0.2, 0.5, 0.9])
    own = np.array([[0.1, 0.6, 1.0], [0.3, 0.4, 0.0]])
    assert evaluate(0.5).shape == (2, 1)
    assert evaluate(shared).shape == evaluate(own).shape == evaluate(shared[None]).shape == (2, 3)
    np.testing.assert_array_equal(evaluate(shared), evaluate(np.tile(shared, (2, 1))))
    np.testing.assert_array_equal(evaluate(0.5)[:, 0], evaluate(shared)[:, 1])
    for i in range(2):
        np.testing.assert_array_equal(evaluate(own)[i], getattr(UNEVEN[i], method)(own[i])[0])


@pytest.mark.parametrize("method", METHODS)
def test_ten_thousand_rows_give_what_each_row_gives_alone(method):
    top = 1 if method in ("ppf", "upper_quantile") else 200
    points = np.random.default_rng(10).uniform(0, top, size=(10_000, 2))
    result = getattr(BIG, method)(points)
    assert result.shape == (10_000, 2)
    for i in (0, 4321, 9999):
        np.testing.assert_allclose(result[i], getattr(BIG[i], method)(points[i])[0], rtol=1e-12)


def test_moments_of_ten_thousand_rows_give_what_each_row_gives_alone():
    y = BIG.mean()
    together = [BIG.mean(), BIG.std(), BIG.crps(y), BIG.distorted_shortfall(y[:, None], np.square)[:, 0]]
    for i in (0, 4321, 9999):
        law = BIG[i]
        alone = [law.mean(), law.std(), law.crps(y[[i]]), law.distorted_shortfall(y[i], np.square)[:, 0]]
        np.testing.assert_allclose([values[i] for values in together], np.ravel(alone), rtol=1e-12)


# Bad input.


@pytest.mark.parametrize(
    ("levels", "values", "message"),
    [
        ([0.5, 0.5], [1.0, 2.0], "levels must be strictly increasing, got 0.5 after 0.5"),
        ([0.5, 0.2], [1.0, 2.0], "levels must be strictly increasing"),
        ([0.0, 0.5], [1.0, 2.0], r"levels must lie inside \(0, 1\), got 0 to 0.5"),
        ([0.5, 1.5], [1.0, 2.0], r"levels must lie inside \(0, 1\), got 0.5 to 1.5"),
        ([np.nan, 0.5], [1.0, 2.0], r"levels must lie inside \(0, 1\)"),
        (0.5, [1.0], r"levels must be a non-empty array of shape \(n_levels,\), got shape \(\)"),
        ([], [[]], "levels must be a non-empty array"),
        ([0.5], [1.0, 2.0], "values must have 1 columns, one per level, got 2"),
        ([0.2, 0.5], [[1.0], [2.0]], "values must have 2 columns, one per level, got 1"),
        ([0.5], [[[1.0]]], r"values must be non-empty with shape \(n_rows, n_columns\), got \(1, 1, 1\)"),
        ([0.5], np.empty((0, 1)), r"values must be non-empty with shape .* got \(0, 1\)"),
        ([0.5], 3.0, r"values must be non-empty with shape .* got \(\)"),
        ([0.5], [np.nan], "values must be finite, got NaN or infinity"),
        ([0.2, 0.5], [1.0, np.inf], "values must be finite, got NaN or infinity"),
    ],
)
def test_bad_curves_are_refused(levels, values, message):
    with pytest.raises(ValueError, match=message):
        QuantileCurve(levels, values)


def test_an_unknown_way_with_crossings_is_refused():
    with pytest.raises(ValueError, match="crossing must be 'sort' or 'raise', got 'ignore'"):
        QuantileCurve([0.5], [1.0], crossing="ignore")


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        ([], r"draws must be non-empty with shape .* got \(1, 0\)"),
        (5.0, r"draws must be non-empty with shape .* got \(\)"),
        ([1.0, np.nan], "draws must be finite"),
    ],
)
def test_bad_draws_are_refused(draws, message):
    with pytest.raises(ValueError, match=message):
        QuantileCurve.from_draws(draws)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.nan, "must be finite, got NaN or infinity"),
        ([0.5, np.inf], "must be finite, got NaN or infinity"),
        ([], r"must be a number, \(n_points,\) or \(2, n_points\), got shape \(0,\)"),
        (np.zeros((3, 1)), r"must be a number, \(n_points,\) or \(2, n_points\), got shape \(3, 1\)"),
        (np.zeros((2, 1, 1)), r"got shape \(2, 1, 1\)"),
    ],
)
def test_bad_points_are_refused(method, points, message):
    name = "u" if method in ("ppf", "upper_quantile") else "y"
    with pytest.raises(ValueError, match=f"^{name} {message}" if message.startswith("must") else message):
        getattr(UNEVEN, method)(points)


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda y: UNEVEN.lower_partial_moments(y, 2),
        lambda y: UNEVEN.distorted_shortfall(y, np.square),
        lambda y: UNEVEN.snap(y, 0.0),
    ],
    ids=["all moments", "distorted", "snap"],
)
def test_bad_points_are_refused_by_every_other_method_too(evaluate):
    with pytest.raises(ValueError, match="^y must be finite, got NaN or infinity"):
        evaluate([0.5, np.nan])


@pytest.mark.parametrize("method", ["ppf", "upper_quantile"])
@pytest.mark.parametrize("u", [-0.1, 1.1])
def test_probabilities_outside_the_unit_interval_are_refused(method, u):
    with pytest.raises(ValueError, match=rf"u must lie in \[0, 1\], got {u} to {u}"):
        getattr(UNEVEN, method)(u)


@pytest.mark.parametrize("order", [-1, -0.5, np.nan, np.inf, [1, 2]])
def test_bad_orders_are_refused(order):
    with pytest.raises(ValueError, match="order must be a finite number of at least 0, got"):
        UNEVEN.lower_partial_moment(1.0, order)


@pytest.mark.parametrize("n_draws", [0, -3, 2.5, np.nan, np.inf, [5]])
def test_bad_numbers_of_draws_are_refused(n_draws):
    with pytest.raises(ValueError, match="n_draws must be a whole number of at least 1, got"):
        UNEVEN.sample(n_draws)


@pytest.mark.parametrize(
    ("y", "message"),
    [([1.0], r"y must have shape \(2,\), one observation per row, got \(1,\)"), ([1.0, np.nan], "y must be finite")],
)
def test_bad_observations_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        UNEVEN.crps(y)


@pytest.mark.parametrize(
    ("n", "m", "message"),
    [
        (0, None, "n must be at least 1, got 0"),
        (np.nan, None, "n must be at least 1, got nan"),
        (10, 1, "m must be a whole number of at least 2, got 1"),
        (10, 2.5, "m must be a whole number of at least 2, got 2.5"),
        (10, np.inf, "m must be a whole number of at least 2, got inf"),
    ],
)
def test_bad_grids_are_refused(n, m, message):
    with pytest.raises(ValueError, match=message):
        quantile_levels(n, m)


@pytest.mark.parametrize("count", [True, np.int64(3), 3.0, np.float32(3)])
def test_whole_numbers_of_any_type_are_counts(count):
    assert type(check_count("n", count)) is int and check_count("n", count) == count


@pytest.mark.parametrize("count", [0, -1, 2.5, np.nan, np.inf, "3", None, [5], np.array([5])])
def test_other_counts_are_refused_by_name(count):
    with pytest.raises(ValueError, match=re.escape(f"n_rows must be a whole number of at least 1, got {count!r}")):
        check_count("n_rows", count)


@pytest.mark.parametrize("cell", [(0, 1), (slice(None), 0), None, (None, 0)])
def test_single_levels_of_a_curve_are_no_curve(cell):
    with pytest.raises(IndexError, match="too many indices"):
        UNEVEN[cell]


@pytest.mark.parametrize("rows", [[], np.zeros(2, dtype=bool), slice(5, 9)], ids=["list", "mask", "slice"])
def test_a_choice_of_no_rows_is_refused(rows):
    with pytest.raises(ValueError, match="rows"):
        UNEVEN[rows]


@pytest.mark.parametrize("m", [20, 100])
def test_exponential_tails_keep_every_quantile_of_the_grid(m):
    levels = quantile_levels(1, m=m)
    values = stats.norm.ppf(levels)
    curve = QuantileCurve(levels, values, tails="exponential")
    np.testing.assert_array_equal(curve.ppf(levels)[0], values)
    assert curve.up_to[0] < 1e-6 * levels[0] and 1 - curve.below[-1] < 1e-6 * levels[0]


def test_exponential_tails_of_an_exponential_law_are_its_own():
    levels = quantile_levels(1, m=50)
    curve = QuantileCurve(levels, stats.expon.ppf(levels), tails="exponential")
    deep = 1 - (1 - levels[-1]) * 0.5 ** np.arange(0, 9, 2)  # deeper, 1 - u itself has lost digits
    # The knots lie on the logarithm, which is what the quantile function of this law is.
    np.testing.assert_allclose(curve.ppf(deep)[0], stats.expon.ppf(deep), rtol=1e-12)
    clamped = QuantileCurve(levels, stats.expon.ppf(levels))
    assert abs(curve.mean()[0] - 1) < abs(clamped.mean()[0] - 1) / 10


@pytest.mark.parametrize("order", [0, 1, 2, 1.5])
def test_moments_with_exponential_tails_equal_quadrature(order):
    levels = quantile_levels(1, m=10)
    curve = QuantileCurve(levels, stats.gamma(4).ppf(levels), tails="exponential")
    u = np.concatenate([[0.0], np.unique([curve.below, curve.up_to]), [1.0]])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    point, total = 3.0, 0.0
    cuts = np.unique([*u, *curve.cdf(point).ravel()])
    for low, high in zip(cuts[:-1], cuts[1:]):
        y = curve.ppf(low + (high - low) * (nodes + 1) / 2)[0]
        total += (high - low) * weights / 2 @ np.where(y < point, np.maximum(point - y, 0) ** order, 0)
    np.testing.assert_allclose(curve.lower_partial_moment(point, order)[0, 0], total, rtol=1e-8)


def test_exponential_tails_do_not_change_the_law_between_the_levels():
    levels = quantile_levels(1, m=10)
    values = stats.norm.ppf(levels)
    clamped, tailed = (QuantileCurve(levels, values, tails=tails) for tails in ("clamp", "exponential"))
    inside = np.linspace(values[0], values[-1], 50)[1:-1]
    np.testing.assert_allclose(tailed.cdf(inside), clamped.cdf(inside), rtol=1e-12)
    assert (tailed.cdf([-4.0, 4.0]) != clamped.cdf([-4.0, 4.0])).all()


def test_exponential_tails_are_drawn_from():
    levels = quantile_levels(1, m=10)
    curve = QuantileCurve(levels, stats.norm.ppf(levels), tails="exponential")
    draws = curve.sample(100_000, rng=3)[0]
    assert stats.kstest(draws, lambda y: curve.cdf(y)[0]).statistic < 1.63 / np.sqrt(100_000)
    assert draws.min() < stats.norm.ppf(0.1) - 1


@pytest.mark.parametrize(
    ("levels", "values", "tails", "message"),
    [
        ([0.5], [1.0], "exponential", "exponential tails need at least two levels, got one"),
        ([0.2, 0.8], [1.0, 2.0], "gpd", "tails must be 'clamp' or 'exponential', got 'gpd'"),
    ],
)
def test_tails_that_cannot_be_had_are_refused(levels, values, tails, message):
    with pytest.raises(ValueError, match=message):
        QuantileCurve(levels, values, tails=tails)


@given(curves(), sales, st.sampled_from([0.0, 1e6, 1e9, 1e12]))
def test_crps_is_never_negative_and_keeps_its_digits_far_from_zero(curve, y, offset):
    whole = curve.map(np.round)
    y = np.full(len(curve), round(y))
    scores = whole.map(lambda sold: sold + offset).crps(y + offset)
    assert (curve.crps(y) >= 0).all() and (scores >= 0).all()
    np.testing.assert_allclose(scores, whole.crps(y), rtol=1e-12)
    assert (whole.crps(whole.values[:, 0]) > 0).tolist() == (np.ptp(whole.values, axis=1) > 0).tolist()


def test_crps_of_a_point_that_was_foreseen_is_zero():
    law = QuantileCurve.from_draws(np.full((1, 4096), 123456789.123))
    assert law.crps([123456789.123]) == 0 and law.clip(upper=2e8).crps([123456789.123]) == 0


@given(curves_and_points(), st.sampled_from([0.0, 1e-9, 0.5]))
def test_points_next_to_a_knot_are_moved_onto_it(law, slack):
    curve, y = law
    found = curve.snap(y, slack)
    nearest = np.abs(curve.values[:, None, :] - y[..., None]).min(axis=2)
    assert (np.abs(found - y) <= slack).all()
    assert ((found == y) | (found[..., None] == curve.values[:, None, :]).any(axis=2)).all()
    np.testing.assert_array_equal((found[..., None] == curve.values[:, None, :]).any(axis=2), nearest <= slack)


def test_a_point_next_to_the_highest_knot_is_moved_onto_it_too():
    law = QuantileCurve.from_draws([[3.0, 10.0], [3.0, 4.0]])
    above, below = 10 + 1e-9, 10 - 1e-9
    assert law.snap([below, above, 10 + 1e-6], 1e-8).tolist() == [[10, 10, 10 + 1e-6], [below, above, 10 + 1e-6]]


def test_shared_points_in_any_order_and_number_give_what_points_of_each_row_give():
    rng = np.random.default_rng(12)
    curve = QuantileCurve(quantile_levels(1, 30), rng.integers(0, 40, size=(700, 29)).astype(float))
    for points in (np.arange(-1, 42, 0.5), rng.permutation(np.arange(60.0)), np.repeat(np.arange(30.0), 2), [7.0]):
        own = np.tile(points, (700, 1))
        for evaluate in (curve.cdf, curve.pdf, lambda y: curve.lower_partial_moment(y, 2)):
            np.testing.assert_array_equal(evaluate(points), evaluate(own))


def test_no_probability_between_two_knots_exceeds_that_of_the_upper_one():
    rng = np.random.default_rng(13)
    levels = np.sort(rng.uniform(0, 1, size=(6000, 3)) ** 8)  # a power, for levels with all digits: a + (b - a) > b
    assert (levels[:, 0] + (levels[:, 1] - levels[:, 0]) > levels[:, 1]).any()
    for row in levels:
        curve, knots = QuantileCurve(row, [0.0, 1.0, 3.0]), np.array([1.0, 3.0])
        assert (curve.lower_partial_moment(knots, 0)[0] <= curve.below[1:]).all()
        assert (curve.cdf(np.nextafter(knots, 0))[0] <= curve.below[1:]).all()


def test_exponential_tails_go_on_with_the_pace_of_five_levels_through_forty_knots():
    levels, values = quantile_levels(1, m=10), np.array([1.0, 1.5, 4.0, 5.0, 9.0, 10.0, 10.5, 15.0, 30.0])
    curve = QuantileCurve(levels, values, tails="exponential")
    assert curve.levels.shape == (9 + 80,) and len(np.unique(curve.levels)) == 89
    deep = levels[0] / 2 ** np.array([1, 10, 20])
    np.testing.assert_allclose(curve.ppf(deep)[0], 1 + 8 / np.log(5) * np.log(deep / 0.1), rtol=1e-12)
    # The knots lie on the logarithm of the distance to 1; that one has lost digits.
    np.testing.assert_allclose(curve.values[0, -1], 30 + 21 / np.log(5) * np.log(2**20), rtol=1e-12)
    short = QuantileCurve([0.25, 0.5], [0.0, 1.0], tails="exponential")
    np.testing.assert_allclose(short.values[0, 0], -20, rtol=1e-12)


@given(stocked_laws(top=4), st.sampled_from([1.0, 1e-6, 1e6]), st.sampled_from([0.0, -3.0, 1e6]))
def test_exponential_tails_stay_on_an_atom_at_either_end(law, unit, offset):
    if law.levels.size < 2:
        return
    values = unit * law.values + offset
    curve = QuantileCurve(law.levels, values, tails="exponential")
    for end, beside in ((0, 1), (-1, -2)):
        piled_up = values[:, end] == values[:, beside]
        np.testing.assert_array_equal(curve.values[:, end] == values[:, end], piled_up)


def test_exponential_tails_stay_on_an_atom_that_a_fit_missed_by_rounding():
    zeros = [0.0, 1e-14, 0.0, 3.0, 5.0, 8.0, 13.0, 20.0, 33.0]
    curve = QuantileCurve(quantile_levels(1, 10), [zeros, np.maximum(zeros, 8.0)], tails="exponential")
    assert (curve.values.min(axis=1) == [0, 8]).all() and (curve.values.max(axis=1) > 33).all()
    assert (curve.clip(lower=0).cdf(-1e-12) == 0).all()


@pytest.mark.parametrize("end", [1e-9, 1e-12, 1e-15, 2e-16])
def test_exponential_tails_of_levels_next_to_0_and_1_are_as_long_as_numbers_allow(end):
    curve = QuantileCurve([end, 0.5, 1 - end], [1.0, 2.0, 3.0], tails="exponential")
    assert (np.diff(curve.levels) > 0).all() and 0 < curve.levels[0] and curve.levels[-1] < 1
    assert np.isfinite(curve.values).all() and curve.mean() == pytest.approx(2, abs=1e-3)
    assert curve.ppf(curve.levels).tolist() == curve.values.tolist()
