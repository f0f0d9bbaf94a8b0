"""How long the pages of figures take, and an import: the service on a made-up province in a fresh database.

The province is filled the way a real one is: ballots of counters through the ingest, ballots of other
channels through an import, months through their release. Numbers come from a fixed seed and mean nothing.
"""

from __future__ import annotations

import base64
import csv
import http.client
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uuid6 import uuid7

from api.accounts import Accounts
from api.authorization import Role
from api.bench_ingest import bench_service, enrolled_bench_edge, serving
from api.database import Database
from api.index.releases import has_settled, release_month
from api.ingest import Ingest
from api.register import register_of
from api.server import CentralServer
from api.settings import MINIMUM_N, IngestSettings
from api.survey.channels import Channel
from api.survey.imports import import_ballots
from api.survey.questionnaire import questionnaire_of
from api.trends import local_today
from api.wire import SESSION_COOKIE
from inference.signal import Ballot, Criterion

PAGE_BAR_S: Final = 1.5
"""What 95 of 100 pages should not exceed on a quiet machine."""
CHART_BAR_S: Final = 1.0
"""What the first chart of a period that nobody read yet should not exceed there."""
_SEED: Final = 2026
_SATISFIED: Final = 0.85
_AREAS: Final = 3
_AT_ONCE: Final = 500
_VERSION: Final = "sipas-1"
_NAME: Final = "bench"


@dataclass(frozen=True, slots=True)
class Size:
    """How large the province is.

    Attributes:
        ballots: Of each counter and month.
        rows: Of the import.
        repeats: How often each page is asked for, after the first time.
    """

    counters: int = 40
    units: int = 12
    months: int = 12
    ballots: int = 30
    rows: int = 20_000
    repeats: int = 5


@dataclass(frozen=True, slots=True)
class PageTime:
    """One page: seconds at the first time and in the middle of the others, bytes plain and as sent."""

    path: str
    first_s: float
    again_s: float
    plain_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class PagesMeasured:
    """What was measured.

    Attributes:
        p95_s: Of every answer but the first one of a page.
        first_chart_s: The longest first chart.
        import_rows_per_s: Rows of the CSV that were kept a second.
    """

    size: Size
    pages: tuple[PageTime, ...]
    p95_s: float
    first_chart_s: float
    import_rows_per_s: float

    @property
    def within_bars(self) -> bool:
        """Whether both times are within their bars."""
        return self.p95_s <= PAGE_BAR_S and self.first_chart_s <= CHART_BAR_S


def measure_pages(size: Size = Size()) -> PagesMeasured:
    """Fill a throw-away centre, import into it, and read its pages as an observer does."""
    with bench_service() as (server, folder):
        with Database(server.dsn) as database:
            months = _fill(database, size)
            rate = _import(database, size, months[-1], folder)
            for month in months:
                release_month(database, month, today=local_today(), minimum_n=MINIMUM_N)
            accounts = Accounts(database)
            once = accounts.create(_NAME, Role.OBSERVER, actor=_NAME)
            session = accounts.change_password(_NAME, once, f"{uuid7()}")
        with serving(server):
            return _measured(server, size, months, session, rate)


def _fill(database: Database, size: Size) -> tuple[date, ...]:
    rng = random.Random(_SEED)  # noqa: S311 - a seeded sequence, no secret
    today = local_today()
    months: list[date] = []
    month = today.replace(day=1)
    while len(months) < size.months:
        month = (month - timedelta(days=1)).replace(day=1)
        if has_settled(month, today):
            months.insert(0, month)
    ingest = Ingest(database, IngestSettings(max_age_days=3660))
    for unit in range(size.units):
        counters = [f"bench-{unit}.{number}" for number in range(unit, size.counters, size.units)]
        key = Ed25519PrivateKey.generate()
        edge = enrolled_bench_edge(database, key, counters, f"Bench {unit}", f"area-{unit % _AREAS}")
        entries = [
            {"seq": seq, "kind": "ballot", "payload": ballot.model_dump(mode="json")}
            for seq, ballot in enumerate(
                (
                    _ballot(rng, counter, first)
                    for first in months
                    for counter in counters
                    for _ in range(size.ballots)
                ),
                1,
            )
        ]
        for start in range(0, len(entries), _AT_ONCE):
            part = entries[start : start + _AT_ONCE]
            body = json.dumps({"edge": str(edge), "first_seq": start + 1, "entries": part}).encode()
            ingest.accept(body, base64.b64encode(key.sign(body)).decode())
    return tuple(months)


