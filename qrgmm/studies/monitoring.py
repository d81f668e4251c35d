r"""One replication of the study of loans that run: the law of the rest, and three rules that warn, on real vintages.

Each vintage is fitted to what was known at its origin. Then weeks pass: the law of what is still to come is found by
Bayes' rule and by regression, and a rule may say that a loan will default. From then on the lender holds back all that
comes in instead of a half. Chapter 17 reads the record.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.base import clone

from qrgmm.backtest import split_vintages
from qrgmm.curve import QuantileCurve
from qrgmm.datasets.marketplace import load_marketplace
from qrgmm.datasets.path import sales_path
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.two_part import TwoPart
from qrgmm.monitoring import first_warning, fit_rhythm, law_of_the_rest
from qrgmm.risk import default_probability, largest_loan
from qrgmm.studies.marketplace import GRID, HORIZON, MIN_ORIGINS, OTHER, choose_sellers, marketplace_panel
from qrgmm.studies.promise import CLOCKS
from qrgmm.studies.sales import predict_quietly
from qrgmm.studies.study import Study, score_rows

PROMISE, HOLD_BACK = 0.2, 0.5
N_WEEKS, N_DAYS = 12, 90  # of which the last days are the end
COMPARED = (4, 8)  # weeks at which two laws of the rest are compared
# How strict a rule may be: the rate of false alarms, the part of the schedule that is reached, a mean of indicators.
RULES = {
    "law": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4),
    "schedule": (0.1, 0.25, 0.5, 0.75, 0.9),
    "indicators": (0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
}
FIRST_WEEK = 3  # before, rules without a law know nothing


def probabilities_of_default(
    law: QuantileCurve, debt: np.ndarray, sold: np.ndarray, rhythm: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Return the probability of default at the end of each week, given what was sold so far.

    Parameters
    ----------
    law : QuantileCurve
        Of all sales, in units.
    debt : array of shape (n_rows,)
        In units.
    sold : array of shape (n_rows, n_weeks)
        In units, cumulated.
    rhythm : list of (float, float)
        Share and concentration of each week, see `qrgmm.monitoring.fit_rhythm`.

    Returns
    -------
    array of shape (n_rows, n_weeks)

    Examples
    --------
    >>> law = QuantileCurve(np.arange(1, 100) / 100, np.arange(1, 100))
    >>> probabilities_of_default(law, np.array([20.0]), np.array([[2.0, 25.0]]), [(0.3, 50), (0.6, 50)]).round(1)
    array([[0.9, 0. ]])
    """
    found = np.zeros(sold.shape)
    for week, (share, concentration) in enumerate(rhythm):
        rest = law_of_the_rest(law, sold[:, week], share, concentration)
        owed = debt - sold[:, week]
        found[:, week] = np.where(owed > 0, default_probability(rest, owed.clip(0)[:, None])[:, 0], 0.0)
    return found


def mean_indicators(debt: np.ndarray, sold: np.ndarray, pace: np.ndarray) -> np.ndarray:
    """Return the mean of three indicators of trouble at the end of each week, all in [0, 1] and of equal weight.

    Parameters
    ----------
    debt, pace : array of shape (n_rows,)
        What the sales have to reach, and what was sold in a week before the origin, in units.
    sold : array of shape (n_rows, n_weeks)
        In units, cumulated.

    Returns
    -------
    array of shape (n_rows, n_weeks)
        Of how far the loan is behind an even schedule, how long nothing was sold, and by how much the last four weeks
        fall short of the pace before.

    Examples
    --------
    >>> mean_indicators(np.array([13.0]), np.array([[0.5, 0.5, 1.5]]), np.array([1.0])).round(2)
    array([[0.34, 0.67, 0.34]])
    """
    weeks = np.arange(1, sold.shape[1] + 1)
    behind = 1 - sold * (N_DAYS / 7) / (debt[:, None] * weeks)
    before = np.hstack([np.zeros((len(sold), 1)), sold])
    sells = np.diff(before, axis=1) > 0
    silent = (weeks - np.maximum.accumulate(np.where(sells, weeks, 0), axis=1)) / weeks
    since = (weeks - 4).clip(0)
    slower = 1 - (before[:, weeks] - before[:, since]) / (pace[:, None] * (weeks - since))
    return (behind.clip(0, 1) + silent + slower.clip(0, 1)) / 3


