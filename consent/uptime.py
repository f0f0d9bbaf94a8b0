"""The clock of all leases and deadlines: time since the machine started, sleep included.

Nobody can set it. Where the system has it, CLOCK_BOOTTIME is used: CLOCK_MONOTONIC
stands still while the machine sleeps, and a lease would outlive its bound by that time.
"""

from __future__ import annotations

import time
from typing import Final

_BOOT: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def uptime_ns() -> int:
    """Return nanoseconds since a fixed moment; never runs back, never follows the wall clock."""
    return time.monotonic_ns() if _BOOT is None else time.clock_gettime_ns(_BOOT)
