r"""The desk from a shell: read sellers and history, fit, decide, and write decisions and memo.

With the data of the book as history, or a CSV file of one's own::

    python -m qrgmm.desk sellers.csv --max-default-probability 0.05
    python -m qrgmm.desk sellers.csv --history history.csv --target units \
        --unit-revenue price --output memos
    python -m qrgmm.desk names.csv --history sales.csv --date day --seller shop \
        --amount net --horizon 90D

What can't be meant is refused in one line, before anything is fitted, and nothing is written.
"""

import argparse
import importlib.util
import io
import math
import sys
import tempfile
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.desk.card import Provenance, hash_file, hash_model, render_card, render_index
from qrgmm.desk.dated import promise_in_time
from qrgmm.desk.decisions import Decisions, decide
from qrgmm.desk.flags import CHAIN_COLUMNS, HIGHEST_SCORE, warning_flags
from qrgmm.desk.inputs import KINDS, draw_rows, flag, make_model, read_case
from qrgmm.desk.memo import MOST_SECTIONS, choose_sections, render_memo
from qrgmm.desk.pages import write_together
from qrgmm.desk.reasons import WAYS

# What an option may be: its range, and whether the lower and the upper end belong to it. A limit of 0 is none of them:
# the lowest quantile of a law is not its lowest value.
RANGES = {
    "max_default_probability": (0, 1, False, True),
    "max_expected_loss_rate": (0, 1, False, True),
    "cap": (0, math.inf, False, True),
    "max_late_probability": (0, 1, True, True),
    "max_risk_score": (0, HIGHEST_SCORE, True, True),
    "loading": (0, 1, True, False),
    "refits": (0, math.inf, True, False),
    "folds": (0, math.inf, True, False),
    "seed": (0, math.inf, True, False),
    "fit_rows": (100, math.inf, True, False),
}
FILES = ["decisions.csv", "memo.html", "model_card.html", "index.html"]
MOST_WARNINGS = 20  # on the terminal; the table and the memo have all


