"""Who is read at a counter: a table of calls by person for every kind of scene, by both detectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from inference.citizen_watch import CitizenWatch
from inference.face_config import FaceConfig
from inference.tracking import intersection_over_union
from inference.zones import SeatZone
from models.face_detectors import load_face_detector
from models.registry import Registry
from tests.inference.scenes import HEIGHT, WIDTH, Person, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.face_detectors import Box, FaceDetector

ZONE = SeatZone()
CITIZEN = Person("citizen", "satisfied", 0.5, 0.45)
OFFICER = Person("officer", "neutral", 0.15, 0.42)


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene and what must come of it.

    Attributes:
        people: Who is there; later ones stand in front.
        read: Who is read at all.
        stops: Whether a second face ends the picture purpose.
        seconds: Its length.
    """

    people: tuple[Person, ...]
    read: frozenset[str] = frozenset()
    stops: bool = False
    seconds: float = 4.0


SCENES = {
    "officer-only": Scene((OFFICER,)),
    "officer-only-on-the-other-side": Scene((Person("officer", "neutral", 0.85, 0.42),)),
    "empty-seat": Scene(()),
    "citizen-and-officer": Scene((OFFICER, CITIZEN), frozenset({"citizen"})),
    # Whoever had a place beside the seat does not become the citizen by walking into it.
    "swapped-seats": Scene(
        (
            Person("first", "satisfied", 0.5, 0.45, x_to=0.85, moving_s=(2.5, 3.1)),
            Person("second", "neutral", 0.15, 0.42, x_to=0.5, moving_s=(3.1, 5.1)),
        ),
        frozenset({"first"}),
        seconds=8.0,
    ),
    # So fast that no track follows them: nothing but a counter event tells who sits there.
    "swapped-seats-in-a-moment": Scene(
        (
            Person("first", "satisfied", 0.5, 0.45, x_to=0.85, moving_s=(2.5, 3.1)),
            Person("second", "neutral", 0.15, 0.42, x_to=0.5, moving_s=(3.1, 3.7)),
        ),
        frozenset({"first", "second"}),
        seconds=6.0,
    ),
    "bystander-passing-behind": Scene(
        (Person("bystander", "neutral", 0.05, 0.16, 0.3, x_to=0.95, moving_s=(0.0, 4.0)), CITIZEN),
        frozenset({"citizen"}),
    ),
    "bystander-beside": Scene(
        (
            Person("citizen", "satisfied", 0.38, 0.42),
            Person("bystander", "neutral", 0.64, 0.4, during_s=(2.0, 9.0)),
        ),
        frozenset({"citizen"}),
        stops=True,
        seconds=5.0,
    ),
    "child-beside-the-adult": Scene(
        (
            Person("adult", "satisfied", 0.42, 0.45),
            Person("child", "neutral", 0.66, 0.26, 0.6, during_s=(2.0, 9.0)),
        ),
        frozenset({"adult"}),
        stops=True,
        seconds=5.0,
    ),
    # Nothing sound tells a child's face: the officer's switch is the rule, or a child alone is read.
    "child-alone": Scene((Person("child", "satisfied", 0.5, 0.26, 0.6),), frozenset({"child"})),
    "another-takes-the-chair": Scene(
        (
            Person("first", "satisfied", 0.5, 0.45, during_s=(0.0, 2.0)),
            Person("next", "dissatisfied", 0.5, 0.45, during_s=(4.0, 9.0)),
        ),
        frozenset({"first", "next"}),
        seconds=6.0,
    ),
}


@pytest.fixture(scope="module", params=["centerface", "yunet"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    name: str = request.param
    registry = Registry.default()
    if name == "yunet":
        shared = request.getfixturevalue("shared")
        registry = Registry([*registry.folders, shared / "models"])
    return load_face_detector(registry, name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Calls by person, readings of a face outside the seat, and how the scene ended."""

    calls: Counter[str]
    outside: int
    found: frozenset[str]
    stopped: bool
    citizens: int


def whose(box: Box, places: dict[str, Box]) -> str:
    """Return whose face a box is; a box that is nobody's shows in the tables as such."""
    best = max(places, key=lambda name: intersection_over_union(places[name], box), default="nobody")
    return best if places and intersection_over_union(places[best], box) > 0 else "nobody"


def watched(detector: FaceDetector, scene: Scene, config: FaceConfig | None = None) -> Outcome:
    watch = CitizenWatch(detector, ZONE, config or FaceConfig())
    calls: Counter[str] = Counter()
    found: set[str] = set()
    outside = 0
    for moment in play(scene.people, scene.seconds):
        face = watch.look(moment.frame)
        glance = watch.glance
        assert glance is not None
        places = {name: labelled.box for name, labelled in moment.people}
        for track in glance.tracks:
            if glance.captured_ns == moment.frame.captured_ns:
                found.add(whose(track.box, places))
        if face is None:
            continue
        (box,) = [track.box for track in glance.tracks if track.track_id == face.track_id]
        outside += not ZONE.holds(box, WIDTH, HEIGHT)
        calls[whose(box, places)] += 1
    by_track = [count for count in watch.calls_by_track.values() if count]
    assert sum(by_track) == sum(calls.values())
    return Outcome(calls, outside, frozenset(found), watch.seat.sustained, len(by_track))


@pytest.mark.parametrize("name", SCENES)
def test_only_who_sits_in_the_seat_is_read(detector: FaceDetector, name: str) -> None:
    scene = SCENES[name]
    outcome = watched(detector, scene)
    assert outcome.found == {person.name for person in scene.people}, (
        "everybody was found, or it shows nothing"
    )
    assert set(outcome.calls) == scene.read
    assert outcome.outside == 0
    assert outcome.stopped is scene.stops
    assert all(outcome.calls[person] >= 6 for person in scene.read), outcome.calls


@pytest.mark.parametrize(
    "name", ["officer-only", "bystander-passing-behind", "bystander-beside", "empty-seat"]
)
def test_following_reads_nobody_else(detector: FaceDetector, name: str) -> None:
    scene = SCENES[name]
    outcome = watched(detector, scene, FaceConfig(detect_hz=2.0, read_hz=6.0))
    assert set(outcome.calls) == scene.read
    assert (outcome.outside, outcome.stopped) == (0, scene.stops)


def test_another_in_the_chair_is_another_track(detector: FaceDetector) -> None:
    assert watched(detector, SCENES["another-takes-the-chair"]).citizens == 2


def seats(detector: FaceDetector, scene: Scene) -> Iterator[bool]:
    watch = CitizenWatch(detector, ZONE, FaceConfig())
    for moment in play(scene.people, scene.seconds):
        watch.look(moment.frame)
        yield watch.seat.sustained


def test_the_second_face_stops_within_two_seconds(detector: FaceDetector) -> None:
    stopped = list(seats(detector, SCENES["bystander-beside"]))
    assert 3.0 <= stopped.index(True) / 12 <= 4.0
