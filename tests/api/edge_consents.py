"""A real consent log of an edge, sent in parts as the edge's program sends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from api.edge_logs import EdgeLogs, Taken
from consent.checkpoint import Ed25519Signer
from consent.entry import Outcome, Processed, SessionSummary
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.receipt import code_digest
from consent.record import ConsentRecord, IndicatedBy
from consent.state import State
from tests.api.senders import Edge
from tests.consent.citizens import BOTH, citizen

CITIZEN = IndicatedBy.CITIZEN


@dataclass
class EdgeLog:
    edge: Edge
    store: ConsentStore

    @classmethod
    def make(cls, edge: Edge, folder: Path) -> EdgeLog:
        store = ConsentStore(
            folder / "consent.sqlite", signers=lambda origin: (Ed25519Signer(origin, edge.key),)
        )
        return cls(edge, store)

    @property
    def size(self) -> int:
        return self.store.log.size

    def body(self, first: int, stop: int | None = None, *, checkpoint: bytes | None = None) -> bytes:
        last = self.size if stop is None else stop
        texts = [entry.body.decode() for entry in self.store.log.entries(first, last)]
        note = checkpoint if checkpoint is not None else self.store.log.checkpoint(last)
        return part(self.edge.id, first, texts, note)

    def send(self, logs: EdgeLogs, first: int, stop: int | None = None) -> Taken:
        body = self.body(first, stop)
        return logs.accept(body, self.edge.sign(body))

    def offer(
        self,
        *,
        counter: str = "counter-1",
        purposes: tuple[Purpose, ...] = BOTH,
        at: datetime | None = None,
        code: str | None = None,
    ) -> ConsentRecord:
        record = replace(
            citizen(purposes),
            counter=counter,
            offered_at=at or datetime.now(UTC),
            withdrawal_digest=code_digest(code) if code else None,
        )
        self.store.offer(record)
        self.store.show(record.record_id, record.notice)
        return record

    def give(self, record: ConsentRecord, *, given: bool = True, dwell_ms: int = 4000) -> None:
        choices = dict.fromkeys(record.purposes, given)
        self.store.decide(record.record_id, choices, CITIZEN, "tap", dwell_ms=dwell_ms)

    def session(self, record: ConsentRecord, *, processed_ms: int = 9000) -> None:
        self.store.session_started(record.record_id)
        self.store.session_ended(
            record.record_id,
            SessionSummary(Processed(processed_ms, processed_ms // 2), 90, 0, 0, Outcome.SIGNAL, "ab" * 32),
        )

    def whole(self, **terms: object) -> ConsentRecord:
        """Log one consent from the offer to its completion."""
        record = self.offer(**terms)  # type: ignore[arg-type]  # named as offer() names them
        self.give(record)
        self.session(record)
        self.store.apply(record.record_id, State.COMPLETED, IndicatedBy.SYSTEM, "end")
        return record


def part(edge: UUID, first: int, texts: Sequence[str], note: bytes, keys: Sequence[str] = ()) -> bytes:
    document = {
        "edge": str(edge),
        "first_index": first,
        "entries": list(texts),
        "checkpoint": note.decode(),
        "keys": list(keys),
    }
    return json.dumps(document).encode()
