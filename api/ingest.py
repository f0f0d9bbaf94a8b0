"""Batches from an edge: verified, validated, committed once.

What is acknowledged is committed. A batch may be split, repeated and sent by two
connections at once: the row of the edge is locked, the primary keys decide, and the
rollups grow by exactly the signals that are new. What belongs to an erased consent is
acknowledged and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import psycopg
from pydantic import BaseModel, ConfigDict, ValidationError

from api.authorization import Action
from api.ballots import NumberedBallot, insert_ballots
from api.batch import BALLOT, ERASED, SIGNAL, Batch, Entry, parse_batch
from api.database import Connection, Database
from api.edge_signature import authenticate, unauthorised
from api.erasure import claim, queue, reopen
from api.erasure_stores import ERASED_DIGEST, ERASURE_LOCK
from api.errors import Refused
from api.schema import create_partition, ingest_statement, months_of, signal_arrays, signal_row
from api.settings import IngestSettings
from inference.signal import Ballot, Signal

_STATEMENT: Final = ingest_statement()
_ID: Final = re.compile("(?=([0-9a-f]{32}))")
_MODELS: Final[dict[str, type[Signal | Ballot]]] = {SIGNAL: Signal, BALLOT: Ballot}


class _Tombstone(BaseModel):
    """What an edge leaves of an entry that it has erased."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record_id: UUID


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry that was set aside and why."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a batch.

    Attributes:
        high_water: Everything up to this number is committed.
        quarantined: Entries of this batch that were set aside now.
        inserted: Signals that are new.
        repeated: Entries that were committed before.
        ballots: Ballots that are new.
        erased: Entries that were left empty, since their consent is erased.
    """

    high_water: int
    quarantined: tuple[Quarantined, ...] = ()
    inserted: int = 0
    repeated: int = 0
    ballots: int = 0
    erased: int = 0


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A valid signal, its number, and its row."""

    seq: int
    record_id: UUID
    session_id: UUID
    row: tuple[object, ...]


@dataclass(slots=True)
class _Sorted:
    """The entries of a batch after validation."""

    signals: list[_Numbered] = field(default_factory=list)
    ballots: list[NumberedBallot] = field(default_factory=list)
    erased: dict[int, UUID] = field(default_factory=dict)
    starts: list[datetime] = field(default_factory=list)
    aside: list[tuple[Entry, str]] = field(default_factory=list)

    def after(self, high_water: int) -> _Sorted:
        """Return the entries beyond a number."""
        return _Sorted(
            [item for item in self.signals if item.seq > high_water],
            [item for item in self.ballots if item.seq > high_water],
            {seq: record_id for seq, record_id in self.erased.items() if seq > high_water},
            self.starts,
            [(entry, reason) for entry, reason in self.aside if entry.seq > high_water],
        )

    def named(self) -> dict[int, set[UUID]]:
        """Return for each number the consents and sessions that its entry names."""
        found = {item.seq: {item.record_id, item.session_id} for item in self.signals}
        found |= {
            item.seq: {item.ballot.session_id} for item in self.ballots if item.ballot.session_id is not None
        }
        found |= {seq: {record_id} for seq, record_id in self.erased.items()}
        return found | {entry.seq: set(_ids(entry)) for entry, _ in self.aside}


class Ingest:
    """Takes batches and commits them.

    Args:
        database: Where signals go.
        settings: Limits of size and time.
    """

    def __init__(self, database: Database, settings: IngestSettings) -> None:
        """Keep the database and the limits."""
        self._database = database
        self._settings = settings
        self._months: set[object] = set()

    def accept(self, body: bytes, signature: str | None) -> Receipt:
        """Verify, validate and commit one batch.

        Raises:
            Refused: Nothing was committed; the problem says why.
            DatabaseUnavailable: Nothing is acknowledged; send the batch again later.
        """
        batch = parse_batch(body, max_entries=self._settings.max_entries)
        try:
            with self._database.transaction() as connection:
                sender = authenticate(connection, batch.edge, Action.SUBMIT_BATCHES, body, signature)
                sorted_out = self._validate(batch, sender.counters)
                if months_of(sorted_out.starts) <= self._months:
                    return _commit(connection, batch, sorted_out)
            self._create_partitions(sorted_out.starts)
            with self._database.transaction() as connection:
                return _commit(connection, batch, sorted_out)
        except psycopg.errors.CheckViolation:  # a partition was dropped under our feet
            self._months.clear()
            # The database's own message shows the row: it goes no further.
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "partition-missing",
                "a monthly partition is missing: try again",
            ) from None

    def _validate(self, batch: Batch, counters: frozenset[str]) -> _Sorted:
        result = _Sorted()
        now = datetime.now(UTC)
        latest = now + timedelta(seconds=self._settings.clock_ahead_s)
        earliest = now - timedelta(days=self._settings.max_age_days)
        for entry in batch.entries:
            reason = ""
            read = _read(entry)
            if isinstance(read, str):
                reason = read
            elif isinstance(read, UUID):
                result.erased[entry.seq] = read
            else:
                first, last = (
                    (read.window_start, read.window_end)
                    if isinstance(read, Signal)
                    else (read.cast_at, read.cast_at)
                )
                if read.counter not in counters:
                    reason = "counter-not-enrolled"
                elif last > latest:
                    reason = "clock-ahead"
                elif first < earliest:
                    reason = "too-old"
                elif isinstance(read, Ballot):
                    result.ballots.append(NumberedBallot(entry.seq, read))
                else:
                    row = signal_row(read, edge_id=batch.edge, seq=entry.seq, salt=entry.salt)
                    result.signals.append(_Numbered(entry.seq, read.consent_record_id, read.session_id, row))
                    result.starts.append(first)
            if reason:
                result.aside.append((entry, reason))
        return result

    def _create_partitions(self, starts: list[datetime]) -> None:
        for first in sorted(months_of(starts)):
            if first not in self._months:
                with self._database.transaction() as connection:
                    create_partition(connection, first)
                self._months.add(first)


