"""The policies: they fit their schema, refuse by default, and are what docs/access.md says."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from api.access_matrix import ALWAYS, BEGIN, END, NEVER, matrix, rendered, write_into
from api.accounts import Account, Login, Reason
from api.authorization import (
    HUMAN_ROLES,
    SERVICE,
    VISITOR,
    Action,
    Policies,
    PoliciesInvalid,
    Principal,
    Purpose,
    Resource,
    Role,
    counter,
    edge_may,
    override,
    person,
    policies,
    reason_context,
)
from api.errors import ApiError
from setup.layout import ROOT

DOCUMENT: Final = ROOT / "docs" / "access.md"
EARLY: Final = datetime(2026, 1, 1, tzinfo=UTC)
REASON: Final = reason_context("complaint", "YC-2026/0142")
POLICIES: Final = files("api").joinpath("policies", "access.cedar").read_text("utf-8")
SCHEMA: Final = files("api").joinpath("policies", "access.cedarschema").read_text("utf-8")


def test_the_document_shows_the_table_of_the_present_policies() -> None:
    """A changed policy fails here until `hailong central access-matrix --into docs/access.md` is run."""
    text = DOCUMENT.read_text("utf-8")
    shown = text.split(BEGIN, 1)[1].split(END, 1)[0].strip()
    assert shown == rendered()


def test_every_policy_counts_in_the_table() -> None:
    """Leaving out any one policy changes the table: none is dead, and none escapes the comparison."""
    parts = re.findall(r'@id\("([^"]+)"\)\n(?:.*\n)*?.*;', POLICIES)
    blocks = re.split(r'(?=@id\(")', POLICIES)[1:]
    assert len(parts) == len(blocks) > 10
    whole = rendered()
    for name, block in zip(parts, blocks, strict=True):
        if name == "one-time-password":  # no table column: tested below
            continue
        assert rendered(Policies(POLICIES.replace(block, ""))) != whole, name


def test_no_cell_is_open_that_separation_of_duties_closes() -> None:
    cells = matrix()
    reading = {action for action in Action if any("reason" in text for text in cells[action].values())}
    assert len(reading) >= 8
    for action in reading:
        assert {role for role in Role if cells[action][role] != NEVER} == {Role.PRIVACY_OFFICER}, action
    for action in (Action.MANAGE_ACCOUNTS, Action.MANAGE_EDGES):
        assert {role for role in Role if cells[action][role] != NEVER} == {Role.ADMINISTRATOR}
    changing = {Action.RUN_RETENTION, Action.MANAGE_BREACHES, Action.MANAGE_ACCOUNTS, Action.MANAGE_EDGES}
    assert {cells[action][Role.OBSERVER] for action in changing | reading} == {NEVER}
    open_to_citizens = {action for action in Action if cells[action][Role.CITIZEN] == ALWAYS}
    assert {action for action in Action if cells[action][Role.OFFICER_TABLET] != NEVER} == open_to_citizens
    for action in (Action.SUBMIT_BATCHES, Action.SUBMIT_LOG):
        assert {role for role in Role if cells[action][role] != NEVER} == {Role.EDGE_DEVICE}


def test_the_schema_names_exactly_our_actions_and_purposes() -> None:
    declared = set(re.findall(r'"([a-z-]+)"', re.sub(r"//.*|in \[[^\]]*\]", "", SCHEMA)))
    assert declared - {"public", "own-account", "personal"} == {action.value for action in Action}
    for purpose in Purpose:
        context = reason_context(purpose.value, "YC-1")
        who = person("lan", Role.PRIVACY_OFFICER)
        assert policies().decide(who, Action.READ_CONSENT, context=context).permitted


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("permit (principal", SCHEMA),
        (POLICIES, "entity"),
        (POLICIES + 'permit (principal, action == Action::"read-minds", resource);', SCHEMA),
        (POLICIES + "permit (principal is Person, action, resource) when { principal.is_boss };", SCHEMA),
        (POLICIES + "permit (principal is Robot, action, resource);", SCHEMA),
        (POLICIES, SCHEMA.replace('"manage-edges", ', "")),
    ],
)
def test_policies_that_do_not_fit_their_schema_stop_the_start(text: str, schema: str) -> None:
    with pytest.raises(PoliciesInvalid):
        Policies(text, schema)


@pytest.mark.parametrize("action", list(Action))
def test_without_policies_everything_is_refused(action: Action) -> None:
    nothing = Policies("")
    for role in Role:
        assert nothing.decide(Principal("Visitor", "x", role), action).permitted is False
        assert nothing.decide(person("x", role), action, context=REASON).permitted is False


@pytest.mark.parametrize("role", HUMAN_ROLES)
def test_a_one_time_password_opens_its_change_and_what_is_public(role: Role) -> None:
    fresh = person("lan", role, must_change=True)
    opened = {
        action
        for action in Action
        for context in ({}, REASON)
        if policies().decide(fresh, action, context=context).permitted
    }
    public = {action for action in Action if policies().decide(VISITOR, action).permitted}
    assert opened == public | {Action.LOG_OUT, Action.CHANGE_PASSWORD}


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"purpose": "complaint"},
        {"ticket": "YC-1"},
        {"purpose": "complaint", "ticket": ""},
        {"purpose": "curiosity", "ticket": "YC-1"},
        {"purpose": "", "ticket": "YC-1"},
        {"purpose": 1, "ticket": "YC-1"},
        {"purpose": "complaint", "ticket": "YC-1", "extra": "x"},
    ],
)
def test_personal_data_need_purpose_and_ticket(context: dict[str, object]) -> None:
    who = person("lan", Role.PRIVACY_OFFICER)
    assert policies().decide(who, Action.READ_CONSENT, context=REASON).permitted
    assert not policies().decide(who, Action.READ_CONSENT, context=context).permitted


def test_four_eyes_decide_an_erasure_override() -> None:
    asked = override("7", "lan")

    def may(name: str, role: Role, context: dict[str, object]) -> bool:
        return policies().decide(person(name, role), Action.DECIDE_ERASURE_OVERRIDE, asked, context).permitted

    assert may("hoa", Role.PRIVACY_OFFICER, REASON)
    assert not may("lan", Role.PRIVACY_OFFICER, REASON)
    assert not may("hoa", Role.PRIVACY_OFFICER, {})
    for role in set(HUMAN_ROLES) - {Role.PRIVACY_OFFICER}:
        assert not may("hoa", role, REASON)


@pytest.mark.parametrize(
    ("code", "area", "seen"),
    [("a.1", "a", True), ("b.1", "b", False), ("b.2", "b", True), ("c.1", "", False), ("", "", False)],
)
def test_a_supervisor_has_their_own_counters(code: str, area: str, seen: bool) -> None:  # noqa: FBT001 - a table's column
    who = person("lan", Role.SUPERVISOR, areas=["a", ""], counters=["b.2"])
    assert policies().decide(who, Action.VIEW_FIGURES, counter(code, area)).permitted is seen
    assert policies().decide(who, Action.VIEW_FIGURES, counter(code, area), REASON).permitted is False


def test_names_of_accounts_cannot_reach_into_the_policies() -> None:
    for name in ('x"; permit(principal,action,resource);//', "x\ny", "Role::administrator", '"', "\u202e"):
        who = person(name, Role.SUPERVISOR, areas=[name])
        assert not policies().decide(who, Action.MANAGE_ACCOUNTS).permitted
        assert policies().decide(who, Action.VIEW_FIGURES, counter(name, name)).permitted


@pytest.mark.parametrize(
    ("principal", "resource", "context"),
    [
        (Principal("Person", "lan", Role.ADMINISTRATOR), SERVICE, {}),
        (Principal("Person", "lan", Role.ADMINISTRATOR, {"must_change": "no"}), SERVICE, {}),
        (Principal("Robot", "lan", Role.ADMINISTRATOR), SERVICE, {}),
        (person("lan", Role.ADMINISTRATOR), Resource("Moon"), {}),
        (person("lan", Role.ADMINISTRATOR), SERVICE, {"admin": True}),
    ],
)
def test_what_the_schema_does_not_know_is_refused(
    principal: Principal, resource: Resource, context: dict[str, object]
) -> None:
    assert policies().decide(principal, Action.MANAGE_ACCOUNTS, resource, context).permitted is False


def test_an_edge_sends_until_it_is_revoked() -> None:
    edge = UUID(int=7)
    for action in Action:
        sends = action in {Action.SUBMIT_BATCHES, Action.SUBMIT_LOG, Action.READ_OWN_LOG}
        public = policies().decide(VISITOR, action).permitted
        assert edge_may(edge, action, revoked=False) is (sends or public)
        assert edge_may(edge, action, revoked=True) is public


def test_a_menu_offers_what_a_reason_would_open() -> None:
    officer = Login(Account("lan", Role.PRIVACY_OFFICER, must_change=False, areas=(), counters=()), "csrf")
    assert officer.may("read-consent")
    assert not officer.decide(Action.READ_CONSENT).permitted
    assert not officer.may("manage-accounts")
    with_reason = Login(officer.account, "csrf", Reason(Purpose.BREACH, "YC-1", EARLY))
    assert with_reason.decide(Action.READ_CONSENT).permitted
    assert with_reason.decide(Action.VIEW_FIGURES).permitted, "a reason stands in no one's way"


def test_a_document_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "access.md"
    document.write_text(f"# Access\n{END}\n", "utf-8")
    with pytest.raises(ApiError, match="add them"):
        write_into(document)
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_into(document)
    assert document.read_text("utf-8") == f"before\n{BEGIN}\n{rendered()}\n{END}\nafter\n"


def test_a_decision_costs_less_than_a_signature_check(capsys: pytest.CaptureFixture[str]) -> None:
    """The bound is wide, for a busy machine; what was measured is printed."""
    rounds = 200
    began = time.perf_counter()
    for number in range(rounds):  # each edge anew: the answer to the same question is kept
        assert edge_may(UUID(int=number), Action.SUBMIT_BATCHES, revoked=False)
    each_us = (time.perf_counter() - began) / rounds * 1e6
    with capsys.disabled():
        sys.stdout.write(f"\none decision of the policies: {each_us:.0f} µs\n")
    assert each_us < 20_000


def test_the_policies_are_in_the_wheel(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("api/policies/access.cedar").decode() == POLICIES
        assert archive.read("api/policies/access.cedarschema").decode() == SCHEMA
