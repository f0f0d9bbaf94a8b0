"""What lies in the log's tables: entries, complete subtrees, keys."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias
from uuid import UUID

from consent import merkle
from consent.checkpoint import Checkpoint, KeyHistory, KeyPeriod
from consent.entry import Entry, EntryKind, Genesis, KeyIntroduced, KeyRetired, parse_as
from consent.errors import EntryRefused, LedgerCorrupt
from consent.event import Event, LoggedEvent

COLUMNS: Final = "idx, leaf, kind, record_id, session_id, body"
Row: TypeAlias = tuple[int, bytes, str, str | None, str | None, bytes]
"""A row of the table `entries`, in the order of `COLUMNS`."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry as it lies in the log."""

    index: int
    kind: str
    record_id: UUID | None
    session_id: UUID | None
    body: bytes
    leaf_hash: bytes

    def entry(self) -> Entry:
        """Return what the bytes say.

        Raises:
            LedgerCorrupt: They are no entry of this kind, or the columns beside them differ.
        """
        try:
            entry = parse_as(self.kind, self.body)
        except EntryRefused as error:
            raise LedgerCorrupt(f"entry {self.index}: {error}") from error
        self._check_columns(entry)
        return entry

    def event(self) -> LoggedEvent:
        """Return the event of a consent; quicker than `entry`, which also checks the canonical form.

        Raises:
            LedgerCorrupt: It is none, or the columns beside it differ.
        """
        try:
            event = event_of(self.body)
        except ValueError as error:
            raise LedgerCorrupt(f"entry {self.index}: the stored bytes are no event") from error
        if event.kind != self.kind:
            raise LedgerCorrupt(f"entry {self.index}: the columns differ from the stored bytes")
        self._check_columns(event)
        return LoggedEvent(self.index, self.leaf_hash.hex(), event)

    def _check_columns(self, entry: Entry) -> None:
        named = getattr(entry, "record_id", None), getattr(entry, "session_id", None)
        if (self.record_id, self.session_id) != named:
            raise LedgerCorrupt(f"entry {self.index}: the columns differ from the stored bytes")


@dataclass(frozen=True, slots=True)
class Logged:
    """Where an entry lies, and its leaf hash."""

    index: int
    leaf_hash: bytes


class StoredNodes:
    """The complete subtrees of a log: leaves lie with their entries, the rest in `nodes`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through this connection."""
        self._connection = connection

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; KeyError when there is none."""
        if level == 0:
            cursor = self._connection.execute("SELECT leaf FROM entries WHERE idx = ?", (index,))
        else:
            cursor = self._connection.execute(
                "SELECT hash FROM nodes WHERE level = ? AND idx = ?", (level, index)
            )
        found = cursor.fetchone()
        if found is None:
            raise KeyError((level, index))
        value: bytes = found[0]
        return value


class Writing:
    """One write transaction: what it appends is committed together or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Continue the log of an open transaction."""
        self._connection = connection
        self._nodes = StoredNodes(connection)
        self._fresh: dict[int, merkle.Node] = {}
        self.size = size_of(connection)
        self.appended: list[StoredEntry] = []

    def append(
        self, kind: str, body: bytes, *, record_id: UUID | None = None, session_id: UUID | None = None
    ) -> Logged:
        """Append one leaf; `body` is stored and hashed as it is."""
        made = merkle.appended(self.size, merkle.leaf_hash(body), self)
        leaf, above = made[0].hash, made[1:]
        self._connection.execute(
            f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed columns
            (self.size, leaf, kind, _text(record_id), _text(session_id), body),
        )
        self._connection.executemany(
            "INSERT INTO nodes (level, idx, hash) VALUES (?, ?, ?)",
            [(node.level, node.index, node.hash) for node in above],
        )
        self._fresh.update((node.level, node) for node in made)
        entry = StoredEntry(self.size, kind, record_id, session_id, body, leaf)
        self.appended.append(entry)
        self.size += 1
        return Logged(entry.index, leaf)

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; the newest of each level is at hand."""
        fresh = self._fresh.get(level)
        return fresh.hash if fresh and fresh.index == index else self._nodes.node(level, index)

    def of_record(self, record_id: UUID) -> tuple[StoredEntry, ...]:
        """Return the entries of one record, those of this transaction as well."""
        return read_entries(self._connection, "record_id = ?", str(record_id))


