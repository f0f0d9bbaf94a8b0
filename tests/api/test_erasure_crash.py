"""The service or PostgreSQL is killed after each step of an erasure; the next start completes it."""

from __future__ import annotations

import os
import random
import signal as signals
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from api.database import Database
from api.eraser import CentralEraser
from api.erasure import certificate, erase
from api.erasure_file import ErasureFile
from api.errors import ApiError
from api.ingest import Ingest
from api.physical import remove_orphans
from api.postgres import EmbeddedPostgres
from api.settings import IngestSettings
from tests.api.senders import Edge, enrolled_edge, signal
from tests.api.test_erasure import AT_ONCE, SIGNER, log_kinds
from tests.api.test_ingest import rollup_faults

STEPS = (
    *("begun", "signals", "quarantine", "ballots", "receipts"),
    *("rewritten rollup_area_day", "rewritten rollup_counter_day"),
    *("dead-rows", "temporary-files", "write-ahead-log", "certified"),
)


def eraser_of(folder: Path, database: Database, step: Callable[[str], None]) -> CentralEraser:
    return CentralEraser(database, ErasureFile(folder / "erasures.jsonl"), SIGNER, rule=AT_ONCE, step=step)


def put(database: Database, edge: Edge, rng: random.Random, seq: int) -> UUID:
    payload = signal(rng)
    body = edge.batch(seq, [payload])
    assert Ingest(database, IngestSettings()).accept(body, edge.sign(body)).inserted == 1
    record_id = UUID(payload["consent_record_id"])
    erase(database, record_id, "withdrawn")
    return record_id


def die_after(folder: Path, dsn: str, step: str) -> None:
    """Run the eraser in a process that is killed as a power cut would, right after one step."""
    pid = os.fork()
    if pid == 0:
        try:
            with Database(dsn, pool_size=2) as database:
                eraser_of(
                    folder,
                    database,
                    lambda name: os.kill(os.getpid(), signals.SIGKILL) if name == step else None,
                ).run_once()
        finally:
            os._exit(3)  # it lived: the step never came
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"the step '{step}' never came"


def finish(folder: Path, dsn: str, record_id: UUID) -> None:
    deadline = time.monotonic() + 60
    with Database(dsn, pool_size=2) as database:
        eraser = eraser_of(folder, database, lambda _: None)
        eraser.catch_up()
        while certificate(database, record_id) is None:
            assert time.monotonic() < deadline
            eraser.run_once()
        done = certificate(database, record_id)
        assert done is not None
        done.verify(SIGNER.vkey())
        assert {store.name: store.removed for store in done.stores}["signals"] == 1
        kinds = log_kinds(database, record_id)
        assert kinds == ["erasure-started", "erasure-done"]
        assert rollup_faults(database) == []
        with database.transaction() as connection:
            assert connection.execute(
                "SELECT count(*) FROM signals WHERE consent_record_id = %s", (record_id,)
            ).fetchone() == (0,)


def test_the_service_is_killed_after_each_step(open_dir: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    with EmbeddedPostgres(open_dir / "data", durable=False) as server:
        Database(server.dsn()).migrate()
        with Database(server.dsn()) as database:
            edge = enrolled_edge(database, ["counter-1"])
        for seq, step in enumerate(STEPS, 1):
            with Database(server.dsn()) as database:
                record_id = put(database, edge, rng, seq)
            die_after(open_dir, server.dsn(), step)
            finish(open_dir, server.dsn(), record_id)


@pytest.mark.parametrize(
    "steps",
    [
        ("begun", "signals", "rewritten rollup_counter_day", "write-ahead-log"),
        pytest.param(STEPS, marks=pytest.mark.long),
    ],
)
def test_postgresql_is_killed_after_each_step(open_dir: Path, seed: int, steps: tuple[str, ...]) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    server = EmbeddedPostgres(open_dir / "data")
    server.start()
    try:
        Database(server.dsn()).migrate()
        with Database(server.dsn()) as database:
            edge = enrolled_edge(database, ["counter-1"])
        for seq, step in enumerate(steps, 1):
            with Database(server.dsn(), wait_s=0.3) as database:
                record_id = put(database, edge, rng, seq)

                def kill(name: str, wanted: str = step) -> None:
                    if name == wanted and server.pid is not None:
                        os.kill(server.pid, signals.SIGKILL)
                        time.sleep(0.1)

                if step == "certified":  # nothing is left to fail
                    assert eraser_of(open_dir, database, kill).run_once() == 1
                else:
                    with pytest.raises((ApiError, psycopg.OperationalError)):
                        eraser_of(open_dir, database, kill).run_once()
            server.stop()
            server.start()
            finish(open_dir, server.dsn(), record_id)
    finally:
        server.stop()


def test_the_half_written_copy_of_a_killed_rewrite_is_removed(open_dir: Path) -> None:
    server = EmbeddedPostgres(open_dir / "data", durable=False)
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE t AS SELECT 'orphan-canary-' || i AS v FROM generate_series(1, 9) i"
            )
            connection.execute(
                "CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql "
                "AS $$ BEGIN PERFORM pg_sleep(current_setting('test.sleep_s')::float); RETURN $1; END $$"
            )
            connection.execute("SET test.sleep_s = 0")
            connection.execute("CREATE INDEX ON t (slow(v))")
            connection.execute("CHECKPOINT")
        blocked = psycopg.connect(server.dsn(), autocommit=True, options="-c test.sleep_s=30")
        blocked.pgconn.send_query(b"VACUUM FULL t")
        time.sleep(1.0)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")  # the copy is on the disk
        assert server.pid is not None
        os.kill(server.pid, signals.SIGKILL)
        server.stop()
        blocked.close()
        server.start()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            assert remove_orphans(connection, open_dir / "data") >= 1
            assert remove_orphans(connection, open_dir / "data") == 0
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (9,)
    finally:
        server.stop()
