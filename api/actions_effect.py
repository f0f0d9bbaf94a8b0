"""What was measured before and after an action: released days or months, the difference, its interval.

Where days are released, they are the ratings of up to three months on each side, without the days that are
told of together with the day of the action; before it only those since the last change that was found, or a
bad month would be weighed with the good ones ahead of it. Else they are the printed figures of months, and
the month of the action itself counts on neither side. Everything is worked out from what the pages show. A
difference proves no cause: other things change at the same time, and counters on which somebody acts were
often chosen for a bad month.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from api.disclosure import points
from api.index.course import FEWEST_BALLOTS, Found, Run, level_of
from api.index.course import Level as CourseLevel
from api.index.period import Span
from api.index.reading import Reading, Standing
from api.statistics.mover import combined, difference

MONTHS: Final = 3
"""Most months on each side."""
_REACH: Final = timedelta(days=92)


@dataclass(frozen=True, slots=True)
class Level:
    """One side, in points of 0 to 100.

    Attributes:
        first: First day of the first month, or first day.
        last: First day of the last month, or last day.
        n: People behind it.
    """

    first: date
    last: date
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Effect:
    """Both sides, and after less before in points with its 95 % interval.

    Attributes:
        standing: FIGURE for shares of satisfied people, UNCALIBRATED for the signal; never mixed.
        by_days: Whether it stands on released days, and so on ratings at the counter alone.
    """

    standing: Standing
    before: Level
    after: Level
    difference: float
    low: float
    high: float
    by_days: bool = False

    @property
    def clear(self) -> bool:
        """Whether the interval leaves no difference at all outside."""
        return self.low > 0 or self.high < 0


def effect_of(
    course: Sequence[Reading], day: date, runs: Sequence[Run] = (), found: Found | None = None
) -> Effect | None:
    """Return what was measured before and after a day; None where a side has nothing.

    Args:
        course: Months of one counter, oldest first.
        day: When something was done.
        runs: Its released days, oldest first.
        found: What changed over them.
    """
    by_days = _by_days(runs, day, found)
    if by_days is not None:
        return by_days
    month = day.replace(day=1)
    for standing in (Standing.FIGURE, Standing.UNCALIBRATED):
        told = [
            (reading.period.first, printed)
            for reading in course
            if reading.period.span is Span.MONTH
            and reading.standing is standing
            and (printed := _printed(reading)) is not None
        ]
        before = _level([item for item in told if item[0] < month][-MONTHS:])
        after = _level([item for item in told if item[0] > month][:MONTHS])
        if before is not None and after is not None:
            return _compared(standing, before, after)
    return None


def _by_days(runs: Sequence[Run], day: date, found: Found | None) -> Effect | None:
    shifts = () if found is None else found.shifts
    since = max((shift.latest for shift in shifts if shift.latest < day), default=date.min)
    before = [run for run in runs if run.last < day and run.first >= max(since, day - _REACH)]
    after = [run for run in runs if run.first > day and run.last <= day + _REACH]
    spread = 1.0 if found is None else found.spread
    one, other = level_of(before, spread), level_of(after, spread)
    if one is None or other is None or min(one.n, other.n) < FEWEST_BALLOTS:
        return None
    value, low, high = difference(other, one)
    return Effect(
        Standing.FIGURE, _in_points(one), _in_points(other), value * 100, low * 100, high * 100, by_days=True
    )


def _in_points(level: CourseLevel) -> Level:
    return Level(level.first, level.last, level.value * 100, level.low * 100, level.high * 100, level.n)


_Printed = tuple[float, float, float, int]
"""Value and ends of the interval as printed, and the people behind them."""


def _printed(reading: Reading) -> _Printed | None:
    if reading.standing is Standing.FIGURE and reading.figure is not None:
        share = reading.figure.overall.share
        if share is None or share.bounded:  # a bound is no value to subtract
            return None
        value, low, high = share.texts()
        return float(value), float(low), float(high), share.n
    if reading.signal is not None:
        mean = reading.signal.mean
        value, low, high = (points(item, mean.n) for item in (mean.value, mean.low, mean.high))
        return float(value), float(low), float(high), mean.n
    return None


def _level(months: Sequence[tuple[date, _Printed]]) -> Level | None:
    if not months:
        return None
    table = np.array([printed for _, printed in months], dtype=np.float64)
    n = table[:, 3]
    value, low, high = combined(
        n / n.sum(), table[:, 0] / 100, table[:, 1] / 100, table[:, 2] / 100, math.inf
    )
    return Level(
        months[0][0],
        months[-1][0],
        float(value) * 100,
        float(low) * 100,
        float(high) * 100,
        int(n.sum()),
    )


def _compared(standing: Standing, before: Level, after: Level) -> Effect:
    return Effect(standing, before, after, *difference(after, before))
