from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import SettingError
from inference.following import FollowConfig, Follower
from models.face_detectors import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

NS = 1_000_000_000
SIDE = 120


def pattern(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Coarse and fine detail, as a face has."""
    noise = np.random.default_rng(seed)
    coarse = cv2.resize(
        noise.normal(size=(6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.resize(
        noise.normal(size=(24, 24)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    grey = np.clip(120 + 40 * coarse + 15 * fine, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


ROOM = cv2.GaussianBlur(np.random.default_rng(9).integers(90, 140, (360, 640, 3), dtype=np.uint8), (0, 0), 3)
FACE, OTHER = pattern(1), pattern(2)


def room(x: int, y: int, face: NDArray[np.uint8] = FACE) -> NDArray[np.uint8]:
    picture = np.array(ROOM, np.uint8)
    part = picture[max(0, y) : y + SIDE, max(0, x) : x + SIDE]
    part[:] = face[max(0, -y) : max(0, -y) + part.shape[0], max(0, -x) : max(0, -x) + part.shape[1]]
    return picture


def box(x: float, y: float) -> Box:
    return Box(x, y, x + SIDE, y + SIDE, 0.9, ((x, y),) * 5)


def started(x: int = 250, y: int = 100, **config: float) -> Follower:
    follower = Follower(FollowConfig(**config))  # type: ignore[arg-type]  # one setting at a time
    follower.start(room(x, y), box(x, y), 0)
    return follower


@given(dx=st.integers(-40, 40), dy=st.integers(-40, 40))
def test_a_moved_face_is_found_to_a_pixel_or_two(dx: int, dy: int) -> None:
    found = started().find(room(250 + dx, 100 + dy), NS // 6)
    assert found is not None
    assert (found.x1, found.y1) == pytest.approx((250 + dx, 100 + dy), abs=2.5)
    assert (found.width, found.height, found.score) == pytest.approx((SIDE, SIDE, 0.9))
    assert found.landmarks is not None
    assert found.landmarks[0] == pytest.approx((found.x1, found.y1))


def test_a_walk_is_followed_without_drift() -> None:
    follower = started(100, 100, max_age_s=5.0)
    for step in range(1, 13):
        found = follower.find(room(100 + 30 * step, 100), step * NS // 6)
        assert found is not None
        assert found.x1 == pytest.approx(100 + 30 * step, abs=2.5)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(room(250, 100, OTHER), id="another-face-in-its-place"),
        pytest.param(np.array(ROOM, np.uint8), id="gone"),
        pytest.param(room(480, 100), id="further-than-it-may-move"),
        pytest.param(room(250, 100)[:, ::2].copy(), id="another-size-of-frame"),
        pytest.param(np.zeros((360, 640, 3), np.uint8), id="black"),
    ],
)
def test_a_lost_face_stays_lost_until_the_next_detection(later: NDArray[np.uint8]) -> None:
    follower = started()
    assert follower.find(later, NS // 6) is None
    assert not follower.following
    assert follower.find(room(250, 100), NS // 5) is None
    follower.start(room(250, 100), box(250, 100), NS // 4)
    assert follower.find(room(255, 100), NS // 3) is not None


@pytest.mark.parametrize(
    ("at_s", "found"), [(0.0, True), (0.99, True), (1.01, False), (-0.1, False)], ids=str
)
def test_a_followed_box_has_a_bounded_life(at_s: float, found: bool) -> None:  # noqa: FBT001 - a table
    assert (started().find(room(250, 100), int(at_s * NS)) is not None) is found


@pytest.mark.parametrize(("x", "y"), [(-30, 100), (560, 100), (250, -30), (250, 280)])
def test_a_face_at_the_edge_is_followed(x: int, y: int) -> None:
    found = started(x, y).find(room(x, y), NS // 6)
    assert found is not None
    assert (found.x1, found.y1) == pytest.approx((x, y), abs=2.5)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(Box(700, 10, 800, 110, 0.9), id="outside"),
        pytest.param(Box(250, 100, 254, 106, 0.9), id="tiny"),
        pytest.param(Box(300, 100, 300, 100, 0.9), id="empty"),
    ],
)
def test_what_cannot_be_followed_is_not(place: Box) -> None:
    follower = Follower()
    follower.start(room(250, 100), place, 0)
    assert not follower.following


def test_a_face_without_contrast_is_not_followed() -> None:
    follower = Follower()
    follower.start(np.full((360, 640, 3), 80, np.uint8), box(250, 100), 0)
    assert not follower.following


def test_what_is_kept_is_a_thumbnail() -> None:
    follower = started()
    kept = follower._anchor
    assert kept is not None
    assert kept.thumbnail.shape == (30, 30)
    assert kept.thumbnail.base is None, "a view would keep the whole frame alive"
    follower.clear()
    assert follower._anchor is None


def test_following_costs_little() -> None:
    follower = started()
    picture = room(262, 108)
    costs = []
    for step in range(50):
        before = time.thread_time()
        assert follower.find(picture, step) is not None
        costs.append(time.thread_time() - before)
    assert sorted(costs)[25] < 0.005


@pytest.mark.parametrize(
    "setting",
    [
        {"patch_px": 4},
        {"reach": 0.0},
        {"reach": 1.5},
        {"min_match": 1.0},
        {"max_age_s": 0.0},
        {"max_age_s": 9.0},
    ],
    ids=str,
)
def test_limits_under_which_anything_is_followed_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        FollowConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time
