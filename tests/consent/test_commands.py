"""`hailong consent` on a real log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from consent.checkpoint import Ed25519Signer
from consent.commands import consent
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from tests.consent.citizens import citizen

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def run(*words: str) -> Result:
    return CliRunner().invoke(consent, list(words))


@pytest.fixture
def record(tmp_path: Path) -> str:
    with ConsentStore(tmp_path / "consent.sqlite") as store:
        given, open_one = citizen(), citizen(language="en")
        store.offer(given)
        choices = {Purpose.IMAGE: True, Purpose.VOICE: False}
        store.decide(given.record_id, choices, "citizen", "kiosk-touch", dwell_ms=4200)
        store.offer(open_one)
    return str(given.record_id)


def test_list_shows_each_consent(tmp_path: Path, record: str) -> None:
    result = run("list", "--data", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split()[0] == record
    assert "image=given voice=refused" in result.stdout
    assert "2 consents" in result.stderr
    rows = json.loads(run("list", "-d", str(tmp_path), "--json", "--state", "offered").stdout)
    assert [(row["state"], row["notice"]) for row in rows] == [("offered", "counter 1.0 en")]


def test_show_prints_a_life(tmp_path: Path, record: str) -> None:
    document = json.loads(run("show", record.upper(), "--data", str(tmp_path / "consent.sqlite")).stdout)
    assert document["state"] == "given"
    assert document["record"]["dwell_ms"] == 4200
    assert [(event["index"], event["kind"]) for event in document["events"]] == [(1, "offered"), (2, "given")]
    assert len(document["events"][1]["digest"]) == 64


def test_show_of_an_unknown_record_says_what_to_do(tmp_path: Path, record: str) -> None:
    result = run("show", "nothing", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "hailong consent list" in result.stderr


def test_verify_of_a_whole_and_of_a_broken_log(tmp_path: Path, record: str) -> None:
    result = run("verify", "--data", str(tmp_path))
    assert (result.exit_code, "4 entries" in result.stdout) == (0, True)
    assert "signed by nobody" in result.stdout
    assert "--checkpoint" in result.stderr
    path = tmp_path / "consent.sqlite"
    path.write_bytes(path.read_bytes().replace(b'"refused"', b'"given"  '))
    result = run("verify", "--data", str(tmp_path), "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["ok"], report["broken_index"]) == (False, 2)
    assert "broken at entry 2" in run("verify", "--data", str(tmp_path)).stderr


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["verify"]])
def test_a_missing_log_is_named(tmp_path: Path, command: list[str]) -> None:
    result = run(*command, "--data", str(tmp_path))
    assert result.exit_code == 1
    assert str(tmp_path / "consent.sqlite") in result.stderr


def test_verify_against_a_key_and_a_checkpoint_kept_elsewhere(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    path, kept = tmp_path / "consent.sqlite", tmp_path / "kept"
    with ConsentStore(path, signers=lambda origin: (Ed25519Signer(origin, key),)) as store:
        store.offer(citizen())
        kept.write_bytes(store.log.checkpoint())
        store.offer(citizen())
        vkey = Ed25519Signer(store.log.origin, key).vkey()
        stranger = Ed25519Signer(store.log.origin, Ed25519PrivateKey.generate()).vkey()
    held = run("verify", "-d", str(tmp_path), "--key", vkey, "--checkpoint", str(kept))
    assert (held.exit_code, held.stderr) == (0, "")
    assert f"signed by {vkey}" in held.stdout
    assert run("verify", "-d", str(tmp_path), "--key", stranger).exit_code == 1
    kept.write_bytes(kept.read_bytes().replace(b"\n3\n", b"\n2\n"))
    broken = run("verify", "-d", str(tmp_path), "--checkpoint", str(kept), "--json")
    assert (broken.exit_code, json.loads(broken.stdout)["broken_index"]) == (1, 1)
    assert run("verify", "-d", str(tmp_path), "--checkpoint", str(tmp_path / "none")).exit_code == 1
