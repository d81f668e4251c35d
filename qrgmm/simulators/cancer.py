r"""A treatment decision: the quality-adjusted life years of a patient, by a Markov chain in months.

Chapter 6.
"""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import Rng
from qrgmm.simulators.simulator import Simulator

# Probability of death within a year at the ages 55, 56, ..., 100: United States life table 2011, NVSR 64 (11).
LIFE_TABLE = np.array([
    0.007779, 0.008415, 0.009074, 0.009727, 0.010371, 0.011034, 0.011738, 0.012489, 0.013335, 0.014319, 0.015482,
    0.016824, 0.018330, 0.019900, 0.021539, 0.023396, 0.025476, 0.027794, 0.030350, 0.033204, 0.036345, 0.039788,
    0.043720, 0.048335, 0.053650, 0.059565, 0.065848, 0.072956, 0.080741, 0.089357, 0.099650, 0.110901, 0.123146,
    0.136412, 0.150710, 0.166038, 0.182374, 0.199676, 0.217880, 0.236903, 0.256636, 0.276954, 0.297713, 0.318755,
    0.339914, 1.0,
])
FIRST_AGE, LAST_AGE = 55, 100
N_MONTHS = 12 * (LAST_AGE - FIRST_AGE + 1)

# Column of X with the effect, annual complications, the share that survives one, the share of survivors it disables.
TREATMENTS = {"none": (None, 0.0, 1.0, 0.0), "aspirin": (2, 0.0024, 0.9576, 0.058), "statin": (3, 0.001, 0.998, 0.0)}
DISABLED, ILL, CURED = 0.61, 0.5, 0.97  # quality of life, as a share of a healthy life's
OPERATION_CURES, OPERATION_FAILS = 0.8, 0.16  # the rest die of it
INOPERABLE_DEATH = 1 - (1 - 0.29) ** (1 / 12)  # monthly, from 0.29 a year


def monthly_probability(annual: float | np.ndarray) -> float | np.ndarray:
    r"""Return the monthly probability that gives a probability of `annual` over twelve months.

    .. math:: p = 1 - (1 - a)^{1/12}

    Parameters
    ----------
    annual : float or array
        :math:`a`, in [0, 1].

    Returns
    -------
    float or array like `annual`

    Examples
    --------
    >>> p = monthly_probability(0.29)
    >>> round(p, 4), round(1 - (1 - p) ** 12, 4)
    (0.0281, 0.29)
    """
    return 1 - (1 - annual) ** (1 / 12)


def operation_probability(age: float | np.ndarray) -> float | np.ndarray:
    """Return the probability that a cancer at this age is operated; otherwise the chain goes straight to the cure.

    Parameters
    ----------
    age : float or array
        In years.

    Returns
    -------
    float or array like `age`

    Examples
    --------
    >>> round(operation_probability(70), 4)
    0.9425
    """
    return 1.1035 - 0.0023 * age


