"""Linear quantile regression against scipy's linear programming and statsmodels, and the honesty of its certificate."""

import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.optimize import linprog

from qrgmm.curve import quantile_levels
from qrgmm.loss import pinball_loss
from qrgmm.quantile_regression.grid import fit_quantile_grid
from qrgmm.quantile_regression.simplex import relative_duality_gap

LEVELS = np.array([0.01, 0.1, 0.25, 0.5, 0.77, 0.9, 0.99])


def make_problem(name):
    rng = np.random.default_rng(7)
    n = 1500 if name.startswith("many rows") else 150  # from 1000 rows on, another solver may be chosen
    x = rng.normal(size=(n, 3))
    X = np.column_stack([np.ones(n), x])
    noise = rng.standard_t(1.1, n) if name == "heavy tails" else rng.normal(size=n)
    y = 2.0 + x @ [1.0, -2.0, 0.5] + (1 + 0.5 * np.abs(x[:, 0])) * noise
    if name.endswith("ties"):
        y = rng.poisson(1.0, n)
    if name == "engel":
        data = sm.datasets.engel.load_pandas().data
        return np.column_stack([np.ones(len(data)), data["income"]]), data["foodexp"].to_numpy()
    if name.endswith("dependent columns"):
        X = np.column_stack([X, X[:, 1] - X[:, 2], np.ones(n)])
    if name == "one-hot with every level":
        X = np.column_stack([np.ones(n), np.eye(5)[rng.integers(5, size=n)]])
    if name == "rows barely above columns":
        X, y = X[:5], y[:5]
    if name == "as many rows as columns":
        X, y = X[:4], y[:4]
    if name == "single column":
        X = X[:, :1]
    if name == "no intercept":
        X = X[:, 1:]
    if name == "a column of zeros":
        X = np.column_stack([X, np.zeros(n)])
    if name == "far from zero":
        y = y + 1e4
    return X, np.asarray(y, dtype=float)


PROBLEMS = [
    "engel",
    "ties",
    "heavy tails",
    "dependent columns",
    "one-hot with every level",
    "rows barely above columns",
    "single column",
    "no intercept",
    "a column of zeros",
    "far from zero",
    "many rows",
    "many rows with ties",
    "many rows and dependent columns",
]


def total_loss(X, y, tau, coef):
    return pinball_loss(y, X @ coef, tau).sum()


def least_loss(X, y, tau):
    """The optimum of the primal programme, which has no line in common with the dual that the package solves."""
    n, p = X.shape
    cost = np.concatenate([np.zeros(p), np.full(n, tau), np.full(n, 1 - tau)])
    A = sp.hstack([sp.csr_matrix(X), sp.eye_array(n), -sp.eye_array(n)])
    solution = linprog(cost, A_eq=A, b_eq=y, bounds=[(None, None)] * p + [(0, None)] * (2 * n), method="highs")
    assert solution.status == 0
    return solution.fun


@pytest.mark.parametrize("name", PROBLEMS)
def test_loss_equals_the_optimum_of_scipy_linprog_at_every_level(name):
    X, y = make_problem(name)
    fit = fit_quantile_grid(X, y, LEVELS)
    found = [total_loss(X, y, tau, coef) for tau, coef in zip(LEVELS, fit.coef)]
    np.testing.assert_allclose(found, [least_loss(X, y, tau) for tau in LEVELS], rtol=1e-9)
    assert (fit.gap <= 1e-6).all()
    assert (fit.n_iter >= 0).all() and fit.n_iter.sum() > 0


def test_engel_coefficients_equal_those_of_statsmodels():
    X, y = make_problem("engel")
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    expected = [sm.QuantReg(y, X).fit(q=tau).params for tau in levels]
    # statsmodels iterates least squares, which comes close to the vertex and never quite onto it.
    np.testing.assert_allclose(fit_quantile_grid(X, y, levels).coef, expected, rtol=1e-4)


def test_engel_median_equals_the_published_one():
    X, y = make_problem("engel")  # Koenker (2005), section 3.6: 81.48 and 0.5602
    np.testing.assert_allclose(fit_quantile_grid(X, y, [0.5]).coef, [[81.4822, 0.560181]], rtol=1e-6)


def test_one_column_of_ones_gives_sample_quantiles():
    y = np.random.default_rng(3).exponential(size=101)
    fit = fit_quantile_grid(np.ones((101, 1)), y, [0.1, 0.5, 0.93])
    expected = np.quantile(y, [0.1, 0.5, 0.93], method="inverted_cdf")
    np.testing.assert_allclose(fit.coef[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.coo_array])
def test_sparse_designs_give_what_dense_ones_give(container):
    X, y = make_problem("heavy tails")
    dense, sparse = fit_quantile_grid(X, y, LEVELS), fit_quantile_grid(container(X), y, LEVELS)
    np.testing.assert_allclose(sparse.coef, dense.coef, rtol=1e-12)
    np.testing.assert_allclose(sparse.gap, dense.gap, atol=1e-12)


