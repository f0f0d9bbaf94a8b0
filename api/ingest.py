"""Batches of signals from an edge: verified, validated, committed once.

What is acknowledged is committed. A batch may be split, repeated and sent by two
connections at once: the row of the edge is locked, the primary keys decide, and the
rollups grow by exactly the signals that are new.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, NoReturn
from uuid import UUID

import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from api.authorization import Action, edge_may
from api.database import Connection, Database
from api.errors import Refused
from api.schema import SIGNAL_COLUMNS, create_partition, ingest_statement, months_of, signal_row
from api.settings import IngestSettings
from inference.signal import Signal

_STATEMENT: Final = ingest_statement()
_DIGEST_BYTES: Final = 16
_LARGEST_SEQ: Final = 2**62
_ENVELOPE_KEYS: Final = {"edge", "first_seq", "entries"}
_ENTRY_KEYS: Final = {"seq", "kind", "payload"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered entry of a batch; `canonical` is its payload as sorted, compact JSON."""

    seq: int
    kind: str
    payload: Any
    canonical: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive entries of one edge, as parsed and not yet believed."""

    edge: UUID
    first_seq: int
    entries: tuple[Entry, ...]


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
    """

    high_water: int
    quarantined: tuple[Quarantined, ...] = ()
    inserted: int = 0
    repeated: int = 0


@dataclass(slots=True)
class _Sorted:
    """The entries of a batch after validation."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    starts: list[datetime] = field(default_factory=list)
    aside: list[tuple[Entry, str]] = field(default_factory=list)


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
    if not isinstance(item, dict) or set(item) != _ENTRY_KEYS:
        _bad_envelope("an entry is an object with exactly seq, kind and payload")
    kind, payload = item["kind"], item["payload"]
    if not _is_seq(item["seq"]) or item["seq"] != seq:
        _bad_envelope("entries are numbered from first_seq without gaps")
    if not isinstance(kind, str) or not 1 <= len(kind) <= 64:  # noqa: PLR2004 - the length of a code
        _bad_envelope("kind is a code of at most 64 characters")
    try:
        canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        _bad_envelope("a payload is nested too deeply")
    # JSON may escape half a surrogate pair, which plain UTF-8 cannot hold.
    digest = hashlib.sha256(f"{kind}\n{canonical}".encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
    return Entry(seq, kind, payload, canonical, digest)


def _is_seq(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_SEQ


def _bad_envelope(detail: str) -> NoReturn:
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-envelope", detail)


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


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
        counters = self._authenticate(batch.edge, body, signature)
        sorted_out = self._validate(batch, counters)
        self._create_partitions(sorted_out.starts)
        try:
            with self._database.transaction() as connection:
                return _commit(connection, batch, sorted_out)
        except psycopg.errors.CheckViolation as error:  # a partition was dropped under our feet
            self._months.clear()
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "partition-missing",
                "a monthly partition is missing: try again",
            ) from error

    def _authenticate(self, edge: UUID, body: bytes, signature: str | None) -> frozenset[str]:
        """Return the counters of the edge if the signature is its own."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT public_key, (SELECT array_agg(code) FROM counters WHERE edge_id = edges.id), "
                "revoked_at FROM edges WHERE id = %s",
                (edge,),
            ).fetchone()
        try:
            given = base64.b64decode(signature or "", validate=True)
            if row is None:
                raise _unauthorised()
            Ed25519PublicKey.from_public_bytes(bytes(row[0])).verify(given, body)
        except (binascii.Error, ValueError, InvalidSignature):
            raise _unauthorised() from None
        if not edge_may(edge, Action.SUBMIT_BATCHES, revoked=row[2] is not None):
            raise _unauthorised()
        return frozenset(row[1] or ())

    def _validate(self, batch: Batch, counters: frozenset[str]) -> _Sorted:
        result = _Sorted()
        now = datetime.now(UTC)
        latest = now + timedelta(seconds=self._settings.clock_ahead_s)
        earliest = now - timedelta(days=self._settings.max_age_days)
        for entry in batch.entries:
            signal, reason = _read_signal(entry)
            if signal is not None:
                if signal.counter not in counters:
                    reason = "counter-not-enrolled"
                elif signal.window_end > latest:
                    reason = "clock-ahead"
                elif signal.window_start < earliest:
                    reason = "too-old"
            if signal is None or reason:
                result.aside.append((entry, reason))
            else:
                result.rows.append(signal_row(signal, edge_id=batch.edge, seq=entry.seq))
                result.starts.append(signal.window_start)
        return result

    def _create_partitions(self, starts: list[datetime]) -> None:
        for first in sorted(months_of(starts)):
            if first not in self._months:
                with self._database.transaction() as connection:
                    create_partition(connection, first)
                self._months.add(first)


