"""Dated sales: found, verified by their bytes, cleaned by stated rules; a simulated marketplace whose law is known."""

import hashlib

import numpy as np
import pandas as pd
import pooch
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from qrgmm.datasets import files, load_marketplace, load_online_retail, simulate_online_retail
from qrgmm.datasets.marketplace import ATTRIBUTION, FILES, clean_marketplace
from qrgmm.datasets.online_retail import CHARGES, clean_online_retail
from qrgmm.simulators import Marketplace
from qrgmm.simulators.marketplace import DAYS, N_QUARTERS, QUARTERS

RETAIL = "online_retail.parquet"
COLUMNS = ["order", "line", "seller", "product", "category", "state", "price", "freight", "date"]
RETAIL_COLUMNS = ["product", "quantity", "price", "customer", "country", "date"]
LOADERS = [(load_marketplace, list(FILES.values())), (load_online_retail, [RETAIL])]
each_loader = pytest.mark.parametrize(("load", "names"), LOADERS, ids=["marketplace", "online retail"])


def make_marketplace():
    """Five items that meet every cleaning rule, as the four tables of the source."""
    items = pd.DataFrame(
        [
            ["o1", 1, "a", "s", "2016-10-08 10:00", 5.0, 1.0],  # of the trial
            ["o3", 2, "b", "t", "2017-02-01 10:00", 20.0, 0.0],
            ["o3", 1, "a", "s", "2017-02-01 10:00", 10.0, 2.0],
            ["o2", 1, "c", "s", "2017-01-09 00:00", 30.0, 3.0],
            ["o4", 1, "d", "s", "2018-08-31 23:59", 40.0, 4.0],
            ["o5", 1, "a", "s", "2018-09-01 00:00", 50.0, 5.0],  # the tail of August
            ["o6", 1, "a", "s", "2020-04-09 22:35", 60.0, 6.0],
        ],
        columns=[
            "order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price", "freight_value",
        ],
    )  # fmt: skip
    items["shipping_limit_date"] = pd.to_datetime(items["shipping_limit_date"], utc=True)
    products = pd.DataFrame({"product_id": list("abcd"), "product_category_name": ["artes", None, "pc_gamer", "artes"]})
    sellers = pd.DataFrame({"seller_id": ["s", "t"], "seller_state": ["SP", "RJ"]})
    translation = pd.DataFrame({"product_category_name": ["artes"], "product_category_name_english": ["art"]})
    return dict(zip(FILES, (items, products, sellers, translation)))


