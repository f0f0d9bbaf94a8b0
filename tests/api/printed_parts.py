"""A reader of breakdowns who wants to know of single days, times of day and procedures at a counter.

The reader knows the rule, who is in each cell, and how each printed part is named; ballots of one day, time
of day and procedure at one counter are the smallest groups that there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from api.disclosure import share_text
from api.index.breakdown import Dimension, Votes, mix_of
from api.index.breaking_down import Spot
from api.index.cells import Cell
from api.index.formula import KIOSK
from api.index.period import Period
from api.index.places import Path
from api.index.publication import Hidden
from api.statistics.disclosure_attack import Attacked, PrintedCell, attack
from tests.api.printed_attack import Print
from tests.api.printed_facts import Fact


@dataclass(frozen=True, slots=True)
class _Group:
    month: date
    path: Path
    spot: Spot


def small_spots(
    at: Print, parts: Sequence[Fact], hidden: Hidden, *, fewest: int = 10
) -> tuple[Attacked, ...]:
    """Return what the reader finds out of what was said on few ballots of one day, time or procedure.

    Args:
        at: What was counted, and the cells.
        parts: What was read: shares and numbers of parts.
        hidden: Months and places of which nothing is printed.
        fewest: Fewest ballots that may be known.
    """
    groups = {
        _Group(month, item.path, spot): votes
        for month, items in at.items.items()
        for item in items
        if item.channel == KIOSK
        for spot, votes in item.tally.items()
        if votes.n
    }
    numbers = {group: number for number, group in enumerate(groups)}
    homes = {group: cell for group in groups if (cell := _cell_of(group, at.cells)) is not None}
    alone = {(cell.month, cell.key) for cell in at.cells if _is_alone(cell, at.cells)}
    cells = []
    for fact in parts:
        inside = [
            group
            for group, cell in homes.items()
            if _holds(fact, group, cell, hidden, alone=(cell.month, cell.key) in alone)
        ]
        votes = sum((groups[group] for group in inside), Votes())
        assert (fact.n, fact.share) == (votes.n, share_text(votes.n, votes.satisfied)), fact
        cells.append(
            _cell(f"{fact.about.channel} {fact.about.place}", fact.about.period, inside, numbers, fact)
        )
    targets = _small(groups, numbers, fewest)
    assert cells
    assert targets
    everything = [*cells, *targets]
    return attack(everything, range(len(cells), len(everything)), enough=(1, 1), fewest=0)


def _cell(
    what: str, period: str, inside: Sequence[_Group], numbers: Mapping[_Group, int], fact: Fact | None
) -> PrintedCell:
    members = tuple(numbers[group] for group in inside)
    return PrintedCell((what, period), members, None if fact is None else fact.n, fact.share if fact else "")


def _small(groups: Mapping[_Group, Votes], numbers: Mapping[_Group, int], fewest: int) -> list[PrintedCell]:
    """Return what the reader is after: days, procedures and their times at a counter, of the first month."""
    first = min(group.month for group in groups)
    sums: dict[tuple[str, str], list[_Group]] = defaultdict(list)
    for group in (group for group in groups if group.month == first):
        spot, place = group.spot, group.path[-1]
        for what in (spot.day.isoformat(), spot.procedure, f"{spot.procedure} {spot.band}"):
            sums[f"{what} {place}", f"{group.month:%Y-%m}"].append(group)
    return [
        _cell(*name, inside, numbers, None)
        for name, inside in sorted(sums.items())
        if 0 < sum(groups[group].n for group in inside) < fewest
    ]


def _cell_of(group: _Group, cells: Sequence[Cell]) -> Cell | None:
    mine = [
        cell
        for cell in cells
        if (cell.month, cell.channel) == (group.month, KIOSK)
        and (cell.path == group.path if cell.places == 1 else cell.path == group.path[: len(cell.path)])
    ]
    return max(mine, key=lambda cell: len(cell.path), default=None)


def _is_alone(cell: Cell, cells: Sequence[Cell]) -> bool:
    """Tell whether no other ratings are at or below the place of a cell."""
    return not any(
        (other.month, other.channel) == (cell.month, cell.channel)
        and other.key != cell.key
        and cell.path[-1] in other.path
        for other in cells
    )


def _holds(fact: Fact, group: _Group, cell: Cell, hidden: Hidden, *, alone: bool) -> bool:
    """Tell whether a printed part has the ballots of a group in it."""
    kind, _, name = fact.about.channel.partition(" ")
    dimension, spot = Dimension(kind), group.spot
    parts = cell.breakdowns.get(dimension, ())
    printed = {(cell.month, fact.about.place), (cell.month, cell.path[-1])}.isdisjoint(hidden)
    if not (parts and printed and alone and fact.about.place in cell.path):
        return False
    if cell.month not in Period.parse(fact.about.period).months:
        return False
    if dimension is Dimension.TIMES:
        return spot.band == name
    if dimension is Dimension.DAYS:
        first, _, last = name.partition("/")
        return first <= spot.day.isoformat() <= last
    procedure, _, band = name.rpartition("|")
    named = {mix_of(part)[0] for part in parts}
    return (spot.procedure if spot.procedure in named else "") == procedure and band in {"", spot.band}
