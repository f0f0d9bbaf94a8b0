"""The log's page and the exports: computed, signed, told of, and checked by code that needs no centre."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from typer.testing import CliRunner

from api.access_log import list_accesses
from api.accounts import Accounts
from api.audit_commands import audit
from api.continuity import check_continuity
from api.database import Database
from api.errors import ExportRefused
from api.exports import COLUMNS, harmless, past_exports
from api.signed_files import check_file
from api.trends import local_today
from consent.errors import ProofRefused
from tests.api.console import OBSERVER, OFFICER, Console, console, log_in
from tests.api.running import PASSWORD

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
RUN = CliRunner()


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres) -> Iterator[Console]:
    with console(postgres, "privacy_log", seed=3) as found:
        yield found


def client_of(house: Console, name: str) -> httpx.Client:
    with Database(house.central.dsn) as database:
        session = Accounts(database).log_in(name, PASSWORD, address="t")
    cookies = {"hailong_session": session or "", "hailong_language": "en"}
    return httpx.Client(base_url=house.central.address, timeout=30, trust_env=False, cookies=cookies)


@pytest.fixture
def officer(house: Console) -> Iterator[httpx.Client]:
    with client_of(house, OFFICER) as client:
        state = {"csrf": token(client), "purpose": "inspection", "ticket": "TT-9", "next": "/"}
        assert client.post("/reason", data=state).status_code == 303
        yield client


@pytest.fixture
def observer(house: Console) -> Iterator[httpx.Client]:
    with client_of(house, OBSERVER) as client:
        yield client


def token(client: httpx.Client, path: str = "/privacy/log") -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def keys(client: httpx.Client, use: str) -> list[str]:
    lines = client.get("/log/keys").text.splitlines()
    return [line.split(" ", 3)[3] for line in lines if line.startswith(f"{use} ")]


def leaves(house: Console, kind: str) -> int:
    with psycopg.connect(house.central.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM central_log WHERE kind = %s", (kind,)).fetchone()
    assert row is not None
    return int(row[0])


def shoot(page: Any, name: str) -> None:
    """Keep a picture where HAILONG_SHOTS says."""
    folder = os.environ.get("HAILONG_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"log-{name}.png", full_page=True)


def unpack(answer: httpx.Response) -> tuple[str, bytes, bytes]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        name = next(item for item in archive.namelist() if not item.endswith((".sig", ".txt")))
        return name, archive.read(name), archive.read(f"{name}.sig")


def test_the_page_says_unwitnessed_in_words_and_shows_edges(observer: httpx.Client) -> None:
    page = observer.get("/privacy/log").text
    assert "UNWITNESSED" in page
    assert "No outside witness is set up" in page
    assert "hailong/centre/" in page
    assert ">edge-" in page or "Folded in" in page


def test_the_check_runs_and_counts(house: Console, observer: httpx.Client) -> None:
    entries = sum(leaves(house, kind) for kind in ("genesis", "edge-checkpoint"))
    answer = observer.post("/privacy/log/check", data={"csrf": token(observer)})
    assert answer.headers["location"] == "/privacy/log/check"
    deadline = time.monotonic() + 30
    while "refresh" in (page := observer.get("/privacy/log/check")).headers:
        assert page.headers["refresh"] == "2"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "WHOLE" in page.text
    counted = re.search(r"Entries hashed</dt><dd>(\d+)<", page.text)
    assert counted
    assert int(counted[1]) >= entries > 5
    assert re.search(r"Checkpoints whose signatures hold</dt><dd>[1-9]", page.text)


def test_the_check_finds_an_altered_entry(house: Console, observer: httpx.Client) -> None:
    with psycopg.connect(house.central.dsn, autocommit=True) as connection:
        kept = connection.execute("SELECT body FROM central_log WHERE idx = 3").fetchone()
        assert kept is not None
        change = "UPDATE central_log SET body = %s WHERE idx = 3"
        connection.execute("ALTER TABLE central_log DISABLE TRIGGER USER")
        connection.execute(change, (bytes(kept[0]).replace(b"2", b"3", 1),))
        try:
            observer.post("/privacy/log/check", data={"csrf": token(observer)})
            deadline = time.monotonic() + 30
            while "refresh" in (page := observer.get("/privacy/log/check")).headers:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            connection.execute(change, (kept[0],))
            connection.execute("ALTER TABLE central_log ENABLE TRIGGER USER")
    assert "BROKEN at entry 3" in page.text
    assert "WHOLE" not in page.text


def test_nothing_was_altered_since_a_kept_checkpoint(
    observer: httpx.Client, officer: httpx.Client, tmp_path: Path
) -> None:
    kept = observer.get("/log/checkpoint").text
    officer.get("/privacy/consents")  # the log grows by an access
    deadline = time.monotonic() + 30
    while observer.get("/log/checkpoint").text == kept:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    form = {"csrf": token(observer), "note": kept.replace("\n", "\r\n")}
    page = observer.post("/privacy/log/continuity", data=form)
    assert "NOT ALTERED" in page.text
    size = int(kept.split("\n")[1])
    proof = observer.get(f"/privacy/log/continuity.json?size={size}")
    (tmp_path / "proof.json").write_bytes(proof.content)
    own = keys(observer, "centre")
    run = ["verify-proof", str(tmp_path / "proof.json"), *(part for key in own for part in ("--key", key))]
    told = RUN.invoke(audit, run)
    assert (told.exit_code, f"same {size}, byte for byte" in told.output) == (0, True)
    document = json.loads(proof.content)
    document["proof"] = [*document["proof"][:-1], document["old_root"]]
    with pytest.raises(ProofRefused):
        check_continuity(json.dumps(document).encode(), own)
    with pytest.raises(ExportRefused):
        check_continuity(b"[]", own)


def test_a_changed_or_foreign_checkpoint_proves_nothing(observer: httpx.Client) -> None:
    note = observer.get("/log/checkpoint").text
    origin, size, rest = note.split("\n", 2)
    for text in (
        "",
        "x",
        f"{origin}\n{int(size) - 1}\n{rest}",
        note.replace(origin, origin + "0"),
        note[:-20],
    ):
        page = observer.post("/privacy/log/continuity", data={"csrf": token(observer), "note": text})
        assert (page.status_code, "NOT ALTERED" in page.text) == (422, False)
        assert "no checkpoint of this log" in page.text


def test_since_a_day_says_what_it_rests_on(observer: httpx.Client) -> None:
    today, before = local_today().isoformat(), (local_today() - timedelta(days=400)).isoformat()
    page = observer.get("/privacy/log/continuity", params={"day": today})
    assert "NOT ALTERED" in page.text
    assert "did not exist" in observer.get("/privacy/log/continuity", params={"day": before}).text
    assert observer.get("/privacy/log/continuity", params={"day": "soon"}).status_code == 422


def test_a_search_leaves_signed_and_told_of_once(
    house: Console, officer: httpx.Client, tmp_path: Path
) -> None:
    before = leaves(house, "access"), leaves(house, "export")
    answer = officer.get("/privacy/exports/consents?state=refused")
    name, data, note = unpack(answer)
    assert (leaves(house, "access"), leaves(house, "export")) == (before[0] + 1, before[1] + 1)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert {row["state"] for row in rows} == {"refused"}
    assert str(house.sent.records["refused"]) in {row["record_id"] for row in rows}
    assert tuple(rows[0]) == COLUMNS
    assert "withdrawal_digest" not in COLUMNS
    vkey = keys(officer, "export")[0]
    statement = check_file(data, note, [vkey])
    with Database(house.central.dsn) as database, database.transaction() as connection:
        newest = past_exports(connection)[0]
        read = list_accesses(connection, actor=OFFICER)[0]
    assert (newest.index, dict(newest.files)) == (statement.index, {name: statement.sha256})
    assert (read.action, read.object, read.ticket) == ("export", "state=refused&format=csv", "TT-9")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "sig").write_bytes(note)
    run = ["verify-file", str(tmp_path / name), "--signature", str(tmp_path / "sig"), "--key"]
    assert RUN.invoke(audit, [*run, vkey]).exit_code == 0
    assert RUN.invoke(audit, [*run, keys(officer, "erasure")[0]]).exit_code == 1
    (tmp_path / name).write_bytes(data + b" ")
    assert RUN.invoke(audit, [*run, vkey]).exit_code == 1
    for place in range(0, len(note), 7):
        other = bytearray(note)
        other[place] ^= 1
        with pytest.raises(ExportRefused):
            check_file(data, bytes(other), [vkey])


@pytest.mark.parametrize("form", ["json", "jsonld", "pdf"])
def test_one_consent_leaves_in_each_form(house: Console, officer: httpx.Client, form: str) -> None:
    record = house.sent.records["late"]
    before = leaves(house, "access"), leaves(house, "export")
    name, data, note = unpack(officer.get(f"/privacy/consents/{record}/export", params={"format": form}))
    assert name == f"consent-{record}.{form}"
    assert check_file(data, note, keys(officer, "export")).name == name
    assert (leaves(house, "access"), leaves(house, "export")) == (before[0] + 1, before[1] + 1)
    if form == "pdf":
        assert data.startswith(b"%PDF-")
    elif form == "jsonld":
        assert json.loads(data)["type"] == "dpv:ConsentRecord"
    else:
        assert str(record) in data.decode()


def test_nothing_leaves_for_whoever_may_not_take_it(house: Console, observer: httpx.Client) -> None:
    before = leaves(house, "export")
    record = house.sent.records["whole"]
    for path in ("/privacy/exports/consents", f"/privacy/consents/{record}/export"):
        assert observer.get(path).status_code == 403
    with client_of(house, OFFICER) as unreasoned:
        answer = unreasoned.get("/privacy/exports/consents?state=given")
        assert answer.headers["location"].startswith("/reason?next=%2Fprivacy%2Fexports")
    assert "/privacy/exports/consents" not in observer.get("/privacy/exports").text
    assert leaves(house, "export") == before


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\tx", "\rx", "\nx"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"a{cell}") == f"a{cell}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_pages_are_read_in_a_browser(
    new_page: NewPage, house: Console, axe: Axe, lang: str, size: str
) -> None:
    page = new_page(viewport=SIZES[size])
    log_in(page, house, lang, OBSERVER)
    day = local_today().isoformat()
    for name, path in (
        ("standing", "/privacy/log"),
        ("exports", "/privacy/exports"),
        ("proof", f"/privacy/log/continuity?day={day}"),
        ("check", "/privacy/log/check"),
    ):
        page.goto(house.page(path))
        if name == "standing":
            page.click("form[action='/privacy/log/check'] button")
            page.wait_for_load_state("load")
            page.goto(house.page(path))
        shoot(page, f"{name}-{lang}-{size}")
        if size == "desktop":
            assert axe(page) == (), name
        metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
        assert metrics["cssContentSize"]["width"] <= SIZES[size]["width"], name
    page.context.clear_cookies()
    log_in(page, house, lang)
    page.goto(house.page("/privacy/exports"))
    shoot(page, f"exports-officer-{lang}-{size}")
    if size == "desktop":
        assert axe(page) == ()
