"""Every reason that a picture of a session may show has a word in both languages."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from inference.anonymizer import Doubt
from inference.camera_view import CameraTrouble
from inference.face_quality import Rejection
from inference.inspection import Occasion, Sight
from inference.inspection_words import LANGUAGES

if TYPE_CHECKING:
    from enum import StrEnum

_KINDS = {
    "rejections": Rejection,
    "doubts": Doubt,
    "troubles": CameraTrouble,
    "sights": Sight,
    "occasions": Occasion,
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", _KINDS)
def test_every_reason_has_a_word_of_its_own(language: str, kind: str) -> None:
    told = getattr(LANGUAGES[language], kind)
    reasons: type[StrEnum] = _KINDS[kind]
    assert [reason.value for reason in reasons if not told.get(reason)] == []
    words = [told[reason] for reason in reasons]
    assert len(set(words)) == len(words), "two reasons read alike"


def test_the_languages_differ_in_every_word() -> None:
    """What was forgotten in Vietnamese would stand there in English."""
    vi, en = LANGUAGES["vi"], LANGUAGES["en"]
    same = [
        (field.name, word)
        for field in fields(vi)
        for word, other in zip(_words(getattr(vi, field.name)), _words(getattr(en, field.name)), strict=True)
        if word == other
    ]
    assert same == []


def _words(of: object) -> list[str]:
    return [of] if isinstance(of, str) else [of[key] for key in sorted(of)]  # type: ignore[index, call-overload]  # a mapping, as every other field
