"""Figures that a reader moves: controls beside curves, and the numbers that go with them, computed in the page.

A chapter hands its own objects to one of the functions below and gets controls and numbers. In the chapter's page
`moving.js`, one script of the book, makes a figure of them that takes the place of a still one; that one remains in a
notebook, on paper, and wherever there is no script. Chapters 1, 2, 3 and 16.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.checks import check_level, check_levels, check_sample, check_span, check_table
from qrgmm.curve import QuantileCurve
from qrgmm.page import FOLDER, law_parts, slider, to_json
from qrgmm.recalibration import recalibrated_level

SCRIPT = FOLDER / "moving.js"  # beside those that `qrgmm.page` shares
MEASURES = ["default_probability", "expected_loss", "loss_given_default", "root_squared_loss"]
# Digits that a page carries: enough for what it shows, and few enough to be the same on every machine.
PROBABILITY_DIGITS, COEFFICIENT_DIGITS, OUTCOME_DIGITS = 9, 9, 4
DRAWN_DIGITS = 5  # significant ones, of what is only drawn
N_KNOTS = 160  # of a smooth law: near enough for the digits that are shown
NUMBER = '<div><dt>{words}</dt><dd><output data-output="{name}" aria-live="off"></output></dd></div>'
PLOT = '<svg viewBox="0 0 340 210" role="img" aria-label="{words}"></svg>'
FIGURE = """<section class="moving moving-figure" data-moving="{kind}" data-still="{still}" aria-label="{words}">
<p class="moving-wait">With JavaScript, in the page of the book, the figure above can be moved.</p>
<div class="moving-live" hidden>
<div class="moving-controls">
{controls}
</div>
<div class="moving-plots">
<dl{wide}>
{numbers}
</dl>
{plots}
</div>
<p class="moving-key">{key}</p>
<p class="moving-spoken" role="status" aria-live="polite"></p>
</div>
<script type="application/json">{data}</script>
</section>"""


class MovingFigure:
    """What a cell displays for the page of the book to make a moving figure of; on paper it is nothing.

    Parameters
    ----------
    text : str
        HTML with controls and numbers.

    Examples
    --------
    >>> MovingFigure("<section></section>")
    A figure that moves in a browser.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_html_(self):
        return self.text

    def _repr_latex_(self):
        return ""

    def __repr__(self) -> str:
        return "A figure that moves in a browser."


def loan_figure(
    curve: QuantileCurve,
    loans: ArrayLike,
    closed_form: Mapping[str, ArrayLike],
    *,
    loan: float,
    still: str,
    unit_revenue: float = 1.0,
) -> MovingFigure:
    """Return the figure of chapter 1: the loan is moved, and its four measures of risk move along their curves.

    Parameters
    ----------
    curve : QuantileCurve
        One law of sales; its knots are written with six decimals of a unit.
    loans : array of shape (n_loans,)
        In currency, increasing by equal steps from 0: the steps of the slider.
    closed_form : mapping of str to array of shape (n_loans,)
        Axis label -> what is drawn behind the curve: PD, EL, LGD (NaN where undefined) and the root of the mean squared
        loss, in this order.
    loan : float
        Where the slider starts, in currency.
    still : str
        The name of the still figure.
    unit_revenue : float
        In currency per unit.

    Returns
    -------
    MovingFigure

    Raises
    ------
    ValueError
        If there is more than one law, not four measures, or not one value for every loan.

    Notes
    -----
    Chapter 1. The script repeats `risk_profile`.

    Examples
    --------
    >>> law, loans = QuantileCurve([0.25, 0.5, 0.75], [10.0, 20.0, 40.0]), [0.0, 25.0, 50.0]
    >>> truth = {name: loans for name in ("PD", "EL", "LGD", "root of the squared loss")}
    >>> '"values":[10.0,20.0,40.0]' in loan_figure(law, loans, truth, loan=25.0, still="fig-a").text
    True
    """
    loans = check_sample("loans", loans)
    if len(closed_form) != len(MEASURES):
        raise ValueError(f"closed_form must have {len(MEASURES)} measures, got {len(closed_form)}")
    lines = {label: np.asarray(values, dtype=float) for label, values in closed_form.items()}
    if wrong := [label for label, values in lines.items() if values.shape != loans.shape]:
        raise ValueError(f"closed_form must have {len(loans)} values each, one per loan, but not {wrong[0]}")
    data = law_parts(curve) | {
        "unit_revenue": unit_revenue,
        "loan": loan,
        "loans": loans.tolist(),
        "labels": list(lines),
        "closed_form": {name: _drawn(values) for name, values in zip(MEASURES, lines.values())},
    }
    return _figure(
        "loan",
        "Four measures of risk, and a loan to move",
        data,
        still=still,
        controls=[slider("loan", "Loan (currency)", 0, loans[-1], loans[1] - loans[0], loan)],
        numbers=dict(zip(MEASURES, ["PD", "EL", "LGD", "Root mean squared loss"])),
        plots=[f"{label} against the loan" for label in lines],
        key=[("black", "solid: closed form"), ("2", "dashed: quantile curve"), ("quiet", "dotted: the loan asked for")],
    )


