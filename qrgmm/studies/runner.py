r"""Recorded studies: run many replications, resume, record, and repeat what is recorded.

Replication `r` draws from ``SeedSequence(seed, spawn_key=(r,))``: it is the same alone or among 100, on one worker, on
two, or on a Dask cluster. Each finished replication is one small file, written to another name and renamed, so a run
that was killed goes on where it stopped and ends with the same bytes. From a shell::

    python -m qrgmm.studies test_problem_1 test_problem_2 --size paper --jobs 2
    python -m qrgmm.studies check
"""

import argparse
import hashlib
import json
import platform
import shutil
import subprocess
import time
import warnings
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from os import PathLike
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qrgmm.checks import check_count
from qrgmm.studies import (
    contest,
    generators,
    marketplace,
    monitoring,
    payments,
    promise,
    qrgmm_paper,
    sales,
    synthetic,
    systems,
)
from qrgmm.studies.machine import describe_processor
from qrgmm.studies.results import COLUMNS, CONDITIONAL, RESULTS, ROOT, compare_rows, describe_comparison, load_results
from qrgmm.studies.workers import compute

MODULES = (qrgmm_paper, synthetic, contest, generators, sales, marketplace, promise, monitoring, payments, systems)
STUDIES = {name: study for module in MODULES for name, study in module.STUDIES.items()}
SEED = 2026
TINY = 3  # replications of size tiny


def replicate(study: str, size: str, replication: int, seed: int = SEED) -> pd.DataFrame:
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
        rows = STUDIES[study].replicate(rng, **setting)
    table = pd.DataFrame(rows, columns=["model", "test", "metric", "x", "value"])
    return table.assign(study=study, replication=replication)[COLUMNS].astype({"x": float, "value": float})


def run(
    study: str,
    size: str = "tiny",
    n_replications: int | None = None,
    folder: str | PathLike = RESULTS,
    n_jobs: int = 1,
    address: str | None = None,
    fewer: bool = False,
    afresh: bool = False,
) -> pd.DataFrame:
    """Run the replications of a study that are still missing and record all of them.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    size : {"tiny", "paper"}
    n_replications : int, optional
        By default 3 of size tiny and 100 of size paper (fewer of long studies, see `Study`), or as many as are
        recorded if these are more.
    folder : path
        Where ``STUDY_SIZE.csv`` (rows) and ``STUDY_SIZE.json`` (provenance) go; the files of single replications
        stay in its subfolder ``parts`` for the next run. Replications that are recorded there with today's setting
        and seed count as finished, also without these files.
    n_jobs : int
        Worker processes on this machine.
    address : str, optional
        Of a Dask scheduler, ``tcp://...``, to use its workers instead.
    fewer : bool
        Whether a record may be replaced by one of fewer replications.
    afresh : bool
        Whether finished and recorded replications are computed again. A run that is stopped then goes on without it.

    Returns
    -------
    DataFrame
        As `load_results` returns it.

    Raises
    ------
    ValueError
        If the study or the size is unknown, or the number of replications is below 1 or below what is recorded.
    RuntimeError
        If a finished replication, which is recomputed first, comes out differently: the code has changed since. If a
        Dask scheduler does not answer, or one of its workers has other code or none.
    """
    setting = _setting(study, size)
    path = Path(folder) / f"{study}_{size}.csv"
    n_recorded = _count_recorded(path)
    if n_replications is None:
        n_replications = max(default_replications(study, size), n_recorded)
    n_replications = check_count("n_replications", n_replications)
    if n_replications < n_recorded and not fewer:
        raise ValueError(
            f"n_replications is {n_replications}, and {path} holds {n_recorded}: fewer replace more only with --fewer "
            "(fewer=True)"
        )
    identity = hashlib.sha256(json.dumps([study, setting, SEED]).encode()).hexdigest()[:8]
    parts = path.parent / "parts" / f"{study}_{size}_{identity}"
    marker = parts / "afresh"  # stays until the new record is written
    if afresh:
        shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True, exist_ok=True)
    if afresh:
        marker.touch()
    recorded = {} if marker.exists() else _read_record(path, study, size)
    _keep_as_parts(recorded, parts)
    finished = _find_finished(study, size, n_replications, recorded, parts)
    missing = [replication for replication in range(n_replications) if replication not in finished]
    commit = _commit()
    done = compute(_part, [(study, size, replication) for replication in missing], n_jobs, address)
    for replication, part in tqdm(done, f"{study} {size}", n_replications, initial=n_replications - len(missing)):
        finished[replication] = {"commit": commit, **part}
        _write(_part_path(parts, replication), json.dumps(finished[replication]))
    used = [finished[replication] for replication in range(n_replications)]
    table = ",".join(COLUMNS) + "\n" + "".join(part["rows"] for part in used)
    # What is there already keeps its provenance.
    if len(recorded) != n_replications or path.read_text(encoding="utf-8") != table:
        minutes = sum(part["seconds"] for part in used) / 60
        commits = sorted({commit for part in used for commit in part["commit"].split(", ")})
        provenance = describe_run(study, size, n_replications, minutes, commits)
        # A run that is stopped in between leaves rows without provenance, which the next run sees and mends.
        path.with_suffix(".json").unlink(missing_ok=True)
        _write(path, table)
        _write(path.with_suffix(".json"), json.dumps(provenance, indent=2) + "\n")
    marker.unlink(missing_ok=True)
    return load_results(study, size, folder)


