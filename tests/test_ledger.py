"""The ledger rests on evidence: every row points at something that is there, and a verdict is computed or argued."""

import re
from pathlib import Path

import ledger_page
import numpy as np
import pandas as pd
import pytest
from ledger_rules import (
    COMPUTED,
    VERDICTS,
    Difference,
    compare_order,
    compare_published,
    decide,
    judge,
    make_case,
    worst,
)

from qrgmm.studies.results import PAPER, RESULTS

ROOT = Path(__file__).resolve().parents[1]
ROWS = [row for paper in ledger_page.read_ledger() for row in paper["rows"]]
JUDGED = [row for rows in ledger_page.judge_papers().values() for row in rows]
TEXTS = [*(ROOT / "notebooks").glob("[0-9][0-9]_*.md"), *(ROOT / "book").glob("*.md")]
LABELS = {
    label for path in TEXTS for label in re.findall(r"^\((\S+)\)=$", path.read_text(encoding="utf-8"), re.MULTILINE)
}
each_row = pytest.mark.parametrize("row", ROWS, ids=[f"{i} {row['place']}" for i, row in enumerate(ROWS)])
each_judged = pytest.mark.parametrize("judged", JUDGED, ids=[f"{i} {row.verdict}" for i, row in enumerate(JUDGED)])


@each_row
def test_a_row_is_computed_or_argued_and_not_both(row):
    assert {"place", "what", "evidence"} <= row.keys()
    assert row.keys() <= {"place", "what", "evidence", "words", "checks", "why", "verdict", "argued"}
    if "checks" in row:
        assert row["checks"] and "verdict" not in row and "argued" not in row
    else:
        assert row["verdict"] in VERDICTS and row["argued"] in ledger_page.ARGUMENTS and "why" not in row
        assert row["verdict"] in ("same", "same conclusion") or "words" in row or row["argued"] == "not run"


@each_row
def test_evidence_is_there(row):
    assert row["evidence"] and set(row["evidence"]) <= LABELS
    for name in set(ledger_page.find_records(row)) - set(COMPUTED):
        described = name in (RESULTS.parent / "README.md").read_text(encoding="utf-8")
        assert described or (RESULTS / f"{name}_paper.csv").exists() or (RESULTS / f"{name}.json").exists()


@each_judged
def test_a_verdict_is_one_of_the_closed_set_and_gives_its_reason(judged):
    assert judged.verdict in VERDICTS and bool(judged.numbers) == ("checks" in judged.row)
    if judged.numbers and judged.verdict == "differs":
        assert judged.row.get("why"), f"say why: {judged.numbers}"
    assert all("nan" not in numbers for numbers in judged.numbers)


def test_every_row_is_on_the_page():
    page = ledger_page.make_page()
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    for row, verdict, _ in JUDGED:
        assert any(line.startswith(f"| {row['place']}: {row['what']} | *{verdict}* | ") for line in lines)
    assert set(ledger_page.MEANINGS) == set(VERDICTS)


@pytest.mark.parametrize("path", sorted(PAPER.glob("*.csv")), ids=lambda path: path.stem)
def test_published_numbers_are_used(path):
    published = pd.read_csv(path).query("test != 'time'")
    checks = [check for row in ROWS for check in row.get("checks", []) if check["rule"] == "published"]
    used = pd.Series(False, published.index)
    for check in checks:
        chosen = pd.Series(True, published.index)
        for column, values in check.items():
            if column in published:
                chosen &= published[column].isin(values if isinstance(values, list) else [values])
        used |= chosen
    forgotten = published[~used & published["published"].notna()]
    # A threshold, compared by itself; distances of samples of another size; and what no generator of ours was asked.
    alone = forgotten["source"].isin(["figure 1 (payment)", "figure EC.3"])
    assert (alone | forgotten["model"].isin(["cwgan", "diffusion", "rectified_flow"])).all()


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.9, 1.0, 1.1, 1.0], "same conclusion"), ([-0.9, -1.0, -1.1, -1.0], "differs"), ([1, -1, 2, -2.0], "undecided")],
)
def test_an_order_holds_fails_or_stays_open_by_paired_differences(monkeypatch, values, verdict):
    rows = [("a", i, 5.0 * i) for i in range(4)] + [("b", i, 5.0 * i + value) for i, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["model", "replication", "value"]).assign(test="test", metric="ks", x=np.nan)
    monkeypatch.setattr("ledger_rules.recorded", lambda study: table)
    found, numbers = compare_order("study", low="a", high="b")
    assert found == verdict and "4 runs" in numbers
    with pytest.raises(ValueError, match="model .'c'. not found"):
        compare_order("study", low="a", high="c")


@pytest.mark.parametrize(("ours", "verdict"), [(1.3, "differs"), (1.1, "same")])
def test_few_replications_are_judged_by_the_published_deviation_or_not_at_all(monkeypatch, ours, verdict):
    cell = {"study": "study", "test": "test", "metric": "ks", "x": np.nan, "model": "a"}
    row = cell | {"source": "table", "published": 1.0, "published_sd": 0.1, "ours": ours, "noise_floor": np.nan}
    monkeypatch.setattr("ledger_rules.recorded", lambda study: pd.DataFrame([cell] * 2).assign(replication=[0, 1]))
    monkeypatch.setattr("ledger_rules.beside_published", lambda study: pd.DataFrame([row | {"difference": 20.0}]))
    assert compare_published("study", "table")[0] == "undecided"  # the quantile of two replications is 64
    # 4.2 and 1.4 standard errors of two of their runs; the quantile is 2.6.
    assert compare_published("study", "table", spread="published")[0] == verdict


def test_a_level_is_shared_by_the_differences_of_a_claim():
    clear, doubtful = Difference("", 1.0, 0.1, 1.0, 100), Difference("", 0.27, 0.1, 0.27, 100)
    assert judge([clear])[0] == judge([doubtful])[0] == "same conclusion"  # the quantile of one is 2.63
    assert judge([clear] * 9 + [doubtful])[0] == "undecided"  # that of ten is 3.39


def test_what_is_computed_exactly_needs_no_error():
    assert judge([Difference("", 1e-6, 0.0, 1e-6, 1)])[0] == "same conclusion"
    assert judge([Difference("", 1e-17, 0.0, 1e-17, 1)])[0] == "differs"  # equal but for rounding: no difference


def test_the_gravest_verdict_counts_and_an_unrecorded_study_is_open():
    assert worst(["same", "differs", "undecided"]) == "differs"
    assert worst(["same", "same conclusion"]) == "same conclusion"
    verdict, why = decide({"rule": "order", "study": "never run", "metric": "ks", "low": "a", "high": "b"})
    assert verdict == "open" and "not recorded" in why


def test_the_case_of_the_early_warning_paper_is_that_of_its_chapter():
    case = make_case().query("test == 'theta' and metric == 'score' and model == 'TRS'").set_index("x")["value"]
    rs = np.array([0.5, 0.45, 0.4])
    u = 1 - (1 - rs) ** 5 * (1 + 5 * rs)
    np.testing.assert_allclose(case[1.0], rs.sum() * (1 - 1 / ((1 / u).sum() - 2)))
