"""The database of the central program: pool, migrations, and what to do when it is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg_pool import ConnectionPool

from api.errors import DatabaseUnavailable
from api.schema import create_partition, months_of, next_month

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x6D_69_67_72
_TIMEOUTS: Final = (
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
)

Connection = psycopg.Connection[tuple[Any, ...]]


class Database:
    """A pool of connections; every loss of the server surfaces as DatabaseUnavailable.

    Args:
        dsn: Address of the database.
        pool_size: Most connections held.
        wait_s: Longest wait for a connection.
    """

    def __init__(self, dsn: str, *, pool_size: int = 8, wait_s: float = 5.0) -> None:
        """Prepare the pool without connecting."""
        self._dsn = dsn
        self._wait_s = wait_s
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=wait_s,
            reconnect_timeout=2.0,
            kwargs={"options": _TIMEOUTS, "connect_timeout": 5},
            check=ConnectionPool.check_connection,
            name="central",
        )

    @property
    def dsn(self) -> str:
        """The address, for the few things that cannot run inside a pooled transaction."""
        return self._dsn

    def __enter__(self) -> Self:
        """Open the pool."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    def open(self) -> None:
        """Open the pool; connections are made as they are needed."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=5.0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection inside a transaction that commits on leaving, else rolls back.

        Raises:
            DatabaseUnavailable: The server is lost, full, locked or too slow; nothing was committed,
                or the commit's answer was lost (repeat the request: all writes are idempotent).
        """
        try:
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            detail = (
                "no room on its disk" if isinstance(error, psycopg.errors.DiskFull) else type(error).__name__
            )
            raise DatabaseUnavailable(f"the database cannot answer ({detail}): try again later") from error

    def migrate(self) -> None:
        """Bring the schema to the newest migration and create the partitions of this month and the next."""
        with psycopg.connect(self._dsn, autocommit=True) as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
            engine = sqlalchemy.create_engine(
                "postgresql+psycopg://",
                creator=lambda: psycopg.connect(self._dsn),
                poolclass=sqlalchemy.NullPool,
            )
            try:
                with engine.connect() as connection:
                    config = _config()
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                    connection.commit()
            finally:
                engine.dispose()
        self.create_partitions_ahead()

    def create_partitions_ahead(self) -> None:
        """Create the partitions of this month and the next."""
        this = min(months_of([datetime.now(UTC)]))
        with psycopg.connect(self._dsn) as connection:
            for first in (this, next_month(this)):
                create_partition(connection, first)

    def is_current(self) -> bool:
        """Tell whether the schema is at the newest migration this program knows."""
        with self.transaction() as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return False
            found = {str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")}
        return found == set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
