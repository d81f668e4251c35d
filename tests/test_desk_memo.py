"""What a credit committee reads: the words of the memo, sums that add up, dates, and the pages in a browser.

The last part needs a Chromium; where there is none, its tests say so and are skipped.
"""

import asyncio
import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import BROWSER, look, press
from scipy import stats

from qrgmm import desk
from qrgmm.backtest import clustered_error
from qrgmm.desk.promise import share_interval
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.risk import largest_loan

PAGES = ["memo.html", "model_card.html", "index.html", "vintage_report.html"]
LEVELS = np.r_[1:10, 10:100:10] / 100


@pytest.fixture(scope="module")
def past():
    rng = np.random.default_rng(7)
    X = pd.DataFrame({"kind": rng.choice(["kiosk", "shop"], 400), "price": rng.uniform(1, 10, 400).round(2)})
    X["returns"] = rng.uniform(0, 0.3, 400).round(3)
    mean = (70 - 6 * X["price"]) * (1 + 0.3 * (X["kind"] == "shop")) * (1 - X["returns"])
    return X, (mean * rng.uniform(0, 1.2, 400)).clip(0).round(3)


@pytest.fixture(scope="module")
def folder(past, tmp_path_factory):
    """Everything that the command and its report write, with every option that a page shows."""
    folder, (X, sales) = tmp_path_factory.mktemp("desk"), past
    days = pd.date_range("2024-01-01", periods=400).strftime("%Y-%m-%d")
    history = X.assign(units=sales, shop_id=[f"P{i % 90}" for i in range(400)], day=days)
    history.to_csv(folder / "history.csv", index=False)
    history.to_parquet(folder / "history.parquet")
    new = pd.DataFrame(
        {"seller": ["Ada", "Dee & <Sons>", "Ben"], "kind": ["shop", "kiosk", "kiosk"], "price": [2.0, 9.9, 4.0],
         "returns": [0.05, 0.1, 0.2], "late_probability": [0.1, 0.2, 0.7]}
    )  # fmt: skip
    new.to_csv(folder / "sellers.csv", index=False)
    new.to_parquet(folder / "sellers.parquet")
    run(folder, "history.csv", "sellers.csv", folder / "out")
    outcomes = pd.DataFrame({"seller": new["seller"], "revenue": [100.0, 3.0, 90.0]})
    outcomes.to_csv(folder / "outcomes.csv", index=False)
    desk.monitor([str(folder / "out" / "decisions.csv"), str(folder / "outcomes.csv"), "--output", str(folder / "out")])
    return folder


def run(folder, history, sellers, output):
    options = "--target units --unit-revenue price --name seller --seller shop_id --day day --refits 4 --folds 4"
    options += " --reach returns=down price=up kind --max-late-probability 0.5 --max-share kind=0.7 --cap 500"
    options += " --today 2025-03-01 --officer A.Reader --currency EUR --horizon 90D --conditions Pledge"
    desk.main([str(folder / sellers), "--history", str(folder / history), *options.split(), "--output", str(output)])


@pytest.fixture(scope="module")
def pages(folder):
    return {name: (folder / "out" / name).read_text(encoding="utf-8") for name in PAGES}


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "out" / "decisions.csv", index_col="seller")


def read_words(page):
    """What a reader sees of a page, and hears of its drawings."""
    spoken = " ".join(re.findall(r'aria-label="([^"]*)"', page))
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return html.unescape(re.sub(r"<[^>]*>", " ", text)) + spoken


def read_sections(page):
    sections = re.findall(r'<section id="seller-.*?</section>', page, re.S)
    return {re.search("<h2>(.*?)</h2>", section)[1]: section for section in sections}


# Words.


@pytest.mark.parametrize("name", PAGES)
def test_no_page_for_a_committee_speaks_of_laws(pages, name):
    assert re.findall(r".{20}\blaws?\b.{20}", read_words(pages[name]), re.I) == []


def test_every_number_says_what_it_rests_on_and_from_when(pages):
    words = " ".join(read_words(pages["memo.html"]).split())
    assert "Forecasts, amounts, what they are made of 400 past sales of 90 sellers; 2024-01-01 to 2025-02-03" in words
    assert "Applicants sellers.csv; 2025-03-01" in words and "Range of refits 4 refits to the same past sales" in words
    basis = "400 past sales of 90 sellers, each in the forecast of one of 4 refits that have not seen it"
    assert f"The promise, and cautious amounts {basis}; 2024-01-01 to 2025-02-03" in words
    card = " ".join(read_words(pages["model_card.html"]).split())
    assert "Dates of past sales 2024-01-01 to 2025-02-03" in card and f"Promise measured on {basis}" in card