def _read(entry: Entry) -> Signal | Ballot | UUID | str:
    """Return what an entry holds (for `erased` the consent), or why it is set aside."""
    if entry.bad_salt:
        return "bad-salt"
    if entry.kind == ERASED:
        try:
            return _Tombstone.model_validate_json(entry.canonical, strict=True).record_id
        except ValidationError:
            return "bad-erased"
    model = _MODELS.get(entry.kind)
    if model is None:
        return "unknown-kind"
    try:
        return model.model_validate_json(entry.canonical, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # Names of unknown keys come from outside: the reason keeps known names only.
        place = ".".join(str(part) for part in first["loc"] if part in model.model_fields)
        return f"bad-{entry.kind}:{first['type']}:{place}"[:200]


def _ids(entry: Entry) -> Iterator[UUID]:
    """Yield whatever may be an id in an entry that could not be read, in any spelling."""
    for found in _ID.finditer(entry.canonical.lower().replace("-", "")):
        yield UUID(found[1])


def _commit(connection: Connection, batch: Batch, sorted_out: _Sorted) -> Receipt:
    named = sorted_out.named()
    names = list(set().union(*named.values()))
    # What does not need another's answer travels together; each statement still sees what is
    # committed when its own turn comes.
    with connection.pipeline():
        locked = connection.execute(
            "SELECT high_water FROM edges WHERE id = %s AND revoked_at IS NULL FOR UPDATE", (batch.edge,)
        )
        # Held until the commit: an erasure that begins now waits, and finds what is committed here.
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (ERASURE_LOCK,))
        being_erased = connection.execute(
            "SELECT record_id, session_id FROM erasures WHERE record_id = ANY(%s) OR session_id = ANY(%s) "
            "UNION ALL SELECT record_id, NULL FROM erasure_claims WHERE record_id = ANY(%s) AND edge_id = %s",
            (names, names, names, batch.edge),
        )
    row = locked.fetchone()
    if row is None:
        raise unauthorised()
    high_water = int(row[0])
    if batch.first_seq > high_water + 1:
        raise Refused(
            HTTPStatus.CONFLICT,
            "sequence-gap",
            f"entries {high_water + 1} to {batch.first_seq - 1} are missing: "
            f"send again from {high_water + 1}",
            high_water=high_water,
        )
    repeated = [entry for entry in batch.entries if entry.seq <= high_water]
    replaced = _compare_repeated(connection, batch.edge, repeated, sorted_out, high_water)
    fresh = [entry for entry in batch.entries if entry.seq > high_water]
    if not fresh:
        return Receipt(high_water, repeated=len(repeated), erased=replaced)
    new = sorted_out.after(high_water)
    gone = {name for row in being_erased for name in row if name is not None}
    about_gone = frozenset(seq for seq, ids in named.items() if ids & gone)
    empty = _leave_out_erased(gone, about_gone, new)
    _ask_for_erasures(connection, batch.edge, {entry.seq: entry for entry in fresh}, new)
    high_water = fresh[-1].seq
    with connection.pipeline():
        connection.execute(
            "INSERT INTO receipts (edge_id, seq, digest) SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[])",
            (
                batch.edge,
                [entry.seq for entry in fresh],
                [ERASED_DIGEST if entry.seq in empty else entry.digest for entry in fresh],
            ),
        )
        inserting = (
            connection.execute(_STATEMENT, signal_arrays([item.row for item in new.signals]))
            if new.signals
            else ()
        )
        connection.execute(
            "UPDATE edges SET high_water = %s, last_received = now() WHERE id = %s",
            (high_water, batch.edge),
        )
    by_seq = {entry.seq: entry for entry in fresh}
    inserted = {int(row[0]) for row in inserting}
    new.aside += [
        # The primary key held it back: an edge sends one session twice under two numbers.
        (by_seq[item.seq], "duplicate-signal")
        for item in new.signals
        if item.seq not in inserted
    ]
    cast = insert_ballots(connection, batch.edge, new.ballots)
    new.aside += [(by_seq[item.seq], "duplicate-ballot") for item in new.ballots if item.seq not in cast]
    # The second of two is not kept either where it would name what is erased.
    new.aside = [(entry, reason) for entry, reason in new.aside if entry.seq not in about_gone]
    _set_aside(connection, batch.edge, new.aside)
    return Receipt(
        high_water,
        tuple(
            Quarantined(entry.seq, reason) for entry, reason in sorted(new.aside, key=lambda at: at[0].seq)
        ),
        inserted=len(inserted),
        repeated=len(repeated),
        ballots=len(cast),
        erased=replaced + len(empty) + len(new.erased),
    )


