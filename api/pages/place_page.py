"""The page of a unit or area: its figure, its course, its factors, what is below it, what it rests on."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from api.accounts import Login
from api.actions import marks_of
from api.authorization import Action
from api.index.course import Step
from api.index.figures import Figure
from api.language import decimal_text, gettext_of
from api.pages.access import allowed
from api.pages.charts_course import course_svg
from api.pages.charts_places import dots_svg, size_px
from api.pages.charts_runs import runs_svg
from api.pages.course_views import course_view, follow, runs_chart, step_of
from api.pages.figure_views import (
    chart_address,
    counters_seen,
    course_of,
    factors_chart,
    find_period,
    find_place,
    place_list,
    place_name,
    proofs_of,
    read_with_days,
    reading_text,
    seen_register,
)
from api.pages.overview import Size, Wanted, svg
from api.pages.period_choice import PeriodView
from api.pages.rendering import Pages
from api.procedure_mix import ProcedureMix, procedure_mix
from api.register import Spot
from api.trends import local_today


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of units and areas."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/places/{place}")
    def place_page(
        request: Request,
        place: str,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        step: Wanted = "",
    ) -> Response:
        language = pages.language_of(request)
        view = _view(pages, login, period, language)
        register, spot = find_place(pages, login, place, view.period)
        if spot.is_counter:
            return RedirectResponse(f"{spot.path}?period={view.key}", status_code=HTTPStatus.SEE_OTHER)
        found = place_list(pages, register, place, view, language, channel="", counters=True)
        readings, _ = read_with_days(pages, [spot], view.period)
        return pages.render(
            request,
            "place.html",
            login=login,
            here="place",
            view=view,
            spot=spot,
            name=place_name(spot, language),
            level=register.level_name(spot, language),
            way=[(place_name(item, language), item.path) for item in register.way(place)[:-1]],
            list=found,
            mix=mix_rows(
                procedure_mix(
                    pages.database, place, view.period.months, fewest=pages.settings.pages.minimum_n
                ),
                language,
            ),
            charts={
                ("shares", size): (
                    chart_address("/ranking.svg", period=view.key, place=place, lang=language, size=size),
                    size_px(found.shares, size),
                )
                for size in ("wide", "narrow")
            }
            | {
                ("signals", size): (
                    chart_address(
                        "/ranking.svg", period=view.key, place=place, lang=language, size=size, kind="signals"
                    ),
                    size_px(found.signals, size),
                )
                for size in ("wide", "narrow")
                if found.signals is not None
            },
            **figure_values(pages, login, spot, view, language, readings[place].figure, step),
            reading=reading_text(readings[place], language),
            base=spot.path,
            kept={},
        )

    @router.get("/places/{place}/course.svg")
    def course_chart(  # noqa: PLR0917 - each is a part of the address
        request: Request,
        place: str,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        size: Size = "wide",
        step: Wanted = "",
    ) -> Response:
        language = pages.language_of(request)
        view = _view(pages, login, period, language)
        _, spot = find_place(pages, login, place, view.period)
        marks = [mark.day for mark in marks_of(pages.database, spot.code)] if spot.is_counter else []
        followed = follow(pages, place, view)
        chosen = step_of(step, view, followed.runs)
        if chosen is not Step.MONTH:
            return svg(runs_svg(runs_chart(followed, view, chosen, marks, language), size))
        course, _ = course_of(pages, place, view, language, marks)
        return svg(course_svg(course, size))

    @router.get("/places/{place}/factors.svg")
    def factors_drawn(
        request: Request,
        place: str,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        size: Size = "wide",
    ) -> Response:
        language = pages.language_of(request)
        view = _view(pages, login, period, language)
        _, spot = find_place(pages, login, place, view.period)
        readings, _ = read_with_days(pages, [spot], view.period)
        figure = reading_text(readings[place], language).figure
        factors = () if figure is None else figure.factors
        return svg(dots_svg(factors_chart(factors, view, gettext_of(language)), size))

    return router


def figure_values(  # noqa: PLR0917 - what both pages know of the place
    pages: Pages,
    login: Login,
    spot: Spot,
    view: PeriodView,
    language: str,
    figure: Figure | None,
    step: str,
) -> dict[str, Any]:
    """Return what the pages of a counter and of a place both show of the course and the proofs."""
    _, rows = course_of(pages, spot.place, view, language)
    followed = follow(pages, spot.place, view)
    shown = course_view(followed, view, step, figure, language)
    address = f"/places/{spot.place}"
    query = {"period": view.key, "lang": language}
    stepped = query | {"step": shown.step.value}
    return {
        "course": tuple(reversed(rows)),
        "followed": shown,
        "course_wide": chart_address(f"{address}/course.svg", **stepped, size="wide"),
        "course_narrow": chart_address(f"{address}/course.svg", **stepped, size="narrow"),
        "factors_wide": chart_address(f"{address}/factors.svg", **query, size="wide"),
        "factors_narrow": chart_address(f"{address}/factors.svg", **query, size="narrow"),
        "proofs": proofs_of(login, pages, spot.place, view),
    }


def mix_rows(mix: ProcedureMix | None, language: str) -> list[tuple[str, str, str]]:
    """Word a mix of procedures: code, share here, share everywhere, in percent."""
    if mix is None:
        return []
    return [
        (
            item.procedure or gettext_of(language)("others, or not named"),
            decimal_text(f"{item.here * 100:.0f}", language),
            decimal_text(f"{item.everywhere * 100:.0f}", language),
        )
        for item in mix.procedures
    ]


def _view(pages: Pages, login: Login, wanted: str, language: str) -> PeriodView:
    return find_period(pages, counters_seen(seen_register(pages, login, local_today())), wanted, language)
