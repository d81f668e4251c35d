"""What the neighbouring systems say of a seller: does its buyer pay late, is the chain strained. Chapters 13 to 19."""

import numpy as np
import pandas as pd

from qrgmm.systems.warning_scores import EQUAL_WEIGHTS, PARTIES, party_score, total_risk_score

CHAIN_COLUMNS = [*(name for names in PARTIES.values() for name in names), "industry"]  # what the risk score is made of
HIGHEST_SCORE = 6.0  # of `total_risk_score`


def warning_flags(
    sellers: pd.DataFrame,
    max_late_probability: float | None = None,
    max_risk_score: float | None = None,
    theta: float = 1.0,
) -> pd.DataFrame:
    """Return what the neighbouring systems say of every seller: will its buyer pay late, and does its chain look risky.

    Parameters
    ----------
    sellers : pandas.DataFrame
        With `late_probability` for the first, with the indicators v1, v2, v3, w1, w2, q1, q2 and `industry`, all in
        [0, 1], for the second.
    max_late_probability, max_risk_score : float, optional
        From which values on to raise a flag, in [0, 1] and [0, 6]; what is None is left out.
    theta : float
        Of the total risk score, with `margin="survival"`.

    Returns
    -------
    pandas.DataFrame
        late_probability, risk_score, and the answers buyer_late and chain_risky, as far as asked for.

    Raises
    ------
    ValueError
        If a threshold is out of range, or a column is missing or has values outside [0, 1].

    Notes
    -----
    Chapters 13, 14 and 16.

    Examples
    --------
    >>> warning_flags(pd.DataFrame({"late_probability": [0.1, 0.7]}), max_late_probability=0.5)
       late_probability  buyer_late
    0               0.1       False
    1               0.7        True
    """
    for name, threshold, top in [
        ("max_late_probability", max_late_probability, 1.0),
        ("max_risk_score", max_risk_score, HIGHEST_SCORE),
    ]:
        if threshold is not None and not 0 <= threshold <= top:
            raise ValueError(f"{name} must lie in [0, {top:g}], got {threshold!r}")
    columns = ["late_probability"] * (max_late_probability is not None)
    columns += CHAIN_COLUMNS * (max_risk_score is not None)
    absent = [name for name in columns if name not in sellers]
    if absent:
        raise ValueError(f"sellers must have the columns {absent}, got {list(sellers)}")
    for name in columns:
        outside = sellers.index[~sellers[name].between(0, 1)]
        if len(outside):
            first = f"{sellers[name][~sellers[name].between(0, 1)].iloc[0]!r} in row {outside[0]!r}"
            raise ValueError(f"column {name!r} of sellers must lie in [0, 1], got {first}")
    flags = pd.DataFrame(index=sellers.index)
    if max_late_probability is not None:
        flags["late_probability"] = sellers["late_probability"]
        flags["buyer_late"] = flags["late_probability"] >= max_late_probability
    if max_risk_score is not None:
        by_party = [party_score(sellers[columns], EQUAL_WEIGHTS[party]) for party, columns in PARTIES.items()]
        scores = np.column_stack(by_party)
        flags["risk_score"] = total_risk_score(scores, theta, sellers["industry"].to_numpy(), margin="survival")
        flags["chain_risky"] = flags["risk_score"] >= max_risk_score
    return flags
