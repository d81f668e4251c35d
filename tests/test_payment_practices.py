"""Payment reports: read in all their forms, refused with row and column when malformed, cleaned by the stated rules."""

import hashlib
import re
from datetime import date

import numpy as np
import pandas as pd
import pooch
import pytest
import requests

from qrgmm.datasets import files
from qrgmm.datasets.payment_practices import (
    AVERAGE,
    CHANGED,
    COLUMNS,
    DATES,
    DAYS,
    FLAGS,
    LATE,
    LONGEST,
    MAXIMUM,
    NOTIFIED,
    PERCENTAGES,
    SHORTEST,
    clean_payment_practices,
    load_payment_practices,
    read_payment_practices,
    select_filings,
    simulate_payment_practices,
)

HEADER_23 = [
    "Report Id",
    "Start date",
    "End date",
    "Filing date",
    "Company",
    "Company number",
    "Payments made in the reporting period",
    "Average time to pay",
    "% Invoices paid within 30 days",
    "% Invoices paid between 31 and 60 days",
    "% Invoices paid later than 60 days",
    "% Invoices not paid within agreed terms",
    "Shortest (or only) standard payment period",
    "Longest standard payment period",
    "Maximum contractual payment period",
    "Payment terms have changed",
    "Suppliers notified of changes",
    "Participates in payment codes",
    "E-Invoicing offered",
    "Supply-chain financing offered",
    "Policy covers charges for remaining on supplier list",
    "Charges have been made for remaining on supplier list",
    "URL",
]
HEADER_52 = [
    "Report Id",
    "Policy Regime",
    "Financial period start date",
    *HEADER_23[1:6],
    "Qualifying contracts in reporting period",
    "Payments made in reporting period",
    "Qualifying construction contracts in reporting period",
    "Construction contracts have retention clauses",
    "Average time to pay",
    "Total value invoices paid within 30 days",
    "Total value invoices paid between 31 and 60 days",
    "Total value invoices paid later than 60 days",
    *HEADER_23[8:11],
    "Total value invoices paid later than agreed terms",
    HEADER_23[11],
    "% Invoices not paid due to dispute",
    *HEADER_23[12:14],
    "Standard payment terms",
    *HEADER_23[15:17],
    HEADER_23[14],
    "Maximum contractual payment period information",
    "Other information payment terms",
    "Retention clauses included in all construction contracts",
    "Retention clauses included in standard payment terms",
    "Retention clauses are used in specific circumstances",
    "Description of specific circumstances for retention clauses",
    "Retention clauses used above a specific sum",
    "Value above which retention clauses are used",
    "Retention clauses are at a standard rate",
    "Retention clauses standard rate percentage",
    "Retention clauses have parity with client",
    "Description of parity policy",
    "Retention clause money release description",
    "Retention clause money release is staged",
    "Description of stages for money release",
    "Retention value compared to client retentions as %",
    "Retention value compared to total payments as %",
    "Dispute resolution process",
    *HEADER_23[17:],
]
REPORT = dict(
    zip(
        HEADER_23,
        "2,2017-04-29,2017-10-28,2017-11-07,MEDTRONIC LIMITED,01070807,,25,77,20,3,89,30,60,60,False,,False,False,"
        "False,False,False,https://check-payment-practices.service.gov.uk/report/2".split(","),
    )
)


def write(folder, reports, header=HEADER_23, name="export.csv"):
    """An export with the cells of `reports`, which lack nothing but what the header does not have."""
    frame = pd.DataFrame(reports, dtype=str).reindex(columns=header, fill_value="")
    frame.to_csv(folder / name, index=False)
    return folder / name


def report(**changes):
    """The report of the payment paper's example (Medtronic, 2017), with some cells changed."""
    return REPORT | {key.replace("_", " "): value for key, value in changes.items()}


def test_the_schemas_have_their_published_number_of_columns():
    assert len(HEADER_23) == 23 and len(HEADER_52) == len(set(HEADER_52)) == 52
    assert set(COLUMNS) == set(HEADER_23) - {"URL"}


