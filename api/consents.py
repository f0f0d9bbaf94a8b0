"""What the privacy officer asks about consents: search, one consent's life, counts, slots, patterns, notices.

All figures come from the rows that `api.projection` folds out of the edges' logs. Days are calendar days in
Viet Nam. None of these functions decides who may ask; their pages do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from psycopg.rows import class_row

from api.database import Connection, Database
from api.projection import COLUMNS, Consent
from api.schema import DAY_ZONE
from consent.purpose import Purpose
from consent.stopping import StopMethod

_T = TypeVar("_T")

MOST_COUNTED: Final = 10_000
"""A search that finds more says so instead of counting on."""
QUICK_MS: Final = 1000
"""Nobody reads the notice in less."""
BURST_S: Final = 60
_ENDED_HOW: Final = (
    "LEFT JOIN LATERAL (SELECT convert_from(body, 'UTF8')::jsonb ->> 'method' AS method "
    "FROM edge_log_entries AS entry WHERE entry.record_id = consents.record_id "
    "AND entry.edge_id = consents.edge_id AND entry.kind = consents.state "
    "AND consents.state IN ('deferred', 'revoked') ORDER BY entry.idx LIMIT 1) AS ended ON true"
)
"""The method of the step that ended a consent without the citizen: the log has it, the row does not."""
_FILTER: Final = (
    "(%(state)s::text IS NULL OR state = %(state)s) "
    "AND (%(counter)s::text IS NULL OR counter = %(counter)s) "
    "AND (%(counters)s::text[] IS NULL OR counter = ANY(%(counters)s)) "
    "AND (%(language)s::text IS NULL OR language = %(language)s) "
    "AND (%(notice_version)s::text IS NULL OR notice_version = %(notice_version)s) "
    "AND (%(answer)s::text IS NULL OR "
    "CASE %(purpose)s WHEN 'image' THEN image WHEN 'voice' THEN voice ELSE quotes END = %(answer)s) "
    "AND (%(lost)s::boolean IS NOT TRUE OR (session_started_at IS NOT NULL AND session_ended_at IS NULL)) "
    f"AND (%(since)s::date IS NULL OR offered_at >= (%(since)s::timestamp AT TIME ZONE '{DAY_ZONE}')) "
    "AND (%(until)s::date IS NULL OR "
    f"offered_at < ((%(until)s::date + 1)::timestamp AT TIME ZONE '{DAY_ZONE}'))"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a search narrows down to; None leaves a field open.

    Attributes:
        counters: The counters that the reader may see; None for all.
        since: First day, by the time of the offer; `until` is the last.
        purpose: The purpose whose `answer` (`given`, `refused`, `open`) is looked for.
        lost: Only sessions whose slot was never closed.
    """

    state: str | None = None
    counter: str | None = None
    counters: tuple[str, ...] | None = None
    since: date | None = None
    until: date | None = None
    notice_version: str | None = None
    language: str | None = None
    purpose: Purpose | None = None
    answer: str | None = None
    lost: bool = False

    def parameters(self) -> dict[str, Any]:
        """Return the values of the clauses."""
        asked = self.purpose is not None and self.answer is not None
        return {
            "state": self.state,
            "counter": self.counter,
            "counters": None if self.counters is None else list(self.counters),
            "since": self.since,
            "until": self.until,
            "notice_version": self.notice_version,
            "language": self.language,
            "purpose": self.purpose.value if self.purpose is not None else None,
            "answer": self.answer if asked else None,
            "lost": self.lost,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search, the newest first.

    Attributes:
        found: How many there are, counted up to MOST_COUNTED + 1.
        number: From 1.
    """

    rows: tuple[Consent, ...]
    found: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        """Number of pages."""
        return max(1, -(-min(self.found, MOST_COUNTED) // self.size))


def search(database: Database, wanted: Filter, *, page: int = 1, size: int = 50) -> Page:
    """Find consents, the newest first; `page` counts from 1."""
    with database.transaction() as connection:
        return search_in(connection, wanted, page=page, size=size)


def search_in(connection: Connection, wanted: Filter, *, page: int = 1, size: int = 50) -> Page:
    """Find consents as `search` does, on the caller's connection."""
    values = wanted.parameters() | {"size": size, "offset": (page - 1) * size, "most": MOST_COUNTED + 1}
    found = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM consents WHERE {_FILTER} LIMIT %(most)s) AS found",  # noqa: S608 - clauses of this module
        values,
    ).fetchone()
    rows = _rows(
        connection,
        Consent,
        f"SELECT {COLUMNS} FROM consents WHERE {_FILTER} "  # noqa: S608 - clauses of this module
        "ORDER BY offered_at DESC, record_id DESC LIMIT %(size)s OFFSET %(offset)s",
        values,
    )
    return Page(rows, found[0] if found else 0, page, size)