def test_what_was_seen_of_the_promise_has_an_interval_in_words(pages):
    words = " ".join(read_words(pages["memo.html"]).split())
    seen = r"of loans sized at 5%, ([\d.]+)% \(s.e. ([\d.]+)%, ([\d,]+) loans: "
    found = re.search(seen + r"the true share may lie between ([\d.]+)% and ([\d.]+)%\) would have defaulted", words)
    share, error, n, low, high = (float(each.replace(",", "")) for each in found.groups())
    assert low < share < high
    expected = share_interval(n, share / 100, error / 100)
    np.testing.assert_allclose([low, high], 100 * np.array(expected), rtol=0.05)
    assert f"{low:g}% to {high:g}%" in read_words(pages["model_card.html"])


def test_the_interval_of_a_share_is_that_of_clopper_and_pearson_where_loans_are_independent():
    for hits, n in ((0, 50), (3, 50), (50, 50), (12, 248)):
        share = hits / n
        exact = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        found = share_interval(n, share, np.sqrt(share * (1 - share) / n))
        np.testing.assert_allclose(found, [exact.low, exact.high], atol=1e-12)
    assert np.isnan(share_interval(0, np.nan, np.nan)).all()


def test_the_interval_of_clustered_loans_covers_their_share():
    """Ten loans of a seller default together more often than ten loans of ten sellers."""
    rng, inside, naive = np.random.default_rng(3), [], []
    for _ in range(400):
        own = rng.beta(0.5, 4.5, size=(60, 1))  # mean 0.1
        hits, sellers = rng.uniform(size=(60, 10)) < own, np.repeat(np.arange(60), 10)
        share = hits.mean()
        low, high = share_interval(600, share, clustered_error(hits.ravel(), sellers)[0])
        inside.append(low <= 0.1 <= high)
        low, high = share_interval(600, share, np.sqrt(share * (1 - share) / 600))
        naive.append(low <= 0.1 <= high)
    assert np.mean(inside) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400) and np.mean(naive) < 0.9


# What an amount is made of.


def test_reasons_add_up_from_the_reference_seller_to_what_is_lent(pages, table, past):
    sections = read_sections(pages["memo.html"])
    assert list(sections) == ["Ada", "Dee &amp; &lt;Sons&gt;", "Ben"]
    X, sales = past
    model = QRGMM(desk.inputs.DESK_LEVELS, FieldEncoder()).fit(X, sales)
    reference = pd.DataFrame([desk.reference_values(X, model)])
    start = largest_loan(model.predict_curve(reference).clip(lower=0.0), max_default_probability=0.05, cap=500.0,
                         unit_revenue=reference["price"].to_numpy()).item()  # fmt: skip
    for name, section in sections.items():
        lines = re.search(r'class="dataframe sum".*?</table>', section, re.S)[0]
        cells = re.findall(r"<th>([^<]*)</th>\s*<td>([^<]*)</td>", lines)
        amounts = {line: int(amount.replace(",", "")) for line, amount in cells}
        alone, lent = amounts.pop("by the forecast alone"), amounts.pop("lent")
        cuts = [amounts.pop(line) for line in ("caution, so that the promise is kept",
                                               "limits on shares of all that is lent")]  # fmt: skip
        assert len(amounts) == 5 and amounts["the reference seller would have"] == round(start)
        row = table.loc[html.unescape(name)]
        assert sum(amounts.values()) == alone == round(row["loan"])
        assert alone + sum(cuts) == lent == round(row["amount"])
        assert "and are no advice" in section


def test_a_change_goes_the_way_that_makes_sense():
    X = pd.DataFrame({"ads": np.linspace(0, 10, 101), "returns": np.linspace(0, 1, 101)})
    new = pd.DataFrame({"ads": [5.0, 5.0], "returns": [0.5, 0.5]})

    def size(rows, which):
        return 100 + 20 * rows["ads"].to_numpy() + 300 * rows["returns"].to_numpy()

    found = desk.least_changes(None, new, X, {"ads": "up", "returns": "down"}, size)
    either = desk.least_changes(None, new, X, ["ads", "returns"], size)
    np.testing.assert_allclose(found["reach_ads"], either["reach_ads"])
    assert not found["reach_ads_against"].any() and "reach_ads_against" not in either
    # More returns would raise the loan: the model may say so, but nobody is told to.
    assert found["reach_returns"].isna().all() and found["reach_returns_against"].all()
    assert (either["reach_returns"] > 0.5).all()
    fewer = desk.least_changes(None, new, X, {"ads": "down"}, lambda rows, _: 50 - 4 * rows["ads"].to_numpy())
    np.testing.assert_allclose(fewer["reach_ads"], 4.25)  # from 30 to 33


