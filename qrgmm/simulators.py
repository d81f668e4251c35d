r"""The stochastic simulators that QRGMM learns from: two test problems, sales, a treatment decision and a bank.

Every simulator has `draw_covariates(n_rows, rng)` and `draw(X, rng)`, one independent output per row of `X`, and
`basis(X)`, the regressors that the QRGMM paper uses, without the intercept. Where the truth is known it is there as
well: `ppf` and `cdf` of the test problems, the exact `mean` of the treatments. Chapter 6 learns them all. Sales, of
which `CrossBorderSales` is in a file of its own, have data frames for covariates, and a true law.
"""

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from scipy import stats

from qrgmm.cross_border import CrossBorderSales as CrossBorderSales  # one more simulator, in a file of its own
from qrgmm.cross_border import check_fields, check_points
from qrgmm.queueing import LAST, OPEN, draw_arrivals, serve

# Rows that are simulated together: large enough for NumPy, small enough for the processor's cache.
BLOCK = 2500


def monomials(X, degree):
    r"""Return all monomials of the columns from degree 1 to `degree`.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    degree : int

    Returns
    -------
    array of shape (n_rows, n_monomials)
        :math:`\binom{p + k}{k} - 1` columns for `p` features and degree `k`: no constant, low degrees first.

    Examples
    --------
    >>> monomials([[2.0, 3.0]], 2)
    array([[2., 3., 4., 6., 9.]])
    """
    X = np.asarray(X, dtype=float)
    powers = (c for k in range(1, degree + 1) for c in combinations_with_replacement(range(X.shape[1]), k))
    return np.column_stack([X[:, list(columns)].prod(axis=1) for columns in powers])


class _Simulator:
    """What all simulators share: the box that covariates are drawn from, the basis, and draws in blocks of rows."""

    lows, highs = (), ()
    degree = 1

    def draw_covariates(self, n_rows, rng=None):
        """Return independent covariates, uniform between `lows` and `highs`.

        Parameters
        ----------
        n_rows : int
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_rows, n_features)
        """
        return np.random.default_rng(rng).uniform(self.lows, self.highs, (n_rows, len(self.lows)))

    def basis(self, X):
        """Return the regressors of QRGMM, (n_rows, n_regressors): all monomials up to `degree`, no intercept."""
        return monomials(self._checked(X), self.degree)

    def draw(self, X, rng=None):
        """Return one independent output per row.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            One row may be given as (n_features,).
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_rows,), or (n_rows, n_outputs) for several outputs

        Raises
        ------
        ValueError
            If the shape of `X` is wrong or values are not finite or outside what the simulator allows.
        """
        X, rng = self._checked(X), np.random.default_rng(rng)
        return np.concatenate([self._draw(X[i : i + BLOCK], rng) for i in range(0, len(X), BLOCK)])

    def _checked(self, X):
        X = np.atleast_2d(np.asarray(X, dtype=float))
        if X.ndim != 2 or X.shape[1] != len(self.lows) or len(X) == 0:
            raise ValueError(f"X must have shape (n_rows, {len(self.lows)}) with at least one row, got {X.shape}")
        if not np.isfinite(X).all():
            raise ValueError("X must be finite, got NaN or infinity")
        return X


class _LocationScale(_Simulator):
    """A law ``location(x) + scale(x) * noise``, with `noise` a standard law of scipy."""

    noise = None

    def ppf(self, X, levels):
        """Return the true conditional quantiles.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
        levels : float or array of shape (n_levels,) or (n_rows, n_levels)
            In [0, 1].

        Returns
        -------
        array of shape (n_rows, n_levels)
        """
        location, scale = self._location_and_scale(X)
        return location + scale * self.noise.ppf(check_points("levels", levels, len(location)))

    def cdf(self, X, y):
        """Return the true conditional distribution function.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
        y : float or array of shape (n_points,) or (n_rows, n_points)
            For one point per row pass ``y[:, None]``.

        Returns
        -------
        array of shape (n_rows, n_points)
        """
        location, scale = self._location_and_scale(X)
        distance = check_points("y", y, len(location)) - location
        at_location = np.where(distance < 0, -np.inf, np.inf)  # where the scale is zero
        return self.noise.cdf(np.divide(distance, scale, out=at_location, where=scale > 0))

    def _draw(self, X, rng):
        location, scale = self._location_and_scale(X)
        return (location + scale * self.noise.rvs(size=location.shape, random_state=rng))[:, 0]


