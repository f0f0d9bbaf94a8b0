"""A downloaded proof of one entry, checked with nothing but the file and keys from elsewhere."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from api import audit_proof
from api.actions import ActionKind, Draft, note_action
from api.audit_commands import audit
from api.audit_proof import check_entry
from api.central_log import CentralLog
from api.database import Database
from api.errors import ExportRefused
from api.proofs import ProvenEntry, prove_entry
from consent.checkpoint import CosignatureSigner, Ed25519Signer, peek, with_signatures
from consent.errors import CheckpointRefused, ProofRefused
from tests.api.senders import Edge

RUN = CliRunner()
WITNESS = CosignatureSigner("giam-sat.example/1", Ed25519PrivateKey.generate(), lambda: 1_790_000_000.0)
STRANGER = CosignatureSigner("khac.example/1", Ed25519PrivateKey.generate(), lambda: 1_790_000_000.0)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A proof as the page gives it, and the keys of its log."""

    proven: ProvenEntry
    document: dict[str, Any]
    keys: tuple[str, ...]

    def file(self, **changed: Any) -> bytes:
        return json.dumps(self.document | changed).encode()

    def cosigned(self) -> bytes:
        note = self.document["checkpoint"].encode()
        line = WITNESS.line(peek(note).body())
        return self.file(checkpoint=with_signatures(note, line).decode())


@pytest.fixture
def fetched(database: Database, edge: Edge, tmp_path: Path) -> Fetched:
    log = CentralLog(database, tmp_path / "log")
    log.open()
    day = date(2026, 10, 1)
    notes = [
        note_action(database, "counter-1", Draft(day, ActionKind.ROOM, text), actor="lan", today=day)
        for text in ("Thêm ghế chờ", "Thêm quạt", "Bảng hướng dẫn mới")
    ]
    log.checkpoint()
    proven = prove_entry(log, notes[1].now.log_index)
    assert proven is not None
    assert proven.path
    document = json.loads(proven.document(whole=True))
    return Fetched(proven, document, tuple(period.vkey for period in log.keys().periods))


def test_an_entry_is_checked_from_the_file_alone(fetched: Fetched) -> None:
    found = check_entry(fetched.file(), fetched.keys)
    assert (found.index, found.entry, found.leaf_hash) == (
        fetched.proven.entry.index,
        fetched.proven.body,
        fetched.proven.leaf_hash,
    )
    assert found.told["counter"] == "counter-1"
    assert not found.witnessed.witnessed
    less = check_entry(fetched.proven.document(whole=False), fetched.keys)
    assert (less.entry, less.told, less.leaf_hash) == (None, {}, found.leaf_hash)


def _swapped(path: list[str]) -> list[str]:
    return [*path[1:], path[0]] if path[0] != path[-1] else path[1:]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda told: {"entry": told["entry"].replace("counter-1", "counter-2")}, ProofRefused),
        (lambda told: {"index": told["index"] - 1}, ProofRefused),
        (lambda _: {"index": 10**6}, ProofRefused),
        (lambda _: {"index": -1}, ProofRefused),
        (lambda told: {"path": _swapped(told["path"])}, ProofRefused),
        (lambda told: {"path": told["path"][:-1]}, ProofRefused),
        (lambda told: {"path": [*told["path"], told["leaf_hash"]]}, ProofRefused),
        (lambda told: {"entry": None, "leaf_hash": told["path"][0]}, ProofRefused),
        (lambda told: {"checkpoint": told["checkpoint"].replace("\n", "\n1", 1)}, CheckpointRefused),
        (lambda _: {"path": None}, ExportRefused),
        (lambda _: {"checkpoint": None}, ExportRefused),
        (lambda told: {"index": str(told["index"])}, ExportRefused),
        (lambda _: {"entry": 7}, ExportRefused),
        (lambda _: {"leaf_hash": "??"}, ExportRefused),
        (lambda _: {"format": "hailong inclusion proof 2"}, ExportRefused),
        (lambda _: {"more": 1}, ExportRefused),
    ],
)
def test_whatever_was_changed_is_refused(
    fetched: Fetched, change: Callable[[dict[str, Any]], dict[str, Any]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_entry(fetched.file(**change(fetched.document)), fetched.keys)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, b" " * 5_000_000])
def test_something_else_is_no_proof(fetched: Fetched, data: bytes) -> None:
    with pytest.raises(ExportRefused, match="no proof of an entry"):
        check_entry(data, fetched.keys)


def test_a_log_that_signed_for_itself_under_another_key_is_refused(fetched: Fetched) -> None:
    origin = peek(fetched.document["checkpoint"].encode()).origin
    other = Ed25519Signer(origin, Ed25519PrivateKey.generate())
    with pytest.raises(CheckpointRefused):
        check_entry(fetched.file(), [other.vkey()])


def test_witnesses_that_are_named_must_have_cosigned(fetched: Fetched) -> None:
    found = check_entry(fetched.cosigned(), fetched.keys, [WITNESS.vkey(), STRANGER.vkey()])
    assert found.witnessed.witnesses == ((WITNESS.name, 1_790_000_000),)
    for named, quorum in (((STRANGER,), 1), ((WITNESS, STRANGER), 2)):
        with pytest.raises(CheckpointRefused, match="unwitnessed"):
            check_entry(fetched.cosigned(), fetched.keys, [signer.vkey() for signer in named], quorum=quorum)


def test_the_command_says_what_the_entry_tells(fetched: Fetched, tmp_path: Path) -> None:
    path = tmp_path / "hailong-entry.json"
    path.write_bytes(fetched.cosigned())
    keys = [part for key in fetched.keys for part in ("--key", key)]
    told = RUN.invoke(audit, ["proof", str(path), *keys, "--witness", WITNESS.vkey()])
    assert told.exit_code == 0, told.output
    assert f"Entry {fetched.proven.entry.index} stands in" in told.stdout
    assert f"cosigned by {WITNESS.name}" in told.stdout
    assert fetched.proven.leaf_hash.hex() in told.stdout
    assert json.loads(told.stdout[told.stdout.index("{") :])["counter"] == "counter-1"
    path.write_bytes(fetched.file(index=fetched.document["index"] - 1))
    bad = RUN.invoke(audit, ["proof", str(path), *keys])
    assert (bad.exit_code, bad.stdout) == (1, "")
    missing = RUN.invoke(audit, ["proof", str(tmp_path / "none.json"), *keys])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.stderr


def test_the_check_needs_nothing_of_the_centre() -> None:
    """Besides the tree of errors it stands on the verification of the consent log alone."""
    source = ast.parse(Path(audit_proof.__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom) and node.module}
    ours = {name for name in imported if name.split(".")[0] in {"api", "consent", "inference", "models"}}
    assert ours == {
        "api.errors",
        "consent.checkpoint",
        "consent.errors",
        "consent.merkle",
        "consent.signed_note",
    }
