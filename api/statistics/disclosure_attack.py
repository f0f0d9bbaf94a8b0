"""An attacker who has every printed number of a month: how closely hidden cells can be found out.

Independent of the suppression that it attacks: it starts from the printed texts, turns each rounded share
into the whole numbers of satisfied ballots that print so, subtracts shown cells from the sums they lie in,
and asks an integer program for the smallest and largest number of people in each hidden cell. It knows the
tree of places, on which days a counter had ballots at all, and that a satisfied ballot is a ballot.

`naive` is the control that fails: small cells hidden, nothing else.
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

from api.disclosure import points, share_text
from api.statistics.errors import StatisticsError
from api.statistics.suppression import Suppressed, Verdict
from api.statistics.suppression_lattice import Table

_SEARCH_S: Final = 30.0
_CORNERS: Final = 6
_BOUNDS: Final = ("≥", "≤")
_System: TypeAlias = tuple[csr_array, npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Rows over ballots and then satisfied ones of some atoms, with their smallest and largest values."""


class PrintImpossible(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """No table of people prints these numbers."""


@dataclass(frozen=True, slots=True)
class PrintedCell:
    """A cell as a reader sees it.

    Attributes:
        name: Place and window.
        members: Smallest groups that it is the sum of, as the tree and the calendar tell.
        n: Ballots; None when hidden.
        share: The printed share; empty when hidden, or where the print does not tell it.
    """

    name: tuple[str, str]
    members: tuple[int, ...]
    n: int | None = None
    share: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """What may be true of a hidden cell.

    Attributes:
        least: Smallest number found.
        most: Largest number found.
        proven: Whether nothing lies outside; else the search was ended, and more may be possible.
    """

    least: int
    most: int
    proven: bool

    @property
    def width(self) -> int:
        """How far the ends are apart."""
        return self.most - self.least


@dataclass(frozen=True, slots=True)
class Attacked:
    """A hidden cell after the attack: ballots, satisfied ones and the others."""

    name: tuple[str, str]
    n: Range
    satisfied: Range
    unsatisfied: Range


def printed(found: Suppressed) -> tuple[PrintedCell, ...]:
    """Return what is printed of a table after suppression."""
    return tuple(
        _print(found.table, number, shown=verdict in {Verdict.SHOWN, Verdict.BOUND}, bounds=True)
        for number, verdict in enumerate(found.verdicts)
    )


def naive(table: Table, fewest: int = 10) -> tuple[PrintedCell, ...]:
    """Return what is printed when only small cells are hidden: the control that must leak."""
    return tuple(
        _print(table, number, shown=cell.offered and table.counts(cell).n >= fewest, bounds=False)
        for number, cell in enumerate(table.cells)
    )


def attack(
    cells: Sequence[PrintedCell],
    targets: Sequence[int],
    *,
    enough: tuple[int, int] | None = None,
    fewest: int = 1,
) -> tuple[Attacked, ...]:
    """Return how closely cells can be found out.

    Args:
        cells: Every cell, printed or hidden.
        targets: Numbers of the cells to find out.
        enough: Widths for ballots and for (un)satisfied ones at which the search for a cell's ends is ended;
            None searches for every end.
        fewest: People that the attacker knows each smallest group to have at least: 1 where it is known who
            was there at all.

    Raises:
        PrintImpossible: No table of people prints these numbers.
    """
    return _Attacker(cells, targets, fewest).find(enough)


def possible_satisfied(n: int, share: str) -> range:
    """Return the numbers of satisfied ballots that print as this share; without a share every number.

    Raises:
        PrintImpossible: None does.
    """
    if not share:
        return range(n + 1)
    fits = (
        [count for count in range(n + 1) if share_text(n, count) == share]
        if share[:1] in _BOUNDS
        else [count for count in range(n + 1) if points(count / n, n) == share]
    )
    if not fits:
        raise PrintImpossible(f"no number of {n} ballots prints as {share}")
    return range(fits[0], fits[-1] + 1)


def _print(table: Table, number: int, *, shown: bool, bounds: bool) -> PrintedCell:
    cell = table.cells[number]
    name = cell.place, cell.window
    if not shown:
        return PrintedCell(name, cell.members)
    counts = table.counts(cell)
    share = (
        share_text(counts.n, counts.satisfied) if bounds else points(counts.satisfied / counts.n, counts.n)
    )
    return PrintedCell(name, cell.members, counts.n, share)


@dataclass(frozen=True, slots=True)
class _Equation:
    """Ballots of some atoms add up to something between two numbers."""

    atoms: tuple[int, ...]
    least: int
    most: int


class _Attacker:
    """Equations of one table, and the worlds found so far."""

    def __init__(self, cells: Sequence[PrintedCell], targets: Sequence[int], fewest: int = 1) -> None:
        self.fewest = fewest
        self.cells = cells
        self.targets = list(targets)
        self.size = 1 + max(atom for cell in cells for atom in cell.members)
        known = [cell for cell in cells if cell.n is not None]
        known.sort(key=lambda cell: (len(cell.members), cell.name))
        possible = [possible_satisfied(cell.n or 0, cell.share) for cell in known]
        everyone = [(cell.members, cell.n or 0, cell.n or 0) for cell in known]
        satisfied = [(cell.members, found[0], found[-1]) for cell, found in zip(known, possible, strict=True)]
        self.ballots = _reduced(everyone)
        self.satisfied = _reduced(satisfied)
        self.groups = self._groups()
        self.systems: dict[tuple[int, ...], _System] = {}
        width = len(self.targets)
        self.low = np.full((3, width), np.iinfo(np.int64).max)
        self.high = np.full((3, width), -1)
        self.ended = np.zeros((3, 2, width), dtype=bool)
        self.n = np.zeros(self.size, dtype=np.int64)
        self.x = np.zeros(self.size, dtype=np.int64)

    def find(self, enough: tuple[int, int] | None) -> tuple[Attacked, ...]:
        free = sorted({atom for equation in (*self.ballots, *self.satisfied) for atom in equation.atoms})
        for group in sorted({self.groups[atom] for atom in range(self.size)}):
            atoms = [atom for atom in range(self.size) if self.groups[atom] == group]
            if not self._solve(atoms, np.zeros(2 * len(atoms))):
                raise PrintImpossible("no table of people prints these numbers")
        self._take()
        if enough is not None:
            self._wander(free)
        for place, number in enumerate(self.targets):
            for kind in range(3):
                wanted = None if enough is None else enough[min(kind, 1)]
                for sign in (-1, 1):
                    if wanted is None or self.high[kind, place] - self.low[kind, place] < wanted:
                        self._push(place, self.cells[number].members, kind, sign)
        return tuple(
            Attacked(
                self.cells[number].name,
                *(
                    Range(
                        int(self.low[kind, place]),
                        int(self.high[kind, place]),
                        bool(self.ended[kind, :, place].all()),
                    )
                    for kind in range(3)
                ),
            )
            for place, number in enumerate(self.targets)
        )

    def _groups(self) -> list[int]:
        """Return for each atom the smallest number of the atoms that equations tie it to."""
        group = list(range(self.size))

        def root(atom: int) -> int:
            while group[atom] != atom:
                group[atom] = group[group[atom]]
                atom = group[atom]
            return atom

        for equation in (*self.ballots, *self.satisfied):
            first = root(equation.atoms[0])
            for atom in equation.atoms[1:]:
                other = root(atom)
                first, other = min(first, other), max(first, other)
                group[other] = first
        return [root(atom) for atom in range(self.size)]

    def _push(self, place: int, members: tuple[int, ...], kind: int, sign: int) -> None:
        """Make a cell as small (-1) or as large (1) as what is printed allows."""
        tied = {self.groups[atom] for atom in members}
        atoms = [atom for atom in range(self.size) if self.groups[atom] in tied]
        inside = np.isin(atoms, members).astype(np.float64)
        towards = np.concatenate([(1.0, 0.0, 1.0)[kind] * inside, (0.0, 1.0, -1.0)[kind] * inside])
        if self._solve(atoms, -sign * towards):
            self.ended[kind, (sign + 1) // 2, place] = True
        self._take()

    def _wander(self, free: Sequence[int]) -> None:
        """Visit far corners of what is possible, which widens the ranges of many cells at once."""
        rng = np.random.default_rng(0)
        for group in sorted({self.groups[atom] for atom in free}):
            atoms = [atom for atom in range(self.size) if self.groups[atom] == group]
            for _ in range(_CORNERS):
                self._solve(atoms, rng.choice((-1.0, 0.0, 1.0), 2 * len(atoms)))
                self._take()

    def _solve(self, atoms: Sequence[int], cost: npt.NDArray[np.float64]) -> bool:
        """Search the cheapest world among tied atoms; tell whether it is proven that none is cheaper."""
        size = len(atoms)
        matrix, low, high = self._system(tuple(atoms))
        most = float(sum(cell.n or 0 for cell in self.cells) + 1000)
        answer = milp(
            cost,
            constraints=LinearConstraint(matrix, low, high),
            bounds=Bounds(np.repeat([float(self.fewest), 0.0], size), np.full(2 * size, most)),
            integrality=np.ones(2 * size),
            options={"time_limit": _SEARCH_S},
        )
        if answer.x is None:
            return False
        values = np.rint(answer.x).astype(np.int64)
        self.n[list(atoms)], self.x[list(atoms)] = values[:size], values[size:]
        return bool(answer.status == 0)

    def _system(self, atoms: tuple[int, ...]) -> _System:
        """Return the equations of tied atoms, and that no more are satisfied than gave a ballot."""
        if atoms in self.systems:
            return self.systems[atoms]
        column = {atom: place for place, atom in enumerate(atoms)}
        size = len(atoms)
        rows: list[int] = []
        columns: list[int] = []
        low: list[float] = []
        high: list[float] = []
        for equations, shift in ((self.ballots, 0), (self.satisfied, size)):
            for equation in equations:
                if equation.atoms[0] in column:
                    rows += [len(low)] * len(equation.atoms)
                    columns += [shift + column[atom] for atom in equation.atoms]
                    low.append(float(equation.least))
                    high.append(float(equation.most))
        ones = [1.0] * len(rows) + [1.0, -1.0] * size
        for place in range(size):
            rows += [len(low), len(low)]
            columns += [place, size + place]
            low.append(0.0)
            high.append(np.inf)
        matrix = csr_array((ones, (rows, columns)), shape=(len(low), 2 * size))
        self.systems[atoms] = matrix, np.array(low), np.array(high)
        return self.systems[atoms]

    def _take(self) -> None:
        """Keep what this world says of every target: it prints the same."""
        for place, number in enumerate(self.targets):
            members = list(self.cells[number].members)
            n, satisfied = int(self.n[members].sum()), int(self.x[members].sum())
            for kind, value in enumerate((n, satisfied, n - satisfied)):
                self.low[kind, place] = min(self.low[kind, place], value)
                self.high[kind, place] = max(self.high[kind, place], value)


def _reduced(sums: Sequence[tuple[tuple[int, ...], int, int]]) -> tuple[_Equation, ...]:
    """Return the sums less those known exactly that lie in them; of what remains, the same is known.

    Args:
        sums: Atoms, least and most of each, by rising number of atoms.
    """
    exact: list[tuple[frozenset[int], int]] = []
    found: list[_Equation] = []
    for members, least, most in sums:
        left, low, high = set(members), least, most
        for atoms, value in reversed(exact):
            if atoms <= left:
                left -= atoms
                low, high = low - value, high - value
        if left:
            found.append(_Equation(tuple(sorted(left)), low, high))
        if least == most:
            exact.append((frozenset(members), least))
    return tuple(found)
