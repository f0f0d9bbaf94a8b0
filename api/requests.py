"""What citizens ask for under the law, with the clocks that run from the moment it arrives.

A case holds codes and ids of receipts and records, never a name, an address or the text of a
letter: those stay in the agency's own files under the case's number. A note of at most 200
characters is for the officer's own reminders and must name nobody; it never enters the log.
Each act writes one leaf of the centre's log in the transaction of the act.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from uuid6 import uuid7

from api.clock_state import ClockState, Standing
from api.database import Connection
from api.errors import CaseRefused
from api.log import append
from consent.clocks import VIET_NAM, Clocks, Deadline, Rule
from consent.errors import CalendarUnknown, LawSilent

NOTE_LENGTH: Final = 200
_REFERENCE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._:-]{0,62}[a-z0-9])?")
_PAGE: Final = 50
_COLUMNS: Final[LiteralString] = (
    "request_id, number, kind, channel, receipt_id, record_id, reference, with_processor, received_at, "
    "registered_at, acknowledge_due_at, answer_due_at, due_provisional, law, acknowledged_at, answered_at, "
    "outcome, note"
)


class RequestKind(StrEnum):
    """What is asked for; each is a rule of `consent.clocks`."""

    WITHDRAW = "withdraw"
    RESTRICT = "restrict"
    OBJECT = "object"
    VIEW = "view"
    CORRECT = "correct"
    COPY = "copy"
    DELETE = "delete"


class Channel(StrEnum):
    """How a request arrived."""

    COUNTER = "counter"
    POST = "post"
    EMAIL = "email"
    TELEPHONE = "telephone"
    WEB = "web"
    AUTHORITY = "authority"


class Outcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    DONE_IN_PART = "done-in-part"
    NOTHING_HELD = "nothing-held"
    NOT_IDENTIFIED = "not-identified"
    """The citizen could show no receipt and no number that leads to a record."""
    REFUSED = "refused"
    TAKEN_BACK = "taken-back"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data it is about: a receipt, a record, or the agency's own reference of the letter."""

    receipt_id: UUID | None = None
    record_id: UUID | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class DataRequest:
    """One request as it is kept."""

    request_id: UUID
    number: int
    kind: str
    channel: str
    receipt_id: UUID | None
    record_id: UUID | None
    reference: str | None
    with_processor: bool
    received_at: datetime
    registered_at: datetime
    acknowledge_due_at: datetime | None
    answer_due_at: datetime
    due_provisional: bool
    law: str
    acknowledged_at: datetime | None
    answered_at: datetime | None
    outcome: str | None
    note: str

    @property
    def acknowledgement(self) -> ClockState | None:
        """The clock of the acknowledgement; None where the law of the day set none."""
        if self.acknowledge_due_at is None:
            return None
        return ClockState(self.acknowledge_due_at, self.acknowledged_at or self.answered_at)

    @property
    def answer(self) -> ClockState:
        """The clock of the answer."""
        return ClockState(self.answer_due_at, self.answered_at)

    def standing(self, now: datetime) -> Standing:
        """Return the more urgent standing of the clocks that still run, or how the case ended."""
        order = list(Standing)
        running = [
            standing
            for clock in (self.acknowledgement, self.answer)
            if clock is not None and (standing := clock.standing(now)).is_open
        ]
        return max(running, key=order.index) if running else self.answer.standing(now)


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests to list, the most urgent first."""

    only_open: bool = False
    kind: RequestKind | None = None
    record_id: UUID | None = None
    receipt_id: UUID | None = None
    limit: int = _PAGE
    offset: int = 0


class Requests:
    """Keeps requests and counts their clocks.

    Args:
        clocks: The law; that of this release when left out.
    """

    def __init__(self, clocks: Clocks | None = None) -> None:
        """Read the law."""
        self._clocks = clocks or Clocks()

    def receive(
        self,
        connection: Connection,
        kind: RequestKind,
        subject: Subject,
        *,
        channel: Channel,
        actor: str,
        received_at: datetime | None = None,
        with_processor: bool = False,
        note: str = "",
        now: datetime | None = None,
    ) -> DataRequest:
        """Register a request; its clocks run from the moment it arrived, not from now.

        Raises:
            CaseRefused: Nobody is named, the time lies ahead, or the law sets no time for it.
        """
        now = now or datetime.now(UTC)
        received_at = received_at or now
        _check_subject(subject)
        _check_note(note)
        if received_at > now:
            raise CaseRefused("a request cannot arrive in the future: correct the time of arrival")
        acknowledge_due_at = self._acknowledge_due(received_at)
        due = self._due(kind, received_at, with_processor=with_processor)
        request_id = UUID(int=uuid7().int)
        connection.execute(
            "INSERT INTO data_requests (request_id, kind, channel, receipt_id, record_id, reference, "
            "with_processor, received_at, registered_at, acknowledge_due_at, answer_due_at, "
            "due_provisional, law, note) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                request_id,
                kind.value,
                channel.value,
                subject.receipt_id,
                subject.record_id,
                subject.reference,
                with_processor,
                received_at,
                now,
                acknowledge_due_at,
                due.due_at,
                due.provisional,
                f"{due.law_id} {due.version}",
                note,
            ),
        )
        request = self.get(connection, request_id)
        _log(connection, request, "received", actor, request_kind=kind.value, channel=channel.value)
        return request

    def acknowledge(
        self, connection: Connection, request_id: UUID, *, actor: str, at: datetime | None = None
    ) -> DataRequest:
        """Note that the citizen was told that the request arrived.

        Raises:
            CaseRefused: It is unknown, acknowledged or answered, or the time does not fit.
        """
        at = at or datetime.now(UTC)
        request = self._open(connection, request_id, at)
        if request.acknowledged_at is not None:
            raise CaseRefused("request {number} was acknowledged before", number=request.number)
        connection.execute(
            "UPDATE data_requests SET acknowledged_at = %s WHERE request_id = %s", (at, request_id)
        )
        request = self.get(connection, request_id)
        _log(connection, request, "acknowledged", actor)
        return request

    def involve_processor(self, connection: Connection, request_id: UUID, *, actor: str) -> DataRequest:
        """Note that a processor or third party must act as well: the answer has the longer time.

        Raises:
            CaseRefused: It is unknown or answered.
        """
        request = self._open(connection, request_id, None)
        if request.with_processor:
            return request
        due = self._due(RequestKind(request.kind), request.received_at, with_processor=True)
        connection.execute(
            "UPDATE data_requests SET with_processor = true, answer_due_at = %s, due_provisional = %s "
            "WHERE request_id = %s",
            (due.due_at, due.provisional, request_id),
        )
        request = self.get(connection, request_id)
        _log(connection, request, "processor-involved", actor)
        return request

    def answer(
        self,
        connection: Connection,
        request_id: UUID,
        outcome: Outcome,
        *,
        actor: str,
        at: datetime | None = None,
        note: str | None = None,
    ) -> DataRequest:
        """Close a request with its outcome.

        Raises:
            CaseRefused: It is unknown or answered, or the time does not fit.
        """
        at = at or datetime.now(UTC)
        request = self._open(connection, request_id, at)
        text = request.note if note is None else note
        _check_note(text)
        connection.execute(
            "UPDATE data_requests SET answered_at = %s, outcome = %s, note = %s WHERE request_id = %s",
            (at, outcome.value, text, request_id),
        )
        request = self.get(connection, request_id)
        _log(connection, request, "answered", actor, outcome=outcome.value)
        return request

    def get(self, connection: Connection, request_id: UUID) -> DataRequest:
        """Return one request.

        Raises:
            CaseRefused: There is none of this id.
        """
        with connection.cursor(row_factory=class_row(DataRequest)) as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM data_requests WHERE request_id = %s", (request_id,))  # noqa: S608 - fixed columns
            found = cursor.fetchone()
        if found is None:
            raise CaseRefused("there is no request {id}: open it from the list", id=request_id)
        return found

    def find(self, connection: Connection, wanted: RequestFilter) -> tuple[DataRequest, ...]:
        """Return requests, open ones first, in the order in which their answers are due."""
        with connection.cursor(row_factory=class_row(DataRequest)) as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM data_requests "  # noqa: S608 - fixed columns
                "WHERE (NOT %(only_open)s OR answered_at IS NULL) "
                "AND (%(kind)s::text IS NULL OR kind = %(kind)s) "
                "AND (%(record)s::uuid IS NULL OR record_id = %(record)s) "
                "AND (%(receipt)s::uuid IS NULL OR receipt_id = %(receipt)s) "
                "ORDER BY answered_at IS NOT NULL, answer_due_at, number LIMIT %(limit)s OFFSET %(offset)s",
                {
                    "only_open": wanted.only_open,
                    "kind": wanted.kind,
                    "record": wanted.record_id,
                    "receipt": wanted.receipt_id,
                    "limit": wanted.limit,
                    "offset": wanted.offset,
                },
            )
            return tuple(cursor.fetchall())

    def standings(self, connection: Connection, now: datetime) -> dict[Standing, int]:
        """Count all requests by how they stand."""
        counts = dict.fromkeys(Standing, 0)
        with connection.cursor(row_factory=class_row(DataRequest)) as cursor:
            for request in cursor.execute(f"SELECT {_COLUMNS} FROM data_requests"):  # noqa: S608 - fixed columns
                counts[request.standing(now)] += 1
        return counts

    def _open(self, connection: Connection, request_id: UUID, at: datetime | None) -> DataRequest:
        """Lock a request that is not answered yet."""
        connection.execute("SELECT 1 FROM data_requests WHERE request_id = %s FOR UPDATE", (request_id,))
        request = self.get(connection, request_id)
        if request.answered_at is not None:
            raise CaseRefused(
                "request {number} was answered on {day}; what the citizen asks now is a new request",
                number=request.number,
                day=request.answered_at.astimezone(VIET_NAM).date(),
            )
        if at is not None and at < request.received_at:
            raise CaseRefused(
                "request {number} arrived after that: correct the time of what was done",
                number=request.number,
            )
        return request

    def _acknowledge_due(self, received_at: datetime) -> datetime | None:
        try:
            return self._clocks.deadline(Rule.ACKNOWLEDGE, received_at).due_at
        except LawSilent:
            return None

    def _due(self, kind: RequestKind, received_at: datetime, *, with_processor: bool) -> Deadline:
        try:
            return self._clocks.deadline(Rule(kind.value), received_at, with_processor=with_processor)
        except LawSilent as error:
            raise CaseRefused(
                "no law of this release sets a time for this on {day}: count it by hand, or correct the time",
                day=received_at.astimezone(VIET_NAM).date(),
            ) from error
        except CalendarUnknown as error:
            raise CaseRefused(
                "the holidays of that year are not known: count it by hand and install a newer release"
            ) from error


def _check_subject(subject: Subject) -> None:
    if subject.receipt_id is None and subject.record_id is None and subject.reference is None:
        raise CaseRefused("name the receipt, the record or the agency's own reference of the letter")
    if subject.reference is not None and not _REFERENCE.fullmatch(subject.reference):
        raise CaseRefused(
            "a reference has at most 64 of the letters a to z, digits and . _ : -; it names no person"
        )


def _check_note(note: str) -> None:
    if len(note) > NOTE_LENGTH:
        raise CaseRefused(
            "a note has at most {most} characters, this one has {length}", most=NOTE_LENGTH, length=len(note)
        )


def _log(connection: Connection, request: DataRequest, act: str, actor: str, **facts: str) -> None:
    body: dict[str, object] = {
        "request": request.request_id,
        "act": act,
        "actor": actor,
        "received_at": request.received_at,
        "answer_due_at": request.answer_due_at,
        "law": request.law,
        **facts,
    }
    append(connection, "request", body, record_id=request.record_id)
