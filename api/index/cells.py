"""Cells: the smallest groups of people whose sums may leave the tables; every figure is made of whole cells.

Each counter's month is a cell where its ballots are enough. Where they are not, they go up the tree, in with
the other few of their unit, of their area, and so on, until they are enough together. So the cells are a
partition: a unit or an area is the sum of the cells below it, and no difference of figures, over places
or over months, speaks of fewer people than `minimum_n`. What is not enough in the whole is left out.

Within a cell of the counter's channel people are told apart by how they came into the record, since those
who let themselves be measured are not like those who did not:

- `scored`: consented, and a calibrated score of the session stands;
- `consented`: consented, without such a score;
- `others`: refused, said nothing, were not asked, or withdrew. The link of a withdrawn session's ballot
  is removed with its signal, so a ballot without a link is here, refusal or not, and the
  ledger's share of the three says how much each counts.

Each needs enough ballots of its own; else two are put together, and else all of them (`pooled`), without
weights.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

from api.index import breakdown
from api.index.breakdown import Breakdowns
from api.index.breaking_down import Tally, break_down, tallied
from api.index.formula import KIOSK
from api.index.places import ALL, Path
from inference.signal import Criterion

QUESTIONS: Final = ("overall", *(criterion.value for criterion in Criterion))
"""What is counted of a rating: satisfied with all four, and with each."""
QUALITY: Final = ("visits", "given", "refused", "slots", "lost", "gap_ms", "consented_ms", "signals")
"""Counts of the ledger, and of signals, that say how complete a cell is."""
SCORED, CONSENTED, OTHERS, REST, POOLED = "scored", "consented", "others", "rest", "pooled"
PASSIVE: Final = "passive"
_MOST_MEMBERS: Final = 200
"""A cell is one entry of the log at most."""
Sums = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Member:
    """A counter's part of a cell.

    Attributes:
        first: First day; `until` is the first day that is no longer of it.
        as_of: The newest arrival among its signals.
        set_aside: Days whose scores are not used: too few to stand beside the days that are shown.
        ledger: Edge -> entries of its log that the counts of visits stand on.
    """

    counter: str
    first: date
    until: date
    as_of: int = 0
    set_aside: tuple[date, ...] = ()
    ledger: Mapping[UUID, int] = field(default_factory=dict)

    def document(self) -> list[Any]:
        """Return it as it stands in the log."""
        days = [day.isoformat() for day in self.set_aside]
        ledger = {str(edge): size for edge, size in sorted(self.ledger.items())}
        return [self.counter, self.first.isoformat(), self.until.isoformat(), self.as_of, days, ledger]

    @classmethod
    def parse(cls, document: Sequence[Any]) -> Member:
        """Read it from the log."""
        counter, first, until, as_of, days, ledger = document
        return cls(
            str(counter),
            date.fromisoformat(first),
            date.fromisoformat(until),
            int(as_of),
            tuple(map(date.fromisoformat, days)),
            {UUID(edge): int(size) for edge, size in ledger.items()},
        )


@dataclass(frozen=True, slots=True)
class Basis:
    """What the sums of a cell were counted from.

    Attributes:
        calibrations: Versions of the calibrations that the scores went through.
        models: `name version` of the models behind the signals.
        software: Releases of the edges' program.
    """

    calibrations: frozenset[int] = frozenset()
    models: frozenset[str] = frozenset()
    software: frozenset[str] = frozenset()

    def __or__(self, other: Basis) -> Basis:
        """Return the basis of two groups together."""
        return Basis(
            self.calibrations | other.calibrations,
            self.models | other.models,
            self.software | other.software,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """What was counted of one channel at one counter (or unit) in one month, before anything may be shown.

    Attributes:
        path: From the whole down to the place.
        transactions: Completed transactions that it stands for; None where they are not known.
        tally: Its ratings at the counter, by day, time of day and procedure.
    """

    channel: str
    path: Path
    sums: Sums
    members: tuple[Member, ...] = ()
    transactions: int | None = None
    basis: Basis = Basis()
    tally: Tally = field(default_factory=dict)

    def __add__(self, other: Item) -> Item:
        """Put two items together; the path is the first one's."""
        known = self.transactions is not None and other.transactions is not None
        return Item(
            self.channel,
            self.path,
            added((self.sums, other.sums)),
            (*self.members, *other.members),
            (self.transactions or 0) + (other.transactions or 0) if known else None,
            self.basis | other.basis,
            tallied((self.tally, other.tally)),
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """A released group.

    Attributes:
        month: Its first day.
        key: Channel and place, unique within the month.
        revision: 1 for the first release.
        strata: Names of its parts; ballots of each stand under `NAME.n`.
        places: Counters or units that are in it together.
        first: Ballots, and satisfied ones, in the first release of the month; (0, 0) for a cell that came
            later. None in that release itself: its own.
        breakdowns: Its ratings told apart, where that may be published.
        broken_down: The revision whose ballots the breakdowns add up to; 0 where there are none.
    """

    month: date
    key: str
    revision: int
    channel: str
    path: Path
    strata: tuple[str, ...]
    sums: Sums
    members: tuple[Member, ...]
    places: int
    transactions: int | None
    basis: Basis
    first: tuple[int, int] | None = None
    breakdowns: Breakdowns = field(default_factory=dict)
    broken_down: int = 0

    @property
    def ballots(self) -> int:
        """Ballots in it."""
        return sum(self.sums.get(f"{name}.n", 0) for name in self.strata)

    @property
    def satisfied(self) -> int:
        """Those that were satisfied; of questionnaires, those of the criterion with the most."""
        if self.channel == KIOSK:
            return sum(self.sums.get(f"{name}.y.overall", 0) for name in self.strata)
        best = max((value for name, value in self.sums.items() if name.endswith(".y")), default=0)
        return min(best, self.sums.get(f"{POOLED}.n", 0))

    @property
    def printed_first(self) -> tuple[int, int]:
        """Ballots, and satisfied ones, in the first release of the month."""
        return (self.ballots, self.satisfied) if self.first is None else self.first

    @property
    def in_parts(self) -> int:
        """Ballots that the breakdowns tell apart; fewer than its own where those stayed as they were."""
        return max((sum(part.n for part in parts) for parts in self.breakdowns.values()), default=0)

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the log: whole numbers; squares of scores as text."""
        made = {
            "month": self.month.isoformat(),
            "key": self.key,
            "revision": self.revision,
            "channel": self.channel,
            "path": list(self.path),
            "strata": list(self.strata),
            "sums": {
                name: str(value) if name.endswith(".ff") else value
                for name, value in sorted(self.sums.items())
                if value
            },
            "members": [member.document() for member in self.members],
            "places": self.places,
            "transactions": self.transactions,
            "calibrations": sorted(self.basis.calibrations),
            "models": sorted(self.basis.models),
            "software": sorted(self.basis.software),
            "first": None if self.first is None else list(self.first),
        }
        if self.breakdowns:  # entries of before there were any stay as they are
            made |= {"breakdowns": breakdown.document(self.breakdowns), "broken_down": self.broken_down}
        return made

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Cell:
        """Read it from the log."""
        return cls(
            date.fromisoformat(document["month"]),
            str(document["key"]),
            int(document["revision"]),
            str(document["channel"]),
            tuple(map(str, document["path"])),
            tuple(map(str, document["strata"])),
            {str(name): int(value) for name, value in document["sums"].items()},
            tuple(map(Member.parse, document["members"])),
            int(document["places"]),
            None if document["transactions"] is None else int(document["transactions"]),
            Basis(
                frozenset(map(int, document["calibrations"])),
                frozenset(map(str, document["models"])),
                frozenset(map(str, document["software"])),
            ),
            _pair(document.get("first")),
            breakdown.parse(document.get("breakdowns", {})),
            int(document.get("broken_down", 0)),
        )


def added(several: Iterable[Sums]) -> dict[str, int]:
    """Add sums up, name by name."""
    total: dict[str, int] = defaultdict(int)
    for sums in several:
        for name, value in sums.items():
            total[name] += value
    return dict(total)


def partition(month: date, items: Sequence[Item], minimum_n: int) -> tuple[list[Cell], int]:
    """Make cells of items, from the lowest places up.

    Returns:
        The cells, and how many counters or units are in none.
    """
    cells: list[Cell] = []
    named: Counter[str] = Counter()
    waiting: dict[tuple[str, Path], list[Item]] = defaultdict(list)
    for item in items:
        waiting[item.channel, item.path].append(item)
    left_out = 0
    while waiting:
        channel, path = max(waiting, key=lambda at: (len(at[1]), at))
        here = waiting.pop((channel, path))
        for group in _groups(here):
            together = replace(_sum(group), path=path)
            chosen = shown(together, minimum_n)
            if chosen is not None:
                key = f"{channel} {path[-1]}"
                named[key] += 1  # a counter that moved has a cell at each of its places
                number = f" {named[key]}" if named[key] > 1 else ""
                cell = _cell(month, key + number, together, chosen, len(group))
                cells.append(_broken_down(cell, together, minimum_n))
            elif path == (ALL,):
                left_out += len(group)
            else:
                waiting[channel, path[:-1]].extend(group)
    return sorted(cells, key=lambda cell: cell.key), left_out


def shown(item: Item, minimum_n: int) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Return the strata and the sums of an item that may leave the tables; None when it is too few."""
    if item.channel != KIOSK:
        return _survey(item.sums, minimum_n)
    quality = {name: item.sums.get(name, 0) for name in QUALITY}
    for groups in _groupings(item.sums):
        kept = {name: _stratum(item.sums, parts, minimum_n) for name, parts in groups.items()}
        present = {name: sums for name, sums in kept.items() if sums["n"] or sums["visits"]}
        if present and all(sums["n"] >= minimum_n and sums["visits"] > 0 for sums in present.values()):
            flat = {f"{name}.{key}": value for name, sums in present.items() for key, value in sums.items()}
            if flat.get(f"{SCORED}.f"):
                flat |= {f"{PASSIVE}.{key}": item.sums.get(f"{PASSIVE}.{key}", 0) for key in ("n", "f", "ff")}
            return tuple(present), quality | flat
    pooled = _stratum(item.sums, (SCORED, CONSENTED, OTHERS), minimum_n)
    if pooled["n"] < minimum_n:
        return None
    return (POOLED,), quality | {f"{POOLED}.{key}": value for key, value in pooled.items() if key != "visits"}


def tells_apart(strata: Iterable[str], sums: Sums) -> bool:
    """Tell whether ballots may be broken down: else a unanimous stratum gives a part of the others away.

    Args:
        strata: Of a cell of the counter's channel.
        sums: Its sums, or what was added to them.
    """
    return all(
        0 < sums.get(f"{name}.y.overall", 0) < sums.get(f"{name}.n", 0)
        for name in strata
        if sums.get(f"{name}.n", 0)
    )


def _pair(document: Sequence[int] | None) -> tuple[int, int] | None:
    if document is None:
        return None
    n, satisfied = document
    return int(n), int(satisfied)


def _groupings(sums: Sums) -> list[dict[str, tuple[str, ...]]]:
    """Return the ways to tell people apart, the finest first; none where the ledger does not tell."""
    if not 0 < _visits(sums, SCORED) + _visits(sums, CONSENTED) <= sums.get("visits", 0):
        return [{OTHERS: (OTHERS,)}] if sums.get("visits", 0) and not sums.get("given", 0) else []
    if _visits(sums, CONSENTED) < 0:
        return []
    return [
        {SCORED: (SCORED,), CONSENTED: (CONSENTED,), OTHERS: (OTHERS,)},
        {SCORED: (SCORED,), REST: (CONSENTED, OTHERS)},
        {CONSENTED: (SCORED, CONSENTED), OTHERS: (OTHERS,)},
    ]


def _visits(sums: Sums, part: str) -> int:
    scored = sums.get(f"{SCORED}.n", 0) + sums.get(f"{PASSIVE}.n", 0)
    if part == SCORED:
        return scored
    given = sums.get("given", 0)
    return given - scored if part == CONSENTED else sums.get("visits", 0) - given


def _stratum(sums: Sums, parts: tuple[str, ...], minimum_n: int) -> dict[str, int]:
    kept = {
        "n": sum(sums.get(f"{part}.n", 0) for part in parts),
        "visits": sum(_visits(sums, part) for part in parts),
    }
    for question in QUESTIONS:
        kept[f"y.{question}"] = sum(sums.get(f"{part}.y.{question}", 0) for part in parts)
    if parts == (SCORED,) and sums.get(f"{PASSIVE}.n", 0) >= minimum_n:
        kept |= {name: sums.get(f"{SCORED}.{name}", 0) for name in ("f", "ff")}
        kept |= {f"yf.{name}": sums.get(f"{SCORED}.yf.{name}", 0) for name in QUESTIONS}
    return kept


def _survey(sums: Sums, minimum_n: int) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Keep the criteria that enough people answered."""
    if sums.get(f"{POOLED}.n", 0) < minimum_n:
        return None
    kept = {f"{POOLED}.n": sums[f"{POOLED}.n"]}
    for name, n in sums.items():
        if name.endswith(".n") and name != f"{POOLED}.n" and n >= minimum_n:
            kept[name] = n
            kept[name[:-2] + ".y"] = sums.get(name[:-2] + ".y", 0)
    return (POOLED,), kept


def _groups(items: Sequence[Item]) -> list[list[Item]]:
    ordered = sorted(items, key=lambda item: (item.path, [m.counter for m in item.members]))
    return [ordered[at : at + _MOST_MEMBERS] for at in range(0, len(ordered), _MOST_MEMBERS)]


def _sum(group: Sequence[Item]) -> Item:
    total = group[0]
    for item in group[1:]:
        total += item
    return total


def _cell(
    month: date, key: str, item: Item, chosen: tuple[tuple[str, ...], dict[str, int]], places: int
) -> Cell:
    strata, sums = chosen
    return Cell(
        month,
        key,
        1,
        item.channel,
        item.path,
        strata,
        sums,
        item.members,
        places,
        item.transactions,
        item.basis,
    )


def _broken_down(cell: Cell, item: Item, minimum_n: int) -> Cell:
    if cell.channel != KIOSK or not tells_apart(cell.strata, cell.sums):
        return cell
    found = break_down(item.tally, cell.month, minimum_n)
    return replace(cell, breakdowns=found, broken_down=1) if found else cell
