"""Past sellers like a new one: the nearest laws of sales, and how many of them would not have repaid the loan.

Alike in what counts, their law of sales, and not in every column of the row. Chapter 19.
"""

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from tqdm import tqdm

from qrgmm.checks import check_count
from qrgmm.curve import QuantileCurve
from qrgmm.quantile_regression.grid import allowed_cores
from qrgmm.risk import default_probability

LAWS = 2_000  # that are compared at a time: what bounds the memory, and what one process is given
FIRST = 5  # times as many laws as are wanted are looked at first
# Levels between which the means of laws are compared first: all of them, and the larger parts that start at these.
MARKS, COARSE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0, 2, 5, 8)


def law_distances(curve: QuantileCurve, others: QuantileCurve) -> np.ndarray:
    r"""Return the Wasserstein distance of every law of one curve to every law of another, exactly.

    .. math:: W(Q, Q') = \int_0^1 |Q(u) - Q'(u)|\, du

    The difference of two quantile functions is linear between the levels of either, so each piece is a trapezium, or
    two triangles where it changes sign.

    Parameters
    ----------
    curve, others : QuantileCurve
        On the same levels, (n_rows,) and (n_others,) laws; or cut by `QuantileCurve.clip`, at levels of their own.

    Returns
    -------
    array of shape (n_rows, n_others), in units sold

    Raises
    ------
    ValueError
        If the levels differ, and neither was cut.

    Notes
    -----
    Chapters 9 and 19.

    Examples
    --------
    >>> law_distances(QuantileCurve([0.25, 0.75], [1.0, 3.0]), QuantileCurve([0.25, 0.75], [[2.0, 2.0], [2.0, 4.0]]))
    array([[0.75, 1.  ]])
    """
    (level, value), (levels, values) = _check_levels(curve, others)
    distances = np.empty((len(curve), len(others)))
    for i in range(len(curve)):
        law = level[i] if level.ndim == 2 else level, value[i]
        distances[i] = _distances_to(law, levels, values)
    return distances


