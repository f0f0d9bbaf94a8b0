"""Tokens of a text and the stretches of them that name a person."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a redacted span was; the value is the token that stands in its place."""

    NUMBER = "<số>"
    NAME = "<tên>"
    ADDRESS = "<địa_chỉ>"
    BIRTH = "<ngày_sinh>"
    EMAIL = "<thư>"


@dataclass(frozen=True, slots=True)
class Span:
    """A redacted stretch of tokens: kind, index of the first, index after the last."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text.

    Attributes:
        text: The word, lower case and composed (NFC); `<thư>` for a written e-mail address.
        key: The same with the tone mark of open *oa, oe, uy* on the first vowel, as lists have it.
        start: Index of its first character in the text as it was given.
        end: Index after its last character.
    """

    text: str
    key: str
    start: int
    end: int


STAND_INS: Final = frozenset(kind.value for kind in Kind)
"""The fixed tokens; a text that holds them was redacted before."""
_MARK: Final = "[\u0300-\u036f]*"
_WORD: Final = re.compile(
    "|".join(re.escape(kind.value) for kind in Kind) + rf"|\+?(?:[^\W_]{_MARK})+(?:@(?:[^\W_]{_MARK})+)?|@"
)
_CHUNK: Final = re.compile(r"\S+")
_SECOND_VOWEL: Final = "oà oá oả oã oạ oè oé oẻ oẽ oẹ uỳ uý uỷ uỹ uỵ"
_MARKED_FIRST: Final = "òa óa ỏa õa ọa òe óe ỏe õe ọe ùy úy ủy ũy ụy"
_FIRST_VOWEL: Final = dict(zip(_SECOND_VOWEL.split(), _MARKED_FIRST.split(), strict=True))


def tokenise(text: str) -> tuple[Token, ...]:
    """Split text into words without punctuation, each with its place in the text."""
    return tuple(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    for chunk in _CHUNK.finditer(text):
        _, at_sign, domain = chunk[0].partition("@")
        if at_sign and "." in domain.strip("."):
            yield Token(Kind.EMAIL.value, Kind.EMAIL.value, *chunk.span())
            continue
        for word in _WORD.finditer(text, *chunk.span()):
            plain = unicodedata.normalize("NFC", word[0].lower())
            yield Token(plain, key_of(plain), *word.span())


def key_of(word: str) -> str:
    """Return the spelling that the lists use: *hoà* is *hòa*, *thuý* is *thúy*."""
    moved = None if word.startswith("qu") else _FIRST_VOWEL.get(word[-2:])
    return word if moved is None else word[:-2] + moved
