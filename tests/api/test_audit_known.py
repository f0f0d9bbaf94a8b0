"""What an auditor kept before, keys that were rotated, retention, witnesses: the rarer paths of an audit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.audit import AuditReport, Trust, verify
from api.audit_export import Scope, export
from api.database import Database
from api.log import Kind, append
from api.settings import LogSettings
from api.witnesses import Witnesses
from consent.checkpoint import Checkpoint, Ed25519Signer, peek, sign
from consent.witness import Witness
from tests.api.audited_centre import MINIMUM_N, TODAY, AuditedCentre, morning
from tests.api.edge_consents import EdgeLog
from tests.api.local_witness import LocalWitness
from tests.api.senders import Edge, enrolled_edge
from tests.programs import call

DAY = TODAY - timedelta(days=7)


@pytest.fixture
def busy(database: Database, edge: Edge, tmp_path: Path, seed: int) -> Iterator[AuditedCentre]:
    made = AuditedCentre(database, edge, tmp_path, seed)
    for _ in range(12):
        made.session(DAY)
    made.deliver()
    made.publish()
    yield made
    made.store.close()


def failed(report: AuditReport) -> set[str]:
    return {finding.check for finding in report.findings if not finding.ok}


def told(report: AuditReport, check: str) -> str:
    return next(finding.detail for finding in report.findings if finding.check == check)


def test_an_export_goes_on_from_what_was_kept(busy: AuditedCentre, tmp_path: Path) -> None:
    first, _ = busy.export("first")
    kept = (first / "centre" / "checkpoint").read_bytes()
    (edge_folder,) = (first / "edges").iterdir()
    kept_edge = (edge_folder / "checkpoint").read_bytes()
    busy.session(DAY + timedelta(days=1))
    busy.deliver()
    second, _ = busy.export("second")
    report = verify(second, Trust(known=(kept, kept_edge)))
    assert failed(report) == set()
    assert "2 were compared" in told(report, "kept checkpoints")
    newer = (second / "centre" / "checkpoint").read_bytes()
    assert failed(verify(first)) == set(), "an older state passes for the present one by itself"
    older = verify(first, Trust(known=(newer,)))
    assert failed(older) == {"centre's log"}
    assert "entries before" in told(older, "centre's log")
    newer_edge = next((second / "edges").iterdir()) / "checkpoint"
    assert failed(verify(first, Trust(known=(newer_edge.read_bytes(),)))) >= {"edges' logs"}

    path = tmp_path / "kept.txt"
    path.write_bytes(newer)
    assert call("audit", "verify", str(second), "--known", str(path)).returncode == 0
    refused = call("audit", "verify", str(first), "--known", str(path))
    assert (refused.returncode, "FAILED  centre's log" in refused.stdout) == (1, True)
    assert call("audit", "verify", str(first), "--known", str(tmp_path / "none")).returncode == 1


def test_a_rewritten_log_does_not_go_on_from_what_was_kept(busy: AuditedCentre) -> None:
    folder, _ = busy.export()
    tree = peek((folder / "centre" / "checkpoint").read_bytes())
    stranger = Ed25519Signer(tree.origin, Ed25519PrivateKey.generate())
    kept = sign(Checkpoint(tree.origin, tree.size - 1, b"\x07" * 32), [stranger])
    report = verify(folder, Trust(known=(kept,)))
    assert failed(report) == {"centre's log"}
    assert "rewritten" in told(report, "centre's log")
    other = Ed25519Signer("hailong/centre/another", Ed25519PrivateKey.generate())
    strange = sign(Checkpoint(other.name, 1, b"\x07" * 32), [other])
    assert failed(verify(folder, Trust(known=(strange,)))) == {"kept checkpoints"}


def test_two_edges_and_one_that_never_shipped_a_log(busy: AuditedCentre, tmp_path: Path) -> None:
    enrolled_edge(busy.database, ["counter-9"], area="area-9")
    other = enrolled_edge(busy.database, ["counter-2"], area="area-2")
    second = EdgeLog.make(other, tmp_path / "second")
    second.whole(counter="counter-2")
    second.send(busy.logs, 0)
    second.store.close()
    folder, made = busy.export()
    report = verify(folder)
    assert made.edges == 2
    assert failed(report) <= {"completeness"}, "the second edge's signal was never sent"
    assert told(report, "edges' logs").startswith("2 logs")
    shutil.rmtree(folder / "edges" / str(other.id))
    assert "edges' logs" in failed(verify(folder))


def test_rotated_keys_of_edge_and_centre_are_followed(busy: AuditedCentre) -> None:
    old, new_key = busy.export("old")[0], Ed25519PrivateKey.generate()
    busy.store.rotate_key(lambda origin: (Ed25519Signer(origin, new_key),))
    busy.ship()
    busy.log.rotate_keys()
    busy.session(DAY + timedelta(days=1))
    busy.deliver()
    folder, _ = busy.export("new")
    document = json.loads((folder / "keys.json").read_text("utf-8"))
    assert [period["until"] is None for period in next(iter(document["edges"].values()))] == [False, True]
    assert len(document["centre"]) == 4
    kept = (old / "centre" / "checkpoint").read_bytes()
    assert failed(verify(folder, Trust(known=(kept,)))) == set()
    assert failed(verify(old)) == set()


def test_signals_past_their_retention_are_missing_for_a_reason(busy: AuditedCentre) -> None:
    bound = morning(DAY + timedelta(days=2))
    with busy.database.transaction() as connection:
        removed = connection.execute("DELETE FROM signals").rowcount
        append(
            connection,
            Kind.RETENTION_RUN,
            {"category": "signal", "before": bound, "removed": removed, "days": 5, "actor": "job"},
        )
    busy.session(TODAY - timedelta(days=1))
    busy.deliver()
    report = verify(busy.export()[0])
    assert failed(report) == set()
    assert "12 past their retention" in told(report, "completeness")
    assert "1 past their retention" in told(report, "released sums")


def test_the_witness_s_cosignature_travels_with_the_export(busy: AuditedCentre, tmp_path: Path) -> None:
    witness = Witness.create(tmp_path / "witness", "oversight.example")
    for key in busy.log.keys().verifiers(busy.log.size()):
        witness.add_log(key.vkey())
    settings = LogSettings.model_validate(
        {"witnesses": [{"url": "http://oversight.example", "vkey": witness.vkeys[0]}]}
    )
    folder = tmp_path / "witnessed"
    export(
        busy.log,
        Witnesses(busy.log, settings, LocalWitness(witness)),
        folder,
        Scope(MINIMUM_N, TODAY),
        made_at=morning(TODAY),
        software="test",
        actor="auditor",
    )
    latest = witness.logs()[0].note
    report = verify(folder, Trust(witnesses=(witness.vkeys[0],), known=(latest,)))
    assert failed(report) == set()
    assert told(report, "witnesses") == "1 of your witnesses cosigned the checkpoint"
    other = Witness.create(tmp_path / "other", "other.example")
    assert failed(verify(folder, Trust(witnesses=(other.vkeys[0],)))) == {"witnesses"}
