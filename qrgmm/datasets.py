"""Real data: find it, fetch it, verify it by checksum, clean it; a stand-in where it cannot be had; your own table.

A file is looked for in the folder that the environment variable QRGMM_DATA names, then in ``data/raw`` of the
repository (where the package is installed without it, in the user's cache), then downloaded there. A file whose
checksum is not the recorded one is refused: every number of the book rests on these exact rows. ``data/README.md``
says where each set comes from and under which licence. A table of one's own has no checksum: `load_sales_csv` refuses
what no model could learn from and names column and row.
"""

import csv
import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from qrgmm.payment_practices import (
    clean_payment_practices,
    read_payment_practices,
    select_filings,
    simulate_payment_practices,
)


def _choose_folder(root):
    """Where downloads go: into a checkout, known by its pyproject.toml, or else never beside installed packages."""
    if (root / "pyproject.toml").is_file():
        return root / "data" / "raw"
    import pooch

    return Path(pooch.os_cache("qrgmm"))


RAW_FOLDER = _choose_folder(Path(__file__).resolve().parents[1])

# File name -> where to download it, and the SHA-256 of its text with Unix line ends; or, where no more than that is
# known, what git calls the file ("git" and the SHA-1 of its bytes behind a header).
SOURCES = {
    "bigmart_train.csv": (
        "https://raw.githubusercontent.com/prabhat-123/Bigmart_Sales_Prediction/"
        "1badc401b6a3b7a812324552b4c3ee5dacd6d45f/data/raw/train_v9rqX0R.csv",
        "df538d941791bc82b9003b8c98ac47ccab3dedb0fc915f157607b04ec9b415c3",
    ),
    "payment_practices_scf.csv": (
        "https://raw.githubusercontent.com/JoelTMashana/UniOfYorkDissertationProject/"
        "a89ed419ea27de2b27f473c1afac5e30f9669afc/joel-mashana-dissertation-project/notebooks/"
        "buyer_payment_practices_payment_redundent_columns.csv",
        "593010ae48a52ad801d13b5c1f2eb728621137f99e136ed5c3b7ab37f712c4aa",
    ),
    "payment_practices_2019-12.csv": (
        "https://raw.githubusercontent.com/tychenne/payment-practices-uk/"
        "1c521b38dfa5e16eb90ceff9aeb5caa6b49d887e/payment-practices.csv",
        "git fe6df3846a68457559e11d201ea5f9d2a1bd7b82",
    ),
    "payment_practices_2020-01-28.csv": (
        "https://raw.githubusercontent.com/bev-o-neill/DSND-p4-UK-payment-practices-blog/"
        "dd7cab7f8af2f7e18f9e3cf62ac7b6bd8e9a0f15/payment-practices.csv",
        "git 91d2ccadd98289e09eb48b9b490b7dc27d09b123",
    ),
}

SNAPSHOTS = {
    "scf": "UK payment practices, August 2023, reports with supply-chain finance offered",
    "2019-12": "UK payment practices, December 2019",
    "2020-01-28": "UK payment practices, 28 January 2020",
}

# Seconds to wait for a connection, to each address of the host, and for the next bytes.
TIMEOUT = 3, 10

FAT_CONTENT = {"LF": "Low Fat", "low fat": "Low Fat", "reg": "Regular"}


