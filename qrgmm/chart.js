// What the figures of a page share: how numbers are written, and axes with what stands in them, as the text of an SVG.
// No library. Colours and strokes are those of the classes in moving.css.
globalThis.qrgmmChart = (() => {
  "use strict";

  const places = (x) => Math.abs(x) < 100 ? 2 : Math.abs(x) < 1000 ? 1 : 0;
  const write = (x, minimumFractionDigits, maximumFractionDigits) =>
    x.toLocaleString("en-GB", { minimumFractionDigits, maximumFractionDigits });
  const money = (x) => write(x, places(x), places(x));
  const round = (x) => write(x, 0, places(x));
  const percent = (x) => {
    const digits = x > 0 && x < 0.01 ? Math.min(1 - Math.floor(Math.log10(100 * x)) + 1, 12) : 2;
    return `${write(100 * x, 1, digits)} %`;
  };
  const share = (x) => `${Math.round(100 * x)} %`;

  // Round numbers that cover the way from low to high in some five steps, the last not below high.
  function ticks(low, high) {
    const unit = 10 ** Math.floor(Math.log10((high - low) / 5));
    const step = [1, 2, 5, 10].find((factor) => factor * unit * 5 >= (high - low) * (1 - 1e-9)) * unit;
    const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  }

  // Axes over the ranges x and y, each [lowest, highest]; what they return draws into them.
  function axes({ x, y, xLabel, yLabel = "", xTicks = ticks(...x), yTicks = ticks(...y), xText = round, yText = round,
    width = 340, height = 210 }) {
    const left = 54, right = width - 12, top = yLabel ? 26 : 14, bottom = height - 38;
    const across = (a) => (left + (right - left) * (a - x[0]) / (x[1] - x[0])).toFixed(1);
    const up = (b) => (bottom - (bottom - top) * (b - y[0]) / (y[1] - y[0])).toFixed(1);
    const within = (range) => (t) => t >= range[0] - 1e-9 && t <= range[1] + 1e-9;
    // A point without a height ends the line, and the next begins another.
    const line = (points, name) => {
      const known = ([, b]) => b != null && !Number.isNaN(b);
      const path = points.map((point, i) => known(point)
        ? `${i > 0 && known(points[i - 1]) ? "L" : "M"}${across(point[0])},${up(point[1])}` : "").join("");
      return `<path class="${name}" d="${path}"/>`;
    };
    const frame = [
      ...yTicks.filter(within(y)).map((t) => `<path class="chart-grid" d="M${left},${up(t)}H${right}"/>
        <text x="${left - 6}" y="${Number(up(t)) + 4}" text-anchor="end">${yText(t)}</text>`),
      ...xTicks.filter(within(x)).map((t) => `<text x="${across(t)}" y="${bottom + 17}"
        text-anchor="${t < x[1] ? "middle" : "end"}">${xText(t)}</text>`),
      `<text x="${(left + right) / 2}" y="${height - 4}" text-anchor="middle">${xLabel}</text>`,
      yLabel ? `<text x="4" y="13">${yLabel}</text>` : "",
    ];
    return {
      line,
      upright: (a, name, low = y[0], high = y[1]) => line([[a, low], [a, high]], name),
      level: (b, name, low = x[0], high = x[1]) => line([[low, b], [high, b]], name),
      dot: (a, b, name, radius = 4.5) => b == null || Number.isNaN(b)
        ? "" : `<circle class="${name}" cx="${across(a)}" cy="${up(b)}" r="${radius}"/>`,
      bar: (a, c, low, high, name) => `<rect class="${name}" x="${across(a)}" y="${up(high)}"
        width="${(across(c) - across(a)).toFixed(1)}" height="${(up(low) - up(high)).toFixed(1)}"/>`,
      draw: (parts) => [...frame, ...parts].join(""),
    };
  }

  return { money, round, percent, share, ticks, axes };
})();
