"""Who read what about whom, and why: one leaf of the centre's log for each read of personal data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from api.accounts import Login
from api.authorization import Action, Role
from api.database import Connection
from api.errors import ApiError
from api.log import Kind, append
from api.schema import DAY_ZONE

OVERSIGHT: Final = "oversight"
"""The purpose of reading this log without a stated one."""
OWN_RECORD: Final = "own-record"
"""Purpose of citizens who look at their own record; no officer can state it."""
_LONGEST_OBJECT: Final = 400
_MOST_ROWS: Final = 500


class ReasonMissing(ApiError, RuntimeError):  # noqa: N818 - named for what happened
    """Personal data were about to be read without purpose and ticket: the read must not happen."""


@dataclass(frozen=True, slots=True)
class Access:
    """One read of personal data."""

    index: int
    at: datetime
    actor: str
    role: str
    action: str
    object: str
    purpose: str
    ticket: str
    record_id: UUID | None


def record_read(
    connection: Connection, login: Login, action: Action, object_id: str, *, record_id: UUID | None = None
) -> int:
    """Log one read of personal data, in the transaction that reads; call it once, after the read.

    Args:
        connection: The connection that reads.
        login: Who reads; their session holds the reason.
        action: What they do.
        object_id: What was read: a record, or the question of a search as text.
        record_id: The one record that was read, if it was one: its citizen sees this entry.

    Returns:
        The entry's index.

    Raises:
        ReasonMissing: The session holds no reason: nothing may be shown.
    """
    reason = login.reason
    if reason is None:
        raise ReasonMissing(f"'{action.value}' needs a purpose and a ticket: guard the route with `personal`")
    body = {
        "actor": login.account.name,
        "role": login.account.role.value,
        "action": action.value,
        "object": object_id[:_LONGEST_OBJECT],
        "purpose": reason.purpose.value,
        "ticket": reason.ticket,
    }
    return append(connection, Kind.ACCESS.value, body, record_id=record_id)


def record_oversight(connection: Connection, login: Login, object_id: str) -> int:
    """Log that somebody read this log itself: call it once, after the read, on the same connection.

    Oversight needs no reason stated: looking after the log is the role. A stated one is kept.

    Args:
        connection: The connection that reads.
        login: Who reads.
        object_id: What was looked for, as text.
    """
    reason = login.reason
    body = {
        "actor": login.account.name,
        "role": login.account.role.value,
        "action": Action.READ_ACCESS_LOG.value,
        "object": object_id[:_LONGEST_OBJECT],
        "purpose": OVERSIGHT if reason is None else reason.purpose.value,
        "ticket": "" if reason is None else reason.ticket,
    }
    return append(connection, Kind.ACCESS.value, body)


def record_own_read(connection: Connection, action: Action, record_id: UUID) -> int:
    """Log that a citizen looked at their own record with its slip; once, after the read.

    Returns:
        The entry's index.
    """
    body = {
        "actor": Role.CITIZEN.value,
        "role": Role.CITIZEN.value,
        "action": action.value,
        "object": str(record_id),
        "purpose": OWN_RECORD,
        "ticket": "receipt",
    }
    return append(connection, Kind.ACCESS.value, body, record_id=record_id)


def list_accesses(
    connection: Connection,
    *,
    record_id: UUID | None = None,
    actor: str | None = None,
    since: date | None = None,
    until: date | None = None,
    before: int | None = None,
    limit: int = 100,
) -> tuple[Access, ...]:
    """Return reads, newest first.

    Args:
        connection: The connection to read on.
        record_id: Only reads of this record.
        actor: Only reads by this account.
        since: First day in Viet Nam.
        until: Last day in Viet Nam.
        before: Only entries with a smaller index: the page after the one that ended there.
        limit: Most rows.
    """
    rows = connection.execute(
        "SELECT idx, at, body, record_id FROM central_log WHERE kind = 'access' "
        "AND (%(record)s::uuid IS NULL OR record_id = %(record)s) "
        "AND (%(actor)s::text IS NULL OR convert_from(body, 'UTF8')::jsonb ->> 'actor' = %(actor)s) "
        "AND (%(since)s::date IS NULL OR at >= (%(since)s::timestamp AT TIME ZONE %(zone)s)) "
        "AND (%(until)s::date IS NULL OR at < ((%(until)s::date + 1)::timestamp AT TIME ZONE %(zone)s)) "
        "AND (%(before)s::bigint IS NULL OR idx < %(before)s) ORDER BY idx DESC LIMIT %(limit)s",
        {
            "record": record_id,
            "actor": actor,
            "since": since,
            "until": until,
            "zone": DAY_ZONE,
            "before": before,
            "limit": min(limit, _MOST_ROWS),
        },
    ).fetchall()
    return tuple(_access(*row) for row in rows)


def _access(index: int, at: datetime, body: bytes, record_id: UUID | None) -> Access:
    told: dict[str, Any] = json.loads(bytes(body))
    return Access(
        index,
        at,
        told["actor"],
        told["role"],
        told["action"],
        told["object"],
        told["purpose"],
        told["ticket"],
        record_id,
    )
