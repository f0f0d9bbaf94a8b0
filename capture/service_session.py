"""One citizen at one counter: from the grant to the signal.

Order at the end of a session, so that a crash at any point neither loses nor doubles a
signal and a withdrawal always wins:

1. the device is closed and what was heard last is read;
2. the signal is *held* in the outbox, durable but without a number;
3. the consent record becomes `completed`; if the citizen withdrew first, this step is
   refused and the held signal is discarded;
4. the signal is *released* to the uplink.

Where the analysis says that the session must stop (a second face at the seat), capture ends before
anything is written, the consent is revoked, and nothing of the session leaves.

The session has its slot in the consent log: it is opened before a device is, and closed in
one step with 3, together with the commitment to the signal. A slot without an end is a
session that was lost.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from capture.errors import CaptureError
from capture.faults import named
from capture.outbox import NotHeld, OutboxFull
from capture.session_meter import SessionMeter
from capture.source import SourceState
from capture.unwritten import Step, UnwrittenSteps
from consent.entry import Outcome
from consent.errors import (
    ConsentError,
    KeyDestroyed,
    LedgerUnavailable,
    NotPermitted,
    TransitionRefused,
    UnknownRecord,
)
from consent.record import IndicatedBy
from consent.state import ERASING, KEEPING, State
from inference.session import SessionFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from capture.outbox import Outbox
    from capture.quotes import QuoteStore, SessionQuotes
    from capture.source import MediaDevice, MediaSource, MediaUnit
    from consent.gate import Gate, Grant, Permitted, Source
    from consent.ledger import ConsentStore
    from consent.purpose import Purpose
    from inference.session import SessionAnalysis
    from inference.signal import Signal

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 2.0
_SIGNAL: Final = "signal"
_OUTCOMES: Final = {
    State.WITHDRAWN: Outcome.WITHDRAWN,
    State.REVOKED: Outcome.STOPPED,
    State.INVALIDATED: Outcome.STOPPED,
    State.COMPLETED: Outcome.NOTHING,
    State.EXPIRED: Outcome.NOTHING,
}
"""What came of a session that ended without a signal, by the state of its consent."""
_STOPPED: Final = frozenset({State.REVOKED, State.INVALIDATED})
_HALTED: Final = _STOPPED | {State.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How a session ended.

    Attributes:
        record_id: The consent it rested on.
        session_id: The session.
        counter: Code of the counter.
        state: State of the consent at the end.
        signal: What left the session; None when nothing did.
        units: Frames and chunks that were read.
        error: What broke off the reading, in words; None when nothing did.
    """

    record_id: UUID
    session_id: UUID
    counter: str
    state: State
    signal: Signal | None
    units: int
    error: str | None


