"""Who wants which alerts, and by which way. Rights are asked again whenever something is sent."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from uuid6 import uuid7

from api.accounts import Account, Login
from api.alerts.alert import Alert, AlertKind
from api.alerts.targets import mail_target, webhook_target
from api.authorization import SERVICE, Action, Role, counter
from api.database import Connection, Database
from api.enrolment import record_act
from api.errors import CaseRefused
from api.settings import AlertsSettings

MOST: Final = 10
"""Subscriptions of one account."""
_KEY_BYTES: Final = 32
SELECT: Final = (
    "SELECT s.subscription_id, s.area, s.kinds, s.way, s.target, s.language, s.signing_key, s.made_at, "
    "u.name, u.role, u.must_change, u.areas, u.counters, u.disabled_at IS NOT NULL "
    "FROM alert_subscriptions s JOIN users u ON u.name = s.account"
)


class Way(StrEnum):
    """How alerts reach somebody."""

    MAIL = "mail"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody subscribes to.

    Attributes:
        area: Only counters of this area; empty: all that the account may see.
        target: A mail address, or the https address of a program.
    """

    area: str
    kinds: tuple[AlertKind, ...]
    way: Way
    target: str
    language: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription with its account as it is now.

    Attributes:
        signing_key: Key of the signatures of a webhook; None for mails.
    """

    subscription_id: UUID
    wish: Wish
    signing_key: bytes | None
    made_at: datetime
    account: Account

    def wants(self, alert: Alert) -> bool:
        """Tell whether an alert is asked for, and the account may see it now."""
        if alert.kind not in self.wish.kinds or (self.wish.area and alert.area != self.wish.area):
            return False
        return may_see(self.account, alert)


def may_see(account: Account, alert: Alert) -> bool:
    """Ask the policies whether an account may see an alert."""
    if account.disabled:
        return False
    login = Login(account, "")
    if not login.decide(Action.VIEW_ALERTS, SERVICE).permitted:
        return False
    return (
        alert.counter is None
        or login.decide(Action.VIEW_FIGURES, counter(alert.counter, alert.area)).permitted
    )


def subscribe(database: Database, account: str, wish: Wish, settings: AlertsSettings) -> bytes | None:
    """Keep a subscription and return the key of its signatures, which is shown once; None for mails.

    Raises:
        CaseRefused: Nothing is asked for, the target is not allowed, or there are too many.
    """
    if not wish.kinds:
        raise CaseRefused("Choose at least one kind of alert.")
    if wish.way is Way.MAIL:
        mail_target(wish.target, settings)
    else:
        webhook_target(wish.target, settings)
    key = secrets.token_bytes(_KEY_BYTES) if wish.way is Way.WEBHOOK else None
    with database.transaction() as connection:
        connection.execute("SELECT 1 FROM users WHERE name = %s FOR UPDATE", (account,))
        row = connection.execute(
            "SELECT count(*) FROM alert_subscriptions WHERE account = %s", (account,)
        ).fetchone()
        if row is not None and row[0] >= MOST:
            raise CaseRefused("An account has at most {most} subscriptions: end one first.", most=MOST)
        connection.execute(
            "INSERT INTO alert_subscriptions (subscription_id, account, area, kinds, way, target, language, "
            "signing_key) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(UUID(bytes=uuid7().bytes), account, wish.area, [kind.value for kind in wish.kinds]),
                *(wish.way.value, wish.target.strip(), wish.language, key),
            ),
        )
        record_act(connection, account, "alerts-subscribed", wish.way.value)
    return key


def end_subscription(database: Database, account: str, number: UUID) -> None:
    """Delete a subscription of an account with everything that waits for it.

    Raises:
        CaseRefused: The account has no such subscription.
    """
    with database.transaction() as connection:
        row = connection.execute(
            "DELETE FROM alert_subscriptions WHERE subscription_id = %s AND account = %s RETURNING way",
            (number, account),
        ).fetchone()
        if row is None:
            raise CaseRefused("There is no such subscription of yours.")
        record_act(connection, account, "alerts-unsubscribed", row[0])


def subscriptions(connection: Connection, account: str | None = None) -> tuple[Subscription, ...]:
    """Return the subscriptions of an account, or all of them, oldest first."""
    rows = connection.execute(
        f"{SELECT} WHERE %s::text IS NULL OR s.account = %s ORDER BY s.made_at, s.subscription_id",
        (account, account),
    ).fetchall()
    return tuple(subscription_of(row) for row in rows)


def subscription_of(row: Sequence[Any]) -> Subscription:
    """Make a subscription of a row of `SELECT`."""
    wish = Wish(row[1], tuple(map(AlertKind, row[2])), Way(row[3]), row[4], row[5])
    account = Account(row[8], Role(row[9]), row[10], tuple(row[11]), tuple(row[12]), disabled=row[13])
    return Subscription(row[0], wish, None if row[6] is None else bytes(row[6]), row[7], account)
