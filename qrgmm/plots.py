"""The figures that chapters repeat: one colour and one label per model, everywhere.

Every function draws into the axes it is given and returns them. Colours are those of Okabe and Ito, and of Tol for the
peers, which readers with colour-blindness can tell apart; lines also differ in style where they lie close together.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import ArrayLike

from qrgmm.curve import QuantileCurve

LABELS = {
    "truth": "Truth",
    "marginal": "ignores x",
    "qrgmm": "QRGMM",
    "qrgmm_deepfm": "QRGMM†",
    "qrgmm_deep": "QRGMM-D",
    "qrgmm_fm": "QRGMM-F",
    "qrgmm_deepfm_flexible": "QRGMM†, flexible",
    "qrgmm_fm_flexible": "QRGMM-F, flexible",
    "qrgmm_deep_flexible": "QRGMM-D, flexible",
    "qrgmm_stiff": "stiff alone",
    "qrgmm_deepfm_paper": "QRGMM† as published",
    "qrgmm_fm_paper": "QRGMM-F as published",
    "qrgmm_deep_paper": "QRGMM-D as published",
    "cwgan": "CWGAN",
    "diffusion": "diffusion",
    "rectified_flow": "rectified flow",
    "cwgan_paper": "CWGAN as published",
    "diffusion_paper": "diffusion as published",
    "rectified_flow_paper": "rectified flow as published",
    "engression": "engression",
    "quantile_forest": "quantile forest",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "spline_flow": "spline flow",
    "bayesian_fm": "Bayesian FM",
    "penalised": "penalised linear",
    "conformalised": "QRGMM†, conformalised",
    "qrgmm_units": "QRGMM of units",
    "qrgmm_deepfm_units": "QRGMM† of units",
    "store_table": "table of stores",
    "own_past": "own past",
    "two_part": "QRGMM in two parts",
    "qrgmm_deepfm_seller": "QRGMM† with the seller",
    "two_part_deepfm": "QRGMM† in two parts",
    "two_part_forest": "forest in two parts",
}
COLORS = {
    "truth": "#000000",
    "marginal": "#777777",
    "qrgmm": "#0072B2",
    "qrgmm_deepfm": "#D55E00",
    "qrgmm_deep": "#CC79A7",
    "qrgmm_fm": "#009E73",
    "qrgmm_deepfm_flexible": "#E8864A",
    "qrgmm_fm_flexible": "#4DBB97",
    "qrgmm_deep_flexible": "#DDA1C1",
    "qrgmm_stiff": "#B34700",
    "qrgmm_deepfm_paper": "#8C3D00",
    "qrgmm_fm_paper": "#00664A",
    "qrgmm_deep_paper": "#8F4C70",
    "cwgan": "#E69F00",
    "diffusion": "#56B4E9",
    "rectified_flow": "#332288",
    "cwgan_paper": "#8A5F00",
    "diffusion_paper": "#2A6F99",
    "rectified_flow_paper": "#8878CC",
    "engression": "#882255",
    "quantile_forest": "#999933",
    "lightgbm": "#44AA99",
    "catboost": "#1F6F63",
    "spline_flow": "#AA4499",
    "bayesian_fm": "#661100",
    "penalised": "#6699CC",
    "conformalised": "#A83A00",
    "qrgmm_units": "#00405E",
    "qrgmm_deepfm_units": "#7A3600",
    "store_table": "#117733",
    "own_past": "#4D4D4D",
    "two_part": "#56A0D8",
    "qrgmm_deepfm_seller": "#6B2400",
    "two_part_deepfm": "#F2A97C",
    "two_part_forest": "#5C5C1F",
}
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
FLOWS = {"goods": "#009E73", "cash": "#D55E00", "data": "#0072B2", "control": "#CC79A7"}


def use_book_style() -> None:
    """Set the look of all figures of the book: page width, no box, a quiet grid."""
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.4),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.prop_cycle": plt.cycler(color=CYCLE),
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "font.size": 10,
        }
    )


def plot_quantile_curve(curve: QuantileCurve, row: int = 0, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the quantile function of one row of a curve, with its flat ends.

    Parameters
    ----------
    curve : QuantileCurve
    row : int
    ax : matplotlib.axes.Axes, optional
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or plt.gca()
    knots = curve.values[row]
    levels = [0.0, *np.broadcast_to(curve.levels, curve.values.shape)[row], 1.0]
    ax.plot(levels, [knots[0], *knots, knots[-1]], **line)
    ax.set(xlabel="level $u$", ylabel="sales $Q(u)$", xlim=(0, 1))
    return ax


def plot_risk_curves(
    loans: ArrayLike,
    measures: Mapping[str, ArrayLike],
    model: str = "qrgmm",
    axes: np.ndarray | None = None,
    **line: Any,
) -> np.ndarray:
    """Draw risk measures against the loan, one panel each.

    Parameters
    ----------
    loans : array of shape (n_loans,)
        In currency.
    measures : dict of str to array of shape (n_loans,)
        Axis label -> values.
    model : str
        A key of `LABELS`, for the colour and the label.
    axes : array of matplotlib.axes.Axes, optional
        One per measure; by default a new row of them, two to a row from four measures on.
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    array of matplotlib.axes.Axes
    """
    if axes is None:
        n_rows = 2 if len(measures) > 3 else 1
        n_columns = -(-len(measures) // n_rows)
        _, axes = plt.subplots(n_rows, n_columns, figsize=(7, 2.7 * n_rows), squeeze=False)
        axes = axes.ravel()
    style = {"color": COLORS[model], "label": LABELS[model]} | line
    for ax, (name, values) in zip(axes, measures.items(), strict=False):
        ax.plot(loans, values, **style)
        ax.set(xlabel="loan $\\ell$ (currency)", ylabel=name)
    return axes


def plot_coverage(
    levels: np.ndarray, coverage: np.ndarray, model: str = "qrgmm", ax: Axes | None = None, **line: Any
) -> Axes:
    """Draw covered minus nominal share against the level; a calibrated model stays at 0.

    Parameters
    ----------
    levels, coverage : array of shape (n_levels,)
    model : str
        A key of `LABELS`.
    ax : matplotlib.axes.Axes, optional
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or plt.gca()
    ax.plot(levels, coverage - levels, **({"color": COLORS[model], "label": LABELS[model]} | line))
    ax.axhline(0, color="#555555", linewidth=0.8)
    ax.set(xlabel="level $\\tau$", ylabel="coverage $-\\ \\tau$", xlim=(0, 1))
    return ax


