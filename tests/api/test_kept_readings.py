"""Readings are worked out once, and again only when what they follow from has changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.accounts import Accounts
from api.database import Database
from api.disclosure import Disclosure
from api.index.period import Period, Span
from api.index.reading import Reading, Standing, read_places, released_places
from api.index.releases import release_month
from api.metrics import Metrics
from api.organisation.tree_import import import_tree
from api.pages import ahead, kept_readings
from api.pages.kept_readings import KeptReadings
from api.pages.rendering import Pages
from api.releases import shown_days
from api.schema import DAY_ZONE
from api.settings import Settings
from api.statistics.suppression import NotProtected
from tests.api.simulated_centre import SimulatedCentre, Visits

BEFORE, MONTH = date(2026, 5, 1), date(2026, 6, 1)
TODAY = date(2026, 7, 10)
DISCLOSURE = Disclosure(10, TODAY)
JUNE = Period(MONTH, Span.MONTH)
FIGURED, SCORED = "counter:quay-1", "counter:quay-2"


class Counted:
    """Reads as `read_places` does, and notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], Period]] = []

    def __call__(
        self, database: Database, places: Sequence[str], period: Period, disclosure: Disclosure
    ) -> Mapping[str, Reading]:
        self.asked.append((tuple(places), period))
        return read_places(database, places, period, disclosure)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(kept_readings, "read_places", counted)
    return counted


@pytest.fixture
def readings(database: Database, seed: int) -> KeptReadings:
    """Two months of a counter with ballots and of one with scores only."""
    centre = SimulatedCentre(database, seed)
    for month in (BEFORE, MONTH):
        centre.serve("quay-1", month, 120)
        opened = datetime.combine(month, time(8), ZoneInfo(DAY_ZONE))
        centre.serve_at("quay-2", [opened + timedelta(minutes=item) for item in range(60)], Visits(vote=0.0))
        release_month(database, month, today=TODAY, minimum_n=10)
    return KeptReadings(database)


def test_a_figure_outlives_the_day_and_what_stands_on_days_does_not(
    database: Database, readings: KeptReadings, counted: Counted
) -> None:
    first = readings.read([FIGURED, SCORED], JUNE, DISCLOSURE)
    assert first == readings.read([FIGURED, SCORED], JUNE, DISCLOSURE)
    assert first == read_places(database, [FIGURED, SCORED], JUNE, DISCLOSURE)
    assert [first[place].standing for place in (FIGURED, SCORED)] == [Standing.FIGURE, Standing.NOTHING]
    assert counted.asked == [((FIGURED, SCORED), JUNE)]

    tomorrow = replace(DISCLOSURE, today=TODAY + timedelta(days=1))
    assert readings.read([FIGURED, SCORED], JUNE, tomorrow) == first
    assert counted.asked[1:] == [((SCORED,), JUNE)]

    assert shown_days(database, ["quay-2"], MONTH, tomorrow)
    found = readings.read([SCORED, FIGURED], JUNE, tomorrow)
    assert found == read_places(database, [SCORED, FIGURED], JUNE, tomorrow)
    assert list(found) == [SCORED, FIGURED]
    assert found[SCORED].standing is Standing.UNCALIBRATED
    assert counted.asked[2:] == [((SCORED,), JUNE)]


def test_a_release_and_another_rule_begin_anew(
    database: Database, readings: KeptReadings, counted: Counted, seed: int
) -> None:
    before = readings.read(["all"], JUNE, DISCLOSURE)
    SimulatedCentre(database, seed + 1, counters=("quay-3",)).serve("quay-3", MONTH, 90)
    release_month(database, MONTH, today=TODAY, minimum_n=10)
    after = readings.read(["all"], JUNE, DISCLOSURE)
    assert after == read_places(database, ["all"], JUNE, DISCLOSURE) != before

    readings.read(["all"], JUNE, replace(DISCLOSURE, minimum_n=11))
    assert len(counted.asked) == 3


