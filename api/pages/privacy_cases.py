"""Requests of citizens under the law: registered, acknowledged, answered, each with its clocks."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from api.access_log import record_read
from api.accounts import Login
from api.authorization import Action
from api.case_history import case_acts
from api.consents import find_in
from api.database import Connection
from api.errors import CaseRefused
from api.language import gettext_of
from api.pages import privacy_breaches, privacy_upkeep, privacy_withdrawals
from api.pages.access import NOT_SEEN, PageRefused, check_form, personal
from api.pages.case_words import (
    ACT_NAMES,
    CHANNEL_NAMES,
    KIND_NAMES,
    OUTCOME_NAMES,
    STANDING_NAMES,
    Gettext,
    ShownClock,
    choice_of,
    id_of,
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
from api.requests import Channel, DataRequest, Outcome, RequestFilter, RequestKind, Requests, Subject
from consent.clocks import Clocks, Rule

_SIZE: Final = 50
_CHOOSE_KIND: Final = no_op("choose what is asked for")
_CHOOSE_CHANNEL: Final = no_op("choose how the request arrived")
_CHOOSE_OUTCOME: Final = no_op("choose how the request ended")
_ACKNOWLEDGE: Final = no_op("Confirm receipt to the citizen")
_ANSWER: Final = no_op("Act and answer")


class RequestForm(BaseModel):
    """What is typed to register a request; everything is read by hand, so that nothing typed is lost."""

    csrf: str = ""
    kind: str = ""
    channel: str = ""
    received_at: str = ""
    reference: str = ""
    receipt_id: str = ""
    record_id: str = ""
    with_processor: str = ""
    note: str = ""


class ActForm(BaseModel):
    """What is typed to act in a request."""

    csrf: str = ""
    at: str = ""
    outcome: str = ""
    note: str = ""


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of requests, breaches, withdrawals, retention and the access log."""
    router = APIRouter(include_in_schema=False)
    clocks = Clocks()
    _Cases(pages, clocks).add(router)
    privacy_breaches.add_routes(router, pages, clocks)
    privacy_withdrawals.add_routes(router, pages, clocks)
    privacy_upkeep.add_routes(router, pages)
    return router