def _compare_repeated(
    connection: Connection, edge: UUID, repeated: list[Entry], sorted_out: _Sorted, high_water: int
) -> int:
    """Refuse other content under a used number, unless it erases that; return how many entries do."""
    if not repeated:
        return 0
    known = {
        int(seq): bytes(digest)
        for seq, digest in connection.execute(
            "SELECT seq, digest FROM receipts WHERE edge_id = %s AND seq BETWEEN %s AND %s",
            (edge, repeated[0].seq, repeated[-1].seq),
        )
    }
    replaced = 0
    for entry in repeated:
        if known.get(entry.seq, entry.digest) in {entry.digest, ERASED_DIGEST}:
            continue
        record_id = sorted_out.erased.get(entry.seq)
        if record_id is None or not _take_tombstone(connection, edge, entry.seq, record_id):
            raise Refused(
                HTTPStatus.CONFLICT,
                "sequence-reused",
                f"entry {entry.seq} was committed with other content: the edge's outbox was restored "
                "or altered; "
                "enrol the edge again",
                high_water=high_water,
                seq=entry.seq,
            )
        _empty_entry(connection, edge, entry.seq, record_id)
        replaced += 1
    return replaced


def _take_tombstone(connection: Connection, edge: UUID, seq: int, record_id: UUID) -> bool:
    """Ask for the erasure that an edge wishes; False where the consent, or what it sent, is not its own.

    While nothing here tells whose consent it is, the wish is kept until a log names it: the id of a consent
    alone lets nobody erase it.
    """
    owner = connection.execute(
        "SELECT sender_id FROM consents JOIN edge_logs USING (edge_id) WHERE record_id = %s", (record_id,)
    ).fetchone()
    if owner is not None and owner[0] != edge:
        return False
    sent = connection.execute(
        "SELECT edge_id, seq FROM signals WHERE consent_record_id = %s", (record_id,)
    ).fetchall()
    if sent and (edge, seq) not in {(row[0], int(row[1])) for row in sent}:
        return False
    if owner is not None or sent or _set_aside_before(connection, edge, seq, record_id):
        queue(connection, record_id, "withdrawn", entry=(edge, seq))
    else:
        claim(connection, record_id, (edge, seq))
    return True


def _set_aside_before(connection: Connection, edge: UUID, seq: int, record_id: UUID) -> bool:
    row = connection.execute(
        "SELECT 1 FROM quarantine WHERE edge_id = %s AND seq = %s "
        "AND replace(lower(encode(payload, 'escape')), '-', '') LIKE %s",
        (edge, seq, f"%{record_id.hex}%"),
    ).fetchone()
    return row is not None


def _empty_entry(connection: Connection, edge: UUID, seq: int, record_id: UUID) -> None:
    """Forget the content of an entry that the edge has emptied."""
    held = connection.execute(
        "SELECT 1 FROM quarantine WHERE edge_id = %s AND seq = %s", (edge, seq)
    ).fetchone()
    if held is not None:
        reopen(connection, record_id)
    connection.execute(
        "UPDATE receipts SET digest = %s WHERE edge_id = %s AND seq = %s", (ERASED_DIGEST, edge, seq)
    )


def _leave_out_erased(gone: set[UUID], about_gone: frozenset[int], new: _Sorted) -> frozenset[int]:
    """Drop what belongs to a consent that is being erased, or was, and return the numbers.

    A valid signal belongs to the consent that it names; of what cannot be read, any name will do.
    """
    empty = frozenset(item.seq for item in new.signals if item.record_id in gone)
    new.signals = [item for item in new.signals if item.seq not in empty]
    unread = frozenset(entry.seq for entry, _ in new.aside if entry.seq in about_gone)
    new.aside = [(entry, reason) for entry, reason in new.aside if entry.seq not in unread]
    return empty | unread


def _ask_for_erasures(connection: Connection, edge: UUID, by_seq: dict[int, Entry], new: _Sorted) -> None:
    """Keep a new number that was emptied before it was ever sent; what else there is goes too."""
    for seq, record_id in list(new.erased.items()):
        if not _take_tombstone(connection, edge, seq, record_id):
            del new.erased[seq]
            new.aside.append((by_seq[seq], "not-own-consent"))


def _set_aside(connection: Connection, edge: UUID, aside: list[tuple[Entry, str]]) -> None:
    if not aside:
        return
    connection.execute(
        "INSERT INTO quarantine (edge_id, seq, kind, reason, payload) "
        "SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bytea[])",
        (
            edge,
            [entry.seq for entry, _ in aside],
            [entry.kind.encode("ascii", "backslashreplace").decode().replace("\0", "") for entry, _ in aside],
            [reason for _, reason in aside],
            [entry.canonical.encode() for entry, _ in aside],
        ),
    )
