"""Real data: found, verified, cleaned by stated rules, refused when altered, replaced only when asked."""

import hashlib

import numpy as np
import pandas as pd
import pooch
import pytest
import requests

from qrgmm import datasets
from qrgmm.datasets import clean_big_mart, load_big_mart, simulate_big_mart

COLUMNS = [
    "Item_Identifier", "Item_Weight", "Item_Fat_Content", "Item_Visibility", "Item_Type", "Item_MRP",
    "Outlet_Identifier", "Outlet_Establishment_Year", "Outlet_Size", "Outlet_Location_Type", "Outlet_Type",
    "Item_Outlet_Sales",
]  # fmt: skip
NAME = "bigmart_train.csv"
URL = datasets.SOURCES[NAME][0]
TEXT = ",".join(COLUMNS) + "\n" + "\n".join(
    [
        "A,9.3,LF,0.1,Dairy,249.8,S1,1999,Medium,Tier 1,Supermarket Type1,3735.1",
        "A,,low fat,0.0,Dairy,250.1,S2,2009,,Tier 3,Grocery Store,443.4",
        "A,9.3,Low Fat,0.3,Dairy,248.0,S3,1985,High,Tier 3,Supermarket Type3,5000.0",
        "B,,reg,0.0,Dairy,48.2,S2,2009,,Tier 3,Grocery Store,50.5",
        "C,5.3,Regular,0.2,Meat,141.6,S1,1999,Medium,Tier 1,Supermarket Type1,2097.3",
        "D,5.1,Regular,0.5,Dairy,100.0,S1,1999,Medium,Tier 1,Supermarket Type1,1000.0",
    ]
) + "\n"  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small made file whose checksum is the recorded one; no other place, no network."""

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("Failed to resolve raw.githubusercontent.com")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(datasets, "RAW_FOLDER", tmp_path / "raw")
    monkeypatch.setitem(datasets.SOURCES, NAME, (URL, hashlib.sha256(TEXT.encode()).hexdigest()))
    monkeypatch.setenv("QRGMM_DATA", str(tmp_path))
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


def test_windows_line_ends_make_no_difference(folder):
    expected = load_big_mart()
    (folder / NAME).write_bytes(TEXT.replace("\n", "\r\n").encode())
    pd.testing.assert_frame_equal(load_big_mart(), expected)


@pytest.mark.parametrize(
    "text", [TEXT.replace("443.4", "443.5"), TEXT[:-40], TEXT + "\n", "", "<html>404</html>"],
    ids=["altered", "truncated", "longer", "empty", "a web page"],
)  # fmt: skip
@pytest.mark.parametrize("stand_in", [False, True])
def test_a_file_that_is_not_the_recorded_one_is_refused(folder, text, stand_in):
    (folder / NAME).write_bytes(text.encode())
    message = f"{NAME} is not the file that the book was written on: its SHA-256 .* is .*, expected .* delete it"
    with pytest.raises(ValueError, match=message):
        load_big_mart(stand_in=stand_in)
    assert (folder / NAME).read_bytes() == text.encode()


@pytest.mark.parametrize("place", ["missing", NAME])
def test_an_environment_variable_that_names_no_folder_is_refused(folder, monkeypatch, place):
    monkeypatch.setenv("QRGMM_DATA", str(folder / place))
    with pytest.raises(FileNotFoundError, match=f"QRGMM_DATA must name a folder, got .*{place}"):
        load_big_mart()


def test_the_raw_folder_is_searched_where_no_variable_is_set_or_its_folder_lacks_the_file(folder, monkeypatch):
    datasets.RAW_FOLDER.mkdir()
    (folder / NAME).rename(datasets.RAW_FOLDER / NAME)
    assert len(load_big_mart()) == 6
    monkeypatch.delenv("QRGMM_DATA")
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
    assert datasets.locate(NAME) == datasets.RAW_FOLDER / NAME
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


def test_the_real_file_has_its_recorded_rows():
    try:
        sales = load_big_mart()
    except OSError as error:
        pytest.skip(f"Big Mart is not here: {error}")
    assert sales.shape == (8523, 12) and not sales.isna().any(axis=None)
    assert sales["Item_Identifier"].nunique() == 1559 and sales["Outlet_Identifier"].nunique() == 10
    assert sales["Item_Outlet_Sales"].mean() == pytest.approx(2181.289, abs=5e-4)
    assert set(sales["Item_Fat_Content"]) == {"Low Fat", "Regular"}
    assert (sales["Item_Visibility"] > 0).all()
