"""Both ends restored from backups: a centre whose database is old, an edge whose whole folder is old."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from api.central_log import CentralLog
from api.database import Database
from api.enrolment import enrol, make_token
from api.log_check import verify
from api.postgres import EmbeddedPostgres
from api.withdrawals import withdraw_record
from capture.capture_hold import CaptureHold
from capture.contact import ContactLease
from capture.identity import Enrolment, write_private
from capture.log_uplink import LogUplink
from capture.uplink import Uplink
from consent.entry import Outcome, SessionSummary
from consent.errors import NotPermitted
from consent.gate import Gate
from consent.state import State
from tests.api.backups import Backup
from tests.api.running import running
from tests.capture.edge_folder import EdgeFolder, bytes_of, signal_payload

CANARY = "canary-cua-cong-dan-4417"


@dataclass
class Link:
    """One opened edge folder with its ways to the centre, driven by hand."""

    edge: EdgeFolder
    log: LogUplink
    batches: Uplink
    hold: CaptureHold
    gate: Gate

    def sync(self) -> None:
        """Ship the log and the outbox until the centre has all of both."""
        with httpx.Client(base_url=self.log.enrolment.centre, timeout=30) as client:
            for _ in range(40):
                whole = self.log.sync_once(client)
                sent = self.batches.send_once(client)
                if whole and not sent and self.edge.outbox.depth() == 0 and not self.resending:
                    return
        pytest.fail("the centre never had everything")

    @property
    def resending(self) -> bool:
        return self.batches._resend_after is not None


@contextmanager
def opened(folder: Path, enrolment: Enrolment, *, started: bool = True) -> Iterator[Link]:
    """Open an edge folder as the edge program does: the centre first, then everything that writes."""
    with EdgeFolder(folder) as edge:
        contact = ContactLease()
        edge.store.subscribe(contact.note)
        hold = CaptureHold(folder / "capture-stopped", contact.bound)
        log = LogUplink(
            store=edge.store,
            key=edge.key,
            enrolment=enrolment,
            steps=edge.steps,
            contact=contact,
            outbox=edge.outbox,
            hold=hold,
        )
        gate = Gate(edge.store, bound=hold.bound)
        if started:
            log.first_contact()
            edge.start()
        yield Link(edge, log, Uplink(outbox=edge.outbox, key=edge.key, enrolment=enrolment), hold, gate)


def enrolled(dsn: str, folder: Path, address: str) -> Enrolment:
    with EdgeFolder(folder) as edge, Database(dsn) as database:
        token = make_token(database, ["quay-1"], actor="test", unit="Một cửa", area="area-1")
        done = enrol(database, token, edge.key.public_key(), "edge-1")
    return Enrolment(done.edge, address, done.counters)


def at(enrolment: Enrolment, address: str) -> Enrolment:
    return Enrolment(enrolment.edge, address, enrolment.counters)


def rows(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement).fetchall()


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        if time.monotonic() > deadline:
            pytest.fail("it never happened")
        threading.Event().wait(0.02)


CONSENTS = "SELECT record_id, state, outcome, commitment, first_index, last_index FROM consents ORDER BY 1"
SIGNALS = "SELECT consent_record_id, payload::text FROM signals ORDER BY 1"
ENTRIES = "SELECT idx, body FROM edge_log_entries ORDER BY idx"
SUMS = "SELECT counter, day, sessions, score_sum FROM rollup_counter_day ORDER BY 1, 2"


def test_a_restored_centre_reaches_the_same_projection_again(
    postgres: EmbeddedPostgres, dsn: str, tmp_path: Path
) -> None:
    log = {"data_dir": str(tmp_path / "central"), "checkpoint_s": 0.05, "fold_s": 0}
    with running(dsn, log=log) as central:
        enrolment = enrolled(dsn, tmp_path / "edge", central.address)
        with opened(tmp_path / "edge", enrolment) as link:
            link.edge.served()
            link.sync()
    backup = Backup.of(postgres, dsn)
    with running(dsn, log=log) as central, opened(tmp_path / "edge", at(enrolment, central.address)) as link:
        wanted, second = link.edge.served(), link.edge.served()
        link.sync()
        with Database(dsn) as database:
            assert withdraw_record(database, wanted, method="central-page", actor="citizen") is not None
    told = [rows(dsn, what) for what in (CONSENTS, ENTRIES)]
    size = rows(dsn, "SELECT count(*) FROM central_log")[0][0]
    assert {row[0] for row in rows(dsn, SIGNALS)} >= {second}
    backup.restore()
    backup.remove()
    assert len(rows(dsn, CONSENTS)) == 1
    with running(dsn, log=log) as central:
        assert httpx.get(f"{central.address}/readyz").status_code == 200
        with opened(tmp_path / "edge", at(enrolment, central.address), started=False) as link:
            # The edge has not heard of the withdrawal yet; first it only brings the centre to where it was.
            with httpx.Client(base_url=central.address, timeout=30) as client:
                link.log.sync_once(client)
                assert link.log.state.acknowledged is not None
                assert link.log.state.acknowledged < link.edge.store.log.size
            link.sync()
            # The withdrawal came back from the centre's own leaves, and reached the edge this time.
            assert link.edge.store.state(wanted) is State.WITHDRAWN
            link.edge.start()
            third = link.edge.served()  # the next signal shows the gap: the ones before it follow
            link.sync()
        again = [rows(dsn, what) for what in (CONSENTS, ENTRIES)]
    assert again[1][: len(told[1])] == told[1]
    states = {row[0]: row for row in again[0]}
    assert states[wanted][1] == "withdrawn"
    unchanged = [row for row in told[0] if row[0] != wanted]
    assert [row for row in again[0] if row[0] not in {wanted, third}] == unchanged
    counted = {row[0] for row in rows(dsn, SIGNALS)}
    assert {second, third} <= counted
    assert wanted not in counted
    with Database(dsn) as database:
        found = verify(CentralLog(database, tmp_path / "central"))
    assert found.ok, found.reason
    assert found.entries > int(str(size))
    assert rows(dsn, "SELECT count(*) FROM edge_log_forks") == [(0,)]
    assert rows(dsn, "SELECT count(*) FROM withdrawal_requests WHERE settled_at IS NULL") == [(0,)]


@dataclass(frozen=True)
class OldFolder:
    """An edge's folder from before a withdrawal, beside a centre that knows of it."""

    folder: Path
    enrolment: Enrolment
    withdrawn: UUID
    later: UUID
    dsn: str
    log: tuple[bytes, ...]


