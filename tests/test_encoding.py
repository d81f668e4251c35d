"""Data frames to arrays: fields of every type, levels never seen, and refusals that name the column."""

import json
import tracemalloc
import warnings
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qrgmm.models.encoding import FieldEncoder, check_unitless, choose_encoder, fit_design, some, to_frame

FRAME = pd.DataFrame(
    {
        "store": ["b", "a", "c", "a"],
        "price": [1.0, 2.0, 3.0, 6.0],
        "promoted": [True, False, False, True],
        "year": [1999, 2001, 2003, 2005],
    }
)


def standardised(column):
    return (column - column.mean()) / column.std(ddof=0)


def test_fields_become_indicators_and_standardised_columns():
    encoder = FieldEncoder().fit(FRAME)
    assert list(encoder.get_feature_names_out()) == ["store=b", "store=c", "promoted=True", "price", "year"]
    expected = np.column_stack(
        [[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1], standardised(FRAME["price"]), standardised(FRAME["year"])]
    )
    np.testing.assert_allclose(encoder.transform(FRAME), expected, rtol=1e-12, atol=1e-15)
    assert list(encoder.feature_names_in_) == ["store", "promoted", "price", "year"] and encoder.n_features_in_ == 4
    assert {name: list(levels) for name, levels in encoder.categories_.items()} == {
        "store": ["a", "b", "c"],
        "promoted": [False, True],
    }


def test_codes_number_the_sorted_levels():
    codes, continuous = FieldEncoder().fit(FRAME).transform_fields(FRAME)
    assert codes.tolist() == [[1, 1], [0, 0], [2, 0], [0, 1]]
    np.testing.assert_allclose(continuous[:, 0], standardised(FRAME["price"]), rtol=1e-12)


def test_the_scale_is_that_of_the_fitted_rows():
    other = FRAME.assign(price=FRAME["price"] + 10)
    moved = FieldEncoder().fit(FRAME).transform(other)[:, 3] - FieldEncoder().fit_transform(FRAME)[:, 3]
    np.testing.assert_allclose(moved, 10 / FRAME["price"].std(ddof=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_strings_may_be_stored_in_any_way(dtype):
    stored = FRAME.astype({"store": dtype})
    np.testing.assert_array_equal(FieldEncoder().fit_transform(stored), FieldEncoder().fit_transform(FRAME))


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "uint8"])
def test_numbers_may_be_stored_in_any_way(dtype):
    stored = FRAME.astype({"price": dtype})
    np.testing.assert_allclose(FieldEncoder().fit_transform(stored), FieldEncoder().fit_transform(FRAME), rtol=1e-6)


def test_columns_may_come_in_any_order_and_with_others():
    encoder = FieldEncoder().fit(FRAME)
    reordered = FRAME[["year", "promoted", "price", "store"]].assign(note="new")
    np.testing.assert_array_equal(encoder.transform(reordered), encoder.transform(FRAME))


def test_explicit_lists_choose_the_columns_and_their_kind():
    encoder = FieldEncoder(categorical=["year"], continuous=["price"]).fit(FRAME)
    assert list(encoder.get_feature_names_out()) == ["year=2001", "year=2003", "year=2005", "price"]
    assert encoder.transform(FRAME[["price", "year"]]).shape == (4, 4)


def test_a_column_listed_as_categorical_is_not_continuous_as_well():
    encoder = FieldEncoder(categorical=["year"]).fit(FRAME)
    assert list(encoder.feature_names_in_) == ["year", "price"]


def test_numeric_frames_have_no_codes():
    encoder = FieldEncoder().fit(FRAME[["price", "year"]])
    assert encoder.transform_fields(FRAME)[0].shape == (4, 0)
    assert encoder.transform(FRAME).shape == (4, 2)


def test_categorical_frames_have_no_continuous_fields():
    encoder = FieldEncoder().fit(FRAME[["store"]])
    codes, continuous = encoder.transform_fields(FRAME)
    assert codes.ravel().tolist() == [1, 0, 2, 0] and continuous.shape == (4, 0)
    assert encoder.transform(FRAME).tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]


def test_constant_columns_become_zero():
    assert FieldEncoder().fit_transform(FRAME[["price"]] * 0 + 7).tolist() == [[0]] * 4


