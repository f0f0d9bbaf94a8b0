"""Which keys a log may be signed with: the first, and those that a key before them endorsed in the log."""

from __future__ import annotations

from collections.abc import Collection

from consent.checkpoint import KeyHistory
from consent.entry import KeyIntroduced, KeyRetired
from consent.errors import CheckpointRefused
from consent.signed_note import SignatureLine
from consent.stored import with_key


def follow(
    history: KeyHistory, step: KeyIntroduced | KeyRetired, index: int, *, trusted: Collection[str]
) -> KeyHistory:
    """Return the keys after one entry of the log.

    Args:
        history: The keys before it.
        step: The entry.
        index: Where it stands in the log.
        trusted: Keys that need no endorsement: those that were enrolled, or that began the log.

    Raises:
        CheckpointRefused: The key is introduced by nobody, into the past, or in another log's name.
    """
    if isinstance(step, KeyRetired):
        return with_key(history, step)
    if any(period.vkey == step.vkey for period in history.periods):
        return history
    if step.vkey not in trusted:
        if step.from_size < index:
            raise CheckpointRefused(f"entry {index} introduces a key for sizes that are past")
        _check_endorsement(history, step, index)
    return with_key(history, step)


def _check_endorsement(history: KeyHistory, step: KeyIntroduced, index: int) -> None:
    if step.endorsement is None:
        raise CheckpointRefused(f"entry {index} introduces a key that no key before it endorses")
    line = SignatureLine.parse(step.endorsement)
    for key in history.verifiers(index):
        if key.made(line):
            key.check(step.endorsed(), line.signature)
            return
    raise CheckpointRefused(f"entry {index} introduces a key endorsed by one that does not sign this log")
