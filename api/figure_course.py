"""The course of a place as tables for files: released runs, what changed since when, parts of the period.

Every number is the one that the page of the place prints, rounded and bounded alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.disclosure import points, share_text
from api.figure_table import Column
from api.index.breakdown import Breakdowns, Dimension, mix_of
from api.index.course import Level, Run, Shift, Step, in_steps
from api.interval import share_of

_PLACE: Final = Column("place", "string", "Mã nơi: all, cấp:mã", "Code of the place: all, or level:code")
_SHARES: Final = (
    Column("n", "integer", "Số đánh giá tại quầy", "Ratings at the counter"),
    Column("sign", "string", "≥ hoặc ≤ khi chỉ in cận", "≥ or ≤ where only a bound is printed"),
    Column("share", "number", "Tỷ lệ hài lòng, %", "Share of satisfied people, %"),
    Column("low", "number", "Cận dưới khoảng 95 %", "Lower end of the 95 % interval"),
    Column("high", "number", "Cận trên khoảng 95 %", "Upper end of the 95 % interval"),
)
COURSE_COLUMNS: Final = (
    _PLACE,
    Column("step", "string", "day: đợt ngày; week: tuần; month: tháng", "day: run of days; week; month"),
    Column("first", "date", "Ngày đầu", "First day"),
    Column("last", "date", "Ngày cuối", "Last day"),
    *_SHARES,
)
CHANGE_COLUMNS: Final = (
    _PLACE,
    Column("likely", "date", "Ngày dễ là lúc thay đổi nhất", "Likeliest first day of the new level"),
    Column("earliest", "date", "Ngày sớm nhất có thể", "First day that may be it, too"),
    Column("latest", "date", "Ngày muộn nhất có thể", "Last day that may be it, too"),
    *(
        Column(f"{side}_{name}", kind, f"{vi} {side_vi}", f"{en} {side}")
        for side, side_vi in (("before", "trước"), ("after", "sau"))
        for name, kind, vi, en in (
            ("first", "date", "Ngày đầu của mức", "First day of the level"),
            ("last", "date", "Ngày cuối của mức", "Last day of the level"),
            ("n", "integer", "Số đánh giá", "Ratings"),
            ("share", "number", "Tỷ lệ hài lòng, %,", "Share of satisfied people, %,"),
            ("low", "number", "Cận dưới khoảng 95 %", "Lower end of the 95 % interval"),
            ("high", "number", "Cận trên khoảng 95 %", "Upper end of the 95 % interval"),
        )
    ),
    Column("difference", "number", "Chênh lệch, điểm phần trăm", "Difference, points"),
    Column("difference_low", "number", "Cận dưới khoảng 95 %", "Lower end of its 95 % interval"),
    Column("difference_high", "number", "Cận trên khoảng 95 %", "Upper end of its 95 % interval"),
)
PART_COLUMNS: Final = (
    _PLACE,
    Column("period", "string", "Kỳ", "Period"),
    Column("by", "string", "times: thời điểm trong ngày; mix: thủ tục", "times: time of day; mix: procedure"),
    Column("procedure", "string", "Thủ tục; trống: khác, không ghi", "Procedure; empty: others, not named"),
    Column("time", "string", "morning, afternoon; trống: cả ngày", "morning, afternoon; empty: all day"),
    *_SHARES,
)
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CourseTables:
    """The course of a place, ready for files."""

    runs: tuple[Row, ...]
    changes: tuple[Row, ...]
    parts: tuple[Row, ...]


def course_tables(
    place: str, period: str, runs: Sequence[Run], shifts: Sequence[Shift], breakdowns: Breakdowns
) -> CourseTables:
    """Return the course of a place as rows.

    Args:
        place: As the index names it.
        period: The period that the parts are of.
        runs: Released runs, oldest first.
        shifts: What changed over them.
        breakdowns: Of the period.
    """
    return CourseTables(
        tuple(
            (place, step.value, run.first.isoformat(), run.last.isoformat(), *share_row(run.n, run.satisfied))
            for step in Step
            for run in in_steps(runs, step)
        ),
        tuple(_change(place, shift) for shift in shifts),
        tuple(_parts(place, period, breakdowns)),
    )


def as_json(tables: CourseTables, about: Mapping[str, str]) -> bytes:
    """Return the course as JSON: whole tables with their columns' names and types.

    Args:
        tables: The rows.
        about: Place, period and notes.
    """
    document = {
        **about,
        "runs": _records(COURSE_COLUMNS, tables.runs),
        "changes": _records(CHANGE_COLUMNS, tables.changes),
        "parts": _records(PART_COLUMNS, tables.parts),
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def share_row(n: int, satisfied: int) -> Row:
    """Return n, sign, share and the ends of its interval as printed; a bound has those of one more."""
    value, share = share_text(n, satisfied), share_of(satisfied, n)
    one = share_of(1, n)
    assert share is not None  # noqa: S101 - released parts have ratings
    assert one is not None  # noqa: S101 - as above
    if value[0] == "≥":
        return (str(n), "≥", value[1:], points(1 - one.high, n), points(1.0, n))
    if value[0] == "≤":
        return (str(n), "≤", value[1:], points(0.0, n), points(one.high, n))
    return (str(n), "", value, points(share.low, n), points(share.high, n))


def _records(columns: Sequence[Column], rows: Sequence[Row]) -> list[dict[str, str | int | float | None]]:
    return [
        {column.name: _typed(column, text) for column, text in zip(columns, row, strict=True)} for row in rows
    ]


def _typed(column: Column, text: str) -> str | int | float | None:
    if column.kind == "integer":
        return int(text)
    if column.kind == "number":
        return float(text)
    return text


def _change(place: str, shift: Shift) -> Row:
    least = min(shift.before.n, shift.after.n)
    days = (shift.likely, shift.earliest, shift.latest)
    between = (points(item, least) for item in (shift.value, shift.low, shift.high))
    return (place, *(day.isoformat() for day in days), *_level(shift.before), *_level(shift.after), *between)


def _level(level: Level) -> Row:
    ends = (points(item, level.n) for item in (level.value, level.low, level.high))
    return (level.first.isoformat(), level.last.isoformat(), str(level.n), *ends)


def _parts(place: str, period: str, breakdowns: Breakdowns) -> Iterator[Row]:
    for part in breakdowns.get(Dimension.TIMES, ()):
        yield (place, period, Dimension.TIMES.value, "", part.name, *share_row(part.n, part.satisfied))
    for part in breakdowns.get(Dimension.MIX, ()):
        yield (place, period, Dimension.MIX.value, *mix_of(part), *share_row(part.n, part.satisfied))
