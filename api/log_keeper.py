"""Keeps the centre's log signed and witnessed for as long as the service runs, and says when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from api.central_log import CentralLog
from api.errors import ApiError, DatabaseUnavailable
from api.metrics import Metrics
from api.settings import LogSettings
from api.witnesses import Witnesses
from consent.checkpoint import peek
from consent.errors import ConsentError

NOT_OPENED: Final = "the centre's log was not opened yet: wait for the service to start"
_log: Final = structlog.get_logger("api.log")


class LogKeeper:
    """Makes a checkpoint when the log grew and shows it to the witnesses.

    Args:
        log: The centre's log.
        witnesses: Who cosigns.
        settings: How often.
        metrics: Size, ages and alarms go there.
    """

    def __init__(
        self, log: CentralLog, witnesses: Witnesses, settings: LogSettings, metrics: Metrics
    ) -> None:
        """Register the metrics; nothing is started."""
        self.log = log
        self.witnesses = witnesses
        self._settings = settings
        self._metrics = metrics
        self._fault = NOT_OPENED
        self._signed_at: float | None = None
        metrics.log_checkpoint_age_s.set_function(self._checkpoint_age_s)

    @property
    def fault(self) -> str:
        """Why the log is not signed any more; empty when all is well."""
        return self._fault

    def sign(self) -> None:
        """Make a checkpoint if the log grew; a fault is kept and told, and the next call tries again."""
        try:
            note = self.log.checkpoint()
        except DatabaseUnavailable as error:
            _log.warning("no checkpoint now", reason=str(error))
            return
        except (ApiError, ConsentError, OSError) as error:
            if self._fault != str(error):
                _log.error("the log cannot be signed", reason=str(error))
            self._fault = str(error)
            self._metrics.log_damaged.set(1)
            return
        self._fault = ""
        self._signed_at = time.monotonic()
        self._metrics.log_damaged.set(0)
        self._metrics.log_size.set(peek(note).size)

    def ask(self) -> None:
        """Show the newest checkpoint to the witnesses and take stock."""
        try:
            self.witnesses.submit()
            status = self.witnesses.status()
            with self.log.database.transaction() as connection:
                forked = connection.execute(
                    "SELECT count(*) FROM edge_logs WHERE forked_at IS NOT NULL"
                ).fetchone()
        except (ApiError, ConsentError, OSError) as error:
            _log.warning("the witnesses were not asked", reason=str(error))
            return
        self._metrics.log_witnessed.set(status.witnessed)
        self._metrics.edge_logs_forked.set(forked[0] if forked else 0)
        if status.witnessed_at is not None:
            self._metrics.log_witnessed_at.set(status.witnessed_at.timestamp())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sign once, then sign and ask in the background until the block ends."""
        await asyncio.to_thread(self.sign)
        tasks = [
            asyncio.create_task(_repeat(self.sign, self._settings.checkpoint_s)),
            asyncio.create_task(_repeat(self.ask, self._settings.witness_s, at_once=True)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _checkpoint_age_s(self) -> float:
        return -1.0 if self._signed_at is None else time.monotonic() - self._signed_at


async def _repeat(act: Callable[[], None], every_s: float, *, at_once: bool = False) -> None:
    """Run something in a thread again and again; one fault does not end it."""
    if not at_once:
        await asyncio.sleep(every_s)
    while True:
        try:
            await asyncio.to_thread(act)
        except Exception as error:  # noqa: BLE001 - a loop that ends unseen would leave the log unsigned
            _log.error("unexpected error of the log's keeper", error=type(error).__name__, exc_info=error)
        await asyncio.sleep(every_s)
