r"""The lender's desk: from rows of sellers to loans, what drives them, whom they resemble, and a memo.

The whole book in one pass. A model fitted to past sellers gives every new one a law of sales; the limits of the lender
turn it into the largest loan; refits say how sure that is; moving one covariate at a time says why; past sellers with
nearly the same law say how such loans went; a copula says what each adds to the tail of all together. Chapter 19.

A linear law may reach below zero, sales may not: every function floors the laws that it is given at 0, exactly, and a
seller to whom nothing is lent has no exposure, so that its risk is blank.
"""

import sys
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import tqdm

from qrgmm.checks import Rng, check_count, check_level
from qrgmm.curve import QuantileCurve
from qrgmm.desk.comparables import law_distances as law_distances  # also found here
from qrgmm.desk.comparables import nearest_first, nearest_laws, share_below
from qrgmm.desk.safeguards import promise_warnings, range_warnings, show_number, unseen_values
from qrgmm.models.law_model import LawModel
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import bootstrap_curves
from qrgmm.portfolio.copula import EllipticalCopula
from qrgmm.portfolio.loans import allocate_cvar
from qrgmm.risk import conditional_value_at_risk, largest_loan, risk_profile
from qrgmm.systems.warning_scores import EQUAL_WEIGHTS, PARTIES, party_score, total_risk_score

CHAIN_COLUMNS = [*(name for names in PARTIES.values() for name in names), "industry"]  # what the risk score is made of
PAST = 10_000  # sellers whose laws are predicted at a time: what bounds the memory
HIGHEST_SCORE = 6.0  # of `total_risk_score`


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
        The same laws from refits to resampled history; may be empty.
    unit_revenue : array of shape (n_sellers,)
        In currency per unit.
    limits : dict of str to float
        Arguments of `largest_loan`.
    loading : float
        See `place_in_portfolio`.
    table : pandas.DataFrame
        One row per seller: see `size_loans`, `loan_band`, `share_below` (as comparable_default_share) and
        `place_in_portfolio`; and warnings, text that is empty where `qrgmm.desk.safeguards` finds nothing to say.
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
    drivers: pd.DataFrame
    comparables: np.ndarray
    source: str
    floored: np.ndarray
    notes: list[str]


def size_loans(
    curve: QuantileCurve,
    unit_revenue: ArrayLike = 1.0,
    **limits: float | None,
) -> pd.DataFrame:
    r"""Return the largest loan of every seller under the limits, which limit binds, and the risk at that loan.

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller, in units sold; floored at 0.
    unit_revenue : float or array of shape (n_sellers,)
        In currency per unit; positive.
    **limits
        Of `largest_loan`, each a number: `max_default_probability`, `max_expected_loss`, `max_expected_loss_rate`,
        `max_conditional_value_at_risk` (at the level 0.95), `cap`; None stands for no limit.

    Returns
    -------
    pandas.DataFrame
        With loan, expected_loss and loss_given_default in currency, default_probability, expected_loss_rate (EL as a
        share of the loan, 0 for no loan), mean_revenue in currency, and binding, the name of the limit. Where the loan
        is 0 nothing is exposed: default_probability, expected_loss and loss_given_default are NaN.

    Raises
    ------
    ValueError
        As `largest_loan`, and if the loan of some seller is not limited at all.

    Notes
    -----
    Chapters 1 and 19.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> size_loans(curve, 2.0, max_default_probability=0.5, cap=30.0).T
                                0
    loan                     30.0
    default_probability     0.375
    expected_loss           3.125
    expected_loss_rate   0.104167
    loss_given_default   8.333333
    mean_revenue             47.5
    binding                   cap
    """
    curve = curve.clip(lower=0.0)
    given = {name: limit for name, limit in limits.items() if limit is not None}
    loans = largest_loan(curve, unit_revenue=unit_revenue, **given)
    if not np.isfinite(loans).all():
        raise ValueError(
            f"limits must bound every loan, got {given}, "
            f"which leave {np.isinf(loans).sum()} unbounded"
        )
    alone = [
        largest_loan(curve, unit_revenue=unit_revenue, **{name: limit})
        for name, limit in given.items()
    ]
    profile = {
        name: np.where(loans > 0, values[:, 0], np.nan)
        for name, values in risk_profile(
            curve, loans[:, None], unit_revenue=unit_revenue
        ).items()
    }
    rate = np.divide(
        profile["expected_loss"], loans, out=np.zeros(len(loans)), where=loans > 0
    )
    return pd.DataFrame(
        {
            "loan": loans,
            "default_probability": profile["default_probability"],
            "expected_loss": profile["expected_loss"],
            "expected_loss_rate": rate,
            "loss_given_default": profile["loss_given_default"],
            "mean_revenue": curve.mean() * unit_revenue,
            "binding": np.array(list(given))[np.argmin(alone, axis=0)],
        }
    )


