"""The same machine as three: do recorded numbers and the chapters' outputs stay what they are on another processor?

    python tests/machines.py                                  # make machines: three settings, all studies, all chapters
    python tests/machines.py old --chapters 03 07 09 11       # one of them, as .ci/run does

A setting is a set of environment variables that choose other processor instructions. They are read when a library is
loaded, so that each setting computes in processes of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "native": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "old": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}


def as_machine(setting, *command):
    """Run a Python command under a setting; return whether it succeeded."""
    print(f"{setting}: {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=os.environ | SETTINGS[setting]).returncode == 0


def replicate_all(path, n_jobs):
    """Write replication 0 of size tiny of every study whose data can be had."""
    from joblib import Parallel, delayed

    from qrgmm.studies.runner import STUDIES, replicate

    def attempt(study):
        try:
            return replicate(study, "tiny", 0)
        except ConnectionError as error:
            print(f"{study} is left out: {error}")

    pd.concat(Parallel(n_jobs)(delayed(attempt)(study) for study in STUDIES)).to_csv(path, index=False)


def compare_records(settings, n_jobs):
    """Print how far the studies lie from their records and from each other under other settings; return agreement."""
    from qrgmm.studies.results import compare_rows, load_results

    rows, differences, agree = {}, {}, True
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings:
            path = Path(folder) / f"{setting}.csv"
            if not as_machine(setting, __file__, "--replicate", str(path), "--jobs", str(n_jobs)):
                raise SystemExit(f"{setting}: a study fails")
            rows[setting] = dict(list(pd.read_csv(path).groupby("study")))
    first = settings[0]
    for study in rows[first]:
        recorded = load_results(study, "tiny")
        found = differences[study] = {}
        for setting in settings:
            table = compare_rows(recorded, rows[setting][study], 0)
            kinds = table.groupby("kind")["difference"].max()
            found[f"{setting}, record"], found[f"{setting}, chaotic"] = kinds.get("repeatable"), kinds.get("chaotic")
            agree &= table["agrees"].all()
            if setting != first:
                between = compare_rows(rows[first][study], rows[setting][study], 0).query("kind == 'repeatable'")
                found[f"{setting}, {first}"] = between["difference"].max()
                agree &= between["agrees"].all()
    print("Largest differences: relative of repeatable numbers, in standard deviations of chaotic ones.")
    print(pd.DataFrame(differences).T.to_string(float_format="{:.1e}".format))
    return bool(agree)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"{', '.join(SETTINGS)} (default: all)")
    parser.add_argument("--chapters", nargs="*", default=[""], help="how their names start (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time (default: one per core)")
    parser.add_argument("--replicate", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replicate:
        return replicate_all(options.replicate, options.jobs)
    settings = options.settings or list(SETTINGS)
    if unknown := set(settings) - set(SETTINGS):
        parser.error(f"SETTING must be one of {', '.join(SETTINGS)}, got {', '.join(sorted(unknown))}")
    good = [compare_records(settings, options.jobs)]
    chapters = [path for name in options.chapters for path in sorted(ROOT.glob(f"notebooks/{name}*.ipynb"))]
    names = [str(path.relative_to(ROOT)) for path in chapters]
    for setting in settings if names else ():
        good.append(as_machine(setting, "-m", "pytest", "-q", "-n", str(options.jobs), "--dist", "loadfile", *names))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
