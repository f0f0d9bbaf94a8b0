from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import pytest
from typer.testing import CliRunner, Result

from consent.checkpoint import (
    Checkpoint,
    Ed25519Signer,
    WitnessPolicy,
    ml_dsa_offered,
    open_note,
    peek,
    sign,
    verifier,
    with_signatures,
)
from consent.errors import CheckpointRefused, CosignatureRefused, WitnessBehind, WitnessError
from consent.witness import (
    LONGEST_REQUEST_BYTES,
    SIZE_TYPE,
    CosignatureRequest,
    Witness,
    read_cosignature,
    request_cosignature,
)
from consent.witness_commands import witness as commands
from tests.consent.logs import ORIGIN, SmallLog, key_of
from tests.programs import PATIENCE_S, Program, call, free_port

_NAME: Final = "ombudsman.example/witness-1"
_AT_S: Final = 1_795_320_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def log() -> SmallLog:
    return SmallLog.of(20)


@pytest.fixture
def witness(folder: Path, log: SmallLog) -> Witness:
    made = Witness.create(folder, _NAME, lambda: _AT_S)
    assert made.add_log(log.signer.vkey()) == ORIGIN
    return made


def _policy(log: SmallLog, witness: Witness) -> WitnessPolicy:
    return WitnessPolicy((log.verifier(),), tuple(map(verifier, witness.vkeys)))


def _refused(witness: Witness, body: bytes) -> int:
    with pytest.raises(CosignatureRefused) as caught:
        witness.add_checkpoint(body)
    return caught.value.status


def test_a_log_that_grows_is_cosigned(witness: Witness, log: SmallLog) -> None:
    for old, size in ((0, 1), (1, 7), (7, 8), (8, 20), (20, 20)):
        note = with_signatures(log.note(size), witness.add_checkpoint(log.request(old, size)))
        found = _policy(log, witness).require(note)
        assert (found.checkpoint.size, found.witnesses) == (size, ((_NAME, _AT_S),))
    (watched,) = witness.logs()
    assert (watched.origin, watched.size, watched.cosigned_s, watched.evidence) == (ORIGIN, 20, _AT_S, 0)
    assert _policy(log, witness).require(watched.note).checkpoint.size == 20


def test_an_empty_log_is_cosigned(witness: Witness, log: SmallLog) -> None:
    assert with_signatures(log.note(0), witness.add_checkpoint(log.request(0, 0)))
    assert witness.add_checkpoint(log.request(0, 3))


def test_an_empty_log_has_one_root(witness: Witness, log: SmallLog) -> None:
    note = sign(Checkpoint(ORIGIN, 0, b"x" * 32), [log.signer])
    assert _refused(witness, request_cosignature(0, (), note)) == HTTPStatus.UNPROCESSABLE_ENTITY
    assert witness.add_checkpoint(log.request(0, 3))  # and the log can still be followed


def test_it_signs_with_both_kinds_of_key(witness: Witness, log: SmallLog) -> None:
    note = with_signatures(log.note(5), witness.add_checkpoint(log.request(0, 5)))
    opened = open_note(note, map(verifier, witness.vkeys))
    assert len(opened.signatures) == (2 if ml_dsa_offered() else 1)


def test_what_strangers_put_under_a_checkpoint_is_not_kept(witness: Witness, log: SmallLog) -> None:
    long = base64.b64encode(bytes(50_000)).decode()
    junk = "".join(f"\N{EM DASH} stranger-{number} {long[:-4]}{number:04}\n" for number in range(3))
    stuffed = request_cosignature(0, (), log.note(5) + junk.encode())
    witness.add_checkpoint(stuffed)
    (watched,) = witness.logs()
    assert b"stranger" not in watched.note
    assert _policy(log, witness).require(watched.note).checkpoint.size == 5


def test_an_answer_that_was_lost_can_be_asked_for_again(witness: Witness, log: SmallLog) -> None:
    witness.add_checkpoint(log.request(0, 5))
    with pytest.raises(WitnessBehind) as caught:
        witness.add_checkpoint(log.request(0, 5))
    assert caught.value.size == 5
    assert witness.add_checkpoint(log.request(5, 5))


