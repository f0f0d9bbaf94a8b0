"""Erasure at the centre: exact, once, whatever is asked again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Database
from api.eraser import CentralEraser
from api.erasure import certificate, erase
from api.erasure_file import ErasureFile
from api.ingest import Ingest
from api.physical import RewriteRule
from api.settings import IngestSettings
from consent.checkpoint import Ed25519Signer
from tests.api.senders import Edge, signal
from tests.api.test_ingest import count, rollup_faults

AT_ONCE = RewriteRule(now_mb=1000, from_hour=2, to_hour=5)
SIGNER = Ed25519Signer("hailong/erasure", Ed25519PrivateKey.from_private_bytes(b"e" * 32))


@pytest.fixture
def file(tmp_path: Path) -> ErasureFile:
    return ErasureFile(tmp_path / "erasures.jsonl")


@pytest.fixture
def eraser(database: Database, file: ErasureFile) -> CentralEraser:
    return CentralEraser(database, file, SIGNER, rule=AT_ONCE)


def log_kinds(database: Database, record_id: UUID) -> list[str]:
    with database.transaction() as connection:
        return [
            str(row[0])
            for row in connection.execute(
                "SELECT kind FROM central_log WHERE record_id = %s ORDER BY idx", (record_id,)
            )
        ]


def test_a_withdrawn_signal_goes_with_its_part_of_both_rollups(
    database: Database, edge: Edge, eraser: CentralEraser, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    long_ago = datetime.now(UTC) - timedelta(days=70)
    payloads = [signal(rng) for _ in range(6)] + [signal(rng, "counter-2", start=long_ago, score=None)]
    body = edge.batch(1, payloads)
    Ingest(database, IngestSettings()).accept(body, edge.sign(body))
    for payload in (payloads[2], payloads[6]):
        record_id = UUID(payload["consent_record_id"])
        assert erase(database, record_id, "withdrawn")
        assert not erase(database, record_id, "withdrawn")
        assert eraser.run_once() == 1
        done = certificate(database, record_id)
        assert done is not None
        done.verify(SIGNER.vkey())
        assert not done.resumed
        assert {store.name: store.removed for store in done.stores}["signals"] == 1
        assert log_kinds(database, record_id) == ["erasure-started", "erasure-done"]
        assert rollup_faults(database) == []
    assert count(database, "signals") == 5
    assert eraser.run_once() == 0
