"""Which units there were and where counters stood, by day, in memory: rows of files are held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from api.database import Connection
from api.organisation.tree import UNIT_LEVEL


@dataclass(frozen=True, slots=True)
class Places:
    """Units and counters with their days.

    Attributes:
        units: Code of a unit -> the spans of days in which it was one.
        placements: Code of a counter -> unit and span of days.
    """

    units: Mapping[str, tuple[tuple[date, date], ...]]
    placements: Mapping[str, tuple[tuple[str, date, date], ...]]

    def has_unit(self, unit: str, day: date) -> bool:
        """Tell whether there was such a unit on a day."""
        return any(first <= day < until for first, until in self.units.get(unit, ()))

    def unit_of(self, counter: str, day: date) -> str | None:
        """Return the unit in which a counter stood on a day."""
        for unit, first, until in self.placements.get(counter, ()):
            if first <= day < until:
                return unit
        return None


def places_of(connection: Connection) -> Places:
    """Read all of them."""
    units: dict[str, tuple[tuple[date, date], ...]] = {}
    for code, first, until in connection.execute(
        "SELECT code, valid_from, valid_until FROM organisation_nodes WHERE level = %s", (UNIT_LEVEL,)
    ):
        units[code] = (*units.get(code, ()), (first, until))
    placements: dict[str, tuple[tuple[str, date, date], ...]] = {
        row[0]: () for row in connection.execute("SELECT code FROM counters")
    }
    for counter, unit, first, until in connection.execute(
        "SELECT counter, unit, valid_from, valid_until FROM counter_placements"
    ):
        placements[counter] = (*placements[counter], (unit, first, until))
    return Places(units, placements)
