"""The Merkle log: its proofs, its head, its keys, and every way to tamper with its file."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent import merkle
from consent.checkpoint import Checkpoint, Ed25519Signer, open_note, peek, sign
from consent.entry import EntryKind
from consent.errors import CheckpointRefused, LedgerCorrupt, LedgerUnavailable
from consent.head import Head, head_path
from consent.ledger import ConsentStore
from consent.log import Log
from consent.purpose import Purpose
from consent.stored import origin_of
from consent.verification import verify_file
from tests.consent.citizens import citizen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consent.checkpoint import Signer
    from consent.opening import Signers

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
INSIDER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def signed_by(key: Ed25519PrivateKey) -> Signers:
    def signers(origin: str) -> Sequence[Signer]:
        return (Ed25519Signer(origin, key),)

    return signers


def vkey_of(path: Path, key: Ed25519PrivateKey = KEY) -> str:
    head = Head.read(path)
    assert head is not None
    return Ed25519Signer(head.checkpoint.origin, key).vkey()


def services(store: ConsentStore, number: int) -> list[UUID]:
    """Citizens come: some agree and are captured, some refuse."""
    records = []
    for turn in range(number):
        record = citizen()
        store.offer(record)
        given_one = turn % 3 != 2
        store.decide(
            record.record_id, {Purpose.IMAGE: given_one, Purpose.VOICE: False}, "citizen", "kiosk-touch"
        )
        if given_one:
            store.session_started(record.record_id)
        records.append(record.record_id)
    return records


@pytest.fixture
def folder(quick_folder: Path) -> Path:
    return quick_folder


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "consent.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    with Log(path, signers=signed_by(KEY)) as opened:
        yield opened


def test_a_new_log_names_itself_and_its_key(log: Log, path: Path) -> None:
    kinds = [entry.kind for entry in log.entries()]
    assert kinds == ["genesis", "key-introduced"]
    assert json.loads(log.entry(0).body)["log"] == str(log.log_id)
    opened = log.keys().open(log.checkpoint())
    assert (opened.checkpoint.size, opened.checkpoint.origin) == (2, f"hailong/edge/{log.log_id}")
    assert head_path(path).read_bytes() == log.checkpoint()
    with pytest.raises(IndexError, match="no entry 2"):
        log.entry(2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.integers(1, 9), min_size=1, max_size=12), data=st.data())
def test_every_proof_of_any_log_holds(folder: Path, batches: list[int], data: st.DataObject) -> None:
    with Log(folder / f"{uuid4()}.sqlite", signers=signed_by(KEY)) as log:
        for number, batch in enumerate(batches):
            with log.writing() as writing:
                for place in range(batch):
                    writing.append("closed", b'{"n":%d,"p":%d}' % (number, place))
        oracle = merkle.MemoryNodes(merkle.leaf_hash(entry.body) for entry in log.entries())
        size = log.size
        assert log.root() == merkle.root(size, oracle)
        old = data.draw(st.integers(0, size))
        index = data.draw(st.integers(0, size - 1))
        new = data.draw(st.integers(max(old, index + 1), size))
        leaf = log.entry(index).leaf_hash
        merkle.check_inclusion(leaf, index, new, log.inclusion_proof(index, new), log.root(new))
        merkle.check_consistency(old, log.root(old), new, log.root(new), log.consistency_proof(old, new))
        assert peek(log.checkpoint(new)).root == merkle.root(new, oracle)
        with pytest.raises(ValueError, match="entries, not"):
            log.root(size + 1)


def test_what_fails_within_a_write_leaves_no_trace(log: Log, path: Path) -> None:
    before, head = log.root(), head_path(path).read_bytes()
    heard: list[int] = []
    log.subscribe(lambda entry: heard.append(entry.index))

    def write_and_fail() -> None:
        with log.writing() as writing:
            for turn in range(5):
                writing.append("closed", b"%d" % turn)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert (log.size, log.root(), head_path(path).read_bytes(), heard) == (2, before, head, [])
    log.append("closed", b"{}")
    assert heard == [2]


def test_a_signed_log_is_read_without_its_key_and_written_only_with_it(path: Path) -> None:
    with ConsentStore(path, signers=signed_by(KEY)) as store:
        services(store, 2)
    head = head_path(path).read_bytes()
    with ConsentStore(path) as reader:
        assert len(reader.record_ids()) == 2
        with pytest.raises(LedgerUnavailable, match="open it with the key"):
            services(reader, 1)
        with pytest.raises(LedgerUnavailable, match="nothing signs"):
            reader.log.checkpoint()
    assert head_path(path).read_bytes() == head
    with pytest.raises(LedgerUnavailable, match="not the key of this edge"):
        Log(path, signers=signed_by(INSIDER))


def test_a_log_that_nothing_signed_takes_up_a_key(path: Path) -> None:
    with ConsentStore(path) as store:
        services(store, 2)
        assert b"\n\n" not in head_path(path).read_bytes()
    with ConsentStore(path, signers=signed_by(KEY)) as store:
        services(store, 1)
    report = verify_file(path, keys=[vkey_of(path)])
    assert (report.ok, report.signed_by) == (True, (vkey_of(path),))


def test_keys_are_rotated_and_old_checkpoints_hold(path: Path, folder: Path) -> None:
    notes: list[bytes] = []
    keys = [KEY, INSIDER, Ed25519PrivateKey.generate()]
    with ConsentStore(path, signers=signed_by(keys[0])) as store:
        for key in (None, *keys[1:]):
            if key is not None:
                history = store.rotate_key(signed_by(key))
                assert len(history.periods) == len(notes) + 1
            services(store, 1)
            notes.append(store.log.checkpoint())
        history = store.log.keys()
        for key, note in zip(keys, notes, strict=True):
            (signature,) = history.open(note).signatures
            assert signature.by.vkey() == vkey_of(path, key)
    for key in keys:  # whichever of them was handed over: the others follow by endorsement
        report = verify_file(path, keys=[vkey_of(path, key)], known=notes)
        assert report.ok, report.reason
        assert report.signed_by == (vkey_of(path, keys[2]),)
    stranger = vkey_of(path, Ed25519PrivateKey.generate())
    assert "somebody else" in verify_file(path, keys=[stranger]).reason
    with ConsentStore(path, signers=signed_by(keys[2])) as store:
        services(store, 1)
    with pytest.raises(LedgerUnavailable, match="not the key"):
        Log(path, signers=signed_by(keys[1]))


def test_a_log_of_the_older_format_is_named(path: Path) -> None:
    with sqlite3.connect(path) as older:
        older.execute("CREATE TABLE events (idx INTEGER PRIMARY KEY, body BLOB)")
    older.close()
    with pytest.raises(LedgerCorrupt, match="older format"):
        Log(path)
    assert "older format" in verify_file(path).reason


# -- tampering ------------------------------------------------------------------------------------


class Forger:
    """Edits the file below the program, with every trigger out of the way."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path = path
        self.chance = chance
        self.connection = sqlite3.connect(path, isolation_level=None)
        for (name,) in self.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            self.connection.execute(f"DROP TRIGGER {name}")
        self.connection.execute("DROP INDEX by_code")  # it would refuse what is no JSON
        self.size: int = self.connection.execute("SELECT count(*) FROM entries").fetchone()[0]

    def rows(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT kind, record_id, session_id, body FROM entries ORDER BY idx"
        ).fetchall()

    def rewrite(self, rows: list[tuple[Any, ...]]) -> None:
        """Lay the whole log anew over these rows: leaves, nodes and all, without a flaw."""
        self.connection.execute("DELETE FROM entries")
        self.connection.execute("DELETE FROM nodes")
        tree = merkle.Frontier()
        for index, (kind, record_id, session_id, body) in enumerate(rows):
            leaf = merkle.leaf_hash(body)
            self.connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                (index, leaf, kind, record_id, session_id, body),
            )
            for node in tree.append(leaf)[1:]:
                self.connection.execute(
                    "INSERT INTO nodes VALUES (?, ?, ?)", (node.level, node.index, node.hash)
                )

    def victim(self) -> int:
        return self.chance.randrange(2, self.size)

    def flip(self) -> None:
        table, column = self.chance.choice(
            [("entries", "body"), ("entries", "leaf"), ("entries", "kind"), ("nodes", "hash")]
        )
        rowid = "idx" if table == "entries" else "level * 100000 + idx"
        key, value = self.chance.choice(
            self.connection.execute(f"SELECT {rowid}, CAST({column} AS BLOB) FROM {table}").fetchall()  # noqa: S608 - names above
        )
        place = self.chance.randrange(len(value))
        bent = value[:place] + bytes([value[place] ^ (1 << self.chance.randrange(7))]) + value[place + 1 :]
        kept: object = bent.decode("latin-1") if column == "kind" else bent
        self.connection.execute(f"UPDATE {table} SET {column} = ? WHERE {rowid} = ?", (kept, key))  # noqa: S608 - as above

    def drop(self) -> None:
        self.connection.execute("DELETE FROM entries WHERE idx = ?", (self.victim(),))

    def drop_and_close_the_gap(self) -> None:
        rows = self.rows()
        del rows[self.victim()]
        self.rewrite(rows)

    def swap(self) -> None:
        rows = self.rows()
        one = self.chance.randrange(2, self.size - 1)
        rows[one], rows[one + 1] = rows[one + 1], rows[one]
        self.rewrite(rows)

    def duplicate(self) -> None:
        rows = self.rows()
        index = self.chance.choice([i for i, row in enumerate(rows) if row[0] not in {"offered", "genesis"}])
        rows.insert(index, rows[index])
        self.rewrite(rows)

    def truncate(self) -> None:
        self.rewrite(self.rows()[: self.victim()])

    def insert(self) -> None:
        rows = self.rows()
        stranger = str(uuid4())
        body = json.dumps({"record_id": stranger, "kind": "closed"}).encode()
        rows.insert(self.victim(), ("closed", stranger, stranger, body))
        self.rewrite(rows)

    def splice(self) -> None:
        """Put the end of another edge's true log behind the start of this one."""
        other = self.path.with_name("other.sqlite")
        with ConsentStore(other, signers=signed_by(INSIDER)) as store:
            services(store, 12)
        theirs = Forger(other, self.chance)
        at = self.chance.randrange(2, min(self.size, theirs.size))
        rows = self.rows()[:at] + theirs.rows()[at:]
        self.rewrite(rows)
        theirs.connection.close()
        other.unlink()
        head_path(other).unlink()

    def resign(self, key: Ed25519PrivateKey = INSIDER) -> None:
        """Turn a refusal into a consent, without a flaw, and sign the new head."""
        rows = self.rows()
        index = next(i for i, row in enumerate(rows) if row[0] == "refused")
        _, record_id, session_id, body = rows[index]
        turned = body.replace(b'"kind":"refused"', b'"kind":"given"').replace(
            b'"answer":"refused"', b'"answer":"given"', 1
        )
        assert turned != body
        rows[index] = ("given", record_id, session_id, turned)
        self.rewrite(rows)
        self.sign(key)

    def sign(self, key: Ed25519PrivateKey) -> None:
        rows = self.rows()
        log_id = UUID(json.loads(rows[0][3])["log"])
        tree = merkle.MemoryNodes(merkle.leaf_hash(row[3]) for row in rows)
        origin = origin_of(log_id)
        note = sign(
            Checkpoint(origin, len(rows), merkle.root(len(rows), tree)), (Ed25519Signer(origin, key),)
        )
        head_path(self.path).write_bytes(note)


