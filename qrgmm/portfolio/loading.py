r"""How much loans of one origin share: a common factor measured from normal scores, and what it does to one vintage.

If laws are right, outcomes are uniform in them and their normal scores standard normal. A factor that all loans of an
origin share moves the scores of an origin together, :math:`z_i = \rho F + \sqrt{1 - \rho^2}\,\varepsilon_i`; the
*loading* :math:`\rho` is seen in how far the means of origins lie apart. There are few origins, and their horizons
overlap: the band is wide, and says so. Chapter 16.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import ndtr, ndtri

from qrgmm.checks import Rng, check_count, check_level, check_sample, check_span

NODES = ndtri((np.arange(400) + 0.5) / 400)  # of the standard normal law, all of one weight


class Loading(NamedTuple):
    r"""A loading and its band.

    Attributes
    ----------
    loading, low, high : float
        :math:`\rho`, at least 0.
    """

    loading: float
    low: float
    high: float


def common_loading(
    scores: ArrayLike,
    origins: ArrayLike,
    horizon: str | pd.Timedelta = "90D",
    confidence: float = 0.9,
    n_draws: int = 20_000,
    rng: Rng = 0,
) -> Loading:
    r"""Return the loading of normal scores on a factor that all loans of an origin share, with its band.

    With :math:`m_t` the mean score of origin :math:`t`, :math:`Q = \sum_t (m_t - \bar m)^2`, and :math:`\Gamma_{st} =
    \max(0, 1 - |s - t| / h)` the overlap of two horizons,

    .. math:: \hat\rho^2 + \hat\sigma^2 = \frac{Q}{\mathrm{tr}(C \Gamma)}, \qquad
        Q \sim (\rho^2 + \sigma^2)\, x' C x, \quad x \sim N(0, \Gamma)

    :math:`C = I - 11'/T` takes off the mean and :math:`\sigma^2` is what independent loans would leave over. The band
    divides :math:`Q` by quantiles of the quadratic form, which are drawn.

    Parameters
    ----------
    scores : array of shape (n_rows,)
        Normal scores of outcomes; their variance within origins and between them is set to 1.
    origins : array of datetimes of shape (n_rows,)
    horizon : str or pandas.Timedelta
        Of the outcomes.
    confidence : float
        Of the band.
    n_draws : int
    rng : numpy.random.Generator, int or None

    Returns
    -------
    Loading

    Raises
    ------
    ValueError
        If there are fewer than three origins, an origin has fewer than two rows, scores don't vary, or lengths differ.

    Notes
    -----
    The factor of a horizon is taken for a sum of independent shocks of its days. A drift of the means counts as factor
    as far as it goes; a bias that all origins share does not count. Chapter 16.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> origins = np.repeat(pd.date_range("2020-01-01", periods=20, freq="QS"), 500)
    >>> factor = np.repeat(rng.normal(size=20), 500)
    >>> scores = 0.3 * factor + np.sqrt(1 - 0.3**2) * rng.normal(size=10_000)
    >>> found = common_loading(scores, origins)
    >>> found.low < 0.3 < found.high
    True
    """
    scores = check_sample("scores", scores)
    confidence = check_level("confidence", confidence)
    moments = pd.DatetimeIndex(origins)
    if len(moments) != len(scores) or moments.hasnans:
        got = f"{len(scores)} scores, got {moments.notna().sum()}"
        raise ValueError(f"origins must be a day for each of {got}")
    if scores.std() == 0:
        raise ValueError("scores must vary, got one value only")
    by_origin = pd.Series((scores - scores.mean()) / scores.std()).groupby(moments)
    means, sizes = by_origin.mean(), by_origin.size()
    if len(means) < 3 or sizes.min() < 2:
        got = f"got {len(means)}, the smallest of {sizes.min()}"
        raise ValueError(f"origins must be three or more, of two rows or more, {got}")
    time = (means.index - means.index[0]) / check_span("horizon", horizon)
    apart = np.abs(np.subtract.outer(time.to_numpy(), time.to_numpy()))
    overlap = np.clip(1 - apart, 0, None)
    centre = np.eye(len(means)) - 1 / len(means)
    eigenvalues = np.linalg.eigvalsh(centre @ overlap @ centre).clip(0)
    shape = check_count("n_draws", n_draws), len(means)
    draws = np.random.default_rng(rng).chisquare(1, shape) @ eigenvalues
    spread = ((means - means.mean()) ** 2).sum()
    noise = (by_origin.var() / sizes).mean()
    tails = np.quantile(draws, [(1 + confidence) / 2, (1 - confidence) / 2])
    squares = np.array([spread / eigenvalues.sum(), *(spread / tails)]) - noise
    return Loading(*np.sqrt(squares.clip(0, 1)).tolist())


def pair_correlation(scores: ArrayLike, groups: ArrayLike, clusters: ArrayLike) -> tuple[float, float]:
    r"""Return the mean correlation of pairs of the same group and cluster, and its clustered error.

    .. math:: \frac{\sum_g \bigl[(\sum_{i \in g} z_i)^2 - \sum_{i \in g} z_i^2\bigr]}{\sum_g n_g (n_g - 1)}

    over the variance of the scores. It is above 0 where members rise and fall together, as complements do, and below 0
    where one sells what the other doesn't, as substitutes do.

    Parameters
    ----------
    scores : array of shape (n_rows,)
        Of mean about 0; less the mean of their cluster for what is shared beyond the factor of all.
    groups : array of shape (n_rows,)
        Categories, states, sellers of products.
    clusters : array of shape (n_rows,)
        Origins: pairs are formed within them.

    Returns
    -------
    correlation, error : float

    Raises
    ------
    ValueError
        If lengths differ, there is no pair, or there are fewer than two clusters.

    Examples
    --------
    >>> pair_correlation([1.0, 1.0, -1.0, -1.0], list("aabb"), [0, 0, 1, 1])
    (1.0, 0.0)
    """
    scores = check_sample("scores", scores)
    table = pd.DataFrame({"group": np.asarray(groups), "cluster": np.asarray(clusters)})
    if len(table) != len(scores) or table.isna().any(axis=None):
        raise ValueError(f"groups and clusters must have a label for each of {len(scores)} scores, got {len(table)}")
    sums = table.assign(z=scores, square=scores**2, n=1.0).groupby(["cluster", "group"], sort=False).sum()
    of_group = pd.DataFrame({"product": sums["z"] ** 2 - sums["square"], "pairs": sums["n"] * (sums["n"] - 1)})
    of_cluster = of_group.groupby("cluster").sum()
    n_clusters, n_pairs = len(of_cluster), of_cluster["pairs"].sum()
    if n_clusters < 2 or n_pairs == 0:
        raise ValueError(f"groups must hold pairs in two clusters or more, got {n_pairs:.0f} in {n_clusters}")
    mean, variance = of_cluster["product"].sum() / n_pairs, scores.var()
    excess = of_cluster["product"] - mean * of_cluster["pairs"]
    error = np.sqrt(n_clusters / (n_clusters - 1) * (excess**2).sum()) / n_pairs
    return float(mean / variance), float(error / variance)


def vintage_share(
    probability: float,
    loading: float,
    levels: ArrayLike,
    n_loans: int | None = None,
) -> np.ndarray:
    r"""Return quantiles of the default share of one vintage whose loans share a factor.

    .. math:: \Phi\Bigl(\frac{\Phi^{-1}(p) + \rho\, \Phi^{-1}(q)}{\sqrt{1 - \rho^2}}\Bigr)

    for very many loans; for `n_loans` of them the least share that a binomial law mixed over the factor has at level q.

    Parameters
    ----------
    probability : float
        With which each loan defaults.
    loading : float
        In [0, 1).
    levels : array of shape (n_levels,)
        Of the quantiles.
    n_loans : int, optional

    Returns
    -------
    array of shape (n_levels,), in [0, 1]

    Raises
    ------
    ValueError
        If a probability or level lies outside (0, 1) or the loading outside [0, 1).

    Notes
    -----
    Vasicek (2002), "The distribution of loan portfolio value"; chapter 16.

    Examples
    --------
    >>> vintage_share(0.2, 0.2, [0.05, 0.5, 0.95]).round(3)
    array([0.116, 0.195, 0.3  ])
    """
    probability = check_level("probability", probability)
    loading = _check_loading(loading)
    levels = check_sample("levels", levels)
    if levels.min() <= 0 or levels.max() >= 1:
        got = f"got {levels.min():g} to {levels.max():g}"
        raise ValueError(f"levels must lie inside (0, 1), {got}")
    rest = np.sqrt(1 - loading**2)
    if n_loans is None:
        return ndtr((ndtri(probability) + loading * ndtri(levels)) / rest)
    n_loans = check_count("n_loans", n_loans)
    given = ndtr((ndtri(probability) + loading * NODES) / rest)
    law = stats.binom.cdf(np.arange(n_loans + 1)[:, None], n_loans, given).mean(axis=1)
    return np.searchsorted(law, levels).clip(max=n_loans) / n_loans


def cautious_level(promise: float, loading: float, confidence: float) -> float:
    r"""Return the level at which loans keep a promise even in a bad vintage, one that is worse in few of them.

    .. math:: \Phi\bigl(\sqrt{1 - \rho^2}\, \Phi^{-1}(a) - \rho\, \Phi^{-1}(c)\bigr)

    which `vintage_share` turns back into the promise :math:`a` at level :math:`c`.

    Parameters
    ----------
    promise : float
    loading : float
        In [0, 1).
    confidence : float
        Share of vintages that are to keep it.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As `vintage_share`.

    Examples
    --------
    >>> round(cautious_level(0.2, 0.2, 0.9), 3)
    0.14
    """
    promise, loading = check_level("promise", promise), _check_loading(loading)
    confidence = check_level("confidence", confidence)
    best = np.sqrt(1 - loading**2) * ndtri(promise)
    return float(ndtr(best - loading * ndtri(confidence)))


def _check_loading(loading):
    if not 0 <= loading < 1:
        raise ValueError(f"loading must be in [0, 1), got {loading!r}")
    return float(loading)
