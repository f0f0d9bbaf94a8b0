"""Redacted quotes on the disk of the edge: ciphertext under a key that never leaves it, for a short time.

The key of a session's quotes is derived from its session key and from a second secret of the same
consent. Both lie in the file of the keys, which is in no backup. The session key travels to the centre
with the signal; the second secret does not, so nobody but this edge can open a quote. Each of the two
is enough to make all of them unreadable: an erasure destroys both, the end of the retention the second.

What waits here was sealed in the process that heard it. Nothing is kept before the session has become a
signal, and no file is made before the first quote is kept.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from capture.errors import CaptureError
from consent.errors import KeyDestroyed
from consent.session_keys import cleared_wal, truncate_wal
from inference.quote_sealing import KEY_BYTES, open_quote
from inference.quotes import QuoteSealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from consent.session_keys import SessionKeys
    from inference.quotes import RedactedQuote, SealedQuote

QUOTES: Final = "quotes.sqlite"
"""File in the data folder; it comes into being with the first quote that is kept."""
LONGEST_DAYS: Final = 30
"""The notice says so; a setting may shorten it and never lengthen it."""
LONGEST_SESSION: Final = 500
"""Quotes of one session that are kept; those that follow are dropped."""
_INFO: Final = b"hailong redacted quotes 1\n"
_SALT: Final = UUID("6f0c4b52-6a39-5d0e-9c37-1b7d3b1f2ac4")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS quote (
    record_id BLOB NOT NULL, sequence INTEGER NOT NULL, counter TEXT NOT NULL, sealed BLOB NOT NULL,
    kept_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL, PRIMARY KEY (record_id, sequence)
) STRICT;
"""


_PAST: Final = "until_ns <= :now OR kept_ns <= :oldest OR kept_ns >= :newest"
"""What is past its time: by the promise it was kept under, by the setting of today, or because a clock that
was ahead when it was kept would let it stay for longer than either."""
_CLOCK_ERROR: Final = timedelta(days=1)


class QuotesUnavailable(CaptureError):  # noqa: N818 - named for what happened
    """The kept quotes could not be stored, read or removed."""


@dataclass(frozen=True, slots=True)
class KeptQuotes:
    """The quotes of one consent, opened.

    Attributes:
        counter: The counter at which they were said.
        kept_at: When the session ended.
        until: When they are removed at the latest.
        quotes: In the order in which they were said.
    """

    counter: str
    kept_at: datetime
    until: datetime
    quotes: tuple[RedactedQuote, ...]


class SessionQuotes:
    """The quotes of one session while it runs: sealed, in memory, and gone unless they are kept.

    Args:
        store: Where they are kept.
        record_id: The consent that names them.
        counter: Code of the counter.

    Raises:
        KeyDestroyed: What belongs to this consent was erased.
    """

    def __init__(self, store: QuoteStore, record_id: UUID, counter: str) -> None:
        """Derive the key of the session."""
        self._store = store
        self._record_id = record_id
        self._counter = counter
        self._lock = threading.Lock()
        self._taken: list[SealedQuote] | None = []
        self.sealing = QuoteSealing(store.key(record_id, make=True), _context(record_id, counter), self._take)

    def keep(self) -> int:
        """Write what was sealed so far; returns how many quotes that were.

        Raises:
            QuotesUnavailable: They could not be written.
            KeyDestroyed: The consent was erased meanwhile.
        """
        with self._lock:
            taken = tuple(self._taken or ())
        if taken:
            self._store.keep(self._record_id, self._counter, taken)
        return len(taken)

    def close(self, *, kept: bool) -> None:
        """End with the session: forget what is in memory, and destroy the rest unless it is kept.

        Raises:
            QuotesUnavailable: What was written could not be removed; the next start removes it.
        """
        with self._lock:
            self._taken = None
        if not kept or not self._store.count(self._record_id):
            self._store.erase(self._record_id)

    def _take(self, quote: SealedQuote) -> None:
        with self._lock:
            if self._taken is not None and len(self._taken) < LONGEST_SESSION:
                self._taken.append(quote)


