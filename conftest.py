"""What pytest needs to compare the committed outputs of the chapters with fresh ones (nbval)."""

import fcntl
from functools import cache
from pathlib import Path

import execute  # notebooks/execute.py: pytest has notebooks/ on its path
import nbval.kernel
import pytest

LOCK = Path(__file__).parent / "build" / "kernel-start.lock"
TRIES = 3

execute.prepare_environment()
start_kernel = nbval.kernel.start_new_kernel


def start_kernel_alone(*args, **kwargs):
    """Start one kernel at a time over all test processes: two that start at the same moment can be given one port."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
