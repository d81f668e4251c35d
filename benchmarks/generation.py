"""100,000 draws of sales at one covariate row, network included: QRGMM, QRGMM-dagger and the generators that it rivals.

Training is timed, too, once each, with the peers of chapter 9: the settings are those that the recorded studies use.
"""

import time

import numpy as np
from sklearn.base import clone

N_DRAWS, N_ROWS, N_ROUNDS = 100_000, 8000, 21
SETTING = (
    f"{N_DRAWS:,} draws at one covariate row, from covariates to sales, medians of {N_ROUNDS} rounds; every model is "
    f"trained once on {N_ROWS:,} rows with 400 categories and 10 continuous covariates; one thread"
)


def run(time_in_turn):
    # Imported here, so that torch is not in the peak of memory of the portfolio.
    from qrgmm.models.training import one_thread
    from qrgmm.simulators import FMLocationScale
    from qrgmm.studies.synthetic import GENERATORS, OWN, PEERS

    drawn = ("qrgmm_deepfm", "qrgmm", *GENERATORS)
    simulator, rng = FMLocationScale(), np.random.default_rng(0)
    X = simulator.draw_covariates(N_ROWS, rng)
    sales, x = simulator.draw(X, rng), X.iloc[[0]]
    fitted, training_seconds = {}, {}
    with one_thread():
        for name in (*drawn, *PEERS):
            model = clone((OWN | GENERATORS | PEERS)[name])
            start = time.process_time()
            fitted[name] = model.fit(X, sales)
            training_seconds[name] = round(time.process_time() - start, 1)
        contestants = {name: lambda name=name: fitted[name].sample(x, N_DRAWS, rng) for name in drawn}
        time_in_turn(contestants, n_rounds=2)  # warm up
        seconds = time_in_turn(contestants, N_ROUNDS)
    ours = seconds["qrgmm_deepfm"]
    ratios = {f"{name} / qrgmm_deepfm": float(f"{seconds[name] / ours:.2g}") for name in drawn[1:]}
    return {"seconds": seconds, "ratios": ratios, "training_processor_seconds": training_seconds}
