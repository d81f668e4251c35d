"""Figures that move: their scripts compute what the package computes, and a page without a script can be read.

The arithmetic runs in node and the pages in a Chromium; where one is missing, the test says so and is skipped.
"""

import asyncio
import itertools
import json
import re
import subprocess

import nbformat
import numpy as np
import pandas as pd
import pytest
from pages import BROWSER, NODE, ROOT, look, press, write_page
from scipy import stats

from qrgmm import moving
from qrgmm.curve import QuantileCurve, crossing_rate
from qrgmm.loss import pinball_loss
from qrgmm.page import SHARED, embed
from qrgmm.recalibration import recalibrated_level
from qrgmm.risk import default_probability, largest_loan, risk_profile

CHAPTERS = {
    "loan": "01_loss",
    "lookAlike": "02_theorem_1",
    "levels": "03_quantile_regression",
    "vintages": "16_keeping_the_promise",
}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
STILL = f'<figure id="{{still}}"><img alt="still" width="9" height="9" src="{PIXEL}"></figure>'
each_kind = pytest.mark.parametrize("kind", CHAPTERS)
needs_node = pytest.mark.skipif(NODE is None, reason="no node on this machine: the figures were not computed")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: the figures were not moved")


def read_outputs(kind):
    notebook = nbformat.read(ROOT / "notebooks" / f"{CHAPTERS[kind]}.ipynb", as_version=4)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])], notebook


def chapter_figure(kind):
    """The figure of a chapter as the chapter's own cell made it."""
    outputs, _ = read_outputs(kind)
    texts = [output.get("data", {}).get("text/html", "") for output in outputs]
    (text,) = [text for text in texts if f'data-moving="{kind}"' in text]
    return text


def read_data(text):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.S)[1])


def read_sliders(text):
    """{name: (lowest, highest, step, where it starts)} of a figure."""
    found = re.findall(r'data-control="(\w+)" min="(\S+)" max="(\S+)" step="(\S+)" value="(\S+)"', text)
    return {name: tuple(map(float, numbers)) for name, *numbers in found}


def make_states(text, rng, n=25):
    """Where sliders start, all their ends, and places between."""
    sliders = read_sliders(text)
    start = {name: value for name, (*_, value) in sliders.items()}
    ends = itertools.product(*[(low, high) for low, high, *_ in sliders.values()])
    places = [[low + step * rng.integers((high - low) / step + 1, size=n)] for low, high, step, _ in sliders.values()]
    some = np.concatenate(places).T.tolist()
    return [start, *(dict(zip(sliders, each)) for each in [*ends, *some])]


def make_law(values, below, up_to):
    """The law of the very numbers that a page carries."""
    law = QuantileCurve.__new__(QuantileCurve)
    below, up_to = np.array(below), np.array(up_to)
    law._set_law((below + up_to) / 2, np.array([values]), below, up_to, None)
    return law


# What the package says to the numbers of a page.


def expect_loan(data, state):
    law = make_law(data["values"], data["below"], data["up_to"])
    found = risk_profile(law, state["loan"], unit_revenue=data["unit_revenue"])
    found["root_squared_loss"] = np.sqrt(found.pop("squared_loss"))
    return {"loan": state["loan"]} | {name: value.item() for name, value in found.items()}


def expect_look_alike(data, state):
    share, allowed = state["part"] / 100, {"max_default_probability": state["limit"] / 100}
    truth, other = ({s: np.array(data[name][s]) for s in ("below", "up_to")} for name in ("truth", "model"))
    mixed = {side: (1 - share) * other[side] + share * truth[side] for side in truth}
    laws = [make_law(data["values"], **parts) for parts in (mixed, truth)]
    lent, right = (largest_loan(law, **allowed, unit_revenue=data["unit_revenue"]).item() for law in laws)
    promised, came = (default_probability(law, lent, unit_revenue=data["unit_revenue"]).item() for law in laws)
    both_sides = [(law.cdf(data["values"]), law.lower_partial_moment(data["values"], order=0)) for law in laws]
    gap = np.abs(np.subtract(*both_sides)).max()
    values = {"limit": state["limit"] / 100, "part": share, "lent": lent, "right": right, "promised": promised}
    assert came <= promised + gap + 1e-12, "the theorem"
    return values | {"default_probability": came, "gap": gap}


