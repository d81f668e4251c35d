"""The ledger rests on evidence: every row points at something that is there, and a verdict is computed or argued."""

import re
from pathlib import Path

import claims_table
import ledger_page
import numpy as np
import pandas as pd
import pytest
from ledger_rules import (
    COMPUTED,
    FEW,
    SPLITS,
    VERDICTS,
    Difference,
    beside_published,
    compare_order,
    compare_published,
    compare_times,
    decide,
    judge,
    make_case,
    overlap,
    worst,
)

from qrgmm.plots import LABELS as MODELS
from qrgmm.studies import compare_with_paper, load_results
from qrgmm.studies.results import PAPER, RESULTS
from qrgmm.studies.runner import STUDIES
from qrgmm.systems.delayed_payment import split_reports

ROOT = Path(__file__).resolve().parents[1]
ROWS = [row for paper in ledger_page.read_ledger() for row in paper["rows"]]
JUDGED = [row for rows in ledger_page.judge_papers().values() for row in rows]
TEXTS = [*(ROOT / "notebooks").glob("[0-9][0-9]_*.md"), *(ROOT / "book").glob("*.md")]
LABELS = {
    label for path in TEXTS for label in re.findall(r"^\((\S+)\)=$", path.read_text(encoding="utf-8"), re.MULTILINE)
}
# What a paper numbers, and the numbers that it goes up to.
NUMBERED = {
    "The SCF paper": {
        "fig": 27, "table": 4, "eq": 5, "remark": 5, "assumption": 4, "lemma": 2, "theorem": 1, "section": 7
    },
    "The QRGMM paper": {"fig": 6, "table": 4, "fig EC": 4, "table EC": 3},
    "The payment paper": {"fig": 11, "table": 4, "eq": 3, "section": 7},
    "The early-warning paper": {"fig": 6, "table": 2, "eq": 9, "definition": 4, "assumption": 3},
}
# Not in the text that we have; and what the paper says of others.
NO_CLAIM = {"The QRGMM paper": {("fig", 1)}, "The payment paper": {("section", 1), ("section", 2)}}
each_row = pytest.mark.parametrize("row", ROWS, ids=[f"{i} {row['place']}" for i, row in enumerate(ROWS)])
each_judged = pytest.mark.parametrize("judged", JUDGED, ids=[f"{i} {row.verdict}" for i, row in enumerate(JUDGED)])


@each_row
def test_a_row_is_computed_or_argued_and_not_both(row):
    assert {"place", "what", "claim", "evidence"} <= row.keys()
    assert row.keys() <= {"place", "what", "claim", "evidence", "words", "checks", "why", "verdict", "argued"}
    if "checks" in row:
        assert row["checks"] and "verdict" not in row and "argued" not in row
    else:
        assert row["verdict"] in VERDICTS and row["argued"] in ledger_page.ARGUMENTS and "why" not in row
        assert row["verdict"] in ("same", "same conclusion") or "words" in row


@each_row
def test_evidence_is_there(row):
    assert row["evidence"] and set(row["evidence"]) <= LABELS
    for name in set(ledger_page.find_records(row)) - set(COMPUTED):
        described = name in (RESULTS.parent / "README.md").read_text(encoding="utf-8")
        assert described or name in STUDIES


@each_judged
def test_a_verdict_is_one_of_the_closed_set_and_gives_its_reason(judged):
    assert judged.verdict in VERDICTS and bool(judged.numbers) == ("checks" in judged.row)
    if judged.numbers and judged.verdict == "differs":
        assert judged.row.get("why"), f"say why: {judged.numbers}"
    assert all("nan" not in numbers for numbers in judged.numbers)


@pytest.mark.parametrize("paper", ledger_page.read_claims())
def test_every_published_claim_has_a_row(paper):
    rows = next(each["rows"] for each in ledger_page.read_ledger() if each["paper"] == paper)
    answered, claims = {row["claim"] for row in rows}, ledger_page.read_claims()[paper]
    assert sorted(claims.keys() - answered) == [], "claims without a row"
    assert sorted(answered - claims.keys()) == [], "rows that answer no claim"


@pytest.mark.parametrize("paper", ledger_page.read_claims())
def test_whatever_a_paper_numbers_is_the_place_of_a_claim(paper):
    found = set().union(*(find_numbered(claim["place"]) for claim in ledger_page.read_claims()[paper].values()))
    wanted = {(kind, number) for kind, last in NUMBERED[paper].items() for number in range(1, last + 1)}
    assert wanted - found == NO_CLAIM.get(paper, set())


