"""Two runs are compared by label: repeatable numbers to 1e-6, chaotic ones within the spread of replications."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from qrgmm.studies import results, runner
from qrgmm.studies.results import (
    COLUMNS,
    compare_rows,
    compare_with_paper,
    describe_comparison,
    load_results,
    summarize,
)
from qrgmm.studies.runner import check, compare_with_record, main, repeat_record

STUDY = "test_problem_1"
CHAOTIC = "test_problem_1_generators"
SPREAD = 0.1


def make_rows(study=STUDY, n_replications=3):
    """Two repeatable models, and a chaotic one whose deviation over replications is 0.1 everywhere."""
    rows = []
    for r in range(n_replications):
        for x in (1 / 3, 1.0, np.nan):
            rows += [(study, "qrgmm", "a", "ks", x, r, 0.5 + r), (study, "truth", "a", "ks", x, r, 0.25)]
            rows.append((study, "cwgan_paper", "a", "ks", x, r, 1 + SPREAD * (r - 1)))
        rows.append((study, "cwgan_paper", "a", "lgd", np.nan, r, 0.5 + SPREAD * r))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def alter(rows, model, change, replication=0):
    """Change the value of the first row of a model."""
    first = rows.index[(rows["model"] == model) & (rows["replication"] == replication)][0]
    rows.loc[first, "value"] = change(rows.loc[first, "value"])
    return rows


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A made-up record of a study with chaotic models, and a study that repeats it."""

    def write(rows):
        rows.to_csv(tmp_path / f"{STUDY}_tiny.csv", index=False)

    fresh = make_rows().query("replication == 0").reset_index(drop=True)
    monkeypatch.setattr(runner, "load_results", lambda study, size: load_results(study, size, tmp_path))
    monkeypatch.setattr(runner, "replicate", lambda study, size, replication: fresh)
    write(make_rows())
    return write


def test_what_is_repeated_agrees_and_says_so_without_a_digit_of_the_machine(record):
    text = f"{STUDY}: 6 numbers as recorded (to a relative 1e-06), 4 of chaotic models within 6 standard deviations"
    assert repeat_record(STUDY) == text
    moved = alter(make_rows(), "qrgmm", lambda value: value * (1 + 5e-7))
    record(alter(moved, "cwgan_paper", lambda value: value + 0.2))
    assert repeat_record(STUDY) == text
    assert repeat_record(STUDY, ["qrgmm"]) == f"{STUDY}: 3 numbers as recorded (to a relative 1e-06)"
    assert check([STUDY])


