"""Erasures at the centre: asked for in the transaction of what asks, done by the eraser, shown by store.

An erasure is a row of the table `erasures`, so asking for one is as durable as the withdrawal that asks.
From that commit on nothing of the consent is taken any more; `api.eraser` does the rest in the
background, and each store's state is readable meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from api.database import Connection, Database
from consent.erasure import ErasureCertificate

CAUSES: Final = frozenset({"withdrawn", "invalidated", "request", "retention"})
_ROW: Final = "record_id, session_id, cause, state, queued_at, started_at, done_at, coalesce(fault, '')"
_log: Final = structlog.get_logger("api.erasure")


class ErasureState(StrEnum):
    """How far an erasure is."""

    QUEUED = "queued"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class StoreState:
    """What one store has done for one erasure.

    Attributes:
        name: Which store; a name that ends in `.by-operator` is in the hands of whoever runs that server.
        done: Whether it has answered.
        removed: How many things it removed.
        note: Why it is still pending, or what was done; empty where there is nothing to say.
    """

    name: str
    done: bool
    removed: int
    note: str
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure and how far it is.

    Attributes:
        fault: What kept the last attempt from finishing; empty when nothing did.
        stores: In the order in which they are asked; empty while it is queued.
    """

    record_id: UUID
    session_id: UUID | None
    cause: str
    state: ErasureState
    queued_at: datetime
    started_at: datetime | None
    done_at: datetime | None
    fault: str
    stores: tuple[StoreState, ...]


def queue(
    connection: Connection,
    record_id: UUID,
    cause: str,
    *,
    session_id: UUID | None = None,
    entry: tuple[UUID, int] | None = None,
) -> bool:
    """Ask for an erasure in the caller's transaction; asking again changes nothing.

    Args:
        connection: Inside the transaction of what asks for it.
        record_id: The consent whose data go.
        cause: One of `CAUSES`.
        session_id: Its session, where the caller knows it.
        entry: Edge and number of an outbox entry that held something of it.

    Returns:
        Whether it is new.
    """
    if cause not in CAUSES:
        raise ValueError(f"an erasure is caused by one of {', '.join(sorted(CAUSES))}, not by {cause!r}")
    new = connection.execute(
        "INSERT INTO erasures (record_id, session_id, cause) VALUES (%s, %s, %s) "
        "ON CONFLICT (record_id) DO NOTHING RETURNING record_id",
        (record_id, session_id, cause),
    ).fetchone()
    if new is None and session_id is not None:
        _learn_session(connection, record_id, session_id)
    if entry is not None:
        connection.execute(
            "INSERT INTO erasure_entries (record_id, edge_id, seq) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            (record_id, *entry),
        )
    return new is not None


def _learn_session(connection: Connection, record_id: UUID, session_id: UUID) -> None:
    """Keep the session of an erasure that was asked for before its log came.

    A ballot of that session may have come in between, and nobody could see whose it was: once more.
    """
    learned = connection.execute(
        "UPDATE erasures SET session_id = %s WHERE record_id = %s AND session_id IS NULL RETURNING record_id",
        (session_id, record_id),
    ).fetchone()
    if learned is not None:
        reopen(connection, record_id)


def reopen(connection: Connection, record_id: UUID) -> None:
    """Let a finished erasure run once more, since something of the consent is there again.

    The certificate of the earlier run stays in the log.
    """
    again = connection.execute(
        "UPDATE erasures SET state = 'queued', certificate = NULL, started_at = NULL, done_at = NULL "
        "WHERE record_id = %s AND state = 'done' RETURNING record_id",
        (record_id,),
    ).fetchone()
    if again is not None:
        connection.execute("DELETE FROM erasure_stores WHERE record_id = %s", (record_id,))


def erase(database: Database, record_id: UUID, cause: str) -> bool:
    """Ask for an erasure; it is durable when this returns, and runs in the background.

    Where the asking comes with a write of its own, call `queue` in that transaction instead.

    Raises:
        DatabaseUnavailable: Nothing was asked; ask again.
    """
    with database.transaction() as connection:
        return queue(connection, record_id, cause)


def queue_withdrawn(connection: Connection, looked: Mapping[UUID, int]) -> dict[UUID, int]:
    """Ask for the erasure of each consent that was withdrawn or invalidated and has none.

    The ingest of the edge's log asks by itself; this is the net below it, also after a restore. A state
    changes only with an entry of that log: what was looked through once needs no second look.

    Args:
        connection: Inside a transaction.
        looked: Edge -> size of its log up to which an earlier, committed look went; empty for a whole look.

    Returns:
        How far this look went.
    """
    # The sizes first: what is committed after them lies beyond them.
    sizes = {row[0]: int(row[1]) for row in connection.execute("SELECT edge_id, size FROM edge_logs")}
    grown = {edge: looked.get(edge, 0) for edge, size in sizes.items() if looked.get(edge) != size}
    if grown:
        connection.execute(
            "INSERT INTO erasures (record_id, session_id, cause) SELECT record_id, session_id, state "
            "FROM unnest(%s::uuid[], %s::bigint[]) AS grown(edge_id, from_index) JOIN consents "
            "ON consents.edge_id = grown.edge_id AND last_index >= from_index "
            "WHERE state IN ('withdrawn', 'invalidated') AND NOT EXISTS "
            "(SELECT 1 FROM erasures WHERE erasures.record_id = consents.record_id) ON CONFLICT DO NOTHING",
            (
                list(grown),
                [from_index if from_index <= sizes[edge] else 0 for edge, from_index in grown.items()],
            ),
        )
    return sizes


