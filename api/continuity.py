"""That nothing was altered since a day: proof that one state of the centre's log continues an older one.

The older state is best a checkpoint that was kept elsewhere: then nobody at the centre could have chosen it.
This module needs neither database nor centre, so that an auditor checks the same proof with the same code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.errors import ExportRefused
from consent.checkpoint import Checkpoint, open_note, peek, verifier
from consent.errors import CheckpointRefused, ProofRefused
from consent.merkle import check_consistency
from consent.signed_note import decode, encode

_FORMAT: Final = "hailong consistency proof 1"
_MEMBERS: Final = {"format", "old_size", "old_root", "old_checkpoint", "new_checkpoint", "proof"}


@dataclass(frozen=True, slots=True)
class Continuity:
    """Two states of the log, and the proof that the newer one begins with the older one.

    Attributes:
        old_note: The signed checkpoint of the older one; empty when none was kept.
        new_note: That of the newer one, with the cosignatures that are there.
    """

    old: Checkpoint
    old_note: bytes
    new: Checkpoint
    new_note: bytes
    proof: tuple[bytes, ...]

    @property
    def old_signed(self) -> bool:
        """Whether the older state is more than what the centre says today."""
        return bool(self.old_note)

    def check(self) -> None:
        """Follow the proof.

        Raises:
            ProofRefused: The newer state does not begin with the older one: entries were altered.
        """
        check_consistency(self.old.size, self.old.root, self.new.size, self.new.root, self.proof)

    def document(self) -> bytes:
        """Return the proof as a file."""
        told = {
            "format": _FORMAT,
            "old_size": self.old.size,
            "old_root": encode(self.old.root),
            "old_checkpoint": self.old_note.decode() or None,
            "new_checkpoint": self.new_note.decode(),
            "proof": [encode(value) for value in self.proof],
        }
        return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()


def check_continuity(data: bytes, vkeys: Sequence[str]) -> Continuity:
    """Read a proof from a file and check it under keys that are known from elsewhere.

    Raises:
        ExportRefused: The file is none, or tells of two logs.
        CheckpointRefused: A signature does not hold.
        ProofRefused: The newer state does not continue the older one.
    """
    try:
        told = _members(json.loads(data))
        new_note, old_note = str(told["new_checkpoint"]).encode(), (told["old_checkpoint"] or "").encode()
        new = peek(new_note)
        found = Continuity(
            Checkpoint(new.origin, int(told["old_size"]), decode(told["old_root"])),
            old_note,
            new,
            new_note,
            tuple(decode(value) for value in told["proof"]),
        )
    except (ValueError, TypeError, AttributeError, CheckpointRefused) as error:
        raise ExportRefused("this is no consistency proof of a log's page") from error
    keys = [verifier(vkey) for vkey in vkeys]
    open_note(new_note, keys)
    if old_note:
        old = open_note(old_note, keys).checkpoint
        if (old.origin, old.size, old.root) != (found.old.origin, found.old.size, found.old.root):
            raise ProofRefused("the older checkpoint is not the one that the proof begins with")
    found.check()
    return found


def _members(told: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON that is not believed yet
    if not isinstance(told, dict) or set(told) != _MEMBERS or told["format"] != _FORMAT:
        raise ValueError(_FORMAT)
    return told
