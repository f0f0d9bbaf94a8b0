"""The course of a place in words: runs as rows, changes as sentences, parts of a month as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.disclosure import points
from api.figure_course import share_row
from api.index.breakdown import AFTERNOON, MORNING, Breakdowns, Dimension, mix_of
from api.index.course import FactorShifts, Found, Level, Run, Shift, Step
from api.language import decimal_text, month_text
from api.pages.figure_words import FACTOR_TEXT, Gettext
from api.pages.rendering import no_op
from api.statistics.change_points import Direction

STEP_TEXT: Final = {Step.DAY: no_op("Day"), Step.WEEK: no_op("Week"), Step.MONTH: no_op("Month")}
TIME_TEXT: Final = {
    MORNING: no_op("before 11:30"),
    AFTERNOON: no_op("from 11:30 on"),
    "": no_op("all day"),
}
_DASH: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class PlainShare:
    """A share of ratings, printed.

    Attributes:
        text: What it is about.
    """

    text: str
    value: str
    low: str
    high: str
    n: int


@dataclass(frozen=True, slots=True)
class FactorText:
    """A factor before and after a change.

    Attributes:
        said: `rose`, `fell`, or empty where the interval holds no difference, too.
    """

    text: str
    before: str
    after: str
    difference: str
    said: str


@dataclass(frozen=True, slots=True)
class ShiftText:
    """A change, worded.

    Attributes:
        likely: The likeliest day.
        span: The days that may be the one; empty where it is that day alone.
        before: Share with its interval; `before_days` and `before_n` are what it stands on.
        difference: After less before, in points, with its interval.
        factors: What it was in; empty where no whole month lies on each side.
        mixed: Whether the month of the change itself stands for those after it.
    """

    fell: bool
    likely: str
    span: str
    before: str
    before_days: str
    before_n: int
    after: str
    after_days: str
    after_n: int
    difference: str
    factors: tuple[FactorText, ...]
    factors_before: str
    factors_after: str
    mixed: bool


@dataclass(frozen=True, slots=True)
class PartTables:
    """Ratings of a period by time of day and by procedure; empty where nothing is told apart.

    Attributes:
        behind: Ratings that came with a revision and are not told apart.
    """

    times: tuple[PlainShare, ...]
    mix: tuple[PlainShare, ...]
    behind: int


def run_texts(runs: Sequence[Run], step: Step, language: str) -> tuple[PlainShare, ...]:
    """Word runs, the newest first."""
    return tuple(
        _plain(_run_name(run, step, language), run.n, run.satisfied, language) for run in reversed(runs)
    )


def shift_text(shift: Shift, factors: FactorShifts | None, language: str, gettext: Gettext) -> ShiftText:
    """Word a change."""
    found = () if factors is None else factors.factors
    return ShiftText(
        shift.direction is Direction.FELL,
        short_day(shift.likely, year=True),
        "" if shift.earliest == shift.latest else days_text(shift.earliest, shift.latest),
        level_text(shift.before, language),
        days_text(shift.before.first, shift.before.last),
        shift.before.n,
        level_text(shift.after, language),
        days_text(shift.after.first, shift.after.last),
        shift.after.n,
        between_text((shift.value, shift.low, shift.high), min(shift.before.n, shift.after.n), language),
        tuple(
            FactorText(
                gettext(FACTOR_TEXT[item.factor]),
                level_text(item.before, language),
                level_text(item.after, language),
                between_text((item.value, item.low, item.high), min(item.before.n, item.after.n), language),
                "rose" if item.low > 0 else "fell" if item.high < 0 else "",
            )
            for item in found
        ),
        _months(found[0].before, language) if found else "",
        _months(found[0].after, language) if found else "",
        factors is not None and factors.mixed,
    )


def part_tables(breakdowns: Breakdowns, behind: int, language: str, gettext: Gettext) -> PartTables:
    """Word the ratings of a period by time of day and by procedure."""

    def mixed(name: str, n: int, satisfied: int) -> PlainShare:
        procedure, _, time = name.partition("\0")
        text = procedure or gettext(no_op("others, or not named"))
        return _plain(f"{text}, {gettext(TIME_TEXT[time])}" if time else text, n, satisfied, language)

    return PartTables(
        tuple(
            _plain(gettext(TIME_TEXT[part.name]), part.n, part.satisfied, language)
            for part in breakdowns.get(Dimension.TIMES, ())
        ),
        tuple(
            mixed("\0".join(mix_of(part)), part.n, part.satisfied)
            for part in breakdowns.get(Dimension.MIX, ())
        ),
        behind,
    )


def judged_text(found: Found, runs: Sequence[Run], gettext: Gettext) -> str:
    """Say that no change was found, and in how much."""
    if not found.judged:
        return gettext(no_op("Too few released days to tell a change: at least five, with sixty ratings."))
    return gettext(
        no_op("Nothing that can be told apart from chance: {runs} released figures, {days}.")
    ).format(runs=found.runs, days=days_text(runs[0].first, runs[-1].last))


def level_text(level: Level, language: str) -> str:
    """Return a level with its interval, in percent."""
    value, low, high = (points(item, level.n) for item in (level.value, level.low, level.high))
    return decimal_text(f"{value} ({low}{_DASH}{high})", language)


def between_text(between: tuple[float, float, float], n: int, language: str) -> str:
    """Return a difference with its interval, in points."""

    def signed(value: float) -> str:
        plain = points(abs(value), n)
        sign = "" if not plain.strip("0.") else "+" if value > 0 else "\N{MINUS SIGN}"
        return sign + plain

    value, low, high = map(signed, between)
    return decimal_text(f"{value} ({low} … {high})", language)


def days_text(first: date, last: date) -> str:
    """Return days as `12/10/2026`, or first and last one, as short as they can be told."""
    if first == last:
        return short_day(last, year=True)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}{_DASH}{short_day(last, year=True)}"
    return f"{short_day(first, year=first.year != last.year)}{_DASH}{short_day(last, year=True)}"


def short_day(day: date, *, year: bool) -> str:
    """Return a day as `14/10/2026`, with or without its year."""
    return f"{day.day}/{day.month}/{day.year}" if year else f"{day.day}/{day.month}"


def _run_name(run: Run, step: Step, language: str) -> str:
    return month_text(run.first, language) if step is Step.MONTH else days_text(run.first, run.last)


def _plain(text: str, n: int, satisfied: int, language: str) -> PlainShare:
    _, sign, value, low, high = share_row(n, satisfied)
    value, low, high = (decimal_text(item, language) for item in (value, low, high))
    return PlainShare(text, f"{sign}{value}", low, high, n)


def _months(level: Level, language: str) -> str:
    first, last = month_text(level.first, language), month_text(level.last, language)
    return first if first == last else f"{first} {_DASH} {last}"
