"""The desk: one counter's flow, its clocks, and what it does when something fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from capture.desk import Desk
from capture.desk_view import Phase
from consent.errors import LedgerUnavailable, TransitionRefused
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.state import State
from tests.consent.citizens import ALL_GIVEN, BOTH, Clocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from consent.event import LoggedEvent

NOTHING = dict.fromkeys(BOTH, False)


class Counter:
    def __init__(self, path: Path) -> None:
        self.clocks = Clocks()
        self.store = ConsentStore(
            path, now=self.clocks.now, monotonic_ns=self.clocks.monotonic_ns, busy_s=0.05
        )
        self.grants: list[Grant] = []
        self.desk = self.make()

    def make(self, **options: object) -> Desk:
        gate = Gate(self.store, monotonic_ns=self.clocks.monotonic_ns)
        settings = {"start_capture": self.grants.append, "monotonic_ns": self.clocks.monotonic_ns} | options
        return Desk("quay-1", self.store, gate, **settings)  # type: ignore[arg-type] # mixed keyword arguments

    def states(self) -> list[State]:
        return [self.store.state(record_id) for record_id in self.store.record_ids()]


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path / "consent.sqlite")
    yield counter
    counter.store.close()


def test_the_whole_flow_of_one_who_agrees(counter: Counter) -> None:
    desk = counter.desk
    assert desk.view().phase is Phase.IDLE
    record_id = desk.offer()
    assert (desk.view().phase, desk.view().capture_on, desk.view().remaining_s) == (Phase.ASKING, False, 60.0)
    counter.clocks.advance(5)
    desk.show(record_id)
    assert desk.view().remaining_s == 60.0
    counter.clocks.advance(2.5)
    assert desk.decide(record_id, {Purpose.IMAGE: True, Purpose.VOICE: False}) is State.GIVEN
    view = desk.view()
    assert (view.phase, view.capture_on, view.purposes) == (Phase.CAPTURING, True, frozenset({Purpose.IMAGE}))
    assert counter.store.record(record_id).dwell_ms == 2500
    desk.finish()
    assert (desk.view().phase, desk.view().capture_on) == (Phase.RECEIPT, False)
    counter.clocks.advance(60)
    assert desk.view().phase is Phase.THANKS
    assert counter.states() == [State.COMPLETED]
    assert counter.grants[0].ended()
    counter.clocks.advance(10)
    assert desk.view().phase is Phase.IDLE


@pytest.mark.parametrize("seen", [True, False])
def test_silence_means_no(counter: Counter, *, seen: bool) -> None:
    record_id = counter.desk.offer()
    if seen:
        counter.desk.show(record_id)
        counter.desk.show(record_id, "en")
    counter.clocks.advance(59.9)
    assert counter.desk.view().state is State.OFFERED
    counter.clocks.advance(0.2)
    with pytest.raises(TransitionRefused, match="deferred"):
        counter.desk.decide(record_id, ALL_GIVEN)
    assert (counter.desk.view().phase, counter.states()) == (Phase.SERVING, [State.DEFERRED])
    assert counter.grants == []


def test_another_language_does_not_lengthen_the_time_and_has_its_own_dwell(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    counter.clocks.advance(40)
    counter.desk.show(record_id, "en")
    assert counter.desk.view().remaining_s == 20.0
    counter.clocks.advance(3)
    counter.desk.decide(record_id, NOTHING, language="en")
    record = counter.store.record(record_id)
    assert (record.dwell_ms, record.notice.language) == (3000, "en")


def test_a_question_nobody_saw_cannot_be_answered(counter: Counter) -> None:
    record_id = counter.desk.offer()
    with pytest.raises(TransitionRefused, match="nobody has seen"):
        counter.desk.decide(record_id, ALL_GIVEN)
    counter.desk.show(record_id)
    with pytest.raises(TransitionRefused, match="nobody has seen"):
        counter.desk.decide(record_id, ALL_GIVEN, language="en")


def test_the_hard_limit_ends_the_capture(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    counter.desk.decide(record_id, ALL_GIVEN)
    counter.clocks.advance(3599)
    assert counter.desk.view().capture_on
    counter.clocks.advance(1.1)
    assert (counter.desk.view().capture_on, counter.states()) == (False, [State.EXPIRED])
    counter.desk.finish()


@pytest.mark.parametrize("choices", [ALL_GIVEN, NOTHING])
def test_the_next_citizen_ends_the_service_before(counter: Counter, choices: dict[Purpose, bool]) -> None:
    first = counter.desk.offer()
    counter.desk.show(first)
    counter.desk.decide(first, choices)
    second = counter.desk.offer()
    assert counter.desk.view().record_id == second
    assert counter.states() == [State.COMPLETED if choices is ALL_GIVEN else State.REFUSED, State.OFFERED]
    with pytest.raises(TransitionRefused):
        counter.desk.withdraw(first)


def test_the_end_of_service_writes_one_entry_whatever_was_chosen(counter: Counter) -> None:
    written = []
    for choices in (ALL_GIVEN, NOTHING):
        record_id = counter.desk.offer()
        counter.desk.show(record_id)
        counter.desk.decide(record_id, choices)
        before = counter.store.verify().entries
        counter.desk.finish()
        written.append(counter.store.verify().entries - before)
    assert written == [1, 1]


def test_the_session_completes_the_consent_where_there_is_one(counter: Counter) -> None:
    asked: list[str] = []
    desk = counter.make(finish_capture=lambda: asked.append("finish"))
    record_id = desk.offer()
    desk.show(record_id)
    desk.decide(record_id, ALL_GIVEN)
    desk.finish()
    assert (asked, counter.states()) == (["finish"], [State.GIVEN])
    assert not desk.view().capture_on
    counter.store.apply(record_id, State.COMPLETED, "system", "end-of-service")
    desk.offer()
    assert asked == ["finish"]


def test_a_capture_that_does_not_start_is_revoked_and_the_service_goes_on(counter: Counter) -> None:
    def broken(grant: Grant) -> None:
        raise OSError(f"no camera for {grant.record_id}")

    desk = counter.make(start_capture=broken)
    record_id = desk.offer()
    desk.show(record_id)
    desk.decide(record_id, ALL_GIVEN)
    assert (desk.view().phase, desk.view().capture_on) == (Phase.SERVING, False)
    assert counter.states() == [State.REVOKED]


def test_a_withdrawal_stops_at_once_and_is_written_when_the_log_can_be(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    counter.desk.decide(record_id, ALL_GIVEN)
    counter.store.log._writer.execute("PRAGMA query_only = ON")
    counter.desk.withdraw(record_id)
    assert counter.grants[0].ended()
    assert (counter.desk.view().state, counter.desk.view().capture_on) == (State.WITHDRAWN, False)
    assert counter.states() == [State.GIVEN]
    counter.store.log._writer.execute("PRAGMA query_only = OFF")
    counter.desk.tick()
    assert counter.states() == [State.WITHDRAWN]


def test_a_withdrawal_waits_for_nobody_who_waits_for_the_log(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    counter.desk.decide(record_id, ALL_GIVEN)
    waits, answered = threading.Event(), threading.Event()

    def slow_log() -> int:
        waits.set()
        answered.wait(30)
        return 0

    monkeypatch.setattr(counter.desk._steps, "retry", slow_log)
    threads = [
        threading.Thread(target=counter.desk.tick),
        threading.Thread(target=counter.desk.withdraw, args=(record_id,)),
    ]
    threads[0].start()
    assert waits.wait(10)  # the tick holds the desk from here on
    threads[1].start()
    stopped = counter.grants[0].wait_ended(10)
    answered.set()
    for thread in threads:
        thread.join(30)
    assert stopped
    assert (counter.desk.view().state, counter.states()) == (State.WITHDRAWN, [State.WITHDRAWN])


def test_every_step_that_could_not_be_written_is_written_later(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counter.desk.offer()
    counter.desk.show(first)
    counter.desk.decide(first, ALL_GIVEN)
    apply, failing = counter.store.apply, [True]

    def apply_when_there_is_room(record_id: UUID, to: State, by: str, method: str) -> LoggedEvent:
        if failing[0]:
            raise LedgerUnavailable("disk full")
        return apply(record_id, to, by, method)

    monkeypatch.setattr(counter.store, "apply", apply_when_there_is_room)
    counter.desk.withdraw(first)
    counter.desk.offer()
    counter.desk.finish()
    assert counter.states() == [State.GIVEN, State.OFFERED]
    failing[0] = False
    counter.desk.tick()
    assert counter.states() == [State.WITHDRAWN, State.DEFERRED]


def test_a_capture_that_cannot_be_finished_is_revoked(counter: Counter) -> None:
    def broken() -> None:
        raise RuntimeError("the session does not answer")

    desk = counter.make(finish_capture=broken)
    record_id = desk.offer()
    desk.show(record_id)
    desk.decide(record_id, ALL_GIVEN)
    desk.offer()
    assert counter.grants[0].ended()
    assert counter.states() == [State.REVOKED, State.OFFERED]


def test_a_bystander_stops_the_capture(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    counter.desk.decide(record_id, ALL_GIVEN)
    counter.desk.revoke(record_id, "bystander")
    assert (counter.desk.view().phase, counter.states()) == (Phase.SERVING, [State.REVOKED])


def test_many_taps_at_once_decide_once(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    barrier, refused = threading.Barrier(8), []

    def tap(choices: dict[Purpose, bool]) -> None:
        barrier.wait(30)
        try:
            counter.desk.decide(record_id, choices)
        except TransitionRefused:
            refused.append(choices)

    taps = [threading.Thread(target=tap, args=(ALL_GIVEN if odd % 2 else NOTHING,)) for odd in range(8)]
    for thread in taps:
        thread.start()
    for thread in taps:
        thread.join(30)
    assert len(refused) == 7
    assert len(counter.grants) == (counter.states() == [State.GIVEN])
