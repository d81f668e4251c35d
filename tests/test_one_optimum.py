"""Where many coefficients are optimal, every machine and both solvers end at the same ones."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from machines import SETTINGS
from scipy.optimize import linprog

import qrgmm.quantile_regression.grid as quantile_regression
from qrgmm.loss import pinball_loss
from qrgmm.quantile_regression.grid import fit_quantile_grid

N_DESIGNS, LEVELS = 50, np.arange(1, 20) / 20
ROOT = Path(__file__).resolve().parents[1]


def make_one_hot(seed):
    """Categories whose rows times a level are whole numbers, some columns superfluous, some responses tied."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 12, rng.integers(1, 4))
    n = 20 * int(rng.integers(5, 60))
    fields = [np.eye(size)[rng.permutation(np.arange(n) % size)] for size in sizes]
    if seed % 3 == 0:
        fields.append(rng.normal(size=(n, 2)))
    X = np.column_stack([np.ones(n), *fields])
    y = X @ rng.normal(size=X.shape[1]) + rng.gamma(2.0, size=n)
    if seed % 2:
        y = np.round(y)
    return (sp.csr_array(X) if seed % 5 == 1 else X), y


def fit_all():
    return np.concatenate([fit_quantile_grid(*make_one_hot(seed), LEVELS).coef.ravel() for seed in range(N_DESIGNS)])


def least_loss(X, y, tau):
    n, p = X.shape
    A = sp.hstack([sp.csr_matrix(X), sp.eye_array(n), -sp.eye_array(n)])
    cost = np.concatenate([np.zeros(p), np.full(n, tau), np.full(n, 1 - tau)])
    return linprog(cost, A_eq=A, b_eq=y, bounds=[(None, None)] * p + [(0, None)] * (2 * n), method="highs").fun


@pytest.mark.parametrize("path", ["screening", "simplex"])
def test_fifty_designs_have_the_same_coefficients_under_three_kernels(path, tmp_path):
    least_rows = {"screening": 0, "simplex": 10**9}[path]
    program = (
        "import numpy as np, test_one_optimum as own\n"
        f"own.quantile_regression.MIN_ROWS = {least_rows}\n"
        "own.quantile_regression.MIN_ROWS_PER_COLUMN = 0\n"
        "np.save(__import__('sys').argv[1], own.fit_all())\n"
    )
    found = {}
    for name, setting in SETTINGS.items():
        environment = os.environ | setting | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        file = tmp_path / f"{name}.npy"
        subprocess.run([sys.executable, "-c", program, str(file)], env=environment, check=True)
        found[name] = np.load(file)
    for name in ("avx2", "old"):
        np.testing.assert_allclose(found[name], found["native"], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("least_rows", [0, 10**9], ids=["screening", "simplex"])
@pytest.mark.parametrize("seed", range(0, N_DESIGNS, 7))
def test_that_optimum_is_one_of_the_linear_programme(seed, least_rows, monkeypatch):
    monkeypatch.setattr(quantile_regression, "MIN_ROWS", least_rows)
    monkeypatch.setattr(quantile_regression, "MIN_ROWS_PER_COLUMN", 0)
    X, y = make_one_hot(seed)
    fit = fit_quantile_grid(X, y, LEVELS)
    assert (fit.gap <= 1e-9).all()
    losses = [pinball_loss(y, X @ coef, tau).sum() for tau, coef in zip(LEVELS, fit.coef)]
    np.testing.assert_allclose(losses, [least_loss(X, y, tau) for tau in LEVELS], rtol=1e-7)
