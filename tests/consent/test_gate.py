"""The gate: what cannot be forged, what is closed, how soon it stops."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consent.errors import NotPermitted, UnpermittedUnit
from consent.gate import Gate, Grant, Permitted
from consent.purpose import Purpose
from consent.state import State
from tests.consent.citizens import ALL_GIVEN, BOTH, Clocks, Sample, Tripwire, citizen

if TYPE_CHECKING:
    from uuid import UUID

    from consent.ledger import ConsentStore


@pytest.fixture
def record_id(store: ConsentStore) -> UUID:
    record = citizen()
    store.offer(record)
    store.decide(record.record_id, ALL_GIVEN, "citizen", "kiosk-touch")
    return record.record_id


@pytest.fixture
def tripwire(clocks: Clocks) -> Tripwire:
    return Tripwire(clocks.monotonic_ns)


def one_unit(gate: Gate, grant: Grant, tripwire: Tripwire) -> Permitted[Sample]:
    with gate.stream(grant, tripwire) as units:
        return next(units)


def test_an_open_question_grants_nothing(store: ConsentStore, gate: Gate) -> None:
    record = citizen()
    store.offer(record)
    with pytest.raises(NotPermitted, match="offered"):
        gate.grant(record.record_id)


def test_the_device_opens_after_the_check_with_what_was_given(
    store: ConsentStore, gate: Gate, tripwire: Tripwire
) -> None:
    record = citizen()
    store.offer(record)
    store.decide(record.record_id, {Purpose.IMAGE: False, Purpose.VOICE: True}, "citizen", "kiosk-touch")
    grant = gate.grant(record.record_id)
    assert tripwire.opened == []
    unit = one_unit(gate, grant, tripwire)
    assert [purposes for _, purposes in tripwire.opened] == [{Purpose.VOICE}]
    assert (unit.purpose, unit.record_id, unit.session_id) == (
        Purpose.VOICE,
        record.record_id,
        record.session_id,
    )
    assert unit.open() == Sample(Purpose.VOICE, 0)
    assert tripwire.closed == 1


def test_a_grant_of_another_gate_opens_no_device(
    store: ConsentStore, gate: Gate, record_id: UUID, clocks: Clocks, tripwire: Tripwire
) -> None:
    other = Gate(store, monotonic_ns=clocks.monotonic_ns)
    with pytest.raises(NotPermitted), gate.stream(other.grant(record_id), tripwire):
        pass
    assert tripwire.opened == []


def test_a_purpose_that_was_not_given_opens_no_device(
    store: ConsentStore, gate: Gate, tripwire: Tripwire
) -> None:
    record = citizen()
    store.offer(record)
    store.decide(record.record_id, {Purpose.IMAGE: True, Purpose.VOICE: False}, "citizen", "kiosk-touch")
    grant = gate.grant(record.record_id)
    with pytest.raises(NotPermitted), gate.stream(grant, tripwire, purposes=frozenset({Purpose.VOICE})):
        pass
    assert tripwire.opened == []


def test_a_stray_unit_is_dropped_and_the_device_closed(
    gate: Gate, record_id: UUID, tripwire: Tripwire
) -> None:
    tripwire.stray = Purpose.QUOTES
    grant = gate.grant(record_id)
    with pytest.raises(UnpermittedUnit), gate.stream(grant, tripwire) as units:
        next(units)
    assert tripwire.closed == 1


def test_a_permitted_unit_cannot_be_forged(gate: Gate, record_id: UUID, tripwire: Tripwire) -> None:
    grant = gate.grant(record_id)
    real = one_unit(gate, grant, tripwire)
    hollow: Permitted[Sample] = object.__new__(Permitted)
    with pytest.raises(NotPermitted):
        hollow.open()
    object.__setattr__(hollow, "_grant", grant)
    object.__setattr__(hollow, "_purpose", Purpose.IMAGE)
    with pytest.raises(NotPermitted):
        hollow.open()
    with pytest.raises(NotPermitted):
        Permitted(object(), grant, Purpose.IMAGE)
    with pytest.raises(NotPermitted):
        type("Own", (Permitted,), {})
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps, lambda unit: setattr(unit, "_grant", grant)):
        with pytest.raises(NotPermitted):
            attempt(real)
    assert real.open() == Sample(Purpose.IMAGE, 0)
    assert "Sample" not in repr(real)


def test_a_grant_cannot_be_forged_or_changed(gate: Gate, record_id: UUID) -> None:
    grant = gate.grant(record_id)
    with pytest.raises(NotPermitted):
        Grant(object(), grant._lease, grant.session_id, grant.purposes)
    with pytest.raises(NotPermitted):
        grant.purposes = frozenset(Purpose)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(NotPermitted):
            attempt(grant)


def test_unpermitted_media_does_not_type_check(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(Path(__file__).with_name("unpermitted.py.txt").read_text("utf-8"))
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--no-error-summary",
            str(snippet),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in run.stdout.splitlines() if " error: " in line]
    expected = [
        number
        for number, line in enumerate(snippet.read_text("utf-8").splitlines(), start=1)
        if line.endswith("# refused")
    ]
    assert len(expected) == 6
    found = {int(problem.split(":")[1]) for problem in problems}
    assert found == set(expected), run.stdout + run.stderr
    for kind in ("Frame", "AudioChunk"):
        assert f'has incompatible type "{kind}"; expected "Permitted[{kind}]"' in run.stdout


@pytest.mark.parametrize("to", [State.WITHDRAWN, State.COMPLETED, State.REVOKED, State.INVALIDATED])
def test_what_waits_in_a_queue_is_gone_when_the_consent_ends(
    store: ConsentStore, gate: Gate, record_id: UUID, tripwire: Tripwire, to: State
) -> None:
    grant = gate.grant(record_id)
    with gate.stream(grant, tripwire) as units:
        queue = [next(units) for _ in range(20)]
        media = weakref.ref(queue[-1].open())
        assert media() is not None
        store.apply(record_id, to, "citizen", "kiosk-touch")
        assert list(units) == []
    for unit in queue:
        with pytest.raises(NotPermitted):
            unit.open()
    gc.collect()
    assert media() is None, "the media outlived the consent in memory"
    assert len(tripwire.served) == 20
    assert grant.ended_by is to


def test_a_unit_decoded_while_the_consent_ended_is_handed_to_nobody(
    store: ConsentStore, gate: Gate, record_id: UUID, tripwire: Tripwire
) -> None:
    grant = gate.grant(record_id)
    handed: list[Permitted[Sample]] = []
    tripwire.while_reading = lambda: store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
    with gate.stream(grant, tripwire, on_unit=handed.append) as units:
        assert list(units) == []
    assert (len(tripwire.served), handed, tripwire.closed) == (1, [], 1)


def _fail_after_one(gate: Gate, grant: Grant, tripwire: Tripwire) -> None:
    with gate.stream(grant, tripwire) as units:
        next(units)
        raise ZeroDivisionError


def test_a_unit_is_not_opened_between_the_end_and_its_purge(
    gate: Gate, record_id: UUID, tripwire: Tripwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order of steps that the model of the gate found: another thread ended the lease just now."""
    grant = gate.grant(record_id)
    unit = one_unit(gate, grant, tripwire)

    def end_behind_the_look(lease: Any) -> bool:
        lease._over.set()
        return True

    monkeypatch.setattr(type(grant._lease), "live", end_behind_the_look)
    with pytest.raises(NotPermitted, match="dropped"):
        unit.open()


