"""Run the benchmarks side by side and record them: python benchmarks/run.py [NAME...]

Each benchmark times its contestants in turn, several rounds of each in one process, and reports medians: machines
differ and are shared, so only the ratios within one run mean anything. Results go to data/results, one file for each
benchmark and kind of processor, with the versions they were measured on.
"""

import argparse
import json
import platform
import re
import statistics
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import applicant
import desk
import exact_risk
import generation
import numpy as np
import portfolio
import sampling
import solvers

from qrgmm.studies.machine import describe_processor

RESULTS = Path(__file__).resolve().parents[1] / "data" / "results"
# The portfolio first: its peak of memory is that of the process.
BENCHMARKS = {
    "portfolio": portfolio,
    "exact_risk": exact_risk,
    "sampling": sampling,
    "generation": generation,
    "solvers": solvers,
    "applicant": applicant,
    "desk": desk,
}


def time_in_turn(contestants, n_rounds):
    """Return the median seconds of each contestant; they take turns, so that a busy moment hits all of them.

    A contestant that works in another process returns its own seconds.
    """
    seconds = {name: [] for name in contestants}
    for _ in range(n_rounds):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            own = contestant()
            seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def describe_machine():
    """Return what a reader needs to know about where the times were taken."""
    # NumPy sorts several times faster where the processor has AVX-512, which its name need not tell.
    (kernel,) = np.lib.introspect.opt_func_info(func_name="^add$", signature="float64")["add"].values()
    versions = {name: version(name) for name in ("numpy", "scipy")}
    return {**describe_processor(), "instructions": kernel["current"], "python": platform.python_version(), **versions}


def name_file(name, machine):
    """Return the name of a record: one per benchmark and kind of processor."""
    kind = re.sub(r"\W+", "-", f"{machine['processor']} {machine['instructions']}".lower())
    return f"benchmark_{name}.{kind}.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="default: all")
    parser.add_argument("--sizes", nargs="+", choices=solvers.SIZES, help="of solvers: time these only, record nothing")
    arguments = parser.parse_args()
    for name in ["solvers"] if arguments.sizes else arguments.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        options = {"sizes": arguments.sizes} if arguments.sizes else {}
        result = {"setting": benchmark.SETTING, **benchmark.run(time_in_turn, **options)}
        result |= {"machine": describe_machine(), "date": date.today().isoformat()}
        if arguments.sizes:
            print(json.dumps(result, indent=2))
            continue
        path = RESULTS / name_file(name, result["machine"])
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {json.dumps(result['ratios'])}")


if __name__ == "__main__":
    main()
