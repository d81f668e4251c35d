"""QRGMM-dagger: its identities and gradients, what each option does, seeds, files, replications, and refusals."""

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import even_levels, uneven_levels
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from qrgmm.curve import QuantileCurve, quantile_levels
from qrgmm.loss import pinball_loss
from qrgmm.models import deepfm, deepfm_network
from qrgmm.models.deepfm import HEADS, PARTS, DeepFMQRGMM, calibrated_levels, stacking_weights
from qrgmm.models.deepfm_network import (
    FLEXIBLE,
    STIFF,
    field_basis,
    network_outputs,
    pair_sums,
    predict_members,
    start_parameters,
    to_quantiles,
)
from qrgmm.models.encoding import FieldEncoder
from qrgmm.simulators.fm_location_scale import FMLocationScale

RNG = np.random.default_rng(0)
N = 90
FRAME = pd.DataFrame(
    {"store": RNG.choice(["a", "b", "c"], N), "price": RNG.uniform(1, 2, N), "promoted": RNG.random(N) < 0.3}
)
SALES = FRAME["store"].map({"a": 20.0, "b": 30.0, "c": 40.0}).to_numpy() + 2 * FRAME["price"].to_numpy() + RNG.random(N)
MODEL = DeepFMQRGMM(levels=5, n_members=2, random_state=1)
each_head = pytest.mark.parametrize("head", HEADS)
each_parts = pytest.mark.parametrize("parts", PARTS)
numbers = st.floats(-20, 20, width=32)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """A few large steps for each network: what is tested here does not depend on how well it learns."""
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 2)
    for name in ("FLEXIBLE", "STIFF"):
        monkeypatch.setattr(deepfm, name, replace(getattr(deepfm_network, name), n_epochs=4))


def small_network(network, n_levels=5, dtype=torch.float32):
    """Parameters, codes of 3 + 2 categories and values of two continuous fields for two members."""
    rng = np.random.default_rng(0)
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    marginal = np.sort(rng.normal(size=(2, n_levels)))
    parameters = start_parameters(network, 5, (2, 2), marginal, generators)
    codes = torch.tensor(np.stack([rng.integers(0, 3, (2, 7)), rng.integers(3, 5, (2, 7))], axis=-1))
    x = rng.normal(size=(14, 2))
    knots = np.quantile(x, np.linspace(0, 1, network.n_knots), axis=0)
    basis = torch.tensor(field_basis(x, knots).reshape(2, 7, 2, -1))
    return {name: value.to(dtype) for name, value in parameters.items()}, codes, basis.to(dtype)


def start(model, X, y, parts="fm+deep"):
    """The parameters of the flexible kind before the first step, and the encoder."""
    _, _, sales = model._prepare(X, y)
    generators = [torch.Generator().manual_seed(seed) for seed in range(model.n_members)]
    return model._start(replace(FLEXIBLE, parts=parts), sales, generators), sales


# The network


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_fast_sum_over_pairs_is_the_double_sum(vectors):
    v = np.array(vectors)
    expected = sum((v[i] * v[j] for i, j in combinations(range(len(v)), 2)), start=np.zeros(3))
    np.testing.assert_allclose(pair_sums(v), expected, rtol=0, atol=1e-13 * max(1, (np.abs(v).sum(axis=0) ** 2).max()))