def expect_levels(data, state):
    lines, levels = np.array(data["coef"]), np.array(data["levels"])
    raw = lines[:, 0] + lines[:, 1] * state["spend"]
    ordered = QuantileCurve(levels, raw).values[0]
    one, other = int(state["first"]) - 1, int(state["second"]) - 1
    saved = (pinball_loss(7.0, raw, levels) - pinball_loss(7.0, ordered, levels)).mean()
    values = {"spend": state["spend"], "first": levels[one], "second": levels[other], "meeting": np.nan}
    values |= {"crossed": crossing_rate([raw]), "saved": saved}
    values["ordered"] = not np.diff(raw[sorted([one, other])])[0] < 0
    for name, quantiles in (("fitted", raw), ("sorted", ordered)):
        values |= {f"{name}_first": quantiles[one], f"{name}_second": quantiles[other]}
    (a, b), (c, d) = lines[one], lines[other]
    if b != d and data["x"][0] <= (meeting := np.linalg.solve([[b, -1], [d, -1]], [-a, -c])[0]) <= data["x"][1]:
        values["meeting"] = meeting
    return values


def expect_vintages(data, state):
    origins, day = np.array(data["origins"]), state["day"]
    known = [i for i in range(len(data["sizes"])) if origins[i] + data["horizon"] <= day]
    granted = (origins <= day).sum()
    # The outcomes that are not in the page lie above all that are.
    rest = [np.ones(data["sizes"][i] - len(data["outcomes"][i])) for i in known]
    outcomes = np.concatenate([[], *[np.array(data["outcomes"][i]) / data["unit"] for i in known], *rest])
    level = recalibrated_level(outcomes, data["promise"]) if known else data["promise"]
    values = {"day": day, "known": len(known), "running": granted - len(known), "level": level, "newest": granted - 1}
    values["seen_on"] = origins[granted - 1] + data["horizon"]
    for i, shares in enumerate(data["shares"].values()):
        values[f"recipe_{i}"] = shares[granted - 1] if granted <= len(shares) else np.nan
    return values


EXPECT = {"loan": expect_loan, "lookAlike": expect_look_alike, "levels": expect_levels, "vintages": expect_vintages}


def compare(kind, data, state, found):
    expected = EXPECT[kind](data, state)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        number = np.nan if found[name] in (None, "NaN") else float(found[name])
        np.testing.assert_allclose(number, value, rtol=1e-9, atol=1e-9, err_msg=f"{name} at {state}")


def compute(kind, data, states):
    """What the script makes of the states, without a page."""
    program = """
      const [kind, ...files] = process.argv.slice(1), figures = files.map(file => require(file)).pop();
      const {data, states} = JSON.parse(require("fs").readFileSync(0, "utf8"));
      console.log(JSON.stringify(states.map(state => figures[kind](data, state))));
    """
    scripts = [str(path) for path in [*SHARED, moving.SCRIPT] if path.suffix == ".js"]
    command = [NODE, "-e", program, kind, *scripts]
    given = json.dumps({"data": data, "states": states})
    run = subprocess.run(command, input=given, capture_output=True, encoding="utf-8", check=True)
    return json.loads(run.stdout)


@needs_node
@each_kind
def test_a_chapters_figure_says_what_the_package_says(kind):
    text = chapter_figure(kind)
    data, states = read_data(text), make_states(text, np.random.default_rng(3))
    answers = compute(kind, data, states)
    for state, answer in zip(states, answers, strict=True):
        compare(kind, data, state, {name: value for name, (value, _) in answer["values"].items()})
        assert len(answer["panels"]) == text.count("<svg") and len(answer["words"]) > 40
        assert not re.search("NaN|undefined|Infinity", "".join(answer["panels"]) + answer["words"]), state
        assert all(words and "NaN" not in words for _, words in answer["values"].values()), state
    assert len({json.dumps(answer["panels"]) for answer in answers}) > len(states) // 2, "it moves"


