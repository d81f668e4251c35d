r"""Refits to other rows: how far a law would move with another history, and what it is worth on sales it has not seen.

The bootstrap draws rows anew and says how sure a law is. Leaving rows out says what is wrong with it on average: a law
at level 5 % of a fit to few rows lies too high, since the fit has bent to its own rows, and of new sales 7 % fall below
it. Chapter 5.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import clone

from qrgmm.checks import Rng, check_count
from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder, choose_encoder
from qrgmm.models.law_model import LawModel


def bootstrap_curves(
    model: LawModel,
    X: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    x_new: pd.DataFrame | ArrayLike,
    n_boot: int,
    rng: Rng = None,
    groups: ArrayLike | None = None,
) -> list[QuantileCurve]:
    """Return the curves of `n_boot` refits, each to rows drawn with replacement.

    Parameters
    ----------
    model : QRGMM or any model with `fit` and `predict_curve`
        Only its settings are used: every refit is a clone.
    X : data frame or array of shape (n_rows, n_columns)
    y : array of shape (n_rows,)
    x_new : data frame or array of shape (n_new, n_columns)
        Rows to predict.
    n_boot : int
    rng : numpy.random.Generator, int or None
    groups : array of shape (n_rows,), optional
        Whose row each is, where a seller has several: whole sellers are drawn then, with all of their rows.

    Returns
    -------
    list of QuantileCurve
        Each with n_new rows. Any number read off them varies over the list as it would over new data sets that have
        the levels of this one.

    Raises
    ------
    ValueError
        If shapes do not match, `n_boot` is no whole number of at least 1, or `groups` has missing names or fewer than
        two of them.

    Notes
    -----
    Efron's pairs bootstrap; chapter 5. Refits start cold: a level's neighbour on the grid, which the solver starts it
    from, is on the whole as good a start as the same level of another refit.

    Nothing could be fitted for a level of a categorical field that a draw has missed. One of its rows, drawn at random,
    then takes the place of a row that was drawn more than once, so that draws are conditional on having every level. A
    level of one row has the same row in every refit: the list does not tell how uncertain its effect is.

    Examples
    --------
    >>> rng = np.random.default_rng(4)
    >>> X = rng.uniform(size=(200, 1))
    >>> from qrgmm.models import QRGMM
    >>> curves = bootstrap_curves(QRGMM(levels=10), X, X[:, 0] + rng.normal(size=200), [[0.5]], 50, rng)
    >>> medians = np.concatenate([curve.ppf(0.5) for curve in curves])
    >>> np.quantile(medians, [0.05, 0.95]).round(1)
    array([0.4, 0.7])
    """
    rng, y = np.random.default_rng(rng), np.asarray(y)
    units = _rows_of_units(groups, X, y)
    has_level = _levels_of_units(model, X, units)
    curves = []
    for _ in range(check_count("n_boot", n_boot)):
        drawn = rng.integers(len(units), size=len(units))
        rows = np.concatenate([units[i] for i in _keep_levels(drawn, has_level, rng)])
        refit = clone(model).fit(take_rows(X, rows), y[rows])
        curves.append(refit.predict_curve(x_new))
    return curves


def left_out_levels(
    model: LawModel,
    X: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    n_folds: int = 10,
    groups: ArrayLike | None = None,
    rng: Rng = None,
) -> np.ndarray:
    r"""Return the level of each sale in the law of a refit to other rows.

    .. math:: u_i = \hat F_{-k(i)}(y_i \mid x_i), \qquad k(i) \text{ the fold of row } i

    A loan at level :math:`a` of the law would have defaulted where :math:`u_i < a`, and of continuous laws that are
    right a share :math:`a` does. The level at which the promised share defaults instead is
    `qrgmm.recalibration.level_for_all_rows` of them.

    Parameters
    ----------
    model : QRGMM or any model with `fit` and `predict_curve`
        Only its settings are used: every refit is a clone.
    X : data frame or array of shape (n_rows, n_columns)
    y : array of shape (n_rows,)
        Sales, in units.
    n_folds : int
        At least 2, and at most the number of rows, or of groups.
    groups : array of shape (n_rows,), optional
        Whose row each is, where a seller has several: whole sellers are left out then, with all of their rows.
    rng : numpy.random.Generator, int or None
        Which rows are left out together.

    Returns
    -------
    array of shape (n_rows,), in [0, 1]
        NaN for a row, or a group, with a text that nobody outside its fold has: no refit can know anything of it.

    Raises
    ------
    ValueError
        If shapes do not match, there are fewer rows or groups than folds, or `groups` has missing names or only one.

    Notes
    -----
    Cross-conformal prediction: Vovk (2015), "Cross-conformal predictors"; on the level of a fitted law Romano,
    Patterson and Candes (2019), "Conformalized quantile regression", and Chernozhukov, Wuthrich and Zhu (2021),
    "Distributional conformal prediction". Refits have a tenth fewer rows than the law that is used, which
    makes them a little worse; `level_for_all_rows` allows for it. Chapters 5 and 19.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> from qrgmm.recalibration import level_for_all_rows
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(200, 8))
    >>> sales = 10 + X @ np.ones(8) + rng.exponential(size=200)
    >>> levels = left_out_levels(QRGMM(np.arange(1, 20) / 20), X, sales, rng=1)
    >>> float((levels < 0.1).mean())  # of the loans that a fit to so few rows calls one in ten
    0.125
    >>> round(level_for_all_rows(levels, 0.1), 2)
    0.08
    """
    levels = np.full(len(y := np.asarray(y)), np.nan)
    for rows, law in left_out_laws(model, X, y, n_folds, groups, rng):
        levels[rows] = law.cdf(y[rows][:, None])[:, 0]
    return levels


def left_out_laws(
    model: LawModel,
    X: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    n_folds: int = 10,
    groups: ArrayLike | None = None,
    rng: Rng = None,
) -> Iterator[tuple[np.ndarray, QuantileCurve]]:
    """Yield the rows of every fold, and their laws from a refit to all other rows.

    Parameters
    ----------
    model, X, y, n_folds, groups, rng
        As in `left_out_levels`, which reads one number off each law.

    Yields
    ------
    rows : array of int of shape (n_left_out,)
    law : QuantileCurve
        With n_left_out rows.

    Raises
    ------
    ValueError
        As `left_out_levels`.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> folds = left_out_laws(QRGMM([0.5]), np.ones((6, 1)), np.arange(6.0), n_folds=3, rng=0)
    >>> sorted(int(row) for rows, law in folds for row in rows)
    [0, 1, 2, 3, 4, 5]
    """
    rng, y, n_folds = np.random.default_rng(rng), np.asarray(y), check_count("n_folds", n_folds, least=2)
    units = _rows_of_units(groups, X, y)
    if len(units) < n_folds:
        what = "rows" if groups is None else "groups"
        raise ValueError(f"n_folds must be at most the number of {what}, {len(units)}, got {n_folds}")
    has_level = _levels_of_units(model, X, units)
    for fold in np.array_split(rng.permutation(len(units)), n_folds):
        others = np.setdiff1d(np.arange(len(units)), fold)
        if has_level is not None:
            strange = has_level[others].sum(axis=0) == 0
            fold = fold[has_level[fold] @ strange == 0]
        rows, left_out = (np.concatenate([units[i] for i in chosen] or [[]]).astype(int) for chosen in (others, fold))
        if len(left_out):
            yield left_out, clone(model).fit(take_rows(X, rows), y[rows]).predict_curve(take_rows(X, left_out))


def _rows_of_units(groups, X, y):
    """Return the rows of every unit that is drawn, a list of arrays: single rows, or those of a group."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if y.shape != (n_rows,):
        raise ValueError(f"y must have shape ({n_rows},) like the rows of X, got {y.shape}")
    if groups is None:
        return list(np.arange(n_rows)[:, None])
    codes, names = pd.factorize(np.asarray(groups), sort=True) if np.shape(groups) == (n_rows,) else ([], [])
    if len(names) < 2 or (codes < 0).any():
        got = f"{len(names)} in shape {np.shape(groups)}, {int(np.sum(np.less(codes, 0)))} missing"
        raise ValueError(f"groups must have shape ({n_rows},), with at least two groups and none missing, got {got}")
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _levels_of_units(model, X, units):
    """Return which unit has which level of the categorical fields, a sparse array (n_units, n_levels), or None."""
    if not isinstance(X, pd.DataFrame):
        return None
    own = [value for value in model.get_params().values() if isinstance(value, FieldEncoder)]
    encoder = choose_encoder(own[0] if own else None, X)
    if encoder is None:
        return None
    codes, _ = encoder.fit(X).transform_fields(X)
    starts = np.cumsum([0, *(len(levels) for levels in encoder.categories_.values())], dtype=int)
    unit = np.repeat(np.arange(len(units)), [len(rows) for rows in units])
    at = np.repeat(unit, codes.shape[1]), (codes[np.concatenate(units)] + starts[:-1]).ravel()
    return sp.coo_array((np.ones(codes.size), at), shape=(len(units), starts[-1])).tocsc()


def _keep_levels(drawn, has_level, rng):
    """Return the units drawn, with one of every level that was missed in the place of one drawn more than once."""
    if has_level is None:
        return drawn
    drawn, times = drawn.copy(), np.bincount(drawn, minlength=len(drawn))
    for level in np.flatnonzero(times @ has_level == 0):
        holders = has_level.indices[has_level.indptr[level] : has_level.indptr[level + 1]]
        if not times[holders].any():  # no unit that was put in for another field has it
            place = rng.choice(np.flatnonzero(times[drawn] > 1))
            times[drawn[place]] -= 1
            drawn[place] = rng.choice(holders)
            times[drawn[place]] += 1
    return drawn


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of a data frame, of a sparse matrix, or of what makes an array.

    Parameters
    ----------
    X : data frame, sparse matrix or array of shape (n_rows, n_columns)
    rows : array of int, of shape (n_taken,)

    Returns
    -------
    data frame, sparse matrix or array of shape (n_taken, n_columns)

    Examples
    --------
    >>> take_rows([[1.0], [2.0], [3.0]], np.array([2, 0]))
    array([[3.],
           [1.]])
    """
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return (X.tocsr() if sp.issparse(X) else np.asarray(X))[rows]
