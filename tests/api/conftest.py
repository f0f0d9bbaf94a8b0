"""One real PostgreSQL a test process, one database a test from a template; passwords hashed quickly."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from argon2 import PasswordHasher

from api.database import Database
from api.postgres import EmbeddedPostgres
from tests.api.senders import Edge, enrolled_edge

_NUMBERS = itertools.count()
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folders below are private
_ROOM_BYTES = 2 << 30
"""What one process of the tests may come to: its server, provinces and write-ahead log."""


def short_folder(prefix: str) -> Path:
    """Make a folder with a short name that the unprivileged server user may enter (pytest's own are closed).

    It is in memory where there is room: a database a test is a thousand files each time, and making them
    takes ten times as long on a disk.
    """
    quick = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if quick else "/tmp"))  # noqa: S108 - short and open, as said
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hash in a fraction of a millisecond what this process hashes; programs the tests start do as delivered.

    An account takes four hashes until it can be used, a service two more, and argon2 is slow by design:
    without this the tests spend more on them than on what they ask.
    """
    with pytest.MonkeyPatch.context() as patch:
        quick = functools.partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr("api.passwords.PasswordHasher", quick)
        yield


@pytest.fixture
def hashes_as_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what the time of a hash does; ask for it before what hashes."""
    monkeypatch.setattr("api.passwords.PasswordHasher", PasswordHasher)


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """Give a folder for a server of its own."""
    path = short_folder("hl-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    path = short_folder("hl-pg-")
    server = EmbeddedPostgres(path / "data", durable=False)
    try:
        server.start()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_central")
        Database(server.dsn("template_central")).migrate()
        yield server
    finally:
        server.stop()
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central STRATEGY FILE_COPY")
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    with Database(dsn) as database:
        yield database


@pytest.fixture
def edge(database: Database) -> Edge:
    return enrolled_edge(database, ["counter-1", "counter-2"])
