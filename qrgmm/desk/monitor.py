r"""The vintage report from a shell: decisions of the desk and what came of them -> vintage_report.html and .csv.

Decisions are read as the desk writes them; outcomes, with one seller a row, in the form that the options say::

    python -m qrgmm.desk monitor desk/decisions.csv outcomes.csv
    python -m qrgmm.desk monitor decisions_2026-01.csv decisions_2026-02.csv \
        outcomes.csv --reference history.csv

Each file of decisions is a vintage, named after it, unless it has a column of vintages. What can't be meant is refused
in one line, and nothing is written.
"""

import argparse
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.checks import check_level
from qrgmm.datasets.reading import LIKE_NUMBER, parse_numbers, read_cells, refuse, require_columns, suggest_form
from qrgmm.desk.command import disarm, say
from qrgmm.desk.pages import write_together
from qrgmm.desk.report_page import count_sellers, render_report, say_verdict, tabulate_report
from qrgmm.desk.settled import QUANTILE, settle_loans
from qrgmm.desk.vintage_report import report_vintages

FLAGS = {"": False, **dict.fromkeys(["0", "no", "false"], False), **dict.fromkeys(["1", "yes", "true"], True)}
# What is written of each column of outcomes where no option names another one.
COLUMNS = ["seller", "vintage", "revenue", "sales", "granted"]


def monitor(arguments: list[str] | None = None) -> None:
    """Read decisions and outcomes, and write vintage_report.html and vintage_report.csv: both, or none.

    Parameters
    ----------
    arguments : list of str, optional
        Of the command line, behind ``monitor``; by default those that the process was started with.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     decisions, outcomes = Path(folder) / "May.csv", Path(folder) / "outcomes.csv"
    ...     _ = decisions.write_text("seller,loan,default_probability\\nA,50,0.05\\nB,80,0.05\\n")
    ...     _ = outcomes.write_text("seller,sales,unit_revenue\\nA,30,2\\nB,,2\\n")
    ...     monitor([str(decisions), str(outcomes), "--output", folder])
    Too few loans to tell, as less than one default was promised: 0 of 1 loans defaulted, ...
    note: 1 loan is not over, and left out.
    written: ...vintage_report.html, ...vintage_report.csv
    """
    parser = argparse.ArgumentParser(prog="python -m qrgmm.desk monitor", description="Promised against observed.")
    parser.add_argument("decisions", type=Path, nargs="+", help="decisions.csv of the desk, one file or several")
    parser.add_argument("outcomes", type=Path, help="CSV file, one seller a row; an empty cell of sales: not over yet")
    for name in COLUMNS:
        parser.add_argument(f"--{name}", metavar="COLUMN", help=f"of outcomes, by default {name}")
    parser.add_argument("--unit-revenue", help="net revenue of a unit: a number, or a column, by default unit_revenue")
    parser.add_argument("--override", metavar="COLUMN", help="yes or no, by default officer_override")
    parser.add_argument("--promise", type=float, help="default probability promised, in place of that of the decisions")
    parser.add_argument("--loading", type=float, default=0.3, help="of the loans of a vintage on one common factor")
    parser.add_argument("--grades", type=int, default=5, help="of promised probability")
    parser.add_argument("--margin", type=float, help="what a loan earns of itself, for the cost against hindsight")
    parser.add_argument("--reference", type=Path, help="CSV file: history or earlier decisions, for drift")
    parser.add_argument("--applicants", type=Path, help="CSV file of all applicants, for drift against --reference")
    parser.add_argument("--separator", default=",", help="between the cells of all files but decisions")
    parser.add_argument("--decimal", choices=[".", ","], help="sign before the decimals there, where it is not plain")
    parser.add_argument("--thousands", choices=[".", ",", "'", " "], help="sign between thousands there")
    parser.add_argument("--encoding", default="utf-8", help="of these files")
    parser.add_argument("--output", type=Path, default=Path("desk"), help="folder for both files of the report")
    options = parser.parse_args(arguments)
    try:
        report, notes = _report_files(options)
        table = disarm(tabulate_report(report)).to_csv(index=False)
        texts = {"vintage_report.html": render_report(report, notes=tuple(notes)), "vintage_report.csv": table}
        options.output.mkdir(parents=True, exist_ok=True)
        written = {options.output / name: text for name, text in texts.items()}
        write_together(written)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")
    say(say_verdict(report))
    for note in [*notes, *count_sellers(report)]:
        say(f"note: {note}")
    say(f"written: {', '.join(map(str, written))}")


