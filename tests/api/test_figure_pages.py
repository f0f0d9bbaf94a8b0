"""Pages of figures in a real browser, on a simulated province: overview, unit, counter, who sees what."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.api.province_console import (
    ADMINISTRATOR,
    OBSERVER,
    OFFICER,
    SUPERVISED,
    SUPERVISOR,
    ProvinceConsole,
    log_in,
    province_console,
)
from tests.api.province_places import (
    DROPPED_COUNTER,
    DROPPED_DAY,
    RELUCTANT_COUNTER,
    SIGNAL_COUNTER,
    UNANIMOUS_COUNTER,
)

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
UNIT = "unit:trung-tam"
BUSY = "trung-tam.quay-1"
PAGES = {"overview": "/", "place": f"/places/{UNIT}", "counter": f"/counters/{BUSY}"}
READERS = {"vi": ADMINISTRATOR, "en": OBSERVER}
WEIGHT_LIMIT_BYTES = 220_000
"""Page, style and every chart of the overview of forty counters, as they are before compression."""


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres) -> Iterator[ProvinceConsole]:
    with province_console(postgres, months=3) as console:
        yield console


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", READERS)
def test_every_page_is_readable_and_light(
    new_page: NewPage, found: ProvinceConsole, axe: Axe, lang: str, size: str
) -> None:
    page = new_page(viewport=SIZES[size])
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    log_in(page, found, READERS[lang], lang)
    for path in PAGES.values():
        weights: list[int] = []

        def weigh(request: object, kept: list[int] = weights) -> None:
            kept.append(max(0, request.sizes()["responseBodySize"]))  # type: ignore[attr-defined]  # Playwright's request

        page.on("requestfinished", weigh)
        page.goto(found.page(path))
        page.wait_for_load_state("load")
        page.remove_listener("requestfinished", weigh)
        assert page.get_attribute("html", "lang") == lang
        assert "SIPAS" in page.inner_text("main")
        assert axe(page) == ()
        devtools = page.context.new_cdp_session(page)
        metrics = devtools.send("Page.getLayoutMetrics")
        assert metrics["cssContentSize"]["width"] <= SIZES[size]["width"], path
        assert 5_000 < sum(weights) < WEIGHT_LIMIT_BYTES, path
        drawn = devtools.send(
            "Runtime.evaluate",
            {
                "expression": "[...document.querySelectorAll('img.chart')].every(i => i.naturalWidth > 200)",
                "returnByValue": True,
            },
        )
        assert drawn["result"]["value"] is True, path
    assert faults == []


def test_a_supervisor_sees_one_area_and_learns_nothing_of_others(
    new_page: NewPage, found: ProvinceConsole
) -> None:
    page = new_page(viewport=SIZES["desktop"])
    log_in(page, found, SUPERVISOR)
    page.goto(found.page("/"))
    links = page.locator("tbody th a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert any(link.startswith(f"/places/{UNIT}") for link in links)
    assert any(link.startswith(f"/counters/{BUSY}") for link in links)
    assert not [link for link in links if "dong-lam" in link or "bai-sau" in link or "cua-song" in link]
    assert page.inner_text("h2 a") == "Phường Sen Hồ"
    statuses = {}
    for path in (
        "/places/all",
        "/places/commune:dong-lam",
        "/places/unit:lang-ha",
        "/places/unit:lang-ha/course.svg",
        "/places/unit:nowhere",
        "/counters/lang-ha.quay-1",
        "/counters/lang-ha.quay-1/trend.svg",
        "/places/counter:lang-ha.quay-1/factors.svg",
        "/?place=commune:dong-lam",
        "/ranking.svg?place=commune:dong-lam",
        f"/places/commune:{SUPERVISED}",
        f"/places/{UNIT}/factors.svg",
    ):
        answer = page.goto(found.page(path))
        assert answer is not None
        statuses[path] = answer.status
    assert [path for path, status in statuses.items() if status == 200] == [
        f"/places/commune:{SUPERVISED}",
        f"/places/{UNIT}/factors.svg",
    ]
    assert set(statuses.values()) == {200, 404}


def test_the_longest_menu_folds_and_opens_by_key_without_a_script(
    new_page: NewPage, found: ProvinceConsole
) -> None:
    page = new_page(viewport=SIZES["phone"], java_script_enabled=False)
    log_in(page, found, OFFICER)
    header = page.locator("header.top").bounding_box()
    assert header is not None
    assert header["height"] < 220, "twenty entries in four lines were 330"
    link = page.locator("nav.second a[href='/privacy/breaches']")
    assert not link.is_visible()
    page.focus("nav.second summary")
    page.keyboard.press("Enter")
    assert link.is_visible()
    assert page.locator("nav.second a").count() == 12
    box = link.bounding_box()
    assert box is not None
    assert 0 <= box["x"] < box["x"] + box["width"] <= SIZES["phone"]["width"]
    page.click("nav.second a[href='/privacy/notices']")
    assert page.get_attribute("nav.second summary", "aria-current") == "true"
    assert page.get_attribute("nav.second a[href='/privacy/notices']", "aria-current") == "page"


def test_a_signal_is_never_worded_as_a_share(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page(viewport=SIZES["desktop"])
    log_in(page, found, OBSERVER, "en")
    page.goto(found.page(f"/counters/{SIGNAL_COUNTER}"))
    card = page.inner_text("section[aria-labelledby=figure-title]")
    assert "Uncalibrated signal (0–100)" in card  # noqa: RUF001 - as the page has it
    assert "Satisfied" not in card
    assert page.locator("text=What the figure rests on").count() == 0
    page.goto(found.page("/"))
    row = page.locator("tr", has_text=SIGNAL_COUNTER)
    assert "uncalibrated signal" in row.inner_text()
    assert row.locator("td").count() == 1
    # One in ten says yes at this counter, and every place's list says to be careful with it alone.
    page.goto(found.page(f"/places/unit:{RELUCTANT_COUNTER.split('.')[0]}"))
    flagged = page.locator("tbody tr", has_text="low consent rate").locator("th a").all_inner_texts()
    assert flagged == [RELUCTANT_COUNTER]


def test_where_all_said_the_same_a_bound_is_printed(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page(viewport=SIZES["desktop"])
    log_in(page, found, OBSERVER, "vi")
    page.goto(found.page(f"/counters/{UNANIMOUS_COUNTER}"))
    card = page.inner_text("section[aria-labelledby=figure-title]")
    assert re.search(r"≥\d\d|Không có số liệu", card)
    assert "100\n" not in card.replace("–100\n", "")  # noqa: RUF001 - the dash of an interval


def test_periods_filters_and_proofs_are_plain_links_and_forms(
    new_page: NewPage, found: ProvinceConsole
) -> None:
    page = new_page(java_script_enabled=False)
    log_in(page, found, OBSERVER, "en")
    page.goto(found.page("/"))
    page.click("text=Quarter")
    assert "period=20" in page.url
    assert "-Q" in page.url
    page.select_option("#place", UNIT)
    page.select_option("#channel", "kiosk")
    page.click("button.main >> text=Show")
    assert "channel=kiosk" in page.url
    rows = page.locator("tbody th a").all_inner_texts()
    assert rows
    assert all(row.startswith("trung-tam.quay-") for row in rows)
    page.click("h2 a")
    assert page.inner_text("h1") == "Sen Ho one-stop unit"
    page.click("summary >> text=Details")
    proof = page.locator("a[href^='/proofs/entries/']").first
    assert proof.inner_text().isdigit()


def test_a_drop_is_told_with_its_days_and_what_was_done_with_the_days_after(
    new_page: NewPage, found: ProvinceConsole
) -> None:
    page = new_page(viewport=SIZES["phone"], java_script_enabled=False)
    log_in(page, found, OBSERVER, "en")
    path = f"/counters/{DROPPED_COUNTER}"
    page.goto(found.page(path))
    told = page.locator("section[aria-labelledby=shift-title] .finding")
    assert [one.split(" since")[0][2:] for one in told.locator("b").all_inner_texts()] == [
        "More satisfied",
        "Fewer satisfied",
    ]
    before, after = found.province.months[-2:]
    fell = told.nth(1)
    truth = before.replace(day=DROPPED_DAY)
    likely = re.search(r"about (\d+)/(\d+)/(\d+)", fell.inner_text())
    assert likely is not None
    day, month, year = map(int, likely.groups())
    assert abs(date(year, month, day) - truth) <= timedelta(days=7), likely[0]
    note = page.locator("#actions article")
    assert "since the last change that was found" in note.inner_text()
    assert f"/{before.month}/{before.year}" in note.locator("tbody tr").nth(0).inner_text()
    assert f"/{after.month}/{after.year}" in note.locator("tbody tr").nth(1).inner_text()
    rows = {}
    for step in ("Week", "Month", "Day"):
        page.click(f"nav[aria-label='Step of the course'] a:has-text('{step}')")
        page.click("summary >> text=The course as a table")
        rows[step] = page.locator("section[aria-labelledby=course-title] tbody tr").count()
    assert rows["Day"] > rows["Week"] > rows["Month"] == len(found.province.months)
    tables = page.locator("section[aria-labelledby=parts-title] table")
    assert tables.locator("th[scope=row]").all_inner_texts()[:2] == ["before 11:30", "from 11:30 on"]
    drawn = page.context.request.get(
        found.page(f"/places/counter:{DROPPED_COUNTER}/course.svg?step=day&lang=en")
    )
    assert "something was done" in drawn.text()
    assert "days on which it may have changed" in drawn.text()
    document = page.context.request.get(found.page(f"/course.json?place=counter:{DROPPED_COUNTER}")).json()
    assert [item["difference"] < 0 for item in document["changes"]] == [True, False]
    assert len([item for item in document["runs"] if item["step"] == "day"]) >= rows["Day"]


def test_the_second_chart_comes_at_once(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page(viewport=SIZES["desktop"])
    log_in(page, found, ADMINISTRATOR, "vi")
    page.goto(found.page("/"))
    page.wait_for_load_state("load")
    began = time.monotonic()
    page.goto(found.page("/"))
    page.wait_for_load_state("load")
    assert time.monotonic() - began < 5  # a second on a quiet machine; docs/measurements.md has figures
