"""What the log of one edge knows of consents: states, records, sessions, receipts, evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

import structlog

from consent.entry import EVENT_KINDS, EntryKind
from consent.errors import ReceiptRefused
from consent.event import EventKind, LoggedEvent
from consent.evidence import Evidence, evidence_of
from consent.life import Slot, fold
from consent.log import Log
from consent.receipt import Receipt, code_digest, normalised
from consent.record import ConsentRecord
from consent.slots import slot_of
from consent.state import DECIDED, State
from consent.stored import StoredEntry
from consent.verification import Verification, verify_file

_log = structlog.get_logger(__name__)

Listener = Callable[[LoggedEvent], None]


class ConsentRecords:
    """The consents of a log, to read.

    Args:
        log: The open log.
    """

    def __init__(self, log: Log) -> None:
        """Read from this log."""
        self.log = log
        self._listeners: tuple[Listener, ...] = ()
        log.subscribe(self._tell)

    def state(self, record_id: UUID) -> State:
        """Return the present state of a record.

        Raises:
            UnknownRecord: There is no such record.
        """
        return current(record_id, self.log.of_record(record_id))[1]

    def record(self, record_id: UUID) -> ConsentRecord:
        """Return a record with what happened so far: answers, notice, times, dwell."""
        return current(record_id, self.log.of_record(record_id))[0]

    def events(self, record_id: UUID | None = None) -> tuple[LoggedEvent, ...]:
        """Return the events of one consent, or of all, in order."""
        if record_id is None:
            return tuple(item.event() for item in self.log.of_kind(*sorted(EVENT_KINDS)))
        return tuple(item.event() for item in self.log.of_record(record_id) if item.kind in EVENT_KINDS)

    def record_ids(self) -> tuple[UUID, ...]:
        """Return all records in the order in which they were offered."""
        return self.log.records_with(EventKind.OFFERED)

    def slot(self, record_id: UUID) -> Slot:
        """Return what is known of the session of a consent."""
        return slot_of(self.log.of_record(record_id))[0]

    def unended(self) -> tuple[UUID, ...]:
        """Return the consents whose session was started and not ended: running, or lost."""
        return self.log.records_with(EntryKind.SESSION_STARTED, without=(EntryKind.SESSION_ENDED,))

    def find_by_code(self, code: str) -> UUID | None:
        """Return the consent whose receipt carries this code; None when there is none, or it is no code."""
        try:
            return self.log.with_code(code_digest(code))
        except ReceiptRefused:
            return None

    def receipt(self, record_id: UUID, code: str) -> Receipt:
        """Return the citizen's receipt of an answer.

        Raises:
            ReceiptRefused: There is no answer yet, or the code is another record's.
            LedgerUnavailable: Nothing signs the log.
        """
        answer = next((item for item in self.events(record_id) if item.event.state in DECIDED), None)
        record = self.record(record_id)
        if answer is None or record.withdrawal_digest != code_digest(code):
            raise ReceiptRefused(
                "there is no answer to give a receipt for, or the code is not of this consent"
            )
        size = self.log.size
        return Receipt(
            receipt_id=record.receipt_id,
            record_id=record_id,
            code=normalised(code),
            leaf=self.log.entry(answer.index).body,
            index=answer.index,
            checkpoint=self.log.checkpoint(size),
            proof=self.log.inclusion_proof(answer.index, size),
        )

    def evidence(self, record_id: UUID) -> Evidence:
        """Return every entry of a record with its proof, and the signed state they are proven in.

        Raises:
            UnknownRecord: There is no such record.
        """
        self.state(record_id)
        return evidence_of(self.log, record_id)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each commit, in the writing thread; return how to stop that."""
        self._listeners = (*self._listeners, listener)
        return partial(self._unsubscribe, listener)

    def verify(self) -> Verification:
        """Check the whole log against its kept head."""
        return verify_file(self.log.path)

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(item for item in self._listeners if item is not listener)

    def _tell(self, stored: StoredEntry) -> None:
        if stored.kind not in EVENT_KINDS or not self._listeners:
            return
        logged = stored.event()
        for listener in self._listeners:
            try:
                listener(logged)
            except Exception:  # noqa: BLE001 - one listener's fault must not hide the event from others
                _log.exception("consent_listener_failed", index=stored.index)


def current(record_id: UUID, entries: Sequence[StoredEntry]) -> tuple[ConsentRecord, State]:
    """Return a record as its entries leave it, and its state.

    Raises:
        UnknownRecord: They do not start with an offer.
    """
    return fold(record_id, [item.event().event for item in entries if item.kind in EVENT_KINDS])
