"""Batches: exactly once, whatever the order, the splits and the replays."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.batch import parse_batch
from api.database import Database
from api.enrolment import revoke_edge
from api.errors import DatabaseUnavailable, Refused
from api.ingest import Ingest, Quarantined
from api.schema import ROLLUP_SUMS, SIGNAL_COLUMNS
from api.settings import IngestSettings
from inference.signal import Signal
from tests.api.senders import Edge, enrolled_edge, signal


@pytest.fixture
def ingest(database: Database) -> Ingest:
    return Ingest(database, IngestSettings())


def send(ingest: Ingest, edge: Edge, first: int, payloads: list[Any]) -> Any:
    body = edge.batch(first, payloads)
    return ingest.accept(body, edge.sign(body))


def rollup_faults(database: Database) -> list[Any]:
    """Compare both rollups with sums made again from the raw signals."""
    sums = ", ".join(f"({source})::numeric AS {name}" for name, source in ROLLUP_SUMS.items())
    faults: list[Any] = []
    with database.transaction() as connection:
        for table, key in (("rollup_counter_day", "counter"), ("rollup_area_day", "area")):
            again = (
                f"SELECT {key}, (window_start AT TIME ZONE 'Asia/Ho_Chi_Minh')::date AS day, {sums} "  # noqa: S608 - names are ours
                f"FROM signals JOIN counters ON code = counter GROUP BY 1, 2"
            )
            kept = f"SELECT {key}, day, {', '.join(f'{n}::numeric' for n in ROLLUP_SUMS)} FROM {table}"  # noqa: S608 - names are ours
            faults += connection.execute(
                f"({again} EXCEPT {kept}) UNION ALL ({kept} EXCEPT {again})"
            ).fetchall()
    return faults


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names of ours
    assert row is not None
    return int(row[0])


def test_a_batch_is_committed_and_acknowledged(ingest: Ingest, edge: Edge, database: Database) -> None:
    rng = random.Random(1)  # noqa: S311 - a seeded sequence, no secret
    receipt = send(ingest, edge, 1, [signal(rng), signal(rng, score=None), signal(rng, "counter-2")])
    assert (receipt.high_water, receipt.inserted, receipt.quarantined) == (3, 3, ())
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT counter, sessions, scored, score_sum FROM rollup_counter_day ORDER BY counter"
        ).fetchall()
    assert rows == [("counter-1", 2, 1, 700_000), ("counter-2", 1, 1, 700_000)]
    assert rollup_faults(database) == []


def test_a_replay_changes_nothing(ingest: Ingest, edge: Edge, database: Database) -> None:
    rng = random.Random(2)  # noqa: S311 - a seeded sequence, no secret
    payloads = [signal(rng) for _ in range(5)]
    send(ingest, edge, 1, payloads)
    again = send(ingest, edge, 1, payloads)
    assert (again.high_water, again.inserted, again.repeated) == (5, 0, 5)
    assert count(database, "signals") == 5
    assert rollup_faults(database) == []


def test_a_gap_is_refused_with_the_high_water(ingest: Ingest, edge: Edge) -> None:
    rng = random.Random(3)  # noqa: S311 - a seeded sequence, no secret
    send(ingest, edge, 1, [signal(rng)])
    with pytest.raises(Refused) as caught:
        send(ingest, edge, 3, [signal(rng)])
    assert (caught.value.status, caught.value.kind) == (HTTPStatus.CONFLICT, "sequence-gap")
    assert caught.value.extra["high_water"] == 1


def test_other_content_under_a_used_number_is_refused(ingest: Ingest, edge: Edge, database: Database) -> None:
    rng = random.Random(4)  # noqa: S311 - a seeded sequence, no secret
    send(ingest, edge, 1, [signal(rng)])
    with pytest.raises(Refused) as caught:
        send(ingest, edge, 1, [signal(rng), signal(rng)])
    assert caught.value.kind == "sequence-reused"
    assert count(database, "signals") == 1


def _unknown_counter(payload: dict[str, Any]) -> None:
    payload["counter"] = "not-mine"


def _future(payload: dict[str, Any]) -> None:
    start = datetime.now(UTC) + timedelta(minutes=10)
    payload["window_start"] = start.isoformat()
    payload["window_end"] = (start + timedelta(minutes=1)).isoformat()


def _old(payload: dict[str, Any]) -> None:
    payload["window_start"] = payload["window_end"] = "1999-01-01T00:00:00Z"


def _extra(payload: dict[str, Any]) -> None:
    payload["transcript\0 of a citizen"] = "secret words \0"


def _no_score(payload: dict[str, Any]) -> None:
    payload["overall"] = {}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_unknown_counter, "counter-not-enrolled"),
        (_future, "clock-ahead"),
        (_old, "too-old"),
        (_extra, "bad-signal:extra_forbidden:"),
        (_no_score, "bad-signal:value_error:overall"),
    ],
)
def test_a_bad_entry_is_set_aside_and_the_rest_goes_on(
    ingest: Ingest, edge: Edge, database: Database, spoil: Callable[[dict[str, Any]], None], reason: str
) -> None:
    rng = random.Random(5)  # noqa: S311 - a seeded sequence, no secret
    bad = signal(rng)
    spoil(bad)
    receipt = send(ingest, edge, 1, [signal(rng), bad, signal(rng)])
    assert receipt.high_water == 3
    assert receipt.quarantined == (Quarantined(2, reason),)
    assert count(database, "signals") == 2
    with database.transaction() as connection:
        kept = connection.execute("SELECT payload FROM quarantine").fetchone()
    assert kept is not None
    assert json.loads(bytes(kept[0])) == bad


def test_one_session_under_two_numbers_counts_once(ingest: Ingest, edge: Edge, database: Database) -> None:
    payload = signal(random.Random(6))  # noqa: S311 - a seeded sequence, no secret
    receipt = send(ingest, edge, 1, [payload, payload])
    assert receipt.quarantined == (Quarantined(2, "duplicate-signal"),)
    later = send(ingest, edge, 3, [payload])
    assert later.quarantined == (Quarantined(3, "duplicate-signal"),)
    assert count(database, "signals") == 1
    assert rollup_faults(database) == []


@pytest.mark.parametrize("signature", [None, "", "!!", "AAAA", "A" * 88])
def test_a_wrong_signature_is_refused(ingest: Ingest, edge: Edge, signature: str | None) -> None:
    with pytest.raises(Refused) as caught:
        ingest.accept(edge.batch(1, [signal(random.Random(7))]), signature)  # noqa: S311 - a seeded sequence, no secret
    assert caught.value.status == HTTPStatus.UNAUTHORIZED


def test_a_signature_of_another_body_edge_or_a_revoked_edge_is_refused(
    ingest: Ingest, edge: Edge, database: Database
) -> None:
    other = enrolled_edge(database, ["counter-3"])
    body = edge.batch(1, [signal(random.Random(8))])  # noqa: S311 - a seeded sequence, no secret
    for wrong in (other.sign(body), edge.sign(body + b" ")):
        with pytest.raises(Refused) as caught:
            ingest.accept(body, wrong)
        assert caught.value.status == HTTPStatus.UNAUTHORIZED
    revoke_edge(database, edge.id, actor="test")
    with pytest.raises(Refused) as caught:
        ingest.accept(body, edge.sign(body))
    assert caught.value.status == HTTPStatus.UNAUTHORIZED
    assert count(database, "signals") == 0


STRANGER = "01a200dd-0000-7000-8000-000000000000"
"""A constant, so that every test process collects the same cases."""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"edge": NaN}', 400),
        (b"[]", 422),
        (b"{}", 422),
        (json.dumps({"edge": "x", "first_seq": 1, "entries": []}).encode(), 422),
        (json.dumps({"edge": STRANGER, "first_seq": 1, "entries": []}).encode(), 422),
        (json.dumps({"edge": STRANGER, "first_seq": True, "entries": [1]}).encode(), 422),
        (json.dumps({"edge": STRANGER, "first_seq": 2**63, "entries": [1]}).encode(), 422),
        (json.dumps({"edge": STRANGER, "first_seq": 1, "entries": [{"seq": 2}]}).encode(), 422),
        (
            json.dumps(
                {
                    "edge": STRANGER,
                    "first_seq": 1,
                    "entries": [{"seq": 2, "kind": "signal", "payload": {}}],
                }
            ).encode(),
            422,
        ),
    ],
)
def test_a_malformed_envelope_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        parse_batch(body, max_entries=500)
    assert caught.value.status == status


def test_a_lost_database_acknowledges_nothing(edge: Edge, dsn: str) -> None:
    lost = Database(dsn.replace("dbname=", "dbname=gone_"), wait_s=0.3)
    body = edge.batch(1, [signal(random.Random(9))])  # noqa: S311 - a seeded sequence, no secret
    with lost, pytest.raises(DatabaseUnavailable, match="try again"):
        Ingest(lost, IngestSettings()).accept(body, edge.sign(body))


def test_a_full_disk_acknowledges_nothing(ingest: Ingest, edge: Edge, database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END$$"
        )
        connection.execute("CREATE TRIGGER no_room BEFORE UPDATE ON edges EXECUTE FUNCTION no_room()")
    with pytest.raises(DatabaseUnavailable, match="no room"):
        send(ingest, edge, 1, [signal(random.Random(10))])  # noqa: S311 - a seeded sequence, no secret
    assert count(database, "signals") == 0
    with database.transaction() as connection:
        connection.execute("DROP TRIGGER no_room ON edges")
    assert send(ingest, edge, 1, [signal(random.Random(10))]).high_water == 1  # noqa: S311 - a seeded sequence, no secret
    assert rollup_faults(database) == []


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_splits_replays_and_reorderings_give_exact_rollups(
    database: Database, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**32), label="seed")
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    edge = enrolled_edge(database, ["counter-1", "counter-2"])
    ingest = Ingest(database, IngestSettings())
    before = count(database, "signals")
    total = data.draw(st.integers(1, 40), label="signals")
    stream = [
        signal(
            rng,
            rng.choice(edge.counters),
            start=datetime.now(UTC) - timedelta(hours=rng.randint(1, 24 * 70)),
            score=None if rng.random() < 0.2 else round(rng.random(), 6),
        )
        for _ in range(total)
    ]
    committed = 0
    while committed < total:
        first = data.draw(st.integers(1, total), label="first")
        last = data.draw(st.integers(first, total), label="last")
        if first > committed + 1:
            with pytest.raises(Refused) as caught:
                send(ingest, edge, first, stream[first - 1 : last])
            assert caught.value.kind == "sequence-gap"
            assert caught.value.extra["high_water"] == committed
            last = min(total, committed + 7)
            receipt = send(ingest, edge, committed + 1, stream[committed:last])
        else:
            receipt = send(ingest, edge, first, stream[first - 1 : last])
        committed = max(committed, last)
        assert receipt.high_water == committed
    assert count(database, "signals") == before + total
    assert rollup_faults(database) == []


def test_concurrent_senders_of_two_edges_give_exact_rollups(database: Database) -> None:
    ingest = Ingest(database, IngestSettings())
    rng = random.Random(11)  # noqa: S311 - a seeded sequence, no secret
    edges = [enrolled_edge(database, [f"counter-{i}", f"desk-{i}"]) for i in range(2)]
    streams = [[signal(rng, rng.choice(edge.counters)) for _ in range(120)] for edge in edges]
    failures: list[BaseException] = []

    def run(index: int, seed: int) -> None:
        local = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
        try:
            done = 0
            while done < 120:
                size = local.randint(1, 30)
                start = max(1, done + 1 - local.randint(0, 10))
                try:
                    done = send(
                        ingest, edges[index], start, streams[index][start - 1 : start - 1 + size]
                    ).high_water
                except Refused as refused:
                    done = int(str(refused.extra["high_water"]))
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i % 2, i)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert count(database, "signals") == 240
    assert rollup_faults(database) == []


def test_rows_and_columns_agree_with_the_table(database: Database) -> None:
    with database.transaction() as connection:
        found = connection.execute("SELECT * FROM signals LIMIT 0").description
        rollup = connection.execute("SELECT * FROM rollup_counter_day LIMIT 0").description
    assert found is not None
    assert rollup is not None
    assert set(SIGNAL_COLUMNS) | {"received_at", "arrival"} == {column.name for column in found}
    assert set(ROLLUP_SUMS) | {"counter", "day", "last_received"} == {column.name for column in rollup}


def test_partitions_of_other_months_are_made_on_demand(
    ingest: Ingest, edge: Edge, database: Database
) -> None:
    start = datetime.now(UTC) - timedelta(days=200)
    send(ingest, edge, 1, [signal(random.Random(12), start=start)])  # noqa: S311 - a seeded sequence, no secret
    with database.transaction() as connection:
        assert connection.execute(f"SELECT count(*) FROM signals_{start:%Y_%m}").fetchone() == (1,)  # noqa: S608 - names are ours
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT 1 FROM signals_1999_01")
        connection.rollback()


def test_half_a_surrogate_pair_is_set_aside_not_an_error(
    ingest: Ingest, edge: Edge, database: Database
) -> None:
    body = edge.batch(1, [{}], kind="\ud800")
    receipt = ingest.accept(body, edge.sign(body))
    assert receipt.quarantined == (Quarantined(1, "unknown-kind"),)
    assert ingest.accept(body, edge.sign(body)).repeated == 1
    text = edge.batch(2, [signal(random.Random(13)) | {"counter": "\ud800"}])  # noqa: S311 - a seeded sequence, no secret
    assert ingest.accept(text, edge.sign(text)).high_water == 2
    assert count(database, "quarantine") == 2


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        ({"image_permitted": 1}, "image_permitted"),
        ({"image_permitted": "yes"}, "image_permitted"),
        ({"window_start": 1_790_000_000}, "window_start"),
        ({"overall": {"score": "0.5", "low": 0.1, "high": 0.9}}, "overall"),
        ({"overall": {"score": True, "low": 0.1, "high": 1}}, "overall"),
        ({"quality": {"gaps": 1.0}}, "quality"),
        ({"quality": {"gaps": 10**400}}, "quality"),
    ],
)
def test_nothing_is_read_as_another_type(
    ingest: Ingest, edge: Edge, database: Database, spoil: dict[str, Any], place: str
) -> None:
    receipt = send(ingest, edge, 1, [signal(random.Random(14)) | spoil])  # noqa: S311 - a seeded sequence, no secret
    assert len(receipt.quarantined) == 1
    assert receipt.quarantined[0].reason.split(":")[2] == place
    assert count(database, "signals") == 0


def test_a_senders_spelling_is_not_kept(ingest: Ingest, edge: Edge, database: Database) -> None:
    payload = signal(random.Random(15))  # noqa: S311 - a seeded sequence, no secret
    spelt = payload | {
        "session_id": "urn:uuid:" + payload["session_id"].upper(),
        "window_start": payload["window_start"].replace("T", " "),
    }
    assert send(ingest, edge, 1, [spelt]).quarantined == ()
    with database.transaction() as connection:
        row = connection.execute("SELECT payload FROM signals").fetchone()
    assert row is not None
    assert row[0] == Signal.model_validate(payload).model_dump(mode="json")


def test_one_signal_id_at_two_times_is_two_rows_and_neither_is_set_aside(
    ingest: Ingest, edge: Edge, database: Database
) -> None:
    payload = signal(random.Random(16))  # noqa: S311 - a seeded sequence, no secret
    moved = payload | {"window_start": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}
    receipt = send(ingest, edge, 1, [payload, moved])
    assert (receipt.inserted, receipt.quarantined) == (2, ())
    assert rollup_faults(database) == []


def test_a_partition_that_was_dropped_is_made_again(ingest: Ingest, edge: Edge, database: Database) -> None:
    rng = random.Random(17)  # noqa: S311 - a seeded sequence, no secret
    start = datetime.now(UTC) - timedelta(days=100)
    send(ingest, edge, 1, [signal(rng, start=start)])
    with database.transaction() as connection:
        connection.execute(f"DROP TABLE signals_{start:%Y_%m}")
    payload = signal(rng, start=start)
    with pytest.raises(Refused) as caught:
        send(ingest, edge, 2, [payload])
    assert caught.value.kind == "partition-missing"
    assert send(ingest, edge, 2, [payload]).inserted == 1


@pytest.mark.parametrize(
    ("start", "day"),
    [
        ("2025-10-31T16:59:59.999999+00:00", "2025-10-31"),
        ("2025-10-31T17:00:00+00:00", "2025-11-01"),
        ("2025-11-01T00:00:00+07:00", "2025-11-01"),
        ("2025-10-31T23:59:59-12:00", "2025-11-01"),
    ],
)
def test_a_session_counts_on_the_vietnamese_day_it_started(
    edge: Edge, database: Database, start: str, day: str
) -> None:
    ingest = Ingest(database, IngestSettings(max_age_days=3660))
    begin = datetime.fromisoformat(start)
    assert send(ingest, edge, 1, [signal(random.Random(18), start=begin)]).inserted == 1  # noqa: S311 - a seeded sequence, no secret
    with database.transaction() as connection:
        assert connection.execute("SELECT day::text FROM rollup_counter_day").fetchall() == [(day,)]
