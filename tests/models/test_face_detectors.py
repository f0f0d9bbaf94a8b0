from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from models.card import Merit, ModelCard
from models.errors import InputError, ModelFileMissing, ModelHashMismatch, UnknownModel
from models.face_boxes import fit_input, scaled_boxes, suppress
from models.face_detectors import Box, FaceDetector, choose_face_detector, load_face_detector
from models.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DETECTORS = ("centerface", "face-api-ssd", "yunet@2023mar", "yunet@2026may")
WITH_LANDMARKS = ("centerface", "yunet@2023mar", "yunet@2026may")
FEW_FACES_PX = 60
"""Pictures with one face at least this high (of 416) are used: every detector must find them."""


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return Registry([shared / "models", *Registry.default().folders])


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


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2000), (2000, 1), (7, 300), (300, 7), (31, 33), (241, 319), (64, 3000), (2161, 3841)]
)
def test_any_size_is_taken(detector: FaceDetector, size: tuple[int, int]) -> None:
    assert detector.detect(np.full((*size, 3), 127, np.uint8)) == ()


@pytest.mark.parametrize("name", DETECTORS)
def test_whatever_is_reported_is_finite_and_inside(registry: Registry, name: str, seed: int) -> None:
    # Next to no threshold: every nonsense the network says about noise has to come out sound.
    lax = load_face_detector(registry, name, 0.001, longest_px=320)
    noise = np.random.default_rng(seed)
    for height, width in ((1, 1), (33, 31), (90, 160), (20, 320), (240, 180)):
        image = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        boxes = lax.detect(image)
        assert boxes == lax.detect(image), f"{name} reads the same picture twice and differently"
        for box in boxes:
            numbers = [box.x1, box.y1, box.x2, box.y2, box.score]
            numbers += [value for point in box.landmarks or () for value in point]
            assert np.isfinite(numbers).all()
            assert 0 <= box.x1 < box.x2 <= width
            assert 0 <= box.y1 < box.y2 <= height


def test_grey_pictures_show_the_same_large_faces(
    detector: FaceDetector, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    found = 0
    for image, corners in portraits:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8)
        found += max((overlap(box, corners) for box in detector.detect(grey)), default=0.0) >= 0.5
    assert found >= 6


@pytest.mark.parametrize("name", WITH_LANDMARKS)
def test_eyes_nose_and_mouth_lie_where_a_face_has_them(
    registry: Registry, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]], name: str
) -> None:
    detector = load_face_detector(registry, name)
    shares = []
    for image, _ in portraits:
        for box in detector.detect(image)[:1]:
            assert box.landmarks is not None
            points = (np.array(box.landmarks) - [box.x1, box.y1]) / [box.width, box.height]
            assert points.shape == (5, 2)
            assert (points > -0.15).all(), f"{name}: {points}"
            assert (points < 1.15).all(), f"{name}: {points}"
            assert points[:2, 1].mean() < points[2, 1] < points[3:, 1].mean(), "eyes above nose above mouth"
            shares.append(points)
    ordered = [points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0] for points in shares]
    assert sum(ordered) >= len(shares) - 1, "the eye and the corner on the picture's left come first"
    middle = np.median(shares, axis=0)
    expected = [[0.28, 0.37], [0.72, 0.37], [0.5, 0.57], [0.33, 0.75], [0.68, 0.75]]
    assert np.abs(middle - expected).max() < 0.12, middle


@pytest.mark.parametrize("name", WITH_LANDMARKS)
def test_landmarks_turn_with_a_mirrored_picture_and_grow_with_it(
    registry: Registry, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]], name: str
) -> None:
    detector = load_face_detector(registry, name)
    image = portraits[0][0]
    own, turned = detector.detect(image)[0], detector.detect(np.ascontiguousarray(image[:, ::-1]))[0]
    twice = detector.detect(cv2.resize(image, None, fx=2, fy=2).astype(np.uint8))[0]
    assert own.landmarks is not None
    assert turned.landmarks is not None
    assert twice.landmarks is not None
    mirrored = [(image.shape[1] - x, y) for x, y in turned.landmarks]
    swapped = np.array([mirrored[index] for index in (1, 0, 2, 4, 3)])
    assert np.abs(np.array(own.landmarks) - swapped).max() < 0.12 * own.height
    assert np.abs(np.array(own.landmarks) - np.array(twice.landmarks) / 2).max() < 0.12 * own.height


