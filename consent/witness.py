"""A witness: cosigns checkpoints of logs that only ever grow (C2SP tlog-witness).

It keeps the latest checkpoint of each log, written to disk before it answers, and never
cosigns one that does not continue it. A log that shows two faces leaves both notes here as
evidence. The pure functions at the top are what the log's side needs to ask.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from consent.checkpoint import (
    ED25519,
    ML_DSA_44,
    Checkpoint,
    CosignatureSigner,
    MlDsa44Signer,
    Signer,
    Verifier,
    ml_dsa_offered,
    open_note,
    parse_size,
    peek,
    verifier,
    with_signatures,
)
from consent.errors import CheckpointRefused, CosignatureRefused, ProofRefused, WitnessBehind, WitnessError
from consent.merkle import EMPTY_ROOT, check_consistency
from consent.signed_note import LONGEST_NOTE_BYTES, SignatureLine, decode, encode, split

SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of the answer that says at which size a witness knows a log."""
MOST_PROOF_LINES: Final = 63
LONGEST_REQUEST_BYTES: Final = LONGEST_NOTE_BYTES + 4096

_DATABASE: Final = "witness.sqlite"
_KEYS: Final = ("witness-ed25519.pem", "witness-ml-dsa-44.pem")
_VKEYS: Final = "witness.vkey"
_MOST_EVIDENCE: Final = 1000
"""A log: one that misbehaves without end does not fill the disk of its witness."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log_keys (vkey TEXT PRIMARY KEY, origin TEXT NOT NULL, added_s INTEGER NOT NULL)
    STRICT;
CREATE TABLE IF NOT EXISTS latest (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL,
    cosigned_s INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS evidence (
    origin TEXT NOT NULL, kind TEXT NOT NULL, kept BLOB NOT NULL, offered BLOB NOT NULL,
    seen_s INTEGER NOT NULL, UNIQUE (origin, kept, offered)
) STRICT;
CREATE TRIGGER IF NOT EXISTS never_backwards BEFORE UPDATE ON latest WHEN NEW.size < OLD.size
    BEGIN SELECT RAISE(ABORT, 'a witness never goes back'); END;
CREATE TRIGGER IF NOT EXISTS latest_stays BEFORE DELETE ON latest
    BEGIN SELECT RAISE(ABORT, 'a witness never forgets a log'); END;
CREATE TRIGGER IF NOT EXISTS evidence_stays BEFORE DELETE ON evidence
    BEGIN SELECT RAISE(ABORT, 'evidence is kept'); END;
"""


