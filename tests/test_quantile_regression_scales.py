"""Small responses beside huge ones: right row by row, or said not to be, against exact rational arithmetic."""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import qrgmm.quantile_regression.grid as solver
from qrgmm.quantile_regression.grid import fit_quantile_grid
from qrgmm.quantile_regression.interior_point import nearest_vertex
from qrgmm.quantile_regression.screening import PUSH, _relative_gap
from qrgmm.quantile_regression.settling import settle

LEVELS = ["0.1", "0.5", "0.9"]
SIZES = [1e8, 1e9, 1e10, 1e12, 1e15]
CONTAINERS = [np.asarray, sp.csr_array]


@pytest.fixture(params=["screening", "simplex"])
def path(request, monkeypatch):
    monkeypatch.setattr(solver, "MIN_ROWS", {"screening": 0, "simplex": 10**9}[request.param])
    monkeypatch.setattr(solver, "MIN_ROWS_PER_COLUMN", 0)


def make_two_shops(n_rows, size):
    sales = np.arange(1.0, n_rows + 1)
    return np.repeat(np.eye(2), n_rows, axis=0), np.append(size * sales, sales)


def make_design(seed):
    """Small designs that numbers hold exactly, with ties, and every third with sizes up to 1e12 apart."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(5, 12)), int(rng.integers(1, 4))
    block = rng.integers(p, size=n)
    X = [
        lambda: np.eye(p)[block],
        lambda: np.column_stack([np.ones(n), np.eye(p)[block][:, 1:]]),
        lambda: np.column_stack([np.ones(n), rng.integers(-4, 5, (n, p - 1)) / 4]),
        lambda: rng.integers(-3, 4, (n, p)),
    ][rng.integers(4)]().astype(float)
    y, weights = rng.integers(0, [4, 30, 1000][rng.integers(3)], n).astype(float), None
    if rng.random() < 0.3:
        weights = rng.integers(1, 5, n).astype(float)
    if rng.random() < 0.3:
        again = rng.integers(n, size=2)
        X[again], y[again] = X[again[0]], y[again[0]]
    if seed % 3 == 0:
        size = 10.0 ** rng.integers(0, 13, p)
        kind = rng.integers(4)
        if kind == 0:
            y *= size[block]
        elif kind == 1:
            y[rng.integers(n)] *= 10.0 ** rng.integers(6, 13)
        elif kind == 2:
            y *= 10.0 ** rng.integers(0, 13, n)
        else:
            weights = 10.0 ** rng.integers(0, 12, p)[block]
    return X, y, weights


def solve_exactly(rows, right):
    """Gauss's elimination in rational numbers; None where the rows depend on each other."""
    table = [[*row, value] for row, value in zip(rows, right)]
    p = len(table)
    for i in range(p):
        pivot = next((k for k in range(i, p) if table[k][i]), None)
        if pivot is None:
            return None
        table[i], table[pivot] = table[pivot], table[i]
        table[i] = [value / table[i][i] for value in table[i]]
        for k in range(p):
            if k != i and table[k][i]:
                table[k] = [a - table[k][i] * b for a, b in zip(table[k], table[i])]
    return [row[-1] for row in table]


def find_optimal_planes(X, y, weights, levels):
    """All vertices that are optimal, per level, as arrays (n_vertices, n_rows) of fitted values."""
    rows, values = [[Fraction(x) for x in row] for row in X.tolist()], [Fraction(each) for each in y.tolist()]
    weights = [Fraction(w) for w in (np.ones(len(y)) if weights is None else weights).tolist()]
    planes = set()
    for basis in itertools.combinations(range(len(y)), X.shape[1]):
        coef = solve_exactly([rows[i] for i in basis], [values[i] for i in basis])
        if coef is not None:
            planes.add(tuple(sum(a * b for a, b in zip(row, coef)) for row in rows))
    found = []
    for level in map(Fraction, levels):
        losses = {
            plane: sum(
                w * (level * (v - q) if v >= q else (1 - level) * (q - v)) for w, v, q in zip(weights, values, plane)
            )
            for plane in planes
        }
        least = min(losses.values())
        found.append(np.array([[float(q) for q in plane] for plane, loss in losses.items() if loss == least]))
    return found


