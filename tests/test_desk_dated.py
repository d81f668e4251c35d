"""The desk on histories with dates, with other models, and what its pages say."""

import hashlib
import html
import re
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from qrgmm import desk
from qrgmm.backtest import compare_promises, split_vintages
from qrgmm.datasets.panel import seller_panel
from qrgmm.desk import dated
from qrgmm.desk.card import NOT_FOR, Provenance, hash_model
from qrgmm.desk.inputs import DESK_LEVELS, make_model
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.two_part import TwoPart
from qrgmm.recalibration import recalibrated_level, shifted_level, vintage_levels
from qrgmm.risk import largest_loan
from qrgmm.simulators.marketplace import Marketplace

FIELDS = ["log_revenue", "days_since_sale"]


@pytest.fixture(scope="module")
def items():
    return Marketplace(160).draw(rng=1)[["seller", "date", "price"]]


@pytest.fixture(scope="module")
def panel(items):
    panel = desk.panel_for_decision(items, "60D", "2018-03-01")
    panel.attrs["covariates"] = FIELDS
    return panel


@pytest.fixture(scope="module")
def law():
    return TwoPart(QRGMM(np.arange(1, 20) / 20))


# In time.


def test_the_panel_of_a_decision_knows_nothing_later(items, panel):
    whole = desk.panel_for_decision(items, "60D", "2018-03-01")
    assert not set(dated.CLOCKS) & set(whole.attrs["covariates"])
    assert whole["origin"].max() == pd.Timestamp("2018-03-01") and whole["origin"].dt.day.eq(1).all()
    usual = seller_panel(items[items["date"] < "2018-03-01"], whole["origin"].unique(), "60D", until="2018-03-01")
    pd.testing.assert_frame_equal(whole, usual)
    cut = desk.panel_for_decision(items[items["date"] < "2018-03-01"], "60D")
    pd.testing.assert_frame_equal(whole, cut)
    middle = desk.panel_for_decision(items, "60D", "2018-03-15")["origin"]
    assert middle.max() == pd.Timestamp("2018-03-15") and middle.nunique() == whole["origin"].nunique() + 1


@pytest.mark.parametrize("origin", ["2017-03-01", "2019-01-01"])
def test_a_day_without_history_is_refused(items, origin):
    with pytest.raises(ValueError, match=f"origin must lie from .* got {origin}"):
        desk.panel_for_decision(items, "60D", origin)


def test_levels_of_vintages_by_hand():
    rng = np.random.default_rng(0)
    outcomes = [rng.uniform(size=n) ** 1.2 for n in (50, 60, 70)]
    known, scores = [[], [], [0], [0, 1]], np.array([0.1, -0.2, -0.3, 0.05])
    found = vintage_levels(outcomes, known, 0.2, scores)
    pooled = [0.2, 0.2, recalibrated_level(outcomes[0], 0.2), recalibrated_level(np.r_[outcomes[0], outcomes[1]], 0.2)]
    np.testing.assert_allclose(found, shifted_level(pooled, scores))
    with pytest.raises(ValueError, match=r"known must name earlier vintages only, got \[1\] at 1"):
        vintage_levels(outcomes, [[], [1]], 0.2)
    with pytest.raises(ValueError, match="promise must lie in"):
        vintage_levels(outcomes, [[]], 1.2)


