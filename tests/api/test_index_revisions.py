"""Released again: what a second print of a month may tell beside the first, and what it may not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from api.index.cells import POOLED, QUESTIONS, Basis, Cell, Item, Member, partition
from api.index.publication import documents, hidden_places
from api.index.revisions import LATER, due, revisions
from api.statistics.suppression import Rule, suppress
from api.statistics.suppression_lattice import Cell as TableCell
from api.statistics.suppression_lattice import Counts, Table
from api.statistics.suppression_revision import revised
from inference.signal import Criterion

MONTH = date(2026, 6, 1)
N = 10
UNIT = ("all", "area:a", "unit:u")


def rating(path: Sequence[str], n: int, satisfied: int, **sums: int) -> Item:
    """Return ballots of a counter of which no log tells of the visits."""
    counter = path[-1].partition(":")[2]
    answers = {f"others.y.{question}": satisfied for question in QUESTIONS}
    member = Member(counter, MONTH, date(2026, 7, 1))
    return Item("kiosk", tuple(path), {"others.n": n, **answers, **sums}, (member,))


def counter(name: str, n: int, satisfied: int) -> Item:
    return rating((*UNIT, f"counter:{name}"), n, satisfied)


def first(*items: Item) -> dict[str, Cell]:
    return {cell.key: cell for cell in partition(MONTH, items, N)[0]}


def again(before: Mapping[str, Cell], *items: Item) -> dict[str, Cell]:
    """Return the newest revisions after the items were counted again."""
    return {**before, **{cell.key: cell for cell in revisions(items, before, MONTH, N)}}


def table(cells: Mapping[str, Cell]) -> Table:
    """Return the month as the attack of the suppression knows it: every place over its cells."""
    order = sorted(cells.values(), key=lambda cell: cell.key)
    parents: dict[str, str | None] = {"all": None}
    members: dict[str, list[int]] = {}
    for number, cell in enumerate(order):
        for above, place in zip((None, *cell.path), cell.path, strict=False):
            parents.setdefault(place, above)
            members.setdefault(place, []).append(number)
        parents[f"= {cell.key}"] = cell.path[-1]
        members[f"= {cell.key}"] = [number]
    return Table(
        tuple(Counts(cell.ballots, cell.satisfied) for cell in order),
        tuple(
            TableCell(place, "2026-06", tuple(inside), offered=not place.startswith("= "))
            for place, inside in sorted(members.items())
        ),
        dict(sorted(parents.items())),
    )


def hidden(cells: Mapping[str, Cell]) -> set[str]:
    return {place for _, place in hidden_places(cells.values(), N) if not place.startswith("= ")}


def test_a_second_print_opens_nothing_that_the_first_hid() -> None:
    """Were it decided anew, both prints together would give the number behind the first print's bound."""
    q1, q2, q3 = counter("q1", 40, 30), counter("q2", 12, 12), counter("q3", 20, 15)
    before = first(q1, q2, q3)
    (closed,) = hidden(before)
    grown = {"counter:q1": (q1, 70, 50), "counter:q3": (q3, 70, 50)}[closed]
    items = [q2, *(item for item in (q1, q3) if item is not grown[0])]
    after = again(before, *items, counter(closed.partition(":")[2], *grown[1:]))
    assert after[f"kiosk {closed}"].revision == 2
    assert hidden(after) == {closed}
    printed = documents(tuple(after.values()), (), N)
    assert f"{closed} 2026-06" not in printed
    assert (
        printed["unit:u 2026-06"]["overall"]["share"]["n"]
        > documents(tuple(before.values()), (), N)["unit:u 2026-06"]["overall"]["share"]["n"]
    )


@pytest.mark.parametrize("said", [12, 11, 1, 0])
def test_what_was_printed_as_a_bound_does_not_grow(said: int) -> None:
    """The unit's new print less the counter's new one is the other counter, and gives the bound's number."""
    before = first(counter("q1", 40, 30), counter("q2", 12, said))
    after = again(before, counter("q1", 40, 30), counter("q2", 40, said + 16))
    assert after == before
    forced = {**before, **first(counter("q2", 40, said + 16))}
    assert revised(suppress(table(before), Rule(fewest=N)), table(forced)) is None


def test_nobody_comes_later_into_a_place_that_was_printed_as_a_bound() -> None:
    before = first(counter("q1", 40, 40))
    assert again(before, counter("q1", 40, 40), counter("q2", 30, 20)) == before
    with_others = first(counter("q1", 40, 40), rating(("all", "area:b", "unit:w", "counter:q9"), 50, 30))
    far = rating(("all", "area:b", "unit:x", "counter:q8"), 20, 12)
    assert again(with_others, far)["kiosk counter:q8"].first == LATER


