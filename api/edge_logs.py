"""The logs of the edges at the centre: every entry kept as it was hashed, every root computed anew.

An edge sends its log in parts, each with a checkpoint it signed. The centre adds the entries to the tree
it already has: only a log that continues the one it knows reaches the signed root. One that does not is a
fork: the evidence is kept, nothing is accepted. The edge's checkpoint becomes a leaf of the centre's own log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, NoReturn
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from api import erasure
from api.authorization import Action, edge_may
from api.database import Connection, Database
from api.errors import LogDamaged, Refused
from api.key_history import follow
from api.log import Kind, append
from api.projection import Projected, project
from api.settings import LogSettings
from api.tree import StoredNodes
from api.withdrawals import restore_requests
from consent.checkpoint import ED25519, Checkpoint, KeyHistory, KeyPeriod, open_note, peek, verifier
from consent.entry import Entry, Genesis, KeyIntroduced, KeyRetired, parse_entry
from consent.errors import CheckpointRefused, EntryRefused
from consent.merkle import EMPTY_ROOT, leaf_hash, root
from consent.signed_note import SignatureLine, Vkey

LARGEST_ENTRY_BYTES: Final = 65_535
"""Longer entries would not fit the bundles of an exported log."""
LARGEST_NOTE_BYTES: Final = 16 * 1024
MOST_FORKS: Final = 100
"""Kept of one edge: one that misbehaves without end does not fill the disk."""
_LARGEST_INDEX: Final = 2**53
_ENVELOPE: Final = {"edge", "first_index", "entries", "checkpoint", "keys"}
_AT_ONCE: Final = frozenset(
    (
        "genesis",
        "withdrawn",
        "invalidated",
        "erasure-started",
        "erasure-done",
        "key-introduced",
        "key-retired",
    )
)
"""Kinds whose checkpoint is folded in without waiting."""
_INSERT: Final = (
    "INSERT INTO edge_log_entries (edge_id, idx, leaf_hash, kind, record_id, body) SELECT %s::uuid, * "
    "FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::uuid[], %s::bytea[])"
)
_log: Final = structlog.get_logger("api.edge_logs")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an edge's log as it came, not yet believed."""

    edge: UUID
    first_index: int
    entries: tuple[bytes, ...]
    checkpoint: bytes
    keys: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size of the log after this part."""
        return self.first_index + len(self.entries)


@dataclass(frozen=True, slots=True)
class PendingWithdrawal:
    """A withdrawal asked for at the centre that the edge's log does not show yet."""

    record_id: UUID
    requested_at: datetime
    method: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer: how much of the log is committed, and what the edge is to withdraw.

    Attributes:
        added: Entries that are new.
        folded: Index of the edge's checkpoint in the centre's log, None when it was not its turn.
    """

    size: int
    withdrawals: tuple[PendingWithdrawal, ...]
    added: int = 0
    anomalies: int = 0
    folded: int | None = None


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who sent a part; `next_key` is the key that signed it, where the enrolled `key` endorses it there."""

    edge: UUID
    key: bytes
    counters: frozenset[str]
    next_key: bytes | None = None

    def vkey(self, origin: str) -> str:
        return str(Vkey(origin, ED25519, self.key))


@dataclass(frozen=True, slots=True)
class _Known:
    """The log of an edge as it is kept; `edge` is the one with which it began."""

    edge: UUID
    origin: str
    size: int
    note: bytes
    folded_size: int
    folded_at: datetime | None
    keys: KeyHistory


@dataclass(frozen=True, slots=True)
class _Read:
    """One entry with what its row needs."""

    body: bytes
    hash: bytes
    kind: str
    entry: Entry

    @property
    def record_id(self) -> UUID | None:
        return getattr(self.entry, "record_id", None)


class _Forked(Exception):  # noqa: N818 - named for what happened, and never leaves this module
    def __init__(self, edge: UUID, kept: bytes, reason: str) -> None:
        super().__init__(reason)
        self.edge = edge
        self.kept = kept
        self.reason = reason


