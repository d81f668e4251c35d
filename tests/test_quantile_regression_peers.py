"""Both paths of the solver against R's quantreg (fixtures/quantreg.json), against each other, and under stress."""

import json
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from designs import DESIGNS, LEVELS, make_design

import qrgmm.quantile_regression.grid as solver
from qrgmm.loss import pinball_loss
from qrgmm.quantile_regression import simplex
from qrgmm.quantile_regression.grid import fit_quantile_grid

ANSWERS = json.loads((Path(__file__).parent / "fixtures" / "quantreg.json").read_text(encoding="utf-8"))
PATHS = ["screening", "simplex"]
DENSE = [name for name in DESIGNS if name not in ("one-hot", "sparse")]  # sparse designs go to the simplex method
each_path = pytest.mark.parametrize("path", PATHS)
WAYS = [*((name, "simplex") for name in DESIGNS), *((name, "screening") for name in DENSE)]


@pytest.fixture
def force(monkeypatch):
    """Return a function that sends every dense design down one path, whatever its shape."""
    limits = {"screening": (0, 0), "simplex": (10**9, 0)}

    def force(path):
        monkeypatch.setattr(solver, "MIN_ROWS", limits[path][0])
        monkeypatch.setattr(solver, "MIN_ROWS_PER_COLUMN", limits[path][1])

    return force


