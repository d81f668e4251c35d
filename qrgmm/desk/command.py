r"""The desk from a shell: read sellers and history, fit, decide, and write decisions and memo.

With the data of the book as history, or a CSV file of one's own::

    python -m qrgmm.desk sellers.csv --max-default-probability 0.05
    python -m qrgmm.desk sellers.csv --history history.csv --target units --unit-revenue price --output memos
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.datasets.big_mart import load_big_mart
from qrgmm.datasets.sales_table import load_sales_csv
from qrgmm.desk.decisions import CHAIN_COLUMNS, decide, warning_flags
from qrgmm.desk.memo import write_memo
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM

# Fine where loans default, coarse elsewhere.
DESK_LEVELS = np.r_[1:10, 10:100:5] / 100
# Covariates of the book's data, where a product in a store stands for a seller.
BIG_MART = {
    "categorical": ["Item_Fat_Content", "Item_Type", "Outlet_Identifier"],
    "continuous": ["Item_Weight", "Item_Visibility", "Item_MRP"],
}


def main(arguments: list[str] | None = None) -> None:
    """Read sellers, fit the history, decide, and write decisions.csv and memo.html.

    Parameters
    ----------
    arguments : list of str, optional
        Of the command line, by default those that the process was started with.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     history, sellers = Path(folder) / "history.csv", Path(folder) / "sellers.csv"
    ...     _ = history.write_text("price,ads,units\\n" + "2,1,30\\n3,2,20\\n4,3,10\\n5,1,15\\n" * 30)
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
    parser.add_argument("--name", help="the sellers' column of names; without it they are numbered")
    parser.add_argument("--max-late-probability", type=float, help="flag from this value of late_probability on")
    parser.add_argument("--max-risk-score", type=float, help=f"the same for {' '.join(CHAIN_COLUMNS)}")
    parser.add_argument("--loading", type=float, default=0.5, help="of all sellers on one common factor")
    parser.add_argument("--refits", type=int, default=50, help="of the bootstrap; 0 for no band")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("desk"), help="folder for decisions.csv and memo.html")
    options = parser.parse_args(arguments)
    try:
        found = _decide_files(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    options.output.mkdir(parents=True, exist_ok=True)
    found.table.round(6).set_axis(pd.Index(found.names, name="seller")).to_csv(options.output / "decisions.csv")
    write_memo(found, options.output / "memo.html")
    print(f"fitted to {found.source}; {len(found.names)} sellers, {found.table['loan'].sum():,.0f} in loans")
    print(f"written: {options.output / 'decisions.csv'}, {options.output / 'memo.html'}")


def _decide_files(options):
    """Read both files with one schema, fit, and decide."""
    history, sales, unit_revenue = _read_history(options)
    numbers = list(history.select_dtypes("number"))
    text = [name for name in history if name not in numbers]
    flagged = ["late_probability"] * (options.max_late_probability is not None)
    flagged += CHAIN_COLUMNS * (options.max_risk_score is not None)
    numbers += flagged + ([unit_revenue] if isinstance(unit_revenue, str) else [])
    text += [options.name] if options.name else []
    sellers, _ = load_sales_csv(options.sellers, None, list(dict.fromkeys(text)), list(dict.fromkeys(numbers)))
    names = sellers[options.name] if options.name else [f"seller {i}" for i in range(1, len(sellers) + 1)]
    flags = warning_flags(sellers, options.max_late_probability, options.max_risk_score)
    model = QRGMM(DESK_LEVELS, FieldEncoder()).fit(history, sales)
    limits = {name: getattr(options, name) for name in ("max_default_probability", "max_expected_loss_rate", "cap")}
    return decide(
        model, history, sales, sellers, limits, unit_revenue, names, flags,
        n_refits=options.refits, loading=options.loading, rng=options.seed,
    )


def _read_history(options):
    """Return covariates, sales in units, and the unit revenue of the sellers: a number, or the name of a column."""
    unit_revenue = options.unit_revenue
    if options.history is None:
        given = [name for name in ("target", "unit_revenue", "categorical", "continuous") if getattr(options, name)]
        if given:
            raise ValueError(f"--{given[0].replace('_', '-')} needs --history: without it the book's data are used")
        table = load_big_mart(stand_in=True)
        history = table[[*BIG_MART["categorical"], *BIG_MART["continuous"]]]
        history.attrs["source"] = table.attrs["source"] + " (no --history given; a product in a store is a seller)"
        return history, table["Item_Outlet_Sales"] / table["Item_MRP"], "Item_MRP"
    if options.target is None:
        raise ValueError("--history needs --target, the name of its column of sales in units")
    history, sales = load_sales_csv(options.history, options.target, options.categorical, options.continuous)
    try:
        unit_revenue = float(1.0 if unit_revenue is None else unit_revenue)
    except ValueError:
        pass
    return history, sales, unit_revenue