class TestProblem1(_LocationScale):
    r"""Test problem 1: a normal law whose mean and standard deviation are linear, so that QRGMM is well specified.

    .. math::
        Y \mid x \sim N\bigl(5 + x_1 + 2 x_2 + 0.5 x_3,\; (1 + 0.1 x_1 + 0.2 x_2 + 0.05 x_3)^2\bigr)

    with :math:`x_1 \in (0, 10)`, :math:`x_2 \in (-5, 5)`, :math:`x_3 \in (0, 5)` uniform and independent.

    Attributes
    ----------
    conditional_point, convergence_point : tuple
        The covariates of the figures of the QRGMM paper, and those of its studies of convergence.

    Notes
    -----
    Hong, Hou, Zhang and Zhang, "Learning to simulate", test problem 1; chapters 5 and 6.

    Examples
    --------
    >>> problem = TestProblem1()
    >>> problem.ppf(problem.conditional_point, 0.5), problem.cdf([[4, -1, 3]], [8.5, 8.5 + 1.35]).round(4)
    (array([[8.5]]), array([[0.5   , 0.8413]]))
    """

    __test__ = False  # not a test, says pytest's own marker
    lows, highs = (0, -5, 0), (10, 5, 5)
    conditional_point, convergence_point = (4, -1, 3), (6, 1, 2)
    noise = stats.norm

    def _location_and_scale(self, X):
        X = self._checked(X)
        location, scale = 5 + X @ [[1.0], [2.0], [0.5]], 1 + X @ [[0.1], [0.2], [0.05]]
        if scale.min() < -1e-12:
            raise ValueError(f"X must give standard deviations of at least 0, got {scale.min():g}")
        return location, scale.clip(0)


class TestProblem2(_LocationScale):
    r"""Test problem 2: a Laplace law whose scale no polynomial follows, so that QRGMM is misspecified.

    .. math:: Y \mid x \sim \mathrm{Laplace}\bigl(0.05\, x_1 x_2,\; 5 \sin^2(x_1 + x_2) + 5\bigr)

    with :math:`x_1 \in (0, 10)`, :math:`x_2 \in (-5, 5)` uniform and independent; the second parameter is the scale,
    :math:`1/\sqrt 2` of the standard deviation. The basis is all nine monomials to degree 3.

    Attributes
    ----------
    conditional_point, convergence_point : tuple
        The covariates of the figures of the QRGMM paper, and those of its study of convergence.

    Notes
    -----
    Hong, Hou, Zhang and Zhang, "Learning to simulate", test problem 2; chapters 5 and 6.

    Examples
    --------
    >>> problem = TestProblem2()
    >>> problem.ppf(problem.conditional_point, [0.25, 0.5, 0.75]).round(3)
    array([[-6.058,  0.8  ,  7.658]])
    """

    __test__ = False
    lows, highs = (0, -5), (10, 5)
    conditional_point, convergence_point = (4, 4), (7, 2)
    degree = 3
    noise = stats.laplace

    def _location_and_scale(self, X):
        X = self._checked(X)
        return 0.05 * X[:, :1] * X[:, 1:], 5 * np.sin(X[:, :1] + X[:, 1:]) ** 2 + 5


