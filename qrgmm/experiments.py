r"""Recorded studies: run many replications, resume, record, load, and compare with what a paper published.

Replication `r` draws from ``SeedSequence(seed, spawn_key=(r,))``: it is the same alone or among 100, on one worker, on
two, or on a Dask cluster. Each finished replication is one small file, written to another name and renamed, so a run
that was killed goes on where it stopped and ends with the same bytes. From a shell::

    python -m qrgmm.experiments test_problem_1 test_problem_2 --size paper --replications 100 --jobs 2
    python -m qrgmm.experiments check
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qrgmm import generator_studies, payment_studies, sales_studies, studies, synthetic_studies, system_studies

_MODULES = (studies, synthetic_studies, generator_studies, sales_studies, payment_studies, system_studies)
STUDIES, SIZES, NOTES, FEWER = (
    {name: value for module in _MODULES for name, value in getattr(module, table, {}).items()}
    for table in ("STUDIES", "SIZES", "NOTES", "FEWER")
)
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
PAPER = ROOT / "data" / "paper"
SEED = 2026
COLUMNS = ["study", "model", "test", "metric", "x", "replication", "value"]
# Between two samples of the truth metrics of these names measure noise, not a model: the noise floor.
DISTANCES = ("ks", "wd", "joint_wd")
REPLICATIONS = {"tiny": 3, "paper": 100}


def replicate(study, size, replication, seed=SEED):
    """Return the rows of one replication of a study.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    size : {"tiny", "paper"}
    replication : int
        Counted from 0; it and `seed` fix every random number.
    seed : int

    Returns
    -------
    DataFrame
        With the columns study, model, test, metric, x (for example n or m; NaN where there is none), replication and
        value.

    Raises
    ------
    ValueError
        If the study or the size is unknown.

    Examples
    --------
    >>> replicate("crossing", "tiny", 0).columns.tolist()
    ['study', 'model', 'test', 'metric', 'x', 'replication', 'value']
    """
    setting = _setting(study, size)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(replication,)))
    with threadpool_limits(1):
        rows = STUDIES[study](rng, **setting)
    table = pd.DataFrame(rows, columns=["model", "test", "metric", "x", "value"])
    return table.assign(study=study, replication=replication)[COLUMNS].astype({"x": float, "value": float})


def run(study, size="tiny", n_replications=None, folder=RESULTS, n_jobs=1, address=None):
    """Run the replications of a study that are still missing and record all of them.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    size : {"tiny", "paper"}
    n_replications : int, optional
        By default 3 of size tiny and 100 of size paper (fewer of long studies, see `FEWER`).
    folder : path
        Where ``STUDY_SIZE.csv`` (rows) and ``STUDY_SIZE.json`` (provenance) go; the files of single replications
        stay in its subfolder ``parts`` for the next run.
    n_jobs : int
        Worker processes on this machine.
    address : str, optional
        Of a Dask scheduler, ``tcp://...``, to use its workers instead.

    Returns
    -------
    DataFrame
        As `load_results` returns it.

    Raises
    ------
    ValueError
        If the study or the size is unknown.
    RuntimeError
        If a finished replication, which is recomputed first, comes out differently: the code has changed since.
    """
    setting = _setting(study, size)
    n_replications = default_replications(study, size) if n_replications is None else n_replications
    identity = hashlib.sha256(json.dumps([study, setting, SEED]).encode()).hexdigest()[:8]
    parts = Path(folder) / "parts" / f"{study}_{size}_{identity}"
    parts.mkdir(parents=True, exist_ok=True)
    paths = [parts / f"{replication:04d}.json" for replication in range(n_replications)]
    missing = [replication for replication, path in enumerate(paths) if not path.exists()]
    finished = [replication for replication in range(n_replications) if replication not in missing]
    if finished and not _agree(_read(paths[finished[0]]), replicate(study, size, finished[0])):
        raise RuntimeError(f"{parts} holds replications that today's code does not repeat; remove it to start afresh")
    commit = _commit()
    with _workers(n_jobs, address):
        done = Parallel(return_as="generator_unordered")(delayed(_part)(study, size, r) for r in missing)
        for replication, part in tqdm(done, f"{study} {size}", n_replications, initial=n_replications - len(missing)):
            _write(paths[replication], json.dumps({"commit": commit, **part}))
    read = [json.loads(path.read_text()) for path in paths]
    table = ",".join(COLUMNS) + "\n" + "".join(part["rows"] for part in read)
    path = Path(folder) / f"{study}_{size}.csv"
    # What is there already keeps its provenance.
    if not path.exists() or path.read_text() != table:
        _write(path, table)
        minutes = sum(part["seconds"] for part in read) / 60
        commits = sorted({part["commit"] for part in read})
        provenance = describe_run(study, size, n_replications, minutes, commits)
        _write(path.with_suffix(".json"), json.dumps(provenance, indent=2) + "\n")
    return load_results(study, size, folder)


def default_replications(study, size):
    """Return how many replications of a study are recorded."""
    return REPLICATIONS["tiny"] if size == "tiny" else FEWER.get(study, REPLICATIONS["paper"])


def load_results(study, size="paper", folder=RESULTS):
    """Return the recorded rows of a study.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    size : {"tiny", "paper"}
    folder : path

    Returns
    -------
    DataFrame
        One row per model, test, metric, x and replication, see `replicate`.

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
        make = f"python -m qrgmm.experiments {study} --size {size}"
        raise FileNotFoundError(f"{path.name} is not recorded; make it: {make}")
    return pd.read_csv(path)


def summarize(results):
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