def nearest_laws(
    curve: QuantileCurve, others: QuantileCurve, n_nearest: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return which laws of another curve are nearest to every law of one, without all distances in memory.

    No distance is below the sum of the differences of the means over parts of the levels,

    .. math:: W(Q, Q') \ge \sum_k \left| \int_{u_{k-1}}^{u_k} Q(u) - Q'(u)\, du \right| ,

    so that a tree of the means over four parts finds the laws that can be nearest, the means over twelve rule out most
    of them, and only the rest are looked at. Where there are many laws, blocks of them go to a process a core.

    Parameters
    ----------
    curve, others : QuantileCurve
        As in `law_distances`.
    n_nearest : int
        At most all are returned.
    progress : bool
        Show a bar.

    Returns
    -------
    rows, distances : arrays of shape (n_rows, n_nearest)
        Rows of `others`, the nearest first, the lower row first where distances are equal up to rounding; and how far,
        in units sold.

    Raises
    ------
    ValueError
        As `law_distances`.

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> curve, others = QuantileCurve([0.5], [[3.0]]), QuantileCurve([0.5], [[9.0], [2.0], [3.5], [4.0]])
    >>> nearest_laws(curve, others, 3)
    (array([[2, 1, 3]]), array([[0.5, 1. , 1. ]]))
    """
    (level, value), (levels, values) = _check_levels(curve, others)
    n_nearest = min(check_count("n_nearest", n_nearest), len(others))
    rows, distances = np.empty((len(curve), n_nearest), dtype=int), np.empty((len(curve), n_nearest))
    means, others_means = (np.concatenate([_part_means(*_take_laws(each, block)) for block in _blocks(each)])
                           for each in ((level, value), (levels, values)))  # fmt: skip
    # Many laws may be equal, which a balanced tree takes long to part. What is near in the tree lies side by side.
    order = cKDTree(_merge(others_means), balanced_tree=False).indices
    others_means = others_means[order]
    tree, rounding = cKDTree(_merge(others_means), balanced_tree=False), 1e-12 * (1 + np.abs(others_means).max())
    blocks, own = _blocks((level, value)), _take_laws((levels, values), order)
    search = delayed(_find_nearest)
    found = Parallel(min(allowed_cores(), len(blocks)), return_as="generator")(
        search(_take_laws((level, value), block), means[block], tree, own, others_means, order, n_nearest, rounding)
        for block in blocks
    )
    for block, (near, how_far) in zip(tqdm(blocks, "comparable sales", disable=not progress), found):
        rows[block], distances[block] = near, how_far
    return rows, distances


def _find_nearest(laws, means, tree, others, others_means, order, n_nearest, rounding):
    """Rows of the nearest of all laws and their distances, for some laws; others are in the order of the tree."""
    rows, distances = np.empty((len(means), n_nearest), dtype=int), np.empty((len(means), n_nearest))
    # Some more than are wanted, so that the farthest of the best is not much farther than it has to be.
    near = tree.query(_merge(means), min(FIRST * n_nearest, len(order)), p=1)[1].reshape(len(means), -1)
    for i, first in enumerate(near):
        law = _take_laws(laws, i)
        reach = np.partition(_distances_to(law, *_take_laws(others, first)), n_nearest - 1)[n_nearest - 1]
        reach = reach * (1 + 1e-9) + rounding
        candidates = np.array(tree.query_ball_point(_merge(means[i]), reach, p=1))
        candidates = candidates[np.abs(others_means[candidates] - means[i]).sum(axis=1) <= reach]
        candidates = candidates[np.argsort(order[candidates])]
        found = _distances_to(law, *_take_laws(others, candidates))
        best = nearest_first(found)[:n_nearest]
        rows[i], distances[i] = order[candidates[best]], found[best]
    return rows, distances


def _blocks(laws):
    """Slices of laws that are looked at together."""
    return [slice(start, min(start + LAWS, len(laws[1]))) for start in range(0, len(laws[1]), LAWS)]


def _take_laws(laws, rows):
    """Levels, which may be shared, and values of some laws."""
    levels, values = laws
    return levels[rows] if levels.ndim == 2 else levels, values[rows]


def _merge(means):
    """Integrals over the larger parts, from those over all."""
    return np.add.reduceat(means, COARSE, axis=-1)


def _part_means(levels, values):
    """Integrals of quantile functions over parts of the levels, (n_laws, n_parts)."""
    levels = np.broadcast_to(levels, values.shape)
    width, rise = np.diff(levels, axis=1), np.diff(values, axis=1)
    up_to = np.pad(np.cumsum(width * (values[:, :-1] + values[:, 1:]) / 2, axis=1), [(0, 0), (1, 0)])
    slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
    parts = []
    for mark in MARKS:
        corner = ((levels <= mark).sum(axis=1) - 1).clip(0, levels.shape[1] - 2)[:, None]
        start, value, area, steep = (
            np.take_along_axis(each, corner, axis=1)[:, 0] for each in (levels, values, up_to, slope)
        )
        parts.append(area + (mark - start) * (value + steep * (mark - start) / 2))
    return np.diff(np.column_stack([np.zeros(len(values)), *parts, up_to[:, -1]]), axis=1)


def nearest_first(distances):
    """Order of distances; those of one law to itself, predicted in another block of rows, differ by rounding only."""
    order = np.argsort(distances, kind="stable")
    sorted_distances = distances[order]
    farther = np.diff(sorted_distances, prepend=0) > 1e-12 * sorted_distances[-1]
    return order[np.lexsort((order, np.cumsum(farther)))]


def _check_levels(curve, others):
    """Quantile functions of both as corners, (levels, values), refusing those that can't be compared."""
    shared = curve.levels.ndim == others.levels.ndim == 1
    if shared and not (np.array_equal(curve.below, others.below) and np.array_equal(curve.up_to, others.up_to)):
        raise ValueError(f"others must have the levels of curve, got {others!r} and {curve!r}")
    corners = [_corners(each) for each in (curve, others)]
    most = max(values.shape[1] for _, values in corners)
    # A law that was not cut has the corners of those that were, and its last one once more: most pairs share levels.
    return [[_repeat_last(each, most) for each in pair] for pair in corners]


def _repeat_last(corners, n_corners):
    width = [(0, 0)] * (corners.ndim - 1) + [(0, n_corners - corners.shape[-1])]
    return np.pad(corners, width, mode="edge")


def _corners(curve):
    """Levels, shared or (n_rows, n_corners), and values between which the quantile functions are straight lines."""
    levels = np.stack([curve.below, curve.up_to], axis=-1).reshape(*curve.below.shape[:-1], -1)
    atom = (curve.up_to > curve.below).reshape(-1, curve.below.shape[-1]).any(axis=0)
    kept = np.stack([np.ones_like(atom), atom], axis=-1).ravel()
    return levels[..., kept], np.repeat(curve.values, 2, axis=1)[:, kept]


def _distances_to(law, levels, values):
    """Distances of one law to many, (n_others,)."""
    level, value = law
    distances = np.empty(len(values))
    shared = np.broadcast_to((levels == level).all(axis=-1), len(values))
    for start in range(0, len(values), LAWS):
        block = slice(start, start + LAWS)
        alike, apart = (start + np.flatnonzero(chosen) for chosen in (shared[block], ~shared[block]))
        gap = values[alike] - value
        distances[alike] = _areas(np.diff(level), gap[:, :-1], gap[:, 1:])
        if len(apart):
            theirs = np.broadcast_to(levels, values.shape)[apart]
            distances[apart] = _areas(*_pieces(level, value, theirs, values[apart]))
    return distances


def _areas(width, left, right):
    """Areas between laws, from the widths of pieces and the gaps at both ends: trapeziums, or two triangles each."""
    low, high = np.abs(left), np.abs(right)
    areas = ((low + high) * width).sum(axis=1) / 2
    law, piece = np.nonzero((left < 0) != (right < 0))
    low, high, width = low[law, piece], high[law, piece], np.broadcast_to(width, left.shape)[law, piece]
    np.subtract.at(areas, law, width * low * (high / (low + high)))
    return areas


def _pieces(level, value, levels, values):
    """Widths of the pieces on which one law and many others are all linear, and the gaps at both ends of each."""
    grid = np.concatenate([levels, np.broadcast_to(level, (len(levels), len(level)))], axis=1)
    order = np.argsort(grid, axis=1, kind="stable")
    grid, from_others = np.take_along_axis(grid, order, axis=1), order < levels.shape[1]

    def follow(levels, values, points_passed):
        # The line from the last corner passed to the next one; pieces beside a jump have no width.
        corner = (points_passed[:, :-1] - 1).clip(0, levels.shape[1] - 2)
        start, end, low, high = (
            np.take_along_axis(each, corner + step, axis=1) for each in (levels, values) for step in (0, 1)
        )
        slope = np.divide(high - low, end - start, out=np.zeros_like(low), where=end > start)
        return [low + slope * (at - start) for at in (grid[:, :-1], grid[:, 1:])]

    shape = (len(levels), len(level))
    one = follow(*(np.broadcast_to(each, shape) for each in (level, value)), np.cumsum(~from_others, axis=1))
    many = follow(levels, values, np.cumsum(from_others, axis=1))
    return np.diff(grid, axis=1), *(theirs - ours for theirs, ours in zip(many, one))


def share_below(sales: ArrayLike, loans: ArrayLike, unit_revenue: ArrayLike) -> np.ndarray:
    """Return the share of the sales in each row that would not have repaid that row's loan.

    Parameters
    ----------
    sales : array of shape (n_sellers, n_comparable)
        What comparable past sellers sold, in units.
    loans, unit_revenue : array of shape (n_sellers,)
        In currency, and in currency per unit.

    Returns
    -------
    array of shape (n_sellers,)

    Examples
    --------
    >>> share_below([[10.0, 20.0, 30.0, 40.0]], [60.0], [3.0])
    array([0.25])
    """
    return default_probability(QuantileCurve.from_draws(sales), np.reshape(loans, (-1, 1)), unit_revenue=unit_revenue)[
        :, 0
    ]
