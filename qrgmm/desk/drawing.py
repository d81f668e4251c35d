"""Drawings of one seller's forecast for a memo: sales at every level, and the default probability at every loan.

Plain SVG, in the colours of the page. Chapter 19.
"""

import numpy as np

from qrgmm.curve import QuantileCurve
from qrgmm.risk import risk_profile


def draw_law(law: QuantileCurve, refits: list[QuantileCurve], revenue: float, loan: float, unit: str) -> str:
    """Return the law of sales and the default probability of one seller, each with the range of the refits.

    Parameters
    ----------
    law : QuantileCurve
        Of one row.
    refits : list of QuantileCurve
        The same law from refits; may be empty.
    revenue : float
        In currency per unit.
    loan : float
        In currency; 0 for none.
    unit : str
        Of sales.

    Returns
    -------
    str, in HTML

    Examples
    --------
    >>> text = draw_law(QuantileCurve([0.25, 0.5], [[1.0, 3.0]]), [], 2.0, 2.0, "units")
    >>> text.count("<svg"), "dashed, the amount lent" in text
    (2, True)
    """
    levels = np.linspace(0, 1, 101)
    top = max(revenue * float(law.ppf(0.6)[0, 0]), 1.5 * loan, 1e-9)
    loans = np.linspace(0, top, 101)
    curves = {
        "level": (levels, lambda one: one.ppf(levels)[0], 0.0),
        "loan": (loans, lambda one: risk_profile(one, loans, unit_revenue=revenue)["default_probability"][0], loan),
    }
    titles = {"level": f"Sales ({unit}) at every level", "loan": "Default probability at every loan"}
    keys = ["Line, the forecast"]
    if refits:
        keys.append(f"shaded, nine of ten of {len(refits)} refits to redrawn past sales")
    figures = []
    for name, (x, read, mark) in curves.items():
        line, many = read(law), np.array([read(refit) for refit in refits])
        band = np.quantile(many, [0.05, 0.95], axis=0) if refits else None
        high = 1.0 if name == "loan" else float(max(line.max(), 0 if band is None else band.max(), 1e-9))
        low = 0.0 if name == "loan" else float(min(line.min(), 0.0))
        key = "; ".join([*keys, *(["dashed, the amount lent"] if mark else [])]) + "."
        figures.append(_chart(x, line, band, low, high, mark, name, titles[name], key))
    return f'<div class="pair">{"".join(figures)}</div>'


def _chart(x, line, band, low, high, mark, x_label, title, key):
    ticks = [low + share * (high - low) for share in (0.0, 0.5, 1.0)]
    labels = [_tick(value, high - low) for value in ticks]
    # As wide as the longest label, of some 7.5 a letter.
    width, height, bottom = 420, 250, 40
    left = max(36, 14 + 7.5 * max(map(len, labels)))

    def place(xs, ys):
        across = left + (width - left - 12) * np.asarray(xs) / x[-1]
        up = height - bottom - (height - bottom - 14) * (np.clip(ys, low, high) - low) / (high - low)
        return "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up))

    shapes = []
    if band is not None:
        shapes.append(f'<path class="band" d="M{place(np.r_[x, x[::-1]], np.r_[band[0], band[1][::-1]])}Z"/>')
    for share, value, label in zip((0.0, 0.5, 1.0), ticks, labels):
        y = float(place([0.0], [value]).split(",")[1])
        shapes.append(f'<path class="axis" d="M{left},{y}H{width - 12}"/>')
        shapes.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{label}</text>')
        across, anchor = float(place([share * x[-1]], [low]).split(",")[0]), "end" if share == 1 else "middle"
        label = _tick(share * x[-1], x[-1])
        shapes.append(f'<text x="{across}" y="{height - bottom + 16}" text-anchor="{anchor}">{label}</text>')
    if mark:
        shapes.append(f'<path class="mark" d="M{place([mark, mark], [low, high])}"/>')
    shapes.append(f'<path d="M{place(x, line)}" stroke-width="2"/>')
    shapes.append(f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">{x_label}</text>')
    frame = f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{title}. {key}">'
    caption = f'<figcaption>{title}<br><small>{key}</small></figcaption>'
    return f"<figure>{caption}{frame}{''.join(shapes)}</svg></figure>"


def _tick(value, span):
    """A number at an axis that is so long: three digits of the span, and no power of ten."""
    digits = max(0, 2 - int(np.floor(np.log10(span))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
