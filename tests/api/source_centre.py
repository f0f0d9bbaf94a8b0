"""A central service with source systems that send it ballots; its clock stands at TODAY."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from api.database import Database
from api.survey.channels import IMPORTED, Channel
from api.survey.deliveries import JSON
from api.survey.source_systems import add_source
from tests.api.running import running
from tests.api.survey_files import TODAY, place

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres

PATH = "/v1/ballot-imports"
LARGEST = 1 << 20
"""Bytes of a body."""
A_MINUTE = 100
"""Bodies of a system."""
SEATS = "access.seats"


@dataclass(frozen=True, slots=True)
class Centre:
    """A running service; its clock stands at TODAY."""

    client: httpx.Client
    database: Database
    log_folder: Path
    tokens: dict[str, str]

    def send(
        self, body: object, source: str = "igate", media_type: str = JSON, language: str = "en", **asked: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(
            PATH,
            content=content,
            params=asked,
            headers=self.headers(source, language) | {"Content-Type": media_type},
        )

    def headers(self, source: str, language: str = "en") -> dict[str, str]:
        token = self.tokens.get(source, source)
        return {"Authorization": f"Bearer {token}", "Accept-Language": language}

    def lines(self, import_id: str | None) -> set[int]:
        with self.database.transaction() as connection:
            return {
                row[0]
                for row in connection.execute(
                    "SELECT line FROM survey_ballots WHERE import_id = %s", (import_id,)
                )
            }

    def count(self) -> int:
        with self.database.transaction() as connection:
            row = connection.execute("SELECT count(*) FROM survey_ballots").fetchone()
        return row[0] if row else -1


@contextlib.contextmanager
def source_centre(postgres: EmbeddedPostgres, name: str, folder: Path) -> Iterator[Centre]:
    """Run the service with systems for every channel, for calls only, and for one unit."""
    name = f"{name}_{os.getpid()}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_central")
    dsn = postgres.dsn(name)
    sections = {
        "log": {"data_dir": str(folder)},
        "sources": {"max_body_bytes": LARGEST, "imports_a_minute": A_MINUTE},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.survey.imports.local_today", lambda: TODAY)
        with (
            Database(dsn) as database,
            running(dsn, **sections) as central,
            httpx.Client(base_url=central.address, timeout=30, trust_env=False) as client,
        ):
            place(database)
            tokens = {
                "igate": add_source(database, "igate", IMPORTED, actor="t"),
                "tong-dai": add_source(database, "tong-dai", [Channel.CALL], actor="t"),
                "mc-main": add_source(database, "mc-main", [Channel.ONLINE], actor="t", area="u-main"),
            }
            yield Centre(client, database, folder, tokens)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def ballot(number: str, **change: Any) -> dict[str, Any]:
    """Return a good ballot; `number` tells it from those of other tests."""
    good = {
        "day": "2026-03-04",
        "unit": "u-main",
        "channel": "online",
        "transaction": f"K1.{number}",
        SEATS: 4,
    }
    return {name: value for name, value in (good | change).items() if value is not None}


def said(answer: httpx.Response) -> list[tuple[int, str, str]]:
    """Return row, column and code of what was refused."""
    assert answer.status_code == 200, answer.text
    return [(fault["row"], fault["column"], fault["code"]) for fault in answer.json()["faults"]]
