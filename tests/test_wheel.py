"""The package as a wheel in an empty folder: everything is in it, and what needs the repository says so."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the unpacked wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "qrgmm", source / "qrgmm", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([sys.executable, *map(str, build)], check=True)
    (wheel,) = folder.glob("qrgmm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run_installed(installed, *arguments):
    """Run Python with the unpacked wheel in the place of this checkout, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=installed.parent, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_every_room_is_in_the_wheel(installed):
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qrgmm").rglob("*.*")}
    found = {path.relative_to(installed).as_posix() for path in (installed / "qrgmm").rglob("*.*")}
    assert {name for name in expected if "__pycache__" not in name} == found
    assert "qrgmm/py.typed" in found and "qrgmm/desk/panel.js" in found


def test_models_and_records_of_an_installed_package_work_or_say_what_is_missing(installed):
    code = """
import qrgmm, qrgmm.studies
print(qrgmm.__file__)
curve = qrgmm.QRGMM(levels=4).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0]).predict_curve([[1.5]])
print(qrgmm.largest_loan(curve, max_default_probability=0.1).round(6))
try:
    qrgmm.studies.load_results("crossing", "tiny")
except FileNotFoundError as error:
    print(error)
"""
    place, loan, missing = run_installed(installed, "-c", code).splitlines()
    assert Path(place).is_relative_to(installed) and loan == "[2.5]"
    assert "recorded results come with the repository and not with the installed package" in missing


def test_the_desk_of_an_installed_package_works(installed, tmp_path):
    rows = "price,ads,units\n" + "2,1,30\n3,2,20\n4,3,10\n5,1,15\n" * 30
    (tmp_path / "history.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "sellers.csv").write_text("price,ads\n3,2\n", encoding="utf-8")
    options = ["--history", tmp_path / "history.csv", "--target", "units", "--refits", "0", "--output", tmp_path]
    printed = run_installed(installed, "-m", "qrgmm.desk", *map(str, [tmp_path / "sellers.csv", *options]))
    assert printed.startswith("fitted to history.csv; 1 sellers")
    assert {path.name for path in tmp_path.iterdir()} >= {"decisions.csv", "memo.html"}