NEW = FRAME.assign(store=["b", "z", "y", "a"])


def test_unseen_levels_are_refused_by_default():
    message = r"column 'store' of X has levels never seen in fit: \['y', 'z'\]; FieldEncoder\(unseen='other'\)"
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(FRAME).transform(NEW)


def test_unseen_levels_of_a_later_field_are_refused_too():
    frame = FRAME.assign(brand=["x", "y", "x", "y"])
    message = r"column 'brand' of X has levels never seen in fit: \['z'\]"
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(frame).transform(frame.assign(brand="z"))
    with pytest.warns(UserWarning, match=message):
        FieldEncoder(unseen="other").fit(frame).transform(frame.assign(brand="z"))


def test_unseen_levels_become_the_average_level_with_a_warning():
    encoder = FieldEncoder(unseen="other").fit(FRAME)
    message = r"column 'store' of X has levels never seen in fit: \['y', 'z'\]; treated as 'other'"
    with pytest.warns(UserWarning, match=message):
        design = encoder.transform(NEW)
    assert design[:, :2].tolist() == [[1, 0], [0.25, 0.25], [0.25, 0.25], [0, 0]]  # the shares of b and c
    np.testing.assert_array_equal(design[:, 2:], encoder.transform(FRAME)[:, 2:])
    with pytest.warns(UserWarning, match=message):
        codes, _ = encoder.transform_fields(NEW)
    assert codes[:, 0].tolist() == [1, 3, 3, 0]


def test_known_levels_cause_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FieldEncoder(unseen="other").fit(FRAME).transform(FRAME.iloc[:2])


def test_the_frame_is_left_as_it_was():
    before = FRAME.copy()
    FieldEncoder().fit_transform(FRAME)
    pd.testing.assert_frame_equal(FRAME, before)


def test_the_encoder_can_be_cloned_and_must_be_fitted():
    encoder = clone(FieldEncoder(categorical=["store"], unseen="other"))
    assert encoder.get_params() == {"categorical": ["store"], "continuous": None, "unseen": "other", "categories": None}
    for method in (encoder.transform, encoder.transform_fields, lambda X: encoder.get_feature_names_out()):
        with pytest.raises(NotFittedError):
            method(FRAME)


BAD_FRAMES = [
    (FRAME.to_numpy(), "X must be a pandas data frame with named columns, got ndarray"),
    (FRAME["price"], "X must be a pandas data frame with named columns, got Series"),
    (FRAME.assign(store=["b", None, "c", "a"]), "column 'store' of X has 1 missing values; fill or drop them"),
    (FRAME.assign(price=[1, np.nan, np.nan, 2]), "column 'price' of X has 2 missing values; fill or drop them"),
    (FRAME.assign(price=[1, np.inf, 3, 2]), r"columns \['price'\] of X must be finite, got infinity"),
]