@pytest.mark.parametrize(("old", "size"), [(0, 3), (3, 3), (0, 9), (3, 9), (9, 9)])
def test_it_never_goes_back_and_says_where_it_is(
    witness: Witness, log: SmallLog, old: int, size: int
) -> None:
    witness.add_checkpoint(log.request(0, 8))
    with pytest.raises(WitnessBehind) as caught:
        witness.add_checkpoint(log.request(old, size))
    assert caught.value.size == 8
    assert witness.logs()[0].size == 8
    assert witness.evidence() == ()


def test_what_is_malformed_or_foreign_is_refused_with_the_status_of_the_protocol(
    witness: Witness, log: SmallLog
) -> None:
    good = log.request(0, 5)
    bad = HTTPStatus.BAD_REQUEST
    assert _refused(witness, b"") == bad
    assert _refused(witness, good.replace(b"old 0", b"old 00")) == bad
    assert _refused(witness, good.replace(b"old 0", b"0")) == bad
    assert _refused(witness, good.replace(b"old 0\n", b"old 0\nAAAA==\n")) == bad
    assert _refused(witness, b"old 0\n" + b"AAAA\n" * 64 + b"\n" + log.note(5)) == bad
    assert _refused(witness, good[:-1]) == bad
    assert _refused(witness, good.replace(b"old 0", b"old 6")) == bad
    assert _refused(witness, b"\xff" + good) == bad
    stranger = SmallLog.of(5, origin="hailong/edge/stranger")
    assert _refused(witness, stranger.request(0)) == HTTPStatus.NOT_FOUND
    thief = SmallLog(log.entries, key="thief")
    assert _refused(witness, thief.request(0, 5)) == HTTPStatus.FORBIDDEN
    altered = log.note(5).replace(b"\n5\n", b"\n6\n")
    assert _refused(witness, request_cosignature(0, (), altered)) == HTTPStatus.FORBIDDEN
    proofless = request_cosignature(0, (bytes(32),), log.note(5))
    assert _refused(witness, proofless) == HTTPStatus.UNPROCESSABLE_ENTITY
    assert witness.logs()[0].size == 0
    assert witness.evidence() == ()


def test_two_roots_at_one_size_are_a_fork_and_both_notes_are_kept(witness: Witness, log: SmallLog) -> None:
    witness.add_checkpoint(log.request(0, 8))
    forged = log.rewritten(3, b"rewritten")
    for old in (8, 0, 8):
        assert _refused(witness, forged.request(old, 8)) == HTTPStatus.CONFLICT
    (found,) = witness.evidence()
    assert (found.kind, found.origin, found.seen_s) == ("fork", ORIGIN, _AT_S)
    kept = _policy(log, witness).require(found.kept).checkpoint
    offered = open_note(found.offered, [log.verifier()]).checkpoint
    assert (kept.size, kept.root) == (8, log.checkpoint(8).root)
    assert (offered.size, offered.root) == (8, forged.checkpoint(8).root)
    assert witness.add_checkpoint(log.request(8, 20))


def test_a_rewritten_log_that_grew_is_refused_whatever_proof_it_sends(
    witness: Witness, log: SmallLog
) -> None:
    witness.add_checkpoint(log.request(0, 8))
    forged = log.rewritten(3, b"rewritten")
    unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
    assert _refused(witness, forged.request(8, 20)) == unprocessable
    assert _refused(witness, request_cosignature(8, (), forged.note())) == unprocessable
    mixed = log.request(8, 20).split(b"\n\n", 1)[0] + b"\n\n" + forged.note()
    assert _refused(witness, mixed) == unprocessable
    assert [item.kind for item in witness.evidence()] == ["inconsistent"]
    assert witness.logs()[0].size == 8
    assert witness.logs()[0].evidence == 1


def test_what_it_cosigned_outlives_it(folder: Path, witness: Witness, log: SmallLog) -> None:
    witness.add_checkpoint(log.request(0, 8))
    again = Witness(folder)
    assert again.vkeys == witness.vkeys
    with pytest.raises(WitnessBehind):
        again.add_checkpoint(log.request(0, 7))
    assert again.add_checkpoint(log.request(8, 9))


@pytest.mark.parametrize("damage", ["absent", "empty", "rubbish"])
def test_a_lost_state_is_not_an_empty_one(folder: Path, witness: Witness, damage: str) -> None:
    for file in folder.glob("witness.sqlite*"):
        file.unlink()
    if damage != "absent":
        (folder / "witness.sqlite").write_bytes(b"" if damage == "empty" else b"x" * 9000)
    with pytest.raises(WitnessError, match="restore"):
        Witness(folder)


