r"""The desk from a shell: read sellers and history, fit, decide, and write decisions and memo.

With the data of the book as history, or a CSV file of one's own::

    python -m qrgmm.desk sellers.csv --max-default-probability 0.05
    python -m qrgmm.desk sellers.csv --history history.csv --target units --unit-revenue price --output memos

What can't be meant is refused in one line, before anything is fitted, and nothing is written.
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.datasets.big_mart import load_big_mart
from qrgmm.datasets.reading import read_cells
from qrgmm.datasets.sales_table import load_sales_csv
from qrgmm.desk.decisions import CHAIN_COLUMNS, HIGHEST_SCORE, decide, warning_flags
from qrgmm.desk.memo import MOST_SECTIONS, render_memo, write_together
from qrgmm.desk.safeguards import show_number
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM

# Fine where loans default, coarse elsewhere.
DESK_LEVELS = np.r_[1:10, 10:100:5] / 100
# Covariates of the book's data, where a product in a store stands for a seller.
BIG_MART = {
    "categorical": ["Item_Fat_Content", "Item_Type", "Outlet_Identifier"],
    "continuous": ["Item_Weight", "Item_Visibility", "Item_MRP"],
}
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
    "seed": (0, math.inf, True, False),
}
MOST_WARNINGS = 20  # on the terminal; the table and the memo have all


def main(arguments: list[str] | None = None) -> None:
    """Read sellers, fit the history, decide, and write decisions.csv and memo.html.

    Both files are written, or none. In the table a cell of text that a spreadsheet would take for a formula, since it
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
    written: ...decisions.csv, ...memo.html
    """
    parser = argparse.ArgumentParser(prog="python -m qrgmm.desk", description="Loans for sellers, with their reasons.")
    parser.add_argument("sellers", type=Path, help="CSV file, one seller a row, with the covariates of the history")
    parser.add_argument("--max-default-probability", type=float, default=0.05)
    parser.add_argument("--max-expected-loss-rate", type=float, help="expected loss as a share of the loan")
    parser.add_argument("--cap", type=float, help="no loan above this amount")
    parser.add_argument("--history", type=Path, help="CSV file of past sellers; without it, the book's Big Mart data")
    parser.add_argument("--target", help="the history's column of sales, in units")
    parser.add_argument("--unit-revenue", default=None, help="net revenue of a unit sold: a number, or a column's name")
    parser.add_argument("--categorical", nargs="*", help="columns of text; needed for codes written in digits")
    parser.add_argument("--continuous", nargs="*", help="columns of numbers")
    parser.add_argument("--separator", default=",", help="between the cells of both files")
    parser.add_argument("--decimal", choices=[".", ","], help="sign before the decimals, where it is not plain")
    parser.add_argument("--thousands", choices=[".", ",", "'", " "], help="sign between thousands")
    parser.add_argument("--encoding", default="utf-8", help="of both files")
    parser.add_argument("--unseen", choices=["refuse", "other"], default="refuse", help="text that no past seller had")
    parser.add_argument("--name", help="the sellers' column of names, all different; without it they are numbered")
    parser.add_argument("--max-late-probability", type=float, help="flag from this value of late_probability on")
    parser.add_argument("--max-risk-score", type=float, help=f"the same for {' '.join(CHAIN_COLUMNS)}")
    parser.add_argument("--loading", type=float, default=0.3, help="of all sellers on one common factor")
    parser.add_argument("--refits", type=int, default=50, help="of the bootstrap, at least 2; 0 for no band")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("desk"), help="folder for decisions.csv and memo.html")
    parser.add_argument(
        "--memos", nargs="*", metavar="NAME", help=f"sellers with a section, by default the first {MOST_SECTIONS}"
    )
    options = parser.parse_args(arguments)
    try:
        _check_options(options)
        found = _decide_files(options)
        table = found.table.round(6).set_axis(pd.Index(found.names, name="seller"))
        texts = {"decisions.csv": disarm(table).to_csv(), "memo.html": render_memo(found, options.memos, progress=True)}
        options.output.mkdir(parents=True, exist_ok=True)
        written = {options.output / name: text for name, text in texts.items()}
        write_together(written)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")
    _say(f"fitted to {found.source}; {len(found.names)} sellers, {found.table['loan'].sum():,.0f} in loans")
    for note in found.notes[1:] if found.floored.any() else found.notes[2:]:
        _say(f"note: {note}")
    warned = [f"{name}: {text}" for name, text in zip(found.names, found.table["warnings"]) if text]
    for line in warned[:MOST_WARNINGS]:
        _say(f"warning: {line}")
    if len(warned) > MOST_WARNINGS:
        _say(f"warning: {len(warned) - MOST_WARNINGS:,} more sellers, see the column warnings")
    _say(f"written: {', '.join(map(str, written))}")


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


def _say(text):
    """Print, also where the terminal has no letters for a name."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _check_options(options):
    """Refuse numbers that can't be meant, empty lists, and a folder that can't be written to."""
    for name, (low, high, with_low, with_high) in RANGES.items():
        value = getattr(options, name)
        above = value is not None and (value >= low if with_low else value > low)
        if value is not None and not (above and (value <= high if with_high else value < high)):
            wanted = f"{'[' if with_low else '('}{low}, {high:g}{']' if with_high else ')'}"
            raise ValueError(f"{_flag(name)} must lie in {wanted}, got {value!r}")
    if options.refits == 1:
        raise ValueError("--refits must be 0, for no band, or at least 2, got 1")
    for name in ("categorical", "continuous", "memos"):
        if getattr(options, name) == []:
            raise ValueError(f"{_flag(name)} must be followed by at least one name, got none")
    if options.cap == math.inf:
        options.cap = None
    _check_folder(options.output)


