"""A withdrawal that met a full disk and then a power cut is still a withdrawal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from capture.unwritten import Step, UnwrittenSteps
from consent.errors import LedgerCorrupt, TransitionRefused, UnknownRecord
from consent.record import IndicatedBy
from consent.state import State
from tests.capture.edge_folder import UNWRITTEN, EdgeFolder


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeFolder]:
    with EdgeFolder(tmp_path / "edge") as made:
        yield made


def withdrawn(record_id: UUID) -> Step:
    return Step(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt-code")


def full_disk(edge: EdgeFolder, *, full: bool) -> None:
    edge.store.log._writer.execute(f"PRAGMA query_only = {'ON' if full else 'OFF'}")


def test_a_step_goes_straight_to_the_log(edge: EdgeFolder) -> None:
    record_id = edge.served()
    assert edge.steps.take(withdrawn(record_id))
    assert edge.store.state(record_id) is State.WITHDRAWN
    assert len(edge.steps) == 0


def test_it_survives_a_restart_and_wins_over_the_release(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id = edge.served(release=False)
        full_disk(edge, full=True)
        assert not edge.steps.take(withdrawn(record_id))
        assert not edge.steps.take(withdrawn(record_id))  # pressed again: kept once
        assert edge.steps.records() == {record_id}
        assert len(edge.steps) == 1
    with EdgeFolder(folder) as again:
        assert again.steps.records() == {record_id}
        again.start()
        assert again.store.state(record_id) is State.WITHDRAWN
        assert (again.outbox.held(), again.outbox.pending()) == ((), ())
        assert again.erasure.certificate(record_id) is not None
        assert len(again.steps) == 0
    with EdgeFolder(folder) as third:
        assert third.steps.records() == frozenset()


def test_while_the_log_still_fails_nothing_of_it_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id, other = edge.served(release=False), edge.served(release=False)
        full_disk(edge, full=True)
        edge.steps.take(withdrawn(record_id))
    with EdgeFolder(folder) as again:
        full_disk(again, full=True)
        again.start()
        assert again.outbox.contains(other)
        assert not again.outbox.contains(record_id)
        assert again.outbox.held() == ()
        full_disk(again, full=False)
        again.start()
        assert again.store.state(record_id) is State.WITHDRAWN
        assert again.erasure.certificate(record_id) is not None


def test_the_file_has_its_size_from_the_start(edge: EdgeFolder) -> None:
    path = edge.folder / UNWRITTEN
    before = path.stat()
    full_disk(edge, full=True)
    for _ in range(5):
        edge.steps.take(withdrawn(edge_record(edge)))
    assert (path.stat().st_size, path.stat().st_ino) == (before.st_size, before.st_ino)
    assert before.st_mode & 0o777 == 0o600


def edge_record(edge: EdgeFolder) -> UUID:
    full_disk(edge, full=False)
    record_id = edge.served()
    full_disk(edge, full=True)
    return record_id


def test_what_the_log_refuses_is_told_and_not_kept(edge: EdgeFolder) -> None:
    record_id = edge.served()
    edge.withdraw(record_id)
    with pytest.raises(TransitionRefused):
        edge.steps.take(withdrawn(record_id))
    with pytest.raises(UnknownRecord):
        edge.steps.take(withdrawn(uuid4()))
    assert len(edge.steps) == 0


def test_a_damaged_log_loses_no_withdrawal(edge: EdgeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    record_id, other = edge.served(), edge.served()
    apply = edge.store.apply

    def damaged(record: UUID, to: State, by: IndicatedBy, method: str) -> object:
        if record == record_id:
            raise LedgerCorrupt("entry 2: the hash does not cover the stored bytes")
        return apply(record, to, by, method)

    monkeypatch.setattr(edge.store, "apply", damaged)
    assert not edge.steps.take(withdrawn(record_id))
    assert edge.steps.retry() == 1
    full_disk(edge, full=True)
    assert not edge.steps.take(withdrawn(other))
    full_disk(edge, full=False)
    assert edge.steps.retry() == 1  # the damage of one entry keeps no other waiting
    assert edge.store.state(other) is State.WITHDRAWN
    monkeypatch.undo()  # restored from a backup
    assert edge.steps.retry() == 0
    assert edge.store.state(record_id) is State.WITHDRAWN


def test_a_damaged_slot_is_passed_over(edge: EdgeFolder, tmp_path: Path) -> None:
    record_id = edge.served()
    full_disk(edge, full=True)
    edge.steps.take(withdrawn(record_id))
    path = edge.folder / UNWRITTEN
    content = bytearray(path.read_bytes())
    content[256:260] = b"{\xff}\n"
    copy = tmp_path / "copy"
    copy.write_bytes(content)
    assert UnwrittenSteps(edge.store, copy).records() == {record_id}
    full_disk(edge, full=False)


def test_more_steps_than_slots_wait_in_memory(edge: EdgeFolder) -> None:
    full_disk(edge, full=True)
    for number in range(300):
        edge.steps._keep(withdrawn(UUID(int=number)))
    assert len(edge.steps) == 300
    assert len(UnwrittenSteps(edge.store, edge.folder / UNWRITTEN)) == 256
    full_disk(edge, full=False)
    assert edge.steps.retry() == 0  # of no record here: told and dropped