@pytest.fixture
def old_folder(dsn: str, tmp_path: Path) -> Iterator[OldFolder]:
    log = {"data_dir": str(tmp_path / "central"), "checkpoint_s": 0.05, "fold_s": 0}
    folder, kept = tmp_path / "edge", tmp_path / "backup"
    with running(dsn, log=log) as central:
        enrolment = enrolled(dsn, folder, central.address)
        write_private(folder / "enrolment.json", json.dumps(asdict(enrolment), default=str).encode())
        with opened(folder, enrolment) as link:
            marked = link.edge.given()
            payload = signal_payload(marked, software=CANARY)
            link.edge.withdraw(link.edge.given())
            link.edge.erasure.resume()
            held = link.edge.outbox.hold("signal", payload, key=marked)
            link.edge.store.complete(marked, SessionSummary(outcome=Outcome.SIGNAL, commitment=held))
            link.edge.outbox.release(marked)
            link.sync()
        shutil.copytree(folder, kept)
        with opened(folder, enrolment) as link:
            later = link.edge.served()
            link.edge.withdraw(marked)
            link.edge.erasure.erase_due()
            link.sync()
            entries = tuple(entry.body for entry in link.edge.store.log.entries())
        eventually(lambda: [row[0] for row in rows(dsn, SIGNALS)] == [later])
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        shutil.rmtree(kept)
        yield OldFolder(folder, enrolment, marked, later, dsn, entries)


def opens_payload(folder: Path, record_id: UUID) -> bool:
    """Tell whether the folder still holds a signal with the key that opens it."""
    with EdgeFolder(folder) as edge:
        return any(
            entry.payload.get("software") == CANARY
            for entry in edge.outbox.pending(after=0)
            if entry.payload.get("consent_record_id") == str(record_id)
        )


