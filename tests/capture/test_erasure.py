"""A withdrawal at the edge leaves no byte of the signal, whenever it comes and whatever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import rfc8785

import capture.erasure
import capture.outbox
import capture.worker
import consent.session_keys
from capture.erasure import LeftoverFiles, LiveBuffers, LogJournal, SessionStillRuns
from capture.outbox import ERASED, OutboxError
from consent.erasure import ErasableStore
from consent.errors import ErasureIncomplete, KeyDestroyed, LedgerUnavailable
from consent.session_keys import opens
from consent.state import State
from tests.capture import edge_folder
from tests.capture.edge_folder import EdgeFolder, bytes_of, signal_payload

STAGES = ("held", "waiting", "sent", "delivered")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeFolder]:
    with EdgeFolder(tmp_path / "edge") as made:
        yield made


def sealed_forms(edge: EdgeFolder, record_id: UUID) -> list[bytes]:
    """Return what lies on the disk of one consent: ciphertexts and key."""
    rows = [
        row[0]
        for table in ("held", "entry")
        for row in edge.outbox._db.execute(f"SELECT payload FROM {table} WHERE key = ?", (record_id.bytes,))  # noqa: S608 - fixed names
        if row[0] is not None
    ]
    return [*rows, edge.keys.get(record_id)]


def serve(edge: EdgeFolder, stage: str, payload: dict[str, Any] | None = None) -> UUID:
    record_id = edge.served(payload, release=stage != "held")
    if stage in {"delivered", "sent"}:
        sent = edge.outbox.pending()
        if stage == "delivered":
            edge.outbox.mark_delivered(sent[-1].seq, sent)
    return record_id


def test_the_names_are_those_of_the_edge_program() -> None:
    for name in ("CONSENT_LOG", "OUTBOX", "UNWRITTEN"):
        assert getattr(edge_folder, name) == getattr(capture.worker, name)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("cause", ["withdrawn", "invalidated"])
def test_no_byte_is_left_wherever_the_signal_was(edge: EdgeFolder, stage: str, cause: str) -> None:
    if cause == "invalidated":
        record_id = edge.given()
        edge.outbox.hold("signal", signal_payload(record_id), key=record_id)
    else:
        record_id = serve(edge, stage)
    forms = sealed_forms(edge, record_id)
    assert all(form in bytes_of(edge.folder) for form in forms)  # the search has teeth
    assert len(forms) == 2
    if cause == "invalidated":
        edge.invalidate(record_id)
    else:
        edge.withdraw(record_id)
    assert edge.erasure.erase_due() == 1
    left = bytes_of(edge.folder)
    assert [form in left for form in forms] == [False, False]
    certificate = edge.erasure.certificate(record_id)
    assert certificate is not None
    certificate.verify(edge.erasure.signer.vkey())
    assert certificate.cause == cause
    assert [(status.name, status.removed) for status in certificate.stores] == [
        ("live-buffers", 0),
        ("outbox", 1),
        ("quotes", 0),
        ("session-key", 1),
        ("temporary-files", 0),
    ]


@pytest.mark.parametrize("disk", ["sealed", "plain"])
def test_a_canary_in_score_and_payload_is_gone_and_the_control_shows_it(
    edge: EdgeFolder, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    if disk == "plain":  # the control: what the search finds when nothing is encrypted
        monkeypatch.setattr(capture.outbox, "seal", lambda _, payload, __: payload)
    canaries = [b"0.7391846025174", b"canary-3f9a1c77e2"]
    record_id = edge.given()
    payload = signal_payload(record_id, score=float(canaries[0]), software=canaries[1].decode())
    edge.outbox.hold("signal", payload, key=record_id)
    edge.outbox.release(record_id)
    before = [bytes_of(edge.folder).count(canary) for canary in canaries]
    assert [count > 0 for count in before] == [disk == "plain"] * 2
    edge.withdraw(record_id)
    edge.erasure.erase_due()
    assert [bytes_of(edge.folder).count(canary) for canary in canaries] == [0, 0]


def test_the_sequence_keeps_its_number_and_tells_the_centre(edge: EdgeFolder) -> None:
    first, second, third = (edge.served() for _ in range(3))
    edge.withdraw(second)
    edge.erasure.erase_due()
    entries = edge.outbox.pending()
    assert [(entry.seq, entry.kind) for entry in entries] == [(1, "signal"), (2, ERASED), (3, "signal")]
    assert entries[1].payload == {"record_id": str(second)}
    assert (entries[1].salt, entries[0].salt) == (None, edge.keys.get(first))
    assert edge.outbox.contains(third)


def test_the_commitment_in_the_log_opens_for_nobody_any_more(edge: EdgeFolder) -> None:
    record_id = edge.served()
    (entry,) = edge.outbox.pending()
    (ended,) = edge.store.log.of_kind("session-ended")
    committed = ended.entry().commitment  # type: ignore[union-attr]  # a session-ended entry has one

    body = rfc8785.dumps(entry.payload)
    assert entry.salt is not None
    assert opens(str(committed), entry.salt, body)
    edge.withdraw(record_id)
    edge.erasure.erase_due()
    with pytest.raises(KeyDestroyed):
        edge.keys.get(record_id)
    assert not opens(str(committed), uuid4().bytes * 2, body)


def test_the_thread_erases_by_itself_and_goes_on_after_a_failure(edge: EdgeFolder) -> None:
    failing = threading.Event()
    failing.set()
    inner = edge.outbox.erase

    def stubborn(record_id: UUID) -> int:
        if failing.is_set():
            raise OutboxError("the disk is full")
        return inner(record_id)

    edge.outbox.erase = stubborn  # type: ignore[method-assign]  # a full disk
    edge.erasure.start()
    record_id = edge.served()
    edge.withdraw(record_id)
    for _ in range(500):
        if edge.erasure.trouble is not None:
            break
        threading.Event().wait(0.01)
    assert "the disk is full" in str(edge.erasure.trouble)
    failing.clear()
    for _ in range(500):
        if edge.erasure.certificate(record_id) is not None and edge.erasure.trouble is None:
            break
        threading.Event().wait(0.01)
    certificate = edge.erasure.certificate(record_id)
    assert certificate is not None
    assert edge.erasure.trouble is None


def test_a_log_that_cannot_be_written_destroys_nothing(edge: EdgeFolder) -> None:
    record_id = edge.served()
    edge.withdraw(record_id)

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    edge.store.note = full  # type: ignore[assignment,method-assign]  # a full disk
    with pytest.raises(LedgerUnavailable):
        edge.erasure.erase_due()
    assert edge.keys.get(record_id)
    assert [entry.kind for entry in edge.outbox.pending()] == ["signal"]


def test_live_buffers_wait_for_the_session_and_count_what_was_dropped() -> None:
    ended = threading.Event()
    session = SimpleNamespace(join=ended.wait, purged=3)
    counter = SimpleNamespace(code="quay-1", session_of=lambda record: session if record.int == 5 else None)
    store = LiveBuffers({"quay-1": counter}, timeout_s=0.01)  # type: ignore[dict-item]  # what is asked, and no more
    with pytest.raises(SessionStillRuns, match="tried again"):
        store.erase(UUID(int=5))
    ended.set()
    assert [store.erase(UUID(int=number)) for number in (5, 5, 6)] == [3, 0, 0]


def test_left_over_files_are_overwritten_and_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("core", "core.4711", "consent.sqlite.head.99.tmp", "edge-key.new", "outbox.sqlite"):
        (tmp_path / name).write_bytes(b"canary" * 1000)
        os.utime(tmp_path / name, (1, 1))
    link = tmp_path / "second name of the core"
    os.link(tmp_path / "core", link)
    store = LeftoverFiles(tmp_path)
    (tmp_path / "consent.sqlite.head.7.tmp").write_bytes(b"being written")
    assert [store.erase(uuid4()), store.erase(uuid4())] == [4, 0]
    assert {path.name for path in tmp_path.iterdir()} == {
        "outbox.sqlite",
        "consent.sqlite.head.7.tmp",
        link.name,
    }
    assert b"canary" not in link.read_bytes()


# --- kill -9 at every step -------------------------------------------------------------------

STEPS = (
    "withdrawn",
    "before begin",
    "after begin",
    "before live-buffers",
    "after live-buffers",
    "before outbox",
    "in outbox",
    "after outbox",
    "before quotes",
    "after quotes",
    "before session-key",
    "in session-key",
    "after session-key",
    "before temporary-files",
    "after temporary-files",
    "before done",
    "after done",
)


class Guarded:
    """A store that dies before or after it was asked."""

    def __init__(self, store: ErasableStore, at: Callable[[str], None]) -> None:
        self.name, self._store, self._at = store.name, store, at

    def erase(self, record_id: UUID) -> int:
        self._at(f"before {self.name}")
        removed = self._store.erase(record_id)
        self._at(f"after {self.name}")
        return removed


def die_while_erasing(folder: Path, record_id: UUID, step: str) -> None:
    """Withdraw and erase in a process that kills itself at one step."""

    def at(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def guarded(stores: Sequence[ErasableStore]) -> Sequence[ErasableStore]:
        return [Guarded(store, at) for store in stores]

    class Journal(LogJournal):
        def begin(self, begun: Any) -> None:
            at("before begin")
            super().begin(begun)
            at("after begin")

        def done(self, certificate: Any) -> None:
            at("before done")
            super().done(certificate)
            at("after done")

    truncating = {"in outbox": capture.outbox, "in session-key": consent.session_keys}
    for name, module in truncating.items():
        if step == name:
            setattr(module, "truncate_wal", lambda _: at(step))  # noqa: B010 - dies between commit and truncation
    capture.erasure.LogJournal = Journal  # type: ignore[misc]  # in this process only, which dies
    with EdgeFolder(folder, wrap=guarded) as edge:
        edge.withdraw(record_id)
        at("withdrawn")
        edge.erasure.erase_due()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_next_start_completes(tmp_path: Path, step: str) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id = edge.served()
        forms = sealed_forms(edge, record_id)
    child = os.fork()
    if child == 0:  # pragma: no cover - ends in a kill
        try:
            die_while_erasing(folder, record_id, step)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with EdgeFolder(folder) as again:
        made = again.start()
        assert made == (0 if step == "after done" else 1)
        left = bytes_of(folder)
        assert [form in left for form in forms] == [False, False]
        certificate = again.erasure.certificate(record_id)
        assert certificate is not None
        certificate.verify(again.erasure.signer.vkey())
        assert [entry.kind for entry in again.outbox.pending()] == [ERASED]
        assert again.store.verify().ok
        assert again.erasure.resume() == 0


# --- restore from a backup -------------------------------------------------------------------


@pytest.mark.parametrize(
    "files", ["outbox.sqlite session-keys.sqlite", "outbox.sqlite", "session-keys.sqlite"]
)
def test_what_an_old_backup_brings_back_is_erased_at_the_start(tmp_path: Path, files: str) -> None:
    folder, backup = tmp_path / "edge", tmp_path / "backup"
    with EdgeFolder(folder) as edge:
        record_id, other = edge.served(), edge.served()
        forms = sealed_forms(edge, record_id)
    shutil.copytree(folder, backup)
    with EdgeFolder(folder) as edge:
        edge.withdraw(record_id)
        edge.erasure.erase_due()
    for name in files.split():
        for path in folder.glob(f"{name}*"):
            path.unlink()
        shutil.copy(backup / name, folder / name)
    assert any(form in bytes_of(folder) for form in forms)  # it came back
    with EdgeFolder(folder) as again:
        assert again.start() == 1
        left = bytes_of(folder)
        assert [form in left for form in forms] == [False, False]
        assert [entry.kind for entry in again.outbox.pending()] == [ERASED, "signal"]
        assert again.keys.get(other)


def test_between_a_restore_and_the_replay_an_erased_entry_is_not_sent(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id = edge.served()
    shutil.copy(folder / "outbox.sqlite", tmp_path / "old.sqlite")
    with EdgeFolder(folder) as edge:
        edge.withdraw(record_id)
        edge.erasure.erase_due()
    (folder / "outbox.sqlite").unlink()
    shutil.copy(tmp_path / "old.sqlite", folder / "outbox.sqlite")
    with EdgeFolder(folder) as again:  # not started: nothing was replayed yet
        (entry,) = again.outbox.pending()
        assert (entry.kind, entry.payload) == (ERASED, {"record_id": str(record_id)})


def test_a_backup_without_the_keys_gives_back_nothing_readable(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        edge.served(signal_payload(uuid4(), software="canary-3f9a1c77e2"))
    for path in folder.glob("session-keys.sqlite*"):
        path.unlink()
    assert b"canary-3f9a1c77e2" not in bytes_of(folder)
    with EdgeFolder(folder) as again, pytest.raises(OutboxError, match="key of entry 1 is missing"):
        again.outbox.pending()


# --- a late withdrawal against the end of a session ------------------------------------------


def test_withdrawn_between_completion_and_release_nothing_is_sent(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id = edge.served(release=False)
        edge.withdraw(record_id)
    with EdgeFolder(folder) as again:
        assert again.start() == 1
        assert (again.outbox.held(), again.outbox.pending()) == ((), ())
        assert again.store.state(record_id) is State.WITHDRAWN


def test_the_control_without_secure_delete_leaves_copies(tmp_path: Path) -> None:
    """What a plain DELETE leaves: why the outbox does more."""
    path = tmp_path / "plain.sqlite"
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA secure_delete = OFF")
    plain.execute("CREATE TABLE held (payload BLOB)")
    plain.execute("INSERT INTO held VALUES (?)", (b"canary-3f9a1c77e2" * 20,))
    plain.execute("DELETE FROM held")
    assert bytes_of(tmp_path).count(b"canary-3f9a1c77e2") > 0
    plain.close()


# --- the log of the program and the crash path -----------------------------------------------

_CRASHING = """
import sys
from pathlib import Path
import structlog
from capture.commands import log_as_json
from capture.service_session import ServiceSession
from consent.gate import Gate
from inference.signal import Estimate
from tests.capture.edge_folder import EdgeFolder
from tests.capture.test_service_session import Analysis, Camera

