"""What the pages of figures have in common: the period, the list of places, the course, and its proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from api.accounts import Login
from api.authorization import Action
from api.disclosure import points
from api.index.figures import Share
from api.index.period import Period, Span
from api.index.reading import Reading, Standing, UncalibratedMean
from api.interval import Mean
from api.language import gettext_of
from api.pages.access import NOT_SEEN, PageRefused
from api.pages.charts_course import Course, CoursePoint
from api.pages.charts_places import Dot, DotChart
from api.pages.figure_words import (
    STANDING_TEXT,
    FigureText,
    Gettext,
    NamedShare,
    ShareText,
    figure_text,
    flag_texts,
    share_of_reading,
    share_text,
    signal_text,
)
from api.pages.period_choice import PeriodView, choose_period, period_text
from api.pages.ranking import Ranks, Row, certain, listed, ranking
from api.pages.rendering import MeanText, Pages, mean_text, no_op
from api.proofs import entries_of
from api.register import Register, Spot, register_of, visible
from api.schema import next_month
from api.trends import Month, counter_months, local_today, months_with_data

MOST_COUNTERS: Final = 300
"""Longer lists are made of what is released already; their days are released when a shorter one is read."""
MOST_POINTS: Final = 25


@dataclass(frozen=True, slots=True)
class RowText:
    """One place of a list, worded.

    Attributes:
        address: Its page, in the same period.
        rank: Among its siblings, one number or the range that is left open; empty where there is no order.
        standing: Why there is no share; empty where there is one.
    """

    name: str
    address: str
    level: str
    depth: int
    share: ShareText | None
    signal: MeanText | None
    standing: str
    rank: str
    consent: MeanText | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlaceList:
    """The places below a place, as rows for the table and as charts."""

    rows: tuple[RowText, ...]
    shares: DotChart
    signals: DotChart | None
    left_out: int


@dataclass(frozen=True, slots=True)
class CourseRow:
    """One period of the course, worded."""

    key: str
    text: str
    share: ShareText | None
    signal: MeanText | None
    standing: str
    current: bool


@dataclass(frozen=True, slots=True)
class ReadingText:
    """The reading of one place, worded.

    Attributes:
        proofs: Entries of the centre's log in which its cells were released.
    """

    standing: str
    figure: FigureText | None
    signal: MeanText | None
    signal_days: int


def find_period(pages: Pages, codes: Sequence[str], wanted: str, language: str) -> PeriodView:
    """Return the period that a page is about."""
    return choose_period(
        wanted, pages.readings.months(), months_with_data(pages.database, codes), local_today(), language
    )


def seen_register(pages: Pages, login: Login, day: date) -> Register:
    """Return the places of a day, today's for days to come, that a reader may see."""
    return visible(login, register_of(pages.database, min(day, local_today())))


def counters_seen(register: Register) -> list[str]:
    """Return the codes of the counters of a register."""
    return [spot.code for spot in register.spots.values() if spot.is_counter]


def find_place(pages: Pages, login: Login, name: str, period: Period) -> tuple[Register, Spot]:
    """Return a place with what was there when it was last there in the period.

    Raises:
        PageRefused: There was none, or the reader may not see it; the answer does not tell which.
    """
    for month in reversed(period.months):
        if month > local_today():
            continue
        register = seen_register(pages, login, next_month(month) - timedelta(days=1))
        if name in register.spots:
            return register, register.spots[name]
    raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)


def place_name(spot: Spot, language: str) -> str:
    """Return the name of a place; the whole has one in every language."""
    return spot.name(language) or gettext_of(language)("All places")


def read_with_days(
    pages: Pages, spots: Sequence[Spot], period: Period
) -> tuple[Mapping[str, Reading], Mapping[str, Month]]:
    """Return readings of places; days of their counters that are due are released first.

    A counter without any figure is read from its shown days, also where those are of the running month.
    """
    disclosure = pages.disclosure()
    codes = [spot.code for spot in spots if spot.is_counter]
    months: dict[str, Month] = {}
    if len(codes) <= MOST_COUNTERS:
        for month in period.months:
            if codes and month <= disclosure.today:
                months = counter_months(pages.database, codes, month, disclosure)
    readings = dict(pages.readings.read([spot.place for spot in spots], period, disclosure))
    if period.span is Span.MONTH:
        for code, found in months.items():
            place = f"counter:{code}"
            if found.mean is not None and readings[place].standing is Standing.NOTHING:
                signal = UncalibratedMean(found.mean, len(found.shown))
                readings[place] = replace(readings[place], standing=Standing.UNCALIBRATED, signal=signal)
    return readings, months