def parse_part(body: bytes, *, max_entries: int) -> Part:
    """Read the envelope.

    Raises:
        Refused: 400 when it is not JSON, 422 when the envelope is wrong; messages carry no content.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "not-json", "the body is not JSON in UTF-8: check the sender's version"
        ) from None
    if not isinstance(document, dict) or set(document) != _ENVELOPE:
        _bad("a part of a log is an object with exactly edge, first_index, entries, checkpoint and keys")
    first, entries = document["first_index"], document["entries"]
    checkpoint, keys = document["checkpoint"], document["keys"]
    try:
        edge = UUID(document["edge"])
    except (ValueError, TypeError, AttributeError):
        _bad("edge is a UUID")
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first <= _LARGEST_INDEX:
        _bad("first_index is a whole number from 0")
    if not isinstance(entries, list) or len(entries) > max_entries:
        _bad(f"entries is a list of at most {max_entries} entries: send smaller parts")
    if not isinstance(keys, list) or len(keys) > 8 or not all(isinstance(key, str) for key in keys):  # noqa: PLR2004 - two kinds of key, old and new, twice over
        _bad("keys is a list of at most 8 keys as C2SP text")
    try:
        bodies = tuple(entry.encode() for entry in entries)
        note = checkpoint.encode()
    except (AttributeError, UnicodeEncodeError):
        _bad("an entry and a checkpoint are texts in UTF-8")
    if len(note) > LARGEST_NOTE_BYTES or any(len(text) > LARGEST_ENTRY_BYTES for text in bodies):
        _bad(f"an entry has at most {LARGEST_ENTRY_BYTES} bytes, a checkpoint {LARGEST_NOTE_BYTES}")
    return Part(edge, first, bodies, note, tuple(keys))


class EdgeLogs:
    """Takes parts of the edges' logs and commits them.

    Args:
        database: Where they go.
        settings: Limits, and how often checkpoints are folded in.
    """

    def __init__(self, database: Database, settings: LogSettings) -> None:
        """Keep the database and the limits."""
        self._database = database
        self._settings = settings

    def accept(self, body: bytes, signature: str | None) -> Taken:
        """Verify and commit one part of an edge's log.

        Raises:
            Refused: Nothing was committed but, for a fork, its evidence; the problem says why.
            LogDamaged: What the centre keeps of this log does not fit together.
            DatabaseUnavailable: Nothing is acknowledged; send it again later.
        """
        part = parse_part(body, max_entries=self._settings.max_entries)
        with self._database.transaction() as connection:
            sender = _authenticate(connection, part, body, signature)
        entries = _read_entries(part)
        try:
            with self._database.transaction() as connection:
                return self._take(connection, part, entries, sender)
        except _Forked as fork:
            self._keep_evidence(fork, part, body)
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-forked",
                f"the log does not continue the one that is kept here ({fork.reason}); nothing was taken. "
                "The privacy officer is told; keep the edge's data folder as it is.",
            ) from None
        except KeyError as error:
            raise LogDamaged(
                f"node {error} of the log of edge {part.edge} is missing here: restore the newest backup"
            ) from error

    def _take(self, connection: Connection, part: Part, entries: Sequence[_Read], sender: _Sender) -> Taken:
        known = _lock(connection, part.edge) or _begin(connection, part, entries, sender)
        if known is None:
            return Taken(0, ())
        if part.first_index > known.size:
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-behind",
                f"entries {known.size} to {part.first_index - 1} are missing: send again from {known.size}",
                size=known.size,
            )
        fresh = entries[known.size - part.first_index :]
        tree, keys, refused_keys = _check_signature(part, known, fresh, sender)
        _check_repeated(connection, known, part.first_index, entries[: known.size - part.first_index])
        nodes = StoredNodes(connection, known.edge)
        made = nodes.extend(known.size, [entry.hash for entry in fresh])
        if root(tree.size, nodes) != tree.root:
            raise _Forked(known.edge, known.note, f"another root at size {tree.size}")
        _check_folded(connection, known, tree, nodes)
        connection.execute(
            "UPDATE edge_logs SET last_contact = clock_timestamp() WHERE edge_id = %s", (known.edge,)
        )
        projected = Projected(anomalies=refused_keys)
        if fresh:
            self._store(connection, known, fresh, tree, part.checkpoint)
            nodes.write(made)
            _write_keys(connection, known.edge, keys)
            numbered = [(known.size + place, entry.entry) for place, entry in enumerate(fresh)]
            told = project(connection, known.edge, numbered, counters=sender.counters)
            projected = Projected(told.erasing, refused_keys + told.anomalies)
            offered = [item.record_id for item in fresh if item.kind == "offered" and item.record_id]
            if offered:  # asked for before the database was restored
                restore_requests(connection, offered)
            _act_upon(connection, known.edge, projected)
            if sender.next_key is not None:
                _take_key(connection, sender, tree, keys)
        pending = _pending(connection, known.edge)
        folded = self._fold(connection, known, fresh, tree, part.checkpoint)
        return Taken(max(known.size, tree.size), pending, len(fresh), len(projected.anomalies), folded)

    def _store(
        self, connection: Connection, known: _Known, fresh: Sequence[_Read], tree: Checkpoint, note: bytes
    ) -> None:
        connection.execute(
            _INSERT,
            (
                known.edge,
                list(range(known.size, tree.size)),
                [entry.hash for entry in fresh],
                [entry.kind for entry in fresh],
                [entry.record_id for entry in fresh],
                [entry.body for entry in fresh],
            ),
        )
        connection.execute(
            "UPDATE edge_logs SET size = %s, root = %s, note = %s WHERE edge_id = %s",
            (tree.size, tree.root, note, known.edge),
        )

    def _fold(
        self, connection: Connection, known: _Known, fresh: Sequence[_Read], tree: Checkpoint, note: bytes
    ) -> int | None:
        """Append the edge's checkpoint to the centre's log, when it is its turn; last in the transaction."""
        if tree.size <= known.folded_size or tree.size < known.size:
            return None
        wait = timedelta(seconds=self._settings.fold_s)
        at_once = any(entry.kind in _AT_ONCE for entry in fresh)
        if not at_once and known.folded_at is not None and datetime.now(UTC) - known.folded_at < wait:
            return None
        body = {
            "edge": known.edge,
            "origin": tree.origin,
            "size": tree.size,
            "root": tree.root.hex(),
            "note": note.decode(),
        }
        index = append(connection, Kind.EDGE_CHECKPOINT, body)
        connection.execute(
            "INSERT INTO edge_checkpoints (edge_id, size, note, central_index) VALUES (%s, %s, %s, %s)",
            (known.edge, tree.size, note, index),
        )
        connection.execute(
            "UPDATE edge_logs SET folded_size = %s, folded_index = %s, folded_at = clock_timestamp() "
            "WHERE edge_id = %s",
            (tree.size, index, known.edge),
        )
        return index

    def _keep_evidence(self, fork: _Forked, part: Part, body: bytes) -> None:
        """Keep both notes and what was sent, once; the alarm stays on the edge's log."""
        with self._database.transaction() as connection:
            kept = connection.execute(
                "INSERT INTO edge_log_forks (edge_id, size, reason, kept_note, sent_note, sent_body, "
                "evidence_sha256) SELECT %s, %s, %s, %s, %s, %s, %s "
                "WHERE (SELECT count(*) FROM edge_log_forks WHERE edge_id = %s) < %s "
                "ON CONFLICT DO NOTHING RETURNING number",
                (
                    *(fork.edge, part.size, fork.reason, fork.kept, part.checkpoint, body),
                    *(hashlib.sha256(part.checkpoint).digest(), fork.edge, MOST_FORKS),
                ),
            ).fetchone()
            if kept is None:
                return
            connection.execute(
                "UPDATE edge_logs SET forked_at = coalesce(forked_at, clock_timestamp()) WHERE edge_id = %s",
                (fork.edge,),
            )
            append(
                connection,
                Kind.EDGE_FORKED,
                {
                    "edge": fork.edge,
                    "size": part.size,
                    "reason": fork.reason,
                    "kept": fork.kept.decode(),
                    "sent": part.checkpoint.decode(),
                },
            )
        _log.error("an edge's log forked", edge=str(fork.edge), size=part.size, reason=fork.reason)