@pytest.mark.parametrize(("X", "message"), BAD_FRAMES)
def test_bad_frames_are_refused_by_fit_and_transform(X, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(X)
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(FRAME).transform(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (FRAME[["price", "promoted"]], r"X has no columns \['store', 'year'\]; it has \['price', 'promoted'\]"),
        (FRAME.assign(price=["dear", "cheap", "1", "2"]), r"columns \['price'\] of X must be numeric"),
        (FRAME.iloc[:0], "X must have at least one row"),
    ],
)
def test_bad_frames_are_refused_by_transform(X, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(FRAME).transform(X)


@pytest.mark.parametrize(
    ("options", "X", "message"),
    [
        ({"unseen": "ignore"}, FRAME, "unseen must be 'raise' or 'other', got 'ignore'"),
        ({}, FRAME.iloc[:0], r"X must have at least one row and one column, got shape \(0, 4\)"),
        ({}, FRAME[[]], r"X must have at least one row and one column, got shape \(4, 0\)"),
        ({"categorical": ["shop"]}, FRAME, r"X has no columns \['shop'\]"),
        ({"continuous": ["store"]}, FRAME, r"columns \['store'\] of X must be numeric"),
        ({"categorical": ["year"], "continuous": ["year"]}, FRAME, "year"),
        ({}, FRAME.assign(store=["b", 1, "c", "a"]), "column 'store' of X"),
        ({}, pd.concat([FRAME, FRAME[["store"]]], axis=1), "store"),
    ],
)
def test_bad_fits_are_refused(options, X, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder(**options).fit(X)


@pytest.mark.parametrize("columns", [["store", "promoted", "price", "year"], ["store"], ["price", "year"]])
def test_an_encoder_from_its_own_description_is_the_same_encoder(columns):
    encoder = FieldEncoder(unseen="other").fit(FRAME[columns])
    state = json.loads(json.dumps(encoder.to_dict()))
    again = FieldEncoder.from_dict(state)
    np.testing.assert_array_equal(again.transform(FRAME), encoder.transform(FRAME))
    for ours, theirs in zip(again.transform_fields(FRAME), encoder.transform_fields(FRAME)):
        np.testing.assert_array_equal(ours, theirs)
    assert list(again.get_feature_names_out()) == list(encoder.get_feature_names_out())
    assert again.to_dict() == state and again.n_features_in_ == len(columns)
    assert clone(again).fit(FRAME).to_dict() == state


def test_an_encoder_from_its_description_treats_unseen_levels_alike():
    state = FieldEncoder(unseen="other").fit(FRAME).to_dict()
    with pytest.warns(UserWarning, match="treated as 'other'"):
        assert FieldEncoder.from_dict(state).transform(NEW)[1, :2].tolist() == [0.25, 0.25]
    with pytest.raises(ValueError, match=r"column 'store' of X has levels never seen in fit: \['y', 'z'\]"):
        FieldEncoder.from_dict(state | {"unseen": "raise"}).transform(NEW)


def test_a_description_keeps_levels_known_ahead_for_the_next_fit_and_an_old_one_may_lack_them():
    encoder = FieldEncoder(categories={"store": ["a", "b", "c", "y"]}).fit(FRAME)
    again = FieldEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert set(again.categories["store"]) == {"a", "b", "c", "y"}
    with pytest.raises(ValueError, match=r"levels that categories does not name: \['z'\]"):
        clone(again).fit(FRAME.assign(store="z"))
    state = FieldEncoder().fit(FRAME).to_dict()
    old = {name: part for name, part in state.items() if name not in ("ahead", "durations")}
    assert FieldEncoder.from_dict(old).to_dict() == state


@pytest.mark.parametrize("levels", [[3, 1, 2], [0.1, 1e300, -2.5], [True, False, True], ["ä", "", " "]])
@pytest.mark.parametrize("dtype", [None, object])
def test_levels_of_any_plain_kind_can_be_described(levels, dtype):
    frame = pd.DataFrame({"kind": pd.Series(list(np.array(levels)), dtype=dtype)})
    encoder = FieldEncoder(categorical=["kind"]).fit(frame)
    again = FieldEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    np.testing.assert_array_equal(again.transform(frame), encoder.transform(frame))


def test_other_levels_cannot_be_described():
    frame = FRAME.assign(day=pd.to_datetime("2020-01-01"))
    message = "levels of column 'day' must be strings or numbers to be written, got Timestamp"
    with pytest.raises(ValueError, match=message):
        FieldEncoder(categorical=["store", "promoted", "day"]).fit(frame).to_dict()
    with pytest.raises(NotFittedError):
        FieldEncoder().to_dict()


AGES = pd.Series(pd.to_timedelta([1, 36, 12, 240], "h"))
DAYS = np.array([1 / 24, 1.5, 0.5, 10])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "objects", "datetime", "arrow"])
@pytest.mark.parametrize("listed", [True, False])
def test_durations_count_in_days_in_whatever_unit_they_are_stored(unit, listed):
    if unit == "arrow":
        pa = pytest.importorskip("pyarrow")
        stored = AGES.astype(pd.ArrowDtype(pa.duration("ms")))
    elif unit in ("objects", "datetime"):
        stored = pd.Series(
            [age if unit == "objects" else timedelta(days=age / pd.Timedelta("1D")) for age in AGES], dtype=object
        )
    else:
        stored = AGES.astype(f"timedelta64[{unit}]")
    encoder = FieldEncoder(continuous=["age"] if listed else None).fit(pd.DataFrame({"age": AGES}))
    design = encoder.transform(pd.DataFrame({"age": stored}))
    np.testing.assert_array_equal(design, encoder.transform(pd.DataFrame({"age": AGES})))
    np.testing.assert_allclose(design[:, 0], (DAYS - DAYS.mean()) / DAYS.std(), rtol=1e-12)
    state = json.loads(json.dumps(encoder.to_dict()))
    for known in (encoder, FieldEncoder.from_dict(state)):
        with pytest.raises(ValueError, match="column 'age' of X must hold durations as in fit, got numbers"):
            known.transform(pd.DataFrame({"age": DAYS}))