@pytest.fixture(params=["23 columns", "52 columns", "periods"])
def every_form(request, tmp_path):
    row = report()
    if request.param == "52 columns":
        renamed = {HEADER_23[6]: HEADER_52[9]}
        row = {renamed.get(key, key): value for key, value in row.items()}
        return write(tmp_path, [row | {"Standard payment terms": 'net, "30"\nEOM'}], HEADER_52)
    if request.param == "periods":
        header = ["Period"] + [name for name in HEADER_23 if name not in (*DATES, "URL")]
        return write(tmp_path, [row | {"Period": "2017 APR - 2017 OCT"}], header)
    return write(tmp_path, [row])


def test_every_form_gives_the_same_report(every_form):
    reports = read_payment_practices(every_form)
    assert list(reports.columns) == COLUMNS and len(reports) == 1
    (row,) = reports.to_dict("records")
    assert (row["Report Id"], row["Company number"], row["Company"]) == (2, "01070807", "MEDTRONIC LIMITED")
    assert [row[name] for name in PERCENTAGES] == [77, 20, 3, 89] and [row[name] for name in DAYS] == [25, 30, 60, 60]
    assert [row[name] for name in FLAGS[3:]] == [0] * 5 and np.isnan([row[NOTIFIED], row[FLAGS[0]]]).all()
    assert row["End date"].to_period("M") == pd.Period("2017-10")
    assert pd.isna(row["Filing date"]) == ("Period" in every_form.read_text(encoding="utf-8"))


def test_a_period_runs_from_the_first_of_a_month_to_the_last(tmp_path):
    header = ["Period"] + [name for name in HEADER_23 if name not in (*DATES, "URL")]
    path = write(tmp_path, [report() | {"Period": "2019 SEP - 2020 FEB"}], header)
    row = read_payment_practices(path).iloc[0]
    assert (row["Start date"], row["End date"]) == (pd.Timestamp("2019-09-01"), pd.Timestamp("2020-02-29"))


NUMBERS = [("862342", "00862342"), ("sc017664", "SC017664"), ("SC17664", "SC017664"), ("0SC17664", "SC017664")]
NUMBERS += [("NI3038", "NI003038"), ("R123", "R0000123"), ("IP1234R", "IP01234R"), ("SP2441RS", "SP2441RS")]


@pytest.mark.parametrize(("written", "expected"), NUMBERS)
def test_company_numbers_are_text_of_eight_characters(tmp_path, written, expected):
    assert read_payment_practices(write(tmp_path, [report(Company_number=written)]))["Company number"][0] == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("True", 1.0), ("TRUE", 1.0), ("Yes", 1.0), ("1", 1.0), ("false", 0.0), ("No", 0.0), ("0.0", 0.0), ("", np.nan)],
)
def test_answers_are_read_in_all_spellings(tmp_path, answer, expected):
    flags = read_payment_practices(write(tmp_path, [report(**{"E-Invoicing offered": answer})]))["E-Invoicing offered"]
    np.testing.assert_array_equal(flags, [expected])


