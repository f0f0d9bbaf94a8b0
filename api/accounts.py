"""Accounts: passwords, lock-out, server-side sessions, roles and what they may see."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadSignature, Signer

from api.database import Connection, Database
from api.enrolment import record_act
from api.errors import ApiError

FIRST_ADMINISTRATOR: Final = "admin"
SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 256
_FREE_FAILURES: Final = 5
_FIRST_LOCK_S: Final = 30
_LONGEST_LOCK_S: Final = 900
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_ADMINISTRATOR_LOCK: Final = 0x61_64_6D_69


class AccountError(ApiError, ValueError):
    """An account, name or password that cannot be used; the message is for the person at the form."""


class Role(StrEnum):
    """What an account may do."""

    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Account:
    """One account; a supervisor sees the counters of their areas and those named."""

    name: str
    role: Role
    must_change: bool
    areas: tuple[str, ...]
    counters: tuple[str, ...]
    disabled: bool = False

    @property
    def is_administrator(self) -> bool:
        """Whether the account administers the service."""
        return self.role is Role.ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class Login:
    """One live session: who, and the token its forms must carry."""

    account: Account
    csrf: str


class Accounts:
    """Keeps accounts and sessions in the database.

    Args:
        database: Where they are kept.
        session_hours: Life of a login.
    """

    def __init__(self, database: Database, *, session_hours: float = 8.0) -> None:
        """Keep the database; the key of the cookies is read on first use."""
        self._database = database
        self._session_s = session_hours * 3600
        self._hasher = PasswordHasher()
        self._absent = self._hasher.hash(secrets.token_urlsafe(16))
        self._signer: Signer | None = None

    def create_first_administrator(self) -> str | None:
        """Create the one administrator if there is none; return the one-time password, else None."""
        with self._database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADMINISTRATOR_LOCK,))
            if connection.execute("SELECT 1 FROM users WHERE role = 'administrator' LIMIT 1").fetchone():
                return None
            password = _one_time_password()
            self._insert(connection, FIRST_ADMINISTRATOR, Role.ADMINISTRATOR, password, areas=(), counters=())
            record_act(connection, "system", "account-created", FIRST_ADMINISTRATOR)
        return password

    def create(
        self, name: str, role: Role, *, actor: str, areas: Sequence[str] = (), counters: Sequence[str] = ()
    ) -> str:
        """Create an account and return its one-time password.

        Raises:
            AccountError: The name is malformed or taken.
        """
        if not _NAME.fullmatch(name):
            raise AccountError("a name has lower-case letters, digits and . _ @ - only")
        password = _one_time_password()
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE name = %s", (name,)).fetchone():
                raise AccountError("this name is taken: choose another")
            self._insert(connection, name, role, password, areas=areas, counters=counters)
            record_act(connection, actor, "account-created", name)
        return password

    def reset_password(self, name: str, *, actor: str) -> str:
        """Give an account a new one-time password and end its sessions.

        Raises:
            AccountError: There is no such account.
        """
        password = _one_time_password()
        with self._database.transaction() as connection:
            done = connection.execute(
                "UPDATE users SET password_hash = %s, must_change = true, failures = 0, locked_until = NULL, "
                "disabled_at = NULL WHERE name = %s RETURNING name",
                (self._hasher.hash(password), name),
            ).fetchone()
            if done is None:
                raise AccountError(f"there is no account '{name}'")
            connection.execute("DELETE FROM sessions WHERE user_name = %s", (name,))
            record_act(connection, actor, "password-reset", name)
        return password

    def disable(self, name: str, *, actor: str) -> None:
        """Close an account and end its sessions; the last administrator stays.

        Raises:
            AccountError: It is the last administrator, or there is no such account.
        """
        with self._database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADMINISTRATOR_LOCK,))
            done = connection.execute(
                "UPDATE users SET disabled_at = now() WHERE name = %s AND disabled_at IS NULL AND (role <> "
                "'administrator' OR (SELECT count(*) FROM users WHERE role = 'administrator' "
                "AND disabled_at IS NULL)"
                " > 1) RETURNING name",
                (name,),
            ).fetchone()
            if done is None:
                raise AccountError("this account is closed already, or it is the last administrator")
            connection.execute("DELETE FROM sessions WHERE user_name = %s", (name,))
            record_act(connection, actor, "account-disabled", name)

    def list_accounts(self) -> tuple[Account, ...]:
        """Return every account by name."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT name, role, must_change, areas, counters, disabled_at IS NOT NULL "
                "FROM users ORDER BY name"
            ).fetchall()
        return tuple(_account(row) for row in rows)

    def log_in(self, name: str, password: str) -> str | None:
        """Check a password and return the signed cookie of a new session; None when it is wrong or locked.

        After five failures an account is locked for 30 s, doubling up to 15 minutes. Unknown names cost
        the same time as known ones.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT password_hash, failures, locked_until, disabled_at FROM users "
                "WHERE name = %s FOR UPDATE",
                (name,),
            ).fetchone()
            right = self._matches(row[0] if row else self._absent, password)
            if row is None or row[3] is not None or (row[2] is not None and row[2] > datetime.now(UTC)):
                return None
            if not right:
                failures = row[1] + 1
                lock_s = 0
                if failures >= _FREE_FAILURES:
                    lock_s = min(_LONGEST_LOCK_S, _FIRST_LOCK_S * 2 ** min(10, failures - _FREE_FAILURES))
                connection.execute(
                    "UPDATE users SET failures = %s, locked_until = %s WHERE name = %s",
                    (failures, datetime.now(UTC) + timedelta(seconds=lock_s) if lock_s else None, name),
                )
                return None
            connection.execute("UPDATE users SET failures = 0, locked_until = NULL WHERE name = %s", (name,))
            connection.execute("DELETE FROM sessions WHERE expires_at < now()")
            return self._new_session(connection, name)

    def login_of(self, cookie: str | None) -> Login | None:
        """Return the live session of a cookie."""
        token = self._token_of(cookie)
        if token is None:
            return None
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT u.name, u.role, u.must_change, u.areas, u.counters, false, s.csrf FROM sessions s "
                "JOIN users u ON u.name = s.user_name "
                "WHERE s.token_hash = %s AND s.expires_at > now() AND u.disabled_at IS NULL",
                (_hash(token),),
            ).fetchone()
        return None if row is None else Login(_account(row[:6]), row[6])

    def log_out(self, cookie: str | None) -> None:
        """End the session of a cookie."""
        token = self._token_of(cookie)
        if token is not None:
            with self._database.transaction() as connection:
                connection.execute("DELETE FROM sessions WHERE token_hash = %s", (_hash(token),))

    def change_password(self, name: str, old: str, new: str) -> str:
        """Change an account's own password, end its other sessions, return the cookie of a new one.

        Raises:
            AccountError: The old password is wrong, or the new one is too short, too long or the same.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT password_hash FROM users WHERE name = %s FOR UPDATE", (name,)
            ).fetchone()
            if row is None or not self._matches(row[0], old):
                raise AccountError("the present password is wrong")
            if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
                raise AccountError("a password has at least 12 characters")
            if new in {old, name}:
                raise AccountError("the new password must differ from the old one")
            connection.execute(
                "UPDATE users SET password_hash = %s, must_change = false WHERE name = %s",
                (self._hasher.hash(new), name),
            )
            connection.execute("DELETE FROM sessions WHERE user_name = %s", (name,))
            record_act(connection, name, "password-changed", name)
            return self._new_session(connection, name)

    def sign(self, value: str) -> str:
        """Sign a value for a cookie."""
        return self._own_signer().sign(value).decode()

    def unsign(self, value: str | None) -> str | None:
        """Return a signed value, or None when the signature is not ours."""
        try:
            return self._own_signer().unsign(value or "").decode()
        except (BadSignature, UnicodeError):
            return None

    def _insert(
        self,
        connection: Connection,
        name: str,
        role: Role,
        password: str,
        *,
        areas: Sequence[str],
        counters: Sequence[str],
    ) -> None:
        connection.execute(
            "INSERT INTO users (name, role, password_hash, areas, counters) VALUES (%s, %s, %s, %s, %s)",
            (name, role.value, self._hasher.hash(password), list(areas), list(counters)),
        )

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return len(password) <= LONGEST_PASSWORD and self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def _new_session(self, connection: Connection, name: str) -> str:
        token = secrets.token_urlsafe(32)
        connection.execute(
            "INSERT INTO sessions (token_hash, user_name, csrf, expires_at) "
            "VALUES (%s, %s, %s, now() + make_interval(secs => %s))",
            (_hash(token), name, secrets.token_urlsafe(24), self._session_s),
        )
        return self.sign(token)

    def _token_of(self, cookie: str | None) -> str | None:
        return self.unsign(cookie) if cookie else None

    def _own_signer(self) -> Signer:
        if self._signer is None:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO secrets (name, value) VALUES ('cookie', %s) ON CONFLICT DO NOTHING",
                    (secrets.token_bytes(32),),
                )
                row = connection.execute("SELECT value FROM secrets WHERE name = 'cookie'").fetchone()
            self._signer = Signer(bytes(row[0]) if row else b"", salt="hailong", digest_method=hashlib.sha256)
        return self._signer


def _account(row: tuple[object, ...]) -> Account:
    name, role, must_change, areas, counters, disabled = row
    return Account(
        str(name),
        Role(str(role)),
        bool(must_change),
        _texts(areas),
        _texts(counters),
        disabled=bool(disabled),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else ()


def _one_time_password() -> str:
    """Return 100 bits in groups that can be read out loud: no l, o, 0, 1."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
