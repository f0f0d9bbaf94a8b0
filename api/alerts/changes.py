"""When a counter's level is said to have changed: one judgement for the counter's page and for alerts.

Two limits stand behind it. Whoever looks at one counter wants to be told soon and bears one false notice a
year; an alert goes out for all counters of the centre, so its limit is wider. A notice says whether it passed
the limit of alerts as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from api.statistics.change_points import (
    NOTICE_CUSUM,
    Change,
    Charted,
    DayShare,
    Limits,
    chart,
    region_limits,
    spread_of,
)
from api.statistics.day_runs import DayRun, changes_over, shares_of

CHARTS: Final = 2
"""Charts of a counter that alerts look at: its released signals and the centre's own ballots."""
_JUDGED: Final = timedelta(days=60)
"""The newest days tell nothing of how much quiet days vary."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A change that was noticed.

    Attributes:
        change: By the limit of a single counter, or by that of alerts where that one alone passed.
        alarm: Day on which it passed the limit of alerts; None where it did not.
    """

    change: Change
    alarm: date | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the days of a counter tell.

    Attributes:
        charted: The chart with the limit of a single counter, as it is drawn.
        limits: That limit, with the spread of this counter's days.
        alarm_limits: The limit of alerts, with the same spread.
        alarms: Changes that passed the limit of alerts, oldest first.
        changes: Every change that either chart told of, oldest first.
    """

    charted: Charted
    limits: Limits
    alarm_limits: Limits
    alarms: tuple[Change, ...]
    changes: tuple[Noticed, ...]


def first_charted(day: date) -> date:
    """Return the first day of the chart that judges a day; one that moves daily would move levels."""
    return date(day.year - 1, 1, 1)


def alarm_limits(counters: int, *, false_alarms_a_month: float) -> Limits:
    """Return the limit of alerts: all charts of all counters together give so many false alarms a month.

    Args:
        counters: Those of the centre.
        false_alarms_a_month: Those tolerated, for both charts of all counters together.
    """
    return region_limits(CHARTS * max(1, counters), false_alarms_a_month=false_alarms_a_month)


def judge(days: Sequence[DayShare], counters: int, *, false_alarms_a_month: float) -> Judged:
    """Return what released days of a counter tell.

    Args:
        days: Released days with a mean (`api.trends.day_shares`), from `first_charted` on, oldest first.
        counters: Those of the centre, as in `alarm_limits`.
        false_alarms_a_month: As in `alarm_limits`.
    """
    spread = spread_of(_quiet(days))
    notice = replace(NOTICE_CUSUM, spread=spread)
    alarm = replace(alarm_limits(counters, false_alarms_a_month=false_alarms_a_month), spread=spread)
    charted, alarms = chart(days, notice), chart(days, alarm).changes
    noticed = [Noticed(change, _alarm_day(change, alarms)) for change in charted.changes]
    noticed += [
        Noticed(change, change.noticed)
        for change in alarms
        if not any(same_change(change, other) for other in charted.changes)
    ]
    noticed.sort(key=lambda item: item.change.noticed)
    return Judged(charted, notice, alarm, alarms, tuple(noticed))


def ballot_alarms(
    runs: Sequence[DayRun], counters: int, *, false_alarms_a_month: float
) -> tuple[Change, ...]:
    """Return the changes of a counter's own ballots that pass the limit of alerts.

    Their levels are of unpublished ballots and go nowhere: only the direction and the days are told.

    Args:
        runs: Days put together to enough ballots, from `first_charted` on, oldest first.
        counters: As in `alarm_limits`.
        false_alarms_a_month: As in `alarm_limits`.
    """
    limits = alarm_limits(counters, false_alarms_a_month=false_alarms_a_month)
    return changes_over(runs, replace(limits, spread=spread_of(_quiet(shares_of(runs)))))


def _alarm_day(change: Change, alarms: Sequence[Change]) -> date | None:
    return next((other.noticed for other in alarms if same_change(change, other)), None)


def same_change(one: Change, other: Change) -> bool:
    """Tell whether two charts of a counter speak of the same change."""
    return one.direction is other.direction and one.since <= other.noticed and other.since <= one.noticed


def _quiet(days: Sequence[DayShare]) -> Sequence[DayShare]:
    until = days[-1].day - _JUDGED if days else date.min
    return [day for day in days if day.day < until]