def test_a_byte_order_mark_windows_line_ends_and_spaces_make_no_difference(tmp_path):
    plain = write(tmp_path, [report()])
    text = plain.read_text(encoding="utf-8").replace(",25,", ", 25 ,").replace("\n", "\r\n")
    (tmp_path / "other.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    pd.testing.assert_frame_equal(read_payment_practices(tmp_path / "other.csv"), read_payment_practices(plain))


BAD_CELLS = [
    (AVERAGE, "25%", "a number, got '25%'"),
    (LATE, "89 %", "a number, got '89 %'"),
    (AVERAGE, "1,000", "a number, got '1,000'"),
    (SHORTEST, "thirty", "a number, got 'thirty'"),
    (MAXIMUM, "inf", "a number, got 'inf'"),
    (MAXIMUM, "nan", "a number, got 'nan'"),
    (AVERAGE, "-1", "a number that is not negative, got '-1'"),
    (LATE, "101", "a percentage from 0 to 100, got '101'"),
    (CHANGED, "perhaps", "yes or no, got 'perhaps'"),
    ("Report Id", "", "a whole number, got ''"),
    ("Report Id", "2.5", "a whole number, got '2.5'"),
    ("Company number", "", "up to eight letters and digits, got ''"),
    ("Company number", "UNKNOWN", "up to eight letters and digits, got 'UNKNOWN'"),
    ("Report Id", "1e20", "a whole number to 2^53, got '1e20'"),
    ("Company number", "1.07E+06", "up to eight letters and digits, got '1.07E+06'"),
    ("End date", "28/10/2017", "a day such as '2019-06-30', got '28/10/2017'"),
    ("Start date", "2017-02-30", "a day such as '2019-06-30', got '2017-02-30'"),
    ("Filing date", "", "a day such as '2019-06-30', got ''"),
]


@pytest.mark.parametrize(("column", "cell", "expected"), BAD_CELLS)
def test_a_bad_cell_is_refused_with_its_row_and_column(tmp_path, column, cell, expected):
    path = write(tmp_path, [report(), report(**{column: cell}), report()])
    before = path.read_bytes()
    with pytest.raises(ValueError) as caught:
        load_payment_practices(path)
    assert str(caught.value) == f"{path}: column {column!r} must hold {expected} in row 3"
    assert path.read_bytes() == before


def test_dates_win_over_a_period_beside_them(tmp_path):
    row = report() | {"Period": "2017 APR - 2017 OCT"}
    dated, plain = write(tmp_path, [row], ["Period", *HEADER_23]), write(tmp_path, [report()], name="plain.csv")
    pd.testing.assert_frame_equal(read_payment_practices(dated), read_payment_practices(plain))
    assert read_payment_practices(dated)["Start date"][0] == pd.Timestamp("2017-04-29")
    dated = write(tmp_path, [row | {"Period": "spring 2017"}], ["Period", *HEADER_23])
    pd.testing.assert_frame_equal(read_payment_practices(dated), read_payment_practices(plain))


def test_what_dates_beside_a_period_leave_open_is_taken_from_the_period(tmp_path):
    row = report(Start_date="", Filing_date="") | {"Period": "2017 APR - 2017 OCT"}
    found = read_payment_practices(write(tmp_path, [row], ["Period", *HEADER_23])).loc[0, DATES]
    assert found.tolist() == [pd.Timestamp("2017-04-01"), pd.Timestamp("2017-10-28"), pd.NaT]
    header = ["Period", *[name for name in HEADER_23 if name not in DATES[:2]]]
    row = report() | {"Period": "2017 APR - 2017 OCT"}
    found = read_payment_practices(write(tmp_path, [row], header)).loc[0, DATES]
    assert found.tolist() == [pd.Timestamp(day) for day in ("2017-04-01", "2017-10-31", "2017-11-07")]
    with pytest.raises(ValueError, match="'Start date' must hold a day .*, got '29/04/2017' in row 2"):
        row |= {"Start date": "29/04/2017"}
        read_payment_practices(write(tmp_path, [row], ["Period", *HEADER_23]))


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({LATE: "0.89"}, LATE),
        (dict(zip(PERCENTAGES, ["0.77", "0.2", "0.03", "0.89"])), PERCENTAGES[0]),
        (dict(zip(PERCENTAGES, ["1", "0", "0", "1"])), PERCENTAGES[0]),
    ],
)
def test_shares_as_fractions_are_refused(tmp_path, changes, column):
    with pytest.raises(ValueError, match=f"column {column!r} must hold .*percentage.* in row 2.*: fractions are ref"):
        read_payment_practices(write(tmp_path, [report(**changes)]))


def test_one_report_in_fractions_among_others_is_found(tmp_path):
    fractions = report(**dict(zip(PERCENTAGES, ["0.77", "0.2", "0.03", "0.89"])))
    with pytest.raises(ValueError, match="got '0.77' in row 3.*: fractions are refused"):
        read_payment_practices(write(tmp_path, [report(), fractions, report()]))
    small = read_payment_practices(write(tmp_path, [report(), report(**{LATE: "0.5"})]))
    assert small[LATE].tolist() == [89, 0.5], "half a percent beside others is one"