@needs_node
def test_the_clock_asks_for_the_level_that_the_chapter_lent_at():
    text = chapter_figure("vintages")
    data = read_data(text)
    answers = compute("vintages", data, [{"day": day} for day in data["origins"]])
    levels = [answer["values"]["level"][0] for answer in answers]
    np.testing.assert_allclose(levels, data["levels"]["all known"], atol=1e-12)


@needs_node
def test_a_law_of_atoms_and_ties_moves_as_well():
    """Of draws, with a loan that the sales on an atom pay exactly; and of one knot."""
    for law in (QuantileCurve.from_draws([0.0, 0.0, 3.0, 3.0, 8.0]), QuantileCurve([0.5], [7.0])):
        truth = {name: [np.nan, 1.0, 2.0, 3.0] for name in "abcd"}
        text = moving.loan_figure(law, [0.0, 9.0, 18.0, 27.0], truth, loan=9.0, unit_revenue=3.0, still="fig-a").text
        data, states = read_data(text), [{"loan": loan} for loan in (0.0, 9.0, 18.0, 20.9, 21.0, 27.0)]
        for state, answer in zip(states, compute("loan", data, states), strict=True):
            compare("loan", data, state, {name: value for name, (value, _) in answer["values"].items()})


# In a browser.

READ = """(() => {
  const root = document.querySelector("[data-moving]"), still = document.querySelector("figure img");
  return {
    outputs: Object.fromEntries([...root.querySelectorAll("output")].map(o => [o.dataset.output, o.dataset.value])),
    state: Object.fromEntries([...root.querySelectorAll("input")].map(i => [i.dataset.control, Number(i.value)])),
    spoken: [...root.querySelectorAll("input")].map(i => i.getAttribute("aria-valuetext")),
    focus: document.activeElement.dataset.control ?? null,
    place: root.parentElement.id, still: still.offsetWidth > 0,
    live: root.querySelector(".moving-live").offsetHeight > 100,
    drawn: [...root.querySelectorAll("svg")].map(svg => svg.innerHTML.length),
    words: root.querySelector("[role=status]").textContent,
  };
})()"""
KEYS = [("ArrowRight", 3), ("PageUp", 2), ("Home", 1), ("ArrowRight", 2), ("End", 1), ("ArrowLeft", 5), ("PageDown", 1)]
TOUCH = """(() => {
  const {left, top, width, height} = document.querySelector("[data-moving] input").getBoundingClientRect();
  return [left + 0.3 * width, top + height / 2];
})()"""


def write_figure(kind, path):
    """A page with the still figure and the moving one, as the book has them."""
    text = chapter_figure(kind)
    still = re.search('data-still="([^"]+)"', text)[1]
    return text, still, write_page(path / f"{kind}.html", STILL.format(still=still) + embed(text, moving.SCRIPT))


async def drive(tab, n_sliders):
    """Move every slider by keyboard, and the first by touch; return what the page shows after each step."""
    seen, order = [await tab.evaluate(READ)], []
    for _ in range(n_sliders):
        await press(tab, "Tab")
        order.append((await tab.evaluate(READ))["focus"])
        for key, times in KEYS:
            await press(tab, key, times)
            seen.append(await tab.evaluate(READ))
    x, y = await tab.evaluate(TOUCH)
    await tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    await tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    await asyncio.sleep(0.6)
    return [*seen, await tab.evaluate(READ)], order


