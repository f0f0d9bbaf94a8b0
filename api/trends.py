"""What a supervisor may see of a counter: days, a month, its factors and its data quality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from api.accounts import Account
from api.database import Database
from api.disclosure import Disclosure
from api.interval import Mean, mean_of, student_quantile
from api.releases import Sums, shown_days
from api.schema import DAY_ZONE, FACTORS, PPM, next_month
from api.statistics.change_points import DayShare
from inference.signal import Factor

_ZONE: Final = ZoneInfo(DAY_ZONE)


@dataclass(frozen=True, slots=True)
class CounterState:
    """One counter and when something last came from it."""

    code: str
    unit: str
    area: str
    last_received: datetime | None


@dataclass(frozen=True, slots=True)
class Quality:
    """How much evidence stands behind figures: sums over sessions."""

    sessions: int = 0
    abstained: int = 0
    face_s: float = 0.0
    speech_s: float = 0.0
    gap_s: float = 0.0
    gaps: int = 0
    dropped_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Day:
    """One day as it may be shown; hidden days carry no figure at all.

    Attributes:
        day: The calendar day in Viet Nam.
        hidden: `few` or `running` when the day may not be shown, else empty.
        quality: Sums of the day; None when hidden.
        mean: Daily mean of the uncalibrated signal; None when hidden or too few scores.
    """

    day: date
    hidden: str
    quality: Quality | None = None
    mean: Mean | None = None


@dataclass(frozen=True, slots=True)
class FactorMean:
    """The mean of one factor over a month; None when too few sessions spoke of it."""

    factor: Factor
    mean: Mean | None


@dataclass(frozen=True, slots=True)
class Month:
    """A counter's month, or several together: every sum is made of shown days only."""

    first: date
    days: tuple[Day, ...]
    mean: Mean | None
    change: Mean | None
    factors: tuple[FactorMean, ...]
    quality: Quality

    @property
    def shown(self) -> tuple[Day, ...]:
        """Days that may be shown."""
        return tuple(day for day in self.days if not day.hidden)


def local_today(now: datetime | None = None) -> date:
    """Return the calendar day in Viet Nam."""
    return (now or datetime.now(UTC)).astimezone(_ZONE).date()


def local_time(moment: datetime) -> datetime:
    """Return a moment as Vietnamese wall-clock time."""
    return moment.astimezone(_ZONE)


def visible_counters(database: Database, account: Account) -> tuple[CounterState, ...]:
    """Return the counters an account may see, by code: a register, not a league table."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT c.code, c.unit, c.area, (SELECT max(last_received) FROM rollup_counter_day r "
            "WHERE r.counter = c.code) FROM counters c WHERE %s OR c.code = ANY(%s) OR (c.area <> '' "
            "AND c.area = ANY(%s)) ORDER BY c.code",
            (account.sees_every_counter, list(account.counters), list(account.areas)),
        ).fetchall()
    return tuple(CounterState(*row) for row in rows)


def counter_state(database: Database, code: str) -> CounterState | None:
    """Return one counter, whoever may see it; None without it."""
    if "\x00" in code:  # PostgreSQL keeps no NUL
        return None
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT c.code, c.unit, c.area, (SELECT max(last_received) FROM rollup_counter_day r "
            "WHERE r.counter = c.code) FROM counters c WHERE c.code = %s",
            (code,),
        ).fetchone()
    return None if row is None else CounterState(*row)


def months_with_data(database: Database, counters: Sequence[str]) -> tuple[date, ...]:
    """Return the first days of the months in which the counters have sessions, oldest first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT DISTINCT date_trunc('month', day)::date FROM rollup_counter_day "
            "WHERE counter = ANY(%s) ORDER BY 1",
            (list(counters),),
        ).fetchall()
    return tuple(row[0] for row in rows)


def counter_months(
    database: Database, counters: Sequence[str], first: date, disclosure: Disclosure
) -> dict[str, Month]:
    """Return the month of each counter, as it may be shown; what is shown first is released and logged."""
    kept = shown_days(database, counters, first, disclosure)
    return {code: build_month(first, days, disclosure) for code, days in kept.items()}


def counter_period(database: Database, counter: str, months: Sequence[date], disclosure: Disclosure) -> Month:
    """Return several months of a counter together; what is shown first is released and logged.

    Args:
        database: Where rollups and releases are.
        counter: Its code.
        months: First days of months, oldest first; those to come are passed over.
        disclosure: What may be shown.
    """
    rows: dict[date, Sums] = {}
    for month in months:
        if month <= disclosure.today:
            rows |= shown_days(database, [counter], month, disclosure)[counter]
    days = sorted(day for day in rows if day <= disclosure.today)
    return _build(months[0], [(day, rows[day]) for day in days], disclosure)


