r"""Copulas: what ties many laws together, each law kept as it is.

A copula is the joint law of uniforms; putting :math:`Y_i = Q_i(U_i)` gives every :math:`Y_i` its own law and all of
them the copula's dependence (Sklar). Here are the four that the book uses: Gaussian and t, with a correlation matrix
or with a few common factors, Clayton, and vines. Chapter 14 ties three parties of a supply chain, chapter 18 the sales
of many sellers.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri, stdtr
from sklearn.decomposition import FactorAnalysis
from statsmodels.stats.correlation_tools import corr_clipped

from qrgmm.checks import Rng, check_count, check_per_row

if TYPE_CHECKING:
    import pyvinecopulib as pv

# Sums of exponentials beyond this exponent lose what is added to them anyway, and overflow at 709.
LARGE = 500.0


class EllipticalCopula:
    r"""Gaussian copula, or t copula with `df` degrees of freedom, from a correlation matrix or from common factors.

    .. math:: U_i = F(X_i), \qquad X = \sqrt{\nu / W}\, Z, \qquad
        Z \sim N(0, R) \quad\text{or}\quad Z_i = b_i'f + \sqrt{1 - \lVert b_i\rVert^2}\,\varepsilon_i

    with :math:`W \sim \chi^2_\nu` and :math:`F` the distribution function of :math:`X_i`; for the Gaussian copula
    :math:`X = Z`. Factors cost `n_dims` times `n_factors` numbers where a matrix costs `n_dims` squared.

    Parameters
    ----------
    correlation : array of shape (n_dims, n_dims), optional
        Positive definite, with ones on the diagonal.
    loadings : array of shape (n_dims,) or (n_dims, n_factors), optional
        Instead of `correlation`: the rows :math:`b_i`, each of length at most 1. All ones are the comonotone case,
        zeros independence.
    df : float
        :math:`\nu`, positive; infinite is the Gaussian copula.

    Raises
    ------
    ValueError
        If not exactly one of `correlation` and `loadings` is given, or it is no correlation matrix, or rows are longer
        than 1, or `df` is not positive.

    Notes
    -----
    McNeil, Frey and Embrechts, "Quantitative risk management", chapters 7 and 11; chapter 18.

    Examples
    --------
    >>> u = EllipticalCopula(loadings=[0.8, 0.8]).sample(10_000, rng=0)
    >>> round(float(stats.spearmanr(u).statistic), 2)  # in theory 6/pi arcsin(0.64/2) = 0.62
    0.61
    """

    def __init__(
        self, correlation: ArrayLike | None = None, loadings: ArrayLike | None = None, df: float = np.inf
    ) -> None:
        if (correlation is None) == (loadings is None):
            given = "neither" if correlation is None else "both"
            raise ValueError(f"either correlation or loadings must be given, got {given}")
        if not df > 0:
            raise ValueError(f"df must be positive, got {df!r}")
        self.df = df
        self.correlation: np.ndarray | None = None
        self.loadings: np.ndarray | None = None
        if correlation is not None:
            self.correlation = _correlation(correlation)
            self._root = np.linalg.cholesky(self.correlation)
            self.n_dims = len(self._root)
        else:
            self.loadings = _loadings(loadings)
            self.n_dims = len(self.loadings)

    def sample(
        self, n_scenarios: int, rng: Rng = None, factor: ArrayLike | None = None
    ) -> np.ndarray:
        """Return independent scenarios of the uniforms.

        Parameters
        ----------
        n_scenarios : int
        rng : numpy.random.Generator, int or None
        factor : float or array of shape (n_factors,), optional
            Common factors held at these values, in standard deviations: a stress. Needs `loadings`.

        Returns
        -------
        array of shape (n_scenarios, n_dims)

        Raises
        ------
        ValueError
            If a factor is given and there are no loadings, or not one for each of their columns, or `n_scenarios` is
            not a whole number of at least 1.
        """
        rng = np.random.default_rng(rng)
        n_scenarios = check_count("n_scenarios", n_scenarios)
        if factor is not None and self.loadings is None:
            raise ValueError(
                "factor can be held only by a copula with loadings, "
                "this one has a correlation matrix"
            )
        x = rng.standard_normal((n_scenarios, self.n_dims))
        if self.loadings is None:
            x = x @ self._root.T
        else:
            shape = (n_scenarios, self.loadings.shape[1])
            if factor is None:
                common = rng.standard_normal(shape)
            else:
                common = np.broadcast_to(check_per_row("factor", factor, shape[1]), shape)
            x *= np.sqrt((1 - (self.loadings**2).sum(axis=1)).clip(0))
            x += common @ self.loadings.T
        if self.df == np.inf:
            return ndtr(x, out=x)
        x *= np.sqrt(self.df / rng.chisquare(self.df, (n_scenarios, 1)))
        return stdtr(self.df, x, out=x)


class ClaytonCopula:
    r"""Clayton copula in any dimension: dependence in the lower tail, all pairs alike.

    .. math:: C(u; \theta) = \Bigl(\sum_{i=1}^d u_i^{-\theta} - d + 1\Bigr)^{-1/\theta}

    Parameters
    ----------
    theta : float
        Positive; towards 0 independence, towards infinity the comonotone case. Kendall's tau of every pair is
        :math:`\theta / (\theta + 2)`.
    n_dims : int
        :math:`d`, at least 2.

    Raises
    ------
    ValueError
        If `theta` is not positive and finite or `n_dims` below 2.

    Notes
    -----
    Equation 4 of the early-warning paper, whose `d` is 3; chapter 14.

    Examples
    --------
    >>> float(ClaytonCopula(theta=1.0, n_dims=3).cdf([0.5, 0.5, 0.5]))  # 1 / (2 + 2 + 2 - 2)
    0.25
    """

    def __init__(self, theta: float, n_dims: int = 3) -> None:
        is_number = np.isscalar(theta)
        if not (is_number and 0 < theta < np.inf):
            raise ValueError(f"theta must be positive and finite, got {theta!r}")
        self.theta, self.n_dims = float(theta), check_count("n_dims", n_dims, least=2)

    def cdf(self, u: ArrayLike) -> np.ndarray:
        """Return the probability that no uniform exceeds its `u`, from uniforms (..., n_dims): an array (...)."""
        with np.errstate(divide="ignore"):
            return np.exp(-_log_sum(self.theta, np.log(_uniforms(u, self.n_dims))) / self.theta)

    def logpdf(self, u: ArrayLike) -> np.ndarray:
        r"""Return the log density.

        .. math:: \sum_{k<d} \log(1 + k\theta) - (1 + \theta) \sum_i \log u_i
            - (d + 1/\theta) \log\Bigl(\sum_i u_i^{-\theta} - d + 1\Bigr)

        Parameters
        ----------
        u : array of shape (..., n_dims)
            Inside (0, 1).

        Returns
        -------
        array of shape (...)
        """
        log_u, theta = np.log(_uniforms(u, self.n_dims)), self.theta
        constant = np.log1p(theta * np.arange(self.n_dims)).sum()
        sums = (self.n_dims + 1 / theta) * _log_sum(theta, log_u)
        return constant - (1 + theta) * log_u.sum(axis=-1) - sums

    def sample(self, n_scenarios: int, rng: Rng = None) -> np.ndarray:
        r"""Return independent scenarios of the uniforms, by the method of Marshall and Olkin (1988).

        With a common :math:`V \sim \Gamma(1/\theta)` and independent exponentials
        :math:`E_i`, :math:`U_i = (1 + E_i/V)^{-1/\theta}`.

        Parameters
        ----------
        n_scenarios : int
        rng : numpy.random.Generator, int or None

        Returns
        -------
        array of shape (n_scenarios, n_dims)
        """
        rng, n_scenarios = np.random.default_rng(rng), check_count("n_scenarios", n_scenarios)
        # Log of a gamma variate, which itself underflows for large theta: G(a) = G(a + 1) U^(1/a) in law.
        shape = 1 / self.theta
        size = (n_scenarios, 1)
        log_v = np.log(rng.standard_gamma(shape + 1, size)) - rng.standard_exponential(size) * self.theta
        log_e = np.log(rng.standard_exponential((n_scenarios, self.n_dims)))
        return np.exp(-np.logaddexp(0, log_e - log_v) / self.theta)


class VineCopula:
    """Vine copula: pairs of any family, put together tree by tree; fitted by pyvinecopulib.

    Parameters
    ----------
    vine : pyvinecopulib.Vinecop
        For example what `fit_copula` chose.

    Notes
    -----
    Aas, Czado, Frigessi and Bakken (2009); chapter 18. For tens of sellers: it has ``n_dims (n_dims - 1) / 2`` pairs.

    Examples
    --------
    >>> import pyvinecopulib as pv
    >>> VineCopula(pv.Vinecop(3)).sample(5, rng=0).shape
    (5, 3)
    """

    def __init__(self, vine: "pv.Vinecop") -> None:
        self.vine, self.n_dims = vine, vine.dim

    def sample(self, n_scenarios: int, rng: Rng = None) -> np.ndarray:
        """Return independent scenarios of the uniforms, (n_scenarios, n_dims); the vine's seed comes from `rng`."""
        seeds = np.random.default_rng(rng).integers(2**31, size=4)
        return self.vine.sample(check_count("n_scenarios", n_scenarios), seeds=seeds.tolist())


