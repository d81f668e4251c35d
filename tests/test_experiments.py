"""Studies are the same however they are run: alone or among others, on workers or a cluster, killed and resumed."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest

from qrgmm.curve import QuantileCurve
from qrgmm.studies import qrgmm_paper, runner, workers
from qrgmm.studies.results import load_results
from qrgmm.studies.runner import replicate, run
from qrgmm.studies.study import compare_samples

STUDY = "test_problem_1"
N = 4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The bytes of an uninterrupted run on one worker."""
    folder = tmp_path_factory.mktemp("one_worker")
    run(STUDY, "tiny", N, folder)
    return (folder / f"{STUDY}_tiny.csv").read_bytes()


def test_a_replication_is_the_same_alone_and_among_others(recorded, tmp_path):
    run(STUDY, "tiny", N, tmp_path)
    among_others = load_results(STUDY, "tiny", tmp_path).query("replication == 2").reset_index(drop=True)
    alone = replicate(STUDY, "tiny", 2)
    pd.testing.assert_frame_equal(alone, among_others, rtol=1e-8, check_dtype=False)
    assert (tmp_path / f"{STUDY}_tiny.csv").read_bytes() == recorded


def test_replications_differ_and_so_do_seeds():
    values = [replicate(STUDY, "tiny", r, seed)["value"].to_numpy() for r, seed in ((0, 1), (1, 1), (0, 2))]
    assert not np.allclose(values[0], values[1]) and not np.allclose(values[0], values[2])


def test_two_workers_give_the_same_bytes(recorded, tmp_path):
    run(STUDY, "tiny", N, tmp_path, n_jobs=2)
    assert (tmp_path / f"{STUDY}_tiny.csv").read_bytes() == recorded


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")
def test_a_dask_cluster_gives_the_same_bytes(recorded, tmp_path):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        run(STUDY, "tiny", N, tmp_path, address=cluster.scheduler_address)
        computed = {step.key for step in cluster.scheduler.transition_log if step.finish == "memory"}
    assert len(computed) > 1, "the scheduler handed out work"
    assert (tmp_path / f"{STUDY}_tiny.csv").read_bytes() == recorded


COMMAND = [sys.executable, "-m", "qrgmm.studies", STUDY]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(runner.ROOT)}


HAS_PROC = Path("/proc/self/environ").exists()


