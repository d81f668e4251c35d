"""Online Retail: what a British gift retailer sold in a year, with returns, or made-up lines instead.

One year only, so that no season repeats; its products, not its sellers, have a history, and they come in whole units.
"""

import numpy as np
import pandas as pd

from qrgmm.checks import Rng, check_count
from qrgmm.datasets.files import locate

SOURCE = "Online Retail"
ATTRIBUTION = (
    "Daqing Chen, Sai Liang Sain and Kun Guo (2012), Online Retail, UCI Machine Learning Repository, "
    "licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/); cleaned"
)
# Lines of an invoice that sell nothing, as their descriptions are written once they are capitals.
CHARGES = [
    "ADJUST BAD DEBT", "AMAZON FEE", "BANK CHARGES", "CARRIAGE", "CRUK COMMISSION", "DISCOUNT", "DOTCOM POSTAGE",
    "HIGH RESOLUTION IMAGE", "MANUAL", "NEXT DAY CARRIAGE", "POSTAGE", "SAMPLES",
]  # fmt: skip
VOUCHER = "DOTCOMGIFTSHOP GIFT VOUCHER"


def load_online_retail(stand_in: bool = False) -> pd.DataFrame:
    """Return what a British gift retailer sold and took back, cleaned: lines of invoices, December 2010 to 2011.

    Parameters
    ----------
    stand_in : bool
        If neither a file nor a download can be had, return `simulate_online_retail` instead of raising an error.

    Returns
    -------
    pandas.DataFrame
        One row per line, in order of time: `product`, `quantity` in units, negative where they came back, `price` of
        a unit in pounds, `customer` ("unknown" where none is recorded), `country` and `date`, a moment.
        ``attrs["source"]`` says "Online Retail" or "simulated stand-in", ``attrs["attribution"]`` whom to credit under
        which licence, ``attrs["cleaning"]`` how many rows each rule of `clean_online_retail` touched.

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
    Chen, Sain and Guo (2012), without invoice and stock numbers, which the packer of the file dropped; chapter 15.
    """
    try:
        path = locate("online_retail.parquet")
    except ConnectionError:
        if not stand_in:
            raise
        lines = simulate_online_retail(rng=0)
        lines.attrs |= {"source": "simulated stand-in", "attribution": "simulated by this book, CC BY 4.0"}
        return lines
    lines = clean_online_retail(pd.read_parquet(path))
    lines.attrs |= {"source": SOURCE, "attribution": ATTRIBUTION}
    return lines


def clean_online_retail(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with the cleaning rules applied and ``attrs["cleaning"]``, how many rows each of them touched.

    1. *duplicates*: of rows that are equal in every column, to the minute and but for blanks and capitals, one stays.
    2. *no price*: lines without a price above 0 are dropped: counts of the stock, notes on what broke, bad debts.
    3. *charges*: postage, fees, discounts, vouchers and what was typed by hand are no goods and are dropped.
    4. *no customer*: lines without a customer get the level "unknown".

    Descriptions lose blanks around them and become capitals, so that a product has one name. Returns stay.

    Parameters
    ----------
    lines : pandas.DataFrame
        With the columns of the source file.

    Returns
    -------
    pandas.DataFrame
        See `load_online_retail`. The cleaning compares equal rows and else looks at one line at a time.

    Examples
    --------
    >>> day = pd.Timestamp("2011-05-01")
    >>> rows = [["Tea cup ", 6, day, 1.25, 17850.0, "Spain"], ["POSTAGE", 1, day, 18.0, None, "Spain"],
    ...         ["TEA CUP", -1, day, 1.25, None, "Spain"]]
    >>> names = ["Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    >>> clean_online_retail(pd.DataFrame(rows, columns=names))
       product  quantity  price customer country       date
    0  TEA CUP         6   1.25    17850   Spain 2011-05-01
    1  TEA CUP        -1   1.25  unknown   Spain 2011-05-01
    """
    lines = lines.assign(Description=lines["Description"].str.strip().str.upper())
    counts, again = {}, lines.duplicated()
    kept, counts["duplicates"] = lines[~again], int(again.sum())
    unpriced = ~(kept["UnitPrice"] > 0) | kept["Description"].isna()
    kept, counts["no price"] = kept[~unpriced], int(unpriced.sum())
    charge = kept["Description"].isin(CHARGES) | kept["Description"].str.startswith(VOUCHER)
    kept, counts["charges"] = kept[~charge], int(charge.sum())
    known = kept["CustomerID"].notna()
    counts["no customer"] = int((~known).sum())
    cleaned = pd.DataFrame(
        {
            "product": kept["Description"],
            "quantity": kept["Quantity"].astype("int64"),
            "price": kept["UnitPrice"],
            "customer": kept["CustomerID"].fillna(0).astype("int64").astype("str").where(known, "unknown"),
            "country": kept["Country"],
            "date": kept["InvoiceDate"].dt.as_unit("us"),
        }
    ).sort_values("date", kind="stable", ignore_index=True)
    cleaned.attrs["cleaning"] = counts
    return cleaned


def simulate_online_retail(n_products: int = 1000, rng: Rng = None) -> pd.DataFrame:
    """Return made-up lines with the columns of `load_online_retail`, for machines without the data: a stand-in.

    Each product is sold at a rate of its own that rises to November, in a negative binomial number of units; one line
    in fifty comes back within three weeks. No number of the book rests on them.

    Parameters
    ----------
    n_products : int
    rng : numpy.random.Generator, int or None

    Returns
    -------
    pandas.DataFrame
        As `clean_online_retail` returns it, with ``attrs["source"]`` "simulated stand-in".

    Examples
    --------
    >>> simulate_online_retail(50, rng=0).columns.tolist()
    ['product', 'quantity', 'price', 'customer', 'country', 'date']
    """
    n_products = check_count("n_products", n_products)
    rng = np.random.default_rng(rng)
    first, n_days = pd.Timestamp("2010-12-01"), 374
    season = 1 + 0.6 * np.exp(-(((np.arange(n_days) - 345) / 30) ** 2))
    rate = rng.lognormal(-1.5, 1.2, n_products)
    n_lines = rng.poisson(rate * season.sum())
    product = np.repeat(np.arange(n_products), n_lines)
    day = rng.choice(n_days, len(product), p=season / season.sum())
    customer = rng.integers(12_346, 18_288, len(product)).astype(str)
    lines = pd.DataFrame(
        {
            "product": np.array([f"PRODUCT {i:04d}" for i in range(n_products)])[product],
            "quantity": 1 + rng.negative_binomial(0.7, 0.08, len(product)),
            "price": rng.lognormal(0.8, 0.8, n_products).round(2).clip(0.1)[product],
            "customer": np.where(rng.random(len(product)) < 0.25, "unknown", customer),
            "country": rng.choice(["United Kingdom", "Germany", "France"], len(product), p=[0.92, 0.04, 0.04]),
            "date": first + pd.to_timedelta(day * 1440 + rng.integers(480, 1080, len(product)), unit="min"),
        }
    )
    returned = lines[rng.random(len(lines)) < 0.02]
    later = returned["date"] + pd.to_timedelta(rng.integers(1, 22, len(returned)), unit="D")
    returned = returned.assign(quantity=-returned["quantity"], date=later)
    lines = pd.concat([lines, returned[later < first + pd.Timedelta(days=n_days)]])
    lines = lines.sort_values("date", kind="stable", ignore_index=True)
    lines.attrs["source"] = "simulated stand-in"
    return lines
