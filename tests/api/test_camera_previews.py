"""Previews of cameras at the centre: told by the edges' logs, shown to whoever may read those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.camera_previews import camera_previews
from api.edge_logs import EdgeLogs
from api.pages.privacy_log import PREVIEW_ENDS
from api.settings import LogSettings
from consent.entry import MaintenanceEnd
from tests.api.edge_consents import EdgeLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api.database import Database
    from tests.api.senders import Edge


@pytest.fixture
def sent(edge: Edge, tmp_path: Path) -> Iterator[EdgeLog]:
    log = EdgeLog.make(edge, tmp_path)
    yield log
    log.store.close()


def test_previews_arrive_with_the_log_newest_first(database: Database, sent: EdgeLog) -> None:
    logs = EdgeLogs(database, LogSettings())
    assert camera_previews(database) == ()
    begun = sent.store.maintenance_started("counter-1", "nv-07", 900)
    sent.store.maintenance_ended(begun, MaintenanceEnd.TIME, 1234)
    killed = sent.store.maintenance_started("counter-1", "nv-08", 60)
    assert sent.send(logs, 0).anomalies == 0
    newest, oldest = camera_previews(database)
    assert (newest.operator, newest.started_at, newest.limit_s) == ("nv-08", killed.at, 60)
    assert (newest.ended_at, newest.ended_by, newest.frames) == (None, None, None)
    assert (oldest.counter, oldest.operator, oldest.ended_by, oldest.frames) == (
        "counter-1",
        "nv-07",
        "time",
        1234,
    )
    size = sent.size
    sent.store.recover()
    sent.send(logs, size)
    assert camera_previews(database)[0].ended_by == "unfinished"
    assert set(PREVIEW_ENDS) == set(MaintenanceEnd)
