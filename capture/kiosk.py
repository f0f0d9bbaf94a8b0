"""The citizen's screen at a counter.

Served on loopback only, works without a network and without a script. A browser needs the link that
`hailong edge kiosk-link` prints: without it nobody at this machine can see on this port what was chosen.
The officer's pages are in `capture.officer`, on a port of their own.
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
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from capture.code_withdrawal import CodeWithdrawals, Outcome
from capture.desk_view import Phase
from capture.door import Door, OnlyThroughTheDoor, PageSecret
from capture.errors import CaptureError, RatingClosed
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
from capture.slip import LONGEST_SCAN, qr_svg, root_in_short
from consent.errors import ConsentError, DecisionIncomplete, TransitionRefused
from consent.purpose import Purpose
from consent.speech import spoken
from consent.state import State
from consent.stopping import StopMethod
from inference.signal import Criterion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from capture.code_withdrawal import CodeAnswer
    from capture.desk import Desk
    from capture.desk_view import DeskView, Slip

_log = structlog.get_logger(__name__)
SECRET_FILE: Final = "kiosk-token"  # noqa: S105 - the name of a file
_TICK_S: Final = 0.5
_REFRESH_S: Final = 5
_QUIET: Final = {
    Phase.IDLE: ("idle_title", "idle_text"),
    Phase.SERVING: ("serving_title", "serving_text"),
    Phase.THANKS: ("thanks_title", "thanks_text"),
}
_STOPPED: Final[Mapping[tuple[State | None, str | None], tuple[str, str]]] = {
    (State.REVOKED, StopMethod.SECOND_FACE): ("stopped_title", "stopped_second_face"),
    (State.REVOKED, StopMethod.ACCOMPANIED_CHILD): ("stopped_title", "stopped_child"),
    (State.DEFERRED, StopMethod.ACCOMPANIED_CHILD): ("serving_title", "unasked_child"),
}
"""What the screen says while the service goes on without capture, where there is a reason to tell."""

_AFTER: Final = frozenset({Phase.IDLE, Phase.RATING, Phase.RECEIPT, Phase.THANKS})
"""Phases in which nobody is served: the consent's state may change behind them, the page does not."""
_CODE_PAGE_S: Final = 90
"""How long a page about a code stays when nobody touches it."""

KioskNotLocal = NotLoopback


class KioskSecret(PageSecret):
    """The secret of this edge's citizens' screens."""

    file = SECRET_FILE
    command = "hailong edge kiosk-link"
    side = "kiosk"


