"""Run the benchmarks side by side and record them: python benchmarks/run.py [NAME...]

Each benchmark times its contestants in turn, several rounds of each in one process, and reports medians: machines
differ and are shared, so only the ratios within one run mean anything. Results go to data/results/benchmark_NAME.json
with the machine and the versions they were measured on.
"""

import argparse
import json
import os
import platform
import statistics
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import exact_risk
import generation
import portfolio
import sampling
import solvers

RESULTS = Path(__file__).resolve().parents[1] / "data" / "results"
# The portfolio first: its peak of memory is that of the process.
BENCHMARKS = {
    "portfolio": portfolio,
    "exact_risk": exact_risk,
    "sampling": sampling,
    "generation": generation,
    "solvers": solvers,
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
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        processor = models[0] if models else processor
    versions = {name: version(name) for name in ("numpy", "scipy")}
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


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
        path = RESULTS / f"benchmark_{name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {json.dumps(result['ratios'])}")


if __name__ == "__main__":
    main()
