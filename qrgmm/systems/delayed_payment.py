"""Which buyer pays late: the payment paper's classifiers as pipelines that learn from training rows alone.

A report is high-risk if its late share is among the highest. Everything that is learned, from the threshold of
"highest" to the means that fill blanks, the scaling, the resampling and the model, is learned in one `fit` that is
given training rows only; `dependence_on_test_rows` checks that from outside. Forecasts use past reports alone.
Chapter 13.
"""

from collections.abc import Callable
from numbers import Real
from typing import Literal, Self

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.under_sampling import RandomUnderSampler
from lightgbm import LGBMClassifier
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted
from xgboost import XGBClassifier

from qrgmm.checks import Rng, check_count, check_level
from qrgmm.datasets.payment_practices import AVERAGE, DAYS, FLAGS, LATE, NOTIFIED, PERCENTAGES

COMPANY = "Company number"
# The fourteen predictors of the paper's table 1, and the four of them that it drops as correlated with others.
PREDICTORS = [AVERAGE, *PERCENTAGES[:3], *DAYS[1:], *FLAGS[1:]]
DROPPED = [PERCENTAGES[0], PERCENTAGES[2], NOTIFIED, FLAGS[6]]
FEATURES = [name for name in PREDICTORS if name not in DROPPED]
PAST = [LATE, *PREDICTORS]
FORECAST_FEATURES = [f"Last: {name}" for name in PAST] + [
    "Mean late share so far", "Last change of late share", "Reports so far", "Days since last period",
]
# Appendix A of the paper; it states no parameters of the other models, which are our choice.
XGBOOST = {"n_estimators": 900, "learning_rate": 0.01, "max_depth": 10, "min_child_weight": 1, "subsample": 0.85}
SMALL_TREES = {"n_estimators": 200, "max_depth": 4}  # whose leaves go into a logistic regression


class Smote(SMOTE):
    """SMOTE that says in our terms what it lacks.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors
        As imbalanced-learn's: a new row lies between one of the rarer class and one of its nearest neighbours.
    """

    def _fit_resample(self, X, y):
        rarest, needed = int(np.unique(y, return_counts=True)[1].min()), self.k_neighbors + 1
        if rarest < needed:
            raise ValueError(f"sampling 'smote' needs {needed} reports of either class, got {rarest}; 'over' needs one")
        return super()._fit_resample(X, y)


SAMPLERS = {"none": None, "over": RandomOverSampler, "under": RandomUnderSampler, "smote": Smote}


