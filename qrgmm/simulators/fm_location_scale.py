r"""Sales whose location and scale are factorization machines of category, seller and continuous covariates.

The synthetic experiments of the SCF paper; chapters 7 to 10.
"""

from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from qrgmm.checks import Rng
from qrgmm.simulators.simulator import LocationScale, check_fields

# The fields of `FMLocationScale`, and of each variant: vectors' length in the location, share of main effects, spread.
N_CATEGORIES, N_SELLERS, N_CONTINUOUS = 100, 300, 10
CATEGORIES = pd.Index([f"category_{i:03d}" for i in range(N_CATEGORIES)])
SELLERS = pd.Index([f"seller_{i:03d}" for i in range(N_SELLERS)])
CONTINUOUS = [f"x{i:02d}" for i in range(1, N_CONTINUOUS + 1)]
FM_VARIANTS = {
    "base": (2, 0.5, 25),
    "easy": (2, 0.7, 10),
    "hard": (4, 0.5, 25),
    "not_fm": (2, 0.5, 25),
    "reflected": (2, 0.5, 25),
    "log_scale": (2, 0.5, 25),
    "linear": (2, 1.0, 25),
}
PARAMETER_SEED = 2026
REFLECTED_AT = 400.0  # twice the sales that stay where they are


class FactorizationMachine:
    r"""A random factorization machine of a category, a seller and continuous covariates, with mean 0 and variance 1.

    .. math:: z(x) = \sqrt{s} \sum_i w_i x_i + \sqrt{1 - s} \sum_{i < j} \sum_f g_f\, v_{if} v_{jf}\, x_i x_j

    over one-hot categories and sellers, all equally likely, and independent continuous covariates of mean 0 and
    variance 1. Category, seller and the continuous covariates together have equal shares in each sum.

    Parameters
    ----------
    rank : int
        Length of the vectors :math:`v_i`.
    main_share : float
        Share :math:`s` of the first sum in the variance.
    rng : numpy.random.Generator
        Weights and vectors are drawn from it.
    signs : array of shape (rank,), optional
        The signs :math:`g_f` of the elements of the vectors; by default all are plus, Rendle's (2010) form.

    Examples
    --------
    >>> z = FactorizationMachine(2, 0.5, np.random.default_rng(0))
    >>> z(np.array([3, 3]), np.array([17, 17]), np.zeros((2, N_CONTINUOUS))).shape
    (2,)
    """

    def __init__(self, rank: int, main_share: float, rng: np.random.Generator, signs: np.ndarray | None = None):
        def standardised(*shape):
            draws = rng.normal(size=shape)
            return (draws - draws.mean(axis=0)) / draws.std(axis=0)

        weights = rng.normal(size=N_CONTINUOUS)
        self.weights = standardised(N_CATEGORIES), standardised(N_SELLERS), weights / np.linalg.norm(weights)
        vectors = rng.normal(size=(N_CONTINUOUS, rank)) / np.sqrt(N_CONTINUOUS)
        self.vectors = standardised(N_CATEGORIES, rank), standardised(N_SELLERS, rank), vectors
        self.signs = np.ones(rank) if signs is None else signs
        # All products of two fields are uncorrelated, so that the variance of their sum is known.
        category, seller = (v.T @ v / len(v) for v in self.vectors[:2])
        continuous = vectors.T @ vectors
        variance = (np.outer(self.signs, self.signs) * (category * seller + (category + seller) * continuous)).sum()
        variance += np.triu((vectors * self.signs @ vectors.T) ** 2, 1).sum()
        self.scales = np.sqrt([main_share / 3, (1 - main_share) / variance])

    def __call__(self, category: np.ndarray, seller: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return z for codes and continuous covariates, (n_rows,)."""
        main = self.weights[0][category] + self.weights[1][seller] + x @ self.weights[2]
        parts = self.vectors[0][category], self.vectors[1][seller], x @ self.vectors[2]
        squares = parts[0] ** 2 + parts[1] ** 2 + x**2 @ self.vectors[2] ** 2
        return self.scales[0] * main + self.scales[1] * ((sum(parts) ** 2 - squares) * self.signs).sum(axis=1) / 2


class FMLocationScale(LocationScale):
    r"""Monthly sales of a seller in a category: location and scale are factorization machines of the covariates.

    .. math::
        Y = \mu(x) + \sigma(x)\, \varepsilon, \qquad \mu = \max(100 + d\, z_\mu, 20), \\
        \sigma = \min\bigl(15 \log(1 + e^{0.54 + 0.5 z_\sigma}),\; 0.45\, \mu\bigr)

    with 100 categories, 300 sellers and ten continuous covariates, uniform on :math:`(-\sqrt 3, \sqrt 3)`; the noise
    is Gamma(4), standardised, which has skewness 1 and keeps sales positive. The SCF paper describes this design, but
    its parameters are not published: those here are ours.

    Parameters
    ----------
    variant : str
        `base`: vectors of length 2 and :math:`d = 25`. `easy`: :math:`d = 10` and more main effects. `hard`: vectors
        of length 4 in the location. `not_fm`: to the location come a wave in the first continuous covariate whose
        phase depends on the category, and :math:`|x_2|` with the sign of :math:`x_3`; no factorization machine holds
        them. `reflected`: 400 minus the sales of `base`, which turns the sign of every product and the skewness.
        `log_scale`: the scale is :math:`15 e^{0.4 z_\sigma}`. `linear`: main effects only.
    parameters : numpy.random.Generator or int, optional
        Of which weights, vectors and the signs of their elements are drawn. By default they are those of chapter 7,
        from a fixed seed and with plus signs.

    Raises
    ------
    ValueError
        If `variant` is unknown; by every method, if `X` lacks a column or has an unknown category or seller.

    Notes
    -----
    SCF paper, section 6.1; chapters 7 to 10.

    Examples
    --------
    >>> simulator = FMLocationScale()
    >>> X = simulator.draw_covariates(3, rng=0)
    >>> X.iloc[:, :3].round(2)
           category      seller   x01
    0  category_085  seller_080 -1.67
    1  category_063  seller_092 -1.62
    2  category_051  seller_012  0.51
    >>> simulator.ppf(X, [0.05, 0.5, 0.95]).round(1)
    array([[150.3, 162.5, 184.1],
           [103.7, 114.2, 132.8],
           [ 63.5,  76.5,  99.4]])
    """

    noise = stats.gamma(4, loc=-2, scale=0.5)

    def __init__(
        self,
        variant: Literal["base", "easy", "hard", "not_fm", "reflected", "log_scale", "linear"] = "base",
        parameters: Rng = None,
    ):
        if variant not in FM_VARIANTS:
            raise ValueError(f"variant must be one of {list(FM_VARIANTS)}, got {variant!r}")
        self.variant = variant
        rank, main_share, self._spread = FM_VARIANTS[variant]
        rng = np.random.default_rng(PARAMETER_SEED if parameters is None else parameters)

        def machine(rank):
            signs = None if parameters is None else rng.choice([-1.0, 1.0], rank)
            return FactorizationMachine(rank, main_share, rng, signs)

        self._location, self._scale = machine(rank), machine(2)
        self._phase = rng.uniform(0, 2 * np.pi, N_CATEGORIES)
        if variant == "reflected":
            self.noise = stats.pearson3(-1)  # minus the standardised Gamma(4)

    def draw_covariates(self, n_rows: int, rng: Rng = None) -> pd.DataFrame:
        """Return independent covariates, a data frame of shape (n_rows, 12): category, seller, x01 to x10."""
        rng = np.random.default_rng(rng)
        category, seller = rng.choice(CATEGORIES, n_rows), rng.choice(SELLERS, n_rows)
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), (n_rows, N_CONTINUOUS))
        return pd.DataFrame({"category": category, "seller": seller, **dict(zip(CONTINUOUS, x.T, strict=True))})

    def _location_and_scale(self, X):
        X = self._checked(X)
        category, seller = (
            CATEGORIES.get_indexer(X["category"]),
            SELLERS.get_indexer(X["seller"]),
        )
        x = X[CONTINUOUS].to_numpy(dtype=float)
        z = self._location(category, seller, x)
        if self.variant == "not_fm":
            wave = np.sin(2 * x[:, 0] + self._phase[category])
            z = (z + wave + np.abs(x[:, 1]) * np.sign(x[:, 2])) / np.sqrt(2.5)
        location = np.maximum(100 + self._spread * z, 20)
        z = self._scale(category, seller, x)
        scale = 15 * np.logaddexp(0, 0.54 + 0.5 * z)
        if self.variant == "log_scale":
            scale = 15 * np.exp(0.4 * z)
        scale = np.minimum(scale, 0.45 * location)
        if self.variant == "reflected":
            location = REFLECTED_AT - location
        return location[:, None], scale[:, None]

    def _checked(self, X):
        check_fields(X, {"category": CATEGORIES, "seller": SELLERS}, CONTINUOUS)
        if not np.isfinite(X[CONTINUOUS].to_numpy(dtype=float)).all():
            raise ValueError("X must be finite, got NaN or infinity")
        return X
