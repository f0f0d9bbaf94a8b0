"""What outsiders may check of single entries of the centre's log: the entry, its path, the signed checkpoint.

Only kinds of entries that tell of figures, samples and imports are listed; no person is in them. What an
entry says is for those who may read the log, since released cells hold more than is printed; everybody else
gets its hash. An entry with its path and a checkpoint that was signed (and cosigned by witnesses) can be
checked anywhere, without this service.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from api.audit_proof import FORMAT
from api.central_log import CentralLog
from api.database import Connection, Database
from api.errors import LogDamaged
from api.log import Kind
from api.tree import StoredNodes
from api.witnesses import cosigned_note
from consent.checkpoint import peek
from consent.errors import ProofRefused
from consent.merkle import check_inclusion, inclusion_proof, leaf_hash
from consent.signed_note import encode

SHOWN_KINDS: Final = (
    Kind.INDEX_RELEASE,
    Kind.RELEASE,
    Kind.INDEX_FORMULA,
    Kind.CALIBRATION,
    Kind.SAMPLE_PLANNED,
    Kind.SAMPLE_DRAWN,
    Kind.BALLOT_IMPORT,
    Kind.BALLOT_IMPORT_WITHDRAWN,
    Kind.ORGANISATION_IMPORT,
    Kind.PRIVATE_RELEASE,
    Kind.COUNTER_ACTION,
)
_VALUES: Final = [kind.value for kind in SHOWN_KINDS]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list."""

    index: int
    kind: Kind
    at: datetime


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry with what proves it.

    Attributes:
        body: Its bytes, as they are hashed.
        path: Hashes from the leaf up to the root; None while no checkpoint covers the entry.
        size: Entries under the checkpoint.
        checkpoint: The signed note, with the cosignatures that are there.
    """

    entry: Entry
    body: bytes
    leaf_hash: bytes
    path: tuple[bytes, ...] | None
    size: int
    root: bytes
    checkpoint: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The members of the entry."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def document(self, *, whole: bool) -> bytes:
        """Return entry and proof as a file.

        Args:
            whole: With the entry itself; without it the hash of the entry is proven only.
        """
        told = {
            "format": FORMAT,
            "index": self.entry.index,
            "entry": self.body.decode() if whole else None,
            "leaf_hash": encode(self.leaf_hash),
            "path": None if self.path is None else [encode(value) for value in self.path],
            "checkpoint": self.checkpoint.decode(),
        }
        return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()


def entries_of(database: Database, place: str, months: Sequence[date]) -> tuple[int, ...]:
    """Return the entries that released what stands at or below a place in months, oldest first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT DISTINCT log_index FROM index_cells WHERE month = ANY(%s) "
            "AND path @> ARRAY[%s] ORDER BY 1",
            (list(months), place),
        ).fetchall()
    return tuple(int(row[0]) for row in rows)


def list_entries(
    connection: Connection,
    kinds: Sequence[Kind] = SHOWN_KINDS,
    *,
    before: int | None = None,
    limit: int = 100,
) -> tuple[Entry, ...]:
    """Return entries that may be shown, newest first.

    Args:
        connection: The connection to read on.
        kinds: Of these only; others than `SHOWN_KINDS` are passed over.
        before: Only entries with a smaller index.
        limit: Most of them.
    """
    rows = connection.execute(
        "SELECT idx, kind, at FROM central_log WHERE kind = ANY(%s) AND kind = ANY(%s) "
        "AND (%s::bigint IS NULL OR idx < %s) ORDER BY idx DESC LIMIT %s",
        (_VALUES, [kind.value for kind in kinds], before, before, limit),
    ).fetchall()
    return tuple(Entry(row[0], Kind(row[1]), row[2]) for row in rows)


def prove_entry(log: CentralLog, index: int) -> ProvenEntry | None:
    """Return an entry with its path to the newest checkpoint, already followed; None where none may be shown.

    Raises:
        LogDamaged: The path does not lead to the signed root: the log was altered.
    """
    note = cosigned_note(log)
    checkpoint = peek(note)
    with log.database.transaction() as connection:
        row = connection.execute(
            "SELECT idx, kind, at, body, leaf_hash FROM central_log WHERE idx = %s AND kind = ANY(%s)",
            (index, _VALUES),
        ).fetchone()
        if row is None:
            return None
        path = None
        if index < checkpoint.size:
            try:
                path = inclusion_proof(index, checkpoint.size, StoredNodes(connection))
            except KeyError as error:
                raise LogDamaged(f"node {error} of the centre's log is missing: restore the backup") from None
    entry = Entry(row[0], Kind(row[1]), row[2])
    found = ProvenEntry(entry, bytes(row[3]), bytes(row[4]), path, checkpoint.size, checkpoint.root, note)
    _follow(found)
    return found


def _follow(found: ProvenEntry) -> None:
    if found.path is None:
        return
    try:
        check_inclusion(leaf_hash(found.body), found.entry.index, found.size, found.path, found.root)
    except ProofRefused as error:
        raise LogDamaged(
            f"entry {found.entry.index} is not the one that was signed: {error}. "
            "Run 'hailong central verify-log'"
        ) from error
