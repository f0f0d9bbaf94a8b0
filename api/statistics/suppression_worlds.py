"""Other worlds that would print the same: the proof that a hidden cell cannot be found out.

A reader of a table knows every printed number. A hidden cell is protected when there is another table of
whole people that prints exactly the same and in which the cell differs enough. Such a world is searched by
integer programming (HiGHS in scipy) among the atoms of a block of places; all atoms outside stay as they
are, which makes it a world of the whole table. Where there is none, the same program finds the cheapest
further cells to hide so that there is one (the cell suppression problem: Fischetti and Salazar-González,
Management Science 47, 2001, solved cell by cell).

The reader is taken to know satisfied ballots exactly, not to the printed percent: below 100 ballots a whole
percent and n give the number back anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import (  # type: ignore[import-untyped] # scipy carries no types
    Bounds,
    LinearConstraint,
    milp,
)
from scipy.sparse import csr_array  # type: ignore[import-untyped] # as above

from api.statistics.suppression_lattice import Counts, Table

Numbers: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]
_SEARCH_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Printed:
    """What a reader knows of one cell that is shown.

    Attributes:
        members: Atoms it is the sum of.
        n: Ballots.
        least: Fewest satisfied ballots that would print the same.
        most: Most of them.
        cell: Number of the cell.
        cost: What is lost by hiding it.
        inside: Whether the cell lies in the block wholly, so that it may be hidden for its sake.
    """

    members: tuple[int, ...]
    n: int
    least: int
    most: int
    cell: int
    cost: float
    inside: bool


@dataclass(frozen=True, slots=True)
class Need:
    """What another world must have so that a cell is protected: at least so many of each.

    Attributes:
        cell: Number of the cell.
        members: Atoms it is the sum of.
        n: Ballots.
        satisfied: Satisfied ballots.
        unsatisfied: The others.
    """

    cell: int
    members: tuple[int, ...]
    n: int
    satisfied: int
    unsatisfied: int


class _Rows:
    """Rows of a sparse system, as they are found."""

    def __init__(self) -> None:
        self.data: list[float] = []
        self.columns: list[int] = []
        self.starts = [0]
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: Sequence[tuple[int, float]], low: float, high: float) -> None:
        for column, value in terms:
            self.columns.append(column)
            self.data.append(value)
        self.starts.append(len(self.columns))
        self.low.append(low)
        self.high.append(high)

    def constraint(self, width: int) -> LinearConstraint:
        matrix = csr_array((self.data, self.columns, self.starts), shape=(len(self.low), width))
        return LinearConstraint(matrix, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Block:
    """The atoms that may differ, and what is printed over them.

    Attributes:
        table: The table as it is.
        atoms: Numbers of the atoms that may differ.
        printed: Cells that are shown and touch them.
        reach: By how many ballots a cell may differ in another world.
    """

    table: Table
    atoms: tuple[int, ...]
    printed: tuple[Printed, ...]
    reach: int

    def protected(self, needs: Sequence[Need]) -> frozenset[int]:
        """Return numbers of needs that some world meets; of the others none does in this block."""
        met: set[int] = set()
        open_ = list(range(len(needs)))
        while open_:
            found = self._search([needs[index] for index in open_], hide=False)
            now = [] if found is None else [open_[place] for place in found.met]
            if not now:
                break
            met.update(now)
            open_ = [index for index in open_ if index not in met]
        return frozenset(met)

    def hide_for(self, need: Need) -> tuple[int, ...] | None:
        """Return the cheapest cells to hide so that some world meets the need; None when none do."""
        found = self._search([need], hide=True)
        return None if found is None else found.hidden

    def _search(self, needs: Sequence[Need], *, hide: bool) -> _Found | None:
        column = {atom: place for place, atom in enumerate(self.atoms)}
        size = len(self.atoms)
        hideable = [item for item in self.printed if hide and item.inside]
        switch = {item.cell: 2 * size + place for place, item in enumerate(hideable)}
        wish = 2 * size + len(hideable)
        rows = _Rows()
        for place in range(size):
            rows.add([(place, 1.0), (size + place, -1.0)], 0.0, np.inf)
        for item in self.printed:
            self._keep(rows, item, column, switch.get(item.cell))
        for place, need in enumerate(needs):
            for terms, least in _terms(need, column, size):
                rows.add([*terms, (wish + place, -float(least))], 0.0, np.inf)
        width = wish + len(needs)
        cost = np.zeros(width)
        cost[2 * size : wish] = [item.cost for item in hideable]
        low, high = self._bounds(width)
        if hide:
            low[wish:] = 1.0
        else:
            cost[wish:] = -1.0
        answer = milp(
            cost,
            constraints=rows.constraint(width),
            bounds=Bounds(low, high),
            integrality=np.ones(width),
            options={"time_limit": _SEARCH_S},
        )
        if answer.x is None:
            return None
        values = np.rint(answer.x).astype(np.int64)
        hidden = tuple(item.cell for item in hideable if values[switch[item.cell]])
        met = tuple(place for place in range(len(needs)) if values[wish + place])
        is_world = self._prints_the_same(values, column, frozenset(hidden))
        return _Found(hidden, met) if is_world else None

    def _keep(self, rows: _Rows, item: Printed, column: dict[int, int], switch: int | None) -> None:
        """Keep a printed cell as it is, or let it differ by `reach` when it is hidden."""
        size = len(self.atoms)
        inside = [column[atom] for atom in item.members if atom in column]
        rest = _outside(self.table, item, column)
        for shift, low, high in (
            (0, item.n - rest.n, item.n - rest.n),
            (size, item.least - rest.satisfied, item.most - rest.satisfied),
        ):
            terms = [(shift + place, 1.0) for place in inside]
            if switch is None:
                rows.add(terms, low, high)
            else:
                rows.add([*terms, (switch, float(self.reach))], low, np.inf)
                rows.add([*terms, (switch, -float(self.reach))], -np.inf, high)

    def _bounds(self, width: int) -> tuple[Numbers, Numbers]:
        size = len(self.atoms)
        low, high = np.zeros(width), np.ones(width)
        for place, atom in enumerate(self.atoms):
            counts = self.table.atoms[atom]
            low[place], high[place] = max(1, counts.n - self.reach), counts.n + self.reach
            low[size + place] = max(0, counts.satisfied - self.reach)
            high[size + place] = counts.satisfied + self.reach
        return low, high

    def _prints_the_same(self, values: Whole, column: dict[int, int], hidden: frozenset[int]) -> bool:
        """Check a world in whole numbers, whatever the solver's tolerances were."""
        size = len(self.atoms)
        if np.any(values[:size] < 1) or np.any(values[size : 2 * size] > values[:size]):
            return False
        for item in self.printed:
            if item.cell in hidden:
                continue
            inside = [column[atom] for atom in item.members if atom in column]
            rest = _outside(self.table, item, column)
            n = rest.n + int(values[inside].sum())
            satisfied = rest.satisfied + int(values[[size + place for place in inside]].sum())
            if n != item.n or not item.least <= satisfied <= item.most:
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search found: cells to hide, and places of the needs that its world meets."""

    hidden: tuple[int, ...]
    met: tuple[int, ...]


def _terms(need: Need, column: dict[int, int], size: int) -> list[tuple[list[tuple[int, float]], int]]:
    places = [column[atom] for atom in need.members]

    def ballots(sign: float) -> list[tuple[int, float]]:
        return [(place, sign) for place in places]

    def satisfied(sign: float) -> list[tuple[int, float]]:
        return [(size + place, sign) for place in places]

    wanted = [
        (ballots(1.0), need.n),
        (satisfied(1.0), need.satisfied),
        (ballots(1.0) + satisfied(-1.0), need.unsatisfied),
    ]
    return [(terms, least) for terms, least in wanted if least > 0]


def _outside(table: Table, item: Printed, column: dict[int, int]) -> Counts:
    others = [table.atoms[atom] for atom in item.members if atom not in column]
    return Counts(sum(counts.n for counts in others), sum(counts.satisfied for counts in others))
