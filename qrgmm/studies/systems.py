r"""One replication of each recorded study of the systems: the early warning, its data base, and the portfolio.

Chapters 14 and 18 show them.
"""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.portfolio.copula import ClaytonCopula, EllipticalCopula, estimate_theta, fit_copula, pseudo_observations
from qrgmm.portfolio.loans import largest_portfolio, loss_measures, portfolio_loss, revenue_scenarios
from qrgmm.risk import largest_loan
from qrgmm.studies.study import Study, score_rows
from qrgmm.systems.early_warning import (
    CALM,
    COST_FALSE,
    COST_MISSED,
    COST_WARNED,
    INDICATORS,
    TERM,
    SupplyChainFinance,
    best_threshold,
)
from qrgmm.systems.warning_scores import (
    ALPHA,
    BETA,
    EQUAL_WEIGHTS,
    PARTIES,
    party_score,
    similarity,
    total_risk_score,
    total_similarity,
    traditional_score,
)

EVERY_PARTY = [[0, 1, 2], [3, 4, 5], [6, 7]]  # columns of `INDICATORS`, past performance (w3) included
AHEAD = 3  # months: a score that ranks well tells who defaults within them
N_LATEST = 1000  # finished loans that thresholds are chosen on
# Probability of a later default from which on a warning pays.
BREAK_EVEN = COST_FALSE / (COST_MISSED - COST_WARNED + COST_FALSE)


def early_warning(rng, severities, n_chains, n_firms, n_months, burn_in):
    """Study who warns better: scores with everything frozen after the burn-in, or with everything adapted each month.

    Parameters
    ----------
    rng : numpy.random.Generator
    severities : list of float
        Of the shocks, see `SupplyChainFinance`; `x` of the rows.
    n_chains, n_firms : int
        Chains, and financed firms of each.
    n_months, burn_in : int
        Loans that start after the burn-in and end within the months are judged.

    Returns
    -------
    list of tuple
        Rows, see the top of this file. `cost` is per hundred loans; `auc` that of ranking the loans of a month by who
        defaults within three; `precision` is missing where nobody was warned. Of the model `truth` a score is the true
        probability of default in the month, of `truth, months left` in the months after it in which the loan runs,
        were that probability to stay; in the test `rule` the latter warns from the break-even on, nothing chosen.
    """
    rows = []
    for severity in severities:
        log = SupplyChainFinance(n_chains, n_firms, severity, rng=rng).run(n_months)
        loans = _finished_loans(log, n_months)
        judged = loans.index[loans["start"] > burn_in]
        shares = {"default_rate": 100 * loans.loc[judged, "defaulted"].mean(), "theta": log["theta"].mean()}
        rows += score_rows("truth", "economy", shares, severity)
        for adapts in (False, True):
            test = "adaptive" if adapts else "frozen"
            for model, scores in _contestants(log, loans, burn_in, adapts).items():
                warned = _first_warnings(log, loans, scores, burn_in, adapts)
                measures = _judge(loans.loc[judged], warned.reindex(judged))
                measures["auc"] = _ranking(log, loans, scores, judged)
                rows += score_rows(model, test, measures, severity)
        by_rule = _first_months(log, _probability_left(log) >= BREAK_EVEN)
        for model, test, warned in [
            ("truth, months left", "rule", by_rule.reindex(judged)),
            ("no warning", "frozen", pd.Series(np.nan, judged)),
        ]:
            rows += score_rows(model, test, _judge(loans.loc[judged], warned), severity)
    return rows


def database(rng, sizes, n_applications):
    """Study figure 5 of the early-warning paper: total similarity against the size of the data base, and why it rises.

    Parameters
    ----------
    rng : numpy.random.Generator
    sizes : list of int
        Past loans in the data base; `x` of the rows.
    n_applications : int
        New loans that are compared with it.

    Returns
    -------
    list of tuple
        Rows, see the top of this file: the paper's `total_similarity`; the mean `distance` of an indicator from the
        average and the mean `range` that it is divided by; and the `nearest` past loan's mean distance.
    """
    rows, past = [], rng.beta(ALPHA, BETA, (max(sizes), len(INDICATORS)))
    new = rng.beta(ALPHA, BETA, (n_applications, len(INDICATORS)))
    for size in sizes:
        known = past[:size]
        measures = {
            "total_similarity": total_similarity(known, new, EVERY_PARTY).mean(),
            "distance": np.abs(known.mean(axis=0) - new).mean(),
            "range": np.ptp(known, axis=0).mean(),
            "beyond": (similarity(known, new) == 0).mean(),
            "nearest": np.abs(known[:, None] - new).mean(axis=2).min(axis=0).mean(),
        }
        rows += score_rows("truth", "database", measures, size)
    return rows


