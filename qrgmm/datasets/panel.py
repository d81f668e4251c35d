"""A panel of dated sellers: what was known of each at an origin, and what came of it over the horizon.

A row is a seller at an origin. Its covariates come from sales before the origin alone, its outcome from sales of the
horizon that begins there; a sale on the day of the origin belongs to the outcome. Chapter 15.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date as day
from typing import Literal

import numpy as np
import pandas as pd

from qrgmm.checks import Rng, check_count, check_span
from qrgmm.datasets.reading import name_few

Day = str | day  # or a datetime, or a pandas.Timestamp, which are dates as well
OUTCOMES = ["outcome_units", "outcome", "ratio", "complete"]


def seller_panel(
    items: pd.DataFrame,
    origins: Iterable[Day],
    horizon: str | pd.Timedelta = "90D",
    min_sales: int = 5,
    *,
    seller: str = "seller",
    date: str = "date",
    price: str = "price",
    quantity: str | None = None,
    product: str | None = None,
    freight: str | None = None,
    labels: Sequence[str] | None = None,
    currency: str | None = None,
    returns: Literal["refuse", "net", "drop"] = "refuse",
    duplicates: Literal["refuse", "keep", "drop"] = "refuse",
    max_gap: str | pd.Timedelta | None = "30D",
    until: Day | None = None,
) -> pd.DataFrame:
    r"""Return one row per seller and origin: covariates known at the origin, the outcome, and whether it is complete.

    With :math:`t` the origin and :math:`h` the horizon, covariates come from :math:`[t - h, t)`, the tenure from all
    sales before :math:`t`, and the outcome from :math:`[t, t + h)`. Whoever sold at least `min_sales` items, for more
    than nothing, in :math:`[t - h, t)` has a row, also if nothing is sold afterwards.

    Parameters
    ----------
    items : pandas.DataFrame
        Dated sales, one a row, in any order; of `load_marketplace`, or a table of one's own.
    origins : days
        Decisions are taken at these moments, at midnight if they are days.
    horizon : str or pandas.Timedelta
        How long after the origin the outcome runs, and how long before it the past.
    min_sales : int
        Items (the sum of `quantity` where there is one).
    seller, date, price : str
        Columns: who sells; when, datetimes without a time zone; for how much a unit.
    quantity, product, freight : str, optional
        Columns of units, products, and what the customer paid for delivery. By default "quantity", "product" and
        "freight" where the table has them; without them a row is one unit, and what needs them is left out.
    labels : list of str, optional
        Columns of text; each becomes the label with most revenue of the seller before the origin. By default "category"
        and "state" where the table has them.
    currency : str, optional
        A column that must hold one currency; by default "currency" where the table has it.
    returns : {"refuse", "net", "drop"}
        What is done with negative units. "net" subtracts them on the day they come back, which is when one knows, and
        adds the covariate `return_share`; "drop" leaves them out.
    duplicates : {"refuse", "keep", "drop"}
        What is done with rows that are equal in every column of the table.
    max_gap : str or pandas.Timedelta, optional
        A longer time without any sale, of anyone, in the time that the origins look at is refused: the data are not
        complete there. None allows it.
    until : day, optional
        Sales before it are all there; by default the midnight after the last sale.

    Returns
    -------
    pandas.DataFrame
        Sorted by origin and seller, with the columns

        - `seller` and `origin`;
        - `revenue`, of the past in currency: the natural unit revenue of a loan on the ratio;
        - `log_revenue`, `log_units`, `log_price` (mean price of a unit), `log_products`, `top_product_share` (of
          revenue), `freight_share` (freight over revenue), `recent_share` (of the past's revenue, in its last third),
          `active_days` (share of days with a sale), `days_since_sale`, `tenure` (days since the first sale in the
          table), `return_share` (of gross revenue, with ``returns="net"``), the `labels`, and `log_sellers`: how many
          had a sale in the past;
        - `outcome_units` and `outcome`, units and revenue over the horizon, net of returns but at least 0; `ratio`, the
          outcome over `revenue`; `complete`, whether the whole horizon lies before `until`. Where it does not, the
          other three are missing.

        ``attrs["covariates"]`` lists the columns of the second kind: all that a model may see.

    Raises
    ------
    ValueError
        If a column is missing, a cell that is used is missing or not finite, a price negative, a date none or with a
        time zone; if there are several currencies, returns, duplicates or gaps which the options do not allow; if
        origins repeat or lie after `until`, or the horizon is not positive.

    Notes
    -----
    Chapter 15. `find_leaks` checks that covariates know nothing of the future, of this panel and of one's own.

    Examples
    --------
    >>> items = pd.DataFrame({"seller": list("aabab"), "price": [10.0, 20.0, 5.0, 40.0, 8.0],
    ...     "date": pd.to_datetime(["2024-01-05", "2024-01-20", "2024-01-25", "2024-02-01", "2024-02-29"])})
    >>> panel = seller_panel(items, ["2024-02-01", "2024-03-01"], "29D", min_sales=1)
    >>> panel[["seller", "origin", "revenue", "days_since_sale", "outcome", "ratio", "complete"]]
      seller     origin  revenue  days_since_sale  outcome     ratio  complete
    0      a 2024-02-01     30.0             12.0     40.0  1.333333      True
    1      b 2024-02-01      5.0              7.0      8.0  1.600000      True
    2      a 2024-03-01     40.0             29.0      NaN       NaN     False
    3      b 2024-03-01      8.0              1.0      NaN       NaN     False
    """
    min_sales = check_count("min_sales", min_sales)
    optional = {"quantity": quantity, "product": product, "freight": freight, "currency": currency}
    columns = {"seller": seller, "date": date, "price": price}
    usual = set(items) - set(columns.values())
    columns |= {name: column or name for name, column in optional.items() if column or name in usual}
    labels = [name for name in ("category", "state") if name in usual] if labels is None else list(labels)
    sales = _check_sales(items, columns, labels, returns, duplicates)
    end = sales["date"].iloc[-1].normalize() + pd.Timedelta("1D") if until is None else pd.Timestamp(until)
    length = check_span("horizon", horizon)
    moments = _check_origins(origins, end)
    if max_gap is not None:
        _refuse_gaps(sales["date"], moments, length, check_span("max_gap", max_gap), end)
    names = pd.Index(sales["seller"].unique()).sort_values()
    sales["code"] = names.get_indexer(sales["seller"])
    first_sale = sales[sales["units"] > 0].groupby("code")["date"].min()
    panels = []
    for origin in moments:
        past, future = (_between(sales, *span) for span in ((origin - length, origin), (origin, origin + length)))
        panel = _describe(past, origin, length, len(names), labels)
        panel["tenure"] = (origin - first_sale) / pd.Timedelta("1D")
        panel["outcome_units"], panel["outcome"] = (
            _total(future, name, len(names)).clip(0) for name in ("units", "revenue")
        )
        panel["ratio"] = panel["outcome"] / panel["revenue"].where(panel["revenue"] > 0)
        panel["complete"] = origin + length <= end
        if origin + length > end:
            panel[OUTCOMES[:3]] = np.nan
        panel.insert(0, "seller", names)
        panel.insert(1, "origin", origin)
        panels.append(panel[(panel["units"] >= min_sales) & (panel["revenue"] > 0)])
    whole = pd.concat(panels, ignore_index=True)
    covariates = [name for name in whole if name not in ("seller", "origin", "units", "revenue", *OUTCOMES)]
    whole = whole[["seller", "origin", "revenue", *covariates, *OUTCOMES]]
    whole.attrs["covariates"] = covariates
    return whole


def find_leaks(
    build: Callable[[pd.DataFrame, pd.Timestamp], pd.DataFrame],
    items: pd.DataFrame,
    origins: Iterable[Day],
    date: str = "date",
    rng: Rng = 0,
) -> list[str]:
    """Return the columns of a panel that move when sales at or after the origin are changed, and should not.

    Dates stay; everything else of a sale from the origin on becomes that of another one, drawn with replacement, and
    its prices, and whatever else is no whole number, are multiplied by a random factor.
    A column that is planted from the future, or rests on all sales of a seller, moves; what was known does not.

    Parameters
    ----------
    build : callable
        ``build(items, origin)`` returns the panel of one origin with a column `seller`, as `seller_panel` does.
    items : pandas.DataFrame
    origins : days
    date : str
        The column of dates.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    list of str
        Without `outcome_units`, `outcome`, `ratio` and `complete`, which are about the future; "seller" if rows come
        or go.

    Examples
    --------
    >>> from qrgmm.simulators import Marketplace
    >>> items = Marketplace(30).draw(rng=0)
    >>> def planted(items, origin):
    ...     panel = seller_panel(items, [origin])
    ...     return panel.assign(best_price=panel["seller"].map(items.groupby("seller")["price"].max()))
    >>> find_leaks(planted, items, ["2017-10-01"])
    ['best_price']
    """
    rng = np.random.default_rng(rng)
    leaks: dict[str, None] = {}
    for origin in pd.DatetimeIndex(origins):
        future = (items[date] >= origin).to_numpy()
        dealt = items[future].iloc[rng.integers(future.sum(), size=future.sum())]
        numbers = dealt.select_dtypes("float").columns
        dealt[numbers] = dealt[numbers].mul(rng.uniform(1, 3, len(dealt)), axis=0)
        dealt[date] = items.loc[future, date].to_numpy()
        before = build(items, origin).set_index("seller")
        after = build(pd.concat([items[~future], dealt], ignore_index=True), origin).set_index("seller")
        if not before.index.sort_values().equals(after.index.sort_values()):
            leaks["seller"] = None
        known = [name for name in before if name not in OUTCOMES]
        together = before.index.intersection(after.index)
        moved = [name for name in known if not before.loc[together, name].equals(after.loc[together, name])]
        leaks |= dict.fromkeys(moved)
    return list(leaks)


def _check_sales(items, columns, labels, returns, duplicates):
    """The sales with columns of known names, sorted by date, or a refusal."""
    absent = [name for name in (*columns.values(), *labels) if name not in items]
    if absent:
        raise ValueError(f"items has no columns {name_few(absent)}; it has {name_few(list(items))}")
    if len(items) == 0:
        raise ValueError("items must have rows, got none")
    again = items.duplicated()
    if again.any() and duplicates not in ("keep", "drop"):
        hint = "duplicates='drop' leaves one of each, 'keep' takes them for sales"
        raise ValueError(f"items must have each row once, got {again.sum()} of {len(items)} rows again; {hint}")
    sales = items[~again] if duplicates == "drop" else items
    if "currency" in columns:
        found = sales[columns["currency"]].unique().tolist()
        if len(found) > 1:
            hint = "convert the prices, or make a panel of each"
            raise ValueError(f"column {columns['currency']!r} must hold one currency, got {name_few(found)}; {hint}")
    used = {name: sales[column] for name, column in columns.items() if name != "currency"}
    table = pd.DataFrame(used | {name: sales[name] for name in labels if name not in used})
    missing = [columns.get(name, name) for name in table if table[name].isna().any()]
    if missing:
        raise ValueError(f"columns {name_few(missing)} must have no missing cells")
    if not pd.api.types.is_datetime64_dtype(table["date"]):
        kind = f"datetimes without a time zone, got {table['date'].dtype}"
        raise ValueError(f"column {columns['date']!r} must hold {kind}")
    for name in ("price", "freight", "quantity"):
        if name in table and not (pd.api.types.is_numeric_dtype(table[name]) and np.isfinite(table[name]).all()):
            raise ValueError(f"column {columns[name]!r} must hold finite numbers, got {table[name].dtype}")
        if name in table and name != "quantity" and (table[name] < 0).any():
            hint = "; returns are negative quantities" if name == "price" else ""
            raise ValueError(f"column {columns[name]!r} must be at least 0, got {table[name].min():g}{hint}")
    table["units"] = table["quantity"].astype(float) if "quantity" in table else 1.0
    returned = table["units"] < 0
    if returned.any() and returns not in ("net", "drop"):
        hint = "returns='net' subtracts them when they come back, 'drop' leaves them out"
        got = f"got {returned.sum()} negative ones"
        raise ValueError(f"column {columns['quantity']!r} must be at least 0, {got}; {hint}")
    table["revenue"] = table["units"] * table["price"]
    if returns == "net":
        table["returned"] = -table["revenue"].clip(upper=0)
    elif returns == "drop":
        table = table[~returned]
    return table.sort_values("date", kind="stable", ignore_index=True)


def _check_origins(origins, end):
    if isinstance(origins, str | day):
        raise ValueError(f"origins must be a list of days, got {origins!r}")
    moments = pd.DatetimeIndex(origins)
    if len(moments) == 0 or moments.hasnans or moments.has_duplicates or moments.tz is not None:
        raise ValueError(f"origins must be different days without a time zone, got {name_few(list(origins))}")
    if moments.max() > end:
        raise ValueError(f"origins must lie before the end of the sales, {end}, got {moments.max()}")
    return moments.sort_values()


def _refuse_gaps(dates, moments, length, longest, end):
    """Refuse a time without sales in what the origins look at: back from the first, on from the last."""
    first, last = moments[0] - length, min(moments[-1] + length, end)
    seen = dates[(dates >= first) & (dates < last)]
    steps = pd.Series([first, *seen, last]).sort_values()
    gap = steps.diff()
    if gap.max() > longest:
        after = gap.idxmax()
        got = f"got none from {steps.loc[after] - gap.loc[after]} to {steps.loc[after]}"
        hint = "choose other origins, or a longer max_gap if nobody sold"
        raise ValueError(f"items must have sales at least every {longest}, {got}; {hint}")


def _between(sales, start, stop):
    left, right = sales["date"].searchsorted([start, stop])
    return sales.iloc[left:right]


def _total(sales, name, n_sellers):
    return pd.Series(np.bincount(sales["code"], sales[name], n_sellers))


def _describe(past, origin, length, n_sellers, labels):
    """Covariates of all sellers, by code; those who sold nothing have missing ones and no row later on."""
    one_day = pd.Timedelta("1D")
    total = {name: _total(past, name, n_sellers) for name in ("units", "revenue")}
    positive = {name: sums.where(sums > 0) for name, sums in total.items()}
    panel = pd.DataFrame(total)
    for name in ("revenue", "units"):
        panel[f"log_{name}"] = np.log(positive[name])
    panel["log_price"] = np.log(positive["revenue"] / positive["units"])
    if "product" in past:
        by_product = past.groupby(["code", "product"], observed=True)["revenue"].sum().groupby(level=0)
        panel["log_products"] = np.log(by_product.size())
        panel["top_product_share"] = by_product.max() / positive["revenue"]
    if "freight" in past:
        panel["freight_share"] = _total(past, "freight", n_sellers) / positive["revenue"]
    recent = _between(past, origin - length / 3, origin)
    panel["recent_share"] = _total(recent, "revenue", n_sellers) / positive["revenue"]
    sold = past[past["units"] > 0]
    days = pd.DataFrame({"code": sold["code"], "day": (origin - sold["date"]) // one_day}).drop_duplicates()
    panel["active_days"] = np.bincount(days["code"], minlength=n_sellers) / np.ceil(length / one_day)
    panel["days_since_sale"] = (origin - sold.groupby("code")["date"].max()) / one_day
    if "returned" in past:
        returned = _total(past, "returned", n_sellers)
        panel["return_share"] = returned / (total["revenue"] + returned).where(lambda gross: gross > 0)
    for name in labels:
        by_label = past.groupby(["code", name], observed=True)["revenue"].sum().reset_index()
        # Of equal labels the first in the alphabet, whatever the order of the rows.
        panel[name] = by_label.sort_values("revenue", ascending=False, kind="stable").groupby("code")[name].first()
    panel["log_sellers"] = np.log(max(sold["code"].nunique(), 1))
    return panel
