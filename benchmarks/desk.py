"""The lender's desk at scale: the command as a whole, then stage by stage, seconds and the most memory of each.

Every stage runs in a process of its own, so that its peak of memory is its own. What grows in proportion is run on a
part, and reckoned: a fit for all refits, some applicants for all, some scenarios for all.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from memory import peak_memory

from qrgmm import desk
from qrgmm.desk import command, decisions
from qrgmm.desk.card import Provenance, render_index
from qrgmm.desk.inputs import DESK_LEVELS, draw_rows
from qrgmm.desk.memo import render_memo
from qrgmm.desk.tables import load_table
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM

N_PAST, N_SELLERS, N_CATEGORIES, N_APPLICANTS = 1_000_000, 20_000, 1_000, 100_000
FIT_ROWS, REFITS, FOLDS = 100_000, 20, 10
COMPARED, WRITTEN, SCENARIOS = 2_000, 10_000, 400  # applicants and scenarios that are run
WANTED = 10.0  # minutes of the whole on two cores
FIELDS = ["category", "price", "rating"]
LIMITS = {"max_default_probability": 0.05}
SETTING = (
    f"{N_APPLICANTS:,} applicants, and a history of {N_PAST:,} sales of {N_SELLERS:,} sellers in {N_CATEGORIES:,} "
    f"categories, with two numbers each; the model, {REFITS} refits and {FOLDS} folds learn from {FIT_ROWS:,} of the "
    "sales (`--fit-rows`), comparable sales are looked for among all. First the command as a whole, on all cores; then "
    "each stage once, in a process of its own, on one core of a machine that others use, too: read the processor time"
)


def make_tables(folder):
    """Write a history and applicants: what is sold depends on category and rating."""
    rng = np.random.default_rng(0)
    size, popular = rng.normal(size=N_CATEGORIES) / 2, rng.dirichlet(np.ones(N_CATEGORIES))

    def draw(n, extra):
        category = np.r_[np.arange(N_CATEGORIES), rng.choice(N_CATEGORIES, n - N_CATEGORIES, p=popular)]
        table = pd.DataFrame({"category": [f"c{i:04}" for i in category]})
        table["price"] = np.exp(3 + rng.normal(size=n) / 2).round(2)
        table["rating"] = rng.uniform(3, 5, n).round(1)
        mean = np.exp(3 + size[category]) * (1.5 + 0.3 * (table["rating"] - 4))
        return table.assign(units=(5 + mean * rng.gamma(4, 1 / 4, n)).round(), **extra)

    history = draw(N_PAST, {"shop": [f"S{i:05}" for i in rng.integers(N_SELLERS, size=N_PAST)]})
    history.to_parquet(folder / "history.parquet")
    history.to_csv(folder / "history.csv", index=False)
    draw(N_APPLICANTS, {"name": [f"A{i:06}" for i in range(N_APPLICANTS)]}).to_parquet(folder / "sellers.parquet")


def read(folder, name="history.parquet"):
    return load_table(folder / name, "units", ["category", "shop"], ["price", "rating"])


def read_sellers(folder):
    sellers, _ = load_table(folder / "sellers.parquet", None, ["category", "name"], ["price", "rating"])
    return sellers.set_index("name")


# Each stage prepares what it needs, and returns the work that is timed.


def stage_read(folder):
    return lambda: (read(folder), read_sellers(folder))


def stage_read_csv(folder):
    return lambda: read(folder, "history.csv")


def stage_fit(folder):
    history, sales = read(folder)
    rows = draw_rows(history[FIELDS], FIT_ROWS)

    def fit():
        model = QRGMM(DESK_LEVELS, FieldEncoder()).fit(history[FIELDS].iloc[rows], sales.iloc[rows])
        model.save(folder / "model.npz")

    return fit


def stage_loans(folder):
    sellers, model = read_sellers(folder), QRGMM.load(folder / "model.npz")
    reference = {"category": "c0000", "price": 20.0, "rating": 4.0}
    return lambda: (
        desk.size_loans(model.predict_curve(sellers[FIELDS]), sellers["price"].to_numpy(), **LIMITS),
        desk.reference_loans(model, sellers, reference, "price", **LIMITS),
        desk.loan_drivers(model, sellers, reference, "price", **LIMITS),
    )


def stage_look_back(folder):
    """The forecasts of all past sales, and the tree in which the nearest are looked for; with one applicant."""
    return _compare(folder, 1)


def stage_compare(folder):
    return _compare(folder, COMPARED)


def _compare(folder, n):
    (history, _), sellers, model = read(folder), read_sellers(folder), QRGMM.load(folder / "model.npz")
    few = sellers[FIELDS].sample(n, random_state=0)
    curve = model.predict_curve(few).clip(lower=0.0)
    return lambda: decisions._find_comparables(model, curve, history[FIELDS], 100, False)


def stage_portfolio(folder):
    sellers, model = read_sellers(folder), QRGMM.load(folder / "model.npz")
    price, curve = sellers["price"].to_numpy(), model.predict_curve(sellers[FIELDS])
    loans = desk.size_loans(curve, price, **LIMITS)["loan"]
    return lambda: desk.place_in_portfolio(curve, loans, 0.3, SCENARIOS, 0, unit_revenue=price)


def stage_write(folder):
    sellers, model = read_sellers(folder).head(WRITTEN), QRGMM.load(folder / "model.npz")
    history, sales = (each.iloc[:2_000] for each in read(folder))
    decisions.CELLS, options = 1, {"n_refits": 0, "n_folds": 0, "n_comparable": 1, "rng": 0}
    found = desk.decide(model, history[FIELDS], sales, sellers, LIMITS, "price", **options)

    def write():
        table = command.tabulate(found)
        texts = {"decisions.csv": command.disarm(table).to_csv()}
        texts["memo.html"] = render_memo(found, found.names[:3])
        texts["index.html"] = render_index(found, Provenance(), ["memo.html", "decisions.csv"], [0, 1, 2])
        table.to_parquet(folder / "decisions.parquet")
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")

    return write


STAGES = {  # what a stage is called, and how often the whole needs it
    "read": ("reading, from Parquet", 1),
    "fit": (f"a fit; of these {1 + REFITS + FOLDS}", 1 + REFITS + FOLDS),
    "loans": ("forecasts, loans and reasons", 1),
    "look_back": ("forecasts of all past sales, and a tree of them", 1),
    "compare": (f"the same and comparable sales of {COMPARED:,} applicants", N_APPLICANTS / COMPARED),
    "portfolio": (f"portfolio, {SCENARIOS} scenarios", decisions.CELLS / N_APPLICANTS / SCENARIOS),
    "write": (f"writing {WRITTEN:,} of them", N_APPLICANTS / WRITTEN),
    "read_csv": ("reading the history from CSV instead", 0),
}


def run(time_in_turn):
    """Return what the whole and every stage took; `time_in_turn` is for contestants, and there are none."""
    stages = {}
    with tempfile.TemporaryDirectory() as name:
        make_tables(Path(name))
        for stage in STAGES:
            subprocess.run([sys.executable, __file__, stage, name], check=True)
            stages[stage] = json.loads(Path(name, "found.json").read_text(encoding="utf-8"))
        written = ["decisions.csv", "decisions.parquet", "index.html"]
        megabytes = {each: round(Path(name, each).stat().st_size / 1e6, 1) for each in written}
        whole = run_command(Path(name))
    return describe(whole, stages, {name: round(size * N_APPLICANTS / WRITTEN, 1) for name, size in megabytes.items()})


def run_command(folder):
    """Run the command as a lender would; what it took, all its processes together."""
    options = {
        "history": "history.parquet", "target": "units", "unit-revenue": "price", "categorical": "category",
        "continuous": ["price", "rating"], "seller": "shop", "name": "name", "refits": REFITS, "folds": FOLDS,
        "fit-rows": FIT_ROWS, "max-default-probability": LIMITS["max_default_probability"],
        "memos": ["A000001", "A050000", "A099999"], "output": "written",
    }  # fmt: skip
    words = [str(word) for name, given in options.items() for word in (f"--{name}", *np.atleast_1d(given))]
    command = [sys.executable, "-m", "qrgmm.desk", "sellers.parquet", "--parquet", *words]
    shared_out = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in shared_out}
    start, used, peak = time.perf_counter(), _processor_seconds_of_children(), 0
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"the desk ended with {process.returncode}")
    return {
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "processor_minutes": round((_processor_seconds_of_children() - used) / 60, 1),
        "peak_gib": round(peak / 2**30, 2),
    }


def _processor_seconds_of_children():
    times = os.times()
    return times.children_user + times.children_system


def _memory(pid):
    """Bytes that a process and its children hold; what they share counts for each."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:  # it has just ended
        return 0


