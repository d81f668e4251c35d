"""Reports of large UK companies on how late they pay: read strictly, clean by stated rules, or simulate a stand-in.

Since 2017 large companies must report twice a year how many days they take to pay their suppliers and which share of
invoices they pay after the agreed date. The public export had 23 columns until 2024 and has had 52 since; a third form,
of which the book's subset is one, replaces the dates by a text such as "2019 JAN - 2019 JUN". A file that does not
have what it should is refused with row and column: nothing is guessed and no row is skipped.
"""

import re
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtr

from qrgmm.checks import Rng, check_count
from qrgmm.datasets.files import locate
from qrgmm.datasets.reading import read_cells, refuse, require_columns

SNAPSHOTS = {
    "scf": "UK payment practices, August 2023, reports with supply-chain finance offered",
    "2019-12": "UK payment practices, December 2019",
    "2020-01-28": "UK payment practices, 28 January 2020",
}
LATE = "% Invoices not paid within agreed terms"
AVERAGE = "Average time to pay"
SHORTEST = "Shortest (or only) standard payment period"
LONGEST = "Longest standard payment period"
MAXIMUM = "Maximum contractual payment period"
CHANGED = "Payment terms have changed"
NOTIFIED = "Suppliers notified of changes"
PERCENTAGES = [
    "% Invoices paid within 30 days", "% Invoices paid between 31 and 60 days", "% Invoices paid later than 60 days",
    LATE,
]
DAYS = [AVERAGE, SHORTEST, LONGEST, MAXIMUM]
FLAGS = [
    "Payments made in the reporting period", CHANGED, NOTIFIED, "Participates in payment codes", "E-Invoicing offered",
    "Supply-chain financing offered", "Policy covers charges for remaining on supplier list",
    "Charges have been made for remaining on supplier list",
]
DATES = ["Start date", "End date", "Filing date"]
COLUMNS = ["Report Id", *DATES, "Company", "Company number", *PERCENTAGES, *DAYS, *FLAGS]
RENAMED = {"Payments made in reporting period": FLAGS[0]}  # since 2025
ANSWERS = {"true": 1.0, "yes": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "0.0": 0.0, "": np.nan}
# From here on a number of days is a mark that somebody typed, not a duration; contracts can run for years.
SENTINELS = {AVERAGE: 1000, SHORTEST: 1000, LONGEST: 1000, MAXIMUM: 10_000}
SUM_OF_SHARES = 98, 102  # of the three shares of invoices by the days they took, by rounding
FIRST_START, LONGEST_MONTHS = "2016-01-01", 18  # the duty began in April 2017; a financial year has at most 18 months
# The paper's 21,820 valid reports are about those filed by the end of 2019 (its own text says 2017 to 2020). Where an
# export has no filing dates, the number of the last report filed by then stands for it.
PAPER_FILINGS, PAPER_LAST_REPORT = ("2017-01-01", "2019-12-31"), 24_821


def load_payment_practices(
    path: str | PathLike | None = None,
    snapshot: Literal["scf", "2019-12", "2020-01-28"] = "scf",
    window: Literal["paper"] | tuple[str | date, str | date] | None = None,
    fill_structural: bool = True,
    stand_in: bool = False,
) -> pd.DataFrame:
    """Return the reports of large UK companies on how late they pay, cleaned.

    Three snapshots of one public export are known by their checksum: "scf", of August 2023, only reports with
    supply-chain finance offered; "2019-12" and "2020-01-28", all companies, near what the payment paper had. Today's
    export, https://check-payment-practices.service.gov.uk/export/csv/, changes daily: save it and give its `path`.

    Parameters
    ----------
    path : path, optional
        Of an export, in any of its forms (23 columns, 52 columns, periods for dates), instead of a snapshot.
    snapshot : {"scf", "2019-12", "2020-01-28"}
    window : "paper" or (day, day), optional
        Keep only reports filed in it, see `select_filings`.
    fill_structural : bool
        Whether blanks that are no unknowns are filled with what they mean, see `clean_payment_practices`.
    stand_in : bool
        If neither a file nor a download can be had, return `simulate_payment_practices` instead of raising an error, as
        many reports as were filed of the snapshot's kind by January 2020.

    Returns
    -------
    pandas.DataFrame
        One row per report, see `read_payment_practices`. ``attrs["source"]`` says what it is, ``attrs["cleaning"]`` how
        many rows each cleaning rule touched.

    Raises
    ------
    ConnectionError
        If there is neither a file nor a download and `stand_in` is False; the message says what to do.
    FileNotFoundError
        If `path` is no file or QRGMM_DATA names no folder.
    ValueError
        If `snapshot` is unknown, a snapshot is not the recorded file, an export is malformed, or `window` is none.

    Notes
    -----
    Payment paper, section 3; chapter 13. Contains public sector information licensed under the Open Government Licence
    v3.0.
    """
    if path is not None:
        source = f"export {Path(path).name}"
    elif snapshot not in SNAPSHOTS:
        raise ValueError(f"snapshot must be one of {', '.join(SNAPSHOTS)}, got {snapshot!r}")
    else:
        source = SNAPSHOTS[snapshot]
        try:
            path = locate(f"payment_practices_{snapshot}.csv")
        except ConnectionError:
            if not stand_in:
                raise
    if path is not None:
        reports = read_payment_practices(path)
    else:
        # The full export of 28 January 2020, on which it rests, has 1,544 reports with supply-chain finance offered.
        reports = simulate_payment_practices(1544 if snapshot == "scf" else 23_028, rng=0)
    if window is not None:
        reports = select_filings(reports, window)
    cleaned = clean_payment_practices(reports, fill_structural)
    cleaned.attrs["source"] = source if path is not None else "simulated stand-in"
    return cleaned


