"""A covered mouth is not read: drawn masks and hands on rendered heads and news faces, and what passes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from inference.citizen_watch import CitizenWatch
from inference.face_config import FaceConfig
from inference.face_quality import GateConfig, Rejection, crop_face, mouth_covered, reject
from inference.mouth_cover import CoverHistory, mouth_sight
from inference.zones import SeatZone
from models.face_detectors import load_face_detector
from models.registry import Registry
from tests.inference.covers import CLOTHS, bearded, behind_hand, masked
from tests.inference.scenes import NS, T0, Person, play

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.face_detectors import Box, FaceDetector, Landmarks

CITIZEN = Person("citizen", "satisfied", 0.5, 0.45)
GATES = GateConfig()


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return load_face_detector(Registry.default(), "centerface")


@pytest.fixture(scope="module")
def heads(detector: FaceDetector) -> list[tuple[NDArray[np.uint8], Box]]:
    """Eight pictures of a rendered head, from neutral to a broad smile, and where its face is."""
    moments = islice(play((CITIZEN,), 8.0), 0, None, 12)
    return [(moment.frame.pixels, detector.detect(moment.frame.pixels)[0]) for moment in moments]


def landmarks_of(box: Box) -> Landmarks:
    assert box.landmarks is not None
    return box.landmarks


def judged(detector: FaceDetector, picture: NDArray[np.uint8]) -> Rejection | None:
    """Judge the best face of a picture as a session does, by the landmarks that the covered face gives."""
    box = detector.detect(picture)[0]
    crop = crop_face(picture, box)
    assert crop is not None
    return reject(crop, box, GATES)


@pytest.mark.parametrize("cloth", CLOTHS)
def test_a_masked_face_is_refused(
    detector: FaceDetector, heads: list[tuple[NDArray[np.uint8], Box]], cloth: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = [judged(detector, masked(picture, landmarks_of(box), cloth, rng)) for picture, box in heads]
    assert found.count(Rejection.MOUTH_COVERED) >= 7, found


def test_a_hand_before_the_mouth_is_refused(
    detector: FaceDetector, heads: list[tuple[NDArray[np.uint8], Box]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = [judged(detector, behind_hand(picture, landmarks_of(box), rng)) for picture, box in heads]
    assert found.count(Rejection.MOUTH_COVERED) >= 7, found


@pytest.mark.parametrize("light", [1.0, 0.45, 1.3])
def test_a_bare_face_is_read_in_any_light(
    detector: FaceDetector, heads: list[tuple[NDArray[np.uint8], Box]], light: float
) -> None:
    lit = [np.clip(picture * light, 0, 255).astype(np.uint8) for picture, _ in heads]
    assert [judged(detector, picture) for picture in lit] == [None] * len(heads)


def test_a_beard_is_no_cover(
    detector: FaceDetector, heads: list[tuple[NDArray[np.uint8], Box]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = [judged(detector, bearded(picture, landmarks_of(box), rng)) for picture, box in heads]
    assert found == [None] * len(heads)


def test_a_shadow_below_the_nose_is_no_cover(heads: list[tuple[NDArray[np.uint8], Box]]) -> None:
    for picture, box in heads:
        nose = round(landmarks_of(box)[2][1])
        shaded = picture.copy()
        shaded[nose:] = (shaded[nose:] * 0.5).astype(np.uint8)
        crop = crop_face(shaded, box)
        assert crop is not None
        assert not mouth_covered(crop, box, GATES)


def test_only_the_colour_tells_a_mask_with_a_mouth_printed_on_it(
    heads: list[tuple[NDArray[np.uint8], Box]],
) -> None:
    picture, box = heads[0]
    jaw = round(landmarks_of(box)[2][1]) + 2
    printed = picture.copy()
    grey = cv2.cvtColor(picture[jaw:], cv2.COLOR_BGR2GRAY)
    printed[jaw:] = (grey[:, :, None] * np.array((1.3, 1.0, 0.5))).clip(0, 255).astype(np.uint8)
    bare, coloured = (mouth_sight(each, landmarks_of(box)) for each in (picture, printed))
    assert bare is not None
    assert coloured is not None
    assert bare.tint < 0.1
    assert coloured.tint > GATES.max_tint
    assert coloured.structure > GATES.min_mouth


def test_the_place_of_a_face_in_the_frame_does_not_matter(heads: list[tuple[NDArray[np.uint8], Box]]) -> None:
    picture, box = heads[0]
    whole = mouth_sight(picture, landmarks_of(box))
    crop = crop_face(picture, box)
    assert crop is not None
    inside = tuple((x - crop.left_px, y - crop.top_px) for x, y in landmarks_of(box))
    cut = mouth_sight(crop.pixels, inside)
    assert whole is not None
    assert cut is not None
    assert cut.structure == pytest.approx(whole.structure, rel=0.05)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(((5.0, 5.0),) * 5, id="one-place"),
        pytest.param(((0.0, 0.0), (20.0, 0.0), (10.0, 5.0)), id="three"),
        pytest.param(((0.0, 0.0), (20.0, 0.0), (10.0, 5.0), (5.0, float("nan")), (15.0, 20.0)), id="nan"),
    ],
)
def test_points_that_are_no_face_say_nothing(points: Landmarks) -> None:
    assert mouth_sight(np.full((60, 60, 3), 128, np.uint8), points) is None


def test_a_face_without_landmarks_counts_as_bare(
    heads: list[tuple[NDArray[np.uint8], Box]], seed: int
) -> None:
    picture, box = heads[0]
    crop = crop_face(masked(picture, landmarks_of(box), "blue", np.random.default_rng(seed)), box)
    assert crop is not None
    assert mouth_covered(crop, box, GATES)
    assert not mouth_covered(crop, replace(box, landmarks=None), GATES)


def test_a_mask_stays_on_when_one_picture_of_it_looks_bare() -> None:
    history = CoverHistory(1.0)
    quarter = NS // 4
    looks = [True, True, False, True, False, False, False, False, False]
    found = [history.take(7, T0 + n * quarter, covered=look) for n, look in enumerate(looks)]
    assert found == [True, True, True, True, True, False, False, False, False]
    assert history.take(7, T0 + 20 * quarter, covered=True)
    assert not history.take(8, T0 + 21 * quarter, covered=False), "another track has its own mouth"


def counted(
    detector: FaceDetector, cover: Callable[[NDArray[np.uint8], Landmarks], NDArray[np.uint8]] | None
) -> tuple[int, int]:
    """Return how many faces of a visit of eight seconds are read, and how many refused for their mouth."""
    watch = CitizenWatch(detector, SeatZone(), FaceConfig(detect_hz=2.0, read_hz=2.0))
    read = 0
    for moment in islice(play((CITIZEN,), 8.0), 0, None, 6):
        picture = moment.frame.pixels
        if cover is not None:
            picture = cover(picture, landmarks_of(detector.detect(picture)[0]))
        read += watch.look(replace(moment.frame, pixels=picture)) is not None
    return read, watch.rejections.get(Rejection.MOUTH_COVERED, 0)


def test_who_wears_a_mask_all_the_time_gives_no_evidence_of_the_face(
    detector: FaceDetector, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    assert counted(detector, None) == (16, 0)
    assert counted(detector, lambda picture, points: masked(picture, points, "blue", rng)) == (0, 16)


def test_masks_on_news_faces_are_refused_and_bare_ones_read(
    detector: FaceDetector, shared: Path, seed: int
) -> None:
    """Grey pictures: no colour helps. The people are of the half that chose no threshold."""
    with np.load(shared / "data" / "faces" / "dev_named_people.npz") as pack:
        images, persons = pack["images"], pack["person"]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.flatnonzero(persons % 2 == 1))[:60]
    bare, covered = [], []
    for number, index in enumerate(chosen):
        wide = cv2.copyMakeBorder(images[index], 64, 64, 64, 64, cv2.BORDER_REFLECT)
        picture = np.repeat(wide[:, :, None], 3, axis=2)
        found = [
            box for box in detector.detect(picture) if abs(box.x1 + box.x2 - 256) < 60 and box.height > 60
        ]
        if not found:
            continue
        bare.append(judged_box(picture, found[0]))
        cloth = tuple(CLOTHS)[number % len(CLOTHS)]
        hidden = masked(picture, landmarks_of(found[0]), cloth, rng)
        grey = np.asarray(
            cv2.cvtColor(cv2.cvtColor(hidden, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8
        )
        again = [box for box in detector.detect(grey) if abs(box.x1 + box.x2 - 256) < 60 and box.height > 60]
        if again:
            covered.append(judged_box(grey, again[0]))
    assert len(bare) >= 50
    assert len(covered) >= 40
    assert bare.count(Rejection.MOUTH_COVERED) <= 3
    assert covered.count(Rejection.MOUTH_COVERED) >= 0.75 * len(covered)


def judged_box(picture: NDArray[np.uint8], box: Box) -> Rejection | None:
    crop = crop_face(picture, box)
    assert crop is not None
    return reject(crop, box, GATES)