def test_a_change_is_no_advice_and_one_against_common_sense_is_marked(tmp_path):
    rng = np.random.default_rng(2)
    X = pd.DataFrame({"kind": rng.choice(["kiosk", "shop"], 300), "returns": rng.uniform(0, 0.3, 300)})
    sales = 50 + 60 * (X["kind"] == "shop") + 200 * X["returns"] + rng.gamma(5, 2, 300)
    model = QRGMM(LEVELS, FieldEncoder()).fit(X, sales)
    new = pd.DataFrame({"kind": ["kiosk"], "returns": [0.15]}, ["Ada"])
    reach = {"kind": "either", "returns": "down"}
    found = desk.decide(model, X, sales, new, {"max_default_probability": 0.05}, n_refits=0, n_folds=0, reach=reach)
    desk.write_memo(found, tmp_path / "memo.html")
    words = " ".join(read_words((tmp_path / "memo.html").read_text(encoding="utf-8")).split())
    loan = found.table["reach_kind_loan"].iloc[0]
    said = f"With kind shop (now kiosk), all else as it is, the model would lend {loan:,.0f}. Few sellers can choose"
    assert f"What the model reads, not advice {said} another kind" in words
    against = "A higher one would, against what is expected: do not rely on returns here."
    assert f"No usual lower returns alone would raise what it lends by a tenth. {against}" in words


@pytest.mark.parametrize("reach", [{"kind": "up"}, {"price": "sideways"}])
def test_a_way_that_is_none_is_refused(past, reach):
    sellers = past[0].head(2)
    with pytest.raises(ValueError, match="reach must say which way a column may change"):
        desk.least_changes(None, sellers, past[0], reach, lambda rows, _: np.ones(len(rows)))


def test_sellers_with_fitted_sales_below_zero_are_named(pages, table):
    words, sections = read_words(pages["memo.html"]), read_sections(pages["memo.html"])
    floored = table["floored"][table["floored"] > 0]
    assert floored.index.tolist() == ["Dee & <Sons>"]
    assert f"{floored.sum()} quantiles of 1 of 3 sellers (Dee & <Sons> {floored.sum()})" in words
    for name, section in sections.items():
        said = re.search(r"Of the quantiles fitted for it, (\d+) lie below 0", section)
        assert (int(said[1]) if said else 0) == table.loc[html.unescape(name), "floored"]


def test_charts_say_what_they_draw(pages, past, tmp_path):
    charts = re.findall(r'<figcaption>(.*?)</figcaption><svg class="chart"[^>]* aria-label="([^"]*)"(.*?)</svg>',
                        pages["memo.html"], re.S)  # fmt: skip
    assert len(charts) == 6
    for caption, spoken, drawn in charts:
        shaded = "shaded, nine of ten of 4 refits to redrawn past sales"
        assert shaded in caption and shaded in spoken and 'class="band"' in drawn
        assert ("dashed, the amount lent" in caption) == ('class="mark"' in drawn)
    X, sales = past
    model = QRGMM(LEVELS, FieldEncoder()).fit(X, sales)
    found = desk.decide(model, X, sales, X.head(1), {"cap": 9.0}, n_refits=0, n_folds=0)
    desk.write_memo(found, tmp_path / "memo.html")
    page = (tmp_path / "memo.html").read_text(encoding="utf-8")
    assert "shaded" not in page and "Line, the forecast" in page


# Many sellers.


def test_refits_are_kept_of_those_who_are_drawn_only(past):
    X, sales = past
    model, new = QRGMM(LEVELS, FieldEncoder()).fit(X, sales), X.head(30).set_axis([f"S{i}" for i in range(30)])
    options = {"n_refits": 3, "n_folds": 0, "rng": 0}
    whole = desk.decide(model, X, sales, new, {"max_default_probability": 0.1}, "price", **options)
    few = desk.decide(model, X, sales, new, {"max_default_probability": 0.1}, "price", drawn=["S7", "S2"], **options)
    pd.testing.assert_frame_equal(few.table, whole.table)
    assert few.drawn.tolist() == [2, 7] and [len(refit) for refit in few.refits] == [2, 2, 2]
    for one, all_of_them in zip(few.refits, whole.refits):
        np.testing.assert_array_equal(one.values, all_of_them.values[[2, 7]])


