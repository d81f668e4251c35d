// The lender's desk in a page: the risk measures of a loan, exactly as qrgmm.risk computes them, and the controls that
// move it. A law is its knots q and two lists, the probability below each knot and up to it, which all laws share unless
// they were cut at 0. No library; qrgmm.desk.panel puts this file into the chapter's page and into every memo.
(() => {
  "use strict";

  // How many knots lie below y, or, with `closed`, not above it.
  function countKnots(q, y, closed) {
    let low = 0, high = q.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (q[middle] < y || (closed && q[middle] === y)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // [P(Y < y), E(y - Y)^+]; with `closed` the first is P(Y <= y).
  function moments(law, q, y, closed = false) {
    const j = countKnots(q, y, closed), last = q.length;
    if (j === 0) return [0, 0];
    let shortfall = 0;
    for (let i = 1; i < j; i++) {
      shortfall += (q[i] - q[i - 1]) * (law.up_to[i - 1] + law.below[i]) / 2;
    }
    const depth = y - q[j - 1];
    const width = j < last ? q[j] - q[j - 1] : 1;
    const spread = j < last ? law.below[j] - law.up_to[j - 1] : 0;
    const partial = width > 0 ? spread * (depth / width) : 0;
    const probability = Math.min(law.up_to[j - 1] + partial, j < last ? law.below[j] : 1);
    return [probability, shortfall + depth * law.up_to[j - 1] + depth * partial / 2];
  }

  // inf{y: P(Y <= y) >= u}, or, with `upper`, sup{y: P(Y < y) <= u}.
  function quantile(law, q, u, upper = false) {
    const knot = Math.min(countKnots(law.up_to, u, upper), q.length - 1), left = Math.max(knot - 1, 0);
    const short = Math.max(law.below[knot] - u, 0);
    const share = short > 0 && knot > 0 ? short / (law.below[knot] - law.up_to[left]) : 0;
    return q[knot] - share * (q[knot] - q[left]);
  }

  // The sales that pay the loan; where those on a knot do up to rounding, that knot. Products with powers of two are exact.
  function breakEven(q, revenue, loan) {
    const sales = loan / revenue, slack = Number.isInteger(Math.log2(revenue)) ? 0 : 2 * Number.EPSILON * Math.abs(sales);
    const knot = q[Math.min(countKnots(q, sales - slack, false), q.length - 1)];
    return Math.abs(knot - sales) <= slack ? knot : sales;
  }

  function riskAt(law, q, revenue, loan) {
    const [probability, shortfall] = moments(law, q, breakEven(q, revenue, loan));
    const expected = revenue * shortfall;
    return { default_probability: probability, expected_loss: expected, loss_given_default: expected / probability };
  }

  function largestByProbability(law, q, revenue, limit) {
    if (limit >= 1) return Infinity;
    const sales = quantile(law, q, limit, true);
    let loan = revenue * sales;
    // On an atom the last bit decides: the loan over the revenue must not come out above the sales.
    while (loan > 0 && loan / revenue > sales) loan *= 1 - Number.EPSILON / 2;
    return loan;
  }

  // Largest c with E(c - Y)^+ <= amount + rate c: the root right of the minimum of a convex function.
  function largestByLoss(law, q, amount, rate) {
    if (rate >= 1) return Infinity;
    const lowest = quantile(law, q, rate);
    const excess = (y) => moments(law, q, y)[1] - amount - rate * y;
    let start = null;
    for (const y of [lowest, ...q.map((knot) => Math.max(knot, lowest))]) if (excess(y) <= 0) start = y;
    if (start === null) return 0;
    const j = countKnots(q, start, true), inside = j > 0 && j < q.length;
    const density = inside ? (law.below[j] - law.up_to[j - 1]) / (q[j] - q[j - 1]) : 0;
    const room = Math.max(-excess(start), 0), slope = Math.max(moments(law, q, start, true)[0] - rate, 0);
    const denominator = slope + Math.sqrt(slope * slope + 2 * density * room);
    return start + (denominator > 0 ? 2 * room / denominator : room > 0 ? Infinity : 0);
  }

  // Largest c with a mean of (c - Y)^+ in the worst share p of cases that is within the limit.
  function largestByTailLoss(law, q, limit, p) {
    const worst = quantile(law, q, p), atWorst = moments(law, q, worst)[1];
    if (p * limit <= atWorst) return Math.min(largestByLoss(law, q, p * limit, 0), worst);
    return worst + limit - atWorst / p;
  }

  // Limits that are null do not count.
  function largestLoan(law, q, revenue, limits) {
    const bounds = [Infinity];
    if (limits.max_default_probability != null) {
      bounds.push(largestByProbability(law, q, revenue, limits.max_default_probability));
    }
    if (limits.max_expected_loss != null) bounds.push(revenue * largestByLoss(law, q, limits.max_expected_loss / revenue, 0));
    if (limits.max_expected_loss_rate != null) bounds.push(revenue * largestByLoss(law, q, 0, limits.max_expected_loss_rate));
    if (limits.max_conditional_value_at_risk != null) {
      bounds.push(revenue * largestByTailLoss(law, q, limits.max_conditional_value_at_risk / revenue, 0.05));
    }
    if (limits.cap != null) bounds.push(limits.cap);
    return Math.max(Math.min(...bounds), 0);
  }

  if (typeof module === "object" && module.exports) module.exports = { riskAt, largestLoan };
  if (typeof document === "undefined") return;

  const places = (x) => Math.abs(x) < 100 ? 2 : Math.abs(x) < 1000 ? 1 : 0;
  const money = (x) => x.toLocaleString("en-GB", { minimumFractionDigits: places(x), maximumFractionDigits: places(x) });
  const round = (x) => x.toLocaleString("en-GB", { maximumFractionDigits: places(x) });
  const percent = (x) => {
    const digits = x > 0 && x < 0.01 ? Math.min(1 - Math.floor(Math.log10(100 * x)) + 1, 12) : 2;
    return `${(100 * x).toLocaleString("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: digits })} %`;
  };

  // A round number not below x, and the step of a slider that goes there in some hundred steps.
  function roundUp(x) {
    const unit = 10 ** Math.floor(Math.log10(x));
    const top = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= x * (1 - 1e-12)) * unit;
    return { top, step: unit / 100 };
  }

  function draw(svg, law, seller, state) {
    const width = 520, height = 270, left = 58, right = 14, top = 16, bottom = 42;
    const x = (loan) => left + (width - left - right) * loan / state.top;
    const y = (share) => height - bottom - (height - top - bottom) * share;
    const path = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("");
    const at = (loan) => riskAt(law, seller.values, state.revenue, loan);
    const probability = [[0, at(0).default_probability]];
    seller.values.forEach((knot, j) => {
      const loan = knot * state.revenue;
      if (loan > 0 && loan < state.top) probability.push([loan, law.below[j]], [loan, law.up_to[j]]);
    });
    probability.push([state.top, at(state.top).default_probability]);
    const rate = Array.from({ length: 120 }, (_, i) => (i + 1) * state.top / 120);
    const ticks = [0, 0.25, 0.5, 0.75, 1];
    const limit = state.limits.max_default_probability;
    const now = at(state.loan);
    const upright = (loan, name) => `<path class="desk-${name}" d="M${x(loan)},${y(0)}V${y(1)}"/>`;
    svg.innerHTML = [
      ...ticks.map((t) => `<path class="desk-grid" d="M${left},${y(t)}H${width - right}"/>
        <text x="${left - 6}" y="${y(t) + 4}" text-anchor="end">${100 * t} %</text>
        <text x="${x(t * state.top)}" y="${height - bottom + 18}" text-anchor="${t < 1 ? "middle" : "end"}">${round(t * state.top)}</text>`),
      `<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">loan (currency)</text>`,
      limit == null ? "" : `<path class="desk-limit" d="M${left},${y(limit)}H${width - right}"/>`,
      state.largest <= state.top ? upright(state.largest, "largest") : "",
      upright(state.loan, "loan"),
      `<path class="desk-el" d="${path(rate.map((loan) => [loan, at(loan).expected_loss / loan]))}"/>`,
      `<path class="desk-pd" d="${path(probability)}"/>`,
      `<circle class="desk-pd" cx="${x(state.loan)}" cy="${y(now.default_probability)}" r="4.5"/>`,
      state.loan > 0
        ? `<circle class="desk-el" cx="${x(state.loan)}" cy="${y(now.expected_loss / state.loan)}" r="4.5"/>` : "",
    ].join("");
  }

  function start(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const control = (name) => root.querySelector(`[data-control="${name}"]`);
    const seller = () => data.sellers[control("seller").selectedIndex];
    const lawOf = (chosen) => chosen.below ? chosen : data;
    const sliders = ["max_default_probability", "max_expected_loss_rate"];
    const opened = Object.fromEntries(sliders.map((name) => [name, control(name).value]));
    // Where the loan stands after the button was used: the slider goes in steps, the largest loan does not.
    let announcement = null, placed = { at: null, loan: null };

    function show(name, value, text) {
      for (const output of root.querySelectorAll(`[data-output="${name}"]`)) {
        output.textContent = text;
        output.dataset.value = value;
      }
      control(name)?.setAttribute("aria-valuetext", text);
    }

    // Until its slider is moved, a limit is the memo's own, to the last digit.
    function readLimits() {
      const limits = { ...data, sellers: null };
      for (const name of sliders) {
        const input = control(name);
        if (control(`no_${name}`).checked) limits[name] = null;
        else if (data[name] == null || input.value !== opened[name]) limits[name] = Number(input.value) / 100;
      }
      return limits;
    }

    function update() {
      const chosen = seller(), law = lawOf(chosen), slider = control("loan");
      const state = { limits: readLimits(), top: Number(slider.max) };
      state.loan = slider.value === placed.at ? placed.loan : Number(slider.value);
      state.revenue = chosen.unit_revenue * (Number(control("unit_revenue").value) / 100);
      state.largest = largestLoan(law, chosen.values, state.revenue, state.limits);
      const risk = riskAt(law, chosen.values, state.revenue, state.loan);
      const rate = state.loan > 0 ? risk.expected_loss / state.loan : 0;
      show("loan", state.loan, round(state.loan));
      show("unit_revenue", state.revenue, `${money(state.revenue)} (${control("unit_revenue").value} %)`);
      for (const name of sliders) {
        const limit = state.limits[name];
        control(name).disabled = limit == null;
        show(name, limit ?? "", limit == null ? "no limit" : percent(limit));
      }
      show("default_probability", risk.default_probability, percent(risk.default_probability));
      show("expected_loss", risk.expected_loss, `${money(risk.expected_loss)} (${percent(rate)} of the loan)`);
      const given = risk.loss_given_default;
      show("loss_given_default", given, Number.isNaN(given) ? "no default possible" : money(given));
      show("largest_loan", state.largest, Number.isFinite(state.largest) ? money(state.largest) : "not limited");
      const kept = state.loan <= state.largest;
      show("verdict", kept, kept ? "within the limits" : "breaks a limit");
      root.dataset.kept = kept;
      control("largest").disabled = !Number.isFinite(state.largest);
      draw(root.querySelector("svg"), law, chosen, state);
      // Read out once the slider rests, and not at every step.
      clearTimeout(announcement);
      announcement = setTimeout(() => {
        root.querySelector("[role='status']").textContent = `${chosen.name}: a loan of ${round(state.loan)} has ` +
          `a default probability of ${percent(risk.default_probability)} and is ${kept ? "within the limits" : "beyond a limit"}; ` +
          (Number.isFinite(state.largest) ? `the largest loan is ${money(state.largest)}.` : "no limit bounds the loan.");
      }, 400);
    }

    function largest() {
      const chosen = seller(), revenue = chosen.unit_revenue * (Number(control("unit_revenue").value) / 100);
      return largestLoan(lawOf(chosen), chosen.values, revenue, readLimits());
    }

    // The slider on the last step within the largest loan, and the loan itself on the largest.
    function takeLargest() {
      const loan = control("loan"), step = Number(loan.step), most = Math.min(largest(), Number(loan.max));
      loan.value = Math.floor(most / step) * step;
      if (Number(loan.value) > most) loan.stepDown();
      placed = { at: loan.value, loan: most };
      update();
    }

    function chooseSeller() {
      const chosen = seller(), high = chosen.unit_revenue * quantile(lawOf(chosen), chosen.values, 0.6);
      control("unit_revenue").value = 100;
      const most = largest();
      const { top, step } = roundUp(Math.max(high, Number.isFinite(most) ? 1.2 * most : 0) || 1);
      Object.assign(control("loan"), { max: top, step });
      takeLargest();
    }

    root.querySelector(".desk-live").hidden = false;
    for (const input of root.querySelectorAll("input")) input.addEventListener("input", update);
    control("seller").addEventListener("change", chooseSeller);
    control("largest").addEventListener("click", takeLargest);
    chooseSeller();
  }

  for (const root of document.querySelectorAll(".desk-panel:not([data-ready])")) {
    root.dataset.ready = "";
    start(root);
  }
})();
