"""Imports of ballots: good rows are kept, bad ones reported, and each import is one entry in the log.

The entry holds the hash of the file, the hash of the rows that were kept and their number, so that no
ballot can be slipped in or dropped afterwards: `check_imports` finds it. An import can only be withdrawn as
a whole, which is an entry of its own; its ballots are deleted then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from uuid6 import uuid7

from api import log
from api.database import Connection, Database
from api.errors import ImportedBefore, ImportRunning, TableRefused
from api.organisation.digests import open_digests
from api.organisation.places import places_of
from api.spreadsheets.faults import Fault, Reason, shortened
from api.spreadsheets.tables import Row, Table, open_table
from api.survey.ballot_rows import COLUMNS, BallotReader, BallotRow, RowsHash
from api.survey.channels import Channel
from api.survey.import_reports import report_of
from api.survey.questionnaire import DEFAULT, questionnaire_of, register
from api.survey.source_systems import Delivery, bounds_of
from api.trends import local_today

MOST_FAULTS: Final = 100_000
"""Faults that a result holds; more are counted."""
_ROWS_AT_ONCE: Final = 1000
_LOCK: Final = 0x62_61_6C_69
_COPY: Final = (
    "COPY survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, counter, procedure, "
    "gave_feedback, levels, transaction_digest) FROM STDIN"
)
_log: Final = structlog.get_logger("api.survey")


class WithdrawalReason(StrEnum):
    """Why an import is withdrawn."""

    WRONG_FILE = "wrong-file"
    WRONG_VALUES = "wrong-values"
    NOT_AUTHORISED = "not-authorised"
    OBSERVER_OBJECTED = "observer-objected"


@dataclass(frozen=True, slots=True)
class ChannelCount:
    """Ballots of one channel."""

    channel: Channel
    ballots: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a file.

    Attributes:
        import_id: None in a trial, and where no row was good.
        rows_read: Rows that held something after the header: kept and refused ones.
        refused: Rows with at least one fault.
        faults_left_out: Faults beyond `MOST_FAULTS`.
        batch: Number of the batch of paper ballots, for observers; None without paper.
        unread_sheets: Sheets in which no header was found.
        log_index: Its entry in the centre's log.
    """

    import_id: UUID | None
    questionnaire: str
    file_name: str
    file_sha256: str
    rows_read: int
    kept: int
    refused: int
    by_channel: tuple[ChannelCount, ...]
    faults: tuple[Fault, ...]
    faults_left_out: int
    batch: int | None
    unread_sheets: tuple[str, ...]
    log_index: int | None


@dataclass(frozen=True, slots=True)
class KeptImport:
    """An import as the database keeps it."""

    import_id: UUID
    questionnaire: str
    file_name: str
    file_sha256: str
    rows_read: int
    kept: int
    refused: int
    batch: int | None
    actor: str
    imported_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_why: str | None


def import_ballots(
    database: Database,
    path: Path,
    *,
    actor: str,
    data_folder: Path,
    channel: Channel | None = None,
    questionnaire: str = DEFAULT,
    trial: bool = False,
    file_name: str = "",
    today: date | None = None,
    progress: Callable[[int], None] | None = None,
    delivery: Delivery | None = None,
) -> ImportResult:
    """Take the ballots of a file; all that are good, or none when the file as such is refused.

    Args:
        database: Where they are kept.
        path: CSV or XLSX.
        actor: Who imports, for the log.
        data_folder: Where the key of the transaction digests is.
        channel: Channel of rows that name none.
        questionnaire: Version that the file answers.
        trial: Only say what would become of it.
        file_name: What the sender calls the file; the name of `path` else.
        today: The last day that has come; now in Viet Nam else.
        progress: Told the number of rows read.
        delivery: Which system brings them, where one does: what it may bring is held against each row.

    Raises:
        TableRefused: It is no table of ballots.
        ImportedBefore: This very file was.
        ImportRunning: Another import runs.
        KeysUnusable: The key of the digests is missing.
        DatabaseUnavailable: Ask again later; nothing was kept.
    """
    asked = questionnaire_of(questionnaire)
    name = shortened(file_name or path.name)
    columns = (*COLUMNS, *asked.columns())
    with (
        open_table(path, columns, progress=progress)
        if delivery is None
        else delivery.opened(path, columns) as table
    ):
        if not table.columns & {question.code for question in asked.questions}:
            raise TableRefused(
                "The file has no column with a criterion of the questionnaire '{version}'.",
                version=asked.version,
            )
        with database.transaction() as connection, connection.transaction(force_rollback=trial):
            _become_the_one_import(connection)
            _refuse_known(connection, table.facts.sha256)
            register(connection, asked)
            reader = BallotReader(
                table,
                asked,
                places_of(connection),
                open_digests(connection, data_folder),
                channel=channel,
                today=today or local_today(),
                bounds=None if delivery is None else bounds_of(connection, delivery.source),
            )
            taking = _Taking(connection, UUID(bytes=uuid7().bytes), asked.version, reader)
            taking.take_all(table)
            kept = taking.kept > 0 and not trial
            batch = _next_batch(connection) if kept and taking.channels[Channel.PAPER] else None
            index = (
                None if not kept else _keep(connection, taking, table, name=name, actor=actor, batch=batch)
            )
            if kept and delivery is not None:
                _keep_report(connection, taking, table, by_field=delivery.by_field)
    _log.info("ballots imported", rows=taking.read, kept=taking.kept, refused=taking.refused, trial=trial)
    return ImportResult(
        taking.import_id if kept else None,
        asked.version,
        name,
        table.facts.sha256.hex(),
        taking.read,
        taking.kept,
        taking.refused,
        tuple(ChannelCount(item, taking.channels[item]) for item in Channel if taking.channels[item]),
        tuple(taking.faults),
        taking.faults_left_out,
        batch,
        table.unread_sheets,
        index,
    )


