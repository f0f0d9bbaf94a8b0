"""Recorded sessions served in order: decisions from consent files, media from files or streams.

Each item becomes one session. Which items are done is read from the consent log, so a
run that was killed goes on where it stopped: a session that was cut, at the question
or while it was read, is a new transaction with a new record, and a finished one is
never served twice.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog

from capture.consent_script import (
    ConsentScript,
    decide_scripted,
    offer_scripted,
    read_consent_script,
    withdraw_scripted,
)
from capture.counter import oriented
from capture.errors import CaptureError
from capture.reconnect import ReconnectPolicy
from capture.sources import open_source
from consent.errors import ConsentError
from consent.record import IndicatedBy
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from capture.config import PlaylistItem
    from capture.counter import Counter
    from capture.service_session import SessionResult
    from consent.gate import Gate
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "hailong:playlist")
_SHUTDOWN: Final = "shutdown"
_CUT: Final = frozenset({_SHUTDOWN, "restart"})
"""How a consent ends that was cut by us and not by its citizen, its end or its time."""
_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How one item ended.

    Attributes:
        name: Name of the item.
        counter: Code of the counter.
        record_id: The consent it ran under.
        state: State of that consent.
        session: What the session gave; None when nothing was captured.
    """

    name: str
    counter: str
    record_id: UUID
    state: State
    session: SessionResult | None


class Playlist:
    """Serves the recorded sessions of one counter in a thread of its own.

    Args:
        counter: The counter; its configuration holds the items.
        edge: Name of this edge; part of each session's identity.
        store: The consent log.
        gate: The gate over that log.
        on_state: Told of each step of an item's consent.
        on_result: Told of each item's end.
    """

    def __init__(
        self,
        counter: Counter,
        *,
        edge: str,
        store: ConsentStore,
        gate: Gate,
        on_state: Callable[[str, str, State], None] | None = None,
        on_result: Callable[[ItemResult], None] | None = None,
    ) -> None:
        """Prepare a playlist; nothing starts yet."""
        self._counter = counter
        self._edge = edge
        self._store = store
        self._gate = gate
        self._on_state = on_state
        self._on_result = on_result
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: str | None = None

    def start(self) -> None:
        """Serve the items that are not done yet."""
        self._thread = threading.Thread(target=self._run, name=f"playlist-{self._counter.code}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve nothing more; the session under way is finished."""
        self._stop.set()
        self._counter.finish()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the last item; tells whether it came."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        for item in self._counter.config.playlist:
            if self._stop.is_set():
                return
            try:
                attempt = self._next_attempt(item)
                if attempt is not None:
                    result = self._serve(item, attempt)
                    if self._on_result is not None:
                        self._on_result(result)
            except (CaptureError, ConsentError) as error:
                self.error = f"{item.name}: {error}"
                _log.error(
                    "playlist item failed", counter=self._counter.code, item=item.name, error=str(error)
                )

    def _next_attempt(self, item: PlaylistItem) -> int | None:
        """Return the number of the next attempt, or None when the item is done."""
        last = {logged.event.session_id: logged.event for logged in self._store.events()}
        for attempt in range(_ATTEMPTS):
            event = last.get(self._session_id(item, attempt))
            if event is None:
                return attempt
            if event.state is not State.REVOKED and event.method not in _CUT:
                return None
        raise CaptureError(
            f"{item.name} was cut {_ATTEMPTS} times; look at the log of this edge for the reason"
        )

    def _session_id(self, item: PlaylistItem, attempt: int) -> UUID:
        return uuid5(_NAMESPACE, f"{self._edge}/{self._counter.code}/{item.name}/{attempt}")

    def _serve(self, item: PlaylistItem, attempt: int) -> ItemResult:
        script = read_consent_script(item.consent)
        record_id = offer_scripted(
            self._store, self._counter.code, script, session_id=self._session_id(item, attempt)
        )
        self._tell(item, State.OFFERED)
        if self._stop.wait(script.decides_after_s):  # nobody decides any more: asked anew at the next start
            self._store.apply(record_id, State.DEFERRED, IndicatedBy.SYSTEM, _SHUTDOWN)
            return ItemResult(item.name, self._counter.code, record_id, State.DEFERRED, None)
        state = decide_scripted(self._store, record_id, script)
        self._tell(item, state)
        session = self._capture(item, script, record_id) if state is State.GIVEN else None
        state = state if session is None else session.state
        self._tell(item, state)
        return ItemResult(item.name, self._counter.code, record_id, state, session)

    def _capture(self, item: PlaylistItem, script: ConsentScript, record_id: UUID) -> SessionResult:
        source = open_source(item.media, reconnect=ReconnectPolicy(), paced=True)
        grant = self._gate.grant(record_id)
        session = self._counter.session(grant, oriented(self._counter.config, source))
        if self._stop.is_set():  # `stop` came before there was this session to finish
            session.finish()
        timers = [threading.Timer(self._counter.config.longest_session_s, session.finish)]
        if script.withdraws_after_s is not None:
            timers.append(
                threading.Timer(script.withdraws_after_s, withdraw_scripted, (self._store, record_id))
            )
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            return session.run()
        finally:
            for timer in timers:
                timer.cancel()

    def _tell(self, item: PlaylistItem, state: State) -> None:
        if self._on_state is not None:
            self._on_state(self._counter.code, item.name, state)
