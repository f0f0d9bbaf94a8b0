"""The ledger of the privacy budget: private releases as entries of the centre's log, one writer at a time.

The entry holds the charge and the rows themselves, so asking again returns what was released and never
draws anew. The log's writer lock is taken before the budget is read: two exports at once cannot both spend
what only one of them may. Whoever has the log recomputes every month (`faults`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Final

from api import log
from api.database import Connection, Database
from api.statistics.private_release import (
    FEWEST_N,
    LIMIT_MILLI,
    Charge,
    Mechanism,
    PrivateRow,
    ReleaseInvalid,
    afford,
    draw,
    left,
)
from api.statistics.suppression_lattice import Table

_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_ROWS_AN_ENTRY: Final = 300
"""An entry of the log has at most 65,535 bytes (C2SP)."""


@dataclass(frozen=True, slots=True)
class PrivateRelease:
    """A release as it stands in the log.

    Attributes:
        index: First entry of the log.
        charge: What it cost.
        most_ballots: Ballots of one person that the guarantee covers.
        rows: What may be exported.
    """

    index: int
    charge: Charge
    most_ballots: int
    rows: tuple[PrivateRow, ...]


@dataclass(frozen=True, slots=True)
class MonthBudget:
    """The budget of a month, as a page shows it; ε in thousandths."""

    month: str
    limit_milli: int
    spent_milli: int
    left_milli: int
    releases: tuple[PrivateRelease, ...]


def release_privately(
    database: Database,
    table: Table,
    places: Sequence[str],
    *,
    level: str,
    statistic: str,
    mechanism: Mechanism,
    today: date,
    actor: str,
) -> PrivateRelease:
    """Release the shares of a month's places once; the same release asked for again is the one in the log.

    Args:
        database: Where the log is.
        table: Of one calendar month that is over.
        places: That share no ballot.
        level: Name of their level.
        statistic: What the table counts.
        mechanism: Noise and price.
        today: The calendar day in Viet Nam.
        actor: Account that exports.

    Raises:
        BudgetSpent: The month has too little left; nothing was drawn or written.
        ReleaseInvalid: The month is not over, the places share ballots, or the table is empty.
        LogDamaged: Nothing can be appended.
    """
    month = month_of(table)
    if month >= f"{today:%Y-%m}":
        raise ReleaseInvalid(f"{month} is not over: release it when its last ballots are in")
    charge = Charge(month, level, statistic, mechanism.epsilon_milli)
    with database.transaction() as connection:
        log.writing(connection)
        before = _releases(_bodies(connection))
        for known in before:
            if (known.charge.month, known.charge.level, known.charge.statistic) == (month, level, statistic):
                return known
        afford((known.charge for known in before), charge)
        rows = draw(table, places, mechanism)
        leaves = [
            log.Leaf(log.Kind.PRIVATE_RELEASE, _body(charge, mechanism, rows, start, actor))
            for start in range(0, max(1, len(rows)), _ROWS_AN_ENTRY)
        ]
        return PrivateRelease(log.append_all(connection, leaves), charge, mechanism.most_ballots, rows)


def month_of(table: Table) -> str:
    """Return the month of a table.

    Raises:
        ReleaseInvalid: It has no cells.
    """
    months = {cell.window[: len("2026-03")] for cell in table.cells}
    if len(months) != 1:
        raise ReleaseInvalid("the table has no ballots: choose a month with some")
    return months.pop()


def budgets(database: Database) -> tuple[MonthBudget, ...]:
    """Return every month with a private release, newest first: what a page about the budget shows."""
    with database.transaction() as connection:
        found = _releases(_bodies(connection))
    spent = [release.charge for release in found]
    months = sorted({charge.month for charge in spent}, reverse=True)
    return tuple(
        MonthBudget(
            month,
            LIMIT_MILLI,
            LIMIT_MILLI - left(spent, month),
            left(spent, month),
            tuple(release for release in found if release.charge.month == month),
        )
        for month in months
    )


def charges(bodies: Iterable[Mapping[str, Any]]) -> tuple[Charge, ...]:
    """Return what the private releases among the entries of a log cost, in order."""
    return tuple(release.charge for release in _releases(enumerate(_chosen(bodies))))


def faults(bodies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what is wrong with the private releases among the entries of a log; empty when nothing is.

    Args:
        bodies: Entries of the log in order; those of other kinds are left out.
    """
    chosen = _chosen(bodies)
    try:
        releases = _releases(enumerate(chosen))
        parts = [int(body["part"]) for body in chosen]
    except (KeyError, TypeError, ValueError) as error:
        return (f"a private release cannot be read: {error!r}",)
    spent = [release.charge for release in releases]
    months = sorted({charge.month for charge in spent})
    found = [f"{month}: is no month" for month in months if not _MONTH.fullmatch(month)]
    found += [
        f"{month}: more ε was spent than {LIMIT_MILLI / 1000:g}, by {-left(spent, month) / 1000:g}"
        for month in months
        if left(spent, month) < 0
    ]
    names = [(charge.month, charge.level, charge.statistic) for charge in spent]
    found += [
        f"{' '.join(name)}: drawn more than once" for name in sorted(set(names)) if names.count(name) > 1
    ]
    found += [
        f"{charge.month} {charge.level}: ε is not above 0" for charge in spent if charge.epsilon_milli < 1
    ]
    if any(part and part != before + 1 for before, part in pairwise((-1, *parts))):
        found.append("a part of a release is missing, or stands twice")
    for release in releases:
        where = f"{release.charge.month} {release.charge.level}"
        epsilon = release.charge.epsilon_milli
        fewest = Mechanism(epsilon, release.most_ballots).fewest() if epsilon > 0 else FEWEST_N
        places = Counter(row.place for row in release.rows)
        found += [f"{where} {place}: drawn more than once" for place, n in sorted(places.items()) if n > 1]
        found += [
            f"{release.charge.month} {row.place}: {row.satisfied} of {row.n} may not be exported"
            for row in release.rows
            if row.n < fewest or not 0 <= row.satisfied <= row.n
        ]
    return tuple(found)


