"""Calibrations of the passive scores: fitted from ballots that name their session, kept as versions, logged.

One curve for one set of models, pooled over counters. It is fitted on the pairs before a month and used for
that month and later ones, so that no ballot bends the curve under its own score. A pair exists only while
both its halves do: an erased session is in no later fit. Where the gate is closed the version is kept
and logged all the same, and the scores of those models take no part in figures.

Two versions that differ by one pair would give that pair away to whoever has both. So there is a next one
only where at least `FEWEST_CHANGED` pairs came or went; until then the last stands, as released sums do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import structlog
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from api import log
from api.database import Connection, Database
from api.index.errors import IndexRefused
from api.index.model_key import model_key
from api.schema import DAY_ZONE, PPM
from api.statistics.calibration import Calibration, fit
from api.statistics.errors import StatisticsError
from inference.signal import Criterion, ModelVersion

FEWEST_PAIRS: Final = 30
"""Below, nothing is fitted: the parameters would tell of single people, and the gate could not open."""
FEWEST_CHANGED: Final = 10
"""By so many pairs at least two versions for the same models differ."""
_MODELS: Final = TypeAdapter(tuple[ModelVersion, ...])
_LOCK: Final = 0x63_61_6C_69
_ALL_FOUR: Final = " AND ".join(f"b.{criterion.value}" for criterion in Criterion)
# In the order of the ballots' ids, which has nothing to do with answers: the folds are taken by it.
_PAIRS: Final = (
    "SELECT DISTINCT ON (b.session_id) (s.payload -> 'models')::text, s.score_ppm, "  # noqa: S608 - names are ours
    f"{_ALL_FOUR}, (b.cast_at AT TIME ZONE '{DAY_ZONE}')::date, b.ballot_id "
    "FROM ballots b JOIN signals s ON s.session_id = b.session_id "
    "AND s.counter = b.counter AND s.window_start > b.cast_at - interval '1 day' "
    "AND s.window_start <= b.cast_at "
    "WHERE b.session_id IS NOT NULL AND s.score_ppm IS NOT NULL "
    f"AND b.cast_at < %s::timestamp AT TIME ZONE '{DAY_ZONE}' ORDER BY b.session_id, b.cast_at, b.ballot_id"
)
_log: Final = structlog.get_logger("api.index")


@dataclass(frozen=True, slots=True)
class KeptCalibration:
    """One version.

    Attributes:
        version: Its number, over all models.
        model: Key of the set of models.
        networks: `name version` of each of them.
    """

    version: int
    model: str
    networks: tuple[str, ...]
    calibration: Calibration

    def score_ppm(self, score_ppm: int) -> int:
        """Return the chance of a satisfied visit for a raw score, both in millionths."""
        return round(self.calibration.apply(score_ppm / PPM) * PPM)

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the log; the curve as text, so that no digit is lost."""
        return {
            "version": self.version,
            "model": self.model,
            "networks": list(self.networks),
            "calibration": self.calibration.to_json(),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> KeptCalibration:
        """Read it from the log.

        Raises:
            IndexRefused: It is no calibration.
        """
        try:
            return cls(
                int(document["version"]),
                str(document["model"]),
                tuple(map(str, document["networks"])),
                Calibration.from_json(str(document["calibration"])),
            )
        except (StatisticsError, KeyError, TypeError, ValueError) as error:
            raise IndexRefused(f"a kept calibration cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Calibrations:
    """What a month may use: for each set of models its newest usable version."""

    by_model: Mapping[str, KeptCalibration]

    @classmethod
    def for_month(cls, kept: Iterable[KeptCalibration], month: date) -> Calibrations:
        """Choose versions that have seen no ballot of the month or after it."""
        seen: dict[str, KeptCalibration] = {}
        for item in sorted(kept, key=lambda item: (item.calibration.until, item.version)):
            if item.calibration.until <= month:
                seen[item.model] = item
        return cls({model: item for model, item in seen.items() if item.calibration.usable})

    def of(self, model: str) -> KeptCalibration | None:
        """Return the calibration of a set of models; None where none may be used."""
        return self.by_model.get(model)


def kept_calibrations(connection: Connection) -> tuple[KeptCalibration, ...]:
    """Return every version, oldest first."""
    rows = connection.execute("SELECT document FROM calibrations ORDER BY version").fetchall()
    return tuple(KeptCalibration.parse(row[0]) for row in rows)


def calibrate(database: Database, until: date) -> tuple[KeptCalibration, ...]:
    """Fit a calibration for every set of models, and keep and log those with enough pairs that are new.

    Args:
        database: Where pairs and versions are; no pair leaves it but through the curve.
        until: First day whose ballots are not among the pairs.

    Returns:
        The new versions.
    """
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        newest = {item.model: item.calibration for item in kept_calibrations(connection)}
        row = connection.execute("SELECT coalesce(max(version), 0) FROM calibrations").fetchone()
        version = 0 if row is None else int(row[0])
        made = []
        for (model, networks), pairs in sorted(_pairs(connection, until).items()):
            if len(pairs.scores) < FEWEST_PAIRS or pairs.changed_since(newest.get(model)) < FEWEST_CHANGED:
                continue
            version += 1
            fitted = fit(model, until, pairs.scores, pairs.satisfied)
            made.append(KeptCalibration(version, model, networks, fitted))
        for item in made:
            keep(connection, item)
    for item in made:
        held = item.calibration.reliability
        _log.info("calibrated", version=item.version, ballots=item.calibration.n, gate=held.gate.value)
    return tuple(made)


def keep(connection: Connection, item: KeptCalibration) -> None:
    """Keep a version and write it into the log."""
    index = log.append(connection, log.Kind.CALIBRATION, item.document())
    connection.execute(
        "INSERT INTO calibrations (version, model, document, log_index) VALUES (%s, %s, %s, %s)",
        (item.version, item.model, Jsonb(item.document()), index),
    )


def restore(connection: Connection, leaf: Mapping[str, Any]) -> int:
    """Put a version back that a leaf of the log tells of, after a restore."""
    kept = KeptCalibration.parse(leaf)
    return connection.execute(
        "INSERT INTO calibrations (version, model, document, log_index, fitted_at) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (kept.version, kept.model, Jsonb(kept.document()), leaf["index"], leaf["logged_at"]),
    ).rowcount


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Scores and ballots of the same sessions, and the days on which the ballots were cast."""

    scores: list[float] = field(default_factory=list)
    satisfied: list[bool] = field(default_factory=list)
    days: list[date] = field(default_factory=list)

    def changed_since(self, before: Calibration | None) -> int:
        """Return by how many pairs, at least, these are others than those of a version."""
        if before is None:
            return len(self.scores)
        return max(abs(len(self.scores) - before.n), sum(day >= before.until for day in self.days))


def _pairs(connection: Connection, until: date) -> dict[tuple[str, tuple[str, ...]], _Pairs]:
    found: dict[tuple[str, tuple[str, ...]], _Pairs] = defaultdict(_Pairs)
    named: dict[str, tuple[str, tuple[str, ...]]] = {}
    rows = connection.execute(_PAIRS, (until,)).fetchall()
    for models, score, satisfied, day, _ in sorted(rows, key=lambda row: row[4]):
        if models not in named:
            versions = _MODELS.validate_json(models)
            networks = tuple(sorted(f"{item.name} {item.version}" for item in versions))
            named[models] = (model_key(versions), networks)
        pairs = found[named[models]]
        pairs.scores.append(score / PPM)
        pairs.satisfied.append(bool(satisfied))
        pairs.days.append(day)
    return found
