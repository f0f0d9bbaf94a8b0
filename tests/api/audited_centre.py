"""A centre with sessions whose signals, logs and figures belong together, as an audit finds them."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import rfc8785

from api.audit_export import Exported, Scope, export
from api.central_log import CentralLog
from api.database import Database
from api.disclosure import Disclosure
from api.edge_logs import EdgeLogs
from api.ingest import Ingest
from api.releases import shown_days
from api.schema import DAY_ZONE
from api.settings import IngestSettings, LogSettings
from api.witnesses import Witnesses
from consent.checkpoint import Ed25519Signer
from consent.entry import Outcome, Processed, SessionSummary
from consent.ledger import ConsentStore
from consent.record import ConsentRecord, IndicatedBy
from consent.session_keys import commitment
from consent.state import State
from consent.stopping import StopMethod
from inference.signal import Signal
from tests.api.senders import Edge, signal
from tests.consent.citizens import ALL_GIVEN, citizen

MINIMUM_N = 10
TODAY = date(2026, 11, 20)
COUNTER = "counter-1"


def morning(day: date) -> datetime:
    return datetime.combine(day, time(8), ZoneInfo(DAY_ZONE)).astimezone(UTC)


@dataclass
class AuditedCentre:
    """Sends sessions as an edge does: consent log, signal with its salt, commitment."""

    database: Database
    edge: Edge
    folder: Path
    seed: int
    rng: random.Random = field(init=False)
    store: ConsentStore = field(init=False)
    logs: EdgeLogs = field(init=False)
    log: CentralLog = field(init=False)
    now: datetime = field(init=False)
    entries: list[dict[str, object]] = field(default_factory=list)
    sent: int = 0
    shipped: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - a seeded sequence, no secret
        self.now = morning(TODAY - timedelta(days=9))
        self.store = ConsentStore(
            self.folder / "edge" / "consent.sqlite",
            now=lambda: self.now,
            signers=lambda origin: (Ed25519Signer(origin, self.edge.key),),
        )
        self.logs = EdgeLogs(self.database, LogSettings(fold_s=0))
        self.log = CentralLog(self.database, self.folder / "log")
        self.log.open()  # as the service does before it takes anything

    def session(
        self, day: date, *, score: float | None = None, committed: bool = True, counter: str = COUNTER
    ) -> ConsentRecord:
        """Serve one citizen who agrees, and keep the signal for the next batch."""
        self.now = max(self.now, morning(day)) + timedelta(minutes=3)
        record = replace(citizen(), counter=counter, offered_at=self.now)
        start = self.now
        self.store.offer(record)
        self.store.show(record.record_id, record.notice)
        self.store.decide(record.record_id, ALL_GIVEN, IndicatedBy.CITIZEN, "tap", dwell_ms=3000)
        self.store.session_started(record.record_id)
        salt = self.rng.randbytes(32)
        payload = self._signal(record, start, self.rng.random() if score is None else score)
        body = rfc8785.dumps(payload)
        self.now += timedelta(minutes=1)
        committed_to = commitment(salt, body) if committed else "ab" * 32
        summary = SessionSummary(Processed(50_000, 20_000), 900, 0, 0, Outcome.SIGNAL, committed_to)
        self.store.session_ended(record.record_id, summary)
        self.store.apply(record.record_id, State.COMPLETED, IndicatedBy.SYSTEM, "end-of-service")
        self.entries.append({"kind": "signal", "payload": payload, "salt": base64.b64encode(salt).decode()})
        return record

    def unasked(self, day: date, *, counter: str = COUNTER) -> None:
        """Serve one citizen with a child: no question is put."""
        self.now = max(self.now, morning(day)) + timedelta(minutes=3)
        record = replace(citizen(), counter=counter, offered_at=self.now)
        self.store.offer(record)
        self.store.apply(
            record.record_id, State.DEFERRED, IndicatedBy.CONTROLLER, StopMethod.ACCOMPANIED_CHILD.value
        )

    def deliver(self) -> None:
        """Send the waiting signals and ship the log."""
        first = self.sent + 1
        numbered = [{"seq": first + place, **entry} for place, entry in enumerate(self.entries)]
        if numbered:
            body = json.dumps({"edge": str(self.edge.id), "first_seq": first, "entries": numbered}).encode()
            receipt = Ingest(self.database, IngestSettings()).accept(body, self.edge.sign(body))
            assert receipt.quarantined == ()
        self.sent, self.entries = self.sent + len(numbered), []
        self.ship()

    def ship(self) -> None:
        """Ship the edge's log."""
        while self.shipped < self.store.log.size:
            stop = min(self.shipped + 400, self.store.log.size)
            document = {
                "edge": str(self.edge.id),
                "first_index": self.shipped,
                "entries": [entry.body.decode() for entry in self.store.log.entries(self.shipped, stop)],
                "checkpoint": self.store.log.checkpoint(stop).decode(),
                "keys": [],
            }
            body = json.dumps(document).encode()
            self.logs.accept(body, self.edge.sign(body))
            self.shipped = stop

    def publish(self) -> None:
        """Show the pages of the month, which releases its days."""
        shown_days(self.database, [COUNTER], TODAY.replace(day=1), Disclosure(MINIMUM_N, TODAY))

    def export(self, name: str = "export") -> tuple[Path, Exported]:
        """Write an export."""
        folder = self.folder / name
        made = export(
            self.log,
            Witnesses(self.log, LogSettings()),
            folder,
            Scope(MINIMUM_N, TODAY),
            made_at=datetime.now(UTC),
            software="test",
            actor="auditor",
        )
        return folder, made

    def _signal(self, record: ConsentRecord, start: datetime, score: float) -> dict[str, Any]:
        plausible = signal(self.rng, record.counter, start=start, score=round(score, 4))
        ids: dict[str, UUID] = {"session_id": record.session_id, "consent_record_id": record.record_id}
        document = plausible | {key: str(value) for key, value in ids.items()}
        return Signal.model_validate(document).model_dump(mode="json")