def main(arguments: list[str] | None = None) -> None:
    """Read sellers, fit the history, decide, and write decisions, memo, model card, and a page that links them.

    All files are written, or none. In the table a cell of text that a spreadsheet would take for a formula, since it
    starts with ``=``, ``+``, ``-``, ``@``, a tab or a line end, gets an apostrophe in front.

    Parameters
    ----------
    arguments : list of str, optional
        Of the command line, by default those that the process was started with.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     history, sellers = Path(folder) / "history.csv", Path(folder) / "sellers.csv"
    ...     _ = history.write_text("price,ads,units\\n" + "2,1,30\\n3,2,20\\n4,3,10\\n5,1,15\\n" * 120)
    ...     _ = sellers.write_text("price,ads\\n3,2\\n")
    ...     options = ["--history", str(history), "--target", "units", "--refits", "0", "--output", folder]
    ...     main([str(sellers), *options])
    fitted to history.csv; 1 sellers, 20 in loans
    note: Seen on 480 past sales...
    note: Cautious loans are sized at 5%...
    written: ...decisions.csv, ...memo.html, ...model_card.html, ...index.html
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        _check_options(options)
        found, provenance, card = _decide_files(options)
        sections = choose_sections(found.names, options.memos)
        table = tabulate(found)
        texts: dict[str, str | bytes] = {
            "decisions.csv": disarm(table).to_csv(),
            "memo.html": render_memo(found, options.memos, progress=True, provenance=provenance),
            "model_card.html": card,
        }
        if options.parquet:
            table.to_parquet(buffer := io.BytesIO())
            texts["decisions.parquet"] = buffer.getvalue()
        texts["index.html"] = render_index(found, provenance, list(texts), sections)
        options.output.mkdir(parents=True, exist_ok=True)
        written = {options.output / name: text for name, text in texts.items()}
        write_together(written)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")
    _report(found, written)


def _make_parser():
    parser = argparse.ArgumentParser(prog="python -m qrgmm.desk", description="Loans for sellers, with their reasons.")
    add = parser.add_argument
    add("sellers", type=Path, help="CSV or Parquet file, one seller a row, with the covariates of the history")
    add("--max-default-probability", type=float, default=0.05)
    add("--max-expected-loss-rate", type=float, help="expected loss as a share of the loan")
    add("--cap", type=float, help="no loan above this amount")
    add("--max-share", action="append", default=[], metavar="COLUMN=SHARE",
        help="no value of this column of the sellers holds more of all that is lent; may be repeated")  # fmt: skip
    add("--history", type=Path, help="CSV or Parquet file of past sellers; without it, the book's Big Mart data")
    add("--target", help="the history's column of sales, in units")
    add("--unit-revenue", default=None, help="net revenue of a unit sold: a number, or a column's name")
    add("--categorical", nargs="*", help="columns of text; needed for codes written in digits")
    add("--continuous", nargs="*", help="columns of numbers")
    add("--day", help="the history's column of days, no covariate: from when its sales are")
    add("--seller", help="the history's column of sellers, where they have several rows; needed with --date")
    add("--date", help="the history's column of days: its rows are single sales, and sellers are given by name")
    add("--amount", help="with --date: the column of what a sale brought, net, in currency")
    add("--quantity", help="with --date: the column of units of a sale, by default one each")
    add("--horizon", help="how far ahead sales count, such as 90D; without --date only stated")
    add("--origin", help="with --date: the day of the decision, by default the day after the last sale")
    add("--model", help=f"{', '.join(KINDS)}, or a file of a saved model; by default two-part with --date, else qrgmm")
    add("--separator", default=",", help="between the cells of both files")
    add("--decimal", choices=[".", ","], help="sign before the decimals, where it is not plain")
    add("--thousands", choices=[".", ",", "'", " "], help="sign between thousands")
    add("--encoding", default="utf-8", help="of both files")
    add("--unseen", choices=["refuse", "other"], default="refuse", help="text that no past seller had")
    add("--name", help="the sellers' column of names, all different; without it they are numbered")
    add("--reach", nargs="*", default=[], metavar="COLUMN[=WAY]",
        help="what a seller can choose, with =up or =down where only one way makes sense: what would raise the loan?")
    add("--max-late-probability", type=float, help="flag from this value of late_probability on")
    add("--max-risk-score", type=float, help=f"the same for {' '.join(CHAIN_COLUMNS)}")
    add("--loading", type=float, default=0.3, help="of all sellers on one common factor")
    add("--refits", type=int, default=50, help="of the bootstrap, at least 2; 0 for no band")
    add("--folds", type=int, default=10, help="of sales left out to see the promise kept, at least 2; 0 not to look")
    add("--fit-rows", type=int, help="fit to so many past sales drawn at random, where all would take too long")
    add("--seed", type=int, default=0)
    add("--today", help="date of the decision, such as 2026-01-31; by default today")
    add("--officer", default="", help="who decides")
    add("--currency", default="", help="of all amounts")
    add("--conditions", nargs="*", default=[], metavar="TEXT", help="under which loans are given, for the memo")
    add("--output", type=Path, default=Path("desk"), help=f"folder for {', '.join(FILES)}")
    add("--parquet", action="store_true", help="write decisions.parquet as well")
    add("--memos", nargs="*", metavar="NAME", help=f"sellers with a section, by default the first {MOST_SECTIONS}")
    return parser


def _report(found, written):
    """Say on the terminal what was found and written."""
    say(f"fitted to {found.source}; {len(found.names)} sellers, {found.table['amount'].sum():,.0f} in loans")
    for note in found.notes[1:] if found.floored.any() else found.notes[2:]:
        say(f"note: {note}")
    warned = [f"{name}: {text}" for name, text in zip(found.names, found.table["warnings"]) if text]
    warned += [f"{name}: {text}" for name, text in found.missing.items()]
    for line in warned[:MOST_WARNINGS]:
        say(f"warning: {line}")
    if len(warned) > MOST_WARNINGS:
        say(f"warning: {len(warned) - MOST_WARNINGS:,} more sellers, see the column warnings")
    say(f"written: {', '.join(map(str, written))}")


def tabulate(decisions: Decisions) -> pd.DataFrame:
    """Return the table that the command writes: a row per applicant, also for those without a history.

    Parameters
    ----------
    decisions : Decisions

    Returns
    -------
    pandas.DataFrame
        With the index seller, rounded to six digits behind the point.

    Examples
    --------
    >>> from types import SimpleNamespace as Decisions
    >>> table = pd.DataFrame({"loan": [2.0], "amount": [1.0], "warnings": [""]})
    >>> tabulate(Decisions(table=table, names=["Ada"], missing={"Zoe": "no history"}))[["amount", "warnings"]]
            amount    warnings
    seller
    Ada        1.0
    Zoe        0.0  no history
    """
    table = decisions.table.round(6).set_axis(pd.Index(decisions.names, name="seller"))
    if decisions.missing:
        others = pd.DataFrame({"loan": 0.0, "amount": 0.0, "warnings": decisions.missing})
        table = pd.concat([table, others.rename_axis("seller")])
    return table


def disarm(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no cell of text is a formula for a spreadsheet.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        With an apostrophe before every text, index included, that starts as a formula does.

    Examples
    --------
    >>> disarm(pd.DataFrame({"x": [-1.0]}, ["=1+1"]))
            x
    '=1+1 -1.0
    """

    def safe(cell):
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell

    numbers = table.select_dtypes(["number", "bool"]).columns
    texts = {name: table[name].map(safe) for name in table if name not in numbers}
    return table.assign(**texts).set_axis(table.index.map(safe).rename(table.index.name))


