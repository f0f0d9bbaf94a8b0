"""How often the intervals hold the truth: the simulation that the estimator has to pass.

Each cell draws months with a known share of satisfied visits and counts how many of their intervals
contain it. The bar: between 93 and 97 of 100, and on average no wider than Wilson's from the ballots alone.
Wilson's own coverage is worked out exactly; where it lies outside by itself (few ballots have few shares to
show) ours may be as far out, and no farther.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from api.statistics.errors import SimulationRefused
from api.statistics.mover import combined
from api.statistics.prediction_powered import PairSums, ScoreSums, tuned
from api.statistics.synthetic_visits import (
    Consenting,
    Telling,
    Visits,
    draw,
    draw_consenting,
)
from api.statistics.wilson import Values, wilson

LOWEST: Final = 0.93
HIGHEST: Final = 0.97
LOWEST_OF_CONSENT: Final = 0.94

SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)
BALLOTS: Final = (30, 50, 75, 100, 200, 300)
AUCS: Final = (0.6, 0.7, 0.8, 0.86, 0.92, 0.98)
SCORES_A_BALLOT: Final = 10

_ROUNDING: Final = 1e-9
_RATIOS: Final = (1, 2, 5, 20)
_OFFERS: Final = (200, 600, 2000)


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of month and how its intervals fared.

    Attributes:
        visits: What the months were like.
        runs: Months drawn.
        coverage: Share of intervals that held the truth, made sharper by what is known exactly: over the
            same months Wilson's intervals held it somewhat more or less often than they do in the long
            run, and as much of that as both have in common is taken off.
        error: Standard error of the coverage that the number of runs leaves.
        counted: The share as counted.
        width: Their mean width.
        width_error: Standard error of its difference from Wilson's.
        used: Share of months in which the scores were used.
        wilson_coverage: Exact coverage of Wilson's interval from the ballots alone.
        wilson_width: Its mean width over the same months.
    """

    visits: Visits
    runs: int
    coverage: float
    error: float
    counted: float
    width: float
    width_error: float
    used: float
    wilson_coverage: float
    wilson_width: float

    @property
    def passes(self) -> bool:
        """Whether the cell meets the bar; beside Wilson's coverage two standard errors are granted."""
        lowest, highest = borders(self.wilson_coverage, self.error)
        return lowest <= self.coverage <= highest and self.width <= self.wilson_width + _ROUNDING

    @property
    def in_doubt(self) -> bool:
        """Whether chance may have decided: coverage or width within three standard errors of a border."""
        by_width = 0 < abs(self.width - self.wilson_width) < 3 * self.width_error
        return by_width or any(abs(self.coverage - border) < 3 * self.error for border in (LOWEST, HIGHEST))


@dataclass(frozen=True, slots=True)
class ConsentCell:
    """Months in which the satisfied consented more readily.

    Attributes:
        month: What they were like.
        runs: Months drawn that had a ballot of both kinds.
        ballots: Mean number of ballots.
        coverage: Share of intervals over both strata that held the truth.
        width: Their mean width.
        inside: Coverage of Wilson's interval over consenting visits only, the failing control.
        weighted: Coverage when the strata's variances s² are added instead, another control.
    """

    month: Consenting
    runs: int
    ballots: float
    coverage: float
    width: float
    inside: float
    weighted: float

    @property
    def passes(self) -> bool:
        """Whether the cell meets the bar."""
        return self.coverage >= LOWEST_OF_CONSENT

    @property
    def in_doubt(self) -> bool:
        """Whether chance may have decided: the coverage is within three standard errors of the border."""
        error = math.sqrt(self.coverage * (1 - self.coverage) / self.runs)
        return abs(self.coverage - LOWEST_OF_CONSENT) < 3 * error


Interval = Callable[[PairSums, ScoreSums], tuple[Values, Values, Values]]
"""Takes months, gives the lower and upper ends and whether the scores were used."""


def estimated_interval(pairs: PairSums, scores: ScoreSums) -> tuple[Values, Values, Values]:
    """Return the intervals of the estimator that makes published figures."""
    found = tuned(pairs, scores)
    low, high = wilson(found.value, found.n_eff)
    return low, high, found.used.astype(np.float64)


def grid(
    shares: Sequence[float] = SHARES, ballots: Sequence[int] = BALLOTS, aucs: Sequence[float] = AUCS
) -> list[Visits]:
    """Return the cells of the bar: every share, number of ballots, AUC and way of telling."""
    return [
        Visits(p, n, n * SCORES_A_BALLOT, auc, telling)
        for p, n, auc, telling in itertools.product(shares, ballots, aucs, Telling)
    ]


def ratio_grid() -> list[Visits]:
    """Return cells with few and with many scores a ballot."""
    return [
        Visits(p, n, n * ratio, auc, telling)
        for p, n, auc, ratio, telling in itertools.product(
            (0.7, 0.9), (30, 100, 300), (0.7, 0.86, 0.98), _RATIOS, (Telling.RIGHT, Telling.OVERCONFIDENT)
        )
    ]