def loan_band(
    refits: list[QuantileCurve],
    unit_revenue: ArrayLike = 1.0,
    coverage: float = 0.9,
    **limits: float,
) -> np.ndarray:
    """Return the middle range of the largest loan over refits: what another sample of history might have lent.

    Parameters
    ----------
    refits : list of QuantileCurve
        From `bootstrap_curves`, each with one row per seller.
    unit_revenue : float or array of shape (n_sellers,)
    coverage : float
        Share of the refits within the band, in (0, 1).
    **limits
        Of `largest_loan`.

    Returns
    -------
    array of shape (n_sellers, 2), in currency

    Raises
    ------
    ValueError
        If there are fewer than two refits.

    Notes
    -----
    Percentile bootstrap; chapters 5 and 19.

    Examples
    --------
    >>> refits = [QuantileCurve([0.5], [[q]]) for q in (8.0, 10.0, 12.0)]
    >>> loan_band(refits, coverage=0.5, max_default_probability=0.05)
    array([[ 9., 11.]])
    """
    if len(refits) < 2:
        raise ValueError(f"refits must hold at least two curves, got {len(refits)}")
    coverage = check_level("coverage", coverage)
    loans = [
        largest_loan(curve.clip(lower=0.0), unit_revenue=unit_revenue, **limits)
        for curve in refits
    ]
    return np.quantile(loans, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0).T


def reference_values(history: pd.DataFrame, model: LawModel | None = None) -> dict:
    """Return the seller to compare with: the median of each numeric column, the most frequent level of each other.

    Parameters
    ----------
    history : pandas.DataFrame
    model : fitted model, optional
        Its encoder says which columns hold levels, such as codes written in digits, and which hold numbers; without it,
        or without an encoder, the types of the columns do.

    Returns
    -------
    dict

    Examples
    --------
    >>> history = pd.DataFrame({"store": [1, 4, 4], "price": [1.0, 2.0, 6.0]})
    >>> reference_values(history)
    {'store': 4.0, 'price': 2.0}
    >>> from qrgmm.models.encoding import FieldEncoder
    >>> coded = QRGMM([0.5], FieldEncoder(["store"])).fit(history, [1.0, 2.0, 3.0])
    >>> reference_values(history, coded)["store"] in (1, 4)
    True
    """
    _, numeric = _fields(model, history)
    return {name: float(history[name].median()) if name in numeric else history[name].mode()[0] for name in history}


def _fields(model, history):
    """The columns of levels, with all levels, and the columns of numbers."""
    encoder = getattr(model, "encoder_", None)
    if encoder is None:
        return {}, list(history.select_dtypes("number"))
    return encoder.categories_, list(encoder.continuous_)


def loan_drivers(
    model: LawModel,
    sellers: pd.DataFrame,
    reference: dict,
    unit_revenue: ArrayLike | str = 1.0,
    **limits: float,
) -> pd.DataFrame:
    r"""Return what every covariate's own value does for the largest loan, against a reference value.

    .. math:: \ell^*(x) - \ell^*(x_1, \dots, x_k^{\mathrm{ref}}, \dots, x_p), \qquad k = 1, \dots, p

    Each number is exact for its question, one field moved and all others left. They do not add up to the difference
    between the seller and the reference seller unless the loan is additive in the fields.

    Parameters
    ----------
    model : QRGMM or any fitted model with `predict_curve`
    sellers : pandas.DataFrame
        One row per seller.
    reference : dict
        Covariate of the model -> value, see `reference_values`.
    unit_revenue : float, array of shape (n_sellers,) or str
        A name is a column of `sellers`; when that field is moved, revenue per unit moves with it.
    **limits
        Of `largest_loan`.

    Returns
    -------
    pandas.DataFrame of shape (n_sellers, n_fields), in currency
        Positive: with the reference value the loan would be smaller by that much.

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"ads": rng.uniform(0, 4, 400), "price": rng.uniform(3, 6, 400)})
    >>> model = QRGMM(levels=20).fit(X, 60 + 40 * X["ads"])
    >>> seller = pd.DataFrame({"ads": [3.0], "price": [5.0]})
    >>> reference, limits = {"ads": 2.0, "price": 4.0}, {"max_default_probability": 0.05}
    >>> loan_drivers(model, seller, reference, "price", **limits).round(3)
         ads  price
    0  200.0  180.0
    """

    def loans(frame):
        curve = model.predict_curve(frame[list(reference)])
        revenue = revenue_per_unit(frame, unit_revenue)
        return largest_loan(curve.clip(lower=0.0), unit_revenue=revenue, **limits)

    now = loans(sellers)
    moved = {
        name: now - loans(sellers.assign(**{name: value}))
        for name, value in reference.items()
    }
    return pd.DataFrame(moved, index=sellers.index)