def _chosen(bodies: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [body for body in bodies if body["kind"] == log.Kind.PRIVATE_RELEASE]


def _body(
    charge: Charge, mechanism: Mechanism, rows: Sequence[PrivateRow], start: int, actor: str
) -> dict[str, object]:
    part = rows[start : start + _ROWS_AN_ENTRY]
    return {
        "actor": actor,
        "month": charge.month,
        "level": charge.level,
        "statistic": charge.statistic,
        "epsilon_milli": charge.epsilon_milli,
        "most_ballots": mechanism.most_ballots,
        "part": start // _ROWS_AN_ENTRY,
        "rows": [[row.place, row.n, row.satisfied] for row in part],
    }


def _bodies(connection: Connection) -> list[tuple[int, Mapping[str, Any]]]:
    rows = connection.execute(
        "SELECT idx, body FROM central_log WHERE kind = %s ORDER BY idx", (log.Kind.PRIVATE_RELEASE,)
    )
    return [(int(row[0]), json.loads(bytes(row[1]))) for row in rows]


def _releases(bodies: Iterable[tuple[int, Mapping[str, Any]]]) -> tuple[PrivateRelease, ...]:
    """Return releases from their entries; later parts add rows to the entry before them."""
    found: list[PrivateRelease] = []
    for index, body in bodies:
        charge = Charge(
            str(body["month"]), str(body["level"]), str(body["statistic"]), int(body["epsilon_milli"])
        )
        mechanism = Mechanism(max(1, charge.epsilon_milli), int(body["most_ballots"]))
        rows = tuple(
            PrivateRow(str(place), int(n), int(satisfied), mechanism.p95_points(int(n)))
            for place, n, satisfied in body["rows"]
        )
        if body["part"] and found and found[-1].charge == charge:
            before = found.pop()
            found.append(PrivateRelease(before.index, charge, before.most_ballots, before.rows + rows))
        else:
            found.append(PrivateRelease(index, charge, mechanism.most_ballots, rows))
    return tuple(found)
