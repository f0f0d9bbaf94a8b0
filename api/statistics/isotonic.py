"""Isotonic calibration: the rising curve nearest to the ballots, whatever its shape.

Neighbouring scores are pooled while a lower one has more satisfied ballots than a higher one (pool adjacent
violators). Between pools the curve is a straight line; beyond them it stays level.

Source: M. Ayer and others, An empirical distribution function for sampling with incomplete
information (1955).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from api.statistics.errors import CalibrationInvalid
from api.statistics.wilson import Values


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


def fit_isotonic(scores: Values, satisfied: Values) -> Isotonic:
    """Fit the curve by pooling adjacent violators.

    Args:
        scores: Raw scores, 0 to 1; equal scores count as one.
        satisfied: Ballots of the same visits, 0 or 1.
    """
    places, group = np.unique(scores, return_inverse=True)
    ballots = np.bincount(group).astype(np.float64)
    sums = np.bincount(group, weights=satisfied)
    pools: list[tuple[float, float, int, int]] = []
    for index, (total, count) in enumerate(zip(sums.tolist(), ballots.tolist(), strict=True)):
        first = index
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            more, others, first, _ = pools.pop()
            total, count = total + more, count + others  # noqa: PLW2901 - the pool grows while it swallows
        pools.append((total, count, first, index))
    corners: list[tuple[float, float]] = []
    for total, count, first, last in pools:
        share = total / count
        corners.append((float(places[first]), share))
        if last > first:
            corners.append((float(places[last]), share))
    return Isotonic(tuple(score for score, _ in corners), tuple(share for _, share in corners))