def test_durations_count_to_the_nanosecond():
    encoder = FieldEncoder().fit(pd.DataFrame({"age": pd.to_timedelta([0, 2], "D")}))  # mean and spread: one day
    design = encoder.transform(pd.DataFrame({"age": pd.to_timedelta([7_234_567_891], "ns")}))
    np.testing.assert_allclose(design, [[7.234567891 / 86_400 - 1]], rtol=0, atol=1e-15)


MOMENTS = pd.to_datetime(["2020-01-01", "2021-06-01", "2020-01-01", "2022-01-01"])


@pytest.mark.parametrize(
    "day", [MOMENTS, MOMENTS.tz_localize("UTC"), MOMENTS.to_period("M"), [date(2020, 1, i) for i in (1, 2, 3, 4)]]
)
def test_dates_are_refused_unless_they_are_named_as_levels(day):
    frame = FRAME.assign(day=day)
    for options in ({}, {"continuous": ["day"]}):
        with pytest.raises(ValueError, match=r"columns \['day'\] of X hold dates, .* FieldEncoder\(categorical"):
            FieldEncoder(**options).fit(frame)
    assert len(FieldEncoder(categorical=["day"]).fit(frame).categories_["day"]) == len(set(day))


@pytest.mark.parametrize(
    "kind", ["Decimal", "object", "Int64", "Float64", "mixed", "int64[pyarrow]", "decimal[pyarrow]"]
)
def test_numbers_of_other_types_are_numbers(kind):
    price = FRAME["price"]
    if "pyarrow" in kind:
        pa = pytest.importorskip("pyarrow")
        price = price.astype("int64").astype(pd.ArrowDtype(pa.int64() if "int" in kind else pa.decimal128(30, 2)))
    elif kind == "Decimal":
        price = pd.Series([Decimal(str(each)) for each in price], dtype=object)
    else:
        price = pd.Series([1, 2.0, 3, 6.0], dtype=object) if kind == "mixed" else price.astype(kind)
    encoder = FieldEncoder().fit(FRAME.assign(price=price))
    assert encoder.continuous_ == ["price", "year"]
    np.testing.assert_array_equal(encoder.transform(FRAME.assign(price=price)), FieldEncoder().fit_transform(FRAME))


MIXED = [[1, 2.0, Decimal("3"), 6], [1, Decimal("2"), 3, Decimal("6")], [1.0, Decimal("2"), 3.0, Decimal("6")]]


@pytest.mark.parametrize("price", MIXED)
def test_numbers_of_several_types_are_numbers(price):
    mixed = FRAME.assign(price=pd.Series(price, dtype=object))
    assert FieldEncoder().fit(mixed).continuous_ == ["price", "year"]
    np.testing.assert_array_equal(FieldEncoder().fit_transform(mixed), FieldEncoder().fit_transform(FRAME))


@pytest.mark.parametrize("price", [[True, 2.5, 3.5, 6.0], [True, 2, 3, 6], [np.True_, 2.5, Decimal(3), 6.0]])
def test_booleans_among_numbers_are_refused_and_alone_count_as_0_and_1(price):
    with pytest.raises(ValueError, match=r"columns \['price'\] of X must be numeric: its values are \["):
        FieldEncoder(continuous=["price"]).fit(FRAME.assign(price=pd.Series(price, dtype=object)))
    for promoted in (FRAME["promoted"], FRAME["promoted"].astype(object)):
        design = FieldEncoder(continuous=["promoted"]).fit_transform(pd.DataFrame({"promoted": promoted}))
        assert design.ravel().tolist() == [1, -1, -1, 1]


