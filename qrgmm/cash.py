r"""The cash of one loan, week by week: from the price that a buyer pays to what the lender earns.

A platform keeps its fees and a reserve and remits the rest; the lender holds back a share of each remittance until the
fee and the loan are repaid, or the tenor ends. Where :math:`D` units are sold in a known rhythm, what is held back by
week :math:`t` is proportional to them, :math:`r_t D`, and chapter 1 holds week by week: of a debt :math:`B` something
is outstanding with probability :math:`P(r_t D < B)`, on average :math:`E[(B - r_t D)^+]`. Repayments and profit follow
exactly. Cash of any other kind goes through the same waterfall as scenarios.
"""

from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize

from qrgmm.checks import check_count, check_loans, check_per_row, check_points, check_table
from qrgmm.curve import QuantileCurve
from qrgmm.risk import default_probability, expected_loss

# Share of a debt that may be missing after sums over weeks were rounded.
ROUNDING = 1e-12
# Newton's steps are few; a bound all the same, so that no rounding makes them endless.
MAX_STEPS = 100


@dataclass(frozen=True)
class PlatformTerms:
    """What a platform takes from the price; the default is nothing.

    Attributes
    ----------
    referral_fee : float
        Share of the price; given back if the unit is returned.
    fulfilment_fee : float
        In currency per unit sold, returned or not.
    advertising : float
        Share of the price, of all units sold.
    returns : float
        Share of units that come back, in the week of their sale, and are refunded in full.
    tax : float
        Rate on top of the price without tax. The price that the buyer pays contains it: of 120, 20 at a rate of 0.2.
    reserve : float
        Share of each week's proceeds that the platform keeps for a while, as a safeguard.
    reserve_weeks : int
        After how many weeks it pays that out.

    Raises
    ------
    ValueError
        If a share lies outside [0, 1], or a fee, a rate or the number of weeks can't be.

    Examples
    --------
    >>> PlatformTerms(referral_fee=0.15, reserve=0.1, reserve_weeks=2).returns
    0.0
    """

    referral_fee: float = 0.0
    fulfilment_fee: float = 0.0
    advertising: float = 0.0
    returns: float = 0.0
    tax: float = 0.0
    reserve: float = 0.0
    reserve_weeks: int = 1

    def __post_init__(self) -> None:
        check_count("reserve_weeks", self.reserve_weeks)
        for name in [field.name for field in fields(self) if field.name != "reserve_weeks"]:
            _check_number(name, getattr(self, name), np.inf if name in ("fulfilment_fee", "tax") else 1.0)


@dataclass(frozen=True)
class LoanTerms:
    """What is agreed on a loan, other than its size; by default the loan of chapter 1.

    Attributes
    ----------
    due : int
        The week by whose end the loan should be repaid; later is late.
    tenor : int
        The last week of repayments; what is owed after it is lost.
    fee : float
        Share of the loan, owed on top of it.
    hold_back : float
        Share of each remittance that goes to the lender while something is owed.

    Raises
    ------
    ValueError
        If weeks are no whole numbers from 1 on, the tenor ends before the loan is due, the fee is negative, or
        `hold_back` lies outside [0, 1].

    Examples
    --------
    >>> LoanTerms(due=13, tenor=26, fee=0.08, hold_back=0.25).tenor
    26
    """

    due: int
    tenor: int
    fee: float = 0.0
    hold_back: float = 1.0

    def __post_init__(self) -> None:
        check_count("tenor", self.tenor, least=check_count("due", self.due))
        _check_number("fee", self.fee, np.inf)
        _check_number("hold_back", self.hold_back, 1.0)


