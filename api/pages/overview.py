"""The overview: every unit and counter that a reader may see, in one period, with what is not certain."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.index.formula import CHANNELS
from api.language import gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.charts_places import dots_svg, size_px
from api.pages.figure_views import (
    PlaceList,
    chart_address,
    counters_seen,
    find_period,
    place_list,
    place_name,
    read_with_days,
    reading_text,
    seen_register,
)
from api.pages.figure_words import CHANNEL_TEXT
from api.pages.period_choice import PeriodView
from api.pages.ranking import root_of
from api.pages.rendering import Pages, no_op
from api.register import Register
from api.trends import local_today

SVG_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
Wanted = Annotated[str, Query(max_length=8)]
PlaceName = Annotated[str, Query(max_length=100)]
Channel = Annotated[str, Query(max_length=10, pattern="^[a-z]*$")]
Size = Literal["wide", "narrow"]


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the overview."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/")
    def overview(  # noqa: PLR0917 - each is a part of the address
        request: Request,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        month: Wanted = "",
        place: PlaceName = "",
        level: Literal["units", "counters"] = "counters",
        channel: Channel = "",
    ) -> HTMLResponse:
        language = pages.language_of(request)
        channel = channel if channel in CHANNELS else ""
        register, view = _seen(pages, login, period or month, language)
        root = _root(register, place, login)
        found = place_list(
            pages, register, root, view, language, channel=channel, counters=level == "counters"
        )
        whole = read_with_days(pages, [register.spots[root]], view.period)[0][root] if root else None
        query = {"period": view.key, "place": place, "level": level, "channel": channel, "lang": language}
        return pages.render(
            request,
            "overview.html",
            login=login,
            here="overview",
            view=view,
            list=found,
            whole=None if whole is None else reading_text(whole, language, channel),
            whole_name=place_name(register.spots[root], language) if root else "",
            whole_path=register.spots[root].path if root else "",
            areas=_areas(register, language),
            channels={code: gettext_of(language)(CHANNEL_TEXT[code]) for code in CHANNELS},
            place=place,
            level=level,
            channel=channel,
            base="/",
            kept={"place": place, "level": level, "channel": channel},
            charts={
                (kind, size): (
                    chart_address("/ranking.svg", **query, kind=kind, size=size),
                    size_px(chart, size),
                )
                for kind, chart in (("shares", found.shares), ("signals", found.signals))
                for size in ("wide", "narrow")
                if chart is not None
            },
        )

    @router.get("/ranking.svg")
    def ranking_chart(  # noqa: PLR0917 - each is a part of the address
        request: Request,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        place: PlaceName = "",
        level: Literal["units", "counters"] = "counters",
        channel: Channel = "",
        kind: Literal["shares", "signals"] = "shares",
        size: Size = "wide",
    ) -> Response:
        language = pages.language_of(request)
        channel = channel if channel in CHANNELS else ""
        register, view = _seen(pages, login, period, language)
        found: PlaceList = place_list(
            pages,
            register,
            _root(register, place, login),
            view,
            language,
            channel=channel,
            counters=level == "counters",
        )
        chart = found.shares if kind == "shares" or found.signals is None else found.signals
        return svg(dots_svg(chart, size))

    return router


def svg(image: bytes) -> Response:
    """Return a drawing under a policy of its own: its styles are in it, and nothing else may load."""
    return Response(image, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


def _seen(pages: Pages, login: Login, wanted: str, language: str) -> tuple[Register, PeriodView]:
    today = seen_register(pages, login, local_today())
    view = find_period(pages, counters_seen(today), wanted, language)
    if view.last_day >= local_today():
        return today, view
    return seen_register(pages, login, view.last_day), view


def _root(register: Register, wanted: str, login: Login) -> str:
    """Return the place that the list is of: the one asked for, else what holds everything seen."""
    if not wanted:
        return root_of(register)
    if wanted not in register.spots:
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    return wanted


def _areas(register: Register, language: str) -> list[tuple[str, str]]:
    """Return the places that have counters below them, for the choice, indented as the tree is."""
    found: list[tuple[str, str]] = []

    def add(parent: str, depth: int) -> None:
        for spot in register.children(parent):
            if not spot.is_counter:
                found.append((spot.place, "\N{NO-BREAK SPACE}" * 3 * depth + place_name(spot, language)))
                add(spot.place, depth + 1)

    add(root_of(register), 0)
    return found
