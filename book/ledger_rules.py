"""Decide rows of the ledger by recorded results and published numbers.

A check names a rule and what it is applied to; a rule returns a verdict and the numbers that decided it. All rules
judge differences by their standard errors over replications, at a level of 1 % that the differences of a check share.
Replications that split one table anew are no independent data, and their standard error says so (`overlap`).
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from qrgmm.plots import LABELS
from qrgmm.studies import compare_with_paper, load_benchmarks, load_results
from qrgmm.studies.results import PAPER
from qrgmm.studies.sales import TEST_SHARE
from qrgmm.systems import warning_scores as scores

LEVEL = 0.01
FEW = 5  # replications, no more than which cannot tell that two numbers are the same
ROUNDING = 1e-12  # what was computed exactly and is nearer to zero than this is zero
# From the gravest: a row with several checks gets the first of their verdicts in this list.
VERDICTS = [
    "open", "cannot be done", "not run", "not done", "differs", "undecided", "ours", "same conclusion", "same"
]
COLUMNS = ["test", "metric", "model", "x"]
# Studies whose replications split one table anew, and the share of its rows that each of them judges by.
SPLITS = {
    "big_mart": TEST_SHARE,
    "big_mart_gan": TEST_SHARE,
    "big_mart_peers": TEST_SHARE,
    "big_mart_products": TEST_SHARE,
    "cross_border": TEST_SHARE,
    "cross_border_gan": TEST_SHARE,
    "cross_border_peers": TEST_SHARE,
    "payment_models": 0.3,
    "payment_models_window": 0.3,
    "payment_sampling": 0.3,
    "payment_shares": 0.3,
    "payment_folds": 0.7,  # folds of the training rows of a split
    "payment_missing": 0.3,
    "payment_forecast": 0.3,
}
PAYMENT_TEST_ROWS = 6546  # of the payment paper: three tenths of its 21,820 reports


class Unrecorded(ValueError):
    """A record lacks a model that has a name in the book, or replications of it."""


class Difference(NamedTuple):
    """A mean over replications with its standard error; a claim holds if `margin` is above zero."""

    name: str
    mean: float
    error: float
    margin: float
    n: int


def decide(check):
    """Return the verdict of a check and its numbers in words; open where a study has no record or no number of ours."""
    check = dict(check)
    rule = RULES[check.pop("rule")]
    try:
        return rule(**check)
    except (FileNotFoundError, Unrecorded) as error:
        return "open", str(error).partition(";")[0]


def worst(verdicts):
    return min(verdicts, key=VERDICTS.index)


def compare_published(study, source=None, spread="ours", **which):
    """Same if no published number differs from ours by more than the error of both.

    With ``spread="published"`` our replications, of which there may be few, are judged as if they were runs of theirs.
    Few that don't differ leave it undecided.
    """
    rows = pd.concat([beside_published(each) for each in as_list(study)])
    rows = select(rows, source=source, **which).dropna(subset="published")
    if rows["ours"].isna().any():
        return "open", f"{rows['ours'].isna().sum()} published numbers have none of ours beside them"
    n_runs = min(recorded(each)["replication"].nunique() for each in as_list(study))
    error, limit = np.hypot(rows["error"], rows["published_error"]), critical_value(len(rows), n_runs)
    if spread == "published":
        error, limit = rows["published_sd"] / np.sqrt(n_runs), stats.norm.ppf(1 - LEVEL / 2 / len(rows))
    # Without any spread there is no error to count in: equal numbers don't differ, others do.
    apart = rows["ours"] - rows["published"]
    exact = pd.Series(np.where(apart == 0, 0.0, np.inf), rows.index)
    rows["difference"] = (apart / error.where(error > 0)).fillna(exact)
    beyond = (rows["difference"].abs() > limit).sum()
    row = rows.iloc[rows["difference"].abs().to_numpy().argmax()]
    truth = recorded(row["study"]).query("model == 'truth' and test == @row.test and metric == @row.metric")
    grounds = f"{name(row, rows)} {number(row['published'])}, ours {number(row['ours'])}"
    if row["noise_floor"] > 0:
        grounds += f", noise floor {number(row['noise_floor'])}"
    elif len(truth) and row["model"] != "truth":
        grounds += f", truth {number(truth['value'].mean())}"
    grounds += f": {row['difference']:+.1f} s.e.{count(n_runs)}".replace("-", "−")
    if len(rows) > 1:
        grounds = f"{beyond or 'none'} of {len(rows)} numbers beyond {limit:.1f} s.e.; the furthest: {grounds}"
    return "differs" if beyond else "undecided" if 1 < n_runs <= FEW else "same", grounds


def compare_order(study, low, high, by="model", of="value", **which):
    """Everything in `low` is smaller than everything in `high`, in paired differences.

    `by` says which column `low` and `high` are in. With ``of="error"`` values are distances from the truth, or from
    what was observed where that is recorded, in the same replication; with ``of="spread"`` from the model's own median.
    """
    low, high = as_list(low), as_list(high)
    wanted = {by: [*low, *high, *(["truth"] if of == "error" else [])]}
    table = load(study)
    if of == "error":
        observed = table[table["metric"].str.startswith("observed_")]
        observed = observed.assign(metric=observed["metric"].str.removeprefix("observed_"))
        table = pd.concat([observed, table]).drop_duplicates([*COLUMNS, "replication"])
    table = select(table, **which | wanted)
    found = []
    for cell, wide in make_wide(table, by):
        if of == "error":
            wide = wide.sub(wide["truth"], axis=0).abs()
        elif of == "spread":
            wide = (wide - wide.median()).abs()
        for less, more in product(low, high):
            values = (wide[more] - wide[less]).dropna()
            label = f"{label_of(more)} − {label_of(less)}, {'' if of == 'value' else f'{of} of '}{name(cell, table)}"
            found.append(make_difference(label, values, lambda mean: mean, study, cell.get("test")))
    return judge(found)


def compare_equal(study, among, within, by="model", **which):
    """All values in `among` agree to a share `within` of their size."""
    table = select(load(study), **which | {by: among})
    found = []
    for cell, wide in make_wide(table, by):
        for one, other in zip(among, among[1:]):
            values = ((wide[other] - wide[one]) / wide[one].mean()).dropna()
            label = f"{label_of(other)} relative to {label_of(one)}, {name(cell, table)}"
            found.append(make_difference(label, values, lambda mean: within - abs(mean), study, cell.get("test")))
    return judge(found, f"within {within:g}")


def compare_near(study, target, within, **which):
    """Means are nearer than `within` to a number, or to x."""
    table = select(load(study), **which)
    found = []
    for key, part in table.groupby(COLUMNS, dropna=False):
        cell = pd.Series(key, COLUMNS)
        values = part["value"] - (cell["x"] if target == "x" else target)
        label = f"{name(cell, table)} minus {'x' if target == 'x' else number(target)}"
        found.append(make_difference(label, values, lambda mean: within - abs(mean), study, cell["test"]))
    return judge(found, f"within {within:g}")


def compare_trend(study, direction, slower=False, **which):
    """Values rise (or fall) with x, with `slower` ever more slowly."""
    table, sign = select(load(study), **which), {"rises": 1, "falls": -1}[direction]
    found = []
    for cell, wide in make_wide(table, "x"):
        x = wide.columns.to_numpy(float)
        slopes = sign * wide.diff(axis=1).iloc[:, 1:] / np.diff(x)
        for i, upper in enumerate(x[1:]):
            label = f"slope at {label_of(upper)}, {name(cell, table)}"
            found.append(make_difference(label, slopes[upper], lambda mean: mean, study, cell["test"]))
            if slower and i:
                label = f"loss of slope at {label_of(x[i])}, {name(cell, table)}"
                loss = slopes[x[i]] - slopes[upper]
                found.append(make_difference(label, loss, lambda mean: mean, study, cell["test"]))
    return judge(found)


def compare_times(record, faster, than):
    """A recorded time is below a number of seconds, or below other times of its run, on every kind of processor."""
    found = []
    for run in load_benchmarks(record.removeprefix("benchmark_")):
        seconds = run["seconds"]
        others = {f"{than:g} s": than} if isinstance(than, float) else {label_of(one): seconds[one] for one in than}
        grounds = f"{label_of(faster)} {number(seconds[faster])} s, against " + ", ".join(
            label if isinstance(than, float) else f"{label} {number(other)} s" for label, other in others.items()
        )
        found.append((seconds[faster] / min(others.values()), f"{grounds}, on {run['machine']['processor']}"))
    share, grounds = max(found)
    return "same conclusion" if share < 1 else "differs", grounds


def make_case():
    """Scores of the early-warning paper's client (its table 2) against theta and against lambda, as recorded rows."""
    parties = {"core": [0.6, 0.5, 0.4], "firm": [0.6, 0.3], "logistics": [0.5, 0.3]}
    rs = [scores.party_score(values, scores.EQUAL_WEIGHTS[party]) for party, values in parties.items()]
    rows = []
    for test, grid in (("theta", np.arange(1.0, 11.0)), ("lambda", np.linspace(0, 1, 11))):
        for x in grid:
            theta, industry = (x, 0.0) if test == "theta" else (1.0, x)
            total = float(scores.total_risk_score(rs, theta, industry))
            alone = float(scores.traditional_score(rs, industry))
            found = {("score", "TRS"): total, ("score", "traditional"): alone, ("lead", "TRS"): total - alone}
            found["ratio", "TRS"] = total / alone
            rows += [(model, test, metric, x, 0, value) for (metric, model), value in found.items()]
    return pd.DataFrame(rows, columns=["model", "test", "metric", "x", "replication", "value"])


