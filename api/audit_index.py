"""What an auditor checks of the index: released sums from signals and edges' logs, figures from those.

The sums of ballots themselves stand on the centre's word as of the release, since ballots are not exported;
what the scores beside them sum up to, whom the ledger counts, and who was put together are counted again. So
do the breakdowns' parts: that they follow the rule, add up and stay as they were released is checked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from api.audit_finding import Finding, names_of
from api.audit_folder import ExportedSignal
from api.figures import day_of
from api.index.breakdown import Votes
from api.index.breaking_down import fault_of
from api.index.calibrations import Calibrations, KeptCalibration
from api.index.cells import CONSENTED, PASSIVE, POOLED, REST, SCORED, Cell, Member, tells_apart
from api.index.counting import scores_to_set_aside
from api.index.errors import IndexRefused
from api.index.formula import KIOSK, Formula, from_document
from api.index.ledger import COUNTS, LedgerRecount
from api.index.model_key import model_key
from api.index.publication import documents, newest
from api.index.releases import REVISION
from api.index.revisions import LATER, due, may_be_broken_down_again, may_come_later
from api.log import Kind
from api.schema import next_month, ppm
from api.statistics.errors import StatisticsError

SUMS: Final = "index sums"
FIGURES: Final = "index figures"


@dataclass(frozen=True, slots=True)
class Released:
    """What the centre's log tells of the index.

    Attributes:
        cells: Every revision, in the order of the log, each with the fewest people of its release.
        formulas: The formulas of the releases and those decided since.
        later: Month and key of the cells that came after the first release of their month.
    """

    cells: tuple[tuple[Cell, int], ...]
    formulas: tuple[Formula, ...]
    calibrations: Mapping[int, KeptCalibration]
    later: frozenset[tuple[date, str]] = frozenset()

    @classmethod
    def of(cls, leaves: Iterable[Mapping[str, Any]]) -> Released:
        """Read it from the entries of the log.

        Raises:
            IndexRefused: One of them is none of the index.
        """
        cells: list[tuple[Cell, int]] = []
        formulas: dict[int, Formula] = {}
        calibrations: dict[int, KeptCalibration] = {}
        later: set[tuple[date, str]] = set()
        begun: dict[date, int] = {}
        for place, leaf in enumerate(leaves):
            try:
                if leaf["kind"] == Kind.INDEX_RELEASE:
                    found = [Cell.parse(cell) for cell in leaf["cells"]]
                    cells += [(cell, int(leaf["minimum_n"])) for cell in found]
                    month = date.fromisoformat(leaf["month"])
                    # The entries of a first release follow each other: they are of one transaction.
                    if leaf["left_out"] == REVISION or begun.setdefault(month, place) != place:
                        later |= {(cell.month, cell.key) for cell in found if cell.revision == 1}
                    else:
                        begun[month] = place + 1
                if leaf["kind"] in {Kind.INDEX_RELEASE, Kind.INDEX_FORMULA}:
                    formula = from_document(leaf["formula"])
                    formulas[formula.version] = formula
                if leaf["kind"] == Kind.CALIBRATION:
                    kept = KeptCalibration.parse(leaf)
                    calibrations[kept.version] = kept
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                if isinstance(error, IndexRefused):
                    raise
                raise IndexRefused(
                    f"an entry of the log about the index cannot be read: {error!r}"
                ) from error
        decided = tuple(formulas[version] for version in sorted(formulas))
        return cls(tuple(cells), decided, calibrations, frozenset(later))

    def sizes(self) -> list[tuple[UUID, int]]:
        """Return up to where which edge's log stands behind the sums."""
        return [
            (edge, size)
            for cell, _ in self.cells
            for member in cell.members
            for edge, size in member.ledger.items()
        ]

    def figures(self, minimum_n: int) -> dict[str, Any]:
        """Return every figure that these releases publish, as text."""
        return documents(newest(cell for cell, _ in self.cells), self.formulas, minimum_n)