def read_payment_practices(path: str | PathLike) -> pd.DataFrame:
    """Return an export as it stands, with the columns and types of one schema, or refuse it.

    Parameters
    ----------
    path : path
        A CSV file in UTF-8 with the 23 columns of 2017-2024, the 52 since 2025, or `Period` in place of the dates.

    Returns
    -------
    pandas.DataFrame
        One row per report with the columns `COLUMNS`: company numbers as text of eight characters, dates, percentages
        and days as floats, yes/no answers as 1.0 and 0.0; NaN and NaT where the export is blank. Dates win over a
        period; where only the period is given, it starts on the first of a month and ends on the last; a filing
        date that is not given is missing.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, not UTF-8, lacks a column, or a row has too few cells, a number that is none or out of
        range, an unknown answer or an impossible company number; or if shares are fractions instead of percentages:
        the three of a report sum to about 1, or a column has fractions and nothing above 1. The message names row and
        column and counts the bad rows, as a spreadsheet does: the header is row 1.

    Notes
    -----
    Payment paper, section 3 and table 1; chapter 13.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "export.csv"
    ...     _ = path.write_text("Report Id,Company\\n7,A LTD\\n", encoding="utf-8")
    ...     try:
    ...         read_payment_practices(path)
    ...     except ValueError as error:
    ...         print(str(error).split(": ")[1])
    it has no columns ['Start date', 'End date', 'Filing date'] and 17 more; it has ['Report Id', 'Company']
    """
    text = read_cells(path).rename(columns=RENAMED)
    has_period = "Period" in text
    wanted = [name for name in COLUMNS if not (has_period and name in DATES)]
    require_columns(path, text, wanted)
    reports = pd.DataFrame(index=text.index)
    for name in ["Report Id", *PERCENTAGES, *DAYS]:
        reports[name] = _parse_numbers(path, text[name], high=100 if name in PERCENTAGES else np.inf)
    for name in FLAGS:
        reports[name] = text[name].str.lower().map(ANSWERS)
        refuse(path, text[name], ~text[name].str.lower().isin(ANSWERS), "yes or no")
    _refuse_fractions(path, text, reports)
    refuse(path, text["Report Id"], reports["Report Id"].isna() | (reports["Report Id"] % 1 != 0), "a whole number")
    refuse(path, text["Report Id"], reports["Report Id"] > 2**53, "a whole number to 2^53")
    reports["Report Id"] = reports["Report Id"].astype("int64")
    number = text["Company number"].str.upper()
    known = number.str.fullmatch("[A-Z0-9]{1,8}") & number.str.contains("[0-9]")
    refuse(path, text["Company number"], ~known, "up to eight letters and digits")
    reports["Company"], reports["Company number"] = text["Company"], number.map(_pad_company_number)
    for name, dates in _parse_dates(path, text).items():
        reports[name] = dates
    return reports[COLUMNS].reset_index(drop=True)


