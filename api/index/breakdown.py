"""Ratings of a cell told apart by day, by time of day and by procedure: what their parts are called.

Which parts there are is the rule of `api.index.breaking_down`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

MORNING: Final = "morning"
AFTERNOON: Final = "afternoon"
BANDS: Final = (MORNING, AFTERNOON)
OTHERS: Final = ""
"""The procedures that are put together, and ballots that name none."""
BOTH_SIDES: Final = 2
"""Fewest satisfied, and fewest other ballots of a part: with one, that person knows what all others said."""
LEAST_COVERED: Final = 0.8
"""Smallest part of the ballots that must be told apart to break a place down, or to compare it."""
_BETWEEN_DAYS, _BETWEEN_NAMES = "/", "|"


class Dimension(StrEnum):
    """By what ballots are told apart."""

    DAYS = "days"
    TIMES = "times"
    MIX = "mix"
    """Procedure, and time of day where every part can bear it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Ballots that are told apart from the others of their cell.

    Attributes:
        name: `FIRST/LAST` day, `morning`, or `PROCEDURE|TIME OF DAY` with either of them empty.
        satisfied: Those of the n that were satisfied with everything asked.
    """

    name: str
    n: int
    satisfied: int


@dataclass(frozen=True, slots=True)
class Votes:
    """Ballots, and those that were satisfied with everything asked."""

    n: int = 0
    satisfied: int = 0

    def __add__(self, other: Votes) -> Votes:
        """Put two groups together."""
        return Votes(self.n + other.n, self.satisfied + other.satisfied)

    def publishable(self, minimum_n: int) -> bool:
        """Tell whether their number, and what they said, may be published by itself."""
        return self.n >= minimum_n and BOTH_SIDES <= self.satisfied <= self.n - BOTH_SIDES


Breakdowns = Mapping[Dimension, tuple[Part, ...]]
"""A dimension is absent where nothing can be told apart; a mix of one named procedure is one part."""


def days_of(part: Part) -> tuple[date, date]:
    """Return the first and the last day of a part of `Dimension.DAYS`."""
    first, last = part.name.split(_BETWEEN_DAYS)
    return date.fromisoformat(first), date.fromisoformat(last)


def mix_of(part: Part) -> tuple[str, str]:
    """Return procedure and time of day of a part of `Dimension.MIX`; either may be empty."""
    procedure, _, band = part.name.rpartition(_BETWEEN_NAMES)
    return procedure, band


def named_days(first: date, last: date) -> str:
    """Return the name of a part of `Dimension.DAYS`."""
    return f"{first}{_BETWEEN_DAYS}{last}"


def named_mix(procedure: str, band: str) -> str:
    """Return the name of a part of `Dimension.MIX`."""
    return f"{procedure}{_BETWEEN_NAMES}{band}"


def document(breakdowns: Breakdowns) -> dict[str, list[list[Any]]]:
    """Return breakdowns as they stand in the log."""
    return {
        dimension.value: [[part.name, part.n, part.satisfied] for part in parts]
        for dimension, parts in sorted(breakdowns.items())
    }


def parse(found: Mapping[str, Sequence[Sequence[Any]]]) -> Breakdowns:
    """Read them from the log."""
    return {
        Dimension(name): tuple(Part(str(part[0]), int(part[1]), int(part[2])) for part in parts)
        for name, parts in found.items()
    }


def monday_of(day: date) -> date:
    """Return the first day of a calendar week."""
    return day - timedelta(days=day.weekday())


def part_of(name: str, votes: Votes) -> Part:
    """Return votes by their name."""
    return Part(name, votes.n, votes.satisfied)
