"""The first page of the memo: what a credit committee decides on, and the lines on which it decides otherwise.

Chapter 19.
"""

import html

import numpy as np
import pandas as pd

from qrgmm.desk.card import KINDS, Provenance, render_promise, say_basis
from qrgmm.desk.decisions import Decisions
from qrgmm.desk.pages import make_table
from qrgmm.desk.promise import judge_promise, share_interval
from qrgmm.desk.safeguards import show_number, show_share
from qrgmm.desk.section import name_limit

BLANK = "&nbsp;" * 40
MOST_NAMED = 3  # sellers who add most to the tail


def render_front(decisions: Decisions, provenance: Provenance) -> list[str]:
    """Return the first page: decision, promise, exposure, conditions, and a place to override it.

    Parameters
    ----------
    decisions : Decisions
    provenance : Provenance

    Returns
    -------
    list of str, in HTML

    Examples
    --------
    See `qrgmm.desk.memo.write_memo`.

    >>> BLANK.count("&nbsp;")
    40
    """
    amounts, names = decisions.table["amount"], len(decisions.names)
    limits = ", ".join(f"{name_limit(name)} {show_number(limit)}" for name, limit in decisions.limits.items())
    shares = ", ".join(f"{name} {show_share(share)}" for name, share in decisions.max_shares.items())
    sellers = "" if provenance.n_groups is None else f" of {provenance.n_groups:,} sellers"
    parts = decisions.table["cvar_part"].fillna(0.0).to_numpy()
    tail, largest = parts.sum(), np.argsort(-parts, kind="stable")[:MOST_NAMED]
    whole = decisions.table.get("cautious_loan", decisions.table["loan"])
    share = f" ({tail / amounts.sum():.1%} of all)" if amounts.sum() > 0 else ""
    currency = f" {provenance.currency}" if provenance.currency else ""
    rows = {
        "Date": provenance.today,
        "Prepared by": provenance.officer,
        "Data": f"{decisions.source} {provenance.data_hash and f'(SHA-256 {provenance.data_hash})'}",
        "Past sales": f"{decisions.n_past:,}{sellers}; in {decisions.unit}{_say_fitted(decisions)}",
        "Model": f"{provenance.model} {provenance.model_hash and f'(SHA-256 {provenance.model_hash})'}",
        "Horizon": _say_days(provenance.horizon),
        "Currency": provenance.currency,
        "Limits": limits + (f"; shares of all that is lent: {shares}" if shares else ""),
        "Outside the history's range": f"{decisions.outside:,} of {names:,} sellers",
        "Without a history": f"{len(decisions.missing):,} more who asked, no loan" if decisions.missing else "none",
        "Promise out of sample": _say_promise(decisions),
        "Cautious amounts, in all": f"{amounts.sum():,.0f}{currency} to {(amounts > 0).sum():,} sellers",
        "Before limits on shares": f"{whole.sum():,.0f}{currency}",
        "By the forecast alone": f"{decisions.table['loan'].sum():,.0f}{currency}",
        "Expected loss": f"{decisions.table['loss_at_amount'].sum():,.0f}{currency}",
        "Lost in the worst 5 % of cases": f"{tail:,.0f}{currency}{share} on average, if every seller loads "
        f"{decisions.loading:g} on one common factor",
        "Most of that": ", ".join(f"{decisions.names[i]} {parts[i] / tail:.0%}" for i in largest if parts[i] > 0),
    }
    if not decisions.max_shares:
        del rows["Before limits on shares"]
    if decisions.promise is None:
        rows["Amounts, in all"] = rows.pop("Cautious amounts, in all")
    facts = pd.DataFrame({"": [" ".join(text.split()) or "not stated" for text in rows.values()]}, list(rows))
    signed = pd.DataFrame({"": [BLANK] * 3}, ["Amounts decided otherwise", "Reason", "Approved: date and signature"])
    return [
        make_table(facts).replace('class="dataframe"', 'class="dataframe facts"', 1),
        *render_promise(decisions),
        *_conditions(decisions, provenance),
        "<h2>Where the numbers come from</h2>",
        make_table(_name_sources(decisions, provenance)).replace('class="dataframe"', 'class="dataframe facts"', 1),
        "<h2>Approval, and override</h2>",
        "<p>Who decides otherwise for a seller says so here.</p>",
        make_table(signed).replace("&amp;nbsp;", "&nbsp;"),
        "<h2>Notes</h2>",
        *(f"<p>{html.escape(note, quote=False)}</p>" for note in decisions.notes),
    ]


def _say_promise(decisions):
    promise = decisions.promise
    if promise is None:
        return "not looked at"
    seen = []
    for kind, row in promise.kept.iterrows():
        low, high = (show_share(end, 2) for end in share_interval(row["n"], row["observed"], row["error"]))
        seen.append(f"{KINDS[kind]}: {judge_promise(promise, kind)}" + (
            "" if np.isnan(row["observed"]) else f" ({show_share(row['observed'])} of {row['n']:,.0f} loans, s.e. "
            f"{show_share(row['error'])}; the true share may lie between {low} and {high})"))  # fmt: skip
    return f"{show_share(promise.promised)} promised; {'; '.join(seen)}"


def _name_sources(decisions, provenance):
    """What each kind of number rests on, and from when it is."""
    dates = provenance.dates or "dates not stated"
    sellers = "" if provenance.n_groups is None else f" of {provenance.n_groups:,} sellers"
    rows = {
        "Forecasts, amounts, what they are made of": f"{decisions.n_past:,} past sales{sellers}"
        f"{_say_fitted(decisions)}; {dates}",
        "Applicants": f"{provenance.asked or 'file not stated'}; {provenance.today or 'date not stated'}",
        "The promise, and cautious amounts": say_basis(decisions, provenance),
        "Range of refits": f"{len(decisions.refits)} refits to the same past sales, drawn anew",
        "Comparable sales": f"the {decisions.comparables.shape[1]} most similar of the same past sales",
        "Losses together": "simulated; how sellers move together is assumed, not measured here",
    }
    if not decisions.refits:
        del rows["Range of refits"]
    return pd.DataFrame({"": rows})


def _say_fitted(decisions):
    """How many past sales the model has seen, where these are not all."""
    few = decisions.n_fitted < decisions.n_past
    return f", the model fitted to {decisions.n_fitted:,} of them drawn at random" if few else ""


def _conditions(decisions, provenance):
    """What has to be done before a loan is given."""
    table, asked = decisions.table, list(provenance.conditions)
    lent = table["amount"] > 0
    warned = int((lent & (table["warnings"] != "")).sum())
    if warned:
        asked.append(f"Settle the warnings of {_count(warned)} with a loan.")
    for flag, words in (("buyer_late", "a buyer who may pay late"), ("chain_risky", "a strained chain")):
        n = int((lent & table[flag]).sum()) if flag in table else 0
        if n:
            asked.append(f"Ask about {words}: {_count(n)} with a loan.")
    items = "".join(f"<li>{html.escape(text, quote=False)}</li>" for text in asked)
    return ["<h2>Conditions</h2>", f"<ul>{items}</ul>" if asked else "<p>None.</p>"]


def _count(n):
    return f"{n:,} seller{'s' if n > 1 else ''}"


def _say_days(horizon):
    """A time such as 90D in words."""
    return f"{pd.Timedelta(horizon) / pd.Timedelta('1D'):g} days" if horizon else ""