def net_remittances(units: ArrayLike, price: ArrayLike, terms: PlatformTerms) -> dict[str, np.ndarray]:
    r"""Return where the price of what was sold went, week by week.

    Of the net proceeds :math:`n_t` of a week, with the share :math:`\rho` in reserve for :math:`k` weeks, the platform
    remits

    .. math:: (1 - \rho)\, n_t + \rho\, n_{t-k}.

    Parameters
    ----------
    units : array of shape (n_rows, n_weeks), or (n_weeks,) for one row
        Sold in each week.
    price : float or array of shape (n_rows,)
        What a buyer pays for a unit, tax included, in currency; positive.
    terms : PlatformTerms

    Returns
    -------
    dict of str to array of shape (n_rows, n_weeks), in currency
        "gross" is "returns" + "tax" + "referral" + "fulfilment" + "advertising" + "reserved" - "released" +
        "remitted" in every week. What was reserved in the last weeks is released after them.

    Raises
    ------
    ValueError
        If units are negative, or the terms take more than the price.

    Examples
    --------
    >>> terms = PlatformTerms(referral_fee=0.15, fulfilment_fee=3.0, tax=0.25, reserve=0.5)
    >>> cash = net_remittances([10.0, 10.0, 0.0], 20.0, terms)
    >>> pd.DataFrame({name: amounts[0] for name, amounts in cash.items()}).T
                     0      1     2
    gross        200.0  200.0   0.0
    returns        0.0    0.0   0.0
    tax           40.0   40.0   0.0
    referral      30.0   30.0   0.0
    fulfilment    30.0   30.0   0.0
    advertising    0.0    0.0   0.0
    reserved      50.0   50.0   0.0
    released       0.0   50.0  50.0
    remitted      50.0  100.0  50.0
    """
    units = _check_amounts("units", check_table("units", units, "n_weeks"))
    gross = units * check_per_row("price", price, len(units), positive=True)[:, None]
    kept = (1 - terms.returns) * gross
    taken = {
        "returns": terms.returns * gross,
        "tax": terms.tax / (1 + terms.tax) * kept,
        "referral": terms.referral_fee * kept,
        "fulfilment": terms.fulfilment_fee * units,
        "advertising": terms.advertising * gross,
    }
    net = gross - sum(taken.values())
    if (net < -ROUNDING * gross).any():
        worst = np.argmin(net / np.where(gross > 0, gross, 1.0))
        got = f"got terms that take {(gross - net).flat[worst]:g} of {gross.flat[worst]:g}"
        raise ValueError(f"terms must not take more than the price, {got}")
    net = net.clip(0)
    reserved, released = terms.reserve * net, np.zeros_like(net)
    released[:, terms.reserve_weeks :] = reserved[:, : -terms.reserve_weeks]
    remitted = net - reserved + released
    return {"gross": gross, **taken, "reserved": reserved, "released": released, "remitted": remitted}


def unit_remittances(price: ArrayLike, profile: ArrayLike, terms: PlatformTerms) -> np.ndarray:
    r"""Return what one unit of all sales brings, week by week, where sales are spread over weeks in known shares.

    Sales :math:`D` then bring :math:`D` times as much in each week. The sum over the weeks is the unit revenue
    :math:`r` of `qrgmm.risk`.

    Parameters
    ----------
    price : float or array of shape (n_rows,)
        As in `net_remittances`.
    profile : array of shape (n_weeks,) or (n_rows, n_weeks)
        The share of all sales that falls into each week; not negative, with sum 1. Weeks without sales at the end leave
        time for the reserve to be released.
    terms : PlatformTerms

    Returns
    -------
    array of shape (n_rows, n_weeks), in currency per unit
        One row if there is one price and one profile.

    Raises
    ------
    ValueError
        If shares are negative or don't sum to 1, or as `net_remittances`.

    Examples
    --------
    >>> unit_remittances(20.0, [0.75, 0.25, 0.0], PlatformTerms(referral_fee=0.2, reserve=0.5))
    array([[6., 8., 2.]])
    """
    profile = _check_amounts("profile", check_table("profile", profile, "n_weeks"))
    total = profile.sum(axis=1)
    if (np.abs(total - 1) > 1e-9).any():
        raise ValueError(f"profile must have shares that sum to 1, got {total[np.abs(total - 1).argmax()]:g}")
    prices = np.asarray(price, dtype=float)
    if prices.ndim and len(profile) == 1:
        profile = np.repeat(profile, len(prices), axis=0)
    return net_remittances(profile, prices, terms)["remitted"]


