"""100,000 draws from one curve: the package, np.interp, and the random numbers alone."""

import numpy as np
from scipy import stats

from qrgmm.curve import QuantileCurve, quantile_levels

N_DRAWS, M = 100_000, 100
SETTING = f"{N_DRAWS:,} draws from one curve with {M - 1} levels, PCG64 generator"


def run(time_in_turn):
    levels = quantile_levels(M * M)
    curve = QuantileCurve(levels, stats.norm.ppf(levels))
    knots, rng = curve.values[0], np.random.default_rng(0)
    contestants = {
        "random_numbers_alone": lambda: rng.random(N_DRAWS),
        "curve.sample": lambda: curve.sample(N_DRAWS, rng),
        "np.interp": lambda: np.interp(rng.random(N_DRAWS), levels, knots),
    }
    time_in_turn(contestants, n_rounds=20)  # warm up
    seconds = time_in_turn(contestants, n_rounds=201)
    alone, ours = seconds["random_numbers_alone"], seconds["curve.sample"]
    ratios = {"curve.sample / random numbers": ours / alone, "np.interp / curve.sample": seconds["np.interp"] / ours}
    return {"seconds": seconds, "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()}}
