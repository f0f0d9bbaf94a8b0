"""When a counter's satisfaction changed: EWMA and CUSUM on daily figures that rest on unequal numbers.

Each day is compared with the days before it, not with a level that somebody set: the daily share goes on
the angle scale, where its variance hangs on the number of ballots alone, and the day's distance from the
weighted mean of the segment so far is divided by the standard deviation of *that* distance (both the day's
and the mean's). Without a change these are independent standard normal numbers from the first day on
(a self-starting chart: Hawkins, Technometrics 29, 1987), so false alarms come as seldom after two weeks as
after two years. The mean learns from a day at most 2.5 standard deviations off, so that one bad day does
not become the level.

A tally of the CUSUM that passes its limit is an alarm; the change is dated by the day after the tally's last
zero. The next level is learned from the days after the alarm: those before it were chosen for being unusual,
and a level learned from them would give the next alarm by itself. Hidden and missing days are left out:
nothing moves.
Arrows of today against yesterday are not made here: `hailong simulate change` shows why.

Sources: Page, Biometrika 41 (1954); Roberts, Technometrics 1 (1959); Anscombe, Biometrika 35 (1948).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from api.statistics.errors import StatisticsError
from api.statistics.run_length import CUSUM_SLACK, EWMA_WEIGHT, Chart, average_run_length, limit_for

LEARNING_DAYS: Final = 5
LEARNING_BALLOTS: Final = 60
"""A segment begins to be judged when it has as many days and ballots; before, nothing is said."""
DAYS_A_YEAR: Final = 250
"""Days on which Vietnamese counters are open, about."""
_MOST_LEARNED: Final = 2.5
_SPREAD_DAYS: Final = 20
_NORMAL_QUARTILE: Final = 0.6744897501960817


class DaysInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Daily figures that are none, or out of order."""


@dataclass(frozen=True, slots=True)
class DayShare:
    """The figure of one day that may be used.

    Attributes:
        day: The calendar day.
        share: Satisfied, 0 to 1.
        n_eff: Ballots of a plain sample with the same variance.
    """

    day: date
    share: float
    n_eff: float


@dataclass(frozen=True, slots=True)
class Limits:
    """When a chart tells of a change.

    Attributes:
        chart: Which statistic decides.
        limit: h of the CUSUM or L of the EWMA, in standard deviations.
        spread: By how much days vary more than their ballots explain, as a factor of standard deviations.
    """

    chart: Chart = Chart.CUSUM
    limit: float = 4.2
    spread: float = 1.0

    def false_alarms_a_year(self) -> float:
        """Return how many alarms one counter without any change gives in a year, on average."""
        return DAYS_A_YEAR / average_run_length(self.chart, self.limit)


NOTICE_CUSUM: Final = Limits(Chart.CUSUM, 4.2)
NOTICE_EWMA: Final = Limits(Chart.EWMA, 2.7)
"""For somebody who looks at one counter: soon, with about one alarm a year for nothing."""


def region_limits(counters: int, *, false_alarms_a_month: float = 1.0, spread: float = 1.0) -> Limits:
    """Return the limits of the list of a region: so many false alarms a month over all counters together.

    Args:
        counters: How many charts the list stands on.
        false_alarms_a_month: Those that its readers tolerate, for all counters together.
        spread: As in `Limits`.

    Raises:
        DaysInvalid: There is no counter, or no false alarm is tolerated.
    """
    if counters < 1 or false_alarms_a_month <= 0:
        raise DaysInvalid("a region has at least one counter and tolerates some false alarms: give both")
    run_length = counters * DAYS_A_YEAR / (12 * false_alarms_a_month)
    return Limits(Chart.CUSUM, limit_for(Chart.CUSUM, max(run_length, 30.0)), spread)