canary, how = sys.argv[2], sys.argv[3]
log_as_json()
if how == "control":  # as a program logs that does not mind
    chain = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(processors=chain, logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Crashing(Analysis):
    def finish(self, facts):
        Estimate.model_validate({"score": canary})

with EdgeFolder(Path(sys.argv[1])) as edge:
    gate = Gate(edge.store)
    record_id = edge.given(start=False)
    result = ServiceSession(
        counter="quay-1", grant=gate.grant(record_id), gate=gate, store=edge.store, source=Camera(),
        analysis=Crashing(), outbox=edge.outbox, software="test",
    ).run()
    print(result.error)
"""


@pytest.mark.parametrize("how", ["program", "control"])
def test_a_canary_on_the_crash_path_reaches_no_log(tmp_path: Path, how: str) -> None:
    canary = "canary-3f9a1c77e2"
    folder = tmp_path / "edge"
    folder.mkdir()
    with (folder / "stderr.log").open("wb") as stream:
        ran = subprocess.run(
            [sys.executable, "-c", _CRASHING, str(folder), canary, how],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            check=True,
        )
    assert ran.stdout.startswith("ValidationError at ")
    logged = (folder / "stderr.log").read_bytes()
    assert b"session failed" in logged
    assert (bytes_of(folder).count(canary.encode()) > 0) is (how == "control")


class Undeletable:
    name = "undeletable"

    def erase(self, record_id: UUID) -> int:
        raise PermissionError(f"a core dump of root's, asked for by {record_id}")


def test_what_cannot_be_replayed_keeps_no_new_withdrawal_waiting(tmp_path: Path) -> None:
    with EdgeFolder(tmp_path / "edge") as edge:
        edge.withdraw(edge.served())
        edge.start()
    with EdgeFolder(tmp_path / "edge", wrap=lambda stores: (*stores, Undeletable())) as again:
        with pytest.raises(ErasureIncomplete):
            again.start()
        record_id = again.served()
        again.withdraw(record_id)
        with pytest.raises(ErasureIncomplete):
            again.erasure.resume()  # as the thread does again and again
        assert [entry.kind for entry in again.outbox.pending()] == ["erased", "erased"]
        assert again.keys.destroyed(record_id)
        assert again.erasure.certificate(record_id) is None
