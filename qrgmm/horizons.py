r"""Laws of what is sold within 30, 60, 90 and 180 days that fit together: more time sells no less. Chapter 17."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qrgmm.checks import check_levels
from qrgmm.curve import QuantileCurve


def rearrange_horizons(
    curves: Sequence[QuantileCurve],
    levels: ArrayLike,
) -> list[QuantileCurve]:
    r"""Return laws of growing horizons whose quantiles grow with the horizon.

    What is sold within :math:`h` days is no more than what is sold within :math:`h' > h`, whatever happens, so that
    :math:`F_h^{-1}(u) \le F_{h'}^{-1}(u)` at every level. Laws that were fitted one by one may cross in time; at each
    level their quantiles are sorted:

    .. math:: \tilde F_{h_k}^{-1}(u) = \text{the } k\text{-th smallest of } \hat F_{h_1}^{-1}(u), \dots,
        \hat F_{h_K}^{-1}(u)

    Parameters
    ----------
    curves : list of QuantileCurve
        One per horizon, the shortest first, each with n_rows rows.
    levels : array of shape (n_levels,)
        At which the laws are sorted; those returned have these levels.

    Returns
    -------
    list of QuantileCurve
        In the same order.

    Raises
    ------
    ValueError
        If there is no curve, or their numbers of rows differ.

    Notes
    -----
    The rearrangement of Chernozhukov, Fernandez-Val and Galichon (2010), across horizons instead of levels: sorted
    quantiles still grow with the level, and are on average over the horizons no farther from the true ones. Chapter 17.

    Examples
    --------
    >>> month, quarter = QuantileCurve([0.25, 0.75], [[4.0, 8.0]]), QuantileCurve([0.25, 0.75], [[3.0, 20.0]])
    >>> [law.values.tolist() for law in rearrange_horizons([month, quarter], [0.25, 0.75])]
    [[[3.0, 8.0]], [[4.0, 20.0]]]
    """
    levels, rows = check_levels(levels), {len(curve) for curve in curves}
    if len(rows) != 1:
        got = f"got rows {sorted(rows)}"
        raise ValueError(f"curves must hold at least one, all with as many rows, {got}")
    quantiles = np.sort([curve.ppf(levels) for curve in curves], axis=0)
    return [
        QuantileCurve(levels, values, index=curve.index)
        for values, curve in zip(quantiles, curves)
    ]
