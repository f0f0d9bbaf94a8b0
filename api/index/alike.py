"""Which ballots may be compared with each other: of one month, channel, procedure and time of day.

Made of what is printed of a place: of its channels, and of the breakdowns of its ratings at the counter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.index.breakdown import OTHERS, Breakdowns, Dimension, Votes, mix_of
from api.index.errors import IndexRefused
from api.index.figures import Figure, Share
from api.index.formula import KIOSK
from api.interval import share_of
from api.statistics.estimator import Method


class Equal(StrEnum):
    """What can be made equal."""

    MONTHS = "months"
    CHANNELS = "channels"
    PROCEDURES = "procedures"
    TIMES = "times"


ALWAYS: Final = (Equal.MONTHS, Equal.CHANNELS)
TOLD_APART: Final = ((Equal.PROCEDURES, Equal.TIMES), (Equal.PROCEDURES,), (Equal.TIMES,), ())
"""What is told apart of the ratings at the counter, the finest first."""


@dataclass(frozen=True, slots=True, order=True)
class Alike:
    """A stratum: ballots that may be compared with each other.

    Attributes:
        month: As 2026-11.
        procedure: Empty where procedures are not told apart.
        band: Time of day; empty where it is not told apart.
    """

    month: str
    channel: str
    procedure: str = ""
    band: str = ""


def strata_of(figures: Mapping[str, Figure], told: tuple[Equal, ...]) -> dict[Alike, Share]:
    """Return the printed shares of one place by stratum.

    Args:
        figures: Month, as 2026-11 -> its figure.
        told: What is told apart of the ratings at the counter: one of `TOLD_APART`.
    """
    found = {}
    for month, figure in figures.items():
        for channel, share in figure.overall.channels.items():
            if channel != KIOSK or not told:
                found[Alike(month, channel)] = share
        if KIOSK in figure.overall.channels and told:
            found |= {
                Alike(month, KIOSK, *key): share
                for key, share in _told_apart(figure.breakdowns, told).items()
            }
    return found


def _told_apart(breakdowns: Breakdowns, told: tuple[Equal, ...]) -> dict[tuple[str, str], Share]:
    """Return shares by procedure and time of day, each empty where it is not asked for."""
    dimension = Dimension.MIX if Equal.PROCEDURES in told else Dimension.TIMES
    sums: dict[tuple[str, str], Votes] = defaultdict(Votes)
    for part in breakdowns.get(dimension, ()):
        procedure, band = mix_of(part) if dimension is Dimension.MIX else (OTHERS, part.name)
        if dimension is Dimension.MIX and procedure == OTHERS:
            continue
        if Equal.TIMES in told and not band:
            continue
        sums[procedure, band if Equal.TIMES in told else ""] += Votes(part.n, part.satisfied)
    return {key: _share(votes) for key, votes in sums.items()}


def _share(votes: Votes) -> Share:
    mean = share_of(votes.satisfied, votes.n)
    if mean is None:
        raise IndexRefused("a part without ballots has no share: the released sums are damaged")
    return Share(
        mean.value, mean.low, mean.high, votes.n, votes.satisfied, 0, float(votes.n), 0.0, Method.WILSON.value
    )


def common(strata: Sequence[Mapping[Alike, Share]]) -> tuple[Alike, ...]:
    """Return the strata that all places have, and of which none is printed as a bound."""
    shared = set.intersection(*map(set, strata)) if strata else set()
    return tuple(sorted(key for key in shared if not any(mine[key].bounded for mine in strata)))
