"""Erasure at the centre: exact, once, whatever is asked again."""

from __future__ import annotations

import base64
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Database
from api.edge_logs import EdgeLogs
from api.eraser import CentralEraser
from api.erasure import ErasureState, certificate, erase, find_erasure, list_erasures, queue
from api.erasure_file import ErasureFile, ErasureLine
from api.errors import ErasureFileDamaged, Refused
from api.ingest import Ingest, Receipt
from api.physical import RewriteRule
from api.settings import IngestSettings, LogSettings
from consent.checkpoint import Ed25519Signer
from consent.record import IndicatedBy
from consent.state import State
from inference.signal import Criterion
from tests.api.edge_consents import EdgeLog
from tests.api.senders import Edge, enrolled_edge, signal
from tests.api.test_ingest import count, rollup_faults

AT_ONCE = RewriteRule(now_mb=1000, from_hour=2, to_hour=5)
SIGNER = Ed25519Signer("hailong/erasure", Ed25519PrivateKey.from_private_bytes(b"e" * 32))


@pytest.fixture
def file(tmp_path: Path) -> ErasureFile:
    return ErasureFile(tmp_path / "erasures.jsonl")


@pytest.fixture
def eraser(database: Database, file: ErasureFile, monkeypatch: pytest.MonkeyPatch) -> CentralEraser:
    monkeypatch.setattr("api.clearing._PAUSE", 0)  # how long a rewrite took decides nothing here
    return CentralEraser(database, file, SIGNER, rule=AT_ONCE)


def log_kinds(database: Database, record_id: UUID) -> list[str]:
    with database.transaction() as connection:
        return [
            str(row[0])
            for row in connection.execute(
                "SELECT kind FROM central_log WHERE record_id = %s ORDER BY idx", (record_id,)
            )
        ]


