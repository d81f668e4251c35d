"""The answers to the assignments, computed from the seed of a class by the package: for hidden checks only.

A function per assignment returns {name: answer}. Students' values have to equal them, or to lie `Within` a tolerance
where chance or a choice that the question leaves open moves them.
"""

import warnings
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from lender import TENOR, draw_lender
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from qrgmm import (
    QRGMM,
    FieldEncoder,
    LoanTerms,
    QuantileCurve,
    bootstrap_curves,
    compare_promises,
    crossing_rate,
    default_probability,
    expected_loss,
    fit_quantile_grid,
    largest_loan,
    left_out_levels,
    loss_given_default,
    pinball_loss,
)
from qrgmm.backtest import clustered_error
from qrgmm.cash import repay
from qrgmm.metrics import lies_below
from qrgmm.portfolio import EllipticalCopula, loss_measures, portfolio_loss
from qrgmm.recalibration import recalibrated_level

COLUMNS = ["platform", "category", "past_units", "recent_share", "return_share", "tenure", "rating", "n_advances"]
FINE, COARSE = np.r_[1:10, 10:100:5] / 100, np.arange(1, 20) / 20


class Within(NamedTuple):
    """An answer that a student's value may differ from by at most `tolerance`."""

    value: object
    tolerance: object


def check(assignment, name, got):
    """Raise an AssertionError unless `got` is an answer of this class, whose seed stands in seed.txt."""
    compare(name, got, compute(assignment)[name])


def compare(name, got, right):
    """Raise an AssertionError unless `got` is right."""
    assert got is not None and got is not ..., f"{name} is missing"
    value, slack = right if isinstance(right, Within) else (right, None)
    if isinstance(value, list):
        assert list(got) == value, f"{name} is not right"
        return
    got, value = np.asarray(got, dtype=float), np.asarray(value, dtype=float)
    assert got.shape == value.shape, f"{name} has the shape {got.shape}, not {value.shape}"
    slack = 1e-6 * np.abs(value) + 1e-9 if slack is None else slack
    assert (np.abs(got - value) <= slack).all(), f"{name} is not right"


@cache
def compute(assignment):
    """Return {name: answer} of one assignment, for the class whose seed stands in seed.txt."""
    return ASSIGNMENTS[assignment](draw_lender())


def carried(applicants):
    """Return what a unit that is sold repays of an amount, in currency."""
    return applicants["hold_back"] * applicants["unit_revenue"] / (1 + applicants["fee"])


def sold_of(past):
    """Return the units of the tenor per unit of the quarter before."""
    return past["tenor_units"] / past["past_units"]


def loss(lender):
    """01: an empirical law of one platform."""
    one = lender.applicants.iloc[0]
    alike = lender.past[lender.past["platform"] == one["platform"]]
    sales = one["past_units"] * (alike["tenor_units"] / alike["past_units"])
    curve, r = QuantileCurve.from_draws([sales]), carried(one)
    loan = largest_loan(curve, max_default_probability=0.05, unit_revenue=r).item()
    el = expected_loss(curve, [[loan, loan + 10]], unit_revenue=r)
    lgd = loss_given_default(curve, one["asked"], unit_revenue=r, as_fraction=True)
    return {
        "sales": sales,
        "pd_asked": default_probability(curve, one["asked"], unit_revenue=r).item(),
        "el_asked": expected_loss(curve, one["asked"], unit_revenue=r).item(),
        "lgd_asked": np.nan_to_num(lgd).item(),
        "loan": Within(loan, 0.011),
        "slope": Within(np.diff(el).item() / 10, 0.002),
    }