def test_an_old_folder_learns_of_a_withdrawal_before_anything_else(old_folder: OldFolder) -> None:
    assert opens_payload(old_folder.folder, old_folder.withdrawn), "else the search proves nothing"
    with EdgeFolder(old_folder.folder) as edge:
        key = edge.keys.get(old_folder.withdrawn)
        assert edge.store.state(old_folder.withdrawn) is State.COMPLETED
    sums = rows(old_folder.dsn, SUMS)
    signals = rows(old_folder.dsn, SIGNALS)
    with opened(old_folder.folder, old_folder.enrolment) as link:
        store = link.edge.store
        assert tuple(entry.body for entry in store.log.entries(0, len(old_folder.log))) == old_folder.log
        assert store.state(old_folder.withdrawn) is State.WITHDRAWN
        assert link.edge.erasure.certificate(old_folder.withdrawn) is not None
        assert store.verify().ok
        assert link.hold.reason is None
        link.sync()
        assert rows(old_folder.dsn, SIGNALS) == signals
        assert rows(old_folder.dsn, SUMS) == sums, "nothing is counted twice"
        served = link.edge.served()
        link.sync()
        assert {row[0] for row in rows(old_folder.dsn, SIGNALS)} == {old_folder.later, served}
        assert link.batches.state.quarantined == 0
        assert store.verify().ok
    assert not opens_payload(old_folder.folder, old_folder.withdrawn)
    everything = bytes_of(old_folder.folder)
    assert CANARY.encode() not in everything
    assert key not in everything
    assert rows(old_folder.dsn, "SELECT count(*) FROM edge_log_forks") == [(0,)]
    assert rows(old_folder.dsn, "SELECT count(*) FROM edge_log_anomalies") == [(0,)]


def test_an_old_folder_catches_up_at_its_first_contact(old_folder: OldFolder) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with opened(old_folder.folder, at(old_folder.enrolment, away)) as link:
            assert link.edge.store.state(old_folder.withdrawn) is State.COMPLETED  # nobody could tell it
            link.log.enrolment = link.batches.enrolment = old_folder.enrolment
            link.edge.erasure.start()
            link.sync()
            link.edge.erasure.stop()
            assert link.edge.store.state(old_folder.withdrawn) is State.WITHDRAWN
            assert link.hold.reason is None
    assert not opens_payload(old_folder.folder, old_folder.withdrawn)


def test_an_old_folder_that_wrote_on_is_an_alarm_and_captures_no_more(old_folder: OldFolder) -> None:
    with opened(old_folder.folder, old_folder.enrolment, started=False) as link:
        grant = link.gate.grant(link.edge.given())
        assert grant.purposes
        assert not grant.ended()
        assert not link.log.first_contact()
        assert link.log.state.forked
        assert grant.wait_ended(5), "the capture that began before the contact ends with it"
        fresh = link.gate.grant(link.edge.given())
        with pytest.raises(NotPermitted), link.gate.stream(fresh, None):  # type: ignore[arg-type]  # never opened
            pass
    with opened(old_folder.folder, at(old_folder.enrolment, "http://127.0.0.1:9")) as link:
        assert link.hold.reason is not None, "also after a restart without the network"
        assert link.log.state.forked
        assert link.gate.grant(link.edge.given()).ended()


def test_nothing_that_the_edge_did_not_sign_is_appended(old_folder: OldFolder) -> None:
    def lying(request: httpx.Request, lie: str) -> httpx.Response:
        answer = httpx.post(
            old_folder.enrolment.centre + request.url.path,
            content=request.content,
            headers={"Hailong-Signature": request.headers["Hailong-Signature"]},
        )
        given = answer.json()
        if request.url.path == "/v1/log/entries":
            if lie == "other-entry":
                given["entries"][0] = given["entries"][-1]
            elif lie == "left-out":
                del given["entries"][0]
                given["size"] -= 1
            elif lie == "other-note":
                given["checkpoint"] = given["checkpoint"].replace("\n— ", "\n— x", 1)
            else:
                given["entries"][0] = given["entries"][0].replace('{"', '{ "', 1)
        return httpx.Response(answer.status_code, json=given)

    with opened(old_folder.folder, old_folder.enrolment, started=False) as link:
        before = link.edge.store.log.size
        for lie in ("other-entry", "left-out", "other-note", "not-canonical"):
            link.log.transport = httpx.MockTransport(partial(lying, lie=lie))
            assert not link.log.first_contact()
            assert link.log.state.forked, lie
            assert link.hold.reason is not None
            assert link.edge.store.log.size == before
            link.hold.lift()
        link.log.transport = None
        assert link.log.first_contact(), "the true entries are taken all the same"
        assert link.hold.reason is None
        assert link.edge.store.log.size == len(old_folder.log)