def compare_with_paper(study, size="paper", folder=RESULTS):
    r"""Return a table of published numbers beside ours.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    size : {"tiny", "paper"}
    folder : path

    Returns
    -------
    DataFrame
        With published value and its standard deviation over runs, ours and its standard deviation and standard error;
        `difference`, ours minus published in standard errors of that difference (both sides' runs vary; where the
        paper's deviation is not known, ours stands in for it); and `noise_floor`, what two samples of the truth reach.
        Blank where there is no number.

    Examples
    --------
    >>> compare_with_paper("crossing", "tiny")["metric"].unique().tolist()
    ['misplaced']
    """
    published = pd.concat(pd.read_csv(path) for path in sorted(PAPER.glob("*.csv"))).query("study == @study")
    summary = summarize(load_results(study, size, folder))
    table = published.merge(summary, on=["test", "metric", "x", "model"], how="left")
    paper_sd = table["published_sd"].fillna(table["sd"])
    error = np.sqrt(table["sd"] ** 2 / table["n_replications"] + paper_sd**2 / table["n_runs"])
    table["difference"] = (table["ours"] - table["published"]) / error.where(error > 0)
    floor = summary[(summary["model"] == "truth") & summary["metric"].str.startswith(DISTANCES)]
    floor = floor.rename(columns={"ours": "noise_floor"})[["test", "metric", "x", "noise_floor"]]
    table = table.merge(floor, on=["test", "metric", "x"], how="left")
    shown = ["published", "published_sd", "ours", "sd", "standard_error", "difference", "noise_floor"]
    return table[["source", "test", "metric", "x", "model", *shown]]


def describe_run(study, size, n_replications, minutes, commits):
    """Return where recorded rows come from: command, setting, seed, commits, versions, machine, minutes.

    Parameters
    ----------
    study, size : str
    n_replications : int
    minutes : float
        Of computing, summed over workers.
    commits : list of str
        At which replications were computed; several if the run was resumed later.

    Returns
    -------
    dict
    """
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "highspy", "torch", "xgboost-cpu", "lightgbm")
    return {
        "command": f"python -m qrgmm.experiments {study} --size {size} --replications {n_replications}",
        "study": study,
        "size": size,
        "setting": _setting(study, size),
        "note": NOTES[study],
        "n_replications": n_replications,
        "seed": SEED,
        "commits": commits,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "device": "cpu",
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "minutes": float(f"{minutes:.3g}"),
        "date": date.today().isoformat(),
    }


def check(studies=None):
    """Compare replication 0 of size tiny with the recorded one, print the outcome, and return whether all agree.

    Parameters
    ----------
    studies : list of str, optional
        By default all.

    Returns
    -------
    bool
        True if every value agrees to a relative 1e-6.
    """
    agree = True
    for study in tqdm(studies or STUDIES, "check", leave=False):
        recorded = load_results(study, "tiny").query("replication == 0")
        fresh = replicate(study, "tiny", 0)
        same = _agree(fresh, recorded)
        tqdm.write(f"{study:20} {'as recorded' if same else 'DIFFERS from what is recorded'}")
        agree &= same
    return agree


def main(arguments=None):
    """Run the command line, see ``python -m qrgmm.experiments --help``."""
    parser = argparse.ArgumentParser(prog="python -m qrgmm.experiments", description="Run, resume and record studies.")
    known = ["check", "all", *STUDIES]
    about = f"check compares, all runs every study; one or more of {', '.join(known)}"
    parser.add_argument("studies", nargs="+", choices=known, metavar="study", help=about)
    parser.add_argument("--size", choices=sorted({size for sizes in SIZES.values() for size in sizes}), default="tiny")
    parser.add_argument("--replications", type=int, help="default: 3 of size tiny, 100 (or fewer) of size paper")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes on this machine")
    parser.add_argument("--address", help="of a Dask scheduler, tcp://..., instead of local workers")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if "check" in options.studies:
        for name, number in describe_run("crossing", "tiny", 1, 0, [])["versions"].items():
            print(f"{name:20} {number}")
        return 0 if check() else 1
    for study in STUDIES if "all" in options.studies else options.studies:
        run(study, options.size, options.replications, options.folder, options.jobs, options.address)
    return 0


def _setting(study, size):
    if study not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}, got {study!r}")
    if size not in SIZES[study]:
        raise ValueError(f"size must be one of {', '.join(SIZES[study])}, got {size!r}")
    return SIZES[study][size]


@contextmanager
def _workers(n_jobs, address):
    """Let joblib's `Parallel` use local processes or a Dask cluster."""
    if address is None:
        with parallel_config("loky", n_jobs=n_jobs):
            yield
    else:
        from dask.distributed import Client  # takes a second to import and is rarely used

        with Client(address), parallel_config("dask"):
            yield


def _part(study, size, replication):
    start = time.perf_counter()
    rows = replicate(study, size, replication)
    text = rows.to_csv(index=False, header=False, float_format="%.9g", lineterminator="\n")
    return replication, {"seconds": round(time.perf_counter() - start, 3), "rows": text}


def _read(path):
    return pd.read_csv(StringIO(json.loads(path.read_text())["rows"]), names=COLUMNS)


def _agree(rows, others):
    """Return whether the values of two tables agree to a relative 1e-6."""
    return len(rows) == len(others) and np.allclose(rows["value"], others["value"], rtol=1e-6, atol=1e-9)


def _write(path, text):
    """Write a file under another name and rename it: whoever looks sees all of it or nothing."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(text, newline="\n")
    scratch.replace(path)


def _commit():
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "qrgmm"], capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with changes" if changed else "")


def _processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
