"""Wrong passwords: slowed where they come from, and nobody else is locked out."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import Request

from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from api.errors import Refused
from api.guards import client_address
from api.passwords import PasswordQueue, Passwords, count_failure, is_paused, network_of
from tests.api.running import running
from tests.api.senders import enrolled_edge, signal

OWNER, STRANGER = "198.51.100.7", "203.0.113.9"
LONG = "a sentence of my own"
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, passwords=QUICK)


@pytest.fixture
def password(accounts: Accounts) -> str:
    first = accounts.create("lan", Role.SUPERVISOR, actor="t")
    accounts.change_password("lan", first, LONG)
    return LONG


def fail(accounts: Accounts, times: int, address: str, name: str = "lan") -> None:
    for _ in range(times):
        assert accounts.log_in(name, "wrong", address=address) is None


def pauses(database: Database, name: str, address: str) -> bool:
    with database.transaction() as connection:
        return is_paused(connection, name, address)


def wait(database: Database, seconds: float) -> None:
    """Let time pass for the counts."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE login_failures SET blocked_until = blocked_until - make_interval(secs => %(s)s), "
            "last_at = last_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def test_five_wrong_passwords_pause_the_address_and_time_ends_it(
    accounts: Accounts, database: Database, password: str
) -> None:
    fail(accounts, 5, STRANGER)
    assert accounts.log_in("lan", password, address=STRANGER) is None
    wait(database, 29)
    assert accounts.log_in("lan", password, address=STRANGER) is None
    wait(database, 2)
    assert accounts.log_in("lan", password, address=STRANGER) is not None
    fail(accounts, 4, STRANGER)
    assert accounts.log_in("lan", password, address=STRANGER) is not None, "a right password starts anew"


def test_the_pause_doubles_up_to_a_quarter_of_an_hour(database: Database) -> None:
    pauses_s = []
    for _ in range(14):
        with database.transaction() as connection:
            count_failure(connection, "lan", STRANGER)
            row = connection.execute(
                "SELECT extract(epoch FROM blocked_until - clock_timestamp()) FROM login_failures "
                "WHERE failures < 50 AND blocked_until > '-infinity'"
            ).fetchone()
        pauses_s.append(None if row is None else round(float(row[0])))
    assert pauses_s == [None] * 4 + [30, 60, 120, 240, 480] + [900] * 5


def test_a_stranger_locks_nobody_out(accounts: Accounts, password: str) -> None:
    cookie = accounts.log_in("lan", password, address=OWNER)
    fail(accounts, 5, STRANGER)
    assert accounts.log_in("lan", password, address=STRANGER) is None
    assert accounts.log_in("lan", password, address=OWNER) is not None
    assert accounts.login_of(cookie) is not None


def test_many_addresses_are_slowed_together_but_not_the_owners(
    accounts: Accounts, database: Database, password: str
) -> None:
    accounts.log_in("lan", password, address=OWNER)
    with database.transaction() as connection:
        for number in range(50):
            count_failure(connection, "lan", f"203.0.113.{number}")
    assert pauses(database, "lan", "192.0.2.1"), "an address that never tried waits with the others"
    assert accounts.log_in("lan", password, address="192.0.2.1") is None
    assert accounts.log_in("lan", password, address=OWNER) is not None
    assert not pauses(database, "hoa", "192.0.2.1"), "other names are not concerned"


def test_the_owners_own_mistakes_do_not_count_for_the_others(database: Database, accounts: Accounts) -> None:
    first = accounts.create("lan", Role.SUPERVISOR, actor="t")
    assert accounts.log_in("lan", first, address=OWNER) is not None
    with database.transaction() as connection:
        for _ in range(60):
            count_failure(connection, "lan", OWNER)
    assert pauses(database, "lan", OWNER)
    assert not pauses(database, "lan", STRANGER)


def test_names_that_do_not_exist_are_counted_alike(accounts: Accounts, database: Database) -> None:
    accounts.create("lan", Role.SUPERVISOR, actor="t")
    closed = accounts.create("old", Role.SUPERVISOR, actor="t")
    accounts.disable("old", actor="t")
    for name in ("lan", "nobody", "old"):
        fail(accounts, 5, STRANGER, name)
        assert pauses(database, name, STRANGER)
    wait(database, 60)
    assert accounts.log_in("old", closed, address=STRANGER) is None


def test_old_counts_are_forgotten(accounts: Accounts, database: Database, password: str) -> None:
    fail(accounts, 4, STRANGER)
    wait(database, 25 * 3600)
    fail(accounts, 4, STRANGER)
    assert accounts.log_in("lan", password, address=STRANGER) is not None
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM login_failures").fetchone() == (1,)


