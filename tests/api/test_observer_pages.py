"""Notes, alerts and proofs in a real browser: an observer checks everything and can change nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from api.actions import ActionKind, Draft, actions_of, note_action
from api.alerts.alert import AlertKind, Finding, raise_alerts
from api.database import Database
from api.index.period import Period, Span
from api.proofs import SHOWN_KINDS, entries_of, list_entries
from api.schema import next_month
from consent.checkpoint import peek
from consent.merkle import check_inclusion, leaf_hash
from consent.signed_note import decode
from tests.api.province_console import (
    OBSERVER,
    SUPERVISOR,
    ProvinceConsole,
    log_in,
    province_console,
)
from tests.api.province_places import BUSY_COUNTERS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
PATHS = {
    "proofs": "/proofs",
    "imports": "/proofs/imports",
    "alerts": "/alerts",
    "alerts-all": "/alerts?show=all",
}


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres) -> Iterator[ProvinceConsole]:
    with province_console(postgres, months=3) as console:
        with Database(console.central.dsn) as database:
            _fill(database, console.province.months)
        yield console


@pytest.fixture(scope="module")
def counter(found: ProvinceConsole) -> str:
    """A counter of the supervisor's area with printed months."""
    with Database(found.central.dsn) as database, database.transaction() as connection:
        row = connection.execute(
            "SELECT c.code FROM counters c JOIN index_cells i ON i.path @> ARRAY['counter:' || c.code] "
            "WHERE c.area = 'sen-ho' GROUP BY c.code ORDER BY count(DISTINCT i.month) DESC, c.code LIMIT 1"
        ).fetchone()
    assert row is not None
    return str(row[0])


def _fill(database: Database, months: tuple[date, ...]) -> None:
    middle = months[1] + timedelta(days=9)
    with database.transaction() as connection:
        codes = [row[0] for row in connection.execute("SELECT code FROM counters ORDER BY area, code")]
        shown = [
            Finding(
                AlertKind.CHANGE,
                next(iter(BUSY_COUNTERS)),
                "fell",
                {
                    "direction": "fell",
                    "since": middle.isoformat(),
                    "noticed": (middle + timedelta(6)).isoformat(),
                    "before": "71",
                    "after": "62",
                },
            ),
            *(
                Finding(AlertKind.SILENT, code, "x", {"since": middle.isoformat(), "weekdays": 4})
                for code in codes[::6]
            ),
            Finding(AlertKind.CALIBRATION, None, "2", {"version": 2, "networks": "centerface 2"}),
        ]
        raise_alerts(connection, shown)
    for code in codes:
        note_action(
            database,
            code,
            Draft(middle, ActionKind.GUIDANCE, "Thêm bảng chỉ dẫn và mẫu đơn điền sẵn ở cửa vào"),
            actor="lan",
            today=next_month(months[-1]),
        )


