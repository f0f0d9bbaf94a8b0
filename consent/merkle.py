"""The Merkle tree of a log: RFC 6962 hashes, RFC 9162 proofs, SHA-256.

Only complete subtrees are stored: a node never changes once it exists, and a tree of any
size is made of at most one of them a level. Proofs read O(log n) nodes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consent.errors import ProofRefused

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a log without entries."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry, 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Nodes(Protocol):
    """Where the hashes of complete subtrees are kept."""

    def node(self, level: int, index: int) -> bytes:
        """Return the hash over the entries `index << level` to `(index + 1) << level`.

        Raises:
            KeyError: That subtree is not complete, or not kept here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """The hash of one complete subtree of `2 ** level` entries."""

    level: int
    index: int
    hash: bytes


def appended(size: int, leaf: bytes, nodes: Nodes) -> tuple[Node, ...]:
    """Return every node that becomes complete when a leaf hash is appended to a tree of `size` entries.

    The leaf itself comes first, then its ancestors upwards.
    """
    level, index, found = 0, size, leaf
    made = [Node(level, index, found)]
    while index & 1:
        found = node_hash(nodes.node(level, index - 1), found)
        level, index = level + 1, index >> 1
        made.append(Node(level, index, found))
    return tuple(made)


def root(size: int, nodes: Nodes) -> bytes:
    """Return the root of the tree of the first `size` entries."""
    if size < 0:
        raise ValueError(f"a tree has no {size} entries")
    return _range_hash(0, size, nodes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Return the proof that entry `index` is in the tree of the first `size` entries, leaf's sibling first.

    Raises:
        ValueError: The tree has no such entry.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _left_width(stop - start)
        if index < middle:
            path.append(_range_hash(middle, stop, nodes))
            stop = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Return the proof that the tree of `new` entries begins with the tree of `old` entries.

    It is empty when `old` is 0 or equal to `new`.

    Raises:
        ValueError: `old` is negative or larger than `new`.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} entries does not extend one of {old}")
    if old == 0:
        return ()
    start, stop, path = 0, new, []
    while stop != old:
        middle = start + _left_width(stop - start)
        if old <= middle:
            path.append(_range_hash(middle, stop, nodes))
            stop = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start = middle
    if start:
        path.append(_range_hash(start, stop, nodes))
    return tuple(reversed(path))


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash stands at `index` in the tree of this size and root (RFC 9162, 2.1.3.2).

    Raises:
        ProofRefused: It does not, or the proof is not one of this tree.
    """
    _check_hashes([leaf, root, *proof])
    if not 0 <= index < size:
        raise ProofRefused(f"there is no entry {index} in a tree of {size}: ask for a newer checkpoint")
    found = leaf
    for sibling, on_the_left in _climb(index, size - 1, proof):
        found = node_hash(sibling, found) if on_the_left else node_hash(found, sibling)
    if not hmac.compare_digest(found, root):
        raise ProofRefused(f"the entry is not number {index} of the log with this root")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (new, new_root) begins with the tree (old, old_root) (RFC 9162, 2.1.4.2).

    Raises:
        ProofRefused: It does not: entries were changed or dropped, or the proof is of other trees.
    """
    _check_hashes([old_root, new_root, *proof])
    if not 0 <= old <= new:
        raise ProofRefused(f"a log of {new} entries cannot follow one of {old}: it was cut short")
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        empty = new > 0 or hmac.compare_digest(new_root, EMPTY_ROOT)
        if proof or not empty or not hmac.compare_digest(old_root, expected):
            raise ProofRefused(f"the roots at size {old} differ, or a proof came where none is due")
        return
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    rest = list(proof) if old & (old - 1) else [old_root, *proof]
    if not rest:
        raise ProofRefused("the consistency proof is empty")
    found_old = found_new = rest[0]
    for sibling, on_the_left in _climb(place, last, rest[1:]):
        if on_the_left:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
        else:
            found_new = node_hash(found_new, sibling)
    if not (hmac.compare_digest(found_old, old_root) and hmac.compare_digest(found_new, new_root)):
        raise ProofRefused(f"the log of {new} entries does not begin with the log of {old}")


class MemoryNodes:
    """A whole tree in memory, for checks and tests: 64 bytes an entry and what Python adds."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        """Start with these leaf hashes."""
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self._levels[0])

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; KeyError when there is none."""
        if 0 <= level < len(self._levels) and 0 <= index < len(self._levels[level]):
            return self._levels[level][index]
        raise KeyError((level, index))

    def append(self, leaf: bytes) -> tuple[Node, ...]:
        """Append a leaf hash; returns the nodes that became complete."""
        made = appended(self.size, leaf, self)
        for node in made:
            if node.level == len(self._levels):
                self._levels.append([])
            self._levels[node.level].append(node.hash)
        return made


class Frontier:
    """The right edge of a growing tree: enough for its root and for its next leaf, in O(log n) memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._edge: dict[int, Node] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the newest complete subtree of a level; KeyError for any other."""
        found = self._edge.get(level)
        if found is None or found.index != index:
            raise KeyError((level, index))
        return found.hash

    def append(self, leaf: bytes) -> tuple[Node, ...]:
        """Append a leaf hash; returns the nodes that became complete."""
        made = appended(self.size, leaf, self)
        for node in made:
            self._edge[node.level] = node
        self.size += 1
        return made

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        return root(self.size, self)


def _left_width(width: int) -> int:
    """Return the largest power of two below a width of two or more entries."""
    return 1 << ((width - 1).bit_length() - 1)


def _range_hash(start: int, stop: int, nodes: Nodes) -> bytes:
    """Hash the entries start to stop, a subtree: complete subtrees, joined from the right."""
    peaks = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        peaks.append(nodes.node(level, start >> level))
        start += 1 << level
    found = peaks.pop()
    while peaks:
        found = node_hash(peaks.pop(), found)
    return found


def _climb(place: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the siblings of a node on its way up, each with whether it stands on the left.

    Args:
        place: Index of the node in its level.
        last: Index of the last node of that level; 0 once the root is reached.
        proof: The siblings, lowest first.
    """
    for sibling in proof:
        if last == 0:
            raise ProofRefused("the proof is longer than its tree is high")
        on_the_left = bool(place & 1 or place == last)
        yield sibling, on_the_left
        while on_the_left and place and not place & 1:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRefused("the proof is shorter than its tree is high")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofRefused("a hash of a proof is not 32 bytes long")
