r"""Many loans at once: sellers' laws of sales tied by a copula, the loss of the portfolio, and the largest portfolio.

Loan :math:`i` loses :math:`L_i = (\ell_i - r_i D_i)^+`, the portfolio :math:`L = \sum_i L_i`. Each :math:`D_i` has its
own law, a row of a `QuantileCurve`; a copula says how they move together (`qrgmm.portfolio.copula`).
The law of a sum has no closed form, so here scenarios are drawn, in chunks: ten thousand sellers in ten thousand
scenarios never lie in memory at once. Chapter 18 derives the allocation and the optimiser.
"""

import warnings
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from tqdm import tqdm

from qrgmm.checks import Rng, check_count, check_level, check_loans, check_per_row, check_sample
from qrgmm.curve import QuantileCurve
from qrgmm.portfolio.copula import Copula
from qrgmm.risk import conditional_value_at_risk, expected_loss, value_at_risk

# Uniforms that are drawn at a time, and sellers whose sales are computed at a time: what fits the processor's cache.
CELLS, SELLERS = 2_000_000, 500
# Sums of loans that are less apart differ by the search for the budget alone; then the loans found first are kept.
TIE = 1e-8


def portfolio_loss(
    curve: QuantileCurve,
    loans: ArrayLike,
    copula: Copula,
    n_scenarios: int,
    rng: Rng = None,
    unit_revenue: ArrayLike = 1.0,
    drop: float = 0.0,
    factor: ArrayLike | None = None,
    progress: bool = False,
) -> np.ndarray:
    r"""Return the loss of a portfolio in every scenario.

    .. math:: L = \sum_i (\ell_i - r_i Q_i(U_i))^+, \qquad (U_1, \dots, U_n) \sim C

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller, in units sold.
    loans : float or array of shape (n_sellers, 1)
        In currency.
    copula : object with `sample` and `n_dims`
        See `qrgmm.portfolio.copula`; of as many dimensions as there are sellers.
    n_scenarios : int
    rng : numpy.random.Generator, int or None
        Equal seeds give equal scenarios, whatever the loans: portfolios can be compared scenario by scenario.
    unit_revenue : float or array of shape (n_sellers,)
        In currency per unit; positive.
    drop : float
        Stress: the share of its revenue that every seller loses, in [0, 1).
    factor : float or array of shape (n_factors,), optional
        Stress: common factors held at these values, in standard deviations; for copulas with loadings.
    progress : bool
        Show a bar.

    Returns
    -------
    array of shape (n_scenarios,), in currency

    Raises
    ------
    ValueError
        If the copula has another number of dimensions than the curve has rows, or loans, revenue or drop are out of
        range.

    Notes
    -----
    Chapter 18.

    Examples
    --------
    >>> from qrgmm.portfolio.copula import EllipticalCopula
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> together = portfolio_loss(curve, 30.0, EllipticalCopula(loadings=[1.0, 1.0]), 10_000, rng=0)
    >>> apart = portfolio_loss(curve, 30.0, EllipticalCopula(loadings=[0.0, 0.0]), 10_000, rng=0)
    >>> round(together.mean()), round(apart.mean()), bool(together.std() > apart.std())
    (19, 19, True)
    """
    loans, revenue = _amounts(curve, loans), _revenue(curve, unit_revenue, drop)
    losses = []
    for sales in _scenarios(curve, copula, n_scenarios, rng, factor, progress):
        losses.append(
            sum(
                _losses(loans[b], revenue[b], draws).sum(axis=0) for b, draws in sales()
            )
        )
    return np.concatenate(losses)