def _ballot(rng: random.Random, counter: str, month: date) -> Ballot:
    at = datetime(month.year, month.month, 1, 3, tzinfo=UTC) + timedelta(minutes=rng.randrange(27 * 1440))
    satisfied = rng.random() < _SATISFIED
    return Ballot(
        ballot_id=uuid7(),
        counter=counter,
        cast_at=at,
        session_id=None,
        satisfied={criterion: satisfied or rng.random() < _SATISFIED for criterion in Criterion},
    )


def _import(database: Database, size: Size, month: date, folder: Path) -> float:
    rng = random.Random(_SEED)  # noqa: S311 - as above
    units = [spot.code for spot in register_of(database, month).spots.values() if spot.level == "unit"]
    questions = questionnaire_of(_VERSION).questions
    path = folder / "bench.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("day", "unit", "transaction", *(question.code for question in questions)))
        for row in range(size.rows):
            levels = (rng.choice((4, 5)) if rng.random() < _SATISFIED else 2 for _ in questions)
            day = month + timedelta(days=row % 28)
            writer.writerow((day, units[row % len(units)], f"H29.{row:08d}", *levels))
    begun = time.perf_counter()
    done = import_ballots(database, path, actor=_NAME, data_folder=folder / "log", channel=Channel.ONLINE)
    return done.kept / (time.perf_counter() - begun)


def _measured(
    server: CentralServer, size: Size, months: Sequence[date], session: str, rate: float
) -> PagesMeasured:
    paths, charts = _paths(f"{months[-1]:%Y-%m}")
    old = [f"/ranking.svg?period={month:%Y-%m}" for month in months[:-1][-3:]]
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=120)
    times: dict[str, list[float]] = {}
    pages = []
    try:
        # Months that nobody read yet come first, before the service has worked them out ahead.
        for path in (*old, *paths, *charts):
            taken = times[path] = []
            sent = b""
            for _ in range(1 + size.repeats):
                begun = time.perf_counter()
                sent = _get(connection, path, session, "gzip")
                taken.append(time.perf_counter() - begun)
            plain = _get(connection, path, session, "identity")
            pages.append(PageTime(path, taken[0], statistics.median(taken[1:]), len(plain), len(sent)))
    finally:
        connection.close()
    again = sorted(seconds for taken in times.values() for seconds in taken[1:])
    return PagesMeasured(
        size,
        tuple(pages),
        again[min(len(again) - 1, int(0.95 * len(again)))],
        max(times[path][0] for path in (*old, *charts)),
        rate,
    )


def _paths(period: str) -> tuple[list[str], list[str]]:
    """Return the addresses of pages and of charts; the first counter and unit stand for the others."""
    query = f"?period={period}"
    pages = [f"/{query}", f"/places/all{query}", f"/counters/bench-0.0{query}", f"/signals{query}"]
    charts = [f"/ranking.svg{query}", f"/places/all/course.svg{query}", f"/places/all/factors.svg{query}"]
    return pages, charts


def _get(connection: http.client.HTTPConnection, path: str, session: str, encoding: str) -> bytes:
    connection.request(
        "GET", path, headers={"Cookie": f"{SESSION_COOKIE}={session}", "Accept-Encoding": encoding}
    )
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        message = f"{path} was answered with {answer.status}"
        raise RuntimeError(message)
    return body
