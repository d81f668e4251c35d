// Figures that a reader moves. Each is a function of the numbers that its page carries and of what its controls say; it
// returns the numbers to show, as [value, text], what is drawn in its panels, and the words that are read out.
(() => {
  "use strict";
  const { riskAt, largestLoan, probabilityLine } = globalThis.qrgmmLaw;
  const { money, round, percent, share, ticks, axes } = globalThis.qrgmmChart;

  const upTo = (high) => [0, ticks(0, high).at(-1)];
  const zip = (across, up) => across.map((a, i) => [a, up[i]]);

  // Chapter 1: four measures of risk against the loan.
  function loan(data, { loan: chosen }) {
    const at = (each) => {
      const risk = riskAt(data, data.values, data.unit_revenue, each);
      return { ...risk, root_squared_loss: Math.sqrt(risk.squared_loss) };
    };
    const now = at(chosen), given = now.loss_given_default, top = data.loans.at(-1);
    const exact = probabilityLine(data, data.values, data.unit_revenue, top);
    const ofLoan = () => `${money(given)} (${percent(given / chosen)} of the loan)`;
    const panels = Object.entries(data.closed_form).map(([name, truth], i) => {
      const probability = name === "default_probability";
      const values = data.loans.map((each) => at(each)[name]);
      const highest = Math.max(...[...values, ...truth].filter(Number.isFinite));
      const plot = axes({
        x: [0, top], y: probability ? [0, 1] : upTo(highest), xLabel: "loan (currency)", yLabel: data.labels[i],
        yText: probability ? share : round,
      });
      return plot.draw([
        plot.upright(data.loan, "chart-quiet"),
        plot.line(zip(data.loans, truth), "chart-black"),
        plot.line(probability ? exact : zip(data.loans, values), "chart-2"),
        plot.upright(chosen, "chart-now"),
        plot.dot(chosen, now[name], "chart-2"),
      ]);
    });
    const values = {
      loan: [chosen, round(chosen)],
      default_probability: [now.default_probability, percent(now.default_probability)],
      expected_loss: [now.expected_loss, money(now.expected_loss)],
      loss_given_default: [given, Number.isNaN(given) ? "no default possible" : ofLoan()],
      root_squared_loss: [now.root_squared_loss, money(now.root_squared_loss)],
    };
    const words = `A loan of ${round(chosen)} defaults with probability ${values.default_probability[1]}; ` +
      `expected loss ${values.expected_loss[1]}, root mean squared loss ${values.root_squared_loss[1]}.`;
    return { values, panels, words };
  }

  // Chapter 2: the loan that a law with the right mean and spread grants, and what it does in truth. All mixtures of
  // the two laws have that mean and spread, too.
  function lookAlike(data, { limit, part }) {
    const w = part / 100, r = data.unit_revenue, allowed = { max_default_probability: limit / 100 };
    const mix = (own, others) => own.map((each, i) => (1 - w) * each + w * others[i]);
    const truth = data.truth;
    const model = { below: mix(data.model.below, truth.below), up_to: mix(data.model.up_to, truth.up_to) };
    const lent = largestLoan(model, data.values, r, allowed), right = largestLoan(truth, data.values, r, allowed);
    const promised = riskAt(model, data.values, r, lent).default_probability;
    const came = riskAt(truth, data.values, r, lent).default_probability;
    const apart = (side) => truth[side].map((each, i) => Math.abs(each - model[side][i]));
    const gap = Math.max(...apart("below"), ...apart("up_to"));

    const density = mix(data.model.density, truth.density);
    const whole = axes({
      x: [0, data.sales.at(-1)], y: upTo(Math.max(...truth.density, ...data.model.density, ...data.bars)),
      xLabel: "sales (units)", yLabel: "density (per unit)", yText: (t) => Number(t.toPrecision(2)),
    });
    const lines = [truth, model].map((law) => probabilityLine(law, data.values, 1, data.low_end));
    const low = axes({
      x: [0, data.low_end], y: upTo(Math.max(...lines.map((line) => line.at(-1)[1]))),
      xLabel: "sales (units)", yLabel: "distribution function", yText: share,
    });
    const panels = [
      whole.draw([
        ...data.bars.map((high, i) => whole.bar(data.edges[i], data.edges[i + 1], 0, high, "chart-bar")),
        whole.line(zip(data.sales, truth.density), "chart-black"),
        whole.line(zip(data.sales, density), "chart-2"),
      ]),
      low.draw([
        low.level(limit / 100, "chart-quiet"),
        low.upright(lent / r, "chart-quiet"),
        low.line(lines[0], "chart-black"),
        low.line(lines[1], "chart-2"),
        low.upright(lent / r, "chart-1", promised, came),
        low.dot(lent / r, promised, "chart-2"),
        low.dot(lent / r, came, "chart-black"),
      ]),
    ];
    const values = {
      limit: [limit / 100, percent(limit / 100)],
      part: [w, `${part} %`],
      lent: [lent, money(lent)],
      right: [right, money(right)],
      promised: [promised, percent(promised)],
      default_probability: [came, percent(came)],
      gap: [gap, percent(gap)],
    };
    const words = `The model lends ${values.lent[1]} and promises ${values.promised[1]} defaults; in truth they are ` +
      `${values.default_probability[1]}. The two laws are at most ${values.gap[1]} apart.`;
    return { values, panels, words };
  }

  // Chapter 3: two of the fitted lines, and all fitted quantiles at one spend, as fitted and sorted.
  function levels(data, { spend, first, second }) {
    const at = ([intercept, slope]) => intercept + slope * spend;
    const raw = data.coef.map(at), truth = data.truth.map(at), sorted = [...raw].sort((a, b) => a - b);
    const chosen = [first - 1, second - 1], ends = [data.x[0], data.x[1]];
    const crossed = raw.filter((each, i) => i > 0 && each < raw[i - 1]).length / (raw.length - 1);
    const saved = data.levels.reduce((sum, level, i) => sum + level * (sorted[i] - raw[i]), 0) / raw.length;
    const [[a, b], [c, d]] = chosen.map((i) => data.coef[i]), meeting = (a - c) / (d - b);
    const inside = meeting >= ends[0] && meeting <= ends[1];
    const wrong = (raw[chosen[1]] - raw[chosen[0]]) * (chosen[1] - chosen[0]) < 0;

    const lineOf = (i) => ends.map((x) => [x, data.coef[i][0] + data.coef[i][1] * x]);
    const highest = Math.max(...data.rows.map((row) => row[1]));
    const table = axes({
      x: ends, y: upTo(highest), xLabel: "spend (currency a month)", yLabel: "sales (units a month)",
    });
    const all = [...raw, ...truth], across = (values) => zip(data.levels, values);
    const quantiles = axes({
      x: [0, 1], y: [Math.min(...all), Math.max(...all)], xLabel: "level",
      yLabel: `sales quantile at a spend of ${round(spend)}`,
    });
    const panels = [
      table.draw([
        ...data.rows.map(([x, y]) => table.dot(x, y, "chart-data", 2.2)),
        ...data.coef.map((_, i) => table.line(lineOf(i), "chart-faint")),
        table.upright(spend, "chart-now"),
        ...chosen.map((i, k) => table.line(lineOf(i), `chart-${k + 1}`)),
        ...chosen.map((i, k) => table.dot(spend, raw[i], `chart-${k + 1}`)),
        inside ? table.dot(meeting, a + b * meeting, "chart-ring", 8) : "",
      ]),
      quantiles.draw([
        quantiles.line(across(truth), "chart-black"),
        quantiles.line(across(raw), "chart-quiet"),
        ...raw.map((each, i) => quantiles.dot(data.levels[i], each, "chart-data", 2.2)),
        quantiles.line(across(sorted), "chart-4"),
        ...chosen.map((i, k) => quantiles.dot(data.levels[i], raw[i], `chart-${k + 1}`)),
      ]),
    ];
    const [one, other] = chosen.map((i) => String(Number(data.levels[i].toFixed(6))));
    const values = {
      spend: [spend, round(spend)],
      first: [data.levels[chosen[0]], one],
      second: [data.levels[chosen[1]], other],
      fitted_first: [raw[chosen[0]], money(raw[chosen[0]])],
      fitted_second: [raw[chosen[1]], money(raw[chosen[1]])],
      sorted_first: [sorted[chosen[0]], money(sorted[chosen[0]])],
      sorted_second: [sorted[chosen[1]], money(sorted[chosen[1]])],
      meeting: [inside ? meeting : NaN, inside ? money(meeting) : "none of these"],
      ordered: [wrong ? 0 : 1, wrong ? "wrong" : "right"],
      crossed: [crossed, percent(crossed)],
      saved: [saved, `${money(saved)} units`],
    };
    const words = `At a spend of ${round(spend)} the line of level ${one} is at ${values.fitted_first[1]} and that ` +
      `of level ${other} at ${values.fitted_second[1]}; ${values.crossed[1]} of neighbours are in the wrong order.`;
    return { values, panels, words };
  }

  const dateOf = (day, options) => new Date(day * 864e5).toLocaleDateString("en-GB", { timeZone: "UTC", ...options });
  const longDate = (day) => dateOf(day, { day: "numeric", month: "long", year: "numeric" });
  const month = (day) => dateOf(day, { month: "long", year: "numeric" });

  // Chapter 16: what of the vintages is known on a day, the level that it teaches, and what came. Outcomes are their
  // places in their laws, of each vintage those that could matter; the others lie above.
  function vintages(data, { day }) {
    const { origins, horizon, promise } = data, n = data.sizes.length;
    const ends = origins.map((origin) => origin + horizon);
    const known = ends.slice(0, n).filter((end) => end <= day).length;
    const granted = origins.filter((origin) => origin <= day).length;
    const outcomes = data.outcomes.slice(0, known).flat().sort((a, b) => a - b);
    const total = data.sizes.slice(0, known).reduce((sum, size) => sum + size, 0);
    const place = Math.floor(promise * (total + 1) * (1 + 1e-12));
    const level = known === 0 ? promise : place > 0 ? outcomes[place - 1] / data.unit : 0;

    const x = [origins[0], ends.at(-1)], names = Object.keys(data.levels), styles = ["black", "1", "2", "3"];
    const year = new Date(x[0] * 864e5).getUTCFullYear();
    const xTicks = Array.from({ length: 12 }, (_, i) => Date.UTC(year, 3 * i) / 864e5);
    const xText = (t) => dateOf(t, { month: "short", year: "2-digit" });
    const date = { x, xTicks: xTicks.filter((_, i) => i % 2 === 0), xText, xLabel: "origin" };
    const clock = axes({
      ...date, y: [0, origins.length], yTicks: [], xLabel: "vintages, from origin to end of horizon",
    });
    const highest = upTo(Math.max(...Object.values(data.levels).flat(), ...Object.values(data.shares).flat()));
    const left = axes({ ...date, y: highest, yText: share, yLabel: "level of the loans" });
    const right = axes({ ...date, y: highest, yText: share, yLabel: "loans that defaulted" });
    const seen = (values, count) => zip(origins.slice(0, count), values);
    const panels = [
      clock.draw([
        ...origins.map((origin, i) => {
          const kind = i < known ? "chart-1" : i < granted ? "chart-now" : "chart-quiet";
          return clock.level(origins.length - i - 0.5, kind, origin, ends[i]);
        }),
        clock.upright(day, "chart-now"),
      ]),
      left.draw([
        ...names.map((name, k) => left.line(seen(data.levels[name], granted), `chart-${styles[k]}`)),
        left.upright(day, "chart-now"),
      ]),
      right.draw([
        right.level(promise, "chart-quiet"),
        ...names.map((name, k) => right.line(seen(data.shares[name], known), `chart-${styles[k]}`)),
        ...names.flatMap((name, k) => seen(data.shares[name], granted).slice(known)
          .map(([origin, came]) => right.dot(origin, came, `chart-${styles[k]}`, 3.5))),
        right.upright(day, "chart-now"),
      ]),
    ];
    const last = granted - 1, tenths = (number) => `${(100 * number).toFixed(1)} %`;
    const values = {
      day: [day, longDate(day)],
      known: [known, known === 0 ? "none" : `${known}, to ${month(origins[known - 1])}`],
      running: [granted - known, `${granted - known}`],
      level: [level, percent(level)],
      newest: [last, month(origins[last])],
      seen_on: [ends[last], longDate(ends[last])],
    };
    names.forEach((name, k) => {
      const came = last < n ? data.shares[name][last] : NaN;
      const then = last < n ? `${tenths(came)} default` : "not seen";
      values[`recipe_${k}`] = [came, `at ${tenths(data.levels[name][last])}: ${then}`];
    });
    const words = `On ${longDate(day)} the outcomes of ${known} vintages are known and ${granted - known} are ` +
      `running; what is known asks for the level ${percent(level)}.`;
    return { values, panels, words };
  }

  const figures = { loan, lookAlike, levels, vintages };
  if (typeof module === "object" && module.exports) module.exports = figures;
  if (typeof document === "undefined") return;

  function start(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const controls = [...root.querySelectorAll("[data-control]")], plots = [...root.querySelectorAll("svg")];
    let announcement = null;

    function update(event) {
      const state = Object.fromEntries(controls.map((each) => [each.dataset.control, Number(each.value)]));
      const { values, panels, words } = figures[root.dataset.moving](data, state);
      for (const [name, [value, text]] of Object.entries(values)) {
        for (const output of root.querySelectorAll(`[data-output="${name}"]`)) {
          output.textContent = text;
          output.dataset.value = value;
        }
        root.querySelector(`[data-control="${name}"]`)?.setAttribute("aria-valuetext", text);
      }
      panels.forEach((panel, i) => { plots[i].innerHTML = panel; });
      // Read out once the slider rests, and not at every step.
      clearTimeout(announcement);
      if (event) announcement = setTimeout(() => { root.querySelector("[role='status']").textContent = words; }, 400);
    }

    for (const each of controls) each.addEventListener("input", update);
    update();
    // Where the page has the still figure, this one takes its place, above the caption.
    const figure = document.getElementById(root.dataset.still);
    if (figure) {
      figure.querySelector("img").classList.add("moving-still");
      figure.prepend(root);
    }
    root.querySelector(".moving-wait").remove();
    root.querySelector(".moving-live").hidden = false;
  }

  for (const root of document.querySelectorAll("[data-moving]:not([data-ready])")) {
    root.dataset.ready = "";
    start(root);
  }
})();
