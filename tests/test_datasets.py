"""Real data: found, verified, cleaned by stated rules, refused when altered, replaced only when asked; own tables."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pooch
import pytest
import requests

from qrgmm.datasets import files
from qrgmm.datasets.big_mart import clean_big_mart, load_big_mart, simulate_big_mart
from qrgmm.datasets.sales_table import load_sales_csv
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM

COLUMNS = [
    "Item_Identifier",
    "Item_Weight",
    "Item_Fat_Content",
    "Item_Visibility",
    "Item_Type",
    "Item_MRP",
    "Outlet_Identifier",
    "Outlet_Establishment_Year",
    "Outlet_Size",
    "Outlet_Location_Type",
    "Outlet_Type",
    "Item_Outlet_Sales",
]
NAME = "bigmart_train.csv"
URL = files.SOURCES[NAME][0]
TEXT = (
    ",".join(COLUMNS)
    + "\n"
    + "\n".join(
        [
            "A,9.3,LF,0.1,Dairy,249.8,S1,1999,Medium,Tier 1,Supermarket Type1,3735.1",
            "A,,low fat,0.0,Dairy,250.1,S2,2009,,Tier 3,Grocery Store,443.4",
            "A,9.3,Low Fat,0.3,Dairy,248.0,S3,1985,High,Tier 3,Supermarket Type3,5000.0",
            "B,,reg,0.0,Dairy,48.2,S2,2009,,Tier 3,Grocery Store,50.5",
            "C,5.3,Regular,0.2,Meat,141.6,S1,1999,Medium,Tier 1,Supermarket Type1,2097.3",
            "D,5.1,Regular,0.5,Dairy,100.0,S1,1999,Medium,Tier 1,Supermarket Type1,1000.0",
        ]
    )
    + "\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small made file whose checksum is the recorded one; no other place, no network."""

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("Failed to resolve raw.githubusercontent.com")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path / "raw")
    monkeypatch.setitem(files.SOURCES, NAME, (URL, hashlib.sha256(TEXT.encode()).hexdigest()))
    monkeypatch.setenv("QRGMM_DATA", str(tmp_path))
    monkeypatch.delenv("QRGMM_RUN", raising=False)  # else a failure here would be remembered for other tests
    (tmp_path / NAME).write_bytes(TEXT.encode())
    return tmp_path


def test_a_file_is_read_and_cleaned(folder):
    sales = load_big_mart()
    assert list(sales.columns) == COLUMNS and len(sales) == 6
    assert sales.attrs["source"] == "Big Mart"
    pd.testing.assert_frame_equal(sales, clean_big_mart(pd.read_csv(folder / NAME)))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("Item_Fat_Content", ["Low Fat", "Low Fat", "Low Fat", "Regular", "Regular", "Regular"]),
        # A's is the mean of its other stores; B is seen nowhere else and gets the median of all.
        ("Item_Visibility", [0.1, 0.2, 0.3, 0.2, 0.2, 0.5]),
        # A's is copied from the same item; B is never weighed and gets the median of the dairy rows.
        ("Item_Weight", [9.3, 9.3, 9.3, 9.3, 5.3, 5.1]),
        ("Outlet_Size", ["Medium", "Unknown", "High", "Unknown", "Medium", "Medium"]),
        ("Item_Outlet_Sales", [3735.1, 443.4, 5000.0, 50.5, 2097.3, 1000.0]),
    ],
)
def test_each_cleaning_rule_is_the_stated_one(folder, column, expected):
    cleaned = load_big_mart()[column]
    if cleaned.dtype == float:
        np.testing.assert_allclose(cleaned, expected, rtol=1e-12)
    else:
        assert cleaned.tolist() == expected


def test_cleaning_leaves_its_input_and_every_other_column_as_they_were(folder):
    raw = pd.read_csv(folder / NAME)
    before = raw.copy()
    cleaned = clean_big_mart(raw)
    pd.testing.assert_frame_equal(raw, before)
    touched = ["Item_Fat_Content", "Item_Visibility", "Item_Weight", "Outlet_Size"]
    pd.testing.assert_frame_equal(cleaned.drop(columns=touched), raw.drop(columns=touched))
    assert not cleaned.isna().any(axis=None)


