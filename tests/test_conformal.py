"""Quantiles moved to fit rows held out: they keep their levels whatever the model, and move nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm_network
from qrgmm.models.conformal import Conformalised
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.law_model import LawModel
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.training import split_rows
from qrgmm.studies.synthetic import fit_copy


class Wrong(LawModel):
    """A model whose quantiles are the same whatever it was fitted to."""

    def __init__(self, below=5.0):
        self.below = below

    def get_params(self, deep=True):
        """Return its only option."""
        return {"below": self.below}

    def set_params(self, **options):
        """Set it."""
        self.below = options.get("below", self.below)
        return self

    def fit(self, X, y):
        """Learn nothing."""
        return self

    def predict_curve(self, X):
        """Return a law that is too low."""
        return QuantileCurve([0.1, 0.5, 0.9], np.tile(np.array([-2.0, 0.0, 1.0]) - self.below, (len(X), 1)))


def draw(n_rows, rng):
    X = rng.uniform(size=(n_rows, 1))
    return X, X[:, 0] + rng.exponential(size=n_rows)


@pytest.mark.parametrize("n_rows", [45, 95])
def test_a_new_row_lies_below_a_moved_quantile_as_often_as_its_level_says(n_rows):
    levels, rng = np.array([0.1, 0.3, 0.5, 0.8]), np.random.default_rng(0)
    share, n_sets = 0.2, 1500  # 9 or 19 rows held out: 0.1 to 0.8 are whole ranks of 10 or 20
    below = np.zeros(4)
    for _ in range(n_sets):
        X, y = draw(n_rows, rng)
        model = Conformalised(Wrong(), share, levels).fit(X, y)
        X, y = draw(20, rng)
        below += (y[:, None] < model.predict_quantiles(X, levels)).mean(axis=0) / n_sets
    np.testing.assert_allclose(below, levels, atol=4 * 0.5 / np.sqrt(n_sets))


@given(st.floats(-100, 100), st.integers(0, 10**6))
def test_where_a_model_puts_its_level_makes_no_difference(below, seed):
    X, y = draw(60, np.random.default_rng(seed))
    one, other = (Conformalised(Wrong(each), levels=5).fit(X, y).predict_curve(X[:3]).values for each in (0.0, below))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_shifts_are_residuals_of_rows_held_out_and_of_no_others():
    X, y = draw(99, np.random.default_rng(1))
    model = Conformalised(QRGMM(levels=4), 0.2, levels=[0.25, 0.5, 0.75], random_state=3).fit(X, y)
    kept, held_out = split_rows(99, 0.2, 3)
    inner = QRGMM(levels=4).fit(X[kept], y[kept])
    residuals = np.sort(y[held_out][:, None] - inner.predict_quantiles(X[held_out], [0.25, 0.5, 0.75]), axis=0)
    assert len(held_out) == 19
    np.testing.assert_allclose(model.shifts_, residuals[[4, 9, 14], range(3)], rtol=1e-12)  # ranks 5, 10 and 15 of 20
    curve = model.predict_curve(X[:5])
    np.testing.assert_allclose(curve.values, inner.predict_quantiles(X[:5], model.levels_) + model.shifts_)


def test_names_of_rows_stay_and_nothing_falls_below_the_lower_bound():
    X, y = draw(200, np.random.default_rng(2))
    frame = pd.DataFrame({"price": X[:, 0]}, index=[f"row {i}" for i in range(200)])
    curve = Conformalised(QRGMM(levels=9, lower=0.5)).fit(frame, y).predict_curve(frame[:4])
    assert curve.index.tolist() == ["row 0", "row 1", "row 2", "row 3"] and curve.values.min() >= 0.5


@pytest.mark.parametrize("share", [0.0, 0.001, 1.0, -0.1])
def test_a_share_that_leaves_no_rows_is_refused(share):
    X, y = draw(99, np.random.default_rng(1))
    with pytest.raises(ValueError, match=f"calibration_share must leave rows on both sides, got {share} of 99"):
        Conformalised(QRGMM(levels=4), share).fit(X, y)


def test_a_study_seeds_and_shortens_the_model_within(monkeypatch):
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 2)
    model = Conformalised(DeepFMQRGMM(kinds="stiff", recalibrate=False, encoder=FieldEncoder(unseen="other")))
    X = pd.DataFrame({"store": list("ab") * 40, "price": np.linspace(1, 2, 80)})
    fitted = fit_copy(model, X, np.linspace(1, 9, 80), np.random.default_rng(5), n_members=2)
    seed = int(np.random.default_rng(5).integers(2**31))
    assert (fitted.random_state, fitted.model_.random_state, fitted.model_.n_members) == (seed, seed, 2)
    assert clone(model).get_params()["model__n_members"] == 10, "the study's own is left as it was"