def locate(name):
    """Return the path of a data file of the book, downloaded if need be, once its checksum is right.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConnectionError
        If the file is on no disk and cannot be downloaded; the message says what to do.
    FileNotFoundError
        If QRGMM_DATA names no folder.
    ValueError
        If `name` is unknown, or a file is there but is not the one that the book was written on.

    Notes
    -----
    Introduced in chapter 4; ``data/README.md`` describes the files.
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}, got {name!r}")
    url, expected = SOURCES[name]
    folder = os.environ.get("QRGMM_DATA") or RAW_FOLDER
    if folder != RAW_FOLDER and not Path(folder).is_dir():
        raise FileNotFoundError(f"QRGMM_DATA must name a folder, got {folder!r}")
    paths = [path for path in (Path(folder) / name, RAW_FOLDER / name) if path.is_file()]
    path = paths[0] if paths else _download(name, url)
    kind, found = _checksum(path.read_bytes(), expected)
    if found != expected:
        if not paths:
            path.unlink()
        raise ValueError(
            f"{path} is not the file that the book was written on: its {kind} is {found}, "
            f"expected {expected}. Replace it, or delete it to have it downloaded."
        )
    return path


def _checksum(data, expected):
    if expected.startswith("git "):
        return "git checksum", "git " + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return "SHA-256 (with Unix line ends)", hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def _download(name, url):
    host = urlsplit(url).hostname
    cure = f"Put it into {RAW_FOLDER}, set QRGMM_DATA to the folder that holds it, or connect to the internet: {url}"
    if reason := _recall_failure(host, name):
        raise ConnectionError(f"{name} was not found and could not be downloaded ({reason}). {cure}")
    import pooch  # only here: it is slow to import, warns in a notebook, and most machines have the file
    import requests

    # A download that breaks off leaves nothing behind; the caller verifies what arrives.
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
    try:
        return Path(pooch.retrieve(url, None, fname=name, path=RAW_FOLDER, downloader=downloader))
    except OSError as error:  # the errors of requests are OSErrors
        reason, no_answer = type(error).__name__, isinstance(error, (requests.ConnectionError, requests.Timeout))
        _note_failure(host if no_answer else name, reason)
        raise ConnectionError(f"{name} was not found and could not be downloaded ({reason}). {cure}") from error


def _recall_failure(*things):
    """Why a host or a file could not be had earlier in this run, or None: the others need not wait for it again.

    The processes of one ``make book`` or ``make test`` share a folder of notes, which the first of them makes and
    removes (``notebooks/execute.py``). Elsewhere nothing is remembered, and each call tries anew.
    """
    notes = [Path(os.environ["QRGMM_RUN"]) / thing for thing in things] if os.environ.get("QRGMM_RUN") else []
    return next((note.read_text(encoding="utf-8") for note in notes if note.is_file()), None)


def _note_failure(thing, reason):
    folder = os.environ.get("QRGMM_RUN")
    if folder and Path(folder).is_dir():
        (Path(folder) / thing).write_text(reason, encoding="utf-8")


def load_big_mart(stand_in=False):
    """Return the Big Mart sales, cleaned: 8,523 rows of one product in one store.

    Cleaning: five spellings of `Item_Fat_Content` become two; a visibility of exactly 0 stands for "not recorded" and
    is replaced by the item's mean over the other stores; weights missing for whole stores are filled from the same item
    elsewhere, for the few items found nowhere else by the median of their type; a missing `Outlet_Size` becomes the
    level "Unknown". Nothing is filled from sales.

    Parameters
    ----------
    stand_in : bool
        If neither a file nor a download can be had, return `simulate_big_mart` instead of raising an error.

    Returns
    -------
    pandas.DataFrame
        Twelve columns named as in the source; the target is `Item_Outlet_Sales`, in currency. ``attrs["source"]`` says
        "Big Mart" or "simulated stand-in".

    Raises
    ------
    ConnectionError
        If there is neither a file nor a download and `stand_in` is False; the message says what to do.
    FileNotFoundError
        If QRGMM_DATA names no folder.
    ValueError
        If a file is there but is not the one that the book was written on.

    Notes
    -----
    SCF paper, section 6.2.1; introduced in chapter 4, studied in chapter 11.
    """
    try:
        path = locate("bigmart_train.csv")
    except ConnectionError:
        if stand_in:
            return simulate_big_mart(rng=0)
        raise
    sales = clean_big_mart(pd.read_csv(path))
    sales.attrs["source"] = "Big Mart"
    return sales


def clean_big_mart(sales):
    """Return a copy with the cleaning rules of `load_big_mart` applied.

    Parameters
    ----------
    sales : pandas.DataFrame
        With the columns of the source file.

    Returns
    -------
    pandas.DataFrame
        Without missing values.

    Examples
    --------
    >>> names = ["Item_Identifier", "Item_Type", "Item_Weight", "Item_Fat_Content", "Item_Visibility", "Outlet_Size"]
    >>> rows = [["A", "Dairy", 2.0, "LF", 0.0, None], ["A", "Dairy", None, "reg", 0.1, "High"]]
    >>> clean_big_mart(pd.DataFrame(rows, columns=names)).iloc[:, 2:].values.tolist()
    [[2.0, 'Low Fat', 0.1, 'Unknown'], [2.0, 'Regular', 0.1, 'High']]
    """
    sales = sales.copy()
    sales["Item_Fat_Content"] = sales["Item_Fat_Content"].replace(FAT_CONTENT)
    visibility = sales["Item_Visibility"].replace(0.0, np.nan)
    visibility = visibility.fillna(visibility.groupby(sales["Item_Identifier"]).transform("mean"))
    sales["Item_Visibility"] = visibility.fillna(visibility.median())
    weight = sales["Item_Weight"]
    weight = weight.fillna(weight.groupby(sales["Item_Identifier"]).transform("first"))
    sales["Item_Weight"] = weight.fillna(weight.groupby(sales["Item_Type"]).transform("median"))
    sales["Outlet_Size"] = sales["Outlet_Size"].fillna("Unknown")
    return sales


def simulate_big_mart(n_rows=8523, rng=None):
    """Return made-up sales with the columns of Big Mart, for machines without the data: a stand-in, not the data.

    Sales are a price times a store's turnover times a gamma variable, so that they are skewed, vary more where they are
    larger, and two small stores form a lump near zero. No number of the book rests on them.

    Parameters
    ----------
    n_rows : int
    rng : numpy.random.Generator, int or None

    Returns
    -------
    pandas.DataFrame
        Cleaned, with ``attrs["source"]`` "simulated stand-in".

    Examples
    --------
    >>> simulate_big_mart(3, rng=0).shape
    (3, 12)
    """
    rng = np.random.default_rng(rng)
    types = np.array(["Baking Goods", "Dairy", "Frozen Foods", "Household", "Meat", "Snack Foods", "Soft Drinks"])
    n_items = 1559
    item_weight, item_price = rng.uniform(5, 21, n_items), rng.uniform(31, 267, n_items)
    item_type, item_fat = rng.choice(types, n_items), rng.choice(["Low Fat", "Regular"], n_items, p=[0.65, 0.35])
    turnover = np.array([2.5, 14.0, 15.0, 15.5, 16.0, 16.0, 16.5, 17.0, 2.5, 25.0])
    formats = np.array([f"Supermarket Type{i}" for i in (1, 1, 1, 1, 1, 1, 1, 2, 1, 3)])
    formats[turnover < 5] = "Grocery Store"
    sizes = rng.choice(["High", "Medium", "Small", "Unknown"], 10)
    cities = rng.choice(["Tier 1", "Tier 2", "Tier 3"], 10)
    opened = rng.integers(1985, 2010, 10)
    item, store = rng.integers(n_items, size=n_rows), rng.integers(10, size=n_rows)
    sales = pd.DataFrame(
        {
            "Item_Identifier": [f"ITEM{i:04d}" for i in item],
            "Item_Weight": item_weight[item],
            "Item_Fat_Content": item_fat[item],
            "Item_Visibility": rng.gamma(2.0, 0.033, n_rows),
            "Item_Type": item_type[item],
            "Item_MRP": item_price[item],
            "Outlet_Identifier": [f"OUT{s:03d}" for s in store],
            "Outlet_Establishment_Year": opened[store],
            "Outlet_Size": sizes[store],
            "Outlet_Location_Type": cities[store],
            "Outlet_Type": formats[store],
            "Item_Outlet_Sales": item_price[item] * turnover[store] * rng.gamma(4.0, 0.25, n_rows),
        }
    )
    sales.attrs["source"] = "simulated stand-in"
    return sales


def load_sales_csv(path, target, categorical=None, continuous=None):
    """Return the covariates and the sales of a table of one's own, for `FieldEncoder` and every model.

    Nothing is guessed, filled or skipped: a cell that is missing or not what it should be is refused, with its row as a
    spreadsheet counts it (the header is row 1). Other columns than those used may hold anything.

    Parameters
    ----------
    path : path
        A CSV file in UTF-8: a header, then one sale a row; decimal points, no thousands separators. Blank rows and
        columns without a name, such as a row number, are left out.
    target : str or None
        The column of sales: numbers of at least 0. None for sellers who have not sold yet.
    categorical, continuous : list of str, optional
        The columns of covariates. By default those of text and those of numbers, as in `FieldEncoder`; a code written
        in digits, such as a postcode, is a number unless it is named here as categorical.

    Returns
    -------
    X : pandas.DataFrame
        The covariates in the order of the file: text, with leading zeros as they are, and floats. ``attrs["source"]``
        is the name of the file.
    sales : pandas.Series of float, or None without a target

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, is no CSV, or has rows of unequal length; if a column is missing, there twice or asked for
        twice; if a cell that is used is empty, a continuous covariate is not a finite number, sales are not finite
        numbers of at least 0, or a column that is not named holds both numbers and text.

    Notes
    -----
    Chapter 12 runs on such a table in place of its stand-in.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.csv"
    ...     _ = path.write_text("store,brand,price,units\\n007,a,9.5,120\\n012,b,20,0\\n", encoding="utf-8")
    ...     X, sales = load_sales_csv(path, "units", categorical=["store", "brand"])
    >>> X
      store brand  price
    0   007     a    9.5
    1   012     b   20.0
    >>> sales.tolist()
    [120.0, 0.0]
    """
    table, targets = _read_table(path), [] if target is None else [target]
    categorical, continuous = _choose_columns(path, table, targets, categorical, continuous)
    used = [name for name in table if name in {*targets, *categorical, *continuous}]
    for name in used:
        _refuse(path, table[name], table[name] == "", "no empty cells")
    frame = table[used].copy()
    for name in [*targets, *continuous]:
        frame[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
        hint = "" if name in targets else "; a column of text is categorical"
        _refuse(path, table[name], ~np.isfinite(frame[name]), "finite numbers", hint)
    for name in targets:
        _refuse(path, table[name], frame[name] < 0, "sales of at least 0")
    frame = frame.reset_index(drop=True)
    frame.attrs["source"] = Path(path).name
    return frame.drop(columns=targets), frame[target] if targets else None


def _read_table(path):
    """All cells as text, the index counting rows as a spreadsheet does."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"path must name a CSV file, got {str(path)!r}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = {i: [cell.strip() for cell in row] for i, row in enumerate(csv.reader(file, strict=True), 1)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, but {error}") from error
    rows = {i: row for i, row in rows.items() if any(row)}
    if len(rows) < 2:
        raise ValueError(f"{path}: expected a header and at least one row of sales, got {len(rows)} rows")
    header = rows.pop(min(rows))
    if len(header) == 1:
        raise ValueError(f"{path}: expected columns separated by commas, got one column, {header[0]!r}")
    for i, row in rows.items():
        if len(row) != len(header):
            raise ValueError(f"{path}: row {i} has {len(row)} cells, expected {len(header)} as in the header")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=str)
    return table.loc[:, table.columns != ""]


