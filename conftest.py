"""What pytest needs to compare the committed outputs of the chapters with fresh ones (nbval), and on other machines."""

from doctest import UnexpectedException
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import execute  # notebooks/execute.py: pytest has notebooks/ on its path
import nbval.kernel
import pytest
from filelock import FileLock

LOCK = Path(__file__).parent / "build" / "kernel-start.lock"
TRIES = 3
# Peers without a wheel for some machines: requirements.txt leaves them out there.
MISSING = [name for name in ("pyvinecopulib", "quantile_forest") if find_spec(name) is None]

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


@cache
def find_missing_data(names):
    """Return why data sets that a chapter names in its front matter (`qrgmm: {data: [...]}`) can't be had, or None."""
    from qrgmm import datasets  # here, so that a broken package fails tests and not pytest

    for name in names:
        try:
            datasets.locate(name)
        except OSError as error:
            return f"its outputs come from {name}, which is not here: {error}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip the cells of a chapter whose data are missing: its committed outputs come from the real data."""
    notebook = getattr(item.parent, "nb", None)
    names = notebook.metadata.get("qrgmm", {}).get("data", []) if notebook else []
    if names and (reason := find_missing_data(tuple(names))):
        pytest.skip(reason)
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
