r"""The early-warning system as agents, and the economy it watches, in which defaults happen by a known law.

The paper's figure 1: core enterprises, financed firms, logistics firms and a bank share one platform; agents 1 to 3
score the parties of every loan, agent 4 reads the industry and joins the scores to the total risk score; one monitor
follows the environment, the other warns; the controller adapts theta, lambda and the threshold from the bank's data
base of past loans, which grows. The paper simulates scores only; here firms also default, with a probability that
`monthly_default_probability` knows, so that warnings can be judged. Chapter 14.

States of parties are in standard deviations and higher is worse; a step is a month.
"""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtr

from qrgmm.checks import Rng, check_count, check_flags
from qrgmm.portfolio.copula import estimate_theta, pseudo_observations
from qrgmm.systems.warning_scores import (
    ALPHA,
    BETA,
    EQUAL_WEIGHTS,
    ETA,
    party_score,
    record_score,
    total_risk_score,
)

with warnings.catch_warnings():
    # In a notebook Mesa asks for widgets that nothing here uses.
    warnings.filterwarnings("ignore", "IProgress not found")
    import mesa

INDICATORS = ["v1", "v2", "v3", "w1", "w2", "w3", "q1", "q2"]
TERM, CALM = 6, 0.2  # months of a loan; the industry in calm times
# Monthly memory of states, and how closely an indicator follows the state of its party.
MEMORY, CLARITY = 0.9, 0.9
# A missed default costs the loan, a warned one part of it, and a false alarm what a useless intervention costs.
COST_MISSED, COST_WARNED, COST_FALSE = 1.0, 0.4, 0.03
FRAUD_HAZARD = 0.01  # monthly, of a dishonest firm


def monthly_default_probability(
    core: float | np.ndarray,
    firm: float | np.ndarray,
    logistics: float | np.ndarray,
    industry: float | np.ndarray,
    dishonest: ArrayLike = False,
) -> np.ndarray:
    r"""Return the true probability that a loan defaults within a month: each party can bring it down.

    .. math:: p = 1 - e^{-(h_1 + h_2 + h_3 + h_f)}, \qquad
        h_1 = e^{-9 + 2 x_1 + 3\lambda},\; h_2 = e^{-8 + 1.7 x_2 + 3\lambda},\; h_3 = e^{-9 + x_3 + 2\lambda}

    Parameters
    ----------
    core, firm, logistics : float or array
        States :math:`x_1, x_2, x_3` in standard deviations, higher is worse.
    industry : float or array
        :math:`\lambda` in [0, 1].
    dishonest : bool or array
        Adds the hazard :math:`h_f` of a fraud.

    Returns
    -------
    array

    Notes
    -----
    Ours, not the paper's: the law that warnings are judged by. Chapter 14.

    Examples
    --------
    >>> monthly_default_probability(0.0, 0.0, 0.0, np.array([0.2, 0.9])).round(4)
    array([0.001 , 0.0075])
    """
    hazard = np.exp(-9 + 2 * core + 3 * industry) + np.exp(
        -8 + 1.7 * firm + 3 * industry
    )
    hazard = (
        hazard
        + np.exp(-9 + logistics + 2 * industry)
        + FRAUD_HAZARD * np.asarray(dishonest)
    )
    return -np.expm1(-hazard)


def best_threshold(
    peaks: ArrayLike,
    defaulted: ArrayLike,
    cost_missed: float = COST_MISSED - COST_WARNED,
    cost_false: float = COST_FALSE,
) -> float:
    """Return the threshold that would have cost least on past loans.

    Parameters
    ----------
    peaks : array of shape (n_loans,)
        The highest score of each loan while a warning was still of use; loans that never had such a month, with a peak
        of minus infinity, are left out.
    defaulted : array of bool of shape (n_loans,)
    cost_missed, cost_false : float
        What a default without warning costs more than one with, and a warning without default.

    Returns
    -------
    float
        A loan is warned about from this score on; infinite if no warning at all was cheapest.

    Raises
    ------
    ValueError
        If shapes differ, a peak is NaN or infinite, `defaulted` is not of true and false, or a cost is negative or not
        finite.

    Examples
    --------
    >>> best_threshold([0.1, 0.5, 0.7, 0.9], [False, False, True, True])
    0.7
    """
    peaks, defaulted = np.asarray(peaks, dtype=float), check_flags("defaulted", defaulted)
    if peaks.ndim != 1 or peaks.shape != defaulted.shape:
        raise ValueError(f"peaks and defaulted must have one shape (n_loans,), got {peaks.shape} and {defaulted.shape}")
    if not (peaks < np.inf).all():
        raise ValueError("peaks must be finite, or minus infinity, got NaN or infinity")
    if not (0 <= cost_missed < np.inf and 0 <= cost_false < np.inf):
        raise ValueError(f"costs must be finite and not negative, got {cost_missed!r} and {cost_false!r}")
    peaks, defaulted = peaks[peaks > -np.inf], defaulted[peaks > -np.inf]
    order = np.argsort(-peaks, kind="stable")
    saved = np.cumsum(np.where(defaulted[order], cost_missed, -cost_false))
    # A threshold can't part equal scores.
    last = np.append(np.diff(peaks[order]) != 0, True)[: len(peaks)]
    saved = np.append(0.0, np.where(last, saved, -np.inf))
    n_warned = int(saved.argmax())
    return float(peaks[order][n_warned - 1]) if n_warned else np.inf


