"""The simulators against closed forms, slow references written from the description, and the paper's numbers."""

import heapq
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from qrgmm.simulators import bank_queue
from qrgmm.simulators.bank_queue import BankQueue
from qrgmm.simulators.cancer import LIFE_TABLE, TREATMENTS, CancerSimulator
from qrgmm.simulators.fm_location_scale import (
    CATEGORIES,
    CONTINUOUS,
    FM_VARIANTS,
    SELLERS,
    FactorizationMachine,
    FMLocationScale,
)
from qrgmm.simulators.problems import TestProblem1, TestProblem2
from qrgmm.simulators.queueing import LAST, OPEN, draw_arrivals, serve
from qrgmm.simulators.simulator import Simulator

PROBLEMS = [TestProblem1(), TestProblem2()]
ALL = [*PROBLEMS, *map(CancerSimulator, TREATMENTS), BankQueue()]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
each_simulator = pytest.mark.parametrize("simulator", ALL, ids=lambda s: getattr(s, "treatment", type(s).__name__))


@each_simulator
def test_draws_have_their_shape_their_range_and_their_seed(simulator):
    X = simulator.draw_covariates(200, rng=1)
    assert X.shape == (200, len(simulator.lows))
    assert (X >= simulator.lows).all() and (X <= simulator.highs).all()
    np.testing.assert_array_equal(X, simulator.draw_covariates(200, rng=np.random.default_rng(1)))
    y = simulator.draw(X, rng=2)
    assert y.shape == ((200, 5) if isinstance(simulator, BankQueue) else (200,)) and np.isfinite(y).all()
    np.testing.assert_array_equal(y, simulator.draw(X, rng=np.random.default_rng(2)))
    assert (y != simulator.draw(X, rng=3)).any()


@each_simulator
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:, 1:], "X must have shape"),
        (lambda X: X[:0], "with at least one row"),
        (lambda X: np.where(X == X.max(), np.nan, X), "X must be finite"),
    ],
)
def test_bad_covariates_are_refused(simulator, change, message):
    with pytest.raises(ValueError, match=message):
        simulator.draw(change(simulator.draw_covariates(4, rng=0)))


def test_the_basis_is_that_of_the_paper():
    widths = [simulator.basis(simulator.draw_covariates(3, rng=0)).shape[1] for simulator in ALL]
    assert widths == [3, 9, 14, 14, 14, 65]
    assert type(PROBLEMS[1]).basis is Simulator.basis, "what follows is the basis of all"
    np.testing.assert_array_equal(PROBLEMS[1].basis([[2, 3]]), [[2, 3, 4, 6, 9, 8, 12, 18, 27]])
    x = PROBLEMS[1].draw_covariates(4, rng=1)
    powers = [x[:, 0] ** (degree - k) * x[:, 1] ** k for degree in (1, 2, 3) for k in range(degree + 1)]
    np.testing.assert_allclose(PROBLEMS[1].basis(x), np.column_stack(powers), rtol=1e-12)


@each_problem
def test_draws_of_the_test_problems_follow_the_true_law(problem):
    n = 20_000
    for x in (problem.conditional_point, problem.convergence_point):
        y = problem.draw(np.tile(x, (n, 1)), rng=4)
        assert stats.kstest(y, lambda points, x=x: problem.cdf(x, points)[0]).pvalue > 0.01
    X = problem.draw_covariates(n, rng=5)
    assert stats.kstest(problem.cdf(X, problem.draw(X, rng=6)[:, None])[:, 0], "uniform").pvalue > 0.01


