"""Source systems for administrators: who may bring ballots by program, a new token, revocation."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse

from api.accounts import Login
from api.authorization import Action
from api.errors import CaseRefused
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.pages.uploads import said
from api.survey.channels import CHANNEL_NAMES, IMPORTED, Channel
from api.survey.source_systems import add_source, list_sources, revoke_source

REFUSALS: Final = (
    no_op("A name of a system has lower-case letters, digits and . _ - only."),
    no_op("Choose one or more channels; the screen at the counter is none of them."),
    no_op("The organisation has no '{area}': use the code of an area or unit."),
    no_op("There is a system '{name}' already: revoke its token first, or choose another name."),
    no_op("There is no active system '{name}'."),
    no_op("The body is no JSON: it is not in UTF-8."),
    no_op("The body is no JSON: line {line}, character {column}."),
    no_op("The body is no JSON of ballots: it is nested too deeply."),
    no_op("A field of the document stands there twice."),
    no_op("The document is not of the form {form}."),
    no_op("Ballots of the screen at the counter are sent by its computer alone."),
    no_op("The document has no ballot."),
    no_op("This token is not for the channel '{channel}', but for {known}."),
)
"""What is said to administrators and to the systems, here for the catalogue."""


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of source systems."""
    router = APIRouter(include_in_schema=False)
    administrator = allowed(pages, Action.MANAGE_SOURCES)

    def show(
        request: Request, login: Login, *, fault: str = "", secret: str = "", secret_of: str = ""
    ) -> HTMLResponse:
        at = 1 if pages.language_of(request) == "en" else 0
        return pages.render(
            request,
            "sources.html",
            login=login,
            here="sources",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            sources=list_sources(pages.database),
            channels={item: CHANNEL_NAMES[item][at] for item in IMPORTED},
            fault=fault,
            secret=secret,
            secret_of=secret_of,
        )

    @router.get("/sources")
    def sources_page(request: Request, login: Annotated[Login, Depends(administrator)]) -> HTMLResponse:
        return show(request, login)

    @router.post("/sources")
    def add(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        csrf: Text = "",
        name: Text = "",
        area: Text = "",
        channels: Annotated[list[Channel] | None, Form()] = None,
    ) -> HTMLResponse:
        check_form(login, csrf)
        wanted = name.strip().lower()
        try:
            token = add_source(
                pages.database,
                wanted,
                channels or (),
                actor=login.account.name,
                area=area.strip().lower(),
            )
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        return show(request, login, secret=token, secret_of=wanted)

    @router.post("/sources/revoke")
    def revoke(
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        csrf: Text = "",
        name: Text = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            revoke_source(pages.database, name, actor=login.account.name)
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        return show(request, login)

    return router
