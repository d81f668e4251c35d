"""The desk's interactive panel: sliders for loan, unit revenue and limits, and the risk that goes with them.

It carries the knots of the laws, style and script with it, so that it works in a page of the book, in a notebook and in
a memo. Chapter 19.
"""

import html
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from qrgmm.curve import QuantileCurve
from qrgmm.desk.safeguards import show_number
from qrgmm.page import embed, slider, to_json

FOLDER = Path(__file__).resolve().parent
PANEL = """<section class="moving desk-panel" aria-label="Loan desk">
<noscript><p>The sliders of this panel need JavaScript; the tables beside it hold the same numbers at fixed limits.</p></noscript>
<div class="moving-live" hidden>
<div class="moving-controls">
<p><label><span>Seller</span><select data-control="seller">{options}</select></label></p>
{sliders}
<p><button type="button" data-control="largest">Set the loan to the largest</button></p>{others}
</div>
<div>
<dl>
<dt>Largest loan</dt><dd><output data-output="largest_loan"></output></dd>
<dt>This loan</dt><dd><output data-output="loan"></output>, <output data-output="verdict"></output></dd>
<dt><abbr title="default probability">PD</abbr></dt><dd><output data-output="default_probability"></output></dd>
<dt><abbr title="expected loss">EL</abbr></dt><dd><output data-output="expected_loss"></output></dd>
<dt><abbr title="loss given default">LGD</abbr></dt><dd><output data-output="loss_given_default"></output></dd>
</dl>
<svg viewBox="0 0 520 270" role="img" aria-label="Default probability and expected loss against the loan"></svg>
<p class="moving-key"><b class="chart-1">solid: PD</b>, <b class="chart-2">dashed: EL as a share of the loan</b>; upright: this loan; dotted: largest loan and largest PD</p>
</div>
<p role="status"></p>
</div>
<script type="application/json">{data}</script>
</section>"""  # noqa: E501
FREE = '<p class="desk-free"><label><input type="checkbox" data-control="no_{name}" autocomplete="off"{checked}><span>no limit on {short}</span></label></p>'  # noqa: E501
# The limits that have a slider: its words, where it stands without a limit, its step and how far it goes, in percent.
SLIDERS = {
    "max_default_probability": ("Largest PD", "PD", 5, "0.1", 30),
    "max_expected_loss_rate": ("Largest EL, share of the loan", "EL", 1, "0.05", 5),
}
OTHERS = {
    "max_expected_loss": "Expected loss",
    "max_conditional_value_at_risk": "CVaR at the level 0.95",
    "cap": "Loan",
}


def panel(
    curve: QuantileCurve,
    names: list[str],
    unit_revenue: ArrayLike = 1.0,
    limits: dict[str, float] | None = None,
) -> str:
    """Return the interactive panel: sliders for loan, unit revenue and limits, and the risk that goes with them.

    Parameters
    ----------
    curve : QuantileCurve
        One row per seller, floored at 0; its knots are written with all their digits.
    names : list of str
        One per seller.
    unit_revenue : float or array of shape (n_sellers,)
        Where the slider starts, in currency per unit.
    limits : dict, optional
        Of `largest_loan`, each a number. The sliders of `max_default_probability` and `max_expected_loss_rate` start
        there, to the last digit, with steps and range that go with the number; without a limit its box is ticked. The
        other limits are kept and have no slider. None, and an infinite `cap`, stand for no limit.

    Returns
    -------
    str
        HTML with style, data and script; no file and no other host is asked for anything.

    Raises
    ------
    ValueError
        If there is not one name per seller, or a limit is unknown, NaN, negative, or (probability) above 1.

    Notes
    -----
    Chapter 19. The script repeats `default_probability`, `expected_loss`, `loss_given_default` and `largest_loan`.

    Examples
    --------
    >>> from qrgmm.curve import QuantileCurve
    >>> text = panel(QuantileCurve([0.25, 0.5, 0.75], [10.0, 20.0, 40.0]), ["A & B"], 3.0)
    >>> "A &amp; B" in text, '"values":[10.0,20.0,40.0]' in text
    (True, True)
    """
    if len(names) != len(curve):
        raise ValueError(f"names must have {len(curve)} entries, one per seller, got {len(names)}")
    curve, limits = curve.clip(lower=0.0), _check_limits(limits or {})
    revenue = np.broadcast_to(np.asarray(unit_revenue, dtype=float), (len(curve),)).tolist()
    shared = {"below": curve.below.tolist(), "up_to": curve.up_to.tolist()}
    sellers = [
        {"name": str(name), "unit_revenue": r, "values": values}
        for name, r, values in zip(names, revenue, curve.values.tolist())
    ]
    if curve.below.ndim == 2:
        for i, seller in enumerate(sellers):
            seller |= {part: rows[i] for part, rows in shared.items()}
        shared = {}
    fixed = {name: limits.get(name) for name in OTHERS}
    sliders = {name: limits.get(name) for name in SLIDERS}
    others = [f"{OTHERS[name]} up to {show_number(limit)}." for name, limit in fixed.items() if limit is not None]
    of_loan = [slider("loan", "Loan", 0, 100, 1, 0), slider("unit_revenue", "Unit revenue", 50, 150, 1, 100)]
    text = PANEL.format(
        options="".join(f"<option>{html.escape(str(name))}</option>" for name in names),
        sliders="\n".join([*of_loan, *(_limit_slider(name, limit) for name, limit in sliders.items())]),
        others="".join(f"\n<p>{words}</p>" for words in others),
        data=to_json(shared | fixed | sliders | {"sellers": sellers}),
    )
    return embed(text, FOLDER / "panel.css", FOLDER / "panel.js")


def _check_limits(limits):
    """The limits that limit something, as floats."""
    unknown = [name for name in limits if name not in SLIDERS and name not in OTHERS]
    if unknown:
        raise ValueError(f"limits must be some of {[*SLIDERS, *OTHERS]}, got {unknown}")
    kept = {name: float(limit) for name, limit in limits.items() if limit is not None}
    for name, limit in kept.items():
        top = 1.0 if name == "max_default_probability" else np.inf
        if not 0 <= limit <= top:
            raise ValueError(f"{name} must lie in [0, {top:g}], got {limit!r}")
    return {name: limit for name, limit in kept.items() if np.isfinite(limit)}


def _limit_slider(name, limit):
    """A slider, in percent, on which the limit is one of the steps whatever it is, and the box for no limit."""
    words, short, usual, step, high = SLIDERS[name]
    # In decimals, as the browser counts its steps: from the lowest value on.
    value, step = Decimal(usual) if limit is None else 100 * Decimal(repr(limit)), Decimal(step)
    if 0 < value < 10 * step:
        step = min(step, Decimal(10) ** (value.adjusted() - 1))
    low = value % step or min(step, value)
    high = high if value <= high else max(100, math.ceil(value))
    shown = {part: f"{number.normalize():f}" for part, number in (("low", low), ("step", step), ("value", value))}
    checked = " checked" if limit is None else ""
    return slider(name, words, high=high, **shown) + "\n" + FREE.format(name=name, short=short, checked=checked)