WAYS = (
    "flip",
    "drop",
    "drop_and_close_the_gap",
    "swap",
    "duplicate",
    "truncate",
    "insert",
    "splice",
    "resign",
)


@pytest.fixture(scope="module")
def true_log(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a log of forty entries, written and checked once."""
    path = tmp_path_factory.mktemp("true") / "consent.sqlite"
    with ConsentStore(path, signers=signed_by(KEY)) as store:
        services(store, 14)
    assert verify_file(path, keys=[vkey_of(path)]).ok
    return {item.name: item.read_bytes() for item in path.parent.iterdir()}


@pytest.mark.parametrize("times", [12, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", WAYS)
def test_tampering_below_the_program_is_found(
    folder: Path, true_log: dict[str, bytes], way: str, times: int, seed: int
) -> None:
    chance, found = random.Random(f"{seed}{way}"), Counter[bool]()  # noqa: S311 - a test's chance
    for turn in range(times):
        place = folder / str(turn)
        place.mkdir()
        for name, data in true_log.items():
            (place / name).write_bytes(data)
        path = place / "consent.sqlite"
        forger = Forger(path, chance)
        getattr(forger, way)()
        forger.connection.close()
        found[verify_file(path).ok] += 1
        shutil.rmtree(place)
    print(f"seed {seed}: {way}: {sum(found.values())} tried, {found[False]} detected")  # noqa: T201 - the measure
    assert found == {False: times}


def test_only_what_was_kept_elsewhere_catches_the_holder_of_the_key(
    folder: Path, true_log: dict[str, bytes]
) -> None:
    path = folder / "consent.sqlite"
    for name, data in true_log.items():
        (folder / name).write_bytes(data)
    witnessed = head_path(path).read_bytes()
    forger = Forger(path, random.Random(0))  # noqa: S311 - a test's chance
    forger.resign(KEY)
    forger.connection.close()
    assert verify_file(path, keys=[vkey_of(path)]).ok, "an insider with the key passes every self-check"
    caught = verify_file(path, keys=[vkey_of(path)], known=[witnessed])
    assert not caught.ok
    assert "rewritten or swapped" in caught.reason


def test_a_whole_new_log_under_another_key_is_caught_by_the_key_that_was_handed_over(path: Path) -> None:
    with ConsentStore(path, signers=signed_by(KEY)) as store:
        services(store, 3)
    true_key = vkey_of(path)
    forger = Forger(path, random.Random(0))  # noqa: S311 - a test's chance
    rows = [row for row in forger.rows() if row[0] != EntryKind.KEY_INTRODUCED]
    forger.rewrite(rows)
    forger.connection.close()
    with sqlite3.connect(path) as bare:
        log_id = UUID(json.loads(bare.execute("SELECT body FROM entries WHERE idx = 0").fetchone()[0])["log"])
        tree = merkle.MemoryNodes(merkle.leaf_hash(row[3]) for row in rows)
    bare.close()
    unsigned = Checkpoint(origin_of(log_id), len(rows), merkle.root(len(rows), tree)).body()
    head_path(path).write_bytes(unsigned)
    assert verify_file(path).ok
    assert not verify_file(path, keys=[true_key]).ok


def test_a_bare_head_in_place_of_the_signed_one_is_refused(path: Path) -> None:
    with ConsentStore(path, signers=signed_by(KEY)) as store:
        services(store, 2)
    signed = head_path(path).read_bytes()
    head_path(path).write_bytes(signed.partition(b"\n\n")[0] + b"\n")
    assert "not signed" in verify_file(path).reason
    with pytest.raises(LedgerCorrupt, match="not signed"):
        Log(path, signers=signed_by(KEY))


# -- crashes and crowds -----------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from consent.checkpoint import Ed25519Signer
from consent.log import Log
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
with Log(Path(sys.argv[1]), signers=lambda origin: (Ed25519Signer(origin, key),), busy_s=60) as log:
    for turn in range(int(sys.argv[2])):
        index = log.append("closed", b'{"turn":%d}' % turn).index
        print(index, flush=True)
"""


def _writer(path: Path, entries: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(entries)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_killed_while_appending_the_log_and_its_head_are_one_entry_apart_at_most(
    path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's chance
    for _ in range(4):
        writer = _writer(path, 1_000_000)
        assert writer.stdout is not None
        told = int(writer.stdout.readline())
        time.sleep(chance.uniform(0.0, 0.15))
        writer.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in writer.stdout.read().split("\n")[:-1] if line)])
        writer.wait(30)
        writer.stdout.close()
        head = Head.read(path)
        with sqlite3.connect(path) as connection:
            (entries,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        connection.close()
        assert head is not None
        assert told < entries, "what was promised is there"
        assert entries - 1 <= head.checkpoint.size <= entries
        assert head.checkpoint.size > told, "a call returns after its head was written"
        with Log(path, signers=signed_by(KEY)) as log:  # and it goes on
            assert log.size == entries
            assert peek(head_path(path).read_bytes()).size == entries


def test_programs_that_write_at_once_leave_one_log_and_the_newest_head(path: Path) -> None:
    Log(path, signers=signed_by(KEY)).close()
    writers = [_writer(path, 60) for _ in range(3)]
    indexes: list[int] = []
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        indexes += [int(line) for line in out.split()]
    assert sorted(indexes) == list(range(2, 182))
    with Log(path) as log:
        assert log.size == 182
        opened = open_note(head_path(path).read_bytes(), log.keys().verifiers(182))
        assert (opened.checkpoint.size, opened.checkpoint.root) == (182, log.root())
        with pytest.raises(CheckpointRefused):
            open_note(head_path(path).read_bytes().replace(b"\n182\n", b"\n181\n"), log.keys().verifiers(182))
