"""The kiosk over real HTTP: who may post, what an answer is, what the officer sees."""

from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from capture.commands import edge
from capture.desk import Desk
from capture.desk_view import Phase
from capture.errors import PortTaken
from capture.kiosk import SECRET_FILE, KioskNotLocal, KioskSecret, KioskServer
from capture.officer import OfficerSecret, OfficerServer
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import IndicatedBy, NoticeReference
from consent.state import State
from tests.capture.kiosks import PROCEDURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOTH = (Purpose.IMAGE, Purpose.VOICE)


class Counter:
    """One counter with its page, and what was captured at it."""

    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite")
        self.grants: list[Grant] = []
        self.desk = Desk(
            "quay-1",
            self.store,
            Gate(self.store),
            start_capture=self.grants.append,
            procedures=PROCEDURES,
        )
        self.folder = folder
        self.server = KioskServer({"quay-1": self.desk}, KioskSecret(folder), port=0)
        self.server.start()
        self.client = httpx.Client(
            base_url=self.server.url, headers={"Origin": self.server.url}, follow_redirects=True, timeout=30
        )
        self.client.get(self.server.link).raise_for_status()
        self.officer_server = OfficerServer({"quay-1": self.desk}, OfficerSecret(folder), port=0)
        self.officer_server.start()
        self.officer = httpx.Client(
            base_url=self.officer_server.url,
            headers={"Origin": self.officer_server.url},
            follow_redirects=True,
            timeout=30,
        )
        self.officer.get(self.officer_server.link).raise_for_status()

    def post(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        return self.client.post(path, data=data, headers=headers)

    def answer(self, **answers: str) -> httpx.Response:
        record = str(self.desk.view().record_id)
        return self.post("/kiosk/quay-1/decision", {"record": record, "lang": "vi", **answers})

    def close(self) -> None:
        self.client.close()
        self.officer.close()
        self.officer_server.stop()
        self.server.stop()
        self.store.close()


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path)
    yield counter
    counter.close()


def test_the_page_shows_the_very_bytes_whose_hash_is_in_the_record(counter: Counter) -> None:
    record_id = counter.desk.offer()
    for language in ("vi", "en"):
        page = counter.client.get(f"/kiosk/quay-1?lang={language}").text
        notice = NoticeShelf.load().current(language)
        at = 0
        for part in (notice.opening(), notice.choice(Purpose.IMAGE), notice.choice(Purpose.VOICE)):
            at = page.index(part, at) + len(part)
        assert page.count(f"<span>{notice.agree}</span>") == page.count(f"<span>{notice.refuse}</span>") == 2
        shown: list[NoticeReference] = [
            item.event.notice
            for item in counter.store.events(record_id)
            if item.event.notice is not None and item.event.notice.language == language
        ]
        assert notice.reference(BOTH) in shown


def test_nothing_is_chosen_beforehand(counter: Counter) -> None:
    counter.desk.offer()
    page = counter.client.get("/kiosk/quay-1").text
    assert page.count('type="radio"') == 4
    assert "checked" not in page
    assert "autofocus" not in page


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"image": "yes"},
        {"image": "yes", "voice": ""},
        {"image": "on", "voice": "on"},
        {"image": "yes", "voice": "YES"},
    ],
)
def test_an_incomplete_answer_gives_nothing_and_asks_again(counter: Counter, answers: dict[str, str]) -> None:
    counter.desk.offer()
    counter.client.get("/kiosk/quay-1")
    response = counter.answer(**answers)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert counter.desk.view().state is State.OFFERED
    assert counter.grants == []


def test_an_answer_to_a_question_nobody_saw_gives_nothing(counter: Counter) -> None:
    counter.desk.offer()
    counter.answer(image="yes", voice="yes")
    assert counter.desk.view().state is State.OFFERED
    assert counter.grants == []


def test_a_second_tap_changes_nothing(counter: Counter) -> None:
    counter.desk.offer()
    counter.client.get("/kiosk/quay-1")
    counter.answer(image="no", voice="no")
    counter.answer(image="yes", voice="yes")
    assert counter.desk.view().state is State.REFUSED
    assert counter.grants == []


def test_a_page_of_the_citizen_before_decides_nothing(counter: Counter) -> None:
    old = counter.desk.offer()
    counter.client.get("/kiosk/quay-1")
    counter.desk.offer()
    counter.client.get("/kiosk/quay-1")
    counter.post("/kiosk/quay-1/decision", {"record": str(old), "image": "yes", "voice": "yes"})
    assert counter.desk.view().state is State.OFFERED
    assert counter.grants == []


def test_withdrawal_by_the_button_ends_the_grant(counter: Counter) -> None:
    record_id = counter.desk.offer()
    counter.client.get("/kiosk/quay-1")
    assert "withdrawal" in counter.answer(image="yes", voice="no").text
    (grant,) = counter.grants
    assert grant.purposes == {Purpose.IMAGE}
    assert grant.live(Purpose.IMAGE)
    page = counter.post("/kiosk/quay-1/withdrawal", {"record": str(record_id)}).text
    assert "Đã rút lại đồng ý" in page
    assert grant.ended()
    assert counter.store.state(record_id) is State.WITHDRAWN


