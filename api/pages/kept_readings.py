"""Readings of the index, kept until something is released: every page and chart of a period needs the same.

A reading follows from released rows alone, so it is the same until the next release. What is kept is
thrown away as a whole then, on the next day, and when it grows too large.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.database import Database
from api.disclosure import Disclosure
from api.index.period import Period, Span
from api.index.publication import hidden_places
from api.index.reading import Reading, read_places
from api.index.releases import kept_cells, released_months

_MOST: Final = 50_000
_STAMP: Final = (
    "SELECT (SELECT coalesce(max(log_index), -1) FROM index_cells), (SELECT count(*) FROM index_cells), "
    "(SELECT coalesce(max(log_index), -1) FROM releases), (SELECT count(*) FROM index_formulas)"
)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What readings depend on: the newest releases, and the rule of the day."""

    released: tuple[int, ...]
    disclosure: Disclosure


class KeptReadings:
    """Reads the index of one database, once for each place and period.

    Args:
        database: Where the releases are.
    """

    def __init__(self, database: Database) -> None:
        """Keep nothing yet."""
        self._database = database
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._kept: dict[tuple[str, Period], Reading] = {}

    def read(self, places: Sequence[str], period: Period, disclosure: Disclosure) -> Mapping[str, Reading]:
        """Return what `api.index.reading.read_places` returns."""
        stamp = self._now(disclosure)
        with self._lock:
            if stamp != self._stamp or len(self._kept) > _MOST:
                self._stamp, self._kept = stamp, {}
            kept = self._kept
            found = {place: kept[place, period] for place in places if (place, period) in kept}
        missing = [place for place in dict.fromkeys(places) if place not in found]
        if missing:
            read = read_places(self._database, missing, period, disclosure)
            with self._lock:
                # Another thread may have begun anew: then this goes where nobody looks.
                kept |= {(place, period): reading for place, reading in read.items()}
            found |= read
        return {place: found[place] for place in places}

    def course(self, place: str, span: Span, disclosure: Disclosure, most: int) -> tuple[Reading, ...]:
        """Return the newest released periods of a place, oldest first."""
        periods = sorted({Period.holding(month, span) for month in self.months()})[-most:]
        return tuple(self.read([place], period, disclosure)[place] for period in periods)

    def months(self) -> tuple[date, ...]:
        """Return the released months, oldest first."""
        with self._database.transaction() as connection:
            return released_months(connection)

    def decide(self, month: date, minimum_n: int) -> None:
        """Decide which figures of a month are printed, so that the first reader need not wait for it."""
        with self._database.transaction() as connection:
            cells = kept_cells(connection, [month])
        hidden_places(cells, minimum_n)

    def _now(self, disclosure: Disclosure) -> _Stamp:
        with self._database.transaction() as connection:
            row = connection.execute(_STAMP).fetchone()
        return _Stamp(tuple(row or ()), disclosure)
