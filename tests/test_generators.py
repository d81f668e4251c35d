"""The generators: exact samplers against Gaussian laws, what is learned, what is seeded, and what is kept."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from qrgmm.models.generators import CWGAN_SETTINGS, ConditionalWGAN
from qrgmm.models.paths import DIFFUSION_SETTINGS, FLOW_SETTINGS, SIGNAL, ConditionalDiffusion, RectifiedFlow

RNG = np.random.default_rng(0)
X = RNG.uniform(1, 2, size=(300, 2))
Y = 30 + 10 * X[:, 0] + X[:, 1] * RNG.normal(size=300)
FRAME = pd.DataFrame({"store": RNG.choice(["a", "b", "c"], 300), "price": X[:, 0]})
SALES = (FRAME["store"].map({"a": 0.0, "b": 30.0, "c": 60.0}) + 2 * FRAME["price"]).to_numpy() + RNG.random(300)

QUICK = [
    ConditionalWGAN(hidden=(8,), n_epochs=3, check_every=1, n_draws=20),
    RectifiedFlow(hidden=(8,), n_epochs=2, check_every=1, n_draws=20),
    ConditionalDiffusion(hidden=(8,), n_epochs=2, check_every=1, n_draws=20, eta=0.5),
]
each_model = pytest.mark.parametrize("model", QUICK, ids=lambda model: type(model).__name__)
NORMAL_SCORES = torch.as_tensor(stats.norm.ppf((np.arange(99) + 0.5) / 99))[None, :, None]


# A few updates teach nothing that a score could show; the law that is learned below says more.
SKIPPED = {"check_regressors_train"}


@pytest.mark.parametrize(
    ("model", "check"),
    [
        (model, check)
        for model in QUICK
        for _, check in estimator_checks_generator(model)
        if check.func.__name__ not in SKIPPED
    ],
    ids=lambda part: getattr(part, "func", type(part)).__name__,
)
def test_scikit_learn_accepts_the_model(model, check):
    check(model)


@pytest.mark.parametrize("solver", ["heun", "euler"])
def test_the_flow_of_a_normal_law_ends_in_its_quantiles(solver):
    mean, sd = 2.0, 0.5

    def velocity(context, point, time):  # E[Y - Z | tY + (1-t)Z = point]
        t = float(time)
        return (mean + (t * sd**2 - (1 - t)) / (t**2 * sd**2 + (1 - t) ** 2) * (point - t * mean))[..., 0]

    draws = RectifiedFlow(n_steps=200, solver=solver)._transform(velocity, None, NORMAL_SCORES)
    tolerance = {"heun": 1e-4, "euler": 0.01}[solver]
    torch.testing.assert_close(draws, mean + sd * NORMAL_SCORES[..., 0], atol=tolerance, rtol=0)


def optimal_prediction(target, mean, sd):
    def predict(context, point, time):  # E[Z | sqrt(a) Y + sqrt(1-a) Z = point] for a normal Y, and the velocity
        a = SIGNAL[round(1000 * float(time))]
        gap = (point - a**0.5 * mean) / (a * sd**2 + 1 - a)
        noise, sales = (1 - a) ** 0.5 * gap, mean + a**0.5 * sd**2 * gap
        return (noise if target == "noise" else a**0.5 * noise - (1 - a) ** 0.5 * sales)[..., 0]

    return predict


@pytest.mark.parametrize("target", ["noise", "velocity"])
def test_the_diffusion_of_a_normal_law_ends_in_its_quantiles(target):
    model = ConditionalDiffusion(n_steps=500, target=target)
    draws = model._transform(optimal_prediction(target, 2.0, 0.5), None, NORMAL_SCORES)
    torch.testing.assert_close(draws, 2.0 + 0.5 * NORMAL_SCORES[..., 0], atol=0.02, rtol=0)


def test_fresh_noise_in_each_step_leaves_the_law_the_same():
    noise = torch.randn((1, 20_000, 201), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = ConditionalDiffusion(n_steps=200, eta=1.0)
    draws = model._transform(optimal_prediction("velocity", 2.0, 0.5), None, noise).numpy().ravel()
    assert abs(draws.mean() - 2.0) < 0.02 and abs(draws.std() - 0.5) < 0.015
    # The first noise is forgotten: with eta = 0 this correlation is 1.
    assert abs(np.corrcoef(draws, noise[0, :, 0])[0, 1]) < 0.05


def test_noise_enters_from_almost_none_to_almost_all():
    assert (np.diff(SIGNAL) < 0).all() and SIGNAL[0] > 0.999 and SIGNAL[-1] < 1e-4


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        (ConditionalWGAN(n_epochs=150, patience=None, hidden=(32, 32)), 0.3),
        (RectifiedFlow(n_epochs=60, hidden=(32, 32)), 0.2),
        (ConditionalDiffusion(n_epochs=60, hidden=(32, 32)), 0.2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_location_scale_law_is_learned(model, tolerance):
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(2000, 1))
    y = 100 + 20 * x[:, 0] + 5 * (0.5 + x[:, 0]) * rng.normal(size=2000)
    model.fit(x, y)
    points = np.array([[0.2], [0.8]])
    truth, sd = 100 + 20 * points[:, 0], 5 * (0.5 + points[:, 0])
    law = model.predict_curve(points)
    # In units of the standard deviation; the law that ignores x is off by 2 in the mean.
    assert (np.abs(law.mean() - truth) / sd < tolerance).all()
    assert (np.abs(law.std() / sd - 1) < 1.5 * tolerance).all()
    draws = model.sample(points, 20_000, rng=0)
    np.testing.assert_allclose(draws.mean(axis=1), law.mean(), atol=0.2)
    np.testing.assert_allclose(draws.std(axis=1), law.std(), rtol=0.05)


@each_model
def test_predictions_come_from_one_curve_with_one_law_per_row(model):
    model = clone(model).fit(X, Y)
    curve = model.predict_curve(X[:7])
    assert curve.values.shape == (7, 20)
    np.testing.assert_array_equal(model.predict(X[:7]), curve.mean())
    np.testing.assert_array_equal(model.predict_quantiles(X[:7], [0.3, 0.8]), curve.ppf([0.3, 0.8]))
    np.testing.assert_allclose(model.predict_curve(X[3:4]).values[0], curve.values[3], rtol=1e-5)


@each_model
def test_blocks_do_not_change_the_draws(model, monkeypatch):
    model = clone(model).fit(X, Y)
    curve = model.predict_curve(X[:9])
    monkeypatch.setattr("qrgmm.models.generators.BLOCK", 7)
    np.testing.assert_allclose(model.predict_curve(X[:9]).values, curve.values, rtol=1e-5)
    assert np.isfinite(model.sample(X[:9], 50, rng=0)).all()


@each_model
def test_fits_and_draws_are_seeded_and_touch_no_global_state(model):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    first, second, other = (clone(model).set_params(random_state=seed).fit(X, Y) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.predict_curve(X).values, second.predict_curve(X).values)
    assert (first.predict(X) != other.predict(X)).any()
    draws = first.sample(X[:3], 5, rng=2)
    np.testing.assert_array_equal(draws, second.sample(X[:3], 5, np.random.default_rng(2)))
    assert len(np.unique(draws)) == 15 and (draws != first.sample(X[:3], 5, rng=3)).any()
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and torch.get_num_threads() == before[2]  # noqa: NPY002


@each_model
def test_data_frames_with_strings_are_encoded_by_the_model(model):
    model = clone(model).fit(FRAME, SALES)
    assert list(model.encoder_.categories_) == ["store"]
    reordered = FRAME[["price", "store"]]
    np.testing.assert_array_equal(model.predict(reordered), model.predict(FRAME))
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict(FRAME), model.predict(FRAME))
    with pytest.raises(ValueError, match="never seen"):
        model.predict(FRAME.assign(store="z"))


@each_model
def test_the_weights_with_the_best_score_on_held_out_rows_are_kept(model):
    model = clone(model).set_params(n_epochs=6, learning_rate=0.05, n_draws=64, validation_share=0.2).fit(X, Y)
    rng = np.random.default_rng(0)
    rng.integers(2**63)
    held_out = rng.permutation(300)[:60]
    score = model.predict_curve(X[held_out]).crps(Y[held_out]).mean()
    assert len(model.history_) == 6
    assert score == pytest.approx(model.history_["heldout_crps"].min(), rel=1e-5)


@each_model
def test_training_stops_when_the_score_has_not_improved_for_long(model):
    hopeless = clone(model).set_params(n_epochs=50, patience=2, learning_rate=0.0, averaging=0.0)
    history = hopeless.fit(X, Y).history_
    best = history["heldout_crps"].idxmin()
    assert len(history) == best + 3 < 50


@each_model
def test_without_held_out_rows_the_last_weights_are_kept(model):
    model = clone(model).set_params(validation_share=0.0).fit(X, Y)
    assert model.history_.empty and np.isfinite(model.predict(X)).all()


def test_mini_batches_are_shared_between_critic_and_generator():
    # 300 rows in batches of 100: 3 mini-batches in each of 10 epochs, one in 5 for the generator.
    model = ConditionalWGAN(hidden=(4,), n_epochs=10, batch_size=100, critic_steps=4, validation_share=0.0).fit(X, Y)
    assert model.n_updates_ == 6
    assert RectifiedFlow(hidden=(4,), n_epochs=2, batch_size=100, validation_share=0.0).fit(X, Y).n_updates_ == 6


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(ConditionalWGAN, CWGAN_SETTINGS), (RectifiedFlow, FLOW_SETTINGS), (ConditionalDiffusion, DIFFUSION_SETTINGS)],
)
def test_named_settings_are_arguments_of_the_models(kind, settings):
    assert {"paper", "tuned"} <= set(settings)
    for options in settings.values():
        model = kind(**options | {"n_epochs": 1, "batch_size": 300, "n_draws": 10}).fit(X, Y)
        assert np.isfinite(model.predict(X[:2])).all()


@each_model
@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_no_rows_is_refused(model, share):
    with pytest.raises(ValueError, match="validation_share must be at least 0 and below 1, got"):
        clone(model).set_params(validation_share=share).fit(X, Y)


@each_model
@pytest.mark.parametrize("n_draws", [0, 2.5])
def test_a_number_of_draws_that_is_none_is_refused(model, n_draws):
    with pytest.raises(ValueError, match=f"n_draws must be a whole number of at least 1, got {n_draws}"):
        clone(model).set_params(validation_share=0.0, n_epochs=1).fit(X, Y).sample(X[:2], n_draws)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ConditionalWGAN(penalty="none"), "penalty must be 'one-sided' or 'two-sided', got 'none'"),
        (RectifiedFlow(loss="l3"), "loss must be 'l1' or 'l2', got 'l3'"),
        (ConditionalDiffusion(loss="l3"), "loss must be 'l1' or 'l2', got 'l3'"),
        (RectifiedFlow(solver="rk4"), "solver must be 'heun' or 'euler', got 'rk4'"),
        (ConditionalDiffusion(target="x"), "target must be 'velocity' or 'noise', got 'x'"),
        (ConditionalDiffusion(eta=2), r"eta must be in \[0, 1\], got 2"),
    ],
)
def test_an_unknown_option_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