def test_the_ssd_gives_no_landmarks(
    registry: Registry, portraits: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> None:
    boxes = load_face_detector(registry, "face-api-ssd").detect(portraits[0][0])
    assert [box.landmarks for box in boxes] == [None] * len(boxes)


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


def test_the_best_detector_that_is_present_is_taken(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="models.face_detectors"):
        assert load_face_detector(registry).version_of()[:2] == ("yunet", "2026may")
    assert "face detector chosen: yunet@2026may: F1" in caplog.text
    assert "also present: " in caplog.text
    alone = load_face_detector(Registry([tmp_path]))
    assert alone.version_of()[:2] == ("centerface", "1.5.0")
    assert choose_face_detector(Registry([tmp_path])).reason == (
        "centerface@1.5.0 is the only face detector present"
    )
    with pytest.raises(UnknownModel, match="not a face detector"):
        load_face_detector(registry, "silero-vad")


def card(name: str, merit: tuple[float, float] | None) -> ModelCard:
    (shipped,) = Registry([]).versions("face-api-ssd")
    file = shipped.file.model_copy(update={"name": f"{name}.onnx"})
    figures = None if merit is None else Merit(f1=merit[0], cpu_ms=merit[1], conditions="a test")
    key, _, version = name.partition("_")
    return shipped.model_copy(update={"name": key, "version": version, "file": file, "merit": figures})


@pytest.mark.parametrize(
    ("merits", "order"),
    [
        ([(0.93, 60.0), (0.92, 8.0), (0.85, 5.0)], [1, 0, 2]),  # nearly as good and cheaper
        ([(0.93, 60.0), (0.89, 8.0), (0.85, 5.0)], [0, 1, 2]),  # clearly worse, however cheap
        ([(0.93, 60.0), (0.93, 60.0), None], [0, 1, 2]),
        ([None, None, (0.1, 900.0)], [2, 0, 1]),  # what nobody measured comes last
    ],
)
def test_accuracy_then_cost_decides_and_no_name(
    tmp_path: Path, merits: list[tuple[float, float] | None], order: list[int]
) -> None:
    names = ["yunet_1", "centerface_1", "face-api-ssd_1"]
    cards = [card(name, merit) for name, merit in zip(names, merits, strict=True)]
    for name in names:
        (tmp_path / f"{name}.onnx").write_bytes(b"present")
    choice = choose_face_detector(Registry([tmp_path], cards))
    assert [entry.name for entry in choice.ranked] == [cards[index].name for index in order]
    (tmp_path / f"{names[order[0]]}.onnx").unlink()
    assert choose_face_detector(Registry([tmp_path], cards)).card.name == cards[order[1]].name


def test_without_any_detector_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing, match="No face detector is here"):
        choose_face_detector(Registry([tmp_path], [card("yunet_1", None)]))


@pytest.mark.parametrize("name", ["centerface", "face-api-ssd", "yunet@2026may"])
def test_a_file_with_the_wrong_hash_is_refused(tmp_path: Path, name: str) -> None:
    (known,) = Registry([]).versions(name)
    (tmp_path / known.file.name).write_bytes(b"tampered")
    with pytest.raises(ModelHashMismatch, match="SHA-256"):
        load_face_detector(Registry([tmp_path]), name)


def test_the_chosen_one_is_refused_when_its_hash_is_wrong_and_no_other_is_taken(tmp_path: Path) -> None:
    (known,) = Registry([]).versions("yunet@2026may")
    (tmp_path / known.file.name).write_bytes(b"tampered")
    with pytest.raises(ModelHashMismatch, match="yunet@2026may"):
        load_face_detector(Registry([tmp_path]))


def test_doubles_of_one_face_are_suppressed() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 4]], np.float32)
    assert suppress(boxes, np.array([0.8, 0.9, 0.5, 0.7], np.float32), 0.3) == [1, 2]
    assert suppress(boxes, np.array([0.8, 0.9, 0.5, 0.7], np.float32), 0.95) == [1, 0, 3, 2]


def test_what_is_not_finite_is_left_out() -> None:
    corners = np.array([[0, 0, 10, 10], [20, 0, np.inf, 10], [40, 0, 50, np.nan]], np.float32)
    scores = np.array([0.8, 0.9, 0.9], np.float32)
    image = np.zeros((60, 60, 3), np.uint8)
    fit = fit_input(image, 60, None)
    assert scaled_boxes(corners, scores, fit=fit, image=image, overlap=0.3) == (
        Box(0, 0, 10, 10, float(np.float32(0.8))),
    )
    points = np.zeros((3, 5, 2), np.float32)
    points[0, 4, 1] = np.nan
    assert scaled_boxes(corners, scores, fit=fit, image=image, overlap=0.3, landmarks=points) == ()
