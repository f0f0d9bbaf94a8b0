"""Retention: what is past its days goes, nothing else does, and both can be read afterwards."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.database import Database
from api.errors import RetentionInvalid
from api.ingest import Ingest
from api.physical import RewriteRule
from api.retention import Retention, list_runs, load_rules
from api.settings import IngestSettings
from tests.api.senders import Edge, signal
from tests.api.test_ingest import count

AT_ONCE = RewriteRule(now_mb=1000, from_hour=2, to_hour=5)


def retention(database: Database, **days: int) -> Retention:
    wanted = {name.replace("_", "-"): value for name, value in days.items()}
    return Retention(database, load_rules(wanted), rewrite_rule=AT_ONCE)


def fill(database: Database, edge: Edge, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    now = datetime.now(UTC)
    payloads: list[Any] = [signal(rng, start=now - timedelta(days=age)) for age in (390, 200, 100, 1)]
    body = edge.batch(1, [*payloads, {"no": "signal"}])
    assert Ingest(database, IngestSettings()).accept(body, edge.sign(body)).inserted == 4


def leaves(database: Database) -> dict[str, dict[str, Any]]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log WHERE kind = 'retention-run' ORDER BY idx")
        documents = [json.loads(bytes(row[0])) for row in rows]
    return {document["category"]: document for document in documents}


def test_whole_months_go_and_nothing_is_kept_longer_than_told(
    database: Database, edge: Edge, seed: int
) -> None:
    fill(database, edge, seed)
    trial = {item.category: item for item in retention(database, signal=150).run(trial=True)}
    assert trial["signal"].removed == 2
    assert count(database, "signals") == 4
    assert leaves(database) == {}
    assert list_runs(database) == ()

    done = {item.category: item for item in retention(database, signal=150).run()}
    assert done["signal"].removed == 2
    assert len(done["signal"].partitions) == 2
    assert count(database, "signals") == 2
    with database.transaction() as connection:
        row = connection.execute("SELECT min(window_start) FROM signals").fetchone()
        assert row is not None
        assert row[0] >= datetime.now(UTC) - timedelta(days=150)
        for name in done["signal"].partitions:
            assert connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,)
    # The sums over many people stay, and the log says what went, up to when, by which rule.
    assert count(database, "rollup_counter_day") == 4
    leaf = leaves(database)["signal"]
    assert (leaf["removed"], leaf["days"], leaf["decided_by"]) == (2, 150, "settings")
    assert datetime.fromisoformat(leaf["before"]) == done["signal"].before
    assert set(leaves(database)) == {rule.category for rule in load_rules() if rule.days is not None}
    shown = {item.category: item for item in list_runs(database)}
    assert shown["signal"] == done["signal"]
    assert [item.removed for item in retention(database, signal=150).run() if item.category == "signal"] == [
        0
    ]


def test_what_was_set_aside_goes_after_its_days(database: Database, edge: Edge, seed: int) -> None:
    fill(database, edge, seed)
    keep = retention(database)
    assert {item.removed for item in keep.run()} == {0}
    assert not keep.due(datetime.now(UTC))
    later = datetime.now(UTC) + timedelta(days=31)
    assert keep.due(later)
    done = {item.category: item.removed for item in keep.run(now=later)}
    assert done["quarantine"] == 1
    assert count(database, "quarantine") == 0
    assert count(database, "signals") == 4


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({"signal": 731}, "730 days at most"),
        ({"signal": 30}, "at least 62"),
        ({"face-image": 1}, "no category"),
        ({"transcripts": 1}, "no category"),
    ],
)
def test_settings_shorten_and_never_lengthen(days: dict[str, int], words: str) -> None:
    with pytest.raises(RetentionInvalid, match=words):
        load_rules(days)