def loss_measures(losses: ArrayLike, level: float = 0.95) -> dict[str, float]:
    r"""Return mean, standard deviation, VaR and CVaR of losses, exactly as of an empirical law.

    Parameters
    ----------
    losses : array of shape (n_scenarios,)
        In currency.
    level : float
        :math:`\alpha`, in (0, 1).

    Returns
    -------
    dict of float

    Raises
    ------
    ValueError
        If losses are NaN or infinite, none or of another shape, or `level` does not lie inside (0, 1).

    Notes
    -----
    Losses are revenue that is missing, so that chapter 1's functions apply to a loan of 0; chapter 18.

    Examples
    --------
    >>> loss_measures([1.0, 2.0, 3.0, 6.0], level=0.5)["conditional_value_at_risk"]
    4.5
    """
    losses = check_sample("losses", losses)
    law = QuantileCurve.from_draws(-losses)
    return {
        "expected_loss": float(expected_loss(law, 0.0)[0, 0]),
        "standard_deviation": float(losses.std()),
        "value_at_risk": float(value_at_risk(law, 0.0, level=level)[0, 0]),
        "conditional_value_at_risk": float(conditional_value_at_risk(law, 0.0, level=level)[0, 0]),
    }


def allocate_cvar(
    curve: QuantileCurve,
    loans: ArrayLike,
    copula: Copula,
    n_scenarios: int,
    rng: Rng = None,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
    progress: bool = False,
) -> np.ndarray:
    r"""Return what every loan contributes to the CVaR of the portfolio.

    CVaR grows in proportion with the losses, so by Euler's theorem it is the sum of

    .. math:: \mathrm{CVaR}_\alpha(L) = \sum_i E[L_i \mid L \text{ among its worst share } 1 - \alpha] .

    Parameters
    ----------
    curve, loans, copula, n_scenarios, rng, unit_revenue, progress
        As in `portfolio_loss`.
    level : float
        :math:`\alpha`, in (0, 1).

    Returns
    -------
    array of shape (n_sellers,), in currency
        Their sum is the CVaR of `loss_measures` of the same scenarios.

    Notes
    -----
    Tasche (1999); Acerbi and Tasche (2002) on scenarios that count in part; chapter 18. Raises like `portfolio_loss`.
    Scenarios are drawn twice: once to find the worst, once more to see who lost in them.

    Examples
    --------
    >>> from qrgmm.portfolio.copula import EllipticalCopula
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> parts = allocate_cvar(curve, [[15.0], [30.0]], EllipticalCopula(loadings=[1.0, 1.0]), 1000, rng=0)
    >>> parts.round(9)
    array([ 5., 20.])
    """
    rng = np.random.default_rng(rng)
    again = deepcopy(rng)
    losses = portfolio_loss(curve, loans, copula, n_scenarios, rng, unit_revenue, progress=progress)
    loans, revenue = _amounts(curve, loans), _revenue(curve, unit_revenue)
    weights, start = tail_weights(losses, level), 0
    contributions = np.zeros(len(curve))
    for sales in _scenarios(curve, copula, n_scenarios, again, None, progress):
        chosen = np.flatnonzero(weights[start : start + sales.n_scenarios])
        weight = weights[start + chosen]
        if len(chosen):
            for b, draws in sales(chosen):
                contributions[b] += _losses(loans[b], revenue[b], draws) @ weight
        start += sales.n_scenarios
    return contributions


def tail_weights(losses: ArrayLike, level: float = 0.95) -> np.ndarray:
    r"""Return the weight of every scenario in the worst share :math:`1 - \alpha`; they sum to 1.

    The scenario on the edge counts in part, so that ``tail_weights(losses) @ losses`` is the CVaR.

    Parameters
    ----------
    losses : array of shape (n_scenarios,)
    level : float
        :math:`\alpha`, in (0, 1).

    Returns
    -------
    array of shape (n_scenarios,)

    Raises
    ------
    ValueError
        As `loss_measures`.

    Notes
    -----
    Acerbi and Tasche (2002); chapter 18.

    Examples
    --------
    >>> tail_weights([5.0, 1.0, 9.0, 2.0], level=0.625).round(3)
    array([0.333, 0.   , 0.667, 0.   ])
    """
    losses = check_sample("losses", losses)
    n_worst = (1 - check_level("level", level)) * len(losses)
    n_worst = round(n_worst, 9) or n_worst
    weights = np.zeros(len(losses))
    weights[np.argsort(-losses, kind="stable")] = (
        n_worst - np.arange(len(losses))
    ).clip(0, 1) / n_worst
    return weights


