"""A reader of everything that a province prints, who knows which places are in each sum, and subtracts.

What is printed first and what is printed after a revision are read together: ballots that were there first
and ballots that came are groups of their own. The reader is given more than anybody has: who is in each
released sum, as the log tells, and the plain share of satisfied ratings behind each printed (weighted) one.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from api.disclosure import nearly_unanimous, share_text
from api.figure_table import OVERALL, TOGETHER
from api.index.cells import CONSENTED, OTHERS, POOLED, SCORED, Cell, Item
from api.index.formula import KIOSK, built_in
from api.index.period import Period, Span
from api.index.places import Path
from api.statistics.disclosure_attack import Attacked, PrintedCell, attack
from tests.api.printed_facts import About, Fact

_SIGNS = "≥≤"


@dataclass(frozen=True, slots=True)
class Print:
    """What was printed at one time, and what was counted then.

    Attributes:
        facts: Everything read off files and pages.
        items: Month -> what was counted of it.
        cells: Newest revisions of all months.
    """

    facts: frozenset[Fact]
    items: Mapping[date, Sequence[Item]]
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class _Group:
    """Ballots of one channel, place and month that came together: the smallest that there is."""

    month: date
    channel: str
    path: Path
    came_later: bool


@dataclass(frozen=True, slots=True)
class _Count:
    """Ballots; of ratings at the counter those that were satisfied, too."""

    n: int
    satisfied: int


_Groups = Mapping[_Group, _Count]


def small_cells(prints: Sequence[Print], factor: str = OVERALL, *, fewest: int = 10) -> tuple[Attacked, ...]:
    """Return what the reader finds out of each place and period with fewer than `fewest` ballots.

    Args:
        prints: The first print; the one after a revision may follow.
        factor: Whose figures are read: a factor, or the whole.
        fewest: Fewest ballots of a cell that may be known.
    """
    groups = _groups(prints, factor)
    numbers = {group: number for number, group in enumerate(groups)}
    cells = []
    for later, at in enumerate(prints):
        homes = _homes(at, prints[0], groups, later=bool(later))
        shown = {(fact.about.place, fact.about.period) for fact in at.facts}
        for fact in sorted(at.facts):
            if fact.about.factor == factor:
                inside = [group for group in _inside(fact.about, shown, homes) if group in numbers]
                cells.append(_printed(fact, inside, groups, numbers, later=bool(later)))
    assert len(cells) > 3, "nothing was read"
    targets = _small(prints, groups, numbers, fewest)
    assert targets, "there is nothing to find out"
    everything = [*cells, *targets]
    return attack(everything, range(len(cells), len(everything)), enough=(1, 1))


def found_out(attacked: Iterable[Attacked], *, one_mind: bool = True) -> dict[tuple[str, str], Attacked]:
    """Return the cells of which ballots, or satisfied ones, came out exactly.

    Args:
        attacked: What the reader found.
        one_mind: Whether cells count, too, of which only the unsatisfied ones came out: nobody, mostly. The
            rule protects that among the months of the whole, not among factors and quarters
            (docs/disclosure.md).
    """
    return {
        item.name: item
        for item in attacked
        if not (item.n.width and item.satisfied.width and (item.unsatisfied.width or not one_mind))
    }


def _printed(
    fact: Fact, inside: Sequence[_Group], groups: _Groups, numbers: Mapping[_Group, int], *, later: bool
) -> PrintedCell:
    n = sum(groups[group].n for group in inside)
    satisfied = sum(groups[group].satisfied for group in inside)
    assert fact.n == n, f"{fact} has {n} ballots in its places: nobody else is in the sum"
    share = ""  # a mean over questions, or over channels, gives no number of satisfied ballots
    if fact.about.channel == KIOSK and not _made_of_bounds(inside, groups):
        share = share_text(n, satisfied)
        assert (fact.share[0] in _SIGNS) == (share[0] in _SIGNS), fact
        share = fact.share if fact.share[0] in _SIGNS else share
    name = (f"{fact.about.channel} {fact.about.place}", f"{fact.about.period} {'new' if later else 'first'}")
    return PrintedCell(name, tuple(numbers[group] for group in inside), n, share)


def _made_of_bounds(inside: Sequence[_Group], groups: _Groups) -> bool:
    """Tell whether one of several months is printed as a bound.

    Then the longer period is made of what is printed of its months and tells nothing new
    (`test_a_longer_period_is_the_same_whatever_is_behind_the_bounds_of_its_months`).
    """
    months: dict[date, _Count] = defaultdict(lambda: _Count(0, 0))
    for group in inside:
        was = months[group.month]
        months[group.month] = _Count(was.n + groups[group].n, was.satisfied + groups[group].satisfied)
    return len(months) > 1 and any(nearly_unanimous(of.n, of.satisfied) for of in months.values())


def _small(
    prints: Sequence[Print], groups: _Groups, numbers: Mapping[_Group, int], fewest: int
) -> list[PrintedCell]:
    """Return what the reader is after: places, times and channels with few ballots."""
    sums: dict[tuple[str, str], list[_Group]] = defaultdict(list)
    for group in groups:
        periods = (f"{group.month:%Y-%m}", str(Period.holding(group.month, Span.QUARTER)))
        times = (" came" if group.came_later else "", " now")[: len(prints)]
        for place, channel, period, time in itertools.product(
            group.path, (group.channel, TOGETHER), periods, times
        ):
            sums[f"{channel} {place}", period + time].append(group)
    return [
        PrintedCell(name, tuple(numbers[group] for group in inside))
        for name, inside in sorted(sums.items())
        if 0 < sum(groups[group].n for group in inside) < fewest
    ]


def _groups(prints: Sequence[Print], factor: str) -> dict[_Group, _Count]:
    found: dict[_Group, _Count] = {}
    for later, at in enumerate(prints):
        for month, items in at.items.items():
            for item in items:
                group = _Group(month, item.channel, item.path, bool(later))
                count = _count(item, factor)
                if later:
                    before = found.get(_Group(month, item.channel, item.path, False), _Count(0, 0))
                    count = _Count(count.n - before.n, count.satisfied - before.satisfied)
                    assert 0 <= count.satisfied <= count.n, "ballots only came"
                if count.n:
                    found[group] = count
    return found


def _count(item: Item, factor: str) -> _Count:
    sums = item.sums
    if item.channel == KIOSK:
        questions = {factor: name.value for name, factor in built_in().rating.items()} | {OVERALL: OVERALL}
        parts = (SCORED, CONSENTED, OTHERS)
        if factor not in questions:
            return _Count(0, 0)
        n = sum(sums.get(f"{part}.n", 0) for part in parts)
        return _Count(n, sum(sums.get(f"{part}.y.{questions[factor]}", 0) for part in parts))
    if factor == OVERALL:
        return _Count(sums.get(f"{POOLED}.n", 0), 0)
    return _Count(
        min(
            (n for name, n in sums.items() if name.startswith(f"{factor}.") and name.endswith(".n")),
            default=0,
        ),
        0,
    )


def _homes(at: Print, first: Print, groups: _Groups, *, later: bool) -> dict[_Group, Path]:
    """Return the cell in which each group was printed then; groups that are in none are left out."""
    homes = {}
    for group in groups:
        mine = _cell_of(group, at.cells)
        before = _cell_of(group, first.cells)
        if mine is None or (group.came_later and not later):
            continue
        if group.came_later and before is not None and before.revision == mine.revision:
            continue
        homes[group] = mine.path
    return homes


def _cell_of(group: _Group, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell that a group is in: its own, else the lowest of several places at or above it."""
    mine = [
        cell
        for cell in cells
        if (cell.month, cell.channel) == (group.month, group.channel)
        and (cell.path == group.path if cell.places == 1 else cell.path == group.path[: len(cell.path)])
    ]
    return max(mine, key=lambda cell: len(cell.path), default=None)


def _inside(about: About, shown: set[tuple[str, str]], homes: Mapping[_Group, Path]) -> Iterator[_Group]:
    """Yield the groups that a figure is the sum of: months in which the place itself is printed."""
    months = {
        month for month in Period.parse(about.period).months if (about.place, f"{month:%Y-%m}") in shown
    }
    for group, path in homes.items():
        if group.month in months and about.place in path and about.channel in {TOGETHER, group.channel}:
            yield group