def request_cosignature(old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of `POST /add-checkpoint`.

    Args:
        old_size: Size at which the witness knows the log; 0 when that is not known.
        proof: Consistency proof from there to the checkpoint; empty from 0.
        note: The checkpoint, signed by its log.
    """
    lines = (f"old {old_size}", *map(encode, proof), "")
    return "".join(f"{line}\n" for line in lines).encode() + note


def read_cosignature(
    status: int, content_type: str, answer: bytes, note: bytes, witnesses: Sequence[Verifier]
) -> bytes:
    """Return the note with the cosignatures of an answer that hold.

    Args:
        status: HTTP status of the answer.
        content_type: Its content type.
        answer: Its body.
        note: The checkpoint that was sent.
        witnesses: Keys of the witnesses we rely on; lines of others are dropped.

    Raises:
        WitnessBehind: The witness knows the log at another size: ask again with the proof from there.
        CosignatureRefused: It does not cosign, or answered with nothing that one of our witnesses signed.
    """
    text = answer[:LONGEST_NOTE_BYTES].decode("utf-8", errors="replace")
    if status == HTTPStatus.CONFLICT and content_type.partition(";")[0].strip() == SIZE_TYPE:
        try:
            size = parse_size(text.removesuffix("\n"))
        except CheckpointRefused as error:
            raise CosignatureRefused(f"the witness names no size: {error}", status) from error
        raise WitnessBehind(size)
    if status != HTTPStatus.OK:
        raise CosignatureRefused(f"the witness does not cosign: {status} {text[:300].strip()}", status)
    try:
        body, _ = split(note)
        lines = [SignatureLine.parse(line) for line in text.removesuffix("\n").split("\n")]
        ours = [(key, line) for line in lines for key in witnesses if key.made(line)]
        for key, line in ours:
            key.check(body, line.signature)
        if ours:
            return with_signatures(note, "".join(str(line) for _, line in ours))
    except CheckpointRefused as error:
        raise CosignatureRefused(f"the answer of the witness does not hold: {error}", status) from error
    raise CosignatureRefused("the witness signed with no key that is known here", status)


@dataclass(frozen=True, slots=True)
class CosignatureRequest:
    """What a log asks of a witness."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @classmethod
    def parse(cls, body: bytes) -> CosignatureRequest:
        """Read the body of a request.

        Raises:
            CosignatureRefused: It is none (400).
        """
        head, blank, note = body.partition(b"\n\n")
        try:
            old, *lines = head.decode("utf-8").split("\n")
            size, proof = parse_size(old.removeprefix("old ")), tuple(map(decode, lines))
        except (CheckpointRefused, UnicodeDecodeError) as error:
            raise CosignatureRefused(
                f"no request for a cosignature: {error}", HTTPStatus.BAD_REQUEST
            ) from error
        if not blank or not old.startswith("old ") or len(proof) > MOST_PROOF_LINES:
            raise CosignatureRefused(
                "no cosignature request: expected 'old SIZE', at most 63 lines of proof, a blank line and "
                "a note",
                HTTPStatus.BAD_REQUEST,
            )
        return cls(size, proof, note)


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """A log that the witness follows.

    Attributes:
        vkeys: Keys whose signatures on its checkpoints count; none once all were removed.
        note: Latest cosigned checkpoint; empty before the first.
        cosigned_s: When, in seconds since the epoch; None before the first.
        evidence: How many checkpoints were refused because they contradict the kept one.
    """

    origin: str
    vkeys: tuple[str, ...]
    size: int
    note: bytes
    cosigned_s: int | None
    evidence: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signed checkpoint that contradicts the one that was cosigned.

    Attributes:
        kind: `fork` (two roots at one size: the log's own signatures prove it) or `inconsistent` (a larger
            log came without a proof that it continues the kept one).
        kept: The note that was cosigned.
        offered: The note that was refused.
        seen_s: When, in seconds since the epoch.
    """

    origin: str
    kind: str
    kept: bytes
    offered: bytes
    seen_s: int


class Witness:
    """The state of a witness in one folder. Threads and processes may share it."""

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.time) -> None:
        """Open the folder that `create` made.

        Raises:
            WitnessError: There is none, or its key is not the one it says.
        """
        self._path = folder / _DATABASE
        self._now_s = now_s
        try:
            self.vkeys = tuple((folder / _VKEYS).read_text(encoding="utf-8").split("\n")[:-1])
        except FileNotFoundError as error:
            raise WitnessError(
                f"{folder} is no folder of a witness: `hailong witness init {folder} --name NAME` makes one"
            ) from error
        self.name = verifier(self.vkeys[0]).name
        self._signers = _signers(folder, self.name, now_s)
        if tuple(signer.vkey() for signer in self._signers) != self.vkeys:
            raise WitnessError(f"the keys in {folder} are not those of {_VKEYS}: restore both")
        with self._transaction() as connection:
            connection.execute("SELECT count(*) FROM latest").fetchone()

    @classmethod
    def create(cls, folder: Path, name: str, now_s: Callable[[], float] = time.time) -> Self:
        """Make a folder with new keys that only its owner can read.

        Raises:
            WitnessError: There is one already: its keys are not replaced.
            CheckpointRefused: The name cannot name a key.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise WitnessError(f"{folder} is not empty: a witness starts in a folder of its own")
        _write_key(folder / _KEYS[0], Ed25519PrivateKey.generate())
        if ml_dsa_offered():
            _write_key(folder / _KEYS[1], MLDSA44PrivateKey.generate())
        vkeys = "".join(f"{signer.vkey()}\n" for signer in _signers(folder, name, now_s))
        with closing(sqlite3.connect(folder / _DATABASE)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        (folder / _VKEYS).write_text(vkeys, encoding="utf-8")
        return cls(folder, now_s)

    def add_log(self, vkey: str) -> str:
        """Follow a log, or accept another key of one that is followed; returns its origin.

        Raises:
            CheckpointRefused: It is no key of a log.
        """
        key = verifier(vkey).key
        if key.kind not in {ED25519, ML_DSA_44}:
            raise CheckpointRefused(f"{key.name} is the key of a witness, not of a log")
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO log_keys (vkey, origin, added_s) VALUES (?, ?, ?)",
                (vkey, key.name, int(self._now_s())),
            )
        return key.name

    def remove_key(self, vkey: str) -> None:
        """Accept no more signatures of a key; what was cosigned stays.

        Raises:
            WitnessError: The key is not known.
        """
        with self._transaction() as connection:
            if not connection.execute("DELETE FROM log_keys WHERE vkey = ?", (vkey,)).rowcount:
                raise WitnessError("no log has this key here; `hailong witness show` lists the keys")

    def logs(self) -> tuple[WatchedLog, ...]:
        """Return what is followed, by origin."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT o.origin, group_concat(k.vkey, char(10)), coalesce(l.size, 0), "
                "coalesce(l.note, x''), l.cosigned_s, "
                "(SELECT count(*) FROM evidence e WHERE e.origin = o.origin) "
                "FROM (SELECT origin FROM log_keys UNION SELECT origin FROM latest) o "
                "LEFT JOIN log_keys k USING (origin) LEFT JOIN latest l USING (origin) "
                "GROUP BY o.origin ORDER BY o.origin"
            ).fetchall()
        return tuple(WatchedLog(row[0], tuple((row[1] or "").split()), *row[2:]) for row in rows)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return every contradiction that was seen, oldest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT origin, kind, kept, offered, seen_s FROM evidence ORDER BY rowid"
            ).fetchall()
        return tuple(Evidence(*row) for row in rows)

    def add_checkpoint(self, body: bytes) -> str:
        """Check a checkpoint against the kept one, keep it, and return our cosignature lines.

        Raises:
            WitnessBehind: The log is known here at another size (409).
            CosignatureRefused: Any other reason; `status` says which.
        """
        request = CosignatureRequest.parse(body)
        try:
            checkpoint = peek(request.note)
        except CheckpointRefused as error:
            raise CosignatureRefused(str(error), HTTPStatus.BAD_REQUEST) from error
        with self._transaction() as connection:
            note = _signed(connection, request.note, checkpoint.origin)
            found = _contradiction(connection, request, checkpoint)
            if found is None:
                return self._cosign(connection, note, checkpoint)
            self._keep(connection, found, note, checkpoint.origin)
        raise found.refused  # after the commit: what was seen is on disk

    def _cosign(self, connection: sqlite3.Connection, note: bytes, checkpoint: Checkpoint) -> str:
        lines = "".join(signer.line(checkpoint.body()) for signer in self._signers)
        connection.execute(
            "INSERT INTO latest (origin, size, root, note, cosigned_s) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, "
            "note = excluded.note, cosigned_s = excluded.cosigned_s",
            (
                checkpoint.origin,
                checkpoint.size,
                checkpoint.root,
                with_signatures(note, lines),
                int(self._now_s()),
            ),
        )
        return lines

    def _keep(
        self, connection: sqlite3.Connection, found: _Contradiction, offered: bytes, origin: str
    ) -> None:
        count = connection.execute("SELECT count(*) FROM evidence WHERE origin = ?", (origin,)).fetchone()[0]
        if count < _MOST_EVIDENCE:
            connection.execute(
                "INSERT OR IGNORE INTO evidence (origin, kind, kept, offered, seen_s) VALUES (?, ?, ?, ?, ?)",
                (origin, found.kind, found.kept, offered, int(self._now_s())),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that alone may write until the block ends; durable when it has ended."""
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise WitnessError(
                f"{self._path} cannot be used ({error}). Nothing was cosigned. If the file is lost, restore "
                "the newest backup; a witness that starts anew vouches for nothing before its start."
            ) from error


@dataclass(frozen=True, slots=True)
class _Contradiction:
    kind: str
    kept: bytes
    refused: CosignatureRefused


def _signed(connection: sqlite3.Connection, note: bytes, origin: str) -> bytes:
    """Return the note with the signatures of its log alone: what strangers put under it is not kept.

    Raises:
        CosignatureRefused: The log is not followed, or no key of it signed.
    """
    vkeys = connection.execute("SELECT vkey FROM log_keys WHERE origin = ?", (origin,)).fetchall()
    if not vkeys:
        raise CosignatureRefused(f"the log {origin} is not followed here", HTTPStatus.NOT_FOUND)
    keys = [verifier(vkey) for (vkey,) in vkeys]
    try:
        open_note(note, keys)
    except CheckpointRefused as error:
        raise CosignatureRefused(str(error), HTTPStatus.FORBIDDEN) from error
    body, lines = split(note)
    ours = "".join(str(line) for line in lines if any(key.made(line) for key in keys))
    return body + b"\n" + ours.encode()


def _contradiction(
    connection: sqlite3.Connection, request: CosignatureRequest, checkpoint: Checkpoint
) -> _Contradiction | None:
    """Compare a signed checkpoint with the kept one; None when it continues it."""
    row = connection.execute(
        "SELECT size, root, note FROM latest WHERE origin = ?", (checkpoint.origin,)
    ).fetchone()
    size, root, kept = row or (0, EMPTY_ROOT, b"")
    if kept and checkpoint.size == size and checkpoint.root != root:
        message = f"the log {checkpoint.origin} shows two roots at size {size}: a fork. Both are kept here."
        return _Contradiction("fork", kept, CosignatureRefused(message, HTTPStatus.CONFLICT))
    if request.old_size > checkpoint.size:
        raise CosignatureRefused("the old size is larger than the checkpoint", HTTPStatus.BAD_REQUEST)
    if request.old_size != size:
        raise WitnessBehind(size)
    try:
        check_consistency(size, root, checkpoint.size, checkpoint.root, request.proof)
    except ProofRefused as error:
        refused = CosignatureRefused(str(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        if not kept or checkpoint.size == size:
            raise refused from error
        return _Contradiction("inconsistent", kept, refused)
    return None


def _signers(folder: Path, name: str, now_s: Callable[[], float]) -> tuple[Signer, ...]:
    signers: list[Signer] = []
    for file in _KEYS:
        path = folder / file
        if not path.exists():
            continue
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, OSError) as error:
            raise WitnessError(f"{path} is no readable private key ({error}): restore it") from error
        if isinstance(key, Ed25519PrivateKey):
            signers.append(CosignatureSigner(name, key, now_s))
        elif isinstance(key, MLDSA44PrivateKey):
            signers.append(MlDsa44Signer(name, key, now_s))
        else:
            raise WitnessError(f"{path} holds a key of another kind than a witness has: restore it")
    return tuple(signers)


def _write_key(path: Path, key: Ed25519PrivateKey | MLDSA44PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())
