"""The scores of the early-warning paper by hand and over all inputs; its agents one by one; its economy by its law."""

import laws  # noqa: F401  loads the profile of Hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qrgmm.portfolio.copula import ClaytonCopula
from qrgmm.studies import systems as system_studies
from qrgmm.systems.early_warning import (
    COST_FALSE,
    COST_MISSED,
    COST_WARNED,
    TERM,
    Bank,
    Controller,
    CoreEnterprise,
    EnvironmentMonitor,
    FinancedFirm,
    SupplyChainFinance,
    WarningMonitor,
    best_threshold,
    monthly_default_probability,
)
from qrgmm.systems.warning_scores import (
    EQUAL_WEIGHTS,
    ETA,
    PARTIES,
    decay,
    lone_exceedance,
    party_score,
    record_score,
    similarity,
    total_risk_score,
    total_similarity,
    traditional_score,
)

unit = st.floats(0, 1)
scores = st.lists(unit, min_size=3, max_size=3)
thetas = st.floats(1e-3, 300)
margins = st.sampled_from(["distribution", "survival"])
# Table 2 of the paper.
V, W, Q = [0.6, 0.5, 0.4], [0.6, 0.3], [0.5, 0.3]


def table_2_scores():
    parties = zip(EQUAL_WEIGHTS.values(), (V, W, Q))
    return np.array([party_score(indicators, weights) for weights, indicators in parties])


# Scores.


def test_the_case_of_table_2_by_hand():
    rs = table_2_scores()
    np.testing.assert_allclose(rs, [0.5, 0.45, 0.4], rtol=1e-14)
    # The distribution function of Beta(2, 5) is a polynomial: 1 - (1 - x)^5 (1 + 5 x).
    u = 1 - (1 - rs) ** 5 * (1 + 5 * rs)
    np.testing.assert_allclose(u, stats.beta(2, 5).cdf(rs), rtol=1e-12)
    joint = 1 / (1 / u[0] + 1 / u[1] + 1 / u[2] - 2)
    np.testing.assert_allclose(total_risk_score(rs, 1.0, 0.2), 1.35 * 1.2 * (1 - joint), rtol=1e-12)
    np.testing.assert_allclose(traditional_score(rs, 0.2), 1.2 * rs @ (1 - u), rtol=1e-12)
    s = 1 - u
    joint = 1 / (1 / s[0] + 1 / s[1] + 1 / s[2] - 2)
    np.testing.assert_allclose(total_risk_score(rs, 1.0, 0.2, "survival"), 1.35 * 1.2 * (1 - joint), rtol=1e-12)


@given(scores, thetas, st.floats(1, 5), unit, unit, margins)
def test_the_total_risk_score_falls_in_theta_rises_in_lambda_and_is_never_below_the_traditional_one(
    rs, theta, factor, industry, worse, margin
):
    score = total_risk_score(rs, theta, industry, margin)
    tolerance = 1e-9
    assert total_risk_score(rs, theta * factor, industry, margin) <= score + tolerance
    assert total_risk_score(rs, theta, max(industry, worse), margin) >= score - tolerance
    assert traditional_score(rs, industry, margin) <= score + tolerance


@given(scores, st.integers(0, 2), unit, thetas)
def test_with_survival_margins_a_riskier_party_never_lowers_the_score(rs, party, other, theta):
    riskier = list(rs)
    riskier[party] = max(rs[party], other)
    low, high = (total_risk_score(x, theta, 0.2, "survival") for x in (rs, riskier))
    assert low <= high + 1e-9


def test_with_the_margins_of_the_paper_the_riskiest_loans_score_nothing():
    ladder = np.repeat(np.linspace(0, 1, 101)[:, None], 3, axis=1)
    written, repaired = (total_risk_score(ladder, 1.0, 0.0, margin) for margin in ("distribution", "survival"))
    assert written[-1] == 0 and 0.2 < ladder[written.argmax(), 0] < 0.5
    assert (np.diff(repaired) > -1e-12).all() and repaired[-1] == 3


@pytest.mark.parametrize("theta", [0.5, 1.0, 6.0])
def test_one_minus_the_copula_splits_into_who_is_worse(theta):
    rs = np.array([0.35, 0.3, 0.2])
    worse = ClaytonCopula(theta).sample(200_000, rng=0) > stats.beta(2, 5).cdf(rs)
    alone = [(worse[:, i] & (worse.sum(axis=1) == 1)).mean() for i in range(3)]
    np.testing.assert_allclose(lone_exceedance(rs, theta), alone, atol=0.005)
    np.testing.assert_allclose(total_risk_score(rs, theta, 0.0) / rs.sum(), worse.any(axis=1).mean(), atol=0.005)


