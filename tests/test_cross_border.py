"""The stand-in for cross-border sales: its dimensions, its true law, how its covariates hang together, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qrgmm import simulators
from qrgmm.checks import check_points
from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder
from qrgmm.simulators.cross_border import FIELDS, LISTING, N_LEVELS, STALLED_SHARE, CrossBorderSales

SIMULATOR = CrossBorderSales()
X = SIMULATOR.draw_covariates(rng=1)
MANY = SIMULATOR.draw_covariates(40_000, rng=2)
SALES = SIMULATOR.draw(MANY, rng=3)
LEVELS = np.array([1e-12, 1e-3, 0.05, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9])


def test_it_has_the_published_dimensions():
    assert X.shape == (3495, 11) and list(X.columns) == [*FIELDS, *LISTING]
    assert X[[*FIELDS]].nunique().to_dict() == N_LEVELS
    assert N_LEVELS == {"category": 99, "store": 131, "selection_team": 23, "sales_team": 23} and len(LISTING) == 7
    assert simulators.CrossBorderSales is CrossBorderSales


def test_the_same_seed_gives_the_same_records_and_parameters_are_fixed():
    other = CrossBorderSales()
    pd.testing.assert_frame_equal(other.draw_covariates(50, np.random.default_rng(4)), SIMULATOR.draw_covariates(50, 4))
    assert not other.draw_covariates(50, 5).equals(SIMULATOR.draw_covariates(50, 4))
    np.testing.assert_array_equal(other.draw(X, np.random.default_rng(6)), SIMULATOR.draw(X, 6))
    assert (other.draw(X, 7) != SIMULATOR.draw(X, 6)).all()


def test_fields_are_unevenly_frequent_and_stores_belong_to_one_or_two_selection_teams():
    for name, n in N_LEVELS.items():
        shares = MANY[name].value_counts(normalize=True)
        assert len(shares) == n and shares.iloc[0] > 5 * shares.iloc[-1]
    teams = MANY.groupby("store")["selection_team"].value_counts(normalize=True)
    assert (teams.groupby("store").size() <= 2).all() and (teams.groupby("store").max() > 0.6).all()
    assert 200 < X.groupby(["selection_team", "sales_team"]).ngroups < 23**2


def test_continuous_covariates_have_plausible_units():
    counts = MANY[["impressions", "clicks", "n_reviews"]]
    assert (counts.dtypes == "int64").all() and (counts >= 0).all(axis=None)
    money = MANY[["advertising_spend", "sale_price", "product_cost"]]
    np.testing.assert_allclose(money, money.round(2), rtol=1e-12)
    assert (money > 0).all(axis=None) and (MANY["sale_price"] > MANY["product_cost"]).all()
    assert MANY["average_rating"].between(1, 5).all() and (MANY["clicks"] <= MANY["impressions"]).all()
    for name, (typical, _, _) in LISTING.items():
        assert 2 / 3 < MANY[name].median() / typical < 3 / 2, name
    assert stats.skew(np.log(MANY["n_reviews"])) < 1 < 4 < stats.skew(MANY["n_reviews"])
    assert 0.3 < MANY["advertising_spend"].sum() / MANY["clicks"].sum() < 3  # dollars a click


def test_spend_drives_impressions_impressions_drive_clicks_and_past_sales_reviews():
    rank = MANY[[*LISTING]].assign(sales=SALES).corr("spearman")
    assert rank.loc["advertising_spend", "impressions"] > 0.8 and rank.loc["impressions", "clicks"] > 0.8
    # A chain: spend adds nothing on clicks to what impressions say.
    logs = np.log1p(MANY[["advertising_spend", "impressions", "clicks"]]).to_numpy()
    design = np.column_stack([np.ones(len(logs)), logs[:, :2]])
    assert abs(np.linalg.lstsq(design, logs[:, 2])[0][1]) < 0.02
    assert rank.loc["sale_price", "product_cost"] > 0.8 and rank.loc["n_reviews", "advertising_spend"] > 0.2
    assert (rank.loc[["clicks", "n_reviews", "average_rating"], "sales"] > 0.1).all()
    assert rank.loc["sale_price", "sales"] < -0.1


def test_sales_are_skewed_with_a_lump_near_zero():
    assert (SALES >= 0).all()
    assert 1 < SALES.std() / SALES.mean() < 1.5
    assert 2 < np.median([stats.skew(part) for part in np.split(SALES, 10)]) < 4
    slowest, slow, hump = (((low <= SALES) & (low + 5 > SALES)).mean() for low in (0, 10, 45))
    assert slowest > 2 * slow and hump > slow


def test_the_law_is_the_stated_mixture_and_the_quantiles_invert_it():
    quantiles = SIMULATOR.ppf(X, LEVELS)
    assert quantiles.shape == (len(X), len(LEVELS)) and (np.diff(quantiles, axis=1) > 0).all()
    np.testing.assert_allclose(SIMULATOR.cdf(X, quantiles), np.tile(LEVELS, (len(X), 1)), rtol=1e-10)
    level, stall, shape = SIMULATOR.law_parameters(X[:20])
    for y in (0.1, 10.0, 200.0):
        live, stalled = stats.gamma(shape, scale=level / shape), stats.expon(scale=STALLED_SHARE * level)
        reference = (1 - stall) * live.cdf(y) + stall * stalled.cdf(y)
        np.testing.assert_allclose(SIMULATOR.cdf(X[:20], y), reference, rtol=1e-12)


def test_the_ends_of_the_law():
    np.testing.assert_array_equal(SIMULATOR.ppf(X[:2], [0.0, 1.0]), [[0, np.inf]] * 2)
    np.testing.assert_array_equal(SIMULATOR.cdf(X[:2], [-np.inf, -1.0, 0.0, np.inf]), [[0, 0, 0, 1]] * 2)
    per_row = np.array([[0.2], [1.0]])
    np.testing.assert_array_equal(SIMULATOR.ppf(X[:2], per_row)[:, 0], [SIMULATOR.ppf(X[:1], 0.2)[0, 0], np.inf])


def test_draws_follow_the_law():
    assert stats.kstest(SIMULATOR.cdf(MANY, SALES[:, None])[:, 0], "uniform").pvalue > 0.01
    point = X.iloc[[7] * 5000]
    assert stats.kstest(SIMULATOR.draw(point, rng=8), lambda y: SIMULATOR.cdf(X.iloc[[7]], y)[0]).pvalue > 0.01


def test_mean_and_standard_deviation_are_those_of_the_law():
    rows = X[:5]
    mean, std = SIMULATOR.mean(rows), SIMULATOR.std(rows)
    y = 40 * mean[:, None] * np.linspace(0, 1, 20_001) ** 3  # dense near zero
    survival = 1 - SIMULATOR.cdf(rows, y)
    first, second = np.trapezoid(survival, y, axis=1), np.trapezoid(2 * y * survival, y, axis=1)
    np.testing.assert_allclose([first, np.sqrt(second - first**2)], [mean, std], rtol=1e-5)


def crps(simulator, rows, sales):
    return QuantileCurve.from_draws(simulator.ppf(rows, (np.arange(50) + 0.5) / 50)).crps(sales).mean()


def test_covariates_tell_much_and_pairs_of_teams_an_important_part():
    rows, sales = MANY[:1500], SALES[:1500]
    truth = crps(SIMULATOR, rows, sales)
    marginal = QuantileCurve.from_draws(np.tile(np.quantile(SALES, (np.arange(50) + 0.5) / 50), (1500, 1)))
    assert 0.25 < 1 - truth / marginal.crps(sales).mean() < 0.45
    without_pairs, low_rank = CrossBorderSales(), CrossBorderSales()
    without_pairs.pair_effects = np.zeros((23, 23))
    left, values, right = np.linalg.svd(SIMULATOR.pair_effects)
    low_rank.pair_effects = left[:, :3] * values[:3] @ right[:3]
    assert 0.6 < (values[:3] ** 2).sum() / (values**2).sum() < 0.75
    assert 1.1 * truth < crps(without_pairs, rows, sales) and 1.02 * truth < crps(low_rank, rows, sales) < 1.1 * truth


def test_pairs_add_to_what_teams_add_alone():
    effects = SIMULATOR.pair_effects
    np.testing.assert_allclose([effects.mean(axis=0), effects.mean(axis=1)], 0, atol=1e-12)
    pairs = pd.DataFrame({name: np.repeat(X[name][:1], 4) for name in X}).reset_index(drop=True)
    pairs["selection_team"] = FIELDS["selection_team"][[0, 0, 5, 5]]
    pairs["sales_team"] = FIELDS["sales_team"][[3, 9, 3, 9]]
    logs = np.log(SIMULATOR.mean(pairs)).reshape(2, 2)
    interaction = effects[np.ix_([0, 5], [3, 9])]
    assert logs[0, 0] - logs[0, 1] - logs[1, 0] + logs[1, 1] == pytest.approx(
        interaction[0, 0] - interaction[0, 1] - interaction[1, 0] + interaction[1, 1]
    )


def test_index_order_of_columns_and_more_columns_change_nothing():
    other = X[:9].set_axis(list("abcdefghi"), axis=0)[X.columns[::-1]].astype({"store": "category"}).assign(note=1)
    np.testing.assert_array_equal(SIMULATOR.draw(other, rng=9), SIMULATOR.draw(X[:9], rng=9))
    assert set(FieldEncoder().fit(X).categories_) == set(FIELDS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X.assign(store="store_000"), "column 'store' of X must be from store_001 to store_131, got"),
        (X[:2].assign(sales_team=["a", "sales_team_001"]), r"column 'sales_team' of X must be .* got \['a'\]"),
        (X.drop(columns=["clicks", "store"]), r"lacking \['store', 'clicks'\]"),
        (X.to_numpy(), "X must be a data frame with rows and the columns"),
        (X[:0], "X must be a data frame with rows"),
        (X.assign(clicks=-1), "column 'clicks' of X must be finite, from 0 to inf, got -1"),
        (X.assign(sale_price=0.0), "column 'sale_price' of X must be finite, from 0.01 to inf, got 0.0"),
        (X.assign(average_rating=5.1), "column 'average_rating' of X must be finite, from 1 to 5, got 5.1"),
        (X.assign(n_reviews=np.nan), "column 'n_reviews' of X must be finite, from 0 to inf, got nan"),
        (X.assign(impressions=np.inf), "column 'impressions' of X must be finite"),
        (X.assign(product_cost="cheap"), "column 'product_cost' of X must be finite, .* got 'cheap'"),
    ],
)
def test_bad_listings_are_refused(rows, message):
    quantile, probability = (lambda X: SIMULATOR.ppf(X, 0.5)), (lambda X: SIMULATOR.cdf(X, 1.0))
    for call in (SIMULATOR.draw, SIMULATOR.mean, SIMULATOR.std, quantile, probability):
        with pytest.raises(ValueError, match=message):
            call(rows)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (-0.1, r"lie in \[0, 1\], got -0.1"),
        (1.1, r"lie in \[0, 1\], got 1.1"),
        (np.nan, "be finite, got NaN"),
        ([], "be a number, .* got shape"),
        ([[0.5]] * 3, r"be a number, .* got shape \(3, 1\)"),
        ([[[0.5]]], r"be a number, .* got shape \(1, 1, 1\)"),
    ],
)
def test_bad_levels_are_refused(levels, message):
    with pytest.raises(ValueError, match=f"levels must {message}"):
        SIMULATOR.ppf(X[:2], levels)


def test_bad_points_are_refused():
    for y in (np.nan, [], [[1.0]] * 3):
        with pytest.raises(ValueError, match="y must be"):
            SIMULATOR.cdf(X[:2], y)
    np.testing.assert_array_equal(check_points("y", [[-1.0, np.inf]] * 2, 2, finite=False), [[-1.0, np.inf]] * 2)
