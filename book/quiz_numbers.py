"""Questions of the quiz whose answer is a number, which the package computes: one per chapter, by its label."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qrgmm import (
    LoanTerms,
    QuantileCurve,
    default_probability,
    expected_loss,
    largest_loan,
    pinball_loss,
    quantile_levels,
)
from qrgmm.cash import outcomes, repay
from qrgmm.metrics import ks_statistic, mean_and_error
from qrgmm.portfolio import ClaytonCopula, vintage_share
from qrgmm.recalibration import recalibrated_level


class Question(NamedTuple):
    """A question; `compute` returns the answer, right to within `tolerance`, and `why` says how one gets there."""

    text: str
    unit: str
    compute: Callable[[], float]
    tolerance: float
    why: str


def uniform(n_units):
    """Return the law of sales that are equally likely between 0 and a number of units."""
    levels = np.arange(1, 100_000) / 100_000
    return QuantileCurve(levels, [n_units * levels])


QUESTIONS = {
    "ch-loss": Question(
        "Sales are equally likely between 0 and 1,000 units, and a unit brings 2. What is the expected loss of a loan "
        "of 500?",
        "in currency",
        lambda: expected_loss(uniform(1000), 500.0, unit_revenue=2.0).item(),
        0.5,
        "The loan loses $500 - 2D$ where $D < 250$, which is a triangle: a quarter of the cases, 250 on average.",
    ),
    "ch-theorem-1": Question(
        "A fifth of all seasons sells exactly 100 units, the others 200. A model moves the first of these to 103 and "
        "is right about the rest. What is the {term}`sup-distance` of the two laws?",
        "a share",
        lambda: ks_statistic([103.0, 200, 200, 200, 200], [100.0, 200, 200, 200, 200]),
        0.005,
        "Between 100 and 103 one distribution function has made its jump and the other has not.",
    ),
    "ch-quantile-regression": Question(
        "Three seasons sell 10, 20 and 30 units. What is the mean {term}`pinball loss` of the prediction 20 at the "
        "level 0.9?",
        "in units",
        lambda: pinball_loss(np.array([10.0, 20.0, 30.0]), 20.0, 0.9).mean(),
        0.01,
        "Ten units too high cost 0.1 each, ten units too low 0.9 each, and the middle season costs nothing.",
    ),
    "ch-qrgmm": Question(
        "A fitted law has its lowest quantiles at the levels 0.05 and 0.1: 40 and 60 units. Which draw does the "
        "uniform number 0.08 give?",
        "in units",
        lambda: QuantileCurve([0.05, 0.1, 0.15], [[40.0, 60.0, 70.0]]).ppf(0.08).item(),
        0.1,
        "Three fifths of the way from one level to the next, and of the way from 40 to 60.",
    ),
    "ch-rates": Question(
        "With how many levels does {term}`QRGMM` fit 10,000 rows by default?",
        "levels",
        lambda: len(quantile_levels(10_000)),
        0.1,
        "The cells are as many as the square root of the rows, and there is one level fewer than cells.",
    ),
    "ch-fast-simulator": Question(
        "In 100 runs at one input a drug is 0.3 better on average, and the standard deviation of the difference is 2. "
        "How many standard errors is that?",
        "standard errors",
        lambda: 0.3 / (2 / np.sqrt(100)),
        0.01,
        "The standard error is 2 over the root of 100.",
    ),
    "ch-deepfm": Question(
        "In a {term}`factorization machine <factorization machine>` of rank 2 a seller has the vector (1, 2) and a "
        "category (0.5, -1). Which weight does the pair get?",
        "without unit",
        lambda: float(np.dot([1.0, 2.0], [0.5, -1.0])),
        0.01,
        "The inner product: a half less two.",
    ),
    "ch-generators": Question(
        "A generator makes two draws, 40 and 60, and the season sells 80. What is the {term}`CRPS`?",
        "in units",
        lambda: QuantileCurve.from_draws([[40.0, 60.0]]).crps([80.0]).item(),
        0.1,
        "The draws miss by 30 on average; half of their mean distance from each other, with themselves counted, is 5.",
    ),
    "ch-synthetic": Question(
        "Of 400 held-out sales 32 lie below the quantile at level 0.05. How many standard errors of that share is it "
        "above its level?",
        "standard errors",
        lambda: (lambda share, error: (share - 0.05) / error)(*mean_and_error(np.repeat([1.0, 0.0], [32, 368]))),
        0.05,
        "The share is 0.08, its standard error the root of 0.08 times 0.92 over 400.",
    ),
    "ch-synthetic-risk": Question(
        "Sales are equally likely between 0 and 1,000 units, a unit brings 2, and the lender's fee is a tenth of the "
        "loan. Which loan earns most?",
        "in currency",
        lambda: largest_loan(uniform(1000), max_default_probability=0.1, unit_revenue=2.0).item(),
        1.0,
        "The one whose default probability is the fee: 100 units are sold at least in nine seasons of ten.",
    ),
    "ch-big-mart": Question(
        "Of 100 past sales like this one 4 are 20 units, 6 are 30, and 90 are 50. A unit brings 25. What is the "
        "largest loan with a default probability of at most 0.05?",
        "in currency",
        lambda: largest_loan(
            QuantileCurve.from_draws([np.repeat([20.0, 30.0, 50.0], [4, 6, 90])]),
            max_default_probability=0.05,
            unit_revenue=25.0,
        ).item(),
        0.5,
        "Up to 30 units only the four of 20 default; beyond, ten do.",
    ),
    "ch-cross-border": Question(
        "A law gives 0 units a probability of 0.03; else sales are equally likely between 0 and 1,000 units, and a "
        "unit brings 1. What is the default probability of a loan of 100?",
        "a probability",
        lambda: default_probability(uniform(1000).zero_inflate(0.97), 100.0).item(),
        0.0005,
        "0.03, and a tenth of the 0.97 that sell.",
    ),
    "ch-delayed-payment": Question(
        "One report in 50 is late. A classifier that was trained on as many late ones as others says 0.8. Which "
        "probability is that of a report as they come?",
        "a probability",
        lambda: (lambda odds: odds / (1 + odds))(0.8 / 0.2 * (1 / 49)),
        0.001,
        "Odds of four to one, times the odds of one to 49 with which reports come late.",
    ),
    "ch-early-warning": Question(
        "Two scores are each above a half with probability 0.5 and tied by Clayton's copula with the parameter 2. What "
        "is the probability that both are at most a half?",
        "a probability",
        lambda: ClaytonCopula(2.0, 2).cdf([[0.5, 0.5]]).item(),
        0.002,
        "$(0.5^{-2} + 0.5^{-2} - 1)^{-1/2}$, where independent scores have a quarter.",
    ),
    "ch-sellers-in-time": Question(
        "A seller sells nothing with probability 0.03; else sales are equally likely between 0 and 1,000 units, and a "
        "unit brings 1. What is the largest loan with a default probability of at most 0.05?",
        "in currency",
        lambda: largest_loan(uniform(1000).zero_inflate(0.97), max_default_probability=0.05).item(),
        0.1,
        "Of the limit 0.02 are left, which is that over 0.97 of the seasons that sell.",
    ),
    "ch-keeping-the-promise": Question(
        "Fifty-nine outcomes fell at the levels 0.01, 0.02, ... 0.59 of their laws. At which level would loans have "
        "kept the promise 0.05?",
        "a level",
        lambda: recalibrated_level(np.arange(1, 60) / 100, 0.05),
        0.001,
        "The $k$-th smallest with $k = 0.05 \\cdot 60$: the outcome that is not known yet counts as a default.",
    ),
    "ch-one-loan": Question(
        "A platform remits 400 a week, of which a quarter is held back. A loan of 1,000 has a fee of a tenth. In which "
        "week is it repaid?",
        "a week",
        lambda: outcomes(
            repay(np.full((1, 26), 400.0), 1000.0, (terms := LoanTerms(18, 26, fee=0.1, hold_back=0.25)))["balance"],
            terms,
        )["week"].item(),
        0.1,
        "1,100 are owed, and 100 a week come in.",
    ),
    "ch-portfolio": Question(
        "Very many loans default with probability 0.05 each and share a factor with the loading 0.3. Which share of "
        "them defaults in the vintage that is worse than 95 of 100?",
        "a share",
        lambda: vintage_share(0.05, 0.3, [0.95]).item(),
        0.002,
        "$\\Phi\\bigl((\\Phi^{-1}(0.05) + 0.3\\,\\Phi^{-1}(0.95)) / \\sqrt{1 - 0.3^2}\\bigr)$, over twice the mean.",
    ),
    "ch-desk": Question(
        "A seller's quantiles at the levels 0.05 and 0.1 are 150 and 200 units, a unit brings 4, and sales that were "
        "left out say that loans at level 0.07 keep the promise. How much is lent?",
        "in currency",
        lambda: largest_loan(
            QuantileCurve([0.05, 0.1, 0.15], [[150.0, 200.0, 240.0]]), max_default_probability=0.07, unit_revenue=4.0
        ).item(),
        0.5,
        "Two fifths of the way from 150 to 200 units, at 4 each.",
    ),
}
