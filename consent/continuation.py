"""Continuing a log whose file came back from an old backup, with entries that were kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence

from consent import merkle
from consent.checkpoint import Verifier, open_note
from consent.entry import parse_entry
from consent.errors import CheckpointRefused
from consent.log import Log


def continue_with(log: Log, first: int, bodies: Sequence[bytes], note: bytes, key: Verifier) -> int:
    """Append the entries that a checkpoint of this very log covers, all of them or none.

    Whoever kept them is not believed: each must be an entry in its canonical form, and together with what
    the log has they must have the root that the log's own key signed.

    Args:
        log: The log; it must not have grown since its size was `first`.
        first: Index of the first of the entries.
        bodies: Each leaf exactly as it was hashed.
        note: The checkpoint of `first + len(bodies)`.
        key: The key of this edge.

    Returns:
        How many entries were appended.

    Raises:
        EntryRefused: One of them is no entry of a log.
        CheckpointRefused: The checkpoint is not this log's, not signed by `key`, or covers another history.
        LedgerUnavailable: The log cannot be written now.
    """
    tree = open_note(note, [key]).checkpoint
    if (tree.origin, tree.size) != (log.origin, first + len(bodies)):
        raise CheckpointRefused(
            f"the checkpoint is of {tree.origin} at size {tree.size}, not of {log.origin} at "
            f"{first + len(bodies)}: ask again, and look for another data folder of this edge"
        )
    entries = [parse_entry(body) for body in bodies]
    with log.writing() as writing:
        if writing.size != first:
            raise CheckpointRefused(
                f"the log grew to {writing.size} entries before those from {first} on were fetched: it is "
                "not a beginning of the signed one any more"
            )
        for body, entry in zip(bodies, entries, strict=True):
            writing.append(
                str(json.loads(body)["kind"]),
                body,
                record_id=getattr(entry, "record_id", None),
                session_id=getattr(entry, "session_id", None),
            )
        if merkle.root(writing.size, writing) != tree.root:
            raise CheckpointRefused(
                f"the first {first} entries here are not the ones that this edge signed: the log is another"
            )
    return len(bodies)
