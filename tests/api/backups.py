"""Backups of a test's database: taken and put back as copies within the same server."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from api.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of one database as it was; nobody may be connected to that while it is copied."""

    postgres: EmbeddedPostgres
    name: str

    @classmethod
    def of(cls, postgres: EmbeddedPostgres, dsn: str) -> Backup:
        made = cls(postgres, psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])  # type: ignore[arg-type]  # a name
        made._copy(made.name, made.kept)
        return made

    @property
    def kept(self) -> str:
        return f"{self.name}_backup"

    def restore(self) -> None:
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)),
            )
        self._copy(self.kept, self.name)

    def remove(self) -> None:
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.kept)),
            )

    def _copy(self, source: str, target: str) -> None:
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,)
            )
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(target), sql.Identifier(source)
                )
            )
