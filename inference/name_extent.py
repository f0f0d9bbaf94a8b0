"""How far a name goes once its first syllable is known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from inference import name_words as words
from inference.lexicon import Lexicon
from inference.redaction_spans import STAND_INS
from inference.spoken_numbers import NUMBER_WORDS, is_number_word

_SYLLABLE: Final = re.compile(
    "(?:b|ch?|d|gh?|gi|h|kh?|l|m|ngh?|nh?|ph?|qu|r|s|t[hr]?|v|x)?[aeiouy]{1,3}(?:ch?|m|ngh?|nh?|p|t)?"
)
_LONGEST: Final = 5
_FULL: Final = 4
_GIVEN_ALONE: Final = 3
_WITH_MIDDLE: Final = 2
_SECOND: Final = frozenset({"anh", "bảo", "mai", "tư"})
"""Stop words that end a given name of two syllables: "minh anh"."""
_INTO: Final = "thành"
"""A given name, and the word between an old name and a new one."""


def is_word(token: str) -> bool:
    """Tell whether a token can be a syllable of a name at all."""
    return token not in STAND_INS and token.isalpha()


def is_vietnamese(token: str) -> bool:
    """Tell whether a token is spelled as a Vietnamese syllable can be."""
    flat = "".join(
        letter for letter in unicodedata.normalize("NFD", token) if not unicodedata.combining(letter)
    )
    return _SYLLABLE.fullmatch(flat.replace("đ", "d")) is not None


def word_at(tokens: Sequence[str], at: int) -> str:
    """Return the token at an index, "" beyond the end."""
    return tokens[at] if at < len(tokens) else ""


def changes_into(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether "thành" stands at `at` with another name after it ("… thành lê bảo trân")."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    surname = following in lex.sure_surnames or (following in lex.weak_surnames and third in lex.middles)
    return tokens[at] == _INTO and (surname or following in STAND_INS)


def name_end(tokens: Sequence[str], at: int, lex: Lexicon, *, unknown: bool = True) -> int:
    """Return the end of the name that begins at `at`.

    Args:
        tokens: Words.
        at: Index of the first syllable, which is taken for granted.
        lex: The lists.
        unknown: Whether syllables that are in no list belong to it.
    """
    end = at + 1
    while end < min(at + _LONGEST, len(tokens)) and _belongs(tokens, at, end, lex, unknown=unknown):
        end += 1
    return end


def _belongs(tokens: Sequence[str], start: int, at: int, lex: Lexicon, *, unknown: bool) -> bool:
    """Tell whether the token at `at` goes on with the name that begins at `start`."""
    token, before, following = tokens[at], tokens[at - 1], word_at(tokens, at + 1)
    count = at - start
    next_person = count > _WITH_MIDDLE and (
        (token in lex.sure_surnames and following in lex.sure_middles)
        or (token == tokens[start] and following in lex.middles)
    )
    number = token in NUMBER_WORDS and is_number_word(following) and before not in lex.sure_middles
    if not is_word(token) or changes_into(tokens, at, lex) or next_person or number:
        return False
    if (before in words.TONELESS_MIDDLES and count == _WITH_MIDDLE) or _closes_a_full_name(
        tokens, start, at, lex
    ):
        return True
    if before in lex.sure_middles and count < _FULL:
        return token not in words.NAME_STOP or token in lex.given
    if token in words.NAME_STOP or token in NUMBER_WORDS:
        return _stop_word_belongs(tokens, start, at, lex)
    surname = lex.is_surname(tokens[start]) or tokens[start + 1] in lex.sure_middles
    if token in lex.leads and len(token) == 1 and is_word(following) and following not in words.NAME_STOP:
        return not surname or count <= _WITH_MIDDLE
    compound = (token, following) in lex.ordinary_pairs and (count >= _WITH_MIDDLE or not surname)
    strange = before not in lex.ordinary and before not in lex.given and not following
    known = _is_listed(tokens, start, at, lex) or (unknown and (strange or token not in lex.ordinary))
    long_enough = count >= (_FULL if surname else _GIVEN_ALONE) and token in lex.ordinary - lex.sure_given
    return known and not compound and not long_enough


def _closes_a_full_name(tokens: Sequence[str], start: int, at: int, lex: Lexicon) -> bool:
    """Tell whether any word at `at` is the given name that a surname and a middle name wait for.

    "trần quang khoản", "ngô trúc vụ": a middle name hardly ends a name, so the word after it
    does where the sentence or the thought ends with it.
    """
    if at - start != _WITH_MIDDLE or tokens[start] not in lex.sure_surnames | lex.weak_surnames:
        return False
    middle, token, following = tokens[at - 1], tokens[at], word_at(tokens, at + 1)
    if middle not in lex.middles or token in words.NAME_STOP or token in NUMBER_WORDS:
        return False
    return not following or following in words.AFTER_FULL_NAME


def _is_listed(tokens: Sequence[str], start: int, at: int, lex: Lexicon) -> bool:
    token, count = tokens[at], at - start
    if token in lex.given or token in lex.middles or token in lex.sure_surnames:
        return True
    double = (
        lex.is_surname(tokens[start]) and token in lex.weak_surnames and word_at(tokens, at + 1) in lex.given
    )
    return count == 1 and (token in lex.particles or double)


def _stop_word_belongs(tokens: Sequence[str], start: int, at: int, lex: Lexicon) -> bool:
    """Tell whether a word that usually ends a name stands where only a name can be.

    In the middle of a full name ("nguyễn anh tuấn"), at its end ("phan thị khánh an"), or
    as the second half of a given name ("minh anh").
    """
    token, before, following = tokens[at], tokens[at - 1], word_at(tokens, at + 1)
    surname, count = lex.is_surname(tokens[start]), at - start
    if not surname:
        return count == 1 and token in _SECOND and (before in lex.middles or before in lex.sure_given)
    if before in words.BIRTH_RANKS and count == _GIVEN_ALONE:
        return (token in words.ROLES and not following) or (
            token in lex.kin_numbers and not is_number_word(following)
        )
    if count >= _FULL or not _is_listed(tokens, start, at, lex):
        return False
    pair = (token, following) in lex.ordinary_pairs
    stands = following not in words.NAME_STOP or not word_at(tokens, at + 2)
    inside = count <= _WITH_MIDDLE and following in lex.given and stands and not pair
    reads_on = token in words.NAME_STOP and (
        following not in words.NAME_STOP or pair or token in NUMBER_WORDS
    )
    # "dương quốc bảo": better one verb too many gone than the end of a name left.
    last = count == _WITH_MIDDLE and before in lex.middles and token in lex.given
    return inside or last or (count >= _WITH_MIDDLE and (not following or not reads_on))
