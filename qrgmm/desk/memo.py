"""A decision memo as one HTML file that needs nothing but a browser: summary, panel, and a section per seller.

It carries everything with it, so that it works when sent by mail, without a network. What a reader without JavaScript
needs is in plain tables and drawings. Chapter 19.
"""

import html
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from qrgmm.desk.card import Provenance
from qrgmm.desk.decisions import Decisions
from qrgmm.desk.front import render_front
from qrgmm.desk.pages import make_page, make_table, write_together
from qrgmm.desk.panel import panel
from qrgmm.desk.safeguards import show_number, show_share
from qrgmm.risk import risk_profile

# Sellers that get a section each unless somebody asks for others.
MOST_SECTIONS = 200
# Of the largest loan: where the memo's table reads the four risk curves.
SHARES = [0.5, 0.75, 1.0, 1.25, 1.5]
def write_memo(
    decisions: Decisions,
    path: str | PathLike,
    names: Sequence[str] | None = None,
    progress: bool = False,
    provenance: Provenance | None = None,
) -> None:
    """Write the decision memo as one HTML file: first page, a table of all sellers, and panel and sections of some.

    Parameters
    ----------
    decisions : qrgmm.desk.decisions.Decisions
    path : path
    names : list of str, optional
        The sellers that get a section and stand in the panel; by default all, but not more than the first 200.
    progress : bool
        Show a bar, where there is a terminal to show it on.
    provenance : Provenance, optional
        Who decided when, on what; by default all of it is not stated.

    Raises
    ------
    ValueError
        If there is no seller of such a name.
    OSError
        If the file can't be written; what was there before is then still there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from qrgmm.desk import decide
    >>> from qrgmm.models import QRGMM
    >>> history = pd.DataFrame({"price": np.linspace(1, 9, 200)})
    >>> sales = 100 - 5 * history["price"]
    >>> model, seller = QRGMM([0.05, 0.5]).fit(history, sales), pd.DataFrame({"price": [2.0]}, ["Ada"])
    >>> found = decide(model, history, sales, seller, {"max_default_probability": 0.05}, n_refits=0)
    >>> with TemporaryDirectory() as folder:
    ...     write_memo(found, Path(folder) / "memo.html")
    ...     "Lend up to 90" in (Path(folder) / "memo.html").read_text(encoding="utf-8")
    True
    """
    write_together({Path(path): render_memo(decisions, names, progress, provenance)})


def render_memo(
    decisions: Decisions,
    names: Sequence[str] | None = None,
    progress: bool = False,
    provenance: Provenance | None = None,
) -> str:
    """Return the text of the file that `write_memo` writes.

    Parameters
    ----------
    decisions, names, progress, provenance
        As in `write_memo`.

    Returns
    -------
    str, in HTML
    """
    chosen = _choose_sections(decisions.names, names)
    table = decisions.table
    summary = {
        "amount": [f"{amount:,.0f}" if amount > 0 else "no loan" for amount in table["amount"]],
        "its PD": _show_probabilities(decisions),
        "its EL": [_blank("{:,.1f}", value) for value in table["loss_at_amount"]],
        "by the law alone": [f"{loan:,.0f}" for loan in table["loan"]],
        "where limited by": table["binding"].map(_plain).to_numpy(),
        "warnings": [f"{len(text.split('; '))}" if text else "" for text in table["warnings"]],
    }
    parts = [
        f"<h1>Decision memo: {len(decisions.names):,} sellers</h1>",
        *render_front(decisions, provenance or Provenance()),
        "<h2>Sellers</h2>",
        make_table(pd.DataFrame(summary, index=decisions.names)),
        *(f"<p>{html.escape(f'{name}: {why}', quote=False)}.</p>" for name, why in decisions.missing.items()),
    ]
    if len(chosen) < len(decisions.names):
        parts.append(
            f"<p>Panel and sections are those of {len(chosen):,} of {len(decisions.names):,} sellers; the table above "
            "and decisions.csv hold all. The option --memos NAME ... chooses others.</p>"
        )
    if decisions.promise is not None:
        level = show_share(decisions.promise.level)
        words = f"The panel knows no limits on shares; its loans are cautious at a largest PD of {level}."
        parts.append(f"<p>{words}</p>")
    shown = [decisions.names[i] for i in chosen]
    parts.append(panel(decisions.curve[chosen], shown, decisions.unit_revenue[chosen], decisions.limits))
    bar = tqdm(chosen, "memo", disable=None if progress else True)
    parts.extend(_write_seller(decisions, i) for i in bar)
    return make_page("Decision memo", parts)


