"""Cells told apart: the parts are exact, stay what they are, and change only by what could stand alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.audit_folder import ExportedSignal
from api.audit_index import IndexAudit, Released, figures
from api.index.breakdown import AFTERNOON, MORNING, OTHERS, Breakdowns, Dimension, Part, Votes
from api.index.breaking_down import Spot, band_of, break_down
from api.index.cells import QUESTIONS, Cell, Item, Member, partition
from api.index.ledger import LedgerRecount
from api.index.period import Period
from api.index.publication import documents, hidden_places, published_figure
from api.index.revisions import revisions
from inference.signal import Signal
from tests.api.senders import signal

MONTH = date(2026, 6, 1)  # a Monday; the last of its weeks has two days
N = 10
UNIT = ("all", "area:a", "unit:u")
Votings = Mapping[tuple[int, str, str], tuple[int, int]]
"""Day, time of day and procedure -> ballots and satisfied ones."""


def tally(votings: Votings) -> dict[Spot, Votes]:
    return {
        Spot(MONTH.replace(day=day), band, procedure): Votes(*votes)
        for (day, band, procedure), votes in votings.items()
    }


def days(*votes: tuple[int, int, int]) -> Votings:
    return {(day, MORNING, OTHERS): (n, satisfied) for day, n, satisfied in votes}


def of(found: Breakdowns, dimension: Dimension) -> list[tuple[str, int, int]]:
    return [(part.name, part.n, part.satisfied) for part in found.get(dimension, ())]


@pytest.mark.parametrize(
    ("moment", "band"), [((7, 30), MORNING), ((11, 29), MORNING), ((11, 30), AFTERNOON), ((16, 0), AFTERNOON)]
)
def test_the_afternoon_begins_at_half_past_eleven(moment: tuple[int, int], band: str) -> None:
    assert band_of(datetime(2026, 6, 1, *moment)) == band  # noqa: DTZ001 - a wall clock's time


@pytest.mark.parametrize(
    ("votings", "runs"),
    [
        (
            days((1, 12, 9), (2, 10, 8), (9, 11, 6), (30, 10, 2)),
            ["06-01/06-01:12", "06-02/06-07:10", "06-08/06-14:11", "06-15/06-30:10"],
        ),
        # Nine are not enough; what is left of a week joins its last run.
        (days((1, 9, 5), (2, 3, 2), (3, 9, 5), (8, 20, 15)), ["06-01/06-07:21", "06-08/06-30:20"]),
        # A week of a few goes on into the next.
        (
            days((3, 4, 2), (9, 7, 5), (10, 12, 8), (16, 10, 7)),
            ["06-01/06-09:11", "06-10/06-14:12", "06-15/06-30:10"],
        ),
        # All satisfied, or one on the other side: the next ten are awaited, not the next dissatisfied one.
        (
            days((1, 12, 12), (2, 3, 1), (3, 8, 6), (4, 10, 7)),
            ["06-01/06-03:23", "06-04/06-30:10"],
        ),
        (days((1, 12, 11), (2, 11, 10), (3, 10, 7)), ["06-01/06-02:23", "06-03/06-30:10"]),
        # Few at the end of the month: the week before is given up, as its last run could not end later.
        (
            days((15, 12, 9), (22, 11, 8), (24, 12, 8), (30, 3, 2)),
            ["06-01/06-21:12", "06-22/06-30:26"],
        ),
        (
            days((22, 12, 8), (24, 12, 8), (29, 10, 8), (30, 3, 2)),
            ["06-01/06-22:12", "06-23/06-28:12", "06-29/06-30:13"],
        ),
        (days((1, 9, 5), (20, 9, 5)), []),
        (days((1, 40, 40)), []),
        ({}, []),
    ],
)
def test_days_are_put_together_until_they_may_be_published(votings: Votings, runs: Sequence[str]) -> None:
    found = of(break_down(tally(votings), MONTH, N), Dimension.DAYS)
    assert [f"{name.replace('2026-', '')}:{n}" for name, n, _ in found] == list(runs)
    assert sum(satisfied for _, _, satisfied in found) == (sum(s for _, s in votings.values()) if runs else 0)


@pytest.mark.parametrize(
    ("morning", "afternoon", "told"),
    [
        ((12, 9), (10, 8), True),
        ((12, 9), (9, 6), False),
        ((12, 11), (20, 10), False),
        ((30, 20), (20, 1), False),
    ],
)
def test_times_of_day_are_told_apart_where_both_may_be(
    morning: tuple[int, int], afternoon: tuple[int, int], *, told: bool
) -> None:
    found = break_down(tally({(3, MORNING, "a"): morning, (3, AFTERNOON, "a"): afternoon}), MONTH, N)
    assert of(found, Dimension.TIMES) == ([("morning", *morning), ("afternoon", *afternoon)] if told else [])
    whole = (morning[0] + afternoon[0], morning[1] + afternoon[1])
    expected = [("a|morning", *morning), ("a|afternoon", *afternoon)] if told else [("a|", *whole)]
    assert of(found, Dimension.MIX) == expected


def mixed(**procedures: tuple[tuple[int, int], tuple[int, int]]) -> Votings:
    return {
        (3, band, name.replace("none", "")): votes
        for name, both in procedures.items()
        for band, votes in zip((MORNING, AFTERNOON), both, strict=True)
    }


@pytest.mark.parametrize(
    ("votings", "mix"),
    [
        (
            mixed(a=((20, 15), (20, 12)), b=((10, 8), (14, 10))),
            ["a|morning:20", "a|afternoon:20", "b|morning:10", "b|afternoon:14"],
        ),
        # One of them is too few in the afternoon: none is told apart, or the others' would come out.
        (mixed(a=((20, 15), (20, 12)), b=((10, 8), (4, 3))), ["a|:40", "b|:14"]),
        # Too few, and those that name nothing: together.
        (mixed(a=((20, 15), (20, 12)), b=((4, 3), (2, 1)), none=((3, 3), (6, 5))), ["a|:40", "|:15"]),
        # Not even together: the smallest of the others joins them.
        (mixed(a=((20, 15), (20, 12)), b=((2, 1), (1, 1)), c=((6, 4), (6, 4))), ["a|:40", "|:15"]),
        (mixed(a=((20, 15), (20, 12)), b=((2, 1), (1, 1))), []),
        (mixed(none=((20, 15), (20, 12))), []),
        (mixed(a=((20, 20), (20, 20)), b=((20, 20), (20, 20))), []),
    ],
)
def test_procedures_are_told_apart_where_all_parts_may_be(votings: Votings, mix: Sequence[str]) -> None:
    found = of(break_down(tally(votings), MONTH, N), Dimension.MIX)
    named = {f"{name}:{n}" for name, n, _ in found}
    assert named == set(mix)


def item(name: str, votings: Votings, *, others: Mapping[str, int] | None = None) -> Item:
    """Return a counter whose ratings these are, of which no log tells of the visits."""
    spots = tally(votings)
    whole = sum(spots.values(), Votes())
    sums = {"others.n": whole.n, **{f"others.y.{question}": whole.satisfied for question in QUESTIONS}}
    member = Member(name, MONTH, date(2026, 7, 1))
    return Item("kiosk", (*UNIT, f"counter:{name}"), sums | dict(others or {}), (member,), tally=spots)


FULL: Votings = dict(mixed(a=((20, 15), (20, 12)), b=((10, 8), (14, 10)))) | {
    (17, MORNING, "a"): (15, 9),
    (17, AFTERNOON, "b"): (11, 6),
}


def first(*items: Item) -> dict[str, Cell]:
    return {cell.key: cell for cell in partition(MONTH, items, N)[0]}


def again(before: Mapping[str, Cell], *items: Item) -> dict[str, Cell]:
    return {**before, **{cell.key: cell for cell in revisions(items, before, MONTH, N)}}


def test_small_counters_are_added_first_and_broken_down_together() -> None:
    half = dict.fromkeys(FULL, (4, 2))
    found = first(item("q1", {(3, MORNING, "a"): (6, 4)}), item("q2", {(17, AFTERNOON, "b"): (8, 5)}))
    assert not found["kiosk unit:u"].breakdowns, "fourteen are one part"
    found = first(
        item("q1", {(3, MORNING, "a"): (6, 4), (17, AFTERNOON, "b"): (3, 2)}),
        item("q2", {(3, MORNING, "a"): (4, 2), (17, AFTERNOON, "b"): (5, 3)}),
        item("q4", {(18, AFTERNOON, "b"): (2, 1)}),
        item("q3", half),
    )
    assert of(found["kiosk unit:u"].breakdowns, Dimension.TIMES) == [("morning", 10, 6), ("afternoon", 10, 6)]
    assert found["kiosk counter:q3"].broken_down == 1


def test_a_unanimous_stratum_keeps_a_cell_whole() -> None:
    """All of its dissatisfied ballots would be the other stratum's, in each part."""
    plain = item("q1", FULL)
    assert first(plain)["kiosk counter:q1"].breakdowns
    n, satisfied = plain.sums["others.n"], plain.sums["others.y.overall"]
    for of_scored, broken in ((12, False), (11, True), (0, False), (1, True)):
        sums = {
            "visits": 300,
            "given": 100,
            "others.n": n - 12,
            "consented.n": 12,
            **{f"others.y.{question}": satisfied - of_scored for question in QUESTIONS},
            **{f"consented.y.{question}": of_scored for question in QUESTIONS},
        }
        (cell,) = first(replace(plain, sums=sums)).values()
        assert cell.strata == ("consented", "others")
        assert bool(cell.breakdowns) == broken, of_scored


