"""The comparison: two to six places side by side, never ranked, each difference with its own interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.disclosure import points
from api.index.alike import Equal
from api.index.comparison import (
    FEWEST_PLACES,
    MOST_PLACES,
    Between,
    Comparison,
    Like,
    Side,
    compare,
)
from api.index.reading import Standing, released_places
from api.index.releases import released_months
from api.language import decimal_text, gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.charts_comparison import Dot, Row, rows_svg
from api.pages.figure_words import (
    CHANNEL_TEXT,
    STANDING_TEXT,
    FigureText,
    figure_text,
    signal_text,
)
from api.pages.period_choice import PeriodView, choose_period
from api.pages.rendering import MeanText, Pages, no_op
from api.register import Register, Spot, register_of, visible
from api.trends import local_today

SVG_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
EQUAL_TEXT: Final = {
    Equal.MONTHS: no_op("months"),
    Equal.CHANNELS: no_op("channels"),
    Equal.PROCEDURES: no_op("procedures"),
    Equal.TIMES: no_op("times of day"),
}
Places = Annotated[list[str], Query(alias="place", max_length=MOST_PLACES)]
Wanted = Annotated[str, Query(max_length=7)]
Gettext = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sighted:
    """What a reader may see of a period.

    Attributes:
        spots: Places with released figures, each after the one above.
    """

    view: PeriodView
    register: Register
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class BetweenText:
    """A difference in points, and whether it is one."""

    value: str
    low: str
    high: str
    said: str
    clear: bool


@dataclass(frozen=True, slots=True)
class SideText:
    """One place of the comparison, worded."""

    spot: Spot
    name: str
    level: str
    standing: str
    figure: FigureText | None
    signal: MeanText | None
    like: MeanText | None
    difference: BetweenText | None
    like_difference: BetweenText | None
    why_none: str


def sighted(pages: Pages, login: Login, wanted: str, language: str) -> Sighted:
    """Return the period asked for and the places of it that the reader may see."""
    with pages.database.transaction() as connection:
        months = released_months(connection)
    today = local_today()
    view = choose_period(wanted, months, (), today, language)
    register = visible(login, register_of(pages.database, min(view.last_day, today)))
    there = set(released_places(pages.database, view.period))
    return Sighted(view, register, tuple(spot for name, spot in register.spots.items() if name in there))


def name_of(spot: Spot, language: str) -> str:
    """Return what a place is called; the whole is worded here."""
    return spot.name(language) or gettext_of(language)(no_op("Everywhere"))


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the comparison."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/comparison")
    def comparison(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        place: Places = [],  # noqa: B006 - FastAPI copies it
        period: Wanted = "",
    ) -> HTMLResponse:
        language = pages.language_of(request)
        found = sighted(pages, login, period, language)
        chosen = _chosen(found, place, login)
        made = _compared(pages, found, chosen)
        texts = [] if made is None else _texts(made, found.register, language)
        return pages.render(
            request,
            "comparison.html",
            login=login,
            here="comparison",
            view=found.view,
            places=[(spot.place, name_of(spot, language), _depth(found, spot)) for spot in found.spots],
            chosen=chosen,
            slots=range(MOST_PLACES),
            fewest=FEWEST_PLACES,
            query=urlencode([("place", spot) for spot in chosen]),
            sides=texts,
            first=texts[0].name if texts else "",
            differences=sum(1 for side in texts if side.difference is not None),
            parts=_parts(made, language),
            covered=_covered(made, language),
            equal=[gettext_of(language)(EQUAL_TEXT[item]) for item in (made.equal if made else ())],
            unequal=[
                gettext_of(language)(text)
                for item, text in EQUAL_TEXT.items()
                if made and item not in made.equal
            ],
        )

    @router.get("/comparison/chart.svg")
    def chart(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        place: Places = [],  # noqa: B006 - FastAPI copies it
        period: Wanted = "",
        size: Literal["wide", "narrow"] = "wide",
    ) -> Response:
        language = pages.language_of(request)
        gettext = gettext_of(language)
        found = sighted(pages, login, period, language)
        made = _compared(pages, found, _chosen(found, place, login))
        rows = [] if made is None else [_row(side, found.register, language) for side in made.sides]
        svg = rows_svg(
            rows,
            size,
            title=gettext("Share of satisfied people with its 95% interval"),
            first=gettext("as it is"),
            second=gettext("like with like"),
            axis=gettext("Share of satisfied people (%)"),
            table=gettext("The table beside the chart lists every place."),
        )
        return Response(svg, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})

    return router


def _depth(found: Sighted, spot: Spot) -> int:
    return len(found.register.way(spot.place)) - 1


def _chosen(found: Sighted, wanted: Sequence[str], login: Login) -> tuple[str, ...]:
    """Return the places asked for, each once; without a wish those right below the highest that is seen.

    Raises:
        PageRefused: One of them may not be seen, or is none.
    """
    asked = tuple(dict.fromkeys(place for place in wanted if place))
    known = {spot.place for spot in found.spots}
    if any(place not in found.register.spots for place in asked):
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    if asked or not found.spots:
        return asked
    below = [spot.place for spot in found.register.children(found.spots[0].place) if spot.place in known]
    return tuple(below[:MOST_PLACES])


def _compared(pages: Pages, found: Sighted, chosen: Sequence[str]) -> Comparison | None:
    if len(chosen) < FEWEST_PLACES:
        return None
    ways = {place: {spot.place for spot in found.register.way(place)} for place in chosen}
    inside = frozenset(
        (one, other) for one in chosen for other in chosen if one != other and other in ways[one]
    )
    return compare(pages.readings.read, chosen, found.view.period, pages.disclosure(), overlapping=inside)


def _texts(made: Comparison, register: Register, language: str) -> list[SideText]:
    gettext = gettext_of(language)
    first = made.sides[0]
    found = []
    for side in made.sides:
        spot, reading = register.spots[side.place], side.reading
        figure = None if reading.figure is None else figure_text(reading.figure, language, gettext)
        found.append(
            SideText(
                spot,
                name_of(spot, language),
                register.level_name(spot, language),
                gettext(STANDING_TEXT[reading.standing]),
                figure,
                signal_text(reading, language),
                _like_text(side.like, language),
                _between_text(side.difference, language),
                _between_text(side.like_difference, language),
                "" if side is first or side.difference is not None else gettext(_why_none(side, first)),
            )
        )
    return found


def _why_none(side: Side, first: Side) -> str:
    standings = {side.reading.standing, first.reading.standing}
    if standings != {Standing.FIGURE}:
        return no_op("one of both has no share")
    shares = [each.reading.figure.overall.share for each in (side, first) if each.reading.figure is not None]
    if any(share is not None and share.bounded for share in shares):
        return no_op("one of both is printed as a bound")
    return no_op("one lies in the other: they share people")


def _like_text(like: Like | None, language: str) -> MeanText | None:
    if like is None:
        return None
    value, low, high = (
        decimal_text(points(each, like.n), language) for each in (like.value, like.low, like.high)
    )
    return MeanText(value, low, high, like.n)


def _between_text(between: Between | None, language: str) -> BetweenText | None:
    if between is None:
        return None
    gettext = gettext_of(language)

    def signed(share: float) -> str:
        plain = points(share, between.n)
        plain = "0" if float(plain) == 0 else plain
        sign = "+" if not plain.startswith("-") and plain != "0" else ""
        return decimal_text(sign + plain.replace("-", "\N{MINUS SIGN}"), language)

    if not between.clear:
        said = gettext("cannot be told apart")
    else:
        said = gettext("higher") if between.value > 0 else gettext("lower")
    return BetweenText(signed(between.value), signed(between.low), signed(between.high), said, between.clear)


def _parts(made: Comparison | None, language: str) -> list[str]:
    gettext = gettext_of(language)
    channels = {channel for _, channel in made.parts} if made is not None else set()
    return [gettext(text) for channel, text in CHANNEL_TEXT.items() if channel in channels]


def _covered(made: Comparison | None, language: str) -> str:
    likes = [side.like for side in made.sides if side.like is not None] if made is not None else []
    return decimal_text(f"{likes[0].covered * 100:.0f}", language) if likes else ""


def _row(side: Side, register: Register, language: str) -> Row:
    share = None if side.reading.figure is None else side.reading.figure.overall.share
    first = second = None
    label = name_of(register.spots[side.place], language)
    if share is not None:
        value, low, high = share.texts()
        first = Dot(None if share.bounded else float(value), float(low), float(high))
    else:
        label += f": {gettext_of(language)(STANDING_TEXT[side.reading.standing])}"
    if side.like is not None:
        like = side.like
        ends = (float(points(each, like.n)) for each in (like.value, like.low, like.high))
        second = Dot(*ends)
    return Row(label, first, second)