def _report_files(options):
    """The report, and sentences about how the files were read."""
    _check_options(options)
    decisions = read_decisions(options.decisions)
    outcomes, notes = _read_outcomes(options)
    if "vintage" in outcomes and len(decisions["file"].unique()) == 1 and (decisions["vintage"] == "").all():
        # One file of decisions without vintages: the outcomes say which are its vintages.
        of_seller = outcomes.drop_duplicates("seller").set_index("seller")["vintage"]
        decisions["vintage"] = decisions["seller"].map(of_seller).fillna("")
    unnamed = decisions["vintage"] == ""
    decisions.loc[unnamed, "vintage"] = decisions["file"][unnamed]
    settled = settle_loans(decisions, outcomes, options.promise)
    if "cautious_loan" in decisions and not settled.overridden:
        notes.append("The desk's amounts are its cautious loans, which are to keep the same default probability.")
    form = options.separator, options.encoding, _number_form(options)
    applicants = {name: rows.drop(columns="file") for name, rows in decisions.groupby("vintage", sort=False)}
    reference = None if options.reference is None else _read_columns(options.reference, *form)
    if options.applicants is not None:
        applicants = {options.applicants.stem: _read_columns(options.applicants, *form)}
    drift = {"applicants": applicants, "reference": reference}
    return report_vintages(settled, options.loading, options.grades, options.margin, **drift), notes


def _check_options(options):
    for name in ("promise", "margin"):
        if getattr(options, name) is not None:
            check_level(f"--{name}", getattr(options, name))
    if not 0 <= options.loading < 1:
        raise ValueError(f"--loading must lie in [0, 1), got {options.loading!r}")
    if options.grades < 1:
        raise ValueError(f"--grades must be at least 1, got {options.grades!r}")
    if options.applicants is not None and options.reference is None:
        raise ValueError("--applicants needs --reference, the table that they are compared with")


def read_decisions(paths: list[Path]) -> pd.DataFrame:
    """Return decisions as the desk wrote them: names without the apostrophe that disarms them, numbers, vintages.

    Parameters
    ----------
    paths : list of path
        Of one vintage each, unless there is a column of vintages.

    Returns
    -------
    pandas.DataFrame
        With seller and vintage as text, the latter empty where nothing tells it; numbers where a column holds nothing
        else, and file, the name of the file without what names of several files share.

    Raises
    ------
    ValueError
        If columns are missing or hold no numbers, or two files have one name.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     paths = [Path(folder) / f"decisions_{month}.csv" for month in ("May", "June")]
    ...     for path in paths:
    ...         _ = path.write_text("seller,loan,default_probability\\n'=A,50,0.05\\n")
    ...     read_decisions(paths)[["seller", "file", "loan"]]
      seller  file  loan
    0     =A   May  50.0
    1     =A  June  50.0
    """
    labels = [re.sub(r"^decisions?[-_ ]*", "", path.stem) or path.stem for path in paths]
    twice = [label for label in labels if labels.count(label) > 1]
    tables = []
    for path, label in zip(paths, labels):
        table = _read_columns(path, text=["seller", "vintage"])
        require_columns(path, table, ["seller", "loan", "default_probability"])
        quantiles = [name for name in table if QUANTILE.fullmatch(name)]
        for name in ["loan", "default_probability", *quantiles]:
            if not pd.api.types.is_numeric_dtype(table[name]):
                refuse(path, table[name], parse_numbers(table[name]).isna() & (table[name] != ""), "numbers")
        if twice and "vintage" not in table:
            raise ValueError(f"files of decisions must have different names, got {twice[0]!r} twice; or add a column "
                             "vintage")  # fmt: skip
        table["seller"] = table["seller"].str.replace(r"^'(?=[=+\-@\t\r\n])", "", regex=True)
        refuse(path, table["seller"], table["seller"] == "", "a name in every row")
        vintage = table["vintage"] if "vintage" in table else pd.Series("" if len(paths) == 1 else label, table.index)
        tables.append(table.assign(vintage=vintage, file=label))
    return pd.concat(tables, ignore_index=True)