def repay(
    remitted: ArrayLike,
    loans: ArrayLike,
    terms: LoanTerms,
) -> dict[str, np.ndarray]:
    r"""Return the waterfall of each scenario: what goes to the fee, then to the loan, and what is left to the seller.

    With :math:`B` the loan and its fee and :math:`h_t` the share held back of the remittance of week :math:`t`, the
    lender has had :math:`\min(h_1 + \dots + h_t,\, B)` by week :math:`t`.

    Parameters
    ----------
    remitted : array of shape (n_rows, n_weeks), or (n_weeks,) for one row
        In currency; not negative. A row is a scenario, or a seller.
    loans : float or array of shape (n_rows,)
        In currency; not negative.
    terms : LoanTerms

    Returns
    -------
    dict of str to array of shape (n_rows, n_weeks), in currency
        "fee", "principal" and "seller", whose sum is `remitted`, and the "balance" owed at the end of each week. After
        the tenor all goes to the seller; the balance of the last week is what the lender has lost.

    Raises
    ------
    ValueError
        If remittances or loans are negative, or there are fewer weeks than the tenor has.

    Examples
    --------
    >>> terms = LoanTerms(due=2, tenor=4, fee=0.1, hold_back=0.5)
    >>> cash = repay([40.0, 100.0, 100.0, 100.0], 100.0, terms)
    >>> pd.DataFrame({name: amounts[0] for name, amounts in cash.items()}).T
                  0     1     2      3
    fee        10.0   0.0   0.0    0.0
    principal  10.0  50.0  40.0    0.0
    seller     20.0  50.0  60.0  100.0
    balance    90.0  40.0   0.0    0.0
    """
    remitted = _check_amounts("remitted", check_table("remitted", remitted, "n_weeks"))
    loans = check_per_row("loans", loans, len(remitted))
    loans = _check_amounts("loans", loans)[:, None]
    held = _hold_back(remitted, terms)
    before = np.cumsum(held, axis=1) - held
    debt = (1 + terms.fee) * loans
    # What is there or what is owed: a difference of sums may be negative by rounding.
    collected = np.minimum(held, (debt - before).clip(0))
    fee = np.minimum(collected, (terms.fee * loans - before).clip(0))
    balance = (debt - before - held).clip(0)
    balance[balance <= ROUNDING * debt] = 0.0
    return {
        "fee": fee,
        "principal": collected - fee,
        "seller": remitted - collected,
        "balance": balance,
    }


def outcomes(balance: ArrayLike, terms: LoanTerms) -> pd.DataFrame:
    """Return how each scenario of a loan ended.

    Parameters
    ----------
    balance : array of shape (n_rows, n_weeks)
        As `repay` returns it.
    terms : LoanTerms

    Returns
    -------
    pandas.DataFrame
        `week` at whose end the loan was repaid (NaN if never), `outcome`, which is "in time", "late" or "default", and
        `loss`, the balance that is left, in currency.

    Raises
    ------
    ValueError
        If balances are negative, or there are fewer weeks than the tenor has.

    Examples
    --------
    >>> terms = LoanTerms(due=2, tenor=3)
    >>> outcomes(repay([[60.0, 60.0, 0.0], [0.0, 90.0, 90.0], [30.0, 30.0, 30.0]], 100.0, terms)["balance"], terms)
       week  outcome  loss
    0   2.0  in time   0.0
    1   3.0     late   0.0
    2   NaN  default  10.0
    """
    balance = _check_amounts("balance", check_table("balance", balance, "n_weeks"))
    _check_weeks(balance, terms)
    repaid = balance == 0
    week = np.where(repaid.any(axis=1), repaid.argmax(axis=1) + 1.0, np.nan)
    outcome = np.select([week <= terms.due, week <= terms.tenor], ["in time", "late"], "default")
    return pd.DataFrame({"week": week, "outcome": outcome, "loss": balance[:, -1]})


