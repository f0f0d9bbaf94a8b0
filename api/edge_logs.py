"""The logs of the edges at the centre: every entry kept as it was hashed, every root computed anew.

An edge sends its log in parts, each with a checkpoint it signed. The centre adds the entries to the tree
it already has: only a log that continues the one it knows reaches the signed root. One that does not is a
fork: the evidence is kept, nothing is accepted. The edge's checkpoint becomes a leaf of the centre's own log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog

from api import erasure
from api.database import Connection, Database
from api.errors import LogDamaged, Refused
from api.kept_logs import Known, begin_log, lock_log, take_key, write_keys
from api.key_history import follow
from api.log import Kind, append
from api.log_forks import Forked, keep_evidence
from api.log_part import LogSender, Part, ReadEntry, log_sender, parse_part, read_checkpoint, read_entries
from api.projection import Projected, project
from api.settings import LogSettings
from api.tree import StoredNodes
from api.withdrawals import restore_requests
from consent.checkpoint import Checkpoint, KeyHistory, open_note, peek, verifier
from consent.entry import KeyIntroduced, KeyRetired
from consent.errors import CheckpointRefused
from consent.merkle import root

_AT_ONCE: Final = frozenset(
    (
        "genesis",
        "withdrawn",
        "invalidated",
        "erasure-started",
        "erasure-done",
        "key-introduced",
        "key-retired",
    )
)
"""Kinds whose checkpoint is folded in without waiting."""
_INSERT: Final = (
    "INSERT INTO edge_log_entries (edge_id, idx, leaf_hash, kind, record_id, body) SELECT %s::uuid, * "
    "FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::uuid[], %s::bytea[])"
)
_log: Final = structlog.get_logger("api.edge_logs")


@dataclass(frozen=True, slots=True)
class PendingWithdrawal:
    """A withdrawal asked for at the centre that the edge's log does not show yet."""

    record_id: UUID
    requested_at: datetime
    method: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer: how much of the log is committed, and what the edge is to withdraw.

    Attributes:
        added: Entries that are new.
        folded: Index of the edge's checkpoint in the centre's log, None when it was not its turn.
    """

    size: int
    withdrawals: tuple[PendingWithdrawal, ...]
    added: int = 0
    anomalies: int = 0
    folded: int | None = None


class EdgeLogs:
    """Takes parts of the edges' logs and commits them.

    Args:
        database: Where they go.
        settings: Limits, and how often checkpoints are folded in.
    """

    def __init__(self, database: Database, settings: LogSettings) -> None:
        """Keep the database and the limits."""
        self._database = database
        self._settings = settings

    def accept(self, body: bytes, signature: str | None) -> Taken:
        """Verify and commit one part of an edge's log.

        Raises:
            Refused: Nothing was committed but, for a fork, its evidence; the problem says why.
            LogDamaged: What the centre keeps of this log does not fit together.
            DatabaseUnavailable: Nothing is acknowledged; send it again later.
        """
        part = parse_part(body, max_entries=self._settings.max_entries)
        with self._database.transaction() as connection:
            sender = log_sender(connection, part, body, signature)
        entries = read_entries(part)
        try:
            with self._database.transaction() as connection:
                return self._take(connection, part, entries, sender)
        except Forked as fork:
            keep_evidence(self._database, fork, part, body)
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-forked",
                f"the log does not continue the one that is kept here ({fork.reason}); nothing was taken. "
                "The privacy officer is told; keep the edge's data folder as it is.",
            ) from None
        except KeyError as error:
            raise LogDamaged(
                f"node {error} of the log of edge {part.edge} is missing here: restore the newest backup"
            ) from error

    def _take(
        self, connection: Connection, part: Part, entries: Sequence[ReadEntry], sender: LogSender
    ) -> Taken:
        known = lock_log(connection, part.edge) or begin_log(connection, part, entries, sender)
        if known is None:
            return Taken(0, ())
        try:
            return self._continue(connection, known, part, entries, sender)
        except Forked as fork:
            if known.keys_before is None or _is_proof(connection, known, known.keys_before, part):
                raise
            _log.warning("a log that was to be handed over differs", edge=str(known.edge), reason=str(fork))
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-of-another-edge",
                f"another edge sent this log before, and it went on otherwise ({fork.reason}): give this "
                "edge a new data folder, and keep the old one for the privacy officer",
            ) from None

    def _continue(
        self,
        connection: Connection,
        known: Known,
        part: Part,
        entries: Sequence[ReadEntry],
        sender: LogSender,
    ) -> Taken:
        if part.first_index > known.size:
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-behind",
                f"entries {known.size} to {part.first_index - 1} are missing: send again from {known.size}",
                size=known.size,
            )
        fresh = entries[known.size - part.first_index :]
        tree, keys, refused_keys = _check_signature(part, known, fresh, sender)
        _check_repeated(connection, known, part.first_index, entries[: known.size - part.first_index])
        nodes = StoredNodes(connection, known.edge)
        made = nodes.extend(known.size, [entry.hash for entry in fresh])
        if root(tree.size, nodes) != tree.root:
            raise Forked(known.edge, known.note, f"another root at size {tree.size}")
        _check_folded(connection, known, tree, nodes)
        connection.execute(
            "UPDATE edge_logs SET last_contact = clock_timestamp() WHERE edge_id = %s", (known.edge,)
        )
        projected = Projected(anomalies=refused_keys)
        if fresh:
            self._store(connection, known, fresh, tree, part.checkpoint)
            nodes.write(made)
            write_keys(connection, known.edge, keys)
            numbered = [(known.size + place, entry.entry) for place, entry in enumerate(fresh)]
            told = project(connection, known.edge, numbered, counters=sender.counters)
            projected = Projected(told.erasing, refused_keys + told.anomalies)
            offered = [item.record_id for item in fresh if item.kind == "offered" and item.record_id]
            if offered:  # asked for before the database was restored
                restore_requests(connection, offered)
            _act_upon(connection, known.edge, projected)
            if sender.next_key is not None:
                take_key(connection, sender, tree, keys)
        pending = _pending(connection, known.edge)
        folded = self._fold(connection, known, fresh, tree, part.checkpoint)
        return Taken(max(known.size, tree.size), pending, len(fresh), len(projected.anomalies), folded)

    def _store(
        self, connection: Connection, known: Known, fresh: Sequence[ReadEntry], tree: Checkpoint, note: bytes
    ) -> None:
        connection.execute(
            _INSERT,
            (
                known.edge,
                list(range(known.size, tree.size)),
                [entry.hash for entry in fresh],
                [entry.kind for entry in fresh],
                [entry.record_id for entry in fresh],
                [entry.body for entry in fresh],
            ),
        )
        connection.execute(
            "UPDATE edge_logs SET size = %s, root = %s, note = %s WHERE edge_id = %s",
            (tree.size, tree.root, note, known.edge),
        )

    def _fold(
        self, connection: Connection, known: Known, fresh: Sequence[ReadEntry], tree: Checkpoint, note: bytes
    ) -> int | None:
        """Append the edge's checkpoint to the centre's log, when it is its turn; last in the transaction."""
        if tree.size <= known.folded_size or tree.size < known.size:
            return None
        wait = timedelta(seconds=self._settings.fold_s)
        at_once = any(entry.kind in _AT_ONCE for entry in fresh)
        if not at_once and known.folded_at is not None and datetime.now(UTC) - known.folded_at < wait:
            return None
        body = {
            "edge": known.edge,
            "origin": tree.origin,
            "size": tree.size,
            "root": tree.root.hex(),
            "note": note.decode(),
        }
        index = append(connection, Kind.EDGE_CHECKPOINT, body)
        connection.execute(
            "INSERT INTO edge_checkpoints (edge_id, size, note, central_index) VALUES (%s, %s, %s, %s)",
            (known.edge, tree.size, note, index),
        )
        connection.execute(
            "UPDATE edge_logs SET folded_size = %s, folded_index = %s, folded_at = clock_timestamp() "
            "WHERE edge_id = %s",
            (tree.size, index, known.edge),
        )
        return index


def _check_signature(
    part: Part, known: Known, fresh: Sequence[ReadEntry], sender: LogSender
) -> tuple[Checkpoint, KeyHistory, list[tuple[int, str]]]:
    """Return the checkpoint, the keys of the log after this part, and the keys it names in vain."""
    tree = read_checkpoint(part)
    keys, in_vain = known.keys, []
    for place, item in enumerate(fresh):
        if isinstance(item.entry, KeyIntroduced | KeyRetired):
            index = known.size + place
            try:
                keys = follow(keys, item.entry, index, trusted=(sender.vkey(known.origin),))
            except CheckpointRefused:
                in_vain.append((index, "key-not-endorsed"))
    try:
        if tree.origin != known.origin:
            open_note(part.checkpoint, [verifier(sender.vkey(tree.origin))])
        else:
            keys.open(part.checkpoint)
    except CheckpointRefused as error:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "checkpoint-refused",
            f"the checkpoint is not signed as the log of this edge is: {error}",
        ) from None
    if tree.origin != known.origin:
        raise Forked(known.edge, known.note, "another log under the same identity")
    return tree, keys, in_vain


def _is_proof(connection: Connection, known: Known, keys: KeyHistory, part: Part) -> bool:
    """Tell whether a key of the log itself signed another root for a size that is kept.

    Who asks for the log of another edge must not be able to accuse that edge with a note of its own, nor
    with entries that a true note does not stand for.
    """
    tree = read_checkpoint(part)
    try:
        keys.open(part.checkpoint)
    except CheckpointRefused:
        return False
    return tree.size <= known.size and root(tree.size, StoredNodes(connection, known.edge)) != tree.root


def _check_repeated(
    connection: Connection, known: Known, first_index: int, repeated: Sequence[ReadEntry]
) -> None:
    if not repeated:
        return
    rows = connection.execute(
        "SELECT idx, leaf_hash FROM edge_log_entries WHERE edge_id = %s AND idx >= %s AND idx < %s",
        (known.edge, first_index, first_index + len(repeated)),
    )
    kept = {int(row[0]): bytes(row[1]) for row in rows}
    for place, item in enumerate(repeated):
        if kept[first_index + place] != item.hash:
            raise Forked(known.edge, known.note, f"another entry {first_index + place}")


def _check_folded(connection: Connection, known: Known, tree: Checkpoint, nodes: StoredNodes) -> None:
    """Compare with what this edge had signed before the database was restored to an older state."""
    if not known.size < known.folded_size <= tree.size:
        return
    row = connection.execute(
        "SELECT note FROM edge_checkpoints WHERE edge_id = %s AND size = %s", (known.edge, known.folded_size)
    ).fetchone()
    if row is not None and root(known.folded_size, nodes) != peek(bytes(row[0])).root:
        raise Forked(known.edge, bytes(row[0]), f"another root at size {known.folded_size}")


def _act_upon(connection: Connection, edge: UUID, projected: Projected) -> None:
    """Ask for the erasures that the entries call for, settle withdrawals, list what does not fit."""
    for consent in projected.erasing:
        erasure.queue(connection, consent.record_id, consent.state, session_id=consent.session_id)
    connection.execute(
        "UPDATE withdrawal_requests w SET settled_at = clock_timestamp() FROM consents c "
        "WHERE w.edge_id = %s AND w.settled_at IS NULL AND c.record_id = w.record_id "
        "AND c.state NOT IN ('offered', 'given', 'completed', 'expired')",
        (edge,),
    )
    for index, reason in projected.anomalies:
        connection.execute(
            "INSERT INTO edge_log_anomalies (edge_id, idx, reason) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            (edge, index, reason),
        )


def _pending(connection: Connection, edge: UUID) -> tuple[PendingWithdrawal, ...]:
    rows = connection.execute(
        "UPDATE withdrawal_requests SET listed_at = coalesce(listed_at, clock_timestamp()) "
        "WHERE edge_id = %s AND settled_at IS NULL RETURNING record_id, requested_at, method",
        (edge,),
    ).fetchall()
    return tuple(PendingWithdrawal(*row) for row in sorted(rows, key=lambda row: (row[1], row[0])))