@each_problem
def test_ppf_and_cdf_are_inverse_and_take_points_in_three_shapes(problem):
    X, levels = problem.draw_covariates(5, rng=7), np.array([0.01, 0.3, 0.5, 0.99])
    quantiles = problem.ppf(X, levels)
    np.testing.assert_allclose(problem.cdf(X, quantiles), np.tile(levels, (5, 1)), rtol=1e-12)
    np.testing.assert_array_equal(problem.ppf(X, np.tile(levels, (5, 1))), quantiles)
    np.testing.assert_array_equal(problem.ppf(X, 0.3), quantiles[:, [1]])
    assert problem.cdf(X, 1.0).shape == (5, 1)
    for bad, message in (
        ([0.5, 1.1], r"lie in \[0, 1\], got 0.5 to 1.1"),
        (np.nan, "be finite, got NaN"),
        (np.full((2, 2), 0.5), r"be a number, \(n_points,\) or \(5, n_points\), got shape \(2, 2\)"),
        ([], "be a number, .* got shape"),
    ):
        with pytest.raises(ValueError, match=f"levels must {message}"):
            problem.ppf(X, bad)


def test_the_laws_at_the_papers_points():
    np.testing.assert_allclose(TestProblem1().ppf((4, -1, 3), stats.norm.cdf([0, 1])), [[8.5, 8.5 + 1.35]])
    problem = TestProblem2()
    scale = 5 * np.sin(8) ** 2 + 5
    np.testing.assert_allclose(problem.ppf((4, 4), [0.5, 0.9]), [[0.8, 0.8 + scale * np.log(5)]])
    # The paper's mean and standard deviation of the truth there are 0.8 and 13.99.
    np.testing.assert_allclose(scale * np.sqrt(2), 13.99, atol=0.005)


def test_a_normal_law_without_spread_is_a_point_and_a_negative_spread_is_refused():
    corner = TestProblem1()
    np.testing.assert_array_equal(corner.cdf((0, -5, 0), [-5.1, -5.0]), [[0.0, 1.0]])
    assert corner.draw((0, -5, 0), rng=0) == -5
    with pytest.raises(ValueError, match="standard deviations of at least 0, got -1"):
        corner.draw((0, -10, 0))


@pytest.mark.parametrize(
    ("problem", "mean", "sd", "mean_error", "sd_error"),
    [(PROBLEMS[0], 11.2469, 6.7322, 0.0633, 0.0410), (PROBLEMS[1], -0.0007, 10.9196, 0.1056, 0.1165)],
)
def test_samples_of_the_test_problems_have_the_published_moments(problem, mean, sd, mean_error, sd_error):
    """Published: the mean over 100 runs of 10,000 draws, and its deviation from run to run."""
    y = problem.draw(problem.draw_covariates(100_000, rng=8), rng=9)
    error = np.sqrt(1 / 100 + 1 / 10)
    assert abs(y.mean() - mean) < 4 * mean_error * error and abs(y.std() - sd) < 4 * sd_error * error


def life_expectancy(age):
    """Years, from the life table alone: death comes in the middle of a year."""
    alive, years = 1.0, 0.0
    for a in range(age, 101):
        years += alive * LIFE_TABLE[a - 55] * (a - age + 0.5)
        alive *= 1 - LIFE_TABLE[a - 55]
    return years


def walk_forward(simulator, x):
    """Expected quality-adjusted years from the description's matrix: eight states, aspirin's disabled twice over."""
    age, risk = int(x[0]), x[1]
    column, complications, survives, disabled = TREATMENTS[simulator.treatment]
    drug_risk = risk * (1 - x[column])
    p1, leave = 1 - (1 - risk) ** (1 / 12), 1 - (1 - drug_risk - complications) ** (1 / 12)
    share, p3 = drug_risk / (drug_risk + complications), 1 - (1 - 0.29) ** (1 / 12)
    years = 0.0
    for weight, quality in ((1 - disabled, 1.0), (disabled, 0.61)):
        on = np.eye(8)[6]  # state 7, on the drug
        for month in range(12 * (101 - age)):
            now = age + month // 12
            p2 = 1.1035 - 0.0023 * now
            P = np.zeros((8, 8))
            P[0, :2] = 1 - p1, p1
            P[1, 2:4] = p2, 1 - p2
            P[2, 3:6] = 0.8, 0.16, 0.04
            P[3, 3] = P[5, 5] = 1
            P[4, 4:6] = 1 - p3, p3
            P[6, [1, 6, 7]] = leave * share, 1 - leave, leave * (1 - share)
            P[7, [0, 5]] = survives, 1 - survives
            # Who is disabled carries it in every later state: the path through the complication counts `quality`.
            through = on[8:] if len(on) > 8 else np.zeros(8)
            main = on[:8]
            worth = np.array([1, 0.5, 0.5, 0.97, 0.5, 0, 1, 1])
            years += weight * (main @ worth + quality * through @ worth) / 12
            to_through = main[7] * P[7]
            main, through = main @ P - to_through, through @ P + to_through
            on = np.concatenate([main, through]) * (1 - LIFE_TABLE[now - 55] * (month % 12 == 5))
    return years


