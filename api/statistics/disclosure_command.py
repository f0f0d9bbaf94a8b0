"""`hailong simulate disclosure`: months of a region are published, and everything printed is attacked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated, Final

import numpy as np
import typer
from tqdm import tqdm

from api.statistics.disclosure_attack import Attacked, PrintedCell, attack, naive, printed
from api.statistics.disclosure_factors import FactorRow, factor_rows
from api.statistics.errors import SimulationRefused
from api.statistics.open_data_simulation import NoiseRow, noise_rows
from api.statistics.open_data_simulation import table_of as noise_table_of
from api.statistics.provenance import made_with
from api.statistics.suppression import SPECIFIED, Rule, suppress
from api.statistics.suppression_lattice import Counts, Table, month_table

_DAYS_A_MONTH: Final = 22
_MONTH: Final = date(2026, 3, 1)
_UNITS: Final = 4
_MOST_COUNTERS: Final = 5
_DAY_NAME: Final = len("2026-03-01")
_DRAWS: Final = 2000
_PACKAGES: Final = ("hailong", "numpy", "scipy", "opendp")


@dataclass(frozen=True, slots=True)
class AttackRow:
    """What the attack found in what was printed one way.

    Attributes:
        printed: How small cells were hidden.
        days: Simulated days.
        small_cells: Cells of 1 to 9 ballots.
        determined: Those whose ballots, or whose satisfied ballots, are known exactly.
        narrow: Those bounded closer than the protection interval.
        unanimous: Cells, of any size, in which everybody said the same.
        disclosed: Unanimous cells of which the reader is sure.
        days_leaked: Days with a small cell that is known exactly.
        narrowest_n: Smallest width of a small cell's ballots.
    """

    printed: str
    days: int
    small_cells: int
    determined: int
    narrow: int
    unanimous: int
    disclosed: int
    days_leaked: int
    narrowest_n: int


@dataclass(frozen=True, slots=True)
class DisclosureReport:
    """What was lost by hiding, what the attacks found, and what the noise of open data costs."""

    days: int
    seed: int
    offered: int
    few: int
    complementary: int
    rows: tuple[AttackRow, ...]
    noise: tuple[NoiseRow, ...]
    units: int
    factors: tuple[FactorRow, ...]
    factor_days: int

    @property
    def passed(self) -> bool:
        """Whether nothing came out of the suppressed tables while the control leaked, and open data hold."""
        ours, *controls = self.rows
        safe = not (ours.determined or ours.narrow or ours.disclosed)
        leaks = all(control.days_leaked for control in controls)
        for row in self.factors:
            safe = safe and not (row.printed == "together" and (row.determined or row.narrow))
            leaks = leaks and (row.printed == "together" or row.determined > 0)
        return safe and leaks and all(row.passes for row in self.noise)


def simulated_month(rng: np.random.Generator, *, units: int = _UNITS, days: int = _DAYS_A_MONTH) -> Table:
    """Return a month of a region: some units in two areas, counters of unequal traffic and satisfaction."""
    parents: dict[str, str | None] = {"all": None, "area-0": "all", "area-1": "all"}
    counts: dict[tuple[str, date], Counts] = {}
    for unit in range(units):
        parents[f"unit-{unit}"] = f"area-{unit % 2}"
        for counter in range(int(rng.integers(1, _MOST_COUNTERS + 1))):
            code = f"counter-{unit}-{counter}"
            parents[code] = f"unit-{unit}"
            traffic, satisfied = rng.lognormal(2.5, 0.6), rng.beta(18, 3)
            for day in range(days):
                n = int(rng.poisson(traffic * rng.gamma(10, 0.1)))
                counts[code, _MONTH + timedelta(day)] = Counts(n, int(rng.binomial(n, satisfied)))
    return month_table(parents, counts)


def run_disclosure(
    days: int,
    seed: int,
    *,
    rule: Rule = SPECIFIED,
    units: int = _UNITS,
    draws: int = _DRAWS,
    factor_days: int = 0,
    progress: bool = False,
) -> DisclosureReport:
    """Publish simulated months and attack them.

    Args:
        days: Simulated days; the last month may be short.
        seed: Of the random numbers.
        rule: How well hidden cells are protected.
        units: Units of the region.
        draws: Of the noise of open data, for each size.
        factor_days: Days of the month whose factors are attacked side by side; 0 for none.
        progress: Whether a bar is drawn on the standard error.

    Raises:
        SimulationRefused: There is no day to simulate.
    """
    if days < 1:
        raise SimulationRefused("simulate at least one day")
    rng = np.random.default_rng(seed)
    ours, crossed, alone = (
        _Tally("suppressed", rule),
        _Tally("naive", rule),
        _Tally("naive, days alone", rule),
    )
    offered = few = complementary = 0
    starts = range(0, days, _DAYS_A_MONTH)
    for start in tqdm(starts, desc="months", disable=not progress):
        table = simulated_month(rng, units=units, days=min(_DAYS_A_MONTH, days - start))
        found = suppress(table, rule)
        lost = found.lost()
        offered, few = offered + lost.offered, few + lost.few
        complementary += lost.complementary
        ours.take(table, printed(found), start)
        control = naive(table, rule.fewest)
        crossed.take(table, control, start)
        for day in sorted({cell.window for cell in table.cells if len(cell.window) == _DAY_NAME}):
            alone.take(table, [cell for cell in control if cell.name[1] == day], start)
    rows = tuple(tally.row(days) for tally in (ours, crossed, alone))
    return DisclosureReport(
        days,
        seed,
        offered,
        few,
        complementary,
        rows,
        noise_rows(draws, rng),
        units,
        factor_rows(rng, units=units, days=factor_days, rule=rule) if factor_days else (),
        factor_days,
    )


def table_of(report: DisclosureReport) -> str:
    """Return the report as Markdown."""
    hidden = report.few + report.complementary
    lines = [
        (
            f"{report.days} days of {report.units} units: {report.offered} figures, "
            f"{hidden / report.offered:.1%} hidden ({report.few} of few ballots, "
            f"{report.complementary} so that those are not found out). "
            f"Made with {made_with(report.seed, *_PACKAGES)}."
        ),
        "",
        "| printed | small cells | known exactly | bounded closely | unanimous | sure of it | days leaked |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.printed} | {row.small_cells} | {row.determined} | {row.narrow} | {row.unanimous} | "
        f"{row.disclosed} | {row.days_leaked} of {row.days} ({row.days_leaked / row.days:.0%}) |"
        for row in report.rows
    ]
    if report.factors:
        lines += [
            "",
            f"Factors beside the whole, {report.factor_days} days of {report.units} units:",
            "",
            "| hidden | tables | figures | hidden figures | small cells | known exactly | bounded closely |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.printed} | {row.statistics} | {row.figures} | {row.hidden} | {row.small_cells} | "
            f"{row.determined} | {row.narrow} |"
            for row in report.factors
        ]
    lines += ["", *noise_table_of(report.noise)]
    return "\n".join(lines)


def disclosure(
    days: Annotated[int, typer.Option(min=1, help="Simulated days.")] = 110,
    seed: Annotated[int, typer.Option(help="Seed of the region; the noise of open data has none.")] = 1,
    *,
    units: Annotated[int, typer.Option(min=2, help="Units of the region, in two areas.")] = _UNITS,
    factor_days: Annotated[
        int, typer.Option(min=0, help="Days whose factors are attacked beside the whole; 0 for none.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Attack simulated months of published tables."""
    report = run_disclosure(days, seed, units=units, factor_days=factor_days, progress=True)
    if as_json:
        typer.echo(json.dumps({**asdict(report), "passed": report.passed}))
    else:
        typer.echo(table_of(report))
    if not report.passed:
        typer.echo("a hidden cell came out, or the control leaked nothing", err=True)
        raise typer.Exit(1)


