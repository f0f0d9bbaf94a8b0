"""Nobody is found out by breakdowns: every month of some sizes, and an exact solver over drawn ones."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
from scipy.optimize import (  # type: ignore[import-untyped] # scipy carries no types
    Bounds,
    LinearConstraint,
    milp,
)

from api.index.breakdown import (
    AFTERNOON,
    BANDS,
    BOTH_SIDES,
    MORNING,
    OTHERS,
    Breakdowns,
    Dimension,
    Part,
    Votes,
    days_of,
    mix_of,
)
from api.index.breaking_down import Spot, break_down, fault_of

Printed = tuple[tuple[Dimension, tuple[Part, ...]], ...]
MONTH = date(2026, 6, 1)  # a Monday
SMALL = 4
"""Fewest ballots of a part where all worlds are looked at."""


@dataclass(frozen=True, slots=True)
class World:
    """A month as it may have been: satisfied people and others by spot."""

    spots: tuple[Spot, ...]
    satisfied: tuple[int, ...]
    others: tuple[int, ...]

    def tally(self) -> dict[Spot, Votes]:
        return {
            spot: Votes(yes + no, yes)
            for spot, yes, no in zip(self.spots, self.satisfied, self.others, strict=True)
            if yes + no
        }


def _spread(people: int, places: int) -> Iterator[tuple[int, ...]]:
    """Return every way in which people may be in places."""
    for bars in itertools.combinations(range(people + places - 1), places - 1):
        ends = (-1, *bars, people + places - 1)
        yield tuple(after - before - 1 for before, after in itertools.pairwise(ends))


def _by_print(spots: Sequence[Spot], satisfied: int, others: int) -> list[tuple[Breakdowns, list[World]]]:
    """Return what may be released of so many people, each with all worlds of which it is released."""
    found: dict[Printed, list[World]] = defaultdict(list)
    for yes in _spread(satisfied, len(spots)):
        for no in _spread(others, len(spots)):
            world = World(tuple(spots), yes, no)
            found[tuple(sorted(break_down(world.tally(), MONTH, SMALL).items()))].append(world)
    return [(dict(printed), worlds) for printed, worlds in found.items()]


def _known(worlds: Sequence[World], inside: Iterable[int]) -> set[str]:
    """Return what a reader knows of the people in some of the spots who has these worlds left."""
    chosen = list(inside)
    sums = np.array(
        [
            (sum(world.satisfied[at] for at in chosen), sum(world.others[at] for at in chosen))
            for world in worlds
        ]
    )
    told = {"satisfied": sums[:, 0], "others": sums[:, 1], "people": sums.sum(axis=1)}
    return {name for name, values in told.items() if values.min() == values.max()}


@pytest.mark.parametrize(
    ("days", "satisfied", "others"),
    [
        ((1, 2, 3, 4), 6, 4),  # a week
        ((4, 5, 8, 9), 6, 4),  # over the end of one
        ((5, 8, 15, 29), 5, 4),  # weeks of a few, and the last days of the month
        ((24, 26, 29, 30), 7, 4),
        pytest.param((22, 24, 26, 29, 30), 5, 4, marks=pytest.mark.long),
    ],
)
def test_no_day_comes_out_of_the_runs(days: Sequence[int], satisfied: int, others: int) -> None:
    """The reader knows the rule, and on which days the counter was open."""
    spots = [Spot(MONTH.replace(day=day), MORNING, OTHERS) for day in days]
    several = 0
    for printed, worlds in _by_print(spots, satisfied, others):
        runs = [days_of(part) for part in printed.get(Dimension.DAYS, ())]
        several += len(runs) > 1
        for first, last in runs or [(spots[0].day, spots[-1].day)]:
            within = frozenset(at for at, spot in enumerate(spots) if first <= spot.day <= last)
            for size in range(1, len(within)):
                for group in itertools.combinations(within, size):
                    known = _known(worlds, group)
                    assert not known or _is_nobody(worlds, group, {within}), (printed, group, known)
    assert several, "some are told apart"


@pytest.mark.parametrize(
    ("days", "others"),
    [((1, 2, 3, 4, 5, 8, 9, 10, 11, 12), 4), ((1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 16), 4)],
)
def test_nobody_comes_out_who_is_known_to_have_come_alone(days: Sequence[int], others: int) -> None:
    """One ballot a day: where a run ends does not tell who was dissatisfied on its last day."""
    found: dict[Printed, list[set[int]]] = defaultdict(list)
    for dissatisfied in itertools.combinations(days, others):
        tally = {
            Spot(MONTH.replace(day=day), MORNING, OTHERS): Votes(1, int(day not in dissatisfied))
            for day in days
        }
        found[tuple(sorted(break_down(tally, MONTH, SMALL).items()))].append(set(dissatisfied))
    assert len(found) > 1
    for printed, worlds in found.items():
        for day in days:
            assert 0 < sum(day in world for world in worlds) < len(worlds), (printed, day)


@pytest.mark.parametrize(
    ("procedures", "satisfied", "others"),
    [
        (("a", "b"), 6, 5),
        (("a", ""), 6, 4),
        pytest.param(("a", "b"), 9, 6, marks=pytest.mark.long),
        pytest.param(("a", "b", "c"), 5, 5, marks=pytest.mark.long),
    ],
)
def test_no_procedure_or_time_of_day_comes_out_of_the_others(
    procedures: Sequence[str], satisfied: int, others: int
) -> None:
    """A reader who knows the rule and which procedures there are knows no more than parts and their sums."""
    spots = [Spot(MONTH, band, name) for name in procedures for band in BANDS]
    kinds = set()
    for parts, worlds in _by_print(spots, satisfied, others):
        kinds.add(tuple(sorted(parts)))
        told = _released(spots, parts)
        for size in range(1, len(spots)):
            for group in itertools.combinations(range(len(spots)), size):
                known = _known(worlds, group)
                assert not known or _is_nobody(worlds, group, told), (parts, group, known)
    assert {(Dimension.MIX, Dimension.TIMES), (Dimension.TIMES,)} <= kinds


def _released(spots: Sequence[Spot], parts: Breakdowns) -> set[frozenset[int]]:
    """Return the groups that are parts, or sums of parts of one dimension."""
    found: set[frozenset[int]] = set()
    for dimension, several in parts.items():
        named = {mix_of(part)[0] for part in several} if dimension is Dimension.MIX else set()
        insides = []
        for part in several:
            procedure, band = mix_of(part) if dimension is Dimension.MIX else ("", part.name)
            insides.append(
                frozenset(
                    at
                    for at, spot in enumerate(spots)
                    if band in {"", spot.band}
                    and (
                        dimension is Dimension.TIMES
                        or (spot.procedure if spot.procedure in named else OTHERS) == procedure
                    )
                )
            )
        for size in range(1, len(insides) + 1):
            found |= {frozenset().union(*some) for some in itertools.combinations(insides, size)}
    return found


def _is_nobody(worlds: Sequence[World], group: Sequence[int], told: Iterable[frozenset[int]]) -> bool:
    """Tell whether a group is nobody, or what may be known together with spots where nobody was."""
    first = worlds[0]
    empty = {
        at
        for at in range(len(first.spots))
        if all(world.satisfied[at] + world.others[at] == 0 for world in worlds)
    }
    mine = frozenset(group) - empty
    return not mine or any(mine == part - empty for part in told)


def _drawn(rng: random.Random, people: int) -> tuple[dict[Spot, Votes], dict[tuple[Spot, str], Votes]]:
    """Return a drawn month, and the same by how people came into the record."""
    procedures = ["a", "b", "c", ""][: rng.randint(2, 4)]
    days = sorted(rng.sample(range(1, 31), rng.randint(3, 8)))
    lean = rng.random()
    tally: dict[Spot, Votes] = defaultdict(Votes)
    strata: dict[tuple[Spot, str], Votes] = defaultdict(Votes)
    for _ in range(people):
        procedure = rng.choice(procedures)
        band = MORNING if rng.random() < (lean if procedure == "a" else 0.5) else AFTERNOON
        spot = Spot(MONTH.replace(day=rng.choice(days)), band, procedure)
        vote = Votes(1, int(rng.random() < 0.75))
        tally[spot] += vote
        strata[spot, rng.choice(("scored", "others"))] += vote
    return dict(tally), dict(strata)


def _ends(rows: np.ndarray, sums: np.ndarray, group: np.ndarray) -> tuple[int, int]:
    """Return the fewest and the most people of a group that the sums allow, by the exact solver."""
    ends = []
    for sign in (1, -1):
        found = milp(
            sign * group,
            constraints=LinearConstraint(rows, sums, sums),
            integrality=np.ones(len(group)),
            bounds=Bounds(0, np.inf),
            options={"mip_rel_gap": 0},
        )
        assert found.success, found.message
        ends.append(round(sign * found.fun))
    return ends[0], ends[1]


def _rows(cells: Sequence[tuple[Spot, str]], parts: Breakdowns) -> dict[tuple[str, str], np.ndarray]:
    """Return which of the cells are in each part, and in each stratum."""
    named = {mix_of(part)[0] for part in parts.get(Dimension.MIX, ())}

    def holds(dimension: Dimension, part: Part, spot: Spot) -> bool:
        if dimension is Dimension.DAYS:
            first, last = days_of(part)
            return first <= spot.day <= last
        if dimension is Dimension.TIMES:
            return spot.band == part.name
        procedure, band = mix_of(part)
        mine = spot.procedure if spot.procedure in named else OTHERS
        return mine == procedure and band in {"", spot.band}

    made = {
        (dimension.value, part.name): np.array([float(holds(dimension, part, spot)) for spot, _ in cells])
        for dimension, several in parts.items()
        for part in several
    }
    for stratum in ("scored", "others"):
        made["strata", stratum] = np.array([float(of == stratum) for _, of in cells])
    return made


@pytest.mark.parametrize("seed_offset", range(4))
def test_the_solver_finds_nobody_between_two_dimensions(seed: int, seed_offset: int) -> None:
    """What is in a part of one dimension and in one of another stays as wide as the docstring says."""
    rng = random.Random(seed + seed_offset)  # noqa: S311 - a seeded sequence, no secret
    looked_at = 0
    while looked_at < 10:
        tally, strata = _drawn(rng, rng.choice((40, 60, 90)))
        parts = break_down(tally, MONTH, 10)
        people = sum(tally.values(), Votes())
        assert fault_of(parts, MONTH, people, 10) == ""
        cells = [(spot, of) for spot in tally for of in ("scored", "others")]
        rows = _rows(cells, parts)
        sums = {kind: np.array([_side(strata.get(cell, Votes()), kind) for cell in cells]) for kind in _SIDES}
        of_strata = [rows["strata", name] @ sums[kind] for name in ("scored", "others") for kind in _SIDES]
        if len(parts) < 2 or min(of_strata) < 1:
            continue
        (one, first), (other, second) = rng.sample(sorted(rows), 2)
        if one == other or ({one, other} == {"times", "mix"} and _told_by_time(parts)):
            continue
        looked_at += 1
        group = rows[one, first] * rows[other, second]
        matrix = np.array(list(rows.values()))
        width = {}
        for kind in _SIDES:
            least, most = _ends(matrix, matrix @ sums[kind], group)
            width[kind] = most - least
        wide = 1 if "strata" in {one, other} else BOTH_SIDES
        assert min(width.values()) >= wide, (one, first, other, second, parts)


_SIDES = ("satisfied", "others")


def _side(votes: Votes, kind: str) -> int:
    return votes.satisfied if kind == "satisfied" else votes.n - votes.satisfied


def _told_by_time(parts: Mapping[Dimension, Sequence[Part]]) -> bool:
    return any(mix_of(part)[1] for part in parts.get(Dimension.MIX, ()))


def test_the_solver_finds_the_few_where_one_procedure_is_told_apart_by_time_alone() -> None:
    """The control: all of the morning less one procedure's morning is the others' morning."""
    spots = [Spot(MONTH, band, name) for name in ("a", "b") for band in BANDS]
    people = np.array([20.0, 15.0, 3.0, 30.0])
    naive = np.array(
        [
            [1.0, 0, 0, 0],  # a in the morning
            [0, 1, 0, 0],
            [0, 0, 1, 1],  # b
            [1, 0, 1, 0],  # the morning
            [0, 1, 0, 1],
        ]
    )
    assert _ends(naive, naive @ people, np.array([0.0, 0, 1, 0])) == (3, 3)
    tally = {spot: Votes(int(n), int(n) // 2) for spot, n in zip(spots, people, strict=True)}
    parts = break_down(tally, MONTH, 10)
    assert [part.name for part in parts[Dimension.MIX]] == ["a|", "b|"]
    assert [part.n for part in parts[Dimension.TIMES]] == [23, 45]