def find(database: Database, record_id: UUID) -> Consent | None:
    """Return one consent by its record's id."""
    with database.transaction() as connection:
        return find_in(connection, record_id)


def find_in(connection: Connection, record_id: UUID) -> Consent | None:
    """Return one consent, on the caller's connection."""
    rows = _rows(
        connection,
        Consent,
        f"SELECT {COLUMNS} FROM consents WHERE record_id = %(id)s",  # noqa: S608 - names of a module
        {"id": record_id},
    )
    return rows[0] if rows else None


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What became of the questions of one counter and day.

    Attributes:
        offered: All services; the other counts are parts of it.
        deferred: Nobody answered in time, which is a no.
        accompanied: The officer declared a child; `unasked` of them before an answer, else it revoked a yes.
        second_face: Consents that ended because a second face stayed at the seat.
        withdrawn: Of those given, at once or later.
        slots: Sessions that were opened; `lost` were never closed.
        gaps: How often a device gave nothing in the closed ones, for `gap_ms` of their `consented_ms`.
    """

    counter: str
    day: date
    offered: int
    shown: int
    given: int
    refused: int
    deferred: int
    accompanied: int
    unasked: int
    second_face: int
    withdrawn: int
    slots: int
    lost: int
    gaps: int
    gap_ms: int
    consented_ms: int

    @property
    def given_share(self) -> float | None:
        """Consents given among answers, None without any."""
        answered = self.given + self.refused
        return self.given / answered if answered else None


def daily(
    database: Database,
    since: date,
    until: date,
    *,
    counters: Sequence[str] | None = None,
    lost_after: timedelta = timedelta(hours=2),
) -> tuple[DayCounts, ...]:
    """Count by counter and day; a slot counts as lost when it is open for longer than `lost_after`."""
    sql = (
        f"SELECT counter, (offered_at AT TIME ZONE '{DAY_ZONE}')::date AS day, count(*) AS offered, "  # noqa: S608 - names of this module
        "count(shown_at) AS shown, "
        "count(*) FILTER (WHERE decided_at IS NOT NULL AND state <> 'refused') AS given, "
        "count(*) FILTER (WHERE state = 'refused') AS refused, "
        "count(*) FILTER (WHERE state = 'deferred' AND method IS DISTINCT FROM %(child)s) AS deferred, "
        "count(*) FILTER (WHERE method = %(child)s) AS accompanied, "
        "count(*) FILTER (WHERE state = 'deferred' AND method = %(child)s) AS unasked, "
        "count(*) FILTER (WHERE state = 'revoked' AND method = %(second_face)s) AS second_face, "
        "count(*) FILTER (WHERE state = 'withdrawn') AS withdrawn, "
        "count(session_started_at) AS slots, "
        "count(*) FILTER (WHERE session_started_at < clock_timestamp() - %(lost_after)s "
        "AND session_ended_at IS NULL) AS lost, coalesce(sum(gaps), 0)::bigint AS gaps, "
        "coalesce(sum(gap_ms), 0)::bigint AS gap_ms, "
        "coalesce(sum(consented_ms), 0)::bigint AS consented_ms "
        f"FROM consents {_ENDED_HOW} WHERE {_FILTER} GROUP BY 1, 2 ORDER BY 2 DESC, 1"
    )
    wanted = Filter(since=since, until=until, counters=None if counters is None else tuple(counters))
    values = wanted.parameters() | {
        "lost_after": lost_after,
        "child": StopMethod.ACCOMPANIED_CHILD.value,
        "second_face": StopMethod.SECOND_FACE.value,
    }
    with database.transaction() as connection:
        return _rows(connection, DayCounts, sql, values)


@dataclass(frozen=True, slots=True)
class Patterns:
    """What may hint at forced or careless consents at one counter.

    Attributes:
        decided: Answers of citizens.
        quick: Answered within a second of the notice.
        several: Answers to more than one purpose; `all_yes` of them allowed everything.
        largest_burst: Most consents given within any minute.
    """

    counter: str
    decided: int
    given: int
    quick: int
    several: int
    all_yes: int
    largest_burst: int

    @property
    def quick_share(self) -> float | None:
        """Share of answers given within a second, None without any."""
        return self.quick / self.decided if self.decided else None

    @property
    def all_yes_share(self) -> float | None:
        """Share of answers to several purposes that allowed all of them."""
        return self.all_yes / self.several if self.several else None


def patterns(
    database: Database, since: date, until: date, *, counters: Sequence[str] | None = None
) -> tuple[Patterns, ...]:
    """Return, by counter, what coercion would show in."""
    answers = "num_nonnulls(image, voice, quotes)"
    yeses = "(image IS NOT DISTINCT FROM 'given')::int + (voice IS NOT DISTINCT FROM 'given')::int + "
    yeses += "(quotes IS NOT DISTINCT FROM 'given')::int"
    sql = (
        f"SELECT counter, count(*) AS decided, count(*) FILTER (WHERE given) AS given, "  # noqa: S608 - clauses of this module
        "count(*) FILTER (WHERE dwell_ms < %(quick)s) AS quick, "
        "count(*) FILTER (WHERE answers > 1) AS several, "
        "count(*) FILTER (WHERE answers > 1 AND yeses = answers) AS all_yes, "
        "coalesce(max(burst) FILTER (WHERE given), 0) AS largest_burst FROM ("
        "SELECT counter, dwell_ms, state <> 'refused' AS given, "
        f"{answers} AS answers, {yeses} AS yeses, count(*) FILTER (WHERE state <> 'refused') OVER ("
        "PARTITION BY counter ORDER BY decided_at "
        "RANGE BETWEEN make_interval(secs => %(burst)s) PRECEDING AND CURRENT ROW) AS burst "
        f"FROM consents WHERE decided_at IS NOT NULL AND {_FILTER}) AS told GROUP BY counter ORDER BY counter"
    )
    wanted = Filter(since=since, until=until, counters=None if counters is None else tuple(counters))
    with database.transaction() as connection:
        return _rows(
            connection, Patterns, sql, wanted.parameters() | {"quick": QUICK_MS, "burst": float(BURST_S)}
        )


@dataclass(frozen=True, slots=True)
class NoticeSeen:
    """One version of the notice, in one language, as it was put before citizens."""

    notice_id: str
    notice_version: str
    language: str
    notice_sha256: str
    channel: str
    offered: int
    shown: int
    decided: int
    first_at: datetime
    last_at: datetime


def notices_seen(database: Database) -> tuple[NoticeSeen, ...]:
    """Return each notice that any consent names, by the hash of its rendered bytes, the newest first."""
    with database.transaction() as connection:
        return _rows(
            connection,
            NoticeSeen,
            "SELECT notice_id, notice_version, language, notice_sha256, channel, count(*) AS offered, "
            "count(shown_at) AS shown, count(decided_at) AS decided, min(offered_at) AS first_at, "
            "max(offered_at) AS last_at FROM consents GROUP BY 1, 2, 3, 4, 5 ORDER BY last_at DESC",
            {},
        )


@dataclass(frozen=True, slots=True)
class EdgeLogState:
    """The log of one edge as the centre keeps it.

    Attributes:
        folded_size: How much of it is covered by a leaf of the centre's log.
        forked_at: When a second history of it was first seen: an alarm that stays.
        anomalies: Entries that do not fit the record before them.
    """

    edge_id: UUID
    name: str
    origin: str
    size: int
    last_contact: datetime
    folded_size: int
    folded_at: datetime | None
    forked_at: datetime | None
    forks: int
    anomalies: int


def edge_logs(database: Database) -> tuple[EdgeLogState, ...]:
    """Return the state of every edge's log, alarms first."""
    with database.transaction() as connection:
        return _rows(
            connection,
            EdgeLogState,
            "SELECT l.edge_id, e.name, l.origin, l.size, l.last_contact, l.folded_size, l.folded_at, "
            "l.forked_at, (SELECT count(*) FROM edge_log_forks f WHERE f.edge_id = l.edge_id) AS forks, "
            "(SELECT count(*) FROM edge_log_anomalies a WHERE a.edge_id = l.edge_id) AS anomalies "
            "FROM edge_logs l JOIN edges e ON e.id = l.sender_id "
            "ORDER BY l.forked_at NULLS LAST, e.name, l.edge_id",
            {},
        )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An entry that is kept as evidence and changed nothing."""

    edge_id: UUID
    idx: int
    reason: str


def anomalies(database: Database, edge: UUID | None = None, *, limit: int = 200) -> tuple[Anomaly, ...]:
    """Return entries that do not fit, the newest of each edge first."""
    with database.transaction() as connection:
        return _rows(
            connection,
            Anomaly,
            "SELECT edge_id, idx, reason FROM edge_log_anomalies "
            "WHERE %(edge)s::uuid IS NULL OR edge_id = %(edge)s ORDER BY edge_id, idx DESC LIMIT %(limit)s",
            {"edge": edge, "limit": limit},
        )


def _rows(connection: Connection, kind: type[_T], sql: str, values: dict[str, Any]) -> tuple[_T, ...]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(sql, values))
