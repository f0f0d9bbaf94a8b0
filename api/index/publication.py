"""Which figures of the released cells are printed, and all of them as text.

The cells have enough people each, so no sum of them is about a few. What remains is unanimity: where all
said the same, a figure tells what each said. `api.statistics.suppression` decides on the table of every
month, from the released sums alone, so that an auditor comes to the same decision. Channels are printed by
themselves, so each has a table of its own; what one of them hides is hidden in all. Channels together are
made of what each prints (`api.index.figures`) and need no table. It decides once, on the
first release: were a place opened by a revision, the new print less the old one would tell what was hidden.
Cells that come later are mute by themselves (`api.index.revisions.may_come_later`) and so open nothing. A
quarter and a year are made of the months in which the place itself is printed.

The breakdowns of a cell are printed, and are in those of the places above it, only where the cell itself is
printed: as the only one of its channel at a place that is not hidden. Parts add up to their cell, and small
counters that were put together beside a counter with a figure have none: with their sum, the unit less them
would be what that counter hides, or the number behind its bound.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from api.index.cells import Cell
from api.index.figures import Figure, figure_of
from api.index.formula import KIOSK, Formula, choose
from api.index.period import Period, Span
from api.index.place_breakdowns import breakdowns_of
from api.index.places import ALL, Path
from api.statistics import suppression
from api.statistics.suppression import Rule, Verdict
from api.statistics.suppression_lattice import Cell as TableCell
from api.statistics.suppression_lattice import Counts, Table

HIDDEN = frozenset({Verdict.FEW, Verdict.COMPLEMENTARY, Verdict.NOT_OFFERED})
_Group = tuple[str, Path, int, int]
"""Key and path of a cell, its ballots, and those that were satisfied."""
Hidden = frozenset[tuple[date, str]]
"""Months and places of which nothing is printed."""


def hidden_places(cells: Iterable[Cell], minimum_n: int) -> Hidden:
    """Return the months and places whose figures are held back, so that no other gives anybody away.

    Args:
        cells: Newest revisions, of whole months.
        minimum_n: Fewest people behind a figure.
    """
    by_month: dict[date, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_month[cell.month].append(cell)
    hidden: set[tuple[date, str]] = set()
    for month, mine in by_month.items():
        by_channel: dict[str, list[_Group]] = defaultdict(list)
        for cell in mine:
            n, satisfied = cell.printed_first
            if n:
                by_channel[cell.channel].append((cell.key, cell.path, n, satisfied))
        for groups in by_channel.values():
            hidden |= {(month, place) for place in _hidden_in(month, tuple(groups), minimum_n)}
    return frozenset(hidden)


@functools.lru_cache(maxsize=256)
def _hidden_in(month: date, groups: tuple[_Group, ...], minimum_n: int) -> frozenset[str]:
    decided = suppression.suppress(_table(groups, month), Rule(fewest=minimum_n)).by_name()
    return frozenset(place for (place, _), verdict in decided.items() if verdict in HIDDEN)


def published_figure(
    place: str, period: Period, cells: Sequence[Cell], formulas: Iterable[Formula], hidden: Hidden
) -> Figure | None:
    """Return the index of a place as it is printed; None where nothing is.

    Args:
        place: A place of the cells' paths.
        period: Its window.
        cells: Newest revisions.
        formulas: The decided versions; the one that holds in the period's last released month is used.
        hidden: From `hidden_places` over all cells of these months.
    """
    months = set(period.months)
    mine = [
        cell
        for cell in cells
        if cell.month in months and place in cell.path and (cell.month, place) not in hidden
    ]
    if not mine:
        return None
    figure = figure_of(place, period, mine, choose(formulas, max(cell.month for cell in mine)))
    if figure is None or figure.completeness.ballots == 0:
        return figure
    told = [cell for cell in _printed_alone(mine, hidden) if cell.breakdowns]
    found = breakdowns_of(told, figure.completeness.ballots)
    behind = sum(cell.ballots - cell.in_parts for cell in told) if found else 0
    return replace(figure, breakdowns=found, breakdowns_behind=behind)


def _printed_alone(cells: Sequence[Cell], hidden: Hidden) -> list[Cell]:
    """Return the cells of ratings whose sums stand in a figure that holds no other rating."""
    at_or_below = Counter(
        (cell.month, place) for cell in cells if cell.channel == KIOSK for place in cell.path
    )
    return [
        cell
        for cell in cells
        if cell.channel == KIOSK
        and (cell.month, cell.path[-1]) not in hidden
        and at_or_below[cell.month, cell.path[-1]] == 1
    ]


def documents(cells: Sequence[Cell], formulas: Sequence[Formula], minimum_n: int) -> dict[str, Any]:
    """Return every printed figure as text: `PLACE PERIOD` -> figure, for months, quarters and years."""
    hidden = hidden_places(cells, minimum_n)
    found: dict[tuple[str, Period], list[Cell]] = defaultdict(list)
    for cell in cells:
        for place in cell.path:
            for span in Span:
                found[place, Period.holding(cell.month, span)].append(cell)
    made = {}
    for (place, period), mine in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        figure = published_figure(place, period, mine, formulas, hidden)
        if figure is not None:
            made[f"{place} {period}"] = figure.document()
    return made


def newest(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Return the newest revision of each of the cells, given in the order of the log."""
    kept: dict[tuple[date, str], Cell] = {}
    for cell in cells:
        kept[cell.month, cell.key] = cell
    return tuple(kept[key] for key in sorted(kept))


def _table(groups: Sequence[_Group], month: date) -> Table:
    atoms = tuple(Counts(n, satisfied) for _, _, n, satisfied in groups)
    members: dict[str, list[int]] = defaultdict(list)
    parents: dict[str, str | None] = {ALL: None}
    alone: dict[str, str] = {}
    for number, (key, path, *_) in enumerate(groups):
        for above, place in zip((None, *path), path, strict=False):
            members[place].append(number)
            parents.setdefault(place, above)
        alone[f"= {key}"] = path[-1]
        members[f"= {key}"] = [number]
    parents |= alone
    window = f"{month:%Y-%m}"
    table_cells = [
        TableCell(place, window, tuple(inside), offered=place not in alone)
        for place, inside in sorted(members.items())
    ]
    return Table(atoms, tuple(table_cells), dict(sorted(parents.items())))
