"""The logs of the edges as they are kept: found and locked, begun, handed over, with their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import structlog

from api.database import Connection
from api.edge_signature import unauthorised
from api.errors import Refused
from api.log_part import LogSender, Part, ReadEntry, read_checkpoint
from consent.checkpoint import ED25519, Checkpoint, KeyHistory, KeyPeriod
from consent.entry import Genesis
from consent.merkle import EMPTY_ROOT
from consent.signed_note import Vkey

_log: Final = structlog.get_logger("api.kept_logs")


@dataclass(frozen=True, slots=True)
class Known:
    """The log of an edge as it is kept.

    Attributes:
        edge: The edge with which it began.
        keys_before: Its keys before it was handed over in this very request; None where it was not.
    """

    edge: UUID
    origin: str
    size: int
    note: bytes
    folded_size: int
    folded_at: datetime | None
    keys: KeyHistory
    keys_before: KeyHistory | None = None


_KNOWN: Final = "SELECT edge_id, origin, size, note, folded_size, folded_at FROM edge_logs"


def lock_log(connection: Connection, sender: UUID) -> Known | None:
    """Return the log that this edge sends, locked until the transaction ends."""
    row = connection.execute(f"{_KNOWN} WHERE sender_id = %s FOR UPDATE", (sender,)).fetchone()
    return None if row is None else _known(connection, row)


def _known(connection: Connection, row: Sequence[Any]) -> Known:
    edge, origin, size, note, folded_size, folded_at = row
    return Known(edge, origin, size, bytes(note), folded_size, folded_at, _keys(connection, edge))


def _keys(connection: Connection, edge: UUID) -> KeyHistory:
    keys = connection.execute(
        "SELECT vkey, from_size, until_size FROM edge_log_keys WHERE edge_id = %s ORDER BY from_size, vkey",
        (edge,),
    )
    return KeyHistory(tuple(KeyPeriod(*period) for period in keys))


def begin_log(
    connection: Connection, part: Part, entries: Sequence[ReadEntry], sender: LogSender
) -> Known | None:
    """Begin to keep a log, or hand one over to the edge that was enrolled in place of the one before.

    Returns:
        The log; None for a question about a log of which nothing has come yet.
    """
    origin = read_checkpoint(part).origin
    row = connection.execute(
        "SELECT edge_id, size, (SELECT revoked_at IS NOT NULL FROM edges WHERE id = sender_id) OR NOT EXISTS "
        "(SELECT 1 FROM counters WHERE counters.edge_id = sender_id), sender_id FROM edge_logs "
        "WHERE origin = %s FOR UPDATE OF edge_logs",
        (origin,),
    ).fetchone()
    if row is not None:
        owner, size, free, by = row
        if by == sender.edge:  # another connection of this edge began it just now
            return lock_log(connection, sender.edge)
        before = _keys(connection, owner)
        if not free:
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-of-another-edge",
                "another enrolled edge sends this log: revoke that edge first, or give this one a new data "
                "folder",
            )
        connection.execute("UPDATE edge_logs SET sender_id = %s WHERE edge_id = %s", (sender.edge, owner))
        # The log may stay the same while the device has a new key: who enrolled it vouches for it.
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (owner, sender.vkey(origin), size),
        )
        taken_over = lock_log(connection, sender.edge)
        return None if taken_over is None else replace(taken_over, keys_before=before)
    if part.first_index > 0:
        raise Refused(
            HTTPStatus.CONFLICT, "log-behind", "nothing of this log is here yet: send it from 0", size=0
        )
    if not entries:
        return None
    genesis = entries[0].entry
    if not isinstance(genesis, Genesis) or origin != f"hailong/edge/{genesis.log}":
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "bad-genesis",
            "a log begins with the entry that names it, and its checkpoints carry that name",
        )
    new = connection.execute(
        "INSERT INTO edge_logs (edge_id, sender_id, origin, size, root, note) VALUES (%s, %s, %s, 0, %s, '') "
        "ON CONFLICT DO NOTHING RETURNING edge_id",
        (sender.edge, sender.edge, origin, EMPTY_ROOT),
    ).fetchone()
    if new is not None:  # else another connection began it just now
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size) VALUES (%s, %s, 0)",
            (sender.edge, sender.vkey(origin)),
        )
    return lock_log(connection, sender.edge)


def write_keys(connection: Connection, edge: UUID, keys: KeyHistory) -> None:
    """Keep the keys of a log."""
    for period in keys.periods:
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size, until_size) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (edge_id, vkey) DO UPDATE SET until_size = excluded.until_size "
            "WHERE edge_log_keys.until_size IS DISTINCT FROM excluded.until_size",
            (edge, period.vkey, period.from_size, period.until_size),
        )


def take_key(connection: Connection, sender: LogSender, tree: Checkpoint, keys: KeyHistory) -> None:
    """Know the edge by its new key from now on: its log names it, endorsed by the one before."""
    assert sender.next_key is not None  # noqa: S101 - asked by the caller
    vkey = str(Vkey(tree.origin, ED25519, sender.next_key))
    if vkey not in {key.vkey() for key in keys.verifiers(tree.size)}:
        raise unauthorised()
    connection.execute(
        "UPDATE edges SET public_key = %s WHERE id = %s AND public_key = %s",
        (sender.next_key, sender.edge, sender.key),
    )
    _log.info("an edge's key was rotated", edge=str(sender.edge), from_size=tree.size)
