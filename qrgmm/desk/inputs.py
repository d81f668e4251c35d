"""What the desk's command reads: sellers who ask, a history of sellers or of single sales, and a model.

Everything is read and refused before anything is fitted. Chapter 19.
"""

import math
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qrgmm.datasets.big_mart import load_big_mart
from qrgmm.datasets.reading import name_few
from qrgmm.desk.dated import panel_for_decision
from qrgmm.desk.flags import CHAIN_COLUMNS
from qrgmm.desk.safeguards import show_number
from qrgmm.desk.tables import list_cells, load_table, name_columns
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.law_model import LawModel
from qrgmm.models.metamodel import QRGMM

# Fine where loans default, coarse elsewhere.
DESK_LEVELS = np.r_[1:10, 10:100:5] / 100
# Covariates of the book's data, where a product in a store stands for a seller.
BIG_MART = {
    "categorical": ["Item_Fat_Content", "Item_Type", "Outlet_Identifier"],
    "continuous": ["Item_Weight", "Item_Visibility", "Item_MRP"],
}
KINDS = ["qrgmm", "two-part", "deepfm"]
MIN_SALES = 5  # in the last horizon; who sold less has no history


@dataclass
class Case:
    """Everything that decisions are made from.

    Attributes
    ----------
    history : pandas.DataFrame
        Covariates of past sellers.
    sales : array of shape (n_past,)
    sellers : pandas.DataFrame
        Those who ask.
    names : list of str
    unit_revenue : float or str
    groups : array of shape (n_past,), optional
        Whose row each is.
    unit : str
        Of sales.
    panel, items : pandas.DataFrame, optional
        Of a history with dates: see `panel_for_decision`, and the single sales.
    missing : dict of str to str
        Applicants without a history, and why.
    dates : str
        First and last day of the history's sales, where it has days.
    asked : str
        What applicants were read from, and as on which day.
    """

    history: pd.DataFrame
    sales: ArrayLike
    sellers: pd.DataFrame
    names: list[str]
    unit_revenue: float | str
    groups: np.ndarray | None = None
    unit: str = "units"
    panel: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    missing: dict[str, str] = field(default_factory=dict)
    dates: str = ""
    asked: str = ""


def make_model(kind: str, max_default_probability: float = 1.0, unseen: str = "refuse", seed: int = 0) -> LawModel:
    """Return a model that is not fitted yet, or one from a file.

    Parameters
    ----------
    kind : {"qrgmm", "two-part", "deepfm"} or path
        Of a file that `QRGMM.save` or `DeepFMQRGMM.save` wrote.
    max_default_probability : float
        Below the first level of the grid a law says nothing: then the grid goes on to below this limit.
    unseen : {"refuse", "other"}
        What is done with a text that no past seller had; a saved model knows itself.
    seed : int
        Of networks.

    Returns
    -------
    model with `fit` and `predict_curve`
        A saved one is fitted, and has the settings with which `clone` makes the same.

    Raises
    ------
    ValueError
        If there is no such kind and no such file, or the model was fitted to an array and not to a table.

    Examples
    --------
    >>> make_model("two-part").model.levels[:3]
    array([0.01, 0.02, 0.03])
    """
    levels = DESK_LEVELS
    if max_default_probability <= levels[0]:
        # Below its first level a law says nothing, not even that a loan there defaults: the grid has to go on.
        levels = np.union1d(levels, max_default_probability * np.array([0.25, 0.5, 1.0]))
    encoder = FieldEncoder(unseen="raise" if unseen == "refuse" else "other")
    if kind == "qrgmm":
        return QRGMM(levels, encoder)
    if not (kind in KINDS or Path(kind).is_file()):
        raise ValueError(f"--model must be one of {KINDS}, or a file of a saved model, got {kind!r}")
    try:  # what they need comes with an extra
        from qrgmm.models.deepfm import DeepFMQRGMM
        from qrgmm.models.two_part import TwoPart
    except ImportError as error:
        raise ValueError(f"--model {kind} needs the extra 'models' of the package: {error}") from error
    if kind == "two-part":
        return TwoPart(QRGMM(levels, encoder), encoder=encoder)
    if kind == "deepfm":
        return DeepFMQRGMM(levels=levels, encoder=encoder, random_state=seed)
    model: Any = None
    for saved in (QRGMM, DeepFMQRGMM):
        try:
            model = saved.load(kind)
        except ValueError:
            continue
    if model is None or model.encoder_ is None:
        wanted = "a file that QRGMM.save or DeepFMQRGMM.save wrote after a fit to a table"
        raise ValueError(f"--model must be {wanted}, got {kind!r}")
    known = model.encoder_
    model.set_params(levels=model.levels_, encoder=FieldEncoder(known.categorical_, known.continuous_, known.unseen))
    return model.set_params(random_state=seed) if "random_state" in model.get_params() else model