def look_alikes(lender):
    """02: empirical laws of neighbours, and the exact law of a bootstrapped order statistic."""
    past, five = lender.past, lender.applicants.head(5)
    sold = sold_of(past)
    columns = ["past_units", "recent_share", "return_share", "rating"]
    logged = [table[columns].assign(past_units=np.log(table["past_units"])) for table in (past, five)]
    scaler = StandardScaler().fit(logged[0])
    search = NearestNeighbors(n_neighbors=100).fit(scaler.transform(logged[0]))
    nearest = search.kneighbors(scaler.transform(logged[1]), return_distance=False)
    curve = QuantileCurve.from_draws(sold.to_numpy()[nearest])
    ordered = np.sort(sold.to_numpy()[nearest[0]])
    # The fifth of a hundred draws is at most the i-th value where five draws or more are among the first i values.
    masses = np.diff(stats.binom.sf(4, 100, np.arange(101) / 100))
    error = np.sqrt(masses @ ordered**2 - (masses @ ordered) ** 2)
    groups = [QuantileCurve.from_draws([group]).ppf(0.05).item() for _, group in sold.groupby(past["platform"])]
    revenue = carried(five) * five["past_units"]
    return {
        "low": QuantileCurve.from_draws([sold]).ppf(0.05).item(),
        "low_by_platform": np.array(groups),
        "low_alike": curve.ppf(0.05).ravel(),
        "loans": largest_loan(curve, max_default_probability=0.05, unit_revenue=revenue),
        "error": Within(error, 0.15 * error),
    }


def grid(lender):
    """03: the package's loss and counts, of planes that it certifies."""
    columns = ["past_units", "recent_share", "return_share", "rating", "tenure"]
    designs = []
    for table in (lender.past, lender.applicants):
        X = table[columns].assign(past_units=np.log(table["past_units"]), tenure=np.log(table["tenure"]))
        designs.append(np.column_stack([np.ones(len(X)), X]))
    y, levels, fine = sold_of(lender.past).to_numpy(), np.arange(1, 20) / 20, np.arange(1, 50) / 50
    fit = fit_quantile_grid(designs[0], y, levels)
    fitted = designs[0] @ fit.coef.T
    quantiles = designs[1] @ fit_quantile_grid(designs[0], y, fine).coef.T
    on_plane = np.isclose(fitted, y[:, None], rtol=0, atol=1e-8)
    crossed = [crossing_rate([row]) > 0 for row in quantiles]
    return {
        "coef": Within(fit.coef, 1e-3 * np.abs(fit.coef) + 1e-4),
        "losses": pinball_loss(y[:, None], fitted, levels).mean(axis=0),
        "below": (lies_below(y[:, None], fitted) & ~on_plane).mean(axis=0),
        "on_plane": on_plane.sum(axis=0),
        "n_crossed": sum(crossed),
        "change": Within(QuantileCurve(fine, quantiles).ppf(0.1).ravel() - quantiles[:, 4], 1e-6),
    }


def law_of_all(lender, levels=FINE):
    """Return the applicants' curve, of a QRGMM that is fitted to all past advances."""
    model = QRGMM(levels, FieldEncoder(unseen="other"), lower=0.0)
    return model.fit(lender.past[COLUMNS], sold_of(lender.past)).predict_curve(lender.applicants[COLUMNS])


def qrgmm_loans(lender):
    """04: risk in units, per currency of a unit."""
    curve, asked = law_of_all(lender), lender.applicants["asked"].to_numpy()
    revenue = (carried(lender.applicants) * lender.applicants["past_units"]).to_numpy()
    p = curve.cdf((asked / revenue)[:, None]).ravel()
    loans = revenue * curve.ppf(0.05).ravel()
    el = revenue * curve.lower_partial_moment((asked / revenue)[:, None]).ravel()
    granted = np.minimum(loans, asked)
    return {
        "low": curve.ppf(0.05).ravel(),
        "median": curve.ppf(0.5).ravel(),
        "pd_asked": p,
        "el_asked": el,
        "loans": loans,
        "pd_drawn": Within(p, 4.5 * np.sqrt(p * (1 - p) / 1000) + 0.003),
        "error": Within(np.sqrt(p * (1 - p) / 1000), 2e-4),
        "total": granted.sum(),
        "n_cut": (loans < asked).sum(),
        "el_total": (revenue * curve.lower_partial_moment((granted / revenue)[:, None]).ravel()).sum(),
    }


