from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from api.central_log import CentralLog
from api.consent_life import life
from api.consents import (
    Filter,
    anomalies,
    daily,
    edge_logs,
    find,
    notices_seen,
    patterns,
    search,
)
from api.database import Database
from api.edge_logs import EdgeLogs
from api.settings import LogSettings
from api.trends import local_today
from api.withdrawals import Wish, find_withdrawal, list_withdrawals, withdraw_by_code, withdraw_record
from consent.entry import Outcome, SessionSummary
from consent.merkle import check_inclusion, leaf_hash
from consent.purpose import Purpose
from consent.receipt import new_code
from consent.record import IndicatedBy
from consent.state import State
from tests.api.edge_consents import EdgeLog
from tests.api.senders import Edge

ALL = (Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES)


@pytest.fixture
def sent(edge: Edge, tmp_path: Path) -> EdgeLog:
    return EdgeLog.make(edge, tmp_path / "edge")


@pytest.fixture
def logs(database: Database) -> EdgeLogs:
    return EdgeLogs(database, LogSettings(fold_s=0))


def test_a_row_tells_what_the_log_tells(database: Database, logs: EdgeLogs, sent: EdgeLog) -> None:
    record = sent.whole(purposes=ALL)
    sent.send(logs, 0)
    row = find(database, record.record_id)
    assert row is not None
    assert (row.state, row.counter, row.session_id) == ("completed", "counter-1", record.session_id)
    assert (row.image, row.voice, row.quotes) == ("given", "given", "given")
    assert (row.dwell_ms, row.outcome, row.commitment) == (4000, "signal", "ab" * 32)
    assert (row.processed_image_ms, row.processed_voice_ms, row.units) == (9000, 4500, 90)
    assert row.notice_sha256 == record.notice.sha256
    assert row.shown_at is not None
    assert row.decided_at is not None
    assert row.ended_at is not None
    assert not row.lost
    entries = sent.store.log.of_record(record.record_id)
    assert (row.first_index, row.last_index) == (entries[0].index, entries[-1].index)
    decision = next(entry for entry in entries if entry.kind == "given")
    assert row.decision_index == decision.index
    assert find(database, uuid4()) is None


def test_a_search_narrows_by_every_field(database: Database, logs: EdgeLogs, sent: EdgeLog) -> None:
    now = datetime.now(UTC)
    early = sent.offer(at=now - timedelta(days=3), counter="counter-2")
    sent.give(early, given=False)
    half = sent.offer(purposes=ALL)
    choices = {Purpose.IMAGE: True, Purpose.VOICE: False, Purpose.QUOTES: False}
    sent.store.decide(half.record_id, choices, IndicatedBy.CITIZEN, "tap", dwell_ms=900)
    open_slot = sent.offer()
    sent.give(open_slot)
    sent.store.session_started(open_slot.record_id)
    sent.send(logs, 0)
    today = local_today()

    def found(**wanted: object) -> set[object]:
        return {row.record_id for row in search(database, Filter(**wanted)).rows}  # type: ignore[arg-type]  # named as Filter names them

    everything = {early.record_id, half.record_id, open_slot.record_id}
    assert found() == everything
    assert found(state="refused") == {early.record_id}
    assert found(state="given") == everything - {early.record_id}
    assert found(counter="counter-2") == {early.record_id}
    assert found(counters=("counter-1",)) == everything - {early.record_id}
    assert found(counters=()) == set()
    assert found(since=today) == everything - {early.record_id}
    assert found(until=today - timedelta(days=1)) == {early.record_id}
    assert found(purpose=Purpose.VOICE, answer="refused") == {early.record_id, half.record_id}
    assert found(purpose=Purpose.QUOTES, answer="refused") == {half.record_id}
    assert found(language="en") == set()
    assert found(notice_version=half.notice.version) == everything
    assert found(lost=True) == {open_slot.record_id}
    first, second = search(database, Filter(), size=2), search(database, Filter(), page=2, size=2)
    assert (first.found, first.pages, len(first.rows), len(second.rows)) == (3, 2, 2, 1)
    assert second.rows[0].record_id == early.record_id