def _check_folder(folder):
    for path in (folder, *folder.parents):
        if path.exists():
            break
    if not path.is_dir():
        raise ValueError(f"--output must be a folder, got {str(folder)!r}, and {str(path)!r} is a file")
    occupied = [name for name in ("decisions.csv", "memo.html") if (folder / name).is_dir()]
    if occupied:
        raise ValueError(f"--output must be a folder for decisions.csv and memo.html, but has a folder {occupied[0]!r}")
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"--output must be a folder that can be written to, got {str(folder)!r}: {error}") from error


def _flag(name):
    return f"--{name.replace('_', '-')}"


def _decide_files(options):
    """Read both files with one schema, fit, and decide."""
    history, sales, unit_revenue = _read_history(options)
    numbers = list(history.select_dtypes("number"))
    text = [name for name in history if name not in numbers]
    flagged = ["late_probability"] * (options.max_late_probability is not None)
    flagged += CHAIN_COLUMNS * (options.max_risk_score is not None)
    numbers += flagged + ([unit_revenue] if isinstance(unit_revenue, str) else [])
    text += [options.name] if options.name and options.name not in numbers else []
    # The history has shown how numbers are written; a short file of sellers alone might leave it open.
    form = _read_form(options) | {"decimal": options.decimal or ("," if options.thousands == "." else ".")}
    columns = list(dict.fromkeys(text)), list(dict.fromkeys(numbers))
    sellers, _ = load_sales_csv(options.sellers, None, *columns, **form)
    names = _read_names(options, sellers)
    flags = warning_flags(sellers, options.max_late_probability, options.max_risk_score)
    limits = {name: getattr(options, name) for name in ("max_default_probability", "max_expected_loss_rate", "cap")}
    levels, limit = DESK_LEVELS, options.max_default_probability
    if limit <= levels[0]:
        # Below its first level a law says nothing, not even that a loan there defaults: the grid has to go on.
        levels = np.union1d(levels, limit * np.array([0.25, 0.5, 1.0]))
    unseen = "raise" if options.unseen == "refuse" else "other"
    model = QRGMM(levels, FieldEncoder(unseen=unseen)).fit(history, sales)
    return decide(
        model, history, sales, sellers, limits, unit_revenue, names, flags,
        n_refits=options.refits, loading=options.loading, rng=options.seed, progress=True,
    )


def _read_form(options):
    """How both files are written."""
    return {name: getattr(options, name) for name in ("separator", "decimal", "thousands", "encoding")}


def _read_names(options, sellers):
    """Names of the sellers, all different."""
    if not options.name:
        names = [f"seller {i}" for i in range(1, len(sellers) + 1)]
    elif pd.api.types.is_numeric_dtype(sellers[options.name]):
        names = [show_number(name).replace(",", "") for name in sellers[options.name]]
    else:
        names = list(sellers[options.name])
    twice = pd.Series(names)[pd.Series(names).duplicated()].unique()
    if len(twice):
        raise ValueError(f"--name must be a column of different names, but {options.name!r} has {twice[0]!r} twice")
    unknown = [name for name in options.memos or [] if name not in set(names)]
    if unknown:
        raise ValueError(f"--memos must name sellers such as {names[:3]}, got {unknown}")
    return names


def _read_history(options):
    """Return covariates, sales in units, and the unit revenue of the sellers: a number, or the name of a column."""
    if options.history is None:
        given = [name for name in ("target", "unit_revenue", "categorical", "continuous") if getattr(options, name)]
        if given:
            raise ValueError(f"{_flag(given[0])} needs --history: without it the book's data are used")
        table = load_big_mart(stand_in=True)
        history = table[[*BIG_MART["categorical"], *BIG_MART["continuous"]]]
        history.attrs["source"] = table.attrs["source"] + " (no --history given; a product in a store is a seller)"
        return history, table["Item_Outlet_Sales"] / table["Item_MRP"], "Item_MRP"
    if options.target is None:
        raise ValueError("--history needs --target, the name of its column of sales in units")
    columns = options.target, options.categorical, options.continuous
    history, sales = load_sales_csv(options.history, *columns, **_read_form(options))
    return history, sales, _read_unit_revenue(options)


def _read_unit_revenue(options):
    """The unit revenue: a number, or the name of a column; refused where it could be both."""
    given = "1" if options.unit_revenue is None else options.unit_revenue
    try:
        number = float(given)
    except ValueError:
        return given
    if options.unit_revenue in list(read_cells(options.sellers, options.separator, options.encoding)):
        other = repr(number) if repr(number) != given else f"{given}0"
        raise ValueError(
            f"--unit-revenue {given} may be a number or the column {given!r} of {options.sellers}; "
            f"write {other} for the number, or give the column another name"
        )
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"--unit-revenue must be positive and finite, or the name of a column, got {given}")
    return number
