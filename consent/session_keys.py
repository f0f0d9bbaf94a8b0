"""One random key a consent: what seals its payload at rest and opens its commitment.

The log holds an HMAC of the payload under this key, so that a figure can be traced to
a session while the key exists. With the key destroyed, the commitment says nothing and
nobody can find out what it was made of; what lies in a backup is ciphertext for good.

A backup must not hold this file: then the keys of erased consents cannot come back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.errors import KeyDestroyed, KeysUnavailable

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SEALED: Final = b"\x01"
"""Version of the sealed form: this byte, a nonce, the AES-256-GCM ciphertext with its tag."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS session_key (
    record_id BLOB PRIMARY KEY, key BLOB, made_ns INTEGER NOT NULL, destroyed_ns INTEGER,
    CHECK ((key IS NULL) = (destroyed_ns IS NOT NULL))
) STRICT;
"""


class SessionKeys:
    """The keys of one edge; safe to share between threads.

    A destroyed key leaves its time of destruction, so that no second key is ever made for
    the same consent.

    Args:
        path: The database file; made when absent, readable by its owner only.

    Raises:
        KeysUnavailable: The file cannot be opened or written.
    """

    name: Final = "session-key"
    """What an erasure certificate calls this store."""

    def __init__(self, path: Path) -> None:
        """Open the keys, or make an empty file."""
        self.path = path
        self._lock = threading.Lock()
        with self._typed():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA temp_store = MEMORY")
            self._db.execute(_SCHEMA)
            self._dirty = not cleared_wal(self._db)  # after a crash between a destruction and its truncation

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        """Return the keys."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def make(self, record_id: UUID) -> bytes:
        """Return the key of a consent, made now where there was none.

        Raises:
            KeyDestroyed: It had one, and that was destroyed.
        """
        with self._lock, self._typed():
            self._db.execute(
                "INSERT OR IGNORE INTO session_key (record_id, key, made_ns) VALUES (?, ?, ?)",
                (record_id.bytes, secrets.token_bytes(KEY_BYTES), time.time_ns()),
            )
            return self._key(record_id)

    def get(self, record_id: UUID) -> bytes:
        """Return the key of a consent.

        Raises:
            KeyDestroyed: It was destroyed, or there never was one.
        """
        with self._lock, self._typed():
            return self._key(record_id)

    def destroy(self, record_id: UUID) -> bool:
        """Destroy a key for good: overwritten in the file and gone from the write-ahead log.

        Returns:
            Whether there was a key; False when it was destroyed before or never made.
        """
        with self._lock, self._typed():
            if self._destroyed(record_id) and not self._dirty:
                return False
            self._dirty = True
            found = self._db.execute(
                "UPDATE session_key SET key = NULL, destroyed_ns = ? WHERE record_id = ? AND key IS NOT NULL",
                (time.time_ns(), record_id.bytes),
            ).rowcount
            self._db.execute(
                "INSERT OR IGNORE INTO session_key (record_id, made_ns, destroyed_ns) VALUES (?, ?, ?)",
                (record_id.bytes, time.time_ns(), time.time_ns()),
            )
            truncate_wal(self._db)
            self._dirty = False
            return bool(found)

    def erase(self, record_id: UUID) -> int:
        """Destroy the key as a store of an erasure; returns how many keys that were."""
        return int(self.destroy(record_id))

    def destroyed(self, record_id: UUID) -> bool:
        """Tell whether the key of a consent was destroyed."""
        with self._lock, self._typed():
            return self._destroyed(record_id)

    def record_ids(self) -> tuple[UUID, ...]:
        """Return the consents that have a key now, oldest first."""
        with self._lock, self._typed():
            rows = self._db.execute(
                "SELECT record_id FROM session_key WHERE key IS NOT NULL ORDER BY made_ns"
            ).fetchall()
        return tuple(UUID(bytes=row[0]) for row in rows)

    def _destroyed(self, record_id: UUID) -> bool:
        row = self._db.execute(
            "SELECT destroyed_ns FROM session_key WHERE record_id = ?", (record_id.bytes,)
        ).fetchone()
        return row is not None and row[0] is not None

    def _key(self, record_id: UUID) -> bytes:
        row = self._db.execute(
            "SELECT key FROM session_key WHERE record_id = ?", (record_id.bytes,)
        ).fetchone()
        if row is None or row[0] is None:
            what = "was destroyed" if row is not None else "was never made"
            raise KeyDestroyed(
                f"the key of consent {record_id} {what}: nothing of this session can be read any more"
            )
        return bytes(row[0])

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise KeysUnavailable(
                f"the session keys {self.path} cannot be used: {error}. Check that the data folder exists, "
                "that this user may write there and that its disk is not full."
            ) from error


def commitment(key: bytes, payload: bytes) -> str:
    """Return what the log says of a payload: HMAC-SHA256 under the session key, hexadecimal."""
    return hmac.new(key, payload, hashlib.sha256).hexdigest()


def opens(committed: str, key: bytes, payload: bytes) -> bool:
    """Tell whether a payload and a key are the ones that were committed to."""
    return hmac.compare_digest(commitment(key, payload), committed)


def seal(key: bytes, payload: bytes, record_id: UUID) -> bytes:
    """Return a payload as it may lie on a disk: AES-256-GCM, bound to its consent."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _SEALED + nonce + AESGCM(key).encrypt(nonce, payload, record_id.bytes)


def unseal(key: bytes, sealed: bytes, record_id: UUID) -> bytes:
    """Return what was sealed.

    Raises:
        KeyDestroyed: This key does not open it, or it was changed.
    """
    if sealed[:1] != _SEALED:
        raise KeyDestroyed(f"what is kept of consent {record_id} is not in a sealed form known here")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, record_id.bytes)
    except (InvalidTag, ValueError) as error:
        raise KeyDestroyed(
            f"what is kept of consent {record_id} does not open under its key: it was changed, or the key "
            "is another one"
        ) from error


def cleared_wal(connection: sqlite3.Connection) -> bool:
    """Truncate the write-ahead log if no other program reads it just now; tells whether it was."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def truncate_wal(connection: sqlite3.Connection) -> None:
    """Bring the write-ahead log into the file and cut it to nothing.

    After a DELETE, thousands of copies stay in the log until this and `secure_delete` were both used.

    Raises:
        sqlite3.OperationalError: A reader keeps the log open; try again.
    """
    if not cleared_wal(connection):
        raise sqlite3.OperationalError("the write-ahead log is in use and could not be truncated")
