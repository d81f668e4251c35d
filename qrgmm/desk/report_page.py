r"""The vintage report as one HTML file and as one long table: verdict first, then what it rests on. Chapter 19."""

import html

import numpy as np
import pandas as pd

from qrgmm.datasets.reading import name_few
from qrgmm.desk.pages import make_page, make_table
from qrgmm.desk.safeguards import show_number
from qrgmm.desk.vintage_report import VintageReport

VERDICTS = {
    "kept": "The promise was kept",
    "in doubt": "The promise is in doubt",
    "broken": "The promise was broken",
    "too few": "Too few loans to tell, as less than one default was promised",
}
PLAIN = {
    "kept": "no more than chance does even where loans are independent",
    "in doubt": "more than chance does with independent loans, but not more than it does where loans of a vintage "
    "share a factor",
    "broken": "more than chance does even where loans of a vintage share a factor",
    "too few": "no evidence, as less than one was promised",
}


def say_verdict(report: VintageReport) -> str:
    """Return the report in one sentence: whether the promise was kept, by how much not, and the lights.

    Parameters
    ----------
    report : VintageReport

    Returns
    -------
    str

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> from qrgmm.desk.vintage_report import report_vintages
    >>> decisions = pd.DataFrame({"seller": range(200), "vintage": "May", "loan": 50.0})
    >>> decisions = decisions.assign(default_probability=0.05, expected_loss=0.4)
    >>> outcomes = pd.DataFrame({"seller": range(200), "revenue": [40.0] * 8 + [90.0] * 192})
    >>> say_verdict(report_vintages(settle_loans(decisions, outcomes)))[:75]
    'The promise was kept: 8 of 200 loans defaulted, 4.0 % where 5.0 % were prom'
    """
    row = report.vintages.iloc[-1]
    apart = 100 * (row["observed"] - row["promised"])
    return (
        f"{VERDICTS[report.verdict]}: {row['defaults']:,.0f} of {row['n_judged']:,.0f} loans defaulted, "
        f"{_percent(row['observed'])} where {_percent(row['promised'])} were promised, {abs(apart):.1f} points "
        f"{'more' if apart > 0 else 'less'} (standard error {100 * row['error']:.1f} points for independent loans, "
        f"{100 * row['error_together']:.1f} if loans of a vintage load {report.loading:g} on one factor). Light: "
        f"{row['light']} for independent loans, {row['light_together']} for loans that share the factor."
    )


def render_report(report: VintageReport, title: str = "Vintage report", notes: tuple[str, ...] = ()) -> str:
    """Return the report as the text of an HTML file that needs nothing but a browser.

    Parameters
    ----------
    report : VintageReport
    title : str
    notes : tuple of str
        Sentences about the files, in front of those that the report itself has to say.

    Returns
    -------
    str

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> from qrgmm.desk.vintage_report import report_vintages
    >>> decisions = pd.DataFrame({"seller": ["A", "B"], "vintage": "<May>", "loan": 50.0, "default_probability": 0.05})
    >>> outcomes = pd.DataFrame({"seller": ["A", "B"], "revenue": [60.0, 90.0]})
    >>> page = render_report(report_vintages(settle_loans(decisions, outcomes)))
    >>> "&lt;May&gt;" in page, "<May>" in page
    (True, False)
    """
    row = report.vintages.iloc[-1]
    warned = ' class="warning"' if report.verdict in ("in doubt", "broken") else ""
    lights = {"independent loans": row["light"], "loans that share a factor": row["light_together"]}
    badges = " &nbsp; ".join(f'<span class="light {colour}">{colour}: {name}</span>' for name, colour in lights.items())
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p{warned}><strong>{html.escape(say_verdict(report))}</strong></p><p>{badges}</p>",
        _paragraphs([*notes, *count_sellers(report)]),
        "<h2>Promised and observed defaults</h2>",
        _draw_vintages(report),
        make_table(_show_defaults(report)),
        _paragraphs(_read_lights(report)),
        "<h2>Amounts and losses</h2>",
        make_table(_show_money(report)),
        "<h2>By grade of the promise</h2>",
        make_table(_show_grades(report)),
        _paragraphs(_read_grades(report)),
    ]
    sections = [
        ("What was lent against what the desk said", _show_overrides(report), [
            "The desk's amounts are judged on the same revenue: would its loan have defaulted? Revenue may itself "
            "depend on what was lent, which these numbers can't see."
        ], "The outcomes don't say what was lent: the desk's amounts are taken for it."),
        ("Drift", _show_drift(report), [
            "Population stability index against the reference. By chance alone one comparison in twenty exceeds the "
            "number beside it; by custom less than 0.1 is small and more than 0.25 large."
        ], "Nothing to compare applicants with: --reference names the history or earlier decisions."),
        ("Where revenue fell in its forecast", _show_places(report), [
            "Where the forecasts are right, every share is as promised, up to its error."
        ], "The decisions carry no quantiles of their forecasts (columns such as q05, of revenue in currency), so that "
           "only defaults are known: whether revenue fell short by a little or by much can't be said."),
    ]  # fmt: skip
    for heading, table, sentences, absent in sections:
        parts += [f"<h2>{heading}</h2>"]
        parts += [_paragraphs([absent])] if table.empty else [make_table(table), _paragraphs(sentences)]
    parts += ["<h2>What to recalibrate</h2>", _paragraphs(say_level(report))]
    return make_page(title, parts)