def default_replications(study: str, size: str) -> int:
    """Return how many replications of a study are recorded."""
    return TINY if size == "tiny" else STUDIES[study].n_replications


def describe_run(study: str, size: str, n_replications: int, minutes: float, commits: list[str]) -> dict:
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
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "highspy", "torch", "xgboost", "lightgbm")
    return {
        "command": f"python -m qrgmm.studies {study} --size {size} --replications {n_replications}",
        "study": study,
        "size": size,
        "setting": _setting(study, size),
        "note": STUDIES[study].note,
        "n_replications": n_replications,
        "seed": SEED,
        "commits": commits,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "device": "cpu",
        "machine": describe_processor(),
        "minutes": float(f"{minutes:.3g}"),
        "date": date.today().isoformat(),
    }


def compare_with_record(study: str, replication: int = 0, fresh: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a recorded replication of size tiny beside the same computed again.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    replication : int
    fresh : DataFrame, optional
        As `replicate` returns it, if it was computed already.

    Returns
    -------
    DataFrame
        As `compare_rows` returns it: one row per number, with the columns kind, difference and agrees.

    Examples
    --------
    >>> compare_with_record("dependence")[["kind", "agrees"]].drop_duplicates().values.tolist()
    [['repeatable', True]]
    """
    recorded = load_results(study, "tiny")
    fresh = replicate(study, "tiny", replication) if fresh is None else fresh
    return compare_rows(recorded, fresh, replication)


def repeat_record(study: str, models: list[str] | None = None) -> str:
    """Compute replication 0 of size tiny again, and say whether it is what is recorded.

    Parameters
    ----------
    study : str
        A key of `STUDIES`.
    models : list of str, optional
        Whose numbers are compared; by default all.

    Returns
    -------
    str
        The same on every machine as long as the numbers agree, see `qrgmm.studies.results.describe_comparison`.

    Raises
    ------
    ValueError
        If the study is unknown, or the record has none of a model.

    Examples
    --------
    >>> repeat_record("dependence")
    'dependence: 4 numbers as recorded (to a relative 1e-06)'
    """
    table = compare_with_record(study)
    if models is not None:
        known = set(table.loc[table["recorded"].notna(), "model"])
        if not set(models) <= known:
            raise ValueError(f"models must be among {', '.join(sorted(known))}, got {models!r}")
        table = table[table["model"].isin(models)]
    return f"{study}: {describe_comparison(table)}"


def check(studies: list[str] | None = None) -> bool:
    """Compare replication 0 of size tiny with the recorded one, print the outcome, and return whether all agree.

    Parameters
    ----------
    studies : list of str, optional
        By default all.

    Returns
    -------
    bool
        True if every number agrees: repeatable ones to a relative 1e-6, chaotic ones within the recorded spread.
    """
    agree = True
    for study in tqdm(studies or STUDIES, "check", leave=False):
        table = compare_with_record(study)
        largest = table.groupby("kind")["difference"].max()
        text = f"largest relative difference {largest.get('repeatable', 0):.0e}"
        if "chaotic" in largest:
            text += f", {largest['chaotic']:.1f} standard deviations of chaotic models"
        tqdm.write(f"{study:26} {text}; {describe_comparison(table)}")
        agree &= bool(table["agrees"].all())
    return agree


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, see ``python -m qrgmm.studies --help``."""
    parser = argparse.ArgumentParser(prog="python -m qrgmm.studies", description="Run, resume and record studies.")
    known = ["check", "all", *STUDIES]
    about = f"check compares the others named, or all; all runs every study; one or more of {', '.join(known)}"
    parser.add_argument("studies", nargs="+", choices=known, metavar="study", help=about)
    parser.add_argument(
        "--size", choices=sorted({size for study in STUDIES.values() for size in study.sizes}), default="tiny"
    )
    parser.add_argument("--replications", type=int, help="default: 3 of size tiny, 100 (or fewer) of size paper")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes on this machine")
    parser.add_argument("--address", help="of a Dask scheduler, tcp://..., instead of local workers")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    parser.add_argument("--fewer", action="store_true", help="let fewer replications replace a record of more")
    parser.add_argument("--afresh", action="store_true", help="compute again what is finished and recorded")
    options = parser.parse_args(arguments)
    if options.replications is not None and options.replications < 1:
        parser.error(f"--replications must be at least 1, got {options.replications}")
    if "check" in options.studies:
        for name, number in describe_run("crossing", "tiny", 1, 0, [])["versions"].items():
            print(f"{name:20} {number}")
        return 0 if check([name for name in options.studies if name in STUDIES]) else 1
    for study in STUDIES if "all" in options.studies else options.studies:
        where = (options.folder, options.jobs, options.address)
        run(study, options.size, options.replications, *where, options.fewer, options.afresh)
    return 0


def _setting(study, size):
    if study not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}, got {study!r}")
    sizes = STUDIES[study].sizes
    if size not in sizes:
        raise ValueError(f"size must be one of {', '.join(sizes)}, got {size!r}")
    return sizes[size]


