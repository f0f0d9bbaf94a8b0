from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tracking import FaceTracker, TrackingConfig, intersection_over_union
from models.face_detectors import Box

NS = 1_000_000_000


def box(x: float, y: float, height: float = 100.0) -> Box:
    return Box(x, y, x + 0.75 * height, y + height, 0.9)


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (Box(0, 0, 10, 10, 1), 1.0),
        (Box(5, 0, 15, 10, 1), 1 / 3),
        (Box(10, 0, 20, 10, 1), 0.0),
        (Box(50, 50, 60, 60, 1), 0.0),
    ],
)
def test_intersection_over_union(other: Box, shared: float) -> None:
    assert intersection_over_union(Box(0, 0, 10, 10, 1), other) == pytest.approx(shared)


def test_a_moving_face_keeps_its_number() -> None:
    tracker = FaceTracker()
    seen = [tracker.update([box(100 + 40 * n, 80 + 10 * n)], n * NS // 4)[0] for n in range(10)]
    assert {track.track_id for track in seen} == {1}
    assert seen[-1].hits == 10
    assert (seen[-1].first_ns, seen[-1].seen_ns) == (0, 9 * NS // 4)


def test_two_faces_side_by_side_stay_apart_whatever_the_order() -> None:
    tracker = FaceTracker()
    tracker.update([box(100, 100), box(200, 100)], 0)
    right, left = tracker.update([box(210, 100), box(90, 100)], NS // 4)
    assert (left.track_id, right.track_id) == (1, 2)


def test_a_face_of_another_size_is_another_face() -> None:
    tracker = FaceTracker()
    tracker.update([box(100, 100, 160)], 0)
    (behind,) = tracker.update([box(130, 120, 80)], NS // 4)
    assert behind.track_id == 2


@pytest.mark.parametrize(("away_s", "number"), [(1.4, 1), (1.6, 2)])
def test_tracks_expire(away_s: float, number: int) -> None:
    tracker = FaceTracker(TrackingConfig(expire_s=1.5))
    tracker.update([box(100, 100)], 0)
    tracker.update([], int(away_s * NS / 2))
    (back,) = tracker.update([box(100, 100)], int(away_s * NS))
    assert back.track_id == number


def test_numbers_are_never_used_twice() -> None:
    tracker = FaceTracker()
    tracker.update([box(0, 0)], 0)
    tracker.clear()
    assert tracker.tracks == ()
    assert tracker.update([box(0, 0)], 1)[0].track_id == 2


def test_memory_stays_bounded_over_a_long_stream() -> None:
    tracker = FaceTracker()
    for n in range(5_000):
        tracker.update([box((n * 977) % 5000, (n * 331) % 3000, 40)], n * NS)
    assert len(tracker.tracks) <= 3


CORNERS = st.tuples(st.floats(0, 600), st.floats(0, 300), st.floats(1, 200))


@given(steps=st.lists(st.lists(CORNERS, max_size=5), max_size=6))
def test_each_box_gets_a_number_of_its_own(steps: list[list[tuple[float, float, float]]]) -> None:
    tracker = FaceTracker()
    for n, corners in enumerate(steps):
        boxes = [box(*corner) for corner in corners]
        tracks = tracker.update(boxes, n * NS // 4)
        assert [track.box for track in tracks] == boxes
        assert len({track.track_id for track in tracks}) == len(boxes)
