"""The check of a whole log: bytes, tree, order of entries, signatures, kept checkpoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from consent import merkle
from consent.entry import EVENT_KINDS, EntryKind
from consent.errors import CheckpointRefused, LedgerCorrupt, TransitionRefused
from consent.event import LoggedEvent
from consent.head import Head
from consent.life import Course
from consent.storage import connect_read_only, snapshot, tables, typed
from consent.stored import COLUMNS, Row, origin_of, read_entries, stored_entry

_WRONG = (LedgerCorrupt, TransitionRefused)
_SETTING_UP = frozenset({EntryKind.GENESIS.value, EntryKind.KEY_INTRODUCED.value})


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check of the whole log.

    Attributes:
        entries: Entries that were found whole.
        root: Root over them, hexadecimal; empty without entries.
        signed_by: Keys whose signatures on the kept head hold.
        broken_index: First entry that is wrong or missing; None when all is well.
        reason: What is wrong there.
    """

    entries: int
    root: str = ""
    signed_by: tuple[str, ...] = ()
    broken_index: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether every entry is the one that was written, up to the kept head."""
        return self.broken_index is None


def verify_file(path: Path, *, keys: Sequence[str] = (), known: Sequence[bytes] = ()) -> Verification:
    """Check a log file without writing to it.

    Args:
        path: The log; its head lies beside it.
        keys: Public keys (C2SP text) that were handed over apart: one of them, or one that follows
            from it by endorsements within the log, must have signed the head. Without them the log
            is checked against the keys it names itself.
        known: Checkpoints of this log that were kept elsewhere: it must still contain them.

    Raises:
        LedgerUnavailable: There is no such file.
    """
    with typed(path), closing(connect_read_only(path)) as connection:
        try:
            head = Head.read(path)
            kept = [Head.of(data) for data in known]
            with snapshot(connection):
                tables(connection, path)
                return _Check(connection, head, kept, keys).run()
        except (LedgerCorrupt, CheckpointRefused) as error:
            return Verification(0, broken_index=0, reason=str(error))
        except sqlite3.DatabaseError as error:
            return Verification(0, broken_index=0, reason=f"the file is damaged: {error}")


def read_log(path: Path) -> tuple[LoggedEvent, ...]:
    """Return the events of all consents of a log file without writing to it.

    Raises:
        LedgerUnavailable: There is no such file, or it cannot be read.
        LedgerCorrupt: An entry is not the one that was written.
    """
    marks = ", ".join("?" * len(EVENT_KINDS))
    with typed(path), closing(connect_read_only(path)) as connection:
        tables(connection, path)
        found = read_entries(connection, f"kind IN ({marks})", *sorted(EVENT_KINDS))
    return tuple(entry.event() for entry in found)


class _Check:
    """One walk over a log, from its first entry to its last."""

    def __init__(
        self, connection: sqlite3.Connection, head: Head | None, known: Sequence[Head], keys: Sequence[str]
    ) -> None:
        self._connection = connection
        self._head = head
        self._kept = (*([head] if head is not None else []), *known)
        self._pinned = frozenset(keys)
        self._course = Course()
        self._course.trusted |= self._pinned
        self._tree = merkle.Frontier()
        self._stored: dict[int, Iterator[tuple[int, bytes]]] = {}
        self._only_set_up = True
        self._first_key: int | None = None

    def run(self) -> Verification:
        """Walk."""
        sizes = {kept.checkpoint.size for kept in self._kept}
        sql = f"SELECT {COLUMNS} FROM entries ORDER BY idx"  # noqa: S608 - fixed columns
        for row in self._connection.execute(sql):
            try:
                self._take(row)
            except _WRONG as error:
                return self._broken(self._tree.size, str(error))
            if self._tree.size in sizes and not self._reached():
                reason = "the kept head names another entry: the log was rewritten or swapped"
                return self._broken(self._tree.size - 1, reason)
        try:
            signed_by = self._end()
        except _WRONG as error:
            return self._broken(self._tree.size, str(error))
        return Verification(self._tree.size, self._tree.root().hex(), signed_by)

    def _broken(self, index: int, reason: str) -> Verification:
        root = self._tree.root().hex() if self._tree.size else ""
        return Verification(self._tree.size, root, (), index, reason)

    def _take(self, row: Row) -> None:
        index, count = row[0], self._tree.size
        if index != count:
            raise LedgerCorrupt(f"entry {count} is missing")
        stored = stored_entry(row)
        entry = stored.entry()
        self._course.take(entry)
        for node in self._tree.append(stored.leaf_hash)[1:]:
            if next(self._nodes(node.level), None) != (node.index, node.hash):
                raise LedgerCorrupt(f"entry {index}: a node above it is not the hash of what is below")
        self._only_set_up = self._only_set_up and stored.kind in _SETTING_UP
        if stored.kind == EntryKind.KEY_INTRODUCED and self._first_key is None:
            self._first_key = index

    def _nodes(self, level: int) -> Iterator[tuple[int, bytes]]:
        if level not in self._stored:
            sql = "SELECT idx, hash FROM nodes WHERE level = ? ORDER BY idx"
            self._stored[level] = iter(self._connection.execute(sql, (level,)))
        return self._stored[level]

    def _reached(self) -> bool:
        """Tell whether the log, at this size, is what every kept checkpoint of the size says."""
        assert self._course.log_id is not None  # noqa: S101 - narrows for mypy: entry 0 was taken
        here = (origin_of(self._course.log_id), self._tree.size, self._tree.root())
        return all(
            (kept.checkpoint.origin, kept.checkpoint.size, kept.checkpoint.root) == here
            for kept in self._kept
            if kept.checkpoint.size == self._tree.size
        )

    def _end(self) -> tuple[str, ...]:
        """Check what only the whole log tells; returns the keys that signed the head."""
        count = self._tree.size
        beyond = max((kept.checkpoint.size for kept in self._kept), default=0)
        if beyond > count:
            raise LedgerCorrupt(f"the kept head has {beyond} entries: the log was cut short")
        if count == 0:
            raise LedgerCorrupt("the log is empty: not even its first entry is there")
        (stored,) = self._connection.execute("SELECT count(*) FROM nodes").fetchone()
        if stored != count - count.bit_count():
            raise LedgerCorrupt("there are nodes of entries that are not there")
        if self._head is None and not self._only_set_up:
            raise LedgerCorrupt("the kept head is missing beside the log")
        signed: dict[Head, tuple[str, ...]] = {}
        for kept in self._kept:
            if self._first_key is not None and kept.checkpoint.size > self._first_key:
                signed[kept] = kept.check_signed(self._course.keys)
        by_head = signed.get(self._head, ()) if self._head is not None else ()
        if self._pinned and not self._course.trusted.intersection(by_head):
            raise LedgerCorrupt(
                f"the kept head is not signed by {', '.join(sorted(self._pinned))} or by a key that follows "
                "from it: the log was signed anew by somebody else"
            )
        return by_head
