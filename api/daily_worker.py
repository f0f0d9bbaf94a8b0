"""Work that the service does once a day beside its requests, in a thread of its own."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import structlog

from api.errors import ApiError
from api.trends import local_today

_log: Final = structlog.get_logger("api.daily")


class DailyWorker:
    """Does one thing once every calendar day of Viet Nam, and another each time it looks.

    What fails is logged and tried again at the next look; neither of the two keeps the other from running.

    Args:
        name: Of the thread, and of the work in the log.
        daily: Called with the day; once it returned, not before the next day.
        each: Called at every look.
        check_s: Pause between two looks.
        today: Tells the day.
    """

    def __init__(
        self,
        name: str,
        daily: Callable[[date], object],
        *,
        check_s: float,
        each: Callable[[], object] | None = None,
        today: Callable[[], date] = local_today,
    ) -> None:
        """Prepare the thread; `start` starts it."""
        self._name = name
        self._daily = daily
        self._each = each
        self._check_s = check_s
        self._today = today
        self._done: date | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, grace_s: float = 10.0) -> bool:
        """Ask the thread to end after what it does now; tell whether it ended in time."""
        self._stop.set()
        self._thread.join(grace_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._try(self._daily_once)
            if self._each is not None and not self._stop.is_set():
                self._try(self._each)
            self._stop.wait(self._check_s)

    def _daily_once(self) -> None:
        today = self._today()
        if today != self._done:
            self._daily(today)
            self._done = today

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a thread that died of a fault would stay silent for months
            _log.error("daily work waits", work=self._name, reason=_reason(error))


def _reason(error: Exception) -> str:
    """Return what may be logged: messages of the database and of libraries can hold values of rows."""
    if isinstance(error, ApiError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
