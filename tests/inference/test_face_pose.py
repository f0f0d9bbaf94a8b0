from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.face_pose import head_pose
from inference.face_quality import GateConfig, Rejection, crop_face, reject
from models.face_detectors import Box

# An average face in millimetres: x to the picture's right, y down, z away from the camera.
FACE = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 37, -28], [-25, 66, 0], [25, 66, 0]], float)


def seen(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, scale: float = 1.0
) -> tuple[tuple[float, float], ...]:
    """Project the face, turned to the picture's right, then bent down, then tilted clockwise."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    turn = np.array([[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]])
    bend = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    tilt = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    places = scale * (tilt @ bend @ turn @ FACE.T).T[:, :2] + 100
    return tuple((float(x), float(y)) for x, y in places)


@pytest.mark.parametrize("yaw", [-60, -40, -20, 0, 20, 40, 60])
def test_a_turn_is_found_from_any_size(yaw: float) -> None:
    for scale in (0.5, 1.0, 3.0):
        pose = head_pose(seen(yaw, scale=scale))
        assert pose is not None
        assert pose.yaw == pytest.approx(yaw, abs=3)
        assert (pose.pitch, pose.roll) == pytest.approx((0, 0), abs=3)


@pytest.mark.parametrize("pitch", [-40, -20, 0, 20, 40])
def test_a_bend_is_found(pitch: float) -> None:
    pose = head_pose(seen(pitch=pitch))
    assert pose is not None
    assert pose.pitch == pytest.approx(pitch, abs=3)
    assert pose.yaw == pytest.approx(0, abs=1)


@given(yaw=st.floats(-45, 45), roll=st.floats(-60, 60))
def test_a_tilt_changes_no_other_angle(yaw: float, roll: float) -> None:
    level, tilted = head_pose(seen(yaw)), head_pose(seen(yaw, roll=roll))
    assert level is not None
    assert tilted is not None
    assert tilted.roll == pytest.approx(roll, abs=0.1)
    assert (tilted.yaw, tilted.pitch) == pytest.approx((level.yaw, level.pitch), abs=0.1)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(((0.0, 0.0),) * 5, id="one-place"),
        pytest.param(((0.0, 0.0), (9.0, 0.0), (4.0, 0.0), (2.0, 0.0), (6.0, 0.0)), id="one-line"),
        pytest.param(((0.0, 0.0),) * 4, id="too-few"),
        pytest.param((*seen()[:4], (math.nan, 0.0)), id="not-finite"),
    ],
)
def test_points_that_are_no_face_have_no_pose(points: tuple[tuple[float, float], ...]) -> None:
    assert head_pose(points) is None


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=10, max_size=10))
def test_any_points_give_finite_angles_or_none(values: list[float]) -> None:
    pose = head_pose(tuple(zip(values[::2], values[1::2], strict=True)))
    assert pose is None or all(math.isfinite(angle) for angle in (pose.yaw, pose.pitch, pose.roll))


def gated(
    landmarks: tuple[tuple[float, float], ...] | None, gates: GateConfig | None = None
) -> Rejection | None:
    noise = np.random.default_rng(3).integers(60, 200, (25, 25, 3), dtype=np.uint8)
    picture = np.repeat(np.repeat(noise, 8, axis=0), 8, axis=1)
    box = Box(50, 60, 150, 190, 0.9, landmarks)
    crop = crop_face(picture, box)
    assert crop is not None
    return reject(crop, box, gates or GateConfig())


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        pytest.param(None, None, id="no-landmarks"),
        pytest.param(seen(), None, id="straight"),
        pytest.param(seen(25), None, id="half-turned"),
        pytest.param(seen(60), Rejection.TURNED_AWAY, id="profile"),
        pytest.param(seen(-60), Rejection.TURNED_AWAY, id="other-profile"),
        pytest.param(seen(pitch=45), Rejection.BENT, id="over-the-form"),
        pytest.param(seen(pitch=-45), Rejection.BENT, id="to-the-ceiling"),
        pytest.param(seen(roll=40), None, id="tilted"),
        pytest.param(((0.0, 0.0),) * 5, None, id="no-face"),
    ],
)
def test_a_face_is_refused_by_how_it_is_held(
    landmarks: tuple[tuple[float, float], ...] | None, reason: Rejection | None
) -> None:
    assert gated(landmarks) is reason


def test_the_limits_are_configured() -> None:
    assert gated(seen(25), GateConfig(max_yaw=15)) is Rejection.TURNED_AWAY
    assert gated(seen(pitch=25), GateConfig(max_pitch=15)) is Rejection.BENT
