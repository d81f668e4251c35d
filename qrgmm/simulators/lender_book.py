r"""A lender's book to learn on: advances to small sellers who come again, week by week, with a law that is known.

Applications, offers, officers who override them, weekly remittances, returns, accounts that are suspended, outcomes:
what a lender's records hold, made from a seed. Beside them stands what no lender has: the true law of every
application, and what would have become of those that were refused.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.cash import LoanTerms, PlatformTerms, net_remittances, outcomes, repay, unit_remittances
from qrgmm.checks import Rng, check_count, check_points, check_table
from qrgmm.curve import QuantileCurve, choose_levels
from qrgmm.simulators.negative_binomial import NegativeBinomialMixture

FIRST_DAY = pd.Timestamp("2022-01-03")  # a Monday: week 0 of the book, and of the year
YEAR, QUARTER, TENOR = 52, 13, 26  # weeks
PAST = 2 * QUARTER  # weeks that are simulated before the first day, so that the first applicants have a past
# Platform -> its terms, its share of the sellers, and a factor on the hazard of a suspension. Returns are drawn.
PLATFORMS = {
    "agora": (PlatformTerms(0.15, 2.0, 0.08, tax=0.2, reserve=0.1, reserve_weeks=2), 0.5, 0.7),
    "bazaar": (PlatformTerms(0.12, 1.5, 0.05, tax=0.2), 0.3, 1.0),
    "corso": (PlatformTerms(0.08, 0.0, 0.1, tax=0.2, reserve=0.2, reserve_weeks=1), 0.2, 1.7),
}
# Category -> median price in currency, tax included; share of units that come back; week of the year that sells most.
CATEGORIES = {
    "electronics": (60.0, 0.08, 47), "fashion": (40.0, 0.16, 41), "garden": (35.0, 0.04, 20),
    "kitchen": (30.0, 0.05, 46), "sports": (45.0, 0.06, 24), "toys": (25.0, 0.03, 49),
}  # fmt: skip
REGIONS = ["centre", "east", "north", "south", "west"]
# What one unit of latent quality adds to the growth of sales in a quarter, and to the logarithms of hazard and returns.
ON_GROWTH, ON_HAZARD, ON_RETURNS = 0.04, -0.5, -0.3
# Terms of a first advance and of later ones; of what a seller who goes on as before will have repaid by the week it is
# due, the lender offers a part.
FIRST, LATER = LoanTerms(18, TENOR, fee=0.1, hold_back=0.3), LoanTerms(20, TENOR, fee=0.08, hold_back=0.25)
CAUTION = 0.7
# What an officer does to the limit, and the reasons that are given. Of what officers see, in standard deviations: below
# VETO an offer is taken back, above RAISE it is raised if more was asked for, above GRANT a refused seller gets one.
FACTORS = {"": 1.0, "veto": 0.0, "raise": 1.25, "grant": 0.5}
REASONS = {
    "": [""],
    "veto": ["accounts incomplete", "stock not seen", "supplier unknown"],
    "raise": ["stock on order", "wholesale contract"],
    "grant": ["guarantee", "known to the officer"],
}
VETO, RAISE, GRANT = -1.7, 1.6, 1.0
# Nodes of the Gaussian quadrature: over the next quarter as many, per variance of its logarithm over `scatter`, as keep
# the steps between them below the width of a negative binomial law; over the quarter after it few, as it only adds.
FINE, COARSE = 125, 15
COVARIATES = [
    "platform", "category", "region", "price", "unit_revenue", "past_units", "recent_share", "return_share", "tenure",
    "rating", "n_advances", "last_outcome", "asked",
]  # fmt: skip
DECISION = ["refusal", "limit", "offer", "override", "reason", "funded", "amount", "fee", "hold_back", "due", "tenor"]
OUTCOME = ["complete", "week", "outcome", "loss", "tenor_units"]
STATE = ["level", "shock", "growth", "hazard", "scatter"]
LATENT = ["quality", "return_rate", *STATE]


class LenderTables(NamedTuple):
    """What a lender's records hold, and beside it what no lender knows.

    Attributes
    ----------
    advances : pandas.DataFrame
        A row per application, in order of time.

        - Who and when: `application`, `seller`, and `day`, a Monday.
        - Known on the day, the list in ``attrs["covariates"]``: `platform`, `category`, `region` (which is without
          effect); `price` of a unit, in currency, tax included; `unit_revenue`, what is remitted of it in the end, in
          currency; `past_units`, sold in the last 13 weeks; `recent_share`, the share of these in the last 4;
          `return_share`, the share of these that came back; `tenure` on the platform, in weeks; `rating` by buyers, 1
          to 5; `n_advances` that the seller had before; `last_outcome`, how the last of them ended, or "none";
          `asked`, the amount that the seller wants, in currency.
        - The decision: `limit`, what the lender's rule would offer, in currency; `refusal`, why the policy forbids it
          ("defaulted", "tenure", "sales", "rating" or "returns", missing if it doesn't); `offer`, the limit or 0;
          `override`, what an officer changed ("veto", "raise" or "grant", missing if nothing), and the `reason` given;
          `funded`, whether there is an advance; its `amount`, in currency, missing if there is none; the terms on
          which it is or would have been: `fee` as a share of the amount, `hold_back` as a share of remittances, `due`
          and `tenor` in weeks.
        - The outcome, missing until it is known on the last day: `complete`, whether the whole tenor has passed, funded
          or not; `week` of repayment; `outcome`, "in time", "late" or "default"; `loss`, in currency; `tenor_units`,
          sold in the weeks of the tenor, known once it has passed.
    weeks : pandas.DataFrame
        A row per week of an advance, from the day to the end of the tenor or the last day: `application`; `week`, from
        1; `units` sold and, of these, `returned`; in currency `gross`, the price of all, which is `refunded`, `taken`
        (tax and fees), `reserved` less `released`, and `remitted`; of this the lender has `collected` a part, and the
        `balance` is still owed; `suspended`, whether the account is.
    truth : pandas.DataFrame
        A row per application, in the same order: `application`, `seller`, `day`, `category`; the latent `quality` of
        the seller, standard normal, and the `return_rate` of a unit; the state on the day, which `LenderBook.cdf`
        takes: `level` of the seller's sales in the running quarter, in units a week, without season and without the
        common `shock`, which is in logarithms; `growth` of the level per quarter, in logarithms; `hazard` of a
        suspension per week; `scatter`, the variance of weekly units beyond their mean, as a multiple of the mean;
        `tenor_units`, sold in the weeks of the tenor, also by those who were refused and after the last day;
        `would_be`, how an advance of the limit, or of what was asked for if that is less, would have ended, missing
        where the limit is 0.
    """

    advances: pd.DataFrame
    weeks: pd.DataFrame
    truth: pd.DataFrame


class LenderBook:
    r"""Sellers who apply for advances again and again, a lender with a rule and officers, and all that comes of it.

    In week :math:`t` a seller whose account is not suspended sells units with the negative binomial law of mean
    :math:`\lambda_q s_t e^{F_q}` and variance :math:`1 + \theta` times that: a level that wanders from quarter to
    quarter, :math:`\log \lambda_{q+1} = \log \lambda_q + g + \omega Z`; a season that peaks with the category; a
    common shock :math:`F_q` of mean :math:`e^{F_q}` 1, independent in each quarter of 13 weeks. At the start of each
    week the account is suspended for good with probability :math:`h`, which is highest on the platform "corso".
    Platforms take their terms as `qrgmm.cash.net_remittances` does, of units that aren't returned; they give the fees
    of the others back.

    A *latent quality* makes sellers grow, and makes suspensions and returns rarer. Rating, returns and past growth
    show a little of it. Officers see more, `insight` is the correlation, and override the rule where what they see is
    extreme: so those whom they refuse are worse than funded sellers who look the same.

    The rule offers 70 % of what would be repaid by the week it is due if sales went on as in the last 13 weeks, season
    or not. It offers nothing to sellers whose last advance defaulted, with a tenure below 26 weeks, less than 52 units
    in 13 weeks, a rating below 4, or a quarter of the units returned. Who asked for more than the limit may be raised
    by a quarter of it; who is granted an advance against the policy gets half of it at most. Advances are repaid from
    the share held back (`qrgmm.cash.repay`), and a seller has one at a time.

    Parameters
    ----------
    n_sellers : int
        Who are ever on a platform.
    n_weeks : int
        From the first day, Monday 3 January 2022, to the last, which is a Monday as well.
    season : float
        In [0, 1]: 0.3 sells 30 % more in the best week of a category and 30 % less half a year away.
    loading : float
        Standard deviation of the logarithm of the common shock of a quarter, in [0, 0.3].
    wander : float
        :math:`\omega`, in [0, 0.3].
    scatter : float
        :math:`\theta` is this times the level that the seller began with; in [0.1, 5].
    suspension : float
        Hazard per week of a typical seller on the platform "bazaar", in [0, 0.1].
    insight : float
        Correlation of what officers see with the quality, in [0, 1].

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    On average over thirty books of the default size there are 2,530 applications of 599 sellers, and 2,095 advances to
    551 of them, of which 1,640 are complete. Of these 5.9 % default (4.6 to 7.2 % in single books), 12.2 % are late,
    3.0 % have their account suspended, and 1.5 % of the amounts is lost. The policy refuses 16.5 % of the applications,
    officers override 8.2 %. Of advances that the policy allows and an officer refuses 10.1 % would have defaulted, of
    those that were made 5.9 %; the difference has a standard error of 0.7.

    What is left out: an advance does not change what its seller sells, no stock runs out, no account comes back, nobody
    pays early, and nobody declines an offer.

    Examples
    --------
    >>> book = LenderBook(n_sellers=100)
    >>> advances, weeks, truth = book.draw(rng=0)
    >>> len(advances), int(advances["funded"].sum()), advances["outcome"].value_counts().to_dict()
    (379, 326, {'in time': 243, 'late': 26, 'default': 16})
    >>> weeks[["application", "week", "units", "returned", "remitted", "collected", "balance"]].head(3).round(1)
      application  week  units  returned  remitted  collected  balance
    0      A00001     1      9         0     109.2       32.8    649.2
    1      A00001     2     21         2     257.8       77.3    571.9
    2      A00001     3     17         0     263.9       79.2    492.8
    >>> book.cdf(truth[:2], [100, 150, 200]).round(2)  # P(at most 100, 150, 200 units in 26 weeks)
    array([[0.03, 0.08, 0.59],
           [0.02, 0.12, 0.67]])
    """

    def __init__(
        self,
        n_sellers: int = 700,
        n_weeks: int = 130,
        season: float = 0.3,
        loading: float = 0.1,
        wander: float = 0.2,
        scatter: float = 0.15,
        suspension: float = 0.0012,
        insight: float = 0.7,
    ) -> None:
        self.n_sellers, self.n_weeks = check_count("n_sellers", n_sellers), check_count("n_weeks", n_weeks)
        for name, value, low, high in (
            ("season", season, 0, 1), ("loading", loading, 0, 0.3), ("wander", wander, 0, 0.3),
            ("scatter", scatter, 0.1, 5), ("suspension", suspension, 0, 0.1), ("insight", insight, 0, 1),
        ):  # fmt: skip
            if not low <= value <= high:
                raise ValueError(f"{name} must be in [{low}, {high}], got {value!r}")
        self.season, self.loading, self.wander = season, loading, wander
        self.scatter, self.suspension, self.insight = scatter, suspension, insight
        n_fine = max(COARSE, int(np.ceil(FINE * (wander**2 + loading**2) / scatter)))
        nodes, weights = zip(*(np.polynomial.hermite_e.hermegauss(n) for n in (n_fine, COARSE)))
        weights = np.outer(*weights) / (2 * np.pi)  # the integral of exp(-z^2 / 2), squared
        kept = weights > 1e-14
        self._nodes = [grid[kept] for grid in np.meshgrid(*nodes, indexing="ij")]
        self._weights = weights[kept] / weights[kept].sum()

    def draw(self, rng: Rng = None) -> LenderTables:
        """Return a whole book.

        Parameters
        ----------
        rng : numpy.random.Generator, int or None
            A seed makes the whole book, another seed another one.

        Returns
        -------
        LenderTables
        """
        rng = np.random.default_rng(rng)
        sellers = self._draw_sellers(rng)
        paths = self._draw_paths(sellers, rng)
        week = np.maximum(sellers["entry"].to_numpy(), -QUARTER) + QUARTER + rng.geometric(1 / 20, self.n_sellers) - 1
        before = pd.DataFrame({"n_advances": np.zeros(self.n_sellers, dtype=int), "last_outcome": "none"})
        comes = week < self.n_weeks
        rounds: list[pd.DataFrame] = []  # all first applications, all second ones, until nobody comes again
        weekly: list[dict[str, np.ndarray]] = []
        while comes.any() or not rounds:
            # Everybody is described, so that no table is empty; who does not come is left out in the end.
            week = np.minimum(week, self.n_weeks - 1)
            comes &= week <= paths["stop"]
            rows = self._describe(sellers.join(before), paths, week, rng).assign(comes=comes)
            rows = rows.join(self._decide(rows, rng))
            ends, flows = _follow(rows, paths, week)
            rounds.append(rows := rows.join(ends))
            weekly.append(flows)
            before["n_advances"] += rows["funded"]
            before["last_outcome"] = rows["outcome"].where(rows["funded"], before["last_outcome"])
            lasted = rows["week"].fillna(TENOR).where(rows["funded"], QUARTER).to_numpy(dtype=int)
            week = week + lasted + rng.geometric(np.where(rows["funded"], 1 / 8, 1 / 13))
            comes &= week < self.n_weeks
        return self._book(pd.concat(rounds, ignore_index=True), weekly)

    def cdf(self, truth: pd.DataFrame, units: ArrayLike, n_weeks: int = TENOR) -> np.ndarray:
        r"""Return the probability that an applicant sells at most so many units in the first weeks after the day.

        .. math:: P(N \le y) = \mathrm{E} \sum_{k=0}^{H} p_k\, \mathrm{NB}\Bigl(y;\ \sum_{t < k} m_t,\ \theta\Bigr), \\
            p_k = h (1-h)^k\ (k < H), \quad p_H = (1-h)^H

        with :math:`m_t` the mean of week :math:`t` and :math:`k` the weeks before a suspension. A sum of negative
        binomial numbers of one :math:`\theta` is one itself. The expectation is over the levels and shocks of the
        quarters to come; those of the running quarter are part of the state. Given this state the past says no more, so
        that no forecast is better than this law.

        Parameters
        ----------
        truth : pandas.DataFrame
            Rows of `LenderTables.truth`, of a book with these parameters; `day`, `category` and the state are used.
        units : float or array of shape (n_points,) or (n_rows, n_points)
            Sold, returned or not; for one point per row pass ``units[:, None]``.
        n_weeks : int
            From the day on, at most 26.

        Returns
        -------
        array of shape (n_rows, n_points)
            By Gaussian quadrature, right to 1e-5 for the default parameters and to 1e-4 for all.

        Raises
        ------
        ValueError
            If `truth` lacks a column, a state is not finite or out of range, or `n_weeks` is.
        """
        mixtures = self._mixtures(truth, n_weeks)
        points = check_points("units", units, len(truth), finite=False)
        points = np.broadcast_to(points, (len(truth), points.shape[1]))
        return np.array([mixture.cdf(row) for mixture, row in zip(mixtures, points)])

    def law(self, truth: pd.DataFrame, n_weeks: int = TENOR, levels: int | ArrayLike = 100) -> QuantileCurve:
        """Return the laws of `cdf` as quantile curves.

        Parameters
        ----------
        truth : pandas.DataFrame
        n_weeks : int
            As in `cdf`.
        levels : int or array of shape (n_levels,)
            The number of equal steps from 0 to 1, or the grid itself.

        Returns
        -------
        QuantileCurve
            In units; right at its levels, and straight between them as every curve is. Its index is that of `truth`.

        Examples
        --------
        >>> book = LenderBook(n_sellers=20)
        >>> book.law(book.draw(rng=0).truth[:2], levels=[0.05, 0.5, 0.95]).values
        array([[1979., 2611., 3444.],
               [ 380.,  547.,  747.]])
        """
        levels = choose_levels(levels, 1)
        values = [mixture.ppf(levels) for mixture in self._mixtures(truth, n_weeks)]
        return QuantileCurve(levels, values, index=truth.index)

    def _draw_sellers(self, rng):
        n, quality = self.n_sellers, rng.normal(size=self.n_sellers)
        platform = rng.choice(list(PLATFORMS), n, p=[share for _, share, _ in PLATFORMS.values()])
        category = rng.choice(list(CATEGORIES), n)
        typical, returns, _ = np.array([CATEGORIES[name] for name in category]).T
        price = (typical * np.exp(0.4 * rng.normal(size=n))).clip(12).round(2)
        rate, unit_revenue = np.exp(3 + 0.8 * rng.normal(size=n)), np.empty(n)
        for name, (terms, _, _) in PLATFORMS.items():
            if (at := platform == name).any():
                sold_at_once = np.eye(1, 1 + terms.reserve_weeks)
                unit_revenue[at] = unit_remittances(price[at], sold_at_once, terms).sum(axis=1)
        often = np.array([PLATFORMS[name][2] for name in platform])
        # Half of the sellers are there at the start, the others come one by one.
        there, entry = -rng.integers(PAST, 4 * YEAR, n), rng.integers(-PAST, self.n_weeks, n)
        return pd.DataFrame(
            {
                "seller": [f"S{i:04d}" for i in range(1, n + 1)],
                "platform": platform,
                "category": category,
                "region": rng.choice(REGIONS, n),
                "price": price,
                "unit_revenue": unit_revenue,
                "entry": np.where(rng.random(n) < 0.5, there, entry),
                "quality": quality,
                "rate": rate,
                "growth": ON_GROWTH * quality,
                "hazard": (self.suspension * often * np.exp(ON_HAZARD * quality)).clip(max=1),
                "scatter": self.scatter * rate,
                "return_rate": returns * np.exp(ON_RETURNS * quality).clip(max=3),
            }
        )

    def _draw_paths(self, sellers, rng):
        """Return what happens to every seller in every week, also after the last day: the book is cut later."""
        n, time = self.n_sellers, np.arange(-PAST, self.n_weeks + TENOR)
        quarter = (time + PAST) // QUARTER
        entry, growth, hazard, scatter, rate = (
            sellers[name].to_numpy()[:, None] for name in ("entry", "growth", "hazard", "scatter", "rate")
        )
        steps = growth + self.wander * rng.normal(size=(n, quarter[-1] + 1))
        steps[np.arange(quarter[-1] + 1) <= (entry + PAST) // QUARTER] = 0.0
        level = rate * np.exp(steps.cumsum(axis=1))
        shock = self.loading * rng.normal(size=quarter[-1] + 1) - self.loading**2 / 2
        stop = np.maximum(entry, -PAST)[:, 0] + rng.geometric(np.maximum(hazard[:, 0], 1e-12)) - 1
        there = (time >= entry) & (time < stop[:, None])
        mean = (level * np.exp(shock))[:, quarter] * self._season(sellers["category"], time) * there
        units = rng.poisson(scatter * rng.gamma(mean / scatter))
        returned = rng.binomial(units, sellers["return_rate"].to_numpy()[:, None])
        return {"units": units, "returned": returned, "stop": stop, "level": level, "shock": shock}

    def _season(self, category, time):
        peak = np.array([CATEGORIES[name][2] for name in category])[:, None]
        return 1 + self.season * np.cos(2 * np.pi * (time - peak) / YEAR)

    def _describe(self, rows, paths, week, rng):
        """Return the applications of all sellers in some weeks: what was known, from weeks before, and the state."""
        n, quarter = np.arange(self.n_sellers), (week + PAST) // QUARTER
        past = n[:, None], week[:, None] + PAST + np.arange(-QUARTER, 0)
        units, returned = paths["units"][past], paths["returned"][past]
        sold, back = units.sum(axis=1), returned.sum(axis=1)
        revenue = (sold - back) * rows["unit_revenue"]
        rating = 4.4 + 0.15 * rows["quality"] + 0.15 * rng.normal(size=len(n))
        return rows.assign(
            day=FIRST_DAY + pd.to_timedelta(7 * week, unit="D"),
            past_units=sold,
            recent_share=units[:, -4:].sum(axis=1) / np.maximum(sold, 1),
            return_share=back / np.maximum(sold, 1),
            tenure=week - rows["entry"],
            rating=rating.clip(1, 5).round(1),
            asked=100 * np.ceil(0.003 * revenue * np.exp(0.4 * rng.normal(size=len(n)))).clip(1),
            revenue=revenue,
            level=paths["level"][n, quarter],
            shock=paths["shock"][quarter],
        )

    def _decide(self, rows, rng):
        """Return what rule and officer make of the applications."""
        terms = pd.DataFrame([FIRST, LATER]).iloc[(rows["n_advances"] > 0).astype(int)].reset_index(drop=True)
        expected = rows["revenue"] * terms["due"] / QUARTER * terms["hold_back"] / (1 + terms["fee"])
        limit = 10 * np.floor(CAUTION * expected / 10)
        policy = {
            "defaulted": rows["last_outcome"] == "default",
            "tenure": rows["tenure"] < 2 * QUARTER,
            "sales": rows["past_units"] < 4 * QUARTER,
            "rating": rows["rating"] < 4,
            "returns": rows["return_share"] > 0.25,
        }
        refusal = np.select(list(policy.values()), list(policy), "")
        passed = refusal == ""
        seen = self.insight * rows["quality"] + np.sqrt(1 - self.insight**2) * rng.normal(size=len(rows))
        acts = {
            "veto": passed & (seen < VETO),
            "raise": passed & (seen > RAISE) & (rows["asked"] > limit),
            "grant": ~passed & (seen > GRANT) & (limit >= 20),
        }
        override = np.select(list(acts.values()), list(acts), "")
        most = 10 * np.floor(limit * [FACTORS[act] for act in override] / 10)
        amount = np.minimum(rows["asked"], most).where(passed | (override == "grant"), 0.0)
        reasons = [REASONS[act] for act in override]
        return terms.assign(
            refusal=refusal,
            limit=limit,
            offer=limit.where(passed, 0.0),
            override=override,
            reason=[these[int(u * len(these))] for these, u in zip(reasons, rng.random(len(rows)))],
            funded=amount > 0,
            amount=amount,
        )

    def _book(self, rows, weekly):
        """Return the tables, in order of time, of what was over or paid by the last day."""
        order = rows[rows["comes"]].sort_values(["day", "seller"]).index
        rows = rows.loc[order].reset_index(drop=True)
        rows["application"] = pd.Series([f"A{i:05d}" for i in range(1, len(rows) + 1)], dtype="str")
        truth = rows[["application", "seller", "day", "category", *LATENT, "tenor_units", "would_be"]].copy()
        weeks_seen = self.n_weeks - (rows["day"] - FIRST_DAY).dt.days // 7
        funded, rows["complete"] = rows["funded"], weeks_seen >= TENOR
        for name in ("refusal", "override", "reason"):
            rows[name] = rows[name].where(rows[name] != "")
        rows["amount"] = rows["amount"].where(funded)
        known = ["week", "outcome", "loss"]
        rows[known] = rows[known].where(funded & (rows["complete"] | (rows["week"] <= weeks_seen)))
        rows["tenor_units"] = rows["tenor_units"].astype(float).where(funded & rows["complete"])
        shown = funded.to_numpy()[:, None] & (np.arange(TENOR) < weeks_seen.to_numpy()[:, None])
        row, week = np.nonzero(shown)
        weeks = pd.DataFrame({"application": rows["application"].iloc[row].array, "week": week + 1})
        for name in weekly[0]:
            weeks[name] = np.concatenate([each[name] for each in weekly])[order][shown]
        advances = rows[["application", "seller", "day", *COVARIATES, *DECISION, *OUTCOME]].copy()
        advances.attrs["covariates"] = list(COVARIATES)
        return LenderTables(advances, weeks, truth)

    def _mixtures(self, truth, n_weeks) -> Iterator[NegativeBinomialMixture]:
        """Yield the law of each row: a mixture over the week of a suspension and over the quarters to come."""
        state = _check_state(truth)
        if check_count("n_weeks", n_weeks) > TENOR:
            raise ValueError(f"n_weeks must be at most {TENOR}, got {n_weeks}")
        week = ((pd.DatetimeIndex(truth["day"]) - FIRST_DAY).days // 7).to_numpy()[:, None] + np.arange(n_weeks)
        season = self._season(truth["category"], week)
        quarter = week // QUARTER - week[:, :1] // QUARTER
        spread = np.hypot(self.wander, self.loading)
        shared = self.wander**2 / spread if spread else 0.0
        alone = np.sqrt(2 * self.wander**2 + self.loading**2 - shared**2)
        z, z2 = self._nodes
        # In logarithms, beyond growth: the next quarter, and the one after it, which inherits the level of the next.
        coming, later = spread * z - self.loading**2 / 2, shared * z + alone * z2 - self.loading**2 / 2
        for i, (level, shock, growth, hazard, scatter) in enumerate(state):
            rates = level * np.exp([np.full(len(z), shock), growth + coming, 2 * growth + later])
            means = np.cumsum(rates[quarter[i]] * season[i][:, None], axis=0)
            stays = (1 - hazard) ** np.arange(n_weeks + 1)
            stops = np.append(hazard * stays[:-1], stays[-1])
            means = np.vstack([np.zeros(len(z)), means])
            yield NegativeBinomialMixture(means.ravel(), np.outer(stops, self._weights).ravel(), scatter)


def _check_state(truth):
    columns = ["day", "category", *STATE]
    absent = [name for name in columns if name not in truth]
    if absent or len(truth) == 0:
        raise ValueError(f"truth must have rows and the columns {columns}, lacking {absent}")
    unknown = truth.loc[~truth["category"].isin(CATEGORIES), "category"].tolist()
    if unknown:
        raise ValueError(f"column 'category' of truth must be one of {list(CATEGORIES)}, got {unknown[:5]}")
    state = check_table("truth", truth[STATE], "n_columns")
    level, _, _, hazard, scatter = state.T
    if (level < 0).any() or (hazard < 0).any() or (hazard > 1).any() or (scatter <= 0).any():
        raise ValueError("truth must have a level of at least 0, a hazard in [0, 1] and a positive scatter")
    return state


def _follow(rows, paths, week):
    """Return how the advances end, and week by week the sales, the cash and what the lender has of it."""
    ahead = np.arange(len(rows))[:, None], week[:, None] + PAST + np.arange(TENOR)
    units, returned = paths["units"][ahead], paths["returned"][ahead]
    price = rows["price"].to_numpy()[:, None]
    cash = {name: np.empty(units.shape) for name in ("taken", "reserved", "released", "remitted")}
    for name, (terms, _, _) in PLATFORMS.items():
        if (at := (rows["platform"] == name).to_numpy()).any():
            parts = net_remittances((units - returned)[at], price[at, 0], terms)
            parts["taken"] = sum(parts[fee] for fee in ("tax", "referral", "fulfilment", "advertising"))
            for part, amounts in cash.items():
                amounts[at] = parts[part]
    first = (rows["n_advances"] == 0).to_numpy()
    ends, paid = _waterfall(cash["remitted"], rows["amount"].to_numpy(), first)
    would, _ = _waterfall(cash["remitted"], rows[["asked", "limit"]].min(axis=1).to_numpy(), first)
    ends["would_be"] = would["outcome"].where(rows["limit"] > 0)
    ends["tenor_units"] = units.sum(axis=1)
    sales = {"units": units, "returned": returned, "gross": units * price, "refunded": returned * price}
    return ends, sales | cash | paid | {"suspended": ahead[1] - PAST >= paths["stop"][:, None]}


def _waterfall(remitted, loans, first):
    """Return the outcomes of first and of later advances, and what is collected and still owed week by week."""
    paid, ends = {name: np.empty(remitted.shape) for name in ("collected", "balance")}, []
    for terms, at in (FIRST, first), (LATER, ~first):
        if at.any():
            cash = repay(remitted[at], loans[at], terms)
            paid["collected"][at], paid["balance"][at] = cash["fee"] + cash["principal"], cash["balance"]
            ends.append(outcomes(cash["balance"], terms).set_index(np.flatnonzero(at)))
    return pd.concat(ends).sort_index(), paid
