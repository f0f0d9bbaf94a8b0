"""Places below a place, each sibling group by its share, with the ranks that the intervals leave open.

Not a league table: neighbours whose intervals overlap have no order. A rank is therefore a range: as many
places are surely better as have an interval wholly above, as many surely worse as have one wholly below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.figure_flags import FigureFlag, figure_flags
from api.index.figures import Share
from api.index.reading import Reading, Standing
from api.interval import Mean
from api.pages.figure_words import share_of_reading
from api.register import Register, Spot

MOST_ROWS: Final = 90
"""Longer lists leave the counters to the pages of their units."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks that a place may have among its siblings, 1 for the highest; `of` them have a figure."""

    best: int
    worst: int
    of: int


@dataclass(frozen=True, slots=True)
class Row:
    """One place in the list.

    Attributes:
        depth: 0 right below the place that the list is of.
        share: None where there is no share to show.
        signal: Only where scores are all there is: no share of satisfied people.
    """

    spot: Spot
    depth: int
    standing: Standing
    share: Share | None
    signal: Mean | None
    ranks: Ranks | None
    flags: tuple[FigureFlag, ...]


def ranking(
    register: Register,
    root: str,
    readings: Mapping[str, Reading],
    *,
    channel: str = "",
    counters: bool = True,
) -> tuple[Row, ...]:
    """Return the places below one, parents before their children.

    Args:
        register: The places that the reader may see.
        root: The place that the list is of; empty for everything that the reader may see.
        readings: By place.
        channel: Show this channel's share instead of all together.
        counters: Whether counters are listed, or only what is above them.
    """
    rows: list[Row] = []

    def add(parent: str, depth: int) -> None:
        siblings = [spot for spot in register.children(parent) if counters or not spot.is_counter]
        shares = {spot.place: share_of_reading(readings.get(spot.place), channel) for spot in siblings}
        known = [share for share in shares.values() if share is not None]
        for spot in sorted(siblings, key=lambda spot: _order(spot, shares[spot.place])):
            reading, share = readings.get(spot.place), shares[spot.place]
            rows.append(
                Row(
                    spot,
                    depth,
                    _standing(reading, share),
                    share,
                    reading.signal.mean if reading is not None and reading.signal is not None else None,
                    None if share is None or len(known) <= 1 else _ranks(share, known),
                    figure_flags(reading.figure, share)
                    if reading is not None and reading.figure is not None
                    else (),
                )
            )
            add(spot.place, depth + 1)

    add(root, 0)
    return tuple(rows)


def listed(register: Register, root: str, *, counters: bool) -> tuple[Spot, ...]:
    """Return the places that a ranking lists; the counters are left out where there are too many.

    Args:
        register: The places that the reader may see.
        root: As in `ranking`.
        counters: Whether counters were asked for.
    """
    found: list[Spot] = []

    def add(parent: str) -> None:
        for spot in register.children(parent):
            found.append(spot)
            add(spot.place)

    add(root)
    direct = all(spot.is_counter for spot in found)
    if (not counters or len(found) > MOST_ROWS) and not direct:
        return tuple(spot for spot in found if not spot.is_counter)
    return tuple(found)


def root_of(register: Register) -> str:
    """Return the lowest place that holds everything a reader may see; empty where there is no single one."""
    tops = [spot.place for spot in register.spots.values() if register.way(spot.place)[0] is spot]
    if len(tops) != 1 or register.spots[tops[0]].is_counter:
        return ""
    root = tops[0]
    while True:
        below = register.children(root)
        if len(below) != 1 or below[0].is_counter:
            return root
        root = below[0].place


def certain(ranks: Ranks) -> bool:
    """Tell whether the intervals leave one rank."""
    return ranks.best == ranks.worst


def _order(spot: Spot, share: Share | None) -> tuple[bool, float, str]:
    return share is None, -(share.value if share is not None else 0.0), spot.code


def _ranks(share: Share, siblings: Sequence[Share]) -> Ranks:
    better = sum(other.low > share.high for other in siblings)
    worse = sum(other.high < share.low for other in siblings)
    return Ranks(1 + better, len(siblings) - worse, len(siblings))


def _standing(reading: Reading | None, share: Share | None) -> Standing:
    if reading is None:
        return Standing.NOTHING
    if reading.standing is Standing.FIGURE and share is None:  # not on this channel
        return Standing.NOTHING
    return reading.standing
