"""The band around the valence: narrow only where many sure readings say so."""

from __future__ import annotations

import itertools

import pytest

from inference.face_moments import FaceMoment
from inference.valence_band import BandPoint, band

NS = 1_000_000_000
START = 1_700_000_000 * NS


def steady(
    seconds: float, valence: float, confidence: float, *, hz: int = 4, from_s: float = 0.0
) -> list[FaceMoment]:
    first = START + int(from_s * NS)
    return [FaceMoment(first + step * NS // hz, valence, confidence) for step in range(int(seconds * hz))]


def middle(moments: list[FaceMoment]) -> BandPoint:
    (stretch,) = band(moments)
    return stretch[len(stretch) // 2]


def test_the_mean_is_that_of_the_readings_and_lies_in_the_band() -> None:
    point = middle(steady(20, 0.5, 0.7))
    assert point.valence == pytest.approx(0.5)
    assert -1.0 <= point.low < point.valence < point.high <= 1.0


def test_nobody_gives_no_band() -> None:
    assert band([]) == ()


def test_one_reading_is_believed_least() -> None:
    one, many = middle(steady(0.25, 0.9, 0.95)), middle(steady(20, 0.9, 0.95))
    assert one.seconds == 1
    assert one.high - one.low > 1.5 * (many.high - many.low)


def test_more_pictures_of_the_same_second_say_nothing_new() -> None:
    slow, fast = middle(steady(20, 0.4, 0.6, hz=2)), middle(steady(20, 0.4, 0.6, hz=20))
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high))


def test_unsure_readings_widen_it() -> None:
    sure, unsure = middle(steady(20, 0.0, 0.95)), middle(steady(20, 0.0, 0.4))
    assert unsure.high - unsure.low > 1.3 * (sure.high - sure.low)


def test_readings_that_contradict_each_other_widen_it() -> None:
    torn = [
        FaceMoment(moment.captured_ns, 0.9 if index % 8 < 4 else -0.9, 0.95)
        for index, moment in enumerate(steady(20, 0.0, 0.95))
    ]
    calm = middle(steady(20, 0.0, 0.95))
    point = middle(torn)
    assert point.high - point.low > 1.5 * (calm.high - calm.low)


def test_nothing_is_drawn_across_a_time_without_readings() -> None:
    stretches = band(steady(10, -0.5, 0.8) + steady(10, 0.5, 0.8, from_s=30))
    assert len(stretches) == 2
    assert stretches[0][-1].at_ns < START + 13 * NS
    assert stretches[1][0].at_ns > START + 27 * NS
    assert [stretch[0].valence for stretch in stretches] == pytest.approx([-0.5, 0.5])


@pytest.mark.parametrize("valence", [-1.0, -0.97, 0.0, 0.97, 1.0])
@pytest.mark.parametrize("confidence", [1 / 3, 0.5, 0.99, 1.0])
def test_it_stays_in_range_for_figures_that_no_network_gives(valence: float, confidence: float) -> None:
    for stretch in band(steady(6, valence, confidence)):
        for point in stretch:
            assert -1.0 <= point.low <= point.valence <= point.high <= 1.0


def test_a_step_is_climbed_evenly() -> None:
    (stretch,) = band(steady(20, 0.0, 0.9) + steady(20, 1.0, 0.99, from_s=20))
    rises = [after.valence - before.valence for before, after in itertools.pairwise(stretch)]
    assert max(rises) <= 0.125, "a tenth of the step every half second, and a little for whole readings"
    assert min(rises) >= -1e-9
