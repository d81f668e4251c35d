"""The recorded studies of the QRGMM paper, at sizes smaller than tiny."""

import numpy as np

from qrgmm.studies.qrgmm_paper import bootstrap


def test_a_band_for_all_loans_at_once_holds_the_whole_curve_about_as_often_as_it_says():
    rng, held = np.random.default_rng(0), []
    for _ in range(12):
        rows = bootstrap(rng, n_rows=150, m=8, n_boot=30, n_loans=3, level=0.9)
        held += [value for model, test, metric, _, value in rows if (test, metric) == ("simultaneous", "covers_pd")]
    assert len(held) == 24 and np.mean(held) > 0.6  # at the level 0.1 it would be about 0.1