@pytest.mark.parametrize("age", [55, 70, 100])
def test_without_risk_and_drug_the_expectation_is_that_of_the_life_table(age):
    x = (age, 0, 0, 0)
    np.testing.assert_allclose(CancerSimulator("none").mean(x), life_expectancy(age), rtol=1e-12)
    y = CancerSimulator("none").draw(np.tile(x, (20_000, 1)), rng=10)
    assert abs(y.mean() - life_expectancy(age)) <= 4 * y.std() / np.sqrt(20_000)
    assert set(12 * y % 12) == {6}


@pytest.mark.parametrize("treatment", ["aspirin", "statin"])
@pytest.mark.parametrize("x", [(70, 0.05, 0.2, 0.8), (55, 0.1, 0.9, 0.0), (80, 0.01, 0.0, 1.0)])
def test_the_exact_mean_is_that_of_the_described_chain_and_draws_agree(treatment, x):
    simulator = CancerSimulator(treatment)
    np.testing.assert_allclose(simulator.mean(x), walk_forward(simulator, x), rtol=1e-12)
    y = simulator.draw(np.tile(x, (50_000, 1)), rng=11)
    assert abs(y.mean() - simulator.mean(x)[0]) < 4 * y.std() / np.sqrt(50_000)


def test_the_published_truth_of_the_cancer_study_is_reproduced():
    """Published: means over 100 runs, of 100,000 draws at one patient and of 10,000 patients."""
    for treatment, published in (("aspirin", 13.4445), ("statin", 14.0217)):
        simulator = CancerSimulator(treatment)
        sd = simulator.draw(np.tile(simulator.conditional_point, (5_000, 1)), rng=12).std()
        assert abs(simulator.mean(simulator.conditional_point)[0] - published) < 4 * sd / np.sqrt(1e7)
    n = 50_000
    y = CancerSimulator("aspirin").draw(simulator.draw_covariates(n, rng=13), rng=14)
    assert abs(y.mean() - 15.600) < 4 * y.std() * np.sqrt(1 / n + 1e-6)
    kurtosis = stats.kurtosis(y, fisher=False)
    assert abs(y.std() - 9.529) < 4 * y.std() * np.sqrt((kurtosis - 1) / 4 * (1 / n + 1e-6))


def test_ages_are_whole_and_all_alike():
    ages = CancerSimulator().draw_covariates(26_000, rng=15)[:, 0]
    assert stats.chisquare(np.unique(ages, return_counts=True)[1]).pvalue > 0.01 and len(set(ages)) == 26


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((70.5, 0, 0, 0), "X must have whole ages from 55 to 100 in its first column, got 70.5"),
        ((54, 0, 0, 0), "X must have whole ages .* got 54"),
        ((101, 0, 0, 0), "X must have whole ages .* got 101"),
        ((70, -0.1, 0, 0), r"X must have a risk in \[0, 0.99\] and effects .* got \[-0.1, 0.0, 0.0\]"),
        ((70, 0, 1.1, 0), r"X must have a risk .* got \[0.0, 1.1, 0.0\]"),
    ],
)
def test_impossible_patients_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        CancerSimulator("none").mean([(70, 0.05, 0.2, 0.8), x])


def test_unknown_treatments_are_refused():
    with pytest.raises(ValueError, match="treatment must be one of .* got 'placebo'"):
        CancerSimulator("placebo")


