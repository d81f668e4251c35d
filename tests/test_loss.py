"""The pinball loss: its minimiser, its agreement with scikit-learn, NumPy against torch."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from qrgmm.loss import pinball_loss


@pytest.mark.parametrize("tau", [0.05, 0.33, 0.5, 0.99])
def test_sample_quantile_minimises_the_mean_loss(tau):
    y = np.random.default_rng(0).gamma(2.0, size=101)
    loss = pinball_loss(y[:, None], y, tau).mean(axis=0)  # a minimiser is always among the observations
    assert y[loss.argmin()] == np.quantile(y, tau, method="inverted_cdf")


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.8])
def test_mean_loss_equals_that_of_scikit_learn(tau):
    y, quantile = np.random.default_rng(1).normal(size=(2, 500))
    assert pinball_loss(y, quantile, tau).mean() == pytest.approx(mean_pinball_loss(y, quantile, alpha=tau), rel=1e-12)


def test_each_side_has_its_own_price():
    np.testing.assert_allclose(pinball_loss(np.array([3.0, -3.0, 0.0]), 0.0, 0.9), [2.7, 0.3, 0.0], rtol=1e-15)


def test_one_column_per_level_broadcasts():
    y, levels = np.arange(4.0)[:, None], np.array([0.2, 0.5, 0.9])
    loss = pinball_loss(y, np.ones((4, 3)), levels)
    assert loss.shape == (4, 3)
    np.testing.assert_array_equal(loss[:, 1], pinball_loss(y[:, 0], 1.0, 0.5))


def test_torch_and_numpy_agree_to_the_last_bit():
    y, quantile = np.random.default_rng(2).normal(size=(2, 50, 3))
    levels = np.array([0.1, 0.5, 0.7])
    loss = pinball_loss(*map(torch.from_numpy, (y, quantile, levels)))
    assert isinstance(loss, torch.Tensor)
    np.testing.assert_array_equal(loss.numpy(), pinball_loss(y, quantile, levels))


def test_gradients_are_those_of_the_equation():
    y = torch.tensor([2.0, -1.0, 5.0], dtype=torch.float64)
    quantile = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    pinball_loss(y, quantile, 0.3).sum().backward()
    np.testing.assert_allclose(quantile.grad.numpy(), [-0.3, 0.7, -0.3], rtol=1e-15)