@pytest.mark.parametrize(
    ("shares", "kept"),
    [(["77", "53", "3"], False), (["77", "20", "3"], True), (["77", "20", "1"], True), (["77", "20", "5"], True),
     (["77", "20", "0"], False), (["0", "0", "0"], False), (["77", "", "3"], True)],
)  # fmt: skip
def test_shares_that_do_not_sum_to_a_hundred_become_missing_and_are_counted(tmp_path, shares, kept):
    cleaned = clean(tmp_path, report(), report(Report_Id="3", **dict(zip(PERCENTAGES, shares)), Company_number="7"))
    expected = [float(share or "nan") if kept else np.nan for share in shares]
    np.testing.assert_array_equal(cleaned.loc[1, PERCENTAGES[:3]].astype(float), expected)
    assert cleaned[LATE].tolist() == [89, 89] and cleaned.loc[0, PERCENTAGES[:3]].tolist() == [77, 20, 3]
    assert cleaned.attrs["cleaning"].get("shares", 0) == int(not kept)


def test_what_excel_adds_to_an_export_makes_no_difference_and_all_bad_rows_are_counted(tmp_path):
    plain = write(tmp_path, [report(), report(Report_Id="3")])
    lines = plain.read_text(encoding="utf-8").splitlines()
    text = "\n".join([f"{line},," for line in lines] + ["," * 24] * 3)
    (tmp_path / "excel.csv").write_text("\ufeff" + text, encoding="utf-8")
    pd.testing.assert_frame_equal(read_payment_practices(tmp_path / "excel.csv"), read_payment_practices(plain))
    (tmp_path / "excel.csv").write_text(text.replace(",89,", ",889,"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a percentage from 0 to 100, got '889' in row 2 \(and in 1 more: 3\)"):
        read_payment_practices(tmp_path / "excel.csv")


def test_a_bad_period_is_refused(tmp_path):
    header = ["Period"] + [name for name in HEADER_23 if name not in (*DATES, "URL")]
    path = write(tmp_path, [report() | {"Period": "2019 - 2020"}], header)
    expected = "column 'Period' must hold a period such as '2019 JAN - 2019 JUN', got '2019 - 2020' in row 2"
    with pytest.raises(ValueError, match=expected):
        read_payment_practices(path)


@pytest.mark.parametrize("missing", [name for name in COLUMNS if name not in DATES])
def test_a_missing_column_is_named(tmp_path, missing):
    header = [name for name in HEADER_23 if name != missing]
    with pytest.raises(ValueError) as caught:
        read_payment_practices(write(tmp_path, [report()], header))
    assert f"has no columns {[missing]}; " in str(caught.value)


def test_a_renamed_column_is_named_with_its_new_name(tmp_path):
    header = ["Average time to pay (days)" if name == AVERAGE else name for name in HEADER_23]
    expected = r"no columns \['Average time to pay'\]; was '.*pay' renamed to 'Average time to pay \(days\)'"
    with pytest.raises(ValueError, match=expected):
        read_payment_practices(write(tmp_path, [report()], header))


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path, [report() | {HEADER_52[9]: "True"}], [*HEADER_23, HEADER_52[9]])
    expected = r"must have each column once, got \['Payments made in the reporting period'\] more than once"
    with pytest.raises(ValueError, match=expected):
        read_payment_practices(path)


TEXT = ",".join(HEADER_23) + "\n" + ",".join(REPORT.values()) + "\n"
BROKEN = {
    "empty": (b"", "expected a header and at least one row, got 0 rows"),
    "header only": (TEXT.split("\n")[0].encode(), "expected a header and at least one row, got 1 rows"),
    "latin-1": (TEXT.replace("MEDTRONIC", "CAF\xc9").encode("latin-1"), "text in UTF-8, got byte 0xc9 in row 2"),
    "utf-16": (TEXT.encode("utf-16"), "text in UTF-8, got byte 0xff in row 1"),
    "cut off": (TEXT.encode()[:-90], "row 2 has 1[0-9] cells, expected 23; the last fits '"),
    "cut off in a quoted text": (TEXT.replace("MEDTRONIC", '"MED').encode(), "expected a CSV file, but .* cut off"),
    "semicolons": (TEXT.replace(",", ";").encode(), "separated by commas, got one column, 'Report Id;"),
    "another table": (b"a,b\n1,2\n", r"has no columns \['Report Id', 'Start date', 'End date'\] and 19 more; it"),
    "a web page": (b"<html>\n<body>404</body>\n", "separated by commas, got one column, '<html>'"),
}


@pytest.mark.parametrize(("content", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused(tmp_path, content, expected):
    (tmp_path / "export.csv").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        load_payment_practices(tmp_path / "export.csv")


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_payment_practices(tmp_path / "nowhere.csv")


def clean(tmp_path, *rows, **options):
    return clean_payment_practices(read_payment_practices(write(tmp_path, list(rows))), **options)


def test_reports_without_figures_are_dropped_and_counted(tmp_path):
    nothing_paid = report(**{AVERAGE: "", PERCENTAGES[0]: "", LATE: "0"}, Report_Id="3")
    nothing_said = report(**{name: "" for name in [*DAYS, *PERCENTAGES, *FLAGS]}, Report_Id="4")
    cleaned = clean(tmp_path, nothing_paid, report(), nothing_said)
    assert cleaned["Report Id"].tolist() == [2] and cleaned.attrs["cleaning"]["no figures"] == 2
    assert cleaned.index.tolist() == [0]


def test_exact_duplicates_and_repeats_leave_the_last_filed_report(tmp_path):
    corrected = report(Report_Id="9", Filing_date="2018-01-05", **{LATE: "50"})
    next_period = report(Report_Id="5", Start_date="2017-10-29", End_date="2018-04-28", Filing_date="2018-05-01")
    other_company = report(Report_Id="6", Company_number="00000001")
    cleaned = clean(tmp_path, corrected, report(), report(), next_period, other_company)
    assert cleaned["Report Id"].tolist() == [9, 5, 6]
    counts = cleaned.attrs["cleaning"]
    assert (counts["duplicates"], counts["repeats"]) == (1, 1)


@pytest.mark.parametrize(
    ("start", "end", "filed", "good_start", "good_end"),
    [
        ("2017-04-29", "2017-10-28", "2017-11-07", True, True),
        ("1921-01-01", "2021-06-30", "2021-07-07", False, True),
        ("2019-07-01", "2019-06-30", "2019-07-07", False, True),
        ("2017-01-01", "2018-12-31", "2019-01-07", False, True),
        ("2019-01-01", "2019-12-31", "2020-01-07", True, True),
        ("2019-01-01", "3025-06-30", "2019-07-07", True, False),
        ("2016-01-01", "2016-06-30", "2019-07-07", True, False),
        ("2019-01-01", "2019-06-30", "2019-06-30", True, True),
        ("2030-01-01", "2030-06-30", "2019-07-07", False, False),
        ("2019-08-01", "2019-06-30", "2019-07-07", False, True),
        ("2019-08-01", "2016-06-30", "2019-07-07", False, False),
    ],
)
def test_dates_that_cannot_be_become_missing_and_the_report_stays(tmp_path, start, end, filed, good_start, good_end):
    cleaned = clean(tmp_path, report(Start_date=start, End_date=end, Filing_date=filed))
    assert cleaned[["Start date", "End date"]].notna().to_numpy().tolist() == [[good_start, good_end]]
    assert cleaned.attrs["cleaning"]["dates"] == int(not (good_start and good_end))


@pytest.mark.parametrize(
    ("column", "typed", "kept"),
    [
        (AVERAGE, 999, True),
        (AVERAGE, 1000, False),
        (AVERAGE, 4_323_394, False),
        (SHORTEST, 1000, False),
        (LONGEST, 1264, False),
        (MAXIMUM, 5475, True),
        (MAXIMUM, 99_999, False),
    ],
)
def test_sentinels_become_missing_and_the_report_stays(tmp_path, column, typed, kept):
    cleaned = clean(tmp_path, report(**{column: str(typed)}))
    assert cleaned[column].notna().tolist() == [kept] and cleaned.attrs["cleaning"]["sentinels"] == int(not kept)


@pytest.mark.parametrize(
    ("cells", "column", "expected"),
    [
        ({LONGEST: ""}, LONGEST, 30.0),
        ({LONGEST: "", SHORTEST: "1000"}, LONGEST, np.nan),
        ({LONGEST: "1000"}, LONGEST, np.nan),
        ({CHANGED: "False", NOTIFIED: ""}, NOTIFIED, 0.0),
        ({CHANGED: "True", NOTIFIED: "True"}, NOTIFIED, 1.0),
        ({CHANGED: "True", NOTIFIED: "False"}, NOTIFIED, 0.0),
        ({CHANGED: "True", NOTIFIED: ""}, NOTIFIED, np.nan),
        ({CHANGED: "", NOTIFIED: ""}, NOTIFIED, np.nan),
    ],
)
def test_blanks_that_mean_something_get_their_meaning_unless_told_not_to(tmp_path, cells, column, expected):
    np.testing.assert_array_equal(clean(tmp_path, report(**cells))[column], [expected])
    raw = clean(tmp_path, report(**cells), fill_structural=False)[column]
    assert raw.isna().tolist() == [not cells.get(column) or cells[column] == "1000"]


def test_cleaning_leaves_its_input_as_it_was_and_looks_at_each_company_alone():
    reports = simulate_payment_practices(400, rng=0)
    before = reports.copy()
    cleaned = clean_payment_practices(reports)
    pd.testing.assert_frame_equal(reports, before)
    half = reports["Company number"] < "00000060"
    alone = clean_payment_practices(reports[half])
    together = cleaned[cleaned["Company number"].isin(alone["Company number"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together)


def test_a_window_keeps_what_was_filed_in_it():
    reports = simulate_payment_practices(500, rng=0)
    year = select_filings(reports, ("2018-01-01", "2018-12-31"))
    assert 0 < len(year) < 500 and set(year["Filing date"].dt.year) == {2018}
    paper = select_filings(reports, "paper")
    assert paper["Filing date"].max() <= pd.Timestamp("2019-12-31")
    undated = reports.assign(**{"Filing date": pd.NaT, "Report Id": np.arange(500) + 24_800})
    assert select_filings(undated, "paper")["Report Id"].tolist() == list(range(24_800, 24_822))
    for window in (("2018-01-01", "2018-12-31"), "everything"):
        with pytest.raises(ValueError, match="window must be 'paper'"):
            select_filings(undated, window)


def test_days_of_a_window_are_text_in_the_order_of_the_export_or_dates():
    reports = simulate_payment_practices(500, rng=0)
    year = select_filings(reports, ("2018-02-01", "2018-12-05"))
    for window in (
        [date(2018, 2, 1), date(2018, 12, 5)],
        (pd.Timestamp("2018-02-01 10:00"), np.datetime64("2018-12-05")),
    ):
        pd.testing.assert_frame_equal(select_filings(reports, window), year)
    days = "window must be two days such as '2018-01-31', got "
    for window in (("01/02/2018", "05/12/2018"), ("2018", "2019"), (2018, 2019), (None, "2018-12-05"), ("", "")):
        with pytest.raises(ValueError, match=re.escape(days + repr(window))):
            select_filings(reports, window)
    with pytest.raises(ValueError, match="window must end after it begins, got "):
        select_filings(reports, ("2018-12-31", "2018-01-01"))


def test_the_stand_in_has_the_published_statistics_of_the_full_export():
    reports = simulate_payment_practices(23_028, rng=1)
    late, time = reports[LATE], reports[AVERAGE]
    assert late.mean() == pytest.approx(29.77, abs=1.5) and late.std() == pytest.approx(24.5, abs=1.5)
    np.testing.assert_allclose(late.quantile([0.25, 0.5, 0.75]), [10, 24, 44], atol=2)
    assert late.quantile(0.8) == pytest.approx(51, abs=2)  # the paper's figure 1
    np.testing.assert_allclose(time.quantile([0.25, 0.5, 0.75]), [25, 35, 46], atol=2)
    np.testing.assert_allclose(reports[MAXIMUM].quantile([0.25, 0.5, 0.75]), [45, 60, 90], atol=5)
    shares = {
        CHANGED: 564,
        "Participates in payment codes": 2035,
        "E-Invoicing offered": 5511,
        "Supply-chain financing offered": 1544,
    }
    for name, count in shares.items():
        assert reports[name].mean() == pytest.approx(count / 23_028, abs=0.02)
    assert reports[LONGEST].isna().mean() == pytest.approx(7868 / 23_028, abs=0.02)
    assert (reports[NOTIFIED].isna() == (reports[CHANGED] == 0)).all()
    assert reports["Company number"].nunique() == pytest.approx(7287, rel=0.03)
    assert (reports[PERCENTAGES[:3]].sum(axis=1) == 100).all() and (reports[PERCENTAGES] >= 0).all(axis=None)


def test_the_stand_in_reads_back_as_an_export_and_follows_its_seed(tmp_path):
    reports = simulate_payment_practices(300, rng=3)
    pd.testing.assert_frame_equal(reports, simulate_payment_practices(300, rng=np.random.default_rng(3)))
    assert not reports.equals(simulate_payment_practices(300, rng=4))
    reports.assign(URL="").to_csv(tmp_path / "export.csv", index=False, columns=HEADER_23)
    pd.testing.assert_frame_equal(read_payment_practices(tmp_path / "export.csv"), reports, check_dtype=False)
    assert set(clean_payment_practices(reports).attrs["cleaning"]) >= {"no figures", "repeats", "one period"}


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("Failed to resolve raw.githubusercontent.com")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path / "raw")
    monkeypatch.setenv("QRGMM_DATA", str(tmp_path))
    monkeypatch.delenv("QRGMM_RUN", raising=False)  # else a failure here would be remembered for other tests
    return tmp_path


def test_without_data_there_is_an_error_or_on_request_a_stand_in(no_network):
    with pytest.raises(ConnectionError, match="payment_practices_scf.csv was not found and could not be downloaded"):
        load_payment_practices()
    assert load_payment_practices(window="paper", stand_in=True).attrs["source"] == "simulated stand-in"
    for snapshot, n_reports in (("scf", 1544), ("2019-12", 23_028)):
        reports = load_payment_practices(snapshot=snapshot, fill_structural=False, stand_in=True)
        assert len(reports) == pytest.approx(n_reports, rel=0.01)


@pytest.mark.parametrize("snapshot", ["scf", "2019-12", "2020-01-28"])
def test_a_snapshot_is_verified_whichever_checksum_is_known(no_network, monkeypatch, snapshot):
    path = write(no_network, [report()], name=f"payment_practices_{snapshot}.csv")
    with pytest.raises(ValueError, match="is not the file that the book was written on"):
        load_payment_practices(snapshot=snapshot)
    data = path.read_bytes()
    known = hashlib.sha256(data).hexdigest()
    if snapshot != "scf":
        known = "git " + hashlib.sha1(b"blob " + str(len(data)).encode() + b"\0" + data).hexdigest()
    monkeypatch.setitem(files.SOURCES, path.name, ("", known))
    assert load_payment_practices(snapshot=snapshot).attrs["source"].startswith("UK payment practices")


def test_an_unknown_snapshot_is_refused():
    with pytest.raises(ValueError, match="snapshot must be one of scf, 2019-12, 2020-01-28, got 'today'"):
        load_payment_practices(snapshot="today")


def test_the_real_reports_are_the_recorded_ones(need_data):
    need_data("payment_practices_scf.csv")
    reports = load_payment_practices()
    assert len(reports) == 4816 and reports["Company number"].str.fullmatch("[A-Z0-9]{8}").all()
    expected = {"no figures": 9, "duplicates": 0, "repeats": 24, "dates": 3, "sentinels": 0, "one period": 1435}
    assert reports.attrs["cleaning"] == expected | {"not asked": 4454}
    assert not reports[[*PERCENTAGES, *DAYS, *FLAGS[1:], "End date"]].isna().any(axis=None)
    assert reports["End date"].min() == pd.Timestamp("2017-10-31")
    # 80 per cent are below these late shares; the paper's 51 is of all companies.
    assert reports[LATE].quantile(0.8) == 45
    window = load_payment_practices(window="paper")
    assert len(window) == 1443 and window[LATE].quantile(0.8) == 48
    raw = load_payment_practices(fill_structural=False)
    assert raw[LONGEST].isna().sum() == 1435 and raw[NOTIFIED].isna().sum() == 4454
