"""Enrolment of edges: one-time tokens, public keys, counters, revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from uuid6 import uuid7

from api.database import Connection, Database
from api.errors import EnrolmentError, Refused
from api.log import Kind, append

_CODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an edge gets for its token."""

    edge: UUID
    counters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EdgeState:
    """One enrolled edge as an administrator sees it."""

    id: UUID
    name: str
    counters: tuple[str, ...]
    high_water: int
    quarantined: int
    enrolled_at: datetime
    last_received: datetime | None
    revoked_at: datetime | None


def make_token(
    database: Database,
    counters: Sequence[str],
    *,
    actor: str,
    hours: float = 24.0,
    unit: str = "",
    area: str = "",
) -> str:
    """Make a one-time enrolment token for counters, creating counters that are new.

    Args:
        database: Where it is kept, as a hash.
        counters: Codes of the counters the edge will serve.
        actor: Who asks, for the record.
        hours: Life of the token.
        unit: Name of the one-stop unit, for new counters.
        area: Code of the area, for new counters.

    Raises:
        EnrolmentError: A code is malformed, or none was given.
    """
    codes = sorted(set(counters))
    if not codes:
        raise EnrolmentError("name at least one counter: --counter CODE")
    for code in codes:
        if not _CODE.fullmatch(code):
            raise EnrolmentError(
                f"'{code[:80]}' is no counter code: use lower-case letters, digits, '.', '_' and '-'"
            )
    token = secrets.token_urlsafe(32)
    with database.transaction() as connection:
        for code in codes:
            connection.execute(
                "INSERT INTO counters (code, unit, area) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (code, unit, area),
            )
        connection.execute(
            "INSERT INTO enrolment_tokens (token_hash, counters, created_by, expires_at) "
            "VALUES (%s, %s, %s, now() + make_interval(secs => %s))",
            (_hash(token), codes, actor, hours * 3600),
        )
        record_act(connection, actor, "enrolment-token", ",".join(codes))
    return token


def enrol(database: Database, token: str, public_key: str, name: str) -> Enrolment:
    """Exchange a token for an edge's identity; its counters move to the new edge.

    Raises:
        Refused: The key is malformed, or the token is unknown, used or expired.
    """
    try:
        key = base64.b64decode(public_key, validate=True)
        if len(key) != _KEY_BYTES:
            raise ValueError  # noqa: TRY301 - one answer for every malformed key
        Ed25519PublicKey.from_public_bytes(key)
    except (binascii.Error, ValueError):
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "bad-key",
            "public_key is the base64 of 32 bytes of an Ed25519 key",
        ) from None
    if not _CODE.fullmatch(name):
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "bad-name",
            "name is a code: lower-case letters, digits, '.', '_' and '-'",
        )
    edge = UUID(bytes=uuid7().bytes)
    with database.transaction() as connection:
        row = connection.execute(
            "UPDATE enrolment_tokens SET used_at = now() WHERE token_hash = %s AND used_at IS NULL "
            "AND expires_at > now() RETURNING counters",
            (_hash(token),),
        ).fetchone()
        if row is None:
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "token-invalid",
                "the token is unknown, used or expired: make a new one with 'hailong central enrol-token'",
            )
        counters = tuple(row[0])
        try:
            connection.execute(
                "INSERT INTO edges (id, name, public_key) VALUES (%s, %s, %s)", (edge, name, key)
            )
        except psycopg.errors.UniqueViolation:
            raise Refused(
                HTTPStatus.CONFLICT, "key-known", "this key was enrolled before: make a new key on the edge"
            ) from None
        connection.execute("UPDATE counters SET edge_id = %s WHERE code = ANY(%s)", (edge, list(counters)))
        connection.execute(
            "UPDATE enrolment_tokens SET edge_id = %s WHERE token_hash = %s", (edge, _hash(token))
        )
        record_act(connection, f"edge:{edge}", "enrolled", ",".join(counters))
    return Enrolment(edge, counters)


def revoke_edge(database: Database, edge: UUID, *, actor: str) -> None:
    """Refuse everything the edge sends from now on.

    Raises:
        EnrolmentError: There is no such edge that is not revoked.
    """
    with database.transaction() as connection:
        done = connection.execute(
            "UPDATE edges SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL RETURNING name", (edge,)
        ).fetchone()
        if done is None:
            raise EnrolmentError(f"there is no active edge {edge}: see the list of edges")
        record_act(connection, actor, "edge-revoked", str(edge))


def list_edges(database: Database) -> tuple[EdgeState, ...]:
    """Return every edge, active ones first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT id, name, coalesce((SELECT array_agg(code ORDER BY code) FROM counters "
            "WHERE edge_id = e.id), '{}'), "
            "high_water, (SELECT count(*) FROM quarantine q WHERE q.edge_id = e.id), enrolled_at, "
            "last_received, "
            "revoked_at FROM edges e ORDER BY revoked_at NULLS FIRST, name, id"
        ).fetchall()
    return tuple(EdgeState(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows)


def record_act(connection: Connection, actor: str, act: str, about: str) -> None:
    """Keep an administrative act and log it; in the transaction of the act itself."""
    connection.execute(
        "INSERT INTO administrative_acts (actor, act, object) VALUES (%s, %s, %s)", (actor, act, about)
    )
    append(connection, Kind.ACCOUNT.value, {"actor": actor, "act": act, "object": about})


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