def test_cleaning_uses_no_sales(folder):
    raw = pd.read_csv(folder / NAME)
    shuffled = clean_big_mart(raw.assign(Item_Outlet_Sales=raw["Item_Outlet_Sales"].to_numpy()[::-1]))
    pd.testing.assert_frame_equal(
        shuffled.drop(columns="Item_Outlet_Sales"), clean_big_mart(raw).drop(columns="Item_Outlet_Sales")
    )


def test_each_of_the_five_spellings_of_fat_content_becomes_one_of_two(folder):
    spellings = {"Low Fat": "Low Fat", "LF": "Low Fat", "low fat": "Low Fat", "Regular": "Regular", "reg": "Regular"}
    raw = pd.read_csv(folder / NAME).head(5).assign(Item_Fat_Content=list(spellings))
    assert clean_big_mart(raw)["Item_Fat_Content"].tolist() == list(spellings.values())


def test_filled_cells_are_the_missing_ones_alone(folder):
    raw = pd.read_csv(folder / NAME)
    cleaned = clean_big_mart(raw)
    for name, missing in (
        ("Item_Visibility", raw["Item_Visibility"] == 0),
        ("Item_Weight", raw["Item_Weight"].isna()),
        ("Outlet_Size", raw["Outlet_Size"].isna()),
    ):
        assert 0 < missing.sum() < len(raw)
        assert (cleaned[name][~missing] == raw[name][~missing]).all()