class _Party(mesa.Agent):
    """An entity whose state drifts and shows through indicators with Beta margins."""

    n_indicators, lasting = 2, 0.0

    def __init__(self, model, parent=None, tie=0.0):
        super().__init__(model)
        self.parent, self.tie = parent, tie
        self.character, self.own = self.rng.standard_normal(2)
        self.shock = 0.0
        self.observe()

    def step(self):
        self.own = MEMORY * self.own + np.sqrt(1 - MEMORY**2) * self.rng.standard_normal()
        self.shock *= 0.85
        self.observe()

    def observe(self):
        common = self.parent.state if self.parent else 0.0
        own = np.sqrt(self.lasting) * self.character + np.sqrt(1 - self.lasting) * self.own
        self.state = self.tie * common + np.sqrt(1 - self.tie**2) * own + self.shock + self.model.industry - CALM
        noise = self.rng.standard_normal(self.n_indicators)
        seen = ndtr(CLARITY * self.state + np.sqrt(1 - CLARITY**2) * noise)
        self.indicators = betaincinv(ALPHA, BETA, seen)


class CoreEnterprise(_Party):
    """A core enterprise; its shocks reach the firms and the logistics firm of its chain."""

    n_indicators = 3

    def step(self) -> None:
        """Move a month; a shock strikes once in five years."""
        if self.rng.random() < 1 / 60:
            self.shock += 2.0 * self.model.severity
        super().step()


class LogisticsFirm(_Party):
    """The logistics firm of a chain, which watches the pledged goods."""


class FinancedFirm(_Party):
    """A firm that borrows time and again and leaves a record; half of its own state lasts; one in ten is dishonest."""

    lasting = 0.5

    def __init__(self, model: "SupplyChainFinance", core: CoreEnterprise, logistics: LogisticsFirm):
        super().__init__(model, core, 0.5)
        self.core, self.logistics = core, logistics
        self.dishonest = bool(self.rng.random() < 0.1)
        self.loan: dict | None = None
        self.record: list[dict] = []
        self.barred_until = 0

    @property
    def past_performance(self) -> float:
        """Indicator w3: the share of past loans that went bad, drawn towards the mean of a Beta(2, 5)."""
        return (ALPHA + sum(loan["defaulted"] for loan in self.record)) / (ALPHA + BETA + len(self.record))

    def default_probability(self) -> float:
        """The true monthly probability, which no other agent sees."""
        states = self.core.state, self.state, self.logistics.state
        return float(monthly_default_probability(*states, self.model.industry, self.dishonest))


class Bank(mesa.Agent):
    """Lends to every firm that has no loan, collects, and keeps the data base of finished loans."""

    def __init__(self, model: "SupplyChainFinance"):
        super().__init__(model)
        self.database: list[dict] = []
        self.live: list = []
        self.n_loans = 0

    def lend(self) -> None:
        """Give a loan to every firm without one that is not barred."""
        for firm in self.model.firms:
            if firm.loan is None and self.model.steps >= firm.barred_until:
                firm.loan = {"loan": self.n_loans, "start": self.model.steps, "peak": -np.inf, "warned": None}
                self.n_loans += 1
        self.live = [firm for firm in self.model.firms if firm.loan]

    def collect(self) -> list[bool]:
        """Let loans default by the known law or mature, and file those that end; return who defaulted."""
        month, defaulted = self.model.steps, []
        for firm in self.live:
            p, loan = firm.default_probability(), firm.loan
            fails = bool(self.rng.random() < p)
            defaulted.append(fails)
            if not fails:
                loan["peak"] = max(loan["peak"], loan["score"])  # a warning in the month of default is too late
            if fails or month - loan["start"] == TERM - 1:
                fraud = fails and firm.dishonest and self.rng.random() < FRAUD_HAZARD / -np.log1p(-p)
                clean = not fails and loan["warned"] is None
                loan |= {"end": month, "defaulted": fails, "fraud": fraud, "clean": clean}
                firm.record.append(loan)
                self.database.append(loan)
                firm.loan = None
                firm.barred_until = month + TERM if fails else month + 1
        return defaulted


