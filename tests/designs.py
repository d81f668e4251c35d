"""Eight designs on which R's quantreg was asked for its answers (fixtures/quantreg.json); remade here from seeds."""

import numpy as np
import scipy.sparse as sp
import statsmodels.api as sm

LEVELS = np.array([0.05, 0.23, 0.5, 0.77, 0.95])
DESIGNS = ["engel", "ties", "heavy tails", "one-hot", "weights", "rows barely above columns", "dense", "sparse"]


def make_design(name):
    """Return X, y and, for the design that has them, weights."""
    rng = np.random.default_rng(DESIGNS.index(name))
    if name == "engel":
        data = sm.datasets.engel.load_pandas().data
        return np.column_stack([np.ones(len(data)), data["income"]]), data["foodexp"].to_numpy(), None
    if name == "ties":
        X = np.column_stack([np.ones(1_500), rng.integers(0, 3, (1_500, 4))])
        return X, rng.poisson(np.exp(X @ [0.1, 0.3, -0.2, 0.1, 0.0])).astype(float), None
    if name == "one-hot":  # an intercept, 99 + 299 levels of two factors, 11 continuous columns
        factors = [np.eye(k)[rng.integers(k, size=4_000)][:, 1:] for k in (100, 300)]
        X = np.column_stack([np.ones(4_000), *factors, rng.random((4_000, 11))])
        return sp.csr_array(X), X @ rng.normal(size=410) + rng.standard_t(4, 4_000), None
    n, p = {"rows barely above columns": (14, 12), "dense": (2_000, 10), "sparse": (3_000, 40)}.get(name, (1_200, 5))
    z = rng.standard_t(1.5, (n, p - 1)) if name == "heavy tails" else rng.normal(size=(n, p - 1))
    if name == "sparse":
        z *= rng.random(z.shape) < 0.05
    X = np.column_stack([np.ones(n), z])
    noise = rng.standard_t(1.2, n) if name == "heavy tails" else rng.normal(size=n)
    y = X @ rng.normal(size=p) + (1 + 0.5 * np.abs(z[:, 0])) * noise
    return sp.csr_array(X) if name == "sparse" else X, y, rng.integers(1, 5, n) if name == "weights" else None