def test_a_cell_is_read_back_with_its_breakdowns_and_old_entries_without_them() -> None:
    (cell,) = first(item("q1", FULL)).values()
    found = Cell.parse(cell.document())
    assert (found.breakdowns, found.broken_down) == (cell.breakdowns, 1)
    assert found.document() == cell.document()
    assert sum(part.n for part in cell.breakdowns[Dimension.DAYS]) == cell.ballots == cell.in_parts
    old = replace(cell, breakdowns={}, broken_down=0)
    assert not {"breakdowns", "broken_down"} & old.document().keys()
    assert Cell.parse(old.document()).document() == old.document()
    # What was released without them gets none later: what was hidden is not opened.
    after = again({"kiosk counter:q1": old}, item("q1", grown(a=(20, 12))))["kiosk counter:q1"]
    assert (after.revision, after.breakdowns, after.broken_down) == (2, {}, 0)


def grown(votings: Votings = FULL, *, day: int = 3, band: str = MORNING, **more: tuple[int, int]) -> Votings:
    made = dict(votings)
    for procedure, (n, satisfied) in more.items():
        was = made.get((day, band, procedure), (0, 0))
        made[day, band, procedure] = was[0] + n, was[1] + satisfied
    return made


@pytest.mark.parametrize(
    ("later", "changed"),
    [
        (grown(a=(20, 12)), True),
        (grown(a=(10, 5), b=(10, 5)), True),
        (grown(a=(15, 7), b=(5, 5)), False),  # five of one procedure
        (grown(a=(10, 10), b=(10, 5)), False),  # ten of one, all satisfied
        (grown(a=(10, 9), b=(10, 5)), False),  # and with one of them on the other side
        (grown(grown(a=(12, 6)), band=AFTERNOON, a=(3, 2)), False),  # three in the afternoon
        (grown(grown(a=(12, 6)), day=17, a=(3, 2)), False),  # three of another run of days
        (grown(a=(20, 12), c=(10, 5)), False),  # a procedure that no part is for
    ],
)
def test_parts_change_only_by_what_could_stand_alone(later: Votings, *, changed: bool) -> None:
    before = first(item("q1", FULL))
    old = before["kiosk counter:q1"]
    new = again(before, item("q1", later))["kiosk counter:q1"]
    assert (new.revision, new.ballots) == (2, sum(n for n, _ in later.values()))
    assert new.broken_down == (2 if changed else 1)
    assert new.in_parts == (new.ballots if changed else old.ballots)
    assert {key: [part.name for part in parts] for key, parts in new.breakdowns.items()} == {
        key: [part.name for part in parts] for key, parts in old.breakdowns.items()
    }
    assert (new.breakdowns == old.breakdowns) != changed
    third = again({new.key: new}, item("q1", grown(later, a=(20, 12))))["kiosk counter:q1"]
    assert third.broken_down == (3 if changed else 1), "what stayed behind stays"
    assert audited(old, new, third) == ""