class Direction(StrEnum):
    """Which way a level went."""

    FELL = "fell"
    ROSE = "rose"


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a chart told of.

    Attributes:
        noticed: The day whose figure passed the limit.
        since: The first day of the new level, as the chart dates it.
        direction: Which way.
        before: The level until then, 0 to 1.
        after: The level from `since` to `noticed`, 0 to 1.
    """

    noticed: date
    since: date
    direction: Direction
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Point:
    """One day on the chart.

    Attributes:
        day: The calendar day.
        distance: From the level so far, in standard deviations; None while the segment learns.
        up: Tally of the CUSUM towards better.
        down: Tally of the CUSUM towards worse.
        ewma: Moving mean of distances in units of its own standard deviation.
        level: The level so far, 0 to 1; None while the segment learns.
    """

    day: date
    distance: float | None
    up: float
    down: float
    ewma: float
    level: float | None


@dataclass(frozen=True, slots=True)
class Charted:
    """A chart with what it told of."""

    points: tuple[Point, ...]
    changes: tuple[Change, ...]


def angle(share: float, n: float) -> float:
    """Return a share on the scale on which its variance is 1 / (4n + 2) whatever the share (Anscombe)."""
    return math.asin(math.sqrt((share * n + 0.375) / (n + 0.75)))


@dataclass(slots=True)
class _Segment:
    """Days of one level: what was learned, and the tallies since it is judged."""

    days: list[DayShare] = field(default_factory=list)
    weight: float = 0.0
    mean: float = 0.0
    judged: int = 0
    up: float = 0.0
    down: float = 0.0
    ewma: float = 0.0
    zero_up: int = 0
    """Days of the segment before the tally began to grow."""
    zero_down: int = 0

    @property
    def ready(self) -> bool:
        """Tell whether enough was learned to judge the next day."""
        if self.weight > 0:  # learned already: days only become more
            return True
        return len(self.days) >= LEARNING_DAYS and sum(day.n_eff for day in self.days) >= LEARNING_BALLOTS

    def learn(self, day: DayShare) -> None:
        """Take a day into the level without judging it."""
        self.days.append(day)
        if self.ready:
            self.weight = sum(4 * each.n_eff + 2 for each in self.days)
            self.mean = _middle(self.days)
        self.zero_up = self.zero_down = len(self.days)

    def judge(self, day: DayShare, spread: float) -> float:
        """Compare a day with the level, add it to tallies and level, and return its distance."""
        weight = 4 * day.n_eff + 2
        deviation = math.sqrt(1 / weight + 1 / self.weight)
        distance = (angle(day.share, day.n_eff) - self.mean) / deviation / spread
        self.judged += 1
        self.days.append(day)
        self.up = max(0.0, self.up + distance - CUSUM_SLACK)
        self.down = max(0.0, self.down - distance - CUSUM_SLACK)
        if self.up == 0.0:
            self.zero_up = len(self.days)
        if self.down == 0.0:
            self.zero_down = len(self.days)
        self.ewma = EWMA_WEIGHT * distance + (1 - EWMA_WEIGHT) * self.ewma
        learned = max(-_MOST_LEARNED, min(_MOST_LEARNED, distance)) * spread * deviation
        self.weight += weight
        self.mean += learned * weight / self.weight
        return distance

    def ewma_in_deviations(self) -> float:
        """Return the moving mean over its standard deviation after so many days."""
        kept = (1 - EWMA_WEIGHT) ** (2 * max(1, self.judged))
        return self.ewma / math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT) * (1 - kept))


def chart(days: Sequence[DayShare], limits: Limits = NOTICE_CUSUM) -> Charted:
    """Return the chart of a counter's daily figures.

    Args:
        days: Days with a figure, in order; hidden and missing days are simply not among them.
        limits: When to tell of a change.

    Raises:
        DaysInvalid: Days are out of order or twice, or a figure is none.
    """
    _check(days)
    points: list[Point] = []
    changes: list[Change] = []
    segment = _Segment()
    for day in days:
        if not segment.ready:
            segment.learn(day)
            points.append(Point(day.day, None, 0.0, 0.0, 0.0, None))
            continue
        before = math.sin(segment.mean) ** 2
        distance = segment.judge(day, limits.spread)
        ewma = segment.ewma_in_deviations()
        points.append(Point(day.day, distance, segment.up, segment.down, ewma, before))
        direction = _told(segment, ewma, limits)
        if direction is not None:
            start = segment.zero_up if direction is Direction.ROSE else segment.zero_down
            since = segment.days[min(start, len(segment.days) - 1) :]
            changes.append(_change(since, direction, segment.days[: -len(since)]))
            segment = _Segment()
    return Charted(tuple(points), tuple(changes))


def spread_of(days: Sequence[DayShare]) -> float:
    """Return by how much days vary more than their ballots explain: at least 1, robust against changes.

    The median of differences of neighbouring days, in their standard deviations, over that of a normal
    number; 1 below twenty days, which cannot tell. Give it a quiet year, not the days that are judged.
    """
    if len(days) < _SPREAD_DAYS:
        return 1.0
    steps = [
        abs(angle(b.share, b.n_eff) - angle(a.share, a.n_eff))
        / math.sqrt(1 / (4 * a.n_eff + 2) + 1 / (4 * b.n_eff + 2))
        for a, b in itertools.pairwise(days)
    ]
    return max(1.0, statistics.median(steps) / _NORMAL_QUARTILE)


def _told(segment: _Segment, ewma: float, limits: Limits) -> Direction | None:
    up, down = (segment.up, segment.down) if limits.chart is Chart.CUSUM else (ewma, -ewma)
    if max(up, down) <= limits.limit:
        return None
    return Direction.ROSE if up > down else Direction.FELL


def _change(since: Sequence[DayShare], direction: Direction, before: Sequence[DayShare]) -> Change:
    return Change(since[-1].day, since[0].day, direction, _level(before), _level(since))


def _level(days: Sequence[DayShare]) -> float:
    return math.fsum(day.share * day.n_eff for day in days) / math.fsum(day.n_eff for day in days)


def _middle(days: Sequence[DayShare]) -> float:
    """Return the weighted mean of angles in which no day counts as more than 2.5 deviations off."""
    angles = [(angle(day.share, day.n_eff), 4 * day.n_eff + 2) for day in days]
    middle = statistics.median(value for value, _ in angles)
    for _ in range(20):
        near = [
            (
                middle
                + max(-_MOST_LEARNED, min(_MOST_LEARNED, (value - middle) * math.sqrt(w))) / math.sqrt(w),
                w,
            )
            for value, w in angles
        ]
        middle = math.fsum(value * w for value, w in near) / math.fsum(w for _, w in near)
    return middle


def _check(days: Sequence[DayShare]) -> None:
    for day in days:
        if not (0 <= day.share <= 1 and 0 < day.n_eff < math.inf):
            raise DaysInvalid(
                f"{day.day}: a share of {day.share} on {day.n_eff} ballots is no figure: leave it out"
            )
    for a, b in itertools.pairwise(days):
        if a.day >= b.day:
            raise DaysInvalid(f"{b.day} comes after {a.day}: give each day once, in order")
