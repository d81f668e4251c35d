"""A portfolio of ten thousand loans in ten thousand scenarios: its loss, its allocation, and the largest portfolio.

The optimiser is timed beside HiGHS on Rockafellar and Uryasev's linear programme, where that can still be solved.
"""

import time

import numpy as np
import scipy.sparse as sp
from memory import peak_memory
from scipy import stats
from scipy.optimize import linprog

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.portfolio import (
    ClaytonCopula,
    EllipticalCopula,
    allocate_cvar,
    largest_portfolio,
    loss_measures,
    portfolio_loss,
    revenue_scenarios,
)

N_SELLERS, N_SCENARIOS, M, LEVEL = 10_000, 10_000, 100, 0.95
N_OPTIMISED = 1_000  # sellers whose loans are sized with 5,000 scenarios
SETTING = (
    f"{N_SELLERS:,} sellers on {M - 1} levels, {N_SCENARIOS:,} scenarios, one common factor with loading 0.5 unless "
    f"named otherwise, CVaR at {LEVEL}; each once, on one core. HiGHS solves Rockafellar and Uryasev's linear "
    "programme, with one variable per seller and scenario, for 30 sellers in 500 scenarios"
)


def make_curve(n_sellers):
    rng, levels = np.random.default_rng(0), quantile_levels(M * M)
    median, spread = rng.uniform(50, 150, (n_sellers, 1)), rng.uniform(0.1, 0.6, (n_sellers, 1))
    return QuantileCurve(levels, median * np.exp(spread * stats.norm.ppf(levels)))


def solve_with_highs(revenue, budget, level):
    """Rockafellar and Uryasev's programme in loans, VaR, excess per scenario, loss per seller and scenario."""
    n, s = revenue.shape
    excess = sp.hstack([
        sp.csr_array((s, n)), -np.ones((s, 1)), -sp.eye_array(s), sp.kron(np.ones((1, n)), sp.eye_array(s)),
    ])
    loss = sp.hstack([
        sp.kron(sp.eye_array(n), np.ones((s, 1))), sp.csr_array((n * s, 1 + s)), -sp.eye_array(n * s),
    ])
    cvar = np.concatenate([np.zeros(n), [1.0], np.full(s, 1 / ((1 - level) * s)), np.zeros(n * s)])
    rows = sp.vstack([excess, loss, sp.csr_array(cvar[None])]).tocsr()
    right = np.concatenate([np.zeros(s), revenue.ravel(), [budget]])
    cost = np.concatenate([-np.ones(n), np.zeros(1 + s + n * s)])
    bounds = [(0, None)] * n + [(None, None)] + [(0, None)] * (s + n * s)
    result = linprog(cost, rows, right, bounds=bounds, method="highs")
    return result.x[:n]


def run(time_in_turn):
    curve, loading = make_curve(N_SELLERS), np.full(N_SELLERS, 0.5)
    loans = curve.ppf(0.1)
    seconds, processor_seconds, peak = {}, {}, {}

    def once(name, work):
        start, processor = time.perf_counter(), time.process_time()
        result = work()
        seconds[name] = round(time.perf_counter() - start, 2)
        processor_seconds[name] = round(time.process_time() - processor, 2)
        peak[name] = round(peak_memory(), 2)
        return result

    gaussian = EllipticalCopula(loadings=loading)
    setting = (N_SCENARIOS, 1)
    losses = once("loss, Gaussian factor", lambda: portfolio_loss(curve, loans, gaussian, *setting))
    parts = once("loss and allocation, Gaussian factor", lambda: allocate_cvar(curve, loans, gaussian, *setting, LEVEL))
    others = {"t factor": EllipticalCopula(loadings=loading, df=4), "Clayton": ClaytonCopula(0.3, N_SELLERS)}
    for name, copula in others.items():
        once(f"loss, {name}", lambda copula=copula: portfolio_loss(curve, loans, copula, *setting))
    cvar = loss_measures(losses, LEVEL)["conditional_value_at_risk"]

    few = curve[:N_OPTIMISED]
    revenue = revenue_scenarios(few, EllipticalCopula(loadings=loading[:N_OPTIMISED]), 5_000, 2)
    mid = once(f"optimiser, {N_OPTIMISED:,} x 5,000", lambda: largest_portfolio(revenue, 10.0 * N_OPTIMISED, LEVEL))
    small, results = revenue[:30, :500], {}
    small_seconds = time_in_turn(
        {
            "largest_portfolio": lambda: results.update(ours=largest_portfolio(small, 300.0, LEVEL)) or None,
            "HiGHS": lambda: results.update(highs=solve_with_highs(small, 300.0, LEVEL)) or None,
        },
        n_rounds=3,
    )
    revenue = once("scenarios held", lambda: revenue_scenarios(curve, gaussian, *setting))
    large = once(
        f"optimiser, {N_SELLERS:,} x {N_SCENARIOS:,}", lambda: largest_portfolio(revenue, 10.0 * N_SELLERS, LEVEL)
    )
    ratio = small_seconds["HiGHS"] / small_seconds["largest_portfolio"]
    return {
        "ratios": {"HiGHS / largest_portfolio, 30 x 500": round(ratio, 1)},
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "process_peak_gib": peak,
        "seconds_30_x_500": small_seconds,
        "shortfall_of_lending_30_x_500": float(1 - results["ours"].loans.sum() / results["highs"].sum()),
        "gap": {f"{N_OPTIMISED:,} x 5,000": float(1 - mid.loans.sum() / mid.bound),
                f"{N_SELLERS:,} x {N_SCENARIOS:,}": float(1 - large.loans.sum() / large.bound)},
        "allocation_error": float(abs(parts.sum() / cvar - 1)),
    }
