"""The lender of one class: its records up to today, and what came after, made from the seed of the class.

Students get the tables of today. This file and the seed stay with the teacher: hidden checks import it and compute the
answers again.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from qrgmm.simulators import LenderBook
from qrgmm.simulators.lender_book import CATEGORIES, COVARIATES

TODAY, TENOR = pd.Timestamp("2024-07-01"), pd.Timedelta(weeks=26)
N_APPLICANTS = 60
KNOWN = ["application", "seller", "day", *COVARIATES]
TERMS = ["amount", "fee", "hold_back", "due", "tenor"]


class Lender(NamedTuple):
    """What students get, and the truth.

    Attributes
    ----------
    past : pandas.DataFrame
        Advances whose tenor was over before today, in order of time, with their terms, outcome, loss and `tenor_units`.
    applicants : pandas.DataFrame
        Applications from today on, with what is known on their day.
    weeks : pandas.DataFrame
        What was remitted for the past advances, week by week, in currency.
    weights : pandas.DataFrame
        Weights of a factorization machine, one row per level of a field.
    truth : pandas.DataFrame
        Of the applicants, `qrgmm.simulators.LenderBook`.
    """

    past: pd.DataFrame
    applicants: pd.DataFrame
    weeks: pd.DataFrame
    weights: pd.DataFrame
    truth: pd.DataFrame


@cache
def draw_lender(seed=None):
    """Return the lender of a class, by default of the class whose seed stands in seed.txt beside this file."""
    if seed is None:
        seed = int(Path(__file__).with_name("seed.txt").read_text(encoding="utf-8"))
    rng = np.random.default_rng(seed)
    book = LenderBook(
        n_weeks=143,
        season=rng.uniform(0.2, 0.4),
        loading=rng.uniform(0.06, 0.14),
        wander=rng.uniform(0.15, 0.25),
        suspension=rng.uniform(0.001, 0.003),
    )
    advances, weeks, truth = book.draw(rng)
    allowed = advances["refusal"].isna()
    past = advances[allowed & advances["funded"] & (advances["day"] + TENOR < TODAY)]
    past = past[[*KNOWN, *TERMS, "week", "outcome", "loss", "tenor_units"]].reset_index(drop=True)
    applicants = advances[allowed & (advances["day"] >= TODAY)].head(N_APPLICANTS)
    paid = weeks.loc[weeks["application"].isin(past["application"]), ["application", "week", "remitted"]]
    return Lender(
        past.assign(amount=past["amount"].astype(float), tenor_units=past["tenor_units"].astype(int)),
        applicants[[*KNOWN, "fee", "hold_back", "due", "tenor"]].reset_index(drop=True),
        paid.assign(remitted=paid["remitted"].round(2)).reset_index(drop=True),
        _draw_weights(applicants, rng),
        truth.loc[applicants.index].reset_index(drop=True),
    )


def _draw_weights(applicants, rng):
    levels = [("platform", level) for level in sorted(applicants["platform"].unique())]
    levels += [("category", level) for level in CATEGORIES]
    table = pd.DataFrame(levels, columns=["field", "level"])
    return table.assign(
        weight=rng.normal(0, 0.2, len(table)),
        **{f"v{k}": rng.normal(0, 0.5, len(table)) for k in (1, 2, 3)},
    ).round(3)


def write_tables(folder, seed):
    """Write the tables that students get, as CSV."""
    for name, table in draw_lender(seed)._asdict().items():
        if name != "truth":
            table.to_csv(Path(folder) / f"{name}.csv", index=False)
