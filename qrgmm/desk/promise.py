r"""The promise, kept: at which level a loan must be sized so that sales that no fit has seen default as promised.

A law fitted to few rows gives larger loans than it should. Refits that leave rows out say by how much, and the cautious
loan is sized at the level at which the promise holds on those rows. That level is chosen on the same rows that it is
shown to hold on, so that it is judged once more, on each fold at the level of the other folds. Chapters 5 and 19.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from tqdm import tqdm

from qrgmm.backtest import compare_promises
from qrgmm.checks import Rng, check_level
from qrgmm.curve import QuantileCurve
from qrgmm.desk.safeguards import show_share
from qrgmm.models.law_model import LawModel
from qrgmm.models.resampling import left_out_laws
from qrgmm.recalibration import level_for_all_rows, recalibrated_level
from qrgmm.risk import largest_loan

ROUNDING = 1e-12  # of a sale: one that lies on a knot of its law has not fallen below it


@dataclass(frozen=True)
class Promise:
    """What was promised, what came of it where it could be seen, and the level at which it is kept.

    Attributes
    ----------
    promised : float
        The default probability, in (0, 1).
    level : float
        At which cautious loans are sized, in [0, 1]; 0 where nothing can be promised.
    outcome_levels : array of shape (n_outcomes,)
        Where outcomes fell in laws that had not seen them.
    kept : pandas.DataFrame
        Rows "plug-in", loans at the promised level, and "cautious": `level`, `n` loans granted, and the share of them
        that would have defaulted, `observed`, with its standard `error`. NaN where nobody would have had a loan.
    basis : str
        What the outcomes are.
    vintages : pandas.DataFrame, optional
        The same of both kinds of loans by day of origin, for histories with dates.
    dates : str
        First and last day of the outcomes, where these are not all of the history.
    """

    promised: float
    level: float
    outcome_levels: np.ndarray
    kept: pd.DataFrame
    basis: str
    vintages: pd.DataFrame | None = None
    dates: str = ""


def promise_left_out(
    model: LawModel,
    history: pd.DataFrame,
    sales: ArrayLike,
    promised: float,
    n_folds: int = 10,
    groups: ArrayLike | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> Promise:
    r"""Return whether a promise is kept on rows left out, and the level at which it is.

    With :math:`u_i` the level of sale :math:`i` in the law of a refit without its fold, a loan at level :math:`a`
    would have been granted if no sales at all lie below that level, and would have defaulted if :math:`u_i < a`.
    Loans of refits are judged at the level that refits need; the law of all rows needs the `level_for_all_rows`.

    Parameters
    ----------
    model : QRGMM or any model with `fit` and `predict_curve`
        Only its settings are used.
    history : pandas.DataFrame
    sales : array of shape (n_past,)
        At least 0.
    promised : float
        In (0, 1).
    n_folds : int
        At most; as many as rows, or groups, where these are fewer.
    groups : array of shape (n_past,), optional
        Sellers with several rows are left out whole; errors are clustered by them.
    rng : numpy.random.Generator, int or None
    progress : bool
        Show a bar.

    Returns
    -------
    Promise
        With level 0, and nothing observed, where no number of defaults among so few rows could show such a promise.

    Raises
    ------
    ValueError
        As `left_out_levels`.

    Notes
    -----
    Chapters 5 and 19.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.uniform(size=(200, 8))).add_prefix("x")
    >>> sales = 10 + X.sum(axis=1) + rng.exponential(size=200)
    >>> promise = promise_left_out(QRGMM(np.arange(1, 20) / 20), X, sales, 0.1, rng=1)
    >>> promise.kept.round(3)
              level    n  observed  error
    plug-in   0.100  200     0.125  0.023
    cautious  0.081  200     0.105  0.022
    """
    promised, sales = check_level("promised", promised), np.asarray(sales, dtype=float)
    n_units = len(sales) if groups is None else pd.Series(groups).nunique()
    basis = f"{len(sales):,} past sales" + ("" if groups is None else f" of {n_units:,} sellers")
    at, stops, folds = np.full((3, len(sales)), np.nan)
    if promised * (len(sales) + 1) >= 1:
        n_folds = min(n_folds, n_units)
        laws = left_out_laws(model, history, sales, n_folds, groups, rng)
        for fold, (rows, law) in enumerate(tqdm(laws, "rows left out", n_folds, disable=not progress)):
            sold = law.snap(sales[rows, None], ROUNDING * sales[rows, None])
            reached = law.cdf(np.column_stack([sold, np.zeros(len(rows))]))
            at[rows], stops[rows], folds[rows] = reached[:, 0], reached[:, 1], fold
        basis += f", each in the forecast of one of {n_folds} refits that have not seen it"
    known = np.flatnonzero(~np.isnan(at))
    at, stops, folds = at[known], stops[known], folds[known]
    level = level_for_all_rows(at, promised, n_folds) if len(at) else 0.0
    levels = np.zeros(len(at))
    for fold in np.unique(folds):
        others = at[folds != fold]
        levels[folds == fold] = recalibrated_level(others, promised) if len(others) else 0.0
    clusters = np.arange(len(at)) if groups is None else np.asarray(groups)[known]
    kept = pd.DataFrame(
        [
            observe_defaults(at, stops, np.full(len(at), promised), clusters),
            observe_defaults(at, stops, np.minimum(levels, promised), clusters),
        ],
        ["plug-in", "cautious"],
    )
    kept.insert(0, "level", [promised, min(level, promised)])
    return Promise(promised, min(level, promised), at, kept, basis)


def observe_defaults(at: np.ndarray, stops: np.ndarray, levels: np.ndarray, clusters: ArrayLike) -> dict[str, float]:
    """Return how many loans would have been granted, and the share of them that would have defaulted.

    Parameters
    ----------
    at, stops : array of shape (n,)
        Levels of the outcome, and of no sales at all, in each law.
    levels : array of shape (n,)
        At which loans are sized.
    clusters : array of shape (n,)
        Of sellers.

    Returns
    -------
    dict
        `n`, `observed` and its standard `error`.

    Examples
    --------
    >>> observe_defaults(np.array([0.1, 0.3, 0.2]), np.array([0.0, 0.0, 0.2]), np.full(3, 0.2), list("aba"))
    {'n': 2, 'observed': 0.5, 'error': 0.5}
    """
    granted = stops < levels
    if not granted.any():
        return {"n": 0, "observed": np.nan, "error": np.nan}
    found = compare_promises(0.0, (at < levels)[granted], clusters=np.asarray(clusters)[granted]).iloc[0]
    return {"n": int(found["n"]), "observed": float(found["observed"]), "error": float(found["error"])}


def share_interval(n: float, observed: float, error: float) -> tuple[float, float]:
    r"""Return the 95 % interval of a share of defaults, also where none was seen or loans of a seller cluster.

    The interval of Clopper and Pearson for :math:`n^* = p (1 - p) / e^2` independent loans in the place of :math:`n`,
    at most :math:`n` of them.

    Parameters
    ----------
    n : int
        Loans.
    observed, error : float
        The share :math:`p` of them that defaulted, and its standard error :math:`e`, perhaps clustered.

    Returns
    -------
    low, high : float
        NaN without a share.

    Notes
    -----
    Korn and Graubard (1998), "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data". Chapter 19.

    Examples
    --------
    >>> [round(end, 4) for end in share_interval(100, 0.0, 0.0)]
    [0.0, 0.0362]
    >>> [round(end, 4) for end in share_interval(400, 0.05, 0.02)]
    [0.0184, 0.106]
    """
    if not n or np.isnan(observed):
        return np.nan, np.nan
    n_alone = min(n, observed * (1 - observed) / error**2) if error > 0 else n
    hits = observed * n_alone
    low = stats.beta.ppf(0.025, hits, n_alone - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n_alone - hits) if hits < n_alone else 1.0
    return float(low), float(high)


def cautious_loans(
    curve: QuantileCurve, level: float, unit_revenue: ArrayLike = 1.0, **limits: float
) -> np.ndarray:
    """Return the largest loans whose default probability is limited by a level that is not larger than the promise.

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller, in units sold; floored at 0.
    level : float
        In [0, 1]; 0 where nothing can be promised. From 0 to the first level of the curve, loans are at its lowest
        quantile.
    unit_revenue : float or array of shape (n_sellers,)
        In currency per unit.
    **limits
        Of `largest_loan`.

    Returns
    -------
    array of shape (n_sellers,), in currency

    Notes
    -----
    Chapter 19.

    Examples
    --------
    >>> curve = QuantileCurve([0.25, 0.5, 0.75], [[10.0, 20.0, 40.0]])
    >>> cautious_loans(curve, 0.375, 2.0, max_default_probability=0.5)
    array([30.])
    """
    if level == 0:
        return np.zeros(len(curve))
    promised = limits.get("max_default_probability", 1.0)
    limits["max_default_probability"] = min(level, promised)
    return largest_loan(curve.clip(lower=0.0), unit_revenue=unit_revenue, **limits)


def describe_promise(promise: Promise, first_level: float = 0.0) -> list[str]:
    """Return in sentences what was seen of a promise, and what cautious loans rest on.

    Parameters
    ----------
    promise : Promise
    first_level : float
        Of the laws that loans are read off.

    Returns
    -------
    list of str

    Examples
    --------
    >>> kept = pd.DataFrame({"n": [0, 0], "observed": np.nan, "error": np.nan}, ["plug-in", "cautious"])
    >>> describe_promise(Promise(0.05, 0.0, np.array([]), kept, "12 past sales"))
    ['12 past sales are too few to promise 5%, which takes at least 19: no cautious loan.']
    """
    promised = show_share(promise.promised)
    if len(promise.outcome_levels) == 0:
        least = int(np.ceil(1 / promise.promised - 1e-9)) - 1
        return [f"{promise.basis} are too few to promise {promised}, which takes at least {least:,}: no cautious loan."]
    plug_in, cautious = ((row["n"], row["observed"], row["error"]) for _, row in promise.kept.iterrows())
    seen = _show_share_seen(*plug_in)
    said = [f"Seen on {promise.basis}: of loans sized at {promised}, {seen} would have defaulted."]
    if promise.level == 0:
        return [*said, f"No level of the forecasts keeps the promise of {promised}: no cautious loan."]
    said.append(
        f"Cautious loans are sized at {show_share(promise.level)}; of such loans {_show_share_seen(*cautious)} "
        "would have defaulted, each judged at a level that its own outcome had no part in."
    )
    if promise.level < first_level:
        first = f"the first level of the forecasts, {show_share(first_level)}"
        said.append(f"That lies below {first}: cautious loans are at their lowest quantiles.")
    return said


def judge_promise(promise: Promise, kind: str = "cautious") -> str:
    """Return in a word whether a promise was kept.

    Parameters
    ----------
    promise : Promise
    kind : {"plug-in", "cautious"}

    Returns
    -------
    str
        "kept"; "within its error" if more defaulted, but by no more than two standard errors; "BROKEN"; or "not seen".

    Examples
    --------
    >>> kept = pd.DataFrame({"observed": [0.08, 0.06], "error": 0.01}, ["plug-in", "cautious"])
    >>> promise = Promise(0.05, 0.03, np.array([0.5]), kept, "")
    >>> judge_promise(promise, "plug-in"), judge_promise(promise)
    ('BROKEN', 'within its error')
    """
    observed, error = promise.kept.loc[kind, ["observed", "error"]]
    if np.isnan(observed):
        return "not seen"
    if observed <= promise.promised:
        return "kept"
    # Of one seller alone there is no error.
    return "within its error" if observed <= promise.promised + 2 * np.nan_to_num(error) else "BROKEN"


def _show_share_seen(n, observed, error):
    if np.isnan(observed):
        return "none, since none would have been granted,"
    low, high = share_interval(n, observed, error)
    interval = f"the true share may lie between {show_share(low, 2)} and {show_share(high, 2)}"
    return f"{show_share(observed)} (s.e. {show_share(error)}, {int(n):,} loans: {interval})"
