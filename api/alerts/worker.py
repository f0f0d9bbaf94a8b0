"""Looks for alerts once a day and sends what waits, while the service runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import structlog

from api.alerts.alert import Alert, raise_alerts
from api.alerts.findings import findings
from api.alerts.outbox import enqueue, give_up, lease, put_back, sent
from api.alerts.sending import Resolve, SendingFailed, send
from api.alerts.targets import TargetRefused, resolved
from api.daily_worker import DailyWorker
from api.database import Database
from api.settings import Settings

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


def alert_worker(database: Database, settings: Settings, *, check_s: float = _CHECK_S) -> DailyWorker:
    """Return the thread that looks for alerts once a day, and sends what is due while the service runs.

    Args:
        database: Where alerts and their messages are.
        settings: Of the service.
        check_s: Pause between two looks for messages that are due.
    """
    return DailyWorker(
        "alerts",
        partial(look, database, settings),
        each=partial(deliver, database, settings),
        check_s=check_s,
    )
