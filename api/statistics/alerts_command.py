"""`hailong simulate alerts`: how soon the alarm of a counter's ballots comes, and how often for nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated, Final

import numpy as np
import typer
from tqdm import tqdm

from api.alerts.changes import alarm_limits, ballot_alarms
from api.statistics.change_points import DAYS_A_YEAR, Change, Direction
from api.statistics.day_runs import DayCount, put_together
from api.statistics.errors import SimulationRefused
from api.statistics.provenance import made_with
from api.statistics.wilson import wilson

_FIRST: Final = date(2026, 1, 1)
_QUIET_DAYS: Final = 120
"""Before the change; the chart takes the spread of quiet days from those that are 60 days old."""
_WATCHED_DAYS: Final = 60
_MISSING: Final = 0.1
_FEWEST_BALLOTS: Final = 10
"""As `pages.minimum_n` is set where nobody sets it."""
_PACKAGES: Final = ("hailong", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Drop:
    """A level before and after, and the ballots of a day (Poisson around it)."""

    before: float
    after: float
    ballots: float


DROPS: Final = tuple(
    Drop(0.85, after, ballots) for after in (0.75, 0.70, 0.60) for ballots in (60.0, 30.0, 15.0, 5.0)
)


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """What the alarm makes of one drop.

    Attributes:
        before: Level until the change; `after` from then on.
        ballots: Mean ballots a day.
        false_alarms_a_year: Of one counter's chart of ballots while nothing changes.
        noticed: Share of runs in which the fall was told of within 60 days; `low` to `high` at 95 %.
        delay_median_days: Days with a ballot from the change to the alarm, the first counted as 1; infinite
            when fewer were noticed. `delay_p90_days` is that of nine in ten runs.
        fewest_ballots: The smallest number of ballots from the first day of the new level to any alarm.
    """

    before: float
    after: float
    ballots: float
    false_alarms_a_year: float
    noticed: float
    low: float
    high: float
    delay_median_days: float
    delay_p90_days: float
    fewest_ballots: int | None


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """Every row, and what they were made with."""

    rows: tuple[AlarmRow, ...]
    runs: int
    seed: int
    counters: int
    limit: float

    @property
    def passed(self) -> bool:
        """Whether every alarm stood on enough ballots, and false ones stay within the charts' budget."""
        enough = all(row.fewest_ballots is None or row.fewest_ballots >= _FEWEST_BALLOTS for row in self.rows)
        most = 12 / self.counters  # the whole budget of a counter, where ballots have half of it
        return enough and all(row.false_alarms_a_year <= most + 3 / self.runs for row in self.rows)


def run_alarms(
    runs: int, seed: int, *, counters: int = 300, drops: Sequence[Drop] = DROPS, progress: bool = False
) -> AlarmReport:
    """Simulate each drop.

    Args:
        runs: Counters a drop; each has a year without a change, and 180 days with one.
        seed: Of the random numbers.
        counters: Those whose charts share one false alarm a month.
        drops: What changes.
        progress: Whether a bar is drawn on the standard error.

    Raises:
        SimulationRefused: There is nothing to run.
    """
    if runs < 1 or not drops:
        raise SimulationRefused("simulate at least one run of one drop")
    rows = []
    for number, drop in enumerate(tqdm(drops, desc="drops", disable=not progress)):
        rng = np.random.default_rng([seed, number])
        rows.append(_row(rng, drop, runs, counters))
    limit = alarm_limits(counters, false_alarms_a_month=1.0).limit
    return AlarmReport(tuple(rows), runs, seed, counters, limit)


def table_of(report: AlarmReport) -> str:
    """Return the rows as Markdown."""
    lines = [
        (
            f"{report.runs:,} counters a row, limit {report.limit:.1f} for {report.counters} counters with "
            f"two charts each; made with {made_with(report.seed, *_PACKAGES)}."
        ),
        "",
        (
            "| from → to | ballots a day | false alarms a counter-year | noticed in 60 days, % | "
            "median delay, days | 9 in 10 within | fewest ballots behind an alarm |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.before:.0%} → {row.after:.0%} | {row.ballots:g} | {row.false_alarms_a_year:.3f} | "
        f"{100 * row.noticed:.1f} ({100 * row.low:.1f}–{100 * row.high:.1f}) | "  # noqa: RUF001 - the dash of a range
        f"{_shown(row.delay_median_days)} | {_shown(row.delay_p90_days)} | {row.fewest_ballots or ''} |"
        for row in report.rows
    ]
    return "\n".join(lines)


def alerts(
    runs: Annotated[int, typer.Option(min=1, help="Counters simulated for each drop.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    counters: Annotated[int, typer.Option(min=1, help="Counters whose charts share the budget.")] = 300,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how soon the alarm of a counter's own ballots comes, and how often for nothing."""
    report = run_alarms(runs, seed, counters=counters, progress=True)
    if as_json:
        typer.echo(json.dumps(_plain({**asdict(report), "passed": report.passed}), allow_nan=False))
    else:
        typer.echo(table_of(report))
    if not report.passed:
        typer.echo("an alarm stands on too few ballots, or there are too many false ones", err=True)
        raise typer.Exit(1)


def _row(rng: np.random.Generator, drop: Drop, runs: int, counters: int) -> AlarmRow:
    begins = _FIRST + timedelta(_QUIET_DAYS)
    delays: list[float] = []
    fewest: list[int] = []
    false = 0
    for _ in range(runs):
        quiet = _days(rng, [drop.before] * DAYS_A_YEAR, drop.ballots)
        false += len(_alarms(quiet, counters))
        days = _days(rng, [drop.before] * _QUIET_DAYS + [drop.after] * _WATCHED_DAYS, drop.ballots)
        told = _alarms(days, counters)
        fewest += [sum(day.n for day in days if one.since <= day.day <= one.noticed) for one in told]
        right = [one for one in told if one.noticed >= begins and one.direction is Direction.FELL]
        delays.append(
            float(sum(begins <= day.day <= right[0].noticed for day in days)) if right else math.inf
        )
    noticed = sum(math.isfinite(delay) for delay in delays) / runs
    low, high = wilson(noticed, runs)
    median, most = (float(np.percentile(delays, part, method="lower")) for part in (50, 90))
    return AlarmRow(
        *(drop.before, drop.after, drop.ballots, false / runs, noticed, float(low), float(high)),
        delay_median_days=median,
        delay_p90_days=most,
        fewest_ballots=min(fewest, default=None),
    )


def _alarms(days: Sequence[DayCount], counters: int) -> tuple[Change, ...]:
    return ballot_alarms(put_together(days, _FEWEST_BALLOTS), counters, false_alarms_a_month=1.0)


def _days(rng: np.random.Generator, levels: Sequence[float], ballots: float) -> list[DayCount]:
    """Return the days with a ballot; one day in ten is missing."""
    found = []
    for offset, level in enumerate(levels):
        n = int(rng.poisson(ballots)) if rng.random() >= _MISSING else 0
        if n:
            found.append(DayCount(_FIRST + timedelta(offset), n, int(rng.binomial(n, level))))
    return found


def _shown(days: float) -> str:
    return "never" if math.isinf(days) else f"{days:.0f}"


def _plain(value: object) -> object:
    """Return JSON values: what was never noticed has no delay."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isinf(value) else value
