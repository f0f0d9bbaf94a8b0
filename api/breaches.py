"""Breaches of personal data: the 72-hour clock, what was touched, what was done, and the file.

As with requests, a case holds codes only; each act writes one leaf of the centre's log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from uuid6 import uuid7

from api.clock_state import ClockState, Standing
from api.database import Connection
from api.errors import CaseRefused
from api.log import append
from consent.clocks import VIET_NAM, Clocks, Deadline, Rule
from consent.errors import LawSilent

NOTE_LENGTH: Final = 200
SOON: Final = timedelta(hours=24)
_MOST_AFFECTED: Final = 1_000_000_000
_REFERENCE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._:-]{0,62}[a-z0-9])?")
_COLUMNS: Final[LiteralString] = (
    "breach_id, number, nature, cause, scope, affected, measures, detected_at, registered_at, notify_due_at, "
    "law, notified_at, authority_reference, closed_at, file_until, note"
)


class Nature(StrEnum):
    """What happened to the data."""

    DISCLOSED = "disclosed"
    ALTERED = "altered"
    LOST = "lost"
    MISUSED = "misused"
    """Seen or used for another purpose than the one it is kept for."""


class Cause(StrEnum):
    """Why."""

    INTRUSION = "intrusion"
    STOLEN_DEVICE = "stolen-device"
    MISTAKE = "mistake"
    INSIDER = "insider"
    FAULT = "fault"
    PROCESSOR = "processor"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """Which data it touches."""

    CONSENT_RECORDS = "consent-records"
    SIGNALS = "signals"
    BALLOTS = "ballots"
    QUOTES = "redacted-quotes"
    ACCOUNTS = "accounts"
    KEYS = "keys"
    LIVE_MEDIA = "live-media"
    """Somebody saw or heard what a device gave while it was open."""


class Measure(StrEnum):
    """What was done about it."""

    DEVICE_REVOKED = "device-revoked"
    KEYS_ROTATED = "keys-rotated"
    PASSWORDS_RESET = "passwords-reset"
    ACCESS_BLOCKED = "access-blocked"
    CAPTURE_STOPPED = "capture-stopped"
    DATA_ERASED = "data-erased"
    BACKUP_RESTORED = "backup-restored"
    CITIZENS_TOLD = "citizens-told"
    POLICE_TOLD = "police-told"
    PROCESSOR_TOLD = "processor-told"


@dataclass(frozen=True, slots=True)
class Breach:
    """One breach as it is kept.

    Attributes:
        affected: An estimate of how many citizens; None while nobody knows.
        file_until: Until when its file is kept; set when the case is closed.
    """

    breach_id: UUID
    number: int
    nature: str
    cause: str
    scope: list[str]
    affected: int | None
    measures: list[str]
    detected_at: datetime
    registered_at: datetime
    notify_due_at: datetime
    law: str
    notified_at: datetime | None
    authority_reference: str | None
    closed_at: datetime | None
    file_until: date | None
    note: str

    @property
    def notification(self) -> ClockState:
        """The clock of the notification to the authority."""
        return ClockState(self.notify_due_at, self.notified_at, soon=SOON)

    def standing(self, now: datetime) -> Standing:
        """Tell how the notification stands."""
        return self.notification.standing(now)


class Breaches:
    """Keeps breaches and counts their clocks.

    Args:
        clocks: The law; that of this release when left out.
    """

    def __init__(self, clocks: Clocks | None = None) -> None:
        """Read the law."""
        self._clocks = clocks or Clocks()

    def detect(
        self,
        connection: Connection,
        nature: Nature,
        cause: Cause,
        scope: Sequence[Scope],
        *,
        actor: str,
        detected_at: datetime | None = None,
        affected: int | None = None,
        note: str = "",
        now: datetime | None = None,
    ) -> Breach:
        """Register a breach; the 72 hours run from its detection, not from now.

        Raises:
            CaseRefused: The scope is empty, the time lies ahead, or a number or note is out of bounds.
        """
        now = now or datetime.now(UTC)
        detected_at = detected_at or now
        if detected_at > now:
            raise CaseRefused("a breach cannot be found in the future: correct the time of detection")
        if not scope:
            raise CaseRefused("say which data it touches; when unsure, choose everything it may touch")
        if affected is not None and not 0 <= affected <= _MOST_AFFECTED:
            raise CaseRefused("the number of citizens is an estimate; leave it empty when unknown")
        _check_note(note)
        due = self._due(Rule.BREACH_NOTICE, detected_at)
        breach_id = UUID(int=uuid7().int)
        connection.execute(
            "INSERT INTO breaches (breach_id, nature, cause, scope, affected, detected_at, registered_at, "
            "notify_due_at, law, note) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                breach_id,
                nature.value,
                cause.value,
                sorted({item.value for item in scope}),
                affected,
                detected_at,
                now,
                due.due_at,
                f"{due.law_id} {due.version}",
                note,
            ),
        )
        breach = self.get(connection, breach_id)
        _log(
            connection, breach, "detected", actor, nature=nature.value, cause=cause.value, scope=breach.scope
        )
        return breach

    def notify(
        self,
        connection: Connection,
        breach_id: UUID,
        *,
        actor: str,
        authority_reference: str | None = None,
        at: datetime | None = None,
    ) -> Breach:
        """Note that the authority was told.

        Raises:
            CaseRefused: It was told before, the breach is unknown, or time or reference do not fit.
        """
        at = at or datetime.now(UTC)
        breach = self._lock(connection, breach_id, at)
        if breach.notified_at is not None:
            raise CaseRefused("the authority was told of breach {number} before", number=breach.number)
        if authority_reference is not None and not _REFERENCE.fullmatch(authority_reference):
            raise CaseRefused("a reference has at most 64 of the letters a to z, digits and . _ : -")
        connection.execute(
            "UPDATE breaches SET notified_at = %s, authority_reference = %s WHERE breach_id = %s",
            (at, authority_reference, breach_id),
        )
        breach = self.get(connection, breach_id)
        _log(connection, breach, "notified", actor, notified_at=at)
        return breach

    def measure(
        self, connection: Connection, breach_id: UUID, measures: Sequence[Measure], *, actor: str
    ) -> Breach:
        """Add what was done.

        Raises:
            CaseRefused: Nothing is named, or the breach is unknown or closed.
        """
        breach = self._lock(connection, breach_id, None)
        added = sorted({item.value for item in measures} - set(breach.measures))
        if not added:
            raise CaseRefused("name a measure that is not on the list yet")
        connection.execute(
            "UPDATE breaches SET measures = measures || %s WHERE breach_id = %s", (added, breach_id)
        )
        breach = self.get(connection, breach_id)
        _log(connection, breach, "measures", actor, measures=added)
        return breach

    def close(
        self, connection: Connection, breach_id: UUID, *, actor: str, at: datetime | None = None
    ) -> Breach:
        """Close the case; from here its file is kept as long as the law asks.

        Raises:
            CaseRefused: The authority was not told yet, or the breach is unknown or closed.
        """
        at = at or datetime.now(UTC)
        breach = self._lock(connection, breach_id, at)
        if breach.notified_at is None:
            raise CaseRefused(
                "tell the authority of breach {number} first; then close the case", number=breach.number
            )
        kept = self._due(Rule.BREACH_FILE, at).due_at.date()
        connection.execute(
            "UPDATE breaches SET closed_at = %s, file_until = %s WHERE breach_id = %s", (at, kept, breach_id)
        )
        breach = self.get(connection, breach_id)
        _log(connection, breach, "closed", actor, file_until=kept.isoformat())
        return breach

    def get(self, connection: Connection, breach_id: UUID) -> Breach:
        """Return one breach.

        Raises:
            CaseRefused: There is none of this id.
        """
        with connection.cursor(row_factory=class_row(Breach)) as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM breaches WHERE breach_id = %s", (breach_id,))  # noqa: S608 - fixed columns
            found = cursor.fetchone()
        if found is None:
            raise CaseRefused("there is no breach {id}: open it from the list", id=breach_id)
        return found

    def find(
        self, connection: Connection, *, only_open: bool = False, limit: int = 50, offset: int = 0
    ) -> tuple[Breach, ...]:
        """Return breaches: those the authority does not know of first, then the newest."""
        with connection.cursor(row_factory=class_row(Breach)) as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM breaches WHERE (NOT %s OR closed_at IS NULL) "  # noqa: S608 - fixed columns
                "ORDER BY notified_at IS NOT NULL, CASE WHEN notified_at IS NULL THEN notify_due_at END, "
                "number DESC LIMIT %s OFFSET %s",
                (only_open, limit, offset),
            )
            return tuple(cursor.fetchall())

    def _due(self, rule: Rule, started_at: datetime) -> Deadline:
        try:
            return self._clocks.deadline(rule, started_at)
        except LawSilent as error:
            raise CaseRefused(
                "no law of this release sets a time for this on {day}: count it by hand, or correct the time",
                day=started_at.astimezone(VIET_NAM).date(),
            ) from error

    def _lock(self, connection: Connection, breach_id: UUID, at: datetime | None) -> Breach:
        connection.execute("SELECT 1 FROM breaches WHERE breach_id = %s FOR UPDATE", (breach_id,))
        breach = self.get(connection, breach_id)
        if breach.closed_at is not None:
            raise CaseRefused(
                "breach {number} is closed; what comes to light now is a new case", number=breach.number
            )
        if at is not None and at < breach.detected_at:
            raise CaseRefused("breach {number} was found after that: correct the time", number=breach.number)
        return breach


def _check_note(note: str) -> None:
    if len(note) > NOTE_LENGTH:
        raise CaseRefused(
            "a note has at most {most} characters, this one has {length}", most=NOTE_LENGTH, length=len(note)
        )


def _log(connection: Connection, breach: Breach, act: str, actor: str, **facts: object) -> None:
    body: dict[str, object] = {
        "breach": breach.breach_id,
        "act": act,
        "actor": actor,
        "detected_at": breach.detected_at,
        "notify_due_at": breach.notify_due_at,
        "law": breach.law,
        **facts,
    }
    append(connection, "breach", body)
