"""The privacy officer's first page: what happened to the questions, what waits, how the log stands."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api.accounts import Login
from api.authorization import Action
from api.log_keeper import LogKeeper
from api.pages.access import allowed
from api.pages.rendering import Pages


def build_router(pages: Pages, keeper: LogKeeper) -> APIRouter:
    """Return the routes of the overview, the counters and the notices."""
    router = APIRouter(include_in_schema=False)
    _add_overview(router, pages, keeper)
    return router


def _add_overview(router: APIRouter, pages: Pages, keeper: LogKeeper) -> None:
    reader = allowed(pages, Action.VIEW_CONSENT_RATES)

    @router.get("/privacy")
    def overview(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        return pages.render(request, "privacy.html", login=login, here="privacy", log_fault=keeper.fault)
