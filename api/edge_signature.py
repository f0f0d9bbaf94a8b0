"""Who sent a body: the enrolled edge whose key signed it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from api.authorization import Action, edge_may
from api.database import Connection
from api.errors import Refused


@dataclass(frozen=True, slots=True)
class Sender:
    """An enrolled edge that signed what it sent.

    Attributes:
        key: The key with which it is enrolled.
        signed_by: The key that signed; another one only where the caller named others that `key` endorses.
        high_water: The highest number of its outbox that is committed.
    """

    edge: UUID
    key: bytes
    signed_by: bytes
    counters: frozenset[str]
    high_water: int


def _no_others(_: bytes) -> Iterable[bytes]:
    return ()


def authenticate(
    connection: Connection,
    edge: UUID,
    action: Action,
    body: bytes,
    signature: str | None,
    *,
    endorsed: Callable[[bytes], Iterable[bytes]] = _no_others,
) -> Sender:
    """Return who sent a body if the signature is its own; nothing is locked for a stranger.

    Args:
        connection: Inside a transaction.
        edge: Who it says it is.
        action: What it wants.
        body: The bytes as they came.
        signature: Base64 of an Ed25519 signature over them.
        endorsed: Given the enrolled key, returns the further keys that may have signed.

    Raises:
        Refused: 401, the same for a stranger, a revoked edge and a wrong signature.
    """
    with connection.pipeline():  # the start of the transaction travels with the question
        found = connection.execute(
            "SELECT public_key, (SELECT array_agg(code) FROM counters WHERE edge_id = edges.id), "
            "revoked_at IS NOT NULL, high_water FROM edges WHERE id = %s",
            (edge,),
        )
    row = found.fetchone()
    if row is None:
        raise unauthorised()
    try:
        given = base64.b64decode(signature or "", validate=True)
    except (binascii.Error, ValueError):
        raise unauthorised() from None
    key = bytes(row[0])
    signed_by = next((one for one in (key, *endorsed(key)) if _signed(one, given, body)), None)
    if signed_by is None or not edge_may(edge, action, revoked=bool(row[2])):
        raise unauthorised()
    return Sender(edge, key, signed_by, frozenset(row[1] or ()), int(row[3]))


def _signed(key: bytes, signature: bytes, body: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True


def unauthorised() -> Refused:
    """Return the refusal of a sender."""
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "not-authenticated",
        "the edge is unknown or revoked, or the signature does not fit the body: enrol the edge again",
    )
