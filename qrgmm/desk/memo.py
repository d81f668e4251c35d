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
from qrgmm.desk.safeguards import show_share
from qrgmm.desk.section import name_limit, write_section

# Sellers that get a section each unless somebody asks for others.
MOST_SECTIONS = 200
# Sellers up to which the memo's table has all of them.
MOST_ROWS = 2_000
WORDS = (
    "PD: probability of default. EL: expected loss, LGD: loss given default, √E[L²]: root of the mean squared loss, "
    "all in currency. A forecast is the distribution of what a seller may sell, and no promise that it will."
)


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
    chosen = choose_sections(decisions.names, names)
    table, few = decisions.table, len(decisions.names) <= MOST_ROWS
    listed = slice(None) if few else chosen
    summary = {
        "amount": [f"{amount:,.0f}" if amount > 0 else "no loan" for amount in table["amount"]],
        "its PD": _show_probabilities(decisions),
        "its EL": [_blank("{:,.1f}", value) for value in table["loss_at_amount"]],
        "by the forecast alone": [f"{loan:,.0f}" for loan in table["loan"]],
        "where limited by": table["binding"].map(name_limit).to_numpy(),
        "warnings": [f"{len(text.split('; '))}" if text else "" for text in table["warnings"]],
    }
    parts = [
        f"<h1>Decision memo: {len(decisions.names):,} sellers</h1>",
        *render_front(decisions, provenance or Provenance()),
        "<h2>Sellers</h2>",
        f"<p>{html.escape(WORDS, quote=False)}</p>",
        make_table(pd.DataFrame(summary, index=decisions.names).iloc[listed]),
        *(f"<p>{html.escape(f'{name}: {why}', quote=False)}.</p>" for name, why in decisions.missing.items()),
    ]
    if len(chosen) < len(decisions.names):
        parts.append(
            f"<p>Panel and sections are those of {len(chosen):,} of {len(decisions.names):,} sellers; "
            f"{'the table above' if few else 'index.html'} and decisions.csv hold all. The option --memos NAME ... "
            "chooses others.</p>"
        )
    if decisions.promise is not None:
        level = show_share(decisions.promise.level)
        words = f"The panel knows no limits on shares; its loans are cautious at a largest PD of {level}."
        parts.append(f"<p>{words}</p>")
    shown = [decisions.names[i] for i in chosen]
    parts.append(panel(decisions.curve[chosen], shown, decisions.unit_revenue[chosen], decisions.limits))
    bar = tqdm(chosen, "memo", disable=None if progress else True)
    parts.extend(write_section(decisions, i) for i in bar)
    return make_page("Decision memo", parts)


def choose_sections(all_names: list[str], names: Sequence[str] | None) -> list[int]:
    """Return the rows of the sellers that get a section.

    Parameters
    ----------
    all_names : list of str
    names : list of str, optional
        By default the first `MOST_SECTIONS`.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If there is no seller of such a name.

    Examples
    --------
    >>> choose_sections(["Ada", "Ben", "Cy"], ["Cy", "Ada"])
    [2, 0]
    """
    if names is None:
        return list(range(min(len(all_names), MOST_SECTIONS)))
    rows = {name: i for i, name in enumerate(all_names)}
    unknown = [name for name in names if name not in rows]
    if unknown or not len(names):
        raise ValueError(f"names of memos must be sellers such as {all_names[:3]}, got {unknown or 'none'}")
    return [rows[name] for name in dict.fromkeys(names)]


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
