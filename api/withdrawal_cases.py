"""Withdrawals and erasures as cases: what was asked when and how, and how far each side is with it.

A case is a consent that was withdrawn or stopped by the authority, a withdrawal asked for here, or any
erasure. It is settled when the edge's log tells of the end, both sides have erased, and nothing is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from api.clock_state import ClockState
from api.database import Connection
from consent.clocks import Clocks, Deadline, Rule
from consent.entry import parse_entry
from consent.erasure import ErasureCertificate
from consent.errors import CalendarUnknown, EntryRefused, LawSilent

WITHDRAWN: Final = "withdrawn"
_CASES: Final = """
SELECT * FROM (SELECT known.record_id, consents.edge_id, consents.counter, consents.state AS consent_state,
    coalesce(erasures.cause, CASE WHEN asked.record_id IS NULL THEN consents.state ELSE 'withdrawn' END)
        AS cause,
    coalesce(asked.requested_at, consents.withdrawn_at, erasures.queued_at, consents.ended_at) AS asked_at,
    coalesce(asked.method, told.method) AS method, asked.actor, asked.listed_at AS edge_told_at,
    told.at AS edge_wrote_at, told.received_at AS edge_heard_at, edge_erased.at AS edge_erased_at,
    erasures.state AS erasure_state, erasures.done_at AS erased_at,
    ARRAY(SELECT name FROM erasure_stores WHERE erasure_stores.record_id = known.record_id
        AND state <> 'done' ORDER BY position) AS pending,
    (erasures.state IS NOT DISTINCT FROM 'done' AND (consents.record_id IS NULL
        OR (coalesce(erasures.cause, '') NOT IN ('withdrawn', 'invalidated'))
        OR (told.at IS NOT NULL AND edge_erased.at IS NOT NULL))) AS settled
FROM (SELECT record_id FROM erasures UNION SELECT record_id FROM withdrawal_requests
    UNION SELECT record_id FROM consents WHERE state IN ('withdrawn', 'invalidated')) AS known
LEFT JOIN consents USING (record_id) LEFT JOIN erasures USING (record_id)
LEFT JOIN withdrawal_requests AS asked USING (record_id)
LEFT JOIN LATERAL (SELECT (convert_from(body, 'UTF8')::jsonb ->> 'at')::timestamptz AS at, received_at,
    convert_from(body, 'UTF8')::jsonb ->> 'method' AS method FROM edge_log_entries AS entry
    WHERE entry.record_id = known.record_id AND kind IN ('withdrawn', 'invalidated') ORDER BY idx LIMIT 1)
    AS told ON true
LEFT JOIN LATERAL (SELECT (convert_from(body, 'UTF8')::jsonb ->> 'done_at')::timestamptz AS at
    FROM edge_log_entries AS entry WHERE entry.record_id = known.record_id AND kind = 'erasure-done'
    ORDER BY idx DESC LIMIT 1) AS edge_erased ON true) AS cases
