"""What speaks against a decision: numbers that no past sale had, values never seen, promises that others did not keep.

A model answers whatever it is asked. These functions say for which sellers it was asked about something that it cannot
know, each in one sentence that names the column, the value and what the past looked like. Chapter 19.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def show_number(value: float, digits: int = 10) -> str:
    """Return a number as a reader writes it: thousands in commas, no more digits than it has, no powers of ten.

    Parameters
    ----------
    value : float
        In any unit.
    digits : int
        The most that are shown, from the first that is not 0.

    Returns
    -------
    str

    Examples
    --------
    >>> show_number(60000.0), show_number(0.0123), show_number(2.5e-6)
    ('60,000', '0.0123', '0.0000025')
    """
    return f"{Decimal(f'{value:.{digits}g}'):,f}"


def show_share(share: float, digits: int = 3) -> str:
    """Return a share in percent, as a reader writes it.

    Parameters
    ----------
    share : float
    digits : int
        The most that are shown.

    Returns
    -------
    str

    Examples
    --------
    >>> show_share(0.05), show_share(0.04371)
    ('5%', '4.37%')
    """
    return f"{show_number(100 * share, digits)}%"


def range_warnings(history: pd.DataFrame, sellers: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """Return for every seller which of its numbers no past seller comes near to.

    Parameters
    ----------
    history, sellers : pandas.DataFrame
        Past sellers and new ones, one a row.
    columns : list of str
        Those that hold numbers.

    Returns
    -------
    list of list of str
        One list per seller, empty where all numbers lie within the range of the history.

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> range_warnings(pd.DataFrame({"ads": [0.0, 4.0]}), pd.DataFrame({"ads": [4.0, 400.0]}), ["ads"])
    [[], ["ads 400 is outside the history's range, 0 to 4"]]
    """
    found: list[list[str]] = [[] for _ in range(len(sellers))]
    for name in columns:
        low, high, values = float(history[name].min()), float(history[name].max()), sellers[name].to_numpy(float)
        for i in np.flatnonzero((values < low) | (values > high)):
            known = f"{show_number(low)} to {show_number(high)}"
            found[i].append(f"{name} {show_number(values[i])} is outside the history's range, {known}")
    return found


def unseen_values(categories: Mapping[str, ArrayLike], sellers: pd.DataFrame) -> list[list[tuple[str, Any]]]:
    """Return for every seller which of its values no past seller had.

    Parameters
    ----------
    categories : dict of str to array
        The levels of every categorical column, as in `FieldEncoder.categories_`.
    sellers : pandas.DataFrame

    Returns
    -------
    list of list of (str, value)
        One list per seller, of columns and values.

    Examples
    --------
    >>> unseen_values({"kind": ["kiosk", "shop"]}, pd.DataFrame({"kind": ["shop", "stall"]}))
    [[], [('kind', 'stall')]]
    """
    found: list[list[tuple[str, Any]]] = [[] for _ in range(len(sellers))]
    for name, levels in categories.items():
        strange = ~sellers[name].isin(list(np.asarray(levels))) & sellers[name].notna()
        for i in np.flatnonzero(strange):
            found[i].append((name, sellers[name].iloc[i]))
    return found


def promise_warnings(
    shares: ArrayLike, promised: ArrayLike, n_comparable: int, first_level: ArrayLike = 0.0
) -> list[list[str]]:
    r"""Return for every seller whether comparable past sellers defaulted more often, or less often, than promised.

    A share :math:`s` of :math:`n` sellers counts against a default probability :math:`p` if

    .. math:: |s - p| > 2 \sqrt{p (1 - p) / n} .

    Parameters
    ----------
    shares : array of shape (n_sellers,)
        Of comparable sellers that would not have repaid; NaN where nothing is lent.
    promised : array of shape (n_sellers,)
        Default probabilities of the loans.
    n_comparable : int
        Comparable sellers of each.
    first_level : float or array of shape (n_sellers,)
        In [0, 1]: a promise of 0 says no more than that the probability is below it.

    Returns
    -------
    list of list of str
        One list per seller.

    Notes
    -----
    Of sellers whose promise holds, about one in twenty is named all the same. Chapter 19.

    Examples
    --------
    >>> promise_warnings([0.05, 1.0], [0.05, 0.05], 100)
    [[], ['100% of 100 comparable past sellers would not have repaid, far more than the 5% promised']]
    """
    shares, promised = np.asarray(shares, dtype=float), np.asarray(promised, dtype=float)
    most = np.where(promised == 0, first_level, promised)
    above = shares > most + 2 * np.sqrt(most * (1 - most) / n_comparable)
    below = shares < promised - 2 * np.sqrt(promised * (1 - promised) / n_comparable)
    found: list[list[str]] = [[] for _ in range(len(shares))]
    for i in np.flatnonzero(above | below):
        seen = f"{100 * shares[i]:.3g}%"
        kept = f"far {'more' if above[i] else 'fewer'} than the {100 * most[i]:.3g}% promised"
        found[i].append(f"{seen} of {n_comparable} comparable past sellers would not have repaid, {kept}")
    return found
