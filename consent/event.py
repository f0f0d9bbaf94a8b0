"""What happens to a consent: one event, one entry of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, TypeAdapter
from pydantic_core import SchemaSerializer

from consent.canonical import Whole, canonical_serializer
from consent.record import Code, ConsentRecord, IndicatedBy, NoticeReference, PurposeDecision, Sha256
from consent.state import State


class EventKind(StrEnum):
    """A step of the state machine, or one of the facts around it."""

    OFFERED = "offered"
    SHOWN = "shown"
    """The notice was on the screen, in the language the event names."""
    GIVEN = "given"
    REFUSED = "refused"
    DEFERRED = "deferred"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    COMPLETED = "completed"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    CLOSED = "closed"
    """The service ended without a consent to complete."""


_STATES: Final[Mapping[EventKind, State | None]] = {
    kind: None if kind in {EventKind.SHOWN, EventKind.CLOSED} else State(kind.value) for kind in EventKind
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is stored.

    Attributes:
        at: Wall clock; for people. Order is the position in the log.
        monotonic_ms: Monotonic clock of the machine; for deadlines (milliseconds: nanoseconds
            leave the range of JSON integers after 104 days).
        boot: Which start of the machine that clock belongs to.
        receipt_digest: Ties the decision to the citizen's receipt: SHA-256 over the receipt's id
            and the digest of its withdrawal code (`consent.receipt.receipt_digest`).
        record: The record as offered; only in the first event of a record.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: EventKind
    record_id: UUID
    session_id: UUID
    at: AwareDatetime
    monotonic_ms: Whole
    boot: Code
    indicated_by: IndicatedBy
    method: Code
    decisions: tuple[PurposeDecision, ...] = ()
    dwell_ms: Whole | None = None
    notice: NoticeReference | None = None
    receipt_digest: Sha256 | None = None
    record: ConsentRecord | None = None
    schema_version: Literal[1] = 1

    @property
    def state(self) -> State | None:
        """The state this event leads to; None for a fact that changes no state."""
        return _STATES[self.kind]

    def canonical(self) -> bytes:
        """Return the event as RFC 8785 canonical JSON: the bytes that are stored and hashed."""
        return _serializer().to_json(self)

    def document(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return document

    @classmethod
    def parse(cls, body: bytes) -> Event:
        """Read an event back from its stored bytes."""
        return _adapter().validate_json(body)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with its place in the log."""

    index: int
    digest: str
    event: Event


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


@cache
def _serializer() -> SchemaSerializer:
    return canonical_serializer(_adapter())