def revenue_per_unit(sellers: pd.DataFrame, unit_revenue: ArrayLike | str) -> np.ndarray:
    """Return the net revenue of one unit of every seller.

    Parameters
    ----------
    sellers : pandas.DataFrame
        One row per seller.
    unit_revenue : float, array of shape (n_sellers,) or str
        In currency per unit; a name is a column of `sellers`.

    Returns
    -------
    array of shape (n_sellers,), in currency per unit

    Raises
    ------
    ValueError
        If there is no such column, or a number is not positive and finite.

    Examples
    --------
    >>> revenue_per_unit(pd.DataFrame({"price": [2.0, 3.0]}), "price")
    array([2., 3.])
    """
    if isinstance(unit_revenue, str):
        if unit_revenue not in sellers:
            raise ValueError(f"unit_revenue must name a column of sellers, got {unit_revenue!r}; has {list(sellers)}")
        unit_revenue = sellers[unit_revenue]
    revenue = np.broadcast_to(np.asarray(unit_revenue, dtype=float), (len(sellers),))
    if not (np.isfinite(revenue) & (revenue > 0)).all():
        raise ValueError(f"unit_revenue must be positive and finite, got {revenue.min():g}")
    return revenue


def place_in_portfolio(
    curve: QuantileCurve,
    loans: ArrayLike,
    loading: float = 0.3,
    n_scenarios: int = 20_000,
    rng: Rng = None,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
    progress: bool = False,
) -> pd.DataFrame:
    """Return each loan's CVaR alone and its part in the CVaR of all together, tied by one common factor.

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller.
    loans : array of shape (n_sellers,)
        In currency.
    loading : float
        Of every seller on the factor, in [0, 1]: 0 for independent sellers, 1 for sellers that move as one. A history
        without dates cannot tell it: the default is the upper end of what chapter 16 measures on sellers with dates.
    n_scenarios : int
    rng : numpy.random.Generator, int or None
    level : float
    unit_revenue : float or array of shape (n_sellers,)
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        With cvar_alone and cvar_part, in currency; the parts sum to the portfolio's CVaR. Both are NaN for a loan of 0,
        which is left out of the scenarios, so that it changes nothing for the others.

    Raises
    ------
    ValueError
        If `loading` lies outside [0, 1], or there is not one loan per seller.

    Notes
    -----
    Chapters 18 and 19.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> place_in_portfolio(curve, [15.0, 30.0], loading=1.0, n_scenarios=1000, rng=0).round(9)
       cvar_alone  cvar_part
    0         5.0        5.0
    1        20.0       20.0
    """
    if not 0 <= loading <= 1:
        raise ValueError(f"loading must lie in [0, 1], got {loading!r}")
    loans, revenue = np.asarray(loans, dtype=float), np.broadcast_to(unit_revenue, (len(curve),))
    if loans.shape != (len(curve),):
        raise ValueError(f"loans must have shape ({len(curve)},), one per seller, got {loans.shape}")
    place = pd.DataFrame(np.nan, range(len(curve)), ["cvar_alone", "cvar_part"])
    lent = np.flatnonzero(loans > 0)
    if len(lent):
        law, amounts, revenue = curve[lent].clip(lower=0.0), loans[lent, None], revenue[lent]
        copula = EllipticalCopula(loadings=np.full(len(lent), float(loading)))
        place.loc[lent, "cvar_alone"] = conditional_value_at_risk(law, amounts, level=level, unit_revenue=revenue)[:, 0]
        place.loc[lent, "cvar_part"] = allocate_cvar(law, amounts, copula, n_scenarios, rng, level, revenue, progress)
    return place