def test_one_consents_life_is_proven_up_to_the_centres_checkpoint(
    database: Database, logs: EdgeLogs, sent: EdgeLog, tmp_path: Path
) -> None:
    central = CentralLog(database, tmp_path / "log")
    sent.whole()
    record = sent.whole()
    sent.send(logs, 0)
    told = life(database, record.record_id)
    assert told is not None
    assert told.anchor is not None
    assert told.anchor.note == b"", "no checkpoint of the centre covers it yet"
    note = central.checkpoint()
    told = life(database, record.record_id)
    assert told is not None
    anchor = told.anchor
    assert anchor is not None
    assert [entry.kind for entry in told.entries] == [
        *("offered", "shown", "given", "session-started", "session-ended", "completed")
    ]
    edge_tree = json.loads(anchor.leaf)
    assert edge_tree["note"].encode() == anchor.edge_note == sent.store.log.checkpoint()
    for entry in told.entries:
        assert leaf_hash(entry.body) == entry.leaf_hash
        check_inclusion(
            entry.leaf_hash,
            entry.index,
            anchor.edge_size,
            entry.proof,
            bytes.fromhex(edge_tree["root"]),
        )
    tree = central.keys().open(anchor.note).checkpoint
    assert anchor.note == note
    check_inclusion(leaf_hash(anchor.leaf), anchor.index, tree.size, anchor.proof, tree.root)
    assert life(database, uuid4()) is None


def test_an_entry_that_is_not_folded_in_yet_has_no_proof(
    database: Database, sent: EdgeLog, logs: EdgeLogs
) -> None:
    sent.send(logs, 0)
    size = sent.size
    record = sent.offer()
    sent.send(EdgeLogs(database, LogSettings(fold_s=3600)), size)
    told = life(database, record.record_id)
    assert told is not None
    assert (told.anchor, [entry.proof for entry in told.entries]) == (None, [(), ()])


def test_the_days_of_a_counter_add_up(database: Database, logs: EdgeLogs, sent: EdgeLog) -> None:
    kept = [sent.whole() for _ in range(3)]
    sent.give(sent.offer(), given=False)
    deferred = sent.offer()
    sent.store.apply(deferred.record_id, State.DEFERRED, IndicatedBy.SYSTEM, "timeout")
    child, seat = sent.offer(), sent.offer()
    sent.store.apply(child.record_id, State.DEFERRED, IndicatedBy.CONTROLLER, "accompanied-child")
    sent.give(seat)
    sent.store.session_started(seat.record_id)
    sent.store.apply(seat.record_id, State.REVOKED, IndicatedBy.CONTROLLER, "second-face")
    sent.store.session_ended(seat.record_id, SessionSummary(outcome=Outcome.STOPPED))
    came = sent.offer()
    sent.give(came)
    sent.store.apply(came.record_id, State.REVOKED, IndicatedBy.CONTROLLER, "accompanied-child")
    sent.offer(counter="counter-2")
    sent.store.apply(kept[0].record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "button")
    lost = sent.offer()
    sent.give(lost)
    sent.store.session_started(lost.record_id)
    sent.send(logs, 0)
    today = local_today()
    first, second = daily(database, today, today, lost_after=timedelta(0))
    assert (first.counter, second.counter, second.offered, second.given_share) == (
        *("counter-1", "counter-2", 1, None),
    )
    assert (first.offered, first.shown, first.given, first.refused, first.deferred) == (9, 9, 6, 1, 1)
    assert (first.withdrawn, first.slots, first.lost, first.given_share) == (1, 5, 1, 6 / 7)
    assert (first.accompanied, first.unasked, first.second_face) == (2, 1, 1)
    assert (second.accompanied, second.unasked, second.second_face) == (0, 0, 0)
    assert daily(database, today, today)[0].lost == 0, "a slot of this minute may still be closed"
    assert daily(database, today, today, counters=["counter-2"]) == (second,)
    assert daily(database, today - timedelta(days=1), today - timedelta(days=1)) == ()


