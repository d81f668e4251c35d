"""One contract for every model of sales: scikit-learn's, and that of the package."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm_network
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.generators import ConditionalWGAN
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.paths import ConditionalDiffusion, RectifiedFlow
from qrgmm.models.peers import BayesianFM, Engression, PenalisedQuantiles, SplineFlow
from qrgmm.models.trees import BoostedQuantiles, CatBoostQuantiles, QuantileForest

MODELS = [
    QRGMM(levels=9),
    DeepFMQRGMM(levels=9, n_members=2),
    ConditionalWGAN(hidden=(8,), n_epochs=4, check_every=1, n_draws=20),
    RectifiedFlow(hidden=(8,), n_epochs=4, check_every=1, n_draws=20),
    ConditionalDiffusion(hidden=(8,), n_epochs=4, check_every=1, n_draws=20, eta=0.5),
    Engression(num_epochs=2, n_draws=20),
    QuantileForest(levels=9, n_estimators=5),
    BoostedQuantiles(levels=(0.1, 0.5, 0.9), n_rounds=5),
    CatBoostQuantiles(levels=(0.1, 0.5, 0.9), n_rounds=5),
    SplineFlow(hidden=(8,), n_epochs=4, levels=9),
    BayesianFM(n_iter=12, rank=2, levels=9),
    PenalisedQuantiles(levels=(0.1, 0.5, 0.9), tails="clamp"),
]
SINGLE = (Engression, BoostedQuantiles, CatBoostQuantiles)  # their libraries compute or keep labels in single precision
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
seeded = [model for model in MODELS if "random_state" in model.get_params()]
each_seeded = pytest.mark.parametrize("model", seeded, ids=lambda model: type(model).__name__)

RNG = np.random.default_rng(0)
STORES = RNG.choice(["a", "b", "c"], 150)
FRAME = pd.DataFrame({"store": STORES, "price": RNG.uniform(1, 2, 150)}, index=[f"row {i}" for i in range(150)])
SALES = FRAME["store"].map({"a": 10.0, "b": 20.0, "c": 30.0}).to_numpy() + FRAME["price"].to_numpy() ** 2
SALES = SALES + RNG.gamma(2.0, size=150)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Networks learn little in these tests."""
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 4)


@pytest.mark.parametrize(
    ("model", "check"),
    [  # those of networks are in their own tests; two checks have fewer rows than coefficients, which is refused
        (QRGMM(), check)
        for _, check in estimator_checks_generator(QRGMM())
        if not check.func.__name__.startswith("check_sample_weight_equivalence_on")
    ],
    ids=lambda part: getattr(part, "func", type(part)).__name__,
)
@pytest.mark.filterwarnings("ignore:relative duality gap:RuntimeWarning")
def test_scikit_learn_accepts_the_model(model, check):
    check(model)


def values(model, X=FRAME, y=SALES, new=FRAME[:9]):
    return clone(model).fit(X, y).predict_curve(new).values


@each_model
def test_fit_returns_the_model_and_changes_no_parameter(model):
    model = clone(model)
    before = model.get_params()
    assert model.fit(FRAME, SALES) is model
    assert model.get_params() == before


@each_model
def test_all_predictions_come_from_one_curve_with_one_law_per_row_and_its_name(model):
    model = clone(model).fit(FRAME, SALES)
    curve = model.predict_curve(FRAME[3:10])
    assert isinstance(curve, QuantileCurve) and curve.index.tolist() == [f"row {i}" for i in range(3, 10)]
    assert (np.diff(curve.values) >= 0).all()
    np.testing.assert_array_equal(model.predict(FRAME[3:10]), curve.mean())
    np.testing.assert_array_equal(model.predict_quantiles(FRAME[3:10], [0.3, 0.8]), curve.ppf([0.3, 0.8]))
    assert model.predict_quantiles(FRAME[:2], 0.5).shape == (2, 1) and model.predict(FRAME[:1]).shape == (1,)
    assert model.sample(FRAME[:7], 4, rng=0).shape == (7, 4)


@each_model
def test_a_row_is_predicted_the_same_alone_and_among_others(model):
    if isinstance(model, Engression):
        pytest.skip("every row has noise of its own, so that its law hangs on its place")
    model = clone(model).fit(FRAME, SALES)
    alone, among = model.predict_curve(FRAME[5:6]).values, model.predict_curve(FRAME[:9]).values[5:6]
    np.testing.assert_allclose(alone, among, rtol=1e-9)


@each_model
def test_arrays_are_continuous_columns(model):
    X = np.column_stack([FRAME["price"], RNG.uniform(size=150)])
    assert values(model, X, SALES, X[:4]).shape[0] == 4
    with pytest.raises(ValueError, match="features"):
        clone(model).fit(X, SALES).predict(X[:, :1])


@each_model
def test_the_law_is_the_same_in_any_unit(model):
    plain, rtol = values(model), 1e-3 if isinstance(model, SINGLE) else 1e-6
    for unit, shift in ((1e-8, 0.0), (1e40, 0.0), (1e-200, 0.0), (1.0, 1e8)):
        moved = values(model, y=SALES * unit + shift)
        np.testing.assert_allclose((moved - shift) / unit, plain, rtol=rtol)


@each_model
@pytest.mark.parametrize("constant", [0.0, 7.0, 0.1, -1e-6])
def test_sales_that_never_vary_are_a_point(model, constant):
    model = clone(model).fit(FRAME, np.full(150, constant))
    np.testing.assert_allclose(model.predict_curve(FRAME[:3]).values, constant, rtol=1e-12)
    np.testing.assert_allclose(model.sample(FRAME[:3], 5, rng=0), constant, rtol=1e-12)