def draw_natural_life(age: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the months until natural death: whole years and the six months of the last.

    Parameters
    ----------
    age : array of int of shape (n_rows,)
        From `FIRST_AGE` to `LAST_AGE`.
    rng : numpy.random.Generator
        One uniform number is used per row.

    Returns
    -------
    array of int of shape (n_rows,), in months

    Examples
    --------
    >>> draw_natural_life(np.array([55, 100]), np.random.default_rng(0)) % 12
    array([6, 6])
    """
    alive = np.append(1.0, np.cumprod(1 - LIFE_TABLE))  # at the ages 55, 56, ..., 101
    chance = alive[age - FIRST_AGE] * (1 - rng.random(len(age)))
    last_age = np.searchsorted(-alive, -chance, side="right") - 1 + FIRST_AGE
    return 12 * (last_age - age) + 6


def draw_stay(leave: float | np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the months in a state that is left with the same probability every month: a geometric law.

    Parameters
    ----------
    leave : float or array of shape (n_rows,)
        That probability, in [0, 1).
    n_rows : int
    rng : numpy.random.Generator
        One exponential number is used per row.

    Returns
    -------
    array of int of shape (n_rows,), in months
        From 1 to `N_MONTHS`.

    Examples
    --------
    >>> round(float(draw_stay(0.1, 100_000, np.random.default_rng(0)).mean()), 1)  # 1 / 0.1
    10.0
    """
    rate = np.maximum(-np.log1p(-leave), 1e-9)
    return np.minimum(rng.exponential(size=n_rows) // rate + 1, N_MONTHS).astype(int)  # nobody lives longer


class CancerSimulator(Simulator):
    r"""Quality-adjusted life years of a patient with Barrett's oesophagus, under one treatment.

    A Markov chain in months. A patient on the drug gets cancer, or a complication of the drug, at an annual rate of
    :math:`r (1 - e) + c` for risk :math:`r`, effect :math:`e` and complications :math:`c`. Whoever survives the
    complication lives on without the drug (after aspirin, some of them disabled). One month after the onset of cancer
    comes an operation, or at once the cure; the operation takes a month and ends in cure, death or inoperable cancer.
    Natural death strikes in the middle of a year of age, as in the life table.

    Nothing in the chain returns to an earlier state, so that `draw` draws the lengths of the stays, which are
    geometric, and not the months. `mean` walks the months backwards and is exact.

    Parameters
    ----------
    treatment : {"aspirin", "statin", "none"}
        The paper compares the first two.

    Attributes
    ----------
    conditional_point : tuple
        The patient of the paper's table 2: age, annual risk of cancer, effect of aspirin, effect of statin.

    Raises
    ------
    ValueError
        If `treatment` is unknown; by `draw` and `mean`, if an age is not a whole number from 55 to 100, a risk is
        outside [0, 0.99] or an effect outside [0, 1].

    Notes
    -----
    Hur, Nishioka and Gazelle (2004); Choi, Perzan, Tramontano, Kong and Hur (2014); settings as in "Learning to
    simulate", where the basis has degree 2 (14 columns). Chapter 6.

    Examples
    --------
    >>> aspirin, statin = CancerSimulator("aspirin"), CancerSimulator("statin")
    >>> patient = aspirin.conditional_point
    >>> float((statin.mean(patient) - aspirin.mean(patient))[0].round(2)), aspirin.draw([patient] * 3, rng=0).round(1)
    (0.58, array([17.4,  9.5,  1.5]))
    """

    lows, highs = (55, 0, 0, 0), (80, 0.1, 1, 1)
    conditional_point = (70, 0.05, 0.2, 0.8)
    degree = 2

    def __init__(self, treatment: Literal["aspirin", "statin", "none"] = "aspirin"):
        if treatment not in TREATMENTS:
            raise ValueError(f"treatment must be one of {list(TREATMENTS)}, got {treatment!r}")
        self.treatment = treatment

    def draw_covariates(self, n_rows: int, rng: Rng = None) -> np.ndarray:
        """Return independent patients, (n_rows, 4): whole ages, the rest uniform between `lows` and `highs`."""
        rng = np.random.default_rng(rng)
        X = super().draw_covariates(n_rows, rng)
        X[:, 0] = rng.integers(self.lows[0], self.highs[0], size=n_rows, endpoint=True)
        return X

    def mean(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        r"""Return the exact expected quality-adjusted life years, by recursion from the last month to the first.

        The value of a state is what this month adds and the expected value of the next: :math:`v_t = w + P_t v_{t+1}`.

        Parameters
        ----------
        X : array of shape (n_rows, 4)

        Returns
        -------
        array of shape (n_rows,), in years
        """
        X = self._checked(X)
        age, off_drug, leave, to_cancer, survives, disabled = self._rates(X)
        drug = undrugged = complication = cancer = operation = cured = inoperable = np.zeros(len(X))
        for month in reversed(range(N_MONTHS)):
            now = np.minimum(age + month // 12, LAST_AGE)
            lives = 1 - LIFE_TABLE[now - FIRST_AGE] * (month % 12 == 5)
            operable = operation_probability(now)
            drug, undrugged, complication, cancer, operation, cured, inoperable = (
                1 + lives * ((1 - leave) * drug + leave * (to_cancer * cancer + (1 - to_cancer) * complication)),
                1 + lives * ((1 - off_drug) * undrugged + off_drug * cancer),
                1 + lives * survives * (1 - disabled * (1 - DISABLED)) * undrugged,
                ILL + lives * (operable * operation + (1 - operable) * cured),
                ILL + lives * (OPERATION_CURES * cured + OPERATION_FAILS * inoperable),
                CURED + lives * cured,
                ILL + lives * (1 - INOPERABLE_DEATH) * inoperable,
            )
        return drug / 12

    def _draw(self, X, rng):
        age, off_drug, leave, to_cancer, survives, disabled = self._rates(X)
        n = len(X)
        life = draw_natural_life(age, rng)
        # All times are months since the start. The month of a complication counts like one
        # on the drug.
        complicated = rng.random(n) >= to_cancer
        change = draw_stay(leave, n, rng) + complicated
        life = np.where(
            complicated & (rng.random(n) >= survives), np.minimum(life, change), life
        )
        onset = change + np.where(complicated, draw_stay(off_drug, n, rng), 0)
        operated = rng.random(n) < operation_probability(age + onset // 12)
        outcome = onset + 1 + operated
        fate = rng.random(n)
        cured = ~operated | (fate < OPERATION_CURES)
        inoperable = ~cured & (fate < OPERATION_CURES + OPERATION_FAILS)
        death = outcome + np.select(
            [cured, inoperable], [N_MONTHS, draw_stay(INOPERABLE_DEATH, n, rng)], 0
        )

        def lived(start, end):
            return (np.minimum(end, life) - start).clip(0)

        later = (
            lived(change, onset)
            + ILL * lived(onset, outcome)
            + np.where(cured, CURED, ILL) * lived(outcome, death)
        )
        quality = np.where(complicated & (rng.random(n) < disabled), DISABLED, 1.0)
        return (lived(0, change) + quality * later) / 12

    def _rates(self, X):
        """Age, then the monthly probabilities of cancer off the drug and of leaving it, and what follows from there."""
        effect, complications, survives, disabled = TREATMENTS[self.treatment]
        cancer = X[:, 1] * (1 - (X[:, effect] if effect else 0.0))
        leave = cancer + complications
        to_cancer = np.divide(cancer, leave, out=np.ones(len(X)), where=leave > 0)
        off_drug, leave = monthly_probability(X[:, 1]), monthly_probability(leave)
        return X[:, 0].astype(int), off_drug, leave, to_cancer, survives, disabled

    def _checked(self, X):
        X = super()._checked(X)
        age, shares = X[:, 0], X[:, 1:]
        bad = (age != age.round()) | (age < FIRST_AGE) | (age > LAST_AGE)
        if bad.any():
            expected = f"whole ages from {FIRST_AGE} to {LAST_AGE} in its first column"
            raise ValueError(f"X must have {expected}, got {age[bad][0]:g}")
        bad = ((shares < 0) | (shares > [0.99, 1, 1])).any(axis=1)
        if bad.any():
            expected = "a risk in [0, 0.99] and effects in [0, 1] in its last three columns"
            raise ValueError(f"X must have {expected}, got {shares[bad][0].tolist()}")
        return X