def look_alike_figure(
    law: Any,
    look_alike: Any,
    past_sales: ArrayLike,
    *,
    limit: float,
    still: str,
    unit_revenue: float = 1.0,
) -> MovingFigure:
    """Return the figure of chapter 2: the limit on PD is moved, and the loan that a law grants goes with it.

    Parameters
    ----------
    law, look_alike : frozen distributions of SciPy
        Of sales above 0: the truth, and a law that looks like it. The page carries both distribution functions at the
        same sales, with nine decimals, and they are straight in between: the figure is exact for these two laws, and
        their mixtures, and near to the ones that were given.
    past_sales : array of shape (n,)
        In units.
    limit : float
        The default probability at which the slider starts, in [0.01, 0.2].
    still : str
        The name of the still figure.
    unit_revenue : float
        In currency per unit.

    Returns
    -------
    MovingFigure

    Raises
    ------
    ValueError
        If the limit is none of the slider's.

    Notes
    -----
    Chapter 2. The script repeats `largest_loan` and `default_probability`.

    Examples
    --------
    >>> from scipy import stats
    >>> figure = look_alike_figure(stats.gamma(2), stats.lognorm(0.6), [1.0, 2.0], limit=0.05, still="fig-a")
    >>> 'value="5"' in figure.text
    True
    """
    past_sales = check_sample("past_sales", past_sales)
    if not 0.01 <= limit <= 0.2:
        raise ValueError(f"limit must lie in [0.01, 0.2], got {limit!r}")
    # Sales that lie close together where either end of the law is, and levels that rise from each to the next.
    sales = law.ppf(np.sin(np.pi / 2 * np.arange(1, N_KNOTS) / N_KNOTS) ** 2).round(3)
    levels = [each.cdf(sales).round(PROBABILITY_DIGITS) for each in (law, look_alike)]
    kept = np.all([(np.diff(each, prepend=0.0) > 0) & (each < 1) for each in levels], axis=0)
    curves = [QuantileCurve(each[kept], sales[kept]) for each in levels]
    low_end = float(np.ceil(max(each.ppf(0.2) for each in (law, look_alike))))
    shown = np.linspace(0, law.ppf(0.995), 101)
    bars, edges = np.histogram(past_sales, bins=20, range=(0, shown[-1]), density=True)
    parts = [law_parts(curve) | {"density": _drawn(each.pdf(shown))} for curve, each in zip(curves, (law, look_alike))]
    data = {
        "unit_revenue": unit_revenue,
        "values": [part.pop("values") for part in parts][0],
        "truth": parts[0],
        "model": parts[1],
        "sales": _drawn(shown),
        "bars": _drawn(bars),
        "edges": _drawn(edges),
        "low_end": low_end,
    }
    return _figure(
        "lookAlike",
        "Two laws of sales that look alike, and a limit to move",
        data,
        still=still,
        controls=[
            slider("limit", "Largest PD that the lender allows", 1, 20, 0.5, f"{100 * limit:g}"),
            slider("part", "Truth mixed into the model", 0, 100, 5, 0),
        ],
        numbers={
            "lent": "The model lends",
            "right": "The truth would lend",
            "promised": "PD by the model",
            "default_probability": "PD in truth",
            "gap": "Largest gap of the two laws",
        },
        plots=["Densities of both laws and past sales", "The low end of both distribution functions, and the loan"],
        key=[
            ("black", "solid: truth"),
            ("2", "dashed: model"),
            ("1", "upright: gap at the loan"),
            ("quiet", "dotted: limit, loan"),
        ],
    )


