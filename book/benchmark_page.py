"""Write the page of benchmarks and times: the JSON files of data/results, and build/seconds.json -> Markdown."""

import json
from pathlib import Path

from markdown_table import format_table

from qrgmm.studies.results import load_benchmarks

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
SECONDS = ROOT / "build" / "seconds.json"  # written by notebooks/execute.py
INTRODUCTION = """# Benchmarks

What was timed side by side, in one run for each kind of processor, by `make bench`. Machines differ and are shared:
read the ratios, which were taken in turns within a run, and not the seconds. They, too, depend on the processor's
instructions, and where the book quotes one it is the least favourable to us. This page is written from the recorded
files when the book is built.
"""


def make_page(results=RESULTS, seconds=SECONDS):
    """Return the page as Markdown: how long chapters and studies took, and one section per recorded benchmark."""
    sections = [INTRODUCTION]
    if seconds.exists():
        sections.append(describe_chapters(json.loads(seconds.read_text(encoding="utf-8"))))
    sections.append(describe_studies(results))
    for title, name, describe in (
        ("Exact risk against Monte Carlo", "exact_risk", describe_seconds),
        ("Draws from one curve", "sampling", describe_seconds),
        ("Draws from covariates, and training", "generation", describe_generation),
        ("One applicant at the counter", "applicant", describe_seconds),
        ("A grid of quantile regressions", "solvers", describe_solvers),
        ("A portfolio of ten thousand loans", "portfolio", describe_seconds),
        ("The desk on many applicants", "desk", describe_stages),
    ):
        sections.append(f"## {title}\n")
        for record in load_benchmarks(name, results):
            setting = record["setting"].rstrip(".") + ".\n"
            sections += [describe_machine(record), setting, describe(record)]
    return "\n".join(sections)


def describe_chapters(seconds):
    text = "How long each chapter took when it was last executed on the machine that built this book:\n"
    rows = [(f"{{doc}}`../notebooks/{name}`", format_seconds(taken)) for name, taken in sorted(seconds.items())]
    return "## The chapters\n\n" + text + "\n" + make_table(["chapter", "time"], rows)


def describe_studies(results):
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*_paper.json"))]
    rows = [(f"`{record['study']}`", record["n_replications"], f"{record['minutes']:.1f}") for record in records]
    hours = sum(record["minutes"] for record in records) / 60
    text = (
        "What `make results` runs: the recorded studies of size paper, and the minutes of one core that their "
        f"replications took when they were recorded. Together: {hours:.0f} hours.\n"
    )
    return "## The studies\n\n" + text + "\n" + make_table(["study", "replications", "minutes"], rows)


def describe_seconds(record):
    rows = [(name.replace("_", " "), format_seconds(seconds)) for name, seconds in record["seconds"].items()]
    ratios = [(name.replace("_", " "), f"{ratio:,g}") for name, ratio in record["ratios"].items()]
    return make_table(["contestant", "time"], rows) + "\n" + make_table(["ratio", "times"], ratios)


def describe_generation(record):
    rows = [(name.replace("_", " "), format_seconds(s)) for name, s in record["training_processor_seconds"].items()]
    return describe_seconds(record) + "\n" + make_table(["trained", "processor time"], rows)


def describe_solvers(record):
    parts = []
    for size in record["sizes"].values():
        heading = f"### {size['rows']:,} rows, {size['columns']} columns, {size['m'] - 1} levels\n"
        ours = size["ours"]
        summary = f"Ours: relative duality gap at most {ours['gap']:.0e}, excess {ours['excess']:.0e}.\n"
        rows = [
            (peer, row["version"], format_seconds(row["seconds"]), f"{row['ratio']:,.1f}", f"{row['excess']:.0e}")
            for peer, row in sorted(size["peers"].items(), key=lambda item: item[1].get("ratio", 0))
            if "ratio" in row
        ]
        parts += [heading, summary, make_table(["peer", "version", "whole grid", "times ours", "excess"], rows)]
        if size["left_out"]:
            parts.append("Left out: " + "; ".join(f"{peer} ({why})" for peer, why in size["left_out"].items()) + ".\n")
    return "\n".join(parts)


def describe_stages(record):
    rows = [
        (stage, *(format_seconds(found[clock]) for clock in ("processor_seconds", "seconds")),
         f"{found['peak_gib']:.2f}\N{NO-BREAK SPACE}GiB", f"{found['processor_minutes_in_all']:.1f}")
        for stage, found in record["stages"].items()
    ]  # fmt: skip
    header = ["stage", "processor time", "time", "most memory", "processor minutes in all"]
    files = ", ".join(f"{file} {megabytes:g}" for file, megabytes in record["megabytes"].items())
    return make_table(header, rows) + f"\n{record['reading']} Megabytes written: {files}.\n"


def describe_machine(record):
    machine = dict(record["machine"])
    processor, cores, kind = machine.pop("processor"), machine.pop("cores"), machine.pop("instructions", "")
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    return f"Measured on {record['date']}: {processor} {kind}, {cores} cores; {versions}.\n"


def make_table(header, rows):
    return format_table([header, ["---"] * len(header), *rows])


def format_seconds(seconds):
    return f"{1000 * seconds:.3g}\N{NO-BREAK SPACE}ms" if seconds < 1 else f"{seconds:,.1f}\N{NO-BREAK SPACE}s"
