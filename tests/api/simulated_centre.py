"""A simulated centre: visits whose satisfaction is known, of whom some consent, are measured, and vote."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from api.database import Database
from api.index.calibrations import KeptCalibration, keep
from api.index.model_key import model_key
from api.schema import DAY_ZONE, create_partition, ingest_statement, next_month, signal_arrays, signal_row
from api.statistics.calibration import fit
from inference.signal import Criterion, ModelVersion, Signal
from tests.api.senders import Edge, enrolled_edge, signal

MODEL_A = ModelVersion(name="centerface", version="1", sha256="0" * 64)
MODEL_B = ModelVersion(name="centerface", version="2", sha256="1" * 64)
KEY_A, KEY_B = model_key([MODEL_A]), model_key([MODEL_B])


@dataclass(frozen=True, slots=True)
class Visits:
    """What happens to the visits of a counter.

    Attributes:
        satisfied: True share of satisfied visits.
        consent: Chance of a yes from a satisfied and from an unsatisfied visitor.
        vote: Chance of a ballot.
        spread: How much scores overlap: 0 tells everything, 1 much less.
    """

    satisfied: float = 0.85
    consent: tuple[float, float] = (0.6, 0.6)
    vote: float = 0.5
    spread: float = 0.5
    scored: float = 0.95
    model: ModelVersion = MODEL_A


@dataclass
class SimulatedCentre:
    """Puts visits into the tables as ingest and the projection of logs would."""

    database: Database
    seed: int
    area: str = "ha-noi"
    counters: Sequence[str] = ("quay-1", "quay-2")
    rng: random.Random = field(init=False)
    edge: Edge = field(init=False)
    index: int = 0
    truth: dict[tuple[str, date], list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - a seeded sequence, no secret
        self.edge = enrolled_edge(self.database, self.counters, area=self.area)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO edge_logs (edge_id, sender_id, origin, size, root, note) "
                "VALUES (%s, %s, %s, 0, %s, %s)",
                (self.edge.id, self.edge.id, f"hailong/edge/{self.edge.id}", b"\0" * 32, b"-"),
            )

    def serve(self, counter: str, month: date, count: int, kind: Visits | None = None) -> None:
        """Let `count` visits happen, spread over the days of a month."""
        kind = kind or Visits()
        length = (next_month(month) - month).days
        self.serve_at(
            counter,
            [
                datetime.combine(month + timedelta(days=place % length), time(8), ZoneInfo(DAY_ZONE))
                + timedelta(minutes=3 * (place // length))
                for place in range(count)
            ],
            kind,
        )

    def serve_at(self, counter: str, moments: Sequence[datetime], kind: Visits) -> None:
        """Let visits happen at given moments."""
        consents: list[tuple[Any, ...]] = []
        ballots: list[tuple[Any, ...]] = []
        signals: list[Signal] = []
        for moment in moments:
            at = moment.astimezone(UTC)
            yes = self.rng.random() < kind.satisfied
            local = moment.astimezone(ZoneInfo(DAY_ZONE)).date()
            self.truth.setdefault((counter, local.replace(day=1)), []).append(yes)
            record, session = self._id(), self._id()
            given = self.rng.random() < kind.consent[0 if yes else 1]
            self.index += 1
            consents.append(
                (
                    *(record, self._id(), self.edge.id, session, counter),
                    "completed" if given else self.rng.choice(("refused", "deferred")),
                    *("n", "1", "0" * 64, "vi", "kiosk", at, at if given else None),
                    *((at, at + timedelta(minutes=2)) if given else (None, None)),
                    *(120_000 if given else None, self.index, self.index),
                )
            )
            if given and self.rng.random() < kind.scored:
                signals.append(self._signal(counter, at, record, session, yes=yes, kind=kind))
            if self.rng.random() < kind.vote:
                answers = self._answers(yes=yes)
                ballots.append((self._id(), counter, at + timedelta(minutes=3), session, *answers))
        self._write(consents, ballots, signals)

    def ballots_only(self, counter: str, month: date, count: int, satisfied: float) -> None:
        """Let ballots come of which no ledger knows the visit."""
        at = datetime.combine(month, time(9), ZoneInfo(DAY_ZONE)).astimezone(UTC)
        rows = [
            (
                *(self._id(), counter, at + timedelta(minutes=place), None),
                *self._answers(yes=self.rng.random() < satisfied),
            )
            for place in range(count)
        ]
        self._write([], rows, [])

    def calibrated(self, until: date, kind: Visits, *, version: int = 1, n: int = 4000) -> KeptCalibration:
        """Keep a calibration fitted on as many visits as a test has no time to put into the tables."""
        satisfied = [self.rng.random() < kind.satisfied for _ in range(n)]
        scores = [self._score(yes=yes, kind=kind) for yes in satisfied]
        key = model_key([kind.model])
        kept = KeptCalibration(version, key, ("centerface",), fit(key, until, scores, satisfied))
        with self.database.transaction() as connection:
            keep(connection, kept)
        return kept

    def share(self, month: date, *counters: str) -> float:
        """Return the true share of satisfied visits."""
        found = [yes for counter in counters for yes in self.truth[counter, month]]
        return sum(found) / len(found)

    def _signal(
        self, counter: str, at: datetime, record: UUID, session: UUID, *, yes: bool, kind: Visits
    ) -> Signal:
        document = signal(self.rng, counter, start=at, score=self._score(yes=yes, kind=kind)) | {
            "consent_record_id": str(record),
            "session_id": str(session),
            "models": [kind.model.model_dump()],
        }
        return Signal.model_validate(document)

    def _score(self, *, yes: bool, kind: Visits) -> float:
        return round(min(1.0, max(0.0, self.rng.gauss(0.75 if yes else 0.35, 0.28 * kind.spread))), 4)

    def _answers(self, *, yes: bool) -> tuple[bool, ...]:
        if yes:
            return (True,) * len(Criterion)
        wrong = self.rng.randrange(len(Criterion))
        return tuple(place != wrong and self.rng.random() < 0.7 for place in range(len(Criterion)))

    def _write(
        self, consents: list[tuple[Any, ...]], ballots: list[tuple[Any, ...]], signals: list[Signal]
    ) -> None:
        with self.database.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO consents (record_id, receipt_id, edge_id, session_id, counter, state, "
                "notice_id, notice_version, notice_sha256, language, channel, offered_at, decided_at, "
                "session_started_at, session_ended_at, consented_ms, first_index, last_index) VALUES "
                "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                consents,
            )
            row = cursor.execute("SELECT coalesce(max(seq), 0) FROM ballots").fetchone()
            first = 1 + (row[0] if row else 0)
            cursor.executemany(
                "INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, "
                "dossier_rules, officer_attitude, time_cost, edge_id, seq) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [(*ballot, self.edge.id, first + place) for place, ballot in enumerate(ballots)],
            )
            for month in {item.window_start.date().replace(day=1) for item in signals}:
                create_partition(connection, month)
            rows = [signal_row(item, edge_id=self.edge.id, seq=0) for item in signals]
            if rows:
                cursor.execute(ingest_statement(), signal_arrays(rows))
            cursor.execute("UPDATE edge_logs SET size = %s WHERE edge_id = %s", (self.index, self.edge.id))

    def _id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)
