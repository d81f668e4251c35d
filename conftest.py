"""What pytest needs to compare the outputs of chapters with fresh ones (nbval), to do without real data, on other
machines, and to try the same examples every time."""

import copy
import os
import re
from contextlib import contextmanager
from doctest import UnexpectedException
from importlib.util import find_spec
from pathlib import Path

import execute  # notebooks/execute.py: pytest has notebooks/ on its path
import nbval.kernel
import nbval.plugin
import pytest
from filelock import FileLock
from hypothesis import Phase, settings

LOCK = Path(__file__).parent / "build" / "kernel-start.lock"
TRIES = 3
# Peers without a wheel for some machines: requirements.txt leaves them out there.
MISSING = [name for name in ("pyvinecopulib", "quantile_forest") if find_spec(name) is None]

# Without a deadline, which a busy machine misses, and the phase that explains a failure, which takes minutes.
phases = [Phase.explicit, Phase.generate, Phase.shrink]
settings.register_profile("same-every-time", deadline=None, derandomize=True, max_examples=80, phases=phases)
settings.load_profile("same-every-time")
execute.prepare_environment()
start_kernel = nbval.kernel.start_new_kernel


def start_kernel_alone(*args, **kwargs):
    """Start one kernel at a time over all test processes: two that start at the same moment can be given one port."""
    LOCK.parent.mkdir(exist_ok=True)
    with FileLock(LOCK):
        for attempt in range(1, TRIES + 1):
            try:
                return start_kernel(*args, **kwargs)
            except RuntimeError:
                if attempt == TRIES:
                    raise


nbval.kernel.start_new_kernel = start_kernel_alone
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def settle(fresh, committed, spread):
    """Return `committed` if a text says the same but for numbers that differ by at most a share of themselves."""
    # The width of a column, and so the blanks and dashes beside a number, depends on its digits.
    words = [re.sub(r"[\s-]+", " ", NUMBER.sub("#", text)) for text in (fresh, committed)]
    pairs = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (fresh, committed)]
    close = all(abs(a - b) <= spread * max(abs(a), abs(b)) for a, b in zip(*pairs))
    return committed if words[0] == words[1] and close else fresh


def settle_outputs(fresh, committed, spread):
    """Return the outputs of a chaotic cell with the numbers that were committed where the fresh ones are near."""
    fresh = copy.deepcopy(fresh)
    for output, reference in zip(fresh, committed):
        if "text" in output and "text" in reference:
            output["text"] = settle(output["text"], reference["text"], spread)
        for kind in output.get("data", {}).keys() & reference.get("data", {}).keys():
            if kind.startswith("text/"):
                output["data"][kind] = settle(output["data"][kind], reference["data"][kind], spread)
    return fresh


compare_outputs = nbval.plugin.IPyNbCell.compare_outputs


def compare_by_class(cell, fresh, committed, skip_compare=None):
    """Compare character by character; chaotic numbers, in cells that state a `chaotic` spread, within it."""
    if spread := cell.cell.metadata.get("chaotic"):
        fresh = settle_outputs(fresh, committed, spread)
    return compare_outputs(cell, fresh, committed, skip_compare)


nbval.plugin.IPyNbCell.compare_outputs = compare_by_class


def demand(names):
    """Let the test at hand go without data sets that can't be had, see `go_without`."""
    if reason := execute.find_missing_data(tuple(names)):
        go_without(reason)


def go_without(reason):
    """Skip the test at hand; fail it where data must be there, as for a published book."""
    if os.environ.get("QRGMM_REQUIRE_DATA") == "1":
        pytest.fail(f"QRGMM_REQUIRE_DATA is 1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def need_data():
    """Return a function for tests of real data: `need_data("bigmart_train.csv")`, see `demand`."""
    return lambda *names: demand(names)


@pytest.fixture
def data_or_skip():
    """Return a context for what reads data sets, whichever they are: without them, see `go_without`."""

    @contextmanager
    def watch():
        try:
            yield
        except ConnectionError as error:
            go_without(str(error))

    return watch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip the cells of a chapter whose data are missing: its committed outputs come from the real data."""
    notebook = getattr(item.parent, "nb", None)
    if notebook:
        demand(execute.name_data(notebook))
    if missing := [name for name in MISSING if notebook and uses(notebook, name)]:
        pytest.skip(f"it uses {missing[0]}, which has no wheel for this machine")


def uses(notebook, name):
    """Say whether a chapter's code names a package or a peer."""
    return any(name in cell.source for cell in notebook.cells if cell.cell_type == "code")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip a test of a peer that this machine can't have."""
    try:
        return (yield)
    except Exception as error:
        cause = error.exc_info[1] if isinstance(error, UnexpectedException) else error
        if isinstance(cause, ModuleNotFoundError) and cause.name in MISSING:
            pytest.skip(f"it needs {cause.name}, which has no wheel for this machine")
        raise
