"""Levels of the tree as an administrator sets them: named, moved, added, taken away while nothing is on them.

The five levels that come with the program serve most places: `parent` is any node of a higher level, so
communes hang from a province without districts between. A ministry, a region or a hamlet needs one more.
"""

from __future__ import annotations

import re
from typing import Final

from api import log
from api.database import Connection, Database
from api.errors import TableRefused
from api.organisation.tree import UNIT_LEVEL, Level, levels_of
from api.organisation.tree_import import COUNTER_LEVEL, TREE_LOCK

HIGHEST_RANK: Final = 1
LOWEST_RANK: Final = 999
WHAT: Final = "level"
"""What an entry of the log about a level says that it is about."""
_CODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_MISPLACED: Final = (
    "SELECT n.code, above.code FROM organisation_nodes n "
    "JOIN organisation_levels mine ON mine.code = n.level JOIN organisation_nodes above "
    "ON above.code = n.parent AND above.valid_from < n.valid_until "
    "AND above.valid_until > n.valid_from JOIN organisation_levels its ON its.code = above.level "
    "WHERE its.rank >= mine.rank ORDER BY n.code LIMIT 1"
)


def set_level(database: Database, level: Level, *, actor: str) -> int:
    """Add a level, or give one another rank or other names; return the entry of the log that tells of it.

    Args:
        database: Where the tree is.
        level: What it shall be; a lower rank stands higher.
        actor: Who decides.

    Raises:
        TableRefused: The rank is taken or out of bounds, the level is the units' or below them, a node would
            no longer stand below its parent, or a name is missing.
    """
    if not (level.name_vi.strip() and level.name_en.strip()):
        raise TableRefused("A level has a name in Vietnamese and in English.")
    if _CODE.fullmatch(level.code) is None:
        raise TableRefused(
            "'{code}' is no code: small letters, digits and . _ - between.", code=level.code[:64]
        )
    if not HIGHEST_RANK <= level.rank <= LOWEST_RANK:
        raise TableRefused("A rank is {low} to {high}.", low=HIGHEST_RANK, high=LOWEST_RANK)
    with database.transaction() as connection:
        others = _others(connection, level.code)
        if any(other.rank == level.rank for other in others):
            raise TableRefused("Rank {rank} is another level's: choose one between.", rank=level.rank)
        units = next((other.rank for other in others if other.code == UNIT_LEVEL), None)
        lowest = max((other.rank for other in others), default=0)
        if (units is not None and level.rank > units) or (units is None and level.rank < lowest):
            raise TableRefused("Units are the lowest level: every other one stands above them.")
        connection.execute(
            "INSERT INTO organisation_levels (code, rank, name_vi, name_en) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (code) DO UPDATE SET rank = excluded.rank, name_vi = excluded.name_vi, "
            "name_en = excluded.name_en",
            (level.code, level.rank, level.name_vi.strip(), level.name_en.strip()),
        )
        misplaced = connection.execute(_MISPLACED).fetchone()
        if misplaced is not None:
            raise TableRefused(
                "'{node}' would no longer stand below '{above}': change the tree first.",
                node=misplaced[0],
                above=misplaced[1],
            )
        return _tell(connection, level, actor=actor, removed=False)


def remove_level(database: Database, code: str, *, actor: str) -> int:
    """Take a level away on which nothing has ever been; return the entry of the log that tells of it.

    Raises:
        TableRefused: There is no such level, it is the units', or something is or was on it.
    """
    with database.transaction() as connection:
        others = _others(connection, code)
        found = next((level for level in levels_of(connection) if level.code == code), None)
        if found is None or len(others) == 0:
            raise TableRefused("There is no level '{code}'.", code=code[:64])
        used = connection.execute("SELECT 1 FROM organisation_nodes WHERE level = %s LIMIT 1", (code,))
        if code == UNIT_LEVEL or used.fetchone() is not None:
            raise TableRefused("Something is or was on the level '{code}': it stays.", code=code)
        connection.execute("DELETE FROM organisation_levels WHERE code = %s", (code,))
        return _tell(connection, found, actor=actor, removed=True)


def _others(connection: Connection, code: str) -> tuple[Level, ...]:
    """Return the other levels, while no tree is imported beside us."""
    if code == COUNTER_LEVEL:
        raise TableRefused("Counters stand in units and are no level of the tree.")
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (TREE_LOCK,))
    return tuple(level for level in levels_of(connection) if level.code != code)


def _tell(connection: Connection, level: Level, *, actor: str, removed: bool) -> int:
    body = {
        "what": WHAT,
        "level": level.code,
        "rank": level.rank,
        "name_vi": level.name_vi,
        "name_en": level.name_en,
        "removed": removed,
        "actor": actor,
    }
    return log.append(connection, log.Kind.ORGANISATION_IMPORT, body)
