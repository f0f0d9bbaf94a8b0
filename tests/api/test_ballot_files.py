"""Files as offices make them: encodings, separators, dates, headers, sheets; and files nobody foresees."""

from __future__ import annotations

import datetime as dt
import random
import string
import unicodedata
import zipfile
from pathlib import Path
from typing import Literal

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.errors import TableRefused
from api.organisation.digests import TransactionDigests
from api.organisation.places import Places
from api.spreadsheets.faults import Fault, Reason, defused, letter_of
from api.spreadsheets.tables import open_table
from api.survey.ballot_rows import COLUMNS, BallotReader, BallotRow
from api.survey.questionnaire import questionnaire_of
from tests.api.survey_files import CRITERIA, FIELDS, TITLES, TODAY, Sheet, good_row, write_csv

SIPAS = questionnaire_of("sipas-1")
TONES = "\u0300\u0301\u0303\u0309\u0323"
PLACES = Places({"u-main": ((dt.date(1900, 1, 1), dt.date.max),)}, {})
HEAD = "Ngày;Đơn vị;Kênh;Mã hồ sơ;Thái độ giao tiếp lịch sự\n"
ROW = "04/03/2026;u-main;Trực tuyến;H29.{number};Rất hài lòng\n"


def read(path: Path) -> tuple[list[BallotRow], list[Fault]]:
    """Read a file without a database."""
    ballots: list[BallotRow] = []
    faults: list[Fault] = []
    with open_table(path, (*COLUMNS, *SIPAS.columns())) as table:
        reader = BallotReader(table, SIPAS, PLACES, TransactionDigests(b"k" * 32), channel=None, today=TODAY)
        for row in table:
            found = [row] if isinstance(row, Fault) else reader.read(row)
            if isinstance(found, BallotRow):
                ballots.append(found)
            else:
                faults += found
    return ballots, faults


def text_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def level_of(ballot: BallotRow) -> int | None:
    return ballot.levels[CRITERIA.index("officer.manner")]


def rows(*numbers: int) -> str:
    return "".join(ROW.format(number=number) for number in numbers)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1258"])
def test_every_encoding_of_offices_is_read(tmp_path: Path, encoding: str) -> None:
    text = HEAD + rows(101, 102)
    if encoding == "cp1258":
        text = "".join(map(_with_tones_apart, text))
    ballots, faults = read(text_file(tmp_path / "a.csv", text, encoding))
    assert faults == []
    assert [(ballot.line, level_of(ballot)) for ballot in ballots] == [(2, 5), (3, 5)]


def _with_tones_apart(char: str) -> str:
    """Return a letter as that code page has it: one character for the letter, one for its tone."""
    parts = unicodedata.normalize("NFD", char)
    tones = "".join(part for part in parts if part in TONES)
    return unicodedata.normalize("NFC", "".join(part for part in parts if part not in TONES)) + tones


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_line_ends_and_composition_do_not_matter(
    tmp_path: Path, form: Literal["NFC", "NFD"], delimiter: str, end: str
) -> None:
    text = unicodedata.normalize(form, HEAD + rows(101)).replace(";", delimiter).replace("\n", end)
    ballots, faults = read(text_file(tmp_path / "a.csv", text))
    assert (len(ballots), faults) == (1, [])


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("", 2),
        ("sep=;\n", 3),
        ("SỞ NỘI VỤ;;;;\nBÁO CÁO KHẢO SÁT;;;;\n\n;;;;\n", 6),
    ],
)
def test_the_header_is_found_below_titles(tmp_path: Path, before: str, line: int) -> None:
    ballots, faults = read(text_file(tmp_path / "a.csv", before + HEAD + rows(101)))
    assert ([ballot.line for ballot in ballots], faults) == ([line], [])


def test_a_title_with_line_breaks_and_a_cell_with_one(tmp_path: Path) -> None:
    text = HEAD.replace("Mã hồ sơ", '"Mã\nhồ sơ"') + '04/03/2026;"u-main";sms;"H29.1\n01";5\n' + rows(7, 8)
    ballots, faults = read(text_file(tmp_path / "a.csv", text.replace("H29.7", "H29.007")))
    assert [fault.reason for fault in faults] == []
    assert [ballot.line for ballot in ballots] == [3, 5, 6]


def test_an_open_quote_swallows_no_good_row(tmp_path: Path) -> None:
    bad = '04/03/2026;"u-main;sms;H29.200;5\n'
    text = HEAD + rows(101) + bad + rows(102) + '04/03/2026;"u-main";sms;H29.103;"HL"\n' + bad + rows(104)
    ballots, faults = read(text_file(tmp_path / "a.csv", text))
    assert [ballot.line for ballot in ballots] == [2, 4, 5, 7]
    assert [(fault.line, fault.reason) for fault in faults] == [
        (3, Reason.UNCLOSED_QUOTE),
        (6, Reason.UNCLOSED_QUOTE),
    ]


def test_one_wrong_byte_costs_its_own_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    broken = ROW.format(number=102).encode().replace("ất".encode(), b"\xe1t")
    path.write_bytes((HEAD + rows(101)).encode() + broken + rows(103).encode())
    ballots, faults = read(path)
    assert [ballot.line for ballot in ballots] == [2, 4]
    assert [(fault.line, fault.column, fault.reason) for fault in faults] == [(3, "E", Reason.BAD_ENCODING)]


