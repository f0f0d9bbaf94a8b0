"""The officer's switch: with a child nobody is asked, nothing is captured, and the officer learns nothing."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from capture.desk import Desk
from capture.desk_view import Phase
from consent.errors import ConsentError, LedgerUnavailable, TransitionRefused
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from tests.capture.kiosks import SignedCounter
from tests.consent.citizens import ALL_GIVEN, BOTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from consent.event import LoggedEvent

NOTHING = dict.fromkeys(BOTH, False)
CHILD = "accompanied-child"


class Counter:
    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite", busy_s=0.05)
        self.grants: list[Grant] = []
        self.ballots: list[Any] = []
        self.desk = Desk(
            "quay-1",
            self.store,
            Gate(self.store),
            start_capture=self.grants.append,
            cast=self.ballots.append,
        )

    def asked(self) -> UUID:
        record_id = self.desk.offer()
        self.desk.show(record_id)
        return record_id

    def given(self) -> UUID:
        record_id = self.asked()
        self.desk.decide(record_id, ALL_GIVEN)
        return record_id

    def told(self, record_id: UUID) -> list[tuple[str, str, IndicatedBy]]:
        events = [item.event for item in self.store.events(record_id)]
        return [(event.kind.value, event.method, event.indicated_by) for event in events]

    def full(self, *, full: bool) -> None:
        self.store.log._writer.execute(f"PRAGMA query_only = {'ON' if full else 'OFF'}")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path)
    yield counter
    counter.store.close()


def test_with_a_child_no_question_is_put_and_the_service_still_counts(counter: Counter) -> None:
    record_id = counter.desk.offer(with_child=True)
    view = counter.desk.view()
    assert (view.phase, view.state, view.ended_how) == (Phase.SERVING, State.DEFERRED, CHILD)
    with pytest.raises(TransitionRefused):
        counter.desk.show(record_id)
    with pytest.raises(TransitionRefused):
        counter.desk.decide(record_id, ALL_GIVEN)
    counter.desk.finish()
    assert counter.desk.view().phase is Phase.RATING, "the rating is offered to everybody"
    assert counter.told(record_id) == [
        ("offered", "offer", IndicatedBy.SYSTEM),
        ("deferred", CHILD, IndicatedBy.CONTROLLER),
        ("closed", "end-of-service", IndicatedBy.SYSTEM),
    ]
    assert counter.desk.slip() is None
    assert counter.grants == []
    counter.desk.offer()
    assert counter.desk.view().phase is Phase.ASKING, "the switch is of one service only"
    assert not counter.desk.officer_view().with_child


def test_an_open_question_closes(counter: Counter) -> None:
    record_id = counter.asked()
    counter.desk.declare_child()
    assert (counter.desk.view().phase, counter.desk.view().state) == (Phase.SERVING, State.DEFERRED)
    assert counter.told(record_id)[-1] == ("deferred", CHILD, IndicatedBy.CONTROLLER)
    with pytest.raises(TransitionRefused):
        counter.desk.decide(record_id, ALL_GIVEN)
    assert counter.grants == []


def test_a_given_consent_is_revoked(counter: Counter) -> None:
    record_id = counter.given()
    counter.desk.declare_child()
    (grant,) = counter.grants
    assert (grant.ended(), grant.ended_by) == (True, State.REVOKED)
    view = counter.desk.view()
    assert (view.phase, view.capture_on, view.ended_how) == (Phase.SERVING, False, CHILD)
    assert counter.told(record_id)[-1] == ("revoked", CHILD, IndicatedBy.CONTROLLER)


@pytest.mark.parametrize("how", ["refused", "withdrawn", "silent", "closed", "idle"])
def test_otherwise_nothing_happens(counter: Counter, how: str) -> None:
    if how != "idle":
        record_id = counter.asked()
        if how == "refused":
            counter.desk.decide(record_id, NOTHING)
        elif how != "silent":
            counter.desk.decide(record_id, ALL_GIVEN)
        if how == "withdrawn":
            counter.desk.withdraw(record_id)
        elif how == "silent":
            counter.desk._deadline_ns = 0
            counter.desk.tick()
        elif how == "closed":
            counter.desk.finish()
    before = counter.store.log.size
    counter.desk.declare_child()
    assert counter.store.log.size == before


def test_pressed_twice_is_pressed_once(counter: Counter) -> None:
    record_id = counter.given()
    counter.desk.declare_child()
    size = counter.store.log.size
    counter.desk.declare_child()
    assert (counter.store.log.size, counter.store.state(record_id)) == (size, State.REVOKED)
    assert counter.desk.officer_view().with_child


def test_it_stops_at_once_and_is_written_when_the_log_can_be(counter: Counter) -> None:
    record_id = counter.given()
    counter.full(full=True)
    counter.desk.declare_child()
    assert counter.grants[0].ended()
    assert (counter.desk.view().state, counter.desk.view().capture_on) == (State.REVOKED, False)
    assert counter.store.state(record_id) is State.GIVEN
    counter.full(full=False)
    counter.desk.tick()
    assert counter.told(record_id)[-1][:2] == ("revoked", CHILD)


def test_it_waits_for_nobody_who_waits_for_the_log(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    record_id = counter.given()
    waits, answered = threading.Event(), threading.Event()

    def slow_log() -> int:
        waits.set()
        answered.wait(30)
        return 0

    monkeypatch.setattr(counter.desk._steps, "retry", slow_log)
    threads = [
        threading.Thread(target=counter.desk.tick),
        threading.Thread(target=counter.desk.declare_child),
    ]
    threads[0].start()
    assert waits.wait(10)  # the tick holds the desk from here on
    threads[1].start()
    stopped = counter.grants[0].wait_ended(10)
    assert counter.desk.officer_view().with_child, "the officer's page waits for nobody either"
    answered.set()
    for thread in threads:
        thread.join(30)
    assert stopped
    assert counter.told(record_id)[-1][:2] == ("revoked", CHILD)


@pytest.mark.parametrize("moment", ["before the answer is logged", "after it", "before the capture starts"])
def test_a_switch_during_the_answer_opens_no_device(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The answer holds the desk: the switch comes from another thread and cannot wait for it."""
    record_id = counter.asked()
    threads: list[threading.Thread] = []

    def press() -> None:
        threads.append(threading.Thread(target=counter.desk.declare_child))
        threads[0].start()
        while not counter.desk.officer_view().with_child:
            time.sleep(0.001)
        while record_id not in counter.store._halted:
            time.sleep(0.001)

    decide, grant = counter.store.decide, counter.desk._gate.grant

    def decide_around(*args: Any, **kwargs: Any) -> State:
        if moment == "before the answer is logged":
            press()
        state = decide(*args, **kwargs)
        if moment == "after it":
            press()
        return state

    def grant_around(record_id: UUID) -> Grant:
        press()
        return grant(record_id)

    monkeypatch.setattr(counter.store, "decide", decide_around)
    if moment == "before the capture starts":
        monkeypatch.setattr(counter.desk._gate, "grant", grant_around)
    counter.desk.decide(record_id, ALL_GIVEN)
    threads[0].join(30)
    assert counter.grants == []
    assert counter.told(record_id)[-1][:2] == ("revoked", CHILD)
    assert counter.desk.view().phase is Phase.SERVING