def read_case(options: Namespace, model: LawModel) -> Case:
    """Return what the files of the command hold.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command.
    model : model
        If it is fitted, its encoder says which columns are read.

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If a file is refused, options do not go together, or nobody who asks has a history.

    Examples
    --------
    See `qrgmm.desk.command.main`.

    >>> Case(pd.DataFrame(), [], pd.DataFrame(), [], 1.0).unit
    'units'
    """
    encoder = getattr(model, "encoder_", None)
    if encoder is not None:
        given = [name for name in ("categorical", "continuous") if getattr(options, name)]
        if given or options.unseen == "other":
            raise ValueError(f"{flag(given[0] if given else 'unseen')} is decided by the saved model")
    if options.date is not None:
        return _read_dated(options, encoder)
    given = [name for name in ("amount", "quantity", "origin") if getattr(options, name)]
    if given:
        raise ValueError(f"{flag(given[0])} needs --date, the column of days of single sales")
    history, sales, unit_revenue, groups, dates = _read_history(options, encoder)
    numbers = list(history.select_dtypes("number"))
    text = [name for name in history if name not in numbers]
    numbers += [unit_revenue] if isinstance(unit_revenue, str) else []
    sellers = _read_sellers(options, text, numbers)
    names, asked = _read_names(options, sellers), Path(options.sellers).name
    return Case(history, sales, sellers, names, unit_revenue, groups, dates=dates, asked=asked)


def draw_rows(history: pd.DataFrame, n_rows: int, seed: int = 0) -> np.ndarray:
    """Return rows of a history drawn at random, such that every text of it is there.

    Parameters
    ----------
    history : pandas.DataFrame
    n_rows : int
        At least, where the history has so many; a text that the draw has missed brings one row more.
    seed : int

    Returns
    -------
    array of int
        Sorted.

    Examples
    --------
    >>> history = pd.DataFrame({"store": ["a"] * 98 + ["b", "c"], "price": 1.0})
    >>> rows = draw_rows(history, 10)
    >>> len(rows) >= 10, history["store"].iloc[rows].nunique()
    (True, 3)
    """
    order = np.random.default_rng(seed).permutation(len(history))
    rows = [order[:n_rows]]
    for name in history.columns.difference(history.select_dtypes("number").columns):
        rows.append(order[~history[name].iloc[order].duplicated().to_numpy()])
    return np.unique(np.concatenate(rows))


def flag(name: str) -> str:
    """Return the option of a name.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> flag("max_share")
    '--max-share'
    """
    return f"--{name.replace('_', '-')}"


def _read_form(options):
    """How both files are written."""
    return {name: getattr(options, name) for name in ("separator", "decimal", "thousands", "encoding")}


def _read_sellers(options, text, numbers):
    """The rows of those who ask, with columns for flags, names and limits on concentration."""
    numbers = numbers + ["late_probability"] * (options.max_late_probability is not None)
    numbers += CHAIN_COLUMNS * (options.max_risk_score is not None)
    text = text + [name for name in [options.name, *options.max_share] if name and name not in numbers]
    # The history has shown how numbers are written; a short file of sellers alone might leave it open.
    form = _read_form(options) | {"decimal": options.decimal or ("," if options.thousands == "." else ".")}
    columns = list(dict.fromkeys(text)), list(dict.fromkeys(numbers))
    sellers, _ = load_table(options.sellers, None, *columns, **form)
    for name, share in options.max_share.items():
        n = sellers[name].nunique()
        if n * share < 1 - 1e-12:
            raise ValueError(f"--max-share {name}={share:g} can't be kept: {n} values hold at least {1 / n:.3g} of all")
    return sellers


