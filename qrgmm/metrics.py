r"""How far a model's law lies from the truth, and how far two samples of the truth lie from each other.

Every measure of distance between samples is positive even when the model is perfect. Its noise floor, the value that
two samples of the same law reach, is what a model should be compared with (chapter 5).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from qrgmm.checks import Rng, check_count, check_sample
from qrgmm.curve import QuantileCurve

TIE = 1e-9  # by which share of itself a number may differ from an equal one after rounding


def ks_statistic(
    sample: ArrayLike, reference: ArrayLike | Callable[..., np.ndarray]
) -> float:
    r"""Return the Kolmogorov-Smirnov statistic :math:`\sup_y |F_n(y) - F(y)|`.

    Parameters
    ----------
    sample : array of shape (n_draws,)
    reference : array of shape (n_reference,), or callable
        Another sample, or the distribution function to compare with, which may have atoms: `QuantileCurve.cdf` of a
        curve with one row, for example.

    Returns
    -------
    float, in [0, 1]

    Raises
    ------
    ValueError
        If a sample is empty, not finite or not one-dimensional.

    Examples
    --------
    >>> ks_statistic([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 9.0])
    0.25
    """
    sample = np.sort(check_sample("sample", sample))
    if callable(reference):
        y = np.unique(sample)
        at_most, below = (
            np.ravel(reference(y)),
            np.ravel(reference(np.nextafter(y, -np.inf))),
        )
    else:
        reference = np.sort(check_sample("reference", reference))
        y = np.unique(np.concatenate([sample, reference]))
        at_most, below = _shares(reference, y)
    # Both sides of every jump: a law may have atoms, and the sample always has.
    sample_at_most, sample_below = _shares(sample, y)
    at_jumps = np.abs(sample_at_most - at_most).max()
    return float(max(at_jumps, np.abs(sample_below - below).max()))


def wasserstein_distance(sample: ArrayLike, reference: ArrayLike) -> float:
    r"""Return the Wasserstein distance :math:`\int |F_n(y) - G_n(y)|\, dy` of two samples.

    Parameters
    ----------
    sample, reference : array of shape (n_draws,)
        In units sold; the two may differ in length.

    Returns
    -------
    float, in units sold

    Raises
    ------
    ValueError
        As `ks_statistic`.

    Examples
    --------
    >>> wasserstein_distance([1.0, 2.0], [2.0, 3.0])
    1.0
    """
    return float(stats.wasserstein_distance(check_sample("sample", sample), check_sample("reference", reference)))


def joint_wasserstein_distance(sample: ArrayLike, reference: ArrayLike) -> float:
    r"""Return the Wasserstein distance of two samples of several outputs, by the best matching of their rows.

    .. math:: \min_\pi \frac1n \sum_i \lVert s_i - r_{\pi(i)} \rVert_2

    Parameters
    ----------
    sample, reference : array of shape (n_draws, n_outputs)
        Of equal length. Time grows with the cube of it: 1 second for 2,000 rows, a minute or two for 10,000.

    Returns
    -------
    float, in the unit of the outputs
        It falls slowly as the samples grow, also between two samples of one law: compare equal lengths.

    Raises
    ------
    ValueError
        If the shapes differ or values are not finite.

    Examples
    --------
    >>> joint_wasserstein_distance([[0.0, 0.0], [3.0, 4.0]], [[3.0, 4.0], [0.0, 1.0]])
    0.5
    """
    sample, reference = np.asarray(sample, dtype=float), np.asarray(reference, dtype=float)
    if sample.ndim != 2 or sample.shape != reference.shape or sample.size == 0:
        shapes = f"{sample.shape} and {reference.shape}"
        raise ValueError(f"sample and reference must have one shape (n_draws, n_outputs), got {shapes}")
    if not (np.isfinite(sample).all() and np.isfinite(reference).all()):
        raise ValueError("sample and reference must be finite, got NaN or infinity")
    distances = cdist(sample, reference)
    return float(distances[linear_sum_assignment(distances)].mean())


def lies_below(y: ArrayLike, quantiles: ArrayLike) -> np.ndarray:
    """Return whether observations lie below fitted quantiles, those that lie on them up to rounding not counted.

    A plane passes through as many rows as it has coefficients. On which side of it such a row comes to lie is the last
    bit's choice, and another processor's may be another one.

    Parameters
    ----------
    y, quantiles : arrays of shapes that broadcast

    Returns
    -------
    array of bool

    Notes
    -----
    Chapter 9.

    Examples
    --------
    >>> lies_below([0.3, 0.29, 0.3], [0.1 + 0.2, 0.3, 0.31])
    array([False,  True,  True])
    """
    y, quantiles = np.asarray(y, dtype=float), np.asarray(quantiles, dtype=float)
    # Where both are next to 0, what was added up to get there decides how large rounding is.
    added_up = np.abs(y).max(initial=0.0)
    return quantiles - y > TIE * np.maximum(np.abs(y), np.abs(quantiles)) + 1e-3 * TIE * added_up


def coverage(y: ArrayLike, quantiles: ArrayLike) -> np.ndarray:
    r"""Return the share of observations at or below each predicted quantile.

    A calibrated model covers a share :math:`\tau_j` at level :math:`\tau_j`. Up to rounding on it is at it.

    Parameters
    ----------
    y : array of shape (n_rows,)
    quantiles : array of shape (n_rows, n_levels)

    Returns
    -------
    array of shape (n_levels,)

    Raises
    ------
    ValueError
        If the number of rows differs.

    Examples
    --------
    >>> coverage([1.0, 2.0], [[0.5, 1.0], [1.0, 5.0]])
    array([0., 1.])
    """
    y, quantiles = check_sample("y", y), np.asarray(quantiles, dtype=float)
    if quantiles.ndim != 2 or len(quantiles) != len(y):
        raise ValueError(
            f"quantiles must have shape ({len(y)}, n_levels), got {quantiles.shape}"
        )
    if not np.isfinite(quantiles).all():
        raise ValueError("quantiles must be finite, got NaN or infinity")
    return (~lies_below(quantiles, y[:, None])).mean(axis=0)


def crps(y: ArrayLike, curve: QuantileCurve) -> tuple[float, float]:
    """Return the mean continuous ranked probability score and its standard error over rows.

    Parameters
    ----------
    y : array of shape (n_rows,)
    curve : QuantileCurve
        One law per observation.

    Returns
    -------
    tuple of float
        Mean and standard error, in units sold; smaller means are better.

    Examples
    --------
    >>> from qrgmm.curve import QuantileCurve
    >>> crps([2.0, 2.0], QuantileCurve.from_draws([[1.0, 3.0], [1.0, 3.0]]))
    (0.5, 0.0)
    """
    return mean_and_error(curve.crps(y))


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    r"""Return the mean of independent values and its standard error :math:`s / \sqrt n`.

    Parameters
    ----------
    values : array of shape (n,)
        For example one number per replication.

    Returns
    -------
    tuple of float
        The error is NaN for a single value.

    Examples
    --------
    >>> mean_and_error([1.0, 2.0, 3.0])
    (2.0, 0.5773502691896258)
    """
    values = check_sample("values", values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def noise_floor(
    metric: Callable[..., float], draw: Callable[..., np.ndarray], n_replications: int = 100, rng: Rng = None
) -> tuple[float, float]:
    """Return the mean and the standard deviation of a metric between two samples of the same law.

    Parameters
    ----------
    metric : callable
        ``metric(sample, reference)`` -> float, for example `ks_statistic`.
    draw : callable
        ``draw(rng)`` -> one sample of the truth, of the size that the study uses.
    n_replications : int
    rng : numpy.random.Generator, int or None

    Returns
    -------
    tuple of float
        In the unit of the metric.

    Raises
    ------
    ValueError
        If `n_replications` is not a whole number of at least 2.

    Examples
    --------
    >>> mean, sd = noise_floor(ks_statistic, lambda rng: rng.normal(size=1000), rng=0)
    >>> round(mean, 2)  # theory: 0.869 * sqrt(2 / 1000) = 0.039
    0.04
    """
    rng, n_replications = np.random.default_rng(rng), check_count("n_replications", n_replications, least=2)
    values = [metric(draw(rng), draw(rng)) for _ in range(n_replications)]
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _shares(sample, y):
    """Shares of a sorted sample at most y, and below y."""
    return sample.searchsorted(y, "right") / len(sample), sample.searchsorted(y, "left") / len(sample)
