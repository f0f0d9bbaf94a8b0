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
from api.figure_files import Sheet, as_csv, as_package, as_xlsx
from api.figure_table import COLUMNS, Column, figure_rows, values_of
from api.index.reading import Reading
from api.language import gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.comparison import Sighted, Wanted, sighted
from api.pages.period_choice import period_text
from api.pages.rendering import Pages, no_op
from api.register import Spot
from api.release_proof import ReleaseProof, release_proof
from api.report import Report, pdf

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

    def taken(request: Request, login: Login, period: str, place: str) -> Taken:
        found = sighted(pages, login, period, pages.language_of(request))
        scope = _scope(found, place, login)
        spots = () if scope is None else _within(found, scope)
        with pages.database.transaction() as connection:
            proof = release_proof(connection, log, found.view.period.months)
        names = [spot.place for spot in spots]
        readings = pages.readings.read(names, found.view.period, pages.disclosure())
        return Taken(found, scope, spots, readings, proof)

    @router.get("/figures.csv")
    def as_text(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = taken(request, login, period, place)
        data = as_csv(COLUMNS, map(values_of, figure_rows(made.spots, made.readings)))
        return _file(data, f"{made.name}.csv", _CSV)

    @router.get("/figures.json", dependencies=[Depends(reader)])
    def dictionary() -> Response:
        data = as_package("hailong-figures", "hailong", [("figures.csv", COLUMNS)])
        return _file(data, _PACKAGE, "application/json")

    @router.get("/figures.xlsx")
    def as_workbook(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = taken(request, login, period, place)
        language = pages.language_of(request)
        gettext = gettext_of(language)
        rows = [values_of(row) for row in figure_rows(made.spots, made.readings)]
        sheets = (
            Sheet(gettext("Figures"), COLUMNS, rows),
            Sheet(gettext("Data dictionary"), _DICTIONARY, [(c.name, c.kind, c.vi, c.en) for c in COLUMNS]),
            Sheet(gettext("Source and proof"), _FACTS, _facts(made, language)),
        )
        title = f"{gettext('Measured satisfaction')} {made.sight.view.text}"
        return _file(as_xlsx(sheets, title=title, language=language), f"{made.name}.xlsx", _XLSX)

    @router.get("/report.pdf")
    def report(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = "", place: Scope = ""
    ) -> Response:
        made = taken(request, login, period, place)
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