def _read_names(options, sellers):
    """Names of the sellers, all different."""
    if not options.name:
        names = [f"seller {i}" for i in range(1, len(sellers) + 1)]
    elif pd.api.types.is_numeric_dtype(sellers[options.name]):
        names = [show_number(name).replace(",", "") for name in sellers[options.name]]
    else:
        names = list(sellers[options.name])
    _check_names(options, names)
    return names


def _check_names(options, names):
    twice = pd.Series(names)[pd.Series(names).duplicated()].unique()
    if len(twice):
        raise ValueError(f"--name must be a column of different names, but {options.name!r} has {twice[0]!r} twice")
    unknown = [name for name in options.memos or [] if name not in set(names)]
    if unknown:
        raise ValueError(f"--memos must name sellers such as {names[:3]}, got {unknown}")


def _read_history(options, encoder):
    """Covariates, sales in units, unit revenue (a number, or a column's name), whose row each is, and days."""
    if options.history is None:
        names = ("target", "unit_revenue", "categorical", "continuous", "seller", "day")
        given = [name for name in names if getattr(options, name)]
        if given:
            raise ValueError(f"{flag(given[0])} needs --history: without it the book's data are used")
        table = load_big_mart(stand_in=True)
        history = table[[*BIG_MART["categorical"], *BIG_MART["continuous"]]]
        history.attrs["source"] = table.attrs["source"] + " (no --history given; a product in a store is a seller)"
        return _known_columns(history, encoder), table["Item_Outlet_Sales"] / table["Item_MRP"], "Item_MRP", None, ""
    if options.target is None:
        raise ValueError("--history needs --target, the name of its column of sales in units")
    columns = [options.categorical, options.continuous]
    if encoder is not None:
        columns = [list(encoder.categorical_), list(encoder.continuous_)]
    days = [options.day] if options.day else []
    history, sales = load_table(options.history, options.target, *columns, days, **_read_form(options))
    source, groups, dates = history.attrs["source"], None, ""
    if days:
        dates = f"{history[options.day].min():%Y-%m-%d} to {history[options.day].max():%Y-%m-%d}"
        history = history.drop(columns=days)
    if options.seller:
        groups = _read_groups(options, history)
        if options.seller not in [*(columns[0] or []), *(columns[1] or [])]:
            history = history.drop(columns=options.seller, errors="ignore")
        if history.shape[1] == 0 or len(set(groups)) < 2:
            raise ValueError(f"--seller must name whose row each is, beside covariates, got {options.seller!r}")
    history.attrs["source"] = source
    return history, sales, _read_unit_revenue(options), groups, dates


def _read_groups(options, history):
    """Whose row each is; the file is read once more where the name of a seller was no text to it."""
    if options.seller in history and not pd.api.types.is_numeric_dtype(history[options.seller]):
        return history[options.seller].to_numpy()
    sellers, _ = load_table(options.history, None, [options.seller], [], **_read_form(options))
    return sellers[options.seller].to_numpy()


def _known_columns(history, encoder):
    """The columns that a saved model knows."""
    if encoder is None:
        return history
    wanted = list(encoder.feature_names_in_)
    absent = [name for name in wanted if name not in history]
    if absent:
        raise ValueError(f"--model was fitted to {name_few(wanted)}, but the history has no {name_few(absent)}")
    known = history[wanted]
    known.attrs["source"] = history.attrs["source"]
    return known


