"""The page of a counter: its figure and course, its days with what changed, its factors, what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final

from babel.dates import get_day_names
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.alerts.changes import Judged, Noticed, first_charted, judge
from api.alerts.findings import all_counters
from api.authorization import Action
from api.index.period import Period, Span
from api.language import day_text, decimal_text, gettext_of, moment_text
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.actions import actions_view
from api.pages.charts import tallies_of, trend_svg
from api.pages.figure_views import find_period, place_name, read_with_days, reading_text, seen_register
from api.pages.figure_words import FACTOR_TEXT
from api.pages.overview import Size, Wanted, svg
from api.pages.period_choice import PeriodView, period_text
from api.pages.place_page import figure_values, mix_rows
from api.pages.rendering import MeanText, Pages, mean_text, no_op
from api.procedure_mix import procedure_mix
from api.register import COUNTER_LEVEL, Spot, sees
from api.schema import next_month
from api.statistics.change_points import NOTICE_CUSUM, Direction
from api.trends import (
    CounterState,
    Day,
    Month,
    Quality,
    by_weekday,
    counter_period,
    counter_state,
    day_shares,
)

_HIDDEN_TEXT: Final = {
    "few": no_op("too few sessions to be shown"),
    "running": no_op("the day is not over"),
}


@dataclass(frozen=True, slots=True)
class QualityText:
    """How much evidence stands behind signals, worded; times in minutes, gaps in seconds."""

    sessions: int
    abstained: int
    face: str
    speech: str
    dropped: str
    gap: str
    gaps: int


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day of the table; `hidden` says why it has no figures."""

    text: str
    hidden: str
    mean: MeanText | None = None
    quality: QualityText | None = None


@dataclass(frozen=True, slots=True)
class NamedMean:
    """A factor or a weekday with its mean signal."""

    text: str
    mean: MeanText | None


@dataclass(frozen=True, slots=True)
class ChangeText:
    """A change that the chart told of, worded.

    Attributes:
        alarm: The day on which it passed the limit of alerts as well; empty where it did not.
    """

    fell: bool
    since: str
    noticed: str
    before: str
    after: str
    alarm: str


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of a counter."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)

    @router.get("/counters/{code}")
    def counter_page(  # noqa: PLR0917 - each is a part of the address
        request: Request,
        code: str,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        month: Wanted = "",
        step: Wanted = "",
    ) -> HTMLResponse:
        return counter_answer(pages, request, login, code, period or month, step)

    @router.get("/counters/{code}/trend.svg")
    def trend(  # noqa: PLR0917 - each is a part of the address
        request: Request,
        code: str,
        login: Annotated[Login, Depends(reader)],
        period: Wanted = "",
        month: Wanted = "",
        size: Size = "wide",
    ) -> Response:
        language = pages.language_of(request)
        visible_counter(pages, login, code)
        view = find_period(pages, [code], period or month, language)
        first = view.period.months[-1]
        data = counter_period(pages.database, code, [first], pages.disclosure())
        judged = _judged(pages, code, first)
        tallies = tallies_of(judged.charted, first, judged.limits.limit)
        return svg(trend_svg(first, data.days, size, gettext_of(language), tallies))

    return router


def counter_answer(  # noqa: PLR0917 - what was asked
    pages: Pages,
    request: Request,
    login: Login,
    code: str,
    wanted: str,
    step: str = "",
    **changed: Any,  # noqa: ANN401 - what the template shows
) -> HTMLResponse:
    """Return the page of a counter.

    Args:
        pages: The pages.
        request: What was asked.
        login: Who asks.
        code: The counter.
        wanted: The period; empty takes the newest.
        step: Of the course.
        changed: Values of the template that take the place of its own.

    Raises:
        PageRefused: There is no such counter, or the reader may not see it.
    """
    language = pages.language_of(request)
    gettext = gettext_of(language)
    state, spot, unit = visible_counter(pages, login, code)
    view = find_period(pages, [code], wanted, language)
    disclosure = pages.disclosure()
    readings, _ = read_with_days(pages, [spot], view.period)
    data = counter_period(pages.database, code, view.period.months, disclosure)
    single = view.period.span is Span.MONTH
    last = min(view.period.months[-1], disclosure.today.replace(day=1))
    judged = _judged(pages, code, last)
    values = {
        "counter": state,
        "unit": unit,
        "unit_name": "" if unit is None else place_name(unit, language),
        "last_received": moment_text(state.last_received, language),
        "view": view,
        "reading": reading_text(readings[spot.place], language),
        "base": spot.path,
        "spot_place": spot.place,
        "kept": {},
        "mean": mean_text(data.mean, language),
        "change": mean_text(data.change, language, signed=True),
        "quality": _quality(data.quality, language),
        "single": single,
        "months": _months(view, language),
        "days": [_day_row(day, language) for day in data.days] if single else [],
        "weekdays": _weekdays(data.days, language),
        "changes": _changes(judged, view, language),
        "judged": any(point.level is not None for point in judged.charted.points),
        "false_alarms": decimal_text(f"{NOTICE_CUSUM.false_alarms_a_year():.1f}", language),
        "signal_factors": [
            NamedMean(gettext(FACTOR_TEXT[item.factor.value]), mean_text(item.mean, language))
            for item in data.factors
        ],
        "chart_text": _chart_text(data, language),
        "mix": mix_rows(
            None
            if unit is None
            else procedure_mix(
                pages.database, unit.place, view.period.months, fewest=pages.settings.pages.minimum_n
            ),
            language,
        ),
        "actions": actions_view(pages, login, code, language),
        **figure_values(pages, login, spot, view, language, readings[spot.place].figure, step),
    }
    return pages.render(request, "counter.html", login=login, here="counter", **(values | changed))