class _Tally:
    """What attacks on one way of printing found so far."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.name = name
        self.rule = rule
        self.small: list[Attacked] = []
        self.unanimous: list[Attacked] = []
        self.leaked: set[tuple[int, str]] = set()

    def take(self, table: Table, cells: Sequence[PrintedCell], start: int) -> None:
        """Attack every cell that tells something of few people or of all."""
        counts = [_counts(table, cell) for cell in cells]
        small = [index for index, of in enumerate(counts) if of.n < self.rule.fewest]
        all_alike = [index for index, of in enumerate(counts) if of.satisfied in {0, of.n}]
        if not small and not all_alike:
            return
        targets = sorted({*small, *all_alike})
        enough = max(self.rule.more_ballots, self.rule.fewest - 1), self.rule.more_satisfied
        found = dict(zip(targets, attack(cells, targets, enough=enough), strict=True))
        self.small += [found[index] for index in small]
        self.unanimous += [found[index] for index in all_alike]
        days = [found[index] for index in small if len(found[index].name[1]) == _DAY_NAME]
        self.leaked |= {(start, cell.name[1]) for cell in days if _determined(cell)}

    def row(self, days: int) -> AttackRow:
        """Return the sums."""
        return AttackRow(
            self.name,
            days,
            small_cells=len(self.small),
            determined=sum(map(_determined, self.small)),
            narrow=sum(map(self._is_narrow, self.small)),
            unanimous=len(self.unanimous),
            disclosed=sum(0 in {cell.satisfied.most, cell.unsatisfied.most} for cell in self.unanimous),
            days_leaked=len(self.leaked),
            narrowest_n=min((cell.n.width for cell in self.small), default=0),
        )

    def _is_narrow(self, cell: Attacked) -> bool:
        return (
            cell.n.width < self.rule.more_ballots
            or cell.n.most < self.rule.fewest
            or cell.satisfied.width < self.rule.more_satisfied
        )


def _determined(cell: Attacked) -> bool:
    return 0 in {cell.n.width, cell.satisfied.width}


def _counts(table: Table, cell: PrintedCell) -> Counts:
    return Counts(
        sum(table.atoms[member].n for member in cell.members),
        sum(table.atoms[member].satisfied for member in cell.members),
    )