def make_retail():
    """Lines that meet every cleaning rule."""
    day, later = pd.Timestamp("2010-12-01 08:26"), pd.Timestamp("2011-03-01 10:00")
    rows = [
        [" Tea cup", 6, later, 1.25, 17850.0, "Spain"],
        ["TEA cup", 6, later, 1.25, 17850.0, "Spain"],  # a duplicate
        ["TEA CUP ", -1, later, 1.25, None, "Spain"],  # a return
        ["LANTERN", 3, day, 3.5, 12346.0, "France"],
        ["damaged", -20, day, 0.0, None, "United Kingdom"],
        [None, 5, day, 0.0, None, "United Kingdom"],
        ["Adjust bad debt", 1, day, -11062.06, None, "United Kingdom"],
        ["Manual", 1, day, 9.0, 17850.0, "United Kingdom"],
        ["Dotcomgiftshop Gift Voucher £20.00", 1, day, 17.0, None, "United Kingdom"],
    ]
    return pd.DataFrame(rows, columns=["Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with small made files whose checksums are the recorded ones; no other place, no network."""

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path / "raw")
    monkeypatch.setenv("QRGMM_DATA", str(tmp_path))
    monkeypatch.delenv("QRGMM_RUN", raising=False)
    (tmp_path / "marketplace").mkdir()
    tables = {FILES[name]: table for name, table in make_marketplace().items()} | {RETAIL: make_retail()}
    for name, table in tables.items():
        table.to_parquet(tmp_path / name)
        checksum = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        monkeypatch.setitem(files.SOURCES, name, (files.SOURCES[name][0], checksum))
    return tmp_path


def test_the_marketplace_is_read_and_each_cleaning_rule_is_the_stated_one(folder):
    items = load_marketplace()
    assert items.columns.tolist() == COLUMNS
    expected = [
        ["o2", 1, "s", "c", "pc_gamer", "SP", 30.0, 3.0, pd.Timestamp("2017-01-09")],
        ["o3", 1, "s", "a", "art", "SP", 10.0, 2.0, pd.Timestamp("2017-02-01 10:00")],
        ["o3", 2, "t", "b", "unknown", "RJ", 20.0, 0.0, pd.Timestamp("2017-02-01 10:00")],
        ["o4", 1, "s", "d", "art", "SP", 40.0, 4.0, pd.Timestamp("2018-08-31 23:59")],
    ]
    assert items.to_numpy().tolist() == expected
    counts = {"before the start": 1, "after the end": 2, "no category": 1, "not translated": 1}
    assert items.attrs == {"cleaning": counts, "source": "Olist marketplace", "attribution": ATTRIBUTION}


def test_online_retail_is_read_and_each_cleaning_rule_is_the_stated_one(folder):
    lines = load_online_retail()
    assert lines.columns.tolist() == RETAIL_COLUMNS
    expected = [
        ["LANTERN", 3, 3.5, "12346", "France", pd.Timestamp("2010-12-01 08:26")],
        ["TEA CUP", 6, 1.25, "17850", "Spain", pd.Timestamp("2011-03-01 10:00")],
        ["TEA CUP", -1, 1.25, "unknown", "Spain", pd.Timestamp("2011-03-01 10:00")],
    ]
    assert lines.to_numpy().tolist() == expected
    assert lines.attrs["cleaning"] == {"duplicates": 1, "no price": 3, "charges": 2, "no customer": 1}


@each_loader
def test_data_say_whom_to_credit_under_which_licence(folder, load, names):
    assert "CC BY" in load().attrs["attribution"] and "https://" in load().attrs["attribution"]
    for name in names:
        (folder / name).unlink()
    assert load(stand_in=True).attrs["attribution"] == "simulated by this book, CC BY 4.0"


def test_cleaning_leaves_its_input_and_the_order_of_rows_makes_no_difference():
    tables = make_marketplace()
    before = {name: table.copy() for name, table in tables.items()}
    cleaned = clean_marketplace(*tables.values())
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, before[name])
    turned = clean_marketplace(*(table[::-1].reset_index(drop=True) for table in tables.values()))
    pd.testing.assert_frame_equal(turned, cleaned)
    retail, copy = make_retail(), make_retail()
    clean_online_retail(retail)
    pd.testing.assert_frame_equal(retail, copy)


@pytest.mark.parametrize("table", ["products", "sellers"])
@pytest.mark.parametrize("change", ["absent", "twice"])
def test_an_item_whose_product_or_seller_is_not_listed_once_is_refused(table, change):
    tables = make_marketplace()
    rows = tables[table]
    tables[table] = rows.iloc[1:] if change == "absent" else pd.concat([rows, rows])
    key = {"products": "product_id", "sellers": "seller_id"}[table]
    with pytest.raises(ValueError, match=f"each {key} of order_items must be listed once"):
        clean_marketplace(*tables.values())


@each_loader
@pytest.mark.parametrize("stand_in", [False, True])
def test_a_file_that_is_not_the_recorded_one_is_refused(folder, load, names, stand_in):
    for name in names:
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(good.replace(b"\n", b"\r\n") + b"\r\n")
        with pytest.raises(ValueError, match=f"{name} is not the file that .*: its SHA-256 is .*, expected"):
            load(stand_in=stand_in)
        (folder / name).write_bytes(good)


@each_loader
def test_without_data_the_message_says_what_to_do_and_a_stand_in_is_given_only_on_request(folder, load, names):
    for name in names:
        (folder / name).unlink()
    with pytest.raises(ConnectionError, match=f"{names[0]} was not found .*Put it into .*: https://"):
        load()
    sales = load(stand_in=True)
    assert sales.attrs["source"] == "simulated stand-in"
    assert sales.columns.tolist() == (COLUMNS if load is load_marketplace else RETAIL_COLUMNS)


