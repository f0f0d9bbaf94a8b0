"""Which figures of a month's table may be printed: few are hidden, and nothing small can be found out.

- Fewer than `fewest` ballots: no figure.
- *Complementary*: further figures are hidden until every small cell has another world (`suppression_worlds`)
  that prints the same, in which the cell has at least `fewest` ballots, at least `more_ballots` more than in
  truth and `more_satisfied` more satisfied ones: the reader's interval for both is at least that wide.
- *Nobody's vote by unanimity*: a cell in which all, or none, were satisfied tells what each person said. A
  shown one is printed as a bound that holds for one more or less (`api.disclosure.share_text`), and no sum
  may give the bound away: for each there is a world in which one person said otherwise.

The same table gives the same decisions; what is hidden is hidden in every statistic of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.disclosure import nearly_unanimous
from api.statistics.errors import StatisticsError
from api.statistics.suppression_lattice import Counts, Table
from api.statistics.suppression_worlds import Block, Need, Printed


class NotProtected(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Even with everything else hidden a cell could be found out: publish no table of this month."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How well hidden cells are protected.

    Attributes:
        fewest: Fewest ballots behind a figure.
        more_ballots: By how many more ballots a hidden small cell could be thought larger, at least.
        more_satisfied: The same for satisfied ballots.
    """

    fewest: int = 10
    more_ballots: int = 5
    more_satisfied: int = 3


SPECIFIED: Final = Rule()


class Verdict(StrEnum):
    """What is printed of a cell."""

    SHOWN = "shown"
    BOUND = "bound"
    """Shown, the share as a bound only."""
    FEW = "few"
    COMPLEMENTARY = "complementary"
    """Hidden so that another one cannot be found out."""
    NOT_OFFERED = "not-offered"


