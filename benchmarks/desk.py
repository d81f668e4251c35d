"""The lender's desk on many applicants and a long history: seconds, processor seconds and memory of each stage.

Every size runs in a process of its own, so that its peak of memory is its own: python benchmarks/desk.py NAME FILE
"""

import json
import subprocess
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd
from memory import peak_memory

from qrgmm import desk
from qrgmm.desk import command, decisions
from qrgmm.desk.tables import load_table
from qrgmm.models.metamodel import QRGMM

REFITS, FOLDS = 20, 10  # that are wanted
SIZES = {
    "100,000 past sales, 10,000 applicants": {
        "n_past": 100_000, "n_sellers": 2_000, "n_categories": 200, "n_applicants": 10_000, "refits": 2, "folds": 2,
        "fit_rows": 100_000,
    },
    "1,000,000 past sales, 100,000 applicants": {
        "n_past": 1_000_000, "n_sellers": 20_000, "n_categories": 1_000, "n_applicants": 100_000, "refits": 2,
        "folds": 2, "fit_rows": 100_000,
    },
}  # fmt: skip
SETTING = (
    "past sales with a seller, a category and two numbers each (2,000 sellers and 200 categories, or 20,000 and "
    "1,000); applicants and history from Parquet files, decisions to CSV and Parquet, a memo for two, an index of "
    "all. The model, refits and folds learn from 100,000 of the past sales (--fit-rows); comparable sales are looked "
    f"for among all. Each once, on one core of a machine that others use, too: read the processor time. Two refits and two "
    f"folds were run; what {REFITS} and {FOLDS} take is reckoned from them"
)
STAGES = {
    "reading": [(command, "read_case"), (command, "hash_file"), (command, "hash_model")],
    "fit": [(QRGMM, "fit")],
    "forecasts and loans": [(QRGMM, "predict_curve"), (decisions, "size_loans")],
    "refits": [(decisions, "bootstrap_curves")],
    "sales left out": [(decisions, "promise_left_out")],
    "comparable sales": [(decisions, "_find_comparables"), (decisions, "_share_lent")],
    "reasons": [(decisions, "loan_drivers"), (decisions, "reference_loans"), (decisions, "reference_values")],
    "portfolio": [(decisions, "place_in_portfolio")],
    "writing": [(command, name) for name in ("render_memo", "render_index", "render_card", "tabulate", "disarm",
                                             "write_together")],
}  # fmt: skip


def make_tables(folder, n_past, n_sellers, n_categories, n_applicants):
    """Write a history and applicants: what is sold depends on category, price and rating."""
    rng = np.random.default_rng(0)
    size, popular = rng.normal(size=n_categories) / 2, rng.dirichlet(np.ones(n_categories))

    def draw(n, extra):
        category = np.r_[np.arange(n_categories), rng.choice(n_categories, n - n_categories, p=popular)]
        table = pd.DataFrame({"category": [f"c{i:04}" for i in category]})
        table["price"] = np.exp(3 + rng.normal(size=n) / 2).round(2)
        table["rating"] = rng.uniform(3, 5, n).round(1)
        mean = np.exp(3 + size[category]) * (1.5 + 0.3 * (table["rating"] - 4))
        return table.assign(units=(5 + mean * rng.gamma(4, 1 / 4, n)).round(), **extra)

    sellers = rng.integers(n_sellers, size=n_past)
    history = draw(n_past, {"shop": [f"S{i:05}" for i in sellers]})
    history.to_parquet(folder / "history.parquet")
    history.to_csv(folder / "history.csv", index=False)
    draw(n_applicants, {"name": [f"A{i:06}" for i in range(n_applicants)]}).to_parquet(folder / "sellers.parquet")


class Stopwatch:
    """Seconds, processor seconds and peak of memory by stage; what runs within a stage counts for it."""

    def __init__(self):
        self.stages, self.inside = {}, False

    def wrap(self, stage, function):
        @wraps(function)
        def timed(*arguments, **options):
            if self.inside:
                return function(*arguments, **options)
            self.inside = True
            start = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.inside = False
                found = self.stages.setdefault(stage, {"seconds": 0.0, "processor_seconds": 0.0})
                found["seconds"] += time.perf_counter() - start[0]
                found["processor_seconds"] += time.process_time() - start[1]
                found["peak_gib"] = peak_memory()

        return timed


def decide(n_past, n_sellers, n_categories, n_applicants, refits, folds, fit_rows):
    """Run the command once, and return what each stage took."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tables(folder, n_past, n_sellers, n_categories, n_applicants)
        for stage, functions in STAGES.items():
            for place, function in functions:
                setattr(place, function, watch.wrap(stage, getattr(place, function)))
        start = time.perf_counter(), time.process_time()
        options = "--target units --unit-revenue price --seller shop --name name --parquet --memos A000001 A000002"
        options += f" --refits {refits} --folds {folds} --fit-rows {fit_rows} --output {folder / 'out'}"
        desk.main([str(folder / "sellers.parquet"), "--history", str(folder / "history.parquet"), *options.split()])
        whole = time.perf_counter() - start[0], time.process_time() - start[1]
        of_stages = [sum(stage[clock] for stage in watch.stages.values()) for clock in ("seconds", "processor_seconds")]
        rest = {"seconds": whole[0] - of_stages[0], "processor_seconds": whole[1] - of_stages[1]}
        watch.stages["all else"] = rest | {"peak_gib": peak_memory()}
        read = watch.wrap("reading the history from CSV instead", load_table)
        read(folder / "history.csv", "units", ["category", "shop"], ["price", "rating"])
        files = {path.name: round(path.stat().st_size / 1e6, 1) for path in (folder / "out").iterdir()}
    for stage in watch.stages.values():
        stage |= {name: round(value, 2) for name, value in stage.items()}
    refit = watch.stages["refits"]["processor_seconds"] / refits
    fold = watch.stages["sales left out"]["processor_seconds"] / folds
    wanted = whole[1] + (REFITS - refits) * refit + (FOLDS - folds) * fold
    return {
        "stages": watch.stages, "refits": refits, "folds": folds, "fit_rows": fit_rows, "megabytes": files,
        "processor_minutes": round(whole[1] / 60, 1), "processor_minutes_wanted": round(wanted / 60, 1),
    }  # fmt: skip


def run(time_in_turn, sizes=SIZES):
    """Return the stages of every size; `time_in_turn` is for contestants, of which there are none."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sizes:
            file = Path(folder) / "result.json"
            subprocess.run([sys.executable, __file__, name, str(file)], check=True)
            results[name] = json.loads(file.read_text(encoding="utf-8"))
    wanted = {f"processor minutes with {REFITS} refits and {FOLDS} folds, {name}": found["processor_minutes_wanted"]
              for name, found in results.items()}  # fmt: skip
    return {"ratios": wanted, "sizes": results}


if __name__ == "__main__":
    found = decide(**SIZES[sys.argv[1]])
    Path(sys.argv[2]).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