def _choose_columns(path, table, targets, categorical, continuous):
    for argument, names in (("categorical", categorical), ("continuous", continuous)):
        if isinstance(names, str):
            raise ValueError(f"{argument} must be a list of column names, got {names!r}")
    named = [*targets, *(categorical or []), *(continuous or [])]
    for where, names in ((f"{path} must have each column", list(table)), ("each column must be named", named)):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f"{where} once, got {twice} more than once")
    absent = [name for name in named if name not in table]
    if absent:
        raise ValueError(f"{path} has no columns {absent}; it has {list(table)}")
    chosen = {"text": categorical, "numbers": continuous}
    found = {"text": [], "numbers": []}
    for name in table.columns.drop(named) if None in chosen.values() else []:
        number = pd.to_numeric(table[name], errors="coerce").notna()
        text = ~number & (table[name] != "")
        if number.any():
            hint = "; name the column in categorical, or mend it"
            _refuse(path, table[name], text, "either numbers or text", hint)
        found["text" if text.any() else "numbers"].append(name)
    categorical, continuous = (found[kind] if names is None else list(names) for kind, names in chosen.items())
    if not categorical and not continuous:
        beside = "".join(f" beside the target {name!r}" for name in targets)
        raise ValueError(f"{path} must have covariates{beside}, got {list(table)} and none chosen")
    return categorical, continuous