@pytest.mark.parametrize(
    ("n", "satisfied", "revision"),
    [
        (40, 30, 1),  # nothing came
        (49, 35, 1),  # nine
        (50, 35, 2),
        (50, 40, 1),  # ten, all satisfied
        (50, 30, 1),  # ten, none satisfied
        (50, 39, 2),
        (39, 29, 1),  # one was erased
        (60, 29, 1),  # more came, and yet fewer are satisfied
    ],
)
def test_a_cell_is_released_again_where_what_came_could_stand_alone(
    n: int, satisfied: int, revision: int
) -> None:
    before = first(counter("q1", 40, 30))
    after = again(before, counter("q1", n, satisfied))
    assert after["kiosk counter:q1"].revision == revision
    assert after["kiosk counter:q1"].ballots == (n if revision == 2 else 40)


@pytest.mark.parametrize("seed_offset", range(3))
def test_the_rule_of_cells_is_the_rule_of_the_whole_table(seed: int, seed_offset: int) -> None:
    """Whatever may be released again here, in whatever company, is mute in the whole month's table, too."""
    rng = random.Random(seed + seed_offset)  # noqa: S311 - a seeded sequence, no secret
    released = 0
    for _ in range(10):
        old = {}
        for name in ("q1", "q2", "q3"):
            n = rng.randint(10, 30)
            old[name] = n, rng.choice((n, 0, rng.randint(0, n)))
        new = {}
        for name, (n, satisfied) in old.items():
            more = rng.choice((0, rng.randint(1, 12), rng.randint(10, 40)))
            new[name] = n + more, satisfied + rng.choice((more, rng.randint(0, more)))
        before = first(*(counter(name, *of) for name, of in old.items()))
        after = again(before, *(counter(name, *of) for name, of in new.items()))
        decided = suppress(table(before), Rule(fewest=N))
        found = revised(decided, table(after))
        assert found is not None, (old, new)
        assert found.hidden == decided.hidden
        released += sum(cell.revision == 2 for cell in after.values())
        refused = [
            name for name in old if after[f"kiosk counter:{name}"].revision == 1 and old[name] != new[name]
        ]
        for name in refused:
            forced = {
                **before,
                f"kiosk counter:{name}": replace(
                    first(counter(name, *new[name]))[f"kiosk counter:{name}"], revision=2
                ),
            }
            assert revised(decided, table(forced)) is None or f"counter:{name}" in hidden(before), name
    assert released, "some are released again"


def test_each_part_of_a_cell_grows_by_enough_or_not_at_all() -> None:
    sums = {
        **dict(zip(("visits", "given", "refused", "signals"), (200, 120, 60, 100), strict=True)),
        **dict(zip(("scored.n", "scored.visits", "scored.f", "scored.ff"), (30, 100, 20, 15), strict=True)),
        **dict(zip(("passive.n", "passive.f", "passive.ff"), (70, 50, 40), strict=True)),
        **dict(zip(("others.n", "others.visits"), (20, 80), strict=True)),
        **{f"{part}.y.{question}": 15 for part in ("scored", "others") for question in QUESTIONS},
    }
    member = Member("q1", MONTH, date(2026, 7, 1))
    old = Cell(MONTH, "k", 1, "kiosk", UNIT, ("scored", "others"), sums, (member,), 1, None, Basis())

    def more(**change: int) -> Cell:
        changed = {name: sums[name] + change.get(name.replace(".", "_"), 0) for name in sums}
        yes = change.get("yes", 0)
        for question in QUESTIONS:
            changed[f"others.y.{question}"] += yes
        return replace(old, sums=changed)

    assert due(more(others_n=10, yes=4), old, N)
    assert not due(more(others_n=9, yes=4), old, N)
    assert not due(more(others_n=10, scored_n=1, passive_n=-1, yes=4), old, N), "one ballot came to a score"
    assert not due(more(others_n=10, yes=4, passive_n=1, passive_f=1), old, N), "one score"
    assert not due(more(others_n=10, yes=4, passive_f=1), old, N), "another score of the same people"
    assert not due(more(others_n=10, yes=4, given=-1), old, N), "one withdrew"
    assert not due(more(others_n=10, yes=4, visits=12, refused=3), old, N), "three refused"
    assert due(more(others_n=10, yes=4, visits=12, refused=12), old, N)
    officer = f"others.y.{Criterion.OFFICER_ATTITUDE.value}"
    alike = more(others_n=10, yes=4)
    assert not due(replace(alike, sums={**alike.sums, officer: sums[officer] + 10}), old, N)
    assert not due(replace(more(others_n=10, yes=4), members=(replace(member, counter="q2"),)), old, N)
    assert not due(replace(more(others_n=10, yes=4), strata=(POOLED,)), old, N)


