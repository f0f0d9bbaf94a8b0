"""Capture time: from a stream's own timestamps to the wall clock.

A unit's capture time is the sender's wall clock (`start_time_realtime`, which RTSP
takes from RTCP sender reports) plus the unit's presentation timestamp. Where the
sender tells no wall clock, it is the wall clock at opening plus the timestamp. It is
never the time of arrival: buffers and networks would then move sound against picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

STEP_NS = 500_000_000
"""A deviation from the expected time that counts as a break of the time line."""

_EPOCH_LIKE_NS = 1_000_000_000_000_000_000
"""Timestamps above this (September 2001) are wall-clock times already: ALSA and V4L2 give such."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class CaptureClock:
    """Turn presentation timestamps of one opened device into capture times.

    Attributes:
        shown: The source's public address, for the log.
        opened_ns: Wall clock when the device was opened, or the start that a recording is given.
        origin_ns: Timestamp that belongs to `opened_ns`.
        live: Whether times can be checked against the wall clock.
        max_skew_ns: How far a live sender's clock may be from ours before it is not believed.
        wall_ns: The wall clock.
    """

    shown: str
    opened_ns: int
    origin_ns: int = 0
    live: bool = False
    max_skew_ns: int = 10_000_000_000
    wall_ns: Callable[[], int] = time.time_ns
    _believed: bool | None = field(default=None, init=False)
    _judged_us: int | None = field(default=None, init=False)
    _last_pts_ns: int | None = field(default=None, init=False)

    def captured_ns(self, pts_ns: int, realtime_us: int | None) -> int:
        """Place a timestamp on the wall clock.

        Args:
            pts_ns: Presentation timestamp.
            realtime_us: The sender's wall clock at timestamp zero, where it is known.

        Returns:
            Capture time in nanoseconds since the Unix epoch.
        """
        jumped = self._last_pts_ns is not None and abs(pts_ns - self._last_pts_ns) > STEP_NS
        self._last_pts_ns = pts_ns
        if not self.live:
            return self.opened_ns + pts_ns - self.origin_ns
        if realtime_us is None and pts_ns >= _EPOCH_LIKE_NS:
            realtime_us = 0
        if realtime_us is not None:
            told_ns = realtime_us * 1000 + pts_ns
            if jumped or self._believed is None or realtime_us != self._judged_us:
                self._judge(told_ns, realtime_us)
            if self._believed:
                return told_ns
        return self._by_own_clock(pts_ns)

    def _judge(self, told_ns: int, realtime_us: int) -> None:
        skew_ns = told_ns - self.wall_ns()
        self._judged_us = realtime_us
        self._believed = abs(skew_ns) <= self.max_skew_ns
        if not self._believed:
            _log.warning(
                "The clock of the source is off; this machine's clock is used instead. "
                "Let the source take its time from NTP.",
                source=self.shown,
                skew_s=round(skew_ns / 1e9, 1),
            )

    def _by_own_clock(self, pts_ns: int) -> int:
        placed_ns = self.opened_ns + pts_ns - self.origin_ns
        late_ns = self.wall_ns() - placed_ns
        if late_ns < -STEP_NS or late_ns > self.max_skew_ns:
            # The timestamps jumped and nobody tells where to: start anew from here, for all tracks.
            self.opened_ns += late_ns
            placed_ns += late_ns
        return placed_ns


@dataclass(slots=True)
class Timeline:
    """Number the unbroken stretches of one track.

    A unit that comes more than half a second after its expected time, or that lies
    before its predecessor, starts a new segment.
    """

    segment: int = 0
    _last_ns: int | None = field(default=None, init=False)
    _expected_ns: int = field(default=0, init=False)

    def breaks(self, captured_ns: int) -> bool:
        """Tell whether a unit captured at this time would start a new segment."""
        if self._last_ns is None:
            return False
        return captured_ns < self._last_ns or captured_ns - self._expected_ns > STEP_NS

    def place(self, captured_ns: int, duration_ns: int) -> int:
        """Give the segment of a unit and expect the next one at its end."""
        if self.breaks(captured_ns):
            self.segment += 1
        self._last_ns = captured_ns
        self._expected_ns = captured_ns + duration_ns
        return self.segment
