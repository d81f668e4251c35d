"""A whole grid of linear quantile regressions: the package against what else can be installed, on four sizes.

R takes part where Rscript finds quantreg; peers that the project does not require, where they can be imported:

    pip install --target build/peers -c constraints.txt pinball-qr pyqreg2 pyfixest
    PYTHONPATH=build/peers make bench
"""

import os
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from memory import peak_memory
from sklearn.linear_model import QuantileRegressor
from statsmodels.regression.quantile_regression import QuantReg

from qrgmm.loss import pinball_loss
from qrgmm.quantile_regression import fit_quantile_grid
from qrgmm.quantile_regression.simplex import fit_by_simplex

N_CORES = os.cpu_count()
# Rows, columns and m; the levels are 1/m, ..., (m - 1)/m.
SIZES = {
    "small": (10_000, 10, 100),
    "one-hot": (8_000, 410, 90),
    "large": (100_000, 20, 300),
    "million": (1_000_000, 10, 100),
}
ALL = None
# Per size: the peer, how many levels are timed, and in how many rounds.
PLAN = {
    "small": [
        ("HiGHS warm-started", ALL, 5), ("R pfnb", ALL, 5), ("R pfnb, BLAS on all cores", ALL, 5), ("R fn", 20, 5),
        ("R br", 20, 5), ("pinball-qr pfn", 20, 5), ("pyqreg2", 20, 5), ("pyfixest", ALL, 1), ("statsmodels", ALL, 1),
        ("scikit-learn", 2, 1),
    ],
    "one-hot": [("R sfn", 10, 3), ("R fn", 2, 3), ("pinball-qr fn", 3, 3), ("pyqreg2", 2, 1), ("statsmodels", 1, 1)],
    "large": [
        ("R pfnb", ALL, 3), ("R pfnb, BLAS on all cores", ALL, 3), ("pinball-qr pfn", 6, 3), ("pyqreg2", 6, 3),
        ("pyfixest", 6, 1), ("statsmodels", 10, 1),
    ],
    "million": [
        ("R pfnb", ALL, 3), ("R pfnb, BLAS on all cores", ALL, 3), ("pinball-qr pfn", 4, 3), ("pyqreg2", 4, 3),
        ("pyfixest", 3, 1), ("statsmodels", 5, 1),
    ],
}
SETTING = (
    "Linear location-scale data. Seconds for the whole grid: medians over rounds that take turns; a peer that is timed "
    "on fewer levels has them spread over the grid, and its time scaled. Ratio: to the package in the same rounds. "
    "Excess: largest relative excess of the pinball loss over the least that any contestant reached. Only fitting is "
    "timed, inside R for R; statsmodels and pyfixest always add standard errors. The package and HiGHS use all cores, "
    "BLAS one unless the name says otherwise. Not tried because they take hours: scikit-learn beyond the small size, "
    "HiGHS beyond the one-hot size, where it is the package's own method. pyfixest takes a formula, hence not one-hot."
)


def make_problem(name):
    n, p, _ = SIZES[name]
    rng = np.random.default_rng(list(SIZES).index(name))
    X = np.column_stack([np.ones(n), rng.uniform(0, 10, (n, p - 1))])
    if name == "one-hot":  # two factors, each without its first level
        factors = [np.eye(k)[rng.integers(k, size=n)][:, 1:] for k in (100, 300)]
        X = np.column_stack([X[:, : p - 398], *factors])
    location, scale = X @ rng.normal(size=p), 1 + X @ rng.uniform(0, 0.3, p)
    return X, location + scale * rng.standard_normal(n)


# Each peer is a function of the data that returns a function of the levels, which fits them.


def each_level(fit):
    return lambda levels: np.array([np.ravel(fit(tau)) for tau in levels])


def prepare_statsmodels(X, y):
    model = QuantReg(y, X)
    return each_level(lambda tau: model.fit(q=tau).params)


def prepare_pinball(method):
    def prepare(X, y):
        from pinball import get_solver

        return each_level(lambda tau: get_solver(method).solve(X, y, tau).coefficients)

    return prepare


def prepare_pyqreg(X, y):
    from pyqreg import QuantReg as Pyqreg
    from pyqreg.utils import rng_generator

    model = Pyqreg(y, X)
    # The size from which its own interface turns to preprocessing.
    return each_level(model.fit_ipm if len(y) < 100_000 else lambda tau: model.fit_preproc_ipm(tau, rng_generator(1)))


def prepare_pyfixest(X, y):
    from pyfixest import quantreg

    data = pd.DataFrame(X[:, 1:]).add_prefix("x").assign(y=y)
    formula, how = "y ~ " + " + ".join(data.columns[:-1]), {"method": "pfn", "multi_method": "cfm1", "vcov": "iid"}

    def fit(levels):
        fitted = quantreg(formula, data, quantile=levels.tolist(), seed=1, **how)
        return np.array([model.coef() for model in fitted.all_fitted_models.values()])

    return fit


