r"""Credit risk as a function of the loan, exact on a quantile curve, and its inverse: the largest loan.

The lender advances :math:`\ell` and is repaid from sales :math:`D` at :math:`r` a unit; the loss is
:math:`L(\ell) = (\ell - rD)^+` (equation 1 of the SCF paper). Every measure below is a lower partial moment of the
law of sales, or a finite sum over its knots; none is simulated. Chapter 1 derives them one by one.

All functions take a `QuantileCurve` of n_rows laws and loans given as a number, as an array that all rows share,
(n_loans,), or one row of loans for each law, (n_rows, n_loans); all return (n_rows, n_loans). What follows the loans
is named. A list of as many loans as there are laws could mean either, and is refused.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from qrgmm.checks import check_level, check_loans, check_per_row
from qrgmm.curve import QuantileCurve

# Share of a loan by which it may differ from the revenue that meets it, when price, loan and revenue are each rounded.
ROUNDING = 2 * np.finfo(float).eps
# By how much 1 - level may miss the level of a curve that it means.
SAME_LEVEL = 1e-12


def default_probability(curve: QuantileCurve, loans: ArrayLike, *, unit_revenue: ArrayLike = 1.0) -> np.ndarray:
    r"""Return the probability that revenue does not cover the loan.

    .. math:: \mathrm{PD}(\ell) = P(rD < \ell)

    Parameters
    ----------
    curve : QuantileCurve
        The laws of sales, in units sold.
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_revenue : float or array of shape (n_rows,)
        Net revenue per unit sold, in currency; positive.

    Returns
    -------
    array of shape (n_rows, n_loans)
        Probabilities. An atom whose revenue is exactly the loan does not count as default, whatever the last bits of
        :math:`r`, :math:`D` and :math:`\ell` say: three units at 0.1 pay a loan of ``0.1 * 3`` and one of 0.3.

    Raises
    ------
    ValueError
        If loans are NaN, infinite or of the wrong shape, or `unit_revenue` is not positive.

    Notes
    -----
    SCF paper, section 2.2; chapter 1.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> default_probability(curve, [50.0, 150.0], unit_revenue=5.0)
    array([[0.   , 0.625]])
    """
    return shortfall_moment(curve, loans, order=0, unit_revenue=unit_revenue)


def expected_loss(
    curve: QuantileCurve, loans: ArrayLike, *, unit_revenue: ArrayLike = 1.0
) -> np.ndarray:
    r"""Return the expected shortfall of revenue below the loan.

    .. math:: \mathrm{EL}(\ell) = E[(\ell - rD)^+], \qquad \frac{d}{d\ell}\mathrm{EL}(\ell) = \mathrm{PD}(\ell)

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency

    Notes
    -----
    SCF paper, section 2.2; chapter 1. Raises like `default_probability`.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> expected_loss(curve, [15.0, 60.0])
    array([[ 1.5625, 36.25  ]])
    """
    return shortfall_moment(curve, loans, order=1, unit_revenue=unit_revenue)


def loss_given_default(
    curve: QuantileCurve, loans: ArrayLike, *, unit_revenue: ArrayLike = 1.0, as_fraction: bool = False
) -> np.ndarray:
    r"""Return the mean loss of the loans that default.

    .. math:: \mathrm{LGD}(\ell) = \mathrm{EL}(\ell) / \mathrm{PD}(\ell)

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.
    as_fraction : bool
        Divide by the loan, as lenders often quote it.

    Returns
    -------
    array of shape (n_rows, n_loans)
        In currency, or a share of the loan. NaN where no default can happen.

    Notes
    -----
    SCF paper, section 2.2; chapter 1. Raises like `default_probability`.

    Examples
    --------
    >>> law = QuantileCurve.from_draws([10.0, 30.0])
    >>> loss_given_default(law, [5.0, 20.0], as_fraction=True)
    array([[nan, 0.5]])
    """
    profile = risk_profile(curve, loans, unit_revenue=unit_revenue)
    exposure = check_loans(loans, len(curve)) if as_fraction else 1.0
    return _ratio(profile["expected_loss"], profile["default_probability"] * exposure)


def risk_profile(curve: QuantileCurve, loans: ArrayLike, *, unit_revenue: ArrayLike = 1.0) -> dict[str, np.ndarray]:
    r"""Return the four measures of the SCF paper's experiments in one pass over the knots.

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    dict of str to array of shape (n_rows, n_loans)
        "default_probability", "expected_loss" and "loss_given_default" in currency, and "squared_loss",
        :math:`E[L(\ell)^2]`, in currency squared: what the functions of these names and `shortfall_moment` return.

    Notes
    -----
    SCF paper, section 6.1.2 and figure 12; chapter 1. Raises like `default_probability`.

    Examples
    --------
    >>> profile = risk_profile(QuantileCurve.from_draws([10.0, 30.0]), 20.0)
    >>> {name: values.item() for name, values in profile.items()}
    {'default_probability': 0.5, 'expected_loss': 5.0, 'loss_given_default': 10.0, 'squared_loss': 50.0}
    """
    revenue = _unit_revenue(curve, unit_revenue)
    moments = curve.lower_partial_moments(_break_even(curve, loans, revenue), 2)
    probability, loss, square = (np.multiply(m, revenue**k, out=m) for k, m in enumerate(moments))
    return {
        "default_probability": probability,
        "expected_loss": loss,
        "loss_given_default": _ratio(loss, probability),
        "squared_loss": square,
    }


def _ratio(loss, base):
    return np.divide(loss, base, out=np.full_like(loss, np.nan), where=base > 0)


def shortfall_moment(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    order: float = 2,
    unit_revenue: ArrayLike = 1.0,
) -> np.ndarray:
    r"""Return a moment of the loss; order 2 is the severe-loss measure of the SCF paper's experiments.

    .. math:: E[L(\ell)^k] = r^k\, E[((\ell/r - D)^+)^k]

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    order : float
        The power :math:`k`, at least 0; order 0 is the default probability.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency to the power of `order`

    Notes
    -----
    SCF paper, section 2.2, "nonlinear extensions"; chapter 1. Raises like `default_probability`.

    Examples
    --------
    >>> shortfall_moment(QuantileCurve.from_draws([10.0, 30.0]), 20.0)
    array([[50.]])
    """
    revenue = _unit_revenue(curve, unit_revenue)
    break_even = _break_even(curve, loans, revenue)
    return curve.lower_partial_moment(break_even, order) * revenue**order


def exceedance_probability(
    curve: QuantileCurve, loans: ArrayLike, *, threshold: ArrayLike, unit_revenue: ArrayLike = 1.0
) -> np.ndarray:
    r"""Return the probability that the loss exceeds a threshold.

    .. math:: P(L(\ell) > v) = \mathrm{PD}(\ell - v), \qquad v \ge 0

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    threshold : float or array that broadcasts with `loans`
        In currency; not negative.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans)

    Notes
    -----
    SCF paper, section 2.2; chapter 1. Raises like `default_probability`, and for negative thresholds.

    Examples
    --------
    >>> exceedance_probability(QuantileCurve.from_draws([10.0, 30.0]), 35.0, threshold=[0.0, 5.0, 20.0])
    array([[1. , 0.5, 0.5]])
    """
    beyond = _beyond(curve, loans, threshold, unit_revenue)
    return default_probability(curve, beyond, unit_revenue=unit_revenue)


def excess_loss(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    threshold: ArrayLike,
    unit_revenue: ArrayLike = 1.0,
) -> np.ndarray:
    r"""Return the expected loss beyond a threshold.

    .. math:: E[(L(\ell) - v)^+] = \mathrm{EL}(\ell - v), \qquad v \ge 0

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    threshold : float or array that broadcasts with `loans`
        In currency; not negative.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency

    Notes
    -----
    SCF paper, section 2.2; chapter 1. Raises like `exceedance_probability`.

    Examples
    --------
    >>> excess_loss(QuantileCurve.from_draws([10.0, 30.0]), 35.0, threshold=20.0)
    array([[2.5]])
    """
    beyond = _beyond(curve, loans, threshold, unit_revenue)
    return expected_loss(curve, beyond, unit_revenue=unit_revenue)


def generalized_risk(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    h: Callable[..., np.ndarray],
    tau: Callable[..., np.ndarray],
    n_points: int = 16,
) -> np.ndarray:
    r"""Return the general risk measure of the SCF paper for any severity and any threshold.

    .. math:: \Upsilon(\ell) = E[\, h(\ell, D)\, 1\{D \le \tau(\ell)\} ]

    Between two knots sales are uniform, so the expectation is a sum over knots of integrals that Gauss-Legendre
    quadrature gets exactly when `h` is a polynomial in sales of degree up to ``2 * n_points - 1``.

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    h : callable
        ``h(loan, sales)`` with arrays that broadcast, any unit; it must be smooth below `tau` for full accuracy.
    tau : callable
        ``tau(loan)``, in units sold; monotone, for example the break-even sales ``loan / unit_revenue``. Sales that
        differ from it by rounding only are at it.
    n_points : int
        Quadrature points between two knots.

    Returns
    -------
    array of shape (n_rows, n_loans), in the unit of `h`

    Notes
    -----
    SCF paper, section 2.2; chapter 1. Revenue that grows with sales, ``R(D)``, is ``h = loan - R(sales)`` with `tau`
    the inverse of ``R``. Raises like `default_probability`, and if `tau` is not finite.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> generalized_risk(curve, [15.0, 60.0], h=lambda loan, sales: loan - sales, tau=lambda loan: loan)
    array([[ 1.5625, 36.25  ]])
    """
    _require_curve(curve)
    loans = check_loans(loans, len(curve))
    loans = np.broadcast_to(loans, (len(curve), loans.shape[1]))
    nodes, weights = np.polynomial.legendre.leggauss(n_points)
    share, weight = (nodes + 1) / 2, weights / 2
    lower, width = curve.values[:, :-1, None], np.diff(curve.values)[..., None]
    result = np.empty(loans.shape)
    for i, loan in enumerate(loans.T):
        top = np.broadcast_to(np.asarray(tau(loan), dtype=float), loan.shape)
        if not np.isfinite(top).all():
            raise ValueError("tau must return finite sales, got NaN or infinity")
        loan, top = loan[:, None], curve.snap(top[:, None], ROUNDING * np.abs(top[:, None]))
        # Sales above the threshold do not count; h is never asked about them.
        severity = np.broadcast_to(h(loan, np.minimum(curve.values, top)), curve.values.shape)
        at_knots = np.where(curve.values <= top, severity, 0.0)
        loan, top = loan[..., None], top[..., None]
        inside = np.divide(top - lower, width, out=(top >= lower).astype(float), where=width > 0).clip(0, 1)
        sales = np.minimum(lower, top) + inside * width * share
        severity = np.broadcast_to(h(loan, sales), sales.shape)
        result[:, i] = curve.integrate(at_knots, inside[..., 0] * (severity @ weight))
    return result


def distortion_risk(
    curve: QuantileCurve, loans: ArrayLike, *, distortion: Callable[..., np.ndarray], unit_revenue: ArrayLike = 1.0
) -> np.ndarray:
    r"""Return the expected loss under a distorted law of sales.

    With :math:`g` increasing from 0 to 1, the distorted law has distribution function :math:`g(F)`, and

    .. math:: \rho_g(\ell) = \int_0^\infty g(P(L(\ell) > x))\, dx = r \int_{-\infty}^{\ell/r} g(F(y))\, dy .

    A concave :math:`g` makes bad sales likelier; the identity gives the expected loss back.

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    distortion : callable
        :math:`g`, vectorised on [0, 1], for example `wang_transform` or `proportional_hazard`. Between two levels it
        is integrated by 16-point Gauss-Legendre quadrature; a kink of :math:`g` costs accuracy in its segment.
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency

    Notes
    -----
    Wang (2000); SCF paper, section 2.2; chapter 1. Raises like `default_probability`, and if :math:`g(0) \ne 0` or
    :math:`g(1) \ne 1`.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> distortion_risk(curve, 60.0, distortion=lambda u: u).round(12)
    array([[36.25]])
    >>> distortion_risk(curve, 60.0, distortion=wang_transform(0.5)).round(2)
    array([[41.5]])
    """
    _require_curve(curve)
    ends = np.asarray(distortion(np.array([0.0, 1.0])))
    if not np.allclose(ends, [0.0, 1.0], rtol=0, atol=1e-12):
        raise ValueError(f"distortion must map 0 to 0 and 1 to 1, got {ends.tolist()}")
    revenue = _unit_revenue(curve, unit_revenue)
    return revenue * curve.distorted_shortfall(_break_even(curve, loans, revenue), distortion)


def wang_transform(shift: float) -> Callable[..., np.ndarray]:
    r"""Return Wang's distortion :math:`g(u) = \Phi(\Phi^{-1}(u) + \lambda)`.

    Parameters
    ----------
    shift : float
        The price of risk :math:`\lambda`; 0 changes nothing, positive values make losses likelier.

    Returns
    -------
    callable

    Examples
    --------
    >>> wang_transform(1.0)(np.array([0.0, 0.5, 1.0])).round(4)
    array([0.    , 0.8413, 1.    ])
    """
    return lambda u: ndtr(ndtri(u) + shift)


def proportional_hazard(exponent: float) -> Callable[..., np.ndarray]:
    r"""Return the proportional-hazard distortion :math:`g(u) = u^{1/\rho}`.

    Parameters
    ----------
    exponent : float
        :math:`\rho`, positive; 1 changes nothing, larger values make losses likelier.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If `exponent` is not positive.

    Examples
    --------
    >>> proportional_hazard(2.0)(np.array([0.0, 0.25, 1.0]))
    array([0. , 0.5, 1. ])
    """
    if not exponent > 0:
        raise ValueError(f"exponent must be positive, got {exponent!r}")
    return lambda u: u ** (1 / exponent)


def value_at_risk(
    curve: QuantileCurve, loans: ArrayLike, *, level: float = 0.95, unit_revenue: ArrayLike = 1.0
) -> np.ndarray:
    r"""Return the loss that is not exceeded with probability `level`.

    .. math:: \mathrm{VaR}_\alpha(\ell) = \inf\{x : P(L(\ell) \le x) \ge \alpha\} = (\ell - r\,Q(1 - \alpha))^+

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    level : float
        :math:`\alpha`, in (0, 1).
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency

    Notes
    -----
    SCF paper, Remark 4; chapter 1. Raises like `default_probability`, and for levels outside (0, 1).

    Examples
    --------
    >>> value_at_risk(QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0]), 35.0, level=0.5)
    array([[5.]])
    """
    revenue = _unit_revenue(curve, unit_revenue)
    worst = curve.upper_quantile(_tail_share(curve, level))
    return (check_loans(loans, len(curve)) - revenue * worst).clip(0)


def conditional_value_at_risk(
    curve: QuantileCurve,
    loans: ArrayLike,
    *,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
) -> np.ndarray:
    r"""Return the mean loss in the worst share `1 - level` of cases.

    With :math:`p = 1 - \alpha`, :math:`c = \ell / r` and :math:`M_1` the first lower partial moment,

    .. math::
        \mathrm{CVaR}_\alpha(\ell) = \frac1p \int_0^p (\ell - rQ(u))^+ du
        = \frac rp \left[ M_1(\min(c, Q(p))) + p\,(c - Q(p))^+ \right] .

    Parameters
    ----------
    curve : QuantileCurve
    loans : float or array of shape (n_loans,) or (n_rows, n_loans)
        In currency.
    level : float
        :math:`\alpha`, in (0, 1).
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.

    Returns
    -------
    array of shape (n_rows, n_loans), in currency

    Notes
    -----
    Rockafellar and Uryasev (2000); SCF paper, Remark 4; chapter 1. Raises like `value_at_risk`.

    Examples
    --------
    >>> conditional_value_at_risk(QuantileCurve.from_draws([10.0, 20.0, 30.0, 40.0]), 35.0, level=0.5)
    array([[20.]])
    """
    revenue = _unit_revenue(curve, unit_revenue)
    p = _tail_share(curve, level)
    loans = check_loans(loans, len(curve))
    sales, worst = loans / revenue, curve.ppf(p)
    tail = curve.lower_partial_moment(np.minimum(sales, worst))
    cvar = revenue / p * (tail + p * (sales - worst).clip(0))
    # Rounding must not lift it over what the lowest sales lose.
    return np.minimum(cvar, (loans - revenue * curve.values[:, :1]).clip(0))


def largest_loan(
    curve: QuantileCurve,
    *,
    max_default_probability: ArrayLike | None = None,
    max_expected_loss: ArrayLike | None = None,
    max_expected_loss_rate: ArrayLike | None = None,
    max_conditional_value_at_risk: ArrayLike | None = None,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
    cap: ArrayLike | None = None,
) -> np.ndarray:
    r"""Return the largest loan that keeps every limit given.

    Each limit has an exact inverse: the default probability through the quantile function; expected loss, its share
    of the loan and CVaR through the root of a convex, piecewise quadratic function.

    Parameters
    ----------
    curve : QuantileCurve
    max_default_probability : float or array of shape (n_rows,), optional
        Largest :math:`\mathrm{PD}(\ell)`, in [0, 1].
    max_expected_loss : float or array of shape (n_rows,), optional
        Largest :math:`\mathrm{EL}(\ell)`, in currency.
    max_expected_loss_rate : float or array of shape (n_rows,), optional
        Largest :math:`\mathrm{EL}(\ell) / \ell`.
    max_conditional_value_at_risk : float or array of shape (n_rows,), optional
        Largest :math:`\mathrm{CVaR}_\alpha(\ell)`, in currency.
    level : float
        :math:`\alpha` of that CVaR, in (0, 1).
    unit_revenue : float or array of shape (n_rows,)
        In currency per unit; positive.
    cap : float or array of shape (n_rows,), optional
        No loan above this amount, in currency, for example the value of the pledged goods.

    Returns
    -------
    array of shape (n_rows,), in currency
        Never negative: 0 where no loan keeps the limits. Infinite where nothing binds, for example under a default
        probability of at most 1 and no cap.

    Raises
    ------
    ValueError
        If no limit and no cap is given, or a limit is NaN, negative or (probabilities) above 1.

    Notes
    -----
    The supremum of the loans that keep the limits; SCF paper, section 1 ("loan size determination"); chapter 1.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> largest_loan(curve, max_default_probability=0.5, unit_revenue=3.0)
    array([60.])
    >>> largest_loan(curve, max_default_probability=0.5, max_expected_loss=1.5625)
    array([15.])
    """
    revenue = _unit_revenue(curve, unit_revenue)[:, 0]
    bounds = []
    if max_default_probability is not None:
        limit = _limit(curve, "max_default_probability", max_default_probability)
        bounds.append(_largest_by_default_probability(curve, limit, revenue))
    if max_expected_loss is not None:
        limit = _limit(curve, "max_expected_loss", max_expected_loss)
        bounds.append(revenue * _largest_by_expected_loss(curve, limit / revenue, np.zeros(len(curve))))
    if max_expected_loss_rate is not None:
        limit = _limit(curve, "max_expected_loss_rate", max_expected_loss_rate)
        bounds.append(revenue * _largest_by_expected_loss(curve, np.zeros(len(curve)), limit))
    if max_conditional_value_at_risk is not None:
        limit = _limit(curve, "max_conditional_value_at_risk", max_conditional_value_at_risk)
        bounds.append(revenue * _largest_by_tail_loss(curve, limit / revenue, _tail_share(curve, level)))
    if cap is not None:
        bounds.append(_limit(curve, "cap", cap))
    if not bounds:
        raise ValueError("give at least one limit or a cap: without any the largest loan is infinite")
    return np.min(bounds, axis=0).clip(0)


def _largest_by_default_probability(curve, limit, revenue):
    if (limit > 1).any():
        raise ValueError(f"max_default_probability must lie in [0, 1], got {limit.max():g}")
    sales = curve.upper_quantile(limit[:, None])[:, 0]
    loan = revenue * sales
    # Rounding may lift the probability of this loan over the limit that it was made of: step down until it does not.
    step = np.spacing(revenue * np.abs(curve.values).max(axis=1))
    for _ in range(60):
        over = curve.lower_partial_moment(_break_even(curve, loan[:, None], revenue[:, None]), 0)[:, 0] > limit
        if not over.any():
            break
        loan, step = np.where(over, loan - step, loan), 2 * step
    return np.where(limit < 1, loan, np.inf)


def _largest_by_expected_loss(curve, amount, rate):
    r"""Largest :math:`c` with :math:`M_1(c) \le` `amount` + `rate` :math:`c`, all per row and in units sold.

    :math:`M_1(c) - \mathrm{rate}\, c` is convex with its minimum at :math:`Q(\mathrm{rate})`, so the answer is the root
    to the right of it, in the last segment whose left end still keeps the limit.
    """
    # A loss beyond the loan, of sales below 0, may stay above a whole loan however large that is.
    unlimited = (rate > 1) | (rate == 1) & (curve.mean() >= 0) | np.isinf(amount)
    amount, rate = np.where(unlimited, 0.0, amount), np.where(unlimited, 0.0, rate)
    lowest = curve.ppf(rate[:, None])[:, 0]
    points = np.concatenate([lowest[:, None], np.maximum(curve.values, lowest[:, None])], axis=1)
    excess = curve.lower_partial_moment(points) - amount[:, None] - rate[:, None] * points
    # Where the excess is flat at its limit, only rounding says whether it keeps it: it does.
    size = np.abs(curve.values[:, :1]) + np.abs(points) + amount[:, None]
    kept = (excess <= points.shape[1] * ROUNDING * size).sum(axis=1) - 1
    start = np.take_along_axis(points, kept.clip(min=0)[:, None], axis=1)
    room = -np.take_along_axis(excess, kept.clip(min=0)[:, None], axis=1)[:, 0].clip(max=0)
    slope = (curve.cdf(start)[:, 0] - rate).clip(0)
    density = curve.pdf(start)[:, 0]
    denominator = slope + np.sqrt(slope**2 + 2 * density * room)
    step = np.divide(2 * room, denominator, out=np.where(room > 0, np.inf, 0.0), where=denominator > 0)
    return np.where(unlimited, np.inf, np.where(kept < 0, 0.0, start[:, 0] + step))


def _largest_by_tail_loss(curve, limit, p):
    worst, p = curve.ppf(p)[:, 0], p[:, 0]
    at_worst = curve.lower_partial_moment(worst[:, None])[:, 0]
    within = _largest_by_expected_loss(curve, p * limit, np.zeros(len(curve)))
    return np.where(p * limit <= at_worst, within, worst + limit - at_worst / p)


def _require_curve(curve):
    if not isinstance(curve, QuantileCurve):
        raise ValueError(
            f"curve must be a QuantileCurve (see QuantileCurve.from_draws for draws), got {type(curve).__name__}"
        )


def _unit_revenue(curve, unit_revenue):
    """Return unit revenue, checked: (1, 1) where all rows share it, so that they share points, or (n_rows, 1)."""
    _require_curve(curve)
    revenue = check_per_row("unit_revenue", unit_revenue, len(curve), positive=True)[:, None]
    return revenue if np.ndim(unit_revenue) else revenue[:1]


def _break_even(curve, loans, revenue):
    """Return the sales that pay the loans; where those on a knot do up to rounding, that knot.

    A loan is compared with revenue, and a quotient of the two has other last bits than the product that was lent. A
    product with a power of two, a unit revenue of 1 for example, is not rounded: there the last bit counts.
    """
    loans = check_loans(loans, len(curve))
    rounded = np.frexp(revenue)[0] != 0.5
    if not rounded.any():
        return loans / revenue
    return curve.snap(loans / revenue, rounded * ROUNDING * np.abs(loans) / revenue)


def _beyond(curve, loans, threshold, unit_revenue):
    """Return loans less the threshold, checked; where that is the revenue of a knot up to rounding, that revenue."""
    revenue = _unit_revenue(curve, unit_revenue)
    loans, threshold = check_loans(loans, len(curve)), np.asarray(threshold, dtype=float)
    if not (np.isfinite(threshold).all() and (threshold >= 0).all()):
        raise ValueError(f"threshold must be finite and not negative, got {threshold.min():g}")
    try:
        beyond = loans - threshold
    except ValueError:
        message = f"threshold of shape {threshold.shape} does not go with loans of shape {loans.shape}"
        raise ValueError(message) from None
    sales = beyond / revenue
    snapped = curve.snap(sales, (threshold > 0) * ROUNDING * (np.abs(loans) + threshold) / revenue)
    return np.where(snapped == sales, beyond, revenue * snapped)


def _limit(curve, name, limit):
    limit = check_per_row(name, limit, len(curve), finite=False)
    if limit.min() < 0:
        raise ValueError(f"{name} must not be negative or NaN, got {limit.min():g}")
    return limit


def _tail_share(curve, level):
    """Return 1 - level, (1, 1) or (n_rows, 1), as the level of the curve that it is up to rounding, if there is one."""
    share = 1 - check_level("level", level)
    levels = np.atleast_2d(curve.up_to)
    nearest = np.abs(levels - share).argmin(axis=1)[:, None]
    nearest = np.take_along_axis(levels, nearest, axis=1)
    same = np.abs(nearest - share) <= SAME_LEVEL * share + ROUNDING
    return np.where(same, nearest, round(share, 15) or share)
