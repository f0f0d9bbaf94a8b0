from __future__ import annotations

import numpy as np
import pytest

from inference.errors import FrameError, InferenceError, ZoneError
from inference.zones import DEFAULT_SEAT, Polygon, Region, SeatZone
from models.face_detectors import Box

SQUARE: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))


def box(x: float, y: float, height: float) -> Box:
    return Box(x - height * 0.375, y - height / 2, x + height * 0.375, y + height / 2, 0.9)


@pytest.mark.parametrize(
    ("seat", "says"),
    [
        (((0.1, 0.1), (0.9, 0.9)), "has 2 points"),
        (((0.1, 0.1), (640.0, 0.1), (0.5, 0.9)), "Point 2 .* Divide pixels"),
        (((0.1, 0.1), (float("nan"), 0.1), (0.5, 0.9)), "Point 2"),
        (((0.1, 0.1), (0.5, 0.5), (0.9, 0.9)), "no area"),
        (((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.8)), "crosses itself"),
        (((0.1, 0.1), (0.15, 0.1), (0.15, 0.15)), "needs at least 1%"),
    ],
)
def test_unusable_seats_say_what_to_do(seat: Polygon, says: str) -> None:
    with pytest.raises(ZoneError, match=says) as caught:
        SeatZone(seat=seat)
    assert isinstance(caught.value, InferenceError)
    assert isinstance(caught.value, ValueError)


def test_a_mask_is_checked_and_numbered() -> None:
    with pytest.raises(ZoneError, match="privacy mask 2"):
        SeatZone(privacy_masks=(SQUARE, ((0.0, 0.0), (1.0, 1.0))))


def test_masks_over_the_whole_seat_are_refused() -> None:
    with pytest.raises(ZoneError, match="no face could ever be read"):
        SeatZone(seat=SQUARE, privacy_masks=(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),))


@pytest.mark.parametrize("setting", [{"min_face_height": 1.0}, {"min_face_height": -0.1}, {"margin": 1.5}])
def test_shares_are_shares(setting: dict[str, float]) -> None:
    with pytest.raises(ZoneError, match="share of the frame"):
        SeatZone(**setting)  # type: ignore[arg-type]  # one keyword at a time


def test_masks_are_burned_to_black_and_nothing_else_is_touched() -> None:
    pixels = np.full((100, 200, 3), 200, np.uint8)
    pixels.flags.writeable = False
    burned = SeatZone(privacy_masks=(SQUARE,)).burn(pixels)
    assert not burned[25:75, 50:150].any()
    assert (burned[:24] == 200).all()
    assert (burned[:, :49] == 200).all()
    assert (pixels == 200).all()


def test_without_masks_nothing_is_copied() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert SeatZone().burn(pixels) is pixels


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_pictures_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(FrameError, match="uint8 BGR"):
        SeatZone().burn(pixels)


def test_region_is_the_seat_and_its_margin_within_the_frame() -> None:
    assert SeatZone(seat=SQUARE, margin=0.1).region(200, 100) == Region(30, 15, 170, 85)
    assert SeatZone(seat=SQUARE, margin=1.0).region(200, 100) == Region(0, 0, 200, 100)


@pytest.mark.parametrize(
    ("face", "held"),
    [
        (box(320, 180, 160), True),
        (box(142, 180, 160), True),
        (box(139, 180, 160), False),
        (box(500, 180, 160), False),
        (box(320, 180, 44), True),
        (box(320, 180, 42), False),
        (box(320, 300, 160), True),
    ],
)
def test_a_face_belongs_by_its_centre_and_its_size(face: Box, held: bool) -> None:  # noqa: FBT001 - expectation
    assert SeatZone().holds(face, 640, 360) is held


def test_the_border_belongs_to_the_seat() -> None:
    assert SeatZone(seat=SQUARE).holds(box(25, 50, 30), 100, 100)


def test_a_slanted_seat_is_a_polygon_not_its_bounds() -> None:
    triangle = SeatZone(seat=((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    assert triangle.holds(box(20, 20, 20), 100, 100)
    assert not triangle.holds(box(80, 80, 20), 100, 100)


def test_the_default_seat_is_the_middle() -> None:
    assert SeatZone().seat == DEFAULT_SEAT
    assert {x for x, _ in DEFAULT_SEAT} == {0.22, 0.78}
