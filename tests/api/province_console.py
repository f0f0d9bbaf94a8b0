"""The simulated province as a database of its own, and a service on it with an account of every role."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from tests.api.running import PASSWORD, Central, running
from tests.api.simulated_province import Province, fill_province

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from api.postgres import EmbeddedPostgres

ADMINISTRATOR, SUPERVISOR, OBSERVER, OFFICER, CLERK = "binh", "lan", "minh", "hoa", "tuan"
SUPERVISED: str = "sen-ho"
"""The only area that the supervisor may see."""
_ROLES = {
    ADMINISTRATOR: Role.ADMINISTRATOR,
    SUPERVISOR: Role.SUPERVISOR,
    OBSERVER: Role.OBSERVER,
    OFFICER: Role.PRIVACY_OFFICER,
    CLERK: Role.DATA_ENTRY,
}
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class ProvinceConsole:
    central: Central
    province: Province
    log_folder: Path

    def page(self, path: str) -> str:
        return f"{self.central.address}{path}"


@contextlib.contextmanager
def province_database(
    postgres: EmbeddedPostgres, folder: Path, *, today: date | None = None, months: int = 24
) -> Iterator[tuple[str, Province]]:
    """Make a database with the province, and drop it at the end.

    Args:
        postgres: The server of the tests.
        folder: See `fill_province`.
        today: The running day; now in Viet Nam else, which pages take as theirs.
        months: How many released months there are.
    """
    name = f"province_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central STRATEGY FILE_COPY")
    try:
        with Database(postgres.dsn(name)) as database:
            province = fill_province(database, folder, today=today, months=months)
        yield postgres.dsn(name), province
    finally:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def province_console(postgres: EmbeddedPostgres, *, months: int = 24) -> Iterator[ProvinceConsole]:
    """Run the service on the province; every account has the password `PASSWORD`.

    Two years of sessions are older than the retention allows, so it does not run here.
    """
    with tempfile.TemporaryDirectory(prefix="hl-province-") as made:
        folder = Path(made)
        with province_database(postgres, folder, months=months) as (dsn, province):
            log = folder / "log"
            sections = {"log": {"data_dir": str(log)}, "retention": {"daily": False}}
            with running(dsn, **sections) as central:
                with Database(dsn) as database:
                    accounts = Accounts(database)
                    for name, role in _ROLES.items():
                        areas = [SUPERVISED] if role is Role.SUPERVISOR else []
                        once = accounts.create(name, role, actor="simulation", areas=areas)
                        accounts.change_password(name, once, PASSWORD)
                yield ProvinceConsole(central, province, log)


def log_in(page: Page, found: ProvinceConsole, name: str, lang: str = "vi") -> None:
    """Log in through the form."""
    page.goto(found.page(f"/login?lang={lang}"))
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector(".who form")