RULES = {
    "published": compare_published,
    "order": compare_order,
    "equal": compare_equal,
    "near": compare_near,
    "trend": compare_trend,
    "times": compare_times,
}
COMPUTED = {"case of table 2": make_case}


@cache
def recorded(study):
    return COMPUTED[study]() if study in COMPUTED else load_results(study)


@cache
def beside_published(study):
    """Return published numbers beside ours, with the standard error of each; where theirs is not known, ours lends one.

    A number of the payment paper has the error of its own test set, which is larger than ours. So have its deviations
    over folds, which are themselves smaller for it: ours are brought to the size of its folds.
    """
    runs = pd.concat([pd.read_csv(path, encoding="utf-8") for path in sorted(PAPER.glob("*.csv"))])
    runs = runs.query("study == @study")[["source", *COLUMNS, "n_runs"]]
    rows = compare_with_paper(study).assign(study=study).merge(runs, on=["source", *COLUMNS])
    shrink = test_rows() / PAYMENT_TEST_ROWS if study.startswith("payment") else 1.0
    scale = np.where(rows["metric"].isin(["auc_sd", "f1_sd"]), np.sqrt(shrink), 1.0)
    rows["ours"] *= scale
    common = rows["test"].map(lambda test: overlap(study, test))
    rows["error"] = scale * np.sqrt(rows["standard_error"] ** 2 + common * rows["sd"] ** 2)
    lent = rows["sd"] * np.sqrt(shrink * (1 / rows["n_runs"] + common))
    rows["published_error"] = (rows["published_sd"] / np.sqrt(rows["n_runs"])).fillna(lent)
    return rows


