"""The panel of dated sellers: nothing known too early, the outcome over the horizon alone, refusals that say why."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrgmm.datasets import find_leaks, load_marketplace, load_online_retail, seller_panel
from qrgmm.datasets.marketplace import FILES
from qrgmm.datasets.panel import OUTCOMES
from qrgmm.simulators import Marketplace

ORIGIN = pd.Timestamp("2024-04-01")
MONTHS = pd.date_range("2017-04-01", "2018-06-01", freq="MS")


@pytest.fixture(scope="module")
def items():
    return Marketplace(150).draw(rng=0)


def make_sales(days, sellers=None, **columns):
    """Sales on days counted from the origin, at noon."""
    n = len(days)
    defaults = {"seller": sellers or ["a"] * n, "price": [10.0] * n, "product": ["p"] * n, "freight": [1.0] * n}
    date = ORIGIN + pd.to_timedelta(np.array(days, dtype=float) + 0.5, unit="D")
    return pd.DataFrame(defaults | columns).assign(date=date)


def describe_by_hand(sales, origin, horizon, min_sales):
    """The panel of one origin in plain loops over the definition."""
    rows = {}
    for seller in sorted(set(sales["seller"])):
        own = sales[sales["seller"] == seller]
        past = own[(own["date"] >= origin - horizon) & (own["date"] < origin)]
        future = own[(own["date"] >= origin) & (own["date"] < origin + horizon)]
        money = sum(past["price"])
        if len(past) < min_sales or money == 0:
            continue
        by_product, by_label = {}, {}
        for _, sale in past.iterrows():
            by_product[sale["product"]] = by_product.get(sale["product"], 0) + sale["price"]
            by_label[sale["category"]] = by_label.get(sale["category"], 0) + sale["price"]
        ages = [(origin - date).total_seconds() / 86_400 for date in past["date"]]
        recent = [price for price, age in zip(past["price"], ages) if age <= horizon.days / 3]
        rows[seller] = {
            "revenue": money,
            "log_revenue": np.log(money),
            "log_units": np.log(len(past)),
            "log_price": np.log(money / len(past)),
            "log_products": np.log(len(by_product)),
            "top_product_share": max(by_product.values()) / money,
            "freight_share": sum(past["freight"]) / money,
            "recent_share": sum(recent) / money,
            "active_days": len({np.floor(age) for age in ages}) / horizon.days,
            "days_since_sale": min(ages),
            "tenure": (origin - min(own["date"])).total_seconds() / 86_400,
            "category": min(by_label, key=lambda label: (-by_label[label], label)),
            "outcome_units": float(len(future)),
            "outcome": sum(future["price"]),
            "ratio": sum(future["price"]) / money,
        }
    return rows


sale = st.tuples(
    st.integers(-80, 59), st.sampled_from("abc"), st.integers(0, 5), st.sampled_from("pqr"), st.sampled_from("xy")
)


@settings(max_examples=60)
@given(st.lists(sale, min_size=1, max_size=25), st.integers(1, 3))
def test_the_panel_is_what_its_definition_says(rows, min_sales):
    days, sellers, prices, products, labels = (list(column) for column in zip(*rows))
    sales = make_sales(days, sellers, price=np.array(prices, float), product=products, category=labels)
    options = {"duplicates": "keep", "max_gap": None, "until": ORIGIN + pd.Timedelta("60D")}
    rows = describe_by_hand(sales, ORIGIN, pd.Timedelta("60D"), min_sales)
    panel = seller_panel(sales, [ORIGIN], "60D", min_sales, **options).set_index("seller")
    assert panel.index.tolist() == list(rows) and panel["complete"].all()
    for seller, row in rows.items():
        for name, value in row.items():
            expected = value if isinstance(value, str) else pytest.approx(value, abs=1e-9)
            assert panel.loc[seller, name] == expected, name
    n_active = sales["seller"][(sales["date"] < ORIGIN) & (sales["date"] >= ORIGIN - pd.Timedelta("60D"))].nunique()
    assert not rows or panel["log_sellers"].iloc[0] == pytest.approx(np.log(n_active))


def test_a_sale_that_moves_by_a_day_across_the_origin_moves_these_columns():
    before = make_sales([-60, -30, -20, -10, -5, -1, 40, 89], category=list("xxxxxyxx"), product=list("ppppqrpp"))
    after = before.assign(date=before["date"] + pd.to_timedelta(1 * (before.index == 5), unit="D"))
    panels = [seller_panel(sales, [ORIGIN], max_gap="60D") for sales in (before, after)]
    old, new = (panel.iloc[0] for panel in panels)
    moved = [name for name in panels[0] if old[name] != new[name]]
    assert moved == [
        "revenue", "log_revenue", "log_units", "log_products", "top_product_share", "recent_share", "active_days",
        "days_since_sale", "outcome_units", "outcome", "ratio",
    ]  # fmt: skip
    assert (old["revenue"], new["revenue"], old["outcome"], new["outcome"]) == (60, 50, 20, 30)


@pytest.mark.parametrize("shift", [1, 30, 88])
def test_a_sale_that_moves_within_the_horizon_moves_nothing(shift):
    before = make_sales([-60, -30, -20, -10, -5, 0, 89])
    after = before.assign(date=before["date"] + pd.to_timedelta(shift * (before.index == 5), unit="D"))
    expected, found = (seller_panel(sales, [ORIGIN], max_gap=None) for sales in (before, after))
    pd.testing.assert_frame_equal(found, expected)


def test_a_sale_at_the_moment_of_the_origin_or_of_the_end_belongs_to_what_follows():
    sales = make_sales([-90.5, -1, -0.5, 89.5], price=[1.0, 2.0, 4.0, 8.0])
    row = seller_panel(sales, [ORIGIN], min_sales=1, max_gap=None, until="2024-07-01").iloc[0]
    assert (row["revenue"], row["outcome"]) == (3.0, 4.0)


def test_who_sells_nothing_afterwards_has_a_row_and_whoever_comes_afterwards_has_none():
    sales = make_sales([-5, -4, -3, 10, 89], ["stops", "stops", "stops", "comes", "comes"])
    panel = seller_panel(sales, [ORIGIN], min_sales=3, max_gap=None)
    assert panel["seller"].tolist() == ["stops"] and panel.loc[0, OUTCOMES].tolist() == [0.0, 0.0, 0.0, True]


def test_an_outcome_is_there_once_its_horizon_has_passed(items):
    panel = seller_panel(items, MONTHS.union([pd.Timestamp("2018-07-01")]))
    assert panel.groupby("origin")["complete"].all().tolist() == [True] * 15 + [False]
    assert panel.loc[~panel["complete"], OUTCOMES[:3]].isna().all(axis=None)
    assert not panel.loc[panel["complete"]].isna().any(axis=None)
    earlier = seller_panel(items, MONTHS, until="2018-08-29")
    assert earlier["complete"].equals(earlier["origin"] < "2018-06-01")
    assert seller_panel(items, MONTHS, until="2018-08-30")["complete"].all()


def test_neither_the_order_of_rows_nor_the_names_of_columns_make_a_difference(items):
    before = items.copy()
    panel = seller_panel(items, MONTHS[::3])
    pd.testing.assert_frame_equal(items, before)
    pd.testing.assert_frame_equal(seller_panel(items.sample(frac=1, random_state=0), MONTHS[::-3][::-1]), seller_panel(
        items, MONTHS[::-3]
    ), rtol=1e-12)  # fmt: skip
    names = {"seller": "shop", "date": "when", "price": "amount", "product": "thing", "freight": "post"}
    options = {"seller": "shop", "date": "when", "price": "amount", "product": "thing", "freight": "post"}
    pd.testing.assert_frame_equal(seller_panel(items.rename(columns=names), MONTHS[::3], **options), panel)


def test_origins_do_not_see_each_other(items):
    whole = seller_panel(items, MONTHS[:6])
    alone = [seller_panel(items, [origin]) for origin in MONTHS[:6]]
    pd.testing.assert_frame_equal(whole, pd.concat(alone, ignore_index=True))


def test_units_are_counted_where_there_are_any():
    sales = make_sales([-5, -4, 3, 89], quantity=[2, 3, 4, 1])
    row = seller_panel(sales, [ORIGIN], max_gap=None).iloc[0]
    assert (row["revenue"], row["outcome_units"], row["outcome"]) == (50.0, 5.0, 50.0)
    assert row["log_price"] == pytest.approx(np.log(10))


def test_returns_count_on_the_day_they_come_back():
    sales = make_sales([-5, -4, 3, 20, 89], quantity=[2, 3, -1, -7, 1])
    net = seller_panel(sales, [ORIGIN], max_gap=None, returns="net").iloc[0]
    assert (net["revenue"], net["outcome"], net["outcome_units"], net["return_share"]) == (50.0, 0.0, 0.0, 0.0)
    dropped = seller_panel(sales, [ORIGIN], max_gap=None, returns="drop")
    assert dropped.loc[0, ["revenue", "outcome"]].tolist() == [50.0, 10.0] and "return_share" not in dropped
    later = seller_panel(sales, [ORIGIN + pd.Timedelta("10D")], min_sales=1, max_gap=None, returns="net").iloc[0]
    assert later["revenue"] == 40.0 and later["return_share"] == pytest.approx(10 / 50)
    assert later["days_since_sale"] == pytest.approx(13.5)  # a return is no sale


def test_duplicates_are_kept_or_dropped_when_told():
    sales = make_sales([-5, -5, -4, 3, 89])
    kept, dropped = (
        seller_panel(sales, [ORIGIN], min_sales=1, max_gap=None, duplicates=how).loc[0, "revenue"]
        for how in ("keep", "drop")
    )
    assert (kept, dropped) == (30.0, 20.0)


GOOD = make_sales([-60, -40, -20, -10, -5, 10, 30, 60, 89])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"seller": "shop"}, r"items has no columns \['shop'\]; it has \['seller', 'price'"),
        ({}, {"labels": ["city"]}, r"items has no columns \['city'\]"),
        ({}, {"quantity": "units"}, r"items has no columns \['units'\]"),
        ({"price": np.nan}, {}, r"columns \['price'\] must have no missing cells"),
        ({"price": np.inf}, {}, "column 'price' must hold finite numbers"),
        ({"price": "9.5"}, {}, "column 'price' must hold finite numbers, got (str|object)"),
        ({"price": -1.0}, {}, "column 'price' must be at least 0, got -1; returns are negative quantities"),
        ({"freight": -1.0}, {}, "column 'freight' must be at least 0, got -1$"),
        ({"quantity": -1}, {}, "column 'quantity' must be at least 0, got 9 negative ones; returns='net'"),
        ({"date": GOOD["date"].astype("str")}, {}, "column 'date' must hold datetimes without a time zone, got"),
        ({"date": GOOD["date"].dt.tz_localize("UTC")}, {}, "column 'date' must hold datetimes without a time zone"),
        ({"currency": ["BRL"] * 8 + ["EUR"]}, {}, r"'currency' must hold one currency, got \['BRL', 'EUR'\]; conv"),
        ({"coin": list("aabaaaaaa")}, {"currency": "coin"}, "column 'coin' must hold one currency"),
        ({"date": ORIGIN}, {}, "items must have each row once, got 8 of 9 rows again; duplicates='drop'"),
        ({}, {"horizon": "-90D"}, "horizon must be a positive span of time such as '90D', got '-90D'"),
        ({}, {"horizon": 90}, "horizon must be a positive span of time such as '90D', got 90"),
        ({}, {"horizon": "3 months"}, "horizon must be a positive span"),
        ({}, {"horizon": None}, "horizon must be a positive span"),
        ({}, {"min_sales": 0}, "min_sales must be a whole number of at least 1, got 0"),
        ({}, {"origins": "2024-04-01"}, "origins must be a list of days, got '2024-04-01'"),
        ({}, {"origins": ORIGIN}, "origins must be a list of days"),
        ({}, {"origins": []}, r"origins must be different days without a time zone, got \[\]"),
        ({}, {"origins": [ORIGIN, ORIGIN]}, "origins must be different days"),
        ({}, {"origins": ["2024-07-01"]}, "origins must lie before the end of the sales, 2024-06-30 00:00:00"),
        ({}, {"max_gap": "25D"}, "items must have sales at least every 25 days .*, got none from 2024-01-02 .* to"),
        ({}, {"origins": ["2024-02-01"]}, "got none from 2023-11-03 .* to 2024-02-01 12:.*; choose other origins"),
    ],
)  # fmt: skip
def test_what_no_panel_can_be_made_of_is_refused(change, options, message):
    options = {"origins": [ORIGIN], "min_sales": 1, "max_gap": "32D"} | options
    with pytest.raises(ValueError, match=message):
        seller_panel(GOOD.assign(**change), **options)


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="items must have rows, got none"):
        seller_panel(GOOD.iloc[:0], [ORIGIN])


def test_a_panel_with_nobody_in_it_has_its_columns():
    panel = seller_panel(GOOD, [ORIGIN], min_sales=100, max_gap="32D")
    assert len(panel) == 0 and panel.attrs["covariates"] and list(panel)[-4:] == OUTCOMES


def build(items, origin):
    return seller_panel(items, [origin])


def plant_next_sale(items, origin):
    """When each seller sells next."""
    panel, later = build(items, origin), items[items["date"] >= origin]
    return panel.assign(next_sale=panel["seller"].map(later.groupby("seller")["date"].min()))


def plant_seller_mean(items, origin):
    """The mean price of each seller over the whole table, as a careless merge has it."""
    panel = build(items, origin)
    return panel.assign(mean_price=panel["seller"].map(items.groupby("seller")["price"].mean()))


def plant_number_of_items(items, origin):
    panel = build(items, origin)
    return panel.assign(n_items=panel["seller"].map(items["seller"].value_counts()))


def plant_target_encoding(items, origin):
    """The mean outcome of the category, of rows whose outcomes nobody knew."""
    panel = build(items, origin)
    return panel.assign(category_ratio=panel.groupby("category")["ratio"].transform("mean"))


def plant_survivors(items, origin):
    """Only sellers who go on have a row."""
    panel = build(items, origin)
    return panel[panel["outcome"] > 0]


def test_the_panel_knows_nothing_too_early(items):
    assert find_leaks(build, items, MONTHS[[0, 5, 14]]) == []


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (plant_next_sale, "next_sale"),
        (plant_seller_mean, "mean_price"),
        (plant_number_of_items, "n_items"),
        (plant_target_encoding, "category_ratio"),
        (plant_survivors, "seller"),
    ],
)
def test_what_is_planted_from_the_future_is_found(items, planted, expected):
    assert find_leaks(planted, items, [MONTHS[5]]) == [expected]


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_covariates_are_those_of_a_table_that_ends_at_the_origin(seed):
    items = Marketplace(20).draw(rng=seed)
    origin = MONTHS[seed % len(MONTHS)]
    options = {"min_sales": 1, "max_gap": None}
    panel = seller_panel(items, [origin], **options)
    cut = seller_panel(items[items["date"] < origin], [origin], until=origin, **options)
    known = ["seller", "origin", "revenue", *panel.attrs["covariates"]]
    pd.testing.assert_frame_equal(panel[known], cut[known])


def test_the_real_marketplace_makes_the_recorded_panel(need_data):
    need_data(*FILES.values())
    panel = seller_panel(load_marketplace(), MONTHS)
    by_origin = panel.groupby("origin")
    assert len(panel) == 8307 and panel["complete"].all() and not panel.isna().any(axis=None)
    assert (by_origin.size().iloc[0], by_origin.size().iloc[-1]) == (256, 828)
    assert by_origin["ratio"].median().iloc[[0, -2]].round(2).tolist() == [1.17, 0.58]
    stopped = (panel["outcome_units"] == 0).groupby(panel["origin"]).mean()
    assert 0.06 < stopped.min() and stopped.max() < 0.11


def test_products_of_the_real_retailer_are_sellers_too(need_data):
    need_data("online_retail.parquet")
    lines = load_online_retail()
    panel = seller_panel(lines, ["2011-06-01", "2011-09-01"], seller="product", labels=["country"], returns="net")
    assert len(panel) > 5000 and not panel.isna().any(axis=None) and (panel["revenue"] > 0).all()
    assert "log_products" not in panel and panel["return_share"].between(0, 1).all()
    whole = panel["outcome_units"] % 1 == 0
    assert whole.all() and panel["complete"].all()
