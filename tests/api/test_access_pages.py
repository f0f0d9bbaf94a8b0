"""The pages of roles and reasons in a real browser, in both languages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from api.accounts import Accounts
from api.authorization import HUMAN_ROLES, Role
from api.database import Database
from tests.api.running import PASSWORD, Central, running
from tests.api.test_pages import log_in, shoot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

PHONE = {"width": 390, "height": 844}
OFFICER = "hoa"
WORDS = {
    "vi": {"title": "Bạn đọc dữ liệu cá nhân để làm gì?", "complaint": "khiếu nại", "change": "đổi"},
    "en": {"title": "Why do you read personal data?", "complaint": "complaint", "change": "change"},
}


@pytest.fixture(scope="module")
def central(postgres: EmbeddedPostgres) -> Iterator[Central]:
    import psycopg  # noqa: PLC0415 - one module database instead of one a test

    name = f"access_pages_{os.getpid()}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central")
    with running(postgres.dsn(name)) as central, Database(central.dsn) as database:
        accounts = Accounts(database)
        accounts.change_password("admin", central.first_password, PASSWORD)
        first = accounts.create(OFFICER, Role.PRIVACY_OFFICER, actor="t")
        accounts.change_password(OFFICER, first, PASSWORD)
        yield central
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def open_as(page: Page, central: Central, name: str, lang: str) -> None:
    page.goto(f"{central.address}/login?lang={lang}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("h1")


def width_of(page: Page) -> float:
    metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
    return float(metrics["cssContentSize"]["width"])


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_privacy_officer_states_a_reason(new_page: NewPage, central: Central, axe: Axe, lang: str) -> None:
    words = WORDS[lang]
    page = new_page(viewport=PHONE)
    open_as(page, central, OFFICER, lang)
    page.goto(f"{central.address}/reason?next=/?month=2026-10")
    assert page.inner_text("h1") == words["title"]
    assert axe(page) == ()
    shoot(page, f"reason-{lang}")
    page.select_option("#purpose", "complaint")
    page.fill("#ticket", "không phải mã")
    page.click("button.main")
    assert page.url.endswith("/reason?next=/?month=2026-10"), (
        "the browser holds a ticket that is no code back"
    )
    page.fill("#ticket", "YC-2026/0142")
    page.click("button.main")
    page.wait_for_url("**/?month=2026-10")
    stated = page.locator(".reason")
    assert words["complaint"] in stated.inner_text()
    assert "YC-2026/0142" in stated.inner_text()
    assert axe(page) == ()
    assert width_of(page) <= PHONE["width"]
    shoot(page, f"reason-stated-{lang}")
    stated.get_by_role("link", name=words["change"]).click()
    page.wait_for_selector("#ticket")
    assert page.input_value("#ticket") == "YC-2026/0142"
    assert page.input_value("#purpose") == "complaint"
    assert page.locator(".reason").count() == 0
    page.goto(f"{central.address}/users")
    assert axe(page) == ()
    shoot(page, f"refused-{lang}")
    assert page.locator("nav a[href='/users'], nav a[href='/edges']").count() == 0


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_an_administrator_makes_an_account_of_each_role(
    new_page: NewPage, central: Central, axe: Axe, lang: str
) -> None:
    page = new_page(viewport={"width": 1280, "height": 900})
    log_in(page, central, lang)
    page.goto(f"{central.address}/users")
    assert page.locator("#role option").count() == len(HUMAN_ROLES)
    for role in HUMAN_ROLES:
        page.fill("#name", f"{lang}-{role.value}")
        page.select_option("#role", role.value)
        page.click("button.main")
        page.locator(".secret code").wait_for()
    assert axe(page) == ()
    shoot(page, f"roles-{lang}")
    with Database(central.dsn) as database:
        made = {account.name: account.role for account in Accounts(database).list_accounts()}
    assert {role: made[f"{lang}-{role.value}"] for role in HUMAN_ROLES} == {
        role: role for role in HUMAN_ROLES
    }