class LeavesThenLogistic(ClassifierMixin, BaseEstimator):
    """A logistic regression on the leaves that a tree model puts a row into, one-hot encoded.

    Parameters
    ----------
    trees : classifier with a method `apply`
        XGBoost, a random forest or gradient boosting; a clone of it is fitted, to the same rows.
    C : float
        Inverse strength of the ridge penalty.

    Attributes
    ----------
    trees_, logistic_ : estimator
    classes_ : array of shape (2,)

    Notes
    -----
    He et al. (2014); the payment paper's "+ LR", section 4; chapter 13.

    Examples
    --------
    >>> X = np.linspace(0, 1, 40).reshape(-1, 1)
    >>> hybrid = LeavesThenLogistic(RandomForestClassifier(5, max_depth=2, random_state=0)).fit(X, X[:, 0] > 0.5)
    >>> hybrid.predict([[0.1], [0.9]])
    array([False,  True])
    """

    def __init__(self, trees: ClassifierMixin, C: float = 0.1):
        self.trees = trees
        self.C = C

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> Self:
        """Fit the trees, then the regression on their leaves."""
        self.trees_ = clone(self.trees).fit(X, y)
        logistic = LogisticRegression(C=self.C, solver="liblinear")
        self.logistic_ = make_pipeline(OneHotEncoder(handle_unknown="ignore"), logistic).fit(self._leaves(X), y)
        self.classes_ = self.logistic_.classes_
        return self

    def predict_proba(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return probabilities, (n_rows, 2)."""
        check_is_fitted(self)
        return self.logistic_.predict_proba(self._leaves(X))

    def predict(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the likelier class, (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _leaves(self, X):
        return np.asarray(self.trees_.apply(X)).reshape(len(X), -1).astype(int)


MODELS = {
    "xgboost": XGBClassifier(**XGBOOST, n_jobs=1),
    "rf": RandomForestClassifier(300),
    "gbdt": GradientBoostingClassifier(n_estimators=200, max_depth=5, subsample=0.85),
    "lightgbm": LGBMClassifier(
        n_estimators=900, learning_rate=0.01, num_leaves=63, subsample=0.85, subsample_freq=1, n_jobs=1, verbose=-1
    ),
    "logistic": LogisticRegression(),
    "xgboost_lr": LeavesThenLogistic(XGBClassifier(**SMALL_TREES, learning_rate=0.1, subsample=0.85, n_jobs=1)),
    "rf_lr": LeavesThenLogistic(RandomForestClassifier(**SMALL_TREES)),
    "gbdt_lr": LeavesThenLogistic(GradientBoostingClassifier(**SMALL_TREES, subsample=0.85)),
}


def build_pipeline(
    model: str | ClassifierMixin = "xgboost",
    sampling: Literal["none", "over", "under", "smote"] = "over",
    features: list[str] = FEATURES,
    seed: int = 0,
) -> Pipeline:
    """Return a pipeline from reports to probabilities: fill, scale, resample, model.

    Blanks are filled by the mean (yes/no answers by the more frequent one). Being steps of the pipeline, filling,
    scaling and resampling happen on the rows given to `fit`, of each training fold in a cross-validation.

    Parameters
    ----------
    model : str or classifier
        A key of `MODELS`.
    sampling : {"none", "over", "under", "smote"}
        How training rows are balanced.
    features : list of str
        Columns that are used; `PREDICTORS` and `FORECAST_FEATURES` are others.
    seed : int
        Of the resampling and of the model.

    Returns
    -------
    imblearn.pipeline.Pipeline
        Not fitted; its steps are named fill, scale, sample and model.

    Raises
    ------
    ValueError
        If `model` or `sampling` is unknown.

    Examples
    --------
    >>> list(build_pipeline("rf", "smote").named_steps)
    ['fill', 'scale', 'sample', 'model']
    """
    if sampling not in SAMPLERS:
        raise ValueError(
            f"sampling must be one of {', '.join(SAMPLERS)}, got {sampling!r}"
        )
    if isinstance(model, str) and model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    flags = [name for name in features if name.removeprefix("Last: ") in FLAGS]
    numbers = [name for name in features if name not in flags]
    fill = ColumnTransformer(
        [
            ("mean", SimpleImputer(keep_empty_features=True), numbers),
            (
                "mode",
                SimpleImputer(strategy="most_frequent", keep_empty_features=True),
                flags,
            ),
        ]
    )
    classifier = clone(MODELS[model] if isinstance(model, str) else model)
    classifier.set_params(
        **{
            name: seed
            for name in classifier.get_params()
            if name.endswith("random_state")
        }
    )
    sampler = SAMPLERS[sampling] and SAMPLERS[sampling](random_state=seed)
    steps = [
        ("fill", fill),
        ("scale", StandardScaler()),
        ("sample", sampler),
        ("model", classifier),
    ]
    return Pipeline([step for step in steps if step[1] is not None])


def late_threshold(late: ArrayLike, share: float = 0.2) -> float:
    """Return the late share from which a report counts as high-risk: the quantile at level 1 - `share`.

    Parameters
    ----------
    late : array of shape (n_rows,)
        "% Invoices not paid within agreed terms", of training rows.
    share : float
        Share of high-risk reports that is aimed at; ties make the actual one larger. The paper's 0.2 gave 51 %.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `share` is not between 0 and 1, or `late` is empty, no list of numbers or has missing values; or if all
        reports would be high-risk, because ties reach from the threshold down to the smallest value.

    Examples
    --------
    >>> late_threshold([0, 10, 20, 30, 40, 50], share=0.2)
    40.0
    """
    late = np.asarray(late, dtype=float)
    if not (isinstance(share, Real) and 0 < share < 1):
        raise ValueError(f"share must lie between 0 and 1, got {share!r}")
    if late.ndim != 1:
        raise ValueError(f"late must have shape (n_rows,), got {late.shape}")
    if len(late) == 0:
        raise ValueError("late must have values, got none")
    if not np.isfinite(late).all():
        raise ValueError(f"late must have no missing values, got {(~np.isfinite(late)).sum()} of {len(late)}")
    threshold = float(np.quantile(late, 1 - share))
    if threshold <= late.min():
        on_it = f"all {len(late)} reports would be high-risk, {(late == threshold).sum()} of them with this late share"
        raise ValueError(f"share={share!r} gives a threshold of {threshold:g}, with which {on_it}; try a smaller share")
    return threshold


class HighRiskModel(BaseEstimator):
    """A classifier of reports that learns what high risk means, and how to tell it, from the rows given to `fit`.

    Parameters
    ----------
    model, sampling, features, seed
        See `build_pipeline`.
    share : float
        Share of training reports that count as high-risk, see `late_threshold`.

    Attributes
    ----------
    threshold_ : float
        Late share from which a report is high-risk, in percent.
    pipeline_ : imblearn.pipeline.Pipeline

    Raises
    ------
    ValueError
        If the reports to fit have no late share, are all or none high-risk, or are too few for "smote".

    Notes
    -----
    Payment paper, sections 3 and 4; chapter 13.

    Examples
    --------
    >>> from qrgmm.datasets.payment_practices import clean_payment_practices, simulate_payment_practices
    >>> reports = clean_payment_practices(simulate_payment_practices(400, rng=0))
    >>> model = HighRiskModel("logistic").fit(reports[:300])
    >>> model.threshold_, model.predict_proba(reports[300:]).shape
    (56.0, (100,))
    """

    def __init__(
        self,
        model: str | ClassifierMixin = "xgboost",
        sampling: Literal["none", "over", "under", "smote"] = "over",
        features: list[str] = FEATURES,
        share: float = 0.2,
        seed: int = 0,
    ):
        self.model = model
        self.sampling = sampling
        self.features = features
        self.share = share
        self.seed = seed

    def fit(self, reports: pd.DataFrame) -> Self:
        """Learn threshold and pipeline from training reports, a data frame with a late share."""
        self.threshold_ = late_threshold(reports[LATE], self.share)
        pipeline = build_pipeline(self.model, self.sampling, self.features, self.seed)
        self.pipeline_ = pipeline.fit(reports[self.features], self.label(reports))
        return self

    def label(self, reports: pd.DataFrame) -> np.ndarray:
        """Return 1 for reports at or above the learned threshold and 0 for the others, (n_rows,)."""
        return (reports[LATE].to_numpy() >= self.threshold_).astype(int)

    def predict_proba(self, reports: pd.DataFrame) -> np.ndarray:
        """Return the probability of high risk, (n_rows,)."""
        check_is_fitted(self)
        if len(reports) == 0:
            raise ValueError("reports must have rows, got none")
        return self.pipeline_.predict_proba(reports[self.features])[:, 1]

    def score(self, reports: pd.DataFrame) -> dict[str, float]:
        """Return `score_probabilities` on reports that were not fitted."""
        return score_probabilities(self.label(reports), self.predict_proba(reports))


def score_probabilities(y: ArrayLike, probability: ArrayLike, cut: float = 0.5) -> dict[str, float]:
    """Return AUC, F1 at a cut, average precision, Brier score, log loss, and the mean probability minus the rate.

    Parameters
    ----------
    y : array of shape (n_rows,)
        0 or 1.
    probability : array of shape (n_rows,)
    cut : float
        Probability from which a row is called 1.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If shapes differ, `y` is not of 0 and 1 or has only one of them, which no ranking can tell apart, or a
        probability lies outside [0, 1].

    Examples
    --------
    >>> {name: round(value, 3) for name, value in score_probabilities([0, 0, 1], [0.1, 0.4, 0.9]).items()}
    {'auc': 1.0, 'f1': 1.0, 'average_precision': 1.0, 'brier': 0.06, 'log_loss': 0.241, 'bias': 0.133}
    """
    y, probability = np.asarray(y), np.asarray(probability, dtype=float)
    if y.ndim != 1 or y.shape != probability.shape:
        raise ValueError(f"y and probability must have one shape (n_rows,), got {y.shape} and {probability.shape}")
    if not np.isin(y, [0, 1]).all() or not 0 < y.sum() < len(y):
        found = f"{int((y == 1).sum())} ones and {int((y == 0).sum())} zeros in {len(y)} rows"
        raise ValueError(f"y must have both ones and zeros and nothing else to be scored, got {found}")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probability must lie in [0, 1], got a number outside or NaN")
    ranked = np.round(probability, 12)  # equal ones stay equal, whatever the last bit of a sum says
    scores = {
        "auc": roc_auc_score(y, ranked),
        "f1": f1_score(y, probability >= cut),
        "average_precision": average_precision_score(y, ranked),
        "brier": brier_score_loss(y, probability),
        "log_loss": log_loss(y, probability),
        "bias": probability.mean() - y.mean(),
    }
    return {name: float(value) for name, value in scores.items()}


def choose_cut(model: HighRiskModel, reports: pd.DataFrame, n_splits: int = 3) -> float:
    """Return the probability cut with the best F1 over folds of whole companies inside the given training reports.

    Parameters
    ----------
    model : HighRiskModel
        Fitted to `reports`; clones of its pipeline are fitted to the folds.
    reports : pandas.DataFrame
        Training rows.
    n_splits : int
        Number of folds.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are fewer companies than folds, or outside a fold all reports are of one class.
    """
    y = model.label(reports)
    folds = _company_folds(reports, y, n_splits)
    out_of_fold = cross_val_predict(
        model.pipeline_, reports[model.features], y, groups=reports[COMPANY], cv=folds, method="predict_proba"
    )
    precision, recall, cuts = precision_recall_curve(y, out_of_fold[:, 1])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return float(cuts[np.argmax(f1[:-1])])


def _company_folds(reports, y, n_splits, scored=False):
    """Folds of whole companies, with both classes to learn from and, where a fold is scored, in it."""
    n_splits, n_companies = check_count("n_splits", n_splits, least=2), reports[COMPANY].nunique()
    if n_companies < n_splits:
        raise ValueError(f"reports must be of at least n_splits = {n_splits} companies, got {n_companies}")
    folds, y = GroupKFold(n_splits), np.asarray(y)
    for kept, held_out in folds.split(y, groups=reports[COMPANY]):
        for where, rows in [("outside", kept), *[("in", held_out)] * scored]:
            if len(np.unique(y[rows])) < 2:
                found = f"{y[rows].sum()} of {len(rows)} reports"
                raise ValueError(f"{where} each fold, reports must be of both classes, got {found} high-risk")
    return folds


def split_reports(
    reports: pd.DataFrame,
    by: Literal["random", "company", "time"] = "random",
    test_share: float = 0.3,
    rng: Rng = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of training and of test rows.

    Parameters
    ----------
    reports : pandas.DataFrame
    by : {"random", "company", "time"}
        Rows at random; whole companies at random; or all periods that ended by some day for training and later ones for
        testing, the day chosen so that the share of test rows is nearest to `test_share`.
    test_share : float
        Of the rows, with "company" of the companies.
    rng : numpy.random.Generator, int or None
        Not used in time.

    Returns
    -------
    train, test : array of int

    Raises
    ------
    ValueError
        If `by` is unknown, `test_share` is not between 0 and 1, there are no two rows, companies or periods to part, or
        the split is in time and a report has no end date.

    Examples
    --------
    >>> from qrgmm.datasets.payment_practices import simulate_payment_practices
    >>> reports = simulate_payment_practices(1000, rng=0)
    >>> train, test = split_reports(reports, "company", rng=0)
    >>> shared_companies(reports, train, test)
    0.0
    """
    test_share = check_level("test_share", test_share)
    if by == "time":
        end = reports["End date"]
        if end.isna().any():
            raise ValueError(f"reports must have an end date to be split in time, {end.isna().sum()} have none")
        days = end.value_counts(normalize=True).sort_index().cumsum()[:-1]  # after the last there are no test rows
        if days.empty:
            raise ValueError(f"reports must be of at least two periods to be split in time, got {end.nunique()}")
        early = (end <= (days - (1 - test_share)).abs().idxmin()).to_numpy()
        return np.flatnonzero(early), np.flatnonzero(~early)
    if by not in ("random", "company"):
        raise ValueError(f"by must be random, company or time, got {by!r}")
    # A split of single rows is one of groups of one row.
    groups = reports[COMPANY] if by == "company" else np.arange(len(reports))
    n_groups = len(np.unique(groups))
    if n_groups - np.ceil(test_share * n_groups) < 1:
        things = "companies" if by == "company" else "rows"
        raise ValueError(f"reports must have {things} for both sides, got {n_groups} for test_share={test_share:g}")
    seed = int(np.random.default_rng(rng).integers(2**31))
    return next(GroupShuffleSplit(1, test_size=test_share, random_state=seed).split(reports, groups=groups))


def shared_companies(reports: pd.DataFrame, train: ArrayLike, test: ArrayLike) -> float:
    """Return the share of test rows whose company is among the training rows, too.

    Parameters
    ----------
    reports : pandas.DataFrame
    train, test : array of int
        Positions of rows.

    Returns
    -------
    float, in [0, 1]

    Raises
    ------
    ValueError
        If there are no test rows.

    Examples
    --------
    >>> shared_companies(pd.DataFrame({COMPANY: ["A", "A", "B"]}), [0], [1, 2])
    0.5
    """
    if len(np.atleast_1d(test)) == 0:
        raise ValueError("test must name rows, got none")
    return float(reports[COMPANY].iloc[test].isin(reports[COMPANY].iloc[train]).mean())


def search_grid(reports: pd.DataFrame, grid: dict[str, list], n_splits: int = 3, **settings) -> GridSearchCV:
    """Return a fitted grid search by AUC over folds of whole companies, all inside the given training reports.

    Parameters
    ----------
    reports : pandas.DataFrame
        Training rows.
    grid : dict
        Parameters of the model, such as ``{"max_depth": [4, 10]}``.
    n_splits : int
        Number of folds.
    **settings
        Of `HighRiskModel`.

    Returns
    -------
    sklearn.model_selection.GridSearchCV

    Raises
    ------
    ValueError
        If there are fewer companies than folds, or in or outside a fold all reports are of one class.
    """
    base = HighRiskModel(**settings)
    y = (reports[LATE] >= late_threshold(reports[LATE], base.share)).astype(int)
    pipeline = build_pipeline(base.model, base.sampling, base.features, base.seed)
    grid = {f"model__{name}": values for name, values in grid.items()}
    folds = _company_folds(reports, y, n_splits, scored=True)
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=folds, error_score="raise")
    return search.fit(reports[base.features], y, groups=reports[COMPANY])


