"""Some days of consents at three counters, written by a real edge's log and sent as the edge sends it.

`fill_consents` gives a privacy officer's week: citizens who agree, refuse, stay silent or withdraw, an
erasure, a lost slot, gaps, and one counter at which somebody else seems to answer. Records worth
looking up have a name in `Sent.records`; the codes of their slips are in `Sent.codes`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Database
from api.edge_logs import EdgeLogs
from api.schema import DAY_ZONE
from api.settings import LogSettings
from api.trends import local_today
from capture.erasure import LogJournal
from consent.checkpoint import Ed25519Signer
from consent.entry import Outcome, Processed, SessionSummary
from consent.erasure import Eraser
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.receipt import code_digest, new_code
from consent.record import ConsentRecord, IndicatedBy
from consent.session_keys import SessionKeys
from consent.state import State
from tests.api.edge_consents import part
from tests.api.senders import Edge, enrolled_edge
from tests.consent.citizens import Clocks, citizen

ALL = (Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES)
CALM, BUSY, PRESSED = "ba-dinh.ho-tich", "ba-dinh.dat-dai", "cau-giay.ho-tich"
COUNTERS = (CALM, BUSY, PRESSED)
DAYS = 6
_MOST_ENTRIES = 400


@dataclass(frozen=True, slots=True)
class Sent:
    """What a week left: ids of records with a name, and the codes on their slips.

    Attributes:
        records: `whole`, `english`, `switched`, `half`, `refused`, `silent`, `withdrawn` (at once),
            `late` (after the service, erased at the edge), `expired`, `revoked`, `lost`, `gaps`,
            `overrun` (more processed than consented), `pressed`, `open` (given, of this hour).
        total: How many records there are.
    """

    edge: Edge
    records: Mapping[str, UUID]
    codes: Mapping[str, str]
    total: int


@dataclass
class ConsentSender:
    """An edge whose clock tells what it is told, and its way to the centre."""

    database: Database
    folder: Path
    seed: int = 1
    counters: tuple[str, ...] = COUNTERS
    clocks: Clocks = field(default_factory=Clocks)
    total: int = 0
    shipped: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - a seeded sequence, no secret
        self.edge = enrolled_edge(self.database, self.counters, area="ha-noi")
        self.store = ConsentStore(
            self.folder / "consent.sqlite",
            signers=lambda origin: (Ed25519Signer(origin, self.edge.key),),
            now=self.clocks.now,
            monotonic_ns=self.clocks.monotonic_ns,
        )
        self.logs = EdgeLogs(self.database, LogSettings(fold_s=0))
        self.keys = SessionKeys(self.folder / "keys.sqlite")
        erasure_key = Ed25519Signer(f"{self.store.log.origin}/erasure", Ed25519PrivateKey.generate())
        self.eraser = Eraser(
            LogJournal(self.store), (self.keys,), receipt_signer=erasure_key, now=self.clocks.now
        )

    def at(self, moment: datetime) -> None:
        """Let time pass until a moment; both clocks go on, and never back."""
        self.clocks.advance(max(0.0, (moment - self.clocks.wall).total_seconds()))

    def offer(
        self,
        counter: str,
        *,
        purposes: tuple[Purpose, ...] = ALL,
        language: str = "vi",
        shown_in: str | None = None,
        code: str | None = None,
    ) -> ConsentRecord:
        """Ask a citizen and show the notice; `shown_in` is the language it was switched to."""
        record = replace(
            citizen(purposes, language=language),
            counter=counter,
            offered_at=self.clocks.wall,
            withdrawal_digest=code_digest(code) if code else None,
        )
        self.total += 1
        self.store.offer(record)
        self.store.show(record.record_id, record.notice)
        if shown_in:
            self.store.show(record.record_id, citizen(purposes, language=shown_in).notice)
        return record

    def answer(
        self,
        record: ConsentRecord,
        given: tuple[Purpose, ...] = ALL,
        *,
        dwell_ms: int | None = None,
        language: str | None = None,
    ) -> None:
        """Log the citizen's answer after its dwell time."""
        dwell_ms = self.rng.randint(2600, 14_000) if dwell_ms is None else dwell_ms
        self.clocks.advance(dwell_ms / 1000)
        choices = {purpose: purpose in given for purpose in record.purposes}
        notice = citizen(record.purposes, language=language).notice if language else None
        self.store.decide(
            record.record_id, choices, IndicatedBy.CITIZEN, "tap", dwell_ms=dwell_ms, notice=notice
        )

    def serve(
        self,
        record: ConsentRecord,
        given: tuple[Purpose, ...] = ALL,
        *,
        seconds: int | None = None,
        longer_ms: int = -900,
    ) -> None:
        """Capture what was given for a while and complete; `longer_ms` more than was consented to."""
        seconds = self.rng.randint(60, 300) if seconds is None else seconds
        self.store.session_started(record.record_id)
        self.keys.make(record.record_id)
        self.clocks.advance(seconds)
        self.store.complete(record.record_id, self.summary(seconds * 1000 + longer_ms, given))

    def summary(
        self, length_ms: int, given: tuple[Purpose, ...] = ALL, *, gaps: int = 0, gap_ms: int = 0
    ) -> SessionSummary:
        """Return what a session of that length did."""
        processed = Processed(
            length_ms if Purpose.IMAGE in given else 0,
            max(0, length_ms - 4000) if Purpose.VOICE in given else 0,
        )
        outcome = Outcome.SIGNAL if self.rng.random() < 0.85 else Outcome.ABSTAINED
        return SessionSummary(processed, length_ms // 100, gaps, gap_ms, outcome, "ab" * 32)

    def whole(self, counter: str, **terms: object) -> ConsentRecord:
        """Log one consent from the offer to its completion."""
        record = self.offer(counter, **terms)  # type: ignore[arg-type]  # named as offer() names them
        self.answer(record, record.purposes)
        self.serve(record)
        return record

    def ship(self) -> None:
        """Send what is new, in parts, each with its signed checkpoint."""
        while self.shipped < self.store.log.size:
            stop = min(self.shipped + _MOST_ENTRIES, self.store.log.size)
            texts = [entry.body.decode() for entry in self.store.log.entries(self.shipped, stop)]
            body = part(self.edge.id, self.shipped, texts, self.store.log.checkpoint(stop))
            self.logs.accept(body, self.edge.sign(body))
            self.shipped = stop

    def close(self) -> None:
        """Close the edge's files."""
        self.store.close()
        self.keys.close()


def fill_consents(database: Database, folder: Path, *, seed: int = 1) -> Sent:
    """Send a week of about sixty consents, and the notable ones under their names."""
    folder.mkdir(parents=True, exist_ok=True)
    first = morning_of(DAYS)
    sender = ConsentSender(database, folder, seed, clocks=Clocks(wall=first))
    named: dict[str, UUID] = {}
    codes: dict[str, str] = {}
    for back in range(DAYS, 0, -1):
        sender.at(morning_of(back))
        for counter in (CALM, BUSY):
            _ordinary_day(sender, counter)
        if back == 5:
            _notable(sender, named, codes)
        if back == 2:
            _withdrawn(sender, named, codes)
            _pressed(sender, named)
        sender.ship()
    _this_hour(sender, named, codes)
    sender.ship()
    sent = Sent(sender.edge, named, codes, sender.total)
    sender.close()
    return sent


def morning_of(back: int) -> datetime:
    """Return eight o'clock in Viet Nam, `back` days ago."""
    day = local_today() - timedelta(days=back)
    return datetime.combine(day, time(8), ZoneInfo(DAY_ZONE)).astimezone(UTC)


def _ordinary_day(sender: ConsentSender, counter: str) -> None:
    sender.clocks.advance(sender.rng.randint(200, 900))
    for _ in range(2):
        sender.whole(counter)
        sender.clocks.advance(sender.rng.randint(200, 900))
    if sender.rng.random() < 0.7:
        sender.answer(sender.offer(counter), ())
        sender.clocks.advance(300)


def _notable(sender: ConsentSender, named: dict[str, UUID], codes: dict[str, str]) -> None:
    codes["whole"], codes["refused"] = new_code(), new_code()
    named["whole"] = sender.whole(CALM, code=codes["whole"]).record_id
    named["english"] = sender.whole(CALM, language="en").record_id
    switched = sender.offer(CALM, shown_in="en")
    sender.answer(switched, (Purpose.IMAGE,), language="en")
    sender.serve(switched, (Purpose.IMAGE,))
    half = sender.offer(BUSY)
    sender.answer(half, (Purpose.VOICE,))
    sender.serve(half, (Purpose.VOICE,))
    refused = sender.offer(CALM, code=codes["refused"])
    sender.answer(refused, ())
    silent = sender.offer(BUSY)
    sender.clocks.advance(45)
    sender.store.apply(silent.record_id, State.DEFERRED, IndicatedBy.SYSTEM, "timeout")
    expired = sender.offer(BUSY)
    sender.answer(expired)
    sender.store.session_started(expired.record_id)
    sender.clocks.advance(3600)
    sender.store.apply(expired.record_id, State.EXPIRED, IndicatedBy.SYSTEM, "time-limit")
    sender.store.session_ended(expired.record_id, sender.summary(3_590_000))
    revoked = sender.offer(CALM)
    sender.answer(revoked)
    sender.store.apply(revoked.record_id, State.REVOKED, IndicatedBy.CONTROLLER, "accompanied-child")
    lost = sender.offer(BUSY)
    sender.answer(lost)
    sender.store.session_started(lost.record_id)
    sender.clocks.advance(120)
    sender.store.apply(lost.record_id, State.EXPIRED, IndicatedBy.SYSTEM, "restart")
    gaps = sender.offer(CALM)
    sender.answer(gaps)
    sender.store.session_started(gaps.record_id)
    sender.clocks.advance(90)
    sender.store.gap(gaps.record_id, losses=1, gap_ms=21_000)
    sender.clocks.advance(60)
    sender.store.complete(gaps.record_id, sender.summary(125_000, gaps=1, gap_ms=21_000))
    overrun = sender.offer(BUSY)
    sender.answer(overrun)
    sender.serve(overrun, seconds=60, longer_ms=9000)
    for name, record in (
        *(("switched", switched), ("half", half), ("refused", refused), ("silent", silent)),
        *(("expired", expired), ("revoked", revoked), ("lost", lost), ("gaps", gaps), ("overrun", overrun)),
    ):
        named[name] = record.record_id


def _withdrawn(sender: ConsentSender, named: dict[str, UUID], codes: dict[str, str]) -> None:
    at_once = sender.offer(CALM)
    sender.answer(at_once)
    sender.store.session_started(at_once.record_id)
    sender.clocks.advance(40)
    sender.store.apply(at_once.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "button")
    sender.store.session_ended(
        at_once.record_id, SessionSummary(Processed(39_000, 35_000), 390, outcome=Outcome.WITHDRAWN)
    )
    codes["late"] = new_code()
    late = sender.whole(CALM, code=codes["late"])
    sender.clocks.advance(1800)
    sender.store.apply(late.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt")
    sender.eraser.erase(late.record_id, "withdrawn")
    named["withdrawn"], named["late"] = at_once.record_id, late.record_id


def _pressed(sender: ConsentSender, named: dict[str, UUID]) -> None:
    """Somebody taps for the citizens: at once, everything, one after the other, and nobody refuses."""
    for _ in range(14):
        record = sender.offer(PRESSED)
        sender.answer(record, dwell_ms=sender.rng.randint(280, 900))
        sender.serve(record, seconds=2, longer_ms=-100)
        named["pressed"] = record.record_id


def _this_hour(sender: ConsentSender, named: dict[str, UUID], codes: dict[str, str]) -> None:
    sender.at(datetime.now(UTC) - timedelta(minutes=12))
    sender.whole(CALM)
    codes["open"] = new_code()
    record = sender.offer(CALM, code=codes["open"])
    sender.answer(record)
    sender.store.session_started(record.record_id)
    named["open"] = record.record_id
