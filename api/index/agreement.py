"""Ballots and scores of the same counters beside each other: does the passive part see what people say?

Per place and period: the share of satisfied ballots at the counter as they were cast, and the mean of the
calibrated scores. They are not the same people: scores are of those who consented, ballots of those who
voted. So a gap is a reason to look at the calibration, and no error by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from api.database import Database
from api.disclosure import Disclosure, nearly_unanimous
from api.index.breakdown import Votes
from api.index.cells import PASSIVE, SCORED, Cell
from api.index.figures import Share
from api.index.formula import KIOSK
from api.index.period import Period
from api.index.publication import hidden_places
from api.index.releases import kept_cells
from api.interval import Mean, mean_of, share_of
from api.schema import PPM
from api.statistics.estimator import Method


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
    plain = _plain(cells)
    measured = [cell for cell in cells if cell.sums.get(f"{PASSIVE}.n") and f"{SCORED}.f" in cell.sums]

    def total(key: str, extra: str) -> int:
        return sum(cell.sums.get(f"{PASSIVE}.{key}", 0) + cell.sums.get(extra, 0) for cell in measured)

    scored = total("n", f"{SCORED}.n")
    mean = mean_of(scored, total("f", f"{SCORED}.f") / PPM, total("ff", f"{SCORED}.ff") / PPM**2)
    versions = frozenset[int]().union(*(cell.basis.calibrations for cell in measured))
    return Agreement(
        place,
        plain if plain is not None and disclosure.enough(plain.n) else None,
        mean if disclosure.enough(scored) else None,
        tuple(sorted(versions)),
    )


def _plain(cells: Sequence[Cell]) -> Share | None:
    """Return the share of ballots as cast; of several months each counts as it is printed.

    A month that is printed as a bound has one on the other side here, as in `api.index.figures`: else the
    quarter less its other months would tell what the bound does not.
    """
    by_month: dict[date, Votes] = defaultdict(Votes)
    for cell in cells:
        by_month[cell.month] += Votes(cell.ballots, cell.satisfied)
    whole, bounds = Votes(), list[bool]()
    for votes in by_month.values():
        if len(by_month) > 1 and nearly_unanimous(votes.n, votes.satisfied):
            bounds.append(votes.satisfied > votes.n - votes.satisfied)
            whole += Votes(votes.n, votes.n - 1 if bounds[-1] else 1)
        else:
            whole += votes
    mean = share_of(whole.satisfied, whole.n)
    if mean is None:
        return None
    alike = len(bounds) == len(by_month) and len(set(bounds)) == 1
    return Share(
        mean.value,
        mean.low,
        mean.high,
        whole.n,
        whole.satisfied,
        0,
        float(whole.n),
        0.0,
        Method.WILSON.value,
        unsure=len(bounds) if alike else 0,
    )