def stress(
    curve: QuantileCurve,
    loans: ArrayLike,
    copula: Copula,
    n_scenarios: int,
    rng: Rng = None,
    level: float = 0.95,
    unit_revenue: ArrayLike = 1.0,
    drop: float = 0.0,
    factor: ArrayLike | None = None,
) -> dict[str, dict[str, float]]:
    """Return the measures of a portfolio as it is and under a common shock, on the same random numbers.

    Parameters
    ----------
    curve, loans, copula, n_scenarios, rng, unit_revenue, drop, factor
        As in `portfolio_loss`.
    level : float
        Of VaR and CVaR, in (0, 1).

    Returns
    -------
    dict of dict
        The `loss_measures` under the keys "as fitted" and "stressed".

    Notes
    -----
    Chapter 18. Raises like `portfolio_loss`.

    Examples
    --------
    >>> from qrgmm.portfolio.copula import EllipticalCopula
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> both = stress(curve, 15.0, EllipticalCopula(loadings=[0.5, 0.5]), 1000, rng=0, factor=-2.0)
    >>> both["stressed"]["expected_loss"] > both["as fitted"]["expected_loss"]
    True
    """
    rng, setting = np.random.default_rng(rng), (curve, loans, copula, n_scenarios)
    as_fitted = portfolio_loss(*setting, deepcopy(rng), unit_revenue)
    stressed = portfolio_loss(*setting, rng, unit_revenue, drop, factor)
    return {"as fitted": loss_measures(as_fitted, level), "stressed": loss_measures(stressed, level)}


def revenue_scenarios(
    curve: QuantileCurve,
    copula: Copula,
    n_scenarios: int,
    rng: Rng = None,
    unit_revenue: ArrayLike = 1.0,
    progress: bool = False,
) -> np.ndarray:
    """Return the revenue of every seller in every scenario, what `largest_portfolio` sizes loans for.

    Parameters
    ----------
    curve, copula, n_scenarios, rng, unit_revenue, progress
        As in `portfolio_loss`.

    Returns
    -------
    array of shape (n_sellers, n_scenarios), in currency
        Eight bytes each: 0.8 GB for ten thousand sellers in ten thousand scenarios.

    Examples
    --------
    >>> from qrgmm.portfolio.copula import EllipticalCopula
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]] * 2)
    >>> revenue_scenarios(curve, EllipticalCopula(loadings=[0.5, 0.5]), 1000, rng=0).shape
    (2, 1000)
    """
    price, start = _revenue(curve, unit_revenue), 0
    revenue = np.empty((len(curve), check_count("n_scenarios", n_scenarios)))
    for sales in _scenarios(curve, copula, n_scenarios, rng, None, progress):
        for b, draws in sales():
            np.multiply(draws, price[b, None], out=revenue[b, start : start + sales.n_scenarios])
        start += sales.n_scenarios
    return revenue


@dataclass(frozen=True)
class LargestPortfolio:
    """Loans for all sellers at once, with a proof of how good they are.

    Attributes
    ----------
    loans : array of shape (n_sellers,)
        In currency.
    conditional_value_at_risk : float
        Of these loans in the given scenarios, in currency; within the budget.
    bound : float
        No loans within the budget sum to more, in currency.
    n_rounds : int
        How often the worst scenarios were looked up.
    """

    loans: np.ndarray
    conditional_value_at_risk: float
    bound: float
    n_rounds: int


