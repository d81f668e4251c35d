"""Small responses beside huge ones: right row by row, or said not to be, against exact rational arithmetic."""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import qrgmm.quantile_regression.grid as solver
from qrgmm.quantile_regression.grid import fit_quantile_grid
from qrgmm.quantile_regression.screening import PUSH, _relative_gap
from qrgmm.quantile_regression.simplex import settle

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
        rounding = 2e-13 * np.abs(X) @ np.abs(coef) + 1e-12 * np.maximum(np.abs(y), np.abs(y)[y != 0].min(initial=1))
        right = (np.abs(planes - X @ coef) <= rounding).all(axis=1).any()
        wrong += not (right or is_said)
    return wrong, said.sum()


@pytest.mark.parametrize("seed", range(120))
def test_every_row_lies_where_exact_arithmetic_puts_it(seed, path):
    assert count_wrong(seed) == (0, 0)