@each_model
def test_one_mistyped_sale_does_not_ruin_the_others(model):
    if isinstance(model, QuantileForest):
        pytest.skip("a tree splits by squares: it gives such a sale leaves of its own, next to its neighbours")
    wrong = np.where(np.arange(150) == 7, 1e7, SALES)
    medians = clone(model).fit(FRAME, wrong).predict_quantiles(FRAME[20:60], 0.5)
    assert (np.abs(medians - 20) < 40).all()


@each_model
def test_nothing_is_below_the_lower_bound(model):
    free, bounded = clone(model).fit(FRAME, SALES), clone(model).set_params(lower=20.0).fit(FRAME, SALES)
    law = bounded.predict_curve(FRAME)
    np.testing.assert_array_equal(law.values, free.predict_curve(FRAME).clip(20.0).values)
    assert law.values.min() == 20.0 == bounded.sample(FRAME, 30, rng=0).min()
    np.testing.assert_array_equal(bounded.predict(FRAME), law.mean())
    for lower in (np.nan, -np.inf, "0", [0.0]):
        with pytest.raises(ValueError, match="lower must be None or a finite number, got"):
            clone(model).set_params(lower=lower).fit(FRAME, SALES)


@each_model
def test_draws_are_seeded_and_no_global_state_is_touched(model):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    model = clone(model).fit(FRAME, SALES)
    draws = model.sample(FRAME, 5, rng=2)
    np.testing.assert_array_equal(draws, model.sample(FRAME, 5, np.random.default_rng(2)))
    assert (draws != model.sample(FRAME, 5, rng=3)).any()
    np.testing.assert_array_equal(model.predict_curve(FRAME[:9]).values, values(model))
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and torch.get_num_threads() == before[2]  # noqa: NPY002


@each_seeded
def test_a_fitted_model_predicts_the_same_again_whatever_its_seed(model):
    assert (values(model) != values(clone(model).set_params(random_state=1))).any()
    for state in (None, np.random.default_rng(3)):
        model = clone(model).set_params(random_state=state).fit(FRAME, SALES)
        kept = None if state is None else model.random_state.bit_generator.state
        first, again = (model.predict_curve(FRAME[:9]).values for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert state is None or model.random_state.bit_generator.state == kept
    same = (values(clone(model).set_params(random_state=np.random.default_rng(3))) for _ in range(2))
    np.testing.assert_array_equal(*same)


@each_model
def test_durations_mean_the_same_in_any_unit_and_dates_are_refused(model):
    frame = pd.DataFrame({"age": pd.to_timedelta(RNG.integers(1, 90, 150), "D")})
    model = clone(model).fit(frame, SALES)
    for unit in ("s", "ms", "ns"):
        stored = frame.astype(f"timedelta64[{unit}]")
        np.testing.assert_array_equal(model.predict(stored[:5]), model.predict(frame[:5]))
    with pytest.raises(ValueError, match="hold dates"):
        clone(model).fit(pd.Timestamp("2020-01-01") + frame, SALES)
    with pytest.raises(ValueError, match="y must be numbers, got durations"):
        clone(model).fit(FRAME, frame["age"])


@each_model
def test_levels_never_seen_are_refused_or_others(model):
    with pytest.raises(ValueError, match="column 'store' of X has levels never seen in fit"):
        clone(model).fit(FRAME, SALES).predict(FRAME[:3].assign(store="z"))
    tolerant = clone(model).set_params(encoder=FieldEncoder(unseen="other")).fit(FRAME, SALES)
    with pytest.warns(UserWarning, match="treated as 'other'"):
        assert np.isfinite(tolerant.predict(FRAME[:3].assign(store="z"))).all()


@each_model
def test_bad_input_is_refused(model):
    for X, y, message in (
        (FRAME.assign(price=np.nan), SALES, "column 'price' of X has 150 missing values"),
        (FRAME, np.full(150, np.nan), "y"),
        (FRAME, SALES[:-1], "y must have|inconsistent"),
        (FRAME[:0], SALES[:0], "at least|0 sample"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(model).fit(X, y)
    model = clone(model)
    for predict in (model.predict, model.predict_curve, lambda X: model.sample(X, 1)):
        with pytest.raises(NotFittedError):
            predict(FRAME)


@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_a_saved_model_predicts_the_same_to_the_last_bit(model, tmp_path):
    model = clone(model).set_params(lower=15.0).fit(FRAME, SALES)
    model.save(tmp_path / "model.safetensors")
    loaded = type(model).load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_curve(FRAME).values, model.predict_curve(FRAME).values)


@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_pipelines_and_grid_searches_work(model):
    alone = clone(model).fit(FRAME, SALES)
    pipeline = make_pipeline(FieldEncoder(), clone(model)).fit(FRAME, SALES)
    if isinstance(model, QRGMM):  # to a network, a category is one field, its indicators are several
        np.testing.assert_allclose(pipeline.predict(FRAME), alone.predict(FRAME), rtol=1e-6)
    assert pipeline.score(FRAME, SALES) > 0
    search = GridSearchCV(clone(model), {"levels": [3, 10, [0.1, 0.5, 0.9]]}, cv=3).fit(FRAME, SALES)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    nested = GridSearchCV(
        make_pipeline(FieldEncoder(), clone(model)), {f"{type(model).__name__.lower()}__levels": [3, 10]}, cv=3
    )
    assert np.isfinite(nested.fit(FRAME, SALES).predict(FRAME)).all()


def test_folds_may_lack_a_level_that_is_known_ahead():
    frame = FRAME.assign(store=np.where(np.arange(150) == 4, "rare", FRAME["store"]))
    encoder = FieldEncoder(categories={"store": ["a", "b", "c", "rare"]})
    search = GridSearchCV(QRGMM(encoder=encoder), {"levels": [3, 10]}, cv=3).fit(frame, SALES)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
