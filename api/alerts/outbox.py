"""Messages on their way: made in the transaction that raises the alerts, so that none is lost.

Whoever sends takes a message for a while (`lease`), sends it and notes that it went. Two senders never hold
the same message. When the program dies between sending and noting, the message is sent again under the same
number (`Message-ID`, `Idempotency-Key`), by which a receiver knows it: no way of sending can do more.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from uuid6 import uuid7

from api.alerts.alert import Alert, find_alerts
from api.alerts.subscriptions import SELECT, Subscription, subscription_of, subscriptions
from api.database import Connection, Database

LEASE: Final = timedelta(minutes=5)
"""Longer than any attempt takes."""
GIVE_UP: Final = timedelta(days=3)
_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 6 * 3600.0
_LONGEST_FAULT: Final = 300


@dataclass(frozen=True, slots=True)
class Message:
    """One message with what it tells; `alerts` are those that the account may still see."""

    message_id: UUID
    made_at: datetime
    attempts: int
    subscription: Subscription
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class MessageState:
    """The newest message of a subscription."""

    subscription_id: UUID
    made_at: datetime
    attempts: int
    sent_at: datetime | None
    given_up_at: datetime | None
    fault: str


def enqueue(connection: Connection, alerts: Sequence[Alert]) -> int:
    """Make one message for each subscription that wants any of these alerts; returns how many."""
    made = 0
    for subscription in subscriptions(connection):
        wanted = [alert for alert in alerts if subscription.wants(alert)]
        if not wanted:
            continue
        number = UUID(bytes=uuid7().bytes)
        connection.execute(
            "INSERT INTO alert_messages (message_id, subscription_id) VALUES (%s, %s)",
            (number, subscription.subscription_id),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO alert_message_items (subscription_id, alert_id, message_id) VALUES (%s, %s, %s)",
                [(subscription.subscription_id, alert.alert_id, number) for alert in wanted],
            )
        made += 1
    return made


def lease(database: Database, now: datetime) -> Message | None:
    """Take the message that has waited longest, for `LEASE`; None where nothing is due."""
    with database.transaction() as connection:
        row = connection.execute(
            "UPDATE alert_messages SET next_at = %s, attempts = attempts + 1 WHERE message_id = ("
            "SELECT message_id FROM alert_messages WHERE sent_at IS NULL AND given_up_at IS NULL "
            "AND next_at <= %s ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED) "
            "RETURNING message_id, made_at, attempts, subscription_id",
            (now + LEASE, now),
        ).fetchone()
        if row is None:
            return None
        found = connection.execute(f"{SELECT} WHERE s.subscription_id = %s", (row[3],)).fetchone()
        assert found is not None  # noqa: S101 - the message goes with its subscription
        subscription = subscription_of(found)
        numbers = connection.execute(
            "SELECT alert_id FROM alert_message_items WHERE message_id = %s", (row[0],)
        ).fetchall()
        alerts = find_alerts(connection, [item[0] for item in numbers])
    seen = tuple(alert for alert in alerts if subscription.wants(alert))
    return Message(row[0], row[1], row[2], subscription, seen)


def sent(database: Database, message: Message, now: datetime) -> None:
    """Note that a message went."""
    _settle(database, message, "sent_at = %s, fault = ''", (now,))


def give_up(database: Database, message: Message, fault: str, now: datetime) -> None:
    """Note that a message will not go, and why."""
    _settle(database, message, "given_up_at = %s, fault = %s", (now, fault[:_LONGEST_FAULT]))


def put_back(database: Database, message: Message, fault: str, now: datetime) -> None:
    """Let a message wait for its next attempt, longer each time; after three days it is given up."""
    if now - message.made_at > GIVE_UP:
        give_up(database, message, fault, now)
        return
    pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(message.attempts - 1, 20))
    jitter = 1 + secrets.randbelow(1000) / 4000
    at = now + timedelta(seconds=pause * jitter)
    _settle(database, message, "next_at = %s, fault = %s", (at, fault[:_LONGEST_FAULT]))


def newest_messages(database: Database, account: str) -> tuple[MessageState, ...]:
    """Return the newest message of each subscription of an account."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (m.subscription_id) m.subscription_id, m.made_at, m.attempts, m.sent_at, "
            "m.given_up_at, m.fault FROM alert_messages m JOIN alert_subscriptions s USING (subscription_id) "
            "WHERE s.account = %s ORDER BY m.subscription_id, m.made_at DESC",
            (account,),
        ).fetchall()
    return tuple(MessageState(*row) for row in rows)


def _settle(database: Database, message: Message, change: str, values: tuple[object, ...]) -> None:
    with database.transaction() as connection:
        connection.execute(
            f"UPDATE alert_messages SET {change} WHERE message_id = %s AND attempts = %s",  # noqa: S608 - clauses of this module
            (*values, message.message_id, message.attempts),
        )