def test_a_level_has_the_same_solution_alone_and_on_a_grid():
    X, y = make_problem("heavy tails")
    levels = quantile_levels(len(y), m=20)
    fit = fit_quantile_grid(X, y, levels)
    for j in (0, 9, 18):
        np.testing.assert_allclose(fit_quantile_grid(X, y, levels[j]).coef[0], fit.coef[j], rtol=1e-9)


def test_as_many_rows_as_columns_are_interpolated():
    X, y = make_problem("as many rows as columns")
    np.testing.assert_allclose(X @ fit_quantile_grid(X, y, [0.3]).coef[0], y, rtol=1e-9)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("distance", [1e-8, 1e-7, 1e-5])
def test_a_column_that_nearly_depends_on_others_is_used_all_the_same(distance, container):
    X, y = make_problem("heavy tails")
    nearly = X.copy()
    nearly[:, 3] = X[:, 1] + distance * X[:, 3]
    X[:, 3] = (nearly[:, 3] - X[:, 1]) / distance  # the same span, after rounding
    y += 3 * X[:, 3]
    fit = fit_quantile_grid(container(nearly), y, LEVELS)
    found = [total_loss(nearly, y, tau, coef) for tau, coef in zip(LEVELS, fit.coef)]
    np.testing.assert_allclose(found, [least_loss(X, y, tau) for tau in LEVELS], rtol=1e-6)


def test_a_column_that_rounding_alone_keeps_from_depending_on_others_is_left_out():
    X, y = make_problem("dependent columns")
    expected = fit_quantile_grid(X, y, LEVELS).coef
    np.testing.assert_allclose(fit_quantile_grid(X + 1e-14 * X[:, [1]] ** 2, y, LEVELS).coef, expected, atol=1e-9)


def test_an_exact_linear_law_is_recovered_without_a_warning():
    X, _ = make_problem("heavy tails")
    fit = fit_quantile_grid(X, X @ [3.0, 1.0, -2.0, 0.1], LEVELS)
    np.testing.assert_allclose(fit.coef, np.tile([3.0, 1.0, -2.0, 0.1], (len(LEVELS), 1)), rtol=1e-9)
    assert (fit.gap <= 1e-6).all()


def test_sales_of_zero_everywhere_give_zero():
    X, y = make_problem("ties")
    fit = fit_quantile_grid(X, 0 * y, LEVELS)
    np.testing.assert_allclose(fit.coef, 0, atol=1e-12)
    assert (fit.gap <= 1e-6).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e3, 1e9, 1e12])
def test_coefficients_scale_with_sales(scale):
    X, y = make_problem("heavy tails")
    expected = fit_quantile_grid(X, y, LEVELS).coef
    np.testing.assert_allclose(fit_quantile_grid(X, scale * y, LEVELS).coef / scale, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e3, 1e9, 1e12])
def test_coefficients_scale_against_their_column(scale):
    X, y = make_problem("heavy tails")
    expected = fit_quantile_grid(X, y, LEVELS).coef
    stretched = fit_quantile_grid(X * [1, scale, 1, 1], y, LEVELS).coef * [1, scale, 1, 1]
    np.testing.assert_allclose(stretched, expected, rtol=1e-6)


def test_adding_a_linear_law_to_sales_adds_its_coefficients():
    X, y = make_problem("heavy tails")
    shift = np.array([100.0, -3.0, 2.0, 0.0])
    shifted = fit_quantile_grid(X, y + X @ shift, LEVELS).coef
    np.testing.assert_allclose(shifted - shift, fit_quantile_grid(X, y, LEVELS).coef, atol=1e-9)


def test_negated_sales_swap_the_levels():
    X, y = make_problem("heavy tails")
    np.testing.assert_allclose(
        fit_quantile_grid(X, -y, [0.1, 0.3]).coef, -fit_quantile_grid(X, y, [0.7, 0.9]).coef[::-1], rtol=1e-9
    )


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_gap_of_perturbed_coefficients_is_their_true_excess(tau):
    X, y = make_problem("engel")
    n, p = X.shape
    dual = linprog(-y, A_eq=X.T, b_eq=(1 - tau) * X.sum(axis=0), bounds=(0, 1), method="highs").x
    best = least_loss(X, y, tau)
    for step in np.random.default_rng(4).normal(size=(5, p)) * [30.0, 0.1]:
        coef = fit_quantile_grid(X, y, [tau]).coef[0] + step
        excess = total_loss(X, y, tau, coef) - best
        gap = relative_duality_gap(X, y, tau, coef, dual)
        assert gap == pytest.approx(excess / total_loss(X, y, tau, coef), rel=1e-6)
        assert gap > 1e-3


def test_gap_of_a_poor_dual_point_bounds_the_excess():
    X, y = make_problem("engel")
    coef = fit_quantile_grid(X, y, [0.3]).coef[0] * 1.1
    excess = 1 - least_loss(X, y, 0.3) / total_loss(X, y, 0.3, coef)
    assert relative_duality_gap(X, y, 0.3, coef, np.full(len(y), 0.7)) >= excess > 1e-3


