"""Places side by side in one period: figures, like held against like, differences with their intervals.

Everything here is made of figures that are printed anyway, so it tells nothing new of anybody. Where one of
them is printed as a bound only, nothing is computed with it.

**Like with like.** Places differ in the channels that their ballots come through, in the months that have
figures, in the procedures that they handle and in the time of day; all of them move a share by themselves.
Direct standardisation takes only the strata that all places have and weighs these by the ballots of all
places together (Breslow and Day, 1987, chapter 2). Ratings at the counter are told apart by procedure and
time of day where that leaves four fifths of all ballots in common strata, else by procedure, else by time of
day, else not; `Like.equal` says what was made equal. Below four fifths even so there is no such figure.
Procedures that were put together for being few are no stratum: in two places they are not the same.

**Difference.** Its interval is made of both intervals (Zou and Donner 2008; of two plain shares: Newcombe
1998), never by looking whether they overlap. Several differences to one place hold together: each interval is
wider by the normal quantile of Bonferroni's share of 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from api.disclosure import Disclosure
from api.index.alike import ALWAYS, TOLD_APART, Alike, Equal, common, strata_of
from api.index.breakdown import LEAST_COVERED
from api.index.figures import Figure, Share
from api.index.formula import KIOSK
from api.index.period import Period, Span
from api.index.reading import Reading, Standing
from api.statistics import mover
from api.statistics.wilson import NORMAL

FEWEST_PLACES: Final = 2
MOST_PLACES: Final = 6
_ERROR: Final = 0.05
Part = tuple[str, str]
"""Month and channel."""
Read = Callable[[Sequence[str], Period, Disclosure], Mapping[str, Reading]]


@dataclass(frozen=True, slots=True)
class Between:
    """The difference of two shares, place less reference.

    Attributes:
        value: -1 to 1; `low` and `high` are the ends of its interval.
        n: Ballots of the smaller side.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Like:
    """A share as it would be with the mix of all places together.

    Attributes:
        value: 0 to 1; `low` and `high` are the ends of its 95 % interval.
        n: Ballots of the strata that all places have.
        covered: Part of all places' ballots that lies in these strata, 0 to 1.
        equal: What was made equal.
    """

    value: float
    low: float
    high: float
    n: int
    covered: float
    equal: tuple[Equal, ...] = ALWAYS


@dataclass(frozen=True, slots=True)
class Side:
    """One place in the comparison.

    Attributes:
        like: None where like cannot be held against like.
        difference: To the first place; None for itself and where no difference may be given.
        like_difference: The same, of the standardised shares.
    """

    place: str
    reading: Reading
    like: Like | None
    difference: Between | None
    like_difference: Between | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Places in the order that they were asked for: never ranked.

    Attributes:
        parts: Months and channels that all places have, none of them printed as a bound.
        equal: What was made equal for `Side.like`; nothing where there is none.
    """

    period: Period
    sides: tuple[Side, ...]
    parts: tuple[Part, ...]
    equal: tuple[Equal, ...] = ()


def compare(
    read: Read,
    places: Sequence[str],
    period: Period,
    disclosure: Disclosure,
    *,
    overlapping: frozenset[tuple[str, str]] = frozenset(),
) -> Comparison:
    """Hold places side by side; the first is what the others are compared with.

    Args:
        read: Gives what may be shown of places, as `api.index.reading.read_places` does for a database.
        places: Two to six, each once.
        period: A calendar month, quarter or year.
        disclosure: What may be shown.
        overlapping: Pairs of places of which one lies in the other: they share people and have no difference.
    """
    readings = read(places, period, disclosure)
    figures = _figures(read, places, period, disclosure, readings)
    likes = _likes({at: figures[at] for at in places if readings[at].standing is Standing.FIGURE})
    first = places[0]
    pairs = [
        place
        for place in places[1:]
        if (first, place) not in overlapping
        and (place, first) not in overlapping
        and _usable(readings[first]) is not None
        and _usable(readings[place]) is not None
    ]
    sides = []
    for place in places:
        mine, other = _usable(readings[place]), _usable(readings[first])
        plain = likened = None
        if place in pairs and mine is not None and other is not None:
            plain = difference(mine, other, len(pairs))
            if place in likes and first in likes:
                likened = difference(likes[place], likes[first], len(pairs))
        sides.append(Side(place, readings[place], likes.get(place), plain, likened))
    shared = common([strata_of(figures[place], ()) for place in likes])
    parts = tuple((stratum.month, stratum.channel) for stratum in shared)
    return Comparison(period, tuple(sides), parts, next((like.equal for like in likes.values()), ()))


def difference(mine: Share | Like, other: Share | Like, together: int = 1) -> Between:
    """Return the difference of two shares of different people.

    Args:
        mine: What it is taken from.
        other: What is taken off.
        together: How many differences shall hold at once.
    """
    wider = NormalDist().inv_cdf(1 - _ERROR / 2 / max(1, together)) / NORMAL
    value, low, high = mover.difference(mine, other, wider=wider)
    return Between(value, max(-1.0, low), min(1.0, high), min(mine.n, other.n))


def standardised(
    mine: Mapping[Alike, Share],
    weights: Mapping[Alike, int],
    covered: float,
    equal: tuple[Equal, ...] = ALWAYS,
) -> Like:
    """Return the share of a place under common weights.

    Args:
        mine: Shares of the place; has every stratum of the weights.
        weights: Ballots of all places in each stratum.
        covered: Part of all ballots that these are, 0 to 1.
        equal: What the strata make equal.
    """
    keys = sorted(weights)
    whole = sum(weights.values())
    shares = [mine[key] for key in keys]
    value, low, high = mover.combined(
        np.array([weights[key] / whole for key in keys]),
        np.array([share.value for share in shares]),
        np.array([share.low for share in shares]),
        np.array([share.high for share in shares]),
        math.inf,
    )
    return Like(float(value), float(low), float(high), sum(share.n for share in shares), covered, equal)


def _usable(reading: Reading) -> Share | None:
    """Return the share that may be computed with; none where it is printed as a bound."""
    share = None if reading.figure is None else reading.figure.overall.share
    return None if share is None or share.bounded else share


def _figures(
    read: Read,
    places: Sequence[str],
    period: Period,
    disclosure: Disclosure,
    readings: Mapping[str, Reading],
) -> dict[str, dict[str, Figure]]:
    """Return the printed figures of each place by month."""
    found: dict[str, dict[str, Figure]] = {place: {} for place in places}
    for month in period.months:
        there = readings if period.span is Span.MONTH else read(places, Period(month, Span.MONTH), disclosure)
        for place in places:
            figure = there[place].figure
            if figure is not None:
                found[place][f"{month:%Y-%m}"] = figure
    return found


def _likes(figures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Like]:
    """Return the standardised shares; of none, where too little is common."""
    plain = [share for mine in figures.values() for share in strata_of(mine, ()).values()]
    total = sum(share.n for share in plain)
    if len(figures) < FEWEST_PLACES or not total:
        return {}
    for told in TOLD_APART:
        strata = {place: strata_of(mine, told) for place, mine in figures.items()}
        shared = common(list(strata.values()))
        weights = {key: sum(mine[key].n for mine in strata.values()) for key in shared}
        covered = sum(weights.values()) / total
        if told and not any(key.channel == KIOSK for key in shared):
            continue
        if covered >= LEAST_COVERED:
            equal = (*ALWAYS, *told)
            return {place: standardised(mine, weights, covered, equal) for place, mine in strata.items()}
    return {}
