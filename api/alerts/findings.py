"""What is worth an alert today: looked for in released days, ballots, printed months and times of arrival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from scipy.special import ndtri  # type: ignore[import-untyped] # scipy carries no types

from api.alerts.alert import AlertKind, Basis, Finding, Values
from api.alerts.ballot_days import ballot_days
from api.alerts.changes import ballot_alarms, first_charted, judge, same_change
from api.database import Database
from api.disclosure import Disclosure, points
from api.index.calibrations import kept_calibrations
from api.index.period import Period, Span
from api.index.reading import Reading, read_places
from api.index.releases import released_months
from api.interval import Mean
from api.schema import next_month
from api.statistics.change_points import Change
from api.statistics.day_runs import put_together
from api.statistics.reliability import Gate
from api.trends import Day, counter_months, day_shares

NEWS: Final = timedelta(days=31)
"""A change that was noticed longer ago is history: nobody is told of it when alerts are turned on."""
SILENT_WEEKDAYS: Final = 3
"""Working days, Monday to Friday, without any session."""
_STOPPED: Final = timedelta(days=60)
"""A counter without a session for longer was given up; it was told of before."""
_REGULAR: Final = 5
"""Days with sessions in the last sixty that make a counter one that should not be silent."""
_MANY: Final = 5
LEAST_FALL: Final = 0.05
"""Smaller falls of the consent rate are nobody's concern, however sure."""
_MONTHS_BEFORE: Final = 3
_SETTLING: Final = timedelta(days=1)
"""Days are judged a day after they are over, so that most edges have sent theirs."""
_AT_ONCE: Final = 200
_DAYS: Final = ("since", "noticed")


def all_counters(database: Database) -> tuple[str, ...]:
    """Return the codes of every counter."""
    with database.transaction() as connection:
        rows = connection.execute("SELECT code FROM counters ORDER BY code").fetchall()
    return tuple(row[0] for row in rows)


def findings(
    database: Database, today: date, minimum_n: int, *, false_alarms_a_month: float
) -> tuple[Finding, ...]:
    """Return everything that is worth an alert today, told before or not.

    Args:
        database: Where everything is; days that are due are released.
        today: The running day in Viet Nam.
        minimum_n: Fewest sessions behind a shown figure, and fewest ballots behind an alarm.
        false_alarms_a_month: Those tolerated over all counters together, for changes and for consent each.
    """
    counters = all_counters(database)
    disclosure = Disclosure(minimum_n, today)
    return (
        *changed(database, counters, disclosure, false_alarms_a_month=false_alarms_a_month),
        *silent(database, today),
        *consent_fell(database, counters, disclosure, false_alarms_a_month=false_alarms_a_month),
        *closed_gates(database),
    )


def changed(
    database: Database, counters: Sequence[str], disclosure: Disclosure, *, false_alarms_a_month: float
) -> list[Finding]:
    """Return the changes that the charts noticed within the last month, one for both charts of a counter.

    The chart of ballots stands on days put together until they hold `minimum_n` ballots: an alarm is one bit
    about at least so many people. Only the figures of released signals are told.
    """
    settled = Disclosure(disclosure.minimum_n, disclosure.today - _SETTLING)
    first = first_charted(disclosure.today)
    days: dict[str, list[Day]] = {code: [] for code in counters}
    month = first
    while month <= settled.today:
        for start in range(0, len(counters), _AT_ONCE):
            some = counters[start : start + _AT_ONCE]
            for code, told in counter_months(database, some, month, settled).items():
                days[code] += told.shown
        month = next_month(month)
    ballots = ballot_days(database, counters, first, settled.today)
    made = []
    for code in counters:
        alarms = judge(
            day_shares(days[code]), len(counters), false_alarms_a_month=false_alarms_a_month
        ).alarms
        runs = put_together(ballots.get(code, ()), disclosure.minimum_n)
        own = ballot_alarms(runs, len(counters), false_alarms_a_month=false_alarms_a_month)
        made += both_charts(
            code,
            [change for change in alarms if disclosure.today - change.noticed <= NEWS],
            [change for change in own if disclosure.today - change.noticed <= NEWS],
        )
    return made


def both_charts(code: str, signals: Sequence[Change], ballots: Sequence[Change]) -> list[Finding]:
    """Return what both charts of a counter tell: a change that both of them noticed is one finding."""
    left = list(ballots)
    made = []
    for change in signals:
        also = next((other for other in left if same_change(change, other)), None)
        values: dict[str, str | int] = {
            "basis": Basis.SIGNALS.value,
            **_days_of(change),
            "before": points(change.before, 1),
            "after": points(change.after, 1),
        }
        if also is not None:
            left.remove(also)
            values["basis"] = Basis.BOTH.value
            values |= {f"ballots_{name}": value for name, value in _days_of(also).items() if name in _DAYS}
        made.append(_change(code, change, values))
    return made + [
        _change(code, change, {"basis": Basis.BALLOTS.value, **_days_of(change)}) for change in left
    ]


