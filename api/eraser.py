"""Does the erasures of the centre, one round after the other, whatever was killed in between.

The order of one erasure: its line in the file outside the database, `erasure-started` in the log, then the
rows (signals with their rollups, what was set aside, the ballots' link, receipts), then what rows leave
behind (dead rows, temporary files, write-ahead log), then `erasure-done` with the certificate. Each step
is committed with the note that it was done; a round finds out what is missing and goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg
import structlog

from api.clearing import Clearing
from api.database import Connection, Database
from api.erasure import queue_withdrawn, reopen, settle_claims
from api.erasure_file import ErasureFile, ReplayMark
from api.erasure_journal import CentralJournal
from api.erasure_stores import ROW_STORES, holds
from api.errors import ApiError
from api.log_keys import KeyFolder
from api.physical import RewriteRule, maintenance
from api.settings import Settings
from consent.checkpoint import Ed25519Signer
from consent.erasure import Begun, Eraser, ReceiptSigner
from consent.errors import ErasureError

KEY_NAME: Final = "hailong/centre/erasure"
"""Name of the key that signs receipts of destroyed keys."""
FILE_NAME: Final = "erasures.jsonl"
_WORKER_LOCK: Final = 0x65_72_77_6B
_AT_ONCE: Final = 200
_POLL_S: Final = 1.0
_RETRY_S: Final = 5.0
_log: Final = structlog.get_logger("api.eraser")


def _unwatched(_: str) -> None:
    """Be told of a step and do nothing."""


class CentralEraser:
    """Erases what the table of erasures asks for.

    Args:
        database: Where the data are.
        file: The list that outlives the database.
        signer: The erasure key.
        rule: When large relations are rewritten.
        step: Told after each committed step.
    """

    def __init__(
        self,
        database: Database,
        file: ErasureFile,
        signer: ReceiptSigner,
        *,
        rule: RewriteRule,
        step: Callable[[str], None] = _unwatched,
    ) -> None:
        """Prepare; nothing is erased."""
        self._database = database
        self._file = file
        self._signer = signer
        self._rule = rule
        self._step = step
        self._journal = CentralJournal(database, file)
        self._rests: dict[str, float] = {}
        self._looked: dict[UUID, int] = {}

    def run_once(self) -> int:
        """Go one round over all open erasures and return how many were finished.

        Raises:
            DatabaseUnavailable: The server is lost; what was done stays done.
            ErasureFileDamaged: The list outside the database was altered: nothing is erased without it.
        """
        with self._database.transaction() as connection:
            settle_claims(connection)
            looked = queue_withdrawn(connection, self._looked)
            waiting = _open_erasures(connection)
        self._looked = looked
        if not waiting:
            return 0
        with maintenance(self._database.dsn) as connection:
            if connection.execute("SELECT pg_try_advisory_lock(%s)", (_WORKER_LOCK,)).fetchone() != (True,):
                return 0  # another program of ours is at it
            clearing = Clearing(connection, self._database, self._rule, self._rests, self._step)
            stores = clearing.stores()
            names = tuple(store.name for store in stores)
            eraser = Eraser(self._journal, stores, receipt_signer=self._signer)
            for record_id, cause in waiting:
                self._journal.begin(Begun(record_id, cause, datetime.now(UTC), names))
                self._step("begun")
            # All rows first, so that one rewrite and one checkpoint serve all of them.
            for record_id, _ in waiting:
                for store in stores[: len(ROW_STORES)]:
                    store.erase(record_id)
            return sum(self._finish(eraser, record_id, cause) for record_id, cause in waiting)

    def catch_up(self) -> int:
        """Ask again for every erasure of the file that this database does not know; return how many.

        So after a restore: the backup was made before them. Call it before anything is served.

        Raises:
            ErasureFileDamaged: The list was altered.
        """
        lines = self._file.lines()
        with self._database.transaction() as connection:
            asked = connection.execute(
                "INSERT INTO erasures (record_id, session_id, cause, queued_at) "
                "SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[]) "
                "ON CONFLICT DO NOTHING",
                (
                    [line.record_id for line in lines],
                    [line.session_id for line in lines],
                    [line.cause for line in lines],
                    [line.at for line in lines],
                ),
            ).rowcount
        self._file.mark_replay(ReplayMark(datetime.now(UTC), len(lines), asked))
        return asked

    def replay(self) -> int:
        """Ask again for every erasure of the file of which anything is here, and return how many.

        Raises:
            ErasureFileDamaged: The list was altered.
        """
        asked = self.catch_up()
        lines = self._file.lines()
        for line in lines:
            with self._database.transaction() as connection:
                row = connection.execute(
                    "SELECT state = 'done' FROM erasures WHERE record_id = %s FOR UPDATE", (line.record_id,)
                ).fetchone()
                if row == (True,) and holds(connection, line.record_id):
                    reopen(connection, line.record_id)
                    asked += 1
        self._file.mark_replay(ReplayMark(datetime.now(UTC), len(lines), asked))
        return asked

    def _finish(self, eraser: Eraser, record_id: UUID, cause: str) -> bool:
        try:
            eraser.erase(record_id, cause)
        except ErasureError as error:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE erasures SET fault = %s WHERE record_id = %s", (str(error)[:2000], record_id)
                )
            _log.info("erasure not complete yet", record_id=str(record_id), reason=str(error))
            return False
        _log.info("erased", record_id=str(record_id), cause=cause)
        self._step("certified")
        return True


def central_eraser(settings: Settings, database: Database) -> CentralEraser:
    """Return the eraser of the service: its key and its list lie in the folder of the log.

    Raises:
        KeysUnusable: The erasure key cannot be read or made.
    """
    rule = RewriteRule(
        settings.erasure.rewrite_now_mb, settings.erasure.night_from_hour, settings.erasure.night_to_hour
    )
    return CentralEraser(database, erasure_file(settings), erasure_signer(settings), rule=rule)


def erasure_file(settings: Settings) -> ErasureFile:
    """Return the service's list of erasures, which outlives its database."""
    return ErasureFile(settings.log_dir / FILE_NAME)