def tabulate_report(report: VintageReport) -> pd.DataFrame:
    """Return every number of the report in one long table.

    Parameters
    ----------
    report : VintageReport

    Returns
    -------
    pandas.DataFrame
        With part, row, measure and value.

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> from qrgmm.desk.vintage_report import report_vintages
    >>> decisions = pd.DataFrame({"seller": ["A", "B"], "vintage": "May", "loan": 50.0, "default_probability": 0.05})
    >>> outcomes = pd.DataFrame({"seller": ["A", "B"], "revenue": [60.0, 90.0]})
    >>> tabulate_report(report_vintages(settle_loans(decisions, outcomes))).iloc[:3]
          part  row  measure    value
    0  verdict  all  verdict  too few
    1  verdict  all  loading      0.3
    2  vintage  May  waiting        0
    """
    level, drift = report.recalibration._asdict(), report.drift
    tables = {
        "verdict": pd.DataFrame([{"verdict": report.verdict, "loading": report.loading}], ["all"]),
        "vintage": report.vintages,
        "clustered": report.clustered.to_frame("all").T,
        "grade": report.grades,
        "override": report.overrides,
        "drift": drift.set_axis(drift["vintage"] + ": " + drift["column"]).drop(columns=["vintage", "column"]),
        "place": report.places,
        "recalibration": pd.DataFrame([level], ["all"]),
    }
    if report.grade_test is not None:
        tables["grade test"] = pd.DataFrame([report.grade_test._asdict()], ["all"])
    rows = [
        [part, str(name), measure, value]
        for part, table in tables.items()
        for name, row in table.iterrows()
        for measure, value in row.items()
    ]
    return pd.DataFrame(rows, columns=["part", "row", "measure", "value"])


def count_sellers(report: VintageReport) -> list[str]:
    """Return sentences on whom the report leaves out, and why.

    Parameters
    ----------
    report : VintageReport

    Returns
    -------
    list of str

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> from qrgmm.desk.vintage_report import report_vintages
    >>> decisions = pd.DataFrame({"seller": ["A", "B"], "vintage": "May", "loan": 50.0, "default_probability": 0.05})
    >>> outcomes = pd.DataFrame({"seller": ["A", "B"], "revenue": [60.0, float("nan")]})
    >>> count_sellers(report_vintages(settle_loans(decisions, outcomes)))
    ['1 loan is not over, and left out.']
    """
    settled, loans, found = report.settled, report.settled.loans, []
    lent = loans["amount"] > 0
    unknown = (lent & loans["promised"].isna()).sum()
    for n, one, many in [
        (settled.waiting.sum(), "loan is not over, and left out", "loans are not over, and left out"),
        (settled.refused, "seller got no loan from anybody", "sellers got no loan from anybody"),
        (unknown, "loan is of an amount that no probability is known for, and left out of lights and grades",
         "loans are of amounts that no probability is known for, and left out of lights and grades"),
    ]:  # fmt: skip
        if n:
            found.append(f"{n:,} {one if n == 1 else many}.")
    if settled.only_decided:
        found.append(f"In the decisions only: {len(settled.only_decided):,}, {name_few(settled.only_decided, 20)}.")
    if settled.only_settled:
        found.append(f"In the outcomes only: {len(settled.only_settled):,}, {name_few(settled.only_settled, 20)}.")
    return found


