"""Makes the proof that the centre's log was not altered since a day or since a checkpoint kept elsewhere."""

from __future__ import annotations

from datetime import date
from typing import Final

from api.central_log import CentralLog
from api.continuity import Continuity
from api.errors import LogDamaged
from api.schema import DAY_ZONE
from api.witnesses import cosigned_note
from consent.checkpoint import Checkpoint, peek
from consent.errors import CheckpointRefused, ProofRefused

_END_OF_DAY: Final = f"((%(day)s::date + 1)::timestamp AT TIME ZONE '{DAY_ZONE}')"


def since_checkpoint(log: CentralLog, note: bytes) -> Continuity:
    """Return the checked proof that the newest checkpoint continues one that somebody kept.

    Raises:
        CheckpointRefused: It is no checkpoint that this log's keys signed.
        ProofRefused: It is one, and the log does not continue it: entries were altered or removed.
        LogDamaged: The log has no checkpoint, or a node is missing.
    """
    opened = log.keys().open(note)
    old = opened.checkpoint
    if old.origin != log.origin:
        raise CheckpointRefused(f"the checkpoint is of the log {old.origin}, not of {log.origin}")
    return _proven(log, old, note)


def since_day(log: CentralLog, day: date) -> Continuity | None:
    """Return the checked proof that the newest checkpoint continues the log as it was at the end of a day.

    The newest checkpoint that was kept until then is taken, one with cosignatures before all others. Where
    none was kept, the older state is what the entries of that day give now, signed by nobody at that time.

    Returns:
        None when the log did not exist then.

    Raises:
        ProofRefused: Entries were altered or removed since.
        LogDamaged: The log has no checkpoint, or a node is missing.
    """
    with log.database.transaction() as connection:
        kept = connection.execute(
            "SELECT note FROM central_checkpoints c WHERE made_at < "  # noqa: S608 - a clause of this module
            f"{_END_OF_DAY} ORDER BY made_at::date DESC, "
            "EXISTS (SELECT 1 FROM cosignatures s WHERE s.size = c.size) DESC, size DESC LIMIT 1",
            {"day": day},
        ).fetchone()
        row = connection.execute(
            f"SELECT coalesce(max(idx) + 1, 0) FROM central_log WHERE at < {_END_OF_DAY}",  # noqa: S608 - as above
            {"day": day},
        ).fetchone()
    size = int(row[0]) if row is not None else 0
    if size == 0:
        return None
    if kept is not None:
        return since_checkpoint(log, bytes(kept[0]))
    return since_size(log, min(size, peek(cosigned_note(log)).size))  # a checkpoint may be a moment behind


def since_size(log: CentralLog, size: int) -> Continuity:
    """Return the checked proof from what the first entries are now: nobody signed that state then.

    Raises:
        ProofRefused: There are fewer entries.
        LogDamaged: The log has no checkpoint, or a node is missing.
    """
    return _proven(log, Checkpoint(log.origin, size, log.root(size)), b"")


def _proven(log: CentralLog, old: Checkpoint, note: bytes) -> Continuity:
    newest = cosigned_note(log)
    new = log.keys().open(newest).checkpoint
    if old.size > new.size:
        raise ProofRefused(
            f"that checkpoint covers {old.size} entries, the log has {new.size}: it was cut short"
        )
    try:
        proof = log.consistency_proof(old.size, new.size)
    except KeyError as error:
        raise LogDamaged(f"node {error} of the centre's log is missing: restore the newest backup") from error
    found = Continuity(old, note, new, newest, proof)
    found.check()
    return found
