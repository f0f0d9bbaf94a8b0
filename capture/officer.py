"""The officer's pages: the next citizen, the end of a service, and nothing that depends on a choice.

They stand on a port of their own behind a secret of their own. `hailong edge officer-link` prints the
link that opens them on the officer's tablet; a browser without it gets 403, whatever happens at the counter.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from typing import TYPE_CHECKING, Final

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from capture.errors import CaptureError
from capture.identity import write_private
from capture.local_pages import (
    FORM_LIMIT,
    LocalPages,
    OnlyOurPages,
    form_language,
    language_of,
    see,
    static_files,
)
from capture.loopback import LoopbackServer
from consent.errors import ConsentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from capture.desk import Desk

_log = structlog.get_logger(__name__)
SECRET_FILE: Final = "officer-token"  # noqa: S105 - the name of a file
COOKIE: Final = "hailong_officer"
_COOKIE_LIFE_S: Final = 180 * 24 * 3600
_SHORTEST_TOKEN: Final = 32
_STEP_S: Final = 0.25
"""An answer to a button comes after a multiple of this: longer than a write to the log takes."""
_OPEN_PATHS: Final = ("/enter", "/static/")


class OfficerSecret:
    """The secret of this edge's officer's tablet, in a file that only its owner can read.

    The file is read at each check, so that a renewed secret shuts out old links at once.

    Args:
        folder: Data folder of the edge; the secret is made there when missing.
        renew: Make a new secret: every tablet needs the new link from now on.

    Raises:
        CaptureError: The file is damaged or cannot be written.
    """

    def __init__(self, folder: Path, *, renew: bool = False) -> None:
        """Make the secret if there is none."""
        self._path = folder / SECRET_FILE
        if renew or not self._path.exists():
            self._make()
        self.token()

    def token(self) -> str:
        """Return the secret itself: the last part of the officer's link.

        Raises:
            CaptureError: The file is missing or damaged.
        """
        try:
            token = self._path.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            raise CaptureError(
                f"{self._path} cannot be read ({error}); 'hailong edge officer-link --renew' makes a new one"
            ) from error
        if len(token) < _SHORTEST_TOKEN:
            raise CaptureError(
                f"{self._path} is damaged; 'hailong edge officer-link --renew' makes a new one"
            )
        return token

    def link(self, url: str) -> str:
        """Return the link that opens the officer's pages of a server."""
        return f"{url}/enter?key={self.token()}"

    def cookie(self) -> str:
        """Return what the browser keeps: it does not tell the link."""
        return hmac.new(self.token().encode(), b"hailong officer cookie 1", hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        """Tell whether a link's secret is the present one."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token().encode())

    def admits(self, cookie: str) -> bool:
        """Tell whether a browser's cookie was given for the present secret."""
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self.cookie().encode())

    def _make(self) -> None:
        folder = self._path.parent
        try:
            write_private(self._path, secrets.token_urlsafe(32).encode())
            if os.geteuid() == 0:  # a command of root must not lock the program's own user out
                owner = folder.stat()
                os.chown(self._path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise CaptureError(
                f"{self._path} cannot be written ({error.strerror}); correct data_dir or its owner"
            ) from error


def build_officer_pages(desks: Mapping[str, Desk], secret: OfficerSecret) -> Starlette:
    """Build the officer's pages of these counters.

    Args:
        desks: The desks by the code of their counter.
        secret: What a browser must show.
    """
    pages = _OfficerPages(LocalPages(desks), secret)
    routes = [
        Route("/enter", pages.enter),
        Route("/officer", pages.counters),
        Route("/officer/{counter}", pages.officer),
        Route("/officer/{counter}/state", pages.state),
        Route("/officer/{counter}/next", pages.next_citizen, methods=["POST"]),
        Route("/officer/{counter}/finish", pages.finish, methods=["POST"]),
        static_files(),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(_OfficersOnly, pages=pages)
    app.add_middleware(OnlyOurPages)
    return app


class _OfficerPages:
    def __init__(self, pages: LocalPages, secret: OfficerSecret) -> None:
        self._pages = pages
        self.secret = secret

    def enter(self, request: Request) -> Response:
        if not self.secret.opens(request.query_params.get("key", "")):
            _log.warning("officer_link_refused")
            return self.locked(request)
        answer = RedirectResponse("/officer", 303)
        # No `Secure`: the page is plain HTTP on loopback, and some browsers drop such a cookie there.
        answer.set_cookie(
            COOKIE,
            self.secret.cookie(),
            max_age=_COOKIE_LIFE_S,
            path="/officer",
            httponly=True,
            samesite="strict",
        )
        return answer

    def locked(self, request: Request) -> Response:
        return self._pages.page("locked.html", language_of(request), status=403, counter="")

    def counters(self, request: Request) -> Response:
        language = language_of(request)
        if len(self._pages.desks) == 1:
            return see(f"/officer/{next(iter(self._pages.desks))}", language)
        return self._pages.page(
            "counters.html", language, counters=list(self._pages.desks), counter="", side="officer"
        )

    def officer(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        return self._pages.page(
            "officer.html",
            language_of(request),
            counter=desk.counter,
            service_open=desk.view().service_open,
        )

    def state(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        service = "open" if desk.view().service_open else "closed"
        return JSONResponse({"counter": desk.counter, "service": service})

    async def next_citizen(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
        try:
            await _in_even_time(desk.offer)
        except ConsentError as error:  # the service goes on without a question
            _log.error("kiosk_offer_failed", counter=desk.counter, error=str(error))
        return see(f"/officer/{desk.counter}", language)

    async def finish(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
        try:
            await _in_even_time(desk.finish)
        except ConsentError as error:
            _log.error("kiosk_finish_failed", counter=desk.counter, error=str(error))
        return see(f"/officer/{desk.counter}", language)


async def _in_even_time(work: Callable[[], object]) -> None:
    """Do it, and answer after a whole number of steps.

    The end of a service whose citizen refused writes to the log and that of one who agreed does not:
    without this, a clock beside the officer's browser would tell the two apart.
    """
    begun = time.monotonic()
    try:
        await run_in_threadpool(work)
    finally:
        await asyncio.sleep(_STEP_S - (time.monotonic() - begun) % _STEP_S)


class _OfficersOnly:
    """Refuses every path without the officer's cookie, but the link's own and the style sheet's."""

    def __init__(self, app: ASGIApp, pages: _OfficerPages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if self._pages.secret.admits(request.cookies.get(COOKIE, "")):
            await self._app(scope, receive, send)
        else:
            await self._pages.locked(request)(scope, receive, send)


class OfficerServer(LoopbackServer):
    """Serves the officer's pages in a thread of its own.

    Args:
        desks: The desks by the code of their counter.
        secret: What a browser must show.
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        NotLoopback: `host` is not this machine.
        PortTaken: Another program listens there.
    """

    def __init__(
        self, desks: Mapping[str, Desk], secret: OfficerSecret, *, host: str = "127.0.0.1", port: int = 8711
    ) -> None:
        """Take the port; pages are served from `start` on."""
        super().__init__(
            build_officer_pages(desks, secret),
            name="officer's page",
            key="officer_port under [kiosk]",
            host=host,
            port=port,
        )
        self._secret = secret

    @property
    def link(self) -> str:
        """The link that opens the pages on the officer's tablet; it holds the secret."""
        return self._secret.link(self.url)