@pytest.mark.parametrize("seed_offset", range(3))
def test_drawn_revisions_tell_nothing_of_a_few(seed: int, seed_offset: int) -> None:
    """Whatever comes later: each part of the new print less the old one is nobody, or could stand alone."""
    rng = random.Random(seed + seed_offset)  # noqa: S311 - a seeded sequence, no secret
    changes = stays = 0
    for _ in range(60):
        votings = dict(FULL)
        cells = [first(item("q1", votings))["kiosk counter:q1"]]
        for _ in range(2):
            for spot in rng.sample(sorted(votings), rng.randint(1, 3)):
                n = rng.choice((1, 4, 12, 25))
                before = votings[spot]
                votings[spot] = before[0] + n, before[1] + rng.randint(0, n)
            cells.append(again({cells[-1].key: cells[-1]}, item("q1", votings))[cells[-1].key])
        for old, new in itertools.pairwise(cells):
            for dimension, parts in new.breakdowns.items():
                for part, was in zip(parts, old.breakdowns[dimension], strict=True):
                    n, yes = part.n - was.n, part.satisfied - was.satisfied
                    assert part.name == was.name
                    assert (n, yes) == (0, 0) or (n >= N and 2 <= yes <= n - 2)
            changes += new.breakdowns != old.breakdowns
            stays += new.revision > old.revision and new.breakdowns == old.breakdowns
        released = [cell for old, cell in zip([None, *cells], cells, strict=False) if cell is not old]
        assert audited(*released) == ""
    assert changes, "some change"
    assert stays, "some stay"


