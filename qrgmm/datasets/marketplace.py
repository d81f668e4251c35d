"""The Olist marketplace: every item that small sellers in Brazil sold from 2017 to 2018, or simulated sellers instead.

The only public set of the book in which *sellers* have a history: who they are, what they sold on which day, and who
stopped. Orders of customers who were asked for a review, anonymised.
"""

import pandas as pd

from qrgmm.datasets.files import locate
from qrgmm.simulators.marketplace import Marketplace

SOURCE = "Olist marketplace"
ATTRIBUTION = (
    "Olist, Brazilian E-Commerce Public Dataset by Olist (Kaggle, olistbr/brazilian-ecommerce), "
    "licensed under CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/); cleaned"
)
FILES = {
    name: f"marketplace/{name}.parquet"
    for name in ("order_items", "products", "sellers", "product_category_name_translation")
}
# From 9 January 2017 there are sales on nearly every day; those handed over in September 2018 are the last of August's.
FIRST_DAY, LAST_DAY = pd.Timestamp("2017-01-01"), pd.Timestamp("2018-08-31")


def load_marketplace(stand_in: bool = False) -> pd.DataFrame:
    """Return the items that sellers of the Olist marketplace sold, cleaned: 112,177 rows of 3,067 sellers.

    Parameters
    ----------
    stand_in : bool
        If neither a file nor a download can be had, return a draw of `qrgmm.simulators.Marketplace`, which has the same
        columns, instead of raising an error.

    Returns
    -------
    pandas.DataFrame
        One row per item, in order of time: `order` and `line`, which name it; `seller`, `product`, `category`, `state`
        of the seller, `price` and `freight` in reais, and `date`, the moment by which the seller must hand the item
        over, some days after the purchase (whose date is not published here). ``attrs["source"]`` says "Olist
        marketplace" or "simulated stand-in", ``attrs["attribution"]`` whom to credit under which licence: print it on
        every page that shows these data. ``attrs["cleaning"]`` counts the rows that each rule of `clean_marketplace`
        touched.

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
    Cancelled orders can't be told. Not in a paper; chapter 15.
    """
    try:
        tables = {name: pd.read_parquet(locate(file)) for name, file in FILES.items()}
    except ConnectionError:
        if not stand_in:
            raise
        items = Marketplace().draw(rng=0)
        items.attrs |= {"source": "simulated stand-in", "attribution": "simulated by this book, CC BY 4.0"}
        return items
    items = clean_marketplace(*tables.values())
    items.attrs |= {"source": SOURCE, "attribution": ATTRIBUTION}
    return items


def clean_marketplace(
    order_items: pd.DataFrame, products: pd.DataFrame, sellers: pd.DataFrame, translation: pd.DataFrame
) -> pd.DataFrame:
    """Return one table of items with the cleaning rules applied and ``attrs["cleaning"]``, rows that each touched.

    1. *before the start*: the trial of 2016 is dropped, after which there was nothing for two months.
    2. *after the end*: items to be handed over after August 2018 are dropped: the tail of orders whose month is
       missing, and four of 2020.
    3. *no category*: products without one get the level "unknown".
    4. *not translated*: two categories that the published translation lacks keep their Portuguese name.

    Parameters
    ----------
    order_items, products, sellers, translation : pandas.DataFrame
        With the columns of the source files.

    Returns
    -------
    pandas.DataFrame
        See `load_marketplace`. The cleaning looks at one item at a time and learns nothing.

    Raises
    ------
    ValueError
        If an item's product or seller is not listed, or one is listed twice.

    Examples
    --------
    >>> items = pd.DataFrame({"order_id": ["o", "p"], "order_item_id": [1, 1], "product_id": ["a", "a"],
    ...     "seller_id": ["s", "s"], "shipping_limit_date": pd.to_datetime(["2017-05-01", "2020-02-03"], utc=True),
    ...     "price": [9.5, 9.5], "freight_value": [2.0, 2.0]})
    >>> products = pd.DataFrame({"product_id": ["a"], "product_category_name": ["artes"]})
    >>> sellers = pd.DataFrame({"seller_id": ["s"], "seller_state": ["SP"]})
    >>> names = {"product_category_name": ["artes"], "product_category_name_english": ["art"]}
    >>> cleaned = clean_marketplace(items, products, sellers, pd.DataFrame(names))
    >>> cleaned[["seller", "category", "state", "price", "date"]]
      seller category state  price       date
    0      s      art    SP    9.5 2017-05-01
    >>> cleaned.attrs["cleaning"]
    {'before the start': 0, 'after the end': 1, 'no category': 0, 'not translated': 0}
    """
    date = order_items["shipping_limit_date"].dt.tz_localize(None).dt.as_unit("us")
    early, late = date < FIRST_DAY, date >= LAST_DAY + pd.Timedelta("1D")
    kept = order_items.assign(date=date)[~early & ~late]
    for name, listed in (("product_id", products["product_id"]), ("seller_id", sellers["seller_id"])):
        if listed.duplicated().any() or not kept[name].isin(listed).all():
            raise ValueError(f"each {name} of order_items must be listed once, got some never or twice")
    portuguese = kept["product_id"].map(products.set_index("product_id")["product_category_name"])
    english = portuguese.map(translation.set_index("product_category_name")["product_category_name_english"])
    items = pd.DataFrame(
        {
            "order": kept["order_id"],
            "line": kept["order_item_id"].astype("int64"),
            "seller": kept["seller_id"],
            "product": kept["product_id"],
            "category": english.fillna(portuguese).fillna("unknown"),
            "state": kept["seller_id"].map(sellers.set_index("seller_id")["seller_state"]),
            "price": kept["price"],
            "freight": kept["freight_value"],
            "date": kept["date"],
        }
    ).sort_values(["date", "order", "line"], ignore_index=True)
    items.attrs["cleaning"] = {
        "before the start": int(early.sum()),
        "after the end": int(late.sum()),
        "no category": int(portuguese.isna().sum()),
        "not translated": int((portuguese.notna() & english.isna()).sum()),
    }
    return items
