"""A playlist serves each item to its end once, whatever happened to the program before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from capture import playlist as module
from capture.config import CounterConfig, PlaylistItem
from capture.consent_script import decide_scripted, offer_scripted, read_consent_script
from capture.counter import Counter
from capture.outbox import Outbox
from capture.playlist import ItemResult, Playlist
from capture.service_session import settle
from capture.source import MediaDevice, MediaSource, MediaUnit
from capture.sources import open_source
from consent.event import EventKind
from consent.gate import Gate
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from tests.capture.stand_ins import CountingPerception

GIVEN = 'decision = "given"\npurposes = ["image", "voice"]\ndecides_after_s = 0'
REFUSED = 'decision = "refused"\ndecides_after_s = 0'
SILENT = 'decision = "silent"\ndecides_after_s = 0'
WITHDRAWN = GIVEN + "\nwithdraws_after_s = 0.3"
BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})


class Watched:
    """A source that notes, on the monotonic clock, each opening and each unit it gives."""

    def __init__(self, source: MediaSource, notes: list[tuple[int, str]]) -> None:
        self._source = source
        self._notes = notes
        self.health = source.health
        self.describe = source.describe

    @property
    def address(self) -> str:
        return self._source.address

    @property
    def offers(self) -> frozenset[Purpose]:
        return self._source.offers

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self._notes.append((time.monotonic_ns(), f"open {' '.join(sorted(purposes))}"))
        return _WatchedDevice(self._source.open(purposes), self._notes)


class _WatchedDevice:
    def __init__(self, device: MediaDevice, notes: list[tuple[int, str]]) -> None:
        self._device = device
        self._notes = notes
        self.interrupt = device.interrupt
        self.close = device.close

    def read(self) -> MediaUnit | None:
        unit = self._device.read()
        if unit is not None:
            self._notes.append((time.monotonic_ns(), "unit"))
        return unit


class Box:
    """One edge's data folder, over several runs of the program."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self._folder = folder
        self._clip = clip
        self.items: list[PlaylistItem] = []
        self.perception = CountingPerception()
        self.results: list[ItemResult] = []
        self.states: list[tuple[str, State]] = []
        self.open()

    def add(self, name: str, consent: str, media: Path | None = None) -> None:
        path = self._folder / f"{name}.consent.toml"
        path.write_text(consent, encoding="utf-8")
        self.items.append(PlaylistItem(name=name, media=f"file:{media or self._clip}", consent=path))

    def open(self) -> None:
        self.store = ConsentStore(self._folder / "consent.sqlite")
        self.outbox = Outbox(self._folder / "outbox.sqlite")
        settle(self.store, self.outbox)
        self.store.recover()

    def close(self) -> None:
        self.outbox.close()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.results.clear()
        self.states.clear()
        self.open()

    def playlist(self) -> Playlist:
        counter = Counter(
            CounterConfig(code="quay-1", playlist=tuple(self.items)),
            store=self.store,
            gate=(gate := Gate(self.store)),
            outbox=self.outbox,
            perception=self.perception,  # type: ignore[arg-type]  # a stand-in of the same shape
            software="test",
        )
        return Playlist(
            counter,
            edge="edge-1",
            store=self.store,
            gate=gate,
            on_state=lambda _, name, state: self.states.append((name, state)),
            on_result=self.results.append,
        )

    def serve(self) -> Playlist:
        served = self.playlist()
        served.start()
        assert served.join(60)
        return served

    def ends(self) -> list[tuple[str, State]]:
        return [(result.name, result.state) for result in self.results]

    def sessions(self) -> list[UUID]:
        return [self.store.record(record_id).session_id for record_id in self.store.record_ids()]

    def sent(self) -> list[str]:
        return [entry.payload["session_id"] for entry in self.outbox.pending()]