def serve_one_day(arrival, deadline, work, rates):
    """The day of one bank, event by event; customers who lost patience are taken out before every event."""
    end, served = deadline.copy(), np.zeros(len(arrival), bool)
    queues, in_service = [[] for _ in rates], [None] * len(rates)
    events = [(t, "comes", c) for c, t in enumerate(arrival) if t < np.inf]
    heapq.heapify(events)

    def start(counter, customer, now):
        in_service[counter], served[customer] = customer, True
        end[customer] = now + work[customer] / rates[counter]
        heapq.heappush(events, (end[customer], "goes", counter))

    while events and events[0][0] <= LAST:
        now, kind, who = heapq.heappop(events)
        queues = [[c for c in queue if deadline[c] > now] for queue in queues]
        if kind == "comes":
            lengths = [len(queue) + (busy is not None) for queue, busy in zip(queues, in_service)]
            counter = lengths.index(min(lengths))
            if in_service[counter] is None:
                start(counter, who, now)
            else:
                queues[counter].append(who)
        else:
            in_service[who] = None
            if queues[who]:
                first = min(queues[who])
                queues[who].remove(first)
                start(who, first, now)
    return end, served


@pytest.mark.parametrize("patience", [3.0, 15.0, 1e4])
def test_days_that_run_side_by_side_are_those_of_one_bank_at_a_time(patience):
    rng = np.random.default_rng(16)
    arrival = np.hstack([draw_arrivals(np.full(8, 0.15), rng), draw_arrivals(rng.uniform(0.2, 1, 8), rng)])
    deadline = arrival + rng.gamma(patience, size=arrival.shape)
    work, rates = rng.exponential(size=arrival.shape), rng.uniform(0.05, 0.1, (8, 6))
    end, served = serve(arrival, deadline, work, rates)
    for day in range(8):
        expected_end, expected_served = serve_one_day(arrival[day], deadline[day], work[day], rates[day])
        np.testing.assert_allclose(end[day], expected_end, rtol=1e-12)
        np.testing.assert_array_equal(served[day], expected_served)


def test_one_counter_and_endless_patience_follow_lindleys_recursion():
    arrival = draw_arrivals(np.full(50, 0.2), rng=17)
    work = np.random.default_rng(18).exponential(size=arrival.shape)
    end, served = serve(arrival, np.full(arrival.shape, np.inf), work, np.full((50, 1), 0.25))
    expected = np.zeros(50)
    for k in range(arrival.shape[1]):
        start = np.maximum(arrival[:, k], expected)
        expected = start + work[:, k] / 0.25
        np.testing.assert_array_equal(served[:, k], start <= LAST)
        np.testing.assert_allclose(end[served[:, k], k], expected[served[:, k]])


def test_arrivals_are_a_poisson_process_after_a_first_customer_at_nine():
    times = draw_arrivals(np.full(2_000, 0.25), rng=19)
    assert (times[:, 0] == 0).all() and np.isinf(times[:, -1]).all() and (times[times < np.inf] < OPEN).all()
    later = (times[:, 1:] < np.inf).sum(axis=1)
    assert abs(later.mean() - 120) < 4 * np.sqrt(120 / 2_000)
    assert stats.kstest(times[:, 1:][times[:, 1:] < np.inf] / OPEN, "uniform").pvalue > 0.01


def test_patience_and_speed_rule_who_leaves_and_who_waits():
    bank = BankQueue()
    x = np.array(bank.conditional_point)
    patient, hurried = (bank.draw(np.tile([*x[:8], m, m], (50, 1)), rng=20) for m in (1e4, 1e-3))
    assert (patient[:, [1, 3]] == 0).all() and patient[:, 0].mean() > patient[:, 2].mean()
    assert (hurried.mean(axis=0)[[1, 3]] > 0.05).all() and (hurried[:, 0] < patient[:, 0]).all()
    quick = bank.draw([[*x[:2], *[50.0] * 6, 18, 12]] * 200, rng=21)
    # Nobody waits and services last 1/50 minute; the first counter gets nearly everybody.
    np.testing.assert_allclose(quick[:, [0, 2]].mean(axis=0), 1 / 50, rtol=0.05)
    assert (quick[:, [1, 3]] == 0).all() and quick[:, 4].max() < 1


