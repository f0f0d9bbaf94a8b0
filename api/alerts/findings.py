"""What is worth an alert today: looked for in released days, printed months and times of arrival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from scipy.special import ndtri  # type: ignore[import-untyped] # scipy carries no types

from api.alerts.alert import AlertKind, Finding
from api.alerts.changes import charted_counter
from api.database import Database
from api.disclosure import Disclosure, points
from api.index.calibrations import kept_calibrations
from api.index.period import Period, Span
from api.index.reading import Reading, read_places
from api.index.releases import released_months
from api.interval import Mean
from api.schema import next_month
from api.statistics.reliability import Gate
from api.trends import Day, counter_months

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
        minimum_n: Fewest sessions behind a shown figure.
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
    """Return the changes that the charts of released days noticed within the last month."""
    settled = Disclosure(disclosure.minimum_n, disclosure.today - _SETTLING)
    days: dict[str, list[Day]] = {code: [] for code in counters}
    # A fixed first day: a window that moves would begin other segments every day.
    month = date(disclosure.today.year - 1, 1, 1)
    while month <= settled.today:
        for start in range(0, len(counters), _AT_ONCE):
            some = counters[start : start + _AT_ONCE]
            for code, told in counter_months(database, some, month, settled).items():
                days[code] += told.shown
        month = next_month(month)
    charted = {code: found for code, found in days.items() if any(day.mean is not None for day in found)}
    made = []
    for code, found in charted.items():
        chart = charted_counter(found, len(charted), false_alarms_a_month=false_alarms_a_month)
        for change in chart.changes:
            if disclosure.today - change.noticed <= NEWS:
                values = {
                    "direction": change.direction.value,
                    "since": change.since.isoformat(),
                    "noticed": change.noticed.isoformat(),
                    "before": points(change.before, 1),
                    "after": points(change.after, 1),
                }
                mark = f"{change.direction.value} {change.noticed.isoformat()}"
                made.append(Finding(AlertKind.CHANGE, code, mark, values))
    return made


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
