"""QRGMM: what it recovers, and that its laws, draws and means are those of one curve."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import expon
from sklearn.base import clone

from qrgmm.curve import quantile_levels
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.resampling import bootstrap_curves, left_out_levels
from qrgmm.quantile_regression.grid import fit_quantile_grid
from qrgmm.recalibration import level_for_all_rows
from qrgmm.risk import largest_loan

RNG = np.random.default_rng(0)
X = RNG.uniform(1, 2, size=(400, 2))
Y = 5 + X @ [10.0, -3.0] + RNG.exponential(size=400) * X[:, 0]
FRAME = pd.DataFrame({"store": RNG.choice(["a", "b", "c"], 400), "price": X[:, 0], "promoted": RNG.random(400) < 0.3})
SALES = (FRAME["store"].map({"a": 0.0, "b": 30.0, "c": 60.0}) + 2 * FRAME["price"]).to_numpy() + RNG.random(400)


def test_an_exact_linear_law_is_recovered():
    model = QRGMM(levels=10).fit(X, 5 + X @ [10.0, -3.0])
    np.testing.assert_allclose(model.coef_, np.tile([10.0, -3.0], (9, 1)), rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, 5.0, rtol=1e-9)
    np.testing.assert_allclose(model.predict_curve([[1.0, 2.0]]).values, 9.0, rtol=1e-9)


def test_coefficients_of_a_location_scale_law_come_near_their_true_quantile_functions():
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(20_000, 1))
    y = 1 + 2 * x[:, 0] + (0.5 + x[:, 0]) * rng.normal(size=20_000)
    model = QRGMM(levels=[0.1, 0.5, 0.9]).fit(x, y)
    z = stats.norm.ppf(model.levels_)
    # Four standard errors or more at this size.
    np.testing.assert_allclose(model.intercept_, 1 + 0.5 * z, atol=0.12)
    np.testing.assert_allclose(model.coef_[:, 0], 2 + z, atol=0.2)


def test_the_fit_is_that_of_the_grid_with_an_intercept():
    model = QRGMM(levels=7).fit(X, Y)
    fit = fit_quantile_grid(np.column_stack([np.ones(400), X]), Y, quantile_levels(400, 7))
    np.testing.assert_array_equal(np.column_stack([model.intercept_, model.coef_]), fit.coef)
    np.testing.assert_array_equal(model.levels_, fit.levels)
    assert (model.gap_ <= 1e-6).all() and model.encoder_ is None


@pytest.mark.parametrize(
    ("levels", "expected"), [(None, quantile_levels(400)), (4, [0.25, 0.5, 0.75]), ([0.1, 0.6], [0.1, 0.6])]
)
def test_levels_are_the_rule_of_thumb_a_number_of_steps_or_a_grid(levels, expected):
    np.testing.assert_array_equal(QRGMM(levels=levels).fit(X, Y).levels_, expected)


def test_curves_quantiles_and_means_are_those_of_one_linear_law():
    model = QRGMM(levels=[0.2, 0.5, 0.7]).fit(X, Y)
    curve = model.predict_curve(X)
    np.testing.assert_allclose(curve.values, np.sort(model.intercept_ + X @ model.coef_.T, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), curve.mean())
    np.testing.assert_array_equal(model.predict_quantiles(X, [0.1, 0.6]), curve.ppf([0.1, 0.6]))
    np.testing.assert_array_equal(model.sample(X, 5, rng=2), curve.sample(5, rng=2))


def test_each_level_covers_its_share_of_the_fitted_sales():
    model = QRGMM(levels=20).fit(X, Y)
    share = (Y[:, None] <= model.intercept_ + X @ model.coef_.T + 1e-9).mean(axis=0)
    # With an intercept, tau lies between the shares below and at or below the fit, which passes through three rows.
    assert ((share >= model.levels_ - 1e-12) & (share <= model.levels_ + 3 / 400 + 1e-12)).all()


def test_data_frames_with_strings_are_encoded_by_the_model():
    model = QRGMM(levels=10).fit(FRAME, SALES)
    assert isinstance(model.encoder_, FieldEncoder) and model.encoder is None
    median = model.predict_quantiles(pd.DataFrame({"store": ["a", "c"], "price": 1.5, "promoted": False}), 0.5)
    np.testing.assert_allclose(median[:, 0], [3.5, 63.5], atol=0.2)
    reordered = FRAME[["promoted", "price", "store"]]
    np.testing.assert_array_equal(model.predict(reordered), model.predict(FRAME))


def test_scaling_and_coding_do_not_change_the_law():
    by_hand = np.column_stack([FRAME["store"] == "a", FRAME["store"] == "c", FRAME["price"] * 7, FRAME["promoted"]])
    by_hand = by_hand.astype(float)
    model = QRGMM(levels=[0.1234, 0.4567, 0.8765])  # no multiples of 1/400, where many coefficients are optimal
    plain = clone(model).fit(by_hand, SALES).predict_curve(by_hand)
    np.testing.assert_allclose(model.fit(FRAME, SALES).predict_curve(FRAME).values, plain.values, rtol=1e-9)


def test_an_encoder_of_ones_own_is_cloned_and_used():
    encoder = FieldEncoder(categorical=["store"], continuous=["price"], unseen="other")
    model = QRGMM(levels=5, encoder=encoder).fit(FRAME, SALES)
    assert model.encoder_ is not encoder and not hasattr(encoder, "categories_")
    with pytest.warns(UserWarning, match="treated as 'other'"):
        values = model.predict_curve(FRAME.assign(store="new").iloc[:1]).values
    assert (SALES.min() < values).all() and (values < SALES.max()).all()


def test_numeric_data_frames_are_used_as_they_are():
    frame = pd.DataFrame(X, columns=["u", "v"])
    model = QRGMM(levels=5).fit(frame, Y)
    assert model.encoder_ is None and list(model.feature_names_in_) == ["u", "v"]
    np.testing.assert_array_equal(model.coef_, QRGMM(levels=5).fit(X, Y).coef_)


def test_crossing_quantiles_are_sorted_or_refused():
    far = [[40.0, -60.0]]
    model = QRGMM(levels=20).fit(X, Y)
    assert (np.diff(model.predict_curve(far).values) >= 0).all()
    assert (np.diff(model.intercept_ + far @ model.coef_.T) < 0).any()
    with pytest.raises(ValueError, match="values must not decrease along a row, but do in 1 of 1 rows"):
        QRGMM(levels=20, crossing="raise").fit(X, Y).predict_curve(far)


@pytest.mark.parametrize(
    ("options", "X", "y", "message"),
    [
        ({}, X[:2], Y[:2], "X needs at least 3 rows, one per coefficient, got n_samples = 2"),
        ({}, X, Y[:-1], "inconsistent numbers of samples"),
        ({}, np.where(X > 1.9, np.nan, X), Y, "Input X contains NaN"),
        ({}, X, np.where(Y > 20, np.inf, Y), "Input y contains infinity"),
        ({}, X[:0], Y[:0], "0 sample"),
        ({"levels": 1}, X, Y, "m must be a whole number of at least 2, got 1"),
        ({"levels": [0.5, 0.2]}, X, Y, "levels must be strictly increasing"),
        ({"levels": [0.5, 1.0]}, X, Y, r"levels must lie inside \(0, 1\), got 0.5 to 1"),
        ({"crossing": "ignore"}, X, Y, "crossing must be 'sort' or 'raise', got 'ignore'"),
        ({}, FRAME.assign(store=None), SALES, "column 'store' of X has 400 missing values"),
        ({"encoder": FieldEncoder()}, X, Y, "X must be a pandas data frame"),
    ],
)
def test_bad_fits_are_refused(options, X, y, message):
    with pytest.raises(ValueError, match=message):
        QRGMM(**options).fit(X, y)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (FRAME[["store", "price"]], r"X has no columns \['promoted'\]"),
        (FRAME.assign(store="new"), r"column 'store' of X has levels never seen in fit: \['new'\]"),
        (FRAME.to_numpy(), "X must be a pandas data frame with named columns, got ndarray"),
    ],
)
def test_bad_rows_to_predict_are_refused(new, message):
    with pytest.raises(ValueError, match=message):
        QRGMM(levels=3).fit(FRAME, SALES).predict(new)


def test_renamed_columns_are_refused():
    model = QRGMM(levels=3).fit(pd.DataFrame(X, columns=["u", "v"]), Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X, columns=["u", "w"]))


def test_bootstrap_curves_spread_as_fits_to_new_data_do():
    def draw(rng):
        x = rng.uniform(size=(300, 1))
        return x, x[:, 0] + rng.normal(size=300)

    rng = np.random.default_rng(5)
    model = QRGMM(levels=4)
    fresh = [model.fit(*draw(rng)).predict_quantiles([[0.5]], 0.5)[0, 0] for _ in range(200)]
    curves = bootstrap_curves(model, *draw(rng), [[0.5], [0.7]], 200, rng)
    assert len(curves) == 200 and all(len(curve) == 2 for curve in curves)
    resampled = [curve.ppf(0.5)[0, 0] for curve in curves]
    np.testing.assert_allclose(np.std(resampled), np.std(fresh), rtol=0.3)


def test_bootstrap_takes_data_frames_and_repeats_with_its_seed():
    first, again = (bootstrap_curves(QRGMM(levels=4), FRAME, SALES, FRAME[:2], 3, rng=0) for _ in range(2))
    np.testing.assert_array_equal([curve.values for curve in first], [curve.values for curve in again])
    assert not np.array_equal(first[0].values, first[1].values)


def test_exponential_tails_reach_below_the_lowest_quantile():
    rng = np.random.default_rng(2)
    x = rng.uniform(1, 2, size=(400, 1))
    y = x[:, 0] * rng.normal(10, 2, size=400)
    models = [QRGMM(levels=10, tails=tails).fit(x, y) for tails in ("clamp", "exponential")]
    clamped, tailed = (model.predict_curve([[1.5]]) for model in models)
    np.testing.assert_array_equal(tailed.ppf(clamped.levels), clamped.values)
    assert tailed.ppf(0.001) < clamped.ppf(0.001) and tailed.std() > clamped.std()


def test_weights_count_rows_as_repeating_them_does():
    rng = np.random.default_rng(5)
    X, weights = rng.normal(size=(80, 2)), rng.integers(0, 4, 80)
    y = X @ [1.0, 2.0] + rng.gumbel(size=80)
    weighted = QRGMM().fit(X, y, sample_weight=weights)
    repeated = QRGMM().fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_array_equal(weighted.levels_, repeated.levels_)
    np.testing.assert_allclose(weighted.predict_quantiles(X, 0.3), repeated.predict_quantiles(X, 0.3), rtol=1e-6)


def test_bad_weights_are_refused():
    X, y = np.arange(9.0)[:, None], np.arange(9.0)
    for weights, message in ((-np.ones(9), "[Nn]egative"), (np.ones(8), "sample_weight"), (np.zeros(9), "zero")):
        with pytest.raises(ValueError, match=message):
            QRGMM().fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("as_array", [False, True])
def test_a_saved_model_predicts_the_same_to_the_last_bit(tmp_path, as_array):
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"store": rng.choice(["a", "b"], 60), "price": rng.uniform(1, 2, 60)})
    X = frame[["price"]].to_numpy() if as_array else frame
    model = QRGMM(levels=[0.1, 0.5, 0.9], tails="exponential").fit(X, rng.gamma(3.0, size=60))
    model.save(tmp_path / "model.safetensors")
    loaded = QRGMM.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_curve(X).values, model.predict_curve(X).values)
    with pytest.raises(ValueError, match="path must be a saved DeepFMQRGMM, got .*it holds a QRGMM"):
        DeepFMQRGMM.load(tmp_path / "model.safetensors")


def test_the_names_of_rows_survive_from_the_data_frame_to_quantiles():
    frame = pd.DataFrame({"price": [1.0, 2.0, 3.0, 4.0]}, index=["a", "b", "c", "d"])
    curve = QRGMM(levels=4).fit(frame, [1.0, 2.0, 3.0, 5.0]).predict_curve(frame[1:])
    assert curve.to_frame([0.5]).index.tolist() == curve.index.tolist() == ["b", "c", "d"]
    assert curve[[2, 0]].index.tolist() == ["d", "b"]


def test_refits_to_arrays_keep_rows_and_sales_together():
    x = np.random.default_rng(0).uniform(size=(200, 1))
    curves = bootstrap_curves(QRGMM(levels=4), x, 10 * x[:, 0], [[0.0], [1.0]], 3, rng=0)
    for curve in curves:
        np.testing.assert_allclose(curve.values, [[0.0] * 3, [10.0] * 3], atol=1e-9)


RARE = pd.DataFrame(
    {"store": ["a", "b"] * 60 + ["rare", "single"], "size": ["s", "m", "l", "s"] * 30 + ["xl", "s"], "price": 1.0}
)
RARE_SALES = np.r_[np.arange(120.0), 500.0, 900.0]


def test_refits_have_every_level_of_the_history():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encoder in (None, FieldEncoder(unseen="other")):
            curves = bootstrap_curves(QRGMM(levels=4, encoder=encoder), RARE, RARE_SALES, RARE[-2:], 30, rng=0)
            # A level of one row has that row in every refit.
            np.testing.assert_allclose([curve.ppf(0.5)[:, 0] for curve in curves], [[500.0, 900.0]] * 30, rtol=1e-9)


def test_groups_are_drawn_with_all_of_their_rows():
    rng = np.random.default_rng(1)
    sellers = np.repeat(np.arange(40), 10)
    effect = rng.normal(size=40)[sellers]
    x, seen = np.zeros((400, 1)), []

    class Keep(QRGMM):
        def fit(self, X, y, sample_weight=None):
            seen.append(y)
            return super().fit(X, y)

    by_seller = bootstrap_curves(Keep(levels=2), x, effect, x[:1], 40, 2, groups=sellers.astype(str))
    by_row = bootstrap_curves(QRGMM(levels=2), x, effect, x[:1], 40, 2)
    for y in seen:
        assert len(y) == 400 and (np.unique(y, return_counts=True)[1] % 10 == 0).all()
    assert np.std([c.mean() for c in by_seller]) > 1.5 * np.std([c.mean() for c in by_row])
    for groups in (sellers[1:], np.zeros(400), [None, *sellers[1:]]):
        with pytest.raises(ValueError, match=r"groups must have shape \(400,\), with at least two groups"):
            bootstrap_curves(QRGMM(levels=2), x, effect, x[:1], 2, groups=groups)


def test_large_designs_are_sparse_and_give_the_same_law(monkeypatch):
    dense = QRGMM(levels=[0.1234, 0.5678]).fit(FRAME, SALES).predict_curve(FRAME).values
    monkeypatch.setattr("qrgmm.models.encoding.MAX_DENSE", 100)
    sparse = QRGMM(levels=[0.1234, 0.5678]).fit(FRAME, SALES)
    np.testing.assert_allclose(sparse.predict_curve(FRAME).values, dense, rtol=1e-9)


def test_a_column_of_names_is_named_where_it_leaves_too_few_rows():
    frame = FRAME.assign(id=[f"n{i}" for i in range(400)])
    with pytest.raises(ValueError, match="X needs at least .* one per coefficient, .*column 'id' alone has 400 levels"):
        QRGMM().fit(frame, SALES)
    with pytest.raises(ValueError, match=r"X must have a column that varies, got one level .*\['store'\]"):
        QRGMM().fit(pd.DataFrame({"store": ["a"] * 400}), SALES)


@pytest.mark.parametrize("X", [np.arange(9).astype("m8[D]")[:, None], np.arange(9).astype("M8[D]")[:, None]])
def test_arrays_of_durations_and_dates_are_refused(X):
    for call in (
        lambda: QRGMM().fit(X, np.arange(9.0)),
        lambda: QRGMM().fit(np.arange(9.0)[:, None], X[:, 0]),
        lambda: QRGMM(levels=3).fit(np.arange(9.0)[:, None], np.arange(9.0)).predict(X),
    ):
        with pytest.raises(ValueError, match="must be numbers, got"):
            call()


def test_levels_of_sales_left_out_are_those_of_refits_to_the_other_rows():
    rng = np.random.default_rng(6)
    X = rng.uniform(size=(60, 2))
    y = X @ [3.0, 1.0] + rng.normal(size=60)
    model, found = QRGMM(levels=9), left_out_levels(QRGMM(levels=9), X, y, n_folds=60)
    for i in (0, 17, 59):
        others = np.arange(60) != i
        alone = QRGMM(levels=9).fit(X[others], y[others]).predict_curve(X[[i]])
        assert found[i] == alone.cdf(y[i])[0, 0]
    assert not hasattr(model, "coef_")


def test_loans_at_the_level_that_sales_left_out_give_default_as_often_as_promised():
    """Of a fit to few rows more fall below its tenth than a tenth; at the level found they don't."""
    rng, plug_in, cautious = np.random.default_rng(7), [], []
    beta = np.arange(1.0, 7.0)
    for _ in range(60):
        X, new = rng.uniform(size=(80, 6)), rng.uniform(size=(200, 6))
        y = 20 + X @ beta + rng.exponential(2, size=80)
        model = QRGMM(np.arange(1, 20) / 40)
        level = level_for_all_rows(left_out_levels(model, X, y, rng=rng), 0.1)
        law = model.fit(X, y).predict_curve(new)
        for found, at in ((plug_in, 0.1), (cautious, level)):
            loans = largest_loan(law, max_default_probability=at)
            found.append(expon.cdf(loans - 20 - new @ beta, scale=2).mean())
    error = np.std(cautious) / np.sqrt(60)
    assert abs(np.mean(cautious) - 0.1) < 3 * error < 0.02
    assert np.mean(plug_in) > 0.1 + 4 * error


