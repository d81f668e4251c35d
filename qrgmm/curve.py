r"""Quantile curves: many laws of sales at once, and everything that can be computed from them exactly.

A row of a `QuantileCurve` is one law: atoms on its knots :math:`q_1 \le \dots \le q_K` and mass spread evenly between
neighbouring knots. Two arrays say how much: the probability `below` each knot and `up_to` it. All rows share them
until a bound cuts every row at a level of its own (`QuantileCurve.clip`).
Algorithm 1 of QRGMM makes such a law out of fitted quantiles, and the empirical law of draws is one, too. Distribution
function, quantiles, mean, CRPS and lower partial moments are finite sums over the knots; nothing here is simulated
unless `sample` is called. Chapters 1 and 4 derive the formulas.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng, check_count, check_levels, check_options, check_per_row, check_points, check_table
from qrgmm.tails import with_atom_at_zero, with_exponential_tails, with_knot_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Draws, and moments of many rows, are made in blocks of so many numbers that they stay in the processor's cache; the
# stream of random numbers does not depend on it.
BLOCK, CELLS = 32_768, 16_384
ROUNDING = 1e-12  # of the largest quantile of a row: what is less apart is equal


def quantile_levels(n: int, m: int | None = None) -> np.ndarray:
    r"""Return the grid :math:`\tau_j = j/m`, :math:`j = 1, \dots, m - 1`.

    Parameters
    ----------
    n : int
        Number of rows that the quantile model is fitted to.
    m : int, optional
        Number of equal steps from 0 to 1; by default the rule of thumb :math:`m = \sqrt n`, rounded, at least 2.

    Returns
    -------
    array of shape (m - 1,)

    Raises
    ------
    ValueError
        If `n` is below 1 or `m` below 2.

    Notes
    -----
    Algorithm 1 and section 4.3 of the SCF paper; chapters 4 and 5.

    Examples
    --------
    >>> quantile_levels(16)
    array([0.25, 0.5 , 0.75])
    >>> len(quantile_levels(8000))
    88
    """
    if not n >= 1:
        raise ValueError(f"n must be at least 1, got {n}")
    m = max(2, round(math.sqrt(n))) if m is None else check_count("m", m, least=2)
    return np.arange(1, m) / m


def choose_levels(levels: int | ArrayLike | None, n_rows: int) -> np.ndarray:
    r"""Return the grid that the option `levels` of a model asks for.

    Parameters
    ----------
    levels : None, int or array of shape (n_levels,)
        The rule of thumb, the number :math:`m` of equal steps, or the grid itself.
    n_rows : int
        Rows that the model is fitted to.

    Returns
    -------
    array of shape (n_levels,)

    Raises
    ------
    ValueError
        As `quantile_levels`, or if a grid is unsorted or outside (0, 1).

    Notes
    -----
    Chapters 4 and 5.

    Examples
    --------
    >>> choose_levels(None, 16), choose_levels(2, 16), choose_levels([0.1, 0.2], 16)
    (array([0.25, 0.5 , 0.75]), array([0.5]), array([0.1, 0.2]))
    """
    if levels is None or np.ndim(levels) == 0:
        return quantile_levels(n_rows, levels)  # type: ignore[arg-type]
    return check_levels(levels)


def crossing_rate(values: ArrayLike) -> float:
    """Return the share of neighbouring quantiles, over all rows, that stand in the wrong order by more than rounding.

    Parameters
    ----------
    values : array of shape (n_rows, n_levels)
        Quantiles as a model predicted them.

    Returns
    -------
    float
        In [0, 1]; chapter 3 shows where crossings come from.

    Examples
    --------
    >>> crossing_rate([[1.0, 3.0, 2.0]])
    0.5
    """
    crossed = _crossed(np.asarray(values, dtype=float))
    return float(crossed.mean()) if crossed.size else 0.0


def _crossed(values):
    """Which neighbours are in the wrong order; levels that share a plane differ by rounding, or not, as BLAS has it."""
    return np.diff(values) < -ROUNDING * np.abs(values).max(axis=-1, keepdims=True, initial=0.0)


class QuantileCurve:
    r"""`n_rows` laws of sales, each a piecewise linear quantile function on common levels.

    Between two levels the quantile function is linear; below the first and above the last level it is constant, which
    leaves two atoms, of mass :math:`\tau_1` and :math:`1 - \tau_{K}` (Algorithm 1 of QRGMM, chapter 4).

    Parameters
    ----------
    levels : array of shape (n_levels,)
        Strictly increasing, in (0, 1).
    values : array of shape (n_rows, n_levels) or (n_levels,)
        The quantiles at these levels, in units sold (or whatever `y` was measured in).
    crossing : {"sort", "raise"}
        What to do with a row whose quantiles cross: sort it (the rearrangement of Chernozhukov, Fernandez-Val and
        Galichon, 2010, which is never farther from the truth; chapter 3), or raise a ValueError.
    tails : {"clamp", "exponential"}
        What lies beyond the first and the last level: the atoms of Algorithm 1, or exponential tails that go on with
        the pace of the five outermost levels (chapter 5). Exponential tails are knots like others: 40 levels are added
        at each end, at which the last atom is 10\ :sup:`-6` of the mass beyond the grid.
    index : sequence of n_rows labels, optional
        Names of the rows, such as the index of the data frame that the laws were predicted for.

    Attributes
    ----------
    levels : array of shape (n_levels,), or (n_rows, n_levels) after `clip`
    values : array of shape (n_rows, n_levels)
        The knots, non-decreasing along each row.
    below, up_to : arrays of the shape of `levels`
        :math:`P(Y < q_j)` and :math:`P(Y \le q_j)` where the knots of a row are distinct.
    index : pandas.Index of length n_rows
        By default 0, 1, 2, ...

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, levels are unsorted or outside (0, 1), or rows cross and
        `crossing` is "raise".

    Notes
    -----
    Points and levels may be given as a number, as an array that all rows share, (n_points,), or one row of points
    for each row of the curve, (n_rows, n_points). Results always have shape (n_rows, n_points).

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> curve.ppf([0.1, 0.5, 0.625])
    array([[10., 20., 30.]])
    >>> curve.cdf(30.0)
    array([[0.625]])
    >>> curve.mean()
    array([23.75])
    """

    def __init__(
        self,
        levels: ArrayLike,
        values: ArrayLike,
        crossing: Literal["sort", "raise"] = "sort",
        tails: Literal["clamp", "exponential"] = "clamp",
        index: Sequence | pd.Index | None = None,
    ) -> None:
        levels, values = check_levels(levels), check_table("values", values)
        if values.shape[1] != len(levels):
            raise ValueError(f"values must have {len(levels)} columns, one per level, got {values.shape[1]}")
        check_options(crossing, tails)
        if crossing == "raise" and (crossed := _crossed(values).any(axis=1)).any():
            raise ValueError(f"values must not decrease along a row, but do in {crossed.sum()} of {len(values)} rows")
        values = np.sort(values, axis=1)
        if tails == "exponential":
            levels, values = with_exponential_tails(levels, values)
        below, up_to = levels.copy(), levels.copy()
        below[0], up_to[-1] = 0.0, 1.0
        self._set_law(levels, values, below, up_to, index)

    @classmethod
    def from_draws(cls, draws: ArrayLike, index: Sequence | pd.Index | None = None) -> Self:
        r"""Return the empirical law of draws, exactly: an atom of mass 1/n_draws on each.

        Parameters
        ----------
        draws : array of shape (n_rows, n_draws) or (n_draws,)
        index : sequence of n_rows labels, optional

        Returns
        -------
        QuantileCurve
            With the sorted draws as `values` and the mid-ranks :math:`(i - 1/2)/n` as `levels`.

        Examples
        --------
        >>> QuantileCurve.from_draws([3.0, 1.0, 2.0, 2.0]).cdf([0.5, 2.0, 9.0])
        array([[0.  , 0.75, 1.  ]])
        """
        values = np.sort(check_table("draws", draws), axis=1)
        n = values.shape[1]
        curve = cls.__new__(cls)
        curve._set_law((np.arange(n) + 0.5) / n, values, np.arange(n) / n, np.arange(1, n + 1) / n, index)
        return curve

    def _set_law(self, levels, values, below, up_to, index):
        for array in (levels, values, below, up_to):
            array.setflags(write=False)
        self.levels, self.values = levels, values
        self.below, self.up_to = below, up_to
        self.index = pd.RangeIndex(len(values)) if index is None else pd.Index(index)
        if len(self.index) != len(values):
            raise ValueError(f"index must have {len(values)} labels, one per row, got {len(self.index)}")

    def _with(self, **changes):
        """Return a curve of another law made of parts of this one."""
        parts = {name: getattr(self, name) for name in ("levels", "values", "below", "up_to", "index")}
        curve = type(self).__new__(type(self))
        curve._set_law(**(parts | changes))
        return curve

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: int | slice | list | np.ndarray) -> Self:
        """Return the curve of some rows: an index, a slice, a list or a mask."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        if isinstance(rows, tuple) or chosen.ndim != 1:
            raise IndexError("too many indices: a curve is indexed by its rows only")
        if len(chosen) == 0:
            raise ValueError(f"rows must choose at least one of {len(self)}, got none")
        parts = {"values": self.values[chosen], "index": self.index[chosen]}
        if self.levels.ndim == 2:
            parts |= {name: getattr(self, name)[chosen] for name in ("levels", "below", "up_to")}
        return self._with(**parts)

    def __repr__(self) -> str:
        return f"QuantileCurve(n_rows={len(self)}, n_levels={self.levels.shape[-1]})"

    def clip(self, lower: ArrayLike | None = None, upper: ArrayLike | None = None) -> Self:
        r"""Return the law of :math:`\min(\max(Y, a), b)`, exactly: what lies beyond a bound becomes an atom on it.

        Parameters
        ----------
        lower, upper : float or array of shape (n_rows,), optional
            The bounds, in units sold: nobody sells less than nothing, or more than the stock.

        Returns
        -------
        QuantileCurve
            With one more knot a row for each bound that cuts a law.

        Raises
        ------
        ValueError
            If a bound is not finite, or `lower` is above `upper`.

        Notes
        -----
        Chapter 2.

        Examples
        --------
        >>> law = QuantileCurve([0.25, 0.75], [-10.0, 30.0]).clip(lower=0.0)
        >>> law.cdf([-1.0, 0.0, 15.0])
        array([[0.    , 0.375 , 0.5625]])
        """
        least = None if lower is None else check_per_row("lower", lower, len(self))
        most = None if upper is None else check_per_row("upper", upper, len(self))
        if least is not None and most is not None and (least > most).any():
            raise ValueError(f"lower must not be above upper, got {lower!r} and {upper!r}")
        curve = self
        for bound, limit in zip((least, most), (np.maximum, np.minimum)):
            if bound is not None:
                law = with_knot_at(bound[:, None], curve.values, curve.levels, curve.below, curve.up_to)
                curve = curve._with(**law | {"values": limit(law["values"], bound[:, None])})
        return curve

    def zero_inflate(self, probability: ArrayLike) -> Self:
        r"""Return the law of sales that happen with a probability only, and are 0 otherwise.

        .. math:: P(B Y \le y) = (1 - p) + p\, P(Y \le y), \qquad y \ge 0

        Parameters
        ----------
        probability : float or array of shape (n_rows,)
            :math:`p`, that anything is sold.

        Returns
        -------
        QuantileCurve
            With one more knot a row, the atom of mass :math:`1 - p` on 0.

        Raises
        ------
        ValueError
            If a probability lies outside [0, 1], or a law has sales below 0.

        Notes
        -----
        `qrgmm.models.two_part`; chapter 15.

        Examples
        --------
        >>> law = QuantileCurve([0.25, 0.75], [10.0, 30.0]).zero_inflate(0.8)
        >>> law.cdf([0.0, 10.0, 30.0])
        array([[0.2, 0.4, 1. ]])
        >>> law.mean()
        array([16.])
        """
        p = check_per_row("probability", probability, len(self))[:, None]
        return self._with(**with_atom_at_zero(p, self.values, self.levels, self.below, self.up_to))

    def map(self, increasing: Callable[..., np.ndarray]) -> Self:
        """Return the law of an increasing function of sales: every knot is moved, and mass stays between its knots.

        Parameters
        ----------
        increasing : callable
            ``increasing(values)`` for an array (n_rows, n_levels); for example sales times a price. Where it is not
            linear between two knots, the mass between them is spread evenly all the same.

        Returns
        -------
        QuantileCurve

        Raises
        ------
        ValueError
            If the result has another shape, is not finite, or decreases along a row.

        Examples
        --------
        >>> QuantileCurve.from_draws([10.0, 20.0, 30.0]).map(lambda sales: 2 * sales).cdf([20.0, 40.0])
        array([[0.33333333, 0.66666667]])
        """
        values = np.array(increasing(self.values), dtype=float)
        if values.shape != self.values.shape or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise ValueError(f"increasing must return finite values of shape {self.values.shape} that rise along a row")
        return self._with(values=values)

    def to_frame(self, levels: ArrayLike | None = None) -> pd.DataFrame:
        """Return quantiles as a table with the rows' names.

        Parameters
        ----------
        levels : array of shape (n_points,), optional
            By default those of the curve.

        Returns
        -------
        pandas.DataFrame of shape (n_rows, n_points), in units sold
            The index is that of the curve, the columns are the levels.

        Raises
        ------
        ValueError
            If levels lie outside [0, 1], or none are given and every row has levels of its own.

        Examples
        --------
        >>> QuantileCurve([0.25, 0.75], [[10.0, 30.0]], index=["shop"]).to_frame()
              0.25  0.75
        shop  10.0  30.0
        """
        if levels is None and self.levels.ndim == 2:
            raise ValueError("levels must be given for a curve that was clipped: every row has levels of its own")
        values = self.values if levels is None else self.ppf(np.atleast_1d(levels))
        return pd.DataFrame(values, self.index, self.levels if levels is None else np.atleast_1d(levels))

    def plot(self, row: int = 0, ax: "Axes | None" = None, **line: Any) -> "Axes":
        """Draw the quantile function of one row, see `qrgmm.plots.plot_quantile_curve`.

        Parameters
        ----------
        row : int
        ax : matplotlib.axes.Axes, optional
        **line
            Options of the line.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from qrgmm.plots import plot_quantile_curve  # not before somebody wants to look

        return plot_quantile_curve(self, row, ax, **line)

    def ppf(self, u: ArrayLike) -> np.ndarray:
        r"""Return the quantiles :math:`Q(u) = \inf\{y : F(y) \ge u\}`.

        Parameters
        ----------
        u : float or array of shape (n_points,) or (n_rows, n_points)
            In [0, 1].

        Returns
        -------
        array of shape (n_rows, n_points), in units sold
        """
        return self._quantile(u, "left")

    def upper_quantile(self, u: ArrayLike) -> np.ndarray:
        r"""Return :math:`\sup\{y : P(Y < y) \le u\}`, which differs from `ppf` only where the law has a gap.

        Parameters
        ----------
        u : float or array of shape (n_points,) or (n_rows, n_points)
            In [0, 1].

        Returns
        -------
        array of shape (n_rows, n_points), in units sold

        Examples
        --------
        >>> law = QuantileCurve.from_draws([1.0, 2.0])
        >>> law.ppf(0.5), law.upper_quantile(0.5)
        (array([[1.]]), array([[2.]]))
        """
        return self._quantile(u, "right")

    def _quantile(self, u, side):
        u = check_points("u", u, len(self), 0, 1)
        top = self.levels.shape[-1] - 1
        if self.up_to.ndim == 1:
            knot = np.searchsorted(self.up_to, u, side=side).clip(max=top)
        else:
            points = np.broadcast_to(u, self._shape(u))
            knot = np.stack([row.searchsorted(p, side) for row, p in zip(self.up_to, points)]).clip(max=top)
        left = np.maximum(knot - 1, 0)
        # Measured back from the upper knot, so that Q(tau_j) is q_j to the last bit.
        end = _take(self.below, knot)
        short = (end - u).clip(0)
        spread = end - _take(self.up_to, left)
        share = np.divide(short, spread, out=np.zeros_like(short), where=short > 0)
        knot, left = np.broadcast_to(knot, self._shape(u)), np.broadcast_to(left, self._shape(u))
        upper = np.take_along_axis(self.values, knot, axis=1)
        return upper - share * (upper - np.take_along_axis(self.values, left, axis=1))

    def cdf(self, y: ArrayLike) -> np.ndarray:
        r"""Return the distribution function :math:`F(y) = P(Y \le y)`.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold. For one point per row pass ``y[:, None]``.

        Returns
        -------
        array of shape (n_rows, n_points)
        """
        return self._moments(check_points("y", y, len(self)), 0, "right")[0]

    def lower_partial_moment(self, y: ArrayLike, order: float = 1) -> np.ndarray:
        r"""Return :math:`E[((y - Y)^+)^k]`; for order 0, :math:`P(Y < y)`.

        All risk measures of chapter 1 are made of these. Between two knots the moment of order :math:`k` is a
        polynomial with non-negative coefficients, so that no cancellation occurs:

        .. math:: M_k(q_j + d) = \sum_{i=0}^{k} \binom{k}{i} d^i M_{k-i}(q_j) + \frac{s_j}{k + 1}\,\frac{d^{k+1}}{h_j}

        with :math:`M_0(q_j) = P(Y \le q_j)`, :math:`h_j` the distance to the next knot and :math:`s_j` the mass on it.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold.
        order : float
            At least 0. Whole orders use the recursion above, others a sum over all knots for every point.

        Returns
        -------
        array of shape (n_rows, n_points), in units sold to the power of `order`

        Examples
        --------
        >>> uniform = QuantileCurve([0.001, 0.999], [0.0, 1.0])
        >>> uniform.lower_partial_moment([0.5], order=1).round(3)
        array([[0.125]])
        """
        y = check_points("y", y, len(self))
        is_number = np.isscalar(order)
        if not (is_number and np.isfinite(order) and order >= 0):
            raise ValueError(f"order must be a finite number of at least 0, got {order!r}")
        if order == int(order):
            return self._moments(y, int(order))[-1]
        return self._fractional_moment(y, order)

    def pdf(self, y: ArrayLike) -> np.ndarray:
        """Return the density just above `y`, atoms left out.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold.

        Returns
        -------
        array of shape (n_rows, n_points), per unit sold

        Examples
        --------
        >>> QuantileCurve([0.25, 0.75], [10.0, 20.0]).pdf([5.0, 10.0, 20.0])
        array([[0.  , 0.05, 0.  ]])
        """
        y = check_points("y", y, len(self))
        knot = self._knots_below(y, "right") - 1
        width = np.append(np.diff(self.values), np.ones((len(self), 1)), axis=1)
        width = np.take_along_axis(width, knot.clip(min=0), axis=1)
        spread = _take(_pad(self.masses()[1], 0.0, 0.0), knot + 1)
        return np.divide(spread, width, out=np.zeros(knot.shape), where=(knot >= 0) & (width > 0))

    def distorted_shortfall(self, y: ArrayLike, distortion: Callable[..., np.ndarray]) -> np.ndarray:
        r"""Return :math:`\int_{-\infty}^y g(F(z))\, dz`; for :math:`g(u) = u` this is :math:`E[(y - Y)^+]`.

        Between two knots :math:`F` is linear, so only the mean of :math:`g` between two probabilities is needed. It is
        taken by Gauss-Legendre quadrature with 16 points, which is exact for polynomials up to degree 31, and good to
        nine digits for Wang's and the proportional hazard distortion where neighbouring levels differ less than
        tenfold.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold.
        distortion : callable
            :math:`g`, vectorised on [0, 1].

        Returns
        -------
        array of shape (n_rows, n_points), in units sold
        """
        y = check_points("y", y, len(self))
        nodes, weights = np.polynomial.legendre.leggauss(16)
        share, weight = (nodes + 1) / 2, weights / 2

        def mean_distortion(low, high):
            return distortion(low[..., None] + (high - low)[..., None] * share) @ weight

        steps = np.diff(self.values) * mean_distortion(self.up_to[..., :-1], self.below[..., 1:])
        at_knot = _pad(np.cumsum(steps, axis=1), 0.0)
        knot = self._knots_below(y, "left") - 1
        before, knot = knot < 0, knot.clip(min=0)
        rest = y - np.take_along_axis(self.values, knot, axis=1)
        start = _take(self.up_to, knot)
        height = mean_distortion(start, np.maximum(self._moments(y, 0)[0], start))
        return np.where(before, 0.0, np.take_along_axis(at_knot, knot, axis=1) + rest * height)

    def masses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mass of the atom on each knot, (n_levels,), and the mass between knots, (n_levels - 1,).

        After `clip` these are (n_rows, n_levels) and (n_rows, n_levels - 1).
        """
        return self.up_to - self.below, self.below[..., 1:] - self.up_to[..., :-1]

    def integrate(self, at_knots: np.ndarray, between: np.ndarray) -> np.ndarray:
        """Return the mean of a function of sales, from its values at knots and its means between them.

        Parameters
        ----------
        at_knots : array of shape (n_rows, n_levels)
        between : array of shape (n_rows, n_levels - 1)

        Returns
        -------
        array of shape (n_rows,)

        Examples
        --------
        >>> law = QuantileCurve([0.25, 0.75], [1.0, 2.0])
        >>> law.integrate(law.values**2, np.array([[7 / 3]]))  # the mean of y^2 on [1, 2] is 7/3
        array([2.41666667])
        """
        atoms, spread = self.masses()
        return _weigh(at_knots, atoms) + _weigh(between, spread)

    def lower_partial_moments(self, y: ArrayLike, order: int) -> list[np.ndarray]:
        """Return the lower partial moments of the whole orders 0, 1, ..., `order` in one pass over the knots.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold.
        order : int
            The highest order.

        Returns
        -------
        list of array of shape (n_rows, n_points)
            That of order k in units sold to the power of k.
        """
        return self._moments(check_points("y", y, len(self)), order)

    def mean(self) -> np.ndarray:
        """Return the mean of each row, (n_rows,), in units sold."""
        return self.integrate(self.values, (self.values[:, 1:] + self.values[:, :-1]) / 2)

    def std(self) -> np.ndarray:
        """Return the standard deviation of each row, (n_rows,), in units sold."""
        centred = self.values - self.mean()[:, None]
        a, b = centred[:, :-1], centred[:, 1:]
        return np.sqrt(self.integrate(centred**2, (a * a + a * b + b * b) / 3))

    def crps(self, y: ArrayLike) -> np.ndarray:
        r"""Return the continuous ranked probability score of one observation per row.

        .. math:: \mathrm{CRPS}(F, y) = \int (F(z) - 1\{y \le z\})^2 dz

        The integrand is a square of a linear function between two knots, so that nothing is subtracted from anything:
        the score is never negative, and keeps its digits however large sales are beside their spread.

        Parameters
        ----------
        y : array of shape (n_rows,)
            What was observed, in units sold.

        Returns
        -------
        array of shape (n_rows,), in units sold; smaller is better

        Notes
        -----
        Gneiting and Raftery (2007); chapter 4.

        Examples
        --------
        >>> QuantileCurve.from_draws([[1.0, 3.0]]).crps([2.0])
        array([0.5])
        """
        y = np.atleast_1d(np.asarray(y, dtype=float))
        if y.shape != (len(self),):
            raise ValueError(f"y must have shape ({len(self)},), one observation per row, got {y.shape}")
        y, a, b = check_points("y", y[:, None], len(self)), self.up_to[..., :-1], self.below[..., 1:]
        left = (np.minimum(self.values[:, 1:], y) - self.values[:, :-1]).clip(0)  # of every step, what lies below y
        right = (self.values[:, 1:] - np.maximum(self.values[:, :-1], y)).clip(0)
        at_y = a + (b - a) * np.divide(left, left + right, out=np.zeros_like(left), where=left > 0)
        square = left * (a * a + a * at_y + at_y * at_y)
        at_y, b = 1 - at_y, 1 - b
        square += right * (at_y * at_y + at_y * b + b * b)
        outside = (self.values[:, :1] - y).clip(0) + (y - self.values[:, -1:]).clip(0)
        return outside[:, 0] + square.sum(axis=1) / 3

    def sample(self, n_draws: int, rng: Rng = None) -> np.ndarray:
        """Return independent draws from every row (the online stage of Algorithm 1).

        Parameters
        ----------
        n_draws : int
        rng : numpy.random.Generator, int or None
            One uniform number is used per draw, row by row.

        Returns
        -------
        array of shape (n_rows, n_draws), in units sold

        Examples
        --------
        >>> QuantileCurve([0.5], [7.0]).sample(3, rng=0)
        array([[7., 7., 7.]])
        """
        rng, n_draws = np.random.default_rng(rng), check_count("n_draws", n_draws)
        draws = np.empty((len(self), n_draws))
        quantile = self._blockwise_quantile()
        n_rows = max(1, BLOCK // n_draws)
        for i in range(0, len(self), n_rows):
            for k in range(0, n_draws, BLOCK):
                block = draws[i : i + n_rows, k : k + BLOCK]
                quantile(slice(i, i + n_rows), rng.random(block.shape), block)
        return draws

    def _blockwise_quantile(self):
        """Return a function that turns uniforms into draws; on an even grid without any search."""
        m = self.levels.shape[-1] + 1
        if not np.array_equal(self.levels, np.arange(1, m) / m):
            return lambda rows, u, out: np.copyto(out, self[rows].ppf(u))
        step = np.diff(
            self.values, prepend=self.values[:, :1], append=self.values[:, -1:]
        )
        start = (
            np.concatenate([self.values[:, :1], self.values], axis=1)
            - np.arange(m) * step
        )

        def quantile(rows, u, out):
            # In the j-th of m equal cells Q(u) = start_j + (m u) step_j.
            u *= m
            cell = u.astype(np.intp)
            if len(u) > 1:
                cell += m * np.arange(len(u))[:, None]
            np.take(step[rows], cell, out=out, mode="clip")
            out *= u
            out += np.take(start[rows], cell, out=u, mode="clip")

        return quantile

    def _moments(self, y, order, side="left"):
        """Lower partial moments 0, 1, ..., order at `y`; `side` says whether an atom at y counts in that of order 0."""
        moments = [np.empty(self._shape(y)) for _ in range(order + 1)]
        n_rows = max(1, CELLS // max(self.values.shape[1], y.shape[1]))
        for i in range(0, len(self), n_rows):
            block = slice(i, i + n_rows)
            parts = self[block]._moments_of_block(y if len(y) == 1 else y[block], order, side)
            for moment, part in zip(moments, parts):
                moment[block] = part
        return moments

    def _moments_of_block(self, y, order, side):
        count = self._knots_below(y, side)
        cell = count + (self.levels.shape[-1] + 1) * np.arange(len(self))[:, None]
        of_knot = count if self.levels.ndim == 1 else cell  # in a table with a column for "no knot below"
        # Column j of each table belongs to points with j knots below them; where there is none, all moments are 0.
        knots = np.concatenate([self.values[:, :1], self.values], axis=1)
        width = np.ones_like(knots)
        np.subtract(self.values[:, 1:], self.values[:, :-1], out=width[:, 1:-1])
        width[width == 0] = 1.0
        spread = _pad(self.masses()[1], 0.0, 0.0)
        distance = y - knots.take(cell)
        partial = spread.take(of_knot) * (distance / width.take(cell))
        at_knot = [_pad(self.up_to, 0.0).take(of_knot)]
        for moment in self._moments_at_knots(order)[1:]:
            at_knot.append(_pad(moment, 0.0).take(cell))
        # Rounding must not lift P(Y < y) over that of the next knot.
        ceiling = _pad(self.below[..., 1:], 0.0, 1.0)
        moments = [np.minimum(at_knot[0] + partial, ceiling.take(of_knot))]
        for k in range(1, order + 1):
            partial = partial * distance
            powers = (math.comb(k, i) * distance**i * at_knot[k - i] for i in range(1, k + 1))
            moments.append(sum(powers, start=at_knot[k] + partial / (k + 1)))
        return moments

    def _moments_at_knots(self, order):
        """Moments 0, 1, ..., order at the knots, each (n_rows, n_levels)."""
        width = np.diff(self.values)
        spread = self.masses()[1]
        moments = [np.broadcast_to(self.up_to, self.values.shape)]
        for k in range(1, order + 1):
            steps = spread * width**k / (k + 1)
            for i in range(1, k + 1):
                steps += math.comb(k, i) * width**i * moments[k - i][:, :-1]
            moments.append(
                np.concatenate(
                    [np.zeros((len(self), 1)), np.cumsum(steps, axis=1)], axis=1
                )
            )
        return moments

    def _fractional_moment(self, y, order):
        result = np.empty(self._shape(y))
        y = np.broadcast_to(y, result.shape)
        for i in range(result.shape[1]):
            point = y[:, i, None]
            depth = (point - self.values).clip(0)
            far, width = depth[:, :-1], np.diff(self.values)
            covered = (np.minimum(self.values[:, 1:], point) - self.values[:, :-1]).clip(0)
            inside = np.divide(covered, width, out=np.ones_like(far), where=width > 0)
            # Mean of t^order for t between far - covered and far, written so that narrow steps lose no digits.
            drop = np.divide(covered, far, out=np.zeros_like(far), where=far > 0)
            with np.errstate(divide="ignore"):
                power = -np.expm1((order + 1) * np.log1p(-drop))
            mean = far**order * np.divide(power, (order + 1) * drop, out=np.ones_like(far), where=drop > 0)
            result[:, i] = self.integrate(depth**order, inside * mean)
        return result

    def _knots_below(self, y, side):
        """Number of knots below `y` (side "left") or not above it ("right"), (n_rows, n_points)."""
        n_rows, n_points = self._shape(y)
        if len(y) > 1 or self.values.shape[1] > 2 * n_points or (np.diff(y) < 0).any():
            points = np.broadcast_to(y, (n_rows, n_points))
            return np.stack([row.searchsorted(p, side) for row, p in zip(self.values, points)])
        # Points that all rows share: one search of all knots among them; knots up to a point are then counted.
        place = y[0].searchsorted(self.values, "right" if side == "left" else "left")
        place += (n_points + 1) * np.arange(n_rows)[:, None]
        found = np.bincount(place.ravel(), minlength=n_rows * (n_points + 1)).reshape(n_rows, -1)
        return found[:, :-1].cumsum(axis=1)

    def snap(self, y: ArrayLike, slack: ArrayLike) -> np.ndarray:
        """Return points; one that lies on a knot up to rounding is moved onto it.

        Parameters
        ----------
        y : float or array of shape (n_points,) or (n_rows, n_points)
            In units sold.
        slack : float or array that broadcasts with `y`
            How far a point may lie from a knot and still be meant to lie on it; of several knots, the lowest.

        Returns
        -------
        array of shape (1, n_points) or (n_rows, n_points)

        Examples
        --------
        >>> QuantileCurve.from_draws([3.0, 10.0]).snap([0.1 * 3 / 0.1, 5.0], slack=1e-15)
        array([[3., 5.]])
        """
        y = check_points("y", y, len(self))
        knot = self._knots_below(y - slack, "left").clip(max=self.values.shape[1] - 1)
        knot = np.take_along_axis(self.values, knot, axis=1)
        return np.where(np.abs(knot - y) <= slack, knot, y)

    def _shape(self, points):
        return len(self), points.shape[-1]


def _take(table, knots):
    """Entries of a table that all rows share, (n_levels,), or of one row by row, at (n_rows, n_points) knots."""
    return table[knots] if table.ndim == 1 else np.take_along_axis(table, knots, axis=1)


def _pad(table, *columns):
    """A table with a constant before it, and perhaps one after it, as one more column each."""
    first, *last = (np.full((*table.shape[:-1], 1), column) for column in columns)
    return np.concatenate([first, table, *last], axis=-1)


def _weigh(values, masses):
    """Sums over knots, (n_rows,), with masses that all rows share or that each row has for itself."""
    return values @ masses if masses.ndim == 1 else np.einsum("ij,ij->i", values, masses)
