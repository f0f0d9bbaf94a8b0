"""The tuned prediction-powered share: ballots made sharper by scores of people who left no ballot.

With n pairs of a ballot y (satisfied or not) and a score f of the same visit, and N scores of visits
without a ballot:

    λ  = cov(y, f) / ((1 + n/N) · var f)                  cut to 0..1
    θ̂  = λ · mean(f of N) + mean(y - λ·f of n)
    s² = var(y - λ·f)/n + λ² · var(f of N)/N
    n_eff = min(var(y), θ̂(1 - θ̂)) / s²                    cut to 4n; below 1.05n the scores are not used

θ̂ is right whatever the scores are worth, for the ballots take back what the scores invent; λ only says
how much they help. var(y - λ·f) has n - 2 degrees of freedom, because λ was chosen to make it small.
Of the two variances of a ballot the smaller is taken: a month with more dissatisfied ballots than it should
have would otherwise claim a precision that it has by that chance only. The interval of a share is Wilson's
at (θ̂, n_eff).

Everything is made of sums, so no pair need leave a database, and value by value on arrays, so that
a simulation runs the very code that makes a published figure.

Source: A. N. Angelopoulos, J. C. Duchi and T. Zrnic, PPI++: efficient prediction-powered inference (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from api.statistics.wilson import Values

FEWEST_BALLOTS: Final = 30
"""Below this many pairs a covariance is a guess: the scores are not used."""

FEWEST_EXPECTED: Final = 5
"""Fewest satisfied and fewest dissatisfied ballots that the estimate itself expects among n, rounded.

The ballots' own count alone would let the scores in by chance: of 50 visits at 95 % a tenth of the months has
five dissatisfied ballots, and exactly those months that plain intervals miss would be mended, so that
the whole covered more than it says.
"""

FEWEST_OF_A_CLASS: Final = 3
"""Fewest satisfied and fewest dissatisfied ballots at hand: fewer make no covariance."""

FEWEST_SCORES: Final = 30
"""Fewest scores without a ballot."""

LEAST_LAMBDA: Final = 0.2
"""Below this λ the scores hardly tell anything and are not used."""

LEAST_GAIN: Final = 1.05
"""Scores that add less than a twentieth to the ballots are not worth what they make hard to explain."""

MOST_GAIN: Final = 4.0
"""A ballot never counts for more than this many."""

_NO_SPREAD: Final = 1e-9
"""A variance of scores below this is rounding."""


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over visits that have a ballot and a score; every field a number or an array of one shape.

    Attributes:
        n: Pairs.
        satisfied: Σy.
        score: Σf.
        score_squared: Σf².
        product: Σyf.
    """

    n: npt.ArrayLike
    satisfied: npt.ArrayLike
    score: npt.ArrayLike
    score_squared: npt.ArrayLike
    product: npt.ArrayLike


@dataclass(frozen=True, slots=True)
class ScoreSums:
    """Sums over visits that have a score and no ballot.

    Attributes:
        n: Scores.
        score: Σf.
        score_squared: Σf².
    """

    n: npt.ArrayLike
    score: npt.ArrayLike
    score_squared: npt.ArrayLike


@dataclass(frozen=True, slots=True)
class Tuned:
    """Shares with what their intervals are made of.

    Attributes:
        value: θ̂, 0 to 1; the ballots' own share where the scores are not used.
        n_eff: Ballots that would tell as much without scores.
        lambda_: λ as estimated, before a guard refused the scores.
        gain: n_eff/n as estimated, before it was cut and before a guard refused the scores.
        used: Whether the scores are used.
    """

    value: Values
    n_eff: Values
    lambda_: Values
    gain: Values
    used: npt.NDArray[np.bool_]


def tuned(pairs: PairSums, scores: ScoreSums) -> Tuned:
    """Estimate shares of satisfied visits.

    Args:
        pairs: At least one pair each.
        scores: Scores of the same calibration; n may be 0.
    """
    n, y, f, ff, yf = (
        np.asarray(values, dtype=np.float64)
        for values in (pairs.n, pairs.satisfied, pairs.score, pairs.score_squared, pairs.product)
    )
    more, g, gg = (
        np.asarray(values, dtype=np.float64) for values in (scores.n, scores.score, scores.score_squared)
    )
    share, paired_mean = y / n, f / n
    variance_y = _variance(n, y, y)
    variance_f = _variance(n, f, ff)
    covariance = (yf - f * share) / np.maximum(n - 1, 1)
    size = np.maximum(more, 1)
    spread = variance_f > _NO_SPREAD
    slope = covariance / np.where(spread, variance_f, 1.0)
    lambda_ = np.where(spread & (more > 0), np.clip(slope / (1 + n / size), 0.0, 1.0), 0.0)
    value = np.clip(lambda_ * (g / size) + (share - lambda_ * paired_mean), 0.0, 1.0)
    rest = np.maximum(variance_y - 2 * lambda_ * covariance + lambda_ * lambda_ * variance_f, 0.0)
    rest = rest * (n - 1) / np.maximum(n - 2, 1)
    squared_error = rest / n + lambda_ * lambda_ * _variance(more, g, gg) / size
    exact = squared_error <= 0
    spread_y = np.minimum(variance_y, value * (1 - value) * n / np.maximum(n - 1, 1))
    gain = np.where(exact, np.inf, spread_y / n / np.where(exact, 1.0, squared_error))
    used = (
        (n >= FEWEST_BALLOTS)
        & (np.minimum(y, n - y) >= FEWEST_OF_A_CLASS)
        & (n * np.minimum(value, 1 - value) >= FEWEST_EXPECTED - 0.5)
        & (more >= FEWEST_SCORES)
        & (lambda_ >= LEAST_LAMBDA)
        & (gain >= LEAST_GAIN)
    )
    return Tuned(
        value=np.where(used, value, share),
        n_eff=np.where(used, n * np.minimum(gain, MOST_GAIN), n),
        lambda_=lambda_,
        gain=gain,
        used=used,
    )


def _variance(n: Values, total: Values, squares: Values) -> Values:
    """Return sample variances from sums; 0 below two values."""
    size = np.maximum(n, 1)
    return np.maximum(squares - total * (total / size), 0.0) / np.maximum(n - 1, 1)
