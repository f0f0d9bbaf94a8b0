"""The pages of the counter: the citizen's screen and the officer's button.

Served on loopback only, works without a network and without a script, and keeps the
officer's page the same bytes whatever the citizen chose.
"""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

import jinja2
import structlog
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from capture.desk import Phase
from capture.loopback import LoopbackServer, NotLoopback, is_loopback
from consent.errors import ConsentError, DecisionIncomplete, TransitionRefused
from consent.notice import DEFAULT_LANGUAGE
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from capture.desk import Desk, DeskView
    from consent.purpose import Purpose

_log = structlog.get_logger(__name__)
LANGUAGES: Final = ("vi", "en")
_TICK_S: Final = 0.5
_REFRESH_S: Final = 5
_FORM_LIMIT: Final = 16
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
_QUIET: Final = {
    Phase.IDLE: ("idle_title", "idle_text"),
    Phase.SERVING: ("serving_title", "serving_text"),
    Phase.THANKS: ("thanks_title", "thanks_text"),
}


KioskNotLocal = NotLoopback


def build_kiosk(desks: Mapping[str, Desk]) -> Starlette:
    """Build the pages of these counters.

    Args:
        desks: The desks by the code of their counter.
    """
    pages = _Pages(desks)

    @asynccontextmanager
    async def ticking(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(_tick(desks))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    routes = [
        Route("/", pages.counters),
        Route("/kiosk/{counter}", pages.citizen),
        Route("/kiosk/{counter}/screen", pages.screen),
        Route("/kiosk/{counter}/decision", pages.decision, methods=["POST"]),
        Route("/kiosk/{counter}/withdrawal", pages.withdrawal, methods=["POST"]),
        Route("/officer/{counter}", pages.officer),
        Route("/officer/{counter}/state", pages.officer_state),
        Route("/officer/{counter}/next", pages.next_citizen, methods=["POST"]),
        Route("/officer/{counter}/finish", pages.finish, methods=["POST"]),
        Mount("/static", StaticFiles(packages=[("capture", "kiosk_pages/static")])),
    ]
    app = Starlette(routes=routes, lifespan=ticking)
    app.add_middleware(_OnlyOurPages)
    return app


class _Pages:
    def __init__(self, desks: Mapping[str, Desk]) -> None:
        self._desks = desks
        self._words = {language: _words(language) for language in LANGUAGES}
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("capture", "kiosk_pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )

    def counters(self, request: Request) -> Response:
        if len(self._desks) == 1:
            return RedirectResponse(f"/kiosk/{next(iter(self._desks))}", 303)
        return self._page("counters.html", _language(request), counters=list(self._desks), counter="")

    def citizen(self, request: Request) -> Response:
        return self._citizen(self._desk(request), _language(request))

    def screen(self, request: Request) -> Response:
        return JSONResponse({"screen": _screen(self._desk(request).view())})

    async def decision(self, request: Request) -> Response:
        desk = self._desk(request)
        async with request.form(max_files=0, max_fields=_FORM_LIMIT) as form:
            language = _form_language(form)
            choices = _choices(form, desk.purposes)
            record_id = _record(form)
        if choices is None:
            return await run_in_threadpool(self._citizen, desk, language, incomplete=True)
        try:
            await run_in_threadpool(partial(desk.decide, record_id, choices, language=language))
        except (
            TransitionRefused,
            DecisionIncomplete,
        ) as error:  # a second tap, a page of before: show what is
            _log.info("kiosk_decision_refused", counter=desk.counter, reason=str(error))
        except ConsentError as error:
            _log.error("kiosk_decision_failed", counter=desk.counter, error=str(error))
        return _see(f"/kiosk/{desk.counter}", language)

    async def withdrawal(self, request: Request) -> Response:
        desk = self._desk(request)
        async with request.form(max_files=0, max_fields=_FORM_LIMIT) as form:
            language = _form_language(form)
            record_id = _record(form)
        try:
            await run_in_threadpool(desk.withdraw, record_id)
        except ConsentError as error:
            _log.info("kiosk_withdrawal_refused", counter=desk.counter, reason=str(error))
        return _see(f"/kiosk/{desk.counter}", language)

    def officer(self, request: Request) -> Response:
        desk = self._desk(request)
        return self._page(
            "officer.html",
            _language(request),
            counter=desk.counter,
            service_open=desk.view().service_open,
        )

    def officer_state(self, request: Request) -> Response:
        desk = self._desk(request)
        service = "open" if desk.view().service_open else "closed"
        return JSONResponse({"counter": desk.counter, "service": service})

    async def next_citizen(self, request: Request) -> Response:
        desk = self._desk(request)
        async with request.form(max_files=0, max_fields=_FORM_LIMIT) as form:
            language = _form_language(form)
        try:
            await run_in_threadpool(desk.offer)
        except ConsentError as error:  # the service goes on without a question
            _log.error("kiosk_offer_failed", counter=desk.counter, error=str(error))
        return _see(f"/officer/{desk.counter}", language)

    async def finish(self, request: Request) -> Response:
        desk = self._desk(request)
        async with request.form(max_files=0, max_fields=_FORM_LIMIT) as form:
            language = _form_language(form)
        try:
            await run_in_threadpool(desk.finish)
        except ConsentError as error:
            _log.error("kiosk_finish_failed", counter=desk.counter, error=str(error))
        return _see(f"/officer/{desk.counter}", language)

    def _citizen(self, desk: Desk, language: str, *, incomplete: bool = False) -> Response:
        view = desk.view()
        if view.phase is Phase.ASKING and view.record_id is not None:
            try:
                return self._asking(desk, view, language, incomplete=incomplete)
            except ConsentError as error:  # it timed out just now, or cannot be logged: nothing is asked
                _log.warning("kiosk_question_not_shown", counter=desk.counter, error=str(error))
                view = desk.view()
        if view.phase is Phase.CAPTURING:
            return self._screen_page("capturing.html", desk, view, language)
        title, text = _QUIET.get(view.phase, _QUIET[Phase.SERVING])
        if view.phase is Phase.SERVING and view.state is State.WITHDRAWN:
            title, text = "withdrawn_title", "withdrawn_text"
        words = self._words[language]
        return self._screen_page("message.html", desk, view, language, title=words[title], text=words[text])

    def _asking(self, desk: Desk, view: DeskView, language: str, *, incomplete: bool) -> Response:
        assert view.record_id is not None  # noqa: S101 - narrows for mypy: the caller looked
        notice = desk.show(view.record_id, language)
        # The notice renders itself, escaped: these are the very bytes whose hash is in the record.
        return self._screen_page(
            "asking.html",
            desk,
            desk.view(),
            language,
            notice=notice,
            opening=Markup(notice.opening()),  # noqa: S704 - escaped by the notice itself
            choices=[(item, Markup(notice.choice(item))) for item in desk.purposes],  # noqa: S704 - as above
            incomplete=incomplete,
            status=422 if incomplete else 200,
        )

    def _screen_page(
        self, template: str, desk: Desk, view: DeskView, language: str, *, status: int = 200, **values: object
    ) -> Response:
        refresh_s = _REFRESH_S if view.remaining_s is None else int(view.remaining_s) + 2
        home = f"/kiosk/{desk.counter}"
        leaving = view.phase in {Phase.IDLE, Phase.THANKS}
        return self._page(
            template,
            language,
            status=status,
            counter=desk.counter,
            view=view,
            screen=_screen(view),
            refresh_s=refresh_s,
            refresh_url=home if leaving else f"{home}?lang={language}",
            **values,
        )

    def _page(self, template: str, language: str, *, status: int = 200, **values: object) -> Response:
        other = next(item for item in LANGUAGES if item != language)
        defaults = {"words": self._words[language], "language": language, "other": other, "refresh_s": 0}
        text = self._templates.get_template(template).render(defaults | values)
        return HTMLResponse(text, status)

    def _desk(self, request: Request) -> Desk:
        desk = self._desks.get(request.path_params["counter"])
        if desk is None:
            raise HTTPException(404, f"there is no such counter here; there is: {', '.join(self._desks)}")
        return desk


class _OnlyOurPages:
    """Answers nobody but pages of this server: checks Host and Origin, sets the headers.

    The Host check stops names that were re-bound to this machine, the Origin check stops
    forms of other sites.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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


class KioskServer(LoopbackServer):
    """Serves the pages in a thread of its own.

    Args:
        desks: The desks by the code of their counter.
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        KioskNotLocal: `host` is not this machine.
        PortTaken: Another program listens there.
    """

    def __init__(self, desks: Mapping[str, Desk], *, host: str = "127.0.0.1", port: int = 8710) -> None:
        """Take the port; pages are served from `start` on."""
        super().__init__(
            build_kiosk(desks), name="kiosk page", key="port under [kiosk]", host=host, port=port
        )


async def _tick(desks: Mapping[str, Desk]) -> None:
    while True:
        for desk in desks.values():
            try:
                await run_in_threadpool(desk.tick)
            except ConsentError as error:  # the next tick tries again
                _log.error("kiosk_tick_failed", counter=desk.counter, error=str(error))
        await asyncio.sleep(_TICK_S)


def _words(language: str) -> Mapping[str, str]:
    text = resources.files("capture").joinpath(f"kiosk_pages/{language}.toml").read_text("utf-8")
    words: dict[str, str] = tomllib.loads(text)
    return words


def _screen(view: DeskView) -> str:
    """Name what the citizen's screen shows, so that a page can see that it is out of date."""
    return f"{view.phase} {view.record_id or '-'} {view.state or '-'}"


def _language(request: Request) -> str:
    return _known(request.query_params.get("lang"))


def _form_language(form: FormData) -> str:
    return _known(form.get("lang"))


def _known(language: object) -> str:
    return language if isinstance(language, str) and language in LANGUAGES else DEFAULT_LANGUAGE


def _record(form: FormData) -> UUID:
    try:
        return UUID(str(form.get("record")))
    except ValueError:
        raise HTTPException(400, "the form names no record: reload the page") from None


def _choices(form: FormData, purposes: tuple[Purpose, ...]) -> dict[Purpose, bool] | None:
    """Return one answer a purpose; None unless each was answered with exactly yes or no."""
    answers = {purpose: form.getlist(purpose.value) for purpose in purposes}
    if any(found not in (["yes"], ["no"]) for found in answers.values()):
        return None
    return {purpose: found == ["yes"] for purpose, found in answers.items()}


def _see(path: str, language: str) -> Response:
    suffix = "" if language == DEFAULT_LANGUAGE else f"?lang={language}"
    return RedirectResponse(path + suffix, 303)