def _count_recorded(path):
    """Return how many replications a file holds, also one whose provenance was lost."""
    try:
        return int(pd.read_csv(path, encoding="utf-8")["replication"].nunique())
    except (OSError, ValueError, KeyError):
        return 0


def _read_record(path, study, size):
    """Return what is recorded as parts, by replication; nothing unless setting, seed and number are those it states."""
    try:
        provenance = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        replications = pd.read_csv(path, encoding="utf-8")["replication"].to_numpy()
        stated = {"study": study, "size": size, "setting": _setting(study, size), "seed": SEED}
        stated["n_replications"] = len(np.unique(replications))
        if {key: provenance[key] for key in stated} != stated or len(lines) != len(replications):
            return {}
        seconds = round(60 * provenance["minutes"] / stated["n_replications"], 3)
        common = {"commit": ", ".join(provenance["commits"]), "seconds": seconds}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        int(r): {**common, "rows": "".join(lines[i] for i in np.flatnonzero(replications == r))}
        for r in np.unique(replications)
    }


def _keep_as_parts(recorded, parts):
    """Write the files of recorded replications where they are missing or other: what is recorded goes first."""
    for replication, part in recorded.items():
        path = _part_path(parts, replication)
        try:
            same = json.loads(path.read_text(encoding="utf-8"))["rows"] == part["rows"]
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            _write(path, json.dumps(part))


def _find_finished(study, size, n_replications, recorded, parts):
    """Return the parts that are whole and fit together, by replication.

    One replication of the record, and one of the parts that go beyond it, is computed again and has to agree.
    """
    read, rows = {}, {}
    for replication in range(n_replications):
        path = _part_path(parts, replication)
        if path.exists():
            try:
                read[replication], rows[replication] = _read_part(path, study, replication)
            except (ValueError, KeyError, TypeError) as error:
                _warn_of_damage(path, repr(error))
    labels = {replication: _list_labels(table) for replication, table in rows.items()}
    found = list(labels.values())
    usual = max(found, key=lambda label: (found.count(label), len(label)), default=None)
    for replication in [replication for replication in labels if labels[replication] != usual]:
        _warn_of_damage(_part_path(parts, replication), "its rows have other labels than those of other replications")
        del read[replication], rows[replication]
    firsts = [next((r for r in rows if (r in recorded) == known), None) for known in (True, False)]
    for replication in [first for first in firsts if first is not None]:
        table = compare_rows(pd.concat(rows.values()), replicate(study, size, replication), replication)
        if not table["agrees"].all():
            raise RuntimeError(
                f"{_part_path(parts, replication)} holds a replication that today's code does not repeat "
                f"({describe_comparison(table)}). To record the study anew: --afresh (afresh=True)"
            )
    return read


def _read_part(path, study, replication):
    part = json.loads(path.read_text(encoding="utf-8"))
    dtypes = {"x": float, "replication": int, "value": float}
    rows = pd.read_csv(StringIO(part["rows"]), names=COLUMNS, dtype=dtypes)
    named = (rows["study"] == study).all() and (rows["replication"] == replication).all()
    if not (len(rows) and named and np.isfinite(rows["value"]).all()):
        raise ValueError(f"not the rows of replication {replication} of {study}")
    if not isinstance(part["commit"], str) or part["seconds"] < 0:
        raise ValueError("no commit or no seconds")
    return part, rows


def _list_labels(rows):
    """Return the labels that every replication has, as they are counted and compared."""
    rows = rows[~rows["metric"].isin(CONDITIONAL)]
    return sorted(zip(rows["model"], rows["test"], rows["metric"], rows["x"].astype(str)))


def _warn_of_damage(path, reason):
    warnings.warn(f"{path} is damaged ({reason}); this replication is computed again", stacklevel=4)


def _part_path(parts, replication):
    return parts / f"{replication:04d}.json"


def _part(study, size, replication):
    start = time.perf_counter()
    rows = replicate(study, size, replication)
    text = rows.to_csv(index=False, header=False, float_format="%.9g", lineterminator="\n")
    return replication, {"seconds": round(time.perf_counter() - start, 3), "rows": text}


def _write(path, text):
    """Write a file under another name and rename it: whoever looks sees all of it or nothing."""
    scratch = path.with_suffix(f".{uuid4().hex}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8", newline="\n")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _version(package):
    """Return the version of a package; XGBoost without GPUs has a name of its own where there is a build of it."""
    names = [package, "xgboost-cpu"] if package == "xgboost" else [package]
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError(package)


def _commit():
    def ask_git(*question):
        command = ["git", "-C", str(ROOT), *question]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        commit, changed = ask_git("rev-parse", "HEAD"), ask_git("status", "--porcelain", "qrgmm")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with changes" if changed else "")