def promise(lender):
    """05: the package's clustered error and its level that would have kept the promise."""
    past, sold = lender.past, sold_of(lender.past)
    model = QRGMM(COARSE, FieldEncoder(unseen="other"), lower=0.0).fit(past[COLUMNS], sold)
    u = left_out_levels(model, past[COLUMNS], sold, groups=past["seller"], rng=0)
    level, r = recalibrated_level(u, 0.1), carried(lender.applicants) * lender.applicants["past_units"]
    curve = model.predict_curve(lender.applicants[COLUMNS])
    first = lender.applicants[COLUMNS].head(1)
    refits = bootstrap_curves(model, past[COLUMNS], sold, first, 20, rng=1, groups=past["seller"])
    amounts = [largest_loan(one, max_default_probability=0.1, unit_revenue=r[:1]).item() for one in refits]
    return {
        "inside": lies_below(sold, model.predict_curve(past[COLUMNS]).ppf(0.1).ravel() - 1e-8).mean(),
        "outside": (u < 0.1).mean(),
        "error": clustered_error(u < 0.1, past["seller"])[0],
        "naive": clustered_error(u < 0.1)[0],
        "level": level,
        "loans": largest_loan(curve, max_default_probability=level, unit_revenue=r),
        "band": np.quantile(amounts, [0, 1]),
    }


