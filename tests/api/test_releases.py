"""Released figures: frozen, logged once, changed only by enough sessions at once."""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.database import Database
from api.disclosure import Disclosure
from api.ingest import Ingest
from api.releases import COLUMNS, Release, due, showable, shown_days
from api.schema import DAY_ZONE
from api.settings import IngestSettings
from tests.api.senders import Edge, signal

TODAY = date(2026, 3, 20)
DAY = date(2026, 3, 10)
N = 10
DISCLOSURE = Disclosure(N, TODAY)


class Sender:
    """Sends sessions of one day in batches, with numbers that go on."""

    def __init__(self, database: Database, edge: Edge, seed: int) -> None:
        self.ingest = Ingest(database, IngestSettings())
        self.edge = edge
        self.seq = 1
        self.rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret

    def send(self, count: int, *, score: float | None = 0.7, day: date = DAY) -> None:
        start = datetime.combine(day, time(9), ZoneInfo(DAY_ZONE)).astimezone(UTC)
        payloads = [
            signal(self.rng, "counter-1", start=start + timedelta(minutes=index), score=score)
            for index in range(count)
        ]
        body = self.edge.batch(self.seq, payloads)
        receipt = self.ingest.accept(body, self.edge.sign(body))
        assert receipt.inserted == count
        self.seq += count


def leaves(database: Database) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT body FROM central_log WHERE kind = 'release' ORDER BY idx"
        ).fetchall()
    return [json.loads(bytes(row[0])) for row in rows]


def shown(database: Database) -> dict[str, int]:
    days = shown_days(database, ["counter-1"], DAY.replace(day=1), DISCLOSURE)
    return dict(days["counter-1"][DAY])


@pytest.fixture
def sender(database: Database, edge: Edge, seed: int) -> Sender:
    return Sender(database, edge, seed)


def test_a_day_is_released_once_and_logged_with_its_sums(database: Database, sender: Sender) -> None:
    sender.send(12, score=0.5)
    first, second = shown(database), shown(database)
    assert first == second
    (leaf,) = leaves(database)
    (cell,) = leaf["cells"]
    release = Release.parse(cell)
    assert (release.counter, release.day, release.revision) == ("counter-1", DAY, 1)
    assert (release.sums["sessions"], release.sums["score_sum"]) == (12, 6_000_000)
    assert release.sums["score_square_sum"] == 12 * 500_000**2


def test_too_few_sessions_release_nothing(database: Database, sender: Sender) -> None:
    sender.send(N - 1)
    assert shown(database)["sessions"] == N - 1  # build_month hides it
    assert leaves(database) == []


def test_the_running_day_is_never_frozen(database: Database, sender: Sender) -> None:
    sender.send(12, day=DAY)
    running = Disclosure(N, DAY, running_day=True)
    shown_days(database, ["counter-1"], DAY.replace(day=1), running)
    assert leaves(database) == []


@pytest.mark.parametrize("late", [1, N - 1])
def test_a_few_late_sessions_change_nothing_that_was_shown(
    database: Database, sender: Sender, late: int
) -> None:
    sender.send(12, score=0.5)
    before = shown(database)
    sender.send(late, score=1.0)
    assert shown(database) == before
    assert len(leaves(database)) == 1


def test_enough_late_sessions_at_once_release_the_day_again(database: Database, sender: Sender) -> None:
    sender.send(12, score=0.5)
    shown(database)
    sender.send(4, score=1.0)
    shown(database)
    sender.send(6, score=1.0)
    # The factors of so few sessions would be told apart, so nothing moves before they are enough too.
    assert shown(database)["sessions"] in {12, 22}
    sender.send(60, score=1.0)
    after = shown(database)
    assert after["sessions"] == 82
    assert Release.parse(leaves(database)[-1]["cells"][0]).revision == len(leaves(database))


def test_as_of_names_the_sessions_behind_a_release(database: Database, sender: Sender) -> None:
    sender.send(12)
    shown(database)
    sender.send(3)
    as_of = leaves(database)[0]["cells"][0]["as_of"]
    with database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM signals WHERE arrival <= %s", (as_of,)).fetchone()
    assert row == (12,)


def test_pages_that_are_first_at_once_release_once(database: Database, sender: Sender) -> None:
    sender.send(12)
    threads = [threading.Thread(target=shown, args=(database,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(leaves(database)) == 1


def _sums(n: int, **values: int) -> dict[str, int]:
    return dict.fromkeys(COLUMNS, 0) | {"sessions": n, "scored": n, "score_sum": 500_000 * n} | values


def test_sums_over_few_sessions_are_left_out() -> None:
    sums = showable(
        _sums(20, scored=N - 1, access_n=N, access_sum=3, result_n=N - 1, result_sum=9), DISCLOSURE
    )
    assert "score_sum" not in sums
    assert "result_sum" not in sums
    assert (sums["access_sum"], sums["scored"]) == (3, N - 1)


@pytest.mark.parametrize(
    ("now", "moves"),
    [
        ({}, False),
        ({"sessions": 30, "scored": 30, "score_sum": 1}, True),
        ({"sessions": 29, "scored": 29}, False),
        ({"sessions": 30, "scored": 29}, False),  # nine scores could be told apart
        ({"sessions": 30, "scored": 20}, True),
        ({"sessions": 19, "scored": 19}, False),  # one was erased
        ({"score_sum": 1}, False),  # one was erased and one came
        ({"sessions": 30, "scored": 30, "access_n": 12, "access_sum": 4}, True),
        ({"sessions": 30, "scored": 30, "result_n": 19, "result_sum": 8}, False),
    ],
)
def test_a_release_moves_only_by_enough_sessions_in_every_sum(now: dict[str, int], moves: bool) -> None:  # noqa: FBT001 - an expected value
    before = _sums(20, result_n=15, result_sum=7)
    found = due(_sums(20, result_n=15, result_sum=7) | now, showable(before, DISCLOSURE), DISCLOSURE)
    assert (found is not None) is moves