def test_windows_line_ends_make_no_difference(folder):
    expected = load_big_mart()
    for other in (TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\r\n", 3)):
        (folder / NAME).write_bytes(other.encode())
        pd.testing.assert_frame_equal(load_big_mart(), expected)


@pytest.mark.parametrize(
    "text",
    [TEXT.replace("443.4", "443.5"), TEXT[:-40], TEXT + "\n", "", "<html>404</html>"],
    ids=["altered", "truncated", "longer", "empty", "a web page"],
)
@pytest.mark.parametrize("stand_in", [False, True])
def test_a_file_that_is_not_the_recorded_one_is_refused(folder, text, stand_in):
    (folder / NAME).write_bytes(text.encode())
    message = f"{NAME} is not the file that the book was written on: its SHA-256 .* is .*, expected .* delete it"
    with pytest.raises(ValueError, match=message):
        load_big_mart(stand_in=stand_in)
    assert (folder / NAME).read_bytes() == text.encode()


def test_the_refusal_names_the_checksum_that_was_found_and_the_one_expected(folder):
    data = TEXT.encode()[:100] + b"\xff\x00" + TEXT.encode()[102:]  # two bytes corrupted, no text any more
    (folder / NAME).write_bytes(data)
    found, expected = (hashlib.sha256(content).hexdigest() for content in (data, TEXT.encode()))
    with pytest.raises(ValueError, match=f"is {found}, expected {expected}. Replace it"):
        load_big_mart()


@pytest.mark.parametrize("stand_in", [False, True])
@pytest.mark.parametrize("place", ["missing", NAME])
def test_an_environment_variable_that_names_no_folder_is_refused(folder, monkeypatch, place, stand_in):
    monkeypatch.setenv("QRGMM_DATA", str(folder / place))
    with pytest.raises(FileNotFoundError, match=f"QRGMM_DATA must name a folder, got .*{place}"):
        load_big_mart(stand_in=stand_in)


def test_the_raw_folder_is_searched_where_no_variable_is_set_or_its_folder_lacks_the_file(folder, monkeypatch):
    files.RAW_FOLDER.mkdir()
    (folder / NAME).rename(files.RAW_FOLDER / NAME)
    assert len(load_big_mart()) == 6
    monkeypatch.delenv("QRGMM_DATA")
    assert len(load_big_mart()) == 6
    monkeypatch.setenv("QRGMM_DATA", "")
    assert len(load_big_mart()) == 6


NETWORK = [requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout, requests.exceptions.HTTPError, OSError]


@pytest.mark.parametrize("error", NETWORK)
def test_without_data_the_message_says_what_to_do(folder, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error("no route")

    monkeypatch.setattr(pooch, "retrieve", fail)
    (folder / NAME).unlink()
    reason = rf"{NAME} was not found and could not be downloaded \({error.__name__}\). "
    cure = f"Put it into .*raw, set QRGMM_DATA to the folder that holds it, or connect to the internet: {URL}"
    with pytest.raises(ConnectionError, match=reason + cure):
        load_big_mart()
    assert not list(folder.rglob("*.csv"))


def test_a_file_that_is_not_of_the_book_is_refused():
    with pytest.raises(ValueError, match=f"name must be one of {NAME}, .*, got 'sales.csv'"):
        files.locate("sales.csv")


class BadServer(BaseHTTPRequestHandler):
    """Has nothing under /absent and breaks off every other file."""

    def do_GET(self):
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT[:50].encode())

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("case", ["/absent", "/breaks-off", "closed"])
def test_a_download_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, case):
    """With pooch itself, and a server on this machine instead of the pinned address."""
    server = HTTPServer(("127.0.0.1", 0), BadServer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}{case if case[0] == '/' else ''}"
    if case == "closed":
        server.shutdown()
        server.server_close()
    monkeypatch.setitem(files.SOURCES, NAME, (url, "0" * 64))
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path)
    monkeypatch.delenv("QRGMM_DATA", raising=False)
    monkeypatch.delenv("QRGMM_RUN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        with pytest.raises(ConnectionError, match=f"{NAME} was not found and could not be downloaded .*: {url}$"):
            load_big_mart()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not list(tmp_path.iterdir())


def test_without_data_a_stand_in_is_given_only_on_request(folder):
    (folder / NAME).unlink()
    sales = load_big_mart(stand_in=True)
    assert sales.attrs["source"] == "simulated stand-in"
    pd.testing.assert_frame_equal(sales, simulate_big_mart(rng=0))


def download(text):
    """What pooch.retrieve does when the network answers with a text."""

    def retrieve(url, known_hash, fname, path, **options):
        assert url == URL
        path.mkdir()
        (path / fname).write_bytes(text.encode())
        return str(path / fname)

    return retrieve


def test_a_download_lands_in_the_raw_folder(folder, monkeypatch):
    (folder / NAME).unlink()
    monkeypatch.setattr(pooch, "retrieve", download(TEXT.replace("\n", "\r\n")))
    assert files.locate(NAME) == files.RAW_FOLDER / NAME
    assert len(load_big_mart()) == 6


@pytest.mark.parametrize("stand_in", [False, True])
def test_a_wrong_download_is_refused_and_not_kept(folder, monkeypatch, stand_in):
    (folder / NAME).unlink()
    monkeypatch.setattr(pooch, "retrieve", download("<html>404</html>"))
    with pytest.raises(ValueError, match=f"{NAME} is not the file that the book was written on"):
        load_big_mart(stand_in=stand_in)
    assert not list(folder.rglob("*.csv"))


def test_the_stand_in_has_the_shape_of_the_data_and_follows_its_seed():
    sales = simulate_big_mart(500, rng=1)
    assert list(sales.columns) == COLUMNS and len(sales) == 500
    assert not sales.isna().any(axis=None) and (sales["Item_Outlet_Sales"] > 0).all()
    pd.testing.assert_frame_equal(sales, simulate_big_mart(500, rng=np.random.default_rng(1)))
    assert not sales.equals(simulate_big_mart(500, rng=2))
    per_store = simulate_big_mart(rng=0).groupby("Outlet_Identifier")[["Outlet_Type", "Outlet_Size"]].nunique()
    assert len(per_store) == 10 and (per_store == 1).all(axis=None)


def test_the_real_file_has_its_recorded_rows(need_data):
    need_data(NAME)
    sales = load_big_mart()
    assert sales.shape == (8523, 12) and not sales.isna().any(axis=None)
    assert sales["Item_Identifier"].nunique() == 1559 and sales["Outlet_Identifier"].nunique() == 10
    assert sales["Item_Outlet_Sales"].mean() == pytest.approx(2181.289, abs=5e-4)
    assert set(sales["Item_Fat_Content"]) == {"Low Fat", "Regular"}
    assert (sales["Item_Visibility"] > 0).all()


TABLE = """\
,shop,brand,price,weight,note,sold
0,007,Ä & Söhne,9.5,1,,120
1,012,"b, c",20,2,call back,0

2,007,Ä & Söhne,1e1,3,,3.5
"""
LISTS = {"categorical": ["shop", "brand"], "continuous": ["price", "weight"]}


@pytest.fixture
def write(tmp_path):
    def to_file(text, encoding="utf-8"):
        path = tmp_path / "own.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return to_file


def test_an_own_table_gives_covariates_and_sales(write):
    path = write(TABLE)
    X, sales = load_sales_csv(path, "sold", **LISTS)
    assert X.to_dict("list") == {
        "shop": ["007", "012", "007"],
        "brand": ["Ä & Söhne", "b, c", "Ä & Söhne"],
        "price": [9.5, 20.0, 10.0],
        "weight": [1.0, 2.0, 3.0],
    }
    assert sales.tolist() == [120.0, 0.0, 3.5] and sales.name == "sold" and sales.dtype == float
    assert X.index.equals(pd.RangeIndex(3)) and sales.index.equals(X.index)
    assert X.attrs["source"] == path.name


@pytest.mark.parametrize("change", [("\n", "\r\n"), (",", " , "), ("\n\n", "\n,,,,,,\n")])
def test_line_ends_spaces_blank_rows_and_a_byte_order_mark_make_no_difference(write, change):
    (X, sales), text = load_sales_csv(write(TABLE), "sold", **LISTS), TABLE.replace('"b, c"', "b")
    other, other_sales = load_sales_csv(write(text.replace(*change), "utf-8-sig"), "sold", **LISTS)
    pd.testing.assert_frame_equal(other, X.replace("b, c", "b"))
    pd.testing.assert_series_equal(other_sales, sales)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, ["shop", "brand", "price", "weight"]),
        ({"continuous": ["shop", "price"]}, ["shop", "brand", "price"]),
        ({"categorical": ["shop"]}, ["shop", "price", "weight"]),
        ({"continuous": ["price"]}, ["brand", "price"]),
        ({"categorical": [], "continuous": ["weight", "price"]}, ["price", "weight"]),
    ],
)
def test_columns_that_are_not_named_are_inferred_as_the_encoder_infers_them(write, lists, expected):
    table = TABLE.replace(",note", ",")
    if not lists:  # a code with leading zeros would be refused
        table = table.replace(",007", ",7").replace(",012", ",12")
    X, _ = load_sales_csv(write(table), "sold", **lists)
    assert list(X.columns) == expected
    plain = pd.DataFrame({"shop": [7, 12, 7], "brand": list("aba"), "price": [9.5, 20, 10], "weight": [1, 2, 3]})
    encoder = FieldEncoder(**lists).fit(plain)
    assert set(encoder.feature_names_in_) == set(expected)
    if "categorical" not in lists:
        assert X["price"].dtype == float and ("shop" not in X or X["shop"].tolist() == [7, 12, 7])