class QuoteStore:
    """The kept quotes of one edge; safe to share between threads, and readable beside the edge program.

    Args:
        path: The database file; made with the first quote.
        keys: The session keys.
        days: How long a quote is kept.
        now: Wall clock.
    """

    name: Final = "quotes"
    """What an erasure certificate calls this store."""

    def __init__(
        self,
        path: Path,
        keys: SessionKeys,
        *,
        days: int = LONGEST_DAYS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know where the quotes are; nothing is opened before there is one."""
        if not 1 <= days <= LONGEST_DAYS:
            raise ValueError(f"quotes are kept for 1 to {LONGEST_DAYS} days, not {days}")
        self.path = path
        self.days = days
        self._keys = keys
        self._now = now
        self._lock = threading.RLock()
        self._dirty = False
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def session(self, record_id: UUID, counter: str) -> SessionQuotes:
        """Begin to take the quotes of a session.

        Raises:
            KeyDestroyed: What belongs to this consent was erased.
        """
        return SessionQuotes(self, record_id, counter)

    def key(self, record_id: UUID, *, make: bool = False) -> bytes:
        """Return the key of the quotes of a consent.

        Raises:
            KeyDestroyed: One of the two secrets it is made of is gone, or was never made.
        """
        secret = self._keys.make if make else self._keys.get
        session, salt = secret(record_id), secret(_salt_of(record_id))
        return HKDF(SHA256(), KEY_BYTES, salt, _INFO + record_id.bytes).derive(session)

    def keep(self, record_id: UUID, counter: str, quotes: Sequence[SealedQuote]) -> None:
        """Write sealed quotes durably; done twice, it has no effect.

        Raises:
            QuotesUnavailable: They could not be written.
            KeyDestroyed: The consent was erased; nothing is left of them.
        """
        self.key(record_id)
        kept = self._now()
        kept_ns, until_ns = _ns(kept), _ns(kept + timedelta(days=self.days))
        rows = [(record_id.bytes, item.sequence, counter, item.sealed, kept_ns, until_ns) for item in quotes]
        with self._written(make=True) as db:
            db.executemany("INSERT OR IGNORE INTO quote VALUES (?, ?, ?, ?, ?, ?)", rows)
        try:  # an erasure destroys the secret first and the rows then: one of the two sees the other
            self.key(record_id)
        except KeyDestroyed:
            self.erase(record_id)
            raise

    def erase(self, record_id: UUID) -> int:
        """Destroy what opens the quotes of a consent, then remove them; returns how many there were.

        Nothing stays in the write-ahead log. Asked again, it finds nothing and returns 0.

        Raises:
            QuotesUnavailable: They could not be removed.
        """
        self._destroy_secret(record_id)
        if not self._dirty and record_id not in self.records():
            return 0
        self._dirty = True
        with self._written() as db:
            removed = db.execute("DELETE FROM quote WHERE record_id = ?", (record_id.bytes,)).rowcount
        self._clear_wal()
        return int(removed)

    def expire(self) -> int:
        """Remove what is past its time, and what opens it; returns how many quotes that were.

        Raises:
            QuotesUnavailable: They could not be removed.
        """
        with self._read() as db:
            sql = f"SELECT DISTINCT record_id FROM quote WHERE {_PAST}"  # noqa: S608 - fixed words
            rows = db.execute(sql, self._bounds()).fetchall()
        return sum(self.erase(UUID(bytes=row[0])) for row in rows)

    def settle(self, stays: Callable[[UUID], bool]) -> frozenset[UUID]:
        """Remove what an earlier run left between writing quotes and the end of their session.

        Args:
            stays: Tells of a consent whether what was derived under it may stay.

        Returns:
            The consents that were cleared.
        """
        kept = set(self.records())
        gone = {record_id for record_id in kept if not stays(record_id)}
        known = set(self._keys.record_ids())
        # A secret without a quote is of a session that never ended.
        gone |= {record_id for record_id in known - kept if _salt_of(record_id) in known}
        for record_id in gone:
            self.erase(record_id)
        return frozenset(gone)

    def records(self) -> tuple[UUID, ...]:
        """Return the consents of which quotes are kept, the oldest first."""
        with self._read() as db:
            rows = db.execute(
                "SELECT record_id FROM quote GROUP BY record_id ORDER BY min(kept_ns), record_id"
            ).fetchall()
        return tuple(UUID(bytes=row[0]) for row in rows)

    def count(self, record_id: UUID) -> int:
        """Return how many quotes of a consent are kept."""
        with self._read() as db:
            row = db.execute("SELECT count(*) FROM quote WHERE record_id = ?", (record_id.bytes,)).fetchone()
        return 0 if row is None else int(row[0])

    def readable(self, record_id: UUID) -> int:
        """Return how many quotes of a consent are kept and may still be read: none that is past its time.

        They lie there longer where the edge program, which removes them, did not run.
        """
        with self._read() as db:
            sql = f"SELECT count(*) FROM quote WHERE record_id = :record AND NOT ({_PAST})"  # noqa: S608 - as above
            row = db.execute(sql, {"record": record_id.bytes, **self._bounds()}).fetchone()
        return 0 if row is None else int(row[0])

    def needs_key(self, record_id: UUID) -> bool:
        """Tell whether the session key of a consent must stay for its quotes."""
        return self.count(record_id) > 0

    def read(self, record_id: UUID) -> KeptQuotes:
        """Open the quotes of a consent; log the reading first.

        Raises:
            QuotesUnavailable: None are kept, their time is over, or they cannot be read.
            KeyDestroyed: They were erased.
            QuoteUnreadableError: A row was changed, or lies under another consent.
        """
        with self._read() as db:
            columns = "sequence, counter, sealed, kept_ns, until_ns"
            sql = f"SELECT {columns} FROM quote WHERE record_id = :record AND NOT ({_PAST}) ORDER BY sequence"  # noqa: S608 - as above
            rows = db.execute(sql, {"record": record_id.bytes, **self._bounds()}).fetchall()
        if not rows:
            raise QuotesUnavailable(f"no quotes are kept of consent {record_id}")
        key, counter = self.key(record_id), str(rows[0][1])
        return KeptQuotes(
            counter=counter,
            kept_at=_time(rows[0][3]),
            until=_time(rows[0][4]),
            quotes=tuple(open_quote(row[2], key, _context(record_id, row[1]), row[0]) for row in rows),
        )

    def _bounds(self) -> dict[str, int]:
        now = self._now()
        return {
            "now": _ns(now),
            "oldest": _ns(now - timedelta(days=self.days)),
            "newest": _ns(now + _CLOCK_ERROR),
        }

    def _destroy_secret(self, record_id: UUID) -> None:
        salt = _salt_of(record_id)
        if not self._keys.destroyed(salt):
            try:
                self._keys.get(salt)
            except KeyDestroyed:  # none was ever made: nothing was heard under this consent to be kept
                return
        self._keys.destroy(salt)

    def _clear_wal(self) -> None:
        with self._lock, self._typed():
            if self._connection is not None:
                truncate_wal(self._connection)
            self._dirty = False

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._typed():
            yield self._open() if self.path.exists() else _nothing()

    @contextmanager
    def _written(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        with self._lock, self._typed():
            db = self._open() if make or self.path.exists() else _nothing()
            with db:
                db.execute("BEGIN IMMEDIATE")
                yield db

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute(_SCHEMA)
            self._connection = db
            self._dirty = not cleared_wal(db)  # after a crash between an erasure and its truncation
        return self._connection

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise QuotesUnavailable(
                f"the kept quotes {self.path} cannot be used: {error}. Check that the data folder exists, "
                "that this user may write there and that its disk is not full; an erasure is tried again "
                "by itself."
            ) from error


def _nothing() -> sqlite3.Connection:
    """Return an empty store: there is no file before a quote is kept."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(_SCHEMA)
    return db


def _salt_of(record_id: UUID) -> UUID:
    """Return under which id the second secret of a consent lies among the keys."""
    return uuid5(_SALT, str(record_id))


def _context(record_id: UUID, counter: str) -> bytes:
    return record_id.bytes + counter.encode()


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)
