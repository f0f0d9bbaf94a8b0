"""A citizen sees until when quotes are kept at the counter, and who read them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from api.central_log import CentralLog
from api.database import Database
from api.edge_logs import EdgeLogs
from api.own_record import OwnRecord, own_record
from api.settings import LogSettings
from api.witnesses import Witnesses
from consent.entry import ReadPurpose
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


def looked(database: Database, sent: EdgeLog, folder: Path, code: str) -> OwnRecord:
    settings = LogSettings(fold_s=0)
    sent.send(EdgeLogs(database, settings), 0)
    log = CentralLog(database, folder / "central")
    log.open()
    told = own_record(database, Witnesses(log, settings), code)
    assert told is not None
    return told


def test_the_readings_of_the_counter_reach_the_citizen(
    database: Database, sent: EdgeLog, tmp_path: Path
) -> None:
    code = new_code()
    record = sent.whole(purposes=ALL, code=code)
    for purpose in (ReadPurpose.COMPLAINT, ReadPurpose.INSPECTION):
        sent.store.quotes_read(record.record_id, "dpo-1", purpose, "KN-77", quotes=2)
    told = looked(database, sent, tmp_path, code)
    assert [item.purpose for item in told.quotes_read] == [ReadPurpose.INSPECTION, ReadPurpose.COMPLAINT]
    assert told.consent.decided_at is not None
    assert told.quotes_until == told.consent.decided_at + timedelta(days=30, hours=1)
    assert not told.checked.wrong


@pytest.mark.parametrize("case", ["withdrawn", "not asked"])
def test_where_nothing_is_kept_no_day_is_named(
    database: Database, sent: EdgeLog, tmp_path: Path, case: str
) -> None:
    code = new_code()
    record = sent.whole(purposes=ALL if case == "withdrawn" else ALL[:2], code=code)
    if case == "withdrawn":
        sent.store.apply(record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "test")
    told = looked(database, sent, tmp_path, code)
    assert (told.quotes_until, told.quotes_read) == (None, ())