class PartyAgent(mesa.Agent):
    """Agents 1 to 3: scores one party of every live loan."""

    def __init__(self, model: "SupplyChainFinance", party: str):
        super().__init__(model)
        self.party = party
        self.indicators: np.ndarray | None = None
        self.scores: np.ndarray | None = None

    def step(self) -> None:
        """Read the indicators of the month from the platform and score them."""
        chosen = [firm if self.party == "firm" else getattr(firm, self.party) for firm in self.model.bank.live]
        self.indicators = np.array([party.indicators for party in chosen])
        self.scores = party_score(self.indicators, EQUAL_WEIGHTS[self.party])


class ChainAgent(mesa.Agent):
    """Agent 4: reads two indicators of the industry and joins the parties' scores to the total risk score."""

    def __init__(self, model: "SupplyChainFinance"):
        super().__init__(model)
        self.readings = np.array([CALM, CALM])
        self.scores: np.ndarray | None = None

    def step(self) -> None:
        """Read the state of the industry, and of supply and demand."""
        self.readings = (self.model.industry + 0.05 * self.rng.standard_normal(2)).clip(0, 1)

    def join(self) -> None:
        """Score all live loans with the controller's parameters; returning clients with their record."""
        model = self.model
        parties = np.column_stack([agent.scores for agent in model.party_agents])
        self.scores = total_risk_score(parties, model.controller.theta, model.controller.industry, model.margin)
        for i, firm in enumerate(model.bank.live):
            if firm.record:
                past = [loan["score_at_start"] for loan in firm.record]
                months = [model.steps - loan["end"] for loan in firm.record]
                clean = [loan["clean"] for loan in firm.record]
                n_frauds = sum(loan["fraud"] for loan in firm.record)
                self.scores[i] += ETA * record_score(past, months, clean, n_frauds, model.penalty)
            firm.loan["score"] = self.scores[i]
            firm.loan.setdefault("score_at_start", self.scores[i])
            firm.loan.setdefault("parties", parties[i])


class EnvironmentMonitor(mesa.Agent):
    """Follows what moves lambda and theta: the industry's readings and how the parties of past loans depend."""

    def __init__(self, model: "SupplyChainFinance", n_loans: int = 300):
        super().__init__(model)
        self.n_loans, self.industry, self.theta = n_loans, CALM, 1.0

    def step(self) -> None:
        """Average the readings; every quarter estimate theta from the latest loans of the data base."""
        self.industry = float(self.model.chain_agent.readings.mean())
        latest = self.model.bank.database[-self.n_loans :]
        if self.model.steps % 3 == 0 and len(latest) >= 50:
            try:
                parties = np.array([loan["parties"] for loan in latest])
                self.theta = estimate_theta(pseudo_observations(parties), "tau")
            except ValueError:
                pass  # no positive dependence to be seen: the last estimate stays


class WarningMonitor(mesa.Agent):
    """Warns about loans whose total risk score reaches the threshold; once warned, always warned."""

    def __init__(self, model: "SupplyChainFinance"):
        super().__init__(model)
        self.n_warnings = 0

    def step(self) -> None:
        """Compare this month's scores with the controller's threshold."""
        for firm in self.model.bank.live:
            if firm.loan["warned"] is None and firm.loan["score"] >= self.model.controller.threshold:
                firm.loan["warned"] = self.model.steps
                self.n_warnings += 1


class Controller(mesa.Agent):
    """Sets theta, lambda and the threshold that the others work with."""

    def __init__(self, model: "SupplyChainFinance", n_loans: int = 1000):
        super().__init__(model)
        self.n_loans, self.theta, self.industry, self.threshold = n_loans, 1.0, CALM, np.inf

    def step(self) -> None:
        """Take over what the environment monitor found, and the threshold that was cheapest on the latest loans."""
        monitor = self.model.environment_monitor
        self.theta, self.industry = monitor.theta, monitor.industry
        latest = self.model.bank.database[-self.n_loans :]
        if len(latest) >= 50:
            peaks = [loan["peak"] for loan in latest]
            self.threshold = best_threshold(peaks, [loan["defaulted"] for loan in latest])