def clean_payment_practices(reports: pd.DataFrame, fill_structural: bool = True) -> pd.DataFrame:
    """Return a copy with the cleaning rules applied and ``attrs["cleaning"]``, how many rows each of them touched.

    1. *no figures*: reports without a late share or an average time (no payments made) are dropped.
    2. *duplicates*: of rows that are equal in every column one stays.
    3. *repeats*: of several reports of one company on one period the last filed stays.
    4. *dates*: a period that starts before 2016, after its end, after it was filed or more than 18 months before its
       end has no start; one that ends before 2017 or after it was filed has no end. The report stays.
    5. *sentinels*: 1,000 days and more (10,000 for the longest contract) become missing.
    6. *one period*: the longest standard period is blank where there is only one; it becomes the shortest.
    7. *not asked*: whether suppliers were notified is blank where terms did not change; it becomes 0, no.
    8. *shares*: where the shares paid within 30 days, from 31 to 60 and later sum to less than 98 or more than 102
       percent, all three become missing. Counted where there are such reports; the recorded snapshot has none.

    Parameters
    ----------
    reports : pandas.DataFrame
        As `read_payment_practices` returns it.
    fill_structural : bool
        False leaves out rules 6 and 7, as the paper did, which then filled in means.

    Returns
    -------
    pandas.DataFrame
        With a fresh index. The cleaning looks at one report, or one company and period, at a time and learns nothing,
        so that it may come before a split into training and test rows.

    Examples
    --------
    >>> reports = simulate_payment_practices(50, rng=0)
    >>> clean_payment_practices(pd.concat([reports, reports])).attrs["cleaning"]["duplicates"] == len(reports)
    True
    """
    counts = {}
    has_figures = reports[LATE].notna() & reports[AVERAGE].notna()
    cleaned, counts["no figures"] = reports[has_figures], int((~has_figures).sum())
    again = cleaned.duplicated()
    cleaned, counts["duplicates"] = cleaned[~again], int(again.sum())
    filed = cleaned.sort_values(["Filing date", "Report Id"], kind="stable", na_position="first")
    dated = filed["Start date"].notna() & filed["End date"].notna()
    repeated = filed.duplicated(["Company number", "Start date", "End date"], keep="last") & dated
    cleaned, counts["repeats"] = filed[~repeated].sort_index().reset_index(drop=True), int(repeated.sum())

    start, end = cleaned["Start date"], cleaned["End date"]
    bad_end = (end < "2017-01-01") | (end > cleaned["Filing date"])
    cleaned["End date"] = end = end.mask(bad_end)
    bad_start = (start < FIRST_START) | (start > end) | (end > start + pd.DateOffset(months=LONGEST_MONTHS))
    bad_start |= start > cleaned["Filing date"]
    cleaned["Start date"] = start.mask(bad_start)
    counts["dates"] = int((bad_start | bad_end).sum())

    typed = pd.DataFrame({name: cleaned[name] >= limit for name, limit in SENTINELS.items()})
    cleaned[DAYS] = cleaned[DAYS].mask(typed[DAYS])
    counts["sentinels"] = int(typed.any(axis=1).sum())
    if fill_structural:
        one_period, not_asked = cleaned[LONGEST].isna() & ~typed[LONGEST], cleaned[CHANGED] == 0
        cleaned[LONGEST] = cleaned[LONGEST].mask(one_period, cleaned[SHORTEST])
        counts |= {"one period": int(one_period.sum()), "not asked": int((cleaned[NOTIFIED].isna() & not_asked).sum())}
        cleaned[NOTIFIED] = cleaned[NOTIFIED].mask(not_asked, 0.0)
    total = cleaned[PERCENTAGES[:3]].sum(axis=1, skipna=False)
    wrong = (total < SUM_OF_SHARES[0]) | (total > SUM_OF_SHARES[1])
    if wrong.any():
        cleaned.loc[wrong, PERCENTAGES[:3]], counts["shares"] = np.nan, int(wrong.sum())
    cleaned.attrs["cleaning"] = counts
    return cleaned