def test_the_command_checks_the_studies_that_are_named(capsys):
    assert main(["check", "dependence", "ranking"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["dependence", "ranking"]


@pytest.mark.parametrize("factor", [1 + 3e-6, 1 + 1e-4, 1.01, -1, np.nan, np.inf])
def test_a_repeatable_digit_that_moved_is_said_and_not_raised(record, factor, capsys):
    record(alter(make_rows(), "qrgmm", lambda value: value * factor))
    text = repeat_record(STUDY)
    assert "1 of 10 numbers DIFFER from the record, the largest " in text and "(qrgmm, a, ks, 0.333333)" in text
    assert repeat_record(STUDY, ["truth", "cwgan_paper"]).startswith(f"{STUDY}: 3 numbers as recorded")
    assert not check([STUDY])
    assert "DIFFER" in capsys.readouterr().out


def test_the_tolerance_is_relative_with_an_absolute_floor():
    recorded = make_rows()
    for value, moved, agrees in (
        (1e6, 0.9, True),
        (1e6, 1.1, False),
        (1.0, 0.9e-6, True),
        (1.0, 1.1e-6, False),
        (0.0, 0.9e-9, True),
        (0.0, 1.1e-9, False),
        (1e-3, 1e-9, True),
        (1e-3, 1e-8, False),
    ):
        before = alter(recorded, "truth", lambda _, value=value: value)
        after = alter(before.copy(), "truth", lambda value, moved=moved: value + moved)
        assert compare_rows(before, after, 0)["agrees"].all() == agrees, (value, moved)


@pytest.mark.parametrize("kind", ["swapped models", "another test", "another x", "a row less", "a row more", "twice"])
@pytest.mark.parametrize("model", ["qrgmm", "cwgan_paper"])
def test_labels_and_the_number_of_rows_are_compared_and_not_positions(kind, model):
    recorded = make_rows()
    fresh = recorded.query("replication == 0").reset_index(drop=True)
    row = fresh.index[fresh["model"] == model][0]
    shuffled = fresh.sample(frac=1, random_state=0)
    assert compare_rows(recorded, shuffled, 0)["agrees"].all()
    if kind == "swapped models":
        fresh["model"] = fresh["model"].replace({"qrgmm": "truth", "truth": "qrgmm"})
    elif kind == "another test":
        fresh.loc[row, "test"] = "b"
    elif kind == "another x":
        fresh.loc[row, "x"] = 0.3334
    elif kind == "a row less":
        fresh = fresh.drop(index=row)
    else:
        more = fresh.loc[[row]].assign(**({"metric": "new"} if kind == "a row more" else {}))
        fresh = pd.concat([fresh, more], ignore_index=True)
    table = compare_rows(recorded, fresh, 0)
    assert not table["agrees"].all() and "DIFFER" in describe_comparison(table)


def test_chaotic_numbers_are_compared_within_the_spread_of_replications():
    recorded = make_rows()
    for shift, agrees in ((-0.4, True), (0.6, True), (0.8, False), (-0.6, False), (50, False)):
        fresh = alter(make_rows(), "cwgan_paper", lambda value, shift=shift: value + shift)
        table = compare_rows(recorded, fresh, 0)
        assert table["agrees"].all() == agrees, shift
        # The recorded mean is 1, replication 0 is at 0.9.
        moved = table[(table["model"] == "cwgan_paper") & (table["x"] < 0.5)]
        np.testing.assert_allclose(moved["difference"], abs(shift - 0.1) / SPREAD)
    assert table.loc[table["model"] == "cwgan_paper", "kind"].eq("chaotic").all()
    assert "1 of 10 numbers DIFFER from the record, the largest by 5e+02 standard" in describe_comparison(table)


def test_replications_that_lie_together_by_chance_do_not_make_the_spread_small():
    recorded = make_rows()
    together = (recorded["model"] == "cwgan_paper") & (recorded["x"] < 0.5)
    recorded.loc[together, "value"] = 1.0
    fresh = alter(recorded.copy(), "cwgan_paper", lambda value: value + 0.5)
    table = compare_rows(recorded, fresh, 0)
    assert table["agrees"].all() and np.isclose(table["difference"].max(), 5)
    recorded.loc[together, "value"] = 0.0  # all zero: what is typical of the metric takes over
    fresh = alter(recorded.copy(), "cwgan_paper", lambda value: value + 0.5)
    assert np.isclose(compare_rows(recorded, fresh, 0)["difference"].max(), 5)


def test_a_number_next_to_zero_on_a_curve_has_the_spread_of_the_curve():
    recorded = make_rows()
    small = (recorded["model"] == "cwgan_paper") & (recorded["x"] < 0.5)
    recorded.loc[small, "value"] *= 1e-3
    near, far = (alter(recorded.copy(), "cwgan_paper", lambda value, by=by: value + by) for by in (0.1, 5.0))
    assert compare_rows(recorded, near, 0)["agrees"].all() and not compare_rows(recorded, far, 0)["agrees"].all()


def test_whether_a_chaotic_model_sees_a_default_is_chance():
    recorded = make_rows()
    without = recorded[recorded["metric"] != "lgd"]
    assert compare_rows(recorded, without, 0)["agrees"].all()
    assert compare_rows(without, recorded, 0)["agrees"].all()
    repeatable = recorded.replace({"cwgan_paper": "qrgmm_fm"})
    assert not compare_rows(repeatable, repeatable[repeatable["metric"] != "lgd"], 0)["agrees"].all()


def test_one_replication_has_no_spread_to_judge_a_chaotic_number_by():
    recorded = make_rows(n_replications=1)
    fresh = alter(recorded.copy(), "cwgan_paper", lambda value: value + 5)
    assert compare_rows(recorded, fresh, 0)["agrees"].all()
    assert not compare_rows(recorded, alter(fresh, "qrgmm", lambda value: value + 5), 0)["agrees"].all()


@pytest.mark.parametrize("study", [STUDY, CHAOTIC, "synthetic_peers", "big_mart_tuning"])
def test_recorded_replications_agree_with_themselves_and_not_with_one_another(study):
    recorded = load_results(study, "tiny")
    for replication in range(3):
        fresh = recorded[recorded["replication"] == replication]
        table = compare_with_record(study, replication, fresh)
        assert table["agrees"].all() and len(table) == len(fresh)
        other = fresh.assign(replication=(replication + 1) % 3)
        assert not compare_with_record(study, (replication + 1) % 3, other)["agrees"].all()


def test_a_model_that_is_not_recorded_is_refused(record):
    with pytest.raises(ValueError, match="models must be among cwgan_paper, qrgmm, truth, got .'qrgmn'"):
        repeat_record(STUDY, ["qrgmn"])


def test_a_comparison_counts_standard_errors_of_both_sides(tmp_path, monkeypatch):
    rows = [(STUDY, "qrgmm", "a", "ks", None, r, value) for r, value in enumerate([1.0, 2.0, 3.0])]
    rows += [(STUDY, "qrgmm", "b", "ks", None, r, value) for r, value in enumerate([1.0, 2.0, 3.0])]
    rows += [(STUDY, "truth", "a", "ks", None, r, 0.5) for r in range(3)]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / f"{STUDY}_paper.csv", index=False)
    (tmp_path / "paper").mkdir()
    text = "source,study,test,metric,x,model,published,published_sd,n_runs\n"
    text += f"table 0,{STUDY},a,ks,,qrgmm,1.0,2.0,4\ntable 0,{STUDY},a,ks,,cwgan,9.0,,4\n"
    text += f"table 0,{STUDY},b,ks,,qrgmm,1.0,,4\n"
    (tmp_path / "paper" / "table_0.csv").write_text(text, encoding="utf-8")
    monkeypatch.setattr(results, "PAPER", tmp_path / "paper")
    ours, other, without_sd = compare_with_paper(STUDY, "paper", tmp_path).to_dict("records")
    assert ours["ours"] == 2 and ours["sd"] == 1 and ours["noise_floor"] == 0.5
    np.testing.assert_allclose([ours["standard_error"], ours["difference"]], [3**-0.5, (1 / 3 + 1) ** -0.5])
    assert np.isnan(other["ours"]) and np.isnan(other["difference"]) and other["published"] == 9
    # Our deviation of 1 stands in for theirs.
    np.testing.assert_allclose(without_sd["difference"], (1 / 3 + 1 / 4) ** -0.5)
    assert summarize(load_results(STUDY, "paper", tmp_path))["n_replications"].tolist() == [3, 3, 3]


def test_a_study_that_was_not_recorded_says_how_to(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m qrgmm.studies crossing --size paper"):
        load_results("crossing", "paper", tmp_path)


INSTALLED = """
from qrgmm.studies.results import load_results
import sys
assert not {"torch", "qrgmm.studies.qrgmm_paper"} & set(sys.modules), "reading is quick"
print(len(load_results("crossing", "tiny")))
"""


@pytest.mark.parametrize("place", ["in the checkout", "elsewhere"])
def test_an_installed_package_finds_the_records_where_python_runs_or_says_where_they_are(tmp_path, place):
    site = tmp_path / "site-packages"
    (site / "qrgmm" / "studies").mkdir(parents=True)
    for name in ("__init__.py", "studies/__init__.py", "studies/results.py"):
        (site / "qrgmm" / name).write_bytes((results.ROOT / "qrgmm" / name).read_bytes())
    command = [sys.executable, "-c", INSTALLED]
    environment = {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    where = results.ROOT if place == "in the checkout" else tmp_path
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, encoding="utf-8")
    if place == "in the checkout":
        assert done.returncode == 0 and int(done.stdout) == len(load_results("crossing", "tiny")), done.stderr
    else:
        assert "clone it and run Python in its folder" in done.stderr
