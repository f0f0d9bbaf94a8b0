"""Accounts: one-time passwords, lock-out, sessions, roles."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.accounts import AccountError, Accounts
from api.authorization import HUMAN_ROLES, Action, Role, counter, policies
from api.database import Database
from api.enrolment import enrol, list_edges, make_token
from api.errors import EnrolmentError, Refused
from api.passwords import Passwords
from api.trends import counter_state, visible_counters
from tests.api.senders import public_text

LONG = "a sentence of my own"
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, passwords=QUICK)


def test_exactly_one_administrator_is_made_by_many_starters(
    hashes_as_delivered: None, database: Database
) -> None:
    """The hash lies between the look for one and the writing: all four look before any writes."""
    made: list[str | None] = []
    starters = [
        threading.Thread(target=lambda: made.append(Accounts(database).create_first_administrator()))
        for _ in range(4)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(30)
    assert len(made) == 4
    assert sum(password is not None for password in made) == 1


def test_the_password_is_kept_as_an_argon2_hash(accounts: Accounts, database: Database) -> None:
    password = accounts.create_first_administrator()
    with database.transaction() as connection:
        row = connection.execute("SELECT password_hash, must_change FROM users").fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$")
    assert password not in row[0]
    assert row[1] is True


def test_a_session_lives_until_logout_and_its_cookie_cannot_be_forged(accounts: Accounts) -> None:
    password = accounts.create_first_administrator()
    cookie = accounts.log_in("admin", password or "")
    assert cookie is not None
    login = accounts.login_of(cookie)
    assert login is not None
    assert login.account.name == "admin"
    assert (login.account.role, login.account.must_change) == (Role.ADMINISTRATOR, True)
    # Not the last letter: two of its six bits stand for nothing.
    signed = cookie[:-2] + ("A" if cookie[-2] != "A" else "B") + cookie[-1]
    for forged in (signed, cookie.split(".")[0], "", "ü.ü"):
        assert accounts.login_of(forged) is None
    accounts.log_out(cookie)
    assert accounts.login_of(cookie) is None


def test_an_idle_session_ends_and_a_used_one_goes_on(database: Database) -> None:
    accounts = Accounts(database, idle_minutes=30, passwords=QUICK)
    cookie = accounts.log_in("admin", accounts.create_first_administrator() or "")

    def idle(minutes: int) -> None:
        with database.transaction() as connection:
            connection.execute(
                "UPDATE sessions SET last_seen_at = last_seen_at - make_interval(mins => %s)", (minutes,)
            )

    for _ in range(3):
        idle(20)
        assert accounts.login_of(cookie) is not None
    idle(31)
    assert accounts.login_of(cookie) is None


def test_a_closed_account_stays_closed(accounts: Accounts) -> None:
    password = accounts.create("lan", Role.OBSERVER, actor="t")
    cookie = accounts.log_in("lan", password)
    accounts.disable("lan", actor="t")
    assert accounts.login_of(cookie) is None
    with pytest.raises(AccountError, match="stays closed"):
        accounts.reset_password("lan", actor="t")
    assert accounts.log_in("lan", password) is None
    assert [account.disabled for account in accounts.list_accounts()] == [True]


@pytest.mark.parametrize("role", [Role.EDGE_DEVICE, Role.OFFICER_TABLET, Role.CITIZEN])
def test_a_machine_has_no_account(accounts: Accounts, role: Role) -> None:
    with pytest.raises(AccountError, match="machine"):
        accounts.create("box", role, actor="t")


@pytest.mark.parametrize("role", HUMAN_ROLES)
def test_the_register_has_the_counters_that_the_policies_open(
    accounts: Accounts, database: Database, role: Role
) -> None:
    """The list is filtered in the database, a single counter by the policies: both say the same."""
    for code, area in (("a1", "a"), ("b1", "b"), ("b2", "b"), ("n1", "")):
        make_token(database, [code], actor="t", area=area)
    for number, (areas, counters) in enumerate(
        [([], []), (["a"], []), (["a", ""], ["b2"]), ([], ["n1", "x"])]
    ):
        accounts.create(f"p{number}", role, actor="t", areas=areas, counters=counters)
    for account in accounts.list_accounts():
        listed = {item.code for item in visible_counters(database, account)}
        states = [counter_state(database, code) for code in ("a1", "b1", "b2", "n1")]
        opened = {
            state.code
            for state in states
            if state is not None
            and policies()
            .decide(
                replace(account, must_change=False).principal,
                Action.VIEW_FIGURES,
                counter(state.code, state.area),
            )
            .permitted
        }
        assert listed == opened
    assert counter_state(database, "absent") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("wrong", LONG, "present password"), (None, "short", "12 characters"), (None, None, "differ")],
)
def test_a_bad_new_password_is_refused(
    accounts: Accounts, old: str | None, new: str | None, message: str
) -> None:
    password = accounts.create_first_administrator() or ""
    with pytest.raises(AccountError, match=message):
        accounts.change_password("admin", old or password, new or password)


def test_changing_the_password_ends_other_sessions(accounts: Accounts) -> None:
    password = accounts.create_first_administrator() or ""
    other = accounts.log_in("admin", password)
    mine = accounts.change_password("admin", password, LONG)
    assert accounts.login_of(other) is None
    login = accounts.login_of(mine)
    assert login is not None
    assert not login.account.must_change
    assert accounts.log_in("admin", password) is None


def test_the_last_administrator_cannot_be_closed(accounts: Accounts) -> None:
    accounts.create_first_administrator()
    with pytest.raises(AccountError, match="last administrator"):
        accounts.disable("admin", actor="admin")
    accounts.create("second", Role.ADMINISTRATOR, actor="admin")
    accounts.disable("admin", actor="second")
    assert [account.disabled for account in accounts.list_accounts()] == [True, False]


def test_a_supervisor_sees_their_areas_and_counters_only(accounts: Accounts, database: Database) -> None:
    make_token(database, ["a1", "a2"], actor="t", area="a")
    make_token(database, ["b1", "b2"], actor="t", area="b")
    make_token(database, ["n1"], actor="t")
    accounts.create("lan", Role.SUPERVISOR, actor="t", areas=["a"], counters=["b2"])
    accounts.create("none", Role.SUPERVISOR, actor="t", areas=[""])
    by_name = {account.name: account for account in accounts.list_accounts()}
    assert [item.code for item in visible_counters(database, by_name["lan"])] == ["a1", "a2", "b2"]
    assert visible_counters(database, by_name["none"]) == ()


def test_acts_are_recorded(accounts: Accounts, database: Database) -> None:
    accounts.create_first_administrator()
    make_token(database, ["a1"], actor="admin")
    accounts.reset_password("admin", actor="command")
    with database.transaction() as connection:
        acts = connection.execute("SELECT actor, act, object FROM administrative_acts ORDER BY id").fetchall()
    assert acts == [
        ("system", "account-created", "admin"),
        ("admin", "enrolment-token", "a1"),
        ("command", "password-reset", "admin"),
    ]
    with database.transaction() as connection:
        leaves = connection.execute(
            "SELECT convert_from(body, 'UTF8')::jsonb FROM central_log WHERE kind = 'account' ORDER BY idx"
        ).fetchall()
    assert [(leaf["actor"], leaf["act"], leaf["object"]) for (leaf,) in leaves] == acts


@pytest.mark.parametrize("code", ["", "Quầy", "A", "a b", "-a", "a" * 65])
def test_a_bad_counter_code_is_refused(database: Database, code: str) -> None:
    with pytest.raises(EnrolmentError):
        make_token(database, [code], actor="t")


def test_tokens_expire_and_are_kept_as_hashes(database: Database) -> None:
    token = make_token(database, ["a1"], actor="t")
    with database.transaction() as connection:
        row = connection.execute("SELECT token_hash FROM enrolment_tokens").fetchone()
        assert row is not None
        assert token.encode() not in bytes(row[0])
        connection.execute("UPDATE enrolment_tokens SET expires_at = now() - interval '1 second'")
    with pytest.raises(Refused, match="expired"):
        enrol(database, token, public_text(Ed25519PrivateKey.generate()), "box")


def test_a_key_is_enrolled_once_and_a_failed_try_keeps_the_token(database: Database) -> None:
    key = public_text(Ed25519PrivateKey.generate())
    enrol(database, make_token(database, ["a1"], actor="t"), key, "box")
    token = make_token(database, ["a1"], actor="t")
    with pytest.raises(Refused, match="before"):
        enrol(database, token, key, "box")
    with pytest.raises(Refused, match="32 bytes"):
        enrol(database, token, "AAAA", "box")
    done = enrol(database, token, public_text(Ed25519PrivateKey.generate()), "box-2")
    counters = {edge.name: edge.counters for edge in list_edges(database)}
    assert counters == {"box": (), "box-2": ("a1",)}
    assert done.counters == ("a1",)


def test_a_supervisor_account_cannot_be_made_with_an_unknown_role(database: Database) -> None:
    with database.transaction() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO users (name, role, password_hash) VALUES ('x', 'root', '')")