def _choose_sections(all_names, names):
    """Rows of the sellers with a section."""
    if names is None:
        return list(range(min(len(all_names), MOST_SECTIONS)))
    rows = {name: i for i, name in enumerate(all_names)}
    unknown = [name for name in names if name not in rows]
    if unknown or not len(names):
        raise ValueError(f"names of memos must be sellers such as {all_names[:3]}, got {unknown or 'none'}")
    return [rows[name] for name in dict.fromkeys(names)]


def _write_seller(decisions, i):
    """One seller's section: the decision first, then what it rests on."""
    row, law, revenue = decisions.table.iloc[i], decisions.curve[i], float(decisions.unit_revenue[i])
    amount, lent = row["amount"], row["amount"] > 0
    band = f", over refits {row['loan_low']:,.0f} to {row['loan_high']:,.0f}" if "loan_low" in row else ""
    decision = f"Lend up to {amount:,.0f}" if lent else "No loan"
    decision += f" (by the law alone {row['loan']:,.0f}{band})"
    sentences = [
        f"Of the {decisions.comparables.shape[1]} past sellers with the nearest laws,",
        f"{row['comparable_share_at_amount']:.0%} would not have repaid this loan.",
        f"In the worst 5 % of cases it loses {row['cvar_alone']:,.0f} on average alone,",
        f"and adds {row['cvar_part']:,.0f} to the same measure of all these loans together",
        f"(assumed: every seller loads {decisions.loading:g} on one common factor).",
    ]
    if row["loan"] == 0:
        sentences = [f"No amount keeps the limit on the {_plain(row['binding'])}."]
    elif not lent:
        cautious = row.get("cautious_loan", row["loan"])
        sentences = ["Limits on concentration leave nothing." if cautious > 0 else "No amount keeps the promise."]
    elif amount < row.get("cautious_loan", row["loan"]) * (1 - 1e-12):
        sentences.append(f"Limits on concentration scale it to {amount / row.get('cautious_loan', row['loan']):.0%}.")
    sentences += _write_changes(row)
    for flag, value, words in [
        ("buyer_late", "late_probability", "the buyer pays late with probability"),
        ("chain_risky", "risk_score", "the chain's total risk score is"),
    ]:
        if flag in row:
            sentences.append(f"{'FLAG' if row[flag] else 'No flag'}: {words} {row[value]:.2f}.")
    drivers = decisions.drivers.iloc[i].sort_values(key=abs, ascending=False)
    own = decisions.sellers.iloc[i]
    labels = [f"{name}: {_show(own[name])} (reference {_show(decisions.reference[name])})" for name in drivers.index]
    drivers = pd.DataFrame({"adds to the loan by the law": drivers.map("{:+,.0f}".format).to_numpy()}, labels)
    warned = row["warnings"]
    body = [
        f"<h2>{html.escape(decisions.names[i])}</h2>",
        f"<p><strong>{decision}.</strong> {html.escape(' '.join(sentences), quote=False)}</p>",
        f'<p class="warning"><strong>Warning:</strong> {html.escape(warned, quote=False)}.</p>' if warned else "",
        _draw(law, [refit[i] for refit in decisions.refits], revenue, amount, decisions.unit),
        make_table(_read_risk(law, revenue, amount)) if lent else "",
        make_table(drivers),
    ]
    return "<section>\n" + "\n".join(body) + "\n</section>"


