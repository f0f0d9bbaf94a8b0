"""Who may open a page, for which reason, and forms that only our own pages can send."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.authorization import (
    ONE_TIME_PASSWORD,
    REASON_NEEDED,
    Action,
    Resource,
    Role,
    person,
    policies,
)
from api.errors import ApiError
from api.form_tokens import fits
from api.guards import Guard
from api.pages.rendering import Pages, no_op
from api.wire import SESSION_COOKIE

_LOCAL_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1000}")
"""Printable ASCII without a backslash, and no second slash: browsers read both as another host."""
NOT_SEEN: Final = no_op("This does not exist, or your account may not see it.")
_ANYBODY: Final = person("anybody", Role.SUPERVISOR)


class PageRefused(ApiError):  # noqa: N818 - named for what happened
    """A page that is answered with a message for people."""

    def __init__(self, status: HTTPStatus, heading: str, detail: str, login: Login | None = None) -> None:
        """Keep what the reader will be told."""
        super().__init__(detail)
        self.status = status
        self.heading = heading
        self.detail = detail
        self.login = login


class GoTo(ApiError):  # noqa: N818 - named for what happened
    """The reader must go to another page first."""

    def __init__(self, path: str) -> None:
        """Keep what the reader will be told."""
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class Allowed(Guard):
    """Lets logged-in people pass whom the policies permit the action."""

    pages: Pages

    def __call__(self, request: Request) -> Login:
        """Return the login, or refuse."""
        login = self.pages.accounts.login_of(request.cookies.get(SESSION_COOKIE))
        if login is None:
            raise GoTo("/login")
        decision = login.decide(self.action)
        if decision.permitted:
            return login
        if ONE_TIME_PASSWORD in decision.policies:
            raise GoTo("/password")
        if login.may(self.action):  # it wants a reason, and nothing else
            raise GoTo(f"/reason?next={quote(_next(request), safe='')}")
        raise PageRefused(
            HTTPStatus.FORBIDDEN, no_op("Not allowed"), no_op("Your role may not open this page."), login
        )


def allowed(pages: Pages, action: Action) -> Callable[[Request], Login]:
    """Return the dependency that lets logged-in people pass whom the policies permit `action`."""
    return Allowed(action, pages)


def personal(pages: Pages, action: Action) -> Callable[[Request], Login]:
    """Return the dependency of a page that reads personal data: it needs a reason as well.

    The login it gives has one. The handler calls `api.access_log.record_read` exactly once, on the
    connection that reads.

    Raises:
        ValueError: The schema does not list the action among the personal ones.
    """
    if REASON_NEEDED not in policies().decide(_ANYBODY, action).policies:
        raise ValueError(
            f"'{action.value}' is not in the group 'personal' of access.cedarschema: add it there"
        )
    return Allowed(action, pages)


def require(login: Login, action: Action, resource: Resource) -> None:
    """Ask the policies about one thing, where the page as such is permitted.

    Raises:
        PageRefused: Not permitted; the answer does not tell whether the thing exists.
    """
    if not login.decide(action, resource).permitted:
        raise PageRefused(
            HTTPStatus.NOT_FOUND,
            no_op("Not found"),
            NOT_SEEN,
            login,
        )


def check_form(login: Login, given: str) -> None:
    """Refuse a form that did not come from a page of this session.

    Raises:
        PageRefused: The token is wrong.
    """
    if not fits(login.csrf, given):
        raise PageRefused(
            HTTPStatus.FORBIDDEN,
            no_op("Not allowed"),
            no_op("The form is too old or came from elsewhere: open the page again and repeat."),
            login,
        )


def local_path(wanted: str) -> str:
    """Return a path of ours as it is, and the first page for everything else."""
    return wanted if _LOCAL_PATH.fullmatch(wanted) else "/"


def install(app: FastAPI, pages: Pages) -> None:
    """Answer refusals of pages with pages."""

    @app.exception_handler(PageRefused)
    def refused(request: Request, error: PageRefused) -> HTMLResponse:
        return pages.message(request, error.status, error.heading, error.detail, error.login)

    @app.exception_handler(GoTo)
    def go_to(_: Request, error: GoTo) -> Response:
        return RedirectResponse(error.path, status_code=HTTPStatus.SEE_OTHER)


def _next(request: Request) -> str:
    """Return where to go when a reason was stated: the page that was asked for, if it was a page."""
    if request.method not in {"GET", "HEAD"}:
        return "/"
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")
