from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import SettingError
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
        pytest.param("1001001001001001", None, id="two-missed-in-a-row"),
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