def largest_portfolio(
    revenue: ArrayLike,
    max_conditional_value_at_risk: float,
    level: float = 0.95,
    least: ArrayLike = 0.0,
    cap: ArrayLike = np.inf,
    tolerance: float = 1e-3,
    max_rounds: int = 200,
    groups: ArrayLike | None = None,
    group_cap: float | dict = np.inf,
) -> LargestPortfolio:
    r"""Return the loans of largest sum whose portfolio CVaR keeps a budget.

    With :math:`L_s(\ell) = \sum_i (\ell_i - R_{is})^+` in scenario :math:`s`, Rockafellar and Uryasev's programme reads

    .. math:: \max \sum_i \ell_i \quad\text{s.t.}\quad
        \mathrm{CVaR}_\alpha = \max_{q \in \mathcal Q} \sum_s q_s L_s(\ell) \le B, \\
        \mathcal Q = \Bigl\{q : 0 \le q_s \le \tfrac{1}{(1 - \alpha) S}, \sum_s q_s = 1\Bigr\} .

    For one fixed :math:`q` sellers part: all loans are the same weighted quantile of their own revenue, those of a
    group at its cap a lower one, and their sum bounds the answer from above. The worst :math:`q` for these loans is
    found by sorting losses; loans shrunk until they keep the budget bound the answer from below. Averaging the worst
    :math:`q` of all rounds closes the gap.

    Parameters
    ----------
    revenue : array of shape (n_sellers, n_scenarios)
        In currency, see `revenue_scenarios`.
    max_conditional_value_at_risk : float
        The budget :math:`B`, in currency.
    level : float
        :math:`\alpha`, in (0, 1).
    least, cap : float or array of shape (n_sellers,)
        No loan below or above these, in currency: what is lent already, what is pledged.
    tolerance : float
        Stop when the loans reach their bound up to this share of it.
    max_rounds : int
    groups : array of shape (n_sellers,), optional
        What a lender would not rest on too much: the platform or the category of each seller. By default all are one.
    group_cap : float or dict of float
        The loans of any group, or of those named, sum to no more, in currency.

    Returns
    -------
    LargestPortfolio

    Raises
    ------
    ValueError
        If even the least loans exceed the budget (the message says what they reach) or the cap of their group, or
        shapes and ranges do not match.

    Warns
    -----
    RuntimeWarning
        If `max_rounds` do not close the gap; `bound` says how much is open.

    Notes
    -----
    Rockafellar and Uryasev (2000, 2002); the rounds are Brown's fictitious play, or Frank and Wolfe's method on the
    dual; chapter 18. Loans of a sample keep the budget in that sample: check with fresh scenarios.

    Examples
    --------
    >>> revenue = np.array([[10.0, 20.0, 30.0, 40.0], [40.0, 30.0, 20.0, 10.0]])
    >>> best = largest_portfolio(revenue, 5.0, level=0.75, tolerance=0.01)
    >>> bool(best.loans.sum() > 29.7)  # each alone, under half of the budget, could have 12.5
    True
    >>> one_platform = {"groups": ["A", "A"], "group_cap": 20.0}
    >>> float(largest_portfolio(revenue, 5.0, level=0.75, **one_platform).loans.sum().round(6))
    20.0
    """
    revenue, least, cap = _check_programme(revenue, least, cap)
    group, limits = _check_groups(groups, group_cap, least)
    budget = float(max_conditional_value_at_risk)

    def cvar(loans):
        losses = _total_losses(loans, revenue)
        return float(tail_weights(losses, level) @ losses)

    lowest = cvar(least)
    if not lowest <= budget < np.inf:
        reached = f"{lowest:.6g}, which the least loans already reach"
        raise ValueError(
            f"max_conditional_value_at_risk must be finite and at least {reached}, "
            f"got {budget:.6g}"
        )
    # To begin with, the scenarios in which all together earn least.
    weights = tail_weights(-revenue.sum(axis=0), level)
    best, mean, bound = least, least, np.inf
    for n_rounds in range(1, max_rounds + 1):
        loans, upper = _respond(revenue, weights, budget, least, cap, group, limits)
        bound = min(bound, upper)
        worst = tail_weights(_total_losses(loans, revenue), level)
        # The last loans are better where scenarios are many, the mean of all rounds
        # where they are few.
        mean = mean + (loans - mean) * 2 / (n_rounds + 1)
        kept = [
            _keep_budget(cvar, candidate, budget, least) for candidate in (loans, mean)
        ]
        for candidate in kept:
            if candidate.sum() > (1 + TIE) * best.sum():
                best = candidate
        if best.sum() >= bound - tolerance * abs(bound):
            break
        weights = weights + (worst - weights) * 2 / (n_rounds + 2)
    else:
        gap = 1 - best.sum() / bound
        warnings.warn(
            f"largest_portfolio stopped after {max_rounds} rounds with a gap "
            f"of {gap:.2g}",
            RuntimeWarning,
            stacklevel=2,
        )
    return LargestPortfolio(best, cvar(best), float(bound), n_rounds)