def _read_outcomes(options):
    """Outcomes with columns of fixed names, and sentences about how they were read."""
    path, point = options.outcomes, _number_form(options)
    table = read_cells(path, options.separator, options.encoding)
    names = {name: getattr(options, name) or name for name in COLUMNS}
    names["override"] = options.override or "officer_override"
    given = [getattr(options, name) for name in [*COLUMNS, "override"] if getattr(options, name)]
    require_columns(path, table, [names["seller"], *given])

    def read(column):
        numbers, written = parse_numbers(table[column], *point), table[column] != ""
        hint = ""
        if table[column][written].map(lambda cell: bool(LIKE_NUMBER.fullmatch(cell))).all():
            hint = f"; {suggest_form(table[column][written])}".replace("thousands=", "--thousands ")
            hint = hint.replace("decimal=", "--decimal ")
        refuse(path, table[column], written & ~(np.isfinite(numbers) & (numbers >= 0)), "numbers of at least 0", hint)
        return numbers

    outcomes = pd.DataFrame({"seller": table[names["seller"]]})
    refuse(path, table[names["seller"]], outcomes["seller"] == "", "a name in every row")
    notes, use_revenue = [], names["revenue"] in table and not options.sales
    if use_revenue:
        outcomes["revenue"] = read(names["revenue"])
        if names["sales"] in table:
            notes.append(f"Revenue is read from {names['revenue']!r}; the column {names['sales']!r} is not used.")
    else:
        if names["sales"] not in table:
            require_columns(path, table, [names["revenue"]])
        per_unit = _read_unit_revenue(options, table, read)
        outcomes["revenue"] = read(names["sales"]) * per_unit
    if names["vintage"] in table:
        outcomes["vintage"] = table[names["vintage"]]
        refuse(path, table[names["vintage"]], outcomes["vintage"] == "", "a vintage in every row")
    if names["granted"] in table:
        outcomes["granted"] = read(names["granted"])
    if names["override"] in table:
        cells = table[names["override"]]
        flags = cells.str.lower().map(FLAGS)
        refuse(path, cells, flags.isna(), "yes or no")
        outcomes["override"] = flags.astype(bool)
    return outcomes.reset_index(drop=True), notes


def _read_unit_revenue(options, table, read):
    """Net revenue per unit: a column of the outcomes or a number; never silently 1."""
    given = options.unit_revenue or "unit_revenue"
    if given in table:
        per_unit = read(given)
        missing = (table[options.sales or "sales"] != "") & (per_unit.isna() | (per_unit == 0))
        refuse(options.outcomes, table[given], missing, "a positive number where sales are known")
        return per_unit
    try:
        number = float(given)
    except ValueError:
        hint = f"--unit-revenue must be a number, or a column of {options.outcomes}"
        raise ValueError(f"{hint}: sales are in units, and a default is counted in currency; got {given!r}") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"--unit-revenue must be positive and finite, or the name of a column, got {given}")
    return number


def _number_form(options):
    """Decimal and thousands signs."""
    decimal = options.decimal or ("," if options.thousands == "." else ".")
    if decimal == options.thousands:
        raise ValueError(f"--decimal and --thousands must differ, got {decimal!r} for both")
    return decimal, options.thousands


def _read_columns(path, separator=",", encoding="utf-8", form=(".", None), text=()):
    """Any table: columns of numbers as numbers, NaN for empty cells, all others as text."""
    table = read_cells(path, separator, encoding)
    require_columns(path, table, [])
    for name in [name for name in table if name not in text]:
        numbers = parse_numbers(table[name], *form)
        if (numbers.notna() | (table[name] == "")).all():
            table[name] = numbers
    return table
