r"""What the desk promised against what came, vintage by vintage: lights, grades, overrides, drift, and what to change.

Two yardsticks stand side by side. One takes loans for independent, as the traffic light of the Basel committee does;
the other lets the loans of a vintage share one factor, under which many more may default together without any fault of
the desk. A promise counts as broken only where the second is not green either. Chapters 16 and 19.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln, log_ndtr, ndtri

from qrgmm.backtest import (
    ZONES,
    BacktestResult,
    binomial_test,
    compare_promises,
    cost_of_error,
    hosmer_lemeshow_test,
    population_stability_index,
    traffic_light,
)
from qrgmm.checks import check_count, check_level
from qrgmm.desk.settled import GROUPS, Settled
from qrgmm.recalibration import recalibrated_level, shifted_level

FACTOR = np.linspace(-8, 8, 641)  # fine and wide enough for the zone of red, one vintage in ten thousand
WEIGHTS = stats.norm.pdf(FACTOR) / stats.norm.pdf(FACTOR).sum()
TOO_FEW = "too few"
COLOURS = np.array(["green", "yellow", "red"])
BAND = 0.05, 0.95  # levels between which nine in ten vintages lie
PSI_BINS = 10
MOST_LABELS = 30  # of a column of text whose shares are compared


class Recalibration(NamedTuple):
    """The level at which the loans that have ended would have kept their promise.

    Attributes
    ----------
    promise, level, low, high : float
        The level that was meant, the one that would have kept it, and its range, of nine in ten, if loans of a vintage
        share a factor.
    n : int
        Loans that it rests on.
    by_laws : bool
        Whether it is read from where revenue fell in its laws; else from defaults alone, taking all revenue to have
        moved by as much on the normal scale.
    """

    promise: float
    level: float
    low: float
    high: float
    n: int
    by_laws: bool


@dataclass(frozen=True)
class VintageReport:
    """What the desk promised against what came.

    Attributes
    ----------
    verdict : {"kept", "in doubt", "broken", "too few"}
        Kept if the light of all loans is green; broken if it isn't even where loans share a factor; too few loans where
        less than one default was promised: the lights are then too few as well.
    vintages : pandas.DataFrame
        A row per vintage, and one for all where there are several: waiting (loans not over), n, lent, and of the loans
        with a promise n_judged, promised and observed default share, defaults, error (standard, of independent loans)
        and error_together; band_low and band_high, between which nine in ten vintages lie that keep the promise and
        share a factor; p_value and light for independent loans, p_together and light_together for those that share one;
        green_rate and green_rate_shared, how often a promise that is kept gets a green light if loans are independent,
        and if they share a factor; expected_loss and loss of loans whose expected loss is known, with the standard
        loss_error of the difference, and lost_in_all; with a margin, forgone, lost_beyond and their sum, the cost
        against the best loans in hindsight.
    clustered : pandas.Series
        Of all loans: `compare_promises`, clustered by vintage and seller.
    grades : pandas.DataFrame
        `compare_promises` by grade of promised probability.
    grade_test : BacktestResult or None
        Of Hosmer and Lemeshow; None where all loans are promised the same.
    overrides : pandas.DataFrame
        By group of `qrgmm.desk.settled.GROUPS`, what was lent beside the desk's own amounts; empty where outcomes don't
        say what was lent.
    drift : pandas.DataFrame
        A row per vintage and column: psi, by_chance (what one in twenty comparisons exceeds where nothing moved) and
        size in a word.
    places : pandas.DataFrame
        Where revenue fell in its laws: promised and observed share between neighbouring quantiles; empty without laws.
    recalibration : Recalibration
    loading : float
        Of the loans of a vintage on their factor, assumed.
    settled : Settled
    """

    verdict: str
    vintages: pd.DataFrame
    clustered: pd.Series
    grades: pd.DataFrame
    grade_test: BacktestResult | None
    overrides: pd.DataFrame
    drift: pd.DataFrame
    places: pd.DataFrame
    recalibration: Recalibration
    loading: float
    settled: Settled


def report_vintages(
    settled: Settled,
    loading: float = 0.3,
    n_grades: int = 5,
    margin: float | None = None,
    applicants: Mapping[str, pd.DataFrame] | None = None,
    reference: pd.DataFrame | None = None,
) -> VintageReport:
    """Return the vintage report of loans that have ended.

    Parameters
    ----------
    settled : Settled
        From `settle_loans`.
    loading : float
        In [0, 1): assumed of all loans of a vintage on one common factor; vintages are taken for independent.
    n_grades : int
        Grades of equal size that promises are put into, where there are more promises than that.
    margin : float, optional
        What a loan earns of itself, in (0, 1), for the cost of loans too small and too large.
    applicants : dict of str to DataFrame, optional
        Of every vintage, a table with columns that the reference has, too.
    reference : pandas.DataFrame, optional
        Those whom the model was fitted to, by default the first of `applicants`.

    Returns
    -------
    VintageReport

    Raises
    ------
    ValueError
        If no loan has ended that something was promised about, or in some vintage nothing or everything is promised to
        default.

    Notes
    -----
    Chapters 16 and 19.

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> decisions = pd.DataFrame({"seller": range(200), "vintage": "May", "loan": 50.0})
    >>> decisions = decisions.assign(default_probability=0.05, expected_loss=0.4)
    >>> outcomes = pd.DataFrame({"seller": range(200), "revenue": [40.0] * 22 + [90.0] * 178})
    >>> found = report_vintages(settle_loans(decisions, outcomes))
    >>> found.verdict
    'in doubt'
    >>> found.vintages[["promised", "observed", "light", "light_together"]]
         promised  observed   light light_together
    May      0.05      0.11  yellow          green
    """
    if not 0 <= loading < 1:
        raise ValueError(f"loading must be in [0, 1), got {loading!r}")
    loans = settled.loans
    judged = loans[loans["promised"].notna()]
    if judged.empty:
        known = f"got {len(loans)} loans that ended, none of them with a promise"
        raise ValueError(f"some loan must have ended that a default probability was promised for, {known}")
    money = _count_money(settled, margin)
    vintages = money.join(_judge_vintages(judged, loading, "all" in money.index))
    row = vintages.iloc[-1]
    lights = row["light"], row["light_together"]
    doubt = "in doubt" if lights[1] == "green" else "broken"
    verdict = {"green": "kept", TOO_FEW: TOO_FEW}.get(lights[0], doubt)
    clusters = judged[["vintage", "seller"]] if judged["vintage"].nunique() > 1 else None
    clustered = compare_promises(judged["promised"], judged["defaulted"], clusters=clusters).iloc[0]
    grades, test = _judge_grades(judged, n_grades)
    return VintageReport(
        verdict, vintages, clustered, grades, test, _compare_overrides(settled), _measure_drift(applicants, reference),
        _place_outcomes(settled), _recalibrate(settled, loading), float(loading), settled,
    )  # fmt: skip


def default_count_law(probability: float, loading: float, n_loans: int) -> np.ndarray:
    r"""Return the probabilities of 0, 1, ... defaults among loans that share a factor.

    .. math:: P(N = k) = \int \binom{n}{k} p(z)^k (1 - p(z))^{n-k} \varphi(z)\, dz, \qquad
        p(z) = \Phi\Bigl(\frac{\Phi^{-1}(p) + \rho z}{\sqrt{1 - \rho^2}}\Bigr)

    Parameters
    ----------
    probability : float
        With which each loan defaults, in (0, 1).
    loading : float
        :math:`\rho`, in [0, 1).
    n_loans : int

    Returns
    -------
    array of shape (n_loans + 1,)

    Notes
    -----
    `qrgmm.portfolio.vintage_share` has quantiles of the same law. Vasicek (2002); chapter 16.

    Examples
    --------
    >>> default_count_law(0.2, 0.0, 2).round(6)  # independent: binomial
    array([0.64, 0.32, 0.04])
    >>> default_count_law(0.2, 0.5, 2).round(2)
    array([0.66, 0.28, 0.06])
    """
    n_loans, probability = check_count("n_loans", n_loans), check_level("probability", probability)
    score = (ndtri(probability) + loading * FACTOR) / np.sqrt(1 - loading**2)
    k = np.arange(n_loans + 1)
    ways, law = gammaln(n_loans + 1) - gammaln(k + 1) - gammaln(n_loans - k + 1), np.zeros(n_loans + 1)
    for weight, defaults, repays in zip(WEIGHTS, log_ndtr(score), log_ndtr(-score)):
        law += weight * np.exp(ways + k * defaults + (n_loans - k) * repays)
    return law


def _law_of_all(vintages, probabilities, loading):
    """The law of the number of defaults in all vintages, each with its own factor."""
    law = np.ones(1)
    for _, members in probabilities.groupby(vintages, sort=False):
        law = np.convolve(law, default_count_law(members.mean(), loading, len(members)))
    return law


def _judge_vintages(judged, loading, several):
    """Promised and observed defaults of every vintage, and of all."""
    groups = [(name, members) for name, members in judged.groupby("vintage", sort=False)]
    rows = {}
    for name, members in groups + [("all", judged)] * several:
        n, defaults, promised = len(members), int(members["defaulted"].sum()), members["promised"].mean()
        if not 0 < promised < 1:
            raise ValueError(
                f"some loan of vintage {name!r} must be promised to default with a probability inside (0, 1), got "
                f"{promised:g} for all {n}; --promise, or promise=..., says what was promised"
            )
        law = _law_of_all(members["vintage"], members["promised"], loading)
        counts, up_to = np.arange(n + 1), np.cumsum(law)
        band = np.searchsorted(up_to, BAND).clip(max=n) / n
        shared = str(COLOURS[np.searchsorted(ZONES, up_to[defaults], side="right")])
        green = traffic_light(counts, n, promised) == "green"
        rows[name] = {
            "n_judged": n, "promised": promised, "observed": defaults / n, "defaults": defaults,
            "error": np.sqrt((members["promised"] * (1 - members["promised"])).sum()) / n,
            "error_together": np.sqrt(law @ counts**2 - (law @ counts) ** 2) / n,
            "band_low": band[0], "band_high": band[1],
            "p_value": float(binomial_test(defaults, n, promised)),
            "light": _choose(str(traffic_light(defaults, n, promised)), defaults, n * promised),
            "green_rate": float(stats.binom.pmf(counts, n, promised)[green].sum()),
            "p_together": float(law[defaults:].sum()),
            "light_together": _choose(shared, defaults, n * promised),
            "green_rate_shared": float(law[green].sum()),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def _choose(light, defaults, expected):
    """A light, unless there is too little to see, or no more came than was promised."""
    return TOO_FEW if expected < 1 - 1e-9 else "green" if defaults <= expected else light


def _count_money(settled, margin):
    """What was lent and lost in every vintage and in all, beside the expected loss where it is known."""
    loans = settled.loans[settled.loans["amount"] > 0]
    names = list(loans["vintage"].unique())
    rows = {}
    for name in [*names, *(["all"] if len(names) > 1 else [])]:
        members = loans if name == "all" else loans[loans["vintage"] == name]
        known = members[members["expected_loss"].notna()]
        waiting = settled.waiting.sum() if name == "all" else settled.waiting.get(name, 0)
        row = {"waiting": int(waiting), "n": len(members), "lent": members["amount"].sum()}
        row |= {"n_expected": len(known), "expected_loss": np.nan, "loss": known["loss"].sum(), "loss_error": np.nan}
        if len(known):
            clusters = known["vintage"] if name == "all" else None
            found = compare_promises(known["expected_loss"], known["loss"], clusters=clusters).iloc[0]
            row |= {"expected_loss": known["expected_loss"].sum(), "loss_error": len(known) * found["error"]}
        row["lost_in_all"] = members["loss"].sum()
        if margin is not None:
            cost = cost_of_error(members["amount"].to_numpy(), members["revenue"].to_numpy(), margin).sum()
            row |= {"forgone": cost["forgone"], "lost_beyond": cost["lost"], "cost": cost["cost"]}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _judge_grades(judged, n_grades):
    """Promised and observed defaults by grade of the promise, and whether they agree in all grades."""
    promised = judged["promised"].round(9)
    if promised.nunique() > n_grades:
        grades = pd.qcut(promised, n_grades, duplicates="drop")
        low, high = (promised.groupby(grades, observed=True).transform(how) for how in ("min", "max"))
    else:
        low = high = promised
    names = [f"{a:.2%}" if a == b else f"{a:.2%} to {b:.2%}" for a, b in zip(low, high)]
    ranks = pd.Series(low.rank(method="dense").to_numpy(int), judged.index)
    table = compare_promises(judged["promised"], judged["defaulted"], by=ranks.to_numpy())
    table.index = pd.Index(pd.Series(names, judged.index).groupby(ranks).first(), name="grade")
    fair = (judged["promised"] * (1 - judged["promised"])).groupby(ranks).transform("sum") > 0
    if ranks[fair].nunique() < 2:
        return table, None
    return table, hosmer_lemeshow_test(judged["promised"][fair], judged["defaulted"][fair], ranks[fair])


def _compare_overrides(settled):
    """What was lent beside what the desk would have lent, by group."""
    if not settled.overridden:
        return pd.DataFrame()
    loans, rows = settled.loans, {}
    for name in [*GROUPS, "all"]:
        members = loans if name == "all" else loans[loans["group"] == name]
        lent, desk = members[members["amount"] > 0], members[members["desk_amount"] > 0]
        if len(members):
            rows[name] = {
                "n": len(members), "lent": lent["amount"].sum(), "defaults": lent["defaulted"].sum(),
                "default_share": lent["defaulted"].mean(), "loss": lent["loss"].sum(),
                "desk_lends": desk["desk_amount"].sum(), "desk_promised": desk["desk_promised"].mean(),
                "desk_defaults": desk["desk_defaulted"].sum(), "desk_share": desk["desk_defaulted"].mean(),
                "desk_loss": desk["desk_loss"].sum(),
            }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def _measure_drift(applicants, reference):
    """How far every column that both tables have moved from the reference."""
    rows, applicants = [], dict(applicants or {})
    if reference is None and applicants:
        reference = applicants.pop(next(iter(applicants)))
    for vintage, table in applicants.items():
        for name in [name for name in table if name in reference and name not in ("seller", "vintage")]:
            before, now = reference[name].dropna(), table[name].dropna()
            numeric = [pd.api.types.is_numeric_dtype(values) for values in (before, now)]
            labels = pd.concat([before, now]).nunique()
            if before.empty or now.empty or numeric[0] != numeric[1] or (not numeric[0] and labels > MOST_LABELS):
                continue
            if numeric[0]:
                before, now = before.astype(float), now.astype(float)
            psi = population_stability_index(before, now, PSI_BINS)
            free = max((PSI_BINS if numeric[0] else labels) - 1, 1)
            chance = stats.chi2.ppf(0.95, free) * (1 / len(before) + 1 / len(now))
            size = "chance" if psi <= chance else "small" if psi < 0.1 else "moderate" if psi <= 0.25 else "large"
            rows.append([vintage, name, len(before), len(now), psi, chance, size])
    return pd.DataFrame(rows, columns=["vintage", "column", "n_reference", "n", "psi", "by_chance", "size"])


def _place_outcomes(settled):
    """The share of outcomes between neighbouring quantiles of their laws, promised and observed."""
    level, laws = settled.loans["level"].dropna(), np.array(settled.laws)
    if level.empty:
        return pd.DataFrame()
    edges, n = np.r_[0, laws, 1], len(level)
    counts = np.bincount(np.searchsorted(laws, level, side="right"), minlength=len(laws) + 1)
    names = [f"{a:g} to {b:g}" for a, b in zip(edges, edges[1:])]
    promised = np.diff(edges)
    table = {"n": counts, "promised": promised, "observed": counts / n, "error": np.sqrt(promised * (1 - promised) / n)}
    return pd.DataFrame(table, names)


def _recalibrate(settled, loading):
    """The level at which the desk's own amounts would have kept their promise."""
    desk = settled.loans[settled.loans["desk_promised"].notna()]
    promise, placed = desk["desk_promised"].mean(), settled.loans[settled.loans["level"].notna()]
    by_laws = len(placed) > 0
    rows = placed if by_laws else desk
    n = len(rows)

    def count_band(share):
        law = _law_of_all(rows["vintage"], pd.Series(share, rows.index), loading)
        return np.searchsorted(np.cumsum(law), BAND).clip(max=n)

    if by_laws:
        levels = placed["level"].to_numpy()
        # So many outcomes lie below the level that keeps the promise.
        low, high = np.r_[0.0, np.sort(levels), 1.0][count_band(promise) + [0, 1]].tolist()
        return Recalibration(promise, recalibrated_level(levels, promise), low, high, n, True)
    ends = 0.5 / n, 1 - 0.5 / n  # no default in n loans is not none at all
    share = np.clip(desk["desk_defaulted"].mean(), *ends)
    shares = np.r_[share, np.clip(count_band(share)[::-1] / n, *ends)]
    level, low, high = shifted_level(promise, ndtri(promise) - ndtri(shares)).tolist()
    return Recalibration(promise, level, low, high, n, False)
