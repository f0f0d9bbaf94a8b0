from __future__ import annotations

from inference.anonymizer import AnonymizerConfig, Cover, Doubt
from inference.cover_plan import Planned, with_hindsight
from inference.masks import painted
from models.face_detectors import Box

STEP = 1_000_000_000 // 10
FACE = Box(100, 100, 180, 200, 0.9)


def planned(number: int, *faces: Box, doubt: Doubt | None = None, height: int = 360) -> Planned:
    return Planned(number * STEP, number, (height, 640), Cover((), faces, doubt))


def covers(picture: Planned, box: Box) -> bool:
    where = painted(640, 360, picture.cover.boxes)
    return bool(where[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)].all())


def test_a_face_is_covered_before_it_is_found_for_as_long_as_it_is_held() -> None:
    plan = with_hindsight([planned(n, *([FACE] if n == 15 else [])) for n in range(16)], AnonymizerConfig())
    assert [covers(picture, FACE) for picture in plan[:15]] == [False] * 5 + [True] * 10


def test_the_mask_grows_with_the_distance_in_time() -> None:
    plan = with_hindsight([planned(n, *([FACE] if n == 9 else [])) for n in range(10)], AnonymizerConfig())
    areas = [painted(640, 360, picture.cover.boxes).sum() for picture in plan[:9]]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[8] > 0


def test_between_two_finds_all_the_way_is_covered() -> None:
    there = Box(240, 100, 320, 200, 0.9)
    plan = with_hindsight([planned(0, FACE), planned(1), planned(2), planned(3, there)], AnonymizerConfig())
    for picture in plan[1:3]:
        assert covers(picture, Box(100, 100, 320, 200, 1))


def test_a_face_that_stays_gets_nothing_more() -> None:
    plan = with_hindsight([planned(n, FACE) for n in range(5)], AnonymizerConfig())
    assert all(picture.cover.boxes == () for picture in plan)


def test_doubt_about_motion_reaches_back() -> None:
    pictures = [planned(n, doubt=Doubt.MOTION_WITHOUT_FACE if n == 9 else None) for n in range(12)]
    found = [picture.cover.doubt for picture in with_hindsight(pictures, AnonymizerConfig())]
    assert found == [None] * 4 + [Doubt.MOTION_WITHOUT_FACE] * 6 + [None] * 2


def test_other_doubts_stay_where_they_are() -> None:
    pictures = [planned(n, doubt=Doubt.DETECTOR_FAILED if n == 1 else None) for n in range(3)]
    found = [picture.cover.doubt for picture in with_hindsight(pictures, AnonymizerConfig())]
    assert found == [None, Doubt.DETECTOR_FAILED, None]


def test_another_size_of_picture_shares_no_places() -> None:
    plan = with_hindsight([planned(0), planned(1, FACE, height=480)], AnonymizerConfig())
    assert plan[0].cover.boxes == ()