@needs_browser
@each_kind
def test_a_figure_moved_by_keyboard_and_touch_agrees_with_the_package(kind, tmp_path):
    text, still, page = write_figure(kind, tmp_path)
    data, sliders = read_data(text), read_sliders(text)

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            found = await tab.open(*pages, 1000, "light")
            await tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
            seen, order = await drive(tab, len(sliders))
            faults = look.find_faults(found | {"theme": "light"}, tab.events, 1000, "light") + await tab.audit()
            narrow = await tab.open(*pages, 420, "dark")
            await tab.call("Emulation.setEmulatedMedia", media="print")
            paper = await tab.evaluate(READ)
            return seen, order, faults, narrow, paper
        finally:
            tab.socket.close()

    seen, order, faults, narrow, paper = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    assert order == list(sliders), "the keyboard reaches all of them"
    # Headings, landmarks and names of a whole page are the book's, which look.py audits.
    assert not [fault for fault in faults if not re.search("landmark|heading|region", fault)]
    assert narrow["width"] <= narrow["window"]
    for state in seen:
        compare(kind, data, state["state"], state["outputs"])
        assert state["place"] == still and state["live"] and not state["still"] and min(state["drawn"]) > 400
        assert all(state["spoken"])
    assert len({json.dumps(state["state"]) for state in seen}) > 5 * len(sliders)
    assert seen[-1]["state"] != seen[-2]["state"], "a finger moves it"
    assert seen[0]["words"] == "" and len(seen[-1]["words"]) > 40, "words are said after a move, and not before"
    assert paper["still"] and not paper["live"]


@needs_browser
def test_without_a_script_the_still_figure_stays(tmp_path):
    _, _, page = write_figure("loan", tmp_path)

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            await tab.call("Emulation.setScriptExecutionDisabled", value=True)
            await tab.open(*pages, 1000, "light")
            return await tab.evaluate(READ)
        finally:
            tab.socket.close()

    seen = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    assert seen["still"] and not seen["live"] and seen["place"] == ""


# Without either.


@each_kind
def test_a_figure_is_small_has_words_and_asks_no_host(kind):
    text = chapter_figure(kind)
    assert len(text.encode()) < 20_000 and not re.search(r"(?:src|href)=|https?://", text)
    controls = len(re.findall("<input ", text))
    assert controls == len(read_sliders(text)) == text.count("<label>") == text.count("</label>") > 0
    assert text.count('role="img"') == text.count("<svg") == len(re.findall(r'<svg[^>]* aria-label="[^"]+"', text))
    outputs = re.findall('data-output="([^"]+)"', text)
    assert len(outputs) == len(set(outputs)) and 'aria-live="polite"' in text


def test_nothing_moves_by_itself():
    """So that readers who ask for less motion need no other page."""
    text = "".join(path.read_text(encoding="utf-8") for path in [*SHARED, moving.SCRIPT])
    assert not re.search("animat|transition|requestAnimationFrame|setInterval|scrollIntoView", text)


@each_kind
def test_a_figure_takes_the_place_of_one_that_stands_above_it(kind):
    outputs, notebook = read_outputs(kind)
    (output,) = [each for each in outputs if "data-moving" in each.get("data", {}).get("text/html", "")]
    assert output["data"]["text/latex"] == "" and " at 0x" not in output["data"]["text/plain"]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (i,) = [i for i, cell in enumerate(cells) if "moving." in cell.source and "data-moving" in str(cell.outputs)]
    still = re.search('data-still="([^"]+)"', output["data"]["text/html"])[1]
    assert cells[i - 1].metadata["mystnb"]["figure"]["name"] == still
    assert any("image/png" in each.get("data", {}) for each in cells[i - 1].outputs)


def make_figures(noise=0.0):
    """All four, of made-up numbers that are off by a share of themselves, as on another machine."""
    rng = np.random.default_rng(5)

    def touch(values):
        signs = np.random.default_rng(6).choice([-1, 1], np.shape(values))
        return np.asarray(values, dtype=float) * (1 + noise * signs)

    levels, loans = np.arange(1, 20) / 20, np.linspace(0, 900, 19)
    law = QuantileCurve(levels, touch(stats.gamma(3, scale=20).ppf(levels)))
    yield moving.loan_figure(law, loans, {name: touch(loans * 0.3) for name in "abcd"}, loan=100, still="fig-a")
    laws = stats.gamma(2, scale=touch(20.0).item()), stats.lognorm(0.6, scale=30)
    yield moving.look_alike_figure(*laws, touch(rng.gamma(2, 20, 100)), limit=0.05, still="fig-b")
    lines = np.column_stack([rng.normal(size=19), levels])
    rows = touch(rng.uniform(50, 500, (30, 2)))
    yield moving.level_figure(rows, levels, touch(lines), lines, spend=50.0, still="fig-c")
    months = pd.date_range("2018-01-01", periods=6, freq="MS")
    outcomes = [touch(rng.uniform(0, 0.99, 80)) for _ in range(5)]
    recipes = {"none": np.full(6, 0.2), "all known": touch(rng.uniform(0.1, 0.2, 6))}
    shares = {name: touch(rng.uniform(0.1, 0.3, 5)) for name in recipes}
    yield moving.vintage_figure(months, outcomes, recipes, shares, promise=0.2, still="fig-d")


