r"""One replication of the studies of dated sellers: random splits, sellers never seen, and the calendar.

A row is a seller at an origin, see `qrgmm.datasets.seller_panel`; what is foretold is the revenue of the next quarter
over that of the last, so that a loan is a share of the seller's own last quarter. Random splits ask a model about rows
whose neighbours in time, with outcomes that overlap theirs, it has learned from; vintages ask what a lender asks.
Chapters 15 and 16 read them.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from qrgmm.backtest import clustered_error, split_vintages, transform_outcomes
from qrgmm.curve import QuantileCurve
from qrgmm.datasets.marketplace import load_marketplace
from qrgmm.datasets.online_retail import load_online_retail
from qrgmm.datasets.panel import seller_panel
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.own_past import OwnPast
from qrgmm.models.trees import BoostedQuantiles, QuantileForest
from qrgmm.models.two_part import TwoPart
from qrgmm.risk import default_probability, largest_loan
from qrgmm.studies.sales import predict_quietly
from qrgmm.studies.study import Study
from qrgmm.studies.synthetic import fit_copy

HORIZON, MIN_ORIGINS, TEST_SHARE = "90D", 3, 0.2
PROMISES = np.array([0.05, 0.1, 0.2])  # default probabilities that a lender promises
LEVELS = np.r_[np.arange(1, 10) / 100, np.arange(5, 21) / 50]  # at which loans are sized
GRID = np.r_[0.01, 0.02, np.arange(1, 40) / 40, 0.98, 0.99]  # of all models: few rows would leave out the promises
OTHER = FieldEncoder(unseen="other")  # categories come that nobody had seen
MODELS: dict[str, Any] = {
    "own_past": OwnPast(levels=GRID),
    "qrgmm": QRGMM(GRID, OTHER, lower=0.0),
    "two_part": TwoPart(QRGMM(GRID, OTHER), encoder=OTHER),
    "qrgmm_deepfm": DeepFMQRGMM(levels=GRID, encoder=OTHER, lower=0.0),
    "qrgmm_deepfm_seller": DeepFMQRGMM(levels=GRID, encoder=OTHER, lower=0.0),
    "two_part_deepfm": TwoPart(DeepFMQRGMM(levels=GRID, encoder=OTHER), encoder=OTHER),
    "quantile_forest": QuantileForest(GRID, encoder=OTHER, lower=0.0),
    "two_part_forest": TwoPart(QuantileForest(GRID, encoder=OTHER), encoder=OTHER),
    "lightgbm": BoostedQuantiles(
        tuple(GRID), 200, {"learning_rate": 0.03, "num_leaves": 4, "feature_fraction": 1.0}, encoder=OTHER, lower=0.0
    ),
}
KNOWS_SELLER = ["own_past", "qrgmm_deepfm_seller"]


@cache
def marketplace_panel() -> pd.DataFrame:
    """Return the sellers of the marketplace at the first of each month, April 2017 to June 2018, with outcomes.

    There is no stand-in: a study on simulated rows must not be recorded as the marketplace.
    """
    return seller_panel(load_marketplace(), pd.date_range("2017-04-01", "2018-06-01", freq="MS"), HORIZON)


@cache
def gift_panel() -> pd.DataFrame:
    """Return the products of the gift retailer at the first of each month, March to September 2011, with outcomes."""
    options: dict[str, Any] = {"seller": "product", "labels": [], "returns": "net", "duplicates": "drop"}
    return seller_panel(load_online_retail(), pd.date_range("2011-03-01", "2011-09-01", freq="MS"), HORIZON, **options)


def choose_sellers(panel: pd.DataFrame, n_sellers: int | None, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows of so many sellers of a panel, drawn at random; None for all.

    Parameters
    ----------
    panel : pandas.DataFrame
    n_sellers : int, optional
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> panel = pd.DataFrame({"seller": list("aabbc")})
    >>> choose_sellers(panel, 2, np.random.default_rng(0))["seller"].nunique()
    2
    """
    if n_sellers is None:
        return panel
    names = panel["seller"].unique()
    return panel[panel["seller"].isin(rng.choice(names, n_sellers, replace=False))].reset_index(drop=True)


def compare_splits(
    load: Callable[[], pd.DataFrame],
    rng: np.random.Generator,
    n_sellers: int | None = None,
    n_members: int = 10,
    models: Sequence[str] = tuple(MODELS),
) -> list[tuple]:
    """Study models on a fifth of the rows at random, and on all rows of a fifth of the sellers.

    Parameters
    ----------
    load : callable
        Returns a panel of `seller_panel` whose outcomes are complete.
    rng : numpy.random.Generator
    n_sellers : int, optional
        Only so many sellers.
    n_members : int
        Of networks; at most.
    models : list of str
        Keys of `MODELS`.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value); the test is "random rows" or "new sellers".
    """
    panel = choose_sellers(load(), n_sellers, rng)
    seed, rows = int(rng.integers(2**31)), []
    for test, split in (("random rows", ShuffleSplit), ("new sellers", GroupShuffleSplit)):
        splitter = split(1, test_size=TEST_SHARE, random_state=seed)
        train, left_out = next(splitter.split(panel, groups=panel["seller"] if split is GroupShuffleSplit else None))
        rows += _compare(models, panel.iloc[train], panel.iloc[left_out], test, rng, n_members)
    return rows


