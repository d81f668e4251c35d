r"""Both ends of a law: exponential tails beyond the levels of a grid, and knots where a bound cuts."""

import numpy as np

# Exponential tails are drawn through knots at levels that shrink by this factor, and so often.
TAIL_STEP, N_TAIL = 0.5**0.5, 40
# Levels beside the outermost one that say how steep a tail is.
N_OUTER = 4
TIE = 1e-9  # by which share of the steps beside it a step is rounding


def with_exponential_tails(
    levels: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return levels and values with more of both towards 0 and 1, as of a law with exponential tails.

    .. math:: Q(u) = Q(\tau_1) + s \log(u / \tau_1), \quad u < \tau_1,

    with the slope :math:`s` of the five outermost levels; the upper tail in the same way. Where the two outermost
    quantiles of a row are one, sales pile up there, at 0 for example: the tail of that row stays on them.

    Parameters
    ----------
    levels : array of shape (n_levels,)
        At least two.
    values : array of shape (n_rows, n_levels)
        Sorted along each row, in units sold.

    Returns
    -------
    levels : array of shape (n_levels + 80,)
        40 more at each end, the outermost at :math:`10^{-6}` of the mass beyond the grid; fewer at an end so near to 0
        or 1 that no such numbers are left.
    values : array of shape (n_rows, n_levels + 80)

    Raises
    ------
    ValueError
        If there is only one level.

    Notes
    -----
    Not in the papers; `QuantileCurve` does this for ``tails="exponential"``. Chapter 5.

    Examples
    --------
    >>> levels, values = with_exponential_tails(np.array([0.25, 0.5]), np.log([[0.25, 0.5]]))
    >>> len(levels), bool(np.allclose(values[0, :42], np.log(levels[:42])))
    (82, True)
    """
    outer = min(N_OUTER, len(levels) - 1)
    if outer == 0:
        raise ValueError("exponential tails need at least two levels, got one")
    shrink = TAIL_STEP ** np.arange(1, N_TAIL + 1)
    left, right = levels[0], 1 - levels[-1]
    slope_left = (values[:, outer] - values[:, 0]) / np.log(levels[outer] / left)
    slope_right = (values[:, -1] - values[:, -1 - outer]) / np.log(
        (1 - levels[-1 - outer]) / right
    )
    # Sales that pile up on the outermost knots are an atom there, not a slope.
    atom_left, atom_right = _pile_up(values), _pile_up(-values[:, ::-1])
    slope_left, slope_right = slope_left * ~atom_left, slope_right * ~atom_right
    below, above = left * shrink[::-1], 1 - right * shrink
    # So near to 0 or 1 that there are no numbers left, a tail is shorter.
    new_below = (below > 0) & (np.diff(below, append=left) > 0)
    new_above = (above < 1) & (np.diff(above, prepend=levels[-1]) > 0)
    below, above = below[new_below], above[new_above]
    lower = values[:, :1] + slope_left[:, None] * np.log(shrink[::-1][new_below])
    upper = values[:, -1:] - slope_right[:, None] * np.log(shrink[new_above])
    levels = np.concatenate([below, levels, above])
    return levels, np.concatenate([lower, values, upper], axis=1)


def _pile_up(values):
    """Whether the first two knots of a row are one, up to rounding of those beside them."""
    steps = values[:, 1 : N_OUTER + 1] - values[:, :1]
    return steps[:, 0] <= TIE * steps[:, -1]


def with_knot_at(
    y: np.ndarray, values: np.ndarray, levels: np.ndarray, below: np.ndarray, up_to: np.ndarray
) -> dict[str, np.ndarray]:
    r"""Return the parts of laws with one more knot, wherever `y` lies between two knots; the laws stay what they are.

    Parameters
    ----------
    y : array of shape (n_rows, 1)
        In units sold.
    values : array of shape (n_rows, n_levels)
    levels, below, up_to : arrays of shape (n_levels,) or (n_rows, n_levels)
        As in `QuantileCurve`; likewise `values`.

    Returns
    -------
    dict of str to array
        The four parts: as they are where no row needs a knot, else all of shape (n_rows, n_levels + 1).

    Notes
    -----
    `QuantileCurve.clip` cuts there. Chapter 2.

    Examples
    --------
    >>> values, levels = np.array([[0.0, 10.0]]), np.array([0.25, 0.75])
    >>> law = with_knot_at(np.array([[5.0]]), values, levels, below=np.array([0.0, 0.75]), up_to=np.array([0.25, 1.0]))
    >>> law["values"], law["levels"]
    (array([[ 0.,  5., 10.]]), array([[0.25, 0.5 , 0.75]]))
    """
    parts = {"values": values, "levels": levels, "below": below, "up_to": up_to}
    n_knots = values.shape[1]
    count = (values < y).sum(axis=1, keepdims=True)
    left, right = ((count + step).clip(0, n_knots - 1) for step in (-1, 0))
    low, high = (np.take_along_axis(values, knot, axis=1) for knot in (left, right))
    inside = (low < y) & (y < high)
    if not inside.any():
        return parts
    tables = {name: np.broadcast_to(part, values.shape) for name, part in parts.items()}
    start, end = (np.take_along_axis(tables[name], knot, axis=1) for name, knot in (("up_to", left), ("below", right)))
    level = start + (end - start) * np.divide(y - low, high - low, out=np.zeros_like(y), where=inside)
    top = np.where(inside, level, 1.0)
    new = {"values": np.where(inside, y, values[:, -1:]), "below": top, "up_to": top}
    new["levels"] = np.where(inside, level, tables["levels"][:, -1:])
    # Rows that need no knot repeat their last one, without any mass.
    column = np.arange(n_knots + 1)
    place = np.where(inside, right, n_knots)
    source = (column - (column > place)).clip(max=n_knots - 1)
    for name, table in tables.items():
        parts[name] = np.take_along_axis(table, source, axis=1)
        np.put_along_axis(parts[name], place, new[name], axis=1)
    return parts


def with_atom_at_zero(
    probability: np.ndarray,
    values: np.ndarray,
    levels: np.ndarray,
    below: np.ndarray,
    up_to: np.ndarray,
) -> dict[str, np.ndarray]:
    r"""Return the parts of laws that hold with a probability only; with the rest nothing is sold.

    Parameters
    ----------
    probability : array of shape (n_rows, 1)
    values : array of shape (n_rows, n_levels)
        In units sold, at least 0.
    levels, below, up_to : arrays of shape (n_levels,) or (n_rows, n_levels)
        As in `QuantileCurve`; likewise `values`.

    Returns
    -------
    dict of str to array
        The four parts, all of shape (n_rows, n_levels + 1).

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1], or a value is below 0.

    Notes
    -----
    `QuantileCurve.zero_inflate`; chapter 15.

    Examples
    --------
    >>> half = np.array([0.5])
    >>> law = with_atom_at_zero(np.array([[0.8]]), np.array([[7.0]]), levels=half, below=0 * half, up_to=2 * half)
    >>> law["values"], law["up_to"].round(9)
    (array([[0., 7.]]), array([[0.2, 1. ]]))
    """
    nothing = 1 - probability
    if not ((nothing >= 0) & (nothing <= 1)).all():
        least, most = probability.min(), probability.max()
        raise ValueError(f"probability must lie in [0, 1], got {least:g} to {most:g}")
    if values.min() < 0:
        got = f"got {values.min():g}; clip(0) makes them so"
        raise ValueError(f"laws must have no sales below 0, {got}")
    zero = np.zeros_like(probability)
    law = {
        "values": np.hstack([zero, values]),
        "levels": np.hstack([nothing / 2, nothing + probability * levels]),
        "below": np.hstack([zero, nothing + probability * below]),
        "up_to": np.hstack([nothing, nothing + probability * up_to]),
    }
    law["up_to"][:, -1] = 1.0  # not to be lost to rounding
    return law
