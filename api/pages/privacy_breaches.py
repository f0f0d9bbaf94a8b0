"""Breaches of personal data: found, measures taken, the authority told within 72 hours, the file kept."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from api.accounts import Login
from api.authorization import Action
from api.breaches import Breach, Breaches, Cause, Measure, Nature, Scope
from api.case_history import case_acts
from api.database import Connection
from api.errors import CaseRefused
from api.language import day_text, gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed, check_form
from api.pages.case_words import (
    ACT_NAMES,
    CAUSE_NAMES,
    MEASURE_NAMES,
    NATURE_NAMES,
    SCOPE_NAMES,
    STANDING_NAMES,
    Gettext,
    ShownClock,
    choice_of,
    minute_of,
    moment_of,
    names_of,
    number_of,
    reference_of,
    said,
    shown_clock,
    text_of,
)
from api.pages.rendering import Pages, no_op
from consent.clocks import Clocks, Rule

_SIZE: Final = 50
_CHOOSE_NATURE: Final = no_op("choose what happened to the data")
_CHOOSE_CAUSE: Final = no_op("choose why it happened; 'not known yet' is a choice")
_CHOOSE_SCOPE: Final = no_op("say which data it touches; when unsure, choose everything it may touch")
_CHOOSE_MEASURE: Final = no_op("name a measure that is not on the list yet")
_NO_NUMBER: Final = no_op("the number of citizens is an estimate; leave it empty when unknown")
_NOTIFY: Final = no_op("Tell the authority")


class BreachForm(BaseModel):
    """What is typed to register a breach."""

    csrf: str = ""
    nature: str = ""
    cause: str = ""
    scope: list[str] = []
    detected_at: str = ""
    affected: str = ""
    note: str = ""


class ActForm(BaseModel):
    """What is typed to act in a breach."""

    csrf: str = ""
    at: str = ""
    authority_reference: str = ""
    measure: list[str] = []


def add_routes(router: APIRouter, pages: Pages, clocks: Clocks) -> None:
    """Add the routes of breaches."""
    shown = _Shown(pages, clocks)
    officer = allowed(pages, Action.MANAGE_BREACHES)
    _add_list(router, shown, officer)
    _add_case(router, shown, officer)


class _Shown:
    """The pages of breaches, as they are shown."""

    def __init__(self, pages: Pages, clocks: Clocks) -> None:
        self.pages = pages
        self.breaches = Breaches(clocks)
        self._clocks = clocks

    def list(
        self,
        request: Request,
        login: Login,
        *,
        show_all: bool = False,
        typed: BreachForm | None = None,
        fault: str = "",
    ) -> HTMLResponse:
        """Return the list with the form that registers another one."""
        gettext = gettext_of(self.pages.language_of(request))
        now = datetime.now(UTC)
        with self.pages.database.transaction() as connection:
            found = self.breaches.find(connection, only_open=not show_all, limit=_SIZE)
        return self._render(
            request,
            "privacy_breaches.html",
            login,
            gettext,
            fault,
            typed=typed or BreachForm(),
            rows=[(breach, self._clock(breach, now, gettext)) for breach in found],
            show_all=show_all,
            as_of=now,
        )

    def case(
        self,
        request: Request,
        login: Login,
        breach_id: UUID,
        typed: ActForm | None = None,
        fault: str = "",
    ) -> HTMLResponse:
        """Return one breach with the forms of what can be done next."""
        language = self.pages.language_of(request)
        gettext = gettext_of(language)
        now = datetime.now(UTC)
        with self.pages.database.transaction() as connection:
            try:
                breach = self.breaches.get(connection, breach_id)
            except CaseRefused:
                raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login) from None
            acts = case_acts(connection, "breach", breach_id)
        kept = self._clocks.duty(breach.law, Rule.BREACH_FILE)
        return self._render(
            request,
            "privacy_breach.html",
            login,
            gettext,
            fault,
            typed=typed or ActForm(),
            breach=breach,
            clocks=(self._clock(breach, now, gettext),),
            acts=[(act, gettext(ACT_NAMES[act.act])) for act in acts],
            file_until="" if breach.file_until is None else day_text(breach.file_until, language),
            file_years=None if kept is None else kept.value,
            as_of=now,
        )

    def _render(
        self,
        request: Request,
        template: str,
        login: Login,
        gettext: Gettext,
        fault: str,
        **values: Any,  # noqa: ANN401 - what the template shows
    ) -> HTMLResponse:
        return self.pages.render(
            request,
            template,
            login=login,
            here="breaches",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            fault=fault,
            natures=names_of(NATURE_NAMES, gettext),
            causes=names_of(CAUSE_NAMES, gettext),
            scopes=names_of(SCOPE_NAMES, gettext),
            measures=names_of(MEASURE_NAMES, gettext),
            standings=STANDING_NAMES,
            **values,
        )

    def _clock(self, breach: Breach, now: datetime, gettext: Gettext) -> ShownClock:
        duty = self._clocks.duty(breach.law, Rule.BREACH_NOTICE)
        return shown_clock(gettext(_NOTIFY), breach.notification, duty, breach.law, now=now, gettext=gettext)


def _add_list(router: APIRouter, shown: _Shown, officer: Callable[[Request], Login]) -> None:
    @router.get("/privacy/breaches")
    def breaches_page(
        request: Request, login: Annotated[Login, Depends(officer)], show: str = "open"
    ) -> HTMLResponse:
        return shown.list(request, login, show_all=show == "all")

    @router.post("/privacy/breaches")
    def detect(
        request: Request, login: Annotated[Login, Depends(officer)], form: Annotated[BreachForm, Form()]
    ) -> Response:
        check_form(login, form.csrf)
        now = datetime.now(UTC)
        try:
            with shown.pages.database.transaction() as connection:
                breach = _detect(shown.breaches, connection, login, form, now)
        except CaseRefused as error:
            fault = said(error, gettext_of(shown.pages.language_of(request)))
            return shown.list(request, login, typed=form, fault=fault)
        return _to_case(breach.breach_id)


def _add_case(router: APIRouter, shown: _Shown, officer: Callable[[Request], Login]) -> None:
    def act(
        request: Request,
        login: Login,
        breach_id: UUID,
        form: ActForm,
        do: Callable[[Connection, datetime], object],
    ) -> Response:
        check_form(login, form.csrf)
        now = datetime.now(UTC)
        try:
            at = moment_of(form.at, now) or now
            with shown.pages.database.transaction() as connection:
                do(connection, at)
        except CaseRefused as error:
            fault = said(error, gettext_of(shown.pages.language_of(request)))
            return shown.case(request, login, breach_id, form, fault)
        return _to_case(breach_id)

    @router.get("/privacy/breaches/{breach_id}")
    def case_page(
        request: Request, login: Annotated[Login, Depends(officer)], breach_id: UUID
    ) -> HTMLResponse:
        return shown.case(request, login, breach_id)

    @router.post("/privacy/breaches/{breach_id}/measures")
    def measure(
        request: Request,
        login: Annotated[Login, Depends(officer)],
        breach_id: UUID,
        form: Annotated[ActForm, Form()],
    ) -> Response:
        def do(connection: Connection, _: datetime) -> None:
            done = [choice_of(Measure, code, _CHOOSE_MEASURE) for code in form.measure]
            shown.breaches.measure(connection, breach_id, done, actor=login.account.name)

        return act(request, login, breach_id, form, do)

    @router.post("/privacy/breaches/{breach_id}/notify")
    def notify(
        request: Request,
        login: Annotated[Login, Depends(officer)],
        breach_id: UUID,
        form: Annotated[ActForm, Form()],
    ) -> Response:
        def do(connection: Connection, at: datetime) -> None:
            reference = reference_of(form.authority_reference)
            shown.breaches.notify(
                connection, breach_id, actor=login.account.name, authority_reference=reference, at=at
            )

        return act(request, login, breach_id, form, do)

    @router.post("/privacy/breaches/{breach_id}/close")
    def close(
        request: Request,
        login: Annotated[Login, Depends(officer)],
        breach_id: UUID,
        form: Annotated[ActForm, Form()],
    ) -> Response:
        def do(connection: Connection, at: datetime) -> None:
            shown.breaches.close(connection, breach_id, actor=login.account.name, at=at)

        return act(request, login, breach_id, form, do)


def _detect(
    breaches: Breaches, connection: Connection, login: Login, form: BreachForm, now: datetime
) -> Breach:
    return breaches.detect(
        connection,
        choice_of(Nature, form.nature, _CHOOSE_NATURE),
        choice_of(Cause, form.cause, _CHOOSE_CAUSE),
        [choice_of(Scope, code, _CHOOSE_SCOPE) for code in form.scope],
        actor=login.account.name,
        detected_at=moment_of(form.detected_at, now) or minute_of(now),
        affected=_estimate(form.affected.strip()),
        note=text_of(form.note),
        now=now,
    )


def _estimate(given: str) -> int | None:
    """Read how many citizens are concerned; None where nothing was typed."""
    if not given:
        return None
    number = number_of(given) if given.strip("0") else 0
    if number is None:
        raise CaseRefused(_NO_NUMBER)
    return number


def _to_case(breach_id: UUID) -> RedirectResponse:
    return RedirectResponse(f"/privacy/breaches/{breach_id}", status_code=HTTPStatus.SEE_OTHER)