PEERS = {
    "HiGHS warm-started": lambda X, y: lambda levels: fit_by_simplex(X, y, levels, N_CORES)[0],
    "statsmodels": prepare_statsmodels,
    "scikit-learn": lambda X, y: each_level(
        lambda tau: QuantileRegressor(quantile=tau, alpha=0, fit_intercept=False).fit(X, y).coef_
    ),
    "pinball-qr fn": prepare_pinball("fn"),
    "pinball-qr pfn": prepare_pinball("pfn"),
    "pyqreg2": prepare_pyqreg,
    "pyfixest": prepare_pyfixest,
}


def fit_in_r(method, X, y, levels, n_threads):
    """Return the coefficients and the seconds of R's fit, without start and transfer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exchange")
        path.write_bytes(X.tobytes(order="F") + y.tobytes())
        command = ["Rscript", Path(__file__).with_name("quantreg.R"), method, path, *X.shape, *levels]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": str(n_threads)}
        run = {"env": environment, "check": True, "capture_output": True, "encoding": "utf-8"}
        done = subprocess.run(list(map(str, command)), **run)
        return np.fromfile(path).reshape(len(levels), -1), float(done.stdout)


def find_version(peer):
    """Return the version of what a peer is made of; raise an error where it is not installed."""
    if not peer.startswith("R "):
        return version(peer.split()[0].replace("HiGHS", "highspy"))
    blas = 'basename(dirname(normalizePath(extSoftVersion()["BLAS"])))'
    code = f'cat(sprintf("R %s, quantreg %s, %s", getRversion(), packageVersion("quantreg"), {blas}))'
    return subprocess.run(["Rscript", "-e", code], check=True, capture_output=True, encoding="utf-8").stdout


def make_contestant(peer, X, y, levels, coefs):
    """Return a function that fits and leaves its coefficients in `coefs`."""
    if peer.startswith("R "):
        method, _, on_all_cores = peer[2:].partition(",")

        def contestant():
            coefs[peer], seconds = fit_in_r(method, X, y, levels, N_CORES if on_all_cores else 1)
            return seconds

        return contestant
    fit = PEERS[peer](X, y)

    def contestant():
        coefs[peer] = fit(levels)

    return contestant


def time_size(name, time_in_turn):
    n_rows, n_columns, m = SIZES[name]
    X, y = make_problem(name)
    design, levels = sp.csr_array(X) if name == "one-hot" else X, np.arange(1, m) / m
    coefs, rows, left_out = {}, {}, {}

    def ours():
        coefs["ours"] = fit_quantile_grid(design, y, levels, n_threads=N_CORES).coef

    gap = fit_quantile_grid(design, y, levels, n_threads=N_CORES).gap.max()  # also warms up
    peak = peak_memory()
    chosen, groups = {"ours": np.arange(m - 1)}, {}
    for peer, n_levels, n_rounds in PLAN[name]:
        n_levels = n_levels or m - 1
        # Not the ends of the grid, where a level may take several times as long as elsewhere.
        chosen[peer] = ((np.arange(n_levels) + 0.5) * (m - 1) / n_levels).astype(int)
        try:
            rows[peer] = {"version": find_version(peer), "levels": n_levels, "rounds": n_rounds}
        except (OSError, ImportError, subprocess.CalledProcessError):
            left_out[peer] = "not installed"
            continue
        group = groups.setdefault(n_rounds, {"ours": ours})
        group[peer] = make_contestant(peer, X, y, levels[chosen[peer]], coefs)
    for n_rounds, group in groups.items():
        seconds = time_in_turn(group, n_rounds)
        own = seconds.pop("ours")
        for peer in seconds:
            scaled = seconds[peer] * (m - 1) / rows[peer]["levels"]
            rows[peer] |= {"seconds": scaled, "ratio": scaled / own, "seconds_of_ours": own}
    losses = {}
    for peer, which in ((peer, chosen[peer]) for peer in coefs):
        losses[peer] = np.full(m - 1, np.nan)
        losses[peer][which] = [pinball_loss(y, X @ b, tau).sum() for b, tau in zip(coefs[peer], levels[which])]
    least = np.nanmin(list(losses.values()), axis=0)
    excess = {peer: float(np.nanmax(loss / least - 1)) for peer, loss in losses.items()}
    ours_row = {"gap": gap, "excess": excess.pop("ours"), "process_peak_gib": peak}
    for peer in excess:
        rows[peer]["excess"] = excess[peer]
    sizes = {"rows": n_rows, "columns": n_columns, "m": m}
    return {**sizes, "ours": ours_row, "peers": rows, "left_out": left_out}


def run(time_in_turn, sizes=SIZES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # iteration limits and announcements of peers; the excess shows what they cost
        results = {name: time_size(name, time_in_turn) for name in sizes}
    peers = {name: result["peers"] for name, result in results.items()}
    ratios = {name: {peer: round(row["ratio"], 1) for peer, row in rows.items()} for name, rows in peers.items()}
    return {"ratios": ratios, "sizes": results}
