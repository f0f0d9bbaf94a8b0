"""Ballots and scores of the same counters beside each other: does the passive part see what people say?

Per place and period: the share of satisfied ballots at the counter as they were cast, and the mean of the
calibrated scores. They are not the same people: scores are of those who consented, ballots of those who
voted. So a gap is a reason to look at the calibration, and no error by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.database import Database
from api.disclosure import Disclosure
from api.index.cells import PASSIVE, SCORED, Cell
from api.index.figures import Share
from api.index.formula import KIOSK
from api.index.period import Period
from api.index.publication import hidden_places
from api.index.releases import kept_cells
from api.interval import Mean, mean_of, share_of
from api.schema import PPM


@dataclass(frozen=True, slots=True)
class Agreement:
    """One place.

    Attributes:
        ballots: Share of the ballots at the counter that are satisfied with everything, as cast, with
            Wilson's interval; None where nothing is printed.
        scores: Mean of the calibrated scores; None where there are none, or too few.
        calibrations: Versions that the scores went through.
    """

    place: str
    ballots: Share | None
    scores: Mean | None
    calibrations: tuple[int, ...]


def agreement(
    database: Database, places: Sequence[str], period: Period, disclosure: Disclosure
) -> tuple[Agreement, ...]:
    """Return both sides of places where both may be printed, in the order given.

    Args:
        database: Where the releases are.
        places: As in the cells' paths.
        period: A calendar month, quarter or year.
        disclosure: What may be shown.
    """
    with database.transaction() as connection:
        cells = kept_cells(connection, period.months)
    hidden = hidden_places(cells, disclosure.minimum_n)
    found = []
    for place in places:
        mine = [
            cell
            for cell in cells
            if cell.channel == KIOSK and place in cell.path and (cell.month, place) not in hidden
        ]
        made = _of(place, mine, disclosure)
        if made.ballots is not None and made.scores is not None:
            found.append(made)
    return tuple(found)


def _of(place: str, cells: Sequence[Cell], disclosure: Disclosure) -> Agreement:
    n = sum(cell.ballots for cell in cells)
    satisfied = sum(cell.sums.get(f"{name}.y.overall", 0) for cell in cells for name in cell.strata)
    measured = [cell for cell in cells if cell.sums.get(f"{PASSIVE}.n") and f"{SCORED}.f" in cell.sums]

    def total(key: str, extra: str) -> int:
        return sum(cell.sums.get(f"{PASSIVE}.{key}", 0) + cell.sums.get(extra, 0) for cell in measured)

    scored = total("n", f"{SCORED}.n")
    mean = mean_of(scored, total("f", f"{SCORED}.f") / PPM, total("ff", f"{SCORED}.ff") / PPM**2)
    plain = share_of(satisfied, n)
    versions = frozenset[int]().union(*(cell.basis.calibrations for cell in measured))
    return Agreement(
        place,
        None
        if plain is None or not disclosure.enough(n)
        else Share(plain.value, plain.low, plain.high, n, satisfied, 0, float(n), 0.0, "wilson"),
        mean if disclosure.enough(scored) else None,
        tuple(sorted(versions)),
    )
