"""The table of a month: which places and windows have a figure, and of which smallest groups each is made.

Windows never overlap without one lying in the other: a day lies in its calendar month, a month in its
quarter, a quarter in its year. A week astride two months would give away the days between by
difference; there are no weeks, no "last 30 days" and no free choice of dates. Quarters and years are sums of
the months that are shown, so they say nothing new and need no decision of their own.

Places are a tree: counter, unit, area, up to the whole. Each place has its month; only the counter and the
levels next above (`day_levels`) have days.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.statistics.errors import StatisticsError

DAY_LEVELS: Final = 2
"""Levels from the counter upwards that have figures by day: the counter and its unit."""

_QUARTER: Final = 3
_YEAR: Final = 12


class TableInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Places, windows or counts of which no table can be made."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Ballots of a group: all of them, and those satisfied with everything."""

    n: int
    satisfied: int

    def __post_init__(self) -> None:
        """Refuse counts that are none."""
        if not 0 <= self.satisfied <= self.n:
            raise TableInvalid(f"{self.satisfied} of {self.n} ballots cannot be satisfied: count them again")

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both groups together."""
        return Counts(self.n + other.n, self.satisfied + other.satisfied)


NOBODY: Final = Counts(0, 0)


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table, or a group that has none but must not be found out either.

    Attributes:
        place: Code of the place.
        window: `2026-03` or `2026-03-09`.
        members: Numbers of the atoms it is the sum of, ascending; never empty.
        offered: Whether a figure may be printed for it at all.
    """

    place: str
    window: str
    members: tuple[int, ...]
    offered: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Cells over atoms: the smallest groups, disjoint, each of at least one ballot.

    Attributes:
        atoms: Counts of each atom.
        cells: All sums of atoms that have a name; each atom is a cell by itself.
        parents: Place -> the place above it, None for the whole.
    """

    atoms: tuple[Counts, ...]
    cells: tuple[Cell, ...]
    parents: Mapping[str, str | None]

    def counts(self, cell: Cell) -> Counts:
        """Return the counts of a cell."""
        return Counts(
            sum(self.atoms[member].n for member in cell.members),
            sum(self.atoms[member].satisfied for member in cell.members),
        )

    def with_atoms(self, atoms: Sequence[Counts]) -> Table:
        """Return the same cells over other counts of the same atoms."""
        return Table(tuple(atoms), self.cells, self.parents)


def window_of(first: date, last: date) -> str:
    """Return the name of a window that may have figures: a day, a calendar month, quarter or year.

    Raises:
        TableInvalid: Any other window; figures of it could be differenced against those of months.
    """
    days = (last - first).days + 1
    if days == 1:
        return first.isoformat()
    ends = last.day == calendar.monthrange(last.year, last.month)[1]
    if first.day == 1 and ends and first.year == last.year:
        months = last.month - first.month + 1
        if months == 1:
            return f"{first:%Y-%m}"
        if months == _QUARTER and first.month % _QUARTER == 1:
            return f"{first.year}-Q{(first.month + 2) // _QUARTER}"
        if months == _YEAR:
            return f"{first.year}"
    raise TableInvalid(
        f"{first} to {last} is no window of figures: take a day, a calendar month, a quarter or a year"
    )


def month_table(
    parents: Mapping[str, str | None],
    days: Mapping[tuple[str, date], Counts],
    *,
    day_levels: int = DAY_LEVELS,
) -> Table:
    """Return the table of one calendar month; days without ballots are in no cell.

    Args:
        parents: Place -> the place above it, None for the whole. Counters are the places above none.
        days: Counter and day -> ballots.
        day_levels: Levels from the counter upwards that have figures by day, from 0.

    Raises:
        TableInvalid: Days of two months, a circle of places, or ballots of a place that is no counter.
    """
    months = {f"{day:%Y-%m}" for _, day in days}
    if len(months) > 1:
        raise TableInvalid(f"days of {', '.join(sorted(months))}: make one table a month")
    above = {place: _above(place, parents) for place in parents}
    inner = set(parents.values())
    keys = sorted(key for key, counts in days.items() if counts.n > 0)
    strange = sorted({place for place, _ in keys if place not in parents or place in inner})
    if strange:
        raise TableInvalid(
            f"{', '.join(strange)}: no counter of the tree of places; add it or move its ballots"
        )
    members: dict[tuple[str, str], list[int]] = {}
    offered: dict[tuple[str, str], bool] = {}
    for number, (counter, day) in enumerate(keys):
        for level, place in enumerate((counter, *above[counter])):
            if level < max(1, day_levels):
                members.setdefault((place, day.isoformat()), []).append(number)
                offered[place, day.isoformat()] = level < day_levels
            members.setdefault((place, f"{day:%Y-%m}"), []).append(number)
            offered[place, f"{day:%Y-%m}"] = True
    cells = tuple(Cell(*name, tuple(found), offered[name]) for name, found in members.items())
    return Table(tuple(days[key] for key in keys), cells, dict(parents))


def sum_of_shown(shown: Iterable[Counts]) -> Counts:
    """Return the counts of a quarter or year: those of its months that are shown, and nothing else."""
    total = NOBODY
    for counts in shown:
        total += counts
    return total


def _above(place: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    found: list[str] = []
    current = parents[place]
    while current is not None:
        if current in found or current not in parents:
            raise TableInvalid(f"{place}: the places above it form no line up to the whole; mend the tree")
        found.append(current)
        current = parents[current]
    return tuple(found)
