"""Consents that were lived to an end, with their evidence: what the tests of exports look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.checkpoint import Ed25519Signer
from consent.entry import EntryKind, Outcome, Processed, SessionSummary
from consent.erasure import Begun, Eraser, ErasureCertificate
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from tests.consent.citizens import BOTH, Clocks, citizen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from consent.checkpoint import Signer

KEY = bytes(range(32))
ERASURE_KEY = bytes(range(32, 64))


def signers(origin: str) -> Sequence[Signer]:
    return [Ed25519Signer(origin, Ed25519PrivateKey.from_private_bytes(KEY))]


def open_store(path: Path, clocks: Clocks) -> ConsentStore:
    return ConsentStore(path, signers=signers, now=clocks.now, monotonic_ns=clocks.monotonic_ns)


@dataclass
class Shelf:
    """A store that had something to erase."""

    name: str
    left: int

    def erase(self, record_id: UUID) -> int:
        removed, self.left = self.left, 0
        return removed


@dataclass
class StoreJournal:
    """Writes erasures into the consent log, as the edge does."""

    store: ConsentStore

    def begin(self, begun: Begun) -> None:
        self.store.note(EntryKind.ERASURE_STARTED, begun.document(), begun.record_id)

    def done(self, certificate: ErasureCertificate) -> None:
        self.store.note(EntryKind.ERASURE_DONE, certificate.document(), certificate.record_id)

    def open(self) -> tuple[Begun, ...]:
        return ()

    def finished(self) -> tuple[ErasureCertificate, ...]:
        return ()

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        return None


def lived(
    store: ConsentStore, clocks: Clocks, end: State, *, pseudonym: str | None = None, quotes: bool = False
) -> UUID:
    """Let one citizen be asked and come to an end; returns the record."""
    record = citizen((*BOTH, Purpose.QUOTES), subject_pseudonym=pseudonym)
    store.offer(record)
    clocks.advance(1)
    if end is State.OFFERED:
        return record.record_id
    store.show(record.record_id, record.notice)
    clocks.advance(7)
    if end is State.DEFERRED:
        store.apply(record.record_id, end, IndicatedBy.SYSTEM, "timeout")
        return record.record_id
    given = end is not State.REFUSED
    choices = {Purpose.IMAGE: given, Purpose.VOICE: given and quotes, Purpose.QUOTES: given and quotes}
    store.decide(record.record_id, choices, IndicatedBy.CITIZEN, "kiosk-touch", dwell_ms=7000)
    if end is State.REFUSED:
        store.close_service(record.record_id, IndicatedBy.SYSTEM, "end-of-service")
        return record.record_id
    store.session_started(record.record_id)
    clocks.advance(120)
    if end is State.GIVEN:
        return record.record_id
    store.gap(record.record_id, losses=1, gap_ms=800)
    by = IndicatedBy.CITIZEN if end is State.WITHDRAWN else IndicatedBy.SYSTEM
    store.apply(record.record_id, end, by, "kiosk-touch" if end is State.WITHDRAWN else "test")
    summary = SessionSummary(
        processed_ms=Processed(image=119_000, voice=40_000 if quotes else 0),
        units=2975,
        gaps=1,
        gap_ms=800,
        outcome=Outcome.SIGNAL,
    )
    store.session_ended(record.record_id, summary)
    if end is State.WITHDRAWN:
        signer = Ed25519Signer("erasure", Ed25519PrivateKey.from_private_bytes(ERASURE_KEY))
        shelves = (Shelf("outbox", 1), Shelf("buffers", 0), Shelf("session-key", 1))
        Eraser(StoreJournal(store), shelves, receipt_signer=signer, now=clocks.now).erase(
            record.record_id, "withdrawn"
        )
    return record.record_id