def shoot(page: Page, name: str) -> None:
    folder = os.environ.get("HAILONG_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def fits(page: Page, width: int) -> bool:
    metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
    return int(metrics["cssContentSize"]["width"]) <= width


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_an_observer_reads_proofs_alerts_and_notes(
    new_page: NewPage, found: ProvinceConsole, counter: str, axe: Axe, *, lang: str, size: str
) -> None:
    page = new_page(viewport=SIZES[size])
    log_in(page, found, OBSERVER, lang)
    with Database(found.central.dsn) as database, database.transaction() as connection:
        (newest, *_) = list_entries(connection)
    paths = PATHS | {"entry": f"/proofs/entries/{newest.index}", "actions": f"/counters/{counter}/actions"}
    for name, path in paths.items():
        answer = page.goto(found.page(path))
        assert answer is not None
        assert answer.status == 200, path
        assert page.get_attribute("html", "lang") == lang
        forms = page.locator("main form[method=post]").count()
        assert forms == 0, f"{path} lets an observer write"
        assert fits(page, SIZES[size]["width"]), path
        if size == "phone":
            assert axe(page) == (), path
        shoot(page, f"observer-{name}-{lang}-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_a_supervisor_writes_a_note_without_script(
    new_page: NewPage, found: ProvinceConsole, counter: str, axe: Axe, size: str
) -> None:
    page = new_page(viewport=SIZES[size])
    log_in(page, found, SUPERVISOR, "vi")
    page.goto(found.page(f"/counters/{counter}/actions"))
    page.locator("#actions > details > summary").click()
    form = page.locator("#actions > details form")
    form.locator("textarea").fill("Chị Lan mở thêm quầy buổi trưa")
    form.locator("select").select_option("hours")
    form.locator("button").click()
    assert page.locator("[role=alert]").inner_text().startswith("Có vẻ là tên người")
    assert axe(page) == ()
    shoot(page, f"supervisor-name-vi-{size}")
    form = page.locator("#actions > details form")
    form.locator("textarea").fill("Mở thêm quầy buổi trưa")
    form.locator("button").click()
    page.wait_for_url("**#actions")
    with Database(found.central.dsn) as database:
        texts = [action.now.text for action in actions_of(database, counter)]
    assert "Mở thêm quầy buổi trưa" in texts
    assert not any("Lan" in text for text in texts)
    page.goto(found.page("/alerts"))
    page.locator("#subscriptions details summary").click()
    assert axe(page) == ()
    assert fits(page, SIZES[size]["width"])
    shoot(page, f"supervisor-alerts-vi-{size}")


def session_of(page: Page) -> dict[str, str]:
    """Return the header with which another client is the same person."""
    cookies = [f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies()]
    return {"Cookie": "; ".join(cookies)}


def test_a_proof_is_checked_without_the_service(
    new_page: NewPage, found: ProvinceConsole, counter: str
) -> None:
    month = found.province.months[-1]
    with Database(found.central.dsn) as database:
        indexes = entries_of(database, f"counter:{counter}", Period(month, Span.MONTH).months)
        assert entries_of(database, "counter:no-such", [month]) == ()
    assert indexes
    page = new_page()
    log_in(page, found, OBSERVER, "en")
    observer = session_of(page)
    page = new_page()
    log_in(page, found, SUPERVISOR, "en")
    supervisor = session_of(page)
    with httpx.Client(base_url=found.page(""), trust_env=False, timeout=30) as client:
        path = f"/proofs/entries/{indexes[0]}/proof.json"
        told = json.loads(client.get(path, headers=observer).content)
        less = json.loads(client.get(path, headers=supervisor).content)
        assert client.get("/proofs/entries/0", headers=observer).status_code == 404, (
            "the first entry is no figure"
        )
        assert client.get(f"/proofs/entries/{10**9}", headers=observer).status_code == 404
        assert "counter:" not in client.get(f"/proofs/entries/{indexes[0]}", headers=supervisor).text
        assert client.get(path).status_code == 303, "nobody without a login"
    tree = peek(told["checkpoint"].encode())
    leaf = leaf_hash(told["entry"].encode())
    assert leaf == decode(told["leaf_hash"]) == hashlib.sha256(b"\0" + told["entry"].encode()).digest()
    check_inclusion(leaf, told["index"], tree.size, [decode(item) for item in told["path"]], tree.root)
    assert counter in told["entry"]
    assert less["entry"] is None
    assert (less["path"], less["leaf_hash"]) == (told["path"], told["leaf_hash"])


def test_only_kinds_without_a_person_are_listed(found: ProvinceConsole) -> None:
    with Database(found.central.dsn) as database, database.transaction() as connection:
        listed = {entry.kind for entry in list_entries(connection, limit=1000)}
        every = {row[0] for row in connection.execute("SELECT DISTINCT kind FROM central_log")}
    assert listed <= set(SHOWN_KINDS)
    assert {"account", "genesis"} <= every - {kind.value for kind in listed}


def test_a_changed_ballot_is_seen_on_the_page(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page()
    log_in(page, found, OBSERVER, "en")
    page.goto(found.page("/proofs/imports"))
    assert page.locator(".tag.good").inner_text() == "as logged"
    with Database(found.central.dsn) as database, database.transaction() as connection:
        row = connection.execute(
            "DELETE FROM survey_ballots WHERE (import_id, sheet, line) IN (SELECT import_id, sheet, line "
            "FROM survey_ballots ORDER BY import_id, sheet, line LIMIT 1) RETURNING import_id"
        ).fetchone()
    page.reload()
    assert page.locator(".tag.bad").inner_text() == "NOT AS LOGGED"
    assert row is not None
    assert re.search(str(row[0]), page.inner_text("main"))
