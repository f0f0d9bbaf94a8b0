"""The rows of one consent at the centre: what each table holds of it and how that is removed.

Every removal is one transaction with the note of it, finds nothing when it is asked again, and writes
down which relations now hold dead rows: `api.physical` rewrites those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.database import Connection
from api.schema import DAY_ZONE, ROLLUP_SUMS, SIGNAL_COLUMNS

ERASURE_LOCK: Final = 0x65_72_61_73
"""Ingest shares it while it commits; the start of an erasure holds it alone for a moment.

So whatever was being committed when an erasure began is there to be found, and nothing comes after it.
"""
ERASED_DIGEST: Final = b""
"""Digest of a received entry whose content was erased: it fits whatever is sent again."""


@dataclass(frozen=True, slots=True)
class RowStore:
    """One kind of rows: its name on certificates and how its rows of one consent are removed."""

    name: str
    remove: Callable[[Connection, UUID], int]


def resolve_session(connection: Connection, record_id: UUID) -> UUID | None:
    """Find the session of a consent wherever it is still known, and keep it with the erasure."""
    row = connection.execute(
        "UPDATE erasures SET session_id = coalesce(session_id, "
        "(SELECT session_id FROM consents WHERE record_id = %(record)s), "
        "(SELECT session_id FROM signals WHERE consent_record_id = %(record)s LIMIT 1)) "
        "WHERE record_id = %(record)s RETURNING session_id",
        {"record": record_id},
    ).fetchone()
    return None if row is None else row[0]


def _signals_statement() -> str:
    """Return the statement that deletes signals and takes exactly them out of both rollups."""
    columns = ", ".join(name for name in SIGNAL_COLUMNS if name not in {"payload", "salt"})
    sums = ", ".join(f"{source} AS {name}" for name, source in ROLLUP_SUMS.items())
    parts = [
        (
            "WITH gone AS (DELETE FROM signals WHERE consent_record_id = %(record)s "  # noqa: S608 - names are ours, values are bound
            f"RETURNING {columns}, salt IS NULL AS unsalted, tableoid::regclass::text AS partition)"
        ),
        (
            f"dated AS (SELECT gone.*, (window_start AT TIME ZONE '{DAY_ZONE}')::date AS day, counters.area "  # noqa: S608 - as above
            "FROM gone JOIN counters ON counters.code = gone.counter)"
        ),
    ]
    for table, key in (("rollup_counter_day", "counter"), ("rollup_area_day", "area")):
        less = ", ".join(f"{name} = {table}.{name} - part.{name}" for name in ROLLUP_SUMS)
        parts.append(
            f"less_{key} AS (UPDATE {table} SET {less} FROM (SELECT {key}, day, {sums} FROM dated "  # noqa: S608 - as above
            f"GROUP BY {key}, day) AS part WHERE {table}.{key} = part.{key} AND {table}.day = part.day)"
        )
    parts.append(
        "kept AS (INSERT INTO erasure_entries (record_id, edge_id, seq) "
        "SELECT %(record)s, edge_id, seq FROM gone ON CONFLICT DO NOTHING)"
    )
    return ", ".join(parts) + " SELECT partition, unsalted, counter, area, day FROM dated"  # noqa: S608 - as above


_DELETE_SIGNALS: Final = _signals_statement()


def _remove_signals(connection: Connection, record_id: UUID) -> int:
    """Delete the signals; the key that opened their commitment is a column of them."""
    gone = connection.execute(_DELETE_SIGNALS, {"record": record_id}).fetchall()
    for table, key, at in (("rollup_counter_day", "counter", 2), ("rollup_area_day", "area", 3)):
        for group, day in sorted({(row[at], row[4]) for row in gone}):
            connection.execute(
                f"DELETE FROM {table} WHERE {key} = %s AND day = %s AND sessions = 0",  # noqa: S608 - names are ours
                (group, day),
            )
    dirty = {str(row[0]) for row in gone}
    if gone:  # an old sum less the new one is the score
        dirty |= {"rollup_counter_day", "rollup_area_day"}
    if any(row[1] for row in gone):  # a digest without a salt could be tried out
        dirty.add("receipts")
    _note_dead_rows(connection, record_id, dirty)
    return len(gone)


def _remove_quarantined(connection: Connection, record_id: UUID) -> int:
    """Delete what was set aside under the consent's numbers, or names it or its session in any spelling."""
    session = resolve_session(connection, record_id)
    gone = connection.execute(
        "WITH gone AS (DELETE FROM quarantine WHERE "
        "replace(lower(encode(payload, 'escape')), '-', '') LIKE ANY(%s) "
        "OR (edge_id, seq) IN (SELECT edge_id, seq FROM erasure_entries WHERE record_id = %s) "
        "RETURNING edge_id, seq) "
        "INSERT INTO erasure_entries (record_id, edge_id, seq) SELECT %s, edge_id, seq FROM gone "
        "ON CONFLICT (record_id, edge_id, seq) DO UPDATE SET seq = excluded.seq",
        ([f"%{name.hex}%" for name in (record_id, session) if name is not None], record_id, record_id),
    ).rowcount
    if gone:
        _note_dead_rows(connection, record_id, {"quarantine", "receipts"})
    return gone


def _unlink_ballots(connection: Connection, record_id: UUID) -> int:
    """Take the session out of its ballots: the votes stay, nobody can tell any more whose they were."""
    session = resolve_session(connection, record_id)
    if session is None:
        return 0
    gone = connection.execute(
        "UPDATE ballots SET session_id = NULL WHERE session_id = %s", (session,)
    ).rowcount
    if gone:
        _note_dead_rows(connection, record_id, {"ballots"})
    return gone


def _blank_receipts(connection: Connection, record_id: UUID) -> int:
    """Blank the digests of the entries that held something of the consent; their numbers stay taken."""
    return connection.execute(
        "UPDATE receipts SET digest = %s FROM erasure_entries AS held WHERE held.record_id = %s "
        "AND receipts.edge_id = held.edge_id AND receipts.seq = held.seq AND digest <> %s",
        (ERASED_DIGEST, record_id, ERASED_DIGEST),
    ).rowcount


def _note_dead_rows(connection: Connection, record_id: UUID, relations: set[str]) -> None:
    connection.execute(
        "INSERT INTO erasure_rewrites (record_id, relation) SELECT %s, unnest(%s::text[]) "
        "ON CONFLICT DO NOTHING",
        (record_id, sorted(relations)),
    )


ROW_STORES: Final = (
    RowStore("signals", _remove_signals),
    RowStore("quarantine", _remove_quarantined),
    RowStore("ballots", _unlink_ballots),
    RowStore("receipts", _blank_receipts),
)
"""In the order in which they are asked: the receipts last, when every number is known."""


def holds(connection: Connection, record_id: UUID) -> bool:
    """Tell whether any of the tables holds something of a consent: after a restore it may."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM signals WHERE consent_record_id = %(record)s) "
        "OR EXISTS (SELECT 1 FROM ballots JOIN erasures USING (session_id) "
        "WHERE erasures.record_id = %(record)s) "
        "OR EXISTS (SELECT 1 FROM quarantine WHERE "
        "replace(lower(encode(payload, 'escape')), '-', '') LIKE %(text)s)",
        {"record": record_id, "text": f"%{record_id.hex}%"},
    ).fetchone()
    return row is not None and bool(row[0])