def level_figure(
    rows: ArrayLike,
    levels: ArrayLike,
    coef: ArrayLike,
    truth: ArrayLike,
    *,
    spend: float,
    still: str,
    spends: tuple[float, float] = (50.0, 500.0),
) -> MovingFigure:
    """Return the figure of chapter 3: two levels and a spend are moved, over all the lines that were fitted.

    Parameters
    ----------
    rows : array of shape (n_rows, 2)
        Spend and sales of the rows that the lines were fitted to.
    levels : array of shape (n_levels,)
    coef, truth : array of shape (n_levels, 2)
        Intercept and slope of every level, as fitted and in truth; nine decimals are written.
    spend : float
        Where the slider starts; the levels start at the pair of neighbours that are farthest in the wrong order there.
    still : str
        The name of the still figure.
    spends : tuple of float
        The slider's ends.

    Returns
    -------
    MovingFigure

    Raises
    ------
    ValueError
        If shapes do not match.

    Notes
    -----
    Chapter 3. The script repeats `crossing_rate` and the sorting of `QuantileCurve`.

    Examples
    --------
    >>> lines = [[0.0, 1.0], [9.0, 0.9], [20.0, 1.0]]
    >>> figure = level_figure([[60.0, 70.0]], [0.25, 0.5, 0.75], lines, lines, spend=100.0, still="fig-a")
    >>> 'data-control="first" min="1" max="3" step="1" value="1"' in figure.text
    True
    """
    rows, levels = check_table("rows", rows), check_levels(levels)
    lines = {name: check_table(name, table) for name, table in (("coef", coef), ("truth", truth))}
    lines = {name: table.round(COEFFICIENT_DIGITS) for name, table in lines.items()}
    for name, table in (lines | {"rows": rows}).items():
        n = len(rows) if name == "rows" else len(levels)
        if table.shape != (n, 2):
            raise ValueError(f"{name} must have shape ({n}, 2), got {table.shape}")
    worst = int(np.diff(lines["coef"] @ [1.0, spend]).argmin()) + 1 if len(levels) > 1 else 1
    data = {
        "x": list(spends),
        "rows": [_drawn(row) for row in rows],
        "levels": levels.tolist(),
        **{name: table.tolist() for name, table in lines.items()},
    }
    return _figure(
        "levels",
        "Fitted lines of many levels, with two of them and a spend to move",
        data,
        still=still,
        controls=[
            slider("spend", "Spend", *spends, 5, spend),
            slider("first", "One level", 1, len(levels), 1, worst),
            slider("second", "Another level", 1, len(levels), 1, min(worst + 1, len(levels))),
        ],
        numbers={
            "fitted_first": "One level, as fitted",
            "fitted_second": "Another level, as fitted",
            "sorted_first": "One level, sorted",
            "sorted_second": "Another level, sorted",
            "meeting": "Their lines cross at a spend of",
            "ordered": "Their order at this spend",
            "crossed": "Neighbours in the wrong order",
            "saved": "Pinball loss saved by sorting",
        },
        plots=["Sales against spend with the lines of all levels", "Quantiles at the chosen spend against the level"],
        key=[
            ("1", "one level"),
            ("2", "dashed: another level"),
            ("quiet", "dotted: as fitted"),
            ("4", "sorted"),
            ("black", "thin: truth"),
        ],
    )


