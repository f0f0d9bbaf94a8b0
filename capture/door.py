"""Who may open the local pages: a secret in a file, the link that holds it, the cookie that it gives.

Every person on a machine can reach its loopback ports. What they may read there hangs on a secret of the
page itself, so that the officer's browser shows nothing of the citizen's screen, nor the other way round.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, ClassVar, Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from capture.errors import CaptureError
from capture.identity import write_private
from capture.local_pages import language_of

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from capture.local_pages import LocalPages

_log = structlog.get_logger(__name__)
_COOKIE_LIFE_S: Final = 180 * 24 * 3600
_SHORTEST_TOKEN: Final = 32
_OPEN_PATHS: Final = ("/enter", "/static/")


class LocalSecret:
    """A secret of this edge in a file that only its owner can read.

    The file is read at each check, so that a renewed secret shuts out the old one at once.

    Args:
        folder: Data folder of the edge; the secret is made there when missing.
        renew: Make a new secret: whoever holds the old one needs the new one from now on.

    Raises:
        CaptureError: The file is damaged or cannot be written.
    """

    file: ClassVar[str]
    """Name of the file in the data folder."""
    command: ClassVar[str]
    """Command that prints it, and renews it with `--renew`."""

    def __init__(self, folder: Path, *, renew: bool = False) -> None:
        """Make the secret if there is none."""
        self._path = folder / self.file
        if renew or not self._path.exists():
            self._make()
        self.token()

    def token(self) -> str:
        """Return the secret itself.

        Raises:
            CaptureError: The file is missing or damaged.
        """
        try:
            token = self._path.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            raise CaptureError(
                f"{self._path} cannot be read ({error}); '{self.command} --renew' makes a new one"
            ) from error
        if len(token) < _SHORTEST_TOKEN:
            raise CaptureError(f"{self._path} is damaged; '{self.command} --renew' makes a new one")
        return token

    def opens(self, token: str) -> bool:
        """Tell whether this is the present secret; takes the same time for every wrong one."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token().encode())

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


class PageSecret(LocalSecret):
    """The secret of one side's pages: their link holds it, a browser keeps a cookie made from it."""

    side: ClassVar[str]
    """`officer` or `kiosk`: the first part of the addresses that it opens."""

    @property
    def cookie_name(self) -> str:
        """Name of the cookie; browsers share cookies between the ports of one machine."""
        return f"hailong_{self.side}"

    def link(self, url: str) -> str:
        """Return the link that opens the pages of a server."""
        return f"{url}/enter?key={self.token()}"

    def cookie(self) -> str:
        """Return what the browser keeps: it does not tell the link."""
        label = f"hailong {self.side} cookie 1".encode()
        return hmac.new(self.token().encode(), label, hashlib.sha256).hexdigest()

    def admits(self, cookie: str) -> bool:
        """Tell whether a browser's cookie was given for the present secret."""
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self.cookie().encode())


class Door:
    """Lets a browser in that comes with the link, and tells every other what to do."""

    def __init__(self, pages: LocalPages, secret: PageSecret) -> None:
        """Guard these pages with this secret."""
        self._pages = pages
        self.secret = secret

    def enter(self, request: Request) -> Response:
        """Answer the link: give the cookie and show the side's first page, or the named counter's."""
        if not self.secret.opens(request.query_params.get("key", "")):
            _log.warning("link_refused", side=self.secret.side)
            return self.locked(request)
        home = f"/{self.secret.side}"
        counter = request.query_params.get("counter", "")
        answer = RedirectResponse(f"{home}/{counter}" if counter in self._pages.desks else home, 303)
        # No `Secure`: the page is plain HTTP on loopback, and some browsers drop such a cookie there.
        answer.set_cookie(
            self.secret.cookie_name,
            self.secret.cookie(),
            max_age=_COOKIE_LIFE_S,
            path=home,
            httponly=True,
            samesite="strict",
        )
        return answer

    def locked(self, request: Request) -> Response:
        """Return the page for whoever has no cookie: the same bytes whatever happens at the counter."""
        language = language_of(request)
        text = self._pages.words[language][f"{self.secret.side}_locked_text"]
        return self._pages.page("locked.html", language, status=403, counter="", text=text)


class OnlyThroughTheDoor:
    """Refuses every path without the side's cookie, but the link's own and the style sheet's."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        """Stand in front of an application."""
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith(_OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if self._door.secret.admits(request.cookies.get(self._door.secret.cookie_name, "")):
            await self._app(scope, receive, send)
        else:
            await self._door.locked(request)(scope, receive, send)
