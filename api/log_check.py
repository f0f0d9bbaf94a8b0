"""The check of the centre's whole log: every row, node and checkpoint, without believing any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from api.central_log import SELECT_LEAVES, CentralLog, StoredLeaf, history_of, leaf_of
from api.database import Connection
from api.errors import LogDamaged
from api.leaf_file import LeafFile
from api.log import Kind
from consent.checkpoint import KeyHistory, WitnessPolicy, peek
from consent.errors import CheckpointRefused, LedgerError
from consent.merkle import Frontier, Node, leaf_hash

_CHUNK: Final = 2048
_KEY_KINDS: Final = frozenset({Kind.KEY_INTRODUCED.value, Kind.KEY_RETIRED.value})


@dataclass(frozen=True, slots=True)
class LogVerification:
    """What the check found.

    Attributes:
        entries: Rows that were hashed.
        root: Root over them, hexadecimal.
        checkpoints: Kept checkpoints whose root and signatures hold.
        witnessed_size: Size of the newest checkpoint whose quorum holds; None when none does. Entries
            behind it could have been rewritten by whoever holds the centre's keys.
        broken_index: First entry that is wrong or missing; None when all is well.
        reason: What is wrong there; empty when all is well.
    """

    entries: int
    root: str
    checkpoints: int
    witnessed_size: int | None = None
    broken_index: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written, up to the newest checkpoint of the data folder."""
        return not self.reason


class _Wrong(Exception):  # noqa: N818 - carries a finding, and never leaves this module
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def verify(
    log: CentralLog, policy: WitnessPolicy | None = None, *, progress: Callable[[int], None] | None = None
) -> LogVerification:
    """Check the whole log from its bytes upwards.

    Args:
        log: The log; its data folder holds the newest checkpoint, which the database cannot alter.
        policy: Whose cosignatures count, with quorum; its log keys are not used. None looks at none.
        progress: Called with the entries checked so far.

    Raises:
        DatabaseUnavailable: Ask again later.
    """
    with log.database.transaction() as connection:
        # One picture of all tables: entries that are appended meanwhile are not looked at.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        checker = _Checker(connection, progress)
        try:
            checker.run(log.newest(), log.leaves)
        except LogDamaged as error:
            return checker.result(0, str(error))
        except _Wrong as wrong:
            return checker.result(wrong.index, str(wrong))
        if policy is not None:
            checker.find_witnessed(policy)
        return checker.result()


