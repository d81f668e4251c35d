"""The desk's interactive panel: sliders for loan, unit revenue and limits, and the risk that goes with them.

It carries the knots of the laws, style and script with it, so that it works in a page of the book, in a notebook and in
a memo. Chapter 16.
"""

import html
import json
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from qrgmm.curve import QuantileCurve

FOLDER = Path(__file__).resolve().parent
PANEL = """<section class="desk-panel" aria-label="Loan desk">
<noscript><p>The sliders of this panel need JavaScript; the tables beside it hold the same numbers at fixed limits.</p></noscript>
<div class="desk-live" hidden>
<div class="desk-controls">
<p><label><span>Seller</span><select data-control="seller">{options}</select></label></p>
<p><label><span>Loan</span><input type="range" data-control="loan" min="0" max="100" step="1"></label><output data-output="loan"></output></p>
<p><label><span>Unit revenue</span><input type="range" data-control="unit_revenue" min="50" max="150" step="1" value="100"></label><output data-output="unit_revenue"></output></p>
<p><label><span>Largest PD</span><input type="range" data-control="max_default_probability" min="0.5" max="30" step="0.1" value="{probability}"></label><output data-output="max_default_probability"></output></p>
<p><label><span>Largest EL, share of the loan</span><input type="range" data-control="max_expected_loss_rate" min="0.05" max="5" step="0.05" value="{rate}"></label><output data-output="max_expected_loss_rate"></output></p>
<p><button type="button" data-control="largest">Set the loan to the largest</button></p>{cap}
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
<p class="desk-key"><b class="desk-pd">solid: PD</b>, <b class="desk-el">dashed: EL as a share of the loan</b>; upright: this loan; dotted: largest loan and largest PD</p>
</div>
<p role="status"></p>
</div>
<script type="application/json">{data}</script>
</section>
<script>{script}</script>"""  # noqa: E501


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
        One row per seller; its knots are written with all their digits.
    names : list of str
        One per seller.
    unit_revenue : float or array of shape (n_sellers,)
        Where the slider starts, in currency per unit.
    limits : dict, optional
        Where the sliders start: `max_default_probability` from 0.005 and `max_expected_loss_rate` from 0.0005, in steps
        of 0.1 and 0.05 percentage points; and `cap`, which has no slider.

    Returns
    -------
    str
        HTML with style, data and script; no file and no other host is asked for anything.

    Raises
    ------
    ValueError
        If there is not one name per seller.

    Notes
    -----
    Chapter 16. The script repeats `default_probability`, `expected_loss`, `loss_given_default` and `largest_loan`.

    Examples
    --------
    >>> from qrgmm.curve import QuantileCurve
    >>> text = panel(QuantileCurve([0.25, 0.5, 0.75], [10.0, 20.0, 40.0]), ["A & B"], 3.0)
    >>> "A &amp; B" in text, '"values": [10.0, 20.0, 40.0]' in text
    (True, True)
    """
    if len(names) != len(curve):
        raise ValueError(f"names must have {len(curve)} entries, one per seller, got {len(names)}")
    limits = limits or {}
    revenue = np.broadcast_to(np.asarray(unit_revenue, dtype=float), (len(curve),)).tolist()
    rows = zip(names, revenue, curve.values.tolist())
    sellers = [{"name": str(name), "unit_revenue": r, "values": values} for name, r, values in rows]
    cap = limits.get("cap")
    data = {"below": curve.below.tolist(), "up_to": curve.up_to.tolist(), "cap": cap, "sellers": sellers}
    text = PANEL.format(
        options="".join(f"<option>{html.escape(str(name))}</option>" for name in names),
        probability=_percent_or_top(limits.get("max_default_probability"), 30),
        rate=_percent_or_top(limits.get("max_expected_loss_rate"), 5),
        cap="" if cap is None else f"\n<p>No loan above {cap:,.0f}.</p>",
        data=json.dumps(data).replace("<", "\\u003c"),
        script=(FOLDER / "panel.js").read_text(encoding="utf-8"),
    )
    return f"<style>{(FOLDER / 'panel.css').read_text(encoding='utf-8')}</style>\n{text}"


def _percent_or_top(limit, top):
    """Where a limit's slider stands, in percent; its right end for no limit."""
    return top if limit is None else round(100 * limit, 9)
