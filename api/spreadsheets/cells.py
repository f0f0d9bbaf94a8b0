"""Values of cells as offices write them, turned into what they mean, or into the reason why not."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from typing import Final

from api.spreadsheets.faults import Reason

EARLIEST: Final = date(2000, 1, 1)
"""No ballot or transaction is older; an earlier day is a slip."""
_EPOCH_1900: Final = date(1899, 12, 30)
_EPOCH_1904: Final = date(1904, 1, 1)
_SERIALS: Final = range(30_000, 80_000)
"""Days of Excel that may be meant: 1982 to 2119, so a plain number is no day by accident."""
_EXACT: Final = 10**15
"""Spreadsheets keep fifteen digits of a number."""
_INVISIBLE: Final = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060"))
_SPACES: Final = re.compile(r"\s+")
_CODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_TRANSACTION: Final = re.compile(r"[0-9A-Z][0-9A-Z./_-]{1,62}[0-9A-Z]")
_ISO: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?")
_DAY_FIRST: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{2}|\d{4})(?: +\d{1,2}:\d{2}(?::\d{2})?)?")
_SCIENTIFIC: Final = re.compile(r"\d+[.,]?\d*E\+?\d+", re.IGNORECASE)
_YES: Final = frozenset({"co", "yes", "y", "x", "true", "1", "da gop y"})
_NO: Final = frozenset({"khong", "no", "n", "false", "0"})


class Formula(str):
    """A cell that holds a formula instead of a value."""

    __slots__ = ()


class BrokenCell(str):
    """A cell that shows an error, such as #REF!."""

    __slots__ = ()


class Nested(str):
    """A list or an object where one value should stand, as JSON may have it."""

    __slots__ = ()


CellValue = str | int | float | bool | datetime | date | time | timedelta | None


class CellError(Exception):
    """A cell that means nothing here; `reason` says why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Keep why."""
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def text_of(value: CellValue) -> str:
    """Return a cell as text: composed (NFC), without invisible characters and needless spaces.

    Raises:
        CellError: It is a formula or an error, or holds characters that could not be read.
    """
    if isinstance(value, str):
        if isinstance(value, Formula):
            raise CellError(Reason.FORMULA)
        if isinstance(value, BrokenCell):
            raise CellError(Reason.BROKEN_CELL)
        if isinstance(value, Nested):
            raise CellError(Reason.NOT_ONE_VALUE)
        if value.isascii() and value.isalnum():
            return value
        return _plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value)


def is_empty(value: CellValue) -> bool:
    """Tell whether nothing stands in a cell; what cannot be read is something."""
    if value is None:
        return True
    if isinstance(value, str) and value[:1].isalnum():
        return False
    return isinstance(value, str) and not value.translate(_INVISIBLE).strip().lstrip("'")


def folded(text: str) -> str:
    """Return a text by which titles and words are compared: no case, no marks, only letters and digits."""
    bare = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join(
        re.sub(r"[^a-z0-9]+", " ", "".join(c for c in bare if not unicodedata.combining(c))).split()
    )


def code_of(value: CellValue) -> str:
    """Return a code; capitals become small letters.

    Raises:
        CellError: It is none.
    """
    code = text_of(value).casefold()
    if not _CODE.fullmatch(code):
        raise CellError(Reason.NOT_A_CODE)
    return code


def day_of(value: CellValue, *, today: date, epoch_1904: bool = False, earliest: date = EARLIEST) -> date:
    """Return a day: a date of the spreadsheet, its serial number, day/month/year or year-month-day.

    Raises:
        CellError: It is none, or lies before `earliest` or after `today`.
    """
    day = _day(value, epoch_1904=epoch_1904)
    if day < earliest:
        raise CellError(Reason.DAY_TOO_EARLY)
    if day > today:
        raise CellError(Reason.DAY_IN_FUTURE)
    return day


def _day(value: CellValue, *, epoch_1904: bool) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, bool | time | timedelta):
        raise CellError(Reason.NOT_A_DAY)
    if isinstance(value, int | float):
        return _of_serial(value, epoch_1904=epoch_1904)
    text = text_of(value)
    if text.isdecimal() and text.isascii():
        return _of_serial(int(text), epoch_1904=epoch_1904)
    if found := _ISO.fullmatch(text):
        year, month, day = found.groups()
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = found.groups()
        if len(year) != len("2026"):
            raise CellError(Reason.SHORT_YEAR)
    else:
        raise CellError(Reason.NOT_A_DAY)
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise CellError(Reason.NO_SUCH_DAY) from None


def _of_serial(number: float, *, epoch_1904: bool) -> date:
    if int(number) not in _SERIALS:
        raise CellError(Reason.NOT_A_DAY)
    return (_EPOCH_1904 if epoch_1904 else _EPOCH_1900) + timedelta(days=int(number))


def count_of(value: CellValue) -> int:
    """Return a positive whole number.

    Raises:
        CellError: It is none.
    """
    text = text_of(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal()) or not 0 < int(text[:10]) < 10**8:
        raise CellError(Reason.NOT_A_COUNT)
    if len(text.lstrip("0")) > len(str(10**8)):
        raise CellError(Reason.NOT_A_COUNT)
    return int(text)


def yes_or_no(value: CellValue) -> bool:
    """Return yes or no as people write it.

    Raises:
        CellError: It is neither.
    """
    word = folded(text_of(value))
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise CellError(Reason.NOT_YES_OR_NO)


def transaction_of(value: CellValue) -> str:
    """Return a transaction number in the one spelling that is digested: capitals, no spaces.

    Raises:
        CellError: It is none, or the spreadsheet rounded it.
    """
    if isinstance(value, bool | datetime | date | time | timedelta):
        raise CellError(Reason.NOT_A_TRANSACTION)
    if isinstance(value, int | float) and abs(value) >= _EXACT:
        raise CellError(Reason.DIGITS_LOST)
    text = text_of(value).replace(" ", "").upper()
    if _SCIENTIFIC.fullmatch(text):
        raise CellError(Reason.DIGITS_LOST)
    if not _TRANSACTION.fullmatch(text):
        raise CellError(Reason.NOT_A_TRANSACTION)
    return text


def _plain(value: str) -> str:
    if "\N{REPLACEMENT CHARACTER}" in value:
        raise CellError(Reason.BAD_ENCODING)
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", value.translate(_INVISIBLE))).strip()
    if any(unicodedata.category(char) in {"Cc", "Cs", "Co"} for char in text):
        raise CellError(Reason.CONTROL_CHARACTER)
    return text.removeprefix("'").lstrip() if text.startswith("'") else text
