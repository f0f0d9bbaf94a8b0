"""Every route of the service and who may use it: a new route without a rule fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.accounts import Accounts
from api.app import build_app
from api.authorization import Role
from api.database import Database
from api.enrolment import make_token
from api.settings import Settings
from tests.api.running import PASSWORD, Central, running

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/style.css"),
    ("GET", "/icon.svg"),
    ("GET", "/login"),
}
"""For everybody: nothing of a counter is in them."""
OTHER_PROOF = {
    ("POST", "/login"): {403},
    ("POST", "/v1/batches"): {400, 401},
    ("POST", "/v1/enrolments"): {401, 422},
    ("GET", "/v1/arrivals"): {401},
}
"""Guarded by a password, a signature or a token; the answers to whoever has none."""
OLD_PASSWORD = {("GET", "/password"), ("POST", "/password"), ("POST", "/logout")}
"""All that a one-time password opens."""
READERS = {("GET", "/"), ("GET", "/counters/{code}"), ("GET", "/counters/{code}/trend.svg")}
ADMINISTRATORS = {
    ("GET", "/users"),
    ("POST", "/users"),
    ("POST", "/users/act"),
    ("GET", "/edges"),
    ("POST", "/edges"),
    ("POST", "/edges/revoke"),
}
GUARDED = OLD_PASSWORD | READERS | ADMINISTRATORS
FORM = {
    "name": "lan",
    "role": "supervisor",
    "act": "reset",
    "old": PASSWORD,
    "new": "another long sentence",
    "counters": "quay-9",
    "edge": "01a200dd-0000-7000-8000-000000000000",
}


@dataclass(frozen=True, slots=True)
class House:
    central: Central
    one_time: str
    """Cookie of an account that has not changed its one-time password."""
    supervisor: str
    administrator: str


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres) -> Iterator[House]:
    import psycopg  # noqa: PLC0415 - one module database instead of one a test

    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE access TEMPLATE template_central")
    dsn = postgres.dsn("access")
    with Database(dsn) as database, running(dsn) as central:
        accounts = Accounts(database)
        make_token(database, ["quay-1"], actor="test", area="a")
        make_token(database, ["quay-2"], actor="test", area="b")
        one_time = accounts.log_in("new", accounts.create("new", Role.ADMINISTRATOR, actor="test"))
        first = accounts.create("lan", Role.SUPERVISOR, actor="test", areas=["a"])
        supervisor = accounts.change_password("lan", first, PASSWORD)
        administrator = accounts.change_password("admin", central.first_password, PASSWORD)
        yield House(central, one_time or "", supervisor, administrator)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP DATABASE access WITH (FORCE)")


def ask(
    house: House, route: tuple[str, str], cookie: str | None = None, code: str = "quay-1"
) -> httpx.Response:
    method, path = route
    return httpx.request(
        method,
        house.central.address + path.format(code=code),
        data=FORM if method == "POST" and not path.startswith("/v1") else None,
        headers={} if cookie is None else {"Cookie": f"hailong_session={cookie}"},
        timeout=20,
    )


def routes_of(router: Any) -> Iterator[tuple[str, str]]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
        else:  # a mount has no methods: it would fail here and want a rule of its own
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


def test_every_route_has_a_rule() -> None:
    assert set(routes_of(build_app(Settings()))) == OPEN | set(OTHER_PROOF) | GUARDED


@pytest.mark.parametrize("route", sorted(OPEN))
def test_open_routes_answer_anybody_and_tell_no_counter(house: House, route: tuple[str, str]) -> None:
    answer = ask(house, route)
    assert answer.status_code == 200
    assert "quay-" not in answer.text


@pytest.mark.parametrize("cookie", [None, "forged.signature"])
@pytest.mark.parametrize("route", sorted(GUARDED))
def test_a_stranger_is_sent_to_the_login(house: House, route: tuple[str, str], cookie: str | None) -> None:
    answer = ask(house, route, cookie)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/login", "")


@pytest.mark.parametrize("route", sorted(OTHER_PROOF))
def test_machine_routes_want_their_own_proof(house: House, route: tuple[str, str]) -> None:
    # The cookie of an administrator opens none of them.
    for cookie in (None, house.administrator):
        assert ask(house, route, cookie).status_code in OTHER_PROOF[route]


@pytest.mark.parametrize("route", sorted(READERS | ADMINISTRATORS))
def test_a_one_time_password_opens_nothing_but_its_change(house: House, route: tuple[str, str]) -> None:
    answer = ask(house, route, house.one_time)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/password", "")


@pytest.mark.parametrize("route", sorted(ADMINISTRATORS))
def test_a_supervisor_administers_nothing(house: House, route: tuple[str, str]) -> None:
    assert ask(house, route, house.supervisor).status_code == 403


@pytest.mark.parametrize("route", sorted(route for route in READERS if "{code}" in route[1]))
@pytest.mark.parametrize(
    ("code", "status"), [("quay-1", 200), ("quay-2", 404), ("absent", 404), ("%00", 404)]
)
def test_a_supervisor_reads_their_own_area_only(
    house: House, route: tuple[str, str], code: str, status: int
) -> None:
    answer = ask(house, route, house.supervisor, code)
    assert answer.status_code == status
    assert ask(house, route, house.administrator, "quay-2").status_code == 200


def test_a_supervisor_is_told_of_their_own_area_only(house: House) -> None:
    mine = ask(house, ("GET", "/"), house.supervisor).text
    assert ("quay-1" in mine, "quay-2" in mine) == (True, False)
    assert "quay-2" in ask(house, ("GET", "/"), house.administrator).text


@pytest.mark.parametrize("route", sorted(route for route in GUARDED if route[0] == "POST"))
def test_a_form_without_its_token_does_nothing(house: House, route: tuple[str, str]) -> None:
    answer = ask(house, route, house.administrator)
    assert answer.status_code == 403
    with Database(house.central.dsn) as database:
        accounts = Accounts(database)
        assert accounts.login_of(house.administrator) is not None
        assert accounts.login_of(house.supervisor) is not None


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