def test_coercion_would_show_in_quick_answers_all_yes_and_bursts(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    for _ in range(4):
        sent.give(sent.offer(), dwell_ms=300)
    sent.give(sent.offer(), given=False, dwell_ms=5000)
    sent.give(sent.offer(counter="counter-2", purposes=(Purpose.IMAGE,)), dwell_ms=1000)
    sent.send(logs, 0)
    today = local_today()
    first, second = patterns(database, today, today)
    assert (first.decided, first.given, first.quick, first.several, first.all_yes) == (5, 4, 4, 5, 4)
    assert (first.quick_share, first.all_yes_share, first.largest_burst) == (0.8, 0.8, 4)
    assert (second.quick, second.several, second.all_yes_share, second.largest_burst) == (0, 0, None, 1)


def test_the_notices_and_logs_that_were_seen_are_listed(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    record = sent.whole()
    sent.whole(counter="elsewhere")
    sent.send(logs, 0)
    (notice,) = notices_seen(database)
    assert (notice.notice_sha256, notice.offered, notice.shown) == (record.notice.sha256, 1, 1)
    (log,) = edge_logs(database)
    assert (log.edge_id, log.name, log.size, log.folded_size) == (
        sent.edge.id,
        "edge-1",
        sent.size,
        sent.size,
    )
    assert (log.forked_at, log.forks, log.anomalies) == (None, 0, 6)
    assert {item.reason for item in anomalies(database, sent.edge.id)} == {
        "counter-not-enrolled",
        "no-offer-before",
    }


def test_a_withdrawal_by_code_is_logged_once_erases_at_once_and_reaches_the_edge(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    code = new_code()
    record = sent.whole(code=code)
    sent.send(logs, 0)
    assert withdraw_by_code(database, new_code()) is None
    assert withdraw_by_code(database, "no code at all") is None
    asked = withdraw_by_code(database, code.lower().replace("-", " "))
    assert asked is not None
    assert (asked.wish, asked.consent.record_id) == (Wish.ASKED, record.record_id)
    again = withdraw_by_code(database, code)
    assert again is not None
    assert again.wish is Wish.BEFORE
    with database.transaction() as connection:
        leaves = connection.execute(
            "SELECT count(*) FROM central_log WHERE kind = 'withdrawal-requested' AND record_id = %s",
            (record.record_id,),
        ).fetchone()
        erasures = connection.execute("SELECT record_id, cause FROM erasures").fetchall()
    assert leaves == (1,)
    assert erasures == [(record.record_id, "withdrawn")]
    for _ in range(2):
        taken = sent.send(logs, sent.size)
        assert [(item.record_id, item.method) for item in taken.withdrawals] == [
            (record.record_id, "receipt")
        ]
    size = sent.size
    sent.store.apply(record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "remote-receipt")
    assert sent.send(logs, size).withdrawals == ()
    done = find_withdrawal(database, record.record_id)
    assert done is not None
    assert done.listed_at is not None
    assert done.settled_at is not None
    assert list_withdrawals(database, open_only=True) == ()
    assert [item.record_id for item in list_withdrawals(database)] == [record.record_id]


def test_nothing_is_withdrawn_where_nothing_was_given(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    refused, given, withdrawn = sent.offer(), sent.offer(), sent.whole()
    sent.give(refused, given=False)
    sent.give(given)
    sent.store.apply(withdrawn.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "button")
    sent.send(logs, 0)
    wishes = [
        withdraw_record(database, record.record_id, method="letter", actor="lan")
        for record in (refused, given, withdrawn)
    ]
    assert [asked.wish for asked in wishes if asked is not None] == [*(Wish.NOTHING, Wish.ASKED, Wish.BEFORE)]
    assert withdraw_record(database, uuid4(), method="letter", actor="lan") is None
    # The consent ends in another way before the edge hears of it: the wish is settled.
    size = sent.size
    assert sent.send(logs, size).withdrawals != ()
    sent.store.session_started(given.record_id)
    sent.store.session_ended(given.record_id, SessionSummary())
    sent.store.apply(given.record_id, State.REVOKED, IndicatedBy.CONTROLLER, "child")
    assert sent.send(logs, size).withdrawals == ()
