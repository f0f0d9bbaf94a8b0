"""What the simulated province publishes: worked out again to the last digit, and attacked with a solver."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from api.audit_index import Released, figures
from api.database import Database
from api.disclosure import Disclosure, share_text
from api.index.calibrations import Calibrations, kept_calibrations
from api.index.cells import CONSENTED, OTHERS, POOLED, SCORED, Cell, Item, partition
from api.index.counting import count_month
from api.index.formula import KIOSK
from api.index.period import Period
from api.index.publication import documents
from api.index.reading import read_places, released_places
from api.index.releases import kept_cells
from api.postgres import EmbeddedPostgres
from api.statistics.disclosure_attack import PrintedCell, attack
from tests.api.province_console import province_database
from tests.api.province_places import BUSY_COUNTERS, LONELY_COUNTER, SMALL_COUNTERS
from tests.api.simulated_province import MINIMUM_N

TODAY = date(2026, 11, 22)
MONTH = date(2026, 10, 1)
MONTHS = 2
SMALL = (*SMALL_COUNTERS, LONELY_COUNTER)
_ANY_CRITERION = "access.access.seats.y"


@dataclass(frozen=True, slots=True)
class _Made:
    database: Database
    released: Released
    published: Mapping[str, Any]
    items: Sequence[Item]
    cells: Sequence[Cell]


def _count(database: Database) -> Sequence[Item]:
    with database.transaction() as connection:
        calibrations = Calibrations.for_month(kept_calibrations(connection), MONTH)
    return count_month(database, MONTH, calibrations, minimum_n=MINIMUM_N)


@pytest.fixture(scope="module")
def made(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Made]:
    folder = tmp_path_factory.mktemp("province")
    with (
        province_database(postgres, folder, today=TODAY, months=MONTHS) as (dsn, _),
        Database(dsn) as database,
    ):
        with database.transaction() as connection:
            rows = connection.execute(
                "SELECT body FROM central_log "
                "WHERE kind IN ('index-release', 'index-formula', 'calibration') ORDER BY idx"
            ).fetchall()
            cells = kept_cells(connection, [MONTH])
        published: dict[str, Any] = {}
        for name in ("2026-09", "2026-10", "2026-Q3", "2026-Q4", "2026"):
            period = Period.parse(name)
            places = released_places(database, period)
            found = read_places(database, places, period, Disclosure(MINIMUM_N, TODAY))
            for place, reading in found.items():
                if reading.figure is not None:
                    published[f"{place} {name}"] = reading.figure.document()
        released = Released.of(json.loads(bytes(row[0])) for row in rows)
        yield _Made(database, released, published, _count(database), cells)


def test_every_figure_that_pages_show_follows_from_the_log(made: _Made) -> None:
    found = figures(made.released, made.published, MINIMUM_N)
    assert found.ok, found.detail
    assert len(made.published) > 150
    assert {f"{place} 2026-10" for place in ("all", "province:song-ho", "unit:trung-tam")} <= set(
        made.published
    )


def test_figures_that_were_changed_are_found_and_named(made: _Made) -> None:
    """Each in another way: a better share, more ballots, a narrower interval, one left out, one invented."""
    names = [name for name, figure in made.published.items() if figure["overall"]["share"] is not None]
    better, more, narrower, left_out = names[:: len(names) // 4][:4]
    forged = copy.deepcopy(dict(made.published))
    forged[better]["overall"]["share"]["value"] = "99"
    forged[more]["overall"]["share"]["n"] += 1
    forged[narrower]["overall"]["share"]["low"] = forged[narrower]["overall"]["share"]["value"]
    del forged[left_out]
    forged[f"counter:{SMALL[0]} 2026-10"] = made.published[more]
    found = figures(made.released, forged, MINIMUM_N)
    assert not found.ok
    assert found.detail.startswith("5 differ")


def _ballots(item: Item) -> int:
    return sum(item.sums.get(f"{part}.n", 0) for part in (SCORED, CONSENTED, OTHERS, POOLED))


def _satisfied(item: Item) -> int:
    if item.channel != KIOSK:
        return item.sums.get(_ANY_CRITERION, 0)
    return sum(item.sums.get(f"{part}.y.overall", 0) for part in (SCORED, CONSENTED, OTHERS))


def _cell_of(item: Item, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell that an item is in: its own, else the lowest of several places at or above it."""
    mine = [
        cell
        for cell in cells
        if cell.channel == item.channel
        and (cell.path == item.path if cell.places == 1 else cell.path == item.path[: len(cell.path)])
    ]
    return max(mine, key=lambda cell: len(cell.path), default=None)


