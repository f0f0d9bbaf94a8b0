"""Which places there were on a day, what is below each, and which of them a reader may see.

A place is written as in the index: `all`, `commune:CODE`, `unit:CODE`, `counter:CODE`. Whoever may see a
counter is decided by the policies, as for every place above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.accounts import Login
from api.authorization import Action, counter, place
from api.database import Connection, Database
from api.index.places import ALL
from api.organisation.tree import Node, Tree, tree_of

COUNTER_LEVEL: Final = "counter"
ALL_LEVEL: Final = "all"


@dataclass(frozen=True, slots=True)
class Spot:
    """One place.

    Attributes:
        place: As the index names it.
        level: `all`, a level of the tree, or `counter`.
        code: Its code; empty for the whole.
        name_vi: What people call it; the code where nothing else is known.
        parent: The place right above; None for the whole.
        nodes: Codes of itself and of the nodes above it, the highest first; of a counter those above it.
        counters: Codes of all counters at or below it.
        area: Of a counter: the code of the area it was enrolled with.
    """

    place: str
    level: str
    code: str
    name_vi: str
    name_en: str
    parent: str | None
    nodes: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    area: str = ""

    @property
    def is_counter(self) -> bool:
        """Whether it is a counter."""
        return self.level == COUNTER_LEVEL

    @property
    def path(self) -> str:
        """Address of its page."""
        return f"/counters/{self.code}" if self.is_counter else f"/places/{self.place}"

    def name(self, language: str) -> str:
        """Return the name in a language; empty for the whole, which each page words itself."""
        return self.name_en if language == "en" else self.name_vi


@dataclass(frozen=True, slots=True)
class Register:
    """The places of one day, each after the one above it.

    Attributes:
        below: Place -> places right below it, by code.
        levels: Code of a level -> its name in Vietnamese and in English.
    """

    day: date
    spots: Mapping[str, Spot]
    below: Mapping[str, tuple[str, ...]]
    levels: Mapping[str, tuple[str, str]]

    def children(self, name: str) -> tuple[Spot, ...]:
        """Return the places right below one."""
        return tuple(self.spots[each] for each in self.below.get(name, ()))

    def way(self, name: str) -> tuple[Spot, ...]:
        """Return the places from the whole down to one; empty where there is no such place."""
        found: list[Spot] = []
        spot = self.spots.get(name)
        while spot is not None:
            found.append(spot)
            spot = None if spot.parent is None else self.spots.get(spot.parent)
        return tuple(reversed(found))

    def level_name(self, spot: Spot, language: str) -> str:
        """Return what its level is called; empty for the whole and for counters."""
        vi, en = self.levels.get(spot.level, ("", ""))
        return en if language == "en" else vi

    def only(self, names: Iterable[str]) -> Register:
        """Return the places named; what stood below another place now stands below the next one kept."""
        kept = set(names)
        spots: dict[str, Spot] = {}
        below: dict[str, list[str]] = {}
        for name, spot in self.spots.items():
            if name not in kept:
                continue
            above = next((item.place for item in reversed(self.way(name)[:-1]) if item.place in kept), "")
            below.setdefault(above, []).append(name)
            spots[name] = spot
        return Register(self.day, spots, {key: tuple(each) for key, each in below.items()}, self.levels)


def register_of(database: Database, day: date) -> Register:
    """Read the places of a day; counters that stood in no unit are right below the whole."""
    with database.transaction() as connection:
        tree = tree_of(connection, day)
        counters = _counters(connection)
    spots: dict[str, Spot] = {ALL: Spot(ALL, ALL_LEVEL, "", "", "", None, (), tuple(sorted(counters)), "")}
    below: dict[str, list[str]] = {ALL: []}
    inside = _inside(tree)

    def add(node: Node, above: Spot) -> None:
        nodes = (*above.nodes, node.code)
        spot = Spot(
            f"{node.level}:{node.code}",
            node.level,
            node.code,
            node.name_vi or node.code,
            node.name_en or node.name_vi or node.code,
            above.place,
            nodes,
            tuple(sorted(inside.get(node.code, ()))),
        )
        spots[spot.place] = spot
        below[above.place].append(spot.place)
        below[spot.place] = []
        for child in tree.children(node.code):
            add(child, spot)

    for top in tree.children(None):
        add(top, spots[ALL])
    by_code = {spot.code: spot for spot in spots.values() if spot.level != ALL_LEVEL}
    for code in sorted(counters):
        above = by_code.get(tree.counters.get(code, ""), spots[ALL])
        spot = Spot(
            *(f"{COUNTER_LEVEL}:{code}", COUNTER_LEVEL, code, code, code, above.place),
            *(above.nodes, (code,), counters[code]),
        )
        spots[spot.place] = spot
        below[above.place].append(spot.place)
    return Register(
        day,
        spots,
        {name: tuple(each) for name, each in below.items()},
        {level.code: (level.name_vi, level.name_en) for level in tree.levels},
    )


def sees(login: Login, spot: Spot) -> bool:
    """Ask the policies whether a reader may see the figures of a place.

    A counter may be seen for the area it was enrolled with, for its own code, and for an area above it.
    """
    if login.decide(Action.VIEW_FIGURES, place(spot.place, spot.nodes, spot.counters)).permitted:
        return True
    return spot.is_counter and login.decide(Action.VIEW_FIGURES, counter(spot.code, spot.area)).permitted


def visible(login: Login, register: Register) -> Register:
    """Return the places that a reader may see."""
    if login.account.sees_every_counter:
        return register
    return register.only(name for name, spot in register.spots.items() if sees(login, spot))


def _counters(connection: Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT code, area FROM counters ORDER BY code").fetchall())


def _inside(tree: Tree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for counter_code, unit in tree.counters.items():
        for node in tree.path(unit):
            found.setdefault(node.code, []).append(counter_code)
    return found