_CELL: Final = 5
"""What hiding a cell costs besides its ballots."""
_VISIBLE: Final = frozenset({Verdict.SHOWN, Verdict.BOUND})


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A table with the decision on each of its cells.

    Attributes:
        verdicts: In the order of the table's cells.
    """

    table: Table
    rule: Rule
    verdicts: tuple[Verdict, ...]

    def verdict(self, place: str, window: str) -> Verdict | None:
        """Return the decision on a cell; None when nobody gave a ballot there."""
        for cell, verdict in zip(self.table.cells, self.verdicts, strict=True):
            if (cell.place, cell.window) == (place, window):
                return verdict
        return None

    def by_name(self) -> Mapping[tuple[str, str], Verdict]:
        """Return place and window -> decision."""
        names = ((cell.place, cell.window) for cell in self.table.cells)
        return dict(zip(names, self.verdicts, strict=True))

    @property
    def hidden(self) -> frozenset[int]:
        """Numbers of the cells that are not printed."""
        return frozenset(number for number, verdict in enumerate(self.verdicts) if verdict not in _VISIBLE)

    def lost(self) -> Lost:
        """Return how much of the table is not printed."""
        offered = [
            (verdict, self.table.counts(cell).n)
            for cell, verdict in zip(self.table.cells, self.verdicts, strict=True)
            if cell.offered
        ]
        return Lost(
            len(offered),
            sum(verdict is Verdict.FEW for verdict, _ in offered),
            sum(verdict is Verdict.COMPLEMENTARY for verdict, _ in offered),
        )


@dataclass(frozen=True, slots=True)
class Lost:
    """Cells that have ballots, and how many of them are hidden for which reason."""

    offered: int
    few: int
    complementary: int


Progress = Callable[[int, int], None]
"""Told how many of how many places are decided."""


def suppress(table: Table, rule: Rule = SPECIFIED, *, progress: Progress | None = None) -> Suppressed:
    """Decide on every cell of a table.

    Args:
        table: Of one calendar month.
        rule: How well hidden cells are protected.
        progress: Told after each place.

    Raises:
        NotProtected: No search found a table that protects a cell, not even one without other figures.
    """
    search = _Search(table, rule, primary(table, rule))
    places = _from_below(table)
    for done, place in enumerate(places, 1):
        search.decide(place)
        if progress is not None:
            progress(done, len(places))
    return Suppressed(table, rule, tuple(search.verdicts))


def primary(table: Table, rule: Rule = SPECIFIED) -> list[Verdict]:
    """Return the decisions that hang on each cell alone."""
    verdicts = []
    for cell in table.cells:
        counts = table.counts(cell)
        if not cell.offered:
            verdicts.append(Verdict.NOT_OFFERED)
        elif counts.n < rule.fewest:
            verdicts.append(Verdict.FEW)
        else:
            verdicts.append(Verdict.BOUND if nearly_unanimous(counts.n, counts.satisfied) else Verdict.SHOWN)
    return verdicts


def need_of(counts: Counts, rule: Rule, *, number: int, members: tuple[int, ...]) -> Need | None:
    """Return what another world must have for a cell to be protected; None for a harmless one."""
    small = counts.n < rule.fewest
    n = max(rule.fewest, counts.n + rule.more_ballots) if small else 0
    satisfied = counts.satisfied + rule.more_satisfied if small else int(counts.satisfied == 0)
    unsatisfied = int(counts.satisfied == counts.n)
    if not (n or satisfied or unsatisfied):
        return None
    return Need(number, members, n, satisfied, unsatisfied)


def block_of(
    table: Table, rule: Rule, verdicts: Sequence[Verdict], atoms: Sequence[int], *, exact: bool = False
) -> Block:
    """Return what is printed over some atoms.

    Args:
        table: Of one calendar month.
        rule: How well hidden cells are protected.
        verdicts: In the order of the table's cells.
        atoms: Those that may differ in another world.
        exact: Whether bounds are taken for the number behind them.
    """
    chosen = frozenset(atoms)
    printed = []
    for number, (cell, verdict) in enumerate(zip(table.cells, verdicts, strict=True)):
        if verdict not in _VISIBLE or chosen.isdisjoint(cell.members):
            continue
        counts = table.counts(cell)
        least = most = counts.satisfied
        if verdict is Verdict.BOUND and not exact:
            least, most = (0, 1) if counts.satisfied <= 1 else (counts.n - 1, counts.n)
        inside = chosen.issuperset(cell.members)
        printed.append(Printed(cell.members, counts.n, least, most, number, _CELL + counts.n, inside))
    return Block(table, tuple(sorted(chosen)), tuple(printed), 2 * rule.fewest)


class _Search:
    """Decisions in the making, place by place from below."""

    def __init__(self, table: Table, rule: Rule, verdicts: list[Verdict]) -> None:
        self.table = table
        self.rule = rule
        self.verdicts = verdicts
        self.children: dict[str, list[str]] = {place: [] for place in table.parents}
        for place, parent in sorted(table.parents.items()):
            if parent is not None:
                self.children[parent].append(place)
        self.own: dict[str, list[Need]] = {place: [] for place in table.parents}
        self.atoms: dict[str, tuple[int, ...]] = dict.fromkeys(table.parents, ())
        self.unmet: dict[str, list[Need]] = {}
        """Place -> needs below it that its own atoms cannot meet."""
        for number, cell in enumerate(table.cells):
            need = need_of(table.counts(cell), rule, number=number, members=cell.members)
            if need is not None:
                self.own[cell.place].append(need)
            self.atoms[cell.place] = tuple(sorted({*self.atoms[cell.place], *cell.members}))

    def decide(self, place: str) -> None:
        """Protect what lies at a place and in its counters, and what its other children could not."""
        left = []
        inner = [child for child in self.children[place] if self.children[child]]
        for child in inner:
            siblings = sorted((other for other in self.children[place] if other != child), key=self._ballots)
            unmet = self.unmet.pop(child, [])
            atoms = self.atoms[child]
            for sibling in siblings:
                if not unmet:
                    break
                atoms = (*atoms, *self.atoms[sibling])
                unmet = self._protect(atoms, unmet)
            left += unmet
        counters = [child for child in self.children[place] if not self.children[child]]
        needs = [*left, *self.own[place], *(need for child in counters for need in self.own[child])]
        if needs:
            left = self._protect(self.atoms[place], needs)
        if self.table.parents[place] is not None:
            self.unmet[place] = left
        elif left:
            self._hide_all(place, left)

    def _protect(self, atoms: Sequence[int], needs: Sequence[Need]) -> list[Need]:
        """Hide what is needed among these atoms and return the needs that remain."""
        block = block_of(self.table, self.rule, self.verdicts, atoms)
        met = block.protected(needs)
        left = []
        rest = [need for place, need in enumerate(needs) if place not in met]
        for need in sorted(
            rest, key=lambda need: (self.table.counts(self.table.cells[need.cell]).n, need.cell)
        ):
            hidden = block.hide_for(need)
            if hidden is None:
                left.append(need)
            elif hidden:
                self._hide(hidden)
                block = block_of(self.table, self.rule, self.verdicts, atoms)
        return left

    def _hide(self, cells: Sequence[int]) -> None:
        for number in cells:
            self.verdicts[number] = Verdict.COMPLEMENTARY

    def _hide_all(self, place: str, needs: Sequence[Need]) -> None:
        """Hide every figure of a whole tree, where the search for fewer found nothing in its time."""
        block = block_of(self.table, self.rule, self.verdicts, self.atoms[place])
        self._hide([item.cell for item in block.printed if item.inside])
        block = block_of(self.table, self.rule, self.verdicts, self.atoms[place])
        if len(block.protected(needs)) < len(needs):
            raise NotProtected(
                f"cells of {place} could be found out whatever is hidden: publish nothing of this month, "
                "and report the table's sizes"
            )

    def _ballots(self, place: str) -> tuple[int, str]:
        return sum(self.table.atoms[atom].n for atom in self.atoms[place]), place


def _from_below(table: Table) -> list[str]:
    """Return places that have places below them, and wholes, each after those below it."""
    inner = set(table.parents.values())

    def depth(place: str) -> int:
        above = table.parents[place]
        return 0 if above is None else 1 + depth(above)

    chosen = [place for place, above in table.parents.items() if place in inner or above is None]
    return sorted(chosen, key=lambda place: (-depth(place), place))
