r"""Linear quantile regression on a grid of levels by the dual simplex method, and its certificate.

From level to level only the right-hand side of the dual programme changes, so that the basis that was optimal at one
level is a few pivots away from the next. HiGHS does the pivoting.

An optimum need not be unique: where a level times the number of rows of a category is a whole number, a whole face of
coefficients is optimal, and the last bit of a sum would decide at which corner a solver ends. So each row's level is
moved by a tiny amount of its own, always the same one, and then moved back: the corner that was optimal for the moved
levels is optimal for those asked for, and it is the same corner on every machine. It is the perturbation that
lexicographic pivoting stands for. Chapter 3.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import highspy
import numpy as np
import scipy.sparse as sp

from qrgmm.loss import pinball_loss

Design: TypeAlias = np.ndarray | sp.sparray | sp.spmatrix

N_RUNS = 2  # into which the grid is cut, on any machine
# By how much a row's level moves at most: far above the tolerance of the solver, far below the steps between levels.
NUDGE = 1e-6


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
