"""Patterns of answers that a privacy officer looks into: nobody is accused by a rule of thumb.

Each rule is stated in words where its flag is shown; the thresholds stand here once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from api.consents import Patterns

FEWEST: Final = 10
"""Fewest answers a rule says anything about."""
QUICK_SHARE: Final = 0.2
BURST: Final = 4


class Flag(StrEnum):
    """A pattern that may hint at forced, prompted or thoughtless consents."""

    QUICK = "quick"
    """At least a fifth of the answers came within a second of the notice."""
    ALL_YES = "all-yes"
    """Nobody refused, and everybody who was asked for several things allowed all of them."""
    BURST = "burst"
    """More consents within one minute than citizens can be served."""


def flags(found: Patterns) -> tuple[Flag, ...]:
    """Return the patterns that one counter's answers show."""
    raised = []
    if found.decided >= FEWEST and (found.quick_share or 0.0) >= QUICK_SHARE:
        raised.append(Flag.QUICK)
    if found.several >= FEWEST and found.all_yes == found.several and found.given == found.decided:
        raised.append(Flag.ALL_YES)
    if found.largest_burst >= BURST:
        raised.append(Flag.BURST)
    return tuple(raised)