@given(st.floats(0, 200), st.floats(0, 200))
def test_the_decay_falls_from_one_towards_nothing(t, other):
    near, far = sorted([t, other])
    assert decay(0.0) == 1 and 0 < decay(far) <= decay(near) <= 1
    steps = -np.diff(decay([0.0, 1.0, 11.5, 12.5, 59.0, 60.0]))[::2]
    assert steps[1] > 5 * steps[0] and steps[1] > 5 * steps[2], "slow, then fast, then slow"


def test_the_record_of_a_client_by_hand():
    past, months, clean = np.array([0.4, 0.9]), np.array([3.0, 20.0]), [True, False]
    d = decay(months)
    expected = (-0.4 * d[0] + 0.9 * d[1]) / 2
    np.testing.assert_allclose(record_score(past, months, clean, 0), expected, rtol=1e-14)
    np.testing.assert_allclose(record_score(past, months, clean, 1), np.e * expected, rtol=1e-14)
    repaired = (-0.4 * d[0] + np.e * 0.9 * d[1]) / 2
    np.testing.assert_allclose(record_score(past, months, clean, 1, "frauds"), repaired, rtol=1e-14)
    assert record_score([], [], [], 0) == 0


def test_as_written_one_fraud_among_many_clean_loans_lowers_the_score_and_repaired_it_does_not():
    past, months = np.full(6, 0.5), np.full(6, 1.0)
    all_clean, one_fraud = [True] * 6, [True] * 5 + [False]
    assert record_score(past, months, one_fraud, 1) < record_score(past, months, all_clean, 0)
    assert record_score(past, months, one_fraud, 1, "frauds") > record_score(past, months, all_clean, 0)


@given(st.lists(st.tuples(unit, st.floats(0, 60), st.booleans()), min_size=1, max_size=8), st.data())
def test_repaired_a_fraud_never_helps(loans, data):
    past, months, clean = (np.array(column) for column in zip(*loans))
    turned = data.draw(st.integers(0, len(loans) - 1))
    worse = clean.copy()
    worse[turned] = False
    n_frauds = int((~clean).sum())
    before = record_score(past, months, clean, n_frauds, "frauds")
    assert record_score(past, months, worse, min(n_frauds + 1, len(loans)), "frauds") >= before - 1e-12


