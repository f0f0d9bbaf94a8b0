"""What a page may show of the index without any arithmetic of its own: released, held back where it must be.

A place without enough ballots has no share of satisfied people. Where its days have scores, the mean of
those is an *uncalibrated signal*: another type (`UncalibratedMean`), so that no page can word it as a share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from api.database import Connection, Database
from api.disclosure import Disclosure
from api.index.figures import Figure
from api.index.formula import kept_formulas
from api.index.period import Period
from api.index.places import ALL
from api.index.publication import hidden_places, published_figure
from api.index.releases import kept_cells
from api.interval import Mean, mean_of
from api.releases import Release
from api.schema import PPM, next_month


class Standing(StrEnum):
    """What can be said of a place and period."""

    FIGURE = "figure"
    """A share of satisfied people, with its interval."""
    UNCALIBRATED = "uncalibrated"
    """Scores that no ballot stands behind: a signal, never a share of satisfied people."""
    WITHHELD = "withheld"
    """There are figures, but they would tell what single people said."""
    NOTHING = "nothing"
    """Too few people, or not released yet."""


@dataclass(frozen=True, slots=True)
class UncalibratedMean:
    """Mean of uncalibrated scores of released days, 0 to 1, with its interval.

    Attributes:
        days: Days of counters that it stands on.
    """

    mean: Mean
    days: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The index of one place and period as it may be shown.

    Attributes:
        figure: Only with `Standing.FIGURE`.
        signal: Only with `Standing.UNCALIBRATED`.
    """

    place: str
    period: Period
    standing: Standing
    figure: Figure | None = None
    signal: UncalibratedMean | None = None


def read_places(
    database: Database, places: Sequence[str], period: Period, disclosure: Disclosure
) -> Mapping[str, Reading]:
    """Return what may be shown of several places, in the order given.

    Args:
        database: Where the releases are; nothing is released by reading.
        places: `all`, `unit:CODE`, `counter:CODE` and so on.
        period: A calendar month, quarter or year.
        disclosure: What may be shown.
    """
    with database.transaction() as connection:
        cells = kept_cells(connection, period.months)
        formulas = kept_formulas(connection)
        hidden = hidden_places(cells, disclosure.minimum_n)
        return {
            place: _reading(
                place,
                period,
                published_figure(place, period, cells, formulas, hidden),
                None
                if any(place in cell.path for cell in cells)
                else _signal(connection, place, period, disclosure),
                withheld=any(place in cell.path for cell in cells),
            )
            for place in places
        }


def released_places(database: Database, period: Period) -> tuple[str, ...]:
    """Return the places at or below which anything is released of a period, by name."""
    with database.transaction() as connection:
        cells = kept_cells(connection, period.months)
    return tuple(sorted({place for cell in cells for place in cell.path}))


def _reading(
    place: str, period: Period, figure: Figure | None, signal: UncalibratedMean | None, *, withheld: bool
) -> Reading:
    if figure is not None and figure.overall.share is not None:
        return Reading(place, period, Standing.FIGURE, figure=figure)
    if withheld:
        return Reading(place, period, Standing.WITHHELD)
    if signal is not None:
        return Reading(place, period, Standing.UNCALIBRATED, signal=signal)
    return Reading(place, period, Standing.NOTHING)


def _signal(
    connection: Connection, place: str, period: Period, disclosure: Disclosure
) -> UncalibratedMean | None:
    first, end = period.months[0], next_month(period.months[-1])
    days = [
        release
        for release in _released_days(connection, place, first, end)
        if disclosure.day_is_over(release.day) and disclosure.enough(release.sums.get("scored", 0))
    ]
    n = sum(day.sums["scored"] for day in days)
    mean = mean_of(
        n,
        sum(day.sums["score_sum"] for day in days) / PPM,
        sum(day.sums["score_square_sum"] for day in days) / PPM**2,
        sum(day.sums["variance_sum"] for day in days) / PPM**2,
    )
    return None if mean is None else UncalibratedMean(mean, len(days))


def _released_days(connection: Connection, place: str, first: date, end: date) -> list[Release]:
    """Return the newest release of each day of the counters at or below a place, as the tree was that day."""
    level, _, code = place.partition(":")
    rows = connection.execute(
        "SELECT DISTINCT ON (r.counter, r.day) r.counter, r.day, r.revision, r.as_of, r.sums FROM releases r "
        "WHERE r.day >= %(first)s AND r.day < %(end)s AND (%(place)s = %(all)s "
        "OR (%(level)s = 'counter' AND r.counter = %(code)s) "
        "OR (%(level)s <> 'counter' AND EXISTS (SELECT 1 FROM counter_placements p "
        "JOIN organisation_paths o ON o.unit = p.unit AND o.node = %(code)s "
        "AND r.day >= o.valid_from AND r.day < o.valid_until "
        "WHERE p.counter = r.counter AND r.day >= p.valid_from AND r.day < p.valid_until))) "
        "ORDER BY r.counter, r.day, r.revision DESC",
        {"first": first, "end": end, "place": place, "all": ALL, "level": level, "code": code},
    ).fetchall()
    return [
        Release(row[0], row[1], row[2], row[3], {name: int(value) for name, value in row[4].items()})
        for row in rows
    ]
