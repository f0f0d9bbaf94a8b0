"""Previews of cameras at the centre: told by the edges' logs, shown to whoever may read those."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from api.camera_previews import camera_previews
from api.database import Database
from api.edge_logs import EdgeLogs
from api.pages.privacy_log import PREVIEW_ENDS
from api.settings import LogSettings
from consent.entry import MaintenanceEnd
from tests.api.console import OBSERVER, Console, console, log_in
from tests.api.edge_consents import EdgeLog
from tests.api.senders import enrolled_edge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api.postgres import EmbeddedPostgres
    from tests.api.senders import Edge
    from tests.browser import Axe, NewPage


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


_ENDS = {
    "vi": ("hết thời gian chờ", "người thực hiện đã dừng", "không có ai xem"),
    "en": ("time ran out", "stopped by the operator", "nobody watched"),
}


@pytest.fixture(scope="module")
def shown(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A centre with one preview of each end, and one that has none yet."""
    with console(postgres, "previews", seed=5) as found, Database(found.central.dsn) as database:
        edge = enrolled_edge(database, ("quay-9",), area="ha-noi")
        log = EdgeLog.make(edge, tmp_path_factory.mktemp("previewed"))
        for number, end in enumerate(MaintenanceEnd):
            begun = log.store.maintenance_started("quay-9", f"nv-{number:02}", 900)
            if end is MaintenanceEnd.UNFINISHED:
                log.store.recover()
            else:
                log.store.maintenance_ended(begun, end, 100 + number)
        log.store.maintenance_started("quay-9", "nv-99", 900)
        log.send(EdgeLogs(database, LogSettings()), 0)
        yield found
        log.store.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_list_reads_well(new_page: NewPage, shown: Console, axe: Axe, lang: str, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 844})
    log_in(page, shown, lang, OBSERVER)
    page.goto(shown.page("/privacy/log"))
    title = {"vi": "Camera đã cho người lắp đặt xem", "en": "Cameras shown to installers"}[lang]
    card = page.locator(".card", has=page.get_by_role("heading", name=title))
    rows = card.locator("tbody tr").all_inner_texts()
    assert len(rows) == len(MaintenanceEnd) + 1
    assert "nv-99" in rows[0], "newest first"
    for word in _ENDS[lang]:
        assert sum(word in row for row in rows) == 1, (word, rows)
    assert {re.findall(r"nv-\d\d", row)[0] for row in rows} == {
        *(f"nv-{number:02}" for number in range(len(MaintenanceEnd))),
        "nv-99",
    }
    assert axe(page) == ()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
