r"""How sure a quantile plane is, from the rows alone: standard errors, intervals, and a test of its shape.

Fitted coefficients are, but for smaller terms, an average over rows of :math:`J^{-1} X_i b_i`, with :math:`b_i` a
row's rank score and :math:`J` the density of sales at the plane. A *sandwich* puts variances of sums together from it.
Rank scores alone, without :math:`J`, tell whether other columns would move the plane; turned round, that test is an
interval. Rows of one seller may depend on each other: all of this adds them up first. Chapter 5.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import lsq_linear
from statsmodels.regression.quantile_regression import hall_sheather

from qrgmm.checks import check_level, check_table
from qrgmm.quantile_regression.grid import fit_quantile_grid
from qrgmm.quantile_regression.settling import EPS

MAX_DOUBLINGS = 20  # of the way from the plane to the end of an interval, before it is called infinite
PRECISION = 1e-3  # of an interval's end, in standard errors


def rank_scores(X: ArrayLike, y: ArrayLike, tau: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Return a quantile plane and the regression rank score of each row, the dual weight of the linear programme.

    .. math:: b_i = a_i - (1 - \tau), \qquad \sum_i X_i b_i = 0

    with :math:`a_i = 1` above the plane, 0 below it, and in between on it.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        The design, as it is: no intercept is added. Columns must be independent.
    y : array of shape (n_rows,)
        Sales, in any unit.
    tau : float
        In (0, 1).

    Returns
    -------
    coef : array of shape (n_features,)
        In units of `y` per unit of the column.
    scores : array of shape (n_rows,), in [-(1 - tau), tau]

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, there are not more rows than columns, columns depend on each
        other, or `tau` lies outside (0, 1).

    Notes
    -----
    Gutenbrunner and Jureckova (1992), "Regression rank scores and regression quantiles"; chapters 3 and 5.

    Examples
    --------
    >>> coef, scores = rank_scores(np.ones((5, 1)), [3.0, 1.0, 5.0, 2.0, 4.0], 0.5)
    >>> coef, scores
    (array([3.]), array([ 0. , -0.5,  0.5, -0.5,  0.5]))
    """
    X, y = _checked(X, y)
    coef = fit_quantile_grid(X, y, [check_level("tau", tau)]).coef[0]
    return coef, _scores_at(X, y, tau, coef)


