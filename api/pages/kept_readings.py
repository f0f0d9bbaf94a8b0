"""Readings of the index, kept until something is released: every page and chart of a period needs the same.

A figure follows from released cells alone, so it is the same until a month is released (again), and outlives
the day. A place without one is read from its shown days, and that is kept until a day is released or over, or
the organisation changes.
Two readers of one period do not both work it out: the second waits for what the first one finds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from api.database import Database
from api.disclosure import Disclosure
from api.index.period import Period, Span
from api.index.publication import hidden_places
from api.index.reading import Reading, Standing, read_places
from api.index.releases import kept_cells, released_months

_MOST: Final = 50_000
_MOST_PERIODS: Final = 1_000
_OF_CELLS: Final = frozenset({Standing.FIGURE, Standing.WITHHELD})
"""What released cells decide; anything else may change with a released day."""
_STAMP: Final = (
    "SELECT (SELECT coalesce(max(log_index), -1) FROM index_cells), (SELECT count(*) FROM index_cells), "
    "(SELECT count(*) FROM index_formulas), (SELECT coalesce(max(log_index), -1) FROM releases), "
    "(SELECT coalesce(max(log_index), -1) FROM organisation_imports)"
)
_Readings = dict[tuple[str, Period], Reading]


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What readings depend on.

    Attributes:
        cells: The newest released cells, the formulas, and the fewest people behind a figure.
        days: The newest released days, the tree that says whose they are, and the rule of the day.
    """

    cells: tuple[int, ...]
    days: tuple[int, int, Disclosure]


@dataclass(slots=True)
class _Kept:
    """Readings of one state of the database."""

    stamp: _Stamp
    of_cells: _Readings = field(default_factory=dict)
    of_days: _Readings = field(default_factory=dict)

    def get(self, place: str, period: Period) -> Reading | None:
        return self.of_cells.get((place, period)) or self.of_days.get((place, period))

    def add(self, readings: Mapping[str, Reading]) -> None:
        for place, reading in readings.items():
            kept = self.of_cells if reading.standing in _OF_CELLS else self.of_days
            kept[place, reading.period] = reading


class KeptReadings:
    """Reads the index of one database, once for each place and period.

    Args:
        database: Where the releases are.
    """

    def __init__(self, database: Database) -> None:
        """Keep nothing yet."""
        self._database = database
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._turns: dict[Period, threading.Lock] = {}

    def read(self, places: Sequence[str], period: Period, disclosure: Disclosure) -> Mapping[str, Reading]:
        """Return what `api.index.reading.read_places` returns."""
        return self._read(places, period, disclosure, self._at(self._now(disclosure)))

    def course(self, place: str, span: Span, disclosure: Disclosure, most: int) -> tuple[Reading, ...]:
        """Return the newest released periods of a place, oldest first."""
        periods = sorted({Period.holding(month, span) for month in self.months()})[-most:]
        kept = self._at(self._now(disclosure))
        return tuple(self._read([place], period, disclosure, kept)[place] for period in periods)

    def months(self) -> tuple[date, ...]:
        """Return the released months, oldest first."""
        with self._database.transaction() as connection:
            return released_months(connection)

    def decide(self, month: date, minimum_n: int) -> None:
        """Decide which figures of a month are printed, so that the first reader need not wait for it."""
        with self._database.transaction() as connection:
            cells = kept_cells(connection, [month])
        hidden_places(cells, minimum_n)

    def _read(
        self, places: Sequence[str], period: Period, disclosure: Disclosure, kept: _Kept
    ) -> dict[str, Reading]:
        found = _found(kept, places, period)
        if len(found) < len(set(places)):
            with self._turn(period):
                found = _found(kept, places, period)
                missing = [place for place in dict.fromkeys(places) if place not in found]
                if missing:
                    read = read_places(self._database, missing, period, disclosure)
                    with self._lock:
                        # Another thread may have begun anew: then this goes where nobody looks.
                        kept.add(read)
                    found |= read
        return {place: found[place] for place in places}

    def _at(self, stamp: _Stamp) -> _Kept:
        """Return what is kept of this state; what depends on something older is dropped."""
        with self._lock:
            kept = self._kept
            size = 0 if kept is None else len(kept.of_cells) + len(kept.of_days)
            if kept is None or kept.stamp.cells != stamp.cells or size > _MOST:
                self._kept = kept = _Kept(stamp)
            elif kept.stamp != stamp:
                self._kept = kept = _Kept(stamp, kept.of_cells)
            return kept

    def _turn(self, period: Period) -> threading.Lock:
        with self._lock:
            if len(self._turns) > _MOST_PERIODS:
                self._turns = {}
            return self._turns.setdefault(period, threading.Lock())

    def _now(self, disclosure: Disclosure) -> _Stamp:
        with self._database.transaction() as connection:
            row = connection.execute(_STAMP).fetchone()
        assert row is not None  # noqa: S101 - a SELECT of subqueries gives a row
        *cells, days, tree = map(int, row)
        return _Stamp((*cells, disclosure.minimum_n), (days, tree, disclosure))


def _found(kept: _Kept, places: Sequence[str], period: Period) -> dict[str, Reading]:
    return {place: reading for place in places if (reading := kept.get(place, period)) is not None}
