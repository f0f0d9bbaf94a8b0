"""The hash chain under the log, and the head kept beside it.

Each entry's digest covers its index, the digest before it and the exact bytes that
are stored. The head (index and digest of the newest entry) lies in a small file of
its own: a log that was cut short or swapped for a younger one no longer reaches it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import rfc8785

from consent.errors import LedgerCorrupt, TransitionRefused
from consent.event import Event
from consent.state import State, check_step

_DOMAIN: Final = b"hailong consent chain 1\n"
NO_ENTRY: Final = bytes(32)
"""What the first entry follows."""

SCHEMA: Final = """
CREATE TABLE events (
    idx INTEGER PRIMARY KEY,
    prev BLOB NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    record_id TEXT,
    session_id TEXT,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX by_record ON events (record_id, idx);
CREATE UNIQUE INDEX asked_once ON events (session_id) WHERE kind = 'offered';
CREATE TRIGGER events_never_change BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER events_never_vanish BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER events_only_extend BEFORE INSERT ON events
    WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM events)
        OR (NEW.idx > 0 AND NEW.prev IS NOT (SELECT digest FROM events WHERE idx = NEW.idx - 1))
    BEGIN SELECT RAISE(ABORT, 'an entry of the consent log follows the newest one'); END;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table `events`, as it lies there."""

    index: int
    prev: bytes
    digest: bytes
    kind: str
    record_id: str | None
    session_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: which log, where, and its digest."""

    log_id: UUID
    index: int
    digest: bytes

    def write(self, path: Path) -> None:
        """Replace the head file in one step."""
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with draft.open("wb") as stream:
            stream.write(
                rfc8785.dumps({"digest": self.digest.hex(), "index": self.index, "log": str(self.log_id)})
            )
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Head | None:
        """Read the head file; None when there is none.

        Raises:
            LedgerCorrupt: It exists and cannot be understood.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            document = json.loads(data)
            return cls(UUID(document["log"]), int(document["index"]), bytes.fromhex(document["digest"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerCorrupt(
                f"{path} is not a head of a consent log ({error}). Keep the folder as it is for the "
                "privacy officer and start with a new, empty data folder."
            ) from error


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check of the whole log.

    Attributes:
        entries: Entries that were found.
        head: Digest of the newest entry, hexadecimal; empty without entries.
        broken_index: First entry that is wrong or missing; None when all is well.
        reason: What is wrong there.
    """

    entries: int
    head: str
    broken_index: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether every entry is the one that was written, up to the kept head."""
        return self.broken_index is None


def link(index: int, prev: bytes, body: bytes) -> bytes:
    """Return the digest of an entry."""
    return hashlib.sha256(_DOMAIN + index.to_bytes(8, "big") + prev + body).digest()


def genesis_body(log_id: UUID) -> bytes:
    """Return the stored bytes of the first entry, which names the log."""
    return rfc8785.dumps({"kind": "genesis", "log": str(log_id), "schema_version": 1})


def genesis_log_id(body: bytes) -> UUID:
    """Return the id of the log that a first entry names.

    Raises:
        LedgerCorrupt: It is no first entry.
    """
    try:
        document = json.loads(body)
        log_id = UUID(document["log"])
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerCorrupt(f"the first entry names no log ({error})") from error
    if genesis_body(log_id) != body:
        raise LedgerCorrupt("the first entry is not in canonical form")
    return log_id


def read_row(row: Row) -> Event:
    """Return the event of a row after checking that the row is whole.

    Raises:
        LedgerCorrupt: Digest, columns and bytes do not belong together.
    """
    if link(row.index, row.prev, row.body) != row.digest:
        raise LedgerCorrupt(f"entry {row.index}: the digest does not cover the stored bytes")
    try:
        event = Event.parse(row.body)
    except ValueError as error:
        raise LedgerCorrupt(f"entry {row.index}: the stored bytes are no event") from error
    if (event.kind.value, str(event.record_id), str(event.session_id)) != (
        row.kind,
        row.record_id,
        row.session_id,
    ):
        raise LedgerCorrupt(f"entry {row.index}: the columns differ from the stored bytes")
    return event


def verify_rows(rows: Iterable[Row], head: Head | None) -> Verification:
    """Check order, links, bytes and steps of a whole log, and that it reaches its kept head."""
    prev, count, log_id = NO_ENTRY, 0, None
    states: dict[UUID, State] = {}
    for row in rows:
        try:
            _check_place(row, count, prev)
            if count == 0:
                log_id = _check_genesis(row)
            else:
                event = read_row(row)
                _check_canonical(row, event)
                _check_step(event, states)
        except (LedgerCorrupt, TransitionRefused) as error:
            return Verification(count, prev.hex(), count, str(error))
        if head is not None and head.index == count and (head.log_id, head.digest) != (log_id, row.digest):
            reason = "the kept head names another entry: the log was rewritten or swapped"
            return Verification(count, prev.hex(), count, reason)
        prev, count = row.digest, count + 1
    found = prev.hex() if count else ""
    if head is not None and head.index >= count:
        return Verification(
            count, found, count, f"the kept head is entry {head.index}: the log was cut short"
        )
    if count == 0:
        return Verification(0, found, 0, "the log is empty: not even its first entry is there")
    if head is None and count > 1:
        return Verification(count, found, count, "the kept head is missing beside the log")
    return Verification(count, found)


def _check_place(row: Row, count: int, prev: bytes) -> None:
    if row.index != count:
        raise LedgerCorrupt(f"entry {count} is missing")
    if row.prev != prev:
        raise LedgerCorrupt(f"entry {count} does not follow the one before it")


def _check_genesis(row: Row) -> UUID:
    if link(0, NO_ENTRY, row.body) != row.digest:
        raise LedgerCorrupt("entry 0: the digest does not cover the stored bytes")
    return genesis_log_id(row.body)


def _check_canonical(row: Row, event: Event) -> None:
    if event.canonical() != row.body:
        raise LedgerCorrupt(f"entry {row.index}: the stored bytes are not canonical")


def _check_step(event: Event, states: dict[UUID, State]) -> None:
    state, before = event.state, states.get(event.record_id)
    if before is None:
        if state is not State.OFFERED:
            raise LedgerCorrupt(f"record {event.record_id} starts with {event.kind}")
        states[event.record_id] = state
    elif state is not None:
        check_step(before, state)
        states[event.record_id] = state
