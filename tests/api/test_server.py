"""The service as a whole: HTTP answers, limits, and kills."""

from __future__ import annotations

import json
import os
import random
import re
import signal as signals
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Database
from api.postgres import EmbeddedPostgres
from tests.api.running import Central, running
from tests.api.senders import Edge, enrolled_edge, public_text, signal
from tests.api.test_ingest import rollup_faults

ROOT = Path(__file__).parents[2]


@pytest.fixture
def central(dsn: str) -> Iterator[Central]:
    with running(dsn, demo={"enabled": True, "arrivals_token": "let-me-see"}) as central:
        yield central


@pytest.fixture
def client(central: Central) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=central.address, timeout=20) as client:
        yield client


def send(client: httpx.Client, edge: Edge, first: int, payloads: list[Any]) -> httpx.Response:
    body = edge.batch(first, payloads)
    return client.post("/v1/batches", content=body, headers={"Hailong-Signature": edge.sign(body)})


def test_enrol_send_and_see_the_signal_arrive(client: httpx.Client, database: Database) -> None:
    from api.enrolment import make_token  # noqa: PLC0415 - only this test enrols over HTTP

    key = Ed25519PrivateKey.generate()
    token = make_token(database, ["quay-1"], actor="test")
    request = {"token": token, "public_key": public_text(key), "name": "box-1"}
    answer = client.post("/v1/enrolments", json=request)
    assert answer.status_code == 200
    assert answer.json()["counters"] == ["quay-1"]
    again = client.post("/v1/enrolments", json=request)
    assert (again.status_code, again.json()["kind"]) == (401, "token-invalid")
    edge = Edge(answer.json()["edge"], key, ("quay-1",))
    payload = signal(random.Random(1), "quay-1", score=0.25)  # noqa: S311 - a seeded sequence, no secret
    done = send(client, edge, 1, [payload, {"no": "signal"}])
    assert done.status_code == 200
    assert done.json()["high_water"] == 2
    assert [item["seq"] for item in done.json()["quarantined"]] == [2]
    seen = client.get("/v1/arrivals", headers={"Authorization": "Bearer let-me-see"}).json()
    assert [(item["session_id"], item["score"]) for item in seen["arrivals"]] == [
        (payload["session_id"], 0.25)
    ]
    later = client.get(f"/v1/arrivals?after={seen['cursor']}", headers={"Authorization": "Bearer let-me-see"})
    assert later.json() == {"cursor": seen["cursor"], "arrivals": []}
    text = client.get("/metrics").text
    assert "hailong_signals_committed_total 1.0" in text
    assert 'hailong_entries_quarantined_total{reason="bad-signal"} 1.0' in text


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "hailong_session=x.y"}])
def test_arrivals_need_a_reader(client: httpx.Client, header: dict[str, str]) -> None:
    answer = client.get("/v1/arrivals", headers=header)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_a_gap_and_a_bad_signature_over_http(client: httpx.Client, database: Database) -> None:
    edge = enrolled_edge(database, ["quay-1"])
    gap = send(client, edge, 5, [signal(random.Random(2), "quay-1")])  # noqa: S311 - a seeded sequence, no secret
    assert (gap.status_code, gap.json()["kind"], gap.json()["high_water"]) == (409, "sequence-gap", 0)
    unsigned = client.post("/v1/batches", content=edge.batch(1, [{}]))
    assert (unsigned.status_code, unsigned.json()["kind"]) == (401, "not-authenticated")
    assert 'hailong_auth_failures_total{door="edge"} 1.0' in client.get("/metrics").text


def test_too_large_a_body_is_refused_declared_or_not(client: httpx.Client) -> None:
    declared = client.post("/v1/batches", content=b" " * (2 * 1024 * 1024 + 1))
    assert (declared.status_code, declared.json()["kind"]) == (413, "body-too-large")

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    streamed = client.post("/v1/batches", content=chunks())
    assert streamed.status_code == 413
    form = client.post("/login", content=b"name=" + b"a" * 70_000)
    assert form.status_code == 413


