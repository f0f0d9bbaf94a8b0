"""Erasure, seen from the disk: after it not one byte of the canary is left, and without it there would be."""

from __future__ import annotations

import base64
import json
import logging
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Database
from api.eraser import CentralEraser
from api.erasure import certificate, erase, find_erasure
from api.erasure_file import ErasureFile
from api.erasure_stores import ROW_STORES
from api.ingest import Ingest
from api.physical import RewriteRule
from api.postgres import EmbeddedPostgres, find_bindir
from api.server import configure_logging
from api.settings import IngestSettings
from consent.checkpoint import Ed25519Signer
from tests.api.senders import Edge, enrolled_edge, signal

SIGNER = Ed25519Signer("hailong/erasure", Ed25519PrivateKey.from_private_bytes(b"e" * 32))
AT_ONCE = RewriteRule(now_mb=1000, from_hour=2, to_hour=5)
SCORE = 0.734_219
SALT = b"canary-salt-" + bytes(range(200, 220))
TEXT = "canary-của-công-dân-7341"


@dataclass(frozen=True, slots=True)
class Planted:
    """One citizen's traces."""

    record_id: UUID
    needles: dict[str, bytes]


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="hl-canary-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def hits(folder: Path, needles: dict[str, bytes]) -> dict[str, int]:
    """Count every needle in every byte of every file below a folder."""
    found = dict.fromkeys(needles, 0)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            for name, needle in needles.items():
                found[name] += data.count(needle)
    return found


def plant(database: Database, edge: Edge, seed: int) -> Planted:
    """Send the canary as a signal, as an entry that is set aside, and through an insert that fails."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    start = datetime.now(UTC).replace(day=1, hour=3) + timedelta(hours=rng.randrange(24))
    payloads = [signal(rng, start=start) for _ in range(40)]
    marked = payloads[17]
    marked["overall"] = {"score": SCORE, "low": 0.611_111, "high": 0.812_345, "abstained": None}
    record_id = UUID(marked["consent_record_id"])
    spoilt = marked | {"signal_id": str(UUID(int=rng.getrandbits(128))), "transcript": TEXT}
    entries: list[dict[str, Any]] = [
        {"seq": number, "kind": "signal", "payload": payload} for number, payload in enumerate(payloads, 1)
    ]
    entries[17]["salt"] = base64.b64encode(SALT).decode()
    entries.append({"seq": 41, "kind": "signal", "payload": spoilt})
    body = json.dumps({"edge": str(edge.id), "first_seq": 1, "entries": entries}).encode()
    ingest = Ingest(database, IngestSettings())
    assert ingest.accept(body, edge.sign(body)).inserted == 40
    # The crash path: the database refuses the row and would tell it, values and all.
    with database.transaction() as connection:
        connection.execute("ALTER TABLE signals ADD CONSTRAINT broken CHECK (seq <> 42) NOT VALID")
    again = marked | {"signal_id": str(UUID(int=rng.getrandbits(128)))}
    body = edge.batch(42, [again])
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not tell the row
        ingest.accept(body, edge.sign(body))
    assert TEXT not in str(caught.value)
    assert str(SCORE) not in str(caught.value)
    with database.transaction() as connection:
        connection.execute("ALTER TABLE signals DROP CONSTRAINT broken")
    triple = b"".join(
        round(value * 1_000_000).to_bytes(4, "little") for value in (SCORE, 0.611_111, 0.812_345)
    )
    return Planted(
        record_id,
        {
            "scores as the row holds them": triple,
            "score as text": str(SCORE).encode(),
            "salt": SALT,
            "salt as text": SALT.hex().encode(),
            "text": TEXT.encode(),
            "text escaped": json.dumps(TEXT)[1:-1].encode(),
            "signal id": UUID(marked["signal_id"]).bytes,
            "signal id as text": marked["signal_id"].encode(),
        },
    )


def eraser_of(place: Path, database: Database) -> CentralEraser:
    return CentralEraser(database, ErasureFile(place / "erasures.jsonl"), SIGNER, rule=AT_ONCE)


def finish(eraser: CentralEraser, database: Database, record_id: UUID) -> int:
    """Run until the erasure is certified: a background process may see the deleted rows for a moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = eraser.run_once()
        if done:
            return done
        found = find_erasure(database, record_id)
        assert found is not None
        assert found.fault
        time.sleep(0.2)
    raise AssertionError("the erasure was never certified")