def _authenticate(connection: Connection, part: Part, body: bytes, signature: str | None) -> _Sender:
    """Check who signed the body: the enrolled key, or the one it endorses in this very part."""
    edge = part.edge
    row = connection.execute(
        "SELECT public_key, (SELECT array_agg(code) FROM counters WHERE edge_id = edges.id), "
        "revoked_at IS NOT NULL FROM edges WHERE id = %s",
        (edge,),
    ).fetchone()
    try:
        given = base64.b64decode(signature or "", validate=True)
        if row is None:
            raise _unauthorised()
        enrolled = bytes(row[0])
        signed_by = next(
            (key for key in (enrolled, *_endorsed(part, enrolled)) if _signed(key, given, body)), None
        )
    except (binascii.Error, ValueError):
        raise _unauthorised() from None
    if signed_by is None:
        raise _unauthorised()
    if not edge_may(edge, Action.SUBMIT_LOG, revoked=bool(row[2])):
        raise _unauthorised()
    counters = frozenset(row[1] or ())
    return _Sender(edge, enrolled, counters, None if signed_by == enrolled else signed_by)


def _signed(key: bytes, signature: bytes, body: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _endorsed(part: Part, enrolled: bytes) -> Iterator[bytes]:
    """Yield the keys that this part introduces, each endorsed by the one before it."""
    present = enrolled
    for body in part.entries:
        if b'"key-introduced"' not in body:
            continue
        try:
            step = parse_entry(body)
            if not isinstance(step, KeyIntroduced) or step.endorsement is None:
                continue
            origin = f"hailong/edge/{step.log}"
            by = verifier(str(Vkey(origin, ED25519, present)))
            line, key = SignatureLine.parse(step.endorsement), Vkey.parse(step.vkey)
            if not by.made(line) or (key.name, key.kind) != (origin, ED25519):
                continue
            by.check(step.endorsed(), line.signature)
        except (EntryRefused, CheckpointRefused):
            continue
        present = key.public
        yield present


def _read_entries(part: Part) -> tuple[_Read, ...]:
    found = []
    for place, body in enumerate(part.entries):
        try:
            entry = parse_entry(body)
        except EntryRefused:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "bad-entry",
                f"entry {part.first_index + place} is of no kind that is known here, or not in its canonical "
                "form: update the centre before its edges, or check the edge's log",
                index=part.first_index + place,
            ) from None
        found.append(_Read(body, leaf_hash(body), str(json.loads(body)["kind"]), entry))
    return tuple(found)


