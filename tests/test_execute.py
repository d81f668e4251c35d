"""How chapters are run: what is written beside the notebooks is whole, and damaged records stop nothing."""

import json

import execute
import pytest

FIRST, SECOND = (path.stem for path in execute.find_chapters()[:2])


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    (tmp_path / "build").mkdir()
    return tmp_path / "build" / "seconds.json"


@pytest.mark.parametrize("damaged", ["", '{"01_', "[]", "\udcff", f'{{"{SECOND}": null}}'])
def test_a_record_of_seconds_that_cannot_be_read_counts_as_none(record, damaged):
    record.write_bytes(damaged.encode("utf-8", "surrogateescape"))
    execute.record_seconds({FIRST: 1.5})
    assert json.loads(record.read_text(encoding="utf-8")) == {FIRST: 1.5}


def test_seconds_of_chapters_that_were_not_run_now_are_kept_and_those_of_no_chapter_are_not(record):
    execute.record_seconds({FIRST: 1.0, SECOND: 2.0, "00_gone": 3.0})
    execute.record_seconds({SECOND: 4.0})
    assert json.loads(record.read_text(encoding="utf-8")) == {FIRST: 1.0, SECOND: 4.0}
    assert [path.name for path in record.parent.iterdir()] == [record.name]


def test_a_file_that_holds_the_text_already_is_not_touched(tmp_path):
    file = tmp_path / "file"
    execute.replace_text(file, "sales, ü\n")
    before = file.stat()
    execute.replace_text(file, "sales, ü\n")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    execute.replace_text(file, "loans\n")
    assert file.read_text(encoding="utf-8") == "loans\n" and list(tmp_path.iterdir()) == [file]