@given(st.lists(st.lists(unit, min_size=4, max_size=4), min_size=1, max_size=6), st.lists(unit, min_size=4, max_size=4))
def test_similarity_lies_in_the_unit_interval_and_is_total_over_parties(database, application):
    alike = similarity(database, application)
    assert ((alike >= 0) & (alike <= 1)).all()
    total = total_similarity(database, application, [[0], [1, 2], [3]], importance=[1.0, 3.0, 1.0, 2.0])
    np.testing.assert_allclose(total, alike[0] + (3 * alike[1] + alike[2]) / 4 + alike[3], rtol=1e-12)
    np.testing.assert_allclose(similarity(database, np.mean(database, axis=0)), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: party_score([0.2, 1.3], [0.5, 0.5]), r"indicators must lie in \[0, 1\], got 1.3"),
        (lambda: party_score([0.2, np.nan], [0.5, 0.5]), r"indicators must lie in \[0, 1\], got nan"),
        (lambda: party_score([0.2, 0.3], [0.5, 0.4]), r"weights must sum to 1, got \[0.5, 0.4\] with sum 0.9"),
        (lambda: party_score([0.2, 0.3, 0.1], [0.5, 0.5]), "indicators must have 2 columns"),
        (lambda: total_risk_score([0.1, 0.2, 0.3], 0.0, 0.2), "theta must be positive and finite, got 0.0"),
        (lambda: total_risk_score([0.1, 0.2, 0.3], 1.0, 1.2), r"industry must lie in \[0, 1\], got 1.2"),
        (lambda: total_risk_score([0.1, 0.2], 1.0, 0.2), r"scores must have shape \(..., 3\)"),
        (lambda: total_risk_score([0.1, 0.2, 0.3], 1.0, 0.2, "cdf"), "margin must be 'distribution' or 'survival'"),
        (lambda: decay(-1.0), "months must not be negative or NaN, got -1"),
        (lambda: decay(1.0, pace=0.0), "pace must be positive, got 0.0"),
        (lambda: record_score([0.5], [1.0], [True], 2), "n_frauds must lie between 0 and the 1 past loans, got 2"),
        (lambda: record_score([0.5], [1.0, 2.0], [True], 0), "must have one shape"),
        (lambda: record_score([0.5], [1.0], [True], 0, "all"), "penalty must be 'total' or 'frauds', got 'all'"),
        (lambda: record_score([0.5], [1.0], ["False"], 0), "clean must be true or false, got 'False'"),
        (lambda: record_score([0.5], [1.0], [np.nan], 0), "clean must be true or false, got nan"),
        (lambda: record_score([np.nan], [1.0], [True], 0), "past_scores must be finite, got NaN or infinity"),
        (lambda: record_score([0.5], [1.0], [False], 0.5), "n_frauds must lie between 0 and the 1 past loans, got 0.5"),
        (lambda: record_score(*np.ones((2, 900)), [False, True] * 450, 800), "n_frauds must be at most 700, got 800"),
        (lambda: party_score([0.5, 0.5], [[0.5, 0.5]]), r"weights must have shape \(n_indicators,\), got \(1, 2\)"),
        (lambda: party_score([], []), r"weights must sum to 1, got \[\] with sum 0"),
        (lambda: decay(1.0, delay=np.nan), "delay must be finite, got nan"),
        (lambda: total_similarity([[0.5, 0.5]], [0.5, 0.4], [[0], [1]], [1, 0]), "importance must have a positive sum"),
        (lambda: total_similarity([[0.5, 0.5]], [0.5, 0.4], [[0], []]), "importance must have a positive sum"),
        (lambda: total_similarity([[0.5, 0.5]], [0.5, 0.4], [[0]], [1, np.nan]), "importance must be 2 finite numbers"),
        (lambda: best_threshold([np.nan, 0.5], [True, False]), "peaks must be finite, or minus infinity, got NaN"),
        (lambda: best_threshold([np.inf], [True]), "peaks must be finite, or minus infinity, got NaN or infinity"),
        (lambda: best_threshold([0.5], [True, False]), r"one shape \(n_loans,\), got \(1,\) and \(2,\)"),
        (lambda: best_threshold([0.5], ["False"]), "defaulted must be true or false, got 'False'"),
        (lambda: best_threshold([0.5], [True], np.nan), "costs must be finite and not negative, got nan and 0.03"),
        (lambda: similarity([[0.1, 0.2]], [0.1]), "database and application must be"),
        (lambda: SupplyChainFinance(n_firms=0), "n_firms must be a whole number of at least 1, got 0"),
        (lambda: SupplyChainFinance(severity=-1), "severity must not be negative, got -1"),
        (lambda: SupplyChainFinance(margin="cdf", rng=0).run(1), "margin must be 'distribution' or 'survival'"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Thresholds.


def brute_force_threshold(peaks, defaulted, missed, false):
    candidates = [np.inf, *np.unique(peaks)[::-1]]
    costs = [missed * (defaulted & (peaks < c)).sum() + false * (~defaulted & (peaks >= c)).sum() for c in candidates]
    return candidates[int(np.argmin(costs))]


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12), st.sampled_from([0.05, 0.3, 1.0]))
def test_the_best_threshold_is_that_of_brute_force(loans, false):
    peaks = np.array([float(peak) for peak, _ in loans])
    defaulted = np.array([bad for _, bad in loans], dtype=bool)
    ours, theirs = best_threshold(peaks, defaulted, 0.6, false), brute_force_threshold(peaks, defaulted, 0.6, false)

    def cost(threshold):
        return 0.6 * (defaulted & (peaks < threshold)).sum() + false * (~defaulted & (peaks >= threshold)).sum()

    np.testing.assert_allclose(cost(ours), cost(theirs), atol=1e-12)


def test_one_loan_decides_alone():
    assert best_threshold([0.5], [True]) == 0.5 and best_threshold([0.5], [False]) == np.inf
    assert party_score([0.4], [1.0]) == 0.4 and similarity([[0.4]], [0.4]) == 1 and similarity([[0.4]], [0.5]) == 0
    assert record_score([0.4], [0.0], [True], 0) == -0.4 and record_score([0.4], [0.0], [0], 0) == 0.4


def test_a_record_with_as_many_frauds_as_floats_can_hold_is_finite():
    score = record_score(np.full(900, 0.5), np.zeros(900), np.zeros(900, dtype=bool), 700)
    np.testing.assert_allclose(score, 0.5 * np.exp(700), rtol=1e-12)


