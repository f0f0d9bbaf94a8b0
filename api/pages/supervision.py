"""The supervisor's pages: the counters, and one counter's month."""

import re
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.authorization import Action, counter
from api.language import day_text, decimal_text, gettext_of, moment_text, month_text
from api.pages.access import NOT_SEEN, PageRefused, allowed, require
from api.pages.charts import trend_svg
from api.pages.rendering import Pages, mean_text, no_op
from api.schema import next_month
from api.trends import (
    CounterState,
    Day,
    Month,
    Quality,
    counter_months,
    counter_state,
    local_today,
    months_with_data,
    visible_counters,
)
from inference.signal import Factor

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
_SVG_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_FACTOR_TEXT: Final = {
    Factor.ACCESS: no_op("Access to the service"),
    Factor.PROCEDURE: no_op("Administrative procedure"),
    Factor.OFFICER: no_op("Service of officials"),
    Factor.RESULT: no_op("Result of the service"),
    Factor.FEEDBACK: no_op("Handling of feedback"),
    Factor.TIME_COST: no_op("Time and cost"),
}
_HIDDEN_TEXT: Final = {
    "few": no_op("too few sessions to be shown"),
    "running": no_op("the day is not over"),
}


@dataclass(frozen=True, slots=True)
class MonthLink:
    """A month one can go to."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class MonthView:
    """The month on the page, and its neighbours with data."""

    first: date
    key: str
    text: str
    previous: MonthLink | None
    next: MonthLink | None


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the supervisor's pages."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/")
    def overview(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        month: Annotated[str, Query(max_length=7)] = "",
    ) -> HTMLResponse:
        language = pages.language_of(request)
        counters = visible_counters(pages.database, login.account)
        codes = [counter.code for counter in counters]
        view = _view(pages, codes, month, language)
        months = counter_months(pages.database, codes, view.first, pages.disclosure())
        rows = [_overview_row(counter, months[counter.code], language) for counter in counters]
        return pages.render(request, "overview.html", login=login, here="overview", view=view, rows=rows)

    @router.get("/counters/{code}")
    def counter_page(
        request: Request,
        code: str,
        login: Annotated[Login, Depends(reader)],
        month: Annotated[str, Query(max_length=7)] = "",
    ) -> HTMLResponse:
        language = pages.language_of(request)
        gettext = gettext_of(language)
        state = _visible(pages, login, code)
        view = _view(pages, [code], month, language)
        data = counter_months(pages.database, [code], view.first, pages.disclosure())[code]
        return pages.render(
            request,
            "counter.html",
            login=login,
            here="counter",
            counter=state,
            last_received=moment_text(state.last_received, language),
            view=view,
            mean=mean_text(data.mean, language),
            change=mean_text(data.change, language, signed=True),
            quality=_quality(data.quality, language),
            days=[_day_row(day, language) for day in data.days],
            factors=[
                {"text": gettext(_FACTOR_TEXT[item.factor]), "mean": mean_text(item.mean, language)}
                for item in data.factors
            ],
            chart_text=_chart_text(data, language),
        )

    @router.get("/counters/{code}/trend.svg")
    def trend(
        request: Request,
        code: str,
        login: Annotated[Login, Depends(reader)],
        month: Annotated[str, Query(max_length=7)] = "",
        size: Literal["wide", "narrow"] = "wide",
    ) -> Response:
        language = pages.language_of(request)
        _visible(pages, login, code)
        view = _view(pages, [code], month, language)
        data = counter_months(pages.database, [code], view.first, pages.disclosure())[code]
        svg = trend_svg(view.first, data.days, size, gettext_of(language))
        return Response(svg, media_type="image/svg+xml", headers={"Content-Security-Policy": _SVG_POLICY})

    return router


def _visible(pages: Pages, login: Login, code: str) -> CounterState:
    found = counter_state(pages.database, code)
    if found is None:
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    require(login, Action.VIEW_FIGURES, counter(found.code, found.area))
    return found


def _view(pages: Pages, codes: list[str], wanted: str, language: str) -> MonthView:
    known = set(months_with_data(pages.database, codes))
    this = local_today().replace(day=1)
    match = _MONTH.fullmatch(wanted)
    # Without a wish: this month, or the last one that has anything.
    default = this if this in known or not known else max(known)
    first = date(int(match[1]), int(match[2]), 1) if match else default
    before = [item for item in known if item < first]
    after = [item for item in known | {this} if item > first]

    def link(first_day: date) -> MonthLink:
        return MonthLink(f"{first_day:%Y-%m}", month_text(first_day, language))

    return MonthView(
        first,
        f"{first:%Y-%m}",
        month_text(first, language).capitalize(),
        link(max(before)) if before else None,
        link(min(after)) if after and min(after) < next_month(this) else None,
    )


def _overview_row(counter: CounterState, month: Month, language: str) -> dict[str, Any]:
    return {
        "code": counter.code,
        "unit": counter.unit,
        "mean": mean_text(month.mean, language),
        "sessions": month.quality.sessions,
        "abstained": month.quality.abstained,
        "days": len(month.shown),
        "last_received": moment_text(counter.last_received, language),
    }


def _quality(quality: Quality, language: str) -> dict[str, Any]:
    return {
        "sessions": quality.sessions,
        "abstained": quality.abstained,
        "face": decimal_text(f"{quality.face_s / 60:.1f}", language),
        "speech": decimal_text(f"{quality.speech_s / 60:.1f}", language),
        "dropped": decimal_text(f"{quality.dropped_s / 60:.1f}", language),
        "gap": f"{quality.gap_s:.0f}",
        "gaps": quality.gaps,
    }


def _day_row(day: Day, language: str) -> dict[str, Any]:
    row: dict[str, Any] = {"text": day_text(day.day, language), "hidden": ""}
    if day.hidden:
        row["hidden"] = gettext_of(language)(_HIDDEN_TEXT[day.hidden])
    elif day.quality is not None:
        row |= {"mean": mean_text(day.mean, language), **_quality(day.quality, language)}
    return row


def _chart_text(month: Month, language: str) -> str:
    gettext = gettext_of(language)
    drawn = [day for day in month.days if day.mean is not None]
    if not drawn:
        return gettext("No day with enough sessions yet")
    title = gettext("Daily mean of the uncalibrated signal with its 95% interval")
    first, last = day_text(drawn[0].day, language), day_text(drawn[-1].day, language)
    return f"{title}: {first} – {last}. {gettext('The table beside the chart lists every shown day.')}"  # noqa: RUF001 - the dash of a range