def test_rows():
    """Return the number of reports in our test set of the payment paper's tables."""
    return recorded("payment_models_window").query("test == 'random' and metric == 'test_rows'")["value"].mean()


def load(study):
    """Return recorded rows of one or several studies that share their data, or computed ones."""
    parts = [recorded(each) for each in as_list(study)]
    return pd.concat(parts).drop_duplicates([*COLUMNS, "replication"])


def overlap(study, test=None):
    """Return what a squared standard error has of the squared deviation however many the replications, as a share.

    Where each judges by a share q of one table it is q / (1 - q), the ratio of test rows to training rows (Nadeau and
    Bengio 2003). The split in time is one split whose test companies are drawn with replacement: their deviation is the
    error.
    """
    share = SPLITS.get(as_list(study)[0], 0.0)
    return 1.0 if share and test == "time" else share / (1 - share)


def select(table, **which):
    """Keep the rows whose columns have one of the given values; every value has to be there."""
    for column, values in which.items():
        if values is None:
            continue
        values = as_list(values)
        if missing := [value for value in values if value not in set(table[column])]:
            if set(missing) <= LABELS.keys():
                raise Unrecorded(f"not recorded yet: {', '.join(map(label_of, missing))}")
            raise ValueError(f"{column} {missing} not found; there are {sorted(set(table[column]), key=str)}")
        table = table[table[column].isin(values)]
    return table


