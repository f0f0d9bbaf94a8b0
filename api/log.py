"""The centre's log: an RFC 6962 tree on PostgreSQL, written in the transaction of what it tells.

Whatever is worth a leaf (an access, an erasure, an edge's checkpoint) is appended on the connection
that does it: either both are committed or neither. One advisory lock makes one writer; it is taken by
the first `append` and held until the caller's transaction ends, so append last and commit soon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import psycopg
import rfc8785

from api.database import Connection
from api.errors import LogDamaged
from api.tree import StoredNodes
from consent.merkle import leaf_hash

SCHEMA_VERSION: Final = 1
_WRITER_LOCK: Final = 0x6C_6F_67_77
_INSERT: Final = (
    "INSERT INTO central_log (idx, leaf_hash, kind, record_id, at, body) SELECT * FROM "
    "unnest(%s::bigint[], %s::bytea[], %s::text[], %s::uuid[], %s::timestamptz[], %s::bytea[])"
)


class Kind(StrEnum):
    """What an entry of the centre's log tells."""

    GENESIS = "genesis"
    EDGE_CHECKPOINT = "edge-checkpoint"
    EDGE_FORKED = "edge-forked"
    ACCESS = "access"
    RELEASE = "release"
    ERASURE_STARTED = "erasure-started"
    ERASURE_DONE = "erasure-done"
    RETENTION_RUN = "retention-run"
    WITHDRAWAL_REQUESTED = "withdrawal-requested"
    REQUEST = "request"
    BREACH = "breach"
    KEY_INTRODUCED = "key-introduced"
    KEY_RETIRED = "key-retired"
    ACCOUNT = "account"
    EXPORT = "export"
    INDEX_FORMULA = "index-formula"
    CALIBRATION = "calibration"
    INDEX_RELEASE = "index-release"
    LOG_RECOVERED = "log-recovered"
    PRIVATE_RELEASE = "private-release"
    ORGANISATION_IMPORT = "organisation-import"
    SAMPLE_PLANNED = "sample-planned"
    SAMPLE_DRAWN = "sample-drawn"
    BALLOT_IMPORT = "ballot-import"
    BALLOT_IMPORT_WITHDRAWN = "ballot-import-withdrawn"
    COUNTER_ACTION = "counter-action"
    ALERT_ACKNOWLEDGED = "alert-acknowledged"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry that is about to be appended; ids and times in `body` may be given as such."""

    kind: str
    body: Mapping[str, object]
    record_id: UUID | None = None

    def canonical(self, at: datetime) -> bytes:
        """Return the bytes that are stored and hashed; a time of the body's own wins over `at`.

        Raises:
            ValueError: The kind is none of this log, or the body speaks of another kind or record.
        """
        document: dict[str, object] = {"at": at, "schema_version": SCHEMA_VERSION, **self.body}
        fixed: dict[str, object] = {"kind": Kind(self.kind).value}
        if self.record_id is not None:
            fixed["record_id"] = str(self.record_id)
        for name, value in fixed.items():
            if str(document.setdefault(name, value)) != value:
                raise ValueError(f"the body of this {self.kind} entry has a {name} of its own: leave it out")
        return rfc8785.dumps(_plain(document))


def append(
    connection: Connection, kind: str, body: Mapping[str, object], *, record_id: UUID | None = None
) -> int:
    """Append one entry in the caller's transaction.

    Args:
        connection: Inside the transaction of what the entry tells.
        kind: A value of `Kind`.
        body: Members of the entry; kind, at, record_id and schema_version are added.
        record_id: The consent the entry is about.

    Returns:
        The entry's index.

    Raises:
        LogDamaged: The log's tables do not fit together; nothing can be appended.
        ValueError: The kind is unknown or the body is no plain JSON.
    """
    return append_all(connection, (Leaf(kind, body, record_id),))


def append_all(connection: Connection, leaves: Sequence[Leaf]) -> int:
    """Append several entries in the caller's transaction and return the index of the first.

    Raises:
        LogDamaged: As `append`.
        ValueError: As `append`; also without any entry.
    """
    if not leaves:
        raise ValueError("there is no entry to append")
    size = writing(connection)
    at = datetime.now(UTC)
    append_bodies(connection, size, [leaf.canonical(at) for leaf in leaves])
    return size


def append_bodies(connection: Connection, size: int, bodies: Sequence[bytes]) -> None:
    """Append leaves exactly as they are given, for the log's one writer.

    Raises:
        LogDamaged: As `append`.
        ValueError: One of them is no leaf of this log.
    """
    documents = [json.loads(body) for body in bodies]
    kinds = [Kind(said["kind"]).value for said in documents]
    hashes = [leaf_hash(body) for body in bodies]
    nodes = StoredNodes(connection)
    try:
        made = nodes.extend(size, hashes)
        connection.execute(
            _INSERT,
            (
                list(range(size, size + len(bodies))),
                hashes,
                kinds,
                [said.get("record_id") for said in documents],
                [said["at"] for said in documents],
                list(bodies),
            ),
        )
        nodes.write(made)
    except (KeyError, psycopg.errors.UniqueViolation) as error:
        raise LogDamaged(
            f"the tables of the centre's log do not fit together at entry {size}: rows were removed or added "
            "behind it. Run 'hailong central verify-log' and keep the database for the privacy officer."
        ) from error


def writing(connection: Connection) -> int:
    """Become the log's one writer until the transaction ends, and return its size.

    Raises:
        LogDamaged: The log is empty; it never is, since the migration makes its first entry.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITER_LOCK,))
    size = log_size(connection)
    if size == 0:
        raise LogDamaged(
            "the centre's log has lost its first entry: nothing can be written. Keep the database as it is "
            "for the privacy officer and restore the newest backup."
        )
    return size


def log_size(connection: Connection) -> int:
    """Return the number of entries."""
    row = connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM central_log").fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return int(row[0])


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON values
    """Return a value as plain JSON: ids and times as text, everything else as it is."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, frozenset, set)):
        items = [_plain(item) for item in value]
        return items if isinstance(value, (list, tuple)) else sorted(items, key=str)
    return value
