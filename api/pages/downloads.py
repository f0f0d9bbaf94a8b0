"""Figures to take along: CSV, XLSX and the printed report of a period, each with what proves it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.accounts import Login
from api.authorization import Action
from api.central_log import CentralLog
from api.errors import ExportRefused
from api.figure_course import (
    CHANGE_COLUMNS,
    COURSE_COLUMNS,
    PART_COLUMNS,
    CourseTables,
    as_json,
    course_tables,
)
from api.figure_files import Sheet, as_csv, as_package, as_xlsx
from api.figure_table import COLUMNS, Column, figure_rows, values_of
from api.index.reading import Reading
from api.language import gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.comparison import Sighted, Wanted, sighted
from api.pages.course_views import course_view, follow
from api.pages.period_choice import PeriodView, period_text
from api.pages.rendering import Pages, no_op
from api.register import Spot
from api.release_proof import ReleaseProof, release_proof
from api.report import Changes, Report, pdf

_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_CSV: Final = "text/csv; charset=utf-8"
_PACKAGE: Final = "figures.json"
_FACTS: Final = (Column("what", "string", "Mục", "What"), Column("value", "string", "Giá trị", "Value"))
_DICTIONARY: Final = (
    Column("column", "string", "Cột", "Column"),
    Column("type", "string", "Kiểu", "Type"),
    Column("vi", "string", "Ý nghĩa", "Meaning in Vietnamese"),
    Column("en", "string", "Ý nghĩa bằng tiếng Anh", "Meaning"),
)
_NOT_SIPAS: Final = (
    "Không phải SIPAS: khác nhóm người được hỏi, khác phương pháp. "
    "Not SIPAS: another population, another method."
)
Scope = Annotated[str, Query(max_length=80, alias="place")]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a file is made of.

    Attributes:
        scope: The place that it is about; None where nothing is released that may be seen.
        spots: The places of the file.
    """

    sight: Sighted
    scope: Spot | None
    spots: tuple[Spot, ...]
    readings: Mapping[str, Reading]
    proof: ReleaseProof

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        scope = "" if self.scope is None else self.scope.place.replace(":", "-")
        return f"hailong-{self.sight.view.key}-{scope or 'none'}"


