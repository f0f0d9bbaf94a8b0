"""Names of persons in lower-case text without punctuation.

Nothing marks a name there, and half the given names are ordinary words ("hoa", "mai",
"bình"). So a name needs a reason from outside and one from inside: an introduction
("tên là"), a title ("chị") or a surname before it, and syllables that are known to be
names or are no words of ordinary talk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from inference import name_words as words
from inference.full_names import full_name_end, minority_name_end
from inference.introduced_names import introduced_name_end
from inference.lexicon import Lexicon, lexicon
from inference.name_extent import is_word, name_end, word_at
from inference.redaction_spans import Kind, Span
from inference.titled_names import asked_name_end, birth_rank_end, titled_name_end

_AND: Final = frozenset({"và", "với", "cùng", "hay", "hoặc", "thành", "sang"})
_RENAMES: Final = frozenset({"thành", "sang"})
_RENAMED_REACH: Final = 7


def _renamed_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of an old or a new name at `at` ("đổi tên từ hoàn thành hoàng"), or 0."""
    if words.RENAMED.length_before(tokens, at):
        ends = [
            end for end in range(at + 1, min(at + _RENAMED_REACH, len(tokens) - 1)) if tokens[end] in _RENAMES
        ]
        return ends[-1] if ends else 0
    since = tokens[max(0, at - _RENAMED_REACH) : at]
    if (
        at == 0
        or tokens[at - 1] not in _RENAMES
        or not any(words.RENAMED.length_before(since, end) for end in range(1, len(since)))
    ):
        return 0
    return name_end(tokens, at, lex) if tokens[at] not in words.NAME_STOP else 0


_READERS: Final[tuple[Callable[[Sequence[str], int, Lexicon], int], ...]] = (
    _renamed_end,
    introduced_name_end,
    full_name_end,
    minority_name_end,
    titled_name_end,
    birth_rank_end,
    asked_name_end,
)
"""Each returns the end of a name that begins at an index, or 0; the surest first."""


def find_names(tokens: Sequence[str]) -> tuple[Span, ...]:
    """Find the names of persons; titles stay outside."""
    return tuple(_names(tokens, lexicon()))


def _names(tokens: Sequence[str], lex: Lexicon) -> Iterator[Span]:
    at = named = 0
    while at < len(tokens):
        end = 0
        if is_word(tokens[at]):
            end = next((end for reader in _READERS if (end := reader(tokens, at, lex))), 0)
            if not end and named and at == named + 1 and tokens[at - 1] in _AND:
                end = _one_more(tokens, at, lex)
        if end:
            yield Span(Kind.NAME, at, end)
            named = end
        at = end or at + 1


def _one_more(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a second name after "và": "gia hân với gia huy"."""
    following = word_at(tokens, at + 1)
    two = tokens[at] in lex.middles and following in lex.title_given
    return at + 2 if two and (tokens[at], following) not in lex.ordinary_pairs else 0
