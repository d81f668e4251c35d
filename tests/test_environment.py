"""One truth about versions: requirements.txt and constraints.txt, which everything else only names."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import qrgmm

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MACHINES = {
    "Linux": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux on ARM": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS": {"sys_platform": "darwin", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "platform_machine": "AMD64"},
}
each_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def read_requirements(name):
    """Return the lines of a requirements file."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line]


def read_pins(name):
    """Return {package: version} of a requirements file; every line must pin its package with one ==."""
    pins = {}
    for requirement in read_requirements(name):
        (pin,) = requirement.specifier
        assert pin.operator == "==" and canonicalize_name(requirement.name) not in pins, str(requirement)
        pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def describe(requirement):
    """Return what has to agree between two lists: the package, and the machines that it is for."""
    return canonicalize_name(requirement.name), str(requirement.marker or "")


def list_names(requirements, machine):
    """Return the packages that one machine installs."""
    environment = default_environment() | machine
    return {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def read_group(*names):
    """Return the requirements of the core and of some extras of pyproject.toml."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in names)]
    return [Requirement(line) for lines in lists for line in lines]


def top_level_imports(tree):
    """Return the packages that a file imports when it is itself imported."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def test_every_requirement_equals_its_constraint():
    requirements, constraints = read_pins("requirements.txt"), read_pins("constraints.txt")
    assert requirements.items() <= constraints.items()


def test_constraints_fit_every_platform():
    assert not [version for version in read_pins("constraints.txt").values() if "+" in version]
    assert not [line for line in read_requirements("constraints.txt") if line.marker]


def test_extras_and_core_name_what_is_required():
    later = ["lab", "teach"]  # an editor and a grader, which make lab and make assignments install
    groups = set(PROJECT["optional-dependencies"]) - set(later)
    named = [describe(requirement) for requirement in read_group(*groups)]
    assert sorted(named) == sorted(map(describe, read_requirements("requirements.txt")))
    pins = set(read_pins("constraints.txt"))
    assert all(set(PROJECT["optional-dependencies"][name]) <= pins for name in later)


@each_machine
def test_every_machine_has_one_xgboost_and_no_arm_linux_a_peer_without_a_wheel(machine):
    names = list_names(read_requirements("requirements.txt"), machine)
    assert names & {"xgboost", "xgboost-cpu"} == {"xgboost" if machine["sys_platform"] == "darwin" else "xgboost-cpu"}
    assert len(names & {"pyvinecopulib", "quantile-forest"}) == (0 if machine["platform_machine"] == "aarch64" else 2)


def test_what_is_required_is_installed_in_the_pinned_version():
    pins = read_pins("requirements.txt")
    assert {name: version(name).split("+")[0] for name in list_names(read_requirements("requirements.txt"), {})} == {
        name: pins[name] for name in list_names(read_requirements("requirements.txt"), {})
    }


def test_the_package_imports_only_what_it_names():
    distributions = packages_distributions()
    named = list_names(read_group("models", "peers"), {}) | {"dask", "distributed"}  # a cluster is for authors
    for path in sorted((ROOT / "qrgmm").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {name for node in nodes for name in top_level_imports(ast.Module([node], []))}
        for package in {name.split(".")[0] for name in found} - sys.stdlib_module_names - {"qrgmm"}:
            if package in ("pyvinecopulib", "quantile_forest") and package not in distributions:
                continue  # not on this machine
            assert {canonicalize_name(name) for name in distributions[package]} & named, f"{path.name}: {package}"


@pytest.mark.parametrize("module", ["desk.command", "portfolio.loans", "plots", "simulators.cross_border"])
def test_the_core_imports_nothing_of_the_extras(module):
    core, distributions = list_names(read_group(), {}), packages_distributions()
    files, seen = [module], set()
    while files:
        name = files.pop()
        seen.add(name)
        tree = ast.parse((ROOT / "qrgmm" / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
        for found in top_level_imports(tree):
            package, _, rest = found.partition(".")
            if package == "qrgmm":
                files += {rest} - seen
            elif package not in sys.stdlib_module_names:
                assert {canonicalize_name(each) for each in distributions[package]} & core, f"{name}.py: {package}"


def test_conda_environment_refers_to_the_same_files():
    python, pip, files = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert (python, pip) == ("python" + PROJECT["requires-python"], "pip")
    index, *files = files["pip"]
    assert index.startswith("--extra-index-url ")
    assert files == ["--requirement requirements.txt", "--constraint constraints.txt", "--editable ."]


def test_python_version_is_the_same_everywhere():
    assert PROJECT["requires-python"] == ">=3.11.5,<3.15"
    assert "(3, 11, 5) <= sys.version_info < (3, 15)" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert sys.version.split()[0] in SpecifierSet(PROJECT["requires-python"])
    jobs = read_workflow()["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.14"]


def read_workflow(name="book"):
    return yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))


@pytest.mark.skipif(shutil.which("awk") is None, reason="there is no awk on this machine")
def test_a_release_says_what_the_changelog_says_of_it():
    steps = read_workflow("release")["jobs"]["release"]["steps"]
    command = next(step["run"] for step in steps if "CHANGELOG.md" in step.get("run", ""))
    program = re.search("'(.*)'", command)[1]
    arguments = ["awk", "-v", f"version=## {qrgmm.__version__}", program, "CHANGELOG.md"]
    notes = subprocess.run(arguments, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    assert notes.startswith(f"## {qrgmm.__version__}\n") and notes.count("\n## ") == 0 and "\n- " in notes


def test_the_book_is_published_without_waiting_for_the_tests():
    jobs = read_workflow()["jobs"]
    commands = "\n".join(step.get("run", "") for step in jobs["book"]["steps"])
    assert "needs" not in jobs["book"] and "make book" in commands and "make test" not in commands
    assert jobs["deploy"]["needs"] == "book"
    assert read_workflow()["env"]["QRGMM_REQUIRE_DATA"] == "1"


def test_tracked_files_name_no_place_of_one_machine():
    places = re.compile(r"(?<![\w./])/(?:home|root|tmp|work|Users)/\w")
    folders = ("book", "notebooks", "qrgmm", "tests", "benchmarks", "data", ".ci", ".github")
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    files = [path for path in paths if path.is_file() and path.suffix != ".pyc" and path.name != ".git"]
    assert not [str(path) for path in files if places.search(path.read_text(encoding="utf-8", errors="ignore"))]