def day_shares(days: Sequence[Day]) -> tuple[DayShare, ...]:
    """Return days with a mean as a control chart takes them: the signal, and how sure it is in ballots.

    The effective number is that of a plain sample of answers with the same variance, so the chart needs
    no other scale for scores. A day at an end of the scale has no such number and is left out.
    """
    found = []
    for day in days:
        if day.mean is None or day.mean.n <= 1:
            continue
        error = _half(day.mean) / student_quantile(day.mean.n - 1)
        spread = day.mean.value * (1 - day.mean.value)
        if error > 0 and spread > 0:
            found.append(DayShare(day.day, day.mean.value, spread / error**2))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class WeekdayMean:
    """The signal on one day of the week, 0 for Monday.

    Attributes:
        days: How many shown days it stands on.
    """

    weekday: int
    days: int
    mean: Mean


def by_weekday(days: Sequence[Day]) -> tuple[WeekdayMean, ...]:
    """Return the mean signal of each day of the week, made of shown days only.

    Means of days are weighted by their scores; their errors are taken as independent.
    """
    grouped: dict[int, list[Mean]] = {}
    for day in days:
        if day.mean is not None:
            grouped.setdefault(day.day.weekday(), []).append(day.mean)
    return tuple(
        WeekdayMean(weekday, len(means), _pooled(means)) for weekday, means in sorted(grouped.items())
    )


def _pooled(means: Sequence[Mean]) -> Mean:
    n = sum(mean.n for mean in means)
    value = sum(mean.n * mean.value for mean in means) / n
    half = math.sqrt(sum((mean.n * _half(mean)) ** 2 for mean in means)) / n
    return Mean(value, max(0.0, value - half), min(1.0, value + half), n)


def _half(mean: Mean) -> float:
    """Return half the width of an interval; the wider side, since one end may be cut at the scale's."""
    return max(mean.high - mean.value, mean.value - mean.low)


def build_month(first: date, rows: Mapping[date, Sums], disclosure: Disclosure) -> Month:
    """Build a month from the rollup rows of its days."""
    last = min(next_month(first) - timedelta(days=1), disclosure.today)
    days = sorted(day for day in rows if first <= day <= last)
    return _build(first, [(day, rows[day]) for day in days], disclosure)


def _build(first: date, rows: Sequence[tuple[date, Sums]], disclosure: Disclosure) -> Month:
    days: list[Day] = []
    shown: list[Sums] = []
    scored: list[Sums] = []
    for day, row in rows:
        if not disclosure.day_is_over(day):
            days.append(Day(day, "running"))
        elif not disclosure.enough(int(row["sessions"])):
            days.append(Day(day, "few"))
        else:
            enough = disclosure.enough(int(row["scored"]))
            days.append(Day(day, "", _quality([row]), _mean([row], "scored", "score") if enough else None))
            shown.append(row)
            if enough:
                scored.append(row)
    changes = [row for row in shown if disclosure.enough(int(row["changes"]))]
    factors = []
    for name in FACTORS:
        told = [row for row in shown if disclosure.enough(int(row[f"{name}_n"]))]
        n = sum(int(row[f"{name}_n"]) for row in told)
        total = sum(int(row[f"{name}_sum"]) for row in told) / PPM
        # The rollup keeps no squares of factors: a share's largest variance bounds the interval.
        mean = mean_of(n, total, total) if n else None
        factors.append(FactorMean(Factor(name), mean))
    return Month(
        first,
        tuple(days),
        _mean(scored, "scored", "score"),
        _mean(changes, "changes", "change", lowest=-1.0),
        tuple(factors),
        _quality(shown),
    )


def _mean(rows: list[Sums], count: str, name: str, *, lowest: float = 0.0) -> Mean | None:
    n = sum(int(row[count]) for row in rows)
    return mean_of(
        n,
        sum(int(row[f"{name}_sum"]) for row in rows) / PPM,
        float(sum(row[f"{name}_square_sum"] for row in rows)) / PPM**2,
        float(sum(row["variance_sum"] for row in rows)) / PPM**2 if name == "score" else 0.0,
        lowest=lowest,
    )


def _quality(rows: list[Sums]) -> Quality:
    def total(name: str) -> int:
        return sum(int(row[name]) for row in rows)

    return Quality(
        sessions=total("sessions"),
        abstained=total("sessions") - total("scored"),
        face_s=total("face_ms") / 1000,
        speech_s=total("speech_ms") / 1000,
        gap_s=total("gap_ms") / 1000,
        gaps=total("gaps"),
        dropped_s=total("dropped_ms") / 1000,
    )
