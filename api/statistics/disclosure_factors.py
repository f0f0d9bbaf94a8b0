"""Tables of a month's factors side by side: hidden together, and attacked together.

Every ballot answers for each factor, and is satisfied overall where it is with all of them. So the tables
have the same numbers of ballots, and whoever reads one reads something of the others: a cell hidden in one
alone would stand open in the next. `together` hides a cell in all where one hides it. The control,
`beside_naive`, protects the whole and prints of the factors what has enough ballots.

The attacker solves one integer program over all tables: ballots of each group, satisfied ones of each
statistic, everything printed, no one satisfied overall who is not with each factor, and nobody dissatisfied
overall who is satisfied with every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import (  # type: ignore[import-untyped] # scipy carries no types
    Bounds,
    LinearConstraint,
    milp,
)
from scipy.sparse import csr_array  # type: ignore[import-untyped] # as above

from api.statistics.disclosure_attack import (
    PrintedCell,
    PrintImpossible,
    Range,
    naive,
    possible_satisfied,
    printed,
)
from api.statistics.suppression import Rule, Suppressed, Verdict, suppress
from api.statistics.suppression_lattice import Counts, Table, month_table

_MONTH: Final = date(2026, 3, 1)
_FACTORS: Final = 4
_MOST_COUNTERS: Final = 5
_SEARCH_S: Final = 30.0
_CORNERS: Final = 12
_VISIBLE: Final = frozenset({Verdict.SHOWN, Verdict.BOUND})


@dataclass(frozen=True, slots=True)
class Joint:
    """A cell after the attack on all tables: its ballots, and for each statistic those satisfied and not."""

    name: tuple[str, str]
    n: Range
    satisfied: tuple[Range, ...]
    unsatisfied: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class FactorRow:
    """What the attack on all tables of a month found.

    Attributes:
        printed: How small cells were hidden.
        statistics: Tables: the whole and the factors.
        figures: Cells of all tables.
        hidden: Those not printed.
        small_cells: Cells of 1 to 9 ballots, of one table: they are the same in each.
        determined: Those whose ballots, or whose satisfied ones in any table, are known exactly.
        narrow: Those bounded closer than the protection interval.
    """

    printed: str
    statistics: int
    figures: int
    hidden: int
    small_cells: int
    determined: int
    narrow: int


def simulated_factors(
    rng: np.random.Generator, *, units: int, days: int, factors: int = _FACTORS
) -> tuple[Table, ...]:
    """Return a month of a region as one table a statistic: the whole first, then each factor.

    Args:
        rng: Source of chance.
        units: Units of the region, in two areas, each of one to five counters of unequal traffic.
        days: Days with ballots.
        factors: Questions of a ballot.
    """
    parents: dict[str, str | None] = {"all": None, "area-0": "all", "area-1": "all"}
    counts: list[dict[tuple[str, date], Counts]] = [{} for _ in range(1 + factors)]
    for unit in range(units):
        parents[f"unit-{unit}"] = f"area-{unit % 2}"
        for counter in range(int(rng.integers(1, _MOST_COUNTERS + 1))):
            code = f"counter-{unit}-{counter}"
            parents[code] = f"unit-{unit}"
            traffic, pleased = rng.lognormal(2.5, 0.6), rng.beta(18, 3)
            for day in range(days):
                n = int(rng.poisson(traffic * rng.gamma(10, 0.1)))
                answers = (rng.random((n, 1)) < pleased) | (rng.random((n, factors)) < pleased / 2)
                told = [int(answers.all(axis=1).sum()), *answers.sum(axis=0).tolist()]
                for statistic, satisfied in zip(counts, told, strict=True):
                    statistic[code, _MONTH + timedelta(day)] = Counts(n, satisfied)
    return tuple(month_table(parents, statistic) for statistic in counts)


def together(tables: Sequence[Table], rule: Rule) -> tuple[Suppressed, ...]:
    """Hide a cell in every table where one must hide it."""
    alone = [suppress(table, rule) for table in tables]
    hidden = frozenset[int]().union(*(found.hidden for found in alone))
    return tuple(
        Suppressed(
            found.table,
            rule,
            tuple(
                Verdict.COMPLEMENTARY if number in hidden and verdict in _VISIBLE else verdict
                for number, verdict in enumerate(found.verdicts)
            ),
        )
        for found in alone
    )


def beside_naive(tables: Sequence[Table], rule: Rule) -> tuple[tuple[PrintedCell, ...], ...]:
    """Print the whole after suppression and the factors without: the control that must leak."""
    whole, *factors = tables
    return printed(suppress(whole, rule)), *(naive(table, rule.fewest) for table in factors)


def factor_rows(
    rng: np.random.Generator, *, units: int, days: int, rule: Rule, factors: int = _FACTORS
) -> tuple[FactorRow, ...]:
    """Publish a simulated month of factors in both ways and attack it.

    Args:
        rng: Source of chance.
        units: Units of the region.
        days: Days with ballots.
        rule: How well hidden cells are protected.
        factors: Questions of a ballot.
    """
    tables = simulated_factors(rng, units=units, days=days, factors=factors)
    ours = tuple(printed(found) for found in together(tables, rule))
    return (
        _row("together", tables, ours, rule),
        _row("the whole alone", tables, beside_naive(tables, rule), rule),
    )


def _row(
    name: str, tables: Sequence[Table], prints: Sequence[Sequence[PrintedCell]], rule: Rule
) -> FactorRow:
    whole = tables[0]
    small = [number for number, cell in enumerate(whole.cells) if whole.counts(cell).n < rule.fewest]
    enough = max(rule.more_ballots, rule.fewest - 1), rule.more_satisfied
    found = attack_together(prints, small, enough=enough)
    hidden = sum(cell.n is None for cells in prints for cell in cells)
    return FactorRow(
        printed=name,
        statistics=len(tables),
        figures=len(prints) * len(whole.cells),
        hidden=hidden,
        small_cells=len(small),
        determined=sum(cell.n.width == 0 or any(not part.width for part in cell.satisfied) for cell in found),
        narrow=sum(
            cell.n.width < rule.more_ballots
            or cell.n.most < rule.fewest
            or any(part.width < rule.more_satisfied for part in cell.satisfied)
            for cell in found
        ),
    )


def attack_together(
    prints: Sequence[Sequence[PrintedCell]], targets: Sequence[int], *, enough: tuple[int, int]
) -> tuple[Joint, ...]:
    """Return how closely cells can be found out by whoever reads all tables.

    Args:
        prints: Every cell of every statistic, the whole first; the same cells in the same order.
        targets: Numbers of the cells to find out.
        enough: Widths for ballots and for (un)satisfied ones at which the search for a cell's ends is ended.

    Raises:
        PrintImpossible: No table of people prints these numbers.
    """
    return _Reader(prints, targets).find(enough)


class _Reader:
    """One system over all tables: ballots of the groups, then satisfied ones of each statistic."""

    def __init__(self, prints: Sequence[Sequence[PrintedCell]], targets: Sequence[int]) -> None:
        self.cells = prints[0]
        self.targets = targets
        self.kinds = len(prints)
        self.size = 1 + max(atom for cell in self.cells for atom in cell.members)
        self.most = float(sum(cell.n or 0 for cell in self.cells) + 1000)
        self.entries: list[tuple[int, int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []
        for kind, cells in enumerate(prints):
            for cell in cells:
                if cell.n is not None:
                    found = possible_satisfied(cell.n, cell.share)
                    self._sum(0, cell.members, cell.n, cell.n)
                    self._sum(1 + kind, cell.members, found[0], found[-1])
        for atom in range(self.size):
            self._answers(atom)
        shape = len(self.low), self.size * (1 + self.kinds)
        rows, columns, values = zip(*self.entries, strict=True)
        matrix = csr_array((values, (rows, columns)), shape=shape)
        self.system = LinearConstraint(matrix, np.array(self.low), np.array(self.high))
        inside = np.zeros((len(targets), self.size))
        for place, number in enumerate(targets):
            inside[place, list(self.cells[number].members)] = 1
        self.inside = inside
        self.least_of = np.full((len(targets), 1 + 2 * self.kinds), np.inf)
        self.most_of = np.full((len(targets), 1 + 2 * self.kinds), -np.inf)

    def find(self, enough: tuple[int, int]) -> tuple[Joint, ...]:
        rng = np.random.default_rng(0)
        columns = self.size * (1 + self.kinds)
        self._solve(np.zeros(columns))
        for _ in range(_CORNERS):
            self._solve(rng.choice((-1.0, 0.0, 1.0), columns))
        for place in range(len(self.targets)):
            for measure in range(1 + 2 * self.kinds):
                for sign in (1.0, -1.0):
                    width = self.most_of[place, measure] - self.least_of[place, measure]
                    if width < enough[min(measure, 1)]:
                        self._solve(sign * self._cost(place, measure))
        return tuple(self._joint(place) for place in range(len(self.targets)))

    def _sum(self, kind: int, members: Sequence[int], least: int, most: int) -> None:
        self.entries += [(len(self.low), kind * self.size + atom, 1.0) for atom in members]
        self._bounds(float(least), float(most))

    def _answers(self, atom: int) -> None:
        """Say what holds between the answers of the same people."""
        column = [kind * self.size + atom for kind in range(1 + self.kinds)]
        n, whole, factors = column[0], column[1], column[2:]
        for factor in factors:
            self._row((n, 1.0), (factor, -1.0))
            self._row((factor, 1.0), (whole, -1.0))
        self._row((n, 1.0), (whole, -1.0))
        if factors:
            self._row((n, len(factors) - 1.0), (whole, 1.0), *((factor, -1.0) for factor in factors))

    def _row(self, *entries: tuple[int, float]) -> None:
        """Add a sum that is at least nothing."""
        self.entries += [(len(self.low), column, value) for column, value in entries]
        self._bounds(0.0, np.inf)

    def _bounds(self, least: float, most: float) -> None:
        self.low.append(least)
        self.high.append(most)

    def _cost(self, place: int, measure: int) -> npt.NDArray[np.float64]:
        """Return what makes a target's ballots, satisfied or dissatisfied ones of a statistic dear."""
        cost = np.zeros((1 + self.kinds, self.size))
        kind = (measure + 1) // 2
        if measure == 0 or measure % 2 == 0:
            cost[0] = self.inside[place]
        if measure:
            cost[kind] = self.inside[place] * (1 if measure % 2 else -1)
        return cost.ravel()

    def _solve(self, cost: npt.NDArray[np.float64]) -> None:
        """Search the cheapest people that print this, and keep what they say of every target."""
        floor = np.zeros(cost.size)
        floor[: self.size] = 1.0
        answer = milp(
            cost,
            constraints=self.system,
            bounds=Bounds(floor, np.full(cost.size, self.most)),
            integrality=np.ones(cost.size),
            options={"time_limit": _SEARCH_S},
        )
        if answer.x is None:
            if answer.status == 2:  # noqa: PLR2004 - infeasible, in scipy's words
                raise PrintImpossible("no table of people prints these numbers")
            return
        people = np.rint(answer.x).reshape(1 + self.kinds, self.size)
        sums = self.inside @ people.T
        measures = [sums[:, 0]]
        for kind in range(1, 1 + self.kinds):
            measures += [sums[:, kind], sums[:, 0] - sums[:, kind]]
        values = np.stack(measures, axis=1)
        self.least_of = np.minimum(self.least_of, values)
        self.most_of = np.maximum(self.most_of, values)

    def _joint(self, place: int) -> Joint:
        ranges = [
            Range(int(low), int(high), proven=False)
            for low, high in zip(self.least_of[place], self.most_of[place], strict=True)
        ]
        return Joint(
            self.cells[self.targets[place]].name, ranges[0], tuple(ranges[1::2]), tuple(ranges[2::2])
        )