def audited(*cells: Cell) -> str:
    """Return what an auditor says of the revisions of a cell; empty when nothing."""
    released = Released(tuple((cell, N) for cell in cells), (), {})
    found = IndexAudit(released, (), LedgerRecount(()), erased={}, kept_from=None).sums()
    return "" if found.ok else found.detail


def _with(cell: Cell, dimension: Dimension, parts: Sequence[Part]) -> Cell:
    return replace(cell, breakdowns={**cell.breakdowns, dimension: tuple(parts)})


def _more(part: Part, n: int, satisfied: int) -> Part:
    return replace(part, n=part.n + n, satisfied=part.satisfied + satisfied)


Change = Callable[[tuple[Part, ...]], Sequence[Part]]
DAYS, TIMES, MIX = Dimension.DAYS, Dimension.TIMES, Dimension.MIX


@pytest.mark.parametrize(
    ("dimension", "change", "reason"),
    [
        (DAYS, lambda of: [_more(of[0], 1, 0), *of[1:]], "do not add up"),
        (TIMES, lambda of: [_more(of[0], 0, 1), *of[1:]], "do not add up"),
        (MIX, lambda of: of[1:], "do not add up"),
        (DAYS, lambda of: of[:1], "not told apart"),
        (DAYS, lambda of: [replace(of[0], name="2026-06-01/2026-06-10"), *of[1:]], "do not follow"),
        (DAYS, lambda of: [_more(of[0], 17, 10), _more(of[1], -17, -10)], "too few"),
        (TIMES, lambda of: [_more(of[0], -1, 0), _more(of[1], 1, 0)], "do not agree"),
        (TIMES, lambda of: of[::-1], "are others"),
        (
            MIX,
            lambda of: [replace(part, name="a|" if part is of[0] else part.name) for part in of],
            "only some",
        ),
    ],
)
def test_parts_that_the_centre_forged_are_found(dimension: Dimension, change: Change, reason: str) -> None:
    (cell,) = first(item("q1", FULL)).values()
    assert len(cell.breakdowns[Dimension.DAYS]) == 2
    assert audited(cell) == ""
    assert reason in audited(_with(cell, dimension, change(cell.breakdowns[dimension])))
    assert "no release before" in audited(replace(cell, broken_down=2))


