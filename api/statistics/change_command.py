"""`hailong simulate change`: how soon a change is noticed, and how often there was none."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated, Final, TypeAlias

import numpy as np
import typer
from scipy.stats import binom, chi2  # type: ignore[import-untyped] # scipy carries no types
from tqdm import tqdm

from api.statistics.change_points import (
    DAYS_A_YEAR,
    NOTICE_CUSUM,
    NOTICE_EWMA,
    Change,
    DayShare,
    Limits,
    chart,
    region_limits,
)
from api.statistics.errors import SimulationRefused
from api.statistics.provenance import made_with
from api.statistics.wilson import NORMAL, wilson

_FIRST: Final = date(2026, 1, 1)
_QUIET_DAYS: Final = 60
_WATCHED_DAYS: Final = 60
_BAR_DAYS: Final = 5.5
"""Median days that the bar allows for 85 to 75 percent at 30 ballots a day: about five."""
_SIGNIFICANT: Final = 1.96
_MISSING: Final = 0.1
_MEDIAN: Final = 0.5
_NINE_IN_TEN: Final = 0.9
_TAIL: Final = 0.025
_MANY_ALARMS: Final = 100
"""From so many alarms on, their number is near enough to normal; below, Poisson's exact interval is taken."""
_PACKAGES: Final = ("hailong", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Scene:
    """A level before and after, and the ballots of a day (Poisson around it)."""

    before: float
    after: float
    ballots: int


SCENES: Final = (
    Scene(0.85, 0.75, 30),
    Scene(0.85, 0.75, 15),
    Scene(0.85, 0.75, 60),
    Scene(0.85, 0.80, 30),
    Scene(0.85, 0.80, 100),
    Scene(0.95, 0.85, 30),
    Scene(0.75, 0.85, 30),
    Scene(0.60, 0.50, 30),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of a simulation with the interval (95 %) that the number of runs leaves."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What one rule made of one scene.

    Attributes:
        before: Level until the change.
        after: Level from then on.
        ballots: Mean ballots a day.
        rule: Name of the rule.
        limit: In standard deviations; None for arrows.
        false_alarms_a_year: Of a counter that stays at `before`.
        noticed: Share of runs in which the change was told of in the right direction within 60 days.
        delay_median_days: Days with a figure from the change to the alarm, the first counted as 1.
        delay_p90_days: The same for nine in ten runs; infinite when fewer were noticed.
        dated_off_days: Median of how far the date of the change was off.
    """

    before: float
    after: float
    ballots: int
    rule: str
    limit: float | None
    false_alarms_a_year: Measured
    noticed: Measured
    delay_median_days: Measured
    delay_p90_days: Measured
    dated_off_days: float


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """Every row, and what the bar says of the first scene."""

    rows: tuple[ChangeRow, ...]
    runs: int
    seed: int
    counters: int

    @property
    def passed(self) -> bool:
        """Whether 85 to 75 percent at 30 ballots is found in about five days by EWMA and CUSUM."""
        return all(
            row.delay_median_days.value <= _BAR_DAYS
            for row in self.rows
            if (row.before, row.after, row.ballots) == (0.85, 0.75, 30) and row.rule in {"cusum", "ewma"}
        )


Told: TypeAlias = tuple[int, int, bool]
"""Day of the alarm, first day of the new level as dated, and whether it fell; days by number."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How somebody decides that a level changed.

    Attributes:
        limit: In standard deviations; None for arrows.
        told: Days -> changes told of.
    """

    limit: float | None
    told: Callable[[Sequence[DayShare]], Iterator[Told]]


def run_changes(
    runs: int, seed: int, *, counters: int = 300, scenes: Sequence[Scene] = SCENES, progress: bool = False
) -> ChangeReport:
    """Simulate each scene with each rule.

    Args:
        runs: Counters a scene; each has a year without a change, and 120 days with one.
        seed: Of the random numbers.
        counters: Size of the region whose list has one false alarm a month.
        scenes: What changes.
        progress: Whether a bar is drawn on the standard error.

    Raises:
        SimulationRefused: There is nothing to run.
    """
    if runs < 1 or not scenes:
        raise SimulationRefused("simulate at least one run of one scene")
    region = region_limits(counters)
    rules = {
        "cusum": Rule(NOTICE_CUSUM.limit, functools.partial(_charted, limits=NOTICE_CUSUM)),
        "ewma": Rule(NOTICE_EWMA.limit, functools.partial(_charted, limits=NOTICE_EWMA)),
        f"cusum, {counters} counters": Rule(region.limit, functools.partial(_charted, limits=region)),
        "arrows": Rule(None, functools.partial(_arrows, least=0.0)),
        "significant arrows": Rule(None, functools.partial(_arrows, least=_SIGNIFICANT)),
    }
    rng = np.random.default_rng(seed)
    rows: list[ChangeRow] = []
    for scene in tqdm(scenes, desc="scenes", disable=not progress):
        quiet = [_days(rng, [scene.before] * DAYS_A_YEAR, scene.ballots) for _ in range(runs)]
        levels = [scene.before] * _QUIET_DAYS + [scene.after] * _WATCHED_DAYS
        changed = [_days(rng, levels, scene.ballots) for _ in range(runs)]
        rows += [_row(scene, name, rule, quiet, changed) for name, rule in rules.items()]
    return ChangeReport(tuple(rows), runs, seed, counters)


def table_of(report: ChangeReport) -> str:
    """Return the rows as Markdown, each figure with its interval."""
    lines = [
        f"{report.runs:,} counters a scene; made with {made_with(report.seed, *_PACKAGES)}.",
        "",
        (
            "| from → to | ballots a day | rule | limit | false alarms a counter-year | "
            "noticed in 60 days, % | median delay, days | 9 in 10 within | date off by (median) |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        off = _days_text(row.dated_off_days)
        limit = "" if row.limit is None else f"{row.limit:.1f}"
        lines.append(
            f"| {row.before:.0%} → {row.after:.0%} | {row.ballots} | {row.rule} | {limit} | "
            f"{_told_of(row.false_alarms_a_year, '.2f')} | {_told_of(row.noticed, '.1f', 100)} | "
            f"{_shown(row.delay_median_days)} | {_shown(row.delay_p90_days)} | {off} |"
        )
    return "\n".join(lines)


def change(
    runs: Annotated[int, typer.Option(min=1, help="Counters simulated for each scene.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
    counters: Annotated[int, typer.Option(min=1, help="Counters of the region whose list is judged.")] = 300,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how soon the charts notice a change, and how often for nothing."""
    report = run_changes(runs, seed, counters=counters, progress=True)
    if as_json:
        document = {**asdict(report), "passed": report.passed}
        typer.echo(json.dumps(_plain(document), allow_nan=False))
    else:
        typer.echo(table_of(report))
    if not report.passed:
        typer.echo("85 to 75 percent at 30 ballots a day takes longer than about five days", err=True)
        raise typer.Exit(1)


def _days(rng: np.random.Generator, levels: Sequence[float], ballots: int) -> list[DayShare]:
    """Return daily figures; one day in ten is missing, and none below ten ballots is published."""
    days = []
    for offset, level in enumerate(levels):
        n = int(rng.poisson(ballots))
        if n >= min(10, ballots) and rng.random() >= _MISSING:
            days.append(DayShare(_FIRST + timedelta(offset), float(rng.binomial(n, level)) / n, float(n)))
    return days


def _charted(days: Sequence[DayShare], limits: Limits) -> Iterator[Told]:
    place = {day.day: index for index, day in enumerate(days)}
    for found in chart(days, limits).changes:
        yield _told(found, place)


def _told(found: Change, place: dict[date, int]) -> Told:
    return place[found.noticed], place[found.since], found.direction == "fell"


def _arrows(days: Sequence[DayShare], least: float) -> Iterator[Told]:
    """Yield an arrow for each day whose share differs from the day before by that many deviations."""
    share = np.array([day.share for day in days])
    variance = share * (1 - share) / np.array([day.n_eff for day in days])
    step = np.diff(share)
    deviation = np.sqrt(np.maximum(1e-9, variance[1:] + variance[:-1]))
    for index in np.flatnonzero(np.abs(step) / deviation > least).tolist():
        yield index + 1, index + 1, bool(step[index] < 0)


def _row(
    scene: Scene,
    name: str,
    rule: Rule,
    quiet: Sequence[Sequence[DayShare]],
    changed: Sequence[Sequence[DayShare]],
) -> ChangeRow:
    false = [len(list(rule.told(days))) for days in quiet]
    fell = scene.after < scene.before
    delays, off = [], []
    for days in changed:
        start = next(place for place, day in enumerate(days) if day.day >= _FIRST + timedelta(_QUIET_DAYS))
        right = (found for found in rule.told(days) if found[0] >= start and found[2] == fell)
        first = next(right, None)
        delays.append(math.inf if first is None else float(first[0] - start + 1))
        if first is not None:
            off.append(float(abs(first[1] - start)))
    noticed = len(off) / len(changed)
    return ChangeRow(
        *(scene.before, scene.after, scene.ballots, name, rule.limit),
        false_alarms_a_year=_rate(false),
        noticed=Measured(noticed, *map(float, wilson(noticed, len(changed)))),
        delay_median_days=_quantile(delays, _MEDIAN),
        delay_p90_days=_quantile(delays, _NINE_IN_TEN),
        dated_off_days=float(np.median(off)) if off else math.inf,
    )


def _rate(counts: Sequence[int]) -> Measured:
    """Return the mean of counts: its interval is Poisson's for few, and their own spread's for many."""
    runs, total = len(counts), sum(counts)
    mean = total / runs
    if total < _MANY_ALARMS:
        low = float(chi2.ppf(_TAIL, 2 * total)) / 2 / runs if total else 0.0
        return Measured(mean, low, float(chi2.ppf(1 - _TAIL, 2 * total + 2)) / 2 / runs)
    half = NORMAL * float(np.std(counts, ddof=1)) / math.sqrt(runs) if runs > 1 else math.inf
    return Measured(mean, max(0.0, mean - half), mean + half)


def _quantile(values: Sequence[float], part: float) -> Measured:
    """Return a quantile with the interval of its order statistics; infinite values may be among them."""
    ordered, runs = sorted(values), len(values)
    low = max(0, int(binom.ppf(_TAIL, runs, part)) - 1)
    high = min(runs - 1, int(binom.ppf(1 - _TAIL, runs, part)))
    return Measured(ordered[math.floor((runs - 1) * part)], ordered[low], ordered[high])


def _told_of(found: Measured, form: str, unit: float = 1) -> str:
    value, low, high = (f"{part * unit:{form}}" for part in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _shown(found: Measured) -> str:
    ends = _days_text(found.low), _days_text(found.high)
    value = _days_text(found.value)
    return value if ends[0] == ends[1] else f"{value} ({ends[0]} to {ends[1]})"


def _days_text(days: float) -> str:
    return "never" if math.isinf(days) else f"{days:.0f}"


def _plain(value: object) -> object:
    """Return JSON values: what was never noticed has no delay."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isinf(value) else value
