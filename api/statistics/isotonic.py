"""Isotonic calibration: the rising curve nearest to the ballots, whatever its shape, without anybody's score.

Neighbouring scores are pooled while a lower one has more satisfied ballots than a higher one (pool adjacent
violators), then until each pool has at least `FEWEST_A_STEP` ballots that do not all say the same: curves
stand in the log, and auditors know the scores of sessions. A pool is level between two corners, the means of
its lowest and of its highest scores, as many as a pool has at least; a pool too small for two has one, at its
mean. Between pools the curve is a straight line; beyond them it stays level.

Source: M. Ayer and others, An empirical distribution function for sampling with incomplete
information (1955).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from api.statistics.errors import CalibrationInvalid
from api.statistics.wilson import Values

FEWEST_A_STEP: Final = 10
"""Fewest ballots behind a corner: as many as behind any released sum."""
_PLACE_DIGITS: Final = 4
"""Digits of a corner's place: enough for the curve, too few to take one score out of a mean of ten."""


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising curve through corners.

    Attributes:
        scores: Where the corners are, rising.
        shares: Share of satisfied ballots there, never falling.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse corners that make no rising curve."""
        if not self.scores or len(self.scores) != len(self.shares):
            raise CalibrationInvalid("An isotonic curve needs as many shares as scores, and at least one.")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.shares) < 0):
            raise CalibrationInvalid(
                "The corners of an isotonic curve rise: it was not stored as it was fitted."
            )

    def apply(self, scores: npt.ArrayLike) -> Values:
        """Return the probability of a satisfied visit for scores of 0 to 1."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.shares)


@dataclass(frozen=True, slots=True)
class _Pool:
    """Ballots of neighbouring scores.

    Attributes:
        scores: All scores, rising; the pool is those from `first` until before `end`.
    """

    scores: Values = field(repr=False, compare=False)
    first: int
    end: int
    satisfied: float

    def __add__(self, above: _Pool) -> _Pool:
        return _Pool(self.scores, self.first, above.end, self.satisfied + above.satisfied)

    @property
    def ballots(self) -> int:
        return self.end - self.first

    @property
    def share(self) -> float:
        return self.satisfied / self.ballots

    @property
    def mute(self) -> bool:
        """Whether it tells nothing about one of its people."""
        return self.ballots >= FEWEST_A_STEP and 0 < self.satisfied < self.ballots

    @property
    def corners(self) -> tuple[float, ...]:
        """Where its corners are: one place, or a lower and a higher one."""
        parts: tuple[tuple[int, int], ...] = ((self.first, self.end),)
        if self.ballots >= 2 * FEWEST_A_STEP:
            parts = ((self.first, self.first + FEWEST_A_STEP), (self.end - FEWEST_A_STEP, self.end))
        means = (math.fsum(self.scores[first:end]) / (end - first) for first, end in parts)
        return tuple(sorted({round(mean, _PLACE_DIGITS) for mean in means}))


def fit_isotonic(scores: Values, satisfied: Values) -> Isotonic:
    """Fit the curve by pooling adjacent violators, then neighbours of too few or unanimous ballots.

    Where all ballots together are too few or unanimous, two more are counted, one of each kind.

    Args:
        scores: Raw scores, 0 to 1; equal scores count as one.
        satisfied: Ballots of the same visits, 0 or 1.
    """
    pools = _muted(_risen(_steps(scores, satisfied)))
    if len(pools) == 1 and not pools[0].mute:
        corners = [(place, (pools[0].satisfied + 1) / (pools[0].ballots + 2)) for place in pools[0].corners]
    else:
        corners = [(place, pool.share) for pool in pools for place in pool.corners]
    return Isotonic(tuple(place for place, _ in corners), tuple(share for _, share in corners))


def _steps(scores: Values, satisfied: Values) -> list[_Pool]:
    """Return a pool for each distinct score, rising."""
    rising = np.sort(scores)
    _, group = np.unique(scores, return_inverse=True)
    ends = np.cumsum(np.bincount(group)).tolist()
    sums = np.bincount(group, weights=satisfied).tolist()
    parts = zip((0, *ends[:-1]), ends, sums, strict=True)
    return [_Pool(rising, first, end, total) for first, end, total in parts]


def _risen(steps: Iterable[_Pool]) -> list[_Pool]:
    pools: list[_Pool] = []
    for step in steps:
        pool = step
        while pools and pools[-1].satisfied * pool.ballots >= pool.satisfied * pools[-1].ballots:
            pool = pools.pop() + pool
        pools.append(pool)
    return pools


def _muted(pools: Sequence[_Pool]) -> list[_Pool]:
    """Put pools together that may not stand by themselves, each with the neighbour nearer in share.

    Shares rise from pool to pool, and that of two together lies between theirs, so they go on rising.
    """
    left: list[_Pool] = []
    rest = list(reversed(pools))
    while rest:
        pool = rest.pop()
        if left and left[-1].corners[-1] >= pool.corners[0]:  # the same place once it is rounded
            rest.append(left.pop() + pool)
        elif pool.mute or not (left or rest):
            left.append(pool)
        elif left and (not rest or pool.share - left[-1].share <= rest[-1].share - pool.share):
            rest.append(left.pop() + pool)
        else:
            rest.append(pool + rest.pop())
    return left