def find_numbered(place):
    """Return what a place names, as pairs of kind and number; of sections the first part of the number."""
    found, kind, last, ranged = set(), None, 0, False
    for word in place.replace(",", " ").split():
        if match := re.match(r"\(?(EC\.)?(\d+)", word):
            number = int(match[2])
            numbers = range(last + 1 if ranged else number, number + 1)
            found |= {(f"{kind} EC" if match[1] else kind, each) for each in numbers}
            last, ranged = number, False
        elif word == "to":
            ranged = True
        else:
            kind = word.rstrip("s.")
    return found


def test_what_a_place_names_is_found():
    assert find_numbered("section 6.1.1, table 1, figs 7 to 9, 11") == {
        ("section", 6), ("table", 1), ("fig", 7), ("fig", 8), ("fig", 9), ("fig", 11)
    }
    assert find_numbered("eqs (1), (2), table EC.1") == {("eq", 1), ("eq", 2), ("table EC", 1)}


def test_every_row_is_on_the_page():
    page = ledger_page.make_page()
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    for row, verdict, _ in JUDGED:
        assert any(line.startswith(f"| {row['place']}: {row['what']} | *{verdict}* | ") for line in lines)
    assert set(ledger_page.MEANINGS) == set(VERDICTS)


def test_the_table_of_the_five_models_has_every_claim_and_recipe():
    lines = claims_table.make_section().splitlines()
    lines = [line.split(" | ") for line in lines if line.startswith("| ")][2:]
    pairs = [(line[0].removeprefix("| "), line[1]) for line in lines]
    wanted = {(claim, recipe) for claim in claims_table.CLAIMS for recipe in claims_table.RECIPES}
    assert set(pairs) == wanted - {("linear before CWGAN", "stacked")} and len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("study, overlapping", [("big_mart", 0.25), ("contest", 0.0)])
def test_an_entry_of_the_five_models_is_a_difference_with_its_corrected_error(study, overlapping):
    wide = pd.DataFrame({"cwgan": [3.0, 5.0, 4.0, 4.5], "qrgmm_deepfm": [1.0, 1.5, 2.0, np.nan]})
    error = wide.iloc[:3].diff(axis=1)["qrgmm_deepfm"].std() * np.sqrt(1 / 3 + overlapping)
    entry = claims_table.answer(wide, "cwgan", "qrgmm_deepfm", [study])
    assert entry == f"+2.5 ±\u00a0{error:.2g} (3)"
    assert claims_table.answer(wide, "qrgmm_deepfm", "cwgan", [study]) == f"−2.5 ±\u00a0{error:.2g} (3)"
    wide["cwgan"] = wide["qrgmm_deepfm"] + [1.0, 1.01, 0.99, 1.0]
    assert claims_table.answer(wide, "cwgan", "qrgmm_deepfm", [study]).startswith("**+1** ±")


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


@pytest.mark.parametrize(
    ("n_runs", "ours", "spread", "verdict"),
    [
        (2, 1.3, "ours", "undecided"),  # the quantile of two replications is 64
        (2, 1.3, "published", "differs"),  # 4.2 standard errors of two of their runs; the quantile is 2.6
        (2, 1.1, "published", "undecided"),
        (FEW, 1.0, "ours", "undecided"),
        (FEW, 1.0, "published", "undecided"),
        (FEW + 1, 1.0, "ours", "same"),
        (FEW + 1, 1.0, "published", "same"),
    ],
)
def test_few_replications_can_differ_and_are_never_the_same(monkeypatch, n_runs, ours, spread, verdict):
    cell = {"study": "study", "test": "test", "metric": "ks", "x": np.nan, "model": "a"}
    row = cell | {"source": "table", "published": 1.0, "published_sd": 0.1, "ours": ours, "noise_floor": np.nan}
    row |= {"error": 0.01, "published_error": 0.01}
    table = pd.DataFrame([cell] * n_runs).assign(replication=range(n_runs))
    monkeypatch.setattr("ledger_rules.recorded", lambda study: table)
    monkeypatch.setattr("ledger_rules.beside_published", lambda study: pd.DataFrame([row]))
    assert compare_published("study", "table", spread)[0] == verdict


