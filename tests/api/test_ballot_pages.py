"""Ballots from files over HTTP: who may, what the page says, what the log gets, JSON where asked."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from api.survey.import_check import check_imports
from tests.api.running import PASSWORD, running
from tests.api.survey_files import FIELDS, TITLES, Sheet, good_row, place, write_csv


@pytest.fixture
def client(dsn: str, database: Database) -> Iterator[httpx.Client]:
    place(database)
    with (
        running(dsn) as central,
        httpx.Client(base_url=central.address, timeout=30, trust_env=False) as found,
    ):
        found.headers["Cookie"] = "hailong_language=en"
        yield found


def enter(client: httpx.Client, database: Database, role: Role) -> str:
    """Log somebody of a role in and return the token of their forms."""
    accounts = Accounts(database)
    cookie = accounts.change_password(role.value, accounts.create(role.value, role, actor="t"), PASSWORD)
    client.headers["Cookie"] = f"hailong_language=en; hailong_session={cookie}"
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/imports").text)
    return token[1] if token else ""


def ballots(path: Path, seed: int, *, bad: bool = False) -> bytes:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    rows = [good_row(rng, number) for number in range(3)]
    if bad:
        rows[1]["day"] = "<b>hôm qua</b>"
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    return write_csv(path, TITLES, sheet).read_bytes()


def test_data_entry_brings_ballots_in_and_an_administrator_withdraws_them(
    client: httpx.Client, database: Database, tmp_path: Path, seed: int
) -> None:
    csrf = enter(client, database, Role.DATA_ENTRY)
    content = ballots(tmp_path / "a.csv", seed, bad=True)
    answer = client.post("/imports", data={"csrf": csrf}, files={"file": ("tháng 3.csv", content)})
    assert answer.status_code == 200
    assert "&lt;b&gt;hôm qua&lt;/b&gt;" in answer.text
    assert "this is no day" in answer.text
    assert "tháng 3.csv" in answer.text
    with database.transaction() as connection:
        row = connection.execute("SELECT import_id, kept, refused, actor FROM ballot_imports").fetchone()
    assert row is not None
    assert row[1:] == (2, 1, "data-entry")
    act = {"number": str(row[0]), "why": "wrong-file"}
    assert client.post("/imports/withdraw", data={"csrf": csrf, **act}).status_code == 403
    csrf = enter(client, database, Role.ADMINISTRATOR)
    assert client.post("/imports/withdraw", data={"csrf": csrf, "number": "x"}).status_code == 422
    assert "wrong file" in client.get("/imports").text
    assert client.post("/imports/withdraw", data={"csrf": csrf, **act}).status_code == 200
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM survey_ballots").fetchone() == (0,)
    assert check_imports(database).ok


def test_programs_get_json(client: httpx.Client, database: Database, tmp_path: Path, seed: int) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    client.headers["Accept"] = "application/json"
    files = {"file": ("a.csv", ballots(tmp_path / "a.csv", seed))}
    trial = client.post("/imports", data={"csrf": csrf, "trial": "1"}, files=files).json()
    assert (trial["kept"], trial["import_id"]) == (3, None)
    done = client.post("/imports", data={"csrf": csrf}, files=files).json()
    assert (done["kept"], done["faults"], done["by_channel"][0]["ballots"] > 0) == (3, [], True)
    again = client.post("/imports", data={"csrf": csrf}, files=files)
    assert (again.status_code, again.json()["kind"]) == (422, "table-refused")
    assert "imported before" in again.json()["detail"]


def test_an_observer_sees_imports_and_brings_none_in(
    client: httpx.Client, database: Database, tmp_path: Path, seed: int
) -> None:
    enter(client, database, Role.OBSERVER)
    page = client.get("/imports")
    assert page.status_code == 200
    assert 'type="file"' not in page.text
    files = {"file": ("a.csv", ballots(tmp_path / "a.csv", seed))}
    assert client.post("/imports", data={"csrf": "x"}, files=files).status_code == 403