def build_router(pages: Pages, log: CentralLog) -> APIRouter:
    """Return the routes of downloads."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/figures.csv")
    def as_text(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = _taken(pages, log, request, login, period, place)
        data = as_csv(COLUMNS, map(values_of, figure_rows(made.spots, made.readings)))
        return _file(data, f"{made.name}.csv", _CSV)

    @router.get("/figures.json", dependencies=[Depends(reader)])
    def dictionary() -> Response:
        data = as_package(
            "hailong-figures", "hailong", [("figures.csv", COLUMNS), ("course.csv", COURSE_COLUMNS)]
        )
        return _file(data, _PACKAGE, "application/json")

    @router.get("/figures.xlsx")
    def as_workbook(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = _taken(pages, log, request, login, period, place)
        language = pages.language_of(request)
        gettext = gettext_of(language)
        rows = [values_of(row) for row in figure_rows(made.spots, made.readings)]
        course = _tables_of(pages, made)
        sheets = (
            Sheet(gettext("Figures"), COLUMNS, rows),
            Sheet(gettext("Course"), COURSE_COLUMNS, course.runs),
            Sheet(gettext("What changed"), CHANGE_COLUMNS, course.changes),
            Sheet(gettext("Times and procedures"), PART_COLUMNS, course.parts),
            Sheet(
                gettext("Data dictionary"),
                _DICTIONARY,
                [
                    (c.name, c.kind, c.vi, c.en)
                    for c in dict.fromkeys((*COLUMNS, *COURSE_COLUMNS, *CHANGE_COLUMNS, *PART_COLUMNS))
                ],
            ),
            Sheet(gettext("Source and proof"), _FACTS, _facts(made, language)),
        )
        title = f"{gettext('Measured satisfaction')} {made.sight.view.text}"
        return _file(as_xlsx(sheets, title=title, language=language), f"{made.name}.xlsx", _XLSX)

    @router.get("/course.csv")
    def course_text(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = _taken(pages, log, request, login, period, place)
        return _file(as_csv(COURSE_COLUMNS, _tables_of(pages, made).runs), f"{made.name}-course.csv", _CSV)

    @router.get("/course.json")
    def course_document(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = _taken(pages, log, request, login, period, place)
        about = {
            "place": "" if made.scope is None else made.scope.place,
            "period": made.sight.view.key,
            "note": _NOT_SIPAS,
        }
        return _file(as_json(_tables_of(pages, made), about), f"{made.name}-course.json", "application/json")

    @router.get("/report.pdf")
    def report(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = _taken(pages, log, request, login, period, place)
        if made.scope is None:
            raise PageRefused(
                HTTPStatus.NOT_FOUND,
                no_op("Not found"),
                no_op("Nothing is released that you may see."),
                login,
            )
        language = pages.language_of(request)
        document = Report(
            made.sight.register,
            made.scope,
            made.spots,
            made.readings,
            made.proof,
            period_text(made.sight.view.period, language),
            pages.settings.pages.minimum_n,
            _told(pages, made.scope.place, made.sight.view, language),
        )
        try:
            data = pdf(document, language)
        except ExportRefused as error:
            raise PageRefused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                no_op("Not exported"),
                no_op("The typesetter is not installed: ask whoever runs the service."),
                login,
            ) from error
        return _file(data, f"{made.name}.pdf", "application/pdf")

    return router


def _taken(  # noqa: PLR0917 - what was asked of whom
    pages: Pages, log: CentralLog, request: Request, login: Login, period: str, place: str
) -> Taken:
    found = sighted(pages, login, period, pages.language_of(request))
    scope = _scope(found, place, login)
    spots = () if scope is None else _within(found, scope)
    with pages.database.transaction() as connection:
        proof = release_proof(connection, log, found.view.period.months)
    names = [spot.place for spot in spots]
    readings = pages.readings.read(names, found.view.period, pages.disclosure())
    return Taken(found, scope, spots, readings, proof)


def _tables_of(pages: Pages, made: Taken) -> CourseTables:
    if made.scope is None:
        return CourseTables((), (), ())
    place, view = made.scope.place, made.sight.view
    followed, figure = follow(pages, place, view), made.readings[place].figure
    breakdowns = {} if figure is None else figure.breakdowns
    return course_tables(place, view.key, followed.runs, followed.found.shifts, breakdowns)


def _told(pages: Pages, place: str, view: PeriodView, language: str) -> Changes:
    """Return what changed at the place of a report, in words."""
    followed = follow(pages, place, view)
    shown = course_view(followed, view, "", None, language)
    return Changes(
        tuple(
            (
                shift.likely,
                shift.span or shift.likely,
                f"{shift.before}, n = {shift.before_n}",
                f"{shift.after}, n = {shift.after_n}",
                shift.difference,
            )
            for shift in shown.shifts
        ),
        shown.judged,
    )


def _scope(found: Sighted, wanted: str, login: Login) -> Spot | None:
    """Return the place asked for; the highest with figures that is seen where none is.

    Raises:
        PageRefused: It may not be seen, or is none.
    """
    if not wanted:
        return found.spots[0] if found.spots else None
    spot = found.register.spots.get(wanted)
    if spot is None:
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    return spot


def _within(found: Sighted, scope: Spot) -> tuple[Spot, ...]:
    """Return a place and those below it that the reader may see, each after the one above."""
    spots = found.register.spots
    return tuple(spot for name, spot in spots.items() if scope in found.register.way(name))


def _facts(made: Taken, language: str) -> Sequence[tuple[str, str]]:
    gettext = gettext_of(language)
    facts = [
        (gettext("Period"), made.sight.view.text),
        (gettext("Place"), "" if made.scope is None else made.scope.place),
        (gettext("Note"), _NOT_SIPAS),
    ]
    for entry in made.proof.entries:
        label = f"{gettext('Entry of the log')} {entry.index}, {entry.month:%Y-%m}, SHA-256"
        facts.append((label, entry.leaf_hash.hex()))
    if made.proof.checkpoint is not None:
        facts += [(gettext("Signed checkpoint"), line) for line in made.proof.checkpoint.splitlines()]
    return facts


def _file(data: bytes, name: str, media_type: str) -> Response:
    return Response(
        data,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
