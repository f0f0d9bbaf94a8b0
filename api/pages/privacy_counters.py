"""How citizens answer at each counter: rates with intervals, patterns that are looked into, completeness."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from api import coercion
from api.accounts import Login
from api.authorization import Action
from api.coercion import Flag, flags, stop_flags
from api.consent_rates import Counts, by_counter, shown_days, sum_days
from api.consents import BURST_S, QUICK_MS, Patterns, daily, patterns
from api.interval import Mean
from api.language import decimal_text, month_text
from api.pages import consent_words as words
from api.pages.access import allowed
from api.pages.rendering import MeanText, Pages, mean_text
from api.schema import next_month
from api.trends import local_today

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
_DAYS: Final = 30
_LONGEST: Final = timedelta(days=366)
_Text = Annotated[str, Query(max_length=10, pattern=r"^[0-9-]*$")]


@dataclass(frozen=True, slots=True)
class Period:
    """The days on the page; `month` is set where only calendar months may be asked for."""

    since: date
    until: date
    month: str
    text: str
    previous: tuple[str, str] | None
    next: tuple[str, str] | None


def build_router(pages: Pages) -> APIRouter:
    """Return the route of the counters."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_CONSENT_RATES)

    @router.get("/privacy/counters")
    def counters(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        month: _Text = "",
        since: _Text = "",
        until: _Text = "",
    ) -> HTMLResponse:
        language = pages.language_of(request)
        today = local_today()
        sees_all = login.may(Action.SEARCH_CONSENTS)
        period = _free(since, until, today) if sees_all else _month(month, today, language)
        disclosure = None if sees_all else pages.disclosure(today)
        days = daily(pages.database, period.since, period.until)
        # Patterns of the running day would tell an observer of single citizens.
        told = min(period.until, today if sees_all else today - timedelta(days=1))
        found = {item.counter: item for item in patterns(pages.database, period.since, told)}
        sums = by_counter(days, disclosure)
        often = stop_flags(sums)
        rows = [
            _row(counter, counts, found.get(counter), language, often.get(counter, ()))
            for counter, counts in sums.items()
        ]
        return pages.render(
            request,
            "privacy_counters.html",
            login=login,
            here="privacy-counters",
            period=period,
            sees_all=sees_all,
            rows=rows,
            whole=_row("", sum_days(days, disclosure), None, language),
            stop_days=[day for day in shown_days(days, disclosure) if day.accompanied or day.second_face],
            rules=coercion,
            quick_share=round(coercion.QUICK_SHARE * 100),
            quick_s=QUICK_MS // 1000,
            burst_s=BURST_S,
            words=words,
        )

    return router


def _row(
    counter: str, counts: Counts, found: Patterns | None, language: str, often: tuple[Flag, ...] = ()
) -> dict[str, Any]:
    def text(share: Mean | None) -> MeanText | None:
        return mean_text(share, language)

    covered = counts.covered_share
    return {
        "counter": counter,
        "counts": counts,
        "given": text(counts.given_share),
        "refused": text(counts.refused_share),
        "silent": text(counts.silent_share),
        "accompanied": text(counts.accompanied_share),
        "second_face": text(counts.second_face_share),
        "complete": text(counts.complete_share),
        "covered": None if covered is None else decimal_text(f"{covered * 100:.1f}", language),
        "gap_min": decimal_text(f"{counts.gap_ms / 60_000:.1f}", language),
        "patterns": found,
        "quick": None if found is None or found.quick_share is None else round(found.quick_share * 100),
        "all_yes": None if found is None or found.all_yes_share is None else round(found.all_yes_share * 100),
        "flags": (*(() if found is None else flags(found)), *often),
    }


def _free(since: str, until: str, today: date) -> Period:
    """Return the days asked for, the last thirty without a wish."""
    last = _day(until) or today
    first = _day(since) or last - timedelta(days=_DAYS - 1)
    first = max(min(first, last), last - _LONGEST)
    return Period(first, last, "", "", None, None)


def _month(wanted: str, today: date, language: str) -> Period:
    """Return one calendar month: months do not overlap, so no difference of two gives a day away."""
    match = _MONTH.fullmatch(wanted)
    this = today.replace(day=1)
    first = min(date(int(match[1]), int(match[2]), 1) if match else this, this)
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])

    def link(day: date) -> tuple[str, str]:
        return f"{day:%Y-%m}", month_text(day, language)

    return Period(
        first,
        last,
        f"{first:%Y-%m}",
        month_text(first, language).capitalize(),
        link((first - timedelta(days=1)).replace(day=1)),
        link(next_month(first)) if first < this else None,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