def test_whole_sellers_are_left_out_and_a_text_of_one_seller_is_nobody_else_s():
    frame = pd.DataFrame({"kind": ["a"] * 10 + ["b"] * 9 + ["c"], "size": np.arange(20.0)})
    y, sellers = np.arange(20.0) % 7, np.repeat([f"s{i}" for i in range(5)], 4)
    levels = left_out_levels(QRGMM(levels=3), frame, y, n_folds=5, groups=sellers, rng=0)
    # Only the last seller has a row of kind c: no other can tell of it.
    np.testing.assert_array_equal(np.isnan(levels), sellers == "s4")
    fit = QRGMM(levels=3).fit(frame.iloc[4:], y[4:])
    np.testing.assert_array_equal(levels[:4], fit.predict_curve(frame[:4]).cdf(y[:4, None])[:, 0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_folds": 1}, "n_folds must be"),
        ({"n_folds": 21}, "n_folds must be at most the number of rows, 20, got 21"),
        ({"groups": ["a"] * 10 + ["b"] * 10}, "n_folds must be at most the number of groups, 2, got 10"),
        ({"groups": [None] * 20}, "none missing"),
        ({"y": np.zeros(3)}, r"y must have shape \(20,\)"),
    ],
)
def test_rows_that_cannot_be_left_out_are_refused(change, message):
    arguments = {"X": np.arange(20.0)[:, None], "y": np.arange(20.0)} | change
    with pytest.raises(ValueError, match=message):
        left_out_levels(QRGMM(levels=3), **arguments)