def test_booleans_and_strings_of_other_types_are_levels():
    frame = FRAME.astype({"promoted": "boolean", "store": "string", "price": "category"})
    assert FieldEncoder().fit(frame).categorical_ == ["store", "price", "promoted"]


def test_pairs_are_levels():
    frame = pd.DataFrame({"place": [("north", 1), ("south", 1), ("north", 2)]})
    encoder = FieldEncoder().fit(frame)
    assert list(encoder.categories_["place"]) == [("north", 1), ("north", 2), ("south", 1)]
    assert encoder.transform(frame).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="must be real, got complex numbers"):
        FieldEncoder().fit(FRAME.assign(price=FRAME["price"] * 1j))


@pytest.mark.parametrize("listed", [tuple, np.array, pd.Index, list])
def test_names_may_come_in_any_list_and_are_kept_as_ones_own(listed):
    names = listed(["price", "year"])
    encoder = FieldEncoder(continuous=names, categorical=listed(["store"])).fit(FRAME)
    assert list(encoder.get_feature_names_out()) == ["store=b", "store=c", "price", "year"]
    if listed is list:
        names.append("other")
    assert encoder.transform(FRAME).shape == (4, 4)


@pytest.mark.parametrize("name", ["categorical", "continuous"])
def test_a_bare_string_is_no_list_of_names(name):
    with pytest.raises(ValueError, match=f"{name} must be a list of column names, got the string 'store'"):
        FieldEncoder(**{name: "store"}).fit(FRAME)


def test_one_row_of_a_field_of_many_levels_takes_little_memory():
    frame = pd.DataFrame({"store": np.arange(20_000).astype(str)})
    encoder = FieldEncoder().fit(frame)
    tracemalloc.start()
    row = encoder.transform(frame[5:6])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row.sum() == 1 and peak < 50 * row.nbytes  # a square table would be 20,000 times as large


def test_sparse_designs_and_products_are_those_of_the_dense_one(monkeypatch):
    encoder = FieldEncoder(unseen="other").fit(FRAME)
    coef = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.warns(UserWarning, match="other"):
        dense = encoder.transform(NEW)
    with pytest.warns(UserWarning, match="other"):
        np.testing.assert_array_equal(encoder.transform_sparse(NEW).toarray(), dense)
    np.testing.assert_allclose(encoder.multiply(FRAME, coef), encoder.transform(FRAME) @ coef, rtol=1e-12)
    monkeypatch.setattr("qrgmm.models.encoding.MAX_DENSE", 0)
    with pytest.warns(UserWarning, match="other"):
        np.testing.assert_allclose(encoder.multiply(NEW, coef), dense @ coef, rtol=1e-12)


def test_levels_known_ahead_may_be_missing_from_the_fitted_rows():
    encoder = FieldEncoder(categories={"store": ["a", "b", "c", "y", "z"]}).fit(FRAME)
    for known in (encoder, FieldEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))):
        assert known.transform(NEW)[:, :2].tolist() == [[1, 0], [0.25, 0.25], [0.25, 0.25], [0, 0]]
        with pytest.raises(ValueError, match="never seen"):
            known.transform(FRAME.assign(store="x"))
    with pytest.raises(ValueError, match=r"levels that categories does not name: \['c'\]"):
        FieldEncoder(categories={"store": ["a", "b"]}).fit(FRAME)
    with pytest.raises(ValueError, match=r"categories must name categorical columns, got \['price'\]"):
        FieldEncoder(continuous=["price"], categories={"price": [1]}).fit(FRAME)


def test_a_column_whose_levels_are_known_ahead_is_categorical_whatever_it_holds():
    encoder = FieldEncoder(categories={"year": [1999, 2001, 2003, 2005, 2007]}).fit(FRAME)
    assert encoder.categorical_ == ["store", "promoted", "year"] and encoder.continuous_ == ["price"]
    frame = FRAME.assign(day=MOMENTS)
    encoder = FieldEncoder(categories={"day": list(frame["day"])}).fit(frame)
    assert encoder.categorical_ == ["store", "promoted", "day"]


