"""Logging in and out, passwords, accounts and edges."""

import hmac
import secrets
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import AccountError, Login
from api.authorization import Action, Role
from api.enrolment import list_edges, make_token, revoke_edge
from api.errors import EnrolmentError
from api.guards import client_address, open_to_all
from api.language import gettext_of
from api.pages.access import allowed, check_form
from api.pages.rendering import Pages, no_op
from api.passwords import PasswordQueue
from api.wire import SESSION_COOKIE

_FORM_COOKIE: Final = "hailong_form"
_WRONG: Final = no_op("Name or password is wrong, or you have to wait some minutes after failed attempts.")
_MESSAGES: Final = (
    no_op("a name has lower-case letters, digits and . _ @ - only"),
    no_op("this name is taken: choose another"),
    no_op("this role belongs to a machine: choose the role of a person"),
    no_op("there is no such open account: a closed one stays closed"),
    no_op("this account is closed already, or it is the last administrator"),
    no_op("the present password is wrong"),
    no_op("a password has at least 12 characters"),
    no_op("the new password must differ from the old one"),
)
"""What `api.accounts` says to people, here for the catalogue."""
ROLE_NAMES: Final = {
    Role.SUPERVISOR: no_op("supervisor"),
    Role.PRIVACY_OFFICER: no_op("privacy officer"),
    Role.OBSERVER: no_op("observer"),
    Role.DATA_ENTRY: no_op("data entry"),
    Role.ADMINISTRATOR: no_op("administrator"),
}
_log: Final = structlog.get_logger("api.pages")