class IndexAudit:
    """Counts the released sums again.

    Args:
        released: What the log tells.
        signals: Of the whole export.
        recount: Of the edges' logs.
        erased: Counter and day -> sessions that were erased.
        kept_from: Day before which the retention removed signals; None when it never did.
    """

    def __init__(
        self,
        released: Released,
        signals: Sequence[ExportedSignal],
        recount: LedgerRecount,
        *,
        erased: Mapping[tuple[str, date], int],
        kept_from: date | None,
    ) -> None:
        """Sort the signals by counter."""
        self._released = released
        self._recount = recount
        self._erased = erased
        self._kept_from = kept_from
        self._signals: dict[str, list[tuple[date, ExportedSignal]]] = defaultdict(list)
        seen: set[UUID] = set()
        for item in sorted(signals, key=lambda item: item.arrival):
            if item.signal.session_id not in seen:
                seen.add(item.signal.session_id)
                self._signals[item.signal.counter].append((day_of(item.signal), item))

    def sums(self) -> Finding:
        """Check every released cell."""
        wrong: list[str] = []
        told: Counter[str] = Counter()
        before: dict[tuple[date, str], Cell] = {}
        homes: dict[tuple[date, str, str, date], str] = {}
        for cell, minimum_n in self._released.cells:
            old = before.get((cell.month, cell.key))
            later = (cell.month, cell.key) in self._released.later
            fault = _rule_fault(cell, old, minimum_n, later=later)
            if later and old is None and not fault:
                there = [item for (month, _), item in before.items() if month == cell.month]
                fault = "" if may_come_later(cell, there) else "it came later and tells what people said"
            for member in cell.members:
                home = cell.month, cell.channel, member.counter, member.first
                if homes.setdefault(home, cell.key) != cell.key:
                    fault = "a counter is in two cells"
            fault = fault or self._ledger_fault(cell, told)
            fault = fault or self._score_fault(cell, minimum_n, told)
            if fault:
                wrong.append(f"{cell.month:%Y-%m} {cell.key} revision {cell.revision}: {fault}")
            before[cell.month, cell.key] = cell
        text = (
            f"{told['exact']} cells exactly, {told['erased']} with sessions erased since, "
            f"{told['retired']} past their retention, "
            f"{told['waiting']} whose edges' logs are not here that far"
        )
        if wrong:
            return Finding(SUMS, False, f"{len(wrong)} cells differ: {names_of(wrong)} ({text})")
        return Finding(SUMS, True, text)

    def _ledger_fault(self, cell: Cell, told: Counter[str]) -> str:
        found = dict.fromkeys(COUNTS, 0)
        for member in cell.members:
            for edge, size in member.ledger.items():
                days = self._recount.of(edge, size)
                if days is None:
                    told["waiting"] += 1
                    return ""
                for (counter, day), counts in days.items():
                    if counter == member.counter and member.first <= day < member.until:
                        for name in COUNTS:
                            found[name] += counts[name]
        differs = [name for name in COUNTS if cell.channel == KIOSK and cell.sums.get(name, 0) != found[name]]
        return f"the edges' logs count other {', '.join(differs)}" if differs else ""

    def _score_fault(self, cell: Cell, minimum_n: int, told: Counter[str]) -> str:
        if cell.channel != KIOSK or (self._kept_from is not None and cell.month < self._kept_from):
            told["exact" if cell.channel != KIOSK else "retired"] += 1
            return ""
        unknown = [item for item in cell.basis.calibrations if item not in self._released.calibrations]
        versions = [self._released.calibrations[item] for item in cell.basis.calibrations - set(unknown)]
        if unknown:
            return f"the log has no calibration {unknown[0]}"
        if any(item.calibration.until > cell.month or not item.calibration.usable for item in versions):
            return "a calibration was not to be used for this month"
        sums = self._scores_again(cell, Calibrations({item.model: item for item in versions}))
        gone = cell.sums.get("signals", 0) - sums["signals"]
        if 0 < gone <= self._erased_of(cell):
            told["erased"] += 1
            return ""
        if gone:
            fault = f"{abs(gone)} signals {'are missing' if gone > 0 else 'were not counted'}"
        elif not self._set_aside_rightly(cell, minimum_n):
            fault = "scores of other days were to be set aside"
        elif any(sums[name] != value for name, value in _scores(cell).items()):
            fault = "the scores sum up to something else"
        else:
            told["exact"] += 1
            fault = ""
        return fault

    def _scores_again(self, cell: Cell, calibrations: Calibrations) -> Counter[str]:
        sums: Counter[str] = Counter()
        for member in cell.members:
            for day, item in self._of(member):
                sums["signals"] += 1
                raw = ppm(item.signal.overall.score)
                kept = calibrations.of(model_key(item.signal.models))
                if raw is not None and kept is not None and day not in member.set_aside:
                    score = kept.score_ppm(raw)
                    sums += Counter(n=1, f=score, ff=score * score)
        return sums

    def _set_aside_rightly(self, cell: Cell, minimum_n: int) -> bool:
        for member in cell.members:
            if self._counts_elsewhere(member, cell.month):
                continue  # the release judged all days of the counter; what it knew of the others is not here
            mine = self._of(member)
            scored = Counter(day for day, item in mine if item.signal.overall.score is not None)
            if member.set_aside != scores_to_set_aside(scored, minimum_n):
                return False
        return True

    def _counts_elsewhere(self, member: Member, month: date) -> bool:
        """Tell whether a counter sent signals in a month beside its days in a cell: it may have moved."""
        return any(
            month <= day < next_month(month) and not member.first <= day < member.until
            for day, _ in self._signals.get(member.counter, ())
        )

    def _erased_of(self, cell: Cell) -> int:
        return sum(
            n
            for (counter, day), n in self._erased.items()
            for member in cell.members
            if counter == member.counter and member.first <= day < member.until
        )

    def _of(self, member: Member) -> list[tuple[date, ExportedSignal]]:
        return [
            (day, item)
            for day, item in self._signals.get(member.counter, ())
            if member.first <= day < member.until and item.arrival <= member.as_of
        ]


