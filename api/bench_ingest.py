"""How many signals a second the whole service commits: HTTP, signature, validation, PostgreSQL."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from uuid6 import uuid7

from api.database import Database
from api.enrolment import enrol, make_token
from api.server import CentralServer, configure_logging
from api.settings import Settings
from inference.signal import Change, Estimate, Factor, FactorEstimate, ModelVersion, Quality, Signal

BATCHES: Final = (1, 100, 500)
_COUNTER: Final = "bench"


@dataclass(frozen=True, slots=True)
class IngestRate:
    """Signals committed a second at one batch size, one sender."""

    batch: int
    signals: int
    elapsed_s: float

    @property
    def per_s(self) -> float:
        """Signals a second."""
        return self.signals / self.elapsed_s


def measure_ingest(batches: Sequence[int] = BATCHES, *, duration_s: float = 3.0) -> tuple[IngestRate, ...]:
    """Run the service on a throw-away durable PostgreSQL and send for `duration_s` at each batch size.

    Sender, service and database share this machine, and sender and service this process; bodies are made
    and signed before the clock starts.
    """
    directory = Path(tempfile.mkdtemp(prefix="hailong-bench-", dir="/tmp"))
    directory.chmod(0o755)
    configure_logging("warning")
    try:
        settings = Settings.model_validate(
            {"server": {"port": 0}, "database": {"data_dir": str(directory / "postgres")}}
        )
        with CentralServer(settings) as server, _serving(server):
            return tuple(_rate(server, size, duration_s) for size in batches)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _serving(server: CentralServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def _rate(server: CentralServer, size: int, duration_s: float) -> IngestRate:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    with Database(server.dsn, pool_size=2) as database:
        edge = enrol(database, make_token(database, [_COUNTER], actor="bench"), public, "bench").edge
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
    sent, elapsed_s = 0, 0.0
    while elapsed_s < duration_s:
        bodies = [_body(edge, sent + 1 + index * size, size) for index in range(max(1, 200 // size))]
        signed = [(body, base64.b64encode(key.sign(body)).decode()) for body in bodies]
        begun = time.perf_counter()
        for body, signature in signed:
            connection.request("POST", "/v1/batches", body, {"Hailong-Signature": signature})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            sent += size
            if answer.get("high_water") != sent or answer.get("quarantined"):
                message = f"the service did not take a batch of {size}: {answer}"
                raise RuntimeError(message)
        elapsed_s += time.perf_counter() - begun
    connection.close()
    return IngestRate(size, sent, elapsed_s)


def _body(edge: UUID, first_seq: int, size: int) -> bytes:
    entries = [{"seq": first_seq + index, "kind": "signal", "payload": _payload()} for index in range(size)]
    return json.dumps({"edge": str(edge), "first_seq": first_seq, "entries": entries}).encode()


def _payload() -> dict[str, Any]:
    start = datetime.now(UTC) - timedelta(minutes=10)
    estimate = Estimate(score=0.7, low=0.6, high=0.8)
    signal = Signal(
        signal_id=UUID(bytes=uuid7().bytes),
        session_id=UUID(bytes=uuid7().bytes),
        consent_record_id=UUID(bytes=uuid7().bytes),
        counter=_COUNTER,
        window_start=start,
        window_end=start + timedelta(minutes=5),
        image_permitted=True,
        voice_permitted=True,
        overall=estimate,
        factors=tuple(FactorEstimate(factor=factor, estimate=estimate, mentions=1) for factor in Factor),
        change=Change(delta=0.1, low=-0.1, high=0.3),
        quality=Quality(face_s=120.0, speech_s=40.0, utterances=9, noise_dbfs=-52.0),
        models=(ModelVersion(name="bench", version="1", sha256="0" * 64),),
        software="hailong-0.1.0",
    )
    payload: dict[str, Any] = signal.model_dump(mode="json")
    return payload
