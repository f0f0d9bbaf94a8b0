from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.anonymizer import Anonymizer, AnonymizerConfig, Doubt
from inference.errors import FrameError, SettingError
from inference.masks import grown, mask_boxes
from models.face_detectors import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

NS = 1_000_000_000
STEP = NS // 12
FACE = Box(280, 80, 360, 190, 0.9)
INK = 48


class Finder:
    """Answers with what is put into it."""

    name, version, sha256, threshold = "finder", "1", "0" * 64, 0.15

    def __init__(self, *boxes: Box) -> None:
        self.boxes: Sequence[Box] = boxes
        self.error: Exception | None = None
        self.calls = 0

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return tuple(self.boxes)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


def scene(*, seed: int = 3) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(60, 255, (9, 16, 3), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, 40, axis=0), 40, axis=1)


def whole(image: NDArray[np.uint8]) -> bool:
    return bool((image == INK).all())


def covers(image: NDArray[np.uint8], box: Box) -> bool:
    return bool((image[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] == INK).all())


def test_a_mask_is_opaque_and_depends_on_nothing_under_it() -> None:
    one, two = mask_boxes(scene(), [FACE]), mask_boxes(255 - scene(), [FACE])
    assert covers(one, FACE)
    assert covers(two, FACE)
    assert not (one[0, 0] == INK).all()


def test_a_mask_is_rounded_outwards_and_clipped() -> None:
    masked = mask_boxes(np.zeros((10, 10, 3), np.uint8), [Box(2.9, 3.9, 5.1, 6.1, 1), Box(-5, 8, 3, 99, 1)])
    assert (masked[3:7, 2:6] == INK).all()
    assert (masked[8:, :3] == INK).all()
    assert int((masked[:, :, 0] == INK).sum()) == 16 + 6


def test_hair_and_ears_are_covered_too() -> None:
    masked = Anonymizer(Finder(FACE)).anonymize(scene(), 0)
    assert covers(masked, grown(FACE, 0.3))
    assert not whole(masked)


def test_the_given_picture_is_left_alone() -> None:
    picture = scene()
    picture.flags.writeable = False
    Anonymizer(Finder(FACE)).anonymize(picture, 0)
    assert (picture == scene()).all()


def test_a_missed_face_stays_covered_by_a_growing_mask_then_ends() -> None:
    finder = Finder(FACE)
    anonymizer = Anonymizer(finder)
    anonymizer.anonymize(scene(), 0)
    finder.boxes = ()
    for n in range(1, 13):
        masked = anonymizer.anonymize(scene(), n * STEP)
        assert covers(masked, grown(FACE, 0.35 + 0.5 * (n - 1) / 12)), n
    assert not covers(anonymizer.anonymize(scene(), 14 * STEP), FACE)


def test_a_jump_covers_both_places() -> None:
    finder = Finder(FACE)
    anonymizer = Anonymizer(finder)
    anonymizer.anonymize(scene(), 0)
    elsewhere = Box(500, 80, 580, 190, 0.9)
    finder.boxes = (elsewhere,)
    masked = anonymizer.anonymize(scene(), STEP)
    assert covers(masked, FACE)
    assert covers(masked, elsewhere)


def test_a_broken_detector_covers_everything_until_it_works_again() -> None:
    finder = Finder(FACE)
    finder.error = RuntimeError("gone")
    anonymizer = Anonymizer(finder)
    assert whole(anonymizer.anonymize(scene(), 0))
    assert anonymizer.doubt is Doubt.DETECTOR_FAILED
    finder.error = None
    assert not whole(anonymizer.anonymize(scene(), STEP))
    finder.error = RuntimeError("again")
    assert whole(anonymizer.anonymize(scene(), 2 * STEP))


def test_a_crowd_covers_everything() -> None:
    anonymizer = Anonymizer(Finder(*(Box(70 * n, 10, 70 * n + 40, 60, 0.9) for n in range(9))))
    assert whole(anonymizer.anonymize(scene(), 0))
    assert anonymizer.doubt is Doubt.TOO_MANY_FACES


def test_motion_without_a_face_covers_everything() -> None:
    finder = Finder()
    anonymizer = Anonymizer(finder)
    assert not whole(anonymizer.anonymize(scene(), 0))
    moved = scene()
    moved[100:200, 300:380] = 255 - moved[100:200, 300:380]
    assert whole(anonymizer.anonymize(moved, STEP))
    assert anonymizer.doubt is Doubt.MOTION_WITHOUT_FACE
    # Covered for a while after the motion, then believed again.
    assert whole(anonymizer.anonymize(moved, 2 * STEP))
    assert not whole(anonymizer.anonymize(moved, 9 * STEP))


def test_a_face_explains_its_own_motion_but_not_another_place() -> None:
    anonymizer = Anonymizer(Finder(FACE))
    anonymizer.anonymize(scene(), 0)
    nod = scene()
    nod[100:350, 280:360] = 255 - nod[100:350, 280:360]
    assert not whole(anonymizer.anonymize(nod, STEP))
    other = nod.copy()
    other[60:170, 20:100] = 255 - other[60:170, 20:100]
    assert whole(anonymizer.anonymize(other, 2 * STEP))


def test_between_detections_the_last_one_holds() -> None:
    finder = Finder(FACE)
    anonymizer = Anonymizer(finder, AnonymizerConfig(detect_hz=4.0))
    for n in range(12):
        assert covers(anonymizer.anonymize(scene(), n * STEP), FACE)
    assert finder.calls == 4


def test_a_clock_that_jumps_back_starts_again() -> None:
    finder = Finder(FACE)
    anonymizer = Anonymizer(finder, AnonymizerConfig(detect_hz=4.0))
    anonymizer.anonymize(scene(), 100 * NS)
    assert covers(anonymizer.anonymize(scene(), 0), FACE)
    assert finder.calls == 2


def test_another_kind_of_picture_is_refused() -> None:
    with pytest.raises(FrameError):
        Anonymizer(Finder()).anonymize(np.zeros((9, 9), np.uint8), 0)


@pytest.mark.parametrize("setting", [{"grow": -0.1}, {"hold_s": -1.0}, {"detect_hz": 1.0}])
def test_settings_that_would_uncover_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        AnonymizerConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time


def test_a_detector_that_keeps_back_faces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Finder(FACE)
    monkeypatch.setattr(finder, "threshold", 0.35)
    with pytest.raises(SettingError, match=r"threshold=0\.15"):
        Anonymizer(finder)


def test_no_blur_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a blur was asked for")

    for name in ("GaussianBlur", "blur", "medianBlur", "boxFilter", "stackBlur"):
        monkeypatch.setattr(f"cv2.{name}", refuse)
    Anonymizer(Finder(FACE)).anonymize(scene(), 0)