def test_the_device_is_closed_when_the_reader_fails(gate: Gate, record_id: UUID, tripwire: Tripwire) -> None:
    grant = gate.grant(record_id)
    with pytest.raises(ZeroDivisionError):
        _fail_after_one(gate, grant, tripwire)
    assert tripwire.closed == 1


def test_the_end_of_the_stream_is_the_end(gate: Gate, record_id: UUID, tripwire: Tripwire) -> None:
    tripwire.limit = 3
    with gate.stream(gate.grant(record_id), tripwire) as units:
        assert [unit.open().index for unit in units] == [0, 1, 2]


def test_on_unit_sees_each_unit_before_it_is_handed_on(
    gate: Gate, record_id: UUID, tripwire: Tripwire
) -> None:
    tripwire.limit = 5
    seen: list[Permitted[Sample]] = []
    with gate.stream(gate.grant(record_id), tripwire, on_unit=seen.append) as units:
        assert list(units) == seen
    assert len(seen) == 5


@pytest.mark.parametrize("days", [-1, 1])
def test_a_jump_of_the_wall_clock_neither_lengthens_nor_ends_a_lease(
    gate: Gate, record_id: UUID, clocks: Clocks, days: int
) -> None:
    grant = gate.grant(record_id)
    clocks.wall = clocks.wall.replace(day=clocks.wall.day + days)
    assert grant.live(Purpose.IMAGE)
    clocks.mono_ns += 3600 * 1_000_000_000
    assert grant.ended()
    assert grant.ended_by is State.EXPIRED
    assert gate.store.state(record_id) is State.EXPIRED


def test_a_monotonic_clock_that_runs_back_ends_the_grant(gate: Gate, record_id: UUID, clocks: Clocks) -> None:
    grant = gate.grant(record_id)
    assert grant.live(Purpose.IMAGE)
    clocks.advance(1)
    assert grant.live(Purpose.IMAGE)
    clocks.mono_ns -= 86_400_000_000_000
    assert grant.ended()


def test_a_store_that_cannot_be_read_ends_the_grant_within_the_lease(
    store: ConsentStore, gate: Gate, record_id: UUID, clocks: Clocks
) -> None:
    grant = gate.grant(record_id)
    store.close()
    clocks.advance(2.4)
    assert grant.live(Purpose.IMAGE)
    clocks.advance(0.2)
    assert not grant.live(Purpose.IMAGE)
    assert grant.ended_by is None
    clocks.mono_ns -= 200_000_000
    assert grant.ended(), "an ended grant came back"


