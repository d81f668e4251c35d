"""The panel of the lender's desk computes what the package computes, in a JavaScript engine and driven in a browser.

Needs node for the first and a Chromium for the second; where one is missing, the test says so and is skipped.
"""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
from pages import BROWSER, NODE, look, press, write_page

from qrgmm.curve import QuantileCurve
from qrgmm.desk.panel import panel
from qrgmm.risk import default_probability, expected_loss, largest_loan, loss_given_default, shortfall_moment

ROOT = Path(__file__).resolve().parents[1]
LAW, CHART, PANEL = (ROOT / "qrgmm" / name for name in ("law.js", "chart.js", "desk/panel.js"))
MEASURES = {
    "default_probability": default_probability,
    "expected_loss": expected_loss,
    "loss_given_default": loss_given_default,
}
OF_LAW = MEASURES | {"squared_loss": shortfall_moment}  # what the shared file knows, and the panel does not show


def make_curves(rng):
    """Laws of every kind: clamped and exponential ends, draws, ties, one level, negative knots."""
    levels = np.r_[1:10, 10:100:5] / 100
    gamma = np.quantile(rng.gamma(2.0, 50.0, size=(5, 400)), levels, axis=1).T
    rounded = np.round(gamma / 40) * 40
    return {
        "clamped": QuantileCurve(levels, gamma),
        "exponential": QuantileCurve(levels, gamma, tails="exponential"),
        "ties": QuantileCurve(levels, rounded),
        "negative": QuantileCurve(levels, gamma - 40),
        "floored": QuantileCurve(levels, gamma - 40).clip(lower=0.0),
        "even": QuantileCurve(np.arange(1, 20) / 20, np.sort(rng.normal(100, 20, size=(3, 19)))),
        "draws": QuantileCurve.from_draws(rng.poisson(8.0, size=(3, 30)).astype(float)),
        "one level": QuantileCurve([0.5], [[7.0]]),
        "all equal": QuantileCurve([0.25, 0.5, 0.75], [[5.0, 5.0, 5.0]]),
    }


def make_cases(rng):
    """Arguments of the script's two functions, and what the package answers."""
    cases, risks, loans = [], [], []
    limits = [
        {"max_default_probability": 0.05},
        {"max_default_probability": 0.013, "max_expected_loss_rate": 0.004},
        {"max_expected_loss_rate": 0.01},
        {"max_default_probability": 0.2, "cap": 120.0},
        {"max_default_probability": 0.0},
        {"max_expected_loss_rate": 0.0},
        {"max_default_probability": 1.0, "cap": 9e9},
        {"max_default_probability": 0.5, "max_expected_loss_rate": 0.3},
        {"max_expected_loss": 12.0},
        {"max_conditional_value_at_risk": 40.0},
    ]
    for curve in make_curves(rng).values():
        for row in range(len(curve)):
            law, revenue = curve[row], float(rng.uniform(0.5, 200))
            knots = law.values[0] * revenue
            tried = np.r_[0.0, knots, rng.uniform(0, 1.3 * max(knots[-1], 1), 20)]
            sized = [largest_loan(law, unit_revenue=revenue, **limit).item() for limit in limits]
            tried = np.r_[tried, sized].clip(0)
            risks.append({name: measure(law, tried, unit_revenue=revenue)[0] for name, measure in OF_LAW.items()})
            loans.append(sized)
            shared = {"below": np.atleast_2d(law.below)[0].tolist(), "up_to": np.atleast_2d(law.up_to)[0].tolist()}
            case = {"law": shared, "q": law.values[0].tolist(), "revenue": revenue, "loans": tried.tolist()}
            cases.append(case | {"limits": limits})
    return cases, risks, loans


