"""Studies of late payment: comparable rows, splits that do what they say, and a leak that shows."""

import numpy as np
import pytest

from qrgmm.datasets.payment_practices import LATE
from qrgmm.studies import payments as payment_studies
from qrgmm.studies.payments import STUDIES, load_reports
from qrgmm.systems.delayed_payment import COMPANY, PREDICTORS, make_forecast_rows


def table(study, seed=0):
    rows = STUDIES[study].replicate(np.random.default_rng(seed), **STUDIES[study].sizes["tiny"])
    return {(model, test, metric, None if np.isnan(x) else x): value for model, test, metric, x, value in rows}


def test_every_study_has_the_same_settings_at_every_size():
    for study in STUDIES.values():
        assert set(study.sizes) == {"tiny", "paper", "full"}
        assert len({tuple(sorted(setting)) for setting in study.sizes.values()}) == 1


@pytest.mark.parametrize("study", ["payment_models_window", "payment_missing", "payment_forecast"])
def test_replications_have_the_same_rows_and_other_values(study):
    first, second = table(study, 0), table(study, 1)
    assert first.keys() == second.keys() and len(first) > 10
    assert np.isfinite(list(first.values())).all() and list(first.values()) != list(second.values())


def test_oversampling_before_the_split_is_seen_as_the_leak_it_is():
    scores = table("payment_sampling")
    honest, leaky = (scores["xgboost", test, "auc", None] for test in ("over, by company", "over before the split"))
    assert leaky > honest + 0.15 and leaky > 0.9


def test_a_split_in_time_resamples_the_companies_of_later_periods():
    reports = load_reports(500)
    train, first, _ = payment_studies._split(reports, "time", np.random.default_rng(0))
    again, second, _ = payment_studies._split(reports, "time", np.random.default_rng(1))
    np.testing.assert_array_equal(train, again)
    assert sorted(first) != sorted(second)
    for test in (first, second):
        assert reports["End date"].iloc[test].min() > reports["End date"].iloc[train].max()
        later = reports["End date"] > reports["End date"].iloc[train].max()
        counts = reports.iloc[test].groupby(COMPANY).size() / reports[later].groupby(COMPANY).size()
        assert (counts.dropna() % 1 == 0).all(), "a company comes with all of its later reports"


def test_the_larger_the_share_the_lower_the_threshold():
    scores = table("payment_shares")
    assert scores["xgboost", "random", "threshold", 0.5] < scores["xgboost", "random", "threshold", 0.2]


def test_blanks_filled_with_their_meaning_change_the_longest_period_only():
    raw, meant = load_reports(300, fill_structural=False), load_reports(300)
    assert raw["Longest standard payment period"].isna().any() and not meant[PREDICTORS].isna().any(axis=None)
    assert raw[LATE].equals(meant[LATE]) and raw[COMPANY].equals(meant[COMPANY])


def test_forecasts_have_rows_to_learn_from():
    assert len(make_forecast_rows(load_reports(300))) > 100
