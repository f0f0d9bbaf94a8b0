"""The end of the time for which quotes are kept: once at the start, then every hour."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from capture.errors import CaptureError
from consent.entry import RetentionRun, RetentionStep, body_of
from consent.errors import ConsentError

if TYPE_CHECKING:
    from capture.quotes import QuoteStore
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)
_EVERY_S: Final = 3600.0
CATEGORY: Final = "redacted-quotes"
"""What the terms call what is kept."""


class QuoteRetention:
    """Removes quotes that are past their time, and writes into the log how many those were.

    Args:
        quotes: The kept quotes.
        store: The consent log.
        every_s: Time between two looks.
    """

    def __init__(self, quotes: QuoteStore, store: ConsentStore, *, every_s: float = _EVERY_S) -> None:
        """Prepare; nothing is removed before `run` or `start`."""
        self._quotes = quotes
        self._store = store
        self._every_s = every_s
        self._unlogged = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def run(self) -> int:
        """Look once; returns how many quotes were removed.

        Raises:
            CaptureError: Something could not be removed.
            ConsentError: It could not be logged; the next look logs it.
        """
        removed = self._quotes.expire()
        self._unlogged += removed
        if self._unlogged:
            step = RetentionStep(CATEGORY, self._quotes.days, self._unlogged)
            run = RetentionRun(datetime.now(UTC), (step,))
            self._store.note(run.kind, json.loads(body_of(run)))
            self._unlogged = 0
        return removed

    def start(self) -> None:
        """Look now and then, in a thread."""
        self._thread = threading.Thread(target=self._run, name="quote-retention", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.run()
            except (CaptureError, ConsentError) as error:  # the next look tries again
                _log.error("quote_retention_waits", error=str(error))
            self._stop.wait(self._every_s)
