"""The check of the whole log as a task in the background: one at a time; the last result is kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from api.errors import ApiError
from api.log_check import LogVerification, verify
from api.log_keeper import LogKeeper
from consent.errors import ConsentError

_log: Final = structlog.get_logger("api.log")


@dataclass(frozen=True, slots=True)
class LogCheck:
    """One check of the log.

    Attributes:
        actor: Who asked for it.
        total: Entries there were when it began.
        done: Entries that are checked.
        ended_at: None while it runs.
        found: What came of it; None while it runs, and when it broke off.
        fault: Why it broke off; empty when it did not.
    """

    actor: str
    began_at: datetime
    total: int
    done: int = 0
    ended_at: datetime | None = None
    found: LogVerification | None = None
    fault: str = ""

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.ended_at is None

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return ((self.ended_at or datetime.now(UTC)) - self.began_at).total_seconds()


class LogChecks:
    """Runs the check that `hailong central verify-log` runs. Threads may share it.

    Args:
        keeper: Holds the log and its witnesses.
    """

    def __init__(self, keeper: LogKeeper) -> None:
        """Prepare; nothing is checked."""
        self._keeper = keeper
        self._lock = threading.Lock()
        self._last: LogCheck | None = None

    @property
    def last(self) -> LogCheck | None:
        """The check under way, or the one before; None since the start of the service."""
        with self._lock:
            return self._last

    def start(self, actor: str) -> bool:
        """Begin a check; False when one is under way already.

        Raises:
            DatabaseUnavailable: Ask again later.
        """
        total = self._keeper.log.size()
        with self._lock:
            if self._last is not None and self._last.running:
                return False
            self._last = LogCheck(actor, datetime.now(UTC), total)
        threading.Thread(target=self._run, name="log-check", daemon=True).start()
        return True

    def _run(self) -> None:
        fault, found = "", None
        try:
            self._keeper.sign()
            log, witnesses = self._keeper.log, self._keeper.witnesses
            found = verify(log, witnesses.policy(), progress=self._advance)
        except (ApiError, ConsentError, OSError) as error:
            fault = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - a check that dies must not look as if it still ran
            _log.error("unexpected error of the log's check", error=type(error).__name__, exc_info=error)
            fault = type(error).__name__
        with self._lock:
            assert self._last is not None  # noqa: S101 - start() made it
            self._last = replace(self._last, found=found, fault=fault, ended_at=datetime.now(UTC))
        if found is not None and not found.ok:
            _log.error("the log is not whole", index=found.broken_index, reason=found.reason)

    def _advance(self, done: int) -> None:
        with self._lock:
            if self._last is not None:
                self._last = replace(self._last, done=done, total=max(done, self._last.total))
