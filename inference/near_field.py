"""Tells speech at the counter from the sound that surrounds it.

Somebody at a microphone stands out of what it has heard in the last ten seconds: words are loud, and
the pauses between them let the background through. Many people talking further away *are* that
background: they never pause together, so no moment of theirs stands out. Their level may still differ
between the two microphones, by a gain or a place; how much is learnt while nobody stands out, and
a difference that is no more than theirs names nobody.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_PERCENTILE: Final = 0.1
_FIRST_WINDOWS: Final = 31  # one second: before it nothing is known about a room
_LEAST_RANK: Final = 12  # a few quiet windows at the start are a queue that draws breath
_QUEUE_WINDOWS: Final = 31  # a second of distant talk tells how the microphones hear it
_RENEWED: Final = 8  # windows: a quarter of a second


class Foreground:
    """How far one channel stood out of its own last ten seconds, within the last second.

    Args:
        windows: Windows of 32 ms that make the background (312: ten seconds).
        reach: Windows for which a moment that stood out counts (31: a second).
    """

    def __init__(self, windows: int = 312, reach: int = 31) -> None:
        """Start with nothing heard."""
        self._powers: deque[float] = deque(maxlen=windows)
        self._moments: deque[float] = deque(maxlen=reach)
        self._background: float | None = None
        self._fresh = 0

    def hear(self, power: float) -> None:
        """Take the mean square of the newest window."""
        self._powers.append(power)
        self._fresh += 1
        if len(self._powers) >= _FIRST_WINDOWS and (self._background is None or self._fresh >= _RENEWED):
            rank = max(int(_PERCENTILE * len(self._powers)), _LEAST_RANK)
            self._background = sorted(self._powers)[rank]
            self._fresh = 0

    @property
    def is_known(self) -> bool:
        """Whether four seconds were heard: a queue is not learnt from somebody's first words."""
        return _PERCENTILE * len(self._powers) >= _LEAST_RANK

    def moment(self, smoothed_power: float) -> None:
        """Take the smoothed mean square of the window that is being decided."""
        self._moments.append(smoothed_power)

    def stands_out(self, least_db: float) -> bool:
        """Tell whether a moment of the last second was `least_db` above the background.

        Before a second was heard nothing is known to stand out; `-inf` asks nothing.
        """
        if least_db == -math.inf:
            return True
        if self._background is None or not self._moments:
            return False
        loudest: float = max(self._moments)
        return loudest >= max(self._background, 1e-12) * float(10.0 ** (least_db / 10.0))


class QueueDifference:
    """By how much the two microphones differ for talk that stands out of neither."""

    def __init__(self, windows: int = 312) -> None:
        """Start with nothing heard; `windows` of distant talk are remembered (312: ten seconds)."""
        self._leans_db: deque[float] = deque(maxlen=windows)
        self._median_db = 0.0
        self._fresh = 0

    def add(self, lean_db: float) -> None:
        """Take the difference of a window with distant talk, the citizen's microphone less the officer's."""
        self._leans_db.append(lean_db)
        self._fresh += 1
        if len(self._leans_db) >= _QUEUE_WINDOWS and self._fresh >= _RENEWED:
            self._fresh = 0
            ordered = sorted(self._leans_db)
            self._median_db = ordered[len(ordered) // 2]

    @property
    def median_db(self) -> float:
        """The usual difference; 0 until enough was heard."""
        return self._median_db
