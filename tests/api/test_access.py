"""Every route of the service and who may use it: a new route without a rule fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.access_matrix import ALWAYS, NEVER, matrix
from api.accounts import Accounts
from api.app import build_app
from api.authorization import HUMAN_ROLES, Action, Role
from api.database import Database
from api.enrolment import list_edges, make_token
from api.guards import Guard, Open, Proven, declared_guards
from api.pages.access import Allowed
from api.settings import Settings
from tests.api.running import PASSWORD, Central, running

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres

MACHINES = {
    ("POST", "/v1/batches"): {400, 401},
    ("GET", "/v1/arrivals"): {401},
}
"""Guarded by a signature or a token; what whoever has none is told. Others: 400, 401, 403 or 422."""
VALUES = {"code": "quay-1", "index": "999999"}
"""Values of the parts of an address that are no id; every other part is one that names nothing."""
FORM = {
    "name": "lan",
    "role": "supervisor",
    "act": "reset",
    "old": PASSWORD,
    "new": "another long sentence",
    "counters": "quay-9",
    "edge": "01a200dd-0000-7000-8000-000000000000",
    "purpose": "complaint",
    "ticket": "YC-1",
}

Table = dict[Action, dict[Role, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One route with what guards it."""

    method: str
    path: str
    guard: Guard

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(router: Any) -> Iterator[Any]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
        else:
            yield route


def entries() -> list[Entry]:
    """Return every route and method that declares its action, once."""
    found = []
    for route in routes_of(build_app(Settings())):
        guards = guards_of(route)
        if len(guards) == 1:
            found += [Entry(method, route.path, guards[0]) for method in sorted(route.methods - {"HEAD"})]
    return sorted(found, key=lambda entry: entry.name)


def guards_of(route: Any) -> list[Guard]:
    return list(declared_guards(route.dependant)) if hasattr(route, "dependant") else []


ENTRIES = entries()
PAGES = [entry for entry in ENTRIES if isinstance(entry.guard, Allowed)]
OPEN = [entry for entry in ENTRIES if isinstance(entry.guard, Open)]
PROVEN = [entry for entry in ENTRIES if isinstance(entry.guard, Proven)]
NOT_YOURS = "Your role may not open this page."
OLD_FORM = "The form is too old or came from elsewhere"


def named(found: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", found, ids=[entry.name for entry in found])


@pytest.fixture(scope="module")
def table() -> Table:
    """What the policies say, asked once: thousands of questions, the same before each of the tests."""
    return matrix()


@dataclass(frozen=True, slots=True)
class House:
    central: Central
    client: httpx.Client
    one_time: str
    """Cookie of an account that has not changed its one-time password."""
    cookies: dict[Role, str]

    @property
    def supervisor(self) -> str:
        return self.cookies[Role.SUPERVISOR]

    @property
    def administrator(self) -> str:
        return self.cookies[Role.ADMINISTRATOR]


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres) -> Iterator[House]:
    import psycopg  # noqa: PLC0415 - one module database instead of one a test

    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE access TEMPLATE template_central")
    dsn = postgres.dsn("access")
    with (
        Database(dsn) as database,
        running(dsn) as central,
        httpx.Client(base_url=central.address, timeout=20, trust_env=False) as client,
    ):
        accounts = Accounts(database)
        make_token(database, ["quay-1"], actor="test", area="a")
        make_token(database, ["quay-2"], actor="test", area="b")
        one_time = accounts.log_in("new", accounts.create("new", Role.ADMINISTRATOR, actor="test"))
        cookies = {Role.ADMINISTRATOR: accounts.change_password("admin", central.first_password, PASSWORD)}
        for role in set(HUMAN_ROLES) - {Role.ADMINISTRATOR}:
            name = f"a-{role.value}"
            areas = ["a"] if role is Role.SUPERVISOR else []
            first = accounts.create(name, role, actor="test", areas=areas)
            cookies[role] = accounts.change_password(name, first, PASSWORD)
        yield House(central, client, one_time or "", cookies)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP DATABASE access WITH (FORCE)")


def ask(
    house: House, method: str, path: str, cookie: str | None = None, code: str = "quay-1"
) -> httpx.Response:
    values = VALUES | {"code": code}
    filled = re.sub(
        r"\{(\w+)(?::\w+)?\}", lambda part: values.get(part[1], "01a200dd-0000-7000-8000-000000000000"), path
    )
    form = method == "POST" and not path.startswith("/v1")
    return house.client.request(
        method,
        filled,
        data=FORM if form else None,
        headers={"Cookie": "hailong_language=en" + (f"; hailong_session={cookie}" if cookie else "")},
    )


def test_every_route_declares_exactly_one_action() -> None:
    """Give a new route one of `allowed`, `personal`, `open_to_all` or `proven`."""
    wrong = [route.path for route in routes_of(build_app(Settings())) if len(guards_of(route)) != 1]
    assert wrong == []


def test_the_routes_are_many_and_of_every_kind() -> None:
    assert len(PAGES) >= 14
    assert len(OPEN) >= 8
    assert len(PROVEN) >= 2


def test_personal_routes_are_guarded_as_such(table: Table) -> None:
    """An action of the group `personal` never stands behind a guard that lets everybody in."""
    personal = {action for action, cells in table.items() if any("reason" in cell for cell in cells.values())}
    assert [entry.name for entry in OPEN + PROVEN if entry.guard.action in personal] == []


