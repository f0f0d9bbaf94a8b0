"""Dates of birth in a text, and dates that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inference import redaction_words as words
from inference.redaction_spans import Kind, Span
from inference.spoken_dates import SpokenDate
from inference.spoken_numbers import digits_of, is_number_word

_LAST_CENTURY: Final = ("18", "19")
_FULL_YEAR: Final = 4
_SHORT_YEAR: Final = 2
_SURELY_PAST: Final = 40
"""A year of two digits from here on, with day or month, is of the last century."""
_REACH: Final = 6
_BOUND_DAYS: Final = frozenset({"rằm", "giêng", "chạp"})


def find_births(tokens: Sequence[str], dates: Sequence[SpokenDate]) -> tuple[Span, ...]:
    """Find the dates of birth: after "sinh" or "đẻ", or with a month of the last century.

    Args:
        tokens: Words, lower case.
        dates: What `find_dates` found in them.
    """
    return tuple(_births(tokens, dates))


def _births(tokens: Sequence[str], dates: Sequence[SpokenDate]) -> Iterator[Span]:
    past = 0
    starting = {date.start: date for date in dates}
    for at in range(len(tokens)):
        if at < past:
            continue
        date = starting.get(at)
        # "từ … thành …": a date beside a date of birth that was corrected.
        beside = past == at - 1 and at > 1 and tokens[at - 1] in words.INSTEAD
        if date is not None and (beside or _last_century(date) or _said_after(tokens, date.end)):
            past = date.end
            yield Span(Kind.BIRTH, at, past)
        elif _is_cue(tokens, at):
            span = _after_cue(tokens, at + 1, starting)
            if span is not None:
                past = span.end
                yield span


def _last_century(date: SpokenDate) -> bool:
    if not date.month or not date.year:
        return False
    if len(date.year) == _FULL_YEAR:
        return date.year.startswith(_LAST_CENTURY)
    return len(date.year) == _SHORT_YEAR and int(date.year) >= _SURELY_PAST


def _said_after(tokens: Sequence[str], end: int) -> bool:
    """Tell whether "là ngày sinh" follows."""
    return "sinh" in tokens[end : end + 3] and bool({"ngày", "năm"} & set(tokens[end : end + 3]))


def _is_cue(tokens: Sequence[str], at: int) -> bool:
    if tokens[at] == "đời":
        return at > 0 and tokens[at - 1] == "chào"
    if tokens[at] not in {"sinh", "đẻ"}:
        return False
    before = tokens[at - 1] if at else ""
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    return before not in words.NOT_BIRTH_BEFORE and after not in words.NOT_BIRTH_AFTER


def _after_cue(tokens: Sequence[str], at: int, dates: dict[int, SpokenDate]) -> Span | None:
    """Return the date, or the bare number words, shortly after "sinh"."""
    start = at
    while start < min(at + _REACH, len(tokens)):
        if start in dates:
            return Span(Kind.BIRTH, start, _greedy_end(tokens, dates[start].end))
        if is_number_word(tokens[start]) or tokens[start] in _BOUND_DAYS:
            # "năm" is the word for year here; it belongs to the date.
            break
        if tokens[start] not in words.BIRTH_SKIP:
            return None
        start += 1
    end = _greedy_end(tokens, start)
    if end == start:
        return None
    following = tokens[end] if end < len(tokens) else ""
    if end - start == 1 and (following in words.UNITS or tokens[start] in {"năm", "không"}):
        return None
    while start > at and tokens[start - 1] in words.DATE_WORDS:
        start -= 1
    return Span(Kind.BIRTH, start, end)


def _greedy_end(tokens: Sequence[str], start: int) -> int:
    end = start
    while end < len(tokens) and (is_number_word(tokens[end]) or tokens[end] in words.DATE_WORDS):
        end += 1
    # "năm một chín ba bảy không nhớ ngày": no zero where the year is whole without it.
    if (
        end < len(tokens)
        and tokens[end - 1] == "không"
        and len(digits_of(tokens[start:end])) == _FULL_YEAR + 1
    ):
        end -= 1
    while end > start and not is_number_word(tokens[end - 1]) and tokens[end - 1] not in words.LUNAR:
        end -= 1
    return end
