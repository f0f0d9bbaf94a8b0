"""What follows a service on the citizen's screen: a rating, the receipt, a word of thanks.

The same steps with the same times, whatever the citizen chose before. Each ends by itself, and
with the last one the screen forgets the withdrawal code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Which page is shown after a service."""

    RATING = "rating"
    RECEIPT = "receipt"
    THANKS = "thanks"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class FarewellTimes:
    """How long each page stays when nobody touches it."""

    rating_s: float = 60.0
    receipt_s: float = 60.0
    thanks_s: float = 10.0

    def of(self, stage: Stage) -> float:
        """Return the time of one stage."""
        return {Stage.RATING: self.rating_s, Stage.RECEIPT: self.receipt_s}.get(stage, self.thanks_s)


class Farewell:
    """Where the farewell of one service stands; the desk guards it with its lock.

    Args:
        times: How long each page stays.
        now_ns: When the service ended.
        stages: The pages to show, in this order; thanks always come last.
    """

    def __init__(self, times: FarewellTimes, now_ns: int, stages: tuple[Stage, ...]) -> None:
        """Begin with the first page."""
        self._times = times
        self._left = [*stages, Stage.THANKS]
        self._until_ns = now_ns + self._length_ns()

    def stage(self, now_ns: int) -> Stage:
        """Return which page is shown now."""
        while self._left and now_ns >= self._until_ns:
            self._left.pop(0)
            if self._left:
                self._until_ns += self._length_ns()
        return self._left[0] if self._left else Stage.OVER

    def remaining_s(self, now_ns: int) -> float:
        """Return how long that page stays."""
        return max(0, self._until_ns - now_ns) / 1e9

    def leave(self, stage: Stage, now_ns: int) -> bool:
        """Go on to the next page; False when another one is shown: a second tap, an old page."""
        if self.stage(now_ns) is not stage or stage is Stage.OVER:
            return False
        self._left.pop(0)
        if self._left:
            self._until_ns = now_ns + self._length_ns()
        return True

    def _length_ns(self) -> int:
        return int(self._times.of(self._left[0]) * 1e9)
