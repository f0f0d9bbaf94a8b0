"""The pseudonym of a transaction: an HMAC under a key that is kept apart from the records.

Whoever holds the records cannot tell whose they are. The agency, which holds the key and the
transaction numbers, can find the record of a citizen who asks. Without the key file there is
no pseudonym; a lost key makes the old ones meaningless for good.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import unicodedata
from pathlib import Path
from typing import Final

from consent.errors import PseudonymKeyError

KEY_BYTES: Final = 32
_DOMAIN: Final = b"hailong subject pseudonym 1\n"
_SPACE: Final = re.compile(r"\s+")


class PseudonymKey:
    """The agency's key; shows itself to nobody."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Keep the key."""
        if len(key) != KEY_BYTES:
            raise PseudonymKeyError(f"a pseudonym key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        """Tell nothing."""
        return "PseudonymKey(…)"

    @classmethod
    def make(cls, path: Path) -> PseudonymKey:
        """Write a new key, readable by this user only; an existing file is never replaced.

        Raises:
            PseudonymKeyError: There is a file already, or it cannot be written.
        """
        key = secrets.token_bytes(KEY_BYTES)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(stream.fileno(), 0o600)  # whatever the umask says
                stream.write(key.hex().encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except FileExistsError as error:
            raise PseudonymKeyError(
                f"{path} exists: a new key would orphan every pseudonym made so far. Move it away first."
            ) from error
        except OSError as error:
            raise PseudonymKeyError(f"the pseudonym key {path} cannot be written: {error}") from error
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> PseudonymKey:
        """Read the key.

        Raises:
            PseudonymKeyError: It is missing, damaged or open to other users.
        """
        try:
            with path.open("rb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
                text = stream.read(4 * KEY_BYTES)
        except OSError as error:
            raise PseudonymKeyError(
                f"the pseudonym key {path} cannot be read: {error}. Restore it from the agency's safe."
            ) from error
        if mode & 0o077:
            raise PseudonymKeyError(f"{path} is open to other users (mode {mode:o}): chmod 600 it")
        if not re.fullmatch(rb"[0-9a-f]{64}\n", text):
            raise PseudonymKeyError(f"{path} does not hold a key of {KEY_BYTES} bytes in hexadecimal")
        return cls(bytes.fromhex(text.decode().strip()))

    def pseudonym(self, transaction_number: str) -> str:
        """Return the pseudonym of a transaction number, however it was spaced or cased.

        Raises:
            ValueError: There is no number in it.
        """
        normal = _SPACE.sub("", unicodedata.normalize("NFKC", transaction_number)).upper()
        if not normal:
            raise ValueError("a transaction number is needed: without one a record has no pseudonym")
        return hmac.new(self._key, _DOMAIN + normal.encode(), hashlib.sha256).hexdigest()
