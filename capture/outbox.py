"""The durable outbox: what must reach the centre, in order, once, whatever happens.

A row is first *held* (durable, without a number), then *released* into a gap-free
sequence. Between the two the consent record is closed: a crash anywhere leaves
either a held row, which start-up resolves from the consent record, or a numbered
one, which the uplink sends. Rows stay until the centre has confirmed them, and for
`keep` after that, so that a centre restored from a backup can be served again.

Payloads lie on the disk as ciphertext only, each under a key of its own: a signal under
the session key of its consent, a ballot under a key that only this file's prune destroys.
An erasure drops what is held; a numbered entry becomes a tombstone with the same number,
sent again even where the centre had confirmed the entry.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import rfc8785

from capture.errors import CaptureError
from consent.errors import KeyDestroyed
from consent.session_keys import SessionKeys, cleared_wal, commitment, seal, truncate_wal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
DEFAULT_REMEMBER: Final = timedelta(days=1100)
"""How long a number is known to belong to a consent: a late withdrawal goes to the centre under it."""
SESSION_KEYS: Final = "session-keys.sqlite"
"""File beside the outbox that holds the keys; never put it into a backup."""
ERASED: Final = "erased"
"""Kind of a tombstone."""
_SALTED: Final = frozenset({"signal"})
"""Kinds whose key goes to the centre beside the payload: it opens their commitment in the log."""


class OutboxError(CaptureError):
    """The outbox could not store or read an entry."""


class NotHeld(OutboxError, LookupError):  # noqa: N818 - named for what happened
    """No entry with that key is held: it was never held, or an erasure took it."""


class OutboxFull(OutboxError, OSError):  # noqa: N818 - named for the state, as the built-in errors are
    """No space is left for the outbox; nothing was stored and nothing was lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered entry.

    Attributes:
        seq: Position in the edge's gap-free sequence, from 1.
        kind: What the payload is: `signal`, `ballot`, or `erased` for a tombstone.
        payload: The JSON object to send.
        salt: The session key that opens the signal's commitment; None for other kinds.
    """

    seq: int
    kind: str
    payload: dict[str, Any]
    salt: bytes | None = None


class Outbox:
    """A SQLite outbox; safe to use from several threads of one process.

    Args:
        path: Database file; made when missing, its folder must exist.
        keys: The session keys; those of the file beside the outbox when left out.
        needed: Tells whether the key of a consent must outlive its confirmed payload.

    Raises:
        OutboxError: The file is not an outbox or cannot be opened.
    """

    name: Final = "outbox"
    """What an erasure certificate calls this store."""

    def __init__(
        self,
        path: Path,
        keys: SessionKeys | None = None,
        *,
        needed: Callable[[UUID], bool] = lambda _: False,
    ) -> None:
        """Open or make the outbox at `path`."""
        self._path = path
        self._needed = needed
        self._lock = threading.RLock()
        self._dirty = False
        self._own_keys = keys is None
        self.keys = keys if keys is not None else SessionKeys(path.with_name(SESSION_KEYS))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA temp_store=MEMORY")
            self._db.executescript(_SCHEMA)
            self._seal_plain()
        except sqlite3.Error as error:
            raise OutboxError(
                f"cannot open the outbox {path}: {error}. Check that the data folder exists, is writable and "
                "is not on a full disk; a damaged file must be moved away, not deleted, before a restart."
            ) from error

    def hold(self, kind: str, payload: Mapping[str, Any], *, key: UUID) -> str:
        """Store an entry durably without sending it yet; doing it twice has no effect.

        Args:
            kind: What the payload is.
            payload: The JSON object to send.
            key: The consent record of a signal, or the id of a ballot.

        Returns:
            The commitment to the payload under its key, for the consent log.

        Raises:
            OutboxFull: The disk is full; call again when there is space.
            KeyDestroyed: What belongs to this key was erased; nothing is stored any more.
        """
        body = rfc8785.dumps(dict(payload))
        secret = self.keys.make(key)
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM entry WHERE key = ?", (key.bytes,)).fetchone() is None:
                db.execute(
                    "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?)",
                    (key.bytes, kind, seal(secret, body, key), time.time_ns()),
                )
        return commitment(secret, body)

    def release(self, key: UUID) -> int:
        """Give a held entry the next number and let the uplink send it.

        Returns:
            Its sequence number; for an entry already released, the number it has.

        Raises:
            NotHeld: No entry with that key was held or released, or it was erased.
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
                raise NotHeld(f"no entry {key} is held: hold it before it is released")
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
        """Drop a held entry whose consent ended before it was released, and its key."""
        with self._transaction() as db:
            db.execute("DELETE FROM held WHERE key = ?", (key.bytes,))
            released = db.execute("SELECT 1 FROM entry WHERE key = ?", (key.bytes,)).fetchone()
        if released is None:
            self.keys.destroy(key)

    def erase(self, record_id: UUID) -> int:
        """Remove what belongs to a consent, whether held, waiting, sent or confirmed.

        A numbered entry becomes a tombstone, so that the sequence keeps its number and the
        centre erases what it has under it. Nothing stays in the write-ahead log.

        Returns:
            How many payloads were removed; 0 when asked again.
        """
        stone = rfc8785.dumps({"record_id": str(record_id)})
        if not self._holds(record_id) and not self._dirty:
            return 0
        self._dirty = True
        with self._transaction() as db:
            removed = db.execute("DELETE FROM held WHERE key = ?", (record_id.bytes,)).rowcount
            removed += db.execute(
                "UPDATE entry SET kind = ?, payload = ?, delivered_ns = NULL WHERE key = ? AND kind <> ?",
                (ERASED, stone, record_id.bytes, ERASED),
            ).rowcount
        self._clear_wal()
        return removed

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
                "SELECT seq, key, kind, payload FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", (start, limit)
            ).fetchall()
        kept = itertools.takewhile(lambda row: row[3] is not None, rows)  # what was pruned ends the run
        return tuple(self._opened(*row) for row in kept)

    def tombstones(self, limit: int = 500) -> tuple[Entry, ...]:
        """Return the oldest consecutive tombstones that replaced a confirmed entry and are not confirmed."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, key, kind, payload FROM entry "
                "WHERE kind = ? AND delivered_ns IS NULL AND seq <= ? ORDER BY seq LIMIT ?",
                (ERASED, self.high_water(), limit),
            ).fetchall()
        run = [row for place, row in enumerate(rows) if row[0] == rows[0][0] + place]
        return tuple(self._opened(*row) for row in run)

    def mark_delivered(self, high_water: int, sent: Sequence[Entry] = ()) -> None:
        """Record that the centre has committed everything up to `high_water`.

        Args:
            high_water: The number that the centre answered.
            sent: What was sent; a tombstone is confirmed only where it was sent itself, not
                where the answer is to the entry that it replaced meanwhile.

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
            now = time.time_ns()
            db.execute(
                "UPDATE entry SET delivered_ns = ? WHERE seq <= ? AND delivered_ns IS NULL AND kind <> ?",
                (now, high_water, ERASED),
            )
            db.executemany(
                "UPDATE entry SET delivered_ns = ? WHERE seq = ? AND kind = ?",
                [
                    (now, entry.seq, ERASED)
                    for entry in sent
                    if entry.kind == ERASED and entry.seq <= high_water
                ],
            )

    def continue_after(self, high_water: int) -> int:
        """Go on behind a number that the centre has and this file does not, after a restore of the file.

        What waits here under a number up to it had reached the centre before; a session that it does not
        know under its number it knows by its id.

        Returns:
            How many numbers were skipped; 0 where the file knows the number.
        """
        with self._transaction() as db:
            (last,) = db.execute("SELECT value FROM counter WHERE name = 'last_seq'").fetchone()
            if high_water <= last:
                return 0
            db.execute("UPDATE counter SET value = ?", (high_water,))
            db.execute(
                "UPDATE entry SET delivered_ns = ? WHERE delivered_ns IS NULL AND kind <> ?",
                (time.time_ns(), ERASED),
            )
        return high_water - int(last)

    def prune(self, keep: timedelta = DEFAULT_KEEP, remember: timedelta = DEFAULT_REMEMBER) -> int:
        """Drop payloads confirmed longer than `keep` ago, and their keys; returns how many.

        Which number belonged to which consent stays known for `remember`.
        """
        now = time.time_ns()
        bound, forget = (now - int(age.total_seconds() * 1e9) for age in (keep, remember))
        with self._transaction() as db:
            pruned = db.execute(
                "UPDATE entry SET payload = NULL "
                "WHERE delivered_ns < ? AND payload IS NOT NULL AND kind <> ?",
                (bound, ERASED),
            ).rowcount
            db.execute("DELETE FROM entry WHERE delivered_ns < ?", (min(bound, forget),))
            rows = db.execute("SELECT key FROM entry WHERE payload IS NULL").fetchall()
        gone = {UUID(bytes=row[0]) for row in rows}
        for key in self.keys.record_ids():  # also after a crash between the two files
            if key in gone and not self._needed(key):
                self.keys.destroy(key)
        self._clear_wal()
        return pruned

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
        if self._own_keys:
            self.keys.close()

    def _opened(self, seq: int, key: bytes, kind: str, payload: bytes) -> Entry:
        record_id = UUID(bytes=key)
        if kind == ERASED:
            return Entry(seq, kind, json.loads(payload))
        try:
            secret = self.keys.get(record_id)
        except KeyDestroyed:
            if self.keys.destroyed(record_id):  # this file came back from a backup: it was erased
                return Entry(seq, ERASED, {"record_id": str(record_id)})
            raise OutboxError(
                f"the key of entry {seq} is missing in {self.keys.path}: restore that file as it was, or "
                "enrol this edge again; the entry cannot be read without it"
            ) from None
        body = json.loads(unseal(secret, payload, record_id))
        return Entry(seq, kind, body, secret if kind in _SALTED else None)

    def _holds(self, record_id: UUID) -> bool:
        with self._lock, self._named_errors():
            row = self._db.execute(
                "SELECT EXISTS (SELECT 1 FROM held WHERE key = ?) "
                "OR EXISTS (SELECT 1 FROM entry WHERE key = ? AND kind <> ?)",
                (record_id.bytes, record_id.bytes, ERASED),
            ).fetchone()
        return bool(row[0])

    def _clear_wal(self) -> None:
        with self._lock, self._named_errors():
            truncate_wal(self._db)
            self._dirty = False

    def _seal_plain(self) -> None:
        """Seal what an earlier version of this program left as plain text."""
        for table in ("held", "entry"):
            rows = self._db.execute(
                f"SELECT key, payload FROM {table} WHERE substr(payload, 1, 1) = x'7b' AND kind <> ?",  # noqa: S608 - fixed names
                (ERASED,),
            ).fetchall()
            for key, payload in rows:
                record_id = UUID(bytes=key)
                sealed = seal(self.keys.make(record_id), rfc8785.dumps(json.loads(payload)), record_id)
                self._db.execute(f"UPDATE {table} SET payload = ? WHERE key = ?", (sealed, key))  # noqa: S608 - as above
        self._dirty = not cleared_wal(self._db)  # after a crash between an erasure and its truncation

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db.in_transaction:  # put() spans hold() and release()
                yield self._db
                return
            try:
                with self._named_errors():
                    self._db.execute("BEGIN IMMEDIATE")
                    yield self._db
                    self._db.execute("COMMIT")
            except BaseException:
                self._rollback()
                raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                raise OutboxFull(
                    f"no space left for the outbox {self._path}: nothing was stored and nothing is lost. "
                    "Free disk space; the edge tries again by itself."
                ) from error
            raise OutboxError(f"the outbox {self._path} failed: {error}") from error

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
