"""The course of a place in released figures: by day, week and month; what changed, and since when.

A released cell tells how many of its ratings at the counter, and how many satisfied ones, fell on which
days: runs of days, each with enough people and no agreement of all (`api.index.breakdown`). Weeks are sums
of runs, cut where months end; months are the sum of a cell. A place with several cells has the runs whose
ends all of them share. Everything here is worked out from these sums alone, so it tells no more than they.

A change is told of where the chart of `api.statistics.change_points` passes its limit, with the limits of
somebody who looks at one counter; days vary more than their ballots explain at some counters, which makes
the limits wider (`spread_of`). `api.statistics.change_dating` dates it from both sides. The level before
and after are those of whole runs outside the span of days that may be the one. What does not stand out of
its own interval is not told of: there is no comparison of a day with the day before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from api.disclosure import nearly_unanimous
from api.statistics.change_dating import Dated, dated
from api.statistics.change_points import NOTICE_CUSUM, DayShare, Direction, Limits, chart, spread_of
from api.statistics.mover import difference
from api.statistics.wilson import wilson

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


def run_of(name: str, n: int, satisfied: int) -> Run:
    """Return the run that a released part is about.

    Args:
        name: First and last day, `2026-11-02/2026-11-03`.
        n: Ratings.
        satisfied: Those satisfied with everything.
    """
    first, _, last = name.partition("/")
    return Run(date.fromisoformat(first), date.fromisoformat(last or first), n, satisfied)


def together(partitions: Iterable[Sequence[Run]]) -> tuple[Run, ...]:
    """Return the runs of several cells of one month together, between the ends that all of them share.

    Args:
        partitions: Of each cell its runs in order, none of them empty. Where one cell's days begin later
            or end earlier than another's, they count as if it had all of them.
    """
    several = [list(runs) for runs in partitions if runs]
    if not several:
        return ()
    first = min(runs[0].first for runs in several)
    last = max(runs[-1].last for runs in several)
    cuts = sorted(set.intersection(*({run.first for run in runs[1:]} for runs in several)))
    found = []
    for start, end in itertools.pairwise((first, *cuts, last + _DAY)):
        mine = [run for runs in several for run in runs if start <= run.first < end]
        n, satisfied = sum(run.n for run in mine), sum(run.satisfied for run in mine)
        found.append(Run(start, end - _DAY, n, satisfied))
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


def _same(mine: Run, later: Run, step: Step) -> bool:
    if mine.month != later.month:
        return False
    return step is Step.MONTH or _monday(mine.last) >= _monday(later.first)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


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
