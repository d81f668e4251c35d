"""PD, EL, LGD and the squared loss for many applicants: exact on the curve against Monte Carlo from it."""

import numpy as np
from scipy import stats

from qrgmm import risk
from qrgmm.curve import QuantileCurve, quantile_levels

N_ROWS, M, N_LOANS = 2_000, 91, 100
N_ROWS_MILLION = 40  # a million draws are timed for this many applicants and scaled to N_ROWS
SETTING = (
    f"PD, EL, LGD, E[L^2] at {N_LOANS} loans for {N_ROWS:,} applicants on {M - 1} levels; Monte Carlo draws and sorts "
    f"once; a million draws timed for {N_ROWS_MILLION} applicants and scaled"
)


def make_curve():
    rng = np.random.default_rng(0)
    levels = quantile_levels(M * M)
    mean, sd = rng.normal(50, 5, (N_ROWS, 1)), rng.uniform(5, 15, (N_ROWS, 1))
    return QuantileCurve(levels, mean + sd * stats.norm.ppf(levels))


def exact_measures(curve, loans):
    return tuple(risk.risk_profile(curve, loans).values())


def monte_carlo_measures(curve, loans, n_draws, rng):
    """The same four from draws: one sort and two running sums per applicant serve all loans."""
    results = np.empty((4, len(curve), len(loans)))
    for i in range(len(curve)):
        draws = np.sort(curve[i].sample(n_draws, rng)[0])
        sums = np.concatenate([[0.0], np.cumsum(draws)]), np.concatenate([[0.0], np.cumsum(draws**2)])
        n_defaults = draws.searchsorted(loans)
        probability = n_defaults / n_draws
        loss = loans * probability - sums[0][n_defaults] / n_draws
        square = loans**2 * probability - (2 * loans * sums[0][n_defaults] - sums[1][n_defaults]) / n_draws
        with np.errstate(invalid="ignore"):
            results[:, i] = probability, loss, loss / probability, square
    return results


def run(time_in_turn):
    curve, loans, rng = make_curve(), np.linspace(0, 100, N_LOANS), np.random.default_rng(1)
    few = curve[:N_ROWS_MILLION]
    seconds = time_in_turn({"exact": lambda: exact_measures(curve, loans)}, n_rounds=3)  # warm up
    seconds = time_in_turn(
        {
            "exact": lambda: exact_measures(curve, loans),
            "monte_carlo_10000": lambda: monte_carlo_measures(curve, loans, 10_000, rng),
        },
        n_rounds=7,
    )
    million = time_in_turn(
        {
            "exact": lambda: exact_measures(curve, loans),
            "monte_carlo_1000000": lambda: monte_carlo_measures(few, loans, 1_000_000, rng),
        },
        n_rounds=3,
    )
    seconds["monte_carlo_1000000"] = million["monte_carlo_1000000"] * N_ROWS / N_ROWS_MILLION
    exact = exact_measures(curve, loans)
    errors = {}
    for n_draws in (10_000, 1_000_000):
        estimate = monte_carlo_measures(few, loans, n_draws, rng)
        for k, name in ((0, "PD"), (1, "EL"), (3, "E[L^2]")):
            errors[f"{name} {n_draws}"] = float(np.sqrt(np.mean((estimate[k] - exact[k][:N_ROWS_MILLION]) ** 2)))
    ratios = {name: round(seconds[name] / seconds["exact"], 1) for name in seconds if name != "exact"}
    # The last ratio is taken within its own rounds.
    ratios["monte_carlo_1000000"] = round(seconds["monte_carlo_1000000"] / million["exact"], 1)
    return {"seconds": seconds, "ratios": ratios, "rms_error_of_monte_carlo": errors}