def total_losses(X, y, levels, coef, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    return np.array([weights @ pinball_loss(y, X @ each, tau) for tau, each in zip(levels, coef)])


def make_random_problem(seed):
    """Small designs of every unpleasant kind, and the levels to fit."""
    rng = np.random.default_rng(seed)
    n, p = int(np.exp(rng.uniform(np.log(20), np.log(1_500)))), int(rng.integers(1, 9))
    X = [
        lambda: rng.normal(size=(n, p)),
        lambda: rng.integers(0, 3, (n, p)),
        lambda: rng.standard_t(1.5, (n, p)),
        lambda: np.eye(p)[rng.integers(p, size=n)],
        lambda: rng.normal(size=(n, p)) * (rng.random((n, 1)) < 0.8),  # rows of zeros
        lambda: rng.normal(size=(n, 1)) + 1e-4 * rng.normal(size=(n, p)),  # nearly collinear
    ][rng.integers(6)]().astype(float)
    if rng.random() < 0.7:
        X = np.column_stack([np.ones(n), X, X[:, 0]])  # the last column repeats another
    y = [
        lambda: X.sum(axis=1) + rng.normal(size=n),
        lambda: X.sum(axis=1) + rng.standard_cauchy(n),
        lambda: X.sum(axis=1) + rng.exponential(size=n) * (rng.random(n) < 0.3),
        lambda: rng.poisson(1.0, n),
    ][rng.integers(4)]()
    X, y = X * 10.0 ** rng.integers(-5, 6, X.shape[1]), y * 10.0 ** rng.integers(-9, 10)
    levels = [np.arange(1, 50) / 50, np.array([1e-4, 0.5, 1 - 1e-4]), rng.random(1)][rng.integers(3)]
    return X, y, levels


@pytest.mark.parametrize(("name", "path"), WAYS)
def test_losses_are_those_of_r(name, path, force):
    force(path)
    X, y, weights = make_design(name)
    fit = fit_quantile_grid(X, y, LEVELS, weights)
    found, expected = total_losses(X, y, LEVELS, fit.coef, weights), ANSWERS["designs"][name]["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (fit.gap <= 1e-6).all()


@pytest.mark.parametrize(("name", "path"), [way for way in WAYS if "coef" in ANSWERS["designs"][way[0]]])
def test_coefficients_are_those_of_r_where_only_one_choice_is_optimal(name, path, force):
    force(path)
    X, y, weights = make_design(name)
    expected = np.array(ANSWERS["designs"][name]["coef"])
    found = fit_quantile_grid(X, y, LEVELS, weights).coef
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


def test_the_fixture_covers_the_designs_and_comes_from_r():
    assert ANSWERS["levels"] == LEVELS.tolist() and list(ANSWERS["designs"]) == DESIGNS
    assert re.fullmatch(r"R [\d.]+, quantreg [\d.]+, method br", ANSWERS["made_by"])


@each_path
def test_weights_count_rows(path, force):
    force(path)
    X, y, weights = make_design("weights")
    weighted = fit_quantile_grid(X, y, LEVELS, weights)
    repeated = fit_quantile_grid(np.repeat(X, weights, axis=0), np.repeat(y, weights), LEVELS)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-7)


def test_weights_apply_to_sparse_designs():
    X, y, _ = make_design("sparse")
    weights = np.random.default_rng(1).integers(1, 4, len(y))
    weighted, repeated = fit_quantile_grid(X, y, LEVELS, weights), np.repeat(X.toarray(), weights, axis=0)
    repeated = fit_quantile_grid(repeated, np.repeat(y, weights), LEVELS)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_both_paths_agree_on_unpleasant_data(seed, force):
    X, y, levels = make_random_problem(seed)
    losses, gaps = {}, {}
    for path in PATHS:
        force(path)
        fit = fit_quantile_grid(X, y, levels)
        losses[path], gaps[path] = total_losses(X, y, levels, fit.coef), fit.gap
    least = np.minimum(*losses.values())
    for path in PATHS:
        excess = (losses[path] - least) / np.maximum(least, 1e-12 * np.abs(y).sum())
        assert (gaps[path] <= 1e-6).all() and (excess <= gaps[path] + 1e-7).all()


def test_nothing_sorts_a_sparse_design_under_the_threads_that_share_it(monkeypatch):
    X, y, _ = make_design("sparse")
    seen = []

    def relative_duality_gap(X, *others):
        before = X.indices.copy()
        gap = solver_gap(X, *others)
        seen.append((before == X.indices).all())
        return gap

    solver_gap = simplex.relative_duality_gap
    monkeypatch.setattr(simplex, "relative_duality_gap", relative_duality_gap)
    fit_quantile_grid(X, y, LEVELS)
    assert len(seen) == len(LEVELS) and all(seen)


@each_path
def test_one_thread_finds_what_two_find(path, force):
    force(path)
    X, y, _ = make_design("dense")
    levels = np.arange(1, 60) / 60
    losses = [total_losses(X, y, levels, fit_quantile_grid(X, y, levels, n_threads=k).coef) for k in (1, 2)]
    np.testing.assert_allclose(*losses, rtol=1e-9)


@pytest.mark.parametrize(("allowed", "expected"), [("3", 3), ("", os.cpu_count()), ("auto", os.cpu_count())])
def test_threads_are_as_many_as_the_environment_allows(allowed, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    chosen, pool = [], simplex.ThreadPoolExecutor
    monkeypatch.setattr(simplex, "ThreadPoolExecutor", lambda n_threads: chosen.append(n_threads) or pool(n_threads))
    fit_quantile_grid(np.ones((5, 1)), np.arange(5.0), [0.5])
    assert chosen == [expected]


def test_two_thousand_levels_and_extreme_ones_are_optimal(force):
    X, y, _ = make_design("dense")
    levels = np.arange(1, 2_001) / 2_001
    levels[0], levels[-1] = 1e-4, 1 - 1e-4
    force("screening")
    fit = fit_quantile_grid(X, y, levels)
    some = [0, 1, 500, 1_234, 1_999]
    force("simplex")
    expected = total_losses(X, y, levels[some], fit_quantile_grid(X, y, levels[some]).coef)
    np.testing.assert_allclose(total_losses(X, y, levels[some], fit.coef[some]), expected, rtol=1e-9)
    assert (fit.gap <= 1e-6).all()


def test_screening_never_holds_an_array_of_rows_by_levels():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 200_000))
    X, y, levels = np.column_stack([np.ones(200_000), x]), x + noise, np.arange(1, 800) / 800
    tracemalloc.start()
    fit = fit_quantile_grid(X, y, levels, n_threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (fit.gap <= 1e-6).all()
    assert peak < len(y) * len(levels)  # less than one byte for each pair


@pytest.mark.parametrize("n_steps", [1, 4, 9])
def test_screening_is_right_where_the_interior_point_is_cut_short(n_steps, force, monkeypatch):
    force("screening")
    monkeypatch.setattr("qrgmm.quantile_regression.interior_point.MAX_STEPS_WARM", n_steps)
    monkeypatch.setattr("qrgmm.quantile_regression.interior_point.MAX_STEPS_COLD", n_steps)
    X, y, _ = make_design("heavy tails")
    fit = fit_quantile_grid(X, y, LEVELS)
    found = total_losses(X, y, LEVELS, fit.coef)
    np.testing.assert_allclose(found, ANSWERS["designs"]["heavy tails"]["loss"], rtol=1e-9)
    assert (fit.gap <= 1e-6).all()


def test_screening_names_the_levels_that_neither_method_reaches(force, monkeypatch):
    force("screening")

    def give_up(solver, right_hand_side, moved):
        return 0 * right_hand_side, np.full(solver.getNumCol(), 0.5), 0

    monkeypatch.setattr("qrgmm.quantile_regression.interior_point.MAX_STEPS_WARM", 4)
    monkeypatch.setattr("qrgmm.quantile_regression.interior_point.MAX_STEPS_COLD", 4)
    monkeypatch.setattr("qrgmm.quantile_regression.screening.solve_programme", give_up)
    X, y, _ = make_design("heavy tails")
    with pytest.warns(RuntimeWarning, match="relative duality gap above 1e-06 at levels") as caught:
        fit = fit_quantile_grid(X, y, LEVELS)
    missed = LEVELS[fit.gap > 1e-6]
    assert len(missed) and str(missed.tolist()) in str(caught[0].message)
    # A gap bounds what the answer really lacks, also where it is large.
    found = total_losses(X, y, LEVELS, fit.coef)
    assert (found - ANSWERS["designs"]["heavy tails"]["loss"] <= fit.gap * found + 1e-6).all()
