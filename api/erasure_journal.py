"""Where the centre writes its erasures down: the file outside the database, the log, the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from api import log
from api.erasure import ErasureState
from api.erasure_file import ErasureFile, ErasureLine
from api.erasure_stores import ERASURE_LOCK, resolve_session
from consent.erasure import Begun, ErasureCertificate

if TYPE_CHECKING:
    from api.database import Database

_BEGUN: Final = (
    "SELECT record_id, cause, started_at, ARRAY(SELECT name FROM erasure_stores AS store "
    "WHERE store.record_id = erasures.record_id ORDER BY position) FROM erasures "
)


class CentralJournal:
    """The journal of the centre's eraser.

    Args:
        database: Holds the log and the table of erasures.
        file: The list that outlives the database.
    """

    def __init__(self, database: Database, file: ErasureFile) -> None:
        """Keep both; nothing is read."""
        self._database = database
        self._file = file
        self._mine: set[UUID] = set()

    def begin(self, begun: Begun) -> None:
        """Write the line, then the entry of the log with the state of the table, unless they are there."""
        if begun.record_id in self._mine:
            return
        with self._database.transaction() as connection:
            # Whatever is being committed now did not see that this consent is erased: wait for it.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (ERASURE_LOCK,))
            session_id = resolve_session(connection, begun.record_id)
        self._file.add(ErasureLine(begun.record_id, session_id, begun.cause, begun.at))
        with self._database.transaction() as connection:
            new = connection.execute(
                "UPDATE erasures SET state = %s, started_at = %s WHERE record_id = %s AND state = %s "
                "RETURNING record_id",
                (ErasureState.STARTED, begun.at, begun.record_id, ErasureState.QUEUED),
            ).fetchone()
            if new is not None:
                connection.execute(
                    "INSERT INTO erasure_stores (record_id, name, position) SELECT %s, name, position "
                    "FROM unnest(%s::text[]) WITH ORDINALITY AS store(name, position) "
                    "ON CONFLICT (record_id, name) DO UPDATE SET position = excluded.position",
                    (begun.record_id, list(begun.stores)),
                )
                body = {"cause": begun.cause, "stores": list(begun.stores)}
                log.append(connection, log.Kind.ERASURE_STARTED, body, record_id=begun.record_id)
        if new is not None:  # else an earlier run of the program began it: this one resumes
            self._mine.add(begun.record_id)

    def done(self, certificate: ErasureCertificate) -> None:
        """Write the certificate into the log and the table."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE erasures SET state = %s, done_at = %s, fault = NULL, certificate = %s "
                "WHERE record_id = %s",
                (ErasureState.DONE, certificate.done_at, certificate.canonical(), certificate.record_id),
            )
            body = {"certificate": certificate.document()}
            log.append(connection, log.Kind.ERASURE_DONE, body, record_id=certificate.record_id)
        self._mine.discard(certificate.record_id)

    def open(self) -> tuple[Begun, ...]:
        """Return what an earlier run of the program began and did not finish, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(_BEGUN + "WHERE state = 'started' ORDER BY started_at").fetchall()
        return tuple(Begun(row[0], row[1], row[2], tuple(row[3])) for row in rows if row[0] not in self._mine)

    def finished(self) -> tuple[ErasureCertificate, ...]:
        """Return the certificate of every finished erasure, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT certificate FROM erasures WHERE state = 'done' ORDER BY done_at"
            ).fetchall()
        return tuple(ErasureCertificate.parse(bytes(row[0])) for row in rows)

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        """Return the certificate of a finished erasure."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT certificate FROM erasures WHERE record_id = %s AND state = 'done'", (record_id,)
            ).fetchone()
        return None if row is None else ErasureCertificate.parse(bytes(row[0]))