def test_a_model_may_learn_from_some_sales_and_be_compared_with_all(past):
    X, sales = past
    rows = desk.inputs.draw_rows(X, 150, seed=1)
    model, groups = QRGMM(LEVELS, FieldEncoder()).fit(X.iloc[rows], sales[rows]), np.arange(400) % 90
    new, limits = X.head(5).set_axis(list("ABCDE")), {"max_default_probability": 0.1}
    options = {"n_refits": 3, "n_folds": 3, "n_comparable": 30, "rng": 0}
    found = desk.decide(model, X, sales, new, limits, "price", groups=groups, fitted=rows, **options)
    few = desk.decide(model, X.iloc[rows], sales[rows], new, limits, "price", groups=groups[rows], **options)
    same = ["cautious_loan", "loan_low", "loan_high"]
    pd.testing.assert_frame_equal(found.table[same], few.table[same])
    assert found.promise.basis.startswith("150 past sales of") and found.n_fitted == 150 and found.n_past == 400
    distances = desk.law_distances(found.curve, model.predict_curve(X).clip(lower=0.0))
    nearest = np.take_along_axis(distances, found.comparables, axis=1)
    np.testing.assert_allclose(nearest, np.sort(distances, axis=1)[:, :30], atol=1e-9)


def test_a_draw_of_rows_keeps_every_text():
    history = pd.DataFrame({"kind": ["a"] * 997 + ["b", "c", "d"], "price": 1.0})
    rows = desk.inputs.draw_rows(history, 50)
    assert 50 <= len(rows) <= 53 and (np.diff(rows) > 0).all() and set(history["kind"].iloc[rows]) == set("abcd")
    assert desk.inputs.draw_rows(history, 5_000).tolist() == list(range(1_000))


def test_the_memo_says_how_many_sales_the_model_has_seen(folder, tmp_path):
    files = [str(folder / "sellers.csv"), "--history", str(folder / "history.csv"), "--output", str(tmp_path)]
    options = "--target units --categorical kind --continuous price returns --unit-revenue price --name seller"
    desk.main([*files, *options.split(), "--refits", "0", "--folds", "3", "--fit-rows", "200"])
    words = " ".join(read_words((tmp_path / "memo.html").read_text(encoding="utf-8")).split())
    assert "400; in units, the model fitted to 200 of them drawn at random" in words
    assert "200 past sales, each in the forecast of one of 3 refits" in words


def test_parquet_files_are_read_as_csv_files_are(folder, table, tmp_path):
    run(folder, "history.parquet", "sellers.parquet", tmp_path)
    again = pd.read_csv(tmp_path / "decisions.csv", index_col="seller")
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"price": [2.0, np.nan, 3.0]}, "column 'price' must hold no empty cells, got nan in row 2"),
        ({"price": [2.0, 3.0, np.inf]}, "column 'price' must hold finite numbers, got inf in row 3"),
        ({"price": ["a", "b", "c"]}, "column 'price' must hold numbers, got"),
        ({"cost": [1.0, 2.0, 3.0], "price": None}, "it has no columns \\['price'\\]"),
    ],
)
def test_a_bad_parquet_file_is_refused_as_a_csv_file_is(folder, change, message, tmp_path, capsys):
    table = pd.read_parquet(folder / "sellers.parquet").assign(**change).dropna(axis=1, how="all")
    table.to_parquet(tmp_path / "sellers.parquet")
    with pytest.raises(SystemExit):
        run(folder, "history.parquet", tmp_path / "sellers.parquet", tmp_path / "out")
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_file_that_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "sales.parquet").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="sales.parquet: expected a Parquet file, but"):
        desk.tables.load_table(tmp_path / "sales.parquet", "a")


# In a browser.

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: the pages were not opened")
FOCUSABLE = """[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter(e => !e.disabled && e.getClientRects().length)"""
NAME = """(e => e && e !== document.body ? e.tagName + (e.dataset.control ?? e.getAttribute("href") ??
  [...document.querySelectorAll(e.tagName)].indexOf(e)) : null)"""