def test_a_boundary_that_was_moved_after_the_release_is_found() -> None:
    old = first(item("q1", FULL))["kiosk counter:q1"]
    new = again({old.key: old}, item("q1", grown(a=(20, 12))))[old.key]
    one, two = new.breakdowns[Dimension.DAYS]
    (since, until), last = one.name.split("/"), two.name.split("/")[1]
    moved = date.fromisoformat(until) + timedelta(days=1)
    forged = [
        replace(one, name=f"{since}/{moved}"),
        replace(two, name=f"{moved + timedelta(days=1)}/{last}"),
    ]
    assert audited(old, new) == ""
    assert "too few people, or others" in audited(old, _with(new, Dimension.DAYS, forged))
    assert "dropped" in audited(old, replace(new, breakdowns={}, broken_down=0))
    few = item("q1", grown(a=(15, 7), b=(5, 5)))
    stale = again({old.key: old}, few)[old.key]
    fresh = first(few)[old.key]
    opened = replace(stale, breakdowns=fresh.breakdowns, broken_down=2)
    assert "too few people" in audited(old, opened)


@pytest.mark.parametrize("name", ["days", "times", "mix"])
def test_a_printed_part_that_was_changed_dropped_or_moved_is_found(name: str) -> None:
    """`index.json` is made again of the released cells."""
    cells = tuple(first(item("q1", FULL), item("q2", grown(b=(20, 9)))).values())
    released = Released(tuple((cell, N) for cell in cells), (), {})
    published: dict[str, Any] = documents(cells, (), N)
    assert figures(released, published, N).ok
    printed = published["unit:u 2026-06"]["breakdowns"][name]
    honest = [list(part) for part in printed]
    for forged in (
        [[honest[0][0], honest[0][1] + 1, honest[0][2]], *honest[1:]],
        honest[:-1],
        [[honest[0][0] + "x", *honest[0][1:]], *honest[1:]],
    ):
        published["unit:u 2026-06"]["breakdowns"][name] = forged
        assert figures(released, published, N).detail == "1 differ: unit:u 2026-06"


def test_days_whose_scores_were_to_be_set_aside_are_found(seed: int) -> None:
    """Five and four scores of two days tell each other apart from the days that are shown: nine in all."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    exported = [
        ExportedSignal(Signal.model_validate(_signal(rng, "q1", day=3 if number < 5 else 4)), number, None)
        for number in range(9)
    ]
    plain = item("q1", FULL, others={"signals": 9})
    (cell,) = first(plain).values()
    member = replace(cell.members[0], as_of=100)
    rightly = (MONTH.replace(day=3), MONTH.replace(day=4))
    for aside, ok in ((rightly, True), ((), False), (rightly[:1], False)):
        made = replace(cell, members=(replace(member, set_aside=aside),))
        released = Released(((made, N),), (), {})
        found = IndexAudit(released, exported, LedgerRecount(()), erased={}, kept_from=None).sums()
        assert found.ok == ok, aside
        assert ok or "set aside" in found.detail


def test_scores_of_a_counter_that_moved_to_another_cell_are_held_to_no_rule_of_one_part(seed: int) -> None:
    """The release judged all days of the counter: with the four of another unit they are thirteen."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    days = [3] * 5 + [4] * 4 + [20] * 4
    exported = [
        ExportedSignal(Signal.model_validate(_signal(rng, "q1", day=day)), number, None)
        for number, day in enumerate(days)
    ]
    (cell,) = first(item("q1", FULL, others={"signals": 9})).values()
    member = replace(cell.members[0], first=MONTH, until=MONTH.replace(day=11), as_of=8)
    released = Released(((replace(cell, members=(member,)), N),), (), {})
    found = IndexAudit(released, exported, LedgerRecount(()), erased={}, kept_from=None).sums()
    assert found.ok, found.detail


def _signal(rng: random.Random, counter: str, *, day: int) -> dict[str, Any]:
    start = datetime.fromisoformat(f"2026-06-{day:02d}T09:00:00+07:00")
    made = signal(rng, counter, start=start, score=0.7)
    return {**made, "session_id": str(uuid4())}


