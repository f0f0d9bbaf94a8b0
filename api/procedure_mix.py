"""What a place's completed transactions were about: counters with other procedures are not alike.

Counts of dossiers, not of answers. Procedures with fewer than the fewest are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.database import Database
from api.index.places import ALL
from api.schema import next_month

MOST_PROCEDURES: Final = 12
_MIX: Final = (
    "SELECT t.procedure, sum(t.completed)::bigint, "
    "coalesce(sum(t.completed) FILTER (WHERE %(place)s = %(all)s OR EXISTS ("
    "SELECT 1 FROM organisation_paths p WHERE p.unit = t.unit AND p.node = %(code)s "
    "AND t.day >= p.valid_from AND t.day < p.valid_until)), 0)::bigint "
    "FROM completed_transactions t WHERE t.day >= %(first)s AND t.day < %(end)s "
    "GROUP BY t.procedure ORDER BY 3 DESC, 1"
)


@dataclass(frozen=True, slots=True)
class ProcedureShare:
    """One procedure's part of the completed transactions.

    Attributes:
        procedure: Its code; empty for those that are put together or were not named.
        here: Share at the place, 0 to 1.
        everywhere: Share in all units.
    """

    procedure: str
    here: float
    everywhere: float


@dataclass(frozen=True, slots=True)
class ProcedureMix:
    """The mix of a place in a period.

    Attributes:
        completed: Completed transactions of the place.
    """

    completed: int
    procedures: tuple[ProcedureShare, ...]


def procedure_mix(
    database: Database, place: str, months: Sequence[date], *, fewest: int
) -> ProcedureMix | None:
    """Return what the transactions of a unit or area were about; None where none are known.

    Args:
        database: Where the transactions are.
        place: `all`, or a place of the tree.
        months: First days of the period's months.
        fewest: Procedures with fewer transactions are put together.
    """
    bounds = {
        "place": place,
        "all": ALL,
        "code": place.partition(":")[2],
        "first": months[0],
        "end": next_month(months[-1]),
    }
    with database.transaction() as connection:
        rows = connection.execute(_MIX, bounds).fetchall()
    whole, here = sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
    if here < fewest:
        return None
    named = [row for row in rows if row[0] and int(row[2]) >= fewest][:MOST_PROCEDURES]
    found = [ProcedureShare(str(row[0]), int(row[2]) / here, int(row[1]) / whole) for row in named]
    rest_here = here - sum(int(row[2]) for row in named)
    rest = whole - sum(int(row[1]) for row in named)
    if rest_here:
        found.append(ProcedureShare("", rest_here / here, rest / whole))
    return ProcedureMix(here, tuple(found))
