"""Whether a published month may be published again with what came later: only if the difference is mute.

Whoever keeps the old print reads the new one as old plus added. So the pattern stays: what was hidden stays
hidden, what was shown stays shown, and the *added* ballots must be publishable in that pattern by themselves:
each shown cell grew by nothing or by at least the smallest group, not unanimously, and no small addition to a
hidden cell can be found out. A cell that was printed as a bound does not grow: its new number less what was
added would be the number behind the bound. Otherwise the first publication stands. What was erased is never
taken out of a published sum again (api.releases says why).

Hidden cells stay protected under both prints together: every other world of the old table, with the true
additions put on top, prints both.
"""

from __future__ import annotations

from typing import TypeAlias

from api.statistics.suppression import Suppressed, Verdict, block_of, need_of
from api.statistics.suppression_lattice import Cell, Counts, Table

_Name: TypeAlias = tuple[str, str]


def revised(before: Suppressed, after: Table) -> Suppressed | None:
    """Return the table of a later count with the decisions of the earlier; None when the earlier must stand.

    Args:
        before: As it was published.
        after: The same month and places, counted later.
    """
    added = _added(before.table, after)
    if added is None:
        return None
    verdicts = before.by_name()
    shown = {name for name, verdict in verdicts.items() if verdict in {Verdict.SHOWN, Verdict.BOUND}}
    fewest = before.rule.fewest
    kept = []
    needs = []
    for number, cell in enumerate(added.cells):
        counts = added.counts(cell)
        if (cell.place, cell.window) in shown:
            kept.append(Verdict.SHOWN)
            bound = verdicts[cell.place, cell.window] is Verdict.BOUND
            if bound or counts.n < fewest or counts.satisfied in {0, counts.n}:
                return None
        else:
            kept.append(Verdict.FEW)
            need = need_of(counts, before.rule, number=number, members=cell.members)
            needs += [] if need is None else [need]
    block = block_of(added, before.rule, kept, range(len(added.atoms)), exact=True)
    if len(block.protected(needs)) < len(needs):
        return None
    # A new cell is not opened.
    names = ((cell.place, cell.window) for cell in after.cells)
    return Suppressed(after, before.rule, tuple(verdicts.get(name, Verdict.COMPLEMENTARY) for name in names))


def _added(before: Table, after: Table) -> Table | None:
    """Return the table of what was added; None when something was taken away."""
    old = _by_atom(before)
    new = _by_atom(after)
    if old.keys() - new.keys():
        return None
    grown: dict[int, Counts] = {}
    for name, (number, counts) in new.items():
        was = old[name][1] if name in old else Counts(0, 0)
        n, satisfied = counts.n - was.n, counts.satisfied - was.satisfied
        if not 0 <= satisfied <= n:
            return None
        if n:
            grown[number] = Counts(n, satisfied)
    place = {number: index for index, number in enumerate(grown)}
    cells = []
    for cell in after.cells:
        members = tuple(place[member] for member in cell.members if member in place)
        if members:
            cells.append(Cell(cell.place, cell.window, members, cell.offered))
    return Table(tuple(grown.values()), tuple(cells), after.parents)


def _by_atom(table: Table) -> dict[_Name, tuple[int, Counts]]:
    """Return place and window -> the smallest group of that name, with its counts."""
    inner = set(table.parents.values())
    finest = max((len(cell.window) for cell in table.cells), default=0)  # days, or the months of the index
    return {
        (cell.place, cell.window): (cell.members[0], table.atoms[cell.members[0]])
        for cell in table.cells
        if cell.place not in inner and len(cell.window) == finest
    }
