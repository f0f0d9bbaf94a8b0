"""Addresses as people say them: "số nhà mười hai ngõ ba lăm đường …, phường …".

There is no list of all streets and hamlets, so an address is told by its own words: a
house number, two address words in a row, or one after "ở", "địa chỉ", "quê". An office
("ủy ban phường sáu") is no address of a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inference import redaction_words as words
from inference.lexicon import Lexicon, lexicon
from inference.redaction_spans import STAND_INS, Kind, Span
from inference.spoken_numbers import LETTERS, is_number_word

_MAX_PLACE: Final = 4
_FREE: Final = 2
_ANCHOR_REACH: Final = 4
_SIGNS: Final = frozenset({"xẹt", "xuyệt", "trên", "gạch", "ngang", "sẹt", "suyệt", "bis", "lẻ", "linh"})
_MAX_LETTERS: Final = 2
_QUARTERS: Final = frozenset({"đông", "tây", "nam", "bắc", "trung", "thượng", "hạ"})
_PARTICLES: Final = frozenset(
    {"ạ", "à", "nhé", "nha", "ơi", "rồi", "thôi", "hông", "vâng", "dạ", "lắm", "quá"}
)


def find_addresses(tokens: Sequence[str]) -> tuple[Span, ...]:
    """Find addresses and home provinces of persons."""
    return tuple(_addresses(tokens, lexicon()))


def _addresses(tokens: Sequence[str], lex: Lexicon) -> Iterator[Span]:
    at = 0
    while at < len(tokens):
        end = _house(tokens, at) or _place(tokens, at, lex)
        if not end:
            home = _home(tokens, at, lex)
            if home:
                yield Span(Kind.ADDRESS, at, home)
            at = home or at + 1
            continue
        start, links = at, 1
        while end < len(tokens):
            onward = _place(tokens, end, lex, inner=True) or _province(tokens, end, lex)
            if not onward:
                break
            end, links = onward, links + 1
        office = words.AGENCIES.length_before(tokens, start) > 0
        strong = _house(tokens, start) > 0
        if not office and (strong or links > 1 or _anchored(tokens, start)):
            yield Span(Kind.ADDRESS, start, end)
        at = end


def _home(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a province that is somebody's home, or of "số" with a street, or 0."""
    if words.HOME_WORDS.length_before(tokens, at):
        province = lex.provinces.length_at(tokens, at) or lex.long_places.length_at(tokens, at)
        if province:
            return at + province
    return 0


