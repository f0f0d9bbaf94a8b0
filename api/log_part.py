"""A part of an edge's log as it came: its envelope, entries and checkpoint, and who may have signed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn
from uuid import UUID

from api.authorization import Action
from api.database import Connection
from api.edge_signature import authenticate
from api.errors import Refused
from consent.checkpoint import ED25519, Checkpoint, peek, verifier
from consent.entry import Entry, KeyIntroduced, parse_entry
from consent.errors import CheckpointRefused, EntryRefused
from consent.merkle import leaf_hash
from consent.signed_note import SignatureLine, Vkey

LARGEST_ENTRY_BYTES: Final = 65_535
"""Longer entries would not fit the bundles of an exported log."""
LARGEST_NOTE_BYTES: Final = 16 * 1024
_LARGEST_INDEX: Final = 2**53
_ENVELOPE: Final = {"edge", "first_index", "entries", "checkpoint", "keys"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an edge's log as it came, not yet believed."""

    edge: UUID
    first_index: int
    entries: tuple[bytes, ...]
    checkpoint: bytes
    keys: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size of the log after this part."""
        return self.first_index + len(self.entries)


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """One entry with what its row needs."""

    body: bytes
    hash: bytes
    kind: str
    entry: Entry

    @property
    def record_id(self) -> UUID | None:
        """The consent that it is about, where it is about one."""
        return getattr(self.entry, "record_id", None)


@dataclass(frozen=True, slots=True)
class LogSender:
    """Who sent a part; `next_key` is the key that signed it, where the enrolled `key` endorses it there."""

    edge: UUID
    key: bytes
    counters: frozenset[str]
    next_key: bytes | None = None

    def vkey(self, origin: str) -> str:
        """Return the enrolled key as a key of this log."""
        return str(Vkey(origin, ED25519, self.key))


def parse_part(body: bytes, *, max_entries: int) -> Part:
    """Read the envelope.

    Raises:
        Refused: 400 when it is not JSON, 422 when the envelope is wrong; messages carry no content.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "not-json", "the body is not JSON in UTF-8: check the sender's version"
        ) from None
    if not isinstance(document, dict) or set(document) != _ENVELOPE:
        _bad("a part of a log is an object with exactly edge, first_index, entries, checkpoint and keys")
    first, entries = document["first_index"], document["entries"]
    checkpoint, keys = document["checkpoint"], document["keys"]
    try:
        edge = UUID(document["edge"])
    except (ValueError, TypeError, AttributeError):
        _bad("edge is a UUID")
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first <= _LARGEST_INDEX:
        _bad("first_index is a whole number from 0")
    if not isinstance(entries, list) or len(entries) > max_entries:
        _bad(f"entries is a list of at most {max_entries} entries: send smaller parts")
    if not isinstance(keys, list) or len(keys) > 8 or not all(isinstance(key, str) for key in keys):  # noqa: PLR2004 - two kinds of key, old and new, twice over
        _bad("keys is a list of at most 8 keys as C2SP text")
    try:
        bodies = tuple(entry.encode() for entry in entries)
        note = checkpoint.encode()
    except (AttributeError, UnicodeEncodeError):
        _bad("an entry and a checkpoint are texts in UTF-8")
    if len(note) > LARGEST_NOTE_BYTES or any(len(text) > LARGEST_ENTRY_BYTES for text in bodies):
        _bad(f"an entry has at most {LARGEST_ENTRY_BYTES} bytes, a checkpoint {LARGEST_NOTE_BYTES}")
    return Part(edge, first, bodies, note, tuple(keys))


def log_sender(connection: Connection, part: Part, body: bytes, signature: str | None) -> LogSender:
    """Return who signed the body: the enrolled key, or one that it endorses in this very part.

    Raises:
        Refused: 401, as for batches.
    """
    sender = authenticate(
        connection,
        part.edge,
        Action.SUBMIT_LOG,
        body,
        signature,
        endorsed=lambda enrolled: endorsed_keys(part, enrolled),
    )
    next_key = None if sender.signed_by == sender.key else sender.signed_by
    return LogSender(sender.edge, sender.key, sender.counters, next_key)


def endorsed_keys(part: Part, enrolled: bytes) -> Iterator[bytes]:
    """Yield the keys that this part introduces, each endorsed by the one before it."""
    present = enrolled
    for body in part.entries:
        if b'"key-introduced"' not in body:
            continue
        try:
            step = parse_entry(body)
            if not isinstance(step, KeyIntroduced) or step.endorsement is None:
                continue
            origin = f"hailong/edge/{step.log}"
            by = verifier(str(Vkey(origin, ED25519, present)))
            line, key = SignatureLine.parse(step.endorsement), Vkey.parse(step.vkey)
            if not by.made(line) or (key.name, key.kind) != (origin, ED25519):
                continue
            by.check(step.endorsed(), line.signature)
        except (EntryRefused, CheckpointRefused):
            continue
        present = key.public
        yield present


def read_entries(part: Part) -> tuple[ReadEntry, ...]:
    """Read the entries, each in its canonical form.

    Raises:
        Refused: 422 with the index of the first that cannot be read.
    """
    found = []
    for place, body in enumerate(part.entries):
        try:
            entry = parse_entry(body)
        except EntryRefused:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "bad-entry",
                f"entry {part.first_index + place} is of no kind that is known here, or not in its canonical "
                "form: update the centre before its edges, or check the edge's log",
                index=part.first_index + place,
            ) from None
        found.append(ReadEntry(body, leaf_hash(body), str(json.loads(body)["kind"]), entry))
    return tuple(found)


def read_checkpoint(part: Part) -> Checkpoint:
    """Read what the checkpoint says; its signatures are not checked.

    Raises:
        Refused: 422 when it cannot be read, or is of another size than the part.
    """
    try:
        tree = peek(part.checkpoint)
    except CheckpointRefused as error:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "checkpoint-refused", f"the checkpoint cannot be read: {error}"
        ) from None
    if tree.size != part.size:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "checkpoint-refused",
            f"the checkpoint is of size {tree.size}, the part ends at {part.size}: send the one of that size",
        )
    return tree


def _bad(detail: str) -> NoReturn:
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-envelope", detail)
