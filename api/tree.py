"""The nodes of the Merkle trees on PostgreSQL: the centre's own tree and one for each edge's log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from api.database import Connection
from consent.merkle import Node, appended

Place = tuple[int, int]
"""Level and index of a complete subtree."""

_CENTRAL_READ: Final = (
    "SELECT n.level, n.idx, n.hash FROM central_log_nodes n "
    "JOIN unnest(%s::smallint[], %s::bigint[]) AS p(level, idx) ON n.level = p.level AND n.idx = p.idx"
)
_EDGE_READ: Final = (
    "SELECT n.level, n.idx, n.hash FROM edge_log_nodes n "
    "JOIN unnest(%s::smallint[], %s::bigint[]) AS p(level, idx) ON n.level = p.level AND n.idx = p.idx "
    "WHERE n.edge_id = %s"
)
_CENTRAL_WRITE: Final = (
    "INSERT INTO central_log_nodes (level, idx, hash) "
    "SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])"
)
_EDGE_WRITE: Final = (
    "INSERT INTO edge_log_nodes (level, idx, hash, edge_id) "
    "SELECT *, %s::uuid FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])"
)


def peaks(size: int) -> tuple[Place, ...]:
    """Return the complete subtrees that a tree of this size is made of, the largest first."""
    return tuple(
        (level, (size >> level) - 1) for level in reversed(range(size.bit_length())) if size >> level & 1
    )


class StoredNodes:
    """The nodes of one tree, read from its table as they are asked for and then remembered.

    Nodes of complete subtrees never change, so what was read stays right as the tree grows.

    Args:
        connection: A connection inside a transaction.
        edge: The edge whose log it is; None for the centre's own.
    """

    def __init__(self, connection: Connection, edge: UUID | None = None) -> None:
        """Keep the connection; nothing is read."""
        self._connection = connection
        self._edge = edge
        self._known: dict[Place, bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; KeyError when it is not there."""
        if (level, index) not in self._known:
            self.fetch([(level, index)])
        return self._known[level, index]

    def fetch(self, places: Iterable[Place]) -> None:
        """Read several nodes in one question."""
        missing = [place for place in places if place not in self._known]
        if not missing:
            return
        levels, indices = [level for level, _ in missing], [index for _, index in missing]
        rows = (
            self._connection.execute(_CENTRAL_READ, (levels, indices))
            if self._edge is None
            else self._connection.execute(_EDGE_READ, (levels, indices, self._edge))
        )
        self._known |= {(row[0], row[1]): bytes(row[2]) for row in rows}

    def extend(self, size: int, leaves: Sequence[bytes]) -> tuple[Node, ...]:
        """Return every node that appending these leaf hashes completes, without writing them.

        Raises:
            KeyError: A node of the present tree is missing from the table.
        """
        self.fetch(peaks(size))
        made: list[Node] = []
        for offset, leaf in enumerate(leaves):
            new = appended(size + offset, leaf, self)
            self._known |= {(node.level, node.index): node.hash for node in new}
            made += new
        return tuple(made)

    def write(self, nodes: Sequence[Node]) -> None:
        """Store nodes that `extend` made."""
        columns = (
            [node.level for node in nodes],
            [node.index for node in nodes],
            [node.hash for node in nodes],
        )
        if self._edge is None:
            self._connection.execute(_CENTRAL_WRITE, columns)
        else:
            self._connection.execute(_EDGE_WRITE, (self._edge, *columns))
