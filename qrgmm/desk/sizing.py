r"""From laws of sales to loans: the largest under every limit, its band over refits, its place among the others.

A linear law may reach below zero, sales may not: every function floors the laws that it is given at 0, exactly, and a
seller to whom nothing is lent has no exposure, so that its risk is blank. Chapter 19.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng, check_level
from qrgmm.curve import QuantileCurve
from qrgmm.portfolio.copula import EllipticalCopula
from qrgmm.portfolio.loans import allocate_cvar
from qrgmm.risk import conditional_value_at_risk, largest_loan, risk_profile


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
    return middle_range(loans, coverage)


def middle_range(loans: ArrayLike, coverage: float = 0.9) -> np.ndarray:
    """Return the range that a share of refits lies in.

    Parameters
    ----------
    loans : array of shape (n_refits, n_sellers)
    coverage : float
        In (0, 1).

    Returns
    -------
    array of shape (n_sellers, 2)

    Examples
    --------
    >>> middle_range([[8.0], [10.0], [12.0]], 0.5)
    array([[ 9., 11.]])
    """
    return np.quantile(np.asarray(loans), [(1 - coverage) / 2, (1 + coverage) / 2], axis=0).T


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