@pytest.fixture
def box(tmp_path: Path, flash_clip: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    def unpaced(*args: object, **kwargs: object) -> MediaSource:
        return opener(*args, **{**kwargs, "paced": False})

    opener: Callable[..., MediaSource] = open_source
    monkeypatch.setattr(module, "open_source", unpaced)
    made = Box(tmp_path, flash_clip)
    yield made
    made.close()


def test_items_are_served_in_their_order(box: Box) -> None:
    for name in ("first", "second", "third"):
        box.add(name, GIVEN)
    box.serve()
    assert box.ends() == [(name, State.COMPLETED) for name in ("first", "second", "third")]
    assert [name for name, state in box.states if state is State.GIVEN] == ["first", "second", "third"]
    assert len(box.perception.sessions) == 3
    assert all(set(each.taken) == BOTH for each in box.perception.sessions)
    assert box.sent() == [str(session_id) for session_id in box.sessions()]


def test_what_is_done_is_not_served_again(box: Box) -> None:
    for name, consent in (("given", GIVEN), ("refused", REFUSED), ("silent", SILENT)):
        box.add(name, consent)
    box.serve()
    box.restart()
    box.add("new", GIVEN)
    box.serve()
    assert box.ends() == [("new", State.COMPLETED)]
    assert len(box.sessions()) == 4
    assert len(box.sent()) == 2


def test_no_device_is_opened_without_a_given_consent(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_source", lambda *_, **__: pytest.fail("a source was made"))
    box.add("refused", REFUSED)
    box.add("silent", SILENT)
    served = box.serve()
    assert served.error is None
    assert box.ends() == [("refused", State.REFUSED), ("silent", State.DEFERRED)]
    assert [result.session for result in box.results] == [None, None]
    assert box.perception.sessions == []
    assert box.sent() == []


def test_a_withdrawal_in_the_middle_leaves_nothing(box: Box) -> None:
    box.perception.on_take = lambda _: time.sleep(0.01)  # two seconds and more for the whole clip
    box.add("withdrawn", WITHDRAWN)
    box.serve()
    assert box.ends() == [("withdrawn", State.WITHDRAWN)]
    (analysis,) = box.perception.sessions
    assert 0 < len(analysis.taken) < 200
    assert analysis.purged >= 1
    assert box.results[0].session is not None
    assert box.results[0].session.signal is None
    assert box.sent() == []
    assert box.outbox.held() == ()


@pytest.mark.parametrize("when", ["asked", "given"])
def test_a_session_that_was_cut_is_a_new_session_with_a_new_question(box: Box, when: str) -> None:
    box.add("cut", GIVEN)
    cut = box.playlist()._session_id(box.items[0], 0)
    script = read_consent_script(box.items[0].consent)
    record_id = offer_scripted(box.store, "quay-1", script, session_id=cut)
    if when == "given":
        decide_scripted(box.store, record_id, script)
    box.restart()
    box.serve()
    assert box.ends() == [("cut", State.COMPLETED)]
    assert len(set(box.sessions())) == 2
    assert box.sent() == [str(box.sessions()[1])]


@pytest.mark.parametrize("end", [State.EXPIRED, State.WITHDRAWN])
def test_a_session_that_ended_by_time_or_by_its_citizen_is_done(box: Box, end: State) -> None:
    box.add("ended", GIVEN)
    script = read_consent_script(box.items[0].consent)
    session_id = box.playlist()._session_id(box.items[0], 0)
    record_id = offer_scripted(box.store, "quay-1", script, session_id=session_id)
    decide_scripted(box.store, record_id, script)
    by = IndicatedBy.SYSTEM if end is State.EXPIRED else IndicatedBy.CITIZEN
    box.store.apply(record_id, end, by, "time-limit")
    box.restart()
    box.serve()
    assert box.ends() == []
    assert len(box.sessions()) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_signal_that_was_held_when_we_were_killed_is_sent_once(box: Box, *, closed: bool) -> None:
    box.add("held", GIVEN)
    session_id = box.playlist()._session_id(box.items[0], 0)
    script = read_consent_script(box.items[0].consent)
    record_id = offer_scripted(box.store, "quay-1", script, session_id=session_id)
    decide_scripted(box.store, record_id, script)
    box.outbox.hold("signal", {"session_id": str(session_id)}, key=record_id)
    if closed:
        box.store.apply(record_id, State.COMPLETED, IndicatedBy.SYSTEM, "end-of-service")
    box.restart()
    box.serve()
    assert box.ends() == ([] if closed else [("held", State.COMPLETED)])
    assert box.sent() == [str(box.sessions()[0 if closed else 1])]
    assert box.outbox.held() == ()


def test_stop_while_the_citizen_thinks_asks_anew_at_the_next_start(box: Box) -> None:
    box.add("thinking", GIVEN.replace("decides_after_s = 0", "decides_after_s = 60"))
    served = box.playlist()
    served.start()
    while not box.states:
        time.sleep(0.01)
    served.stop()
    assert served.join(20)
    assert box.ends() == [("thinking", State.DEFERRED)]
    assert box.perception.sessions == []
    box.add("thinking", GIVEN)
    box.items.pop()  # the same item; its citizen now decides at once
    box.restart()
    box.serve()
    assert box.ends() == [("thinking", State.COMPLETED)]


def test_stop_finishes_the_session_under_way_and_starts_no_other(box: Box) -> None:
    box.perception.on_take = lambda _: time.sleep(0.01)
    box.add("under-way", GIVEN)
    box.add("next", GIVEN)
    served = box.playlist()
    served.start()
    assert box.perception.begun.acquire(timeout=20)
    served.stop()
    assert served.join(20)
    assert box.ends() == [("under-way", State.COMPLETED)]
    assert len(box.sent()) == 1


@pytest.mark.parametrize("fault", ["missing", "broken", "consent"])
def test_what_cannot_be_served_is_told_and_the_next_item_follows(
    box: Box, tmp_path: Path, fault: str
) -> None:
    clip = tmp_path / "clip.mp4"
    if fault != "missing":
        clip.write_bytes(b"no media" * 1000)
    box.add("bad", GIVEN if fault != "consent" else 'decision = "perhaps"', clip)
    box.add("good", GIVEN)
    served = box.serve()
    assert box.results[-1].name == "good"
    assert len(box.sent()) == 1
    if fault == "consent":
        assert served.error is not None
        assert "bad.consent.toml" in served.error
    else:
        session = box.results[0].session
        assert session is not None
        assert session.error is not None
        assert str(clip) in session.error


def test_nothing_is_decoded_outside_a_given_consent(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold each opening and each unit, by the clock of the leases, against the events of the log."""
    notes: list[tuple[int, str]] = []
    committed: list[tuple[int, UUID, EventKind]] = []
    box.store.subscribe(
        lambda logged: committed.append((time.monotonic_ns(), logged.event.record_id, logged.event.kind))
    )
    halted: list[int] = []
    box.store.subscribe_halt(lambda _, __: halted.append(time.monotonic_ns()))
    opener: Callable[..., MediaSource] = open_source
    monkeypatch.setattr(
        module, "open_source", lambda *args, **kwargs: Watched(opener(*args, **kwargs), notes)
    )
    box.perception.on_take = lambda _: time.sleep(0.002)
    consents = (GIVEN, REFUSED, WITHDRAWN, SILENT, GIVEN.replace(', "voice"', ""), GIVEN)
    for number, consent in enumerate(consents):
        box.add(f"item-{number}", consent)
    box.serve()

    given = [at for at, _, kind in committed if kind is EventKind.GIVEN]
    assert len(given) == len(halted) == 4
    spans = list(zip(given, halted, strict=True))  # one counter: one session at a time
    outside = [(at, what) for at, what in notes if not any(begin <= at <= end for begin, end in spans)]
    reads = sum(what == "unit" for _, what in notes)
    assert reads > 300
    assert [what for _, what in notes if what != "unit"] == [
        "open image voice",
        "open image voice",
        "open image",
        "open image voice",
    ]
    # A unit may be on its way out of the decoder while the citizen withdraws; the gate drops it.
    assert len(outside) <= 1
    assert sum(len(each.taken) for each in box.perception.sessions) >= reads - 4
    assert all(set(each.taken) <= each.purposes for each in box.perception.sessions)
