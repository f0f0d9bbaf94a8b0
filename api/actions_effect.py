"""What was measured before and after an action: printed figures of months, the difference, its interval.

The month of the action itself counts on neither side. Everything is worked out from figures as they are
printed, so nothing is told here that the pages do not show already. A difference proves no cause: other
things change at the same time, and counters on which somebody acts were often chosen for a bad month.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from api.disclosure import points
from api.index.period import Span
from api.index.reading import Reading, Standing
from api.statistics.mover import combined

MONTHS: Final = 3
"""Most months on each side."""


@dataclass(frozen=True, slots=True)
class Level:
    """Months of one side together, in points of 0 to 100.

    Attributes:
        first: First day of the first month.
        last: First day of the last month.
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
    """

    standing: Standing
    before: Level
    after: Level
    difference: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves no difference at all outside."""
        return self.low > 0 or self.high < 0


def effect_of(course: Sequence[Reading], day: date) -> Effect | None:
    """Return what was measured before and after a day; None where a side has no month.

    Args:
        course: Months of one counter, oldest first.
        day: When something was done.
    """
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
    """Take the interval of the difference from both intervals, each side by itself (MOVER)."""
    difference = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return Effect(standing, before, after, difference, difference - below, difference + above)
