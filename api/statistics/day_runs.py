"""Days put together until enough people stand behind each run, and the chart of such runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from api.statistics.change_points import Change, DayShare, Limits, chart


@dataclass(frozen=True, slots=True)
class DayCount:
    """What was said on one day.

    Attributes:
        day: The calendar day.
        n: Ballots, at least one.
        satisfied: Those of the satisfied.
    """

    day: date
    n: int
    satisfied: int


@dataclass(frozen=True, slots=True)
class DayRun:
    """Neighbouring days with enough ballots together.

    Attributes:
        first: First day with a ballot; `last` is the last one.
        n: Ballots.
        satisfied: Those of the satisfied.
    """

    first: date
    last: date
    n: int
    satisfied: int


def put_together(days: Iterable[DayCount], fewest: int) -> tuple[DayRun, ...]:
    """Return runs of at least so many ballots; days at the end that are too few still wait.

    A run ends with the first day on which it has enough, so a later day never moves the ends of earlier runs.

    Args:
        days: In order, each once.
        fewest: Ballots that a run needs.
    """
    found: list[DayRun] = []
    first: date | None = None
    n = satisfied = 0
    for item in days:
        first = first or item.day
        n, satisfied = n + item.n, satisfied + item.satisfied
        if n >= fewest:
            found.append(DayRun(first, item.day, n, satisfied))
            first, n, satisfied = None, 0, 0
    return tuple(found)


def shares_of(runs: Sequence[DayRun]) -> tuple[DayShare, ...]:
    """Return runs as a chart takes them, each at its last day, when it was known."""
    return tuple(DayShare(run.last, run.satisfied / run.n, float(run.n)) for run in runs)


def changes_over(runs: Sequence[DayRun], limits: Limits) -> tuple[Change, ...]:
    """Return what the chart of runs tells of; a new level dates from the first day of its first run."""
    firsts = {run.last: run.first for run in runs}
    told = chart(shares_of(runs), limits).changes
    return tuple(replace(change, since=firsts[change.since]) for change in told)