def test_a_withdrawn_signal_goes_with_its_part_of_both_rollups(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    long_ago = datetime.now(UTC) - timedelta(days=70)
    payloads = [signal(rng) for _ in range(6)] + [signal(rng, "counter-2", start=long_ago, score=None)]
    body = edge.batch(1, payloads)
    Ingest(database, IngestSettings()).accept(body, edge.sign(body))
    for payload in (payloads[2], payloads[6]):
        record_id = UUID(payload["consent_record_id"])
        assert erase(database, record_id, "withdrawn")
        assert not erase(database, record_id, "withdrawn")
        assert eraser.run_once() == 1
        done = certificate(database, record_id)
        assert done is not None
        done.verify(SIGNER.vkey())
        assert not done.resumed
        assert {store.name: store.removed for store in done.stores}["signals"] == 1
        assert log_kinds(database, record_id) == ["erasure-started", "erasure-done"]
        assert rollup_faults(database) == []
    assert count(database, "signals") == 5
    assert eraser.run_once() == 0


def test_a_rewritten_relation_rests_before_it_is_locked_again(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payloads = [signal(rng) for _ in range(2)]
    body = edge.batch(1, payloads)
    Ingest(database, IngestSettings()).accept(body, edge.sign(body))
    monkeypatch.setattr("api.clearing._PAUSE", 1e9)
    ended = []
    for payload in payloads:
        assert erase(database, UUID(payload["consent_record_id"]), "withdrawn")
        ended.append(eraser.run_once())
    assert ended == [1, 0]
    assert certificate(database, UUID(payloads[1]["consent_record_id"])) is None


def batch(edge: Edge, first: int, entries: list[dict[str, Any]]) -> bytes:
    numbered = [{"seq": number, **entry} for number, entry in enumerate(entries, first)]
    return json.dumps({"edge": str(edge.id), "first_seq": first, "entries": numbered}).encode()


def send(database: Database, edge: Edge, first: int, *entries: dict[str, Any]) -> Receipt:
    body = batch(edge, first, list(entries))
    return Ingest(database, IngestSettings()).accept(body, edge.sign(body))


def ballot(rng: random.Random, session_id: str | None, counter: str = "counter-1") -> dict[str, Any]:
    return {
        "schema_version": 1,
        "ballot_id": str(UUID(int=rng.getrandbits(128), version=4)),
        "counter": counter,
        "cast_at": datetime.now(UTC).isoformat(),
        "session_id": session_id,
        "satisfied": {criterion.value: rng.random() < 0.5 for criterion in Criterion},
    }


def test_nothing_of_an_erased_consent_is_taken_again(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload = signal(rng)
    send(database, edge, 1, {"kind": "signal", "payload": payload})
    record_id = UUID(payload["consent_record_id"])
    erase(database, record_id, "withdrawn")
    eraser.run_once()
    # The same entry again, the same session under a new number, its ballot, and what cannot be a signal.
    assert send(database, edge, 1, {"kind": "signal", "payload": payload}).repeated == 1
    late = signal(rng) | {"consent_record_id": str(record_id)}
    vote = ballot(rng, payload["session_id"])
    receipt = send(
        database, edge, 2, {"kind": "signal", "payload": late}, {"kind": "ballot", "payload": vote}
    )
    assert (receipt.high_water, receipt.inserted, receipt.erased, receipt.ballots) == (3, 0, 1, 1)
    assert send(database, edge, 2, {"kind": "signal", "payload": late}).repeated == 1
    assert count(database, "signals") == 0
    with database.transaction() as connection:
        assert connection.execute("SELECT session_id FROM ballots").fetchall() == [(None,)]


def test_a_ballot_between_the_erasure_and_the_log_is_unlinked_as_well(
    database: Database, edge: Edge, eraser: CentralEraser, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    log = EdgeLog.make(edge, tmp_path)
    record = log.whole()
    log.store.apply(record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt")
    erase(database, record.record_id, "request")
    assert eraser.run_once() == 1
    send(database, edge, 1, {"kind": "ballot", "payload": ballot(rng, str(record.session_id))})
    log.send(EdgeLogs(database, LogSettings()), 0)
    assert eraser.run_once() == 1
    assert eraser.run_once() == 0
    with database.transaction() as connection:
        assert connection.execute("SELECT session_id FROM ballots").fetchall() == [(None,)]
    log.store.close()


def test_a_tombstone_erases_what_came_before_it(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload, other = signal(rng), signal(rng)
    salt = base64.b64encode(bytes(range(32))).decode()
    send(
        database,
        edge,
        1,
        {"kind": "signal", "payload": payload, "salt": salt},
        {"kind": "signal", "payload": other},
        {"kind": "ballot", "payload": ballot(rng, payload["session_id"])},
    )
    tombstone = {"kind": "erased", "payload": {"record_id": payload["consent_record_id"]}}
    for _ in range(2):
        receipt = send(database, edge, 1, tombstone)
        assert (receipt.high_water, receipt.repeated) == (3, 1)
    # A tombstone under a number that belongs to another consent is no tombstone.
    with pytest.raises(Refused) as caught:
        send(database, edge, 2, tombstone)
    assert caught.value.kind == "sequence-reused"
    never_sent = str(UUID(int=rng.getrandbits(128), version=4))
    receipt = send(database, edge, 4, {"kind": "erased", "payload": {"record_id": never_sent}})
    assert (receipt.high_water, receipt.erased, receipt.quarantined) == (4, 1, ())
    assert eraser.run_once() == 1, "nothing here tells whose consent the other one is"
    assert [found.state for found in list_erasures(database)] == [ErasureState.DONE]
    done = certificate(database, UUID(payload["consent_record_id"]))
    assert done is not None
    removed = {store.name: store.removed for store in done.stores}
    assert (removed["signals"], removed["ballots"]) == (1, 1)
    assert (count(database, "signals"), count(database, "ballots"), count(database, "receipts")) == (1, 1, 4)
    with database.transaction() as connection:
        assert connection.execute("SELECT session_id FROM ballots").fetchall() == [(None,)]
    assert rollup_faults(database) == []


def test_an_edge_erases_its_own_consents_only(database: Database, edge: Edge, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload = signal(rng)
    send(database, edge, 1, {"kind": "signal", "payload": payload})
    other = enrolled_edge(database, ["counter-9"])
    receipt = send(
        database, other, 1, {"kind": "erased", "payload": {"record_id": payload["consent_record_id"]}}
    )
    assert [item.reason for item in receipt.quarantined] == ["not-own-consent"]
    assert list_erasures(database) == ()


def test_knowing_the_id_of_a_consent_lets_no_other_edge_erase_it(
    database: Database, edge: Edge, eraser: CentralEraser, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    log, thief = EdgeLog.make(edge, tmp_path), enrolled_edge(database, ["counter-9"])
    record = log.whole()
    payload = signal(rng) | {
        "consent_record_id": str(record.record_id),
        "session_id": str(record.session_id),
    }
    tombstone = {"kind": "erased", "payload": {"record_id": str(record.record_id)}}
    assert send(database, thief, 1, tombstone).high_water == 1  # before anything of it is here
    assert eraser.run_once() == 0
    assert send(database, edge, 1, {"kind": "signal", "payload": payload}).inserted == 1
    log.send(EdgeLogs(database, LogSettings()), 0)
    assert eraser.run_once() == 0
    assert list_erasures(database) == ()
    assert (count(database, "signals"), count(database, "erasure_claims")) == (1, 0)
    log.store.close()


def test_a_tombstone_before_its_log_waits_for_it_and_is_not_lost(
    database: Database, edge: Edge, eraser: CentralEraser, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    log = EdgeLog.make(edge, tmp_path)
    record = log.whole()
    payload = signal(rng) | {
        "consent_record_id": str(record.record_id),
        "session_id": str(record.session_id),
    }
    tombstone = {"kind": "erased", "payload": {"record_id": str(record.record_id)}}
    assert send(database, edge, 1, tombstone).erased == 1
    assert eraser.run_once() == 0
    # What the edge sends of that consent meanwhile is left empty all the same.
    assert send(database, edge, 2, {"kind": "signal", "payload": payload}).erased == 1
    assert count(database, "signals") == 0
    log.send(EdgeLogs(database, LogSettings()), 0)
    assert eraser.run_once() == 1
    done = find_erasure(database, record.record_id)
    assert done is not None
    assert (done.cause, done.session_id, done.state) == ("withdrawn", record.session_id, ErasureState.DONE)
    assert count(database, "erasure_claims") == 0
    log.store.close()


@pytest.mark.parametrize(
    "spoil",
    [
        {"counter": "counter-of-others"},
        {"window_start": "1999-01-01T00:00:00Z", "window_end": "1999-01-01T00:00:00Z"},
        {"window_end": "2999-01-01T00:00:00Z"},
        {"note": "x"},
        {"consent_record_id": "unreadable"},
        {"session_id": "unreadable"},
        {"overall": 1, "upper": True},
    ],
)
def test_what_cannot_be_taken_of_an_erased_consent_is_not_set_aside(
    database: Database, edge: Edge, eraser: CentralEraser, spoil: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload, other = signal(rng), signal(rng)
    send(database, edge, 1, {"kind": "signal", "payload": payload})
    erase(database, UUID(payload["consent_record_id"]), "withdrawn")
    eraser.run_once()
    if "upper" in spoil:
        spoil = spoil | {"consent_record_id": payload["consent_record_id"].upper().replace("-", "")}
    receipt = send(
        database,
        edge,
        2,
        {"kind": "signal", "payload": payload | spoil},
        {"kind": "signal", "payload": other | {"note": "x"}},
    )
    assert (receipt.high_water, receipt.erased) == (3, 1)
    assert [item.seq for item in receipt.quarantined] == [3]
    with database.transaction() as connection:
        kept = connection.execute("SELECT seq, digest = '' FROM receipts ORDER BY seq").fetchall()
        assert connection.execute("SELECT seq FROM quarantine").fetchall() == [(3,)]
    assert kept == [(1, True), (2, True), (3, False)]


def test_a_second_ballot_of_an_erased_session_is_not_set_aside(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload = signal(rng)
    vote = ballot(rng, payload["session_id"])
    send(database, edge, 1, {"kind": "signal", "payload": payload}, {"kind": "ballot", "payload": vote})
    erase(database, UUID(payload["consent_record_id"]), "withdrawn")
    eraser.run_once()
    assert send(database, edge, 3, {"kind": "ballot", "payload": vote}).quarantined == ()
    assert count(database, "quarantine") == 0


def test_withdrawn_consents_are_looked_for_where_the_logs_have_grown(
    database: Database, edge: Edge, file: ErasureFile, tmp_path: Path
) -> None:
    log = EdgeLog.make(edge, tmp_path)
    first, second = log.whole(), log.whole()
    logs = EdgeLogs(database, LogSettings())
    log.send(logs, 0)
    eraser = CentralEraser(database, file, SIGNER, rule=AT_ONCE)
    assert eraser.run_once() == 0
    size = log.size
    log.store.apply(first.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt")
    log.send(logs, size)
    with database.transaction() as connection:
        connection.execute("DELETE FROM erasures")  # as if it had not been asked for
        # No log says this: only a look at all that was looked at before can find it.
        connection.execute(
            "UPDATE consents SET state = 'invalidated' WHERE record_id = %s", (second.record_id,)
        )
    assert eraser.run_once() == 1
    assert [found.record_id for found in list_erasures(database)] == [first.record_id]
    assert eraser.run_once() == 0
    assert CentralEraser(database, file, SIGNER, rule=AT_ONCE).run_once() == 1, "a start looks at all"
    log.store.close()


def test_ballots_count_once_and_only_at_enrolled_counters(database: Database, edge: Edge, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    vote = ballot(rng, None)
    entries = [vote, vote, ballot(rng, None, "elsewhere"), vote | {"satisfied": {}}, vote | {"note": "x"}]
    receipt = send(database, edge, 1, *({"kind": "ballot", "payload": item} for item in entries))
    assert (receipt.high_water, receipt.ballots) == (5, 1)
    assert [item.reason for item in receipt.quarantined] == [
        "duplicate-ballot",
        "counter-not-enrolled",
        "bad-ballot:value_error:",
        "bad-ballot:extra_forbidden:",
    ]
    assert send(database, edge, 1, {"kind": "ballot", "payload": vote}).repeated == 1
    assert count(database, "ballots") == 1


def test_a_ballot_says_what_the_service_was_about_or_leaves_it_out(
    database: Database, edge: Edge, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    entries = [
        ballot(rng, None),  # of an edge that does not know the field
        ballot(rng, None) | {"procedure": "1.004227"},
        ballot(rng, None) | {"procedure": None},
        ballot(rng, None) | {"procedure": "Đăng ký"},
        ballot(rng, None) | {"procedure": ""},
    ]
    receipt = send(database, edge, 1, *({"kind": "ballot", "payload": item} for item in entries))
    assert receipt.ballots == 3
    assert {item.seq: item.reason for item in receipt.quarantined} == dict.fromkeys(
        (4, 5), "bad-ballot:string_pattern_mismatch:procedure"
    )
    with database.transaction() as connection:
        kept = connection.execute("SELECT seq, procedure FROM ballots ORDER BY seq").fetchall()
    assert kept == [(1, None), (2, "1.004227"), (3, None)]


@pytest.mark.parametrize("salt", ["", "AAAA", "A" * 43, base64.b64encode(b"x" * 31).decode(), 7, None])
def test_a_wrong_salt_is_set_aside(database: Database, edge: Edge, salt: object) -> None:
    entry = {"kind": "signal", "payload": signal(random.Random(1)), "salt": salt}  # noqa: S311 - a seeded sequence, no secret
    assert [item.reason for item in send(database, edge, 1, entry).quarantined] == ["bad-salt"]


def test_a_large_table_waits_for_the_night_and_the_store_says_so(
    database: Database, edge: Edge, file: ErasureFile, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload = signal(rng)
    send(database, edge, 1, {"kind": "signal", "payload": payload})
    record_id = UUID(payload["consent_record_id"])
    hour = datetime.now().astimezone().hour
    night = RewriteRule(now_mb=0, from_hour=(hour + 2) % 24, to_hour=(hour + 3) % 24)
    erase(database, record_id, "withdrawn")
    assert CentralEraser(database, file, SIGNER, rule=night).run_once() == 0
    found = find_erasure(database, record_id)
    assert found is not None
    assert found.state is ErasureState.STARTED
    states = {store.name: (store.done, store.note) for store in found.stores}
    assert states["signals"] == (True, "")
    assert not states["dead-rows"][0]
    assert "night" in states["dead-rows"][1]
    assert certificate(database, record_id) is None
    assert count(database, "signals") == 0
    assert CentralEraser(database, file, SIGNER, rule=AT_ONCE).run_once() == 1


def test_a_snapshot_that_still_sees_the_rows_keeps_the_certificate_back(
    database: Database, edge: Edge, eraser: CentralEraser, dsn: str, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    payload = signal(rng)
    send(database, edge, 1, {"kind": "signal", "payload": payload})
    record_id = UUID(payload["consent_record_id"])
    with psycopg.connect(dsn) as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT 1 FROM edges")  # a dump has begun
        erase(database, record_id, "withdrawn")
        assert eraser.run_once() == 0
        found = find_erasure(database, record_id)
        assert found is not None
        assert "still sees deleted rows" in found.fault
    deadline = time.monotonic() + 30
    while certificate(database, record_id) is None:  # a rewritten table rests before it is locked again
        assert time.monotonic() < deadline
        eraser.run_once()


def test_the_list_outside_the_database_bears_a_crash_and_no_change(file: ErasureFile) -> None:
    lines = [
        ErasureLine(UUID(int=number), None, "withdrawn", datetime(2026, 11, 22, tzinfo=UTC))
        for number in (1, 2)
    ]
    assert file.add(lines[0])
    assert not file.add(lines[0])
    with file.path.open("a", encoding="utf-8") as stream:
        stream.write('{"at": "20')  # the power went
    assert ErasureFile(file.path).lines() == (lines[0],)
    assert ErasureFile(file.path).add(lines[1])
    assert ErasureFile(file.path).lines() == tuple(lines)
    assert file.path.stat().st_mode & 0o777 == 0o600
    text = file.path.read_text(encoding="utf-8")
    file.path.write_text(text.replace("record_id", "record-id", 1), encoding="utf-8")
    with pytest.raises(ErasureFileDamaged, match="line 1"):
        ErasureFile(file.path).lines()


def test_the_asking_is_in_the_callers_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:  # noqa: PT012 - what fails is the transaction
        assert queue(connection, UUID(int=7), "invalidated")
        raise RuntimeError
    assert find_erasure(database, UUID(int=7)) is None
    with pytest.raises(ValueError, match="caused by"):
        erase(database, UUID(int=7), "because")
