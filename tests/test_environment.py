"""One truth about versions: requirements.txt and constraints.txt, which everything else only names."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def read_pins(name):
    """Return {package: version} of a requirements file; every line must pin its package with ==."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pins.items()}


def test_every_requirement_equals_its_constraint():
    requirements, constraints = read_pins("requirements.txt"), read_pins("constraints.txt")
    assert requirements.items() <= constraints.items()


def test_constraints_fit_every_platform():
    assert not [version for version in read_pins("constraints.txt").values() if "+" in version]


def test_conda_environment_refers_to_the_same_files():
    python, pip, files = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert files == {"pip": ["--requirement requirements.txt", "--constraint constraints.txt"]}


def test_python_version_is_the_same_everywhere():
    assert 'requires-python = ">=3.11,<3.12"' in (ROOT / "pyproject.toml").read_text()
    assert 'python-version: "3.11"' in (ROOT / ".github/workflows/book.yml").read_text()
    assert "!= (3, 11)" in (ROOT / "Makefile").read_text()


def test_tracked_files_name_no_place_of_one_machine():
    places = re.compile(r"(?<![\w./])/(?:home|root|tmp|work|Users)/\w")
    folders = ("book", "notebooks", "qrgmm", "tests", "benchmarks", "data", ".ci", ".github")
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    files = [path for path in paths if path.is_file() and path.suffix != ".pyc"]
    assert not [str(path) for path in files if places.search(path.read_text(errors="ignore"))]
