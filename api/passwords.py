"""Passwords: argon2 hashes, and a back-off for wrong ones that lets a stranger lock nobody out.

Wrong passwords are counted by name and address. An address from which the account's owner logged in
before has only its own count; all other addresses together have one more, so that a guesser with many
addresses is slowed as well. Names that do not exist are counted alike, and live sessions are never touched.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.database import Connection
from api.errors import Refused

SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 256
_AT_ONCE: Final = 2
_LONGEST_QUEUE: Final = 16
_FREE_FAILURES: Final = 5
_FREE_FAILURES_OF_NAME: Final = 50
_FIRST_PAUSE_S: Final = 30
_LONGEST_PAUSE_S: Final = 900
_KNOWN_DAYS: Final = 90
_PREFIX_BITS: Final = 64
"""What one household or office has of IPv6: its single addresses are free to choose."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Passwords:
    """Hashes and checks passwords; never call it while holding a connection: a hash takes long.

    Args:
        hasher: How; None takes argon2's own advice.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """Make the hash that unknown names are checked against."""
        self._hasher = hasher or PasswordHasher()
        self._absent = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """Return the hash that is kept."""
        return self._hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        """Check a password; without an account it takes as long and is wrong."""
        try:
            right = len(password) <= LONGEST_PASSWORD and self._hasher.verify(
                stored or self._absent, password
            )
        except (VerificationError, InvalidHashError):
            return False
        return right and stored is not None


class PasswordQueue:
    """Runs what hashes passwords in few threads of its own, so that a flood of logins stops no batch."""

    def __init__(self) -> None:
        """Make no thread yet."""
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run `work` in a thread when its turn comes.

        Raises:
            Refused: Too many wait already (503).
        """
        if self._waiting >= _LONGEST_QUEUE:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "logins-busy",
                "too many logins at once: try again in a moment",
            )
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._limiter)
        finally:
            self._waiting -= 1


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, the /64 of an IPv6 one, else the name as it is."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _PREFIX_BITS), strict=False))
    return str(found)


def is_paused(connection: Connection, name: str, address: str) -> bool:
    """Tell whether this address must wait before it tries a password of this name again."""
    keys = [_key(name, address)]
    if not _is_known(connection, name, address):
        keys.append(_key(name, None))
    row = connection.execute(
        "SELECT 1 FROM login_failures WHERE key = ANY(%s) AND blocked_until > clock_timestamp() LIMIT 1",
        (keys,),
    ).fetchone()
    return row is not None


def count_failure(connection: Connection, name: str, address: str) -> None:
    """Count a wrong password: from the fifth on the address waits 30 s, doubling up to 15 minutes."""
    connection.execute("DELETE FROM login_failures WHERE last_at < clock_timestamp() - interval '1 day'")
    counts = [(_key(name, address), _FREE_FAILURES)]
    if not _is_known(connection, name, address):
        counts.append((_key(name, None), _FREE_FAILURES_OF_NAME))
    for key, free in sorted(counts):
        connection.execute(
            "INSERT INTO login_failures AS f (key, failures, blocked_until) VALUES (%(key)s, 1, '-infinity') "
            "ON CONFLICT (key) DO UPDATE SET failures = f.failures + 1, last_at = clock_timestamp(), "
            "blocked_until = CASE WHEN f.failures + 1 < %(free)s THEN f.blocked_until ELSE "
            "clock_timestamp() + make_interval(secs => least(%(longest)s, "
            "%(first)s * 2 ^ least(10, f.failures + 1 - %(free)s))) END",
            {"key": key, "free": free, "first": _FIRST_PAUSE_S, "longest": _LONGEST_PAUSE_S},
        )


def forget_failures(connection: Connection, name: str, address: str) -> None:
    """After a right password: the address has no failures, and is known for this account."""
    connection.execute("DELETE FROM login_failures WHERE key = %s", (_key(name, address),))
    connection.execute(
        "DELETE FROM login_addresses WHERE user_name = %s AND last_login < now() - make_interval(days => %s)",
        (name, _KNOWN_DAYS),
    )
    connection.execute(
        "INSERT INTO login_addresses (user_name, address) VALUES (%s, %s) "
        "ON CONFLICT (user_name, address) DO UPDATE SET last_login = now()",
        (name, network_of(address)),
    )


def _is_known(connection: Connection, name: str, address: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM login_addresses WHERE user_name = %s AND address = %s "
        "AND last_login > now() - make_interval(days => %s)",
        (name, network_of(address), _KNOWN_DAYS),
    ).fetchone()
    return row is not None


def _key(name: str, address: str | None) -> bytes:
    """Return the key of a name at an address, or of a name at all unknown addresses (None)."""
    place = "everywhere" if address is None else f"at {network_of(address)}"
    return hashlib.sha256(f"{place}\n{name}".encode("utf-8", "surrogatepass")).digest()