def place_list(
    pages: Pages,
    register: Register,
    root: str,
    view: PeriodView,
    language: str,
    *,
    channel: str,
    counters: bool,
) -> PlaceList:
    """Return the list of the places below one.

    Args:
        pages: The pages.
        register: What the reader may see.
        root: The place; empty for everything that the reader may see.
        view: The period.
        language: Of the texts.
        channel: Show this channel's shares; empty for all together.
        counters: Whether counters are asked for.
    """
    gettext = gettext_of(language)
    spots = listed(register, root, counters=counters)
    own = (register.spots[root],) if root else ()
    readings, _ = read_with_days(pages, (*own, *spots), view.period)
    with_counters = any(spot.is_counter for spot in spots)
    rows = ranking(register, root, readings, channel=channel, counters=with_counters)
    whole = share_of_reading(readings.get(root), channel)
    title = f"{gettext('Share of satisfied people with its 95% interval')}, {view.text}"
    dots = tuple(
        _dot(row.spot, row.depth, row.share, gettext, language)
        for row in rows
        if row.share is not None or not row.spot.is_counter
    )
    shares = DotChart(
        title,
        gettext("The table below lists every place with its figures."),
        gettext("Satisfied people, %"),
        dots if any(dot.value is not None for dot in dots) else (),
        _dot(own[0], 0, whole, gettext, language) if own and whole is not None else None,
        empty=gettext("No figure in this period"),
    )
    return PlaceList(
        tuple(_row_text(row, register, readings, view, language) for row in rows),
        shares,
        _signals(rows, view, gettext, language),
        0 if with_counters or not counters else len(counters_seen(register)),
    )


def reading_text(reading: Reading, language: str, channel: str = "") -> ReadingText:
    """Word the reading of one place."""
    gettext = gettext_of(language)
    return ReadingText(
        gettext(STANDING_TEXT[reading.standing]),
        None if reading.figure is None else figure_text(reading.figure, language, gettext, channel),
        signal_text(reading, language),
        0 if reading.signal is None else reading.signal.days,
    )


def factors_chart(factors: Sequence[NamedShare], view: PeriodView, gettext: Gettext) -> DotChart:
    """Return the factors with their intervals as a chart."""
    return DotChart(
        f"{gettext('Factors')}, {view.text}",
        gettext("The table beside the chart has the same figures."),
        gettext("Satisfied people, %"),
        tuple(_text_dot(item.text, item.share, gettext("no answers")) for item in factors),
        empty=gettext("No figure in this period"),
    )


def course_of(
    pages: Pages, place: str, view: PeriodView, language: str, marks: Sequence[date] = ()
) -> tuple[Course, tuple[CourseRow, ...]]:
    """Return the released periods of a place up to today, as a chart and as rows, oldest first.

    Args:
        pages: The pages.
        place: As the index names it.
        view: The period on the page, whose length the others have.
        language: Of the texts.
        marks: Days on which something was done.
    """
    gettext = gettext_of(language)
    readings = pages.readings.course(place, view.period.span, pages.disclosure(), MOST_POINTS)
    rows = tuple(
        CourseRow(
            str(reading.period),
            period_text(reading.period, language),
            share_text(share_of_reading(reading), language),
            signal_text(reading, language),
            "" if reading.standing is Standing.FIGURE else gettext(STANDING_TEXT[reading.standing]),
            reading.period == view.period,
        )
        for reading in readings
    )
    points = tuple(_course_point(reading, view.period, language) for reading in readings)
    first = points[0].number if points else 0
    placed = tuple(at for day in marks if (at := _mark(day, view.period.span)) >= first - 0.5)
    return Course(
        gettext("Course of the share of satisfied people with 95% intervals"),
        gettext("The table beside the chart has the same figures."),
        gettext("Satisfied people, %"),
        points,
        placed,
        gettext("something was done"),
        gettext("No figure was released yet"),
    ), rows


