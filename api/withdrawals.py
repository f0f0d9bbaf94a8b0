"""Withdrawals asked for at the centre: by the code on the receipt, or by an officer for a citizen who asks.

The wish is logged and the centre's own erasure begins in one transaction; the edge learns of it with the
next answer to its log and writes the `withdrawn` entry itself. Asking again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from api import erasure
from api.consents import find_in
from api.database import Connection, Database
from api.log import Kind, append
from api.projection import Consent
from consent.errors import ReceiptRefused
from consent.receipt import code_digest
from consent.state import State

WITHDRAWABLE: Final = frozenset({State.OFFERED, State.GIVEN, State.COMPLETED, State.EXPIRED})
"""States in which something was, or may yet be, permitted."""


class Wish(StrEnum):
    """What came of asking for a withdrawal."""

    ASKED = "asked"
    """It is under way."""
    BEFORE = "before"
    """It was asked for, or done, before."""
    NOTHING = "nothing"
    """Nothing was ever permitted, or it was stopped and erased: there is nothing to withdraw."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One withdrawal and how far it is.

    Attributes:
        listed_at: When the edge was first told.
        settled_at: When the edge's log showed that it is done.
    """

    record_id: UUID
    edge_id: UUID
    requested_at: datetime
    method: str
    actor: str
    listed_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer to a wish."""

    wish: Wish
    consent: Consent


_COLUMNS: Final = "record_id, edge_id, requested_at, method, actor, listed_at, settled_at"


def withdraw_by_code(database: Database, code: str) -> Asked | None:
    """Ask for the withdrawal of the consent whose receipt carries this code; None when no receipt does.

    A receipt is known here once its edge has sent its log: seconds after the question, later when it is
    offline. The same answer is given to a code that is wrong and one that is not known yet.

    Raises:
        DatabaseUnavailable: Nothing was asked; ask again.
    """
    try:
        digest = code_digest(code)
    except ReceiptRefused:
        return None
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT record_id FROM consents WHERE withdrawal_digest = %s", (digest,)
        ).fetchone()
        consent = find_in(connection, row[0]) if row is not None else None
        return None if consent is None else withdraw(connection, consent, method="receipt", actor="citizen")


def withdraw_record(database: Database, record_id: UUID, *, method: str, actor: str) -> Asked | None:
    """Ask for the withdrawal of one consent by its id, in somebody's name; None when it is unknown."""
    with database.transaction() as connection:
        consent = find_in(connection, record_id)
        return None if consent is None else withdraw(connection, consent, method=method, actor=actor)


def withdraw(connection: Connection, consent: Consent, *, method: str, actor: str) -> Asked:
    """Ask for a withdrawal in the caller's transaction."""
    if State(consent.state) is State.WITHDRAWN:
        return Asked(Wish.BEFORE, consent)
    if State(consent.state) not in WITHDRAWABLE:
        return Asked(Wish.NOTHING, consent)
    new = connection.execute(
        "INSERT INTO withdrawal_requests (record_id, edge_id, method, actor, central_index) "
        "VALUES (%s, %s, %s, %s, 0) ON CONFLICT DO NOTHING RETURNING requested_at",
        (consent.record_id, consent.edge_id, method, actor),
    ).fetchone()
    if new is None:
        return Asked(Wish.BEFORE, consent)
    erasure.queue(connection, consent.record_id, "withdrawn", session_id=consent.session_id)
    index = append(
        connection,
        Kind.WITHDRAWAL_REQUESTED,
        {"method": method, "actor": actor, "edge": consent.edge_id},
        record_id=consent.record_id,
    )
    connection.execute(
        "UPDATE withdrawal_requests SET central_index = %s WHERE record_id = %s", (index, consent.record_id)
    )
    return Asked(Wish.ASKED, consent)


def restore_requests(connection: Connection, records: Sequence[UUID]) -> int:
    """Put back the requests of these consents that the log holds and the table lacks; return how many.

    So after a restore: a request is a row only once its consent is one, and that comes with the edge's log.
    """
    return connection.execute(
        "INSERT INTO withdrawal_requests (record_id, edge_id, requested_at, method, actor, central_index) "
        "SELECT DISTINCT ON (l.record_id) l.record_id, c.edge_id, l.at, "
        "convert_from(l.body, 'UTF8')::jsonb ->> 'method', convert_from(l.body, 'UTF8')::jsonb ->> 'actor', "
        "l.idx FROM central_log l JOIN consents c USING (record_id) "
        "WHERE l.record_id = ANY(%s) AND l.kind = %s ORDER BY l.record_id, l.idx ON CONFLICT DO NOTHING",
        (list(records), Kind.WITHDRAWAL_REQUESTED.value),
    ).rowcount


def find_withdrawal(database: Database, record_id: UUID) -> Withdrawal | None:
    """Return the withdrawal of one consent that was asked for here."""
    with database.transaction() as connection:
        return withdrawal_in(connection, record_id)


def withdrawal_in(connection: Connection, record_id: UUID) -> Withdrawal | None:
    """Return the withdrawal of one consent that was asked for here, on the caller's connection."""
    rows = _read(connection, "record_id = %s", record_id)
    return rows[0] if rows else None


def list_withdrawals(database: Database, *, open_only: bool = False) -> tuple[Withdrawal, ...]:
    """Return withdrawals asked for here, the newest first."""
    with database.transaction() as connection:
        return _read(connection, "settled_at IS NULL" if open_only else "true")


def _read(connection: Connection, where: str, *values: object) -> tuple[Withdrawal, ...]:
    with connection.cursor(row_factory=class_row(Withdrawal)) as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM withdrawal_requests WHERE {where} "  # noqa: S608 - clauses of this module
            "ORDER BY requested_at DESC LIMIT 1000",
            values,
        )
        return tuple(cursor)
