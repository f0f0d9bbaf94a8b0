from __future__ import annotations

import pytest

from capture.clock import CaptureClock, Timeline

S = 1_000_000_000
NOW = 1_795_000_000 * S


def live_clock(now: list[int]) -> CaptureClock:
    return CaptureClock("rtsp://cam/1", opened_ns=NOW, live=True, wall_ns=lambda: now[0])


def test_a_recording_starts_when_it_is_said_to() -> None:
    clock = CaptureClock("file:a.mp4", opened_ns=1000 * S, origin_ns=3 * S)
    assert [clock.captured_ns(pts, None) for pts in (3 * S, 5 * S)] == [1000 * S, 1002 * S]


def test_a_recording_does_not_follow_the_wall_clock() -> None:
    clock = CaptureClock("file:a.mp4", opened_ns=1000 * S, wall_ns=lambda: NOW)
    assert clock.captured_ns(7200 * S, NOW // 1000) == 8200 * S


def test_the_wall_clock_of_the_sender_counts() -> None:
    clock = live_clock([NOW + 2 * S])
    told_us = (NOW + S // 2) // 1000
    assert clock.captured_ns(S, told_us) == NOW + S // 2 + S


def test_without_it_the_opening_counts_and_not_the_arrival() -> None:
    now = [NOW]
    clock = live_clock(now)
    placed = []
    for late_ns in (0, S // 3, S // 10):
        now[0] = NOW + S + late_ns
        placed.append(clock.captured_ns(S, None))
    assert placed == [NOW + S] * 3


def test_timestamps_that_are_wall_clock_times_are_taken_as_such() -> None:
    clock = live_clock([NOW + 5 * S])
    assert clock.captured_ns(NOW + 4 * S, None) == NOW + 4 * S


@pytest.mark.parametrize("skew_s", [-56 * 365 * 24 * 3600, -60, 60])
def test_a_sender_whose_clock_is_off_is_not_believed(skew_s: int) -> None:
    clock = live_clock([NOW + S])
    assert clock.captured_ns(S, (NOW + skew_s * S) // 1000) == NOW + S


def test_a_jump_without_a_wall_clock_starts_anew_from_now() -> None:
    now = [NOW + S]
    clock = live_clock(now)
    clock.captured_ns(S, None)
    now[0] = NOW + 2 * S
    assert clock.captured_ns(5000 * S, None) == NOW + 2 * S
    now[0] += S
    assert clock.captured_ns(5001 * S, None) == NOW + 3 * S


@pytest.mark.parametrize(
    ("times_ms", "segments"),
    [
        ([0, 100, 200, 300], [0, 0, 0, 0]),
        ([0, 100, 650, 750], [0, 0, 0, 0]),
        ([0, 100, 701, 801], [0, 0, 1, 1]),
        ([0, 100, 99, 199], [0, 0, 1, 1]),
        ([0, 1900, 1800], [0, 1, 2]),
    ],
)
def test_steps_start_segments(times_ms: list[int], segments: list[int]) -> None:
    line = Timeline()
    assert [line.place(at * 1_000_000, 100_000_000) for at in times_ms] == segments
