"""What came in by when: the sales of a panel's rows day by day after their origins. Chapter 17."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qrgmm.checks import check_points
from qrgmm.datasets.panel import Day
from qrgmm.datasets.reading import name_few

SECONDS = 86_400  # of a day


def sales_path(
    items: pd.DataFrame,
    panel: pd.DataFrame,
    days: Sequence[float],
    *,
    seller: str = "seller",
    date: str = "date",
    price: str = "price",
    quantity: str | None = None,
    until: Day | None = None,
) -> np.ndarray:
    r"""Return the revenue of every row of a panel in the first days after its origin.

    Parameters
    ----------
    items : pandas.DataFrame
        The dated sales that `seller_panel` made the panel of.
    panel : pandas.DataFrame
        With the columns `seller` and `origin`.
    days : list of float
        How many days after the origin to look; at least 0, the origin the first of them.
    seller, date, price : str
        Columns, as in `seller_panel`.
    quantity : str, optional
        Column of units; by default "quantity" where the table has it, else a row is one unit. Negative ones are
        returns: they count on the day they come back.
    until : day, optional
        Sales before it are all there; by default the midnight after the last sale.

    Returns
    -------
    array of shape (n_rows, n_days), in currency
        Net of returns, but at least 0. NaN where the days are not over by `until`.

    Raises
    ------
    ValueError
        If a column is missing, or days are negative or not finite.

    Notes
    -----
    Chapter 17.

    Examples
    --------
    >>> items = pd.DataFrame({"seller": list("aab"), "price": [10.0, 20.0, 5.0],
    ...     "date": pd.to_datetime(["2024-02-01", "2024-02-09", "2024-02-29"])})
    >>> panel = pd.DataFrame({"seller": ["a", "b"], "origin": pd.to_datetime(["2024-02-01", "2024-02-01"])})
    >>> sales_path(items, panel, [7, 14, 60])
    array([[10., 30., nan],
           [ 0.,  0., nan]])
    """
    quantity = "quantity" if quantity is None and "quantity" in items else quantity
    wanted = [seller, date, price, *([quantity] if quantity else [])]
    absent = [name for name in wanted if name not in items]
    if absent:
        raise ValueError(f"items has no columns {name_few(absent)}; it has {name_few(list(items))}")
    steps = check_points("days", days, 1, low=0.0)[0] * SECONDS
    sales = items[wanted].sort_values(date, kind="stable", ignore_index=True)
    end = sales[date].iloc[-1].normalize() + pd.Timedelta("1D") if until is None else pd.Timestamp(until)
    names = pd.Index(sales[seller].unique())
    first = min(sales[date].iloc[0], panel["origin"].min())
    start = ((panel["origin"] - first) / pd.Timedelta("1s")).to_numpy()[:, None]
    moments = np.hstack([start, start + steps])
    last = (end - first) / pd.Timedelta("1s")
    # Seller after seller, each in order of time, on one long line.
    length = max(moments.max(), last) + 1
    code = names.get_indexer(sales[seller])
    place = code * length + ((sales[date] - first) / pd.Timedelta("1s")).to_numpy()
    order = np.argsort(place, kind="stable")
    revenue = sales[price] * (sales[quantity] if quantity else 1.0)
    so_far = np.append(revenue.iloc[order].groupby(code[order]).cumsum(), 0.0)
    known, last_seller = names.get_indexer(panel["seller"])[:, None], np.append(code[order], -1)
    last_sale = np.searchsorted(place[order], known * length + moments) - 1
    reached = np.where(last_seller[last_sale] == known, so_far[last_sale], 0.0)
    path = np.where(known >= 0, reached[:, 1:] - reached[:, :1], 0.0).clip(0)
    return np.where(moments[:, 1:] <= last, path, np.nan)
