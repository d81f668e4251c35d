"""What a decision rests on: provenance with hashes, the model card, and a page that links what was written.

A committee that reads a memo in a year must be able to tell which table and which model it came from. Chapter 19.
"""

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.desk.decisions import Decisions
from qrgmm.desk.pages import make_page, make_table
from qrgmm.desk.promise import judge_promise, share_interval
from qrgmm.desk.reasons import name_fields
from qrgmm.desk.safeguards import show_number, show_share
from qrgmm.models.law_model import LawModel

N_DIGITS = 12  # of a hash in hexadecimal that are shown
SEEN = ["n", "observed", "error"]
KINDS = {"plug-in": "by the forecast alone", "cautious": "cautious"}  # of loans, as a committee calls them
NOT_FOR = [
    "Sellers outside the range below: a linear forecast goes on where no past seller was. The memo names them.",
    "Sudden stops that the history does not hold: a suspended account, a fraud, lost stock.",
    "Applicants of another kind than those in the history, which may hold only sellers who were financed.",
    "Advice to a seller: what a loan would be at another value is a statement about the model, not about its sales.",
    "Another horizon, currency or unit than the history's.",
    "The tail of all loans together, beyond what one common factor with an assumed loading says.",
    "A decision without a person: an officer may override every amount, with a reason and a signature.",
]


@dataclass(frozen=True)
class Provenance:
    """Who decided when, on which data and with which model; what is empty was not stated.

    Attributes
    ----------
    today : str
        Date of the decision.
    officer : str
    data, data_hash : str
        Name of the history's file, and `hash_file` of it.
    model, model_hash : str
        Kind of the model, and `hash_model` of it.
    horizon, currency : str
    dates : str
        First and last day of the history's sales.
    asked : str
        What applicants were read from, and as on which day.
    n_groups : int, optional
        Sellers in the history, where rows are told apart from them.
    conditions : list of str
        Under which loans are given.
    """

    today: str = ""
    officer: str = ""
    data: str = ""
    data_hash: str = ""
    model: str = ""
    model_hash: str = ""
    horizon: str = ""
    currency: str = ""
    dates: str = ""
    asked: str = ""
    n_groups: int | None = None
    conditions: Sequence[str] = field(default_factory=list)