def visible_counter(pages: Pages, login: Login, code: str) -> tuple[CounterState, Spot, Spot | None]:
    """Return a counter, its place, and its unit where the reader may see that too.

    Raises:
        PageRefused: There is none, or the reader may not see it; the answer does not tell which.
    """
    state = counter_state(pages.database, code)
    if state is None:
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    register = seen_register(pages, login, pages.disclosure().today)
    spot = register.spots.get(f"{COUNTER_LEVEL}:{code}")
    if spot is None or not sees(login, spot):
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    unit = register.spots.get(spot.parent or "")
    return state, spot, unit


def _judged(pages: Pages, code: str, last: date) -> Judged:
    """Return what the days up to a month tell, as alerts judge them; those that are due are released.

    The running day, which a demonstration shows, may be among them.
    """
    months = [first_charted(last)]
    while months[-1] < last:
        months.append(next_month(months[-1]))
    days = counter_period(pages.database, code, months, pages.disclosure()).days
    return judge(
        day_shares(days),
        len(all_counters(pages.database)),
        false_alarms_a_month=pages.settings.alerts.false_alarms_a_month,
    )


def _changes(judged: Judged, view: PeriodView, language: str) -> list[ChangeText]:
    """Word the changes that were noticed in the period, the newest first."""
    until = next_month(view.period.months[-1])
    return [
        _change_text(item, language)
        for item in reversed(judged.changes)
        if view.period.first <= item.change.noticed < until
    ]


def _change_text(item: Noticed, language: str) -> ChangeText:
    change = item.change
    return ChangeText(
        change.direction is Direction.FELL,
        day_text(change.since, language),
        day_text(change.noticed, language),
        f"{change.before * 100:.0f}",
        f"{change.after * 100:.0f}",
        "" if item.alarm is None else day_text(item.alarm, language),
    )


def _months(view: PeriodView, language: str) -> list[tuple[str, str]]:
    """Return the months of a longer period, whose days are on their own pages."""
    found = [Period(month, Span.MONTH) for month in view.period.months]
    return [] if len(found) == 1 else [(str(item), period_text(item, language)) for item in found]


def _weekdays(days: Sequence[Day], language: str) -> list[NamedMean]:
    names = get_day_names("wide", locale=language)
    return [
        NamedMean(str(names[item.weekday]).capitalize(), mean_text(item.mean, language))
        for item in by_weekday(days)
    ]


def _quality(quality: Quality, language: str) -> QualityText:
    def minutes(seconds: float) -> str:
        return decimal_text(f"{seconds / 60:.1f}", language)

    return QualityText(
        quality.sessions,
        quality.abstained,
        minutes(quality.face_s),
        minutes(quality.speech_s),
        minutes(quality.dropped_s),
        f"{quality.gap_s:.0f}",
        quality.gaps,
    )


def _day_row(day: Day, language: str) -> DayRow:
    text = day_text(day.day, language)
    if day.quality is None:
        return DayRow(text, gettext_of(language)(_HIDDEN_TEXT[day.hidden]))
    return DayRow(text, "", mean_text(day.mean, language), _quality(day.quality, language))


def _chart_text(month: Month, language: str) -> str:
    gettext = gettext_of(language)
    drawn = [day for day in month.days if day.mean is not None]
    if not drawn:
        return gettext("No day with enough sessions yet")
    title = gettext("Daily mean of the uncalibrated signal with its 95% interval")
    first, last = day_text(drawn[0].day, language), day_text(drawn[-1].day, language)
    return f"{title}: {first} – {last}. {gettext('The table beside the chart lists every shown day.')}"  # noqa: RUF001 - the dash of a range