@lru_cache(maxsize=256)  # each step of a consent reads its life again: the same bytes, the same event
def event_of(body: bytes) -> Event:
    """Return the event that stored bytes say.

    Raises:
        pydantic.ValidationError: They say none.
    """
    return Event.parse(body)


def origin_of(log_id: UUID) -> str:
    """Return the origin of an edge's log: the first line of its checkpoints, the name of its keys."""
    return f"hailong/edge/{log_id}"


def size_of(connection: sqlite3.Connection) -> int:
    """Return the number of entries."""
    newest: int | None = connection.execute("SELECT max(idx) FROM entries").fetchone()[0]
    return 0 if newest is None else newest + 1


def tree_of(connection: sqlite3.Connection, log_id: UUID, size: int) -> Checkpoint:
    """Return the state of the log at a size.

    Raises:
        LedgerCorrupt: A node of the tree is missing.
    """
    try:
        root = merkle.root(size, StoredNodes(connection))
    except KeyError as error:
        raise LedgerCorrupt(
            f"node {error} of the consent log is missing. Restore it from a backup."
        ) from error
    return Checkpoint(origin_of(log_id), size, root)


def stored_entry(row: Row) -> StoredEntry:
    """Return the entry of a row.

    Raises:
        LedgerCorrupt: Its hash does not cover its bytes.
    """
    index, leaf, kind, record_id, session_id, body = row
    if merkle.leaf_hash(body) != leaf:
        raise LedgerCorrupt(f"entry {index}: the hash does not cover the stored bytes")
    try:
        return StoredEntry(index, kind, _uuid(record_id), _uuid(session_id), body, leaf)
    except ValueError as error:
        raise LedgerCorrupt(f"entry {index}: the columns differ from the stored bytes") from error


def read_entries(connection: sqlite3.Connection, where: str, *values: str | int) -> tuple[StoredEntry, ...]:
    """Return the entries of a clause of ours, in order.

    Raises:
        LedgerCorrupt: An entry's hash does not cover its bytes.
    """
    sql = f"SELECT {COLUMNS} FROM entries WHERE {where} ORDER BY idx"  # noqa: S608 - clauses of this package
    return tuple(stored_entry(row) for row in connection.execute(sql, values))


def log_id_of(connection: sqlite3.Connection) -> UUID:
    """Return the id that the first entry names.

    Raises:
        LedgerCorrupt: There is no first entry, or it names no log.
    """
    first = read_entries(connection, "idx = 0")
    if not first:
        raise LedgerCorrupt("the log has no first entry. Restore it from a backup.")
    genesis = first[0].entry()
    if not isinstance(genesis, Genesis):
        raise LedgerCorrupt("entry 0 names no log. Restore it from a backup.")
    return genesis.log


def keys_of(connection: sqlite3.Connection) -> KeyHistory:
    """Return the keys that the log introduces and retires; empty while nothing signs it.

    Raises:
        LedgerCorrupt: An entry about a key cannot be read.
    """
    history = KeyHistory(())
    kinds = f"kind IN ('{EntryKind.KEY_INTRODUCED}', '{EntryKind.KEY_RETIRED}')"
    for stored in read_entries(connection, kinds):
        step = stored.entry()
        if isinstance(step, KeyIntroduced | KeyRetired):
            history = with_key(history, step)
    return history


def with_key(history: KeyHistory, step: KeyIntroduced | KeyRetired) -> KeyHistory:
    """Return the keys after a key was introduced or retired."""
    if isinstance(step, KeyIntroduced):
        return KeyHistory((*history.periods, KeyPeriod(step.vkey, step.from_size)))
    return KeyHistory(
        tuple(
            KeyPeriod(period.vkey, period.from_size, step.until_size)
            if period.vkey == step.vkey and period.until_size is None
            else period
            for period in history.periods
        )
    )


@lru_cache(maxsize=4096)  # the entries of one record lie close together
def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
