"""Looks for alerts once a day and sends what waits, in a thread of its own, while the service runs."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from typing import Final

import psycopg
import structlog

from api.alerts.alert import Alert, raise_alerts
from api.alerts.findings import findings
from api.alerts.outbox import enqueue, give_up, lease, put_back, sent
from api.alerts.sending import Resolve, SendingFailed, send
from api.alerts.targets import TargetRefused, resolved
from api.database import Database
from api.errors import ApiError
from api.settings import Settings
from api.trends import local_today

_CHECK_S: Final = 30.0
_log: Final = structlog.get_logger("api.alerts")


def look(database: Database, settings: Settings, today: date) -> tuple[Alert, ...]:
    """Raise the alerts of today and put their messages into the outbox, in one transaction.

    Raises:
        DatabaseUnavailable: Nothing was raised; ask again later.
    """
    found = findings(
        database,
        today,
        settings.pages.minimum_n,
        false_alarms_a_month=settings.alerts.false_alarms_a_month,
    )
    with database.transaction() as connection:
        raised = raise_alerts(connection, found)
        messages = enqueue(connection, raised)
    if raised:
        _log.info("alerts raised", alerts=len(raised), messages=messages)
    return raised


def deliver(
    database: Database, settings: Settings, *, now: datetime | None = None, resolve: Resolve = resolved
) -> int:
    """Send everything that is due and return how many messages went.

    Args:
        database: Where the outbox is.
        settings: Of the service.
        now: The moment, where it is not the present one.
        resolve: Gives the address of a host.

    Raises:
        DatabaseUnavailable: What was sent may be sent again, under the same number.
    """
    gone = 0
    while True:
        moment = now or datetime.now(UTC)
        message = lease(database, moment)
        if message is None:
            return gone
        if not message.alerts:
            give_up(database, message, "the account may not see these alerts any more", moment)
            continue
        try:
            send(message, settings.alerts, resolve=resolve)
        except TargetRefused as error:
            give_up(database, message, str(error), moment)
        except SendingFailed as error:
            put_back(database, message, str(error), moment)
            _log.warning("alert not sent", attempt=message.attempts, reason=str(error))
        else:
            sent(database, message, moment)
            gone += 1


class AlertWorker:
    """Runs both for as long as the service runs."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Prepare the thread; `start` starts it."""
        self._database = database
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ask the thread to end after the message it sends."""
        self._stop.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        done: date | None = None
        while not self._stop.is_set():
            try:
                today = local_today()
                if today != done:
                    look(self._database, self._settings, today)
                    done = today
                deliver(self._database, self._settings)
            except (ApiError, psycopg.Error) as error:
                _log.error("alerts wait", reason=type(error).__name__)
            self._stop.wait(_CHECK_S)