def make_forecast_rows(reports: pd.DataFrame) -> pd.DataFrame:
    """Return one row per report that has an earlier one of its company, with features known before it was filed.

    Reports of a company are put in the order in which they were filed. A row has what the last of the earlier ones said
    ("Last: ..."), the mean and the last change of the late share so far, how many there are, and the days between the
    ends of the two periods. A report on a period that ended before one already reported, or with it, is no row.

    Parameters
    ----------
    reports : pandas.DataFrame
        As `load_payment_practices` returns it.

    Returns
    -------
    pandas.DataFrame
        With the columns `FORECAST_FEATURES`, the late share to be forecast, report number, company number and end date;
        without rows where no company has two reports with end dates.

    Examples
    --------
    >>> from qrgmm.datasets.payment_practices import simulate_payment_practices
    >>> rows = make_forecast_rows(simulate_payment_practices(1000, rng=0))
    >>> bool((rows["Reports so far"] >= 1).all())
    True
    """
    filed = reports.dropna(subset="End date").sort_values("Report Id")
    companies = filed.groupby(COMPANY)
    rows = companies[PAST].shift().add_prefix("Last: ")
    rows["Mean late share so far"] = companies[LATE].transform(lambda late: late.shift().expanding().mean())
    rows["Last change of late share"] = companies[LATE].shift() - companies[LATE].shift(2)
    rows["Reports so far"] = companies.cumcount()
    rows["Days since last period"] = (filed["End date"] - companies["End date"].shift()).dt.days
    rows[["Report Id", COMPANY, "End date", LATE]] = filed[["Report Id", COMPANY, "End date", LATE]]
    latest = companies["End date"].cummax().groupby(filed[COMPANY]).shift()
    return rows[filed["End date"] > latest].reset_index(drop=True)