def make_wide(table, by):
    """Yield per test, metric, model and x, without `by`, a table of replications by the values of `by`."""
    others = [column for column in COLUMNS if column != by]
    for key, part in table.groupby(others, dropna=False, sort=False):
        yield pd.Series(key, others), part.pivot(index="replication", columns=by, values="value")


def make_difference(label, values, margin, study, test=None):
    """Return a difference with its standard error over replications, none where it was computed exactly."""
    mean, n = float(values.mean()), len(values)
    if as_list(study)[0] in COMPUTED:
        return Difference(label, mean, 0.0, margin(mean), n)
    if n < 2:
        raise Unrecorded(f"recorded once or not at all: {label}")
    error = float(values.std(ddof=1) * np.sqrt(1 / n + overlap(study, test)))
    return Difference(label, mean, error, margin(mean), n)


def critical_value(n_comparisons, n_replications):
    """Student's quantile at `LEVEL`, two-sided, shared among the comparisons; 0 for what was computed exactly."""
    return stats.t.ppf(1 - LEVEL / 2 / n_comparisons, n_replications - 1) if n_replications > 1 else 0.0


def judge(found, condition=""):
    """Return the verdict over several differences and the least sure of them; `condition` says what they had to be."""
    limits = [critical_value(len(found), each.n) * each.error for each in found]
    if all(each.margin > limit + ROUNDING for each, limit in zip(found, limits)):
        verdict = "same conclusion"
    elif any(each.margin < ROUNDING - limit for each, limit in zip(found, limits)):
        verdict = "differs"
    else:
        verdict = "undecided"
    least = min(found, key=lambda each: each.margin / max(each.error, ROUNDING))
    grounds = f"{least.name}: {number(least.mean)}{f' ± {number(least.error)}' if least.n > 1 else ''}{count(least.n)}"
    if len(found) > 1:
        grounds = f"{len(found)} differences{f' {condition}' if condition else ''}; the least sure: {grounds}"
    elif condition:
        grounds += f", {condition}"
    return verdict, grounds


def name(cell, table):
    """Say metric, model, test and x of a row, leaving out what is the same in the whole table."""
    words = [label_of(cell["metric"])]
    if "model" in cell:
        words.append(f"of {label_of(cell['model'])}")
    if "test" in cell and table["test"].nunique() > 1:
        words.append(f"({cell['test']})")
    if "x" in cell and not pd.isna(cell["x"]):
        words.append(f"at {label_of(cell['x'])}")
    return " ".join(words)


def label_of(value):
    """Models as in the figures, other names without underscores and with their abbreviations in capitals."""
    if not isinstance(value, str):
        return f"x = {value:g}"
    return LABELS.get(value) or " ".join(
        word.upper() if len(word) <= 3 or not set("aeiou") & set(word) else word for word in value.split("_")
    )


def number(value):
    """Four digits, or all of a whole number; no hyphens for minus."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else "0" if abs(value) < ROUNDING else f"{value:.4g}"
    return text.replace("-", "−")


def count(n_runs):
    return f" ({n_runs} runs)" if n_runs > 1 else ""


def as_list(values):
    return values if isinstance(values, list) else [values]
