"""The slot of a session: opened before a device is, closed at its end, or lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from consent.entry import (
    CaptureGap,
    SessionEnded,
    SessionStarted,
    SessionSummary,
    body_of,
)
from consent.event import Event
from consent.life import Slot, fold
from consent.purpose import Purpose
from consent.state import State
from consent.stored import Logged, StoredEntry, Writing


def slot_of(entries: Sequence[StoredEntry]) -> tuple[Slot, tuple[Event, ...]]:
    """Return the slot that the entries of one record make, and the events of its consent."""
    slot, events = Slot(), []
    for stored in entries:
        entry = stored.entry()
        if isinstance(entry, Event):
            events.append(entry)
        elif isinstance(entry, SessionStarted | CaptureGap | SessionEnded):
            _, state = fold(entry.record_id, events)
            slot = slot.after(entry, state)
    return slot, tuple(events)


def start_of_session(writing: Writing, record_id: UUID, at: datetime) -> Logged:
    """Open the slot of a given consent.

    Raises:
        TransitionRefused: The consent is not given, or had its slot.
        UnknownRecord: There is no such record.
    """
    slot, events = slot_of(writing.of_record(record_id))
    record, state = fold(record_id, events)
    sensed = tuple(item for item in record.purposes if item in record.given() and item is not Purpose.QUOTES)
    entry = SessionStarted(record_id, record.session_id, record.counter, at, sensed)
    slot.after(entry, state)
    return writing.append(entry.kind, body_of(entry), record_id=record_id, session_id=record.session_id)


def gap_of_session(writing: Writing, record_id: UUID, at: datetime, *, losses: int, gap_ms: int) -> Logged:
    """Log a time without media.

    Raises:
        TransitionRefused: No session runs.
    """
    slot, events = slot_of(writing.of_record(record_id))
    record, state = fold(record_id, events)
    entry = CaptureGap(record_id, record.session_id, record.counter, at, losses, gap_ms)
    slot.after(entry, state)
    return writing.append(entry.kind, body_of(entry), record_id=record_id, session_id=record.session_id)


def end_of_session(
    writing: Writing, record_id: UUID, at: datetime, summary: SessionSummary, *, monotonic_ms: int, boot: str
) -> Logged:
    """Close the slot; the consent lasted from its answer to its end, or to now.

    Raises:
        TransitionRefused: No session runs.
    """
    slot, events = slot_of(writing.of_record(record_id))
    record, state = fold(record_id, events)
    entry = SessionEnded(
        record_id=record_id,
        session_id=record.session_id,
        counter=record.counter,
        at=at,
        processed_ms=summary.processed_ms,
        consented_ms=_consented_ms(events, monotonic_ms, boot),
        units=summary.units,
        gaps=summary.gaps,
        gap_ms=summary.gap_ms,
        outcome=summary.outcome,
        commitment=summary.commitment,
    )
    slot.after(entry, state)
    return writing.append(entry.kind, body_of(entry), record_id=record_id, session_id=record.session_id)


def _consented_ms(events: Sequence[Event], monotonic_ms: int, boot: str) -> int:
    given = next((event for event in events if event.state is State.GIVEN), None)
    if given is None or given.boot != boot:
        return 0
    ends = [event.monotonic_ms for event in events if event.state not in {None, State.OFFERED, State.GIVEN}]
    return max(0, min([*ends, monotonic_ms]) - given.monotonic_ms)