def consent_grid() -> list[Consenting]:
    """Return months of the consent bias: .6 of the satisfied consent, .3 of the others."""
    return [
        Consenting(p, offers, 0.6, 0.3, ballots, auc)
        for p, offers, ballots, auc in itertools.product(
            (0.6, 0.8, 0.9), _OFFERS, (0.15, 0.5), (0.7, 0.86, 0.98)
        )
    ]


def simulate_cell(visits: Visits, runs: int, seed: int, interval: Interval = estimated_interval) -> Cell:
    """Draw months of one kind and judge their intervals.

    Args:
        visits: What the months are like.
        runs: Months.
        seed: Seed of this cell.
        interval: What makes the intervals.

    Raises:
        SimulationRefused: no runs.
    """
    if runs < 1:
        raise SimulationRefused("A simulation needs at least one run a cell.")
    pairs, scores = draw(np.random.default_rng(seed), visits, runs)
    low, high, used = interval(pairs, scores)
    plain_low, plain_high = wilson(np.asarray(pairs.satisfied) / visits.n, visits.n)
    held = ((low <= visits.p) & (visits.p <= high)).astype(np.float64)
    plain_held = ((plain_low <= visits.p) & (visits.p <= plain_high)).astype(np.float64)
    exact = wilson_coverage(visits.p, visits.n)
    common = np.mean((held - held.mean()) * (plain_held - plain_held.mean()))
    shared = float(common / max(float(np.var(plain_held)), _ROUNDING))
    return Cell(
        visits=visits,
        runs=runs,
        coverage=float(np.mean(held)) - shared * (float(np.mean(plain_held)) - exact),
        error=math.sqrt(float(np.var(held - shared * plain_held)) / runs),
        counted=float(np.mean(held)),
        width=float(np.mean(high - low)),
        width_error=float(np.std((high - low) - (plain_high - plain_low))) / math.sqrt(runs),
        used=float(np.mean(used)),
        wilson_coverage=exact,
        wilson_width=float(np.mean(plain_high - plain_low)),
    )


def borders(wilson_coverage: float, error: float) -> tuple[float, float]:
    """Return between which coverages a cell meets the bar.

    Args:
        wilson_coverage: What Wilson's interval covers there; outside the bar it takes the border with it.
        error: Standard error of the coverage; two are granted beside Wilson's, none beside the bar itself.
    """
    lowest = wilson_coverage - 2 * error if wilson_coverage < LOWEST else LOWEST
    highest = wilson_coverage + 2 * error if wilson_coverage > HIGHEST else HIGHEST
    return lowest, highest


def wilson_coverage(p: float, n: int) -> float:
    """Return how often Wilson's interval of n ballots holds the share p, exactly."""
    low, high = wilson(np.arange(n + 1) / n, n)
    held = np.flatnonzero((low <= p) & (p <= high))
    return math.fsum(
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        )
        for k in held.tolist()
    )


def simulate_consent(month: Consenting, runs: int, seed: int) -> ConsentCell:
    """Draw months with consent bias and judge the intervals over both strata.

    Args:
        month: What the months are like.
        runs: Months; those without a ballot of both kinds have no figure and are left out.
        seed: Seed of this cell.

    Raises:
        SimulationRefused: no month has ballots of both kinds.
    """
    months = draw_consenting(np.random.default_rng(seed), month, runs)
    of_consenting = np.asarray(months.pairs.n)
    kept = (of_consenting > 0) & (months.refusals > 0)
    if not np.any(kept):
        raise SimulationRefused("No simulated month has ballots of both kinds: ask for more runs.")
    drawn, alone = months.pairs, months.scores
    pairs = PairSums(*_rows(kept, drawn.n, drawn.satisfied, drawn.score, drawn.score_squared, drawn.product))
    found = tuned(pairs, ScoreSums(*_rows(kept, alone.n, alone.score, alone.score_squared)))
    shares = np.stack([found.value, months.refusals_satisfied[kept] / months.refusals[kept]])
    sizes = np.stack([found.n_eff, months.refusals[kept]])
    weight = months.consented[kept] / month.offers
    weights = np.stack([weight, 1 - weight])
    value, low, high = combined(weights, shares, *wilson(shares, sizes), month.offers)
    inside_low, inside_high = wilson(np.asarray(pairs.satisfied) / np.asarray(pairs.n), pairs.n)
    error = np.sum(np.square(weights) * shares * (1 - shares) / sizes, axis=0)
    sure = np.where(error > 0, value * (1 - value) / np.where(error > 0, error, 1.0), 1 / _ROUNDING)
    weighted_low, weighted_high = wilson(value, sure)
    return ConsentCell(
        month=month,
        runs=int(np.sum(kept)),
        ballots=float(np.mean(of_consenting[kept] + months.refusals[kept])),
        coverage=float(np.mean((low <= month.p) & (month.p <= high))),
        width=float(np.mean(high - low)),
        inside=float(np.mean((inside_low <= month.p) & (month.p <= inside_high))),
        weighted=float(np.mean((weighted_low <= month.p) & (month.p <= weighted_high))),
    )


def _rows(kept: npt.NDArray[np.bool_], *sums: npt.ArrayLike) -> tuple[Values, ...]:
    return tuple(np.asarray(values, dtype=np.float64)[kept] for values in sums)
