"""Keeps the index up to date while the service runs: a calibration a day, months when they have settled."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from typing import Final

import psycopg
import structlog

from api.database import Database
from api.errors import ApiError
from api.index.calibrations import KeptCalibration, calibrate
from api.index.releases import MonthRelease, months_to_release, release_month
from api.trends import local_today

_CHECK_S: Final = 600.0
REVISED_MONTHS: Final = 3
"""Months, counted back from the newest that settled, of which a revision is looked for every day."""
_log: Final = structlog.get_logger("api.index")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one round of the upkeep made."""

    calibrations: tuple[KeptCalibration, ...]
    releases: tuple[MonthRelease, ...]


def keep_up(database: Database, *, today: date, minimum_n: int) -> Upkeep:
    """Calibrate for the running month and release what has settled, oldest first.

    Raises:
        DatabaseUnavailable: What was made stays; ask again later.
    """
    made = list(calibrate(database, today.replace(day=1)))
    months = months_to_release(database, today)
    with database.transaction() as connection:
        done = {row[0] for row in connection.execute("SELECT DISTINCT month FROM index_cells")}
    releases = []
    for month in months:
        if month in done and month not in months[-REVISED_MONTHS:]:
            continue
        released = release_month(database, month, today=today, minimum_n=minimum_n)
        if released.cells:
            _log.info("index released", month=f"{month:%Y-%m}", cells=len(released.cells))
            releases.append(released)
    return Upkeep(tuple(made), tuple(releases))


class IndexWorker:
    """Runs the upkeep in a thread of its own, once every calendar day of Viet Nam.

    Args:
        database: Where everything is.
        minimum_n: Fewest people behind a released sum.
    """

    def __init__(self, database: Database, minimum_n: int) -> None:
        """Prepare the thread; `start` starts it."""
        self._database = database
        self._minimum_n = minimum_n
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ask the thread to end after the month it counts."""
        self._stop.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        done: date | None = None
        while not self._stop.is_set():
            today = local_today()
            if today != done:
                try:
                    keep_up(self._database, today=today, minimum_n=self._minimum_n)
                    done = today
                except (ApiError, psycopg.Error) as error:
                    reason = str(error) if isinstance(error, ApiError) else type(error).__name__
                    _log.error("the index waits", reason=reason)
            self._stop.wait(_CHECK_S)
