"""What pytest needs to compare the outputs of chapters with fresh ones (nbval), and to do without real data."""

import fcntl
import os
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


def demand(names):
    """Skip the test at hand where data sets can't be had; fail it where they must be, as for a published book."""
    if reason := execute.find_missing_data(tuple(names)):
        if os.environ.get("QRGMM_REQUIRE_DATA") == "1":
            pytest.fail(f"QRGMM_REQUIRE_DATA is 1, but {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def need_data():
    """Return a function for tests of real data: `need_data("bigmart_train.csv")`, see `demand`."""
    return lambda *names: demand(names)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip the cells of a chapter whose data are missing: its committed outputs come from the real data."""
    notebook = getattr(item.parent, "nb", None)
    if notebook:
        demand(execute.name_data(notebook))
