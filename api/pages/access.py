"""Who may open a page, and forms that only our own pages can send."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.errors import ApiError
from api.pages.rendering import Pages, no_op
from api.wire import SESSION_COOKIE


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


def logged_in(
    pages: Pages, *, administrator: bool = False, with_old_password: bool = False
) -> Callable[[Request], Login]:
    """Return the dependency that lets a logged-in person pass."""

    def require(request: Request) -> Login:
        login = pages.accounts.login_of(request.cookies.get(SESSION_COOKIE))
        if login is None:
            raise GoTo("/login")
        if login.account.must_change and not with_old_password:
            raise GoTo("/password")
        if administrator and not login.account.is_administrator:
            raise PageRefused(
                HTTPStatus.FORBIDDEN,
                no_op("Not allowed"),
                no_op("Only administrators may open this page."),
                login,
            )
        return login

    return require


def check_form(login: Login, given: str) -> None:
    """Refuse a form that did not come from a page of this session.

    Raises:
        PageRefused: The token is wrong.
    """
    if not hmac.compare_digest(login.csrf.encode(), given.encode("utf-8", "replace")):
        raise PageRefused(
            HTTPStatus.FORBIDDEN,
            no_op("Not allowed"),
            no_op("The form is too old or came from elsewhere: open the page again and repeat."),
            login,
        )


def install(app: FastAPI, pages: Pages) -> None:
    """Answer refusals of pages with pages."""

    @app.exception_handler(PageRefused)
    def refused(request: Request, error: PageRefused) -> HTMLResponse:
        return pages.message(request, error.status, error.heading, error.detail, error.login)

    @app.exception_handler(GoTo)
    def go_to(_: Request, error: GoTo) -> Response:
        return RedirectResponse(error.path, status_code=HTTPStatus.SEE_OTHER)
