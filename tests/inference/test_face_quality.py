from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.errors import SettingError
from inference.face_quality import FaceCrop, GateConfig, Rejection, crop_face, reject
from models.face_detectors import Box

GATES = GateConfig()


def picture(side: int = 200, *, mean: float = 128.0, spread: float = 40.0) -> np.ndarray:
    """Coarse and fine detail like a face in focus."""
    noise = np.random.default_rng(7)
    coarse = cv2.resize(noise.normal(size=(8, 8)).astype(np.float32), (side, side))
    fine = cv2.resize(noise.normal(size=(64, 64)).astype(np.float32), (side, side))
    grey = coarse + 0.4 * fine
    grey = (grey - grey.mean()) / grey.std() * spread + mean
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def judged(image: np.ndarray, box: Box | None = None) -> Rejection | None:
    side = image.shape[0]
    box = box or Box(side * 0.125, 0, side * 0.875, side, 0.9)
    crop = crop_face(image, box)
    assert crop is not None
    return reject(crop, box, GATES)


def test_a_good_face_passes() -> None:
    assert judged(picture()) is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (picture(47), Rejection.TOO_SMALL),
        (picture(mean=25, spread=12), Rejection.TOO_DARK),
        (picture(mean=240, spread=12), Rejection.TOO_BRIGHT),
        (picture(spread=4), Rejection.FLAT),
        (cv2.GaussianBlur(picture(), (0, 0), 200 / 24), Rejection.BLURRED),
    ],
)
def test_each_gate_names_its_reason(image: np.ndarray, reason: Rejection) -> None:
    assert judged(image) is reason


def test_forty_eight_pixels_are_enough() -> None:
    assert judged(picture(48)) is None


@pytest.mark.parametrize(
    ("width", "reason"),
    [
        (100, Rejection.NOT_FRONTAL),
        (115, None),
        (200, None),
        (230, Rejection.NOT_FRONTAL),
    ],
)
def test_the_shape_of_the_box_tells_a_face_cut_or_turned(width: int, reason: Rejection | None) -> None:
    image = picture(300)
    assert judged(image, Box(150 - width / 2, 50, 150 + width / 2, 250, 0.9)) is reason


def test_a_box_that_leaves_the_frame_is_cut_off() -> None:
    image = picture(300)
    assert judged(image, Box(-50, 50, 100, 250, 0.9)) is Rejection.CUT_OFF
    assert judged(image, Box(-10, 50, 140, 250, 0.9)) is None


def test_the_crop_is_a_square_with_no_margin() -> None:
    crop = crop_face(picture(300), Box(100, 50, 200, 200, 0.9))
    assert crop is not None
    assert crop.pixels.shape == (150, 150, 3)
    assert (crop.side_px, crop.cut) == (150.0, 0.0)


def test_a_square_beyond_the_frame_cuts_nothing_of_a_narrow_face() -> None:
    crop = crop_face(picture(300), Box(0, 50, 100, 200, 0.9))
    assert crop is not None
    assert crop.pixels.shape == (150, 125, 3)
    assert crop.cut == 0.0


def test_nothing_in_the_frame_is_no_crop() -> None:
    assert crop_face(picture(100), Box(200, 200, 250, 260, 0.9)) is None


def test_sharpness_does_not_depend_on_contrast() -> None:
    strict = GateConfig(min_contrast=0.1)
    for spread in (8.0, 20.0, 50.0):
        image = picture(spread=spread)
        box = Box(25, 0, 175, 200, 0.9)
        assert reject(FaceCrop(image, 200.0, 0.0), box, strict) is None


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"min_side_px": 0}, "min_side_px"),
        ({"min_aspect": 1.2}, "min_aspect"),
        ({"max_brightness": 10.0}, "min_brightness"),
    ],
)
def test_impossible_limits_are_refused(setting: dict[str, float], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        GateConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time