def test_an_own_table_of_new_sellers_has_no_sales(write):
    X, _ = load_sales_csv(write(TABLE), "sold", **LISTS)
    sellers, sales = load_sales_csv(write(TABLE), None, **LISTS)
    assert sales is None
    pd.testing.assert_frame_equal(sellers, X)


def test_an_own_table_goes_into_the_encoder_and_a_model(tmp_path):
    big_mart = simulate_big_mart(300, rng=3)
    names = ["Item_MRP", "Outlet_Identifier", "Item_Outlet_Sales"]
    big_mart[names].to_csv(tmp_path / "own.csv")  # the row number is a column without a name
    X, sales = load_sales_csv(tmp_path / "own.csv", "Item_Outlet_Sales")
    pd.testing.assert_frame_equal(X, big_mart[names[:2]], check_dtype=False)
    assert list(FieldEncoder().fit(X).categories_) == ["Outlet_Identifier"]
    model, reference = QRGMM(levels=4).fit(X, sales), QRGMM(levels=4).fit(big_mart[names[:2]], big_mart[names[2]])
    np.testing.assert_array_equal(model.predict_quantiles(X[:9], [0.5]), reference.predict_quantiles(X[:9], [0.5]))


CELL = "column {!r} must hold {}, got {!r} in row {}"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        # no table
        ((TABLE, ""), {}, "expected a header and at least one row, got 0 rows"),
        ((TABLE, "\n,,\n"), {}, "got 0 rows"),
        ((TABLE, "shop,sold\n"), {}, "got 1 rows"),
        ((TABLE, "<html>\n<h1>404</h1>\n</html>"), {}, "separated by commas, got one column, '<html>'"),
        ((",", ";"), {}, "separated by commas, got one column, ';shop;brand"),
        (('c"', "c"), {}, "expected a CSV file, but unexpected end of data: was it cut off?"),
        (("call back,", ""), {}, "row 3 has 6 cells, expected 7; the last fits 'note'"),
        (("1e1", "1,0"), {}, "row 5 has 8 cells, expected 7"),  # a decimal comma
        # columns
        (("price", "shop"), {}, "must have each column once, got ['shop'] more than once"),
        ((), {"target": "units"}, "has no columns ['units']; it has ['shop', 'brand', 'price', 'weight', 'note'"),
        ((), {"categorical": ["store", "brand"]}, "has no columns ['store']; it has ['shop'"),
        ((), {"categorical": [], "continuous": []}, "must have covariates beside the target 'sold', got ['shop'"),
        ((TABLE, ",sold\n1,2\n"), {"categorical": None, "continuous": None}, "beside the target 'sold', got ['sold']"),
        # cells
        (("9.5", ""), {}, CELL.format("price", "no empty cells", "", 2)),
        (("007", ""), {}, CELL.format("shop", "no empty cells", "", 2) + " (and in 1 more: 5)"),
        ((",120", ","), {}, CELL.format("sold", "no empty cells", "", 2)),
        ((), {"categorical": ["note"]}, CELL.format("note", "no empty cells", "", 2)),
        ((), {"categorical": [], "continuous": ["brand"]}, CELL.format("brand", "finite numbers", "Ä & Söhne", 2)),
        ((), {"categorical": [], "continuous": ["brand"]}, "; a column of text is categorical"),
        (("9.5", "inf"), {}, CELL.format("price", "finite numbers", "inf", 2)),
        (("1e1", "n/a"), {}, CELL.format("price", "finite numbers", "n/a", 5)),
        (("20,2", '"2,000",2'), {}, CELL.format("price", "finite numbers", "2,000", 3)),
        (("1e1", "n/a"), {"continuous": None}, CELL.format("price", "either numbers or text", "n/a", 5)),
        (("1e1", "n/a"), {"continuous": None}, "; name the column in categorical, or mend it"),
        # sales
        ((), {"target": "brand", "categorical": ["shop"]}, CELL.format("brand", "finite numbers", "Ä & Söhne", 2)),
        (("3.5", "sold out"), {}, CELL.format("sold", "finite numbers", "sold out", 5)),
        ((",120", ",-inf"), {}, CELL.format("sold", "finite numbers", "-inf", 2)),
        ((",120", ",nan"), {}, CELL.format("sold", "finite numbers", "nan", 2)),
        (("3.5", "-3.5"), {}, CELL.format("sold", "sales of at least 0", "-3.5", 5)),
    ],
)
def test_an_own_table_that_no_model_could_learn_from_is_refused(write, change, options, message):
    path = write(TABLE.replace(*change) if change else TABLE)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        load_sales_csv(path, **({"target": "sold"} | LISTS | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"continuous": ["price", "shop"]}, "each column must be named once, got ['shop'] more than once"),
        ({"categorical": ["shop", "shop"]}, "named once, got ['shop'] more than once"),
        ({"continuous": ["price", "sold"]}, "named once, got ['sold'] more than once"),
        ({"categorical": "shop"}, "categorical must be a list of column names, got 'shop'"),
        ({"continuous": "price"}, "continuous must be a list of column names, got 'price'"),
    ],
)
def test_columns_that_are_named_twice_or_not_in_a_list_are_refused(write, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_sales_csv(write(TABLE), **({"target": "sold"} | LISTS | options))


def test_a_refusal_counts_all_bad_rows_and_names_five(write):
    path = write("shop,sold\n" + "a,-1\n" * 9)
    message = "'-1' in row 2 (and in 8 more: 3, 4, 5, 6, ...)"
    with pytest.raises(ValueError, match=re.escape(message)):
        load_sales_csv(path, "sold")


def test_an_own_table_in_another_encoding_is_refused(write):
    with pytest.raises(ValueError, match="own.csv: expected text in UTF-8, got byte 0xc4 in row 2; save the file as"):
        load_sales_csv(write(TABLE, "latin-1"), "sold")


@pytest.mark.parametrize("name", ["nothing.csv", "."])
def test_an_own_table_that_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="path must name a CSV file, got '.*'"):
        load_sales_csv(tmp_path / name, "sold")