def test_columns_named_twice_or_in_layers_are_refused():
    twice = pd.concat([FRAME, FRAME[["store"]]], axis=1)
    layers = FRAME.set_axis(pd.MultiIndex.from_product([["x"], FRAME.columns]), axis=1)
    for X, message in (
        (twice, "named once, got .'store'. more than once"),
        (layers, "column names of one level, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            FieldEncoder().fit(X)
        with pytest.raises(ValueError, match=message):
            FieldEncoder().fit(FRAME).transform(X)


def test_long_lists_are_cut_in_messages():
    with pytest.raises(ValueError, match=r"\['n0', 'n1', 'n10', 'n11', 'n12'\] and 25 more"):
        FieldEncoder().fit(FRAME).transform(
            pd.DataFrame({"store": [f"n{i}" for i in range(30)], "promoted": True, "price": 1, "year": 2})
        )


# What models do with it.


def test_numbers_need_no_encoder_and_one_that_is_given_is_copied():
    for numbers in (FRAME[["price", "year"]], FRAME[["price"]].to_numpy(), [[1.0]]):
        assert choose_encoder(None, numbers) is None
    for X in (FRAME, FRAME[["price", "promoted"]], pd.DataFrame({"age": AGES})):
        assert isinstance(choose_encoder(None, X), FieldEncoder)
    with pytest.raises(ValueError, match="^X must be numbers, got durations"):
        choose_encoder(None, AGES.to_numpy()[:, None])
    given = FieldEncoder(unseen="other")
    chosen = choose_encoder(given, FRAME[["price"]])
    assert chosen is not given and chosen.get_params() == given.get_params()


def test_a_design_is_that_of_the_encoder_and_sparse_only_if_large_and_asked_for(monkeypatch):
    given = FieldEncoder(categorical=["year"], continuous=["price"], unseen="other")
    encoder, design = fit_design(given, FRAME, may_be_sparse=True)
    np.testing.assert_array_equal(design, clone(given).fit_transform(FRAME))
    assert list(encoder.get_feature_names_out())[-1] == "price" and not hasattr(given, "categories_")
    monkeypatch.setattr("qrgmm.models.encoding.MAX_DENSE", design.size - 1)
    sparse = fit_design(given, FRAME, may_be_sparse=True)[1]
    assert sparse.format == "csr" and isinstance(fit_design(given, FRAME)[1], np.ndarray)
    np.testing.assert_array_equal(sparse.toarray(), design)
    monkeypatch.setattr("qrgmm.models.encoding.MAX_DENSE", design.size)
    assert isinstance(fit_design(given, FRAME, may_be_sparse=True)[1], np.ndarray)
    plain = FRAME[["price"]]
    assert fit_design(None, plain) == (None, plain)
    with pytest.raises(ValueError, match=r"X must have a column that varies, .* columns \['store'\]"):
        fit_design(None, FRAME[["store"]].iloc[:1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (AGES, "^y must be numbers, got durations: divide by a unit"),
        (AGES.to_numpy(), "^y must be numbers, got durations"),
        (list(AGES), "^y must be numbers, got durations"),
        (pd.DataFrame({"price": [1.0], "age": AGES[:1]}), "^column 'age' of y must be numbers, got durations"),
        (pd.Series(MOMENTS), "^y must be numbers, got dates: make numbers of them"),
        (pd.Series(MOMENTS.to_period("M")), "^y must be numbers, got dates"),
        ([date(2020, 1, 1)], "^y must be numbers, got dates"),
    ],
    ids=["series", "array", "list", "frame", "moments", "months", "days"],
)
def test_durations_and_dates_are_no_numbers_where_no_unit_is_known(values, message):
    with pytest.raises(ValueError, match=message):
        check_unitless("y", values)


@pytest.mark.parametrize("values", [FRAME[["price"]], FRAME["price"], [[1, 2]], sp.csr_array(np.eye(2))])
def test_numbers_come_back_as_they_were(values):
    assert check_unitless("X", values) is values


def test_arrays_become_frames_with_numbered_columns():
    frame = to_frame(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert frame.to_dict("list") == {"x0": [1, 3], "x1": [2, 4]} and to_frame(FRAME) is FRAME


def test_five_names_are_told_in_full_and_of_six_one_is_left_out():
    assert some(range(5)) == "[0, 1, 2, 3, 4]" and some(range(6)) == "[0, 1, 2, 3, 4] and 1 more"
