"""Features of a Vietnamese utterance: words, syllable parts, praise and blame with negation.

Everything is hashed into a fixed number of buckets, so the model is two small
tables and no vocabulary. Each feature remembers which words made it: that is where
the reasons of an opinion come from.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from models import text_lexicon as lexicon

BUCKETS: Final = 1 << 17
_WORD: Final = re.compile(r"<[^\s<>]+>|[^\W_]+")
_SCOPE: Final = 3
_LONGEST_PART: Final = 5
_TONE_MARKS: Final = frozenset("\u0300\u0301\u0303\u0309\u0323")
_OLD_TONE: Final = {"oa": "o", "oe": "o", "uy": "u"}
_MAX_WORDS: Final = 400
_MOST_HITS: Final = 3


class Feature(NamedTuple):
    """One weighed observation: its bucket, its value and the words it was seen in."""

    bucket: int
    value: float
    start: int
    end: int


def words_of(text: str) -> tuple[str, ...]:
    """Split text into normalised lower-case words.

    Composed (NFC), the tone mark on one agreed letter (hoà and hòa are one word),
    punctuation gone, redaction tokens kept whole, at most 400 words.
    """
    plain = unicodedata.normalize("NFC", text).lower()
    return tuple(_one_spelling(word) for word in _WORD.findall(plain)[:_MAX_WORDS])


def _one_spelling(word: str) -> str:
    """Put the tone mark of oa, oe and uy at the end of a syllable on the first letter."""
    if len(word) < 2:  # noqa: PLR2004 - two letters make such a rhyme
        return word
    stem, last = word[:-1], unicodedata.normalize("NFD", word[-1])
    tones = [mark for mark in last if mark in _TONE_MARKS]
    base = unicodedata.normalize("NFC", "".join(mark for mark in last if mark not in _TONE_MARKS))
    rhyme = stem[-1] + base
    if not tones or rhyme not in _OLD_TONE or stem[-2:] == "qu":
        return word
    return unicodedata.normalize("NFC", stem + tones[0]) + base


def toneless(word: str) -> str:
    """Return the word without any diacritic."""
    flat = unicodedata.normalize("NFD", word.replace("đ", "d"))
    return "".join(letter for letter in flat if not unicodedata.combining(letter))


def features_of(words: Sequence[str], *, topics: bool = True) -> tuple[Feature, ...]:
    """Return the features of an utterance; each family is scaled to unit length.

    Args:
        words: As `words_of` gives them.
        topics: Add what the utterance is about. Sentiment is fitted without: what people
            speak of says little about how they mean it.
    """
    families = [_plain(words), _parts(words), _weighed(words)]
    if topics:
        families.append(_topics(words))
    found: list[Feature] = []
    for family in families:
        seen: dict[str, tuple[float, int, int]] = {}
        for name, value, start, end in family:
            seen.setdefault(name, (value, start, end))
        scale = math.fsum(value * value for value, _, _ in seen.values()) ** -0.5 if seen else 0.0
        found += [
            Feature(bucket_of(name), value * scale, start, end) for name, (value, start, end) in seen.items()
        ]
    return tuple(found)


def bucket_of(name: str) -> int:
    """Return the bucket of a feature name; the same on every machine."""
    return zlib.crc32(name.encode()) & (BUCKETS - 1)


_Named = tuple[str, float, int, int]


def negated(words: Sequence[str]) -> tuple[bool, ...]:
    """Tell for each word whether a negator stands shortly before it.

    A word such as "không" that ends the utterance asks, it does not deny.
    """
    marks = [False] * len(words)
    for at, word in enumerate(words):
        if word not in lexicon.NEGATORS or at == len(words) - 1:
            continue
        for later in range(at + 1, min(at + 1 + _SCOPE, len(words))):
            if words[later] in lexicon.CONTRASTS or words[later] in {"mà", "thì"}:
                break
            marks[later] = True
    return tuple(marks)


def _plain(words: Sequence[str]) -> Iterator[_Named]:
    marks = negated(words)
    bare = [toneless(word) for word in words]
    for at, word in enumerate(words):
        yield (f"!{word}" if marks[at] else f"w{word}"), 1.0, at, at + 1
        yield f"t{bare[at]}", 0.4, at, at + 1
        if at + 1 < len(words):
            yield f"b{word} {words[at + 1]}", 1.0, at, at + 2
            yield f"u{bare[at]} {bare[at + 1]}", 0.5, at, at + 2
        if at + 2 < len(words):
            yield f"c{word} {words[at + 1]} {words[at + 2]}", 0.7, at, at + 3
            yield f"s{word} {words[at + 2]}", 0.5, at, at + 3


def _parts(words: Sequence[str]) -> Iterator[_Named]:
    """Yield runs of letters inside one word and across two: they survive a misheard letter."""
    for at in range(len(words)):
        text = f"_{words[at]}_"
        for size in range(2, _LONGEST_PART):
            for start in range(len(text) - size + 1):
                yield f"p{text[start : start + size]}", 1.0, at, at + 1
        if at + 1 < len(words):
            joint = f"{words[at]}_{words[at + 1]}"
            middle = len(words[at])
            for start in range(max(0, middle - 3), min(middle, len(joint) - _LONGEST_PART) + 1):
                yield f"q{joint[start : start + _LONGEST_PART]}", 1.0, at, at + 2


@dataclass(frozen=True, slots=True)
class Weighed:
    """A phrase of the lexicon in an utterance: `kind` is one of + - > p m w."""

    kind: str
    start: int
    end: int


def weighed_phrases(words: Sequence[str]) -> tuple[Weighed, ...]:
    """Find praise (+), blame (-), wishes (w), longest first, turned round by negators (p, m).

    "p" is blame denied, which is mild praise; "m" is praise denied, which is blame.
    """
    marks = negated(words)
    found: list[Weighed] = []
    at = 0
    while at < len(words):
        step = 1
        for length in range(min(lexicon.LONGEST, len(words) - at), 0, -1):
            kind = _kind_of(tuple(words[at : at + length]), denied=marks[at])
            if kind:
                found.append(Weighed(kind, at, at + length))
                step = length
                break
        at += step
    return tuple(found)


def _kind_of(phrase: tuple[str, ...], *, denied: bool) -> str:
    if phrase in lexicon.TURNED_PRAISE:
        return "+"
    if phrase in lexicon.TURNED_BLAME:
        return "-"
    if phrase in lexicon.POSITIVE:
        return "m" if denied else "+"
    if phrase in lexicon.NEGATIVE:
        return "p" if denied else "-"
    if denied and phrase in lexicon.DEEDS:
        return "m"
    return "w" if phrase in lexicon.WISHES else ""


def _weighed(words: Sequence[str]) -> Iterator[_Named]:
    found = weighed_phrases(words)
    counts = {kind: sum(item.kind == kind for item in found) for kind in "+-pmw"}
    for item in found:
        yield f"L{item.kind}", 1.0 + 0.25 * min(counts[item.kind], 4), item.start, item.end
    good, bad = counts["+"] + counts["p"], counts["-"] + counts["m"]
    turn = next((at for at, word in enumerate(words) if word in lexicon.CONTRASTS), None)
    if turn is not None:
        for item in found:
            if item.start > turn:
                yield f"Lafter{item.kind}", 1.0, item.start, item.end
    if found:
        yield f"Llast{found[-1].kind}", 0.7, found[-1].start, found[-1].end
        yield f"Lfirst{found[0].kind}", 0.5, found[0].start, found[0].end
        yield f"Lsign{(good > bad) - (good < bad)}", 1.0, 0, len(words)
    else:
        yield "Lnone", 1.0, 0, len(words)
    if any(word in lexicon.INTENSIFIERS for word in words):
        yield "Lstrong", 0.5, 0, len(words)
    if words and words[-1] in lexicon.QUESTION_ENDS:
        yield "Lasks", 0.7, len(words) - 1, len(words)
    yield f"Llength{min(len(words), 12) // 3}", 0.3, 0, len(words)


def _topics(words: Sequence[str]) -> Iterator[_Named]:
    """Yield which factors are spoken of, alone and together with a verdict."""
    verdict = bool(weighed_phrases(words))
    hits: dict[str, list[tuple[int, int]]] = {}
    for at in range(len(words)):
        for end in range(at + 1, min(at + lexicon.LONGEST, len(words)) + 1):
            for topic in lexicon.TOPICS_OF.get(tuple(words[at:end]), ()):
                hits.setdefault(topic, []).append((at, end))
    for topic, places in hits.items():
        for number, (start, end) in enumerate(places[:_MOST_HITS]):
            yield f"T{topic}{number}", 1.0, start, end
        start, end = places[0]
        yield f"T{topic}{'!' if verdict else '?'}", 1.0, start, end
    yield "Tlength", 0.5, 0, len(words)