@pytest.mark.parametrize("network", [FLEXIBLE, STIFF], ids=["curved", "straight"])
def test_the_network_is_a_factorization_machine_of_one_hot_fields_beside_a_deep_part(network):
    network = replace(network, parts="fm+deep", hidden=(3, 4))
    parameters, codes, basis = small_network(network, dtype=torch.float64)
    outputs = network_outputs(parameters, network, codes, basis)
    for member in range(2):
        own = {name: value[member].numpy() for name, value in parameters.items()}
        for row in range(7):
            # One-hot categories and the basis of every continuous field, each with its vector.
            x = np.concatenate([np.eye(5)[codes[member, row]].sum(axis=0), basis[member, row].flatten()])
            vectors = np.concatenate([own["embedding"], own["curve"].reshape(-1, 6)])
            field = np.repeat([0, 1, 2, 3], [3, 2, 1 + network.n_knots, 1 + network.n_knots])
            first = x @ np.concatenate([own["first"], own["first_curve"]])
            second = np.zeros(6)
            for i, j in combinations(range(len(x)), 2):
                second += vectors[i] * vectors[j] * x[i] * x[j] * (field[i] != field[j])
            hidden = np.concatenate([(x[field == k, None] * vectors[field == k]).sum(axis=0) for k in range(4)])
            for i in range(2):
                hidden = np.maximum(hidden @ own[f"deep_{i}"] + own[f"bias_{i}"][0], 0)
            expected = np.concatenate([first, second, hidden]) @ own["output"] + own["bias"][0]
            np.testing.assert_allclose(outputs[member, row], expected, rtol=1e-10, atol=1e-12)


@each_head
@each_parts
def test_gradients_are_finite_differences_of_the_loss(head, parts):
    network = replace(FLEXIBLE, head=head, parts=parts, hidden=(3, 3), n_knots=3)
    parameters, codes, basis = small_network(network, dtype=torch.float64)
    noise = torch.Generator().manual_seed(7)  # biases of zero would leave units without input at their kink
    parameters = {
        name: value + 0.3 * torch.randn(value.shape, generator=noise, dtype=torch.float64)
        for name, value in parameters.items()
    }
    y = torch.linspace(-2, 2, 14, dtype=torch.float64).reshape(2, 7, 1)
    levels = torch.arange(1, 6) / 6

    def loss(parameters):
        quantiles = to_quantiles(network_outputs(parameters, network, codes, basis), parameters.get("steps"), head)
        return pinball_loss(y, quantiles, levels).sum(), quantiles

    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    _, quantiles = loss(leaves)
    quantiles.backward((y < quantiles).double() - levels)  # as in training
    rng = np.random.default_rng(1)
    for name, leaf in leaves.items():
        for _ in range(3):
            position = tuple(rng.integers(leaf.shape))
            near = [{**parameters, name: parameters[name].clone()} for _ in range(2)]
            for step, moved in zip((1e-6, -1e-6), near):
                moved[name][position] += step
            slope = (loss(near[0])[0] - loss(near[1])[0]) / 2e-6
            gradient = 0.0 if leaf.grad is None else leaf.grad[position].item()
            assert gradient == pytest.approx(slope.item(), rel=1e-5, abs=1e-7), (name, position)


def test_training_goes_down_that_gradient(monkeypatch):
    """One step of AdamW from its first gradient is the rate times the sign, after decay."""
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 1)
    network = replace(FLEXIBLE, n_epochs=1, average=False, hidden=(3, 3))
    parameters, codes, basis = small_network(network)
    y, levels = torch.linspace(-2, 2, 14).reshape(2, 7), torch.arange(1, 6) / 6
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    quantiles = to_quantiles(network_outputs(leaves, network, codes, basis), leaves["steps"], network.head)
    pinball_loss(y[..., None], quantiles, levels).mean(dim=(1, 2)).sum().backward()
    rows, generators = torch.arange(14).reshape(2, 7), [torch.Generator() for _ in range(2)]
    data = codes.flatten(0, 1), basis.flatten(0, 1), y.flatten(), rows, levels
    trained = deepfm_network.train(network, parameters, *data, generators)
    for name, value in parameters.items():
        decayed = value * (1 - network.rate * network.decay(name))
        clear = leaves[name].grad.abs() > 1e-5  # the 1e-8 of Adam is nothing beside it
        torch.testing.assert_close(
            trained[name][clear], (decayed - network.rate * leaves[name].grad.sign())[clear], atol=1e-4, rtol=0
        )


