"""After a restore: the centre's log is continued from the leaves that are kept outside the database.

The restored log is a true prefix of the signed one, or nothing is touched: the kept leaves are appended as
they were, byte for byte, and the root at the size of the newest signed checkpoint is compared before
anything is committed. What can be told from them is put back into its tables (`api.rebuilding`) in the same
transaction, and an entry `log-recovered` says that it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from api.database import Connection
from api.errors import LogDamaged
from api.leaf_file import LeafFile
from api.log import Kind, append, append_bodies, log_size
from api.rebuilding import rebuild
from api.tree import StoredNodes
from consent.checkpoint import Checkpoint
from consent.merkle import leaf_hash, root

_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was appended again.

    Attributes:
        from_size: Entries that the restored database had.
        size: Entries after the kept leaves were appended.
        signed_size: How many of them the newest checkpoint of the data folder covers.
    """

    from_size: int
    size: int
    signed_size: int


def continue_log(connection: Connection, leaves: LeafFile, kept: Checkpoint | None) -> Recovered | None:
    """Append the kept leaves that the database lacks, in the caller's transaction; None when it lacks none.

    Call as the log's one writer. A log that is shorter than the checkpoint and cannot be continued is left
    as it is: whoever compares the two refuses it.

    Args:
        connection: Inside a transaction that is rolled back when this, or what follows, raises.
        leaves: The leaves outside the database.
        kept: The newest signed checkpoint outside the database.

    Raises:
        LogDamaged: The kept leaves are damaged, or the database's log is not their beginning.
    """
    size, upto = log_size(connection), leaves.size()
    if upto <= size:
        return None
    if kept is None or kept.size > upto:
        covered = "is missing" if kept is None else f"covers {kept.size}"
        raise LogDamaged(
            f"the centre's log has {size} entries, {leaves.folder} keeps {upto} leaves, and the newest "
            f"signed checkpoint beside them {covered}: they are not of one time. Nothing is signed. Restore "
            "the whole data folder of the log from its newest backup."
        )
    nodes = StoredNodes(connection)
    (newest,) = leaves.read(size - 1, size)
    if leaf_hash(newest) != _node(nodes, size - 1):
        raise LogDamaged(_not_the_beginning(size, leaves))
    at = size
    missing = leaves.read(size, upto)
    while bodies := tuple(islice(missing, _AT_ONCE)):
        try:
            append_bodies(connection, at, bodies)
        except (ValueError, KeyError, TypeError) as error:
            raise LogDamaged(
                f"a leaf behind entry {at} in {leaves.folder} is no entry of this log. Nothing is signed. "
                "Restore that folder from its own newest backup."
            ) from error
        at += len(bodies)
    if root(kept.size, StoredNodes(connection)) != kept.root:
        raise LogDamaged(_not_the_beginning(size, leaves))
    return Recovered(size, upto, kept.size)


def tell(connection: Connection, found: Recovered) -> dict[str, int]:
    """Put back what the appended leaves tell, write `log-recovered`, and return what was put back."""
    rebuilt = rebuild(connection, found.from_size, found.size)
    body = {
        "from_size": found.from_size,
        "size": found.size,
        "signed_size": found.signed_size,
        "leaves": found.size - found.from_size,
        "rebuilt": rebuilt,
    }
    append(connection, Kind.LOG_RECOVERED, body)
    return rebuilt


def compare_newest(connection: Connection, leaves: LeafFile) -> None:
    """Compare the newest kept leaf with the tree, before more are kept.

    Raises:
        LogDamaged: The leaves are of another log, or there are more of them than entries.
    """
    have = leaves.size()
    if not have:
        return
    size = log_size(connection)
    if have > size:
        raise LogDamaged(
            f"the centre's log has {size} entries, but {have} leaves were kept of it: it was cut short while "
            "the service ran. Nothing is signed. Restart the service: a restored database is continued "
            "from the kept leaves then."
        )
    if leaf_hash(leaves.last()) != _node(StoredNodes(connection), have - 1):
        raise LogDamaged(
            f"the leaves in {leaves.folder} are not those of the centre's log. Nothing is signed. Run "
            "'hailong central verify-log': where the database is whole, move that folder away and it is "
            "written anew; otherwise keep both for the privacy officer."
        )


def _node(nodes: StoredNodes, index: int) -> bytes:
    try:
        return nodes.node(0, index)
    except KeyError as error:
        raise LogDamaged(f"node {error} of the centre's log is missing: restore the newest backup") from error


def _not_the_beginning(size: int, leaves: LeafFile) -> str:
    return (
        f"the {size} entries of the centre's log are not the beginning of the ones that were signed and kept "
        f"in {leaves.folder}: one of them was rewritten. Nothing was appended and nothing is signed. Restore "
        "another backup of the database, or keep both for the privacy officer."
    )
