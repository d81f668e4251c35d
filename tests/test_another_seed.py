"""Chapters run with other parameters: under another seed, and by the README's own command."""

import os
import re
import subprocess
from pathlib import Path

import execute
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["02_theorem_1", "03_quantile_regression"])
def test_a_chapter_runs_under_another_seed(name, tmp_path):
    path = execute.CHAPTERS / f"{name}.md"
    _, failure = execute.execute_chapter(path, tmp_path, {"seed": 7})
    assert failure is None
    committed, another = (nbformat.read(file / f"{name}.ipynb", as_version=4) for file in (execute.CHAPTERS, tmp_path))
    assert [cell.id for cell in another.cells] == [cell.id for cell in committed.cells]
    assert [cell.get("outputs") for cell in another.cells] != [cell.get("outputs") for cell in committed.cells]


@pytest.mark.skipif(not (ROOT / ".venv" / "bin" / "papermill").exists(), reason="the command is that of set-up by make")
def test_the_readmes_command_runs_as_written():
    (command,) = re.findall(r"^(?:\S+=\S+ )*\.venv/bin/papermill .*$", (ROOT / "README.md").read_text("utf-8"), re.M)
    output = ROOT / re.search(r"build/\S+", command)[0]
    output.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, shell=True, cwd=ROOT, env=environment, check=True, capture_output=True)
    cells = nbformat.read(output, as_version=4).cells
    injected = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert len(injected) == 1 and "seed = 7" in injected[0]
