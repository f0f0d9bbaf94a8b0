"""A log in memory that signs checkpoints, and can be rewritten by an insider who holds its key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.checkpoint import Checkpoint, Ed25519Signer, Verifier, sign, verifier
from consent.merkle import MemoryNodes, consistency_proof, leaf_hash, root
from consent.tiles import write_folder
from consent.witness import request_cosignature

ORIGIN: Final = "hailong/edge/0190b5a0-0000-7000-8000-000000000001"


def key_of(name: str) -> Ed25519PrivateKey:
    """Return the same key for the same name."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


class SmallLog:
    """Entries, tree and key of one log."""

    def __init__(self, entries: Sequence[bytes] = (), *, origin: str = ORIGIN, key: str = "log") -> None:
        self.entries = list(entries)
        self.origin = origin
        self.signer = Ed25519Signer(origin, key_of(key))

    @classmethod
    def of(cls, count: int, *, origin: str = ORIGIN) -> SmallLog:
        return cls([f'{{"entry":{index}}}'.encode() for index in range(count)], origin=origin)

    @property
    def nodes(self) -> MemoryNodes:
        return MemoryNodes(map(leaf_hash, self.entries))

    @property
    def size(self) -> int:
        return len(self.entries)

    def verifier(self) -> Verifier:
        return verifier(self.signer.vkey())

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        at = self.size if size is None else size
        return Checkpoint(self.origin, at, root(at, self.nodes))

    def note(self, size: int | None = None) -> bytes:
        return sign(self.checkpoint(size), [self.signer])

    def request(self, old: int, size: int | None = None) -> bytes:
        """Return what this log sends to a witness that knows it at size `old`."""
        at = self.size if size is None else size
        return request_cosignature(old, consistency_proof(old, at, self.nodes), self.note(at))

    def rewritten(self, index: int, entry: bytes) -> SmallLog:
        """Return the log with one entry changed, signed by the same key."""
        forged = SmallLog(self.entries, origin=self.origin)
        forged.signer = self.signer
        forged.entries[index] = entry
        return forged

    def read(self) -> Callable[[int, int], Sequence[bytes]]:
        return lambda start, stop: self.entries[start:stop]

    def write(self, folder: Path, note: bytes | None = None) -> Path:
        """Export the log, under another note when one is given."""
        write_folder(folder, note or self.note(), self.size, self.nodes, self.read())
        return folder
