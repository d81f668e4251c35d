r"""Quantile regression with many rows: near each quantile plane few rows matter, and the others are only added up.

A row that is surely above the plane has dual 1 and one surely below has dual 0; they enter the programme through
their sums. Given a good guess of the plane only the rows within a narrow band around it are left, of the order of
:math:`\sqrt n` of them, and the answer is optimal for all rows if none of the others changed its side (Portnoy and
Koenker, 1997): they can't if the plane moved by less than the band's width, else one pass over them tells. Good
guesses come from the neighbouring level (Chernozhukov, Fernandez-Val and Melly, 2022): a few coarse levels are solved
first, then the grid is walked outwards from each of them. Chapter 3.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from qrgmm.quantile_regression.interior_point import frisch_newton, nearest_vertex
from qrgmm.quantile_regression.simplex import dual_programme, nudge, solve_programme

N_COARSE = 7  # levels solved first, from a random subsample
BLOCK = 1 << 15  # pairs of level and row that one step of a pass over the rows holds
BATCH = 100_000  # numbers in one batch of small programmes, so that it stays in the processor's cache
TIE = 5e-10  # residuals up to this count as zero; their mean absolute value is about one
SAMPLED = 150  # rows inside the band that its width is estimated from
PUSH = 5.0  # how far the two sums are pushed away from the plane
CERTIFIED = 1e-9  # relative gap of a small programme that needs no second look
BAND_COARSE, BAND_FINE = 3.2, 8.0  # widths of the bands, tuned on normal, heavy-tailed and tied data


@dataclass(frozen=True)
class Rows:
    """The data in the layouts that passes over the rows need."""

    table: np.ndarray  # (n_rows, n_features + 1): X and y side by side
    columns: np.ndarray  # (n_features, n_rows)
    y: np.ndarray  # (n_rows,)
    totals: np.ndarray  # (n_features + 1,): sums over the rows of the table
    root: np.ndarray  # (n_features, n_features): a square root of X'X
    leverage: np.ndarray  # (n_rows,): square roots, by which a row's distance from the plane is measured
    nudge: np.ndarray  # (n_features,): singles out a corner where a level has many optima


def fit_by_screening(
    X: np.ndarray, y: np.ndarray, levels: np.ndarray, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all levels of a grid by screening.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Independent columns of comparable size.
    y : array of shape (n_rows,)
        With least squares taken out and a mean absolute value of one.
    levels : array of shape (n_levels,)
    n_threads : int

    Returns
    -------
    coef : array of shape (n_levels, n_features)
    gap : array of shape (n_levels,)
        Relative duality gap.
    n_iter : array of shape (n_levels,)
        Interior point steps.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(size=10_001)
    >>> coef, gap, n_iter = fit_by_screening(np.ones((10_001, 1)), y, np.array([0.25, 0.5]), n_threads=1)
    >>> coef.ravel() == np.quantile(y, [0.25, 0.5])
    array([ True,  True])
    """
    n_rows, n_features = X.shape
    n_levels = len(levels)
    coef = np.empty((n_levels, n_features))
    gap, n_iter = np.empty(n_levels), np.zeros(n_levels, dtype=int)
    coarse = np.unique(np.linspace(0, n_levels - 1, min(N_COARSE, n_levels)).round().astype(int))
    rows = _lay_out(X, y)

    def certify(which, guess, n_near):
        coef[which], gap[which], n_iter[which] = _certified(rows, levels[which], guess, n_near, pool)

    with ThreadPoolExecutor(n_threads) as pool:
        n_pilot = min(n_rows, int((BAND_COARSE * n_rows) ** (2 / 3) * n_features ** (1 / 3)))
        pilot = np.random.default_rng(0).choice(n_rows, n_pilot, replace=False)
        guess = _fit_pilot(rows, pilot, levels[coarse], pool)
        certify(coarse, guess, int(BAND_COARSE * n_rows / np.sqrt(n_pilot / n_features)))
        # Between coarse levels coefficients move like the quantiles of the residuals, not like the level itself.
        pace = np.quantile(y, levels) + 1e-9 * np.arange(n_levels)
        trend = np.column_stack([np.interp(pace, pace[coarse], each) for each in coef[coarse].T])
        n_near = int(BAND_FINE * np.sqrt(n_rows * n_features / n_levels)) + 2 * n_features
        for new, solved in _walk_outwards(n_levels, coarse):
            certify(new, coef[solved] + trend[new] - trend[solved], n_near)
    return coef, gap, n_iter


