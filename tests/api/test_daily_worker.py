"""The threads that work beside the requests: once a day, again after a fault, gone when stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date, timedelta

import psycopg
import pytest
from structlog.testing import capture_logs

from api.alerts.alert import list_alerts
from api.alerts.worker import alert_worker
from api.daily_worker import DailyWorker
from api.database import Database
from api.errors import DatabaseUnavailable
from api.index.worker import index_worker
from api.settings import Settings
from api.trends import local_today
from tests.api.senders import Edge
from tests.api.test_alerts import day_of_scores

DAY = date(2026, 11, 20)


def until(reached: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_day_is_done_once_and_every_look_does_the_rest() -> None:
    now = [DAY]
    days: list[date] = []
    looks: list[int] = []
    worker = DailyWorker("t", days.append, each=lambda: looks.append(1), check_s=0.005, today=lambda: now[0])
    worker.start()
    until(lambda: len(looks) >= 5)
    assert days == [DAY]
    now[0] = DAY + timedelta(1)
    until(lambda: len(days) == 2)
    assert worker.stop()
    seen = len(looks)
    time.sleep(0.05)
    assert (days, len(looks)) == ([DAY, DAY + timedelta(1)], seen)
    assert "t" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (DatabaseUnavailable("the database does not answer: start it"), "does not answer: start it"),
        (psycopg.errors.UndefinedTable("row of Nguyễn Văn A"), "UndefinedTable at test_daily_worker.py:"),
        (ZeroDivisionError("12345"), "ZeroDivisionError at test_daily_worker.py:"),
    ],
)
def test_a_fault_is_logged_and_the_next_look_does_it(fault: Exception, told: str) -> None:
    days: list[date] = []
    looks: list[int] = []
    failing = [fault, fault]

    def daily(day: date) -> None:
        if failing:
            raise failing.pop()
        days.append(day)

    with capture_logs() as logs:
        worker = DailyWorker("t", daily, each=lambda: looks.append(1), check_s=0.005, today=lambda: DAY)
        worker.start()
        until(lambda: days == [DAY])
        until(lambda: len(looks) >= 4)
        assert worker.stop()
    waits = [entry for entry in logs if entry["event"] == "daily work waits"]
    assert [(entry["log_level"], entry["work"]) for entry in waits] == [("error", "t")] * 2
    assert all(told in entry["reason"] for entry in waits)
    assert not any(secret in str(logs) for secret in ("Nguyễn", "12345")), "a message may hold values of rows"


def test_a_fault_of_each_look_stops_neither_the_day_nor_the_next_look() -> None:
    days: list[date] = []
    looks: list[int] = []

    def each() -> None:
        looks.append(1)
        raise OSError("no network")

    with capture_logs():
        worker = DailyWorker("t", days.append, each=each, check_s=0.005, today=lambda: DAY)
        worker.start()
        until(lambda: len(looks) >= 3)
        assert worker.stop()
    assert days == [DAY]


def test_a_stop_waits_for_what_is_being_done_and_says_if_it_was_too_long() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def daily(_: date) -> None:
        begun.set()
        go_on.wait(20)

    looks: list[int] = []
    worker = DailyWorker("t", daily, each=lambda: looks.append(1), check_s=60, today=lambda: DAY)
    worker.start()
    assert begun.wait(20)
    assert not worker.stop(grace_s=0.05)
    go_on.set()
    assert worker.stop()
    assert looks == [], "nothing new is begun after a stop"


def test_the_alert_worker_raises_what_is_due_and_goes_on_after_a_fault(
    database: Database, edge: Edge
) -> None:
    del edge
    today = local_today()
    for ahead in range(6):
        day_of_scores(database, "counter-1", today - timedelta(20 - ahead), 0.7)
    settings = Settings.model_validate({"alerts": {"enabled": True}})
    with database.transaction() as connection:
        connection.execute("ALTER TABLE alerts RENAME TO hidden_alerts")
    worker = alert_worker(database, settings, check_s=0.02)
    with capture_logs() as logs:
        worker.start()
        until(lambda: any(entry["event"] == "daily work waits" for entry in logs))
        with database.transaction() as connection:
            connection.execute("ALTER TABLE hidden_alerts RENAME TO alerts")
        until(lambda: len(list_alerts(database, ["counter-1"])) == 1)
        assert worker.stop()
    assert {entry["work"] for entry in logs if entry["event"] == "daily work waits"} == {"alerts"}
    assert [entry["alerts"] for entry in logs if entry["event"] == "alerts raised"] == [1]
    assert "alerts" not in {thread.name for thread in threading.enumerate()}


def test_the_upkeep_of_the_index_runs_at_the_start_and_says_what_it_waits_for(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("ALTER TABLE index_cells RENAME TO hidden_cells")
    worker = index_worker(database, 10)
    with capture_logs() as logs:
        worker.start()
        until(lambda: any(entry["event"] == "daily work waits" for entry in logs))
        assert worker.stop()
    assert {entry["work"] for entry in logs if entry["event"] == "daily work waits"} == {"index"}
    assert not any("SELECT" in str(entry) for entry in logs)
