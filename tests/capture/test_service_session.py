"""A session ends in exactly one signal, or, where the citizen said so, in none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import rfc8785

from capture.consent_script import ConsentScript, decide_scripted, offer_scripted
from capture.errors import NoVideoTrack
from capture.outbox import Outbox, OutboxFull
from capture.service_session import ServiceSession, SessionResult, settle
from capture.source import MediaDevice, SourceHealth
from consent.entry import Outcome
from consent.errors import LedgerUnavailable, NotPermitted
from consent.gate import Gate, Permitted
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.session_keys import commitment
from consent.state import State
from inference.judgement import Judgement, SpokenSound
from inference.media import Frame
from inference.session import SessionAnalysis, SessionFacts, StopReason
from inference.signal import Change, Estimate, Quality, Signal
from inference.voice_evidence import VoiceConfig, VoiceEvidence, VoiceReader
from models.errors import TranscriberUnusable
from tests.inference.dialogues import Opened
from tests.inference.test_voice_evidence import LevelVad, chunked, dialogue

GIVEN = ConsentScript(decision="given", purposes=frozenset({Purpose.IMAGE, Purpose.VOICE}))


class Camera:
    """A source and its own device; gives frames until told otherwise."""

    address = "fake:camera"
    offers = frozenset({Purpose.IMAGE})

    def __init__(self, frames: int = 5, *, endless: bool = False) -> None:
        self.left = frames
        self.endless = endless
        self.opened: frozenset[Purpose] | None = None
        self.closed = 0
        self.interrupted = threading.Event()
        self.broken: Exception | None = None
        self.index = 0

    def describe(self) -> str:
        return "a fake camera"

    def health(self) -> SourceHealth:
        return SourceHealth(reconnects=2, gap_s=0.25, dropped_s=0.5)

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self.opened = purposes
        return self

    def read(self) -> Frame | None:
        if self.broken is not None:
            raise self.broken
        if self.interrupted.is_set() or (self.left <= 0 and not self.endless):
            return None
        self.left -= 1
        self.index += 1
        time.sleep(0.001)
        return Frame(np.zeros((2, 2, 3), np.uint8), time.time_ns(), self.index)

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed += 1


class Analysis:
    """Counts what it is given and states a fixed result."""

    def __init__(self, face_s: float = 3.0) -> None:
        self.face_s = face_s
        self.taken = 0
        self.purged = self.abandoned = 0
        self.stop: StopReason | None = None
        self.facts: SessionFacts | None = None
        self.on_take: Callable[[int], None] | None = None
        self.on_finish: Callable[[], None] | None = None

    def take(self, unit: Permitted[Any]) -> None:
        unit.open()
        self.taken += 1
        if self.on_take is not None:
            self.on_take(self.taken)

    def finish(self, facts: SessionFacts) -> Signal:
        self.facts = facts
        if self.on_finish is not None:
            self.on_finish()
        return Signal(
            signal_id=uuid4(),
            session_id=facts.session_id,
            consent_record_id=facts.consent_record_id,
            counter=facts.counter,
            window_start=facts.started_at,
            window_end=facts.started_at + timedelta(seconds=5),
            image_permitted=True,
            voice_permitted=True,
            overall=Estimate(score=0.5, low=0.2, high=0.8),
            factors=(),
            change=Change(abstained="too_little_evidence"),
            quality=Quality(face_s=self.face_s),
            models=(),
            software="test",
        )

    def abandon(self) -> None:
        self.abandoned += 1

    def purge(self) -> None:
        self.purged += 1


class Hanging:
    """Judges nothing before it is ended."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()
        self.judged = 0

    def warm_up(self) -> None: ...

    def judge(self, sound: SpokenSound) -> Judgement:
        self.judged += 1
        self.asked.set()
        assert self.over.wait(60), "nobody ended it"
        raise TranscriberUnusable("closed")

    def end(self) -> None:
        self.over.set()