Copula = EllipticalCopula | ClaytonCopula | VineCopula


def pseudo_observations(values: ArrayLike) -> np.ndarray:
    """Return the ranks of every column, divided by the number of rows plus 1.

    Parameters
    ----------
    values : array of shape (n_rows, n_dims)
        For example the residual levels of a sales model, ``curve.cdf(sales)``, one row per month.

    Returns
    -------
    array of shape (n_rows, n_dims), inside (0, 1); ties share their mean rank

    Raises
    ------
    ValueError
        If there are fewer than two rows, or values are not finite.

    Examples
    --------
    >>> pseudo_observations([[3.0], [1.0], [2.0]]).ravel()
    array([0.75, 0.25, 0.5 ])
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"values must have shape (n_rows, n_dims) with at least two rows, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, got NaN or infinity")
    return stats.rankdata(values, axis=0) / (len(values) + 1)


def estimate_theta(u: ArrayLike, method: Literal["likelihood", "tau"] = "likelihood") -> float:
    r"""Return Clayton's :math:`\theta`, estimated from uniforms.

    By Kendall's tau, :math:`\theta = 2\tau / (1 - \tau)` at the mean :math:`\tau` of all pairs, or by maximum
    likelihood.

    Parameters
    ----------
    u : array of shape (n_rows, n_dims)
        Inside (0, 1), for example `pseudo_observations`.
    method : {"likelihood", "tau"}

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the mean of Kendall's tau is not positive (no Clayton copula here is like that) or 1, or `u` is not
        inside (0, 1), has fewer than two columns, or has one value only in one of them.

    Notes
    -----
    The early-warning paper sets :math:`\theta = 1`; chapter 14 estimates it. Genest and Rivest (1993).

    Examples
    --------
    >>> u = ClaytonCopula(theta=2.0).sample(2000, rng=0)
    >>> round(estimate_theta(u), 1), round(estimate_theta(u, "tau"), 1)
    (2.0, 2.0)
    """
    u = _uniforms(u)
    if u.ndim != 2 or ((u <= 0) | (u >= 1)).any():
        raise ValueError(f"u must have shape (n_rows, n_dims) and lie inside (0, 1), got shape {u.shape}, "
                         f"{u.min():g} to {u.max():g}")
    if method not in ("likelihood", "tau"):
        raise ValueError(f"method must be 'likelihood' or 'tau', got {method!r}")
    n_dims = u.shape[1]
    if n_dims < 2:
        raise ValueError(f"u must have at least two columns, got {n_dims}")
    _refuse_constant("u", u)
    tau = np.mean(pd.DataFrame(u).corr("kendall").to_numpy()[np.triu_indices(n_dims, 1)])
    if not 0 < tau < 1:
        raise ValueError(f"u must depend positively for a Clayton copula, but the mean of Kendall's tau is {tau:.3g}")
    theta = 2 * tau / (1 - tau)
    if method == "tau":
        return float(theta)

    def loss(log_theta):
        return -ClaytonCopula(float(np.exp(log_theta)), n_dims).logpdf(u).sum()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(theta) - 3, np.log(theta) + 3), method="bounded").x))


def fit_copula(
    values: ArrayLike,
    family: Literal["gaussian", "t", "clayton", "vine"] = "gaussian",
    n_factors: int | None = None,
) -> Copula:
    """Fit a copula to the ranks of every column.

    Parameters
    ----------
    values : array of shape (n_rows, n_dims)
        One row per month; only ranks matter. For sellers, the residual levels ``curve.cdf(sales)`` of a sales model.
    family : {"gaussian", "t", "clayton", "vine"}
        Correlations come from Kendall's tau, with negative eigenvalues clipped where there are any; the degrees
        of freedom, Clayton's theta and the pairs of a vine by maximum likelihood.
        A column without variation, a seller that never sold, is taken for independent of the others; a Clayton copula,
        whose pairs are all alike, can't say that.
    n_factors : int, optional
        Gaussian and t copulas: this many common factors, by maximum likelihood from the normal scores, instead of a
        correlation matrix; for more than a hundred or so columns, whose pairs are too many for Kendall's tau.

    Returns
    -------
    EllipticalCopula, ClaytonCopula or VineCopula

    Raises
    ------
    ValueError
        If the family is unknown, factors are asked for where there are none, `n_factors` is not a whole number of at
        least 1, there are fewer than two columns, or a Clayton copula is asked for a column without variation.

    Notes
    -----
    Genest, Ghoudi and Rivest (1995) on ranks; McNeil, Frey and Embrechts, section 7.5; chapter 18.

    Examples
    --------
    >>> u = EllipticalCopula([[1.0, 0.5], [0.5, 1.0]]).sample(5000, rng=0)
    >>> fit_copula(u).correlation.round(1)
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    u = pseudo_observations(values)
    if u.shape[1] < 2:
        raise ValueError(f"values must have at least two columns, got {u.shape[1]}")
    if family not in ("gaussian", "t", "clayton", "vine"):
        raise ValueError(f"family must be 'gaussian', 't', 'clayton' or 'vine', got {family!r}")
    if n_factors is not None and family not in ("gaussian", "t"):
        raise ValueError(f"n_factors goes with the families 'gaussian' and 't', got {n_factors!r} with {family!r}")
    n_factors = None if n_factors is None else check_count("n_factors", n_factors)
    if family == "clayton":
        _refuse_constant("values", u)
        return ClaytonCopula(estimate_theta(u), u.shape[1])
    if family == "vine":
        import pyvinecopulib as pv  # a second to import, and only vines need it

        # Parametric pairs: nonparametric ones have no tail to speak of beyond the data.
        controls = pv.FitControlsVinecop(family_set=pv.families.parametric)
        return VineCopula(pv.Vinecop.from_data(u, controls=controls))
    form = {"loadings": _fit_loadings(u, n_factors)} if n_factors else {"correlation": _fit_correlation(u)}
    if family == "gaussian":
        return EllipticalCopula(**form)

    def loss(log_df):
        return -_t_log_likelihood(u, EllipticalCopula(**form, df=float(np.exp(log_df))))

    return EllipticalCopula(**form, df=float(np.exp(minimize_scalar(loss, bounds=(0.0, 5.0), method="bounded").x)))


