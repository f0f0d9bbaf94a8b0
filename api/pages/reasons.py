"""The form that asks why somebody reads data of persons: purpose and ticket, kept for half an hour."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import AccountError, Login
from api.authorization import Action, Purpose
from api.language import gettext_of
from api.pages.access import allowed, check_form, local_path
from api.pages.rendering import PURPOSE_NAMES, Pages, no_op
from api.wire import SESSION_COOKIE

_BAD_TICKET: Final = no_op(
    "a ticket has 3 to 40 letters, digits and . _ / - and starts with a letter or a digit"
)
_NEXT_LENGTH: Final = 1000


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the form."""
    router = APIRouter(include_in_schema=False)
    reader = allowed(pages, Action.STATE_REASON)

    def show(request: Request, login: Login, wanted: str, fault: str = "") -> HTMLResponse:
        return pages.render(
            request,
            "reason.html",
            login=login,
            here="reason",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            purposes=PURPOSE_NAMES,
            next=local_path(wanted),
            fault=gettext_of(pages.language_of(request))(fault) if fault else "",
        )

    @router.get("/reason")
    def reason_page(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        next: Annotated[str, Query(max_length=_NEXT_LENGTH)] = "/",  # noqa: A002 - the name in the address
    ) -> HTMLResponse:
        return show(request, login, next)

    @router.post("/reason")
    def state(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(reader)],
        purpose: Annotated[Purpose, Form()],
        csrf: Annotated[str, Form(max_length=200)] = "",
        ticket: Annotated[str, Form(max_length=200)] = "",
        next: Annotated[str, Form(max_length=_NEXT_LENGTH)] = "/",  # noqa: A002 - as above
    ) -> Response:
        check_form(login, csrf)
        try:
            pages.accounts.state_reason(request.cookies.get(SESSION_COOKIE), purpose, ticket)
        except AccountError as error:
            return show(request, login, next, str(error))
        return RedirectResponse(local_path(next), status_code=HTTPStatus.SEE_OTHER)

    return router
