"""Keeps the index up to date while the service runs: a calibration a day, months when they have settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import structlog

from api.daily_worker import DailyWorker
from api.database import Database
from api.index.calibrations import KeptCalibration, calibrate
from api.index.releases import MonthRelease, months_to_release, release_month

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


def index_worker(database: Database, minimum_n: int) -> DailyWorker:
    """Return the thread that runs the upkeep once every calendar day of Viet Nam.

    Args:
        database: Where everything is.
        minimum_n: Fewest people behind a released sum.
    """

    def upkeep(today: date) -> Upkeep:
        return keep_up(database, today=today, minimum_n=minimum_n)

    return DailyWorker("index", upkeep, check_s=_CHECK_S)