def _refuse(path, cells, bad, expected, hint=""):
    rows = cells.index[bad].tolist()
    if rows:
        others = f" (and in {len(rows) - 1} more: {', '.join(map(str, rows[1:5]))}{', ...' * (len(rows) > 5)})"
        found = f"got {cells[rows[0]]!r} in row {rows[0]}{others if len(rows) > 1 else ''}"
        raise ValueError(f"{path}: column {cells.name!r} must hold {expected}, {found}{hint}")


def load_payment_practices(path=None, snapshot="scf", window=None, fill_structural=True, stand_in=False):
    """Return the reports of large UK companies on how late they pay, cleaned.

    Three snapshots of one public export are known by their checksum: "scf", of August 2023, only reports with
    supply-chain finance offered; "2019-12" and "2020-01-28", all companies, near what the payment paper had. Today's
    export, https://check-payment-practices.service.gov.uk/export/csv/, changes daily: save it and give its `path`.

    Parameters
    ----------
    path : path, optional
        Of an export, in any of its forms (23 columns, 52 columns, periods for dates), instead of a snapshot.
    snapshot : {"scf", "2019-12", "2020-01-28"}
    window : "paper" or (str, str), optional
        Keep only reports filed in it, see `select_filings`.
    fill_structural : bool
        Whether blanks that are no unknowns are filled with what they mean, see `clean_payment_practices`.
    stand_in : bool
        If neither a file nor a download can be had, return `simulate_payment_practices` instead of raising an error, as
        many reports as were filed of the snapshot's kind by January 2020.

    Returns
    -------
    pandas.DataFrame
        One row per report, see `read_payment_practices`. ``attrs["source"]`` says what it is, ``attrs["cleaning"]`` how
        many rows each cleaning rule touched.

    Raises
    ------
    ConnectionError
        If there is neither a file nor a download and `stand_in` is False; the message says what to do.
    FileNotFoundError
        If `path` is no file or QRGMM_DATA names no folder.
    ValueError
        If `snapshot` is unknown, a snapshot is not the recorded file, or an export is malformed.

    Notes
    -----
    Payment paper, section 3; chapter 13. Contains public sector information licensed under the Open Government Licence
    v3.0.
    """
    if path is not None:
        source = f"export {Path(path).name}"
    elif snapshot not in SNAPSHOTS:
        raise ValueError(f"snapshot must be one of {', '.join(SNAPSHOTS)}, got {snapshot!r}")
    else:
        source = SNAPSHOTS[snapshot]
        try:
            path = locate(f"payment_practices_{snapshot}.csv")
        except ConnectionError:
            if not stand_in:
                raise
    if path is not None:
        reports = read_payment_practices(path)
    else:
        # The full export of 28 January 2020, on which it rests, has 1,544 reports with supply-chain finance offered.
        reports = simulate_payment_practices(1544 if snapshot == "scf" else 23_028, rng=0)
    if window is not None:
        reports = select_filings(reports, window)
    cleaned = clean_payment_practices(reports, fill_structural)
    cleaned.attrs["source"] = source if path is not None else "simulated stand-in"
    return cleaned
