"""Comparison, ballots against signals, downloads and open data in a real browser, in both languages."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own
import pytest

from api.database import Database
from api.figure_table import COLUMNS
from api.privacy_budget import budgets
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
from tests.api.province_places import EASY_COUNTER, HARD_COUNTER, SIGNAL_COUNTER, UNANIMOUS_COUNTER, UNITS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

PHONE = {"width": 390, "height": 844}
CHOSEN = f"/comparison?place=unit:trung-tam&place=unit:cho-moi&place=counter:{SIGNAL_COUNTER}"
WORDS = {"vi": ("không phải xếp hạng", "không phải SIPAS"), "en": ("not a ranking", "not SIPAS")}
TABLES = {"comparison": CHOSEN, "signals": "/signals", "open data": "/open-data", "budget": "/privacy/budget"}
TABLES |= {"organisation": "/organisation?node=song-ho"}


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres) -> Iterator[ProvinceConsole]:
    with province_console(postgres, months=2) as console:
        yield console


@pytest.fixture
def fetch(new_page: NewPage, found: ProvinceConsole) -> Any:
    def get(path: str, name: str = ADMINISTRATOR) -> Any:
        page = new_page()
        log_in_anybody(page, found, name)
        return page.context.request.get(found.page(path))

    return get


def log_in_anybody(page: Page, found: ProvinceConsole, name: str, lang: str = "vi") -> None:
    """As `log_in`, for roles without the second menu too."""
    if name in {OFFICER, OBSERVER}:
        log_in(page, found, name, lang)
        return
    page.goto(found.page(f"/login?lang={lang}"))
    page.fill("#name", name)
    page.fill("#password", "một câu dễ nhớ 12")
    page.click("button.main")
    page.wait_for_selector("h1")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_pages_are_readable_on_a_phone(
    new_page: NewPage, found: ProvinceConsole, axe: Axe, lang: str
) -> None:
    page = new_page(viewport=PHONE)
    log_in(page, found, OFFICER, lang)
    for path in TABLES.values():
        answer = page.goto(found.page(path))
        assert answer is not None
        assert answer.status == 200
        assert axe(page) == (), path
        metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
        assert metrics["cssContentSize"]["width"] <= PHONE["width"], path
        assert "SIPAS" in page.inner_text("footer")
    page.goto(found.page(CHOSEN))
    assert all(word.lower() in page.inner_text("body").lower() for word in WORDS[lang])


def test_an_edge_of_many_counters_can_be_revoked_without_scrolling_sideways(
    new_page: NewPage, found: ProvinceConsole
) -> None:
    page = new_page(viewport={"width": 1280, "height": 800})
    log_in_anybody(page, found, ADMINISTRATOR)
    page.goto(found.page("/edges"))
    boxes = [button.bounding_box() for button in page.locator("main td button").all()]
    assert len(boxes) == len(UNITS)
    assert all(box is not None and box["x"] + box["width"] < 1280 for box in boxes)


def test_a_signal_is_never_a_share_of_the_comparison(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page()
    log_in(page, found, OFFICER, "en")
    page.goto(found.page(CHOSEN))
    row = page.locator("tbody tr").filter(has_text=SIGNAL_COUNTER).inner_text()
    assert "Uncalibrated signal (0" in row
    assert "one of both has no share" in row
    assert "told apart" not in row
    svg = page.context.request.get(found.page(CHOSEN.replace("?", "/chart.svg?"))).text()
    assert f"{SIGNAL_COUNTER}: uncalibrated signal only" in svg
    assert "<title>Share of satisfied people" in svg


def test_the_page_says_what_was_made_equal(new_page: NewPage, found: ProvinceConsole) -> None:
    """The counter with the harder procedures looks worse; procedure by procedure it is not."""
    page = new_page()
    log_in(page, found, OFFICER, "en")
    page.goto(found.page(f"/comparison?place=counter:{EASY_COUNTER}&place=counter:{HARD_COUNTER}"))
    said = page.locator("p.hint", has_text="Like with like").inner_text()
    assert "Made equal: months, channels, procedures" in said
    assert "not released" not in page.inner_text("main")
    plain, _, likened = page.locator("tbody tr").nth(1).locator("td").all_inner_texts()[1:4]
    assert "lower" in plain
    assert "lower" not in likened
    page.goto(found.page("/comparison?place=unit:ga-cu&place=unit:lang-ha"))
    said = page.locator("p.hint", has_text="Like with like").inner_text()
    assert "Not made equal, since too few ballots" in said
    assert "Made equal: months, channels" in said


@pytest.mark.parametrize("path", ["/comparison?place=", "/figures.csv?place=", "/report.pdf?place="])
def test_a_supervisor_compares_and_takes_their_own_area_only(fetch: Any, path: str) -> None:
    foreign = next(unit.code for unit in UNITS if unit.area != SUPERVISED)
    own = next(unit.code for unit in UNITS if unit.area == SUPERVISED)
    assert fetch(f"{path}unit:{own}", SUPERVISOR).status == 200
    for place in (f"unit:{foreign}", "all", "unit:absent", "x"):
        assert fetch(f"{path}{place}", SUPERVISOR).status == 404


def test_a_supervisors_file_holds_their_own_area_only(fetch: Any) -> None:
    rows = rows_of(fetch("/figures.csv", SUPERVISOR).text())
    own = {unit.code for unit in UNITS if unit.area == SUPERVISED}
    places = {row["place"] for row in rows}
    assert {place.removeprefix("unit:") for place in places if place.startswith("unit:")} == own
    counters = {place.removeprefix("counter:").split(".")[0] for place in places if place[:8] == "counter:"}
    assert counters == own
    assert "all" not in places


def test_a_file_tells_what_the_pages_tell(fetch: Any, new_page: NewPage, found: ProvinceConsole) -> None:
    rows = rows_of(fetch("/figures.csv").text())
    assert list(rows[0]) == [column.name for column in COLUMNS]
    overall = {
        row["place"]: row for row in rows if (row["factor"], row["channel"]) == ("overall", "together")
    }
    bound = overall[f"counter:{UNANIMOUS_COUNTER}"]
    assert (bound["sign"], bound["high"]) == ("≥", "100")
    silent = [row for row in rows if row["place"] == f"counter:{SIGNAL_COUNTER}"]
    assert [(row["standing"], row["share"], row["n"]) for row in silent] == [("uncalibrated", "", "")]
    assert 0 < float(silent[0]["signal"]) < 100
    assert all(int(row["n"]) >= 10 for row in rows if row["n"])
    page = new_page()
    log_in(page, found, OFFICER, "en")
    page.goto(found.page(CHOSEN))
    cell = page.locator("tbody tr").nth(0).locator("td").nth(0).inner_text()
    figure = overall["unit:trung-tam"]
    assert cell.split() == [
        *(figure["share"], f"{figure['low']}\N{EN DASH}{figure['high']},", "n", "=", figure["n"]),
    ]


def test_a_workbook_holds_the_table_its_dictionary_and_its_proof(fetch: Any) -> None:
    first, second = fetch("/figures.xlsx").body(), fetch("/figures.xlsx").body()
    book = openpyxl.load_workbook(io.BytesIO(first))
    assert book.sheetnames == [
        *("Số liệu", "Diễn biến", "Thay đổi", "Thời điểm và thủ tục"),
        *("Từ điển dữ liệu", "Nguồn và bằng chứng"),
    ]
    rows = rows_of(fetch("/figures.csv").text())
    assert book.worksheets[0].max_row == len(rows) + 1
    facts = [str(row[0].value) for row in book.worksheets[5].iter_rows()]
    assert sum("SHA-256" in fact for fact in facts) >= 1
    with zipfile.ZipFile(io.BytesIO(first)) as one, zipfile.ZipFile(io.BytesIO(second)) as two:
        sheets = [name for name in one.namelist() if "sheet6" not in name and "sharedStrings" not in name]
        assert [one.read(name) for name in sheets] == [two.read(name) for name in sheets]


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_report_is_a_pdf_of_the_period(fetch: Any, lang: str) -> None:
    answer = fetch(f"/report.pdf?lang={lang}&place=commune:{SUPERVISED}")
    assert answer.body().startswith(b"%PDF-1.7")
    assert answer.headers["content-disposition"].endswith(f'commune-{SUPERVISED}.pdf"')
    assert f"/Lang({lang})".encode() in answer.body()


def test_open_data_are_released_once_and_read_by_anybody(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page()
    page.goto(found.page("/open-data?lang=en"))
    assert "None yet." in page.inner_text("main")
    log_in(page, found, OFFICER, "en")
    page.goto(found.page("/privacy/budget"))
    page.select_option("#level", "commune")
    page.click("main button.main")
    assert "cannot be taken back" in page.inner_text("[role=alert]")
    page.select_option("#level", "commune")
    page.check("#sure")
    page.click("main button.main")
    page.wait_for_selector("main tbody tr")
    assert page.inner_text("main tbody tr td:nth-of-type(3)") == "0"
    page.select_option("#level", "unit")
    page.check("#sure")
    page.click("main button.main")
    assert "too little left" in page.inner_text("[role=alert]")
    with Database(found.central.dsn) as database:
        ((release,),) = [month.releases for month in budgets(database)]
    stranger = new_page()
    stranger.goto(found.page("/open-data"))
    text = stranger.context.request.get(found.page(stranger.get_attribute("tbody a", "href") or "")).text()
    rows = rows_of(text)
    assert [(row["place"], int(row["n"])) for row in rows] == [(row.place, row.n) for row in release.rows]
    assert rows
    assert all(int(row["n"]) >= 125 for row in rows)
    assert all(float(row["low"]) <= float(row["share"]) <= float(row["high"]) for row in rows)
    assert {row["entry"] for row in rows} == {str(release.index)}
    assert stranger.context.request.get(found.page("/open-data/2026-01/unit.csv")).status == 404


def test_an_observer_sees_the_budget_and_spends_nothing(new_page: NewPage, found: ProvinceConsole) -> None:
    page = new_page()
    log_in(page, found, OBSERVER, "en")
    page.goto(found.page("/privacy/budget"))
    assert page.locator("main form").count() == 0
    answer = page.context.request.post(found.page("/privacy/budget"), form={"month": "2026-01"})
    assert answer.status == 403
