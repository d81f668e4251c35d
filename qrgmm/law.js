// A law of sales in a page: the risk of a loan, exactly as qrgmm.risk computes it. A law is its knots q and two lists,
// the probability below each knot and up to it, which several laws may share. No library; the book has this file for
// its figures that move, and the panel of qrgmm.desk puts it into every memo.
globalThis.qrgmmLaw = (() => {
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

  // The sales that pay the loan; where those on a knot do up to rounding, that knot. Products with powers of two are
  // exact.
  function breakEven(q, revenue, loan) {
    const sales = loan / revenue;
    const slack = Number.isInteger(Math.log2(revenue)) ? 0 : 2 * Number.EPSILON * Math.abs(sales);
    const knot = q[Math.min(countKnots(q, sales - slack, false), q.length - 1)];
    return Math.abs(knot - sales) <= slack ? knot : sales;
  }

  // E((y - Y)^+)^2: of each knot its atom, of each piece between two of them the mean of a square that is linear on it.
  function squaredShortfall(law, q, y) {
    const j = countKnots(q, y, false);
    let square = 0;
    for (let i = 0; i < j; i++) {
      const left = y - q[i], whole = i + 1 < j, right = whole ? y - q[i + 1] : 0;
      square += (law.up_to[i] - law.below[i]) * left * left;
      if (i + 1 === q.length) break;
      const mass = law.below[i + 1] - law.up_to[i], share = whole ? 1 : left / (q[i + 1] - q[i]);
      square += mass * share * (left * left + left * right + right * right) / 3;
    }
    return square;
  }

  function riskAt(law, q, revenue, loan) {
    const sales = breakEven(q, revenue, loan), [probability, shortfall] = moments(law, q, sales);
    const expected = revenue * shortfall;
    return {
      default_probability: probability,
      expected_loss: expected,
      loss_given_default: expected / probability,
      squared_loss: revenue * revenue * squaredShortfall(law, q, sales),
    };
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
    if (limits.max_expected_loss != null) {
      bounds.push(revenue * largestByLoss(law, q, limits.max_expected_loss / revenue, 0));
    }
    if (limits.max_expected_loss_rate != null) {
      bounds.push(revenue * largestByLoss(law, q, 0, limits.max_expected_loss_rate));
    }
    if (limits.max_conditional_value_at_risk != null) {
      bounds.push(revenue * largestByTailLoss(law, q, limits.max_conditional_value_at_risk / revenue, 0.05));
    }
    if (limits.cap != null) bounds.push(limits.cap);
    return Math.max(Math.min(...bounds), 0);
  }

  // The points of PD against the loan, from 0 to `top`; between them it is linear.
  function probabilityLine(law, q, revenue, top) {
    const end = (loan) => [loan, riskAt(law, q, revenue, loan).default_probability];
    const inside = q.flatMap((knot, j) => {
      const loan = knot * revenue;
      return loan > 0 && loan < top ? [[loan, law.below[j]], [loan, law.up_to[j]]] : [];
    });
    return [end(0), ...inside, end(top)];
  }

  const functions = { quantile, riskAt, largestLoan, probabilityLine };
  if (typeof module === "object" && module.exports) module.exports = functions;
  return functions;
})();
