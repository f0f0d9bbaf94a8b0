"""Transaction numbers as keyed digests: the same number is known again, and nobody reads it off the database.

Numbers of transactions are short and regular, so a plain hash could be tried out. The key lies as a file
beside the log's keys, where the database cannot reach; the database keeps only a mark to tell the right key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from api.database import Connection
from api.errors import KeysUnusable

KEY_NAME: Final = "transaction-digest.key"
_KEY_BYTES: Final = 32
_MARK: Final = "transaction-digest-mark"


class TransactionDigests:
    """Makes digests with one key.

    Args:
        key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        """Keep the key."""
        self._key = key

    def digest(self, transaction: str) -> bytes:
        """Return the digest of a transaction number in its one spelling (`cells.transaction_of`)."""
        return hmac.digest(self._key, transaction.encode(), hashlib.sha256)

    def mark(self) -> bytes:
        """Return what tells this key from another."""
        return hmac.digest(self._key, b"\0hailong transaction digests", hashlib.sha256)


def open_digests(connection: Connection, folder: Path) -> TransactionDigests:
    """Read the key, making it when nothing was ever digested.

    Args:
        connection: Inside the transaction that digests.
        folder: The data folder of the centre's log.

    Raises:
        KeysUnusable: The key cannot be read or made, or is not the one that the database knows.
    """
    path = folder / "keys" / KEY_NAME
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x64_69_67_65,))
    row = connection.execute("SELECT value FROM secrets WHERE name = %s", (_MARK,)).fetchone()
    try:
        key = path.read_bytes() if path.exists() else b""
        if not key and row is None:
            key = _make(path)
    except OSError as error:
        raise KeysUnusable(f"{path} cannot be used: {error.strerror}") from error
    found = TransactionDigests(key)
    if len(key) != _KEY_BYTES or (row is not None and bytes(row[0]) != found.mark()):
        raise KeysUnusable(
            f"{path} is missing or is not the key by which transactions were digested: restore it from the "
            "backup of the data folder, else transactions that were counted could be counted again"
        )
    if row is None:
        connection.execute("INSERT INTO secrets (name, value) VALUES (%s, %s)", (_MARK, found.mark()))
    return found


def _make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = secrets.token_bytes(_KEY_BYTES)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
