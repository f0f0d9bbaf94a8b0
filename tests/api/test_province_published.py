"""What the simulated province publishes, worked out again to the last digit; elsewhere it is attacked."""

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
from api.disclosure import Disclosure
from api.index.calibrations import Calibrations, kept_calibrations
from api.index.cells import CONSENTED, OTHERS, POOLED, SCORED, Item, partition
from api.index.counting import count_month
from api.index.period import Period
from api.index.publication import documents
from api.index.reading import read_places, released_places
from api.postgres import EmbeddedPostgres
from tests.api.province_console import province_database
from tests.api.province_places import BUSY_COUNTERS, LONELY_COUNTER, SMALL_COUNTERS
from tests.api.simulated_province import MINIMUM_N

TODAY = date(2026, 11, 22)
MONTH = date(2026, 10, 1)
MONTHS = 2
SMALL = (*SMALL_COUNTERS, LONELY_COUNTER)


@dataclass(frozen=True, slots=True)
class _Made:
    database: Database
    released: Released
    published: Mapping[str, Any]


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
        published: dict[str, Any] = {}
        for name in ("2026-09", "2026-10", "2026-Q3", "2026-Q4", "2026"):
            period = Period.parse(name)
            places = released_places(database, period)
            found = read_places(database, places, period, Disclosure(MINIMUM_N, TODAY))
            for place, reading in found.items():
                if reading.figure is not None:
                    published[f"{place} {name}"] = reading.figure.document()
        released = Released.of(json.loads(bytes(row[0])) for row in rows)
        yield _Made(database, released, published)


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