def claim(connection: Connection, record_id: UUID, entry: tuple[UUID, int]) -> None:
    """Keep the wish of an edge for an erasure until a log names whose consent it is.

    Args:
        connection: Inside the transaction that takes the tombstone.
        record_id: The consent that the edge names.
        entry: The edge, and the number of its tombstone.
    """
    connection.execute(
        "INSERT INTO erasure_claims (record_id, edge_id, seq) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (record_id, *entry),
    )


def settle_claims(connection: Connection) -> int:
    """Ask for the erasures that their edges claimed before their logs came; return how many claims ended.

    A claim on a consent of another edge ends without one.
    """
    settled = connection.execute(
        "DELETE FROM erasure_claims AS claim USING consents, edge_logs "
        "WHERE consents.record_id = claim.record_id AND edge_logs.edge_id = consents.edge_id "
        "RETURNING claim.record_id, consents.session_id, claim.edge_id, claim.seq, "
        "claim.edge_id IN (edge_logs.edge_id, edge_logs.sender_id)"
    ).fetchall()
    for record_id, session_id, edge, seq, own in settled:
        if own:
            queue(connection, record_id, "withdrawn", session_id=session_id, entry=(edge, seq))
        else:
            _log.warning("an edge asked for the erasure of another edge's consent", edge=str(edge), seq=seq)
    return len(settled)


def list_erasures(
    database: Database, *, state: ErasureState | None = None, limit: int = 100, offset: int = 0
) -> tuple[Erasure, ...]:
    """Return erasures with the state of each store, the newest first."""
    with database.transaction() as connection:
        return _read(connection, "(%s::text IS NULL OR state = %s)", (state, state), limit, offset)


def find_erasure(database: Database, record_id: UUID) -> Erasure | None:
    """Return the erasure of one consent with the state of each store, None where none was asked for."""
    with database.transaction() as connection:
        return find_erasure_in(connection, record_id)


def find_erasure_in(connection: Connection, record_id: UUID) -> Erasure | None:
    """Return the erasure of one consent, on the caller's connection."""
    found = _read(connection, "record_id = %s", (record_id,), 1, 0)
    return found[0] if found else None


def count_unfinished(connection: Connection) -> int:
    """Return how many erasures are not complete."""
    row = connection.execute("SELECT count(*) FROM erasures WHERE state <> 'done'").fetchone()
    return 0 if row is None else int(row[0])


def count_unknown(connection: Connection, listed: Sequence[UUID]) -> int:
    """Return of how many of these consents no erasure was asked for here."""
    row = connection.execute(
        "SELECT count(*) FROM unnest(%s::uuid[]) AS listed(record_id) WHERE NOT EXISTS "
        "(SELECT 1 FROM erasures WHERE erasures.record_id = listed.record_id)",
        (list(listed),),
    ).fetchone()
    return 0 if row is None else int(row[0])


def certificate(database: Database, record_id: UUID) -> ErasureCertificate | None:
    """Return the certificate of one consent's erasure, None while it is not complete."""
    with database.transaction() as connection:
        return certificate_in(connection, record_id)


def certificate_in(connection: Connection, record_id: UUID) -> ErasureCertificate | None:
    """Return the certificate of one consent's erasure, on the caller's connection."""
    row = connection.execute(
        "SELECT certificate FROM erasures WHERE record_id = %s AND certificate IS NOT NULL", (record_id,)
    ).fetchone()
    return None if row is None else ErasureCertificate.parse(bytes(row[0]))


def _read(
    connection: Connection, condition: str, values: tuple[object, ...], limit: int, offset: int
) -> tuple[Erasure, ...]:
    rows = connection.execute(
        f"SELECT {_ROW} FROM erasures WHERE {condition} "  # noqa: S608 - conditions of ours, values are bound
        "ORDER BY queued_at DESC, record_id LIMIT %s OFFSET %s",
        (*values, limit, offset),
    ).fetchall()
    stores: dict[UUID, list[StoreState]] = {row[0]: [] for row in rows}
    for record_id, *fields in connection.execute(
        "SELECT record_id, name, state = 'done', removed, note, done_at FROM erasure_stores "
        "WHERE record_id = ANY(%s) ORDER BY record_id, position",
        (list(stores),),
    ):
        stores[record_id].append(StoreState(*fields))
    return tuple(
        Erasure(
            row[0],
            row[1],
            row[2],
            ErasureState(row[3]),
            row[4],
            row[5],
            row[6],
            row[7],
            tuple(stores[row[0]]),
        )
        for row in rows
    )
