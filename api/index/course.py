"""The course of a place in released figures: by day, week and month; what changed, and since when.

A released cell tells how many of its ratings at the counter, and how many satisfied ones, fell on which
days: runs of days, each with enough people and no agreement of all (`api.index.breakdown`). Weeks are sums
of runs, cut where months end. Everything here is worked out from these sums and from printed figures alone,
so it tells no more than they.

A change is told of where the chart of `api.statistics.change_points` passes its limit, with the limits of
somebody who looks at one counter; days vary more than their ballots explain at some counters, which makes
the limits wider (`spread_of`). `api.statistics.change_dating` dates it from both sides. The level before
and after are those of whole runs outside the span of days that may be the one. What does not stand out of
its own interval is not told of: there is no comparison of a day with the day before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import numpy as np

from api.disclosure import nearly_unanimous
from api.index.breakdown import Dimension, days_of, monday_of
from api.index.formula import FACTORS, KIOSK
from api.index.reading import Reading
from api.schema import next_month
from api.statistics.change_dating import Dated, dated
from api.statistics.change_points import NOTICE_CUSUM, DayShare, Direction, Limits, chart, spread_of
from api.statistics.mover import combined, difference
from api.statistics.wilson import NORMAL, wilson

MONTHS: Final = 3
"""Most months on each side of a change whose factors are compared."""
_ERROR: Final = 0.05
FEWEST_BALLOTS: Final = 30
"""Behind each of the two levels of a change."""
_DAY: Final = timedelta(days=1)


class Step(StrEnum):
    """How long the runs of a course are."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Level:
    """A share of satisfied ratings over some days.

    Attributes:
        first: First day; `last` is the last one.
        value: 0 to 1; `low` and `high` are the ends of its 95 % interval (Wilson).
        n: Ratings.
    """

    first: date
    last: date
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Run:
    """Days of which the ratings are told together.

    Attributes:
        first: First day; `last` is the last one, of the same month.
        n: Ratings at the counter.
        satisfied: Those satisfied with everything.
    """

    first: date
    last: date
    n: int
    satisfied: int

    def __add__(self, later: Run) -> Run:
        """Put two runs together, of which this is the earlier one."""
        return Run(self.first, later.last, self.n + later.n, self.satisfied + later.satisfied)

    @property
    def month(self) -> date:
        """First day of its month."""
        return self.first.replace(day=1)

    @property
    def bounded(self) -> bool:
        """Whether its share would tell what single people said; nothing is worked out with it then."""
        return nearly_unanimous(self.n, self.satisfied)


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the level.

    Attributes:
        likely: The day that is the likeliest first one of the new level.
        earliest: First day that may be it, too; `latest` is the last one.
        before: The level until then, since the change before it.
        after: The level since then, until the next change.
        value: After less before, -1 to 1; `low` and `high` are the ends of its 95 % interval (MOVER).
    """

    likely: date
    earliest: date
    latest: date
    before: Level
    after: Level
    value: float
    low: float
    high: float

    @property
    def direction(self) -> Direction:
        """Which way."""
        return Direction.ROSE if self.value > 0 else Direction.FELL


@dataclass(frozen=True, slots=True)
class Found:
    """What a course tells about changes.

    Attributes:
        shifts: Changes, the oldest first.
        judged: Whether there were enough runs to notice one.
        runs: How many there were.
        spread: By how much they vary more than their ballots explain, as a factor of deviations.
    """

    shifts: tuple[Shift, ...]
    judged: bool
    runs: int
    spread: float


@dataclass(frozen=True, slots=True)
class FactorShift:
    """A factor before and after a change, from the figures of whole months.

    Attributes:
        value: After less before, -1 to 1; `low` and `high` are the ends of its interval, wide enough that
            those of all factors hold together in 95 of 100 cases.
    """

    factor: str
    before: Level
    after: Level
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FactorShifts:
    """What a change was in.

    Attributes:
        mixed: Whether the months after it begin with the one in which it came, for want of later ones: then
            the differences are smaller than they really are.
    """

    factors: tuple[FactorShift, ...]
    mixed: bool


def runs_of(readings: Iterable[Reading]) -> tuple[Run, ...]:
    """Return the runs of released months; a month whose days are not told apart is one run.

    Args:
        readings: Months of one place, oldest first.
    """
    found: list[Run] = []
    for reading in readings:
        figure, month = reading.figure, reading.period.first
        if figure is None:
            continue
        parts = figure.breakdowns.get(Dimension.DAYS, ())
        if parts:
            found += [Run(*days_of(part), part.n, part.satisfied) for part in parts]
            continue
        share = figure.overall.channels.get(KIOSK)
        if share is not None:
            # As printed: the unweighted count is told of nowhere else.
            last = next_month(month) - _DAY
            satisfied = share.satisfied if share.bounded else round(share.value * share.n)
            found.append(Run(month, last, share.n, satisfied))
    return tuple(found)


def in_steps(runs: Sequence[Run], step: Step) -> tuple[Run, ...]:
    """Return runs as days, weeks or months; a run that lies in two weeks brings them together.

    Args:
        runs: In order.
        step: Weeks begin on Mondays and end with their month.
    """
    if step is Step.DAY:
        return tuple(runs)
    found: list[Run] = []
    for run in runs:
        if found and _same(found[-1], run, step):
            found[-1] += run
        else:
            found.append(run)
    return tuple(found)


def level_of(runs: Sequence[Run], spread: float = 1.0) -> Level | None:
    """Return the share of runs together; None where there are none or it would tell what single people said.

    Args:
        runs: In order.
        spread: By how much runs vary more than their ballots explain; it makes the interval wider.
    """
    if not runs:
        return None
    n, satisfied = sum(run.n for run in runs), sum(run.satisfied for run in runs)
    if nearly_unanimous(n, satisfied):
        return None
    low, high = wilson(satisfied / n, n / spread**2)
    return Level(runs[0].first, runs[-1].last, satisfied / n, float(low), float(high), n)


def changes_of(runs: Sequence[Run], limits: Limits = NOTICE_CUSUM) -> Found:
    """Return what changed over released runs, and since when.

    Args:
        runs: In order, the shortest there are; those printed as a bound are left out.
        limits: When the chart tells of a change; its spread is worked out here.
    """
    usable = [run for run in runs if not run.bounded]
    days = [DayShare(run.first, run.satisfied / run.n, run.n) for run in usable]
    spread = spread_of(days)
    charted = chart(days, Limits(limits.chart, limits.limit, spread))
    number = {day.day: at for at, day in enumerate(days)}
    told = [number[change.since] for change in charted.changes]
    shifts = _shifts(usable, days, [at for at in told if at > 0], spread)
    judged = any(point.level is not None for point in charted.points)
    return Found(shifts, judged, len(usable), spread)


def factors_of(readings: Sequence[Reading], shifts: Sequence[Shift], at: int) -> FactorShifts | None:
    """Return how the factors were before and after a change; None where a side has no month.

    Args:
        readings: Months of the place, oldest first.
        shifts: All changes of its course, oldest first.
        at: Which of them; months beyond the one before it or after it do not count.
    """
    shift = shifts[at]
    first = shifts[at - 1].latest if at else date.min
    end = shifts[at + 1].earliest if at + 1 < len(shifts) else date.max
    months = [reading for reading in readings if reading.figure is not None]
    before = [one for one in months if first < one.period.first and _last(one) < shift.earliest]
    after = [one for one in months if shift.latest < one.period.first and _last(one) < end]
    mixed = not after
    if mixed:
        after = [one for one in months if one.period.first <= shift.latest <= _last(one) < end]
    before, after = before[-MONTHS:], after[:MONTHS]
    if not before or not after:
        return None
    levels = {
        factor: (one, other)
        for factor in FACTORS
        if (one := _of_months(before, factor)) is not None
        and (other := _of_months(after, factor)) is not None
    }
    wider = NormalDist().inv_cdf(1 - _ERROR / 2 / max(1, len(levels))) / NORMAL
    found = [
        FactorShift(factor, one, other, *difference(other, one, wider=wider))
        for factor, (one, other) in levels.items()
    ]
    return FactorShifts(tuple(found), mixed) if found else None


def _last(reading: Reading) -> date:
    return next_month(reading.period.first) - _DAY


def _of_months(readings: Sequence[Reading], factor: str) -> Level | None:
    """Return the share of a factor over months, each weighing what it has in ballots."""
    shares = [
        share
        for reading in readings
        if reading.figure is not None
        and factor in reading.figure.factors
        and (share := reading.figure.factors[factor].share) is not None
        and not share.bounded
    ]
    if len(shares) < len(readings):
        return None
    n = sum(share.n for share in shares)
    value, low, high = combined(
        np.array([share.n / n for share in shares]),
        np.array([share.value for share in shares]),
        np.array([share.low for share in shares]),
        np.array([share.high for share in shares]),
        math.inf,
    )
    return Level(readings[0].period.first, _last(readings[-1]), float(value), float(low), float(high), n)


def _same(mine: Run, later: Run, step: Step) -> bool:
    if mine.month != later.month:
        return False
    return step is Step.MONTH or monday_of(mine.last) >= monday_of(later.first)


def _shifts(
    runs: Sequence[Run], days: Sequence[DayShare], told: Sequence[int], spread: float
) -> tuple[Shift, ...]:
    """Date the changes that a chart told of; the first one that does not stand out is dropped, and so on."""
    kept = list(told)
    while kept:
        placed = _placed(days, kept, spread)
        levels = _levels(runs, placed, spread)
        made = [
            _shift(runs, here, *sides) for here, sides in zip(placed, itertools.pairwise(levels), strict=True)
        ]
        weak = [at for at, shift in enumerate(made) if shift is None]
        if not weak:
            return tuple(shift for shift in made if shift is not None)
        del kept[weak[0]]
    return ()


def _placed(days: Sequence[DayShare], told: Sequence[int], spread: float) -> list[Dated]:
    """Date each change between the one before it and the next one that was told of."""
    placed: list[Dated] = []
    start = 0
    for at, following in zip(told, (*told[1:], len(days)), strict=True):
        # What was told of lies inside, with a figure on each side.
        start = min(start, at - 1)
        found = dated(days[start : max(following, at + 1)], spread=spread)
        placed.append(Dated(found.at + start, found.earliest + start, found.latest + start))
        start = placed[-1].at
    return placed


def _levels(runs: Sequence[Run], placed: Sequence[Dated], spread: float) -> list[Level | None]:
    """Return the level before the first change, between each two, and after the last."""
    begin = Dated(0, 0, 0)
    end = Dated(len(runs), len(runs), len(runs))
    found = []
    for last, following in itertools.pairwise((begin, *placed, end)):
        sure = list(runs[last.latest : following.earliest])
        # A change may lie inside a run of several days.
        if sure and last is not begin and _several(sure[0]):
            del sure[0]
        if sure and following is not end and _several(sure[-1]):
            del sure[-1]
        level = level_of(sure, spread)
        if level is None or level.n < FEWEST_BALLOTS:
            level = level_of(runs[last.at : following.at], spread)
        found.append(level if level is not None and level.n >= FEWEST_BALLOTS else None)
    return found


def _shift(runs: Sequence[Run], here: Dated, before: Level | None, after: Level | None) -> Shift | None:
    if before is None or after is None:
        return None
    value, low, high = difference(after, before)
    if low <= 0 <= high:
        return None
    previous = runs[here.earliest - 1]
    return Shift(
        runs[here.at].first,
        previous.first + _DAY if _several(previous) else runs[here.earliest].first,
        runs[here.latest].last,
        before,
        after,
        value,
        max(-1.0, low),
        min(1.0, high),
    )


def _several(run: Run) -> bool:
    return run.first < run.last