def test_figures_are_the_same_to_the_letter_where_last_digits_are_not():
    for here, elsewhere in zip(make_figures(), make_figures(1e-12), strict=True):
        assert here.text == elsewhere.text
    assert [a.text == b.text for a, b in zip(make_figures(), make_figures(1e-2))] == [False] * 4


def test_what_a_page_carries_is_near_to_what_it_was_given():
    """Rounding costs less than is shown; the laws of chapter 2 lie on points, and are near in between."""
    law, other = stats.gamma(2, scale=20), stats.lognorm(0.6365, scale=32.66)
    data = read_data(moving.look_alike_figure(law, other, [30.0, 40.0], limit=0.05, still="fig-a").text)
    for name, each in (("truth", law), ("model", other)):
        carried = make_law(data["values"], data[name]["below"], data[name]["up_to"])
        at = np.linspace(1, 200, 1001)
        np.testing.assert_allclose(carried.cdf(at)[0], each.cdf(at), atol=2e-4)
        low = np.linspace(0.01, 0.2, 20)
        lent = largest_loan(carried, max_default_probability=low[10])[0]
        assert each.cdf(lent) == pytest.approx(low[10], abs=3e-5)
    levels = np.arange(1, 200) / 200
    curve = QuantileCurve(levels, stats.gamma(4, scale=100).ppf(levels))
    text = moving.loan_figure(curve, [0.0, 3000.0], {n: [0.0, 1.0] for n in "abcd"}, loan=3000, still="fig-a").text
    found = expect_loan(read_data(text) | {"unit_revenue": 12.0}, {"loan": 3000.0})
    given = risk_profile(curve, 3000.0, unit_revenue=12.0)
    np.testing.assert_allclose(found["expected_loss"], given["expected_loss"].item(), rtol=1e-7)


LAW = QuantileCurve([0.5], [7.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moving.loan_figure(LAW, [0.0, 1.0], {"PD": [0.0, 1.0]}, loan=1, still="f"), "4 measures, got 1"),
        (
            lambda: moving.loan_figure(LAW, [0.0, 1.0], {n: [0.0] for n in "abcd"}, loan=1, still="f"),
            "2 values each, one per loan, but not a",
        ),
        (
            lambda: moving.loan_figure(
                QuantileCurve([0.5], [[7.0], [8.0]]), [0.0, 1.0], {n: [0, 1] for n in "abcd"}, loan=1, still="f"
            ),
            "curve must be one law, got 2",
        ),
        (
            lambda: moving.look_alike_figure(stats.gamma(2), stats.gamma(2), [1.0], limit=0.5, still="f"),
            r"limit must lie in \[0.01, 0.2\], got 0.5",
        ),
        (
            lambda: moving.level_figure([[1.0, 2.0]], [0.5], [[1.0, 2.0]] * 2, [[1.0, 2.0]], spend=60, still="f"),
            r"coef must have shape \(1, 2\), got \(2, 2\)",
        ),
        (
            lambda: moving.vintage_figure(
                ["2018-01-01"], [[0.5]], {"a": [0.1, 0.2]}, {"a": [0.1]}, promise=0.1, still="f"
            ),
            "levels must have 1 values for each recipe, but not for 'a'",
        ),
        (
            lambda: moving.vintage_figure(["2018-01-01"], [[1.5]], {"a": [0.1]}, {"a": [0.1]}, promise=0.1, still="f"),
            r"outcome_levels must lie in \[0, 1\], got 1.5 to 1.5",
        ),
    ],
)
def test_what_no_figure_can_be_made_of_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
