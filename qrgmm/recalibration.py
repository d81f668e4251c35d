r"""Calibration that learns: the level at which the loans of past vintages would have kept a promise.

A law that says one default in five where one in four comes can be right in shape and wrong in level. Outcomes that are
known by now say where in their laws they fell, see `qrgmm.backtest.transform_outcomes`; loans are then sized at the
level below which the promised share of them fell. Labels come a horizon late, so that a vintage may learn only from
those that ended before it began. Chapters 5 and 16.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from qrgmm.checks import check_count, check_level, check_per_row, check_sample


def recalibrated_level(
    outcome_levels: ArrayLike,
    promise: float,
    weights: ArrayLike = 1.0,
) -> float:
    r"""Return the level at which loans keep the promise if the next outcome falls where those that are known fell.

    With :math:`u_i` the levels of known outcomes in their own laws and :math:`w_i` their weights, the largest of them
    with

    .. math:: \frac{1 + \sum_i w_i 1\{u_i < u\}}{1 + \sum_i w_i} \le a

    Where all weights are 1 and the next level :math:`u_{n+1}` is exchangeable with the others, it lies below the
    :math:`k`-th smallest, :math:`k = \lfloor a (n + 1) \rfloor`, with probability :math:`k / (n + 1) \le a`: the 1 is
    the outcome that is not known yet, taken for a default.

    Parameters
    ----------
    outcome_levels : array of shape (n,), in [0, 1]
    promise : float
        The default probability :math:`a` that is promised.
    weights : float or array of shape (n,)
        In [0, 1]; smaller ones forget.

    Returns
    -------
    float
        In [0, 1]. Size the loan with ``largest_loan(curve, max_default_probability=level)``; 0, no loan, where too
        little is known to promise anything.

    Raises
    ------
    ValueError
        If a level or a weight lies outside [0, 1], or the promise outside (0, 1).

    Notes
    -----
    Split conformal prediction, one-sided: Vovk, Gammerman and Shafer (2005); with weights Barber, Candes, Ramdas and
    Tibshirani (2023), "Conformal prediction beyond exchangeability"; chapter 16.

    Examples
    --------
    >>> recalibrated_level([0.1, 0.3, 0.5, 0.9], 0.4)  # the second of four
    0.3
    >>> recalibrated_level([0.1, 0.3, 0.5, 0.9], 0.1)  # of four, one in ten can't be promised
    0.0
    """
    levels = check_sample("outcome_levels", outcome_levels)
    promise = check_level("promise", promise)
    weights = check_per_row("weights", weights, len(levels))
    for name, values in (("outcome_levels", levels), ("weights", weights)):
        if values.min() < 0 or values.max() > 1:
            got = f"got {values.min():g} to {values.max():g}"
            raise ValueError(f"{name} must lie in [0, 1], {got}")
    order = np.argsort(levels, kind="stable")
    order = order[weights[order] > 0]
    below = np.cumsum(weights[order]) - weights[order]
    reached = 1 + below <= promise * (1 + weights.sum()) * (1 + 1e-12)  # rounding
    return float(levels[order][reached][-1]) if reached.any() else 0.0


def level_for_all_rows(left_out: ArrayLike, promise: float, n_folds: int = 10) -> float:
    r"""Return the level at which loans of a law fitted to all rows keep the promise, from levels of rows left out.

    With :math:`n` rows loans at level :math:`u` of a law whose planes are right default with probability
    :math:`u + b / n`, to first order: the excess is that of estimation. Refits that leave one of :math:`k` folds out
    have :math:`(1 - 1/k)\, n` rows and a larger excess, :math:`b / ((1 - 1/k)\, n)`, which the `recalibrated_level`
    :math:`\hat a` of their outcomes makes up for. Where all rows are used, less is to be made up for:

    .. math:: a - \Bigl(1 - \frac1k\Bigr) (a - \hat a)^+

    Parameters
    ----------
    left_out : array of shape (n,), in [0, 1]
        Of `qrgmm.models.left_out_levels`; NaN, for rows of which no refit knows anything, are passed over.
    promise : float
        The default probability :math:`a` that is promised.
    n_folds : int
        The number :math:`k` that they were found with; at least 2.

    Returns
    -------
    float
        In [0, 1]; 0, no loan, where too few rows were left out to promise anything.

    Raises
    ------
    ValueError
        If there are none, one lies outside [0, 1], the promise lies outside (0, 1), or there are fewer than 2 folds.

    Notes
    -----
    Estimation makes loans too large and never too small, so a level above the promise has another cause, one that
    doesn't fade with more rows, and stays as it is. Below it, a plane with an intercept has the promised share of its
    own rows under it even where it is wrong, so that nothing but estimation moves the level. Chapter 5.

    Examples
    --------
    >>> level_for_all_rows([0.02, 0.06, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 0.1)  # a refit would need 0.02
    0.028
    >>> level_for_all_rows([0.14, 0.16, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 0.1)
    0.14
    """
    left_out, n_folds = np.asarray(left_out, dtype=float), check_count("n_folds", n_folds, least=2)
    level = recalibrated_level(left_out[~np.isnan(left_out)], promise)
    # Of level 0 nothing can be promised, and a share of the promise would be a promise.
    return level if level == 0 else level + max(promise - level, 0.0) / n_folds


def shifted_level(level: ArrayLike, score: ArrayLike) -> np.ndarray:
    r"""Return a level moved by a mean normal score: what it is worth where all outcomes fall lower, or higher.

    .. math:: \Phi\bigl(\Phi^{-1}(a) + m\bigr)

    If normal scores :math:`\Phi^{-1}(u)` of outcomes have mean :math:`m` and variance 1 instead of mean 0, a share
    :math:`a` of outcomes lies below this level.

    Parameters
    ----------
    level : float or array
        In [0, 1].
    score : float or array
        Negative where sales disappoint.

    Returns
    -------
    array or float

    Raises
    ------
    ValueError
        If a level lies outside [0, 1] or a score is not finite.

    Examples
    --------
    >>> shifted_level(0.2, [-0.3, 0.0]).round(3)
    array([0.127, 0.2  ])
    """
    level, score = np.asarray(level, dtype=float), np.asarray(score, dtype=float)
    if not ((level >= 0) & (level <= 1)).all():
        raise ValueError(f"level must lie in [0, 1], got {level!r}")
    if not np.isfinite(score).all():
        raise ValueError(f"score must be finite, got {score!r}")
    return ndtr(ndtri(level) + score)


def vintage_levels(
    outcome_levels: Sequence[ArrayLike],
    known: Sequence[Sequence[int]],
    promise: float,
    scores: ArrayLike = 0.0,
) -> np.ndarray:
    r"""Return the level of each vintage by all outcomes known at it, moved by a score that is known sooner.

    .. math:: \Phi\bigl(\Phi^{-1}(\hat a_t) + m_t\bigr)

    with :math:`\hat a_t` the `recalibrated_level` of the outcomes of the vintages known at :math:`t`, the promise where
    there are none, and :math:`m_t` a mean normal score, see `shifted_level`.

    Parameters
    ----------
    outcome_levels : list of array
        Of each vintage, in order of time: where its outcomes fell in their laws. Only those that some later vintage
        knows are looked at.
    known : list of lists of int
        For each vintage whose level is wanted, the positions of earlier ones whose outcomes are known at it.
    promise : float
    scores : float or array of shape (n_vintages,)
        :math:`m_t`: of the newest month for example, whose outcomes are in the books long before those of a quarter.

    Returns
    -------
    array of shape (n_vintages,), in [0, 1]

    Raises
    ------
    ValueError
        If a vintage is said to be known that is not earlier, or as `recalibrated_level` and `shifted_level`.

    Notes
    -----
    The recipe that chapter 16 found to keep its promise best, on one marketplace and after the fact; the desk of
    chapter 19 uses it.

    Examples
    --------
    >>> vintage_levels([[0.1, 0.3, 0.5, 0.9]], [[], [0]], promise=0.4, scores=[0.0, -0.1]).round(3)
    array([0.4  , 0.266])
    """
    promise, levels = check_level("promise", promise), []
    for t, earlier in enumerate(known):
        if not all(0 <= s < t for s in earlier):
            raise ValueError(f"known must name earlier vintages only, got {list(earlier)} at {t}")
        outcomes = [np.asarray(outcome_levels[s], dtype=float) for s in earlier]
        levels.append(recalibrated_level(np.concatenate(outcomes), promise) if outcomes else promise)
    return shifted_level(levels, scores)


def adaptive_levels(
    default_share: Callable[[int, float], float],
    known: Sequence[Sequence[int]],
    promise: float,
    step: float,
) -> np.ndarray:
    r"""Return the level of each vintage when every miss that has become known moves the next one against it.

    .. math:: \alpha_t = a + \gamma \sum_{s \text{ known at } t} \bigl(a - d_s(\alpha_s)\bigr)

    Parameters
    ----------
    default_share : callable
        ``default_share(t, level)``: the share of the loans of vintage t that defaulted, had they been sized at the
        level. It is asked only about vintages that some later one knows.
    known : list of lists of int
        For each vintage, in order of time, the positions of earlier ones whose outcomes are known at it.
    promise : float
        :math:`a`.
    step : float
        :math:`\gamma`, positive.

    Returns
    -------
    array of shape (n_vintages,)
        In [0, 1], at which loans are sized; the sum itself goes on beyond these bounds.

    Raises
    ------
    ValueError
        If a vintage is said to be known that is not earlier, the promise lies outside (0, 1), the step is not positive,
        or a share is none.

    Notes
    -----
    Adaptive conformal inference, Gibbs and Candes (2021), with labels that come late. If nothing defaults at level 0
    and at least the promised share at level 1, and labels come :math:`D` vintages late (1: at the next), then whatever
    else the outcomes do, the mean default share of :math:`T` vintages differs from the promise by at most
    :math:`(1 + \gamma D) / (\gamma T) + D / T`. Nothing is said about any one of them; chapter 16.

    Examples
    --------
    >>> adaptive_levels(lambda t, level: 0.3, [[], [0], [0, 1]], promise=0.2, step=0.5).round(2)
    array([0.2 , 0.15, 0.1 ])
    """
    promise = check_level("promise", promise)
    if not 0 < step < np.inf:
        raise ValueError(f"step must be positive, got {step!r}")
    levels = np.empty(len(known))
    misses: dict[int, float] = {}
    for t, earlier in enumerate(known):
        for s in earlier:
            if not 0 <= s < t:
                got = f"got {s} at {t}"
                raise ValueError(f"known must name earlier vintages only, {got}")
            if s not in misses:
                share = float(default_share(s, float(levels[s])))
                if not 0 <= share <= 1:
                    got = f"got {share!r} for vintage {s}"
                    raise ValueError(f"default_share must lie in [0, 1], {got}")
                misses[s] = promise - share
        levels[t] = np.clip(promise + step * sum(misses[s] for s in earlier), 0.0, 1.0)
    return levels
