"""A row of a file of ballots: which columns there are, and a ballot out of it or what is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.organisation.digests import TransactionDigests
from api.organisation.places import Places
from api.spreadsheets.cells import (
    CellError,
    CellValue,
    code_of,
    day_of,
    folded,
    text_of,
    transaction_of,
    yes_or_no,
)
from api.spreadsheets.faults import Fault, Reason
from api.spreadsheets.header import Column
from api.spreadsheets.row_cells import RowCells, in_order
from api.spreadsheets.tables import Row, Table
from api.survey.channels import CHANNEL_NAMES, IMPORTED, Channel
from api.survey.questionnaire import Questionnaire
from api.survey.source_systems import Bounds

COLUMNS: Final = (
    Column("day", ("ngày", "ngày trả lời", "ngày khảo sát", "ngày đánh giá", "date"), required=True),
    Column("unit", ("đơn vị", "mã đơn vị", "bộ phận một cửa", "unit code")),
    Column("counter", ("quầy", "mã quầy", "counter code")),
    Column("channel", ("kênh", "kênh khảo sát")),
    Column("transaction", ("mã hồ sơ", "số hồ sơ", "mã số hồ sơ", "số biên nhận", "transaction number")),
    Column("procedure", ("thủ tục", "mã thủ tục", "procedure code")),
    Column("feedback", ("có góp ý", "đã góp ý", "có góp ý, phản ánh, kiến nghị", "gave feedback")),
)
"""Beside these, a column for each criterion of the questionnaire."""
_CHANNEL_WORDS: Final = {
    folded(word): channel
    for channel, words in {
        Channel.KIOSK: ("kiosk", "ki ốt", "màn hình"),
        Channel.ONLINE: ("online", "trực tuyến"),
        Channel.SMS: ("sms", "tin nhắn"),
        Channel.CALL: ("call", "1022", "cuộc gọi", "tổng đài", "điện thoại"),
        Channel.PORTAL: ("portal", "cổng dịch vụ công", "cổng dvc", "cổng dvcqg"),
        Channel.PAPER: ("paper", "giấy", "phiếu"),
    }.items()
    for word in (*words, *CHANNEL_NAMES[channel])
}
_WITHOUT_TRANSACTION: Final = frozenset({Channel.PAPER})
"""Handed out to people at the door, and anonymous: no number is asked for."""


@dataclass(frozen=True, slots=True)
class BallotRow:
    """One ballot as it is kept.

    Attributes:
        levels: By position in the questionnaire; None where nothing was answered.
        transaction_digest: Keyed digest of the transaction number; None on paper without one.
    """

    sheet: int
    line: int
    channel: Channel
    day: date
    unit: str
    counter: str | None
    procedure: str | None
    gave_feedback: bool | None
    levels: tuple[int | None, ...]
    transaction_digest: bytes | None

    def canonical(self) -> bytes:
        """Return the line by which it counts in the hash of its import."""
        parts = (
            *(str(self.sheet), str(self.line), self.channel.value, self.day.isoformat(), self.unit),
            *(self.counter or "", self.procedure or ""),
            "" if self.gave_feedback is None else "yes" if self.gave_feedback else "no",
            ",".join("" if level is None else str(level) for level in self.levels),
            self.transaction_digest.hex() if self.transaction_digest else "",
        )
        return "\t".join(parts).encode() + b"\n"


class RowsHash:
    """The hash of all rows of an import, in the order of sheet and line."""

    def __init__(self, questionnaire: str) -> None:
        """Begin with the version that gives the levels their meaning."""
        self._hash = hashlib.sha256(questionnaire.encode() + b"\n")

    def add(self, row: BallotRow) -> None:
        """Take the next row in."""
        self._hash.update(row.canonical())

    def digest(self) -> bytes:
        """Return the hash of what was taken in."""
        return self._hash.digest()


class BallotReader:
    """Turns rows of one table into ballots.

    Args:
        table: The open file.
        questionnaire: What it answers.
        places: Units and counters.
        digests: Makes digests of transaction numbers.
        channel: Channel of rows that name none; None refuses them.
        today: The last day that has come.
        bounds: What whoever brings them may bring; None is everything.
    """

    def __init__(
        self,
        table: Table,
        questionnaire: Questionnaire,
        places: Places,
        digests: TransactionDigests,
        *,
        channel: Channel | None,
        today: date,
        bounds: Bounds | None = None,
    ) -> None:
        """Prepare what all rows share."""
        self._table = table
        self._places = places
        self._digests = digests
        self._channel = channel
        self._today = today
        self._bounds = bounds
        self._questions = [question.code for question in questionnaire.questions]
        self._after_feedback = [
            position for position, code in enumerate(self._questions) if code in questionnaire.after_feedback
        ]
        self._levels = questionnaire.reader()

    def read(self, row: Row) -> BallotRow | list[Fault]:
        """Return the ballot of a row, or everything that is wrong with it, from left to right."""
        cells = RowCells(self._table, row)
        day = cells.get("day", self._day, needed=True)
        channel = cells.get("channel", _channel_of) or self._channel
        if channel is None and cells.is_empty("channel"):
            cells.refuse("channel", Reason.MISSING)
        place, counter = self._place(cells, day)
        procedure = cells.get("procedure", code_of)
        needed = channel is not None and channel not in _WITHOUT_TRANSACTION
        transaction = cells.get("transaction", transaction_of, needed=needed)
        gave_feedback = cells.get("feedback", yes_or_no)
        levels = tuple(
            self._levels.seen(row.values.get(code)) or cells.get(code, self._levels.level)
            for code in self._questions
        )
        if not any(levels) and all(map(cells.is_empty, self._questions)):
            cells.refuse("", Reason.NO_ANSWERS)
        if gave_feedback is False:
            for position in self._after_feedback:
                if levels[position] is not None:
                    cells.refuse(self._questions[position], Reason.NO_FEEDBACK_GIVEN)
        if self._bounds is not None:
            if channel is not None and channel not in self._bounds.channels:
                cells.refuse("channel", Reason.CHANNEL_NOT_OWN)
            known = all(fault.reason is not Reason.UNKNOWN_UNIT for fault in cells.faults)
            if day is not None and place is not None and known and not self._bounds.hold(place, day):
                cells.refuse("counter" if cells.is_empty("unit") else "unit", Reason.OUTSIDE_AREA)
        if cells.faults or day is None or channel is None or place is None:
            return list(in_order(cells.faults))
        answered_after = any(levels[position] is not None for position in self._after_feedback)
        return BallotRow(
            row.sheet,
            row.line,
            channel,
            day,
            place,
            counter,
            procedure,
            True if answered_after else gave_feedback,
            levels,
            None if transaction is None else self._digests.digest(transaction),
        )

    def fault_of_transaction(self, row: Row, reason: Reason, detail: str = "") -> Fault:
        """Return the fault of a transaction that was counted already."""
        return self._table.fault(row, "transaction", reason, detail)

    def _day(self, value: CellValue) -> date:
        return day_of(value, today=self._today, epoch_1904=self._table.epoch_1904)

    def _place(self, cells: RowCells, day: date | None) -> tuple[str | None, str | None]:
        """Return the unit and counter of a ballot; the unit is the counter's where only that is given."""
        counter, unit = cells.get("counter", code_of), cells.get("unit", code_of)
        if cells.is_empty("counter") and cells.is_empty("unit"):
            cells.refuse("unit", Reason.NO_PLACE)
        if counter is not None and counter not in self._places.placements:
            cells.refuse("counter", Reason.UNKNOWN_COUNTER)
            counter = None
        known = unit is not None and (
            unit in self._places.units if day is None else self._places.has_unit(unit, day)
        )
        if unit is not None and not known:
            cells.refuse("unit", Reason.UNKNOWN_UNIT)
        if day is None or counter is None or (unit is not None and not known):
            return unit, counter
        stood = self._places.unit_of(counter, day)
        if stood is None:
            cells.refuse("counter", Reason.NO_PLACE)
        elif unit is not None and stood != unit:
            cells.refuse("counter", Reason.COUNTER_ELSEWHERE, stood)
        return stood, counter


def _channel_of(value: CellValue) -> Channel:
    found = _CHANNEL_WORDS.get(folded(text_of(value)))
    if found is None:
        raise CellError(Reason.UNKNOWN_CHANNEL)
    if found not in IMPORTED:
        raise CellError(Reason.CHANNEL_NOT_IMPORTED)
    return found
