"""Notes on what was done at a counter: the part of the counter's page, and the page with its forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.actions import ActionKind, CounterAction, Draft, actions_of, note_action, revise_action
from api.actions_effect import MONTHS, Effect, Level, effect_of
from api.actions_text import LONGEST, likely_names
from api.authorization import Action, counter
from api.disclosure import points
from api.errors import CaseRefused
from api.index.course import changes_of, runs_of
from api.index.period import Period, Span
from api.index.reading import Reading, Standing
from api.language import day_text, decimal_text, gettext_of, month_text
from api.pages.access import NOT_SEEN, PageRefused, allowed, check_form, require
from api.pages.administration import Text
from api.pages.course_views import LOOK_BACK_MONTHS
from api.pages.course_words import days_text
from api.pages.rendering import Pages, no_op
from api.trends import CounterState, counter_state, local_today

KIND_NAMES: Final = {
    ActionKind.PROCEDURE: no_op("steps and papers of the procedure"),
    ActionKind.GUIDANCE: no_op("signs, forms, explanations"),
    ActionKind.EQUIPMENT: no_op("equipment and systems"),
    ActionKind.HOURS: no_op("opening hours and queues"),
    ActionKind.TRAINING: no_op("training"),
    ActionKind.ROOM: no_op("room and seats"),
    ActionKind.OTHER: no_op("something else"),
}
_MESSAGES: Final = (
    no_op("Say in a few words what was done."),
    no_op("The text has at most {most} characters."),
    no_op("No mail addresses, telephone numbers or numbers of identity cards: leave them out."),
    no_op("This day is still to come: write down what was done."),
    no_op("This day is too long ago: notes go back three years."),
    no_op("There is no such note at this counter."),
    no_op("Somebody has changed this note meanwhile: read it and repeat."),
    no_op("This note was changed too often: write a new one."),
    no_op("Choose a day and what was changed."),
)
"""What notes say to people, here for the catalogue."""
_MOST_WITH_EFFECT: Final = 12
"""Notes, the newest first, beside which before and after are shown."""


@dataclass(frozen=True, slots=True)
class EffectText:
    """Before and after as they are printed.

    Attributes:
        calibrated: Whether these are shares of satisfied people; else the uncalibrated signal.
        by_days: Whether they are of released days, and so of ratings at the counter alone.
        clear: `rose`, `fell`, or empty where the interval holds no difference, too.
    """

    calibrated: bool
    by_days: bool
    before: str
    before_months: str
    before_n: int
    after: str
    after_months: str
    after_n: int
    difference: str
    clear: str


@dataclass(frozen=True, slots=True)
class ActionText:
    """A note with what was measured before and after it."""

    action: CounterAction
    day: str
    effect: EffectText | None


@dataclass(frozen=True, slots=True)
class Typed:
    """A form that was refused or asked about, so that nobody types twice.

    Attributes:
        action_id: The note that was to be changed; empty for a new one.
        names: What looks like names of persons; the form wants a tick for them.
    """

    action_id: str = ""
    day: str = ""
    kind: str = ""
    text: str = ""
    names: tuple[str, ...] = ()
    fault: str = ""


def actions_view(
    pages: Pages, login: Login, code: str, language: str, typed: Typed | None = None
) -> dict[str, Any]:
    """Return what `actions_part.html` shows of a counter that the login may see.

    Args:
        pages: The pages.
        login: Who reads.
        code: The counter.
        language: Of the texts.
        typed: A form that is shown again.
    """
    found = actions_of(pages.database, code)
    course = _course(pages, code, [item.now.day for item in found[:_MOST_WITH_EFFECT] if not item.now.struck])
    runs = runs_of(course)
    changes = changes_of(runs)
    state = counter_state(pages.database, code)
    writes = state is not None and login.may(Action.NOTE_ACTION, counter(state.code, state.area))
    texts = []
    for place, action in enumerate(found):
        effect = None
        if place < _MOST_WITH_EFFECT and not action.now.struck:
            effect = effect_of(course, action.now.day, runs, changes)
        texts.append(
            ActionText(
                action,
                day_text(action.now.day, language),
                None if effect is None else _effect_text(effect, language),
            )
        )
    return {
        "code": code,
        "texts": texts,
        "kinds": KIND_NAMES,
        "writes": writes,
        "typed": typed or Typed(),
        "today": local_today().isoformat(),
        "longest": LONGEST,
        "months": MONTHS,
        "day_of": lambda day: day_text(day, language),
    }


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the notes."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.VIEW_FIGURES)
    writer = allowed(pages, Action.NOTE_ACTION)

    def show(request: Request, login: Login, state: CounterState, typed: Typed | None = None) -> HTMLResponse:
        refused = typed is not None and (typed.fault or typed.names)
        return pages.render(
            request,
            "actions.html",
            login=login,
            here="counter",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK,
            counter=state,
            actions=actions_view(pages, login, state.code, pages.language_of(request), typed),
        )

    @router.get("/counters/{code}/actions")
    def notes(request: Request, code: str, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        return show(request, login, _state(pages, login, code, Action.VIEW_FIGURES))

    @router.post("/counters/{code}/actions")
    def write(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        code: str,
        login: Annotated[Login, Depends(writer)],
        csrf: Text = "",
        day: Text = "",
        kind: Text = "",
        text: Text = "",
        sure: Text = "",
        action_id: Text = "",
        revision: Text = "",
        struck: Text = "",
    ) -> Response:
        check_form(login, csrf)
        state = _state(pages, login, code, Action.NOTE_ACTION)
        typed = Typed(action_id, day, kind, text)
        try:
            draft = _draft(day, kind, text, struck=bool(struck))
            names = () if sure or struck else likely_names(text)
            if names:
                return show(request, login, state, Typed(action_id, day, kind, text, names))
            actor, today = login.account.name, local_today()
            if action_id:
                number, seen = _number(action_id, revision)
                revise_action(pages.database, state.code, number, seen, draft, actor=actor, today=today)
            else:
                note_action(pages.database, state.code, draft, actor=actor, today=today)
        except CaseRefused as error:
            gettext = gettext_of(pages.language_of(request))
            fault = gettext(error.text).format(**error.values)
            return show(request, login, state, Typed(action_id, typed.day, typed.kind, typed.text, (), fault))
        return RedirectResponse(f"/counters/{state.code}#actions", status_code=HTTPStatus.SEE_OTHER)

    return router


def _state(pages: Pages, login: Login, code: str, action: Action) -> CounterState:
    found = counter_state(pages.database, code)
    if found is None:
        raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
    require(login, Action.VIEW_FIGURES, counter(found.code, found.area))
    require(login, action, counter(found.code, found.area))
    return found


def _draft(day: str, kind: str, text: str, *, struck: bool) -> Draft:
    try:
        return Draft(date.fromisoformat(day), ActionKind(kind), text, struck)
    except ValueError:
        raise CaseRefused("Choose a day and what was changed.") from None


def _number(action_id: str, revision: str) -> tuple[UUID, int]:
    try:
        return UUID(action_id), int(revision)
    except ValueError:
        raise CaseRefused("There is no such note at this counter.") from None


def _course(pages: Pages, code: str, days: Sequence[date]) -> tuple[Reading, ...]:
    """Return the months around days and the newest ones, oldest first; no others are read."""
    if not days:
        return ()
    wanted = set(pages.readings.months()[-LOOK_BACK_MONTHS:])
    for day in days:
        month = day.year * 12 + day.month - 1
        wanted |= {date(at // 12, at % 12 + 1, 1) for at in range(month - MONTHS, month + MONTHS + 1)}
    place, disclosure = f"counter:{code}", pages.disclosure()
    return tuple(
        pages.readings.read([place], Period(first, Span.MONTH), disclosure)[place]
        for first in sorted(wanted)
        if first <= disclosure.today
    )


def _effect_text(effect: Effect, language: str) -> EffectText:
    least = min(effect.before.n, effect.after.n)

    def level(found: Level) -> str:
        value, low, high = (points(item / 100, found.n) for item in (found.value, found.low, found.high))
        return decimal_text(f"{value} ({low}–{high})", language)  # noqa: RUF001 - the dash of a range

    def months(found: Level) -> str:
        if effect.by_days:
            return days_text(found.first, found.last)
        first, last = month_text(found.first, language), month_text(found.last, language)
        return first if first == last else f"{first} – {last}"  # noqa: RUF001 - as above

    def signed(value: float) -> str:
        plain = points(abs(value) / 100, least)
        sign = "" if not plain.strip("0.") else "+" if value > 0 else "\N{MINUS SIGN}"
        return sign + plain

    difference = f"{signed(effect.difference)} ({signed(effect.low)} … {signed(effect.high)})"
    clear = ("rose" if effect.low > 0 else "fell") if effect.clear else ""
    return EffectText(
        effect.standing is Standing.FIGURE,
        effect.by_days,
        level(effect.before),
        months(effect.before),
        effect.before.n,
        level(effect.after),
        months(effect.after),
        effect.after.n,
        decimal_text(difference, language),
        clear,
    )
