"""Where a counter or unit stands on a day: its way down from the whole, as the organisation's tree has it.

A place is a text: `all`, `commune:CODE`, `unit:CODE`, `counter:CODE` and so on, level before code.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from api.database import Connection
from api.schema import next_month

ALL: Final = "all"
"""The whole: every counter of this centre."""
Path = tuple[str, ...]
"""From the whole down to the place itself."""


@dataclass(frozen=True, slots=True)
class _Span:
    since: date
    until: date

    def has(self, day: date) -> bool:
        return self.since <= day < self.until


@dataclass(frozen=True, slots=True)
class Places:
    """The tree in one month.

    Attributes:
        units: Counter -> units that it belongs to, each with its time.
        above: Unit -> nodes above it and itself, each with its level, distance and time.
    """

    units: dict[str, list[tuple[str, _Span]]] = field(default_factory=dict)
    above: dict[str, list[tuple[int, str, str, _Span]]] = field(default_factory=dict)

    def of_counter(self, counter: str, day: date) -> Path:
        """Return the way to a counter; one that belongs to no unit stands directly below the whole."""
        unit = next((code for code, span in self.units.get(counter, ()) if span.has(day)), None)
        return (*((ALL,) if unit is None else self.of_unit(unit, day)), f"counter:{counter}")

    def of_unit(self, unit: str, day: date) -> Path:
        """Return the way to a unit; a unit that the tree does not have that day is there by itself."""
        found = [item for item in self.above.get(unit, ()) if item[3].has(day)]
        if not found:
            return (ALL, f"unit:{unit}")
        return (ALL, *(f"{level}:{node}" for _, level, node, _ in sorted(found, key=_farthest_first)))


def places_of(connection: Connection, month: date) -> Places:
    """Read the tree as it is and was in a month."""
    bounds = (next_month(month), month)
    units: dict[str, list[tuple[str, _Span]]] = defaultdict(list)
    for counter, unit, since, until in connection.execute(
        "SELECT counter, unit, valid_from, valid_until FROM counter_placements "
        "WHERE valid_from < %s AND valid_until > %s ORDER BY counter, valid_from",
        bounds,
    ):
        units[counter].append((unit, _Span(since, until)))
    above: dict[str, list[tuple[int, str, str, _Span]]] = defaultdict(list)
    for unit, node, level, distance, since, until in connection.execute(
        "SELECT unit, node, level, distance, valid_from, valid_until FROM organisation_paths "
        "WHERE valid_from < %s AND valid_until > %s",
        bounds,
    ):
        above[unit].append((int(distance), level, node, _Span(since, until)))
    return Places(dict(units), dict(above))


def _farthest_first(item: tuple[int, str, str, _Span]) -> tuple[int, str]:
    return -item[0], item[2]
