"""Studies are the same however they are run: alone or among others, on workers or a cluster, killed and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from qrgmm import experiments, studies
from qrgmm.curve import QuantileCurve
from qrgmm.experiments import compare_with_paper, load_results, replicate, run, summarize

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


def test_a_killed_run_goes_on_where_it_stopped_and_gives_the_same_bytes(recorded, tmp_path):
    command = [sys.executable, "-m", "qrgmm.experiments", STUDY, "--replications", "1000", "--folder", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(experiments.ROOT)}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while len(list(tmp_path.glob("parts/*/*.json"))) < 2:
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("parts/*/*.json")}
    assert not (tmp_path / f"{STUDY}_tiny.csv").exists()
    # What a run that dies while it writes leaves behind.
    next(iter(finished)).with_suffix(".1.tmp").write_text('{"seconds": 0.1, "rows": "test_pro')
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
    monkeypatch.setitem(studies.SIZES["crossing"]["tiny"], "roots", [11])
    second = run("crossing", "tiny", 1, tmp_path)
    assert first["x"].tolist() != second["x"].tolist()


def test_finished_replications_of_other_code_are_refused(tmp_path, monkeypatch):
    run("crossing", "tiny", 1, tmp_path)
    monkeypatch.setitem(experiments.STUDIES, "crossing", lambda rng, **setting: [("qrgmm", "a", "ks", np.nan, 1.0)])
    with pytest.raises(RuntimeError, match="parts.*today's code does not repeat; remove it"):
        run("crossing", "tiny", 2, tmp_path)


def test_the_command_line_runs_and_records(tmp_path):
    assert experiments.main(["crossing", STUDY, "--replications", "1", "--folder", str(tmp_path)]) == 0
    assert set(load_results("crossing", "tiny", tmp_path)["metric"]) == {"misplaced", "crossing"}
    assert set(load_results(STUDY, "tiny", tmp_path)["replication"]) == {0}


@pytest.mark.parametrize(("study", "size", "named"), [("nothing", "tiny", "study"), (STUDY, "huge", "size")])
def test_unknown_studies_and_sizes_are_refused(study, size, named):
    with pytest.raises(ValueError, match=f"^{named} must be one of"):
        replicate(study, size, 0)


def test_a_study_that_was_not_recorded_says_how_to(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m qrgmm.experiments crossing --size paper"):
        load_results("crossing", "paper", tmp_path)


def test_a_comparison_counts_standard_errors_of_both_sides(tmp_path, monkeypatch):
    rows = [(STUDY, "qrgmm", "a", "ks", None, r, value) for r, value in enumerate([1.0, 2.0, 3.0])]
    rows += [(STUDY, "truth", "a", "ks", None, r, 0.5) for r in range(3)]
    pd.DataFrame(rows, columns=experiments.COLUMNS).to_csv(tmp_path / f"{STUDY}_paper.csv", index=False)
    (tmp_path / "paper").mkdir()
    text = "source,study,test,metric,x,model,published,published_sd,n_runs\n"
    text += f"table 0,{STUDY},a,ks,,qrgmm,1.0,2.0,4\ntable 0,{STUDY},a,ks,,cwgan,9.0,,4\n"
    (tmp_path / "paper" / "table_0.csv").write_text(text)
    monkeypatch.setattr(experiments, "PAPER", tmp_path / "paper")
    ours, other = compare_with_paper(STUDY, "paper", tmp_path).to_dict("records")
    assert ours["ours"] == 2 and ours["sd"] == 1 and ours["noise_floor"] == 0.5
    np.testing.assert_allclose([ours["standard_error"], ours["difference"]], [3**-0.5, (1 / 3 + 1) ** -0.5])
    assert np.isnan(other["ours"]) and np.isnan(other["difference"]) and other["published"] == 9
    assert summarize(load_results(STUDY, "paper", tmp_path))["n_replications"].tolist() == [3, 3]


def test_exact_distances_are_those_of_many_draws():
    problem, x = studies.PROBLEMS["test_problem_2"], [[4.0, 4.0]]
    levels = np.arange(1, 20) / 20
    curve = QuantileCurve(levels, 0.9 * problem.ppf(x, levels) + 1)
    exact = studies.exact_distances(curve, problem, x, 100_000)
    draws = curve.sample(400_000, rng=0)[0]
    truth = problem.ppf(x, np.random.default_rng(1).random(400_000))[0]
    scores = studies.compare_samples(draws, truth)
    np.testing.assert_allclose(exact["ks"], studies._ks_to_truth(draws, problem, x), atol=0.003)
    np.testing.assert_allclose([exact["ks"], exact["wd"]], [scores["ks"], scores["wd"]], rtol=0.03)


def test_kn_finds_the_better_treatment_and_stops_early_where_it_is_easy():
    rng = np.random.default_rng(0)
    easy = [[55.0, 0.1, 0.0, 1.0], [55.0, 0.1, 1.0, 0.0]]
    (first, n_first), (second, n_second) = (studies.select_by_kn(patient, rng, 0.25, 0.05, 50) for patient in easy)
    assert (first, second) == (1, 0)
    hard, n_hard = studies.select_by_kn([70.0, 0.05, 0.5, 0.5], rng, 0.25, 0.05, 50)
    assert max(n_first, n_second) < n_hard
