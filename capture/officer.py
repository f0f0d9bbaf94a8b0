"""The officer's pages: the next citizen, what it is about, a child, the end; nothing of a choice.

They stand on a port of their own behind a secret of their own. `hailong edge officer-link` prints the
link that opens them on the officer's tablet; a browser without it gets 403, whatever happens at the counter.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from capture.door import Door, OnlyThroughTheDoor, PageSecret
from capture.errors import ProcedureUnknown
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

    from starlette.requests import Request
    from starlette.responses import Response

    from capture.desk import Desk

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
SECRET_FILE: Final = "officer-token"  # noqa: S105 - the name of a file
_STEP_S: Final = 0.25
"""An answer to a button comes after a multiple of this: longer than a write to the log takes."""


class OfficerSecret(PageSecret):
    """The secret of this edge's officer's tablet."""

    file = SECRET_FILE
    command = "hailong edge officer-link"
    side = "officer"


def build_officer_pages(desks: Mapping[str, Desk], secret: OfficerSecret) -> Starlette:
    """Build the officer's pages of these counters.

    Args:
        desks: The desks by the code of their counter.
        secret: What a browser must show.
    """
    shared = LocalPages(desks)
    pages, door = _OfficerPages(shared), Door(shared, secret)
    routes = [
        Route("/enter", door.enter),
        Route("/officer", pages.counters),
        Route("/officer/{counter}", pages.officer),
        Route("/officer/{counter}/state", pages.state),
        Route("/officer/{counter}/next", pages.next_citizen, methods=["POST"]),
        Route("/officer/{counter}/child", pages.child, methods=["POST"]),
        Route("/officer/{counter}/procedure", pages.procedure, methods=["POST"]),
        Route("/officer/{counter}/finish", pages.finish, methods=["POST"]),
        static_files(),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(OnlyThroughTheDoor, door=door)
    app.add_middleware(OnlyOurPages)
    return app


class _OfficerPages:
    def __init__(self, pages: LocalPages) -> None:
        self._pages = pages
        self._writing: set[asyncio.Future[None]] = set()

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
            view=desk.officer_view(),
        )

    def state(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        service = "open" if desk.officer_view().service_open else "closed"
        return JSONResponse({"counter": desk.counter, "service": service})

    async def next_citizen(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language, with_child = form_language(form), form.get("child") == "yes"
        try:
            await _in_even_time(partial(desk.offer, with_child=with_child))
        except ConsentError as error:  # the service goes on without a question
            _log.error("kiosk_offer_failed", counter=desk.counter, error=str(error))
        return see(f"/officer/{desk.counter}", language)

    async def child(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
        record_id = await _in_even_time(desk.stop_for_child)
        if record_id is not None:
            # The answer does not wait for the log: with a citizen who refused there is nothing to write,
            # and a log that answers late would tell.
            writing = asyncio.ensure_future(run_in_threadpool(desk.log_child, record_id))
            self._writing.add(writing)
            writing.add_done_callback(partial(self._written, desk.counter))
        return see(f"/officer/{desk.counter}", language)

    async def procedure(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language, code = form_language(form), form.get("procedure")
        try:
            await _in_even_time(partial(desk.name_procedure, str(code) if code else None))
        except ProcedureUnknown as error:  # a page of before the configuration was changed
            raise HTTPException(422, str(error)) from error
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

    def _written(self, counter: str, done: asyncio.Future[None]) -> None:
        self._writing.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            _log.error("kiosk_child_not_noted", counter=counter, error=str(error))


async def _in_even_time(work: Callable[[], _T]) -> _T:
    """Do it, and answer after a whole number of steps.

    The end of a service whose citizen refused writes to the log and that of one who agreed does not:
    without this, a clock beside the officer's browser would tell the two apart.
    """
    begun = time.monotonic()
    try:
        return await run_in_threadpool(work)
    finally:
        await asyncio.sleep(_STEP_S - (time.monotonic() - begun) % _STEP_S)


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
