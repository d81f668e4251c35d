"""One contract for every quantile model: scikit-learn's, and that of the package."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm_network
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM

MODELS = [QRGMM(), DeepFMQRGMM(n_members=2, random_state=0)]
ROUNDING = {"QRGMM": 1e-12, "DeepFMQRGMM": 1e-5}  # networks compute in 32 bits
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(120, 2))
Y = 3 + X @ [2.0, -1.0] + RNG.gamma(2.0, size=120)
FRAME = pd.DataFrame({"store": RNG.choice(["a", "b"], 120), "price": X[:, 0]})


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Networks learn little in these tests."""
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 4)


@pytest.mark.parametrize(
    ("model", "check"),
    [  # those of networks are in their own tests; one check has fewer rows than coefficients, which is refused
        (QRGMM(), check)
        for _, check in estimator_checks_generator(QRGMM())
        if check.func.__name__ != "check_sample_weight_equivalence_on_dense_data"
    ],
    ids=lambda part: getattr(part, "func", type(part)).__name__,
)
@pytest.mark.filterwarnings("ignore:relative duality gap:RuntimeWarning")
def test_scikit_learn_accepts_the_model(model, check):
    check(model)


@each_model
def test_fit_returns_the_model_and_changes_no_parameter(model):
    model = clone(model)
    before = model.get_params()
    assert model.fit(X, Y) is model
    assert model.get_params() == before


@each_model
def test_curves_quantiles_draws_and_means_have_one_row_per_row(model):
    model = clone(model).fit(X, Y)
    curve = model.predict_curve(X[:7])
    assert isinstance(curve, QuantileCurve) and len(curve) == 7
    assert model.predict_quantiles(X[:7], [0.2, 0.5, 0.9]).shape == (7, 3)
    assert model.predict_quantiles(X[:7], 0.5).shape == (7, 1)
    assert model.sample(X[:7], 4, rng=0).shape == (7, 4)
    assert model.predict(X[:7]).shape == (7,)
    assert model.predict(X[:1]).shape == (1,)


@each_model
def test_all_predictions_come_from_the_curve(model):
    model = clone(model).fit(X, Y)
    curve = model.predict_curve(X)
    np.testing.assert_allclose(model.predict(X), curve.mean(), rtol=1e-12)
    np.testing.assert_allclose(model.predict_quantiles(X, [0.3, 0.8]), curve.ppf([0.3, 0.8]), rtol=1e-12)
    np.testing.assert_allclose(model.sample(X, 9, rng=1), curve.sample(9, rng=1), rtol=1e-12)
    assert (np.diff(curve.values) >= 0).all()


@each_model
def test_draws_are_seeded_and_touch_no_global_state(model):
    model = clone(model).fit(X, Y)
    before = np.random.get_state()[1]  # noqa: NPY002 - the global state is what is looked at
    np.testing.assert_array_equal(model.sample(X, 5, rng=2), model.sample(X, 5, np.random.default_rng(2)))
    assert (model.sample(X, 5, rng=2) != model.sample(X, 5, rng=3)).any()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@each_model
def test_a_model_fitted_twice_is_the_same_model(model):
    first, second = clone(model).fit(X, Y), clone(model).fit(X, Y)
    np.testing.assert_array_equal(first.predict_curve(X).values, second.predict_curve(X).values)


@each_model
def test_a_row_is_predicted_the_same_alone_and_among_others(model):
    model = clone(model).fit(X, Y)
    rtol = ROUNDING[type(model).__name__]
    np.testing.assert_allclose(model.predict_curve(X[5:6]).values, model.predict_curve(X).values[5:6], rtol=rtol)


@each_model
def test_an_unfitted_model_predicts_nothing(model):
    model = clone(model)
    for predict in (model.predict, model.predict_curve, lambda X: model.sample(X, 1)):
        with pytest.raises(NotFittedError):
            predict(X)


@each_model
def test_data_frames_with_strings_work_alone_and_in_a_pipeline(model):
    alone = clone(model).fit(FRAME, Y)
    assert alone.predict_curve(FRAME).values.shape[0] == 120
    pipeline = make_pipeline(FieldEncoder(), clone(model)).fit(FRAME, Y)
    if isinstance(model, QRGMM):  # to a network, a category is one field, its indicators are several
        np.testing.assert_allclose(pipeline.predict(FRAME), alone.predict(FRAME), rtol=1e-6)
    assert pipeline.score(FRAME, Y) > 0


@each_model
def test_a_grid_search_chooses_the_levels(model):
    search = GridSearchCV(clone(model), {"levels": [3, 10, [0.1, 0.5, 0.9]]}, cv=3).fit(X, Y)
    assert search.best_params_["levels"] in [3, 10, [0.1, 0.5, 0.9]]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    nested = make_pipeline(FieldEncoder(), clone(model))
    search = GridSearchCV(nested, {f"{type(model).__name__.lower()}__levels": [3, 10]}, cv=3).fit(FRAME, Y)
    assert np.isfinite(search.predict(FRAME)).all()
