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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
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

    Sender, service and database share this machine, each as a process of its own; bodies are made and
    signed before the clock starts.
    """
    with bench_service() as (server, _), serving(server):
        return tuple(_rate(server, size, duration_s) for size in batches)


@contextlib.contextmanager
def bench_service() -> Iterator[tuple[CentralServer, Path]]:
    """Give a service with a throw-away database that is not served yet, and the folder of both."""
    directory = Path(tempfile.mkdtemp(prefix="hailong-bench-", dir="/tmp"))
    directory.chmod(0o755)
    configure_logging("warning")
    try:
        settings = Settings.model_validate(
            {
                "server": {"port": 0},
                "database": {"data_dir": str(directory / "postgres")},
                "retention": {"daily": False},
            }
        )
        with CentralServer(settings) as server:
            yield server, directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def serving(server: CentralServer) -> Iterator[None]:
    """Serve for as long as the context lasts."""
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def _rate(server: CentralServer, size: int, duration_s: float) -> IngestRate:
    key = Ed25519PrivateKey.generate()
    with Database(server.dsn, pool_size=2) as database:
        edge = enrolled_bench_edge(database, key, [_COUNTER])
    plan = Sending(server.address, edge, key.private_bytes_raw(), size, duration_s)
    # A process of its own, as an edge is: it must not share the service's interpreter.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as sender:
        return sender.submit(send, plan).result()


def enrolled_bench_edge(
    database: Database, key: Ed25519PrivateKey, counters: Sequence[str], unit: str = "", area: str = ""
) -> UUID:
    """Enrol an edge with counters of a unit and return its number."""
    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    token = make_token(database, counters, actor="bench", unit=unit, area=area)
    return enrol(database, token, public, "bench").edge


@dataclass(frozen=True, slots=True)
class Sending:
    """What the sender does: batches of one size to one address for some time."""

    address: str
    edge: UUID
    private_key: bytes
    size: int
    duration_s: float


def send(plan: Sending) -> IngestRate:
    """Send batches one after the other and measure from the first byte to the last answer.

    Raises:
        RuntimeError: The service did not take a batch.
    """
    key = Ed25519PrivateKey.from_private_bytes(plan.private_key)
    connection = http.client.HTTPConnection(urlsplit(plan.address).netloc, timeout=60)
    sent, elapsed_s = 0, 0.0
    while elapsed_s < plan.duration_s:
        first = range(sent + 1, sent + 1 + plan.size * max(1, 200 // plan.size), plan.size)
        bodies = [_body(plan.edge, number, plan.size) for number in first]
        signed = [(body, base64.b64encode(key.sign(body)).decode()) for body in bodies]
        begun = time.perf_counter()
        for body, signature in signed:
            connection.request("POST", "/v1/batches", body, {"Hailong-Signature": signature})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            sent += plan.size
            if answer.get("high_water") != sent or answer.get("quarantined"):
                message = f"the service did not take a batch of {plan.size}: {answer}"
                raise RuntimeError(message)
        elapsed_s += time.perf_counter() - begun
    connection.close()
    return IngestRate(plan.size, sent, elapsed_s)


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