def test_a_download_lands_in_the_folder_that_the_loader_searches(folder, monkeypatch):
    name = FILES["sellers"]
    data = (folder / name).read_bytes()
    (folder / name).unlink()

    def retrieve(url, known_hash, fname, path, **options):
        assert url == files.SOURCES[name][0]
        path.mkdir(parents=True)
        (path / fname).write_bytes(data)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert files.locate(name) == files.RAW_FOLDER / name
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **kwargs: pytest.fail("asked again"))
    assert len(load_marketplace()) == 4


def test_a_table_in_a_folder_that_is_gone_is_asked_for_once_in_a_run(folder, monkeypatch, tmp_path):
    (folder / FILES["sellers"]).unlink()
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("QRGMM_RUN", str(tmp_path / "run"))

    def refuse(*args, **kwargs):
        raise requests.exceptions.HTTPError("404")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(ConnectionError, match="HTTPError"):
        load_marketplace()
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **kwargs: pytest.fail("asked again"))
    with pytest.raises(ConnectionError, match="HTTPError"):
        load_marketplace()


def test_the_real_marketplace_has_its_recorded_rows(need_data):
    need_data(*FILES.values())
    items = load_marketplace()
    assert items.shape == (112_177, 9) and not items.isna().any(axis=None)
    assert items[["seller", "product", "category", "state"]].nunique().tolist() == [3067, 32_753, 74, 22]
    assert items.attrs["cleaning"] == {
        "before the start": 370, "after the end": 103, "no category": 1601, "not translated": 24,
    }  # fmt: skip
    assert not items.duplicated(["order", "line"]).any() and items["date"].is_monotonic_increasing
    assert items["price"].sum() == pytest.approx(13_527_009.32, abs=0.01)


def test_the_real_online_retail_has_its_recorded_rows(need_data):
    need_data(RETAIL)
    lines = load_online_retail()
    assert lines.shape == (530_467, 6) and not lines.isna().any(axis=None)
    assert lines["product"].nunique() == 4013 and not lines["product"].isin(CHARGES).any()
    counts = {"duplicates": 6017, "no price": 2421, "charges": 3004, "no customer": 130_974}
    assert lines.attrs["cleaning"] == counts
    assert (lines["price"] > 0).all() and (lines["quantity"] != 0).all()
    assert (lines["quantity"] < 0).mean() == pytest.approx(0.0164, abs=5e-4)


@pytest.mark.parametrize(
    "simulate", [lambda rng: Marketplace(100).draw(rng), lambda rng: simulate_online_retail(60, rng)]
)
def test_a_stand_in_follows_its_seed_and_looks_like_the_data(simulate, folder):
    sales = simulate(1)
    pd.testing.assert_frame_equal(sales, simulate(np.random.default_rng(1)))
    assert not sales.equals(simulate(2))
    real = load_marketplace() if "seller" in sales else load_online_retail()
    assert sales.dtypes.to_dict() == real.dtypes.to_dict()
    assert not sales.isna().any(axis=None) and sales["date"].is_monotonic_increasing and (sales["price"] > 0).all()


def test_simulated_returns_follow_a_sale_of_the_same_product():
    lines = simulate_online_retail(40, rng=0)
    first = lines[lines["quantity"] > 0].groupby("product")["date"].min()
    returned = lines[lines["quantity"] < 0]
    assert 0 < len(returned) < 0.03 * len(lines)
    assert (returned["date"] > returned["product"].map(first)).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_sellers": 0}, "n_sellers must be"),
        ({"season": 1.0}, r"season must be in \[0, 1\), got 1.0"),
        ({"season": -0.1}, "season must be in"),
        ({"growth": np.nan}, "growth must be in"),
        ({"loading": -0.1}, "loading must be in"),
        ({"exit_probability": 1.0}, "exit_probability must be in"),
    ],
)
def test_a_marketplace_that_cannot_be_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Marketplace(**setting)


@pytest.mark.parametrize(("origin", "horizon"), [("2016-12-31", 1), ("2018-06-03", 91), ("2018-09-01", 1)])
def test_a_law_outside_the_time_of_the_marketplace_is_refused(origin, horizon):
    market = Marketplace(3)
    with pytest.raises(ValueError, match=f"origin and horizon must lie in 2017-01-01 to 2018-08-31, got {origin}"):
        market.cdf(market.draw_sellers(0), origin, horizon, 1)


