"""What a source system is told of an import: kept without any value that stood in a row, and not for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.database import Connection, Database
from api.spreadsheets.faults import Fault, Reason
from api.survey.channels import Channel

MOST_TOLD: Final = 5000
"""Faults of an answer; more are counted."""
KEPT_DAYS: Final = 90
"""How long a system can ask again what was wrong with its rows."""

_Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeptFault(_Model):
    """A fault without what stood there, which may be of a person."""

    sheet: str
    row: int
    column: str
    title: str
    reason: Reason
    detail: str


class KeptReport(_Model):
    """What was wrong in an import, as the database keeps it.

    Attributes:
        by_field: Whether rows were objects with fields.
        left_out: Faults beyond `MOST_TOLD`.
    """

    by_field: bool
    faults: tuple[KeptFault, ...]
    left_out: int
    unread_sheets: tuple[str, ...]


class RefusedCell(_Model):
    """One thing that is wrong with a row; the value that stood there is not repeated."""

    row: Annotated[int, Field(ge=1, description="Line of the file; in JSON the place in `ballots`, from 1.")]
    sheet: Annotated[str, Field(description="Name of the sheet of a workbook, else empty.")]
    column: Annotated[
        str, Field(description="Letter of the column; in JSON the field. Empty: the whole row is meant.")
    ]
    title: Annotated[str, Field(description="What the header says of the column; in JSON the field.")]
    pointer: Annotated[str | None, Field(description="In JSON where it stands (RFC 6901), else null.")]
    code: Annotated[Reason, Field(description="Stable code of the reason.")]
    detail: Annotated[str, Field(description="What belongs to the reason, such as the earlier row.")]
    reason: Annotated[str, Field(description="The reason for people, in the language of the answer.")]


class ChannelBallots(_Model):
    """Ballots of one channel that were kept."""

    channel: Channel
    ballots: _Count


class BallotImportAnswer(_Model):
    """What became of ballots that were sent."""

    import_id: Annotated[UUID | None, Field(description="Null in a trial, and where no row was good.")]
    state: Annotated[
        Literal["imported", "imported-before", "nothing-kept", "trial", "withdrawn"],
        Field(description="`imported-before`: this very body was sent before; the answer is that of then."),
    ]
    questionnaire: str
    body_sha256: Annotated[str, Field(description="Also in the entry of the log.")]
    rows_read: _Count
    kept: _Count
    refused: Annotated[_Count, Field(description="Rows with at least one fault; the others were kept.")]
    by_channel: list[ChannelBallots]
    batch: Annotated[int | None, Field(description="Number of the batch of paper ballots, for observers.")]
    log_index: Annotated[int | None, Field(description="The entry in the centre's log.")]
    imported_at: datetime | None
    withdrawn_at: datetime | None
    faults: list[RefusedCell]
    faults_left_out: Annotated[_Count, Field(description=f"Faults beyond {MOST_TOLD}.")]
    faults_forgotten: Annotated[
        bool, Field(description=f"Whether the faults are no longer kept: after {KEPT_DAYS} days.")
    ]
    unread_sheets: Annotated[list[str], Field(description="Sheets without a header.")]


def report_of(
    faults: Sequence[Fault], left_out: int, unread_sheets: Sequence[str], *, by_field: bool
) -> KeptReport:
    """Return the report of an import, without values, cut at `MOST_TOLD` faults."""
    told = tuple(
        KeptFault(
            sheet=fault.sheet,
            row=fault.line,
            column=fault.title if by_field else fault.column,
            title=fault.title,
            reason=fault.reason,
            detail=fault.detail,
        )
        for fault in faults[:MOST_TOLD]
    )
    cut = max(0, len(faults) - MOST_TOLD)
    return KeptReport(
        by_field=by_field, faults=told, left_out=left_out + cut, unread_sheets=tuple(unread_sheets)
    )


def told(report: KeptReport, language: str) -> list[RefusedCell]:
    """Return the faults of a report as a system is told them, in `vi` or `en`."""
    return [
        RefusedCell(
            row=fault.row,
            sheet=fault.sheet,
            column=fault.column,
            title=fault.title,
            pointer=_pointer(fault) if report.by_field else None,
            code=fault.reason,
            detail=fault.detail,
            reason=Fault(fault.row, "", "", "", fault.reason, fault.detail).message(language),
        )
        for fault in report.faults
    ]


def kept_answer(
    database: Database,
    import_id: UUID,
    actor: str,
    language: str,
    *,
    state: Literal["imported", "imported-before"],
) -> BallotImportAnswer | None:
    """Return what was said of an import then; None where there is none that this actor brought."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT i.questionnaire, i.file_sha256, i.rows_read, i.kept, i.refused, i.batch, i.log_index, "
            "i.imported_at, i.withdrawn_at, i.report, "
            "convert_from(l.body, 'UTF8')::jsonb -> 'channels' "
            "FROM ballot_imports i LEFT JOIN central_log l ON l.idx = i.log_index "
            "WHERE i.import_id = %s AND i.actor = %s",
            (import_id, actor),
        ).fetchone()
    if row is None:
        return None
    found = _answer(import_id, row, language)
    return found.model_copy(update={"state": state}) if found.withdrawn_at is None else found


def forget_old_reports(connection: Connection) -> None:
    """Forget what was wrong in imports of long ago; the imports stay."""
    connection.execute(
        "UPDATE ballot_imports SET report = NULL WHERE report IS NOT NULL "
        "AND imported_at < clock_timestamp() - make_interval(days => %s)",
        (KEPT_DAYS,),
    )


def _answer(import_id: UUID, row: tuple[Any, ...], language: str) -> BallotImportAnswer:
    questionnaire, sha256, read, kept, refused, batch, index, imported, withdrawn, kept_report, counts = row
    report = None if kept_report is None else KeptReport.model_validate(kept_report)
    return BallotImportAnswer(
        import_id=import_id,
        state="withdrawn",
        questionnaire=questionnaire,
        body_sha256=bytes(sha256).hex(),
        rows_read=read,
        kept=kept,
        refused=refused,
        by_channel=[
            ChannelBallots(channel=item, ballots=counts[item]) for item in Channel if (counts or {}).get(item)
        ],
        batch=batch,
        log_index=index,
        imported_at=imported,
        withdrawn_at=withdrawn,
        faults=told(report, language) if report else [],
        faults_left_out=report.left_out if report else 0,
        faults_forgotten=report is None,
        unread_sheets=list(report.unread_sheets) if report else [],
    )


def _pointer(fault: KeptFault) -> str:
    """Return where a fault stands in the document; names of fields hold no character to escape."""
    return f"/ballots/{fault.row - 1}" + (f"/{fault.column}" if fault.column else "")
