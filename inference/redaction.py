"""Take out who somebody is before anything else sees the text.

The input is what a recogniser gives: lower case, no punctuation, numbers as words.
Numbers that identify, names, addresses, dates of birth and e-mail addresses become
fixed tokens such as `<số>`. Amounts, durations and counts stay ("hai tiếng", "năm
mươi nghìn"): they are evidence and name nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference.birth_dates import find_births
from inference.identifying_numbers import find_numbers
from inference.person_names import find_names
from inference.redaction_spans import STAND_INS, Kind, Span, Token, tokenise
from inference.spoken_addresses import find_addresses
from inference.spoken_dates import find_dates
from inference.spoken_emails import find_emails

__all__ = ["Kind", "Redacted", "Span", "Token", "redact", "tokenise"]


@dataclass(frozen=True, slots=True)
class Redacted:
    """A redacted text.

    Attributes:
        text: The text with a fixed token for each span; what may be handed on.
        spans: What was taken out, as indices into `tokens`.
        tokens: The words of the input with their places in it.
    """

    text: str
    spans: tuple[Span, ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word that stays, or a stand-in, with the words of the input that it covers."""

    text: str
    key: str
    start: int
    end: int
    redacted: bool


def redact(text: str, *, spoken_numbers: bool = True) -> Redacted:
    """Replace what identifies a person by fixed tokens.

    Redacting the result again changes nothing: the text is read anew, with the stand-ins
    in it, until a reading finds nothing more. Every reading takes words away, so this ends.

    Args:
        text: An utterance; lower case without punctuation, or written text.
        spoken_numbers: Read number words. Without it only written digits count;
            kept to show in the evaluation what the normalisation is worth.
    """
    tokens = tokenise(text)
    pieces = [_Piece(token.text, token.key, at, at + 1, redacted=False) for at, token in enumerate(tokens)]
    taken: list[Span] = []
    while True:
        found = _found([piece.key for piece in pieces], spoken_numbers=spoken_numbers)
        new = [span for span in found if not _stands(pieces, span)]
        if not new:
            break
        taken += [Span(span.kind, pieces[span.start].start, pieces[span.end - 1].end) for span in new]
        pieces = _replaced(pieces, new)
    spans = tuple(sorted(taken, key=lambda span: span.start))
    return Redacted(" ".join(piece.text for piece in _merged(pieces)), spans, tokens)


def _found(tokens: Sequence[str], *, spoken_numbers: bool) -> list[Span]:
    """Return the spans of one reading, in order and without overlap; the surest kinds first."""
    dates = find_dates(tokens) if spoken_numbers else ()
    births = find_births(tokens, dates) if spoken_numbers else ()
    free = [(date.start, date.end) for date in dates]
    covered = bytearray(len(tokens))
    spans: list[Span] = []

    def take(found: Iterable[Span]) -> None:
        for span in found:
            # What overlaps an earlier span goes in pieces: nothing found may stay.
            start = span.start
            for at in range(span.start, span.end + 1):
                if at == span.end or covered[at]:
                    if at > start:
                        spans.append(Span(span.kind, start, at))
                    start = at + 1
            covered[span.start : span.end] = b"\1" * (span.end - span.start)

    take(find_emails(tokens))
    take(births)
    take(find_addresses(tokens))
    take(find_numbers(tokens, free, spoken=spoken_numbers))
    take(find_names(tokens))
    return sorted(spans, key=lambda span: span.start)


def _stands(pieces: Sequence[_Piece], span: Span) -> bool:
    """Tell whether a span is nothing but the stand-in of an earlier reading."""
    return span.end - span.start == 1 and pieces[span.start].redacted


def _replaced(pieces: Sequence[_Piece], spans: Sequence[Span]) -> list[_Piece]:
    """Put one stand-in for every span; stand-ins of one kind in a row become one."""
    result: list[_Piece] = []
    at = 0
    for span in spans:
        result += pieces[at : span.start]
        mark = span.kind.value
        result.append(_Piece(mark, mark, pieces[span.start].start, pieces[span.end - 1].end, redacted=True))
        at = span.end
    return _merged([*result, *pieces[at:]])


def _merged(pieces: Sequence[_Piece]) -> list[_Piece]:
    merged: list[_Piece] = []
    for piece in pieces:
        if merged and piece.text in STAND_INS and merged[-1].text == piece.text:
            merged[-1] = _Piece(piece.text, piece.key, merged[-1].start, piece.end, redacted=True)
        else:
            merged.append(piece)
    return merged
