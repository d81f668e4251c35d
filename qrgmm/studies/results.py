r"""Recorded results: find them, read them, summarize them, set them beside published numbers, and compare two runs.

Two classes of numbers. *Repeatable* ones, nearly all, agree to a relative 1e-6 on every machine: closed forms, linear
programmes, and whatever is trained in double precision. *Chaotic* ones come from models whose training multiplies the
last bit until it is as large as the number: CWGAN, and peers that other packages train. Engression and the quantile
forest have columns in single precision, where a tie between two splits falls one way or the other, and CatBoost
chooses its instructions itself; the Bayesian factorization machine draws its path; a penalised optimum need not be
unique. Those can only be compared within what recorded replications vary by.
"""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# The checkout that holds this file; of a package that is installed elsewhere, the folder where Python runs.
_CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = _CHECKOUT if (_CHECKOUT / "data" / "results").is_dir() else Path.cwd()
RESULTS = ROOT / "data" / "results"
PAPER = ROOT / "data" / "paper"
COLUMNS = ["study", "model", "test", "metric", "x", "replication", "value"]
LABELS = COLUMNS[:-1]
# Between two samples of the truth metrics of these names measure noise, not a model: the noise floor.
DISTANCES = ("ks", "wd", "joint_wd")
# Without a default there is no loss given default, without a warning no precision and no lead time.
CONDITIONAL = ("lgd", "precision", "lead_time")
RELATIVE, FLOOR = 1e-6, 1e-3  # of repeatable numbers; those below the floor agree to an absolute 1e-9
# Standard deviations that a chaotic number may lie from the mean of the recorded ones. Under three sets of processor
# instructions the largest was 1.8, over 1,866 numbers of 8 studies of size tiny; with other data it was 7.6.
SPREADS = 6


def load_results(study: str, size: str = "paper", folder: str | PathLike = RESULTS) -> pd.DataFrame:
    """Return the recorded rows of a study.

    Parameters
    ----------
    study : str
        A key of `qrgmm.studies.runner.STUDIES`.
    size : {"tiny", "paper"}
    folder : path

    Returns
    -------
    DataFrame
        One row per model, test, metric, x and replication, see `qrgmm.studies.runner.replicate`.

    Raises
    ------
    FileNotFoundError
        If the study was not recorded; the message says how to.

    Examples
    --------
    >>> load_results("crossing", "tiny")["replication"].nunique()
    3
    """
    path = Path(folder) / f"{study}_{size}.csv"
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {path.parent}: recorded results come with the repository and not with the "
                "installed package; clone it and run Python in its folder"
            )
        make = f"python -m qrgmm.studies {study} --size {size}"
        raise FileNotFoundError(f"{path.name} is not recorded; make it: {make}")
    return pd.read_csv(path, encoding="utf-8")