def figures(released: Released, published: Any, minimum_n: int) -> Finding:  # noqa: ANN401 - any JSON
    """Compute every figure again from the released sums, and compare it to the last digit."""
    if not isinstance(published, dict):
        return Finding(FIGURES, False, "index.json holds no figures")
    try:
        computed = released.figures(minimum_n)
    except (StatisticsError, ArithmeticError, KeyError) as error:
        return Finding(FIGURES, False, f"no figures follow from the released sums: {error}")
    other = sorted(
        key for key in computed.keys() | published.keys() if computed.get(key) != published.get(key)
    )
    if other:
        return Finding(FIGURES, False, f"{len(other)} differ: {names_of(other)}")
    return Finding(FIGURES, True, f"{len(computed)} places and periods reproduced to the last digit")


def _scores(cell: Cell) -> dict[str, int]:
    """Return what the cell says of its scores, as far as its strata tell it."""
    if SCORED not in cell.strata:
        return {}
    if not cell.sums.get(f"{PASSIVE}.n"):
        return {"n": cell.sums.get(f"{SCORED}.visits", 0)}
    return {
        name: cell.sums.get(f"{SCORED}.{name}", 0) + cell.sums.get(f"{PASSIVE}.{name}", 0)
        for name in ("n", "f", "ff")
    }


def _rule_fault(cell: Cell, old: Cell | None, minimum_n: int, *, later: bool) -> str:
    """Return what a release did against its own rules."""
    ballots = {name: cell.sums.get(f"{name}.n", 0) for name in cell.strata}
    visits = {name: cell.sums.get(f"{name}.visits", 0) for name in cell.strata}
    told_apart = cell.channel == KIOSK and cell.strata != (POOLED,)
    agreed = sum(visits.get(name, 0) for name in (SCORED, CONSENTED))
    first = old.printed_first if old is not None else LATER if later else None
    faults = (
        ("it is of no month", cell.month.day != 1),
        (f"it stands on fewer than {minimum_n} ballots", min(ballots.values(), default=0) < minimum_n),
        ("more are satisfied than voted", any(_exceeds(cell, name, n) for name, n in ballots.items())),
        (
            "the strata are not all visits",
            told_apart and sum(visits.values()) != cell.sums.get("visits", 0),
        ),
        (
            "the strata are not those who consented",
            told_apart and REST not in cell.strata and agreed != cell.sums.get("given", 0),
        ),
        ("a revision is missing", cell.revision != (1 if old is None else old.revision + 1)),
        (
            "it was released again for too few people",
            old is not None and not due(cell, old, minimum_n),
        ),
        ("it tells of another first release", cell.first != first),
    )
    found = next((text for text, wrong in faults if wrong), "")
    return found or _breakdown_fault(cell, old, minimum_n)


def _breakdown_fault(cell: Cell, old: Cell | None, minimum_n: int) -> str:
    """Return what a release did against the rules of breakdowns; ballots themselves are not exported."""
    if not cell.breakdowns:
        return "its breakdowns were dropped" if old is not None and old.breakdowns else ""
    if cell.channel != KIOSK or not tells_apart(cell.strata, cell.sums):
        return "it is broken down beside a unanimous stratum"
    if cell.broken_down == cell.revision:
        found = fault_of(cell.breakdowns, cell.month, Votes(cell.ballots, cell.satisfied), minimum_n)
        if found or old is None:
            return found
        again = may_be_broken_down_again(cell, old, minimum_n)
        return "" if again else "its parts were changed for too few people, or others were made"
    kept = old is not None and (cell.breakdowns, cell.broken_down) == (old.breakdowns, old.broken_down)
    return "" if kept else "its breakdowns are of no release before it"


def _exceeds(cell: Cell, stratum: str, n: int) -> bool:
    satisfied = (value for key, value in cell.sums.items() if key.startswith(f"{stratum}.y."))
    return any(not 0 <= value <= n for value in satisfied)
