"""One seller's section of the memo: the decision first, then what it is made of and what it rests on.

Everything is in words, tables and drawings that need no JavaScript. Chapter 19.
"""

import html

import numpy as np
import pandas as pd

from qrgmm.curve import QuantileCurve
from qrgmm.desk.decisions import Decisions
from qrgmm.desk.drawing import draw_law
from qrgmm.desk.pages import make_table
from qrgmm.desk.safeguards import show_number
from qrgmm.risk import risk_profile

# Of the largest loan: where the memo's table reads the four risk curves.
SHARES = [0.5, 0.75, 1.0, 1.25, 1.5]
COMPARE = (
    "The reference has the median of every number of the past and the most frequent of its texts; revenue per unit is "
    "this seller's, unless it is one of the entries. One entry is moved at a time, and what they do together beyond "
    "that has a line of its own, so that the lines add up. They describe how the model reads this row, and are no "
    "advice: what this seller would sell with another entry, nobody knows."
)


def write_section(decisions: Decisions, i: int) -> str:
    """Return the section of one seller.

    Parameters
    ----------
    decisions : Decisions
    i : int
        Row of the seller.

    Returns
    -------
    str, in HTML

    Examples
    --------
    See `qrgmm.desk.memo.write_memo`.

    >>> len(SHARES)
    5
    """
    row, law, revenue = decisions.table.iloc[i], decisions.curve[i], float(decisions.unit_revenue[i])
    amount, lent = row["amount"], row["amount"] > 0
    at = np.flatnonzero(decisions.drawn == i)
    refits = [refit[at[0]] for refit in decisions.refits] if len(at) else []
    n_refits = len(decisions.refits)
    band = ""
    if "loan_low" in row:
        band = f", {row['loan_low']:,.0f} to {row['loan_high']:,.0f} in nine of ten of {n_refits} refits"
    decision = f"Lend up to {amount:,.0f}" if lent else "No loan"
    decision += f" (by the forecast alone {row['loan']:,.0f}{band})"
    sentences = [
        f"Of the {decisions.comparables.shape[1]} past sales with the most similar forecasts,",
        f"{row['comparable_share_at_amount']:.0%} would not have repaid this loan.",
        f"In the worst 5 % of cases it loses {row['cvar_alone']:,.0f} on average alone,",
        f"and adds {row['cvar_part']:,.0f} to the same measure of all these loans together",
        f"(assumed: every seller loads {decisions.loading:g} on one common factor).",
    ]
    if row["loan"] == 0:
        sentences = [f"No amount keeps the limit on the {name_limit(row['binding'])}."]
    elif not lent:
        cautious = row.get("cautious_loan", row["loan"])
        sentences = ["Limits on concentration leave nothing." if cautious > 0 else "No amount keeps the promise."]
    elif amount < row.get("cautious_loan", row["loan"]) * (1 - 1e-12):
        sentences.append(f"Limits on concentration scale it to {amount / row.get('cautious_loan', row['loan']):.0%}.")
    if row.get("floored", 0):
        sentences.append(f"Of the quantiles fitted for it, {row['floored']} lie below 0 and count as 0.")
    for flag, value, words in [
        ("buyer_late", "late_probability", "the buyer pays late with probability"),
        ("chain_risky", "risk_score", "the chain's total risk score is"),
    ]:
        if flag in row:
            sentences.append(f"{'FLAG' if row[flag] else 'No flag'}: {words} {row[value]:.2f}.")
    warned, changes = row["warnings"], _write_changes(decisions, i)
    body = [
        f"<h2>{html.escape(decisions.names[i])}</h2>",
        f"<p><strong>{decision}.</strong> {html.escape(' '.join(sentences), quote=False)}</p>",
        f'<p class="warning"><strong>Warning:</strong> {html.escape(warned, quote=False)}.</p>' if warned else "",
        draw_law(law, refits, revenue, amount, decisions.unit),
        "<h3>Risk of this and of other amounts</h3>" if lent else "",
        make_table(_read_risk(law, revenue, amount)) if lent else "",
        "<h3>What the amount is made of</h3>",
        make_table(_add_up(decisions, i)).replace('class="dataframe"', 'class="dataframe sum"', 1),
        f"<p>{html.escape(COMPARE, quote=False)}</p>",
        "<h3>What the model reads, not advice</h3>" if changes else "",
        f"<p>{html.escape(' '.join(changes), quote=False)}</p>" if changes else "",
    ]
    return f'<section id="seller-{i + 1}">\n' + "\n".join(part for part in body if part) + "\n</section>"


def name_limit(name: str) -> str:
    """Return a limit's name as words.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> name_limit("max_default_probability")
    'default probability'
    """
    return name.removeprefix("max_").replace("_", " ")


def _add_up(decisions, i):
    """From the loan of the reference seller, line by line, to what is lent; whole numbers that add up."""
    row, own, start = decisions.table.iloc[i], decisions.sellers.iloc[i], round(float(decisions.start[i]))
    drivers = decisions.drivers.iloc[i].sort_values(key=abs, ascending=False)
    lines = {"the reference seller would have": f"{start:,}"}
    for name, value in drivers.items():
        reference = decisions.reference[name]
        lines[f"{name}: {_show(own[name])} (reference {_show(reference)})"] = f"{round(value):+,}"
    alone, amount = round(row["loan"]), round(row["amount"])
    cautious = round(row.get("cautious_loan", row["loan"]))
    lines["these entries together, beyond each alone"] = f"{alone - start - sum(round(v) for v in drivers):+,}"
    lines["by the forecast alone"] = f"{alone:,}"
    if "cautious_loan" in row:
        lines["caution, so that the promise is kept"] = f"{cautious - alone:+,}"
    if decisions.max_shares:
        lines["limits on shares of all that is lent"] = f"{amount - cautious:+,}"
    lines["lent"] = f"{amount:,}"
    return pd.DataFrame({"amount": lines})


def _write_changes(decisions, i):
    """Sentences on what the seller would have to change, as the model reads it."""
    row, own, sentences = decisions.table.iloc[i], decisions.sellers.iloc[i], []
    for name, way in decisions.reach.items():
        value = row[f"reach_{name}"]
        usual = {"up": f"higher {name}", "down": f"lower {name}", "either": f"value of {name}"}[way]
        if pd.isna(value):
            sentences.append(f"No usual {usual} alone would raise what it lends by a tenth.")
            if row.get(f"reach_{name}_against", False):
                other = "lower" if way == "up" else "higher"
                sentences.append(f"A {other} one would, against what is expected: do not rely on {name} here.")
            continue
        sentences.append(
            f"With {name} {_show(value)} (now {_show(own[name])}), all else as it is, the model would lend "
            f"{row[f'reach_{name}_loan']:,.0f}."
        )
        if isinstance(value, str):
            sentences.append(f"Few sellers can choose another {name}, and with it this one may be another seller.")
    return sentences


def _read_risk(law: QuantileCurve, revenue: float, loan: float) -> pd.DataFrame:
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


def _show(value):
    return show_number(value, 6) if isinstance(value, float | np.floating) else str(value)
