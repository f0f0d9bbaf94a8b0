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
from inference.lexicon import Lexicon, lexicon
from inference.redaction_spans import STAND_INS, Kind, Span
from inference.spoken_numbers import NUMBER_WORDS

_LONGEST: Final = 5
_FULL: Final = 4
_SHORTEST: Final = 2
_ROLE_REACH: Final = 4
_CLOSE_BY: Final = 2
_TONELESS_MIDDLES: Final = frozenset({"van", "thi", "dinh", "huu"})
_SECOND: Final = frozenset({"anh", "bảo", "mai", "tư"})
"""Stop words that end a given name of two syllables: "minh anh"."""
_AND: Final = frozenset({"và", "với", "cùng"})


def find_names(tokens: Sequence[str]) -> tuple[Span, ...]:
    """Find the names of persons; titles stay outside."""
    return tuple(_names(tokens, lexicon()))


def _names(tokens: Sequence[str], lex: Lexicon) -> Iterator[Span]:
    readers: tuple[Callable[[Sequence[str], int, Lexicon], int], ...] = (
        _introduced,
        _full_name,
        _minority_name,
        _after_title,
        _by_order_of_birth,
    )
    at = named = 0
    while at < len(tokens):
        if not _is_word(tokens[at]):
            at += 1
            continue
        end = next((end for reader in readers if (end := reader(tokens, at, lex)) > at), at)
        if end == at and named and at == named + 1 and tokens[at - 1] in _AND:
            end = _one_more(tokens, at, lex)
        if end > at:
            yield Span(Kind.NAME, at, end)
            named = end
        at = max(end, at + 1)