@pytest.mark.parametrize("child", [False, True])
def test_the_officer_sees_the_same_bytes_whatever_was_chosen(counter: Counter, *, child: bool) -> None:
    """Nor whether a second face stopped it; with `child`, the officer presses the switch in the service."""
    seen: list[tuple[bytes, ...]] = []
    choices = ({"image": "yes", "voice": "yes"}, {"image": "no", "voice": "no"}, None, "withdraw", "second")
    for answers in choices:
        views = [counter.officer.post("/officer/quay-1/next")]
        counter.client.get("/kiosk/quay-1")
        if isinstance(answers, dict):
            counter.answer(**answers)
        elif answers == "withdraw":
            counter.answer(image="yes", voice="yes")
            record_id = str(counter.desk.view().record_id)
            counter.post("/kiosk/quay-1/withdrawal", {"record": record_id})
        elif answers == "second":
            counter.answer(image="yes", voice="yes")
            seen_at = counter.store.record_ids()[-1]
            counter.store.apply(seen_at, State.REVOKED, IndicatedBy.CONTROLLER, "second-face")
        if child:
            views += [counter.officer.post("/officer/quay-1/child") for _ in range(2)]
        views += [
            counter.officer.post("/officer/quay-1/procedure", data={"procedure": code})
            for code in (PROCEDURES[0].code, "", PROCEDURES[1].code, "none-of-them")
        ]
        views += [counter.officer.get("/officer/quay-1"), counter.officer.get("/officer/quay-1/state")]
        views += [
            counter.officer.post("/officer/quay-1/finish"),
            counter.officer.get("/officer/quay-1/state"),
        ]
        seen.append(tuple(b"%d %b" % (view.status_code, view.content) for view in views))
    states = [counter.store.state(record) for record in counter.store.record_ids()]
    given = State.REVOKED if child else State.COMPLETED
    assert states == [given, State.REFUSED, State.DEFERRED, State.WITHDRAWN, State.REVOKED]
    methods = [item.event.method for item in counter.store.events()]
    assert methods.count("accompanied-child") == (2 if child else 0)
    assert len(set(seen)) == 1
    assert b'"service":"open"' in seen[0][-3]
    assert b'"service":"closed"' in seen[0][-1]


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/kiosk/quay-1", "GET", {"Host": "kiosk.example.com"}),
        ("/officer/quay-1", "GET", {"Host": "192.0.2.7:8710"}),
        ("/kiosk/quay-1", "GET", {"Host": ""}),
        ("/kiosk/quay-1", "GET", {"Host": "[::1"}),
        ("/officer/quay-1/next", "POST", {"Origin": "http://evil.example.com"}),
        ("/officer/quay-1/next", "POST", {"Origin": "null"}),
        ("/officer/quay-1/next", "POST", {"Origin": "http://127.0.0.1:1"}),
    ],
)
def test_pages_of_others_are_refused(
    counter: Counter, path: str, method: str, headers: dict[str, str]
) -> None:
    client = counter.officer if path.startswith("/officer") else counter.client
    response = client.request(method, path, headers=headers)
    assert response.status_code == 403
    assert "machine" in response.text
    assert counter.store.record_ids() == ()


def test_a_form_without_an_origin_is_refused(counter: Counter) -> None:
    counter.officer.headers.pop("Origin")
    response = counter.officer.post("/officer/quay-1/next")
    assert (response.status_code, "machine" in response.text) == (403, True)
    assert counter.store.record_ids() == ()


def test_every_answer_forbids_what_comes_from_elsewhere(counter: Counter) -> None:
    for path in ("/kiosk/quay-1", "/officer/quay-1", "/static/kiosk.css", "/nothing"):
        client = counter.officer if path.startswith("/officer") else counter.client
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"].endswith("no-store")


def test_unknown_counter_and_broken_record_say_so(counter: Counter) -> None:
    response = counter.client.get("/kiosk/quay-9")
    assert response.status_code == 404
    assert "quay-1" in response.text
    response = counter.post("/kiosk/quay-1/withdrawal", {"record": "no id"})
    assert response.status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "kiosk.example.com", ""])  # noqa: S104 - refused
def test_only_loopback_is_served(tmp_path: Path, host: str) -> None:
    with pytest.raises(KioskNotLocal, match=r"edge\.toml"):
        KioskServer({}, KioskSecret(tmp_path), host=host)


def test_a_taken_port_names_port_and_key(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"{port}.*\[kiosk\] in edge\.toml"):
            KioskServer({}, KioskSecret(tmp_path), port=port)


def test_the_service_goes_on_when_the_log_cannot_be_written(counter: Counter) -> None:
    counter.store.log._writer.execute("PRAGMA max_page_count = 1")
    counter.store.log._writer.execute("PRAGMA query_only = ON")
    before = counter.officer.get("/officer/quay-1/state").json()
    after = counter.officer.post("/officer/quay-1/next")
    assert after.status_code == 200
    assert (before["service"], counter.officer.get("/officer/quay-1/state").json()["service"]) == (
        "closed",
        "open",
    )
    view = counter.desk.view()
    assert (view.phase, view.capture_on, view.record_id) == (Phase.SERVING, False, None)
    assert counter.client.get("/kiosk/quay-1").status_code == 200


