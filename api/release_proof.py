"""What proves printed figures: the log's entries that released their months, and the checkpoint over them.

A reader takes an entry's hash and the tiles of `/log/tile`, and follows the path to the checkpoint's root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from api.central_log import CentralLog
from api.database import Connection


@dataclass(frozen=True, slots=True)
class ReleaseEntry:
    """An entry of kind `index-release`."""

    index: int
    month: date
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class ReleaseProof:
    """Entries, and the newest signed checkpoint; None where the service has signed none yet."""

    entries: tuple[ReleaseEntry, ...]
    checkpoint: str | None


def release_proof(connection: Connection, log: CentralLog, months: Sequence[date]) -> ReleaseProof:
    """Return what proves the figures of months."""
    rows = connection.execute(
        "SELECT DISTINCT l.idx, c.month, l.leaf_hash FROM index_cells c "
        "JOIN central_log l ON l.idx = c.log_index WHERE c.month = ANY(%s) ORDER BY l.idx",
        (list(months),),
    ).fetchall()
    note = log.newest()
    return ReleaseProof(
        tuple(ReleaseEntry(row[0], row[1], bytes(row[2])) for row in rows),
        None if note is None else note.decode("utf-8"),
    )