def _fit_correlation(u):
    # Without variation there is no tau: independent of the others.
    tau = pd.DataFrame(u).corr("kendall").fillna(0.0).to_numpy()
    correlation = np.sin(np.pi / 2 * tau)
    np.fill_diagonal(correlation, 1.0)
    if np.linalg.eigvalsh(correlation)[0] > 1e-8:
        return correlation
    return corr_clipped(correlation, threshold=1e-4)


def _fit_loadings(u, n_factors):
    loadings, varies = np.zeros((u.shape[1], n_factors)), np.ptp(u, axis=0) > 0
    if varies.any():
        factors = FactorAnalysis(n_factors).fit(ndtri(u[:, varies]))
        total = (factors.components_**2).sum(axis=0) + factors.noise_variance_
        found = factors.components_.T / np.sqrt(total)[:, None]
        loadings[varies, : found.shape[1]] = found  # never more factors than columns
    return loadings


def _refuse_constant(name, u):
    constant = np.flatnonzero(np.ptp(u, axis=0) == 0)
    if len(constant):
        raise ValueError(
            f"{name} must vary in every column for a Clayton copula, but column {constant[0]} has one value only"
        )


def _t_log_likelihood(u, copula):
    x = stats.t.ppf(u, copula.df)
    correlation = copula.correlation
    if correlation is None:
        correlation = copula.loadings @ copula.loadings.T
        np.fill_diagonal(correlation, 1.0)
    joint = stats.multivariate_t(shape=correlation, df=copula.df).logpdf(x)
    return float(joint.sum() - stats.t.logpdf(x, copula.df).sum())


