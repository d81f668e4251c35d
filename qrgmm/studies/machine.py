"""The processor that something was measured on, since times and last digits depend on it."""

import os
import platform
from pathlib import Path


def describe_processor() -> dict[str, str | int]:
    """Return the name of the processor, and how many cores there are.

    Returns
    -------
    dict
        With the keys processor and cores.

    Examples
    --------
    >>> sorted(describe_processor())
    ['cores', 'processor']
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    name = models[0] if models else platform.processor() or platform.machine()
    return {"processor": name, "cores": os.cpu_count() or 1}
