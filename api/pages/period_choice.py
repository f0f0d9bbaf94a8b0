"""Which month, quarter or year a page is about, and where one can go from there.

These are the only windows: each lies in the next, so no difference of two gives a smaller group away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from babel.dates import format_date

from api.index.errors import IndexRefused
from api.index.period import Period, Span
from api.language import month_text
from api.pages.rendering import no_op
from api.schema import next_month

SPAN_TEXT: Final = {Span.MONTH: no_op("Month"), Span.QUARTER: no_op("Quarter"), Span.YEAR: no_op("Year")}


@dataclass(frozen=True, slots=True)
class PeriodLink:
    """A period one can go to; `key` is what `Period.parse` reads."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class SpanLink:
    """The period of another length around the same time."""

    key: str
    text: str
    current: bool


@dataclass(frozen=True, slots=True)
class PeriodView:
    """The period on the page, its neighbours with data, and the other lengths."""

    period: Period
    key: str
    text: str
    previous: PeriodLink | None
    next: PeriodLink | None
    spans: tuple[SpanLink, ...]

    @property
    def last_day(self) -> date:
        """Last day of the period."""
        return next_month(self.period.months[-1]) - timedelta(days=1)


def period_text(period: Period, language: str) -> str:
    """Return a period as people of the language write it."""
    if period.span is Span.MONTH:
        return month_text(period.first, language)
    if period.span is Span.QUARTER:
        pattern = "'quý' Q 'năm' y" if language == "vi" else "'Q'Q y"
    else:
        pattern = "'năm' y" if language == "vi" else "y"
    return format_date(period.first, pattern, locale=language)


def choose_period(
    wanted: str, released: Iterable[date], with_data: Iterable[date], today: date, language: str
) -> PeriodView:
    """Return the period asked for; without a wish the newest released month, else the newest with data.

    Args:
        wanted: As `Period.parse` reads it; anything else counts as no wish.
        released: First days of months of which the index is released.
        with_data: First days of months with sessions.
        today: The running day.
        language: Of the texts.
    """
    this = today.replace(day=1)
    index = sorted(month for month in released if month <= this)
    known = sorted({*index, *(month for month in with_data if month <= this)}) or [this]
    newest = index[-1] if index else (this if this in known else known[-1])
    try:
        period = Period.parse(wanted)
    except IndexRefused:
        period = Period(newest, Span.MONTH)
    periods = sorted({Period.holding(month, period.span) for month in {*known, this}})
    before = [item for item in periods if item < period]
    after = [item for item in periods if item > period]
    # Another length is the one around the newest month of this period that has anything.
    inside = [month for month in known if month in period.months]
    anchor = inside[-1] if inside else period.months[0]

    def link(item: Period) -> PeriodLink:
        return PeriodLink(str(item), period_text(item, language))

    return PeriodView(
        period,
        str(period),
        period_text(period, language).capitalize() if language == "vi" else period_text(period, language),
        link(before[-1]) if before else None,
        link(after[0]) if after else None,
        tuple(
            SpanLink(str(Period.holding(anchor, span)), SPAN_TEXT[span], span is period.span) for span in Span
        ),
    )
