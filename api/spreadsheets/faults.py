"""What is wrong with a row: where, what stood there, why it was not taken; in Vietnamese and English."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LONGEST_VALUE: Final = 40
"""Characters of a value that a report shows."""


class Reason(StrEnum):
    """Why a row, or one of its cells, was refused. The codes are stable; the texts are for people."""

    MISSING = "missing"
    BAD_ENCODING = "bad-encoding"
    CONTROL_CHARACTER = "control-character"
    UNCLOSED_QUOTE = "unclosed-quote"
    BAD_QUOTES = "bad-quotes"
    STRAY_CELL = "stray-cell"
    ROW_TOO_LONG = "row-too-long"
    FORMULA = "formula"
    BROKEN_CELL = "broken-cell"
    NOT_A_CODE = "not-a-code"
    NOT_A_DAY = "not-a-day"
    NO_SUCH_DAY = "no-such-day"
    SHORT_YEAR = "short-year"
    DAY_TOO_EARLY = "day-too-early"
    DAY_IN_FUTURE = "day-in-future"
    NOT_A_LEVEL = "not-a-level"
    NOT_A_COUNT = "not-a-count"
    NOT_YES_OR_NO = "not-yes-or-no"
    NOT_A_TRANSACTION = "not-a-transaction"
    DIGITS_LOST = "digits-lost"
    TRANSACTION_TWICE = "transaction-twice"
    TRANSACTION_KNOWN = "transaction-known"
    UNKNOWN_UNIT = "unknown-unit"
    UNKNOWN_COUNTER = "unknown-counter"
    COUNTER_ELSEWHERE = "counter-elsewhere"
    NO_PLACE = "no-place"
    UNKNOWN_CHANNEL = "unknown-channel"
    CHANNEL_NOT_IMPORTED = "channel-not-imported"
    NO_ANSWERS = "no-answers"
    NO_FEEDBACK_GIVEN = "no-feedback-given"
    UNKNOWN_LEVEL = "unknown-level-of-tree"
    UNKNOWN_PARENT = "unknown-parent"
    PARENT_NOT_ABOVE = "parent-not-above"
    UNKNOWN_SUCCESSOR = "unknown-successor"
    DAYS_OVERLAP = "days-overlap"
    ENDS_BEFORE_IT_BEGINS = "ends-before-it-begins"
    GIVEN_TWICE = "given-twice"
    NOT_AN_OBJECT = "not-an-object"
    FIELD_TWICE = "field-twice"
    NOT_ONE_VALUE = "not-one-value"
    CHANNEL_NOT_OWN = "channel-not-own"
    OUTSIDE_AREA = "outside-area"


_TEXTS: Final[dict[Reason, tuple[str, str]]] = {
    Reason.MISSING: ("thiếu giá trị bắt buộc", "a value that is needed is missing"),
    Reason.BAD_ENCODING: (
        "có ký tự không đọc được; hãy lưu tệp dạng UTF-8",
        "there are characters that cannot be read; save the file as UTF-8",
    ),
    Reason.CONTROL_CHARACTER: (
        "có ký tự điều khiển; hãy gõ lại giá trị",
        "there are control characters; type the value again",
    ),
    Reason.UNCLOSED_QUOTE: (
        "dấu ngoặc kép mở mà không đóng trong dòng này",
        "a quotation mark opens and does not close on this line",
    ),
    Reason.BAD_QUOTES: (
        "dấu ngoặc kép đặt sai trong dòng này",
        "quotation marks stand in a wrong place on this line",
    ),
    Reason.STRAY_CELL: (
        "có giá trị ở ngoài các cột của bảng; có thể dòng bị lệch cột",
        "a value stands outside of the table's columns; the row may be shifted",
    ),
    Reason.ROW_TOO_LONG: ("dòng quá dài", "the row is too long"),
    Reason.FORMULA: (
        "là công thức; hãy ghi chính giá trị",
        "this is a formula; write the value itself",
    ),
    Reason.BROKEN_CELL: ("ô đang báo lỗi của Excel", "the cell shows an error of Excel"),
    Reason.NOT_A_CODE: (
        "không phải là mã: chỉ dùng chữ thường, chữ số và . _ -",
        "this is no code: use lower-case letters, digits and . _ - only",
    ),
    Reason.NOT_A_DAY: (
        "không phải là ngày; hãy ghi như 31/12/2026 hoặc 2026-12-31",
        "this is no day; write it as 31/12/2026 or 2026-12-31",
    ),
    Reason.NO_SUCH_DAY: (
        "không có ngày này trong lịch (ngày đứng trước tháng)",
        "the calendar has no such day (the day stands before the month)",
    ),
    Reason.SHORT_YEAR: ("năm phải có bốn chữ số", "the year needs four digits"),
    Reason.DAY_TOO_EARLY: ("ngày quá xa trong quá khứ", "the day is too long ago"),
    Reason.DAY_IN_FUTURE: ("ngày chưa đến", "the day has not come yet"),
    Reason.NOT_A_LEVEL: (
        "không phải là mức hài lòng của phiếu này",
        "this is no level of this questionnaire",
    ),
    Reason.NOT_A_COUNT: ("không phải là số nguyên dương", "this is no positive whole number"),
    Reason.NOT_YES_OR_NO: ("phải là có hoặc không", "this has to be yes or no"),
    Reason.NOT_A_TRANSACTION: (
        "không phải là mã hồ sơ: 3 đến 64 chữ cái, chữ số và . / _ -",
        "this is no transaction number: 3 to 64 letters, digits and . / _ -",
    ),
    Reason.DIGITS_LOST: (
        "bảng tính đã làm mất chữ số; hãy ghi mã hồ sơ dạng văn bản",
        "the spreadsheet has lost digits; write the transaction number as text",
    ),
    Reason.TRANSACTION_TWICE: (
        "mã hồ sơ đã có trong tệp này, ở dòng",
        "this transaction number stands in this file already, on line",
    ),
    Reason.TRANSACTION_KNOWN: (
        "mã hồ sơ đã được nhập trước đây",
        "this transaction number was imported before",
    ),
    Reason.UNKNOWN_UNIT: (
        "không có đơn vị này vào ngày đó",
        "there was no such unit on that day",
    ),
    Reason.UNKNOWN_COUNTER: ("không có quầy này", "there is no such counter"),
    Reason.COUNTER_ELSEWHERE: (
        "quầy không thuộc đơn vị này vào ngày đó; đơn vị của quầy là",
        "the counter was not in this unit on that day; its unit was",
    ),
    Reason.NO_PLACE: ("phải có đơn vị hoặc quầy", "a unit or a counter is needed"),
    Reason.UNKNOWN_CHANNEL: ("không có kênh này", "there is no such channel"),
    Reason.CHANNEL_NOT_IMPORTED: (
        "phiếu của màn hình tại quầy do máy tại quầy ký và gửi, không nhập từ tệp",
        "ballots of the screen at the counter are signed and sent by its computer, not imported",
    ),
    Reason.NO_ANSWERS: ("phiếu không có câu trả lời nào", "the ballot has no answer"),
    Reason.NO_FEEDBACK_GIVEN: (
        "chỉ người đã góp ý, phản ánh mới trả lời tiêu chí này",
        "only those who gave feedback answer this criterion",
    ),
    Reason.UNKNOWN_LEVEL: ("không có cấp này", "there is no such level"),
    Reason.UNKNOWN_PARENT: (
        "không có đơn vị cấp trên này trong suốt thời gian đó",
        "there is no such node above for the whole of that time",
    ),
    Reason.PARENT_NOT_ABOVE: (
        "đơn vị này không ở cấp cao hơn",
        "this node does not stand on a higher level",
    ),
    Reason.UNKNOWN_SUCCESSOR: ("không có đơn vị kế tiếp này", "there is no such successor"),
    Reason.DAYS_OVERLAP: (
        "mã này đã có vào một phần thời gian đó",
        "this code stands for something else in part of that time",
    ),
    Reason.ENDS_BEFORE_IT_BEGINS: (
        "ngày kết thúc phải sau ngày bắt đầu",
        "the end has to come after the beginning",
    ),
    Reason.GIVEN_TWICE: (
        "dòng này lặp lại dòng",
        "this repeats line",
    ),
    Reason.NOT_AN_OBJECT: ("phiếu phải là một đối tượng JSON", "a ballot has to be a JSON object"),
    Reason.FIELD_TWICE: (
        "một trường xuất hiện hai lần trong phiếu này",
        "a field stands in this ballot twice",
    ),
    Reason.NOT_ONE_VALUE: (
        "phải là một giá trị: văn bản, số, đúng hoặc sai",
        "this has to be one value: text, a number, true or false",
    ),
    Reason.CHANNEL_NOT_OWN: (
        "hệ thống này không được gửi phiếu của kênh này",
        "this system may not bring ballots of this channel",
    ),
    Reason.OUTSIDE_AREA: (
        "đơn vị không thuộc địa bàn của hệ thống này vào ngày đó",
        "the unit was not in the area of this system on that day",
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file.

    Attributes:
        sheet: Name of the sheet; empty in CSV.
        line: Line of the file or row of the sheet, from 1: the one at which the row begins.
        column: Letter of the column as spreadsheets name it; empty where the whole row is meant.
        title: What the header says of the column.
        value: What stood there, shortened, without control characters.
        reason: Why it was refused.
        detail: What belongs to the reason, such as the earlier line.
    """

    line: int
    column: str
    title: str
    value: str
    reason: Reason
    detail: str = ""
    sheet: str = ""

    def message(self, language: str) -> str:
        """Return the reason for people, in `vi` or `en`."""
        text = _TEXTS[self.reason][1 if language == "en" else 0]
        return f"{text} {self.detail}" if self.detail else text


def shortened(value: object) -> str:
    """Return a value as a report shows it: one line of at most 40 characters that steers no terminal."""
    text = "" if value is None else str(value)
    plain = "".join(map(_shown, text[: LONGEST_VALUE + 1]))
    return plain if len(text) <= LONGEST_VALUE else plain[: LONGEST_VALUE - 1] + "…"


def _shown(char: str) -> str:
    if char in "\t\r\n":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char


def letter_of(position: int) -> str:
    """Return the letter of a column, from 0: A, B, … Z, AA, and so on."""
    letters = ""
    number = position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, for every cell that we export.

    A leading = + - @, tab or carriage return gets an apostrophe before it, as OWASP advises.
    """
    return f"'{text}" if text.lstrip(" ")[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
