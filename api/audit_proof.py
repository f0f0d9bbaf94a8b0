"""One entry of the centre's log, checked from a downloaded file: its bytes, its path, the signed checkpoint.

Observers get the file on the page of an entry. This module needs neither database nor centre: everything is
worked out from the file and from keys that were handed over apart.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.errors import ExportRefused
from consent.checkpoint import WitnessedCheckpoint, WitnessPolicy, open_note, verifier
from consent.errors import CheckpointRefused, ProofRefused
from consent.merkle import check_inclusion, leaf_hash
from consent.signed_note import decode

FORMAT: Final = "hailong inclusion proof 1"
_MEMBERS: Final = frozenset({"format", "index", "entry", "leaf_hash", "path", "checkpoint"})
_MOST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """An entry that stands in a log whose checkpoint was signed.

    Attributes:
        entry: Its bytes; None where the file proves its hash only.
        told: What the entry says; empty without it.
    """

    index: int
    leaf_hash: bytes
    entry: bytes | None
    told: dict[str, Any]
    witnessed: WitnessedCheckpoint


def check_entry(
    data: bytes, vkeys: Sequence[str], witnesses: Sequence[str] = (), *, quorum: int = 1
) -> CheckedEntry:
    """Check a downloaded proof of one entry.

    Args:
        data: The file.
        vkeys: Keys of the centre's log from elsewhere; one of them must have signed.
        witnesses: Keys of witnesses; with any, `quorum` of them must have cosigned.
        quorum: How many.

    Raises:
        ExportRefused: The file is none, or the entry was not below a checkpoint yet when it was fetched.
        CheckpointRefused: A key is none, no signature of yours is there, or too few witnesses cosigned.
        ProofRefused: The entry is not the one in the signed log.
    """
    index, entry, leaf, path, note = _read(data)
    log = tuple(signature.by for signature in open_note(note, map(verifier, vkeys)).signatures)
    policy = WitnessPolicy(log, tuple(map(verifier, witnesses)), max(1, quorum))
    found = policy.require(note) if witnesses else policy.check(note)
    if path is None:
        raise ExportRefused(
            f"entry {index} was not below a signed checkpoint yet: download it again after the next one"
        )
    if entry is not None and not hmac.compare_digest(leaf_hash(entry), leaf):
        raise ProofRefused("the entry in the file has another hash than the one that is proven")
    check_inclusion(leaf, index, found.checkpoint.size, path, found.checkpoint.root)
    return CheckedEntry(index, leaf, entry, {} if entry is None else json.loads(entry), found)


def _read(data: bytes) -> tuple[int, bytes | None, bytes, tuple[bytes, ...] | None, bytes]:
    """Return index, entry, its hash, path and note as the file has them, nothing of it believed yet."""
    try:
        told = _members(data)
        entry, path = told["entry"], told["path"]
        return (
            told["index"],
            None if entry is None else entry.encode(),
            decode(told["leaf_hash"]),
            None if path is None else tuple(decode(value) for value in path),
            told["checkpoint"].encode(),
        )
    except (ValueError, TypeError, AttributeError, RecursionError, CheckpointRefused) as error:
        raise ExportRefused(
            "this is no proof of an entry: take the file that the entry's page offers"
        ) from error


def _members(data: bytes) -> dict[str, Any]:
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{len(data)} bytes")
    told = json.loads(data)
    if not isinstance(told, dict) or set(told) != _MEMBERS or told["format"] != FORMAT:
        raise ValueError(FORMAT)
    if type(told["index"]) is not int:
        raise TypeError("the index is no number")
    return told
