"""A session known at the centre is captured only while a withdrawal there could get through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from capture.contact import ContactLease
from consent.event import LoggedEvent
from consent.gate import Gate, Grant
from consent.purpose import Purpose
from consent.state import State
from consent.uptime import uptime_ns
from tests.capture.edge_folder import EdgeFolder

S = 1_000_000_000
DAY_S = 24 * 3600


class Clock:
    """Time since the start of the machine, moved by the test."""

    def __init__(self) -> None:
        self.ns = 1000 * S

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * S)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def edge(tmp_path: Path, clock: Clock) -> Iterator[EdgeFolder]:
    with EdgeFolder(tmp_path / "edge", monotonic_ns=clock) as made:
        yield made


@pytest.fixture
def contact(edge: EdgeFolder, clock: Clock) -> ContactLease:
    made = ContactLease(60, monotonic_ns=clock)
    edge.store.subscribe(made.note)
    return made


def granted(edge: EdgeFolder, contact: ContactLease, clock: Clock) -> Grant:
    gate = Gate(edge.store, monotonic_ns=clock, bound=contact.bound)
    edge.gate = gate  # type: ignore[attr-defined]  # keeps it alive as long as the folder
    return gate.grant(edge.given())


def hear(edge: EdgeFolder, contact: ContactLease) -> None:
    contact.heard(contact.began(), edge.store.log.size)


@pytest.mark.parametrize("lease_s", [4.9, 60.1, 0, -1])
def test_the_lease_is_between_five_and_sixty_seconds(lease_s: float) -> None:
    with pytest.raises(ValueError, match="5 to 60 s"):
        ContactLease(lease_s)


def test_offline_the_capture_ends_within_sixty_seconds(
    edge: EdgeFolder, contact: ContactLease, clock: Clock
) -> None:
    grant = granted(edge, contact, clock)
    hear(edge, contact)
    for _ in range(59):
        clock.pass_s(1)
        assert grant.live(Purpose.IMAGE)
    clock.pass_s(1)
    assert not grant.live(Purpose.IMAGE)
    assert grant.ended_by is State.EXPIRED
    assert edge.store.state(grant.record_id) is State.EXPIRED
    assert edge.store.events(grant.record_id)[-1].event.method == "contact-lost"


def test_each_answer_of_the_centre_starts_the_minute_anew(
    edge: EdgeFolder, contact: ContactLease, clock: Clock
) -> None:
    grant = granted(edge, contact, clock)
    for _ in range(10):
        hear(edge, contact)
        clock.pass_s(59)
        assert grant.live(Purpose.VOICE)
    clock.pass_s(2)
    assert not grant.live(Purpose.VOICE)


def test_the_minute_counts_from_the_question_and_not_from_its_answer(
    edge: EdgeFolder, contact: ContactLease, clock: Clock
) -> None:
    grant = granted(edge, contact, clock)
    asked = contact.began()
    clock.pass_s(10)  # a slow answer: a withdrawal in these ten seconds is not in it
    contact.heard(asked, edge.store.log.size)
    clock.pass_s(50)
    assert not grant.live(Purpose.IMAGE)


def test_a_session_that_began_offline_is_not_bound(
    edge: EdgeFolder, contact: ContactLease, clock: Clock
) -> None:
    hear(edge, contact)
    grant = granted(edge, contact, clock)
    clock.pass_s(1000)
    assert grant.live(Purpose.IMAGE)
    hear(edge, contact)  # from here on the centre knows it
    clock.pass_s(59)
    assert grant.live(Purpose.IMAGE)
    clock.pass_s(1)
    assert not grant.live(Purpose.IMAGE)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_jump_of_the_wall_clock_moves_no_lease(
    edge: EdgeFolder, contact: ContactLease, clock: Clock, jump_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = granted(edge, contact, clock)
    hear(edge, contact)
    real = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real[0]() + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: real[1]() + jump_s * S)
    clock.pass_s(59)
    assert grant.live(Purpose.IMAGE)
    clock.pass_s(1)
    assert not grant.live(Purpose.IMAGE)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_jump_of_the_leases_own_clock_only_ever_shortens(
    edge: EdgeFolder, contact: ContactLease, clock: Clock, jump_s: int
) -> None:
    grant = granted(edge, contact, clock)
    hear(edge, contact)
    clock.pass_s(1)
    assert grant.live(Purpose.IMAGE)
    clock.pass_s(jump_s)
    assert not grant.live(Purpose.IMAGE)


def test_an_old_answer_takes_nothing_back(contact: ContactLease, clock: Clock) -> None:
    record_id = uuid4()
    given = SimpleNamespace(index=3, event=SimpleNamespace(state=State.GIVEN, record_id=record_id))
    contact.note(cast("LoggedEvent", given))
    contact.heard(2000 * S, 9)
    contact.heard(1500 * S, 2)
    assert contact.bound(record_id) == 2060 * S


@pytest.mark.parametrize("state", [State.WITHDRAWN, State.COMPLETED, State.REVOKED, State.EXPIRED])
def test_what_has_ended_is_forgotten(contact: ContactLease, state: State) -> None:
    def event(of: State) -> Any:
        return SimpleNamespace(index=1, event=SimpleNamespace(state=of, record_id=UUID(int=1)))

    contact.note(event(State.GIVEN))
    contact.heard(S, 5)
    assert contact.bound(UUID(int=1)) is not None
    contact.note(event(state))
    assert contact.bound(UUID(int=1)) is None


def test_the_clock_of_leases_counts_the_sleep_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert boot <= uptime_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 0)
    assert uptime_ns() >= boot
