"""Given names after a title ("chị lan"), and orders of birth that people are called by ("chú năm")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inference import name_words as words
from inference.lexicon import Lexicon
from inference.name_extent import is_vietnamese, is_word, word_at
from inference.spoken_numbers import NUMBER_WORDS

_CHILDISH: Final = frozenset({"cu", "bé"})
_YOUNGER: Final = frozenset({"con", "cháu", "em"})
_SEVERAL: Final = frozenset({"các", "mấy", "cả", "những", "hai"})


def titled_name_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a given name at `at` after a title, or 0."""
    if not words.TITLES.length_before(tokens, at) or words.TITLES.length_at(tokens, at - 1) > 1:
        return 0
    token, following = tokens[at], word_at(tokens, at + 1)
    strange = _strange_end(tokens, at, lex)
    if (token, following) in lex.ordinary_pairs or token in NUMBER_WORDS or token in words.ROLES - _CHILDISH:
        return 0
    if tokens[at - 1] == "thằng" and token in _CHILDISH:
        return at + 2 if following and following not in lex.ordinary - lex.given else 0
    two = _has_second(tokens, at, lex)
    closed = not following or following in words.CLOSERS
    if token in lex.title_given:
        bare = not two and following not in words.ENDINGS
        verb = bare and bool(following) and token in words.NO_NAME_AFTER_TITLE
        unsure = tokens[at - 1] in _YOUNGER and token in words.TRAITS
        verb = verb or (unsure and not closed and not two)
        return 0 if verb else at + 1 + two
    if token in lex.middles and two and following in lex.sure_given:
        return at + 2
    unheard = token not in lex.ordinary and token not in words.NAME_STOP and not lex.is_surname(token)
    alone = unheard and closed and tokens[at - 1] not in _YOUNGER
    return at + 1 if alone or _is_called(tokens, at, lex) else strange


def _strange_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a name that no Vietnamese word looks like ("pơloong plênh", "thị nang"), or 0."""
    token, following = tokens[at], word_at(tokens, at + 1)
    paired = (token, following) in lex.ordinary_pairs
    if token == "thị" and is_word(following) and not paired:  # noqa: S105 - a particle of names
        return at + 2 if following not in words.NAME_STOP and following not in NUMBER_WORDS else 0
    end = at
    while end < len(tokens) and tokens[end] not in lex.ordinary and not is_vietnamese(tokens[end]):
        end += 1
    return end if end > at and is_word(tokens[at]) else 0


def _is_called(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether the words around make any word at `at` a name: "chị kính ơi", "nhờ anh trực"."""
    token, following = tokens[at], word_at(tokens, at + 1)
    if token in words.NOT_CALLED or not is_word(token):
        return False
    if following == "nhà" and tokens[at - 1] in {"con", "thằng"}:
        # "con bưởi nhà tôi": nobody says that of a fruit.
        return token in lex.given and token not in words.ROLES
    if following == "ơi":
        return token in lex.given or token not in words.NAME_STOP | words.ROLES
    if token not in lex.given or token in words.ROLES:
        return False
    return following in words.SAYING or words.MEETING.length_before(tokens, at - 1) > 0


def _has_second(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether the name at `at` has a second syllable ("chị bích hợp", "em ngọc anh")."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    if following == "anh":
        return tokens[at] in lex.sure_given & lex.middles
    if following not in lex.given or following in words.NAME_STOP or (following, third) in lex.ordinary_pairs:
        return False
    return following in lex.sure_given or not third or third in words.CLOSERS or following not in lex.ordinary


def asked_name_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a given name of two syllables that somebody was met by ("gặp lan anh"), or 0."""
    following = word_at(tokens, at + 1)
    if at == 0 or tokens[at - 1] not in words.ASKED or tokens[at] not in lex.sure_given & lex.middles:
        return 0
    given = following in lex.title_given or following in {"anh", "như"}
    return at + 2 if given and (tokens[at], following) not in lex.ordinary_pairs else 0


def birth_rank_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of an order of birth at `at` that is a name, such as in "chú năm", or 0."""
    if at == 0 or tokens[at] not in lex.kin_numbers or tokens[at - 1] not in words.KIN_TITLES:
        return 0
    following = word_at(tokens, at + 1)
    before = tokens[at - 2] if at > 1 else ""
    if before in _SEVERAL or before in words.KIN_TITLES:
        return 0
    denied = following == "không" and word_at(tokens, at + 2) not in NUMBER_WORDS
    counted = (following in NUMBER_WORDS and not denied) or following in words.COUNTED
    if counted or (tokens[at], following) in lex.ordinary_pairs:
        return 0
    second = (following, word_at(tokens, at + 2)) not in lex.ordinary_pairs and following in lex.given
    second = second and following not in words.NAME_STOP and following not in NUMBER_WORDS
    unheard = bool(following) and following not in lex.ordinary and is_word(following)
    return at + 1 + (second or unheard)
