"""The distances between samples and laws against their definitions."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.metrics import (
    coverage,
    crps,
    joint_wasserstein_distance,
    ks_statistic,
    lies_below,
    mean_and_error,
    noise_floor,
    wasserstein_distance,
)
from qrgmm.quantile_regression.grid import fit_quantile_grid

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=200), RNG.normal(0.3, 1.2, size=150)
TIES, MORE_TIES = RNG.poisson(3.0, size=90).astype(float), RNG.poisson(4.0, size=70).astype(float)


def empirical(sample, y, side="right"):
    return np.searchsorted(np.sort(sample), y, side=side) / len(sample)


@pytest.mark.parametrize(("a", "b"), [(A, B), (TIES, MORE_TIES), (A, A[::-1]), ([1.0], [2.0])])
def test_ks_of_two_samples_is_the_largest_difference_of_their_distribution_functions(a, b):
    y = np.concatenate([a, b])
    assert ks_statistic(a, b) == pytest.approx(np.abs(empirical(a, y) - empirical(b, y)).max(), abs=1e-15)
    assert ks_statistic(b, a) == ks_statistic(a, b)


def test_ks_against_a_continuous_law_looks_at_both_sides_of_every_jump():
    F = stats.norm.cdf
    sides = [np.abs(empirical(A, A, side) - F(A)).max() for side in ("left", "right")]
    assert ks_statistic(A, F) == pytest.approx(max(sides), rel=1e-12)


def test_ks_against_a_law_with_atoms_is_the_largest_difference_too():
    curve = QuantileCurve([0.25, 0.5, 0.75], [1.0, 2.0, 4.0])
    sample = curve.sample(400, rng=1)[0]
    y = np.unique([*sample, *curve.values[0]])
    at_most = empirical(sample, y) - curve.cdf(y)[0]
    less = empirical(sample, y, "left") - curve.lower_partial_moment(y, 0)[0]
    expected = max(np.abs(at_most).max(), np.abs(less).max())
    assert ks_statistic(sample, lambda x: curve.cdf(x)[0]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [(A, B), (TIES, MORE_TIES), (A, A + 2)])
def test_wasserstein_distance_is_the_area_between_the_distribution_functions(a, b):
    y = np.unique([*a, *b])
    area = np.abs(empirical(a, y) - empirical(b, y))[:-1] @ np.diff(y)
    assert wasserstein_distance(a, b) == pytest.approx(area, rel=1e-12)


def test_wasserstein_distance_of_a_shift_is_the_shift():
    assert wasserstein_distance(A, A + 2.5) == pytest.approx(2.5, rel=1e-12)


def test_coverage_counts_observations_at_or_below_each_quantile():
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert coverage(y, np.tile([0.5, 2.0, 3.5, 4.0], (4, 1))).tolist() == [0, 0.5, 0.75, 1]


def test_the_true_law_is_calibrated():
    levels = quantile_levels(1, 10)
    y = np.random.default_rng(2).exponential(size=40_000)
    share = coverage(y, np.broadcast_to(stats.expon.ppf(levels), (40_000, 9)))
    assert (np.abs(share - levels) < 4 * np.sqrt(levels * (1 - levels) / 40_000)).all()


def test_crps_is_the_mean_over_rows_with_its_standard_error():
    curve = QuantileCurve([0.25, 0.5, 0.75], np.random.default_rng(3).normal(size=(30, 3)))
    y = np.linspace(-1, 1, 30)
    scores = curve.crps(y)
    assert crps(y, curve) == pytest.approx((scores.mean(), stats.sem(scores)), rel=1e-12)


def test_mean_and_error_agree_with_scipy_and_one_value_has_no_error():
    assert mean_and_error(A) == pytest.approx((A.mean(), stats.sem(A)), rel=1e-12)
    mean, error = mean_and_error([3.0])
    assert mean == 3 and np.isnan(error)


def test_noise_floor_repeats_the_metric_on_two_fresh_samples():
    calls = []

    def draw(rng):
        calls.append(rng.normal(size=20))
        return calls[-1]

    mean, sd = noise_floor(wasserstein_distance, draw, n_replications=7, rng=4)
    values = [wasserstein_distance(a, b) for a, b in zip(calls[::2], calls[1::2])]
    assert len(calls) == 14
    assert (mean, sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)), rel=1e-12)


def test_noise_floor_is_seeded_and_that_of_theory():
    floors = [noise_floor(ks_statistic, lambda rng: rng.normal(size=500), 200, rng=seed) for seed in (5, 5, 6)]
    assert floors[0] == floors[1] != floors[2]
    # The mean of Kolmogorov's law is sqrt(pi / 2) log 2; samples of finite size lie a few percent below it.
    assert floors[0][0] == pytest.approx(np.sqrt(np.pi / 2) * np.log(2) * np.sqrt(2 / 500), rel=0.07)


@pytest.mark.parametrize("metric", [ks_statistic, wasserstein_distance])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"must have shape \(n,\) and not be empty, got shape \(0,\)"),
        ([[1.0]], r"must have shape \(n,\) and not be empty, got shape \(1, 1\)"),
        (1.0, r"must have shape \(n,\) and not be empty, got shape \(\)"),
        ([1.0, np.nan], "must be finite, got NaN or infinity"),
        ([np.inf], "must be finite, got NaN or infinity"),
    ],
)
def test_bad_samples_are_refused_by_name(metric, bad, message):
    with pytest.raises(ValueError, match=f"sample {message}"):
        metric(bad, A)
    with pytest.raises(ValueError, match=f"reference {message}"):
        metric(A, bad)


@pytest.mark.parametrize(
    ("y", "quantiles", "message"),
    [
        ([1.0, 2.0], [[1.0]], r"quantiles must have shape \(2, n_levels\), got \(1, 1\)"),
        ([1.0, 2.0], [1.0, 2.0], r"quantiles must have shape \(2, n_levels\), got \(2,\)"),
        ([1.0], [[np.nan]], "quantiles must be finite"),
        ([np.nan], [[1.0]], "y must be finite"),
    ],
)
def test_bad_coverage_input_is_refused(y, quantiles, message):
    with pytest.raises(ValueError, match=message):
        coverage(y, quantiles)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^values must have shape \(n,\) and not be empty, got shape \(0,\)"):
        mean_and_error([])


def test_a_single_replication_has_no_spread():
    with pytest.raises(ValueError, match="n_replications must be a whole number of at least 2, got 1"):
        noise_floor(ks_statistic, lambda rng: rng.normal(size=5), n_replications=1)


def test_the_joint_wasserstein_distance_is_that_of_the_best_matching():
    rng = np.random.default_rng(3)
    sample, reference = rng.normal(size=(2, 5, 3))
    matchings = (np.linalg.norm(sample - reference[list(order)], axis=1).mean() for order in permutations(range(5)))
    np.testing.assert_allclose(joint_wasserstein_distance(sample, reference), min(matchings), rtol=1e-12)
    one_output = joint_wasserstein_distance(sample[:, :1], reference[:, :1])
    np.testing.assert_allclose(one_output, wasserstein_distance(sample[:, 0], reference[:, 0]), rtol=1e-12)


def test_a_joint_sample_may_be_one_number_but_not_none():
    assert joint_wasserstein_distance([[1.0]], [[3.0]]) == 2
    with pytest.raises(ValueError, match=r"must have one shape \(n_draws, n_outputs\), got \(0, 2\) and \(0, 2\)"):
        joint_wasserstein_distance(np.zeros((0, 2)), np.zeros((0, 2)))


@pytest.mark.parametrize("reference", [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(2), np.full((2, 2), np.nan)])
def test_joint_samples_of_other_shapes_are_refused(reference):
    with pytest.raises(ValueError, match="^sample and reference must"):
        joint_wasserstein_distance(np.zeros((2, 2)), reference)


def test_rows_on_a_fitted_plane_are_not_below_it_whatever_rounding_says():
    rng = np.random.default_rng(0)
    X, y = np.column_stack([np.ones(400), rng.normal(size=(400, 3))]), rng.normal(size=400)
    coef = fit_quantile_grid(X, y, [0.3]).coef[0]
    fitted = X @ coef
    on_the_plane = np.abs(y - fitted) < 1e-9
    assert on_the_plane.sum() == 4
    for ulps in (-8, 8):  # what another order of summation may do
        moved = fitted + ulps * np.spacing(fitted)
        assert not lies_below(y, moved)[on_the_plane].any() and not lies_below(moved, y)[on_the_plane].any()
        assert (lies_below(y, moved) == (y < fitted - 1e-9)).all()
        assert coverage(y, moved[:, None]) == coverage(y, fitted[:, None])
    # A plane through the origin of large numbers: zero is reached by subtraction.
    assert not lies_below([0.0, 1e6], [1e-9, 1e6]).any()
    assert lies_below([0.0, 1.0], [1e-9, 1.0]).tolist() == [True, False]


@pytest.mark.parametrize("unit", [1e-200, 1e-15, 1.0, 1e15, 1e200])
def test_which_rows_lie_below_does_not_depend_on_the_unit_and_nothing_lies_below_itself(unit):
    y, quantiles = unit * np.array([1.0, 2.0, 3.0, 4.0, 0.0]), unit * np.array([2.0, 1.0, 3.0, 4.1, 0.0])
    assert lies_below(y, quantiles).tolist() == [True, False, False, True, False]
    assert coverage(0 * y, np.zeros((5, 2))).tolist() == [1, 1]
    assert lies_below([], []).shape == (0,)