def dependence(rng, thetas, n_rows):
    """Study the estimates of Clayton's theta, by Kendall's tau and by maximum likelihood, for three parties.

    Parameters
    ----------
    rng : numpy.random.Generator
    thetas : list of float
        True values; `x` of the rows.
    n_rows : int
        Loans that are seen.

    Returns
    -------
    list of tuple
        Rows, see the top of this file: the estimates, from uniforms whose margins are known and from ranks.

    Examples
    --------
    >>> model, test, metric, theta, estimate = dependence(np.random.default_rng(0), [2.0], 1000)[0]
    >>> model, metric, theta, round(estimate, 1)
    ('tau', 'theta', 2.0, 2.1)
    """
    rows = []
    for theta in thetas:
        u = ClaytonCopula(theta).sample(n_rows, rng)
        for margins, values in {"known margins": u, "ranks": pseudo_observations(u)}.items():
            for method in ("tau", "likelihood"):
                rows += score_rows(method, margins, {"theta": estimate_theta(values, method)}, theta)
    return rows


def portfolio(rng, n_sellers, n_months, n_scenarios, families, budget, level=0.95):
    """Study what a fitted copula is worth: the CVaR of given loans, and loans for a CVaR budget, judged by the truth.

    The truth is a t copula with 4 degrees of freedom and one factor; margins are known, so that only the dependence has
    to be learned, from the ranks of `n_months` months.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_sellers, n_months, n_scenarios : int
    families : list of str
        Of `fit_copula`; "factor" is a t copula with one factor, "independence" no copula at all.
    budget : float
        CVaR budget of each seller, in shares of the median revenue.
    level : float
        Of the CVaR.

    Returns
    -------
    list of tuple
        Rows, see the top of this file: `cvar` of one portfolio under each copula; `lent`, what the largest portfolio
        lends in shares of what it would with the true copula, and `cvar_to_budget`, its true CVaR over the budget. The
        model `alone` sizes each loan alone with its share of the budget, `bound` is the true copula.
    """
    levels = quantile_levels(100 * 100)
    median, spread = rng.uniform(50, 150, (n_sellers, 1)), rng.uniform(0.1, 0.6, (n_sellers, 1))
    curve = QuantileCurve(levels, median * np.exp(spread * stats.norm.ppf(levels)))
    truth = EllipticalCopula(loadings=np.full(n_sellers, 0.6), df=4)
    history, loans = truth.sample(n_months, rng), curve.ppf(0.1)[:, 0]
    budgets = budget * median[:, 0]
    fresh = revenue_scenarios(curve, truth, 5 * n_scenarios, rng)

    def true_cvar(loans):
        return loss_measures((loans[:, None] - fresh).clip(0).sum(axis=0), level)["conditional_value_at_risk"]

    fitted = {"bound": truth, **{family: _fit(family, history) for family in families}}
    rows, lent = score_rows("truth", "portfolio", {"cvar": true_cvar(loans)}), {}
    for name, copula in fitted.items():
        losses = portfolio_loss(curve, loans[:, None], copula, 5 * n_scenarios, rng)
        rows += score_rows(name, "portfolio", {"cvar": loss_measures(losses, level)["conditional_value_at_risk"]})
        scenarios = revenue_scenarios(curve, copula, n_scenarios, rng)
        lent[name] = largest_portfolio(scenarios, budgets.sum(), level).loans
    lent["alone"] = largest_loan(curve, max_conditional_value_at_risk=budgets, level=level)
    for name, sizes in lent.items():
        measures = {"lent": sizes.sum() / lent["bound"].sum(), "cvar_to_budget": true_cvar(sizes) / budgets.sum()}
        rows += score_rows(name, "largest portfolio", measures)
    return rows


def _fit(family, history):
    if family == "independence":
        return EllipticalCopula(loadings=np.zeros(history.shape[1]))
    return fit_copula(history, "t", n_factors=1) if family == "factor" else fit_copula(history, family)


def _finished_loans(log, n_months):
    """One row per loan whose term fits into the months; `end` is the month of default or of the last payment."""
    loans = log.groupby("loan").agg(start=("month", "min"), end=("month", "max"), defaulted=("defaulted", "any"))
    return loans[loans["start"] <= n_months - TERM + 1]


def _contestants(log, loans, burn_in, adapts):
    """Scores of every contestant, one per row of the log; minus infinity where it has none yet."""
    scores = [party_score(log[names].to_numpy(), EQUAL_WEIGHTS[party]) for party, names in PARTIES.items()]
    scores, industry = np.column_stack(scores), log["industry"].to_numpy() if adapts else CALM

    def trs(margin):
        if not adapts:
            return total_risk_score(scores, 1.0, CALM, margin)
        months = [total_risk_score(scores[rows], log["theta"].iloc[rows[0]], industry[rows], margin)
                  for rows in log.groupby("month").indices.values()]
        return np.concatenate(months)

    return {
        "traditional": traditional_score(scores, industry),
        "traditional, survival": traditional_score(scores, industry, "survival"),
        "trs": log["score"].to_numpy() if adapts else trs("distribution"),
        "trs, survival": trs("survival"),
        "logistic": _logistic_scores(log, loans, burn_in, adapts),
        "truth": log["true_probability"].to_numpy(),
        "truth, months left": _probability_left(log),
    }


