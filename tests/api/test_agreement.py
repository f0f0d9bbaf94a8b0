"""Ballots beside scores tell no more of a month than its own figure does."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import pytest

from api.database import Database
from api.disclosure import Disclosure
from api.index.agreement import agreement
from api.index.cells import PASSIVE, SCORED, Basis, Cell
from api.index.formula import KIOSK
from api.index.period import Period
from api.index.releases import restore
from api.schema import PPM

MONTHS = (date(2026, 4, 1), date(2026, 5, 1))
UNIT = "unit:u"
N = 15


def _cell(month: date, place: str, satisfied: int) -> Cell:
    sums = {f"{SCORED}.n": N, f"{SCORED}.visits": 3 * N, f"{SCORED}.y.overall": satisfied}
    for part, n in ((SCORED, N), (PASSIVE, 2 * N)):
        sums |= {f"{part}.n": n, f"{part}.f": n * PPM * 4 // 5, f"{part}.ff": n * (PPM * 4 // 5) ** 2}
    path = ("all", place)
    return Cell(month, f"{KIOSK} {place}", 1, KIOSK, path, (SCORED,), sums, (), 1, None, Basis())


def _read(database: Database, satisfied: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, ...]]:
    """Return what is printed of the quarter's ballots by place."""
    cells = [
        _cell(month, place, count)
        for place, counts in satisfied.items()
        for month, count in zip(MONTHS, counts, strict=True)
    ]
    leaf = {
        "cells": [cell.document() for cell in cells],
        "index": 0,
        "logged_at": datetime(2026, 6, 4, tzinfo=UTC),
    }
    with database.transaction() as connection:
        restore(connection, leaf)
    rows = agreement(database, list(satisfied), Period.parse("2026-Q2"), Disclosure(10, date(2026, 7, 1)))
    return {row.place: row.ballots.texts() for row in rows if row.ballots is not None}


@pytest.mark.parametrize(
    ("second", "quarter"),
    [
        ((12, 12), "87"),  # a bound of 15 and 12 of 15: 26 of 30
        ((15, 14), "≥93"),  # each month a bound
        ((0, 1), "50"),  # bounds on either side
    ],
)
def test_a_quarter_is_the_same_whatever_is_behind_the_bounds_of_its_months(
    database: Database, second: tuple[int, int], quarter: str
) -> None:
    """Places that differ in what their months' bounds hide print the same."""
    both = itertools.product((15, 14), second)
    printed = _read(database, {f"{UNIT}{number}": counts for number, counts in enumerate(both)})
    assert len(printed) == 4
    assert {value for value, *_ in printed.values()} == {quarter}
    assert len(set(printed.values())) == 1
