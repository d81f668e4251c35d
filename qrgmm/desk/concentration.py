r"""Limits on concentration: no shop, platform or category holds more than a share of all that is lent.

Loans of a value that holds too much are scaled down together. That makes the total smaller, and the share of every
other value larger, so that the scale solves an equation; it does so in closed form. Chapter 19.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import check_sample

MOST_ROUNDS = 10_000  # over several limits in turn; each round is a pass over the loans


def limit_shares(loans: ArrayLike, values: pd.DataFrame, max_shares: Mapping[str, float]) -> np.ndarray:
    r"""Return loans scaled down so that no value of a column holds more than its share of the total.

    With :math:`L_g` the loans of a value and :math:`s` the largest share, the total is the largest root of

    .. math:: T = \sum_g \min(L_g, s\, T)

    and a value that exceeds :math:`s T` is scaled to it. Of the values in falling order the first :math:`k` do, and
    :math:`T = \sum_{g > k} L_g / (1 - k s)`. Several columns take turns until all limits hold.

    Parameters
    ----------
    loans : array of shape (n_sellers,)
        In currency, at least 0.
    values : pandas.DataFrame
        One row per seller, with the columns that are limited.
    max_shares : dict of str to float
        Column to largest share, in (0, 1].

    Returns
    -------
    array of shape (n_sellers,), in currency
        Never above the loans. With one column no other loans that are scaled value by value have a larger total. All 0
        where too few values have a loan: of two shops, one holds at least half.

    Raises
    ------
    ValueError
        If a column is missing or has missing values, a share lies outside (0, 1], loans are negative or not one per
        seller, or limits take turns without an end.

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> kinds = pd.DataFrame({"kind": ["shop", "shop", "kiosk", "stall"]})
    >>> limit_shares([60.0, 20.0, 15.0, 15.0], kinds, {"kind": 0.4})
    array([15.,  5., 15., 15.])
    """
    amounts = check_sample("loans", loans) if np.size(loans) else np.zeros(0)
    if len(amounts) != len(values) or (amounts < 0).any():
        raise ValueError(f"loans must be at least 0 and one for each of {len(values)} sellers, got {len(amounts)}")
    for name, share in max_shares.items():
        if name not in values or values[name].isna().any():
            raise ValueError(f"max_shares must name columns of sellers without missing values, got {name!r}")
        if not 0 < share <= 1:
            raise ValueError(f"max_shares must lie in (0, 1], got {share!r} for {name!r}")
    codes = {name: pd.factorize(values[name])[0] for name in max_shares}
    start = amounts.sum()
    for _ in range(MOST_ROUNDS):
        before = amounts
        for name, share in max_shares.items():
            amounts = _scale(amounts, codes[name], share)
        if amounts.sum() <= 1e-9 * start:
            return np.zeros(len(amounts))
        if len(max_shares) < 2 or (before - amounts).max() <= 1e-12 * amounts.sum():
            return amounts
    raise ValueError(f"max_shares must be limits that can be kept together, got {dict(max_shares)}")


def _scale(amounts, codes, share):
    """Loans with one limit kept."""
    held = np.bincount(codes, amounts)
    falling = np.sort(held)[::-1]
    left = falling.sum() - np.cumsum(np.r_[0.0, falling])  # beside the first k
    most = np.inf
    for k in range(int(np.ceil(1 / share - 1e-12))):  # so many values hold less than all
        if k >= len(held):
            return np.zeros(len(amounts))
        most = share * max(left[k], 0.0) / (1 - k * share)
        if falling[k] <= most * (1 + 1e-12):
            break
    else:
        return np.zeros(len(amounts))
    scale = np.divide(np.minimum(held, most), held, out=np.ones(len(held)), where=held > 0)
    return amounts * scale[codes]