_KNOWN: Final = "SELECT edge_id, origin, size, note, folded_size, folded_at FROM edge_logs"


def _lock(connection: Connection, sender: UUID) -> _Known | None:
    """Return the log that this edge sends, locked until the transaction ends."""
    row = connection.execute(f"{_KNOWN} WHERE sender_id = %s FOR UPDATE", (sender,)).fetchone()
    return None if row is None else _known(connection, row)


def _known(connection: Connection, row: Sequence[Any]) -> _Known:
    edge, origin, size, note, folded_size, folded_at = row
    keys = connection.execute(
        "SELECT vkey, from_size, until_size FROM edge_log_keys WHERE edge_id = %s ORDER BY from_size, vkey",
        (edge,),
    )
    history = KeyHistory(tuple(KeyPeriod(*period) for period in keys))
    return _Known(edge, origin, size, bytes(note), folded_size, folded_at, history)


def _begin(connection: Connection, part: Part, entries: Sequence[_Read], sender: _Sender) -> _Known | None:
    """Begin to keep a log, or hand one over to the edge that was enrolled in place of the one before.

    Returns:
        The log; None for a question about a log of which nothing has come yet.
    """
    origin = _peek(part).origin
    row = connection.execute(
        "SELECT edge_id, size, (SELECT revoked_at IS NOT NULL FROM edges WHERE id = sender_id) OR NOT EXISTS "
        "(SELECT 1 FROM counters WHERE counters.edge_id = sender_id) FROM edge_logs WHERE origin = %s "
        "FOR UPDATE OF edge_logs",
        (origin,),
    ).fetchone()
    if row is not None:
        owner, size, free = row
        if not free:
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-of-another-edge",
                "another enrolled edge sends this log: revoke that edge first, or give this one a new data "
                "folder",
            )
        connection.execute("UPDATE edge_logs SET sender_id = %s WHERE edge_id = %s", (sender.edge, owner))
        # The log may stay the same while the device has a new key: who enrolled it vouches for it.
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (owner, sender.vkey(origin), size),
        )
        return _lock(connection, sender.edge)
    if part.first_index > 0:
        raise Refused(
            HTTPStatus.CONFLICT, "log-behind", "nothing of this log is here yet: send it from 0", size=0
        )
    if not entries:
        return None
    genesis = entries[0].entry
    if not isinstance(genesis, Genesis) or origin != f"hailong/edge/{genesis.log}":
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "bad-genesis",
            "a log begins with the entry that names it, and its checkpoints carry that name",
        )
    new = connection.execute(
        "INSERT INTO edge_logs (edge_id, sender_id, origin, size, root, note) VALUES (%s, %s, %s, 0, %s, '') "
        "ON CONFLICT DO NOTHING RETURNING edge_id",
        (sender.edge, sender.edge, origin, EMPTY_ROOT),
    ).fetchone()
    if new is not None:  # else another connection began it just now
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size) VALUES (%s, %s, 0)",
            (sender.edge, sender.vkey(origin)),
        )
    return _lock(connection, sender.edge)