def select_filings(
    reports: pd.DataFrame, window: Literal["paper"] | tuple[str | date, str | date]
) -> pd.DataFrame:
    """Return the reports filed in a window.

    Parameters
    ----------
    reports : pandas.DataFrame
        As `read_payment_practices` returns it.
    window : "paper" or (day, day)
        First and last day of filing, dates or text such as "2018-01-31"; "paper" is 2017-01-01 to 2019-12-31, or the
        report numbers to 24,821 where there are no filing dates, see `PAPER_FILINGS`.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        If `window` is neither, runs backwards, or names days and the export has no filing dates.

    Examples
    --------
    >>> len(select_filings(simulate_payment_practices(500, rng=0), ("2018-01-01", "2018-12-31"))) < 500
    True
    """
    filed = reports["Filing date"]
    if isinstance(window, str) and window == "paper":
        if filed.isna().all():
            return reports[reports["Report Id"] <= PAPER_LAST_REPORT]
        window = PAPER_FILINGS
    if isinstance(window, str) or len(window) != 2:
        raise ValueError(f"window must be 'paper' or a pair of days, got {window!r}")
    if filed.isna().all():
        raise ValueError(f"window must be 'paper' for an export without filing dates, got {window!r}")
    days = [day if isinstance(day, str) else str(day)[:10] for day in window]  # of a date and time, the date
    first, last = pd.to_datetime(days, format="%Y-%m-%d", errors="coerce")
    if pd.isna(first) or pd.isna(last):
        raise ValueError(f"window must be two days such as '2018-01-31', got {window!r}")
    if first > last:
        raise ValueError(f"window must end after it begins, got {window!r}")
    return reports[filed.between(first, last)]


# Published statistics of the full export of 28 January 2020: reports per company, upper ends of bins of the late share
# and of the average time and the reports in them, quartiles of the contract terms, share of yes.
_PER_COMPANY = {1: 557, 2: 620, 3: 3594, 4: 2131, 5: 385}
_LATE = [9.5, 19.5, 29.5, 39.5, 49.5, 59.5, 69.5, 79.5, 89.5, 100], [
    5623, 4165, 3564, 2842, 2068, 1454, 1200, 939, 702, 471]
_TIME = [9.5, 19.5, 29.5, 39.5, 49.5, 59.5, 69.5, 79.5, 180], [751, 2561, 5032, 5804, 4249, 2512, 1203, 520, 396]
_TERMS = {SHORTEST: [0, 1, 15, 30, 120], LONGEST: [1, 60, 60, 90, 240], MAXIMUM: [0, 45, 60, 90, 365]}
_ONE_PERIOD = 7868 / 23_028
_YES_COUNTS = {CHANGED: 564, "Participates in payment codes": 2035, "E-Invoicing offered": 5511}
_YES_COUNTS |= {"Supply-chain financing offered": 1544}
_YES = {name: count / 23_028 for name, count in _YES_COUNTS.items()}
_CHARGES = 0.02  # not published: our choice, as is what follows
_PERSISTENCE, _TIME_ON_LATE = 0.9, 0.3  # correlations: of a company's scores over time, of time with late share


def simulate_payment_practices(n_reports: int = 23_028, rng: Rng = None) -> pd.DataFrame:
    """Return made-up reports of made-up companies, for machines without the data: a stand-in, not the data.

    Reports per company, late share, average time, contract terms, blanks and yes/no answers follow what is published of
    the full export of 28 January 2020. That a company hardly changes from report to report, and that late payers take
    longer, is put in with correlations of our choice. No number of the book on real companies rests on them.

    Parameters
    ----------
    n_reports : int
    rng : numpy.random.Generator, int or None

    Returns
    -------
    pandas.DataFrame
        As `read_payment_practices` returns an export, with its blanks.

    Examples
    --------
    >>> simulate_payment_practices(100, rng=0).shape
    (100, 22)
    """
    n_reports = check_count("n_reports", n_reports, least=0)
    rng = np.random.default_rng(rng)
    sizes = rng.choice(list(_PER_COMPANY), n_reports, p=np.array(list(_PER_COMPANY.values())) / 7287)
    company = np.repeat(np.arange(n_reports), sizes)[:n_reports]
    nth = np.arange(n_reports) - np.searchsorted(company, company)

    def persistent_score():
        own = rng.normal(size=n_reports)[company]
        return np.sqrt(_PERSISTENCE) * own + np.sqrt(1 - _PERSISTENCE) * rng.normal(size=n_reports)

    late = persistent_score()
    time = _TIME_ON_LATE * late + np.sqrt(1 - _TIME_ON_LATE**2) * persistent_score()
    reports = pd.DataFrame({LATE: _from_bins(ndtr(late), *_LATE), AVERAGE: _from_bins(ndtr(time), *_TIME)})
    within_30 = np.round(100 / (1 + np.exp((reports[AVERAGE] - 37) / 12)))
    over_60 = np.round((100 - within_30) * np.clip(reports[AVERAGE] / 120, 0, 1))
    reports[PERCENTAGES[0]], reports[PERCENTAGES[2]] = within_30, over_60
    reports[PERCENTAGES[1]] = 100 - within_30 - over_60
    for name, quartiles in _TERMS.items():
        reports[name] = np.round(np.interp(rng.random(n_reports)[company], np.linspace(0, 1, 5), quartiles))
    only_one = rng.random(n_reports)[company] < _ONE_PERIOD
    reports[LONGEST] = np.maximum(reports[LONGEST], reports[SHORTEST]).mask(only_one)
    for name, share in _YES.items():
        who = rng.random(n_reports) if name == CHANGED else rng.random(n_reports)[company]
        reports[name] = (who < share).astype(float)
    reports[FLAGS[0]] = 1.0
    reports[NOTIFIED] = pd.Series(rng.random(n_reports) < 2 / 3, dtype=float).where(reports[CHANGED] == 1)
    reports[FLAGS[6]] = (rng.random(n_reports)[company] < _CHARGES).astype(float)
    reports[FLAGS[7]] = reports[FLAGS[6]] * (rng.random(n_reports) < 1 / 2)

    # Five half-years to the end of 2019, of which only companies with five reports have the first.
    half_year = (5 - sizes - (rng.random(n_reports) * (5 - sizes)).astype(int))[company] + nth
    reports["Start date"] = np.datetime64("2017-07") + 6 * half_year.astype("timedelta64[M]")
    reports["End date"] = reports["Start date"] + pd.offsets.MonthEnd(6)
    reports["Filing date"] = reports["End date"] + pd.to_timedelta(rng.integers(1, 31, n_reports), "D")
    reports["Company"] = [f"COMPANY {c}" for c in company]
    reports["Company number"] = [f"{c:08d}" for c in company]
    order = reports["Filing date"].argsort(kind="stable")
    reports.loc[order, "Report Id"] = np.arange(1, n_reports + 1)
    return reports.astype({"Report Id": "int64"})[COLUMNS]


