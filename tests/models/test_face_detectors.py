from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from models.errors import InputError, UnknownModel
from models.face_boxes import suppress
from models.face_detectors import Box, FaceDetector, load_face_detector
from models.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DETECTORS = ("centerface", "yunet@2023mar", "yunet@2026may")
FEW_FACES_PX = 60
"""Pictures with one face at least this high (of 416) are used: every detector must find them."""


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return Registry([shared / "models"])


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest, registry: Registry) -> FaceDetector:
    return load_face_detector(registry, request.param)


@pytest.fixture(scope="module")
def portraits(shared: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Pictures with exactly one labelled face, which is large: pixels and corners."""
    faces: dict[str, list[NDArray[np.float64]]] = {}
    with (shared / "data" / "faces" / "wider200" / "gt.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            scale = 416 / np.array([float(row["orig_w"]), float(row["orig_h"])] * 2)
            corners = np.array([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
            faces.setdefault(row["image"], []).append(corners * scale)
    chosen = []
    for name, every in sorted(faces.items()):
        if len(every) == 1 and every[0][3] - every[0][1] >= FEW_FACES_PX:
            image = cv2.imread(str(shared / "data" / "faces" / "wider200" / name))
            assert image is not None
            chosen.append((image.astype(np.uint8), every[0]))
    assert len(chosen) >= 8
    return chosen[:8]


def overlap(box: Box, corners: NDArray[np.float64]) -> float:
    width = min(box.x2, corners[2]) - max(box.x1, corners[0])
    height = min(box.y2, corners[3]) - max(box.y1, corners[1])
    shared_px = max(width, 0.0) * max(height, 0.0)
    whole = float((corners[2] - corners[0]) * (corners[3] - corners[1]))
    return float(shared_px / (whole + box.width * box.height - shared_px))


def test_large_faces_are_found_where_they_are(
    detector: FaceDetector, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    found = [
        max((overlap(box, corners) for box in detector.detect(image)), default=0.0) >= 0.5
        for image, corners in portraits
    ]
    assert sum(found) >= 7, f"{detector.name}@{detector.version} found {found}"


def test_a_face_keeps_its_place_in_pictures_of_other_sizes(
    detector: FaceDetector, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    image = next(image for image, corners in portraits if detector.detect(image) and corners[3] < 400)
    own = detector.detect(image)[0]
    wide = np.zeros((416, 700, 3), np.uint8)
    wide[:, 200:616] = image
    twice = cv2.resize(image, (832, 832)).astype(np.uint8)
    for changed, shift, scale in ((wide, 200, 1), (twice, 0, 2)):
        moved = [
            np.array([box.x1 - shift, box.y1, box.x2 - shift, box.y2]) / scale
            for box in detector.detect(changed)
        ]
        assert max((overlap(own, corners) for corners in moved), default=0.0) > 0.5


def test_nothing_is_seen_in_noise_or_black(detector: FaceDetector, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert detector.detect(noise) == ()
    assert detector.detect(np.zeros((240, 320, 3), np.uint8)) == ()


def test_boxes_are_sorted_and_stay_inside(
    detector: FaceDetector, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    for image, corners in portraits[:4]:
        # Cut through the face: the box must end where the picture ends.
        half = image[:, : int((corners[0] + corners[2]) / 2) + 5]
        boxes = detector.detect(np.ascontiguousarray(half))
        scores = [box.score for box in boxes]
        assert scores == sorted(scores, reverse=True)
        for box in boxes:
            assert 0 <= box.x1 < box.x2 <= half.shape[1]
            assert 0 <= box.y1 < box.y2 <= half.shape[0]
            assert detector.threshold <= box.score <= 1.0


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (31, 33), (241, 319)])
def test_any_size_is_taken(detector: FaceDetector, size: tuple[int, int]) -> None:
    assert detector.detect(np.full((*size, 3), 127, np.uint8)) == ()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        [[1, 2, 3]],
        None,
    ],
)
def test_what_is_no_bgr_picture_is_refused(detector: FaceDetector, image: Any) -> None:
    with pytest.raises(InputError):
        detector.detect(image)


def test_a_lower_threshold_reports_more(
    registry: Registry, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    strict = load_face_detector(registry, "centerface", 0.6)
    lax = load_face_detector(registry, "centerface", 0.05)
    counts = [(len(strict.detect(image)), len(lax.detect(image))) for image, _ in portraits]
    assert all(few <= many for few, many in counts)
    assert sum(few for few, _ in counts) < sum(many for _, many in counts)


def test_the_best_detector_that_is_present_is_taken(registry: Registry, tmp_path: Path) -> None:
    assert load_face_detector(registry).version_of()[:2] == ("yunet", "2026may")
    alone = load_face_detector(Registry([tmp_path]))
    assert alone.version_of()[:2] == ("centerface", "1.5.0")
    with pytest.raises(UnknownModel, match="not a face detector"):
        load_face_detector(registry, "silero-vad")


def test_doubles_of_one_face_are_suppressed() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 4]], np.float32)
    assert suppress(boxes, np.array([0.8, 0.9, 0.5, 0.7], np.float32), 0.3) == [1, 2]
    assert suppress(boxes, np.array([0.8, 0.9, 0.5, 0.7], np.float32), 0.95) == [1, 0, 3, 2]
