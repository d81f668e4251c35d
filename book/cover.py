"""Draw the picture of README and landing page: python book/cover.py -> book/_static/cover.png."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from qrgmm import plots, risk
from qrgmm.curve import QuantileCurve, quantile_levels

LIMIT = 0.05
SELLERS = {  # three laws of sales with the same mean, 400 units
    "steady": stats.gamma(16, scale=25),
    "typical": stats.gamma(4, scale=100),
    "erratic": stats.gamma(1.5, scale=400 / 1.5),
}


def main():
    plots.use_book_style()
    levels = quantile_levels(1, m=1000)
    curve = QuantileCurve(levels, [law.ppf(levels) for law in SELLERS.values()])
    loans = np.linspace(0, 600, 400)
    largest = risk.largest_loan(curve, max_default_probability=LIMIT)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), dpi=160)
    for i, name in enumerate(SELLERS):
        plots.plot_quantile_curve(curve, row=i, ax=left, label=name)
        line = right.plot(loans, risk.default_probability(curve, loans)[i], label=name)[0]
        right.plot([largest[i]] * 2, [0, LIMIT], color=line.get_color(), linestyle=":")
        right.annotate(f"{largest[i]:.0f}", (largest[i], 0), (0, 4), textcoords="offset points", fontsize=9)
    right.axhline(LIMIT, color="#555555", linewidth=0.8)
    left.set(title="Three laws of sales, one mean", ylim=(0, 1200), ylabel="sales $Q(u)$ (units)")
    right.set(title="The loan at a default probability of 5 %", ylim=(0, 0.3), xlim=(0, 420))
    right.set(xlabel="loan (in units of revenue)", ylabel="default probability")
    left.legend()
    fig.savefig(Path(__file__).parent / "_static" / "cover.png")


if __name__ == "__main__":
    main()
