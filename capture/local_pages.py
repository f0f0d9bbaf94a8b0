"""What the citizen's and the officer's pages share: words, templates, and the guard around them.

The two are served on ports of their own, so that a script on one can read nothing of the other:
another port is another origin, and no answer allows one.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jinja2
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from capture.loopback import is_loopback
from consent.notice import DEFAULT_LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from capture.desk import Desk

LANGUAGES: Final = ("vi", "en")
FORM_LIMIT: Final = 16
"""Most fields of a form that are read."""
_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class LocalPages:
    """The words and templates of the counter's pages, and its desks."""

    def __init__(self, desks: Mapping[str, Desk]) -> None:
        """Read words and templates once."""
        self.desks = desks
        self.words = {language: _words(language) for language in LANGUAGES}
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("capture", "kiosk_pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )

    def page(self, template: str, language: str, *, status: int = 200, **values: object) -> Response:
        """Render one page."""
        other = next(item for item in LANGUAGES if item != language)
        defaults = {"words": self.words[language], "language": language, "other": other, "refresh_s": 0}
        text = self._templates.get_template(template).render(defaults | values)
        return HTMLResponse(text, status)

    def desk(self, request: Request) -> Desk:
        """Return the desk that the address names.

        Raises:
            HTTPException: There is no such counter here.
        """
        desk = self.desks.get(request.path_params["counter"])
        if desk is None:
            raise HTTPException(404, f"there is no such counter here; there is: {', '.join(self.desks)}")
        return desk


class OnlyOurPages:
    """Answers nobody but pages of this server: checks Host and Origin, sets the headers.

    The Host check stops names that were re-bound to this machine, the Origin check stops
    forms of other sites and of the other port.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = _refusal(scope["method"], headers)
        answer: ASGIApp = self._app if refusal is None else PlainTextResponse(refusal, 403)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await answer(scope, receive, send_guarded)


def static_files() -> Mount:
    """Return the route of style sheet, script and icon."""
    return Mount("/static", StaticFiles(packages=[("capture", "kiosk_pages/static")]))


def language_of(request: Request) -> str:
    """Return the language that the address asks for."""
    return _known(request.query_params.get("lang"))


def form_language(form: FormData) -> str:
    """Return the language that a form came from."""
    return _known(form.get("lang"))


def see(path: str, language: str) -> Response:
    """Send the browser to a page, in the language it had."""
    suffix = "" if language == DEFAULT_LANGUAGE else f"?lang={language}"
    return RedirectResponse(path + suffix, 303)


def _refusal(method: str, headers: Mapping[bytes, str]) -> str | None:
    host = headers.get(b"host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:  # half an address in brackets
        name = None
    if not is_loopback(name or ""):
        return "This page is served to this machine only: open it as http://127.0.0.1."
    if method in {"GET", "HEAD"}:
        return None
    if headers.get(b"origin") != f"http://{host}":
        return "This form was not sent from a page of this machine."
    return None


def _words(language: str) -> Mapping[str, str]:
    text = resources.files("capture").joinpath(f"kiosk_pages/{language}.toml").read_text("utf-8")
    words: dict[str, str] = tomllib.loads(text)
    return words


def _known(language: object) -> str:
    return language if isinstance(language, str) and language in LANGUAGES else DEFAULT_LANGUAGE