def find_running(mark):
    """Return the processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ended = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
            if f"RUN_OF_A_TEST={mark}\0".encode() in (folder / "environ").read_bytes() and not ended:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_run_leaves_no_workers_goes_on_where_it_stopped_and_gives_the_same_bytes(recorded, tmp_path):
    command = [*COMMAND, "--replications", "100000", "--folder", str(tmp_path), "--jobs", "2"]
    mark = {"RUN_OF_A_TEST": str(tmp_path)}
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=ENVIRONMENT | mark, stdout=log, stderr=log)
        try:
            wait_until(lambda: len(list(tmp_path.glob("parts/*/*.json"))) > 1 or process.poll() is not None, 120)
            assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
            if HAS_PROC:
                assert len(set(find_running(tmp_path)) - {process.pid}) >= 2
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    if HAS_PROC:
        wait_until(lambda: not find_running(tmp_path), 20)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("parts/*/*.json")}
    assert not (tmp_path / f"{STUDY}_tiny.csv").exists()
    # What a run that dies while it writes leaves behind.
    next(iter(finished)).with_suffix(".1.tmp").write_text('{"seconds": 0.1, "rows": "test_pro', encoding="utf-8")
    run(STUDY, "tiny", N, tmp_path)
    assert (tmp_path / f"{STUDY}_tiny.csv").read_bytes() == recorded
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_run_with_nothing_left_to_do_keeps_its_record(tmp_path, recorded):
    run(STUDY, "tiny", 1, tmp_path)
    before = (tmp_path / f"{STUDY}_tiny.json").stat().st_mtime_ns
    run(STUDY, "tiny", 1, tmp_path)
    assert (tmp_path / f"{STUDY}_tiny.json").stat().st_mtime_ns == before


def test_another_setting_does_not_reuse_finished_replications(tmp_path, monkeypatch):
    first = run("crossing", "tiny", 1, tmp_path)
    monkeypatch.setitem(qrgmm_paper.STUDIES["crossing"].sizes["tiny"], "roots", [11])
    second = run("crossing", "tiny", 1, tmp_path)
    assert first["x"].tolist() != second["x"].tolist()


def test_the_command_line_runs_and_records(tmp_path):
    assert runner.main(["crossing", STUDY, "--replications", "1", "--folder", str(tmp_path)]) == 0
    assert set(load_results("crossing", "tiny", tmp_path)["metric"]) == {"misplaced", "crossing"}
    assert set(load_results(STUDY, "tiny", tmp_path)["replication"]) == {0}


@pytest.mark.parametrize(("study", "size", "named"), [("nothing", "tiny", "study"), (STUDY, "huge", "size")])
def test_unknown_studies_and_sizes_are_refused(study, size, named):
    with pytest.raises(ValueError, match=f"^{named} must be one of"):
        replicate(study, size, 0)


@pytest.fixture
def made_up(monkeypatch):
    """A study of one repeatable and one chaotic number, computed at once; `computed` lists what was asked for."""
    computed = []

    def study(rng, **setting):
        computed.append(len(computed))
        return [("qrgmm", "a", "ks", 0.5, rng.random()), ("cwgan", "a", "ks", np.nan, rng.random())]

    monkeypatch.setitem(runner.STUDIES, "crossing", replace(runner.STUDIES["crossing"], replicate=study))
    monkeypatch.setattr(runner, "_commit", lambda: "today")  # asking git takes longer than all else
    return computed


def read(folder, ending, study="crossing"):
    return (folder / f"{study}_tiny{ending}").read_bytes()


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_there_is_at_least_one_replication(tmp_path, n):
    with pytest.raises(ValueError, match="^n_replications must be"):
        run("crossing", "tiny", n, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_line_refuses_no_replications(tmp_path, capsys):
    with pytest.raises(SystemExit):
        runner.main(["crossing", "--replications", "0", "--folder", str(tmp_path)])
    assert "--replications must be at least 1, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_fewer_replications_replace_more_only_if_asked_by_name(tmp_path, made_up):
    run("crossing", "tiny", 4, tmp_path)
    four = read(tmp_path, ".csv"), read(tmp_path, ".json")
    with pytest.raises(ValueError, match="n_replications is 2, and .*crossing_tiny.csv holds 4: .*--fewer"):
        run("crossing", "tiny", 2, tmp_path)
    with pytest.raises(ValueError, match="holds 4"):
        run("crossing", "tiny", 2, tmp_path, afresh=True)
    assert (read(tmp_path, ".csv"), read(tmp_path, ".json")) == four
    assert run("crossing", "tiny", None, tmp_path)["replication"].nunique() == 4
    assert runner.main(["crossing", "--replications", "2", "--folder", str(tmp_path), "--fewer"]) == 0
    assert load_results("crossing", "tiny", tmp_path)["replication"].nunique() == 2
    assert json.loads(read(tmp_path, ".json"))["n_replications"] == 2


def test_a_fresh_clone_adds_to_what_is_recorded(tmp_path, made_up):
    whole, clone = tmp_path / "whole", tmp_path / "clone"
    run("crossing", "tiny", 5, whole)
    run("crossing", "tiny", 3, clone)
    shutil.rmtree(clone / "parts")
    provenance = json.loads(read(clone, ".json"))
    changed = {"commits": ["earlier", "earliest"], "minutes": 30.0}
    (clone / "crossing_tiny.json").write_text(json.dumps(provenance | changed), encoding="utf-8")
    made_up.clear()
    run("crossing", "tiny", 5, clone)
    assert len(made_up) == 3, "one is repeated, two are new"
    assert read(clone, ".csv") == read(whole, ".csv")
    provenance = json.loads(read(clone, ".json"))
    assert {"earlier", "earliest"} < set(provenance["commits"]) and provenance["n_replications"] == 5
    assert provenance["minutes"] == pytest.approx(30, rel=0.01)


@pytest.mark.parametrize("study", ["early_warning", "synthetic_peers", "payment_models"])
def test_records_of_the_repository_become_parts_and_the_same_bytes(tmp_path, monkeypatch, study):
    for ending in (".csv", ".json"):
        shutil.copy(runner.RESULTS / f"{study}_tiny{ending}", tmp_path)
    before = read(tmp_path, ".csv", study)
    recorded = load_results(study, "tiny")

    def remember(study, size, replication):
        return recorded[recorded["replication"] == replication]

    monkeypatch.setattr(runner, "replicate", remember)
    run(study, "tiny", 3, tmp_path)
    run(study, "tiny", 3, tmp_path)
    assert read(tmp_path, ".csv", study) == before
    assert len(list(tmp_path.glob("parts/*/*.json"))) == 3


@pytest.mark.parametrize("key", ["setting", "seed", "n_replications"])
def test_a_record_of_another_setting_or_seed_is_not_added_to(tmp_path, made_up, key):
    run("crossing", "tiny", 2, tmp_path)
    shutil.rmtree(tmp_path / "parts")
    provenance = json.loads(read(tmp_path, ".json"))
    (tmp_path / "crossing_tiny.json").write_text(json.dumps(provenance | {key: 7}), encoding="utf-8")
    made_up.clear()
    run("crossing", "tiny", 2, tmp_path)
    assert len(made_up) == 2
    assert json.loads(read(tmp_path, ".json")) == provenance | {"minutes": ANY}


@pytest.mark.parametrize("clone", [False, True])
def test_what_other_code_recorded_is_refused_until_it_is_recorded_afresh(tmp_path, monkeypatch, made_up, clone):
    run("crossing", "tiny", 3, tmp_path)
    if clone:
        shutil.rmtree(tmp_path / "parts")
    before = read(tmp_path, ".csv"), read(tmp_path, ".json")
    other = replace(runner.STUDIES["crossing"], replicate=lambda rng, **setting: [("qrgmm", "a", "ks", np.nan, 1.0)])
    monkeypatch.setitem(runner.STUDIES, "crossing", other)
    with pytest.raises(RuntimeError, match=r"parts.*today's code does not repeat .*DIFFER.*--afresh \(afresh=True\)"):
        run("crossing", "tiny", 4, tmp_path)
    assert (read(tmp_path, ".csv"), read(tmp_path, ".json")) == before
    assert runner.main(["crossing", "--folder", str(tmp_path), "--afresh"]) == 0
    assert load_results("crossing", "tiny", tmp_path)["value"].tolist() == [1, 1, 1]
    run("crossing", "tiny", 4, tmp_path)


def test_a_run_afresh_that_is_stopped_goes_on_and_does_not_mix_with_the_old_record(tmp_path, monkeypatch, made_up):
    run("crossing", "tiny", 3, tmp_path)
    asked = []

    def other(study, size, replication):
        asked.append(replication)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return pd.DataFrame([("crossing", "qrgmm", "a", "ks", np.nan, replication, 7.0)], columns=runner.COLUMNS)

    monkeypatch.setattr(runner, "replicate", other)
    with pytest.raises(KeyboardInterrupt):
        run("crossing", "tiny", 3, tmp_path, afresh=True)
    assert 7 not in load_results("crossing", "tiny", tmp_path)["value"].tolist()
    run("crossing", "tiny", 3, tmp_path)
    assert load_results("crossing", "tiny", tmp_path)["value"].tolist() == [7, 7, 7]
    assert asked == [0, 1, 2, 0, 2], "replication 0 is repeated, 2 was missing"


def test_a_chaotic_model_may_differ_when_a_run_goes_on(tmp_path, monkeypatch, made_up):
    run("crossing", "tiny", 3, tmp_path)
    recorded = load_results("crossing", "tiny", tmp_path).query("replication == 0")

    def moved(model, amount):
        values = recorded["value"] + amount * (recorded["model"] == model)
        monkeypatch.setattr(runner, "replicate", lambda *_: recorded.assign(value=values))
        run("crossing", "tiny", 3, tmp_path)

    moved("cwgan", 0.05)
    for model, amount in (("cwgan", 50), ("qrgmm", 1e-5)):
        with pytest.raises(RuntimeError, match="does not repeat"):
            moved(model, amount)


@pytest.mark.parametrize("unwritten", [".csv", ".json"])
@pytest.mark.parametrize("n_before", [0, 2])
def test_a_stop_between_the_two_files_is_mended_by_the_next_run(tmp_path, monkeypatch, made_up, unwritten, n_before):
    if n_before:
        run("crossing", "tiny", n_before, tmp_path)
    write = runner._write

    def full(path, text):
        if path.parent == tmp_path and path.suffix == unwritten:
            raise OSError(28, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            run("crossing", "tiny", 4, tmp_path)
    assert not (tmp_path / "crossing_tiny.json").exists(), "never rows with the provenance of others"
    run("crossing", "tiny", 4, tmp_path)
    whole = tmp_path / "whole"
    run("crossing", "tiny", 4, whole)
    assert read(tmp_path, ".csv") == read(whole, ".csv")
    assert json.loads(read(tmp_path, ".json")) == json.loads(read(whole, ".json")) | {"minutes": ANY}


@pytest.mark.parametrize("stale", [None, "", "{}", "[]", '{"n_replications": 2}'])
def test_missing_or_stale_provenance_is_written_again(tmp_path, made_up, stale):
    run("crossing", "tiny", 3, tmp_path)
    path = tmp_path / "crossing_tiny.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    path.unlink() if stale is None else path.write_text(stale, encoding="utf-8")
    run("crossing", "tiny", 3, tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == before


def test_a_full_disk_leaves_no_scratch_file(tmp_path, monkeypatch):
    def full(path, text, **how):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        runner._write(tmp_path / "file.json", "{}")
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "NULs": lambda text: "\0" * len(text),
    "nothing in it": lambda text: "{}",
    "a list": lambda text: "[1]",
    "not text": lambda text: "\udcff",
    "rows that are a number": lambda text: json.dumps(json.loads(text) | {"rows": 3}),
    "no rows": lambda text: json.dumps(json.loads(text) | {"rows": ""}),
    "a row less": lambda text: json.dumps(json.loads(text) | {"rows": json.loads(text)["rows"].split("\n", 1)[1]}),
    "rows twice": lambda text: json.dumps(json.loads(text) | {"rows": 2 * json.loads(text)["rows"]}),
    "a row cut": lambda text: json.dumps(json.loads(text) | {"rows": json.loads(text)["rows"].rsplit(",", 1)[0]}),
    "another replication": lambda text: text.replace(",1,", ",2,"),
    "another study": lambda text: text.replace("crossing", "bank"),
    "another label": lambda text: text.replace("qrgmm,", "QRGMM,"),
    "not a number": lambda text: json.dumps(json.loads(text) | {"rows": "crossing,qrgmm,a,ks,0.5,1,abc\n"}),
    "no commit": lambda text: json.dumps(json.loads(text) | {"commit": None}),
    "no seconds": lambda text: json.dumps(json.loads(text) | {"seconds": "long"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_named_and_computed_again(tmp_path, made_up, damage):
    run("crossing", "tiny", 3, tmp_path)
    before = read(tmp_path, ".csv")
    for ending in (".csv", ".json"):  # else the record would mend it
        (tmp_path / f"crossing_tiny{ending}").unlink()
    part = next(tmp_path.glob("parts/*/0001.json"))
    text = part.read_text(encoding="utf-8")
    part.write_text(DAMAGE[damage](text), encoding="utf-8", errors="surrogateescape")
    assert part.read_bytes() != text.encode()
    made_up.clear()
    with pytest.warns(UserWarning, match=f"{part.name} is damaged .*computed again"):
        run("crossing", "tiny", 3, tmp_path)
    assert len(made_up) == 2, "one is repeated, one computed again"
    assert read(tmp_path, ".csv") == before


def test_a_damaged_part_of_what_is_recorded_is_taken_from_the_record(tmp_path, made_up):
    run("crossing", "tiny", 3, tmp_path)
    before = read(tmp_path, ".csv"), read(tmp_path, ".json")
    part = next(tmp_path.glob("parts/*/0001.json"))
    part.write_text("", encoding="utf-8")
    made_up.clear()
    run("crossing", "tiny", 3, tmp_path)
    assert len(made_up) == 1 and part.stat().st_size
    assert (read(tmp_path, ".csv"), read(tmp_path, ".json")) == before


def test_a_record_that_was_cut_is_mended(tmp_path, made_up):
    run("crossing", "tiny", 3, tmp_path)
    path, before = tmp_path / "crossing_tiny.csv", read(tmp_path, ".csv")
    path.write_bytes(before[: before.rindex(b"\n", 0, -1) + 1])
    with pytest.warns(UserWarning, match="0002.json is damaged .*other labels"):
        run("crossing", "tiny", 3, tmp_path)
    assert path.read_bytes() == before
    path.write_bytes(b"")
    run("crossing", "tiny", 3, tmp_path)
    assert path.read_bytes() == before


def test_two_runs_at_once_into_one_folder_give_the_same_bytes(recorded, tmp_path):
    command = [*COMMAND, "--replications", str(N), "--folder", str(tmp_path)]
    runs = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE) for _ in range(2)]
    for one in runs:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    assert read(tmp_path, ".csv", STUDY) == recorded
    assert json.loads(read(tmp_path, ".json", STUDY))["n_replications"] == N
    assert not list(tmp_path.rglob("*.tmp"))


dask = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:distributed",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@dask
def test_a_cluster_with_one_thread_does_the_work(recorded, tmp_path, monkeypatch):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        run(STUDY, "tiny", N, tmp_path, address=cluster.scheduler_address)
        computed = {step.key for step in cluster.scheduler.transition_log if step.finish == "memory"}
    assert len(computed) == N
    assert read(tmp_path, ".csv", STUDY) == recorded


@dask
def test_workers_with_other_code_or_none_are_named_and_get_no_work(tmp_path):
    from dask.distributed import LocalCluster

    other, none = tmp_path / "other", tmp_path / "none"
    shutil.copytree(runner.ROOT / "qrgmm", other / "qrgmm", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "qrgmm" / "loss.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    (none / "qrgmm").mkdir(parents=True)
    (none / "qrgmm" / "__init__.py").write_text("raise ImportError('there is no qrgmm here')\n", encoding="utf-8")
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        started = []
        try:
            for path in (other, none):
                command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
                command += ["--name", path.name, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
                command += ["--local-directory", str(path)]
                environment = os.environ | {"PYTHONPATH": str(path)}
                with open(path / "log", "w", encoding="utf-8") as log:
                    worker = subprocess.Popen(command, env=environment, cwd=path, stdout=log, stderr=log)
                started.append(worker)
            cluster.wait_for_workers(2, timeout=60)
            with pytest.raises(RuntimeError, match="can't be used") as error:
                run(STUDY, "tiny", N, tmp_path, address=cluster.scheduler_address)
            for fault in ("has other code of qrgmm than this process", "can't import qrgmm .*there is no qrgmm here"):
                assert re.search(rf"tcp://[\d.:]+ {fault}", str(error.value))
        finally:
            for worker in started:
                worker.kill()
                worker.wait()
    assert not list(tmp_path.glob("parts/*/*.json"))


@dask
def test_a_worker_that_comes_later_needs_the_same_code_too(tmp_path, monkeypatch):
    from dask.distributed import Client, LocalCluster

    def change_code(client, function):
        found = probe(client, function)
        monkeypatch.setattr(workers, "CODE", "other")
        return found

    probe = Client.run
    monkeypatch.setattr(Client, "run", change_code)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        with pytest.raises(RuntimeError, match="has other code of qrgmm"):
            run(STUDY, "tiny", N, tmp_path, address=cluster.scheduler_address)


@dask
def test_a_silent_scheduler_and_one_without_workers_are_errors(tmp_path, monkeypatch):
    from dask.distributed import LocalCluster

    monkeypatch.setattr(workers, "PATIENCE", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=f"no Dask scheduler answers at {address} within 1 seconds"):
            run("crossing", "tiny", 1, tmp_path, address=address)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        with pytest.raises(RuntimeError, match="has no worker after 1 seconds"):
            run("crossing", "tiny", 1, tmp_path, address=cluster.scheduler_address)


def test_xgboost_is_known_by_one_name_whatever_its_distribution(monkeypatch):
    def installed(*names):
        def version(name):
            if name in names:
                return "1.2"
            raise PackageNotFoundError(name)

        monkeypatch.setattr(runner, "version", version)

    for name in ("xgboost", "xgboost-cpu"):
        installed(name)
        assert runner._version("xgboost") == "1.2"
    installed("numpy")
    with pytest.raises(PackageNotFoundError):
        runner._version("xgboost")
    monkeypatch.undo()
    assert "xgboost" in runner.describe_run("crossing", "tiny", 1, 0, [])["versions"]


def test_exact_distances_are_those_of_many_draws():
    problem, x = qrgmm_paper.PROBLEMS["test_problem_2"], [[4.0, 4.0]]
    levels = np.arange(1, 20) / 20
    curve = QuantileCurve(levels, 0.9 * problem.ppf(x, levels) + 1)
    exact = qrgmm_paper.exact_distances(curve, problem, x, 100_000)
    draws = curve.sample(400_000, rng=0)[0]
    truth = problem.ppf(x, np.random.default_rng(1).random(400_000))[0]
    scores = compare_samples(draws, truth)
    np.testing.assert_allclose(exact["ks"], qrgmm_paper._ks_to_truth(draws, problem, x), atol=0.003)
    np.testing.assert_allclose([exact["ks"], exact["wd"]], [scores["ks"], scores["wd"]], rtol=0.03)


def test_kn_finds_the_better_treatment_and_stops_early_where_it_is_easy():
    rng = np.random.default_rng(0)
    easy = [[55.0, 0.1, 0.0, 1.0], [55.0, 0.1, 1.0, 0.0]]
    (first, n_first), (second, n_second) = (qrgmm_paper.select_by_kn(patient, rng, 0.25, 0.05, 50) for patient in easy)
    assert (first, second) == (1, 0)
    hard, n_hard = qrgmm_paper.select_by_kn([70.0, 0.05, 0.5, 0.5], rng, 0.25, 0.05, 50)
    assert max(n_first, n_second) < n_hard
