r"""Linear quantile regression on a grid of levels by the dual simplex method, and its certificate.

From level to level only the right-hand side of the dual programme changes, so that the basis that was optimal at one
level is a few pivots away from the next. HiGHS does the pivoting.

An optimum need not be unique: where a level times the number of rows of a category is a whole number, a whole face of
coefficients is optimal, and the last bit of a sum would decide at which corner a solver ends. So each row's level is
moved by a tiny amount of its own, always the same one, and then moved back: the corner that was optimal for the moved
levels is optimal for those asked for, and it is the same corner on every machine. It is the perturbation that
lexicographic pivoting stands for. Chapter 3.

HiGHS takes residuals below its tolerance for zero. Where the responses of some rows are that small beside those of
others, `settle` goes on from where it ended, by pivots that only ask for signs of residuals.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import highspy
import numpy as np
import scipy.sparse as sp
from scipy.linalg import qr

from qrgmm.loss import pinball_loss

Design: TypeAlias = np.ndarray | sp.sparray | sp.spmatrix

N_RUNS = 2  # into which the grid is cut, on any machine
# By how much a row's level moves at most: far above the tolerance of the solver, far below the steps between levels.
NUDGE = 1e-6
MAX_PIVOTS = 50  # of `settle`, per column
EPS = np.finfo(float).eps


def fit_by_simplex(
    X: Design, y: np.ndarray, levels: np.ndarray, n_threads: int
) -> tuple[np.ndarray, ...]:
    """Fit all levels of a grid by the dual simplex method, each started where its neighbour ended.

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)
    y : array of shape (n_rows,)
    levels : array of shape (n_levels,)
    n_threads : int
        How many runs of neighbouring levels go on at a time; it does not change the result.

    Returns
    -------
    coef : array of shape (n_levels, n_features)
    gap : array of shape (n_levels,)
        Relative duality gap.
    n_iter : array of shape (n_levels,)
        Simplex pivots.
    """
    if not isinstance(X, np.ndarray):
        # Sorts in place, which abs(X) would else do in all threads at the same time.
        X.sum_duplicates()
    column_sums, moved = np.asarray(X.sum(axis=0)).ravel(), nudge(X)

    def walk(run):
        solver = dual_programme(X, y)
        coef, gap, n_iter = (
            np.empty((len(run), X.shape[1])),
            np.empty(len(run)),
            np.empty(len(run), dtype=int),
        )
        for j, tau in enumerate(run):
            coef[j], dual, n_iter[j] = solve_programme(
                solver, (1 - tau) * column_sums, moved
            )
            gap[j] = relative_duality_gap(X, y, tau, coef[j], dual)
        return coef, gap, n_iter

    with ThreadPoolExecutor(n_threads) as pool:
        runs = np.array_split(levels, min(N_RUNS, len(levels)))
        return tuple(map(np.concatenate, zip(*pool.map(walk, runs))))


def nudge(X: Design) -> np.ndarray:
    """Return what a tiny level of its own for each row adds to the right-hand side, (n_features,).

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)

    Returns
    -------
    array of shape (n_features,)
    """
    return X.T @ np.random.default_rng(0).uniform(-NUDGE, NUDGE, X.shape[0])


def solve_programme(
    solver: Any, right_hand_side: np.ndarray, moved: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Solve a programme that is loaded at a right-hand side, on a face of optima at one corner on every machine.

    Parameters
    ----------
    solver : highspy.Highs
        As `dual_programme` returns it, or as an earlier call left it.
    right_hand_side, moved : arrays of shape (n_features,)
        And what is added to it to single out a corner, see `nudge`.

    Returns
    -------
    coef : array of shape (n_features,)
    dual : array of shape (n_rows,)
        For the right-hand side without what was added.
    n_iter : int
        Simplex pivots.
    """
    constraints, n_iter = np.arange(len(right_hand_side), dtype=np.int32), 0
    # Moved back, the programme keeps its corner and needs no pivot, unless that corner
    # was not optimal after all.
    for bounds in (right_hand_side + moved, right_hand_side):
        solver.changeRowsBounds(len(constraints), constraints, bounds, bounds)
        solver.run()
        n_iter += solver.getInfo().simplex_iteration_count
    solution = solver.getSolution()
    return -np.asarray(solution.row_dual), np.asarray(solution.col_value), n_iter


def dual_programme(X: Design, y: np.ndarray) -> highspy.Highs:
    """Return HiGHS with the dual programme of a design loaded, the right-hand side left at 0.

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)
    y : array of shape (n_rows,)

    Returns
    -------
    highspy.Highs
    """
    solver = highspy.Highs()
    # Presolve would throw away the basis that makes the next level cheap.
    options: dict[str, Any] = {"output_flag": False, "presolve": "off", "threads": 1}
    options |= {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
    for option, value in options.items():
        solver.setOptionValue(option, value)
    A = sp.csc_matrix(X.T)
    programme = highspy.HighsLp()
    programme.num_row_, programme.num_col_ = A.shape
    programme.col_cost_ = -y
    programme.col_lower_, programme.col_upper_ = np.zeros(len(y)), np.ones(len(y))
    programme.row_lower_ = programme.row_upper_ = np.zeros(A.shape[0])
    programme.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    programme.a_matrix_.start_, programme.a_matrix_.index_, programme.a_matrix_.value_ = A.indptr, A.indices, A.data
    solver.passModel(programme)
    return solver


def relative_duality_gap(
    X: Design, y: np.ndarray, tau: float, coef: np.ndarray, dual: np.ndarray
) -> float:
    r"""Return by which share, at most, the pinball loss of `coef` exceeds the least possible one.

    For any feasible dual point :math:`a`, primal minus dual objective is
    :math:`\sum_i r_i^+ (1 - a_i) + r_i^- a_i` with :math:`r = y - Xb`; every term is non-negative.

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)
    y : array of shape (n_rows,)
    tau : float
    coef : array of shape (n_features,)
    dual : array of shape (n_rows,)

    Returns
    -------
    float
        The gap over the pinball loss; infinity if `dual` violates its constraints, so that a wrong certificate
        is never taken for a right one.

    Examples
    --------
    >>> y, dual = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.5, 1.0])
    >>> relative_duality_gap(np.ones((3, 1)), y, 0.5, np.array([2.0]), dual)
    0.0
    """
    violation = np.abs(X.T @ (dual - (1 - tau)))
    allowed = 1e-7 * np.asarray(abs(X).sum(axis=0)).ravel()
    if (violation > allowed).any() or dual.min() < -1e-7 or dual.max() > 1 + 1e-7:
        return np.inf
    residual = y - X @ coef
    a = dual.clip(0, 1)
    gap = residual.clip(0) @ (1 - a) + (-residual).clip(0) @ a
    loss = pinball_loss(y, X @ coef, tau).sum()
    return float(gap / max(loss, 1e-12 * np.abs(y).sum() + np.finfo(float).tiny))


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
