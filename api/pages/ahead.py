"""What is worked out before anybody asks, so that the first reader of a month need not wait for it.

Of a released month it is decided what may be printed, which takes integer programs; of the newest one every
place is read, of those before it the places above counters, as a course shows them. The library that draws is
loaded. Readers go first: after each step the worker rests as long as it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import date
from typing import Final, ParamSpec

import structlog

from api.errors import DatabaseUnavailable
from api.index.period import Period, Span
from api.index.reading import released_places
from api.pages.charts_places import DotChart, dots_svg
from api.pages.figure_views import MOST_POINTS
from api.pages.rendering import Pages
from api.register import COUNTER_LEVEL
from api.statistics.errors import StatisticsError

_FIRST_DRAWING: Final = DotChart("", "", "", ())
_P = ParamSpec("_P")
_log: Final = structlog.get_logger("api.pages")


async def work_ahead(pages: Pages) -> None:
    """Work out the released months, the newest first; without any there is nothing to do."""
    try:
        months = (await asyncio.to_thread(pages.readings.months))[::-1]
    except DatabaseUnavailable as error:
        _log.error("figures not worked out ahead", reason=str(error))
        return
    if months:
        await _step(read_ahead, pages, months[0], counters=True)
        await _step(dots_svg, _FIRST_DRAWING, "wide")
    for month in months[1:MOST_POINTS]:
        await _step(read_ahead, pages, month, counters=False)
    for month in months[MOST_POINTS:]:
        await _step(pages.readings.decide, month, pages.settings.pages.minimum_n)


def read_ahead(pages: Pages, month: date, *, counters: bool) -> None:
    """Read the places of a released month.

    Args:
        pages: Whose readings are kept.
        month: Its first day.
        counters: Whether the counters' figures are read, too.
    """
    period = Period(month, Span.MONTH)
    places = [
        place
        for place in released_places(pages.database, period)
        if counters or not place.startswith(f"{COUNTER_LEVEL}:")
    ]
    pages.readings.read(places, period, pages.disclosure())


async def _step(work: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
    begun = time.monotonic()
    try:
        await asyncio.to_thread(work, *args, **kwargs)
    except (DatabaseUnavailable, StatisticsError) as error:
        _log.error("a month was not worked out ahead", reason=str(error))
    await asyncio.sleep(time.monotonic() - begun)
