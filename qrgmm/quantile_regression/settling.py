r"""One level of a quantile regression where some responses are tiny beside others: pivots on the signs of residuals.

A solver takes residuals below its tolerance for zero. Where the responses of some rows are that small beside those of
others, `settle` goes on from where it ended. Chapter 3.
"""

import numpy as np
import scipy.sparse as sp
from scipy.linalg import qr

from qrgmm.quantile_regression.simplex import NUDGE, Design

MAX_PIVOTS = 50  # per column
EPS = np.finfo(float).eps


def settle(
    X: Design, y: np.ndarray, tau: float, coef: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    r"""Go on to the optimum row by row, whatever the sizes of the rows.

    The method of Barrodale and Roberts (1974): at a vertex the duals of the interpolated rows follow from the others'
    sides. A row whose dual is outside :math:`[0, 1]` is let go, and the plane moves until the slope of the loss, which
    every row that it meets raises, is no longer negative. Only the sides of the rows and the order in which the plane
    meets them count, and no residual is compared with another row's: each is zero up to its own rounding.

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)
        With independent columns.
    y : array of shape (n_rows,)
    tau : float
    coef : array of shape (n_features,)
        Where to start.

    Returns
    -------
    coef : array of shape (n_features,)
        Where many are optimal, the same one as `solve_programme` returns.
    dual : array of shape (n_rows,)
        Or None in the place of both if the pivots don't come to an end.

    Examples
    --------
    >>> small, large = np.arange(1.0, 20), 1e10 * np.arange(1, 20)
    >>> X = np.repeat(np.eye(2), 19, axis=0)
    >>> settle(X, np.append(small, large), 0.5, np.zeros(2))[0]
    array([1.e+01, 1.e+11])
    """
    # Sizes are powers of two, which rescale without rounding: of the columns, then of the rows.
    column_size = _power_of_two(abs(X).max(axis=0))
    X = _multiply(X, 1 / column_size, 0)
    size = _power_of_two(abs(X).max(axis=1))
    used = size > 0
    X, y_used, size = _multiply(X, 1 / np.where(used, size, 1), 1)[used], (y[used] / size[used]), size[used]
    # The moves of the levels are those of `nudge`, but leave them inside (0, 1).
    moves = np.random.default_rng(0).uniform(-NUDGE, NUDGE, len(y))[used] * min(1, tau / NUDGE, (1 - tau) / NUDGE)
    basis = _starting_basis(X, y_used - X @ (coef * column_size), y_used)
    for balance in (1 - tau + moves, np.full(len(y_used), 1 - tau)):
        found = _descend(X, y_used, size, size * balance, basis)
        if found is None:
            return None
        scaled_coef, basis, used_dual = found
    dual = np.full(len(y), 1 - tau)
    dual[used] = used_dual
    return scaled_coef / column_size, dual


def _descend(X, y, size, balance, basis):
    """Pivot from a basis to the one whose duals are all allowed; return coefficients, basis and duals, or None."""
    sizes, basis = abs(X), basis.copy()
    target, sums = X.T @ balance, sizes.T @ size
    # Ties are broken as if each response had a tiny part of its own, which is only looked at where a residual is zero.
    own = np.random.default_rng(1).uniform(-1, 1, len(y))
    for _ in range(MAX_PIVOTS * len(basis) + MAX_PIVOTS):
        rows = _dense(X[basis])
        try:
            inverse = np.linalg.inv(rows)
        except np.linalg.LinAlgError:
            return None
        coef = inverse @ y[basis]
        coef += inverse @ (y[basis] - rows @ coef)
        residual = y - X @ coef
        rounding = 2 * EPS * (np.abs(y) + sizes @ np.abs(coef))
        residual[basis] = 0
        tied = np.flatnonzero(np.abs(residual) <= 1e6 * (rounding + rounding[basis].max()))
        by_basis = _dense(X[tied]) @ inverse
        tied_rounding = rounding[tied] + np.abs(by_basis) @ rounding[basis]
        zero = np.abs(residual[tied]) <= tied_rounding
        residual[tied[zero]] = 0
        second = own - X @ (inverse @ own[basis])
        second[basis] = 0
        side = np.where(residual == 0, np.sign(second), np.sign(residual))
        above = side > 0
        mass = inverse.T @ (target - X.T @ (size * above))
        unsure = 64 * EPS * (np.abs(inverse.T) @ sums)
        excess = np.maximum(mass - size[basis], -mass)
        leaving = np.argmax(excess - unsure)
        if excess[leaving] <= unsure[leaving]:
            dual = above.astype(float)
            dual[basis] = (mass / size[basis]).clip(0, 1)
            return coef, basis, dual
        direction = inverse[:, leaving] * (1 if mass[leaving] > size[basis[leaving]] else -1)
        speed = X @ direction  # of the residuals, as the leaving row's goes to its side
        speed[np.abs(speed) <= 16 * EPS * (sizes @ np.abs(direction))] = 0
        speed[basis] = 0
        met = np.flatnonzero(side * speed < 0)
        order = met[_order_of_meeting(residual[met], second[met], speed[met], rounding[met])]
        slope = np.cumsum(size[order] * np.abs(speed[order])) - excess[leaving]
        stop = np.searchsorted(slope, -unsure[leaving])
        if stop == len(order):
            return None
        basis[leaving] = order[stop]
    return None


def _order_of_meeting(residual, second, speed, rounding):
    """Return the order in which residuals vanish; those that only rounding sets apart follow their tiny parts."""
    time, spread = -residual / speed, rounding / np.abs(speed)
    order = np.argsort(time, kind="stable")
    apart = np.diff(time[order], prepend=0) > 8 * spread[order]
    group = np.empty(len(order), dtype=int)
    group[order] = np.cumsum(apart)
    return np.lexsort((-second / speed, group))


def _starting_basis(X, residual, y):
    """Return as many independent rows as there are columns, of those nearest to the plane as far as it goes."""
    distance = np.abs(residual) / np.maximum(np.abs(y), np.abs(residual)).clip(np.finfo(float).tiny)
    order, n_features = np.argsort(distance, kind="stable"), X.shape[1]
    for n_first in (2 * n_features + 50, len(order)):
        first = order[:n_first]
        rows = _dense(X[first]) * np.where(distance[first] <= 1e-6, 1, 1e-4)[:, None]
        triangle, pivots = qr(rows.T, mode="r", pivoting=True)
        if len(first) >= n_features and np.abs(triangle[-1, n_features - 1]) > 1e-10:
            break
    return first[pivots[:n_features]]


def _power_of_two(sizes):
    """Round positive numbers down to powers of two; zeros stay."""
    sizes = np.ravel(_dense(sizes))
    return np.where(sizes > 0, np.ldexp(1.0, np.frexp(sizes)[1] - 1), 0.0)


def _multiply(X, factors, axis):
    """Multiply columns (0) or rows (1)."""
    if sp.issparse(X):
        scale = sp.diags_array(factors)
        return (X @ scale if axis == 0 else scale @ X).tocsr()
    return X * (factors if axis == 0 else factors[:, None])


def _dense(X):
    return X.toarray() if sp.issparse(X) else X