@pytest.mark.skipif(NODE is None, reason="no node on this machine: the panel's arithmetic is not run outside a browser")
def test_the_arithmetic_of_the_page_is_that_of_the_package():
    cases, risks, loans = make_cases(np.random.default_rng(16))
    program = """
      const {riskAt, largestLoan} = require(process.argv[1]);
      const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
      console.log(JSON.stringify(cases.map(({law, q, revenue, loans, limits}) => ({
        risks: loans.map(loan => riskAt(law, q, revenue, loan)),
        largest: limits.map(limit => largestLoan(law, q, revenue, limit)),
        atLargest: limits.map(limit => riskAt(law, q, revenue, largestLoan(law, q, revenue, limit))),
      }))));
    """
    command = [NODE, "-e", program, str(LAW)]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, encoding="utf-8", check=True)
    answers = json.loads(run.stdout)
    assert len(answers) == len(cases) > 20
    for answer, risk, largest in zip(answers, risks, loans, strict=True):
        for name, expected in risk.items():
            found = [np.nan if each[name] is None else float(each[name]) for each in answer["risks"]]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(answer["largest"], largest, rtol=1e-9, atol=1e-9)
        # On an atom a last bit too much would be a default probability too large by the whole atom.
        found = [each["default_probability"] for each in answer["atLargest"]]
        np.testing.assert_allclose(found, risk["default_probability"][-len(largest) :], atol=1e-9)


# In a browser.

OUTPUTS = [*MEASURES, "largest_loan", "loan", "unit_revenue", "max_default_probability", "max_expected_loss_rate"]
READ = """(() => {
  const root = document.querySelector(".desk-panel");
  const values = name => root.querySelector(`[data-output="${name}"]`).dataset.value;
  return {
    outputs: Object.fromEntries(OUTPUTS.map(name => [name, values(name)])),
    seller: root.querySelector("select").selectedIndex, kept: root.dataset.kept,
    focus: document.activeElement.dataset.control ?? null,
    drawn: root.querySelector("svg path.chart-1").getAttribute("d").length,
  };
})()""".replace("OUTPUTS", json.dumps(OUTPUTS))
BOX = """(() => {
  const control = document.querySelector(".desk-panel [data-control='CONTROL']");
  const {left, top, width, height} = control.getBoundingClientRect();
  return [left, top, width, height];
})()"""


async def click(tab, control, share=0.5):
    left, top, width, height = await tab.evaluate(BOX.replace("CONTROL", control))
    at = {"x": left + share * width, "y": top + height / 2, "button": "left", "clickCount": 1}
    await tab.call("Input.dispatchMouseEvent", type="mousePressed", **at)
    await tab.call("Input.dispatchMouseEvent", type="mouseReleased", **at)


async def drive(tab, n_sellers):
    """Work the panel as a reader would, and return what it shows after every action."""
    seen = [await tab.evaluate(READ)]

    async def note():
        seen.append(await tab.evaluate(READ))

    # By keyboard alone: from the seller through all controls, in the order in which they stand.
    await tab.evaluate("document.querySelector('.desk-panel select').focus()")
    order = [(await tab.evaluate(READ))["focus"]]
    for keys in (
        [("ArrowRight", 3), ("PageUp", 2), ("Home", 1), ("End", 1), ("ArrowLeft", 40)],
        [("ArrowRight", 7), ("ArrowLeft", 19)],
        [("ArrowRight", 20), ("End", 1), ("Home", 1), ("PageUp", 1)],
        [(" ", 2)],
        [("End", 1), ("ArrowLeft", 30)],
        [(" ", 1)],
    ):
        await press(tab, "Tab")
        order.append((await tab.evaluate(READ))["focus"])
        for key, times in keys:
            await press(tab, key, times)
            await note()
    await press(tab, "Tab")
    order.append((await tab.evaluate(READ))["focus"])
    await press(tab, "Enter")
    await note()
    limits = ["max_default_probability", "no_max_default_probability", "max_expected_loss_rate"]
    assert order == ["seller", "loan", "unit_revenue", *limits, "no_max_expected_loss_rate", "largest"]
    assert seen[-1]["kept"] == "true", "the button keeps the limits"
    # Every seller, and loans by pointer.
    for _ in range(n_sellers - 1):
        await tab.evaluate("document.querySelector('.desk-panel select').focus()")
        await press(tab, "ArrowDown")
        await note()
        for control, share in [("loan", 0.2), ("loan", 0.61), ("unit_revenue", 0.7), ("loan", 0.93)]:
            await click(tab, control, share)
            await note()
        await click(tab, "max_default_probability", 0.4)
        await click(tab, "largest")
        await note()
    await asyncio.sleep(0.6)
    return seen, await tab.evaluate("document.querySelector('.desk-panel [role=status]').textContent")


