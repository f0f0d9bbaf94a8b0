"""What was done at a counter: notes of supervisors with their date, kind and history.

A note is never overwritten: a change is its next revision, and what stood before stays readable beside it.
Each revision is an entry in the centre's log. The entry holds the hash of the text, not the text: that
goes after the time of the retention, and the log can lose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from uuid6 import uuid7

from api import log
from api.actions_text import checked
from api.database import Connection, Database
from api.errors import CaseRefused

OLDEST: Final = timedelta(days=3 * 366)
MOST_REVISIONS: Final = 50
_SELECT: Final = (
    "SELECT action_id, counter, revision, day, kind, content, struck, actor, log_index, written_at "
    "FROM counter_actions"
)


class ActionKind(StrEnum):
    """What was changed at a counter."""

    PROCEDURE = "procedure"
    GUIDANCE = "guidance"
    EQUIPMENT = "equipment"
    HOURS = "hours"
    TRAINING = "training"
    ROOM = "room"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to write down.

    Attributes:
        day: When it was done.
        text: As it was typed.
        struck: Whether the note no longer holds; it stays in the history.
    """

    day: date
    kind: ActionKind
    text: str
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """One revision of a note."""

    revision: int
    day: date
    kind: ActionKind
    text: str
    struck: bool
    actor: str
    log_index: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class CounterAction:
    """A note with its history.

    Attributes:
        history: Every revision, the newest first.
    """

    action_id: UUID
    counter: str
    history: tuple[Note, ...]

    @property
    def now(self) -> Note:
        """What the note says today."""
        return self.history[0]


@dataclass(frozen=True, slots=True)
class Mark:
    """A day below a chart on which something was done."""

    day: date
    kind: ActionKind


def note_action(database: Database, counter: str, draft: Draft, *, actor: str, today: date) -> CounterAction:
    """Write down what was done.

    Args:
        database: Where notes are kept.
        counter: An existing counter that the actor may write about.
        draft: What to write.
        actor: The account.
        today: The running day in Viet Nam.

    Raises:
        CaseRefused: The day or the text cannot be taken.
    """
    clean = _clean(draft, today)
    action_id = UUID(bytes=uuid7().bytes)
    with database.transaction() as connection:
        return _keep(connection, action_id, counter, 1, clean, actor)


def revise_action(
    database: Database, counter: str, action_id: UUID, revision: int, draft: Draft, *, actor: str, today: date
) -> CounterAction:
    """Write the next revision of a note; what stood before stays.

    Args:
        database: Where notes are kept.
        counter: The counter that the note is about.
        action_id: Which note.
        revision: The revision that the actor saw.
        draft: What it says from now on.
        actor: The account.
        today: The running day in Viet Nam.

    Raises:
        CaseRefused: There is no such note, it has changed meanwhile, or day or text cannot be taken.
    """
    clean = _clean(draft, today)
    with database.transaction() as connection:
        rows = connection.execute(
            f"{_SELECT} WHERE action_id = %s AND counter = %s ORDER BY revision DESC FOR UPDATE",
            (action_id, counter),
        ).fetchall()
        if not rows:
            raise CaseRefused("There is no such note at this counter.")
        if rows[0][2] != revision:
            raise CaseRefused("Somebody has changed this note meanwhile: read it and repeat.")
        if revision >= MOST_REVISIONS:
            raise CaseRefused("This note was changed too often: write a new one.")
        return _keep(connection, action_id, counter, revision + 1, clean, actor)


def actions_of(database: Database, counter: str) -> tuple[CounterAction, ...]:
    """Return the notes on a counter with their histories, the newest day first."""
    with database.transaction() as connection:
        rows = connection.execute(
            f"{_SELECT} WHERE counter = %s ORDER BY action_id, revision DESC", (counter,)
        ).fetchall()
    found = _grouped(rows)
    return tuple(sorted(found, key=lambda item: (item.now.day, str(item.action_id)), reverse=True))


def marks_of(database: Database, counter: str) -> tuple[Mark, ...]:
    """Return the days on which something was done, oldest first, without the notes that no longer hold."""
    notes = [action.now for action in actions_of(database, counter)]
    return tuple(Mark(note.day, note.kind) for note in reversed(notes) if not note.struck)


def text_hash(action_id: UUID, revision: int, text: str) -> str:
    """Return the hash of a text as it stands in the log."""
    return hashlib.sha256(f"{action_id}\n{revision}\n{text}".encode()).hexdigest()


def _clean(draft: Draft, today: date) -> Draft:
    if draft.day > today:
        raise CaseRefused("This day is still to come: write down what was done.")
    if draft.day < today - OLDEST:
        raise CaseRefused("This day is too long ago: notes go back three years.")
    return Draft(draft.day, draft.kind, checked(draft.text), draft.struck)


def _keep(  # noqa: PLR0917 - the columns of one row
    connection: Connection, action_id: UUID, counter: str, revision: int, draft: Draft, actor: str
) -> CounterAction:
    body = {
        "action": action_id,
        "revision": revision,
        "counter": counter,
        "day": draft.day.isoformat(),
        "what": draft.kind.value,
        "text_sha256": text_hash(action_id, revision, draft.text),
        "struck": draft.struck,
        "actor": actor,
    }
    connection.execute(
        "INSERT INTO counter_actions (action_id, revision, counter, day, kind, content, struck, actor, "
        "log_index) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(action_id, revision, counter, draft.day, draft.kind.value, draft.text, draft.struck, actor),
            log.append(connection, log.Kind.COUNTER_ACTION, body),
        ),
    )
    rows = connection.execute(
        f"{_SELECT} WHERE action_id = %s ORDER BY revision DESC", (action_id,)
    ).fetchall()
    return _grouped(rows)[0]


def _grouped(rows: Iterable[tuple[Any, ...]]) -> list[CounterAction]:
    grouped: dict[tuple[UUID, str], list[Note]] = {}
    for action_id, counter, revision, day, kind, text, struck, actor, index, at in rows:
        note = Note(revision, day, ActionKind(kind), text, struck, actor, index, at)
        grouped.setdefault((action_id, counter), []).append(note)
    return [CounterAction(*key, tuple(notes)) for key, notes in grouped.items()]