def test_a_thief_of_a_session_guesses_the_password_no_faster(accounts: Accounts, password: str) -> None:
    for _ in range(5):
        with pytest.raises(ValueError, match="present password"):
            accounts.change_password("lan", "wrong", "another long sentence")
    with pytest.raises(ValueError, match="present password"):
        accounts.change_password("lan", password, "another long sentence")
    assert accounts.log_in("lan", password, address=OWNER) is not None, "the owner's login is not concerned"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_tells_where_a_login_comes_from(peer: str, forwarded: str, found: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    request = Request({"type": "http", "headers": headers, "client": (peer, 4711)})
    assert client_address(request, ("10.0.0.1", "10.0.0.2")) == found


def test_a_password_is_checked_without_holding_a_connection(
    accounts: Accounts, database: Database, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    inside = 0
    transaction = database.transaction

    class Counted:
        def __init__(self) -> None:
            self.inner = transaction()

        def __enter__(self) -> object:
            nonlocal inside
            inside += 1
            return self.inner.__enter__()

        def __exit__(self, *about: object) -> None:
            nonlocal inside
            inside -= 1
            self.inner.__exit__(*about)  # type: ignore[arg-type]  # handed on as they came

    def watched(work: object) -> object:
        def run(*args: object) -> object:
            held.append(inside)
            return work(*args)  # type: ignore[operator]  # the method that is watched

        return run

    monkeypatch.setattr(database, "transaction", Counted)
    keeper = accounts._passwords
    monkeypatch.setattr(keeper, "matches", watched(keeper.matches))
    monkeypatch.setattr(keeper, "hash", watched(keeper.hash))
    accounts.log_in("lan", password)
    accounts.log_in("lan", "wrong")
    accounts.change_password("lan", password, "another long sentence")
    accounts.create("hoa", Role.OBSERVER, actor="t")
    accounts.reset_password("hoa", actor="t")
    accounts.create_first_administrator()
    assert held == [0] * 7


def test_a_reset_between_check_and_session_lets_nobody_in(
    accounts: Accounts, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches = accounts._passwords.matches

    def reset_meanwhile(stored: str | None, given: str) -> bool:
        right = matches(stored, given)
        monkeypatch.undo()
        accounts.reset_password("lan", actor="t")
        return right

    monkeypatch.setattr(accounts._passwords, "matches", reset_meanwhile)
    assert accounts.log_in("lan", password) is None


def test_a_flood_of_logins_waits_in_a_short_queue() -> None:
    release, running = threading.Event(), threading.Semaphore(0)
    at_once = []

    def work(number: int) -> int:
        at_once.append(number)
        running.release()
        release.wait(20)
        return number

    async def flood() -> list[int | BaseException]:
        queue = PasswordQueue()
        tasks = [asyncio.create_task(queue.run(work, number)) for number in range(40)]
        await asyncio.to_thread(running.acquire)
        await asyncio.to_thread(running.acquire)
        assert len(at_once) == 2
        release.set()
        results: list[int | BaseException] = await asyncio.gather(*tasks, return_exceptions=True)
        assert await queue.run(work, 99) == 99
        return results

    results = asyncio.run(flood())
    refused = [found for found in results if isinstance(found, Refused)]
    assert len(refused) == 24
    assert {int(found.status) for found in refused} == {503}
    assert len([found for found in results if isinstance(found, int)]) == 16


def test_a_password_that_is_too_long_is_wrong() -> None:
    keeper = Passwords()
    stored = keeper.hash("x" * 257)
    assert not keeper.matches(stored, "x" * 257)
    assert not keeper.matches(None, "x")
    assert not keeper.matches("no hash at all", "x")


def test_a_hash_costs_a_guesser_what_argon2_advises(hashes_as_delivered: None) -> None:
    assert Passwords().hash(LONG).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_flood_of_logins_takes_nothing_from_the_counters(
    hashes_as_delivered: None, database: Database, dsn: str, seed: int
) -> None:
    """Two connections in all: logins that held one while hashing would leave batches without."""
    edge = enrolled_edge(database, ["counter-1"])
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    settings = {"dsn": dsn, "wait_s": 1.0, "pool_size": 2}
    with (
        running(dsn, database=settings) as central,
        httpx.Client(base_url=central.address, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(30) as pool,
    ):
        token = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
        assert token is not None
        form = {"csrf": token[1], "name": "admin", "password": "wrong"}
        cookies = dict(client.cookies)  # each answer sets another form cookie: a shared jar would mix them up

        def log_in(name: str) -> int:
            with httpx.Client(cookies=cookies, timeout=60, trust_env=False) as alone:
                return alone.post(f"{central.address}/login", data=form | {"name": name}).status_code

        flood = [pool.submit(log_in, f"n{number}") for number in range(60)]
        answers = []
        for number in range(10):
            body = edge.batch(number + 1, [signal(rng)])
            headers = {"Hailong-Signature": edge.sign(body)}
            answers.append(client.post("/v1/batches", content=body, headers=headers).status_code)
        logins = [item.result() for item in flood]
    assert answers == [200] * 10
    assert set(logins) <= {401, 503}
    assert 401 in logins
