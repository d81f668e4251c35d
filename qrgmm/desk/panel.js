// The lender's desk in a page: the controls that move a loan, and the risk that goes with it. qrgmm.desk.panel puts
// this file, after law.js and chart.js, into the chapter's page and into every memo.
(() => {
  "use strict";
  const { quantile, riskAt, largestLoan, probabilityLine } = globalThis.qrgmmLaw;
  const { money, round, percent, share, axes } = globalThis.qrgmmChart;

  // A round number not below x, and the step of a slider that goes there in some hundred steps.
  function roundUp(x) {
    const unit = 10 ** Math.floor(Math.log10(x));
    const top = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= x * (1 - 1e-12)) * unit;
    return { top, step: unit / 100 };
  }

  function draw(svg, law, seller, state) {
    const at = (loan) => riskAt(law, seller.values, state.revenue, loan), now = at(state.loan);
    const plot = axes({
      x: [0, state.top], y: [0, 1], xLabel: "loan (currency)", yText: share, width: 520, height: 270,
      xTicks: [0, 0.25, 0.5, 0.75, 1].map((t) => t * state.top), yTicks: [0, 0.25, 0.5, 0.75, 1],
    });
    const limit = state.limits.max_default_probability;
    const rate = Array.from({ length: 120 }, (_, i) => (i + 1) * state.top / 120);
    svg.innerHTML = plot.draw([
      limit == null ? "" : plot.level(limit, "chart-quiet"),
      state.largest <= state.top ? plot.upright(state.largest, "chart-quiet") : "",
      plot.upright(state.loan, "chart-now"),
      plot.line(rate.map((loan) => [loan, at(loan).expected_loss / loan]), "chart-2"),
      plot.line(probabilityLine(law, seller.values, state.revenue, state.top), "chart-1"),
      plot.dot(state.loan, now.default_probability, "chart-1"),
      state.loan > 0 ? plot.dot(state.loan, now.expected_loss / state.loan, "chart-2") : "",
    ]);
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

    root.querySelector(".moving-live").hidden = false;
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