class ServiceSession:
    """Reads one session's devices under its grant and hands the signal to the outbox.

    Args:
        counter: Code of the counter.
        grant: What the citizen gave.
        gate: The gate that granted it.
        store: The consent log.
        source: Opened by the gate, and only for what was given.
        analysis: Takes what is read.
        outbox: Takes the signal.
        software: Version that the signal states.
        steps: Takes a stop to the log, and keeps it where that cannot be written; shared by the sessions.
        quotes: Takes redacted quotes, where the citizen let them be kept: with the signal or not at all.
        on_unit: Told of each unit that was read, for progress.
        on_end: Told of the result in the session's own thread.
    """

    def __init__(
        self,
        *,
        counter: str,
        grant: Grant,
        gate: Gate,
        store: ConsentStore,
        source: MediaSource,
        analysis: SessionAnalysis,
        outbox: Outbox,
        software: str,
        steps: UnwrittenSteps | None = None,
        quotes: SessionQuotes | None = None,
        on_unit: Callable[[Permitted[MediaUnit]], None] | None = None,
        on_end: Callable[[SessionResult], None] | None = None,
    ) -> None:
        """Prepare a session; nothing is opened yet."""
        self._counter = counter
        self._grant = grant
        self._gate = gate
        self._store = store
        self._source = _Stoppable(source)
        self._analysis = analysis
        self._outbox = outbox
        self._software = software
        self._steps = steps if steps is not None else UnwrittenSteps(store)
        self._quotes = quotes
        self._on_unit = on_unit
        self._on_end = on_end
        self._meter = SessionMeter(store, grant.record_id, self._source.health)
        self._slot_open = self._failed = False
        self._stop: str | None = None
        self._started = datetime.now(UTC)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        grant.on_end(self._source.stop)
        grant.on_end(partial(_let_go, grant, analysis))

    @property
    def record_id(self) -> UUID:
        """The consent this session rests on."""
        return self._grant.record_id

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self._ended.is_set()

    @property
    def trouble(self) -> str | None:
        """Why nothing comes from the device just now, in words; None while it gives units."""
        health = self._source.health()
        silent = health.state in {SourceState.WAITING, SourceState.FAILED} or not self._meter.units
        return health.last_error or None if silent else None

    @property
    def purged(self) -> int:
        """Units that waited in memory when the consent ended, and were dropped unseen."""
        return self._grant.purged

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name=f"session-{self._counter}", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """End the reading; what was read so far becomes the signal. Returns at once."""
        self._source.stop()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; tells whether it came."""
        return self._ended.wait(timeout_s)

    def run(self) -> SessionResult:
        """Read to the end of the session and conclude it."""
        error: str | None = None
        signal: Signal | None = None
        try:
            error = self._open_slot()
            if self._slot_open:
                try:
                    error = self._read()
                finally:  # the devices are closed
                    self._log_stop()
                signal = self._conclude()
        except Exception as failure:  # noqa: BLE001 - the thread ends here: capture is off, health shows why
            error = named(failure)
            _log.exception("session failed", counter=self._counter, record=str(self.record_id))
            self._revoke("software-error")
        finally:
            self._analysis.purge()
        try:
            state, error = self._final_state(error)
            self._close_quotes(state, kept=signal is not None)
            self._close_slot(state)
            result = SessionResult(
                record_id=self.record_id,
                session_id=self._grant.session_id,
                counter=self._counter,
                state=state,
                signal=signal,
                units=self._meter.units,
                error=error,
            )
            if self._on_end is not None:
                self._on_end(result)
        finally:
            self._ended.set()
        return result

    def _open_slot(self) -> str | None:
        """Log the start before anything is opened; returns why that could not be."""
        try:
            self._store.session_started(self.record_id)
        except ConsentError as refused:
            if self._grant.ended():
                return None  # the citizen was faster
            self._revoke("slot-not-logged")
            return f"no session without its slot in the consent log: {refused}"
        self._slot_open = True
        return None

    def _close_slot(self, state: State) -> None:
        """Log the end of a session that did not end with its signal; best effort, or it shows as lost."""
        if not self._slot_open:
            return
        outcome = _OUTCOMES.get(state, Outcome.FAILED)
        if state is State.REVOKED and self._failed:
            outcome = Outcome.FAILED
        try:
            self._meter.log_gap(worth_ms=1)
            self._store.session_ended(self.record_id, self._meter.summary(outcome))
        except ConsentError as error:
            _log.error("session end not logged", record=str(self.record_id), error=str(error))
        self._slot_open = False

    def _final_state(self, error: str | None) -> tuple[State, str | None]:
        """Return the state of the consent at the end, and what broke off the session."""
        if not self._grant.ended():
            return State.GIVEN, error
        ended_by = self._grant.ended_by
        if ended_by is None:  # nobody ended it: the lease was lost
            self._revoke("lease-lost")
            return State.REVOKED, error or "the consent log could not be read, so capture was stopped"
        if ended_by in _HALTED:
            try:
                logged = self._store.state(self.record_id)
            except ConsentError:
                return ended_by, error
            if logged in _HALTED:  # of two who ended it at once the log took one
                return logged, error
        return ended_by, error  # it counts before it is written

    def _read(self) -> str | None:
        """Feed the analysis until the source or the grant ends; returns what broke it off."""
        self._started = datetime.now(UTC)
        source: Source[MediaUnit] = self._source
        try:
            with self._gate.stream(self._grant, source) as units:
                for unit in units:
                    try:
                        self._analysis.take(unit)
                        self._meter.take(unit)
                    except NotPermitted:
                        break  # the grant ended between the gate and here
                    if self._on_unit is not None:
                        self._on_unit(unit)
                    if self._must_stop():
                        break
        except NotPermitted:
            return None
        except CaptureError as broken:
            _log.warning("capture broke off", counter=self._counter, error=str(broken))
            return str(broken)
        return None if self._meter.units else self.trouble  # a device that was waited for in vain

    def _must_stop(self) -> bool:
        """End the consent where the analysis says so: first the capture, then what is in memory."""
        reason = self._analysis.stop
        if reason is None:
            return False
        self._stop = reason.value
        self._store.halt(self.record_id, State.REVOKED)
        self._analysis.purge()
        return True

    def _log_stop(self) -> None:
        """Write why the analysis ended the consent; what the log cannot take yet is kept for it."""
        if self._stop is None:
            return
        self._outbox.discard(self.record_id)
        if self._grant.ended_by is not State.REVOKED:
            return  # the citizen was faster, or its time ran out: that step is theirs to write
        try:
            self._steps.take(Step(self.record_id, State.REVOKED, IndicatedBy.CONTROLLER, self._stop))
        except ConsentError as error:  # the officer's switch was written first
            _log.info("session_stop_not_needed", counter=self._counter, reason=str(error))

    def _conclude(self) -> Signal | None:
        if not self._may_conclude():
            return None
        health = self._source.health()
        signal = self._analysis.finish(
            SessionFacts(
                counter=self._counter,
                session_id=self._grant.session_id,
                consent_record_id=self.record_id,
                started_at=self._started,
                ended_at=datetime.now(UTC),
                purposes=self._grant.purposes,
                gaps=health.reconnects,
                gap_s=health.gap_s + health.dropped_s,
                software=self._software,
            )
        )
        if not self._may_conclude():  # a withdrawal while the last words were read
            return None
        if signal.quality.face_s == 0 and signal.quality.utterances == 0:
            self._complete(Outcome.NOTHING)  # an empty seat: there is nothing to send
            return None
        outcome = Outcome.SIGNAL if signal.overall.abstained is None else Outcome.ABSTAINED
        commitment = self._hold(signal)
        self._keep_quotes()
        # A withdrawal that came first may still be waiting to be written behind our own step.
        if not self._complete(outcome, commitment) or self._grant.ended_by not in {
            State.COMPLETED,
            State.EXPIRED,
        }:
            self._outbox.discard(self.record_id)
            return None
        return signal if self._release() else None

    def _may_conclude(self) -> bool:
        """Tell whether a signal may be made: while the consent is given, or after its time ran out."""
        if self._stop is not None:
            return False
        return not self._grant.ended() or self._grant.ended_by is State.EXPIRED

    def _release(self) -> bool:
        """Let the uplink send what is held; False when a late withdrawal came before.

        One that comes later finds a numbered entry and turns it into a tombstone.
        """
        if self._store.state(self.record_id) in ERASING:
            self._outbox.discard(self.record_id)
            return False
        try:
            self._outbox.release(self.record_id)
        except NotHeld:  # erased between the look and the release
            return False
        return True

    def _hold(self, signal: Signal) -> str | None:
        """Hold the signal; returns its commitment, None when the consent ended before it was safe."""
        payload = signal.model_dump(mode="json")
        while True:
            try:
                return self._outbox.hold(_SIGNAL, payload, key=self.record_id)
            except KeyDestroyed:  # erased while the last words were read
                return None
            except OutboxFull as full:
                _log.error("signal waits for disk space", counter=self._counter, error=str(full))
                self._grant.wait_ended(_RETRY_S)
                if not self._may_conclude():
                    return None

    def _keep_quotes(self) -> None:
        """Write the sealed quotes beside the held signal; what cannot be written is not kept."""
        if self._quotes is None:
            return
        try:
            self._quotes.keep()
        except (CaptureError, ConsentError) as error:
            _log.error("quotes_not_kept", counter=self._counter, error=str(error))

    def _close_quotes(self, state: State, *, kept: bool) -> None:
        """Let go of the quotes of this session; without a signal none of them stays, nor any key of them."""
        if self._quotes is None:
            return
        try:
            self._quotes.close(kept=kept)
            if not kept and state not in ERASING:  # an erasure counts the key itself
                self._outbox.discard(self.record_id)
        except (CaptureError, ConsentError) as error:
            _log.error("quotes_not_removed_yet", counter=self._counter, error=str(error))

    def _complete(self, outcome: Outcome, commitment: str | None = None) -> bool:
        """Close the consent record and its slot in one step; False when the citizen withdrew first."""
        self._meter.log_gap(worth_ms=1)
        summary = self._meter.summary(outcome, commitment)
        while True:
            if self._grant.ended_by in _STOPPED:  # its step may wait for the log: commit to nothing
                return False
            try:
                if self._grant.ended_by is State.EXPIRED:  # the consent is closed: only the slot is left
                    self._store.session_ended(self.record_id, summary)
                else:
                    self._store.complete(self.record_id, summary)
            except TransitionRefused:
                return self._store.state(self.record_id) in {State.COMPLETED, State.EXPIRED}
            except LedgerUnavailable as error:  # capture is off; the signal waits, held, for the log
                _log.error("consent log unavailable", counter=self._counter, error=str(error))
                time.sleep(_RETRY_S)
            else:
                self._slot_open = False
                return True

    def _revoke(self, method: str) -> None:
        self._failed = True
        self._outbox.discard(self.record_id)
        try:
            self._store.apply(self.record_id, State.REVOKED, IndicatedBy.CONTROLLER, method)
        except ConsentError as error:
            _log.warning("consent not revoked", record=str(self.record_id), error=str(error))


def settle(store: ConsentStore, outbox: Outbox, stopped: Collection[UUID] = ()) -> int:
    """Resolve what an earlier run left between holding a signal and releasing it.

    Called at the start, before `ConsentStore.recover` ends what is still open. A consent that
    is still `given` may hide a withdrawal that could not be written before the crash: its
    signal is discarded, as if the crash had come a moment earlier. So is the signal of a session
    whose slot was never closed: the log has no commitment to it and shows the session as lost.

    Args:
        store: The consent log.
        outbox: What is held in it.
        stopped: Records that were withdrawn without the log knowing it yet.

    Returns:
        The number of signals that were released.
    """
    released = 0
    for record_id in outbox.held():
        if stays(store, record_id, stopped):
            outbox.release(record_id)
            released += 1
        else:
            outbox.discard(record_id)
    return released


def settle_quotes(
    quotes: QuoteStore, store: ConsentStore, outbox: Outbox, stopped: Collection[UUID] = ()
) -> int:
    """Remove quotes, and keys of quotes, of sessions that never came to their end; call it after `settle`.

    Args:
        quotes: The kept quotes.
        store: The consent log.
        outbox: Destroys the session key where no signal needs it.
        stopped: Records that were withdrawn without the log knowing it yet.

    Returns:
        How many consents were cleared.
    """

    def kept(record_id: UUID) -> bool:
        try:  # what asks for an erasure is left to it, which certifies what it finds
            return store.state(record_id) in ERASING or stays(store, record_id, stopped)
        except UnknownRecord:  # an older log came back from a backup: what it does not know is not kept
            return False

    cleared = quotes.settle(kept)
    for record_id in cleared:
        outbox.discard(record_id)
    return len(cleared)


def stays(store: ConsentStore, record_id: UUID, stopped: Collection[UUID] = ()) -> bool:
    """Tell whether what a session left may stay: it came to its end, and nobody took the consent back."""
    done = store.state(record_id) in KEEPING
    return done and record_id not in stopped and not _lost(store, record_id)


def _lost(store: ConsentStore, record_id: UUID) -> bool:
    slot = store.slot(record_id)
    return slot.started is not None and slot.ended is None


def _let_go(grant: Grant, analysis: SessionAnalysis) -> None:
    """Read no word more where nothing may come of it: what waits is not read to its end first."""
    if grant.ended_by not in {State.COMPLETED, State.EXPIRED}:
        analysis.abandon()


class _Stoppable:
    """A source whose open device can be told, from outside, that the session is over."""

    def __init__(self, source: MediaSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._device: MediaDevice | None = None
        self._stopped = False
        self.health = source.health

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        device = self._source.open(purposes)
        with self._lock:
            self._device = device
            stopped = self._stopped
        if stopped:
            device.interrupt()
        return device

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            device = self._device
        if device is not None:
            device.interrupt()
