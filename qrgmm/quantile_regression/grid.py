r"""Linear quantile regression on a whole grid of levels, exact, with a duality-gap certificate.

At level :math:`\tau` the coefficients solve a linear programme whose dual has one variable per row:

.. math::
    \min_b \sum_i \rho_\tau(y_i - x_i'b)
    \;=\; \max_a \; y'a - (1 - \tau)\, y'1 \quad\text{s.t.}\quad X'a = (1 - \tau) X'1,\; 0 \le a \le 1 .

Two ways to solve it, chosen by the shape of the data; both are exact and certify themselves. With many rows to a column
*screening* keeps the rows near the plane and adds up the others (`qrgmm.quantile_regression.screening`). With few rows
to a column, as with one-hot designs, the *simplex* method walks from level to level
(`qrgmm.quantile_regression.simplex`). Where an optimum is not unique, both end at the same one of them on every
machine. Chapter 3 derives the pair of programmes and compares the result with statsmodels.
"""

import os
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.linalg import qr, solve_triangular
from scipy.linalg.lapack import dpstrf

from qrgmm.checks import check_levels
from qrgmm.quantile_regression.screening import fit_by_screening
from qrgmm.quantile_regression.settling import EPS, settle
from qrgmm.quantile_regression.simplex import Design, fit_by_simplex

GAP_TOLERANCE = 1e-6
MAX_DENSE = 100_000_000  # numbers in a sparse design that may be made dense to see which columns are independent
LARGEST = 1e75  # up to which products of columns and weights can be formed; its reciprocal is the smallest
DEPENDENT = 1e-9  # distance from the span of the others, relative to its size, up to which a column is left out
# With fewer rows screening leaves too many near the plane to pay; rows of zeros in a column do not count, since the
# simplex method skips them.
MIN_ROWS, MIN_ROWS_PER_COLUMN = 1_000, 20


@dataclass(frozen=True)
class QuantileGridFit:
    """Coefficients of one linear quantile regression per level, each with its certificate.

    Attributes
    ----------
    levels : array of shape (n_levels,)
    coef : array of shape (n_levels, n_features)
        In units of `y` per unit of the column.
    gap : array of shape (n_levels,)
        Relative duality gap: the pinball loss is at most this share above the least possible one.
    n_iter : array of shape (n_levels,)
        Simplex pivots or interior point steps.
    """

    levels: np.ndarray
    coef: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray


def fit_quantile_grid(
    X: ArrayLike | Design,
    y: ArrayLike,
    levels: ArrayLike,
    weights: ArrayLike | None = None,
    n_threads: int | None = None,
) -> QuantileGridFit:
    r"""Fit a linear quantile regression at every level of a grid.

    Parameters
    ----------
    X : array or scipy sparse matrix of shape (n_rows, n_features)
        The design, as it is: no intercept is added. Dependent columns are allowed: those that the others make
        superfluous get the coefficient 0, and the fitted quantiles are optimal all the same. An optimum need not be
        unique, for example where a level times the number of rows of a category is a whole number: then it is the one
        at which levels that differ a little from row to row would end, see `qrgmm.quantile_regression.simplex`.
    y : array of shape (n_rows,)
    levels : array of shape (n_levels,)
        Strictly increasing, in (0, 1).
    weights : array of shape (n_rows,), optional
        Positive; the loss of a row counts so many times.
    n_threads : int, optional
        By default one per core, or as many as the environment variable OMP_NUM_THREADS allows. Fits are the same.

    Returns
    -------
    QuantileGridFit
        With `coef` (n_levels, n_features) and, per level, the relative duality gap and the number of steps.

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite or so large or small that their products are not (beyond 1e75, or
        a column or weight below 1e-75), weights are not positive, or levels are unsorted or outside (0, 1).

    Warns
    -----
    RuntimeWarning
        If a level ends with a relative gap above 1e-6, or with a row on the wrong side of its plane, which counts as
        an infinite gap; the message names the levels. If a sparse design of more than 1e8 numbers, zeros counted, has
        columns at a relative distance of 1e-9 to about 1e-5 from the span of the others, which are left out although
        they are independent; the message names the columns.

    Notes
    -----
    The linear programme is that of Koenker and Bassett (1978); chapter 3.

    Examples
    --------
    >>> X = np.ones((5, 1))
    >>> fit = fit_quantile_grid(X, np.array([3.0, 1.0, 5.0, 2.0, 4.0]), [0.25, 0.5, 0.75])
    >>> fit.coef.ravel()
    array([2., 3., 4.])
    """
    X, y, levels = _checked(X, y, levels)
    if weights is not None:
        weights = _checked_weights(weights, y)
        X, y = _scale_rows(X, weights), y * weights
    columns, design, root = _independent_columns(X)
    # Tolerances mean the same for all data once least squares is taken out and the rest has size one.
    shift, rest = _least_squares(design, y)
    rest_size = np.abs(rest).mean()
    coef = np.zeros((len(levels), X.shape[1]))
    own_sizes = np.abs(y) + abs(design) @ np.abs(shift)
    if (np.abs(rest) <= 4 * EPS * own_sizes).all():  # one plane through all rows is every quantile of them
        coef[:, columns] = solve_triangular(root, shift)
        return QuantileGridFit(levels, coef, np.zeros(len(levels)), np.zeros(len(levels), dtype=int))
    n_threads = n_threads or allowed_cores()
    many_rows = not sp.issparse(X) and X.shape[0] >= MIN_ROWS
    pays = many_rows and len(columns) and np.count_nonzero(design) / len(columns) >= MIN_ROWS_PER_COLUMN * len(columns)
    fit = fit_by_screening if pays else fit_by_simplex
    found, gap, n_iter = fit(design, rest / rest_size, levels, n_threads)
    coef[:, columns] = solve_triangular(root, (found * rest_size + shift).T).T
    kept = X if len(columns) == X.shape[1] else X[:, columns]
    # Well beyond the tolerances of the solvers; of many rows some are always near, and most were told apart by sign.
    near = (1e-7 if pays else 1e-6) * rest_size + 8 * EPS * own_sizes.max()
    for j in _contested(kept, y, coef[:, columns], near):
        settled = settle(kept, np.asarray(y), levels[j], coef[j, columns])
        if settled is None:
            gap[j] = np.inf
        else:
            coef[j, columns] = settled[0]
    uncertified = levels[~(gap <= GAP_TOLERANCE)]
    if len(uncertified):
        message = f"relative duality gap above {GAP_TOLERANCE:g} at levels {uncertified.tolist()}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return QuantileGridFit(levels, coef, gap, n_iter)


