"""One replication of each recorded study of delayed payment: the payment paper's tables, and what they leave out.

A replication has a split, a resampling and models of its own. Size tiny runs on simulated reports and so on any
machine, size paper on the real reports with supply-chain finance offered, size full on the whole export of about
December 2019, which is downloaded and verified. Chapter 13 reads them.
"""

from typing import Literal

import numpy as np
import pandas as pd
from imblearn.over_sampling import RandomOverSampler
from sklearn.model_selection import GroupKFold, KFold

from qrgmm.datasets.payment_practices import (
    LATE,
    clean_payment_practices,
    load_payment_practices,
    simulate_payment_practices,
)
from qrgmm.studies.study import Study, score_rows
from qrgmm.systems.delayed_payment import (
    COMPANY,
    FEATURES,
    FORECAST_FEATURES,
    MODELS,
    PREDICTORS,
    HighRiskModel,
    build_pipeline,
    choose_cut,
    late_threshold,
    make_forecast_rows,
    score_probabilities,
    shared_companies,
    split_reports,
)

LAST_LATE = f"Last: {LATE}"


def payment_models(rng, snapshot, window, models, splits):
    """Study all models under splits at random, by company and in time (table 2, figure 4)."""
    reports, rows = load_reports(snapshot, window), []
    for by in splits:
        train, test, seed = _split(reports, by, rng)
        for name in models:
            model = HighRiskModel(name, seed=seed).fit(reports.iloc[train])
            rows += score_rows(name, by, model.score(reports.iloc[test]))
        threshold = late_threshold(reports[LATE].iloc[train])
        shared = shared_companies(reports, train, test)
        rows += score_rows("data", by, {"threshold": threshold, "shared_companies": shared, "test_rows": len(test)})
    return rows


def payment_sampling(rng, snapshot, window, splits):
    """Study resampling inside the training rows, before the split, and not at all (table 3)."""
    reports, rows = load_reports(snapshot, window), []
    for by in splits:
        train, test, seed = _split(reports, by, rng)
        for sampling in ("none", "over", "under", "smote"):
            model = HighRiskModel(sampling=sampling, seed=seed).fit(reports.iloc[train])
            scores = model.score(reports.iloc[test])
            if sampling in ("none", "over"):
                y, probability = model.label(reports.iloc[test]), model.predict_proba(reports.iloc[test])
                cut = choose_cut(model, reports.iloc[train])
                scores |= {"cut": cut, "f1_chosen_cut": score_probabilities(y, probability, cut)["f1"]}
            rows += score_rows("xgboost", sampling if by == "random" else f"{sampling}, by {by}", scores)
    return rows + score_rows("xgboost", "over before the split", _score_with_copies_on_both_sides(reports, rng))


def payment_shares(rng, snapshot, window, shares, splits):
    """Study the share of reports that count as high-risk (table 4, figure 6)."""
    reports, rows = load_reports(snapshot, window), []
    for by in splits:
        train, test, seed = _split(reports, by, rng)
        for share in shares:
            model = HighRiskModel(share=share, seed=seed).fit(reports.iloc[train])
            rows += score_rows("xgboost", by, model.score(reports.iloc[test]) | {"threshold": model.threshold_}, share)
    return rows


def payment_folds(rng, snapshot, window, n_folds):
    """Study a cross-validation of the training rows of one split, over rows and over companies (section 5.2.3)."""
    reports, rows = load_reports(snapshot, window), []
    train, _, seed = _split(reports, "random", rng)
    reports = reports.iloc[train]
    folds = {"random": KFold(n_folds, shuffle=True, random_state=seed)}
    folds["company"] = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for by, sampling in (("random", "none"), ("random", "over"), ("company", "over")):
        scores = []
        for fitted, held_out in folds[by].split(reports, groups=reports[COMPANY] if by == "company" else None):
            model = HighRiskModel(sampling=sampling, seed=seed).fit(reports.iloc[fitted])
            scores.append(model.score(reports.iloc[held_out]))
        for metric in ("auc", "f1"):
            values = [score[metric] for score in scores]
            test = sampling if by == "random" else f"{sampling}, by {by}"
            rows += score_rows("xgboost", test, {metric: np.mean(values), f"{metric}_sd": np.std(values, ddof=1)})
    return rows


def payment_missing(rng, snapshot, window, models, splits):
    """Study blanks that mean something, filled with what they mean or, as in the paper, with means and modes."""
    fills = {"means": load_reports(snapshot, window, False), "meaning": load_reports(snapshot, window, True)}
    rows = []
    for by in splits:
        train, test, seed = _split(fills["means"], by, rng)
        for fill, reports in fills.items():
            for name in models:
                for label, features in (("ten", FEATURES), ("fourteen", PREDICTORS)):
                    model = HighRiskModel(name, features=features, seed=seed).fit(reports.iloc[train])
                    rows += score_rows(name, f"{fill}, {label}, by {by}", model.score(reports.iloc[test]))
    return rows


