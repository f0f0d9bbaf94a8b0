"""The append-only Merkle log of one edge, in SQLite.

Every entry is a leaf (RFC 6962) over exactly the bytes that are stored. Each commit is
followed by a new head beside the file: the signed checkpoint of the log as it is then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import UUID

import structlog

from consent import merkle, storage
from consent.checkpoint import KeyHistory, sign
from consent.entry import KeyRetired, body_of
from consent.errors import LedgerUnavailable
from consent.head import head_lock, head_path, write_head
from consent.opening import Signers, introduce, open_tables, signers_for
from consent.stored import (
    Logged,
    StoredEntry,
    StoredNodes,
    Writing,
    keys_of,
    origin_of,
    read_entries,
    size_of,
    tree_of,
)

_log = structlog.get_logger(__name__)

AppendListener = Callable[[StoredEntry], None]


class Log:
    """Append-only Merkle log in one SQLite file; safe to share between threads and programs.

    Writes are serialised (BEGIN IMMEDIATE) and durable when a call returns. The head beside the
    file is at most one commit of each program behind it and never ahead.

    Args:
        path: The database file; made when absent. `<name>.head` lies beside it.
        signers: Who signs its checkpoints, as named by the log's newest keys. Without them a log
            that was signed can only be read.
        now: Wall clock, for people.
        busy_s: How long a write waits for another writer.

    Raises:
        LedgerUnavailable: The file cannot be opened or written, or another key signs it.
        LedgerCorrupt: The file is damaged, cut short, another log's, or of an older format.
    """

    def __init__(
        self,
        path: Path,
        *,
        signers: Signers = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        busy_s: float = 2.0,
    ) -> None:
        """Open the log, or make a new one where there has never been one."""
        self.path = path
        self._now = now
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._listeners: tuple[AppendListener, ...] = ()
        with storage.typed(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._writer = storage.connect(path, busy_s)
            try:
                self.log_id, self._signers = open_tables(self._writer, path, signers, now)
                self._keep_head()
                self._reader = storage.connect(path, busy_s)
            except BaseException:
                self._writer.close()
                raise

    @property
    def origin(self) -> str:
        """The first line of its checkpoints, and the name of its keys."""
        return origin_of(self.log_id)

    @property
    def signed(self) -> bool:
        """Whether a key is at hand, so that it can be written and its checkpoints count."""
        return bool(self._signers)

    def close(self) -> None:
        """Close the file."""
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self.close()

    def append(
        self, kind: str, body: bytes, *, record_id: UUID | None = None, session_id: UUID | None = None
    ) -> Logged:
        """Append one leaf; durable when this returns."""
        with self.writing() as writing:
            return writing.append(kind, body, record_id=record_id, session_id=session_id)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Hold the one write transaction; it is committed at the end of the block.

        Raises:
            LedgerUnavailable: The file cannot be written, or the log is signed and no key is at hand.
        """
        with self._write_lock:
            with storage.typed(self.path), storage.immediate(self._writer):
                writing = Writing(self._writer)
                if not self._signers and keys_of(self._writer).verifiers(writing.size):
                    raise LedgerUnavailable(
                        f"the consent log {self.path} is signed; open it with the key of its edge to write"
                    )
                yield writing
            if writing.appended:
                self._keep_head()
        for entry in writing.appended:
            for listener in self._listeners:
                try:
                    listener(entry)
                except Exception:  # noqa: BLE001 - one listener's fault must not hide the entry from others
                    _log.exception("log_listener_failed", index=entry.index)

    def subscribe(self, listener: AppendListener) -> None:
        """Call `listener` with each entry after its commit, in the writing thread."""
        self._listeners = (*self._listeners, listener)

    @property
    def size(self) -> int:
        """Number of entries."""
        with self._reading() as connection:
            return size_of(connection)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the whole tree, or of its first `size` entries."""
        with self._reading() as connection:
            return tree_of(connection, self.log_id, _within(connection, size)).root

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; KeyError when there is none."""
        with self._reading() as connection:
            return StoredNodes(connection).node(level, index)

    def entry(self, index: int) -> StoredEntry:
        """Return one entry; IndexError when there is none."""
        found = self.entries(index, index + 1)
        if not found:
            raise IndexError(f"the log has no entry {index}")
        return found[0]

    def entries(self, start: int = 0, stop: int | None = None) -> tuple[StoredEntry, ...]:
        """Return the entries from `start` up to and without `stop`, in order.

        Raises:
            LedgerCorrupt: An entry's hash does not cover its bytes.
        """
        with self._reading() as connection:
            last = size_of(connection) if stop is None else stop
            return read_entries(connection, "idx >= ? AND idx < ?", start, last)

    def of_record(self, record_id: UUID) -> tuple[StoredEntry, ...]:
        """Return every entry of one record, in order."""
        with self._reading() as connection:
            return read_entries(connection, "record_id = ?", str(record_id))

    def of_kind(self, *kinds: str) -> tuple[StoredEntry, ...]:
        """Return every entry of these kinds, in order."""
        marks = ", ".join("?" * len(kinds))
        with self._reading() as connection:
            return read_entries(connection, f"kind IN ({marks})", *kinds)

    def records_with(self, kind: str, *, without: Iterable[str] = ()) -> tuple[UUID, ...]:
        """Return the records that have an entry of a kind and none of others, in order.

        Told from the columns alone, so that a long log costs little.
        """
        others = tuple(without)
        marks = ", ".join("?" * len(others))
        inner = f"SELECT 1 FROM entries WHERE record_id = mine.record_id AND kind IN ({marks})"  # noqa: S608 - question marks
        sql = f"SELECT record_id FROM entries AS mine WHERE kind = ? AND NOT EXISTS ({inner}) ORDER BY idx"  # noqa: S608 - as above
        with self._reading() as connection:
            return tuple(UUID(row[0]) for row in connection.execute(sql, (kind, *others)))

    def with_code(self, digest: str) -> UUID | None:
        """Return the record whose receipt carries the code of this digest."""
        where = "kind = 'offered' AND json_extract(CAST(body AS TEXT), '$.record.withdrawal_digest') = ?"
        with self._reading() as connection:
            found = read_entries(connection, where, digest)
        return found[0].record_id if found else None

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is in the tree of `size` (all) entries."""
        with self._reading() as connection:
            return merkle.inclusion_proof(index, _within(connection, size), StoredNodes(connection))

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` (all) entries begins with the tree of `old`."""
        with self._reading() as connection:
            return merkle.consistency_proof(old, _within(connection, new), StoredNodes(connection))

    def checkpoint(self, size: int | None = None) -> bytes:
        """Return the signed checkpoint of the log, or of its first `size` entries.

        Raises:
            LedgerUnavailable: No key of the log is at hand.
        """
        with self._reading() as connection:
            tree = tree_of(connection, self.log_id, _within(connection, size))
        if not self._signers:
            raise LedgerUnavailable(f"nothing signs the consent log {self.path}: open it with its edge's key")
        return sign(tree, self._signers)

    def keys(self) -> KeyHistory:
        """Return the keys that signed and sign this log; empty while nothing does."""
        with self._reading() as connection:
            return keys_of(connection)

    def rotate(self, signers: Signers) -> KeyHistory:
        """Sign with other keys from the next entry on; the present one endorses them.

        Checkpoints and proofs that the present keys signed stay valid.

        Returns:
            The keys, with the new ones.

        Raises:
            LedgerUnavailable: No present key is at hand.
        """
        new = signers_for(self.origin, signers)
        with self._write_lock:
            if not self._signers or not new:
                raise LedgerUnavailable(
                    "a key is rotated with both keys at hand, the old one and the new one"
                )
            old = self._signers
            try:
                with self.writing() as writing:
                    first = writing.size + 1
                    for signer in new:
                        introduce(writing, signer, self.log_id, first, self._now(), by=old[0])
                    for signer in old:
                        entry = KeyRetired(at=self._now(), vkey=signer.vkey(), until_size=first)
                        writing.append(entry.kind, body_of(entry))
                    self._signers = tuple(new)  # for the head that follows the commit
            except BaseException:
                self._signers = old
                raise
        _log.info("log_key_rotated", origin=self.origin, old=[key.vkey() for key in old], from_size=first)
        return self.keys()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, storage.typed(self.path), storage.snapshot(self._reader):
            yield self._reader

    def _keep_head(self) -> None:
        """Write the head of what is committed by now, of this program or another."""
        try:
            with head_lock(self.path):
                size = size_of(self._writer)
                tree = tree_of(self._writer, self.log_id, size)
                if self._signers:
                    write_head(self.path, sign(tree, self._signers))
                elif not keys_of(self._writer).verifiers(size):
                    write_head(self.path, tree.body())
        except OSError as error:
            # The entry is committed and the older head still holds; the next write tries again.
            _log.error("consent_head_not_kept", path=str(head_path(self.path)), error=str(error))


def _within(connection: sqlite3.Connection, size: int | None) -> int:
    """Return a size that the log has reached, the present one for None; ValueError for any other."""
    present = size_of(connection)
    if size is not None and not 0 <= size <= present:
        raise ValueError(f"the log has {present} entries, not {size}")
    return present if size is None else size
