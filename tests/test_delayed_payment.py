"""Pipelines of late payment: what they learn comes from training rows, shown by planting a leak in each step."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, TargetEncoder
from xgboost import XGBClassifier

from qrgmm.datasets.payment_practices import AVERAGE, LATE, LONGEST, clean_payment_practices, simulate_payment_practices
from qrgmm.systems.delayed_payment import (
    COMPANY,
    DROPPED,
    FEATURES,
    FORECAST_FEATURES,
    MODELS,
    PREDICTORS,
    SAMPLERS,
    XGBOOST,
    HighRiskModel,
    LeavesThenLogistic,
    build_pipeline,
    choose_cut,
    dependence_on_test_rows,
    late_threshold,
    make_forecast_rows,
    score_probabilities,
    search_grid,
    shared_companies,
    split_reports,
)

FEW_TREES = XGBClassifier(**XGBOOST | {"n_estimators": 30}, n_jobs=1)


@pytest.fixture(scope="module")
def reports():
    """Simulated reports with blanks, so that filling them has something to learn."""
    return clean_payment_practices(simulate_payment_practices(400, rng=0), fill_structural=False)


@pytest.fixture(scope="module")
def split(reports):
    return split_reports(reports, "random", rng=0)


def test_the_features_are_the_papers():
    assert len(PREDICTORS) == 14 and len(DROPPED) == 4 and len(FEATURES) == 10
    assert LATE not in PREDICTORS and not any("number" in name for name in PREDICTORS)
    appendix = {"n_estimators": 900, "learning_rate": 0.01, "max_depth": 10, "min_child_weight": 1, "subsample": 0.85}
    assert appendix.items() <= MODELS["xgboost"].get_params().items()


# What a fit learns, as numbers: the threshold and what is predicted for the training rows.
def learn_honestly(**settings):
    def learn(reports, train, test):
        model = HighRiskModel(**settings).fit(reports.iloc[train])
        return np.append(model.predict_proba(reports.iloc[train]), model.threshold_)

    return learn


@pytest.mark.parametrize("model", [FEW_TREES, *sorted(set(MODELS) - {"xgboost"})], ids=str)
def test_no_model_sees_a_test_row(reports, split, model):
    small = model if not isinstance(model, str) else clone(MODELS[model])
    for name in small.get_params():
        if name.endswith("n_estimators"):
            small.set_params(**{name: 10})
    assert dependence_on_test_rows(learn_honestly(model=small), reports, *split, rng=0) == 0


@pytest.mark.parametrize("sampling", SAMPLERS)
@pytest.mark.parametrize("by", ["random", "company", "time"])
def test_no_sampling_and_no_split_lets_a_test_row_through(reports, sampling, by):
    learn = learn_honestly(model="logistic", sampling=sampling, features=PREDICTORS)
    assert dependence_on_test_rows(learn, reports, *split_reports(reports, by, rng=0), rng=0) == 0


def test_neither_the_grid_search_nor_the_chosen_cut_sees_a_test_row(reports, split):
    def learn(reports, train, test):
        training = reports.iloc[train]
        search = search_grid(training, {"C": [0.01, 1.0]}, model="logistic")
        cut = choose_cut(HighRiskModel("logistic").fit(training), training)
        return np.append(search.cv_results_["mean_test_score"], cut)

    assert dependence_on_test_rows(learn, reports, *split, rng=0) == 0


def plant_in_target(reports, train, test):
    y = reports[LATE] >= late_threshold(reports[LATE])
    pipeline = build_pipeline("logistic").fit(reports[FEATURES].iloc[train], y.iloc[train])
    return pipeline.predict_proba(reports[FEATURES].iloc[train])[:, 1]


def plant_in_sampling(reports, train, test):
    y = reports[LATE] >= late_threshold(reports[LATE].iloc[train])
    filled = reports[FEATURES].fillna(0)
    X, labels = RandomOverSampler(random_state=0).fit_resample(filled, y)  # of all rows, then trained on all of them
    return build_pipeline("logistic", "none").fit(X, labels).predict_proba(filled.iloc[train])[:, 1]


def plant_in_step(name, step):
    """A pipeline one step of which was fitted to all rows beforehand."""

    def learn(reports, train, test):
        y = (reports[LATE] >= late_threshold(reports[LATE].iloc[train])).astype(int).to_numpy()
        columns = [COMPANY] if name == "encoding" else [AVERAGE, LONGEST]
        fitted = clone(step).fit(reports[columns], y)
        X = np.nan_to_num(fitted.transform(reports[columns]))
        return LogisticRegression().fit(X[train], y[train]).predict_proba(X[train])[:, 1]

    return learn


LEAKS = {
    "target": plant_in_target,
    "sampling": plant_in_sampling,
    "imputing": plant_in_step("imputing", SimpleImputer()),
    "scaling": plant_in_step("scaling", StandardScaler()),
    "encoding": plant_in_step("encoding", TargetEncoder(random_state=0)),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_a_leak_planted_in_a_step_is_caught(reports, split, leak):
    assert dependence_on_test_rows(leak, reports, *split, rng=0) > 1e-4


@pytest.mark.parametrize("step", [SimpleImputer(), StandardScaler()], ids=str)
def test_the_same_steps_without_the_leak_pass(reports, split, step):
    def learn(reports, train, test):
        return plant_in_step("filling", step)(reports.iloc[train], np.arange(len(train)), [])

    assert dependence_on_test_rows(learn, reports, *split, rng=0) == 0


def test_the_guard_leaves_the_reports_and_the_training_rows_as_they_were(reports, split):
    before, seen = reports.copy(), []
    dependence_on_test_rows(lambda rows, train, test: seen.append(rows) or [0.0], reports, *split, rng=0)
    pd.testing.assert_frame_equal(reports, before)
    train, test = split
    honest, altered = seen
    pd.testing.assert_frame_equal(altered.iloc[train], honest.iloc[train], check_dtype=False)
    assert (altered[AVERAGE].iloc[test] != honest[AVERAGE].iloc[test]).all()
    assert not set(altered[COMPANY].iloc[test]) & set(honest[COMPANY])


@pytest.mark.parametrize("by", ["random", "company", "time"])
def test_a_split_is_a_partition_and_follows_its_seed(reports, by):
    train, test = split_reports(reports, by, test_share=0.3, rng=1)
    assert sorted([*train, *test]) == list(range(len(reports)))
    assert len(test) / len(reports) == pytest.approx(0.3, abs=0.15 if by == "time" else 0.03)
    np.testing.assert_array_equal(test, split_reports(reports, by, rng=np.random.default_rng(1))[1])


def test_splits_keep_apart_what_they_say(reports):
    train, test = split_reports(reports, "company", rng=0)
    assert shared_companies(reports, train, test) == 0
    assert shared_companies(reports, *split_reports(reports, "random", rng=0)) > 0.5
    train, test = split_reports(reports, "time")
    assert reports["End date"].iloc[train].max() < reports["End date"].iloc[test].min()


def test_bad_splits_are_refused(reports):
    with pytest.raises(ValueError, match="by must be random, company or time, got 'week'"):
        split_reports(reports, "week")
    undated = reports.assign(**{"End date": reports["End date"].mask(reports.index == 3)})
    with pytest.raises(ValueError, match="reports must have an end date to be split in time, 1 have none"):
        split_reports(undated, "time")
    one_period = reports.assign(**{"End date": pd.Timestamp("2018-06-30")})
    with pytest.raises(ValueError, match="reports must be of at least two periods to be split in time, got 1"):
        split_reports(one_period, "time")
    with pytest.raises(ValueError, match="reports must have companies for both sides, got 1 for test_share=0.3"):
        split_reports(reports.assign(**{COMPANY: "00000001"}), "company")
    with pytest.raises(ValueError, match="reports must have rows for both sides, got 1 for test_share=0.3"):
        split_reports(reports[:1], "random")
    for share in (0, 1, 5, np.nan):
        for by in ("random", "company", "time"):
            with pytest.raises(ValueError, match=rf"test_share must lie inside \(0, 1\), got {share!r}"):
                split_reports(reports, by, share)


def test_a_small_test_share_in_time_leaves_the_last_period(reports):
    train, test = split_reports(reports, "time", test_share=0.01)
    last = reports["End date"].max()
    assert len(train) + len(test) == len(reports) and set(reports["End date"].iloc[test]) == {last}
    assert (reports["End date"].iloc[train] < last).all()


def test_reports_that_are_all_high_risk_are_refused_with_threshold_and_share(reports):
    mostly_punctual = reports[:300].assign(**{LATE: [0.0] * 280 + list(range(1, 21))})
    message = "share=0.2 gives a threshold of 0, with which all 300 reports would be high-risk, 280 of them with this"
    for fit in (HighRiskModel("logistic").fit, lambda rows: search_grid(rows, {"C": [1.0]}, model="logistic")):
        with pytest.raises(ValueError, match=message):
            fit(mostly_punctual)
    model = HighRiskModel("logistic", share=0.05).fit(mostly_punctual)
    assert model.threshold_ > 0 and model.label(mostly_punctual).sum() == 15


def test_what_is_too_few_to_learn_from_or_to_be_scored_is_refused_in_our_terms(reports):
    model, few = HighRiskModel("logistic").fit(reports), reports[:20].assign(**{LATE: [*range(18), 90, 91]})
    one_company = reports.assign(**{COMPANY: "00000001"})
    with pytest.raises(ValueError, match="sampling 'smote' needs 6 reports of either class, got 2; 'over' needs one"):
        HighRiskModel("logistic", "smote", share=0.1).fit(few)
    for call in (choose_cut, lambda _, rows: search_grid(rows, {"C": [1.0]}, model="logistic")):
        with pytest.raises(ValueError, match="reports must be of at least n_splits = 3 companies, got 1"):
            call(model, one_company)
    with pytest.raises(ValueError, match="each fold, reports must be of both classes, got 0 of . reports high-risk"):
        search_grid(reports[:12], {"C": [1.0]}, model="logistic")
    punctual = reports[reports[LATE] < model.threshold_]
    found = f"got 0 ones and {len(punctual)} zeros in {len(punctual)} rows"
    with pytest.raises(ValueError, match=f"y must have both ones and zeros and nothing else to be scored, {found}"):
        model.score(punctual)
    for call in (model.score, model.predict_proba):
        with pytest.raises(ValueError, match="reports must have rows, got none"):
            call(reports[:0])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_the_threshold_gives_the_share_of_high_risk_up_to_ties(reports, share):
    threshold = late_threshold(reports[LATE], share)
    assert (reports[LATE] > threshold).mean() <= share <= (reports[LATE] >= threshold).mean() + 1 / len(reports)


def test_the_threshold_is_that_of_the_training_rows(reports):
    low, high = reports.sort_values(LATE)[:200], reports.sort_values(LATE)[200:]
    model = HighRiskModel("logistic").fit(low)
    assert model.threshold_ == np.quantile(low[LATE], 0.8) and model.label(high).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: late_threshold([1.0], 0), "share must lie between 0 and 1, got 0"),
        (lambda: late_threshold([]), "late must have values, got none"),
        (lambda: late_threshold([1.0, 2.0], "many"), "share must lie between 0 and 1, got 'many'"),
        (lambda: late_threshold(3.0), r"late must have shape \(n_rows,\), got \(\)"),
        (lambda: late_threshold([5.0, 5.0]), "share=0.2 gives a threshold of 5, with which all 2 reports"),
        (lambda: score_probabilities([0, 2], [0.1, 0.2]), "y must have both ones and zeros and nothing else"),
        (lambda: score_probabilities([0, 1], [0.1]), r"must have one shape \(n_rows,\), got \(2,\) and \(1,\)"),
        (lambda: score_probabilities([0, 1], [0.1, np.nan]), r"probability must lie in \[0, 1\], got"),
        (lambda: shared_companies(pd.DataFrame({COMPANY: ["A"]}), [0], []), "test must name rows, got none"),
        (lambda: simulate_payment_practices(2.5), "n_reports must be a whole number of at least 0, got 2.5"),
        (lambda: late_threshold([1.0, np.nan]), "late must have no missing values, got 1 of 2"),
        (lambda: build_pipeline("tree"), "model must be one of xgboost, rf, .*, got 'tree'"),
        (lambda: build_pipeline(sampling="twice"), "sampling must be one of none, over, under, smote, got 'twice'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("sampling", "rows_of_a_class"), [("over", 320), ("smote", 320), ("under", 80)])
def test_sampling_balances_the_training_rows_only(reports, sampling, rows_of_a_class):
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append(np.bincount(y))
            return super().fit(X, y)

    model = HighRiskModel(Spy(), sampling).fit(reports)
    np.testing.assert_allclose(seen[0], rows_of_a_class, atol=10)
    assert seen[0][0] == seen[0][1] and len(model.predict_proba(reports)) == len(reports)


def test_a_hybrid_is_a_logistic_regression_on_one_hot_leaves():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    for trees in ("xgboost_lr", "rf_lr", "gbdt_lr"):
        hybrid = clone(MODELS[trees]).set_params(trees__n_estimators=5, trees__random_state=0).fit(X, y)
        assert isinstance(hybrid, LeavesThenLogistic)
        leaves = np.asarray(hybrid.trees_.apply(X)).reshape(200, 5)
        dummies = pd.get_dummies(pd.DataFrame(leaves).astype(int), columns=range(5)).to_numpy(float)
        expected = LogisticRegression(C=0.1, solver="liblinear").fit(dummies, y).predict_proba(dummies)
        np.testing.assert_allclose(hybrid.predict_proba(X), expected, atol=1e-4)


def test_seeds_decide_resampling_and_model(reports):
    first, again, other = (
        HighRiskModel(FEW_TREES, seed=seed).fit(reports).predict_proba(reports) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_oversampling_lifts_probabilities_without_moving_the_ranking_much(reports):
    plain, over = (HighRiskModel("logistic", sampling).fit(reports).score(reports) for sampling in ("none", "over"))
    assert abs(plain["bias"]) < 0.01 and over["bias"] > 0.2
    assert over["auc"] == pytest.approx(plain["auc"], abs=0.05) and over["brier"] > plain["brier"]


def test_scores_of_certainties_and_of_ignorance():
    y = np.array([0, 0, 0, 1])
    perfect = score_probabilities(y, y)
    assert (perfect["auc"], perfect["f1"], perfect["brier"], perfect["bias"]) == (1, 1, 0, 0)
    rate = score_probabilities(y, np.full(4, 0.25))
    assert rate["auc"] == 0.5 and rate["average_precision"] == 0.25 and rate["brier"] == pytest.approx(3 / 16)
    assert score_probabilities(y, np.full(4, 0.25), cut=0.25)["f1"] == pytest.approx(0.4)


def test_the_chosen_cut_is_the_best_on_training_folds(reports):
    model = HighRiskModel("logistic", "none").fit(reports)
    cut = choose_cut(model, reports)
    y, probability = model.label(reports), model.predict_proba(reports)
    chosen, half = (score_probabilities(y, probability, level)["f1"] for level in (cut, 0.5))
    assert 0 < cut < 0.5 and chosen > half


def test_forecast_rows_are_the_companys_past_and_nothing_else():
    columns = {COMPANY: list("AABAAC"), "Report Id": [1, 4, 2, 3, 9, 7], LATE: [10.0, 30, 50, 20, 99, 5]}
    months = ["2018-06", "2019-06", "2018-06", "2018-12", "2018-09", "2018-06"]
    reports = clean_payment_practices(simulate_payment_practices(6, rng=0)).assign(**columns)
    reports["End date"] = pd.to_datetime(months) + pd.offsets.MonthEnd(0)
    rows = make_forecast_rows(reports)
    # A's reports 3 and 4; its report 9, filed last, is on a period before the last one reported; B and C have one each.
    assert rows["Report Id"].tolist() == [3, 4] and rows[LATE].tolist() == [20, 30]
    assert rows[f"Last: {LATE}"].tolist() == [10, 20] and rows["Mean late share so far"].tolist() == [10, 15]
    np.testing.assert_array_equal(rows["Last change of late share"], [np.nan, 10])
    assert rows["Reports so far"].tolist() == [1, 2] and rows["Days since last period"].tolist() == [184, 181]
    assert f"Last: {AVERAGE}" in FORECAST_FEATURES and not set(FORECAST_FEATURES) & {*PREDICTORS, LATE}


def test_a_second_report_on_a_period_already_reported_is_no_forecast():
    reports = clean_payment_practices(simulate_payment_practices(4, rng=0))[:3]
    reports = reports.assign(**{COMPANY: "A", "Report Id": [1, 2, 3], LATE: [10.0, 20.0, 30.0]})
    reports["End date"] = pd.to_datetime(["2018-06-30", "2018-06-30", "2018-12-31"])
    rows = make_forecast_rows(reports)
    assert rows["Report Id"].tolist() == [3] and rows[f"Last: {LATE}"].tolist() == [20.0]


@pytest.mark.parametrize("n_rows", [0, 1, 50])
def test_without_earlier_reports_or_end_dates_there_are_no_forecasts(reports, n_rows):
    undated = reports[:n_rows].assign(**{"End date": pd.NaT})
    alone = reports[:n_rows].drop_duplicates(COMPANY)
    for rows in (make_forecast_rows(undated), make_forecast_rows(alone)):
        assert len(rows) == 0 and {*FORECAST_FEATURES, "Report Id", COMPANY, "End date", LATE} == set(rows)


def test_a_forecast_does_not_change_with_the_report_it_forecasts():
    reports = clean_payment_practices(simulate_payment_practices(400, rng=0))
    rows = make_forecast_rows(reports)
    last = reports.sort_values("Report Id").groupby(COMPANY).tail(1).index
    altered = reports.copy()
    altered.loc[last, [*PREDICTORS, LATE]] = 7.0
    pd.testing.assert_frame_equal(make_forecast_rows(altered)[FORECAST_FEATURES], rows[FORECAST_FEATURES])


def test_repeating_the_last_report_forecasts_well():
    rows = make_forecast_rows(clean_payment_practices(simulate_payment_practices(2000, rng=0)))
    train, test = split_reports(rows, "company", rng=0)
    last = HighRiskModel("logistic", "none", [f"Last: {LATE}"]).fit(rows.iloc[train]).score(rows.iloc[test])
    assert last["auc"] > 0.9 and abs(last["bias"]) < 0.05