def test_a_promise_in_time_is_that_of_loans_vintage_by_vintage(items, panel, law):
    found = desk.promise_in_time(law, panel, items, 0.2, "60D", rng=0)
    vintages = split_vintages(panel["origin"], "60D")
    vintages = [v for v in vintages if len(v.train) >= 30]
    assert found.vintages.index.isin([v.origin for v in vintages]).all() and len(found.vintages) >= 3
    hits, sellers = [], []
    for vintage in vintages:
        if vintage.origin not in found.vintages.index:
            continue
        train, rows = panel.iloc[vintage.train], panel.iloc[vintage.test]
        curve = TwoPart(QRGMM(np.arange(1, 20) / 20)).fit(train[FIELDS], train["ratio"]).predict_curve(rows[FIELDS])
        for kind, level in (("plug-in", 0.2), ("cautious", found.vintages.loc[vintage.origin, "cautious level"])):
            loans = largest_loan(curve, max_default_probability=level)
            defaulted = (rows["ratio"] < loans)[loans > 0]
            assert found.vintages.loc[vintage.origin, f"{kind} n"] == len(defaulted)
            assert found.vintages.loc[vintage.origin, f"{kind} observed"] == pytest.approx(defaulted.mean())
            if kind == "plug-in":
                hits.append(defaulted)
                sellers.append(rows.loc[defaulted.index, ["seller", "origin"]])
    seen = compare_promises(0.2, pd.concat(hits), clusters=pd.concat(sellers)).iloc[0]
    assert found.kept.loc["plug-in", "observed"] == pytest.approx(seen["observed"])
    assert found.kept.loc["plug-in", "error"] == pytest.approx(seen["error"])
    assert (found.vintages["cautious level"] <= 0.2).all() and found.level <= 0.2


def test_a_level_learns_only_from_what_was_known(items, panel, law):
    """Whatever happens after an origin, the level of its vintage stays what it was."""
    found = desk.promise_in_time(law, panel, items, 0.2, "60D", rng=0)
    origin = found.vintages.index[1]
    early = desk.panel_for_decision(items, "60D", origin)
    early.attrs["covariates"] = FIELDS
    again = desk.promise_in_time(law, early, items[items["date"] < origin], 0.2, "60D", rng=0)
    # The place of an outcome within an atom is drawn anew.
    assert again.level == pytest.approx(found.vintages.loc[origin, "cautious level"], abs=0.05)
    assert list(again.vintages.index) == list(found.vintages.index[: len(again.vintages)])


def test_a_short_history_is_judged_on_sellers_left_out(items, law):
    panel = desk.panel_for_decision(items, "60D", "2017-06-01")
    panel.attrs["covariates"] = FIELDS
    found = desk.promise_in_time(law, panel, items, 0.2, "60D", rng=0)
    assert found.vintages is None and "each in the forecast of one of 10 refits" in found.basis
    assert found.kept.loc["plug-in", "n"] > 0


# The command.