def column(*cells):
    return "price,units\n" + "".join('"{}",{}\n'.format(cell.replace('"', '""'), i) for i, cell in enumerate(cells))


FOREIGN = {
    "5,0": "decimal=',' reads them",
    "1,065": "thousands=',' or decimal=',' reads them",
    "1.234,56": "thousands='.' reads them",
    "1.065.283": "thousands='.' reads them",
    "1 065": "thousands=' ' reads them",
    "1\u202f065": "thousands=' ' reads them",
    "1 065,5": "thousands=' ' with decimal=',' reads them",
    "1'065": """thousands="'" reads them""",
    "$9.50": "write them without signs",
    "9,50 \u20ac": "write them without signs",
    "EUR 5": "write them without signs",
    "9.5%": "write them without signs",
    '="9.5"': "write them without signs",
    "(5.00)": "write them without signs",
    "\u22125": "write them without signs",
    "\u0661\u0662": "write them without signs",
}


@pytest.mark.parametrize("cell", FOREIGN)
def test_numbers_in_another_form_are_no_categories_and_the_message_says_what_reads_them(write, cell):
    path = write(column(cell, cell, "7"))
    found = f"got {cell!r} in row 2 (and in 1 more: 3); {FOREIGN[cell]}"
    expected = f"column 'price' must hold either text or plain numbers, {found}"
    for options in ({}, {"categorical": []}):
        with pytest.raises(ValueError, match=re.escape(expected)):
            load_sales_csv(path, "units", **options)
    with pytest.raises(ValueError, match=re.escape(f"must hold finite numbers, {found}")):
        load_sales_csv(path, "units", continuous=["price"])
    X, _ = load_sales_csv(path, "units", categorical=["price"])
    assert X["price"].tolist() == [cell, cell, "7"]


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        (["5,0", "7"], {"decimal": ","}, [5.0, 7.0]),
        (["1,5e3", "-,5"], {"decimal": ","}, [1500.0, -0.5]),
        (["1,065", "283"], {"thousands": ","}, [1065.0, 283.0]),
        (["1,065.25", "1,065,283"], {"thousands": ","}, [1065.25, 1065283.0]),
        (["1.065", "283"], {"thousands": "."}, [1065.0, 283.0]),
        (["1.065,25", "0,5"], {"thousands": "."}, [1065.25, 0.5]),
        (["1.065,25", "0,5"], {"thousands": ".", "decimal": ","}, [1065.25, 0.5]),
        (["1 065", "1\u00a0065,5"], {"thousands": " ", "decimal": ","}, [1065.0, 1065.5]),
        (["1'065", "1\u2019065.5"], {"thousands": "'"}, [1065.0, 1065.5]),
        (["1.065", "283"], {"decimal": "."}, [1.065, 283.0]),
    ],
)
def test_numbers_in_another_form_are_read_when_told(write, cells, options, expected):
    X, _ = load_sales_csv(write(column(*cells)), "units", **options)
    assert X["price"].tolist() == expected