def _lay_out(X, y):
    n_rows = len(y)
    columns = np.ascontiguousarray(X.T)
    table = np.column_stack([X, y])
    root = np.linalg.cholesky(columns @ X)
    inverse_root = np.linalg.inv(root)
    blocks = [slice(i, i + 10_000) for i in range(0, n_rows, 10_000)]
    leverage = np.concatenate([np.sqrt(((inverse_root @ columns[:, b]) ** 2).sum(axis=0)) for b in blocks])
    # A row of zeros has no leverage; its side never depends on the plane.
    return Rows(table, columns, y, table.sum(axis=0), root, np.maximum(leverage, 1e-12), nudge(X))


def _fit_pilot(rows, pilot, levels, pool):
    """Rough coefficients from a random subsample, from a cold start."""
    X, y = np.ascontiguousarray(rows.columns[:, pilot])[None], rows.y[pilot][None]
    totals = X[0].sum(axis=1)

    def fit(part):
        start = np.zeros((len(part), X.shape[1]))  # least squares was taken out of y
        return frisch_newton(X, y, (1 - part)[:, None] * totals, start, part, tolerance=1e-3)[0]

    n_parts = min(len(levels), max(1, X.size * len(levels) // BATCH))
    return np.concatenate(list(pool.map(fit, np.array_split(levels, n_parts))))


def _walk_outwards(n_levels, coarse):
    """Yield (new, solved) pairs of index arrays: levels one further from the coarse ones, each beside a solved one."""
    every = np.arange(n_levels)
    distance = np.abs(every[:, None] - coarse).min(axis=1)
    for step in range(1, distance.max() + 1):
        new = np.flatnonzero(distance == step)
        yield new, np.where(distance[new - 1] < step, new - 1, np.minimum(new + 1, n_levels - 1))


def _certified(rows, levels, guess, n_near, pool):
    """Screen until every level is optimal for all rows; a level that fails gets a band twice as wide."""
    n_rows = len(rows.y)
    coef, gap, n_iter = guess.copy(), np.full(len(levels), np.inf), np.zeros(len(levels), dtype=int)
    todo = np.arange(len(levels))
    while len(todo):
        n_near = min(n_near, n_rows)
        found, found_gap, n_wrong, n_steps = _screen(rows, levels[todo], coef[todo], n_near, pool)
        done = (n_wrong == 0) & (found_gap < CERTIFIED) | (n_near == n_rows)
        # A nearly right plane is the better guess for the second band; a wrong one is not.
        better = done | (n_wrong < 0.1 * n_near) & (found_gap < 1e-4)
        coef[todo[better]] = found[better]
        gap[todo[done]] = np.where(n_wrong[done] == 0, found_gap[done], np.inf)
        n_iter[todo] += n_steps
        todo, n_near = todo[~done], 2 * n_near
    return coef, gap, n_iter


def _screen(rows, levels, guess, n_near, pool):
    """Solve the programmes of the rows near each plane; return coef, gap, far rows on the wrong side, and steps."""
    n_rows, everything = len(rows.y), n_near == len(rows.y)
    some = slice(None, None, max(1, n_near // SAMPLED))  # enough rows to tell how wide a band holds n_near of all
    distance = np.abs(rows.y[some] - guess @ rows.columns[:, some]) / rows.leverage[some]
    rank = min(distance.shape[1] - 1, n_near * distance.shape[1] // n_rows)
    width = np.full((len(levels), 1), np.inf) if everything else np.partition(distance, rank, axis=1)[:, rank, None]
    step = max(256, BLOCK // len(levels))
    blocks = [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]

    def split(block):
        residual = rows.y[block] - guess @ rows.columns[:, block]
        band = width * rows.leverage[block] + TIE
        above, below = residual > band, residual < -band
        level, row = np.divmod(np.flatnonzero(~(above | below)), residual.shape[1])  # nonzero takes twice as long
        sums = np.subtract(above, below, dtype=float) @ rows.table[block]
        return above, below, level, row + block.start, sums

    above, below, level, row, sums = zip(*pool.map(split, blocks))
    difference, level, row = sum(sums), np.concatenate(level), np.concatenate(row)
    order = np.argsort(level, kind="stable")
    near = np.split(row[order], np.cumsum(np.bincount(level, minlength=len(levels)))[:-1])
    # Sums over the rows above and below, from their difference and all that is not near.
    both = rows.totals - [rows.table[each].sum(axis=0) for each in near]
    far = np.stack([both + difference, both - difference]) / 2

    def solve(batch):
        return _solve_near(rows, levels[batch], guess[batch], near[batch], far[:, batch], everything)

    n_batch = max(1, min(64, BATCH // (n_near * rows.columns.shape[0])))
    batches = [slice(i, i + n_batch) for i in range(0, len(levels), n_batch)]
    coef, gap, n_steps = map(np.concatenate, zip(*pool.map(solve, batches)))

    # A row's residual moves by at most its leverage times this (Cauchy and Schwarz): within the band's width no far row
    # changes its side, and only levels that moved further need a second pass.
    moved = np.linalg.norm((coef - guess) @ rows.root, axis=1)
    doubtful = np.flatnonzero(moved > width[:, 0])

    def count_wrong(block, above, below):
        residual = rows.y[block] - coef[doubtful] @ rows.columns[:, block]
        return (above[doubtful] & (residual < -TIE) | below[doubtful] & (residual > TIE)).sum(axis=1)

    n_wrong = np.zeros(len(levels), dtype=int)
    n_wrong[doubtful] = sum(pool.map(count_wrong, blocks, above, below))
    return coef, gap, n_wrong, n_steps


def _solve_near(rows, levels, guess, near, far, cold):
    """Solve one batch of small programmes: the near rows and two that stand for all rows above and all below."""
    n_features, n_programmes = len(rows.columns), len(levels)
    X = np.zeros((n_programmes, n_features, 2 + max(map(len, near))))
    y = np.full((n_programmes, X.shape[2]), PUSH)  # a row of zeros with a positive response fills up a programme
    for i, each in enumerate(near):
        X[i, :, 2 : 2 + len(each)] = rows.columns[:, each]
        y[i, 2 : 2 + len(each)] = rows.y[each]
    X[:, :, :2] = far[:, :, :-1].transpose(1, 2, 0)
    # Pushed outwards, so that the two sums keep their sides and a small programme has a solution.
    y[:, :2] = far[:, :, -1].T + PUSH * np.array([1, -1])
    target = (1 - levels)[:, None] * rows.totals[:-1]
    start = {"levels": levels} if cold else {}
    found, dual, n_steps = frisch_newton(X, y, target, guess, **start)
    coef, unique = nearest_vertex(X, y, target, found, dual)
    for i in np.flatnonzero(~unique):
        coef[i], dual[i], _ = solve_programme(dual_programme(X[i].T, y[i]), target[i], rows.nudge)
    gap = np.where(unique, 0.0, _relative_gap(X, y, target, levels, coef, dual, near))
    return coef, gap, np.full(n_programmes, n_steps)


def _relative_gap(X, y, target, levels, coef, dual, near):
    """Duality gap over the pinball loss of all rows; infinite where the dual violates its constraint."""
    residual = y - np.vecmat(coef, X)
    above, below = residual.clip(0), (-residual).clip(0)
    dual = dual.clip(0, 1)
    gap = (above * (1 - dual) + below * dual).sum(axis=1)
    loss = levels * above.sum(axis=1) + (1 - levels) * below.sum(axis=1)
    # What was added to the responses is no part of the loss: the push of the two sums and the rows that fill up.
    n_filled = X.shape[2] - 2 - np.array([len(each) for each in near])
    loss -= PUSH * (1 + levels * n_filled)
    violation = np.matvec(X, dual) - target
    gap += np.abs(violation * coef).sum(axis=1)  # what a slightly infeasible dual may hide
    feasible = (np.abs(violation) <= 1e-7 * np.abs(X).sum(axis=2)).all(axis=1)
    return np.where(feasible, gap / np.maximum(loss, 1e-12), np.inf)