def say(text):
    """Print, also where the terminal has no letters for a name."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _check_options(options):
    """Refuse numbers that can't be meant, empty lists, days that are none, and a folder that can't be written to."""
    for name, (low, high, with_low, with_high) in RANGES.items():
        value = getattr(options, name)
        above = value is not None and (value >= low if with_low else value > low)
        if value is not None and not (above and (value <= high if with_high else value < high)):
            wanted = f"{'[' if with_low else '('}{low}, {high:g}{']' if with_high else ')'}"
            raise ValueError(f"{flag(name)} must lie in {wanted}, got {value!r}")
    for name, without in (("refits", "band"), ("folds", "cautious loans")):
        if getattr(options, name) == 1:
            raise ValueError(f"{flag(name)} must be 0, for no {without}, or at least 2, got 1")
    for name in ("categorical", "continuous", "memos"):
        if getattr(options, name) == []:
            raise ValueError(f"{flag(name)} must be followed by at least one name, got none")
    for name in ("today", "origin"):
        _check_day(name, getattr(options, name))
    if options.horizon is not None:
        try:
            positive = pd.Timedelta(options.horizon) > pd.Timedelta(0)
        except ValueError:
            positive = False
        if not positive:
            raise ValueError(f"--horizon must be a positive time such as 90D, got {options.horizon!r}")
    options.max_share = dict(_read_share(text) for text in options.max_share)
    if options.fit_rows is not None and options.date is not None:
        raise ValueError("--fit-rows does not go with --date: vintages are fitted to all that was known")
    options.reach = dict(_read_way(text) for text in options.reach)
    if options.parquet and importlib.util.find_spec("pyarrow") is None:
        raise ValueError("--parquet needs the package pyarrow, which is not installed")
    if options.cap == math.inf:
        options.cap = None
    _check_folder(options.output)


def _check_day(name, text):
    try:
        date.fromisoformat(text or "2000-01-01")
    except ValueError as error:
        raise ValueError(f"{flag(name)} must be a day such as 2026-01-31, got {text!r}") from error


def _read_share(text):
    """Column and share of a limit on concentration."""
    name, sign, share = text.rpartition("=")
    try:
        number = float(share)
    except ValueError:
        number = math.nan
    if not (sign and name and 0 < number <= 1):
        raise ValueError(f"--max-share must be COLUMN=SHARE with a share in (0, 1], got {text!r}")
    return name, number


def _read_way(text):
    """Column and way of a change."""
    name, sign, way = text.rpartition("=")
    if not sign:
        return text, "either"
    if not name or way not in WAYS:
        raise ValueError(f"--reach must be COLUMN or COLUMN=WAY with a way in {list(WAYS)}, got {text!r}")
    return name, way


def _check_folder(folder):
    for path in (folder, *folder.parents):
        if path.exists():
            break
    if not path.is_dir():
        raise ValueError(f"--output must be a folder, got {str(folder)!r}, and {str(path)!r} is a file")
    occupied = [name for name in [*FILES, "decisions.parquet"] if (folder / name).is_dir()]
    if occupied:
        raise ValueError(f"--output must be a folder for {', '.join(FILES)}, but has a folder {occupied[0]!r}")
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"--output must be a folder that can be written to, got {str(folder)!r}: {error}") from error


def _decide_files(options):
    """Read both files with one schema, fit, and decide; return decisions, where they come from, and the model card."""
    kind = options.model or ("two-part" if options.date else "qrgmm")
    limit = options.max_default_probability
    model = make_model(kind, limit, options.unseen, options.seed)
    case = read_case(options, model)
    absent = [name for name in options.reach if name not in case.history]
    if absent:
        raise ValueError(f"--reach must name covariates, {list(case.history)}, got {absent}")
    flags = warning_flags(case.sellers, options.max_late_probability, options.max_risk_score)
    limits = {name: getattr(options, name) for name in ("max_default_probability", "max_expected_loss_rate", "cap")}
    promise = None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "column .* has levels never seen")
        fitted = None
        if options.fit_rows is not None:
            fitted = draw_rows(case.history, options.fit_rows, options.seed)
        if kind in KINDS:
            rows = slice(None) if fitted is None else fitted
            model.fit(case.history.iloc[rows], np.asarray(case.sales)[rows])
        if case.panel is not None and options.folds and limit < 1:
            panel = case.panel.copy()
            panel.attrs["covariates"] = list(case.history)
            promise = promise_in_time(model, panel, case.items, limit, options.horizon or "90D", options.seed, True)
    found = decide(
        model, case.history, case.sales, case.sellers, limits, case.unit_revenue, case.names, flags,
        n_refits=options.refits, loading=options.loading, rng=options.seed, progress=True, groups=case.groups,
        n_folds=options.folds, promise=promise, reach=options.reach, max_shares=options.max_share,
        drawn=options.memos or case.names[:MOST_SECTIONS], fitted=fitted,
    )  # fmt: skip
    found = replace(found, missing=case.missing, unit=case.unit)
    provenance = Provenance(
        today=options.today or date.today().isoformat(), officer=options.officer, currency=options.currency,
        horizon=options.horizon or ("90D" if options.date else ""), data=case.history.attrs["source"],
        data_hash=hash_file(options.history) if options.history else "", model=type(model).__name__,
        model_hash=hash_model(model), n_groups=None if case.groups is None else len(set(case.groups)),
        conditions=options.conditions, dates=case.dates, asked=case.asked,
    )  # fmt: skip
    return found, provenance, render_card(found, provenance, model, case.history, case.sales)