def read_data(html):
    """The numbers that a panel carries, and its laws."""
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1])
    curve = QuantileCurve.__new__(QuantileCurve)
    knots = np.array([seller["values"] for seller in data["sellers"]])
    parts = [data if "below" in data else {p: [s[p] for s in data["sellers"]] for p in ("below", "up_to")}]
    below, up_to = np.array(parts[0]["below"]), np.array(parts[0]["up_to"])
    curve._set_law((below + up_to) / 2, knots, below, up_to, None)
    return data, curve


def compare_with_package(html, seen):
    """Compare every state of the panel with the package, from the numbers that the page itself was given."""
    data, curve = read_data(html)
    for state in seen:
        value = {name: float(text) if text not in ("", "NaN") else None for name, text in state["outputs"].items()}
        law, loan, revenue = curve[state["seller"]], value["loan"], value["unit_revenue"]
        for name, measure in MEASURES.items():
            expected = measure(law, loan, unit_revenue=revenue).item()
            found = np.nan if value[name] is None else value[name]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=f"{name} in {state}")
        limits = {name: value[name] for name in ("max_default_probability", "max_expected_loss_rate")}
        limits["cap"] = np.inf if data["cap"] is None else data["cap"]
        largest = largest_loan(law, unit_revenue=revenue, **limits).item()
        np.testing.assert_allclose(value["largest_loan"], largest, rtol=1e-9, atol=1e-9, err_msg=str(state))
        assert state["kept"] == str(loan <= value["largest_loan"]).lower() and state["drawn"] > 20
    assert len({state["outputs"]["default_probability"] for state in seen}) > 5, "the sliders move the risk"