def document_of(done: ImportResult, language: str) -> dict[str, object]:
    """Return the result of an import as a JSON document, with its reasons in a language."""
    document = asdict(done)
    document["faults"] = [asdict(fault) | {"text": fault.message(language)} for fault in done.faults]
    return document


def withdraw_import(database: Database, import_id: UUID, why: WithdrawalReason, *, actor: str) -> int:
    """Withdraw an import as a whole and return how many ballots went.

    Raises:
        TableRefused: There is no such import, or it was withdrawn before.
    """
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT withdrawn_at, file_sha256 FROM ballot_imports WHERE import_id = %s FOR UPDATE",
            (import_id,),
        ).fetchone()
        if row is None or row[0] is not None:
            raise TableRefused("There is no import {id} that could be withdrawn.", id=import_id)
        gone = connection.execute("DELETE FROM survey_ballots WHERE import_id = %s", (import_id,)).rowcount
        body = {"import": import_id, "file_sha256": bytes(row[1]).hex(), "ballots": gone, "why": why.value}
        index = log.append(connection, log.Kind.BALLOT_IMPORT_WITHDRAWN, {**body, "actor": actor})
        connection.execute(
            "UPDATE ballot_imports SET withdrawn_at = clock_timestamp(), withdrawn_by = %s, "
            "withdrawn_why = %s, withdrawn_index = %s WHERE import_id = %s",
            (actor, why.value, index, import_id),
        )
    _log.info("import withdrawn", ballots=gone)
    return gone


