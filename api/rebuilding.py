"""What leaves of the centre's log can put back into its tables after a restore.

Each leaf is taken by itself: one whose row needs something that the backup did not have (a counter, an edge,
a consent) is left out and counted. What no leaf holds is lost with the database: accounts and passwords,
enrolments, signals (the edges resend those of the last seven days), notes and references of cases.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from api import erasure
from api.database import Connection
from api.index.calibrations import restore as restore_calibration
from api.index.formula import restore as restore_formula
from api.index.releases import restore as restore_cells
from api.log import Kind
from api.withdrawals import restore_requests

_READ: Final = (
    "SELECT idx, at, record_id, kind, body FROM central_log WHERE kind = ANY(%s) AND idx >= %s AND idx < %s "
    "ORDER BY idx"
)
Leaf = Mapping[str, Any]


def rebuild(connection: Connection, start: int, stop: int) -> dict[str, int]:
    """Put back what the leaves from `start` to `stop` tell, and return the rows of each kind.

    `left-out` counts leaves whose row needs what is not here.
    """
    done: Counter[str] = Counter()
    rows = connection.execute(_READ, (list(_BY_KIND), start, stop)).fetchall()
    for index, at, record_id, kind, body in rows:
        leaf = json.loads(bytes(body)) | {"index": index, "logged_at": at, "record_id": record_id}
        try:
            with connection.transaction():
                added = _BY_KIND[kind](connection, leaf)
        except (psycopg.IntegrityError, psycopg.DataError, KeyError, ValueError, TypeError):
            added = -1  # the leaf itself stays in the log
        done["left-out" if added < 0 else kind] += abs(added)
    return {kind: count for kind, count in sorted(done.items()) if count}


def _release(connection: Connection, leaf: Leaf) -> int:
    added = 0
    for cell in leaf["cells"]:
        added += connection.execute(
            "INSERT INTO releases (counter, day, revision, as_of, sums, log_index, released_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                *(cell["counter"], cell["day"], cell["revision"], cell["as_of"], Jsonb(cell["sums"])),
                *(leaf["index"], leaf["logged_at"]),
            ),
        ).rowcount
    return added


def _withdrawal(connection: Connection, leaf: Leaf) -> int:
    """Ask for the erasure again; the request itself waits for its consent where the log is not here yet."""
    record_id: UUID = leaf["record_id"]
    erasure.queue(connection, record_id, "withdrawn")
    return restore_requests(connection, [record_id])


def _edge_checkpoint(connection: Connection, leaf: Leaf) -> int:
    """Remember what an edge had signed: it cannot send another history up to there."""
    added = connection.execute(
        "INSERT INTO edge_checkpoints (edge_id, size, note, central_index) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (leaf["edge"], leaf["size"], leaf["note"].encode(), leaf["index"]),
    ).rowcount
    connection.execute(
        "UPDATE edge_logs SET folded_size = %s, folded_index = %s, folded_at = %s "
        "WHERE edge_id = %s AND folded_size < %s",
        (leaf["size"], leaf["index"], leaf["logged_at"], leaf["edge"], leaf["size"]),
    )
    return added


def _edge_forked(connection: Connection, leaf: Leaf) -> int:
    found = connection.execute(
        "UPDATE edge_logs SET forked_at = coalesce(forked_at, %s) WHERE edge_id = %s",
        (leaf["logged_at"], leaf["edge"]),
    )
    return found.rowcount or -1


def _retention(connection: Connection, leaf: Leaf) -> int:
    names = "days", "source", "decided_by", "before", "removed", "oldest", "newest", "partitions"
    return connection.execute(
        "INSERT INTO retention_runs (category, ran_at, log_index, days, source, decided_by, cutoff, removed, "
        "oldest, newest, partitions) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (leaf["category"], leaf["logged_at"], leaf["index"], *(leaf[name] for name in names)),
    ).rowcount


def _request(connection: Connection, leaf: Leaf) -> int:
    """Put a citizen's request back; the times of acts are those of their entries."""
    if leaf["act"] == "received":
        named = leaf["record_id"] is not None
        return connection.execute(
            "INSERT INTO data_requests (request_id, kind, channel, record_id, reference, received_at, "
            "registered_at, answer_due_at, due_provisional, law) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, true, %s) ON CONFLICT DO NOTHING",
            (
                *(leaf["request"], leaf["request_kind"], leaf["channel"], leaf["record_id"]),
                None if named else f"log-entry-{leaf['index']}",
                *(leaf["received_at"], leaf["logged_at"], leaf["answer_due_at"], leaf["law"]),
            ),
        ).rowcount
    changes: dict[str, tuple[str, Sequence[object]]] = {
        "acknowledged": ("acknowledged_at = %s", (leaf["logged_at"],)),
        "processor-involved": ("with_processor = true, answer_due_at = %s", (leaf["answer_due_at"],)),
        "answered": ("answered_at = %s, outcome = %s", (leaf["logged_at"], leaf.get("outcome"))),
    }
    return _update(connection, "data_requests", "request_id", leaf["request"], changes[leaf["act"]])


def _breach(connection: Connection, leaf: Leaf) -> int:
    if leaf["act"] == "detected":
        return connection.execute(
            "INSERT INTO breaches (breach_id, nature, cause, scope, detected_at, registered_at, "
            "notify_due_at, law) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                *(leaf["breach"], leaf["nature"], leaf["cause"], list(leaf["scope"]), leaf["detected_at"]),
                *(leaf["logged_at"], leaf["notify_due_at"], leaf["law"]),
            ),
        ).rowcount
    changes: dict[str, tuple[str, Sequence[object]]] = {
        "notified": ("notified_at = %s", (leaf.get("notified_at"),)),
        "measures": ("measures = measures || %s::text[]", (leaf.get("measures"),)),
        "closed": ("closed_at = %s, file_until = %s", (leaf["logged_at"], leaf.get("file_until"))),
    }
    return _update(connection, "breaches", "breach_id", leaf["breach"], changes[leaf["act"]])


def _update(
    connection: Connection, table: str, key: str, value: object, change: tuple[str, Sequence[object]]
) -> int:
    sets, values = change
    found = connection.execute(f"UPDATE {table} SET {sets} WHERE {key} = %s", (*values, value))  # noqa: S608 - names and clauses of this module
    return found.rowcount or -1


_BY_KIND: Final[Mapping[str, Callable[[Connection, Leaf], int]]] = {
    Kind.RELEASE: _release,
    Kind.INDEX_RELEASE: restore_cells,
    Kind.INDEX_FORMULA: restore_formula,
    Kind.CALIBRATION: restore_calibration,
    Kind.WITHDRAWAL_REQUESTED: _withdrawal,
    Kind.EDGE_CHECKPOINT: _edge_checkpoint,
    Kind.EDGE_FORKED: _edge_forked,
    Kind.RETENTION_RUN: _retention,
    Kind.REQUEST: _request,
    Kind.BREACH: _breach,
}
