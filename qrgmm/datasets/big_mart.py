"""Big Mart: sales of products in stores, cleaned by stated rules, or a stand-in where they cannot be had."""

import numpy as np
import pandas as pd

from qrgmm.checks import Rng, check_count
from qrgmm.datasets.files import locate

FAT_CONTENT = {"LF": "Low Fat", "low fat": "Low Fat", "reg": "Regular"}


def load_big_mart(stand_in: bool = False) -> pd.DataFrame:
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


def clean_big_mart(sales: pd.DataFrame) -> pd.DataFrame:
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
    visibility = visibility.fillna(
        visibility.groupby(sales["Item_Identifier"]).transform("mean")
    )
    sales["Item_Visibility"] = visibility.fillna(visibility.median())
    weight = sales["Item_Weight"]
    weight = weight.fillna(weight.groupby(sales["Item_Identifier"]).transform("first"))
    sales["Item_Weight"] = weight.fillna(
        weight.groupby(sales["Item_Type"]).transform("median")
    )
    sales["Outlet_Size"] = sales["Outlet_Size"].fillna("Unknown")
    return sales


def simulate_big_mart(n_rows: int = 8523, rng: Rng = None) -> pd.DataFrame:
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
    n_rows = check_count("n_rows", n_rows, least=0)
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