def profit(
    collected: ArrayLike, loans: ArrayLike, terms: LoanTerms, cost_of_funds: float = 0.0
) -> dict[str, np.ndarray]:
    r"""Return what the lender earns on repayments, and what that is made of.

    The lender pays :math:`c` a week for the money that it lends. In money of the day of the loan, with :math:`x_t`
    collected at the end of week :math:`t` on a loan :math:`\ell` at a fee :math:`i`,

    .. math::
        \sum_t \frac{x_t}{(1 + c)^t} - \ell = i\ell - \Bigl((1 + i)\,\ell - \sum_t x_t\Bigr)
        - \sum_t \Bigl(1 - \frac{1}{(1 + c)^t}\Bigr) x_t :

    the fee, less what isn't repaid, less the cost of funds. All of it is linear in the repayments: expected ones give
    the expected profit.

    Parameters
    ----------
    collected : array of shape (..., n_weeks)
        Fee and principal of `repay`, or `expected_repayments`; in currency.
    loans : float or array that broadcasts with the shape of `collected` without its weeks
        In currency.
    terms : LoanTerms
    cost_of_funds : float
        :math:`c`, a rate per week; not negative.

    Returns
    -------
    dict of str to array of shape (...), in currency
        "fee", "loss", "cost_of_funds", and "profit", the first less the other two.

    Raises
    ------
    ValueError
        If repayments are not finite, or `cost_of_funds` is negative.

    Examples
    --------
    >>> terms = LoanTerms(due=2, tenor=2, fee=0.1)
    >>> parts = profit([[50.0, 60.0], [50.0, 40.0]], 100.0, terms, cost_of_funds=0.01)
    >>> pd.DataFrame(parts).round(2)
         fee  loss  cost_of_funds  profit
    0  10.0   0.0           1.68    8.32
    1  10.0  20.0           1.28  -11.28
    """
    collected, loans = np.atleast_1d(np.asarray(collected, dtype=float)), np.asarray(loans, dtype=float)
    if not (np.isfinite(collected).all() and np.isfinite(loans).all()):
        raise ValueError("collected and loans must be finite, got NaN or infinity")
    fee = terms.fee * loans
    loss = loans + fee - collected.sum(axis=-1)
    cost = collected @ (1 - _discount(collected.shape[-1], cost_of_funds))
    return {"fee": np.broadcast_to(fee, loss.shape), "loss": loss, "cost_of_funds": cost, "profit": fee - loss - cost}


def outstanding_probability(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    unit_remittances: ArrayLike,
    terms: LoanTerms,
) -> np.ndarray:
    r"""Return the probability that something is still owed at the end of each week, exactly.

    .. math:: P(r_t D < (1 + i)\,\ell), \qquad r_t = \text{held back of the remittances of one unit up to week } t

    At the end of the tenor this is the default probability; week `due` less that is the probability to be late.

    Parameters
    ----------
    curve : QuantileCurve
        The laws of total sales :math:`D`, in units; not negative.
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency; not negative.
    unit_remittances : array of shape (n_weeks,) or (n_rows, n_weeks)
        What a unit of all sales brings in each week, see the function of this name; in currency per unit.
    terms : LoanTerms

    Returns
    -------
    array of shape (n_rows, n_loans, n_weeks)

    Raises
    ------
    ValueError
        If a law has sales below 0, loans or remittances are negative, or there are fewer weeks than the tenor has.

    Examples
    --------
    >>> curve = QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0])
    >>> terms = LoanTerms(due=2, tenor=3, fee=0.1)
    >>> outstanding_probability(curve, 100.0, unit_remittances=[1.0, 2.0, 2.5], terms=terms)
    array([[[1.  , 0.75, 0.25]]])
    """
    laws = _cash_laws(curve, unit_remittances, terms)
    return _outstanding(laws, _debt(curve, loans, terms))


def expected_repayments(
    curve: QuantileCurve, loans: ArrayLike, *, unit_remittances: ArrayLike, terms: LoanTerms
) -> np.ndarray:
    r"""Return what the lender collects in each week on average, exactly.

    With :math:`B = (1 + i)\,\ell` and :math:`r_t` as in `outstanding_probability`, the balance is the shortfall of
    chapter 1, and repayments make it fall:

    .. math:: E[(B - r_{t-1} D)^+] - E[(B - r_t D)^+], \qquad r_0 = 0

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_remittances : array of shape (n_weeks,) or (n_rows, n_weeks)
        In currency per unit.
    terms : LoanTerms

    Returns
    -------
    array of shape (n_rows, n_loans, n_weeks), in currency
        Zero after the tenor.

    Notes
    -----
    Arguments and errors are those of `outstanding_probability`.

    Examples
    --------
    >>> curve = QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0])
    >>> terms = LoanTerms(due=2, tenor=3, fee=0.1)
    >>> expected_repayments(curve, 100.0, unit_remittances=[1.0, 2.0, 2.5], terms=terms)
    array([[[25.  , 47.5 , 23.75]]])
    """
    return _repayments(_cash_laws(curve, unit_remittances, terms), _debt(curve, loans, terms))