def test_a_dripping_body_is_cut_off(central: Central) -> None:
    host, port = central.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        answer = b""
        while not answer.endswith(b"}") and (part := connection.recv(4096)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body-too-slow" in answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("PUT", "/v1/batches", 405),
        ("POST", "/v1/enrolments", 422),
        ("GET", "/docs", 404),
    ],
)
def test_errors_are_problem_documents(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert {"type", "title", "detail"} <= set(answer.json())


def test_every_answer_has_the_policy(client: httpx.Client) -> None:
    for path in ("/login", "/healthz", "/nothing", "/style.css"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_lost_database_gives_503_and_comes_back(open_dir: Path) -> None:
    server = EmbeddedPostgres(open_dir / "data", durable=False)
    server.start()
    dsn = server.dsn()
    with running(dsn) as central, httpx.Client(base_url=central.address, timeout=30) as client:
        with Database(dsn) as database:
            edge = enrolled_edge(database, ["quay-1"])
        assert client.get("/readyz").status_code == 200
        server.stop()
        payload = signal(random.Random(3), "quay-1")  # noqa: S311 - a seeded sequence, no secret
        lost = send(client, edge, 1, [payload])
        assert (lost.status_code, lost.json()["kind"]) == (503, "database-unavailable")
        assert int(lost.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        server.start()
        deadline = time.monotonic() + 60
        while (back := send(client, edge, 1, [payload])).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.3)
        assert back.json() == {"high_water": 1, "quarantined": []}
    server.stop()


def test_an_old_schema_is_not_ready(client: httpx.Client, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["migration"]) == (503, False)


def test_the_committed_openapi_schema_is_current() -> None:
    from api.app import build_app  # noqa: PLC0415 - late, as the command does
    from api.settings import Settings  # noqa: PLC0415 - as above

    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(build_app(Settings()).openapi())), (
        "run: hailong central openapi > docs/openapi.json"
    )


class _Program:
    """`hailong central run` as its own process, killed with its PostgreSQL at will."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._log = config.with_suffix(".log")
        self.address = ""
        self.line = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "hailong.py", "central", "run", "-c", str(self._config)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        found = re.search(r"http://\S+", self.line)
        if found is None:
            self._close()
            pytest.fail(f"it did not start: {self.line}{self._log.read_text('utf-8')[-3000:]}")
        self.address = found[0]

    def kill(self, *, postgres: bool) -> None:
        assert self._process is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        self._process.kill()
        if postgres:
            for child in children:
                os.kill(int(child), signals.SIGKILL)
        self._close()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signals.SIGTERM)
        return self._close()

    def _close(self) -> int:
        assert self._process is not None
        code = self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@pytest.mark.parametrize("kills_wanted", [2, pytest.param(10, marks=pytest.mark.long)])
def test_killed_again_and_again_every_signal_is_there_once(open_dir: Path, kills_wanted: int) -> None:
    config = open_dir / "central.toml"
    config.write_text(f'[server]\nport = 0\n[database]\ndata_dir = "{open_dir}/pg"\n', encoding="utf-8")
    program = _Program(config)
    program.start()
    assert "one-time password" in program.line
    dsn = EmbeddedPostgres(open_dir / "pg").dsn()
    with Database(dsn) as database:
        edge = enrolled_edge(database, ["quay-1", "quay-2"])
    rng = random.Random(4)  # noqa: S311 - a seeded sequence, no secret
    stream = [
        signal(rng, rng.choice(edge.counters), start=datetime.now(UTC) - timedelta(hours=rng.randint(1, 900)))
        for _ in range(80 * kills_wanted)
    ]
    acknowledged, kills = 0, 0
    client = httpx.Client(timeout=20)
    while acknowledged < len(stream):
        body = edge.batch(acknowledged + 1, stream[acknowledged : acknowledged + rng.randint(1, 12)])
        headers = {"Hailong-Signature": edge.sign(body)}
        if kills < kills_wanted and acknowledged > kills * 60:
            # Sent, and killed before anybody read the answer: the edge cannot know.
            with socket.create_connection(
                (program.address[7:].split(":")[0], int(program.address[7:].split(":")[1]))
            ) as raw:
                head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                raw.sendall(
                    f"{head}Hailong-Signature: {headers['Hailong-Signature']}\r\n\r\n".encode() + body
                )
                time.sleep(rng.random() * 0.02)
                program.kill(postgres=kills % 2 == 0)
            kills += 1
            client.close()
            client = httpx.Client(timeout=20)
            program.start()
            assert "one-time password" not in program.line
        else:
            answer = client.post(f"{program.address}/v1/batches", content=body, headers=headers)
            assert answer.status_code == 200, answer.text
            acknowledged = answer.json()["high_water"]
    client.close()
    with Database(dsn) as database:
        with database.transaction() as connection:
            rows = connection.execute("SELECT signal_id::text FROM signals ORDER BY seq").fetchall()
        assert [row[0] for row in rows] == [item["signal_id"] for item in stream]
        assert rollup_faults(database) == []
    assert kills == kills_wanted
    assert program.stop() == 0
    left = subprocess.run(["pgrep", "-f", str(open_dir)], capture_output=True, text=True, check=False).stdout
    assert left == ""