def _one_more(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a second name after "và": "gia hân với gia huy"."""
    following = _next(tokens, at + 1)
    two = tokens[at] in lex.middles and following in lex.title_given
    return at + 2 if two and (tokens[at], following) not in lex.ordinary_pairs else at


def _is_word(token: str) -> bool:
    return token not in STAND_INS and token.isalpha()


def _next(tokens: Sequence[str], at: int) -> str:
    return tokens[at] if at < len(tokens) else ""


def _introduction(tokens: Sequence[str], at: int) -> int:
    """Tell what announces a name right before `at`: 0 nothing, 1 "tên tôi", 2 "tên tôi là"."""
    begin, copula = at, False
    while begin > 0 and tokens[begin - 1] in words.FILLERS:
        copula = copula or tokens[begin - 1] in {"là", "thì"}
        begin -= 1
    while begin > 0 and at - begin < _ROLE_REACH + 2 and tokens[begin - 1] in {"ông", "bà", "anh", "chị"}:
        begin -= 1
        if begin and tokens[begin - 1] in words.FILLERS:
            copula = True
            begin -= 1
    if copula and words.PERSON_COPULAS.length_before(tokens, begin + 1):
        return 2
    owner = begin
    while owner > 0 and begin - owner < _ROLE_REACH and tokens[owner - 1] in words.ROLES:
        owner -= 1
    if not words.NAME_NOUNS.length_before(tokens, owner):
        return 0
    return 2 if copula else 1


def _introduced(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a name that "tên là" announces, or 0."""
    strength = _introduction(tokens, at)
    if not strength:
        return 0
    token, following = tokens[at], _next(tokens, at + 1)
    closed = token in lex.title_given and (not following or following in words.CLOSERS)
    if closed and strength == _SHORTEST:
        return _extent(tokens, at, lex, unknown=True)
    if token in words.FILLERS or token in words.ROLES or token in words.NAME_STOP:
        if token not in lex.given or following not in lex.given or strength < _SHORTEST:
            return 0
    if (token, following) in lex.ordinary_pairs:
        return 0
    known = token in lex.given or lex.is_surname(token) or token in lex.leads or token in lex.middles
    foreign = token not in lex.ordinary
    named = bool(words.NAME_NOUNS.length_before(tokens, at)) or strength == _SHORTEST
    if not (known or foreign) or not named and not known:
        return 0
    if strength == _SHORTEST and not _after_name_noun(tokens, at) and not _person_like(tokens, at, lex):
        return 0
    rest = tokens[at : at + _FULL]
    if foreign and not known and len(tokens) - at <= _CLOSE_BY + 1 and not set(rest) & words.NAME_STOP:
        return len(tokens) if all(_is_word(word) for word in rest) else at + 1
    return max(_extent(tokens, at, lex, unknown=True), _minority_name(tokens, at, lex))


def _after_name_noun(tokens: Sequence[str], at: int) -> bool:
    return "tên" in tokens[max(0, at - _FULL - 2) : at] or "họ" in tokens[max(0, at - _FULL) : at]


def _person_like(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether what follows "tôi là" is a name and not a trade or a trait."""
    token, following = tokens[at], _next(tokens, at + 1)
    if lex.is_surname(token) and lex.sounds_like_a_name(following) and following not in words.NAME_STOP:
        return (token, following) not in lex.ordinary_pairs
    if token not in lex.ordinary:
        return True
    closed = not following or following in words.CLOSERS or following in STAND_INS
    return token in lex.title_given and (closed or following in lex.title_given)


def _extent(tokens: Sequence[str], at: int, lex: Lexicon, *, unknown: bool) -> int:
    """Return the end of the name that begins at `at`.

    Args:
        tokens: Words.
        at: Index of the first syllable, which is taken for granted.
        lex: The lists.
        unknown: Whether syllables that are in no list belong to it.
    """
    end = at + 1
    surname = lex.is_surname(tokens[at])
    while end < min(at + _LONGEST, len(tokens)):
        token, before, following = tokens[end], tokens[end - 1], _next(tokens, end + 1)
        if not _is_word(token):
            break
        count = end - at
        listed = token in lex.given or token in lex.middles or token in lex.sure_surnames
        listed = listed or (token in lex.particles and count == 1)
        listed = listed or (surname and count == 1 and token in lex.weak_surnames and following in lex.given)
        if token == "thành" and _surname_follows(tokens, end + 1, lex):  # noqa: S105 - a word, "into"
            break
        if count >= _CLOSE_BY + 1 and token in lex.sure_surnames and following in lex.sure_middles:
            break
        if before in _TONELESS_MIDDLES and count == _CLOSE_BY:
            pass
        elif before in lex.sure_middles and count < _FULL:
            if token in words.NAME_STOP and token not in lex.given:
                break
        elif token in words.NAME_STOP or token in NUMBER_WORDS:
            # "nguyễn anh tuấn": a stop word in the middle of a name, or at the end of a full one.
            inside = surname and count <= _CLOSE_BY and listed and following in lex.given
            inside = inside and (following not in words.NAME_STOP or not _next(tokens, end + 2))
            inside = inside and (token, following) not in lex.ordinary_pairs
            last = surname and count >= _CLOSE_BY and listed and not _reads_on(token, following, lex)
            doubled = not surname and count == 1 and token in _SECOND and before in lex.middles
            if not inside and not (last and count < _FULL) and not doubled:
                break
        elif (token, following) in lex.ordinary_pairs and (count >= _CLOSE_BY or not surname):
            break
        elif not listed and not (unknown and token not in lex.ordinary):
            break
        elif count >= (_FULL if surname else _CLOSE_BY + 1) and token in lex.ordinary:
            break
        end += 1
    return end


def _surname_follows(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    token, following = _next(tokens, at), _next(tokens, at + 1)
    return token in lex.sure_surnames or (token in lex.weak_surnames and following in lex.middles)


def _reads_on(token: str, following: str, lex: Lexicon) -> bool:
    """Tell whether the token goes with the next word rather than with the name before it."""
    if not following:
        return False
    return token in words.NAME_STOP and (
        following not in words.NAME_STOP or (token, following) in lex.ordinary_pairs or token in NUMBER_WORDS
    )


def _full_name(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a surname with middle and given names at `at`, or 0."""
    token, following, third = tokens[at], _next(tokens, at + 1), _next(tokens, at + 2)
    sure, weak = token in lex.sure_surnames, token in lex.weak_surnames
    folded = token.isascii() and _is_toneless_surname(token, following)
    if not (sure or weak or folded) or not following or (token, following) in lex.ordinary_pairs:
        return 0
    cued = words.INTRODUCTIONS.length_before(tokens, at) or words.TITLES.length_before(tokens, at)
    middled = following in lex.sure_middles and bool(third) and third not in STAND_INS
    listed = following in lex.given or following in lex.middles or following in lex.sure_surnames
    listed = listed or bool(cued and following in lex.weak_surnames and third in lex.title_given)
    stopped = following in words.NAME_STOP and not (listed and third in lex.given)
    if sure and middled:
        return _extent(tokens, at, lex, unknown=True)
    if folded:
        return _extent(tokens, at, lex, unknown=True)
    if stopped:
        return 0
    if sure:
        unlisted = cued and following not in lex.ordinary
        return _extent(tokens, at, lex, unknown=True) if listed or unlisted else 0
    tripled = listed and third in lex.given and (following, third) not in lex.ordinary_pairs
    tripled = (
        tripled
        and third not in words.NAME_STOP
        and (following not in lex.ordinary or third in lex.sure_given)
    )
    if middled and (third in lex.given or third not in lex.ordinary):
        return _extent(tokens, at, lex, unknown=True)
    if tripled or (cued and following in lex.sure_given):
        return _extent(tokens, at, lex, unknown=bool(cued))
    return 0


def _is_toneless_surname(token: str, following: str) -> bool:
    """Tell whether a surname was written without its marks, with a name after it."""
    if token not in {
        "nguyen",
        "tran",
        "pham",
        "huynh",
        "hoang",
        "dang",
        "bui",
        "le",
        "vo",
        "vu",
        "phan",
        "do",
        "ngo",
    }:
        return False
    return following in _TONELESS_MIDDLES or (token in {"nguyen", "huynh"} and following.isascii())


def _minority_name(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a name such as "giàng a páo", "y moan êban", "h hen niê", or 0."""
    token, following, third = tokens[at], _next(tokens, at + 1), _next(tokens, at + 2)
    if not following or following in STAND_INS:
        return 0
    known = token in lex.minority_surnames and token not in lex.ordinary
    if token in lex.minority_surnames and following in lex.particles and third:
        free = (
            (third not in words.NAME_STOP or at + _CLOSE_BY + 1 == len(tokens))
            and third not in NUMBER_WORDS
            and third not in STAND_INS
        )
        if free and (known or third not in lex.ordinary):
            return min(_extent(tokens, at + 2, lex, unknown=True), at + _FULL)
    cued = words.INTRODUCTIONS.length_before(tokens, at) or words.TITLES.length_before(tokens, at)
    if (
        token in lex.leads
        and third in lex.minority_surnames
        and third not in lex.ordinary
        and following.isalpha()
    ):
        return _extent(tokens, at + 2, lex, unknown=True)
    if (known or token in lex.leads) and following not in lex.ordinary and following.isalpha():
        clan = third in lex.minority_surnames and third not in lex.ordinary
        if cued or clan or (known and following not in NUMBER_WORDS and following in lex.given):
            return _extent(tokens, at + 1, lex, unknown=True)
    return 0


def _after_title(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a given name after a title, such as in "chị lan", or 0."""
    if not words.TITLES.length_before(tokens, at) or words.TITLES.length_at(tokens, at - 1) > 1:
        return 0
    token, following = tokens[at], _next(tokens, at + 1)
    if (token, following) in lex.ordinary_pairs or token in NUMBER_WORDS or token in words.ROLES:
        return 0
    two = following in lex.given and following not in words.NAME_STOP
    two = two and (following, _next(tokens, at + 2)) not in lex.ordinary_pairs
    after = _next(tokens, at + 2)
    two = two and (
        following in lex.sure_given or not after or after in words.CLOSERS or following not in lex.ordinary
    )
    if token in lex.title_given:
        closed = not following or following in words.CLOSERS
        if token in words.NO_NAME_AFTER_TITLE and not closed and not two:
            return 0
        return at + 1 + two
    if token in lex.middles and two and following in lex.sure_given and token not in words.NAME_STOP:
        return at + 2
    if (
        token in lex.middles
        and following in lex.sure_given
        and tokens[at - 1] not in words.NAME_STOP - words.ROLES
    ):
        return at + 2 if two else 0
    unheard = token not in lex.ordinary and token not in words.NAME_STOP and not lex.is_surname(token)
    return at + 1 if unheard and (not following or following in words.CLOSERS) else 0


def _by_order_of_birth(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of an order of birth that is a name, such as in "chú năm", or 0."""
    if at == 0 or tokens[at] not in lex.kin_numbers or tokens[at - 1] not in words.KIN_TITLES:
        return 0
    following = _next(tokens, at + 1)
    before = tokens[at - 2] if at > 1 else ""
    if before in {"các", "mấy", "cả", "những", "hai"} or before in words.KIN_TITLES:
        return 0
    if (
        following in NUMBER_WORDS
        or following in words.COUNTED
        or (tokens[at], following) in lex.ordinary_pairs
    ):
        return 0
    second = following in lex.given and following not in words.NAME_STOP and following not in NUMBER_WORDS
    unheard = bool(following) and following not in lex.ordinary and _is_word(following)
    return at + 1 + (second or unheard)