def test_the_published_truth_of_the_bank_study_is_reproduced():
    """Published: means over 100 runs of 10,000 days, covariates drawn afresh for every day."""
    mean, sd = [18.2215, 0.3794, 15.2626, 0.3316, 41.4609], np.array([2.1663, 0.1769, 1.9447, 0.1211, 19.4521])
    bank, n = BankQueue(), 2_500
    y = bank.draw(bank.draw_covariates(n, rng=22), rng=23)
    assert (abs(y.mean(axis=0) - mean) < 4 * sd / np.sqrt(n)).all()
    kurtosis = stats.kurtosis(y, fisher=False)
    assert (abs(y.std(axis=0) - sd) < 4 * sd * np.sqrt((kurtosis - 1) / 4 / n)).all()
    assert (y >= 0).all() and (y[:, [1, 3]] <= 1).all() and (y[:, 4] <= LAST - OPEN).all()


def test_rates_and_patiences_must_be_positive():
    with pytest.raises(ValueError, match="X must have positive rates and patiences, got 0"):
        BankQueue().draw([0.0] * 10)


MACHINES = {"base": (2, 0.5), "long vectors": (4, 0.7), "products alone": (3, 0.0), "main effects alone": (2, 1.0)}
each_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
each_variant = pytest.mark.parametrize("variant", FM_VARIANTS)
each_draw = pytest.mark.parametrize("parameters", [None, 1, 2])


@each_machine
def test_a_factorization_machine_is_the_double_sum_over_one_hot_fields(machine):
    rng = np.random.default_rng(30)
    signs = rng.choice([-1.0, 1.0], machine[0])
    z = FactorizationMachine(*machine, rng, signs)
    category, seller, x = rng.integers(0, 100, 5), rng.integers(0, 300, 5), rng.normal(size=(5, 10))
    weights, vectors = np.concatenate(z.weights), np.concatenate(z.vectors)
    for row, value in enumerate(z(category, seller, x)):
        inputs = np.concatenate([np.eye(100)[category[row]], np.eye(300)[seller[row]], x[row]])
        active = np.flatnonzero(inputs)
        pairs = ((signs * vectors[i]) @ vectors[j] * inputs[i] * inputs[j] for i, j in combinations(active, 2))
        assert value == pytest.approx(z.scales[0] * weights @ inputs + z.scales[1] * sum(pairs), rel=1e-10)


@pytest.mark.parametrize("mixed", [False, True])
@each_machine
def test_a_factorization_machine_has_mean_0_and_variance_1_exactly(machine, mixed):
    # Moments to the fourth of independent signs, as 128 rows have them: the last three columns are products of others.
    signs = np.array(list(product([-1.0, 1.0], repeat=7)))
    a, b, c, d, e, f, g = signs.T
    x = np.column_stack([signs, a * b * c * g, b * c * d * e, a * c * d * f])
    subsets = (list(some) for k in (1, 2, 3, 4) for some in combinations(range(10), k))
    assert all(x[:, some].prod(axis=1).sum() == 0 for some in subsets)
    category, seller = np.divmod(np.arange(30_000), 300)
    mixed_signs = (-1.0) ** np.arange(machine[0]) if mixed else None
    z = FactorizationMachine(*machine, np.random.default_rng(31), mixed_signs)
    moments = np.zeros(2)
    for row in x:
        values = z(category, seller, row[None])
        moments += np.array([values.mean(), (values**2).mean()]) / len(x)
    np.testing.assert_allclose(moments, [0, 1], atol=1e-10)


