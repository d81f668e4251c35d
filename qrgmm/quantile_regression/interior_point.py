r"""Small quantile regressions in batches: the Frisch-Newton interior point method, and the vertex it points at.

A batch holds one linear programme per level, all of the same size,

.. math:: \max_a\; y'a \quad\text{s.t.}\quad X a = g, \; 0 \le a \le 1,

whose multipliers are the coefficients :math:`b`. Batching turns a hundred small factorisations into a few large array
operations. `screening` makes the batches; chapter 3 derives the programme.
"""

import numpy as np

# Share of the way to the boundary that a step may go; a cold start stays more central.
STEP_WARM, STEP_COLD = 0.9995, 0.95
MAX_STEPS_WARM, MAX_STEPS_COLD = 30, 200
INSIDE = 1e-7  # how far inside (0, 1) a dual is not taken for 0 or 1 after rounding


def frisch_newton(
    X: np.ndarray,
    y: np.ndarray,
    target: np.ndarray,
    coef: np.ndarray,
    levels: np.ndarray | None = None,
    tolerance: float = 1e-12,
) -> tuple[np.ndarray, np.ndarray, int]:
    r"""Solve a batch of dual programmes by Mehrotra's predictor-corrector method.

    Parameters
    ----------
    X : array of shape (n_batch or 1, n_features, n_rows)
    y : array of shape (n_batch or 1, n_rows)
    target : array of shape (n_batch, n_features)
        The right-hand side :math:`g`.
    coef : array of shape (n_batch, n_features)
        Where to start.
    levels : array of shape (n_batch,), optional
        If given, `coef` is a poor guess and the method starts cold at the feasible point :math:`a = 1 - \tau`. Else
        it is a good one, and the first two rows are sums over rows far from the plane.
    tolerance : float
        On the duality gap, relative to the sum of absolute residuals.

    Returns
    -------
    coef : array of shape (n_batch, n_features)
    dual : array of shape (n_batch, n_rows)
    n_steps : int

    Examples
    --------
    >>> X, y, levels = np.ones((1, 1, 5)), np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), np.array([0.3, 0.5])
    >>> target = (1 - levels)[:, None] * X.sum(axis=2)
    >>> coef, dual, _ = frisch_newton(X, y, target, np.zeros((2, 1)), levels)
    >>> coef.ravel().round(6), dual.round(6)[1]
    (array([2., 3.]), array([0. , 0. , 0.5, 1. , 1. ]))
    """
    warm = levels is None
    residual = y - np.vecmat(coef, X)
    n_rows = residual.shape[1]
    scale = np.maximum(np.abs(residual).sum(axis=1), 1e-6 * np.abs(y).sum(axis=1)) + np.finfo(float).tiny
    # Slacks: above - below = residual, both positive. Rows far above the plane get dual 1, far below 0. How far is far
    # the near rows tell, not the two in front, which stand for the sums over all others.
    far = 0.5 * np.abs(residual[:, 2:]).mean(axis=1) + 1e-4 if warm else 0.1 * scale / n_rows
    above = residual.clip(0) + far[:, None]
    below = above - residual
    dual = above / (above + below) if levels is None else np.zeros_like(above) + (1 - levels)[:, None]
    rest = 1 - dual
    infeasible = target - np.matvec(X, dual)
    slack = 1e-10 * np.abs(np.matvec(X, np.ones_like(above))).max(axis=1)
    n_steps = 0
    while n_steps < (MAX_STEPS_WARM if warm else MAX_STEPS_COLD):
        gap = (dual * below + rest * above).sum(axis=1)
        live = (gap > tolerance * scale) | (np.abs(infeasible).max(axis=1) > slack)
        if not live.any():
            break
        ratio_below, ratio_above = below / dual, above / rest
        weight = 1 / (ratio_below + ratio_above)
        solve = _factor(X, weight)
        # Predictor: the step that would close the gap if the slacks' products were linear.
        d_dual = weight * (residual - np.vecmat(solve(residual, infeasible), X))
        up, down = d_dual / dual, d_dual / rest
        step_dual = 1 / np.maximum(np.maximum(-up.min(axis=1), down.max(axis=1)), 1)
        step_coef = 1 / np.maximum(np.maximum(1 + up.max(axis=1), 1 - down.min(axis=1)), 1)
        d_below, d_above = below * up, above * down
        left = gap * (1 - step_coef) - step_dual * step_coef * ((d_below + d_above) * d_dual).sum(axis=1)
        left += ((below - above) * d_dual).sum(axis=1) * (step_dual * (1 - step_coef) - step_coef)
        centre = (gap * (left / gap).clip(0, 1) ** 3 / (2 * n_rows))[:, None]
        # Corrector: the same factor, with centring and the products that the predictor left out.
        d_below = centre / dual + d_below * (up + 1)
        d_above = centre / rest + d_above * (down - 1)
        d_dual = residual + d_below - d_above
        d_coef = solve(d_dual, infeasible)
        d_dual = weight * (d_dual - np.vecmat(d_coef, X))
        d_below -= below + ratio_below * d_dual
        d_above += ratio_above * d_dual - above
        longest = (STEP_WARM if warm else STEP_COLD) * live
        bound = np.maximum(-(d_dual / dual).min(axis=1), (d_dual / rest).max(axis=1))
        step_dual = np.minimum(live, longest / np.maximum(bound, 1e-9))[:, None]
        bound = -np.minimum((d_below / below).min(axis=1), (d_above / above).min(axis=1))
        step_coef = np.minimum(live, longest / np.maximum(bound, 1e-9))[:, None]
        dual += step_dual * d_dual
        rest -= step_dual * d_dual
        coef = coef + step_coef * d_coef
        below += step_coef * d_below
        above += step_coef * d_above
        infeasible *= 1 - step_dual
        residual = above - below
        n_steps += 1
    return coef, dual, n_steps