class Desk:
    """Everything around one session."""

    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite")
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.gate = Gate(self.store)
        self.camera = Camera()
        self.analysis = Analysis()
        self.record_id = self.given()

    def given(self) -> UUID:
        record_id = offer_scripted(self.store, "quay-1", GIVEN)
        assert decide_scripted(self.store, record_id, GIVEN) is State.GIVEN
        return record_id

    def session(self) -> ServiceSession:
        return ServiceSession(
            counter="quay-1",
            grant=self.gate.grant(self.record_id),
            gate=self.gate,
            store=self.store,
            source=self.camera,
            analysis=self.analysis,  # type: ignore[arg-type]  # a stand-in of the same shape
            outbox=self.outbox,
            software="test",
        )

    def withdraw(self) -> None:
        self.store.apply(self.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "test")

    def nothing_left(self) -> bool:
        return not self.outbox.pending() and not self.outbox.held()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.outbox.close()
    made.store.close()


def test_a_whole_session_gives_one_signal(desk: Desk) -> None:
    result = desk.session().run()
    assert result.state is State.COMPLETED
    assert result.units == desk.analysis.taken == 5
    assert desk.camera.opened == frozenset({Purpose.IMAGE, Purpose.VOICE})
    assert desk.camera.closed >= 1
    assert desk.analysis.purged >= 1
    (entry,) = desk.outbox.pending()
    assert entry.kind == "signal"
    assert result.signal is not None
    assert Signal.model_validate(entry.payload) == result.signal
    assert desk.analysis.facts is not None
    assert (desk.analysis.facts.gaps, desk.analysis.facts.gap_s) == (2, 0.75)


def test_finish_ends_an_endless_stream(desk: Desk) -> None:
    desk.camera.endless = True
    ended: list[SessionResult] = []
    session = desk.session()
    session._on_end = ended.append
    session.start()
    time.sleep(0.05)
    session.finish()
    assert session.join(5)
    assert ended[0].state is State.COMPLETED
    assert ended[0].signal is not None


def test_an_empty_seat_gives_no_signal(desk: Desk) -> None:
    desk.analysis.face_s = 0
    result = desk.session().run()
    assert result.state is State.COMPLETED
    assert result.signal is None
    assert desk.nothing_left()


def test_a_withdrawal_in_the_middle_leaves_nothing(desk: Desk) -> None:
    desk.camera.endless = True
    desk.analysis.on_take = lambda taken: desk.withdraw() if taken == 3 else None
    result = desk.session().run()
    assert result.state is State.WITHDRAWN
    assert result.signal is None
    assert desk.analysis.taken <= 4
    assert desk.analysis.purged >= 1
    assert desk.nothing_left()


def test_a_withdrawal_while_the_last_words_are_read_wins(desk: Desk) -> None:
    desk.analysis.on_finish = desk.withdraw
    result = desk.session().run()
    assert result.state is State.WITHDRAWN
    assert result.signal is None
    assert desk.nothing_left()


@pytest.mark.parametrize(
    ("how", "abandoned"),
    [
        (State.WITHDRAWN, 1),
        (State.REVOKED, 1),
        (State.EXPIRED, 0),  # what was said before its time ran out may still become the signal
        (None, 0),
    ],
)
def test_words_that_wait_are_read_only_where_something_may_come_of_them(
    desk: Desk, how: State | None, abandoned: int
) -> None:
    seen: list[int] = []

    def end() -> None:
        if how is not None:
            desk.store.apply(desk.record_id, how, IndicatedBy.SYSTEM, "test")
        seen.append(desk.analysis.abandoned)

    desk.analysis.on_finish = end
    result = desk.session().run()
    assert seen == [abandoned], "by who ends it, before the session itself notices"
    assert (result.signal is None) == bool(abandoned)
    assert desk.analysis.abandoned == abandoned


def test_a_withdrawal_lets_go_of_words_whose_reading_hangs(desk: Desk) -> None:
    judge = Hanging()
    voice = VoiceReader(LevelVad, lambda: judge, VoiceConfig(waiting_utterances=8))  # type: ignore[arg-type]  # a level for a network
    for chunk in chunked(dialogue("ccc")):
        voice.hear(Opened(chunk))  # type: ignore[arg-type]  # stands for a permitted chunk
    assert judge.asked.wait(30)
    ended: list[SessionResult] = []
    desk.analysis = SessionAnalysis(face=None, voice=voice, models=())  # type: ignore[assignment]  # the real one
    session = desk.session()
    session._on_end = ended.append
    session.start()
    until = time.monotonic() + 30
    while not voice._lock.locked():  # the last words are being waited for
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not session.join(0.3)
    desk.withdraw()
    assert session.join(20)
    assert [(result.state, result.signal, result.error) for result in ended] == [
        (State.WITHDRAWN, None, None)
    ]
    assert judge.judged == 1, "those that waited were not begun"
    assert voice.evidence() == VoiceEvidence()
    assert desk.nothing_left()


