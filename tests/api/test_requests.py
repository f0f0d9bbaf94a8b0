"""Requests under the law: their clocks, their acts, and one leaf of the log for each act."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from api.clock_state import ClockState, Standing
from api.errors import CaseRefused
from api.requests import Channel, Outcome, RequestFilter, RequestKind, Requests, Subject
from consent.clocks import VIET_NAM

if TYPE_CHECKING:
    from api.database import Connection, Database

RECEIPT = UUID("019a0000-0000-7000-8000-000000000001")
RECORD = UUID("019a0000-0000-7000-8000-000000000002")
MONDAY = datetime(2026, 11, 2, 8, tzinfo=VIET_NAM)
ACTOR = "an.nguyen"


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests()


def _leaves(connection: Connection, kind: str = "request") -> list[dict[str, Any]]:
    rows = connection.execute("SELECT body FROM central_log WHERE kind = %s ORDER BY idx", (kind,))
    return [json.loads(bytes(row[0])) for row in rows]


def _receive(
    requests: Requests, connection: Connection, kind: RequestKind = RequestKind.DELETE, **facts: Any
) -> UUID:
    given: dict[str, Any] = {"channel": Channel.COUNTER, "actor": ACTOR, "received_at": MONDAY} | facts
    return requests.receive(connection, kind, Subject(RECEIPT, RECORD), **given).request_id


def _end(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, 999_999, tzinfo=VIET_NAM)


def test_a_request_gets_the_clocks_of_the_law(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        request = requests.get(connection, _receive(requests, connection))
        assert request.acknowledge_due_at == _end(2026, 11, 4)
        assert request.answer_due_at == _end(2026, 11, 23)
        assert (request.law, request.due_provisional) == ("vn-pdpl-2026 1.0", False)
        later = requests.involve_processor(connection, request.request_id, actor=ACTOR)
        assert later.answer_due_at == _end(2026, 12, 2)
        assert requests.involve_processor(connection, request.request_id, actor=ACTOR) == later
        assert [leaf["act"] for leaf in _leaves(connection)] == ["received", "processor-involved"]


def test_each_act_is_one_leaf_without_the_note(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        case = _receive(requests, connection, note="gọi lại chiều thứ ba")
        requests.acknowledge(connection, case, actor=ACTOR, at=MONDAY + timedelta(hours=3))
        requests.answer(connection, case, Outcome.DONE, actor="binh.tran", at=MONDAY + timedelta(days=5))
        leaves = _leaves(connection)
    assert [(leaf["act"], leaf["actor"]) for leaf in leaves] == [
        ("received", ACTOR),
        ("acknowledged", ACTOR),
        ("answered", "binh.tran"),
    ]
    assert {leaf["record_id"] for leaf in leaves} == {str(RECORD)}
    assert leaves[0]["request_kind"] == "delete"
    assert leaves[2]["outcome"] == "done"
    assert not any("thứ ba" in json.dumps(leaf, ensure_ascii=False) for leaf in leaves)


def test_a_failed_act_leaves_no_leaf(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        case = _receive(requests, connection)

    def fail_after_the_act() -> None:
        with database.transaction() as connection:
            requests.answer(connection, case, Outcome.DONE, actor=ACTOR)
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        fail_after_the_act()
    with database.transaction() as connection:
        assert requests.get(connection, case).answered_at is None
        assert [leaf["act"] for leaf in _leaves(connection)] == ["received"]


def test_what_is_due_first_stands_first(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        slow = _receive(requests, connection, RequestKind.DELETE)
        quick = _receive(requests, connection, RequestKind.VIEW)
        done = _receive(requests, connection, RequestKind.VIEW, received_at=MONDAY - timedelta(days=9))
        requests.answer(connection, done, Outcome.NOTHING_HELD, actor=ACTOR, at=MONDAY)
        assert [item.request_id for item in requests.find(connection, RequestFilter())] == [quick, slow, done]
        found = requests.find(connection, RequestFilter(only_open=True, kind=RequestKind.VIEW))
        assert [item.request_id for item in found] == [quick]
        assert len(requests.find(connection, RequestFilter(record_id=RECORD, limit=2))) == 2
        assert requests.find(connection, RequestFilter(receipt_id=RECORD)) == ()
        page = requests.find(connection, RequestFilter(receipt_id=RECEIPT, offset=2))
        assert [item.request_id for item in page] == [done]


def test_standings_follow_both_clocks(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        case = _receive(requests, connection, RequestKind.VIEW)

        def standing(days: float) -> Standing:
            return requests.get(connection, case).standing(MONDAY + timedelta(days=days))

        assert standing(0) is Standing.ON_TIME
        assert standing(1) is Standing.DUE_SOON, "the acknowledgement is due in two days"
        assert standing(3) is Standing.LATE
        requests.acknowledge(connection, case, actor=ACTOR, at=MONDAY + timedelta(days=2))
        assert standing(3) is Standing.ON_TIME
        assert standing(9) is Standing.DUE_SOON
        assert standing(11) is Standing.LATE
        counts = requests.standings(connection, MONDAY + timedelta(days=11))
        assert counts[Standing.LATE] == 1
        requests.answer(connection, case, Outcome.DONE, actor=ACTOR, at=MONDAY + timedelta(days=11))
        assert standing(11) is Standing.DONE_LATE
        assert sum(requests.standings(connection, MONDAY + timedelta(days=12)).values()) == 1


@pytest.mark.parametrize(
    ("done_after_h", "now_h", "expected"),
    [
        (None, 0, Standing.ON_TIME),
        (None, 51, Standing.ON_TIME),
        (None, 52, Standing.DUE_SOON),
        (None, 100, Standing.DUE_SOON),
        (None, 101, Standing.LATE),
        (100, 500, Standing.DONE),
        (101, 101, Standing.DONE_LATE),
    ],
)
def test_a_clock_changes_at_the_very_moment(done_after_h: int | None, now_h: int, expected: Standing) -> None:
    done = None if done_after_h is None else MONDAY + timedelta(hours=done_after_h)
    clock = ClockState(MONDAY + timedelta(hours=100), done)
    assert clock.standing(MONDAY + timedelta(hours=now_h)) is expected


@pytest.mark.parametrize(
    ("subject", "facts", "message"),
    [
        (Subject(), {}, "name the receipt"),
        (Subject(reference="Nguyễn Văn A"), {}, "names no person"),
        (Subject(reference="a" * 65), {}, "at most 64"),
        (Subject(RECEIPT), {"note": "x" * 201}, "at most 200"),
        (Subject(RECEIPT), {"received_at": MONDAY + timedelta(hours=1), "now": MONDAY}, "in the future"),
        (
            Subject(RECEIPT),
            {"received_at": datetime(2025, 6, 2, tzinfo=VIET_NAM)},
            "no law of this release sets a time for this on 2025-06-02",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(
    requests: Requests, database: Database, subject: Subject, facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(CaseRefused, match=message), database.transaction() as connection:
        requests.receive(
            connection, RequestKind.WITHDRAW, subject, channel=Channel.POST, actor=ACTOR, **facts
        )
    with database.transaction() as connection:
        assert _leaves(connection) == []


def test_old_law_has_no_clock_for_the_acknowledgement(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        received_at = datetime(2025, 12, 31, 9, tzinfo=VIET_NAM)
        request = requests.get(connection, _receive(requests, connection, received_at=received_at))
        assert (request.acknowledge_due_at, request.acknowledgement) == (None, None)
        assert request.answer_due_at == received_at + timedelta(hours=72)


def test_an_act_out_of_order_is_refused(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        case = _receive(requests, connection)
        with pytest.raises(CaseRefused, match="arrived after that"):
            requests.acknowledge(connection, case, actor=ACTOR, at=MONDAY - timedelta(minutes=1))
        requests.acknowledge(connection, case, actor=ACTOR)
        with pytest.raises(CaseRefused, match="acknowledged before"):
            requests.acknowledge(connection, case, actor=ACTOR)
        requests.answer(connection, case, Outcome.DONE, actor=ACTOR)
        with pytest.raises(CaseRefused, match="a new request"):
            requests.answer(connection, case, Outcome.REFUSED, actor=ACTOR)
        with pytest.raises(CaseRefused, match="no request"):
            requests.get(connection, RECORD)


def test_the_database_itself_keeps_free_text_out(requests: Requests, database: Database) -> None:
    with database.transaction() as connection:
        case = _receive(requests, connection)
    for column, value in (("reference", "Nguyễn Văn A"), ("note", "x" * 201), ("kind", "a b")):
        with pytest.raises(psycopg.errors.CheckViolation), database.transaction() as connection:
            connection.execute(
                f"UPDATE data_requests SET {column} = %s WHERE request_id = %s",  # noqa: S608 - names of this test
                (value, case),
            )
