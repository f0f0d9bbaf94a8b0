"""Source systems: tokens shown once, revocation, pace, the page and the commands of the administrator."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from api.accounts import Accounts
from api.authorization import Action, Role
from api.errors import CaseRefused, TokenRefused
from api.language import gettext_of, language_asked
from api.pages.sources import REFUSALS
from api.survey.channels import IMPORTED, Channel
from api.survey.deliveries import JSON, Pace
from api.survey.source_commands import source
from api.survey.source_systems import (
    Bounds,
    add_source,
    authenticated,
    list_sources,
    revoke_source,
)
from tests.api.running import PASSWORD
from tests.api.source_centre import A_MINUTE, PATH, Centre, ballot, source_centre
from tests.api.test_pages import shoot

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

NOBODY = "hls_" + "A" * 43


@pytest.fixture(scope="module")
def centre(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    with source_centre(postgres, "source_systems", tmp_path_factory.mktemp("log")) as found:
        yield found


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", f"Bearer {NOBODY}", "Bearer ' OR 1=1 --", "Basic aWdhdGU6eA==", "Bearer {revoked}"],
)
def test_without_a_token_that_holds_nothing_is_taken(centre: Centre, header: str | None) -> None:
    revoked = add_source(centre.database, "cu", [Channel.ONLINE], actor="t")
    assert authenticated(centre.database, revoked, Action.SUBMIT_BALLOTS).name == "cu"
    revoke_source(centre.database, "cu", actor="t")
    headers = {"Content-Type": JSON}
    if header is not None:
        headers["Authorization"] = header.format(revoked=revoked)
    before = centre.count()
    for answer in (
        centre.client.post(PATH, json={"ballots": [ballot("nobody")]}, headers=headers),
        centre.client.get(f"{PATH}/{UUID(int=1)}", headers=headers),
    ):
        assert (answer.status_code, answer.json()["kind"]) == (401, "not-authenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert centre.count() == before


def test_a_unit_is_of_an_area_on_its_days_only() -> None:
    bounds = Bounds(frozenset(IMPORTED), {"u": ((date(2026, 1, 1), date(2026, 3, 1)),)})
    days = {
        date(2025, 12, 31): False,
        date(2026, 1, 1): True,
        date(2026, 2, 28): True,
        date(2026, 3, 1): False,
    }
    assert {day: bounds.hold("u", day) for day in days} == days
    assert not bounds.hold("other", date(2026, 1, 1))
    assert Bounds(frozenset(IMPORTED)).hold("other", date(2026, 1, 1))


def test_a_system_sends_so_many_a_minute_and_no_more() -> None:
    pace = Pace(3)
    one, other = UUID(int=1), UUID(int=2)
    assert [pace.allows(one, at) for at in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]
    assert pace.allows(other, 3.0)
    assert [pace.allows(one, at) for at in (59.9, 60.0, 60.5, 61.0)] == [False, True, False, True]


def test_too_many_bodies_are_told_when_to_come_again(centre: Centre) -> None:
    centre.tokens["nhanh"] = add_source(centre.database, "nhanh", [Channel.SMS], actor="t")
    found = Counter(centre.send(b"", "nhanh").status_code for _ in range(A_MINUTE + 1))
    assert found == {400: A_MINUTE, 429: 1}
    refused = centre.send(b"", "nhanh")
    assert (refused.json()["kind"], refused.headers["Retry-After"]) == ("too-many-imports", "60")
    assert centre.send(b"").status_code == 400, "others are not held up"


def test_a_token_is_kept_as_a_hash_and_every_act_is_logged(centre: Centre) -> None:
    token = add_source(centre.database, "mot-lan", [Channel.SMS, Channel.PORTAL], actor="lan", area="u-main")
    with pytest.raises(CaseRefused, match="already"):
        add_source(centre.database, "mot-lan", [Channel.SMS], actor="lan")
    assert next(item for item in list_sources(centre.database) if item.name == "mot-lan").last_used_at is None
    authenticated(centre.database, token, Action.READ_OWN_IMPORTS)
    found = next(item for item in list_sources(centre.database) if item.name == "mot-lan")
    assert (found.channels, found.area, found.last_used_at is None) == (
        (Channel.PORTAL, Channel.SMS),
        "u-main",
        False,
    )
    revoke_source(centre.database, "mot-lan", actor="minh")
    for stale in (token, NOBODY):
        with pytest.raises(TokenRefused):
            authenticated(centre.database, stale, Action.SUBMIT_BALLOTS)
    with pytest.raises(CaseRefused, match="no active"):
        revoke_source(centre.database, "mot-lan", actor="minh")
    assert add_source(centre.database, "mot-lan", [Channel.SMS], actor="lan") != token, (
        "a new token, the same name"
    )
    with centre.database.transaction() as connection:
        rows = str(connection.execute("SELECT * FROM source_systems").fetchall())
        leaves = connection.execute(
            "SELECT convert_from(body, 'UTF8')::jsonb FROM central_log WHERE kind = 'account' ORDER BY idx"
        ).fetchall()
    acts = [(leaf["act"], leaf["object"]) for (leaf,) in leaves if leaf["object"].startswith("mot-lan")]
    assert token.removeprefix("hls_") not in rows
    assert acts == [
        ("source-added", "mot-lan: portal,sms in u-main"),
        ("source-revoked", "mot-lan"),
        ("source-added", "mot-lan: sms"),
    ]


@pytest.mark.parametrize(
    ("name", "channels", "area", "message"),
    [
        ("Một cửa", [Channel.SMS], "", "lower-case"),
        ("a" * 65, [Channel.SMS], "", "lower-case"),
        ("", [Channel.SMS], "", "lower-case"),
        ("x", [], "", "one or more channels"),
        ("x", [Channel.SMS, Channel.KIOSK], "", "screen at the counter"),
        ("x", [Channel.SMS], "nowhere", "has no 'nowhere'"),
    ],
)
def test_a_system_that_cannot_be_added(
    centre: Centre, name: str, channels: list[Channel], area: str, message: str
) -> None:
    before = list_sources(centre.database)
    with pytest.raises(CaseRefused, match=message):
        add_source(centre.database, name, channels, actor="t", area=area)
    assert list_sources(centre.database) == before


def test_the_administrator_makes_and_revokes_tokens_on_a_page(centre: Centre) -> None:
    accounts = Accounts(centre.database)
    cookie = accounts.change_password("chi", accounts.create("chi", Role.ADMINISTRATOR, actor="t"), PASSWORD)
    asked = {"Cookie": f"hailong_language=vi; hailong_session={cookie}"}
    page = centre.client.get("/sources", headers=asked).text
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    form = {"csrf": found[1], "name": "Cong-Dvc", "channels": ["portal", "sms"], "area": "u-main"}
    made = centre.client.post("/sources", data=form, headers=asked)
    token = re.search(r"<code>(hls_[^<]+)</code>", made.text)
    assert (made.status_code, token is not None) == (200, True)
    assert token is not None
    assert authenticated(centre.database, token[1], Action.SUBMIT_BALLOTS).area == "u-main"
    again = centre.client.post("/sources", data=form, headers=asked)
    assert (again.status_code, "Đã có hệ thống &#39;cong-dvc&#39;" in again.text) == (422, True)
    page = centre.client.get("/sources", headers=asked).text
    assert token[1] not in page, "it is shown once"
    assert re.search(r"cong-dvc</th>.*Tin nhắn.*u-main", page, re.DOTALL)
    assert centre.send({"ballots": [ballot("shown", channel="sms")]}, token[1]).json()["kept"] == 1
    assert "source:cong-dvc" in centre.client.get("/imports", headers=asked).text
    act = {"csrf": found[1], "name": "cong-dvc"}
    assert centre.client.post("/sources/revoke", data=act, headers=asked).status_code == 200
    assert centre.client.post("/sources/revoke", data=act, headers=asked).status_code == 422
    assert centre.send({"ballots": [ballot("revoked")]}, token[1]).status_code == 401


def test_the_command_makes_lists_and_revokes_tokens(centre: Centre, tmp_path: Path) -> None:
    config = tmp_path / "central.toml"
    config.write_text(
        f'[database]\ndsn = "{centre.database.dsn}"\n[log]\ndata_dir = "{centre.log_folder}"\n', "utf-8"
    )

    def run(*words: str) -> Result:
        return CliRunner().invoke(source, [*words, "-c", str(config)])

    made = run("add", "lenh", "--channel", "sms", "--channel", "call")
    token = made.stdout.strip()
    assert authenticated(centre.database, token, Action.SUBMIT_BALLOTS).created_by == "command"
    assert "lenh: call, sms; last used " in run("list").stdout
    listed = json.loads(run("list", "--json").stdout)
    assert next(item for item in listed if item["name"] == "lenh")["channels"] == ["call", "sms"]
    assert token not in json.dumps(listed)
    twice = run("add", "lenh", "--channel", "sms")
    assert (twice.exit_code, "already" in twice.stderr) == (1, True)
    assert run("revoke", "lenh").stdout == "revoked lenh\n"
    assert run("revoke", "lenh").exit_code == 1
    with pytest.raises(TokenRefused):
        authenticated(centre.database, token, Action.SUBMIT_BALLOTS)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "vi"),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("vi;q=0.2, en;q=0.3", "en"),
        ("fr, en;q=0.1", "en"),
        ("fr", "vi"),
        ("en;q=0", "vi"),
        ("en;q=2", "vi"),
        ("vi, en", "vi"),
        ("en;" * 400, "vi"),
    ],
)
def test_the_language_is_the_one_that_is_liked_best(header: str, language: str) -> None:
    assert language_asked(header, "vi") == language


def test_every_text_for_systems_and_their_page_is_translated() -> None:
    assert [text for text in REFUSALS if gettext_of("vi")(text) == text] == []


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_page_can_be_used_by_everybody_on_a_phone(
    new_page: NewPage, centre: Centre, axe: Axe, lang: str
) -> None:
    accounts = Accounts(centre.database)
    name = f"dung-{lang}"
    accounts.change_password(name, accounts.create(name, Role.ADMINISTRATOR, actor="t"), PASSWORD)
    page = new_page(viewport={"width": 390, "height": 844})
    address = str(centre.client.base_url)
    page.goto(f"{address}/login?lang={lang}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("nav")
    page.goto(f"{address}/sources")
    page.fill("#name", f"cong-{lang}")
    page.check("#channel-portal")
    page.click("button.main")
    token = page.inner_text(".secret code")
    shoot(page, f"sources-{lang}")
    assert authenticated(centre.database, token, Action.SUBMIT_BALLOTS).channels == (Channel.PORTAL,)
    assert axe(page) == ()
    metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
    assert metrics["cssContentSize"]["width"] <= 390