def test_what_is_hidden_is_hidden_with_its_parts() -> None:
    """A unit's parts are those of its printed counters: less the others they would be the hidden one's."""
    unanimous = {(3, MORNING, "a"): (12, 12)}
    cells = tuple(first(item("q1", FULL), item("q2", unanimous), item("q3", grown(b=(20, 9)))).values())
    hidden = hidden_places(cells, N)
    (closed,) = [place for _, place in hidden if place.startswith("counter:")]
    period = Period.parse("2026-06")
    assert published_figure(closed, period, cells, (), hidden) is None
    unit = published_figure("unit:u", period, cells, (), hidden)
    assert unit is not None
    shown = next(cell for cell in cells if cell.breakdowns and cell.path[-1] != closed)
    assert all(sum(part.n for part in parts) <= shown.ballots for parts in unit.breakdowns.values()), (
        "of one of both"
    )
    mine = published_figure(shown.path[-1], period, cells, (), hidden)
    assert mine is not None
    assert mine.breakdowns == shown.breakdowns
    assert mine.breakdowns_behind == 0


def test_small_counters_beside_a_counter_with_a_figure_are_in_no_breakdown() -> None:
    """42 of 54 and at least 10 of 11 are 82 % of 65: were the 54 broken down, the eleven all said yes."""
    small = [
        item(f"s{number}", {(2 + number, MORNING, "a"): (5, 4), (16 + number, AFTERNOON, "a"): (4, 3)})
        for number in range(6)
    ]
    unanimous = item("q1", {(3, MORNING, "a"): (6, 6), (17, AFTERNOON, "a"): (5, 5)})
    period = Period.parse("2026-06")
    for items, n, told in (((*small,), 54, True), ((*small, unanimous), 65, False)):
        cells = tuple(first(*items).values())
        together = next(cell for cell in cells if cell.key == "kiosk unit:u")
        assert (together.ballots, together.satisfied) == (54, 42)
        assert together.breakdowns.keys() == set(Dimension)
        for place in UNIT:
            found = published_figure(place, period, cells, (), hidden_places(cells, N))
            assert found is not None
            assert found.completeness.ballots == n
            assert found.breakdowns == (together.breakdowns if told else {}), place


def test_a_places_runs_end_where_those_of_all_its_cells_do() -> None:
    one = days((1, 12, 8), (2, 12, 8), (9, 12, 8), (16, 12, 8))
    other = days((2, 24, 16), (10, 20, 12), (16, 12, 8))
    cells = tuple(first(item("q1", one), item("q2", other)).values())
    period = Period.parse("2026-06")
    found = published_figure("unit:u", period, cells, (), hidden_places(cells, N))
    assert found is not None
    assert of(found.breakdowns, Dimension.DAYS) == [
        ("2026-06-01/2026-06-07", 48, 32),
        ("2026-06-08/2026-06-14", 32, 20),
        ("2026-06-15/2026-06-30", 24, 16),
    ]


def test_a_place_whose_cells_share_no_bound_is_not_told_apart_by_days() -> None:
    one, other = days((1, 12, 8), (9, 12, 8)), days((9, 12, 8), (16, 12, 8))
    cells = tuple(first(item("q1", one), item("q2", other)).values())
    assert all(len(cell.breakdowns[Dimension.DAYS]) > 1 for cell in cells)
    found = published_figure("unit:u", Period.parse("2026-06"), cells, (), frozenset())
    assert found is not None
    assert Dimension.DAYS not in found.breakdowns


def test_a_place_is_broken_down_only_where_its_parts_are_four_fifths_of_it() -> None:
    period = Period.parse("2026-06")
    for few, told in ((22, True), (23, False)):
        plain = {(3, MORNING, ""): (few, few - 6)}
        cells = tuple(first(item("q1", FULL), item("q2", plain)).values())
        found = published_figure("unit:u", period, cells, (), frozenset())
        assert found is not None
        assert (Dimension.MIX in found.breakdowns) == told


def test_an_older_part_says_how_many_came_since() -> None:
    old = first(item("q1", FULL))
    cells = tuple(again(old, item("q1", grown(a=(15, 7), b=(5, 5)))).values())
    found = published_figure("counter:q1", Period.parse("2026-06"), cells, (), frozenset())
    assert found is not None
    assert found.breakdowns_behind == 20
    assert found.document()["breakdowns_behind"] == 20