def test_a_table_of_a_european_spreadsheet_is_read_when_told(write):
    path = write('Preis;Größe;Verkauft\r\n"9,5";klein;1.065\r\n10,0;groß;283\r\n', "cp1252")
    X, sales = load_sales_csv(path, "Verkauft", separator=";", thousands=".", encoding="cp1252")
    assert X.to_dict("list") == {"Preis": [9.5, 10.0], "Größe": ["klein", "groß"]} and sales.tolist() == [1065, 283]


@pytest.mark.parametrize("cells", [["1.065", "283"], ["12.000", "7", "0"], ["-1.065", "3"]])
def test_points_that_could_be_thousands_are_refused_until_one_says_what_they_are(write, cells):
    message = "column 'price' must hold numbers that can be read in one way only, got '.*' in row 2; "
    for options in ({}, {"continuous": ["price"]}):
        with pytest.raises(ValueError, match=message + "decimal='.' reads them as written, thousands='.' as thousands"):
            load_sales_csv(write(column(*cells)), "units", **options)
    text = "units,price\n" + "".join(f"{cell.strip('-')},1\n" for cell in cells)
    with pytest.raises(ValueError, match="column 'units' must hold numbers that can be read in one way only"):
        load_sales_csv(write(text), "units")


@pytest.mark.parametrize(
    "cells", [["9.5", "283"], ["10.99", "5"], ["1.459", "1.389"], ["0.250", "1"], ["1.065", "2.5", "7"], ["9.125"]]
)
def test_ordinary_prices_are_read_as_written(write, cells):
    X, _ = load_sales_csv(write(column(*cells)), "units")
    assert X["price"].tolist() == [float(cell) for cell in cells]


