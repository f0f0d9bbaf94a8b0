"""E-mail addresses, written or spoken ("nam nguyễn a còng gờ meo chấm com")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inference import redaction_words as words
from inference.redaction_spans import STAND_INS, Kind, Span

_MAX_LOCAL: Final = 16
_MAX_DOMAIN: Final = 8
_PERSONS: Final = frozenset({"anh", "em", "tôi", "con"})


def find_emails(tokens: Sequence[str]) -> tuple[Span, ...]:
    """Find e-mail addresses; a written one is a token of its own already."""
    return tuple(_emails(tokens))


def _emails(tokens: Sequence[str]) -> Iterator[Span]:
    past = 0
    for at, token in enumerate(tokens):
        if at < past:
            continue
        if token == Kind.EMAIL.value:
            past = at + 1
            yield Span(Kind.EMAIL, at, past)
            continue
        length = words.EMAIL_AT.length_at(tokens, at)
        end = _domain_end(tokens, at + length) if length else at
        if end <= at + length:
            continue
        start = at
        while start > past and at - start < _MAX_LOCAL and _is_local(tokens, start - 1, past):
            start -= 1
        past = end
        yield Span(Kind.EMAIL, start, end)


def _is_local(tokens: Sequence[str], at: int, past: int) -> bool:
    """Tell whether a word belongs to the part before the sign; "anh" does after a letter or a name."""
    if tokens[at] in STAND_INS or tokens[at] not in words.EMAIL_STOP:
        return tokens[at] not in STAND_INS
    return tokens[at] in _PERSONS and at > past and tokens[at - 1] not in words.EMAIL_STOP | STAND_INS


def _domain_end(tokens: Sequence[str], at: int) -> int:
    """Return the end of the words of a domain: known ones, or any up to the last "chấm"."""
    end = at
    while end < len(tokens) and tokens[end] in words.EMAIL_DOMAIN:
        end += 1
    if end > at:
        return end
    dots = [index for index in range(at, min(at + _MAX_DOMAIN, len(tokens))) if tokens[index] == "chấm"]
    return min(dots[-1] + 2, len(tokens)) if dots else at