def expected_profit(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    unit_remittances: ArrayLike,
    terms: LoanTerms,
    cost_of_funds: float = 0.0,
) -> dict[str, np.ndarray]:
    r"""Return what the lender earns on average and what that is made of, exactly.

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_remittances : array of shape (n_weeks,) or (n_rows, n_weeks)
        In currency per unit.
    terms : LoanTerms
    cost_of_funds : float
        A rate per week.

    Returns
    -------
    dict of str to array of shape (n_rows, n_loans), in currency
        The parts of `profit`. Without a fee, with all cash held back and no cost of funds, "loss" is the expected loss
        of chapter 1, at the unit revenue that `unit_remittances` sum to.

    Notes
    -----
    Arguments and errors are those of `outstanding_probability` and `profit`.

    Examples
    --------
    >>> curve = QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0])
    >>> terms = LoanTerms(due=2, tenor=3, fee=0.1)
    >>> parts = expected_profit(curve, 60.0, unit_remittances=[1.0, 2.0, 2.5], terms=terms, cost_of_funds=0.01)
    >>> {name: round(amount.item(), 2) for name, amount in parts.items()}
    {'fee': 6.0, 'loss': 2.75, 'cost_of_funds': 1.08, 'profit': 2.17}
    """
    collected = expected_repayments(curve, loans, unit_remittances=unit_remittances, terms=terms)
    lent = np.broadcast_to(check_loans(loans, len(curve)), collected.shape[:-1])
    return profit(collected, lent, terms, cost_of_funds)


def break_even_fee(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    unit_remittances: ArrayLike,
    terms: LoanTerms,
    cost_of_funds: float = 0.0,
) -> np.ndarray:
    r"""Return the fee, as a share of the loan, at which the lender earns nothing on average.

    One unit more of debt comes in in the week in which the loan would else have been finished, so that the present
    value of all repayments, as a function of the debt, is concave with slope

    .. math:: \sum_t \frac{P(\text{finished in week } t)}{(1 + c)^t} .

    Newton's method climbs to its root from below and never beyond it.

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_remittances : array of shape (n_weeks,) or (n_rows, n_weeks)
        In currency per unit.
    terms : LoanTerms
        Their fee doesn't matter.
    cost_of_funds : float
        A rate per week.

    Returns
    -------
    array of shape (n_rows, n_loans)
        Infinite where all cash until the end of the tenor is worth less than the loan on average; NaN for a loan of 0.

    Notes
    -----
    Arguments and errors are those of `outstanding_probability` and `profit`.

    Examples
    --------
    >>> curve = QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0])
    >>> terms = LoanTerms(due=13, tenor=13)
    >>> break_even_fee(curve, [10.0, 16.0, 26.0], unit_remittances=np.full(13, 1 / 13), terms=terms)
    array([[0.   , 0.125,   inf]])
    """
    laws, lent = _cash_laws(curve, unit_remittances, terms), _debt(curve, loans, terms) / (1 + terms.fee)
    lent = np.broadcast_to(lent, (len(curve), lent.shape[1]))
    discount = _discount(len(laws), cost_of_funds)
    most = np.diff([law.mean() for law in laws], axis=0, prepend=0.0).T @ discount
    possible = most[:, None] >= (1 - ROUNDING) * lent
    debt = np.where(possible, lent, 0.0)
    for _ in range(MAX_STEPS):
        gap = lent - _repayments(laws, debt) @ discount
        slope = -np.diff(_outstanding(laws, debt), prepend=1.0) @ discount
        short = possible & (gap > ROUNDING * lent) & (slope > 0)
        if not short.any():
            break
        debt = debt + np.divide(gap, slope, out=np.zeros_like(gap), where=short)
    fee = np.divide(debt, lent, out=np.full(lent.shape, np.nan), where=lent > 0) - 1
    return np.where(possible, fee, np.inf)