def test_sales_that_all_have_three_digits_after_the_point_could_be_thousands(write):
    path = write("price,units\n9.5,1.065\n8.5,1.283\n")
    with pytest.raises(ValueError, match="column 'units' must hold numbers that can be read in one way only"):
        load_sales_csv(path, "units")
    assert load_sales_csv(path, "units", decimal=".")[1].tolist() == [1.065, 1.283]


CODES = {
    "numbers without leading zeros": ["007", "7"],
    "numbers below 2^53, which floats can tell apart": ["9007199254740993", "9007199254740992"],
    "numbers that do not read as days": ["20240131", "20240201"],
}


@pytest.mark.parametrize("expected", CODES)
def test_codes_in_digits_are_no_numbers_until_named(write, expected):
    path = write(column(*CODES[expected]))
    message = f"column 'price' must hold {expected}, got {CODES[expected][0]!r} in row 2"
    with pytest.raises(ValueError, match=re.escape(message) + ".*name the column in categorical for codes"):
        load_sales_csv(path, "units")
    text, numbers = (load_sales_csv(path, "units", **{kind: ["price"]})[0] for kind in ("categorical", "continuous"))
    assert text["price"].tolist() == CODES[expected]
    assert numbers["price"].tolist() == [float(code) for code in CODES[expected]]


DATES = ["2024-01-05", "05/01/2024", "5.1.24", "Jan 2024", "5 January 2024", "2-Sep", "2024-01-05 10:00", "01/2024"]


@pytest.mark.parametrize("date", DATES)
def test_dates_are_no_categories_until_named(write, date):
    path = write(column(date, "none"))
    message = f"must hold text that does not read as a date, got {date!r} in row 2; name the column in dates"
    with pytest.raises(ValueError, match=re.escape(message)):
        load_sales_csv(path, "units")
    assert load_sales_csv(path, "units", categorical=["price"])[0]["price"].tolist() == [date, "none"]


def test_days_are_read_when_named_and_nothing_else_is(write):
    text = "price,day,units\n9.5,2024-01-05,3\n8.5,2024-02-29 10:30,4\n"
    X, _ = load_sales_csv(write(text), "units", dates=["day"])
    assert list(X) == ["price", "day"]
    assert X["day"].tolist() == [pd.Timestamp("2024-01-05"), pd.Timestamp("2024-02-29 10:30")]
    for cell in ("2024-02-30", "05/01/2024", "2024", ""):
        message = f"column 'day' must hold .*, got {cell!r} in row 3"
        with pytest.raises(ValueError, match=message):
            load_sales_csv(write(text.replace("2024-02-29 10:30", cell)), "units", dates=["day"])


