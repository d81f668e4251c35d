r"""A loan that runs: the law of what is still to come, given what has come, and a warning that is seldom wrong.

A law of sales at the origin says how likely default is. Each week shows a part of those sales, and the law of the rest
follows: by Bayes' rule if it is known in which rhythm sales come, else by a regression on what was sold so far. Chapter
17 compares the two, and the warning with other rules.
"""


import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, gammaln

from qrgmm.checks import check_level, check_per_row, check_sample, check_table
from qrgmm.curve import QuantileCurve
from qrgmm.risk import largest_loan

# Equal parts of the law of all sales that the rule of Bayes weighs anew, and levels of the law of the rest.
N_PARTS, N_LEVELS = 1000, 199
SAME_RHYTHM = 1e6  # the concentration where sellers agree better than chance would have them


def law_of_the_rest(
    curve: QuantileCurve,
    sold: ArrayLike,
    share: ArrayLike,
    concentration: ArrayLike,
) -> QuantileCurve:
    r"""Return the laws of what is still to be sold, given what was sold so far.

    Of :math:`D` units a part :math:`S` is sold by now, on average the share :math:`w`; how much that varies from seller
    to seller is told by :math:`\kappa`: the share of each seller is :math:`W \sim \mathrm{Beta}(\kappa w, \kappa
    (1-w))`, and each unit falls into it by chance. By Bayes' rule the law of :math:`D` is weighed with

    .. math:: P(S = s \mid D = d) = \binom{d}{s} \frac{B(s + \kappa w,\ d - s + \kappa (1 - w))}{B(\kappa w,\ \kappa (1
        - w))}, \qquad d \ge s.

    Parameters
    ----------
    curve : QuantileCurve
        The laws at the origin of all sales :math:`D`, in units; not negative.
    sold : float or array of shape (n_rows,)
        :math:`s`, in units; at least 0. More than a law holds possible counts as its largest value.
    share : float or array of shape (n_rows,)
        :math:`w`, in (0, 1).
    concentration : float or array of shape (n_rows,)
        :math:`\kappa`, positive: large where all sellers sell in the same rhythm. See `fit_rhythm`.

    Returns
    -------
    QuantileCurve
        Of :math:`D - s`, on 199 even levels.

    Raises
    ------
    ValueError
        If a law has sales below 0, or a number is out of range.

    Notes
    -----
    A beta-binomial likelihood, with gamma functions for units that are not whole; the law of :math:`D` is cut into a
    thousand equal parts. A seller who has sold nothing may have stopped: an atom at 0, see
    `QuantileCurve.zero_inflate`, grows. Chapter 17.

    Examples
    --------
    >>> law = QuantileCurve(np.arange(1, 100) / 100, np.arange(1, 100))  # of 0 to 100 units each is as likely
    >>> rest = law_of_the_rest(law, sold=30.0, share=0.5, concentration=1e6)  # half of all days are over
    >>> rest.mean().round(), rest.std().round()
    (array([31.]), array([8.]))
    """
    if curve.values.min() < 0:
        got = f"got {curve.values.min():g}"
        raise ValueError(f"curve must have no sales below 0, see its clip, {got}")
    so_far = _positive_per_row("sold", sold, curve, or_zero=True)
    kappa = _positive_per_row("concentration", concentration, curve)
    part = _share(share, curve)
    total = curve.ppf((np.arange(N_PARTS) + 0.5) / N_PARTS)
    total[:, -1] = np.maximum(total[:, -1], so_far[:, 0])
    rest, early, late = (total - so_far).clip(0), kappa * part, kappa * (1 - part)
    chance = betaln(so_far + early, rest + late)
    chance += gammaln(total + 1) - gammaln(rest + 1)
    chance = np.where(total >= so_far, chance, -np.inf)
    weight = np.exp(chance - chance.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    middle = np.cumsum(weight, axis=1) - weight / 2
    levels = np.arange(1, N_LEVELS + 1) / (N_LEVELS + 1)
    values = [np.interp(levels, *row) for row in zip(middle, rest)]
    return QuantileCurve(levels, values, index=curve.index)


def fit_rhythm(sold: ArrayLike, total: ArrayLike) -> tuple[float, float]:
    r"""Return the mean share of sales that has come by some week, and how much sellers agree in it.

    Parameters
    ----------
    sold, total : array of shape (n_rows,)
        Of past sellers, in units: by that week, and by the end; rows without sales say nothing and are left out.

    Returns
    -------
    share, concentration : float
        :math:`w` and :math:`\kappa` of `law_of_the_rest`.

    Raises
    ------
    ValueError
        If amounts are negative, more was sold by the week than by the end, or nobody sold anything, or all sales came
        before the week, or after it.

    Notes
    -----
    Moments of the beta-binomial law: with :math:`p_i = s_i / d_i`, :math:`w = \sum s_i / \sum d_i` and

    .. math:: \sum_i \Bigl(d_i (p_i - w)^2 - w (1 - w) \Bigr) = \frac{w (1 - w)}{\kappa + 1} \sum_i (d_i - 1).

    Where sellers agree better than chance lets them, :math:`\kappa` is a million. Chapter 17.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> total = rng.integers(1, 200, 5000)
    >>> share, concentration = fit_rhythm(rng.binomial(total, rng.beta(3, 7, 5000)), total)
    >>> round(share, 2), round(concentration)
    (0.3, 10)
    """
    sold_units, units = check_sample("sold", sold), check_sample("total", total)
    if len(sold_units) != len(units) or (sold_units < 0).any() or (sold_units > units).any():
        raise ValueError(f"sold must hold {len(units)} amounts from 0 to total, got {len(sold_units)}")
    sold_units, units = sold_units[units > 0], units[units > 0]
    share = float(sold_units.sum() / units.sum()) if len(units) else 0.0
    if not 0 < share < 1:
        raise ValueError(f"sold must be a part of total that is neither none nor all, got the share {share:g}")
    chance = share * (1 - share)
    beyond = np.sum(units * (sold_units / units - share) ** 2 - chance)
    spread = beyond / (chance * np.sum(units - 1)) if units.sum() > len(units) else 0.0
    return share, float(np.clip(1 / spread - 1, 1e-3, SAME_RHYTHM)) if spread > 0 else SAME_RHYTHM


def first_warning(
    probabilities: ArrayLike,
    at_origin: ArrayLike,
    false_alarm_rate: float,
) -> np.ndarray:
    r"""Return the first week in which the odds of default have grown so much that repaid loans are seldom warned.

    .. math:: \frac{p_t}{1 - p_t} \ge \frac{1}{\alpha}\, \frac{p_0}{1 - p_0}

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_weeks)
        :math:`p_t`: of default, given what is known at the end of week :math:`t`; in [0, 1].
    at_origin : float or array of shape (n_rows,)
        :math:`p_0`, in [0, 1].
    false_alarm_rate : float
        :math:`\alpha`, in (0, 1): the share of the loans that are repaid which may be warned of at any time.

    Returns
    -------
    array of shape (n_rows,)
        Counted from 1; NaN where there is no warning.

    Raises
    ------
    ValueError
        If a probability or the rate is out of range, or shapes do not match.

    Notes
    -----
    What the odds have grown by is the likelihood ratio of what was seen, if the loan defaults to if it is repaid. Given
    that it is repaid this is a martingale that starts at 1 if the laws are right, and Ville's inequality bounds the
    chance that it ever reaches :math:`1/\alpha`, however often one looks; Ville (1939), Ramdas, Grunwald, Vovk and
    Shafer (2023), "Game-theoretic statistics and safe anytime-valid inference". Chapter 17.

    Examples
    --------
    >>> first_warning([[0.05, 0.4, 0.6], [0.05, 0.02, 0.0]], at_origin=0.05, false_alarm_rate=0.05)
    array([ 3., nan])
    """
    rate = check_level("false_alarm_rate", false_alarm_rate)
    now = check_table("probabilities", probabilities, "n_weeks")
    start = check_per_row("at_origin", at_origin, len(now))[:, None]
    for name, values in (("probabilities", now), ("at_origin", start)):
        if values.min() < 0 or values.max() > 1:
            got = f"got {values.min():g} to {values.max():g}"
            raise ValueError(f"{name} must lie in [0, 1], {got}")
    grown = (rate * now * (1 - start) >= start * (1 - now)) & (now > start)
    return np.where(grown.any(axis=1), grown.argmax(axis=1) + 1.0, np.nan)


def top_up(rest: QuantileCurve, balance: ArrayLike, *, unit_revenue: ArrayLike = 1.0, **limits: float) -> np.ndarray:
    r"""Return how much more may be lent now, so that all that is then owed keeps the limits.

    .. math:: \bigl(\ell^*(\text{rest}) - \text{balance}\bigr)^+

    Parameters
    ----------
    rest : QuantileCurve
        The laws of what is still to be sold, see `law_of_the_rest`, or those of a longer time if more is given.
    balance : float or array of shape (n_rows,)
        Owed now, in currency; at least 0.
    unit_revenue : float or array of shape (n_rows,)
        What the lender is paid of a unit sold, in currency.
    **limits
        Of `largest_loan`.

    Returns
    -------
    array of shape (n_rows,), in currency

    Raises
    ------
    ValueError
        If a balance is negative, or as `largest_loan`.

    Notes
    -----
    Of a credit line that was agreed on, the balance and this are the exposure at default. Chapter 17.

    Examples
    --------
    >>> rest = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> top_up(rest, 15.0, unit_revenue=2.0, max_default_probability=0.5)
    array([25.])
    """
    owed = _positive_per_row("balance", balance, rest, or_zero=True)[:, 0]
    return (largest_loan(rest, unit_revenue=unit_revenue, **limits) - owed).clip(0)


def _positive_per_row(name, values, curve, or_zero=False):
    values = check_per_row(name, values, len(curve), positive=not or_zero)[:, None]
    if values.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {values.min():g}")
    return values


def _share(share, curve):
    share = check_per_row("share", share, len(curve))[:, None]
    if share.min() <= 0 or share.max() >= 1:
        raise ValueError(f"share must lie in (0, 1), got {share.min():g} to {share.max():g}")
    return share
