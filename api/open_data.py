"""Open data: shares of satisfied ballots with noise, one release a month and level, drawn once and logged.

Only ratings at the counter are counted: one person, one form. Counters are no level of open data: a figure of
one counter is close to the few people who work there. Everything else is `api.privacy_budget`'s and
`api.statistics.private_release`'s: the noise, its price, and the entry of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

from api.database import Connection, Database
from api.disclosure import Disclosure, points
from api.figure_table import Column
from api.index.cells import Cell
from api.index.formula import KIOSK
from api.index.publication import hidden_places
from api.index.releases import kept_cells, released_months
from api.privacy_budget import MonthBudget, PrivateRelease, budgets, release_privately
from api.register import Register
from api.statistics.private_release import Mechanism
from api.statistics.suppression_lattice import Cell as TableCell
from api.statistics.suppression_lattice import Counts, Table

STATISTIC: Final = "satisfied"
_COUNTER: Final = "counter"
_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class OpenRow:
    """One row of a file; texts as printed."""

    month: str
    level: str
    place: str
    name_vi: str
    name_en: str
    n: str
    share: str
    low: str
    high: str
    noise: str
    epsilon: str
    entry: str


COLUMNS: Final = (
    Column("month", "string", "Tháng", "Month"),
    Column("level", "string", "Cấp", "Level"),
    Column("place", "string", "Mã nơi: all, cấp:mã", "Code of the place: all, or level:code"),
    Column("name_vi", "string", "Tên tiếng Việt", "Name in Vietnamese"),
    Column("name_en", "string", "Tên tiếng Anh", "Name in English"),
    Column("n", "integer", "Số phiếu tại quầy", "Ballots at the counter"),
    Column("share", "number", "Tỷ lệ hài lòng có nhiễu, %", "Share of satisfied ballots with noise, %"),
    Column("low", "number", "Cận dưới, gồm cả nhiễu", "Lower end, the noise included"),
    Column("high", "number", "Cận trên, gồm cả nhiễu", "Upper end, the noise included"),
    Column("noise", "number", "Nhiễu trong 95 % lần, điểm", "Noise in 95 % of releases, points"),
    Column("epsilon", "number", "ε của một người trong tháng", "ε of one person in the month"),
    Column("entry", "integer", "Mục trong nhật ký", "Entry of the log"),
)
"""The data dictionary."""


def levels_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the levels of a month of which data may be opened, by name."""
    found = {place.partition(":")[0] for cell in cells for place in cell.path}
    return tuple(sorted(found - {_COUNTER}))


def offered(connection: Connection, today: date) -> tuple[tuple[date, tuple[str, ...]], ...]:
    """Return released months that are over with their levels, the newest first."""
    months = [month for month in released_months(connection) if month < today.replace(day=1)]
    found = ((month, levels_of(kept_cells(connection, [month]))) for month in reversed(months))
    return tuple((month, levels) for month, levels in found if levels)


def table_of(cells: Sequence[Cell], level: str, minimum_n: int) -> tuple[Table, tuple[str, ...]]:
    """Return the table of a month's places of one level, and these places; what is held back is in neither.

    Args:
        cells: Newest revisions of one month.
        level: `all`, or a level of the tree.
        minimum_n: Fewest people behind a figure.
    """
    hidden = hidden_places(cells, minimum_n)
    atoms: list[Counts] = []
    members: dict[str, list[int]] = {}
    window = f"{cells[0].month:%Y-%m}" if cells else ""
    for cell in cells:
        place = next((place for place in cell.path if place.partition(":")[0] == level), None)
        if cell.channel != KIOSK or place is None or (cell.month, place) in hidden:
            continue
        satisfied = sum(cell.sums.get(f"{name}.y.overall", 0) for name in cell.strata)
        members.setdefault(place, []).append(len(atoms))
        atoms.append(Counts(cell.ballots, satisfied))
    places = tuple(sorted(members))
    table_cells = tuple(TableCell(place, window, tuple(members[place])) for place in places)
    return Table(tuple(atoms), table_cells, dict.fromkeys(places)), places


def open_month(
    database: Database,
    month: date,
    level: str,
    mechanism: Mechanism,
    *,
    disclosure: Disclosure,
    actor: str,
) -> PrivateRelease:
    """Release a month's shares of a level with noise; asked again, the release that is in the log.

    Args:
        database: Where the releases and the log are.
        month: Its first day.
        level: `all`, or a level of the tree.
        mechanism: Noise and price.
        disclosure: What may be shown, and the running day.
        actor: Account that releases.

    Raises:
        BudgetSpent: The month has too little left.
        ReleaseInvalid: The month is not over, or has no figures of the level.
    """
    with database.transaction() as connection:
        cells = kept_cells(connection, [month])
    table, places = table_of(cells, "" if level == _COUNTER else level, disclosure.minimum_n)
    return release_privately(
        database,
        table,
        places,
        level=level,
        statistic=STATISTIC,
        mechanism=mechanism,
        today=disclosure.today,
        actor=actor,
    )


def opened(database: Database) -> tuple[MonthBudget, ...]:
    """Return the months with open data, the newest first."""
    return budgets(database)


def open_rows(release: PrivateRelease, register: Register) -> Iterator[OpenRow]:
    """Yield the rows of a release's file.

    Args:
        release: From the log.
        register: Places of the month, for their names.
    """
    charge = release.charge
    for row in release.rows:
        spot = register.spots.get(row.place)
        code = row.place.partition(":")[2]
        low, high = row.interval()
        yield OpenRow(
            charge.month,
            charge.level,
            row.place,
            (spot.name_vi if spot else code) or "Toàn hệ thống",
            (spot.name_en if spot else code) or "Everywhere",
            str(row.n),
            row.share,
            points(low, row.n),
            points(high, row.n),
            f"{row.p95_points:.1f}",
            f"{charge.epsilon_milli / _MILLI:g}",
            str(release.index),
        )


def values_of(row: OpenRow) -> tuple[str, ...]:
    """Return a row's texts in the order of `COLUMNS`."""
    return tuple(str(getattr(row, field.name)) for field in fields(row))
