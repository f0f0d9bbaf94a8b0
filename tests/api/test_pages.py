"""The pages in a real browser: log in and read a month, in both languages, within loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.database import Database
from tests.api.running import PASSWORD, Central, fill, own_password, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

COUNTER = "ba-dinh.ho-tich"
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
DAYS = "img[src*=trend]"
READ_BY_AXE = "phone"
"""The markup is the same at both sizes: the rules are read once a page and language."""
WEIGHT_LIMIT_BYTES = 120_000


@pytest.fixture(scope="module")
def central(postgres: EmbeddedPostgres) -> Iterator[Central]:
    import psycopg  # noqa: PLC0415 - one module database instead of one a test

    name = f"pages_{os.getpid()}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central")
    with Database(postgres.dsn(name)) as database:
        fill(database, days=40, seed=5)
    with running(postgres.dsn(name)) as central:
        own_password(central)
        yield central
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def log_in(page: Page, central: Central, lang: str) -> None:
    page.goto(f"{central.address}/login?lang={lang}")
    page.fill("#name", "admin")
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("h1")


def shoot(page: Page, name: str) -> None:
    """Keep a picture where HAILONG_SHOTS says."""
    folder = os.environ.get("HAILONG_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"central-{name}.png", full_page=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_overview_and_counter_page(
    new_page: NewPage, central: Central, axe: Axe, lang: str, size: str
) -> None:
    page = new_page(viewport=SIZES[size])
    weights: list[int] = []
    page.on("requestfinished", lambda request: weights.append(request.sizes()["responseBodySize"]))
    log_in(page, central, lang)
    assert page.get_attribute("html", "lang") == lang
    codes = page.locator("tbody th a[href^='/counters/']").all_inner_texts()
    assert codes == sorted(codes) == ["ba-dinh.dat-dai", COUNTER, "cau-giay.ho-tich"]
    if size == READ_BY_AXE:
        assert axe(page) == ()
    shoot(page, f"overview-{lang}-{size}")
    page.click(f"th >> text={COUNTER}")
    page.wait_for_load_state("load")  # the chart is drawn on demand
    uncalibrated = {"vi": "tín hiệu chưa hiệu chuẩn", "en": "uncalibrated signal"}[lang]
    text = page.inner_text("body")
    assert uncalibrated in text.lower()
    assert "SIPAS" in text
    for wording in ("% hài lòng", "% satisfied"):
        assert wording not in text
    if size == READ_BY_AXE:
        assert axe(page) == ()
    shoot(page, f"counter-{lang}-{size}")
    assert 5_000 < sum(weights) < WEIGHT_LIMIT_BYTES
    # Nothing is wider than the screen: a phone's reader never scrolls the page sideways.
    devtools = page.context.new_cdp_session(page)
    metrics = devtools.send("Page.getLayoutMetrics")
    assert metrics["cssContentSize"]["width"] <= SIZES[size]["width"]


def test_the_chart_is_drawn_under_the_policy(new_page: NewPage, central: Central) -> None:
    page = new_page(viewport=SIZES["desktop"])
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    log_in(page, central, "vi")
    page.goto(f"{central.address}/counters/{COUNTER}")
    devtools = page.context.new_cdp_session(page)
    answer = devtools.send(
        "Runtime.evaluate",
        {
            "expression": f"document.querySelector('{DAYS}').naturalWidth",
            "returnByValue": True,
        },
    )
    assert answer["result"]["value"] > 400
    source = page.get_attribute(DAYS, "src")
    svg = page.goto(f"{central.address}{source}")
    assert svg is not None
    assert "Tín hiệu chưa hiệu chuẩn" in svg.text()
    assert "<title>" in svg.text()
    assert faults == []


def test_first_login_must_change_the_password(new_page: NewPage, dsn: str, axe: Axe) -> None:
    with running(dsn) as central:
        page = new_page()
        page.goto(central.address)
        assert page.url.endswith("/login")
        assert axe(page) == ()
        shoot(page, "login-vi")
        page.fill("#name", "admin")
        page.fill("#password", "wrong")
        page.click("button.main")
        assert page.locator("[role=alert]").count() == 1
        page.fill("#name", "admin")
        page.fill("#password", central.first_password)
        page.click("button.main")
        assert page.url.endswith("/password")
        page.goto(f"{central.address}/users")
        assert page.url.endswith("/password")
        assert axe(page) == ()
        shoot(page, "password-vi")
        page.fill("#old", central.first_password)
        page.fill("#new", PASSWORD)
        page.click("button.main")
        assert page.inner_text("h1") == "Đơn vị và quầy"
        page.click("summary:has-text('Quản trị')")
        page.get_by_role("link", name="Tài khoản", exact=True).click()
        page.fill("#name", "lan")
        page.fill("#areas", "ha-noi")
        page.click("button.main")
        assert page.locator(".secret code").count() == 1
        assert axe(page) == ()
        shoot(page, "users-vi")
        page.click("summary:has-text('Quản trị')")
        page.get_by_role("link", name="Máy tại quầy", exact=True).click()
        page.fill("#counters", "quay-1 quay-2")
        page.click("button.main")
        assert len(page.inner_text(".secret code")) > 30
        assert axe(page) == ()
        shoot(page, "edges-vi")
        page.click("text=Đăng xuất")
        assert page.url.endswith("/login")
        page.goto(central.address)
        assert page.url.endswith("/login")


def test_keyboard_alone_opens_a_counter(new_page: NewPage, central: Central) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{central.address}/login")
    page.focus("#name")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("tbody th a")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the content
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.locator("tbody th a:focus").count():
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("img.chart")