def hash_file(path: str | PathLike) -> str:
    """Return the first digits of the SHA-256 of a file.

    Parameters
    ----------
    path : path

    Returns
    -------
    str

    Examples
    --------
    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as file:
    ...     hash_file(file.name)
    'e3b0c44298fc'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:N_DIGITS]


def hash_model(model: LawModel) -> str:
    """Return the first digits of the SHA-256 of all arrays that a model has learned.

    Parameters
    ----------
    model : fitted model

    Returns
    -------
    str
        The same after saving and loading; another one after a fit to other rows. Fits of the same rows on two machines
        agree to some ten digits, and have different hashes.

    Examples
    --------
    >>> from qrgmm.models import QRGMM
    >>> hash_model(QRGMM([0.5]).fit([[0.0], [1.0]], [1.0, 2.0])) == hash_model(QRGMM([0.5]).fit([[0.0], [1.0]], [1, 3]))
    False
    """
    digest = hashlib.sha256()
    learned = {name: value for name, value in vars(model).items() if name.endswith("_")}
    for name, array in _find_arrays(learned, ""):
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(repr(array.tolist()).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:N_DIGITS]


def _find_arrays(value: Any, name: str):
    """Names and arrays within estimators, dictionaries and lists, in an order that does not depend on how they came."""
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | float):
        if np.size(value):
            yield name, np.atleast_1d(value)  # a file makes an array of a number
        return
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    elif not isinstance(value, dict):
        value = vars(value) if hasattr(value, "__dict__") and not callable(value) else {}
    for key in sorted(value, key=str):
        yield from _find_arrays(value[key], f"{name}.{key}")


def render_card(
    decisions: Decisions, provenance: Provenance, model: LawModel, history: pd.DataFrame, sales: ArrayLike
) -> str:
    """Return the model card as one page of HTML: model, data, range, promise, and what it is not for.

    Parameters
    ----------
    decisions : Decisions
    provenance : Provenance
    model : fitted model
    history : pandas.DataFrame
    sales : array of shape (n_past,)

    Returns
    -------
    str

    Examples
    --------
    See `qrgmm.desk.command.main`.

    >>> len(NOT_FOR) > 3
    True
    """
    levels, numbers = name_fields(model, history)
    numeric = history[numbers].assign(**{f"sales ({decisions.unit})": np.asarray(sales, dtype=float)})
    spread = numeric.quantile([0, 0.05, 0.5, 0.95, 1]).T.set_axis(["least", "5 %", "median", "95 %", "most"], axis=1)
    given = {name: vars(model)[name] for name in sorted(vars(model)) if not name.endswith("_")}
    settings = {name: _show_setting(value) for name, value in given.items() if value is not None}
    about = {
        "Kind": provenance.model, "Learned arrays, SHA-256": provenance.model_hash, "Settings": _list(settings),
        "Data": f"{provenance.data} {provenance.data_hash}", "Past sales": f"{decisions.n_past:,}",
        "Dates of past sales": provenance.dates or "not stated",
        "Promise measured on": say_basis(decisions, provenance),
        "Date": provenance.today, "Horizon": provenance.horizon or "not stated",
        "Currency": provenance.currency or "not stated",
    }  # fmt: skip
    parts = [
        "<h1>Model card</h1>", make_table(pd.DataFrame({"": about})),
        "<h2>Promise</h2>", *(f"<p>{html.escape(note, quote=False)}</p>" for note in decisions.notes),
        *render_promise(decisions),
        "<h2>Range</h2>", "<p>Numbers of the past, and the texts that it knows.</p>",
        make_table(spread.map(lambda value: show_number(value, 6))),
        "<ul>", *(f"<li>{html.escape(name)}: {html.escape(_list_levels(each))}</li>" for name, each in levels.items()),
        "</ul>", "<h2>Not for</h2>", "<ul>", *(f"<li>{text}</li>" for text in NOT_FOR), "</ul>",
    ]  # fmt: skip
    return make_page("Model card", parts)


def render_promise(decisions: Decisions) -> list[str]:
    """Return tables of what was promised and what came, in all and by vintage, in HTML.

    Parameters
    ----------
    decisions : Decisions

    Returns
    -------
    list of str
        Empty where nothing was looked at.

    Examples
    --------
    >>> from types import SimpleNamespace as Decisions
    >>> render_promise(Decisions(promise=None))
    []
    """
    promise = decisions.promise
    if promise is None:
        return []
    shown = pd.DataFrame(
        {
            "sized at": promise.kept["level"].map(show_share),
            "loans": promise.kept["n"].map("{:,.0f}".format),
            "promised": show_share(promise.promised),
            "defaulted": promise.kept["observed"].map(_show_seen),
            "s.e.": promise.kept["error"].map(_show_seen),
            "true share, 95 % interval": [_show_interval(*row) for row in promise.kept[SEEN].to_numpy()],
            "promise": [judge_promise(promise, kind) for kind in promise.kept.index],
        }
    ).rename(KINDS)
    tables = [make_table(shown)]
    if promise.vintages is not None and len(promise.vintages):
        seen = promise.vintages
        columns = {"promised": seen["promised"].map(show_share)}
        for kind in promise.kept.index:
            columns[f"{KINDS[kind]}: defaulted"] = seen[f"{kind} observed"].map(_show_seen)
            columns[f"{KINDS[kind]}: s.e."] = seen[f"{kind} error"].map(_show_seen)
        columns["level"] = seen["cautious level"].map(_show_seen)
        tables.append(make_table(pd.DataFrame(columns).set_axis(seen.index.strftime("%Y-%m-%d"))))
    return tables


def say_basis(decisions: Decisions, provenance: Provenance) -> str:
    """Return on what, and between which days, the promise was measured.

    Parameters
    ----------
    decisions : Decisions
    provenance : Provenance

    Returns
    -------
    str

    Examples
    --------
    >>> from types import SimpleNamespace as Decisions
    >>> say_basis(Decisions(promise=None), Provenance())
    'not looked at'
    """
    promise = decisions.promise
    if promise is None:
        return "not looked at"
    return f"{promise.basis}; {promise.dates or provenance.dates or 'dates not stated'}"


def render_index(
    decisions: Decisions, provenance: Provenance, files: Sequence[str], sections: Sequence[int] = ()
) -> str:
    """Return a page that links the files of one decision, and has a line for every seller.

    Parameters
    ----------
    decisions : Decisions
    provenance : Provenance
    files : list of str
    sections : list of int
        Rows of the sellers that have a section in the memo.

    Returns
    -------
    str, in HTML

    Examples
    --------
    >>> from types import SimpleNamespace as Decisions
    >>> table = pd.DataFrame({"amount": [7.0], "probability_at_amount": 0.04, "warnings": ""})
    >>> page = render_index(Decisions(names=["Ada"], table=table, missing={}), Provenance(), ["memo.html"], [0])
    >>> '<a href="memo.html">' in page, '<a href="memo.html#seller-1">Ada</a>' in page
    (True, True)
    """
    what = {
        "memo.html": "the memo: decision, promise, reasons", "decisions.csv": "all numbers, one seller a row",
        "model_card.html": "the model card: data, range, promise, what it is not for",
        "decisions.parquet": "all numbers, for programs",
    }  # fmt: skip
    total = f"{decisions.table['amount'].sum():,.0f} {provenance.currency}".strip()
    parts = [
        "<h1>Loan decisions</h1>",
        f"<p>{html.escape(provenance.today)}: {len(decisions.names):,} sellers, {html.escape(total)} in loans.</p>",
        "<ul>", *(f'<li><a href="{name}">{name}</a>: {what[name]}</li>' for name in files), "</ul>",
        "<h2>All sellers</h2>", "<p>A name that is a link leads to its section of the memo.</p>",
        *_list_sellers(decisions, set(sections)),
    ]  # fmt: skip
    return make_page("Loan decisions", parts)


def _list_sellers(decisions, sections):
    """A line for every seller; written one by one, since there may be a hundred thousand."""
    table = decisions.table
    columns = (table[name].tolist() for name in ("amount", "probability_at_amount", "warnings"))
    yield '<table tabindex="0" class="dataframe"><thead><tr><th>seller</th><th>amount</th>'
    yield "<th>probability of default</th><th>warnings</th></tr></thead><tbody>"
    for i, (name, amount, probability, warned) in enumerate(zip(decisions.names, *columns)):
        name, lent = html.escape(name, quote=False), amount > 0
        name = f'<a href="memo.html#seller-{i + 1}">{name}</a>' if i in sections else name
        cells = [f"{amount:,.0f}", f"{probability:.2%}"] if lent else ["no loan", ""]
        cells.append(f"{warned.count('; ') + 1}" if warned else "")
        yield f"<tr><th>{name}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    for name in decisions.missing:
        yield f"<tr><th>{html.escape(name, quote=False)}</th><td>no loan</td><td></td><td>1</td></tr>"
    yield "</tbody></table>"


def _show_setting(value):
    return f"{len(value)} levels" if isinstance(value, np.ndarray) else " ".join(repr(value).split())


def _list(settings):
    return "; ".join(f"{name} {value}" for name, value in settings.items())


def _list_levels(levels):
    few = ", ".join(map(str, levels[:20]))
    return few if len(levels) <= 20 else f"{few} and {len(levels) - 20:,} more"


def _show_interval(n, observed, error):
    low, high = share_interval(n, observed, error)
    return "" if np.isnan(low) else f"{show_share(low, 2)} to {show_share(high, 2)}"


def _show_seen(share):
    return "" if np.isnan(share) else show_share(share)