def test_a_withdrawal_written_by_another_process_ends_the_grant_within_the_lease(
    gate: Gate, record_id: UUID, clocks: Clocks
) -> None:
    from consent.ledger import ConsentStore as Elsewhere  # noqa: PLC0415 - stands for another process

    grant = gate.grant(record_id)
    with Elsewhere(gate.store.path, monotonic_ns=clocks.monotonic_ns) as other:
        other.apply(record_id, State.WITHDRAWN, "citizen", "receipt")
    clocks.advance(5.0)
    assert not grant.live(Purpose.VOICE)


class _Blocking:
    """A device that gives a few units and then blocks, as a camera without light does."""

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.woken = threading.Event()
        self.left = 3

    def open(self, purposes: frozenset[Purpose]) -> _Blocking:
        return self

    def read(self) -> Sample | None:
        if self.left:
            self.left -= 1
            return Sample(Purpose.IMAGE, self.left)
        self.blocked.set()
        if not self.woken.wait(60):
            raise TimeoutError
        raise OSError("interrupted in its own way")

    def interrupt(self) -> None:
        self.woken.set()

    def close(self) -> None:
        self.woken.set()


def test_a_blocked_read_is_interrupted_at_once(store: ConsentStore, gate: Gate, record_id: UUID) -> None:
    device, ended = _Blocking(), threading.Event()
    taken: list[Purpose] = []

    def session() -> None:
        with gate.stream(gate.grant(record_id), device) as units:
            taken.extend(unit.purpose for unit in units)
        ended.set()

    thread = threading.Thread(target=session)
    thread.start()
    assert device.blocked.wait(30)
    began = time.monotonic()
    store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
    assert ended.wait(30)
    took_s = time.monotonic() - began
    thread.join(30)
    assert taken == [Purpose.IMAGE] * 3
    assert took_s < 10, "the lease, not the withdrawal, ended the read"
    assert not [item for item in threading.enumerate() if item.name == "consent-watch"]


def test_a_withdrawal_does_not_wait_for_a_store_that_answers_slowly(
    store: ConsentStore, gate: Gate, record_id: UUID, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = gate.grant(record_id)
    asked, answer, told = threading.Event(), threading.Event(), threading.Event()
    permitted = store.permitted

    def slowly(wanted: UUID) -> frozenset[Purpose]:
        found = permitted(wanted)
        asked.set()
        answer.wait(30)
        return found

    monkeypatch.setattr(store, "permitted", slowly)
    clocks.advance(3)
    alive: list[bool] = []
    reader = threading.Thread(target=lambda: alive.append(grant.live(Purpose.IMAGE)))
    reader.start()
    assert asked.wait(30)
    grant.on_end(told.set)
    citizen_thread = threading.Thread(
        target=store.apply, args=(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
    )
    citizen_thread.start()
    stopped = told.wait(10)
    answer.set()
    reader.join(30)
    citizen_thread.join(30)
    assert stopped, "the withdrawal waited for the store"
    assert alive == [False], "an answer from before the withdrawal was believed after it"


def test_a_slow_first_look_makes_the_lease_no_longer(
    store: ConsentStore, gate: Gate, record_id: UUID, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    permitted = store.permitted

    def slowly(wanted: UUID) -> frozenset[Purpose]:
        found = permitted(wanted)
        clocks.advance(10)
        return found

    monkeypatch.setattr(store, "permitted", slowly)
    grant = gate.grant(record_id)
    monkeypatch.setattr(store, "permitted", lambda _: frozenset())
    assert not grant.live(Purpose.IMAGE)


def test_the_device_is_closed_when_no_thread_can_watch_it(
    gate: Gate, record_id: UUID, tripwire: Tripwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = gate.grant(record_id)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"), gate.stream(grant, tripwire):
        pass
    assert (len(tripwire.opened), tripwire.closed, tripwire.served) == (1, 1, [])


def test_those_who_asked_are_told_once_of_the_end(store: ConsentStore, gate: Gate, record_id: UUID) -> None:
    grant = gate.grant(record_id)
    told: list[str] = []
    grant.on_end(lambda: told.append("early"))
    assert not grant.wait_ended(0)
    store.apply(record_id, State.REVOKED, "controller", "bystander")
    grant.on_end(lambda: told.append("late"))
    assert grant.wait_ended(0)
    assert told == ["early", "late"]
    assert grant.purposes == set(BOTH)


def test_frames_and_chunks_are_units() -> None:
    from inference.media import AudioChunk, Frame  # noqa: PLC0415 - the one test that looks upwards

    media: tuple[Any, ...] = (Frame, AudioChunk)
    assert tuple(item.purpose for item in media) == BOTH
