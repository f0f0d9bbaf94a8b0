"""The simulated province is what it says it is: sums that add up, and every kind of reading."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from api.database import Database
from api.disclosure import Disclosure
from api.index.breakdown import Dimension, days_of, mix_of
from api.index.period import Period
from api.index.reading import Standing, read_places
from api.organisation.sampling import verify_sample
from api.organisation.tree import tree_of
from api.postgres import EmbeddedPostgres
from api.schema import SIGNAL_COLUMNS, signal_row
from inference.signal import Signal
from tests.api.province_console import province_database
from tests.api.province_places import (
    AREAS,
    BUSY_COUNTERS,
    DROPPED_COUNTER,
    LONELY_COUNTER,
    MONTHS,
    SIGNAL_COUNTER,
    SMALL_COUNTERS,
    UNANIMOUS_COUNTER,
    UNITS,
)
from tests.api.simulated_province import MINIMUM_N, SAMPLE, Province, fill_province

TODAY = date(2026, 11, 22)
NEWEST = Period.parse("2026-10")
KEPT = 12
"""Months: as many as hold the drop and the recovery; all twenty-four take longer and show no more."""
DISCLOSURE = Disclosure(MINIMUM_N, TODAY)


@dataclass(frozen=True, slots=True)
class _Made:
    province: Province
    database: Database


@pytest.fixture(scope="module")
def made(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Made]:
    folder: Path = tmp_path_factory.mktemp("province")
    with (
        province_database(postgres, folder, today=TODAY, months=KEPT) as (dsn, province),
        Database(dsn) as database,
    ):
        yield _Made(province, database)


def test_forty_counters_and_every_channel_are_there(made: _Made) -> None:
    assert len(made.province.months) == KEPT < MONTHS
    assert (made.province.months[0], made.province.months[-1]) == (date(2025, 11, 1), date(2026, 10, 1))
    with made.database.transaction() as connection:
        tree = tree_of(connection, TODAY)
        channels = {row[0] for row in connection.execute("SELECT DISTINCT channel FROM survey_ballots")}
    assert len(tree.counters) == sum(unit.counters for unit in UNITS) == 40
    assert {node.code for node in tree.nodes.values() if node.level == "commune"} == set(AREAS)
    assert channels == {"online", "sms", "call", "portal", "paper"}


def test_signals_are_the_ones_that_ingest_would_have_written(made: _Made) -> None:
    names = [name for name in SIGNAL_COLUMNS if name not in {"payload", "salt"}]
    with made.database.transaction() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(names)}, payload FROM signals ORDER BY signal_id LIMIT 300"  # noqa: S608 - our names
        ).fetchall()
    for *columns, payload in rows:
        kept = dict(zip(names, columns, strict=True))
        found = Signal.model_validate(payload)
        expected = dict(
            zip(SIGNAL_COLUMNS, signal_row(found, edge_id=kept["edge_id"], seq=kept["seq"]), strict=True)
        )
        assert kept == {name: expected[name] for name in names}


def test_rollups_are_the_sums_of_the_signals(made: _Made) -> None:
    with made.database.transaction() as connection:
        (of_counters,) = connection.execute(
            "SELECT sum(sessions), sum(score_sum), sum(variance_sum) FROM rollup_counter_day"
        ).fetchall()
        (of_areas,) = connection.execute(
            "SELECT sum(sessions), sum(score_sum), sum(variance_sum) FROM rollup_area_day"
        ).fetchall()
        (of_signals,) = connection.execute(
            "SELECT count(*), sum(score_ppm), sum(variance_ppm2) FROM signals"
        ).fetchall()
    assert of_counters == of_areas == of_signals
    assert of_signals[0] == made.province.signals


@pytest.mark.parametrize(
    ("place", "standing"),
    [
        (f"counter:{BUSY_COUNTERS[0]}", Standing.FIGURE),
        (f"counter:{UNANIMOUS_COUNTER}", Standing.FIGURE),
        (f"counter:{SIGNAL_COUNTER}", Standing.UNCALIBRATED),
        *((f"counter:{code}", Standing.NOTHING) for code in (*SMALL_COUNTERS, LONELY_COUNTER)),
        ("unit:lang-thuong", Standing.FIGURE),
        ("commune:sen-ho", Standing.FIGURE),
        ("province:song-ho", Standing.FIGURE),
        ("all", Standing.FIGURE),
    ],
)
def test_every_kind_of_reading_is_there(made: _Made, place: str, standing: Standing) -> None:
    assert read_places(made.database, [place], NEWEST, DISCLOSURE)[place].standing is standing


def test_parts_are_the_ballots_of_their_days_times_and_procedures(made: _Made) -> None:
    """Counted by the database in another way than by the index."""
    with made.database.transaction() as connection:
        rows = connection.execute(
            "SELECT (cast_at AT TIME ZONE 'Asia/Ho_Chi_Minh')::date, "
            "CASE WHEN (cast_at AT TIME ZONE 'Asia/Ho_Chi_Minh')::time < '11:30' THEN 'morning' "
            "ELSE 'afternoon' END, procedure, "
            "information_facilities AND dossier_rules AND officer_attitude AND time_cost "
            "FROM ballots WHERE counter = %s "
            "AND cast_at >= '2026-09-30 17:00Z' AND cast_at < '2026-10-31 17:00Z'",
            (DROPPED_COUNTER,),
        ).fetchall()
    place = f"counter:{DROPPED_COUNTER}"
    figure = read_places(made.database, [place], NEWEST, DISCLOSURE)[place].figure
    assert figure is not None
    parts = figure.breakdowns
    assert set(parts) == set(Dimension)
    for part in parts[Dimension.DAYS]:
        first, last = days_of(part)
        mine = [satisfied for day, _, _, satisfied in rows if first <= day <= last]
        assert (part.n, part.satisfied) == (len(mine), sum(mine))
    for part in parts[Dimension.TIMES]:
        mine = [satisfied for _, band, _, satisfied in rows if band == part.name]
        assert (part.n, part.satisfied) == (len(mine), sum(mine))
    for part in parts[Dimension.MIX]:
        mine = [satisfied for _, band, name, satisfied in rows if (name, band) == mix_of(part)]
        assert (part.n, part.satisfied) == (len(mine), sum(mine))
    assert len(parts[Dimension.MIX]) == 4


def test_the_drop_and_the_recovery_show_in_the_course(made: _Made) -> None:
    recovered, shares = "counter:ben-nua.quay-2", []
    for quarter in ("2025-Q4", "2026-Q1", "2026-Q3"):
        figure = read_places(made.database, [recovered], Period.parse(quarter), DISCLOSURE)[recovered].figure
        assert figure is not None
        assert figure.overall.share is not None
        shares.append(figure.overall.share)
    before, low, after = shares
    assert low.high < before.low
    assert low.high < after.low


def test_the_sample_can_be_drawn_again(made: _Made) -> None:
    check = verify_sample(made.database, SAMPLE)
    assert check.ok
    assert check.drawn == 120


def test_another_seed_makes_other_visitors(database: Database, quick_folder: Path, seed: int) -> None:
    """The default seed is fixed for screenshots alone."""
    other = random.Random(seed).randrange(10**6)  # noqa: S311 - a seeded sequence, no secret
    found = fill_province(database, quick_folder, seed=other, today=TODAY, months=2, release=False)
    assert 1000 < found.signals < found.visits