def dependence_on_test_rows(
    learn: Callable[..., ArrayLike],
    reports: pd.DataFrame,
    train: np.ndarray,
    test: np.ndarray,
    rng: Rng = None,
) -> float:
    """Return by how much what is learned changes if the test rows are replaced by nonsense: 0 if they were never seen.

    Parameters
    ----------
    learn : function of (reports, train, test)
        Returns an array: what was learned, for example a threshold and the predictions for the training rows.
    reports : pandas.DataFrame
    train, test : array of int
        Positions of rows.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    float
        Largest absolute change. A leak that changes nothing learned is none.

    Examples
    --------
    >>> from qrgmm.datasets.payment_practices import simulate_payment_practices
    >>> reports = simulate_payment_practices(100, rng=0)
    >>> train, test = split_reports(reports, rng=0)
    >>> dependence_on_test_rows(lambda rows, train, test: late_threshold(rows[LATE].iloc[train]), reports, train, test)
    0.0
    """
    rng = np.random.default_rng(rng)
    altered = reports.reset_index(drop=True)
    numbers = altered.select_dtypes("number").astype(float)
    nonsense = 1000 + 10 * rng.permuted(numbers.iloc[test].to_numpy(), axis=0)
    nonsense = pd.DataFrame(nonsense, test, numbers.columns)
    nonsense[LATE] = rng.integers(60, 101, len(test))
    for name in FLAGS:
        if name in nonsense:
            nonsense[name] = rng.integers(0, 2, len(test))
    altered[numbers.columns] = numbers
    altered.loc[test, numbers.columns] = nonsense
    altered.loc[test, COMPANY] = [f"X{i:07d}" for i in range(len(test))]
    before, after = (np.asarray(learn(frame, train, test)) for frame in (reports.reset_index(drop=True), altered))
    return float(np.max(np.abs(before - after)))