def test_a_withdrawal_after_the_hold_wins(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = desk.outbox.hold

    def hold_then_withdraw(*args: Any, **kwargs: Any) -> None:
        hold(*args, **kwargs)
        desk.withdraw()

    monkeypatch.setattr(desk.outbox, "hold", hold_then_withdraw)
    result = desk.session().run()
    assert result.state is State.WITHDRAWN
    assert result.signal is None
    assert desk.nothing_left()


def test_a_withdrawal_that_still_waits_for_the_log_wins(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = desk.outbox.hold

    def hold_while_withdrawing(*args: Any, **kwargs: Any) -> None:
        hold(*args, **kwargs)
        desk.store._halt(desk.record_id, State.WITHDRAWN)  # told to stop; the entry is not written yet

    monkeypatch.setattr(desk.outbox, "hold", hold_while_withdrawing)
    result = desk.session().run()
    assert result.state is State.WITHDRAWN
    assert result.signal is None
    assert desk.nothing_left()


def test_a_log_that_cannot_be_read_stops_the_capture_and_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: UUID) -> frozenset[Purpose]:
        raise LedgerUnavailable("the disk is gone")

    desk.gate = Gate(desk.store, lease_s=0.02)
    desk.camera.endless = True
    session = desk.session()
    monkeypatch.setattr(desk.store, "permitted", unreadable)
    result = session.run()
    assert (result.state, result.signal) == (State.REVOKED, None)
    assert result.error is not None
    assert "consent log" in result.error
    assert desk.nothing_left()


def test_a_full_disk_delays_the_signal_and_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.service_session._RETRY_S", 0.01)
    hold, tries = desk.outbox.hold, iter([OutboxFull("full"), OutboxFull("full"), None])

    def sometimes(*args: Any, **kwargs: Any) -> None:
        if (error := next(tries)) is not None:
            raise error
        hold(*args, **kwargs)

    monkeypatch.setattr(desk.outbox, "hold", sometimes)
    assert desk.session().run().signal is not None
    assert len(desk.outbox.pending()) == 1


def test_a_device_that_fails_is_told_and_closes_the_consent(desk: Desk) -> None:
    desk.camera.broken = NoVideoTrack("no picture in it")
    desk.analysis.face_s = 0
    result = desk.session().run()
    assert result.error == "no picture in it"
    assert result.state is State.COMPLETED
    assert desk.camera.closed >= 1


def test_a_fault_of_ours_stops_capture_and_revokes(desk: Desk) -> None:
    def fail(taken: int) -> None:
        raise ZeroDivisionError(f"after {taken}")

    desk.analysis.on_take = fail
    result = desk.session().run()
    assert result.state is State.REVOKED
    assert str(result.error).startswith("ZeroDivisionError at test_service_session.py:")  # not its words
    assert desk.camera.closed >= 1
    assert desk.nothing_left()


def test_nothing_is_opened_without_a_grant(desk: Desk) -> None:
    session = desk.session()
    desk.withdraw()
    result = session.run()
    assert desk.camera.opened is None
    assert result.units == 0
    assert result.state is State.WITHDRAWN
    with pytest.raises(NotPermitted):
        desk.gate.grant(desk.record_id)


@pytest.mark.parametrize(
    ("then", "released", "state"),
    [
        (None, 0, State.GIVEN),
        (State.COMPLETED, 1, State.COMPLETED),
        (State.WITHDRAWN, 0, State.WITHDRAWN),
        (State.REVOKED, 0, State.REVOKED),
    ],
)
def test_a_restart_settles_what_was_held(desk: Desk, then: State | None, released: int, state: State) -> None:
    desk.outbox.hold("signal", {"at": datetime.now(UTC).isoformat()}, key=desk.record_id)
    if then is not None:
        desk.store.apply(desk.record_id, then, IndicatedBy.SYSTEM, "test")
    assert settle(desk.store, desk.outbox) == released
    assert desk.store.state(desk.record_id) is state
    assert len(desk.outbox.pending()) == released
    assert desk.outbox.held() == ()
    assert settle(desk.store, desk.outbox) == 0


# -- the slot in the log ----------------------------------------------------------------------------


def _kinds(desk: Desk) -> list[str]:
    return [entry.kind for entry in desk.store.log.of_record(desk.record_id)]


def test_a_session_has_its_slot_from_before_the_device_to_the_signal(desk: Desk) -> None:
    seen: list[list[str]] = []
    opened = desk.camera.open

    def open_and_look(purposes: frozenset[Purpose]) -> MediaDevice:
        seen.append(_kinds(desk))
        return opened(purposes)

    desk.camera.open = open_and_look  # type: ignore[method-assign]  # the camera looks at the log first
    result = desk.session().run()
    assert result.signal is not None
    assert seen[0][-1] == "session-started", "the slot is there before a device is open"
    slot = desk.store.slot(desk.record_id)
    assert slot.ended is not None
    assert _kinds(desk)[-2:] == ["completed", "session-ended"]
    assert (slot.ended.units, slot.ended.gaps, slot.ended.gap_ms) == (5, 2, 750)
    assert [(gap.losses, gap.gap_ms) for gap in slot.gaps] == [(2, 750)]
    assert slot.ended.outcome is Outcome.SIGNAL
    assert 0 < slot.ended.processed_ms.image <= slot.ended.consented_ms + 1
    (entry,) = desk.outbox.pending()
    assert entry.salt is not None
    assert slot.ended.commitment == commitment(entry.salt, rfc8785.dumps(entry.payload))
    assert desk.store.verify().ok


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("empty seat", Outcome.NOTHING),
        ("withdrawn", Outcome.WITHDRAWN),
        ("revoked", Outcome.STOPPED),
        ("our fault", Outcome.FAILED),
    ],
)
def test_every_ending_closes_the_slot_and_commits_to_nothing(desk: Desk, how: str, outcome: Outcome) -> None:
    def end(taken: int) -> None:
        if taken == 3 and how == "withdrawn":
            desk.withdraw()
        elif taken == 3 and how == "revoked":
            desk.store.apply(desk.record_id, State.REVOKED, IndicatedBy.CONTROLLER, "bystander")
        elif taken == 3:
            raise ZeroDivisionError

    if how == "empty seat":
        desk.analysis.face_s = 0
    else:
        desk.analysis.on_take = end
    desk.session().run()
    ended = desk.store.slot(desk.record_id).ended
    assert ended is not None
    assert (ended.outcome, ended.commitment) == (outcome, None)
    assert desk.nothing_left()
    assert desk.store.verify().ok