FOCUS = f"""(() => {{
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {{name: {NAME}(e), outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
          seen: box.bottom > 0 && box.top < innerHeight && box.width > 0}};
}})()"""
# Elements that stick out of the window, unless something around them scrolls.
TOO_WIDE = """[...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  let scrolls = false;
  for (let a = e.parentElement; a; a = a.parentElement) {
    scrolls ||= ["auto", "scroll"].includes(getComputedStyle(a).overflowX);
  }
  return box.width && box.right > innerWidth + 1 && !scrolls;
}).map(e => `${e.tagName}.${e.getAttribute("class")}`)"""
# Contrast by computed styles: of all text, of the lines of charts, and of their shaded bands.
CONTRAST = """(() => {
  const read = colour => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return {rgb: [r, g, b], a};
  };
  const over = (top, share, below) => top.map((c, i) => share * c + (1 - share) * below[i]);
  const light = rgb => rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = e => {
    for (let a = e; a; a = a.parentElement) {
      const {rgb, a: share} = read(getComputedStyle(a).backgroundColor);
      if (share > 0) return rgb;
    }
    return [NaN, NaN, NaN];
  };
  const against = (e, colour, share = 1) => {
    const {rgb, a} = read(colour), below = ground(e);
    return ratio(over(rgb, a * share, below), below);
  };
  const texts = [], words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const e = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || e.closest("script, style, noscript") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    texts.push(against(e, e.closest("svg") ? style.fill : style.color));
  }
  const lines = [...document.querySelectorAll(".chart path:not(.band, .axis), .desk-panel svg path:not(.chart-grid)")]
    .map(e => against(e, getComputedStyle(e).stroke));
  const bands = [...document.querySelectorAll(".chart .band")]
    .map(e => against(e, getComputedStyle(e).fill, Number(getComputedStyle(e).fillOpacity)));
  return {texts, lines, bands, dark: light(ground(document.body)) < 0.05};
})()"""


def open_page(page, visit):
    """Open a page in a tab, and return what a visit found there."""

    async def start(port, pages):
        tab = await look.connect(port)
        try:
            return await visit(tab, pages[0])
        finally:
            tab.socket.close()

    return asyncio.run(look.start_and_look(BROWSER, [Path(page)], start))


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_every_control_is_reached_by_keyboard_and_shows_that_it_is(folder, name):
    async def visit(tab, page):
        await tab.open(page, 1000, "light")
        wanted = await tab.evaluate(f"{FOCUSABLE}.map({NAME})")
        found = []
        for _ in range(len(wanted)):
            await press(tab, "Tab")
            found.append(await tab.evaluate(FOCUS))
        return wanted, found

    wanted, found = open_page(folder / "out" / name, visit)
    assert [each["name"] for each in found] == wanted and len(wanted) >= 2
    assert all(each["outlined"] and each["seen"] for each in found), found


@needs_browser
def test_a_link_of_the_index_leads_to_the_section_of_its_seller(folder):
    async def visit(tab, page):
        await tab.open(page, 1000, "light")
        await tab.evaluate("document.querySelector('a[href$=\"#seller-3\"]').focus()")
        tab.events = []
        await press(tab, "Enter")
        while not any(event["method"] == "Page.loadEventFired" for event in tab.events):
            await tab.evaluate("new Promise(resolve => setTimeout(resolve, 100))")
        return await tab.evaluate("document.querySelector(':target h2').textContent")

    assert open_page(folder / "out" / "index.html", visit) == "Ben"


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone(folder, name):
    async def visit(tab, page):
        found = await tab.open(page, 390, "light")
        return found, await tab.evaluate(TOO_WIDE), await tab.evaluate("scrollTo(999, 0), scrollX")

    found, sticking_out, moved = open_page(folder / "out" / name, visit)
    assert found["width"] <= found["window"] == 390 and sticking_out == [] and moved == 0


@needs_browser
@pytest.mark.parametrize("scheme", look.SCHEMES)
def test_text_and_charts_stand_out_from_their_ground(folder, scheme):
    async def visit(tab, page):
        await tab.open(page, 1000, scheme)
        return await tab.evaluate(CONTRAST)

    found = open_page(folder / "out" / "memo.html", visit)
    assert found["dark"] == (scheme == "dark")
    assert len(found["texts"]) > 100 and min(found["texts"]) >= 4.5
    assert len(found["lines"]) >= 10 and min(found["lines"]) >= 3
    assert len(found["bands"]) == 6 and min(found["bands"]) >= 1.3


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_pages_pass_the_checker_of_accessibility(folder, name):
    async def visit(tab, page):
        faults = []
        for width in look.WIDTHS:
            for scheme in look.SCHEMES:
                found = await tab.open(page, width, scheme)
                faults += look.find_faults(found | {"theme": scheme}, tab.events, width, scheme) + await tab.audit()
        return faults

    assert open_page(folder / "out" / name, visit) == []
