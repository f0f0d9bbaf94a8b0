"""Tallies: answers of ballots to one questionnaire on one channel, counted in one pass.

Equal ballots come as one row with their number. Shares are counted as fractions, so sums are exact in every
order; they are rounded once, to whole millionths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from api.database import Connection
from api.survey.channels import Channel
from inference.signal import Criterion, Factor

RATING_FACTORS: Final[Mapping[Criterion, Factor]] = {
    Criterion.INFORMATION_FACILITIES: Factor.ACCESS,
    Criterion.DOSSIER_RULES: Factor.PROCEDURE,
    Criterion.OFFICER_ATTITUDE: Factor.OFFICER,
    Criterion.TIME_COST: Factor.RESULT,
}
"""Criterion of the two-level rating -> factor it is counted under."""
RATING: Final = "rating-1"
"""The questionnaire of the kiosk."""
PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CriterionCounts:
    """Answers to one criterion on one channel.

    Attributes:
        questionnaire: Version of the questionnaire.
        by_level: Answers by level, from the lowest (very unsatisfied, or unsatisfied) to the highest.
        satisfied: Answers on the levels that count as satisfied by the questionnaire's own default.
    """

    channel: Channel
    questionnaire: str
    factor: Factor
    criterion: str
    by_level: tuple[int, ...]
    satisfied: int

    @property
    def n(self) -> int:
        """Answers."""
        return sum(self.by_level)


@dataclass(frozen=True, slots=True)
class FactorCounts:
    """Ballots that answered at least one criterion of a factor, on one channel.

    A ballot's own share y is its satisfied answers among its answers within the factor; the sums over
    ballots give mean and variance with ballots, not answers, as units. Whole millionths, exact to 1 ppm.

    Attributes:
        factor: None for the whole ballot: every answer counts alike; for the two-level rating (four
            criteria) y of the whole ballot is 1 when all are satisfied, else 0, as its rule says.
        by_level: All answers of the factor by level.
        ballots: n, the ballots behind it.
        share_sum_ppm: Sum of y.
        share_square_sum_ppm: Sum of y².
    """

    channel: Channel
    questionnaire: str
    factor: Factor | None
    by_level: tuple[int, ...]
    ballots: int
    share_sum_ppm: int
    share_square_sum_ppm: int


@dataclass(frozen=True, slots=True)
class Form:
    """A questionnaire: its criteria and their factors in the order of the answers, and its levels."""

    version: str
    criteria: tuple[str, ...]
    factors: tuple[Factor, ...]
    levels: int
    satisfied_from: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What was said on one channel to one questionnaire.

    Attributes:
        said: Level by kind of ballot and criterion; 0 where nothing was said.
        ballots: How many ballots said just this.
    """

    channel: Channel
    form: Form
    said: npt.NDArray[np.int64]
    ballots: npt.NDArray[np.int64]

    def criteria(self) -> list[CriterionCounts]:
        """Count the answers to each criterion that somebody answered."""
        form = self.form
        order = sorted(range(len(form.criteria)), key=lambda at: (form.factors[at], form.criteria[at]))
        made = []
        for at in order:
            by_level = self._by_level([at])
            if any(by_level):
                satisfied = sum(by_level[form.satisfied_from - 1 :])
                made.append(
                    CriterionCounts(
                        *(self.channel, form.version, form.factors[at], form.criteria[at]),
                        *(by_level, satisfied),
                    )
                )
        return made

    def factors(self) -> list[FactorCounts]:
        """Count the whole ballots, then by factor."""
        made = []
        for factor in (None, *sorted(set(self.form.factors))):
            at = [place for place, of in enumerate(self.form.factors) if factor in {None, of}]
            answered = (self.said[:, at] > 0).sum(axis=1)
            satisfied = (self.said[:, at] >= self.form.satisfied_from).sum(axis=1)
            if factor is None and self.form.version == RATING:
                satisfied = np.where(satisfied == answered, answered, 0)
            # Ballots with the same two numbers have the same share, so the sums are exact.
            base = len(at) + 1
            counts = np.bincount(answered * base + satisfied, weights=self.ballots).astype(np.int64)
            kinds = [(divmod(int(key), base), int(counts[key])) for key in np.flatnonzero(counts)]
            shares = [(Fraction(yes, of), n) for (of, yes), n in kinds if of]
            if shares:
                made.append(
                    FactorCounts(
                        *(self.channel, self.form.version, factor, self._by_level(at)),
                        sum(n for _, n in shares),
                        _ppm(sum((share * n for share, n in shares), Fraction())),
                        _ppm(sum((share**2 * n for share, n in shares), Fraction())),
                    )
                )
        return made

    def _by_level(self, at: Sequence[int]) -> tuple[int, ...]:
        counts = np.zeros(self.form.levels + 1, dtype=np.int64)
        for place in at:
            here = np.bincount(self.said[:, place], weights=self.ballots, minlength=counts.size)
            counts += here.astype(np.int64)
        return tuple(int(count) for count in counts[1:])


def forms_of(connection: Connection) -> dict[str, Form]:
    """Return the questionnaires that were used, and that of the kiosk, by version."""
    rows = connection.execute(
        "SELECT version, criteria, factors, levels, satisfied_from FROM questionnaires"
    ).fetchall()
    found = {
        str(version): Form(
            str(version), tuple(criteria), tuple(map(Factor, factors)), int(levels), int(satisfied_from)
        )
        for version, criteria, factors, levels, satisfied_from in rows
    }
    rating = tuple(criterion.value for criterion in RATING_FACTORS)
    found[RATING] = Form(RATING, rating, tuple(RATING_FACTORS.values()), 2, 2)
    return found


def levels_in(texts: Sequence[str], form: Form) -> npt.NDArray[np.int64]:
    """Return what was said, a row for each text of levels between commas."""
    levels = np.fromstring(",".join(texts), dtype=np.int64, sep=",")
    return levels.reshape(len(texts), len(form.criteria))


def _ppm(share: Fraction) -> int:
    """Return whole millionths, halves up as PostgreSQL rounds."""
    return math.floor(share * PPM + Fraction(1, 2))
