r"""One replication of the studies of a promise: how many loans default that were sized for one default in twenty.

A law fitted to few rows gives larger loans than it should: its low quantiles have bent to its own rows. The level at
which loans keep the promise on rows left out makes up for it. Chapters 5 and 19 read the records.
"""

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import gamma
from sklearn.base import clone

from qrgmm.backtest import split_vintages
from qrgmm.datasets.big_mart import load_big_mart
from qrgmm.models.law_model import LawModel
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import left_out_levels
from qrgmm.models.two_part import TwoPart
from qrgmm.recalibration import level_for_all_rows
from qrgmm.risk import largest_loan
from qrgmm.studies.marketplace import GRID, HORIZON, MIN_ORIGINS, OTHER, choose_sellers, marketplace_panel
from qrgmm.studies.sales import predict_quietly
from qrgmm.studies.study import Study, score_rows

PROMISES_IN_TIME = 0.05, 0.2
LEVELS = np.r_[1:10, 10:35:5] / 100  # of the lower end, which is all that a loan is sized by
N_TEST = 500  # rows at which the true probability is averaged
BASE, SLOPES = 30.0, np.array([8.0, 4.0, -3.0, 2.0, 1.0])
SPREAD, SPREAD_SLOPES = 3.0, np.array([1.0, 0.5, -0.3, 0.2, 0.0])
NOISE = gamma(4)
# Of the marketplace, numbers alone: a hundred rows can't tell seventy categories apart.
NUMBERS = ["log_revenue", "log_price", "log_products", "recent_share", "active_days", "days_since_sale"]
# How many sellers there are is a clock, which a regression extrapolates; see chapter 16.
CLOCKS = ["log_sellers"]


class Sales(NamedTuple):
    """Rows that a law is fitted to, and others that judge it.

    Attributes
    ----------
    X : array or pandas.DataFrame
    y : array of shape (n_rows,)
    X_new : array or pandas.DataFrame
    defaults : callable
        Loans of the new rows -> the share, or the probability, of defaults of each.
    """

    X: np.ndarray | pd.DataFrame
    y: np.ndarray
    X_new: np.ndarray | pd.DataFrame
    defaults: Callable[[np.ndarray], np.ndarray]


def draw_well_specified(n_rows: int, rng: np.random.Generator) -> Sales:
    """Return rows of a law whose quantiles are linear in five covariates.

    Parameters
    ----------
    n_rows : int
    rng : numpy.random.Generator

    Returns
    -------
    Sales

    Examples
    --------
    >>> sales = draw_well_specified(100, np.random.default_rng(0))
    >>> sales.X.shape, bool((sales.y > 20).all())
    ((100, 5), True)
    """

    def standardise(X, y):
        return (y - BASE - X @ SLOPES) / (SPREAD + X @ SPREAD_SLOPES)

    X, X_new = rng.uniform(size=(n_rows, len(SLOPES))), rng.uniform(size=(N_TEST, len(SLOPES)))
    y = BASE + X @ SLOPES + (SPREAD + X @ SPREAD_SLOPES) * NOISE.rvs(n_rows, random_state=rng)
    return Sales(X, y, X_new, lambda loans: NOISE.cdf(standardise(X_new, loans)))


def draw_big_mart(n_rows: int, rng: np.random.Generator) -> Sales:
    """Return units sold of products in stores, as many as asked for, and all others."""
    table = _big_mart()
    X, units = table[["Item_MRP", "Item_Visibility", "Outlet_Type"]], table["units"].to_numpy()
    order = rng.permutation(len(table))
    chosen, others = order[:n_rows], order[n_rows:]
    return Sales(X.iloc[chosen], units[chosen], X.iloc[others], partial(np.less, units[others]))


def draw_marketplace(n_rows: int, rng: np.random.Generator) -> Sales:
    """Return as many sellers of the marketplace as asked for, each on one of its days, and all others, likewise."""
    panel = marketplace_panel()
    panel = panel.iloc[rng.permutation(len(panel))].drop_duplicates("seller")
    panel = panel.iloc[rng.permutation(len(panel))]  # whoever has many rows was likely to come first
    X, ratio = panel[NUMBERS], panel["ratio"].to_numpy()
    return Sales(X[:n_rows], ratio[:n_rows], X[n_rows:], partial(np.less, ratio[n_rows:]))