def describe(whole, stages, megabytes):
    minutes = {}
    for stage, (_, times) in STAGES.items():
        seconds = stages[stage]["processor_seconds"]
        if stage == "compare":  # of which the look back is needed once
            seconds = max(seconds - stages["look_back"]["processor_seconds"], 0.0)
        minutes[stage] = round(times * seconds / 60, 2)
    most = max(minutes, key=minutes.get)
    verdict = "within" if whole["minutes"] <= WANTED else "more than"
    reading = (
        f"The command as a whole took {whole['minutes']:.1f} minutes on {os.cpu_count()} cores, {verdict} the "
        f"{WANTED:g} that were wanted on two, {whole['processor_minutes']:.1f} of a processor, and "
        f"{whole['peak_gib']:.1f} GiB in all its processes (what they share counted for each). The stages add up to "
        f"{sum(minutes.values()):.1f} processor minutes; the most, {minutes[most]:.1f}, for the stage "
        f'"{STAGES[most][0]}".'
    )
    return {
        "ratios": {"minutes of the whole": whole["minutes"]}, "reading": reading, "megabytes": megabytes,
        "whole": whole,
        "stages": {STAGES[stage][0]: found | {"processor_minutes_in_all": minutes[stage]}
                   for stage, found in stages.items()},
    }  # fmt: skip


def main(stage, folder):
    work = globals()[f"stage_{stage}"](folder)
    start = time.perf_counter(), time.process_time()
    work()
    found = {
        "seconds": round(time.perf_counter() - start[0], 2),
        "processor_seconds": round(time.process_time() - start[1], 2),
        "peak_gib": round(peak_memory(), 2),
    }
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
