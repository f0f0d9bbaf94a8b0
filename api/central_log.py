"""The centre's log as a whole: keys, checkpoints, proofs, rotation, and the check of everything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from api.database import Connection, Database
from api.errors import KeysUnusable, LogDamaged
from api.key_history import follow
from api.leaf_file import FOLDER, LeafFile
from api.log import Kind, Leaf, append_all, log_size, writing
from api.log_keys import KeyFolder, vkeys
from api.log_recovery import compare_newest, continue_log, tell
from api.tree import StoredNodes
from consent.checkpoint import Checkpoint, KeyHistory, Signer, sign
from consent.entry import KeyIntroduced, KeyRetired, parse_entry
from consent.errors import CheckpointRefused, EntryRefused, LedgerError
from consent.head import Head, write_head
from consent.merkle import consistency_proof, inclusion_proof, leaf_hash, root

HEAD_NAME: Final = "central-log"
_KEY_KINDS: Final = [Kind.KEY_INTRODUCED.value, Kind.KEY_RETIRED.value]
_log: Final = structlog.get_logger("api.log")


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """One entry as it lies in the log."""

    index: int
    kind: str
    record_id: UUID | None
    at: datetime
    body: bytes
    leaf_hash: bytes


class CentralLog:
    """The log on one database, with its keys and its head in one folder. Threads may share it.

    Args:
        database: Where the log lies.
        folder: The data folder: `keys/`, the newest signed checkpoint and every leaf it covers, which the
            database cannot reach.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        """Keep both; nothing is opened."""
        self.database = database
        self.folder = folder
        self.keys_folder = KeyFolder(folder / "keys")
        self.leaves = LeafFile(folder / FOLDER)
        self._lock = threading.RLock()
        self._signers: tuple[Signer, ...] = ()
        self._origin = ""

    @property
    def origin(self) -> str:
        """The first line of its checkpoints and the name of its keys; opens the log."""
        self.open()
        return self._origin

    def open(self) -> None:
        """Make or read the keys, and compare the log with the newest checkpoint in the data folder; once.

        A log that is a true prefix of the one in the data folder, since its database was restored from a
        backup, is continued from the leaves that are kept there; all of that is one transaction.

        Raises:
            LogDamaged: The log does not reach that checkpoint: rows were removed or rewritten.
            KeysUnusable: The keys cannot be read, or are not the ones that the log names.
            DatabaseUnavailable: Ask again later.
        """
        with self._lock:
            if self._signers:
                return
            with self.database.transaction() as connection:
                writing(connection)
                origin = origin_of(connection)
                head = self._head()
                ours = head is None or head.checkpoint.origin == origin
                kept_tree = None if head is None else head.checkpoint
                recovered = continue_log(connection, self.leaves, kept_tree) if ours else None
                signers = self._matching_signers(connection, origin)
                kept = connection.execute("SELECT max(size) FROM central_checkpoints").fetchone()
                if head is None and kept is not None and kept[0] is not None:
                    raise LogDamaged(
                        f"the newest checkpoint is missing in {self.folder}, but the database knows one: "
                        "restore the folder from its backup"
                    )
                if head is not None:
                    self._check_head(connection, head, origin)
                    self._keep_row(connection, head.checkpoint, head.data)  # lost when a start was cut
                rebuilt = None if recovered is None else tell(connection, recovered)
            if recovered is not None:
                _log.warning("log recovered after a restore", **asdict(recovered), rebuilt=rebuilt)
            self._origin, self._signers = origin, signers

    def catch_up(self) -> None:
        """Continue the log after a restore, before anything else is written; one that was never signed waits.

        Raises:
            LogDamaged: As `open`.
            KeysUnusable: As `open`.
            DatabaseUnavailable: Ask again later.
        """
        if self.newest() is not None:
            self.open()

    def keys(self) -> KeyHistory:
        """Return the keys that signed and sign the log."""
        with self.database.transaction() as connection:
            return keys_of(connection)

    def size(self) -> int:
        """Return the number of entries."""
        with self.database.transaction() as connection:
            return log_size(connection)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the whole tree or of its first `size` entries."""
        with self.database.transaction() as connection:
            return _root(connection, _within(connection, size))

    def entries(self, start: int, stop: int) -> tuple[StoredLeaf, ...]:
        """Return the entries from `start` up to and without `stop`."""
        with self.database.transaction() as connection:
            return read_leaves(connection, start, stop)

    def of_record(self, record_id: UUID) -> tuple[StoredLeaf, ...]:
        """Return the entries about one consent, oldest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                f"{SELECT_LEAVES} WHERE record_id = %s ORDER BY idx",
                (record_id,),
            ).fetchall()
        return tuple(leaf_of(row) for row in rows)

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is in the tree of `size` (all) entries; ValueError outside of it."""
        with self.database.transaction() as connection:
            return inclusion_proof(index, _within(connection, size), StoredNodes(connection))

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` (all) entries begins with the tree of `old`."""
        with self.database.transaction() as connection:
            return consistency_proof(old, _within(connection, new), StoredNodes(connection))

    def newest(self) -> bytes | None:
        """Return the newest signed checkpoint of the data folder, None before the first."""
        head = self._head()
        return None if head is None else head.data

    def checkpoint(self) -> bytes:
        """Sign the present state of the log, keep it in the data folder and the database, and return it.

        A log that does not continue its newest checkpoint is never signed.

        Raises:
            LogDamaged: It does not: rows were removed or rewritten since.
            KeysUnusable: The keys are not the ones that the log names.
            DatabaseUnavailable: Ask again later.
        """
        with self._lock:
            self.open()
            with self.database.transaction() as connection:
                head = self._head()
                size = _size_of_both(connection)
                if head is not None:
                    self._check_head(connection, head, self._origin)
                self._keep_leaves(connection, size)
                if head is not None and head.checkpoint.size == size:
                    return head.data
                if not self._is_signed_by_us(connection, size):
                    self._signers = self._matching_signers(connection, self._origin)
                tree = Checkpoint(self._origin, size, _root(connection, size))
                note = sign(tree, self._signers)
                self._keep(connection, tree, note)
            return note

    def rotate_keys(self) -> KeyHistory:
        """Sign with new keys from now on; the old ones endorse them in the log and are retired in it.

        Checkpoints and proofs that the old keys signed stay valid: the log names the sizes of each key.

        Raises:
            LogDamaged: As `checkpoint`; a damaged log gets no new keys.
            KeysUnusable: The present keys are not at hand.
        """
        with self._lock:
            self.checkpoint()
            new = self.keys_folder.next_signers(self._origin)
            with self.database.transaction() as connection:
                first = writing(connection) + 1
                old = self._matching_signers(connection, self._origin)
                leaves = [self._introduction(signer, first, by=old[0]) for signer in new]
                leaves += [Leaf(Kind.KEY_RETIRED, {"vkey": vkey, "until_size": first}) for vkey in vkeys(old)]
                append_all(connection, leaves)
            self.keys_folder.put_next_in_place()
            self._signers = new
            self.checkpoint()
        _log.info("log key rotated", origin=self._origin, from_size=first)
        return self.keys()

    def _introduction(self, signer: Signer, from_size: int, *, by: Signer | None = None) -> Leaf:
        log_id = UUID(signer.name.rpartition("/")[2])
        step = KeyIntroduced(datetime.now(UTC), log_id, signer.vkey(), from_size)
        endorsement = None if by is None else by.line(step.endorsed()).rstrip("\n")
        body = {"at": step.at, "log": log_id, "vkey": step.vkey, "from_size": from_size}
        return Leaf(Kind.KEY_INTRODUCED, {**body, "endorsement": endorsement})

    def _matching_signers(self, connection: Connection, origin: str) -> tuple[Signer, ...]:
        """Return signers whose keys the log names, introducing the first ones, finishing a rotation."""
        wanted = keys_of(connection).verifiers(log_size(connection))
        if not wanted:
            signers = self.keys_folder.log_signers(origin)
            append_all(connection, [self._introduction(signer, 0) for signer in signers])
            return signers
        named = {key.vkey() for key in wanted}
        if self.keys_folder.has_next() and set(vkeys(self.keys_folder.next_signers(origin))) == named:
            self.keys_folder.put_next_in_place()
        signers = self.keys_folder.log_signers(origin) if self.keys_folder.has_keys() else ()
        if set(vkeys(signers)) != named:
            raise KeysUnusable(
                f"the keys in {self.keys_folder.path} are not the ones that the log names: restore the "
                "folder from the backup of the same service"
            )
        return signers

    def _is_signed_by_us(self, connection: Connection, size: int) -> bool:
        return {key.vkey() for key in keys_of(connection).verifiers(size)} == set(vkeys(self._signers))

    def _head(self) -> Head | None:
        try:
            return Head.read(self.folder / HEAD_NAME)
        except (LedgerError, OSError) as error:
            raise LogDamaged(str(error)) from error

    def _check_head(self, connection: Connection, head: Head, origin: str) -> None:
        kept = head.checkpoint
        size = log_size(connection)
        if kept.origin != origin:
            raise LogDamaged(
                f"the data folder {self.folder} belongs to the log {kept.origin}, the database to {origin}: "
                "give each database a log.data_dir of its own"
            )
        if kept.size > size:
            raise LogDamaged(
                f"the centre's log has {size} entries, but its newest checkpoint covers {kept.size}: it was "
                f"cut short. Nothing is signed. Put the leaves back into {self.leaves.folder} (that folder's "
                f"newest backup; {self.leaves.size()} are there) and start again, restore the newest backup "
                "of the database, or keep it for the privacy officer."
            )
        if _root(connection, kept.size) != kept.root:
            raise LogDamaged(
                f"the first {kept.size} entries of the centre's log are not the ones that were signed: they "
                "were rewritten. Nothing is signed. Keep the database for the privacy officer."
            )
        try:
            head.check_signed(keys_of(connection))
        except LedgerError as error:
            raise LogDamaged(f"the newest checkpoint in {self.folder} is not the log's: {error}") from error

    def _keep_leaves(self, connection: Connection, size: int) -> None:
        """Keep the leaves of a log of this size outside the database, before that size is signed."""

        def read(start: int, stop: int) -> list[bytes]:
            nodes = StoredNodes(connection)
            nodes.fetch([(0, index) for index in range(start, stop)])
            bodies = []
            for leaf in read_leaves(connection, start, stop):
                if leaf_hash(leaf.body) != _node_of(nodes, leaf.index):
                    raise LogDamaged(
                        f"entry {leaf.index} of the centre's log is not the one that its tree holds: it was "
                        "rewritten. Nothing is signed. Keep the database for the privacy officer."
                    )
                bodies.append(leaf.body)
            return bodies

        compare_newest(connection, self.leaves)
        self.leaves.extend(size, read)

    def _keep(self, connection: Connection, tree: Checkpoint, note: bytes) -> None:
        """Keep a checkpoint, first where the database cannot reach; older ones nobody cosigned may go."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_head(self.folder / HEAD_NAME, note)
        self._keep_row(connection, tree, note)
        connection.execute(
            "DELETE FROM central_checkpoints c WHERE size < %s AND made_at < now() - interval '1 hour' "
            "AND NOT EXISTS (SELECT 1 FROM cosignatures WHERE cosignatures.size = c.size)",
            (tree.size,),
        )

    @staticmethod
    def _keep_row(connection: Connection, tree: Checkpoint, note: bytes) -> None:
        connection.execute(
            "INSERT INTO central_checkpoints (size, root, note) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (tree.size, tree.root, note),
        )


SELECT_LEAVES: Final = "SELECT idx, kind, record_id, at, body, leaf_hash FROM central_log"


def read_leaves(connection: Connection, start: int, stop: int) -> tuple[StoredLeaf, ...]:
    """Return entries in order."""
    rows = connection.execute(
        f"{SELECT_LEAVES} WHERE idx >= %s AND idx < %s ORDER BY idx",
        (start, stop),
    ).fetchall()
    return tuple(leaf_of(row) for row in rows)


def origin_of(connection: Connection) -> str:
    """Return the origin that the first entry names.

    Raises:
        LogDamaged: There is no first entry, or it names no log.
    """
    first = read_leaves(connection, 0, 1)
    try:
        return f"hailong/centre/{UUID(json.loads(first[0].body)['log'])}"
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise LogDamaged(
            "the centre's log has lost its first entry, which names it: restore the newest backup"
        ) from error


def keys_of(connection: Connection) -> KeyHistory:
    """Return the keys that the log introduces and retires; empty before the first start of the service.

    Raises:
        LogDamaged: An entry about a key cannot be read, or a key is endorsed by none before it.
    """
    rows = connection.execute(f"{SELECT_LEAVES} WHERE kind = ANY(%s) ORDER BY idx", (_KEY_KINDS,))
    return history_of(leaf_of(row) for row in rows)


def history_of(leaves: Iterable[StoredLeaf]) -> KeyHistory:
    """Return the keys that entries about keys introduce and retire.

    Raises:
        LogDamaged: As `keys_of`.
    """
    history = KeyHistory(())
    began: int | None = None
    for leaf in leaves:
        step = _key_step(leaf)
        # The keys of the first start are introduced together, by nobody; every later one is endorsed.
        first = isinstance(step, KeyIntroduced) and step.from_size == 0
        began = leaf.index if first and began in {None, leaf.index - 1} else -1
        trusted = (step.vkey,) if began >= 0 else ()
        try:
            history = follow(history, step, leaf.index, trusted=trusted)
        except CheckpointRefused as error:
            raise LogDamaged(f"the keys of the centre's log do not follow each other: {error}") from error
    return history


def _key_step(leaf: StoredLeaf) -> KeyIntroduced | KeyRetired:
    try:
        step = parse_entry(leaf.body)
    except EntryRefused as error:
        raise LogDamaged(f"entry {leaf.index} of the centre's log cannot be read: {error}") from error
    if not isinstance(step, KeyIntroduced | KeyRetired):
        raise LogDamaged(f"entry {leaf.index} of the centre's log says another kind than its row")
    return step


def leaf_of(row: Sequence[Any]) -> StoredLeaf:
    """Return the entry of a row of SELECT_LEAVES."""
    return StoredLeaf(row[0], row[1], row[2], row[3], bytes(row[4]), bytes(row[5]))


def _size_of_both(connection: Connection) -> int:
    """Return the size that the entries and the tree agree on, in one look at both.

    Raises:
        LogDamaged: One of them is longer: rows were removed that no checkpoint covered yet.
    """
    row = connection.execute(
        "SELECT (SELECT coalesce(max(idx) + 1, 0) FROM central_log), "
        "(SELECT coalesce(max(idx) + 1, 0) FROM central_log_nodes WHERE level = 0)"
    ).fetchone()
    assert row is not None  # noqa: S101 - a question without a table gives one row
    if row[0] != row[1]:
        raise LogDamaged(
            f"the centre's log has {row[0]} entries, its tree {row[1]} leaves: it was cut short or added to. "
            "Nothing is signed. Keep the database for the privacy officer."
        )
    return int(row[0])


def _root(connection: Connection, size: int) -> bytes:
    try:
        return root(size, StoredNodes(connection))
    except KeyError as error:
        raise LogDamaged(f"node {error} of the centre's log is missing: restore the newest backup") from error


def _node_of(nodes: StoredNodes, index: int) -> bytes | None:
    try:
        return nodes.node(0, index)
    except KeyError:
        return None


def _within(connection: Connection, size: int | None) -> int:
    present = log_size(connection)
    if size is not None and not 0 <= size <= present:
        raise ValueError(f"the log has {present} entries, not {size}")
    return present if size is None else size
