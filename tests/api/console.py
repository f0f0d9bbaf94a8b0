"""A central service with a week of consents, for tests of the privacy officer's console."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from tests.api.consent_sender import Sent, fill_consents
from tests.api.running import PASSWORD, Central, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres

OFFICER, OBSERVER = "hoa", "minh"
TICKET = "YC-2026/0142"


@dataclass(frozen=True, slots=True)
class Console:
    central: Central
    sent: Sent

    def page(self, path: str) -> str:
        return f"{self.central.address}{path}"


@contextlib.contextmanager
def console(postgres: EmbeddedPostgres, name: str, *, seed: int) -> Iterator[Console]:
    """Run the service on a database of its own, with an officer and an observer."""
    name = f"{name}_{os.getpid()}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central")
    with tempfile.TemporaryDirectory(prefix="hl-console-") as folder:
        with Database(postgres.dsn(name)) as database:
            sent = fill_consents(database, Path(folder) / "edge", seed=seed)
        with running(postgres.dsn(name)) as central, Database(central.dsn) as database:
            accounts = Accounts(database)
            for account, role in ((OFFICER, Role.PRIVACY_OFFICER), (OBSERVER, Role.OBSERVER)):
                accounts.change_password(account, accounts.create(account, role, actor="t"), PASSWORD)
            yield Console(central, sent)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def log_in(page: Page, found: Console, lang: str, name: str = OFFICER) -> None:
    """Log in through the form."""
    page.goto(found.page(f"/login?lang={lang}"))
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("nav.second")


def state_reason(page: Page, found: Console) -> None:
    """State the reason for the half hour to come."""
    page.goto(found.page("/reason?next=/privacy"))
    page.select_option("#purpose", "complaint")
    page.fill("#ticket", TICKET)
    page.click("button.main")
    page.wait_for_url("**/privacy")