def _respond(revenue, weights, budget, least, cap, group, limits):
    r"""Return the largest loans whose weighted loss keeps the budget, and an upper bound of their sum.

    A price :math:`\nu` of loss makes every loan the :math:`\nu`-quantile of its weighted revenue. By weak duality
    :math:`\sum_i \ell_i(\nu) + (B - E_q L(\ell(\nu))) / \nu` is a bound at any price.
    """
    support = weights > 0
    revenue, weights = revenue[:, support], weights[support]
    order = np.argsort(revenue, axis=1)
    knots, cumulated = np.take_along_axis(revenue, order, axis=1), np.cumsum(weights[order], axis=1)

    def at_level(level):
        knot = (cumulated < np.reshape(level, (-1, 1)) - 1e-12).sum(axis=1).clip(max=knots.shape[1] - 1)
        return np.clip(np.take_along_axis(knots, knot[:, None], axis=1)[:, 0], least, cap)

    if np.isfinite(limits).any():
        cap = _fill_groups(at_level, least, cap, budget, group, limits)  # from here on also of `at_level`

    def at_price(price):
        loans = at_level(price)
        loss = float(_total_losses(loans, revenue) @ weights)
        return loans, loss, loans.sum() + (budget - loss) / price

    low, high = (0.0, least, float(_total_losses(least, revenue) @ weights)), (1.0, *at_price(1.0))
    bound = high[3]
    if high[2] <= budget:
        # Beyond all revenue a unit lent is a unit lost, whoever gets it.
        room = np.minimum(cap - high[1], budget - high[2])
        share = 0.0 if room.sum() == 0 else min(1.0, (budget - high[2]) / room.sum())
        loans = high[1] + share * room
        return loans, loans.sum()
    while high[0] - low[0] > 1e-9:
        price = (low[0] + high[0]) / 2
        loans, loss, upper = at_price(price)
        bound = min(bound, upper)
        if loss <= budget:
            low = (price, loans, loss)
        else:
            high = (price, loans, loss)
    share = (budget - low[2]) / (high[2] - low[2])
    return low[1] + share * (high[1] - low[1]), bound


def _fill_groups(at_level, least, cap, budget, group, limits):
    """Return the loans that fill the cap of their group, all of a group at one level of their weighted revenue.

    A price of room in a group lowers the level of its loans, and nothing else: at no price of loss are they larger.
    """

    def sums(loans):
        return np.bincount(group, loans)

    low, high, full = np.zeros(len(limits)), np.ones(len(limits)), at_level(1.0)
    limits = np.minimum(limits, sums(full) + budget)  # no group can use more
    while (high - low).max() > 1e-9:
        level = (low + high) / 2
        over = sums(at_level(level[group])) > limits
        low, high = np.where(over, low, level), np.where(over, level, high)
    floor, roof = np.where(low[group] > 0, at_level(low[group]), least), at_level(high[group])
    # Beyond all revenue a unit lent is a unit lost, whoever of the group gets it.
    fits = (sums(full) <= limits)[group]
    floor, roof = np.where(fits, [full, np.minimum(cap, np.maximum(limits[group], full))], [floor, roof])
    gap = sums(roof - floor)
    share = np.divide(limits - sums(floor), gap, out=np.zeros_like(gap), where=gap > 0).clip(max=1.0)
    return floor + share[group] * (roof - floor)


def _keep_budget(cvar, loans, budget, least):
    """Shrink loans towards the least ones until they keep the budget."""
    step, known = loans - least, {}

    def excess(share):
        if share not in known:
            known[share] = cvar(least + share * step) - budget
        return known[share]

    if excess(1.0) > 0:
        brentq(excess, 0.0, 1.0, xtol=1e-9, rtol=1e-9)
    return least + max(share for share in known if known[share] <= 0) * step


