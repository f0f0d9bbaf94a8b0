"""A new key for an edge, end to end: endorsed in its log, learned by the centre, old proofs still good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from api.database import Database
from api.enrolment import enrol, make_token
from capture import key_rotation
from capture.identity import EdgeKey, Enrolment, load_or_make_key
from capture.key_rotation import NEXT_FILE, RotationRefused, finish_rotation, rotate_key
from capture.log_uplink import LogUplink
from capture.unwritten import UnwrittenSteps
from capture.uplink import Uplink
from consent.checkpoint import verifier
from consent.errors import LedgerUnavailable
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.receipt import code_digest, new_code
from consent.record import IndicatedBy
from consent.verification import verify_file
from tests.api.running import Central, running
from tests.capture.edge_folder import CONSENT_LOG, UNWRITTEN, EdgeFolder
from tests.consent.citizens import citizen

BOTH = (Purpose.IMAGE, Purpose.VOICE)


@dataclass
class Place:
    """An enrolled edge whose program is stopped, and its centre."""

    central: Central
    folder: Path
    enrolment: Enrolment

    @property
    def log(self) -> Path:
        return self.folder / CONSENT_LOG

    def steps(self, store: ConsentStore) -> UnwrittenSteps:
        return UnwrittenSteps(store, self.folder / UNWRITTEN)

    def rotate(self) -> tuple[str, ...]:
        keys = rotate_key(self.folder, self.log, self.enrolment, steps_of=self.steps)
        return tuple(period.vkey for period in keys.periods)

    def enrolled_key(self) -> bytes:
        with psycopg.connect(self.central.dsn) as connection:
            row = connection.execute("SELECT public_key FROM edges").fetchone()
        assert row is not None
        return bytes(row[0])

    def sync(self, edge: EdgeFolder) -> None:
        """Ship the log as the edge does, until the centre has all of it."""
        uplink = self.uplink(edge)
        with httpx.Client(base_url=self.central.address, timeout=10) as client:
            for _ in range(20):
                if uplink.sync_once(client):
                    return
        pytest.fail("the centre never had the whole log")

    def uplink(self, edge: EdgeFolder) -> LogUplink:
        return LogUplink(store=edge.store, key=edge.key, enrolment=self.enrolment, steps=edge.steps)


@pytest.fixture
def place(dsn: str, tmp_path: Path) -> Iterator[Place]:
    log = {"data_dir": str(tmp_path / "central"), "checkpoint_s": 0.05, "fold_s": 0}
    with running(dsn, log=log) as central, Database(dsn) as database:
        with EdgeFolder(tmp_path / "edge") as edge:
            token = make_token(database, ["quay-1"], actor="test", unit="Một cửa", area="area-1")
            done = enrol(database, token, edge.key.public_key(), "edge-1")
        httpx.get(f"{central.address}/log/keys", timeout=30)  # it can be stopped only once it serves
        yield Place(central, tmp_path / "edge", Enrolment(done.edge, central.address, done.counters))


def answered(store: ConsentStore, code: str) -> UUID:
    record = replace(citizen(BOTH), counter="quay-1", withdrawal_digest=code_digest(code))
    store.offer(record)
    store.show(record.record_id, record.notice)
    choices = dict.fromkeys(BOTH, False)
    store.decide(record.record_id, choices, IndicatedBy.CITIZEN, "tap", dwell_ms=4000)
    return record.record_id


def listed(place: Place) -> dict[str, tuple[int, int | None]]:
    """Return the edge's keys as everybody sees them at the centre."""
    text = httpx.get(f"{place.central.address}/log/keys", timeout=10).text
    lines = [line.split(" ", 3) for line in text.splitlines() if line.startswith("edge ")]
    return {vkey: (int(first), None if until == "-" else int(until)) for _, first, until, vkey in lines}


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        if time.monotonic() > deadline:
            pytest.fail("it never happened")
        threading.Event().wait(0.02)


def test_old_receipts_and_checkpoints_hold_after_two_rotations(place: Place) -> None:
    slips = []
    notes = []
    for turn in range(3):
        with EdgeFolder(place.folder) as edge:
            code = new_code()
            record = answered(edge.store, code)
            slips.append(edge.store.receipt(record, code))
            notes.append(edge.store.log.checkpoint())
            place.sync(edge)
        if turn < 2:
            keys = place.rotate()
            assert len(keys) == turn + 2
    with EdgeFolder(place.folder) as edge:
        history = edge.store.log.keys()
        assert len({period.vkey for period in history.periods}) == 3
        for note, slip in zip(notes, slips, strict=True):
            history.open(note)
            size = history.open(slip.checkpoint).checkpoint.size
            slip.check(history.verifiers(size))
        assert verify_file(place.log, keys=[period.vkey for period in history.periods], known=notes).ok
        assert place.enrolled_key() == verifier(history.periods[-1].vkey).key.public
    # The centre lists each key with its sizes, and finds each slip genuine by the key of its time.
    assert listed(place) == {period.vkey: (period.from_size, period.until_size) for period in history.periods}
    for slip in slips:
        page = httpx.post(
            f"{place.central.address}/receipt/check?lang=en", data={"slip": slip.text()}, timeout=10
        )
        assert "GENUINE" in page.text


