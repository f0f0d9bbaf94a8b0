"""The interval of a weighted sum or a difference of shares, from the interval of each share.

Variances are recovered from each interval by itself and on each side by itself (MOVER), so the sum
keeps what Wilson's intervals know: that a share of 100 % of six ballots is not certain, and that a share
near 100 % has more room below than above. Adding up s² instead would call six equal ballots exact.

Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures (2008).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from api.statistics.wilson import NORMAL, Values


class Estimate(Protocol):
    """A share or a mean with its interval, whatever else it knows."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """Lower end of its 95 % interval."""

    @property
    def high(self) -> float:
        """Upper end."""


def difference(mine: Estimate, other: Estimate, *, wider: float = 1.0) -> tuple[float, float, float]:
    """Return how much one estimate is above another of other people, with the ends of the interval.

    Args:
        mine: What it is taken from.
        other: What is taken off.
        wider: Factor of the interval's halves, for several differences that shall hold at once.
    """
    value = mine.value - other.value
    below = math.hypot(mine.value - mine.low, other.high - other.value) * wider
    above = math.hypot(mine.high - mine.value, other.value - other.low) * wider
    return value, value - below, value + above


def combined(
    weights: Values, values: Values, lows: Values, highs: Values, visits: npt.ArrayLike
) -> tuple[Values, Values, Values]:
    """Return the weighted sum with the ends of its 95 % interval.

    Args:
        weights: Share of each stratum in all visits, strata along the first axis; they sum to 1.
        values: Share of satisfied visits in each stratum, the same shape.
        lows: Lower ends of their intervals.
        highs: Upper ends.
        visits: Visits that the weights were counted over; infinite where the weights are exact.
    """
    value = np.sum(weights * values, axis=0)
    between = np.sum(weights * np.square(values - value), axis=0)
    of_weights = NORMAL * NORMAL * between / np.asarray(visits, dtype=np.float64)
    below = np.sqrt(np.sum(np.square(weights * (values - lows)), axis=0) + of_weights)
    above = np.sqrt(np.sum(np.square(weights * (highs - values)), axis=0) + of_weights)
    return value, np.maximum(0.0, value - below), np.minimum(1.0, value + above)