def build_kiosk(
    desks: Mapping[str, Desk], secret: KioskSecret, codes: CodeWithdrawals | None = None
) -> Starlette:
    """Build the pages of these counters.

    Args:
        desks: The desks by the code of their counter.
        secret: What a browser must show.
        codes: Takes the codes of slips; without it there is no page for them.
    """
    shared = LocalPages(desks)
    pages, door = _Pages(shared, codes), Door(shared, secret)

    @asynccontextmanager
    async def ticking(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(_tick(desks))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    routes = [
        Route("/enter", door.enter),
        Route("/kiosk", pages.counters),
        Route("/kiosk/{counter}", pages.citizen),
        Route("/kiosk/{counter}/screen", pages.screen),
        Route("/kiosk/{counter}/notice.wav", pages.sound),
        Route("/kiosk/{counter}/decision", pages.decision, methods=["POST"]),
        Route("/kiosk/{counter}/withdrawal", pages.withdrawal, methods=["POST"]),
        Route("/kiosk/{counter}/rating", pages.rating, methods=["POST"]),
        Route("/kiosk/{counter}/receipt", pages.receipt),
        Route("/kiosk/{counter}/receipt/done", pages.receipt_done, methods=["POST"]),
        Route("/kiosk/{counter}/withdraw", pages.withdraw_form),
        Route("/kiosk/{counter}/withdraw", pages.withdraw_by_code, methods=["POST"]),
        Route("/kiosk/{counter}/withdrawn/{record:uuid}", pages.withdrawn),
        static_files(),
    ]
    app = Starlette(routes=routes, lifespan=ticking)
    app.add_middleware(OnlyThroughTheDoor, door=door)
    app.add_middleware(OnlyOurPages)
    return app


class _Pages:
    def __init__(self, pages: LocalPages, codes: CodeWithdrawals | None) -> None:
        self._pages = pages
        self._codes = codes

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

    def sound(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        path = spoken(desk.notices.asking(language_of(request), desk.purposes), desk.purposes)
        if path is None:
            raise HTTPException(404, "this notice was not read out when the program was set up")
        return FileResponse(path, media_type="audio/wav")

    async def decision(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
            choices = _choices(form, desk.purposes)
            record_id = _record(form)
        if choices is None:
            return await run_in_threadpool(self._citizen, desk, language, incomplete=True)
        if choices.get(Purpose.QUOTES) and not choices.get(Purpose.VOICE):
            return await run_in_threadpool(partial(self._citizen, desk, language, without_voice=True))
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

    async def rating(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language = form_language(form)
            record_id, skipped = _record(form), form.get("skip") == "yes"
            marks = None if skipped else _marks(form)
        if marks is None and not skipped:
            return await run_in_threadpool(self._citizen, desk, language, incomplete=True)
        try:
            await run_in_threadpool(desk.rate, record_id, marks)
        except RatingClosed as error:  # a second tap, a page of before: show what is
            _log.info("kiosk_rating_closed", counter=desk.counter, reason=str(error))
        except (CaptureError, ConsentError) as error:
            _log.error("kiosk_rating_not_stored", counter=desk.counter, error=str(error))
            return await run_in_threadpool(partial(self._citizen, desk, language, not_stored=True))
        return see(f"/kiosk/{desk.counter}", language)

    def receipt(self, request: Request) -> Response:
        desk, language = self._pages.desk(request), language_of(request)
        view = desk.view()
        slip = desk.slip() if view.phase in {Phase.CAPTURING, Phase.SERVING, Phase.RECEIPT} else None
        if slip is None:
            return see(f"/kiosk/{desk.counter}", language)
        return self._slip(desk, view, slip, language)

    async def receipt_done(self, request: Request) -> Response:
        desk = self._pages.desk(request)
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language, record_id = form_language(form), _record(form)
        await run_in_threadpool(desk.leave_receipt, record_id)
        return see(f"/kiosk/{desk.counter}", language)

    def withdraw_form(self, request: Request) -> Response:
        return self._code_page(self._pages.desk(request), language_of(request), None)

    async def withdraw_by_code(self, request: Request) -> Response:
        desk, codes = self._pages.desk(request), self._codes
        async with request.form(max_files=0, max_fields=FORM_LIMIT) as form:
            language, scanned = form_language(form), str(form.get("code", ""))[:LONGEST_SCAN]
        if codes is None:
            return see(f"/kiosk/{desk.counter}", language)
        try:
            answer = await run_in_threadpool(codes.take, scanned)
        except ConsentError as error:
            _log.error("kiosk_code_not_taken", counter=desk.counter, error=str(error))
            return await run_in_threadpool(partial(self._code_page, desk, language, "code_failed"))
        if answer.record_id is None:
            return await run_in_threadpool(partial(self._code_page, desk, language, f"code_{answer.outcome}"))
        return see(f"/kiosk/{desk.counter}/withdrawn/{answer.record_id}", language)

    def withdrawn(self, request: Request) -> Response:
        desk, language = self._pages.desk(request), language_of(request)
        if self._codes is None:
            return see(f"/kiosk/{desk.counter}", language)
        try:
            answer = self._codes.status(request.path_params["record"])
        except ConsentError:
            return see(f"/kiosk/{desk.counter}", language)
        return self._withdrawn(desk, answer, language)

    def _citizen(
        self,
        desk: Desk,
        language: str,
        *,
        incomplete: bool = False,
        not_stored: bool = False,
        without_voice: bool = False,
    ) -> Response:
        view = desk.view()
        if view.phase is Phase.ASKING and view.record_id is not None:
            problem = "quotes_without_voice" if without_voice else "incomplete" if incomplete else None
            try:
                return self._asking(desk, view, language, problem)
            except ConsentError as error:  # it timed out just now, or cannot be logged: nothing is asked
                _log.warning("kiosk_question_not_shown", counter=desk.counter, error=str(error))
                view = desk.view()
        if view.phase is Phase.CAPTURING:
            return self._screen_page("capturing.html", desk, view, language)
        if view.phase is Phase.RATING:
            return self._screen_page(
                "rating.html",
                desk,
                view,
                language,
                criteria=tuple(Criterion),
                incomplete=incomplete,
                not_stored=not_stored,
                status=422 if incomplete else 500 if not_stored else 200,
            )
        slip = desk.slip() if view.phase is Phase.RECEIPT else None
        if slip is not None:
            return self._slip(desk, view, slip, language)
        title, text = _QUIET.get(view.phase, _QUIET[Phase.SERVING])
        if view.phase is Phase.SERVING and view.state is State.WITHDRAWN:
            title, text = "withdrawn_title", "withdrawn_text"
        elif view.phase is Phase.SERVING:
            title, text = _STOPPED.get((view.state, view.ended_how), (title, text))
        words = self._pages.words[language]
        return self._screen_page(
            "message.html",
            desk,
            view,
            language,
            title=words[title],
            text=words[text],
            slip_there=view.phase is Phase.SERVING and desk.slip() is not None,
            codes=self._codes is not None and view.phase is Phase.IDLE,
        )

    def _slip(self, desk: Desk, view: DeskView, slip: Slip, language: str) -> Response:
        size, root = ("", "") if slip.receipt is None else root_in_short(slip.receipt)
        # The drawing is made of numbers: nothing of it comes from outside.
        qr = None if slip.receipt is None else Markup(qr_svg(slip.receipt.text()))  # noqa: S704 - as above
        return self._screen_page(
            "receipt.html",
            desk,
            view,
            language,
            here=f"/kiosk/{desk.counter}/receipt" if desk.view().service_open else f"/kiosk/{desk.counter}",
            slip=slip,
            qr=qr,
            log_size=size,
            log_root=root,
        )

    def _code_page(self, desk: Desk, language: str, problem: str | None) -> Response:
        view, home = desk.view(), f"/kiosk/{desk.counter}"
        if self._codes is None:
            return see(home, language)
        return self._screen_page(
            "withdraw.html",
            desk,
            view,
            language,
            status=200 if problem is None else 422,
            here=f"{home}/withdraw",
            stays_s=_CODE_PAGE_S,
            problem=problem and self._pages.words[language][problem],
        )

    def _withdrawn(self, desk: Desk, answer: CodeAnswer, language: str) -> Response:
        home = f"/kiosk/{desk.counter}"
        waiting = answer.outcome is Outcome.WAITS or (
            answer.outcome is Outcome.WITHDRAWN and answer.certificate is None
        )
        return self._screen_page(
            "withdrawn.html",
            desk,
            desk.view(),
            language,
            here=f"{home}/withdrawn/{answer.record_id}",
            stays_s=_CODE_PAGE_S,
            waiting=waiting,
            answer=answer,
        )

    def _asking(self, desk: Desk, view: DeskView, language: str, problem: str | None) -> Response:
        assert view.record_id is not None  # noqa: S101 - narrows for mypy: the caller looked
        notice = desk.show(view.record_id, language)
        # The notice renders itself, escaped: these are the very bytes whose hash is in the record.
        return self._screen_page(
            "asking.html",
            desk,
            desk.view(),
            language,
            notice=notice,
            spoken=spoken(notice, desk.purposes) is not None,
            opening=Markup(notice.opening()),  # noqa: S704 - escaped by the notice itself
            choices=[(item, Markup(notice.choice(item))) for item in desk.purposes],  # noqa: S704 - as above
            problem=problem,
            status=422 if problem else 200,
        )

    def _screen_page(
        self, template: str, desk: Desk, view: DeskView, language: str, *, status: int = 200, **values: object
    ) -> Response:
        home = f"/kiosk/{desk.counter}"
        stays_s = int(str(values.get("stays_s", 0)))
        if stays_s and not values.get("waiting"):
            refresh_s = stays_s
        else:
            refresh_s = _REFRESH_S if view.remaining_s is None else int(view.remaining_s) + 2
        leaving = view.phase in {Phase.IDLE, Phase.THANKS} and not values.get("waiting")
        here = str(values.pop("here", home))
        return self._pages.page(
            template,
            language,
            status=status,
            counter=desk.counter,
            view=view,
            screen=_screen(view),
            refresh_s=refresh_s,
            refresh_url=home if leaving else f"{here if values.get('waiting') else home}?lang={language}",
            here=here,
            **({"stays_s": 0, "waiting": False} | values),
        )


class KioskServer(LoopbackServer):
    """Serves the pages in a thread of its own.

    Args:
        desks: The desks by the code of their counter.
        secret: What a browser must show.
        codes: Takes the codes of slips; without it there is no page for them.
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        KioskNotLocal: `host` is not this machine.
        PortTaken: Another program listens there.
    """

    def __init__(
        self,
        desks: Mapping[str, Desk],
        secret: KioskSecret,
        codes: CodeWithdrawals | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8710,
    ) -> None:
        """Take the port; pages are served from `start` on."""
        super().__init__(
            build_kiosk(desks, secret, codes),
            name="kiosk page",
            key="port under [kiosk]",
            host=host,
            port=port,
        )
        self._secret = secret

    @property
    def link(self) -> str:
        """The link that opens the pages on the citizen's screen; it holds the secret."""
        return self._secret.link(self.url)


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
    state = "-" if view.phase in _AFTER or view.state is None else view.state
    return f"{view.phase} {view.record_id or '-'} {state}"


def _record(form: FormData) -> UUID:
    try:
        return UUID(str(form.get("record")))
    except ValueError:
        raise HTTPException(400, "the form names no record: reload the page") from None


def _choices(form: FormData, purposes: tuple[Purpose, ...]) -> dict[Purpose, bool] | None:
    """Return one answer a purpose; None unless each was answered with exactly yes or no.

    Quotes are a box to tick: left empty it is a no, as its sentence says.
    """
    answers = {purpose: form.getlist(purpose.value) for purpose in purposes}
    if answers.get(Purpose.QUOTES) == []:
        answers[Purpose.QUOTES] = ["no"]
    if any(found not in (["yes"], ["no"]) for found in answers.values()):
        return None
    return {purpose: found == ["yes"] for purpose, found in answers.items()}


def _marks(form: FormData) -> dict[Criterion, bool] | None:
    """Return one mark a criterion; None unless each has exactly one."""
    marks = {criterion: form.getlist(criterion.value) for criterion in Criterion}
    if any(found not in (["yes"], ["no"]) for found in marks.values()):
        return None
    return {criterion: found == ["yes"] for criterion, found in marks.items()}
