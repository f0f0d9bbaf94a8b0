"""What a source system sends, taken through the one import of ballots; the same body twice is one import."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import UUID

from api.database import Database
from api.errors import ImportedBefore, ImportRunning, TableRefused
from api.survey.ballot_document import read_document
from api.survey.channels import Channel
from api.survey.import_reports import BallotImportAnswer, ChannelBallots, kept_answer, report_of, told
from api.survey.imports import ImportResult, import_ballots
from api.survey.source_systems import Delivery, SourceSystem

_WAIT_S: Final = 10.0
"""How long a delivery waits for an import that runs already."""
_LOOK_EVERY_S: Final = 0.2
_MINUTE_S: Final = 60.0
JSON: Final = "application/json"
CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_NAMES: Final = {JSON: "ballots.json", CSV: "ballots.csv", XLSX: "ballots.xlsx"}


class ChannelNotOwn(TableRefused):
    """The ballots are said to be of a channel that the system may not bring."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A body with ballots.

    Attributes:
        path: Where it lies while it is read.
        media_type: JSON, CSV or XLSX, as the sender says.
        channel: Of rows that name none; a document's own wins, a system of one channel needs none.
        questionnaire: Version that the rows answer; a document's own wins.
        trial: Only say what would become of it.
    """

    path: Path
    media_type: str
    channel: Channel | None
    questionnaire: str
    trial: bool


class Pace:
    """How many bodies each system may send a minute.

    Args:
        most: Bodies in any sixty seconds.
    """

    def __init__(self, most: int) -> None:
        """Begin with nobody."""
        self._most = most
        self._sent: dict[UUID, deque[float]] = {}

    def allows(self, source: UUID, now_s: float) -> bool:
        """Tell whether a system may send one now, and count it if so; `now_s` never goes back."""
        sent = self._sent.setdefault(source, deque(maxlen=self._most))
        while sent and sent[0] <= now_s - _MINUTE_S:
            sent.popleft()
        if len(sent) >= self._most:
            return False
        sent.append(now_s)
        return True


def take_delivery(
    database: Database, source: SourceSystem, sent: Sent, *, data_folder: Path, language: str
) -> BallotImportAnswer:
    """Take what a system sent; all good rows, or none when the body as such is refused.

    Args:
        database: Where the ballots go.
        source: Who sends them; its token was checked.
        sent: The body.
        data_folder: Where the key of the transaction digests is.
        language: Of the reasons, `vi` or `en`.

    Raises:
        TableRefused: The body cannot be used; its subclasses say more.
        KeysUnusable: The key of the digests is missing.
        DatabaseUnavailable: Ask again later; nothing was kept.
    """
    delivery, sent = _opened(source, sent)
    try:
        done = _imported(database, delivery, sent, data_folder)
    except ImportedBefore as error:
        known = kept_answer(database, error.import_id, source.actor, language, state="imported-before")
        if known is None:  # it is not this system's
            raise
        return known
    if done.import_id is None:
        return _nothing_kept(done, delivery, language, trial=sent.trial)
    kept = kept_answer(database, done.import_id, source.actor, language, state="imported")
    assert kept is not None  # noqa: S101 - it was committed just now
    return kept


def _opened(source: SourceSystem, sent: Sent) -> tuple[Delivery, Sent]:
    """Return how a body is read, and what it says of its rows where they say nothing."""
    delivery = Delivery(source)
    if sent.media_type == JSON:
        document = read_document(sent.path)
        delivery = Delivery(source, document.table, by_field=True)
        sent = replace(
            sent,
            channel=document.channel or sent.channel,
            questionnaire=document.questionnaire or sent.questionnaire,
        )
    if sent.channel is None and len(source.channels) == 1:
        sent = replace(sent, channel=source.channels[0])
    if sent.channel is not None and sent.channel not in source.channels:
        raise ChannelNotOwn(
            "This token is not for the channel '{channel}', but for {known}.",
            channel=sent.channel.value,
            known=", ".join(item.value for item in source.channels),
        )
    return delivery, sent


def _imported(database: Database, delivery: Delivery, sent: Sent, data_folder: Path) -> ImportResult:
    """Import a body, after the import that runs already where there is one."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            return import_ballots(
                database,
                sent.path,
                actor=delivery.source.actor,
                data_folder=data_folder,
                channel=sent.channel,
                questionnaire=sent.questionnaire,
                trial=sent.trial,
                file_name=_NAMES[sent.media_type],
                delivery=delivery,
            )
        except ImportRunning:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_EVERY_S)


def _nothing_kept(
    done: ImportResult, delivery: Delivery, language: str, *, trial: bool
) -> BallotImportAnswer:
    report = report_of(done.faults, done.faults_left_out, done.unread_sheets, by_field=delivery.by_field)
    return BallotImportAnswer(
        import_id=None,
        state="trial" if trial else "nothing-kept",
        questionnaire=done.questionnaire,
        body_sha256=done.file_sha256,
        rows_read=done.rows_read,
        kept=done.kept,
        refused=done.refused,
        by_channel=[ChannelBallots(channel=item.channel, ballots=item.ballots) for item in done.by_channel],
        batch=done.batch,
        log_index=done.log_index,
        imported_at=None,
        withdrawn_at=None,
        faults=told(report, language),
        faults_left_out=report.left_out,
        faults_forgotten=False,
        unread_sheets=list(report.unread_sheets),
    )
