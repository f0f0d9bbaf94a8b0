"""A cell told apart by day, by time of day and by procedure, so that no smaller group comes out of it.

A breakdown is a partition of the cell's ratings at the counter. Every part stands on at least `minimum_n`
ballots with at least `BOTH_SIDES` on either side, so each part, and each sum of parts, could be published by
itself. What is smaller is protected as follows (`tests/api/test_breakdown_secrecy.py` tries it).

**Across dimensions.** A reader knows the parts of each dimension and the strata of the cell, each a list of
sums that add up to the same people. Exchange the days of two people who answered alike: all sums, and every
decision of the rule below, stay. So the people in a part A of one dimension *and* a part B of another may be
any number from max(0, a + b - N) to min(a, b) (Fréchet's bounds), an interval of width
min(a, b, N - a, N - b): at least `minimum_n` people, of those satisfied and of the others at least
`BOTH_SIDES`, and at least one where B is a stratum, since no stratum may be unanimous. Further dimensions
only widen it.

**Time of day and procedure** share the time of day, so by themselves they would not be two dimensions: all
of the morning less one procedure's morning is the others' morning. Hence either every part of the mix is
told apart by the time of day, and then the times of day are sums of the mix, or none is. Where none is, both
ends of Fréchet's interval leave somewhere nobody, in which case none is told apart either: the reader who
knows the rule has both ends left.

**Days of a run.** Whether a run ends at a day hangs on nothing but the sums from its first day on. Any fewer
than `minimum_n` people could have come before its last day, and have said anything. What is left over at the
end of a week joins the run before it in the same week, which could as well have ended that late; at the end
of the month all runs of a week are given up for it, for the same reason. Days are put together to blocks by
the number of people alone, and only then blocks to runs by what they said, so that nobody who is known to
have come alone is found by a run's ending with the second dissatisfied ballot.

**Procedures put together** are not told: any of them could be any other. That on some days, or with some
procedure, there was nobody may come out; it is nobody's secret.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from api.index.breakdown import (
    AFTERNOON,
    BANDS,
    MORNING,
    OTHERS,
    Breakdowns,
    Dimension,
    Part,
    Votes,
    days_of,
    mix_of,
    monday_of,
    named_days,
    named_mix,
    part_of,
)
from api.schema import next_month

AFTERNOON_FROM: Final = time(11, 30)
"""Of Viet Nam: offices close for lunch about then."""


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """Where a ballot stands, as finely as it is counted; it never leaves the tables.

    Attributes:
        day: In Viet Nam.
        band: One of `BANDS`.
        procedure: Its code; `OTHERS` where the ballot names none.
    """

    day: date
    band: str
    procedure: str


Tally = Mapping[Spot, Votes]
_Key = Callable[[Spot], str | None]


def band_of(moment: datetime) -> str:
    """Return the time of day of a moment given in the time of Viet Nam."""
    return MORNING if moment.time() < AFTERNOON_FROM else AFTERNOON


def tallied(several: Iterable[Tally]) -> dict[Spot, Votes]:
    """Add tallies up."""
    total: dict[Spot, Votes] = defaultdict(Votes)
    for tally in several:
        for spot, votes in tally.items():
            total[spot] += votes
    return dict(total)


def break_down(tally: Tally, month: date, minimum_n: int) -> Breakdowns:
    """Tell ballots apart as far as every part can be published.

    Args:
        tally: The ballots of one cell.
        month: Its first day.
        minimum_n: Fewest ballots of a part.
    """
    found = {
        Dimension.DAYS: _days(tally, month, minimum_n),
        Dimension.TIMES: _times(tally, minimum_n),
        Dimension.MIX: _mix(tally, minimum_n),
    }
    return {dimension: parts for dimension, parts in found.items() if tells(dimension, parts)}


def counted_again(tally: Tally, before: Breakdowns) -> Breakdowns | None:
    """Count ballots by the parts of an earlier release; None where some belong to none of them."""
    made = {}
    for dimension, parts in before.items():
        sums = _summed(tally, _key_of(dimension, parts))
        if None in sums:
            return None
        made[dimension] = tuple(part_of(part.name, sums.get(part.name, Votes())) for part in parts)
    return made


def grown_by_enough(new: Breakdowns, old: Breakdowns, minimum_n: int) -> bool:
    """Tell whether each part grew by nothing, or by ballots that could be published by themselves."""
    if [(key, [part.name for part in parts]) for key, parts in sorted(new.items())] != [
        (key, [part.name for part in parts]) for key, parts in sorted(old.items())
    ]:
        return False
    for dimension, parts in new.items():
        for part, was in zip(parts, old[dimension], strict=True):
            more = Votes(part.n - was.n, part.satisfied - was.satisfied)
            if more != Votes() and not more.publishable(minimum_n):
                return False
    return True


def tells(dimension: Dimension, parts: Sequence[Part]) -> bool:
    """Tell whether parts tell anything apart: several do, and a mix of one named procedure."""
    return len(parts) > 1 or (dimension is Dimension.MIX and any(mix_of(part)[0] != OTHERS for part in parts))


def fault_of(breakdowns: Breakdowns, month: date, votes: Votes, minimum_n: int) -> str:
    """Return what is wrong with the breakdowns of a cell, without its ballots; empty when nothing is.

    Args:
        breakdowns: As they were released.
        month: First day of the cell's month.
        votes: The ballots that they tell apart.
        minimum_n: Fewest ballots of a part.
    """
    faults = (_fault(dimension, parts, month, votes, minimum_n) for dimension, parts in breakdowns.items())
    found = next((fault for fault in faults if fault), "")
    mix = breakdowns.get(Dimension.MIX, ())
    told = {mix_of(part)[1] for part in mix} - {""}
    if found or not told:
        return found
    if not all(mix_of(part)[1] in BANDS for part in mix):
        return "only some of its procedures are told apart by the time of day"
    agree = _by_band(mix) == tuple(breakdowns.get(Dimension.TIMES, ()))
    return "" if agree else "its procedures and its times of day do not agree"


def _fault(dimension: Dimension, parts: Sequence[Part], month: date, votes: Votes, minimum_n: int) -> str:
    sums = [Votes(part.n, part.satisfied) for part in parts]
    names = [part.name for part in parts]
    if not tells(dimension, parts) or len(set(names)) < len(names):
        return f"its {dimension} are not told apart"
    if sum(sums, Votes()) != votes:
        return f"its {dimension} do not add up to its ballots"
    if not all(part.publishable(minimum_n) for part in sums):
        return f"a part of its {dimension} tells of too few people"
    if dimension is Dimension.DAYS and not _covers(parts, month):
        return "its days do not follow each other through the month"
    return "its times of day are others" if dimension is Dimension.TIMES and tuple(names) != BANDS else ""


def _days(tally: Tally, month: date, minimum_n: int) -> tuple[Part, ...]:
    by_day: dict[date, Votes] = defaultdict(Votes)
    for spot, votes in tally.items():
        by_day[spot.day] += votes
    return tuple(
        part_of(named_days(run[0], run[-1]), sum((by_day[day] for day in run), Votes()))
        for run in _runs(by_day, month, minimum_n)
    )


def _runs(by_day: Mapping[date, Votes], month: date, minimum_n: int) -> list[list[date]]:
    """Return the runs of a month, which hold each of its days."""

    def people(days: Sequence[date]) -> Votes:
        return sum((by_day[day] for day in days if day in by_day), Votes())

    first, end = month.toordinal(), next_month(month).toordinal()
    days = [[date.fromordinal(at)] for at in range(first, end)]
    blocks = _gathered(days, people, lambda votes: votes.n >= minimum_n)
    return _gathered(blocks, people, lambda votes: votes.publishable(minimum_n))


def _gathered(
    several: Sequence[list[date]], people: Callable[[Sequence[date]], Votes], enough: Callable[[Votes], bool]
) -> list[list[date]]:
    """Put stretches of days together until they are enough, within a week as far as may be."""
    made: list[list[date]] = []
    waiting: list[date] = []
    for at, stretch in enumerate(several, 1):
        waiting = waiting + stretch
        if enough(people(waiting)):
            made.append(waiting)
            waiting = []
        monday = monday_of(stretch[-1])
        goes_on = at < len(several) and monday_of(several[at][-1]) == monday
        if waiting and not goes_on and made and made[-1][-1] >= monday:
            made[-1] += waiting
            waiting = []
    if waiting and made:
        # What ends this week could have ended later; what began within the week before could not.
        monday = monday_of(made[-1][-1])
        while people(waiting).n and len(made) > 1 and made[-2][-1] >= monday:
            waiting = made.pop() + waiting
        made[-1] += waiting
    return made


def _times(tally: Tally, minimum_n: int) -> tuple[Part, ...]:
    sums = _summed(tally, lambda spot: spot.band)
    if not all(sums.get(band, Votes()).publishable(minimum_n) for band in BANDS):
        return ()
    return tuple(part_of(band, sums[band]) for band in BANDS)


def _mix(tally: Tally, minimum_n: int) -> tuple[Part, ...]:
    sums = _summed(tally, lambda spot: spot.procedure)
    named = {
        str(name): votes for name, votes in sums.items() if name != OTHERS and votes.publishable(minimum_n)
    }
    others = sum((votes for name, votes in sums.items() if name not in named), Votes())
    while named and others.n and not others.publishable(minimum_n):
        smallest = min(named, key=lambda name: (named[name].n, name))
        others += named.pop(smallest)
    whole = [part_of(named_mix(name, ""), votes) for name, votes in sorted(named.items())]
    if others.n:
        whole.append(part_of(named_mix(OTHERS, ""), others))
    if not named or (others.n and not others.publishable(minimum_n)):
        return ()
    return _split(tally, tuple(whole), minimum_n) or tuple(whole)


def _split(tally: Tally, whole: Sequence[Part], minimum_n: int) -> tuple[Part, ...]:
    """Tell every part of the mix apart by the time of day; return nothing where one cannot be."""
    key = _key_of(Dimension.MIX, whole)
    made = []
    for part in whole:
        for band in BANDS:
            mine = (votes for spot, votes in tally.items() if spot.band == band and key(spot) == part.name)
            votes = sum(mine, Votes())
            if not votes.publishable(minimum_n):
                return ()
            made.append(part_of(named_mix(mix_of(part)[0], band), votes))
    return tuple(made)


def _key_of(dimension: Dimension, parts: Sequence[Part]) -> _Key:
    """Return what tells the part of a spot; None where it belongs to none of them."""
    if dimension is Dimension.TIMES:
        return lambda spot: spot.band
    if dimension is Dimension.DAYS:
        bounds = [(*days_of(part), part.name) for part in parts]
        return lambda spot: next((name for first, last, name in bounds if first <= spot.day <= last), None)
    names = {part.name for part in parts}
    told = any(mix_of(part)[1] for part in parts)

    def name_of(spot: Spot) -> str | None:
        band = spot.band if told else ""
        asked = (named_mix(spot.procedure, band), named_mix(OTHERS, band))
        return next((name for name in asked if name in names), None)

    return name_of


def _summed(tally: Tally, key: _Key) -> dict[str | None, Votes]:
    sums: dict[str | None, Votes] = defaultdict(Votes)
    for spot, votes in tally.items():
        sums[key(spot)] += votes
    return dict(sums)


def _by_band(mix: Sequence[Part]) -> tuple[Part, ...]:
    sums: dict[str, Votes] = defaultdict(Votes)
    for part in mix:
        sums[mix_of(part)[1]] += Votes(part.n, part.satisfied)
    return tuple(part_of(band, sums[band]) for band in BANDS)


def _covers(parts: Sequence[Part], month: date) -> bool:
    day = month
    for part in parts:
        try:
            first, last = days_of(part)
        except ValueError:
            return False
        if first != day or last < first:
            return False
        day = last + timedelta(days=1)
    return day == next_month(month)
