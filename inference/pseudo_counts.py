"""Pseudo-counts of evidence, and the figure with its interval that they come to.

Each piece of evidence adds a bounded weight to positive, neutral or negative. A uniform
prior pulls to 0.5, and no channel can outgrow its ceiling however long a session lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference.signal import Abstention, Estimate

if TYPE_CHECKING:
    from inference.fusion_config import FusionConfig

Z_90: Final = 1.6448536269514722
"""Half of a 90 % interval, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Pseudo-counts of evidence."""

    positive: float = 0.0
    neutral: float = 0.0
    negative: float = 0.0

    @property
    def total(self) -> float:
        """Their sum."""
        return self.positive + self.neutral + self.negative

    @property
    def mean(self) -> float:
        """Share of satisfaction, neutral as a half; 0.5 without evidence."""
        return (self.positive + self.neutral / 2) / self.total if self.total > 0 else 0.5

    def under(self, ceiling: float) -> Counts:
        """Return the counts scaled so that their total stays below a ceiling, however many."""
        scale = ceiling / (ceiling + self.total)
        return Counts(self.positive * scale, self.neutral * scale, self.negative * scale)

    def plus(self, other: Counts) -> Counts:
        """Return the sum of both."""
        return Counts(
            self.positive + other.positive, self.neutral + other.neutral, self.negative + other.negative
        )


def joint_estimate(words: Counts, seen: Counts, config: FusionConfig) -> Estimate:
    """Join words and face; abstain where both together are too little, or weak words contradict the face."""
    both = words.plus(seen)
    if both.total <= 0.0:
        return Estimate(abstained=Abstention.NO_EVIDENCE)
    if both.total < config.min_counts:
        return Estimate(abstained=Abstention.TOO_LITTLE_EVIDENCE)
    opinions = min(words.positive + words.negative, seen.positive + seen.negative)
    weak = words.total < seen.total
    if weak and opinions >= config.min_counts and abs(words.mean - seen.mean) >= config.conflict:
        return Estimate(abstained=Abstention.CONFLICTING_EVIDENCE)
    return interval_estimate(both, config)


def interval_estimate(counts: Counts, config: FusionConfig) -> Estimate:
    """Shrink to 0.5 by the prior; Wilson's interval at bounded counts."""
    n = counts.total + 2 * config.prior
    score = unit((counts.positive + counts.neutral / 2 + config.prior) / n)
    n = n * config.doubt_counts / (n + config.doubt_counts)
    spread = 1 + Z_90**2 / n
    middle = (score + Z_90**2 / (2 * n)) / spread
    half = Z_90 * math.sqrt(score * (1 - score) / n + Z_90**2 / (4 * n * n)) / spread
    return Estimate(score=score, low=min(score, unit(middle - half)), high=max(score, unit(middle + half)))


def unit(value: float) -> float:
    """Bound a value to [0, 1]."""
    return min(max(value, 0.0), 1.0)


def signed(value: float) -> float:
    """Bound a value to [-1, 1]."""
    return min(max(value, -1.0), 1.0)
