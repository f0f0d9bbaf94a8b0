"""Requests, breaches, withdrawals, retention and accesses: what the pages do, in forms and in a browser."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from babel.messages.pofile import read_po

from api.access_log import OVERSIGHT, Access, list_accesses
from api.accounts import Accounts
from api.app import build_app
from api.authorization import Role
from api.breaches import Breaches, Cause, Measure, Nature, Scope
from api.database import Database
from api.enrolment import make_token
from api.eraser import central_eraser, erasure_file
from api.erasure_file import ErasureLine, ReplayMark
from api.form_tokens import form_token
from api.log import Leaf, append_all
from api.requests import Channel, Outcome, RequestKind, Requests, Subject
from api.retention import list_runs, load_rules
from api.settings import Settings
from api.withdrawal_cases import find_case
from api.withdrawals import withdraw_record
from capture.loopback import LoopbackServer
from tests.api.console import OFFICER, Console, console, log_in, state_reason
from tests.api.test_access_log import QUICK
from tests.api.test_pages import READ_BY_AXE, shoot

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
RECORD = UUID("01a200dd-0000-7000-8000-0000000000aa")


@dataclass
class Desk:
    """The service without its background work, and an officer with a stated reason."""

    client: httpx.Client
    database: Database
    accounts: Accounts
    settings: Settings

    def enter(self, role: Role, name: str, *, reason: bool = True) -> None:
        password = self.accounts.create(name, role, actor="t")
        cookie = self.accounts.change_password(name, password, "a sentence of my own")
        self.client.cookies.set("hailong_session", cookie)
        if reason:
            self.post("/reason", purpose="complaint", ticket="YC-7", next="/")

    def post(self, path: str, **fields: Any) -> httpx.Response:
        login = self.accounts.login_of(self.client.cookies["hailong_session"])
        assert login is not None
        return self.client.post(path, data={"csrf": form_token(login.csrf)} | fields)

    def leaves(self, *kinds: str) -> list[dict[str, Any]]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT kind, convert_from(body, 'UTF8')::jsonb FROM central_log "
                "WHERE kind = ANY(%s) ORDER BY idx",
                (list(kinds),),
            ).fetchall()
        return [{"kind": row[0]} | row[1] for row in rows]

    def accesses(self) -> tuple[Access, ...]:
        with self.database.transaction() as connection:
            return list_accesses(connection)


@pytest.fixture
def desk(dsn: str, database: Database, tmp_path: Path) -> Iterator[Desk]:
    settings = Settings.model_validate(
        {"database": {"dsn": dsn}, "pages": {"language": "en"}, "log": {"data_dir": str(tmp_path)}}
    )
    with (
        LoopbackServer(build_app(settings, Database(dsn)), name="test service", key="port") as server,
        httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client,
    ):
        desk = Desk(client, database, Accounts(database, passwords=QUICK), settings)
        desk.enter(Role.PRIVACY_OFFICER, OFFICER)
        yield desk


def local(moment: datetime) -> str:
    """Return a moment as a form's field holds it: Viet Nam's wall clock, to the minute."""
    return (moment.astimezone(UTC) + timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M")


REQUEST = {"kind": "delete", "channel": "post", "reference": "142/YC-UBND", "note": "gọi lại"}
BREACH = {"nature": "lost", "cause": "stolen-device", "scope": ["keys", "signals"], "affected": "12"}


def test_a_request_goes_its_way_with_one_entry_an_act(desk: Desk) -> None:
    arrived = datetime.now(UTC) - timedelta(days=1)
    answer = desk.post("/privacy/requests", received_at=local(arrived), record_id=str(RECORD), **REQUEST)
    assert answer.status_code == 303
    case = answer.headers["location"]
    page = desk.client.get(case).text
    for words in (
        *("Request 1: delete the data", "142-yc-ubnd", "gọi lại", "2 working days", "20 days"),
        *("Decree 356/2025/NĐ-CP, article 5", "vn-pdpl-2026 1.0", "not yet compared with the gazette"),
        *("on time", "not known at the centre, or not yet"),
    ):
        assert words in page, words
    assert desk.post(f"{case}/acknowledge", at=local(datetime.now(UTC))).status_code == 303
    assert desk.post(f"{case}/processor").status_code == 303
    assert "30 days" in desk.client.get(case).text
    assert desk.post(f"{case}/answer", outcome="done-in-part", note="đã gửi").status_code == 303
    page = desk.client.get(case).text
    assert page.count("done in time") >= 3
    assert "đã gửi" in page
    assert f'action="{case}' not in page, "an answered request offers no act"
    told = desk.leaves("request")
    assert [leaf["act"] for leaf in told] == ["received", "acknowledged", "processor-involved", "answered"]
    assert {leaf["actor"] for leaf in told} == {OFFICER}
    assert "gửi" not in str(told)
    assert [leaf["object"] for leaf in desk.leaves("access")] == ["request 1"] * 3


BAD_REQUESTS: tuple[tuple[dict[str, str], str], ...] = (
    ({"kind": ""}, "choose what is asked for"),
    ({"channel": "pigeon"}, "choose how the request arrived"),
    ({"reference": "", "record_id": ""}, "name the receipt, the record"),
    ({"reference": "Nguyễn Văn A"}, "it names no person"),
    ({"record_id": "01a2"}, "copy all 36 characters"),
    ({"received_at": "2031-02-03T04:05"}, "lies in the future"),
    ({"received_at": "0001-01-01T00:00"}, "write a time as day"),
    ({"received_at": "2025-13-40"}, "write a time as day"),
    ({"received_at": "2021-03-04T08:00"}, "no law of this release sets a time for this on 2021-03-04"),
    ({"note": "x" * 201}, "this one has 201"),
    ({"note": "a\0b"}, "a character that cannot be kept"),
)


def test_a_request_that_does_not_fit_comes_back_with_advice_and_what_was_typed(desk: Desk) -> None:
    for typed, advice in BAD_REQUESTS:
        sent = REQUEST | typed
        for language in ("en", "vi"):
            answer = desk.post(f"/privacy/requests?lang={language}", **sent)
            assert answer.status_code == 422
            alert = re.search(r'role="alert">([^<]+)<', answer.text)
            assert alert, typed
            assert (advice in alert[1]) == (language == "en"), typed
            if "note" not in typed:
                assert f'value="{sent["note"]}"' in answer.text
            if sent["kind"]:
                assert '<option value="delete" selected>' in answer.text
    assert desk.leaves("request", "access") == [], "nothing was done, and nothing of anybody was shown"


def test_an_act_that_does_not_fit_shows_the_case_with_advice(desk: Desk) -> None:
    case = desk.post("/privacy/requests", **REQUEST).headers["location"]
    for act, fields, advice in (
        ("answer", {"outcome": ""}, "choose how the request ended"),
        ("answer", {"outcome": "refused", "at": "2026-10-01T08:00"}, "arrived after that"),
        ("acknowledge", {"at": "2099-01-01T08:00"}, "lies in the future"),
    ):
        answer = desk.post(f"{case}/{act}", **fields)
        assert (answer.status_code, advice in answer.text) == (422, True), act
        if fields.get("at"):
            assert f'value="{fields["at"]}"' in answer.text
    assert desk.post(f"{case}/acknowledge").status_code == 303
    assert "was acknowledged before" in desk.post(f"{case}/acknowledge").text
    assert [leaf["act"] for leaf in desk.leaves("request")] == ["received", "acknowledged"]
    assert desk.client.get(f"/privacy/requests/{uuid4()}").status_code == 404


def test_a_form_from_elsewhere_does_nothing(desk: Desk) -> None:
    for path, fields in (
        ("/privacy/requests", REQUEST),
        ("/privacy/breaches", BREACH),
        ("/privacy/retention/run", {"confirmed": "yes"}),
    ):
        assert desk.client.post(path, data=fields | {"csrf": "x"}).status_code == 403
        assert desk.client.post(path, data=fields).status_code == 403
    assert desk.leaves("request", "breach", "retention-run") == []


def test_a_breach_goes_its_way_with_one_entry_an_act(desk: Desk) -> None:
    found = datetime.now(UTC) - timedelta(hours=50)
    case = desk.post("/privacy/breaches", detected_at=local(found), **BREACH).headers["location"]
    page = desk.client.get(case).text
    assert "due soon" in page
    assert re.search(r"(21 h 5\d|22 h 0) min left", page), "hours run, through nights and holidays"
    for words in ("72 hours", "Law 91/2025/QH15", "5 years after the case is closed", "keys, signals of"):
        assert words in page, words
    assert "tell the authority of breach 1 first" in desk.post(f"{case}/close").text
    assert desk.post(f"{case}/measures", measure=["keys-rotated", "device-revoked"]).status_code == 303
    answer = desk.post(f"{case}/measures")
    assert (answer.status_code, "a measure that is not on the list yet" in answer.text) == (422, True)
    answer = desk.post(f"{case}/notify", authority_reference="Số 5 của Bộ", at=local(found))
    assert (answer.status_code, 'value="Số 5 của Bộ"' in answer.text) == (422, True)
    assert desk.post(f"{case}/notify", authority_reference="A05/77-2026").status_code == 303
    assert desk.post(f"{case}/close").status_code == 303
    page = desk.client.get(case).text
    assert "a05-77-2026" in page
    assert "done in time" in page
    assert str(datetime.now(UTC).year + 5) in re.search(r"File kept until</dt><dd>([^<]+)<", page)[1]  # type: ignore[index]  # it fails if there is none
    assert [leaf["act"] for leaf in desk.leaves("breach")] == ["detected", "measures", "notified", "closed"]
    assert "No breach is open." in desk.client.get("/privacy/breaches").text
    assert "Breach 1" in desk.client.get("/privacy/breaches?show=all").text


BAD_BREACHES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"nature": ""}, "choose what happened"),
    ({"cause": ""}, "choose why it happened"),
    ({"scope": []}, "everything it may touch"),
    ({"scope": ["passports"]}, "everything it may touch"),
    ({"affected": "-3"}, "is an estimate"),
    ({"affected": "many"}, "is an estimate"),
    ({"detected_at": "2019-01-01T00:00"}, "sets a time for this on 2019-01-01"),
)


def test_a_breach_that_does_not_fit_comes_back_with_what_was_typed(desk: Desk) -> None:
    for typed, advice in BAD_BREACHES:
        answer = desk.post("/privacy/breaches", **(BREACH | typed))
        assert answer.status_code == 422
        alert = re.search(r'role="alert">([^<]+)<', answer.text)
        assert alert, typed
        assert advice in alert[1]
        if "scope" not in typed:
            assert re.search(r'value="keys" checked', answer.text)
    assert desk.leaves("breach") == []


def test_nobody_affected_is_a_number_too(desk: Desk) -> None:
    case = desk.post("/privacy/breaches", **(BREACH | {"affected": "0"})).headers["location"]
    assert re.search(r"estimated</dt><dd>0</dd>", desk.client.get(case).text)


def test_late_cases_stand_first_and_say_so_in_words(desk: Desk) -> None:
    now = datetime.now(UTC)
    with desk.database.transaction() as connection:
        for days in (1, 40):
            Requests().receive(
                connection,
                RequestKind.VIEW,
                Subject(reference=f"yc-{days}"),
                channel=Channel.EMAIL,
                actor="t",
                received_at=now - timedelta(days=days),
            )
    page = desk.client.get("/privacy/requests").text
    assert page.index("yc-40") < page.index("yc-1<")
    row = page[page.index("yc-40") : page.index("yc-1<")]
    assert row.count('class="standing late">late<') == 2
    assert re.search(r"\d+ d \d+ h over", row)
    assert [item.object for item in desk.accesses()] == ["requests show=open page=1"]


def test_the_retention_says_what_would_go_and_goes_only_when_confirmed(desk: Desk) -> None:
    make_token(desk.database, ["quay-1"], actor="t")
    with desk.database.transaction() as connection:
        connection.execute("UPDATE enrolment_tokens SET expires_at = now() - interval '60 days'")
    page = desk.client.get("/privacy/retention/run").text
    assert re.search(r"enrolment tokens</th><td[^>]*>1</td>", page)
    answer = desk.post("/privacy/retention/run")
    assert (answer.status_code, "tick the box" in answer.text) == (422, True)
    assert desk.leaves("retention-run") == []
    assert desk.post("/privacy/retention/run", confirmed="yes").status_code == 303
    told = desk.leaves("retention-run")
    assert len({leaf["category"] for leaf in told}) == len(told) > 8, "one entry a rule"
    assert {leaf["actor"] for leaf in told} == {OFFICER}
    page = desk.client.get("/privacy/retention").text
    run = page[page.index("Last runs") : page.index("Rules</h2>")]
    assert re.search(r"hoa</span>.*enrolment tokens</td><td[^>]*>1</td>", run)
    assert run.count("<tr>") == 2, "rules that removed nothing are not listed"
    (result,) = [item for item in list_runs(desk.database) if item.removed]
    assert (result.category, result.actor) == ("enrolment-token", OFFICER)
    assert f">{result.log_index}<" in run


def test_who_may_see_the_retention_may_not_all_run_it(desk: Desk) -> None:
    for role in (Role.ADMINISTRATOR, Role.OBSERVER):
        desk.enter(role, role.value, reason=False)
        page = desk.client.get("/privacy/retention")
        assert page.status_code == 200
        assert "/privacy/retention/run" not in page.text
        assert desk.client.get("/privacy/retention/run").status_code == 403
        assert desk.post("/privacy/retention/run", confirmed="yes").status_code == 403
    assert desk.leaves("retention-run") == []


def test_reading_the_access_log_is_one_entry_with_what_was_looked_for(desk: Desk) -> None:
    desk.client.get("/privacy/requests")
    desk.enter(Role.OBSERVER, "minh", reason=False)
    page = desk.client.get(f"/privacy/access?actor={OFFICER}").text
    assert "requests show=open page=1" in page
    assert all(words in page for words in ("opened requests", "complaint", "YC-7", "privacy officer"))
    read, opened = desk.accesses()
    assert (read.actor, read.action, read.purpose, read.ticket) == ("minh", "read-access-log", OVERSIGHT, "")
    assert read.object == f"access log: actor={OFFICER}"
    again = desk.client.get("/privacy/access").text
    assert "oversight of the log" in again
    assert len(desk.accesses()) == 3
    none = desk.client.get(f"/privacy/access?record={RECORD}").text
    assert "No access fits the search." in none
    today = (datetime.now(UTC) + timedelta(hours=7)).date()
    before = desk.client.get(f"/privacy/access?until={today - timedelta(days=1)}").text
    assert "No access fits the search." in before
    assert f">{opened.index}</td>" in desk.client.get(f"/privacy/access?since={today}&until={today}").text


def test_a_search_of_accesses_that_does_not_fit_reads_nothing(desk: Desk) -> None:
    for query in ("record=abc", "since=tomorrow", "since=2026-02-02&until=2026-02-01", "until=9999-12-31"):
        answer = desk.client.get(f"/privacy/access?{query}")
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), query
    assert desk.accesses() == ()


def test_older_accesses_are_on_the_next_page(desk: Desk) -> None:
    body = {"actor": OFFICER, "role": "privacy-officer", "action": "read-consent", "object": "x"}
    with desk.database.transaction() as connection:
        append_all(connection, [Leaf("access", body | {"purpose": "complaint", "ticket": "YC-7"})] * 103)
    page = desk.client.get("/privacy/access?actor=hoa").text
    link = re.search(r'rel="next" href="([^"]+)"', page)
    assert link
    older = desk.client.get(link[1].replace("&amp;", "&")).text
    first = [int(found) for found in re.findall(r'class="num"[^>]*>(\d+)</td>', page)]
    rest = [int(found) for found in re.findall(r'class="num"[^>]*>(\d+)</td>', older)]
    assert (len(first), len(rest)) == (100, 3)
    assert min(first) > max(rest)


def test_the_page_says_when_a_backup_was_restored_and_when_it_was_replayed(desk: Desk) -> None:
    eraser = central_eraser(desk.settings, desk.database)
    page = desk.client.get("/privacy/withdrawals").text
    assert "not since this service was installed" in page
    file = erasure_file(desk.settings)
    file.add(ErasureLine(RECORD, None, "withdrawn", datetime.now(UTC)))
    page = desk.client.get("/privacy/withdrawals").text
    assert "The database does not know 1 erasures of the list" in page
    assert eraser.catch_up() == 1
    mark = file.last_replay()
    assert mark is not None
    assert mark == ReplayMark(mark.at, lines=1, asked=1)
    page = desk.client.get("/privacy/withdrawals").text
    assert "1 erasures compared, 1 asked for again" in page
    assert "the database knows all of them" in page
    file.path.write_text("no list\n")
    assert "is damaged" in desk.client.get("/privacy/withdrawals").text


def test_an_erasure_shows_each_store_and_a_certificate_that_is_checked(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        connection.execute("INSERT INTO erasures (record_id, cause) VALUES (%s, 'request')", (RECORD,))
    path = f"/privacy/withdrawals/{RECORD}"
    assert "Queued: no store was asked yet" in desk.client.get(path).text
    central_eraser(desk.settings, desk.database).run_once()
    page = desk.client.get(path).text
    for words in ("signature right", "hailong/centre/erasure+", "write-ahead-log", "deletion on request"):
        assert words in page, words
    assert "which signs nothing else" in page
    assert page.index("erasure begins") < page.index("erasure complete")
    with desk.database.transaction() as connection:
        connection.execute(
            "UPDATE erasures SET certificate = convert_to(replace(convert_from(certificate, 'UTF8'), "
            "'\"removed\":0', '\"removed\":7'), 'UTF8')"
        )
    page = desk.client.get(path).text
    assert "signature wrong" in page
    assert "a field was changed" in page
    with desk.database.transaction() as connection:
        connection.execute(
            "UPDATE erasure_stores SET state = 'pending', note = 'in the night' WHERE position = 5"
        )
        connection.execute("UPDATE erasures SET state = 'started', certificate = NULL, fault = 'waits'")
    page = desk.client.get(path).text
    assert "in the night" in page
    assert '<span class="standing due-soon">pending</span>' in page
    assert "There is none yet" in page
    assert [item.object for item in desk.accesses()] == [f"withdrawal {RECORD}"] * 4
    assert desk.client.get(f"/privacy/withdrawals/{uuid4()}").status_code == 404


@pytest.fixture(scope="module")
def found(postgres: EmbeddedPostgres, seed: int) -> Iterator[Console]:
    with console(postgres, "privacy_cases", seed=seed) as found, Database(found.central.dsn) as database:
        now = datetime.now(UTC)
        with database.transaction() as connection:
            requests, breaches = Requests(), Breaches()

            def receive(kind: RequestKind, days: float, reference: str, **terms: Any) -> UUID:
                made = requests.receive(
                    connection,
                    kind,
                    Subject(record_id=terms.pop("record_id", None), reference=reference),
                    channel=Channel.COUNTER,
                    actor=OFFICER,
                    received_at=now - timedelta(days=days),
                    **terms,
                )
                return made.request_id

            receive(RequestKind.VIEW, 40, "118-yc-2026", note="đã gọi hai lần")
            soon = receive(RequestKind.WITHDRAW, 14, "131-yc-2026", record_id=found.sent.records["whole"])
            requests.acknowledge(connection, soon, actor=OFFICER, at=now - timedelta(days=13.5))
            receive(RequestKind.DELETE, 0.1, "142-yc-2026", with_processor=True)
            done = receive(RequestKind.COPY, 5, "140-yc-2026")
            requests.answer(connection, done, Outcome.DONE, actor=OFFICER, at=now - timedelta(days=1))
            for hours, nature, scope in (
                (51, Nature.LOST, (Scope.KEYS, Scope.SIGNALS)),
                (5, Nature.DISCLOSED, (Scope.CONSENT_RECORDS,)),
            ):
                case = breaches.detect(
                    connection,
                    nature,
                    Cause.STOLEN_DEVICE,
                    scope,
                    actor=OFFICER,
                    detected_at=now - timedelta(hours=hours),
                    affected=12,
                )
                breaches.measure(connection, case.breach_id, [Measure.KEYS_ROTATED], actor=OFFICER)
        withdraw_record(database, found.sent.records["english"], method="officer", actor=OFFICER)
        yield found


def test_each_side_of_a_withdrawal_is_told_apart(found: Console) -> None:
    with Database(found.central.dsn) as database, database.transaction() as connection:
        cases = {
            name: find_case(connection, found.sent.records[name]) for name in ("late", "withdrawn", "english")
        }
        assert find_case(connection, found.sent.records["whole"]) is None
    late, at_once, asked = cases["late"], cases["withdrawn"], cases["english"]
    assert late is not None
    assert at_once is not None
    assert asked is not None
    assert (late.method, late.actor, late.cause) == ("receipt", None, "withdrawn")
    assert late.edge_erased_at is not None
    assert late.edge_wrote_at == late.asked_at
    assert at_once.edge_wrote_at is not None
    assert (at_once.edge_erased_at, at_once.settled, at_once.settled_at) == (None, False, None)
    assert (asked.method, asked.actor, asked.edge_wrote_at) == ("officer", OFFICER, None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_page_reads_well(new_page: NewPage, found: Console, axe: Axe, lang: str, size: str) -> None:
    page = new_page(viewport=SIZES[size])
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    log_in(page, found, lang)
    state_reason(page, found)
    paths = {
        "withdrawals": "/privacy/withdrawals",
        "withdrawal": f"/privacy/withdrawals/{found.sent.records['late']}",
        "requests": "/privacy/requests",
        "request": "tbody tr:nth-child(2) th a",
        "breaches": "/privacy/breaches",
        "breach": "tbody th a",
        "retention": "/privacy/retention",
        "retention-run": "/privacy/retention/run",
        "access": "/privacy/access",
    }
    for name, path in paths.items():
        if path.startswith("/"):
            answer = page.goto(found.page(path))
            assert answer is not None
            assert answer.status == 200, path
        else:
            page.click(path)
            page.wait_for_selector("dl.facts")
        if size == READ_BY_AXE:
            assert axe(page) == (), name
        metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
        assert metrics["cssContentSize"]["width"] <= SIZES[size]["width"], name
        shoot(page, f"cases-{name}-{lang}-{size}")
    assert faults == []


def test_a_request_is_registered_and_answered_without_a_script(new_page: NewPage, found: Console) -> None:
    page = new_page(java_script_enabled=False)
    log_in(page, found, "vi")
    page.click("nav.second summary")
    page.click("nav.second a:has-text('Yêu cầu')")
    page.select_option("#purpose", "subject-request")
    page.fill("#ticket", "YC-2026/0200")
    page.click("button.main")
    page.select_option("#kind", "correct")
    page.select_option("#channel", "counter")
    page.fill("#reference", "Số hai trăm")
    page.fill("#note", "hẹn thứ hai")
    page.click("button.main")
    assert "không ghi tên người" in page.inner_text("[role=alert]")
    assert page.input_value("#reference") == "Số hai trăm"
    assert page.input_value("#note") == "hẹn thứ hai"
    page.fill("#reference", "200/YC")
    page.click("button.main")
    assert "chỉnh sửa dữ liệu" in page.inner_text("h1")
    page.select_option("#outcome", "done")
    page.click("form[action$=answer] button")
    assert page.locator(".standing.done").count() >= 2
    assert "đã trả lời" in page.inner_text("main")


def test_every_text_of_the_pages_code_is_translated() -> None:
    """What templates say is checked with the templates; this is what handlers and refusals say."""
    text = files("api").joinpath("translations", "vi.po").read_bytes()
    known = {message.id for message in read_po(io.BytesIO(text), locale="vi") if message.string}
    asked = set()
    sources = {path: "no_op" for path in files("api.pages").iterdir() if path.name.endswith(".py")}
    sources |= {files("api").joinpath(f"{name}.py"): "CaseRefused" for name in ("requests", "breaches")}
    for path, function in sources.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
                (first, *_) = node.args
                assert isinstance(first, ast.Constant), ast.unparse(node)
                asked.add(first.value)
    asked |= {rule.source for rule in load_rules()}
    assert len(asked) > 150
    assert asked - known == set()
