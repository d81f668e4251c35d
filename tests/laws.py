"""Random quantile curves, and their expectations computed from the definition alone, to compare the package with."""

from decimal import Decimal, getcontext

import numpy as np
from hypothesis import strategies as st

from qrgmm.curve import QuantileCurve

getcontext().prec = 60
# Whole numbers make ties; the others are uneven, negative, tiny and large.
sales = st.integers(-20, 20).map(float) | st.floats(-1e4, 1e4).filter(lambda y: y == 0 or abs(y) > 1e-9)
uneven_levels = st.sets(st.integers(1, 999), min_size=1, max_size=9).map(lambda levels: np.array(sorted(levels)) / 1000)
even_levels = st.integers(2, 10).map(lambda m: np.arange(1, m) / m)


@st.composite
def curves(draw, values=sales, max_rows=3):
    levels = draw(even_levels | uneven_levels)
    row = st.lists(values, min_size=len(levels), max_size=len(levels))
    return QuantileCurve(levels, draw(st.lists(row, min_size=1, max_size=max_rows)))


@st.composite
def stocked_laws(draw, top=60):
    """A law of whole units, in up to three rows: draws, or the fitted quantiles of a small grid; many ties."""
    units, n = st.integers(0, top).map(float), draw(st.integers(1, 9))
    rows = draw(st.lists(st.lists(units, min_size=n, max_size=n), min_size=1, max_size=3))
    return QuantileCurve.from_draws(rows) if draw(st.booleans()) else QuantileCurve(np.arange(1, n + 1) / (n + 1), rows)


@st.composite
def curves_and_points(draw, values=sales, n_points=3):
    """A curve with points for each row: some on its knots, some anywhere."""
    curve = draw(curves(values))
    anywhere = draw(st.lists(values, min_size=n_points, max_size=n_points))
    knot = draw(st.integers(0, len(curve.levels) - 1))
    return curve, np.column_stack([curve.values[:, knot], np.broadcast_to(anywhere, (len(curve), n_points))])


def pieces(curve, row):
    """The law as a list of (mass, lowest, highest sales): atoms at the ends, uniform mass between the knots."""
    levels, knots = curve.levels, curve.values[row]
    ends = [(levels[0], knots[0], knots[0]), (1 - Decimal(levels[-1]), knots[-1], knots[-1])]
    between = [(Decimal(levels[j + 1]) - Decimal(levels[j]), knots[j], knots[j + 1]) for j in range(len(levels) - 1)]
    return [tuple(map(Decimal, piece)) for piece in ends + between]


def exact_moment(curve, row, y, order):
    """E[((y - Y)+)^order], P(Y < y) for order 0, in 60 digits."""
    y, order, total = Decimal(float(y)), Decimal(order), Decimal(0)
    for mass, low, high in pieces(curve, row):
        near, far = max(y - high, Decimal(0)), max(y - low, Decimal(0))
        if far == 0:
            continue
        if high == low:
            total += mass * far**order
        else:
            power = order + 1
            total += mass * (far**power - near**power) / (power * (high - low))
    return float(total)


def exact_moments(curve, points, order):
    points = np.broadcast_to(points, (len(curve), np.shape(points)[-1]))
    return np.array([[exact_moment(curve, i, y, order) for y in row] for i, row in enumerate(points)])


def expectation(curve, row, function, kinks=()):
    """The integral of function(Q(u)) over u by 60-point Gauss-Legendre on every piece between levels and kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for mass, low, high in pieces(curve, row):
        mass, low, high = float(mass), float(low), float(high)
        if high == low:
            total += mass * float(function(np.array([low]))[0])
            continue
        cuts = [low, *sorted(k for k in kinks if low < k < high), high]
        for a, b in zip(cuts, cuts[1:]):
            total += mass * (b - a) / (high - low) * (function(a + (b - a) * (nodes + 1) / 2) @ weights) / 2
    return total
