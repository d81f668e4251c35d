"""Networks train in double precision, whatever a user has made torch's default, and leave that default alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.generators import ConditionalWGAN
from qrgmm.models.paths import ConditionalDiffusion, RectifiedFlow
from qrgmm.models.peers import Engression, SplineFlow

RNG = np.random.default_rng(0)
X = pd.DataFrame({"store": RNG.choice(["a", "b", "c"], 200), "price": RNG.uniform(1, 2, 200)})
SALES = X["store"].map({"a": 10.0, "b": 20.0, "c": 30.0}).to_numpy() * X["price"].to_numpy() + RNG.exponential(size=200)
OURS = [
    DeepFMQRGMM(levels=9, n_members=2, random_state=0),
    DeepFMQRGMM(levels=9, n_members=2, head="increments", average=False, random_state=0),
    ConditionalWGAN(hidden=(8,), n_epochs=2, dropout=0.1, n_draws=20),
    RectifiedFlow(hidden=(8,), n_epochs=2, dropout=0.1, n_draws=20),
    ConditionalDiffusion(hidden=(8,), n_epochs=2, target="noise", eta=0.5, n_draws=20),
    SplineFlow(hidden=(8,), n_epochs=2, levels=9),
]


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("model", [*OURS, Engression(num_epochs=2, n_draws=20)], ids=lambda model: type(model).__name__)
def test_the_default_precision_of_torch_changes_nothing(model, request):
    single = clone(model).fit(X, SALES)
    request.getfixturevalue("double_by_default")
    double = clone(model).fit(X, SALES)
    np.testing.assert_array_equal(double.predict_curve(X[:20]).values, single.predict_curve(X[:20]).values)
    np.testing.assert_array_equal(double.sample(X[:5], 7, rng=0), single.sample(X[:5], 7, rng=0))
    assert torch.get_default_dtype() == torch.float64


@pytest.mark.parametrize("model", OURS, ids=lambda model: type(model).__name__)
def test_everything_that_we_train_is_in_double_precision(model):
    model = clone(model).fit(X, SALES)
    if isinstance(model, DeepFMQRGMM):
        weights = [value for kind in model.parameters_ for value in kind.values()]
    else:
        weights = list((model.flow_ if isinstance(model, SplineFlow) else model.network_).parameters())
    assert len(weights) > 3 and {weight.dtype for weight in weights} == {torch.float64}
