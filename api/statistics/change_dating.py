"""On which day a share changed: the likeliest day among the figures in order, and the days that are as good.

A chart (`api.statistics.change_points`) tells that there was a change, and dates it by the day after its
tally's last zero, which is all that one knows on the day of the alarm. Later there are figures on both
sides. Then each place between two of them is held for the change in turn: the likelihood of one share
before and another after it. The likeliest place is the date; the places whose log-likelihood is less than
half of `AS_LIKELY` below it are as good, and the days between the first and the last of them are the span.
For a change at a point that is unknown the quantile of χ² is too small; 5.5 is the limit at which spans
held the day in 95 of 100 simulated changes (docs/changes.md).

Source: D. V. Hinkley, Inference about the change-point in a sequence of binomial variables (1970).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.statistics.change_points import DayShare, DaysInvalid

AS_LIKELY: Final = 5.5
"""Twice the difference of log-likelihoods up to which a place may be the one, too."""
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Dated:
    """Where a change lies among figures; each number is that of the first figure after it.

    Attributes:
        at: The likeliest one.
        earliest: The first that may be it, too.
        latest: The last.
    """

    at: int
    earliest: int
    latest: int


def dated(days: Sequence[DayShare], *, spread: float = 1.0) -> Dated:
    """Return where the change lies among figures of which one is known to be in between.

    Args:
        days: At least two, in order, with one change among them.
        spread: As in `api.statistics.change_points.Limits`: it makes the span longer.

    Raises:
        DaysInvalid: There are fewer.
    """
    if len(days) < _FEWEST:
        raise DaysInvalid("a change lies between two figures: give at least two")
    n = [0.0]
    satisfied = [0.0]
    for day in days:
        n.append(n[-1] + day.n_eff)
        satisfied.append(satisfied[-1] + day.share * day.n_eff)
    likely = [
        _likelihood(satisfied[at], n[at]) + _likelihood(satisfied[-1] - satisfied[at], n[-1] - n[at])
        for at in range(1, len(days))
    ]
    best = max(likely)
    least = best - AS_LIKELY / 2 * spread**2
    as_good = [at for at, found in enumerate(likely, 1) if found >= least]
    return Dated(likely.index(best) + 1, as_good[0], as_good[-1])


def _likelihood(satisfied: float, n: float) -> float:
    """Return the largest log-likelihood of one share behind all of them."""
    # Sums of shares times numbers may be a rounding error outside.
    part = min(max(satisfied / n, 0.0), 1.0)
    return n * sum(p * math.log(p) for p in (part, 1 - part) if p > 0)
