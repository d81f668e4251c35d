r"""Why a loan is what it is: what every covariate's own value does for it, and what a seller would have to change.

The loan is a function of the row, so that nothing is estimated here: it is evaluated at other rows. Chapter 19.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.desk.sizing import revenue_per_unit
from qrgmm.models.law_model import LawModel
from qrgmm.risk import largest_loan

ROWS = 100_000  # that are changed at a time: what bounds the memory
WAYS = {"up": 1, "down": -1, "either": 0}  # in which a number may be changed


def reference_values(history: pd.DataFrame, model: LawModel | None = None) -> dict:
    """Return the seller to compare with: the median of each numeric column, the most frequent level of each other.

    Parameters
    ----------
    history : pandas.DataFrame
    model : fitted model, optional
        Its encoder says which columns hold levels, such as codes written in digits, and which hold numbers; without it,
        or without an encoder, the types of the columns do.

    Returns
    -------
    dict

    Examples
    --------
    >>> history = pd.DataFrame({"store": [1, 4, 4], "price": [1.0, 2.0, 6.0]})
    >>> reference_values(history)
    {'store': 4.0, 'price': 2.0}
    >>> from qrgmm.models import QRGMM, FieldEncoder
    >>> coded = QRGMM([0.5], FieldEncoder(["store"])).fit(history, [1.0, 2.0, 3.0])
    >>> reference_values(history, coded)["store"] in (1, 4)
    True
    """
    _, numeric = name_fields(model, history)
    return {name: float(history[name].median()) if name in numeric else history[name].mode()[0] for name in history}


def name_fields(model: LawModel | None, history: pd.DataFrame) -> tuple[dict, list[str]]:
    """Return the columns of levels, with all levels, and the columns of numbers.

    Parameters
    ----------
    model : fitted model or None
        Its encoder tells the two apart; without one the types of the columns do.
    history : pandas.DataFrame

    Returns
    -------
    levels : dict of str to array
    numbers : list of str

    Examples
    --------
    >>> name_fields(None, pd.DataFrame({"store": ["a"], "price": [2.0]}))
    ({}, ['price'])
    """
    encoder = getattr(model, "encoder_", None)
    if encoder is None:
        return {}, list(history.select_dtypes("number"))
    return encoder.categories_, list(encoder.continuous_)


def loan_drivers(
    model: LawModel,
    sellers: pd.DataFrame,
    reference: dict,
    unit_revenue: ArrayLike | str = 1.0,
    **limits: float,
) -> pd.DataFrame:
    r"""Return what every covariate's own value does for the largest loan, against a reference value.

    .. math:: \ell^*(x) - \ell^*(x_1, \dots, x_k^{\mathrm{ref}}, \dots, x_p), \qquad k = 1, \dots, p

    Each number is exact for its question, one field moved and all others left. They do not add up to the difference
    between the seller and the reference seller unless the loan is additive in the fields.

    Parameters
    ----------
    model : QRGMM or any fitted model with `predict_curve`
    sellers : pandas.DataFrame
        One row per seller.
    reference : dict
        Covariate of the model -> value, see `reference_values`.
    unit_revenue : float, array of shape (n_sellers,) or str
        A name is a column of `sellers`; when that field is moved, revenue per unit moves with it.
    **limits
        Of `largest_loan`.

    Returns
    -------
    pandas.DataFrame of shape (n_sellers, n_fields), in currency
        Positive: with the reference value the loan would be smaller by that much.

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"ads": rng.uniform(0, 4, 400), "price": rng.uniform(3, 6, 400)})
    >>> model = QRGMM(levels=20).fit(X, 60 + 40 * X["ads"])
    >>> seller = pd.DataFrame({"ads": [3.0], "price": [5.0]})
    >>> reference, limits = {"ads": 2.0, "price": 4.0}, {"max_default_probability": 0.05}
    >>> loan_drivers(model, seller, reference, "price", **limits).round(3)
         ads  price
    0  200.0  180.0
    """

    def loans(**moved):
        return reference_loans(model, sellers, reference, unit_revenue, moved, **limits)

    now = loans()
    moved = {
        name: now - loans(**{name: value})
        for name, value in reference.items()
    }
    return pd.DataFrame(moved, index=sellers.index)


def reference_loans(
    model: LawModel,
    sellers: pd.DataFrame,
    reference: dict,
    unit_revenue: ArrayLike | str = 1.0,
    moved: dict | None = None,
    **limits: float,
) -> np.ndarray:
    """Return the largest loans of sellers some of whose entries are moved to the reference: where reasons start from.

    Parameters
    ----------
    model, sellers, reference, unit_revenue, **limits
        As in `loan_drivers`.
    moved : dict, optional
        Covariate -> value; by default all of `reference`, so that loans differ by revenue per unit only.

    Returns
    -------
    array of shape (n_sellers,), in currency

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> X = pd.DataFrame({"ads": np.arange(9.0)})
    >>> model = QRGMM([0.5]).fit(X, 10 * X["ads"])
    >>> reference_loans(model, X[:2], {"ads": 4.0}, [1.0, 2.0], max_default_probability=0.5).round(9)
    array([40., 80.])
    """
    frame = sellers.assign(**(reference if moved is None else moved))
    curve = model.predict_curve(frame[list(reference)])
    return largest_loan(curve.clip(lower=0.0), unit_revenue=revenue_per_unit(frame, unit_revenue), **limits)


def least_changes(
    model: LawModel,
    sellers: pd.DataFrame,
    history: pd.DataFrame,
    columns: Sequence[str] | Mapping[str, str],
    size: Callable[[pd.DataFrame, np.ndarray], np.ndarray],
    gain: float = 0.1,
) -> pd.DataFrame:
    """Return the smallest change of one entry of the row that raises the loan by a tenth, all others as they are.

    A number is looked for from the 5 % to the 95 % quantile of the history: at 101 places, and between the nearest one
    that does and the next on the way to it by halving. Of text those values are tried which a twentieth of the history
    has, and the one that does it with the least to spare is named.

    Parameters
    ----------
    model : fitted model
        Its encoder says which columns hold numbers.
    sellers, history : pandas.DataFrame
    columns : list of str, or dict of str to {"up", "down", "either"}
        Covariates that a seller can change, and for a number which way makes sense; by default either.
    size : callable
        ``size(rows, which)`` returns the loans of changed rows, `which` (n_rows,) saying whose each is.
    gain : float
        Of the loan, positive. Where there is no loan, any loan is a gain.

    Returns
    -------
    pandas.DataFrame of shape (n_sellers, 2 * n_columns)
        For each column `x`, `reach_x`, the new value, and `reach_x_loan`, the loan there; missing where nothing does.
        Where only one way makes sense also `reach_x_against`: whether nothing does it that way, but something the
        other way, which speaks against the model.

    Raises
    ------
    ValueError
        If a column is no covariate, or a way is none, or a column of text has one.

    Notes
    -----
    What the model would lend to another row, and no word on whether the seller would then sell so much. Chapter 19.

    Examples
    --------
    >>> history = pd.DataFrame({"ads": np.linspace(0, 10, 101)})
    >>> sellers = pd.DataFrame({"ads": [2.0, 9.4]})
    >>> least_changes(None, sellers, history, ["ads"], lambda rows, which: 10 * rows["ads"].to_numpy()).round(3)
       reach_ads  reach_ads_loan
    0        2.2            22.0
    1        NaN             NaN
    """
    absent = [name for name in columns if name not in history]
    if absent:
        raise ValueError(f"reach must name covariates, {list(history)}, got {absent}")
    _, numbers = name_fields(model, history)
    ways = _check_ways(columns, numbers)
    now = size(sellers, np.arange(len(sellers)))
    target = np.where(now > 0, now * (1 + gain), np.nextafter(0, 1))
    found: dict[str, ArrayLike] = {}
    for name, way in ways.items():
        if name in numbers:
            places = np.linspace(history[name].quantile(0.05), history[name].quantile(0.95), 101)
        else:
            share = history[name].value_counts(normalize=True)
            places = share.index[share >= 0.05].to_numpy()
        to, loans = np.full(len(sellers), None, dtype=object), np.full(len(sellers), np.nan)
        against = np.zeros(len(sellers), dtype=bool)
        step = max(1, ROWS // max(len(places), 1))
        for start in range(0, len(sellers), step):
            which = np.arange(start, min(start + step, len(sellers)))
            tried = _size_moved(size, sellers, name, np.repeat(which, len(places)), np.tile(places, len(which)))
            tried = tried.reshape(len(which), len(places))
            reached = tried >= target[which, None]
            if way:
                meant = reached & (way * (places - sellers[name].to_numpy(float)[which, None]) > 0)
                against[which] = reached.any(axis=1) & ~meant.any(axis=1)
                reached = meant
            whose = which[reached.any(axis=1)]
            if not len(whose):
                continue
            tried, reached = tried[reached.any(axis=1)], reached[reached.any(axis=1)]
            if name in numbers:
                own = sellers[name].to_numpy(float)[whose]
                at = np.argmin(np.where(reached, np.abs(places - own[:, None]), np.inf), axis=1)
                to[whose], loans[whose] = _halve(size, sellers, name, whose, own, places, at, target[whose])
            else:
                at = np.argmin(np.where(reached, tried, np.inf), axis=1)
                to[whose], loans[whose] = places[at], tried[np.arange(len(whose)), at]
        values = pd.Series(to, sellers.index)
        found |= {f"reach_{name}": values.astype(float) if name in numbers else values, f"reach_{name}_loan": loans}
        found |= {f"reach_{name}_against": against} if way else {}
    return pd.DataFrame(found, index=sellers.index)


def _check_ways(columns, numbers):
    """Covariates and the sign of their change, 0 for either."""
    ways = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, "either")
    for name, way in ways.items():
        if way not in WAYS or (WAYS[way] and name not in numbers):
            wanted = f"one of {list(WAYS)} for a number, and nothing for text"
            raise ValueError(f"reach must say which way a column may change, {wanted}, got {way!r} for {name!r}")
    return {name: WAYS[way] for name, way in ways.items()}


def _size_moved(size, sellers, name, which, values):
    """Loans of rows with another value in one column."""
    return size(sellers.iloc[which].assign(**{name: values}), which)


def _halve(size, sellers, name, which, own, places, at, target):
    """Nearest values that reach the target, between a place that does and the one before it on the way from `own`."""
    reaching, toward = places[at], np.sign(own - places[at]).astype(int)
    short = places[np.clip(at + toward, 0, len(places) - 1)]
    short = np.where(toward > 0, np.minimum(short, own), np.maximum(short, own))
    short = np.where((own < places[0]) & (at == 0) | (own > places[-1]) & (at == len(places) - 1), reaching, short)
    for _ in range(40):
        middle = (short + reaching) / 2
        enough = _size_moved(size, sellers, name, which, middle) >= target
        short, reaching = np.where(enough, short, middle), np.where(enough, middle, reaching)
    return reaching, _size_moved(size, sellers, name, which, reaching)
