"""The tree of the organisation as it was on a day: province, district, commune, unit, counter.

Levels are data, a node's parent is any node of a higher level: where districts have ended, communes
hang from the province. A node is valid from a day until another: figures of a day use the tree of that day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.database import Connection

BEGINNING: Final = date(1900, 1, 1)
"""Valid from here on: since before anything was counted."""
OPEN: Final = date.max
"""Valid until nobody knows when; `valid_until` is the first day on which something no longer holds."""
UNIT_LEVEL: Final = "unit"
"""The lowest level: where people transact. Counters belong to units."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days in Viet Nam from `first` up to and without `until`."""

    first: date
    until: date

    def __post_init__(self) -> None:
        """Refuse a period without a day."""
        if self.until <= self.first:
            msg = f"a period ends after it begins, not from {self.first} until {self.until}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the tree; a lower rank stands higher."""

    code: str
    rank: int
    name_vi: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Node:
    """An area or unit as it was for some time.

    Attributes:
        parent: Code of the node above; None at the top.
        successor: Code of the node that took its place when it ended, if one did.
    """

    code: str
    level: str
    name_vi: str
    name_en: str
    parent: str | None
    valid_from: date
    valid_until: date
    successor: str | None

    def name(self, language: str) -> str:
        """Return the name in a language, Vietnamese where it is not English."""
        return self.name_en if language == "en" else self.name_vi


@dataclass(frozen=True, slots=True)
class UnitSpan:
    """A unit and the days in which it counted for what was asked."""

    unit: str
    first: date
    until: date


@dataclass(frozen=True, slots=True)
class CounterSpan:
    """A counter, the unit it stood in, and the days in which both counted for what was asked."""

    counter: str
    unit: str
    first: date
    until: date


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of one day.

    Attributes:
        nodes: Code -> node.
        counters: Code of a counter -> code of its unit.
    """

    day: date
    levels: tuple[Level, ...]
    nodes: Mapping[str, Node]
    counters: Mapping[str, str]

    def children(self, code: str | None) -> tuple[Node, ...]:
        """Return the nodes right below, by code; those at the top for None.

        A node whose parent is not valid on this day stands at the top: nothing gets lost.
        """
        found = [
            node
            for node in self.nodes.values()
            if (node.parent if node.parent in self.nodes else None) == code
        ]
        return tuple(sorted(found, key=lambda node: node.code))

    def path(self, code: str) -> tuple[Node, ...]:
        """Return the nodes from the top down to one; empty where it is not valid on this day."""
        return tuple(reversed(list(self._upward(code))))

    def counters_of(self, code: str) -> tuple[str, ...]:
        """Return the counters below a node, by code."""
        return tuple(
            sorted(
                counter
                for counter, unit in self.counters.items()
                if any(node.code == code for node in self._upward(unit))
            )
        )

    def _upward(self, code: str | None) -> Iterator[Node]:
        seen: set[str] = set()
        while code is not None and code in self.nodes and code not in seen:
            seen.add(code)
            yield self.nodes[code]
            code = self.nodes[code].parent


def levels_of(connection: Connection) -> tuple[Level, ...]:
    """Return the levels, the highest first."""
    rows = connection.execute(
        "SELECT code, rank, name_vi, name_en FROM organisation_levels ORDER BY rank"
    ).fetchall()
    return tuple(Level(*row) for row in rows)


def tree_of(connection: Connection, day: date) -> Tree:
    """Return the tree as it was on a day."""
    rows = connection.execute(
        "SELECT code, level, name_vi, name_en, parent, valid_from, valid_until, successor "
        "FROM organisation_nodes WHERE valid_from <= %(day)s AND valid_until > %(day)s ORDER BY code",
        {"day": day},
    ).fetchall()
    placed = connection.execute(
        "SELECT counter, unit FROM counter_placements WHERE valid_from <= %(day)s AND valid_until > %(day)s "
        "ORDER BY counter",
        {"day": day},
    ).fetchall()
    return Tree(
        day, levels_of(connection), {row[0]: Node(*row) for row in rows}, {row[0]: row[1] for row in placed}
    )


def history_of(connection: Connection, code: str) -> tuple[Node, ...]:
    """Return what a code has stood for, the oldest first."""
    rows = connection.execute(
        "SELECT code, level, name_vi, name_en, parent, valid_from, valid_until, successor "
        "FROM organisation_nodes WHERE code = %s ORDER BY valid_from",
        (code,),
    ).fetchall()
    return tuple(Node(*row) for row in rows)


def unit_spans(connection: Connection, node: str, period: Period) -> tuple[UnitSpan, ...]:
    """Return the units of a node, itself included, with the days of the period in which they were its own.

    Args:
        connection: Where the tree is.
        node: Code of an area or unit.
        period: Days that are asked about.
    """
    rows = connection.execute(
        "SELECT unit, greatest(valid_from, %(first)s), least(valid_until, %(until)s) "
        "FROM organisation_paths WHERE node = %(node)s AND valid_from < %(until)s "
        "AND valid_until > %(first)s ORDER BY unit, valid_from",
        {"node": node, "first": period.first, "until": period.until},
    ).fetchall()
    return tuple(UnitSpan(*row) for row in rows)


def counter_spans(connection: Connection, node: str, period: Period) -> tuple[CounterSpan, ...]:
    """Return the counters of a node with the days of the period in which they stood below it.

    Args:
        connection: Where the tree is.
        node: Code of an area or unit.
        period: Days that are asked about.
    """
    rows = connection.execute(
        "SELECT c.counter, c.unit, greatest(c.valid_from, p.valid_from, %(first)s) AS since, "
        "least(c.valid_until, p.valid_until, %(until)s) AS until "
        "FROM organisation_paths p JOIN counter_placements c ON c.unit = p.unit "
        "AND c.valid_from < p.valid_until AND c.valid_until > p.valid_from "
        "WHERE p.node = %(node)s AND greatest(c.valid_from, p.valid_from) < %(until)s "
        "AND least(c.valid_until, p.valid_until) > %(first)s ORDER BY c.counter, since",
        {"node": node, "first": period.first, "until": period.until},
    ).fetchall()
    return tuple(CounterSpan(*row) for row in rows)


def rebuild_paths(connection: Connection) -> None:
    """Work out anew which unit was below which node when, after the tree has changed."""
    connection.execute("DELETE FROM organisation_paths")
    connection.execute(
        """
        INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until)
        WITH RECURSIVE up (unit, node, level, parent, distance, valid_from, valid_until) AS (
            SELECT code, code, level, parent, 0, valid_from, valid_until
            FROM organisation_nodes WHERE level = %s
            UNION ALL
            SELECT up.unit, n.code, n.level, n.parent, up.distance + 1,
                greatest(n.valid_from, up.valid_from), least(n.valid_until, up.valid_until)
            FROM up JOIN organisation_nodes n ON n.code = up.parent
            WHERE n.valid_from < up.valid_until AND n.valid_until > up.valid_from AND up.distance < 16
        )
        SELECT unit, node, level, distance, valid_from, valid_until FROM up
        """,
        (UNIT_LEVEL,),
    )