@given(st.integers(1, 8).flatmap(lambda n: st.lists(numbers, min_size=n, max_size=n)))
def test_increments_never_cross(outputs):
    quantiles = to_quantiles(torch.tensor([[outputs]]), None, "increments")[0, 0]
    assert (quantiles.diff() >= 0).all() and quantiles[len(outputs) // 2] == outputs[len(outputs) // 2]


@given(numbers, numbers, st.integers(1, 8).flatmap(lambda n: st.lists(numbers, min_size=n, max_size=n)))
def test_location_and_scale_never_cross(location, scale, steps):
    outputs, steps = torch.tensor([[[location, scale]]]), torch.tensor([[steps]])
    quantiles = to_quantiles(outputs, steps, "location-scale")[0, 0]
    assert (quantiles.diff() >= 0).all() and quantiles[steps.shape[-1] // 2] == location


@each_head
def test_quantiles_start_from_those_of_all_sales(head):
    network = replace(FLEXIBLE, head=head)
    marginal = np.array([[-1.0, 0.0, 0.4, 2.0]])
    parameters = start_parameters(network, 5, (2, 2), marginal, [torch.Generator()])
    outputs = parameters["bias"]
    found = to_quantiles(outputs, parameters.get("steps"), head)[0, 0].numpy()
    if head == "location-scale":  # the scale is 1 and the steps half of those of all sales, around 0
        np.testing.assert_allclose(np.diff(found), np.diff(marginal[0]) / 2, rtol=1e-4)
        assert found[2] == 0
    else:
        np.testing.assert_allclose(found, marginal[0], rtol=1e-5, atol=1e-6)


@given(st.integers(2, 7), st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_hats_share_one_and_stay_constant_beyond_the_knots(n_knots, x):
    knots = np.linspace(-2, 2, n_knots)[:, None]
    x = np.array(x)[:, None]
    basis = field_basis(x, knots)
    np.testing.assert_array_equal(basis[..., 0], x)
    np.testing.assert_allclose(basis[..., 1:].sum(axis=-1), 1, rtol=1e-12)
    # With the values at the knots as coefficients, a line is reproduced between them.
    np.testing.assert_allclose(basis[:, 0, 1:] @ knots[:, 0], x[:, 0].clip(-2, 2), atol=1e-12)


def test_blocks_do_not_change_predictions(monkeypatch):
    parameters, codes, basis = small_network(FLEXIBLE)
    whole = predict_members(FLEXIBLE, parameters, codes, basis)
    monkeypatch.setattr(deepfm_network, "BLOCK", 3)
    torch.testing.assert_close(predict_members(FLEXIBLE, parameters, codes, basis), whole)


# What the model does


# Too few steps to learn in; and columns of a data frame are found by name, so that their order does not matter.
SKIPPED = {"check_regressors_train", "check_dataframe_column_names_consistency"}
CHECKS = [check for _, check in estimator_checks_generator(MODEL)]


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.func.__name__ not in SKIPPED], ids=lambda check: check.func.__name__
)
def test_scikit_learn_accepts_the_model(check):
    check(clone(MODEL))


def test_each_part_learns_from_the_fields(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 10)
    for parts in PARTS:
        assert clone(MODEL).set_params(parts=parts, kinds="flexible").fit(FRAME, SALES).score(FRAME, SALES) > 0.9


@pytest.mark.parametrize("index", [range(N), range(100, 100 + N), np.linspace(1, 0, N), list("ab") * (N // 2)])
def test_neither_the_index_nor_the_order_of_columns_matters(index):
    expected = clone(MODEL).fit(FRAME, SALES).predict(FRAME)
    frame = FRAME.set_axis(index, axis=0)
    model = clone(MODEL).fit(frame, pd.Series(SALES, index[::-1] if isinstance(index, list) else index))
    np.testing.assert_array_equal(model.predict(frame[["promoted", "price", "store"]].assign(new=1)), expected)


def test_the_columns_of_an_array_are_continuous_fields():
    X = FRAME[["price"]].assign(promoted=FRAME["promoted"] * 1.0)
    by_name = clone(MODEL).fit(X, SALES)
    by_place = clone(MODEL).fit(X.to_numpy(), SALES)
    np.testing.assert_array_equal(by_place.predict(X.to_numpy()), by_name.predict(X))
    assert by_place.encoder_.categories_ == {} and by_place.encoder_.continuous_ == ["x0", "x1"]


@pytest.mark.parametrize("columns", [["store"], ["price"], ["store", "promoted"]])
@pytest.mark.parametrize("options", [{"curved": False}, {"parts": "deep"}, {"head": "increments"}])
def test_one_kind_of_field_is_enough(columns, options):
    model = clone(MODEL).set_params(**options).fit(FRAME[columns], SALES)
    assert np.isfinite(model.predict(FRAME[columns])).all()


def test_a_field_of_one_category_changes_nothing_between_rows():
    constant = FRAME.assign(store="a")
    values = clone(MODEL).fit(constant, SALES).predict_curve(constant.assign(price=1.5, promoted=True)).values
    np.testing.assert_allclose(values, np.tile(values[0], (N, 1)), rtol=1e-6)


@each_head
def test_constant_sales_are_predicted_exactly(head):
    for level in (7.0, 0.1, 0.0):
        curve = clone(MODEL).set_params(head=head).fit(FRAME, np.full(N, level)).predict_curve(FRAME[:3])
        np.testing.assert_allclose(curve.values, level, rtol=1e-12)


def test_sales_may_come_in_whole_numbers_and_other_units():
    whole = SALES.round().astype(int)
    model = clone(MODEL).fit(FRAME, whole)
    np.testing.assert_array_equal(model.predict(FRAME), clone(MODEL).fit(FRAME, whole.astype(float)).predict(FRAME))
    # Sales are standardised before training, in 32 bits.
    other = clone(MODEL).fit(FRAME, 1024 * whole + 4096)
    np.testing.assert_allclose(other.predict(FRAME), 1024 * model.predict(FRAME) + 4096, rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"kinds": "stiff"}, {"kinds": "flexible"}])
@pytest.mark.parametrize("n_rows", [2, 3, 7])
def test_as_many_rows_as_members_are_enough(n_rows, options):
    model = clone(MODEL).set_params(levels=None, n_members=n_rows, **options).fit(FRAME[:n_rows], SALES[:n_rows])
    np.testing.assert_array_equal(model.levels_, quantile_levels(n_rows))
    assert np.isfinite(model.predict_curve(FRAME[:n_rows]).values).all()


@pytest.mark.parametrize("levels", [[0.5], [0.1, 0.2, 0.9], np.array([0.7, 0.8]), 2, 7])
@each_head
def test_levels_are_a_number_of_steps_or_a_grid(head, levels):
    model = clone(MODEL).set_params(levels=levels, head=head).fit(FRAME, SALES)
    expected = quantile_levels(N, levels) if np.ndim(levels) == 0 else levels
    np.testing.assert_array_equal(model.levels_, expected)
    assert model.predict_curve(FRAME[:2]).values.shape == (2, len(expected))


def test_unseen_categories_are_refused_or_have_vectors_of_zero():
    new = FRAME.assign(store="z")[:4]
    with pytest.raises(ValueError, match=r"column 'store' of X has levels never seen in fit: \['z'\]"):
        clone(MODEL).fit(FRAME, SALES).predict(new)
    # Order of the fields: store with codes 0 to 3, promoted with codes 4 to 6; 3 and 6 are those never seen.
    model = clone(MODEL).set_params(encoder=FieldEncoder(unseen="other"), kinds="flexible").fit(FRAME, SALES)
    for name in ("embedding", "first"):
        zero = (model.parameters_[0][name] == 0).all(dim=2)
        assert zero.tolist() == [[False, False, False, True, False, False, True]] * 2
    with pytest.warns(UserWarning, match="treated as 'other'"):
        found = model.predict_curve(new).values
    known = clone(model).fit(FRAME, SALES)
    for name in ("embedding", "first"):
        known.parameters_[0][name][:, 0] = 0
    np.testing.assert_array_equal(known.predict_curve(new.assign(store="a")).values, found)


def test_free_quantiles_that_cross_are_sorted_or_refused():
    model = clone(MODEL).set_params(head="free", levels=30, random_state=0).fit(FRAME, SALES)
    far = FRAME.assign(price=30.0)
    assert (np.diff(model.predict_curve(far).values) >= 0).all()
    with pytest.raises(ValueError, match="values must not decrease along a row, but do in"):
        model.set_params(crossing="raise").predict_curve(far)


@pytest.mark.parametrize("head", ["location-scale", "increments"])
def test_the_other_heads_never_cross_however_far(head):
    model = clone(MODEL).set_params(head=head, levels=30, crossing="raise").fit(FRAME, SALES)
    assert (np.diff(model.predict_curve(FRAME.assign(price=30.0)).values) >= 0).all()


def test_the_mean_of_members_and_kinds_is_read_at_the_calibrated_levels():
    model = clone(MODEL).fit(FRAME, SALES)
    codes, x = model._encode(FRAME)
    values = 0
    for weight, network, knots, parameters in zip(model.weights_, model.networks_, model.knots_, model.parameters_):
        for member in range(2):
            own = {name: value[[member]] for name, value in parameters.items()}
            basis = torch.tensor(field_basis(x, knots))[None]
            outputs = network_outputs(own, network, torch.tensor(codes)[None], basis)
            quantiles = to_quantiles(outputs, own["steps"], network.head)[0]
            values = values + weight / 2 * quantiles.numpy()
    curve = QuantileCurve(model.levels_, SALES.mean() + SALES.std() * values)
    expected = curve.ppf(model.recalibrated_levels_)
    np.testing.assert_allclose(model.predict_curve(FRAME).values, expected, rtol=1e-5)


def test_without_options_there_is_one_kind_on_all_rows_at_its_own_levels():
    model = clone(MODEL).set_params(kinds="flexible", recalibrate=False, n_members=1).fit(FRAME, SALES)
    np.testing.assert_array_equal(model.recalibrated_levels_, model.levels_)
    assert model.weights_.tolist() == [1] and len(model.networks_) == len(model.parameters_) == 1


def trained(network):
    """Two members of the small network after training in whole batches."""
    parameters, codes, basis = small_network(network)
    y, rows, levels = torch.linspace(-2, 2, 14), torch.arange(14).reshape(2, 7)[:, :5], torch.arange(1, 6) / 6
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    data = codes.flatten(0, 1), basis.flatten(0, 1), y, rows, levels
    return deepfm_network.train(network, parameters, *data, generators)


def test_weights_are_averaged_over_the_second_half_of_training(monkeypatch):
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 1)  # one step an epoch
    network = replace(FLEXIBLE, n_epochs=3, hidden=(3, 3))
    second, third = (trained(replace(network, average=False, n_epochs=n)) for n in (2, 3))
    averaged = trained(network)
    for name in averaged:
        torch.testing.assert_close(averaged[name], (second[name] + third[name]) / 2)
    assert (second["output"] != third["output"]).any()


def test_members_leave_out_other_rows(monkeypatch):
    seen = []

    def look(network, parameters, codes, basis, y, rows, levels, generators, progress=False):
        seen.append(rows.numpy())
        return parameters

    monkeypatch.setattr(deepfm, "train", look)
    clone(MODEL).set_params(n_members=4).fit(FRAME, SALES)
    for rows in seen:
        assert [len(set(row)) for row in rows] == [68] * 4  # of 90 rows each member leaves out 22
        left_out = np.concatenate([np.setdiff1d(np.arange(N), row) for row in rows])
        assert len(set(left_out)) == 88


@pytest.mark.parametrize("kinds", ["flexible", "stiff"])
def test_ablations_differ_in_what_the_output_layer_reads_and_in_nothing_else(kinds):
    models = {parts: clone(MODEL).set_params(parts=parts, kinds="flexible") for parts in PARTS}
    networks = {parts: model._kinds() for parts, model in models.items()}
    assert all(replace(each, parts="fm") == networks["fm"][0] for (each,) in networks.values())
    alone = clone(MODEL).set_params(kinds=kinds)._kinds()
    assert alone == [dict(zip(("flexible", "stiff"), clone(MODEL)._kinds()))[kinds]]


def test_training_starts_with_products_of_both_signs():
    parameters = start_parameters(FLEXIBLE, 5, (1, 1), np.zeros((1, 3)), [torch.Generator().manual_seed(1)])
    location, scale = parameters["output"][0, 2:8].T
    assert location.tolist() == [1, -1, 1, -1, 0, 0] and scale.tolist() == [0, 0, 0, 0, 1, -1]


@pytest.mark.parametrize("parts", ["fm+deep", "fm"])
def test_sales_and_what_is_left_of_a_stock_are_learned_alike(parts, monkeypatch):
    """Sales turned round at a constant: the products of all pairs change their signs, and the task is no harder."""
    monkeypatch.undo()  # networks as they are
    simulator = FMLocationScale()
    X = simulator.draw_covariates(2600, np.random.default_rng(0))
    y, X_test, scores = simulator.draw(X, np.random.default_rng(1)), X[2000:], []
    for sales in (y, 400 - y):
        model = DeepFMQRGMM(parts=parts, levels=19, n_members=3, encoder=FieldEncoder(unseen="other"))
        with warnings.catch_warnings(action="ignore"):
            scores.append(model.fit(X[:2000], sales[:2000]).predict_curve(X_test).crps(sales[2000:]).mean())
    assert abs(scores[0] - scores[1]) < 0.05 * scores[0]


def test_weights_of_two_kinds_are_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    levels, y = np.arange(1, 10) / 10, rng.normal(size=400)
    laws = [np.sort(rng.normal(shift, sd, (400, 9)), axis=1) for shift, sd in ((0.4, 1.0), (-0.3, 1.5))]
    shares = np.linspace(0, 1, 2001)
    losses = [pinball_loss(y[:, None], w * laws[0] + (1 - w) * laws[1], levels).mean() for w in shares]
    weights = stacking_weights(laws, y, levels)
    assert weights.sum() == 1 and (weights >= 0).all()
    np.testing.assert_allclose(weights[0], shares[np.argmin(losses)], atol=2e-3)
    assert 0.2 < weights[0] < 0.8
    # A kind that is no use gets nothing, two that agree get the same.
    assert stacking_weights([laws[0], laws[0] + 50], y, levels)[1] == 0
    assert stacking_weights([laws[1] - 50, laws[1]], y, levels)[0] == 0
    np.testing.assert_array_equal(stacking_weights([laws[0], laws[0].copy()], y, levels), [0.5, 0.5])


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_weights_of_two_kinds_are_the_best_of_all_corners_whatever_the_rounding(seed, n_levels):
    rng = np.random.default_rng(seed)
    levels, y = np.arange(1, n_levels + 1) / (n_levels + 1), rng.normal(size=12)
    first, second = rng.normal(size=(2, 12, n_levels)).round(1)
    corners = ((y[:, None] - second) / np.where(first == second, np.inf, first - second)).clip(0, 1).ravel()
    losses = [pinball_loss(y[:, None], w * first + (1 - w) * second, levels).mean() for w in corners]
    weight = stacking_weights([first, second], y, levels)[0]
    at_weight = pinball_loss(y[:, None], weight * first + (1 - weight) * second, levels).mean()
    np.testing.assert_allclose(at_weight, min(losses), rtol=1e-12)
    # The weight itself, and not only its loss, is the same to the last digits: that of another processor may be used.
    noise = 1 + rng.uniform(-4e-16, 4e-16, size=(2, 12, n_levels))
    moved = stacking_weights([first * noise[0], second * noise[1]], y, levels)[0]
    np.testing.assert_allclose(moved, weight, atol=1e-9)


@given(even_levels | uneven_levels, st.floats(0.3, 3), st.floats(-1, 1))
def test_calibration_covers_its_share_of_the_rows_left_out(levels, width, shift):
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    curve = QuantileCurve(levels, np.tile(shift + width * np.sort(rng.normal(size=len(levels))), (200, 1)))
    moved = calibrated_levels(curve, y)
    assert (np.diff(moved) >= 0).all() and levels[0] <= moved[0] and moved[-1] <= levels[-1]
    inside = (moved > levels[0]) & (moved < levels[-1])  # the law says nothing beyond its grid
    share = (y[:, None] <= curve.ppf(moved)).mean(axis=0)
    np.testing.assert_allclose(share[inside], levels[inside], atol=1.5 / 200)


def test_a_law_of_another_shape_has_uniform_ranks_after_calibration():
    rng = np.random.default_rng(1)
    levels = np.arange(1, 100) / 100
    curve = QuantileCurve(levels, np.tile(0.5 * np.quantile(rng.normal(size=100_000), levels), (2000, 1)))
    first, second = rng.uniform(-1, 1, (2, 2000)) ** 3  # inside the grid of the law
    calibrated = QuantileCurve(levels, curve.ppf(calibrated_levels(curve, first)))
    before, after = (np.sort(law.cdf(second[:, None])[:, 0]) for law in (curve, calibrated))
    uniform = (np.arange(2000) + 0.5) / 2000
    assert np.abs(before - uniform).max() > 0.1
    # The 1 % level of the distance of two samples of 2000, and half a level of the grid.
    assert np.abs(after - uniform).max() < 1.63 * np.sqrt(2 / 2000) + 0.005


# Seeds, files, replications


def test_fits_are_seeded_and_touch_no_global_state():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    models = [clone(MODEL).set_params(random_state=seed) for seed in (1, np.random.default_rng(1), 2)]
    first, second, other = (model.fit(FRAME, SALES).predict_curve(FRAME).values for model in models)
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and torch.get_num_threads() == before[2]  # noqa: NPY002


FIELDS = {
    "all": (FRAME, None),
    "array": (FRAME[["price"]].to_numpy(), None),
    "categories": (FRAME[["store"]], None),
    "whole numbers": (
        FRAME.assign(year=pd.Series([np.int64(i % 3) for i in range(N)], dtype=object)),
        FieldEncoder(["year", "promoted"], ["price"], "other"),
    ),
    "named by numbers": (FRAME.set_axis([0, 1, 2], axis=1), None),
}


@pytest.mark.parametrize("fields", FIELDS)
@each_head
def test_a_saved_model_predicts_the_same_to_the_last_bit(fields, head, tmp_path):
    X, encoder = FIELDS[fields]
    model = clone(MODEL).set_params(encoder=encoder, head=head, n_members=np.int64(2), tails="exponential")
    model.fit(X, SALES).save(tmp_path / "model.safetensors")
    with open(tmp_path / "model.safetensors", "rb") as file:
        assert file.read(9)[8:] == b"{"  # safetensors: a length and JSON, no pickle
    loaded = DeepFMQRGMM.load(tmp_path / "model.safetensors")
    first, second = model.predict_curve(X), loaded.predict_curve(X)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.levels, second.levels)
    np.testing.assert_array_equal(model.sample(X, 3, rng=0), loaded.sample(X, 3, rng=0))
    assert loaded.networks_ == model.networks_
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    np.testing.assert_array_equal(DeepFMQRGMM.load(again).predict_curve(X).values, first.values)
    refitted = loaded.fit(X, SALES)
    assert np.isfinite(refitted.predict(X)).all()


