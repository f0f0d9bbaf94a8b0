"""The citizen's valence over time with the doubt about it.

At every step the readings of the window around it are averaged, second by second: readings
of one second repeat each other and have one vote together. The vote is shared among
positive, neutral and negative as the calibrated probabilities say, and one more vote is
spread evenly over the three (a Dirichlet distribution with a third each to begin with).
The band is that distribution's 90 % interval, so that few readings and unsure ones widen
it. It says how sure the networks can be of the expression, not how satisfied anybody is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.face_moments import FaceMoment

_NS: Final = 1_000_000_000
_Z: Final = 1.6448536269514722
"""Half of a 90 % interval, in standard deviations."""
_PRIOR: Final = 1.0
"""Votes spread evenly over the three classes."""


@dataclass(frozen=True, slots=True)
class BandPoint:
    """Valence around one moment.

    Attributes:
        at_ns: Capture time in the middle of the window.
        valence: Mean of the window, -1 to 1, each second once.
        low: Lower end of the band.
        high: Upper end of the band.
        seconds: Seconds of the window with a reading: the votes.
    """

    at_ns: int
    valence: float
    low: float
    high: float
    seconds: float


def band(
    moments: Sequence[FaceMoment], *, window_s: float = 5.0, step_s: float = 0.5
) -> tuple[tuple[BandPoint, ...], ...]:
    """Return the smoothed valence in unbroken stretches.

    A stretch ends where the window's middle half holds no reading: nothing is drawn across
    a time in which nobody was read.

    Args:
        moments: Readings in order of capture.
        window_s: Length of the window.
        step_s: Distance of the points.
    """
    stretches: list[list[BandPoint]] = [[]]
    if moments:
        half_ns, step_ns = int(window_s * _NS / 2), int(step_s * _NS)
        first = 0
        for at_ns in range(moments[0].captured_ns, moments[-1].captured_ns + step_ns, step_ns):
            while moments[first].captured_ns < at_ns - half_ns and first < len(moments) - 1:
                first += 1
            near = []
            for moment in moments[first:]:
                if moment.captured_ns > at_ns + half_ns:
                    break
                near.append(moment)
            if any(abs(moment.captured_ns - at_ns) <= half_ns // 2 for moment in near):
                stretches[-1].append(_point(at_ns, near, half_ns))
            elif stretches[-1]:
                stretches.append([])
    return tuple(tuple(stretch) for stretch in stretches if stretch)


def _point(at_ns: int, near: Sequence[FaceMoment], half_ns: int) -> BandPoint:
    by_second: dict[int, list[FaceMoment]] = {}
    for moment in near:
        by_second.setdefault((moment.captured_ns - at_ns) // _NS, []).append(moment)
    # A second that lies in the window by half has half a vote.
    votes = {
        second: (min((second + 1) * _NS, half_ns) - max(second * _NS, -half_ns)) / _NS for second in by_second
    }
    seconds = max(sum(votes.values()), 1e-9)  # a reading on the window's very end
    valence, directed = (
        sum(votes[second] * fmean(map(figure, moments)) for second, moments in by_second.items()) / seconds
        for figure in (_valence, _directed)
    )
    total = seconds + _PRIOR
    mean = valence * seconds / total
    share = (directed * seconds + _PRIOR * 2 / 3) / total
    half = _Z * math.sqrt(max(0.0, share - mean * mean) / (total + 1))
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return BandPoint(at_ns, valence, min(low, valence), max(high, valence), seconds)


def _valence(moment: FaceMoment) -> float:
    return moment.valence


def _directed(moment: FaceMoment) -> float:
    """Return how probable positive and negative are together.

    Two of the three probabilities follow from their difference (valence) and the largest of
    them (confidence), for each class that may be the largest; where two may, the answer with
    more doubt is taken.
    """
    valence, largest = abs(moment.valence), moment.confidence
    neutral_largest = 1.0 - largest
    direction_largest = 2.0 * largest - valence
    possible = [share for share in (neutral_largest, direction_largest) if valence <= share <= 1.0]
    return max(possible, default=max(valence, neutral_largest))