def _scenarios(curve, copula, n_scenarios, rng, factor, progress):
    """Yield chunks of scenarios; a chunk, called, yields blocks of sellers and their sales."""
    if not isinstance(curve, QuantileCurve):
        raise ValueError(f"curve must be a QuantileCurve, got {type(curve).__name__}")
    if copula.n_dims != len(curve):
        raise ValueError(f"copula must have {len(curve)} dimensions, one per seller, got {copula.n_dims}")
    rng, n_scenarios = np.random.default_rng(rng), check_count("n_scenarios", n_scenarios)
    size = max(1, CELLS // len(curve))
    held = {} if factor is None else {"factor": factor}
    for start in tqdm(range(0, n_scenarios, size), "scenarios", disable=not progress):
        u = copula.sample(min(size, n_scenarios - start), rng, **held)
        yield _Chunk(curve, u)


class _Chunk:
    def __init__(self, curve, u):
        self.curve, self.u, self.n_scenarios = curve, u, len(u)

    def __call__(self, chosen=slice(None)):
        for start in range(0, len(self.curve), SELLERS):
            block = slice(start, min(start + SELLERS, len(self.curve)))
            yield block, self.curve[block].ppf(self.u[chosen, block].T)


def _losses(loans, revenue, sales):
    return np.maximum(loans[:, None] - revenue[:, None] * sales, 0.0)


def _total_losses(loans, revenue):
    """Loss of all loans in every scenario, (n_scenarios,)."""
    blocks = (slice(start, start + SELLERS) for start in range(0, len(loans), SELLERS))
    return sum(np.maximum(loans[b, None] - revenue[b], 0.0).sum(axis=0) for b in blocks)


def _check_programme(revenue, least, cap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    revenue = np.asarray(revenue, dtype=float)
    if revenue.ndim != 2 or revenue.size == 0 or not np.isfinite(revenue).all():
        raise ValueError(f"revenue must be finite with shape (n_sellers, n_scenarios), got shape {revenue.shape}")
    bounds = []
    for name, bound in (("least", least), ("cap", cap)):
        bound = np.asarray(bound, dtype=float)
        if bound.shape not in ((), (len(revenue),)) or np.isnan(bound).any():
            raise ValueError(f"{name} must be a number or have shape ({len(revenue)},), got shape {bound.shape}")
        bounds.append(np.broadcast_to(bound, len(revenue)).copy())
    least, cap = bounds
    if not (np.isfinite(least).all() and (least <= cap).all()):
        raise ValueError(f"least must be finite and not above cap, got {least.max():g} and {cap.min():g}")
    return revenue, least, cap


def _check_groups(groups, group_cap, least) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each seller's group, and the cap of each group."""
    labels = np.zeros(len(least)) if groups is None else np.asarray(groups)
    if labels.shape != least.shape or pd.isna(labels).any():
        raise ValueError(f"groups must be {len(least)} labels, none missing, got shape {labels.shape}")
    names, group = np.unique(labels, return_inverse=True)
    caps = group_cap if isinstance(group_cap, dict) else dict.fromkeys(names.tolist(), group_cap)
    if not set(caps) <= set(names.tolist()):
        raise ValueError(f"group_cap must be of groups {names.tolist()}, got {list(caps)}")
    limits = np.array([caps.get(name, np.inf) for name in names.tolist()], dtype=float)
    lowest = np.bincount(group, least)
    if not (lowest <= limits).all():
        reached = f"{lowest.tolist()}, which the least loans of a group already reach"
        raise ValueError(f"group_cap must be at least {reached}, got {limits.tolist()}")
    return group, limits


def _amounts(curve, loans) -> np.ndarray:
    """Return one loan per seller, (n_sellers,)."""
    loans = check_loans(loans, len(curve))
    if loans.shape[1] != 1:
        raise ValueError(f"loans must be one per seller, a number or of shape ({len(curve)}, 1), got {loans.shape}")
    return np.broadcast_to(loans[:, 0], len(curve))


def _revenue(curve, unit_revenue, drop=0.0):
    if not 0 <= drop < 1:
        raise ValueError(f"drop must lie in [0, 1), got {drop!r}")
    return check_per_row("unit_revenue", unit_revenue, len(curve), positive=True) * (1 - drop)