def _log_sum(theta, log_u):
    r"""Return :math:`\log(\sum_i u_i^{-\theta} - d + 1)` without cancellation near 0 and without overflow."""
    power = -theta * log_u
    top = power.max(axis=-1)
    small = np.log1p(np.expm1(np.minimum(power, LARGE)).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        large = top + np.log(np.exp(power - top[..., None]).sum(axis=-1))
    return np.where(top < LARGE, small, np.where(np.isinf(top), np.inf, large))


def _uniforms(u, n_dims=None) -> np.ndarray:
    u = np.asarray(u, dtype=float)
    if n_dims is not None and u.shape[-1:] != (n_dims,):
        raise ValueError(f"u must have shape (..., {n_dims}), got shape {u.shape}")
    if not ((u >= 0) & (u <= 1)).all():
        raise ValueError(f"u must lie in [0, 1], got {u.min():g} to {u.max():g}")
    return u


def _correlation(matrix) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"correlation must be a square matrix, got shape {matrix.shape}")
    if not (np.isfinite(matrix).all() and np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1)):
        expected = "finite and symmetric with ones on the diagonal"
        low, high, apart = np.diag(matrix).min(), np.diag(matrix).max(), np.abs(matrix - matrix.T).max()
        found = f"{low:g} to {high:g} there and entries that differ by {apart:g} from those across it"
        raise ValueError(f"correlation must be {expected}, got {found}")
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(matrix)[0]
        raise ValueError(f"correlation must be positive definite, but its smallest eigenvalue is {least:.3g}") from None
    return matrix


def _loadings(loadings) -> np.ndarray:
    loadings = np.asarray(loadings, dtype=float)
    loadings = loadings[:, None] if loadings.ndim == 1 else loadings
    if loadings.ndim != 2 or 0 in loadings.shape or not np.isfinite(loadings).all():
        raise ValueError(f"loadings must be finite with shape (n_dims, n_factors), got shape {loadings.shape}")
    longest = np.sqrt((loadings**2).sum(axis=1).max())
    if longest > 1 + 1e-12:
        raise ValueError(f"loadings must have rows of length at most 1, got {longest:.3g}")
    return loadings
