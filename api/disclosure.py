"""When a figure may be shown: never about a few people, nor so that two figures give one away.

- A day is shown when it is over and has at least `minimum_n` sessions; its score when at least
  `minimum_n` sessions gave one.
- Sums over days are made of shown days only, so that no difference of figures gives back a hidden day.
- Periods are calendar months, which do not overlap.
- Below 100 sessions figures are whole percent.
- "All were satisfied" and "nobody was" tell what each single person said: a share of satisfied ballots
  with at most one on the other side is printed as a bound (docs/disclosure.md).

Which cells of a month's table may stand beside each other is decided in `api.statistics.suppression`.
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


def nearly_unanimous(n: int, satisfied: int) -> bool:
    """Tell whether at most one of n ballots is on the other side, so that the share is printed as a bound."""
    return min(satisfied, n - satisfied) <= 1


def share_text(n: int, satisfied: int) -> str:
    """Return the share of satisfied ballots as 0 to 100, as it is printed.

    With at most one ballot on the other side the text is the bound that holds for both, no one and one:
    `≥97` for 29 and for 30 of 30, `≤3` for none and for one.

    Args:
        n: Ballots, at least 2.
        satisfied: Those satisfied with everything.
    """
    if not nearly_unanimous(n, satisfied):
        return points(satisfied / n, n)
    return f"≥{points((n - 1) / n, n)}" if satisfied > n - satisfied else f"≤{points(1 / n, n)}"