def chapter_panel():
    notebook = nbformat.read(ROOT / "notebooks" / "19_lenders_desk.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    (text,) = [o["data"]["text/html"] for o in outputs if "desk-panel" in o.get("data", {}).get("text/html", "")]
    return text


BOTH = {"max_default_probability": 0.05, "max_expected_loss_rate": 0.03}  # limits that are none have no slider to reach


def made_up_panel():
    curve = QuantileCurve([0.02, 0.05, 0.3, 0.6, 0.9], [[5.0, 9.0, 20.0, 31.0, 55.0], [0.0, 0.0, 3.0, 3.0, 8.0]])
    return panel(curve, ["<b> & co", "ties"], [12.5, 3.0], {**BOTH, "cap": 290.0})


# What a browser does to the value of a slider, and just enough of a page for the script to run in.
PAGE = r"""
const fs = require("fs"), html = fs.readFileSync(0, "utf8");
const attribute = (tag, name) => (tag.match(new RegExp(` ${name}="([^"]*)"`)) || [])[1];
function makeControl(tag) {
  const range = /type="range"/.test(tag);
  const control = {
    dataset: {}, textContent: "", min: attribute(tag, "min") ?? 0, max: attribute(tag, "max") ?? 100,
    step: attribute(tag, "step") ?? 1, checked: / checked/.test(tag), selectedIndex: 0, on: {},
    setAttribute() {}, addEventListener(name, call) { this.on[name] = call; },
    stepDown() { this.value = Number(this.value) - Number(this.step); },
    get value() {
      if (!range) return this.raw;
      const low = Number(this.min), step = Number(this.step), high = Number(this.max);
      const wanted = Math.min(Math.max(Number(this.raw ?? (low + high) / 2), low), high);
      let steps = Math.round((wanted - low) / step);
      if (low + steps * step > high * (1 + 1e-12)) steps -= 1;
      return String(Number((low + steps * step).toPrecision(12)));
    },
    set value(x) { this.raw = String(x); },
    isInput: tag.startsWith("<input"),
  };
  control.raw = attribute(tag, "value");
  return control;
}
const controls = {}, outputs = {};
for (const tag of html.match(/<(?:input|select|button)[^>]*data-control[^>]*>/g)) {
  controls[attribute(tag, "data-control")] = makeControl(tag);
}
for (const tag of html.match(/<output[^>]*>/g)) outputs[attribute(tag, "data-output")] = makeControl(tag);
const other = { textContent: "", innerHTML: "", hidden: true };
const json = { textContent: html.match(/<script type="application\/json">([^]*?)<\/script>/)[1] };
const named = (selector) => selector.match(/="([^"]*)"/)?.[1];
const root = {
  dataset: {},
  querySelector(selector) {
    if (selector.includes("data-control")) return controls[named(selector)] ?? null;
    return selector.startsWith("script") ? json : other;
  },
  querySelectorAll(selector) {
    return selector === "input" ? Object.values(controls).filter((c) => c.isInput) : [outputs[named(selector)]];
  },
};
globalThis.document = { querySelectorAll: () => [root] };
globalThis.setTimeout = () => null;
process.argv.slice(2).forEach(require);
const seen = [];
const note = () => seen.push(Object.fromEntries(Object.entries(outputs).map(([name, o]) => [name, o.dataset.value])));
note();
for (const [name, change] of JSON.parse(process.argv[1])) {
  Object.assign(controls[name], change);
  const { input, change: chosen, click } = controls[name].on;
  (input ?? chosen ?? click)();
  note();
}
console.log(JSON.stringify(seen, (key, value) => value === Infinity ? "Infinity" : value));
"""


def open_panel(html, *changes):
    command = [NODE, "-e", PAGE, json.dumps(changes), *map(str, [LAW, CHART, PANEL])]
    run = subprocess.run(command, input=html, capture_output=True, encoding="utf-8", check=True)
    return json.loads(run.stdout)


LIMITS = [
    {"max_default_probability": 0.4},
    {"max_default_probability": 0.0123},
    {"max_default_probability": 0.001},
    {"max_default_probability": 1 / 30, "max_expected_loss_rate": 0.2},
    {"max_default_probability": 0.05, "max_expected_loss_rate": 0.00037},
    {"max_expected_loss_rate": 0.07, "cap": 270.5},
    {"max_default_probability": 0.95, "cap": np.inf},
    {"max_default_probability": 0.5, "max_expected_loss": 7.5},
    {"max_conditional_value_at_risk": 55.0},
    {"max_conditional_value_at_risk": 3.0, "max_default_probability": None},
    {"cap": 120.0},
]


@pytest.mark.skipif(NODE is None, reason="no node on this machine: the panel was not opened")
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("lift", [0.0, -7.0])
def test_the_panel_opens_at_the_limits_and_the_loan_of_the_memo(limits, lift):
    """Whatever the limits are, also where laws reach below zero."""
    values = np.array([[5.0, 9.0, 20.0, 31.0, 55.0], [1.0, 1.0, 3.0, 30.0, 80.0]]) + lift
    curve, revenue = QuantileCurve([0.02, 0.05, 0.3, 0.6, 0.9], values), np.array([12.5, 3.0])
    html = panel(curve, ["A", "B"], revenue, limits)
    data, _ = read_data(html)
    assert not re.search("Infinity|NaN", re.search(r"application/json.>(.*?)</script>", html, re.S)[1])
    loans = largest_loan(curve.clip(lower=0.0), unit_revenue=revenue, **limits)
    for seen, loan in zip(open_panel(html, ["seller", {"selectedIndex": 1}]), loans):
        assert float(seen["largest_loan"]) == pytest.approx(loan, rel=1e-12)
        assert float(seen["loan"]) == pytest.approx(loan, rel=1e-12) and seen["verdict"] is True
        for name in ("max_default_probability", "max_expected_loss_rate"):
            limit = limits.get(name)
            assert seen[name] == ("" if limit is None else limit) and data[name] == limit
    for name in ("max_default_probability", "max_expected_loss_rate"):
        tag = re.search(f'<input type="range" data-control="{name}" [^>]*>', html)[0]
        low, high, step, value = (float(re.search(f' {part}="([^"]*)"', tag)[1]) for part in PARTS)
        steps = (value - low) / step
        assert 0 <= low <= value <= high <= 100 and steps == pytest.approx(round(steps), abs=1e-6)
        box = re.search(f'<input type="checkbox" data-control="no_{name}" autocomplete="off"( checked)?>', html)
        assert (box[1] is not None) == (limits.get(name) is None)


PARTS = ["min", "max", "step", "value"]


@pytest.mark.skipif(NODE is None, reason="no node on this machine: the panel was not opened")
def test_no_limit_is_a_box_and_not_the_end_of_a_slider():
    curve = QuantileCurve([0.02, 0.05, 0.3, 0.6, 0.9], [5.0, 9.0, 20.0, 31.0, 55.0])
    html = panel(curve, ["A"], 2.0, {"max_default_probability": 0.05})
    changes = [["max_default_probability", {"value": "30"}], ["no_max_default_probability", {"checked": True}]]
    changes += [["no_max_default_probability", {"checked": False}], ["max_default_probability", {"value": "5"}]]
    _, end, free, back, again = open_panel(html, *changes)
    assert float(end["largest_loan"]) == pytest.approx(40.0) and end["max_default_probability"] == pytest.approx(0.3)
    assert free["largest_loan"] == "Infinity" and free["max_default_probability"] == ""
    assert back["largest_loan"] == end["largest_loan"]
    assert again["max_default_probability"] == 0.05 and float(again["largest_loan"]) == pytest.approx(18.0)


@pytest.mark.parametrize(
    "limits, message",
    [
        ({"max_default_probability": 1.5}, r"max_default_probability must lie in \[0, 1\], got 1.5"),
        ({"cap": np.nan}, r"cap must lie in \[0, inf\], got nan"),
        ({"max_loss": 1.0}, r"limits must be some of .* got \['max_loss'\]"),
    ],
)
def test_limits_that_no_panel_can_open_at_are_refused(limits, message):
    with pytest.raises(ValueError, match=message):
        panel(QuantileCurve([0.5], [7.0]), ["A"], 2.0, limits)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: the panel was not driven in a browser")
@pytest.mark.parametrize("make", [chapter_panel, made_up_panel])
def test_the_panel_driven_by_keyboard_and_pointer_agrees_with_the_package(make, tmp_path):
    html = make()
    page = write_page(tmp_path / "panel.html", html)
    n_sellers = html.count("<option>")

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            found = await tab.open(*pages, 1000, "light")
            seen, spoken = await drive(tab, n_sellers)
            faults = look.find_faults(found | {"theme": "light"}, tab.events, 1000, "light")
            return seen, spoken, faults, await tab.open(*pages, 420, "dark")
        finally:
            tab.socket.close()

    seen, spoken, faults, narrow = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    assert not faults and narrow["width"] <= narrow["window"]
    assert "largest loan is" in spoken
    compare_with_package(html, seen)


@pytest.mark.parametrize("make", [chapter_panel, made_up_panel])
def test_the_panel_can_be_read_without_a_script_and_asks_no_host(make):
    html = make()
    assert "<noscript>" in html and not re.search(r"(?:src|href)=|https?://", html)
    controls = len(re.findall(r"<input |<select ", html))
    assert controls >= 5 and controls == len(re.findall(r"<label>", html)) == len(re.findall(r"</label>", html))