@pytest.fixture
def sold(items, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    items.to_csv("sales.csv", index=False)
    recent = items[items["date"].between("2018-05-02", "2018-06-30")]["seller"].value_counts()
    (tmp_path / "names.csv").write_text("seller\n" + "\n".join([*recent.index[:3], "Zoe"]) + "\n", encoding="utf-8")
    options = "--date date --seller seller --amount price --horizon 60D --origin 2018-07-01 --refits 0"
    return ["names.csv", "--history", "sales.csv", *options.split()], list(recent.index[:3])


def test_single_sales_become_loans_in_currency(sold, items, capsys, tmp_path):
    files, names = sold
    desk.main([*files, "--max-default-probability", "0.2", "--parquet", "--currency", "EUR"])
    table = pd.read_csv("desk/decisions.csv", index_col="seller")
    panel = desk.panel_for_decision(items, "60D", "2018-07-01")
    train, rows = panel[panel["complete"]], panel[panel["origin"] == "2018-07-01"].set_index("seller").loc[names]
    columns = panel.attrs["covariates"]
    law = make_model("two-part").fit(train[columns], train["ratio"]).predict_curve(rows[columns])
    exact = largest_loan(law, max_default_probability=0.2, unit_revenue=rows["revenue"])
    np.testing.assert_allclose(table.loc[names, "loan"], exact, rtol=1e-5)
    assert (table.loc[names, "amount"] <= table.loc[names, "loan"] + 1e-6).all()
    assert table.loc["Zoe", "amount"] == 0 and table.loc["Zoe", "warnings"] == "no history: no sale in sales.csv"
    assert "warning: Zoe: no history" in capsys.readouterr().out
    memo = (tmp_path / "desk" / "memo.html").read_text(encoding="utf-8")
    assert "past vintages" in memo and "2018-03-01" in memo and "1 more who asked, no loan" in memo
    same = pd.read_parquet("desk/decisions.parquet")
    np.testing.assert_allclose(same["amount"], table["amount"])


def test_units_change_prices_and_not_revenue(sold, items, tmp_path):
    files, names = sold
    options = [*files, "--folds", "0"]
    desk.main(options)
    one, card = pd.read_csv("desk/decisions.csv"), (tmp_path / "desk" / "model_card.html").read_text(encoding="utf-8")
    items.assign(units=1).to_csv("sales.csv", index=False)
    desk.main([*options, "--quantity", "units"])
    pd.testing.assert_frame_equal(pd.read_csv("desk/decisions.csv"), one)
    # A sale of three units brings what it brings, at a third of it each.
    items.assign(units=3).to_csv("sales.csv", index=False)
    desk.main([*options, "--quantity", "units"])
    again = (tmp_path / "desk" / "model_card.html").read_text(encoding="utf-8")
    most = [float(re.findall("<td>([^<]*)</td>", text[text.index("log_price") :])[4]) for text in (card, again)]
    assert most[1] == pytest.approx(most[0] - np.log(3), abs=0.2)
    (tmp_path / "sales.csv").write_text("seller,date,price,units\na,2018-01-01,3,0\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        desk.main([*options, "--quantity", "units"])


@pytest.mark.parametrize(
    "change, message",
    [
        ("--origin 2030-01-01", "origin must lie from"),
        ("--target units", "--target does not go with --date"),
        ("--amount cost", r"sales.csv has no columns \['cost'\]"),
        ("--date seller --seller price --amount date", "column 'seller' must hold|column 'date' must hold"),
        ("--quantity price", r"named once, got \['price'\] more than once"),
        ("--name shop", r"names.csv has no columns \['shop'\]"),
        ("--memos Bob", r"--memos must name sellers .* got \['Bob'\]"),
        ("--max-share town=0.5", r"has no columns \['town'\]|got one column"),
        ("--reach ads", r"--reach must name covariates, .* got \['ads'\]"),
    ],
)
def test_a_dated_history_is_refused_in_one_line(sold, change, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(TwoPart, "fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(SystemExit) as stopped:
        desk.main([*sold[0], *change.split()])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and re.search(message, error) and error.count("\n") == 1
    assert not (tmp_path / "desk").exists()


def test_nobody_with_a_history_is_refused(sold, tmp_path, capsys):
    (tmp_path / "names.csv").write_text("seller\nZoe\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        desk.main(sold[0])
    assert "names.csv must name sellers with a history, got ['Zoe']" in capsys.readouterr().err
    for missing in ("--seller", "--amount"):
        options = list(sold[0])
        at = options.index(missing)
        with pytest.raises(SystemExit):
            desk.main(options[:at] + options[at + 2 :])
        assert f"--date needs {missing}" in capsys.readouterr().err


# Models.


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kind": rng.choice(["kiosk", "shop"], 300), "price": rng.uniform(5, 15, 300).round(2)})
    sales = np.where(X["kind"] == "shop", 120.0, 40.0) - 2 * X["price"] + rng.gamma(6, 5, 300)
    X.assign(units=sales, shop=np.arange(300) // 3).to_csv("history.csv", index=False)
    new = pd.DataFrame({"name": ["Ada", "<Ben>"], "kind": ["shop", "kiosk"], "price": [8.0, 9.0]})
    new.to_csv("sellers.csv", index=False)
    options = ["--history", "history.csv", "--target", "units", "--name", "name", "--refits", "0", "--seller", "shop"]
    return ["sellers.csv", *options], X, sales, new


def test_a_saved_model_is_used_as_it_is_and_refitted_for_its_promise(files):
    options, X, sales, new = files
    kept = QRGMM(DESK_LEVELS, FieldEncoder()).fit(X, sales * 0.9)
    kept.save("model.safetensors")
    desk.main([*options, "--model", "model.safetensors"])
    table = pd.read_csv("desk/decisions.csv")
    exact = largest_loan(kept.predict_curve(new), max_default_probability=0.05)
    np.testing.assert_allclose(table["loan"], exact, atol=1e-5)
    groups = (np.arange(300) // 3).astype(str)  # as a file has them
    rng = np.random.default_rng(0).spawn(1)[0]
    fresh = QRGMM(DESK_LEVELS, FieldEncoder(["kind"], ["price"]))
    promise = desk.promise_left_out(fresh, X, sales, 0.05, groups=groups, rng=rng)
    exact = desk.cautious_loans(kept.predict_curve(new), promise.level, max_default_probability=0.05)
    np.testing.assert_allclose(table["amount"], exact, atol=1e-5)
    with open("desk/memo.html", encoding="utf-8") as file:
        assert hash_model(kept) in file.read()


@pytest.mark.parametrize(
    "change, message",
    [
        ("--model history.csv", "--model must be a file that QRGMM.save or DeepFMQRGMM.save wrote"),
        ("--model array.safetensors", "after a fit to a table"),
        ("--model model.safetensors --unseen other", "--unseen is decided by the saved model"),
        ("--model model.safetensors --categorical kind", "--categorical is decided by the saved model"),
        ("--model other.safetensors", r"history.csv has no columns \['cost'\]"),
    ],
)
def test_models_that_cannot_be_used_are_refused(files, change, message, capsys):
    options, X, sales, _ = files
    QRGMM(DESK_LEVELS, FieldEncoder()).fit(X, sales).save("model.safetensors")
    QRGMM(DESK_LEVELS).fit(X[["price"]].to_numpy(), sales).save("array.safetensors")
    QRGMM(DESK_LEVELS, FieldEncoder()).fit(X.rename(columns={"price": "cost"}), sales).save("other.safetensors")
    with pytest.raises(SystemExit):
        desk.main([*options, *change.split()])
    assert re.search(message, capsys.readouterr().err)


def test_a_saved_network_can_be_refitted(files):
    _, X, sales, _ = files
    network = DeepFMQRGMM(levels=[0.02, 0.1, 0.5], n_members=2, kinds="stiff", encoder=FieldEncoder())
    network.fit(X, sales).save("network")
    model = make_model("network", seed=3)
    copy = clone(model)
    assert copy.levels.tolist() == [0.02, 0.1, 0.5] and copy.random_state == 3 and copy.n_members == 2
    assert copy.encoder.categorical == ["kind"] and hash_model(model) == hash_model(DeepFMQRGMM.load("network"))


@pytest.mark.parametrize("kind", ["qrgmm", "two-part", "deepfm"])
def test_every_kind_goes_on_below_its_grid(kind):
    model = make_model(kind, 0.004, "other", seed=7)
    levels = model.model.levels if kind == "two-part" else model.levels
    assert {0.001, 0.002, 0.004} <= set(levels) and model.encoder.unseen == "other"


def test_a_kind_that_needs_an_extra_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "qrgmm.models.deepfm", None)
    with pytest.raises(ValueError, match="--model two-part needs the extra 'models' of the package"):
        make_model("two-part")
    assert isinstance(make_model("qrgmm"), QRGMM)


# Pages.


def read_rows(text):
    """Cells of the first table of a page, by the name of their row."""
    rows = re.findall(r"<th>([^<]*)</th>\s*<td>([^<]*)</td>", text.split("</table>")[0])
    return {html.unescape(name): html.unescape(cell) for name, cell in rows}


def test_the_first_page_says_who_decided_on_what(files, tmp_path):
    options, *_ = files
    desk.main([*options, "--today", "2026-02-03", "--officer", "<A> Smith", "--currency", "EUR", "--horizon", "90D",
               "--conditions", "Pledge of stock", "--max-share", "kind=0.6", "--reach", "price"])  # fmt: skip
    table = pd.read_csv("desk/decisions.csv")
    pages = {name: (tmp_path / "desk" / name).read_text(encoding="utf-8") for name in ("memo.html", "model_card.html")}
    rows = read_rows(pages["memo.html"])
    digest = hashlib.sha256((tmp_path / "history.csv").read_bytes()).hexdigest()[:12]
    assert rows["Date"] == "2026-02-03" and rows["Prepared by"] == "<A> Smith" and rows["Currency"] == "EUR"
    assert rows["Data"] == f"history.csv (SHA-256 {digest})" and rows["Past sales"] == "300 of 100 sellers; in units"
    assert rows["Cautious amounts, in all"] == f"{table['amount'].sum():,.0f} EUR to 2 sellers"
    assert rows["By the forecast alone"] == f"{table['loan'].sum():,.0f} EUR"
    assert rows["Lost in the worst 5 % of cases"].startswith(f"{table['cvar_part'].sum():,.0f} EUR (")
    parts, share = table["cvar_part"], table["cvar_part"].sum() / table["amount"].sum()
    assert f"({share:.1%} of all)" in rows["Lost in the worst 5 % of cases"]
    assert f"{parts.max() / parts.sum():.0%}" in rows["Most of that"].split(",")[0]
    assert rows["Expected loss"] == f"{table['loss_at_amount'].sum():,.0f} EUR"
    assert rows["Before limits on shares"] == f"{table['cautious_loan'].sum():,.0f} EUR"
    assert "kind 60%" in rows["Limits"]
    assert rows["Promise out of sample"].startswith("5% promised; by the forecast alone")
    assert rows["Outside the history's range"] == "0 of 2 sellers" and rows["Horizon"] == "90 days"
    shop = table["amount"].iloc[0] / table["amount"].sum()
    assert shop == pytest.approx(0.6) and "Limits on concentration scale it to" in pages["memo.html"]
    assert "<li>Pledge of stock</li>" in pages["memo.html"] and "Approved: date and signature" in pages["memo.html"]
    assert "With price " in pages["memo.html"] and "the model would lend" in pages["memo.html"]
    card = pages["model_card.html"]
    assert digest in card and "kiosk, shop" in card and all(text in card for text in NOT_FOR)
    for text in pages.values():
        assert not re.search(r"(?:src|href)=|https?://|<A>|<Ben>", text.replace("xmlns", ""))
    index = (tmp_path / "desk" / "index.html").read_text(encoding="utf-8")
    links = re.findall('href="(.*?)"', index)
    assert set(links[:3]) == {"decisions.csv", "memo.html", "model_card.html"}
    assert links[3:] == ["memo.html#seller-1", "memo.html#seller-2"] and 'id="seller-2"' in pages["memo.html"]


def test_a_page_without_a_promise_says_so(files):
    options, X, sales, new = files
    model = QRGMM(DESK_LEVELS, FieldEncoder()).fit(X, sales)
    limits = {"max_default_probability": 0.05}
    found = desk.decide(model, X, sales, new, limits, names=["A", "B"], n_refits=0, n_folds=0, rng=0)
    desk.write_memo(found, "memo.html", provenance=Provenance(today="2026-02-03"))
    with open("memo.html", encoding="utf-8") as file:
        rows = read_rows(file.read())
    assert rows["Promise out of sample"] == "not looked at" and rows["Prepared by"] == "not stated"
    assert rows["Amounts, in all"] == f"{found.table['loan'].sum():,.0f} to 2 sellers"


def test_too_few_rows_lend_nothing_and_say_so(files, capsys):
    options, *_ = files
    pd.read_csv("history.csv").head(15).assign(shop=range(15)).to_csv("history.csv", index=False)
    desk.main(options)
    table = pd.read_csv("desk/decisions.csv")
    assert (table["amount"] == 0).all() and (table["loan"] > 0).all()
    assert "15 past sales of 15 sellers are too few to promise 5%, which takes at least 19" in capsys.readouterr().out
    with open("desk/memo.html", encoding="utf-8") as file:
        assert file.read().count("No amount keeps the promise.") == 2


def test_a_table_for_programs_needs_its_package(files, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyarrow" else sys.modules[name])
    with pytest.raises(SystemExit):
        desk.main([*files[0], "--parquet"])
    assert "--parquet needs the package pyarrow" in capsys.readouterr().err


def test_a_seller_column_is_no_covariate(files, capsys):
    options, *_ = files
    desk.main([*options, "--folds", "0"])
    with open("desk/model_card.html", encoding="utf-8") as file:
        card = file.read()
    assert "<th>price</th>" in card and "<th>shop</th>" not in card
    with pytest.raises(SystemExit):
        desk.main([*options[:-1], "town"])
    assert "has no columns ['town']" in capsys.readouterr().err