def test_what_stands_on_days_follows_a_counter_that_moves(
    database: Database, readings: KeptReadings, tmp_path: Path
) -> None:
    assert shown_days(database, ["quay-2"], MONTH, DISCLOSURE)
    before = readings.read([FIGURED, "unit:moi"], JUNE, DISCLOSURE)
    assert before["unit:moi"].standing is Standing.NOTHING
    tree = tmp_path / "tree.csv"
    head = "mã;cấp;tên;tên tiếng anh;trực thuộc;từ ngày;đến ngày;kế tiếp"
    rows = ("tinh;province;Tỉnh;;;;;", "moi;unit;Một cửa Mới;;tinh;;;", "quay-2;counter;;;moi;01/06/2026;;")
    tree.write_text("\n".join((head, *rows)), "utf-8")
    assert import_tree(database, tree, actor="lan").faults == ()
    after = readings.read([FIGURED, "unit:moi"], JUNE, DISCLOSURE)
    assert after["unit:moi"].standing is Standing.UNCALIBRATED
    assert after == read_places(database, [FIGURED, "unit:moi"], JUNE, DISCLOSURE)


def test_a_course_is_read_once(database: Database, readings: KeptReadings, counted: Counted) -> None:
    periods = [Period(month, Span.MONTH) for month in (BEFORE, MONTH)]
    expected = tuple(read_places(database, [FIGURED], period, DISCLOSURE)[FIGURED] for period in periods)
    for most in (25, 2, 1):
        assert readings.course(FIGURED, Span.MONTH, DISCLOSURE, most) == expected[-most:]
    assert len(counted.asked) == 2


def test_readers_at_the_same_time_share_the_work(
    readings: KeptReadings, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: object) -> Mapping[str, Reading]:
        begun.set()
        assert go_on.wait(20)
        return counted(*args)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(kept_readings, "read_places", slow)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(readings.read, ["all", FIGURED], JUNE, DISCLOSURE)
        assert begun.wait(20)
        others = [pool.submit(readings.read, ["all"], JUNE, DISCLOSURE) for _ in range(3)]
        assert not any(other.done() for other in others)
        go_on.set()
        assert [other.result(20)["all"] for other in others] == [first.result(20)["all"]] * 3
    assert counted.asked == [(("all", FIGURED), JUNE)]


@pytest.mark.parametrize("fails", [False, True])
def test_released_months_are_read_before_anybody_asks(
    database: Database,
    readings: KeptReadings,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fails: bool,
) -> None:
    """One month that cannot be decided leaves the others; and the service is not stopped by it."""
    settings = Settings.model_validate({"database": {"dsn": "postgresql:///unused"}})
    pages = Pages(settings, database, Accounts(database), Metrics())
    if fails:

        def refuse(
            database: Database, places: Sequence[str], period: Period, disclosure: Disclosure
        ) -> Mapping[str, Reading]:
            if period == JUNE:
                raise NotProtected("publish nothing")
            return counted(database, places, period, disclosure)

        monkeypatch.setattr(kept_readings, "read_places", refuse)
    drawn: list[object] = []
    monkeypatch.setattr(ahead, "dots_svg", lambda *args: drawn.append(args))
    asyncio.run(ahead.work_ahead(pages))
    places = released_places(database, JUNE)
    above = tuple(place for place in places if place != FIGURED)
    assert {place.partition(":")[0] for place in above} == {"all", "area", "unit"}
    june, may = (places, JUNE), (above, Period(BEFORE, Span.MONTH))
    assert counted.asked == ([may] if fails else [june, may])
    assert len(drawn) == 1


def test_without_a_released_month_nothing_is_loaded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(ahead, "dots_svg", lambda *args: drawn.append(args))
    settings = Settings.model_validate({"database": {"dsn": "postgresql:///unused"}})
    asyncio.run(ahead.work_ahead(Pages(settings, database, Accounts(database), Metrics())))
    assert drawn == []
