"""The interval of a daily mean, from sums alone.

The mean of n scores has the variance s²/n, where s² is the sample variance of the scores plus the
mean of the scores' own variances (each signal states its 90 % interval; its half-width over 1.645
is its standard error). Adding them is conservative: the spread of the scores contains part of the
measuring error already. The interval is mean ± t(0.975, n-1)·s/√n, cut to the scale. A single
score has no spread: its own standard error and the normal quantile stand in; where that is not known
either, the interval is the whole scale.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

from api.statistics.wilson import wilson

_COVERAGE: Final = 0.95
_NORMAL: Final = 1.959963984540054
_LARGE_DF: Final = 2000


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval and the number of scores behind it."""

    value: float
    low: float
    high: float
    n: int


def mean_of(
    n: int, total: float, squares: float, variances: float = 0.0, *, lowest: float = 0.0, highest: float = 1.0
) -> Mean | None:
    """Return the mean of n scores with its interval; None for no scores.

    Args:
        n: Number of scores.
        total: Their sum.
        squares: The sum of their squares.
        variances: The sum of their own error variances.
        lowest: Lower end of the scale.
        highest: Upper end of the scale.
    """
    if n < 1:
        return None
    value = total / n
    if n == 1 and variances <= 0.0:
        return Mean(value, lowest, highest, n)
    spread = max(0.0, (squares - n * value * value) / (n - 1)) if n > 1 else 0.0
    quantile = student_quantile(n - 1) if n > 1 else _NORMAL
    half = quantile * math.sqrt((spread + variances / n) / n)
    return Mean(value, max(lowest, value - half), min(highest, value + half), n)


def share_of(part: int, n: int) -> Mean | None:
    """Return a share of n answers with its 95 % interval by Wilson's score; None for no answers.

    It stays within 0 and 1 and says something at 0 and at all of few answers too.

    Args:
        part: Answers of the kind asked for.
        n: All answers.
    """
    if n < 1:
        return None
    share = part / n
    low, high = wilson(share, n)
    return Mean(share, float(low), float(high), n)


@functools.lru_cache(maxsize=4096)
def student_quantile(df: int) -> float:
    """Return the 97.5 % quantile of Student's t with whole degrees of freedom."""
    if df > _LARGE_DF:
        return _NORMAL
    low, high = 1.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        if _inside(middle, df) < _COVERAGE:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _inside(t: float, df: int) -> float:
    """Return P(-t < T < t) by the finite series for whole degrees of freedom.

    Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(df))
    cosine2 = math.cos(angle) ** 2
    term = math.cos(angle) if df % 2 else 1.0
    total = 0.0
    start = 1 if df % 2 else 0
    for index in range(start, df - 1, 2):
        total += term
        term *= cosine2 * (index + 1) / (index + 2)
    if df % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
