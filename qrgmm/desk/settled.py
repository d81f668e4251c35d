r"""Loans that have ended: what the desk decided beside what came, one row a loan, and what is missing on either side.

A loan is in default if the seller's net revenue over the horizon is less than the amount lent. The desk's promise is
about the desk's own amount; where somebody lent another one, only the seller's law says what was promised for it.
Chapter 19.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from qrgmm.backtest import transform_outcomes
from qrgmm.checks import Rng, check_level
from qrgmm.curve import QuantileCurve
from qrgmm.datasets.reading import name_few
from qrgmm.risk import default_probability, expected_loss

QUANTILE = re.compile(r"q(\d{2,})")  # a column of decisions: q05 is the 5 % quantile of a seller's revenue, in currency
ROUNDED = 0.01  # of the desk's amount: what is lent may differ by so much and is still the desk's
LAST_DIGIT = 1e-6  # of the desk's tables: a loan that differs from the revenue by less was repaid
GROUPS = [
    "as the desk said", "flagged, the desk's amount", "more than the desk's amount", "less than the desk's amount",
    "lent where the desk lends nothing", "not lent where the desk lends",
]  # fmt: skip


class Settled(NamedTuple):
    """Loans that have ended, and sellers of whom nothing can be said.

    Attributes
    ----------
    loans : pandas.DataFrame
        One row per vintage and seller whose revenue is known and for whom somebody or the desk had a loan: vintage,
        seller, revenue; amount (lent), promised (default probability at it, NaN where not known), expected_loss (the
        same), defaulted, loss; the desk's own amount as desk_amount, with desk_promised, desk_defaulted and desk_loss,
        had it been lent; group, one of `GROUPS`; and level, where the revenue fell in the seller's law, if known.
    laws : tuple of float
        The levels of the quantiles in the decisions, none if there are no such columns.
    refused : int
        Sellers whose outcome is known and to whom neither lent anything.
    waiting : pandas.Series of int
        Of every vintage: loans whose outcome is not known yet.
    only_decided, only_settled : list of str
        Sellers in one of the two tables only.
    overridden : bool
        Whether outcomes say what was lent, or who was overridden.
    """

    loans: pd.DataFrame
    laws: tuple[float, ...]
    refused: int
    waiting: pd.Series
    only_decided: list[str]
    only_settled: list[str]
    overridden: bool


def settle_loans(
    decisions: pd.DataFrame, outcomes: pd.DataFrame, promise: float | None = None, rng: Rng = 0
) -> Settled:
    r"""Return the loans that have ended, each with what was promised and what came.

    .. math:: \text{default}: R < \ell, \qquad \text{loss}: (\ell - R)^+

    Parameters
    ----------
    decisions : pandas.DataFrame
        As the desk writes them: seller, vintage, loan, default_probability, expected_loss. With a column amount, or
        else cautious_loan, that is what the desk lends, and default_probability what it is meant to keep. Columns such
        as q05 hold quantiles of a seller's revenue, in currency.
    outcomes : pandas.DataFrame
        seller, revenue in currency (NaN: not over yet), and if there are such columns vintage, granted (in currency,
        what was lent) and override (bool).
    promise : float, optional
        The default probability that was promised for every one of the desk's amounts, in place of the column.
    rng : numpy.random.Generator, int or None
        Of places in laws with atoms.

    Returns
    -------
    Settled

    Raises
    ------
    ValueError
        If a seller is there twice, numbers are not what they are said to be, or granted is missing where the revenue is
        known.

    Examples
    --------
    >>> decisions = pd.DataFrame({"seller": ["A", "B"], "vintage": "May", "loan": [50.0, 80.0]})
    >>> decisions = decisions.assign(default_probability=0.1, expected_loss=1.0)
    >>> outcomes = pd.DataFrame({"seller": ["A", "B"], "revenue": [40.0, 120.0]})
    >>> settle_loans(decisions, outcomes).loans[["seller", "amount", "promised", "defaulted", "loss"]]
      seller  amount  promised  defaulted  loss
    0      A    50.0       0.1       True  10.0
    1      B    80.0       0.1      False   0.0
    """
    keys = _check_keys(decisions, outcomes)
    _check_numbers("decisions", decisions, "loan", missing=False)
    _check_numbers("decisions", decisions, "default_probability", high=1.0)
    for name in [name for name in ("amount", "cautious_loan", "expected_loss") if name in decisions]:
        _check_numbers("decisions", decisions, name)
    for name in [name for name in ("revenue", "granted") if name in outcomes]:
        _check_numbers("outcomes", outcomes, name)
    given = [name for name in ("revenue", "granted", "override") if name in outcomes]
    kept = decisions.drop(columns=given, errors="ignore")
    table = kept.merge(outcomes[[*keys, *given]], how="left", on=keys, indicator="found")
    both = table[table["found"] == "both"].reset_index(drop=True)
    behind = outcomes[keys].merge(decisions[keys], how="left", on=keys, indicator="found")
    known = both["revenue"].notna()
    own = next(name for name in ("amount", "cautious_loan", "loan") if name in both)
    desk = both[own].fillna(0.0)
    if "granted" in both and both["granted"][known].isna().any():
        name = both["seller"][known & both["granted"].isna()].iloc[0]
        raise ValueError(f"granted must be a number, 0 for no loan, where the revenue is known, got none for {name!r}")
    amount = both["granted"] if "granted" in both else desk
    lent = (amount.fillna(desk) > 0) | (desk > 0)
    return Settled(
        loans=_settle(both[known & lent], amount, desk, promise, rng),
        laws=tuple(_read_levels(decisions)),
        refused=int((known & ~lent).sum()),
        waiting=(lent & ~known).groupby(both["vintage"].astype(str), sort=False).sum(),
        only_decided=_name_alone(table),
        only_settled=_name_alone(behind),
        overridden=bool({"granted", "override"} & set(outcomes)),
    )


def _name_alone(table):
    return list(dict.fromkeys(table["seller"][table["found"] == "left_only"]))


def _settle(rows, amount, desk, promise, rng):
    """One row per loan that ended: what was promised for what was lent, and for what the desk would have lent."""
    amount, desk = amount[rows.index].to_numpy(float), desk[rows.index].to_numpy(float)
    revenue, flagged = rows["revenue"].to_numpy(float), np.zeros(len(rows), dtype=bool)
    if "override" in rows:
        flagged = rows["override"].to_numpy(bool)
    differs = np.abs(amount - desk) > ROUNDED * desk
    chosen = [desk == 0, amount == 0, differs & (amount > desk), differs, flagged]
    group = np.select(chosen, [GROUPS[4], GROUPS[5], GROUPS[2], GROUPS[3], GROUPS[1]], GROUPS[0])
    column = rows["default_probability"].to_numpy(float) if promise is None else check_level("promise", promise)
    desk_promised = np.where(desk > 0, column, np.nan)
    promised, expected = np.where(differs, np.nan, desk_promised), np.full(len(rows), np.nan)
    if "expected_loss" in rows and "cautious_loan" not in rows:
        expected = np.where(differs, np.nan, rows["expected_loss"].to_numpy(float))
    level, laws = np.full(len(rows), np.nan), _read_laws(rows)
    if laws is not None:
        level = transform_outcomes(laws, revenue, rng)
        # Beyond its highest quantile a law says only that the probability is larger.
        inside = (amount > 0) & (amount < laws.values[:, -1])
        by_law = {
            "promised": default_probability(laws, amount[:, None])[:, 0],
            "expected": expected_loss(laws, amount[:, None])[:, 0],
        }
        promised = np.where(np.isnan(promised) & inside, by_law["promised"], promised)
        expected = np.where(np.isnan(expected) & inside, by_law["expected"], expected)
    settled = {
        "vintage": rows["vintage"].astype(str), "seller": rows["seller"], "revenue": revenue, "amount": amount,
        "promised": np.where(amount > 0, promised, np.nan), "expected_loss": np.where(amount > 0, expected, np.nan),
        "defaulted": revenue < amount - LAST_DIGIT, "loss": (amount - revenue).clip(0),
        "desk_amount": desk, "desk_promised": desk_promised,
        "desk_defaulted": revenue < desk - LAST_DIGIT, "desk_loss": (desk - revenue).clip(0),
        "group": group, "level": level,
    }  # fmt: skip
    return pd.DataFrame(settled).reset_index(drop=True)


def _read_levels(decisions):
    """Levels of the columns of quantiles -> their names, in order."""
    found = {float(f"0.{match[1]}"): name for name in decisions if (match := QUANTILE.fullmatch(str(name)))}
    return dict(sorted(found.items()))


def _read_laws(rows):
    columns = _read_levels(rows)
    if not columns or rows.empty:
        return None
    values = rows[list(columns.values())].to_numpy(float)
    if not np.isfinite(values).all():
        raise ValueError(f"columns {name_few(list(columns.values()))} of decisions must be finite, got NaN or infinity")
    return QuantileCurve(list(columns), values, crossing="raise")


def _check_keys(decisions, outcomes):
    """What both tables are matched by: seller and, where outcomes have it, vintage."""
    for where, table, wanted in [
        ("decisions", decisions, ["seller", "vintage", "loan", "default_probability"]),
        ("outcomes", outcomes, ["seller", "revenue"]),
    ]:
        absent = [name for name in wanted if name not in table]
        if absent:
            raise ValueError(f"{where} must have the columns {wanted}, got none called {absent}")
    keys = ["vintage", "seller"] if "vintage" in outcomes else ["seller"]
    hint = "" if "vintage" in outcomes else "; a seller of several vintages needs a column vintage in outcomes"
    for where, table in (("decisions", decisions), ("outcomes", outcomes)):
        twice = table[keys][table.duplicated(keys)]
        if len(twice):
            row = ", ".join(map(str, twice.iloc[0]))
            raise ValueError(f"{where} must have every {' and '.join(keys)} once, got {row} more than once{hint}")
    if "all" in set(decisions["vintage"]):
        raise ValueError("vintage must not be called 'all', which is the row of all vintages")
    return keys


def _check_numbers(where, table, name, high=np.inf, missing=True):
    numeric = pd.api.types.is_numeric_dtype(table[name])
    values = table[name].to_numpy(float) if numeric else np.array([np.nan])
    fine = numeric and not (np.isinf(values) | (values < 0) | (values > high)).any()
    if not fine or (not missing and np.isnan(values).any()):
        bad = ~(np.isfinite(values) & (values >= 0) & (values <= high))
        got = f"{values[bad][0]:g}" if numeric else repr(table[name].iloc[0])
        wanted = "finite numbers of at least 0" if np.isinf(high) else f"in [0, {high:g}]"
        raise ValueError(f"column {name!r} of {where} must be {wanted}, got {got}")