def plot_financing_model(ax: Axes | None = None) -> Axes:
    """Draw the five parties of 3PL-led finance and the flows of goods, cash, data and control between them.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or plt.subplots(figsize=(7, 4.6))[1]
    ax.set(xlim=(0, 10), ylim=(0, 6.6))
    ax.axis("off")
    parties = {
        "seller": (1.3, 3.1, "Seller"),
        "warehouse": (5.0, 0.8, "3PL: overseas\nwarehouse"),
        "platform": (5.0, 5.4, "E-commerce\nplatform"),
        "lender": (5.0, 3.1, "Financial\ninstitution"),
        "customers": (8.7, 3.1, "Customers"),
    }
    for x, y, name in parties.values():
        box = FancyBboxPatch((x - 0.95, y - 0.45), 1.9, 0.9, boxstyle="round,pad=0.05", fc="white", ec="#333333")
        ax.add_patch(box)
        ax.text(x, y, name, ha="center", va="center", fontsize=9)
    arrows = [
        ("goods", (1.3, 2.6), (4.0, 0.8), "stock, pledged", (1.7, 1.35)),
        ("goods", (6.0, 0.8), (8.7, 2.6), "delivery", (8.1, 1.35)),
        ("cash", (8.7, 3.6), (6.0, 5.4), "payment", (8.0, 4.85)),
        ("cash", (5.35, 4.9), (5.35, 3.6), "sales proceeds", (6.4, 4.25)),
        ("cash", (4.0, 3.35), (2.3, 3.35), "loan, surplus", (3.15, 3.62)),
        ("data", (4.65, 4.9), (4.65, 3.6), "sales data", (3.9, 4.25)),
        ("control", (2.3, 2.85), (4.0, 2.85), "authorises\naccess to data", (3.15, 2.42)),
        ("control", (4.65, 2.6), (4.65, 1.3), "control of\nthe pledge", (3.95, 1.9)),
        ("data", (5.35, 1.3), (5.35, 2.6), "stock levels", (6.2, 1.95)),
    ]
    for flow, start, end, label, at in arrows:
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, lw=1.8, color=FLOWS[flow]))
        ax.text(*at, label, ha="center", va="center", fontsize=8, color=FLOWS[flow])
    handles = [plt.Line2D([], [], color=color, label=flow) for flow, color in FLOWS.items()]
    ax.legend(handles=handles, loc="upper left", ncols=2, fontsize=8)
    return ax
