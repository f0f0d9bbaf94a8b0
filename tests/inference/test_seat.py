from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import SettingError
from inference.neighbours import Neighbours
from inference.seat import Seat, SeatConfig
from inference.tracking import Track
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

NS = 1_000_000_000
STEP = NS // 4


def track(number: int, x: float, height: float = 120.0, *, score: float = 0.9, hits: int = 9) -> Track:
    return Track(number, Box(x, 50, x + 0.75 * height, 50 + height, score), 0, 0, hits)


CITIZEN, SECOND = track(1, 200), track(2, 350)


def stopped_at(seat: Seat, steps: Sequence[Sequence[Track]]) -> int | None:
    """Return the detection at which the second face was sustained."""
    for number, present in enumerate(steps):
        seat.take(present, number * STEP)
        if seat.sustained:
            return number
    return None


@pytest.mark.parametrize(
    ("second", "stop"),
    [
        pytest.param("1111111", 4, id="a-second-of-it"),
        pytest.param("1101011", 5, id="one-missed-now-and-then"),
        pytest.param("1001001001", None, id="two-missed-in-a-row"),
        pytest.param("100" * 20, 24, id="two-missed-in-a-row-again-and-again"),
        pytest.param("10000000" * 40, None, id="now-and-then"),
        pytest.param("10101010", 4, id="every-other"),
        pytest.param("1111", None, id="three-quarters-of-a-second"),
        pytest.param("0000", None, id="never"),
        pytest.param("111100001111", None, id="twice-too-short"),
    ],
)
def test_a_second_face_that_stays_is_sustained(second: str, stop: int | None) -> None:
    steps = [[CITIZEN, SECOND] if mark == "1" else [CITIZEN] for mark in second]
    assert stopped_at(Seat(), steps) == stop


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(track(2, 350, 40), id="far-behind"),
        pytest.param(track(2, 350, score=0.45), id="unsure"),
        pytest.param(track(2, 350, hits=1), id="a-flash"),
        pytest.param(track(2, 215, 80), id="a-box-within-the-box"),
        pytest.param(track(2, 235), id="a-box-beside-the-box"),
    ],
)
def test_what_is_no_second_person_ends_no_session(other: Track) -> None:
    assert stopped_at(Seat(), [[CITIZEN, other]] * 40) is None


@pytest.mark.parametrize("other", [track(2, 350, score=0.45), track(2, 350, hits=1), track(2, 215, 80)])
def test_yet_nobody_is_read_beside_it(other: Track) -> None:
    seen = Seat().take([CITIZEN, other], 0)
    assert (seen.citizen, seen.second_face) == (None, True)


def at(number: int, x: float, now: int, height: float = 120.0) -> Track:
    return Track(number, Box(x, 50, x + 0.75 * height, 50 + height, 0.9), 0, now * STEP, 9)


def read(seat: Seat, steps: Sequence[Sequence[tuple[int, float, float]]]) -> list[int | None]:
    """Play detections of (track, x, height); return whom each lets read."""
    found = []
    for now, faces in enumerate(steps):
        seen = seat.take([at(number, x, now, height) for number, x, height in faces], now * STEP)
        found.append(None if seen.citizen is None else seen.citizen.track_id)
    return found


ONE, OTHER = (1, 200.0, 120.0), (2, 350.0, 120.0)


def test_two_faces_that_are_found_in_turn_are_not_read_in_turn() -> None:
    """A detector that sees one of two people at a time: nobody is the only one there."""
    found = read(Seat(), [[ONE], [OTHER]] * 20)
    assert found == [1] + [None] * 39


def test_the_gaps_of_a_face_that_flickers_are_not_read() -> None:
    found = read(Seat(), [[ONE], [ONE, OTHER], [ONE], [ONE], [ONE], [ONE], [ONE], [ONE]])
    assert found == [1, None, None, None, None, None, 1, 1], "a second after the last sight of it"


def test_a_face_beside_its_own_last_place_is_one_face() -> None:
    """A citizen whose track breaks by a jump of the box: the old place overlaps."""
    assert read(Seat(), [[ONE], [ONE], [(3, 225.0, 120.0)], [(3, 230.0, 120.0)]]) == [1, 1, 3, 3]


def test_a_flash_holds_one_detection_only() -> None:
    flash = Track(2, Box(350, 50, 440, 170, 0.9), STEP, STEP, 1)
    seat = Seat()
    assert seat.take([at(1, 200, 0)], 0).citizen is not None
    assert seat.take([at(1, 200, 1), flash], STEP).citizen is None
    assert seat.take([at(1, 200, 2)], 2 * STEP).citizen is not None


