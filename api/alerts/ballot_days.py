"""The centre's own ballots of each counter by day, for the charts of alerts; nobody is shown these sums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from api.database import Database
from api.schema import DAY_ZONE
from api.statistics.day_runs import DayCount
from inference.signal import Criterion

_ALL_SATISFIED: Final = " AND ".join(criterion.value for criterion in Criterion)
_DAYS: Final = (
    f"SELECT counter, (cast_at AT TIME ZONE '{DAY_ZONE}')::date, count(*), "  # noqa: S608 - names are ours
    f"count(*) FILTER (WHERE {_ALL_SATISFIED}) FROM ballots WHERE counter = ANY(%(counters)s) "
    f"AND cast_at >= %(first)s::timestamp AT TIME ZONE '{DAY_ZONE}' "
    f"AND cast_at < %(end)s::timestamp AT TIME ZONE '{DAY_ZONE}' GROUP BY 1, 2 ORDER BY 1, 2"
)


def ballot_days(
    database: Database, counters: Sequence[str], first: date, end: date
) -> dict[str, list[DayCount]]:
    """Return how many ballots each counter had on each day, and how many satisfied ones.

    Args:
        database: Where the ballots are.
        counters: Codes of counters.
        first: First calendar day in Viet Nam.
        end: The day after the last one.
    """
    found: dict[str, list[DayCount]] = {}
    with database.transaction() as connection:
        bounds = {"counters": list(counters), "first": first, "end": end}
        for code, day, n, satisfied in connection.execute(_DAYS, bounds):
            found.setdefault(code, []).append(DayCount(day, n, satisfied))
    return found