def backtest_models(
    load: Callable[[], pd.DataFrame],
    rng: np.random.Generator,
    n_sellers: int | None = None,
    n_vintages: int | None = None,
    n_members: int = 10,
    models: Sequence[str] = tuple(MODELS),
    min_origins: int = MIN_ORIGINS,
) -> list[tuple]:
    """Study models vintage by vintage: fitted to what was known at an origin, judged by what came of it.

    Parameters
    ----------
    load, rng, n_sellers, n_members, models
        As in `compare_splits`.
    n_vintages : int, optional
        Only the last ones.
    min_origins : int
        Origins to learn from that the first vintage needs.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value); the test is the day of the origin.
    """
    panel = choose_sellers(load(), n_sellers, rng)
    vintages = split_vintages(panel["origin"], HORIZON, min_origins=min_origins)
    rows = []
    for vintage in vintages[-(n_vintages or len(vintages)) :]:
        train, new = panel.iloc[vintage.train], panel.iloc[vintage.test]
        rows += _compare(models, train, new, f"{vintage.origin:%Y-%m-%d}", rng, n_members)
    return rows


def score_promises(curve: QuantileCurve, outcome: pd.DataFrame, rng: np.random.Generator) -> list[tuple]:
    r"""Return how the loans of a law fare: rows (metric, x, value).

    Parameters
    ----------
    curve : QuantileCurve
        Of the ratio, with n_rows rows.
    outcome : pandas.DataFrame
        With the columns `seller`, `revenue` of the last quarter, and `ratio`.
    rng : numpy.random.Generator
        For the place of an outcome within an atom.

    Returns
    -------
    list of tuple
        `crps` of the ratio; `n` rows; `sold`, revenue over that of the quarter before; `score`, the mean normal score
        :math:`\Phi^{-1}(F(y))`; and for loans of every level `x` the default probability that the law gives them
        (`promised`), the share that `defaulted`, its clustered `error`, what was `lent` and what was `lost`, as shares
        of the last quarter's revenue.

    Examples
    --------
    >>> law = QuantileCurve([0.25, 0.75], [[0.5, 1.5]] * 3)
    >>> outcome = pd.DataFrame({"seller": list("abc"), "revenue": 100.0, "ratio": [0.4, 1.0, 1.2]})
    >>> scores = score_promises(law, outcome, np.random.default_rng(0))
    >>> [value for metric, x, value in scores if metric == "defaulted" and x == 0.26]
    [0.3333333333333333]
    """
    ratio, revenue = (outcome[name].to_numpy() for name in ("ratio", "revenue"))
    loans = np.column_stack([largest_loan(curve, max_default_probability=level) for level in LEVELS])
    promised, defaulted = default_probability(curve, loans), ratio[:, None] < loans
    weights = revenue / revenue.sum()
    per_level = {
        "promised": promised.mean(axis=0),
        "defaulted": defaulted.mean(axis=0),
        "error": [clustered_error(each, outcome["seller"])[0] for each in (defaulted - promised).T],
        "lent": weights @ loans,
        "lost": weights @ (loans - ratio[:, None]).clip(0),
    }
    place = transform_outcomes(curve, ratio, rng).clip(0.001, 0.999)
    whole = {
        "crps": curve.crps(ratio).mean(),
        "n": len(ratio),
        "sold": weights @ ratio,
        "score": norm.ppf(place).mean(),
    }
    found = [(metric, np.nan, float(value)) for metric, value in whole.items()]
    return found + [
        (metric, level, float(value)) for metric, values in per_level.items() for level, value in zip(LEVELS, values)
    ]


def fit_to_sellers(name: str, panel: pd.DataFrame, rng: Any = 0, n_members: int = 10) -> Callable:
    """Fit a model of `MODELS` to a panel; return what gives the law of the ratio for the rows of another one.

    Parameters
    ----------
    name : str
    panel : pandas.DataFrame
        Of `seller_panel`, with complete outcomes.
    rng : numpy.random.Generator or int
    n_members : int
        Of a network; at most.

    Returns
    -------
    callable
        ``law(panel)`` is a `QuantileCurve`.

    Examples
    --------
    >>> from qrgmm.simulators import Marketplace
    >>> panel = seller_panel(Marketplace(100).draw(rng=0), ["2017-10-01", "2018-02-01"])
    >>> len(fit_to_sellers("own_past", panel)(panel)) == len(panel)
    True
    """
    columns = [*panel.attrs["covariates"], *(["seller"] if name in KNOWS_SELLER else [])]
    target, rng = panel["ratio"].to_numpy(), np.random.default_rng(rng)
    model = fit_copy(MODELS[name], panel[columns], target, rng, n_members)
    return lambda rows: predict_quietly(model, rows[columns])  # sellers and categories come that are new


def _compare(models, train, left_out, test, rng, n_members):
    found = []
    for name in models:
        curve = fit_to_sellers(name, train, rng, n_members)(left_out)
        found += [(name, test, *row) for row in score_promises(curve, left_out, rng)]
    return found


_TINY = {"n_sellers": 120, "n_members": 2, "models": ["own_past", "two_part", "qrgmm_deepfm_seller", "two_part_forest"]}
_PAPER = {"n_members": 4}
_NOTE = "not in a paper; settings as on other data, nothing tried; four members of each kind of network instead of ten"
STUDIES = {
    "marketplace": Study(partial(compare_splits, marketplace_panel), {"tiny": _TINY, "paper": _PAPER}, _NOTE, 3),
    # The data are given; between replications nothing but the seeds of models differs.
    "marketplace_backtest": Study(
        partial(backtest_models, marketplace_panel), {"tiny": _TINY | {"n_vintages": 1}, "paper": _PAPER}, _NOTE, 1
    ),
    "online_retail": Study(
        partial(backtest_models, gift_panel),
        {"tiny": _TINY | {"n_vintages": 1, "min_origins": 1}, "paper": _PAPER | {"min_origins": 1}},
        _NOTE,
        1,
    ),
}
