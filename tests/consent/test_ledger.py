"""The consent log: what it refuses, what it notices, what it survives."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from consent.errors import (
    AskedTwice,
    DecisionIncomplete,
    LedgerCorrupt,
    LedgerUnavailable,
    TransitionRefused,
    UnknownRecord,
)
from consent.head import head_path
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.state import State
from consent.verification import read_log, verify_file
from tests.consent.citizens import ALL_GIVEN, BOTH, Clocks, citizen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSED = dict.fromkeys(BOTH, False)


def given(store: ConsentStore, choices: dict[Purpose, bool] = ALL_GIVEN, *, validity_s: int = 3600) -> UUID:
    record = citizen(validity_s=validity_s)
    store.offer(record)
    store.decide(record.record_id, choices, "citizen", "kiosk-touch")
    return record.record_id


@pytest.mark.parametrize(
    ("image", "voice", "state", "permitted"),
    [
        (True, True, State.GIVEN, set(BOTH)),
        (True, False, State.GIVEN, {Purpose.IMAGE}),
        (False, True, State.GIVEN, {Purpose.VOICE}),
        (False, False, State.REFUSED, set()),
    ],
)
def test_each_purpose_is_decided_apart(
    store: ConsentStore, *, image: bool, voice: bool, state: State, permitted: set[Purpose]
) -> None:
    record_id = given(store, {Purpose.IMAGE: image, Purpose.VOICE: voice})
    assert store.state(record_id) is state
    assert store.permitted(record_id) == permitted
    assert store.record(record_id).given() == permitted


@pytest.mark.parametrize(
    "to", [State.WITHDRAWN, State.EXPIRED, State.COMPLETED, State.REVOKED, State.INVALIDATED]
)
def test_every_ending_permits_nothing(store: ConsentStore, to: State) -> None:
    record_id = given(store)
    assert store.permitted(record_id) == set(BOTH)
    store.apply(record_id, to, "system", "test")
    assert (store.state(record_id), store.permitted(record_id)) == (to, frozenset())


@pytest.mark.parametrize("by", ["system", "controller", "authority"])
def test_nobody_but_the_citizen_decides(store: ConsentStore, by: str) -> None:
    record = citizen()
    store.offer(record)
    with pytest.raises(DecisionIncomplete, match="only the citizen"):
        store.decide(record.record_id, ALL_GIVEN, by, "test")


@pytest.mark.parametrize("choices", [{}, {Purpose.IMAGE: True}, {**ALL_GIVEN, Purpose.QUOTES: False}])
def test_each_purpose_that_was_asked_and_no_other_is_answered(
    store: ConsentStore, choices: dict[Purpose, bool]
) -> None:
    record = citizen()
    store.offer(record)
    with pytest.raises(DecisionIncomplete, match="image, voice"):
        store.decide(record.record_id, choices, "citizen", "test")
    assert store.state(record.record_id) is State.OFFERED


def test_quotes_need_the_voice(store: ConsentStore) -> None:
    record = citizen((Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES))
    store.offer(record)
    with pytest.raises(DecisionIncomplete, match="quotes"):
        store.decide(record.record_id, {**REFUSED, Purpose.QUOTES: True}, "citizen", "test")


def test_a_session_is_asked_once(store: ConsentStore) -> None:
    record = citizen()
    store.offer(record)
    with pytest.raises(AskedTwice):
        store.offer(record)
    store.decide(record.record_id, REFUSED, "citizen", "test")
    again = store.record(record.record_id)
    second = citizen()
    object.__setattr__(second, "session_id", again.session_id)
    with pytest.raises(AskedTwice, match="new session"):
        store.offer(second)
    assert store.verify().entries == 3


def test_an_unknown_record_is_named(store: ConsentStore) -> None:
    unknown = uuid4()
    with pytest.raises(UnknownRecord, match=str(unknown)):
        store.permitted(unknown)


def test_the_hard_limit_holds_whatever_the_wall_clock_does(store: ConsentStore, clocks: Clocks) -> None:
    record_id = given(store, validity_s=60)
    for days in (-1, 1, -365):
        mono = clocks.mono_ns
        clocks.advance(days * 86_400)
        clocks.mono_ns = mono
        assert store.permitted(record_id) == set(BOTH)
    clocks.advance(59.9)
    assert store.permitted(record_id) == set(BOTH)
    clocks.advance(0.1)
    assert store.permitted(record_id) == frozenset()
    assert store.remaining_ns(record_id) == 0


def test_a_consent_of_another_start_of_the_machine_permits_nothing(
    store: ConsentStore, log_path: Path, clocks: Clocks
) -> None:
    record_id = given(store)
    with ConsentStore(log_path, now=clocks.now, monotonic_ns=clocks.monotonic_ns) as second:
        assert second.permitted(record_id) == set(BOTH)
        second._boot = "another"
        assert second.permitted(record_id) == frozenset()


def test_recover_ends_what_an_earlier_run_left_open(store: ConsentStore) -> None:
    offered = citizen()
    store.offer(offered)
    open_one, done = given(store), given(store, REFUSED)
    assert store.recover() == (offered.record_id, open_one)
    states = [store.state(record_id) for record_id in (offered.record_id, open_one, done)]
    assert states == [State.DEFERRED, State.EXPIRED, State.REFUSED]
    assert store.recover() == ()


def test_listeners_hear_after_the_commit_and_cannot_stop_each_other(store: ConsentStore) -> None:
    heard: list[tuple[int, int]] = []

    def broken(_: object) -> None:
        raise RuntimeError("this listener is broken")

    store.subscribe(broken)
    stop = store.subscribe(lambda logged: heard.append((logged.index, store.verify().entries)))
    record = citizen()
    store.offer(record)
    stop()
    store.decide(record.record_id, REFUSED, "citizen", "test")
    assert heard == [(1, 2)]


def _withdraw_until_it_fails(store: ConsentStore, records: list[UUID]) -> None:
    for record_id in records:
        store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")


def test_a_full_disk_stops_the_capture_all_the_same(store: ConsentStore) -> None:
    records = [given(store) for _ in range(30)]
    (pages,) = store.log._writer.execute("PRAGMA page_count").fetchone()
    store.log._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerUnavailable, match=r"full.*Free space"):
        _withdraw_until_it_fails(store, records)
    unwritten = next(record_id for record_id in records if store.state(record_id) is State.GIVEN)
    assert store.permitted(unwritten) == frozenset()
    store.log._writer.execute("PRAGMA max_page_count = 1000000")
    store.apply(unwritten, State.WITHDRAWN, "citizen", "kiosk-touch")
    assert store.state(unwritten) is State.WITHDRAWN
    assert store.verify().ok


def test_a_locked_log_permits_nothing_new(log_path: Path, clocks: Clocks) -> None:
    with ConsentStore(log_path, monotonic_ns=clocks.monotonic_ns, busy_s=0.05) as store:
        record_id = given(store)
        other = sqlite3.connect(log_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="Stop the other program"):
            store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
        assert store.permitted(record_id) == frozenset()
        other.execute("ROLLBACK")
        other.close()
        store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
        assert store.state(record_id) is State.WITHDRAWN


def test_a_withdrawal_of_an_open_question_does_not_spoil_it(store: ConsentStore) -> None:
    record = citizen()
    store.offer(record)
    with pytest.raises(TransitionRefused):
        store.apply(record.record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
    store.decide(record.record_id, ALL_GIVEN, "citizen", "kiosk-touch")
    assert store.permitted(record.record_id) == set(BOTH)


def test_a_closed_store_permits_nothing(log_path: Path) -> None:
    store = ConsentStore(log_path)
    record_id = given(store)
    store.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        store.permitted(record_id)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET kind = 'given' WHERE kind = 'refused'",
        "DELETE FROM entries WHERE idx = 2",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE idx = 1",
        "INSERT INTO entries SELECT idx + 7, leaf, kind, record_id, session_id, body FROM entries",
    ],
)
def test_the_log_refuses_to_be_edited(store: ConsentStore, log_path: Path, statement: str) -> None:
    given(store, REFUSED)
    with (
        sqlite3.connect(log_path) as other,
        pytest.raises(sqlite3.DatabaseError, match=r"consent log|UNIQUE"),
    ):
        other.execute(statement)
    other.close()
    assert store.verify().ok


def _edit(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def _flip(path: Path) -> None:
    _edit(
        path,
        """UPDATE entries SET body = CAST(replace(body, '"refused"', '"given"') AS BLOB) WHERE idx = 4""",
    )


def _no_head(path: Path) -> None:
    head_path(path).unlink()


def _broken_head(path: Path) -> None:
    head_path(path).write_text("{}")


def _no_database(path: Path) -> None:
    path.write_bytes(b"x" * 8192)


def _swap(path: Path) -> None:
    _edit(
        path,
        "UPDATE entries SET idx = -3 WHERE idx = 3",
        "UPDATE entries SET idx = 3 WHERE idx = 4",
        "UPDATE entries SET idx = 4 WHERE idx = -3",
    )


def _insert(path: Path) -> None:
    copy = "SELECT 9, randomblob(32), kind, record_id, 'x', body FROM entries WHERE idx = 2"
    _edit(path, f"INSERT INTO entries {copy}")


def _younger(path: Path) -> None:
    path.unlink()
    head = head_path(path)
    kept = head.read_bytes()
    head.unlink()
    with ConsentStore(path) as other:
        for _ in range(4):
            given(other)
    head.write_bytes(kept)


TAMPERING: dict[str, tuple[Callable[[Path], None], int]] = {
    "flip": (_flip, 4),
    "column": (lambda path: _edit(path, "UPDATE entries SET kind = 'given' WHERE idx = 4"), 4),
    "drop": (lambda path: _edit(path, "DELETE FROM entries WHERE idx = 3"), 3),
    "drop first": (lambda path: _edit(path, "DELETE FROM entries WHERE idx = 0"), 0),
    "insert": (_insert, 9),
    "swap": (_swap, 3),
    "truncate": (lambda path: _edit(path, "DELETE FROM entries WHERE idx > 5"), 6),
    "truncate to the first": (lambda path: _edit(path, "DELETE FROM entries WHERE idx > 0"), 1),
    "empty": (lambda path: _edit(path, "DELETE FROM entries"), 0),
    "another log": (_younger, 8),
    "no head": (_no_head, 9),
    "broken head": (_broken_head, 0),
    "not a database": (_no_database, 0),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found_where_it_begins(log_path: Path, kind: str) -> None:
    with ConsentStore(log_path) as store:
        for choices in (ALL_GIVEN, REFUSED, ALL_GIVEN, REFUSED):
            given(store, choices)
        assert store.verify().entries == 9
    tamper, broken = TAMPERING[kind]
    tamper(log_path)
    report = verify_file(log_path)
    assert not report.ok
    assert report.broken_index == broken
    assert report.reason


@pytest.mark.parametrize(
    "kind", ["truncate", "truncate to the first", "another log", "no head", "broken head", "not a database"]
)
def test_a_log_that_was_cut_or_swapped_never_starts_again(log_path: Path, kind: str) -> None:
    with ConsentStore(log_path) as store:
        for _ in range(4):
            given(store)
    TAMPERING[kind][0](log_path)
    with pytest.raises(LedgerCorrupt):
        ConsentStore(log_path)


def test_a_log_that_vanished_is_not_silently_begun_at_zero(log_path: Path) -> None:
    with ConsentStore(log_path) as store:
        given(store)
    log_path.unlink()
    with pytest.raises(LedgerCorrupt, match="never started again at zero silently"):
        ConsentStore(log_path)


def test_a_decision_turned_round_in_the_file_permits_nothing(log_path: Path) -> None:
    with ConsentStore(log_path) as store:
        record_id = given(store, REFUSED)
    _edit(
        log_path,
        "UPDATE entries SET kind = 'given', body = CAST(replace(body, '\"refused\"', '\"given\"') AS BLOB) "
        "WHERE kind = 'refused'",
    )
    connection = sqlite3.connect(log_path)
    assert connection.execute("SELECT count(*) FROM entries WHERE kind = 'given'").fetchone() == (1,)
    connection.close()
    with pytest.raises(LedgerCorrupt), ConsentStore(log_path) as store:
        store.permitted(record_id)
    with pytest.raises(LedgerCorrupt):
        read_log(log_path)


def test_a_crash_between_commit_and_head_is_no_tampering(log_path: Path, tmp_path: Path) -> None:
    with ConsentStore(log_path) as store:
        given(store)
        older = tmp_path / "older"
        shutil.copy(head_path(log_path), older)
        given(store)
    shutil.copy(older, head_path(log_path))
    with ConsentStore(log_path) as store:
        assert store.verify().entries == 5
        given(store)
    assert verify_file(log_path).ok


def _write_some(path: Path) -> None:
    with ConsentStore(path, busy_s=60) as store:
        for _ in range(10):
            record = citizen()
            store.offer(record)
            store.decide(record.record_id, ALL_GIVEN, "citizen", "test")


def test_two_processes_and_four_threads_write_one_unforked_chain(log_path: Path) -> None:
    with ConsentStore(log_path, busy_s=60) as store:
        context = multiprocessing.get_context("spawn")
        others = [context.Process(target=_write_some, args=(log_path,)) for _ in range(2)]
        for other in others:
            other.start()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: given(store), range(20)))
        for other in others:
            other.join(60)
            assert other.exitcode == 0
        report = store.verify()
    assert (report.ok, report.entries) == (True, 1 + 2 * 20 + 2 * 10 * 2)


def test_a_missing_log_says_where_it_was_looked_for(log_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=str(log_path)):
        verify_file(log_path)
    with pytest.raises(LedgerUnavailable, match=str(log_path)):
        read_log(log_path)
