"""The table of docs/privacy-officer.md, walked click by click in a browser: the document cannot rot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from setup.layout import ROOT
from tests.api.console import TICKET, Console, console, log_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import NewPage

MOST_CLICKS = 3
FIRST_RECORD = "(first record)"


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    steps: tuple[str, ...]
    page: str
    seen: str


def rows() -> list[Row]:
    """Read the table of the document."""
    text = (ROOT / "docs" / "privacy-officer.md").read_text("utf-8")
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            number, _, path, page, seen = cells
            found.append(Row(int(number), tuple(path.split(" → ")), page.strip("`"), seen))
    return found


ROWS = rows()


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres, seed: int) -> Iterator[Console]:
    with console(postgres, "privacy_paths", seed=seed) as found:
        yield found


def test_all_rows_of_the_specification_have_a_path_of_three_clicks() -> None:
    assert sorted({row.number for row in ROWS}) == list(range(1, 25))
    assert [row.number for row in ROWS if not 1 <= len(row.steps) <= MOST_CLICKS] == []


def test_each_path_leads_where_the_document_says(new_page: NewPage, found: Console) -> None:
    page = new_page(viewport={"width": 1280, "height": 800})
    log_in(page, found, "en")
    wrong = {row.number: fault for row in ROWS if (fault := walk(page, found, row))}
    assert wrong == {}


def walk(page: Page, found: Console, row: Row) -> str:
    """Click a row's path from the first page after the login; returns what is wrong."""
    page.goto(found.page("/"))
    for step in row.steps:
        if step == FIRST_RECORD:
            target = page.locator("main tbody th a").first
        else:
            named = [
                page.get_by_role("link", name=step, exact=True),
                page.get_by_role("button", name=step, exact=True),
            ]
            fold = page.locator("summary").get_by_text(step, exact=True)
            target = next((found for found in (*named, fold) if found.count()), fold).first
        if target.count() == 0:
            return f"nothing to click named '{step}' on {page.url}"
        target.click()
        page.wait_for_load_state("load")
        state_reason(page, row)
    path = urlsplit(page.url).path
    if not re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", row.page), path):
        return f"led to {path}, not to {row.page}"
    return "" if row.seen in page.inner_text("body") else f"'{row.seen}' is not on {path}"


def state_reason(page: Page, row: Row) -> None:
    """Fill in the form that comes before personal data, where it was not what the row asks for."""
    if urlsplit(page.url).path == "/reason" and row.page != "/reason":
        page.select_option("#purpose", "inspection")
        page.fill("#ticket", TICKET)
        page.click("button.main")
        page.wait_for_load_state("load")
