"""Whole sessions with the real networks: who may not be read gives no figure, and no call either.

Each scene goes the way of a counter: consent, gate, session, signal. The reader alone is tried on
the same scenes in `tests/inference/test_scenes.py`, real people in `tests/test_real_recordings.py`.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capture.config import CounterConfig
from capture.consent_script import ConsentScript
from capture.cost import DETECTION, EXPRESSION, CpuMeter
from capture.recording import RecordingSource
from capture.replay import Replayed, replay, replay_counter
from capture.source import EmptyDevice, MediaDevice, MediaSource, MediaUnit, SourceHealth
from consent.purpose import Purpose
from consent.state import State
from inference.perception import Perception
from models.registry import Registry
from setup.layout import ROOT
from tests.inference.scenes import Person, play

IMAGE = frozenset({Purpose.IMAGE})
GIVEN = ConsentScript(decision="given", purposes=IMAGE, decides_after_s=0)
LEFT = [(0.0, 0.0), (0.35, 0.0), (0.35, 1.0), (0.0, 1.0)]
RIGHT = [(0.65, 0.0), (1.0, 0.0), (1.0, 1.0), (0.65, 1.0)]


class Scene:
    """A camera in front of which a scene is played."""

    address = "scene:"
    offers = IMAGE

    def __init__(self, *people: Person, seconds: float = 12.0) -> None:
        self._people = people
        self._seconds = seconds

    def describe(self) -> str:
        return "a scene"

    def health(self) -> SourceHealth:
        return SourceHealth()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        assert purposes == IMAGE
        return _Played(moment.frame for moment in play(self._people, self._seconds))


class _Played(EmptyDevice):
    def __init__(self, units: Iterator[MediaUnit]) -> None:
        self._units = units

    def read(self) -> MediaUnit | None:
        return next(self._units, None)


@pytest.fixture(scope="module")
def perception() -> Iterator[Perception]:
    loaded = Perception.load(Registry.default())
    yield loaded
    loaded.close()


def served(source: MediaSource, perception: Perception, **settings: Any) -> tuple[Replayed, Tally[str]]:
    """Serve one session; return what came of it and the calls of the networks."""
    meter = CpuMeter()
    counter = CounterConfig.model_validate(replay_counter().model_dump() | settings)
    done = replay(
        Path("scene"), GIVEN, meter.perception(perception), counter=counter, software="test", source=source
    )
    return done, Tally(meter.calls)


def sample(name: str) -> MediaSource:
    return RecordingSource(ROOT / "samples" / name)


def test_an_empty_seat_gives_no_signal_and_no_reading(perception: Perception) -> None:
    done, calls = served(sample("nobody.mp4"), perception)
    assert (done.consent, done.signal, done.error) == (State.COMPLETED, None, None)
    assert calls[DETECTION] > 40
    assert calls[EXPRESSION] == 0


BESIDE = {
    "officer left of the seat": (0.17, None),
    "officer right of the seat": (0.83, None),
    "seat left, face right": (0.8, LEFT),
    "seat right, face left": (0.2, RIGHT),
}


@pytest.mark.parametrize(("x", "seat"), BESIDE.values(), ids=BESIDE.keys())
def test_who_sits_beside_the_seat_is_not_read(
    perception: Perception, x: float, seat: list[tuple[float, float]] | None
) -> None:
    """The one person in the picture is not in the citizen's chair: an officer, or seats that were swapped."""
    done, calls = served(Scene(Person("officer", "satisfied", x, 0.4)), perception, seat_zone=seat)
    assert (done.consent, done.signal, done.error) == (State.COMPLETED, None, None)
    assert calls[DETECTION] > 40
    assert calls[EXPRESSION] == 0


@pytest.mark.parametrize(
    ("x", "seat"), [(0.5, None), (0.2, LEFT), (0.8, RIGHT)], ids=["middle", "left", "right"]
)
def test_who_sits_in_the_seat_is_read_wherever_it_is(
    perception: Perception, x: float, seat: list[tuple[float, float]] | None
) -> None:
    """The control of the test above: the same person, in the chair."""
    done, calls = served(Scene(Person("citizen", "satisfied", x, 0.4)), perception, seat_zone=seat)
    assert done.consent is State.COMPLETED
    assert calls[EXPRESSION] > 40


def test_an_officer_beside_a_citizen_adds_no_call(perception: Perception) -> None:
    citizen, officer = Person("citizen", "satisfied", 0.5, 0.4), Person("officer", "dissatisfied", 0.1, 0.4)
    _, alone = served(Scene(citizen), perception)
    done, both = served(Scene(officer, citizen), perception)
    assert done.consent is State.COMPLETED
    assert both[EXPRESSION] == alone[EXPRESSION] > 40


def test_a_bystander_adds_no_call(perception: Perception) -> None:
    """Somebody comes into the picture after three seconds; one face a detection is read as before."""
    done, calls = served(sample("bystander.mp4"), perception)
    assert done.signal is not None
    assert calls[EXPRESSION] == calls[DETECTION]
    assert 25.0 < done.signal.quality.face_s <= 32.75, "of 32.5 s"


def test_a_masked_seat_gives_nothing(perception: Perception) -> None:
    """The camera is turned so that the chair's occupant sits behind a privacy mask."""
    mask = [(0.25, 0.0), (0.75, 0.0), (0.75, 0.9), (0.25, 0.9)]
    scene = Scene(Person("citizen", "satisfied", 0.5, 0.4))
    done, calls = served(scene, perception, privacy_masks=[mask])
    assert (done.signal, calls[EXPRESSION]) == (None, 0)


@pytest.mark.parametrize("share", [1.0, 0.75, 0.5], ids=["like size", "smaller", "a child's"])
def test_a_second_face_at_the_seat_ends_the_session(perception: Perception, share: float) -> None:
    """From the fourth second somebody sits beside the citizen, within the seat: no figure may come of it."""
    citizen = Person("citizen", "satisfied", 0.38, 0.4)
    child = Person("child", "neutral", 0.65, 0.4 * share, during_s=(4.0, 1e9))
    done, calls = served(Scene(citizen, child), perception)
    assert done.signal is None
    assert done.consent is State.REVOKED
    assert 0 < calls[EXPRESSION] <= 20, "the citizen was read until the second face came, and never after"