# How rows are drawn, the model, and what is promised: where a tenth sells nothing, one in twenty is no business.
SOURCES: dict[str, tuple[Callable[..., Sales], LawModel, float]] = {
    "well-specified": (draw_well_specified, QRGMM(LEVELS, lower=0.0), 0.05),
    "big_mart": (draw_big_mart, QRGMM(LEVELS, OTHER, lower=0.0), 0.05),
    "marketplace": (draw_marketplace, TwoPart(QRGMM(LEVELS)), 0.2),
}


def keep_promise(rng: np.random.Generator, n_rows: dict[str, list[int]]) -> list[tuple]:
    """Study loans sized at the promised level, and at the level that keeps the promise on rows left out.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows : dict of str to list of int
        Keys of `SOURCES`, and how many rows to learn from.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value): model plug_in or left_out, test the source, x the number of rows; metrics
        `defaulted`, `loan` (the mean one), and `level` at which loans are sized.
    """
    found = []
    for source, numbers in n_rows.items():
        draw, model, promise = SOURCES[source]
        for n in numbers:
            sales = draw(n, rng)
            levels = _leave_out_quietly(model, sales.X, sales.y, rng)
            law = predict_quietly(clone(model).fit(sales.X, sales.y), sales.X_new)
            found += _score(law, levels, sales.defaults, promise, source, n)
    return found


def keep_promise_in_time(
    rng: np.random.Generator, n_sellers: int | None = None, n_vintages: int | None = None
) -> list[tuple]:
    """Study the same on the marketplace, vintage by vintage: fitted to what was known, with whole sellers left out.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_sellers, n_vintages : int, optional
        Only so many sellers, and only the last vintages.

    Returns
    -------
    list of tuple
        As `keep_promise`; the test is the day of the origin, x the promise.
    """
    panel = choose_sellers(marketplace_panel(), n_sellers, rng)
    columns = [name for name in panel.attrs["covariates"] if name not in CLOCKS]
    model, found = TwoPart(QRGMM(GRID, OTHER), encoder=OTHER), []
    vintages = split_vintages(panel["origin"], HORIZON, min_origins=MIN_ORIGINS)
    for vintage in vintages[-(n_vintages or len(vintages)) :]:
        past, new = panel.iloc[vintage.train], panel.iloc[vintage.test]
        X, y, sold = past[columns], past["ratio"].to_numpy(), new["ratio"].to_numpy()
        levels = _leave_out_quietly(model, X, y, rng, past["seller"].to_numpy())
        law = predict_quietly(clone(model).fit(X, y), new[columns])
        for promise in PROMISES_IN_TIME:
            found += _score(law, levels, partial(np.less, sold), promise, f"{vintage.origin:%Y-%m-%d}", promise)
    return found


def _leave_out_quietly(model, X, y, rng, groups=None):
    """Without a warning where those who sold have not a level that somebody left out has: no news here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "column .* has levels never seen", UserWarning)
        return left_out_levels(model, X, y, groups=groups, rng=rng)


def _score(law, left_out, defaults, promise, test, x):
    levels = {"plug_in": promise, "left_out": level_for_all_rows(left_out, promise)}
    found = []
    for name, level in levels.items():
        loans = largest_loan(law, max_default_probability=level)
        scores = {"defaulted": defaults(loans).mean(), "loan": loans.mean(), "level": level}
        found += score_rows(name, test, scores, x)
    return found


@cache
def _big_mart():
    table = load_big_mart()
    return table.assign(units=table["Item_Outlet_Sales"] / table["Item_MRP"])


STUDIES = {
    "promise": Study(
        keep_promise,
        {
            "tiny": {"n_rows": {"well-specified": [100]}},
            "paper": {"n_rows": {"well-specified": [100, 200, 300, 1000, 3000]}},
        },
        "not in a paper",
        200,
    ),
    "promise_real": Study(
        keep_promise,
        {
            "tiny": {"n_rows": {"big_mart": [100], "marketplace": [100]}},
            "paper": {"n_rows": {"big_mart": [100, 300, 1000], "marketplace": [100, 300]}},
        },
        "not in a paper",
    ),
    # The data are given; between replications nothing but what is left out together differs.
    "promise_in_time": Study(
        keep_promise_in_time, {"tiny": {"n_sellers": 120, "n_vintages": 1}, "paper": {}}, "not in a paper", 1
    ),
}
