r"""A stand-in for private data: quarterly sales of a company that sells abroad on a marketplace, team by team.

Section 6.2.2 of the SCF paper learns from 3,495 sales records of a company that nobody else can get. `CrossBorderSales`
has their published dimensions and what the paper says of their structure; every number behind it is made up here, so
that it shows how methods behave on such data and never what that company sold. Unlike real data it has a true law.
Chapter 12.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize.elementwise import find_root
from scipy.special import expit, gammainc, gammaincinv

from qrgmm.checks import Rng, check_points
from qrgmm.simulators.simulator import check_fields

N_RECORDS = 3495
N_LEVELS = {"category": 99, "store": 131, "selection_team": 23, "sales_team": 23}
FIELDS = {name: pd.Index([f"{name}_{i:03d}" for i in range(1, n + 1)]) for name, n in N_LEVELS.items()}
# Each continuous covariate: a typical listing's, and the smallest and the largest that the law accepts.
LISTING = {
    "advertising_spend": (150.0, 0, np.inf),  # US dollars in the quarter
    "impressions": (30_000, 0, np.inf),  # how often an advertisement was shown in the quarter
    "clicks": (150, 0, np.inf),
    "sale_price": (25.0, 0.01, np.inf),  # US dollars
    "product_cost": (8.0, 0.01, np.inf),
    "average_rating": (4.3, 1, 5),  # stars
    "n_reviews": (40, 0, np.inf),
}
# What one unit more of each covariate as `_transformed` adds to the logarithm of the level, to the log-odds of a
# stalled listing and to the logarithm of the shape.
ON_LEVEL = np.array([0.03, 0.03, 0.2, -0.3, 0.0, 0.3, 0.08])
ON_STALL = np.array([0.0, 0.0, -0.1, 0.0, -0.8, -1.0, -0.25])
ON_SHAPE = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.12])
TYPICAL_LEVEL, TYPICAL_SHAPE, TYPICAL_ODDS = 110.0, 3.5, 0.12
STALLED_SHARE = 0.06  # mean sales of a stalled listing, as a share of a live one's
PARAMETER_SEED = 2023


class CrossBorderSales:
    r"""Quarterly sales, in units, of products sold abroad: a stand-in for the private Amazon data of the SCF paper.

    **No number in it comes from that company.** It has the published dimensions: 99 product categories, 131 stores, 23
    teams that select products and 23 that sell them, seven continuous covariates, 3,495 records by default. The rest is
    ours, with parameters drawn once from a fixed seed. Sales are a level times a mixture of a live and a stalled
    listing (out of stock, suspended), which makes the lump of slow movers near zero:

    .. math::
        Y = \mu(x)\,\varepsilon, \qquad \varepsilon \sim (1 - \pi(x))\, \mathrm{Gamma}\bigl(k(x), 1/k(x)\bigr)
        + \pi(x)\, \mathrm{Exponential}(0.06)

    where 0.06 is a mean. :math:`\log \mu`, :math:`\log k` and the log-odds of :math:`\pi` are linear in transformed
    covariates and in effects of category, store and teams. To :math:`\log \mu` come an effect of the pair of teams and
    how much a click is worth to each sales team. Of the variance of pairs about two thirds have rank 3, as in a
    factorization machine, and the rest has no structure.

    Attributes
    ----------
    pair_effects : array of shape (23, 23)
        What a selection team (row) and a sales team (column) add to :math:`\log \mu` beyond what each adds alone.

    Raises
    ------
    ValueError
        By every method: if `X` lacks a column, has an unknown level, or a value that is not finite or out of range.

    Notes
    -----
    Stands in for SCF paper, section 6.2.2; chapter 12. Sales are not rounded to whole units.

    Examples
    --------
    >>> simulator = CrossBorderSales()
    >>> X = simulator.draw_covariates(rng=0)
    >>> X.shape
    (3495, 11)
    >>> X.loc[:1, ["advertising_spend", "impressions", "clicks", "sale_price", "product_cost"]]
       advertising_spend  impressions  clicks  sale_price  product_cost
    0             168.50        34528     183       37.90          9.59
    1             252.71        61596     240       50.64         23.87
    >>> simulator.ppf(X[:2], [0.05, 0.5, 0.95]).round(1)
    array([[ 15.4, 207.6, 431.6],
           [  1.7,  64.2, 154.4]])
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(PARAMETER_SEED)

        def effects(name, sd):
            return sd * rng.normal(size=N_LEVELS[name])

        self._on_level = {name: effects(name, sd) for name, sd in zip(FIELDS, (0.2, 0.15, 0.15, 0.15))}
        self._on_stall = {"store": effects("store", 0.6)}
        self._on_shape = {"category": effects("category", 0.2)}
        self._worth_of_click = effects("sales_team", 0.08)
        similar = rng.normal(size=(23, 3)) @ rng.normal(size=(3, 23)) / np.sqrt(3)
        pairs = np.sqrt(2 / 3) * similar + np.sqrt(1 / 3) * rng.normal(size=(23, 23))
        pairs -= pairs.mean(axis=0) + pairs.mean(axis=1, keepdims=True) - pairs.mean()
        self.pair_effects = 0.37 * pairs / pairs.std()
        # Who works with whom: each row of a table is a law. A store sells for one selection team and now and then for a
        # second; a selection team has its own mixture of sales teams and of categories.
        self._stores = _uneven(131)
        teams = np.concatenate([np.arange(23), rng.choice(23, 108, p=_uneven(23))]), rng.integers(23, size=131)
        self._selection_teams = 0.85 * np.eye(23)[teams[0]] + 0.15 * np.eye(23)[teams[1]]
        self._sales_teams = _normalised(_uneven(23) * rng.gamma(0.5, size=(23, 23)))
        self._categories = _normalised(_uneven(99) * (0.3 + rng.gamma(0.3, size=(23, 99))))
        self._typical_cost = effects("category", 0.5)

    def draw_covariates(self, n_rows: int = N_RECORDS, rng: Rng = None) -> pd.DataFrame:
        """Return independent listings.

        Past sales, which are not among the covariates, depend on category and teams and drive reviews and advertising;
        what is spent drives impressions, and they drive clicks. Prices are a multiple of the cost.

        Parameters
        ----------
        n_rows : int
        rng : numpy.random.Generator, int or None

        Returns
        -------
        pandas.DataFrame of shape (n_rows, 11)
            The four fields of `FIELDS` and the seven continuous covariates of `LISTING`.
        """
        rng = np.random.default_rng(rng)

        def normal(sd):
            return sd * rng.normal(size=n_rows)

        def typical(name):
            return LISTING[name][0]

        store = rng.choice(131, n_rows, p=self._stores)
        selection = _choose(self._selection_teams[store], rng)
        sales, category = _choose(self._sales_teams[selection], rng), _choose(self._categories[selection], rng)
        codes = dict(zip(FIELDS, (category, store, selection, sales)))
        history = self._fixed_effects(codes) + normal(0.7)
        spend = np.round(typical("advertising_spend") * np.exp(0.5 * history + normal(0.8)), 2)
        impressions = rng.poisson(200 * spend * np.exp(normal(0.4)))
        quality = normal(1.0)
        clicks = rng.binomial(impressions, np.minimum(0.005 * np.exp(0.1 * quality + normal(0.3)), 0.1))
        reviews = 1 + rng.poisson(typical("n_reviews") * np.exp(history + normal(0.8)))
        rating = typical("average_rating") + 0.3 * quality + normal(0.9) / np.sqrt(reviews)
        cost = typical("product_cost") * np.exp(self._typical_cost[category] + normal(0.3))
        price = cost * (1.5 + rng.gamma(4, 0.4, n_rows))
        continuous = spend, impressions, clicks, price.round(2), cost.round(2), rating.clip(1, 5).round(1), reviews
        fields = {name: FIELDS[name][code] for name, code in codes.items()}
        return pd.DataFrame(fields | dict(zip(LISTING, continuous)))

    def draw(self, X: pd.DataFrame, rng: Rng = None) -> np.ndarray:
        """Return one independent draw of sales per row, (n_rows,)."""
        rng = np.random.default_rng(rng)
        level, stall, shape = (each[:, 0] for each in self.law_parameters(X))
        live = rng.gamma(shape) / shape
        stalled = rng.exponential(STALLED_SHARE, len(level))
        return level * np.where(rng.random(len(level)) < stall, stalled, live)

    def cdf(self, X: pd.DataFrame, y: ArrayLike) -> np.ndarray:
        """Return the true conditional distribution function.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, 11)
        y : float or array of shape (n_points,) or (n_rows, n_points)
            For one point per row pass ``y[:, None]``.

        Returns
        -------
        array of shape (n_rows, n_points)
        """
        level, stall, shape = self.law_parameters(X)
        return _mixture(np.maximum(check_points("y", y, len(level), finite=False), 0) / level, stall, shape)

    def ppf(self, X: pd.DataFrame, levels: ArrayLike) -> np.ndarray:
        """Return the true conditional quantiles, by numerical inversion of `cdf` to the last digits.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, 11)
        levels : float or array of shape (n_levels,) or (n_rows, n_levels)
            In [0, 1].

        Returns
        -------
        array of shape (n_rows, n_levels)
        """
        level, stall, shape = self.law_parameters(X)
        u, stall, shape = np.broadcast_arrays(check_points("levels", levels, len(level), 0, 1), stall, shape)
        inside = u < 1
        u, stall, shape = u[inside], stall[inside], shape[inside]
        # A quantile of a mixture lies between those of its components.
        ends = np.sort([-STALLED_SHARE * np.log1p(-u), gammaincinv(shape, u) / shape], axis=0)
        quantiles = np.full(inside.shape, np.inf)
        quantiles[inside] = find_root(lambda e, u, *law: _mixture(e, *law) - u, tuple(ends), args=(u, stall, shape)).x
        return level * quantiles

    def mean(self, X: pd.DataFrame) -> np.ndarray:
        """Return the true conditional means, (n_rows,)."""
        level, stall, _ = self.law_parameters(X)
        return (level * (1 - stall + stall * STALLED_SHARE))[:, 0]

    def std(self, X: pd.DataFrame) -> np.ndarray:
        """Return the true conditional standard deviations, (n_rows,)."""
        level, stall, shape = self.law_parameters(X)
        square = (1 - stall) * (1 + 1 / shape) + stall * 2 * STALLED_SHARE**2
        return np.sqrt(level**2 * square - self.mean(X)[:, None] ** 2)[:, 0]

    def law_parameters(self, X: pd.DataFrame) -> tuple[np.ndarray, ...]:
        r"""Return the numbers that make up the true law of every listing.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, 11)

        Returns
        -------
        level : array of shape (n_rows, 1), in units sold
            :math:`\mu(x)`, the mean sales of a live listing.
        stall : array of shape (n_rows, 1)
            :math:`\pi(x)`, the probability of a stalled listing.
        shape : array of shape (n_rows, 1)
            :math:`k(x)` of the gamma law of a live listing.

        Examples
        --------
        >>> simulator = CrossBorderSales()
        >>> level, stall, shape = simulator.law_parameters(simulator.draw_covariates(1, rng=0))
        >>> round(level.item(), 1), round(stall.item(), 3), round(shape.item(), 2)
        (62.3, 0.119, 3.0)
        """
        codes, x = self._checked(X)
        z = _transformed(x) - _transformed(
            np.array([[typical for typical, _, _ in LISTING.values()]])
        )
        log_level = np.log(TYPICAL_LEVEL) + z @ ON_LEVEL + self._fixed_effects(codes)
        log_level += self._worth_of_click[codes["sales_team"]] * z[:, 2]
        log_odds = (
            np.log(TYPICAL_ODDS)
            + z @ ON_STALL
            + self._on_stall["store"][codes["store"]]
        )
        log_shape = (
            np.log(TYPICAL_SHAPE)
            + z @ ON_SHAPE
            + self._on_shape["category"][codes["category"]]
        )
        law = np.exp(log_level), expit(log_odds), np.exp(log_shape)
        return tuple(parameter[:, None] for parameter in law)

    def _fixed_effects(self, codes):
        alone = sum(effects[codes[name]] for name, effects in self._on_level.items())
        return alone + self.pair_effects[codes["selection_team"], codes["sales_team"]]

    def _checked(self, X):
        check_fields(X, FIELDS, LISTING)
        for name, (_, lowest, highest) in LISTING.items():
            values = pd.to_numeric(X[name], errors="coerce").to_numpy(dtype=float)
            good = np.isfinite(values) & (values >= lowest) & (values <= highest)
            if not good.all():
                found = X[name][~good].tolist()[0]
                raise ValueError(f"column {name!r} of X must be finite, from {lowest} to {highest}, got {found!r}")
        return {name: known.get_indexer(X[name]) for name, known in FIELDS.items()}, X[[*LISTING]].to_numpy(dtype=float)


def _transformed(x):
    """Logarithms of spend, impressions, clicks, price, price over cost and reviews; the rating as it is."""
    spend, impressions, clicks, price, cost, rating, reviews = x.T
    counts = np.log1p([spend, impressions, clicks])
    return np.column_stack([*counts, np.log(price), np.log(price / cost), rating, np.log1p(reviews)])


def _mixture(e, stall, shape):
    return stall * -np.expm1(-e / STALLED_SHARE) + (1 - stall) * gammainc(shape, shape * e)


def _uneven(n):
    """Probabilities that fall like those of Zipf, flattened at the top."""
    return _normalised(1 / (np.arange(n) + 0.1 * n))


def _normalised(weights):
    return weights / weights.sum(axis=-1, keepdims=True)


def _choose(probabilities, rng):
    """One column per row of probabilities."""
    below = probabilities.cumsum(axis=1)[:, :-1]
    return (below < rng.random((len(below), 1))).sum(axis=1)