def _printed(made: _Made, channel: str, items: Mapping[int, Item]) -> list[PrintedCell]:
    """Return the ballots of a channel that pages print, with the places that the log tells are in them."""
    paths = {}
    for number, item in items.items():
        cell = _cell_of(item, made.cells)
        assert cell is not None
        paths[number] = cell.path
    found = []
    for name, document in made.published.items():
        place, _, period = name.partition(" ")
        line = document["overall"]["channels"].get(channel)
        members = tuple(number for number, path in paths.items() if place in path)
        if period == "2026-10" and line is not None:
            satisfied = sum(_satisfied(items[number]) for number in members)
            found.append(PrintedCell((place, period), members, line["n"], share_text(line["n"], satisfied)))
    return found


def _alone(items: Mapping[int, Item]) -> list[PrintedCell]:
    """Return what the reader is after: each place of fewer than ten ballots by itself."""
    return [
        PrintedCell((item.path[-1], "alone"), (number,))
        for number, item in items.items()
        if _ballots(item) < MINIMUM_N
    ]


@pytest.mark.parametrize("channel", ["kiosk", "online", "sms", "call", "portal", "paper"])
def test_no_small_group_comes_out_of_what_is_printed(made: _Made, channel: str) -> None:
    """The reader even knows which places are in a sum, and plain shares that nobody prints."""
    released = (
        item
        for item in made.items
        if item.channel == channel and _ballots(item) and _cell_of(item, made.cells) is not None
    )
    items = dict(enumerate(released))
    printed = _printed(made, channel, items)
    assert len(printed) > 3
    for cell in printed:
        assert cell.n == sum(_ballots(items[number]) for number in cell.members), "nobody else is in the sum"
    cells = [*printed, *_alone(items)]
    for found in attack(cells, range(len(printed), len(cells)), enough=(1, 1)):
        assert found.n.width > 0, found


def test_the_attack_finds_small_counters_where_sums_hold_them(made: _Made) -> None:
    """The control: units printed with everybody in them, counters where they are enough."""
    items = dict(enumerate(item for item in made.items if item.channel == KIOSK and _ballots(item)))
    printed = []
    for place in sorted({place for item in items.values() for place in item.path}):
        members = tuple(number for number, item in items.items() if place in item.path)
        n = sum(_ballots(items[number]) for number in members)
        if n >= MINIMUM_N:
            satisfied = sum(_satisfied(items[number]) for number in members)
            printed.append(PrintedCell((place, "2026-10"), members, n, share_text(n, satisfied)))
    small = _alone(items)
    assert len(small) > 1
    cells = [*printed, *small]
    known = {
        found.name[0]: found.n.least
        for found in attack(cells, range(len(printed), len(cells)), enough=(1, 1))
        if found.n.width == 0
    }
    truth = {item.path[-1]: _ballots(item) for item in items.values()}
    assert {cell.name[0] for cell in small} == set(known)
    assert all(truth[place] == n for place, n in known.items())


def test_nothing_that_is_printed_hangs_on_what_those_who_are_too_few_said(made: _Made) -> None:
    """Turn every answer there around and take a ballot away: all figures stay, to the last digit."""
    _turn(made.database, SMALL)  # ten at most together; now they are fewer, so no sum may hold them
    items = _count(made.database)
    together = sum(_ballots(item) for item in items if item.path[-1].partition(":")[2] in SMALL)
    assert 0 < together < MINIMUM_N
    before = _documents(items)
    _turn(made.database, SMALL)
    assert _documents(_count(made.database)) == before
    _turn(made.database, BUSY_COUNTERS)
    assert _documents(_count(made.database)) != before


def _documents(items: Sequence[Item]) -> dict[str, Any]:
    cells, _ = partition(MONTH, items, MINIMUM_N)
    return documents(cells, (), MINIMUM_N)


def _turn(database: Database, counters: Sequence[str]) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE ballots SET information_facilities = NOT information_facilities, "
            "officer_attitude = NOT officer_attitude WHERE counter = ANY(%s)",
            (list(counters),),
        )
        connection.execute(
            "DELETE FROM ballots b USING (SELECT DISTINCT ON (counter) ballot_id FROM ballots "
            "WHERE counter = ANY(%s) AND cast_at >= %s AND cast_at < '2026-10-31' "
            "ORDER BY counter, cast_at DESC) newest WHERE b.ballot_id = newest.ballot_id",
            (list(counters), MONTH),
        )