def fields(lender):
    """06: the encoder's design of a level that it does not know, and a machine by its square."""
    applicants, new = lender.applicants, lender.applicants["category"].iloc[0]
    seen, columns = lender.past[lender.past["category"] != new], ["platform", "category", "past_units", "rating"]
    model = QRGMM(COARSE, FieldEncoder(unseen="other"), lower=0.0).fit(seen[columns], sold_of(seen))
    encoder = FieldEncoder(unseen="other").fit(seen[["platform", "category"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a level is new is the question
        design = encoder.transform(applicants[["platform", "category"]])
        curve = model.predict_curve(applicants.loc[applicants["category"] == new, columns])
    numbers = lender.weights.set_index(["field", "level"])
    both = [numbers.loc[field].loc[applicants[field]].to_numpy() for field in ("platform", "category")]
    sums, squares = both[0] + both[1], both[0] ** 2 + both[1] ** 2
    location = sums[:, 0] + ((sums**2 - squares)[:, 1:] / 2).sum(axis=1)
    return {
        "unseen": applicants.loc[applicants["category"] == new, "application"].tolist(),
        "n_columns": encoder.n_design_columns_,
        "design": design,
        "low_new": curve.ppf(0.05).ravel(),
        "location": location,
        "low_machine": stats.lognorm(0.5, scale=np.exp(location)).ppf(0.05),
    }


def scores(lender):
    """07: the package's CRPS, pinball loss and clustered error."""
    odd = lender.past["seller"].str[-1].isin(list("13579"))
    train, test = lender.past[~odd], lender.past[odd]
    model = QRGMM(FINE, FieldEncoder(unseen="other"), lower=0.0).fit(train[COLUMNS], sold_of(train))
    curve, y = model.predict_curve(test[COLUMNS]), sold_of(test).to_numpy()
    first, low = np.empty(len(y)), np.empty(len(y))
    for name, group in sold_of(train).groupby(train["platform"]):
        rows, law = (test["platform"] == name).to_numpy(), QuantileCurve.from_draws([group])
        first[rows], low[rows] = law[[0] * rows.sum()].crps(y[rows]), law.ppf(0.05).item()
    second = curve.crps(y)
    difference = pinball_loss(y, low, 0.05) - pinball_loss(y, curve.ppf(0.05).ravel(), 0.05)
    return {
        "crps_first": first,
        "crps_second": second,
        "gain": first.mean() - second.mean(),
        "gain_error": clustered_error(first - second, test["seller"])[0],
        "low_gain": difference.mean(),
        "low_error": clustered_error(difference, test["seller"])[0],
    }


def vintages(lender):
    """08: the package's promises by vintage."""
    past, start = lender.past, pd.Timestamp("2023-01-02")
    known, later = past[past["day"] <= start - TENOR], past[past["day"] >= start]
    model = QRGMM(COARSE, FieldEncoder(unseen="other"), lower=0.0).fit(known[COLUMNS], sold_of(known))
    default = sold_of(later) < model.predict_curve(later[COLUMNS]).ppf(0.1).ravel()
    quarter = later["day"].dt.to_period("Q").astype(str)
    report = compare_promises(0.1, default, by=quarter)
    counts = [(round(share * n), int(n)) for share, n in zip(report["observed"], report["n"])]
    rare = [stats.binomtest(k, n, 0.1, alternative="greater").pvalue < 0.05 for k, n in counts]
    return {
        "n_known": len(known),
        "n_open": ((past["day"] > start - TENOR) & (past["day"] < start)).sum(),
        "late_rate": default.mean(),
        "late_error": clustered_error(default, later["seller"])[0],
        "split_rate": (left_out_levels(model, known[COLUMNS], sold_of(known), rng=0) < 0.1).mean(),
        "by_quarter": report["observed"].to_numpy(),
        "n_rare": sum(rare),
    }


def one_loan(lender):
    """09: the package's waterfall, and the outcomes that the simulator wrote down."""
    past = lender.past
    remitted = lender.weeks["remitted"].to_numpy().reshape(len(past), 26)
    balance = np.empty(remitted.shape)
    for (fee, share, due), rows in past.groupby(["fee", "hold_back", "due"]).groups.items():
        terms = LoanTerms(due, 26, fee=fee, hold_back=share)
        balance[rows] = repay(remitted[rows], past["amount"][rows], terms)["balance"]
    default, amount = (past["outcome"] == "default").to_numpy(), past["amount"]
    paid = 1 - balance[:, 8] / (amount * (1 + past["fee"])).to_numpy()
    # One in ten is warned of at most: the value below which so many of those that were repaid lie.
    cut = largest_loan(QuantileCurve.from_draws([paid[~default]]), max_default_probability=0.1).item()
    return {
        "balance": Within(balance, 1e-4),
        "counts": [int((past["outcome"] == name).sum()) for name in ("in time", "late", "default")],
        "profit": Within((amount * past["fee"] - past["loss"]).sum(), 5.0),
        "break_even": past["loss"].sum() / amount.sum(),
        "cut": cut,
        "caught": (paid < cut)[default].mean(),
        "right": default[paid < cut].mean(),
    }


def committee(lender):
    """10: the package's portfolio, with other scenarios than any student's."""
    curve, asked, platform = law_of_all(lender), lender.applicants["asked"], lender.applicants["platform"]
    r = (carried(lender.applicants) * lender.applicants["past_units"]).to_numpy()
    loans = np.minimum(r * curve.ppf(0.05).ravel(), asked)
    tails = []
    for loading in (np.sqrt(0.2), 0.0):
        copula = EllipticalCopula(loadings=np.full(len(loans), loading))
        losses = portfolio_loss(curve, loans.to_numpy()[:, None], copula, 40_000, rng=11, unit_revenue=r)
        tails.append(loss_measures(losses, level=0.95)["conditional_value_at_risk"])
    shares = (loans.groupby(platform).sum() / loans.sum()).to_numpy()
    at_most = min(shares.max(), 0.4 * (1 - shares.max()) / 0.6)
    el, stressed = (
        expected_loss(curve, loans.to_numpy()[:, None], unit_revenue=factor * r).sum() for factor in (1, 0.8)
    )
    return {
        "loans": loans,
        "el": el,
        "cvar": Within(tails[0], 0.12 * tails[0]),
        "cvar_alone": Within(tails[1], 0.12 * tails[1]),
        "shares": shares,
        "capped": loans.sum() * (1 - shares.max() + at_most),
        "el_stressed": stressed,
    }


ASSIGNMENTS = {
    "01_loss": loss,
    "02_look_alikes": look_alikes,
    "03_grid": grid,
    "04_qrgmm": qrgmm_loans,
    "05_promise": promise,
    "06_fields": fields,
    "07_scores": scores,
    "08_vintages": vintages,
    "09_one_loan": one_loan,
    "10_committee": committee,
}