def test_workbooks_as_offices_make_them(tmp_path: Path) -> None:
    """Merged header over two rows, real dates, numbers, a formula, empty rows at the end, two sheets."""
    book = openpyxl.Workbook()
    page = book.active
    page.title = "Xã A"
    page.append(["PHIẾU KHẢO SÁT"])
    page.append(["Ngày", "Đơn vị", "Kênh", "Mã hồ sơ", "Công chức", None])
    page.append([None, None, None, None, "Thái độ giao tiếp lịch sự", "Chú ý lắng nghe người dân"])
    page.merge_cells("E2:F2")
    page.append([dt.datetime(2026, 3, 4, 8, 30), "u-main", "sms", 123456, 5, 4.0])  # noqa: DTZ001 - spreadsheets know no zone
    page.append([46085, "u-main", "sms", "H29.1", "=1+4", "HL"])
    page.append([dt.date(2026, 3, 4), "u-main", "sms", 1234567890123456, 5, 5])
    page.append([])
    page.append([dt.date(2026, 3, 4), "u-main", "sms", "H29.2", 5, 5])
    page.cell(row=3000, column=3).number_format = "0.00"
    other = book.create_sheet("Xã B")
    other.append(["Ngày", "Đơn vị", "Kênh", "Mã hồ sơ", "Thái độ giao tiếp lịch sự"])
    other.append(["04/03/2026", "u-main", "sms", "H29.3", "x"])
    other.append(["04/03/2026", "u-main", "sms", "H29.4", "BT"])
    book.create_sheet("Ghi chú").append(["chỉ là ghi chú"])
    path = tmp_path / "a.xlsx"
    book.save(path)
    ballots, faults = read(path)
    assert [(ballot.sheet, ballot.line, level_of(ballot)) for ballot in ballots] == [
        (1, 4, 5),
        (1, 8, 5),
        (2, 3, 3),
    ]
    assert [ballot.day for ballot in ballots] == [dt.date(2026, 3, 4)] * 3
    assert [(fault.sheet, fault.line, fault.column, fault.reason) for fault in faults] == [
        ("Xã A", 5, "E", Reason.FORMULA),
        ("Xã A", 6, "D", Reason.DIGITS_LOST),
        ("Xã B", 2, "E", Reason.NOT_A_LEVEL),
    ]
    with open_table(path, (*COLUMNS, *SIPAS.columns())) as table:
        assert table.unread_sheets == ("Ghi chú",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 no workbook", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel"),
        ("Đơn vị;Kênh\nu-main;sms\n".encode(), "No header"),
        ("Ngày;Date;Đơn vị\n".encode(), "columns A and B"),
        (bytes(range(256)) * 40, "No header"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(TableRefused, match=message):
        read(path)


def sheet_of(path: Path, content: str) -> None:
    """Write a workbook with this in its sheet."""
    empty = path.with_suffix(".empty")
    openpyxl.Workbook().save(empty)
    with zipfile.ZipFile(empty) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            of_sheet = item.filename == "xl/worksheets/sheet1.xml"
            target.writestr(item.filename, _SHEET.format(content) if of_sheet else source.read(item))


_SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData>'
    "</worksheet>"
)


def test_a_workbook_that_was_made_to_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    sheet_of(path, "<row/>" * (40 << 20 >> 2))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(TableRefused, match="far more than its size"):
        read(path)


def test_a_row_with_the_number_of_no_sheet_is_not_counted_up_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.xlsx"
    titles = "".join(
        f'<c r="{letter}1" t="inlineStr"><is><t>{title}</t></is></c>'
        for letter, title in zip("ABC", ("Ngày", "Đơn vị", "Thái độ giao tiếp lịch sự"), strict=True)
    )
    head, number = f'<row r="1">{titles}</row>', 2_000_000_000
    monkeypatch.setattr("api.spreadsheets.xlsx_rows.MOST_ROWS", 5000)
    sheet_of(path, head + '<row r="5000"/>')
    assert read(path) == ([], [])
    sheet_of(path, f'{head}<row r="{number}"/>')
    with pytest.raises(TableRefused, match="too large"):
        read(path)


@pytest.mark.parametrize("text", ["=1+1", "+84", "-1", "@SUM", "\t=1", " =1", "\r=1"])
def test_what_a_spreadsheet_would_run_is_defused(text: str) -> None:
    assert defused(text) == "'" + text


@pytest.mark.parametrize(("position", "letter"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_columns_have_the_letters_of_spreadsheets(position: int, letter: str) -> None:
    assert letter_of(position) == letter


JUNK = st.text(string.printable + "ăệ\u0301\ufeff\u2028\x00", max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.tuples(st.integers(0, 12), JUNK), max_size=8), number=st.integers(0, 2**32))
def test_junk_between_good_rows_loses_none_of_them(
    tmp_path: Path, lines: list[tuple[int, str]], number: int
) -> None:
    """Whatever stands on a line of its own, the good rows around it are kept, each exactly once."""
    rng = random.Random(number)  # noqa: S311 - a seeded sequence, no secret
    good = [good_row(rng, index) for index in range(12)]
    path = write_csv(tmp_path / "a.csv", TITLES, Sheet([[row[name] for name in FIELDS] for row in good]))
    text = path.read_text("utf-8").split("\n")
    for at, junk in lines:
        plain = junk.replace("\r", " ").replace("\n", " ")
        text.insert(1 + at, plain)
    path.write_bytes("\n".join(text).encode())
    ballots, _ = read(path)
    kept = [ballot.transaction_digest for ballot in ballots]
    digests = TransactionDigests(b"k" * 32)
    expected = [digests.digest(row["transaction"]) for row in good]
    assert [digest for digest in kept if digest in expected] == expected
