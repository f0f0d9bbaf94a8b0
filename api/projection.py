"""What the edges' logs say about each consent, one row a record: folded from the entries as they come.

The log is the truth and the row a view of it. An entry that does not fit the record before it is kept in
the log as evidence, changes nothing here, and is listed as an anomaly of its edge.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from psycopg.rows import class_row

from api.database import Connection
from consent.entry import CaptureGap, Entry, SessionEnded, SessionStarted
from consent.errors import TransitionRefused
from consent.event import Event, EventKind
from consent.life import check_answer
from consent.purpose import Purpose
from consent.record import NoticeReference
from consent.state import DECIDED, ERASING, PERMITTING, State, check_step

_TYPES: Final[Mapping[str, str]] = {
    "record_id": "uuid",
    "receipt_id": "uuid",
    "edge_id": "uuid",
    "session_id": "uuid",
    "counter": "text",
    "state": "text",
    "notice_id": "text",
    "notice_version": "text",
    "notice_sha256": "text",
    "language": "text",
    "channel": "text",
    "offered_at": "timestamptz",
    "first_index": "bigint",
    "last_index": "bigint",
    "shown_at": "timestamptz",
    "decided_at": "timestamptz",
    "ended_at": "timestamptz",
    "dwell_ms": "bigint",
    "image": "text",
    "voice": "text",
    "quotes": "text",
    "withdrawal_digest": "text",
    "withdrawn_at": "timestamptz",
    "session_started_at": "timestamptz",
    "session_ended_at": "timestamptz",
    "processed_image_ms": "bigint",
    "processed_voice_ms": "bigint",
    "consented_ms": "bigint",
    "units": "bigint",
    "gaps": "bigint",
    "gap_ms": "bigint",
    "outcome": "text",
    "commitment": "text",
    "decision_index": "bigint",
}
COLUMNS: Final = ", ".join(_TYPES)
_UPSERT: Final = (
    f"INSERT INTO consents ({COLUMNS}) SELECT * FROM unnest("  # noqa: S608 - names of this module
    + ", ".join(f"%s::{kind}[]" for kind in _TYPES.values())
    + ") ON CONFLICT (record_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _TYPES if name not in {"record_id", "edge_id"})
)


Told: TypeAlias = Event | SessionStarted | SessionEnded | CaptureGap


@dataclass(slots=True)
class Consent:
    """One consent as its edge's log tells it so far.

    Attributes:
        edge_id: The edge with whose log the record came.
        image: Answer for the image signal; None where it was not asked; `voice` and `quotes` alike.
        ended_at: When the consent ended, or the service without one.
        consented_ms: From the answer to the end; None until the session ended.
        first_index: The record's first entry in the edge's log; `decision_index` and `last_index` alike.
    """

    record_id: UUID
    receipt_id: UUID
    edge_id: UUID
    session_id: UUID
    counter: str
    state: str
    notice_id: str
    notice_version: str
    notice_sha256: str
    language: str
    channel: str
    offered_at: datetime
    first_index: int
    last_index: int
    shown_at: datetime | None = None
    decided_at: datetime | None = None
    ended_at: datetime | None = None
    dwell_ms: int | None = None
    image: str | None = None
    voice: str | None = None
    quotes: str | None = None
    withdrawal_digest: str | None = None
    withdrawn_at: datetime | None = None
    session_started_at: datetime | None = None
    session_ended_at: datetime | None = None
    processed_image_ms: int | None = None
    processed_voice_ms: int | None = None
    consented_ms: int | None = None
    units: int | None = None
    gaps: int = 0
    gap_ms: int = 0
    outcome: str | None = None
    commitment: str | None = None
    decision_index: int | None = None

    @property
    def lost(self) -> bool:
        """Whether the slot of the session was opened and never closed."""
        return self.session_started_at is not None and self.session_ended_at is None

    def answer(self, purpose: Purpose) -> str | None:
        """Return the answer for one purpose, None where it was not asked."""
        return {Purpose.IMAGE: self.image, Purpose.VOICE: self.voice, Purpose.QUOTES: self.quotes}[purpose]


@dataclass(slots=True)
class Projected:
    """What a part of a log changed.

    Attributes:
        erasing: Consents that ended in a state that erases.
        anomalies: Index of each entry that does not fit, and why.
    """

    erasing: list[Consent] = field(default_factory=list)
    anomalies: list[tuple[int, str]] = field(default_factory=list)


def project(
    connection: Connection, edge: UUID, entries: Sequence[tuple[int, Entry]], *, counters: Collection[str]
) -> Projected:
    """Fold consecutive entries of one edge's log into the rows of its consents.

    Args:
        connection: Inside the transaction that stores the entries.
        edge: The edge with whose log they came.
        entries: Index and content of each.
        counters: The counters that the edge serves.
    """
    told = [(index, entry) for index, entry in entries if isinstance(entry, Told)]
    rows = _read(connection, {entry.record_id for _, entry in told})
    result = Projected()
    touched: dict[UUID, Consent] = {}
    for index, entry in told:
        fault = fold(rows, index, entry, edge, counters)
        if fault:
            result.anomalies.append((index, fault))
            continue
        row = rows[entry.record_id]
        row.last_index = index
        touched[row.record_id] = row
        if isinstance(entry, Event) and entry.state in ERASING:
            result.erasing.append(row)
    _write(connection, list(touched.values()))
    return result


def fold(rows: dict[UUID, Consent], index: int, entry: Told, edge: UUID, counters: Container[str]) -> str:
    """Apply one entry to the records so far; returns what is wrong with it, empty when nothing is."""
    row = rows.get(entry.record_id)
    if isinstance(entry, Event) and entry.kind is EventKind.OFFERED:
        fault = _check_offer(row, entry, edge, counters)
        if not fault:
            rows[entry.record_id] = _offered(edge, index, entry)
        return fault
    if row is None:
        return "no-offer-before"
    if row.edge_id != edge:
        return "record-of-another-edge"
    if row.session_id != entry.session_id:
        return "other-session"
    return _step(row, index, entry) if isinstance(entry, Event) else _slot(row, entry)


def _check_offer(row: Consent | None, event: Event, edge: UUID, counters: Container[str]) -> str:
    if row is not None:
        return "offered-twice" if row.edge_id == edge else "record-of-another-edge"
    if event.record is None or event.record.record_id != event.record_id:
        return "offer-without-record"
    return "" if event.record.counter in counters else "counter-not-enrolled"


def _slot(row: Consent, entry: SessionStarted | SessionEnded | CaptureGap) -> str:
    opened, closed = row.session_started_at is not None, row.session_ended_at is not None
    if isinstance(entry, SessionStarted):
        if opened or State(row.state) not in PERMITTING:
            return "slot-opened-twice" if opened else f"slot-without-consent:{row.state}"
        row.session_started_at = entry.at
        return ""
    if not opened or closed:
        return "slot-closed-before" if closed else "no-slot-open"
    if isinstance(entry, CaptureGap):
        row.gaps += entry.losses
        row.gap_ms += entry.gap_ms
    else:
        _close(row, entry)
    return ""


def _offered(edge: UUID, index: int, event: Event) -> Consent:
    record = event.record
    assert record is not None  # noqa: S101 - looked at by the caller
    asked = {item.purpose: item.answer.value for item in record.decisions}
    return Consent(
        record_id=record.record_id,
        receipt_id=record.receipt_id,
        edge_id=edge,
        session_id=event.session_id,
        counter=record.counter,
        state=State.OFFERED.value,
        **_notice(record.notice),
        offered_at=record.offered_at,
        first_index=index,
        last_index=index,
        image=asked.get(Purpose.IMAGE),
        voice=asked.get(Purpose.VOICE),
        quotes=asked.get(Purpose.QUOTES),
        withdrawal_digest=record.withdrawal_digest,
    )


def _step(row: Consent, index: int, event: Event) -> str:
    state = event.state
    if state is not None:
        fault = _fault_of_step(row, event, state)
        if fault:
            return fault
        row.state = state.value
    if event.notice is not None and (state is None or state in DECIDED):
        for name, value in _notice(event.notice).items():
            setattr(row, name, value)
    if event.kind is EventKind.SHOWN:
        row.shown_at = event.at
    elif state in DECIDED:
        row.decided_at, row.dwell_ms, row.decision_index = event.at, event.dwell_ms, index
        answers = {item.purpose: item.answer.value for item in event.decisions}
        row.image = answers.get(Purpose.IMAGE, row.image)
        row.voice = answers.get(Purpose.VOICE, row.voice)
        row.quotes = answers.get(Purpose.QUOTES, row.quotes)
    elif row.ended_at is None:
        row.ended_at = event.at
    if state is State.WITHDRAWN:
        row.withdrawn_at = event.at
    return ""


def _fault_of_step(row: Consent, event: Event, state: State) -> str:
    try:
        check_step(State(row.state), state)
    except TransitionRefused:
        return f"no-step:{row.state}-{state.value}"
    try:
        if state in DECIDED:
            check_answer(event)
    except TransitionRefused:
        return f"no-answer:{state.value}"
    return ""


def _close(row: Consent, entry: SessionEnded) -> None:
    row.session_ended_at = entry.at
    row.processed_image_ms, row.processed_voice_ms = entry.processed_ms.image, entry.processed_ms.voice
    row.consented_ms, row.units = entry.consented_ms, entry.units
    row.gaps, row.gap_ms = entry.gaps, entry.gap_ms
    row.outcome, row.commitment = entry.outcome.value, entry.commitment


def _notice(notice: NoticeReference) -> dict[str, Any]:
    return {
        "notice_id": notice.notice_id,
        "notice_version": notice.version,
        "notice_sha256": notice.sha256,
        "language": notice.language,
        "channel": notice.channel.value,
    }


def _read(connection: Connection, records: Collection[UUID]) -> dict[UUID, Consent]:
    if not records:
        return {}
    with connection.cursor(row_factory=class_row(Consent)) as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM consents WHERE record_id = ANY(%s)",  # noqa: S608 - names of this module
            (list(records),),
        )
        return {row.record_id: row for row in cursor}


def _write(connection: Connection, rows: Sequence[Consent]) -> None:
    if rows:
        names = [item.name for item in fields(Consent)]
        ordered = sorted(rows, key=lambda row: row.record_id)
        connection.execute(_UPSERT, [[getattr(row, name) for row in ordered] for name in names])
