"""Visits invented for simulations: ballots, scores of a model of known worth, consent that follows the mood.

A visit is satisfied with probability p. Its score is the chance of that, as a model sees it whose evidence
is normal with one mean for satisfied and another for dissatisfied visits, so far apart that the area
under its curve (AUC) is as asked. A miscalibrated model tells the chance wrongly (`Telling`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from api.statistics.prediction_powered import PairSums, ScoreSums
from api.statistics.wilson import Values

_AT_ONCE: Final = 1 << 18
"""Visits drawn at once: what a processor keeps close."""


class Telling(StrEnum):
    """How a model tells the chance it sees."""

    RIGHT = "right"
    OVERCONFIDENT = "overconfident"
    TIMID = "timid"


_MISTOLD: Final = {
    Telling.RIGHT: (1.0, 0.0),
    Telling.OVERCONFIDENT: (2.0, -1.5),
    Telling.TIMID: (0.4, -0.5),
}
"""Slope and offset of the told log-odds over the right ones."""


@dataclass(frozen=True, slots=True)
class Visits:
    """A month at a counter.

    Attributes:
        p: Share of satisfied visits.
        n: Visits with a ballot and a score.
        more: Visits with a score only.
        auc: Chance that a satisfied visit scores above a dissatisfied one, 0.5 to 1.
        telling: How the model tells what it sees.
    """

    p: float
    n: int
    more: int
    auc: float
    telling: Telling = Telling.RIGHT


@dataclass(frozen=True, slots=True)
class Consenting:
    """A month at a counter where the satisfied let themselves be measured more readily.

    Attributes:
        p: Share of satisfied visits.
        offers: Visits that were asked for consent.
        if_satisfied: Chance that a satisfied visitor consents.
        if_not: Chance that a dissatisfied visitor consents.
        ballots: Chance that a visitor leaves a ballot, whatever the mood and the answer.
        auc: As for `Visits`.
    """

    p: float
    offers: int
    if_satisfied: float
    if_not: float
    ballots: float
    auc: float


@dataclass(frozen=True, slots=True)
class ConsentMonths:
    """Sums of many months: those who consented, and the ballots of those who refused.

    Attributes:
        consented: Visits that consented, of each month.
        pairs: Consenting visits with a ballot.
        scores: Consenting visits without one.
        refusals: Ballots of visits that refused.
        refusals_satisfied: The satisfied among them.
    """

    consented: Values
    pairs: PairSums
    scores: ScoreSums
    refusals: Values
    refusals_satisfied: Values


@dataclass(frozen=True, slots=True)
class PairedMonths:
    """Visits with a ballot of some months.

    Attributes:
        months: Which of all the months.
        satisfied: Ballots, a row of n a month.
        told: Their scores, the same shape.
    """

    months: slice
    satisfied: npt.NDArray[np.bool_]
    told: npt.NDArray[np.float32]


def draw(generator: np.random.Generator, visits: Visits, runs: int) -> tuple[PairSums, ScoreSums]:
    """Draw months anew and add each up.

    Args:
        generator: Source of chance.
        visits: What a month is like.
        runs: Months.

    Returns:
        Sums with one entry a month.
    """
    pairs, scores = np.empty((4, runs)), np.empty((2, runs))
    for some in portions_of_pairs(generator, visits, runs):
        pairs[0, some.months] = some.satisfied.sum(axis=1)
        pairs[1, some.months] = some.told.sum(axis=1, dtype=np.float64)
        pairs[2, some.months] = np.square(some.told).sum(axis=1, dtype=np.float64)
        pairs[3, some.months] = (some.told * some.satisfied).sum(axis=1, dtype=np.float64)
    for months, told in portions_of_scores(generator, visits, runs):
        scores[0, months] = told.sum(axis=1, dtype=np.float64)
        scores[1, months] = np.square(told).sum(axis=1, dtype=np.float64)
    return PairSums(visits.n, *pairs), ScoreSums(visits.more, *scores)


def portions_of_pairs(generator: np.random.Generator, visits: Visits, runs: int) -> Iterator[PairedMonths]:
    """Draw the visits with a ballot, month by month, as many months at once as a processor keeps close."""
    for start, stop in _portions(runs, visits.n):
        satisfied = _moods(generator, visits.p, (stop - start, visits.n))
        yield PairedMonths(slice(start, stop), satisfied, _told(generator, satisfied, visits))


def portions_of_scores(
    generator: np.random.Generator, visits: Visits, runs: int
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Draw the visits without a ballot: which months, and their scores, a row each.

    Months are the same whoever asks, if the pairs were drawn from the generator before.
    """
    for start, stop in _portions(runs, visits.more):
        moods = _moods(generator, visits.p, (stop - start, visits.more))
        yield slice(start, stop), _told(generator, moods, visits)