# The fields of `FMLocationScale`, and of each variant: vectors' length in the location, share of main effects, spread.
N_CATEGORIES, N_SELLERS, N_CONTINUOUS = 100, 300, 10
CATEGORIES = pd.Index([f"category_{i:03d}" for i in range(N_CATEGORIES)])
SELLERS = pd.Index([f"seller_{i:03d}" for i in range(N_SELLERS)])
CONTINUOUS = [f"x{i:02d}" for i in range(1, N_CONTINUOUS + 1)]
FM_VARIANTS = {"base": (2, 0.5, 25), "easy": (2, 0.7, 10), "hard": (4, 0.5, 25), "not_fm": (2, 0.5, 25)}
PARAMETER_SEED = 2026


class FactorizationMachine:
    r"""A random factorization machine of a category, a seller and continuous covariates, with mean 0 and variance 1.

    .. math:: z(x) = \sqrt{s} \sum_i w_i x_i + \sqrt{1 - s} \sum_{i < j} \langle v_i, v_j \rangle x_i x_j

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

    Examples
    --------
    >>> z = FactorizationMachine(2, 0.5, np.random.default_rng(0))
    >>> z(np.array([3, 3]), np.array([17, 17]), np.zeros((2, N_CONTINUOUS))).shape
    (2,)
    """

    def __init__(self, rank, main_share, rng):
        def standardised(*shape):
            draws = rng.normal(size=shape)
            return (draws - draws.mean(axis=0)) / draws.std(axis=0)

        weights = rng.normal(size=N_CONTINUOUS)
        self.weights = standardised(N_CATEGORIES), standardised(N_SELLERS), weights / np.linalg.norm(weights)
        vectors = rng.normal(size=(N_CONTINUOUS, rank)) / np.sqrt(N_CONTINUOUS)
        self.vectors = standardised(N_CATEGORIES, rank), standardised(N_SELLERS, rank), vectors
        # All products of two fields are uncorrelated, so that the variance of their sum is known.
        category, seller = (v.T @ v / len(v) for v in self.vectors[:2])
        continuous = vectors.T @ vectors
        variance = (category * seller + (category + seller) * continuous).sum()
        variance += np.triu((vectors @ vectors.T) ** 2, 1).sum()
        self.scales = np.sqrt([main_share / 3, (1 - main_share) / variance])

    def __call__(self, category, seller, x):
        """Return z for codes and continuous covariates, (n_rows,)."""
        main = self.weights[0][category] + self.weights[1][seller] + x @ self.weights[2]
        parts = self.vectors[0][category], self.vectors[1][seller], x @ self.vectors[2]
        squares = parts[0] ** 2 + parts[1] ** 2 + x**2 @ self.vectors[2] ** 2
        return self.scales[0] * main + self.scales[1] * (sum(parts) ** 2 - squares).sum(axis=1) / 2