def test_a_cell_of_several_counters_is_released_again_as_a_whole() -> None:
    before = first(counter("q1", 7, 4), counter("q2", 8, 5), counter("q3", 30, 20))
    assert set(before) == {"kiosk counter:q3", "kiosk unit:u"}
    both = before["kiosk unit:u"]
    assert (both.places, both.ballots) == (2, 15)
    few = again(before, counter("q1", 12, 7), counter("q2", 11, 7), counter("q3", 30, 20))
    assert few["kiosk unit:u"].revision == 1, "eight more"
    # Each of the two is enough for a cell of its own now, and stays in the one of both.
    after = again(before, counter("q1", 17, 9), counter("q2", 18, 10), counter("q3", 30, 20))
    assert set(after) == set(before)
    assert (after["kiosk unit:u"].revision, after["kiosk unit:u"].ballots) == (2, 35)
    assert after["kiosk counter:q3"].revision == 1
    third = again(after, counter("q1", 27, 14), counter("q2", 18, 10), counter("q4", 11, 6))
    assert (third["kiosk unit:u"].revision, third["kiosk unit:u"].printed_first) == (3, (15, 9))
    assert third["kiosk counter:q4"].first == LATER


def test_a_counter_that_moved_has_a_cell_at_each_place() -> None:
    there, here = (*UNIT[:2], "unit:v", "counter:q1"), (*UNIT, "counter:q1")
    old = rating(there, 20, 12), rating(here, 30, 20)
    before = first(*old)
    assert {key: cell.path for key, cell in before.items()} == {
        "kiosk counter:q1": there,
        "kiosk counter:q1 2": here,
    }
    after = again(before, old[0], rating(here, 50, 30))
    assert {key: (cell.revision, cell.ballots) for key, cell in after.items()} == {
        "kiosk counter:q1": (1, 20),
        "kiosk counter:q1 2": (2, 50),
    }
    printed = documents(tuple(after.values()), (), N)
    assert printed["unit:v 2026-06"]["overall"]["share"]["n"] == 20
    assert printed["counter:q1 2026-06"]["overall"]["share"]["n"] == 70


@pytest.mark.parametrize(("satisfied", "made"), [(8, 1), (12, 0), (0, 0)])
def test_a_counter_that_comes_later_is_a_cell_where_it_is_mute(satisfied: int, made: int) -> None:
    before = first(counter("q1", 40, 30), counter("q2", 9, 5))
    assert set(before) == {"kiosk counter:q1"}
    after = again(before, counter("q1", 40, 30), counter("q2", 12, satisfied))
    assert len(after) - len(before) == made
    if made:
        cell = after["kiosk counter:q2"]
        assert (cell.revision, cell.first) == (1, LATER)
        assert hidden(after) == hidden(before) == set()


def survey(unit: str, n: int, yes: int) -> Item:
    sums = {"pooled.n": n, "access.seats.n": n, "access.seats.y": yes}
    return Item("online", (*UNIT[:2], f"unit:{unit}"), sums)


def test_questionnaires_that_come_later_are_counted_once() -> None:
    before = first(counter("q1", 40, 30))
    after = again(before, counter("q1", 40, 30), survey("u", 30, 20))
    assert after["online unit:u"].first == LATER
    for n, yes, revision in ((39, 25, 1), (40, 30, 1), (40, 25, 2), (20, 12, 2), (20, 10, 1)):
        found = again(after, survey("u", n, yes))["online unit:u"]
        assert (n, found.revision) == (n, revision)
    # Two that were put together: nobody knows any more whose ballots were in, so neither comes by itself.
    both = first(survey("u", 6, 3), survey("v", 7, 4))
    assert [cell.places for cell in both.values()] == [2]
    assert again(both, survey("u", 40, 20), survey("v", 7, 4)) == both


def test_a_cell_is_read_back_with_what_was_printed_first() -> None:
    cells: dict[str, Any] = again(first(counter("q1", 40, 30)), counter("q1", 60, 40), counter("q2", 12, 6))
    assert [cell.first for cell in cells.values()] == [(40, 30), LATER]
    for cell in cells.values():
        found = Cell.parse(cell.document())
        assert (found.first, found.printed_first) == (cell.first, cell.printed_first)
        assert found.document() == cell.document()