def test_batches_are_taken_under_the_new_key(place: Place) -> None:
    place.rotate()
    with EdgeFolder(place.folder) as edge:
        edge.served()
        batches = Uplink(outbox=edge.outbox, key=edge.key, enrolment=place.enrolment)
        batches.start()
        try:
            eventually(lambda: edge.outbox.depth() == 0)
        finally:
            batches.stop()
    with psycopg.connect(place.central.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (1,)


def test_the_old_key_opens_nothing_any_more(place: Place) -> None:
    old = EdgeKey.load_or_make(place.folder)
    place.rotate()
    with EdgeFolder(place.folder) as edge:
        edge.key = old
        uplink = place.uplink(edge)
        with httpx.Client(base_url=place.central.address, timeout=10) as client:
            body, _ = uplink._encode(0, edge.store.log.size)
            headers = {"Hailong-Signature": old.sign(body)}
            assert client.post("/v1/log", content=body, headers=headers).status_code == 401
    with pytest.raises(LedgerUnavailable, match="not the key"):
        ConsentStore(place.log, signers=lambda origin: (old.signer(origin),))


def test_a_key_that_the_old_one_does_not_endorse_is_refused(place: Place, tmp_path: Path) -> None:
    """Somebody who has the network but not the key cannot make the centre take theirs."""
    with EdgeFolder(place.folder) as edge:
        place.sync(edge)
    enrolled = place.enrolled_key()
    with EdgeFolder(tmp_path / "thief") as thief:
        thief.served()
        own = EdgeKey(load_or_make_key(tmp_path / "other.pem"))
        thief.store.rotate_key(lambda origin: (own.signer(origin),))
        thief.key = own
        uplink = place.uplink(thief)
        body, _ = uplink._encode(0, thief.store.log.size)
        answer = httpx.post(
            f"{place.central.address}/v1/log",
            content=body,
            headers={"Hailong-Signature": own.sign(body)},
            timeout=10,
        )
    assert answer.status_code == 401
    assert place.enrolled_key() == enrolled


def test_a_revoked_edge_gets_no_new_key(place: Place) -> None:
    with EdgeFolder(place.folder) as edge:
        place.sync(edge)
    enrolled = place.enrolled_key()
    staged = EdgeKey(load_or_make_key(place.folder / NEXT_FILE))
    with EdgeFolder(place.folder) as edge:
        edge.store.rotate_key(lambda origin: (staged.signer(origin),))
        with psycopg.connect(place.central.dsn) as connection:
            connection.execute("UPDATE edges SET revoked_at = now()")
        edge.key = staged
        body, _ = place.uplink(edge)._encode(0, edge.store.log.size)
        answer = httpx.post(
            f"{place.central.address}/v1/log",
            content=body,
            headers={"Hailong-Signature": staged.sign(body)},
            timeout=10,
        )
    assert answer.status_code == 401
    assert place.enrolled_key() == enrolled


def test_nothing_is_rotated_while_the_centre_lacks_a_part_of_the_log(place: Place) -> None:
    """Only the old key can sign the part that it was the key of; then it is gone."""
    before = EdgeKey.load_or_make(place.folder).public_key()
    away = replace(place.enrolment, centre="http://127.0.0.1:9")
    with pytest.raises(RotationRefused, match="centre must have the whole log"):
        rotate_key(place.folder, place.log, away, steps_of=place.steps)
    assert EdgeKey.load_or_make(place.folder).public_key() == before
    assert not (place.folder / NEXT_FILE).exists()
    with EdgeFolder(place.folder) as edge:
        assert len(edge.store.log.keys().periods) == 1


@pytest.mark.parametrize("step", ["staged", "logged", "in place"])
def test_a_crash_at_any_step_leaves_an_edge_that_starts(
    place: Place, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EdgeFolder(place.folder) as edge:
        code = new_code()
        slip = edge.store.receipt(answered(edge.store, code), code)
    cut = {"staged": "rotate_key", "logged": "_put_in_place", "in place": "_ship"}[step]
    ships = 0

    def crash(*_: object, **__: object) -> None:
        raise SystemExit(9)

    def ship_once(*values: object) -> None:
        nonlocal ships
        ships += 1
        if ships > 1:
            crash()
        real_ship(*values)  # type: ignore[arg-type]  # passed on as it came

    real_ship = key_rotation._ship
    with monkeypatch.context() as patched:
        if step == "staged":
            patched.setattr(ConsentStore, cut, crash)
        else:
            patched.setattr(key_rotation, cut, ship_once if step == "in place" else crash)
        with pytest.raises(SystemExit):
            place.rotate()
    assert finish_rotation(place.folder, place.log) is (step == "logged")
    with EdgeFolder(place.folder) as edge:  # opens only under a key that the log names
        edge.served()
        place.sync(edge)
        history = edge.store.log.keys()
        assert len(history.periods) == (1 if step == "staged" else 2)
        slip.check(history.verifiers(history.open(slip.checkpoint).checkpoint.size))
        assert place.enrolled_key() == verifier(history.periods[-1].vkey).key.public
    if step == "staged":  # the staged key is taken up by the next try
        staged = EdgeKey(load_or_make_key(place.folder / NEXT_FILE)).public_key()
        place.rotate()
        assert EdgeKey.load_or_make(place.folder).public_key() == staged
