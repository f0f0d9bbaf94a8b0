"""Patterns of answers that a privacy officer looks into: nobody is accused by a rule of thumb.

Each rule is stated in words where its flag is shown; the thresholds stand here once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from api.consent_rates import Counts
from api.consents import Patterns
from api.interval import share_of

FEWEST: Final = 10
"""Fewest answers a rule says anything about."""
QUICK_SHARE: Final = 0.2
BURST: Final = 4
FEWEST_STOPS: Final = 5
"""Fewest stops of one kind at a counter that a rule says anything about."""
FAR: Final = 2
"""How many times the share of the other counters is far above it."""


class Flag(StrEnum):
    """A pattern that may hint at forced, prompted or thoughtless consents."""

    QUICK = "quick"
    """At least a fifth of the answers came within a second of the notice."""
    ALL_YES = "all-yes"
    """Nobody refused, and everybody who was asked for several things allowed all of them."""
    BURST = "burst"
    """More consents within one minute than citizens can be served."""
    CHILD = "child-often"
    """The officer's switch is used far more often than elsewhere: it may hide unhappy citizens."""
    SECOND_FACE = "second-face-often"
    """Sessions end by a second face far more often than at the other counters."""


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


def stop_flags(counters: Mapping[str, Counts]) -> dict[str, tuple[Flag, ...]]:
    """Return the counters whose captures were stopped or not asked for far more often than elsewhere."""
    raised: dict[str, tuple[Flag, ...]] = {}
    for code, own in counters.items():
        others = [counts for other, counts in counters.items() if other != code]
        found = []
        if _far_above(
            (own.accompanied, own.offered),
            (sum(item.accompanied for item in others), sum(item.offered for item in others)),
        ):
            found.append(Flag.CHILD)
        if _far_above(
            (own.second_face, own.slots),
            (sum(item.second_face for item in others), sum(item.slots for item in others)),
        ):
            found.append(Flag.SECOND_FACE)
        if found:
            raised[code] = tuple(found)
    return raised


def _far_above(own: tuple[int, int], others: tuple[int, int]) -> bool:
    """Tell whether the lower end of a share's interval is more than FAR times the share of the others."""
    share = share_of(*own)
    return (
        share is not None
        and own[0] >= FEWEST_STOPS
        and others[1] >= FEWEST
        and share.low > FAR * others[0] / others[1]
    )
