"""The answers to the assignments, computed from the seed of a class by the package: for hidden checks only.

A function per assignment returns {name: answer}. Students' values have to equal them, or to lie `Within` a tolerance
where chance or a choice that the question leaves open moves them.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from lender import draw_lender

from qrgmm import QuantileCurve, default_probability, expected_loss, largest_loan, loss_given_default


class Within(NamedTuple):
    """An answer that a student's value may differ from by at most `tolerance`."""

    value: object
    tolerance: object


def check(assignment, name, got):
    """Raise an AssertionError unless `got` is the answer to one question of an assignment."""
    right = compute(assignment)[name]
    value, slack = right if isinstance(right, Within) else (right, None)
    if isinstance(value, str | bool | set | list):
        assert got == value, f"{name} is not right"
        return
    assert got is not None and got is not ..., f"{name} is missing"
    got, value = np.asarray(got, dtype=float), np.asarray(value, dtype=float)
    assert got.shape == value.shape, f"{name} has the shape {got.shape}, not {value.shape}"
    slack = 1e-6 * np.abs(value) + 1e-9 if slack is None else slack
    assert (np.abs(got - value) <= slack).all(), f"{name} is not right"


@cache
def compute(assignment):
    """Return {name: answer} of one assignment, for the class whose seed stands in seed.txt."""
    return ASSIGNMENTS[assignment](draw_lender())


def carried(applicants):
    """Return what a unit that is sold repays of an amount, in currency."""
    return applicants["hold_back"] * applicants["unit_revenue"] / (1 + applicants["fee"])


def loss(lender):
    one = lender.applicants.iloc[0]
    alike = lender.past[lender.past["platform"] == one["platform"]]
    sales = one["past_units"] * (alike["tenor_units"] / alike["past_units"])
    curve, r = QuantileCurve.from_draws([sales]), carried(one)
    loan = largest_loan(curve, max_default_probability=0.05, unit_revenue=r)
    el = expected_loss(curve, [[loan.item(), loan.item() + 10]], unit_revenue=r)
    return {
        "sales": sales.to_numpy(),
        "pd_asked": default_probability(curve, one["asked"], unit_revenue=r).item(),
        "el_asked": expected_loss(curve, one["asked"], unit_revenue=r).item(),
        "lgd_asked": np.nan_to_num(loss_given_default(curve, one["asked"], unit_revenue=r, as_fraction=True)).item(),
        "loan": Within(loan.item(), 0.011),
        "slope": Within(np.diff(el).item() / 10, 0.002),
    }


ASSIGNMENTS = {"01_loss": loss}