def say_level(report: VintageReport) -> list[str]:
    """Return sentences on the level at which the loans would have kept their promise.

    Parameters
    ----------
    report : VintageReport

    Returns
    -------
    list of str

    Examples
    --------
    >>> from qrgmm.desk.settled import settle_loans
    >>> from qrgmm.desk.vintage_report import report_vintages
    >>> decisions = pd.DataFrame({"seller": range(200), "vintage": "May", "loan": 50.0, "default_probability": 0.05})
    >>> outcomes = pd.DataFrame({"seller": range(200), "revenue": [40.0] * 40 + [90.0] * 160})
    >>> say_level(report_vintages(settle_loans(decisions, outcomes)))[0]
    'These loans would have kept 5.0 % at the level 0.00718 of their forecast (0.00162 to 0.0321 in nine of ten).'
    """
    found, sentences = report.recalibration, []
    level, low, high = (show_number(value, 3) for value in (found.level, found.low, found.high))
    if found.level == 0 and found.by_laws and found.n < 1 / found.promise - 1:
        need = int(np.ceil(1 / found.promise)) - 1
        sentences.append(f"{found.n:,} outcomes promise nothing at {_percent(found.promise)}: that takes {need:,}.")
    else:
        sentences.append(
            f"These loans would have kept {_percent(found.promise)} at the level {level} of their forecast "
            f"({low} to {high} in nine of ten)."
        )
    if found.by_laws:
        ends = f"{report.settled.laws[0]:g} and {report.settled.laws[-1]:g}"
        sentences.append(f"Read from where revenue fell; levels outside {ends} stand for anything beyond them.")
    else:
        sentences.append(
            "From defaults alone, as if all revenue had moved by as much on the normal scale: a guess at the shape. "
            "With quantiles in the decisions it would be read from where revenue fell."
        )
    if report.verdict == "kept":
        sentences.append("The promise was kept: this is no reason to move it.")
    elif report.verdict == "too few":
        sentences.append("Too few loans: this is no reason to move it.")
    else:
        sentences.append(
            "Refit to the newest history first; where that is not enough, size with the option "
            f"--max-default-probability {level}. Where another limit binds, moving this one changes little."
        )
    return sentences


def _paragraphs(sentences):
    return "".join(f"<p>{html.escape(sentence, quote=False)}</p>" for sentence in sentences)


def _percent(share):
    return "" if np.isnan(share) else f"{100 * share:.1f} %"


def _apply(table, forms):
    """Columns of a table as text, blank where there is no number: {column: (heading, form)}."""
    return pd.DataFrame(
        {heading: ["" if pd.isna(value) else form(value) for value in table[name]]
         for name, (heading, form) in forms.items() if name in table},
        table.index,
    )  # fmt: skip


def _whole(value):
    return f"{value:,.0f}"


def _p_value(value):
    return "below 0.0001" if value < 1e-4 else f"{value:.4f}"


def _show_defaults(report):
    return _apply(report.vintages, {
        "waiting": ("not over", _whole), "n_judged": ("loans", _whole), "promised": ("promised", _percent),
        "observed": ("observed", _percent), "error": ("error", _percent), "light": ("light", str),
        "p_value": ("probability", _p_value), "band_low": ("band from", _percent), "band_high": ("to", _percent),
        "error_together": ("error, factor", _percent), "light_together": ("light, factor", str),
        "p_together": ("probability, factor", _p_value),
    })  # fmt: skip


def _show_money(report):
    return _apply(report.vintages, {
        "n": ("loans", _whole), "lent": ("lent", _whole), "lost_in_all": ("lost", _whole),
        "n_expected": ("with an expectation", _whole), "expected_loss": ("expected loss", _whole),
        "loss": ("their loss", _whole), "loss_error": ("error", _whole),
        "forgone": ("forgone, loans too small", _whole), "lost_beyond": ("lost, loans too large", _whole),
        "cost": ("cost against hindsight", _whole),
    })  # fmt: skip


def _show_grades(report):
    return _apply(report.grades.rename_axis(None), {
        "n": ("loans", _whole), "promised": ("promised", _percent), "observed": ("observed", _percent),
        "error": ("error", _percent), "p_value": ("p-value", _p_value),
    })  # fmt: skip


