"""How a legal clock stands: running, due soon, late, or stopped in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

DUE_SOON: Final = timedelta(hours=48)
"""Days: what is due within two of them is shown first."""


class Standing(StrEnum):
    """How a clock stands at a moment."""

    ON_TIME = "on-time"
    DUE_SOON = "due-soon"
    LATE = "late"
    DONE = "done"
    DONE_LATE = "done-late"

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self in {Standing.ON_TIME, Standing.DUE_SOON, Standing.LATE}


@dataclass(frozen=True, slots=True)
class ClockState:
    """One deadline of one case.

    Attributes:
        due_at: The last moment in time.
        done_at: When it was done; None while it runs.
        soon: From how long before the end it is shown as due soon.
    """

    due_at: datetime
    done_at: datetime | None = None
    soon: timedelta = DUE_SOON

    def standing(self, now: datetime) -> Standing:
        """Tell how the clock stands at `now`."""
        if self.done_at is not None:
            return Standing.DONE if self.done_at <= self.due_at else Standing.DONE_LATE
        if now > self.due_at:
            return Standing.LATE
        return Standing.DUE_SOON if self.due_at - now <= self.soon else Standing.ON_TIME

    def left(self, now: datetime) -> timedelta:
        """Return the time that is left; negative when it is late or was done late."""
        return self.due_at - (self.done_at or now)
