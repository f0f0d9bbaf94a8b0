"""Files of figures: no cell runs as a formula, and the same figures give the same bytes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own
import pytest

from api.figure_course import (
    CHANGE_COLUMNS,
    COURSE_COLUMNS,
    PART_COLUMNS,
    as_json,
    course_tables,
)
from api.figure_files import Sheet, as_csv, as_package, as_xlsx
from api.figure_table import COLUMNS, Column, FigureRow, figure_rows, values_of
from api.index.breakdown import Dimension, Part
from api.index.course import Level, Run, Shift
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period
from api.index.reading import Reading, Standing, UncalibratedMean
from api.interval import Mean
from api.open_data import table_of
from api.register import Register, Spot
from api.release_proof import ReleaseEntry, ReleaseProof
from api.report import Changes, Report, pdf, pictures
from tests.api.pdf_text import pdf_lines

COLUMNS_OF_TWO = (Column("name", "string", "tên", "name"), Column("n", "integer", "số", "n"))
MONTH = Period.parse("2026-10")
WHOLE = Spot("all", "all", "", "", "", None)
UNIT = Spot("unit:u", "unit", "u", "=cmd|' /C calc'!A0", "Unit *u* #1", "all", ("u",), ("c",))
NAMES = ("place", "standing", "factor", "channel", "sign", "share", "low", "high", "n")


def figure(share: Share) -> Figure:
    line = Line(share, {"kiosk": share})
    return Figure(
        *("unit:u", MONTH, line, {"access": line}, Weighting.VISITS),
        Completeness(200, 100, 80, share.n, 90, 100, 0, 0, 1000),
        Versions(1, (2,), ("m 1",), ("s 1",)),
        *(1, 1),
    )


def reading(share: Share) -> Reading:
    return Reading("unit:u", MONTH, Standing.FIGURE, figure=figure(share))


MIXED = Share(0.8123, 0.71, 0.88, 60, 49, 30, 70.0, 0.4, "prediction_powered")
UNANIMOUS = Share(1.0, 0.88, 1.0, 29, 29, 0, 29.0, 0.0, "wilson")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_runs_as_a_formula(text: str) -> None:
    assert as_csv(COLUMNS_OF_TWO, [(text, "3")]).decode("utf-8-sig").splitlines()[1].lstrip('"')[0] == "'"
    made = as_xlsx([Sheet("s", COLUMNS_OF_TWO, [(text, "3")])], title="t", language="vi")
    cell, number = next(openpyxl.load_workbook(io.BytesIO(made)).active.iter_rows(min_row=2))
    assert (cell.data_type, cell.value[0]) == ("s", "'")
    assert (number.data_type, number.value) == ("n", 3)


def test_the_same_rows_give_the_same_bytes() -> None:
    sheet = Sheet("s", COLUMNS_OF_TWO, [("a", "1"), ("b", "")])
    assert len({as_xlsx([sheet], title="t", language="vi") for _ in range(2)}) == 1
    core = openpyxl.load_workbook(io.BytesIO(as_xlsx([sheet], title="t", language="vi"))).properties
    assert (core.title, core.creator, core.modified.year) == ("t", "hailong", 2026)


def test_the_dictionary_names_every_column() -> None:
    package = json.loads(as_package("p", "t", [("figures.csv", COLUMNS)]))
    fields = package["resources"][0]["schema"]["fields"]
    assert len(fields) == len(values_of(FigureRow(*("x",) * 8))) == 32
    assert all(field["title"] and field["description"] for field in fields)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(MIXED, ("", "81", "71", "88", "60")), (UNANIMOUS, ("≥", "97", "83", "100", "29"))],
)
def test_rows_hold_what_is_printed(share: Share, expected: tuple[str, ...]) -> None:
    rows = list(figure_rows([UNIT], {"unit:u": reading(share)}))
    assert [(row.factor, row.channel) for row in rows] == [
        ("overall", "together"),
        ("overall", "kiosk"),
        ("access", "together"),
        ("access", "kiosk"),
    ]
    assert (rows[0].sign, rows[0].share, rows[0].low, rows[0].high, rows[0].n) == expected


def test_a_signal_and_what_is_held_back_have_no_share() -> None:
    signal = Reading(
        "unit:u", MONTH, Standing.UNCALIBRATED, signal=UncalibratedMean(Mean(0.5, 0.4, 0.6, 20), 3)
    )
    held = Reading("all", MONTH, Standing.WITHHELD)
    one, two = figure_rows([UNIT, WHOLE], {"unit:u": signal, "all": held})
    assert (one.share, one.signal, one.signal_n) == ("", "50", "20")
    assert (two.standing, two.share, two.signal, two.n) == ("withheld", "", "", "")


def report(share: Share) -> Report:
    register = Register(
        date(2026, 10, 31), {"all": WHOLE, "unit:u": UNIT}, {"all": ("unit:u",)}, {"unit": ("Đơn vị", "Unit")}
    )
    readings = {"all": Reading("all", MONTH, Standing.WITHHELD), "unit:u": reading(share)}
    proof = ReleaseProof((ReleaseEntry(7, date(2026, 10, 1), b"\x11" * 32),), "origin\n8\nroot\n")
    return Report(register, WHOLE, (WHOLE, UNIT), readings, proof, "tháng 10 năm 2026", 10)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_report_is_the_same_each_time_and_changes_with_its_figures(language: str) -> None:
    one = pdf(report(MIXED), language)
    assert one == pdf(report(MIXED), language)
    assert one != pdf(report(UNANIMOUS), language)
    told = (
        (
            "14/10/2026",
            "12\N{EN DASH}16/10/2026",
            "85,2 (80\N{EN DASH}89), n = 800",
            "70 (60\N{EN DASH}78), n = 90",
            "\N{MINUS SIGN}15",
        ),
    )
    assert one != pdf(replace(report(MIXED), changes=Changes(told)), language)
    assert one != pdf(replace(report(MIXED), changes=Changes((), "nothing")), language)
    assert b"CreationDate" not in one
    assert len(pictures(report(MIXED), language)) == 2


@pytest.mark.parametrize(
    ("language", "header"), [("vi", "Tỷ lệ hài lòng (%)"), ("en", "Share of satisfied people (%)")]
)
def test_the_text_of_a_report_copies_as_it_reads(language: str, header: str) -> None:
    """A hash with letters between its digits, seen or not, fits no entry of the log."""
    signed = "\N{EM DASH} hailong/central/tinh " + "Ab3/" * 35
    printed = report(MIXED)
    printed = replace(printed, proof=replace(printed.proof, checkpoint=f"origin\n8\nroot\n\n{signed}\n"))
    lines = pdf_lines(pdf(printed, language))
    pieces = [piece for line in lines for piece in line]
    assert header in pieces
    assert "11" * 32 in pieces
    assert signed in "".join(pieces), "a line of the checkpoint breaks, and nothing stands where it does"
    letters = set("".join(pieces))
    assert not letters & set("\u200b\ufffd\uffff\ufffe")
    assert not [letter for letter in letters if "\ufb00" <= letter <= "\ufb06"], "a ligature is its letters"


def test_counters_are_no_level_of_open_data() -> None:
    table, places = table_of([], "unit", 10)
    assert (table.cells, places) == ((), ())


RUNS = (
    Run(date(2026, 10, 1), date(2026, 10, 2), 120, 96),
    Run(date(2026, 10, 3), date(2026, 10, 4), 30, 24),
    Run(date(2026, 10, 5), date(2026, 10, 11), 29, 29),
)
LEVEL = Level(date(2026, 10, 1), date(2026, 10, 2), 0.8, 0.7196, 0.8617, 120)
SHIFT = Shift(
    date(2026, 10, 14),
    date(2026, 10, 12),
    date(2026, 10, 16),
    LEVEL,
    replace(LEVEL, value=0.7, n=99),
    -0.1,
    -0.2,
    -0.01,
)
BREAKDOWNS = {
    Dimension.TIMES: (Part("morning", 120, 96), Part("afternoon", 30, 24)),
    Dimension.MIX: (Part("dat-dai|morning", 30, 24), Part("|", 120, 96)),
}


def test_a_course_is_printed_as_on_its_page() -> None:
    made = course_tables("unit:u", "2026-10", RUNS, (SHIFT,), BREAKDOWNS)
    assert [row[1:] for row in made.runs if row[1] == "day"] == [
        ("day", "2026-10-01", "2026-10-02", "120", "", "80.0", "72.0", "86.2"),
        ("day", "2026-10-03", "2026-10-04", "30", "", "80", "63", "90"),
        # All said the same: a bound, whose interval holds for one on the other side, too.
        ("day", "2026-10-05", "2026-10-11", "29", "≥", "97", "83", "100"),
    ]
    assert [row[1:5] for row in made.runs if row[1] != "day"] == [
        ("week", "2026-10-01", "2026-10-04", "150"),
        ("week", "2026-10-05", "2026-10-11", "29"),
        ("month", "2026-10-01", "2026-10-11", "179"),
    ]
    assert made.changes == (
        (
            *("unit:u", "2026-10-14", "2026-10-12", "2026-10-16"),
            *("2026-10-01", "2026-10-02", "120", "80.0", "72.0", "86.2"),
            *("2026-10-01", "2026-10-02", "99", "70", "72", "86", "-10", "-20", "-1"),
        ),
    )
    assert [row[2:6] for row in made.parts] == [
        ("times", "", "morning", "120"),
        ("times", "", "afternoon", "30"),
        ("mix", "dat-dai", "morning", "30"),
        ("mix", "", "", "120"),
    ]
    for columns, rows in (
        (COURSE_COLUMNS, made.runs),
        (CHANGE_COLUMNS, made.changes),
        (PART_COLUMNS, made.parts),
    ):
        assert {len(row) for row in rows} == {len(columns)}


def test_a_course_as_json_has_numbers_where_they_are_numbers() -> None:
    made = course_tables("unit:u", "2026-10", RUNS, (SHIFT,), BREAKDOWNS)
    found = json.loads(as_json(made, {"place": "unit:u"}))
    assert found["place"] == "unit:u"
    assert found["runs"][2] == {
        "place": "unit:u", "step": "day", "first": "2026-10-05", "last": "2026-10-11",
        "n": 29, "sign": "≥", "share": 97.0, "low": 83.0, "high": 100.0,
    }  # fmt: skip
    assert found["changes"][0]["difference"] == -10.0
    assert found["parts"][0]["time"] == "morning"
    assert as_json(made, {}) == as_json(course_tables("unit:u", "2026-10", RUNS, (SHIFT,), BREAKDOWNS), {})