def payment_forecast(rng, snapshot, window, models, splits):
    """Study forecasts of the next report from a company's past ones against repeating the last one."""
    reports, rows = make_forecast_rows(load_reports(snapshot, window)), []
    for by in splits:
        train, test, seed = _split(reports, by, rng)
        for name in models:
            for sampling in ("none", "over"):
                model = HighRiskModel(name, sampling, FORECAST_FEATURES, seed=seed).fit(reports.iloc[train])
                label = name if sampling == "none" else f"{name}, oversampled"
                rows += score_rows(label, by, model.score(reports.iloc[test]))
        last = HighRiskModel("logistic", "none", [LAST_LATE], seed=seed).fit(reports.iloc[train])
        rows += score_rows("last report", by, last.score(reports.iloc[test]))
        repeated = (reports[LAST_LATE].iloc[test] >= last.threshold_).astype(float)
        scores = score_probabilities(last.label(reports.iloc[test]), repeated)
        rows += score_rows("last class", by, {"f1": scores["f1"], "brier": scores["brier"]})
    return rows


def load_reports(
    snapshot: Literal["scf", "2019-12", "2020-01-28"] | int,
    window: Literal["paper"] | None = None,
    fill_structural: bool = True,
) -> pd.DataFrame:
    """Return the reports of a study: those with an end date, without which a split in time cannot place them.

    Parameters
    ----------
    snapshot : str or int
        As in `load_payment_practices`, or a number of reports to simulate, the same ones every time.
    window : "paper" or None
    fill_structural : bool

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> len(load_reports(200))
    200
    """
    if isinstance(snapshot, int):
        return clean_payment_practices(simulate_payment_practices(snapshot, rng=0), fill_structural)
    reports = load_payment_practices(snapshot=snapshot, window=window, fill_structural=fill_structural)
    return reports.dropna(subset="End date").reset_index(drop=True)


def _split(reports, by, rng):
    """Training and test positions and a seed; in time, where there is one split, the test companies are resampled."""
    train, test = split_reports(reports, by, rng=rng)
    if by == "time":
        rows_of = pd.Series(test).groupby(reports[COMPANY].to_numpy()[test]).apply(np.array)
        test = np.concatenate(rows_of.iloc[rng.integers(len(rows_of), size=len(rows_of))].to_list())
    return train, test, int(rng.integers(2**31))


def _score_with_copies_on_both_sides(reports, rng):
    """What one gets by oversampling before the split: test rows that the training rows are copies of."""
    high = (reports[LATE] >= late_threshold(reports[LATE])).astype(int)
    sampler = RandomOverSampler(random_state=int(rng.integers(2**31)))
    balanced, y = sampler.fit_resample(reports[[*FEATURES, COMPANY]], high)
    train, test, seed = _split(balanced, "random", rng)
    pipeline = build_pipeline(sampling="none", seed=seed).fit(balanced.iloc[train], y.iloc[train])
    return score_probabilities(y.iloc[test], pipeline.predict_proba(balanced.iloc[test])[:, 1])


def _sizes(paper, tiny=None, window="paper"):
    """Settings of the sizes: simulated reports, reports with supply-chain finance offered, the whole export."""
    scf = {"snapshot": "scf", "window": window, **paper}
    return {
        "tiny": {**scf, "snapshot": 300, "window": None, **(tiny or {})},
        "paper": scf,
        "full": {**scf, "snapshot": "2019-12", "window": None},
    }


_ALL_SPLITS, _TWO_SPLITS, _SHARES = ["random", "company", "time"], ["random", "company"], [0.1, 0.2, 0.3, 0.4, 0.5]
_MODELS = {"models": list(MODELS), "splits": _ALL_SPLITS}
_POPULATION = "reports with supply-chain finance offered, about a fifteenth of the paper's rows, instead of all reports"
_EARLY, _LATER = "filed to the end of 2019", "filed to August 2023"
_MANY, _OURS = "many splits, theirs one", "parameters of all models but XGBoost are ours"
STUDIES = {
    "payment_models": Study(
        payment_models,
        _sizes(_MODELS, {"models": ["xgboost", "logistic", "rf_lr"]}, window=None),
        f"{_POPULATION}; {_LATER}; {_MANY}; {_OURS}",
        10,
    ),
    "payment_models_window": Study(
        payment_models, _sizes(_MODELS, {"models": ["logistic"]}), f"{_POPULATION}; {_EARLY}; {_MANY}; {_OURS}", 20
    ),
    "payment_sampling": Study(
        payment_sampling, _sizes({"splits": _TWO_SPLITS}), f"{_POPULATION}; {_EARLY}; {_MANY}", 10
    ),
    "payment_shares": Study(
        payment_shares,
        _sizes({"shares": _SHARES, "splits": _TWO_SPLITS}, {"shares": [0.2, 0.5]}),
        f"{_POPULATION}; {_EARLY}; {_MANY}",
        10,
    ),
    "payment_folds": Study(
        payment_folds,
        _sizes({"n_folds": 10}, {"n_folds": 3}),
        f"{_POPULATION}; {_EARLY}; five times ten folds, theirs once",
        5,
    ),
    "payment_missing": Study(
        payment_missing,
        _sizes({"models": ["xgboost", "logistic"], "splits": _TWO_SPLITS}, {"models": ["logistic"]}),
        f"not in the paper, which fills with means and modes; {_EARLY}",
        10,
    ),
    "payment_forecast": Study(
        payment_forecast,
        _sizes(
            {"models": ["xgboost", "rf", "logistic"], "splits": ["company", "time"]},
            {"models": ["logistic"]},
            window=None,
        ),
        f"not in the paper; {_LATER}",
        10,
    ),
}