def count_wrong(seed):
    """How many levels of a design are wrong without a warning, and how many come with one."""
    X, y, weights = make_design(seed)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return 0, 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fit_quantile_grid(X, y, np.array(LEVELS, dtype=float), weights)
    said = ~(fit.gap <= 1e-6)
    assert bool(caught) == said.any()
    wrong = 0
    for planes, coef, is_said in zip(find_optimal_planes(X, y, weights, LEVELS), fit.coef, said):
        rounding = 2e-13 * np.abs(X) @ np.abs(coef) + 1e-12 * np.maximum(
            np.abs(y), np.abs(y)[y != 0].min(initial=np.inf)
        )
        right = (np.abs(planes - X @ coef) <= rounding).all(axis=1).any()
        wrong += not (right or is_said)
    return wrong, said.sum()


@pytest.mark.parametrize("seed", range(100))
def test_every_row_lies_where_exact_arithmetic_puts_it(seed, path):
    assert count_wrong(seed) == (0, 0)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_small_shop_beside_a_huge_one_has_its_own_quantiles(size, container, path):
    X, y = make_two_shops(99, size)
    expected = np.array([10.0, 50.0, 90.0])
    fit = fit_quantile_grid(container(X), y, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(fit.coef, np.column_stack([size * expected, expected]), rtol=1e-12)
    assert (fit.gap <= 1e-6).all()


@pytest.mark.parametrize("size", [1e8, 1e10, 1e12])
def test_so_it_has_beside_an_intercept(size, path):
    X, y = make_two_shops(19, size)
    X[:, 0] = 1
    coef = fit_quantile_grid(X, y, [0.1, 0.5, 0.9]).coef
    np.testing.assert_allclose(coef[:, 0], np.multiply(size, [2, 10, 18]), rtol=1e-12)
    np.testing.assert_allclose(coef.sum(axis=1), [2, 10, 18], atol=1e-15 * 19 * size)


def test_slopes_of_a_small_shop_are_those_that_it_has_alone(path):
    i = np.arange(60)
    price, stock = 1.0 + i % 5, i % 7
    alone = np.column_stack([np.ones(60), price])
    X = np.kron(np.eye(2), alone)
    y = np.append(1e11 * (price + stock), 2 * price + stock)
    expected = fit_quantile_grid(alone, y[60:], [0.1, 0.5, 0.9]).coef
    np.testing.assert_allclose(fit_quantile_grid(X, y, [0.1, 0.5, 0.9]).coef[:, 2:], expected, atol=1e-12)
    np.testing.assert_allclose(expected, [[0, 2], [3, 2], [6, 2]], atol=1e-12)


@pytest.mark.parametrize("mistyped", [1e11, 1e20, 1e30])
def test_one_mistyped_sale_leaves_the_quantiles_of_the_others(mistyped, path):
    y = np.arange(1.0, 20)
    y[-1] = mistyped
    np.testing.assert_array_equal(fit_quantile_grid(np.ones((19, 1)), y, [0.1, 0.5, 0.9]).coef, [[2], [10], [18]])
    y = np.append(mistyped, np.random.default_rng(0).gamma(2.0, size=200))
    found = fit_quantile_grid(np.ones((201, 1)), y, [0.1, 0.5, 0.9]).coef[:, 0]
    np.testing.assert_allclose(found, np.quantile(y, [0.1, 0.5, 0.9], method="inverted_cdf"), rtol=1e-12)


def test_huge_weights_of_some_rows_leave_the_others_theirs(path):
    X, y = make_two_shops(19, 1.0)
    weights = np.repeat([1e11, 1.0], 19)
    np.testing.assert_allclose(fit_quantile_grid(X, y, [0.1, 0.5, 0.9], weights).coef, [[2, 2], [10, 10], [18, 18]])
    # Between two rows of huge weight that balance, the light ones decide.
    y, weights = np.array([0.0, 10.0, 4.0, 5.0, 7.0]), np.array([1e11, 1e11, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(fit_quantile_grid(np.ones((5, 1)), y, [0.5], weights).coef, [[5.0]], rtol=1e-12)


@pytest.mark.parametrize("size", [1e12, 1e15])
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_perfect_fit_of_huge_rows_is_none_of_small_ones(size, container, path):
    y = np.array([size] * 3 + [*range(1, 9), 100], dtype=float)
    X = np.repeat(np.eye(2), [3, 9], axis=0)
    fit = fit_quantile_grid(container(X), y, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(fit.coef, [[size, 1], [size, 5], [size, 100]], rtol=1e-12)


def test_an_offset_of_huge_size_is_no_perfect_fit(path):
    y = 1e11 + np.array([0.25, 0.0, 0.5, 0.125, 0.375])
    np.testing.assert_array_equal(fit_quantile_grid(np.ones((5, 1)), y, [0.25, 0.5]).coef.ravel() - 1e11, [0.125, 0.25])


def test_sales_of_a_size_that_the_tolerance_of_the_solver_just_reaches(path):
    y = np.array([0.0, 0.0, 0.0, 3.0, 2.0, 3.0, 2e8])
    np.testing.assert_array_equal(fit_quantile_grid(np.ones((7, 1)), y, [0.5]).coef, [[2.0]])


def test_many_rows_of_two_sizes_are_screened_rightly():
    X, y = make_two_shops(1_001, 1e12)
    fit = fit_quantile_grid(X, y, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(fit.coef[:, 1], [101, 501, 901], rtol=1e-12)


def test_a_level_that_cannot_be_settled_is_named(monkeypatch):
    monkeypatch.setattr(solver, "settle", lambda *_: None)
    X, y = make_two_shops(19, 1e10)
    with pytest.warns(RuntimeWarning, match=r"at levels \[0.1, 0.5\]"):
        fit = fit_quantile_grid(X, y, [0.1, 0.5])
    assert (fit.gap == np.inf).all()


@pytest.mark.parametrize("start", [0.0, 5.0, 1e10])
def test_settling_ends_at_the_same_plane_from_anywhere(start):
    X, y = make_two_shops(20, 1e10)
    coef, dual = settle(X, y, 0.5, np.full(2, start))
    np.testing.assert_array_equal(coef / [1e10, 1], fit_quantile_grid(X, y / np.repeat([1e10, 1], 20), [0.5]).coef[0])
    np.testing.assert_allclose(X.T @ dual, [10, 10], rtol=1e-12)
    assert ((y - X @ coef > 0) <= (dual == 1)).all() and ((y - X @ coef < 0) <= (dual == 0)).all()


def test_of_many_optima_settling_ends_at_the_one_of_the_solver():
    X = np.repeat(np.eye(12), 20, axis=0)
    y = np.random.default_rng(4).permutation(240).astype(float)
    expected = fit_quantile_grid(X, y, [0.35, 0.5]).coef
    for tau, coef in zip([0.35, 0.5], expected):
        np.testing.assert_array_equal(settle(X, y, tau, np.zeros(12))[0], coef.round())
        np.testing.assert_allclose(coef.round(), coef, rtol=1e-9)


def test_the_gap_of_small_programmes_is_relative_to_the_loss_of_their_own_rows():
    rng = np.random.default_rng(3)
    levels, n_near = np.array([0.2, 0.6]), [4, 7]
    X, y = np.zeros((2, 1, 9)), np.full((2, 9), PUSH)  # rows of zeros fill up
    X[:, :, :2] = 30.0
    y[:, 0], y[:, 1] = 20 + PUSH, -25 - PUSH  # sums over the rows above and below, pushed outwards
    dual = np.zeros((2, 9))
    coef = np.array([[0.1], [-0.05]])
    expected = []
    for i, n in enumerate(n_near):
        X[i, 0, 2 : 2 + n], y[i, 2 : 2 + n] = 1.0, rng.normal(size=n)
        dual[i] = y[i] > 0  # the plane at 0
        residual = y[i] - X[i, 0] * coef[i]
        gap = np.maximum(residual, 0) @ (1 - dual[i]) + np.maximum(-residual, 0) @ dual[i]
        residual = residual[: 2 + n] - PUSH * np.append([1, -1], np.zeros(n))
        expected.append(gap / np.maximum(levels[i] * residual, (levels[i] - 1) * residual).sum())
    target = np.matvec(X, dual)
    near = [np.arange(n) for n in n_near]
    np.testing.assert_allclose(_relative_gap(X, y, target, levels, coef, dual, near), expected, rtol=1e-12)


def test_what_a_dual_misses_of_its_constraint_is_added_to_the_gap_or_refuses_it():
    X, y = np.array([[[9.0, -7.0, 1.0, 1.0, 1.0]]]), np.array([[30 + PUSH, -20 - PUSH, 0.3, -0.2, 0.7]])
    dual, coef, levels, near = np.array([[1.0, 0.0, 1.0, 0.0, 1.0]]), np.array([[0.1]]), np.array([0.4]), [np.arange(3)]
    target, missed = np.matvec(X, dual), 1e-8 * np.abs(X).sum()
    gap, above, below, twice = (
        _relative_gap(X, y, target + shift, levels, coef, dual, near)[0] for shift in (0, missed, -missed, 2 * missed)
    )
    residual = y[0] - PUSH * np.array([1, -1, 0, 0, 0]) - X[0, 0] * 0.1
    loss = np.maximum(0.4 * residual, -0.6 * residual).sum()
    more = np.array([above, below, twice]) - gap
    np.testing.assert_allclose(more, np.array([1, 1, 2]) * 0.1 * missed / loss, rtol=1e-6)
    assert _relative_gap(X, y, target + 20 * missed, levels, coef, dual, near)[0] == np.inf
    beyond = dual + 1e-9 * np.array([1, 0, 1, -1, 1])
    assert _relative_gap(X, y, np.matvec(X, beyond), levels, coef, beyond, near)[0] > gap


@pytest.mark.parametrize(("n_rows", "on", "unique"), [(5, 2, True), (4, 1, False), (4, 2, False)])
def test_a_vertex_whose_dual_is_0_or_1_is_not_the_only_optimum(n_rows, on, unique):
    X, y, target = np.ones((1, 1, n_rows)), np.arange(1.0, n_rows + 1), np.array([[n_rows / 2]])
    dual = (np.arange(n_rows) > on) + 0.5 * (np.arange(n_rows) == on)
    coef, found = nearest_vertex(X, y[None], target, np.zeros((1, 1)), dual[None])
    assert found.tolist() == [unique] and coef.tolist() == [[y[on] if unique else 0]]


def test_settling_starts_where_the_rows_next_to_the_plane_depend_on_each_other_too():
    X = np.column_stack([np.ones(220), np.arange(220) >= 200])
    y = np.append(np.zeros(200), np.arange(1.0, 21))
    coef, dual = settle(X, y, 0.23, np.zeros(2))
    np.testing.assert_allclose(X[[0, -1]] @ coef, [0, 5], rtol=1e-12)
    np.testing.assert_allclose(X.T @ dual, 0.77 * X.sum(axis=0), rtol=1e-12)


def test_a_single_row_is_settled_on_itself():
    coef, dual = settle(np.ones((1, 1)), np.array([3.0]), 0.3, np.zeros(1))
    assert coef.tolist() == [3] and dual == pytest.approx([0.7])


def test_rows_of_zeros_are_balanced_by_themselves():
    X, y = np.vstack([np.ones((5, 1)), np.zeros((2, 1))]), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, -7.0])
    coef, dual = settle(X, y, 0.3, np.zeros(1))
    np.testing.assert_allclose(coef, [2])
    np.testing.assert_allclose(dual, [0, 0.5, 1, 1, 1, 0.7, 0.7], rtol=1e-12)


def test_a_large_sparse_design_says_which_columns_it_leaves_out(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    X[:, 3] = X[:, 1] + 1e-6 * rng.normal(size=400)
    monkeypatch.setattr(solver, "MAX_DENSE", 10)
    with pytest.warns(RuntimeWarning, match=r"columns \[3\] of X nearly depend on others and were left out"):
        fit_quantile_grid(sp.csr_array(X), rng.normal(size=400), [0.5])
    X[:, 3] = X[:, 1] - X[:, 2]
    fit_quantile_grid(sp.csr_array(X), rng.normal(size=400), [0.5])  # truly dependent: no loss, no warning


ONES = np.ones((3, 1))


@pytest.mark.parametrize(
    ("X", "y", "weights", "message"),
    [
        (ONES, [1.0, 2.0, 1e306], None, r"y must have absolute values of at most 1e\+75, got 1e\+306"),
        (ONES * 1e160, [1.0, 2.0, 3.0], None, r"columns of X .* from 1e-75 to 1e\+75, got 1e\+160 in column 0"),
        (np.hstack([ONES, ONES * 1e-170]), [1.0, 2.0, 3.0], None, r"columns of X .* got 1e-170 in column 1"),
        (sp.csr_array(ONES * 1e160), [1.0, 2.0, 3.0], None, r"columns of X .* got 1e\+160 in column 0"),
        (ONES, [1.0, 2.0, 3.0], [1.0, 1.0, 1e200], r"weights must lie in \[1e-75, 1e\+75\], got 1e\+200"),
    ],
)
def test_sizes_beyond_what_products_allow_are_refused(X, y, weights, message):
    with pytest.raises(ValueError, match=message):
        fit_quantile_grid(X, y, [0.5], weights)


@pytest.mark.parametrize("size", [1e-70, 1e-30, 1e30, 1e70])
def test_sizes_within_them_are_not(size):
    y = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(fit_quantile_grid(size * ONES, y, [0.5]).coef, [[2 / size]])
    np.testing.assert_allclose(fit_quantile_grid(ONES, size * y, [0.5]).coef, [[2 * size]])
