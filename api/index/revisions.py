"""Whether released cells are released again, and which cells may come later: only if the difference is mute.

Whoever keeps the old sums has the new ones less the old. So the added people must be enough by themselves, in
every part of a cell, and may not all have said the same. Each addition could then be published alone, and so
could every sum of additions: that is what `api.statistics.suppression_revision` asks of a month's table.
What was printed as a bound does not grow, since its new number less what came would be the one behind the
bound; where a place is a bound, each cell in it is nearly unanimous. And nothing hidden is opened:
`api.index.publication` decides on the first release once.

The parts of a breakdown are those of the first release for ever. They change only when each of them grew by
nothing or by what could be published by itself; else they stay, and the cell says of which revision they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Final

from api.disclosure import nearly_unanimous
from api.index.breaking_down import Tally, counted_again, grown_by_enough, tallied
from api.index.cells import (
    PASSIVE,
    POOLED,
    QUESTIONS,
    SCORED,
    Cell,
    Item,
    Member,
    Sums,
    partition,
    tells_apart,
)
from api.index.formula import KIOSK

_PEOPLE: Final = ("visits", "given", "refused", "signals")
"""Counts of people in which a revision may tell of some who changed their mind."""
LATER: Final = (0, 0)
"""`Cell.first` of a cell that was not in the first release of its month."""


def due(new: Cell, old: Cell, minimum_n: int) -> bool:
    """Tell whether a cell is released again: what was added could be published by itself."""
    if nearly_unanimous(old.ballots, old.satisfied):
        return False
    if new.strata != old.strata or _counters(new.members) != _counters(old.members):
        return False
    more = _more(new, old)
    return _survey_due(more, minimum_n) if new.channel != KIOSK else _rating_due(new, more, minimum_n)


def may_come_later(cell: Cell, before: Iterable[Cell]) -> bool:
    """Tell whether a cell may come after the first release of its month, beside those of its channel."""
    there = [item for item in before if item.channel == cell.channel]
    for place in cell.path:
        first = [item.printed_first for item in there if place in item.path]
        n, satisfied = sum(of[0] for of in first), sum(of[1] for of in first)
        if n and nearly_unanimous(n, satisfied):
            return False
    return not _unanimous(cell)


def _unanimous(cell: Cell) -> bool:
    """Tell whether all in a cell answered some question alike."""
    if cell.channel != KIOSK:
        return any(cell.sums.get(_yes(name), 0) in {0, n} for name, n in cell.sums.items() if _asked(name))
    return any(_satisfied(cell, cell.sums, question) in {0, cell.ballots} for question in QUESTIONS)


def revisions(
    items: Iterable[Item], before: Mapping[str, Cell], month: date, minimum_n: int
) -> tuple[Cell, ...]:
    """Return the cells of a released month that may be released now: next revisions, and later ones.

    Args:
        items: What is counted now.
        before: Key -> newest revision. Who is in a cell stays as it was.
        month: Its first day.
        minimum_n: Fewest people behind a released sum.
    """
    grouped: dict[str, list[Item]] = {}
    late: list[Item] = []
    for item in items:
        key = _home(item, before)
        if key is not None:
            grouped.setdefault(key, []).append(item)
        elif not _counted(item, before):
            late.append(item)
    made = []
    for key, group in sorted(grouped.items()):
        old = before[key]
        found, _ = partition(month, [replace(item, path=old.path) for item in group], minimum_n)
        for cell in found:
            new = replace(cell, key=key, revision=old.revision + 1, first=old.printed_first)
            new = _broken_down(new, old, tallied(item.tally for item in group), minimum_n)
            if new.path == old.path and len(found) == 1 and due(new, old, minimum_n):
                made.append(new)
    made += [
        replace(cell, first=LATER)
        for cell in partition(month, late, minimum_n)[0]
        if cell.places == 1 and cell.key not in before and may_come_later(cell, before.values())
    ]
    return tuple(made)


def may_be_broken_down_again(new: Cell, old: Cell, minimum_n: int) -> bool:
    """Tell whether the parts of a cell may change with it: each by nothing, or by what could stand alone.

    Once they stayed behind they stay: what came with the revision between is nobody's difference any more.
    """
    if old.broken_down != old.revision or not old.breakdowns:
        return False
    return tells_apart(new.strata, _more(new, old)) and grown_by_enough(
        new.breakdowns, old.breakdowns, minimum_n
    )


def _broken_down(new: Cell, old: Cell, tally: Tally, minimum_n: int) -> Cell:
    """Return a revision with the parts of the release before it, counted again where that may be."""
    counted = counted_again(tally, old.breakdowns)
    if counted is not None:
        found = replace(new, breakdowns=counted, broken_down=new.revision)
        if may_be_broken_down_again(found, old, minimum_n):
            return found
    return replace(new, breakdowns=old.breakdowns, broken_down=old.broken_down)


def _more(new: Cell, old: Cell) -> dict[str, int]:
    names = new.sums.keys() | old.sums.keys()
    return {name: new.sums.get(name, 0) - old.sums.get(name, 0) for name in names}


def _rating_due(new: Cell, more: Mapping[str, int], minimum_n: int) -> bool:
    added = {stratum: more.get(f"{stratum}.n", 0) for stratum in new.strata}
    for stratum, n in added.items():
        answers = [more.get(f"{stratum}.y.{question}", 0) for question in QUESTIONS]
        if n < 0 or 0 < n < minimum_n or not all(0 <= yes <= n for yes in answers):
            return False
    n = sum(added.values())
    if not n or any(_satisfied(new, more, question) in {0, n} for question in QUESTIONS):
        return False
    scored = more.get(f"{SCORED}.n", 0) + more.get(f"{PASSIVE}.n", 0)
    scores = (more.get(f"{part}.{name}", 0) for part in (SCORED, PASSIVE) for name in ("f", "ff"))
    if 0 < abs(scored) < minimum_n or (scored == 0 and not added.get(SCORED) and any(scores)):
        return False
    return not any(0 < abs(more.get(name, 0)) < minimum_n for name in _PEOPLE)


def _survey_due(more: Mapping[str, int], minimum_n: int) -> bool:
    """Tell it of questionnaires: an import that is withdrawn takes its ballots away."""
    for name, n in more.items():
        if not name.endswith(".n"):
            continue
        yes = more.get(_yes(name), 0)
        if 0 < abs(n) < minimum_n or (_asked(name) and not (0 < yes / n < 1 if n else yes == 0)):
            return False
    return any(n for name, n in more.items() if name.endswith(".n"))


def _home(item: Item, before: Mapping[str, Cell]) -> str | None:
    """Return the cell that an item was put into: the lowest one around it that has its counters."""
    if not item.members:
        own = f"{item.channel} {item.path[-1]}"
        return own if own in before and before[own].places == 1 else None
    wanted = set(_counters(item.members))
    around = [
        cell
        for cell in before.values()
        if _holds(cell, item) and wanted <= {member.counter for member in cell.members}
    ]
    return max(around, key=lambda cell: len(cell.path)).key if around else None


def _counted(item: Item, before: Mapping[str, Cell]) -> bool:
    """Tell whether some of an item may be in a cell already, so that it cannot be one of its own."""
    counters = set(_counters(item.members))
    return any(
        cell.channel == item.channel
        and (
            not counters.isdisjoint(member.counter for member in cell.members)
            or (not item.members and _holds(cell, item))
        )
        for cell in before.values()
    )


def _holds(cell: Cell, item: Item) -> bool:
    return cell.channel == item.channel and item.path[: len(cell.path)] == cell.path


def _counters(members: Iterable[Member]) -> list[str]:
    return sorted(member.counter for member in members)


def _satisfied(cell: Cell, sums: Sums, question: str) -> int:
    return sum(sums.get(f"{stratum}.y.{question}", 0) for stratum in cell.strata)


def _asked(name: str) -> bool:
    return name.endswith(".n") and name != f"{POOLED}.n"


def _yes(name: str) -> str:
    return name[:-2] + ".y"