def _read_signal(entry: Entry) -> tuple[Signal | None, str]:
    if entry.kind != "signal":
        return None, "unknown-kind"
    try:
        return Signal.model_validate_json(entry.canonical, strict=True), ""
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # Names of unknown keys come from outside: the reason keeps known names only.
        place = ".".join(str(part) for part in first["loc"] if part in Signal.model_fields)
        return None, f"bad-signal:{first['type']}:{place}"[:200]


def _commit(connection: Connection, batch: Batch, sorted_out: _Sorted) -> Receipt:
    row = connection.execute(
        "SELECT high_water FROM edges WHERE id = %s AND revoked_at IS NULL FOR UPDATE", (batch.edge,)
    ).fetchone()
    if row is None:
        raise _unauthorised()
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
    _compare_repeated(connection, batch.edge, repeated, high_water)
    fresh = [entry for entry in batch.entries if entry.seq > high_water]
    if not fresh:
        return Receipt(high_water, repeated=len(repeated))
    connection.execute(
        "INSERT INTO receipts (edge_id, seq, digest) SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[])",
        (batch.edge, [entry.seq for entry in fresh], [entry.digest for entry in fresh]),
    )
    seq_at = list(SIGNAL_COLUMNS).index("seq")
    rows = [values for values in sorted_out.rows if int(str(values[seq_at])) > high_water]
    aside = [(entry, reason) for entry, reason in sorted_out.aside if entry.seq > high_water]
    inserted = _insert(connection, rows)
    by_seq = {entry.seq: entry for entry in fresh}
    claimed = set(inserted)
    for values in rows:
        key = values[0], values[1]
        if key in claimed:
            claimed.remove(key)
        else:  # the primary key held it back: an edge sends one session twice under two numbers
            aside.append((by_seq[int(str(values[seq_at]))], "duplicate-signal"))
    for entry, reason in aside:
        connection.execute(
            "INSERT INTO quarantine (edge_id, seq, kind, reason, payload) VALUES (%s, %s, %s, %s, %s)",
            (
                batch.edge,
                entry.seq,
                entry.kind.encode("ascii", "backslashreplace").decode().replace("\0", ""),
                reason,
                entry.canonical.encode(),
            ),
        )
    high_water = fresh[-1].seq
    connection.execute(
        "UPDATE edges SET high_water = %s, last_received = now() WHERE id = %s", (high_water, batch.edge)
    )
    set_aside = tuple(
        Quarantined(entry.seq, reason) for entry, reason in sorted(aside, key=lambda item: item[0].seq)
    )
    return Receipt(high_water, set_aside, len(inserted), len(repeated))


def _compare_repeated(connection: Connection, edge: UUID, repeated: list[Entry], high_water: int) -> None:
    if not repeated:
        return
    known = {
        int(seq): bytes(digest)
        for seq, digest in connection.execute(
            "SELECT seq, digest FROM receipts WHERE edge_id = %s AND seq BETWEEN %s AND %s",
            (edge, repeated[0].seq, repeated[-1].seq),
        )
    }
    for entry in repeated:
        if known.get(entry.seq, entry.digest) != entry.digest:
            raise Refused(
                HTTPStatus.CONFLICT,
                "sequence-reused",
                f"entry {entry.seq} was committed with other content: the edge's outbox was restored "
                "or altered; "
                "enrol the edge again",
                high_water=high_water,
                seq=entry.seq,
            )


def _insert(connection: Connection, rows: list[tuple[object, ...]]) -> set[tuple[object, object]]:
    """Insert what is new and return the primary keys of those rows."""
    if not rows:
        return set()
    arrays = [list(column) for column in zip(*rows, strict=True)]
    return {(row[0], row[1]) for row in connection.execute(_STATEMENT, arrays)}


def _unauthorised() -> Refused:
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "not-authenticated",
        "the edge is unknown or revoked, or the signature does not fit the body: enrol the edge again",
    )
