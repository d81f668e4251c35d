"""One applicant with QRGMM-dagger, from a data frame to draws or to all risk measures: warm, and after other work."""

import time

import numpy as np

N_DRAWS, N_LOANS, N_ROWS, N_ROUNDS, N_COLD = 100_000, 100, 8000, 51, 21
WANTED = {"warm": 1.5e-3, "cold": 8e-3}  # seconds
SETTING = (
    f"One row of a data frame, 400 categories and 10 continuous covariates, to {N_DRAWS:,} draws, or to PD, EL, LGD "
    f"and E[L^2] at {N_LOANS} loans; QRGMM-dagger trained on {N_ROWS:,} rows, one thread; medians of {N_ROUNDS} rounds "
    f"and of {N_COLD} after half a second of other work, which leaves nothing of ours in the processor's caches (cold)"
)


def run(time_in_turn):
    # Imported here, so that torch is not in the peak of memory of the portfolio.
    from qrgmm import risk
    from qrgmm.models.training import one_thread
    from qrgmm.simulators import FMLocationScale
    from qrgmm.studies.synthetic import OWN

    simulator, rng = FMLocationScale(), np.random.default_rng(0)
    X = simulator.draw_covariates(N_ROWS, rng)
    loans, x = np.linspace(0, 100, N_LOANS), X.iloc[[0]]
    with one_thread():
        model = OWN["qrgmm_deepfm"].fit(X, simulator.draw(X, rng))
        works = {
            "draws": lambda: model.sample(x, N_DRAWS, rng),
            "risk": lambda: risk.risk_profile(model.predict_curve(x), loans),
        }
        contestants = {f"{name}_warm": work for name, work in works.items()}
        time_in_turn(contestants, n_rounds=20)  # warm up
        seconds = time_in_turn(contestants, N_ROUNDS)
        other = np.random.default_rng(1).random(16_000_000)

        def time_cold(work):
            np.sort(other[:2_000_000])
            other.cumsum()
            X.groupby(list(X)[:2]).mean(numeric_only=True)
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        cold = {f"{name}_cold": lambda work=work: time_cold(work) for name, work in works.items()}
        seconds |= time_in_turn(cold, N_COLD)
    ratios = {f"{name} / wanted": round(taken / WANTED[name[-4:]], 2) for name, taken in seconds.items()}
    return {"seconds": seconds, "ratios": ratios}