def plane_covariance(
    X: ArrayLike, y: ArrayLike, tau: float, groups: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return a quantile plane and the covariance of its coefficients, whatever the law around it is.

    .. math::
        \hat V = \hat J^{-1} \Bigl( \frac{G}{G - 1} \sum_g S_g S_g' \Bigr) \hat J^{-1}, \qquad
        S_g = \sum_{i \in g} X_i b_i, \qquad
        \hat J = \frac1c \sum_i \varphi\Bigl( \frac{y_i - X_i'\hat\beta}{c} \Bigr) X_i X_i'

    with :math:`b` the `rank_scores` and :math:`G` the number of groups. The bandwidth :math:`c` is how far apart the
    residuals' quantiles at :math:`\tau - h` and :math:`\tau + h` are, with Hall and Sheather's :math:`h`.

    Parameters
    ----------
    X, y, tau
        As in `rank_scores`.
    groups : array of shape (n_rows,), optional
        Whose row each is, where a seller has several; by default every row is a group of its own.

    Returns
    -------
    coef : array of shape (n_features,)
    covariance : array of shape (n_features, n_features)

    Raises
    ------
    ValueError
        As `rank_scores`; if groups have another shape, miss a name or are fewer than two; or if so many residuals are
        equal that there is no density.

    Notes
    -----
    Huber (1967); the kernel is Powell's (1991); Hall and Sheather (1988); for groups Parente and Santos Silva (2016),
    "Quantile regression with clustered data". R's quantreg measures :math:`c` by quantiles of a normal law with the
    residuals' spread, which is too wide near the foot of skewed sales. Chapter 5.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(size=400)
    >>> y = x + np.random.default_rng(1).normal(size=400)
    >>> coef, covariance = plane_covariance(np.column_stack([np.ones(400), x]), y, 0.5)
    >>> np.sqrt(np.diag(covariance)).round(2)  # of the limit law: 0.13 and 0.22
    array([0.13, 0.21])
    """
    X, y = _checked(X, y)
    codes = _codes(groups, len(y))
    coef, scores = rank_scores(X, y, tau)
    inverse = np.linalg.inv(X.T @ (_density_weights(y - X @ coef, tau)[:, None] * X))
    return coef, inverse @ _sum_of_squares(X * scores[:, None], codes) @ inverse


def sandwich_interval(
    X: ArrayLike, y: ArrayLike, tau: float, x_new: ArrayLike, confidence: float = 0.9, groups: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return intervals of the quantile of new rows, of a loan for example, by the `plane_covariance`.

    .. math:: x'\hat\beta \pm t_{G - 1} \sqrt{x' \hat V x}

    Parameters
    ----------
    X, y, tau, groups
        As in `plane_covariance`.
    x_new : array of shape (n_new, n_features) or (n_features,)
        Rows of the design. A row with a single one is a coefficient.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : arrays of shape (n_new,)
        In units of `y`.

    Raises
    ------
    ValueError
        As `plane_covariance`, or if new rows have other columns or the confidence lies outside (0, 1).

    Notes
    -----
    :math:`t` is a quantile of Student's law; G - 1 degrees are one less than the number of groups. Chapter 5.

    Examples
    --------
    >>> X = np.ones((1000, 1))
    >>> sales = np.random.default_rng(0).exponential(size=1000)
    >>> low, high = sandwich_interval(X, sales, 0.1, [1.0])
    >>> bool(low[0] < -np.log(0.9) < high[0])
    True
    """
    coef, covariance = plane_covariance(X, y, tau, groups)
    x_new = _checked_new(x_new, len(coef))
    error = np.sqrt(np.einsum("ij,jk,ik->i", x_new, covariance, x_new))
    side = _reach(confidence, groups, len(np.asarray(y))) * error
    return x_new @ coef - side, x_new @ coef + side


def rank_score_test(
    X: ArrayLike, y: ArrayLike, tau: float, added: ArrayLike, groups: ArrayLike | None = None
) -> tuple[float, float]:
    r"""Return whether more columns would move a quantile plane: a statistic, and how likely a larger one is by chance.

    .. math:: T = S' \hat V^{-1} S, \qquad S = \sum_i Z_i b_i

    where :math:`b` are the rank scores of the plane *without* the added columns and :math:`Z` is what :math:`X` leaves
    of these, at the density of sales at the plane; :math:`\hat V` adds up the squares of the groups' parts of
    :math:`S`. If the plane is right, :math:`T` follows the chi-square law with a degree for each added column. Squares
    and products make it a test of linearity.

    Parameters
    ----------
    X, y, tau, groups
        As in `plane_covariance`.
    added : array of shape (n_rows, n_added)

    Returns
    -------
    statistic : float
    p_value : float

    Raises
    ------
    ValueError
        As `plane_covariance`; if added columns have other rows, depend on the others, or are not fewer than the groups.

    Notes
    -----
    Gutenbrunner, Jureckova, Koenker and Portnoy (1993), "Tests of linear hypotheses based on regression rank scores",
    with the weights of Koenker and Machado (1999), so that the spread of sales may differ from row to row. Without
    groups :math:`\hat V` estimates their :math:`\tau (1 - \tau) Z'Z`. Chapter 5.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(size=(500, 1))
    >>> X, noise = np.column_stack([np.ones(500), x]), np.random.default_rng(1).exponential(size=500)
    >>> rank_score_test(X, X[:, 1] + noise, 0.2, x**2)[1] > 0.05 > rank_score_test(X, x[:, 0]**2 + noise, 0.2, x**2)[1]
    True
    """
    X, y = _checked(X, y)
    codes, added = _codes(groups, len(y)), check_table("added", added, "n_added")
    if len(added) != len(y):
        raise ValueError(f"added must have {len(y)} rows like X, got {len(added)}")
    coef, scores = rank_scores(X, y, tau)
    rest = _rest(added, X, _density_weights(y - X @ coef, tau))
    sizes = np.linalg.norm(added, axis=0)
    if added.shape[1] >= codes.max() + 1 or np.linalg.matrix_rank(rest / np.where(sizes, sizes, 1), 1e-9) < len(sizes):
        got = f"got {added.shape[1]} for {codes.max() + 1:,} groups"
        raise ValueError(f"added must be fewer than the groups, none of them depending on X or the others; {got}")
    parts = rest * scores[:, None] / sizes
    total = parts.sum(axis=0)
    statistic = float(total @ np.linalg.solve(_sum_of_squares(parts, codes), total))
    return statistic, float(stats.chi2.sf(statistic, added.shape[1]))


def rank_score_interval(
    X: ArrayLike, y: ArrayLike, tau: float, x: ArrayLike, confidence: float = 0.9, groups: ArrayLike | None = None
) -> tuple[float, float]:
    r"""Return an interval of the quantile at one row: the values that a `rank_score_test` does not refuse.

    The design is written with :math:`\theta = x'\beta` as one of its coefficients, :math:`X\beta = z\theta + W\gamma`.
    A value of :math:`\theta` is refused where the rank scores of :math:`y - z\theta` on :math:`W` go with what
    :math:`W` leaves of :math:`z`.

    Parameters
    ----------
    X, y, tau, confidence, groups
        As in `sandwich_interval`.
    x : array of shape (n_features,)
        A row of the design, of which one number is not 0. A row with a single one is a coefficient.

    Returns
    -------
    low, high : float
        In units of `y`; infinite where no value is refused. To a thousandth of a standard error.

    Raises
    ------
    ValueError
        As `sandwich_interval`, or if `x` is 0.

    Notes
    -----
    Koenker (1994), "Confidence intervals for regression quantiles"; Koenker (2005), section 3.5. The interval need not
    be symmetric. It refits at every value that it tries. Chapter 5.

    Examples
    --------
    >>> low, high = rank_score_interval(np.ones((99, 1)), np.arange(1.0, 100), 0.5, [1.0])
    >>> round(low), round(high)  # order statistics, as far from the middle as the binomial law asks for
    (42, 58)
    """
    design, sales = _checked(X, y)
    row: np.ndarray = _checked_new(x, design.shape[1])[0]
    codes, reach = _codes(groups, len(sales)), _reach(confidence, groups, len(sales))
    pivot = int(np.argmax(np.abs(row) * np.linalg.norm(design, axis=0)))
    if row[pivot] == 0:
        raise ValueError("x must have a number that is not 0")
    z = design[:, pivot] / row[pivot]
    W = np.delete(design - np.outer(z, row), pivot, axis=1)
    coef, covariance = plane_covariance(design, sales, tau, groups)
    at, error = row @ coef, np.sqrt(row @ covariance @ row)
    rest = _rest(z[:, None], W, _density_weights(sales - design @ coef, tau))[:, 0]
    # At the plane itself: far from it all rows lie on one side, and their scores would vary too little.
    spread = np.sqrt(_sum_of_squares((rest * _scores_at(design, sales, tau, coef))[:, None], codes).item())

    def is_refused(theta, side):
        shifted = sales - theta * z
        gamma = fit_quantile_grid(W, shifted, [tau]).coef[0] if W.shape[1] else np.zeros(0)
        return -side * (rest @ _scores_at(W, shifted, tau, gamma)) > reach * spread

    return _find_end(is_refused, at, error, -1), _find_end(is_refused, at, error, 1)


def _find_end(is_refused, at, error, side):
    """Walk away from the plane until a value is refused, and halve the last step until it is short."""
    inside, step = at, error
    for _ in range(MAX_DOUBLINGS):
        if is_refused(outside := at + side * step, side):
            break
        inside, step = outside, 2 * step
    else:
        return side * np.inf
    while abs(outside - inside) > PRECISION * error:
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if is_refused(middle, side) else (middle, outside)
    return float((inside + outside) / 2)


def _scores_at(X, y, tau, coef) -> np.ndarray:
    residual = y - X @ coef
    rounding = 1e-9 * np.abs(residual).mean() + 64 * EPS * (np.abs(y) + np.abs(X) @ np.abs(coef)).max()
    on = np.abs(residual) <= rounding if X.shape[1] else residual == 0
    dual = np.where(on, 0.0, residual > 0)
    if on.any() and X.shape[1]:
        target = (1 - tau) * X.sum(axis=0) - dual @ X
        sizes = np.abs(X).max(axis=0)
        dual[on] = lsq_linear(X[on].T / sizes[:, None], target / sizes, (0, 1), "bvls").x
    return dual - (1 - tau)


def _density_weights(residual, tau):
    """Return what each row counts in the density of sales at the plane."""
    h = hall_sheather(len(residual), tau)
    while h >= min(tau, 1 - tau):
        h /= 2
    low, high = np.quantile(residual, [tau - h, tau + h])
    if not high > low:
        raise ValueError(f"y must vary around its plane at level {tau:g}, got equal residuals from {tau - h:.3g} on")
    return stats.norm.pdf(residual / (high - low)) / (high - low)


def _rest(added, X, weights):
    """Return what a weighted regression on X leaves of added columns."""
    weighted = weights[:, None] * X
    return added - X @ np.linalg.solve(X.T @ weighted, weighted.T @ added) if X.shape[1] else added


def _sum_of_squares(parts, codes):
    """Return the variance of a sum whose parts depend on each other within groups."""
    n_groups = codes.max() + 1
    sums = np.zeros((n_groups, parts.shape[1]))
    np.add.at(sums, codes, parts)
    return n_groups / (n_groups - 1) * sums.T @ sums


def _reach(confidence, groups, n_rows):
    n_groups = _codes(groups, n_rows).max() + 1
    return stats.t.ppf((1 + check_level("confidence", confidence)) / 2, n_groups - 1)


def _codes(groups, n_rows) -> np.ndarray:
    """Return a number for the group of each row."""
    if groups is None:
        return np.arange(n_rows)
    codes = pd.factorize(np.asarray(groups))[0] if np.shape(groups) == (n_rows,) else np.array([-1])
    if codes.min() < 0 or codes.max() < 1:
        got = f"{codes.max() + 1} in shape {np.shape(groups)}"
        raise ValueError(f"groups must have shape ({n_rows},), with at least two groups and none missing, got {got}")
    return codes


def _checked(X, y) -> tuple[np.ndarray, np.ndarray]:
    X, y = check_table("X", X, "n_features"), np.asarray(y, dtype=float)
    n_rows, n_features = X.shape
    if y.shape != (n_rows,):
        raise ValueError(f"y must have shape ({n_rows},) like the rows of X, got {y.shape}")
    sizes = np.abs(X).max(axis=0)
    rank = np.linalg.matrix_rank(X / np.where(sizes > 0, sizes, 1), 1e-9 * np.sqrt(n_rows))
    if n_rows <= n_features or rank < n_features:
        got = f"{n_rows} rows and {rank} independent columns of {n_features}"
        raise ValueError(f"X must have more rows than columns and independent columns, got {got}")
    return X, y


def _checked_new(x_new, n_features) -> np.ndarray:
    x_new = check_table("x_new", x_new, "n_features")
    if x_new.shape[1] != n_features:
        raise ValueError(f"x_new must have {n_features} columns like X, got {x_new.shape[1]}")
    return x_new
