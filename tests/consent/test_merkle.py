from __future__ import annotations

import random
from typing import Final

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import ProofRefused
from consent.merkle import (
    EMPTY_ROOT,
    Frontier,
    MemoryNodes,
    Nodes,
    appended,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
)

# The entries, roots and proofs that RFC 6962 implementations compare themselves by.
_ENTRIES: Final = tuple(
    map(
        bytes.fromhex,
        (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ),
    )
)
_ROOTS: Final = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
_INCLUSION: Final = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
_CONSISTENCY: Final = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
_MOST: Final = 300


class _Counted:
    """Counts the nodes that are read."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.reads = 0

    def node(self, level: int, index: int) -> bytes:
        self.reads += 1
        return self._nodes.node(level, index)


def _leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(index).encode()) for index in range(count)]


def _defined_root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 6962, 2.1 defines it."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_defined_root(leaves[:split]), _defined_root(leaves[split:]))


_ALL: Final = MemoryNodes(_leaves(_MOST))


def test_roots_are_those_everybody_computes() -> None:
    nodes = MemoryNodes(map(leaf_hash, _ENTRIES))
    assert [root(size, nodes).hex() for size in range(9)] == list(_ROOTS)


@pytest.mark.parametrize(("index", "size"), _INCLUSION)
def test_inclusion_proofs_are_those_everybody_computes(index: int, size: int) -> None:
    nodes = MemoryNodes(map(leaf_hash, _ENTRIES))
    proof = tuple(map(bytes.fromhex, _INCLUSION[index, size]))
    assert inclusion_proof(index, size, nodes) == proof
    check_inclusion(leaf_hash(_ENTRIES[index]), index, size, proof, bytes.fromhex(_ROOTS[size]))


@pytest.mark.parametrize(("old", "new"), _CONSISTENCY)
def test_consistency_proofs_are_those_everybody_computes(old: int, new: int) -> None:
    nodes = MemoryNodes(map(leaf_hash, _ENTRIES))
    proof = tuple(map(bytes.fromhex, _CONSISTENCY[old, new]))
    assert consistency_proof(old, new, nodes) == proof
    check_consistency(old, bytes.fromhex(_ROOTS[old]), new, bytes.fromhex(_ROOTS[new]), proof)


def test_every_small_tree_has_the_root_of_the_definition_and_all_its_proofs_hold() -> None:
    leaves = _leaves(40)
    roots = [root(size, _ALL) for size in range(41)]
    assert roots == [_defined_root(leaves[:size]) for size in range(41)]
    for size in range(1, 41):
        for index in range(size):
            check_inclusion(leaves[index], index, size, inclusion_proof(index, size, _ALL), roots[size])
        for old in range(size + 1):
            check_consistency(old, roots[old], size, roots[size], consistency_proof(old, size, _ALL))


def test_pymerkle_computes_the_same_roots_and_inclusion_proofs() -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for index in range(70):
        oracle.append_entry(str(index).encode())
        size = index + 1
        assert oracle.get_root(size) == root(size, _ALL)
        for place in range(0, size, 7):
            path = oracle.prove_inclusion(place + 1, size).serialize()["path"]
            expected = [leaf_hash(str(place).encode()), *inclusion_proof(place, size, _ALL)]
            assert path == [value.hex() for value in expected]


@given(data=st.data(), size=st.integers(1, _MOST))
def test_an_altered_proof_never_holds(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, top = _ALL.node(0, index), root(size, _ALL)
    proof = inclusion_proof(index, size, _ALL)
    check_inclusion(leaf, index, size, proof, top)
    attempts = [
        (leaf_hash(b"another"), index, size, proof, top),
        (leaf, index, size, (*proof, leaf), top),
        (leaf, index, size, proof, leaf_hash(b"another")),
        (leaf, index + size, size, proof, top),
    ]
    other = data.draw(st.integers(0, size - 1).filter(lambda place: place != index or size == 1))
    attempts += [(leaf, other, size, proof, top)] if other != index else []
    if proof:
        place, bit = data.draw(st.integers(0, len(proof) * 32 - 1)), data.draw(st.integers(0, 7))
        altered = [bytearray(value) for value in proof]
        altered[place // 32][place % 32] ^= 1 << bit
        attempts += [
            (leaf, index, size, tuple(map(bytes, altered)), top),
            (leaf, index, size, proof[:-1], top),
            (leaf, index, size, proof[1:], top),
        ]
    for attempt in attempts:
        with pytest.raises(ProofRefused):
            check_inclusion(*attempt)


@given(data=st.data(), new=st.integers(1, _MOST))
def test_a_log_that_changed_or_dropped_an_entry_is_not_consistent(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new))
    changed = data.draw(st.integers(0, old - 1))
    leaves = _leaves(new)
    old_root, new_root = root(old, _ALL), root(new, _ALL)
    check_consistency(old, old_root, new, new_root, consistency_proof(old, new, _ALL))
    rewritten = [*leaves]
    rewritten[changed] = leaf_hash(b"rewritten")
    for forged in (rewritten, leaves[:changed] + leaves[changed + 1 :] + [leaf_hash(b"new")]):
        if forged == leaves:
            continue
        nodes = MemoryNodes(forged)
        with pytest.raises(ProofRefused):
            check_consistency(old, old_root, new, root(new, nodes), consistency_proof(old, new, nodes))


@given(data=st.data(), new=st.integers(2, _MOST))
def test_an_altered_consistency_proof_never_holds(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    old_root, new_root = root(old, _ALL), root(new, _ALL)
    proof = consistency_proof(old, new, _ALL)
    place, bit = data.draw(st.integers(0, len(proof) * 32 - 1)), data.draw(st.integers(0, 7))
    altered = [bytearray(value) for value in proof]
    altered[place // 32][place % 32] ^= 1 << bit
    for attempt in (tuple(map(bytes, altered)), proof[:-1], proof[1:], (*proof, proof[0]), ()):
        with pytest.raises(ProofRefused):
            check_consistency(old, old_root, new, new_root, attempt)
    with pytest.raises(ProofRefused):
        check_consistency(new, new_root, old, old_root, proof)


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "proof"),
    [
        (0, leaf_hash(b"x"), 5, leaf_hash(b"y"), ()),
        (0, EMPTY_ROOT, 5, leaf_hash(b"y"), (leaf_hash(b"z"),)),
        (0, EMPTY_ROOT, 0, leaf_hash(b"y"), ()),
        (3, leaf_hash(b"x"), 3, leaf_hash(b"y"), ()),
        (3, leaf_hash(b"x"), 3, leaf_hash(b"x"), (leaf_hash(b"x"),)),
        (-1, EMPTY_ROOT, 3, leaf_hash(b"x"), ()),
        (3, b"short", 3, b"short", ()),
    ],
)
def test_edges_of_consistency_are_refused(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: tuple[bytes, ...]
) -> None:
    with pytest.raises(ProofRefused):
        check_consistency(old, old_root, new, new_root, proof)


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = _ALL.node(0, 0), _ALL.node(0, 1)
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_there_is_no_proof_of_an_entry_that_is_not_there(index: int) -> None:
    with pytest.raises(ValueError, match="has no entry"):
        inclusion_proof(index, 3, _ALL)


def test_there_is_no_proof_that_a_log_shrank() -> None:
    with pytest.raises(ValueError, match="does not extend"):
        consistency_proof(4, 3, _ALL)


def test_the_frontier_knows_every_root_and_little_else(seed: int) -> None:
    frontier = Frontier()
    for size in range(1, _MOST + 1):
        frontier.append(_ALL.node(0, size - 1))
        assert frontier.root() == root(size, _ALL)
    assert len(frontier._edge) <= _MOST.bit_length()
    with pytest.raises(KeyError):
        frontier.node(0, seed % (_MOST - 1))


def test_appended_gives_each_complete_node_once() -> None:
    made = [node for index, leaf in enumerate(_leaves(64)) for node in appended(index, leaf, _ALL)]
    assert len(made) == len({(node.level, node.index) for node in made}) == 127
    assert all(_ALL.node(node.level, node.index) == node.hash for node in made)


def test_proofs_read_a_few_nodes_a_level(seed: int) -> None:
    size = 100_003
    counted = _Counted(MemoryNodes(_leaves(size)))
    levels = size.bit_length()
    chance = random.Random(seed)  # noqa: S311 - a fixed seed on purpose
    for _ in range(200):
        index = chance.randrange(size)
        counted.reads = 0
        inclusion_proof(index, size, counted)
        assert counted.reads <= 2 * levels
        counted.reads = 0
        consistency_proof(index + 1, size, counted)
        assert counted.reads <= 2 * levels