def test_keys_are_private_and_belong_together(folder: Path, witness: Witness, tmp_path: Path) -> None:
    keys = sorted(folder.glob("*.pem"))
    assert len(keys) == len(witness.vkeys)
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    other = tmp_path / "other"
    Witness.create(other, _NAME)
    keys[0].write_bytes((other / keys[0].name).read_bytes())
    with pytest.raises(WitnessError, match="not those"):
        Witness(folder)
    keys[0].write_bytes(b"rubbish")
    with pytest.raises(WitnessError, match="no readable private key"):
        Witness(folder)
    with pytest.raises(WitnessError, match="not empty"):
        Witness.create(other, _NAME)
    with pytest.raises(WitnessError, match="hailong witness init"):
        Witness(tmp_path / "nowhere")
    with pytest.raises(CheckpointRefused):
        Witness.create(tmp_path / "third", "two words")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE latest SET size = 3", "DELETE FROM latest", "DELETE FROM evidence"],
)
def test_the_file_itself_refuses_to_forget(
    folder: Path, witness: Witness, log: SmallLog, statement: str
) -> None:
    witness.add_checkpoint(log.request(0, 8))
    _refused(witness, log.rewritten(3, b"rewritten").request(8, 8))
    with (
        closing(sqlite3.connect(folder / "witness.sqlite")) as connection,
        pytest.raises(sqlite3.IntegrityError),
    ):
        connection.execute(statement)


def test_requests_at_once_leave_one_history(witness: Witness, log: SmallLog) -> None:
    witness.add_checkpoint(log.request(0, 2))

    def ask(size: int) -> int:
        old, asked = 2, 0
        while True:
            asked += 1
            try:
                witness.add_checkpoint(log.request(old, size))
            except WitnessBehind as behind:
                if behind.size > size:
                    return asked
                old = behind.size
            else:
                return asked

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(3, 21))) >= 18
    assert witness.logs()[0].size == 20
    assert witness.evidence() == ()


def test_after_a_rotation_both_keys_hold_until_the_old_one_is_removed(
    witness: Witness, log: SmallLog
) -> None:
    old_vkey = log.signer.vkey()
    witness.add_checkpoint(log.request(0, 5))
    log.signer = Ed25519Signer(ORIGIN, key_of("new"))
    assert _refused(witness, log.request(5, 6)) == HTTPStatus.FORBIDDEN
    witness.add_log(log.signer.vkey())
    assert witness.add_checkpoint(log.request(5, 6))
    witness.remove_key(old_vkey)
    assert _refused(witness, SmallLog.of(20).request(6, 7)) == HTTPStatus.FORBIDDEN
    assert witness.add_checkpoint(log.request(6, 7))
    with pytest.raises(WitnessError, match="no log has this key"):
        witness.remove_key(old_vkey)


def test_a_witness_does_not_follow_a_witness(witness: Witness) -> None:
    with pytest.raises(CheckpointRefused, match="not of a log"):
        witness.add_log(witness.vkeys[0])


# ---- the log's side


def test_a_request_reads_as_it_was_made(log: SmallLog) -> None:
    request = CosignatureRequest.parse(log.request(3, 20))
    assert request.old_size == 3
    assert request.note == log.note(20)
    assert len(request.proof) > 1


def test_an_answer_is_verified_before_it_is_kept(witness: Witness, log: SmallLog) -> None:
    note, known = log.note(5), tuple(map(verifier, witness.vkeys))
    answer = witness.add_checkpoint(log.request(0, 5)).encode()
    stranger = log.signer.line(log.checkpoint(5).body()).encode()
    cosigned = read_cosignature(200, "text/plain", answer + stranger, note, known)
    assert _policy(log, witness).require(cosigned).checkpoint.size == 5
    with pytest.raises(WitnessBehind) as caught:
        read_cosignature(409, SIZE_TYPE, b"17\n", note, known)
    assert caught.value.size == 17
    for status, kind, body in (
        (409, SIZE_TYPE, b"many\n"),
        (409, "text/plain", b"a fork\n"),
        (422, "text/plain", b"no\n"),
        (200, "text/plain", b""),
        (200, "text/plain", b"<html>"),
        (200, "text/plain", stranger),
        (200, "text/plain", witness.add_checkpoint(log.request(5, 6)).encode()),
    ):
        with pytest.raises(CosignatureRefused):
            read_cosignature(status, kind, body, note, known)


