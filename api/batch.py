"""The envelope of a batch: numbered entries of one edge, parsed and not yet believed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn
from uuid import UUID

from api.errors import Refused

SIGNAL: Final = "signal"
BALLOT: Final = "ballot"
ERASED: Final = "erased"
_DIGEST_BYTES: Final = 16
_LARGEST_SEQ: Final = 2**62
_SALT_BYTES: Final = 32
_ENVELOPE_KEYS: Final = {"edge", "first_seq", "entries"}
_ENTRY_KEYS: Final = {"seq", "kind", "payload"}
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered entry of a batch.

    Attributes:
        canonical: The payload as sorted, compact JSON.
        digest: Tells the same number with other content apart. A salt is part of it: once that is
            destroyed, nobody can find the content of a digest by trying.
        salt: The key that opens the signal's commitment; None where none was sent.
        bad_salt: Whether what was sent as a salt is none.
    """

    seq: int
    kind: str
    payload: Any
    canonical: str
    digest: bytes
    salt: bytes | None = None
    bad_salt: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive entries of one edge, as parsed and not yet believed."""

    edge: UUID
    first_seq: int
    entries: tuple[Entry, ...]


def parse_batch(body: bytes, *, max_entries: int) -> Batch:
    """Parse the envelope of a batch.

    Raises:
        Refused: 400 when it is not JSON, 422 when the envelope is wrong; messages carry no content.
    """
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "not-json", "the body is not JSON in UTF-8: check the sender's version"
        ) from None
    if not isinstance(document, dict) or set(document) != _ENVELOPE_KEYS:
        _bad_envelope("the batch is an object with exactly edge, first_seq and entries")
    edge, first_seq, entries = document["edge"], document["first_seq"], document["entries"]
    if not isinstance(edge, str):
        _bad_envelope("edge is a UUID")
    try:
        edge_id = UUID(edge)
    except ValueError:
        _bad_envelope("edge is a UUID")
    if not _is_seq(first_seq):
        _bad_envelope("first_seq is a whole number from 1")
    if not isinstance(entries, list) or not 1 <= len(entries) <= max_entries:
        _bad_envelope(f"entries is a list of 1 to {max_entries} entries: send smaller batches")
    return Batch(
        edge_id, first_seq, tuple(_entry(item, first_seq + index) for index, item in enumerate(entries))
    )


def _entry(item: object, seq: int) -> Entry:
    if not isinstance(item, dict) or set(item) - {"salt"} != _ENTRY_KEYS:
        _bad_envelope("an entry is an object with seq, kind and payload, and a salt where it has one")
    kind, payload = item["kind"], item["payload"]
    if not _is_seq(item["seq"]) or item["seq"] != seq:
        _bad_envelope("entries are numbered from first_seq without gaps")
    if not isinstance(kind, str) or not 1 <= len(kind) <= 64:  # noqa: PLR2004 - the length of a code
        _bad_envelope("kind is a code of at most 64 characters")
    salt = _salt(item["salt"]) if kind == SIGNAL and "salt" in item else None
    try:
        canonical = _CANONICAL(payload)
        # The vote is the same whoever's it was: the digest must not keep the session.
        told = canonical if kind != BALLOT else _CANONICAL(_without_session(payload))
    except RecursionError:
        _bad_envelope("a payload is nested too deeply")
    # JSON may escape half a surrogate pair, which plain UTF-8 cannot hold.
    text = f"{kind}\n{told}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(text + b"\n" + salt if salt is not None else text).digest()[:_DIGEST_BYTES]
    return Entry(seq, kind, payload, canonical, digest, salt, bad_salt="salt" in item and salt is None)


def _salt(value: object) -> bytes | None:
    """Return a salt of exactly 32 bytes in its only base64 form, else None."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        salt = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return salt if len(salt) == _SALT_BYTES and base64.b64encode(salt).decode() == value else None


def _without_session(payload: object) -> object:
    if not isinstance(payload, dict):
        return payload
    return {name: value for name, value in payload.items() if name != "session_id"}


def _is_seq(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_SEQ


def _bad_envelope(detail: str) -> NoReturn:
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-envelope", detail)


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
