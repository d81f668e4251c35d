r"""Mixtures of negative binomial laws: what is sold at a rate that nobody knows yet, in orders of several units.

Where single units come at random their number is Poisson, of variance equal to the mean. Where they come in orders of
several the variance is :math:`1 + \theta` times the mean, and sums of independent numbers with one :math:`\theta` are
negative binomial with the same :math:`\theta`. If the mean is random the law is a mixture.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc

from qrgmm.checks import check_levels, check_points, check_sample

SHARPNESS = 12  # points of the grid per root of the variance over the mean


class NegativeBinomialMixture:
    r"""The law of a number whose mean is random, and which is negative binomial given the mean.

    .. math:: P(N \le y) = \sum_i w_i\, I_{1 / (1 + \theta)}\Bigl(\frac{m_i}{\theta},\ \lfloor y \rfloor + 1\Bigr)

    with :math:`I` the regularised incomplete beta function. As a function of the root of its mean a negative binomial
    law changes over lengths of :math:`\sqrt{1 + \theta} / 2`, whatever the mean is. So thousands of means are replaced
    by a few hundred on a grid that is six times as fine: each gives its weight to four neighbours, as cubic
    interpolation does. This moves no probability by more than 1e-5 where the means are spread out, 1e-3 where they
    are not.

    Parameters
    ----------
    means : array of shape (n_means,)
        :math:`m_i`, at least 0; a mean of 0 is the number 0.
    weights : array of shape (n_means,)
        :math:`w_i`, at least 0, with sum 1.
    scatter : float
        :math:`\theta`, positive: the variance is :math:`1 + \theta` times the mean.

    Raises
    ------
    ValueError
        If means or weights are negative, weights do not sum to 1, or the scatter is not positive.

    Examples
    --------
    >>> from scipy.stats import nbinom
    >>> mixture = NegativeBinomialMixture([0.0, 30.0, 50.0], [0.1, 0.5, 0.4], scatter=4.0)
    >>> mixture.cdf([0, 40]).round(3)
    array([0.1  , 0.626])
    >>> (0.1 + [0.5, 0.4] @ nbinom.cdf(40, [[30 / 4], [50 / 4]], 1 / 5)).round(3)
    array([0.626])
    >>> mixture.ppf([0.1, 0.5])
    array([ 0., 34.])
    """

    def __init__(self, means: ArrayLike, weights: ArrayLike, scatter: float) -> None:
        means, weights = check_sample("means", means), check_sample("weights", weights)
        if means.shape != weights.shape or min(means.min(), weights.min()) < 0 or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(
                "means and weights must be at least 0, as many of one as of the other, and weights sum to 1"
            )
        if not 0 < scatter < np.inf:
            raise ValueError(f"scatter must be positive and finite, got {scatter!r}")
        step = np.sqrt(1 + scatter) / SHARPNESS
        place = np.sqrt(means) / step
        first = np.maximum(place.astype(int) - 1, 0)
        t = place - first
        total = np.zeros(first.max() + 4)
        for k in range(4):
            share = np.prod([(t - j) / (k - j) for j in range(4) if j != k], axis=0)
            total += np.bincount(first + k, weights * share, len(total))
        kept = np.flatnonzero(np.abs(total) > 1e-12)
        self.means, self.weights, self.scatter = (step * kept) ** 2, total[kept], scatter

    def cdf(self, y: ArrayLike) -> np.ndarray:
        """Return the distribution function.

        Parameters
        ----------
        y : float or array of shape (n_points,)

        Returns
        -------
        array of shape (n_points,)
        """
        whole = np.floor(check_points("y", y, 1, finite=False)[0].clip(-1, 1e15))
        sizes = np.maximum(self.means / self.scatter, 1e-300)
        laws = betainc(sizes, whole.clip(0)[:, None] + 1, 1 / (1 + self.scatter))
        return np.where(whole < 0, 0.0, laws @ self.weights).clip(0, 1)

    def ppf(self, levels: ArrayLike) -> np.ndarray:
        """Return the quantiles: the least whole numbers up to which lies a probability of at least the levels.

        Parameters
        ----------
        levels : array of shape (n_levels,)
            Increasing, in (0, 1).

        Returns
        -------
        array of shape (n_levels,)
        """
        levels = check_levels(levels)
        low, high = np.full(len(levels), -1.0), np.full(len(levels), np.ceil(self.means[-1]) + 1)
        while self.cdf(high[-1])[0] < levels[-1]:
            high *= 2
        while (high - low > 1).any():
            middle = np.floor((low + high) / 2)
            points, place = np.unique(middle, return_inverse=True)
            enough = self.cdf(points)[place] >= levels
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high