# ---- the program


def _command(*words: str) -> Result:
    return CliRunner().invoke(commands, words)


class _Running(Program):
    """A witness as the process that an oversight body runs."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, "witness", "run", str(state), "--port", str(self.port))

    def begin(self) -> None:
        self.start()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.running(), f"the witness ended by itself: {self.log()}"
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/healthz", timeout=5).status_code == HTTPStatus.OK:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the witness is not ready: {self.log()}")

    def ask(self, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.address}/add-checkpoint", content=body, timeout=30)


def test_the_program_cosigns_over_http_survives_kill_9_and_catches_a_fork(
    tmp_path: Path, log: SmallLog
) -> None:
    state = tmp_path / "state"
    made = call("witness", "init", str(state), "--name", _NAME)
    assert made.returncode == 0, made.stderr
    known = tuple(map(verifier, made.stdout.split()))
    assert {key.name for key in known} == {_NAME}
    assert _command("init", str(state), "--name", _NAME).exit_code == 1
    assert _command("add-log", str(state), log.signer.vkey()).stdout == f"follows {ORIGIN}\n"
    running = _Running(tmp_path, state)
    running.begin()
    try:
        first = running.ask(log.request(0, 5))
        assert first.status_code == HTTPStatus.OK, first.text
        note = read_cosignature(200, first.headers["content-type"], first.content, log.note(5), known)
        assert WitnessPolicy((log.verifier(),), known).require(note).checkpoint.size == 5

        running.kill()
        running.begin()
        behind = running.ask(log.request(0, 5))
        assert (behind.status_code, behind.headers["content-type"], behind.text) == (409, SIZE_TYPE, "5\n")
        assert running.ask(log.request(5, 12)).status_code == HTTPStatus.OK

        running.kill()
        running.begin()
        forged = log.rewritten(3, b"rewritten")
        fork = running.ask(forged.request(12, 12))
        assert (fork.status_code, fork.headers["content-type"].split(";")[0]) == (409, "text/plain")
        assert running.ask(forged.request(12, 20)).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert running.ask(b"x" * (LONGEST_REQUEST_BYTES + 1)).status_code == 413
        assert httpx.get(f"{running.address}/add-checkpoint").status_code == 405
        digest = hashlib.sha256(ORIGIN.encode()).hexdigest()
        kept = httpx.get(f"{running.address}/logs/{digest}/checkpoint").content
        assert WitnessPolicy((log.verifier(),), known).require(kept).checkpoint.size == 12
        assert httpx.get(f"{running.address}/logs/{'0' * 64}/checkpoint").status_code == 404
        assert httpx.get(f"{running.address}/healthz").json() == {"name": _NAME, "logs": 1, "evidence": 2}
    finally:
        running.stop()
    shown = call("witness", "show", str(state))
    assert shown.returncode == 1, "evidence is an alarm"
    assert f"{ORIGIN}  size 12" in shown.stdout
    assert "EVIDENCE fork" in shown.stdout
    document = json.loads(_command("show", str(state), "--json").stdout)
    assert [row["kind"] for row in document["evidence"]] == ["fork", "inconsistent"]
    assert peek(document["evidence"][0]["offered"].encode()) == forged.checkpoint(12)


@pytest.mark.parametrize("words", [("run",), ("show",), ("add-log", "x"), ("remove-key", "x")])
def test_without_a_folder_each_command_says_how_to_make_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    command, *rest = words
    done = _command(command, str(tmp_path / "nowhere"), *rest)
    assert done.exit_code == 1
    assert "hailong witness init" in done.stderr


def test_show_is_calm_while_nothing_is_wrong(folder: Path, witness: Witness, log: SmallLog) -> None:
    assert "cosigned never" in _command("show", str(folder)).stdout
    witness.add_checkpoint(log.request(0, 5))
    done = _command("show", str(folder))
    assert done.exit_code == 0
    assert "cosigned 2026-" in done.stdout
    assert _command("remove-key", str(folder), log.signer.vkey()).stdout == "removed\n"
    assert _command("show", str(folder)).stdout == done.stdout
