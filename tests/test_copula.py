"""Copulas against statsmodels, pyvinecopulib, scipy and closed forms; estimates against the truth that drew."""

import laws  # noqa: F401  loads the profile of Hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.distributions.copula.api import ClaytonCopula as StatsmodelsClayton

from qrgmm.portfolio.copula import (
    ClaytonCopula,
    EllipticalCopula,
    VineCopula,
    estimate_theta,
    fit_copula,
    pseudo_observations,
)

THETAS = [0.05, 0.5, 1.0, 3.0, 12.0]
U = np.random.default_rng(0).uniform(0.01, 1, (200, 3))
levels = st.floats(1e-6, 1) | st.sampled_from([0.0, 1.0])


def empirical_cdf(sample, points):
    return (sample[:, None] <= points).all(axis=2).mean(axis=0)


# Clayton.


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("n_dims", [2, 3])
def test_clayton_distribution_function_and_density_equal_those_of_statsmodels(theta, n_dims):
    ours, theirs, u = ClaytonCopula(theta, n_dims), StatsmodelsClayton(theta, k_dim=n_dims), U[:, :n_dims]
    np.testing.assert_allclose(ours.cdf(u), theirs.cdf(u), rtol=1e-11)
    np.testing.assert_allclose(ours.logpdf(u), theirs.logpdf(u), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("theta", THETAS)
def test_pairs_of_clayton_equal_those_of_pyvinecopulib(theta):
    import pyvinecopulib as pv  # conftest.py skips a test whose peer can't be had

    theirs = pv.Bicop(family=pv.BicopFamily.clayton, parameters=np.array([[theta]]))
    pair = np.ascontiguousarray(U[:, :2])
    np.testing.assert_allclose(ClaytonCopula(theta, 2).cdf(pair), theirs.cdf(pair), rtol=1e-8)
    np.testing.assert_allclose(np.exp(ClaytonCopula(theta, 2).logpdf(pair)), theirs.pdf(pair), rtol=1e-8)


@pytest.mark.parametrize("theta", [0.3, 1.0, 4.0])
def test_clayton_samples_have_uniform_margins_kendalls_tau_and_the_distribution_function(theta):
    copula = ClaytonCopula(theta)
    u = copula.sample(40_000, rng=1)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs(stats.kendalltau(u[:, i], u[:, j]).statistic - theta / (theta + 2)) < 0.012
    points = U[:50]
    expected = copula.cdf(points)
    error = np.sqrt(expected * (1 - expected) / len(u))
    assert (np.abs(empirical_cdf(u, points) - expected) < 4.5 * error + 1e-4).all()


def test_clayton_samples_are_distributed_as_those_of_statsmodels():
    ours, theirs = ClaytonCopula(2.0).sample(20_000, rng=0), StatsmodelsClayton(2.0, k_dim=3).rvs(20_000, rng=1)
    for function in (lambda u: u.sum(axis=1), lambda u: u.min(axis=1), lambda u: u.max(axis=1)):
        assert stats.ks_2samp(function(ours), function(theirs)).pvalue > 1e-3


@given(st.lists(levels, min_size=3, max_size=3), st.floats(1e-3, 500), st.floats(1.0, 4.0))
def test_clayton_lies_between_independence_and_comonotonicity_and_rises_with_theta(u, theta, factor):
    low, high = ClaytonCopula(theta).cdf(u), ClaytonCopula(theta * factor).cdf(u)
    assert np.prod(u) * (1 - 1e-9) <= low <= high * (1 + 1e-9) <= min(u) * (1 + 2e-9)


def test_clayton_ends():
    assert ClaytonCopula(1.0).cdf([0.0, 0.5, 1.0]) == 0
    assert ClaytonCopula(1.0).cdf([1.0, 1.0, 1.0]) == 1
    np.testing.assert_allclose(ClaytonCopula(2.0).cdf([1.0, 0.3, 1.0]), 0.3, rtol=1e-14)
    np.testing.assert_allclose(ClaytonCopula(1e-9).cdf([0.2, 0.5, 0.7]), 0.07, rtol=1e-7)
    np.testing.assert_allclose(ClaytonCopula(1e4).cdf([0.2, 0.5, 0.7]), 0.2, rtol=1e-3)
    u = ClaytonCopula(200.0).sample(5000, rng=0)
    assert np.isfinite(u).all() and stats.kstest(u[:, 0], "uniform").pvalue > 1e-3
    assert np.abs(u[:, 0] - u[:, 1]).max() < 0.1


@pytest.mark.parametrize("theta", [0.5, 2.0, 50.0])
def test_a_row_next_to_zero_leaves_the_others_what_they_are_alone(theta):
    u, copula = np.vstack([[1e-300, 0.5, 0.9], [1e-250, 1e-280, 1.0], U[:5]]), ClaytonCopula(theta)
    for function in (copula.cdf, copula.logpdf):
        np.testing.assert_allclose(function(u), [function(row) for row in u], rtol=1e-14)


@pytest.mark.parametrize("method", ["tau", "likelihood"])
@pytest.mark.parametrize("theta", [0.5, 2.0, 6.0])
def test_estimates_of_theta_find_the_truth(method, theta):
    estimates = [estimate_theta(ClaytonCopula(theta).sample(400, rng), method) for rng in range(25)]
    error = np.std(estimates, ddof=1) / 5
    assert abs(np.mean(estimates) - theta) < 4 * error
    assert np.std(estimates) < 0.2 * theta


def test_likelihood_is_that_of_pyvinecopulib_and_tau_that_of_statsmodels():
    import pyvinecopulib as pv  # conftest.py skips a test whose peer can't be had

    u = ClaytonCopula(1.5, 2).sample(1000, rng=3)
    theirs = pv.Bicop(family=pv.BicopFamily.clayton)
    theirs.fit(u, pv.FitControlsBicop(family_set=[pv.BicopFamily.clayton]))
    np.testing.assert_allclose(estimate_theta(u), theirs.parameters[0, 0], rtol=1e-3)
    tau = stats.kendalltau(*u.T).statistic
    np.testing.assert_allclose(estimate_theta(u, "tau"), StatsmodelsClayton().theta_from_tau(tau), rtol=1e-12)


def test_two_estimates_of_one_sample_differ_by_less_than_noise_but_the_likelihood_is_sharper():
    samples = [ClaytonCopula(1.0).sample(200, rng) for rng in range(60)]
    spread = {method: np.std([estimate_theta(u, method) for u in samples]) for method in ("tau", "likelihood")}
    assert spread["likelihood"] < spread["tau"]


# Gaussian and t.


@pytest.mark.parametrize("df", [np.inf, 4.0])
def test_elliptical_samples_have_the_joint_law_of_scipy(df):
    correlation = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
    u = EllipticalCopula(correlation, df=df).sample(40_000, rng=0)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    tau = 2 / np.pi * np.arcsin(correlation)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs(stats.kendalltau(u[:, i], u[:, j]).statistic - tau[i, j]) < 0.012
    points = np.array([[0.1, 0.1, 0.9], [0.05, 0.05, 0.05], [0.5, 0.5, 0.5], [0.9, 0.2, 0.4]])
    margin = stats.norm if df == np.inf else stats.t(df)
    joint = stats.multivariate_normal(np.zeros(3), correlation)
    if df < np.inf:
        joint = stats.multivariate_t(np.zeros(3), correlation, df, seed=0)
    expected = np.array([joint.cdf(x) for x in margin.ppf(points)])
    error = np.sqrt(expected * (1 - expected) / len(u))
    assert (np.abs(empirical_cdf(u, points) - expected) < 4 * error + 1e-3).all()


@pytest.mark.parametrize("df", [np.inf, 5.0])
def test_factors_and_the_correlation_they_imply_are_one_law(df):
    loadings = np.array([[0.8, 0.1], [0.5, -0.6], [-0.3, 0.3]])
    correlation = loadings @ loadings.T
    np.fill_diagonal(correlation, 1)
    a = EllipticalCopula(loadings=loadings, df=df).sample(30_000, rng=0)
    b = EllipticalCopula(correlation, df=df).sample(30_000, rng=1)
    for function in (lambda u: u.sum(axis=1), lambda u: u.min(axis=1), lambda u: u[:, 0] - u[:, 1]):
        assert stats.ks_2samp(function(a), function(b)).pvalue > 1e-3


def test_comonotone_and_independent_ends():
    together = EllipticalCopula(loadings=[1.0, 1.0]).sample(100, rng=0)
    np.testing.assert_array_equal(together[:, 0], together[:, 1])
    apart = EllipticalCopula(loadings=np.zeros(2)).sample(20_000, rng=0)
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.03


def test_t_copula_ties_the_tail_more_than_the_gaussian_one_of_equal_correlation():
    pairs = {df: EllipticalCopula(loadings=[0.7, 0.7], df=df).sample(100_000, rng=0) for df in (np.inf, 3.0)}
    both = {df: ((u < 0.01).all(axis=1)).mean() / 0.01 for df, u in pairs.items()}
    assert both[3.0] > both[np.inf] + 0.1


def test_a_factor_held_low_lowers_everyone():
    copula = EllipticalCopula(loadings=[[0.6], [0.8]])
    u = copula.sample(20_000, rng=0, factor=-2.0)
    # Given the factor f, U = Phi(b f + sqrt(1 - b^2) eps) has the median Phi(b f).
    np.testing.assert_allclose(np.median(u, axis=0), stats.norm.cdf([-1.2, -1.6]), atol=0.006)


def test_fits_find_the_copula_that_drew():
    loadings = np.array([0.9, 0.7, 0.5, 0.3])
    truth = EllipticalCopula(loadings=loadings, df=4.0)
    u = truth.sample(4000, rng=0)
    matrix, factor = fit_copula(u, "t"), fit_copula(u, "t", n_factors=1)
    assert 3 < matrix.df < 5.5 and 3 < factor.df < 5.5
    expected = np.outer(loadings, loadings) + np.diag(1 - loadings**2)
    np.testing.assert_allclose(matrix.correlation, expected, atol=0.05)
    np.testing.assert_allclose(np.abs(factor.loadings[:, 0]), loadings, atol=0.08)
    assert fit_copula(u[:, :2]).df == np.inf
    assert abs(fit_copula(ClaytonCopula(2.0).sample(3000, rng=0), "clayton").theta - 2) < 0.2


def test_loadings_are_found_in_units_of_their_normal_scores():
    loadings = np.array([0.9, 0.7, 0.5, 0.3])
    u = EllipticalCopula(loadings=loadings).sample(10_000, rng=0)
    for values in (u, np.ceil(10 * u)):  # ties take a little from all
        found = np.abs(fit_copula(values, n_factors=1).loadings[:, 0])
        np.testing.assert_allclose(found, loadings, atol=0.025)


def test_a_fitted_copula_has_as_many_dimensions_as_the_values():
    u = ClaytonCopula(2.0, 4).sample(300, rng=0)
    for n_dims in (2, 4):
        for family in ("gaussian", "t", "clayton"):
            assert fit_copula(u[:, :n_dims], family).sample(5, rng=0).shape == (5, n_dims)


def test_a_correlation_next_to_one_is_kept_if_it_is_positive_definite():
    ranks = np.arange(300.0)
    swapped = ranks.reshape(-1, 2).copy()
    swapped[:20] = swapped[:20, ::-1]
    fitted = fit_copula(np.column_stack([ranks, swapped.ravel()])).correlation[0, 1]
    tau = 1 - 2 * 20 / (300 * 299 / 2)
    np.testing.assert_allclose(1 - fitted, 1 - np.sin(np.pi / 2 * tau), rtol=1e-6)


def test_only_ranks_matter():
    u = EllipticalCopula(loadings=[0.7, 0.7]).sample(200, rng=0)
    np.testing.assert_allclose(fit_copula(np.exp(5 * u)).correlation, fit_copula(u).correlation, rtol=1e-12)


def test_correlations_that_do_not_fit_together_are_made_to():
    u = np.random.default_rng(0).random((6, 12))
    fitted = fit_copula(u)
    assert np.linalg.eigvalsh(fitted.correlation)[0] > 0 and fitted.sample(10, rng=0).shape == (10, 12)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_few_ranks_of_any_kind_give_a_positive_definite_correlation(n_dims):
    for seed in range(60):
        values = np.random.default_rng(seed).random((4, n_dims))
        assert np.linalg.eigvalsh(fit_copula(values).correlation)[0] > 0


def test_a_vine_fitted_to_clayton_pairs_draws_like_them_and_again():
    u = ClaytonCopula(2.0).sample(1500, rng=0)
    vine = fit_copula(u, "vine")
    assert isinstance(vine, VineCopula) and vine.n_dims == 3
    draws = vine.sample(5000, rng=1)
    np.testing.assert_array_equal(draws, vine.sample(5000, rng=1))
    assert abs(stats.kendalltau(*draws[:, :2].T).statistic - 0.5) < 0.05
    assert abs((draws < 0.1).all(axis=1).mean() - ClaytonCopula(2.0).cdf([0.1] * 3)) < 0.015


def test_pseudo_observations_are_those_of_pyvinecopulib():
    import pyvinecopulib as pv  # conftest.py skips a test whose peer can't be had

    values = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_allclose(pseudo_observations(values), pv.to_pseudo_obs(values), rtol=1e-12)


@pytest.mark.parametrize("copula", [ClaytonCopula(1.0, 2), EllipticalCopula(loadings=[0.5, 0.5], df=3)])
def test_samples_are_reproducible(copula):
    np.testing.assert_array_equal(copula.sample(10, rng=5), copula.sample(10, rng=5))
    assert not np.array_equal(copula.sample(10, rng=5), copula.sample(10, rng=6))


def test_ties_share_their_mean_rank():
    ranks = pseudo_observations([[1.0], [5.0], [1.0], [5.0], [5.0], [0.0]])[:, 0]
    np.testing.assert_allclose(7 * ranks, [2.5, 5, 2.5, 5, 5, 1], rtol=1e-15)
    ties = np.random.default_rng(1).integers(0, 4, size=(50, 3)).astype(float)
    np.testing.assert_allclose(pseudo_observations(ties)[::-1], pseudo_observations(ties[::-1]), rtol=1e-15)


NEVER_SOLD = np.column_stack([EllipticalCopula(loadings=[0.8, 0.8]).sample(300, rng=0), np.zeros(300)])


@pytest.mark.parametrize("family", ["gaussian", "t"])
@pytest.mark.parametrize("n_factors", [None, 1, 2])
def test_a_column_without_variation_is_independent_of_the_others(family, n_factors):
    fitted, pair = (fit_copula(values, family, n_factors) for values in (NEVER_SOLD, NEVER_SOLD[:, :2]))
    for copula in (fitted, pair):
        assert copula.n_dims == len(copula.sample(5, rng=0)[0])
    if n_factors is None:
        np.testing.assert_allclose(fitted.correlation[:2, :2], pair.correlation, rtol=1e-12)
        assert fitted.correlation[2].tolist() == [0, 0, 1]
    else:
        np.testing.assert_allclose(fitted.loadings[:2], pair.loadings, rtol=1e-12)
        assert (fitted.loadings[2] == 0).all()
    nobody = fit_copula(np.ones((20, 3)), family, n_factors).sample(4000, rng=0)
    np.testing.assert_allclose(np.corrcoef(nobody.T), np.eye(3), atol=0.08)


def test_a_vine_takes_a_column_without_variation():
    import pyvinecopulib as pv  # noqa: F401  conftest.py skips a test whose peer can't be had

    draws = fit_copula(NEVER_SOLD, "vine").sample(3000, rng=0)
    np.testing.assert_allclose(np.corrcoef(draws.T)[2, :2], 0, atol=0.08)


def sample_of_a_vine(n_scenarios):
    import pyvinecopulib as pv  # conftest.py skips a test whose peer can't be had

    return VineCopula(pv.Vinecop(2)).sample(n_scenarios, rng=0)


@pytest.mark.parametrize(
    "sample", [ClaytonCopula(1.0).sample, EllipticalCopula(np.eye(2)).sample, sample_of_a_vine],
    ids=["clayton", "elliptical", "vine"],
)
@pytest.mark.parametrize("n_scenarios", [2.5, 0, -1, np.nan, "3"])
def test_a_number_of_scenarios_that_is_none_is_refused(sample, n_scenarios):
    with pytest.raises(ValueError, match="n_scenarios must be a whole number of at least 1, got"):
        sample(n_scenarios)
    assert len(sample(3.0)) == 3


ONE = [[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClaytonCopula(0.0), "theta must be positive and finite, got 0.0"),
        (lambda: ClaytonCopula(-1), "theta must be positive and finite, got -1"),
        (lambda: ClaytonCopula(np.inf), "theta must be positive and finite, got inf"),
        (lambda: estimate_theta(U[:, [0, 0]] * 0.9, "tau"), "Kendall's tau is 1"),
        (lambda: ClaytonCopula(1.0, 1), "n_dims must be a whole number of at least 2, got 1"),
        (lambda: ClaytonCopula(1.0).cdf([0.1, 0.2]), r"u must have shape \(..., 3\), got shape \(2,\)"),
        (lambda: ClaytonCopula(1.0).cdf([0.1, 0.2, 1.2]), r"u must lie in \[0, 1\], got 0.1 to 1.2"),
        (lambda: EllipticalCopula(ONE), "correlation must be positive definite, but its smallest eigenvalue is -0.8"),
        (lambda: EllipticalCopula([[1.0, 0.5], [0.4, 1.0]]), "got 1 to 1 there and entries that differ by 0.1 from"),
        (lambda: EllipticalCopula([[1.0, 0.5]]), r"correlation must be a square matrix, got shape \(1, 2\)"),
        (lambda: EllipticalCopula(), "either correlation or loadings must be given, got neither"),
        (lambda: EllipticalCopula(np.eye(2), [0.5, 0.5]), "either correlation or loadings must be given, got both"),
        (lambda: EllipticalCopula(loadings=[[0.9, 0.9]]), "loadings must have rows of length at most 1, got 1.27"),
        (lambda: EllipticalCopula(loadings=[0.5, 0.5], df=0), "df must be positive, got 0"),
        (lambda: EllipticalCopula(np.eye(2)).sample(5, factor=1.0), "factor can be held only by a copula"),
        (lambda: fit_copula([[1.0, 2.0]]), "at least two rows"),
        (lambda: fit_copula([[1.0], [2.0]]), "values must have at least two columns, got 1"),
        (lambda: fit_copula(U, "frank"), "family must be 'gaussian', 't', 'clayton' or 'vine', got 'frank'"),
        (lambda: fit_copula(U, "vine", n_factors=1), "n_factors goes with the families 'gaussian' and 't'"),
        (lambda: fit_copula([[1.0, np.nan], [2.0, 3.0]]), "values must be finite"),
        (lambda: fit_copula(NEVER_SOLD, "clayton"), "values must vary in every column .*, but column 2 has one value"),
        (lambda: estimate_theta(np.full((9, 2), 0.5)), "u must vary in every column .*, but column 0 has one value"),
        (lambda: estimate_theta(U[:, :1] * 0.9), "u must have at least two columns, got 1"),
        (lambda: estimate_theta(U * np.nan), r"u must lie in \[0, 1\], got nan to nan"),
        (lambda: fit_copula(U, n_factors=0), "n_factors must be a whole number of at least 1, got 0"),
        (lambda: fit_copula(U, "t", n_factors=1.5), "n_factors must be a whole number of at least 1, got 1.5"),
        (lambda: EllipticalCopula(loadings=[0.5, 0.5]).sample(3, factor=np.nan), "factor must be finite, got nan"),
        (lambda: EllipticalCopula(loadings=[0.5, 0.5]).sample(3, factor=[0, 1]), "factor must be a number or have"),
        (lambda: EllipticalCopula(np.eye(2), df=np.nan), "df must be positive, got nan"),
        (lambda: ClaytonCopula(np.nan), "theta must be positive and finite, got nan"),
        (lambda: estimate_theta(np.column_stack([U[:, 0], 1 - U[:, 0]]) * 0.9 + 0.05), "Kendall's tau is -1"),
        (lambda: estimate_theta(np.array([[1, 2], [2, 4], [3, 1], [4, 3]]) / 5, "tau"), "Kendall's tau is 0"),
        (lambda: ClaytonCopula(1.0).logpdf([0.1, 0.2]), r"u must have shape \(..., 3\), got shape \(2,\)"),
        (lambda: estimate_theta(0.5), r"u must have shape \(n_rows, n_dims\) and lie inside \(0, 1\), got shape \(\)"),
        (lambda: estimate_theta([[0.0, 0.5], [0.2, 0.4]]), r"lie inside \(0, 1\)"),
        (lambda: estimate_theta([[1.0, 0.5], [0.2, 0.4]]), r"lie inside \(0, 1\)"),
        (lambda: estimate_theta(U * 0.9, "mean"), "method must be 'likelihood' or 'tau', got 'mean'"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
