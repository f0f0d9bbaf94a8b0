"""Refuses text that a recogniser invented: loops, film outros, impossible speaking rates.

Recognisers trained on subtitles answer noise with what subtitles end on ("hãy
subscribe cho kênh …") and answer hum with one phrase for ever. Such text must not
reach sentiment. Spoken numbers repeat words honestly, so digits are given more room.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DIGIT_WORDS: Final = frozenset(
    (
        "không",
        "một",
        "hai",
        "ba",
        "bốn",
        "tư",
        "năm",
        "lăm",
        "sáu",
        "bảy",
        "bẩy",
        "tám",
        "chín",
        "mười",
        "linh",
        "lẻ",
    )
)
_OUTROS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        (
            r"\b(?:hãy |nhớ |đừng quên |các bạn |ấn |bấm |nhấn |please |don.?t forget to |like |share |and )*"
            r"subscribe\b.{0,60}"
        ),
        # "đăng ký" alone is what people come to a counter for: only a channel makes it an outro.
        (
            r"\b(?:hãy |nhớ |đừng quên |các bạn |ấn |bấm |nhấn )*đăng k[ýí] (?:cho |theo dõi )?kênh"
            r"(?:$| (?:của|để|và|cho|youtube|này)\b.{0,60})"
        ),
        r"\b(?:hãy |nhớ |đừng quên )*(?:like|thích) (?:và )?(?:share|chia sẻ) (?:video|và đăng).{0,60}",
        r"\b(?:ghiền mì gõ|ghiền mì gỏ)\b.{0,60}",
        r"\bđể không bỏ lỡ (?:những )?(?:video|clip).{0,40}",
        (
            r"\bcảm ơn (?:các bạn |mọi người |quý vị )?đã (?:theo dõi|xem|lắng nghe)"
            r"(?: (?:video|kênh|chương trình)(?: (?:này|của (?:mình|chúng tôi|tôi)))*)?"
            r"(?: (?:và )?hẹn gặp lại.{0,60})?$"
        ),
        (
            r"\bhẹn gặp lại (?:các bạn|quý vị|mọi người) (?:trong|ở|vào) (?:những |các )?"
            r"(?:video|clip|chương trình).{0,40}"
        ),
        r"\b(?:phụ đề|vietsub|biên dịch)(?: được)?(?: thực hiện)? (?:bởi|by)\b.{0,60}",
        (
            r"\b(?:các bạn )?(?:hãy |nhớ )?(?:ủng hộ|theo dõi) kênh "
            r"(?:của (?:mình|chúng mình|chúng tôi)|youtube)\b.{0,60}"
        ),
        r"\bchúc (?:các bạn|quý vị) (?:xem phim|nghe nhạc|xem video)(?: vui vẻ)?",
        r"\bthank(?:s| you)(?: so much| very much)? for (?:watching|listening|viewing)\b.{0,60}",
        r"\bsubtitles? (?:by|provided by|created by)\b.{0,60}",
        r"\b(?:amara ?\.?org|see you (?:in the )?next (?:video|time))\b.{0,40}",
    )
)


class Doubt(StrEnum):
    """Why a transcript was refused or shortened."""

    EMPTY = "empty"
    OUTRO = "outro"
    LOOP = "loop"
    TOO_FAST = "too_fast"
    TOO_SPARSE = "too_sparse"


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """Limits of plausible speech.

    Attributes:
        max_words_per_s: Above this nobody speaks Vietnamese (a word is a syllable).
        min_words_per_s: Below this the audio was not the speech that the text claims.
        sparse_from_s: Speech this long or longer is tested for sparse text.
        repeats_word: A word said this often on end is a loop.
        repeats_digit: The same for digit words: codes and numbers repeat honestly.
        repeats_phrase: A phrase of two to eight words said this often on end is a loop.
        least_variety: Text of which a smaller share of the pairs of words is different turns in circles.
        varied_from_words: Text this long or longer is tested for variety; digits are left out.
    """

    max_words_per_s: float = 9.0
    min_words_per_s: float = 0.4
    sparse_from_s: float = 4.0
    repeats_word: int = 6
    repeats_digit: int = 13
    repeats_phrase: int = 4
    least_variety: float = 0.4
    varied_from_words: int = 12


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is left of a transcript; `doubts` names what was taken away and is free of text."""

    text: str
    doubts: tuple[Doubt, ...] = ()


def guard(text: str, speech_s: float, config: GuardConfig | None = None) -> Guarded:
    """Return the believable part of a transcript.

    Args:
        text: The recogniser's words.
        speech_s: Seconds of speech (pauses left out) that they were read from.
        config: Limits; the defaults are for Vietnamese.

    Returns:
        The text, shortened by outros and loops, or empty where it cannot be true.
    """
    limits = config or GuardConfig()
    kept = " ".join(unicodedata.normalize("NFC", text).split())
    if not re.search(r"\w", kept):
        return Guarded("", (Doubt.EMPTY,))
    doubts: list[Doubt] = []
    if len(kept.split()) > limits.max_words_per_s * max(speech_s, 0.0) + 2:
        return Guarded("", (Doubt.TOO_FAST,))
    without = _without_outros(kept)
    if without != kept:
        doubts.append(Doubt.OUTRO)
    words, looped = _without_loops(without.split(), limits)
    if _turns_in_circles(words, limits):
        return Guarded("", (*doubts, Doubt.LOOP))
    if looped:
        doubts.append(Doubt.LOOP)
    if words and speech_s >= limits.sparse_from_s and len(words) < limits.min_words_per_s * speech_s:
        return Guarded("", (*doubts, Doubt.TOO_SPARSE))
    return Guarded(" ".join(words), tuple(doubts))


def _without_outros(text: str) -> str:
    lowered = text.lower()
    for pattern in _OUTROS:
        while found := pattern.search(lowered):
            lowered = f"{lowered[: found.start()]} {lowered[found.end() :]}"
            text = f"{text[: found.start()]} {text[found.end() :]}"
    return " ".join(text.split())


def _without_loops(words: list[str], limits: GuardConfig) -> tuple[list[str], bool]:
    """Drop every loop whole: what a loop repeats was not said once either."""
    found = False
    start = 0
    kept: list[str] = []
    while start < len(words):
        length = _loop_at(words, start, limits)
        if length:
            found = True
            start += length
        else:
            kept.append(words[start])
            start += 1
    return kept, found


def _loop_at(words: list[str], start: int, limits: GuardConfig) -> int:
    """Return the number of words of the loop that starts here, 0 when there is none."""
    for size in range(1, 9):
        phrase = words[start : start + size]
        if len(phrase) < size:
            break
        repeats = 1
        while words[start + repeats * size : start + (repeats + 1) * size] == phrase:
            repeats += 1
        if repeats >= _allowed(phrase, limits):
            return repeats * size
    return 0


def _turns_in_circles(words: list[str], limits: GuardConfig) -> bool:
    """Tell whether text comes back to the same words all the time without repeating them on end."""
    said = [word.lower() for word in words if word.lower() not in _DIGIT_WORDS and not word.isdigit()]
    if len(said) < limits.varied_from_words:
        return False
    pairs = list(itertools.pairwise(said))
    return len(set(pairs)) < limits.least_variety * len(pairs)


def _allowed(phrase: list[str], limits: GuardConfig) -> int:
    if all(word.lower() in _DIGIT_WORDS for word in phrase):
        return max(2, limits.repeats_digit // len(phrase))
    return limits.repeats_word if len(phrase) == 1 else limits.repeats_phrase