@pytest.mark.parametrize("lives", [150, pytest.param(2_000, marks=pytest.mark.long)])
def test_in_whatever_order_the_switch_leaves_nothing_captured(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, seed: int, lives: int
) -> None:
    """Switch, answer, withdrawal, end and next citizen at once, with a log that fails now and then."""
    chance = random.Random(seed)  # noqa: S311 - orders of a test, repeatable by its seed
    apply, failing = counter.store.apply, [False]

    def apply_when_there_is_room(record_id: UUID, to: State, by: str, method: str) -> LoggedEvent:
        if failing[0]:
            counter.store.halt(record_id, to)
            raise LedgerUnavailable("disk full")
        return apply(record_id, to, by, method)

    monkeypatch.setattr(counter.store, "apply", apply_when_there_is_room)
    for life in range(lives):
        record_id = counter.asked()
        acts: list[Any] = [counter.desk.declare_child]
        if chance.random() < 0.5:
            counter.desk.decide(record_id, ALL_GIVEN)
            acts.append(partial(counter.desk.withdraw, record_id))
        else:
            choices = {Purpose.IMAGE: True, Purpose.VOICE: chance.random() < 0.5}
            acts.append(partial(counter.desk.decide, record_id, choices))
        acts += chance.sample([counter.desk.declare_child, counter.desk.tick], k=chance.randint(0, 2))
        failing[0] = chance.random() < 0.3
        _at_once(acts, chance)
        failing[0] = False
        counter.desk.tick()
        told = f"seed {seed}, life {life}: {counter.told(record_id)}"
        assert all(grant.ended() for grant in counter.grants), told
        assert counter.desk.view().phase is Phase.SERVING, told
        assert len(counter.desk._steps) == 0, told
        state = counter.store.state(record_id)
        assert state in {State.DEFERRED, State.REVOKED, State.WITHDRAWN}, told
        if state is not State.WITHDRAWN:
            assert counter.told(record_id)[-1][1] == CHILD, told
    assert counter.store.verify().ok


def _at_once(acts: list[Any], chance: random.Random) -> None:
    barrier = threading.Barrier(len(acts))

    def run(act: Any) -> None:
        barrier.wait(30)
        try:
            act()
        except ConsentError:
            return  # another was faster

    threads = [threading.Thread(target=run, args=(act,)) for act in chance.sample(acts, k=len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_the_answer_to_the_switch_takes_one_step_whatever_the_log_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that answers after a second would tell, through the delay, that there was something to write."""
    kiosk = SignedCounter(tmp_path)
    try:
        release, took = threading.Event(), {}
        for image in ("yes", "no"):
            kiosk.desk.offer()
            kiosk.answer(image, image)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(kiosk.store, "apply", lambda *_: release.wait(20))
                begun = time.monotonic()
                page = kiosk.officer.post("/officer/quay-1/child")
                took[image] = time.monotonic() - begun, page.content
                release.set()
            kiosk.desk.finish()
        assert took["yes"][1] == took["no"][1]
        assert min(took["yes"][0], took["no"][0]) >= 0.25
        assert took["yes"][0] < 10, "it waited for the log"
    finally:
        kiosk.close()


def test_the_officer_calls_the_next_citizen_with_a_child(tmp_path: Path) -> None:
    kiosk = SignedCounter(tmp_path)
    try:
        page = kiosk.officer.post("/officer/quay-1/next", data={"child": "yes"}).text
        assert "Đã ghi: có trẻ em đi cùng" in page
        assert kiosk.desk.view().state is State.DEFERRED
        assert "không hỏi và không phân tích" in kiosk.get().text
        kiosk.officer.post("/officer/quay-1/finish")
        assert "Đã ghi" not in kiosk.officer.get("/officer/quay-1").text
    finally:
        kiosk.close()