def _peek(part: Part) -> Checkpoint:
    try:
        tree = peek(part.checkpoint)
    except CheckpointRefused as error:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "checkpoint-refused", f"the checkpoint cannot be read: {error}"
        ) from None
    if tree.size != part.size:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "checkpoint-refused",
            f"the checkpoint is of size {tree.size}, the part ends at {part.size}: send the one of that size",
        )
    return tree


def _check_signature(
    part: Part, known: _Known, fresh: Sequence[_Read], sender: _Sender
) -> tuple[Checkpoint, KeyHistory, list[tuple[int, str]]]:
    """Return the checkpoint, the keys of the log after this part, and the keys it names in vain."""
    tree = _peek(part)
    keys, in_vain = known.keys, []
    for place, item in enumerate(fresh):
        if isinstance(item.entry, KeyIntroduced | KeyRetired):
            index = known.size + place
            try:
                keys = follow(keys, item.entry, index, trusted=(sender.vkey(known.origin),))
            except CheckpointRefused:
                in_vain.append((index, "key-not-endorsed"))
    try:
        if tree.origin != known.origin:
            open_note(part.checkpoint, [verifier(sender.vkey(tree.origin))])
        else:
            keys.open(part.checkpoint)
    except CheckpointRefused as error:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "checkpoint-refused",
            f"the checkpoint is not signed as the log of this edge is: {error}",
        ) from None
    if tree.origin != known.origin:
        raise _Forked(known.edge, known.note, "another log under the same identity")
    return tree, keys, in_vain


