"""Names that begin with a surname, or with a family name of another people of Vietnam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inference import name_words as words
from inference.lexicon import Lexicon
from inference.name_extent import is_word, name_end, word_at
from inference.redaction_spans import STAND_INS
from inference.spoken_numbers import NUMBER_WORDS

_FULL: Final = 4
_WITH_PARTICLE: Final = 3


def full_name_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a surname with middle and given names at `at`, or 0."""
    token, following = tokens[at], word_at(tokens, at + 1)
    # "đổi tên từ … sang …": a surname of its own, and the word "from".
    moved = words.RENAMED.length_before(tokens, at + 1) and following not in lex.sure_middles
    compound = moved or words.COMPOUND_ENDS.length_before(tokens, at + 1)
    if not following or following in STAND_INS or (token, following) in lex.ordinary_pairs or compound:
        return 0
    cued = _is_cued(tokens, at)
    third = word_at(tokens, at + 2)
    bare = (
        cued and token in words.TONELESS_SURNAMES and (following + third).isascii() and third not in STAND_INS
    )
    if _is_toneless(token, following):
        return name_end(tokens, at, lex)
    if bare and third and not {following, third} & words.NAME_STOP and following not in lex.ordinary:
        return max(at + len((token, following, third)), name_end(tokens, at, lex))
    if token in lex.sure_surnames:
        return name_end(tokens, at, lex) if _after_sure(tokens, at, lex, cued=cued) else 0
    if token in lex.weak_surnames and (
        _after_weak(tokens, at, lex, cued=cued) or _has_middle_and_given(tokens, at, lex)
    ):
        return name_end(tokens, at, lex)
    return 0


def _is_cued(tokens: Sequence[str], at: int) -> bool:
    return bool(words.INTRODUCTIONS.length_before(tokens, at) or words.TITLES.length_before(tokens, at))


def _is_toneless(token: str, following: str) -> bool:
    """Tell whether a surname was written without its marks, with a name after it."""
    if token not in words.TONELESS_SURNAMES:
        return False
    return following in words.TONELESS_MIDDLES or (token in {"nguyen", "huynh"} and following.isascii())


def _is_listed(tokens: Sequence[str], at: int, lex: Lexicon, *, cued: bool) -> bool:
    """Tell whether the token after the surname at `at` is a name syllable and no stop word here."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    listed = following in lex.given or following in lex.middles or following in lex.sure_surnames
    listed = listed or (cued and following in lex.weak_surnames and third in lex.title_given)
    return listed and (following not in words.NAME_STOP or third in lex.given)


def _after_sure(tokens: Sequence[str], at: int, lex: Lexicon, *, cued: bool) -> bool:
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    if following in lex.sure_middles and third and third not in STAND_INS:
        return True
    given_third = third in lex.title_given and (following, third) not in lex.ordinary_pairs
    unheard = cued and (following not in lex.ordinary or given_third) and following not in words.NAME_STOP
    return unheard or _is_listed(tokens, at, lex, cued=cued)


def _after_weak(tokens: Sequence[str], at: int, lex: Lexicon, *, cued: bool) -> bool:
    """Tell whether the syllables after a surname that is an ordinary word make it a name."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    if not _is_listed(tokens, at, lex, cued=cued):
        return False
    open_third = bool(third) and third not in words.NAME_STOP and third not in STAND_INS
    if following in lex.sure_middles and third:
        return third in lex.given or (open_third and (cued or third not in lex.ordinary))
    if cued and following in lex.sure_given:
        return True
    pair = (following, third) in lex.ordinary_pairs
    sure = following not in lex.ordinary or third in lex.sure_given
    return open_third and third in lex.given and sure and not pair


def _has_middle_and_given(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether a middle and a given name make a surname of an ordinary word: "tạ quang bình"."""
    token, following, third = tokens[at], word_at(tokens, at + 1), word_at(tokens, at + 2)
    if token in words.SELDOM_SURNAMES or lex.provinces.length_at(tokens, at + 1):
        return False
    pairs = ((token, following), (following, third), (third, word_at(tokens, at + 3)))
    if any(pair in lex.ordinary_pairs for pair in pairs) or not is_word(third):
        return False
    if following in {"thị", "văn"}:
        return third not in words.NAME_STOP and third not in NUMBER_WORDS
    return following in lex.middles and third in lex.title_given


def minority_name_end(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a name such as "giàng a páo", "y moan êban", "h hen niê", or 0."""
    token, following, third = tokens[at], word_at(tokens, at + 1), word_at(tokens, at + 2)
    if not following.isalpha() or following in NUMBER_WORDS:
        return 0
    family = token in lex.minority_surnames and token not in lex.ordinary
    first = at == 0 and following == "a" and word_at(tokens, at + _WITH_PARTICLE) in words.AFTER_FULL_NAME
    cued = _is_cued(tokens, at) and token not in words.NAME_STOP
    if with_particle(tokens, at, lex) and (family or first or cued or third not in lex.ordinary):
        return min(name_end(tokens, at + 2, lex), at + _FULL)
    clan = third in lex.minority_surnames and third not in lex.ordinary
    if (token in lex.leads and clan) or _is_cued_and_strange(tokens, at, lex):
        return name_end(tokens, at + 2, lex)
    open_lead = (family or token in lex.leads) and following not in lex.ordinary
    if family_with_middle(tokens, at, lex):
        return name_end(tokens, at, lex)
    if open_lead and (_is_cued(tokens, at) or clan or (family and following in lex.given)):
        return name_end(tokens, at + 1, lex)
    return 0


def _is_cued_and_strange(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether a title or "tên" makes a name of a family name that ends unheard: "chị chảo mùi pham"."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    strange = is_word(third) and third not in lex.ordinary and following not in words.NAME_STOP
    return strange and tokens[at] in lex.minority_surnames and _is_cued(tokens, at)


def family_with_middle(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether a family name has a middle name of the Kinh and a given name: "lò văn hiền"."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    if tokens[at] not in lex.minority_surnames - words.NAME_STOP - {"già", "hờ", "bàn"}:
        return False
    given = third in lex.given or third not in lex.ordinary
    pair = (following, third) in lex.ordinary_pairs
    return (
        following in {"văn", "thị"} and is_word(third) and third not in words.NAME_STOP and given and not pair
    )


def with_particle(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether a family name, a particle and a given name follow each other ("giàng a páo")."""
    following, third = word_at(tokens, at + 1), word_at(tokens, at + 2)
    last = at + _WITH_PARTICLE == len(tokens)
    stopped = third in words.NAME_STOP and not last
    free = third.isalpha() and third not in NUMBER_WORDS and third not in STAND_INS
    return tokens[at] in lex.minority_surnames and following in lex.particles and free and not stopped