def test_a_loaded_model_knows_its_columns(tmp_path):
    clone(MODEL).fit(FRAME, SALES).save(tmp_path / "model")
    loaded = DeepFMQRGMM.load(tmp_path / "model")
    assert list(loaded.feature_names_in_) == ["store", "price", "promoted"] and loaded.n_features_in_ == 3
    with pytest.raises(ValueError, match=r"X has no columns \['promoted'\]"):
        loaded.predict(FRAME[["store", "price"]])


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("no tensors", encoding="utf-8")
    save_file({"a": torch.ones(2)}, tmp_path / "tensors")
    save_file({"a": torch.ones(2)}, tmp_path / "other", metadata={"kind": "other"})
    for name in ("text", "tensors", "other"):
        with pytest.raises(ValueError, match=f"path must be a saved DeepFMQRGMM, got .*{name}"):
            DeepFMQRGMM.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        DeepFMQRGMM.load(tmp_path / "nowhere")


def test_what_json_cannot_hold_is_not_half_written(tmp_path):
    frame = FRAME.assign(day=pd.to_datetime("2020-01-01"))
    encoder = FieldEncoder(categorical=["store", "promoted", "day"])
    model = clone(MODEL).set_params(encoder=encoder).fit(frame, SALES)
    with pytest.raises(ValueError, match="levels of column 'day' must be strings or numbers to be written, got Times"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": "dnn"}, r"parts must be one of \('fm\+deep', 'fm', 'deep'\), got 'dnn'"),
        ({"head": "mean"}, r"head must be one of \('location-scale', 'increments', 'free'\), got 'mean'"),
        ({"crossing": "no"}, "crossing must be 'sort' or 'raise', got 'no'"),
        ({"tails": "no"}, "tails must be 'clamp' or 'exponential', got 'no'"),
        ({"n_members": 1}, "n_members must be a whole number of at least 2 with these options, got 1"),
        ({"n_members": 2.5}, "n_members must be a whole number of at least 2 with these options, got 2.5"),
        ({"n_members": "3"}, "n_members must be a whole number of at least 2 with these options, got '3'"),
        ({"n_members": 0, "kinds": "stiff", "recalibrate": False}, "n_members must be a whole number of at least 1"),
        ({"n_members": N + 1}, f"X needs at least {N + 1} rows, got n_samples = {N}"),
        ({"levels": 1}, "m must be a whole number of at least 2, got 1"),
        ({"levels": [0.5, 0.2]}, "levels must be strictly increasing"),
        ({"levels": [0.5, 1.0]}, r"levels must lie inside \(0, 1\)"),
        ({"kinds": "stack"}, r"kinds must be one of \('both', 'flexible', 'stiff'\), got 'stack'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        clone(MODEL).set_params(**options).fit(FRAME, SALES)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (FRAME, SALES[:-1], "inconsistent numbers of samples"),
        (FRAME, np.where(SALES > 40, np.nan, SALES), "y contains NaN"),
        (FRAME, np.column_stack([SALES, SALES]), "y should be a 1d array"),
        (FRAME, None, "requires y to be passed"),
        (FRAME, ["many"] * N, "could not convert string to float"),
        (FRAME.assign(price=np.inf), SALES, r"columns \['price'\] of X must be finite, got infinity"),
        (FRAME.assign(store=None), SALES, "column 'store' of X has 90 missing values"),
        (FRAME[:0], SALES[:0], "0 sample"),
        (FRAME[:1], SALES[:1], "X needs at least 2 rows, got n_samples = 1"),
        (FRAME[["price"]].to_numpy() * np.nan, SALES, "Input X contains NaN"),
    ],
)
def test_bad_data_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        clone(MODEL).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_torch():
    with pytest.raises((AssertionError, RuntimeError), match="(?i)cuda"):
        clone(MODEL).set_params(device="cuda").fit(FRAME, SALES)


def test_progress_shows_the_epochs(capsys):
    clone(MODEL).set_params(progress=True).fit(FRAME[:10], SALES[:10])
    assert "epochs" in capsys.readouterr().err