def warning_flags(
    sellers: pd.DataFrame,
    max_late_probability: float | None = None,
    max_risk_score: float | None = None,
    theta: float = 1.0,
) -> pd.DataFrame:
    """Return what the neighbouring systems say of every seller: will its buyer pay late, and does its chain look risky.

    Parameters
    ----------
    sellers : pandas.DataFrame
        With `late_probability` for the first, with the indicators v1, v2, v3, w1, w2, q1, q2 and `industry`, all in
        [0, 1], for the second.
    max_late_probability, max_risk_score : float, optional
        From which values on to raise a flag, in [0, 1] and [0, 6]; what is None is left out.
    theta : float
        Of the total risk score, with `margin="survival"`.

    Returns
    -------
    pandas.DataFrame
        late_probability, risk_score, and the answers buyer_late and chain_risky, as far as asked for.

    Raises
    ------
    ValueError
        If a threshold is out of range, or a column is missing or has values outside [0, 1].

    Notes
    -----
    Chapters 13, 14 and 16.

    Examples
    --------
    >>> warning_flags(pd.DataFrame({"late_probability": [0.1, 0.7]}), max_late_probability=0.5)
       late_probability  buyer_late
    0               0.1       False
    1               0.7        True
    """
    for name, threshold, top in [
        ("max_late_probability", max_late_probability, 1.0),
        ("max_risk_score", max_risk_score, HIGHEST_SCORE),
    ]:
        if threshold is not None and not 0 <= threshold <= top:
            raise ValueError(f"{name} must lie in [0, {top:g}], got {threshold!r}")
    columns = ["late_probability"] * (max_late_probability is not None)
    columns += CHAIN_COLUMNS * (max_risk_score is not None)
    absent = [name for name in columns if name not in sellers]
    if absent:
        raise ValueError(f"sellers must have the columns {absent}, got {list(sellers)}")
    for name in columns:
        outside = sellers.index[~sellers[name].between(0, 1)]
        if len(outside):
            first = f"{sellers[name][~sellers[name].between(0, 1)].iloc[0]!r} in row {outside[0]!r}"
            raise ValueError(f"column {name!r} of sellers must lie in [0, 1], got {first}")
    flags = pd.DataFrame(index=sellers.index)
    if max_late_probability is not None:
        flags["late_probability"] = sellers["late_probability"]
        flags["buyer_late"] = flags["late_probability"] >= max_late_probability
    if max_risk_score is not None:
        by_party = [party_score(sellers[columns], EQUAL_WEIGHTS[party]) for party, columns in PARTIES.items()]
        scores = np.column_stack(by_party)
        flags["risk_score"] = total_risk_score(scores, theta, sellers["industry"].to_numpy(), margin="survival")
        flags["chain_risky"] = flags["risk_score"] >= max_risk_score
    return flags


