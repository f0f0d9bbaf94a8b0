"""When a figure may be shown: never about a few people, nor so that two figures give one away.

- A day is shown when it is over and has at least `minimum_n` sessions; its score when at least
  `minimum_n` sessions gave one.
- Sums over days are made of shown days only, so that no difference of figures gives back a hidden day.
- Periods are calendar months, which do not overlap.
- Below 100 sessions figures are whole percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

FINE_FROM_N: Final = 100
"""Fewest sessions behind a figure with a decimal."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What may be shown today.

    Attributes:
        minimum_n: Fewest sessions behind a shown figure.
        today: The running calendar day.
        running_day: Whether the running day may be shown (demonstrations only); otherwise
            a reader could compare the page before and after one citizen.
    """

    minimum_n: int
    today: date
    running_day: bool = False

    def day_is_over(self, day: date) -> bool:
        """Tell whether no session is expected to change the day any more."""
        return self.running_day or day < self.today

    def enough(self, n: int) -> bool:
        """Tell whether a figure stands on enough sessions."""
        return n >= self.minimum_n


def points(share: float, n: int) -> str:
    """Return a score of 0 to 1 as 0 to 100, rounded to what n sessions may tell."""
    value = share * 100
    return f"{value:.1f}" if n >= FINE_FROM_N else f"{value:.0f}"
