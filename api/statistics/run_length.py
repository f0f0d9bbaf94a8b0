"""How long a chart runs without a change before it tells of one: average run lengths, by Markov chain.

The chart's statistic is cut into states of equal width; standard normal steps move between them; the mean
time until the limit is passed is the solution of (I - Q) t = 1 (Brook and Evans, Biometrika 59, 1972; Lucas
and Saccucci, Technometrics 32, 1990). Lengths are in days that have a figure.
"""

from __future__ import annotations

import functools
import math
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.special import ndtr  # type: ignore[import-untyped] # scipy carries no types

CUSUM_SLACK: Final = 0.5
"""Half the shift, in standard deviations of a day, that the CUSUM finds soonest."""
EWMA_WEIGHT: Final = 0.2
"""Weight of the newest day."""
_STATES: Final = 161
_WIDEST: Final = {"cusum": 30.0, "ewma": 7.0}


class Chart(StrEnum):
    """How days are added up."""

    CUSUM = "cusum"
    EWMA = "ewma"


@functools.lru_cache(maxsize=512)
def average_run_length(chart: Chart, limit: float, shift: float = 0.0) -> float:
    """Return the mean number of days until the chart tells of a change, in either direction.

    Args:
        chart: Which one.
        limit: h of the CUSUM, in standard deviations of a day; L of the EWMA, in those of its statistic.
        shift: How far the level is from the reference, in standard deviations of a day.
    """
    if chart is Chart.EWMA:
        return _ewma(limit, shift)
    up, down = _cusum(limit, shift), _cusum(limit, -shift)
    return 1 / (1 / up + 1 / down)


def limit_for(chart: Chart, run_length: float) -> float:
    """Return the limit whose average run length without a change is the one asked for (days)."""
    low, high = 0.5, _WIDEST[chart.value]
    for _ in range(40):
        middle = (low + high) / 2
        if average_run_length(chart, middle) < run_length:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _cusum(limit: float, shift: float) -> float:
    # The first state is the chart at zero, half as wide as the others (Brook and Evans).
    width = 2 * limit / (2 * _STATES - 1)
    middles = np.arange(_STATES) * width
    edges = (np.arange(_STATES) + 0.5) * width
    reached = ndtr(edges[None, :] - middles[:, None] + CUSUM_SLACK - shift)
    moves = np.diff(reached, axis=1, prepend=0.0)
    return float(np.linalg.solve(np.eye(_STATES) - moves, np.ones(_STATES))[0])


def _ewma(limit: float, shift: float) -> float:
    bound = limit * math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))
    edges = np.linspace(-bound, bound, _STATES + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    steps = (edges[None, :] - (1 - EWMA_WEIGHT) * middles[:, None]) / EWMA_WEIGHT - shift
    moves = np.diff(ndtr(steps), axis=1)
    return float(np.linalg.solve(np.eye(_STATES) - moves, np.ones(_STATES))[_STATES // 2])