@pytest.mark.parametrize("wrong", ["equation", "below 0", "above 1"])
def test_gap_is_infinite_for_an_infeasible_dual(wrong):
    X, y = np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 4.0])
    dual = {"equation": [0, 0, 0, 0.5], "below 0": [-0.5, 0.5, 1, 1], "above 1": [0, 0, 0.5, 1.5]}[wrong]
    assert relative_duality_gap(X, y, 0.5, np.array([2.0]), np.array(dual, dtype=float)) == np.inf


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_gap_is_infinite_when_the_equation_of_a_small_column_is_violated(scale):
    rng = np.random.default_rng(5)
    x = rng.normal(size=99)
    X, y = np.column_stack([np.ones(99), scale * x]), x + 0.1 * rng.normal(size=99)
    dual = (y > np.median(y)) + 0.5 * (y == np.median(y))  # optimal without the column, so its gap would be 0
    assert relative_duality_gap(X, y, 0.5, np.array([np.median(y), 0.0]), dual) == np.inf


def test_an_uncertified_level_is_named_in_a_warning(monkeypatch):
    gaps = {0.25: np.nan, 0.5: 0.0}
    monkeypatch.setattr("qrgmm.quantile_regression.simplex.relative_duality_gap", lambda X, y, tau, *_: gaps[tau])
    with pytest.warns(RuntimeWarning, match=r"relative duality gap above 1e-06 at levels \[0.25\]"):
        fit_quantile_grid(np.ones((5, 1)), np.arange(5.0), [0.25, 0.5])


@pytest.mark.parametrize("n_rows", [3, 1_500])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_columns_of_zeros_alone_leave_the_coefficients_at_zero(n_rows, container):
    fit = fit_quantile_grid(container(np.zeros((n_rows, 2))), np.arange(float(n_rows)), LEVELS)
    assert (fit.coef == 0).all() and (fit.gap == 0).all()


def test_nothing_is_printed(capfd):
    fit_quantile_grid(*make_problem("heavy tails"), LEVELS)
    assert capfd.readouterr() == ("", "")


def test_whole_numbers_of_few_bits_are_computed_with_as_floats():
    rng = np.random.default_rng(8)
    X = np.column_stack([np.ones(80), rng.integers(0, 256, (80, 2))])
    y = rng.integers(0, 256, 80)
    expected = fit_quantile_grid(X, y.astype(float), LEVELS).coef
    np.testing.assert_array_equal(fit_quantile_grid(X.astype(np.uint8), y.astype(np.uint8), LEVELS).coef, expected)
    np.testing.assert_array_equal(fit_quantile_grid(X.astype(int).tolist(), y.tolist(), LEVELS).coef, expected)


def test_inputs_are_left_as_they_were():
    X, y = make_problem("ties")
    X_before, y_before, levels = X.copy(), y.copy(), LEVELS.copy()
    fit_quantile_grid(X, y, levels)
    assert (X == X_before).all() and (y == y_before).all() and (levels == LEVELS).all()


X, y = np.ones((3, 1)), np.arange(3.0)


@pytest.mark.parametrize(
    ("X", "y", "levels", "message"),
    [
        (np.ones(3), y, [0.5], r"X must have shape \(n_rows, n_features\).*got \(3,\)"),
        (np.ones((0, 2)), y[:0], [0.5], r"X must have shape .* at least one of each, got \(0, 2\)"),
        (np.ones((3, 0)), y, [0.5], r"X must have shape .* at least one of each, got \(3, 0\)"),
        (X, y[:2], [0.5], r"y must have shape \(3,\) like the rows of X, got \(2,\)"),
        (X, y[:, None], [0.5], r"y must have shape \(3,\) like the rows of X, got \(3, 1\)"),
        (np.array([[1.0], [np.nan], [1.0]]), y, [0.5], "X must be finite, got NaN or infinity"),
        (sp.csr_matrix([[1.0], [np.inf], [1.0]]), y, [0.5], "X must be finite, got NaN or infinity"),
        (X, np.array([0.0, np.inf, 1.0]), [0.5], "y must be finite, got NaN or infinity"),
        (X, y, [], r"levels must be a non-empty array of shape \(n_levels,\), got shape \(0,\)"),
        (X, y, [[0.5]], r"levels must be a non-empty array of shape \(n_levels,\), got shape \(1, 1\)"),
        (X, y, [0.0, 0.5], r"levels must lie inside \(0, 1\), got 0 to 0.5"),
        (X, y, [0.5, 1.0], r"levels must lie inside \(0, 1\), got 0.5 to 1"),
        (X, y, [0.5, np.nan], r"levels must lie inside \(0, 1\), got nan"),
        (X, y, [0.5, 0.25], "levels must be strictly increasing, got 0.25 after 0.5"),
        (X, y, [0.5, 0.5], "levels must be strictly increasing, got 0.5 after 0.5"),
    ],
)
def test_bad_input_is_refused_with_its_name_and_what_came(X, y, levels, message):
    with pytest.raises(ValueError, match=message):
        fit_quantile_grid(X, y, levels)