SCREEN = (
    ("GET", "/"),
    ("GET", "/kiosk"),
    ("GET", "/kiosk/quay-1"),
    ("GET", "/kiosk/quay-1/screen"),
    ("GET", "/kiosk/quay-1/notice.wav"),
    ("GET", "/kiosk/quay-1/receipt"),
    ("GET", "/kiosk/quay-1/withdraw"),
    ("POST", "/kiosk/quay-1/decision"),
    ("POST", "/kiosk/quay-1/withdrawal"),
    ("POST", "/kiosk/quay-1/rating"),
    ("POST", "/kiosk/quay-1/receipt/done"),
    ("GET", "/kiosk/quay-9"),
)


def test_a_browser_without_the_link_sees_the_same_refusal_whatever_was_chosen(counter: Counter) -> None:
    """The officer's browser, on the same machine, asks the citizen's port."""
    seen: dict[tuple[str, str], set[bytes]] = {path: set() for path in SCREEN}
    kiosk = counter.server.url
    officer = httpx.Client(base_url=kiosk, headers={"Origin": kiosk}, timeout=30, trust_env=False)
    officer.cookies = counter.officer.cookies
    with officer:

        def look() -> None:
            for method, path in SCREEN:
                for cookie in ({}, {"Cookie": f"hailong_kiosk={'x' * 64}"}):
                    answer = officer.request(method, path, headers=cookie)
                    assert answer.status_code == 403
                    assert "hailong edge kiosk-link" in answer.text
                    headers = sorted((k, v) for k, v in answer.headers.items() if k != "date")
                    seen[method, path].add(answer.content + repr(headers).encode())

        look()
        for answer in ("yes", "no", None):
            counter.desk.offer()
            look()
            counter.client.get("/kiosk/quay-1")
            if answer is not None:
                counter.answer(image=answer, voice=answer)
            look()
            counter.desk.finish()
            look()
    assert {len(answers) for answers in seen.values()} == {1}
    assert [counter.store.state(record) for record in counter.store.record_ids()] == [
        State.COMPLETED,
        State.REFUSED,
        State.DEFERRED,
    ]


def test_the_link_opens_the_screen_and_its_cookie_is_kept_from_scripts(counter: Counter) -> None:
    with httpx.Client(base_url=counter.server.url, timeout=30, trust_env=False) as browser:
        answer = browser.get(counter.server.link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/kiosk")
        marks = {mark.strip().lower() for mark in answer.headers["set-cookie"].split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/kiosk"} <= marks
        assert KioskSecret(counter.folder).token() not in answer.headers["set-cookie"]
        assert browser.get("/kiosk").headers["location"] == "/kiosk/quay-1"
        assert browser.get("/kiosk/quay-1").status_code == 200
        named = browser.get(f"{counter.server.link}&counter=quay-1")
        assert named.headers["location"] == "/kiosk/quay-1"
        other = browser.get(f"{counter.server.link}&counter=//evil.example")
        assert other.headers["location"] == "/kiosk"
        KioskSecret(counter.folder, renew=True)
        assert browser.get("/kiosk/quay-1").status_code == 403


def test_neither_sides_secret_opens_the_other(counter: Counter) -> None:
    kiosk, officer = KioskSecret(counter.folder), OfficerSecret(counter.folder)
    assert stat.S_IMODE((counter.folder / SECRET_FILE).stat().st_mode) == 0o600
    assert not kiosk.opens(officer.token())
    assert not officer.opens(kiosk.token())
    assert not kiosk.admits(officer.cookie())
    assert not officer.admits(kiosk.cookie())
    assert httpx.get(officer.link(counter.server.url), trust_env=False).status_code == 403


def test_the_command_prints_one_link_a_screen(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    counters = '[[counters]]\ncode = "{}"\ncamera = "lavfi:testsrc"\n'
    config.write_text('data_dir = "data"\n[kiosk]\nport = 9000\n' + counters.format("quay-1"))
    run = CliRunner()
    first = run.invoke(edge, ["kiosk-link", "-c", str(config)])
    link = KioskSecret(tmp_path / "data").link("http://127.0.0.1:9000")
    assert (first.exit_code, first.output) == (0, f"{link}\n")
    config.write_text(config.read_text() + counters.format("quay-2"))
    both = run.invoke(edge, ["kiosk-link", "-c", str(config)])
    assert both.output == f"{link}&counter=quay-1\n{link}&counter=quay-2\n"
    assert run.invoke(edge, ["kiosk-link", "--renew", "-c", str(config)]).output != both.output
    config.write_text(config.read_text().replace("9000", "0"))
    unknown = run.invoke(edge, ["kiosk-link", "-c", str(config)])
    assert (unknown.exit_code, "--port" in unknown.output) == (2, True)
