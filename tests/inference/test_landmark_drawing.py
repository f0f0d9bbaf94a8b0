from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.anonymizer import Anonymizer, AnonymizerConfig
from inference.errors import SettingError
from inference.landmark_drawing import Pose, draw_faces, pose_of
from models.face_detectors import Box
from tests.inference.moving_faces import CHALK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_detectors import Landmarks

UPRIGHT = ((-20.0, 0.0), (20.0, 0.0), (0.0, 24.0), (-14.0, 42.0), (14.0, 42.0))


def placed(points: Landmarks, *, turn_deg: float = 0.0, at: tuple[float, float] = (100, 80)) -> Landmarks:
    turn = np.radians(turn_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return tuple((float(x) + at[0], float(y) + at[1]) for x, y in np.array(points) @ matrix.T)


def ink() -> NDArray[np.uint8]:
    return np.full((200, 200, 3), 48, np.uint8)


@pytest.mark.parametrize(
    ("points", "pose"),
    [
        pytest.param(placed(UPRIGHT), Pose(0, 0, 0), id="upright"),
        pytest.param(placed(UPRIGHT, turn_deg=90), Pose(0, 0, 90), id="lying"),
        pytest.param(placed(UPRIGHT, turn_deg=178), Pose(0, 0, -180), id="upside-down"),
        pytest.param(placed(UPRIGHT, turn_deg=-31), Pose(0, 0, -30), id="tilted"),
        pytest.param(placed((*UPRIGHT[:2], (14.0, 24.0), *UPRIGHT[3:])), Pose(30, 0, 0), id="to-the-right"),
        pytest.param(placed((*UPRIGHT[:2], (-60.0, 24.0), *UPRIGHT[3:])), Pose(-45, 0, 0), id="far-left"),
        pytest.param(placed((*UPRIGHT[:2], (0.0, 36.0), *UPRIGHT[3:])), Pose(0, 30, 0), id="down"),
    ],
)
def test_the_turn_of_a_head_in_steps(points: Landmarks, pose: Pose) -> None:
    assert pose_of(points) == pose


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(((1.0, 1.0),) * 5, id="one-point"),
        pytest.param(((0.0, float("nan")), *UPRIGHT[1:]), id="not-a-number"),
        pytest.param(UPRIGHT[:4], id="four-points"),
        pytest.param((*UPRIGHT[:3], (-14.0, -9.0), (14.0, -9.0)), id="mouth-above-the-eyes"),
    ],
)
def test_points_that_are_no_face_draw_nothing(points: Landmarks) -> None:
    assert pose_of(points) is None
    assert (draw_faces(ink(), [Box(50, 50, 150, 150, 1, points)]) == 48).all()


def test_the_drawing_is_the_same_for_everybody_who_holds_the_head_alike() -> None:
    """Eyes twice as far apart, a longer nose, another mouth: nothing of it shows."""
    other = ((-31.0, 1.0), (30.0, -1.0), (1.0, 27.0), (-9.0, 47.0), (10.0, 48.0))
    boxes = [Box(50, 40, 150, 160, 0.9, placed(points)) for points in (UPRIGHT, other)]
    one, two = (draw_faces(ink(), [box]) for box in boxes)
    assert (one == two).all()
    assert set(np.unique(one)) == {48, CHALK}


def test_a_turned_head_looks_different() -> None:
    straight = draw_faces(ink(), [Box(50, 40, 150, 160, 0.9, placed(UPRIGHT))])
    tilted = draw_faces(ink(), [Box(50, 40, 150, 160, 0.9, placed(UPRIGHT, turn_deg=45))])
    assert (straight != tilted).any()


def test_strokes_stay_inside_the_box_and_the_picture() -> None:
    box = Box(-40.5, 150, 60.2, 260, 0.9, placed(UPRIGHT, at=(10, 180)))
    drawn = draw_faces(ink(), [box])
    strokes = np.argwhere((drawn != 48).any(axis=2))
    assert len(strokes)
    assert strokes[:, 0].min() >= 150
    assert strokes[:, 1].max() <= 60


class Finder:
    name, version, sha256, threshold = "finder", "1", "0" * 64, 0.15

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        return (Box(60, 40, 140, 150, 0.9, placed(UPRIGHT)),)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


def test_a_drawing_depends_on_no_pixel_under_it() -> None:
    noise = np.random.default_rng(7).integers(60, 255, (2, 200, 200, 3), dtype=np.uint8)
    noise[1, :, :20] = noise[0, :, :20]
    shown = [Anonymizer(Finder(), AnonymizerConfig(style="drawing")).anonymize(one, 0) for one in noise]
    assert (shown[0][10:180, 30:170] == shown[1][10:180, 30:170]).all()
    assert (shown[0] == CHALK).all(axis=2).any()
    plain = Anonymizer(Finder()).anonymize(noise[0], 0)
    assert not (plain[40:150, 60:140] == CHALK).any()


def test_there_are_two_styles_and_no_blur() -> None:
    with pytest.raises(SettingError, match="'mask' or 'drawing'"):
        AnonymizerConfig(style="blur")  # type: ignore[arg-type]  # the point of the test
