"""A counter's share of satisfied visits with its 95 % interval, from ballots and passive scores.

Visits are taken apart by how they came into the record: those who let themselves be measured are not
those who refused (`Stratum`). Each part is estimated by itself, with the scores where they help
(`prediction_powered`), and the parts are put together by their share of all visits, which the
ledger knows. A part nobody of which voted is not guessed: then there is no figure for all visits.
Without any ballot there is no satisfied share at all, only an `UncalibratedSignal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from api.statistics import prediction_powered
from api.statistics.errors import SumsInvalid
from api.statistics.mover import combined
from api.statistics.prediction_powered import PairSums, ScoreSums, tuned
from api.statistics.wilson import wilson

_ROUNDING: Final = 1e-9


def _check_scores(n: int, score: float, squared: float) -> None:
    """Refuse sums that no scores of 0 to 1 have."""
    rounding = _ROUNDING * max(n, 1)
    if n < 0 or not -rounding <= score <= n + rounding or not -rounding <= squared <= score + rounding:
        raise SumsInvalid(
            f"Σf = {score} and Σf² = {squared} are not sums of {n} scores between 0 and 1: "
            "calibrate the scores first and add them up again."
        )


class Method(StrEnum):
    """How a figure was made; published with it."""

    WILSON = "wilson"
    PREDICTION_POWERED = "prediction_powered"
    STRATIFIED_WILSON = "stratified_wilson"
    STRATIFIED_PREDICTION_POWERED = "stratified_prediction_powered"


class Guard(StrEnum):
    """Why the passive scores of a part were not used."""

    NO_SCORES = "no_scores"
    FEW_BALLOTS = "few_ballots"
    FEW_OF_A_CLASS = "few_of_a_class"
    FEW_SCORES = "few_scores"
    WEAK_SCORES = "weak_scores"
    LITTLE_GAIN = "little_gain"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sums over the ballots of a stratum.

    Attributes:
        n: Ballots.
        satisfied: Σy, ballots satisfied with everything asked.
        score: Σf of the calibrated scores of the same visits; 0 in a stratum without scores.
        score_squared: Σf².
        product: Σyf.
    """

    n: int
    satisfied: int
    score: float = 0.0
    score_squared: float = 0.0
    product: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sums that no ballots have."""
        if not 0 <= self.satisfied <= self.n:
            raise SumsInvalid(
                f"{self.satisfied} of {self.n} ballots are satisfied: add the ballots up again."
            )
        _check_scores(self.n, self.score, self.score_squared)
        if not -_ROUNDING <= self.product <= self.score + _ROUNDING * max(self.n, 1):
            raise SumsInvalid("Σyf is not between 0 and Σf: add the pairs up again.")

    @classmethod
    def of(cls, satisfied: Sequence[bool], scores: Sequence[float] | None = None) -> Pairs:
        """Add up ballots and, where the stratum has them, the scores of the same visits.

        Args:
            satisfied: One value a ballot.
            scores: Calibrated scores in the same order, 0 to 1.

        Raises:
            SumsInvalid: not as many scores as ballots.
        """
        if scores is None:
            return cls(len(satisfied), sum(satisfied))
        if len(scores) != len(satisfied):
            raise SumsInvalid(
                f"{len(satisfied)} ballots and {len(scores)} scores: each ballot of the stratum needs one; "
                "put visits without one into a stratum of their own."
            )
        return cls(
            len(satisfied),
            sum(satisfied),
            math.fsum(scores),
            math.fsum(f * f for f in scores),
            math.fsum(f for y, f in zip(satisfied, scores, strict=True) if y),
        )

    def __add__(self, other: Pairs) -> Pairs:
        """Put two groups of ballots together."""
        return Pairs(
            self.n + other.n,
            self.satisfied + other.satisfied,
            self.score + other.score,
            self.score_squared + other.score_squared,
            self.product + other.product,
        )


@dataclass(frozen=True, slots=True)
class Passive:
    """Sums over the calibrated scores of visits without a ballot.

    Attributes:
        n: Scores.
        score: Σf.
        score_squared: Σf².
    """

    n: int = 0
    score: float = 0.0
    score_squared: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sums that no scores have."""
        _check_scores(self.n, self.score, self.score_squared)

    @classmethod
    def of(cls, scores: Sequence[float]) -> Passive:
        """Add up calibrated scores, 0 to 1."""
        return cls(len(scores), math.fsum(scores), math.fsum(f * f for f in scores))

    def __add__(self, other: Passive) -> Passive:
        """Put two groups of scores together."""
        return Passive(self.n + other.n, self.score + other.score, self.score_squared + other.score_squared)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Visits that came into the record in one way: consented, refused, another channel.

    Attributes:
        name: What it is called in the published figure.
        weight: Its share of all visits, from the ledger's counts.
        ballots: Its ballots; where it has passive scores, every ballot comes with its own score.
        passive: Scores of its visits without a ballot.
    """

    name: str
    weight: float
    ballots: Pairs
    passive: Passive = Passive()


@dataclass(frozen=True, slots=True)
class Part:
    """The figure of one stratum.

    Attributes:
        name: The stratum's name.
        weight: Its share of all visits.
        value: Share of satisfied visits.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Ballots.
        N: Passive scores at hand, used or not.
        n_eff: Ballots that would tell as much without scores.
        lambda_: Weight of the scores in the figure; 0 where they are not used.
        guard: Why they are not; None where they are.
    """

    name: str
    weight: float
    value: float
    low: float
    high: float
    n: int
    N: int
    n_eff: float
    lambda_: float
    guard: Guard | None


@dataclass(frozen=True, slots=True)
class Estimated:
    """A share of satisfied visits that may be published, with all that it stands on.

    Attributes:
        value: Share of satisfied visits, 0 to 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Ballots.
        N: Passive scores at hand.
        n_eff: Ballots of a plain sample that would tell as much: 1 / Σ weight²/n_eff over the strata.
        lambda_: Weight of the scores; over several strata with scores, their mean by weight.
        method: How it was made.
        strata: The parts, in the order given.
    """

    value: float
    low: float
    high: float
    n: int
    N: int
    n_eff: float
    lambda_: float
    method: Method
    strata: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class UncalibratedSignal:
    """Scores that no ballot has confirmed: not a share of satisfied visits, and never worded as one.

    Attributes:
        mean_score: Mean of the scores, 0 to 1, on their own scale.
        n: Scores.
    """

    mean_score: float
    n: int


@dataclass(frozen=True, slots=True)
class Unrepresented:
    """Ballots that do not speak for all visits: a stratum left none, or nothing at all was gathered.

    Attributes:
        missing: Names of the strata without a ballot.
        weight: Their share of all visits together.
        n: Ballots of the other strata.
    """

    missing: tuple[str, ...]
    weight: float
    n: int


def estimate(
    strata: Sequence[Stratum], visits: int | None = None
) -> Estimated | UncalibratedSignal | Unrepresented:
    """Estimate the share of satisfied visits over all strata.

    Args:
        strata: Parts of all visits; weights sum to 1; a stratum of weight 0 is left out.
        visits: Visits that the weights were counted over. Given, the figure speaks for the counter and
            its interval holds the chance in who came; None: it speaks for just these visits.

    Returns:
        The figure; `UncalibratedSignal` where there are scores and no ballot; `Unrepresented` where a
        stratum with weight has no ballot.

    Raises:
        SumsInvalid: weights do not sum to 1, or no visits.
    """
    total = math.fsum(stratum.weight for stratum in strata)
    if abs(total - 1) > _ROUNDING or any(stratum.weight < 0 for stratum in strata):
        raise SumsInvalid(f"The weights of the strata sum to {total}: give each its share of all visits.")
    if visits is not None and visits < 1:
        raise SumsInvalid("The weights were counted over no visits: there is no figure to make.")
    present = [stratum for stratum in strata if stratum.weight > 0]
    ballots = sum(stratum.ballots.n for stratum in present)
    scores = sum((stratum.passive for stratum in present), Passive())
    if not ballots and scores.n:
        return UncalibratedSignal(scores.score / scores.n, scores.n)
    missing = [stratum for stratum in present if not stratum.ballots.n]
    if missing:
        return Unrepresented(
            tuple(stratum.name for stratum in missing), math.fsum(part.weight for part in missing), ballots
        )
    return _together(_parts(present), visits)


@dataclass(frozen=True, slots=True)
class _Alone:
    """A stratum before it has an interval; `lambda_` and `gain` are as estimated, 0 without scores."""

    value: float
    n_eff: float
    lambda_: float = 0.0
    gain: float = 0.0
    used: bool = False


def _parts(strata: Sequence[Stratum]) -> tuple[Part, ...]:
    """Estimate each stratum by itself.

    Nearly the whole cost of an array is in the call: all strata that have scores go through one, and a
    stratum without any is its ballots' share, which the formula gives for N = 0, too.
    """
    scored = [stratum for stratum in strata if stratum.passive.n]
    found = iter(_with_scores(scored) if scored else ())
    alone = [
        next(found)
        if stratum.passive.n
        else _Alone(stratum.ballots.satisfied / stratum.ballots.n, float(stratum.ballots.n))
        for stratum in strata
    ]
    lows, highs = wilson([each.value for each in alone], [each.n_eff for each in alone])
    return tuple(
        Part(
            name=stratum.name,
            weight=stratum.weight,
            value=each.value,
            low=low,
            high=high,
            n=stratum.ballots.n,
            N=stratum.passive.n,
            n_eff=each.n_eff,
            lambda_=each.lambda_ if each.used else 0.0,
            guard=None if each.used else _guard(stratum, each),
        )
        for stratum, each, low, high in zip(strata, alone, lows.tolist(), highs.tolist(), strict=True)
    )


def _with_scores(strata: Sequence[Stratum]) -> list[_Alone]:
    pairs = [stratum.ballots for stratum in strata]
    passive = [stratum.passive for stratum in strata]
    result = tuned(
        PairSums(
            [each.n for each in pairs],
            [each.satisfied for each in pairs],
            [each.score for each in pairs],
            [each.score_squared for each in pairs],
            [each.product for each in pairs],
        ),
        ScoreSums(
            [each.n for each in passive],
            [each.score for each in passive],
            [each.score_squared for each in passive],
        ),
    )
    columns = (result.value, result.n_eff, result.lambda_, result.gain, result.used)
    return [_Alone(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _guard(stratum: Stratum, alone: _Alone) -> Guard:
    """Say why the scores of a stratum are not used; the first reason that holds."""
    pairs, passive = stratum.ballots, stratum.passive
    of_a_class = min(pairs.satisfied, pairs.n - pairs.satisfied)
    reasons = (
        (not passive.n, Guard.NO_SCORES),
        (pairs.n < prediction_powered.FEWEST_BALLOTS, Guard.FEW_BALLOTS),
        (of_a_class < prediction_powered.FEWEST_OF_A_CLASS, Guard.FEW_OF_A_CLASS),
        (passive.n < prediction_powered.FEWEST_SCORES, Guard.FEW_SCORES),
        (alone.lambda_ < prediction_powered.LEAST_LAMBDA, Guard.WEAK_SCORES),
        (alone.gain < prediction_powered.LEAST_GAIN, Guard.LITTLE_GAIN),
    )
    return next((guard for holds, guard in reasons if holds), Guard.FEW_OF_A_CLASS)


def _together(parts: tuple[Part, ...], visits: int | None) -> Estimated:
    value, low, high = _weighted(parts, visits)
    one = len(parts) == 1
    helped = [part for part in parts if part.guard is None]
    weight = math.fsum(part.weight for part in helped)
    if helped:
        method = Method.PREDICTION_POWERED if one else Method.STRATIFIED_PREDICTION_POWERED
    else:
        method = Method.WILSON if one else Method.STRATIFIED_WILSON
    return Estimated(
        value=value,
        low=low,
        high=high,
        n=sum(part.n for part in parts),
        N=sum(part.N for part in parts),
        n_eff=1 / math.fsum(part.weight**2 / part.n_eff for part in parts),
        lambda_=math.fsum(part.weight * part.lambda_ for part in helped) / weight if helped else 0.0,
        method=method,
        strata=parts,
    )


def _weighted(parts: tuple[Part, ...], visits: int | None) -> tuple[float, float, float]:
    if len(parts) == 1:  # its own ends, to the last digit
        (only,) = parts
        return only.weight * only.value, only.low, only.high
    value, low, high = combined(
        np.array([part.weight for part in parts]),
        np.array([part.value for part in parts]),
        np.array([part.low for part in parts]),
        np.array([part.high for part in parts]),
        math.inf if visits is None else visits,
    )
    return float(value), float(low), float(high)
