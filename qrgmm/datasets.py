"""Real data: find it, fetch it, verify it by checksum, clean it; a stand-in where it cannot be had.

A file is looked for in the folder that the environment variable QRGMM_DATA names, then in ``data/raw`` of the
repository, then downloaded there. A file whose checksum is not the recorded one is refused: every number of the book
rests on these exact rows. ``data/README.md`` says where each set comes from and under which licence.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from qrgmm.payment_practices import (
    clean_payment_practices,
    read_payment_practices,
    select_filings,
    simulate_payment_practices,
)

RAW_FOLDER = Path(__file__).resolve().parents[1] / "data" / "raw"

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
        If a file is there but is not the one that the book was written on.
    """
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
    import pooch  # only here: it is slow to import, and most machines have the file

    # A download that breaks off leaves nothing behind; the caller verifies what arrives.
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, None, fname=name, path=RAW_FOLDER, downloader=pooch.HTTPDownloader(timeout=20)))
    except OSError as error:  # the errors of requests are OSErrors
        raise ConnectionError(
            f"{name} was not found and could not be downloaded ({type(error).__name__}). Put it into {RAW_FOLDER}, set "
            f"QRGMM_DATA to the folder that holds it, or connect to the internet: {url}"
        ) from error


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
        If neither a file nor a download can be had, return `simulate_payment_practices` instead of raising an error.

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
    reports = simulate_payment_practices(rng=0) if path is None else read_payment_practices(path)
    if window is not None:
        reports = select_filings(reports, window)
    cleaned = clean_payment_practices(reports, fill_structural)
    cleaned.attrs["source"] = source if path is not None else "simulated stand-in"
    return cleaned
