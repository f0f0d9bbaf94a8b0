"""Source systems: programs of the province that bring ballots of their channels themselves, with a token.

The system in which procedures are handled, the switchboard 1022, the portal. A token belongs to channels and,
if the administrator says so, to an area of the organisation. It is shown once and kept as a hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from uuid6 import uuid7

from api.authorization import Action, policies, system
from api.database import Connection, Database
from api.enrolment import record_act
from api.errors import CaseRefused, TokenRefused
from api.organisation.tree import BEGINNING, OPEN, Period, unit_spans
from api.spreadsheets.header import Column
from api.spreadsheets.tables import Table, open_table
from api.survey.channels import IMPORTED, Channel

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_TOKEN: Final = re.compile(r"hls_[A-Za-z0-9_-]{43}")
"""Begins with letters of its own, so that a scan for secrets finds one that was written down."""
_SEEN_EVERY_S: Final = 60
_COLUMNS: Final = "id, name, channels, area, created_by, created_at, last_used_at, revoked_by, revoked_at"


@dataclass(frozen=True, slots=True)
class SourceSystem:
    """A system with a token.

    Attributes:
        channels: What it may bring.
        area: Code of the node below which its units are; None for everywhere.
        last_used_at: When the token was shown last, to the minute.
    """

    id: UUID
    name: str
    channels: tuple[Channel, ...]
    area: str | None
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_by: str | None
    revoked_at: datetime | None

    @property
    def actor(self) -> str:
        """How the log and the list of imports name it; no account can have this name."""
        return f"source:{self.name}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which ballots a system may bring.

    Attributes:
        units: Code of a unit -> the days on which it is the system's; None where every unit is.
    """

    channels: frozenset[Channel]
    units: Mapping[str, tuple[tuple[date, date], ...]] | None = None

    def hold(self, unit: str, day: date) -> bool:
        """Tell whether a unit was within the area on a day."""
        if self.units is None:
            return True
        return any(first <= day < until for first, until in self.units.get(unit, ()))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Ballots that a system brings.

    Attributes:
        source: Who brings them.
        opened: Opens what was sent as a table.
        by_field: Whether rows are objects with fields, not lines with columns.
    """

    source: SourceSystem
    opened: Callable[[Path, Sequence[Column]], Table] = open_table
    by_field: bool = False


def add_source(
    database: Database, name: str, channels: Sequence[Channel], *, actor: str, area: str = ""
) -> str:
    """Give a system a token and return it: it is kept as a hash only.

    Args:
        database: Where it is kept.
        name: A code; a name whose token was revoked may be given a new one.
        channels: What it may bring.
        actor: Who asks, for the record.
        area: Code of a node of the organisation; empty for everywhere.

    Raises:
        CaseRefused: Name, channels or area cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise CaseRefused("A name of a system has lower-case letters, digits and . _ - only.")
    chosen = sorted({channel.value for channel in channels})
    if not chosen or not set(channels) <= set(IMPORTED):
        raise CaseRefused("Choose one or more channels; the screen at the counter is none of them.")
    token = f"hls_{secrets.token_urlsafe(32)}"
    with database.transaction() as connection:
        known = "SELECT 1 FROM organisation_nodes WHERE code = %s"
        if area and connection.execute(known, (area,)).fetchone() is None:
            raise CaseRefused("The organisation has no '{area}': use the code of an area or unit.", area=area)
        try:
            with connection.transaction():
                connection.execute(
                    "INSERT INTO source_systems (id, name, token_hash, channels, area, created_by) "
                    "VALUES (%s, %s, %s, %s, %s, %s)",
                    (UUID(bytes=uuid7().bytes), name, _hash(token), chosen, area or None, actor),
                )
        except psycopg.errors.UniqueViolation:
            raise CaseRefused(
                "There is a system '{name}' already: revoke its token first, or choose another name.",
                name=name,
            ) from None
        record_act(connection, actor, "source-added", _told(name, chosen, area))
    return token


def revoke_source(database: Database, name: str, *, actor: str) -> None:
    """Refuse everything that is sent with the token of a system from now on.

    Raises:
        CaseRefused: There is no such system that is not revoked.
    """
    with database.transaction() as connection:
        done = connection.execute(
            "UPDATE source_systems SET revoked_at = clock_timestamp(), revoked_by = %s "
            "WHERE name = %s AND revoked_at IS NULL RETURNING name",
            (actor, name),
        ).fetchone()
        if done is None:
            raise CaseRefused("There is no active system '{name}'.", name=name[:64])
        record_act(connection, actor, "source-revoked", name)


def list_sources(database: Database) -> tuple[SourceSystem, ...]:
    """Return every system, active ones first."""
    with database.transaction() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM source_systems "  # noqa: S608 - names of columns
            "ORDER BY revoked_at DESC NULLS FIRST, name, id"
        ).fetchall()
    return tuple(map(_system, rows))


def authenticated(database: Database, token: str | None, action: Action) -> SourceSystem:
    """Return the system whose token was shown, where the policies let it act.

    Raises:
        TokenRefused: The same for no token, an unknown one and a revoked one.
    """
    if token is None or not _TOKEN.fullmatch(token):
        raise _refusal()
    with database.transaction() as connection:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM source_systems WHERE token_hash = %s",  # noqa: S608 - as above
            (_hash(token),),
        ).fetchone()
        if row is None:
            raise _refusal()
        found = _system(row)
        who = system(found.name, revoked=found.revoked_at is not None)
        if not policies().decide(who, action).permitted:
            raise _refusal()
        connection.execute(
            "UPDATE source_systems SET last_used_at = clock_timestamp() WHERE id = %s AND "
            "(last_used_at IS NULL OR last_used_at < clock_timestamp() - make_interval(secs => %s))",
            (found.id, _SEEN_EVERY_S),
        )
    return found


def bounds_of(connection: Connection, source: SourceSystem) -> Bounds:
    """Return which ballots a system may bring, by the tree as it is now."""
    if source.area is None:
        return Bounds(frozenset(source.channels))
    units: dict[str, tuple[tuple[date, date], ...]] = {}
    for span in unit_spans(connection, source.area, Period(BEGINNING, OPEN)):
        units[span.unit] = (*units.get(span.unit, ()), (span.first, span.until))
    return Bounds(frozenset(source.channels), units)


def _system(row: tuple[object, ...]) -> SourceSystem:
    identity, name, channels, *rest = row
    assert isinstance(channels, list)  # noqa: S101 - the column is an array
    return SourceSystem(identity, name, tuple(map(Channel, channels)), *rest)  # type: ignore[arg-type]  # as the columns


def _told(name: str, channels: Sequence[str], area: str) -> str:
    return f"{name}: {','.join(channels)}" + (f" in {area}" if area else "")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refusal() -> TokenRefused:
    return TokenRefused(
        HTTPStatus.UNAUTHORIZED,
        "not-authenticated",
        "send 'Authorization: Bearer TOKEN' with the token of a source system that is not revoked: an "
        "administrator makes one on the page 'Source systems' or with 'hailong central source add'",
    )
