"""The officer's pages: their own secret, their own origin."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from capture.commands import edge
from capture.config import KioskConfig
from capture.desk import Desk
from capture.errors import CaptureError
from capture.kiosk import KioskSecret, KioskServer
from capture.officer import SECRET_FILE, OfficerSecret, OfficerServer
from consent.gate import Gate
from consent.ledger import ConsentStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

PATHS = (
    ("GET", "/"),
    ("GET", "/officer"),
    ("GET", "/officer/quay-1"),
    ("GET", "/officer/quay-1/state"),
    ("POST", "/officer/quay-1/next"),
    ("POST", "/officer/quay-1/procedure"),
    ("POST", "/officer/quay-1/finish"),
    ("GET", "/officer/quay-9"),
    ("GET", "/nothing"),
)


class Counter:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ConsentStore(folder / "consent.sqlite")
        self.desk = Desk("quay-1", self.store, Gate(self.store), start_capture=lambda _: None)
        desks = {"quay-1": self.desk}
        self.kiosk = KioskServer(desks, KioskSecret(folder), port=0)
        self.officer = OfficerServer(desks, OfficerSecret(folder), port=0)
        self.kiosk.start()
        self.officer.start()
        self.client = httpx.Client(
            base_url=self.officer.url, headers={"Origin": self.officer.url}, trust_env=False, timeout=30
        )

    def close(self) -> None:
        self.client.close()
        self.officer.stop()
        self.kiosk.stop()
        self.store.close()


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path)
    yield counter
    counter.close()


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_nothing_is_answered_without_the_cookie(counter: Counter, method: str, path: str) -> None:
    for cookie in (None, "", "x" * 64, counter.officer.link.rpartition("=")[2]):
        headers = {} if cookie is None else {"Cookie": f"hailong_officer={cookie}"}
        answer = counter.client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert "officer-link" in answer.text
    assert counter.store.record_ids() == ()


def test_a_refusal_is_the_same_bytes_whatever_happens_at_the_counter(counter: Counter) -> None:
    before = counter.client.get("/officer/quay-1/state").content
    counter.desk.offer()
    assert counter.client.get("/officer/quay-1/state").content == before


def test_the_link_opens_the_pages_and_its_cookie_is_kept_from_scripts(counter: Counter) -> None:
    answer = counter.client.get(counter.officer.link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/officer")
    marks = {mark.strip().lower() for mark in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/officer"} <= marks
    assert OfficerSecret(counter.folder).token() not in answer.headers["set-cookie"]
    assert counter.client.get("/officer").headers["location"] == "/officer/quay-1"
    assert counter.client.post("/officer/quay-1/next").status_code == 303
    assert len(counter.store.record_ids()) == 1


@pytest.mark.parametrize("agrees", [True, False, None])
def test_no_clock_tells_what_the_citizen_chose(counter: Counter, *, agrees: bool | None) -> None:
    counter.client.get(counter.officer.link)
    record_id = counter.desk.offer()
    counter.desk.show(record_id)
    if agrees is not None:
        counter.desk.decide(record_id, dict.fromkeys(counter.desk.purposes, agrees))
    for button in ("procedure", "finish", "next"):
        begun = time.monotonic()
        assert counter.client.post(f"/officer/quay-1/{button}").status_code == 303
        assert time.monotonic() - begun >= 0.25  # a log write is far below one step


@pytest.mark.parametrize("key", ["", "x", "%00", "é" * 50])
def test_a_wrong_link_opens_nothing(counter: Counter, key: str) -> None:
    answer = counter.client.get("/enter", params={"key": key})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_renewed_secret_shuts_out_the_tablet_at_once(counter: Counter) -> None:
    counter.client.get(counter.officer.link)
    assert counter.client.get("/officer/quay-1").status_code == 200
    old = counter.officer.link
    OfficerSecret(counter.folder, renew=True)
    assert counter.client.get("/officer/quay-1").status_code == 403
    assert counter.client.get(old).status_code == 403
    counter.client.get(counter.officer.link)
    assert counter.client.get("/officer/quay-1").status_code == 200


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = OfficerSecret(tmp_path).token()
    assert OfficerSecret(tmp_path).token() == token
    assert len(token) >= 43
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600
    assert (tmp_path / SECRET_FILE).stat().st_uid == os.geteuid()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 50])
def test_a_damaged_secret_lets_nobody_in_and_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(CaptureError, match="officer-link --renew"):
        OfficerSecret(tmp_path)
    assert OfficerSecret(tmp_path, renew=True).opens("") is False


def test_the_citizens_port_has_no_officers_page(counter: Counter) -> None:
    with httpx.Client(base_url=counter.kiosk.url, headers={"Origin": counter.kiosk.url}) as citizen:
        assert citizen.get(counter.kiosk.link).status_code == 303
        for method, path in PATHS[1:7]:
            cookie = {"Cookie": f"hailong_kiosk={KioskSecret(counter.folder).cookie()}"}
            assert citizen.request(method, path, headers=cookie).status_code == 404
        assert "/officer" not in citizen.get("/kiosk/quay-1").text
    assert counter.store.record_ids() == ()


def test_a_script_on_one_page_can_neither_read_nor_act_on_the_other(counter: Counter, page: Page) -> None:
    """One browser holds both pages, the worst case: the cookie goes along, the answer stays shut."""
    page.goto(counter.officer.link)
    page.goto(counter.kiosk.link)
    # The page's own policy forbids the request; without it the other origin's answer is still opaque.
    script = """async ([url, method]) => {
        try {
            const answer = await fetch(url, {method, credentials: "include", mode: "%s"});
            return answer.type + answer.status + (await answer.text());
        } catch (error) { return "refused"; }
    }"""
    for mode in ("cors", "no-cors"):
        for url, method in (("/officer/quay-1/state", "GET"), ("/officer/quay-1/next", "POST")):
            got = page.evaluate(script % mode, [counter.officer.url + url, method])
            assert got == "refused"
    assert counter.store.record_ids() == ()
    cookies = page.evaluate("document.cookie")
    assert cookies == ""
    # The request itself, as a page of the other port would send it, without the policy in the way.
    counter.client.get(counter.officer.link)
    headers = {"Origin": counter.kiosk.url}
    assert counter.client.post("/officer/quay-1/next", headers=headers).status_code == 403
    answer = counter.client.get("/officer/quay-1/state", headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert counter.store.record_ids() == ()


@pytest.mark.parametrize(
    ("kiosk", "port"),
    [({}, 8711), ({"port": 0}, 0), ({"port": 9000}, 9001), ({"officer_port": 9100}, 9100)],
)
def test_the_officers_port(kiosk: dict[str, int], port: int) -> None:
    assert KioskConfig.model_validate(kiosk).port_of_officer == port


@pytest.mark.parametrize("kiosk", [{"port": 65535}, {"port": 9000, "officer_port": 9000}])
def test_two_pages_need_two_ports(kiosk: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="officer_port"):
        KioskConfig.model_validate(kiosk)


def test_the_command_prints_the_link(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        'name = "edge-1"\ndata_dir = "data"\n[kiosk]\nport = 9000\n'
        '[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc"\n'
    )
    run = CliRunner()
    first = run.invoke(edge, ["officer-link", "-c", str(config)])
    assert first.exit_code == 0, first.output
    folder = next(tmp_path.rglob(SECRET_FILE)).parent
    assert first.output.strip() == OfficerSecret(folder).link("http://127.0.0.1:9001")
    assert run.invoke(edge, ["officer-link", "-c", str(config)]).output == first.output
    renewed = run.invoke(edge, ["officer-link", "--renew", "-c", str(config)])
    assert renewed.output != first.output
    config.write_text(config.read_text().replace("9000", "0"))
    unknown = run.invoke(edge, ["officer-link", "-c", str(config)])
    assert unknown.exit_code == 2
    assert "--port" in unknown.output
