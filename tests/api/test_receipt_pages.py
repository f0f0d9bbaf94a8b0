"""The pages for citizens: slip and code in, proof, status and accesses out, and the consent taken back."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from api.access_log import list_accesses
from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from api.log import log_size
from api.pages.receipts import MOST_A_MINUTE, Attempts
from api.passwords import Passwords
from capture.demo_witness import DemoWitness
from consent.checkpoint import ED25519, Ed25519Signer
from consent.erasure import ErasureCertificate
from consent.errors import CertificateRefused
from consent.ledger import ConsentStore
from consent.receipt import new_code
from consent.signed_note import Vkey
from consent.witness import Witness
from tests.api.consent_sender import Sent, fill_consents
from tests.api.running import PASSWORD, Central, running

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres
    from tests.browser import Axe, NewPage

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
_ADDRESSES = itertools.count()
UNKNOWN = "No slip with this code is known here."


@dataclass(frozen=True, slots=True)
class Hall:
    """A centre that knows a week of consents, the slips of some, and a way to ask."""

    central: Central
    sent: Sent
    slips: dict[str, str]

    def client(self) -> httpx.Client:
        """Return a citizen's own way to the service, from an address of its own."""
        return httpx.Client(
            base_url=self.central.address,
            timeout=20,
            trust_env=False,
            cookies={"hailong_language": "en"},
            headers={"X-Forwarded-For": f"address-{next(_ADDRESSES)}"},
        )

    def keys(self, use: str) -> list[str]:
        """Return the public keys of one use, as the service lists them."""
        with self.client() as client:
            lines = client.get("/log/keys").text.splitlines()
        return [line.split(" ", 3)[3] for line in lines if line.startswith(f"{use} ")]

    def size(self) -> int:
        with Database(self.central.dsn) as database, database.transaction() as connection:
            return log_size(connection)


def _hall(dsn: str, folder: Path) -> Iterator[Hall]:
    with Database(dsn) as database:
        sent = fill_consents(database, folder / "edge")
        accounts = Accounts(database, passwords=QUICK)
        first = accounts.create("lan", Role.PRIVACY_OFFICER, actor="t")
        accounts.change_password("lan", first, PASSWORD)
    with ConsentStore(
        folder / "edge" / "consent.sqlite", signers=lambda origin: (Ed25519Signer(origin, sent.edge.key),)
    ) as store:
        slips = {
            name: store.receipt(sent.records[name], sent.codes[name]).text() for name in ("whole", "refused")
        }
    server = {"port": 0, "trusted_proxies": ["127.0.0.1"]}
    with DemoWitness(folder / "witness") as witness:
        log = {
            "data_dir": str(folder / "central"),
            "checkpoint_s": 0.05,
            "witness_s": 0.1,
            "witnesses": [{"url": witness.url, "vkey": witness.vkey}],
        }
        with running(dsn, log=log, server=server) as central:
            hall = Hall(central, sent, slips)
            witness.follow(hall.keys("centre"))
            yield hall


