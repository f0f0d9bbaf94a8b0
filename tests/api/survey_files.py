"""Files of ballots as offices send them, good and bad, with what has to be said about each bad row."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own

from api.database import Database
from api.organisation.tree import tree_of
from api.spreadsheets.faults import letter_of
from api.survey.imports import ImportResult, import_ballots
from api.survey.questionnaire import questionnaire_of

TODAY = date(2026, 6, 30)
QUESTIONS = questionnaire_of("sipas-1").questions
CRITERIA = [question.code for question in QUESTIONS]
FIELDS = ["day", "unit", "counter", "channel", "transaction", "procedure", "feedback", *CRITERIA]
TITLES = ["Ngày", "Đơn vị", "Quầy", "Kênh", "Mã hồ sơ", "Thủ tục", "Đã góp ý", *(q.vi for q in QUESTIONS)]
FEEDBACK = "feedback.easy"


@dataclass(frozen=True, slots=True)
class Expected:
    """A fault that has to be reported: column by name, empty for the whole row."""

    column: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A way for a row to be bad.

    Attributes:
        change: What stands in a good row instead.
        expected: From left to right.
        only: Kind of file in which it can happen; both where empty.
        raw: Turns the written line into another, in CSV.
    """

    name: str
    change: dict[str, Any]
    expected: tuple[Expected, ...]
    only: str = ""
    raw: Callable[[str], str] | None = None


def _kind(name: str, column: str, value: Any, reason: str, only: str = "") -> BadRow:
    return BadRow(name, {column: value}, (Expected(column, reason),), only)


KINDS: Sequence[BadRow] = (
    _kind("no day", "day", "", "missing"),
    _kind("blank day", "day", " \u00a0 ", "missing"),
    _kind("words for a day", "day", "hôm qua", "not-a-day"),
    _kind("a month of thirteen", "day", "04/13/2026", "no-such-day"),
    _kind("the 30th of February", "day", "30/02/2026", "no-such-day"),
    _kind("a short year", "day", "04/03/26", "short-year"),
    _kind("tomorrow", "day", "01/07/2026", "day-in-future"),
    _kind("long ago", "day", "04/03/1999", "day-too-early"),
    _kind("a small number", "day", "45", "not-a-day"),
    _kind("a time", "day", "08:30", "not-a-day"),
    _kind("no such unit", "unit", "mot-cua-khac", "unknown-unit"),
    _kind("a unit's name", "unit", "Một cửa Ba Đình", "not-a-code"),
    _kind("no place", "unit", "", "no-place"),
    _kind("no such counter", "counter", "quay-99", "unknown-counter"),
    _kind("a counter's name", "counter", "Quầy số 1", "not-a-code"),
    BadRow("elsewhere", {"counter": "counter-9"}, (Expected("counter", "counter-elsewhere", "u-other"),)),
    _kind("no channel", "channel", "", "missing"),
    _kind("no such channel", "channel", "bồ câu", "unknown-channel"),
    _kind("the kiosk", "channel", "kiosk", "channel-not-imported"),
    _kind("no number", "transaction", "", "missing"),
    _kind("a short number", "transaction", "H2", "not-a-transaction"),
    _kind("a sentence for a number", "transaction", "xem sổ tay?", "not-a-transaction"),
    _kind("a rounded number", "transaction", "1,23457E+15", "digits-lost"),
    _kind("a number of floats", "transaction", 1.5e18, "digits-lost", "xlsx"),
    _kind("a procedure's name", "procedure", "Cấp đổi thẻ", "not-a-code"),
    _kind("perhaps feedback", "feedback", "có lẽ", "not-yes-or-no"),
    _kind("level six", CRITERIA[0], "6", "not-a-level"),
    _kind("level nought", CRITERIA[1], "0", "not-a-level"),
    _kind("between two levels", CRITERIA[2], "4,5", "not-a-level"),
    _kind("a level below nought", CRITERIA[3], "-1", "not-a-level"),
    _kind("quite satisfied", CRITERIA[4], "Khá hài lòng", "not-a-level"),
    _kind("a tick", CRITERIA[5], "✓", "not-a-level"),
    _kind("a formula", CRITERIA[6], "=A1+1", "formula"),
    _kind("a command", CRITERIA[7], "=cmd|' /C calc'!A0", "formula"),
    _kind("a plus", CRITERIA[7], "+5", "not-a-level"),
    _kind("an at", CRITERIA[7], "@SUM(A1)", "not-a-level"),
    _kind("an error of Excel", CRITERIA[8], "#REF!", "broken-cell", "xlsx"),
    _kind("a date for a level", CRITERIA[9], datetime(2026, 3, 4), "not-a-level", "xlsx"),  # noqa: DTZ001 - spreadsheets know no zone
    _kind("a truth for a level", CRITERIA[9], True, "not-a-level", "xlsx"),
    _kind("unreadable letters", CRITERIA[10], "H\ufffdi lòng", "bad-encoding"),
    _kind("a bell", CRITERIA[11], "Hài\x07 lòng", "control-character", "csv"),
    BadRow("no answers", dict.fromkeys(CRITERIA, ""), (Expected("", "no-answers"),)),
    BadRow("blanks for answers", dict.fromkeys(CRITERIA, "  "), (Expected("", "no-answers"),)),
    BadRow("unasked", {"feedback": "không", FEEDBACK: "5"}, (Expected(FEEDBACK, "no-feedback-given"),)),
    BadRow(
        "three at once",
        {"day": "30/02/2026", "channel": "??", CRITERIA[0]: "9"},
        (
            Expected("day", "no-such-day"),
            Expected("channel", "unknown-channel"),
            Expected(CRITERIA[0], "not-a-level"),
        ),
    ),
    BadRow("an open quote", {}, (Expected("", "unclosed-quote"),), "csv", lambda line: '"' + line),
    BadRow(
        "a quote in a quote", {}, (Expected("", "bad-quotes"),), "csv", lambda line: f'"x"y{line}'
    ),
    BadRow("a cell too many", {}, (Expected("#", "stray-cell"),), "csv", lambda line: line + ";5"),
)  # fmt: skip