def nearest_vertex(
    X: np.ndarray, y: np.ndarray, target: np.ndarray, coef: np.ndarray, dual: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the solution that interpolates the rows whose dual is furthest from 0 and 1, if it is the only optimum.

    A vertex fixes as many rows as there are coefficients. It is optimal, with a duality gap of zero, if the duals that
    balance the other rows' lie in [0, 1], and no other solution is if none of them is 0 or 1; that is checked, so a
    wrong guess does no harm.

    Parameters
    ----------
    X : array of shape (n_batch, n_features, n_rows)
    y : array of shape (n_batch, n_rows)
    target, coef : array of shape (n_batch, n_features)
    dual : array of shape (n_batch, n_rows)

    Returns
    -------
    coef : array of shape (n_batch, n_features)
        That of the vertex where it is the only optimum, else as given.
    unique : array of bool of shape (n_batch,)
    """
    n_features = X.shape[1]
    basis = np.argpartition(np.abs(dual - 0.5), n_features, axis=1)[:, :n_features]
    batch = np.arange(len(coef))[:, None]
    X_basis = X.transpose(0, 2, 1)[batch, basis]
    try:
        vertex = np.linalg.solve(X_basis, y[batch, basis][..., None])[..., 0]
        others = (y > np.vecmat(vertex, X)).astype(float)
        others[batch, basis] = 0
        balance = (target - np.matvec(X, others))[..., None]
        basis_dual = np.linalg.solve(X_basis.transpose(0, 2, 1), balance)[..., 0]
    except np.linalg.LinAlgError:
        return coef, np.zeros(len(coef), dtype=bool)
    unique = np.all((basis_dual > INSIDE) & (basis_dual < 1 - INSIDE), axis=1)
    return np.where(unique[:, None], vertex, coef), unique


def _factor(X, weight):
    """Return a function that solves (X W X') d = X W v - infeasible for a batch of right-hand sides."""
    weighted = X * weight[:, None]
    normal = weighted @ X.transpose(0, 2, 1)
    ridge = 1e-14 * np.trace(normal, axis1=1, axis2=2)
    normal += ridge[:, None, None] * np.eye(X.shape[1])
    return lambda v, infeasible: np.linalg.solve(normal, (np.matvec(weighted, v) - infeasible)[..., None])[..., 0]