def test_loans_that_could_not_be_warned_about_do_not_move_the_threshold():
    assert best_threshold([-np.inf, 0.5, 0.9], [True, False, True]) == 0.9
    assert best_threshold([-np.inf], [True]) == np.inf
    assert best_threshold([], []) == np.inf


# Agents.


@pytest.fixture(scope="module")
def model():
    model = SupplyChainFinance(n_chains=3, n_firms=20, rng=7)
    model.log = model.run(60)
    return model


def test_a_run_is_reproducible_by_seed(model):
    again = SupplyChainFinance(n_chains=3, n_firms=20, rng=7).run(60)
    pd.testing.assert_frame_equal(model.log, again)
    other = SupplyChainFinance(n_chains=3, n_firms=20, rng=8).run(60)
    assert not model.log["score"].equals(other["score"])


def test_a_run_in_two_parts_is_the_run_in_one(model):
    parts = SupplyChainFinance(n_chains=3, n_firms=20, rng=7)
    parts.run(25)
    pd.testing.assert_frame_equal(parts.run(35), model.log)


def test_what_the_bank_thinks_does_not_move_the_world(model):
    other = SupplyChainFinance(n_chains=3, n_firms=20, margin="survival", penalty="frauds", rng=7).run(60)
    assert not np.allclose(other["score"], model.log["score"])
    world = ["month", "loan", "firm", "v1", "w1", "q2", "true_probability", "defaulted"]
    pd.testing.assert_frame_equal(model.log[world], other[world])


def test_agents_can_be_read_one_by_one(model):
    for kind, n_agents in ((CoreEnterprise, 3), (FinancedFirm, 60), (Bank, 1), (EnvironmentMonitor, 1)):
        table = model.datacollector.get_agenttype_vars_dataframe(kind)
        assert len(table) == 60 * n_agents
    firm = model.firms[0]
    path = model.datacollector.get_agenttype_vars_dataframe(FinancedFirm).xs(firm.unique_id, level="AgentID")
    assert path["state"].iloc[-1] == firm.state and path["n_past_loans"].iloc[-1] == len(firm.record)
    warned = model.datacollector.get_agenttype_vars_dataframe(WarningMonitor)["n_warnings"]
    finished = model.datacollector.get_agenttype_vars_dataframe(Bank)["n_finished"]
    assert (np.diff(warned) >= 0).all() and (np.diff(finished) >= 0).all()
    assert finished.iloc[-1] == len(model.bank.database)


def test_every_loan_lasts_its_term_or_ends_in_default(model):
    loans = model.log.groupby("loan").agg(n=("month", "size"), bad=("defaulted", "sum"), last=("defaulted", "last"))
    over = loans.loc[[loan["loan"] for loan in model.bank.database]]
    assert (over["n"][over["bad"] == 0] == TERM).all() and (over["n"] <= TERM).all()
    assert (over["bad"] == over["last"]).all()
    frauds = [loan for loan in model.bank.database if loan["fraud"]]
    assert all(loan["defaulted"] for loan in frauds)


def test_a_loan_is_clean_if_it_neither_defaulted_nor_was_warned_about(model):
    loans = pd.DataFrame(model.bank.database)
    expected = ~loans["defaulted"] & loans["warned"].isna()
    assert loans["clean"].tolist() == expected.tolist()
    warned_only = ~loans["defaulted"] & loans["warned"].notna()
    assert warned_only.any(), "a warning alone must have soiled a record"
    # Equation 6: such a loan of a client raises its score, a clean one lowers it.
    loan = loans[warned_only].iloc[0]
    assert record_score([loan["score_at_start"]], [1.0], [loan["clean"]], 0) > 0
    assert record_score([loan["score_at_start"]], [1.0], [True], 0) < 0


def test_defaults_happen_by_the_known_law():
    log = SupplyChainFinance(n_chains=5, n_firms=40, rng=3).run(80)
    p, defaulted = log["true_probability"], log["defaulted"]
    for part in (p < p.quantile(0.8), p >= p.quantile(0.8)):
        error = np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(defaulted[part].sum() - p[part].sum()) < 3.5 * error


def test_indicators_of_a_calm_world_are_beta_and_the_parties_of_a_chain_depend_positively():
    model = SupplyChainFinance(n_chains=300, n_firms=1, severity=0.0, rng=0)
    log = model.run(1)
    # One month of many chains; the industry moves all states a little.
    for name in ("v1", "w1", "q1"):
        assert abs(log[name].mean() - 2 / 7) < 0.03 and abs(log[name].std() - stats.beta(2, 5).std()) < 0.02
    assert stats.kendalltau(log["v1"], log["w1"]).statistic > 0.1