def decide(
    model: QRGMM,
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
) -> Decisions:
    """Return the desk's decisions about some sellers.

    Parameters
    ----------
    model : QRGMM
        Fitted to `history` and `sales`; refits are clones of it.
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

    Returns
    -------
    Decisions

    Raises
    ------
    ValueError
        If limits, revenue, names, flags or covariates are not what the functions of this module need; if a limit on the
        default probability lies below the first level of the model, where it knows nothing; or if a seller has a value
        that the history never had, unless the model's encoder takes it as another one (``unseen="other"``).

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"store": rng.choice(["a", "b"], 400), "price": rng.uniform(1, 2, 400)})
    >>> sales = 10 + 5 * (X["store"] == "b") + rng.exponential(size=400)
    >>> model = QRGMM(levels=20).fit(X, sales)
    >>> new = pd.DataFrame({"store": ["a", "b"], "price": [1.5, 1.5]})
    >>> found = decide(model, X, sales, new, {"max_default_probability": 0.1}, "price", n_refits=5, rng=1)
    >>> found.table[["loan", "default_probability"]].round(1)
       loan  default_probability
    0  15.2                  0.1
    1  22.7                  0.1
    """
    rng, sales = np.random.default_rng(rng), np.asarray(sales, dtype=float)
    progress = progress and sys.stderr.isatty()
    names = [str(name) for name in (sellers.index if names is None else names)]
    limits = {
        name: limit
        for name, limit in limits.items()
        if not (limit is None or (name == "cap" and np.all(np.isposinf(limit))))
    }
    _check_sellers(names, history, sellers, flags, n_refits)
    rows, revenue = sellers[list(history)], revenue_per_unit(sellers, unit_revenue)
    doubts = _doubt_rows(model, history, rows, names)
    reference, refits = reference_values(history, model), []
    with warnings.catch_warnings():
        # What the encoder says of values never seen is said in the table.
        warnings.filterwarnings("ignore", "column .* has levels never seen")
        raw = model.predict_curve(rows)
        first_level = _check_first_level(raw, limits)
        curve = raw.clip(lower=0.0)
        table = size_loans(curve, revenue, **limits).set_axis(sellers.index)
        for _ in tqdm(range(n_refits), "refits", disable=not progress):
            refit = bootstrap_curves(model, history, sales, rows, 1, rng)[0]
            refits.append(refit.clip(lower=0.0))
        nearest = _find_comparables(model, curve, history, n_comparable, progress)
        drivers = loan_drivers(model, sellers, reference, unit_revenue, **limits)
    if refits:
        table[["loan_low", "loan_high"]] = loan_band(refits, revenue, **limits)
    loans = table["loan"].to_numpy()
    shares = np.where(loans > 0, share_below(sales[nearest], loans, revenue), np.nan)
    table["comparable_default_share"] = shares
    place = place_in_portfolio(
        curve, loans, loading, rng=rng, unit_revenue=revenue, progress=progress
    ).set_axis(sellers.index)
    table = pd.concat([table, place, *([] if flags is None else [flags])], axis=1)
    # A probability of 0 stands for one below that of the knot at which the loan lies.
    known = np.maximum(first_level, curve.cdf((loans / revenue)[:, None])[:, 0])
    promises = promise_warnings(
        shares, table["default_probability"], nearest.shape[1], known
    )
    table["warnings"] = ["; ".join(a + b) for a, b in zip(doubts, promises)]
    floored = (raw.values < 0).sum(axis=1)
    source = str(history.attrs.get("source", "history"))
    notes = _write_notes(raw, floored, loans, limits, len(sales))
    return Decisions(
        names, sellers, reference, curve, refits, revenue, limits, loading, table,
        drivers, nearest, source, floored, notes,
    )  # fmt: skip


def _check_sellers(names, history, sellers, flags, n_refits):
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


def _doubt_rows(model, history, rows, names):
    """What is strange about the rows of the sellers, as lists of sentences; values never seen may be refused."""
    categories, numeric = _fields(model, history)
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
    first, limit = float(np.max(raw.up_to[..., 0])), limits.get("max_default_probability")
    if limit is not None and np.min(limit) < first * (1 - 1e-12):
        raise ValueError(
            f"max_default_probability {np.min(limit):g} lies below the first level of the model, {first:g}, where "
            "its laws say nothing; fit it on a grid that has this level"
        )
    return first


def _find_comparables(model, curve, history, n_comparable, progress):
    """Rows of the history with the nearest laws, (n_sellers, n_comparable)."""
    rows, distances = np.empty((len(curve), 0), dtype=int), np.empty((len(curve), 0))
    for start in tqdm(range(0, len(history), PAST), "comparable sellers", disable=not progress):
        past = model.predict_curve(history.iloc[start : start + PAST]).clip(lower=0.0)
        more, farther = nearest_laws(curve, past, n_comparable)
        rows, distances = np.hstack([rows, start + more]), np.hstack([distances, farther])
        best = np.stack([nearest_first(row)[:n_comparable] for row in distances])
        rows, distances = (np.take_along_axis(each, best, axis=1) for each in (rows, distances))
    return rows


def _write_notes(raw, floored, loans, limits, n_past):
    """Sentences about all sellers."""
    n_sellers = len(loans)
    notes = [
        f"Laws have {raw.levels.shape[-1]} levels, from {show_number(np.min(raw.levels))} to "
        f"{show_number(np.max(raw.levels))}.",
        f"Fitted sales below 0 count as 0: {floored.sum():,} quantiles of {(floored > 0).sum():,} of {n_sellers:,} "
        "sellers.",
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