def vintage_figure(
    origins: Sequence[Any],
    outcomes: Sequence[ArrayLike],
    levels: Mapping[str, ArrayLike],
    shares: Mapping[str, ArrayLike],
    *,
    promise: float,
    still: str,
    horizon: str = "90D",
) -> MovingFigure:
    """Return the figure of chapter 16: the day is moved, and with it what is known of past vintages.

    Parameters
    ----------
    origins : sequence of n_vintages dates
        The last may be that of a vintage whose outcomes are not in the data.
    outcomes : sequence of arrays
        Of each vintage with outcomes, their places in their laws, in [0, 1]; four decimals are written, of those that
        can matter.
    levels : mapping of str to array of shape (n_vintages,)
        Recipe -> the level at which it lends.
    shares : mapping of str to array of shape (n_vintages with outcomes,)
        Recipe -> the share of its loans that defaulted.
    promise : float
        The default probability that is promised.
    still : str
        The name of the still figure.
    horizon : str
        A time span of pandas.

    Returns
    -------
    MovingFigure

    Raises
    ------
    ValueError
        If numbers of vintages differ, or an outcome lies outside [0, 1].

    Notes
    -----
    Chapter 16. The script repeats `recalibrated_level` on what is known on the day.

    Examples
    --------
    >>> months, share = ["2018-01-01", "2018-02-01"], {"all known": [0.3]}
    >>> figure = vintage_figure(months, [[0.1, 0.5]], {"all known": [0.2, 0.1]}, share, promise=0.4, still="fig-a")
    >>> '"outcomes":[[1000]]' in figure.text
    True
    """
    promise = check_level("promise", promise)
    days = [(pd.Timestamp(origin) - pd.Timestamp(0)).days for origin in origins]
    places = [np.sort(check_sample("outcomes", each)) for each in outcomes]
    for name, table, n in (("levels", levels, len(days)), ("shares", shares, len(places))):
        if wrong := [recipe for recipe, values in table.items() if np.shape(values) != (n,)]:
            raise ValueError(f"{name} must have {n} values for each recipe, but not for {wrong[0]!r}")
    # What is known grows by whole vintages; no outcome above the highest level that they ever teach is looked at.
    pooled = [np.concatenate(places[: i + 1]) for i in range(len(places))]
    highest = max(recalibrated_level(each, promise) for each in pooled)
    unit = 10**OUTCOME_DIGITS
    data = {
        "promise": promise,
        "horizon": check_span("horizon", horizon).days,
        "origins": days,
        "unit": unit,
        "sizes": [len(each) for each in places],
        "outcomes": [(each[each <= highest] * unit).round().astype(int).tolist() for each in places],
        "levels": _round_recipes(levels),
        "shares": _round_recipes(shares),
    }
    end = days[-1] + data["horizon"]
    return _figure(
        "vintages",
        "Vintages, what is known of them, and a day to move",
        data,
        still=still,
        controls=[slider("day", "Day", days[0], end, 1, days[len(places) - 1])],
        numbers={
            "known": "Vintages known",
            "level": "Level that they ask for",
            "running": "Vintages still running",
            "newest": "Newest vintage",
            "seen_on": "Known on",
            **{f"recipe_{i}": recipe for i, recipe in enumerate(levels)},
        },
        plots=["Vintages as bars in time", "Levels by origin", "Shares that defaulted by origin"],
        key=[("1", "blue bars: known on the day"), ("quiet", "rings: not known")],
        styles={f"recipe_{i}": style for i, style in enumerate(["black", "1", "2", "3"])},
    )


def _round_recipes(table):
    return {name: np.asarray(values, dtype=float).round(OUTCOME_DIGITS).tolist() for name, values in table.items()}


def _drawn(values):
    """Numbers with the digits that a drawing needs; what is no number is left out of its line."""
    return [float(f"{value:.{DRAWN_DIGITS}g}") if np.isfinite(value) else None for value in np.asarray(values)]


def _figure(kind, words, data, *, still, controls, numbers, plots, key, styles=None):
    """The page of a figure: controls, and places for numbers and plots, which the script fills."""

    def mark(text, style):
        return f'<b class="chart-{style}">{html.escape(text)}</b>' if style else html.escape(text)

    names = [NUMBER.format(name=name, words=mark(text, (styles or {}).get(name))) for name, text in numbers.items()]
    text = FIGURE.format(
        kind=kind,
        still=html.escape(still),
        words=words,
        controls="\n".join(controls),
        numbers="\n".join(names),
        plots="\n".join(PLOT.format(words=html.escape(plot)) for plot in plots),
        wide="" if len(plots) % 2 else ' class="moving-wide"',  # beside a plot that has no neighbour, or above all
        key="; ".join(mark(text, style) for style, text in key),
        data=to_json(data),
    )
    return MovingFigure(text)