class _Checker:
    def __init__(self, connection: Connection, progress: Callable[[int], None] | None) -> None:
        self._connection = connection
        self._progress = progress
        self._tree = Frontier()
        self._nodes = 0
        self._key_leaves: list[StoredLeaf] = []
        self._checkpoints: list[tuple[int, bytes]] = []
        self._held = 0
        self._witnessed: int | None = None
        self._keys = KeyHistory(())
        self._kept: Iterator[bytes] = iter(())
        self._any_kept = False
        self._copies = 0

    def result(self, index: int | None = None, reason: str = "") -> LogVerification:
        tree = self._tree
        root = tree.root().hex() if tree.size else ""
        return LogVerification(tree.size, root, self._held, self._witnessed, index, reason)

    def run(self, head: bytes | None, leaves: LeafFile) -> None:
        self._kept, self._any_kept = leaves.read(), leaves.size() > 0
        roots = {
            row[0]: (bytes(row[1]), bytes(row[2]))
            for row in self._connection.execute("SELECT size, root, note FROM central_checkpoints")
        }
        if head is not None:
            kept = peek(head)
            if roots.get(kept.size, (kept.root, head)) != (kept.root, head):
                raise _Wrong(kept.size - 1, "the newest checkpoint differs from the one in the data folder")
            roots[kept.size] = kept.root, head
        for chunk in self._chunks():
            self._take(chunk, roots)
        if self._tree.size == 0:
            raise _Wrong(0, "the log is empty: not even its first entry is there")
        beyond = [size for size in roots if size > self._tree.size]
        if beyond:
            raise _Wrong(self._tree.size, f"a checkpoint covers {max(beyond)} entries: the log was cut short")
        if head is not None and self._any_kept and self._copies < peek(head).size:
            raise _Wrong(self._copies, f"only {self._copies} leaves are kept outside the database")
        surplus = self._connection.execute("SELECT count(*) FROM central_log_nodes").fetchone()
        if surplus is not None and surplus[0] != self._nodes:
            raise _Wrong(self._tree.size, f"{surplus[0]} nodes are stored, {self._nodes} belong to the tree")
        self._check_notes(roots)

    def find_witnessed(self, policy: WitnessPolicy) -> None:
        lines: dict[int, list[str]] = {}
        for size, line in self._connection.execute("SELECT size, line FROM cosignatures"):
            lines.setdefault(size, []).append(line)
        mine = WitnessPolicy(self._keys, policy.witnesses, policy.quorum)
        for size, note in sorted(self._checkpoints, reverse=True):
            held = note + "".join(sorted(lines.get(size, []))).encode()
            try:
                found = mine.check(held)
            except CheckpointRefused:
                continue
            if found.witnessed and found.witnesses:
                self._witnessed = size
                return

    def _chunks(self) -> Iterator[Sequence[StoredLeaf]]:
        with self._connection.cursor("verification") as cursor:
            cursor.execute(f"{SELECT_LEAVES} ORDER BY idx")
            while rows := cursor.fetchmany(_CHUNK):
                yield [leaf_of(row) for row in rows]

    def _take(self, chunk: Sequence[StoredLeaf], roots: dict[int, tuple[bytes, bytes]]) -> None:
        made: list[Node] = []
        for leaf in chunk:
            size = self._tree.size
            if leaf.index != size:
                raise _Wrong(size, f"entry {size} is missing or there twice")
            _check_leaf(leaf)
            copy = next(self._kept, None)
            if copy is not None and copy != leaf.body:
                raise _Wrong(size, f"entry {size} is not the one that is kept outside the database")
            self._copies += copy is not None
            if leaf.kind in _KEY_KINDS:
                self._key_leaves.append(leaf)
            made += self._tree.append(leaf.leaf_hash)
            kept = roots.get(size + 1)
            if kept is not None and kept[0] != self._tree.root():
                raise _Wrong(
                    size, f"the entries up to {size} are not the ones that checkpoint {size + 1} signs"
                )
        self._compare(made)
        self._nodes += len(made)
        if self._progress is not None:
            self._progress(self._tree.size)

    def _compare(self, made: Sequence[Node]) -> None:
        rows = self._connection.execute(
            "SELECT n.level, n.idx, n.hash FROM central_log_nodes n "
            "JOIN unnest(%s::smallint[], %s::bigint[]) AS p(level, idx) "
            "ON n.level = p.level AND n.idx = p.idx",
            ([node.level for node in made], [node.index for node in made]),
        )
        kept = {(row[0], row[1]): bytes(row[2]) for row in rows}
        for node in made:
            if kept.get((node.level, node.index)) != node.hash:
                raise _Wrong(
                    (node.index + 1 << node.level) - 1,
                    f"node {node.level}/{node.index} is missing or is not the hash of its entries",
                )

    def _check_notes(self, roots: dict[int, tuple[bytes, bytes]]) -> None:
        self._keys = history_of(self._key_leaves)
        for size, (root, note) in sorted(roots.items()):
            try:
                opened = self._keys.open(note)
            except (CheckpointRefused, LedgerError) as error:
                raise _Wrong(
                    size - 1, f"the checkpoint of size {size} is not signed by the log: {error}"
                ) from error
            if (opened.checkpoint.size, opened.checkpoint.root) != (size, root):
                raise _Wrong(size - 1, f"the checkpoint of size {size} says something else than its row")
            if len(opened.signatures) != len(self._keys.verifiers(size)):
                raise _Wrong(size - 1, f"the checkpoint of size {size} lacks the signature of a key")
            self._checkpoints.append((size, note))
            self._held += 1


def _check_leaf(leaf: StoredLeaf) -> None:
    if leaf_hash(leaf.body) != leaf.leaf_hash:
        raise _Wrong(leaf.index, f"entry {leaf.index}: the hash does not cover the stored bytes")
    try:
        document = json.loads(leaf.body)
    except ValueError:
        raise _Wrong(leaf.index, f"entry {leaf.index}: the stored bytes are no JSON") from None
    said = document if isinstance(document, dict) else {}
    if said.get("kind") != leaf.kind:
        raise _Wrong(leaf.index, f"entry {leaf.index}: the kind differs from the stored bytes")
    if said.get("record_id") != (None if leaf.record_id is None else str(leaf.record_id)):
        raise _Wrong(leaf.index, f"entry {leaf.index}: the record differs from the stored bytes")
    if leaf.index and datetime.fromisoformat(str(said.get("at"))) != leaf.at:
        raise _Wrong(leaf.index, f"entry {leaf.index}: the time differs from the stored bytes")