class SupplyChainFinance(mesa.Model):
    """Chains of one core enterprise, one logistics firm and several financed firms, their bank, and its watch.

    Parameters
    ----------
    n_chains, n_firms : int
        Chains, and financed firms of each.
    severity : float
        Of the shocks: 0 for none; at 1 the industry jumps by 0.7 about every three years and a core enterprise by two
        standard deviations about every five.
    margin, penalty : str
        See `total_risk_score` and `record_score`; by default as the paper writes them.
    rng : numpy.random.Generator, int or None

    Attributes
    ----------
    datacollector : mesa.DataCollector
        The agents month by month: ``get_agenttype_vars_dataframe(FinancedFirm)``, and the model's own variables.
    bank, controller, chain_agent, party_agents, firms
        The agents themselves.

    Raises
    ------
    ValueError
        If a number is below 1 or the severity negative.

    Notes
    -----
    Section 4 of the early-warning paper; chapter 14.

    Examples
    --------
    >>> model = SupplyChainFinance(n_chains=2, n_firms=5, rng=0)
    >>> model.run(12).columns[:4].tolist()
    ['month', 'loan', 'firm', 'theta']
    >>> model.datacollector.get_agenttype_vars_dataframe(CoreEnterprise).shape
    (24, 2)
    """

    def __init__(
        self,
        n_chains: int = 5,
        n_firms: int = 40,
        severity: float = 1.0,
        margin: str = "distribution",
        penalty: str = "total",
        rng: Rng = None,
    ):
        n_chains, n_firms = check_count("n_chains", n_chains), check_count("n_firms", n_firms)
        if not severity >= 0:
            raise ValueError(f"severity must not be negative, got {severity!r}")
        super().__init__(rng=rng)
        self.severity, self.margin, self.penalty, self.industry = severity, margin, penalty, CALM
        self._own, self._shock = 0.0, 0.0
        self.cores = [CoreEnterprise(self) for _ in range(n_chains)]
        self.logistics = [LogisticsFirm(self, core, 0.4) for core in self.cores]
        self.firms = [FinancedFirm(self, *chain) for chain in zip(self.cores, self.logistics) for _ in range(n_firms)]
        self.bank = Bank(self)
        self.party_agents = [PartyAgent(self, party) for party in ("core", "firm", "logistics")]
        self.chain_agent, self.environment_monitor = ChainAgent(self), EnvironmentMonitor(self)
        self.warning_monitor, self.controller = WarningMonitor(self), Controller(self)
        self.datacollector = mesa.DataCollector(
            model_reporters={"industry": "industry"},
            agenttype_reporters={
                CoreEnterprise: {"state": "state", "shock": "shock"},
                LogisticsFirm: {"state": "state"},
                FinancedFirm: {
                    "state": "state",
                    "loan": lambda firm: firm.loan["loan"] if firm.loan else -1,
                    "n_past_loans": lambda firm: len(firm.record),
                },
                Bank: {"n_loans": "n_loans", "n_finished": lambda bank: len(bank.database)},
                EnvironmentMonitor: {"industry": "industry", "theta": "theta"},
                WarningMonitor: {"n_warnings": "n_warnings"},
                Controller: {"theta": "theta", "industry": "industry", "threshold": "threshold"},
            },
        )
        self._log: list[pd.DataFrame] = []

    def step(self) -> None:
        """One month: the world moves, the bank lends, agents read, the controller adapts, loans are scored and end."""
        self._own = MEMORY * self._own + np.sqrt(1 - MEMORY**2) * self.rng.standard_normal()
        self._shock *= 0.85
        if self.rng.random() < 1 / 36:
            self._shock += 0.7 * self.severity
        self.industry = float(np.clip(CALM + 0.05 * self._own + self._shock, 0, 1))
        for party in (*self.cores, *self.logistics, *self.firms):
            party.step()
        self.bank.lend()
        agents: list[mesa.Agent] = [*self.party_agents, self.chain_agent, self.environment_monitor, self.controller]
        for agent in agents:
            agent.step()
        self.chain_agent.join()
        self.warning_monitor.step()
        self._write_log()
        self.datacollector.collect(self)

    def run(self, n_months: int) -> pd.DataFrame:
        """Run for some months and return the log: one row per month and live loan.

        Parameters
        ----------
        n_months : int

        Returns
        -------
        pandas.DataFrame
            With month, loan, firm, the controller's theta and estimate of the industry, the eight indicators, the total
            risk score, whether the loan is under a warning, its true monthly default probability, and whether it
            defaulted in that month.
        """
        for _ in range(n_months):
            self.step()
        return pd.concat(self._log, ignore_index=True)

    def _write_log(self):
        live, (core, firm, logistics) = self.bank.live, (agent.indicators for agent in self.party_agents)
        past = [borrower.past_performance for borrower in live]
        columns = {
            "month": self.steps,
            "loan": [borrower.loan["loan"] for borrower in live],
            "firm": [borrower.unique_id for borrower in live],
            "theta": self.controller.theta,
            "industry": self.controller.industry,
            **dict(zip(INDICATORS, np.column_stack([core, firm, past, logistics]).T)),
            "score": self.chain_agent.scores,
            "warned": [borrower.loan["warned"] is not None for borrower in live],
            "true_probability": [borrower.default_probability() for borrower in live],
        }
        self._log.append(pd.DataFrame({**columns, "defaulted": self.bank.collect()}))