"""


@dataclass(frozen=True, slots=True)
class WithdrawalCase:
    """One case; what is None is not known or did not happen (yet).

    Attributes:
        cause: Why something is erased: `withdrawn`, `invalidated`, `request`, `retention`.
        asked_at: When the citizen asked, at the kiosk or here; for other causes, when it was queued.
        actor: Who asked here; None where the citizen asked at the kiosk.
        edge_told_at: When the edge was first told of a wish asked for here.
        edge_wrote_at: When the edge wrote the end into its log, by its clock.
        edge_heard_at: When that entry arrived here.
        edge_erased_at: When the edge's last store had answered.
        erased_at: When the centre's last store had answered.
        pending: Stores of the centre that have not answered.
        settled: Nothing is open.
    """

    record_id: UUID
    edge_id: UUID | None
    counter: str | None
    consent_state: str | None
    cause: str
    asked_at: datetime
    method: str | None
    actor: str | None
    edge_told_at: datetime | None
    edge_wrote_at: datetime | None
    edge_heard_at: datetime | None
    edge_erased_at: datetime | None
    erasure_state: str | None
    erased_at: datetime | None
    pending: list[str]
    settled: bool

    @property
    def settled_at(self) -> datetime | None:
        """When the last step was done; None while one is open."""
        if not self.settled:
            return None
        steps = (self.edge_wrote_at, self.edge_erased_at, self.erased_at)
        return max((at for at in steps if at is not None), default=None)


def find_cases(
    connection: Connection, *, only_open: bool = False, limit: int = 50, offset: int = 0
) -> tuple[WithdrawalCase, ...]:
    """Return cases, open ones first, then the newest."""
    return _rows(
        connection,
        "WHERE NOT (%(open)s AND settled) ORDER BY settled, asked_at DESC, record_id "
        "LIMIT %(limit)s OFFSET %(offset)s",
        open=only_open,
        limit=limit,
        offset=offset,
    )


def find_case(connection: Connection, record_id: UUID) -> WithdrawalCase | None:
    """Return the case of one consent, None where nothing was withdrawn or erased."""
    found = _rows(connection, "WHERE record_id = %(record)s", record=record_id)
    return found[0] if found else None


def count_open(connection: Connection) -> int:
    """Return how many cases are not settled."""
    row = connection.execute(f"SELECT count(*) FROM ({_CASES}) AS all_cases WHERE NOT settled").fetchone()  # noqa: S608 - text of this module
    return 0 if row is None else int(row[0])


def clock_of(case: WithdrawalCase, clocks: Clocks) -> tuple[ClockState, Deadline] | None:
    """Return the legal clock of a withdrawal; None for other causes and where the law sets none.

    The edge is the controller's own machine, no third party: the shorter time holds.
    """
    if case.cause != WITHDRAWN:
        return None
    try:
        deadline = clocks.deadline(Rule.WITHDRAW, case.asked_at)
    except (LawSilent, CalendarUnknown):
        return None
    return ClockState(deadline.due_at, case.settled_at), deadline


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a log about a case.

    Attributes:
        index: Of the entry, in the log of `edge_id`, or in the centre's where that is None.
        certificate: What an `erasure-done` entry certifies.
    """

    edge_id: UUID | None
    index: int
    kind: str
    at: datetime
    certificate: ErasureCertificate | None = None


_STEPS: Final = ["withdrawal-requested", "withdrawn", "invalidated", "erasure-started", "erasure-done"]


def steps_of(connection: Connection, record_id: UUID) -> tuple[Step, ...]:
    """Return what both logs tell of a case, the edge's first, each in its own order."""
    rows = connection.execute(
        "SELECT edge_id, idx, kind, received_at, body FROM edge_log_entries "
        "WHERE record_id = %(record)s AND kind = ANY(%(kinds)s) ORDER BY edge_id, idx",
        {"record": record_id, "kinds": _STEPS},
    ).fetchall()
    rows += connection.execute(
        "SELECT NULL::uuid, idx, kind, at, body FROM central_log "
        "WHERE record_id = %(record)s AND kind = ANY(%(kinds)s) ORDER BY idx",
        {"record": record_id, "kinds": _STEPS},
    ).fetchall()
    return tuple(_step(*row) for row in rows)


def _step(edge_id: UUID | None, index: int, kind: str, at: datetime, body: bytes) -> Step:
    if edge_id is None:
        return Step(None, index, kind, at)
    try:
        entry = parse_entry(bytes(body))
    except EntryRefused:
        return Step(edge_id, index, kind, at)
    return Step(edge_id, index, kind, at, entry if isinstance(entry, ErasureCertificate) else None)


def _rows(connection: Connection, clauses: str, **values: object) -> tuple[WithdrawalCase, ...]:
    with connection.cursor(row_factory=class_row(WithdrawalCase)) as cursor:
        return tuple(cursor.execute(f"{_CASES} {clauses}".encode(), values))
