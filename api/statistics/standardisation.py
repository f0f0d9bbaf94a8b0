"""Like compared with like: a day's share as it would be under the reference's mix of visits.

A counter that handles land titles on Tuesdays looks worse on Tuesdays. Direct standardisation takes the
share of each stratum (time of day, procedure) on the day and weighs it as the reference period did:
Σ w·p, with the variance Σ w²·p(1-p)/n. A stratum that the day lacks cannot be judged; its weight is spread
over those that are there, up to a limit: below it there is no figure instead of one of another mix.

Source: Breslow and Day, Statistical Methods in Cancer Research, volume II (1987), chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.statistics.errors import StatisticsError

LEAST_COVERED: Final = 0.8
"""Smallest part of the reference's visits whose strata the day must have."""


class MixInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Counts or weights that are none, or a reference without visits."""


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """Visits that may be compared with each other.

    Attributes:
        time_of_day: As `morning` or `afternoon`; the caller's words.
        procedure: Code of the administrative procedure.
    """

    time_of_day: str
    procedure: str


@dataclass(frozen=True, slots=True)
class Ballots:
    """Ballots of one stratum on one day.

    Attributes:
        n: All ballots.
        satisfied: Those satisfied with everything.
    """

    n: int
    satisfied: int

    def __post_init__(self) -> None:
        """Refuse counts that are none."""
        if not 0 <= self.satisfied <= self.n:
            raise MixInvalid(f"{self.satisfied} of {self.n} ballots cannot be satisfied: count them again")


@dataclass(frozen=True, slots=True)
class Standardised:
    """A share under the reference's mix.

    Attributes:
        share: 0 to 1.
        n_eff: Ballots of a plain sample with the same variance; never more than the ballots.
        covered: Part of the reference's visits whose strata the day has, 0 to 1.
    """

    share: float
    n_eff: float
    covered: float


def standardise(
    day: Mapping[Stratum, Ballots], reference: Mapping[Stratum, int], *, least_covered: float = LEAST_COVERED
) -> Standardised | None:
    """Return the share of a day under the reference's mix; None when too little of the mix was there.

    Strata without a weight in the reference are left out: what is new cannot be compared.

    Args:
        day: Ballots of the day by stratum.
        reference: Visits (or ballots) of the reference period by stratum.
        least_covered: Smallest covered part, 0 to 1.

    Raises:
        MixInvalid: The reference has no visits, or a negative number.
    """
    if any(visits < 0 for visits in reference.values()) or sum(reference.values()) == 0:
        raise MixInvalid("the reference's mix has no visits: choose a period with some")
    present = sorted(key for key, visits in reference.items() if visits > 0 and key in day and day[key].n > 0)
    visits_present = sum(reference[key] for key in present)
    covered = visits_present / sum(reference.values())
    if not present or covered < least_covered:
        return None
    weights = {key: reference[key] / visits_present for key in present}
    share = math.fsum(weights[key] * day[key].satisfied / day[key].n for key in present)
    n = sum(day[key].n for key in present)
    # A stratum's own share is shrunk a little for its variance: at 0 or all of few it would claim none.
    smooth = {key: (day[key].satisfied + 0.5) / (day[key].n + 1) for key in present}
    variance = math.fsum(weights[key] ** 2 * smooth[key] * (1 - smooth[key]) / day[key].n for key in present)
    middle = math.fsum(weights[key] * smooth[key] for key in present)
    return Standardised(min(1.0, share), min(float(n), middle * (1 - middle) / variance), covered)
