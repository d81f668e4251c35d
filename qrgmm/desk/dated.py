r"""A history with dates: single sales become sellers at the first of each month, and promises are judged in time.

What is foretold is the revenue of the next horizon over that of the last, so that a loan is a share of what the seller
took last. How many sellers there are, and since when, are clocks, which a linear law extrapolates: it does without
them. The level of cautious loans comes from past vintages whose outcomes are known, moved by the newest month, which
is known sooner. Chapters 15, 16 and 19.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri
from sklearn.base import clone

from qrgmm.backtest import split_vintages, transform_outcomes
from qrgmm.checks import Rng, check_level, check_span
from qrgmm.datasets.panel import seller_panel
from qrgmm.desk.promise import Promise, observe_defaults, promise_left_out
from qrgmm.models.law_model import LawModel
from qrgmm.recalibration import vintage_levels

CLOCKS = ["log_sellers", "tenure"]
MONTH = pd.Timedelta("30D")  # what is in the books soon
EXTREME = 0.001  # scores of outcomes further out count as this level


def panel_for_decision(
    items: pd.DataFrame,
    horizon: str | pd.Timedelta = "90D",
    origin: str | pd.Timestamp | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """Return the panel of sellers at the first of each month and on the day of the decision, from sales before it.

    Parameters
    ----------
    items : pandas.DataFrame
        Single sales.
    horizon : str or pandas.Timedelta
    origin : day, optional
        Of the decision; by default the midnight after the last sale. Later sales are not looked at.
    **columns
        Of `seller_panel`, and its options.

    Returns
    -------
    pandas.DataFrame
        See `seller_panel`; ``attrs["covariates"]`` lists those without the clocks.

    Raises
    ------
    ValueError
        If no month has a whole horizon of sales before it and after it, or as `seller_panel`.

    Examples
    --------
    >>> from qrgmm.simulators import Marketplace
    >>> panel = panel_for_decision(Marketplace(40).draw(rng=0), "90D", "2017-10-01")
    >>> panel["origin"].dt.strftime("%b %Y").unique().tolist()
    ['May 2017', 'Jun 2017', 'Jul 2017', 'Aug 2017', 'Sep 2017', 'Oct 2017']
    """
    length, dates = check_span("horizon", horizon), items[columns.get("date", "date")]
    end = dates.max().normalize() + pd.Timedelta("1D")
    origin = end if origin is None else pd.Timestamp(origin)
    first = dates.min().normalize() + length
    if origin > end or first + length > origin:
        known = f"from {first + length:%Y-%m-%d}, two horizons after the first sale, to {end:%Y-%m-%d}, after the last"
        raise ValueError(f"origin must lie {known}, got {origin:%Y-%m-%d}")
    months = pd.date_range(first, origin, freq="MS").union([origin])
    if months[0] + length > origin:
        whole = f"a horizon after the first of a month from {first:%Y-%m-%d} on"
        raise ValueError(f"origin must lie {whole}, got {origin:%Y-%m-%d}")
    panel = seller_panel(items[dates < origin], months, length, until=origin, **columns)
    panel.attrs["covariates"] = [name for name in panel.attrs["covariates"] if name not in CLOCKS]
    return panel


def promise_in_time(
    model: LawModel,
    panel: pd.DataFrame,
    items: pd.DataFrame,
    promised: float,
    horizon: str | pd.Timedelta = "90D",
    rng: Rng = None,
    progress: bool = False,
) -> Promise:
    """Return whether a promise was kept vintage by vintage, and the level for the newest one.

    Each vintage's law is a refit to the rows whose outcomes were known at its origin. Its cautious loans are sized at
    the `vintage_levels` of what was known then, but never above the promise.

    Parameters
    ----------
    model : TwoPart, QRGMM or any other model of the ratio
        Only its settings are used.
    panel : pandas.DataFrame
        Of `panel_for_decision`; its last origin is that of the decision.
    items : pandas.DataFrame
        The sales, with columns `seller`, `date` and `price`, of one unit each.
    promised : float
        In (0, 1).
    horizon : str or pandas.Timedelta
    rng : numpy.random.Generator, int or None
        For the place of an outcome within an atom.
    progress : bool
        Show a bar if rows are left out, see Returns.

    Returns
    -------
    Promise
        Errors are clustered by seller, and over all vintages also by origin. Where no vintage had another one's
        outcomes to learn from, the promise is judged on sellers left out, without regard to time.

    Raises
    ------
    ValueError
        As `split_vintages`.

    Notes
    -----
    Chapters 16 and 19.

    Examples
    --------
    >>> from qrgmm.models import QRGMM, TwoPart
    >>> from qrgmm.simulators import Marketplace
    >>> items = Marketplace(150).draw(rng=0)
    >>> panel = panel_for_decision(items, "60D", "2018-02-01")
    >>> panel.attrs["covariates"] = ["log_revenue", "days_since_sale"]
    >>> promise = promise_in_time(TwoPart(QRGMM(np.arange(1, 20) / 20)), panel, items, 0.2, "60D", rng=0)
    >>> promise.vintages.index.strftime("%b %Y").tolist(), 0 < promise.level <= 0.2
    (['Oct 2017', 'Nov 2017', 'Dec 2017'], True)
    """
    promised, length = check_level("promised", promised), check_span("horizon", horizon)
    rng, names = np.random.default_rng(rng), panel.attrs["covariates"]
    month = np.minimum(MONTH, length)
    monthly = _ratio_of_month(panel, items, length, month)
    vintages = [v for v in split_vintages(panel["origin"], length) if len(v.train) >= 10 * (len(names) + 1)]
    known = [[j for j, past in enumerate(vintages[:i]) if past.origin + length <= v.origin]
             for i, v in enumerate(vintages)]  # fmt: skip
    if not any(known):
        rows = panel[panel["complete"]]
        return promise_left_out(model, rows[names], rows["ratio"], promised, 10, rows["seller"], rng, progress)
    outcomes, at, stops = [], [], []
    for vintage in vintages:
        rows = panel.iloc[vintage.test]
        if rows["complete"].all():
            train = panel.iloc[vintage.train]
            law = clone(model).fit(train[names], train["ratio"]).predict_curve(rows[names])
            ratio = rows["ratio"].to_numpy()
            outcomes.append(transform_outcomes(law, ratio, rng))
            at.append(law.cdf(ratio[:, None])[:, 0])
            stops.append(law.cdf(0.0)[:, 0])
    news = [_newest_score(model, panel, monthly, vintage, month, rng) for vintage in vintages]
    levels = np.minimum(vintage_levels(outcomes, known, promised, news), promised)
    judged = [i for i in range(len(outcomes)) if known[i]]
    table: dict[pd.Timestamp, dict[str, float]] = {}
    seen: dict[str, list[tuple]] = {"plug-in": [], "cautious": []}
    for i in judged:
        sellers = panel["seller"].to_numpy()[vintages[i].test]
        table[vintages[i].origin] = {"promised": promised}
        for kind, level in (("plug-in", promised), ("cautious", levels[i])):
            of_rows = np.full(len(at[i]), level)
            found = observe_defaults(at[i], stops[i], of_rows, sellers)
            table[vintages[i].origin] |= {f"{kind} {name}": value for name, value in found.items()}
            clusters = np.column_stack([sellers, np.full(len(sellers), i)]).astype(object)
            seen[kind].append((at[i], stops[i], of_rows, clusters))
        table[vintages[i].origin]["cautious level"] = levels[i]
    pooled = [observe_defaults(*(np.concatenate(part) for part in zip(*rows))) if rows else
              {"n": 0, "observed": np.nan, "error": np.nan} for rows in seen.values()]  # fmt: skip
    kept = pd.DataFrame(pooled, list(seen))
    kept.insert(0, "level", [promised, levels[-1]])
    basis = f"{len(judged)} past vintages"
    if judged:
        basis += f", {vintages[judged[0]].origin:%B %Y} to {vintages[judged[-1]].origin:%B %Y}"
    now = np.concatenate([outcomes[j] for j in known[-1]])
    origins = [vintages[i].origin for i in judged]
    dates = f"{origins[0]:%Y-%m-%d} to {origins[-1] + length:%Y-%m-%d}" if judged else ""
    seen_by_origin = pd.DataFrame.from_dict(table, orient="index")
    return Promise(promised, float(levels[-1]), now, kept, basis, seen_by_origin, dates)


def _ratio_of_month(panel, items, length, month):
    """Revenue of the month after each row's origin over its usual share of the past; the label that comes soon."""
    ratios = []
    for origin, rows in panel.groupby("origin"):
        sold = items[items["date"].between(origin, origin + month, "left")].groupby("seller")["price"].sum()
        ratios.append(length / month * rows["seller"].map(sold).astype(float).fillna(0.0) / rows["revenue"])
    return pd.concat(ratios).loc[panel.index].to_numpy()


def _newest_score(model, panel, monthly, vintage, month, rng):
    """Mean normal score of the newest month that was over at a vintage, in a law of months fitted to its rows."""
    over = (panel["origin"] + month <= vintage.origin).to_numpy()
    newest = np.flatnonzero(panel["origin"] == panel["origin"][over].max())
    names = panel.attrs["covariates"]
    law = clone(model).fit(panel[names].iloc[vintage.train], monthly[vintage.train])
    place = transform_outcomes(law.predict_curve(panel[names].iloc[newest]), monthly[newest], rng)
    return float(ndtri(place.clip(EXTREME, 1 - EXTREME)).mean())
