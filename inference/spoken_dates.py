"""Dates as people say them: "ngày mười hai tháng ba năm một chín tám lăm".

The word for year is also the digit five, and months and years run into each other, so a
date is read by its own small grammar before numbers are. A date is only one when its
number words end with it: what goes on is an identifier that happens to begin like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inference.spoken_numbers import NUMBER_WORDS, digits_of, is_number_word, restored

_UNITS: Final = NUMBER_WORDS - {"không", "hông"}
_DAY_WORDS: Final = frozenset({"ngày", "mùng", "mồng", "hôm", "rằm"})
_MONTHS: Final = _UNITS | {"giêng", "chạp", "mười"}
_CALENDAR: Final = frozenset({"âm", "dương", "lịch"})
_DEICTIC: Final = frozenset({"này", "sau", "trước", "tới", "vừa", "rồi", "nay"})
_THOUSAND: Final = frozenset({"nghìn", "ngàn"})
_CENTURIES: Final = ("18", "19", "20")
_FULL_YEAR: Final = 4
_SHORT_YEAR: Final = 2
_DAY_TOKENS: Final = 3
_LAST_DAY: Final = 31
_LAST_MONTH: Final = 12
_YEAR_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class SpokenDate:
    """A date in a sequence of tokens.

    Attributes:
        start: Index of its first token.
        end: Index after its last token.
        year: The year as heard, "1985" or "85"; "" where none was said.
        month: Whether a month was said.
    """

    start: int
    end: int
    year: str
    month: bool


def find_dates(tokens: Sequence[str]) -> tuple[SpokenDate, ...]:
    """Find the dates in a sequence of lower-case tokens, in order and without overlap."""
    read = restored(tokens)
    dates: list[SpokenDate] = []
    at = least = 0
    while at < len(read):
        found = _with_month(read, at, least) or _written(read, at) or _year_alone(read, at)
        if found is None:
            at += 1
            continue
        dates.append(found)
        at = least = found.end
    return tuple(dates)


def _with_month(tokens: Sequence[str], at: int, least: int) -> SpokenDate | None:
    start = _day_start(tokens, at, least) if tokens[at] == "tháng" else None
    if start is None:
        return None
    if at + 1 < len(tokens) and tokens[at + 1] in _DEICTIC:
        return SpokenDate(start, at + 2, "", month=True) if start < at else None
    end = _month_end(tokens, at + 1)
    if end == at + 1:
        return None
    while end < len(tokens) and tokens[end] in _CALENDAR:
        end += 1
    marked = end + (end < len(tokens) and tokens[end] == "năm")
    for begin in (marked, end):
        year_end = _number_end(tokens, begin)
        year = _year(tokens[begin:year_end])
        if year:
            return SpokenDate(start, year_end, year, month=True)
    goes_on = _number_end(tokens, end) > end
    return None if goes_on else SpokenDate(start, end, "", month=True)


def _day_start(tokens: Sequence[str], at: int, least: int) -> int | None:
    """Return where the day before "tháng" begins (`at` without one), None if it is no day."""
    start = at
    while start > least and is_number_word(tokens[start - 1]):
        start -= 1
        if at - start > _DAY_TOKENS:
            return None
    if start < at:
        day = digits_of(tokens[start:at])
        if not day or int(day) > _LAST_DAY:
            return None
    while start > least and tokens[start - 1] in _DAY_WORDS:
        start -= 1
    return start


def _month_end(tokens: Sequence[str], at: int) -> int:
    if at >= len(tokens):
        return at
    word = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    if (word == "mười" and following in {"một", "hai"}) or (word == "không" and following in _UNITS):
        return at + 2
    return at + (word in _MONTHS or (word.isdecimal() and int(word) <= _LAST_MONTH))


def _number_end(tokens: Sequence[str], at: int) -> int:
    """Return the index after the number words at `at`; `at` plus nine at most."""
    end = at
    while end < len(tokens) and end - at <= _YEAR_TOKENS and is_number_word(tokens[end]):
        end += 1
    return end


def _year(words: Sequence[str]) -> str:
    """Return the digits of a year, "" where the words are none."""
    if not words or len(words) > _YEAR_TOKENS:
        return ""
    digits = digits_of(words)
    if any(word in _THOUSAND for word in words):
        return digits if digits[:1] in {"1", "2"} and len(digits) <= _FULL_YEAR else ""
    if len(digits) == _FULL_YEAR and digits[:2] in _CENTURIES:
        return digits
    return digits if len(digits) == _SHORT_YEAR else ""


def _written(tokens: Sequence[str], at: int) -> SpokenDate | None:
    """Read "22 11 2025" (the signs between are gone)."""
    parts = tokens[at : at + 3]
    whole = len(parts) == _DAY_TOKENS and all(part.isdecimal() for part in parts)
    if not whole or len(parts[2]) != _FULL_YEAR or parts[2][:2] not in _CENTURIES:
        return None
    end = at + 3
    goes_on = (end < len(tokens) and is_number_word(tokens[end])) or (
        at > 0 and is_number_word(tokens[at - 1])
    )
    if goes_on or int(parts[0]) > _LAST_DAY or int(parts[1]) > _LAST_MONTH:
        return None
    start = at - (at > 0 and tokens[at - 1] in _DAY_WORDS)
    return SpokenDate(start, end, parts[2], month=True)


def _year_alone(tokens: Sequence[str], at: int) -> SpokenDate | None:
    """Read "năm hai không hai lăm"; two digits after "năm" are a count as often as a year."""
    if tokens[at] != "năm" or (at > 0 and is_number_word(tokens[at - 1])):
        return None
    end = _number_end(tokens, at + 1)
    year = _year(tokens[at + 1 : end])
    long_enough = len(year) == _FULL_YEAR or any(word in _THOUSAND for word in tokens[at + 1 : end])
    return SpokenDate(at, end, year, month=False) if year and long_enough else None