@each_draw
@each_variant
def test_location_and_scale_of_sales_are_as_described(variant, parameters):
    simulator = FMLocationScale(variant, parameters)
    X = simulator.draw_covariates(20_000, rng=32)
    location, scale = simulator._location_and_scale(X)
    if variant == "reflected":
        location = 400 - location
    rank, main_share, spread = FM_VARIANTS[variant]
    assert simulator._location.vectors[0].shape == (100, rank)
    # At most one row in a hundred is at the bound of 20, so that four standard errors are left.
    assert (location >= 20).all() and (location == 20).mean() < 0.01 and (scale > 0).all()
    assert abs(location.mean() - 100) < 4 * spread / np.sqrt(20_000) + 0.1
    kurtosis = stats.kurtosis(location[:, 0], fisher=False)
    if variant != "not_fm":  # there what is added is correlated with the factorization machine
        assert abs(location.std() / spread - 1) < 4 * np.sqrt((kurtosis - 1) / 4 / 20_000) + 0.01
    main = simulator._location.scales[0] ** 2 * 3
    assert main == pytest.approx(main_share)
    if variant != "reflected":  # there what had no upper end has no lower one
        assert (simulator.ppf(X[:500], [0.0, 1e-6]) > 0).all()
    mean, variance, skewness = simulator.noise.stats("mvs")
    np.testing.assert_allclose([mean, variance, skewness], [0, 1, -1 if variant == "reflected" else 1], atol=1e-12)


def test_the_variant_that_is_no_factorization_machine_adds_a_wave_and_a_bent_line():
    base, other = FMLocationScale("base"), FMLocationScale("not_fm")
    X = base.draw_covariates(500, rng=33)
    z = (base._location_and_scale(X)[0][:, 0] - 100) / 25
    phase = other._phase[CATEGORIES.get_indexer(X["category"])]
    added = np.sin(2 * X["x01"] + phase) + X["x02"].abs() * np.sign(X["x03"])
    expected = np.maximum(100 + 25 * (z + added) / np.sqrt(2.5), 20)
    inside = z > -3.2  # where the base variant is not at its bound
    np.testing.assert_allclose(other._location_and_scale(X)[0][inside, 0], expected[inside], rtol=1e-12)


@each_draw
def test_variants_are_made_from_the_base(parameters):
    base, reflected, log_scale = (FMLocationScale(each, parameters) for each in ("base", "reflected", "log_scale"))
    X, levels = base.draw_covariates(300, rng=33), np.array([0.05, 0.5, 0.9])
    np.testing.assert_allclose(reflected.ppf(X, levels), 400 - base.ppf(X, 1 - levels), rtol=1e-12)
    location, scale = (each[:, 0] for each in base._location_and_scale(X))
    free = scale < 0.44 * location
    z = (np.log(np.expm1(scale / 15)) - 0.54) / 0.5
    np.testing.assert_allclose(log_scale.ppf(X, 0.5)[:, 0][free], (
        location + np.minimum(15 * np.exp(0.4 * z), 0.45 * location) * base.noise.ppf(0.5)
    )[free])


def test_sales_of_the_linear_variant_are_linear():
    simulator = FMLocationScale("linear", 3)
    X = simulator.draw_covariates(5000, rng=33)
    location = simulator._location_and_scale(X)[0][:, 0]
    free = location > 20
    design, linear = pd.get_dummies(X, dtype=float)[free], location[free]
    assert free.mean() > 0.99
    np.testing.assert_allclose(LinearRegression().fit(design, linear).predict(design), linear, atol=1e-8)


def test_parameters_and_signs_are_fresh_where_they_are_asked_for():
    X = ROWS
    laws = [FMLocationScale("base", parameters).ppf(X, 0.5) for parameters in (None, None, 1, 1, 2)]
    np.testing.assert_array_equal(laws[0], laws[1])
    np.testing.assert_array_equal(laws[2], laws[3])
    assert (laws[0] != laws[2]).all() and (laws[2] != laws[4]).all()
    assert (FMLocationScale()._location.signs == 1).all()
    signs = [FMLocationScale("hard", seed)._location.signs.sum() for seed in range(40)]
    assert set(signs) >= {-2, 0, 2}