def erasure_signer(settings: Settings) -> Ed25519Signer:
    """Return who signs that a key is destroyed.

    Raises:
        KeysUnusable: The erasure key cannot be read or made.
    """
    return Ed25519Signer(KEY_NAME, KeyFolder(settings.log_dir / "keys").erasure_key())


def _open_erasures(connection: Connection) -> list[tuple[UUID, str]]:
    """Return the open erasures of this round: those that nobody has tried come first."""
    return [
        (row[0], str(row[1]))
        for row in connection.execute(
            "SELECT record_id, cause FROM erasures WHERE state <> 'done' "
            "ORDER BY fault IS NOT NULL, queued_at LIMIT %s",
            (_AT_ONCE,),
        )
    ]


class ErasureWorker:
    """Runs the eraser in a thread of its own for as long as the service runs.

    Args:
        eraser: What it runs.
        poll_s: How often it looks for new erasures.
    """

    def __init__(self, eraser: CentralEraser, *, poll_s: float = _POLL_S) -> None:
        """Prepare the thread; `start` starts it."""
        self._eraser = eraser
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eraser", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ask the thread to end after what it does now; open erasures go on at the next start."""
        self._stop.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        caught_up = False
        while not self._stop.is_set():
            pause_s = self._poll_s
            try:
                if not caught_up:
                    found = self._eraser.catch_up()
                    caught_up = True
                    if found:
                        _log.warning("erasures asked for again after a restore", erasures=found)
                self._eraser.run_once()
            except (ApiError, psycopg.Error) as error:
                pause_s = _RETRY_S
                _log.error("erasures wait", reason=_reason(error))
            self._stop.wait(pause_s)


def _reason(error: Exception) -> str:
    """Return what may be logged: the messages of the database can hold values of rows."""
    return str(error) if isinstance(error, ApiError) else type(error).__name__