def score_warnings(first: np.ndarray, debt: np.ndarray, sold: np.ndarray, price: np.ndarray) -> dict[str, float]:
    """Return what comes of warnings, as sums over loans.

    Parameters
    ----------
    first : array of shape (n_rows,)
        Week of the warning, NaN for none.
    debt : array of shape (n_rows,)
        In units sold that repay it.
    sold : array of shape (n_rows, n_weeks + 1)
        In units, cumulated; the last column is the end.
    price : array of shape (n_rows,)
        Of a unit, in currency.

    Returns
    -------
    dict of str to float
        `repaid` and `defaulted` loans, `false_alarms` and `caught` among them; `lead`, weeks from warning to end of
        those caught; `lent`, `lost` with a half held back to the end, and `lost_warned` with all held back from the
        warning on, in currency.

    Examples
    --------
    >>> sold = np.array([[2.0, 8.0], [5.0, 20.0]])
    >>> found = score_warnings(np.array([1.0, np.nan]), np.full(2, 10.0), sold, np.ones(2))
    >>> found["caught"], found["lost"], found["lost_warned"]
    (1.0, 1.0, 0.0)
    """
    total, warned = sold[:, -1], np.isfinite(first)
    at = np.where(warned, first, sold.shape[1]).astype(int) - 1
    by_then, defaulted = sold[np.arange(len(sold)), at], total < debt
    paid = HOLD_BACK * total
    more = np.where(warned, (1 - HOLD_BACK) * (total - by_then), 0.0)
    lost, lost_warned = ((HOLD_BACK * debt - cash).clip(0) @ price for cash in (paid, paid + more))
    sums = {
        "repaid": (~defaulted).sum(),
        "defaulted": defaulted.sum(),
        "false_alarms": (warned & ~defaulted).sum(),
        "caught": (warned & defaulted).sum(),
        "lead": (N_DAYS / 7 - first[warned & defaulted]).sum(),
        "lent": HOLD_BACK * debt @ price,
        "lost": lost,
        "lost_warned": lost_warned,
    }
    return {name: float(amount) for name, amount in sums.items()}


def watch_vintages(
    rng: np.random.Generator, n_sellers: int | None = None, n_vintages: int | None = None
) -> list[tuple]:
    """Study laws of the rest, and rules that warn, vintage by vintage.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_sellers, n_vintages : int, optional
        Only so many sellers, and only the last vintages.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value), the test the day of the origin: for models bayes and regression `crps` of
        the rest as a share of the last quarter's revenue, x the week; for each rule the sums of `score_warnings`, x how
        strict it is.
    """
    panel = choose_sellers(marketplace_panel(), n_sellers, rng)
    path = sales_path(load_marketplace(), panel, [*(7 * np.arange(1, N_WEEKS + 1)), N_DAYS])
    vintages = split_vintages(panel["origin"], HORIZON, min_origins=MIN_ORIGINS)
    found = []
    for vintage in vintages[-(n_vintages or len(vintages)) :]:
        found += _watch(panel, path, vintage.train, vintage.test, f"{vintage.origin:%Y-%m-%d}")
    return found


def _watch(panel, path, train, test, origin):
    columns = [name for name in panel.attrs["covariates"] if name not in CLOCKS]
    past, new = panel.iloc[train], panel.iloc[test]
    price, revenue = (values.to_numpy() for values in (np.exp(panel["log_price"]), panel["revenue"]))
    units = path / price[:, None]
    model = TwoPart(QRGMM(GRID, OTHER), encoder=OTHER)
    law = predict_quietly(clone(model).fit(past[columns], past["ratio"]), new[columns])
    per_unit, so_far, price = (revenue / price)[test][:, None], units[test], price[test]
    law = law.map(lambda ratio: ratio * per_unit)
    rhythm = [fit_rhythm(units[train, week], units[train, -1]) for week in range(N_WEEKS)]
    found = []
    for week in COMPARED:
        rest = so_far[:, -1] - so_far[:, week - 1]
        laws = {"bayes": law_of_the_rest(law, so_far[:, week - 1], *rhythm[week - 1])}
        known = panel[columns].assign(sold=path[:, week - 1] / revenue)
        later = (path[:, -1] - path[:, week - 1]).clip(0) / revenue
        by_regression = clone(model).fit(known.iloc[train], later[train])
        laws["regression"] = predict_quietly(by_regression, known.iloc[test]).map(lambda ratio: ratio * per_unit)
        for name, each in laws.items():
            found += score_rows(name, origin, {"crps": (each.crps(rest) / per_unit[:, 0]).mean()}, week)
    debt = largest_loan(law, max_default_probability=PROMISE)
    lent = debt > 0
    law, debt, so_far, price, pace = law[lent], debt[lent], so_far[lent], price[lent], per_unit[lent, 0] * 7 / N_DAYS
    at_origin = default_probability(law, debt[:, None])[:, 0]
    now = probabilities_of_default(law, debt, so_far[:, :-1], rhythm)
    schedule = debt[:, None] * np.arange(1, N_WEEKS + 1) * 7 / N_DAYS
    indicators = mean_indicators(debt, so_far[:, :-1], pace)
    for rule, settings in RULES.items():
        for x in settings:
            if rule == "law":
                first = first_warning(now, at_origin, x)
            else:
                alarm = so_far[:, :-1] < x * schedule if rule == "schedule" else indicators >= x
                first = _first(alarm & (so_far[:, :-1] < debt[:, None]))
            found += score_rows(rule, origin, score_warnings(first, debt, so_far, price), x)
    return found


def _first(alarm):
    alarm = alarm & (np.arange(1, N_WEEKS + 1) >= FIRST_WEEK)
    return np.where(alarm.any(axis=1), alarm.argmax(axis=1) + 1.0, np.nan)


# The data are given: replications do not differ.
STUDIES = {
    "monitoring": Study(watch_vintages, {"tiny": {"n_sellers": 120, "n_vintages": 1}, "paper": {}}, "not in a paper", 1)
}