def _probability_left(log):
    """True probability of default after this month, in which a warning would be too late, if the hazard stays."""
    start = log.groupby("loan")["month"].transform("min")
    n_left = (start + TERM - 1 - log["month"]).to_numpy()
    return 1 - (1 - log["true_probability"].to_numpy()) ** n_left


def _logistic_scores(log, loans, burn_in, adapts):
    """Probability of default by logistic regression on the indicators of finished loans, refitted every half-year."""
    X = log[[*INDICATORS, "industry"]].to_numpy()
    month, number = log["month"].to_numpy(), log["loan"].to_numpy()
    defaulted = loans["defaulted"].reindex(number).to_numpy(dtype=float)  # NaN for loans that never end in the log
    end = loans["end"].reindex(number).to_numpy()
    scores = np.full(len(log), -np.inf)
    starts = range(burn_in, month.max() + 1, 6) if adapts else [burn_in]
    for start in starts:
        known = end < start
        if 0 < defaulted[known].sum() < known.sum():
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            model.fit(X[known], defaulted[known])
            # The first fit also scores the burn-in, on which the first threshold is chosen.
            rows = month >= (start if start > burn_in else 0)
            scores[rows] = model.predict_proba(X[rows])[:, 1]
    return scores


def _first_warnings(log, loans, scores, burn_in, adapts):
    """Month in which each loan is first warned about (NaN: never), by the threshold that was cheapest until then."""
    # In the month of default a warning is too late.
    peaks = log[["loan"]].assign(score=scores)[~log["defaulted"]].groupby("loan")["score"].max()
    past = loans.assign(peak=peaks.reindex(loans.index, fill_value=-np.inf)).sort_values("end", kind="stable")
    ends, peaks, defaulted = (past[name].to_numpy() for name in ("end", "peak", "defaulted"))
    months = np.arange(log["month"].max() + 1)
    n_known = np.searchsorted(ends, months if adapts else np.minimum(months, burn_in))
    latest = {n: slice(max(0, n - N_LATEST), n) for n in np.unique(n_known)}
    thresholds = {n: best_threshold(peaks[rows], defaulted[rows]) for n, rows in latest.items()}
    threshold = np.array([thresholds[n] for n in n_known])
    return _first_months(log, scores >= threshold[log["month"]])


def _first_months(log, warned):
    return log[warned & ~log["defaulted"]].groupby("loan")["month"].min()


def _judge(loans, first_warning):
    warned, defaulted = first_warning.notna().to_numpy(), loans["defaulted"].to_numpy()
    caught = warned & defaulted
    cost = COST_MISSED * (defaulted & ~warned) + COST_WARNED * caught + COST_FALSE * (warned & ~defaulted)
    measures = {"cost": 100 * cost.mean(), "warned": warned.mean(), "recall": caught.sum() / defaulted.sum()}
    if warned.any():
        measures["precision"] = caught.sum() / warned.sum()
    if caught.any():
        measures["lead_time"] = (loans["end"] - first_warning)[caught].mean()
    return measures


def _ranking(log, loans, scores, judged):
    """AUC of the scores of judged loans against default in this month or the next two."""
    rows = log["loan"].isin(judged).to_numpy()
    loan = loans.loc[log["loan"].to_numpy()[rows]]
    soon = loan["defaulted"].to_numpy() & (loan["end"].to_numpy() < log["month"].to_numpy()[rows] + AHEAD)
    return roc_auc_score(soon, scores[rows])


STUDIES = {
    "early_warning": Study(
        early_warning,
        {
            "tiny": {"severities": [1.0], "n_chains": 2, "n_firms": 20, "n_months": 60, "burn_in": 30},
            "paper": {"severities": [0.0, 1.0], "n_chains": 5, "n_firms": 30, "n_months": 120, "burn_in": 48},
        },
        "not in the paper, which simulates scores and no defaults; the economy is ours",
    ),
    "database": Study(
        database,
        {
            "tiny": {"sizes": [5, 20, 80], "n_applications": 100},
            "paper": {"sizes": [5, 10, 20, 50, 100, 200, 500, 1000, 2000], "n_applications": 200},
        },
        "indicators are Beta(2, 5), as the paper's; its weights are not given, ours are equal",
    ),
    "dependence": Study(
        dependence,
        {
            "tiny": {"thetas": [1.0], "n_rows": 200},
            "paper": {"thetas": [0.25, 0.5, 1.0, 2.0, 5.0, 10.0], "n_rows": 500},
        },
        "not in the paper, which sets theta",
    ),
    "portfolio": Study(
        portfolio,
        {
            "tiny": {
                "n_sellers": 4,
                "n_months": 60,
                "n_scenarios": 1000,
                "families": ["gaussian", "clayton"],
                "budget": 0.05,
            },
            "paper": {
                "n_sellers": 12,
                "n_months": 120,
                "n_scenarios": 5000,
                "budget": 0.05,
                "families": ["independence", "gaussian", "t", "factor", "clayton", "vine"],
            },
        },
        "not in a paper",
    ),
}