@pytest.mark.parametrize("height", [48.0, 60.0, 130.0])
def test_whoever_leans_in_is_not_read_and_stops(height: float) -> None:
    """An officer over the desk: so near that the citizen's face is small beside theirs."""
    seat = Seat()
    near = [[(1, 200.0, height), (2, 350.0, 300.0)]]
    assert read(seat, [[(1, 200.0, height)]] * 4 + near * 6) == [1] * 4 + [None] * 6
    assert seat.sustained


def test_whoever_hides_the_citizen_is_not_read_at_once() -> None:
    """A face between the citizen and the camera takes the chair only when it stays."""
    seat = Seat()
    assert read(seat, [[(1, 200.0, 100.0)]] * 4) == [1] * 4
    close = [Track(2, Box(190, 20, 340, 220, 0.9), 4 * STEP, now * STEP, now - 3) for now in range(4, 30)]
    taken = [seat.take([track], track.seen_ns).citizen is not None for track in close]
    assert taken.index(True) == 20, "five seconds"
    assert not seat.sustained


def test_a_neighbour_who_takes_the_seat_after_the_citizen_is_not_read() -> None:
    seat = Seat()
    assert read(seat, [[ONE]] * 4) == [1] * 4
    moved_in = [seat.take([at(2, 210, now)], now * STEP, neighbours={2}) for now in range(12, 40)]
    assert [seen.citizen for seen in moved_in] == [None] * 28
    back = seat.take([at(1, 200, 44)], 44 * STEP, neighbours={1, 2})
    assert back.citizen is not None, "the citizen's own track is the citizen's, wherever it was meanwhile"


def test_the_first_in_the_seat_may_have_waited_beside_it() -> None:
    assert Seat().take([at(1, 200, 0)], 0, neighbours={1}).citizen is not None


def test_who_stays_outside_is_a_neighbour_and_who_passes_is_not() -> None:
    neighbours = Neighbours(stay_s=2.0)
    stays = passes = CITIZEN
    for now in range(9):
        stays, passes = at(1, 200, now), at(2, 350, now)
        neighbours.take([stays, passes] if now < 7 else [stays], now * STEP)
    assert neighbours.among([stays, passes]) == {1}
    neighbours.clear()
    assert neighbours.among([stays, passes]) == set()


@pytest.mark.parametrize(
    "setting",
    [
        {"revoke_total_s": 0.0},
        {"revoke_total_s": 11.0},
        {"revoke_within_s": 61.0},
        {"hold_s": -1.0},
        {"settle_s": float("nan")},
        {"stall_s": 61.0},
        {"second_face_height": 0.0},
        {"second_face_score": 1.1},
        {"double_share": float("nan")},
        {"seated_height": -0.5},
    ],
    ids=str,
)
def test_limits_that_cannot_work_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        SeatConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time


@pytest.mark.parametrize(
    ("setting", "stop"), [({"revoke_after_s": 2.0}, 8), ({"revoke_detections": 7}, 6)], ids=str
)
def test_the_rule_is_configured(setting: dict[str, float], stop: int) -> None:
    assert stopped_at(Seat(SeatConfig(**setting)), [[CITIZEN, SECOND]] * 20) == stop  # type: ignore[arg-type]  # one keyword at a time


@pytest.mark.parametrize(
    "setting", [{"revoke_after_s": 0.0}, {"revoke_after_s": 61.0}, {"revoke_detections": 1}], ids=str
)
def test_rules_of_chance_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        SeatConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time


def test_seldom_detections_still_need_three() -> None:
    seat = Seat()
    for number in range(3):
        assert not seat.sustained
        seat.take([CITIZEN, SECOND], number * NS)
    assert seat.sustained


@pytest.mark.parametrize("broken", ["stall", "clear"])
def test_a_stretch_does_not_reach_across_a_hole(broken: str) -> None:
    seat = Seat()
    for number in range(4):
        seat.take([CITIZEN, SECOND], number * STEP)
    if broken == "clear":
        seat.clear()
    later = 3 * STEP + (STEP if broken == "clear" else 2 * NS)
    seat.take([CITIZEN, SECOND], later)
    assert not seat.sustained
    for number in range(1, 5):
        seat.take([CITIZEN, SECOND], later + number * STEP)
    assert seat.sustained
    seat.clear()
    assert seat.sustained, "it cannot be taken back"


@given(marks=st.lists(st.booleans(), max_size=60))
def test_sustained_never_goes_back_and_never_without_three(marks: list[bool]) -> None:
    seat, found, before = Seat(), 0, False
    for number, mark in enumerate(marks):
        found += mark
        seat.take([CITIZEN, SECOND] if mark else [CITIZEN], number * STEP)
        assert seat.sustained >= before
        assert found >= 3 or not seat.sustained
        before = seat.sustained
