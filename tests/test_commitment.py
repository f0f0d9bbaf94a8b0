"""What an edge commits to in its log is what an auditor finds at the centre, byte for byte."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest

from api.audit_folder import ExportedSignal
from api.database import Database
from api.ingest import Ingest
from api.settings import IngestSettings
from capture.outbox import Outbox
from consent.session_keys import SessionKeys, opens
from inference.signal import Signal
from tests.api.conftest import database, dsn, edge, postgres
from tests.api.senders import Edge, signal

__all__ = ["database", "dsn", "edge", "postgres"]


@pytest.mark.parametrize("seconds", [0.0, 8.0, 0.1 + 0.2, 1e-7, 8.583333333])
def test_a_commitment_opens_with_the_signal_that_the_centre_stored(
    database: Database, edge: Edge, tmp_path: Path, seed: int, seconds: float
) -> None:
    document = signal(random.Random(seed))  # noqa: S311 - a seeded sequence, no secret
    document["quality"] |= {"face_s": seconds, "gap_s": 0.0, "noise_dbfs": -60.0}
    made = Signal.model_validate(document)
    with SessionKeys(tmp_path / "keys.sqlite") as keys:
        outbox = Outbox(tmp_path / "outbox.sqlite", keys)
        committed = outbox.hold("signal", made.model_dump(mode="json"), key=made.consent_record_id)
        outbox.release(made.consent_record_id)
        (entry,) = outbox.pending()
        outbox.close()
    assert entry.salt is not None
    row = {
        "seq": 1,
        "kind": "signal",
        "payload": entry.payload,
        "salt": base64.b64encode(entry.salt).decode(),
    }
    body = json.dumps({"edge": str(edge.id), "first_seq": 1, "entries": [row]}).encode()
    assert Ingest(database, IngestSettings()).accept(body, edge.sign(body)).inserted == 1
    with database.transaction() as connection:
        stored = connection.execute("SELECT arrival, payload, salt FROM signals").fetchone()
    assert stored is not None
    found = ExportedSignal(Signal.model_validate(stored[1]), stored[0], bytes(stored[2]))
    assert committed is not None
    assert found.salt is not None
    assert opens(committed, found.salt, found.payload())