def _change(code: str, change: Change, values: Values) -> Finding:
    mark = f"{values['basis']} {change.direction.value} {change.noticed.isoformat()}"
    return Finding(AlertKind.CHANGE, code, mark, values)


def _days_of(change: Change) -> dict[str, str]:
    return {
        "direction": change.direction.value,
        "since": change.since.isoformat(),
        "noticed": change.noticed.isoformat(),
    }


def silent(database: Database, today: date) -> list[Finding]:
    """Return the counters from which nothing came on several working days; one finding where it is most."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT counter, max(day), count(*) FROM rollup_counter_day WHERE day >= %s AND day < %s "
            "AND sessions > 0 GROUP BY counter HAVING count(*) >= %s ORDER BY counter",
            (today - _STOPPED, today, _REGULAR),
        ).fetchall()
    last = {str(row[0]): row[1] for row in rows}
    quiet = {code: day for code, day in last.items() if weekdays_between(day, today) >= SILENT_WEEKDAYS}
    if len(quiet) > max(_MANY, len(last) // 2):  # a holiday, or the centre itself cannot be reached
        since = max(quiet.values()).isoformat()
        return [
            Finding(AlertKind.SILENT, None, since, {"since": since, "counters": len(quiet), "of": len(last)})
        ]
    return [
        Finding(
            AlertKind.SILENT,
            code,
            day.isoformat(),
            {"since": day.isoformat(), "weekdays": weekdays_between(day, today)},
        )
        for code, day in quiet.items()
    ]


def weekdays_between(last: date, today: date) -> int:
    """Count the days from Monday to Friday after `last` and before `today`."""
    return sum(
        (last + timedelta(days=ahead)).weekday() < 5  # noqa: PLR2004 - Saturday
        for ahead in range(1, (today - last).days)
    )


def consent_fell(
    database: Database, counters: Sequence[str], disclosure: Disclosure, *, false_alarms_a_month: float
) -> list[Finding]:
    """Return the counters whose printed consent rate of the newest month is below the months before."""
    with database.transaction() as connection:
        months = released_months(connection)
    if not months or disclosure.today - months[-1] > 3 * NEWS:
        return []
    places = {f"counter:{code}": code for code in counters}
    read = [
        read_places(database, list(places), Period(month, Span.MONTH), disclosure)
        for month in months[-1 - _MONTHS_BEFORE :]
    ]
    rates = {
        code: [rate for reading in read if (rate := _consent_rate(reading[place])) is not None]
        for place, code in places.items()
        if _consent_rate(read[-1][place]) is not None
    }
    compared = {code: found for code, found in rates.items() if len(found) > 1}
    if not compared:
        return []
    # One-sided, so that all counters together give as many false alarms a month as are tolerated.
    limit = -float(ndtri(min(0.5, false_alarms_a_month / len(compared))))
    made = []
    for code, (*before, now) in compared.items():
        visits = sum(rate.n for rate in before)
        share = math.fsum(rate.value * rate.n for rate in before) / visits
        if share - now.value >= LEAST_FALL and fall(share, visits, now.value, now.n) > limit:
            values: Mapping[str, str | int] = {
                "month": months[-1].isoformat(),
                "before": points(share, visits),
                "after": points(now.value, now.n),
                "visits": now.n,
            }
            made.append(Finding(AlertKind.CONSENT_FELL, code, months[-1].isoformat(), values))
    return made


def fall(before: float, n_before: int, after: float, n_after: int) -> float:
    """Return by how many standard deviations a share fell (pooled two-sample statistic)."""
    pooled = (before * n_before + after * n_after) / (n_before + n_after)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n_before + 1 / n_after))
    return (before - after) / deviation if deviation > 0 else 0.0


def closed_gates(database: Database) -> list[Finding]:
    """Return the sets of models whose newest calibration may not be used since it is not right enough."""
    with database.transaction() as connection:
        newest = {item.model: item for item in kept_calibrations(connection)}
    return [
        Finding(
            AlertKind.CALIBRATION,
            None,
            str(item.version),
            {"version": item.version, "networks": ", ".join(item.networks)},
        )
        for item in newest.values()
        if item.calibration.reliability.gate is Gate.CLOSED
    ]


def _consent_rate(reading: Reading) -> Mean | None:
    return None if reading.figure is None else reading.figure.completeness.consent_rate
