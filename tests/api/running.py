"""A central service in this process, answering on a free port."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.accounts import Accounts
from api.database import Database
from api.ingest import Ingest
from api.server import CentralServer
from api.settings import IngestSettings, Settings
from api.trends import local_today
from tests.api.senders import enrolled_edge, signal

PASSWORD = "một câu dễ nhớ 12"  # noqa: S105 - of a throw-away database


@dataclass(frozen=True, slots=True)
class Central:
    address: str
    dsn: str
    first_password: str


@contextlib.contextmanager
def running(dsn: str, **sections: Any) -> Iterator[Central]:
    """Run the whole service on a database; sections override the settings."""
    with tempfile.TemporaryDirectory(prefix="hl-log-") as folder:
        yield from _running(dsn, {"log": {"data_dir": folder}} | sections)


def _running(dsn: str, sections: dict[str, Any]) -> Iterator[Central]:
    settings = Settings.model_validate(
        {"server": {"port": 0, "body_timeout_s": 2.0}, "database": {"dsn": dsn, "wait_s": 1.0}} | sections
    )
    with CentralServer(settings) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield Central(server.address, dsn, server.first_password or "")
        finally:
            server.stop()
            thread.join(30)


def fill(database: Database, *, days: int, seed: int) -> None:
    """Send plausible sessions of three counters over the days before today."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    counters = ["ba-dinh.ho-tich", "ba-dinh.dat-dai", "cau-giay.ho-tich"]
    edge = enrolled_edge(database, counters, area="ha-noi")
    ingest = Ingest(database, IngestSettings())
    midnight = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    payloads = []
    for back in range(days, 0, -1):
        day = midnight - timedelta(days=back)
        if (local_today() - timedelta(days=back)).weekday() >= 5:
            continue
        for number, counter in enumerate(counters):
            sessions = 4 if back % 9 == 0 else rng.randint(18, 45)
            for index in range(sessions):
                score = min(1.0, max(0.0, rng.gauss(0.62 + 0.08 * number - 0.004 * back, 0.17)))
                payloads.append(
                    signal(
                        rng,
                        counter,
                        start=day + timedelta(minutes=7 * index),
                        score=None if rng.random() < 0.12 else round(score, 4),
                    )
                )
    for start in range(0, len(payloads), 500):
        body = edge.batch(start + 1, payloads[start : start + 500])
        receipt = ingest.accept(body, edge.sign(body))
        assert receipt.quarantined == ()


def own_password(central: Central) -> None:
    """Change the administrator's one-time password to PASSWORD."""
    with Database(central.dsn) as database:
        Accounts(database).change_password("admin", central.first_password, PASSWORD)
