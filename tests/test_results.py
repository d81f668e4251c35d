"""What is recorded is complete, says where it comes from, and is what the code gives today."""

import json

import benchmark_page
import numpy as np
import pandas as pd
import pytest

from qrgmm.studies.generators import PUBLISHED as GENERATORS
from qrgmm.studies.results import COLUMNS, CONDITIONAL, PAPER, RESULTS, compare_with_paper, load_results
from qrgmm.studies.runner import STUDIES, check, default_replications
from qrgmm.systems.delayed_payment import MODELS

RECORDED = [(study, size) for study in STUDIES for size in ("tiny", "paper")]
PROVENANCE = {
    "command",
    "study",
    "size",
    "setting",
    "note",
    "n_replications",
    "seed",
    "commits",
    "versions",
    "device",
    "machine",
    "minutes",
    "date",
}
# Not among ours: timings (machines differ, benchmarks/ has them), and a distance that takes minutes a replication.
NOT_OURS = {"time", "unconditional, 10000 rows"}
PUBLISHED = sorted({study for path in PAPER.glob("*.csv") for study in pd.read_csv(path)["study"]})


@pytest.mark.parametrize(("study", "size"), RECORDED)
def test_a_record_is_complete_and_says_where_it_comes_from(study, size):
    record = json.loads((RESULTS / f"{study}_{size}.json").read_text(encoding="utf-8"))
    assert record.keys() == PROVENANCE
    assert all(record[key] for key in PROVENANCE - {"setting"})  # a study of a whole table has nothing to set
    assert (record["study"], record["size"]) == (study, size)
    assert record["setting"] == STUDIES[study].sizes[size]
    results = load_results(study, size)
    assert results.columns.tolist() == COLUMNS
    counts = results.loc[~results["metric"].isin(CONDITIONAL), "replication"].value_counts()
    assert not results.duplicated(COLUMNS[:-1]).any()
    assert sorted(counts.index) == list(range(record["n_replications"])) and counts.nunique() == 1
    assert np.isfinite(results["value"]).all() and (results["study"] == study).all()
    assert record["n_replications"] >= default_replications(study, size)


def test_the_page_of_benchmarks_has_the_minutes_of_every_study():
    listed = [line.split(" | ") for line in benchmark_page.describe_studies(RESULTS).splitlines() if "`" in line]
    minutes = {cells[0].strip("| `"): float(cells[2].strip("| ")) for cells in listed if len(cells) == 3}
    assert minutes.keys() == STUDIES.keys() and min(minutes.values()) > 0


# Those of cross-border sales are in a file of their own: a file is one worker's work.
@pytest.mark.parametrize("study", [study for study in STUDIES if not study.startswith("cross_border")])
def test_replication_0_of_size_tiny_is_what_is_recorded(study, data_or_skip):
    with data_or_skip():
        assert check([study])


@pytest.mark.parametrize("path", sorted(PAPER.glob("*.csv")), ids=lambda path: path.stem)
def test_published_numbers_name_a_study_and_are_numbers_or_blank(path):
    published = pd.read_csv(path)
    columns = ["source", "study", "test", "metric", "x", "model", "published", "published_sd", "n_runs"]
    assert published.columns.tolist() == columns
    assert set(published["study"]) <= set(STUDIES)
    assert published[["published", "published_sd", "n_runs"]].map(np.isreal).all(axis=None)
    assert not published.duplicated(["study", "test", "metric", "x", "model"]).any()
    assert path.name in (PAPER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("study", PUBLISHED)
def test_every_published_number_of_a_model_of_ours_has_ours_beside_it(study):
    table = compare_with_paper(study)
    table = table[table["model"].isin(["qrgmm", "truth", *MODELS, *GENERATORS]) & ~table["test"].isin(NOT_OURS)]
    assert len(table) and table.loc[table["published"].notna(), "ours"].notna().all()


def test_every_recorded_file_is_described():
    text = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    stems = {path.name.split(".")[0] for path in RESULTS.iterdir() if path.is_file()}
    names = {stem.removesuffix("_paper").removesuffix("_tiny") for stem in stems}
    assert [name for name in names if f"`{name}" not in text] == []