class _Cases:
    """The pages of requests."""

    def __init__(self, pages: Pages, clocks: Clocks) -> None:
        self._pages = pages
        self._clocks = clocks
        self._requests = Requests(clocks)

    def add(self, router: APIRouter) -> None:
        """Add the routes."""
        officer = personal(self._pages, Action.MANAGE_REQUESTS)
        self._add_list(router, officer)
        self._add_case(router, officer)

    def _add_list(self, router: APIRouter, officer: Callable[[Request], Login]) -> None:
        @router.get("/privacy/requests")
        def requests_page(
            request: Request,
            login: Annotated[Login, Depends(officer)],
            show: str = "open",
            page: str = "1",
        ) -> HTMLResponse:
            number = number_of(page) or 1
            wanted = RequestFilter(only_open=show != "all", limit=_SIZE + 1, offset=_SIZE * (number - 1))
            now = datetime.now(UTC)
            with self._pages.database.transaction() as connection:
                found = self._requests.find(connection, wanted)
                counts = self._requests.standings(connection, now)
                object_id = f"requests show={'all' if show == 'all' else 'open'} page={number}"
                record_read(connection, login, Action.MANAGE_REQUESTS, object_id)
            gettext = gettext_of(self._pages.language_of(request))
            return self._list(
                request,
                login,
                rows=[(item, self._shown(item, now, gettext)) for item in found[:_SIZE]],
                counts=[
                    (standing, STANDING_NAMES[standing], counts[standing]) for standing in STANDING_NAMES
                ],
                show_all=show == "all",
                number=number,
                more=len(found) > _SIZE,
            )

        @router.post("/privacy/requests")
        def register(
            request: Request,
            login: Annotated[Login, Depends(officer)],
            form: Annotated[RequestForm, Form()],
        ) -> Response:
            check_form(login, form.csrf)
            now = datetime.now(UTC)
            try:
                with self._pages.database.transaction() as connection:
                    made = self._register(connection, login, form, now)
            except CaseRefused as error:
                fault = said(error, gettext_of(self._pages.language_of(request)))
                return self._list(request, login, typed=form, fault=fault)
            return _to_case(made.request_id)

    def _add_case(self, router: APIRouter, officer: Callable[[Request], Login]) -> None:
        @router.get("/privacy/requests/{request_id}")
        def case_page(
            request: Request, login: Annotated[Login, Depends(officer)], request_id: UUID
        ) -> HTMLResponse:
            return self._case(request, login, request_id)

        def act(
            request: Request,
            login: Login,
            request_id: UUID,
            form: ActForm,
            do: Callable[[Connection, datetime], object],
        ) -> Response:
            check_form(login, form.csrf)
            now = datetime.now(UTC)
            try:
                at = moment_of(form.at, now) or now
                with self._pages.database.transaction() as connection:
                    do(connection, at)
            except CaseRefused as error:
                fault = said(error, gettext_of(self._pages.language_of(request)))
                return self._case(request, login, request_id, form, fault)
            return _to_case(request_id)

        @router.post("/privacy/requests/{request_id}/acknowledge")
        def acknowledge(
            request: Request,
            login: Annotated[Login, Depends(officer)],
            request_id: UUID,
            form: Annotated[ActForm, Form()],
        ) -> Response:
            def do(connection: Connection, at: datetime) -> None:
                self._requests.acknowledge(connection, request_id, actor=login.account.name, at=at)

            return act(request, login, request_id, form, do)

        @router.post("/privacy/requests/{request_id}/processor")
        def involve(
            request: Request,
            login: Annotated[Login, Depends(officer)],
            request_id: UUID,
            form: Annotated[ActForm, Form()],
        ) -> Response:
            def do(connection: Connection, _: datetime) -> None:
                self._requests.involve_processor(connection, request_id, actor=login.account.name)

            return act(request, login, request_id, form, do)

        @router.post("/privacy/requests/{request_id}/answer")
        def answer(
            request: Request,
            login: Annotated[Login, Depends(officer)],
            request_id: UUID,
            form: Annotated[ActForm, Form()],
        ) -> Response:
            def do(connection: Connection, at: datetime) -> None:
                outcome = choice_of(Outcome, form.outcome, _CHOOSE_OUTCOME)
                note = text_of(form.note) or None
                self._requests.answer(
                    connection, request_id, outcome, actor=login.account.name, at=at, note=note
                )

            return act(request, login, request_id, form, do)

    def _register(
        self, connection: Connection, login: Login, form: RequestForm, now: datetime
    ) -> DataRequest:
        return self._requests.receive(
            connection,
            choice_of(RequestKind, form.kind, _CHOOSE_KIND),
            Subject(id_of(form.receipt_id), id_of(form.record_id), reference_of(form.reference)),
            channel=choice_of(Channel, form.channel, _CHOOSE_CHANNEL),
            actor=login.account.name,
            received_at=moment_of(form.received_at, now) or minute_of(now),
            with_processor=bool(form.with_processor),
            note=text_of(form.note),
            now=now,
        )

    def _list(
        self,
        request: Request,
        login: Login,
        *,
        typed: RequestForm | None = None,
        fault: str = "",
        **values: Any,  # noqa: ANN401 - what the template shows
    ) -> HTMLResponse:
        """Return the list with the form; after a fault the form alone, since nothing was read."""
        gettext = gettext_of(self._pages.language_of(request))
        return self._pages.render(
            request,
            "privacy_requests.html",
            login=login,
            here="requests",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            fault=fault,
            typed=typed or RequestForm(),
            kinds=names_of(KIND_NAMES, gettext),
            channels=names_of(CHANNEL_NAMES, gettext),
            standings=STANDING_NAMES,
            **{"rows": None} | values,
        )

    def _case(
        self,
        request: Request,
        login: Login,
        request_id: UUID,
        typed: ActForm | None = None,
        fault: str = "",
    ) -> HTMLResponse:
        gettext = gettext_of(self._pages.language_of(request))
        now = datetime.now(UTC)
        with self._pages.database.transaction() as connection:
            try:
                case = self._requests.get(connection, request_id)
            except CaseRefused:
                raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login) from None
            consent = None if case.record_id is None else find_in(connection, case.record_id)
            acts = case_acts(connection, "request", request_id)
            record_read(
                connection,
                login,
                Action.MANAGE_REQUESTS,
                f"request {case.number}",
                record_id=case.record_id if consent is not None else None,
            )
        return self._pages.render(
            request,
            "privacy_request.html",
            login=login,
            here="requests",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            fault=fault,
            typed=typed or ActForm(),
            case=case,
            consent=consent,
            acts=[(act, gettext(ACT_NAMES[act.act])) for act in acts],
            kinds=names_of(KIND_NAMES, gettext),
            channels=names_of(CHANNEL_NAMES, gettext),
            outcomes=names_of(OUTCOME_NAMES, gettext),
            standings=STANDING_NAMES,
            standing=case.standing(now),
            clocks=self._shown(case, now, gettext),
        )

    def _shown(self, case: DataRequest, now: datetime, gettext: Gettext) -> tuple[ShownClock, ...]:
        """Return the clocks of a request, the answer's last."""
        found = []
        acknowledgement = case.acknowledgement
        if acknowledgement is not None:
            duty = self._clocks.duty(case.law, Rule.ACKNOWLEDGE)
            found.append(
                shown_clock(gettext(_ACKNOWLEDGE), acknowledgement, duty, case.law, now=now, gettext=gettext)
            )
        found.append(
            shown_clock(
                gettext(_ANSWER),
                case.answer,
                self._clocks.duty(case.law, Rule(case.kind)),
                case.law,
                now=now,
                gettext=gettext,
                with_processor=case.with_processor,
                provisional=case.due_provisional,
            )
        )
        return tuple(found)


def _to_case(request_id: UUID) -> RedirectResponse:
    return RedirectResponse(f"/privacy/requests/{request_id}", status_code=HTTPStatus.SEE_OTHER)
