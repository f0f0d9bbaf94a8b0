"""How far calibrated scores are from the ballots, and whether they may be used: the gate.

Held-out ballots are put in order of their score and cut into bins of about equal size. The expected
calibration error (ECE) is the mean distance between a bin's mean score and its share of satisfied
ballots. Chance alone makes it larger, never smaller, so an ECE within the limit is good news whatever
the number of ballots; with few ballots even right scores fail, and the figures stand on ballots alone.
Too few bins would hide the shape of an error (one bin always fits): below `FEWEST_LABELS` nothing is judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from api.statistics.wilson import Values, wilson

MOST_ERROR: Final = 0.03
"""Largest expected calibration error with which scores are used."""

FEWEST_BINS: Final = 5
MOST_BINS: Final = 15
LABELS_A_BIN: Final = 300
"""Ballots a bin wants, so that chance moves its share by less than the limit."""

FEWEST_LABELS: Final = 500
"""Below this many ballots the bins say nothing."""


class Gate(StrEnum):
    """Whether the passive scores may take part in figures."""

    OPEN = "open"
    CLOSED = "closed"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class Bin:
    """Ballots of neighbouring scores: a point of the reliability diagram.

    Attributes:
        n: Ballots.
        score: Mean of their calibrated scores.
        share: Share of satisfied ballots.
        low: Lower end of the share's 95 % interval.
        high: Upper end.
    """

    n: int
    score: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibrated scores against held-out ballots.

    Attributes:
        n: Ballots.
        ece: Expected calibration error.
        by_chance: What it would be on average if the scores were exactly right.
        gate: Whether the scores may be used.
        bins: The reliability diagram, by rising score; empty below `FEWEST_LABELS`.
    """

    n: int
    ece: float | None
    by_chance: float | None
    gate: Gate
    bins: tuple[Bin, ...]


def reliability(scores: Values, satisfied: Values) -> Reliability:
    """Compare calibrated scores with ballots that did not calibrate them.

    Args:
        scores: Calibrated scores, 0 to 1.
        satisfied: Ballots of the same visits, 0 or 1.
    """
    n = int(satisfied.size)
    if n < FEWEST_LABELS:
        return Reliability(n, None, None, Gate.TOO_FEW, ())
    order = np.argsort(scores, kind="stable")
    rising = scores[order]
    wanted = min(MOST_BINS, max(FEWEST_BINS, n // LABELS_A_BIN))
    # Equal scores stay together: else the order in which ballots came would decide who is in which bin.
    cuts = np.unique(np.searchsorted(rising, rising[np.arange(1, wanted) * n // wanted]))
    bins = []
    error = chance = 0.0
    for members in np.split(order, cuts[cuts > 0]):
        size = int(members.size)
        score = math.fsum(scores[members].tolist()) / size
        share = float(np.sum(satisfied[members])) / size
        low, high = wilson(share, size)
        bins.append(Bin(size, score, share, float(low), float(high)))
        error += size / n * abs(share - score)
        spread = math.fsum((scores[members] * (1 - scores[members])).tolist()) / size
        chance += size / n * math.sqrt(2 / math.pi * spread / size)
    return Reliability(n, error, chance, Gate.OPEN if error <= MOST_ERROR else Gate.CLOSED, tuple(bins))
