"""Ballots against signals by unit, and the state of the calibration: reliability diagram, gate, versions."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.disclosure import nearly_unanimous, points, share_text
from api.index.agreement import Agreement, agreement
from api.index.calibrations import KeptCalibration, kept_calibrations
from api.language import day_text, decimal_text, gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.charts_comparison import Dot, Row, reliability_svg, rows_svg
from api.pages.comparison import SVG_POLICY, Wanted, name_of, sighted
from api.pages.rendering import MeanText, Pages, mean_text, no_op
from api.register import Spot
from api.statistics.calibration import Kind
from api.statistics.reliability import FEWEST_LABELS, MOST_ERROR, Bin, Gate

GATE_TEXT: Final = {
    Gate.OPEN: no_op("open: scores take part in figures"),
    Gate.CLOSED: no_op("closed: the error is too large, figures stand on ballots alone"),
    Gate.TOO_FEW: no_op("too few labels: figures stand on ballots alone"),
}
KIND_TEXT: Final = {Kind.PLATT: no_op("logistic (Platt)"), Kind.ISOTONIC: no_op("rising steps (isotonic)")}
_LONGEST_VERSION: Final = 9


@dataclass(frozen=True, slots=True)
class AgreementText:
    """A place with both sides, worded; `ballots` may be a bound."""

    place: str
    name: str
    level: str
    ballots: MeanText
    scores: MeanText
    calibrations: str


@dataclass(frozen=True, slots=True)
class BinText:
    """A bin of the diagram, worded."""

    score: str
    share: str
    low: str
    high: str
    n: int


@dataclass(frozen=True, slots=True)
class CalibrationText:
    """A version, worded; errors in points.

    Attributes:
        newest: Whether no newer version of the same models is there.
    """

    version: int
    networks: str
    until: str
    labels: int
    held_out: int
    kind: str
    ece: str
    by_chance: str
    gate: str
    open: bool
    newest: bool
    bins: tuple[BinText, ...]


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of ballots against signals."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/signals")
    def signals(
        request: Request, login: Annotated[Login, Depends(reader)], period: Wanted = ""
    ) -> HTMLResponse:
        language = pages.language_of(request)
        found = sighted(pages, login, period, language)
        spots = {spot.place: spot for spot in found.spots if not spot.is_counter}
        rows = agreement(pages.database, list(spots), found.view.period, pages.disclosure())
        with pages.database.transaction() as connection:
            kept = kept_calibrations(connection)
        newest = {item.model: item.version for item in kept}
        return pages.render(
            request,
            "signals.html",
            login=login,
            here="signals",
            view=found.view,
            rows=[
                _agreement_text(
                    row, spots[row.place], found.register.level_name(spots[row.place], language), language
                )
                for row in rows
            ],
            versions=[_version(item, newest[item.model], language) for item in reversed(kept)],
            limit=decimal_text(f"{MOST_ERROR * 100:g}", language),
            fewest=FEWEST_LABELS,
        )

    @router.get("/signals/chart.svg")
    def chart(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        size: Literal["wide", "narrow"] = "wide",
    ) -> Response:
        language = pages.language_of(request)
        gettext = gettext_of(language)
        found = sighted(pages, login, period, language)
        spots = {spot.place: spot for spot in found.spots if not spot.is_counter}
        rows = agreement(pages.database, list(spots), found.view.period, pages.disclosure())
        svg = rows_svg(
            [_row(row, name_of(spots[row.place], language)) for row in rows],
            size,
            title=gettext("Ballots and calibrated scores with their 95% intervals"),
            first=gettext("satisfied ballots (%)"),
            second=gettext("mean calibrated score (0–100)"),  # noqa: RUF001 - the dash of a range
            axis=gettext("0 to 100"),
            table=gettext("The table beside the chart lists every place."),
        )
        return _svg(svg)

    @router.get("/signals/{version}/reliability.svg")
    def diagram(
        request: Request,
        version: str,
        login: Annotated[Login, Depends(reader)],
        size: Literal["wide", "narrow"] = "wide",
    ) -> Response:
        with pages.database.transaction() as connection:
            kept = kept_calibrations(connection)
        number = (
            int(version)
            if version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION
            else 0
        )
        item = next((item for item in kept if item.version == number), None)
        if item is None:
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
        bins = item.calibration.reliability.bins
        return _svg(reliability_svg(bins, size, gettext_of(pages.language_of(request))))

    return router


def _svg(data: bytes) -> Response:
    return Response(data, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


def _agreement_text(row: Agreement, spot: Spot, level: str, language: str) -> AgreementText:
    assert row.ballots is not None  # noqa: S101 - `agreement` gives both sides or no row
    scores = mean_text(row.scores, language)
    assert scores is not None  # noqa: S101 - as above
    value, low, high = (decimal_text(text, language) for text in row.ballots.texts())
    return AgreementText(
        row.place,
        name_of(spot, language),
        level,
        MeanText(value, low, high, row.ballots.n),
        scores,
        ", ".join(map(str, row.calibrations)),
    )


def _row(row: Agreement, label: str) -> Row:
    first = second = None
    if row.ballots is not None:
        value, low, high = row.ballots.texts()
        first = Dot(None if row.ballots.bounded else float(value), float(low), float(high))
    if row.scores is not None:
        mean = row.scores
        second = Dot(*(float(points(each, mean.n)) for each in (mean.value, mean.low, mean.high)))
    return Row(label, first, second)


def _version(item: KeptCalibration, newest: int, language: str) -> CalibrationText:
    gettext = gettext_of(language)
    calibration, held = item.calibration, item.calibration.reliability

    def error(value: float | None) -> str:
        return "" if value is None else decimal_text(f"{value * 100:.2f}", language)

    return CalibrationText(
        item.version,
        ", ".join(item.networks),
        day_text(calibration.until, language),
        calibration.n,
        held.n,
        gettext(KIND_TEXT[calibration.kind]),
        error(held.ece),
        error(held.by_chance),
        gettext(GATE_TEXT[held.gate]),
        held.gate is Gate.OPEN,
        item.version == newest,
        tuple(_bin(each, language) for each in held.bins),
    )


def _bin(item: Bin, language: str) -> BinText:
    satisfied = round(item.share * item.n)
    share = (
        share_text(item.n, satisfied) if nearly_unanimous(item.n, satisfied) else points(item.share, item.n)
    )
    score, value, low, high = (
        decimal_text(text, language)
        for text in (points(item.score, item.n), share, points(item.low, item.n), points(item.high, item.n))
    )
    return BinText(score, value, low, high, item.n)