def _from_bins(u, ends, counts):
    """Whole numbers with the given counts in bins, from uniform ones."""
    edges, shares = np.array([0, *ends]), np.cumsum([0, *counts]) / sum(counts)
    return np.round(np.interp(u, shares, edges))


def _parse_numbers(path, cells, high):
    numbers = pd.to_numeric(cells.where(cells != ""), errors="coerce").astype(float)
    refuse(path, cells, (cells != "") & ~np.isfinite(numbers), "a number")
    expected = "a percentage from 0 to 100" if high == 100 else "a number that is not negative"
    refuse(path, cells, (numbers < 0) | (numbers > high), expected)
    return numbers


def _refuse_fractions(path, text, reports):
    total = reports[PERCENTAGES[:3]].sum(axis=1, skipna=False)
    expected = f"a percentage, so that the first three sum to {SUM_OF_SHARES[0]} to {SUM_OF_SHARES[1]}"
    refuse(path, text[PERCENTAGES[0]], (total - 1).abs() < 0.021, expected, ": fractions are refused")
    for name in PERCENTAGES:
        fraction = (reports[name] > 0) & (reports[name] < 1)
        if not (reports[name] > 1).any():
            refuse(path, text[name], fraction, "percentages", ", and no number above 1: fractions are refused")


def _pad_company_number(number):
    """Fill digits with zeros to eight characters, behind the letters where there are some: SC017664."""
    number = re.sub("^0+(?=[A-Z])", "", number)
    letters, digits, rest = re.fullmatch("([A-Z]*)([0-9]*)(.*)", number).groups()
    return letters + digits.zfill(8 - len(letters + rest)) + rest


def _parse_dates(path, text):
    cells = text.reindex(columns=DATES, fill_value="")
    days = {name: pd.to_datetime(cells[name], format="%Y-%m-%d", errors="coerce") for name in DATES}
    days = {name: parsed.astype("datetime64[us]") for name, parsed in days.items()}
    months = {name: pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]") for name in DATES}
    if "Period" in text:
        ends = text["Period"].str.extract(r"^(\d{4} [A-Z]{3}) - (\d{4} [A-Z]{3})$")
        months |= {name: pd.to_datetime(ends[i], format="%Y %b", errors="coerce") for i, name in enumerate(DATES[:2])}
        needed = (cells[DATES[:2]] == "").any(axis=1)
        unknown = months["Start date"].isna() | months["End date"].isna()
        refuse(path, text["Period"], needed & unknown, "a period such as '2019 JAN - 2019 JUN'")
        months["End date"] += pd.offsets.MonthEnd(0)
    for name in DATES:
        blank = (cells[name] == "") & ("Period" in text)
        refuse(path, cells[name], days[name].isna() & ~blank, "a day such as '2019-06-30'")
        days[name] = days[name].fillna(months[name])
    return days
