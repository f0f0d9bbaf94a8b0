"""What could make masks slip: real faces, the real detector, and a look at every pixel of the face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from inference.anonymizer import Anonymizer, AnonymizerConfig, Doubt
from inference.face_search import load_face_searches
from models.face_detectors import Box, load_face_detector
from models.registry import Registry
from tests.inference.moving_faces import NS, laid, portraits, room, survives

if TYPE_CHECKING:
    from pathlib import Path

    from inference.face_search import FaceSearches
    from models.face_detectors import FaceDetector
    from tests.inference.moving_faces import Picture

STEP = NS // 12


@pytest.fixture(scope="module")
def live() -> FaceSearches:
    return load_face_searches(Registry.default(), "centerface", slow=False)


@pytest.fixture(scope="module")
def slow() -> FaceSearches:
    return load_face_searches(Registry.default(), "centerface", slow=True)


@pytest.fixture(scope="module")
def witness() -> FaceDetector:
    """Sure finds at a working size that no look of the masks has."""
    return load_face_detector(Registry.default(), "centerface", 0.5, longest_px=512)


@pytest.fixture(scope="module")
def people(shared: Path) -> list[Picture]:
    return portraits(shared, 12)


class Absent:
    """The detector, except in the frames in which it is told to find nothing."""

    def __init__(self, detector: FaceDetector, *, misses: bool = True) -> None:
        self._detector = detector
        self.name, self.version, self.sha256 = detector.version_of()
        self.threshold = detector.threshold
        self.calls = 0
        self.misses = misses

    def detect(self, image: Picture) -> tuple[Box, ...]:
        self.calls += 1
        return () if self.misses and self.calls % 2 == 0 else self._detector.detect(image)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


def hidden(masked: Picture, clear: Picture, face: Box, witness: FaceDetector) -> None:
    """No pixel of the face is left, and the witness finds no face where it was."""
    assert survives(masked, clear, face) == 0.0
    for box in witness.detect(masked):
        middle = ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
        assert not (face.x1 <= middle[0] <= face.x2 and face.y1 <= middle[1] <= face.y2)


def test_the_check_itself_sees_an_open_face(people: list[Picture], witness: FaceDetector) -> None:
    picture = room()
    face = laid(picture, people[0], 220, 100, 160)
    assert survives(picture, picture, face) > 0.9
    with pytest.raises(AssertionError):
        hidden(picture, picture, face, witness)
    half = picture.copy()
    half[:180] = 48
    with pytest.raises(AssertionError):
        hidden(half, picture, face, witness)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param((240, 100, 160), id="middle"),
        pytest.param((-30, 100, 160), id="left-border"),
        pytest.param((510, 100, 160), id="right-border"),
        pytest.param((240, -25, 160), id="upper-border"),
        pytest.param((240, 240, 160), id="lower-border"),
        pytest.param((140, 0, 360), id="fills-the-picture"),
        pytest.param((300, 150, 48), id="small"),
    ],
)
def test_a_face_anywhere_and_of_any_size(
    people: list[Picture], live: FaceSearches, witness: FaceDetector, place: tuple[int, int, int]
) -> None:
    picture = room()
    face = laid(picture, people[0], *place)
    masked = Anonymizer(live.always, closer=live.closer).anonymize(picture, 0)
    hidden(masked, picture, face, witness)
    drawn = Anonymizer(live.always, AnonymizerConfig(style="drawing"), closer=live.closer)
    assert survives(drawn.anonymize(picture, 0), picture, face) == 0.0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_face(people: list[Picture], slow: FaceSearches, witness: FaceDetector, turns: int) -> None:
    picture = room()
    face = laid(picture, people[0], 220, 100, 160, turns=turns)
    masked = Anonymizer(slow.always, closer=slow.closer).anonymize(picture, 0)
    hidden(masked, picture, face, witness)


def test_a_face_in_quick_motion(people: list[Picture], live: FaceSearches, witness: FaceDetector) -> None:
    anonymizer = Anonymizer(live.always, closer=live.closer)
    for number in range(12):
        picture = room()
        face = laid(picture, people[1], 40 + 20 * number, 90, 140)
        hidden(anonymizer.anonymize(picture, number * STEP), picture, face, witness)


def test_a_detector_that_misses_every_second_frame(
    people: list[Picture], live: FaceSearches, witness: FaceDetector
) -> None:
    flickering = Absent(live.always)
    anonymizer = Anonymizer(flickering)
    for number in range(8):
        picture = room()
        face = laid(picture, people[2], 200 + 6 * number, 90, 140)
        hidden(anonymizer.anonymize(picture, number * STEP), picture, face, witness)
    assert flickering.calls == 8


def test_a_face_that_appears_between_two_detections(
    people: list[Picture], live: FaceSearches, witness: FaceDetector
) -> None:
    anonymizer = Anonymizer(live.always, AnonymizerConfig(detect_hz=4.0))
    anonymizer.anonymize(room(), 0)
    for number in range(1, 6):
        picture = room()
        face = laid(picture, people[3], 240, 100, 140)
        hidden(anonymizer.anonymize(picture, number * STEP), picture, face, witness)
        assert (anonymizer.doubt is Doubt.MOTION_WITHOUT_FACE) or number >= 3


def test_a_picture_in_the_picture(people: list[Picture], live: FaceSearches, witness: FaceDetector) -> None:
    picture = room()
    near = laid(picture, people[4], 60, 60, 220)
    picture[40:200, 420:620] = 20
    shown = laid(picture, people[5], 470, 60, 110)
    masked = Anonymizer(live.always, closer=live.closer).anonymize(picture, 0)
    for face in (near, shown):
        hidden(masked, picture, face, witness)


@pytest.mark.parametrize("gain", [0.35, 1.6])
def test_a_jump_of_the_light(
    people: list[Picture], live: FaceSearches, witness: FaceDetector, gain: float
) -> None:
    anonymizer = Anonymizer(live.always, closer=live.closer)
    for number in range(6):
        picture = room()
        face = laid(picture, people[6], 240, 90, 150)
        if number >= 2:
            picture = np.clip(picture * gain, 0, 255).astype(np.uint8)
        hidden(anonymizer.anonymize(picture, number * STEP), picture, face, witness)


def test_a_picture_of_another_size_in_mid_stream(
    people: list[Picture], live: FaceSearches, witness: FaceDetector
) -> None:
    anonymizer = Anonymizer(live.always, closer=live.closer)
    for number, (width, height) in enumerate([(640, 360), (640, 360), (320, 240), (320, 240), (640, 360)]):
        picture = room(width, height)
        face = laid(picture, people[7], width // 3, height // 4, height // 2)
        masked = anonymizer.anonymize(picture, number * STEP)
        assert masked.shape == picture.shape
        hidden(masked, picture, face, witness)


def test_a_clock_that_runs_back(people: list[Picture], live: FaceSearches, witness: FaceDetector) -> None:
    anonymizer = Anonymizer(live.always)
    for at_ns, x in ((50 * NS, 60), (50 * NS + STEP, 70), (3 * NS, 420), (3 * NS + STEP, 430)):
        picture = room()
        face = laid(picture, people[8], x, 100, 140)
        hidden(anonymizer.anonymize(picture, at_ns), picture, face, witness)


def test_nine_people_are_a_crowd(people: list[Picture], live: FaceSearches) -> None:
    picture = room()
    faces = [
        laid(picture, people[number], 20 + 124 * (number % 5), 20 + 170 * (number // 5), 110)
        for number in range(9)
    ]
    anonymizer = Anonymizer(live.always, closer=live.closer)
    masked = anonymizer.anonymize(picture, 0)
    assert anonymizer.doubt is Doubt.TOO_MANY_FACES
    assert all(survives(masked, picture, face) == 0.0 for face in faces)


class Failing:
    name, version, sha256, threshold = "failing", "1", "0" * 64, 0.15

    def __init__(self, found: object) -> None:
        self.found = found

    def detect(self, image: Picture) -> tuple[Box, ...]:
        if isinstance(self.found, Exception):
            raise self.found
        assert isinstance(self.found, tuple)
        return self.found

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(RuntimeError("gone"), id="raises"),
        pytest.param(MemoryError(), id="no-memory"),
        pytest.param((Box(float("nan"), 0, 10, 10, 1),), id="not-a-number"),
        pytest.param((Box(0, 0, float("inf"), 10, 1),), id="endless"),
        pytest.param((Box(50, 0, 10, 10, 1),), id="inside-out"),
    ],
)
def test_a_detector_that_cannot_be_believed(people: list[Picture], found: object) -> None:
    picture = room()
    laid(picture, people[0], 240, 100, 140)
    anonymizer = Anonymizer(Failing(found))
    with capture_logs():
        masked = anonymizer.anonymize(picture, 0)
    assert (masked == 48).all()
    assert anonymizer.doubt is Doubt.DETECTOR_FAILED


def test_a_closer_look_that_fails_covers_everything_too(live: FaceSearches) -> None:
    anonymizer = Anonymizer(live.always, closer=Failing(RuntimeError("gone")))
    with capture_logs():
        assert (anonymizer.anonymize(room(), 0) == 48).all()
    assert anonymizer.doubt is Doubt.DETECTOR_FAILED


def test_a_detector_too_slow_for_the_stream(
    people: list[Picture], live: FaceSearches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than half a second is not believed, whatever it found."""
    anonymizer = Anonymizer(live.always, AnonymizerConfig(detect_hz=2.0))
    picture = room()
    laid(picture, people[0], 240, 100, 140)
    anonymizer.anonymize(picture, 0)
    monkeypatch.setattr(anonymizer, "_due", lambda _: False)  # the next detection does not come
    assert (anonymizer.anonymize(picture, NS // 4) != 48).any()
    assert (anonymizer.anonymize(picture, 3 * NS // 4) == 48).all()
    assert anonymizer.doubt is Doubt.DETECTOR_LATE