@pytest.fixture(scope="module")
def hall(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    name = f"receipts_{os.getpid()}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central")
    yield from _hall(postgres.dsn(name), tmp_path_factory.mktemp("receipts"))
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def shoot(page: object, name: str) -> None:
    """Keep a picture where HAILONG_SHOTS says."""
    folder = os.environ.get("HAILONG_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"receipt-{name}.png", full_page=True)  # type: ignore[attr-defined]  # a page of the browser


def test_a_slip_is_checked_against_keys_and_the_kept_log(hall: Hall) -> None:
    with hall.client() as client:
        good = client.post("/receipt/check", data={"slip": hall.slips["whole"].replace("\n", "\r\n")})
        assert "GENUINE" in good.text
        assert str(hall.sent.records["whole"]) in good.text
        assert "Show my record" in good.text
        refused = client.post("/receipt/check", data={"slip": hall.slips["refused"]})
        assert "GENUINE" in refused.text
        assert refused.text.count("<dd>refused</dd>") == 3


def test_a_changed_slip_is_never_genuine(hall: Hall) -> None:
    slip = hall.slips["whole"]
    body = slip.split("\n")
    changes = {
        "another answer": slip.replace('"answer":"given"', '"answer":"refused"', 1),
        "another code": slip.replace(hall.sent.codes["whole"], new_code()),
        "another log": slip.replace("hailong/edge/", "hailong/edgy/"),
        "a cut": slip[: len(slip) // 2],
        "another index": re.sub(r"index (\d+)", lambda found: f"index {int(found[1]) + 1}", slip),
        "no signature": "\n".join(body[:-2]) + "\n",
        "nothing": "",
        "nonsense": "hailong receipt 1\n" * 20,
    }
    with hall.client() as client:
        for name, text in changes.items():
            assert text != slip, name
            answer = client.post("/receipt/check", data={"slip": text})
            assert (answer.status_code, "GENUINE" in answer.text) == (200, False), name
            assert 'role="alert"' in answer.text, name


def test_a_signed_slip_of_another_history_is_an_alarm(hall: Hall) -> None:
    """The counter's key signed it, and the centre keeps other entries: a split view."""
    slip = {"slip": hall.slips["whole"]}
    given = (hall.sent.records["whole"], "given")
    where = "WHERE record_id = %s AND kind = %s"
    with hall.client() as client, psycopg.connect(hall.central.dsn, autocommit=True) as connection:
        kept = connection.execute(f"SELECT leaf_hash FROM edge_log_entries {where}", given).fetchone()  # noqa: S608 - a clause of this test
        assert kept is not None
        change = f"UPDATE edge_log_entries SET leaf_hash = %s {where}"  # noqa: S608 - as above
        connection.execute("ALTER TABLE edge_log_entries DISABLE TRIGGER USER")
        connection.execute(change, (bytes(32), *given))
        try:
            answer = client.post("/receipt/check", data=slip)
        finally:
            connection.execute(change, (kept[0], *given))
            connection.execute("ALTER TABLE edge_log_entries ENABLE TRIGGER USER")
        assert "ALARM" in answer.text
        assert "GENUINE" not in answer.text
        assert "GENUINE" in client.post("/receipt/check", data=slip).text


def test_a_code_shows_the_record_and_each_look_is_logged_once(hall: Hall) -> None:
    record = hall.sent.records["whole"]
    with hall.client() as client, Database(hall.central.dsn) as database:
        before = hall.size()
        page = client.post("/receipt", data={"code": hall.sent.codes["whole"].lower().replace("-", " ")})
        assert page.status_code == 200
        assert str(record) in page.text
        assert "proven" in page.text
        with database.transaction() as connection:
            reads = list_accesses(connection, record_id=record)
        assert hall.size() == before + 1
        assert (reads[0].role, reads[0].action, reads[0].purpose) == (
            "citizen",
            "view-own-receipt",
            "own-record",
        )
        again = client.post("/receipt", data={"code": hall.sent.codes["whole"]})
        assert "you, with the slip" in again.text


def test_the_citizen_sees_role_and_purpose_of_a_reader_and_no_name(hall: Hall) -> None:
    record = hall.sent.records["refused"]
    with Database(hall.central.dsn) as database:
        session = Accounts(database, passwords=QUICK).log_in("lan", PASSWORD, address="t")
    with hall.client() as officer, hall.client() as citizen:
        officer.cookies.set("hailong_session", session or "")
        form = officer.get("/reason?next=/").text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        assert token
        reason = {"csrf": token[1], "purpose": "complaint", "ticket": "KN-77", "next": "/"}
        assert officer.post("/reason", data=reason).status_code == 303
        assert officer.get(f"/privacy/consents/{record}").status_code == 200
        page = citizen.post("/receipt", data={"code": hall.sent.codes["refused"]}).text
    table = page.split("Who looked at your record", 1)[1]
    assert "privacy officer" in table
    assert "complaint" in table
    assert "KN-77" not in page
    assert "lan" not in re.sub(r"<[^>]*>", " ", table).split()


def test_wrong_and_unknown_codes_get_the_same_answer(hall: Hall) -> None:
    before = hall.size()
    with hall.client() as client:
        codes = (new_code(), new_code(), "XXXX", "", "' OR 1=1 --", "ă" * 50)
        for path, more in (("/receipt", {}), ("/receipt/withdraw", {"confirmed": "yes"})):
            answers = {client.post(path, data={"code": code, **more}).text for code in codes}
            assert len(answers) == 1
            assert UNKNOWN in answers.pop()
        certificates = {client.post("/receipt/certificate", data={"code": code}).text for code in codes}
        assert len(certificates) == 1
        confirm = client.post("/receipt/withdraw", data={"code": new_code()})
        assert "Yes, withdraw it" in confirm.text
    assert hall.size() == before


def test_withdrawing_takes_two_steps_and_happens_once(hall: Hall) -> None:
    code, record = hall.sent.codes["open"], hall.sent.records["open"]
    with hall.client() as client, psycopg.connect(hall.central.dsn, autocommit=True) as database:

        def asked() -> int:
            row = database.execute("SELECT count(*) FROM withdrawal_requests").fetchone()
            assert row is not None
            return int(row[0])

        assert client.get("/receipt/withdraw").headers["location"] == "/receipt"
        first = client.post("/receipt/withdraw", data={"code": code})
        assert "Yes, withdraw it" in first.text
        assert asked() == 0
        done = client.post("/receipt/withdraw", data={"code": code, "confirmed": "yes"})
        assert "under way" in done.text
        again = client.post("/receipt/withdraw", data={"code": code, "confirmed": "yes"})
        assert "withdrawn before" in again.text
        assert asked() == 1
        nothing = client.post(
            "/receipt/withdraw", data={"code": hall.sent.codes["refused"], "confirmed": "yes"}
        )
        assert "nothing to withdraw" in nothing.text
        assert asked() == 1
        told = database.execute(
            "SELECT count(*) FROM central_log WHERE kind = 'withdrawal-requested' AND record_id = %s",
            (record,),
        ).fetchone()
        assert told == (1,)
        page = client.post("/receipt", data={"code": code}).text
        assert "You asked for it here" in page
        assert "The counter was told: <span" in page


def test_the_certificate_of_erasure_is_for_the_citizen_and_holds(hall: Hall) -> None:
    code = hall.sent.codes["late"]
    with psycopg.connect(hall.central.dsn, autocommit=True) as database:  # the service's own eraser is at it
        waiting = "SELECT 1 FROM erasures WHERE record_id = %s AND certificate IS NOT NULL"
        deadline = time.monotonic() + 30
        while database.execute(waiting, (hall.sent.records["late"],)).fetchone() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with hall.client() as client:
        page = client.post("/receipt", data={"code": code})
        assert "Withdrawn at the counter" in page.text
        assert "destroyed" in page.text
        assert page.text.count("erased</span>") >= 5
        answer = client.post("/receipt/certificate", data={"code": code})
        assert answer.headers["content-type"] == "application/json"
        found = ErasureCertificate.parse(answer.content)
        keys = client.get("/log/keys").text
    vkey = next(line.split(" ", 3)[3] for line in keys.splitlines() if line.startswith("erasure "))
    found.verify(vkey)
    assert found.record_id == hall.sent.records["late"]
    with pytest.raises(CertificateRefused, match="changed"):
        replace(found, cause="request").verify(vkey)


def test_the_published_keys_check_a_slip_by_the_published_program(hall: Hall, tmp_path: Path) -> None:
    with hall.client() as client:
        program = client.get("/verify_receipt.py")
        keys = client.get("/log/keys")
    assert program.headers["content-disposition"] == 'attachment; filename="verify_receipt.py"'
    assert keys.headers["content-type"].startswith("text/plain")
    (tmp_path / "verify_receipt.py").write_bytes(program.content)
    (tmp_path / "slip.txt").write_text(hall.slips["whole"])
    origin = hall.slips["whole"].split("\n\n")[1].split("\n")[0]
    listed = [line.split(" ", 3) for line in keys.text.splitlines() if not line.startswith("#")]
    vkey = next(vkey for use, _, _, vkey in listed if use == "edge" and vkey.startswith(f"{origin}+"))
    run = [sys.executable, str(tmp_path / "verify_receipt.py"), str(tmp_path / "slip.txt"), "--key"]
    assert subprocess.run([*run, vkey], check=False, capture_output=True).returncode == 0
    other = next(vkey for use, _, _, vkey in listed if use == "export")
    assert subprocess.run([*run, other], check=False, capture_output=True).returncode == 1
    assert {use for use, _, _, _ in listed} == {"edge", "centre", "witness", "erasure", "export"}


def test_the_witnesses_stand_behind_the_slip_of_the_centre(hall: Hall, tmp_path: Path) -> None:
    code = hall.sent.codes["whole"]
    deadline = time.monotonic() + 60
    with hall.client() as client:
        assert "No slip with this code" in client.post("/receipt/witnessed", data={"code": new_code()}).text
        while (found := client.post("/receipt/witnessed", data={"code": code})).status_code == 404:
            assert "Not witnessed yet" in found.text
            assert time.monotonic() < deadline
            time.sleep(0.3)
        program = client.get("/verify_receipt.py").content
    (tmp_path / "verify_receipt.py").write_bytes(program)
    (tmp_path / "receipt.txt").write_text(found.text)
    origin = hall.slips["whole"].split("\n\n")[1].split("\n")[0]
    edge = next(key for key in hall.keys("edge") if key.startswith(f"{origin}+"))
    centre = next(key for key in hall.keys("centre") if Vkey.parse(key).kind == ED25519)
    run = [sys.executable, str(tmp_path / "verify_receipt.py"), str(tmp_path / "receipt.txt")]
    run += ["--key", edge, "--centre", centre, "--witness"]
    (witness,) = hall.keys("witness")
    assert subprocess.run([*run, witness], check=False, capture_output=True).returncode == 0
    other = Witness.create(tmp_path / "other", "other.example").vkeys[0]
    assert subprocess.run([*run, other], check=False, capture_output=True).returncode == 1


def test_an_address_that_tries_too_often_waits() -> None:
    now = [0.0]
    attempts = Attempts(3, clock=lambda: now[0])
    assert [attempts.let_through("a") for _ in range(5)] == [True, True, True, False, False]
    assert attempts.let_through("b")
    now[0] = 61.0
    assert attempts.let_through("a")


def test_the_page_says_so_when_an_address_tries_too_often(hall: Hall) -> None:
    with hall.client() as client:
        codes = [client.post("/receipt", data={"code": "X"}).status_code for _ in range(MOST_A_MINUTE + 1)]
        assert codes == [200] * MOST_A_MINUTE + [429]
        assert "wait a minute" in client.post("/receipt/check", data={"slip": "x"}).text
        assert client.get("/receipt").status_code == 200


def test_no_code_is_ever_in_an_address(hall: Hall) -> None:
    with hall.client() as client:
        pages = [
            client.get("/receipt").text,
            client.post("/receipt", data={"code": hall.sent.codes["whole"]}).text,
            client.post("/receipt/withdraw", data={"code": hall.sent.codes["whole"]}).text,
            client.post("/receipt/check", data={"slip": hall.slips["whole"]}).text,
        ]
    for text in pages:
        assert 'method="get"' not in text
        for address in re.findall(r'(?:href|action)="([^"]*)"', text):
            assert not any(code in address for code in hall.sent.codes.values())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_citizen_walks_through(new_page: NewPage, hall: Hall, axe: Axe, lang: str, size: str) -> None:
    page = new_page(viewport=SIZES[size], java_script_enabled=size == "desktop")
    page.goto(f"{hall.central.address}/receipt?lang={lang}")
    assert page.get_attribute("html", "lang") == lang
    codes = hall.sent.codes
    steps = {
        "start": (),
        "record": ("/receipt", "#code", codes["late"]),
        "slip": ("/receipt/check", "#slip", hall.slips["whole"]),
        "unknown": ("/receipt", "#code", "1111-2222-3333-4444"),
        "confirm": ("/receipt/withdraw", "#withdraw-code", codes["refused"]),
    }
    for name, step in steps.items():
        page.goto(f"{hall.central.address}/receipt")
        if step:
            action, field, value = step
            page.fill(field, value)
            page.click(f"form[action='{action}'] button")
            page.wait_for_load_state("load")
        shoot(page, f"{name}-{lang}-{size}")
        if size == "desktop":
            assert axe(page) == (), name
        metrics = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
        assert metrics["cssContentSize"]["width"] <= SIZES[size]["width"], name
    page.click("form[action='/receipt/withdraw'] button")
    assert page.locator("[role=status]").count() == 1
    shoot(page, f"withdrawn-{lang}-{size}")


def test_a_code_opens_its_own_record_only(hall: Hall) -> None:
    with hall.client() as client:
        for name, code in hall.sent.codes.items():
            page = client.post("/receipt", data={"code": code}).text
            others = {str(record) for other, record in hall.sent.records.items() if other != name}
            assert not any(record in page for record in others)
