r"""The lender's desk: from rows of sellers to loans, what drives them, whom they resemble, and a memo.

The whole book in one pass. A model fitted to past sellers gives every new one a law of sales; the limits of the lender
turn it into the largest loan; sales that were left out say how much of that keeps the promise, and refits how sure it
is; moving one covariate at a time says why; past sellers with nearly the same law say how such loans went; a copula
says what each adds to the tail of all together. Chapter 19.

A linear law may reach below zero, sales may not: every function floors the laws that it is given at 0, exactly, and a
seller to whom nothing is lent has no exposure, so that its risk is blank.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import tqdm

from qrgmm.checks import Rng, check_count
from qrgmm.curve import QuantileCurve
from qrgmm.desk.comparables import law_distances as law_distances  # also found here
from qrgmm.desk.comparables import nearest_first, nearest_laws, share_below
from qrgmm.desk.concentration import limit_shares
from qrgmm.desk.promise import Promise, cautious_loans, describe_promise, promise_left_out
from qrgmm.desk.reasons import least_changes, loan_drivers, name_fields, reference_loans, reference_values
from qrgmm.desk.safeguards import promise_warnings, range_warnings, show_number, show_share, unseen_values
from qrgmm.desk.sizing import middle_range, place_in_portfolio, revenue_per_unit, size_loans
from qrgmm.models.law_model import LawModel
from qrgmm.models.resampling import bootstrap_curves
from qrgmm.risk import default_probability, expected_loss, largest_loan

PAST = 1_000_000  # past sales whose forecasts are held at a time, and
LENT = 10_000  # sellers whose comparable sales are: what bounds the memory
SCENARIOS, CELLS = 20_000, 400_000_000  # of all loans together, and draws of single loans that they may take
MOST_NAMED = 10  # of sellers whose fitted sales were below 0, in a note; the table has all
KEPT_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)  # of every law, in the table


@dataclass(frozen=True)
class Decisions:
    """What the desk found out about some sellers, all arrays and tables in their order.

    Attributes
    ----------
    names : list of str
    sellers : pandas.DataFrame
        Their rows, as given.
    reference : dict
        See `reference_values`.
    curve : QuantileCurve
        Their laws of sales, in units sold, floored at 0.
    refits : list of QuantileCurve
        The laws of the sellers `drawn` from refits to resampled history; may be empty.
    unit_revenue : array of shape (n_sellers,)
        In currency per unit.
    limits : dict of str to float
        Arguments of `largest_loan`.
    loading : float
        See `place_in_portfolio`.
    table : pandas.DataFrame
        One row per seller. `loan` is the largest by the law as it was fitted, and risk, limit, band and
        comparable_default_share are those of this loan: see `size_loans`, `loan_band` and `share_below`.
        `cautious_loan` keeps the promise on sales left out, see `qrgmm.desk.promise`. `amount` is what the desk would
        lend, the cautious loan where there is one, scaled down by `limit_shares`; comparable_share_at_amount,
        probability_at_amount, loss_at_amount and the columns of `place_in_portfolio` are those of it. Then come
        `least_changes`, flags, and warnings, text that is empty where `qrgmm.desk.safeguards` finds nothing to say.
        q01 to q50 are quantiles of revenue, in currency, by which a vintage report can tell where in its law an outcome
        fell; floored is how many quantiles of the fitted law were below 0.
    start : array of shape (n_sellers,)
        See `reference_loans`, from which the drivers lead to the loan.
    drivers : pandas.DataFrame
        See `loan_drivers`.
    comparables : array of int of shape (n_sellers, n_comparable)
        Rows of the history, the nearest law first.
    source : str
        What the model was fitted to.
    floored : array of int of shape (n_sellers,)
        Quantiles of each law that lay below 0 before they were floored.
    notes : list of str
        Sentences about all sellers.
    n_past : int
        Sales that the model was fitted to.
    outside : int
        Sellers with a number outside the history's range, or with a text that it never had.
    promise : Promise, optional
        What was seen of the limit on the default probability.
    max_shares : dict of str to float
        See `limit_shares`.
    missing : dict of str to str
        Applicants about whom nothing can be said, and why.
    unit : str
        Of sales.
    reach : dict of str to str
        Covariates that a seller can change, and which way; see `least_changes`.
    drawn : array of int
        Rows of the sellers whose refits are kept.
    n_fitted : int
        Past sales that the model was fitted to.
    """

    names: list[str]
    sellers: pd.DataFrame
    reference: dict
    curve: QuantileCurve
    refits: list[QuantileCurve]
    unit_revenue: np.ndarray
    limits: dict[str, float]
    loading: float
    table: pd.DataFrame
    start: np.ndarray
    drivers: pd.DataFrame
    comparables: np.ndarray
    source: str
    floored: np.ndarray
    notes: list[str]
    n_past: int = 0
    outside: int = 0
    promise: Promise | None = None
    max_shares: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    unit: str = "units"
    reach: dict[str, str] = field(default_factory=dict)
    drawn: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    n_fitted: int = 0


def decide(
    model: LawModel,
    history: pd.DataFrame,
    sales: ArrayLike,
    sellers: pd.DataFrame,
    limits: dict,
    unit_revenue: ArrayLike | str = 1.0,
    names: list[str] | None = None,
    flags: pd.DataFrame | None = None,
    n_refits: int = 20,
    n_comparable: int = 100,
    loading: float = 0.3,
    rng: Rng = None,
    progress: bool = False,
    groups: ArrayLike | None = None,
    n_folds: int = 10,
    promise: Promise | None = None,
    reach: Sequence[str] | Mapping[str, str] = (),
    max_shares: Mapping[str, float] | None = None,
    drawn: Sequence[str] | None = None,
    fitted: ArrayLike | None = None,
) -> Decisions:
    """Return the desk's decisions about some sellers.

    Parameters
    ----------
    model : QRGMM, TwoPart, DeepFMQRGMM or any other model
        Fitted; refits to `history` and `sales` are clones of it.
    history : pandas.DataFrame
        The covariates of past sellers.
    sales : array of shape (n_past,)
        What they sold, in units.
    sellers : pandas.DataFrame
        One row per new seller.
    limits : dict
        Of `largest_loan`; None, and an infinite cap, stand for no limit.
    unit_revenue : float, array of shape (n_sellers,) or str
        In currency per unit; a name is a column of `sellers`.
    names : list of str, optional
        All different; by default the index of `sellers`.
    flags : pandas.DataFrame, optional
        From `warning_flags`, with the index of `sellers`; its columns join the table.
    n_refits, n_comparable : int
        Bootstrap refits, 0 for none and else at least 2, and past sellers to compare with, at most all.
    loading : float
        See `place_in_portfolio`.
    rng : numpy.random.Generator, int or None
    progress : bool
        Show bars, where there is a terminal to show them on.
    groups : array of shape (n_past,), optional
        The seller of every past row, where sellers have several: whole sellers are then drawn, and left out.
    n_folds : int
        Refits that leave a part of the history out, at least 2, or 0 to size no cautious loans. Without a limit on the
        default probability below 1 nothing is promised, and none is sized either.
    promise : Promise, optional
        What was seen elsewhere, of past vintages for example, in the place of rows left out.
    reach : list of str, or dict of str to {"up", "down", "either"}
        Covariates that a seller can change, see `least_changes`; the loan to raise is the cautious one.
    max_shares : dict of str to float, optional
        See `limit_shares`; of columns of `sellers`.
    drawn : list of str, optional
        Names of the sellers whose refits are kept to be drawn, by default all.
    fitted : array of int, optional
        Rows of the history that `model` was fitted to, and that refits are fitted to and left out of; by default all.
        Comparable sales are looked for among all in any case.

    Returns
    -------
    Decisions

    Raises
    ------
    ValueError
        If limits, revenue, names, flags, shares or covariates are not what the functions of this module need; if a
        limit on the default probability lies below the first level of the model, where it knows nothing; or if a seller
        has a value that the history never had, unless the model's encoder takes it as another one
        (``unseen="other"``).

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"store": rng.choice(["a", "b"], 400), "price": rng.uniform(1, 2, 400)})
    >>> sales = 10 + 5 * (X["store"] == "b") + rng.exponential(size=400)
    >>> model = QRGMM(levels=20).fit(X, sales)
    >>> new = pd.DataFrame({"store": ["a", "b"], "price": [1.5, 1.5]})
    >>> found = decide(model, X, sales, new, {"max_default_probability": 0.1}, "price", n_refits=5, rng=1)
    >>> found.table[["loan", "default_probability", "cautious_loan"]].round(1)
       loan  default_probability  cautious_loan
    0  15.2                  0.1           15.2
    1  22.7                  0.1           22.7
    """
    rng, sales = np.random.default_rng(rng), np.asarray(sales, dtype=float)
    progress = progress and sys.stderr.isatty()
    names = [str(name) for name in (sellers.index if names is None else names)]
    limits = {
        name: limit
        for name, limit in limits.items()
        if not (limit is None or (name == "cap" and np.all(np.isposinf(limit))))
    }
    _check_sellers(names, history, sellers, flags, n_refits, n_folds)
    kept = np.arange(len(names)) if drawn is None else np.flatnonzero(np.isin(names, list(drawn)))
    rows, revenue = sellers[list(history)], revenue_per_unit(sellers, unit_revenue)
    doubts = _doubt_rows(model, history, rows, names)
    learned, learned_sales, learned_groups = history, sales, groups
    if fitted is not None:
        chosen = np.asarray(fitted, dtype=int)
        learned, learned_sales = history.iloc[chosen], sales[chosen]
        learned_groups = None if groups is None else np.asarray(groups)[chosen]
    reference, refits, refitted = reference_values(history, model), [], []
    with warnings.catch_warnings():
        # What the encoder says of values never seen is said in the table.
        warnings.filterwarnings("ignore", "column .* has levels never seen")
        raw = model.predict_curve(rows)
        first_level = _check_first_level(raw, limits)
        curve = raw.clip(lower=0.0)
        table = size_loans(curve, revenue, **limits).set_axis(sellers.index)
        for level in KEPT_LEVELS:
            table[f"q{round(100 * level):02}"] = curve.ppf(level)[:, 0] * revenue
        for _ in tqdm(range(n_refits), "refits", disable=not progress):
            refit = bootstrap_curves(model, learned, learned_sales, rows, 1, rng, learned_groups)[0].clip(lower=0.0)
            refitted.append(largest_loan(refit, unit_revenue=revenue, **limits))
            refits.append(refit[kept])
        promised = limits.get("max_default_probability", 1.0)
        if promise is None and n_folds and promised < 1:
            # Which rows are left out together must not change what else is drawn.
            own = rng.spawn(1)[0]
            promise = promise_left_out(
                model, learned, learned_sales, promised, n_folds, learned_groups, own, progress
            )
        nearest = _find_comparables(model, curve, history, n_comparable, progress)
        start = reference_loans(model, sellers, reference, unit_revenue, **limits)
        drivers = loan_drivers(model, sellers, reference, unit_revenue, **limits)
        size = partial(_size_rows, model, list(history), revenue, unit_revenue, limits, promise)
        changes = least_changes(model, sellers, history, reach, size)
    if refits:
        table[["loan_low", "loan_high"]] = middle_range(refitted)
    loans = amounts = table["loan"].to_numpy()
    table["comparable_default_share"] = _share_lent(sales, nearest, loans, revenue)
    if promise is not None:
        table["cautious_loan"] = amounts = cautious_loans(curve, promise.level, revenue, **limits)
    cautious, max_shares = amounts, dict(max_shares or {})
    table["amount"] = amounts = limit_shares(cautious, sellers, max_shares)
    table["comparable_share_at_amount"] = _share_lent(sales, nearest, amounts, revenue)
    for name, measure in (("probability_at_amount", default_probability), ("loss_at_amount", expected_loss)):
        table[name] = np.where(amounts > 0, measure(curve, amounts[:, None], unit_revenue=revenue)[:, 0], np.nan)
    n_scenarios = max(1_000, min(SCENARIOS, CELLS // len(names)))
    place = place_in_portfolio(
        curve, amounts, loading, n_scenarios, rng, unit_revenue=revenue, progress=progress
    ).set_axis(sellers.index)
    table = pd.concat([table, place, changes, *([] if flags is None else [flags])], axis=1)
    # What is lent may default as often as was promised, and as seldom as its law says. A probability of 0 stands for
    # one below that of the knot at which the loan lies.
    seen = table["comparable_share_at_amount"]
    expected = np.clip(seen, table["probability_at_amount"], table["default_probability"])
    known = np.maximum(first_level, curve.cdf((amounts / revenue)[:, None])[:, 0])
    promises = promise_warnings(seen, expected, nearest.shape[1], known)
    table["warnings"] = ["; ".join(a + b) for a, b in zip(doubts, promises)]
    table["floored"] = floored = (raw.values < 0).sum(axis=1)
    source = str(history.attrs.get("source", "history"))
    notes = _write_notes(raw, floored, names, loans, limits, len(learned))
    if promise is not None:
        notes += describe_promise(promise, first_level)
    if reach:
        notes.append(
            "What would raise a loan is what the model reads, and no advice: what a seller who changes it would sell, "
            "nobody knows."
        )
    notes += _describe_shares(cautious, amounts, sellers, max_shares)
    return Decisions(
        names, sellers, reference, curve, refits, revenue, limits, loading, table, start,
        drivers, nearest, source, floored, notes, len(sales), sum(map(bool, doubts)), promise, max_shares,
        reach=dict(reach) if isinstance(reach, Mapping) else dict.fromkeys(reach, "either"), drawn=kept,
        n_fitted=len(learned),
    )  # fmt: skip


def _size_rows(model, columns, revenue, unit_revenue, limits, promise, frame, which):
    """What would be lent to rows, of the sellers `which`, before concentration is limited."""
    revenue = revenue_per_unit(frame, unit_revenue) if isinstance(unit_revenue, str) else revenue[which]
    level = limits.get("max_default_probability", 1.0) if promise is None else promise.level
    return cautious_loans(model.predict_curve(frame[columns]), level, revenue, **limits)


def _share_lent(sales, rows, loans, revenue):
    """Shares of comparable sales that would not have repaid; NaN where nothing is lent."""
    blocks = [slice(start, start + LENT) for start in range(0, len(loans), LENT)]
    shares = [share_below(sales[rows[block]], loans[block], revenue[block]) for block in blocks]
    return np.where(loans > 0, np.concatenate(shares), np.nan)


def _check_sellers(names, history, sellers, flags, n_refits, n_folds):
    """Refuse what would be computed for a long time and then not fit together."""
    if len(names) != len(sellers):
        raise ValueError(f"names must have {len(sellers)} entries, one per seller, got {len(names)}")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"names of sellers must all be different, got {twice[:5]} more than once")
    absent = [name for name in history if name not in sellers]
    if absent:
        raise ValueError(f"sellers must have the columns of history, got none called {absent}")
    if flags is not None and not flags.index.equals(sellers.index):
        raise ValueError(
            f"flags must have the index of sellers, {list(sellers.index[:5])}, got {list(flags.index[:5])}"
        )
    if check_count("n_refits", n_refits, least=0) == 1:
        raise ValueError("n_refits must be 0, for no band, or at least 2, got 1")
    if check_count("n_folds", n_folds, least=0) == 1:
        raise ValueError("n_folds must be 0, for no cautious loans, or at least 2, got 1")


def _doubt_rows(model, history, rows, names):
    """What is strange about the rows of the sellers, as lists of sentences; values never seen may be refused."""
    categories, numeric = name_fields(model, history)
    unseen = unseen_values(categories, rows)
    strange = [(name, *cell) for name, cells in zip(names, unseen) for cell in cells]
    if strange and model.encoder_.unseen != "other":
        name, column, value = strange[0]
        more = f" (and {len(strange) - 1} more such cells)" if len(strange) > 1 else ""
        raise ValueError(
            f"seller {name!r}: column {column!r} has {str(value)!r}, which no past seller has{more}; "
            "--unseen other, or FieldEncoder(unseen='other'), takes it as an average of those known"
        )
    texts = [[f"{column} {value!s} is not in the history, taken as 'other'" for column, value in c] for c in unseen]
    return [a + b for a, b in zip(range_warnings(history, rows, numeric), texts)]


def _check_first_level(raw, limits):
    """The first level of the laws, refusing a limit on the default probability below it."""
    # Where the lowest value is 0 the law does say something: how probable it is that nothing is sold.
    reached = np.broadcast_to(raw.up_to, raw.values.shape)
    knot = np.argmax(reached > 0, axis=1)[:, None]
    lowest, levels = (np.take_along_axis(each, knot, axis=1) for each in (raw.values, reached))
    levels = levels[lowest != 0]
    first, limit = float(levels.max(initial=0.0)), limits.get("max_default_probability")
    if limit is not None and np.min(limit) < first * (1 - 1e-12):
        raise ValueError(
            f"max_default_probability {np.min(limit):g} lies below the first level of the model, {first:g}, where "
            "its laws say nothing; fit it on a grid that has this level"
        )
    return first


def _find_comparables(model, curve, history, n_comparable, progress):
    """Rows of the history with the nearest laws, (n_sellers, n_comparable)."""
    rows, distances = np.empty((len(curve), 0), dtype=int), np.empty((len(curve), 0))
    for start in range(0, len(history), PAST):
        past = model.predict_curve(history.iloc[start : start + PAST]).clip(lower=0.0)
        more, farther = nearest_laws(curve, past, n_comparable, progress)
        rows, distances = np.hstack([rows, start + more]), np.hstack([distances, farther])
        best = np.stack([nearest_first(row)[:n_comparable] for row in distances])
        rows, distances = (np.take_along_axis(each, best, axis=1) for each in (rows, distances))
    return rows


def _write_notes(raw, floored, names, loans, limits, n_past):
    """Sentences about all sellers."""
    n_sellers, most = len(loans), np.argsort(-floored, kind="stable")[:MOST_NAMED]
    named = ", ".join(f"{names[i]} {floored[i]}" for i in most if floored[i])
    more = ", ..." if (floored > 0).sum() > MOST_NAMED else ""
    notes = [
        f"Forecasts have {raw.levels.shape[-1]} levels, from {show_number(np.min(raw.levels), 3)} to "
        f"{show_number(np.max(raw.levels), 3)}.",
        f"Fitted sales below 0 count as 0: {floored.sum():,} quantiles of {(floored > 0).sum():,} of {n_sellers:,} "
        f"sellers{f' ({named}{more})' if named else ''}.",
    ]
    if (loans == 0).any():
        notes.append(f"No loan keeps the limits for {(loans == 0).sum():,} of {n_sellers:,} sellers.")
    expected = np.min(limits.get("max_default_probability", 1.0)) * n_past
    if expected < 10:
        notes.append(
            f"The limit on the default probability rests on the {show_number(round(expected, 1))} lowest of "
            f"{n_past:,} past sales: it is hardly more than a guess."
        )
    return notes


def _describe_shares(cautious, amounts, sellers, max_shares):
    """Sentences about what limits on concentration did."""
    notes = []
    for name, share in max_shares.items():
        held = pd.Series(amounts).groupby(sellers[name].to_numpy()).sum()
        most, total = held.idxmax(), held.sum()
        notes.append(
            f"No value of {name} holds more than {show_share(share)} of what is lent: {most} holds the most, "
            f"{show_share(held[most] / total if total else 0.0)}."
        )
    scaled = amounts < cautious * (1 - 1e-12)
    if scaled.any():
        notes.append(
            f"Loans scaled down for that: {scaled.sum():,}, from {cautious.sum():,.0f} to {amounts.sum():,.0f} in all."
        )
    return notes