def draw_pairs(generator: np.random.Generator, visits: Visits) -> tuple[Values, Values, Values]:
    """Draw one month visit by visit.

    Returns:
        Ballots of 0 or 1 and scores, n each, and the scores of the visits without a ballot.
    """
    satisfied = _moods(generator, visits.p, (visits.n,))
    told = _told(generator, satisfied, visits)
    others = _told(generator, _moods(generator, visits.p, (visits.more,)), visits)
    return satisfied.astype(np.float64), told.astype(np.float64), others.astype(np.float64)


def draw_consenting(generator: np.random.Generator, month: Consenting, runs: int) -> ConsentMonths:
    """Draw months in which consent depends on the mood, and add each up by what was said.

    Args:
        generator: Source of chance.
        month: What a month is like.
        runs: Months.
    """
    sums, refusals_satisfied = np.empty((10, runs)), np.empty(runs)
    like = Visits(month.p, 0, 0, month.auc)
    for start, stop in _portions(runs, month.offers):
        shape = stop - start, month.offers
        satisfied = _moods(generator, month.p, shape)
        given = generator.random(shape, dtype=np.float32) < np.where(
            satisfied, np.float32(month.if_satisfied), np.float32(month.if_not)
        )
        voted = generator.random(shape, dtype=np.float32) < np.float32(month.ballots)
        told = _told(generator, satisfied, like)
        paired, alone, refused = given & voted, given & ~voted, ~given & voted
        for row, values in enumerate(
            (
                given,
                paired,
                paired & satisfied,
                told * paired,
                np.square(told) * paired,
                told * (paired & satisfied),
                alone,
                told * alone,
                np.square(told) * alone,
            )
        ):
            sums[row, start:stop] = values.sum(axis=1, dtype=np.float64)
        sums[9, start:stop] = refused.sum(axis=1)
        refusals_satisfied[start:stop] = (refused & satisfied).sum(axis=1)
    return ConsentMonths(sums[0], PairSums(*sums[1:6]), ScoreSums(*sums[6:9]), sums[9], refusals_satisfied)


def _moods(generator: np.random.Generator, p: float, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    return generator.random(shape, dtype=np.float32) < np.float32(p)


def _told(
    generator: np.random.Generator, satisfied: npt.NDArray[np.bool_], visits: Visits
) -> npt.NDArray[np.float32]:
    """Return the score of each visit."""
    apart = math.sqrt(2) * NormalDist().inv_cdf(visits.auc)
    slope, offset = _MISTOLD[visits.telling]
    odds = generator.standard_normal(satisfied.shape, dtype=np.float32)
    odds += np.float32(apart) * satisfied
    odds *= np.float32(slope * apart)
    odds += np.float32(slope * (math.log(visits.p / (1 - visits.p)) - apart * apart / 2) + offset)
    np.exp(-odds, out=odds)
    odds += 1
    np.reciprocal(odds, out=odds)
    return odds


def _portions(runs: int, size: int) -> list[tuple[int, int]]:
    step = max(1, _AT_ONCE // max(size, 1))
    return [(start, min(runs, start + step)) for start in range(0, runs, step)]