def test_an_expired_consent_closes_its_slot_before_its_signal_leaves(desk: Desk) -> None:
    def expire(taken: int) -> None:
        if taken == 3:
            desk.store.apply(desk.record_id, State.EXPIRED, IndicatedBy.SYSTEM, "time-limit")

    desk.analysis.on_take = expire
    result = desk.session().run()
    ended = desk.store.slot(desk.record_id).ended
    assert (result.state, result.signal is not None) == (State.EXPIRED, True)
    assert ended is not None
    assert ended.outcome is Outcome.SIGNAL
    assert ended.commitment is not None


def test_no_device_is_opened_without_a_slot(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: UUID) -> None:
        raise LedgerUnavailable("database or disk is full")

    session = desk.session()
    monkeypatch.setattr(desk.store, "session_started", full)
    result = session.run()
    assert desk.camera.opened is None
    assert (result.state, result.units) == (State.REVOKED, 0)
    assert result.error is not None
    assert "disk is full" in result.error


def test_a_signal_of_a_lost_session_is_not_sent(desk: Desk) -> None:
    desk.store.session_started(desk.record_id)
    desk.outbox.hold("signal", {"at": datetime.now(UTC).isoformat()}, key=desk.record_id)
    desk.store.apply(desk.record_id, State.EXPIRED, IndicatedBy.SYSTEM, "time-limit")
    assert settle(desk.store, desk.outbox) == 0  # killed after the hold, before the end was logged
    assert desk.store.slot(desk.record_id).ended is None
    assert desk.nothing_left()
