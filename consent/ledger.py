"""The consent store of one edge: every step of every consent, on the Merkle log."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self
from uuid import UUID, uuid4

from consent.checkpoint import KeyHistory
from consent.entry import (
    EntryKind,
    MaintenanceEnd,
    MaintenanceEnded,
    MaintenanceStarted,
    QuotesRead,
    ReadPurpose,
    SessionSummary,
    body_of,
    body_of_note,
    parse_as,
    parse_entry,
)
from consent.errors import AskedTwice, DecisionIncomplete, EntryRefused, TransitionRefused
from consent.event import Event, EventKind, LoggedEvent
from consent.life import fold
from consent.log import Log
from consent.opening import Signers
from consent.purpose import Purpose
from consent.reading import ConsentRecords, current
from consent.receipt import receipt_digest
from consent.record import Answer, ConsentRecord, IndicatedBy, NoticeReference, PurposeDecision
from consent.slots import end_of_session, gap_of_session, start_of_session
from consent.state import DECIDED, KEEPING, PERMITTING, State, check_step
from consent.stored import Logged, Writing, event_of
from consent.uptime import uptime_ns

_NOTED: Final = frozenset({EntryKind.ERASURE_STARTED, EntryKind.ERASURE_DONE, EntryKind.RETENTION_RUN})
_ENDINGS: Final = frozenset(State) - {State.OFFERED, State.GIVEN}

HaltListener = Callable[[UUID, State], None]


def _boot() -> str:
    """Return a name of this start of the machine (a digest: the kernel's id stays here)."""
    try:
        raw = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        raw = uuid4().bytes  # no kernel id: nothing survives a restart of this program either
    return hashlib.sha256(b"hailong boot\n" + raw).hexdigest()[:16]


def _now() -> datetime:
    return datetime.now(UTC)


class ConsentStore(ConsentRecords):
    """Append-only store of consent events; the one authority on what is permitted.

    Writes are serialised and durable when a call returns. Any failure to read or write permits
    nothing. Safe to share between threads; other programs may open the same file.

    Args:
        path: The database file; made when absent. `<name>.head` lies beside it.
        signers: Who signs the log's checkpoints, as `Log` takes them.
        now: Wall clock, for people.
        monotonic_ns: Clock of all deadlines.
        busy_s: How long a write waits for another writer.

    Raises:
        LedgerUnavailable: The file cannot be opened or written.
        LedgerCorrupt: The file is damaged, cut short or another log's.
    """

    def __init__(
        self,
        path: Path,
        *,
        signers: Signers = (),
        now: Callable[[], datetime] = _now,
        monotonic_ns: Callable[[], int] = uptime_ns,
        busy_s: float = 2.0,
    ) -> None:
        """Open the log, or make a new one where there has never been one."""
        super().__init__(Log(path, signers=signers, now=now, busy_s=busy_s))
        self.path = path
        self._now = now
        self._monotonic_ns = monotonic_ns
        self._boot = _boot()
        self._halt_listeners: tuple[HaltListener, ...] = ()
        self._halted: set[UUID] = set()

    def close(self) -> None:
        """Close the file; the store permits nothing afterwards."""
        self.log.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def offer(self, record: ConsentRecord) -> LoggedEvent:
        """Log that a citizen is about to be asked.

        Raises:
            AskedTwice: This session, or this record, was asked before.
        """
        if any(item.answer is not Answer.OPEN for item in record.decisions):
            raise DecisionIncomplete("a record is offered with every answer open: nothing is preselected")

        def make(writing: Writing) -> Event:
            if writing.of_record(record.record_id):
                raise AskedTwice(
                    f"consent {record.record_id} was offered before; a new offer is a new record"
                )
            event = self._event(EventKind.OFFERED, record, IndicatedBy.SYSTEM, "offer")
            return replace(event, record=record, notice=record.notice)

        return self._append(make)

    def show(self, record_id: UUID, notice: NoticeReference, method: str = "screen") -> LoggedEvent:
        """Log that the notice, in the language it names, was put before the citizen."""

        def make(writing: Writing) -> Event:
            record, state = current(record_id, writing.of_record(record_id))
            if state is not State.OFFERED:
                raise TransitionRefused(f"a consent that is {state} shows no notice any more")
            return replace(self._event(EventKind.SHOWN, record, IndicatedBy.SYSTEM, method), notice=notice)

        return self._append(make)

    def decide(
        self,
        record_id: UUID,
        choices: Mapping[Purpose, bool],
        indicated_by: IndicatedBy | str,
        method: str,
        *,
        dwell_ms: int | None = None,
        notice: NoticeReference | None = None,
    ) -> State:
        """Log the citizen's answer to each purpose.

        Args:
            record_id: The question.
            choices: One answer for each purpose that was offered.
            indicated_by: The citizen, and nobody else.
            method: How it was answered.
            dwell_ms: From the notice on the screen to the answer.
            notice: The notice that was answered, where it was shown in several languages.

        Returns:
            `given` when image or voice was given, else `refused`.

        Raises:
            DecisionIncomplete: A purpose is missing, was never offered, or somebody other
                than the citizen answered.
            TransitionRefused: The question is not open any more.
        """
        if IndicatedBy(indicated_by) is not IndicatedBy.CITIZEN:
            raise DecisionIncomplete(f"only the citizen decides, not the {indicated_by}")

        def make(writing: Writing) -> Event:
            record, before = current(record_id, writing.of_record(record_id))
            if set(choices) != set(record.purposes):
                asked = ", ".join(record.purposes)
                raise DecisionIncomplete(f"each purpose needs its own answer; asked were: {asked}")
            if choices.get(Purpose.QUOTES) and not choices.get(Purpose.VOICE):
                raise DecisionIncomplete("quotes are taken from the voice: they cannot be given without it")
            given = any(choices[purpose] for purpose in choices if purpose is not Purpose.QUOTES)
            state = State.GIVEN if given else State.REFUSED
            check_step(before, state)
            decisions = tuple(
                PurposeDecision(purpose, Answer.GIVEN if choices[purpose] else Answer.REFUSED)
                for purpose in record.purposes
            )
            tied = None
            if record.withdrawal_digest is not None:
                tied = receipt_digest(record.receipt_id, record.withdrawal_digest)
            event = self._event(EventKind(state.value), record, IndicatedBy.CITIZEN, method)
            return replace(event, decisions=decisions, dwell_ms=dwell_ms, notice=notice, receipt_digest=tied)

        state = self._append(make).event.state
        assert state is not None  # noqa: S101 - narrows for mypy: a decision always has a state
        return state

    def apply(self, record_id: UUID, to: State, indicated_by: IndicatedBy | str, method: str) -> LoggedEvent:
        """Log a step other than a decision; what was permitted stops before anything is written.

        Raises:
            TransitionRefused: The step does not exist from the present state.
            LedgerUnavailable: It could not be written. Capture has stopped all the same, and
                this record permits nothing until the program has written the step.
        """
        if to in DECIDED or to is State.OFFERED:
            raise TransitionRefused(f"{to} is reached through a decision or an offer, never by a step")
        if to is not State.DEFERRED:
            self._halt(record_id, to)

        def make(writing: Writing) -> Event:
            record, before = current(record_id, writing.of_record(record_id))
            if before is State.OFFERED:
                self._halted.discard(record_id)  # nothing was permitted yet; the answer is still open
            check_step(before, to)
            return self._event(EventKind(to.value), record, IndicatedBy(indicated_by), method)

        logged = self._append(make)
        self._halted.discard(record_id)  # committed: the log itself says no from here on
        return logged

    def halt(self, record_id: UUID, to: State) -> None:
        """Stop what a consent permits, ahead of the step that says so: it permits nothing from here on.

        Neither waits for the log nor for whoever holds it. The step itself follows with `apply`; where it
        never does, the next start ends the consent.
        """
        self._halt(record_id, to)

    def close_service(self, record_id: UUID, indicated_by: IndicatedBy | str, method: str) -> LoggedEvent:
        """Log that the service ended for a record which is not `given`."""

        def make(writing: Writing) -> Event:
            record, state = current(record_id, writing.of_record(record_id))
            if state in {State.OFFERED, State.GIVEN}:
                raise TransitionRefused(f"a consent that is {state} is ended by a step, not closed")
            return self._event(EventKind.CLOSED, record, IndicatedBy(indicated_by), method)

        return self._append(make)

    def session_started(self, record_id: UUID) -> Logged:
        """Open the slot of a session: before a device is opened, or not at all.

        Raises:
            TransitionRefused: The consent is not given (any more), or had its slot.
            LedgerUnavailable: It could not be written, so nothing may be captured.
        """
        if record_id in self._halted:
            raise TransitionRefused("this consent has just ended: no session starts")
        if self.unfinished_maintenance() is not None:
            raise TransitionRefused("a camera is being aimed: no session starts before the preview has ended")
        with self.log.writing() as writing:
            return start_of_session(writing, record_id, self._now())

    def session_ended(self, record_id: UUID, summary: SessionSummary) -> Logged:
        """Close the slot of a session whose consent has ended, or ends by another step.

        Raises:
            TransitionRefused: No session of this consent runs.
        """
        with self.log.writing() as writing:
            return self._end_session(writing, record_id, summary)

    def complete(self, record_id: UUID, summary: SessionSummary, method: str = "end-of-service") -> Logged:
        """Complete a consent and close its slot in one step: never one without the other.

        Raises:
            TransitionRefused: The citizen withdrew first, or the consent ended in another way.
        """
        self._halt(record_id, State.COMPLETED)
        with self.log.writing() as writing:
            record, before = current(record_id, writing.of_record(record_id))
            check_step(before, State.COMPLETED)
            event = self._event(EventKind.COMPLETED, record, IndicatedBy.SYSTEM, method)
            _append_event(writing, event)
            logged = self._end_session(writing, record_id, summary)
        self._halted.discard(record_id)
        return logged

    def maintenance_started(self, counter: str, operator: str, limit_s: int) -> MaintenanceStarted:
        """Log that a camera is about to be opened without a citizen: before it is, or not at all.

        A look that a killed program left open is closed first.

        Raises:
            EntryRefused: `counter` or `operator` is no code, or the time is longer than an hour.
            LedgerUnavailable: It could not be written, so nothing may be opened.
        """
        entry = MaintenanceStarted(uuid4(), counter, operator, self._now(), limit_s)
        body = body_of(entry)
        parse_entry(body)
        with self.log.writing() as writing:
            self._close_maintenance(writing)
            writing.append(entry.kind, body)
        return entry

    def maintenance_ended(self, started: MaintenanceStarted, ended_by: MaintenanceEnd, frames: int) -> None:
        """Log that the camera is closed again.

        Raises:
            TransitionRefused: This look is not the open one.
        """
        if self.unfinished_maintenance() != started:
            raise TransitionRefused(f"maintenance {started.maintenance_id} is not under way")
        with self.log.writing() as writing:
            self._end_maintenance(writing, started, ended_by, frames)

    def unfinished_maintenance(self) -> MaintenanceStarted | None:
        """Return the look through a camera that was started and not ended: under way, or its program died."""
        told = self.log.of_kind(EntryKind.MAINTENANCE_STARTED, EntryKind.MAINTENANCE_ENDED)
        last = told[-1].entry() if told else None
        return last if isinstance(last, MaintenanceStarted) else None

    def gap(self, record_id: UUID, *, losses: int, gap_ms: int) -> Logged:
        """Log that the devices of a session gave nothing for a while.

        Raises:
            TransitionRefused: No session of this consent runs.
        """
        with self.log.writing() as writing:
            return gap_of_session(writing, record_id, self._now(), losses=losses, gap_ms=gap_ms)

    def quotes_read(
        self, record_id: UUID, reader: str, purpose: ReadPurpose, ticket: str, *, quotes: int
    ) -> Logged:
        """Log that somebody is about to read the kept quotes of a consent: first, or they are not opened.

        Args:
            record_id: Whose quotes.
            reader: Who reads, as the agency names its privacy officers.
            purpose: Why.
            ticket: The case.
            quotes: How many are kept.

        Raises:
            TransitionRefused: The consent does not let quotes be kept (any more).
            EntryRefused: `reader` is no code, or `ticket` no number of a case.
            LedgerUnavailable: It could not be written, so nothing may be read.
        """
        entry = QuotesRead(record_id, self._now(), reader, purpose, ticket, quotes)
        body = body_of(entry)
        parse_entry(body)
        with self.log.writing() as writing:
            record, state = current(record_id, writing.of_record(record_id))
            if Purpose.QUOTES not in record.given() or state not in KEEPING or record_id in self._halted:
                raise TransitionRefused(
                    f"the consent {record_id} is {state} and "
                    f"{'lets' if Purpose.QUOTES in record.given() else 'never let'} quotes be kept: "
                    "there is nothing to read"
                )
            return writing.append(entry.kind, body, record_id=record_id)

    def note(self, kind: str, document: Mapping[str, object], record_id: UUID | None = None) -> Logged:
        """Log an erasure or a run of the retention, given as JSON values.

        Raises:
            EntryRefused: Another kind, which has a method of its own, or a field is wrong.
        """
        if kind not in _NOTED:
            raise EntryRefused(f"{kind!r} is not written as a note; those are: {', '.join(sorted(_NOTED))}")
        named = {} if record_id is None else {"record_id": str(record_id)}
        body = body_of_note(kind, {**document, **named})
        about = getattr(parse_as(kind, body), "record_id", None)
        return self.log.append(kind, body, record_id=about)

    def rotate_key(self, signers: Signers) -> KeyHistory:
        """Sign the log with another key from now on; see `Log.rotate`."""
        return self.log.rotate(signers)

    def recover(self) -> tuple[UUID, ...]:
        """End what an earlier run left open: offers become deferred, consents expire, maintenance ends.

        Call once at the start of the edge program, before the first offer.

        Returns:
            The records that were ended.
        """
        if self.unfinished_maintenance() is not None:
            with self.log.writing() as writing:
                self._close_maintenance(writing)
        ended = []
        for record_id in self.log.records_with(EventKind.OFFERED, without=_ENDINGS):
            state = self.state(record_id)
            if state is State.OFFERED:
                self.apply(record_id, State.DEFERRED, IndicatedBy.SYSTEM, "restart")
            elif state is State.GIVEN:
                self.apply(record_id, State.EXPIRED, IndicatedBy.SYSTEM, "restart")
            else:
                continue
            ended.append(record_id)
        return tuple(ended)

    def permitted(self, record_id: UUID) -> frozenset[Purpose]:
        """Return what may be captured now: empty unless the record is `given` and still valid."""
        return self._live(record_id)[0]

    def remaining_ns(self, record_id: UUID) -> int:
        """Return the time to the hard limit on the monotonic clock; 0 when nothing is permitted."""
        return self._live(record_id)[1]

    def subscribe_halt(self, listener: HaltListener) -> None:
        """Call `listener` before a step that ends a consent is written."""
        self._halt_listeners = (*self._halt_listeners, listener)

    def _halt(self, record_id: UUID, to: State) -> None:
        self._halted.add(record_id)
        for listener in self._halt_listeners:
            listener(record_id, to)

    def _live(self, record_id: UUID) -> tuple[frozenset[Purpose], int]:
        if record_id in self._halted:
            return frozenset(), 0
        nothing: tuple[frozenset[Purpose], int] = frozenset(), 0
        events = [item.event for item in self.events(record_id)]
        record, state = fold(record_id, events)
        if state not in PERMITTING:
            return nothing
        decided = next(event for event in events if event.state is State.GIVEN)
        elapsed_ns = self._monotonic_ns() - decided.monotonic_ms * 1_000_000
        remaining_ns = record.validity_s * 1_000_000_000 - elapsed_ns
        if decided.boot != self._boot or elapsed_ns < 0 or remaining_ns <= 0:
            return nothing  # another start of the machine, or past the hard limit
        return record.given(), remaining_ns

    def _event(self, kind: EventKind, record: ConsentRecord, by: IndicatedBy, method: str) -> Event:
        return Event(
            kind=kind,
            record_id=record.record_id,
            session_id=record.session_id,
            at=self._now(),
            monotonic_ms=self._monotonic_ns() // 1_000_000,
            boot=self._boot,
            indicated_by=by,
            method=method,
        )

    def _append(self, make: Callable[[Writing], Event]) -> LoggedEvent:
        with self.log.writing() as writing:
            event = make(writing)
            logged = _append_event(writing, event)
        return LoggedEvent(logged.index, logged.leaf_hash.hex(), event)

    def _close_maintenance(self, writing: Writing) -> None:
        left = self.unfinished_maintenance()
        if left is not None:
            self._end_maintenance(writing, left, MaintenanceEnd.UNFINISHED, None)

    def _end_maintenance(
        self, writing: Writing, started: MaintenanceStarted, ended_by: MaintenanceEnd, frames: int | None
    ) -> None:
        entry = MaintenanceEnded(
            started.maintenance_id, started.counter, started.operator, self._now(), ended_by, frames
        )
        writing.append(entry.kind, body_of(entry))

    def _end_session(self, writing: Writing, record_id: UUID, summary: SessionSummary) -> Logged:
        monotonic_ms = self._monotonic_ns() // 1_000_000
        return end_of_session(
            writing, record_id, self._now(), summary, monotonic_ms=monotonic_ms, boot=self._boot
        )


def _append_event(writing: Writing, event: Event) -> Logged:
    body = event.canonical()
    event_of(body)  # what cannot be read back is never written
    return writing.append(event.kind, body, record_id=event.record_id, session_id=event.session_id)
