"""The citizen's screen at a counter.

Served on loopback only, works without a network and without a script. The officer's pages are in
`capture.officer`, on a port of their own.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from capture.desk import Phase
from capture.local_pages import (
    FORM_LIMIT,
    LocalPages,
    OnlyOurPages,
    form_language,
    language_of,
    see,
    static_files,
)
from capture.loopback import LoopbackServer, NotLoopback
from consent.errors import ConsentError, DecisionIncomplete, TransitionRefused
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from capture.desk import Desk, DeskView
    from consent.purpose import Purpose

_log = structlog.get_logger(__name__)
_TICK_S: Final = 0.5
_REFRESH_S: Final = 5
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
    pages = _Pages(LocalPages(desks))

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
        static_files(),
    ]
    app = Starlette(routes=routes, lifespan=ticking)
    app.add_middleware(OnlyOurPages)
    return app


class _Pages:
    def __init__(self, pages: LocalPages) -> None:
        self._pages = pages

    def counters(self, request: Request) -> Response:
        if len(self._pages.desks) == 1:
            return RedirectResponse(f"/kiosk/{next(iter(self._pages.desks))}", 303)
        return self._pages.page(
            "counters.html", language_of(request), counters=list(self._pages.desks), counter="", side="kiosk"
        )

    def citizen(self, request: Request) -> Response:
        return self._citizen(self._pages.desk(request), language_of(request))

    def screen(self, request: Request) -> Response:
        return JSONResponse({"screen": _screen(self._pages.desk(request).view())})

    async def decision(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
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
        return see(f"/kiosk/{desk.counter}", language)

    async def withdrawal(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
            record_id = _record(form)
        try:
            await run_in_threadpool(desk.withdraw, record_id)
        except ConsentError as error:
            _log.info("kiosk_withdrawal_refused", counter=desk.counter, reason=str(error))
        return see(f"/kiosk/{desk.counter}", language)

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
        words = self._pages.words[language]
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
        return self._pages.page(
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


def _screen(view: DeskView) -> str:
    """Name what the citizen's screen shows, so that a page can see that it is out of date."""
    return f"{view.phase} {view.record_id or '-'} {view.state or '-'}"


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