def _show_overrides(report):
    return _apply(report.overrides, {
        "n": ("sellers", _whole), "lent": ("lent", _whole), "defaults": ("defaults", _whole),
        "default_share": ("share", _percent), "loss": ("lost", _whole), "desk_lends": ("desk lends", _whole),
        "desk_promised": ("promises", _percent), "desk_defaults": ("would default", _whole),
        "desk_share": ("share, desk", _percent), "desk_loss": ("would lose", _whole),
    })  # fmt: skip


def _show_drift(report):
    names = report.drift["vintage"] + ": " + report.drift["column"]
    return _apply(report.drift.set_axis(names), {
        "n_reference": ("reference", _whole), "n": ("now", _whole), "psi": ("index", "{:.3f}".format),
        "by_chance": ("by chance", "{:.3f}".format), "size": ("moved by", str),
    })  # fmt: skip


def _show_places(report):
    return _apply(report.places, {
        "n": ("sellers", _whole), "promised": ("promised", _percent), "observed": ("observed", _percent),
        "error": ("error", _percent),
    })  # fmt: skip


def _read_lights(report):
    """What the lights mean, and how often they err."""
    row, n = report.vintages.iloc[-1], int(report.vintages["n_judged"].notna().sum())
    sentences = [
        f"So many defaults are {PLAIN[report.verdict]}. A light is yellow where so many or fewer defaults have a "
        "probability of 95 % under the promise, red from 99.99 %.",
        f"A promise that is kept gets a green light with probability {_percent(row['green_rate'])} if loans are "
        f"independent, and {_percent(row['green_rate_shared'])} if those of a vintage load {report.loading:g} on one "
        "factor. The band holds nine of ten vintages that keep the promise and share that factor; the loading is "
        "assumed, not measured here.",
    ]
    if n > 1:
        found = report.clustered
        several = f"Clustered by vintage and seller, the difference of {100 * found['difference']:+.1f} points"
        sentences.append(f"{several} has a standard error of {100 * found['error']:.1f} (p-value "
                         f"{_p_value(found['p_value'])}); with few vintages that is rough.")  # fmt: skip
        sentences.append("Vintages are taken for independent, which they are not where their horizons overlap.")
    return sentences


def _read_grades(report):
    if report.grade_test is None:
        return ["Fewer than two grades promise anything: no test across grades."]
    statistic, p_value = report.grade_test
    return [
        f"Hosmer and Lemeshow: {statistic:.2f}, p-value {_p_value(p_value)} for independent loans. Loans that share a "
        "factor give small p-values without any fault of the promises."
    ]


def _draw_vintages(report):
    """A row per vintage: the band of the promise, the promise as a line, the observed share as a dot."""
    rows = report.vintages[report.vintages["n_judged"].notna()]
    top = 1.05 * max(rows["band_high"].max(), rows["observed"].max(), rows["promised"].max())
    left, width, step = 110, 420, 30
    bottom = step * len(rows) + 8

    def across(share):
        return f"{left + (width - left - 20) * share / top:.1f}"

    shapes = [f'<path class="axis" d="M{left},{bottom}H{width - 20}"/>']
    for share in (0, top / 2, top):
        anchor = "end" if share == top else "middle"
        shapes.append(f'<text x="{across(share)}" y="{bottom + 18}" text-anchor="{anchor}">{_percent(share)}</text>')
    for i, (name, row) in enumerate(rows.iterrows()):
        y, label = step * i + 20, str(name) if len(str(name)) <= 14 else f"{str(name)[:13]}…"
        low, high, promised = (across(row[key]) for key in ("band_low", "band_high", "promised"))
        shapes += [
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{html.escape(label, quote=False)}</text>',
            f'<path class="band" d="M{low},{y - 8}H{high}V{y + 8}H{low}Z"/>',
            f'<path d="M{promised},{y - 11}V{y + 11}" stroke-width="2"/>',
            f'<circle cx="{across(row["observed"])}" cy="{y}" r="5" fill="currentColor"/>',
        ]
    title = "Default share: promised (line), band of kept promises that share a factor (bar), observed (dot)"
    frame = f'<svg class="chart" viewBox="0 0 {width} {bottom + 26}" role="img" aria-label="{title}">'
    return f"<figure><figcaption>{title}</figcaption>{frame}{''.join(shapes)}</svg></figure>"
