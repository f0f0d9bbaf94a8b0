"""The stores of the centre as an eraser asks them: each answer is committed with the note of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import structlog

from api.database import Connection, Database
from api.erasure_stores import ROW_STORES, RowStore
from api.errors import ErasurePending
from api.physical import (
    RewriteRule,
    flush_wal,
    powers,
    rewrite,
    size_mb,
    wait_for_temporary_files,
)

OPERATOR: Final = ".by-operator"
"""End of the name of a store that this program has no right to clear: its operator must."""
_PAUSE: Final = 9.0
"""A relation rests this many times as long as its last rewrite took: it is locked a tenth of the time."""
_DEAD_ROWS: Final = "dead-rows"
_log: Final = structlog.get_logger("api.eraser")


class CentralStore(Protocol):
    """A store of the centre; fits `consent.erasure.ErasableStore`."""

    @property
    def name(self) -> str:
        """What the certificate calls it."""
        ...

    def erase(self, record_id: UUID) -> int:
        """Clear it and return how many things it has removed for this erasure, crashes included."""
        ...


@dataclass(slots=True)
class Clearing:
    """What the stores share.

    Attributes:
        connection: Outside transactions, for what cannot run inside one.
        rests: Relation -> monotonic time from which it may be rewritten again; outlives a round.
        step: Told after each committed step; tests end the program there.
    """

    connection: Connection
    database: Database
    rule: RewriteRule
    rests: dict[str, float] = field(default_factory=dict)
    step: Callable[[str], None] = lambda _: None

    def stores(self) -> tuple[CentralStore, ...]:
        """Return every store of the centre, in the order in which they are asked."""
        may = powers(self.connection)
        return (
            *(_Rows(store, self) for store in ROW_STORES),
            _Leftovers(_DEAD_ROWS, self, _clear_dead_rows, ours=may.rewrite),
            _Leftovers("temporary-files", self, _clear_temporary_files, ours=may.files),
            _Leftovers("write-ahead-log", self, _clear_wal, ours=may.wal),
        )


class _Rows:
    """Rows of one kind: removed again whenever asked."""

    def __init__(self, store: RowStore, clearing: Clearing) -> None:
        self.name = store.name
        self._store = store
        self._clearing = clearing

    def erase(self, record_id: UUID) -> int:
        with self._clearing.database.transaction() as connection:
            removed = self._store.remove(connection, record_id)
            if removed:  # then they leave something behind, whatever was cleared before
                connection.execute(
                    "UPDATE erasure_stores SET state = 'pending', done_at = NULL WHERE record_id = %s "
                    "AND NOT name = ANY(%s)",
                    (record_id, [store.name for store in ROW_STORES]),
                )
            total = _answered(connection, record_id, self.name, removed)
        self._clearing.step(self.name)
        return total


class _Leftovers:
    """What removed rows leave behind in files; once cleared, it stays so until rows are removed again."""

    def __init__(
        self, name: str, clearing: Clearing, clear: Callable[[Clearing, UUID], int], *, ours: bool
    ) -> None:
        self.name = name if ours else name + OPERATOR
        self._clearing = clearing
        self._clear = clear
        self._ours = ours

    def erase(self, record_id: UUID) -> int:
        with self._clearing.database.transaction() as connection:
            row = connection.execute(
                "SELECT (SELECT removed FROM erasure_stores WHERE record_id = %(record)s AND name = %(name)s "
                "AND state = 'done'), EXISTS (SELECT 1 FROM erasure_stores "
                "WHERE record_id = %(record)s AND removed > 0)",
                {"record": record_id, "name": self.name},
            ).fetchone()
        assert row is not None  # noqa: S101 - one row of values
        if row[0] is not None:
            return int(row[0])
        note, count = "", 0
        if not self._ours:
            note = "this program may not do it on that server: its operator must"
        elif row[1]:  # where nothing was removed, nothing was left behind
            try:
                count = self._clear(self._clearing, record_id)
            except ErasurePending as pending:
                with self._clearing.database.transaction() as connection:
                    connection.execute(
                        "UPDATE erasure_stores SET note = %s WHERE record_id = %s AND name = %s",
                        (str(pending), record_id, self.name),
                    )
                raise
        with self._clearing.database.transaction() as connection:
            total = _answered(connection, record_id, self.name, count, note)
        self._clearing.step(self.name)
        return total


def _answered(connection: Connection, record_id: UUID, name: str, removed: int, note: str = "") -> int:
    row = connection.execute(
        "INSERT INTO erasure_stores AS kept (record_id, name, position, state, removed, note, done_at) "
        "VALUES (%s, %s, 99, 'done', %s, %s, clock_timestamp()) ON CONFLICT (record_id, name) DO UPDATE "
        "SET state = 'done', removed = kept.removed + excluded.removed, note = excluded.note, "
        "done_at = excluded.done_at RETURNING removed",
        (record_id, name, removed, note),
    ).fetchone()
    assert row is not None  # noqa: S101 - an upsert returns its row
    return int(row[0])


def _clear_dead_rows(clearing: Clearing, record_id: UUID) -> int:
    """Rewrite each relation with dead rows of this consent; others that wait for it are served too."""
    connection = clearing.connection
    waits = []
    for (relation,) in connection.execute(
        "SELECT relation FROM erasure_rewrites WHERE record_id = %s ORDER BY relation", (record_id,)
    ).fetchall():
        try:
            _rewrite_one(clearing, str(relation))
        except ErasurePending as pending:  # the others need not wait for it
            waits.append(str(pending))
    if waits:
        raise ErasurePending("; ".join(waits))
    return 0  # counted with each relation


def _rewrite_one(clearing: Clearing, relation: str) -> None:
    megabytes = size_mb(clearing.connection, relation)
    if not clearing.rule.allows(megabytes, datetime.now().astimezone()):
        raise ErasurePending(
            f"{relation} has {megabytes:.0f} MB: rewritten in the night, "
            f"from {clearing.rule.from_hour}:00 to {clearing.rule.to_hour}:00"
        )
    if time.monotonic() < clearing.rests.get(relation, 0.0):
        raise ErasurePending(f"{relation} was rewritten a moment ago: again in a while")
    waiting = [
        row[0]
        for row in clearing.connection.execute(
            "SELECT record_id FROM erasure_rewrites WHERE relation = %s", (relation,)
        )
    ]
    took_s = rewrite(clearing.connection, relation)
    clearing.rests[relation] = time.monotonic() + _PAUSE * took_s
    clearing.connection.execute(
        "WITH gone AS (DELETE FROM erasure_rewrites WHERE relation = %s AND record_id = ANY(%s) "
        "RETURNING record_id) UPDATE erasure_stores SET removed = removed + 1 FROM gone "
        "WHERE erasure_stores.record_id = gone.record_id AND name = %s",
        (relation, waiting, _DEAD_ROWS),
    )
    _log.info("relation rewritten", relation=relation, took_s=round(took_s, 2), erasures=len(waiting))
    clearing.step(f"rewritten {relation}")


def _clear_temporary_files(clearing: Clearing, _: UUID) -> int:
    wait_for_temporary_files(clearing.connection)
    return 0


def _clear_wal(clearing: Clearing, record_id: UUID) -> int:
    """Remove the write-ahead log; every erasure that waits only for this is served at once."""
    waiting = [
        row[0]
        for row in clearing.connection.execute(
            "SELECT record_id FROM erasure_stores AS wal WHERE name = 'write-ahead-log' "
            "AND state = 'pending' AND record_id <> %s AND NOT EXISTS "
            "(SELECT 1 FROM erasure_stores AS other WHERE other.record_id = wal.record_id "
            "AND other.state = 'pending' AND other.name <> wal.name)",
            (record_id,),
        )
    ]
    removed = flush_wal(clearing.connection)
    clearing.connection.execute(
        "UPDATE erasure_stores SET state = 'done', removed = removed + %s, done_at = clock_timestamp(), "
        "note = '' WHERE name = 'write-ahead-log' AND record_id = ANY(%s)",
        (removed, waiting),
    )
    return removed
