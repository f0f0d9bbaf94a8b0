"""The durable outbox: what must reach the centre, in order, once, whatever happens.

A row is first *held* (durable, without a number), then *released* into a gap-free
sequence. Between the two the consent record is closed: a crash anywhere leaves
either a held row, which start-up resolves from the consent record, or a numbered
one, which the uplink sends. Rows stay until the centre has confirmed them, and for
`keep` after that, so that a centre restored from a backup can be served again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from capture.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS held (
    key BLOB PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL, created_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, payload BLOB,
    created_ns INTEGER NOT NULL, delivered_ns INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO counter VALUES ('last_seq', 0), ('high_water', 0);
"""
DEFAULT_KEEP: Final = timedelta(days=7)


class OutboxError(CaptureError):
    """The outbox could not store or read an entry."""


class OutboxFull(OutboxError, OSError):  # noqa: N818 - named for the state, as the built-in errors are
    """No space is left for the outbox; nothing was stored and nothing was lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered entry.

    Attributes:
        seq: Position in the edge's gap-free sequence, from 1.
        kind: What the payload is, `signal` today.
        payload: The JSON object to send.
    """

    seq: int
    kind: str
    payload: dict[str, Any]


class Outbox:
    """A SQLite outbox; safe to use from several threads of one process.

    Args:
        path: Database file; made when missing, its folder must exist.

    Raises:
        OutboxError: The file is not an outbox or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the outbox at `path`."""
        self._path = path
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OutboxError(
                f"cannot open the outbox {path}: {error}. Check that the data folder exists, is writable and "
                "is not on a full disk; a damaged file must be moved away, not deleted, before a restart."
            ) from error

    def hold(self, kind: str, payload: Mapping[str, Any], *, key: UUID) -> None:
        """Store an entry durably without sending it yet; doing it twice has no effect.

        Raises:
            OutboxFull: The disk is full; call again when there is space.
        """
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM entry WHERE key = ?", (key.bytes,)).fetchone() is None:
                db.execute(
                    "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?)", (key.bytes, kind, body, time.time_ns())
                )

    def release(self, key: UUID) -> int:
        """Give a held entry the next number and let the uplink send it.

        Returns:
            Its sequence number; for an entry already released, the number it has.

        Raises:
            OutboxError: No entry with that key was held or released.
            OutboxFull: The disk is full; the entry stays held.
        """
        with self._transaction() as db:
            row = db.execute("SELECT seq FROM entry WHERE key = ?", (key.bytes,)).fetchone()
            if row is not None:
                return int(row[0])
            held = db.execute(
                "SELECT kind, payload, created_ns FROM held WHERE key = ?", (key.bytes,)
            ).fetchone()
            if held is None:
                raise OutboxError(f"no entry {key} is held: hold it before it is released")
            (last,) = db.execute("SELECT value FROM counter WHERE name = 'last_seq'").fetchone()
            seq = int(last) + 1
            db.execute(
                "INSERT INTO entry (seq, key, kind, payload, created_ns) VALUES (?, ?, ?, ?, ?)",
                (seq, key.bytes, *held),
            )
            db.execute("UPDATE counter SET value = ? WHERE name = 'last_seq'", (seq,))
            db.execute("DELETE FROM held WHERE key = ?", (key.bytes,))
            return seq

    def put(self, kind: str, payload: Mapping[str, Any], *, key: UUID) -> int:
        """Hold and release in one step; returns the sequence number."""
        with self._transaction():
            self.hold(kind, payload, key=key)
            return self.release(key)

    def discard(self, key: UUID) -> None:
        """Drop a held entry whose consent ended before it was released."""
        with self._transaction() as db:
            db.execute("DELETE FROM held WHERE key = ?", (key.bytes,))

    def held(self) -> tuple[UUID, ...]:
        """Return the keys that are held, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT key FROM held ORDER BY created_ns").fetchall()
        return tuple(UUID(bytes=row[0]) for row in rows)

    def contains(self, key: UUID) -> bool:
        """Tell whether an entry with that key was released."""
        with self._lock:
            row = self._db.execute("SELECT 1 FROM entry WHERE key = ?", (key.bytes,)).fetchone()
        return row is not None

    def pending(self, limit: int = 500, *, after: int | None = None) -> tuple[Entry, ...]:
        """Return the oldest unconfirmed entries in order of their numbers.

        Args:
            limit: Most entries to return.
            after: Start after this number instead of after the high-water mark; used
                when the centre knows less than it once confirmed.
        """
        with self._lock:
            start = self.high_water() if after is None else after
            rows = self._db.execute(
                "SELECT seq, kind, payload FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", (start, limit)
            ).fetchall()
        return tuple(Entry(seq, kind, json.loads(payload)) for seq, kind, payload in rows)

    def mark_delivered(self, high_water: int) -> None:
        """Record that the centre has committed everything up to `high_water`.

        Raises:
            OutboxError: The centre confirmed numbers that were never given out; the
                data folder is older than what the centre has seen.
        """
        with self._transaction() as db:
            (last,) = db.execute("SELECT value FROM counter WHERE name = 'last_seq'").fetchone()
            if high_water > last:
                raise OutboxError(
                    f"the centre has entry {high_water} of this edge, but the last one made here is {last}: "
                    "the data folder was restored from an old backup. Enrol this edge again so that it "
                    "gets a new sequence."
                )
            db.execute(
                "UPDATE counter SET value = ? WHERE name = 'high_water' AND value < ?",
                (high_water, high_water),
            )
            db.execute(
                "UPDATE entry SET delivered_ns = ? WHERE seq <= ? AND delivered_ns IS NULL",
                (time.time_ns(), high_water),
            )

    def prune(self, keep: timedelta = DEFAULT_KEEP) -> int:
        """Delete entries confirmed longer than `keep` ago; returns how many."""
        bound = time.time_ns() - int(keep.total_seconds() * 1e9)
        with self._transaction() as db:
            return db.execute("DELETE FROM entry WHERE delivered_ns < ?", (bound,)).rowcount

    def high_water(self) -> int:
        """Return the highest number that the centre has confirmed."""
        with self._lock:
            row = self._db.execute("SELECT value FROM counter WHERE name = 'high_water'").fetchone()
        return int(row[0])

    def depth(self) -> int:
        """Return how many entries wait for confirmation."""
        with self._lock:
            row = self._db.execute("SELECT count(*) FROM entry WHERE delivered_ns IS NULL").fetchone()
        return int(row[0])

    def oldest_age_s(self) -> float:
        """Return the age of the oldest unconfirmed entry in seconds, 0 when none waits."""
        with self._lock:
            row = self._db.execute("SELECT min(created_ns) FROM entry WHERE delivered_ns IS NULL").fetchone()
        return 0.0 if row[0] is None else max(0.0, (time.time_ns() - int(row[0])) / 1e9)

    def close(self) -> None:
        """Close the file; waiting entries stay in it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db.in_transaction:  # put() spans hold() and release()
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._rollback()
                if "full" in str(error):
                    raise OutboxFull(
                        f"no space left for the outbox {self._path}: nothing was stored and nothing is lost. "
                        "Free disk space; the edge tries again by itself."
                    ) from error
                raise OutboxError(f"the outbox {self._path} failed: {error}") from error
            except BaseException:
                self._rollback()
                raise

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
