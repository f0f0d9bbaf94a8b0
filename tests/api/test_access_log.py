"""Test 9 of the specification: a read of personal data makes exactly one entry: actor, purpose, ticket."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
import structlog
from argon2 import PasswordHasher
from fastapi import APIRouter, Depends, FastAPI

from api.access_log import Access, ReasonMissing, list_accesses, record_read
from api.accounts import Account, Accounts, Login
from api.app import build_app
from api.authorization import Action, Purpose, Role
from api.database import Database
from api.edge_logs import EdgeLogs
from api.erasure import queue
from api.form_tokens import form_token
from api.guards import declared_guards
from api.log import log_size
from api.metrics import Metrics
from api.pages.access import Allowed, local_path, personal
from api.pages.rendering import Pages
from api.passwords import Passwords
from api.requests import Channel, RequestKind, Requests, Subject
from api.settings import LogSettings, Settings
from capture.loopback import LoopbackServer
from tests.api.edge_consents import EdgeLog
from tests.api.senders import enrolled_edge
from tests.api.test_access import routes_of
from tests.consent.citizens import citizen

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
RECORD = UUID("01a200dd-0000-7000-8000-0000000000aa")


def reading_router(pages: Pages) -> APIRouter:
    """Pages that read data of persons, in every way in which that can end."""
    router = APIRouter()
    reader = personal(pages, Action.READ_CONSENT)

    @router.get("/test/records/{record}")
    def read(record: UUID, login: Annotated[Login, Depends(reader)]) -> dict[str, str]:
        with pages.database.transaction() as connection:
            connection.execute("SELECT 1 FROM users").fetchall()
            record_read(connection, login, Action.READ_CONSENT, str(record), record_id=record)
        return {"read": str(record)}

    @router.get("/test/search")
    def search(login: Annotated[Login, Depends(personal(pages, Action.SEARCH_CONSENTS))], q: str = "") -> str:
        with pages.database.transaction() as connection:
            record_read(connection, login, Action.SEARCH_CONSENTS, f"state={q}")
        return q

    @router.get("/test/breaks-after")
    def breaks_after(login: Annotated[Login, Depends(reader)]) -> None:
        with pages.database.transaction() as connection:
            record_read(connection, login, Action.READ_CONSENT, str(RECORD), record_id=RECORD)
        message = "the template is broken"
        raise RuntimeError(message)

    @router.get("/test/breaks-within")
    def breaks_within(login: Annotated[Login, Depends(reader)]) -> None:
        with pages.database.transaction() as connection:
            record_read(connection, login, Action.READ_CONSENT, str(RECORD), record_id=RECORD)
            message = "the read itself is undone"
            raise RuntimeError(message)

    return router


@dataclass
class Office:
    app: FastAPI
    client: httpx.Client
    database: Database
    accounts: Accounts

    def login(self, role: Role, name: str = "lan") -> None:
        self.client.cookies.set("hailong_session", self.cookie(role, name))

    def cookie(self, role: Role, name: str = "lan") -> str:
        password = self.accounts.create(name, role, actor="t")
        return self.accounts.change_password(name, password, "a sentence of my own")

    def token(self) -> str:
        login = self.accounts.login_of(self.client.cookies["hailong_session"])
        assert login is not None
        return form_token(login.csrf)

    def state(self, **fields: str) -> Any:
        form = {"csrf": self.token(), "purpose": "complaint", "ticket": "YC-2026/0142", "next": "/"} | fields
        return self.client.post("/reason", data=form)

    def accesses(self) -> tuple[Access, ...]:
        with self.database.transaction() as connection:
            return list_accesses(connection)


@pytest.fixture
def office(dsn: str, database: Database) -> Iterator[Office]:
    settings = Settings.model_validate({"database": {"dsn": dsn}, "pages": {"language": "en"}})
    store = Database(dsn)
    app = build_app(settings, store)
    accounts = Accounts(database, passwords=QUICK)
    app.include_router(reading_router(Pages(settings, store, accounts, Metrics())))
    with (
        LoopbackServer(app, name="test service", key="port") as server,
        httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client,
        structlog.testing.capture_logs(),  # the tests break pages on purpose
    ):
        yield Office(app, client, database, accounts)


def test_a_read_makes_exactly_one_entry_with_actor_purpose_and_ticket(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    assert office.state(next=f"/test/records/{RECORD}").headers["location"] == f"/test/records/{RECORD}"
    assert office.accesses() == ()
    assert office.client.get(f"/test/records/{RECORD}").status_code == 200
    (access,) = office.accesses()
    assert (access.actor, access.role) == ("lan", "privacy-officer")
    assert (access.action, access.object, access.record_id) == ("read-consent", str(RECORD), RECORD)
    assert (access.purpose, access.ticket) == ("complaint", "YC-2026/0142")
    for _ in range(3):
        office.client.get("/test/search?q=given")
    found = office.accesses()
    assert [item.object for item in found] == ["state=given"] * 3 + [str(RECORD)]
    with office.database.transaction() as connection:
        assert log_size(connection) == found[0].index + 1, "nothing else was written"


def test_reads_at_once_make_one_entry_each(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    office.state()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: office.client.get(f"/test/search?q={n}").status_code, range(18)))
    assert answers == [200] * 18
    assert sorted(item.object for item in office.accesses()) == sorted(f"state={n}" for n in range(18))


def test_without_a_reason_one_is_asked_for_and_nothing_is_read(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    answer = office.client.get("/test/search?q=a%26b")
    assert (answer.status_code, answer.text) == (303, "")
    assert answer.headers["location"] == "/reason?next=%2Ftest%2Fsearch%3Fq%3Da%2526b"
    page = office.client.get(answer.headers["location"])
    assert page.status_code == 200
    assert 'name="next" value="/test/search?q=a%26b"' in page.text
    assert office.accesses() == ()


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.SUPERVISOR, Role.OBSERVER])
def test_a_refused_read_makes_no_entry(office: Office, role: Role) -> None:
    office.login(role)
    assert office.state().status_code == 403
    assert office.client.get(f"/test/records/{RECORD}").status_code == 403
    assert office.accesses() == ()


def test_a_stranger_reads_nothing(office: Office) -> None:
    assert office.client.get(f"/test/records/{RECORD}").headers["location"] == "/login"
    assert office.accesses() == ()


def test_a_page_that_breaks_after_the_read_still_made_its_entry(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    office.state()
    assert office.client.get("/test/breaks-after").status_code == 500
    assert len(office.accesses()) == 1


def test_a_read_that_is_undone_shows_nothing_and_makes_no_entry(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    office.state()
    answer = office.client.get("/test/breaks-within")
    assert (answer.status_code, str(RECORD) in answer.text) == (500, False)
    assert office.accesses() == ()


def test_every_personal_page_of_the_service_logs_one_read(office: Office, tmp_path: Path) -> None:
    """Pages that come later are found by themselves: one that answers and logs none or two fails here."""
    edge = EdgeLog.make(enrolled_edge(office.database, ["counter-1"]), tmp_path)
    edge.store.offer(replace(citizen(), record_id=RECORD, counter="counter-1"))
    edge.send(EdgeLogs(office.database, LogSettings()), 0)
    office.login(Role.PRIVACY_OFFICER)
    office.state()
    seed_cases(office.database)
    read = 0
    for route in routes_of(office.app):
        guards = list(declared_guards(route.dependant)) if hasattr(route, "dependant") else []
        if "GET" not in route.methods or not any(_is_personal(guard) for guard in guards):
            continue
        path = re.sub(r"\{\w+(?::\w+)?\}", str(RECORD), route.path)
        before = len(office.accesses())
        answer = office.client.get(path)
        if answer.status_code == 200:
            read += 1
            assert len(office.accesses()) == before + 1, path
        else:
            assert len(office.accesses()) <= before + 1, path
    assert read >= 6


def seed_cases(database: Database) -> None:
    """Keep a request and an erasure under the id that stands for every id of an address."""
    with database.transaction() as connection:
        case = Requests().receive(
            connection, RequestKind.VIEW, Subject(record_id=RECORD), channel=Channel.POST, actor="t"
        )
        connection.execute(
            "UPDATE data_requests SET request_id = %s WHERE request_id = %s", (RECORD, case.request_id)
        )
        queue(connection, RECORD, "request")


def _is_personal(guard: object) -> bool:
    if not isinstance(guard, Allowed):
        return False
    try:
        personal(guard.pages, guard.action)
    except ValueError:
        return False
    return True


def test_a_reason_ends_after_half_an_hour_and_with_the_login(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    office.state()
    with office.database.transaction() as connection:
        left = connection.execute("SELECT extract(epoch FROM reason_until - now()) FROM sessions").fetchone()
        assert left is not None
        assert 1700 < left[0] <= 1800
        connection.execute("UPDATE sessions SET reason_until = now() - interval '1 second'")
    assert office.client.get("/test/search").status_code == 303
    assert "YC-2026/0142" not in office.client.get("/").text
    office.state()
    office.accounts.log_out(office.client.cookies["hailong_session"])
    office.client.cookies.set(
        "hailong_session", office.accounts.log_in("lan", "a sentence of my own", address="x") or ""
    )
    assert office.client.get("/test/search").status_code == 303
    assert office.accesses() == ()


def test_the_reason_stands_on_each_page_and_can_be_changed(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    assert "Personal data are read for" not in office.client.get("/").text
    office.state()
    page = office.client.get("/?month=2026-01").text
    assert re.search(r"Personal data are read for: <b>complaint</b>, ticket <b>YC-2026/0142</b>", page)
    assert 'href="/reason?next=/%3Fmonth%3D2026-01">change</a>' in page
    office.state(purpose="breach", ticket="VP-7")
    office.client.get("/test/search")
    assert [(item.purpose, item.ticket) for item in office.accesses()] == [("breach", "VP-7")]


def test_a_ticket_is_a_code(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    for ticket in ("", "ab", "x" * 41, "YC 7", "Nguyễn", "a\nb", "-abc", "<b>x</b>", "YC-1\0", "   "):
        answer = office.state(ticket=ticket)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), ticket
    assert office.client.get("/test/search").status_code == 303
    for ticket in ("abc", "x" * 40, "7/2026", " YC-2026/0142 "):
        assert office.state(ticket=ticket).status_code == 303, ticket


def test_a_form_that_was_not_ours_states_no_reason(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    for fields, status in (
        ({"purpose": "curiosity"}, 422),
        ({"purpose": ""}, 422),
        ({"csrf": "x"}, 403),
        ({"csrf": ""}, 403),
    ):
        assert office.state(**fields).status_code == status
    assert office.client.get("/test/search").status_code == 303


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/consents?state=given&page=2", "/consents?state=given&page=2"),
        ("/", "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\t/evil.example", "/"),
        ("/ă", "/"),
    ],
)
def test_the_way_on_stays_in_the_house(wanted: str, path: str) -> None:
    assert local_path(wanted) == path


def test_a_read_without_a_reason_cannot_be_logged(database: Database) -> None:
    login = Login(Account("lan", Role.PRIVACY_OFFICER, must_change=False, areas=(), counters=()), "csrf")
    with database.transaction() as connection, pytest.raises(ReasonMissing, match="personal"):
        record_read(connection, login, Action.READ_CONSENT, str(RECORD))


def test_only_personal_actions_are_guarded_as_personal(office: Office) -> None:
    pages = Pages(Settings(), office.database, office.accounts, Metrics())
    for action in (Action.VIEW_FIGURES, Action.READ_LOG, Action.READ_TREE, Action.SUBMIT_LOG):
        with pytest.raises(ValueError, match=r"access\.cedarschema"):
            personal(pages, action)
    personal(pages, Action.DECIDE_ERASURE_OVERRIDE)


def test_reads_of_one_record_or_actor_are_found(office: Office) -> None:
    office.login(Role.PRIVACY_OFFICER)
    office.state(purpose=Purpose.INSPECTION.value)
    office.client.get(f"/test/records/{RECORD}")
    office.client.get("/test/search?q=x")
    with office.database.transaction() as connection:
        assert [item.object for item in list_accesses(connection, record_id=RECORD)] == [str(RECORD)]
        assert list_accesses(connection, record_id=UUID(int=1)) == ()
        assert len(list_accesses(connection, actor="lan")) == 2
        assert list_accesses(connection, actor="hoa") == ()
        newest, oldest = list_accesses(connection)
        assert list_accesses(connection, before=newest.index) == (oldest,)
        assert list_accesses(connection, limit=1) == (newest,)
