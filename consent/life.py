"""The life of one consent as its entries tell it, and the order in which entries may follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from consent.checkpoint import KeyHistory, verifier
from consent.entry import (
    CaptureGap,
    Entry,
    Genesis,
    KeyIntroduced,
    KeyRetired,
    MaintenanceEnded,
    MaintenanceStarted,
    QuotesRead,
    SessionEnded,
    SessionStarted,
)
from consent.erasure import Begun, ErasureCertificate
from consent.errors import CheckpointRefused, LedgerCorrupt, TransitionRefused, UnknownRecord
from consent.event import Event, EventKind
from consent.purpose import Purpose
from consent.record import Answer, ConsentRecord, IndicatedBy
from consent.signed_note import SignatureLine
from consent.state import DECIDED, KEEPING, State, check_step
from consent.stored import with_key


def fold(record_id: UUID, events: Sequence[Event]) -> tuple[ConsentRecord, State]:
    """Lay the events of one record over the record as it was offered.

    Raises:
        UnknownRecord: The events do not start with an offer.
    """
    if not events or events[0].record is None:
        raise UnknownRecord(f"the log holds no consent {record_id}")
    record, state = events[0].record, State.OFFERED
    changes: dict[str, Any] = {}
    for event in events[1:]:
        if event.kind is EventKind.SHOWN and event.notice is not None:
            changes |= {"notice": event.notice, "shown_at": event.at}
        elif event.state is not None:
            check_step(state, event.state)
            state = event.state
            if state in DECIDED:
                changes |= {
                    "decisions": event.decisions,
                    "decided_at": event.at,
                    "dwell_ms": event.dwell_ms,
                }
                if event.notice is not None:
                    changes["notice"] = event.notice
    return (replace(record, **changes) if changes else record), state


def check_answer(event: Event) -> None:
    """Check that a decision is one: the citizen's own, each purpose answered, `given` where one was given.

    Raises:
        TransitionRefused: It is none.
    """
    answers = {item.purpose: item.answer for item in event.decisions}
    given = any(
        answer is Answer.GIVEN for purpose, answer in answers.items() if purpose is not Purpose.QUOTES
    )
    if event.indicated_by is not IndicatedBy.CITIZEN:
        raise TransitionRefused(f"only the citizen decides, not the {event.indicated_by}")
    if not answers or Answer.OPEN in answers.values() or given != (event.state is State.GIVEN):
        raise TransitionRefused(f"the answers to the purposes do not make a consent {event.state}")


@dataclass(frozen=True, slots=True)
class Slot:
    """What is known of the session of one consent.

    Attributes:
        started: The slot was opened; None for a service in which nothing was captured.
        ended: It was closed; None while it runs, and for ever when the session was lost.
    """

    started: SessionStarted | None = None
    gaps: tuple[CaptureGap, ...] = ()
    ended: SessionEnded | None = None

    def after(self, entry: SessionStarted | CaptureGap | SessionEnded, state: State) -> Slot:
        """Return the slot after one more entry.

        Raises:
            TransitionRefused: It has no place there.
        """
        if isinstance(entry, SessionStarted):
            if self.started is not None or state is not State.GIVEN:
                raise TransitionRefused(
                    f"a slot opens once, and only for a consent that is given; this one is {state}"
                    + (" and had its slot" if self.started is not None else "")
                )
            return Slot(entry, self.gaps, self.ended)
        if self.started is None or self.ended is not None:
            raise TransitionRefused(f"a {entry.kind} belongs between the start and the end of a session")
        if isinstance(entry, SessionEnded):
            return Slot(self.started, self.gaps, entry)
        return Slot(self.started, (*self.gaps, entry), self.ended)


class Course:
    """Checks, entry by entry, that a whole log could have happened."""

    def __init__(self) -> None:
        """Start before the first entry."""
        self.log_id: UUID | None = None
        self.keys = KeyHistory(())
        self.trusted: set[str] = set()
        """Vkeys that follow, by endorsement, from those put in here."""
        self._states: dict[UUID, State] = {}
        self._slots: dict[UUID, Slot] = {}
        self._erasures: set[UUID] = set()
        self._maintenance: MaintenanceStarted | None = None
        self._size = 0

    def take(self, entry: Entry) -> None:
        """Go one entry on.

        Raises:
            LedgerCorrupt: The entry cannot follow those before it.
            TransitionRefused: The state machine has no such step.
        """
        if isinstance(entry, Genesis) != (self._size == 0):
            raise LedgerCorrupt(
                f"entry {self._size} is {'not ' if self._size == 0 else ''}the first of a log"
            )
        if isinstance(entry, Event):
            self._take_event(entry)
        elif isinstance(entry, SessionStarted | CaptureGap | SessionEnded):
            self._take_slot(entry)
        elif isinstance(entry, MaintenanceStarted | MaintenanceEnded):
            self._take_maintenance(entry)
        elif isinstance(entry, Genesis):
            self.log_id = entry.log
        elif isinstance(entry, KeyIntroduced | KeyRetired):
            self._take_key(entry)
        elif isinstance(entry, Begun):
            self._erasures.add(entry.record_id)
        elif isinstance(entry, QuotesRead):
            self._take_read(entry)
        elif isinstance(entry, ErasureCertificate) and entry.record_id not in self._erasures:
            raise LedgerCorrupt(f"the erasure of {entry.record_id} ended before it began")
        self._size += 1

    def _take_event(self, event: Event) -> None:
        state, before = event.state, self._states.get(event.record_id)
        if before is None:
            if state is not State.OFFERED:
                raise LedgerCorrupt(f"record {event.record_id} starts with {event.kind}")
            self._states[event.record_id] = state
        elif state is not None:
            check_step(before, state)
            if state in DECIDED:
                check_answer(event)
            self._states[event.record_id] = state

    def _take_slot(self, entry: SessionStarted | CaptureGap | SessionEnded) -> None:
        slot = self._slots.get(entry.record_id, Slot())
        state = self._states.get(entry.record_id)
        if state is None:
            raise LedgerCorrupt(f"the {entry.kind} of an unknown consent {entry.record_id}")
        if isinstance(entry, SessionStarted) and self._maintenance is not None:
            raise LedgerCorrupt(f"session {entry.session_id} started while a camera was being aimed")
        after = slot.after(entry, state)
        self._slots[entry.record_id] = replace(after, gaps=()) if after.gaps else after

    def _take_read(self, entry: QuotesRead) -> None:
        if self._states.get(entry.record_id) not in KEEPING:
            raise LedgerCorrupt(f"the quotes of {entry.record_id} were read while nothing of it may be kept")

    def _take_maintenance(self, entry: MaintenanceStarted | MaintenanceEnded) -> None:
        begun = self._maintenance
        if isinstance(entry, MaintenanceStarted):
            if begun is not None:
                raise LedgerCorrupt(f"maintenance {begun.maintenance_id} had not ended when another started")
            self._maintenance = entry
            return
        started = None if begun is None else (begun.maintenance_id, begun.counter, begun.operator)
        if started != (entry.maintenance_id, entry.counter, entry.operator):
            raise LedgerCorrupt(f"maintenance {entry.maintenance_id} ended without having started")
        self._maintenance = None

    def _take_key(self, step: KeyIntroduced | KeyRetired) -> None:
        if isinstance(step, KeyIntroduced):
            if step.log != self.log_id:
                raise LedgerCorrupt(f"the key {step.vkey} was introduced to another log")
            endorsed_by = self._endorser(step)
            if endorsed_by is None and (step.from_size or any(key.from_size for key in self.keys.periods)):
                raise LedgerCorrupt(f"no key of the log endorses the key {step.vkey}")
            if endorsed_by in self.trusted:
                self.trusted.add(step.vkey)
        elif step.vkey not in {key.vkey for key in self.keys.periods if key.until_size is None}:
            raise LedgerCorrupt(f"the key {step.vkey} was retired without having been in use")
        self.keys = with_key(self.keys, step)
        if all(key.until_size is not None for key in self.keys.periods):
            raise LedgerCorrupt("the last key of the log was retired, and none followed it")

    def _endorser(self, step: KeyIntroduced) -> str | None:
        """Return the key in use that endorses a new one."""
        if step.endorsement is None:
            return None
        try:
            line = SignatureLine.parse(step.endorsement)
            for period in self.keys.periods:
                key = verifier(period.vkey)
                if period.until_size is None and key.made(line):
                    key.check(step.endorsed(), line.signature)
                    return period.vkey
        except CheckpointRefused as error:
            raise LedgerCorrupt(f"the endorsement of the key {step.vkey} does not hold: {error}") from error
        return None