def proofs_of(login: Login, pages: Pages, place: str, view: PeriodView) -> tuple[int, ...]:
    """Return the entries of the log that a figure rests on, for readers who may look at them."""
    if not login.may(Action.VIEW_PROOFS):
        return ()
    return entries_of(pages.database, place, view.period.months)


def _row_text(
    row: Row, register: Register, readings: Mapping[str, Reading], view: PeriodView, language: str
) -> RowText:
    gettext = gettext_of(language)
    reading = readings.get(row.spot.place)
    figure = None if reading is None else reading.figure
    return RowText(
        place_name(row.spot, language),
        f"{row.spot.path}?period={view.key}",
        gettext("Counter") if row.spot.is_counter else register.level_name(row.spot, language),
        row.depth,
        share_text(row.share, language),
        mean_text(row.signal, language),
        "" if row.share is not None else gettext(STANDING_TEXT[row.standing]),
        _rank_text(row.ranks),
        None if figure is None else mean_text(figure.completeness.consent_rate, language),
        flag_texts(row.flags, gettext),
    )


def _rank_text(ranks: Ranks | None) -> str:
    if ranks is None:
        return ""
    return f"{ranks.best}" if certain(ranks) else f"{ranks.best}–{ranks.worst}"  # noqa: RUF001 - the dash of a range


def _dot(spot: Spot, depth: int, share: Share | None, gettext: Gettext, language: str) -> Dot:
    return _share_dot(place_name(spot, language), depth, share, gettext("no figure"))


def _share_dot(label: str, depth: int, share: Share | None, missing: str) -> Dot:
    if share is None:
        return Dot(label, depth, missing=missing)
    value, low, high = share.texts()
    bound = value[0] if value[0] in "≥≤" else ""
    return Dot(label, depth, float(value.lstrip("≥≤")), float(low), float(high), bound)


def _text_dot(label: str, share: ShareText | None, missing: str) -> Dot:
    if share is None:
        return Dot(label, 0, missing=missing)
    value, low, high = (text.replace(",", ".") for text in (share.value, share.low, share.high))
    return Dot(
        label, 0, float(value.lstrip("≥≤")), float(low), float(high), value[0] if value[0] in "≥≤" else ""
    )


def _signals(rows: Sequence[Row], view: PeriodView, gettext: Gettext, language: str) -> DotChart | None:
    found = [row for row in rows if row.signal is not None and row.share is None]
    if not found:
        return None
    return DotChart(
        f"{gettext('Uncalibrated signal with its 95% interval')}, {view.text}",
        gettext("The table below lists every place with its figures."),
        gettext("Uncalibrated signal (0–100)"),  # noqa: RUF001 - the dash of a range
        tuple(_signal_dot(place_name(row.spot, language), row.signal) for row in found if row.signal),
        open_marks=True,
    )


def _signal_dot(label: str, mean: Mean) -> Dot:
    value, low, high = (float(points(share, mean.n)) for share in (mean.value, mean.low, mean.high))
    return Dot(label, 0, value, low, high)


def _course_point(reading: Reading, here: Period, language: str) -> CoursePoint:
    share = share_of_reading(reading)
    dot = _share_dot("", 0, share, "")
    return CoursePoint(
        _number(reading.period),
        _short(reading.period, language),
        dot.value,
        dot.low,
        dot.high,
        reading.period == here,
    )


def _number(period: Period) -> int:
    if period.span is Span.MONTH:
        return period.first.year * 12 + period.first.month
    if period.span is Span.QUARTER:
        return period.first.year * 4 + (period.first.month + 2) // 3
    return period.first.year


def _mark(day: date, span: Span) -> float:
    """Return where a day is on the axis, on which a period's dot stands at its middle."""
    if span is Span.MONTH:
        return day.year * 12 + day.month + (day.day - 16) / 31
    at = day.year + (day.month - 1) / 12 + (day.day - 1) / 365
    return at * 4 + 0.5 if span is Span.QUARTER else at - 0.5


def _short(period: Period, language: str) -> str:
    year = f"{period.first:%y}"
    if period.span is Span.MONTH:
        return f"{period.first.month}/{year}"
    if period.span is Span.QUARTER:
        return f"{'Q' if language == 'en' else 'quý '}{(period.first.month + 2) // 3}/{year}"
    return str(period.first.year)


def chart_address(path: str, **query: Any) -> str:  # noqa: ANN401 - what a query may hold
    """Return the address of a chart; empty values are left out."""
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}"