@dataclass(slots=True)
class Sheet:
    """Rows that were written, and the faults they should give."""

    rows: list[list[Any]] = field(default_factory=list)
    raw: dict[int, Callable[[str], str]] = field(default_factory=dict)
    good: set[int] = field(default_factory=set)
    expected: list[tuple[int, str, str, str]] = field(default_factory=list)
    """Line, letter of the column, reason, detail."""


def good_row(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a good row in one of the spellings that offices use."""
    row: dict[str, Any] = dict.fromkeys(FIELDS, "")
    row |= {
        "day": rng.choice(["04/03/2026", "2026-03-04", "4-3-2026", "46085", "2026-03-04 08:30:00"]),
        "unit": rng.choice(["u-main", "U-MAIN", " u-main "]),
        "channel": rng.choice(["online", "Trực tuyến", "SMS", "1022", "Cổng Dịch vụ công quốc gia"]),
        "transaction": f"H29.{number:06d}",
    }
    for code in CRITERIA:
        if not code.startswith("feedback."):
            words = ["5", "Rất hài lòng", "RHL", "hai long", "4", "Bình thường", "khl", "RKHL", "Satisfied"]
            row[code] = rng.choice(words)
    return row


def bad_sheet(rng: random.Random, kind: str, *, bad: int, good: int, first: int) -> Sheet:
    """Mix bad rows of every kind into good ones; `first` is the line of the first row."""
    kinds = [item for item in KINDS if item.only in {"", kind}]
    picks: list[BadRow | None] = [kinds[index % len(kinds)] for index in range(bad)] + [None] * good
    rng.shuffle(picks)
    sheet = Sheet()
    for number, pick in enumerate(picks):
        line = first + number
        row = good_row(rng, number) | (pick.change if pick else {})
        sheet.rows.append([row[name] for name in FIELDS])
        if pick is None:
            sheet.good.add(line)
            continue
        if pick.raw is not None:
            sheet.raw[number] = pick.raw
        for item in pick.expected:
            sheet.expected.append((line, _letter(item.column), item.reason, item.detail))
    return sheet


def _letter(column: str) -> str:
    if column == "#":
        return letter_of(len(FIELDS))
    return letter_of(FIELDS.index(column)) if column else ""


def write_csv(path: Path, titles: Sequence[str], sheet: Sheet, encoding: str = "utf-8") -> Path:
    """Write rows as semicolon-separated text, bad lines as they are."""
    lines = []
    for number, row in enumerate([list(titles), *sheet.rows]):
        text = io.StringIO()
        csv.writer(text, delimiter=";", lineterminator="").writerow(row)
        change = sheet.raw.get(number - 1)
        lines.append(change(text.getvalue()) if change else text.getvalue())
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    return path


def write_xlsx(path: Path, titles: Sequence[str], sheet: Sheet) -> Path:
    """Write rows into a workbook."""
    book = openpyxl.Workbook()
    page = book.active
    page.append(list(titles))
    for row in sheet.rows:
        page.append([None if value == "" else value for value in row])
        for cell in page[page.max_row]:
            if isinstance(cell.value, str) and cell.value.startswith("#"):
                cell.data_type = "e"
    book.save(path)
    return path


def place(database: Database) -> None:
    """Put counter-1 into the unit u-main and counter-9 into u-other."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO counters (code) VALUES ('counter-9') ON CONFLICT DO NOTHING")
        connection.execute("INSERT INTO counters (code) VALUES ('counter-1') ON CONFLICT DO NOTHING")
        for unit, counter in (("u-main", "counter-1"), ("u-other", "counter-9")):
            connection.execute(
                "INSERT INTO organisation_nodes (code, level, name_vi, name_en, valid_from) "
                "VALUES (%s, 'unit', %s, %s, '1900-01-01')",
                (unit, unit, unit),
            )
            connection.execute(
                "INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until) "
                "VALUES (%s, %s, 'unit', 0, '1900-01-01', '9999-12-31')",
                (unit, unit),
            )
            connection.execute("DELETE FROM counter_placements WHERE counter = %s", (counter,))
            connection.execute(
                "INSERT INTO counter_placements (counter, unit, valid_from) VALUES (%s, %s, '1900-01-01')",
                (counter, unit),
            )
        assert tree_of(connection, TODAY).counters["counter-1"] == "u-main"


def take(database: Database, path: Path, **values: Any) -> ImportResult:
    """Import a file on TODAY."""
    given: dict[str, Any] = {"actor": "lan", "data_folder": path.parent / "log", "today": TODAY}
    return import_ballots(database, path, **given | values)


def lines_in(database: Database) -> set[int]:
    """Return the lines whose ballots are in the database."""
    with database.transaction() as connection:
        return {row[0] for row in connection.execute("SELECT line FROM survey_ballots")}