def _contested(X, y, coef, near):
    """Return the levels at which a row is so near the plane that the solver took it for a tie, and is none.

    Only its own size tells: rounding of a small response is smaller than that of a large one.
    """
    magnitude = np.maximum(np.abs(y), np.abs(y)[y != 0].min(initial=np.inf))
    contested = []
    for j, each in enumerate(coef):
        residual = y - X @ each
        rows = np.flatnonzero(np.abs(residual) <= near)
        allowed = 64 * EPS * magnitude[rows]
        if (np.abs(residual[rows]) <= allowed).all():
            continue
        on_plane, distance = X[rows], residual[rows]
        allowed = np.maximum(allowed, 4 * EPS * (abs(on_plane) @ np.abs(each)))
        if (np.abs(distance) <= allowed).all():
            continue
        # Of true ties the solver comes as near to the plane that meets them all as rounding of usual sizes allows.
        usual = (np.abs(distance) <= 1e-13 * magnitude[rows] + allowed).all()
        if not (usual and _vanishes(on_plane, distance, allowed)):
            contested.append(j)
    return contested


def _vanishes(X, y, allowed):
    """Say whether a plane leaves nothing of the responses but rounding."""
    try:
        return (np.abs(_least_squares(X, y)[1]) <= allowed).all()
    except np.linalg.LinAlgError:
        return False


def _independent_columns(X):
    """Return a largest set of independent columns, a design that spans them and is well conditioned, and their link.

    The design times the upper triangular link is the chosen columns. Where the columns are plainly independent the
    design is the columns, scaled; where some nearly depend on others, it is an orthogonal basis.
    """
    gram = (X.T @ X).toarray() if sp.issparse(X) else X.T @ X
    sizes = np.sqrt(np.diag(gram) / X.shape[0])
    nonzero = np.flatnonzero(sizes)
    correlation = gram[np.ix_(nonzero, nonzero)] / np.outer(sizes[nonzero], sizes[nonzero]) / X.shape[0]
    # Of columns that could each do without the others the first ones stay, and not those that rounding prefers.
    ranks = np.linspace(1, 0.999, len(nonzero))
    factor, pivots, rank, _ = dpstrf(correlation * np.outer(ranks, ranks), tol=1e-14)
    pivot_sizes = np.diag(factor)[:rank]  # how far each column lies from the span of those before it
    too_large = sp.issparse(X) and X.shape[0] * X.shape[1] > MAX_DENSE
    if pivot_sizes.min(initial=1.0) > 1e-2 or too_large:
        columns = nonzero[np.sort(pivots[:rank][pivot_sizes > 1e-5] - 1)]
        others = np.setdiff1d(nonzero, columns)
        kept = X if len(columns) == X.shape[1] else X[:, columns]  # a choice of columns is a slow copy
        design = _scale_columns(kept, 1 / sizes[columns])
        lost = others[_distances(design, X, others) > DEPENDENT]
        if too_large and len(lost):
            message = f"columns {lost.tolist()} of X nearly depend on others and were left out"
            warnings.warn(f"{message}: X is too large to be made dense", RuntimeWarning, stacklevel=3)
        if too_large or not len(lost):
            return columns, design, np.diag(sizes[columns])
    dense = X.toarray() if sp.issparse(X) else X
    link, order = qr(dense[:, nonzero] / sizes[nonzero] * ranks, mode="r", pivoting=True)
    distances = np.abs(np.diag(link))
    columns = nonzero[np.sort(order[: len(distances)][distances > DEPENDENT * distances[0]])]
    basis, root = qr(dense[:, columns], mode="economic")
    return columns, basis * np.sqrt(len(basis)), root / np.sqrt(len(basis))


