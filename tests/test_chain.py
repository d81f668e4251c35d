"""Several outputs: the chain reproduces a joint law, and every output of it is a QRGMM."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qrgmm.models import metamodel
from qrgmm.models.metamodel import QRGMM, QRGMMChain

LEVELS = [0.03, 0.25, 0.5, 0.75, 0.97]


def draw_outputs(x, rng):
    """Three outputs, jointly normal given x; the second has the correlation 0.6 with the first."""
    e = rng.standard_normal((len(x), 3))
    first = 1 + 2 * x[:, 0] + e[:, 0]
    second = 3 - x[:, 0] + 0.6 * e[:, 0] + 0.8 * e[:, 1]
    return np.column_stack([first, second, first + second + 0.5 * e[:, 2]])


RNG = np.random.default_rng(0)
X = RNG.uniform(size=(4000, 1))
Y = draw_outputs(X, RNG)
SMALL, OUTPUTS = X[:300], Y[:300]
CHAIN = QRGMMChain(levels=LEVELS).fit(SMALL, OUTPUTS)


def test_the_joint_law_of_a_linear_gaussian_chain_is_reproduced():
    x = 0.5
    draws = QRGMMChain(levels=60).fit(X, Y).sample([[x]], 40_000, rng=1)[0]
    covariance = np.array([[1.0, 0.6, 1.6], [0.6, 1.0, 1.6], [1.6, 1.6, 3.45]])
    # Estimation from 4,000 rows and flat tails beyond the levels 1/60 and 59/60 account for the tolerances.
    np.testing.assert_allclose(draws.mean(axis=0), [1 + 2 * x, 3 - x, 4 + x], atol=0.1)
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(np.diag(covariance)), rtol=0.06)
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(np.corrcoef(draws.T), correlation, atol=0.03)


def test_outputs_that_are_functions_of_earlier_ones_stay_so():
    outputs = np.column_stack([OUTPUTS[:, 0], 1 - 2 * OUTPUTS[:, 0] + SMALL[:, 0]])
    draws = QRGMMChain(levels=8).fit(SMALL, outputs).sample(SMALL, 3, rng=2)
    np.testing.assert_allclose(draws[..., 1], 1 - 2 * draws[..., 0] + SMALL, atol=1e-8)


@pytest.mark.parametrize("outputs", [OUTPUTS[:, :1], OUTPUTS[:, 0]])
def test_one_output_is_qrgmm(outputs):
    chain = QRGMMChain(levels=LEVELS).fit(SMALL, outputs)
    model = QRGMM(levels=LEVELS).fit(SMALL, OUTPUTS[:, 0])
    np.testing.assert_array_equal(chain.sample(SMALL, 5, rng=3)[..., 0], model.sample(SMALL, 5, rng=3))


def test_every_output_is_fitted_to_the_covariates_and_the_outputs_before_it():
    for d, model in enumerate(CHAIN.models_):
        alone = QRGMM(levels=LEVELS).fit(np.column_stack([SMALL, OUTPUTS[:, :d]]), OUTPUTS[:, d])
        np.testing.assert_array_equal(model.coef_, alone.coef_)


@pytest.mark.parametrize("levels", [LEVELS, [0.4]])
def test_later_outputs_interpolate_between_the_two_levels_next_to_u(levels):
    chain = QRGMMChain(levels=levels).fit(SMALL, OUTPUTS)
    draws = chain.sample(SMALL, 4, rng=4)
    rng = np.random.default_rng(4)
    rng.random(draws[..., 0].size)
    u = rng.random(draws[..., 1].size)
    inputs = np.column_stack([np.repeat(SMALL, 4, axis=0), draws[..., 0].ravel()])
    raw = chain.models_[1].intercept_ + inputs @ chain.models_[1].coef_.T
    expected = [np.interp(level, chain.levels_, values) for level, values in zip(u, raw)]
    np.testing.assert_allclose(draws[..., 1].ravel(), expected, rtol=1e-12)


def test_a_basis_is_applied_to_the_inputs_of_every_output():
    def basis(inputs):
        return np.column_stack([inputs, inputs[:, -1] ** 2])

    outputs = np.column_stack([OUTPUTS[:, 0], OUTPUTS[:, 0] ** 2])
    chain = QRGMMChain(levels=5, basis=basis).fit(SMALL, outputs)
    assert [model.coef_.shape[1] for model in chain.models_] == [2, 3]
    draws = chain.sample(SMALL, 2, rng=5)
    np.testing.assert_allclose(draws[..., 1], draws[..., 0] ** 2, atol=1e-6)


def test_draws_have_their_shape_and_their_seed(monkeypatch):
    draws = CHAIN.sample(SMALL, 7, rng=6)
    assert draws.shape == (300, 7, 3) and CHAIN.n_outputs_ == 3
    assert CHAIN.sample(SMALL[:1], 1).shape == (1, 1, 3)
    np.testing.assert_array_equal(draws, CHAIN.sample(SMALL, 7, rng=np.random.default_rng(6)))
    assert (draws != CHAIN.sample(SMALL, 7, rng=7)).any()
    monkeypatch.setattr(metamodel, "BLOCK", 100)
    np.testing.assert_array_equal(draws, CHAIN.sample(SMALL, 7, rng=6))


def test_the_chain_is_a_scikit_learn_estimator():
    chain = clone(QRGMMChain(levels=4))
    assert chain.get_params() == {"levels": 4, "basis": None} and not hasattr(chain, "models_")
    frame = pd.DataFrame(SMALL, columns=["x"])
    np.testing.assert_array_equal(chain.fit(frame, OUTPUTS).levels_, [0.25, 0.5, 0.75])
    with pytest.raises(ValueError, match="feature names should match"):
        chain.sample(frame.rename(columns={"x": "z"}), 1)
    with pytest.raises(NotFittedError):
        QRGMMChain().sample(SMALL, 1)


@pytest.mark.parametrize(
    ("options", "X", "Y", "message"),
    [
        ({}, SMALL, OUTPUTS[:-1], "inconsistent numbers of samples"),
        ({}, np.where(SMALL > 0.9, np.nan, SMALL), OUTPUTS, "Input X contains NaN"),
        ({}, SMALL, np.where(OUTPUTS > 4, np.inf, OUTPUTS), "contains infinity"),
        ({}, pd.DataFrame({"store": ["a"] * 300}), OUTPUTS, "could not convert string to float"),
        ({}, SMALL[:2], OUTPUTS[:2], "X needs at least 3 rows"),
        ({"levels": [0.5, 0.2]}, SMALL, OUTPUTS, "levels must be strictly increasing"),
    ],
)
def test_bad_fits_are_refused(options, X, Y, message):
    with pytest.raises(ValueError, match=message):
        QRGMMChain(**options).fit(X, Y)


@pytest.mark.parametrize(
    ("X", "n_draws", "message"),
    [([[1.0, 2.0]], 1, "2 features, but QRGMMChain is expecting 1"), ([[1.0]], 0, "n_draws must be a whole number")],
)
def test_bad_draws_are_refused(X, n_draws, message):
    with pytest.raises(ValueError, match=message):
        CHAIN.sample(X, n_draws)