PLAIN_TEXT = ["FDA15", "OUT017", "1.2.3", "500g", "3 XXL", "10-20", "Tier 1", "1st", "May", "Marble 20", "Decor 12"]


@pytest.mark.parametrize("cell", PLAIN_TEXT)
def test_text_with_digits_stays_text(write, cell):
    assert load_sales_csv(write(column(cell, "b")), "units")[0]["price"].tolist() == [cell, "b"]


PLAIN = "price,units\n9.5,3\n"


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (("\ufeff\ufeff" + PLAIN).encode(), {}),
        (("sep=,\r\n" + PLAIN).encode(), {}),
        (('"sep=;"\n' + PLAIN.replace(",", ";")).encode(), {"separator": ";"}),
        (PLAIN.replace(",", "\t").encode(), {"separator": "\t"}),
        (PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
        (b"price,units,,\n9.5,3,,\n,,,\n,,,,\n", {}),
    ],
)
def test_what_excel_leaves_around_a_table_makes_no_difference(tmp_path, data, options):
    (tmp_path / "own.csv").write_bytes(data)
    X, sales = load_sales_csv(tmp_path / "own.csv", "units", **options)
    assert X.to_dict("list") == {"price": [9.5]} and sales.tolist() == [3.0]


def test_the_row_that_excel_does_not_show_is_not_counted(write):
    with pytest.raises(ValueError, match="got '-3' in row 2"):
        load_sales_csv(write("sep=,\nprice,units\n9.5,-3\n"), "units")


UTF_16 = r" \(it looks like UTF-16\); save the file as 'CSV UTF-8'"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PLAIN.encode("utf-16"), "expected text in UTF-8, got byte 0xff in row 1" + UTF_16),
        (PLAIN.encode("utf-16-le"), "expected text in UTF-8, got a NUL character in row 1" + UTF_16),
        (PLAIN.encode("utf-16-be"), "expected text in UTF-8, got a NUL character in row 1" + UTF_16),
        (b"price,units\n9\0,3\n", "got a NUL character in row 2; save the file as 'CSV UTF-8'"),
        (b"sep=;\nprice;units\n9;3\n", "its first row says that the separator is ';', expected ','"),
        (b"price;units\n9,5;3\n", "got one column, 'price;units'; is the separator ';'"),
        (b'"price";"units"\n"9,5";"3"\n', "',' expected after '\"' in row 1; is the separator ';'"),
        (b'price,units\n"9"5,3\n', "in row 2; a quotation mark inside a cell is written twice"),
        (b'price,units\n9,4\n"' + b"9,3\n" * 40_000, "row 3 has a cell of more than 131,072 characters: is a quot"),
        (b"price,units\n9," + b"x" * 5000 + b"\n", "got '" + "x" * 60 + "...' in row 2$"),
        (",".join(f"c{i}" for i in range(200)).encode() + b"\n" + b"1," * 199 + b"1\n", "'c5'\\] and 194 more$"),
    ],
)
def test_what_no_spreadsheet_should_write_is_refused_in_a_short_message(tmp_path, data, message):
    (tmp_path / "own.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load_sales_csv(tmp_path / "own.csv", "units")
    assert len(str(caught.value)) < len(str(tmp_path)) + 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "separator must be one character between cells, got ';;'"),
        ({"decimal": ";"}, "decimal must be '.' or ',', and thousands one of . , ' and a blank or None, got ';' and"),
        ({"thousands": "_"}, "and a blank or None, got None and '_'"),
        ({"thousands": ",", "decimal": ","}, "decimal and thousands must differ, got ',' for both"),
        ({"encoding": "utf-9"}, "encoding must be one that Python knows, got 'utf-9'"),
        ({"dates": "price"}, "dates must be a list of column names, got 'price'"),
        ({"dates": ["price"], "continuous": ["price"]}, "each column must be named once, got ['price'] more than once"),
        ({"dates": ["day"]}, "has no columns ['day']; it has ['price', 'units']"),
    ],
)
def test_options_of_the_loader_that_are_none_are_refused(write, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_sales_csv(write(PLAIN), "units", **options)
