r"""The two test problems of the QRGMM paper: a normal law that it can hold, and a Laplace law that it can't.

Chapters 5 and 6.
"""

import numpy as np
from scipy import stats

from qrgmm.simulators.simulator import LocationScale


class TestProblem1(LocationScale):
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


class TestProblem2(LocationScale):
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
