"""What an alert is, kept once and acknowledged by somebody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb
from uuid6 import uuid7

from api import log
from api.database import Connection, Database
from api.errors import CaseRefused

_LOCK: Final = 0x61_6C_65_72
_DAYS: Final = ("since", "noticed", "ballots_since", "ballots_noticed")
_COLUMNS: Final = (
    "a.alert_id, a.kind, a.counter, coalesce(c.area, ''), a.document, a.raised_at, a.acknowledged_at, "
    "a.acknowledged_by FROM alerts a LEFT JOIN counters c ON c.code = a.counter"
)


class AlertKind(StrEnum):
    """What is told."""

    CHANGE = "change"
    """The level of a counter changed, by its released signals, by the centre's own ballots, or by both."""
    SILENT = "silent"
    """Nothing came from a counter on several working days; without a counter: from most of them."""
    CONSENT_FELL = "consent-fell"
    """Fewer visitors consent than in the months before."""
    CALIBRATION = "calibration"
    """The newest calibration of a set of models did not pass its gate."""


class Basis(StrEnum):
    """Which chart of a counter told of a change."""

    SIGNALS = "signals"
    BALLOTS = "ballots"
    BOTH = "both"

    @property
    def charts(self) -> frozenset[Basis]:
        """The single charts that this stands on."""
        return frozenset({Basis.SIGNALS, Basis.BALLOTS}) if self is Basis.BOTH else frozenset({self})


Values = Mapping[str, str | int]
"""What the sentence of an alert is made of: printed figures, days and counts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an alert may be raised for.

    Attributes:
        counter: None where it concerns the whole centre.
        mark: With kind and counter: what is told once.
    """

    kind: AlertKind
    counter: str | None
    mark: str
    values: Values


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is kept."""

    alert_id: UUID
    kind: AlertKind
    counter: str | None
    area: str
    values: Values
    raised_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None


def raise_alerts(connection: Connection, findings: Iterable[Finding]) -> tuple[Alert, ...]:
    """Keep what was not told before and return it. One transaction at a time does this.

    A change of a counter is the same as an earlier one of the same direction whose days overlap: a late
    release may move the day on which the chart notices it. It is told again once where the other chart of the
    counter has joined.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    made = []
    for finding in findings:
        if finding.kind is AlertKind.CHANGE and _told_before(connection, finding):
            continue
        row = connection.execute(
            "INSERT INTO alerts (alert_id, kind, counter, mark, document) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING RETURNING alert_id",
            (
                UUID(bytes=uuid7().bytes),
                finding.kind.value,
                finding.counter,
                finding.mark,
                Jsonb(dict(finding.values)),
            ),
        ).fetchone()
        if row is not None:
            made.append(row[0])
    return find_alerts(connection, made) if made else ()


def find_alerts(connection: Connection, numbers: Sequence[UUID]) -> tuple[Alert, ...]:
    """Return alerts by their ids, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} WHERE a.alert_id = ANY(%s) ORDER BY a.raised_at, a.alert_id",
        (list(numbers),),
    ).fetchall()
    return tuple(_alert(row) for row in rows)


def list_alerts(
    database: Database, counters: Sequence[str], *, only_open: bool = False, limit: int = 200
) -> tuple[Alert, ...]:
    """Return alerts of counters and of the whole centre, the newest first.

    Args:
        database: Where they are kept.
        counters: Those that the reader may see.
        only_open: Without those that somebody acknowledged.
        limit: Most of them.
    """
    with database.transaction() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} WHERE (a.counter IS NULL OR a.counter = ANY(%s)) "
            "AND (NOT %s OR a.acknowledged_at IS NULL) ORDER BY a.raised_at DESC, a.alert_id DESC LIMIT %s",
            (list(counters), only_open, limit),
        ).fetchall()
    return tuple(_alert(row) for row in rows)


def find_alert(database: Database, number: UUID) -> Alert | None:
    """Return one alert, whoever may see it."""
    with database.transaction() as connection:
        found = find_alerts(connection, [number])
    return found[0] if found else None


def acknowledge(database: Database, number: UUID, *, actor: str) -> None:
    """Note that somebody has seen an alert, and log it.

    Raises:
        CaseRefused: There is no such alert, or somebody has acknowledged it before.
    """
    with database.transaction() as connection:
        row = connection.execute(
            "UPDATE alerts SET acknowledged_at = clock_timestamp(), acknowledged_by = %s "
            "WHERE alert_id = %s AND acknowledged_at IS NULL RETURNING kind, counter",
            (actor, number),
        ).fetchone()
        if row is None:
            raise CaseRefused("There is no such open alert: somebody may have acknowledged it before.")
        log.append(
            connection,
            log.Kind.ALERT_ACKNOWLEDGED,
            {"alert": number, "what": row[0], "counter": row[1], "actor": actor},
        )


def _told_before(connection: Connection, finding: Finding) -> bool:
    rows = connection.execute(
        "SELECT document FROM alerts WHERE kind = %s AND counter = %s AND document ->> 'direction' = %s",
        (finding.kind.value, finding.counter, finding.values["direction"]),
    ).fetchall()
    spans = _spans(finding.values)
    told: set[Basis] = set()
    for (document,) in rows:
        if any(one[0] <= other[1] and other[0] <= one[1] for one in spans for other in _spans(document)):
            told |= _basis(document).charts
    return told >= _basis(finding.values).charts


def _basis(values: Values) -> Basis:
    return Basis(str(values.get("basis", Basis.SIGNALS.value)))


def _spans(values: Values) -> list[tuple[date, date]]:
    """Return the days of a change, by each chart that told of it: since when, until it was noticed."""
    days = {name: date.fromisoformat(str(values[name])) for name in _DAYS if name in values}
    found = [(days["since"], days["noticed"])]
    return found + ([(days["ballots_since"], days["ballots_noticed"])] if "ballots_since" in days else [])


def _alert(row: tuple[Any, ...]) -> Alert:
    return Alert(row[0], AlertKind(row[1]), *row[2:])
