"""Every figure draws into axes with labels, in the colours and names that all chapters share."""

import inspect

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qrgmm import plots
from qrgmm.curve import QuantileCurve, quantile_levels

CURVE = QuantileCurve([0.25, 0.5, 0.75], [[1.0, 2.0, 4.0], [3.0, 5.0, 6.0]])
LOANS = np.linspace(0, 5, 7)
LEVELS = quantile_levels(1, 5)
FIGURES = {
    "plot_quantile_curve": lambda: plots.plot_quantile_curve(CURVE, row=1),
    "plot_risk_curves": lambda: plots.plot_risk_curves(LOANS, {"PD": LOANS / 5, "EL": LOANS}),
    "plot_coverage": lambda: plots.plot_coverage(LEVELS, LEVELS + 0.01),
    "plot_financing_model": plots.plot_financing_model,
}


@pytest.fixture(autouse=True)
def figures():
    plt.switch_backend("agg")
    with matplotlib.rc_context():
        yield
    plt.close("all")


@pytest.mark.parametrize("name", [name for name, f in inspect.getmembers(plots) if name.startswith("plot_")])
def test_every_figure_returns_labelled_axes_that_render(name):
    plots.use_book_style()
    for ax in np.ravel(FIGURES[name]()):
        assert isinstance(ax, plt.Axes) and (ax.lines or ax.patches)
        if name != "plot_financing_model":  # a diagram has no axes to label
            assert ax.get_xlabel() and ax.get_ylabel()
        ax.figure.canvas.draw()


def test_a_quantile_curve_is_drawn_with_its_flat_ends():
    line = plots.plot_quantile_curve(CURVE, row=1).lines[0]
    assert line.get_xdata().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.get_ydata().tolist() == [3, 3, 5, 6, 6]


def test_figures_draw_into_the_axes_they_are_given():
    _, ax = plt.subplots()
    assert plots.plot_quantile_curve(CURVE, ax=ax, color="red") is ax and ax.lines[0].get_color() == "red"
    assert plots.plot_coverage(LEVELS, LEVELS, ax=ax) is ax
    assert plots.plot_financing_model(ax=ax) is ax


def test_models_share_the_panels_of_their_risk_curves():
    measures = {name: LOANS for name in ("PD", "EL", "LGD", "squared")}
    axes = plots.plot_risk_curves(LOANS, measures, model="truth")
    assert plots.plot_risk_curves(LOANS, measures, model="cwgan", axes=axes) is axes
    assert len(axes) == 4 and axes[3].get_ylabel() == "squared"
    assert [line.get_label() for line in axes[0].lines] == ["Truth", "CWGAN"]
    assert [line.get_color() for line in axes[0].lines] == [plots.COLORS["truth"], plots.COLORS["cwgan"]]


def test_coverage_is_drawn_as_the_difference_from_its_level():
    np.testing.assert_allclose(plots.plot_coverage(LEVELS, LEVELS + 0.01).lines[0].get_ydata(), 0.01, rtol=1e-12)


def test_every_model_has_one_colour_and_one_label():
    assert plots.LABELS.keys() == plots.COLORS.keys()
    assert len(set(plots.LABELS.values())) == len(set(plots.COLORS.values())) == len(plots.LABELS)
