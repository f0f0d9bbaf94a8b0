"""Names that somebody announces: "tên tôi là …", "em là …", "họ tên chồng …"."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from inference import name_words as words
from inference.full_names import minority_name_end, with_particle
from inference.lexicon import Lexicon
from inference.name_extent import changes_into, is_word, name_end, word_at
from inference.redaction_spans import STAND_INS

_ROLE_REACH: Final = 4
_NOUN_REACH: Final = 6
_FOREIGN: Final = 3
_COPULAS: Final = frozenset({"là", "thì"})
_ADDRESSED: Final = frozenset({"ông", "bà", "anh", "chị"})


class _Announced(IntEnum):
    """How surely the words before announce a name."""

    NOT = 0
    BY_NOUN = 1  # "tên tôi"
    BY_COPULA = 2  # "tên tôi là", "tôi là"


def introduced_name_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a name at `at` that the words before announce, or 0."""
    announced = _announced(tokens, at)
    if announced is _Announced.NOT or changes_into(tokens, at, lex):
        return 0
    token, following = tokens[at], word_at(tokens, at + 1)
    closed = not following or following in words.CLOSERS
    if announced is _Announced.BY_COPULA:
        if with_particle(tokens, at, lex):
            return name_end(tokens, at + 2, lex)
        if token in lex.title_given and closed:
            return name_end(tokens, at, lex)
    # "đổi từ họ lê sang họ trần": a surname by itself.
    alone = tokens[at - 1] == "họ" and lex.is_surname(token) and following not in lex.middles
    trade = announced is _Announced.BY_COPULA and not (_named(tokens, at) or _person_like(tokens, at, lex))
    if (alone and at > 1) or trade or not _may_begin(tokens, at, lex, announced):
        return at + 1 if alone and at > 1 else 0
    rest = tokens[at:]
    short = len(rest) <= _FOREIGN + (token in lex.minority_surnames)
    if _is_foreign(token, lex) and short and not set(rest) & words.NAME_STOP:
        return len(tokens) if all(is_word(word) for word in rest) else at + 1
    return max(name_end(tokens, at, lex), minority_name_end(tokens, at, lex))


def _announced(tokens: Sequence[str], at: int) -> _Announced:
    begin, copula = at, False
    while begin > 0 and tokens[begin - 1] in words.FILLERS:
        copula = copula or tokens[begin - 1] in _COPULAS
        begin -= 1
    if copula and words.PERSON_COPULAS.length_before(tokens, begin + 1):
        return _Announced.BY_COPULA
    while begin > 0 and at - begin < _NOUN_REACH and tokens[begin - 1] in _ADDRESSED:
        begin -= 1
        if begin and tokens[begin - 1] in words.FILLERS:
            copula = True
            begin -= 1
    if copula and words.PERSON_COPULAS.length_before(tokens, begin + 1):
        return _Announced.BY_COPULA
    owner = begin
    while owner > 0 and begin - owner < _ROLE_REACH and tokens[owner - 1] in words.ROLES:
        owner -= 1
    if not words.NAME_NOUNS.length_before(tokens, owner):
        return _Announced.NOT
    return _Announced.BY_COPULA if copula else _Announced.BY_NOUN


def _may_begin(tokens: Sequence[str], at: int, lex: Lexicon, announced: _Announced) -> bool:
    """Tell whether the token at `at` can be the first syllable of an announced name."""
    token, following = tokens[at], word_at(tokens, at + 1)
    if token in words.FILLERS or token in words.ROLES or token in words.NAME_STOP:
        goes_on = following in lex.given or (following.isalpha() and following not in lex.ordinary)
        if token not in lex.given or not goes_on or announced is not _Announced.BY_COPULA:
            return False
    if (token, following) in lex.ordinary_pairs or token in words.NOT_FIRST:
        return False
    if tokens[at - 1] == "tên" and token in lex.middles and following in lex.title_given:
        return True
    close = announced is _Announced.BY_COPULA or words.NAME_NOUNS.length_before(tokens, at) > 0
    strange = token not in lex.ordinary or (following.isalpha() and following not in lex.ordinary)
    return _is_known(token, lex) or (close and strange)


def _is_known(token: str, lex: Lexicon) -> bool:
    return token in lex.given or lex.is_surname(token) or token in lex.leads or token in lex.middles


def _is_foreign(token: str, lex: Lexicon) -> bool:
    strange = not _is_known(token, lex) or (token in lex.minority_surnames and token not in lex.given)
    return token not in lex.ordinary and token not in lex.sure_surnames and strange


def _named(tokens: Sequence[str], at: int) -> bool:
    """Tell whether "tên" or "họ" stands shortly before."""
    return bool({"tên", "họ"} & set(tokens[max(0, at - _NOUN_REACH) : at]))


def _person_like(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether what follows "tôi là" is a name and not a trade or a trait."""
    token, following = tokens[at], word_at(tokens, at + 1)
    if lex.is_surname(token) and lex.sounds_like_a_name(following) and following not in words.NAME_STOP:
        return (token, following) not in lex.ordinary_pairs
    if token not in lex.ordinary or (token in lex.kin_numbers and following in lex.sure_given):
        return True
    closed = not following or following in words.CLOSERS or following in STAND_INS
    if token in lex.middles and following in lex.title_given:
        return (token, following) not in lex.ordinary_pairs
    return token in lex.title_given and (closed or following in lex.title_given)