def _distances(design, X, others):
    """Return how far some columns of X lie from the span of the design's, relative to their sizes."""
    distances = np.empty(len(others))
    n_each = max(1, MAX_DENSE // X.shape[0])
    for part in range(0, len(others), n_each):
        dense = X[:, others[part : part + n_each]]
        dense = dense.toarray() if sp.issparse(dense) else dense
        _, rest = _least_squares(design, dense)  # the products of columns don't see distances below 1e-8
        distances[part : part + n_each] = np.linalg.norm(rest, axis=0) / np.linalg.norm(dense, axis=0)
    return distances


def _least_squares(X, y):
    """Return coefficients and residuals; solved twice, since the residuals of a perfect fit must be seen to vanish."""
    gram = (X.T @ X).toarray() if sp.issparse(X) else X.T @ X
    coef = np.linalg.solve(gram, X.T @ y)
    coef = coef + np.linalg.solve(gram, X.T @ (y - X @ coef))
    return coef, y - X @ coef


def allowed_cores() -> int:
    """Return how many cores this process may use: all, unless they are shared out, as joblib and Dask do in workers.

    Returns
    -------
    int
        At least 1; what the variable OMP_NUM_THREADS says, where it is a whole number above 0.

    Examples
    --------
    >>> allowed_cores() >= 1
    True
    """
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) else os.cpu_count() or 1


def _scale_columns(X, factors):
    if sp.issparse(X):
        return (X @ sp.diags_array(factors)).tocsr()
    return np.multiply(X, factors, order="F")  # column by column however X lies, so that rounding does not depend on it


def _scale_rows(X, factors):
    return (sp.diags_array(factors) @ X).tocsr() if sp.issparse(X) else X * factors[:, None]


def _checked_weights(weights, y) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    if weights.shape != y.shape:
        raise ValueError(f"weights must have shape {y.shape} like y, got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"weights must be positive and finite, got {weights.min():g}")
    for each in (weights.min(), weights.max()):
        if not 1 / LARGEST <= each <= LARGEST:
            raise ValueError(f"weights must lie in [{1 / LARGEST:g}, {LARGEST:g}], got {each:g}")
    return weights


def _checked(X, y, levels) -> tuple[Design, np.ndarray, np.ndarray]:
    X = X.tocsr().astype(float) if sp.issparse(X) else np.asarray(X, dtype=float)
    y = np.asarray(y, dtype=float)
    levels = np.atleast_1d(levels)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_rows, n_features) with at least one of each, got {X.shape}")
    if y.shape != X.shape[:1]:
        raise ValueError(f"y must have shape ({X.shape[0]},) like the rows of X, got {y.shape}")
    for name, values in (("X", X.data if sp.issparse(X) else X), ("y", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    sizes = np.ravel(abs(X).max(axis=0).toarray() if sp.issparse(X) else np.abs(X).max(axis=0))
    outside = np.flatnonzero((sizes > LARGEST) | (sizes > 0) & (sizes < 1 / LARGEST))
    if len(outside):
        expected = f"largest absolute values that are 0 or from {1 / LARGEST:g} to {LARGEST:g}"
        raise ValueError(f"columns of X must have {expected}, got {sizes[outside[0]]:g} in column {outside[0]}")
    if (largest := np.abs(y).max()) > LARGEST:
        raise ValueError(f"y must have absolute values of at most {LARGEST:g}, got {largest:g}")
    return X, y, check_levels(levels)
