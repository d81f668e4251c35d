r"""Exponential tails: what may lie beyond the first and the last level of a grid."""

import numpy as np

# Exponential tails are drawn through knots at levels that shrink by this factor, and so often.
TAIL_STEP, N_TAIL = 0.5**0.5, 40


def with_exponential_tails(
    levels: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return levels and values with more of both towards 0 and 1, as of a law with exponential tails.

    .. math:: Q(u) = Q(\tau_1) + s \log(u / \tau_1), \quad u < \tau_1,

    with the slope :math:`s` of the five outermost levels; the upper tail in the same way.

    Parameters
    ----------
    levels : array of shape (n_levels,)
        At least two.
    values : array of shape (n_rows, n_levels)
        Sorted along each row, in units sold.

    Returns
    -------
    levels : array of shape (n_levels + 80,)
        40 more at each end, the outermost at :math:`10^{-6}` of the mass beyond the grid.
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
    outer = min(4, len(levels) - 1)
    if outer == 0:
        raise ValueError("exponential tails need at least two levels, got one")
    shrink = TAIL_STEP ** np.arange(1, N_TAIL + 1)
    left, right = levels[0], 1 - levels[-1]
    slope_left = (values[:, outer] - values[:, 0]) / np.log(levels[outer] / left)
    slope_right = (values[:, -1] - values[:, -1 - outer]) / np.log(
        (1 - levels[-1 - outer]) / right
    )
    lower = values[:, :1] + slope_left[:, None] * np.log(shrink[::-1])
    upper = values[:, -1:] - slope_right[:, None] * np.log(shrink)
    levels = np.concatenate([left * shrink[::-1], levels, 1 - right * shrink])
    return levels, np.concatenate([lower, values, upper], axis=1)
