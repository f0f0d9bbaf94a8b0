"""Channels are printed by themselves: what the bound of one hides does not come out of all together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from api.index.cells import Cell, Item
from api.index.publication import documents
from api.index.revisions import may_come_later
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


def test_ratings_that_come_later_open_no_bound_of_ratings() -> None:
    """Beside questionnaires the unit is no bound, but its ratings are."""
    before = first(counter("q1", 12, 12), survey("u", 40, 30))
    later = first(counter("q2", 20, 14))["kiosk counter:q2"]
    assert not may_come_later(later, before.values())
    assert may_come_later(later, first(survey("u", 40, 30)).values())
    assert may_come_later(first(answers("q1", 20, 14))["sms counter:q1"], before.values())
