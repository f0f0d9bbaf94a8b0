"""Charts of daily figures: when they tell of a change, how it is dated, how often there was none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.statistics.change_command import SCENES, _quantile, _rate, run_changes, table_of
from api.statistics.change_points import (
    LEARNING_DAYS,
    NOTICE_CUSUM,
    NOTICE_EWMA,
    DayShare,
    DaysInvalid,
    Direction,
    Limits,
    angle,
    chart,
    region_limits,
    spread_of,
)
from api.statistics.run_length import Chart, average_run_length, limit_for

FIRST = date(2026, 1, 1)


def days(shares: Sequence[float], n: float = 30) -> list[DayShare]:
    return [DayShare(FIRST + timedelta(index), share, n) for index, share in enumerate(shares)]


@pytest.mark.parametrize(
    ("limit", "shift", "expected"),
    [(4.0, 0.0, 168.0), (5.0, 0.0, 465.0), (4.0, 1.0, 8.38), (5.0, 1.0, 10.4)],
)
def test_run_lengths_of_the_cusum_are_the_published_ones(limit: float, shift: float, expected: float) -> None:
    assert average_run_length(Chart.CUSUM, limit, shift) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("limit", "shift", "expected"), [(2.86, 0.0, 370.0), (2.962, 0.0, 500.0), (2.962, 1.0, 10.3)]
)
def test_run_lengths_of_the_ewma_are_the_published_ones(limit: float, shift: float, expected: float) -> None:
    assert average_run_length(Chart.EWMA, limit, shift) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("kind", Chart)
@pytest.mark.parametrize("length", [50.0, 250.0, 6250.0])
def test_a_limit_is_found_for_a_run_length(kind: Chart, length: float) -> None:
    assert average_run_length(kind, limit_for(kind, length)) == pytest.approx(length, rel=1e-3)


def test_a_region_of_hundreds_of_counters_has_one_false_alarm_a_month() -> None:
    limits = region_limits(300)
    assert 300 * limits.false_alarms_a_year() / 12 == pytest.approx(1.0, rel=0.01)
    assert limits.limit > NOTICE_CUSUM.limit
    with pytest.raises(DaysInvalid, match="at least one counter"):
        region_limits(0)


@pytest.mark.parametrize("limits", [NOTICE_CUSUM, NOTICE_EWMA])
@pytest.mark.parametrize(("after", "direction"), [(0.65, Direction.FELL), (0.97, Direction.ROSE)])
def test_a_step_is_told_of_in_its_direction_and_dated_to_its_day(
    limits: Limits, after: float, direction: Direction
) -> None:
    found = chart(days([0.83, 0.87] * 15 + [after] * 12), limits)
    (first, *_) = found.changes
    assert first.direction is direction
    assert first.since == FIRST + timedelta(30)
    assert first.noticed > first.since
    assert first.before == pytest.approx(0.85, abs=0.01)
    assert first.after == pytest.approx(after)


def test_a_steady_counter_is_never_told_of_and_the_first_days_are_not_judged() -> None:
    found = chart(days([0.83, 0.87] * 60))
    assert found.changes == ()
    assert [point.distance is None for point in found.points].count(True) == LEARNING_DAYS


def test_few_ballots_a_day_are_learned_from_for_longer() -> None:
    found = chart(days([0.8] * 20, n=10))
    assert [point.distance is None for point in found.points].count(True) == 6


@pytest.mark.parametrize(("count", "points"), [(0, 0), (1, 1), (LEARNING_DAYS, LEARNING_DAYS)])
def test_a_chart_of_few_days_says_nothing(count: int, points: int) -> None:
    found = chart(days([0.2] * count))
    assert (len(found.points), found.changes) == (points, ())


def test_missing_days_move_nothing() -> None:
    shares = [0.83, 0.87] * 10 + [0.7] * 8
    apart = [DayShare(FIRST + timedelta(3 * index), day.share, 30) for index, day in enumerate(days(shares))]
    assert [point.down for point in chart(apart).points] == [
        point.down for point in chart(days(shares)).points
    ]


def test_after_an_alarm_the_next_level_is_learned_from_the_days_after_it() -> None:
    found = chart(days([0.83, 0.87] * 15 + [0.65] * 40))
    (change,) = found.changes
    after = [point for point in found.points if point.day > change.noticed]
    assert [point.distance is None for point in after[: LEARNING_DAYS + 1]] == [True] * LEARNING_DAYS + [
        False
    ]


def test_a_day_of_many_ballots_counts_for_more() -> None:
    quiet = days([0.85] * 20)
    few = chart([*quiet, DayShare(FIRST + timedelta(20), 0.7, 10)]).points[-1].distance
    many = chart([*quiet, DayShare(FIRST + timedelta(20), 0.7, 100)]).points[-1].distance
    assert few is not None
    assert many is not None
    assert many < few < 0


def test_distances_are_standard_normal_from_the_first_judged_day(seed: int) -> None:
    rng = np.random.default_rng(seed)
    early = [_distances(rng, LEARNING_DAYS + 2) for _ in range(1500)]
    late = [_distances(rng, 40) for _ in range(500)]
    for part in (early, late):
        values = np.array(part)
        assert abs(values.mean()) < 0.15
        assert values.std() == pytest.approx(1.0, abs=0.05 if part is early else 0.12)


def _distances(rng: np.random.Generator, count: int) -> list[float]:
    """Return the distances of the last two of so many days at a level of 80 %."""
    shares = rng.binomial(40, 0.8, count) / 40
    points = chart(days(list(shares), n=40), Limits(limit=1e9)).points[-2:]
    return [point.distance for point in points if point.distance is not None]


def test_one_wild_day_does_not_become_the_level() -> None:
    found = chart(days([0.85] * 20 + [0.0, 0.85, 0.85]), Limits(limit=1e9))
    level = found.points[-1].level
    assert level == pytest.approx(0.85, abs=0.02)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([DayShare(FIRST, 1.2, 30)], "is no figure"),
        ([DayShare(FIRST, math.nan, 30)], "is no figure"),
        ([DayShare(FIRST, 0.5, 0)], "is no figure"),
        ([DayShare(FIRST, 0.5, 30)] * 2, "each day once"),
    ],
)
def test_what_is_no_day_is_refused(wrong: list[DayShare], message: str) -> None:
    with pytest.raises(DaysInvalid, match=message):
        chart(wrong)


def test_days_that_vary_more_than_their_ballots_are_spread(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = rng.binomial(50, 0.8, 250) / 50
    wide = rng.binomial(50, np.clip(rng.normal(0.8, 0.08, 250), 0, 1)) / 50
    assert spread_of(days(list(plain), n=50)) < 1.25
    assert spread_of(days(list(wide), n=50)) > 1.3
    assert spread_of(days(list(wide[:10]), n=50)) == 1.0
    calm = chart(days(list(wide), n=50), Limits(spread=3.0))
    assert len(calm.changes) < len(chart(days(list(wide), n=50)).changes)


@given(st.floats(0, 1), st.floats(1, 500))
def test_angles_rise_with_shares_and_stay_between_the_ends(share: float, n: float) -> None:
    assert 0 <= angle(0, n) <= angle(share, n) <= angle(1, n) <= math.pi / 2


def test_the_bar_is_met_and_arrows_fail_it(seed: int) -> None:
    report = run_changes(60, seed, scenes=SCENES[:1])
    rows = {row.rule: row for row in report.rows}
    assert report.passed, rows
    assert rows["cusum"].false_alarms_a_year.value < 2
    assert rows["ewma"].false_alarms_a_year.value < 2
    assert rows["cusum, 300 counters"].false_alarms_a_year.value < 0.2
    assert rows["arrows"].false_alarms_a_year.value > 150
    assert rows["significant arrows"].delay_median_days.value > 2 * rows["cusum"].delay_median_days.value
    for row in report.rows:
        for found in (row.false_alarms_a_year, row.noticed, row.delay_median_days, row.delay_p90_days):
            assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert table_of(report).count("\n") == 8


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [([0] * 10, 0.0, 0.36889), ([1, 0, 2, 0], 0.15467, 2.19182), ([100, 120, 80, 100], 83.997, 116.003)],
)
def test_a_rate_has_the_interval_of_its_counts(counts: list[int], low: float, high: float) -> None:
    found = _rate(counts)
    assert found.value == sum(counts) / len(counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)


def test_the_interval_of_a_delay_holds_it_as_often_as_said(seed: int) -> None:
    """Delays are whole days, so it holds the true quantile somewhat more often."""
    rng = np.random.default_rng(seed)
    held = {0.5: 0, 0.9: 0}
    for _ in range(400):
        days = rng.geometric(0.05, 200).astype(float).tolist()
        for part in held:
            found = _quantile(days, part)
            held[part] += found.low <= math.ceil(math.log(1 - part) / math.log(0.95)) <= found.high
    assert min(held.values()) >= 0.92 * 400, held
    assert _quantile([1.0, math.inf, math.inf], 0.9).value == math.inf