def summarize(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and standard error over replications.

    Parameters
    ----------
    results : DataFrame
        As `load_results` returns it.

    Returns
    -------
    DataFrame
        One row per test, metric, x and model, with the columns ours, sd, n_replications and standard_error.

    Examples
    --------
    >>> summary = summarize(load_results("test_problem_1", "tiny"))
    >>> summary["n_replications"].unique().tolist()
    [3]
    """
    groups = results.groupby(["test", "metric", "x", "model"], dropna=False, sort=False)["value"]
    summary = groups.agg(ours="mean", sd="std", n_replications="size").reset_index()
    return summary.assign(standard_error=summary["sd"] / np.sqrt(summary["n_replications"]))


def compare_with_paper(study: str, size: str = "paper", folder: str | PathLike = RESULTS) -> pd.DataFrame:
    r"""Return a table of published numbers beside ours.

    Parameters
    ----------
    study : str
        A key of `qrgmm.studies.runner.STUDIES`.
    size : {"tiny", "paper"}
    folder : path

    Returns
    -------
    DataFrame
        With published value and its standard deviation over runs, ours and its standard deviation and standard error;
        `difference`, ours minus published in standard errors of that difference (both sides' runs vary; where the
        paper's deviation is not known, ours stands in for it); and `noise_floor`, what two samples of the truth reach.
        Blank where there is no number.

    Raises
    ------
    FileNotFoundError
        As `load_results`.

    Examples
    --------
    >>> compare_with_paper("crossing", "tiny")["metric"].unique().tolist()
    ['misplaced']
    """
    summary = summarize(load_results(study, size, folder))
    published = [pd.read_csv(path, encoding="utf-8") for path in sorted(PAPER.glob("*.csv"))]
    published = pd.concat(published).query("study == @study")
    table = published.merge(summary, on=["test", "metric", "x", "model"], how="left")
    paper_sd = table["published_sd"].fillna(table["sd"])
    error = np.sqrt(table["sd"] ** 2 / table["n_replications"] + paper_sd**2 / table["n_runs"])
    table["difference"] = (table["ours"] - table["published"]) / error.where(error > 0)
    floor = summary[(summary["model"] == "truth") & summary["metric"].str.startswith(DISTANCES)]
    floor = floor.rename(columns={"ours": "noise_floor"})[["test", "metric", "x", "noise_floor"]]
    table = table.merge(floor, on=["test", "metric", "x"], how="left")
    shown = ["published", "published_sd", "ours", "sd", "standard_error", "difference", "noise_floor"]
    return table[["source", "test", "metric", "x", "model", *shown]]


def load_benchmarks(name: str, folder: str | PathLike = RESULTS) -> list[dict[str, Any]]:
    """Return the recorded runs of a benchmark, one for each kind of processor.

    Parameters
    ----------
    name : str
        Of a file in ``benchmarks/``.
    folder : path

    Returns
    -------
    list of dict
        With the keys setting, seconds, ratios, machine, date and others.

    Raises
    ------
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> all(record["ratios"]["monte_carlo_10000"] > 1 for record in load_benchmarks("exact_risk"))
    True
    """
    paths = sorted(Path(folder).glob(f"benchmark_{name}.*.json"))
    if not paths:
        make = f"python benchmarks/run.py {name}"
        raise FileNotFoundError(f"no benchmark {name!r} is recorded in {folder}; make it: {make}")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def find_chaotic(models: pd.Series) -> pd.Series:
    """Return which models are chaotic: trained so that the last bit of a machine decides, see the top of the file.

    Parameters
    ----------
    models : Series of str

    Returns
    -------
    Series of bool

    Examples
    --------
    >>> find_chaotic(pd.Series(["qrgmm", "cwgan_paper", "engression"])).tolist()
    [False, True, True]
    """
    others = ["engression", "quantile_forest", "two_part_forest", "bayesian_fm", "penalised", "catboost"]
    return models.str.startswith("cwgan") | models.isin(others)


def compare_rows(recorded: pd.DataFrame, fresh: pd.DataFrame, replication: int) -> pd.DataFrame:
    """Return the rows of a replication that was computed again beside the recorded ones of the same labels.

    Parameters
    ----------
    recorded : DataFrame
        All replications of a study; what they vary by is the yardstick of chaotic numbers.
    fresh : DataFrame
        The same, or some replications of it, computed again.
    replication : int
        The one that is compared.

    Returns
    -------
    DataFrame
        One row per label (study, model, test, metric, x, replication) of either side, with the columns recorded and
        fresh (blank on the side that lacks the label), kind ("repeatable" or "chaotic"), difference and agrees. The
        difference is relative, or, of chaotic numbers, in standard deviations from the mean of the recorded
        replications (blank if there is only one of these); it is infinite where a side lacks the label.

    Examples
    --------
    >>> recorded = load_results("crossing", "tiny")
    >>> compare_rows(recorded, recorded, 1)["agrees"].all()
    np.True_
    """
    recorded, fresh = _as_written(recorded), _as_written(fresh)
    sides = [
        rows[rows["replication"] == replication].rename(columns={"value": name})
        for name, rows in (("recorded", recorded), ("fresh", fresh))
    ]
    table = sides[0].merge(sides[1], on=[*LABELS, "repeat"], how="outer")
    chaotic = find_chaotic(table["model"])
    both = np.isfinite(table["recorded"]) & np.isfinite(table["fresh"])
    relative = (table["fresh"] - table["recorded"]).abs() / (table["recorded"].abs() + FLOOR)
    table = table.merge(_spread(recorded), on=["model", "test", "metric", "x"], how="left")
    deviations = (table["fresh"] - table["mean"]).abs() / table["spread"]
    difference = relative.mask(chaotic, deviations).where(both, np.inf)
    # Whether a chaotic model sees a default at all is chance, too.
    difference = difference.mask(chaotic & ~both & table["metric"].isin(CONDITIONAL))
    agrees = (difference <= RELATIVE).mask(chaotic, ~(difference > SPREADS)).astype(bool)
    kind = np.where(chaotic, "chaotic", "repeatable")
    return table.assign(kind=kind, difference=difference, agrees=agrees).drop(columns=["repeat", "mean", "spread"])


def describe_comparison(table: pd.DataFrame) -> str:
    """Return in words whether rows agree; nothing of what is said if they do depends on the machine.

    Parameters
    ----------
    table : DataFrame
        As `compare_rows` returns it.

    Returns
    -------
    str

    Examples
    --------
    >>> recorded = load_results("crossing", "tiny")
    >>> print(describe_comparison(compare_rows(recorded, recorded, 0)))
    12 numbers as recorded (to a relative 1e-06)
    """
    chaotic = table["kind"] == "chaotic"
    if table["agrees"].all():
        # Of chaotic numbers those of the record are counted: which others there are is the machine's chance.
        n_chaotic = int((chaotic & table["recorded"].notna()).sum())
        text = f"{(~chaotic).sum()} numbers as recorded (to a relative {RELATIVE:.0e})"
        return text + (f", {n_chaotic} of chaotic models within {SPREADS} standard deviations" if n_chaotic else "")
    differing = table[~table["agrees"]]
    # Deviations and relative differences have no common scale; a repeatable number that moved says more.
    worst = differing.sort_values(["kind", "difference"], ascending=False, kind="stable").iloc[0]
    amount = f"by {worst['difference']:.0e}" + (" standard deviations" if worst["kind"] == "chaotic" else "")
    amount = "with no number on one side" if np.isinf(worst["difference"]) else amount
    label = [worst[key] for key in ("model", "test", "metric")] + ([] if np.isnan(worst["x"]) else [f"{worst['x']:g}"])
    return (
        f"{len(differing)} of {len(table)} numbers DIFFER from the record, the largest {amount} ({', '.join(label)}): "
        "another version of a package or of the code, or a processor that rounds in another way"
    )


def _as_written(rows):
    """Return rows with labels as a record has them; `repeat` counts rows of one and the same label."""
    rows = rows[COLUMNS].astype(dict.fromkeys(("study", "model", "test", "metric"), str))
    rows["x"] = [float(f"{x:.9g}") for x in rows["x"]]
    return rows.assign(repeat=rows.groupby(LABELS, dropna=False).cumcount())


def _spread(recorded):
    """Return mean and spread over replications by model, test, metric and x.

    Three replications can lie together by chance. So the spread, relative to the mean, is at least what is typical of
    the model and metric over tests and x, and at least 10 %; where all recorded are zero, it is the deviation typical
    of the metric. A number next to zero on a curve of larger ones, such as the risk of a small loan, has at least 10 %
    of their mean.
    """
    cells = summarize(recorded).rename(columns={"ours": "mean"})
    size = cells["mean"].abs()
    typical = (cells["sd"] / size).groupby([cells["model"], cells["metric"]]).transform("median").clip(lower=0.1)
    curve = size.groupby([cells[key] for key in ("model", "test", "metric")]).transform("mean")
    curve = (0.1 * curve).where((size > 0) & cells["sd"].notna())
    spread = pd.concat([cells["sd"], typical * size, curve], axis=1).max(axis=1)
    positive = cells["sd"].where(cells["sd"] > 0)
    by_model, by_metric = (
        positive.groupby([cells[key] for key in keys]).transform("median") for keys in (["model", "metric"], ["metric"])
    )
    spread = spread.mask(spread == 0, by_model.fillna(by_metric))
    return cells.assign(spread=spread)[["model", "test", "metric", "x", "mean", "spread"]]
