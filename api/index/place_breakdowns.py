"""The breakdowns of a place and period: sums of the released parts of its cells.

Cells do not share the bounds of their runs of days, nor whether their procedures are told apart by the time
of day. A place's runs end where runs of all its cells end; its mix is as coarse as the coarsest of them. What
a cell does not tell apart is in no part, so a breakdown is given only where the parts hold `LEAST_COVERED` of
the ballots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final

from api.index.breakdown import (
    BANDS,
    LEAST_COVERED,
    OTHERS,
    Breakdowns,
    Dimension,
    Part,
    Votes,
    days_of,
    mix_of,
    named_days,
    named_mix,
    part_of,
)
from api.index.breaking_down import tells
from api.index.cells import Cell

_Join = Callable[[Sequence[Cell]], tuple[Part, ...]]


def breakdowns_of(cells: Sequence[Cell], ballots: int) -> Breakdowns:
    """Return the breakdowns of several cells together.

    Args:
        cells: Those whose breakdowns may be printed, of one month or several.
        ballots: Ratings of the place and period, told apart or not.
    """
    found = {}
    for dimension, join in _JOINS.items():
        parts = join([cell for cell in cells if dimension in cell.breakdowns])
        if tells(dimension, parts) and sum(part.n for part in parts) >= LEAST_COVERED * ballots:
            found[dimension] = parts
    return found


def _days(cells: Sequence[Cell]) -> tuple[Part, ...]:
    by_month: dict[date, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_month[cell.month].append(cell)
    return tuple(part for month in sorted(by_month) for part in _month_days(by_month[month]))


def _month_days(cells: Sequence[Cell]) -> list[Part]:
    """Return the runs of one month: each ends at a day at which runs of all cells end."""
    every = [cell.breakdowns[Dimension.DAYS] for cell in cells]
    ends = sorted(set.intersection(*({days_of(part)[1] for part in parts} for parts in every)))
    first, made = min(days_of(parts[0])[0] for parts in every), []
    for end in ends:
        votes = _added(part for parts in every for part in parts if first <= days_of(part)[0] <= end)
        made.append(part_of(named_days(first, end), votes))
        first = end.fromordinal(end.toordinal() + 1)
    return made


def _times(cells: Sequence[Cell]) -> tuple[Part, ...]:
    every = [part for cell in cells for part in cell.breakdowns[Dimension.TIMES]]
    return tuple(
        part_of(band, _added(part for part in every if part.name == band)) for band in BANDS if every
    )


def _mix(cells: Sequence[Cell]) -> tuple[Part, ...]:
    every = [part for cell in cells for part in cell.breakdowns[Dimension.MIX]]
    told = all(mix_of(part)[1] for part in every)
    sums: dict[tuple[str, str], Votes] = defaultdict(Votes)
    for part in every:
        procedure, band = mix_of(part)
        sums[procedure, band if told else ""] += Votes(part.n, part.satisfied)
    order = sorted(sums, key=lambda key: (key[0] == OTHERS, key[0], ("", *BANDS).index(key[1])))
    return tuple(part_of(named_mix(*key), sums[key]) for key in order)


def _added(parts: Iterable[Part]) -> Votes:
    return sum((Votes(part.n, part.satisfied) for part in parts), Votes())


_JOINS: Final[dict[Dimension, _Join]] = {
    Dimension.DAYS: _days,
    Dimension.TIMES: _times,
    Dimension.MIX: _mix,
}