def test_a_published_number_of_independent_runs_is_judged_as_in_the_chapters():
    rows, shown = beside_published("test_problem_1"), compare_with_paper("test_problem_1")
    ours = (rows["ours"] - rows["published"]) / np.hypot(rows["error"], rows["published_error"])
    np.testing.assert_allclose(ours, shown["difference"], rtol=1e-12)


def test_a_number_of_the_payment_paper_has_the_error_of_its_own_test_set():
    rows = beside_published("payment_models_window").query("metric == 'auc' and model == 'rf'").iloc[0]
    fresh = rows["sd"] / np.sqrt(1 - 0.3)  # of one test set of fresh reports as large as ours
    assert rows["published_error"] == pytest.approx(fresh * np.sqrt(433 / 6546))
    assert rows["error"] == pytest.approx(rows["sd"] * np.sqrt(1 / 20 + 3 / 7))


def test_studies_that_split_one_table_are_known_with_their_shares():
    """What SPLITS lists is all that the ledger uses; the share is that of the study."""
    used = {name for row in ROWS for name in ledger_page.find_records(row)}
    assert {name for name in used if name.startswith(("big_mart", "cross_border", "payment"))} <= SPLITS.keys()
    train, test = split_reports(pd.DataFrame(index=range(1000)), rng=0)
    assert len(test) / 1000 == SPLITS["payment_models"] == pytest.approx(1 - SPLITS["payment_folds"])
    assert overlap("big_mart") == overlap(["cross_border", "cross_border_gan"]) == pytest.approx(1 / 4)
    assert overlap("payment_forecast", "time") == 1 and overlap("contest") == 0


def test_splits_of_one_table_are_not_independent(monkeypatch):
    values = np.random.default_rng(0).normal(1, 3, 100)  # naive: three standard errors
    rows = [(model, i, value) for i, ahead in enumerate(values) for model, value in (("a", 0), ("b", ahead))]
    table = pd.DataFrame(rows, columns=["model", "replication", "value"]).assign(test="test", metric="ks", x=np.nan)
    monkeypatch.setattr("ledger_rules.recorded", lambda study: table)
    assert compare_order("contest", low="a", high="b")[0] == "same conclusion"
    assert compare_order("big_mart", low="a", high="b")[0] == "undecided"


def test_studies_are_joined_and_a_model_that_is_not_recorded_leaves_it_open(monkeypatch):
    parts = {
        name: pd.DataFrame({"model": name, "replication": range(n), "value": value + np.arange(n) % 2})
        for name, n, value in (("qrgmm", 20, 0), ("cwgan_paper", 10, 5), ("cwgan", 1, 5))
    }
    cell = {"test": "base", "metric": "ks", "x": np.nan}
    monkeypatch.setattr("ledger_rules.recorded", lambda study: parts[study].assign(**cell))
    check = {"rule": "order", "study": list(parts), "low": "qrgmm"}
    verdict, numbers = decide(check | {"high": "cwgan_paper"})
    assert verdict == "same conclusion" and "10 runs" in numbers
    assert decide(check | {"high": "cwgan"})[0] == "open"  # recorded once
    assert decide(check | {"high": "qrgmm_fm_paper"}) == ("open", "not recorded yet: QRGMM-F as published")
    with pytest.raises(ValueError, match="not found"):
        decide(check | {"high": "qrgmm_mispelt"})


def test_models_of_the_rows_that_wait_for_a_record_have_a_name():
    checks = [check for row in ROWS for check in row.get("checks", []) if check["rule"] == "order"]
    named = [check[side] for check in checks if "by" not in check for side in ("low", "high")]
    flat = {name for each in named for name in (each if isinstance(each, list) else [each])}
    other = pd.concat([make_case(), *map(load_results, ["early_warning", "payment_models_window", "payment_forecast"])])
    assert flat - MODELS.keys() <= set(other["model"])


def test_times_hold_on_every_machine(monkeypatch):
    runs = [{"seconds": {"a": a, "b": 1.0}, "machine": {"processor": str(a)}} for a in (0.5, 2.0)]
    monkeypatch.setattr("ledger_rules.load_benchmarks", lambda name: runs)
    assert compare_times("benchmark_generation", "a", ["b"])[0] == "differs"
    assert compare_times("benchmark_generation", "a", 3.0)[0] == "same conclusion"


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
