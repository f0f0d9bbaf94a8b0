"""Opening a log: what must hold before anything is read from it or written to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from uuid import UUID, uuid4

from consent import storage
from consent.checkpoint import KeyHistory, Signer
from consent.entry import Genesis, KeyIntroduced, body_of
from consent.errors import LedgerCorrupt, LedgerUnavailable
from consent.head import Head, head_path
from consent.stored import Writing, keys_of, log_id_of, origin_of, read_entries, size_of, tree_of

Signers: TypeAlias = Sequence[Signer] | Callable[[str], Sequence[Signer]]
"""Who signs: the signers, or how to make them for an origin (a new log has none yet)."""

_SETTING_UP = "kind IN ('genesis', 'key-introduced')"


def signers_for(origin: str, signers: Signers) -> tuple[Signer, ...]:
    """Return the signers of the log of this origin."""
    return tuple(signers(origin) if callable(signers) else signers)


def open_tables(
    connection: sqlite3.Connection, path: Path, signers: Signers, now: Callable[[], datetime]
) -> tuple[UUID, tuple[Signer, ...]]:
    """Make the log where there has never been one; check it against its head and its keys.

    Returns:
        The log's id and its signers; a log that nothing has signed yet takes up the keys given here.

    Raises:
        LedgerCorrupt: It was cut short, rewritten, swapped or damaged, or is of an older format.
        LedgerUnavailable: Other keys sign it.
    """
    head = Head.read(path)
    with storage.immediate(connection):
        fresh = not storage.tables(connection, path)
        if fresh and head is not None:
            raise LedgerCorrupt(
                f"{path} is empty or new, but its head file knows {head.checkpoint.size} entries: the log "
                "was removed or cut short. Restore it from a backup, or keep both files for the privacy "
                "officer and start with a new data folder. It is never started again at zero silently."
            )
        if fresh:
            storage.create(connection)
            genesis = Genesis(log=uuid4())
            Writing(connection).append(genesis.kind, body_of(genesis))
        log_id = log_id_of(connection)
        _check_head(connection, path, head, log_id)
        mine = signers_for(origin_of(log_id), signers)
        keys = keys_of(connection)
        if keys.periods:
            _check_signers(path, mine, keys, size_of(connection))
        else:
            writing = Writing(connection)
            for signer in mine:
                introduce(writing, signer, log_id, 0, now())
    return log_id, mine


def introduce(
    writing: Writing, signer: Signer, log_id: UUID, from_size: int, at: datetime, *, by: Signer | None = None
) -> None:
    """Log a key that signs from a size on, endorsed by the key before it."""
    entry = KeyIntroduced(at=at, log=log_id, vkey=signer.vkey(), from_size=from_size)
    if by is not None:
        entry = replace(entry, endorsement=by.line(entry.endorsed()).rstrip("\n"))
    writing.append(entry.kind, body_of(entry))


def _check_head(connection: sqlite3.Connection, path: Path, head: Head | None, log_id: UUID) -> None:
    size = size_of(connection)
    read_entries(connection, "idx = ?", size - 1)  # the newest entry is whole
    if head is None:
        if connection.execute(f"SELECT 1 FROM entries WHERE NOT {_SETTING_UP} LIMIT 1").fetchone():  # noqa: S608 - a clause of this file
            raise LedgerCorrupt(
                f"{head_path(path)} is missing, but the log holds {size} entries. Restore the head file from "
                "the backup of the same data folder."
            )
        return
    kept = head.checkpoint
    if kept.size > size or tree_of(connection, log_id, kept.size) != kept:
        raise LedgerCorrupt(
            f"{path} does not reach the head kept in {head_path(path)}: it was cut short, rewritten or "
            "swapped. Restore both from one backup, or keep them for the privacy officer and start with a "
            "new data folder."
        )
    (first_key,) = connection.execute("SELECT min(idx) FROM entries WHERE kind = 'key-introduced'").fetchone()
    if first_key is not None and kept.size > first_key:
        head.check_signed(keys_of(connection))


def _check_signers(path: Path, mine: Sequence[Signer], keys: KeyHistory, size: int) -> None:
    """Refuse another key than the log's: its checkpoints would convince nobody."""
    wanted = {key.vkey() for key in keys.verifiers(size)}
    if mine and {signer.vkey() for signer in mine} != wanted:
        raise LedgerUnavailable(
            f"the consent log {path} is signed by {', '.join(sorted(wanted))}, which is not the key of this "
            "edge. Restore the key file from the backup of the same data folder, or start with a new data "
            "folder."
        )