def checkpoint(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
        connection.execute("CHECKPOINT")


def dump(dsn: str, to: Path) -> None:
    subprocess.run(
        [str(find_bindir() / "pg_dump"), "--format=plain", "-f", str(to), dsn], check=True, timeout=60
    )


def test_no_byte_of_the_canary_is_left_in_data_files_log_and_backup(
    place: Path, seed: int, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    configure_logging("debug")
    request.addfinalizer(structlog.reset_defaults)
    with EmbeddedPostgres(place / "postgres") as server:
        Database(server.dsn()).migrate()
        with Database(server.dsn()) as database:
            planted = plant(database, enrolled_edge(database, ["counter-1"]), seed)
            checkpoint(server.dsn())
            before = hits(place, planted.needles)
            erase(database, planted.record_id, "withdrawn")
            # The control: rows gone and vacuumed, as a careful program would leave it.
            with database.transaction() as connection:
                for store in ROW_STORES:
                    store.remove(connection, planted.record_id)
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute("VACUUM")
            checkpoint(server.dsn())
            control = hits(place, planted.needles)
            # The rows are gone, so nothing would be rewritten: let the eraser find that they were there.
            with database.transaction() as connection:
                connection.execute(
                    "INSERT INTO erasure_stores (record_id, name, position, state, removed) "
                    "VALUES (%s, 'signals', 0, 'done', 1) ON CONFLICT DO NOTHING",
                    (planted.record_id,),
                )
            assert finish(eraser_of(place, database), database, planted.record_id) == 1
            running = hits(place, planted.needles)
            dump(server.dsn(), place / "after.sql")
            done = certificate(database, planted.record_id)
    stopped = hits(place, planted.needles)
    out = capfd.readouterr()
    with capfd.disabled():
        print(  # noqa: T201 - the record of the run
            f"\nseed {seed}, hits\nbefore  {before}\ncontrol {control}\nrunning {running}\nstopped {stopped}"
        )
    assert all(before[name] for name in ("scores as the row holds them", "salt", "text escaped", "signal id"))
    assert control["scores as the row holds them"] > 0
    assert control["salt"] > 0
    assert set(running.values()) == {0}, running
    assert set(stopped.values()) == {0}, stopped
    assert done is not None
    for needle in (str(SCORE), TEXT, SALT.hex()):
        assert needle not in out.err + out.out


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, timeout=60)


def erase_planted(place: Path, dsn: str, record_id: UUID) -> None:
    with Database(dsn) as database:
        erase(database, record_id, "withdrawn")
        assert finish(eraser_of(place, database), database, record_id) == 1


def replay(place: Path, dsn: str, record_id: UUID) -> tuple[int, int]:
    """Do what the service does at its start."""
    with Database(dsn) as database:
        eraser = eraser_of(place, database)
        found = eraser.catch_up()
        return found, finish(eraser, database, record_id) if found else eraser.run_once()


def test_a_backup_that_is_restored_is_erased_again(place: Path, seed: int) -> None:
    data, kept = place / "postgres", place.with_name(place.name + "-kept")
    kept.mkdir(mode=0o755)
    try:
        with EmbeddedPostgres(data) as server:
            Database(server.dsn()).migrate()
            with Database(server.dsn()) as database:
                planted = plant(database, enrolled_edge(database, ["counter-1"]), seed)
            dump(server.dsn(), kept / "before.sql")
        copy(data, kept / "postgres")  # while it is stopped
        with EmbeddedPostgres(data) as server:
            erase_planted(place, server.dsn(), planted.record_id)
        assert set(hits(place, planted.needles).values()) == {0}

        shutil.rmtree(data)
        copy(kept / "postgres", data)
        assert hits(place, planted.needles)["salt"] > 0
        with EmbeddedPostgres(data) as server:
            assert replay(place, server.dsn(), planted.record_id) == (1, 1)
            assert set(hits(place, planted.needles).values()) == {0}
            assert replay(place, server.dsn(), planted.record_id) == (0, 0)

        shutil.rmtree(data)
        with EmbeddedPostgres(data) as server:
            psql = [
                str(find_bindir() / "psql"),
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                str(kept / "before.sql"),
            ]
            subprocess.run([*psql, server.dsn()], check=True, timeout=60, stdout=subprocess.DEVNULL)
            checkpoint(server.dsn())
            assert hits(place, planted.needles)["salt as text"] + hits(place, planted.needles)["salt"] > 0
            assert replay(place, server.dsn(), planted.record_id) == (1, 1)
        found = hits(place, planted.needles)
        assert set(found.values()) == {0}, found
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def test_a_row_that_the_database_refuses_is_not_told_to_the_log(
    dsn: str, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    configure_logging("debug")
    request.addfinalizer(structlog.reset_defaults)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (v text CHECK (length(v) < 3))")
        with pytest.raises(psycopg.errors.CheckViolation, match=TEXT) as caught:
            connection.execute("INSERT INTO t VALUES (%s)", (TEXT,))
    structlog.get_logger("api").error("unexpected error", exc_info=caught.value)
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=caught.value)
    out = capfd.readouterr()
    assert "CheckViolation" in out.err
    assert TEXT not in out.err + out.out
    assert json.dumps(TEXT)[1:-1] not in out.err + out.out