def _check_repeated(
    connection: Connection, known: _Known, first_index: int, repeated: Sequence[_Read]
) -> None:
    if not repeated:
        return
    rows = connection.execute(
        "SELECT idx, leaf_hash FROM edge_log_entries WHERE edge_id = %s AND idx >= %s AND idx < %s",
        (known.edge, first_index, first_index + len(repeated)),
    )
    kept = {int(row[0]): bytes(row[1]) for row in rows}
    for place, item in enumerate(repeated):
        if kept[first_index + place] != item.hash:
            raise _Forked(known.edge, known.note, f"another entry {first_index + place}")


def _check_folded(connection: Connection, known: _Known, tree: Checkpoint, nodes: StoredNodes) -> None:
    """Compare with what this edge had signed before the database was restored to an older state."""
    if not known.size < known.folded_size <= tree.size:
        return
    row = connection.execute(
        "SELECT note FROM edge_checkpoints WHERE edge_id = %s AND size = %s", (known.edge, known.folded_size)
    ).fetchone()
    if row is not None and root(known.folded_size, nodes) != peek(bytes(row[0])).root:
        raise _Forked(known.edge, bytes(row[0]), f"another root at size {known.folded_size}")


def _write_keys(connection: Connection, edge: UUID, keys: KeyHistory) -> None:
    for period in keys.periods:
        connection.execute(
            "INSERT INTO edge_log_keys (edge_id, vkey, from_size, until_size) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (edge_id, vkey) DO UPDATE SET until_size = excluded.until_size "
            "WHERE edge_log_keys.until_size IS DISTINCT FROM excluded.until_size",
            (edge, period.vkey, period.from_size, period.until_size),
        )


def _take_key(connection: Connection, sender: _Sender, tree: Checkpoint, keys: KeyHistory) -> None:
    """Know the edge by its new key from now on: its log names it, endorsed by the one before."""
    assert sender.next_key is not None  # noqa: S101 - asked by the caller
    vkey = str(Vkey(tree.origin, ED25519, sender.next_key))
    if vkey not in {key.vkey() for key in keys.verifiers(tree.size)}:
        raise _unauthorised()
    connection.execute(
        "UPDATE edges SET public_key = %s WHERE id = %s AND public_key = %s",
        (sender.next_key, sender.edge, sender.key),
    )
    _log.info("an edge's key was rotated", edge=str(sender.edge), from_size=tree.size)


def _act_upon(connection: Connection, edge: UUID, projected: Projected) -> None:
    """Ask for the erasures that the entries call for, settle withdrawals, list what does not fit."""
    for consent in projected.erasing:
        erasure.queue(connection, consent.record_id, consent.state, session_id=consent.session_id)
    connection.execute(
        "UPDATE withdrawal_requests w SET settled_at = clock_timestamp() FROM consents c "
        "WHERE w.edge_id = %s AND w.settled_at IS NULL AND c.record_id = w.record_id "
        "AND c.state NOT IN ('offered', 'given', 'completed', 'expired')",
        (edge,),
    )
    for index, reason in projected.anomalies:
        connection.execute(
            "INSERT INTO edge_log_anomalies (edge_id, idx, reason) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            (edge, index, reason),
        )


def _pending(connection: Connection, edge: UUID) -> tuple[PendingWithdrawal, ...]:
    rows = connection.execute(
        "UPDATE withdrawal_requests SET listed_at = coalesce(listed_at, clock_timestamp()) "
        "WHERE edge_id = %s AND settled_at IS NULL RETURNING record_id, requested_at, method",
        (edge,),
    ).fetchall()
    return tuple(PendingWithdrawal(*row) for row in sorted(rows, key=lambda row: (row[1], row[0])))


def _bad(detail: str) -> NoReturn:
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-envelope", detail)


def _unauthorised() -> Refused:
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "not-authenticated",
        "the edge is unknown or revoked, or the signature does not fit the body: enrol the edge again",
    )