def _province(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    length = lex.provinces.length_at(tokens, at)
    return at + length if length else 0


def _house(tokens: Sequence[str], at: int) -> int:
    """Return the end of a house number and what names its street, or 0."""
    length = words.HOUSE.length_at(tokens, at)
    lex = lexicon()
    if length:
        end = _number_end(tokens, at + length)
        if end == at + length:
            return 0
        return _street(tokens, end, lex)
    if words.ADDRESS_SAID.length_before(tokens, at) and is_number_word(tokens[at]):
        end = _number_end(tokens, at)
        return end if words.ADDRESS_NOUNS.length_at(tokens, end) else 0
    if tokens[at] != "số" or not _anchored(tokens, at):
        return 0
    end = _number_end(tokens, at + 1)
    if end == at + 1:
        return 0
    street = _street(tokens, end, lex)
    return street if street > end or words.ADDRESS_NOUNS.length_at(tokens, end) else 0


def _street(tokens: Sequence[str], at: int, lex: Lexicon) -> int:
    """Return the end of a street name right after a house number, or `at`."""
    long_place = lex.long_places.length_at(tokens, at)
    if long_place:
        return at + long_place
    if words.ADDRESS_NOUNS.length_at(tokens, at):
        return at
    end = at
    while end < min(at + _MAX_PLACE, len(tokens)) and _may_name_a_place(tokens, end, lex):
        if tokens[end] in lex.ordinary and tokens[end] not in lex.given and not lex.is_surname(tokens[end]):
            break
        end += 1
    return end if end - at >= _FREE else at


def _number_end(tokens: Sequence[str], at: int) -> int:
    """Return the end of a number with its letter and slashes, or `at`."""
    if at < len(tokens) and tokens[at] == "số":
        after = _number_end(tokens, at + 1)
        return after if after > at + 1 else at
    end = at
    while end < len(tokens) and (
        is_number_word(tokens[end])
        or (
            end > at
            and (tokens[end] in _SIGNS or (tokens[end] in LETTERS and tokens[end] not in words.ADDRESS_STOP))
        )
    ):
        end += 1
    while end > at and tokens[end - 1] in _SIGNS:
        end -= 1
    return end


def _anchored(tokens: Sequence[str], start: int) -> bool:
    for at in range(start, max(0, start - _ANCHOR_REACH), -1):
        if words.AGENCIES.length_before(tokens, at):
            return False
        if words.ADDRESS_ANCHORS.length_before(tokens, at):
            return True
    return False


def _may_name_a_place(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    token = tokens[at]
    if token in STAND_INS:
        return False
    if token not in words.ADDRESS_STOP:
        return True
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    before = tokens[at - 1] if at else ""
    if before not in words.ADDRESS_STOP and not words.ADDRESS_NOUNS.length_before(tokens, at):
        # "xã tân thông hội huyện củ chi": a stop word between a name and the next address word.
        if words.ADDRESS_NOUNS.length_at(tokens, at + 1):
            return token not in words.PLACE_ENDS
    elif token in {"con", "đông", "gia", "hội", "cấp"} and following and following not in lex.ordinary:
        return True
    if token == "mai" and not following and before in lex.sure_surnames:  # noqa: S105 - "hoàng mai"
        return True
    return token in words.SOFT_STOP and bool(following) and following not in words.ADDRESS_STOP | STAND_INS


def _place(tokens: Sequence[str], at: int, lex: Lexicon, *, inner: bool = False) -> int:
    """Return the end of an address word and the name or number after it, or 0.

    Args:
        tokens: Words.
        at: Where the address word would begin.
        lex: The lists.
        inner: Whether a part of an address stands right before.
    """
    length = words.ADDRESS_NOUNS.length_at(tokens, at)
    begin = at + length
    if not length or words.NOT_PLACES.length_at(tokens, at):
        return 0
    if words.ADDRESS_NOUNS.length_at(tokens, begin):
        return begin if inner else 0
    known = lex.long_places.length_at(tokens, begin) or lex.provinces.length_at(tokens, begin)
    if known:
        return begin + known
    number = _number_end(tokens, begin)
    if tokens[begin:number] == ["không"]:
        return 0
    if number > begin:
        return _street(tokens, number, lex)
    return _lettered_end(tokens, begin) or _named_end(tokens, begin, lex, inner=inner)


def _lettered_end(tokens: Sequence[str], begin: int) -> int:
    """Return the end of the letters and number of a building ("tòa hát hai"), or 0."""
    end = begin
    while end < min(begin + _MAX_LETTERS, len(tokens)) and tokens[end] in LETTERS - words.ADDRESS_STOP:
        end += 1
    return _number_end(tokens, end) if end > begin else 0


def _named_end(tokens: Sequence[str], begin: int, lex: Lexicon, *, inner: bool) -> int:
    """Return the end of the name of a place of up to four syllables, or 0."""
    free = inner and begin < len(tokens) and _is_free(tokens, begin)
    end = begin + free
    while end < min(begin + _MAX_PLACE, len(tokens)) and not words.ADDRESS_NOUNS.length_at(tokens, end):
        # "huyện đông anh": inside an address two syllables may be any words if it goes on after them.
        closed = end + 1 == len(tokens) or words.ADDRESS_NOUNS.length_at(tokens, end + 1) > 0
        # "phố bạch mai", "xã tân phú tây": one syllable seldom names a place, "tây" often ends one.
        strange = (
            end == begin + 1
            and (inner or tokens[begin] not in lex.ordinary)
            and tokens[end] not in words.PLACE_ENDS
        )
        last = end + 1 == len(tokens) and (strange or (end > begin and tokens[end] in _QUARTERS))
        if last and tokens[end] not in _PARTICLES:
            end += 1
            break
        second = free and end == begin + 1 and closed
        if not second and not _may_name_a_place(tokens, end, lex):
            break
        if end - begin >= _FREE and not _goes_on(tokens, end, lex):
            break
        end += 1
    return end if end > begin else 0


def _is_free(tokens: Sequence[str], at: int) -> bool:
    return tokens[at] in words.ADDRESS_STOP - words.PLACE_ENDS and not is_number_word(tokens[at])


def _goes_on(tokens: Sequence[str], at: int, lex: Lexicon) -> bool:
    """Tell whether a third or fourth syllable still belongs to the name of a place."""
    token = tokens[at]
    if words.ADDRESS_NOUNS.length_at(tokens, at + 1) and token not in words.PLACE_ENDS:
        return True
    if token in lex.ordinary and token not in lex.given and token not in lex.middles:
        return False
    return not is_number_word(token) or words.ADDRESS_NOUNS.length_at(tokens, at + 1) > 0