Text = Annotated[str, Form(max_length=2000, pattern=r"^[^\x00]*$")]  # PostgreSQL keeps no NUL


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of logging in and of administration."""
    router = APIRouter(include_in_schema=False)
    _add_login(router, pages)
    _add_password(router, pages)
    _add_accounts(router, pages)
    _add_edges(router, pages)
    return router


def _add_login(router: APIRouter, pages: Pages) -> None:
    leaver = allowed(pages, Action.LOG_OUT)
    visitor = Depends(open_to_all(Action.LOG_IN))
    queue = PasswordQueue()

    @router.get("/login", dependencies=[visitor])
    def login_page(request: Request) -> Response:
        if pages.accounts.login_of(request.cookies.get(SESSION_COOKIE)) is not None:
            return _redirect("/")
        return _login_form(pages, request)

    @router.post("/login", dependencies=[visitor])
    async def log_in(request: Request, csrf: Text = "", name: Text = "", password: Text = "") -> Response:
        cookie = request.cookies.get(_FORM_COOKIE, "")
        expected = await run_in_threadpool(pages.accounts.unsign, csrf)
        if (
            not cookie
            or expected is None
            or not hmac.compare_digest(expected.encode(), f"form {cookie}".encode())
        ):
            fault = no_op("The form is too old or came from elsewhere: open the page again and repeat.")
            return _login_form(pages, request, fault, HTTPStatus.FORBIDDEN)
        address = client_address(request, pages.settings.server.trusted_proxies)
        session = await queue.run(pages.accounts.log_in, name.strip().lower(), password, address=address)
        if session is None:
            pages.metrics.auth_failures.labels("login").inc()
            _log.warning("login failed")
            return _login_form(pages, request, _WRONG, HTTPStatus.UNAUTHORIZED)
        await run_in_threadpool(pages.accounts.log_out, request.cookies.get(SESSION_COOKIE))
        answer = _redirect("/")
        _set_session(pages, answer, session)
        answer.delete_cookie(_FORM_COOKIE)
        return answer

    @router.post("/logout")
    def log_out(request: Request, login: Annotated[Login, Depends(leaver)], csrf: Text = "") -> Response:
        check_form(login, csrf)
        pages.accounts.log_out(request.cookies.get(SESSION_COOKIE))
        answer = _redirect("/login")
        answer.delete_cookie(SESSION_COOKIE)
        return answer


def _add_password(router: APIRouter, pages: Pages) -> None:
    owner = allowed(pages, Action.CHANGE_PASSWORD)
    queue = PasswordQueue()

    @router.get("/password")
    def password_page(request: Request, login: Annotated[Login, Depends(owner)]) -> HTMLResponse:
        return pages.render(request, "password.html", login=login, fault="")

    @router.post("/password")
    async def change(
        request: Request,
        login: Annotated[Login, Depends(owner)],
        csrf: Text = "",
        old: Text = "",
        new: Text = "",
    ) -> Response:
        check_form(login, csrf)
        try:
            session = await queue.run(pages.accounts.change_password, login.account.name, old, new)
        except AccountError as error:
            fault = gettext_of(pages.language_of(request))(str(error))
            return pages.render(
                request, "password.html", login=login, status=HTTPStatus.UNPROCESSABLE_ENTITY, fault=fault
            )
        answer = _redirect("/")
        _set_session(pages, answer, session)
        return answer


def _add_accounts(router: APIRouter, pages: Pages) -> None:
    administrator = allowed(pages, Action.MANAGE_ACCOUNTS)

    def show(
        request: Request, login: Login, *, fault: str = "", secret: str = "", secret_of: str = ""
    ) -> HTMLResponse:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
        return pages.render(
            request,
            "users.html",
            login=login,
            here="users",
            status=status,
            accounts=pages.accounts.list_accounts(),
            roles=ROLE_NAMES,
            fault=gettext_of(pages.language_of(request))(fault) if fault else "",
            secret=secret,
            secret_of=secret_of,
        )

    @router.get("/users")
    def accounts_page(request: Request, login: Annotated[Login, Depends(administrator)]) -> HTMLResponse:
        return show(request, login)

    @router.post("/users")
    def create(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        role: Annotated[Role, Form()],
        csrf: Text = "",
        name: Text = "",
        areas: Text = "",
        counters: Text = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            password = pages.accounts.create(
                name.strip().lower(),
                role,
                actor=login.account.name,
                areas=areas.split(),
                counters=counters.split(),
            )
        except AccountError as error:
            return show(request, login, fault=str(error))
        return show(request, login, secret=password, secret_of=name.strip().lower())

    @router.post("/users/act")
    def act(
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        act: Annotated[Literal["reset", "disable"], Form()],
        csrf: Text = "",
        name: Text = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            if act == "reset":
                password = pages.accounts.reset_password(name, actor=login.account.name)
                return show(request, login, secret=password, secret_of=name)
            pages.accounts.disable(name, actor=login.account.name)
        except AccountError as error:
            return show(request, login, fault=str(error))
        return show(request, login)


def _add_edges(router: APIRouter, pages: Pages) -> None:
    administrator = allowed(pages, Action.MANAGE_EDGES)

    def show(
        request: Request, login: Login, *, fault: str = "", secret: str = "", secret_of: str = ""
    ) -> HTMLResponse:
        return pages.render(
            request,
            "edges.html",
            login=login,
            here="edges",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            edges=list_edges(pages.database),
            fault=gettext_of(pages.language_of(request))(fault) if fault else "",
            secret=secret,
            secret_of=secret_of,
        )

    @router.get("/edges")
    def edges_page(request: Request, login: Annotated[Login, Depends(administrator)]) -> HTMLResponse:
        return show(request, login)

    @router.post("/edges")
    def token(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        csrf: Text = "",
        counters: Text = "",
        unit: Text = "",
        area: Text = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            made = make_token(
                pages.database,
                counters.split(),
                actor=login.account.name,
                hours=pages.settings.ingest.token_hours,
                unit=unit.strip(),
                area=area.strip(),
            )
        except EnrolmentError:
            fault = no_op("A counter code has lower-case letters, digits, '.', '_' and '-'.")
            return show(request, login, fault=fault)
        return show(request, login, secret=made, secret_of=" ".join(counters.split()))

    @router.post("/edges/revoke")
    def revoke(
        request: Request,
        login: Annotated[Login, Depends(administrator)],
        edge: Annotated[UUID, Form()],
        csrf: Text = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            revoke_edge(pages.database, edge, actor=login.account.name)
        except EnrolmentError:
            return show(request, login, fault=no_op("This edge is revoked already."))
        return show(request, login)


def _login_form(
    pages: Pages, request: Request, fault: str = "", status: HTTPStatus = HTTPStatus.OK
) -> HTMLResponse:
    cookie = secrets.token_urlsafe(24)
    answer = pages.render(
        request,
        "login.html",
        status=status,
        fault=gettext_of(pages.language_of(request))(fault) if fault else "",
        form_token=pages.accounts.sign(f"form {cookie}"),
    )
    answer.set_cookie(
        _FORM_COOKIE, cookie, httponly=True, samesite="lax", secure=pages.settings.server.cookies_are_secure
    )
    return answer


def _set_session(pages: Pages, answer: Response, session: str) -> None:
    answer.set_cookie(
        SESSION_COOKIE,
        session,
        httponly=True,
        samesite="lax",
        secure=pages.settings.server.cookies_are_secure,
    )


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=HTTPStatus.SEE_OTHER)
