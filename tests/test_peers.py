"""The adapters of other libraries: they learn what their libraries learn, and behave as the other models do."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from qrgmm.models.peers import Engression, SplineFlow
from qrgmm.models.trees import BoostedQuantiles, CatBoostQuantiles, QuantileForest

RNG = np.random.default_rng(0)
STORES = np.array([0.0, 20.0, 40.0])
CODES = RNG.integers(3, size=1500)
FRAME = pd.DataFrame({"store": np.array(["a", "b", "c"])[CODES], "price": RNG.uniform(size=1500)})
SALES = 50 + STORES[CODES] + 10 * FRAME["price"].to_numpy() + 2 * RNG.normal(size=1500)
ROWS = pd.DataFrame({"store": ["a", "c"], "price": 0.5})

MODELS = [
    Engression(hidden_dim=50, noise_dim=5, num_epochs=25, batch_size=64, lr=3e-3, n_draws=400),
    QuantileForest(levels=20, n_estimators=50),
    BoostedQuantiles(levels=(0.05, 0.25, 0.5, 0.75, 0.95), n_rounds=60),
    CatBoostQuantiles(levels=(0.05, 0.25, 0.5, 0.75, 0.95), n_rounds=100),
    SplineFlow(levels=20, n_epochs=30),
]
QUICK = [
    Engression(num_epochs=1, n_draws=5),
    QuantileForest(levels=5, n_estimators=3),
    BoostedQuantiles(levels=(0.25, 0.75), n_rounds=2),
    CatBoostQuantiles(levels=(0.25, 0.75), n_rounds=2),
    SplineFlow(levels=5, n_epochs=1),
]


def each(models):
    return pytest.mark.parametrize("model", models, ids=lambda model: type(model).__name__)


@each(MODELS)
def test_a_normal_law_is_learned(model):
    curve = clone(model).fit(FRAME, SALES).predict_curve(ROWS)
    # The truth is N(55, 2) and N(95, 2): one standard deviation, where the law that ignores x is off by ten.
    np.testing.assert_allclose(curve.ppf(0.5)[:, 0], [55.0, 95.0], atol=2.0)
    spread = np.diff(curve.ppf([0.25, 0.75]))[:, 0]
    assert (spread > 1.3).all() and (spread < 5.4).all()  # 2.7


def test_a_forest_does_not_learn_the_noise_of_rare_categories():
    # Every category has two rows and no effect. Encoded by their own sales, categories would explain most of them.
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"store": np.repeat(np.arange(300).astype(str), 2), "price": rng.uniform(size=600)})
    noise = rng.normal(size=600)
    predicted = QuantileForest(levels=10, n_estimators=30, min_samples_leaf=20).fit(frame, noise).predict(frame)
    assert np.corrcoef(predicted[::2], noise[1::2])[0, 1] < 0.3


def test_the_inverse_of_the_spline_is_its_quantile_function():
    model = SplineFlow(levels=10, n_epochs=2).fit(FRAME, SALES)
    values = torch.as_tensor((model.predict_curve(ROWS).values - model.location_) / model.scale_).float()
    with torch.inference_mode():
        scores = model.flow_(model._design(ROWS)).transform(values.T[..., None])[..., 0].T
    levels = torch.distributions.Normal(0, 1).cdf(scores)
    np.testing.assert_allclose(levels, np.tile(model.levels_, (2, 1)), atol=1e-4)


@each(QUICK)
def test_bad_input_is_refused(model):
    some_bad = np.where(np.arange(1500) < 3, np.nan, SALES)
    for y, message in (
        (some_bad, "y must be finite, got NaN or infinity in 3 of 1500 rows"),
        (SALES[1:], "y must have"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(model).fit(FRAME, y)
    with pytest.raises(ValueError, match="X needs at least . rows, got n_samples = 1"):
        clone(model).fit(FRAME[:1], SALES[:1])
    if "validation_share" in model.get_params():
        with pytest.raises(ValueError, match="validation_share must be at least 0 and below 1, got 1"):
            clone(model).set_params(validation_share=1).fit(FRAME, SALES)


@pytest.mark.parametrize("kind", [BoostedQuantiles, CatBoostQuantiles])
def test_boosted_trees_take_any_name_of_a_column_and_any_levels(kind):
    odd = FRAME.set_axis(['store:"id"', "price [EUR], net"], axis=1)
    model = kind(levels=4, n_rounds=2).fit(odd, SALES)
    np.testing.assert_array_equal(model.levels_, [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(model.predict(odd), kind(4, n_rounds=2).fit(FRAME, SALES).predict(FRAME))
    assert len(kind(levels=None, n_rounds=1).fit(FRAME[:50], SALES[:50]).levels_) == 6