class FMLocationScale(_LocationScale):
    r"""Monthly sales of a seller in a category: location and scale are factorization machines of the covariates.

    .. math::
        Y = \mu(x) + \sigma(x)\, \varepsilon, \qquad \mu = \max(100 + d\, z_\mu, 20), \qquad
        \sigma = \min\bigl(15 \log(1 + e^{0.54 + 0.5 z_\sigma}),\; 0.45\, \mu\bigr)

    with 100 categories, 300 sellers and ten continuous covariates, uniform on :math:`(-\sqrt 3, \sqrt 3)`; the noise
    is Gamma(4), standardised, which has skewness 1 and keeps sales positive. The SCF paper describes this design, but
    its parameters are not published: those here are ours, drawn once from a fixed seed.

    Parameters
    ----------
    variant : {"base", "easy", "hard", "not_fm"}
        `base`: vectors of length 2 and :math:`d = 25`. `easy`: :math:`d = 10` and more main effects. `hard`: vectors
        of length 4 in the location. `not_fm`: to the location come a wave in the first continuous covariate whose
        phase depends on the category, and :math:`|x_2|` with the sign of :math:`x_3`; no factorization machine holds
        them.

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

    def __init__(self, variant="base"):
        if variant not in FM_VARIANTS:
            raise ValueError(f"variant must be one of {list(FM_VARIANTS)}, got {variant!r}")
        self.variant = variant
        rank, main_share, self._spread = FM_VARIANTS[variant]
        rng = np.random.default_rng(PARAMETER_SEED)
        self._location = FactorizationMachine(rank, main_share, rng)
        self._scale = FactorizationMachine(2, main_share, rng)
        self._phase = rng.uniform(0, 2 * np.pi, N_CATEGORIES)

    def draw_covariates(self, n_rows, rng=None):
        """Return independent covariates, a data frame of shape (n_rows, 12): category, seller, x01 to x10."""
        rng = np.random.default_rng(rng)
        category, seller = rng.choice(CATEGORIES, n_rows), rng.choice(SELLERS, n_rows)
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), (n_rows, N_CONTINUOUS))
        return pd.DataFrame({"category": category, "seller": seller, **dict(zip(CONTINUOUS, x.T, strict=True))})

    def _location_and_scale(self, X):
        X = self._checked(X)
        category, seller = CATEGORIES.get_indexer(X["category"]), SELLERS.get_indexer(X["seller"])
        x = X[CONTINUOUS].to_numpy(dtype=float)
        z = self._location(category, seller, x)
        if self.variant == "not_fm":
            wave = np.sin(2 * x[:, 0] + self._phase[category])
            z = (z + wave + np.abs(x[:, 1]) * np.sign(x[:, 2])) / np.sqrt(2.5)
        location = np.maximum(100 + self._spread * z, 20)
        scale = 15 * np.logaddexp(0, 0.54 + 0.5 * self._scale(category, seller, x))
        return location[:, None], np.minimum(scale, 0.45 * location)[:, None]

    def _checked(self, X):
        check_fields(X, {"category": CATEGORIES, "seller": SELLERS}, CONTINUOUS)
        if not np.isfinite(X[CONTINUOUS].to_numpy(dtype=float)).all():
            raise ValueError("X must be finite, got NaN or infinity")
        return X


# Probability of death within a year at the ages 55, 56, ..., 100: United States life table 2011, NVSR 64 (11).
LIFE_TABLE = np.array([
    0.007779, 0.008415, 0.009074, 0.009727, 0.010371, 0.011034, 0.011738, 0.012489, 0.013335, 0.014319, 0.015482,
    0.016824, 0.018330, 0.019900, 0.021539, 0.023396, 0.025476, 0.027794, 0.030350, 0.033204, 0.036345, 0.039788,
    0.043720, 0.048335, 0.053650, 0.059565, 0.065848, 0.072956, 0.080741, 0.089357, 0.099650, 0.110901, 0.123146,
    0.136412, 0.150710, 0.166038, 0.182374, 0.199676, 0.217880, 0.236903, 0.256636, 0.276954, 0.297713, 0.318755,
    0.339914, 1.0,
])  # fmt: skip
FIRST_AGE, LAST_AGE = 55, 100
N_MONTHS = 12 * (LAST_AGE - FIRST_AGE + 1)

# Column of X with the effect, annual complications, the share that survives one, the share of survivors it disables.
TREATMENTS = {"none": (None, 0.0, 1.0, 0.0), "aspirin": (2, 0.0024, 0.9576, 0.058), "statin": (3, 0.001, 0.998, 0.0)}
DISABLED, ILL, CURED = 0.61, 0.5, 0.97  # quality of life, as a share of a healthy life's
OPERATION_CURES, OPERATION_FAILS = 0.8, 0.16  # the rest die of it
INOPERABLE_DEATH = 1 - (1 - 0.29) ** (1 / 12)  # monthly, from 0.29 a year


def monthly_probability(annual):
    r"""Return the monthly probability that gives a probability of `annual` over twelve months.

    .. math:: p = 1 - (1 - a)^{1/12}

    Parameters
    ----------
    annual : float or array
        :math:`a`, in [0, 1].

    Returns
    -------
    float or array like `annual`

    Examples
    --------
    >>> p = monthly_probability(0.29)
    >>> round(p, 4), round(1 - (1 - p) ** 12, 4)
    (0.0281, 0.29)
    """
    return 1 - (1 - annual) ** (1 / 12)


def operation_probability(age):
    """Return the probability that a cancer at this age is operated; otherwise the chain goes straight to the cure.

    Parameters
    ----------
    age : float or array
        In years.

    Returns
    -------
    float or array like `age`

    Examples
    --------
    >>> round(operation_probability(70), 4)
    0.9425
    """
    return 1.1035 - 0.0023 * age


def draw_natural_life(age, rng):
    """Draw the months until natural death: whole years and the six months of the last.

    Parameters
    ----------
    age : array of int of shape (n_rows,)
        From `FIRST_AGE` to `LAST_AGE`.
    rng : numpy.random.Generator
        One uniform number is used per row.

    Returns
    -------
    array of int of shape (n_rows,), in months

    Examples
    --------
    >>> draw_natural_life(np.array([55, 100]), np.random.default_rng(0)) % 12
    array([6, 6])
    """
    alive = np.append(1.0, np.cumprod(1 - LIFE_TABLE))  # at the ages 55, 56, ..., 101
    chance = alive[age - FIRST_AGE] * (1 - rng.random(len(age)))
    last_age = np.searchsorted(-alive, -chance, side="right") - 1 + FIRST_AGE
    return 12 * (last_age - age) + 6


def draw_stay(leave, n_rows, rng):
    """Draw the months in a state that is left with the same probability every month: a geometric law.

    Parameters
    ----------
    leave : float or array of shape (n_rows,)
        That probability, in [0, 1).
    n_rows : int
    rng : numpy.random.Generator
        One exponential number is used per row.

    Returns
    -------
    array of int of shape (n_rows,), in months
        From 1 to `N_MONTHS`.

    Examples
    --------
    >>> round(float(draw_stay(0.1, 100_000, np.random.default_rng(0)).mean()), 1)  # 1 / 0.1
    10.0
    """
    rate = np.maximum(-np.log1p(-leave), 1e-9)
    return np.minimum(rng.exponential(size=n_rows) // rate + 1, N_MONTHS).astype(int)  # nobody lives longer


class CancerSimulator(_Simulator):
    r"""Quality-adjusted life years of a patient with Barrett's oesophagus, under one treatment.

    A Markov chain in months. A patient on the drug gets cancer, or a complication of the drug, at an annual rate of
    :math:`r (1 - e) + c` for risk :math:`r`, effect :math:`e` and complications :math:`c`. Whoever survives the
    complication lives on without the drug (after aspirin, some of them disabled). One month after the onset of cancer
    comes an operation, or at once the cure; the operation takes a month and ends in cure, death or inoperable cancer.
    Natural death strikes in the middle of a year of age, as in the life table.

    Nothing in the chain returns to an earlier state, so that `draw` draws the lengths of the stays, which are
    geometric, and not the months. `mean` walks the months backwards and is exact.

    Parameters
    ----------
    treatment : {"aspirin", "statin", "none"}
        The paper compares the first two.

    Attributes
    ----------
    conditional_point : tuple
        The patient of the paper's table 2: age, annual risk of cancer, effect of aspirin, effect of statin.

    Raises
    ------
    ValueError
        If `treatment` is unknown; by `draw` and `mean`, if an age is not a whole number from 55 to 100, a risk is
        outside [0, 0.99] or an effect outside [0, 1].

    Notes
    -----
    Hur, Nishioka and Gazelle (2004); Choi, Perzan, Tramontano, Kong and Hur (2014); settings as in "Learning to
    simulate", where the basis has degree 2 (14 columns). Chapter 6.

    Examples
    --------
    >>> aspirin, statin = CancerSimulator("aspirin"), CancerSimulator("statin")
    >>> patient = aspirin.conditional_point
    >>> float((statin.mean(patient) - aspirin.mean(patient))[0].round(2)), aspirin.draw([patient] * 3, rng=0).round(1)
    (0.58, array([17.4,  9.5,  1.5]))
    """

    lows, highs = (55, 0, 0, 0), (80, 0.1, 1, 1)
    conditional_point = (70, 0.05, 0.2, 0.8)
    degree = 2

    def __init__(self, treatment="aspirin"):
        if treatment not in TREATMENTS:
            raise ValueError(f"treatment must be one of {list(TREATMENTS)}, got {treatment!r}")
        self.treatment = treatment

    def draw_covariates(self, n_rows, rng=None):
        """Return independent patients, (n_rows, 4): whole ages, the rest uniform between `lows` and `highs`."""
        rng = np.random.default_rng(rng)
        X = super().draw_covariates(n_rows, rng)
        X[:, 0] = rng.integers(self.lows[0], self.highs[0], size=n_rows, endpoint=True)
        return X

    def mean(self, X):
        r"""Return the exact expected quality-adjusted life years, by recursion from the last month to the first.

        The value of a state is what this month adds and the expected value of the next: :math:`v_t = w + P_t v_{t+1}`.

        Parameters
        ----------
        X : array of shape (n_rows, 4)

        Returns
        -------
        array of shape (n_rows,), in years
        """
        X = self._checked(X)
        age, off_drug, leave, to_cancer, survives, disabled = self._rates(X)
        drug = undrugged = complication = cancer = operation = cured = inoperable = np.zeros(len(X))
        for month in reversed(range(N_MONTHS)):
            now = np.minimum(age + month // 12, LAST_AGE)
            lives = 1 - LIFE_TABLE[now - FIRST_AGE] * (month % 12 == 5)
            operable = operation_probability(now)
            drug, undrugged, complication, cancer, operation, cured, inoperable = (
                1 + lives * ((1 - leave) * drug + leave * (to_cancer * cancer + (1 - to_cancer) * complication)),
                1 + lives * ((1 - off_drug) * undrugged + off_drug * cancer),
                1 + lives * survives * (1 - disabled * (1 - DISABLED)) * undrugged,
                ILL + lives * (operable * operation + (1 - operable) * cured),
                ILL + lives * (OPERATION_CURES * cured + OPERATION_FAILS * inoperable),
                CURED + lives * cured,
                ILL + lives * (1 - INOPERABLE_DEATH) * inoperable,
            )
        return drug / 12

    def _draw(self, X, rng):
        age, off_drug, leave, to_cancer, survives, disabled = self._rates(X)
        n = len(X)
        life = draw_natural_life(age, rng)
        # All times are months since the start. The month of a complication counts like one on the drug.
        complicated = rng.random(n) >= to_cancer
        change = draw_stay(leave, n, rng) + complicated
        life = np.where(complicated & (rng.random(n) >= survives), np.minimum(life, change), life)
        onset = change + np.where(complicated, draw_stay(off_drug, n, rng), 0)
        operated = rng.random(n) < operation_probability(age + onset // 12)
        outcome = onset + 1 + operated
        fate = rng.random(n)
        cured = ~operated | (fate < OPERATION_CURES)
        inoperable = ~cured & (fate < OPERATION_CURES + OPERATION_FAILS)
        death = outcome + np.select([cured, inoperable], [N_MONTHS, draw_stay(INOPERABLE_DEATH, n, rng)], 0)

        def lived(start, end):
            return (np.minimum(end, life) - start).clip(0)

        later = lived(change, onset) + ILL * lived(onset, outcome) + np.where(cured, CURED, ILL) * lived(outcome, death)
        return (lived(0, change) + np.where(complicated & (rng.random(n) < disabled), DISABLED, 1.0) * later) / 12

    def _rates(self, X):
        """Age, then the monthly probabilities of cancer off the drug and of leaving it, and what follows from there."""
        effect, complications, survives, disabled = TREATMENTS[self.treatment]
        cancer = X[:, 1] * (1 - (X[:, effect] if effect else 0.0))
        leave = cancer + complications
        to_cancer = np.divide(cancer, leave, out=np.ones(len(X)), where=leave > 0)
        off_drug, leave = monthly_probability(X[:, 1]), monthly_probability(leave)
        return X[:, 0].astype(int), off_drug, leave, to_cancer, survives, disabled

    def _checked(self, X):
        X = super()._checked(X)
        age, shares = X[:, 0], X[:, 1:]
        bad = (age != age.round()) | (age < FIRST_AGE) | (age > LAST_AGE)
        if bad.any():
            expected = f"whole ages from {FIRST_AGE} to {LAST_AGE} in its first column"
            raise ValueError(f"X must have {expected}, got {age[bad][0]:g}")
        bad = ((shares < 0) | (shares > [0.99, 1, 1])).any(axis=1)
        if bad.any():
            expected = "a risk in [0, 0.99] and effects in [0, 1] in its last three columns"
            raise ValueError(f"X must have {expected}, got {shares[bad][0].tolist()}")
        return X


N_COUNTERS = 6


class BankQueue(_Simulator):
    r"""A day in a bank: six counters, customers with priority, and customers who leave before they are served.

    Normal and priority customers come in two Poisson streams from 9:00 to 17:00; the first of each stream stands at
    the door at 9:00. A customer joins the counter with the fewest customers, the one in service included; on ties, the
    counter with the lowest number. A counter serves priority customers first, but interrupts no service; service times
    are exponential. A customer whose patience, Gamma(m, 1), ends before service starts, leaves.

    Customers who left count in the mean time in the system, with their patience. Overtime is how long after 17:00 the
    last customer leaves. The few who are still there at 21:00 count nowhere.

    Attributes
    ----------
    outputs : tuple of str
        Names of the columns of `draw`: times in minutes, rates as shares of the customers.
    conditional_point : tuple
        Arrival rates (normal, priority), six service rates, all per minute, and the two mean patiences in minutes.

    Notes
    -----
    E-companion of "Learning to simulate", whose authors learn it by quantile regression neural networks; the basis of
    degree 2 (65 columns) is ours. Chapter 6.

    Examples
    --------
    >>> bank = BankQueue()
    >>> dict(zip(bank.outputs, bank.draw(bank.conditional_point, rng=0)[0].round(2).tolist()))
    {'time_normal': 16.69, 'reneged_normal': 0.15, 'time_priority': 13.94, 'reneged_priority': 0.17, 'overtime': 29.97}
    """

    lows = (1 / 5, 1 / 10) + N_COUNTERS * (1 / 20,) + (15, 10)
    highs = (1, 1 / 5) + N_COUNTERS * (1 / 10,) + (20, 15)
    conditional_point = (1 / 4, 1 / 8, 1 / 15, 1 / 16, 1 / 17, 1 / 19, 1 / 11, 1 / 13, 18, 12)
    outputs = ("time_normal", "reneged_normal", "time_priority", "reneged_priority", "overtime")
    degree = 2

    def _draw(self, X, rng):
        # Priority customers stand in the first columns, so that among those who wait the lowest column is next.
        priority, normal = draw_arrivals(X[:, 1], rng), draw_arrivals(X[:, 0], rng)
        arrival = np.hstack([priority, normal])
        is_priority = np.arange(arrival.shape[1]) < priority.shape[1]
        deadline = arrival + rng.standard_gamma(np.where(is_priority, X[:, [9]], X[:, [8]]))
        end, served = serve(arrival, deadline, rng.standard_exponential(arrival.shape), X[:, 2 : 2 + N_COUNTERS])
        seen = end <= LAST
        time = np.subtract(end, arrival, out=np.zeros(end.shape), where=seen)
        columns = []
        for group in (~is_priority, is_priority):
            n_seen = np.maximum(seen[:, group].sum(axis=1), 1)
            columns += [time[:, group].sum(axis=1) / n_seen, (seen & ~served)[:, group].sum(axis=1) / n_seen]
        overtime = np.max(end, axis=1, where=seen, initial=OPEN) - OPEN
        return np.column_stack([*columns, overtime])

    def _checked(self, X):
        X = super()._checked(X)
        if (X <= 0).any():
            raise ValueError(f"X must have positive rates and patiences, got {X.min():g}")
        return X