def _write_changes(row):
    """Sentences on what the seller would have to change."""
    sentences = []
    for column in row.index[row.index.str.startswith("reach_") & ~row.index.str.endswith("_loan")]:
        name, value = column.removeprefix("reach_"), row[column]
        known = not pd.isna(value)
        sentences.append(
            f"With {name} {_show(value)}, all else as it is, the model would lend {row[f'{column}_loan']:,.0f}."
            if known else f"No usual value of {name} alone would raise what it lends by a tenth."
        )  # fmt: skip
    return sentences


def _read_risk(law, revenue, loan):
    """The four risk curves at shares of the largest loan, as text."""
    loans = loan * np.array(SHARES)
    profile = {name: values[0] for name, values in risk_profile(law, loans, unit_revenue=revenue).items()}
    columns = {
        "PD": profile["default_probability"], "EL": profile["expected_loss"],
        "LGD": profile["loss_given_default"], "√E[L²]": np.sqrt(profile["squared_loss"]),
    }
    text = {name: [f"{v:.2%}" if name == "PD" else f"{v:,.1f}" for v in values] for name, values in columns.items()}
    text["LGD"] = ["none" if np.isnan(value) else shown for value, shown in zip(columns["LGD"], text["LGD"])]
    return pd.DataFrame(text, index=[f"loan {value:,.0f}" for value in loans])


def _draw(law, refits, revenue, loan, unit):
    """The law of sales and the default probability, each with the range of the refits."""
    levels = np.linspace(0, 1, 101)
    top = max(revenue * float(law.ppf(0.6)[0, 0]), 1.5 * loan, 1e-9)
    loans = np.linspace(0, top, 101)
    curves = [("level", levels, lambda one: one.ppf(levels)[0], None)]
    curves += [
        ("loan", loans, lambda one: risk_profile(one, loans, unit_revenue=revenue)["default_probability"][0], loan)
    ]
    titles = {"level": f"Sales ({unit}) at every level", "loan": "Default probability at every loan"}
    figures = []
    for name, x, read, mark in curves:
        line, many = read(law), np.array([read(refit) for refit in refits])
        band = np.quantile(many, [0.05, 0.95], axis=0) if refits else None
        high = 1.0 if mark is not None else float(max(line.max(), 0 if band is None else band.max(), 1e-9))
        low = 0.0 if mark is not None else float(min(line.min(), 0.0))
        figures.append(_chart(x, line, band, low, high, mark, name, titles[name]))
    return f'<div class="pair">{"".join(figures)}</div>'


def _chart(x, line, band, low, high, mark, x_label, title):
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
    if mark is not None:
        shapes.append(f'<path class="mark" d="M{place([mark, mark], [low, high])}"/>')
    shapes.append(f'<path d="M{place(x, line)}" stroke-width="2"/>')
    shapes.append(f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">{x_label}</text>')
    frame = f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
    return f"<figure><figcaption>{title}</figcaption>{frame}{''.join(shapes)}</svg></figure>"


def _plain(name):
    """A limit's name as words."""
    return name.removeprefix("max_").replace("_", " ")


def _show(value):
    return show_number(value, 6) if isinstance(value, float | np.floating) else str(value)


def _blank(form, value):
    """A number as text; nothing where there is none."""
    return "" if np.isnan(value) else form.format(value)


def _show_probabilities(decisions):
    """Default probabilities as text; at the lowest knot of a law they are not 0, but not known either."""
    curve, probabilities = decisions.curve, decisions.table["probability_at_amount"]
    sales = decisions.table["amount"].to_numpy() / decisions.unit_revenue
    known = np.maximum(curve.up_to[..., 0], curve.cdf(sales[:, None])[:, 0])
    shown = [_blank("{:.2%}", value) for value in probabilities]
    return [f"below {level:.2%}" if value == 0 else text for text, value, level in zip(shown, probabilities, known)]


def _tick(value, span):
    """A number at an axis that is so long: three digits of the span, and no power of ten."""
    digits = max(0, 2 - int(np.floor(np.log10(span))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