@pytest.mark.parametrize("role", HUMAN_ROLES)
@named(PAGES)
def test_each_role_gets_exactly_what_the_matrix_says(
    house: House, table: Table, role: Role, entry: Entry
) -> None:
    cell = table[entry.guard.action][role]
    answer = ask(house, entry.method, entry.path, house.cookies[role])
    assert answer.status_code < 500
    if "reason" in cell:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/reason?next=")
        assert answer.text == ""
    elif cell == NEVER:
        assert answer.status_code == 403
        assert NOT_YOURS in answer.text
        assert OLD_FORM not in answer.text
    else:
        assert NOT_YOURS not in answer.text
        assert answer.headers.get("location", "") not in {"/login", "/password"}
        if entry.method == "GET":
            assert answer.status_code in {200, 303, 404}
            assert "/reason" not in answer.headers.get("location", "")
        else:
            assert (answer.status_code, OLD_FORM in answer.text) == (403, True)


@pytest.mark.parametrize("role", HUMAN_ROLES)
@named(OPEN)
def test_open_routes_are_open_to_every_role(house: House, table: Table, role: Role, entry: Entry) -> None:
    assert table[entry.guard.action][role] == ALWAYS
    answer = ask(house, entry.method, entry.path, house.cookies[role])
    assert answer.status_code < 500
    assert "not-permitted" not in answer.text
    assert answer.headers.get("location", "") != "/login"


@named(OPEN)
def test_open_routes_answer_anybody_and_tell_no_counter(house: House, table: Table, entry: Entry) -> None:
    assert table[entry.guard.action][Role.CITIZEN] == ALWAYS
    answer = ask(house, entry.method, entry.path)
    assert answer.status_code < 500
    assert "not-permitted" not in answer.text
    assert answer.headers.get("location", "") != "/login"
    assert "quay-" not in answer.text


@pytest.mark.parametrize("cookie", [None, "forged.signature"])
@named(PAGES)
def test_a_stranger_is_sent_to_the_login(
    house: House, table: Table, entry: Entry, cookie: str | None
) -> None:
    for role in (Role.CITIZEN, Role.OFFICER_TABLET, Role.EDGE_DEVICE):
        assert table[entry.guard.action][role] == NEVER
    answer = ask(house, entry.method, entry.path, cookie)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/login", "")


@named(PROVEN)
def test_machine_routes_want_their_own_proof(house: House, table: Table, entry: Entry) -> None:
    """The cookie of no person opens any of them."""
    allowed = MACHINES.get((entry.method, entry.path), {400, 401, 403, 422})
    for cookie in (None, *house.cookies.values()):
        assert ask(house, entry.method, entry.path, cookie).status_code in allowed
    cells = table[entry.guard.action]
    assert {role for role in HUMAN_ROLES if cells[role] != NEVER} == set()


@named([entry for entry in PAGES if entry.guard.action not in {Action.LOG_OUT, Action.CHANGE_PASSWORD}])
def test_a_one_time_password_opens_nothing_but_its_change(house: House, entry: Entry) -> None:
    answer = ask(house, entry.method, entry.path, house.one_time)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/password", "")


@named([entry for entry in PAGES if entry.guard.action is Action.VIEW_FIGURES and "{code}" in entry.path])
@pytest.mark.parametrize(
    ("code", "status"), [("quay-1", 200), ("quay-2", 404), ("absent", 404), ("%00", 404)]
)
def test_a_supervisor_reads_their_own_area_only(house: House, entry: Entry, code: str, status: int) -> None:
    answer = ask(house, entry.method, entry.path, house.supervisor, code)
    assert answer.status_code == status
    assert ask(house, entry.method, entry.path, house.administrator, "quay-2").status_code == 200


def test_a_supervisor_is_told_of_their_own_area_only(house: House) -> None:
    mine = ask(house, "GET", "/", house.supervisor).text
    assert ("quay-1" in mine, "quay-2" in mine) == (True, False)
    assert "quay-2" in ask(house, "GET", "/", house.administrator).text


@named([entry for entry in PAGES if entry.method == "POST"])
def test_a_form_without_its_token_does_nothing(house: House, entry: Entry) -> None:
    for cookie in house.cookies.values():
        answer = ask(house, entry.method, entry.path, cookie)
        assert answer.status_code in {403, 303}
    with Database(house.central.dsn) as database:
        accounts = Accounts(database)
        logins = [accounts.login_of(cookie) for cookie in house.cookies.values()]
        assert [login.reason for login in logins if login is not None] == [None] * len(HUMAN_ROLES)
        assert len(accounts.list_accounts()) == len(HUMAN_ROLES) + 1
        assert list_edges(database) == ()


@pytest.mark.parametrize(("name", "status"), [("admin\0", 422), ("ă" * 300, 401), ("' OR 1=1 --", 401)])
def test_a_login_with_any_name_is_only_wrong(house: House, name: str, status: int) -> None:
    with httpx.Client(base_url=house.central.address, timeout=20) as client:
        page = client.get("/login")
        token = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert token
        answer = client.post("/login", data={"csrf": token[1], "name": name, "password": "x"})
    assert answer.status_code == status
    assert "hailong_session" not in answer.headers.get("set-cookie", "")


def test_a_login_gets_a_session_of_its_own(house: House) -> None:
    """Whatever cookie came with the form, the session after it is a new one, for scripts out of reach."""
    planted = house.supervisor
    with httpx.Client(base_url=house.central.address, timeout=20) as client:
        page = client.get("/login")
        token = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert token
        client.cookies.set("hailong_session", planted)
        answer = client.post("/login", data={"csrf": token[1], "name": "admin", "password": PASSWORD})
    cookie = next(
        text for text in answer.headers.get_list("set-cookie") if text.startswith("hailong_session=")
    )
    assert planted not in cookie
    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
