r"""A marketplace of small sellers in time: season, drift, shocks that hit all at once, and sellers who stop.

A stand-in for dated sales of real sellers, with their columns, and with a law that is known: what a promise is worth
when the calendar goes on can be computed here instead of waited for. Chapter 15.
"""

from itertools import product as combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import poisson

from qrgmm.checks import Rng, check_count, check_points

FIRST_DAY, LAST_DAY = pd.Timestamp("2017-01-01"), pd.Timestamp("2018-08-31")
DAYS = pd.date_range(FIRST_DAY, LAST_DAY)
QUARTERS = np.unique(DAYS.to_period("Q"), return_inverse=True)[1]  # of each day, counted from 0
N_QUARTERS = QUARTERS[-1] + 1
STATES = {"SP": 0.68, "PR": 0.1, "MG": 0.08, "SC": 0.06, "RJ": 0.05, "RS": 0.03}
# Category -> median price in reais.
CATEGORIES = {
    "auto": 110.0, "baby": 80.0, "bed_bath_table": 80.0, "computers_accessories": 85.0, "furniture_decor": 65.0,
    "garden_tools": 60.0, "health_beauty": 80.0, "housewares": 60.0, "sports_leisure": 80.0, "telephony": 35.0,
    "toys": 80.0, "watches_gifts": 130.0,
}  # fmt: skip
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # of the standard normal law, once the weights sum to 1
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Marketplace:
    r"""Sellers who come, sell items on some days, and stop; what they will sell, given that they are there, has a law.

    On day :math:`t` a seller who is there sells a Poisson number of items with mean
    :math:`\lambda\, s_t\, e^{g t / 365}\, e^{\sigma F_q - \sigma^2 / 2}`: a rate of one's own, a season that peaks in
    the middle of November, a drift :math:`g` a year, and a standard normal shock of the quarter :math:`q` that is the
    same for all. After each day the seller stops for good with probability :math:`h`, which is smaller for large
    sellers. More sellers come each month. The number sold over a horizon is then a mixture of Poisson laws over the
    last day and over the shocks, see `cdf`.

    Parameters
    ----------
    n_sellers : int
        Who ever come.
    season : float
        Of the season, in [0, 1): 0.3 sells 30 % more in mid-November and 30 % less in mid-May.
    growth : float
        Drift of every seller's rate per year, in logarithms; below 0 where a marketplace grows crowded.
    loading : float
        Of the common shock on the logarithm of rates, at least 0.
    exit_probability : float
        Per day, of a seller with the median rate, in [0, 1).

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> market = Marketplace(n_sellers=50)
    >>> sellers = market.draw_sellers(rng=0)
    >>> items = market.draw(rng=0)
    >>> items.columns.tolist()
    ['order', 'line', 'seller', 'product', 'category', 'state', 'price', 'freight', 'date']
    >>> market.cdf(sellers[:2], "2018-04-01", 90, [0, 5, 50]).round(2)  # P(at most 0, 5, 50 items)
    array([[0.01, 0.21, 1.  ],
           [0.02, 0.44, 1.  ]])
    """

    def __init__(
        self,
        n_sellers: int = 1000,
        season: float = 0.3,
        growth: float = -0.4,
        loading: float = 0.2,
        exit_probability: float = 0.0012,
    ) -> None:
        self.n_sellers = check_count("n_sellers", n_sellers)
        for name, value, low, high in (
            ("season", season, 0, 1), ("growth", growth, -np.inf, np.inf), ("loading", loading, 0, np.inf),
            ("exit_probability", exit_probability, 0, 1),
        ):  # fmt: skip
            if not low <= value < high or np.isinf(value):
                raise ValueError(f"{name} must be in [{low}, {high}), got {value!r}")
        self.season, self.growth, self.loading, self.exit_probability = season, growth, loading, exit_probability

    def draw_sellers(self, rng: Rng = None) -> pd.DataFrame:
        """Return the sellers: who they are, their own rate and exit, and the day from which they sell.

        Parameters
        ----------
        rng : numpy.random.Generator, int or None

        Returns
        -------
        pandas.DataFrame
            `seller`, `category`, `state`, `rate` in items a day, `exit_probability` a day, `price` of a typical product
            in reais, and `entry`, a day.
        """
        rng, n = np.random.default_rng(rng), self.n_sellers
        size = rng.normal(size=n)
        category = rng.choice(list(CATEGORIES), n)
        # A tenth is there at the start; of the others, more come the later it is.
        entry = np.where(rng.random(n) < 0.1, 0, (len(DAYS) * np.sqrt(rng.random(n))).astype(int))
        return pd.DataFrame(
            {
                "seller": [f"seller_{i:04d}" for i in range(n)],
                "category": category,
                "state": rng.choice(list(STATES), n, p=list(STATES.values())),
                "rate": 0.2 * np.exp(1.2 * size),
                "exit_probability": self.exit_probability * np.exp(-0.4 * size).clip(0.3, 3),
                "price": pd.Series(category).map(CATEGORIES) * np.exp(0.6 * rng.normal(size=n)),
                "entry": DAYS[entry],
            }
        )

    def draw_shocks(self, rng: Rng = None) -> np.ndarray:
        """Return one common shock per quarter, standard normal: array of shape (n_quarters,)."""
        return np.random.default_rng(rng).normal(size=N_QUARTERS)

    def draw(
        self, rng: Rng = None, sellers: pd.DataFrame | None = None, shocks: ArrayLike | None = None
    ) -> pd.DataFrame:
        """Return the items sold from January 2017 to August 2018, in order of time.

        Parameters
        ----------
        rng : numpy.random.Generator, int or None
        sellers : pandas.DataFrame, optional
            As `draw_sellers` returns them; drawn if not given.
        shocks : array of shape (n_quarters,), optional
            As `draw_shocks` returns them; drawn if not given.

        Returns
        -------
        pandas.DataFrame
            With the columns of `qrgmm.datasets.load_marketplace`.
        """
        rng = np.random.default_rng(rng)
        sellers = self.draw_sellers(rng) if sellers is None else sellers
        demand = self.demand(self.draw_shocks(rng) if shocks is None else shocks)
        entry = DAYS.get_indexer(pd.DatetimeIndex(sellers["entry"]))
        exit_probability = sellers["exit_probability"].to_numpy()
        stays = rng.geometric(np.maximum(exit_probability, 1e-12))
        day = np.arange(len(DAYS))
        there = (day >= entry[:, None]) & (day < (entry + stays)[:, None])
        who, when = np.nonzero(counts := rng.poisson(sellers["rate"].to_numpy()[:, None] * demand * there))
        who, when = np.repeat([who, when], counts[who, when], axis=1)
        n = len(who)
        # Of up to twelve products the first sell most.
        rank = np.floor(12 ** (rng.random(n) ** 1.5)).astype(int) - 1
        price_of = np.exp(0.4 * rng.normal(size=(len(sellers), 12))) * sellers["price"].to_numpy()[:, None]
        price = price_of[who, rank].round(2)
        name = sellers["seller"].to_numpy(dtype=object)[who]
        moment = DAYS[when] + pd.to_timedelta(rng.integers(86_400, size=n), unit="s")
        items = pd.DataFrame(
            {
                "line": 1,
                "seller": pd.Series(name, dtype="str"),
                "product": pd.Series([f"{seller}_{k}" for seller, k in zip(name, rank)], dtype="str"),
                "category": sellers["category"].to_numpy()[who],
                "state": sellers["state"].to_numpy()[who],
                "price": price,
                "freight": (8 + 0.06 * price * rng.gamma(4, 0.25, n)).round(2),
                "date": moment,
            }
        ).sort_values("date", kind="stable", ignore_index=True)
        items.insert(0, "order", [f"order_{i:06d}" for i in range(n)])
        return items

    def demand(self, shocks: ArrayLike) -> np.ndarray:
        """Return what a rate is multiplied by on each day from January 2017 to August 2018.

        Parameters
        ----------
        shocks : array of shape (..., n_quarters)

        Returns
        -------
        array of shape (..., n_days)
        """
        time = np.arange(len(DAYS))
        season = 1 + self.season * np.cos(2 * np.pi * (DAYS.day_of_year.to_numpy() - 319) / 365)
        shocks = np.asarray(shocks, dtype=float)[..., QUARTERS]
        return season * np.exp(self.growth * time / 365 + self.loading * shocks - self.loading**2 / 2)

    def cdf(
        self,
        sellers: pd.DataFrame,
        origin: str | pd.Timestamp,
        horizon: int,
        units: ArrayLike,
        shocks: ArrayLike | None = None,
    ) -> np.ndarray:
        r"""Return the probability that a seller who is there at the origin sells at most so many items by the horizon.

        .. math:: P(N \le y) = \mathrm{E}_F \sum_{k=1}^{H} p_k\, \mathrm{Poisson}\Bigl(y;\ \lambda \sum_{j<k} d_{t+j}(F)
            \Bigr), \\ p_k = h (1-h)^{k-1}\ (k < H), \quad p_H = (1-h)^{H-1}

        with :math:`d` from `demand`. The mean over the shocks is Gaussian quadrature.

        Parameters
        ----------
        sellers : pandas.DataFrame
            As `draw_sellers` returns them.
        origin : day
        horizon : int
            Days, the origin the first of them.
        units : float or array of shape (n_points,) or (n_rows, n_points)
        shocks : array of shape (n_quarters,), optional
            What the quarters brought, for the law given the shocks; by default nobody knows them.

        Returns
        -------
        array of shape (n_rows, n_points)

        Raises
        ------
        ValueError
            If origin and horizon leave the time from January 2017 to August 2018.
        """
        horizon = check_count("horizon", horizon)
        units = check_points("units", units, len(sellers), finite=False)
        first = (pd.Timestamp(origin) - FIRST_DAY).days
        if first < 0 or first + horizon > len(DAYS):
            raise ValueError(f"origin and horizon must lie in {DAYS[0]:%Y-%m-%d} to {LAST_DAY:%Y-%m-%d}, got {origin}")
        window = slice(first, first + horizon)
        if shocks is None:
            hit = np.unique(QUARTERS[window])
            grid = list(combinations(range(len(NODES)), repeat=len(hit)))
            states = np.zeros((len(grid), N_QUARTERS))
            states[:, hit], weights = NODES[grid], WEIGHTS[grid].prod(axis=1)
        else:
            states, weights = np.atleast_2d(shocks), np.ones(1)
        total = self.demand(states)[:, window].cumsum(axis=1)
        stays = (1 - sellers["exit_probability"].to_numpy()[:, None]) ** np.arange(horizon)
        last = np.append(-np.diff(stays), stays[:, -1:], axis=1)
        units = np.broadcast_to(units, (len(sellers), units.shape[1]))
        law = np.empty(units.shape)
        for i, rate in enumerate(sellers["rate"]):  # one seller at a time, or the table of states would not fit
            law[i] = [weights @ poisson.cdf(y, rate * total) @ last[i] for y in units[i]]
        return law
