"""Evidence of one consent: each of its entries, with the proof that the log holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from consent import merkle
from consent.log import Log


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """One entry of the log, with its proof.

    Attributes:
        index: Its place in the log.
        kind: What it is.
        leaf: The exact bytes.
        proof: Inclusion proof in the tree of the evidence.
    """

    index: int
    kind: str
    leaf: bytes
    proof: tuple[bytes, ...]

    @property
    def leaf_hash(self) -> bytes:
        """The hash that the proof starts from."""
        return merkle.leaf_hash(self.leaf)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Every entry of one record and the signed state of the log they are proven in.

    Attributes:
        size: Entries of the log at that state.
        root: Its root.
        checkpoint: The signed note of it; None where nothing signs the log.
    """

    record_id: UUID
    origin: str
    size: int
    root: bytes
    checkpoint: bytes | None
    entries: tuple[ProvenEntry, ...]

    def check(self) -> None:
        """Check every proof against the root.

        Raises:
            ProofRefused: One does not hold.
        """
        for item in self.entries:
            merkle.check_inclusion(item.leaf_hash, item.index, self.size, item.proof, self.root)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values: hashes in hexadecimal, leaves as text, so that they can be hashed."""
        return {
            "record_id": str(self.record_id),
            "origin": self.origin,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoint": None if self.checkpoint is None else self.checkpoint.decode(),
            "entries": [
                {
                    "index": item.index,
                    "kind": item.kind,
                    "leaf": item.leaf.decode(),
                    "leaf_hash": item.leaf_hash.hex(),
                    "proof": [value.hex() for value in item.proof],
                }
                for item in self.entries
            ],
        }

    def canonical(self) -> bytes:
        """Return the document as JSON with sorted names."""
        return json.dumps(self.document(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def evidence_of(log: Log, record_id: UUID) -> Evidence:
    """Return the evidence of a record; empty where the log does not know it."""
    size = log.size
    entries = tuple(
        ProvenEntry(item.index, item.kind, item.body, log.inclusion_proof(item.index, size))
        for item in log.of_record(record_id)
        if item.index < size
    )
    return Evidence(
        record_id=record_id,
        origin=log.origin,
        size=size,
        root=log.root(size),
        checkpoint=log.checkpoint(size) if log.signed else None,
        entries=entries,
    )
