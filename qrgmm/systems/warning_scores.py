r"""The scores of the early-warning paper: parties, the chain as a whole, a client's record, and similarity.

A loan in a supply chain has three parties: a core enterprise, the financed firm and a logistics firm. Key risk
indicators in [0, 1] are averaged to a score per party, the scores are joined by a Clayton copula to the total risk
score, TRS, and a returning client's record is added. Equations 1 to 9 of the paper; chapter 14 works through them and
through what they leave open. Higher is riskier everywhere.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincc

from qrgmm.checks import check_flags
from qrgmm.portfolio.copula import ClaytonCopula

# The indicators that make the score of each party (table 2 of the paper), and the bank's weights of them; the paper
# leaves these open, equal ones are ours.
PARTIES = {"core": ["v1", "v2", "v3"], "firm": ["w1", "w2"], "logistics": ["q1", "q2"]}
EQUAL_WEIGHTS = {"core": (1 / 3, 1 / 3, 1 / 3), "firm": (0.5, 0.5), "logistics": (0.5, 0.5)}
ALPHA, BETA, ETA = 2.0, 5.0, 0.05
MOST_FRAUDS = 700  # e to the power of more is no float


def party_score(indicators: ArrayLike, weights: ArrayLike) -> np.ndarray:
    r"""Return the risk score of a party, :math:`rs = a'v`.

    Parameters
    ----------
    indicators : array of shape (..., n_indicators)
        In [0, 1].
    weights : array of shape (n_indicators,)
        In [0, 1], with sum 1.

    Returns
    -------
    array of shape (...), in [0, 1]

    Raises
    ------
    ValueError
        If an indicator lies outside [0, 1], or the weights are no list with sum 1.

    Notes
    -----
    Equations 1 to 3 of the early-warning paper; chapter 14. The firm's third indicator, past performance, is in none of
    them.

    Examples
    --------
    >>> round(float(party_score([0.6, 0.5, 0.4], EQUAL_WEIGHTS["core"])), 12)
    0.5
    """
    indicators, weights = _unit("indicators", indicators), _unit("weights", weights)
    if weights.ndim != 1:
        raise ValueError(f"weights must have shape (n_indicators,), got {weights.shape}")
    if abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"weights must sum to 1, got {weights.tolist()} with sum {weights.sum():g}")
    if indicators.shape[-1:] != weights.shape:
        raise ValueError(f"indicators must have {len(weights)} columns, one per weight, got shape {indicators.shape}")
    return indicators @ weights


def total_risk_score(
    scores: ArrayLike,
    theta: float,
    industry: ArrayLike,
    margin: Literal["distribution", "survival"] = "distribution",
    alpha: float = ALPHA,
    beta: float = BETA,
) -> np.ndarray:
    r"""Return the total risk score of a new client.

    .. math:: \mathrm{TRS} = (rs_1 + rs_2 + rs_3)(1 + \lambda)\,[1 - C(u_1, u_2, u_3; \theta)]

    Parameters
    ----------
    scores : array of shape (..., 3)
        Of the parties, in [0, 1].
    theta : float
        Of the Clayton copula, positive.
    industry : float or array of shape (...)
        :math:`\lambda`, the state of the industry in [0, 1]; 1 is worst.
    margin : {"distribution", "survival"}
        :math:`u_i = F(rs_i)` as the paper writes, or :math:`u_i = 1 - F(rs_i)`, see the notes.
    alpha, beta : float
        Of the Beta law :math:`F` of every party's score.

    Returns
    -------
    array of shape (...), in [0, 6]

    Raises
    ------
    ValueError
        If scores or industry lie outside [0, 1], theta is not positive, or the margin is unknown.

    Notes
    -----
    Equation 5 of the early-warning paper; chapter 14. With :math:`u_i = F(rs_i)`, :math:`1 - C` is the probability that
    some party of another loan is worse than the same party here: it falls to 0 as the scores rise to 1, and so does
    TRS, which makes the riskiest loans look safe. With :math:`u_i = 1 - F(rs_i)` a higher score always means a higher
    TRS, and the tail in which Clayton's copula ties the parties is that of joint distress. Both fall in :math:`\theta`.

    Examples
    --------
    >>> round(float(total_risk_score([0.5, 0.45, 0.4], theta=1.0, industry=0.0)), 4)
    0.518
    """
    scores, industry = _scores(scores), _unit("industry", industry)
    risk = 1 - ClaytonCopula(theta, scores.shape[-1]).cdf(
        _levels(scores, margin, alpha, beta)
    )
    return scores.sum(axis=-1) * (1 + industry) * risk


def traditional_score(
    scores: ArrayLike,
    industry: ArrayLike,
    margin: Literal["distribution", "survival"] = "distribution",
    alpha: float = ALPHA,
    beta: float = BETA,
) -> np.ndarray:
    r"""Return the score of the traditional model, which assesses every party alone.

    .. math:: (1 + \lambda) \sum_i rs_i\,(1 - u_i)

    Parameters
    ----------
    scores, industry, margin, alpha, beta
        As in `total_risk_score`.

    Returns
    -------
    array of shape (...)
        Never above `total_risk_score`, because :math:`C \le \min_i u_i`.

    Notes
    -----
    Our reading: the paper does not write its traditional model out. Chapter 14.

    Examples
    --------
    >>> round(float(traditional_score([0.5, 0.45, 0.4], industry=0.0)), 4)
    0.2216
    """
    scores, industry = _scores(scores), _unit("industry", industry)
    return (1 + industry) * (scores * (1 - _levels(scores, margin, alpha, beta))).sum(axis=-1)


def lone_exceedance(scores: ArrayLike, theta: float, alpha: float = ALPHA, beta: float = BETA) -> np.ndarray:
    r"""Return for every party the probability that it alone is worse than its score, :math:`C_{-i} - C`.

    Parameters
    ----------
    scores, theta, alpha, beta
        As in `total_risk_score`.

    Returns
    -------
    array of shape (..., 3)

    Notes
    -----
    One reading of the default probabilities in figure 6 of the early-warning paper, which gives no formula; chapter 14
    shows others.

    Examples
    --------
    >>> lone_exceedance([0.5, 0.45, 0.4], theta=1.0).round(3)
    array([0.05 , 0.084, 0.142])
    """
    levels = _levels(_scores(scores), "distribution", alpha, beta)
    joint = ClaytonCopula(theta, 3).cdf(levels)
    others = [ClaytonCopula(theta, 2).cdf(np.delete(levels, i, axis=-1)) for i in range(3)]
    return np.stack(others, axis=-1) - joint[..., None]


def decay(months: ArrayLike, delay: float = 12.0, pace: float = 3.0) -> np.ndarray:
    r"""Return how much a past loan still counts: 1 today, falling slowly, then fast around `delay`, then to 0.

    .. math:: d(t) = \frac{\pi/2 - \arctan((t - t_0)/s)}{\pi/2 + \arctan(t_0/s)}

    Parameters
    ----------
    months : float or array
        :math:`t`, months since the loan ended; not negative.
    delay, pace : float
        :math:`t_0` and :math:`s`, in months; pace positive.

    Returns
    -------
    array like `months`, in (0, 1]

    Raises
    ------
    ValueError
        If months are negative or NaN, the pace is not positive and finite, or the delay not finite.

    Notes
    -----
    Figure 2 of the early-warning paper, which says "from arctan(t) by a transformation" and gives none; chapter 14.

    Examples
    --------
    >>> decay([0.0, 6.0, 12.0, 18.0, 60.0]).round(2)
    array([1.  , 0.92, 0.54, 0.16, 0.02])
    """
    months = np.asarray(months, dtype=float)
    if not (months >= 0).all():
        raise ValueError(f"months must not be negative or NaN, got {months.min():g}")
    if not 0 < pace < np.inf:
        raise ValueError(f"pace must be positive, got {pace!r}")
    if not np.isfinite(delay):
        raise ValueError(f"delay must be finite, got {delay!r}")
    return (np.pi / 2 - np.arctan((months - delay) / pace)) / (np.pi / 2 + np.arctan(delay / pace))


def record_score(
    past_scores: ArrayLike,
    months: ArrayLike,
    clean: ArrayLike,
    n_frauds: int,
    penalty: Literal["total", "frauds"] = "total",
) -> float:
    r"""Return what a client's record adds to the score, before :math:`\eta`: :math:`\mathrm{TTRS}\, e^Q`.

    .. math:: \mathrm{TTRS} = \frac{1}{j - 1} \sum_{k < j} \pm\,\mathrm{TRS}_k\, d(t_k)

    with minus for clean loans, without fraud or warning, and plus for the others.

    Parameters
    ----------
    past_scores : array of shape (n_loans,)
        Total risk scores of the past loans.
    months : array of shape (n_loans,)
        Since each of them ended.
    clean : array of bool of shape (n_loans,)
    n_frauds : int
        :math:`Q`, among these loans.
    penalty : {"total", "frauds"}
        What :math:`e^Q` multiplies: the whole sum, as the paper writes it, or only the loans that were not clean, which
        keeps a fraud from making a good record better still.

    Returns
    -------
    float
        0 for a client without past loans.

    Raises
    ------
    ValueError
        If lengths differ, scores are not finite, months negative or NaN, `clean` is not of true and false, frauds are
        no whole number, negative, more than there are loans or more than 700, or the penalty is unknown.

    Notes
    -----
    Equations 6 and 7 of the early-warning paper; chapter 14.

    Examples
    --------
    >>> record = ([0.5, 0.5, 0.5], [1.0, 1.0, 1.0], [True, True, False])
    >>> [round(record_score(*record, n_frauds=1, penalty=penalty), 2) for penalty in ("total", "frauds")]
    [-0.45, 0.12]
    """
    past_scores, months = (
        np.asarray(values, dtype=float) for values in (past_scores, months)
    )
    clean = check_flags("clean", clean)
    if not past_scores.shape == months.shape == clean.shape or past_scores.ndim != 1:
        shapes = f"{past_scores.shape}, {months.shape} and {clean.shape}"
        raise ValueError(
            "past_scores, months and clean must have one shape (n_loans,), "
            f"got {shapes}"
        )
    if not np.isfinite(past_scores).all():
        raise ValueError("past_scores must be finite, got NaN or infinity")
    if not (0 <= n_frauds <= len(clean) and n_frauds == int(n_frauds)):
        raise ValueError(
            f"n_frauds must lie between 0 and the {len(clean)} past loans, "
            f"got {n_frauds!r}"
        )
    if n_frauds > MOST_FRAUDS:
        raise ValueError(f"n_frauds must be at most {MOST_FRAUDS}, got {n_frauds!r}")
    if penalty not in ("total", "frauds"):
        raise ValueError(f"penalty must be 'total' or 'frauds', got {penalty!r}")
    if len(clean) == 0:
        return 0.0
    factor = (
        np.exp(n_frauds)
        if penalty == "total"
        else np.where(clean, 1.0, np.exp(n_frauds))
    )
    signs = np.where(clean, -1.0, 1.0)
    return float(np.mean(signs * past_scores * decay(months) * factor))


def similarity(database: ArrayLike, application: ArrayLike) -> np.ndarray:
    r"""Return how similar an application is to the data base, indicator by indicator.

    .. math:: 1 - \frac{|\overline{x} - x_{\text{new}}|}{x_{\max} - x_{\min}}

    Parameters
    ----------
    database : array of shape (n_loans, n_indicators)
        Indicators of past loans, in [0, 1].
    application : array of shape (..., n_indicators)

    Returns
    -------
    array of shape (..., n_indicators), in [0, 1]
        Cut off at 0 where the application lies beyond all past loans. An indicator that never varied is similar (1) if
        the application has the same value, else not (0).

    Raises
    ------
    ValueError
        If an indicator lies outside [0, 1], the data base is empty, or the numbers of indicators differ.

    Notes
    -----
    Equation 8 of the early-warning paper; chapter 14.

    Examples
    --------
    >>> similarity([[0.0], [0.2], [0.4]], [[0.2], [0.3], [0.9]]).ravel().round(3)
    array([1.  , 0.75, 0.  ])
    """
    database, application = _unit("database", database), _unit("application", application)
    if database.ndim != 2 or len(database) == 0 or application.shape[-1:] != database.shape[1:]:
        shapes = f"{database.shape} and {application.shape}"
        raise ValueError(f"database and application must be (n_loans, k) and (..., k), got {shapes}")
    distance, spread = np.abs(database.mean(axis=0) - application), np.ptp(database, axis=0)
    ratio = np.divide(distance, spread, out=np.where(distance > 1e-12, np.inf, 0.0), where=spread > 0)
    return (1 - ratio).clip(0)


def total_similarity(
    database: ArrayLike,
    application: ArrayLike,
    parties: list[list[int]],
    importance: ArrayLike | None = None,
) -> np.ndarray:
    """Return the similarity of an application, summed over its parties.

    Parameters
    ----------
    database, application
        As in `similarity`.
    parties : list of list of int
        The columns of each party's indicators.
    importance : array of shape (n_indicators,), optional
        The weights of the mean per party; by default all 1.

    Returns
    -------
    array of shape (...), between 0 and the number of parties

    Raises
    ------
    ValueError
        As `similarity`; or if importance is not one finite number of at least 0 per indicator, or its sum is 0 for a
        party.

    Notes
    -----
    Equation 9 of the early-warning paper; chapter 14.

    Examples
    --------
    >>> round(float(total_similarity([[0.0, 0.1], [0.2, 0.3]], [0.1, 0.25], parties=[[0], [1]])), 2)
    1.75
    """
    alike = similarity(database, application)
    importance = np.ones(alike.shape[-1]) if importance is None else np.asarray(importance, dtype=float)
    if importance.shape != alike.shape[-1:] or not (np.isfinite(importance).all() and (importance >= 0).all()):
        wanted = f"{alike.shape[-1]} finite numbers of at least 0, one per indicator"
        raise ValueError(f"importance must be {wanted}, got {importance.tolist()}")
    idle = [columns for columns in parties if not importance[columns].sum() > 0]
    if idle:
        raise ValueError(f"importance must have a positive sum for each party, got 0 for the columns {idle[0]}")
    means = (np.average(alike[..., columns], axis=-1, weights=importance[columns]) for columns in parties)
    return sum(means)  # type: ignore[return-value]  # of no parties it would be the number 0


def _unit(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        bad = values[~((values >= 0) & (values <= 1))].ravel()[0]
        raise ValueError(f"{name} must lie in [0, 1], got {bad:g}")
    return values


def _levels(scores, margin, alpha, beta):
    if margin not in ("distribution", "survival"):
        raise ValueError(f"margin must be 'distribution' or 'survival', got {margin!r}")
    return betainc(alpha, beta, scores) if margin == "distribution" else betaincc(alpha, beta, scores)


def _scores(scores: ArrayLike) -> np.ndarray:
    scores = _unit("scores", scores)
    if scores.shape[-1:] != (3,):
        raise ValueError(f"scores must have shape (..., 3), one per party, got shape {scores.shape}")
    return scores