def internal_rate_of_return(cash_flows: ArrayLike) -> np.ndarray:
    r"""Return the rate per period at which what comes back is worth what was paid out.

    .. math:: \sum_{t=1}^{n} \frac{x_t}{(1 + R)^t} = -x_0

    An outlay that is followed by nothing but receipts has one such rate.

    Parameters
    ----------
    cash_flows : array of shape (n_rows, n_periods + 1) or (n_periods + 1,)
        In currency: the outlay, negative, and then the receipts at the end of each period.

    Returns
    -------
    array of shape (n_rows,)
        Per period, above -1; -1 where nothing came back. A rate :math:`R` a week is :math:`(1 + R)^{52} - 1` a year.

    Raises
    ------
    ValueError
        If there is no period, the first flow isn't negative, or a later one is.

    Notes
    -----
    In :math:`v = 1 / (1 + R)` the equation is an increasing polynomial. No receipt alone is worth more than the outlay,
    which bounds :math:`v` from above; at that bound over one more than the number of receipts they are worth less
    together.

    Examples
    --------
    >>> internal_rate_of_return([[-100.0, 60.0, 60.0], [-100.0, 0.0, 121.0], [-100.0, 0.0, 0.0]]).round(4)
    array([ 0.1307,  0.1   , -1.    ])
    """
    flows = check_table("cash_flows", cash_flows, "n_periods + 1")
    if flows.shape[1] < 2 or (flows[:, 0] >= 0).any() or (flows[:, 1:] < 0).any():
        got = f"got {flows[np.argmax((flows[:, 0] >= 0) | (flows[:, 1:] < 0).any(axis=1))].tolist()}"
        raise ValueError(f"cash_flows must be an outlay below 0 and then receipts of at least 0, {got}")
    return np.array([_rate(row[1:] / -row[0]) for row in flows])


def _rate(shares):
    (before,) = np.nonzero(shares)
    if len(before) == 0:
        return -1.0
    shares, periods = shares[before], before + 1.0
    most = (shares ** (-1 / periods)).min()
    least, most = most / (len(periods) + 1), most * (1 + ROUNDING)
    return 1 / optimize.brentq(lambda v: shares @ v**periods - 1, least, most, xtol=1e-15 * least) - 1


def _check_number(name, value, high):
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be a number, got shape {np.shape(value)}")
    return float(check_points(name, value, 1, low=0.0, high=high).item())


def _check_amounts(name: str, amounts: np.ndarray) -> np.ndarray:
    if amounts.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {amounts.min():g}")
    return amounts


def _check_weeks(weekly, terms):
    if weekly.shape[-1] < terms.tenor:
        raise ValueError(f"tenor must be no longer than the weeks there are, got {terms.tenor} of {weekly.shape[-1]}")


def _hold_back(remitted, terms):
    _check_weeks(remitted, terms)
    return np.where(np.arange(remitted.shape[-1]) < terms.tenor, terms.hold_back * remitted, 0.0)


def _discount(n_weeks, cost_of_funds):
    return (1 + _check_number("cost_of_funds", cost_of_funds, np.inf)) ** -np.arange(1.0, n_weeks + 1)


def _debt(curve, loans, terms):
    return (1 + terms.fee) * _check_amounts("loans", check_loans(loans, len(curve)))


def _cash_laws(curve: QuantileCurve, unit_remittances: ArrayLike, terms: LoanTerms) -> list[QuantileCurve]:
    """Return the laws of what the lender may have had by the end of each week, in currency."""
    if curve.values.min() < 0:
        raise ValueError(f"curve must have no sales below 0, see QuantileCurve.clip, got {curve.values.min():g}")
    remitted = check_points("unit_remittances", unit_remittances, len(curve), low=0.0, columns="n_weeks")
    brought = np.cumsum(_hold_back(remitted, terms), axis=1)
    return [curve.map(partial(np.multiply, per_unit[:, None])) for per_unit in brought.T]


def _outstanding(laws, debt):
    # Cash that a rounded sum leaves a hair below the debt has paid it.
    return np.stack([default_probability(law, (1 - ROUNDING) * debt) for law in laws], axis=-1)


def _repayments(laws, debt):
    balance = np.stack([expected_loss(law, debt) for law in laws], axis=-1)
    start = np.broadcast_to(debt, balance.shape[:-1])[..., None]
    return -np.diff(balance, axis=-1, prepend=start).clip(max=0.0)
