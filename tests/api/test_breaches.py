"""Breaches: 72 hours to tell the authority, five years of file, one leaf for each act."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from api.breaches import Breaches, Cause, Measure, Nature, Scope
from api.clock_state import Standing
from api.errors import CaseRefused

if TYPE_CHECKING:
    from api.database import Connection, Database

FOUND = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
ACTOR = "an.nguyen"


@pytest.fixture(scope="module")
def breaches() -> Breaches:
    return Breaches()


def _detect(breaches: Breaches, connection: Connection, **facts: Any) -> UUID:
    given: dict[str, Any] = {"actor": ACTOR, "detected_at": FOUND} | facts
    scope = (Scope.SIGNALS, Scope.KEYS)
    return breaches.detect(connection, Nature.LOST, Cause.STOLEN_DEVICE, scope, **given).breach_id


def test_a_breach_from_detection_to_its_file(breaches: Breaches, database: Database) -> None:
    with database.transaction() as connection:
        case = _detect(breaches, connection, affected=40)
        breach = breaches.get(connection, case)
        assert breach.notify_due_at == FOUND + timedelta(hours=72)
        assert breach.scope == ["keys", "signals"]
        breaches.measure(connection, case, [Measure.KEYS_ROTATED, Measure.DEVICE_REVOKED], actor=ACTOR)
        breaches.notify(
            connection, case, actor=ACTOR, authority_reference="a05-2026-117", at=FOUND + timedelta(hours=20)
        )
        closed = breaches.close(connection, case, actor="binh.tran", at=FOUND + timedelta(days=12))
        rows = connection.execute("SELECT body FROM central_log WHERE kind = 'breach' ORDER BY idx")
        leaves = [json.loads(bytes(row[0])) for row in rows]
    assert closed.file_until == date(2031, 12, 2), "12 days later, a day in Viet Nam and five years"
    assert closed.measures == ["device-revoked", "keys-rotated"]
    assert [leaf["act"] for leaf in leaves] == ["detected", "measures", "notified", "closed"]
    assert leaves[0]["scope"] == ["keys", "signals"]
    assert leaves[3]["file_until"] == "2031-12-02"


def test_the_clock_runs_from_detection(breaches: Breaches, database: Database) -> None:
    with database.transaction() as connection:
        breach = breaches.get(connection, _detect(breaches, connection))
    standings = {hours: breach.standing(FOUND + timedelta(hours=hours)) for hours in (0, 47, 48, 72, 73)}
    assert standings == {
        0: Standing.ON_TIME,
        47: Standing.ON_TIME,
        48: Standing.DUE_SOON,
        72: Standing.DUE_SOON,
        73: Standing.LATE,
    }


def test_what_the_authority_does_not_know_stands_first(breaches: Breaches, database: Database) -> None:
    with database.transaction() as connection:
        newer = _detect(breaches, connection, detected_at=FOUND)
        older = _detect(breaches, connection, detected_at=FOUND - timedelta(hours=5))
        known = _detect(breaches, connection)
        breaches.notify(connection, known, actor=ACTOR)
        assert [item.breach_id for item in breaches.find(connection)] == [older, newer, known]
        breaches.close(connection, known, actor=ACTOR)
        assert [item.breach_id for item in breaches.find(connection, only_open=True)] == [older, newer]
        assert len(breaches.find(connection, limit=1, offset=1)) == 1


def test_acts_that_do_not_fit_are_refused(breaches: Breaches, database: Database) -> None:
    with database.transaction() as connection:
        case = _detect(breaches, connection)
        with pytest.raises(CaseRefused, match="tell the authority"):
            breaches.close(connection, case, actor=ACTOR)
        with pytest.raises(CaseRefused, match="after that"):
            breaches.notify(connection, case, actor=ACTOR, at=FOUND - timedelta(seconds=1))
        with pytest.raises(CaseRefused, match="at most 64"):
            breaches.notify(connection, case, actor=ACTOR, authority_reference="Ông A")
        with pytest.raises(CaseRefused, match="not on the list yet"):
            breaches.measure(connection, case, [], actor=ACTOR)
        breaches.notify(connection, case, actor=ACTOR)
        with pytest.raises(CaseRefused, match="told of breach"):
            breaches.notify(connection, case, actor=ACTOR)
        breaches.close(connection, case, actor=ACTOR)
        with pytest.raises(CaseRefused, match="is closed"):
            breaches.measure(connection, case, [Measure.CITIZENS_TOLD], actor=ACTOR)
        with pytest.raises(CaseRefused, match="no breach"):
            breaches.get(connection, uuid4())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"detected_at": FOUND, "now": FOUND - timedelta(hours=1)}, "in the future"),
        ({"affected": -1}, "estimate"),
        ({"note": "x" * 201}, "at most 200"),
    ],
)
def test_a_breach_out_of_bounds_is_refused(
    breaches: Breaches, database: Database, facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(CaseRefused, match=message), database.transaction() as connection:
        _detect(breaches, connection, **facts)


def test_a_breach_without_scope_is_refused(breaches: Breaches, database: Database) -> None:
    with pytest.raises(CaseRefused, match="everything it may touch"), database.transaction() as connection:
        breaches.detect(connection, Nature.ALTERED, Cause.UNKNOWN, [], actor=ACTOR)
