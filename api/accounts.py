"""Accounts: names, roles, server-side sessions, and the reason a session reads personal data for."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from itsdangerous import BadSignature, Signer

from api.authorization import (
    HUMAN_ROLES,
    REASON_NEEDED,
    SERVICE,
    Action,
    Decision,
    Principal,
    Purpose,
    Resource,
    Role,
    person,
    policies,
    reason_context,
)
from api.database import Connection, Database
from api.enrolment import record_act
from api.errors import ApiError
from api.passwords import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    Passwords,
    count_failure,
    forget_failures,
    is_paused,
)

FIRST_ADMINISTRATOR: Final = "admin"
_PASSWORD_FORM: Final = "password form"  # noqa: S105 - the name of a place
"""Where a wrong present password is counted: apart from logins, or a thief could pause the owner's."""
_SEEN_EVERY_S: Final = 60
REASON_S: Final = 30 * 60
"""How long a stated reason holds."""
TICKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{2,39}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_PROBE: Final = reason_context(Purpose.INSPECTION.value, "probe")
"""A reason that nobody stated: only to learn whether one would help."""
_ADMINISTRATOR_LOCK: Final = 0x61_64_6D_69


class AccountError(ApiError, ValueError):
    """An account, name or password that cannot be used; the message is for the person at the form."""


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
    def principal(self) -> Principal:
        """The account as the policies know it."""
        return person(
            self.name, self.role, must_change=self.must_change, areas=self.areas, counters=self.counters
        )

    @property
    def sees_every_counter(self) -> bool:
        """Whether the figures of every counter are open to it; a test holds this against the policies."""
        return self.role not in {Role.SUPERVISOR, Role.DATA_ENTRY}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why somebody reads data of persons, for half an hour."""

    purpose: Purpose
    ticket: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Login:
    """One live session: who, the token its forms must carry, and the reason they stated, if any."""

    account: Account
    csrf: str
    reason: Reason | None = None

    def decide(self, action: Action, resource: Resource = SERVICE) -> Decision:
        """Ask the policies for this person, with the reason of the session where one is needed."""
        who = self.account.principal
        decision = policies().decide(who, action, resource)
        if self.reason is None or REASON_NEEDED not in decision.policies:
            return decision
        reason = reason_context(self.reason.purpose.value, self.reason.ticket)
        return policies().decide(who, action, resource, reason)

    def may(self, action: str, resource: Resource = SERVICE) -> bool:
        """Tell whether it is permitted, or would be if a reason was stated: what a menu may offer."""
        decision = self.decide(Action(action), resource)
        if REASON_NEEDED in decision.policies:
            who = self.account.principal
            decision = policies().decide(who, Action(action), resource, _PROBE)
        return decision.permitted


class Accounts:
    """Keeps accounts and sessions in the database.

    Args:
        database: Where they are kept.
        session_hours: Life of a login.
        idle_minutes: A login ends when nothing was asked for this long.
        passwords: How passwords are hashed; None takes argon2's own advice.
    """

    def __init__(
        self,
        database: Database,
        *,
        session_hours: float = 8.0,
        idle_minutes: float = 30.0,
        passwords: Passwords | None = None,
    ) -> None:
        """Keep the database; the key of the cookies is read on first use."""
        self._database = database
        self._session_s = session_hours * 3600
        self._idle_s = idle_minutes * 60
        self._passwords = passwords or Passwords()
        self._signer: Signer | None = None

    def create_first_administrator(self) -> str | None:
        """Create the one administrator if there is none; return the one-time password, else None."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE role = 'administrator' LIMIT 1").fetchone():
                return None
        password = _one_time_password()
        stored = self._passwords.hash(password)
        with self._database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADMINISTRATOR_LOCK,))
            if connection.execute("SELECT 1 FROM users WHERE role = 'administrator' LIMIT 1").fetchone():
                return None
            _insert(connection, FIRST_ADMINISTRATOR, Role.ADMINISTRATOR, stored, areas=(), counters=())
            record_act(connection, "system", "account-created", FIRST_ADMINISTRATOR)
        return password

    def create(
        self, name: str, role: Role, *, actor: str, areas: Sequence[str] = (), counters: Sequence[str] = ()
    ) -> str:
        """Create an account and return its one-time password.

        Raises:
            AccountError: The name is malformed or taken, or the role is no person's.
        """
        if not _NAME.fullmatch(name):
            raise AccountError("a name has lower-case letters, digits and . _ @ - only")
        if role not in HUMAN_ROLES:
            raise AccountError("this role belongs to a machine: choose the role of a person")
        password = _one_time_password()
        stored = self._passwords.hash(password)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE name = %s", (name,)).fetchone():
                raise AccountError("this name is taken: choose another")
            _insert(connection, name, role, stored, areas=areas, counters=counters)
            record_act(connection, actor, "account-created", name)
        return password

    def reset_password(self, name: str, *, actor: str) -> str:
        """Give an account a new one-time password and end its sessions.

        Raises:
            AccountError: There is no such account, or it is closed.
        """
        password = _one_time_password()
        stored = self._passwords.hash(password)
        with self._database.transaction() as connection:
            done = connection.execute(
                "UPDATE users SET password_hash = %s, must_change = true "
                "WHERE name = %s AND disabled_at IS NULL RETURNING name",
                (stored, name),
            ).fetchone()
            if done is None:
                raise AccountError("there is no such open account: a closed one stays closed")
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

    def log_in(self, name: str, password: str, *, address: str = "") -> str | None:
        """Check a password and return the signed cookie of a new session.

        None when the password is wrong or the address has to wait after wrong ones. Unknown names cost
        the same time as known ones, and no connection is held while a password is checked.

        Args:
            name: Name of the account.
            password: What was typed.
            address: Where the request came from.
        """
        with self._database.transaction() as connection:
            if is_paused(connection, name, address):
                return None
            row = connection.execute(
                "SELECT password_hash FROM users WHERE name = %s AND disabled_at IS NULL", (name,)
            ).fetchone()
        stored = None if row is None else str(row[0])
        right = self._passwords.matches(stored, password)
        with self._database.transaction() as connection:
            if not right or not _still(connection, name, stored):
                count_failure(connection, name, address)
                return None
            forget_failures(connection, name, address)
            connection.execute("DELETE FROM sessions WHERE expires_at < now()")
            return self._new_session(connection, name)

    def login_of(self, cookie: str | None) -> Login | None:
        """Return the live session of a cookie."""
        token = self._token_of(cookie)
        if token is None:
            return None
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT u.name, u.role, u.must_change, u.areas, u.counters, false, "
                "s.csrf, s.purpose, s.ticket, s.reason_until FROM sessions s "
                "JOIN users u ON u.name = s.user_name "
                "WHERE s.token_hash = %s AND s.expires_at > now() AND u.disabled_at IS NULL "
                "AND s.last_seen_at > now() - make_interval(secs => %s)",
                (_hash(token), self._idle_s),
            ).fetchone()
            if row is not None:
                connection.execute(
                    "UPDATE sessions SET last_seen_at = now() WHERE token_hash = %s "
                    "AND last_seen_at < now() - make_interval(secs => %s)",
                    (_hash(token), min(_SEEN_EVERY_S, self._idle_s / 4)),
                )
        if row is None:
            return None
        purpose, ticket, until = row[7:]
        reason = None
        if until is not None and until > datetime.now(UTC):
            reason = Reason(Purpose(purpose), ticket, until)
        return Login(_account(row[:6]), row[6], reason)

    def state_reason(self, cookie: str | None, purpose: Purpose, ticket: str) -> None:
        """Keep why this session reads data of persons, for half an hour.

        Raises:
            AccountError: The ticket is no code.
        """
        ticket = ticket.strip()
        if not TICKET.fullmatch(ticket):
            raise AccountError(
                "a ticket has 3 to 40 letters, digits and . _ / - and starts with a letter or a digit"
            )
        token = self._token_of(cookie)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sessions SET purpose = %s, ticket = %s, "
                "reason_until = now() + make_interval(secs => %s) WHERE token_hash = %s",
                (purpose.value, ticket, REASON_S, _hash(token or "")),
            )

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
            paused = is_paused(connection, name, _PASSWORD_FORM)
            row = connection.execute("SELECT password_hash FROM users WHERE name = %s", (name,)).fetchone()
        stored = None if row is None else str(row[0])
        if paused or not self._passwords.matches(stored, old):
            with self._database.transaction() as connection:
                if not paused:
                    count_failure(connection, name, _PASSWORD_FORM)
            raise AccountError("the present password is wrong")
        if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
            raise AccountError("a password has at least 12 characters")
        if new in {old, name}:
            raise AccountError("the new password must differ from the old one")
        fresh = self._passwords.hash(new)
        with self._database.transaction() as connection:
            if not _still(connection, name, stored):
                raise AccountError("the present password is wrong")
            connection.execute(
                "UPDATE users SET password_hash = %s, must_change = false WHERE name = %s", (fresh, name)
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


def _insert(
    connection: Connection,
    name: str,
    role: Role,
    stored: str,
    *,
    areas: Sequence[str],
    counters: Sequence[str],
) -> None:
    connection.execute(
        "INSERT INTO users (name, role, password_hash, areas, counters) VALUES (%s, %s, %s, %s, %s)",
        (name, role.value, stored, list(areas), list(counters)),
    )


def _still(connection: Connection, name: str, stored: str | None) -> bool:
    """Tell whether the account is open and has the password that was just checked; locks its row."""
    row = connection.execute(
        "SELECT 1 FROM users WHERE name = %s AND password_hash = %s AND disabled_at IS NULL FOR UPDATE",
        (name, stored),
    ).fetchone()
    return row is not None


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
