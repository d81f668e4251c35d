r"""The lender's desk: from rows of sellers to loans, what drives them, whom they resemble, and a memo.

The whole book in one pass. A model fitted to past sellers gives every new one a law of sales; the limits of the lender
turn it into the largest loan; refits say how sure that is; moving one covariate at a time says why; past sellers with
nearly the same law say how such loans went; a copula says what each adds to the tail of all together. Chapter 16.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng
from qrgmm.curve import QuantileCurve
from qrgmm.models.law_model import LawModel
from qrgmm.models.metamodel import QRGMM, bootstrap_curves
from qrgmm.portfolio.copula import EllipticalCopula
from qrgmm.portfolio.loans import allocate_cvar
from qrgmm.risk import conditional_value_at_risk, default_probability, largest_loan, risk_profile
from qrgmm.systems.warning_scores import EQUAL_WEIGHTS, PARTIES, party_score, total_risk_score

CHAIN_COLUMNS = [*(name for names in PARTIES.values() for name in names), "industry"]  # what the risk score is made of


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
        Their laws of sales, in units sold.
    refits : list of QuantileCurve
        The same laws from refits to resampled history; may be empty.
    unit_revenue : array of shape (n_sellers,)
        In currency per unit.
    limits : dict of str to float
        Arguments of `largest_loan`.
    loading : float
        See `place_in_portfolio`.
    table : pandas.DataFrame
        One row per seller: see `size_loans`, `loan_band`, `share_below` and `place_in_portfolio`.
    drivers : pandas.DataFrame
        See `loan_drivers`.
    comparables : array of int of shape (n_sellers, n_comparable)
        Rows of the history, the nearest law first.
    source : str
        What the model was fitted to.
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


def size_loans(
    curve: QuantileCurve,
    unit_revenue: ArrayLike = 1.0,
    **limits: float | None,
) -> pd.DataFrame:
    r"""Return the largest loan of every seller under the limits, which limit binds, and the risk at that loan.

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller, in units sold.
    unit_revenue : float or array of shape (n_sellers,)
        In currency per unit; positive.
    **limits
        Of `largest_loan`, each a number: `max_default_probability`, `max_expected_loss`, `max_expected_loss_rate`,
        `max_conditional_value_at_risk` (at the level 0.95), `cap`; None stands for no limit.

    Returns
    -------
    pandas.DataFrame
        With loan, expected_loss and loss_given_default in currency, default_probability, expected_loss_rate (EL as a
        share of the loan, 0 for no loan), mean_revenue in currency, and binding, the name of the limit.

    Raises
    ------
    ValueError
        As `largest_loan`, and if the loan of some seller is not limited at all.

    Notes
    -----
    Chapters 1 and 16.

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
        name: values[:, 0]
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
    Percentile bootstrap; chapters 5 and 16.

    Examples
    --------
    >>> refits = [QuantileCurve([0.5], [[q]]) for q in (8.0, 10.0, 12.0)]
    >>> loan_band(refits, coverage=0.5, max_default_probability=0.05)
    array([[ 9., 11.]])
    """
    if len(refits) < 2:
        raise ValueError(f"refits must hold at least two curves, got {len(refits)}")
    loans = [
        largest_loan(curve, unit_revenue=unit_revenue, **limits) for curve in refits
    ]
    return np.quantile(loans, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0).T


def reference_values(history: pd.DataFrame) -> dict:
    """Return the seller to compare with: the median of each numeric column, the most frequent level of each other.

    Parameters
    ----------
    history : pandas.DataFrame

    Returns
    -------
    dict

    Examples
    --------
    >>> reference_values(pd.DataFrame({"store": ["a", "b", "b"], "price": [1.0, 2.0, 6.0]}))
    {'store': 'b', 'price': 2.0}
    """
    numeric = history.select_dtypes("number").columns
    return {name: float(history[name].median()) if name in numeric else history[name].mode()[0] for name in history}


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
    Chapter 16.

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
        return largest_loan(
            curve, unit_revenue=revenue_per_unit(frame, unit_revenue), **limits
        )

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


def law_distances(curve: QuantileCurve, others: QuantileCurve) -> np.ndarray:
    r"""Return the Wasserstein distance of every law of one curve to every law of another, exactly.

    .. math:: W(Q, Q') = \int_0^1 |Q(u) - Q'(u)|\, du

    The difference of two quantile functions on one grid is linear between levels, so each piece is a trapezium, or two
    triangles where it changes sign.

    Parameters
    ----------
    curve, others : QuantileCurve
        On the same levels, (n_rows,) and (n_others,) laws.

    Returns
    -------
    array of shape (n_rows, n_others), in units sold

    Raises
    ------
    ValueError
        If the levels differ.

    Notes
    -----
    Chapters 9 and 16.

    Examples
    --------
    >>> law_distances(QuantileCurve([0.25, 0.75], [1.0, 3.0]), QuantileCurve([0.25, 0.75], [[2.0, 2.0], [2.0, 4.0]]))
    array([[0.75, 1.  ]])
    """
    if not (
        np.array_equal(curve.below, others.below)
        and np.array_equal(curve.up_to, others.up_to)
    ):
        raise ValueError(
            f"others must have the levels of curve, got {others!r} and {curve!r}"
        )
    atoms, spread = curve.masses()
    distances = np.empty((len(curve), len(others)))
    for i, law in enumerate(curve.values):
        gap = others.values - law
        size, a, b = np.abs(gap), gap[:, :-1], gap[:, 1:]
        both = size[:, :-1] + size[:, 1:]
        crossing = np.divide(
            a * a + b * b, both, out=np.zeros_like(both), where=both > 0
        )
        distances[i] = size @ atoms + np.where(a * b < 0, crossing, both) @ spread / 2
    return distances


def share_below(sales: ArrayLike, loans: ArrayLike, unit_revenue: ArrayLike) -> np.ndarray:
    """Return the share of the sales in each row that would not have repaid that row's loan.

    Parameters
    ----------
    sales : array of shape (n_sellers, n_comparable)
        What comparable past sellers sold, in units.
    loans, unit_revenue : array of shape (n_sellers,)
        In currency, and in currency per unit.

    Returns
    -------
    array of shape (n_sellers,)

    Examples
    --------
    >>> share_below([[10.0, 20.0, 30.0, 40.0]], [60.0], [3.0])
    array([0.25])
    """
    return default_probability(QuantileCurve.from_draws(sales), np.reshape(loans, (-1, 1)), unit_revenue=unit_revenue)[
        :, 0
    ]


def place_in_portfolio(
    curve: QuantileCurve,
    loans: ArrayLike,
    loading: float = 0.5,
    n_scenarios: int = 20_000,
    rng: Rng = None,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
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
        without dates cannot tell it: it is an assumption.
    n_scenarios : int
    rng : numpy.random.Generator, int or None
    level : float
    unit_revenue : float or array of shape (n_sellers,)

    Returns
    -------
    pandas.DataFrame
        With cvar_alone and cvar_part, in currency; the parts sum to the portfolio's CVaR.

    Notes
    -----
    Chapters 15 and 16.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> place_in_portfolio(curve, [15.0, 30.0], loading=1.0, n_scenarios=1000, rng=0).round(9)
       cvar_alone  cvar_part
    0         5.0        5.0
    1        20.0       20.0
    """
    copula = EllipticalCopula(loadings=np.full(len(curve), float(loading)))
    alone = conditional_value_at_risk(curve, np.reshape(loans, (-1, 1)), level=level, unit_revenue=unit_revenue)[:, 0]
    parts = allocate_cvar(curve, np.reshape(loans, (-1, 1)), copula, n_scenarios, rng, level, unit_revenue)
    return pd.DataFrame({"cvar_alone": alone, "cvar_part": parts})


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
        From which values on to raise a flag; what is None is left out.
    theta : float
        Of the total risk score, with `margin="survival"`.

    Returns
    -------
    pandas.DataFrame
        late_probability, risk_score, and the answers buyer_late and chain_risky, as far as asked for.

    Raises
    ------
    ValueError
        If a column is missing or has values outside [0, 1].

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
    columns = ["late_probability"] * (max_late_probability is not None)
    columns += CHAIN_COLUMNS * (max_risk_score is not None)
    absent = [name for name in columns if name not in sellers]
    if absent:
        raise ValueError(f"sellers must have the columns {absent}, got {list(sellers)}")
    for name in columns:
        if not sellers[name].between(0, 1).all():
            raise ValueError(f"column {name!r} of sellers must lie in [0, 1], got {sellers[name].tolist()}")
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
    loading: float = 0.5,
    rng: Rng = None,
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
        Of `largest_loan`.
    unit_revenue : float, array of shape (n_sellers,) or str
        In currency per unit; a name is a column of `sellers`.
    names : list of str, optional
        By default the index of `sellers`.
    flags : pandas.DataFrame, optional
        From `warning_flags`; its columns join the table.
    n_refits, n_comparable : int
        Bootstrap refits, none if below 2, and past sellers to compare with, at most all.
    loading : float
        See `place_in_portfolio`.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    Decisions

    Raises
    ------
    ValueError
        If limits, revenue, names or covariates are not what the functions of this module need.

    Notes
    -----
    Chapter 16.

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
    rng = np.random.default_rng(rng)
    names = [str(name) for name in (sellers.index if names is None else names)]
    if len(names) != len(sellers):
        raise ValueError(
            f"names must have {len(sellers)} entries, one per seller, got {len(names)}"
        )
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    rows, sales = sellers[list(history)], np.asarray(sales, dtype=float)
    revenue, curve = revenue_per_unit(sellers, unit_revenue), model.predict_curve(rows)
    table = size_loans(curve, revenue, **limits).set_axis(sellers.index)
    refits = (
        bootstrap_curves(model, history, sales, rows, n_refits, rng)
        if n_refits >= 2
        else []
    )
    if refits:
        table[["loan_low", "loan_high"]] = loan_band(refits, revenue, **limits)
    distances = law_distances(curve, model.predict_curve(history))
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :n_comparable]
    table["comparable_default_share"] = share_below(
        sales[nearest], table["loan"].to_numpy(), revenue
    )
    place = place_in_portfolio(
        curve, table["loan"].to_numpy(), loading, rng=rng, unit_revenue=revenue
    )
    table = pd.concat(
        [table, place.set_axis(sellers.index), *([] if flags is None else [flags])],
        axis=1,
    )
    reference = reference_values(history)
    drivers = loan_drivers(model, sellers, reference, unit_revenue, **limits)
    source = str(history.attrs.get("source", "history"))
    return Decisions(
        names,
        sellers,
        reference,
        curve,
        refits,
        revenue,
        limits,
        loading,
        table,
        drivers,
        nearest,
        source,
    )