@each_variant
def test_sales_follow_their_law_and_are_positive(variant):
    simulator = FMLocationScale(variant)
    X = simulator.draw_covariates(6_000, rng=34)
    y = simulator.draw(X, rng=35)
    assert (y > 0).all() and y.shape == (6_000,)
    np.testing.assert_array_equal(y, simulator.draw(X, np.random.default_rng(35)))
    assert stats.kstest(simulator.cdf(X, y[:, None])[:, 0], "uniform").pvalue > 0.01
    levels = np.array([0.01, 0.3, 0.5, 0.99])
    quantiles = simulator.ppf(X[:50], levels)
    np.testing.assert_allclose(simulator.cdf(X[:50], quantiles), np.tile(levels, (50, 1)), rtol=1e-9)
    point = X.iloc[[7] * 5000]
    assert stats.kstest(simulator.draw(point, rng=36), lambda y: simulator.cdf(X.iloc[[7]], y)[0]).pvalue > 0.01


def test_covariates_of_sellers_are_uniform_and_cover_all():
    X = FMLocationScale().draw_covariates(30_000, rng=37)
    assert list(X.columns) == ["category", "seller", *CONTINUOUS]
    for name, known in (("category", CATEGORIES), ("seller", SELLERS)):
        assert set(X[name]) == set(known) and stats.chisquare(X[name].value_counts()).pvalue > 0.01
    x = X[CONTINUOUS].to_numpy()
    assert np.abs(x).max() < np.sqrt(3) and np.abs(x).max() > 1.73
    np.testing.assert_allclose(x.std(axis=0), 1, atol=4 * np.sqrt(0.8 / 4 / 30_000))
    pd.testing.assert_frame_equal(X, FMLocationScale().draw_covariates(30_000, np.random.default_rng(37)))


@pytest.mark.parametrize("index", [np.linspace(9, 0, 9), [0] * 9, list("abcdefghi"), range(50, 59)])
def test_the_index_of_sellers_and_the_order_of_columns_change_nothing(index, monkeypatch):
    monkeypatch.setattr("qrgmm.simulators.simulator.BLOCK", 4)
    simulator = FMLocationScale()
    X = simulator.draw_covariates(9, rng=38)
    other = X.set_axis(index, axis=0)[X.columns[::-1]].astype({"seller": "category"}).assign(note=1)
    np.testing.assert_array_equal(simulator.draw(other, rng=39), simulator.draw(X, rng=39))


ROWS = FMLocationScale().draw_covariates(4, rng=40)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (ROWS.assign(category="category_100"), "column 'category' of X must be from category_000 to category_099, got"),
        (ROWS.assign(seller=["seller_001", "a", "b", "c"]), r"column 'seller' of X must be .* got \['a', 'b', 'c'\]"),
        (ROWS.drop(columns=["x03", "seller"]), r"lacking \['seller', 'x03'\]"),
        (ROWS.to_numpy(), "X must be a data frame with rows and the columns"),
        (ROWS[:0], "X must be a data frame with rows"),
        (ROWS.assign(x10=np.nan), "X must be finite"),
    ],
)
def test_bad_sellers_are_refused(X, message):
    for method in (FMLocationScale().draw, lambda X: FMLocationScale().ppf(X, 0.5)):
        with pytest.raises(ValueError, match=message):
            method(X)


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match="variant must be one of .* got 'quadratic'"):
        FMLocationScale("quadratic")


def test_customers_who_are_still_there_at_nine_count_nowhere(monkeypatch):
    """One normal customer leaves after 20 minutes; the other one's service would end at 22:20."""
    streams = iter([np.array([[0.0, np.inf]]), np.array([[0.0, 5.0, np.inf]])])  # priority, normal
    monkeypatch.setattr(bank_queue, "draw_arrivals", lambda rate, rng: next(streams))
    end, served = np.array([[10.0, np.inf, 20.0, 800.0, np.inf]]), np.array([[True, False, True, False, False]])
    monkeypatch.setattr(bank_queue, "serve", lambda *day: (end, served))
    bank = BankQueue()
    found = dict(zip(bank.outputs, bank.draw(bank.conditional_point, rng=0)[0]))
    assert found == {
        "time_normal": 20, "reneged_normal": 0, "time_priority": 10, "reneged_priority": 0, "overtime": 0
    }