def list_imports(database: Database, *, limit: int = 200) -> tuple[KeptImport, ...]:
    """Return the imports, the newest first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT import_id, questionnaire, file_name, encode(file_sha256, 'hex'), rows_read, kept, "
            "refused, batch, actor, imported_at, withdrawn_at, withdrawn_by, withdrawn_why "
            "FROM ballot_imports ORDER BY imported_at DESC, import_id DESC LIMIT %s",
            (limit,),
        ).fetchall()
    return tuple(KeptImport(*row) for row in rows)


class _Taking:
    """Rows on their way into the database, a thousand at a time."""

    def __init__(
        self, connection: Connection, import_id: UUID, questionnaire: str, reader: BallotReader
    ) -> None:
        self._connection = connection
        self.questionnaire = questionnaire
        self._reader = reader
        self._waiting: list[tuple[Row, BallotRow]] = []
        self.import_id = import_id
        self.rows_hash = RowsHash(questionnaire)
        self.channels: Counter[Channel] = Counter()
        self.faults: list[Fault] = []
        self.faults_left_out = 0
        self.read = self.kept = self.refused = 0

    def take_all(self, table: Table) -> None:
        """Take every row of a table."""
        for found in table:
            self.read += 1
            if isinstance(found, Fault):
                self._refuse([found])
            else:
                ballot = self._reader.read(found)
                if isinstance(ballot, BallotRow):
                    self._waiting.append((found, ballot))
                else:
                    self._refuse(ballot)
            if self.read % _ROWS_AT_ONCE == 0:
                self._write()
        self._write()
        self.faults.sort(key=lambda fault: (fault.sheet, fault.line))

    def _refuse(self, faults: Sequence[Fault]) -> None:
        self.refused += 1
        room = max(0, MOST_FAULTS - len(self.faults))
        self.faults += faults[:room]
        self.faults_left_out += len(faults[room:])

    def _write(self) -> None:
        """Keep the rows that wait, apart from those whose transaction was counted before them."""
        digests = [item.transaction_digest for _, item in self._waiting if item.transaction_digest]
        known: dict[bytes, str] = {
            bytes(row[0]): str(row[2]) if row[1] == self.import_id else ""
            for row in self._connection.execute(
                "SELECT transaction_digest, import_id, line FROM survey_ballots "
                "WHERE transaction_digest = ANY(%s)",
                (digests,),
            )
        }
        good: list[BallotRow] = []
        for row, ballot in self._waiting:
            earlier = known.get(ballot.transaction_digest) if ballot.transaction_digest else None
            if earlier is not None:
                reason = Reason.TRANSACTION_TWICE if earlier else Reason.TRANSACTION_KNOWN
                self._refuse([self._reader.fault_of_transaction(row, reason, earlier)])
                continue
            if ballot.transaction_digest:
                known[ballot.transaction_digest] = str(ballot.line)
            good.append(ballot)
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for ballot in good:
                copy.write_row(self._values(ballot))
                self.rows_hash.add(ballot)
                self.channels[ballot.channel] += 1
        self.kept += len(good)
        self._waiting.clear()

    def _values(self, ballot: BallotRow) -> tuple[Any, ...]:
        levels = ",".join("NULL" if level is None else str(level) for level in ballot.levels)
        return (
            *(self.import_id, ballot.sheet, ballot.line, ballot.channel.value, self.questionnaire),
            *(ballot.day, ballot.unit, ballot.counter, ballot.procedure, ballot.gave_feedback),
            f"{{{levels}}}",
            ballot.transaction_digest,
        )


def _become_the_one_import(connection: Connection) -> None:
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
    if row is None or not row[0]:
        raise ImportRunning("Another import of ballots runs: repeat this one in a moment.")


def _refuse_known(connection: Connection, file_sha256: bytes) -> None:
    row = connection.execute(
        "SELECT import_id FROM ballot_imports WHERE file_sha256 = %s AND withdrawn_at IS NULL",
        (file_sha256,),
    ).fetchone()
    if row is not None:
        raise ImportedBefore("This very file was imported before, as {id}.", row[0])


def _next_batch(connection: Connection) -> int:
    row = connection.execute("SELECT nextval('paper_batches')").fetchone()
    assert row is not None  # noqa: S101 - a sequence gives a number
    return int(row[0])


def _keep(
    connection: Connection, taking: _Taking, table: Table, *, name: str, actor: str, batch: int | None
) -> int:
    """Log an import and keep what it was; return its entry's index."""
    rows_sha256 = taking.rows_hash.digest()
    body = {
        "import": taking.import_id,
        "questionnaire": taking.questionnaire,
        "file_sha256": table.facts.sha256.hex(),
        "rows_sha256": rows_sha256.hex(),
        "rows_read": taking.read,
        "kept": taking.kept,
        "refused": taking.refused,
        "channels": {channel.value: count for channel, count in taking.channels.items()},
        "batch": batch,
        "actor": actor,
    }
    index = log.append(connection, log.Kind.BALLOT_IMPORT, body)
    connection.execute(
        "INSERT INTO ballot_imports (import_id, questionnaire, file_name, file_sha256, rows_sha256, "
        "rows_read, kept, refused, batch, actor, log_index) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(taking.import_id, body["questionnaire"], name, table.facts.sha256, rows_sha256, taking.read),
            *(taking.kept, taking.refused, batch, actor, index),
        ),
    )
    return index


def _keep_report(connection: Connection, taking: _Taking, table: Table, *, by_field: bool) -> None:
    """Keep what the system is told, so that it can ask again: an answer may be lost on its way."""
    report = report_of(taking.faults, taking.faults_left_out, table.unread_sheets, by_field=by_field)
    connection.execute(
        "UPDATE ballot_imports SET report = %s::jsonb WHERE import_id = %s",
        (report.model_dump_json(), taking.import_id),
    )