def test_the_score_of_a_new_client_is_the_formula(model):
    new = model.log[model.log["month"] == 1]
    rs = np.column_stack([party_score(new[names].to_numpy(), EQUAL_WEIGHTS[party]) for party, names in PARTIES.items()])
    np.testing.assert_allclose(new["score"], total_risk_score(rs, 1.0, new["industry"]), rtol=1e-12)


def test_a_returning_client_s_score_adds_its_record(model):
    firm = next(firm for firm in model.bank.live if firm.record and firm.loan)
    row = model.log[(model.log["month"] == 60) & (model.log["firm"] == firm.unique_id)].iloc[0]
    past = [loan["score_at_start"] for loan in firm.record]
    months = [60 - loan["end"] for loan in firm.record]
    clean = [loan["clean"] for loan in firm.record]
    rs = [party_score(row[names].to_numpy(dtype=float), EQUAL_WEIGHTS[party]) for party, names in PARTIES.items()]
    base = total_risk_score(rs, row["theta"], row["industry"])
    extra = ETA * record_score(past, months, clean, sum(loan["fraud"] for loan in firm.record))
    np.testing.assert_allclose(row["score"], base + extra, rtol=1e-12)


def test_the_controller_adapts_to_what_the_monitors_saw(model):
    controller = model.datacollector.get_agenttype_vars_dataframe(Controller)
    monitor = model.datacollector.get_agenttype_vars_dataframe(EnvironmentMonitor)
    np.testing.assert_array_equal(controller["theta"], monitor["theta"])
    industry = model.datacollector.get_model_vars_dataframe()["industry"].to_numpy()
    assert np.abs(controller["industry"].to_numpy() - industry).max() < 0.2
    assert controller["theta"].nunique() > 5 and controller["threshold"].nunique() >= 2


def test_the_true_probability_rises_with_every_state():
    base = monthly_default_probability(0.0, 0.0, 0.0, 0.2)
    hazard = np.exp(-9 + 0.6) + np.exp(-8 + 0.6) + np.exp(-9 + 0.4)
    np.testing.assert_allclose(base, 1 - np.exp(-hazard), rtol=1e-12)
    for worse in ((1, 0, 0, 0.2), (0, 1, 0, 0.2), (0, 0, 1, 0.2), (0, 0, 0, 0.5), (0, 0, 0, 0.2, True)):
        assert monthly_default_probability(*worse) > base


# The study.


def test_the_study_judges_by_hand_counted_outcomes():
    loans = pd.DataFrame({"start": 1, "end": [5, 5, 6, 6], "defaulted": [True, True, False, False]})
    measures = system_studies._judge(loans, pd.Series([2.0, np.nan, 3.0, np.nan]))
    assert measures["recall"] == 0.5 and measures["precision"] == 0.5 and measures["lead_time"] == 3
    np.testing.assert_allclose(measures["cost"], 100 * (0.4 + 1.0 + 0.03) / 4)


def test_the_probability_of_a_later_default_is_that_of_the_months_left_if_the_hazard_stays():
    log = pd.DataFrame({"loan": [0, 1, 0, 0], "month": [3, 3, 4, 8], "true_probability": [0.1, 0.2, 0.3, 1.0]})
    np.testing.assert_allclose(system_studies._probability_left(log), [1 - 0.9**5, 1 - 0.8**5, 1 - 0.7**4, 0])


def test_no_other_threshold_of_a_known_probability_costs_less_than_the_break_even():
    p = np.linspace(0, 1, 10_001)
    warned, ignored = COST_WARNED * p + COST_FALSE * (1 - p), COST_MISSED * p
    costs = [np.where(p >= threshold, warned, ignored).sum() for threshold in p]
    np.testing.assert_allclose(p[np.argmin(costs)], system_studies.BREAK_EVEN, atol=1e-4)


def test_the_study_s_oracle_ranks_best_and_the_paper_s_margins_worst():
    setting = {"severities": [1.0], "n_chains": 5, "n_firms": 30, "n_months": 84, "burn_in": 36}
    rows = system_studies.early_warning(np.random.default_rng(0), **setting)
    auc = {(model, test): value for model, test, metric, _, value in rows if metric == "auc"}
    for test in ("frozen", "adaptive"):
        assert auc["truth", test] > auc["trs, survival", test] > auc["trs", test] > auc["traditional", test]
        assert auc["traditional", test] < 0.5
