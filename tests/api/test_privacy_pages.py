"""The privacy officer's pages in a real browser, both languages, desk and phone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.api.consent_sender import PRESSED
from tests.api.console import OBSERVER, Console, console, log_in, state_reason
from tests.api.test_pages import shoot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
READ_BY_AXE = "phone"
"""The markup is the same at both sizes: the rules are read once a page and language."""
PAGES = {
    "overview": "/privacy",
    "counters": "/privacy/counters",
    "notices": "/privacy/notices",
    "consents": "/privacy/consents",
}


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres, seed: int) -> Iterator[Console]:
    with console(postgres, "privacy_pages", seed=seed) as found:
        yield found


def width_of(page: Page) -> float:
    metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
    return float(metrics["cssContentSize"]["width"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_page_reads_well(new_page: NewPage, found: Console, axe: Axe, lang: str, size: str) -> None:
    page = new_page(viewport=SIZES[size])
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    log_in(page, found, lang)
    state_reason(page, found)
    records = {name: f"/privacy/consents/{found.sent.records[name]}" for name in ("whole", "late", "lost")}
    for name, path in (PAGES | records).items():
        answer = page.goto(found.page(path))
        assert answer is not None
        assert answer.status == 200, path
        assert page.get_attribute("html", "lang") == lang
        if size == READ_BY_AXE:
            assert axe(page) == (), path
        assert width_of(page) <= SIZES[size]["width"], path
        shoot(page, f"privacy-{name}-{lang}-{size}")
    assert faults == []


def test_a_search_is_a_form_whose_address_can_be_kept(new_page: NewPage, found: Console) -> None:
    page = new_page(java_script_enabled=False)
    log_in(page, found, "en")
    page.click("nav.second summary")
    page.click("nav.second a:has-text('Consents')")
    page.wait_for_selector("#ticket")
    page.select_option("#purpose", "inspection")
    page.fill("#ticket", "TT-7")
    page.click("button.main")
    page.wait_for_selector("#state")
    assert "63 consents" in page.inner_text("main")
    assert page.locator("tbody tr").count() == 25
    page.click("a[rel=next]")
    assert "Page 2 of 3" in page.inner_text("main")
    page.select_option("#state", "completed")
    page.select_option("select[name=purpose]", "image")
    page.select_option("select[name=answer]", "refused")
    page.click("button.main")
    assert page.locator("tbody tr").count() == 1
    assert {"state=completed", "purpose=image", "answer=refused"} <= set(
        page.url.partition("?")[2].split("&")
    )
    page.click("tbody th a")
    assert page.url.endswith(str(found.sent.records["half"]))
    page.goto(found.page("/privacy/consents?lost=1"))
    assert page.locator("tbody tr").count() == 2, "the lost one and the one that still runs"
    page.goto(found.page("/privacy/consents?state=nonsense&since=tomorrow&purpose=x"))
    assert "63 consents" in page.inner_text("main")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("whole", ["Proven: the consent stands before the first frame", "Within the consent"]),
        ("overrun", ["MORE than was consented to"]),
        ("lost", ["LOST: the slot was never closed"]),
        ("open", ["The session still runs"]),
        ("refused", ["Nothing was captured", "consent refused"]),
        ("silent", ["no answer in time", "time ran out"]),
        ("switched", ["English", "Tiếng Việt", "rendered again: the same bytes"]),
        ("gaps", ["gap in the capture", "21.0 s"]),
        ("revoked", ["stopped by the agency", "accompanied by a child, said the officer"]),
        (
            "late",
            [
                "consent withdrawn",
                "erasure done, key destroyed",
                "edge: key of the session",
                "signature holds",
            ],
        ),
    ],
)
def test_a_consents_life_says_what_happened(
    new_page: NewPage, found: Console, name: str, words: list[str]
) -> None:
    page = new_page()
    log_in(page, found, "en")
    state_reason(page, found)
    page.goto(found.page(f"/privacy/consents/{found.sent.records[name]}"))
    text = page.inner_text("main")
    for word in words:
        assert word in text, word
    assert "UNWITNESSED" in text, "this service has no witness"
    assert page.locator(".tag:has-text('WRONG'), .tag:has-text('CHANGED')").count() == 0


def test_an_observer_sees_rates_and_no_person(new_page: NewPage, found: Console, axe: Axe) -> None:
    page = new_page(viewport=SIZES["phone"])
    log_in(page, found, "en", OBSERVER)
    assert page.locator("nav.second a[href='/privacy/consents']").count() == 0
    assert page.locator("nav.second a[href='/privacy/requests']").count() == 0
    for name in ("overview", "counters", "notices"):
        page.goto(found.page(PAGES[name]))
        assert axe(page) == ()
        shoot(page, f"privacy-observer-{name}")
        assert page.locator("main a[href*='/privacy/consents']").count() == 0
    page.goto(found.page("/privacy/counters"))
    hidden = page.locator("td.hidden")
    assert hidden.count() == 2, "only the pressed counter had a day of ten answers"
    page.goto(found.page("/privacy/consents"))
    assert "Your role may not open this page." in page.inner_text("main")


def test_stops_are_counted_by_counter_and_by_day(new_page: NewPage, found: Console) -> None:
    page = new_page()
    log_in(page, found, "en")
    page.goto(found.page("/privacy/counters"))
    stopped = page.locator("[aria-label='Stopped or not asked'] tbody tr")
    assert stopped.count() == 4, "three counters and their sum"
    cells = [row.split() for row in stopped.all_inner_texts()]
    assert [row[0] for row in cells[:3]] == sorted(row[0] for row in cells[:3])
    with_child = [row.locator("td").nth(1).inner_text() for row in stopped.all()]
    assert sorted(with_child) == ["0", "0", "1", "1"]
    days = page.locator("[aria-label='Days with a stop'] tbody tr")
    assert days.count() == 1
    assert days.locator("td").nth(1).inner_text().startswith("1 / ")
    assert "children declared far more often" not in " ".join(page.locator("td .tag").all_inner_texts())


def test_coercion_is_flagged_where_it_happened_and_nowhere_else(new_page: NewPage, found: Console) -> None:
    page = new_page()
    log_in(page, found, "en")
    page.goto(found.page("/privacy/counters"))
    rows = page.locator("table").nth(1).locator("tbody tr").all_inner_texts()
    assert [row.count("answers within a second") for row in rows] == [0, 0, 1]
    assert ["everybody allows everything" in row for row in rows] == [False, False, True]
    assert ["bursts of consents" in row for row in rows] == [False, False, True]
    page.goto(found.page("/privacy"))
    alarms = page.inner_text("[aria-label=Alarms]")
    assert re.findall(r"Pattern at counter (\S+):", alarms) == [PRESSED]
