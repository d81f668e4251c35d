"""The network's derivative, the average of weights, and which weights the loop keeps, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qrgmm.models.training import Network, Trainer, one_thread, train

OPTIONS = SimpleNamespace(n_epochs=6, batch_size=4, check_every=1, patience=None, progress=False)
DRAWS, ONES = torch.as_tensor(np.random.default_rng(0).normal(size=(5, 7))), torch.ones(1, 1, dtype=torch.float64)


def small_network(film=True):
    return Network(3, 1, (8, 8), film, torch.Generator().manual_seed(0))


def scripted(scores, options, n_rows=10):
    """Train one weight that counts updates, with the scores of a script; return trainer, history and batch sizes."""
    network = torch.nn.Linear(1, 1, bias=False)
    trainer, batches, scores = Trainer(network, [], 0.0), [], iter(scores)

    def step(rows):
        batches.append(len(rows))
        with torch.no_grad():
            network.weight.fill_(len(batches))
        trainer.n_updates += 1
        return torch.tensor(float(len(batches)))

    history = train(trainer, step, lambda _: (next(scores), 0.5), n_rows, options, torch.Generator().manual_seed(0))
    return network.weight.item(), history, batches


@pytest.mark.parametrize("film", [True, False])
def test_the_slope_that_is_carried_along_is_the_derivative(film):
    network = small_network(film)
    context, y = network.context(DRAWS[:, :3]), DRAWS[:, 3:, None].clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(network(context, y).sum(), y)
    torch.testing.assert_close(network.slope(context, y), by_autograd[..., 0])


def test_without_modulation_covariates_only_shift_the_first_layer():
    shift, scale = small_network(film=False).context(ONES.expand(5, 3))
    assert shift.shape == (5, 1, 8) and scale == 1.0


def test_the_average_of_weights_is_the_plain_mean_first_and_then_a_running_one():
    network = small_network()
    trainer, weights = Trainer(network, [], 0.1, averaging=0.5), []
    for _ in range(4):
        trainer.update(network(network.context(ONES.expand(2, 3)), ONES[None]).sum())
        weights.append(network.inner.weight.detach().clone())
    expected = ((weights[0] + weights[1]) / 2 + weights[2]) / 2
    torch.testing.assert_close(trainer.averaged.inner.weight, (expected + weights[3]) / 2)
    assert trainer.n_updates == 4


def test_decay_acts_on_the_named_weights_alone_and_the_rate_falls_every_thousand_updates():
    network = small_network()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    trainer = Trainer(network, [network.covariates.weight], 0.1, weight_decay=0.5, lr_decay=0.9)
    trainer.n_updates = 999
    trainer.update(sum((weight * 0).sum() for weight in network.parameters()))
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight, before[name] * (0.95 if name == "covariates.weight" else 1.0))
    assert [group["lr"] for group in trainer.optimiser.param_groups] == pytest.approx([0.09, 0.09])


def test_the_rate_does_not_fall_before_a_thousand_updates():
    network = small_network()
    trainer = Trainer(network, [], 0.1, lr_decay=0.9)
    trainer.n_updates = 899
    trainer.update(sum((weight * 0).sum() for weight in network.parameters()))
    assert trainer.optimiser.param_groups[1]["lr"] == 0.1


def test_a_score_that_is_no_number_is_no_better_one():
    weight, history, _ = scripted([np.nan, 4, np.nan, 6, 7, 8], OPTIONS)
    assert weight == 6 and len(history) == 6


def test_a_network_that_diverges_says_so():
    network = torch.nn.Linear(1, 1, bias=False)

    def step(rows):
        with torch.no_grad():
            network.weight.fill_(np.nan)

    with pytest.raises(ValueError, match="training diverged in epoch 1: weights became NaN or infinite"):
        train(Trainer(network, [], 0.0), step, None, 10, OPTIONS, torch.Generator())


def test_the_weights_with_the_best_score_are_kept():
    weight, history, batches = scripted([5, 4, 3, 6, 7, 8], OPTIONS)
    assert batches == [4, 4, 2] * 6  # every row once an epoch
    assert weight == 9 and history["heldout_crps"].tolist() == [5, 4, 3, 6, 7, 8]
    assert history["n_updates"].tolist() == [3, 6, 9, 12, 15, 18]
    assert history["loss"].tolist() == [2, 5, 8, 11, 14, 17]  # means since the last score


def test_training_stops_after_so_many_scores_without_a_better_one():
    options = SimpleNamespace(**vars(OPTIONS) | {"patience": 2})
    weight, history, _ = scripted([5, 4, 4, 4.5], options)
    assert weight == 6 and history["epoch"].tolist() == [1, 2, 3, 4]


def test_scores_are_taken_every_few_epochs_and_at_the_end():
    options = SimpleNamespace(**vars(OPTIONS) | {"check_every": 4})
    _, history, _ = scripted([2, 1], options)
    assert history["epoch"].tolist() == [4, 6]


def test_without_a_score_the_last_weights_are_kept():
    trainer = Trainer(torch.nn.Linear(1, 1), [], 0.1)
    history = train(trainer, lambda rows: None, None, 5, OPTIONS, torch.Generator())
    assert history.empty


def test_the_number_of_threads_is_put_back_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == before


def test_initial_weights_have_torchs_usual_range_and_their_own_seed():
    state = torch.get_rng_state()
    weight = Network(100, 1, (50,), False, torch.Generator().manual_seed(1)).covariates.weight
    assert weight.abs().max() <= 0.1 and weight.std().item() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    torch.testing.assert_close(torch.get_rng_state(), state)