def _read_unit_revenue(options):
    """The unit revenue: a number, or the name of a column; refused where it could be both."""
    given = "1" if options.unit_revenue is None else options.unit_revenue
    try:
        number = float(given)
    except ValueError:
        return given
    if options.unit_revenue in name_columns(options.sellers, options.separator, options.encoding):
        other = repr(number) if repr(number) != given else f"{given}0"
        raise ValueError(
            f"--unit-revenue {given} may be a number or the column {given!r} of {options.sellers}; "
            f"write {other} for the number, or give the column another name"
        )
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"--unit-revenue must be positive and finite, or the name of a column, got {given}")
    return number


def _read_dated(options, encoder):
    """A history of single sales, and the names of those who ask."""
    needed = [name for name in ("history", "seller", "amount") if getattr(options, name) is None]
    if needed:
        raise ValueError(f"--date needs {flag(needed[0])} as well")
    other = [name for name in ("target", "unit_revenue", "categorical", "continuous", "day") if getattr(options, name)]
    if other:
        raise ValueError(f"{flag(other[0])} does not go with --date: covariates and revenue are made from the sales")
    numbers = [name for name in (options.amount, options.quantity) if name]
    text = [options.seller]
    table, _ = load_table(options.history, None, text, numbers, [options.date], **_read_form(options))
    if (table[options.amount] < 0).any():
        raise ValueError(f"--amount must be at least 0 in every row, got {table[options.amount].min():g}")
    items = pd.DataFrame({"seller": table[options.seller], "date": table[options.date], "price": table[options.amount]})
    priced = items
    if options.quantity:
        if not (table[options.quantity] > 0).all():
            raise ValueError(f"--quantity must be positive in every row, got {table[options.quantity].min():g}")
        priced = items.assign(price=items["price"] / table[options.quantity], quantity=table[options.quantity])
    panel = panel_for_decision(priced, options.horizon or "90D", options.origin, labels=[], duplicates="keep")
    origin = panel["origin"].max()
    name = options.name or options.seller
    names, extra = _read_applicants(options, name)
    rows = panel[panel["origin"] == origin].set_index("seller")
    known = [each for each in names if each in rows.index]
    sold = set(items["seller"])
    missing = {
        each: f"no history: fewer than {MIN_SALES} units in the {options.horizon or '90D'} before {origin:%Y-%m-%d}"
        if each in sold else f"no history: no sale in {Path(options.history).name}"
        for each in names if each not in rows.index
    }  # fmt: skip
    if not known:
        raise ValueError(f"{options.sellers} must name sellers with a history, got {name_few(names)}")
    train = panel[panel["complete"]]
    history = train[panel.attrs["covariates"]]
    history.attrs["source"] = Path(options.history).name
    sellers = rows.loc[known].reset_index()
    if extra is not None:
        sellers = sellers.join(extra.set_index(name)[[each for each in extra if each not in sellers and each != name]],
                               on="seller")  # fmt: skip
    outcomes = train["origin"].min(), train["origin"].max() + pd.Timedelta(options.horizon or "90D")
    dates = f"{outcomes[0]:%Y-%m-%d} to {outcomes[1]:%Y-%m-%d}"
    asked = f"{Path(options.sellers).name}, with their sales in {Path(options.history).name} before {origin:%Y-%m-%d}"
    return Case(
        _known_columns(history, encoder), train["ratio"].to_numpy(), sellers, known, "revenue",
        train["seller"].to_numpy(), "shares of the last revenue", panel, items, missing, dates, asked,
    )  # fmt: skip


def _read_applicants(options, name):
    """Names of those who ask, and their other columns where an option needs them."""
    flagged = options.max_late_probability is not None or options.max_risk_score is not None
    if flagged or options.max_share:
        named = Namespace(**vars(options) | {"name": name})
        extra = _read_sellers(named, [], [])
        names = list(extra[name])
    else:
        extra, cells = None, list_cells(options.sellers, options.separator, options.encoding)
        if name not in cells:
            raise ValueError(f"{options.sellers} has no columns {[name]}; it has {name_few(list(cells))}")
        names = list(cells[name])
    if "" in names:
        raise ValueError(f"{options.sellers}: column {name!r} must hold no empty cells")
    _check_names(Namespace(**vars(options) | {"name": name}), names)
    return names, extra