def one_seller(rate=0.5, exit_probability=0.01, n=1):
    return pd.DataFrame(
        {"seller": [f"s{i}" for i in range(n)], "category": "toys", "state": "SP", "rate": rate,
         "exit_probability": exit_probability, "price": 50.0, "entry": DAYS[0]}
    )  # fmt: skip


@settings(max_examples=25)
@given(rate=st.floats(0.01, 3), horizon=st.integers(1, 120), first=st.integers(0, 480), units=st.integers(-1, 40))
def test_without_exits_the_law_given_the_shocks_is_poisson(rate, horizon, first, units):
    market, shocks = Marketplace(1), np.linspace(-1, 1, N_QUARTERS)
    mean = rate * market.demand(shocks)[first : first + horizon].sum()
    law = market.cdf(one_seller(rate, 0.0), DAYS[first], horizon, units, shocks)
    np.testing.assert_allclose(law, [[poisson.cdf(units, mean)]], rtol=1e-9, atol=1e-15)


def test_the_law_of_a_steady_seller_is_the_sum_over_the_last_day():
    """Written out for a horizon of three days, without season, drift and shocks."""
    market, seller, h = Marketplace(1, season=0, growth=0, loading=0), one_seller(2.0, 0.3), 0.3
    expected = h * poisson.cdf(3, 2) + (1 - h) * h * poisson.cdf(3, 4) + (1 - h) ** 2 * poisson.cdf(3, 6)
    assert market.cdf(seller, "2017-06-01", 3, 3)[0, 0] == pytest.approx(expected, rel=1e-12)


def test_a_law_is_a_law():
    market = Marketplace(20)
    units = np.append(-1, np.geomspace(0.5, 500, 40))
    law = market.cdf(market.draw_sellers(3), "2017-11-15", 90, units)
    assert law.shape == (20, len(units)) and (law[:, 0] == 0).all()
    assert (np.diff(law, axis=1) >= 0).all() and (law <= 1 + 1e-12).all()
    assert law[one := law[:, -1].argmax(), -1] == pytest.approx(1, abs=1e-9), one


def test_what_is_drawn_follows_the_law():
    """Items of equal sellers over a horizon that two shocks touch, in many draws of the shocks."""
    market, sellers = Marketplace(1), one_seller(0.3, 0.004, n=400)
    origin, horizon, points = pd.Timestamp("2017-02-15"), 90, np.array([0, 5, 15, 20, 25])
    counts = []
    for seed in range(40):
        items = market.draw(seed, sellers)
        in_window = items[(items["date"] >= origin) & (items["date"] < origin + pd.Timedelta(days=horizon))]
        counts.append(in_window["seller"].value_counts().reindex(sellers["seller"], fill_value=0).to_numpy())
    # Everyone is there on the first day; who stopped before the origin sells nothing.
    stays = (1 - 0.004) ** (origin - DAYS[0]).days
    law = market.cdf(sellers[:1], origin, horizon, points)[0] * stays + (1 - stays)
    shares = np.array([[(draw <= point).mean() for point in points] for draw in counts])
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    assert (np.abs(shares.mean(axis=0) - law) < 4 * error).all()


def test_a_common_shock_moves_all_sellers_of_its_quarter_and_no_other():
    market = Marketplace(5)
    calm, shocks = np.zeros(N_QUARTERS), np.eye(N_QUARTERS)[2]
    ratio = market.demand(shocks) / market.demand(calm)
    np.testing.assert_allclose(ratio, np.where(QUARTERS == 2, np.exp(0.2), 1.0))


def test_the_season_peaks_in_mid_november_and_demand_is_one_on_average_over_shocks():
    market = Marketplace(5, growth=0)
    year = market.demand(np.zeros(N_QUARTERS))[:365]
    assert DAYS[year.argmax()] == pd.Timestamp("2017-11-15")
    mean = np.mean(market.demand(np.random.default_rng(0).normal(size=(20_000, N_QUARTERS)))[:, 0])
    assert mean == pytest.approx(1 + 0.3 * np.cos(2 * np.pi * (1 - 319) / 365), abs=0.01)
