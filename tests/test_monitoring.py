"""A loan that runs: the law of the rest, a rhythm, warnings with a stated rate, horizons, and sales day by day."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, nbinom

from qrgmm.curve import QuantileCurve
from qrgmm.datasets import sales_path, seller_panel
from qrgmm.horizons import rearrange_horizons
from qrgmm.monitoring import first_warning, fit_rhythm, law_of_the_rest, top_up
from qrgmm.risk import default_probability
from qrgmm.simulators import Marketplace

LEVELS = np.arange(1, 200) / 200
UNIFORM = QuantileCurve(LEVELS, 100 * LEVELS)


def test_the_law_of_the_rest_is_that_of_bayes_rule_for_whole_units():
    units, sold, share, concentration = np.arange(1, 200), 12, 0.3, 15.0
    rest = law_of_the_rest(QuantileCurve.from_draws(units.astype(float)), sold, share, concentration)
    weight = betabinom.pmf(sold, units, concentration * share, concentration * (1 - share))
    weight /= weight.sum()
    assert rest.mean()[0] == pytest.approx(weight @ (units - sold), rel=0.01)
    for more in (5, 20, 60):
        assert rest.cdf(more + 0.5)[0, 0] == pytest.approx(weight[units - sold <= more].sum(), abs=0.012)


def test_without_differences_between_sellers_the_rest_is_negative_binomial():
    rest = law_of_the_rest(QuantileCurve(LEVELS, 1000 * LEVELS), 30, 0.4, 1e9)
    exact = nbinom(31, 0.4)
    np.testing.assert_allclose(rest.ppf([0.1, 0.5, 0.9])[0], exact.ppf([0.1, 0.5, 0.9]), rtol=0.03)


def test_a_seller_without_a_sale_has_probably_stopped_and_one_with_a_sale_has_not():
    law = UNIFORM.zero_inflate([0.8])
    silent, selling = (law_of_the_rest(law, sold, 0.5, 20.0) for sold in (0.0, 1.0))
    assert silent.cdf(0.0)[0, 0] > 0.75 and law.cdf(0.0)[0, 0] == pytest.approx(0.2)
    assert selling.cdf(0.5)[0, 0] < 0.2


@given(
    sold=st.floats(0, 500), share=st.floats(0.01, 0.99), concentration=st.floats(0.1, 1e5), scale=st.floats(0.1, 1e4)
)
@settings(max_examples=60)
def test_the_rest_is_never_negative_and_never_more_than_the_law_leaves(sold, share, concentration, scale):
    law = QuantileCurve(LEVELS, scale * LEVELS)
    rest = law_of_the_rest(law, sold, share, concentration)
    assert (rest.values >= 0).all() and rest.values.max() <= max(scale - sold, 0) + 1e-9 * scale


def test_what_is_expected_tomorrow_is_what_is_expected_today():
    """The default probability is a martingale: its mean next week, by the law of next week, is that of this week."""
    debt, units = 45.0, np.arange(0, 101)
    law = QuantileCurve.from_draws(units + 0.0)
    before = default_probability(law, debt).item()
    chance = betabinom.pmf(units[:, None], units, 6.0, 14.0).mean(axis=1)  # of having sold so much by then
    after = [default_probability(law_of_the_rest(law, s, 0.3, 20.0), max(debt - s, 0.0)).item() for s in units]
    assert np.where(units >= debt, 0.0, after) @ chance == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.03])
def test_of_repaid_loans_no_more_are_warned_of_than_is_stated(alpha):
    rng, n, n_weeks, debt, concentration = np.random.default_rng(8), 1200, 10, 40.0, 12.0
    total = np.round(UNIFORM.sample(n, rng)[0])
    parts = rng.dirichlet(np.full(n_weeks, concentration / n_weeks), n)
    sold = np.array([rng.multinomial(units, part) for units, part in zip(total, parts)]).cumsum(axis=1)
    law = QuantileCurve(LEVELS, np.repeat(UNIFORM.values, n, axis=0))
    now = np.zeros((n, n_weeks - 1))
    for week in range(n_weeks - 1):
        rest = law_of_the_rest(law, sold[:, week], (week + 1) / n_weeks, concentration)
        owed = (debt - sold[:, week]).clip(0)
        now[:, week] = np.where(owed > 0, default_probability(rest, owed[:, None])[:, 0], 0)
    first = first_warning(now, default_probability(law, debt)[:, 0], alpha)
    failed = total < debt
    false = np.isfinite(first)[~failed].mean()
    assert false < alpha + 3 * np.sqrt(alpha * (1 - alpha) / (~failed).sum())
    assert np.isfinite(first)[failed].mean() > 0.5 > false


def test_a_warning_comes_in_the_first_week_in_which_the_odds_have_grown_enough():
    odds = 0.1 / 0.9 / 0.2
    at = odds / (1 + odds)
    first = first_warning([[0.1, at - 1e-9, 0.9], [at + 1e-9, 0.0, 0.0], [0.2, 0.2, 0.2]], 0.1, 0.2)
    np.testing.assert_array_equal(first, [3, 1, np.nan])
    assert np.isnan(first_warning([[1.0]], 1.0, 0.5)).all()  # what is certain from the start is no news
    assert first_warning([[1e-9]], 0.0, 0.5)[0] == 1  # nor could it happen, if its probability was 0


@given(share=st.floats(0.1, 0.9), concentration=st.floats(2, 60), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_a_rhythm_is_found_again(share, concentration, seed):
    rng = np.random.default_rng(seed)
    total = rng.integers(1, 300, 6000)
    sold = rng.binomial(total, rng.beta(concentration * share, concentration * (1 - share), 6000))
    found, agreement = fit_rhythm(sold, total)
    assert found == pytest.approx(share, abs=0.03) and agreement == pytest.approx(concentration, rel=0.3)


def test_a_rhythm_of_sellers_who_all_agree():
    total = np.array([10.0, 20.0, 0.0])
    assert fit_rhythm(total / 2, total) == (0.5, 1e6)
    assert fit_rhythm([1, 0, 1], [1, 1, 1])[1] == 1e6  # single units say nothing of how sellers differ


def test_a_top_up_is_what_the_rest_carries_less_what_is_owed():
    rest = QuantileCurve([0.1, 0.5, 0.9], [[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])
    more = top_up(rest, [12.0, 5.0], unit_revenue=2.0, max_default_probability=0.1)
    np.testing.assert_allclose(more, [8.0, 0.0])
    np.testing.assert_allclose(top_up(rest, 0.0, max_default_probability=0.5), [20.0, 2.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: law_of_the_rest(UNIFORM, -1.0, 0.5, 3.0), "sold must be at least 0, got -1"),
        (lambda: law_of_the_rest(UNIFORM, 1.0, 1.0, 3.0), r"share must lie in \(0, 1\), got 1 to 1"),
        (lambda: law_of_the_rest(UNIFORM, 1.0, 0.5, 0.0), "concentration must be positive"),
        (lambda: law_of_the_rest(UNIFORM, np.nan, 0.5, 1.0), "sold must be"),
        (lambda: law_of_the_rest(QuantileCurve([0.5], [[-1.0]]), 1.0, 0.5, 1.0), "no sales below 0, .* got -1"),
        (lambda: fit_rhythm([2.0], [1.0]), "sold must hold 1 amounts from 0 to total"),
        (lambda: fit_rhythm([1.0, 1.0], [1.0]), "sold must hold 1 amounts from 0 to total, got 2"),
        (lambda: fit_rhythm([0.0], [0.0]), "neither none nor all, got the share 0"),
        (lambda: fit_rhythm([3.0], [3.0]), "neither none nor all, got the share 1"),
        (lambda: first_warning([[1.2]], 0.1, 0.1), r"probabilities must lie in \[0, 1\], got 1.2 to 1.2"),
        (lambda: first_warning([[0.2]], -0.1, 0.1), r"at_origin must lie in \[0, 1\]"),
        (lambda: first_warning([[0.2]], 0.1, 0.0), "false_alarm_rate must"),
        (lambda: first_warning([[0.2], [0.1]], [0.1, 0.1, 0.1], 0.1), "at_origin must be a number or have shape"),
        (lambda: top_up(UNIFORM, -2.0, max_default_probability=0.1), "balance must be at least 0, got -2"),
        (lambda: rearrange_horizons([], [0.5]), "curves must hold at least one"),
        (lambda: rearrange_horizons([UNIFORM, UNIFORM[[0, 0]]], [0.5]), r"got rows \[1, 2\]"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(seed=st.integers(0, 10_000), n_curves=st.integers(1, 5))
@settings(max_examples=40)
def test_laws_of_horizons_are_put_in_order_and_come_no_farther_from_laws_in_order(seed, n_curves):
    rng, levels = np.random.default_rng(seed), np.arange(1, 10) / 10
    true = np.sort(np.sort(rng.gamma(2, size=(n_curves, 3, 9)), axis=2), axis=0)
    fitted = [QuantileCurve(levels, each + rng.normal(scale=0.5, size=each.shape)) for each in true]
    ordered = rearrange_horizons(fitted, levels)
    values = np.array([curve.values for curve in ordered])
    assert (np.diff(values, axis=0) >= 0).all() and (np.diff(values, axis=2) >= 0).all()
    for power in (1, 2):
        before = np.abs(np.array([curve.values for curve in fitted]) - true) ** power
        assert (np.abs(values - true) ** power).sum() <= before.sum() * (1 + 1e-12)
    for curve, again in zip(ordered, rearrange_horizons(ordered, levels)):
        np.testing.assert_array_equal(curve.values, again.values)


def test_the_path_ends_in_the_outcome_of_the_panel_and_only_grows():
    items = Marketplace(150).draw(rng=3)
    panel = seller_panel(items, ["2017-09-01", "2018-03-01", "2018-07-01"], "90D")
    path = sales_path(items, panel, [0, 7, 30, 89.5, 90])
    np.testing.assert_allclose(path[:, -1], panel["outcome"], rtol=1e-12)
    whole = panel["complete"].to_numpy()
    assert (path[whole, 0] == 0).all() and (np.diff(path[whole], axis=1) >= 0).all()
    assert np.isfinite(path[~whole][:, 1]).all() and np.isnan(path[~whole][:, -1]).all()
    shuffled = sales_path(items.sample(frac=1, random_state=0), panel, [7, 30])
    np.testing.assert_allclose(shuffled, path[:, 1:3], rtol=1e-12)


def test_a_path_counts_units_and_returns_and_knows_nothing_of_strangers():
    items = pd.DataFrame(
        {
            "seller": ["a", "a", "a"], "price": [5.0, 5.0, 2.0], "quantity": [3, -4, 1],
            "date": pd.to_datetime(["2024-01-31 23:59", "2024-02-02 00:00", "2024-02-05 00:00"]),
        }
    )  # fmt: skip
    panel = pd.DataFrame({"seller": ["a", "b"], "origin": pd.to_datetime(["2024-01-31"] * 2)})
    np.testing.assert_allclose(sales_path(items, panel, [1, 3, 6]), [[15, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(sales_path(items, panel, [1, 7], until="2024-02-01"), [[15, np.nan], [0, np.nan]])
    with pytest.raises(ValueError, match=r"items has no columns \['when'\]"):
        sales_path(items, panel, [1], date="when")
    with pytest.raises(ValueError, match="days must"):
        sales_path(items, panel, [-1])
