"""Channels are printed by themselves: what one hides comes out of no other, nor out of all together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from api.disclosure import nearly_unanimous, share_text
from api.index.cells import Cell, Item
from api.index.formula import KIOSK
from api.index.publication import documents, hidden_places
from api.index.revisions import may_come_later
from api.statistics.disclosure_attack import Attacked, PrintedCell, attack
from tests.api.test_index_revisions import UNIT, N, counter, first, survey

MONTH = "2026-06"


def answers(name: str, n: int, yes: int) -> Item:
    """Return questionnaires that are about a counter."""
    sums = {"pooled.n": n, "access.seats.n": n, "access.seats.y": yes}
    return Item("sms", (*UNIT, f"counter:{name}"), sums)


def figures(cells: Mapping[str, Cell]) -> dict[str, Any]:
    return documents(tuple(cells.values()), (), N)


@pytest.mark.parametrize(
    ("beside", "together"),
    [
        ((40, 30), "78"),  # 10 of 11 and 30 of 40
        ((11, 10), "≥91"),  # two bounds: one otherwise in each
        ((11, 1), "50"),  # bounds on either side
    ],
)
def test_channels_together_are_the_same_whatever_is_behind_the_bound_of_one(
    beside: tuple[int, int], together: str
) -> None:
    printed = [figures(first(counter("q1", 11, yes), answers("q1", *beside))) for yes in (11, 10)]
    assert printed[0]["counter:q1 2026-06"]["overall"]["share"]["value"] == together
    assert printed[0] == printed[1]


@pytest.mark.parametrize("beside", [(), (answers("q1", 40, 30),), (survey("u", 40, 30),)])
def test_a_bound_is_protected_among_the_figures_of_its_channel(beside: Sequence[Item]) -> None:
    """59 of 71 less 20 of 25 and 28 of 35 are the eleven, whoever else answered by telephone."""
    cells = first(counter("q1", 11, 11), counter("q2", 25, 20), counter("q3", 35, 28), *beside)
    hidden = {place for _, place in hidden_places(cells.values(), N) if not place.startswith("=")}
    assert hidden == {"counter:q2"}
    assert {name for name in figures(cells) if name.endswith(MONTH)} == {
        f"{place} {MONTH}" for place in (*UNIT, "counter:q1", "counter:q3")
    }


def test_ratings_that_come_later_open_no_bound_of_ratings() -> None:
    """Beside questionnaires the unit is no bound, but its ratings are."""
    before = first(counter("q1", 12, 12), survey("u", 40, 30))
    later = first(counter("q2", 20, 14))["kiosk counter:q2"]
    assert not may_come_later(later, before.values())
    assert may_come_later(later, first(survey("u", 40, 30)).values())
    assert may_come_later(first(answers("q1", 20, 14))["sms counter:q1"], before.values())


@pytest.mark.parametrize("number", range(4))
def test_no_bound_of_ratings_comes_out_of_units_with_questionnaires(seed: int, number: int) -> None:
    """Whoever subtracts printed ratings cannot tell "all" from "all but one"."""
    rng = random.Random(seed * 10 + number)  # noqa: S311 - a seeded sequence, no secret
    items = []
    for at in range(rng.randint(4, 7)):
        n = rng.randint(10, 40)
        items.append(counter(f"q{at}", n, n if at == 0 else rng.randint(n // 2, n)))
        if rng.random() < 0.7:
            items.append(answers(f"q{at}", 40, rng.randint(20, 38)))
    found = _known(first(*items))
    assert found
    assert all(min(item.satisfied.width, item.unsatisfied.width) for item in found), (seed, number)


def _known(cells: Mapping[str, Cell]) -> tuple[Attacked, ...]:
    """Return what a reader of the ratings' shares knows of those that are printed as a bound."""
    ratings = [cell for cell in cells.values() if cell.channel == KIOSK]
    printed = []
    for name, figure in figures(cells).items():
        place, _, period = name.rpartition(" ")
        share = figure["overall"]["channels"].get(KIOSK)
        if period == MONTH and share is not None:
            inside = [at for at, cell in enumerate(ratings) if place in cell.path]
            n = sum(ratings[at].ballots for at in inside)
            text = share_text(n, sum(ratings[at].satisfied for at in inside))
            assert (share["n"], share["value"]) == (n, text)
            printed.append(PrintedCell((place, period), tuple(inside), n, text))
    targets = [
        PrintedCell((f"target {cell.key}", MONTH), (at,))
        for at, cell in enumerate(ratings)
        if nearly_unanimous(cell.ballots, cell.satisfied) and cell.satisfied in {0, cell.ballots}
    ]
    everything = [*printed, *targets]
    return attack(everything, range(len(printed), len(everything)))
